//! Pixels to PNG, drawn larger and reduced so that edges are smooth.

use ::png::{BitDepth, ColorType, Encoder, EncodingError};

/// A picture of `width` × `height` px of 3 bytes each (red, green, blue), row by row.
///
/// # Errors
/// There are too few bytes, or none.
pub fn encode(rgb: &[u8], width: u32, height: u32) -> Result<Vec<u8>, EncodingError> {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, width, height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgb)?;
    writer.finish()?;
    Ok(file)
}

/// `by` times less wide and high: each px the mean of a square, so that edges are smooth.
pub fn reduced(rgb: &[u8], width: usize, by: usize) -> Vec<u8> {
    let wide = width / by * 3;
    let area = (by * by) as u32;
    let mut smaller = Vec::with_capacity(rgb.len() / (by * by));
    let mut sums = vec![0_u32; wide];
    for rows in rgb.chunks_exact(width * 3 * by) {
        sums.fill(area / 2);
        for row in rows.chunks_exact(width * 3) {
            for (sums, square) in sums.chunks_exact_mut(3).zip(row.chunks_exact(3 * by)) {
                for px in square.chunks_exact(3) {
                    sums.iter_mut().zip(px).for_each(|(sum, channel)| *sum += u32::from(*channel));
                }
            }
        }
        smaller.extend(sums.iter().map(|sum| (sum / area) as u8));
    }
    smaller
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_comes_back() {
        let rgb = [1, 2, 3, 4, 5, 6];
        let file = encode(&rgb, 2, 1).unwrap();
        let mut reader = ::png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut back = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut back).unwrap();
        assert_eq!((info.width, info.height, &back[..]), (2, 1, &rgb[..]));
        assert!(encode(&rgb, 3, 1).is_err());
    }

    #[test]
    fn four_px_become_their_mean() {
        assert_eq!(reduced(&[0, 0, 8, 4, 0, 8, 0, 0, 8, 0, 1, 8], 2, 2), [1, 0, 8]);
    }
}

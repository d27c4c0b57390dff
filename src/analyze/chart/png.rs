//! Pixels to PNG: three chunks, as the PNG specification (W3C, third edition) has them.

use std::io::{self, Write};

use flate2::{Compression, Crc, write::ZlibEncoder};

/// A picture of `width` × `height` px of 3 bytes each (red, green, blue), row by row.
pub fn encode(rgb: &[u8], width: u32, height: u32) -> io::Result<Vec<u8>> {
    let mut header = Vec::with_capacity(13);
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    // 8 bits a channel, red green blue, deflate, the standard filters, not interlaced.
    header.extend([8, 2, 0, 0, 0]);
    let mut data = ZlibEncoder::new(Vec::new(), Compression::default());
    for row in rgb.chunks_exact(width as usize * 3) {
        // Each row names its filter: none. A chart's rows are mostly runs of one colour.
        data.write_all(&[0])?;
        data.write_all(row)?;
    }
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, bytes) in [(b"IHDR", header), (b"IDAT", data.finish()?), (b"IEND", Vec::new())] {
        let mut crc = Crc::new();
        crc.update(kind);
        crc.update(&bytes);
        file.extend((bytes.len() as u32).to_be_bytes());
        file.extend(kind);
        file.extend(&bytes);
        file.extend(crc.sum().to_be_bytes());
    }
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

    /// `zlib.crc32(b"IEND")` is 0xae426082; the header's is `zlib.crc32(b"IHDR" + struct.pack(">IIBBBBB", 2, 1, 8, 2, 0, 0, 0))`.
    #[test]
    fn chunks_are_as_specified() {
        let file = encode(&[1, 2, 3, 4, 5, 6], 2, 1).unwrap();
        assert_eq!(file[..8], *b"\x89PNG\r\n\x1a\n");
        assert_eq!(file[8..33], *b"\0\0\0\x0dIHDR\0\0\0\x02\0\0\0\x01\x08\x02\0\0\0\x7b\x40\xe8\xdd");
        assert!(file.ends_with(b"\0\0\0\0IEND\xae\x42\x60\x82"));
    }

    #[test]
    fn four_px_become_their_mean() {
        assert_eq!(reduced(&[0, 0, 8, 4, 0, 8, 0, 0, 8, 0, 1, 8], 2, 2), [1, 0, 8]);
    }
}

//! Colours that people of any colour vision tell apart.

use super::scene::Colour;

/// Words and axes.
pub const INK: Colour = Colour(32, 32, 32);
/// Words of less weight.
pub const GREY: Colour = Colour(96, 96, 96);
/// Lines behind the data.
pub const GRID: Colour = Colour(226, 226, 226);
/// Paper.
pub const WHITE: Colour = Colour(255, 255, 255);
/// Where there is no figure.
pub const NOTHING: Colour = Colour(222, 222, 222);

/// Okabe and Ito, "Color Universal Design" (2008), without black, which is the axes', and with yellow last, which is
/// faint on white.
const OKABE_ITO: [Colour; 7] = [BLUE, VERMILION, GREEN, ORANGE, SKY, PURPLE, Colour(240, 228, 66)];
/// Okabe and Ito's blue.
pub const BLUE: Colour = Colour(0, 114, 178);
/// Okabe and Ito's vermilion.
pub const VERMILION: Colour = Colour(213, 94, 0);
/// Okabe and Ito's bluish green.
pub const GREEN: Colour = Colour(0, 158, 115);
/// Okabe and Ito's orange.
pub const ORANGE: Colour = Colour(230, 159, 0);
/// Okabe and Ito's sky blue.
pub const SKY: Colour = Colour(86, 180, 233);
/// Okabe and Ito's reddish purple.
pub const PURPLE: Colour = Colour(204, 121, 167);

/// The colour of the k-th series: after the seventh they return darker, then darker again.
pub fn series(k: usize) -> Colour {
    let darker = (k / OKABE_ITO.len()).min(2) as f64 * 0.35;
    OKABE_ITO[k % OKABE_ITO.len()].towards(Colour(0, 0, 0), darker)
}

/// Light for 0, dark for 1, and darker at every step between them: Matplotlib's cividis, read backwards at nine points.
pub fn scale(share: f64) -> Colour {
    const STOPS: [Colour; 9] = [
        Colour(254, 232, 56),
        Colour(225, 204, 85),
        Colour(195, 179, 105),
        Colour(165, 155, 115),
        Colour(138, 134, 120),
        Colour(112, 113, 115),
        Colour(82, 92, 109),
        Colour(45, 69, 109),
        Colour(0, 34, 78),
    ];
    let share = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) };
    let at = share * (STOPS.len() - 1) as f64;
    let below = (at as usize).min(STOPS.len() - 2);
    STOPS[below].towards(STOPS[below + 1], at - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_darkens_all_the_way() {
        let light = |Colour(r, g, b): Colour| 299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b);
        let lights: Vec<u32> = (0..=100).map(|k| light(scale(f64::from(k) / 100.0))).collect();
        assert!(lights.windows(2).all(|pair| pair[1] < pair[0]), "{lights:?}");
        assert_eq!(scale(f64::NAN), scale(0.0));
    }

    #[test]
    fn fourteen_series_have_fourteen_colours() {
        let colours: Vec<Colour> = (0..14).map(series).collect();
        assert!((0..14).all(|k| !colours[..k].contains(&colours[k])));
    }
}

//! The one typeface of all charts, part of the program, so that a chart looks the same on every machine.

use std::sync::OnceLock;

use plotters::style::{FontDesc, FontFamily, FontStyle, register_font};

/// DejaVu Sans, which has the arrows and signs that the tables use; its licence lies beside it.
static DEJAVU_SANS: &[u8] = include_bytes!("DejaVuSans.ttf");
/// Its name in an SVG, with one of the same widths for machines that lack it.
const FAMILY: &str = "DejaVu Sans, Verdana, sans-serif";
/// Plotters' size is, for a bitmap, the font's ascent and descent: so many em.
const ASCENT_AND_DESCENT_EM: f64 = 1.164;

/// Smallest type on a chart, in px.
pub const SMALL: f64 = 14.0;
/// Names of axes and legends, in px.
pub const MEDIUM: f64 = 16.0;
/// Titles, in px.
pub const LARGE: f64 = 22.0;

/// The font in plotters' size.
pub fn of_size(size: f64) -> FontDesc<'static> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    REGISTERED.get_or_init(|| register_font(FAMILY, FontStyle::Normal, DEJAVU_SANS).is_ok());
    FontDesc::new(FontFamily::Name(FAMILY), size, FontStyle::Normal)
}

/// Width of a text whose em is `size` px, in px.
pub fn width(text: &str, size: f64) -> f64 {
    // Measured large, because plotters answers in whole px.
    const LARGE: f64 = 1000.0;
    let measured = of_size(LARGE * ASCENT_AND_DESCENT_EM).box_size(text);
    measured.map_or(text.chars().count() as f64 * 0.6 * size, |(width, _)| f64::from(width) * size / LARGE)
}

/// The text, with its end cut off until it is no wider than `width_max` px.
pub fn cut(text: &str, size: f64, width_max: f64) -> String {
    if width(text, size) <= width_max {
        return text.to_owned();
    }
    let room = width_max - width("…", size);
    let mut used = 0.0;
    let fits = |letter: &char| {
        used += width(letter.encode_utf8(&mut [0; 4]), size);
        used <= room
    };
    let kept: String = text.chars().take_while(fits).collect();
    format!("{}…", kept.trim_end())
}

/// The text in lines no wider than `width_max` px, the last one cut off when there would be more than `lines_max`.
pub fn wrapped(text: &str, size: f64, width_max: f64, lines_max: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            // Measured as a whole: a line is wider than its words.
            Some(line) if lines_max <= 1 || width(&format!("{line} {word}"), size) <= width_max => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    if lines.len() > lines_max {
        let rest = lines.drain(lines_max - 1..).collect::<Vec<_>>().join(" ");
        lines.push(rest);
    }
    lines.into_iter().map(|line| cut(&line, size, width_max)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_the_fonts() {
        // `PIL.ImageFont.truetype("DejaVuSans.ttf", 1000).getlength("99.99")` is 2863.
        assert!((width("99.99", 1000.0) - 2863.0).abs() < 3.0, "{}", width("99.99", 1000.0));
        assert!(of_size(10.0).box_size("→ ∞ † µ").is_ok());
    }

    #[test]
    fn long_texts_are_cut_or_wrapped() {
        assert_eq!(cut("short", SMALL, 100.0), "short");
        let long = "word ".repeat(100);
        let short = cut(&long, SMALL, 200.0);
        assert!(short.ends_with('…') && width(&short, SMALL) <= 200.0, "{short}");
        let lines = wrapped(&long, SMALL, 300.0, 3);
        assert!(lines.len() == 3 && lines.iter().all(|line| width(line, SMALL) <= 300.0), "{lines:?}");
        assert!(lines[2].ends_with('…') && !lines[0].ends_with('…'));
        assert_eq!(wrapped("a b", SMALL, 300.0, 3), ["a b"]);
        let text = "2 pairs of before_publish → consumed. †: fewer than 10 samples of the pair lie past.";
        for wide in 150..400 {
            assert_eq!(wrapped(text, SMALL, f64::from(wide), 9).join(" "), text, "no word is lost at {wide} px");
        }
        assert_eq!(wrapped("", SMALL, 300.0, 3), [""; 0]);
    }
}

//! A scene to `<stem>.png` and `<stem>.svg`, each there whole or not touched.

use std::path::Path;

use plotters::prelude::{BitMapBackend, SVGBackend};

use super::{
    paint::{Surface, paint},
    png,
    scene::{SIZE, Scene},
};
use shasta_model::atomic_file::{self, Prepared};

/// Why there is no chart.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of it cannot be written.
    #[error(transparent)]
    Unwritable(#[from] atomic_file::Error),
    /// It cannot be drawn: a fault of this program.
    #[error("chart `{stem}` cannot be drawn: {what}; this is a fault of `analyze`, please report it")]
    Undrawable {
        /// The chart.
        stem: String,
        /// What plotters said.
        what: String,
    },
}

/// A bitmap is drawn so many times larger and reduced, which smooths what plotters draws in whole px.
const LARGER: usize = 3;
const BITMAP: Surface = Surface { scale: LARGER as f64, size_em: 1.164, base_line_em: 0.582, whole_lines: false };
/// Larger as well, since plotters' SVG has whole px too.
const VECTOR: Surface = Surface { scale: 2.0, size_em: 1.24, base_line_em: 0.76, whole_lines: true };

/// Writes both files into `directory`, which is made if it is not there.
pub fn write(scene: &Scene, directory: &Path, stem: &str) -> Result<(), Error> {
    let undrawable = |what: String| Error::Undrawable { stem: stem.to_owned(), what };
    let (png, svg) = (bitmap(scene).map_err(undrawable)?, vector(scene).map_err(undrawable)?);
    let prepared = |kind: &str, bytes: &[u8]| Prepared::new(&directory.join(format!("{stem}.{kind}")), bytes);
    // Both are on the disk before one takes its place.
    [prepared("png", &png)?, prepared("svg", svg.as_bytes())?].into_iter().try_for_each(Prepared::place)?;
    Ok(())
}

fn bitmap(scene: &Scene) -> Result<Vec<u8>, String> {
    let (width, height) = ((SIZE.0 * BITMAP.scale) as u32, (SIZE.1 * BITMAP.scale) as u32);
    let mut rgb = vec![255; width as usize * height as usize * 3];
    paint(scene, BITMAP, &mut BitMapBackend::with_buffer(&mut rgb, (width, height))).map_err(|e| e.to_string())?;
    png::encode(&png::reduced(&rgb, width as usize, LARGER), SIZE.0 as u32, SIZE.1 as u32).map_err(|e| e.to_string())
}

fn vector(scene: &Scene) -> Result<String, String> {
    let (width, height) = ((SIZE.0 * VECTOR.scale) as u32, (SIZE.1 * VECTOR.scale) as u32);
    let mut svg = String::new();
    paint(scene, VECTOR, &mut SVGBackend::with_string(&mut svg, (width, height))).map_err(|e| e.to_string())?;
    let shown = format!("width=\"{}\" height=\"{}\" role=\"img\"", SIZE.0, SIZE.1);
    let svg = svg.replacen(&format!("width=\"{width}\" height=\"{height}\""), &shown, 1);
    let told = format!(">\n<title>{}</title>\n<desc>{}</desc>\n", escaped(&scene.title), escaped(&scene.caption));
    let mut svg = svg.replacen(">\n", &told, 1);
    // XML has no way to write them, and names may come from a manifest that someone else wrote.
    svg.retain(|letter| letter == '\n' || !letter.is_control() && !('\u{fffe}'..='\u{ffff}').contains(&letter));
    Ok(svg)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

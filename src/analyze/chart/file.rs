//! A scene to `<stem>.png` and `<stem>.svg`: both there and whole, or neither touched.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use plotters::prelude::{BitMapBackend, SVGBackend};

use super::{
    paint::{Surface, paint},
    png,
    scene::{SIZE, Scene},
};

/// Why there is no chart.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its directory cannot be written.
    #[error("{}: charts cannot be written there ({source}); make it writable, or name another with `--out`", directory.display())]
    Unwritable {
        /// The directory.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
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
    let files = [("png", bitmap(scene).map_err(undrawable)?), ("svg", vector(scene).map_err(undrawable)?.into_bytes())];
    put(&files, directory, stem).map_err(|source| Error::Unwritable { directory: directory.to_owned(), source })
}

fn put(files: &[(&str, Vec<u8>)], directory: &Path, stem: &str) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let unfinished = |kind: &str| directory.join(format!(".{stem}.{}.{kind}", std::process::id()));
    let written = (|| {
        for (kind, bytes) in files {
            fs::write(unfinished(kind), bytes)?;
        }
        files.iter().try_for_each(|(kind, _)| fs::rename(unfinished(kind), directory.join(format!("{stem}.{kind}"))))
    })();
    if written.is_err() {
        for (kind, _) in files {
            // What was not even begun cannot be removed; the first error is the one to tell.
            let _ = fs::remove_file(unfinished(kind));
        }
    }
    written
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

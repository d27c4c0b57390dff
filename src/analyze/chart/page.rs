//! What every chart has around its data: title, legend and caption.

use super::{
    font::{self, LARGE, MEDIUM, SMALL},
    palette::{GREY, INK},
    scene::{Anchor, Colour, Point, SIZE, Scene},
};

/// What a legend shows beside a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Mark {
    Line,
    Dashed,
    Dot,
    Ring,
    Box,
    Hatched,
    Arrow,
    Stroke,
}

/// A line of a legend.
pub type Key = (Mark, Colour, String);

/// The words around the data.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// What the chart is about.
    pub title: String,
    /// What was measured on what, and how often; then [`Page::notes`].
    pub caption: String,
    /// What must be known to read this chart, in sentences.
    pub notes: Vec<String>,
    /// What the colours and marks mean.
    pub legend: Vec<Key>,
}

/// Room at the canvas' edges, in px.
pub const EDGE: f64 = 24.0;
/// More series than this are drawn, but not named.
const KEYS_MAX: usize = 24;
const LINE: f64 = 20.0;
const CAPTION_LINES_MAX: usize = 5;
const MARK: f64 = 28.0;

impl Page {
    /// A scene with these words, and the corners of the room that they leave.
    pub fn open(self) -> (Scene, Point, Point) {
        let mut caption = vec![self.caption];
        caption.extend(self.notes);
        caption.retain(|sentence| !sentence.is_empty());
        let mut scene = Scene { title: self.title, caption: caption.join(" "), ..Scene::default() };
        let (width, height) = SIZE;
        scene.text(font::cut(&scene.title, LARGE, width - 2.0 * EDGE), (EDGE, 38.0), LARGE, INK, Anchor::Start);
        let top = legend(&mut scene, self.legend, 52.0);
        let lines = font::wrapped(&scene.caption, SMALL, width - 2.0 * EDGE, CAPTION_LINES_MAX);
        let bottom = height - 16.0 - LINE * lines.len() as f64;
        for (k, line) in lines.into_iter().enumerate() {
            scene.text(line, (EDGE, bottom + LINE * (k + 1) as f64 - 2.0), SMALL, GREY, Anchor::Start);
        }
        (scene, (EDGE, top + 14.0), (width - EDGE, bottom - 6.0))
    }
}

/// Names in rows from the left, as many in each as fit; answers where the next thing may begin.
fn legend(scene: &mut Scene, mut keys: Vec<Key>, top: f64) -> f64 {
    let unnamed = keys.len().saturating_sub(KEYS_MAX);
    keys.truncate(KEYS_MAX);
    let (mut x, mut y) = (EDGE, top);
    if !keys.is_empty() {
        y += LINE;
    }
    let wide = SIZE.0 - 2.0 * EDGE;
    for (mark, colour, name) in keys {
        let name = font::cut(&name, MEDIUM, wide - MARK - 8.0);
        let needed = MARK + 8.0 + font::width(&name, MEDIUM);
        if x > EDGE && x + needed > EDGE + wide {
            (x, y) = (EDGE, y + LINE + 2.0);
        }
        draw(scene, mark, colour, (x, y - 6.0));
        scene.text(name, (x + MARK + 8.0, y), MEDIUM, INK, Anchor::Start);
        x += needed + 28.0;
    }
    if unnamed > 0 {
        y += LINE + 2.0;
        scene.text(format!("and {unnamed} more"), (EDGE, y), MEDIUM, INK, Anchor::Start);
    }
    y
}

fn draw(scene: &mut Scene, mark: Mark, colour: Colour, (x, y): Point) {
    let (middle, end) = (x + MARK / 2.0, x + MARK);
    let (from, to) = ((x + 4.0, y - 7.0), (end, y + 7.0));
    match mark {
        Mark::Line => scene.line(vec![(x, y), (end, y)], colour, 3.0),
        Mark::Dashed => scene.dashed(&[(x, y), (end, y)], colour, 2.0, (7.0, 4.0)),
        Mark::Dot => scene.dot((middle, y), 4.0, colour, true),
        Mark::Ring => scene.dot((middle, y), 5.0, colour, false),
        Mark::Box => scene.rect(from, to, colour),
        Mark::Hatched => {
            scene.hatch(from, to, colour, 6.0);
            scene.outline(from, to, colour, 1.5);
        }
        Mark::Arrow => scene.arrow((middle, y - 5.0), colour),
        Mark::Stroke => scene.line(vec![(middle, y - 6.0), (middle, y + 6.0)], colour, 2.0),
    }
}

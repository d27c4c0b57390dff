//! One figure for every pair of source and destination, as colour: a slow host is a row, a slow worker a column.

use super::{
    Chart,
    font::{self, MEDIUM, SMALL},
    page::{Key, Mark, Page},
    palette::{self, GREY, INK, NOTHING, VERMILION, WHITE},
    panel::{Axis, Panel},
    scale::{Scale, Tick, figure},
    scene::{Anchor, Colour, Point, Scene, Shape, Text},
};

/// A figure per pair.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PairHeat {
    /// What the chart is about.
    pub title: String,
    /// Substrate, pairs and n.
    pub caption: String,
    /// The figure, as the colour bar has it: `D4`; ms is added.
    pub figure: String,
    /// Names of producing hosts.
    pub sources: Vec<String>,
    /// Names of workers.
    pub destinations: Vec<String>,
    /// By source, then by destination, in ms; +∞ past the drain, none where the pair has no events.
    pub figures_ms: Vec<Vec<Option<f64>>>,
    /// In the same order, whether fewer than ten samples of the pair lie past: marked †. What is missing is not.
    pub few: Vec<Vec<bool>>,
}

const PAST_DRAIN: Colour = VERMILION;
const BAR_WIDTH: f64 = 22.0;
/// Between the panel and the colour bar.
const GAP: f64 = 20.0;
const SEAM: f64 = 0.5;
/// Longer than any latency can be, in ms.
const MS_MAX: f64 = 1e8;

impl PairHeat {
    fn figure(&self, source: usize, destination: usize) -> Option<f64> {
        let figure = self.figures_ms.get(source)?.get(destination).copied().flatten();
        // False for NaN as well.
        let figure = figure.filter(|ms| *ms > f64::NEG_INFINITY);
        figure.map(|ms| if ms.is_finite() { ms.clamp(-MS_MAX, MS_MAX) } else { ms })
    }

    fn all(&self) -> impl Iterator<Item = Option<f64>> {
        let pairs = (0..self.sources.len()).flat_map(|s| (0..self.destinations.len()).map(move |d| (s, d)));
        pairs.map(|(s, d)| self.figure(s, d))
    }

    /// Colours in equal ratios where figures differ much, else in equal differences from 0, so that
    /// pairs which are nearly alike look it.
    fn scale(&self) -> Scale {
        let finite: Vec<f64> = self.all().flatten().filter(|ms| ms.is_finite()).collect();
        let (min, max) = finite.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), ms| (a.min(*ms), b.max(*ms)));
        if min > 0.0 && max / min > 10.0 { Scale::log(finite) } else { Scale::linear(finite.into_iter().chain([0.0])) }
    }

    fn is_few(&self, source: usize, destination: usize) -> bool {
        self.few.get(source).and_then(|few| few.get(destination)).copied().unwrap_or(false)
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec!["Darker is slower.".to_owned()];
        if self.few.iter().flatten().any(|few| *few) {
            notes.push("†: fewer than 10 samples of the pair lie past.".to_owned());
        }
        notes
    }

    fn cell(&self, scene: &mut Scene, scale: &Scale, (source, destination): (usize, usize), from: Point, to: Point) {
        let ms = self.figure(source, destination);
        let mark = if self.is_few(source, destination) { "†" } else { "" };
        let fill = match ms {
            None => NOTHING,
            Some(ms) if ms.is_finite() => palette::scale(scale.share(ms)),
            Some(_) => PAST_DRAIN,
        };
        scene.rect(from, to, fill);
        let text = match ms {
            None => "–".to_owned(),
            Some(ms) if ms.is_finite() => format!("{}{mark}", figure(ms)),
            Some(_) => "> drain".to_owned(),
        };
        let fits = font::width(&text, SMALL) + 6.0 <= to.0 - from.0 && SMALL + 6.0 <= to.1 - from.1;
        if fits {
            let colour = if fill.is_dark() { WHITE } else { INK };
            scene.text(text, ((from.0 + to.0) / 2.0, (from.1 + to.1) / 2.0 + 5.0), SMALL, colour, Anchor::Middle);
        }
    }

    /// A bar of all colours with its numbers and its name, as wide as the room between the corners.
    fn colour_bar(&self, scene: &mut Scene, scale: &Scale, ticks: Vec<Tick>, from: Point, to: Point) {
        let height = to.1 - from.1;
        let y = |share: f64| to.1 - height * share;
        const STEPS: usize = 128;
        for k in 0..STEPS {
            let share = |k: usize| k as f64 / STEPS as f64;
            scene.rect((from.0, y(share(k + 1)) - SEAM), (from.0 + BAR_WIDTH, y(share(k))), palette::scale(share(k)));
        }
        scene.outline(from, (from.0 + BAR_WIDTH, to.1), GREY, 1.0);
        let mut above = f64::INFINITY;
        for (value, name) in ticks {
            let y = y(scale.share(value));
            if above - y >= SMALL + 2.0 {
                above = y;
                scene.text(name, (from.0 + BAR_WIDTH + 8.0, y + 5.0), SMALL, INK, Anchor::Start);
            }
        }
        let text = font::cut(&format!("{}, ms", self.figure), MEDIUM, height);
        let at = (to.0 - 5.0, (from.1 + to.1) / 2.0);
        let (size, colour, anchor) = (MEDIUM, INK, Anchor::Middle);
        scene.shapes.push(Shape::Text(Text { text, at, size, colour, anchor, upwards: true }));
    }

    fn legend(&self) -> Vec<Key> {
        let mut keys = Vec::new();
        if self.all().any(|figure| figure == Some(f64::INFINITY)) {
            keys.push((Mark::Box, PAST_DRAIN, "past the drain (+∞): events that never arrived".to_owned()));
        }
        if self.all().any(|figure| figure.is_none()) {
            keys.push((Mark::Box, NOTHING, "no events".to_owned()));
        }
        keys
    }
}

impl Chart for PairHeat {
    fn scene(&self) -> Scene {
        let scale = self.scale();
        let page = Page {
            title: self.title.clone(),
            caption: self.caption.clone(),
            notes: self.notes(),
            legend: self.legend(),
        };
        let (mut scene, from, to) = page.open();
        // The longer side lies along the longer edge.
        let turned = self.sources.len() > self.destinations.len();
        let sources = Axis::of_names("source (producing host)", self.sources.clone());
        let destinations = Axis::of_names("destination (worker)", self.destinations.clone());
        let (x, y) = if turned { (sources, destinations) } else { (destinations, sources) };
        let (columns, rows) = (x.ticks.len(), y.ticks.len());
        let ticks = scale.ticks(12);
        let widest = ticks.iter().map(|(_, name)| font::width(name, SMALL)).fold(0.0, f64::max);
        let bar = GAP + BAR_WIDTH + 8.0 + widest + 30.0;
        let edge = to.0;
        let (from, to) = ((from.0 + y.width(), from.1), (edge - bar, to.1 - Panel::BELOW));
        let panel = Panel::open(&mut scene, x, y, from, to);
        for column in 0..columns {
            for row in 0..rows {
                let pair = if turned { (column, row) } else { (row, column) };
                let corner = |column: usize, row: usize| panel.at((column as f64, row as f64));
                let ((left, low), (right, high)) = (corner(column, row), corner(column + 1, row + 1));
                // Under its neighbours by a little: paper would shine through where they only meet.
                self.cell(&mut scene, &scale, pair, (left, high - SEAM), (right + SEAM, low));
            }
        }
        if columns * rows == 0 {
            scene.text("no pairs", ((from.0 + to.0) / 2.0, (from.1 + to.1) / 2.0), MEDIUM, INK, Anchor::Middle);
        }
        self.colour_bar(&mut scene, &scale, ticks, (to.0 + GAP, from.1), (edge, to.1));
        panel.close(&mut scene, true);
        scene
    }
}

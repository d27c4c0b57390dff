//! D2–D5 of variants and runs beside each other, published ones hatched.

use super::{
    Chart,
    font::{self, SMALL},
    page::{EDGE, Mark, Page},
    palette::{self, INK, WHITE},
    panel::{Axis, Panel},
    scale::{Scale, figure},
    scene::{Anchor, Colour, SIZE, Scene},
};

/// How one figure spreads over pairs, in ms, each +∞ where events were past the drain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// Median over pairs.
    pub median_ms: f64,
    /// Smallest pair.
    pub min_ms: f64,
    /// Largest pair.
    pub max_ms: f64,
    /// Whether a pair has fewer than ten samples past it: marked †.
    pub few: bool,
}

impl Figure {
    fn label(&self, labels: Labels) -> String {
        let value = if self.median_ms.is_finite() { figure(self.median_ms) } else { "> drain".to_owned() };
        match labels {
            Labels::Values => format!("{value}{}", self.mark()),
            Labels::Marks => self.mark().to_owned(),
            Labels::None => String::new(),
        }
    }

    fn mark(&self) -> &'static str {
        if self.few { "†" } else { "" }
    }
}

/// What stands above the bars: as much as fits above each of them, so that none looks different for its digits.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Labels {
    Values,
    Marks,
    None,
}

/// D2–D5 of one variant or run.
#[derive(Debug, Clone, PartialEq)]
pub struct Deviations {
    /// As the legend has it.
    pub name: String,
    /// Whether others published it, rather than that it was measured here.
    pub published: bool,
    /// D2, D3, D4, D5; none where there is no figure.
    pub figures: [Option<Figure>; 4],
}

/// D2–D5 as bars.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeviationBars {
    /// What the chart is about.
    pub title: String,
    /// Substrate, pairs and n.
    pub caption: String,
    /// Bars in this order within each of D2–D5.
    pub sets: Vec<Deviations>,
}

const NAMES: [&str; 4] = ["D2: p99 − median", "D3: p99.9 − median", "D4: p99.99 − median", "D5: p99.999 − median"];
/// Share of a D's room that bars fill.
const FILLED: f64 = 0.86;
const BAR_WIDTH_MAX: f64 = 90.0;
/// Room right of the bars, in px.
const RIGHT: f64 = 8.0;

impl DeviationBars {
    fn values(&self) -> impl Iterator<Item = f64> {
        let figures = self.sets.iter().flat_map(|set| set.figures.into_iter().flatten());
        figures.flat_map(|figure| [figure.median_ms, figure.min_ms, figure.max_ms])
    }

    /// For bars of this width.
    fn labels(&self, wide: f64) -> Labels {
        let fit = |labels: &Labels| {
            let mut figures = self.sets.iter().flat_map(|set| set.figures.iter().flatten());
            figures.all(|figure| font::width(&figure.label(*labels), SMALL) + 4.0 <= wide)
        };
        [Labels::Values, Labels::Marks].into_iter().find(fit).unwrap_or(Labels::None)
    }

    fn notes(&self, y: &Axis, labels: Labels) -> Vec<String> {
        let mut notes = vec![
            "Bar: median over pairs (source, destination); whisker: smallest to largest pair; order: the legend's."
                .to_owned(),
        ];
        if self.sets.iter().any(|set| set.published) {
            notes.push("Hatched: published, measured by others with another program on other machines.".to_owned());
        }
        if self.sets.iter().any(|set| set.figures.iter().flatten().any(|figure| figure.few)) {
            let mark = if labels == Labels::None { "Bars too thin for †" } else { "†" };
            notes.push(format!("{mark}: fewer than 10 samples of a pair lie past."));
        }
        notes.extend(y.notes(self.values()));
        notes
    }
}

fn bar(
    scene: &mut Scene,
    panel: &Panel,
    figure: Figure,
    (left, right): (f64, f64),
    (colour, published): (Colour, bool),
) {
    let (from, to) = ((left, panel.up(figure.median_ms)), (right, panel.to.1));
    if published {
        scene.rect(from, to, WHITE);
        scene.hatch(from, to, colour, 9.0);
        scene.outline(from, to, colour, 2.0);
    } else {
        scene.rect(from, to, colour);
    }
    let middle = (left + right) / 2.0;
    let (low, high) = (panel.up(figure.min_ms), panel.up(figure.max_ms));
    let cap = ((right - left) / 4.0).min(8.0);
    // White around black, so that it is seen on the bar and on paper.
    let thin = right - left < 20.0;
    for (colour, width) in if thin { [(INK, 1.0); 2] } else { [(WHITE, 5.0), (INK, 2.0)] } {
        scene.line(vec![(middle, low), (middle, high)], colour, width);
        scene.line(vec![(middle - cap, low), (middle + cap, low)], colour, width);
        scene.line(vec![(middle - cap, high), (middle + cap, high)], colour, width);
    }
    if figure.max_ms == f64::INFINITY {
        scene.arrow((middle, high), INK);
    }
}

/// Above a bar and its whisker.
fn label(scene: &mut Scene, panel: &Panel, figure: Figure, middle: f64, labels: Labels) {
    let text = figure.label(labels);
    if !text.is_empty() {
        let y = panel.up(figure.max_ms).min(panel.up(figure.median_ms)) - 6.0;
        scene.text(text, (middle, y.max(panel.from.1 + SMALL)), SMALL, INK, Anchor::Middle);
    }
}

impl Chart for DeviationBars {
    fn scene(&self) -> Scene {
        let drawn = self.values().filter(|ms| ms.is_finite()).fold(0.0, f64::max);
        // Room for the figures above the highest whisker.
        let y = Axis::new("ms above the median", Scale::log(self.values().chain([drawn * 1.6])), 14);
        let x = Axis::of_names("deviation of a pair's percentile from its median", NAMES.map(str::to_owned));
        let legend = self.sets.iter().enumerate().map(|(k, set)| {
            let mark = if set.published { Mark::Hatched } else { Mark::Box };
            (mark, palette::series(k), set.name.clone())
        });
        let room = (SIZE.0 - 2.0 * EDGE - y.width() - RIGHT) / NAMES.len() as f64;
        let wide = (room * FILLED / self.sets.len().max(1) as f64).min(BAR_WIDTH_MAX);
        let gap = (wide * 0.08).min(3.0);
        let labels = self.labels(wide - 2.0 * gap);
        let page = Page {
            title: self.title.clone(),
            caption: self.caption.clone(),
            notes: self.notes(&y, labels),
            legend: legend.collect(),
        };
        let (mut scene, from, to) = page.open();
        let (from, to) = ((from.0 + y.width(), from.1), (to.0 - RIGHT, to.1 - Panel::BELOW));
        let panel = Panel::open(&mut scene, x, y, from, to);
        for (k, set) in self.sets.iter().enumerate() {
            for (d, figure) in set.figures.iter().enumerate() {
                let Some(figure) = figure.filter(|figure| !figure.median_ms.is_nan()) else { continue };
                let left = from.0 + room * (d as f64 + 0.5) + wide * (k as f64 - self.sets.len() as f64 / 2.0);
                bar(&mut scene, &panel, figure, (left + gap, left + wide - gap), (palette::series(k), set.published));
                label(&mut scene, &panel, figure, left + wide / 2.0, labels);
            }
        }
        panel.close(&mut scene, true);
        scene
    }
}

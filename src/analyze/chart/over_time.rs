//! Latency second by second, with what happened meanwhile: faults, rebalances, hiccups of the harness.

use std::collections::HashSet;

use super::{
    Chart,
    font::{self, SMALL},
    page::{Key, Mark, Page},
    palette::{BLUE, GREEN, INK, ORANGE, PURPLE, SKY, VERMILION},
    panel::{Axis, Panel, label, thinned},
    scale::Scale,
    scene::{Anchor, Colour, Point, Scene},
};

/// The events that were scheduled within one second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Second {
    /// Its beginning, in s since the window's.
    pub at_s: f64,
    /// Median latency, in ms; +∞ past the drain.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Largest.
    pub max_ms: f64,
}

/// Something that lasted.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// In a few words.
    pub what: String,
    /// Beginning, in s since the window's.
    pub from_s: f64,
    /// End.
    pub to_s: f64,
}

/// Latency over time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OverTime {
    /// What the chart is about.
    pub title: String,
    /// Substrate and n.
    pub caption: String,
    /// Length of the window.
    pub window_s: f64,
    /// Seconds in order; one without events is left out.
    pub seconds: Vec<Second>,
    /// Faults that were injected.
    pub faults: Vec<Span>,
    /// When partitions moved between workers, in s since the window's beginning.
    pub rebalances_s: Vec<f64>,
    /// Seconds in which a thread of the harness that only sleeps woke late.
    pub hiccups_s: Vec<f64>,
}

const FAULT: Colour = SKY;
const LABEL_ROWS: usize = 3;
/// Thirty years.
const WINDOW_S_MAX: f64 = 1e9;

impl OverTime {
    fn values(&self) -> impl Iterator<Item = f64> {
        self.seconds.iter().flat_map(|second| [second.p50_ms, second.p99_ms, second.max_ms])
    }

    fn legend(&self) -> Vec<Key> {
        let keys = [
            (Mark::Line, BLUE, "p50 of each second", true),
            (Mark::Line, ORANGE, "p99", true),
            (Mark::Dot, VERMILION, "max", true),
            (Mark::Box, FAULT.tint(0.35), "fault", !self.faults.is_empty()),
            (Mark::Dashed, GREEN, "rebalance", !self.rebalances_s.is_empty()),
            (Mark::Stroke, PURPLE, "wake-up latency", !self.hiccups_s.is_empty()),
        ];
        let shown = keys.into_iter().filter(|key| key.3);
        shown.map(|(mark, colour, name, _)| (mark, colour, name.to_owned())).collect()
    }

    /// A line that is broken where seconds have no events.
    fn line(&self, scene: &mut Scene, panel: &Panel, figure: impl Fn(&Second) -> f64, colour: Colour) {
        let shown: Vec<&Second> = self.seconds.iter().filter(|second| !figure(second).is_nan()).collect();
        for part in shown.chunk_by(|a, b| b.at_s - a.at_s < 1.5) {
            let middle = |second: &&Second| panel.at((second.at_s + 0.5, figure(second)));
            let points: Vec<Point> = part.iter().map(middle).collect();
            if let [alone] = points[..] {
                scene.dot(alone, 2.0, colour, true);
            }
            scene.line(thinned(&points), colour, 2.0);
            let leaving = part.iter().filter(|second| figure(second) == f64::INFINITY);
            once(leaving.map(middle)).for_each(|at| scene.arrow(at, colour));
        }
    }

    fn maxima(&self, scene: &mut Scene, panel: &Panel) {
        let shown = self.seconds.iter().filter(|second| !second.max_ms.is_nan());
        let places: Vec<Point> = shown.map(|second| panel.at((second.at_s + 0.5, second.max_ms))).collect();
        let radius = if self.seconds.len() > 300 { 2.0 } else { 3.0 };
        // Of seconds that share a px the highest is the maximum.
        let columns = places.chunk_by(|a, b| a.0.floor() == b.0.floor());
        for at in columns.filter_map(|column| column.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1))) {
            if at.1 <= panel.from.1 { scene.arrow(at, VERMILION) } else { scene.dot(at, radius, VERMILION, true) }
        }
    }
}

/// Places, each pixel once: long runs have more seconds than a chart has px.
fn once(places: impl Iterator<Item = Point>) -> impl Iterator<Item = Point> {
    let mut seen = HashSet::new();
    places.filter(move |(x, y)| seen.insert((x.round() as i32, y.round() as i32)))
}

/// Names of faults at the top, in rows so that none covers another; those without room are in the caption alone.
fn fault_names(scene: &mut Scene, panel: &Panel, faults: &[Span]) {
    let mut ends = [panel.from.0; LABEL_ROWS];
    for fault in faults {
        let text = font::cut(&fault.what, SMALL, 260.0);
        let wide = font::width(&text, SMALL) + 4.0;
        let left = (panel.across(fault.from_s) + 4.0).min(panel.to.0 - wide);
        if let Some(row) = ends.iter().position(|end| *end + 4.0 <= left) {
            ends[row] = left + wide;
            label(scene, &text, (left, panel.from.1 + 30.0 + 20.0 * row as f64), Anchor::Start);
        }
    }
}

impl Chart for OverTime {
    fn scene(&self) -> Scene {
        let end = self.seconds.iter().map(|second| second.at_s + 1.0).chain([self.window_s, 1.0]);
        let end = end.filter(|s| s.is_finite()).fold(1.0, f64::max).min(WINDOW_S_MAX);
        let x = Axis::new("s since the window began", Scale::Linear { from: 0.0, to: end }, 12);
        let highest = self.values().filter(|ms| ms.is_finite()).fold(shasta_model::slo::SLO_MS, f64::max);
        // The names of faults stand above the data.
        let headroom = if self.faults.is_empty() { 1.0 } else { 4.0 };
        // Marks of hiccups stand below.
        let lowest = self.values().filter(|ms| *ms > 0.0).fold(highest, f64::min) * 0.7;
        let y = Axis::new("latency, ms", Scale::log_ms(self.values().chain([highest * headroom, lowest])), 14);
        let page = Page {
            title: self.title.clone(),
            caption: self.caption.clone(),
            notes: y.notes(self.values()),
            legend: self.legend(),
        };
        let (mut scene, from, to) = page.open();
        let (from, to) = ((from.0 + y.width(), from.1), (to.0 - 56.0, to.1 - Panel::BELOW));
        let under = Panel { x, y, from, to };
        for fault in &self.faults {
            let (left, right) = (under.across(fault.from_s), under.across(fault.to_s));
            scene.rect((left, from.1), (right.max(left + 2.0), to.1), FAULT.tint(0.35));
        }
        let panel = Panel::open(&mut scene, under.x, under.y, from, to);
        for at in &self.rebalances_s {
            let x = panel.across(*at);
            scene.dashed(&[(x, from.1), (x, to.1)], GREEN, 2.0, (7.0, 4.0));
        }
        self.line(&mut scene, &panel, |second| second.p99_ms, ORANGE);
        self.line(&mut scene, &panel, |second| second.p50_ms, BLUE);
        self.maxima(&mut scene, &panel);
        panel.slo(&mut scene);
        for (x, y) in once(self.hiccups_s.iter().map(|at| (panel.across(*at), to.1))) {
            scene.line(vec![(x, y - 12.0), (x, y)], PURPLE, 2.0);
        }
        fault_names(&mut scene, &panel, &self.faults);
        if self.seconds.is_empty() {
            scene.text("no events", ((from.0 + to.0) / 2.0, to.1 - 40.0), 16.0, INK, Anchor::Middle);
        }
        panel.close(&mut scene, true);
        scene
    }
}

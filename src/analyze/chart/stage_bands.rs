//! What the latency consists of, from the median to the last percentile: the stage that grows is the tail's.

use super::{
    Chart,
    page::{Mark, Page},
    palette::{self, WHITE},
    panel::{Axis, Panel},
    scale::Scale,
    scene::Scene,
};

/// The events between two percentiles of the total.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket {
    /// Lower percentile, 0 to 100.
    pub from: f64,
    /// Upper percentile, 0 to 100.
    pub to: f64,
    /// Events in it.
    pub events: u64,
    /// Mean of each stage over them, in ms, in the order of the names.
    pub means_ms: Vec<f64>,
}

/// Mean stages over percentiles of the total.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StageBands {
    /// What the chart is about.
    pub title: String,
    /// Substrate and n.
    pub caption: String,
    /// Names of the stages, in their order along the path.
    pub stages: Vec<String>,
    /// Buckets in order.
    pub buckets: Vec<Bucket>,
}

/// Share of the height that the upper panel has.
const UPPER: f64 = 0.56;
const FEW: u64 = shasta_model::percentile::FEW;

impl Bucket {
    /// Heights that can be stacked: one per stage, none negative or endless.
    fn heights(&self) -> impl Iterator<Item = f64> {
        self.means_ms.iter().map(|ms| if ms.is_finite() { ms.clamp(0.0, 1e12) } else { 0.0 })
    }

    fn total(&self) -> f64 {
        self.heights().sum()
    }

    fn draw(&self, scene: &mut Scene, panel: &Panel, whole: f64) {
        let (left, right) = (panel.across(self.from), panel.across(self.to));
        let mut below = 0.0;
        for (k, height) in self.heights().enumerate() {
            let above = below + height / whole;
            // Under its neighbour by a little: paper would shine through where they only meet.
            let (from, to) = ((left, panel.up(above)), (right + 0.5, panel.up(below)));
            if right > left && to.1 - from.1 > 0.25 {
                scene.rect(from, to, palette::series(k));
                if self.events < FEW {
                    scene.hatch(from, to, WHITE, 9.0);
                }
            }
            below = above;
        }
    }
}

impl StageBands {
    fn notes(&self) -> Vec<String> {
        let means = || self.buckets.iter().flat_map(|bucket| &bucket.means_ms);
        let mut notes =
            vec!["Means over the events between two percentiles of their total; below, as shares of it.".to_owned()];
        if self.buckets.iter().any(|bucket| bucket.events < FEW) {
            notes.push(format!("Striped: fewer than {FEW} events."));
        }
        if means().any(|ms| *ms < 0.0) {
            notes.push("Stages below 0 ms (clocks disagree) are drawn as 0.".to_owned());
        }
        if means().any(|ms| !ms.is_finite()) {
            notes.push("Stages that never ended are left out.".to_owned());
        }
        notes
    }
}

impl Chart for StageBands {
    fn scene(&self) -> Scene {
        let names = self.stages.iter().enumerate();
        let page = Page {
            title: self.title.clone(),
            caption: self.caption.clone(),
            notes: self.notes(),
            legend: names.map(|(k, name)| (Mark::Box, palette::series(k), name.clone())).collect(),
        };
        let (mut scene, from, to) = page.open();
        let last =
            self.buckets.iter().map(|bucket| bucket.from).filter(|p| (0.0..100.0).contains(p)).fold(0.0, f64::max);
        // The last bucket reaches to the slowest event: it is drawn a nine wide.
        let nines = (1.0 - (1.0 - last / 100.0).log10()).round().max(2.0);
        let mut x = Axis::new("percentile of the total (each step is one more nine)", Scale::nines(nines), 12);
        if let Some((_, name)) = x.ticks.last_mut() {
            *name = "100".to_owned();
        }
        let totals = self.buckets.iter().map(Bucket::total);
        let ms = Axis::new("mean, ms", Scale::linear(totals.chain([0.0])), 8);
        let percent = Axis::new("share, %", Scale::Linear { from: 0.0, to: 100.0 }, 5);
        let (left, right) = (from.0 + ms.width().max(percent.width()), to.0 - 20.0);
        let (top, bottom) = (from.1, to.1 - Panel::BELOW);
        let middle = top + (bottom - top) * UPPER;
        let upper = Panel::open(&mut scene, x.clone(), ms, (left, top), (right, middle - 12.0));
        let lower = Panel::open(&mut scene, x, percent, (left, middle + 12.0), (right, bottom));
        for bucket in &self.buckets {
            bucket.draw(&mut scene, &upper, 1.0);
            bucket.draw(&mut scene, &lower, (bucket.total() / 100.0).max(f64::MIN_POSITIVE));
        }
        upper.close(&mut scene, false);
        lower.close(&mut scene, true);
        scene
    }
}

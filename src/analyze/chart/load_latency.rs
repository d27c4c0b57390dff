//! How the tail grows with the load: one point per run, so that their spread is seen, and a line through the medians.

use super::{
    Chart,
    page::{Mark, Page},
    palette,
    panel::{Axis, Panel},
    scale::Scale,
    scene::{Colour, Scene},
};

/// One run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoadRun {
    /// What was varied.
    pub load: f64,
    /// p99.99 in ms, +∞ past the drain.
    pub p9999_ms: f64,
    /// Whether fewer than ten samples lie past: drawn as a ring.
    pub few: bool,
}

/// Runs that differ in nothing but their load.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadSeries {
    /// As the legend has it.
    pub name: String,
    /// Runs, in any order.
    pub runs: Vec<LoadRun>,
}

/// Tail latency over load.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoadLatency {
    /// What the chart is about.
    pub title: String,
    /// Substrate and n.
    pub caption: String,
    /// What was varied, with its unit: `events/s`.
    pub load: String,
    /// The latency, with its unit: `p99.99 of scheduled → stored, ms`.
    pub latency: String,
    /// Lines.
    pub series: Vec<LoadSeries>,
}

impl LoadSeries {
    fn drawn(&self) -> Vec<LoadRun> {
        let shown = self.runs.iter().copied().filter(|run| run.load.is_finite() && !run.p9999_ms.is_nan());
        let mut runs: Vec<LoadRun> = shown.collect();
        runs.sort_by(|a, b| a.load.total_cmp(&b.load).then(a.p9999_ms.total_cmp(&b.p9999_ms)));
        runs
    }

    /// Median of the runs at each load; of an even number of runs the mean of the middle two.
    fn medians(runs: &[LoadRun]) -> Vec<(f64, f64)> {
        let groups = runs.chunk_by(|a, b| a.load == b.load);
        groups
            .map(|runs| {
                let (low, high) = (runs[(runs.len() - 1) / 2].p9999_ms, runs[runs.len() / 2].p9999_ms);
                (runs[0].load, if low == high { low } else { low / 2.0 + high / 2.0 })
            })
            .collect()
    }

    fn draw(&self, scene: &mut Scene, panel: &Panel, colour: Colour) {
        let runs = self.drawn();
        let medians = Self::medians(&runs).into_iter().map(|point| panel.at(point));
        scene.line(medians.collect(), colour.tint(0.7), 2.0);
        for run in runs {
            let at = panel.at((run.load, run.p9999_ms));
            if run.p9999_ms == f64::INFINITY { scene.arrow(at, colour) } else { scene.dot(at, 5.5, colour, !run.few) }
        }
    }
}

/// Equal ratios where loads differ more than twentyfold, else equal differences from 0.
fn load_scale(loads: &[f64]) -> Scale {
    let (min, max) = loads.iter().fold((f64::INFINITY, 0.0_f64), |(a, b), load| (a.min(*load), b.max(*load)));
    if min > 0.0 && max / min > 20.0 {
        Scale::log(loads.iter().flat_map(|load| [load * 0.9, load * 1.1]))
    } else {
        Scale::linear(loads.iter().copied().chain([0.0, max * 1.05]))
    }
}

impl Chart for LoadLatency {
    fn scene(&self) -> Scene {
        let runs: Vec<LoadRun> = self.series.iter().flat_map(LoadSeries::drawn).collect();
        let loads: Vec<f64> = runs.iter().map(|run| run.load).collect();
        let ms = || runs.iter().map(|run| run.p9999_ms);
        let x = Axis::new(self.load.clone(), load_scale(&loads), 10);
        let y = Axis::new(self.latency.clone(), Scale::log_ms(ms()), 14);
        let mut notes = vec!["A point is a run; the line runs through the median at each load.".to_owned()];
        if runs.iter().any(|run| run.few) {
            notes.push("Ring: fewer than 10 samples lie past, so single events decide.".to_owned());
        }
        notes.extend(y.notes(ms()));
        let names = self.series.iter().enumerate();
        let legend = names.map(|(k, series)| (Mark::Dot, palette::series(k), series.name.clone())).collect();
        let (mut scene, from, to) =
            Page { title: self.title.clone(), caption: self.caption.clone(), notes, legend }.open();
        let (from, to) = ((from.0 + y.width(), from.1), (to.0 - 56.0, to.1 - Panel::BELOW));
        let panel = Panel::open(&mut scene, x, y, from, to);
        panel.slo(&mut scene);
        for (k, series) in self.series.iter().enumerate() {
            series.draw(&mut scene, &panel, palette::series(k));
        }
        panel.close(&mut scene, true);
        scene
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_runs_through_medians() {
        let run = |load, p9999_ms| LoadRun { load, p9999_ms, few: false };
        let runs = vec![run(2.0, 9.0), run(1.0, 4.0), run(1.0, 2.0), run(2.0, f64::INFINITY), run(2.0, 8.0)];
        let series = LoadSeries { name: String::new(), runs };
        assert_eq!(LoadSeries::medians(&series.drawn()), [(1.0, 3.0), (2.0, 9.0)]);
    }
}

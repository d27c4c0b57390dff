//! How many events a second a batch of so many carries: a line a series, both axes in equal ratios.

use super::{
    Chart,
    page::{Mark, Page},
    palette,
    panel::{Axis, Panel},
    scale::Scale,
    scene::Scene,
};

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchSeries {
    /// As the legend has it.
    pub name: String,
    /// Events of a batch and events a second, ascending; what is not finite and above 0 is not drawn.
    pub points: Vec<(f64, f64)>,
}

/// Events a second over the events of a batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BatchRate {
    /// What the chart is about.
    pub title: String,
    /// What was measured on what.
    pub caption: String,
    /// Lines.
    pub series: Vec<BatchSeries>,
}

impl BatchSeries {
    fn drawn(&self) -> impl Iterator<Item = (f64, f64)> {
        let on_axes = |value: f64| value.is_finite() && value > 0.0;
        self.points.iter().copied().filter(move |(batch, rate)| on_axes(*batch) && on_axes(*rate))
    }
}

impl Chart for BatchRate {
    fn scene(&self) -> Scene {
        let all: Vec<(f64, f64)> = self.series.iter().flat_map(BatchSeries::drawn).collect();
        let x = Axis::new("events of a batch", Scale::log(all.iter().map(|point| point.0)), 12);
        let y = Axis::new("events/s", Scale::log(all.iter().map(|point| point.1)), 14);
        let names = self.series.iter().enumerate();
        let legend = names.map(|(k, series)| (Mark::Line, palette::series(k), series.name.clone())).collect();
        let page = Page { title: self.title.clone(), caption: self.caption.clone(), notes: vec![], legend };
        let (mut scene, from, to) = page.open();
        let (from, to) = ((from.0 + y.width(), from.1), (to.0 - 56.0, to.1 - Panel::BELOW));
        let panel = Panel::open(&mut scene, x, y, from, to);
        for (k, series) in self.series.iter().enumerate() {
            let points: Vec<_> = series.drawn().map(|point| panel.at(point)).collect();
            for &point in &points {
                scene.dot(point, 4.5, palette::series(k), true);
            }
            scene.line(points, palette::series(k), 3.0);
        }
        panel.close(&mut scene, true);
        scene
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_figures_are_not_drawn() {
        let points = vec![(1.0, 2.0), (0.0, 3.0), (2.0, f64::NAN), (4.0, f64::INFINITY), (8.0, 16.0)];
        let series = BatchSeries { name: "a".to_owned(), points };
        assert_eq!(series.drawn().collect::<Vec<_>>(), [(1.0, 2.0), (8.0, 16.0)]);
        let chart = BatchRate { title: "t".to_owned(), caption: String::new(), series: vec![series] };
        assert!(!chart.scene().shapes.is_empty() && !BatchRate::default().scene().shapes.is_empty());
    }
}

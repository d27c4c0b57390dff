//! Latency over percentiles, where each further nine is as wide as the one before: the tail is most of the picture.

use super::{
    Chart,
    page::{Key, Mark, Page},
    palette::{self, GREY, INK, VERMILION},
    panel::{Axis, Panel, thinned},
    scale::Scale,
    scene::{Anchor, Colour, Point, Scene},
};
use shasta_model::{
    percentile::{FEW, PERCENTILES},
    slo::{SHARE_REQUIRED, SLO_MS},
};

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// As the legend has it: a run, a latency, or both.
    pub name: String,
    /// Planned events behind it.
    pub n: u64,
    /// Percentile (0 to below 100, others are not drawn) and latency in ms, +∞ past the drain; ascending.
    pub points: Vec<(f64, f64)>,
}

/// Latency over percentiles.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PercentileCurve {
    /// What the chart is about.
    pub title: String,
    /// Substrate and n.
    pub caption: String,
    /// The lines.
    pub curves: Vec<Curve>,
}

/// The percentiles at which a curve over `n` events is worth computing, those of the tables among them: 25 to a nine,
/// until no event lies past.
pub fn percentiles(n: u64) -> Vec<f64> {
    const A_NINE: f64 = 25.0;
    let end = nines_of(n) * A_NINE;
    let even = (0..=end as u32).map(|k| 100.0 - 100.0 * 10_f64.powf(-f64::from(k) / A_NINE));
    let named = PERCENTILES.into_iter().filter(|p| -(1.0 - p / 100.0).log10() * A_NINE <= end + 1e-6);
    let mut all: Vec<f64> = even.chain(named).collect();
    all.sort_unstable_by(f64::total_cmp);
    // 90 is both, but for its last digit.
    all.dedup_by(|next, kept| (100.0 - *next) / (100.0 - *kept) > 0.999_999);
    all
}

/// Nines that `n` events reach, from 2 to 9.
fn nines_of(n: u64) -> f64 {
    (n.max(1) as f64).log10().clamp(2.0, 9.0)
}

impl Curve {
    /// Whether so few samples lie past the percentile that single events decide its value.
    fn few(&self, p: f64) -> bool {
        let last = self.n.saturating_sub(1);
        last - ((last as f64 * (p / 100.0)) as u64).min(last) < FEW
    }

    /// What can be drawn of it: up to the first value past the drain.
    fn drawn(&self) -> Vec<(f64, f64)> {
        let on_axis = self.points.iter().copied().filter(|(p, ms)| (0.0..100.0).contains(p) && !ms.is_nan());
        let mut points: Vec<(f64, f64)> = on_axis.collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let leaves = points.iter().position(|(_, ms)| *ms == f64::INFINITY);
        points.truncate(leaves.map_or(points.len(), |k| k + 1));
        points
    }

    fn draw(&self, scene: &mut Scene, panel: &Panel, colour: Colour) {
        let drawn = self.drawn();
        let at = |points: &[(f64, f64)]| -> Vec<Point> { points.iter().map(|&point| panel.at(point)).collect() };
        let sure = drawn.iter().take_while(|(p, _)| !self.few(*p)).count();
        scene.line(thinned(&at(&drawn[..sure])), colour, 3.0);
        scene.dashed(&thinned(&at(&drawn[sure.saturating_sub(1)..])), colour.tint(0.75), 2.0, (7.0, 5.0));
        if let Some(&(p, ms)) = drawn.last() {
            let at = panel.at((p, ms));
            if ms == f64::INFINITY { scene.arrow(at, colour) } else { scene.dot(at, 4.0, colour, sure == drawn.len()) }
        }
    }
}

impl Chart for PercentileCurve {
    fn scene(&self) -> Scene {
        let all: Vec<(f64, f64)> = self.curves.iter().flat_map(Curve::drawn).collect();
        let ms = || all.iter().map(|point| point.1);
        let nines = self.curves.iter().map(|curve| nines_of(curve.n)).fold(5.0, f64::max);
        let x = Axis::new("percentile of planned events (each step is one more nine)", Scale::nines(nines.ceil()), 12);
        let y = Axis::new("latency, ms", Scale::log_ms(ms()), 14);
        let mut notes = y.notes(ms());
        if self.curves.iter().any(|curve| curve.drawn().iter().any(|(p, _)| curve.few(*p))) {
            notes.push(format!("Dashed: fewer than {FEW} events lie past, so single events decide."));
        }
        notes.push(format!(
            "Shaded: where no curve may run if {} % are to take less than {SLO_MS} ms.",
            SHARE_REQUIRED * 100.0
        ));
        let keys = self.curves.iter().enumerate();
        let legend: Vec<Key> = keys.map(|(k, curve)| (Mark::Line, palette::series(k), curve.name.clone())).collect();
        let (mut scene, from, to) =
            Page { title: self.title.clone(), caption: self.caption.clone(), notes, legend }.open();
        let (from, to) = ((from.0 + y.width(), from.1), (to.0 - 56.0, to.1 - Panel::BELOW));
        let promise = Panel { x, y, from, to };
        let corner = promise.at((SHARE_REQUIRED * 100.0, SLO_MS));
        scene.rect(from, corner, VERMILION.tint(0.12));
        let panel = Panel::open(&mut scene, promise.x, promise.y, from, to);
        scene.dashed(&[(corner.0, from.1), (corner.0, to.1)], GREY, 1.0, (4.0, 4.0));
        panel.slo(&mut scene);
        for (k, curve) in self.curves.iter().enumerate() {
            curve.draw(&mut scene, &panel, palette::series(k));
        }
        if all.is_empty() {
            scene.text("no events", ((from.0 + to.0) / 2.0, to.1 - 40.0), 16.0, INK, Anchor::Middle);
        }
        panel.close(&mut scene, true);
        scene
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shasta_model::percentile::Distribution;

    #[test]
    fn percentiles_end_where_no_event_lies_past() {
        let ps = percentiles(600_000);
        assert!(PERCENTILES.iter().all(|p| ps.contains(p)), "{ps:?}");
        assert!(ps.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(ps.len() < 160 && ps[0] == 0.0 && *ps.last().unwrap() > 99.9998 && *ps.last().unwrap() < 100.0);
        assert!(percentiles(0).len() > 40 && *percentiles(0).last().unwrap() <= 99.0);
    }

    #[test]
    fn few_is_what_the_tables_mark() {
        for n in [1, 10, 11, 1000, 99_999, 100_000] {
            let (curve, distribution) =
                (Curve { name: String::new(), n, points: vec![] }, Distribution::new(vec![7; n as usize], 0));
            for p in percentiles(n) {
                assert_eq!(curve.few(p), distribution.percentile_ms(p).few(), "n {n}, p{p}");
            }
        }
    }

    #[test]
    fn a_curve_ends_where_it_leaves() {
        let points = vec![(0.0, 1.0), (90.0, f64::INFINITY), (99.0, f64::INFINITY), (100.0, 3.0), (50.0, f64::NAN)];
        let curve = Curve { name: String::new(), n: 1000, points };
        assert_eq!(curve.drawn(), [(0.0, 1.0), (90.0, f64::INFINITY)]);
    }
}

//! Two axes and the room between them.

use super::{
    font::{self, MEDIUM, SMALL},
    palette::{GREY, GRID, INK, WHITE},
    scale::{Scale, Tick, number},
    scene::{Anchor, Point, SIZE, Scene, Shape, Text},
};
use shasta_model::slo::SLO_MS;

/// One axis.
#[derive(Debug, Clone)]
pub struct Axis {
    /// What it measures, with its unit.
    pub name: String,
    /// Where values lie.
    pub scale: Scale,
    /// The values that are named.
    pub ticks: Vec<Tick>,
    /// Whether a line runs across the panel at each of them.
    pub grid: bool,
}

impl Axis {
    /// An axis that names about `room` round values.
    pub fn new(name: impl Into<String>, scale: Scale, room: usize) -> Self {
        Self { name: name.into(), scale, ticks: scale.ticks(room), grid: true }
    }

    /// An axis of named places, each of length 1.
    pub fn of_names(name: impl Into<String>, names: impl IntoIterator<Item = String>) -> Self {
        let ticks: Vec<Tick> = names.into_iter().enumerate().map(|(k, name)| (k as f64 + 0.5, name)).collect();
        let scale = Scale::Linear { from: 0.0, to: (ticks.len() as f64).max(1.0) };
        Self { name: name.into(), scale, ticks, grid: false }
    }

    /// Room that it needs to the left of a panel, in px.
    pub fn width(&self) -> f64 {
        let widest = self.ticks.iter().map(|(_, name)| font::width(name, SMALL)).fold(0.0, f64::max);
        MEDIUM + 18.0 + widest.min(LABEL_MAX) + 10.0
    }

    /// One in how many names is shown where there is room for so many; round values were chosen for theirs.
    fn every(&self, room: f64) -> usize {
        if self.grid { 1 } else { (self.ticks.len() as f64 / room.max(1.0)).ceil().max(1.0) as usize }
    }

    /// What is not drawn where it belongs, in sentences.
    pub fn notes(&self, values: impl IntoIterator<Item = f64>) -> Vec<String> {
        let (mut low, mut high) = (false, false);
        for value in values {
            low |= value < self.scale.from();
            high |= value == f64::INFINITY;
        }
        let from = number(self.scale.from());
        let low = low.then(|| format!("Values below {from} ms, 0 and less among them, are drawn at the lower edge."));
        let high = high.then(|| {
            "▲: past the drain, as events that never arrived count as +∞; drawn leaving at the top.".to_owned()
        });
        low.into_iter().chain(high).collect()
    }
}

const LABEL_MAX: f64 = 180.0;

/// Where data goes.
#[derive(Debug, Clone)]
pub struct Panel {
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// Upper left corner.
    pub from: Point,
    /// Lower right corner.
    pub to: Point,
}

impl Panel {
    /// Height of what stands below a panel, in px.
    pub const BELOW: f64 = 50.0;

    /// Draws the lines behind the data; the room between `from` and `to` is the panel's own, without names.
    pub fn open(scene: &mut Scene, x: Axis, y: Axis, from: Point, to: Point) -> Self {
        let panel = Self { x, y, from, to };
        for (value, _) in panel.x.ticks.iter().filter(|_| panel.x.grid) {
            let x = panel.across(*value);
            scene.line(vec![(x, from.1), (x, to.1)], GRID, 1.0);
        }
        for (value, _) in panel.y.ticks.iter().filter(|_| panel.y.grid) {
            let y = panel.up(*value);
            scene.line(vec![(from.0, y), (to.0, y)], GRID, 1.0);
        }
        panel
    }

    /// x in px of a value.
    pub fn across(&self, value: f64) -> f64 {
        self.from.0 + (self.to.0 - self.from.0) * self.x.scale.share(value)
    }

    /// y in px of a value.
    pub fn up(&self, value: f64) -> f64 {
        self.to.1 - (self.to.1 - self.from.1) * self.y.scale.share(value)
    }

    /// The place of a pair of values.
    pub fn at(&self, (x, y): (f64, f64)) -> Point {
        (self.across(x), self.up(y))
    }

    /// The SLO as a line, named in the margin to the right.
    pub fn slo(&self, scene: &mut Scene) {
        let y = self.up(SLO_MS);
        scene.dashed(&[(self.from.0, y), (self.to.0, y)], INK, 2.0, (10.0, 5.0));
        // Where the line is at an end, the name stays beside the panel.
        let y = y.clamp(self.from.1 + SMALL, (self.to.1 - SMALL).max(self.from.1 + SMALL));
        scene.text("SLO", (self.to.0 + 8.0, y - 4.0), SMALL, INK, Anchor::Start);
        scene.text(format!("{} ms", number(SLO_MS)), (self.to.0 + 8.0, y + 13.0), SMALL, INK, Anchor::Start);
    }

    /// Draws the frame and the names, above the data; those of the horizontal axis only below the lowest panel.
    pub fn close(&self, scene: &mut Scene, lowest: bool) {
        let (from, to) = (self.from, self.to);
        scene.outline(from, to, GREY, 1.0);
        self.names_below(scene, lowest);
        let mut above = f64::INFINITY;
        for (value, name) in self.y.ticks.iter().step_by(self.y.every((to.1 - from.1) / (SMALL + 2.0))) {
            let y = self.up(*value);
            if above - y >= SMALL + 2.0 {
                above = y;
                scene.line(vec![(from.0 - 5.0, y), (from.0, y)], GREY, 1.0);
                scene.text(font::cut(name, SMALL, LABEL_MAX), (from.0 - 9.0, y + 5.0), SMALL, INK, Anchor::End);
            }
        }
        let at = (from.0 - self.y.width() + MEDIUM, (from.1 + to.1) / 2.0);
        let text = font::cut(&self.y.name, MEDIUM, to.1 - from.1);
        let (size, colour, anchor) = (MEDIUM, INK, Anchor::Middle);
        scene.shapes.push(Shape::Text(Text { text, at, size, colour, anchor, upwards: true }));
    }

    fn names_below(&self, scene: &mut Scene, lowest: bool) {
        let (from, to) = (self.from, self.to);
        let mut before = f64::NEG_INFINITY;
        let widest = self.x.ticks.iter().map(|(_, name)| font::width(name, SMALL)).fold(1.0, f64::max).min(LABEL_MAX);
        for (value, name) in self.x.ticks.iter().step_by(self.x.every((to.0 - from.0) / (widest + 9.0))) {
            let x = self.across(*value);
            // Centred at its place, it must not leave the canvas.
            let room = 2.0 * x.min(SIZE.0 - x) - 4.0;
            let name = font::cut(name, SMALL, room.min(LABEL_MAX));
            let half = font::width(&name, SMALL) / 2.0;
            if x - half < before + 8.0 {
                continue;
            }
            before = x + half;
            scene.line(vec![(x, to.1), (x, to.1 + 5.0)], GREY, 1.0);
            if lowest {
                scene.text(name, (x, to.1 + 20.0), SMALL, INK, Anchor::Middle);
            }
        }
        if lowest {
            let name = font::cut(&self.x.name, MEDIUM, to.0 - from.0);
            scene.text(name, ((from.0 + to.0) / 2.0, to.1 + 43.0), MEDIUM, INK, Anchor::Middle);
        }
    }
}

/// A label on white, so that it can be read on data.
pub fn label(scene: &mut Scene, text: &str, at: Point, anchor: Anchor) {
    let label = Text { text: text.to_owned(), at, size: SMALL, colour: INK, anchor, upwards: false };
    let (from, to) = label.bounds();
    scene.rect((from.0 - 2.0, from.1), (to.0 + 2.0, to.1), WHITE);
    scene.shapes.push(Shape::Text(label));
}

/// Points of a line from left to right, with what cannot be seen left out: of those within half a px the first,
/// lowest, highest and last stay, so no peak is lost.
pub fn thinned(points: &[Point]) -> Vec<Point> {
    let column = |point: &Point| (point.0 * 2.0).floor();
    let mut kept = Vec::new();
    for group in points.chunk_by(|a, b| column(a) == column(b)) {
        let mut ends = [0, 0, 0, group.len() - 1];
        for (k, point) in group.iter().enumerate() {
            if point.1 < group[ends[1]].1 {
                ends[1] = k;
            }
            if point.1 > group[ends[2]].1 {
                ends[2] = k;
            }
        }
        ends.sort_unstable();
        kept.extend(ends.iter().map(|&k| group[k]));
    }
    kept.dedup();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_every_peak() {
        let points: Vec<Point> = (0..100_000).map(|k| (f64::from(k) / 100.0, f64::from(k * 7919 % 10_007))).collect();
        let kept = thinned(&points);
        assert!(kept.len() <= 8004, "{}", kept.len());
        for (column, group) in (0..).zip(points.chunks(50)) {
            let inside = kept.iter().filter(|point| (point.0 * 2.0).floor() == f64::from(column));
            assert_eq!(
                inside.map(|point| point.1).fold(0.0, f64::max),
                group.iter().map(|point| point.1).fold(0.0, f64::max)
            );
        }
        assert_eq!(thinned(&[]), []);
    }
}

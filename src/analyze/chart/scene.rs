//! A drawing before it is a file: shapes in reading order on a canvas of fixed size.
//!
//! Charts make scenes and nothing else, so what is drawn can be checked without a pixel: that every word lies on the
//! canvas, and that no two of them overlap.

use super::font;

/// Width and height of every chart, in px.
pub const SIZE: (f64, f64) = (1200.0, 700.0);

/// x to the right and y downwards from the canvas' upper left corner, in px.
pub type Point = (f64, f64);

/// Red, green, blue; always opaque, so that both formats show the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour(pub u8, pub u8, pub u8);

impl Colour {
    /// The colour with so much of it, 0 to 1, on white.
    pub fn tint(self, share: f64) -> Self {
        self.towards(Self(255, 255, 255), 1.0 - share)
    }

    /// The colour on the way to another one, 0 to 1.
    pub fn towards(self, other: Self, share: f64) -> Self {
        let mix = |from: u8, to: u8| (f64::from(from) + (f64::from(to) - f64::from(from)) * share).round() as u8;
        Self(mix(self.0, other.0), mix(self.1, other.1), mix(self.2, other.2))
    }

    /// Whether black words on it are harder to read than white ones.
    pub fn is_dark(self) -> bool {
        0.299 * f64::from(self.0) + 0.587 * f64::from(self.1) + 0.114 * f64::from(self.2) < 130.0
    }
}

/// Which part of a text stands at its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// Its beginning.
    Start,
    /// Its middle.
    Middle,
    /// Its end.
    End,
}

/// Words in one line.
#[derive(Debug, Clone, PartialEq)]
pub struct Text {
    /// The words.
    pub text: String,
    /// Where the anchor stands on the base line.
    pub at: Point,
    /// Height of an em, in px.
    pub size: f64,
    /// Colour.
    pub colour: Colour,
    /// What stands at the point.
    pub anchor: Anchor,
    /// Whether it runs upwards instead of to the right.
    pub upwards: bool,
}

impl Text {
    /// The box that the words take: upper left and lower right corner.
    pub fn bounds(&self) -> (Point, Point) {
        let width = font::width(&self.text, self.size);
        let before = match self.anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => width / 2.0,
            Anchor::End => width,
        };
        let (above, below) = (self.size * 0.76, self.size * 0.24);
        let (x, y) = self.at;
        if self.upwards {
            ((x - above, y + before - width), (x + below, y + before))
        } else {
            ((x - before, y - above), (x - before + width, y + below))
        }
    }
}

/// One thing on the canvas.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the names say it; lengths are in px")]
pub enum Shape {
    /// A filled rectangle between its upper left and lower right corner.
    Rect { from: Point, to: Point, fill: Colour },
    /// A filled polygon.
    Area { points: Vec<Point>, fill: Colour },
    /// A line through its points.
    Line { points: Vec<Point>, stroke: Colour, width: f64 },
    /// A filled circle.
    Dot { at: Point, radius: f64, fill: Colour },
    /// Words.
    Text(Text),
}

/// A drawing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scene {
    /// Its title, for those who cannot see it.
    pub title: String,
    /// What stands below it, in full.
    pub caption: String,
    /// The shapes, the lowest first.
    pub shapes: Vec<Shape>,
}

impl Scene {
    /// A filled rectangle.
    pub fn rect(&mut self, from: Point, to: Point, fill: Colour) {
        self.shapes.push(Shape::Rect { from, to, fill });
    }

    /// A filled polygon.
    pub fn area(&mut self, points: Vec<Point>, fill: Colour) {
        self.shapes.push(Shape::Area { points, fill });
    }

    /// A line.
    pub fn line(&mut self, points: Vec<Point>, stroke: Colour, width: f64) {
        self.shapes.push(Shape::Line { points, stroke, width });
    }

    /// A circle: filled, or a ring around white.
    pub fn dot(&mut self, at: Point, radius: f64, colour: Colour, filled: bool) {
        self.shapes.push(Shape::Dot { at, radius, fill: colour });
        if !filled {
            self.shapes.push(Shape::Dot { at, radius: radius - 1.75, fill: Colour(255, 255, 255) });
        }
    }

    /// A triangle that points upwards: a value that leaves at the top.
    pub fn arrow(&mut self, (x, y): Point, colour: Colour) {
        self.area(vec![(x, y), (x + 6.0, y + 11.0), (x - 6.0, y + 11.0)], colour);
    }

    /// The outline of a rectangle.
    pub fn outline(&mut self, (x0, y0): Point, (x1, y1): Point, stroke: Colour, width: f64) {
        self.line(vec![(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)], stroke, width);
    }

    /// Oblique lines across a rectangle, so many px apart.
    pub fn hatch(&mut self, (x0, y0): Point, (x1, y1): Point, stroke: Colour, step: f64) {
        let mut sum = ((x0 + y0) / step).ceil() * step;
        while sum < x1 + y1 {
            let (left, right) = (x0.max(sum - y1), x1.min(sum - y0));
            if left < right {
                self.line(vec![(left, sum - left), (right, sum - right)], stroke, 1.0);
            }
            sum += step;
        }
    }

    /// A broken line: so many px drawn, so many left out.
    pub fn dashed(&mut self, points: &[Point], stroke: Colour, width: f64, (on, off): (f64, f64)) {
        let (mut dash, mut drawn, mut left) = (Vec::new(), true, on);
        for ends in points.windows(2) {
            let ((x0, y0), (x1, y1)) = (ends[0], ends[1]);
            let length = (x1 - x0).hypot(y1 - y0);
            let mut gone = 0.0;
            if drawn && dash.is_empty() {
                dash.push(ends[0]);
            }
            while length - gone > left {
                gone += left;
                let at = (x0 + (x1 - x0) * gone / length, y0 + (y1 - y0) * gone / length);
                dash.push(at);
                if drawn {
                    self.line(std::mem::take(&mut dash), stroke, width);
                }
                (drawn, left) = (!drawn, if drawn { off } else { on });
                dash = if drawn { vec![at] } else { Vec::new() };
            }
            left -= length - gone;
            if drawn {
                dash.push(ends[1]);
            }
        }
        self.line(dash, stroke, width);
    }

    /// Words that begin, end or are centred at a point of their base line.
    pub fn text(&mut self, text: impl Into<String>, at: Point, size: f64, colour: Colour, anchor: Anchor) {
        self.shapes.push(Shape::Text(Text { text: text.into(), at, size, colour, anchor, upwards: false }));
    }
}

//! Puts a scene on any of plotters' surfaces.

use plotters::{
    prelude::{DrawingBackend, RGBColor},
    style::{
        Color, FontTransform, ShapeStyle, TextStyle,
        text_anchor::{HPos, Pos, VPos},
    },
};
use plotters_backend::{BackendCoord, DrawingErrorKind};

use super::{
    font,
    scene::{Anchor, Colour, Point, Scene, Shape, Text},
};

/// In how a surface differs from others.
#[derive(Debug, Clone, Copy)]
pub struct Surface {
    /// Its px per px of the scene; plotters draws at whole px.
    pub scale: f64,
    /// What plotters calls the size of a font, in em.
    pub size_em: f64,
    /// How far below the upper edge, as plotters sees it, the base line of a text is, in em.
    pub base_line_em: f64,
    /// Whether it draws a line of many points itself. Plotters fills the outline of one, and where that crosses itself
    /// it leaves holes.
    pub whole_lines: bool,
}

/// Draws all shapes in their order.
pub fn paint<B: DrawingBackend>(
    scene: &Scene,
    surface: Surface,
    backend: &mut B,
) -> Result<(), DrawingErrorKind<B::ErrorType>> {
    backend.ensure_prepared()?;
    let px = |(x, y): Point| ((x * surface.scale).round() as i32, (y * surface.scale).round() as i32);
    for shape in &scene.shapes {
        match shape {
            Shape::Rect { from, to, fill } => backend.draw_rect(px(*from), px(*to), &filled(*fill), true)?,
            Shape::Area { points, fill } => {
                backend.fill_polygon(points.iter().map(|&point| px(point)), &filled(*fill))?
            }
            Shape::Dot { at, radius, fill } => {
                let radius = (radius * surface.scale).round().max(1.0) as u32;
                backend.draw_circle(px(*at), radius, &filled(*fill), true)?;
            }
            Shape::Line { points, stroke, width } => {
                let style = filled(*stroke).stroke_width((width * surface.scale).round().max(1.0) as u32);
                let mut points: Vec<BackendCoord> = points.iter().map(|&point| px(point)).collect();
                // Plotters divides by the length of every piece.
                points.dedup();
                line(backend, &points, &style, surface)?;
            }
            Shape::Text(text) => words(backend, text, surface)?,
        }
    }
    backend.present()
}

fn filled(Colour(r, g, b): Colour) -> ShapeStyle {
    RGBColor(r, g, b).filled()
}

fn line<B: DrawingBackend>(
    backend: &mut B,
    points: &[BackendCoord],
    style: &ShapeStyle,
    surface: Surface,
) -> Result<(), DrawingErrorKind<B::ErrorType>> {
    if points.len() < 2 {
        return Ok(());
    }
    if surface.whole_lines {
        return backend.draw_path(points.iter().copied(), style);
    }
    for (k, ends) in points.windows(2).enumerate() {
        backend.draw_path(ends.iter().copied(), style)?;
        // Pieces of a wide line meet in a gap without a joint.
        if k > 0 && style.stroke_width > 2 {
            backend.draw_circle(ends[0], style.stroke_width / 2, style, true)?;
        }
    }
    Ok(())
}

fn words<B: DrawingBackend>(
    backend: &mut B,
    text: &Text,
    surface: Surface,
) -> Result<(), DrawingErrorKind<B::ErrorType>> {
    let em = text.size * surface.scale;
    let (x, y) = (text.at.0 * surface.scale, text.at.1 * surface.scale);
    let above = surface.base_line_em * em;
    let (at, turned) =
        if text.upwards { ((x - above, y), FontTransform::Rotate270) } else { ((x, y - above), FontTransform::None) };
    let h_pos = match text.anchor {
        Anchor::Start => HPos::Left,
        Anchor::Middle => HPos::Center,
        Anchor::End => HPos::Right,
    };
    let Colour(r, g, b) = text.colour;
    let colour = RGBColor(r, g, b);
    let style = TextStyle::from(font::of_size(em * surface.size_em).transform(turned))
        .color(&colour)
        .pos(Pos::new(h_pos, VPos::Top));
    backend.draw_text(&text.text, &style, (at.0.round() as i32, at.1.round() as i32))
}

//! Cells of the tables of causes: what people read, and the same for machines.

use crate::document::{Block, Cell, Table};

use super::{tail, words};

/// A table.
pub fn table(name: &'static str, header: &[&str], rows: Vec<Vec<Cell>>) -> Block {
    Block::Table(Table::new(name, header, rows))
}

/// A number with so many places.
pub fn fixed(value: f64, places: usize) -> Cell {
    let text = format!("{value:.places$}");
    let rounded = text.parse().unwrap_or(f64::NAN);
    Cell::number(text, rounded)
}

/// A share as a percentage; its number is the share, 0 to 1.
pub fn share(value: f64) -> Cell {
    Cell::number(words::percent(value), value)
}

/// A probability.
pub fn chance(probability: f64) -> Cell {
    let text = if probability < 0.001 { "< 0.001".to_owned() } else { format!("{probability:.3}") };
    Cell::number(text, probability)
}

/// A latency in ms, `> drain` for [`tail::NEVER`].
pub fn wait(us: Option<i64>) -> Cell {
    match us {
        None => "–".into(),
        Some(tail::NEVER) => words::wait(tail::NEVER).into(),
        Some(us) => fixed(us as f64 / 1000.0, 2),
    }
}

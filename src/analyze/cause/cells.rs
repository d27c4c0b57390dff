//! Cells of the tables of causes: what people read, and the same for machines.

use crate::{
    document::{Block, Cell, Table},
    markdown::count,
};

use super::{tail, words};

/// A table.
pub fn table(name: &'static str, header: &[&str], rows: Vec<Vec<Cell>>) -> Block {
    let header = header.iter().map(|&name| name.to_owned()).collect();
    Block::Table(Table { name, header, rows, exact_header: false })
}

/// A text with its number.
pub fn number(text: String, number: f64) -> Cell {
    Cell { text, number: number.is_finite().then_some(number) }
}

/// A count.
pub fn whole(n: u64) -> Cell {
    number(count(n), n as f64)
}

/// A number with so many places.
pub fn fixed(value: f64, places: usize) -> Cell {
    let text = format!("{value:.places$}");
    let rounded = text.parse().unwrap_or(f64::NAN);
    number(text, rounded)
}

/// A share as a percentage; its number is the share, 0 to 1.
pub fn share(value: f64) -> Cell {
    number(words::percent(value), value)
}

/// A probability.
pub fn chance(probability: f64) -> Cell {
    let text = if probability < 0.001 { "< 0.001".to_owned() } else { format!("{probability:.3}") };
    number(text, probability)
}

/// A latency in ms, `> drain` for [`tail::NEVER`].
pub fn wait(us: Option<i64>) -> Cell {
    match us {
        None => "–".into(),
        Some(tail::NEVER) => words::wait(tail::NEVER).into(),
        Some(us) => fixed(us as f64 / 1000.0, 2),
    }
}

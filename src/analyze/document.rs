//! What `analyze` says, before it is decided how: blocks of headings, prose, tables and charts, for a terminal, Markdown,
//! HTML, CSV and JSON alike.

use crate::markdown::count;

/// One value in a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// As people read it: `12.34†`, `> drain`, `p0 → w1`.
    pub text: String,
    /// The same for machines, where it is a finite number; not rounded more than the text is.
    pub number: Option<f64>,
}

/// A table; the first column names its rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// For machines and file names: `percentiles`, `d2-d5`.
    pub name: &'static str,
    /// Names of the columns.
    pub header: Vec<String>,
    /// Each as long as the header.
    pub rows: Vec<Vec<Cell>>,
    /// Whether the header keeps one space around each name, for those who search for it.
    pub exact_header: bool,
}

/// A part of a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    /// A title; 1 is the document's, 2 a run's or comparison's, 3 a section's.
    Heading(u8, String),
    /// Prose; `**bold**` and `` `code` `` are all the markup that it may hold.
    Prose(String),
    /// Lines that keep their shape.
    Lines(String),
    /// A table.
    Table(Table),
    /// A chart that was drawn: its files' stem below `charts/`, and what it shows.
    Chart {
        /// `<stem>.png` and `<stem>.svg`.
        stem: String,
        /// One sentence for those who cannot see it.
        caption: String,
    },
}

/// Blocks in reading order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Document {
    /// The blocks.
    pub blocks: Vec<Block>,
}

impl Table {
    /// A table whose columns are as wide as they must be.
    pub fn new(name: &'static str, header: &[&str], rows: Vec<Vec<Cell>>) -> Self {
        let header = header.iter().map(|&name| name.to_owned()).collect();
        Self { name, header, rows, exact_header: false }
    }
}

impl Cell {
    /// A text with its number, which may be infinite or none.
    pub fn number(text: impl Into<String>, number: f64) -> Self {
        Self { text: text.into(), number: number.is_finite().then_some(number) }
    }

    /// A count, with a comma between thousands.
    pub fn count(n: u64) -> Self {
        Self::number(count(n), n as f64)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, number: None }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

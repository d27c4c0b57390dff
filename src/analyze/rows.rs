//! The rows of one run in memory, and what is counted and read from them.

use polars::prelude::*;

use crate::{
    columns::{self, COLUMNS, Latency},
    lines::Fault,
    percentile::Distribution,
};

/// Larger stamps (past the year 2200) are garbage, and f64 could no longer hold their differences exactly.
const LARGEST_US: u64 = 1 << 53;

/// The rows of one file: the columns of [`COLUMNS`], `source` and `destination` as text, the others as i64.
#[derive(Debug)]
pub struct Rows {
    /// The columns; null is an empty field.
    pub frame: DataFrame,
    /// Whether the file ended within a line, as a killed run leaves it; that line is not a row.
    pub cut_off: bool,
}

impl Rows {
    /// Number of rows.
    pub fn len(&self) -> u64 {
        self.frame.height() as u64
    }

    /// Whether there is none; a file without rows is an error, so never.
    pub fn is_empty(&self) -> bool {
        self.frame.height() == 0
    }

    /// Number of rows in which a column is not empty.
    pub fn count(&self, column: &str) -> u64 {
        let column = self.column(column);
        (column.len() - column.null_count()) as u64
    }

    /// A latency over all rows; one without either stamp is missing.
    pub fn distribution(&self, latency: &Latency) -> Distribution {
        Distribution::of(self.integers(latency.from).iter().zip(self.integers(latency.to).iter()).map(difference))
    }

    /// Rows that repeat the (source, producer, sequence) of another.
    pub fn repeated(&self) -> u64 {
        let source = self.column(columns::SOURCE).str().expect("source is text");
        let producer = self.integers(columns::PRODUCER).iter();
        let mut events: Vec<_> = source.iter().zip(producer).zip(self.integers(columns::SEQUENCE).iter()).collect();
        events.sort_unstable();
        events.windows(2).filter(|pair| pair[0] == pair[1]).count() as u64
    }

    /// A column of integers.
    pub fn integers(&self, column: &str) -> &Int64Chunked {
        self.column(column).i64().expect("all columns but two were read as integers")
    }

    /// The first row that lacks what every planned event has, or holds a number that no stamp is.
    pub fn first_bad(&self) -> Option<Fault> {
        let fault = |row: usize, what| Fault { line: row + 2, what };
        for name in [columns::SOURCE, columns::PRODUCER, columns::SEQUENCE, columns::SCHEDULED_US] {
            if let Some(row) = self.column(name).is_null().iter().position(|null| null == Some(true)) {
                return Some(fault(
                    row,
                    format!("`{name}` is empty, and every planned event has one; take the line out"),
                ));
            }
        }
        for name in COLUMNS.into_iter().filter(|name| name.ends_with("_us")) {
            let too_large = |us: Option<i64>| us.is_some_and(|us| us.unsigned_abs() > LARGEST_US);
            if let Some(row) = self.integers(name).iter().position(too_large) {
                return Some(fault(row, format!("`{name}` is not a time in µs of the Unix epoch; take the line out")));
            }
        }
        None
    }

    fn column(&self, name: &str) -> &Column {
        self.frame.column(name).expect("every column was read")
    }
}

/// The signed difference of two stamps, where both are there.
pub fn difference((from, to): (Option<i64>, Option<i64>)) -> Option<i64> {
    Some(to? - from?)
}

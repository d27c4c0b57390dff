//! The exact latencies of a run, computed from its file of rows: what is on the screen is what is on the disk.

use std::path::Path;

use crate::output::rows;
use shasta_model::{
    columns::{ACK, AFTER_READ_US, CHAIN, HEADLINES, Latency, READ, SCHEDULED_TO_READ, SCHEDULED_TO_STORED},
    manifest::latency::{Cell, Line, Tables},
    percentile::{Distribution, PERCENTILES},
};

/// In the order of the path; reads are left out of a run that has none.
const STAGES: [Latency; 6] = [CHAIN[0], CHAIN[1], CHAIN[2], READ, SCHEDULED_TO_READ, ACK];

/// How many of the largest latencies are kept.
const TAIL: usize = 1_000;

/// A latency's values while the rows go by.
struct Column {
    latency: Latency,
    values_us: Vec<i64>,
    missing: u64,
}

impl Column {
    fn new(latency: Latency) -> Self {
        Self { latency, values_us: Vec::new(), missing: 0 }
    }

    fn push(&mut self, row: &rows::Row) {
        match row.latency_us(&self.latency) {
            Some(us) => self.values_us.push(us),
            None => self.missing += 1,
        }
    }

    fn line(self, name: &str) -> Line {
        let Latency { from, to, .. } = self.latency;
        let distribution = Distribution::new(self.values_us, self.missing);
        let cell = |&percentile: &f64| {
            let found = distribution.percentile_ms(percentile);
            Cell { percentile, ms: found.value, samples_past: found.samples_past }
        };
        Line {
            name: name.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            n: distribution.n(),
            without_end: Some(distribution.missing()),
            missing: Some(distribution.missing()),
            over_slo: distribution.over_slo(),
            mean_ms: distribution.mean_ms(),
            sd_ms: distribution.sd_ms(),
            min_ms: distribution.min_ms(),
            percentiles: PERCENTILES.iter().map(cell).collect(),
            max_ms: distribution.max_ms(),
        }
    }
}

/// Reads a run's rows back, as far as they can be; also returns what ended the reading before the file's end.
/// `half_us` divides the window, µs of the Unix epoch.
pub fn read(path: &Path, half_us: i64) -> (Tables, Option<csv::Error>) {
    let mut error = None;
    let rows = rows::read(path).map_err(|unreadable| error = Some(unreadable));
    let tables = of(rows.into_iter().flatten().map_while(|row| row.map_err(|bad| error = Some(bad)).ok()), half_us);
    (tables, error)
}

pub(crate) fn of(all: impl Iterator<Item = rows::Row>, half_us: i64) -> Tables {
    let columns = |latencies: &[Latency]| latencies.iter().map(|&latency| Column::new(latency)).collect::<Vec<_>>();
    let (mut headlines, mut stages) = (columns(&HEADLINES), columns(&STAGES));
    let mut halves = columns(&[SCHEDULED_TO_STORED; 2]);
    let mut rows = 0;
    for row in all {
        rows += 1;
        for column in headlines.iter_mut().chain(&mut stages) {
            column.push(&row);
        }
        halves[usize::from(row.scheduled_us >= half_us)].push(&row);
    }
    let named = |columns: Vec<Column>| columns.into_iter().map(|column| (column.latency.name, column));
    // A run without readers has nothing to say of them.
    stages.retain(|column| column.latency.to != AFTER_READ_US || column.missing < rows);
    let mut tail_us = headlines[0].values_us.clone();
    let kept = tail_us.len().min(TAIL);
    if kept < tail_us.len() {
        tail_us.select_nth_unstable_by(kept, |a, b| b.cmp(a));
    }
    tail_us.truncate(kept);
    tail_us.sort_unstable_by(|a, b| b.cmp(a));
    let lines = |columns| named(columns).map(|(name, column)| column.line(name)).collect();
    let halves = ["first half", "second half"].into_iter().zip(halves);
    let halves = halves.map(|(name, column)| column.line(name)).collect();
    Tables { rows, headlines: lines(headlines), stages: lines(stages), halves, tail_us }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn mean_sd_and_minimum_are_of_events_with_both_stamps_and_not_rounded() {
        let row = |scheduled_us, sent_us: Option<i64>, stored_us| rows::Row {
            scheduled_us,
            before_publish_us: sent_us,
            after_store_us: stored_us,
            ..rows::Row::default()
        };
        let rows = [row(0, Some(1), Some(1_000)), row(5, Some(8), Some(1_006)), row(10, None, None)];
        let tables = serde_json::to_value(of(rows.into_iter(), 100)).unwrap();
        let figures = |line: &serde_json::Value| {
            ["n", "without_end", "missing", "mean_ms", "sd_ms", "min_ms"].map(|key| line[key].clone())
        };
        let stored = [json!(3), json!(1), json!(1), json!(1.0005), json!(0.0005), json!(1.0)];
        assert_eq!(figures(&tables["headlines"][0]), stored);
        assert_eq!(tables["headlines"][0]["max_ms"], "> drain");
        assert_eq!(figures(&tables["halves"][0]), stored);
        let none = |n: u64| [json!(n), json!(n), json!(n), json!(null), json!(null), json!(null)];
        assert_eq!(figures(&tables["headlines"][1]), none(3), "nothing was consumed");
        assert_eq!(figures(&tables["halves"][1]), none(0));
    }
}

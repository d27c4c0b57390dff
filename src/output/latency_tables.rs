//! The exact latencies of a run, computed from its file of rows: what is on the screen is what is on the disk.

use std::path::Path;

use serde::{Serialize, Serializer};

use crate::output::rows;
use shasta_model::{
    columns::{ACK, AFTER_READ_US, CHAIN, HEADLINES, Latency, READ, SCHEDULED_TO_READ, SCHEDULED_TO_STORED},
    percentile::{Distribution, PERCENTILES, Value, round_2},
};

/// In the order of the path; reads are left out of a run that has none.
const STAGES: [Latency; 6] = [CHAIN[0], CHAIN[1], CHAIN[2], READ, SCHEDULED_TO_READ, ACK];

/// One percentile of one latency.
#[derive(Debug, Clone, Serialize)]
pub struct Cell {
    /// The percentile, 0 to 100.
    pub percentile: f64,
    /// Its value in ms, 2 places; `> drain` where the event had not arrived.
    #[serde(serialize_with = "ms")]
    pub ms: Value,
    /// Samples strictly past it; below 10 it is marked †.
    pub samples_past: u64,
}

impl Tables {
    /// A percentile of the first headline, scheduled → stored, in ms: infinite past the drain, none when it is not kept.
    pub fn headline_ms(&self, percentile: f64) -> Option<f64> {
        let cells = &self.headlines.first()?.percentiles;
        cells.iter().find(|cell| cell.percentile == percentile)?.ms.as_ms()
    }

    /// Its mean, standard deviation and minimum in ms; none where no event has both stamps.
    pub fn headline_moments_ms(&self) -> [Option<f64>; 3] {
        let first = self.headlines.first();
        first.map_or([None; 3], |line| [line.mean_ms, line.sd_ms, line.min_ms].map(Value::as_ms))
    }
}

/// One latency of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// Its name.
    pub name: String,
    /// Column of the earlier stamp.
    pub from: &'static str,
    /// Column of the later stamp.
    pub to: &'static str,
    /// Planned events.
    pub n: u64,
    /// Events that lack one of the two stamps: in none of mean, SD and minimum, +∞ in percentiles and maximum.
    pub without_end: u64,
    /// The same, by the name that the first manifests have it by.
    pub missing: u64,
    /// Events that were not below 100 ms.
    pub over_slo: u64,
    /// The mean in ms, not rounded, of the events that have both stamps.
    #[serde(serialize_with = "exact_ms")]
    pub mean_ms: Value,
    /// Their standard deviation (ddof 0).
    #[serde(serialize_with = "exact_ms")]
    pub sd_ms: Value,
    /// The smallest of them.
    #[serde(serialize_with = "exact_ms")]
    pub min_ms: Value,
    /// p50 to p99.999.
    pub percentiles: Vec<Cell>,
    /// The largest, in ms.
    #[serde(serialize_with = "ms")]
    pub max_ms: Value,
}

/// All latencies of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Tables {
    /// Rows in the file.
    pub rows: u64,
    /// The three headline latencies.
    pub headlines: Vec<Line>,
    /// The stages of the path, what they lead to where there are readers, then the ack, which is beside it.
    pub stages: Vec<Line>,
    /// The headline latency over the first and the second half of the window.
    pub halves: Vec<Line>,
    /// The largest 1,000 latencies of the first headline, largest first, in µs, beside those that are missing: with those
    /// of other runs, they give the exact far percentiles of all together.
    pub tail_us: Vec<i64>,
}

/// How many of the largest latencies are kept.
const TAIL: usize = 1_000;

/// Milliseconds with all of their digits.
pub(crate) fn exact_ms<S: Serializer>(value: &Value, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Value::Finite(ms) => serializer.serialize_f64(*ms),
        other => ms(other, serializer),
    }
}

/// Milliseconds with 2 places.
pub(crate) fn ms<S: Serializer>(value: &Value, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Value::Finite(ms) => serializer.serialize_f64(round_2(*ms)),
        Value::PastDrain => serializer.serialize_str("> drain"),
        Value::Empty => serializer.serialize_none(),
    }
}

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
            from,
            to,
            n: distribution.n(),
            without_end: distribution.missing(),
            missing: distribution.missing(),
            over_slo: distribution.over_slo(),
            mean_ms: distribution.mean_ms(),
            sd_ms: distribution.sd_ms(),
            min_ms: distribution.min_ms(),
            percentiles: PERCENTILES.iter().map(cell).collect(),
            max_ms: distribution.max_ms(),
        }
    }
}

impl Tables {
    /// Reads a run's rows back, as far as they can be; also returns what ended the reading before the file's end.
    /// `half_us` divides the window, µs of the Unix epoch.
    pub fn read(path: &Path, half_us: i64) -> (Self, Option<csv::Error>) {
        let mut error = None;
        let rows = rows::read(path).map_err(|unreadable| error = Some(unreadable));
        let tables =
            Self::of(rows.into_iter().flatten().map_while(|row| row.map_err(|bad| error = Some(bad)).ok()), half_us);
        (tables, error)
    }

    pub(crate) fn of(all: impl Iterator<Item = rows::Row>, half_us: i64) -> Self {
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
        Self { rows, headlines: lines(headlines), stages: lines(stages), halves, tail_us }
    }
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
        let tables = serde_json::to_value(Tables::of(rows.into_iter(), 100)).unwrap();
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

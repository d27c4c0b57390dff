//! What a fault did to a run.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value as Json;

use super::{
    latency::{exact_ms, ms},
    lenient,
};
use crate::percentile::Value;

/// One fault of a run. Times are µs of the Unix epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// What was done, or what happened from outside.
    #[serde(default)]
    pub what: String,
    /// When it began.
    pub start_us: i64,
    /// When it ended: what was away answers again, what was disturbed is as it was. The start, for one that is done in
    /// a moment.
    pub end_us: i64,
    /// Whether it was carried out to its end.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub done: bool,
    /// Why not, or what went wrong with it.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub error: Option<String>,
    /// Whether it came from outside: no fault of the run did it.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub outside: bool,
    /// What happened when, step by step.
    #[serde(default, deserialize_with = "lenient::list")]
    pub steps: Vec<Step>,
    /// Latencies before, during and after it; none until the rows have been read.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub figures: Option<Figures>,
}

/// One moment of a fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// When, µs of the Unix epoch.
    pub at_us: i64,
    /// What, such as "killed", "started", "answers".
    pub what: String,
}

impl Record {
    /// One that begins now; it is over unless steps follow.
    pub fn new(what: String, now_us: i64, outside: bool) -> Self {
        let (start_us, end_us) = (now_us, now_us);
        Self { what, start_us, end_us, done: false, error: None, outside, steps: Vec::new(), figures: None }
    }

    /// Adds a moment, up to which it lasts.
    pub fn step(&mut self, at_us: i64, what: impl Into<String>) {
        self.steps.push(Step { at_us, what: what.into() });
        self.end_us = at_us;
    }
}

/// Those that can be read; one without an end was over in a moment.
pub(super) fn records<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Record>, D::Error> {
    let Json::Array(items) = Json::deserialize(deserializer)? else { return Ok(Vec::new()) };
    let record = |mut item: Json| {
        let fields = item.as_object_mut()?;
        let start_us = fields.get("start_us")?.clone();
        let end_us = fields.entry("end_us").or_insert(Json::Null);
        if end_us.is_null() {
            *end_us = start_us;
        }
        Record::deserialize(item).ok()
    };
    Ok(items.into_iter().filter_map(record).collect())
}

/// What one fault did to latencies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Events before it.
    pub before: Period,
    /// Events that were on their way while it lasted.
    pub during: Period,
    /// Events after it.
    pub after: Period,
    /// Past this an event is late, in ms.
    pub late_ms: f64,
    /// From its start to the moment when it was over, in ms; 0 when no event was late, none when it was not over before
    /// the next fault or the window's end.
    pub disturbed_ms: Option<f64>,
    /// From its end to that moment, in ms; 0 when that came first.
    pub recovered_ms: Option<f64>,
}

/// Latencies of the events of one period, in ms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Period {
    /// Events.
    pub n: u64,
    /// Mean of those that were stored, not rounded.
    #[serde(default, with = "exact_ms")]
    pub mean_ms: Value,
    /// Their standard deviation (ddof 0).
    #[serde(default, with = "exact_ms")]
    pub sd_ms: Value,
    /// The smallest of them.
    #[serde(default, with = "exact_ms")]
    pub min_ms: Value,
    /// Median.
    #[serde(with = "ms")]
    pub p50_ms: Value,
    /// 99.99th percentile.
    #[serde(with = "ms")]
    pub p9999_ms: Value,
    /// Largest.
    #[serde(with = "ms")]
    pub max_ms: Value,
    /// Events that were not stored within 100 ms.
    pub over_slo: u64,
    /// Events that were never stored.
    pub lost: u64,
}

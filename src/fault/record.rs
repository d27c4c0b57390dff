//! What a fault did to a run, as the manifest tells it.

use serde::Serialize;

use super::impact::Figures;

/// One fault of a run. Times are µs of the Unix epoch.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    /// What was done, or what happened from outside.
    pub what: String,
    /// When it began.
    pub start_us: i64,
    /// When it ended: what was away answers again, what was disturbed is as it was. The start, for one that is done in
    /// a moment.
    pub end_us: i64,
    /// Whether it was carried out to its end.
    pub done: bool,
    /// Why not, or what went wrong with it.
    pub error: Option<String>,
    /// Whether it came from outside: no fault of the run did it.
    pub outside: bool,
    /// What happened when, step by step.
    pub steps: Vec<Step>,
    /// Latencies before, during and after it; none until the rows have been read.
    pub figures: Option<Figures>,
}

/// One moment of a fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// When, µs of the Unix epoch.
    pub at_us: i64,
    /// What, such as "killed", "started", "answers".
    pub what: String,
}

impl Record {
    pub(super) fn new(what: String, now_us: i64, outside: bool) -> Self {
        let (start_us, end_us) = (now_us, now_us);
        Self { what, start_us, end_us, done: false, error: None, outside, steps: Vec::new(), figures: None }
    }

    pub(super) fn step(&mut self, at_us: i64, what: impl Into<String>) {
        self.steps.push(Step { at_us, what: what.into() });
        self.end_us = at_us;
    }

    /// In words, for the screen while the run goes on.
    pub(super) fn told(&self) -> String {
        match (&self.error, self.steps.last()) {
            (Some(error), _) => format!("fault: {}: {error}", self.what),
            (None, Some(step)) => format!("fault: {}: {}", self.what, step.what),
            (None, None) => format!("fault: {}", self.what),
        }
    }
}

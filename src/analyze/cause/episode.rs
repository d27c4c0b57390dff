//! A stall: late events that waited side by side, what they share, where their time went, and what coincides with it.

use super::{
    attribution::most,
    coincide::{self, Coincidence},
    events::Events,
    shared::{Bases, Share},
    stage::{Stopped, Sums},
    tail::{Late, Tail},
};

/// A stall.
#[derive(Debug, Clone, PartialEq)]
pub struct Episode {
    /// When its first late event was scheduled, µs of the Unix epoch.
    pub start_us: i64,
    /// When its last late event was stored.
    pub end_us: i64,
    /// Its late events.
    pub events: u64,
    /// The longest wait in it, in µs; [`super::tail::NEVER`] when one was never stored.
    pub worst_us: i64,
    /// Those that were never stored.
    pub stopped: Stopped,
    /// The stage of the chain that holds most of its events' time, and its share.
    pub stage: Option<(usize, f64)>,
    /// What its events share, well above the base rate.
    pub common: Vec<Share>,
    /// What else happened then.
    pub coincides: Vec<Coincidence>,
}

impl Episode {
    /// From the first event's schedule to the last one's store, in ms.
    pub fn length_ms(&self) -> f64 {
        self.end_us.saturating_sub(self.start_us) as f64 / 1000.0
    }

    /// Of the rows at `places` in the tail, at least one.
    pub fn of(tail: &Tail, places: &[usize], bases: &Bases, events: &Events) -> Self {
        let late = || places.iter().map(|&place| &tail.slowest[place]);
        let start_us = late().map(Late::start_us).min().unwrap_or(0);
        let end_us = late().map(Late::end_us).max().unwrap_or(0);
        let (mut sums, mut stopped) = (Sums::default(), Stopped::default());
        for late in late() {
            if !sums.add(late.row) {
                stopped.add(late.row);
            }
        }
        Self {
            start_us,
            end_us,
            events: places.len() as u64,
            worst_us: late().map(|late| late.wait_us).max().unwrap_or(0),
            stopped,
            stage: most(&sums),
            common: bases.common(late().map(|late| late.row)),
            coincides: coincide::with(events, start_us, end_us),
        }
    }
}

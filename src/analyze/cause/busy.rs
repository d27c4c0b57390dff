//! Waiting for a busy worker, as far as rows can show it.
//!
//! A worker has one batch on its way to Redis at a time, and rows of one worker with equal `after_store_us` are one
//! batch. So an event that was consumed before an earlier batch of its worker was answered waited for that batch, and
//! the store stage parts into two: *behind an earlier batch*, until the last answer before its own, and *its own batch*.
//!
//! What rows cannot show: an earlier batch none of whose events is among the rows at hand (so over a part of the run
//! the wait is *at least* this); and, within the Kafka stage, a worker whose look-ahead was full and that therefore did
//! not fetch, which looks like a slow broker.

use std::collections::BTreeMap;

use crate::row::{Row, Stamp};

use super::tail::Late;

/// When each worker's batches were answered.
#[derive(Debug, Default)]
pub struct Batches {
    /// By worker, sorted, distinct.
    answered_us: BTreeMap<u32, Vec<i64>>,
}

impl Batches {
    /// The batches that these rows were in.
    pub fn of(rows: &[Row]) -> Self {
        let mut answered_us: BTreeMap<u32, Vec<i64>> = BTreeMap::new();
        for row in rows {
            if let (Some(worker), Some(stored_us)) = (row.destination, row.stamp(Stamp::AfterStore)) {
                answered_us.entry(worker).or_default().push(stored_us);
            }
        }
        for times_us in answered_us.values_mut() {
            times_us.sort_unstable();
            times_us.dedup();
        }
        Self { answered_us }
    }

    /// How long an event, once consumed, waited for earlier batches of its worker, in µs.
    pub fn behind_us(&self, row: &Row) -> i64 {
        let (Some(consumed_us), Some(stored_us)) = (row.stamp(Stamp::AfterConsume), row.stamp(Stamp::AfterStore))
        else {
            return 0;
        };
        let times_us = row.destination.and_then(|worker| self.answered_us.get(&worker)).map_or(&[][..], Vec::as_slice);
        let earlier = times_us.partition_point(|&us| us < stored_us).checked_sub(1).map(|k| times_us[k]);
        earlier.map_or(0, |us| us.saturating_sub(consumed_us).max(0))
    }

    /// The sum over events that were stored, in µs.
    pub fn behind_us_sum(&self, late: &[Late]) -> i128 {
        late.iter().map(|late| i128::from(self.behind_us(late.row))).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cause::tail::tests::row;

    fn stored(worker: u32, consumed_us: i64, stored_us: i64) -> Row {
        let mut row = row(0, 0, Some(1));
        row.destination = Some(worker);
        row.stamps[Stamp::AfterConsume as usize] = consumed_us;
        row.stamps[Stamp::AfterStore as usize] = stored_us;
        row
    }

    #[test]
    fn an_event_waits_for_the_batch_before_its_own() {
        let rows = [stored(0, 10, 50), stored(0, 20, 50), stored(0, 40, 80), stored(0, 60, 80), stored(1, 40, 79)];
        let batches = Batches::of(&rows);
        assert_eq!(rows.map(|row| batches.behind_us(&row)), [0, 0, 10, 0, 0]);
    }

    #[test]
    fn an_event_that_was_not_stored_waits_for_nothing_known() {
        assert_eq!(Batches::of(&[stored(0, 10, 50)]).behind_us(&row(0, 0, None)), 0);
    }
}

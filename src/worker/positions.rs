//! How far each partition has been read: what was passed over, and what came back unasked. The client returns only
//! records, so what lies between two of them is seen here or nowhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// The partitions of a worker.
pub(super) struct Positions {
    /// Where the run began.
    start_offsets: Vec<i64>,
    partitions: BTreeMap<i32, Position>,
    /// Partitions of which this worker has had a record, now or before.
    known: BTreeSet<i32>,
}

struct Position {
    /// None until the first record.
    next: Option<i64>,
    heard: Instant,
    sent_back: bool,
}

/// How a record follows those before it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Next,
    /// Nothing was returned of the offsets from this one on.
    Over(i64),
    /// It is from before the run: the client has begun at the log's beginning, since the group had no offset. The run's
    /// start is here.
    Early(i64),
    /// It had been read.
    Back,
}

impl Positions {
    pub fn new(start_offsets: Vec<i64>) -> Self {
        Self { start_offsets, partitions: BTreeMap::new(), known: BTreeSet::new() }
    }

    /// Where the run began in a partition. One that came later is the run's from its first record on.
    pub fn start(&self, partition: i32) -> i64 {
        usize::try_from(partition).ok().and_then(|at| self.start_offsets.get(at)).copied().unwrap_or(0)
    }

    /// These are the worker's partitions from now on.
    pub fn assigned(&mut self, partitions: &[i32], now: Instant) {
        self.partitions.retain(|partition, _| partitions.contains(partition));
        for &partition in partitions {
            self.partitions.entry(partition).or_insert(Position { next: None, heard: now, sent_back: false });
        }
    }

    /// Takes a record.
    pub fn take(&mut self, partition: i32, offset: i64, now: Instant) -> Step {
        let start = self.start(partition);
        let Some(position) = self.partitions.get_mut(&partition) else { return Step::Next };
        position.heard = now;
        if position.next.is_none() && offset < start && !std::mem::replace(&mut position.sent_back, true) {
            return Step::Early(start);
        }
        let first_ever = self.known.insert(partition);
        let expected = position.next.replace(offset + 1).or_else(|| first_ever.then_some(start));
        match expected {
            Some(expected) if offset > expected => Step::Over(expected),
            Some(expected) if offset < expected => Step::Back,
            Some(_) | None => Step::Next,
        }
    }

    /// The partition is read from here on, because this worker wants it so.
    pub fn moved(&mut self, partition: i32, to: i64, now: Instant) {
        if let Some(position) = self.partitions.get_mut(&partition) {
            (position.next, position.heard) = (Some(to), now);
        }
    }

    /// Whether nothing has come since a question was asked with this position.
    pub fn is_at(&self, partition: i32, asked: Option<i64>) -> bool {
        self.partitions.get(&partition).is_some_and(|position| position.next == asked)
    }

    /// Each partition, and which offset is to come next.
    pub fn all(&self) -> BTreeMap<i32, Option<i64>> {
        self.partitions.iter().map(|(partition, position)| (*partition, position.next)).collect()
    }

    /// Those of which nothing was heard for so long; from now on they count as heard of.
    pub fn take_idle(&mut self, idle: Duration, now: Instant) -> BTreeMap<i32, Option<i64>> {
        let silent = self.partitions.iter_mut().filter(|(_, position)| now.duration_since(position.heard) >= idle);
        silent.map(|(partition, position)| (*partition, (position.heard = now, position.next).1)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_does_unasked_is_seen() {
        let now = Instant::now();
        let mut positions = Positions::new(vec![100, 0]);
        positions.assigned(&[0, 1, 7], now);
        // The group had lost its offset: once from the log's beginning, then from where the run began.
        assert_eq!(positions.take(0, 3, now), Step::Early(100));
        assert_eq!(
            [100, 101, 104, 105].map(|at| positions.take(0, at, now)),
            [Step::Next, Step::Next, Step::Over(102), Step::Next]
        );
        assert_eq!(positions.take(0, 0, now), Step::Back);
        // The first record ever is not the one at which the run began; a partition that came later begins at 0.
        assert_eq!([positions.take(1, 1, now), positions.take(7, 0, now)], [Step::Over(0), Step::Next]);
        // It went to another worker and came back: how far that one got is not known here.
        positions.assigned(&[1], now);
        positions.assigned(&[0, 1], now);
        assert_eq!([positions.take(0, 500, now), positions.take(1, 2, now)], [Step::Next, Step::Next]);
        positions.moved(0, 400, now);
        assert_eq!(positions.take(0, 400, now), Step::Next);
    }

    #[test]
    fn a_log_that_ends_before_the_run_began_is_not_asked_for_its_start_again_and_again() {
        let now = Instant::now();
        let mut positions = Positions::new(vec![100]);
        positions.assigned(&[0], now);
        assert_eq!([0, 0, 1].map(|at| positions.take(0, at, now)), [Step::Early(100), Step::Back, Step::Next]);
    }

    #[test]
    fn silence_is_noticed_once_in_its_time() {
        let start = Instant::now();
        let mut positions = Positions::new(vec![0, 0]);
        positions.assigned(&[0, 1], start);
        let later = start + Duration::from_secs(5);
        positions.take(1, 0, later);
        let idle = Duration::from_secs(10);
        assert_eq!(positions.take_idle(idle, start + idle), BTreeMap::from([(0, None)]));
        assert_eq!(positions.take_idle(idle, start + idle), BTreeMap::new());
        assert_eq!(positions.take_idle(idle, later + idle), BTreeMap::from([(1, Some(1))]));
    }
}

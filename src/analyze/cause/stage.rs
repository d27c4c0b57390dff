//! Where the time goes, stage by stage, counted while rows pass: sums in buckets of the whole latency.
//!
//! A row costs one bucket's additions and no allocation; the buckets are few, so whoever reads rows in parallel gives
//! each reader its own and merges them. All sums are whole numbers, so that the stages sum exactly to the whole.

use crate::row::{MISSING, Row, Stamp};
use shasta_model::columns::CHAIN;

/// Each octave of latency is parted into this many buckets, so that a bucket is at most 1/16 = 6.25 % wide.
const PER_OCTAVE: usize = 16;
/// Exact µs up to [`PER_OCTAVE`], then 59 octaves up to [`i64::MAX`], and one bucket for what is not above zero.
const BUCKETS: usize = 1 + PER_OCTAVE * 60;
/// Stages of the additive chain from scheduled to stored.
pub const STAGES: usize = CHAIN.len();

/// Sums over events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// Events.
    pub count: u64,
    /// Their time from scheduled to stored, in µs.
    pub total_us_sum: i128,
    /// Their time in each stage of [`CHAIN`]; their sum is `total_us_sum`.
    pub stage_us_sums: [i128; STAGES],
    /// Those that a reader has, too.
    pub read_count: u64,
    /// Their time from stored to read.
    pub read_us_sum: i128,
    /// Those with the broker's time.
    pub append_count: u64,
    /// Their time from before_publish to the start of the ms of the broker's time: up to 1 ms less than it was.
    pub append_us_sum: i128,
}

impl Sums {
    /// Counts an event that has all stamps of the chain; says whether it had.
    pub fn add(&mut self, row: &Row) -> bool {
        let at = |stamp: Stamp| row.stamps[stamp as usize];
        let chain = [Stamp::Scheduled, Stamp::BeforePublish, Stamp::AfterConsume, Stamp::AfterStore].map(at);
        if chain.contains(&MISSING) {
            return false;
        }
        // In i128 no difference of two stamps is too large, however odd they are.
        let between = |from: i64, to: i64| i128::from(to) - i128::from(from);
        self.count += 1;
        self.total_us_sum += between(chain[0], chain[3]);
        for (sum, stamps) in self.stage_us_sums.iter_mut().zip(chain.windows(2)) {
            *sum += between(stamps[0], stamps[1]);
        }
        let (append_ms, read_us) = (at(Stamp::Append), at(Stamp::AfterRead));
        if append_ms != MISSING {
            self.append_count += 1;
            self.append_us_sum += i128::from(append_ms) * 1000 - i128::from(chain[1]);
        }
        if read_us != MISSING {
            self.read_count += 1;
            self.read_us_sum += between(chain[3], read_us);
        }
        true
    }

    /// Adds the events of others.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.total_us_sum += other.total_us_sum;
        for (sum, others) in self.stage_us_sums.iter_mut().zip(other.stage_us_sums) {
            *sum += others;
        }
        self.read_count += other.read_count;
        self.read_us_sum += other.read_us_sum;
        self.append_count += other.append_count;
        self.append_us_sum += other.append_us_sum;
    }

    /// A sum's mean over the events, in ms.
    pub fn mean_ms(&self, us_sum: i128) -> f64 {
        us_sum as f64 / self.count as f64 / 1000.0
    }
}

/// Where events without all stamps of the chain stopped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stopped {
    /// Planned and never sent.
    pub unsent: u64,
    /// Sent and never seen by a worker.
    pub unconsumed: u64,
    /// Consumed and never stored.
    pub unstored: u64,
}

impl Stopped {
    /// Events that stopped anywhere.
    pub fn count(&self) -> u64 {
        self.unsent + self.unconsumed + self.unstored
    }

    /// Counts an event that does not have all stamps.
    pub fn add(&mut self, row: &Row) {
        match (row.stamp(Stamp::BeforePublish), row.stamp(Stamp::AfterConsume)) {
            (_, Some(_)) => self.unstored += 1,
            (Some(_), None) => self.unconsumed += 1,
            (None, None) => self.unsent += 1,
        }
    }

    fn merge(&mut self, other: &Self) {
        self.unsent += other.unsent;
        self.unconsumed += other.unconsumed;
        self.unstored += other.unstored;
    }
}

/// The events whose latency lies from here to the next bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageBucket {
    /// The smallest latency in it, in µs; [`i64::MIN`] in the first, which holds all that is not above zero.
    pub from_us: i64,
    /// Sums over its events.
    pub sums: Sums,
}

/// All events of a run, by how late they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stages {
    buckets: Box<[Sums]>,
    /// Events without all stamps of the chain, so that their time cannot be parted.
    pub stopped: Stopped,
}

impl Default for Stages {
    fn default() -> Self {
        Self { buckets: vec![Sums::default(); BUCKETS].into_boxed_slice(), stopped: Stopped::default() }
    }
}

impl Stages {
    /// Counts a row.
    #[inline]
    pub fn add(&mut self, row: &Row) {
        let [scheduled_us, stored_us] = [Stamp::Scheduled, Stamp::AfterStore].map(|stamp| row.stamps[stamp as usize]);
        if !self.buckets[place(stored_us.saturating_sub(scheduled_us))].add(row) {
            self.stopped.add(row);
        }
    }

    /// Adds the events that another reader counted.
    pub fn merge(&mut self, other: &Self) {
        for (sums, others) in self.buckets.iter_mut().zip(&other.buckets) {
            sums.merge(others);
        }
        self.stopped.merge(&other.stopped);
    }

    /// Buckets that hold events, from the fastest to the slowest.
    pub fn buckets(&self) -> impl DoubleEndedIterator<Item = StageBucket> {
        let held = self.buckets.iter().enumerate().filter(|(_, sums)| sums.count > 0);
        held.map(|(place, &sums)| StageBucket { from_us: from_us(place), sums })
    }

    /// Events in all buckets together.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|sums| sums.count).sum()
    }
}

/// The bucket of a latency.
fn place(us: i64) -> usize {
    if us <= 0 {
        return 0;
    }
    let octave = us.ilog2() as usize;
    if octave < 4 {
        1 + us as usize
    } else {
        1 + (octave - 3) * PER_OCTAVE + ((us >> (octave - 4)) as usize - PER_OCTAVE)
    }
}

/// The smallest latency in a bucket.
fn from_us(place: usize) -> i64 {
    match place.checked_sub(1) {
        None => i64::MIN,
        Some(us) if us < PER_OCTAVE => us as i64,
        Some(k) => ((k % PER_OCTAVE + PER_OCTAVE) as i64) << (k / PER_OCTAVE - 1),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cause::tail::tests::{row, rows};

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        // Bucket 1 would be 0 µs, which lies in bucket 0.
        for bucket in 2..BUCKETS - 1 {
            let (from, next) = (from_us(bucket), from_us(bucket + 1));
            assert!(from < next && [place(from), place(next - 1)] == [bucket; 2], "{bucket}");
        }
        assert_eq!((place(i64::MAX), place(0), place(i64::MIN)), (BUCKETS - 1, 0, 0));
    }

    #[test]
    fn odd_stamps_do_no_harm() {
        let mut odd = row(0, 0, Some(5));
        odd.stamps = [i64::MIN + 1, i64::MAX, i64::MAX, i64::MAX, i64::MIN + 1, i64::MAX, i64::MIN + 1];
        let mut stages = Stages::default();
        stages.add(&odd);
        let sums = stages.buckets().next().unwrap().sums;
        assert_eq!(sums.stage_us_sums.iter().sum::<i128>(), sums.total_us_sum);
    }

    proptest! {
        #[test]
        fn stages_sum_to_the_whole_and_parts_merge_to_it(rows in rows(), at in 0usize..120) {
            let count = |rows: &[Row]| {
                let mut stages = Stages::default();
                rows.iter().for_each(|row| stages.add(row));
                stages
            };
            let whole = count(&rows);
            let (left, right) = rows.split_at(at.min(rows.len()));
            let mut merged = count(right);
            merged.merge(&count(left));
            prop_assert_eq!(&merged, &whole);
            prop_assert_eq!(whole.count() + whole.stopped.count(), rows.len() as u64);
            for bucket in whole.buckets() {
                prop_assert_eq!(bucket.sums.stage_us_sums.iter().sum::<i128>(), bucket.sums.total_us_sum);
                prop_assert!(bucket.sums.total_us_sum >= i128::from(bucket.from_us) * i128::from(bucket.sums.count));
            }
        }
    }
}

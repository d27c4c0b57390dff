//! Which stage holds the time of the tail, and which that of an ordinary event.
//!
//! Each line is about one set of events and the means of *these* events' stages, so the stages sum to the whole: exactly
//! in µs, and in the printed digits too, because rounding is shared out among the stages.

use super::{
    Level,
    busy::Batches,
    stage::{STAGES, StageBucket, Stages, Stopped, Sums},
    tail::{Late, Tail},
};

/// The stages of a set of events.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribution {
    /// As its line is named: "past p99.9".
    pub name: String,
    /// Latency of its fastest and slowest event that was stored, in µs; for sets of whole buckets, their bounds.
    pub between_us: Option<[i64; 2]>,
    /// Sums over the events that have every stage.
    pub sums: Sums,
    /// Those that do not, and are in no sum.
    pub stopped: Stopped,
    /// Of the store stage, the time behind an earlier batch of the same worker, in µs; none where rows are not at hand.
    pub behind_us_sum: Option<i128>,
    /// Whether that is all of it, and not only what the rows at hand show.
    pub behind_is_exact: bool,
}

impl Attribution {
    /// The stage that holds the most time, and its share of the whole.
    pub fn most(&self) -> Option<(usize, f64)> {
        most(&self.sums)
    }

    /// Means over the events in units of 0.01 ms: the whole, and its stages, which sum to it.
    pub fn means_10us(&self) -> Option<(i128, [i128; STAGES])> {
        let parts = i128::from(self.sums.count) * 10;
        (parts > 0).then(|| share_out(self.sums.total_us_sum, self.sums.stage_us_sums, 1, parts))
    }

    /// Shares of the whole in units of 0.1 %, which sum to 1,000; none when the whole is not above zero.
    pub fn permille(&self) -> Option<[i128; STAGES]> {
        let whole = self.sums.total_us_sum;
        (whole > 0).then(|| share_out(whole, self.sums.stage_us_sums, 1000, whole).1)
    }
}

/// The stage that holds the most time, and its share of the whole.
pub fn most(sums: &Sums) -> Option<(usize, f64)> {
    let (stage, &us_sum) = sums.stage_us_sums.iter().enumerate().max_by_key(|(_, us_sum)| **us_sum)?;
    (sums.total_us_sum > 0).then(|| (stage, us_sum as f64 / sums.total_us_sum as f64))
}

/// Every set: the median's region first, then the tail, each past a higher percentile.
pub fn all(tail: &Tail, stages: &Stages, n: u64, levels: &[Level], batches: &Batches) -> Vec<Attribution> {
    let mut sets: Vec<Attribution> = around_median(stages, n).into_iter().collect();
    let whole_run = tail.slowest.len() as u64 >= n;
    for level in levels {
        match tail.slowest.get(..level.events as usize) {
            Some([]) => {}
            // More are over the SLO than are at hand, so these are not all, and no one knows how many there are.
            Some(_) if !level.whole => {}
            Some(late) => sets.push(of_rows(level.name.clone(), late, batches, whole_run)),
            None => sets.extend(beyond(stages, level)),
        }
    }
    sets
}

/// Of late rows.
fn of_rows(name: String, late: &[Late], batches: &Batches, exact: bool) -> Attribution {
    let (mut sums, mut stopped) = (Sums::default(), Stopped::default());
    let mut between_us: Option<[i64; 2]> = None;
    for late in late {
        if !sums.add(late.row) {
            stopped.add(late.row);
            continue;
        }
        let [fastest, slowest] = between_us.unwrap_or([late.wait_us; 2]);
        between_us = Some([fastest.min(late.wait_us), slowest.max(late.wait_us)]);
    }
    let behind_us_sum = Some(batches.behind_us_sum(late));
    Attribution { name, between_us, sums, stopped, behind_us_sum, behind_is_exact: exact }
}

/// The buckets around the median, taken whole: from the one that holds p40 to the one that holds p60.
fn around_median(stages: &Stages, n: u64) -> Option<Attribution> {
    let (mut sums, mut below, mut from_us, mut to_us) = (Sums::default(), 0u64, None, None);
    for StageBucket { from_us: bucket_us, sums: bucket } in stages.buckets() {
        let first = below;
        below += bucket.count;
        // In shares of n without fractions: 10 × count against 4 n and 6 n.
        if u128::from(below) * 10 <= u128::from(n) * 4 {
            continue;
        }
        if u128::from(first) * 10 > u128::from(n) * 6 {
            to_us = Some(bucket_us);
            break;
        }
        from_us.get_or_insert(bucket_us);
        sums.merge(&bucket);
    }
    let between_us = from_us.zip(to_us).map(|(from_us, to_us)| [from_us.max(0), to_us]);
    (sums.count > 0).then(|| buckets_alone("around the median".to_owned(), between_us, sums, Stopped::default()))
}

/// The buckets that hold the slowest events, when there are more of them than rows at hand: whole ones, as many as fit.
fn beyond(stages: &Stages, level: &Level) -> Option<Attribution> {
    let (mut sums, mut from_us) = (Sums::default(), None);
    for bucket in stages.buckets().rev() {
        if sums.count + bucket.sums.count + stages.stopped.count() > level.events {
            break;
        }
        sums.merge(&bucket.sums);
        from_us = Some(bucket.from_us);
    }
    let from_us = from_us?;
    let name = format!("about {} (whole buckets, from {:.2} ms)", level.name, from_us as f64 / 1000.0);
    Some(buckets_alone(name, None, sums, stages.stopped))
}

fn buckets_alone(name: String, between_us: Option<[i64; 2]>, sums: Sums, stopped: Stopped) -> Attribution {
    Attribution { name, between_us, sums, stopped, behind_us_sum: None, behind_is_exact: false }
}

/// `whole` and its parts × `times` / `by`, rounded so that the parts still sum to the whole: what rounding down leaves
/// goes to the parts that lost the most.
fn share_out(whole: i128, parts: [i128; STAGES], times: i128, by: i128) -> (i128, [i128; STAGES]) {
    // Half up. A run of 2^27 rows with the oddest stamps stays 2^20 times below what an i128 holds.
    let whole = (whole * times * 2 + by).div_euclid(by * 2);
    let mut shared = parts.map(|part| (part * times).div_euclid(by));
    let mut order: [usize; STAGES] = std::array::from_fn(|k| k);
    order.sort_by_key(|&k| -(parts[k] * times).rem_euclid(by));
    let left = whole - shared.iter().sum::<i128>();
    for &k in order.iter().take(left.clamp(0, STAGES as i128) as usize) {
        shared[k] += 1;
    }
    (whole, shared)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        cause::tail::tests::{row, rows},
        row::{Row, Stamp},
    };

    fn level(events: u64) -> Level {
        Level { name: "past p99".to_owned(), events, whole: true, ..Level::default() }
    }

    fn sets(rows: &[Row], counted: &[Row], events: u64) -> Vec<Attribution> {
        let mut stages = Stages::default();
        counted.iter().for_each(|row| stages.add(row));
        all(&Tail::new(rows), &stages, counted.len() as u64, &[level(events)], &Batches::of(rows))
    }

    #[test]
    fn the_tail_and_the_median_are_told_apart() {
        let rows: Vec<Row> = (0..100).map(|k| row(k, 0, Some(if k < 90 { 5_000 } else { 50_000 }))).collect();
        let sets = sets(&rows[60..], &rows, 10);
        assert_eq!(sets.iter().map(|set| set.sums.count).collect::<Vec<_>>(), [90, 10]);
        assert_eq!(sets[1].means_10us(), Some((5_000, [500, 3_000, 1_500])));
        assert_eq!(sets[1].permille(), Some([100, 600, 300]));
        assert_eq!(sets[1].most(), Some((1, 0.6)));
        assert!(!sets[1].behind_is_exact);
    }

    #[test]
    fn more_than_the_rows_at_hand_comes_from_buckets() {
        let rows: Vec<Row> = (0..100).map(|k| row(k, 0, Some(if k < 90 { 5_000 } else { 50_000 }))).collect();
        let sets = sets(&rows[95..], &rows, 10);
        assert!(sets[1].name.starts_with("about past p99") && sets[1].sums.count == 10, "{:?}", sets[1]);
        assert_eq!(sets[1].behind_us_sum, None);
    }

    #[test]
    fn events_that_stopped_are_counted_by_where() {
        let mut rows = [row(0, 0, None), row(1, 0, None), row(2, 0, None), row(3, 0, Some(50))];
        rows[1].stamps[Stamp::BeforePublish as usize] = 1;
        rows[2].stamps[Stamp::BeforePublish as usize] = 1;
        rows[2].stamps[Stamp::AfterConsume as usize] = 2;
        let set = sets(&rows, &rows, 4).pop().unwrap();
        assert_eq!(set.stopped, Stopped { unsent: 1, unconsumed: 1, unstored: 1 });
        assert_eq!((set.sums.count, set.stopped.count()), (1, 3));
    }

    proptest! {
        #[test]
        fn printed_stages_sum_to_the_printed_whole(parts in prop::array::uniform3(-9_000i128..90_000), by in 1i128..900) {
            let (whole, shared) = share_out(parts.iter().sum(), parts, 1, by);
            prop_assert_eq!(shared.iter().sum::<i128>(), whole);
            for (part, shared) in parts.iter().zip(shared) {
                prop_assert!((part - shared * by).abs() < by, "less than one unit away");
            }
        }

        #[test]
        fn all_stages_sum_to_the_whole(rows in rows(), events in 0u64..120) {
            for set in sets(&rows, &rows, events) {
                prop_assert_eq!(set.sums.stage_us_sums.iter().sum::<i128>(), set.sums.total_us_sum);
            }
        }
    }
}

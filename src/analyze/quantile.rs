//! Exact percentiles by selection: the few order statistics that are asked for are found without sorting the rest.

use shasta_model::{
    moments::Moments,
    percentile::{Percentile, Value, interpolate, ranks},
    slo::SLO_US,
};

/// Some percentiles of a set of planned events, and the counts that stand beside them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Quantiles {
    tallied: Tallied,
    /// (rank in ascending order, µs), by rank.
    selected: Vec<(u64, i64)>,
}

/// An event without a value, among values of 32 bits.
pub const NONE: i32 = i32::MIN;
/// A value that does not fit 32 bits and is kept aside.
pub const WIDE: i32 = i32::MIN + 1;

/// What is counted and summed while values are looked at, and no percentile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tallied {
    /// Values, their mean and standard deviation.
    pub moments: Moments,
    /// Events without a value.
    pub missing: u64,
    /// Values that are not below the SLO.
    pub over_slo: u64,
    /// Values below zero.
    pub negative: u64,
}

impl Tallied {
    /// Counts a value in µs.
    pub fn count(&mut self, us: i64) {
        self.count_many(us, 1);
    }

    /// Counts values of 32 bits, also [`NONE`]; each that is [`WIDE`] is to be counted by itself.
    pub fn count_small(&mut self, values: &[i32]) {
        self.moments.add_larger(WIDE, values);
        for &us in values {
            self.missing += u64::from(us == NONE);
            self.over_slo += u64::from(i64::from(us) >= SLO_US);
            self.negative += u64::from(us < 0 && us > WIDE);
        }
    }

    /// Counts a value in µs that came `count` times.
    pub fn count_many(&mut self, us: i64, count: u64) {
        self.moments.add(us, count);
        self.over_slo += if us >= SLO_US { count } else { 0 };
        self.negative += if us < 0 { count } else { 0 };
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Self) {
        self.moments.merge(&other.moments);
        self.missing += other.missing;
        self.over_slo += other.over_slo;
        self.negative += other.negative;
    }

    /// Values.
    pub fn finite(&self) -> u64 {
        self.moments.n()
    }

    /// Ranks of finite values that the percentiles `ps` of these events need, ascending.
    pub fn ranks(&self, ps: &[f64]) -> Vec<u64> {
        let n = self.finite() + self.missing;
        let mut needed: Vec<u64> = ps.iter().filter_map(|&p| ranks(n, p)).flatten().collect();
        needed.retain(|&rank| rank < self.finite());
        needed.sort_unstable();
        needed.dedup();
        needed
    }
}

impl Quantiles {
    /// From counts and the values at the ranks that [`Tallied::ranks`] named.
    pub fn new(tallied: &Tallied, selected: Vec<(u64, i64)>) -> Self {
        Self { tallied: *tallied, selected }
    }

    /// The percentiles `ps` of values in µs; `wide` are those that do not fit 32 bits.
    pub fn select(values: &mut [i32], mut wide: Vec<i64>, missing: u64, ps: &[f64]) -> Self {
        let mut tallied = Tallied { missing, ..Tallied::default() };
        tallied.count_small(values);
        wide.iter().for_each(|&us| tallied.count(us));
        wide.sort_unstable();
        let below = wide.partition_point(|&us| us < 0);
        let inner = below as u64..(below + values.len()) as u64;
        let needed = tallied.ranks(ps);
        let within: Vec<usize> =
            needed.iter().filter(|rank| inner.contains(rank)).map(|rank| (rank - inner.start) as usize).collect();
        let mut selected = Vec::with_capacity(needed.len());
        place(values, &within);
        for rank in needed {
            let us = if inner.contains(&rank) {
                i64::from(values[(rank - inner.start) as usize])
            } else if rank < inner.start {
                wide[rank as usize]
            } else {
                wide[rank as usize - values.len()]
            };
            selected.push((rank, us));
        }
        Self::new(&tallied, selected)
    }

    /// Events, those without a latency included.
    pub fn n(&self) -> u64 {
        self.tallied.finite() + self.tallied.missing
    }

    /// Events without a latency.
    pub fn missing(&self) -> u64 {
        self.tallied.missing
    }

    /// Events that were not strictly below the SLO, those without a latency included.
    pub fn over_slo(&self) -> u64 {
        self.tallied.over_slo + self.tallied.missing
    }

    /// Events with a latency below zero: the clocks of two stamps disagree.
    pub fn negative(&self) -> u64 {
        self.tallied.negative
    }

    /// The mean of the latencies that there are.
    pub fn mean_ms(&self) -> Value {
        self.tallied.moments.mean_ms().into()
    }

    /// Their standard deviation (ddof 0).
    pub fn sd_ms(&self) -> Value {
        self.tallied.moments.sd_ms().into()
    }

    /// The smallest of them, if p0 was asked for.
    pub fn min_ms(&self) -> Value {
        if self.tallied.finite() == 0 { Value::Empty } else { self.percentile_ms(0.0).value }
    }

    /// A percentile that was asked for; [`Value::Empty`] where it was not.
    pub fn percentile_ms(&self, p: f64) -> Percentile {
        let at_us = |rank| self.selected.binary_search_by_key(&rank, |&(rank, _)| rank).map(|k| self.selected[k].1);
        let (n, finite) = (self.n(), self.tallied.finite());
        let asked =
            ranks(n, p).is_some_and(|needed| needed.into_iter().all(|rank| rank >= finite || at_us(rank).is_ok()));
        debug_assert!(asked || n == 0, "p{p} was not selected");
        if !asked {
            return Percentile { value: Value::Empty, samples_past: 0 };
        }
        interpolate(n, p, |rank| at_us(rank).ok().map(|us| us as f64 / 1000.0))
    }

    /// The 50th percentile.
    pub fn median_ms(&self) -> Value {
        self.percentile_ms(50.0).value
    }

    /// The largest latency, if p100 was asked for.
    pub fn max_ms(&self) -> Value {
        self.percentile_ms(100.0).value
    }
}

/// Puts the values of the given ranks (ascending) where sorting would, and smaller and larger ones on their sides.
fn place(values: &mut [i32], ranks: &[usize]) {
    let Some(&middle) = ranks.get(ranks.len() / 2) else { return };
    let (below, _, above) = values.select_nth_unstable(middle);
    let (left, right) = (&ranks[..ranks.len() / 2], &ranks[ranks.len() / 2 + 1..]);
    place(below, left);
    let right: Vec<usize> = right.iter().map(|rank| rank - middle - 1).collect();
    place(above, &right);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use shasta_model::percentile::Distribution;

    const PS: [f64; 8] = [0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 100.0];

    proptest! {
        #[test]
        fn equals_the_sorted_distribution(
            values in prop::collection::vec(prop_oneof![
                8 => -200_000_i64..300_000, 1 => 0_i64..3, 1 => any::<i32>().prop_map(|us| i64::from(us) * 4000)
            ], 0..400),
            missing in 0_u64..4,
        ) {
            let (mut small, mut wide) = (Vec::new(), Vec::new());
            for &us in &values {
                match i32::try_from(us) {
                    Ok(us) => small.push(us),
                    Err(_) => wide.push(us),
                }
            }
            let selected = Quantiles::select(&mut small, wide, missing, &PS);
            let sorted = Distribution::new(values, missing);
            prop_assert_eq!(
                (selected.n(), selected.missing(), selected.over_slo(), selected.negative()),
                (sorted.n(), sorted.missing(), sorted.over_slo(), sorted.negative())
            );
            prop_assert_eq!(
                [selected.mean_ms(), selected.sd_ms(), selected.min_ms()],
                [sorted.mean_ms(), sorted.sd_ms(), sorted.min_ms()]
            );
            for p in PS {
                prop_assert_eq!(selected.percentile_ms(p), sorted.percentile_ms(p));
            }
        }
    }
}

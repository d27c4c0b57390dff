//! Percentiles over all rows, in two passes that no sort needs: values are counted by the upper half of their bits, then
//! those whose upper half a wanted rank falls into by the lower half.

use std::io;

use super::{By, Samples};
use crate::quantile::{Quantiles, Tallied, WIDE};

impl Samples {
    /// Percentiles `ps` of a latency over all rows.
    ///
    /// # Errors
    /// Those of the temporary file.
    pub fn pooled(&self, latency: usize, ps: &[f64]) -> io::Result<Quantiles> {
        let wide: Vec<i64> = self.wide.iter().filter(|wide| wide.latency == latency).map(|wide| wide.us).collect();
        let upper = self.each_parallel(By::Pair, latency, UpperCounts::default, |upper, _, us| upper.count(us))?;
        let mut upper = upper.into_iter().reduce(UpperCounts::merged).unwrap_or_default();
        wide.iter().for_each(|&us| upper.tallied.count(us));
        let selection = RankSelection::new(&upper, wide, ps);
        let start = || selection.lower_counts();
        let lower = self.each_parallel(By::Pair, latency, start, |lower, _, us| selection.count(lower, us))?;
        let sum = |mut sum: Vec<u32>, other: Vec<u32>| {
            sum.iter_mut().zip(other).for_each(|(sum, other)| *sum += other);
            sum
        };
        let lower = lower.into_iter().reduce(sum).unwrap_or_default();
        Ok(Quantiles::new(&upper.tallied, selection.select(&lower)))
    }
}

/// Bits of half a value.
const HALF: u32 = 16;

/// How many values have each upper half of their 32 bits: the first pass.
#[derive(Debug)]
struct UpperCounts {
    tallied: Tallied,
    counts: Vec<u64>,
}

impl Default for UpperCounts {
    fn default() -> Self {
        Self { tallied: Tallied::default(), counts: vec![0; 1 << HALF] }
    }
}

/// A value as a number whose order is the same without a sign.
fn unsigned(us: i32) -> u32 {
    us.cast_unsigned() ^ (1 << 31)
}

impl UpperCounts {
    fn count(&mut self, us: &[i32]) {
        self.tallied.count_small(us);
        for &us in us.iter().filter(|&&us| us > WIDE) {
            self.counts[(unsigned(us) >> HALF) as usize] += 1;
        }
    }

    fn merged(mut self, other: Self) -> Self {
        self.tallied.add(&other.tallied);
        self.counts.iter_mut().zip(other.counts).for_each(|(sum, other)| *sum += other);
        self
    }
}

/// The ranks that are wanted, and the upper halves among which they lie: the second pass counts lower halves there.
#[derive(Debug)]
struct RankSelection {
    /// (rank, where its value is to be found).
    ranks: Vec<(u64, Place)>,
    /// For each upper half, its place among those looked into, or none.
    slots: Vec<Option<u16>>,
    /// The upper half of each slot.
    halves: Vec<u32>,
}

#[derive(Debug)]
enum Place {
    Known(i64),
    /// In the slot, so many values from its smallest.
    Within(usize, u64),
}

impl RankSelection {
    fn new(upper: &UpperCounts, mut wide: Vec<i64>, ps: &[f64]) -> Self {
        wide.sort_unstable();
        let below = wide.partition_point(|&us| us < 0) as u64;
        let small = upper.counts.iter().sum::<u64>();
        let mut selection = Self { ranks: Vec::new(), slots: vec![None; 1 << HALF], halves: Vec::new() };
        let (mut half, mut before) = (0, below);
        for rank in upper.tallied.ranks(ps) {
            let place = if rank < below {
                Place::Known(wide[rank as usize])
            } else if rank >= below + small {
                Place::Known(wide[(rank - small) as usize])
            } else {
                while before + upper.counts[half] <= rank {
                    before += upper.counts[half];
                    half += 1;
                }
                let slot = *selection.slots[half].get_or_insert_with(|| {
                    selection.halves.push(half as u32);
                    selection.halves.len() as u16 - 1
                });
                Place::Within(slot.into(), rank - before)
            };
            selection.ranks.push((rank, place));
        }
        selection
    }

    /// A count of zero for each lower half of each slot.
    fn lower_counts(&self) -> Vec<u32> {
        vec![0; self.halves.len() << HALF]
    }

    fn count(&self, lower_counts: &mut [u32], us: &[i32]) {
        for &us in us.iter().filter(|&&us| us > WIDE) {
            let bits = unsigned(us);
            if let Some(slot) = self.slots[(bits >> HALF) as usize] {
                lower_counts[(usize::from(slot) << HALF) + (bits & 0xFFFF) as usize] += 1;
            }
        }
    }

    fn select(&self, lower_counts: &[u32]) -> Vec<(u64, i64)> {
        let value = |place: &Place| match *place {
            Place::Known(us) => us,
            Place::Within(slot, mut left) => {
                let counts = &lower_counts[slot << HALF..(slot + 1) << HALF];
                let lower = counts.iter().position(|&count| {
                    let here = left < u64::from(count);
                    left = left.saturating_sub(count.into());
                    here
                });
                // The slot holds more values than `left`, so that one is found.
                let bits = (self.halves[slot] << HALF) | lower.unwrap_or(0) as u32;
                i64::from((bits ^ (1 << 31)).cast_signed())
            }
        };
        self.ranks.iter().map(|(rank, place)| (*rank, value(place))).collect()
    }
}

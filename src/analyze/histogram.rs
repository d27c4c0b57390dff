//! Latencies of one pair as counts by microsecond: exact, and as large as their range rather than their number.

use crate::quantile::{Quantiles, Tallied};

/// Successive values of one page of counts.
const PAGE_US: usize = 4096;
/// Pages, so that latencies of up to 131 ms are counted; the few beyond, and those below zero, are kept one by one.
const PAGES: usize = 32;
const PAGE_BYTES: usize = PAGE_US * size_of::<u32>();

/// Latencies of one of many pairs. The latest wait until they are so many that counting them together pays: with a
/// thousand pairs, of which each row is another's, every count would be a cache miss.
#[derive(Debug, Clone, Default)]
pub struct Counted {
    /// In µs, each within the pages.
    waiting: Vec<u32>,
    /// All others; none before the first.
    counts: Option<Box<Histogram>>,
}

/// So many wait, at most: as many as the counters of a pair with a short tail, so that most are met again from the cache.
const WAITING_MAX: usize = 4096;

impl Counted {
    /// Takes in a latency, `None` for an event without one. Returns how many bytes more that took.
    #[inline]
    pub fn add(&mut self, us: Option<i64>) -> usize {
        match us {
            Some(us) if (us as usize) < PAGES * PAGE_US => self.wait(us as u32),
            other => self.counts.get_or_insert_default().add(other),
        }
    }

    #[inline]
    fn wait(&mut self, us: u32) -> usize {
        if self.waiting.len() < self.waiting.capacity() {
            self.waiting.push(us);
            return 0;
        }
        self.make_room(us)
    }

    #[cold]
    fn make_room(&mut self, us: u32) -> usize {
        let before = self.waiting.capacity();
        let taken = if before >= WAITING_MAX { self.count_waiting() } else { 0 };
        self.waiting.push(us);
        taken + (self.waiting.capacity() - before) * size_of::<u32>()
    }

    fn count_waiting(&mut self) -> usize {
        let counts = self.counts.get_or_insert_default();
        self.waiting.drain(..).map(|us| counts.add(Some(us.into()))).sum()
    }

    /// Adds another's latencies.
    pub fn merge(&mut self, mut other: Self) {
        self.waiting.append(&mut other.waiting);
        if let Some(other) = other.counts {
            self.counts.get_or_insert_default().merge(&other);
        }
        if self.waiting.len() > 4 * WAITING_MAX {
            self.count_waiting();
        }
    }

    /// All of them, counted.
    pub fn histogram(mut self) -> Histogram {
        self.count_waiting();
        self.counts.map(|counts| *counts).unwrap_or_default()
    }
}

/// How often each latency came.
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    pages: [Option<Box<[u32; PAGE_US]>>; PAGES],
    far_us: Vec<i64>,
    missing: u64,
}

impl Histogram {
    /// Counts a latency in µs, `None` for an event without one. Returns how many bytes more that took.
    #[inline]
    pub fn add(&mut self, us: Option<i64>) -> usize {
        let Some(us) = us else {
            self.missing += 1;
            return 0;
        };
        match self.pages.get_mut(us as usize / PAGE_US) {
            Some(Some(page)) => {
                let count = &mut page[us as usize % PAGE_US];
                // A run has at most 10⁹ events.
                *count = count.saturating_add(1);
                0
            }
            Some(page) => {
                page.insert(Box::new([0; PAGE_US]))[us as usize % PAGE_US] = 1;
                PAGE_BYTES
            }
            None => {
                self.far_us.push(us);
                size_of::<i64>()
            }
        }
    }

    /// Adds another's latencies.
    pub fn merge(&mut self, other: &Self) {
        self.missing += other.missing;
        self.far_us.extend_from_slice(&other.far_us);
        for (page, other) in self.pages.iter_mut().zip(&other.pages) {
            match (page, other) {
                (Some(page), Some(other)) => {
                    page.iter_mut().zip(&**other).for_each(|(sum, count)| *sum = sum.saturating_add(*count))
                }
                (page @ None, Some(other)) => *page = Some(other.clone()),
                (_, None) => (),
            }
        }
    }

    /// Each latency in µs that came, ascending but for the far ones, and how often; `None` for events without one.
    pub fn counts(&self) -> impl Iterator<Item = (Option<i64>, u64)> {
        let far = self.far_us.iter().map(|&us| (Some(us), 1));
        far.chain(self.near().map(|(us, count)| (Some(us), count))).chain([(None, self.missing)])
    }

    /// The percentiles `ps`.
    pub fn quantiles(&self, ps: &[f64]) -> Quantiles {
        let mut tallied = Tallied { missing: self.missing, ..Tallied::default() };
        let mut far_us = self.far_us.clone();
        far_us.sort_unstable();
        let (below, above) = far_us.split_at(far_us.partition_point(|&us| us < 0));
        let one = |us: &i64| (*us, 1);
        let ascending = || below.iter().map(one).chain(self.near()).chain(above.iter().map(one));
        ascending().for_each(|(us, count)| tallied.count_many(us, count));
        let mut counted = ascending();
        let (mut us, mut before) = (0, 0);
        let selected = tallied.ranks(ps).into_iter().map(|rank| {
            while before <= rank {
                let Some((next_us, count)) = counted.next() else { break };
                (us, before) = (next_us, before + count);
            }
            (rank, us)
        });
        Quantiles::new(&tallied, selected.collect())
    }

    /// Latencies that pages count, ascending.
    fn near(&self) -> impl Iterator<Item = (i64, u64)> {
        let pages = self.pages.iter().enumerate().filter_map(|(k, page)| Some((k, page.as_ref()?)));
        pages.flat_map(|(k, page)| {
            let came = page.iter().enumerate().filter(|(_, count)| **count > 0);
            came.map(move |(us, &count)| ((k * PAGE_US + us) as i64, u64::from(count)))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use shasta_model::percentile::Distribution;

    const PS: [f64; 8] = [0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 100.0];

    fn check(all: &Histogram, mut values: Vec<Option<i64>>) {
        let mut counted: Vec<_> = all.counts().flat_map(|(us, count)| vec![us; count as usize]).collect();
        counted.sort_unstable();
        let (quantiles, sorted) = (all.quantiles(&PS), Distribution::of(values.iter().copied()));
        assert_eq!(
            (quantiles.n(), quantiles.missing(), quantiles.over_slo(), quantiles.negative()),
            (sorted.n(), sorted.missing(), sorted.over_slo(), sorted.negative())
        );
        assert_eq!(
            [quantiles.mean_ms(), quantiles.sd_ms(), quantiles.min_ms()],
            [sorted.mean_ms(), sorted.sd_ms(), sorted.min_ms()]
        );
        for p in PS {
            assert_eq!(quantiles.percentile_ms(p), sorted.percentile_ms(p));
        }
        values.sort_unstable();
        assert_eq!(counted, values);
    }

    proptest! {
        #[test]
        fn equals_the_sorted_distribution(
            values in prop::collection::vec(
                prop::option::weighted(0.95, prop_oneof![8 => -2_000_i64..150_000, 2 => 0_i64..3, 1 => any::<i64>()]), 0..400
            ),
        ) {
            let mut halves = [Histogram::default(), Histogram::default()];
            let mut waiting = [Counted::default(), Counted::default()];
            for (k, &us) in values.iter().enumerate() {
                halves[k % 2].add(us);
                waiting[k % 2].add(us);
            }
            let [mut all, other] = halves;
            all.merge(&other);
            check(&all, values.clone());
            let [mut all, other] = waiting;
            all.merge(other);
            check(&all.histogram(), values);
        }
    }

    #[test]
    fn what_waits_is_counted_in_the_end() {
        for (n, parts) in [(WAITING_MAX, 1), (3 * WAITING_MAX + 5, 1), (9 * WAITING_MAX, 7)] {
            let values: Vec<_> = (0..n as i64).map(|k| (k % 11 != 0).then_some(k * k % 140_000 - 9)).collect();
            let mut all = Counted::default();
            let mut bytes = 0;
            for part in values.chunks(n.div_ceil(parts)) {
                let mut counted = Counted::default();
                bytes += part.iter().map(|&us| counted.add(us)).sum::<usize>();
                assert!(counted.waiting.capacity() <= WAITING_MAX);
                all.merge(counted);
            }
            assert!(bytes >= WAITING_MAX * size_of::<u32>());
            check(&all.histogram(), values);
        }
    }

    #[test]
    fn says_what_it_takes() {
        let mut histogram = Histogram::default();
        let taken =
            [Some(5), Some(4095), Some(4096), Some(131_072), Some(-1), None, Some(5)].map(|us| histogram.add(us));
        assert_eq!(taken, [PAGE_BYTES, 0, PAGE_BYTES, 8, 8, 0, 0]);
    }
}

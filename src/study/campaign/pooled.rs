//! Far percentiles of several runs together, exactly, from the largest latencies that each manifest keeps: of 3.6 million
//! events, 36 lie past p99.999.

use shasta_model::percentile::{Percentile, Value, interpolate};

/// What is known of the slowest events of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// Events in all.
    pub n: u64,
    /// Of those, the ones that never arrived.
    pub missing: u64,
    /// The largest latencies of the others, in µs, or all.
    pub largest_us: Vec<i64>,
}

/// The percentile `p` of all runs together; none where it lies before what the runs have kept.
pub fn percentile(runs: &[Tail], p: f64) -> Option<Percentile> {
    let sum = |of: fn(&Tail) -> u64| runs.iter().map(of).sum::<u64>();
    let (n, missing) = (sum(|run| run.n), sum(|run| run.missing));
    let mut largest_us: Vec<i64> = runs.iter().flat_map(|run| run.largest_us.iter().copied()).collect();
    largest_us.sort_unstable_by(|a, b| b.cmp(a));
    // As many as the run has kept that has left most out: the largest of all are among those of each.
    let whole = |run: &&Tail| run.largest_us.len() as u64 + run.missing < run.n;
    let known = runs.iter().filter(whole).map(|run| run.largest_us.len()).min().unwrap_or(largest_us.len());
    let unknown = std::cell::Cell::new(false);
    let found = interpolate(n, p, |index| {
        let past = (n - 1 - index).checked_sub(missing)? as usize;
        if past >= known {
            unknown.set(true);
            return Some(0.0);
        }
        largest_us.get(past).map(|us| *us as f64 / 1000.0)
    });
    (!unknown.get() && found.value != Value::Empty).then_some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use shasta_model::percentile::Distribution;

    proptest! {
        #[test]
        fn as_of_all_events_or_unknown(
            runs in prop::collection::vec((prop::collection::vec(0_i64..500, 0..60), 0_u64..3), 1..5),
            kept in 0_usize..40, p in 0.0..=100.0_f64
        ) {
            let tail = |(us, missing): &(Vec<i64>, u64)| {
                let mut largest_us = us.clone();
                largest_us.sort_unstable_by(|a, b| b.cmp(a));
                largest_us.truncate(kept);
                Tail { n: us.len() as u64 + missing, missing: *missing, largest_us }
            };
            let all: Vec<i64> = runs.iter().flat_map(|(us, _)| us.clone()).collect();
            let exact = Distribution::new(all, runs.iter().map(|(_, missing)| missing).sum()).percentile_ms(p);
            match percentile(&runs.iter().map(tail).collect::<Vec<_>>(), p) {
                Some(found) => prop_assert_eq!(found, exact),
                None => prop_assert!(exact.value == Value::Empty || runs.iter().any(|(us, _)| us.len() > kept)),
            }
        }
    }

    #[test]
    fn six_long_runs() {
        let run =
            |first: i64| Tail { n: 600_000, missing: 0, largest_us: (0..1_000).map(|i| (first - i) * 1_000).collect() };
        let runs: Vec<_> = (0..6).map(|i| run(2_000 + i)).collect();
        let found = percentile(&runs, 99.999).unwrap();
        assert_eq!((found.samples_past, found.few()), (36, false));
        assert!(percentile(&runs, 99.9).is_none(), "3,600 events lie past it");
    }
}

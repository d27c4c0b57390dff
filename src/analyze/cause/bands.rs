//! Where the time goes at each percentile, for a chart: the buckets of a run as bands between percentiles.

use super::stage::{STAGES, StageBucket, Stages};

/// A band of a run's events between two percentiles, for a chart of where the time goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Band {
    /// Percentiles between which it lies, 0 to 100, among all planned events.
    pub percentiles: [f64; 2],
    /// The smallest latency in it, in ms.
    pub from_ms: f64,
    /// Its events.
    pub events: u64,
    /// Mean time in each stage of [`shasta_model::columns::CHAIN`], in ms.
    pub stage_ms: [f64; STAGES],
    /// Mean time from stored to read, in ms, over those that a reader has.
    pub read_ms: Option<f64>,
}

/// The buckets as bands, from the fastest to the slowest, of `n` planned events.
pub fn bands(stages: &Stages, n: u64) -> Vec<Band> {
    let mut below = 0u64;
    let percentile = |below: u64| 100.0 * below as f64 / n.max(1) as f64;
    let bands = stages.buckets().map(|StageBucket { from_us, sums }| {
        let from = percentile(below);
        below += sums.count;
        let read_ms = (sums.read_count > 0).then(|| sums.read_us_sum as f64 / sums.read_count as f64 / 1000.0);
        Band {
            percentiles: [from, percentile(below)],
            from_ms: from_us.max(0) as f64 / 1000.0,
            events: sums.count,
            stage_ms: sums.stage_us_sums.map(|us_sum| sums.mean_ms(us_sum)),
            read_ms,
        }
    });
    bands.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cause::tail::tests::row;

    #[test]
    fn bands_cover_all_events() {
        let mut stages = Stages::default();
        (0..100).for_each(|k| stages.add(&row(k, 0, Some(1_000 * k))));
        let bands = bands(&stages, 100);
        assert_eq!((bands[0].percentiles[0], bands.last().unwrap().percentiles[1]), (0.0, 100.0));
        assert!(bands.windows(2).all(|pair| pair[0].percentiles[1] == pair[1].percentiles[0]));
    }
}

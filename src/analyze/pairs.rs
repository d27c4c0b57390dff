//! D2–D5 as the published tables have them: how far the tail of each (source, destination) pair lies above its median.

use crate::{
    quantile::Quantiles,
    row::Names,
    spread::{Spread, value},
};
use shasta_model::{
    columns::Latency,
    percentile::{Percentile, Value},
};

/// The published metrics: the percentile of each, less the median.
pub const METRICS: [(&str, f64); 4] = [("D2", 99.0), ("D3", 99.9), ("D4", 99.99), ("D5", 99.999)];
/// The percentiles that a pair's latencies must be asked for.
pub const PAIR_PERCENTILES: [f64; 6] = [50.0, 99.0, 99.9, 99.99, 99.999, 100.0];

/// The events that one worker consumed from one producing host.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The producing host.
    pub source: String,
    /// The worker.
    pub destination: String,
    /// The latencies.
    pub latencies: Quantiles,
}

/// One metric over all pairs, and what a reader needs to weigh it.
#[derive(Debug, Clone)]
pub struct Metric {
    /// `D2` to `D5`.
    pub name: &'static str,
    /// Over one D a pair; no pair is left out.
    pub spread: Spread,
    /// Whether some pair has fewer than 10 samples past the percentile.
    pub few: bool,
    /// The D of all planned events as one sample; those that no worker saw are infinite in it.
    pub pooled: Percentile,
    /// The pair with the largest D.
    pub worst: String,
    /// Samples past the percentile in the smallest pair.
    pub samples_past: u64,
}

/// All pairs of a run.
#[derive(Debug, Clone)]
pub struct Pairs {
    /// Which latency.
    pub latency: Latency,
    /// Sorted by source, then destination.
    pub pairs: Vec<Pair>,
    /// Rows without a destination: in no pair, so in none of the figures over pairs.
    pub unplaced: u64,
}

impl Pairs {
    /// Of the (source, destination) numbers of each pair, their names, and its latencies.
    pub fn new(
        latency: Latency,
        (names, numbers): (&Names, &[(u32, u32)]),
        latencies: Vec<Quantiles>,
        unplaced: u64,
    ) -> Self {
        let name = |names: &[String], number: u32| names.get(number as usize).cloned().unwrap_or_default();
        let mut pairs: Vec<Pair> = numbers
            .iter()
            .zip(latencies)
            .map(|(&(source, destination), latencies)| Pair {
                source: name(&names.sources, source),
                destination: name(&names.destinations, destination),
                latencies,
            })
            // The parts of a run may name a pair that no joined event has.
            .filter(|pair| pair.latencies.n() > 0)
            .collect();
        // As a grouped frame has them, so that sums over pairs round as they do there.
        pairs.sort_by(|a, b| (&a.source, &a.destination).cmp(&(&b.source, &b.destination)));
        Self { latency, pairs, unplaced }
    }

    /// D2–D5; `pooled` are the same latencies of all planned events.
    pub fn metrics(&self, pooled: &Quantiles) -> [Metric; 4] {
        METRICS.map(|(name, p)| self.metric(name, p, pooled))
    }

    /// The median of each pair, over the pairs.
    pub fn medians(&self) -> Spread {
        let medians: Vec<f64> = self.pairs.iter().filter_map(|pair| pair.latencies.median_ms().as_ms()).collect();
        Spread::over(&medians)
    }

    /// Samples in the smallest and in the largest pair.
    pub fn samples(&self) -> Option<(u64, u64)> {
        let samples = || self.pairs.iter().map(|pair| pair.latencies.n());
        samples().min().zip(samples().max())
    }

    fn metric(&self, name: &'static str, p: f64, pooled: &Quantiles) -> Metric {
        let above: Vec<(f64, Percentile)> = self.pairs.iter().map(|pair| above_median(&pair.latencies, p)).collect();
        let figures: Vec<f64> = above.iter().map(|(figure, _)| *figure).collect();
        let worst = figures.iter().zip(&self.pairs).max_by(|a, b| a.0.total_cmp(b.0));
        let samples_past = above.iter().map(|(_, percentile)| percentile.samples_past).min().unwrap_or(0);
        let (pooled_ms, pooled) = above_median(pooled, p);
        Metric {
            name,
            spread: Spread::over(&figures),
            few: above.iter().any(|(_, percentile)| percentile.few()),
            pooled: Percentile {
                value: if pooled.value == Value::Empty { Value::Empty } else { value(pooled_ms) },
                ..pooled
            },
            worst: worst.map_or_else(String::new, |(_, pair)| format!("{} → {}", pair.source, pair.destination)),
            samples_past,
        }
    }
}

/// How far a percentile lies above the median, in ms, and the percentile itself.
pub fn above_median(latencies: &Quantiles, p: f64) -> (f64, Percentile) {
    let percentile = latencies.percentile_ms(p);
    let figure = match (percentile.value, latencies.median_ms()) {
        (Value::Finite(ms), Value::Finite(median)) => ms - median,
        // Where even the median is past the drain, so is everything above it.
        _ => f64::INFINITY,
    };
    (figure, percentile)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::run::tests::measured;
    use shasta_model::columns::PUBLISHED_TO_CONSUMED;

    /// Three pairs and a lost event; latencies of zero, of less, and past the SLO.
    pub const SMALL: &str = "\
p0,w0,0,0,0,0,0,0,100,,,1100,1200,
p0,w0,0,0,0,1,1,0,100,,,2600,2700,
p0,w0,0,0,0,2,2,0,100,,,100,4000,
p0,w1,1,1,1,0,0,0,200,,,5300,150000,
p0,w1,1,1,1,1,1,0,200,,,7300,7400,
p1,w1,2,2,1,2,0,0,50,,,0,10,
p1,w1,2,2,1,3,1,0,50,,,120050,120060,
p1,,3,3,,,0,0,,,,,,
";

    /// Made from `SMALL` by pandas 3 and NumPy 2.4.6; `x` is the CSV, `x["ms"]` (after_consume_us − before_publish_us) / 1000:
    ///     pairs = [p.ms.to_numpy() for _, p in x.groupby(["source", "destination"])]
    ///     for q in (99, 99.9, 99.99, 99.999):
    ///         d = np.array([np.percentile(p, q) - np.percentile(p, 50) for p in pairs])
    ///         print([np.round(f(d), 2).item() for f in (np.median, np.mean, np.std, np.max, np.min)])
    const PANDAS: [[f64; 5]; 4] = [
        [1.47, 20.42, 27.15, 58.82, 0.98],
        [1.5, 20.8, 27.65, 59.9, 1.0],
        [1.5, 20.84, 27.7, 60.01, 1.0],
        [1.5, 20.84, 27.71, 60.02, 1.0],
    ];

    #[test]
    fn d2_to_d5_are_those_of_pandas() {
        let measured = measured(SMALL);
        let pairs = &measured.pairs;
        assert_eq!((pairs.pairs.len(), pairs.samples(), pairs.unplaced), (3, Some((2, 3)), 1));
        assert_eq!((pairs.latency.from, pairs.latency.to), (PUBLISHED_TO_CONSUMED.from, PUBLISHED_TO_CONSUMED.to));
        for (metric, expected) in pairs.metrics(&measured.pooled).iter().zip(PANDAS) {
            let Spread { median, mean, sd, max, min } = metric.spread;
            let rounded = [median, mean, sd, max, min].map(|value| value.to_string().parse::<f64>().unwrap());
            assert_eq!(rounded, expected, "{}", metric.name);
            assert!(metric.few && metric.worst == "p1 → w1" && metric.samples_past == 1);
            assert_eq!(metric.pooled.value, Value::PastDrain, "the lost event is in the pooled sample");
        }
    }

    #[test]
    fn without_a_consumer_there_is_no_pair() {
        let pairs = measured("p1,,3,3,,,0,0,,,,,,\n").pairs;
        assert_eq!((pairs.samples(), pairs.unplaced), (None, 1));
    }
}

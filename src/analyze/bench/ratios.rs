//! Figures of one run held against each other. A ratio within a run says what a figure alone does not: the machine, and
//! what else ran on it, is in both of its terms.

use super::estimates::{Bench, Run};

/// What a figure is to reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// At most so much.
    Most(f64),
    /// At least so much.
    Least(f64),
}

/// How a figure is made of benches, which are named by their ids.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Figure {
    /// Time of the first over time of the second.
    Times(&'static str, &'static str),
    /// Elements a second of the first over those of the second.
    Rates(&'static str, &'static str),
    /// Elements a second.
    Rate(&'static str),
}

/// What the project wants of its benches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wanted {
    /// In words.
    pub what: &'static str,
    /// The figure.
    pub figure: Figure,
    /// And its limit.
    pub limit: Limit,
}

/// All that is wanted.
pub const WANTED: [Wanted; 10] = [
    Wanted {
        what: "encode, key and headers of an event of 512 bytes, time over allocating and copying the same bytes",
        figure: Figure::Times("event of 512 bytes/encode, key and headers, kept buffer", "event of 512 bytes/copy"),
        limit: Limit::Most(3.0),
    },
    Wanted {
        what: "store of 64 events at once, 1 ms round trip, events/s over two awaited round trips an event",
        figure: Figure::Rates("store, 1 ms round trip/store/64", "store, 1 ms round trip/awaited/1"),
        limit: Limit::Least(30.0),
    },
    Wanted {
        what: "store (script) of 64 events at once, events/s over redis-benchmark's",
        figure: Figure::Rates("store, 0 ms round trip/store/64", "store, 0 ms round trip/redis-benchmark EVALSHA/64"),
        limit: Limit::Least(0.8),
    },
    Wanted {
        what: "store (script) of 256 events at once, events/s over redis-benchmark's",
        figure: Figure::Rates("store, 0 ms round trip/store/256", "store, 0 ms round trip/redis-benchmark EVALSHA/256"),
        limit: Limit::Least(0.8),
    },
    Wanted {
        what: "store as a function, 64 events at once, events/s over redis-benchmark's",
        figure: Figure::Rates("store, 0 ms round trip/function/64", "store, 0 ms round trip/redis-benchmark FCALL/64"),
        limit: Limit::Least(0.8),
    },
    Wanted {
        what: "row to CSV, rows/s on one core",
        figure: Figure::Rate("row to CSV/ours"),
        limit: Limit::Least(3e6),
    },
    Wanted {
        what: "one worker, backlog of 24 partitions, events/s",
        figure: Figure::Rate("worker/drain/24 partitions"),
        limit: Limit::Least(50_000.0),
    },
    Wanted {
        what: "one worker, backlog of 24 partitions, events/s over redis-benchmark's",
        figure: Figure::Rates("worker/drain/24 partitions", "worker/redis-benchmark EVALSHA/512"),
        limit: Limit::Least(0.7),
    },
    Wanted {
        what: "one worker, backlog of 256 partitions, events/s over redis-benchmark's",
        figure: Figure::Rates("worker/drain/256 partitions", "worker/redis-benchmark EVALSHA/512"),
        limit: Limit::Least(0.7),
    },
    Wanted {
        what: "analyze, D2–D5 of 1,000,000 rows in Parquet, rows/s over polars alone",
        figure: Figure::Rates("analyze, D2–D5/parquet/1000000", "analyze, D2–D5/parquet, polars alone/1000000"),
        limit: Limit::Least(1.0),
    },
];

/// A figure and the interval that both its terms' intervals within the run leave to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Of the medians.
    pub median: f64,
    /// Lowest.
    pub low: f64,
    /// Highest.
    pub high: f64,
}

impl Figure {
    /// The figure in a run, where all its benches are there.
    pub fn of(self, run: &Run) -> Option<Measured> {
        let ns = |id: &str| run.bench(id).map(Bench::each_ns);
        Some(match self {
            Self::Times(this, other) => over(ns(this)?, ns(other)?),
            // The slower one has fewer a second.
            Self::Rates(this, other) => over(ns(other)?, ns(this)?),
            Self::Rate(this) => over([1e9; 3], ns(this)?),
        })
    }
}

/// One time over another.
pub fn over(this: [f64; 3], other: [f64; 3]) -> Measured {
    Measured { median: this[0] / other[0], low: this[1] / other[2], high: this[2] / other[1] }
}

impl Limit {
    /// `met`, `missed`, or that the interval has the limit in it.
    pub fn verdict(self, measured: Measured) -> &'static str {
        let (met, sure) = match self {
            Self::Most(limit) => (measured.median <= limit, measured.high <= limit || measured.low > limit),
            Self::Least(limit) => (measured.median >= limit, measured.low >= limit || measured.high < limit),
        };
        match (met, sure) {
            (true, true) => "met",
            (false, true) => "missed",
            (true, false) => "met, but not surely",
            (false, false) => "missed, but not surely",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bench(group: &str, function: &str, value: &str, median_ns: f64, elements: u64) -> Bench {
        let value = (!value.is_empty()).then(|| value.to_owned());
        let within_ns = [median_ns * 0.98, median_ns * 1.02];
        let (group, function) = (group.to_owned(), function.to_owned());
        Bench { group, function, value, median_ns, within_ns, elements: Some(elements), bytes: None }
    }

    #[test]
    fn times_and_rates_are_per_element() {
        let mut run = Run::default();
        run.benches.push(bench("store, 1 ms round trip", "store", "64", 2e6, 64));
        run.benches.push(bench("store, 1 ms round trip", "awaited", "1", 2.2e6, 1));
        let measured = WANTED[1].figure.of(&run).unwrap();
        assert!((measured.median - 70.4).abs() < 1e-9 && measured.low < 70.4 && measured.high > 70.4, "{measured:?}");
        assert_eq!(WANTED[1].limit.verdict(measured), "met");
        assert_eq!(WANTED[0].figure.of(&run), None);
        let rate = Figure::Rate("store, 1 ms round trip/store/64").of(&run).unwrap();
        assert!((rate.median - 32_000.0).abs() < 1e-6);
    }

    #[test]
    fn a_verdict_says_when_it_could_be_the_other() {
        let at = |median: f64, low: f64, high: f64| Measured { median, low, high };
        assert_eq!(Limit::Most(3.0).verdict(at(2.9, 2.8, 3.1)), "met, but not surely");
        assert_eq!(Limit::Most(3.0).verdict(at(3.2, 3.1, 3.3)), "missed");
        assert_eq!(Limit::Least(0.8).verdict(at(0.79, 0.7, 0.9)), "missed, but not surely");
        assert_eq!(Limit::Least(0.8).verdict(at(0.9, 0.8, 1.0)), "met");
    }
}

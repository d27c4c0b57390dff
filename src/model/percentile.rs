//! The one exact percentile of the project: screen, manifest and `analyze` all call it.
//!
//! It is `np.percentile(x_us / 1000, p)` bit for bit (method `linear`, q = p / 100.0), and 2 places as `np.round` makes
//! them. An event whose end stamp is missing counts as +∞, so losing slow events never improves a tail.

use std::fmt;

use crate::{moments::Moments, slo::SLO_US};

/// A percentile with fewer samples past it than this is marked †.
pub const FEW: u64 = 10;
/// The percentiles that are printed for every latency.
pub const PERCENTILES: [f64; 6] = [50.0, 90.0, 99.0, 99.9, 99.99, 99.999];

/// A latency, or why there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Value {
    /// Milliseconds, not rounded.
    Finite(f64),
    /// +∞: the event had not arrived when the drain after the window ended.
    PastDrain,
    /// There are no events.
    #[default]
    Empty,
}

impl Value {
    /// Milliseconds with +∞ as a number; nothing when there are no events.
    pub fn as_ms(self) -> Option<f64> {
        match self {
            Value::Finite(ms) => Some(ms),
            Value::PastDrain => Some(f64::INFINITY),
            Value::Empty => None,
        }
    }
}

/// A figure in ms that there may be no events for.
impl From<Option<f64>> for Value {
    fn from(ms: Option<f64>) -> Self {
        ms.map_or(Value::Empty, Value::Finite)
    }
}

/// `12.34`, `> drain`, or `–`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Finite(ms) => f.pad(&format!("{:.2}", round_2(*ms))),
            Value::PastDrain => f.pad("> drain"),
            Value::Empty => f.pad("–"),
        }
    }
}

/// A percentile and how much stands behind it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percentile {
    /// The percentile.
    pub value: Value,
    /// Samples strictly above the percentile's position: n − 1 − ⌊(n − 1) q⌋.
    /// By position, not by value, so that ties do not change it.
    pub samples_past: u64,
}

impl Percentile {
    /// Whether fewer than [`FEW`] samples lie past it, so that single events decide its value.
    pub fn few(&self) -> bool {
        self.samples_past < FEW
    }
}

/// `12.34`, `12.34†`, `> drain`, `> drain†`, or `–`.
impl fmt::Display for Percentile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value {
            Value::Empty => self.value.fmt(f),
            value if self.few() => f.pad(&format!("{value}†")),
            value => value.fmt(f),
        }
    }
}

/// The latencies of a set of planned events: signed µs, and how many events have none.
#[derive(Debug, Clone)]
pub struct Distribution {
    sorted_us: Vec<i64>,
    moments: Moments,
    missing: u64,
}

impl Distribution {
    /// Latencies in µs, in any order, and the number of events without one (each +∞).
    pub fn new(mut values_us: Vec<i64>, missing: u64) -> Self {
        values_us.sort_unstable();
        let moments = Moments::of(values_us.iter().copied());
        Self { sorted_us: values_us, moments, missing }
    }

    /// Latencies of planned events, `None` where the end stamp is missing.
    pub fn of(latencies_us: impl IntoIterator<Item = Option<i64>>) -> Self {
        let mut missing = 0;
        let values = latencies_us.into_iter().filter(|us| {
            missing += u64::from(us.is_none());
            us.is_some()
        });
        let values: Vec<i64> = values.flatten().collect();
        Self::new(values, missing)
    }

    /// Events, with those that have no latency.
    pub fn n(&self) -> u64 {
        self.sorted_us.len() as u64 + self.missing
    }

    /// Events that have no latency.
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// The exact percentile `p`, 0 to 100.
    pub fn percentile_ms(&self, p: f64) -> Percentile {
        interpolate(self.n(), p, |index| self.at_ms(index))
    }

    /// The 50th percentile.
    pub fn median_ms(&self) -> Value {
        self.percentile_ms(50.0).value
    }

    /// The mean of the latencies that there are.
    pub fn mean_ms(&self) -> Value {
        self.moments.mean_ms().into()
    }

    /// Their standard deviation (ddof 0).
    pub fn sd_ms(&self) -> Value {
        self.moments.sd_ms().into()
    }

    /// The smallest of them.
    pub fn min_ms(&self) -> Value {
        self.at_ms(0).into()
    }

    /// The largest latency.
    pub fn max_ms(&self) -> Value {
        self.percentile_ms(100.0).value
    }

    /// Events that were not strictly below the SLO, those without a latency included.
    pub fn over_slo(&self) -> u64 {
        self.n() - self.count_below(SLO_US)
    }

    /// Events with a latency below zero: the clocks of two stamps disagree.
    pub fn negative(&self) -> u64 {
        self.count_below(0)
    }

    fn count_below(&self, us: i64) -> u64 {
        self.sorted_us.partition_point(|&value| value < us) as u64
    }

    fn at_ms(&self, index: u64) -> Option<f64> {
        self.sorted_us.get(index as usize).map(|&us| us as f64 / 1000.0)
    }
}

/// The exact percentile `p`, 0 to 100, of `n` samples in ascending order; `at_ms` gives the sample at one of the two
/// [`ranks`] that it lies between, none where that sample is +∞.
pub fn interpolate(n: u64, p: f64, at_ms: impl Fn(u64) -> Option<f64>) -> Percentile {
    let Some([below, above]) = ranks(n, p) else {
        return Percentile { value: Value::Empty, samples_past: 0 };
    };
    let position = position(n, p);
    let weight = position - position.floor();
    let value = match (at_ms(below), at_ms(above)) {
        // NumPy would answer NaN here: 0 × ∞.
        (Some(a), None) if weight == 0.0 => Value::Finite(a),
        (Some(a), Some(b)) => Value::Finite(lerp(a, b, weight)),
        _ => Value::PastDrain,
    };
    Percentile { value, samples_past: n - 1 - below }
}

/// Indices of the samples, in ascending order, that the percentile `p` of `n` lies between; none when there are none.
pub fn ranks(n: u64, p: f64) -> Option<[u64; 2]> {
    assert!((0.0..=100.0).contains(&p), "percentiles lie between 0 and 100, {p} does not");
    let last = n.checked_sub(1)?;
    let below = (position(n, p).floor() as u64).min(last);
    Some([below, (below + 1).min(last)])
}

/// NumPy's "virtual index"; the quotient must not be written as a literal: 99.9 / 100.0 is not 0.999.
fn position(n: u64, p: f64) -> f64 {
    (n - 1) as f64 * (p / 100.0)
}

/// NumPy's `_lerp`: from the nearer end, so that it is monotone and exact at both.
fn lerp(a: f64, b: f64, weight: f64) -> f64 {
    if weight >= 0.5 { b - (b - a) * (1.0 - weight) } else { a + (b - a) * weight }
}

/// 2 places as `np.round(x, 2)` makes them: scaled, rounded half to even, scaled back. Minus zero becomes zero.
pub fn round_2(x: f64) -> f64 {
    (x * 100.0).round_ties_even() / 100.0 + 0.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PS: [f64; 11] = [0.0, 1.0, 25.0, 50.0, 75.0, 90.0, 99.0, 99.9, 99.99, 99.999, 100.0];

    /// NumPy 2.4.6's answers, made for each `x_us` by
    ///     x = np.array(x_us) / 1000
    ///     print([np.percentile(x, p).item() for p in PS], [np.round(np.percentile(x, p), 2).item() for p in PS])
    fn assert_numpy(x_us: impl IntoIterator<Item = i64>, exact: [f64; 11], rounded: [f64; 11]) {
        let distribution = Distribution::of(x_us.into_iter().map(Some));
        for ((p, exact), rounded) in PS.into_iter().zip(exact).zip(rounded) {
            let ms = distribution.percentile_ms(p).value.as_ms().unwrap();
            assert_eq!((ms, round_2(ms)), (exact, rounded), "p{p}");
        }
    }

    #[test]
    #[rustfmt::skip] // One line for each line that NumPy printed.
    fn known_answers_of_numpy() {
        assert_numpy([12345], [12.345; 11], [12.34; 11]);
        assert_numpy([-1500, 2500],
            [-1.5, -1.46, -0.5, 0.5, 1.5, 2.1, 2.46, 2.4960000000000004, 2.4995999999999996, 2.4999599999999997, 2.5],
            [-1.5, -1.46, -0.5, 0.5, 1.5, 2.1, 2.46, 2.5, 2.5, 2.5, 2.5]);
        assert_numpy([1000, 1000, 7777],
            [1.0, 1.0, 1.0, 1.0, 4.3885000000000005, 6.421600000000001, 7.64146, 7.763446000000002, 7.775644599999999, 7.77686446, 7.777],
            [1.0, 1.0, 1.0, 1.0, 4.39, 6.42, 7.64, 7.76, 7.78, 7.78, 7.78]);
        assert_numpy([5, 5, 5, 5, 10, 10, 10, 10, 10, 99999],
            [0.005, 0.005, 0.005, 0.01, 0.01, 10.008899999999963, 90.99999000000001, 99.09909900000014, 99.90900989999984, 99.99000098999998, 99.999],
            [0.0, 0.0, 0.0, 0.01, 0.01, 10.01, 91.0, 99.1, 99.91, 99.99, 100.0]);
        assert_numpy([-300, -200, -100, 0, 100, 250, 333],
            [-0.3, -0.294, -0.15000000000000002, 0.0, 0.175, 0.2832, 0.32802, 0.3325020000000001, 0.3329502, 0.33299502, 0.333],
            [-0.3, -0.29, -0.15, 0.0, 0.18, 0.28, 0.33, 0.33, 0.33, 0.33, 0.33]);
        assert_numpy((1..=1000).map(|k| k * k),
            [0.001, 0.12079, 62.87575, 250.5005, 562.87525, 810.1801, 980.11981, 998.0029990000002, 999.8002998999999, 999.9800299899999, 1000.0],
            [0.0, 0.12, 62.88, 250.5, 562.88, 810.18, 980.12, 998.0, 999.8, 999.98, 1000.0]);
        assert_numpy((0..5000).map(|k| k * 7919 % 10007 - 5000),
            [-5.0, -4.89701, -2.49925, 0.006, 2.5065, 4.0121, 4.908010000000001, 4.996001000000001, 5.005500099999999, 5.005950009999999, 5.006],
            [-5.0, -4.9, -2.5, 0.01, 2.51, 4.01, 4.91, 5.0, 5.01, 5.01, 5.01]);
        assert_numpy((0..200_003).map(|k| k * k % 999_983),
            [0.0, 9.47602, 247.5565, 498.001, 748.755, 898.8728000000001, 989.5948200000001, 998.8229880000001, 999.8259998, 999.9429996999999, 999.968],
            [0.0, 9.48, 247.56, 498.0, 748.76, 898.87, 989.59, 998.82, 999.83, 999.94, 999.97]);
    }

    /// `[np.round(x, 2).item() for x in (0.125, 0.375, 2.675, 1.005, -0.125, 0.005, 0.015, 0.025, 1.115, -0.001)]`
    #[test]
    fn rounding_is_numpys() {
        let rounded = [0.125, 0.375, 2.675, 1.005, -0.125, 0.005, 0.015, 0.025, 1.115, -0.001].map(round_2);
        assert_eq!(rounded, [0.12, 0.38, 2.68, 1.0, -0.12, 0.0, 0.02, 0.02, 1.12, 0.0]);
    }

    #[test]
    fn missing_events_are_infinite() {
        let distribution = Distribution::of([Some(1000), None, Some(2000), Some(3000)]);
        assert_eq!((distribution.n(), distribution.missing(), distribution.over_slo()), (4, 1, 1));
        assert_eq!(distribution.median_ms(), Value::Finite(2.5));
        assert_eq!(distribution.percentile_ms(90.0).value, Value::PastDrain, "between a number and ∞");
        assert_eq!(distribution.max_ms(), Value::PastDrain);
        let found = [distribution.mean_ms(), distribution.sd_ms(), distribution.min_ms()];
        assert_eq!(found, [2.0, 0.816496580927726, 1.0].map(Value::Finite), "of those that have a latency");
        let none = Distribution::of([None]);
        assert_eq!([none.mean_ms(), none.sd_ms(), none.min_ms()], [Value::Empty; 3]);
        let three = Distribution::of([Some(1000), Some(2000), None]);
        assert_eq!(three.median_ms(), Value::Finite(2.0), "exactly on a number, however infinite the next");
    }

    #[test]
    fn only_strictly_below_the_slo_is_in_time() {
        let distribution = Distribution::of([99_999, 100_000, 100_001, -1].map(Some));
        assert_eq!((distribution.over_slo(), distribution.negative()), (2, 1));
    }

    #[test]
    fn samples_past_are_counted_by_position() {
        let past = |n: i64, p| Distribution::new(vec![7; n as usize], 0).percentile_ms(p).samples_past;
        assert_eq!([past(100_000, 99.99), past(100_000, 99.999), past(1, 50.0), past(11, 0.0)], [10, 1, 0, 10]);
        assert_eq!(past(43_200, 99.99), 5, "a published pair has 4.3 past D4, counted up to whole samples");
    }

    #[test]
    fn cells() {
        let cells = |distribution: Distribution| [50.0, 100.0].map(|p| distribution.percentile_ms(p).to_string());
        assert_eq!(cells(Distribution::new((0..21).collect(), 0)), ["0.01", "0.02†"]);
        assert_eq!(cells(Distribution::new(vec![1_234_567; 30], 1)), ["1234.57", "> drain†"]);
        assert_eq!(cells(Distribution::new(vec![], 30)), ["> drain", "> drain†"]);
        assert_eq!(cells(Distribution::new(vec![], 0)), ["–", "–"]);
        assert_eq!(format!("[{:>8}]", Distribution::new(vec![-1], 0).max_ms()), "[    0.00]");
    }

    proptest! {
        #[test]
        fn monotone_within_bounds_and_blind_to_order(
            latencies in prop::collection::vec(prop::option::weighted(0.9, -1_000_000_000i64..1_000_000_000), 1..300),
            mut ps in prop::collection::vec(0.0..=100.0f64, 10),
        ) {
            ps.sort_by(f64::total_cmp);
            let forward = Distribution::of(latencies.iter().copied());
            let backward = Distribution::of(latencies.iter().rev().copied());
            let ms = |value: Value| value.as_ms().unwrap();
            let mut previous = (ms(forward.percentile_ms(0.0).value), u64::MAX);
            for p in ps {
                let percentile = forward.percentile_ms(p);
                prop_assert_eq!(percentile, backward.percentile_ms(p));
                prop_assert!(previous.0 <= ms(percentile.value) && percentile.samples_past <= previous.1);
                previous = (ms(percentile.value), percentile.samples_past);
            }
            prop_assert!(previous.0 <= ms(forward.max_ms()));
        }
    }
}

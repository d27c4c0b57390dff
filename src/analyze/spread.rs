//! Median, mean, standard deviation, maximum and minimum of one figure per pair, as NumPy computes them to the last digit.

use shasta_model::percentile::Value;

/// How a figure spreads over the pairs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// `np.median`.
    pub median: Value,
    /// `np.mean`.
    pub mean: Value,
    /// `np.std` (ddof 0); none when a figure is infinite.
    pub sd: Value,
    /// The largest.
    pub max: Value,
    /// The smallest.
    pub min: Value,
}

impl Spread {
    /// Over figures in ms, one a pair; infinite where events were past the drain.
    pub fn over(figures: &[f64]) -> Self {
        let mut sorted = figures.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let ([Some(&min), Some(&max)], count) = ([sorted.first(), sorted.last()], sorted.len()) else {
            return Self {
                median: Value::Empty,
                mean: Value::Empty,
                sd: Value::Empty,
                max: Value::Empty,
                min: Value::Empty,
            };
        };
        let median = if count % 2 == 1 { sorted[count / 2] } else { (sorted[count / 2 - 1] + sorted[count / 2]) / 2.0 };
        let mean = sum(figures) / count as f64;
        let squares: Vec<f64> = figures.iter().map(|figure| (figure - mean) * (figure - mean)).collect();
        let sd = if max.is_finite() { Value::Finite((sum(&squares) / count as f64).sqrt()) } else { Value::Empty };
        Self { median: value(median), mean: value(mean), sd, max: value(max), min: value(min) }
    }
}

/// A number that may be infinite, as a latency.
pub fn value(ms: f64) -> Value {
    if ms.is_finite() { Value::Finite(ms) } else { Value::PastDrain }
}

/// `np.sum` of a contiguous array: NumPy sums in pairs, which rounds otherwise than one after another does.
fn sum(terms: &[f64]) -> f64 {
    const LANES: usize = 8;
    const BLOCK: usize = 128;
    if terms.len() < LANES {
        return terms.iter().sum();
    }
    if terms.len() > BLOCK {
        let half = terms.len() / 2;
        let (left, right) = terms.split_at(half - half % LANES);
        return sum(left) + sum(right);
    }
    let mut lanes = [0.0; LANES];
    let (whole, rest) = terms.as_chunks::<LANES>();
    for chunk in whole {
        for (lane, term) in lanes.iter_mut().zip(chunk) {
            *lane += term;
        }
    }
    let [a, b, c, d, e, f, g, h] = lanes;
    rest.iter().fold(((a + b) + (c + d)) + ((e + f) + (g + h)), |total, term| total + term)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `x = (np.arange(n) * 7919 % 10007) / 1000; print(np.median(x), np.mean(x), np.std(x), x.max(), x.min())`
    fn assert_numpy(n: u64, expected: [f64; 5]) {
        let figures: Vec<f64> = (0..n).map(|k| (k * 7919 % 10007) as f64 / 1000.0).collect();
        let Spread { median, mean, sd, max, min } = Spread::over(&figures);
        assert_eq!([median, mean, sd, max, min], expected.map(Value::Finite), "n = {n}");
    }

    #[test]
    fn known_answers_of_numpy() {
        assert_numpy(1, [0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_numpy(2, [3.9595, 3.9595, 3.9595, 7.919, 0.0]);
        assert_numpy(7, [5.831, 5.172571428571429, 3.248590941014398, 9.574, 0.0]);
        assert_numpy(8, [5.6145, 5.200749999999999, 3.0396929840857285, 9.574, 0.0]);
        assert_numpy(100, [5.066, 5.0198100000000005, 2.891515629198639, 9.93, 0.0]);
        assert_numpy(129, [5.013, 4.992100775193799, 2.888980893368362, 9.93, 0.0]);
        assert_numpy(256, [4.989, 4.9853359375, 2.899949562539148, 9.978, 0.0]);
        assert_numpy(5000, [5.006, 5.0062156, 2.8893657315605856, 10.006, 0.0]);
    }

    #[test]
    fn an_infinite_figure_is_in_all_but_the_minimum() {
        let spread = Spread::over(&[f64::INFINITY, 1.0]);
        assert_eq!([spread.median, spread.mean, spread.max], [Value::PastDrain; 3]);
        assert_eq!((spread.min, spread.sd), (Value::Finite(1.0), Value::Empty));
        assert_eq!(Spread::over(&[]).mean, Value::Empty);
    }
}

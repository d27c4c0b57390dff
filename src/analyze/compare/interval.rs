//! How well independent runs tell a median, and how far one arm lies above another. Both intervals come from the order
//! of the runs alone: no shape of distribution is assumed, and a run past the drain (+∞) is the largest.

use super::null::Null;

/// The confidence asked of the intervals that are printed.
pub const CONFIDENCE: f64 = 0.95;

/// An interval and how often such an interval covers what it is about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end; may be +∞.
    pub high: f64,
    /// At least this share of such intervals covers it. Few runs cannot reach the confidence asked: this says what they
    /// reach.
    pub coverage: f64,
}

/// How many times the first arm's figure the second's is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effect {
    /// The median of all ratios of a second to a first run (Hodges and Lehmann's estimate, on a log scale).
    pub ratio: f64,
    /// Moses' interval, which takes the second arm for the first's times one factor; none for one run against one.
    pub interval: Option<Interval>,
}

/// The interval of the median of which `values` are independent draws: the order statistics [x(k), x(n+1−k)] with the
/// largest k that covers with `confidence`, else the whole range [x(1), x(n)], which covers with 1 − 2^(1−n): 87.5 %
/// for 4 runs.
pub fn of_median(values: &[f64], confidence: f64) -> Option<Interval> {
    let n = values.len();
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    // Below x(k) lies the median when fewer than k of n runs lie below it, each with probability one half.
    let (mut k, mut ln_ways, mut below) = (0, 0.0f64, 0.0);
    let mut found = None;
    while 2 * (k + 1) <= n {
        // The k-th term of the binomial; its logarithm, as 2^−n alone would vanish.
        below += (ln_ways - n as f64 * std::f64::consts::LN_2).exp();
        let coverage = 1.0 - 2.0 * below;
        if k > 0 && coverage < confidence {
            break;
        }
        found = Some(Interval { low: sorted[k], high: sorted[n - 1 - k], coverage });
        ln_ways += ((n - k) as f64 / (k + 1) as f64).ln();
        k += 1;
    }
    found
}

/// The second arm against the first; none unless each has a run and all figures are above 0.
///
/// Where both runs of a ratio are past the drain it is taken for 1 in the estimate, and for anything in the interval.
pub fn of_ratio(first: &[f64], second: &[f64], confidence: f64) -> Option<Effect> {
    let values = [first, second].concat();
    if first.is_empty() || second.is_empty() || values.iter().any(|value| value.is_nan() || *value <= 0.0) {
        return None;
    }
    let ratios = |both_past_the_drain: f64| {
        let ratio = |a: f64, b: f64| if a.is_infinite() && b.is_infinite() { both_past_the_drain } else { b / a };
        let mut ratios: Vec<f64> = first.iter().flat_map(|&a| second.iter().map(move |&b| ratio(a, b))).collect();
        ratios.sort_unstable_by(f64::total_cmp);
        ratios
    };
    let middle = ratios(1.0);
    let n = middle.len();
    // The geometric mean of the two in the middle, so that swapped arms have the inverse ratio.
    let ratio = middle[(n - 1) / 2].sqrt() * middle[n / 2].sqrt();
    let (k, coverage) = depth(first.len(), second.len(), confidence);
    let interval = Interval { low: ratios(0.0)[k], high: ratios(f64::INFINITY)[n - 1 - k], coverage };
    Some(Effect { ratio, interval: (coverage > 1e-12).then_some(interval) })
}

/// How many ratios to leave out at either end, and the coverage of what is left.
fn depth(first: usize, second: usize, confidence: f64) -> (usize, f64) {
    let doubled_ranks: Vec<usize> = (1..=first + second).map(|rank| 2 * rank).collect();
    let null = Null::over_all(&doubled_ranks, second);
    // The Mann–Whitney count of ratios above 1 is the rank sum less its least value.
    let least = second * (second + 1);
    let outside = |k: usize| 2.0 * null.share(|sum| sum <= least + 2 * k);
    let deepest = (1..first * second / 2).take_while(|&k| outside(k) < 1.0 - confidence).last().unwrap_or(0);
    (deepest, (1.0 - outside(deepest)).max(0.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::null::tests::uniform, *};

    const INF: f64 = f64::INFINITY;

    /// `from math import comb; 1 - 2 * sum(comb(n, i) for i in range(k)) / 2**n`, k the largest that keeps 0.95.
    #[test]
    fn order_statistics_of_the_median() {
        let of = |n: u32| of_median(&(1..=n).map(f64::from).collect::<Vec<_>>(), CONFIDENCE);
        assert_eq!((of(0), of(1)), (None, None), "one run says nothing about the next");
        for (n, low, high, coverage) in [
            (2, 1.0, 2.0, 0.5),
            (4, 1.0, 4.0, 0.875),
            (5, 1.0, 5.0, 0.9375),
            (6, 1.0, 6.0, 0.96875),
            (9, 2.0, 8.0, 0.9609375),
            (10, 2.0, 9.0, 0.978515625),
            (30, 10.0, 21.0, 0.9572260547429323),
            (100, 40.0, 61.0, 0.9647997997822952),
        ] {
            let interval = of(n).unwrap();
            assert_eq!((interval.low, interval.high), (low, high), "n = {n}");
            assert!((interval.coverage - coverage).abs() < 1e-9, "n = {n}: {interval:?}");
        }
        assert!((of(5000).unwrap().coverage - 0.95).abs() < 0.01, "2^-5000 is not taken for 0");
        assert_eq!(of_median(&[INF, 3.0], CONFIDENCE).unwrap().high, INF);
    }

    /// Made by listing every way:
    ///     def hl(a, b, conf):
    ///         n, m = len(a), len(b); r = np.sort([y / x for x in a for y in b])
    ///         u = np.array([sum(c) - m * (m + 1) // 2 for c in combinations(range(1, n + m + 1), m)])
    ///         k = 1
    ///         while 2 * (u <= k).mean() < 1 - conf: k += 1
    ///         return np.exp(np.median(np.sort(np.log(r)))), r[k - 1], r[n * m - k], 1 - 2 * (u <= k - 1).mean()
    #[test]
    fn known_ratios() {
        let check = |a: &[f64], b: &[f64], confidence, expected: [f64; 4]| {
            let Effect { ratio, interval } = of_ratio(a, b, confidence).unwrap();
            let Interval { low, high, coverage } = interval.unwrap();
            for (got, expected) in [ratio, low, high, coverage].into_iter().zip(expected) {
                assert!((got - expected).abs() < 1e-12, "{got} is not {expected}");
            }
        };
        let (a, b) = ([11.0, 12.0, 13.5, 19.0], [20.0, 21.0, 22.0, 400.0]);
        check(&a, &b, 0.95, [1.7837651700316894, 1.0526315789473684, 36.36363636363637, 0.9714285714285714]);
        check(&a, &b, 0.90, [1.7837651700316894, 1.105263157894737, 33.333333333333336, 0.9428571428571428]);
        let (a, b) = ([10.0, 12.0, 11.0, 14.0, 13.0, 30.0], [9.0, 8.5, 7.0, 10.5, 12.5]);
        check(&a, &b, 0.95, [0.7288689868556626, 0.35, 1.0416666666666667, 0.9696969696969697]);
    }

    #[test]
    fn runs_past_the_drain_have_ratios_as_far_as_they_can() {
        let effect = of_ratio(&[10.0; 4], &[INF; 4], CONFIDENCE).unwrap();
        assert_eq!((effect.ratio, effect.interval.unwrap().low), (INF, INF));
        let unknown = of_ratio(&[INF; 4], &[INF; 4], CONFIDENCE).unwrap();
        let interval = unknown.interval.unwrap();
        assert_eq!((unknown.ratio, interval.low, interval.high), (1.0, 0.0, INF));
        assert_eq!(of_ratio(&[INF], &[2.0], CONFIDENCE).unwrap(), Effect { ratio: 0.0, interval: None });
        assert_eq!(of_ratio(&[0.0], &[2.0], CONFIDENCE), None);
        assert_eq!(of_ratio(&[], &[2.0], CONFIDENCE), None);
    }

    #[test]
    fn intervals_cover_as_often_as_they_say() {
        let (mut state, mut covered) = (11, [0u32; 2]);
        const TRIALS: u32 = 5_000;
        for _ in 0..TRIALS {
            let mut draw = |factor: f64| factor / (1.0 - uniform(&mut state));
            let (a, b): ([f64; 5], [f64; 5]) =
                (std::array::from_fn(|_| draw(20.0)), std::array::from_fn(|_| draw(30.0)));
            let holds = |interval: Interval, truth: f64| u32::from(interval.low <= truth && truth <= interval.high);
            covered[0] += holds(of_median(&a, CONFIDENCE).unwrap(), 40.0);
            covered[1] += holds(of_ratio(&a, &b, CONFIDENCE).unwrap().interval.unwrap(), 1.5);
        }
        let rates = covered.map(|count| f64::from(count) / f64::from(TRIALS));
        // 2 × P(U ≤ 2) = 8/252: two ratios are left out at either end of 25.
        assert!((rates[0] - 0.9375).abs() < 0.01 && (rates[1] - (1.0 - 8.0 / 252.0)).abs() < 0.01, "{rates:?}");
    }

    proptest! {
        #[test]
        fn swapped_arms_have_the_inverse_ratio(
            a in prop::collection::vec(prop_oneof![6 => 0.1..20.0f64, 1 => Just(INF)], 1..7),
            b in prop::collection::vec(prop_oneof![6 => 0.1..20.0f64, 1 => Just(INF)], 1..7),
        ) {
            let (forth, back) = (of_ratio(&a, &b, CONFIDENCE).unwrap(), of_ratio(&b, &a, CONFIDENCE).unwrap());
            let inverse = |x: f64, y: f64| x == 1.0 / y || (x * y - 1.0).abs() < 1e-9;
            prop_assert!(inverse(forth.ratio, back.ratio), "{} {}", forth.ratio, back.ratio);
            if let (Some(forth), Some(back)) = (forth.interval, back.interval) {
                prop_assert!(inverse(forth.low, back.high) && inverse(forth.high, back.low));
                prop_assert!((forth.coverage - back.coverage).abs() < 1e-9);
            }
        }
    }
}

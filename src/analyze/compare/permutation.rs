//! The exact permutation test of two arms, on ranks.
//!
//! If the arms differ in nothing, their labels are arbitrary: each way of dealing the labels to the runs was equally
//! likely, and p is the share of those ways that are as far from the expected as the one observed. The statistic is the
//! sum of one arm's ranks (ties share their mean rank), the Wilcoxon–Mann–Whitney statistic: a tail percentile is
//! skewed and may be +∞, so any mean is ruled by one run or has no value, while a rank is finite and the same in ms and
//! in log ms.
//!
//! At 4 runs against 4 there are 70 ways, so the smallest two-sided p is 2/70 = 0.029 and only arms that do not overlap
//! reach it. Dealt only within pairs of one seed there are 2⁴ ways and the smallest is 2/16 = 0.125: that test cannot
//! resolve anything below 6 pairs. Therefore the test over all ways decides, and the one within seeds stands beside it.
//! The deciding test stays valid for paired runs unless two runs of one seed are *less* alike than runs of two seeds.

use super::null::{Null, Ways};

/// How likely ranks such as those of the second arm are, if the arms differ in nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Test {
    /// As far from the expected, in either direction; in (0, 1].
    pub two_sided: f64,
    /// As low.
    pub low: f64,
    /// As high.
    pub high: f64,
    /// The ways behind it.
    pub ways: Ways,
}

/// Tests `second` against `first`, each run's figure being any number but NaN; the labels are dealt over all runs.
pub fn over_all(first: &[f64], second: &[f64]) -> Test {
    let values = [first, second].concat();
    let ranks = doubled_ranks(&values);
    test(&Null::over_all(&ranks, second.len()), ranks[first.len()..].iter().sum())
}

/// The same with labels dealt only within pairs (figure of the first arm, of the second), at most 100.
pub fn within_pairs(pairs: &[(f64, f64)]) -> Test {
    let (first, second): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    let ranks = doubled_ranks(&[first, second].concat());
    let (first, second) = ranks.split_at(pairs.len());
    let pairs: Vec<(usize, usize)> = first.iter().copied().zip(second.iter().copied()).collect();
    test(&Null::within_pairs(&pairs), second.iter().sum())
}

/// Twice the rank of each value, so that the mean rank of ties is a whole number, too.
pub fn doubled_ranks(values: &[f64]) -> Vec<usize> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let rank = |value: &f64| {
        let below = sorted.partition_point(|other| other < value);
        let not_above = sorted.partition_point(|other| other <= value);
        below + not_above + 1
    };
    values.iter().map(rank).collect()
}

/// The test of an observed sum of doubled ranks.
fn test(null: &Null, observed: usize) -> Test {
    let distance = |sum: usize| (2 * sum).abs_diff(null.twice_expected);
    Test {
        two_sided: null.share(|sum| distance(sum) >= distance(observed)),
        low: null.share(|sum| sum <= observed),
        high: null.share(|sum| sum >= observed),
        ways: null.ways,
    }
}

/// The smallest two-sided p that arms of these sizes can reach without ties: both extremes of the number of ways.
pub fn smallest_p(first: usize, second: usize) -> f64 {
    let ways = (0..first.min(second)).fold(1.0, |ways, k| ways * (first + second - k) as f64 / (k + 1) as f64);
    (2.0 / ways).min(1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::null::tests::uniform, *};

    const INF: f64 = f64::INFINITY;

    fn assert_close(test: Test, expected: [f64; 3]) {
        for (got, expected) in [test.two_sided, test.low, test.high].into_iter().zip(expected) {
            assert!((got - expected).abs() < 1e-12, "{test:?}, expected {expected}");
        }
    }

    /// Made by listing every way:
    ///     from itertools import combinations, product; import numpy as np; inf = np.inf
    ///     def ranks(v): return np.array([(v < x).sum() + ((v == x).sum() + 1) / 2 for x in v])
    ///     def shares(sums, s):
    ///         c = np.abs(sums - sums.mean()) >= abs(s - sums.mean()) - 1e-9
    ///         return [c.mean(), (sums <= s).mean(), (sums >= s).mean()]
    ///     def over_all(a, b):
    ///         r = ranks(np.array(a + b)); n = len(r)
    ///         return shares(np.array([r[list(c)].sum() for c in combinations(range(n), len(b))]), r[len(a):].sum())
    ///     def within(a, b):
    ///         r = ranks(np.array(a + b)).reshape(2, -1)
    ///         sums = np.array([sum(r[k, i] for i, k in enumerate(w)) for w in product((0, 1), repeat=len(a))])
    ///         return shares(sums, r[1].sum())
    #[test]
    fn known_answers_of_all_ways_listed() {
        let (a, b) = ([11.0, 12.0, 13.5, 19.0], [20.0, 21.0, 22.0, 400.0]);
        assert_close(over_all(&a, &b), [0.02857142857142857, 1.0, 0.014285714285714285]);
        let b = [18.0, 21.0, 22.0, INF];
        assert_close(over_all(&a, &b), OVERLAP);
        assert_close(within_pairs(&[(11.0, 18.0), (12.0, 21.0), (13.5, 22.0), (19.0, INF)]), [0.125, 1.0, 0.0625]);
        assert_close(over_all(&[1.0, 2.0, 2.0, INF, INF], &[2.0, 3.0, INF, 0.5]), TIES);
        assert_close(within_pairs(&[(5.0, 1.0), (2.0, 2.0), (INF, 3.0), (4.0, INF), (9.0, 8.0)]), PAIRS);
    }

    const OVERLAP: [f64; 3] = [0.05714285714285714, 0.9857142857142858, 0.02857142857142857];
    const TIES: [f64; 3] = [0.9047619047619048, 0.4523809523809524, 0.6428571428571429];
    const PAIRS: [f64; 3] = [0.375, 0.1875, 0.875];

    #[test]
    fn arms_that_are_alike_or_empty_prove_nothing() {
        assert_close(over_all(&[INF; 4], &[INF; 4]), [1.0; 3]);
        assert_close(over_all(&[], &[1.0, 2.0]), [1.0; 3]);
        assert_close(over_all(&[1.0], &[]), [1.0; 3]);
        assert_close(within_pairs(&[]), [1.0; 3]);
    }

    #[test]
    fn the_smallest_p_is_reached_by_arms_apart() {
        for (first, second, p) in
            [(4, 4, 2.0 / 70.0), (5, 5, 2.0 / 252.0), (3, 3, 0.1), (4, 6, 2.0 / 210.0), (1, 1, 1.0)]
        {
            let values: Vec<f64> = (0..first + second).map(f64::from).collect();
            let (a, b) = values.split_at(first as usize);
            assert!((over_all(a, b).two_sided - p).abs() < 1e-12, "{first} v {second}");
            assert!((smallest_p(first as usize, second as usize) - p).abs() < 1e-12);
        }
    }

    #[test]
    fn under_the_null_fewer_than_one_in_twenty_is_below_5_percent() {
        let mut state = 7;
        const TRIALS: u32 = 20_000;
        let mut below = [0u32; 2];
        for _ in 0..TRIALS {
            // Skewed as a tail is, and now and then past the drain.
            let mut draw = || {
                let u = uniform(&mut state);
                if u > 0.95 { INF } else { 20.0 / (1.0 - u) }
            };
            let (a, b): ([f64; 4], [f64; 4]) = (std::array::from_fn(|_| draw()), std::array::from_fn(|_| draw()));
            let test = over_all(&a, &b);
            below[0] += u32::from(test.two_sided < 0.05);
            below[1] += u32::from(test.high < 0.05);
        }
        let rates = below.map(|count| f64::from(count) / f64::from(TRIALS));
        assert!(rates[0] <= 0.05 && rates[1] <= 0.05, "{rates:?}");
        assert!((rates[0] - 2.0 / 70.0).abs() < 0.005, "{rates:?}");
    }

    fn arm() -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec(prop_oneof![4 => 0.1..20.0f64, 2 => Just(5.0), 1 => Just(INF)], 1..7)
    }

    proptest! {
        #[test]
        fn p_is_a_probability_and_symmetric(a in arm(), b in arm()) {
            let (forth, back) = (over_all(&a, &b), over_all(&b, &a));
            prop_assert!(forth.two_sided > 0.0 && forth.two_sided <= 1.0);
            prop_assert!((forth.two_sided - back.two_sided).abs() < 1e-12);
            prop_assert!((forth.low - back.high).abs() < 1e-12 && (forth.high - back.low).abs() < 1e-12);
            prop_assert!(forth.low + forth.high >= 1.0 - 1e-12, "the observed way is in both");
            prop_assert!(2.0 * forth.two_sided >= smallest_p(a.len(), b.len()) - 1e-12, "ties may leave one extreme");
        }

        #[test]
        fn the_order_of_runs_and_the_unit_change_nothing(a in arm(), b in arm()) {
            let turned = |arm: &[f64]| arm.iter().rev().map(|ms| ms * 1000.0).collect::<Vec<f64>>();
            prop_assert_eq!(over_all(&a, &b), over_all(&turned(&a), &turned(&b)));
        }

        #[test]
        fn pairs_are_symmetric(pairs in prop::collection::vec((0.1..20.0f64, 0.1..20.0f64), 1..8)) {
            let swapped: Vec<(f64, f64)> = pairs.iter().map(|&(a, b)| (b, a)).collect();
            let (forth, back) = (within_pairs(&pairs), within_pairs(&swapped));
            prop_assert!((forth.two_sided - back.two_sided).abs() < 1e-12);
            prop_assert!(forth.two_sided >= 2f64.powi(1 - pairs.len() as i32) - 1e-12 && forth.two_sided <= 1.0);
        }
    }
}

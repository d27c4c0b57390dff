//! Each arm against the first: how much, how sure, and the word for it.
//!
//! *Resolved* takes at least 4 valid runs an arm and p < 0.05 of the permutation test after Holm's correction over all
//! comparisons that were asked for. One that has too few runs still counts as one of them, so that an arm whose runs
//! failed does not make the others easier. Below 4 runs an arm only describes.

use std::fmt;

use super::{
    arm::{Arm, PRIMARY, Sorted, by_seed, one_after_the_other, sort_out},
    holm::holm,
    interval::{CONFIDENCE, Effect, of_ratio},
    null::EXACT_RUNS,
    permutation::{Test, over_all, smallest_p, within_pairs},
};

/// Valid runs an arm below which nothing is resolved.
pub const RUNS_TO_RESOLVE: usize = 4;
/// What p must be below.
pub const ALPHA: f64 = 0.05;

/// What a comparison came to; lower is faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Resolved: lower than the first arm.
    Faster,
    /// Resolved: higher than the first arm.
    Slower,
    /// Enough runs, but they could be alike.
    NotResolved,
    /// Too few runs to test.
    Descriptive,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Outcome::Faster => "resolved faster",
            Outcome::Slower => "resolved slower",
            Outcome::NotResolved => "not resolved",
            Outcome::Descriptive => "descriptive",
        })
    }
}

/// One arm against the first, on the primary endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Number of the arm, the first being 0.
    pub arm: usize,
    /// How many times the first arm's figure; none without runs.
    pub effect: Option<Effect>,
    /// The deciding test; none when descriptive.
    pub test: Option<Test>,
    /// Its two-sided p after Holm's correction.
    pub holm: Option<f64>,
    /// The test within pairs of one seed, exploratory; none when the arms' seeds differ.
    pub within_seeds: Option<Test>,
    /// The word.
    pub outcome: Outcome,
    /// Whether one arm's runs were all made before the other's.
    pub one_after_the_other: bool,
}

/// Another endpoint of one arm against the first: exploratory, whatever its p.
#[derive(Debug, Clone, PartialEq)]
pub struct Exploratory {
    /// Number of the arm.
    pub arm: usize,
    /// The endpoint.
    pub endpoint: String,
    /// How many times the first arm's figure.
    pub effect: Option<Effect>,
    /// Two-sided and not corrected; none when descriptive.
    pub p: Option<f64>,
}

/// All arms, each after the first compared with the first.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix<'a> {
    /// The arms' runs.
    pub arms: Vec<Sorted<'a>>,
    /// In the order of the arms.
    pub comparisons: Vec<Comparison>,
    /// By endpoint, then arm.
    pub exploratory: Vec<Exploratory>,
}

impl<'a> Matrix<'a> {
    /// Compares; fewer than two arms make no comparison.
    pub fn of(arms: &'a [Arm]) -> Self {
        let arms = sort_out(&arms.iter().collect::<Vec<_>>());
        let [first, others @ ..] = &arms[..] else {
            return Self { arms, comparisons: Vec::new(), exploratory: Vec::new() };
        };
        let mut comparisons: Vec<Comparison> =
            others.iter().zip(1..).map(|(other, arm)| alone(first, other, arm)).collect();
        let ps: Vec<Option<f64>> =
            comparisons.iter().map(|comparison| comparison.test.map(|test| test.two_sided)).collect();
        for (comparison, holm) in comparisons.iter_mut().zip(holm(&ps)) {
            comparison.holm = holm;
            comparison.outcome = outcome(comparison.test, holm);
        }
        let exploratory = exploratory(first, others);
        Self { arms, comparisons, exploratory }
    }

    /// Runs an arm without which none of so many comparisons can be resolved, however far apart the arms are.
    pub fn runs_needed(comparisons: usize) -> usize {
        let enough = |&n: &usize| smallest_p(n, n) * (comparisons as f64) < ALPHA;
        (RUNS_TO_RESOLVE..EXACT_RUNS).find(enough).unwrap_or(EXACT_RUNS)
    }
}

fn enough(first: &[f64], second: &[f64]) -> bool {
    first.len().min(second.len()) >= RUNS_TO_RESOLVE
}

fn alone(first: &Sorted<'_>, other: &Sorted<'_>, arm: usize) -> Comparison {
    let (a, b) = (first.figures(PRIMARY), other.figures(PRIMARY));
    let testable = enough(&a, &b);
    let pairs = by_seed(first, other).filter(|pairs| testable && pairs.len() <= EXACT_RUNS);
    Comparison {
        arm,
        effect: of_ratio(&a, &b, CONFIDENCE),
        test: testable.then(|| over_all(&a, &b)),
        holm: None,
        within_seeds: pairs.map(|pairs| within_pairs(&pairs)),
        outcome: Outcome::Descriptive,
        one_after_the_other: one_after_the_other(first, other),
    }
}

fn outcome(test: Option<Test>, holm: Option<f64>) -> Outcome {
    match (test, holm) {
        (Some(test), Some(p)) if p < ALPHA && test.low < test.high => Outcome::Faster,
        (Some(_), Some(p)) if p < ALPHA => Outcome::Slower,
        (Some(_), _) => Outcome::NotResolved,
        (None, _) => Outcome::Descriptive,
    }
}

fn exploratory(first: &Sorted<'_>, others: &[Sorted<'_>]) -> Vec<Exploratory> {
    let mut endpoints: Vec<&str> = Vec::new();
    let all = first.usable.iter().chain(others.iter().flat_map(|other| &other.usable));
    for (name, _) in all.flat_map(|run| &run.endpoints) {
        if name != PRIMARY && !endpoints.contains(&name.as_str()) {
            endpoints.push(name);
        }
    }
    let one = |endpoint: &str, other: &Sorted<'_>, arm: usize| {
        let (a, b) = (first.figures(endpoint), other.figures(endpoint));
        let p = enough(&a, &b).then(|| over_all(&a, &b).two_sided);
        Exploratory { arm, endpoint: endpoint.to_owned(), effect: of_ratio(&a, &b, CONFIDENCE), p }
    };
    endpoints
        .iter()
        .flat_map(|endpoint| others.iter().zip(1..).map(move |(other, arm)| one(endpoint, other, arm)))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{arm::tests::arm, null::tests::uniform},
        *,
    };

    fn outcomes(arms: &[Arm]) -> Vec<Outcome> {
        Matrix::of(arms).comparisons.iter().map(|comparison| comparison.outcome).collect()
    }

    const LOW: [f64; 4] = [10.0, 11.0, 12.0, 13.0];
    const HIGH: [f64; 4] = [20.0, 21.0, 22.0, f64::INFINITY];

    #[test]
    fn four_runs_that_do_not_overlap_are_resolved() {
        assert_eq!(outcomes(&[arm("a", &LOW, 0), arm("b", &HIGH, 1)]), [Outcome::Slower]);
        assert_eq!(outcomes(&[arm("a", &HIGH, 0), arm("b", &LOW, 1)]), [Outcome::Faster]);
        assert_eq!(outcomes(&[arm("a", &LOW, 0), arm("b", &[12.5, 21.0, 22.0, 23.0], 1)]), [Outcome::NotResolved]);
        assert_eq!(outcomes(&[arm("a", &LOW, 0), arm("b", &HIGH[..3], 1)]), [Outcome::Descriptive]);
        assert_eq!(outcomes(&[arm("a", &LOW, 0), arm("b", &[], 1)]), [Outcome::Descriptive]);
        assert_eq!(outcomes(&[arm("a", &LOW, 0)]), []);
    }

    #[test]
    fn the_test_within_seeds_stands_beside_and_does_not_decide() {
        let arms = [arm("a", &LOW, 0), arm("b", &HIGH, 1)];
        let matrix = Matrix::of(&arms);
        let comparison = &matrix.comparisons[0];
        assert_eq!(comparison.within_seeds.unwrap().two_sided, 0.125);
        assert!((comparison.holm.unwrap() - 2.0 / 70.0).abs() < 1e-12);
        assert_eq!(matrix.exploratory.len(), 1);
        assert!((matrix.exploratory[0].p.unwrap() - 2.0 / 70.0).abs() < 1e-12);
    }

    #[test]
    fn two_comparisons_need_five_runs_an_arm() {
        let arms = [arm("a", &LOW, 0), arm("b", &HIGH, 1), arm("c", &HIGH, 2)];
        assert_eq!(outcomes(&arms), [Outcome::NotResolved; 2], "2 × 2/70 is above 0.05");
        assert_eq!([1, 2, 6, 7, 23, 24].map(Matrix::runs_needed), [4, 5, 5, 6, 6, 7]);
        let failed = [arm("a", &LOW, 0), arm("b", &HIGH, 1), arm("c", &[], 2)];
        assert_eq!(outcomes(&failed), [Outcome::NotResolved, Outcome::Descriptive], "a failed arm still counts");
        let five = [arm("a", &[1.0, 2.0, 3.0, 4.0, 5.0], 0), arm("b", &[6.0, 7.0, 8.0, 9.0, 9.5], 1), arm("c", &[], 2)];
        assert_eq!(outcomes(&five), [Outcome::Slower, Outcome::Descriptive]);
    }

    #[test]
    fn among_three_comparisons_without_a_difference_fewer_than_one_matrix_in_twenty_resolves_any() {
        let (mut state, mut resolved) = (3, 0);
        for _ in 0..2_000 {
            let arms: Vec<Arm> = (0..4)
                .map(|k| {
                    let figures: [f64; 5] = std::array::from_fn(|_| 20.0 / (1.0 - uniform(&mut state)));
                    arm(&format!("arm{k}"), &figures, k)
                })
                .collect();
            resolved += u32::from(outcomes(&arms).iter().any(|word| *word != Outcome::NotResolved));
        }
        assert!(resolved <= 100, "{resolved} of 2,000");
    }

    proptest! {
        #[test]
        fn swapped_arms_swap_the_word_and_the_order_of_runs_changes_nothing(
            a in prop::collection::vec(0.1..20.0f64, 4..7),
            b in prop::collection::vec(0.1..40.0f64, 4..7),
        ) {
            let (a, b) = (arm("a", &a, 0), arm("b", &b, 1));
            let reversed = |arm: &Arm| Arm { runs: arm.runs.iter().rev().cloned().collect(), ..arm.clone() };
            let (forth, back) = (outcomes(&[a.clone(), b.clone()]), outcomes(&[b.clone(), a.clone()]));
            let swapped = |word: Outcome| match word {
                Outcome::Faster => Outcome::Slower,
                Outcome::Slower => Outcome::Faster,
                same => same,
            };
            prop_assert_eq!(swapped(forth[0]), back[0]);
            let turned = [reversed(&a), reversed(&b)];
            let straight = [a, b];
            let (turned, straight) = (Matrix::of(&turned), Matrix::of(&straight));
            prop_assert_eq!(&turned.comparisons, &straight.comparisons);
            prop_assert_eq!(&turned.exploratory, &straight.exploratory);
        }
    }
}

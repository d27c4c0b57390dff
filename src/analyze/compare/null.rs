//! What rank sums are likely when labels mean nothing: the ways to deal them, counted sum by sum and never listed, so
//! that the counts are exact for as many as 100 runs. Beyond, labels are dealt at random from a fixed seed, and the
//! answer says so.

/// Runs of both arms together, or pairs, up to which the ways are counted.
pub const EXACT_RUNS: usize = 100;
/// Ways that are drawn beyond.
const DRAWS: u64 = 50_000;
/// Of the draws.
const SEED: u64 = 0x5ba5_7a00;

/// How many ways stand behind a p.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ways {
    /// All, and how many they are (exact up to 2⁵³).
    All(f64),
    /// So many drawn at random from a fixed seed: p is an estimate.
    Drawn(u64),
}

/// The number of ways that lead to each sum of doubled ranks.
#[derive(Debug, Clone)]
pub struct Null {
    /// By sum.
    counts: Vec<f64>,
    /// Twice the expected sum, a whole number.
    pub twice_expected: usize,
    /// What was counted.
    pub ways: Ways,
}

impl Null {
    /// When `taken` of the runs are dealt the label, over all of them.
    pub fn over_all(ranks: &[usize], taken: usize) -> Self {
        let twice_expected = taken * (ranks.len() + 1) * 2;
        let mut sorted = ranks.to_vec();
        sorted.sort_unstable();
        let most: usize = sorted.iter().rev().take(taken).sum();
        if ranks.len() > EXACT_RUNS {
            return Self { counts: drawn(sorted, taken, most), twice_expected, ways: Ways::Drawn(DRAWS) };
        }
        // ways[j][s]: subsets of j of the ranks seen so far with sum s.
        let mut ways = vec![vec![0.0; most + 1]; taken + 1];
        ways[0][0] = 1.0;
        for rank in sorted {
            for j in (1..=taken).rev() {
                let (fewer, more) = ways.split_at_mut(j);
                for (to, from) in more[0].iter_mut().skip(rank).zip(&fewer[j - 1]) {
                    *to += from;
                }
            }
        }
        let counts = ways.pop().unwrap_or_default();
        let total = counts.iter().sum();
        Self { counts, twice_expected, ways: Ways::All(total) }
    }

    /// When one run of each pair is dealt the label.
    pub fn within_pairs(pairs: &[(usize, usize)]) -> Self {
        let mut counts = vec![1.0];
        for &(a, b) in pairs {
            let mut next = vec![0.0; counts.len() + a.max(b)];
            for rank in [a, b] {
                for (to, from) in next.iter_mut().skip(rank).zip(&counts) {
                    // Halved at each step: 2ⁿ ways would overflow for a thousand pairs.
                    *to += from / 2.0;
                }
            }
            counts = next;
        }
        let ways = Ways::All(2f64.powi(pairs.len().try_into().unwrap_or(i32::MAX)));
        Self { counts, twice_expected: pairs.iter().map(|(a, b)| a + b).sum(), ways }
    }

    /// The share of ways whose sum of doubled ranks is as `wanted`; of drawn ones with the observed way among them.
    pub fn share(&self, wanted: impl Fn(usize) -> bool) -> f64 {
        let observed = if matches!(self.ways, Ways::Drawn(_)) { 1.0 } else { 0.0 };
        let total: f64 = self.counts.iter().sum();
        let hits: f64 = self.counts.iter().enumerate().filter(|(sum, _)| wanted(*sum)).map(|(_, count)| count).sum();
        ((hits + observed) / (total + observed)).min(1.0)
    }
}

fn drawn(mut ranks: Vec<usize>, taken: usize, most: usize) -> Vec<f64> {
    let mut counts = vec![0.0; most + 1];
    let mut state = SEED;
    for _ in 0..DRAWS {
        let mut sum = 0;
        for k in 0..taken {
            let other = k + (next(&mut state) % (ranks.len() - k) as u64) as usize;
            ranks.swap(k, other);
            sum += ranks[k];
        }
        counts[sum] += 1.0;
    }
    counts
}

/// SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{super::permutation, *};

    /// A number in [0, 1), the next of a fixed sequence.
    pub fn uniform(state: &mut u64) -> f64 {
        (next(state) >> 11) as f64 / (1u64 << 53) as f64
    }

    #[test]
    fn a_hundred_runs_are_exact_and_more_are_drawn() {
        let values: Vec<f64> = (0..100).map(f64::from).collect();
        let (even, odd): (Vec<f64>, Vec<f64>) = values.iter().partition(|value| (**value as u64).is_multiple_of(2));
        let exact = permutation::over_all(&even, &odd);
        // `math.comb(100, 50)` is 1.0089134454556417e+29.
        let Ways::All(ways) = exact.ways else { panic!("{exact:?}") };
        assert!((ways / 1.0089134454556417e29 - 1.0).abs() < 1e-12);
        let ranks: Vec<usize> = (1..=8).map(|rank| 2 * rank).collect();
        let (counted, drawn) = (Null::over_all(&ranks, 4).counts, drawn(ranks, 4, 52));
        for (sum, (counted, drawn)) in counted.iter().zip(&drawn).enumerate() {
            assert!((counted / 70.0 - drawn / DRAWS as f64).abs() < 0.005, "{sum}: {counted} of 70, {drawn} drawn");
        }
        let apart = permutation::over_all(&values, &[1000.0; 60]);
        assert_eq!(apart.ways, Ways::Drawn(DRAWS));
        assert_eq!(apart.two_sided, 1.0 / (DRAWS + 1) as f64, "never 0: the observed way is one");
    }
}

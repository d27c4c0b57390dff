//! What chance alone would do: two distributions, computed plainly.

/// A share of the tail is named only when chance would make it this rarely, after Bonferroni: the probability times
/// the number of shares that were looked at.
pub const RARE: f64 = 0.01;

/// The probability of `k` or more of `n`, each with probability `share`: the binomial's upper tail.
pub fn at_least(k: u64, n: u64, share: f64) -> f64 {
    if k == 0 {
        return 1.0;
    }
    if k > n || share <= 0.0 {
        return 0.0;
    }
    if share >= 1.0 {
        return 1.0;
    }
    if (k as f64) < n as f64 * share {
        // Below the mean a term may be too small for an f64 while the sum is near 1: what is left of the other tail.
        return 1.0 - at_least(n - k + 1, n, 1.0 - share);
    }
    let few = k.min(n - k);
    let ways: f64 = (0..few).map(|i| (((n - i) as f64) / ((i + 1) as f64)).ln()).sum();
    let exactly = (ways + k as f64 * share.ln() + (n - k) as f64 * (-share).ln_1p()).exp();
    // Each term from the one before it; past the mean they fall.
    let odds = share / (1.0 - share);
    let (mut term, mut sum) = (exactly, exactly);
    for i in k..n {
        term *= (n - i) as f64 / (i + 1) as f64 * odds;
        sum += term;
        if term < sum * 1e-17 {
            break;
        }
    }
    sum.min(1.0)
}

/// The probability of a split of `n` coins as uneven as `k` heads, or more uneven.
pub fn uneven_coins(k: u64, n: u64) -> f64 {
    (2.0 * at_least(k.max(n - k), n, 0.5)).min(1.0)
}

/// The quantile of χ² that lies `z` standard deviations of the normal distribution from its middle, by Wilson and
/// Hilferty (1931): within 1 % in the upper half from 2 degrees of freedom on.
pub fn chi_squared(degrees: f64, z: f64) -> f64 {
    let spread = 2.0 / (9.0 * degrees);
    degrees * (1.0 - spread + z * spread.sqrt()).max(0.0).powi(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `from fractions import Fraction as F; from math import comb`
    /// `float(sum(comb(n, i) * F(p)**i * (1 - F(p))**(n - i) for i in range(k, n + 1)))`
    #[test]
    fn binomial_is_exact() {
        assert_eq!(at_least(10, 100_000, 0.5), 1.0, "far below the mean, where single terms are nothing");
        for (k, n, share, expected) in BINOMIAL {
            let p = at_least(k, n, share);
            assert!((p / expected - 1.0).abs() < 1e-10, "{k} of {n}: {p} is not {expected}");
        }
        assert_eq!(
            [at_least(0, 5, 0.1), at_least(6, 5, 0.1), at_least(1, 5, 0.0), at_least(5, 5, 1.0)],
            [1.0, 0.0, 0.0, 1.0]
        );
    }

    const BINOMIAL: [(u64, u64, f64, f64); 5] = [
        (3, 10, 0.25, 0.4744071960449219),
        (31, 31, 1.0 / 3.0, 1.6189785832062843e-15),
        (40, 600, 1.0 / 24.0, 0.002818278758904094),
        (5, 2000, 0.001, 0.05256274870229368),
        (1, 7, 0.5, 0.9921875),
    ];

    #[test]
    fn coins() {
        assert_eq!(uneven_coins(5, 10), 1.0);
        assert!((uneven_coins(0, 10) - 2.0 / 1024.0).abs() < 1e-12);
    }

    /// Tables of χ²: 97.5 % and 2.5 %.
    #[test]
    fn chi_squared_is_near_the_tables() {
        for (degrees, upper, lower) in [(2.0, 7.378, 0.0506), (10.0, 20.483, 3.247), (40.0, 59.342, 24.433)] {
            assert!((chi_squared(degrees, 1.959_964) / upper - 1.0).abs() < 0.01);
            assert!((chi_squared(degrees, -1.959_964) - lower).abs() < 0.06);
        }
    }
}

//! Holm's correction: among many comparisons without any difference, at most one set in twenty resolves any.

/// Holm's corrected p: the smallest times their number, the next times one less, …, none below the one before.
/// A comparison without p counts in their number.
pub fn holm(ps: &[Option<f64>]) -> Vec<Option<f64>> {
    let mut order: Vec<(usize, f64)> = ps.iter().enumerate().filter_map(|(k, p)| Some((k, (*p)?))).collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let (mut corrected, mut least) = (vec![None; ps.len()], 0.0f64);
    for (rank, (k, p)) in order.into_iter().enumerate() {
        least = least.max((p * (ps.len() - rank) as f64).min(1.0));
        corrected[k] = Some(least);
    }
    corrected
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// R: `p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")` is 0.03, 0.06, 0.06, 0.02.
    #[test]
    fn holm_as_r_has_it() {
        let corrected = holm(&[0.01, 0.04, 0.03, 0.005].map(Some));
        for (got, expected) in corrected.into_iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((got.unwrap() - expected).abs() < 1e-12);
        }
        assert_eq!(holm(&[Some(0.02), None, Some(0.7)]), [Some(0.06), None, Some(1.0)]);
        assert_eq!(holm(&[]), []);
    }

    proptest! {
        #[test]
        fn holm_is_monotone_and_never_below_p(
            ps in prop::collection::vec(prop::option::weighted(0.9, 0.0001..=1.0f64), 0..12),
        ) {
            let corrected = holm(&ps);
            for (p, holm) in ps.iter().zip(&corrected) {
                prop_assert_eq!(p.is_some(), holm.is_some());
                let (Some(p), Some(holm)) = (p, holm) else { continue };
                prop_assert!(holm >= p && *holm <= 1.0);
                for (other, theirs) in ps.iter().zip(&corrected) {
                    let (Some(other), Some(theirs)) = (other, theirs) else { continue };
                    prop_assert!(other < p || theirs >= holm);
                }
            }
        }
    }
}

//! In which order the runs are made: pure, from the seed.

use crate::event::schedule::hash;

/// One run of a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Which of the variants.
    pub arm: usize,
    /// Which of its runs, from 0.
    pub repetition: u32,
    /// Seed of the run's schedule and payload: new in each repetition, the same for all variants within it.
    pub seed: u64,
}

/// All runs, in the order in which they are made: repetition by repetition, and within one all variants in an order of
/// its own. So at any time every variant has had as many runs as another, give or take one.
pub fn order(arms: usize, repetitions: u32, seed: u64) -> Vec<Slot> {
    let one = |repetition: u32| {
        let draw = |arm: usize| hash(seed, u64::from(repetition) + 1, arm as u64 + 1);
        let mut drawn: Vec<usize> = (0..arms).collect();
        drawn.sort_by_key(|&arm| (draw(arm), arm));
        // Seeds stay below 2³¹, so that each format and language reads them alike.
        let seed = hash(seed, u64::from(repetition) + 1, 0) >> 33;
        drawn.into_iter().map(move |arm| Slot { arm, repetition, seed })
    };
    (0..repetitions).flat_map(one).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_variant_once_a_repetition(arms in 1_usize..9, repetitions in 1_u32..9, seed: u64) {
            let slots = order(arms, repetitions, seed);
            prop_assert_eq!(&slots, &order(arms, repetitions, seed));
            prop_assert_eq!(slots.len(), arms * repetitions as usize);
            for (repetition, round) in slots.chunks(arms).enumerate() {
                prop_assert!(round.iter().all(|slot| slot.repetition == repetition as u32));
                prop_assert!(round.iter().all(|slot| slot.seed == round[0].seed), "one seed a repetition");
                prop_assert_eq!(round.iter().map(|slot| slot.arm).collect::<BTreeSet<_>>().len(), arms);
            }
            let seeds: BTreeSet<_> = slots.iter().map(|slot| slot.seed).collect();
            prop_assert_eq!(seeds.len(), repetitions as usize, "a new seed each time");
        }
    }

    #[test]
    fn the_order_is_drawn() {
        let firsts: Vec<usize> = (0..40).map(|seed| order(2, 1, seed)[0].arm).collect();
        let ones = firsts.iter().filter(|&&arm| arm == 1).count();
        assert!((8..=32).contains(&ones), "{firsts:?}");
    }
}

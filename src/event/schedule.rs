//! When each connection sends: a pure, open-loop schedule, fixed by the run's seed before the first event.
//!
//! A connection's window is a circle of length `duration`. Its events stand `1/rate` apart from a random phase, each is
//! moved by a random jitter, and a time past the window's edge comes in again at the other side. So the mean rate is
//! exact, the window's edges are as busy as its middle, and nothing depends on what happens while the run goes on.

use std::time::Duration;

/// What the schedule depends on, beside seed and connection.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Events per second of one connection.
    pub rate: f64,
    /// Jitter as a share of the period, 0 to 0.5.
    pub jitter: f64,
    /// Length of the window.
    pub duration: Duration,
}

impl Pace {
    /// Times of one connection's events, in µs from the window's start, ascending: `rate` × `duration` of them where
    /// that is whole, else one of its two neighbours.
    pub fn offsets_us(&self, seed: u64, connection: u32) -> Vec<u64> {
        let period_us = 1e6 / self.rate;
        let window_us = self.duration.as_micros() as f64;
        let phase_us = unit(hash(seed, u64::from(connection), 0)) * period_us;
        let count = ((window_us - phase_us) / period_us).ceil().max(0.0) as u64;
        let mut offsets: Vec<u64> = (0..count)
            .map(|k| {
                let jitter = self.jitter * (2.0 * unit(hash(seed, u64::from(connection), k + 1)) - 1.0);
                let at_us = phase_us + (k as f64 + jitter) * period_us;
                (at_us.rem_euclid(window_us) as u64).min(window_us as u64 - 1)
            })
            .collect();
        offsets.sort_unstable();
        offsets
    }
}

/// A random number that depends on its three arguments alone (the finalizer of SplitMix64, once for each).
pub fn hash(seed: u64, stream: u64, index: u64) -> u64 {
    [stream, index].into_iter().fold(mix(seed), |state, word| mix(state ^ mix(word)))
}

fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

/// The upper 53 bits as a number in [0, 1).
fn unit(random: u64) -> f64 {
    (random >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pace(rate: f64, jitter: f64, seconds: u64) -> Pace {
        Pace { rate, jitter, duration: Duration::from_secs(seconds) }
    }

    #[test]
    fn hash_is_splitmix64() {
        // The first outputs of SplitMix64 from state 0 and from state 0x9E37…: published test vectors.
        assert_eq!(mix(0), 0xE220_A839_7B1D_CDAF);
        assert_eq!(mix(0x9E37_79B9_7F4A_7C15), 0x6E78_9E6A_A1B9_65F4);
    }

    #[test]
    fn exact_times() {
        // Computed apart from this code, with Python's integers and floats, from the module's description.
        assert_eq!(pace(1.0, 0.0, 4).offsets_us(7, 3), [265_504, 1_265_504, 2_265_504, 3_265_504]);
        assert_eq!(pace(1.0, 0.5, 4).offsets_us(7, 3), [46_177, 1_409_182, 2_085_176, 3_646_549]);
        assert_eq!(pace(0.5, 0.5, 4).offsets_us(8, 0), [906_642, 3_542_731]);
    }

    #[test]
    fn periodic_events_stand_exactly_a_period_apart() {
        let offsets = pace(10.0, 0.0, 60).offsets_us(1, 2);
        assert!(offsets.windows(2).all(|pair| pair[1].abs_diff(pair[0] + 100_000) <= 1));
    }

    #[test]
    fn an_event_does_not_depend_on_the_other_connections() {
        let pace = pace(2.0, 0.5, 30);
        assert_eq!(pace.offsets_us(9, 5), pace.offsets_us(9, 5));
        assert_ne!(pace.offsets_us(9, 5), pace.offsets_us(9, 6));
        assert_ne!(pace.offsets_us(9, 5), pace.offsets_us(10, 5));
    }

    #[test]
    fn the_edges_of_the_window_are_as_busy_as_its_middle() {
        let pace = pace(1.0, 0.5, 10);
        let mut second = [0u32; 10];
        for connection in 0..10_000 {
            for offset in pace.offsets_us(3, connection) {
                second[(offset / 1_000_000) as usize] += 1;
            }
        }
        assert!(second.iter().all(|&count| count.abs_diff(10_000) < 500), "{second:?}");
    }

    proptest! {
        #[test]
        fn the_mean_rate_is_exact(
            seed: u64, connection: u32, per_second in 1u32..50, seconds in 1u64..100, jitter in 0.0..=0.5f64,
        ) {
            let offsets = pace(f64::from(per_second), jitter, seconds).offsets_us(seed, connection);
            prop_assert_eq!(offsets.len() as u64, u64::from(per_second) * seconds);
            prop_assert!(offsets.is_sorted());
            prop_assert!(offsets.iter().all(|&offset| offset < seconds * 1_000_000));
        }

        #[test]
        fn a_broken_rate_is_off_by_less_than_one_event(seed: u64, rate in 0.01..100.0f64, seconds in 1u64..100) {
            let count = pace(rate, 0.5, seconds).offsets_us(seed, 0).len() as f64;
            prop_assert!((count - rate * seconds as f64).abs() <= 1.0);
        }
    }
}

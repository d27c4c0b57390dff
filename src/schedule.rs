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

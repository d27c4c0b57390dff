//! The one clock of a run: µs of the Unix epoch, counted by CLOCK_MONOTONIC from an anchor that the parent reads once
//! and hands to its workers. A step of the wall clock during the run changes no latency.

use rustix::time::{ClockId, Timespec, clock_gettime};
use serde::{Deserialize, Serialize};

/// A clock that every process of one run shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// Wall clock minus monotonic clock when the anchor was read, in ns.
    offset_ns: i64,
}

/// One reading of the anchor.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Anchor {
    /// Wall clock minus monotonic clock, in ns.
    pub offset_ns: i64,
    /// Half the time that the reading took: the offset's error bound, in ns.
    pub error_ns: i64,
}

impl Anchor {
    /// Reads both clocks, the wall clock between two readings of the monotonic one; the closest of 100 tries.
    pub fn read() -> Self {
        let tries = (0..100).map(|_| {
            let before = nanoseconds(clock_gettime(ClockId::Monotonic));
            let wall = nanoseconds(clock_gettime(ClockId::Realtime));
            let after = nanoseconds(clock_gettime(ClockId::Monotonic));
            Self { offset_ns: wall - before.midpoint(after), error_ns: (after - before + 1) / 2 }
        });
        tries.min_by_key(|anchor| anchor.error_ns).expect("there were 100 tries")
    }
}

impl Clock {
    /// The clock that counts from `anchor`.
    pub fn new(anchor: Anchor) -> Self {
        Self { offset_ns: anchor.offset_ns }
    }

    /// µs of the Unix epoch.
    pub fn now_us(self) -> i64 {
        (nanoseconds(clock_gettime(ClockId::Monotonic)) + self.offset_ns).div_euclid(1000)
    }

    /// The same clock after a jump by `by_us` µs: later readings are so much later.
    pub fn stepped(self, by_us: i64) -> Self {
        Self { offset_ns: self.offset_ns.saturating_add(by_us.saturating_mul(1000)) }
    }

    /// The reading of CLOCK_MONOTONIC at which [`Clock::now_us`] is `at_us`.
    pub fn monotonic(self, at_us: i64) -> Timespec {
        let ns = at_us * 1000 - self.offset_ns;
        Timespec { tv_sec: ns.div_euclid(1_000_000_000), tv_nsec: ns.rem_euclid(1_000_000_000) }
    }
}

fn nanoseconds(time: Timespec) -> i64 {
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_is_the_inverse_of_now() {
        let clock = Clock::new(Anchor { offset_ns: 1_700_000_000_123_456_789, error_ns: 0 });
        let at_us = 1_700_000_500_000_001;
        assert_eq!(nanoseconds(clock.monotonic(at_us)) + clock.offset_ns, at_us * 1000);
    }

    #[test]
    fn the_anchor_is_the_wall_clock() {
        let clock = Clock::new(Anchor::read());
        let wall_us = nanoseconds(clock_gettime(ClockId::Realtime)) / 1000;
        assert!((clock.now_us() - wall_us).abs() < 60_000_000, "a minute is more than any step while the test runs");
    }
}

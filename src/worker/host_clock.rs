//! The clock of a worker's host, which a fault may let jump. All that the worker stamps is by this clock.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering::Relaxed},
};

use crate::machine::clock::Clock;

/// The run's clock, and how far this host's has jumped from it. Clones jump together.
#[derive(Debug, Clone)]
pub(super) struct HostClock {
    clock: Clock,
    stepped_us: Arc<AtomicI64>,
}

impl HostClock {
    pub fn new(clock: Clock) -> Self {
        Self { clock, stepped_us: Arc::default() }
    }

    /// Lets it jump.
    pub fn step(&self, by_us: i64) {
        self.stepped_us.fetch_add(by_us, Relaxed);
    }

    /// µs of the Unix epoch, as this host believes.
    pub fn now_us(&self) -> i64 {
        self.clock.stepped(self.stepped_us.load(Relaxed)).now_us()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::clock::Anchor;

    #[test]
    fn a_step_is_seen_by_all_and_can_be_taken_back() {
        let run = Clock::new(Anchor::read());
        let host = HostClock::new(run);
        let other = host.clone();
        host.step(3_600_000_000);
        assert!(other.now_us() - run.now_us() > 3_500_000_000);
        other.step(-7_200_000_000);
        assert!(host.now_us() - run.now_us() < -3_500_000_000);
    }
}

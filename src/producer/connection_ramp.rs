//! The connection ramp: brokers accept a storm of sockets slowly or not at all, so each gets few a second.

use std::{collections::HashMap, hash::Hash, time::Duration};

use tokio::time::Instant;

/// Spaces out the sockets to each of several targets.
pub(super) struct Pacer<T> {
    interval: Duration,
    next: HashMap<T, Instant>,
}

impl<T: Eq + Hash> Pacer<T> {
    pub fn new(sockets_per_s: f64) -> Self {
        Self { interval: Duration::from_secs_f64(1.0 / sockets_per_s), next: HashMap::new() }
    }

    /// When one more socket to `target` may be opened, not before `earliest`.
    pub fn slot(&mut self, target: T, earliest: Instant) -> Instant {
        let at = self.next.get(&target).map_or(earliest, |&next| next.max(earliest));
        self.next.insert(target, at + self.interval);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_gets_its_own_rate_and_an_idle_one_saves_nothing_up() {
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        let mut pacer = Pacer::new(10.0);
        assert_eq!([0, 0, 0].map(|at| pacer.slot("a", ms(at))), [ms(0), ms(100), ms(200)]);
        assert_eq!(pacer.slot("b", ms(0)), ms(0));
        assert_eq!([1_000, 1_000].map(|at| pacer.slot("a", ms(at))), [ms(1_000), ms(1_100)]);
    }
}

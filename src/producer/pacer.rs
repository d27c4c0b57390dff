//! The connection ramp: brokers accept a storm of sockets slowly or not at all, so each gets few a second.

use std::{collections::HashMap, hash::Hash, time::Duration};

use tokio::time::{Instant, sleep_until};

/// Spaces out the sockets to each of several targets.
pub(super) struct Pacer<T> {
    interval: Duration,
    next: HashMap<T, Instant>,
}

impl<T: Eq + Hash> Pacer<T> {
    pub fn new(sockets_per_s: f64) -> Self {
        Self { interval: Duration::from_secs_f64(1.0 / sockets_per_s), next: HashMap::new() }
    }

    /// Waits until one more socket to `target` may be opened.
    pub async fn admit(&mut self, target: T) {
        let at = self.next.get(&target).map_or_else(Instant::now, |&next| next.max(Instant::now()));
        self.next.insert(target, at + self.interval);
        sleep_until(at).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_target_gets_its_own_rate() {
        let start = Instant::now();
        let mut pacer = Pacer::new(10.0);
        for _ in 0..5 {
            pacer.admit("a").await;
            pacer.admit("b").await;
        }
        assert_eq!(start.elapsed(), Duration::from_millis(400));
    }
}

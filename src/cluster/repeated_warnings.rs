//! What a client says again and again, as few lines: each kind is told when it is first heard, then counted, and summed
//! up ever more rarely. A client may say the same a hundred times a second, and so may each of a thousand.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::config::RDKafkaLogLevel;

/// How long the first sum is waited for; each further one twice as long as the one before.
const WAIT_MIN: Duration = Duration::from_secs(10);
/// Longest text that is passed on: what others wrote may be in it.
const REASON_CHARS_MAX: usize = 300;

/// What was heard, by kind. Clients may share it.
#[derive(Default)]
pub struct Complaints(Mutex<BTreeMap<String, Heard>>);

struct Heard {
    untold: u64,
    last: String,
    told: Instant,
    wait: Duration,
}

impl Complaints {
    fn kinds(&self) -> MutexGuard<'_, BTreeMap<String, Heard>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one of a kind; returns what is to be told of it now.
    pub fn hear(&self, kind: String, reason: &str) -> Option<String> {
        let reason: String = reason.chars().take(REASON_CHARS_MAX).collect();
        let mut kinds = self.kinds();
        if let Some(heard) = kinds.get_mut(&kind) {
            heard.untold += 1;
            heard.last = reason;
            return if heard.told.elapsed() >= heard.wait { heard.sum(&kind) } else { None };
        }
        let told = format!("{kind}: {reason}");
        kinds.insert(kind, Heard { untold: 0, last: reason, told: Instant::now(), wait: WAIT_MIN });
        Some(told)
    }

    /// Logs a line of librdkafka's log: a warning or worse by its facility, as above.
    pub fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        use RDKafkaLogLevel as L;
        if matches!(level, L::Emerg | L::Alert | L::Critical | L::Error | L::Warning) {
            let told = self.hear(format!("librdkafka: {facility}"), line);
            told.into_iter().for_each(|text| tracing::warn!("{text}"));
        } else {
            tracing::debug!("librdkafka: {facility}: {line}");
        }
    }

    /// What was heard since it was told last.
    pub fn sum_up(&self) -> Vec<String> {
        self.kinds().iter_mut().filter_map(|(kind, heard)| heard.sum(kind)).collect()
    }
}

impl Heard {
    fn sum(&mut self, kind: &str) -> Option<String> {
        let Self { untold, last, .. } = self;
        let told = format!("{kind}: {untold} times more, the last one: {last}");
        let is_new = std::mem::take(untold) > 0;
        (self.told, self.wait) = (Instant::now(), self.wait * 2);
        is_new.then_some(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_error_a_thousand_times_is_two_lines() {
        let complaints = Complaints::default();
        let hear = |kind: &str, reason: String| complaints.hear(kind.to_owned(), &reason);
        let told: Vec<_> = (0..1_000).filter_map(|n| hear("Kafka: Bad", format!("offset {n}"))).collect();
        assert_eq!(told, ["Kafka: Bad: offset 0"]);
        let other = hear("Kafka: Other", "x".repeat(9_999)).unwrap();
        assert!(other.len() < 400, "{other}");
        assert_eq!(complaints.sum_up(), ["Kafka: Bad: 999 times more, the last one: offset 999"]);
        assert_eq!(complaints.sum_up(), Vec::<String>::new());
    }
}

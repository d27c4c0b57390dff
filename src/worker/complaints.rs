//! The client's errors as few lines: each kind is told when it is first heard, then counted, and summed up ever more
//! rarely. A client may say the same a hundred times a second.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rdkafka::error::KafkaError;

/// How long the first sum is waited for; each further one twice as long as the one before.
const WAIT_MIN: Duration = Duration::from_secs(10);
/// Longest text of an error that is passed on: what others wrote may be in it.
const REASON_CHARS_MAX: usize = 300;

/// What was heard of each kind of error.
#[derive(Default)]
pub(super) struct Complaints(BTreeMap<String, Heard>);

struct Heard {
    untold: u64,
    last: String,
    told: Instant,
    wait: Duration,
}

impl Complaints {
    /// Takes an error; returns what is to be told of it now.
    pub fn hear(&mut self, error: &KafkaError, reason: &str) -> Option<String> {
        let reason: String = reason.chars().take(REASON_CHARS_MAX).collect();
        let kind = error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string());
        if let Some(heard) = self.0.get_mut(&kind) {
            heard.untold += 1;
            heard.last = reason;
            return if heard.told.elapsed() >= heard.wait { heard.sum(&kind) } else { None };
        }
        let told = format!("Kafka: {kind}: {reason}");
        self.0.insert(kind, Heard { untold: 0, last: reason, told: Instant::now(), wait: WAIT_MIN });
        Some(told)
    }

    /// What was heard since it was told last.
    pub fn sum_up(&mut self) -> Vec<String> {
        self.0.iter_mut().filter_map(|(kind, heard)| heard.sum(kind)).collect()
    }
}

impl Heard {
    fn sum(&mut self, kind: &str) -> Option<String> {
        let Self { untold, last, .. } = self;
        let told = format!("Kafka: {kind}: {untold} times more, the last one: {last}");
        let is_new = std::mem::take(untold) > 0;
        (self.told, self.wait) = (Instant::now(), self.wait * 2);
        is_new.then_some(told)
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::error::RDKafkaErrorCode;

    use super::*;

    #[test]
    fn the_same_error_a_thousand_times_is_two_lines() {
        let mut complaints = Complaints::default();
        let error = KafkaError::Global(RDKafkaErrorCode::BadCompression);
        let told: Vec<_> = (0..1_000).filter_map(|n| complaints.hear(&error, &format!("offset {n}"))).collect();
        assert_eq!(told, ["Kafka: BadCompression (Local: Invalid compressed data): offset 0"]);
        let other = complaints.hear(&KafkaError::Global(RDKafkaErrorCode::Resolve), &"x".repeat(9_999)).unwrap();
        assert!(other.len() < 400, "{other}");
        assert_eq!(
            complaints.sum_up(),
            ["Kafka: BadCompression (Local: Invalid compressed data): 999 times more, the last one: offset 999"]
        );
        assert_eq!(complaints.sum_up(), Vec::<String>::new());
    }
}

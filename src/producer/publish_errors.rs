//! Why events were not acked, in the words of Kafka's protocol and with what to do: each cause once, with its counts.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use super::PublishOutcome;
use shasta_model::manifest::record::Refusal;

/// Most causes that are told apart; their texts may come from a broker.
const CAUSES_MAX: usize = 32;
const TEXT_CHARS_MAX: usize = 200;

/// Why one event was not acked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cause {
    /// The broker's error code, where a broker has answered.
    pub code: Option<i16>,
    /// What client or broker say beside it.
    pub text: String,
}

/// All causes of a run. Counted by the producing threads.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<BTreeMap<String, Refusal>>);

impl Refusals {
    pub(super) fn add(&self, cause: &Cause, result: PublishOutcome, warm: bool) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = cause.to_string();
        let text = if all.len() < CAUSES_MAX || all.contains_key(&text) { text } else { "other causes".into() };
        let refusal = all.entry(text.clone()).or_insert_with(|| Refusal { cause: text, ..Refusal::default() });
        let count = match result {
            _ if warm => &mut refusal.warm,
            PublishOutcome::Failed => &mut refusal.failed,
            PublishOutcome::Acked | PublishOutcome::Maybe | PublishOutcome::Unsent => &mut refusal.maybe,
        };
        *count += 1;
    }

    /// All of them, the most frequent first.
    pub fn all(&self) -> Vec<Refusal> {
        let mut all: Vec<_> = self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        all.sort_by_key(|refusal| std::cmp::Reverse(refusal.failed + refusal.maybe + refusal.warm));
        all
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = self.text.chars().take(TEXT_CHARS_MAX).collect();
        match self.code.and_then(known) {
            Some((name, advice)) if text.is_empty() => write!(f, "{name}: {advice}"),
            Some((name, advice)) => write!(f, "{name} ({text}): {advice}"),
            None => f.write_str(if text.is_empty() { "no reason was given" } else { &text }),
        }
    }
}

/// Kafka's name of a produce error, and what helps (protocol guide, error codes).
fn known(code: i16) -> Option<(&'static str, &'static str)> {
    Some(match code {
        2 => (
            "CORRUPT_MESSAGE",
            "the broker finds the batch damaged; is something between here and the brokers changing it?",
        ),
        3 => ("UNKNOWN_TOPIC_OR_PARTITION", "somebody has deleted the topic, or its partition has no leader yet"),
        5 => ("LEADER_NOT_AVAILABLE", "the partition had no leader"),
        6 => ("NOT_LEADER_OR_FOLLOWER", "the partition's leader kept changing"),
        7 => ("REQUEST_TIMED_OUT", "the replicas did not answer the leader in time"),
        10 => ("MESSAGE_TOO_LARGE", "raise the topic's max.message.bytes, or lower --bytes"),
        17 => {
            ("INVALID_TOPIC_EXCEPTION", "the brokers do not take events for a topic of this name; give another --topic")
        }
        18 => ("RECORD_LIST_TOO_LARGE", "raise the topic's segment.bytes, or lower --bytes"),
        19 => ("NOT_ENOUGH_REPLICAS", "fewer replicas were in sync than the topic's min.insync.replicas"),
        20 => ("NOT_ENOUGH_REPLICAS_AFTER_APPEND", "fewer replicas were in sync than the topic's min.insync.replicas"),
        29 => ("TOPIC_AUTHORIZATION_FAILED", "the user lacks the right Write on the topic"),
        31 => ("CLUSTER_AUTHORIZATION_FAILED", "the user lacks the right IdempotentWrite on the cluster"),
        32 => (
            "INVALID_TIMESTAMP",
            "this host's clock is further from the brokers' than the topic's message.timestamp.before.max.ms and \
             message.timestamp.after.max.ms allow",
        ),
        43 => ("UNSUPPORTED_FOR_MESSAGE_FORMAT", "the topic's message.format.version knows no headers; raise it"),
        44 => ("POLICY_VIOLATION", "a policy of the brokers forbids it; ask who runs them"),
        56 => ("KAFKA_STORAGE_ERROR", "the leader's disk fails; look at its log"),
        76 => ("UNSUPPORTED_COMPRESSION_TYPE", "the broker does not know the codec"),
        87 => ("INVALID_RECORD", "the broker's validation refuses the record; look at its log"),
        89 => ("THROTTLING_QUOTA_EXCEEDED", "the user's quota on the brokers is spent"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_told_once_with_its_counts() {
        let refusals = Refusals::default();
        let too_large = Cause { code: Some(10), text: String::new() };
        (0..3).for_each(|_| refusals.add(&too_large, PublishOutcome::Failed, false));
        refusals.add(&too_large, PublishOutcome::Failed, true);
        refusals.add(&Cause { code: Some(-1), text: "Local: Message timed out".into() }, PublishOutcome::Maybe, false);
        let all = refusals.all();
        assert_eq!((all[0].failed, all[0].warm, all[1].maybe), (3, 1, 1));
        assert!(all[0].cause.starts_with("MESSAGE_TOO_LARGE: raise the topic's max.message.bytes"), "{all:?}");
        assert_eq!(all[1].cause, "Local: Message timed out");
        // What a broker says does not fill the memory.
        for n in 0..1_000 {
            refusals.add(&Cause { code: None, text: "ü".repeat(500) + &n.to_string() }, PublishOutcome::Maybe, false);
            refusals.add(&Cause { code: None, text: n.to_string() }, PublishOutcome::Maybe, false);
        }
        let all = refusals.all();
        assert!(all.len() <= CAUSES_MAX + 1 && all.iter().all(|one| one.cause.chars().count() <= TEXT_CHARS_MAX));
        assert_eq!(all.iter().map(|one| one.maybe).sum::<u64>(), 2_001);
    }
}

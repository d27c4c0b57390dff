//! The topic when the run is over: what it took, what it has lost, and whether it is still the one that it was.

use std::ops::Range;

use super::context::{REDIS_TIMEOUT, RunContext};
use crate::{
    cluster::{TopicNow, topic::Topic},
    run::collector::Collected,
    store::generation::Generation,
    variant::GroupProtocol,
};
use shasta_reader::topology::Primaries;

/// What a look at the topic shows.
pub(super) struct TopicAfter {
    /// Records that it took since the run's start; those that were consumed, where nobody says.
    pub records: u64,
    /// Why it is not the one that the run began with.
    pub lost: Option<String>,
    /// Partitions that came while the run went on, in words.
    pub grown: Option<String>,
}

impl TopicAfter {
    /// Asks the brokers, keeps the topic's ends for the next run, and tells where the lost events are.
    pub fn look(
        context: &RunContext<'_>,
        gave_up: bool,
        collected: &mut Collected,
        warnings: &mut Vec<String>,
    ) -> Self {
        let now = topic_now(context, gave_up, warnings);
        let logs = now.as_ref().map_or(&[][..], |now| &now.logs);
        collected.passages.place(&collected.lost, logs, &mut collected.ledger);
        let records = now.as_ref().map(|now| records_since(&context.start_offsets, &now.logs));
        Self {
            records: records.unwrap_or(collected.ledger.consumed_records),
            lost: cut_off(&context.topic.name, &collected.reached, logs),
            grown: now.and_then(|now| grown(&context.topic, now.partitions, context.request.variant.group_protocol)),
        }
    }
}

/// The topic as it is now; `None`, with a warning, where its brokers do not say or nobody wants to wait for them.
fn topic_now(context: &RunContext<'_>, gave_up: bool, warnings: &mut Vec<String>) -> Option<TopicNow> {
    if context.load.null {
        return None;
    }
    if gave_up {
        warnings.push("you gave up the drain, so the topic's end offsets were not asked for and check nothing".into());
        return None;
    }
    match TopicNow::ask(&context.endpoints.kafka, &context.topic) {
        Ok(now) => {
            let ends: Vec<_> = now.logs.iter().map(|log| log.end).collect();
            if let Err(error) = remember(context, &ends) {
                warnings.push(format!("Redis did not take the topic's end offsets for the next run: {error}"));
            }
            Some(now)
        }
        Err(error) => {
            warnings.push(format!("the topic's end offsets could not be read, so they check nothing: {error}"));
            None
        }
    }
}

/// Records that the topic took since the run's start.
fn records_since(start_offsets: &[i64], logs: &[Range<i64>]) -> u64 {
    logs.iter().zip(start_offsets).map(|(log, start)| (log.end - start).max(0) as u64).sum()
}

/// What is wrong where a log ends before what was read of it.
fn cut_off(topic: &str, reached: &[i64], logs: &[Range<i64>]) -> Option<String> {
    let mut each = logs.iter().zip(reached).enumerate();
    each.find(|(_, (log, reached))| log.end < **reached).map(|(partition, (log, reached))| {
        format!(
            "partition {partition} of topic `{topic}` ends at offset {}, though what is before offset {reached} was consumed: \
             the topic was deleted and made anew meanwhile, or a leader that lacked the rest was elected",
            log.end
        )
    })
}

/// Partitions that came while the run went on.
fn grown(topic: &Topic, now: usize, group_protocol: GroupProtocol) -> Option<String> {
    let had = topic.partitions.len();
    let read = match group_protocol {
        GroupProtocol::Assign => "nobody reads the new ones, since the workers are in no group",
        _ => "the new ones are read from their beginning",
    };
    (now > had).then(|| {
        format!(
            "topic `{}` was given {} more partitions while the run went on ({had} before); the run's events stay on those \
             that it had, and {read}",
            topic.name,
            now - had
        )
    })
}

/// Keeps where the topic ends, by which the next run knows whether it is still the same.
fn remember(context: &RunContext<'_>, ends: &[i64]) -> redis::RedisResult<()> {
    let mut redis = Primaries::connect(context.endpoints.redis()?, REDIS_TIMEOUT)?;
    Generation::of(&context.topic).remember(&mut redis, ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_ends_before_what_was_read_is_named() {
        assert_eq!(cut_off("t", &[5, 7], &[0..5, 2..9]), None);
        let text = cut_off("t", &[5, 7], &[0..5, 0..3]).unwrap();
        assert!(
            text.starts_with("partition 1 of topic `t` ends at offset 3, though what is before offset 7"),
            "{text}"
        );
        assert_eq!(records_since(&[1, 8], &[0..5, 0..3]), 4);
    }
}

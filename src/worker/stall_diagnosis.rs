//! Finds out, beside the poll thread, why a partition does not go on: the brokers are asked, which may take its time.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::mpsc::{Receiver, Sender},
    time::Duration,
};

use rdkafka::{
    TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};

use super::{
    Config,
    client::{Context, properties_without_group},
    report::{Absent, Passage},
};
use crate::cluster::{
    KafkaAccess, extents,
    undecodable::{Place, Prober},
};

const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How often, and after which pauses, the brokers must say that a topic is gone or ends too early: one that was just
/// started, or has just become a leader, may not know better.
const SURE: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// What the poll thread wants to know. Places are partition → the offset that is to come next, if it is known.
#[derive(Default)]
pub(super) struct Question {
    /// Partitions that may be stuck.
    pub places: BTreeMap<i32, Option<i64>>,
    /// Offsets of which nothing was returned.
    pub over: Vec<(i32, Range<i64>)>,
    /// First offset of the batch that the client cannot decode, if it is about one.
    pub base: Option<i64>,
    /// Whether a partition that can be read is to be read anew from where it stopped.
    pub is_silent: bool,
    /// Whether the topic may be gone.
    pub is_topic_in_doubt: bool,
}

/// What is the case.
#[derive(Debug, PartialEq)]
pub(super) enum Finding {
    /// A partition goes on at another offset.
    Move { partition: i32, from: Option<i64>, to: i64 },
    /// What the parent is told of offsets that were not returned.
    Passed(Passage),
    /// The topic is not the one that the run began with.
    TopicLost(String),
}

pub(super) struct Inspector<'a> {
    pub config: &'a Config,
    pub access: &'a KafkaAccess,
    pub consumer: &'a BaseConsumer<Context>,
    /// Made when it is needed first.
    pub prober: Option<Prober>,
}

impl Inspector<'_> {
    /// Answers until nobody asks any more.
    pub fn run(mut self, questions: &Receiver<Question>, findings: &Sender<Vec<Finding>>) {
        for question in questions {
            if findings.send(self.answer(question)).is_err() {
                break;
            }
        }
    }

    fn answer(&mut self, mut question: Question) -> Vec<Finding> {
        let topic = &self.config.topic;
        if question.is_topic_in_doubt && self.always(|own| own.has_topic() == Some(false)) {
            return vec![Finding::TopicLost(format!("topic `{topic}` was deleted while the run went on"))];
        }
        let concerned: BTreeSet<i32> =
            question.places.keys().copied().chain(question.over.iter().map(|(partition, _)| *partition)).collect();
        let logs = self.logs(&concerned);
        let mut found: Vec<_> =
            std::mem::take(&mut question.over).into_iter().flat_map(|over| split(over, &logs)).collect();
        let places = self.known(&question.places, &logs);
        let beyond =
            places.iter().find(|(partition, (_, next))| logs.get(partition).is_some_and(|log| *next > log.end));
        if let Some((&partition, &(_, next))) = beyond
            && self.always(|own| own.logs(&[partition].into()).get(&partition).is_some_and(|log| next > log.end))
        {
            let end = logs[&partition].end;
            found.push(Finding::TopicLost(format!(
                "partition {partition} of topic `{topic}` ends at offset {end}, though what is before offset {next} had \
                 been written: the topic was deleted and made anew, or a leader that lacked the rest was elected"
            )));
            return found;
        }
        found.extend(self.stuck(&question, places, &logs));
        found
    }

    /// Partitions that do not go on by themselves.
    fn stuck(
        &mut self,
        question: &Question,
        places: BTreeMap<i32, (Option<i64>, i64)>,
        logs: &BTreeMap<i32, Range<i64>>,
    ) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut waiting = Vec::new();
        for (partition, (from, next)) in places {
            let Some(log) = logs.get(&partition) else { continue };
            if next < log.start {
                found.push(Finding::Move { partition, from, to: log.start });
                found.extend(split((partition, next..log.start), logs));
            } else if next < log.end && question.base.is_none_or(|base| base <= next) {
                waiting.push((next - question.base.unwrap_or(next), partition, from, next, log.end));
            }
        }
        // The batch that the client complains of is most likely the next one of its partition.
        waiting.sort_unstable();
        for (_, partition, from, next, end) in waiting {
            match self.look(partition, next, end) {
                Place::Undecodable { to, reason } => {
                    let absent = Absent::Undecodable as i32;
                    found.push(Finding::Move { partition, from, to });
                    found.push(Finding::Passed(Passage { partition, from: next, to, absent, reason }));
                    if question.base.is_some() {
                        break;
                    }
                }
                Place::Readable if question.is_silent => found.push(Finding::Move { partition, from, to: next }),
                Place::Readable | Place::Unknown => {}
            }
        }
        found
    }

    /// Places with the offset that is to come next, also where nothing has come yet: where the group's offsets are, else
    /// where the run began, else where the log begins.
    fn known(
        &self,
        places: &BTreeMap<i32, Option<i64>>,
        logs: &BTreeMap<i32, Range<i64>>,
    ) -> BTreeMap<i32, (Option<i64>, i64)> {
        let mut unread = TopicPartitionList::new();
        for (partition, _) in places.iter().filter(|(_, next)| next.is_none()) {
            unread.add_partition(&self.config.topic, *partition);
        }
        let committed =
            if unread.count() == 0 { None } else { self.consumer.committed_offsets(unread, ANSWER_MAX).ok() };
        let committed = |partition| {
            let found = committed.as_ref()?.find_partition(&self.config.topic, partition)?.offset().to_raw()?;
            (found >= 0).then_some(found)
        };
        let start = |partition: i32| self.config.start_offsets.get(partition as usize).copied();
        let begin = |partition| logs.get(&partition).map_or(0, |log| log.start);
        let resolved = |(&partition, &next): (&i32, &Option<i64>)| {
            let at = next.or_else(|| committed(partition)).or_else(|| start(partition));
            (partition, (next, at.unwrap_or_else(|| begin(partition))))
        };
        places.iter().map(resolved).collect()
    }

    fn look(&mut self, partition: i32, next: i64, end: i64) -> Place {
        if self.prober.is_none() {
            let Config { group, topic, .. } = self.config;
            self.prober = Prober::new(self.access, group, topic, &properties_without_group(self.config)).ok();
        }
        let Some(prober) = &self.prober else { return Place::Unknown };
        prober.look(partition, next, end).unwrap_or(Place::Unknown)
    }

    fn logs(&self, partitions: &BTreeSet<i32>) -> BTreeMap<i32, Range<i64>> {
        let partitions: Vec<_> = partitions.iter().copied().collect();
        if partitions.is_empty() {
            return BTreeMap::new();
        }
        extents(self.consumer, &self.config.topic, &partitions, ANSWER_MAX).unwrap_or_default()
    }

    /// None when no broker says.
    fn has_topic(&self) -> Option<bool> {
        // Never one topic by name, which might create it.
        let known = self.consumer.fetch_metadata(None, ANSWER_MAX).ok()?;
        Some(known.topics().iter().any(|topic| topic.name() == self.config.topic && !topic.partitions().is_empty()))
    }

    fn always(&self, is_so: impl Fn(&Self) -> bool) -> bool {
        (0..SURE).all(|nth| {
            if nth > 0 {
                std::thread::sleep(PAUSE);
            }
            is_so(self)
        })
    }
}

/// What became of offsets that were not returned: those before the log's beginning are gone, the others hold no record.
fn split((partition, over): (i32, Range<i64>), logs: &BTreeMap<i32, Range<i64>>) -> Vec<Finding> {
    let begin = logs.get(&partition).map_or(i64::MIN, |log| log.start).clamp(over.start, over.end);
    let parts = [(over.start..begin, Absent::Gone), (begin..over.end, Absent::NoRecord)];
    let parts = parts.into_iter().filter(|(part, _)| !part.is_empty());
    let told = |(part, absent): (Range<i64>, Absent)| {
        let (from, to, absent, reason) = (part.start, part.end, absent as i32, String::new());
        Finding::Passed(Passage { partition, from, to, absent, reason })
    };
    parts.map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_retention_took_is_told_apart_from_offsets_without_a_record() {
        let logs = BTreeMap::from([(0, 50..90)]);
        let told = |over: Range<i64>| -> Vec<(i32, i64, i64)> {
            let found = split((0, over), &logs).into_iter();
            found.map(|one| if let Finding::Passed(p) = one { (p.absent, p.from, p.to) } else { panic!() }).collect()
        };
        let (gone, none) = (Absent::Gone as i32, Absent::NoRecord as i32);
        assert_eq!(told(10..50), [(gone, 10, 50)]);
        assert_eq!(told(40..60), [(gone, 40, 50), (none, 50, 60)]);
        assert_eq!(told(60..61), [(none, 60, 61)]);
    }
}

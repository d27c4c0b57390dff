//! What has become of a topic: where the logs of its partitions begin and end by now, and how many there are.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use rdkafka::{
    TopicPartitionList,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaResult,
    topic_partition_list::Offset,
};

use super::{ClusterError, KafkaAccess, topic::Topic};

const ANSWER_MAX: Duration = Duration::from_secs(10);

/// A topic after a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicNow {
    /// First offset and the one after the last, of each partition that it had when the run began.
    pub logs: Vec<Range<i64>>,
    /// How many partitions it has.
    pub partitions: usize,
}

impl TopicNow {
    /// Asks all leaders.
    ///
    /// # Errors
    /// When the topic is gone, or one of its partitions has no leader that answers.
    pub fn ask(access: &KafkaAccess, topic: &Topic) -> Result<Self, ClusterError> {
        let Topic { name, partitions, .. } = topic;
        let what = || format!("asking for topic `{name}` as it is now");
        let problem = |problem: String| ClusterError::Kafka { what: what(), problem };
        let failed = |error| ClusterError::kafka(what(), &error, None);
        let consumer: BaseConsumer = access.consumer_config("shasta-end-offsets").create().map_err(failed)?;
        // Never one topic by name, which might create it.
        let found = consumer.fetch_metadata(None, ANSWER_MAX).map_err(failed)?;
        let now = found.topics().iter().find(|found| found.name() == name).map_or(0, |found| found.partitions().len());
        if now < partitions.len() {
            let had = partitions.len();
            return Err(problem(format!("it has {now} partitions, and had {had} when the run began: it was deleted")));
        }
        let ids: Vec<_> = partitions.iter().map(|partition| partition.id).collect();
        let logs = extents(&consumer, name, &ids, ANSWER_MAX).map_err(failed)?;
        let log =
            |id| logs.get(id).cloned().ok_or_else(|| problem(format!("the leader of partition {id} does not say")));
        Ok(Self { logs: ids.iter().map(log).collect::<Result<_, _>>()?, partitions: now })
    }
}

/// First offset and the one after the last, of each partition whose leader answers. Asks each leader twice, and counts
/// what open transactions have written, whoever else may not read it yet.
///
/// # Errors
/// When no broker answers within `limit`.
pub fn extents<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partitions: &[i32],
    limit: Duration,
) -> KafkaResult<BTreeMap<i32, Range<i64>>> {
    let ask = |which| {
        let mut wanted = TopicPartitionList::with_capacity(partitions.len());
        for &partition in partitions {
            // As a time, "beginning" asks for the earliest and "end" for the latest.
            wanted.add_partition_offset(topic, partition, which)?;
        }
        let found = consumer.offsets_for_times(wanted, limit)?;
        let known = found.elements().into_iter().filter(|element| element.error().is_ok());
        KafkaResult::Ok(known.filter_map(|element| Some((element.partition(), element.offset().to_raw()?))).collect())
    };
    // In this order no log ends before it begins.
    let begins: BTreeMap<i32, i64> = ask(Offset::Beginning)?;
    let ends: BTreeMap<i32, i64> = ask(Offset::End)?;
    let both = |(partition, end): (i32, i64)| {
        let begin = *begins.get(&partition)?;
        (begin >= 0 && end >= begin).then_some((partition, begin..end))
    };
    Ok(ends.into_iter().filter_map(both).collect())
}

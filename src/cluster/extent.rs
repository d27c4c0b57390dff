//! Where the logs of a topic's partitions begin and end by now, as their leaders say.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use rdkafka::{
    TopicPartitionList,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaResult,
    topic_partition_list::Offset,
};

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

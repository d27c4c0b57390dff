//! The run's consumer group from outside: where it starts, and the proof that every partition reaches a worker.

use std::time::Duration;

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::KafkaError,
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer},
};

use crate::{
    clock::Clock,
    cluster::{KafkaAccess, topic::Topic},
    producer::partitioner,
    tag_data::{Identifier, Stamps, TagData},
};

/// The producer number of probes, which no connection has.
pub const PROBE: u32 = u32::MAX;
const FLUSH: Duration = Duration::from_secs(30);

/// Commits the offsets at which the group starts, before it has members: no worker ever has to guess.
///
/// # Errors
/// Those of the group's coordinator.
pub fn start_at(access: &KafkaAccess, group: &str, topic: &Topic, offsets: &[i64]) -> Result<(), KafkaError> {
    let consumer: BaseConsumer = access.client_config().set("group.id", group).create()?;
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (partition, &offset) in topic.partitions.iter().zip(offsets) {
        list.add_partition_offset(&topic.name, partition.id, Offset::Offset(offset))?;
    }
    consumer.commit(&list, CommitMode::Sync)
}

/// Sends one warm-up event to each partition.
///
/// # Errors
/// When a broker does not take it.
pub fn probe(access: &KafkaAccess, run: &str, topic: &Topic, clock: Clock) -> Result<(), KafkaError> {
    let producer: BaseProducer<DefaultProducerContext> = access.client_config().set("acks", "all").create()?;
    for sequence in 0..topic.partitions.len() {
        let identifier = probe_tag(sequence as i32, topic.partitions.len() as u32);
        let now_us = clock.now_us();
        let stamps = Stamps {
            run,
            source: "probe",
            producer: PROBE,
            sequence: sequence as u64,
            scheduled_us: now_us,
            before_publish_us: now_us,
            warm: true,
        };
        let headers = stamps.headers();
        let headers = headers
            .iter()
            .fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(value) }));
        let key = identifier.partition_key();
        let value = prost::Message::encode_to_vec(&TagData { identifier: Some(identifier), data: Vec::new() });
        let record = BaseRecord::to(&topic.name).partition(sequence as i32).key(&key).payload(&value).headers(headers);
        producer.send(record).map_err(|(error, _)| error)?;
    }
    producer.flush(FLUSH)
}

/// A tag that belongs to this partition, so that even a probe keeps to the rule of one tag, one partition.
fn probe_tag(partition: i32, partitions: u32) -> Identifier {
    let tag = |n: u32| Identifier {
        app_id: "shasta".into(),
        tag: format!("probe-{partition}-{n}"),
        scope: "load".into(),
        name: "n".into(),
    };
    let mut tags = (0..).map(tag);
    tags.find(|tag| partitioner::partition(&tag.partition_key(), partitions) == partition).expect("some hash fits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_has_a_probe_tag_of_its_own() {
        for partition in 0..256 {
            assert_eq!(partitioner::partition(&probe_tag(partition, 256).partition_key(), 256), partition);
        }
    }
}

//! The run's consumer group from outside: where it starts, and the proof that every partition reaches a worker.

use std::{
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer},
};

use crate::{
    cluster::{ClusterError, Heard, KafkaAccess, Right, topic::Topic},
    event::{headers::Stamps, partitioner},
    machine::clock::Clock,
};
use shasta_model::tag_data::{Identifier, TagData};

/// The producer number of probes, which no connection has.
pub const PROBE: u32 = u32::MAX;
const FLUSH: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);
/// How long a coordinator may take until it serves the group, and how often it is asked.
const COORDINATOR_MAX: Duration = Duration::from_secs(30);
const COORDINATOR_PAUSE: Duration = Duration::from_millis(200);
const COORDINATOR_TRY_MS: u64 = 6_000;

/// Commits the offsets at which the group starts, before it has members: no worker ever has to guess. A cluster that has
/// just started may still be settling who coordinates the group: then it is asked again, for 30 s.
///
/// # Errors
/// Those of the group's coordinator: at once for a right that is missing, the last one when `stop` says so.
pub fn start_at(
    access: &KafkaAccess,
    group: &str,
    topic: &Topic,
    offsets: &[i64],
    stop: &dyn Fn() -> bool,
) -> Result<(), ClusterError> {
    let rights = [right("Read", "topic", &topic.name), right("Read", "group", group)];
    let failed = |error: &KafkaError, heard: &Heard| {
        let problem = access.told(error, heard.reason().as_deref(), &rights);
        ClusterError::Kafka { what: format!("taking the starting offsets of group `{group}`"), problem }
    };
    let config = || {
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (partition, &offset) in topic.partitions.iter().zip(offsets) {
            list.add_partition_offset(&topic.name, partition.id, Offset::Offset(offset))?;
        }
        let mut config = access.consumer_config(group);
        // How long the client waits for the group's coordinator before it gives an answer.
        config.set("session.timeout.ms", COORDINATOR_TRY_MS.to_string());
        let consumer: BaseConsumer<Heard> = config.create_with_context(Heard::default())?;
        Ok((Arc::new(consumer), list))
    };
    let (consumer, list) = config().map_err(|error| failed(&error, &Heard::default()))?;
    let deadline = Instant::now() + COORDINATOR_MAX;
    let committed = retried(
        || commit(&consumer, &list, deadline, stop),
        || {
            std::thread::sleep(COORDINATOR_PAUSE);
            Instant::now() < deadline && !stop()
        },
    );
    committed.map_err(|error| failed(&error, consumer.context()))
}

/// Commits once, and waits for the answer or for a refusal. The commit waits in a thread of its own, so that the client can
/// be listened to meanwhile: where the group is refused, its answer comes only when the client gives up. By then nobody
/// waits for the thread any more.
fn commit(
    consumer: &Arc<BaseConsumer<Heard>>,
    list: &TopicPartitionList,
    deadline: Instant,
    stop: &dyn Fn() -> bool,
) -> Result<(), KafkaError> {
    let (tell, told) = mpsc::channel();
    let (committing, list) = (Arc::clone(consumer), list.clone());
    std::thread::spawn(move || tell.send(committing.commit(&list, CommitMode::Sync)));
    loop {
        // Errors arrive at the context as well.
        drop(consumer.poll(POLL));
        if let Ok(committed) = told.try_recv() {
            return committed;
        }
        if let Some(refused) = consumer.context().refused() {
            return Err(KafkaError::ConsumerCommit(refused));
        }
        if Instant::now() > deadline || stop() {
            return Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::WaitingForCoordinator));
        }
    }
}

/// Tries until it succeeds, fails for a reason that does not pass by itself, or `again` says no.
fn retried(
    mut attempt: impl FnMut() -> Result<(), KafkaError>,
    mut again: impl FnMut() -> bool,
) -> Result<(), KafkaError> {
    loop {
        match attempt() {
            Err(error) if passes(&error) && again() => {}
            done => return done,
        }
    }
}

/// Whether an error is one of a coordinator, or a leader, that is only just taking over.
fn passes(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as E;
    matches!(
        error.rdkafka_error_code(),
        Some(
            E::CoordinatorLoadInProgress
                | E::CoordinatorNotAvailable
                | E::NotCoordinator
                | E::WaitingForCoordinator
                | E::NotLeaderForPartition
                | E::LeaderNotAvailable
                | E::NotEnoughReplicas
                | E::RequestTimedOut
                | E::OperationTimedOut
                | E::BrokerTransportFailure
                | E::AllBrokersDown
        )
    )
}

/// Sends one warm-up event to each partition.
///
/// # Errors
/// When a broker does not take it: at once for a right that is missing.
pub fn probe(access: &KafkaAccess, run: &str, topic: &Topic, clock: Clock) -> Result<(), ClusterError> {
    let failed = |error: &KafkaError, reason: Option<String>| {
        let problem = access.told(error, reason.as_deref(), &[right("Write", "topic", &topic.name)]);
        ClusterError::Kafka { what: format!("sending an event to each partition of topic `{}`", topic.name), problem }
    };
    let mut config = access.producer_config();
    config.set("acks", "all").set("message.timeout.ms", FLUSH.as_millis().to_string());
    let producer: BaseProducer<Heard> =
        config.create_with_context(Heard::default()).map_err(|error| failed(&error, None))?;
    for sequence in 0..topic.partitions.len() {
        send_probe(&producer, run, topic, clock, sequence).map_err(|error| failed(&error, None))?;
    }
    let (heard, deadline) = (producer.context(), Instant::now() + FLUSH);
    while producer.in_flight_count() > 0 && heard.undelivered().is_none() && heard.refused().is_none() {
        if Instant::now() > deadline {
            return Err(failed(&KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut), heard.reason()));
        }
        producer.poll(POLL);
    }
    let refused = heard.refused().map(KafkaError::MessageProduction);
    match refused.or_else(|| heard.undelivered()) {
        Some(error) => Err(failed(&error, heard.reason())),
        None => Ok(()),
    }
}

fn right<'a>(operation: &'a str, resource: &'a str, name: &'a str) -> Right<'a> {
    Right { operation, resource, name }
}

fn send_probe(
    producer: &BaseProducer<Heard>,
    run: &str,
    topic: &Topic,
    clock: Clock,
    sequence: usize,
) -> Result<(), KafkaError> {
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
    let headers =
        headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(value) }));
    let key = identifier.partition_key();
    let value = prost::Message::encode_to_vec(&TagData { identifier: Some(identifier), data: Vec::new() });
    let record = BaseRecord::to(&topic.name).partition(sequence as i32).key(&key).payload(&value).headers(headers);
    producer.send(record).map_err(|(error, _)| error)
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
    fn only_what_passes_by_itself_is_tried_again_and_not_for_ever() {
        let run = |code, fails: u32, tries_max: u32| {
            let mut tries = 0;
            let attempt = || {
                tries += 1;
                if tries <= fails { Err(KafkaError::ConsumerCommit(code)) } else { Ok(()) }
            };
            let mut left = tries_max - 1;
            let done = retried(attempt, || {
                left = left.saturating_sub(1);
                left > 0
            });
            (done.is_ok(), tries)
        };
        use RDKafkaErrorCode as E;
        assert_eq!(run(E::NotCoordinator, 3, 10), (true, 4));
        assert_eq!(run(E::CoordinatorLoadInProgress, u32::MAX, 5), (false, 4));
        assert_eq!(run(E::GroupAuthorizationFailed, u32::MAX, 5), (false, 1));
    }

    #[test]
    fn every_partition_has_a_probe_tag_of_its_own() {
        for partition in 0..256 {
            assert_eq!(partitioner::partition(&probe_tag(partition, 256).partition_key(), 256), partition);
        }
    }
}

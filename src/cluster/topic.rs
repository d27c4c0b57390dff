//! The run's topic: created as the variant wants it, or accepted where it agrees; never changed.

use std::time::{Duration, Instant};

use rdkafka::{
    TopicPartitionList,
    admin::{NewTopic, TopicReplication},
    consumer::{BaseConsumer, Consumer},
    metadata::MetadataTopic,
    topic_partition_list::Offset,
};
use serde::Serialize;

use super::{
    ClusterError, KafkaAccess,
    admin::{ANSWER_MAX, Admin},
};
use crate::variant::Variant;

const READY_MAX: Duration = Duration::from_secs(30);
const READY_MAX_EACH: Duration = Duration::from_millis(20);
const TIMESTAMP_TYPE: &str = "message.timestamp.type";
const LOG_APPEND_TIME: &str = "LogAppendTime";
const MIN_INSYNC: &str = "min.insync.replicas";

/// One partition as the brokers describe it; ids of brokers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionInfo {
    /// The partition.
    pub id: i32,
    /// Its leader.
    pub leader: i32,
    /// All replicas.
    pub replicas: Vec<i32>,
    /// Those in sync.
    pub isr: Vec<i32>,
}

/// The topic, with every partition led and fully in sync.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Whether this run created it.
    pub created: bool,
    /// Its partitions in order.
    pub partitions: Vec<PartitionInfo>,
    /// The cluster that it belongs to.
    pub cluster_id: String,
    /// Whether its timestamps are the leader's at append.
    pub log_append_time: bool,
}

/// Creates the topic, or checks the one that exists, and waits until all replicas are in sync and all leaders serve.
///
/// # Errors
/// When a topic of this name has other settings, a broker refuses, `stop` says so, or it is not ready within 30 s
/// and 20 ms a partition.
pub fn prepare(access: &KafkaAccess, variant: &Variant, stop: &dyn Fn() -> bool) -> Result<Topic, ClusterError> {
    let admin = Admin::connect(access)?;
    let name = variant.topic.as_str();
    let exists = find(&admin, name)?.is_some();
    if !exists {
        // A topic that this user may not see is not among those that were found.
        admin.may_see(name)?;
        create(&admin, variant)?;
    }
    let partitions = wait_ready(&admin, access, variant, exists, stop)?;
    let settings = admin.topic_settings(name)?;
    let setting = |key: &str| settings.get(key).and_then(|entry| entry.value.clone()).unwrap_or_default();
    if exists {
        check_agrees(variant, &partitions, &setting(MIN_INSYNC), &setting(TIMESTAMP_TYPE))?;
    }
    let unknown =
        || ClusterError::Kafka { what: "asking for the cluster's id".to_owned(), problem: "no answer".to_owned() };
    Ok(Topic {
        name: name.to_owned(),
        created: !exists,
        partitions,
        cluster_id: admin.cluster_id().ok_or_else(unknown)?,
        log_append_time: setting(TIMESTAMP_TYPE) == LOG_APPEND_TIME,
    })
}

/// The offset after the last event of each partition.
///
/// # Errors
/// When a partition's leader does not answer within 10 s.
pub fn end_offsets(access: &KafkaAccess, topic: &Topic) -> Result<Vec<i64>, ClusterError> {
    ends(&asking(access)?, &topic.name, &topic.partitions, ANSWER_MAX)
}

/// Whether every replica of every partition of every topic is in sync.
///
/// # Errors
/// When no broker answers within `limit`.
pub fn all_in_sync(access: &KafkaAccess, limit: Duration) -> Result<bool, ClusterError> {
    let asked = Admin::connect(access)?.metadata(limit);
    let found = asked.map_err(|error| ClusterError::kafka("asking for the topics".to_owned(), &error, None))?;
    let mut partitions = found.topics().iter().flat_map(MetadataTopic::partitions);
    Ok(partitions.all(|partition| partition.isr().len() == partition.replicas().len()))
}

fn asking(access: &KafkaAccess) -> Result<BaseConsumer, ClusterError> {
    // Events of open transactions count as well: what is on the topic, not what a consumer may read.
    let created = access.consumer_config("shasta-end-offsets").create();
    created.map_err(|error| ClusterError::kafka("setting up a Kafka client", &error, None))
}

fn ends(
    consumer: &BaseConsumer,
    topic: &str,
    partitions: &[PartitionInfo],
    limit: Duration,
) -> Result<Vec<i64>, ClusterError> {
    let what = || format!("asking for the end offsets of topic `{topic}`");
    let failed = |error| ClusterError::kafka(what(), &error, None);
    let mut wanted = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        // As a time, the "end" offset asks for the latest; one request a broker, not two a partition.
        wanted.add_partition_offset(topic, partition.id, Offset::End).map_err(failed)?;
    }
    let found = consumer.offsets_for_times(wanted, limit).map_err(failed)?;
    let offset = |id| match found.find_partition(topic, id).map(|found| (found.error(), found.offset())) {
        Some((Ok(()), Offset::Offset(offset))) => Ok(offset),
        Some((Err(error), _)) => Err(failed(error)),
        other => Err(ClusterError::Kafka { what: what(), problem: format!("partition {id}: {other:?}") }),
    };
    partitions.iter().map(|partition| offset(partition.id)).collect()
}

fn create(admin: &Admin, variant: &Variant) -> Result<(), ClusterError> {
    let min_insync = variant.min_insync_replicas.to_string();
    let partitions = i32::try_from(variant.partitions).unwrap_or(i32::MAX);
    let replication = TopicReplication::Fixed(variant.replication_factor.into());
    let topic = NewTopic::new(&variant.topic, partitions, replication)
        .set(MIN_INSYNC, &min_insync)
        .set(TIMESTAMP_TYPE, LOG_APPEND_TIME);
    admin.create_topic(&topic)
}

fn find(admin: &Admin, name: &str) -> Result<Option<Vec<PartitionInfo>>, ClusterError> {
    let metadata = admin.metadata(ANSWER_MAX);
    let metadata = metadata.map_err(|error| admin.failed("asking for the topics", &error, &[]))?;
    let topic = metadata.topics().iter().find(|topic| topic.name() == name && !topic.partitions().is_empty());
    Ok(topic.map(describe))
}

fn describe(topic: &MetadataTopic) -> Vec<PartitionInfo> {
    let info = |p: &rdkafka::metadata::MetadataPartition| PartitionInfo {
        id: p.id(),
        leader: p.leader(),
        replicas: p.replicas().to_vec(),
        isr: p.isr().to_vec(),
    };
    let mut partitions: Vec<_> = topic.partitions().iter().map(info).collect();
    partitions.sort_by_key(|partition| partition.id);
    partitions
}

/// Waits until the controller shows every partition with a leader and all replicas in sync, and every leader serves:
/// that comes seconds later where there are many partitions.
fn wait_ready(
    admin: &Admin,
    access: &KafkaAccess,
    variant: &Variant,
    exists: bool,
    stop: &dyn Fn() -> bool,
) -> Result<Vec<PartitionInfo>, ClusterError> {
    let limit = READY_MAX + READY_MAX_EACH * variant.partitions;
    let deadline = Instant::now() + limit;
    let consumer = asking(access)?;
    loop {
        if stop() {
            return Err(ClusterError::Interrupted);
        }
        let partitions = find(admin, &variant.topic)?.unwrap_or_default();
        let waiting = partitions.iter().filter(|p| p.leader < 0 || p.isr.len() < p.replicas.len()).count();
        // An existing topic may have another number of partitions: that is told as a difference.
        let complete = exists || partitions.len() == variant.partitions as usize;
        let missing = if !complete || waiting > 0 || partitions.is_empty() {
            let seen = partitions.len();
            format!("{seen} of {} partitions seen, {waiting} without a leader or a full ISR", variant.partitions)
        } else {
            match ends(&consumer, &variant.topic, &partitions, Duration::from_secs(1)) {
                Ok(_) => return Ok(partitions),
                Err(error) => error.to_string(),
            }
        };
        if Instant::now() > deadline {
            return Err(ClusterError::TopicNotReady {
                topic: variant.topic.clone(),
                seconds: limit.as_secs(),
                missing,
            });
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn check_agrees(
    variant: &Variant,
    partitions: &[PartitionInfo],
    min_insync: &str,
    timestamps: &str,
) -> Result<(), ClusterError> {
    let wanted_replicas = usize::from(variant.replication_factor);
    let replicas =
        partitions.iter().map(|p| p.replicas.len()).find(|n| *n != wanted_replicas).unwrap_or(wanted_replicas);
    let compared = [
        ("partitions", partitions.len().to_string(), variant.partitions.to_string(), "--partitions"),
        ("replication factor", replicas.to_string(), wanted_replicas.to_string(), "--replication-factor"),
        (MIN_INSYNC, min_insync.to_owned(), variant.min_insync_replicas.to_string(), "--min-insync-replicas"),
        (TIMESTAMP_TYPE, timestamps.to_owned(), LOG_APPEND_TIME.to_owned(), ""),
    ];
    let different: Vec<_> = compared.iter().filter(|(_, has, wanted, _)| has != wanted).collect();
    if different.is_empty() {
        return Ok(());
    }
    let line =
        |(what, has, wanted, _): &&(&str, String, String, &str)| format!("  {what}: {has}, the variant wants {wanted}");
    let flag = |(what, has, _, flag): &&(&str, String, String, &str)| match *flag {
        "" => format!("{what} has no override: alter the topic"),
        flag => format!("{flag} {has}"),
    };
    Err(ClusterError::TopicDiffers {
        topic: variant.topic.clone(),
        differences: different.iter().map(line).collect::<Vec<_>>().join("\n"),
        overrides: different.iter().map(flag).collect::<Vec<_>>().join(" "),
    })
}

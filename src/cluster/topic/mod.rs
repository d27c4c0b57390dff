//! The run's topic: created as the variant wants it, or accepted where it agrees; never changed.

mod compatibility;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rdkafka::{
    TopicPartitionList,
    admin::{ConfigEntry, ConfigSource, NewTopic, TopicReplication},
    consumer::{BaseConsumer, Consumer},
    metadata::MetadataTopic,
    topic_partition_list::Offset,
};

use super::{
    ClusterError, KafkaAccess,
    admin::{ANSWER_MAX, Admin},
};
use crate::variant::Variant;
use shasta_model::manifest::{self, topic::PartitionInfo};

const READY_MAX: Duration = Duration::from_secs(30);
const READY_MAX_EACH: Duration = Duration::from_millis(20);
const TIMESTAMP_TYPE: &str = "message.timestamp.type";
const LOG_APPEND_TIME: &str = "LogAppendTime";
const MIN_INSYNC: &str = "min.insync.replicas";

/// The topic, with every partition led and fully in sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Whether this run created it.
    pub created: bool,
    /// Its partitions in order.
    pub partitions: Vec<PartitionInfo>,
    /// The cluster that it belongs to.
    pub cluster_id: String,
    /// Whether its timestamps are the leader's at append, as far as is known.
    pub log_append_time: bool,
    /// Its settings in force, but for those of Kafka's own defaults.
    pub settings: BTreeMap<String, String>,
    /// What these do to the latencies and guarantees of a run.
    pub remarks: Vec<String>,
    /// With which of them the run's records are gone before its proof.
    pub unprovable: Vec<String>,
}

impl Topic {
    /// What the manifest has of it.
    pub fn recorded(&self) -> manifest::topic::Topic {
        manifest::topic::Topic {
            name: self.name.clone(),
            created: self.created,
            partitions: self.partitions.clone(),
            cluster_id: self.cluster_id.clone(),
            log_append_time: self.log_append_time,
            settings: self.settings.clone(),
        }
    }

    /// What is to be known of its settings before a run, which is to be proven or not.
    ///
    /// # Errors
    /// The records would be gone before the proof.
    pub fn remarks(&self, verify: bool) -> Result<Vec<String>, ClusterError> {
        if verify && !self.unprovable.is_empty() {
            return Err(differs(&self.name, self.created, &self.unprovable, &[]));
        }
        let untimely = self.unprovable.iter().map(|what| {
            format!("{what}: what Redis loses meanwhile cannot be read again, and --verify would be refused")
        });
        Ok(self.remarks.iter().cloned().chain(untimely).collect())
    }
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
    let judged = check(variant, !exists, &partitions, &settings)?;
    let unknown =
        || ClusterError::Kafka { what: "asking for the cluster's id".to_owned(), problem: "no answer".to_owned() };
    Ok(Topic {
        name: name.to_owned(),
        created: !exists,
        partitions,
        cluster_id: admin.cluster_id().ok_or_else(unknown)?,
        // Where that cannot be read, each record still says it of itself.
        log_append_time: value(&settings, TIMESTAMP_TYPE).is_none_or(|has| has == LOG_APPEND_TIME),
        settings: in_force(&settings),
        remarks: judged.remarks,
        unprovable: judged.unprovable,
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
    // What a run cannot do with is not left to the brokers' defaults.
    let kept = compatibility::kept(variant);
    let topic = NewTopic::new(&variant.topic, partitions, replication)
        .set(MIN_INSYNC, &min_insync)
        .set(TIMESTAMP_TYPE, LOG_APPEND_TIME);
    admin.create_topic(&kept.iter().fold(topic, |topic, (name, value)| topic.set(name, value)))
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

/// Refuses a topic with which the run could not be right; what its settings do else is returned.
fn check(
    variant: &Variant,
    created: bool,
    partitions: &[PartitionInfo],
    settings: &BTreeMap<String, ConfigEntry>,
) -> Result<compatibility::Judged, ClusterError> {
    let wanted = usize::from(variant.replication_factor);
    let replicas = partitions.iter().map(|p| p.replicas.len()).find(|n| *n != wanted).unwrap_or(wanted);
    let counts = [
        ("partitions", partitions.len(), variant.partitions as usize, "--partitions"),
        ("replication factor", replicas, wanted, "--replication-factor"),
    ];
    let judged = compatibility::judge(settings, replicas, variant);
    let different = counts.iter().filter(|(_, has, wanted, _)| has != wanted);
    let (mut lines, mut overrides): (Vec<_>, Vec<_>) = different
        .map(|(what, has, wanted, flag)| {
            (format!("{what}: {has}, the variant wants {wanted}"), format!("{flag} {has}"))
        })
        .unzip();
    lines.extend(judged.contradictions.iter().cloned());
    overrides.extend(judged.overrides.iter().cloned());
    if lines.is_empty() { Ok(judged) } else { Err(differs(&variant.topic, created, &lines, &overrides)) }
}

fn differs(topic: &str, created: bool, lines: &[String], overrides: &[String]) -> ClusterError {
    let overrides = match overrides {
        [] => String::new(),
        some => format!(", run with its settings ({})", some.join(" ")),
    };
    ClusterError::TopicDiffers {
        topic: topic.to_owned(),
        origin: if created { ", just created, has from its brokers" } else { " has" },
        differences: lines.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n"),
        overrides,
    }
}

/// The value of a setting, where it can be read.
fn value<'a>(settings: &'a BTreeMap<String, ConfigEntry>, name: &str) -> Option<&'a str> {
    settings.get(name)?.value.as_deref().filter(|value| !value.is_empty())
}

/// Settings for the manifest: those that somebody has set, for the topic or for its brokers.
fn in_force(settings: &BTreeMap<String, ConfigEntry>) -> BTreeMap<String, String> {
    let set = settings.values().filter(|entry| !entry.is_sensitive && entry.source != ConfigSource::Default);
    set.filter_map(|entry| Some((entry.name.clone(), entry.value.clone()?))).collect()
}

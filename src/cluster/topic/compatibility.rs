//! What the settings of a topic do to a run: those with which it could not be right, and those that only matter for what
//! is measured.
//!
//! They are the settings in force: what a topic does not say itself it has from its brokers. A setting that cannot be read,
//! or that these brokers do not have, is not a different one.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::admin::ConfigEntry;

use super::{LOG_APPEND_TIME, MIN_INSYNC, TIMESTAMP_TYPE};
use crate::{
    event::{partitioner, payload::EventShape},
    variant::{Acks, Span, Variant},
};

/// What a record takes beside its event at most: key, headers, and the frame of record and batch.
const RECORD_BYTES: u64 = 300;
/// Most events that leave in one batch, see [`crate::producer`].
const BATCH_EVENTS_MAX: u64 = 100;
const BATCH_BYTES_MAX: u64 = 1_000_000;
/// What a run takes beside its load, and its proof.
const SLACK: Duration = Duration::from_secs(120);
/// How long records stay at least in a topic of the run's own: somebody may want to look at them.
const RETENTION_MIN: Duration = Duration::from_secs(24 * 3600);
/// Kafka's own default.
const MESSAGE_BYTES_DEFAULT: u64 = 1_048_588;
/// Tags of which it is counted which partitions they are on; of more, all have as many.
const TAGS_COUNTED_MAX: u64 = 200_000;
/// Files that are closed more often than this are told of.
const ROLL_MIN_S: f64 = 30.0;

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Judged {
    /// With these no run can be right: a line each.
    pub contradictions: Vec<String>,
    /// Values of the variant's flags that would agree with the topic.
    pub overrides: Vec<String>,
    /// With these records of the run are gone before its end: it can be measured, and neither proven nor rebuilt.
    pub unprovable: Vec<String>,
    /// With these its latencies or its guarantees are others.
    pub remarks: Vec<String>,
}

/// What a run asks of each partition.
#[derive(Debug, Clone, Copy)]
struct Need {
    event_bytes: u64,
    batch_bytes: u64,
    /// From its first record to the end of its proof.
    lasts: Duration,
    /// How long a record may wait until it is consumed.
    waits: Duration,
    /// Of the partition with the most tags.
    partition_bytes: u64,
    partition_bytes_per_s: f64,
}

impl Need {
    fn of(variant: &Variant) -> Self {
        let event_bytes = variant.bytes as u64 + RECORD_BYTES;
        let events_max = BATCH_EVENTS_MAX.min(BATCH_BYTES_MAX / variant.bytes.max(1) as u64).max(1);
        let ramp = Duration::from_secs(u64::from(variant.connections / variant.ramp.max(1)));
        let load = variant.warm.0 + variant.duration.0;
        let per_tag = variant.rate / f64::from(variant.tags_per_connection);
        let partition_bytes_per_s = per_tag * fullest(variant) * event_bytes as f64;
        Self {
            event_bytes,
            batch_bytes: event_bytes * events_max.min(u64::from(variant.backlog) + 1),
            lasts: ramp + load + variant.drain.0 + SLACK,
            waits: variant.drain.0 + variant.delivery_timeout.0,
            partition_bytes: (partition_bytes_per_s * load.as_secs_f64()) as u64,
            partition_bytes_per_s,
        }
    }
}

/// Tags on the partition that has the most.
fn fullest(variant: &Variant) -> f64 {
    let Variant { bytes, connections, tags_per_connection, names_per_tag, partitions, .. } = *variant;
    let tags = u64::from(connections) * u64::from(tags_per_connection);
    let shape = EventShape::new(bytes, connections, tags_per_connection, names_per_tag, 0);
    let (true, Ok(shape)) = (tags <= TAGS_COUNTED_MAX, shape) else { return tags as f64 / f64::from(partitions) };
    let mut counts = vec![0_u64; partitions as usize];
    for tag in 0..tags {
        let partition = partitioner::partition(&shape.partition_key(tag), partitions);
        counts[partition as usize] += 1;
    }
    counts.into_iter().max().unwrap_or(0) as f64
}

/// What a topic of the run's own is created with, so that its records are taken, and stay until they are proven.
pub(super) fn kept(variant: &Variant) -> [(&'static str, String); 4] {
    let need = Need::of(variant);
    [
        ("cleanup.policy", "delete".to_owned()),
        ("retention.ms", (2 * need.lasts).max(RETENTION_MIN).as_millis().to_string()),
        ("retention.bytes", "-1".to_owned()),
        ("max.message.bytes", need.batch_bytes.max(MESSAGE_BYTES_DEFAULT).to_string()),
    ]
}

/// The settings, as far as they are there and say anything.
struct Settings<'a>(&'a BTreeMap<String, ConfigEntry>);

impl Settings<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.value.as_deref().map(str::trim).filter(|value| !value.is_empty())
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok()
    }

    /// A limit; below 0 there is none.
    fn limit(&self, name: &str) -> Option<u64> {
        self.number(name).and_then(|value| u64::try_from(value).ok())
    }

    fn is(&self, name: &str, value: &str) -> bool {
        self.text(name).is_some_and(|has| has.eq_ignore_ascii_case(value))
    }
}

/// Judges the settings in force of a topic whose partitions have so many replicas.
pub(super) fn judge(settings: &BTreeMap<String, ConfigEntry>, replicas: usize, variant: &Variant) -> Judged {
    let (settings, need, mut judged) = (Settings(settings), Need::of(variant), Judged::default());
    if settings.0.values().all(|entry| entry.value.as_deref().unwrap_or_default().is_empty()) {
        judged.remarks.push(format!(
            "the settings of topic `{}` cannot be read (right DescribeConfigs), so none of them was checked",
            variant.topic
        ));
    }
    agreement(&settings, replicas, variant, &mut judged);
    cleanup(&settings, need, &mut judged);
    sizes(&settings, need, &mut judged);
    validation(&settings, &mut judged);
    costs(&settings, need, &mut judged);
    judged
}

/// What the variant says itself.
fn agreement(settings: &Settings<'_>, replicas: usize, variant: &Variant, judged: &mut Judged) {
    let wanted = variant.min_insync_replicas.to_string();
    if let Some(has) = settings.text(MIN_INSYNC).filter(|has| *has != wanted) {
        judged.contradictions.push(format!("{MIN_INSYNC}: {has}, the variant wants {wanted}"));
        judged.overrides.push(format!("--min-insync-replicas {has}"));
    }
    if let Some(has) = settings.limit(MIN_INSYNC).filter(|has| *has > replicas as u64 && variant.acks == Acks::All) {
        judged.contradictions.push(format!("{MIN_INSYNC}: {has}, of {replicas} replicas: no record is ever acked"));
    }
    if let Some(has) = settings.text(TIMESTAMP_TYPE).filter(|has| *has != LOG_APPEND_TIME) {
        judged.contradictions.push(format!("{TIMESTAMP_TYPE}: {has}, the run needs {LOG_APPEND_TIME}"));
    }
}

/// What removes records.
fn cleanup(settings: &Settings<'_>, need: Need, judged: &mut Judged) {
    let policy = settings.text("cleanup.policy").unwrap_or("delete");
    if policy.split(',').any(|word| word.trim() == "compact") {
        judged.contradictions.push(format!(
            "cleanup.policy: {policy}, the run needs delete: compaction removes all but the last event of each tag"
        ));
    }
    if !policy.split(',').any(|word| word.trim() == "delete") {
        return;
    }
    if let Some(has) = settings.limit("retention.ms") {
        let has = Duration::from_millis(has);
        let told = |wanted: Duration, why| {
            format!("retention.ms: {} ({}), {why} {} ms", has.as_millis(), Span(has), wanted.as_millis())
        };
        if has < need.waits {
            judged.contradictions.push(told(need.waits, "and a record may wait to be consumed for"));
        } else if has < need.lasts {
            judged.unprovable.push(told(need.lasts, "and the run and its proof take"));
        }
    }
    if let Some(has) = settings.limit("retention.bytes").filter(|has| *has < need.partition_bytes) {
        let wanted = need.partition_bytes;
        judged.unprovable.push(format!("retention.bytes: {has}, and the run writes {wanted} to a partition"));
    }
    if settings.is("remote.storage.enable", "true") {
        let local = settings.limit("local.retention.ms").map(Duration::from_millis);
        if let Some(has) = local.filter(|has| *has < need.lasts) {
            let text = "what is older is read from remote storage, by --verify and where Redis has lost something";
            judged.remarks.push(format!("local.retention.ms is {}: {text}", has.as_millis()));
        }
    }
}

/// What a broker takes at once.
fn sizes(settings: &Settings<'_>, need: Need, judged: &mut Judged) {
    for name in ["max.message.bytes", "segment.bytes"] {
        let Some(has) = settings.limit(name) else { continue };
        let Need { event_bytes, batch_bytes, .. } = need;
        if has < event_bytes {
            judged.contradictions.push(format!("{name}: {has}, and an event of this run takes {event_bytes}"));
        } else if has < batch_bytes {
            let events = has / event_bytes;
            judged.remarks.push(format!(
                "{name} is {has}: brokers refuse a batch of more than {events} events, as a connection makes one when its \
                 events have had to wait; such events count as failed (--backlog {} bounds it)",
                events.saturating_sub(1).max(1)
            ));
        }
    }
}

/// What brokers demand of a record: of Confluent Server, and of Redpanda.
fn validation(settings: &Settings<'_>, judged: &mut Judged) {
    for by in ["confluent", "redpanda"] {
        for part in ["key", "value"] {
            for name in [format!("{by}.{part}.schema.validation"), format!("{by}.{part}.schema.id.validation")] {
                if settings.is(&name, "true") {
                    let text = "and events of this run name no schema, so that brokers refuse them";
                    judged.contradictions.push(format!("{name}: true, {text}"));
                }
            }
        }
    }
}

/// What costs time, or guarantees less.
fn costs(settings: &Settings<'_>, need: Need, judged: &mut Judged) {
    let mut remark = |text: String| judged.remarks.push(text);
    if let Some(codec) = settings.text("compression.type").filter(|has| !["producer", "uncompressed"].contains(has)) {
        remark(format!("compression.type is {codec}: the leader compresses each batch anew, which takes its time"));
    }
    if settings.is("unclean.leader.election.enable", "true") {
        remark("unclean.leader.election.enable is true: a failover may lose events that were acked".to_owned());
    }
    for name in ["flush.messages", "flush.ms"] {
        if let Some(has) = settings.limit(name).filter(|has| *has < i64::MAX as u64) {
            remark(format!("{name} is {has}: appends wait for the disk"));
        }
    }
    for name in ["leader.replication.throttled.replicas", "follower.replication.throttled.replicas"] {
        if let Some(has) = settings.text(name) {
            remark(format!("{name} is {has}: replication is throttled, and acks wait for it"));
        }
    }
    let by_time = settings.limit("segment.ms").map(|ms| ms as f64 / 1000.0);
    let by_size = settings.limit("segment.bytes").map(|bytes| bytes as f64 / need.partition_bytes_per_s);
    for (name, every_s) in [("segment.ms", by_time), ("segment.bytes", by_size)] {
        if let Some(every_s) = every_s.filter(|every_s| *every_s < ROLL_MIN_S) {
            let has = settings.text(name).unwrap_or_default();
            remark(format!(
                "{name} is {has}: each partition begins a new file every {every_s:.1} s, which takes its time"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::admin::ConfigSource;

    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, ConfigEntry> {
        let entry = |(name, value): &(&str, &str)| ConfigEntry {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
            source: ConfigSource::DynamicTopic,
            is_read_only: false,
            is_default: false,
            is_sensitive: false,
        };
        pairs.iter().map(|pair| (pair.0.to_owned(), entry(pair))).collect()
    }

    fn judged(pairs: &[(&str, &str)]) -> Judged {
        judge(&settings(pairs), 3, &crate::cluster::tests::variant())
    }

    /// As a broker of Kafka 4.1 has them by default, with what the run asks for.
    const FIT: [(&str, &str); 17] = [
        ("cleanup.policy", "delete"),
        ("compression.type", "producer"),
        ("flush.messages", "9223372036854775807"),
        ("flush.ms", "9223372036854775807"),
        ("follower.replication.throttled.replicas", ""),
        ("leader.replication.throttled.replicas", ""),
        ("local.retention.bytes", "-2"),
        ("local.retention.ms", "-2"),
        ("max.message.bytes", "1048588"),
        ("message.timestamp.type", "LogAppendTime"),
        ("min.insync.replicas", "2"),
        ("remote.storage.enable", "false"),
        ("retention.bytes", "-1"),
        ("retention.ms", "604800000"),
        ("segment.bytes", "1073741824"),
        ("segment.ms", "604800000"),
        ("unclean.leader.election.enable", "false"),
    ];

    #[test]
    fn settings_that_fit_are_not_spoken_of() {
        assert_eq!(judged(&FIT), Judged::default());
    }

    #[test]
    fn a_topic_of_ones_own_fits_whatever_the_brokers_defaults_are() {
        let mut variant = crate::cluster::tests::variant();
        for (duration, bytes) in [("10s", 512), ("48h", 1_000_000)] {
            (variant.duration, variant.bytes) = (duration.parse().unwrap(), bytes);
            let own = kept(&variant);
            let own = own.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>();
            let judged = judge(&settings(&[&FIT[..], &own].concat()), 3, &variant);
            assert_eq!((judged.contradictions.len(), judged.unprovable.len()), (0, 0), "{judged:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_no_difference() {
        for unread in [vec![], FIT.map(|(name, _)| (name, "")).to_vec()] {
            let judged = judged(&unread);
            assert_eq!((judged.contradictions.len(), judged.unprovable.len(), judged.remarks.len()), (0, 0, 1));
            assert!(judged.remarks[0].contains("DescribeConfigs"), "{:?}", judged.remarks);
        }
    }

    #[test]
    fn a_setting_with_which_no_run_can_be_right_is_named() {
        for (name, value, said) in [
            ("cleanup.policy", "compact", "compaction removes"),
            ("cleanup.policy", "compact,delete", "compaction removes"),
            ("max.message.bytes", "600", "an event of this run takes 812"),
            ("message.timestamp.type", "CreateTime", "needs LogAppendTime"),
            ("min.insync.replicas", "1", "the variant wants 2"),
            ("min.insync.replicas", "4", "no record is ever acked"),
            ("retention.ms", "5000", "wait to be consumed"),
            ("confluent.value.schema.validation", "true", "no schema"),
            ("redpanda.key.schema.id.validation", "true", "no schema"),
        ] {
            let found = judged(&[&FIT[..], &[(name, value)]].concat()).contradictions.join("\n");
            assert!(found.contains(name) && found.contains(value) && found.contains(said), "{name}={value}: {found}");
        }
        assert_eq!(judged(&[("min.insync.replicas", "1")]).overrides, ["--min-insync-replicas 1"]);
    }

    #[test]
    fn records_that_are_gone_before_the_proof_are_foreseen() {
        // 12 s of load on 4 partitions, 812 bytes an event.
        for (name, value, gone) in [
            ("retention.ms", "60000", true),
            ("retention.ms", "200000", false),
            ("retention.bytes", "100000", true),
            ("retention.bytes", "1000000", false),
        ] {
            let judged = judged(&[&FIT[..], &[(name, value)]].concat());
            assert_eq!(
                (judged.unprovable.len(), judged.contradictions.len()),
                (usize::from(gone), 0),
                "{name}={value}"
            );
        }
        // An empty policy keeps everything, as does compaction.
        let kept = judged(&[("cleanup.policy", "compact"), ("retention.ms", "1")]);
        assert_eq!((kept.unprovable.len(), kept.contradictions.len()), (0, 1));
    }

    #[test]
    fn what_only_matters_is_remarked() {
        for (name, value, said) in [
            ("compression.type", "zstd", "compresses each batch anew"),
            ("unclean.leader.election.enable", "true", "may lose events"),
            ("flush.messages", "1", "wait for the disk"),
            ("follower.replication.throttled.replicas", "*", "throttled"),
            ("max.message.bytes", "10000", "more than 12 events"),
            ("segment.ms", "1000", "every 1.0 s"),
            ("segment.bytes", "100000", "segment.bytes"),
        ] {
            let judged = judged(&[&FIT[..], &[(name, value)]].concat());
            assert_eq!(judged.contradictions, Vec::<String>::new());
            assert!(judged.remarks.iter().any(|text| text.contains(said)), "{name}={value}: {:?}", judged.remarks);
        }
        let tiered = [("remote.storage.enable", "true"), ("local.retention.ms", "1000")];
        assert!(judged(&[&FIT[..], &tiered].concat()).remarks[0].contains("remote storage"));
    }
}

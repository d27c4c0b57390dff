//! A variant: everything that one experiment fixes before it starts, as data in `experiments/*.toml`.
//!
//! A file is a [`Layer`]: any subset of the settings, over the file that it `extends`. The command line's
//! overrides are one more layer on top. All layers together resolve to one [`Variant`], which is checked whole,
//! printed by `--show`, stored in the manifest, and loads again as a file.

mod check;
mod choice;
mod engine;
mod error;
pub mod fault;
mod find;
mod layer;
mod merge;
mod property;
mod source;
mod span;

use self::fault::{Fault, Scope};
use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

#[cfg(feature = "containers")]
pub(crate) use self::check::is_image;
pub(crate) use self::property::reserved;
pub use self::{
    choice::{Acks, ClusterKind, Engine, GroupProtocol, RedisMode},
    error::VariantError,
    layer::Layer,
    span::Span,
};

/// The variant that runs when none is named.
pub const DEFAULT: &str = "laptop";

/// Largest seed: what a TOML integer holds.
pub const SEED_MAX: u64 = i64::MAX as u64;

/// Everything that one experiment fixes before it starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// The question that this variant asks, in one line.
    pub question: String,
    /// Name of the published load test (notebooks-data/published.csv) that this variant repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<String>,
    /// Producing connections in all.
    pub connections: u32,
    /// Events per second of each connection.
    pub rate: f64,
    /// Jitter of each event's time as a share of the period, 0 to 0.5.
    pub jitter: f64,
    /// Length of the measured window.
    pub duration: Span,
    /// Length of the warm-up load before the window: fixed, never ended by looking at latency.
    pub warm: Span,
    /// The same where an earlier run has warmed the cluster already; as long as ever when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm_again: Option<Span>,
    /// How long to wait past the window for events that are still on their way.
    pub drain: Span,
    /// Encoded size of an event, in bytes.
    pub bytes: usize,
    /// Tags that each connection publishes; a tag has exactly one producer.
    pub tags_per_connection: u32,
    /// Names within a tag: the number of fields in its snapshot.
    pub names_per_tag: u32,
    /// Simulated producing hosts; a row's source is `p<connection mod instances>`.
    pub instances: u32,
    /// Seed of the schedule and of the payload; a new one for each run when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Kafka client of the producers; the one that suits the size of the events when not given.
    pub engine: Engine,
    /// Replicas that must have an event before it is acked.
    pub acks: Acks,
    /// Threads that all connections share.
    pub producer_threads: u32,
    /// `linger.ms` of librdkafka; rskafka sends at once.
    pub linger: Span,
    /// Events that may wait in one connection; one more is counted unsent.
    pub backlog: u32,
    /// How long an event may wait for its ack; past it the event is a `maybe`.
    pub delivery_timeout: Span,
    /// Sockets opened per second and broker while connecting, at most 80.
    pub ramp: u32,
    /// Worker processes, all in one consumer group.
    pub workers: u32,
    /// How the group shares the partitions out.
    pub group_protocol: GroupProtocol,
    /// Whether a worker is known to its group by a name of its own, so that one that is started again gets its partitions
    /// back at once, without a rebalance.
    pub static_membership: bool,
    /// How often a worker commits its offsets.
    pub commit_interval: Span,
    /// Most events in one batch to Redis.
    pub batch_max: u32,
    /// Most events that a worker holds while a batch is in flight.
    pub lookahead: u32,
    /// Approximate length to which each delta stream is trimmed, in entries.
    pub stream_maxlen: u32,
    /// Reader tasks, in one process, that follow all tags of the run between them; 0 for a run without.
    pub readers: u32,
    /// What a round trip between workers and Redis takes longer than it does of itself; 0 for no proxy between them.
    pub redis_rtt: Span,
    /// Whether the cores of this machine are kept from sleeping between two events, where the kernel lets us
    /// ([`crate::machine::host::AwakeCores`]).
    pub cores_awake: bool,
    /// How long a core stays with a task of the run, or of its local cluster, before one that has just become ready may
    /// have it, where the kernel knows such ([`crate::machine::sched_slice::SchedSlice`]); none at all for the kernel's own.
    pub slice: Span,
    /// Topic.
    pub topic: String,
    /// Partitions of the topic.
    pub partitions: u32,
    /// Replicas of each partition.
    pub replication_factor: u16,
    /// In-sync replicas without which a write is refused.
    pub min_insync_replicas: u16,
    /// What to run against.
    pub cluster: ClusterKind,
    /// Image of the brokers' containers, with its tag; `apache/kafka` of the pinned version when not given.
    /// `SHASTA_KAFKA_IMAGE` lies over it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka_image: Option<String>,
    /// Image of Redis' container, with its tag; `redis:7` when not given. `SHASTA_REDIS_IMAGE` lies over it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis_image: Option<String>,
    /// What a local cluster starts as Redis; an external one is what it is, which is found out. Not to be mixed up with
    /// the table `redis`, which has Redis' own settings.
    pub redis_mode: RedisMode,
    /// Directory in which a local cluster's brokers and Redis keep their data, in one of the run's own; that of `TMPDIR` when not
    /// given. What is on a disk is written back to it in bursts, which the run's cores pay for where the disk is a virtual one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// Kafka version of the brokers; the local cluster is always the pinned one and reports a difference.
    pub kafka_version: String,
    /// Instance type of the brokers, where the variant describes a rented cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_instance: Option<String>,
    /// Heap of each broker's JVM, as java's -Xmx takes it.
    pub broker_heap: String,
    /// Further flags of each local broker's JVM.
    pub broker_jvm: Vec<String>,
    /// Niceness of each local broker, from 0 to 19, above that of the harness and Redis, which share its cores.
    pub broker_nice: u8,
    /// Faults injected while the run goes on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fault: Vec<Fault>,
    /// Server properties of the brokers, verbatim.
    pub broker: BTreeMap<String, String>,
    /// librdkafka properties of the workers' consumers, verbatim.
    pub consumer: BTreeMap<String, String>,
    /// Redis settings, verbatim (`appendonly = "yes"`); an external Redis keeps its own.
    pub redis: BTreeMap<String, String>,
}

impl Variant {
    /// Loads the variant of a name (`experiments/<name>.toml`, here or in the source tree) or of a path (anything with
    /// a `/` or ending in `.toml`), lays `overrides` on top and checks the whole. Returns the file's stem beside it,
    /// which names the runs. `instances` is capped to `connections`.
    ///
    /// # Errors
    /// [`VariantError`]: the file or one that it extends cannot be read, or a setting is unknown, missing or wrong.
    pub fn load(name_or_path: &str, overrides: &Layer) -> Result<(String, Self), VariantError> {
        Self::load_with(name_or_path, &[overrides])
    }

    /// The same with several layers of overrides, the last one on top.
    ///
    /// # Errors
    /// As for [`Variant::load`].
    pub fn load_with(name_or_path: &str, overrides: &[&Layer]) -> Result<(String, Self), VariantError> {
        let path = find::path(name_or_path)?;
        let name = find::stem(&path)?;
        let files = source::chain(&path)?;
        let mut merged = merge::Merged::default();
        for file in files.iter().rev() {
            merged.lay_file(file)?;
        }
        overrides.iter().try_for_each(|layer| merged.lay_flags(layer))?;
        Ok((name, merged.resolve(&path)?))
    }

    /// The variant as a file that [`Variant::load`] resolves to the same variant again.
    ///
    /// # Panics
    /// Where `seed` was set past [`SEED_MAX`]; a loaded variant's never is.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("every field but a seed past SEED_MAX has a TOML form")
    }

    /// Whether a cluster that was started for one suits the other as it is, topic included. One that faults are done to
    /// is no other's.
    pub fn same_cluster(&self, other: &Self) -> bool {
        let mine = self.clone();
        let as_mine = Self {
            cluster: mine.cluster,
            kafka_image: mine.kafka_image,
            redis_image: mine.redis_image,
            data_dir: mine.data_dir,
            kafka_version: mine.kafka_version,
            broker_heap: mine.broker_heap,
            broker_jvm: mine.broker_jvm,
            broker_nice: mine.broker_nice,
            slice: mine.slice,
            broker: mine.broker,
            topic: mine.topic,
            partitions: mine.partitions,
            replication_factor: mine.replication_factor,
            min_insync_replicas: mine.min_insync_replicas,
            redis: mine.redis,
            redis_mode: mine.redis_mode,
            redis_rtt: mine.redis_rtt,
            ..other.clone()
        };
        as_mine == *other && self.fault.is_empty() && other.fault.is_empty()
    }

    /// Length of the warm-up on a cluster that so many runs have been made on.
    pub fn warm_up(&self, runs_before: u32) -> Span {
        self.warm_again.filter(|_| runs_before > 0).unwrap_or(self.warm)
    }

    /// Which connections of a local cluster have to go through proxies, if any.
    pub fn network_scope(&self) -> Option<Scope> {
        let always = (!self.redis_rtt.0.is_zero()).then_some(Scope::Redis);
        self.fault.iter().filter_map(Fault::network_scope).chain(always).max()
    }

    /// Whether any have to.
    pub fn needs_network(&self) -> bool {
        self.network_scope().is_some()
    }

    /// Events that this variant plans to send in its window: the product of its rates, before rounding to whole events.
    pub fn planned(&self) -> f64 {
        f64::from(self.connections) * self.rate * self.duration.0.as_secs_f64()
    }
}

/// Whether variants have a setting of this name.
pub(crate) fn is_setting(key: &str) -> bool {
    check::keys().any(|known| known == key)
}

/// Every variant that can be run, by name. A file whose name starts with `_` is only there to be extended.
///
/// # Errors
/// [`VariantError`] of the first variant that does not load.
pub fn list() -> Result<Vec<(String, Variant)>, VariantError> {
    find::names()?.iter().map(|name| Variant::load(name, &Layer::default())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Loads a file `x.toml` that lays `text` over `laptop`, and returns the variant or the error's message, without
    /// the temporary directory's path.
    pub(super) fn load_over_laptop(text: &str, flags: &Layer) -> Result<Variant, String> {
        load_text(format!("extends = \"laptop\"\n{text}"), flags)
    }

    pub(super) fn load_text(text: impl AsRef<[u8]>, flags: &Layer) -> Result<Variant, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.toml");
        std::fs::write(&path, text).unwrap();
        let loaded = Variant::load(path.to_str().unwrap(), flags);
        let prefix = format!("{}/", directory.path().display());
        loaded.map(|(_, variant)| variant).map_err(|error| error.to_string().replace(&prefix, ""))
    }

    fn load(name: &str) -> Variant {
        Variant::load(name, &Layer::default()).unwrap().1
    }

    #[test]
    fn every_variant_loads_and_its_toml_is_the_same_variant() {
        let all = list().unwrap();
        let names: Vec<_> = all.iter().map(|(name, _)| name.as_str()).collect();
        let expected = [
            "16p-gc64GB",
            "4p-2pps-v1",
            "4p-2pps-v2",
            "4p-2pps-v3",
            "4p-half-pps-gc64GB",
            "8p-1pps",
            "8p-2pps",
            "8xlarge",
            "docker-4p-24w",
            "gc64GB",
            "goal",
            "goal-aws",
            "laptop",
            "takeover",
        ];
        assert_eq!(names, expected);
        for (name, variant) in all {
            assert_eq!(load_text(variant.to_toml(), &Layer::default()), Ok(variant), "{name}");
        }
    }

    #[test]
    fn the_seed_and_odd_numbers_survive_their_toml() {
        let mut variant = load("laptop");
        variant.seed = Some(SEED_MAX);
        variant.rate = 1.0 / 3.0;
        variant.duration = "1h1m1s1ms".parse().unwrap();
        variant.question = "Is \"this\" = 'that' # or not?".into();
        assert_eq!(load_text(variant.to_toml(), &Layer::default()), Ok(variant));
    }

    #[test]
    fn the_published_tests_are_as_published() {
        let published = [
            ("8xlarge", 8, 2.0, "6h", 8, "8xlarge", "1g"),
            ("gc64GB", 8, 2.0, "6h", 8, "8xlarge", "64g"),
            ("8p-2pps", 8, 2.0, "6h", 8, "2xlarge", "1g"),
            ("8p-1pps", 8, 1.0, "12h", 8, "2xlarge", "1g"),
            ("4p-2pps-v1", 4, 2.0, "6h", 8, "2xlarge", "1g"),
            ("4p-2pps-v2", 4, 2.0, "6h", 8, "2xlarge", "1g"),
            ("4p-2pps-v3", 4, 2.0, "6h", 8, "2xlarge", "1g"),
            ("16p-gc64GB", 16, 2.0, "6h", 8, "8xlarge", "64g"),
            ("4p-half-pps-gc64GB", 4, 0.5, "12h", 8, "8xlarge", "64g"),
            ("docker-4p-24w", 4, 1.0, "6h", 24, "8xlarge", "1g"),
        ];
        for (name, producers, rate, duration, workers, brokers, heap) in published {
            let v = load(name);
            let load = (v.instances, v.connections, v.rate, v.duration, v.workers, v.partitions);
            assert_eq!(load, (128, 128 * producers, rate, duration.parse().unwrap(), workers, 256), "{name}");
            let brokers = format!("kafka.m7g.{brokers}");
            assert_eq!((v.broker_instance, v.broker_heap.as_str()), (Some(brokers), heap), "{name}");
            assert_eq!(
                (v.published.as_deref(), v.engine, v.cluster),
                (Some(name), Engine::Librdkafka, ClusterKind::External)
            );
            // Nothing of the local cluster's tuning, and MSK's properties whole.
            assert_eq!((v.broker_jvm.len(), v.broker.len(), v.redis.len()), (0, 13, 0), "{name}");
            assert_eq!(v.broker["num.io.threads"], "32");
        }
    }

    #[test]
    fn goal_aws_asks_what_goal_asks() {
        let (goal, aws) = (load("goal"), load("goal-aws"));
        let Variant { question, partitions, cluster, cores_awake, slice, .. } = aws.clone();
        let Variant { broker_heap, broker_jvm, broker_nice, .. } = aws.clone();
        assert_eq!((partitions, cluster), (256, ClusterKind::External));
        // What suits one machine that has the brokers too is all that may differ, and in consumers only how soon a
        // member's death is noticed.
        let mut consumer = goal.consumer.clone();
        consumer.retain(|key, _| !matches!(key.as_str(), "session.timeout.ms" | "heartbeat.interval.ms"));
        let ours =
            Variant { question, partitions, cluster, cores_awake, slice, broker_heap, broker_jvm, broker_nice, ..goal };
        let same = Variant { broker: aws.broker.clone(), redis: aws.redis.clone(), consumer, ..ours };
        assert_eq!(same, aws);
    }

    #[test]
    fn a_cluster_suits_another_load_but_no_other_broker_topic_or_fault() {
        let goal = load("goal");
        let other = |change: &dyn Fn(&mut Variant)| {
            let mut other = goal.clone();
            change(&mut other);
            goal.same_cluster(&other)
        };
        assert!(other(&|v| (v.connections, v.workers, v.duration) = (9, 9, "9s".parse().unwrap())));
        assert!(other(&|v| drop(v.consumer.insert("fetch.min.bytes".into(), "9".into()))));
        assert!(!other(&|v| v.partitions = 12));
        assert!(!other(&|v| v.broker_heap = "2g".into()));
        assert!(!other(&|v| drop(v.broker.insert("num.io.threads".into(), "9".into()))));
        assert!(!other(&|v| v.redis_rtt = "1ms".parse().unwrap()));
        assert!(!other(&|v| v.slice = "1ms".parse().unwrap()));
        let faulty = load("takeover");
        assert!(!faulty.same_cluster(&faulty));
    }

    #[test]
    fn laptop_resolves_a_p9999() {
        let laptop = load(DEFAULT);
        assert_eq!((laptop.planned(), laptop.workers, laptop.partitions), (120_000.0, 2, 24));
        assert_eq!(laptop.broker["num.io.threads"], "2");
        assert_eq!(laptop.consumer["fetch.min.bytes"], "1");
    }
}

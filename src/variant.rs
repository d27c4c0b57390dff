//! A variant: everything that one experiment fixes before it starts, as data in `experiments/*.toml`.
//!
//! A file is a [`Layer`]: any subset of the settings, over the file that it `extends`. The command line's
//! overrides are one more layer on top. All layers together resolve to one [`Variant`], which is checked whole,
//! printed by `--show`, stored in the manifest, and loads again as a file.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::tag_data;

/// The variant that runs when none is named.
pub const DEFAULT: &str = "laptop";

/// A length of time written as people do: `300ms`, `30s`, `10m`, `6h`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || format!("`{text}` is not a length of time; write it as 300ms, 30s, 10m or 6h");
        let span: jiff::SignedDuration = text.parse().map_err(|_| wanted())?;
        Duration::try_from(span).map(Span).map_err(|_| wanted())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let printer = jiff::fmt::friendly::SpanPrinter::new();
        f.write_str(&printer.unsigned_duration_to_string(&self.0).replace(' ', ""))
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The Kafka client that a producing connection uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// One light client a connection, all on a handful of threads; not idempotent, so one request in flight a partition.
    Rskafka,
    /// One librdkafka handle a connection, idempotent; several threads a handle.
    Librdkafka,
}

/// How the consumer group shares the partitions out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum GroupProtocol {
    /// The classic protocol with the incremental assignor.
    CooperativeSticky,
    /// The classic protocol with the eager range assignor.
    Range,
    /// KIP-848: the coordinator assigns (`group.protocol=consumer`).
    Consumer,
}

/// What the experiment runs against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ClusterKind {
    /// Three brokers and a Redis as child processes on this machine.
    Local,
    /// Brokers and a Redis that are there already (Amazon MSK and MemoryDB, or any other).
    External,
}

/// One layer of settings: a file, or the overrides of the command line. Every field is optional; see [`Variant`].
#[derive(Debug, Clone, Default, Serialize, Deserialize, clap::Args)]
#[serde(deny_unknown_fields, default)]
pub struct Layer {
    /// The variant that this one is laid over.
    #[arg(skip)]
    #[serde(skip_serializing)]
    pub extends: Option<String>,
    #[arg(skip)]
    pub question: Option<String>,
    #[arg(skip)]
    pub published: Option<String>,
    /// Producing connections in all
    #[arg(long, value_name = "N")]
    pub connections: Option<u32>,
    /// Events per second of each connection
    #[arg(long, value_name = "EVENTS/S")]
    pub rate: Option<f64>,
    /// Jitter of each event's time, as a share of the period (0 = periodic, at most 0.5)
    #[arg(long, value_name = "SHARE")]
    pub jitter: Option<f64>,
    /// Length of the measured window
    #[arg(long, value_name = "TIME")]
    pub duration: Option<Span>,
    /// Length of the warm-up load before the window
    #[arg(long, value_name = "TIME")]
    pub warm: Option<Span>,
    /// How long to wait past the window for events still on their way
    #[arg(long, value_name = "TIME")]
    pub drain: Option<Span>,
    /// Encoded size of an event
    #[arg(long, value_name = "BYTES")]
    pub bytes: Option<usize>,
    /// Tags that each connection publishes
    #[arg(long, value_name = "N")]
    pub tags_per_connection: Option<u32>,
    /// Names within a tag: the size of its snapshot
    #[arg(long, value_name = "N")]
    pub names_per_tag: Option<u32>,
    /// Simulated producing hosts (the rows' sources)
    #[arg(long, value_name = "N")]
    pub instances: Option<u32>,
    /// Seed of the schedule; a new one for each run when not given
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Kafka client of the producers
    #[arg(long, value_enum)]
    pub engine: Option<Engine>,
    /// Threads that all connections share
    #[arg(long, value_name = "N")]
    pub producer_threads: Option<u32>,
    /// How long librdkafka waits to fill a batch
    #[arg(long, value_name = "TIME")]
    pub linger: Option<Span>,
    /// Events that may wait in one connection before they are counted unsent
    #[arg(long, value_name = "EVENTS")]
    pub backlog: Option<u32>,
    /// How long an event may wait for its ack before it counts as `maybe`
    #[arg(long, value_name = "TIME")]
    pub delivery_timeout: Option<Span>,
    /// Sockets opened per second and broker while connecting
    #[arg(long, value_name = "SOCKETS/S")]
    pub ramp: Option<u32>,
    /// Worker processes, all in one consumer group
    #[arg(long, value_name = "N")]
    pub workers: Option<u32>,
    /// How the group shares the partitions out
    #[arg(long, value_enum)]
    pub group_protocol: Option<GroupProtocol>,
    /// How often a worker commits its offsets
    #[arg(long, value_name = "TIME")]
    pub commit_interval: Option<Span>,
    /// Most events in one batch to Redis
    #[arg(long, value_name = "EVENTS")]
    pub batch_max: Option<u32>,
    /// Most events that a worker holds while a batch is in flight
    #[arg(long, value_name = "EVENTS")]
    pub lookahead: Option<u32>,
    /// Approximate length to which each delta stream is trimmed
    #[arg(long, value_name = "ENTRIES")]
    pub stream_maxlen: Option<u32>,
    /// Topic
    #[arg(long, value_name = "NAME")]
    pub topic: Option<String>,
    /// Partitions of the topic
    #[arg(long, value_name = "N")]
    pub partitions: Option<u32>,
    /// Replicas of each partition
    #[arg(long, value_name = "N")]
    pub replication_factor: Option<u16>,
    /// In-sync replicas without which a write is refused
    #[arg(long, value_name = "N")]
    pub min_insync_replicas: Option<u16>,
    /// What to run against
    #[arg(long, value_enum)]
    pub cluster: Option<ClusterKind>,
    #[arg(skip)]
    pub kafka_version: Option<String>,
    #[arg(skip)]
    pub broker_instance: Option<String>,
    /// Heap of each local broker's JVM, as java's -Xmx takes it
    #[arg(long, value_name = "SIZE")]
    pub broker_heap: Option<String>,
    #[arg(skip)]
    pub broker_jvm: Option<Vec<String>>,
    #[arg(skip)]
    pub broker: Option<BTreeMap<String, String>>,
    #[arg(skip)]
    pub consumer: Option<BTreeMap<String, String>>,
    #[arg(skip)]
    pub redis: Option<BTreeMap<String, String>>,
}

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
    /// Kafka client of the producers.
    pub engine: Engine,
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
    /// How often a worker commits its offsets.
    pub commit_interval: Span,
    /// Most events in one batch to Redis.
    pub batch_max: u32,
    /// Most events that a worker holds while a batch is in flight.
    pub lookahead: u32,
    /// Approximate length to which each delta stream is trimmed, in entries.
    pub stream_maxlen: u32,
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
    /// Kafka version of the brokers; the local cluster is always the pinned one and reports a difference.
    pub kafka_version: String,
    /// Instance type of the brokers, where the variant describes a rented cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_instance: Option<String>,
    /// Heap of each broker's JVM, as java's -Xmx takes it.
    pub broker_heap: String,
    /// Further flags of each local broker's JVM.
    pub broker_jvm: Vec<String>,
    /// Server properties of the brokers, verbatim.
    pub broker: BTreeMap<String, String>,
    /// librdkafka properties of the workers' consumers, verbatim.
    pub consumer: BTreeMap<String, String>,
    /// Redis settings, verbatim (`appendonly = "yes"`); an external Redis keeps its own.
    pub redis: BTreeMap<String, String>,
}

//! One layer of a variant: what a file or the command line sets.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::fault::Fault;
use super::{Acks, ClusterKind, Engine, GroupProtocol, RedisMode, Span};
use shasta_model::overrides::BESIDE;

/// One layer of settings: a file, or the overrides of the command line. Every field is optional; see [`super::Variant`].
#[derive(Debug, Clone, Default, Serialize, Deserialize, clap::Args)]
#[serde(deny_unknown_fields, default)]
pub struct Layer {
    /// The variant that this one is laid over.
    #[arg(skip)]
    #[serde(skip_serializing)]
    pub extends: Option<String>,
    /// The question that the variant asks.
    #[arg(skip)]
    pub question: Option<String>,
    /// Name of the published load test that it repeats.
    #[arg(skip)]
    pub published: Option<String>,
    /// Producing connections in all
    #[arg(long, value_name = "N")]
    pub connections: Option<u32>,
    /// Events per second of each connection
    #[arg(long, value_name = "EVENTS/S", allow_negative_numbers = true)]
    pub rate: Option<f64>,
    /// Jitter of each event's time, as a share of the period (0 = periodic, at most 0.5)
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    pub jitter: Option<f64>,
    /// Length of the measured window
    #[arg(long, value_name = "TIME")]
    pub duration: Option<Span>,
    /// Length of the warm-up load before the window
    #[arg(long, value_name = "TIME")]
    pub warm: Option<Span>,
    /// The same where an earlier run of a campaign or a search has warmed the cluster [default: as long as ever]
    #[arg(long, value_name = "TIME")]
    pub warm_again: Option<Span>,
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
    /// Simulated producing hosts (the rows' sources), at most one a connection
    #[arg(long, value_name = "N")]
    pub instances: Option<u32>,
    /// Seed of the schedule; a new one for each run when not given
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Kafka client of the producers [default: rskafka, or librdkafka for events of 8 KB and more]
    #[arg(long, value_enum)]
    pub engine: Option<Engine>,
    /// Replicas that must have an event before it is acked (engine librdkafka; rskafka has all)
    #[arg(long, value_enum)]
    pub acks: Option<Acks>,
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
    /// Whether a worker that is started again gets its partitions back without a rebalance (group.instance.id)
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    pub static_membership: Option<bool>,
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
    /// Reader tasks that follow all tags between them and stamp after_read_us
    #[arg(long, value_name = "N")]
    pub readers: Option<u32>,
    /// What a round trip between workers and Redis takes longer than it does of itself, through a proxy of our own
    #[arg(long, value_name = "TIME")]
    pub redis_rtt: Option<Span>,
    /// Whether the cores of this machine are kept from sleeping between two events (/dev/cpu_dma_latency), where the kernel
    /// allows it
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    pub cores_awake: Option<bool>,
    /// How long a core stays with a task of the run before one that has just become ready may have it (Linux 6.12); 0s for
    /// the kernel's own
    #[arg(long, value_name = "TIME")]
    pub slice: Option<Span>,
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
    /// Image of the brokers' containers.
    #[arg(skip)]
    pub kafka_image: Option<String>,
    /// Image of Redis' container.
    #[arg(skip)]
    pub redis_image: Option<String>,
    /// What a local cluster starts as Redis: one, a primary with a replica, or three shards with a replica each
    #[arg(long, value_enum)]
    pub redis_mode: Option<RedisMode>,
    /// Directory in which a local cluster keeps its data, such as /dev/shm, which is memory and is not written back to a disk
    /// [default: that of TMPDIR]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Kafka version of the brokers.
    #[arg(skip)]
    pub kafka_version: Option<String>,
    /// Instance type of the brokers.
    #[arg(skip)]
    pub broker_instance: Option<String>,
    /// Heap of each local broker's JVM, as java's -Xmx takes it
    #[arg(long, value_name = "SIZE")]
    pub broker_heap: Option<String>,
    /// Further flags of each local broker's JVM.
    #[arg(skip)]
    pub broker_jvm: Option<Vec<String>>,
    /// Niceness of each local broker, from 0 to 19: how far the operating system puts it behind clients and Redis
    #[arg(long, value_name = "NUMBER")]
    pub broker_nice: Option<u8>,
    /// A fault while the run goes on, such as 'kill broker 2 at 30s for 10s'; several times for several. They take the
    /// place of the variant's
    #[arg(long, value_name = "FAULT")]
    pub fault: Option<Vec<Fault>>,
    /// Server properties of the brokers, laid key by key over those below.
    #[arg(skip)]
    pub broker: Option<BTreeMap<String, String>>,
    /// librdkafka properties of the workers' consumers, laid key by key over those below.
    #[arg(skip)]
    pub consumer: Option<BTreeMap<String, String>>,
    /// Redis settings, laid key by key over those below.
    #[arg(skip)]
    pub redis: Option<BTreeMap<String, String>>,
}

impl Layer {
    /// The settings that it gives, as a manifest keeps them.
    pub fn given(&self) -> Map<String, Value> {
        let Ok(Value::Object(mut settings)) = serde_json::to_value(self) else { return Map::new() };
        settings.retain(|name, value| !value.is_null() && !BESIDE.contains(&name.as_str()));
        settings
    }
}

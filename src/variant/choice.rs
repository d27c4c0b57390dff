//! The settings that are a choice among a few.

use serde::{Deserialize, Serialize};

/// The Kafka client that a producing connection uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// One light client a connection, all on a handful of threads; not idempotent, so one request in flight a partition.
    Rskafka,
    /// One librdkafka handle a connection, idempotent; several threads a handle.
    Librdkafka,
}

/// Replicas that must have an event before it is acked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum Acks {
    /// All that are in sync.
    #[serde(rename = "all")]
    All,
    /// The leader alone: an ack proves little, and the ledger's `lost` may be what the brokers lost.
    #[serde(rename = "1")]
    #[value(name = "1")]
    Leader,
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
    /// No group: each worker takes its share by its number (`assign()`), and only offsets are the group's. Nobody takes
    /// over from a worker that is gone.
    Assign,
}

/// What the experiment runs against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ClusterKind {
    /// Three brokers and a Redis as child processes on this machine.
    Local,
    /// The same in Docker's containers on this machine.
    Containers,
    /// Brokers and a Redis that are there already (Amazon MSK and MemoryDB, or any other).
    External,
    /// Nothing: each event is encoded and acked at once. What the harness alone costs.
    Null,
}

/// What a local cluster starts as Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum RedisMode {
    /// One process.
    Single,
    /// A primary and a replica that copies from it, a little behind.
    Replica,
    /// A Redis Cluster: three primaries that share the tags, and a replica of each.
    Cluster,
}

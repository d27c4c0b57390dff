//! How a run was brought to its start, and how its clients fared.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    lenient,
    machine::{Cores, Slices},
};

/// How the run was brought to its start, and how its clients fared.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Conduct {
    /// Seconds until the cluster was ready.
    pub cluster_ready_s: f64,
    /// Runs that had been made on the cluster before this one.
    pub runs_before: Option<u32>,
    /// Seconds from the first worker's start until every partition was assigned and had reached a worker.
    pub assigned_s: f64,
    /// Seconds until all connections were open and had had an ack.
    pub connected_s: f64,
    /// Partitions of each worker when the window began.
    pub partitions_per_worker: Vec<usize>,
    /// Rebalances inside of the window; with any, latencies are not those of a settled group.
    pub rebalances_in_window: usize,
    /// All rebalances.
    #[serde(deserialize_with = "lenient::list")]
    pub rebalances: Vec<Rebalance>,
    /// Events whose hand-over waited for an earlier one of the same partition.
    pub waited: u64,
    /// Produce requests that were tried again.
    pub retries: u64,
    /// How long the brokers held clients back because a quota was used up.
    pub throttled: Option<Throttling>,
    /// Bytes that the headers add to an event.
    pub header_bytes: usize,
    /// Group, and the generation of the topic in stream IDs.
    pub group: String,
    /// Generation of the topic.
    pub generation: u64,
    /// Whether the cores slept between two events, from the warm-up on.
    pub cores: Option<Cores>,
    /// Whose slices its tasks had.
    pub slices: Option<Slices>,
}

/// A rebalance as a worker told it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebalance {
    /// Worker.
    #[serde(default)]
    pub worker: u32,
    /// When, µs of the Unix epoch.
    pub at_us: i64,
    /// How many partitions it had then.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub partitions: usize,
}

/// Throttling by client quotas, as the brokers' answers say it; the warm-up is in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttling {
    /// Of producers; of librdkafka's, the first 16 alone are asked.
    pub producers: Throttled,
    /// Of the workers' consumers.
    pub consumers: Throttled,
}

/// What brokers held back of one kind of client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttled {
    /// Answers that told the client to wait.
    pub responses: u64,
    /// How long in all, in ms, over all connections.
    pub total_ms: u64,
    /// The longest, in ms.
    pub max_ms: u64,
}

impl Throttled {
    /// Whether nothing was.
    pub fn is_none(&self) -> bool {
        self.responses == 0
    }
}

impl std::ops::AddAssign for Throttled {
    fn add_assign(&mut self, other: Self) {
        self.responses += other.responses;
        self.total_ms += other.total_ms;
        self.max_ms = self.max_ms.max(other.max_ms);
    }
}

impl fmt::Display for Throttled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { responses, total_ms, max_ms } = self;
        write!(f, "{responses} answers, {total_ms} ms in all, {max_ms} ms at most")
    }
}

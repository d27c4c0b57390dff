//! The topic of a run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::lenient;

/// The topic, as the brokers described it when the run began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Whether this run created it.
    pub created: bool,
    /// Its partitions in order.
    #[serde(deserialize_with = "lenient::list")]
    pub partitions: Vec<PartitionInfo>,
    /// The cluster that it belongs to.
    pub cluster_id: String,
    /// Whether its timestamps are the leader's at append, as far as is known.
    pub log_append_time: bool,
    /// Its settings in force, but for those of Kafka's own defaults.
    pub settings: BTreeMap<String, String>,
}

/// One partition as the brokers describe it; ids of brokers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionInfo {
    /// The partition.
    pub id: i32,
    /// Its leader.
    pub leader: i32,
    /// All replicas.
    #[serde(default)]
    pub replicas: Vec<i32>,
    /// Those in sync.
    #[serde(default)]
    pub isr: Vec<i32>,
}

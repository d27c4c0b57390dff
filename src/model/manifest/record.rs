//! Records of the topic that did not become events in Redis, and events that Kafka did not take.

use serde::{Deserialize, Serialize};

/// A record that could not be stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Why.
    pub reason: String,
}

/// A batch that the client could not decode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undecodable {
    /// Partition.
    pub partition: i32,
    /// Its first offset that was not read.
    pub from: i64,
    /// The one after its last.
    pub to: i64,
    /// What the client says.
    pub reason: String,
}

/// Why events were not acked, and how many events of the window it had.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// In words, with Kafka's name of the error.
    pub cause: String,
    /// Events that are proven unwritten.
    pub failed: u64,
    /// Events that may be written.
    pub maybe: u64,
    /// Warm-up events, which are in no ledger.
    pub warm: u64,
}

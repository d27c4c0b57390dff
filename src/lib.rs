//! Shasta measures whether 99.99 % of events get from producer to consumer in under 100 ms, and what breaks that.
//!
//! A tour, in the order in which an event travels. [`run`] is a whole experiment, readable in one function.
//!
//! 1. [`tag_data`]: the event, its identifier, key and header stamps.
//! 2. [`schedule`]: when each connection sends; pure and open loop.
//! 3. [`producer`]: one connection is one Kafka client; [`request`]: how large its requests may be.
//! 4. [`worker`]: a process that consumes, stores and tells its parent.
//! 5. [`store`]: snapshot and delta in one atomic step; [`shards`]: in which Redis.
//! 6. [`crew`], [`collect`], [`join`]: what producers and workers say becomes one row an event; [`absent`]: what has none.
//! 7. [`record`], [`convert`], [`ledger`], [`tables`], [`manifest`]: rows in CSV or Parquet, books, exact percentiles,
//!    and all else about a run.
//!
//! 8. [`reader`]: the library that client applications follow tags with; [`audience`], which measures it.
//! 9. [`verify`]: the proof after a run that nothing was lost, doubled or reordered.
//!
//! Many runs: [`campaign`] (several variants, several times, in a drawn order) and [`search`] (where the promise breaks).
//! Around it: [`variant`] (what is asked), [`cluster`] (what it runs against), [`network`] and [`proxy`] (what is between),
//! [`address`] (where something listens), [`throttle`] (what brokers hold back),
//! [`fault`] (what is broken meanwhile), [`group`] and [`generation`] (where it starts), [`harness`], [`busy`],
//! [`caveats`], [`clock`], [`host`] and [`slice`] (why to believe it), [`tls`] and [`refusal`] (who lets us in, and why
//! not), [`arguments`], [`live`], [`screen`], [`output`] and [`exit`] (what a person says and sees).
//! [`columns`], [`moments`], [`overrides`], [`percentile`] and [`slo`] are shared with the crate `analyze`.

pub mod absent;
pub mod address;
pub mod arguments;
pub mod audience;
pub mod busy;
pub mod campaign;
pub mod caveats;
mod child;
pub mod clock;
pub mod cluster;
pub mod collect;
pub mod columns;
pub mod convert;
pub mod crew;
pub mod exit;
pub mod fault;
pub mod generation;
pub mod group;
pub mod harness;
pub mod host;
pub mod join;
pub mod ledger;
pub mod live;
pub mod manifest;
pub mod moments;
pub mod network;
pub mod output;
pub mod overrides;
pub mod percentile;
pub mod process;
pub mod producer;
pub mod proxy;
pub mod reader;
pub mod record;
pub mod refusal;
pub mod request;
pub mod run;
pub mod schedule;
pub mod screen;
pub mod search;
pub mod shards;
pub mod slice;
pub mod slo;
pub mod store;
pub mod tables;
pub mod tag_data;
pub mod throttle;
pub mod tls;
pub mod variant;
pub mod verify;
pub mod worker;

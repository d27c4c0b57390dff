//! Shasta measures whether 99.99 % of events get from producer to consumer in under 100 ms, and what breaks that.
//!
//! A tour, in the order in which an event travels. [`run`] is a whole experiment, readable in one function.
//!
//! 1. [`event`]: the event, its identifier, key and header stamps; when it is due, pure and open loop.
//! 2. [`producer`]: one connection is one Kafka client.
//! 3. [`worker`]: a process that consumes, stores and reports to its parent.
//! 4. [`store`]: snapshot and delta in one atomic step.
//! 5. [`shasta_reader`]: the library that client applications follow tags with, and which Redis has what.
//! 6. [`run`]: what producers and workers say becomes one row an event; the ledger is closed and the verdict given.
//! 7. [`output`]: rows in CSV or Parquet, the manifest, exact percentiles, progress.
//! 8. [`verify`]: the proof after a run that nothing was lost, doubled or reordered.
//!
//! Around it: [`variant`] (what is asked), [`cluster`] (what it runs against, and the network before it), [`fault`] (what is
//! broken meanwhile), [`machine`] (why to believe it: clock, harness, cores, processes), [`study`] (campaigns and searches:
//! many runs) and [`cli`] (what a person says and sees). What `analyze` reads is defined in the crate `shasta_model`.

pub mod cli;
pub mod cluster;
pub mod event;
pub mod fault;
pub mod machine;
pub mod output;
pub mod producer;
pub mod run;
pub mod store;
pub mod study;
pub mod variant;
pub mod verify;
pub mod worker;

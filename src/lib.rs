//! Shasta measures whether 99.99 % of events get from producer to consumer in under 100 ms.

pub mod clock;
pub mod cluster;
pub mod collect;
pub mod columns;
pub mod crew;
pub mod generation;
pub mod group;
pub mod harness;
pub mod host;
pub mod join;
pub mod ledger;
pub mod live;
pub mod manifest;
pub mod percentile;
pub mod process;
pub mod producer;
pub mod record;
pub mod run;
pub mod schedule;
pub mod screen;
pub mod slo;
pub mod store;
pub mod tables;
pub mod tag_data;
pub mod variant;
pub mod worker;

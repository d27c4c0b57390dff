//! Shasta measures whether 99.99 % of events get from producer to consumer in under 100 ms.

pub mod cluster;
pub mod process;
pub mod schedule;
pub mod tag_data;
pub mod variant;

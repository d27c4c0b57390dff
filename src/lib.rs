//! Shasta measures whether 99.99 % of events get from producer to consumer in under 100 ms.

pub mod columns;
pub mod percentile;
pub mod schedule;
pub mod slo;
pub mod tag_data;
pub mod variant;

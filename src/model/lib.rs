//! What one program writes and another reads: the row, the manifest with its ledger, percentiles, the SLO. `experiment` and
//! `analyze` share these definitions, so that a figure means the same in both.

#[cfg(feature = "files")]
pub mod atomic_file;
pub mod columns;
pub mod ledger;
pub mod manifest;
pub mod marked_block;
pub mod moments;
pub mod number;
pub mod overrides;
pub mod percentile;
pub mod slo;
pub mod tag_data;

//! Rows of recorded runs in, tables out.
//!
//! In the order in which a run passes: [`input`] finds and reads `results/<run>.csv` (or `.parquet`) into [`rows`],
//! [`manifest`] reads what the run says about itself in `<run>.json`, [`run`] holds the two against each other and
//! judges, [`pairs`] computes D2–D5 with [`spread`], and [`report`] puts it all into words and [`markdown`] tables.
//! [`columns`], [`slo`] and [`percentile`] are the harness's own files, so that both programs print the same figures.

#[path = "../columns.rs"]
pub mod columns;
#[path = "../percentile.rs"]
pub mod percentile;
#[path = "../slo.rs"]
pub mod slo;

pub mod chart;
pub mod document;
pub mod input;
pub mod lines;
pub mod manifest;
pub mod markdown;
pub mod pairs;
pub mod report;
pub mod row;
pub mod rows;
pub mod run;
pub mod spread;

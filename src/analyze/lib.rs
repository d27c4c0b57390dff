//! Rows of recorded runs in, tables out.
//!
//! In the order in which a run passes: [`input`] finds and reads `results/<run>.csv` (or `.parquet`) into [`rows`],
//! [`manifest`] reads what the run says about itself in `<run>.json`, [`run`] holds the two against each other and
//! judges, [`pairs`] computes D2–D5 with [`spread`], and [`report`] puts it all into words and [`markdown`] tables.
//! [`render`] turns a [`document`] into text, Markdown, CSV, JSON and HTML, which [`write`] puts into files.
//! [`columns`], [`slo`] and [`percentile`] are the harness's own files, so that both programs print the same figures.

#[path = "../columns.rs"]
pub mod columns;
#[path = "../percentile.rs"]
pub mod percentile;
#[path = "../slo.rs"]
pub mod slo;

pub mod arguments;
pub mod cause;
pub mod chart;
pub mod compare;
pub mod counts;
pub mod document;
pub mod drawings;
pub mod figures;
pub mod input;
pub mod manifest;
pub mod output;
pub mod pairs;
pub mod published;
pub mod quantile;
pub mod render;
pub mod report;
pub mod row;
pub mod run;
pub mod samples;
pub mod scan;
pub mod seen;
pub mod spread;
pub mod tally;
pub mod top;
pub mod weighed;
pub mod write;

pub use render::markdown;

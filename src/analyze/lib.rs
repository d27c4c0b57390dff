//! Rows of recorded runs in; tables, charts, causes and comparisons out.
//!
//! In the order in which a run passes: [`input`] finds its files, [`scan`] reads their rows with all cores into a
//! [`accumulator`] (latencies as [`samples`] of 16 bytes a row, [`dedup`] events, the [`slowest`] of slow rows whole, [`counts`]),
//! and [`run`] sums that up, holds it against the [`manifest`] ([`agreement`]) and judges. [`quantile`] selects percentiles
//! exactly, [`pairs`] and [`spread`] make D2–D5 of them, [`cause`] says where the tail comes from, [`published`] what others
//! measured. [`pool`] puts runs together that are of one experiment by their [`identity`] and says the [`difference`] of
//! others; [`run_metrics`] and [`run_comparison`] make arms of them that [`compare`] tests against each other. [`report`] puts all of it
//! into a [`document`], [`drawings`] into a [`chart`] each, [`render`] writes documents as text, Markdown, CSV,
//! JSON and HTML, and [`output`] puts them where the [`arguments`] want them. [`deviations`] is the short way to D2–D5 alone.
//!
//! [`program`] is all of that in one function.
//! Beside all that, [`mod@bench`] reports what `cargo bench` measured, with the same tables, charts and tests.
//!
//! What both programs agree in, from the names of columns to the exact percentile, is in the crate [`shasta_model`].

pub mod accumulator;
pub mod agreement;
pub mod arguments;
pub mod bench;
pub mod cause;
pub mod chart;
pub mod classes;
pub mod compare;
pub mod cores;
pub mod counts;
pub mod dedup;
pub mod deviations;
pub mod difference;
pub mod document;
pub mod drawings;
pub mod histogram;
pub mod identity;
pub mod input;
pub mod manifest;
pub mod output;
pub mod pairs;
pub mod pool;
pub mod program;
pub mod published;
pub mod quantile;
pub mod render;
pub mod report;
pub mod row;
pub mod run;
pub mod run_comparison;
pub mod run_metrics;
pub mod samples;
pub mod scan;
pub mod slowest;
pub mod spread;

#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod sample;

pub use render::markdown;

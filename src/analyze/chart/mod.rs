//! Charts of runs, each as PNG and SVG, readable without the text around it.
//!
//! A chart is plain data in ms, percentiles and seconds; [`Chart::scene`] lays it out as shapes ([`scene`], inside a
//! [`page`] with [`panel`]s), [`paint`] puts those on either of plotters' surfaces, and [`file`](mod@file) writes both.
//! All of them share what follows. A latency of `f64::INFINITY` is an event past the drain: it leaves at the top, and
//! the caption says so; so it does when a value is too small for a logarithmic axis. NaN is no figure and is not drawn.

pub mod batch_rate;
pub mod deviation_bars;
pub mod file;
pub mod font;
pub mod load_latency;
pub mod over_time;
pub mod page;
pub mod paint;
pub mod pair_heat;
pub mod palette;
pub mod panel;
pub mod percentile_curve;
pub mod png;
pub mod scale;
pub mod scene;
pub mod stage_bands;

#[cfg(test)]
mod any_data;
#[cfg(test)]
mod legible;
#[cfg(test)]
mod samples;

pub use batch_rate::{BatchRate, BatchSeries};
pub use deviation_bars::{DeviationBars, Deviations, Figure};
pub use file::Error;
pub use load_latency::{LoadLatency, LoadRun, LoadSeries};
pub use over_time::{OverTime, Second, Span};
pub use pair_heat::PairHeat;
pub use percentile_curve::{Curve, PercentileCurve};
pub use stage_bands::{Bucket, StageBands};

use std::{fmt, path::Path};

use scene::Scene;

/// Something that can be drawn.
pub trait Chart: fmt::Debug {
    /// Its drawing, which exists for any data.
    fn scene(&self) -> Scene;

    /// Writes `<directory>/<stem>.png` and `<directory>/<stem>.svg`, whole or not at all.
    fn draw(&self, directory: &Path, stem: &str) -> Result<(), Error> {
        file::write(&self.scene(), directory, stem)
    }
}

//! Sets of runs against each other, the run being the unit: events of one run share its stalls, so a million of them
//! are one observation of a tail.
//!
//! In reading order: [`arm`] sorts out which runs can be compared, [`interval`] says how well they tell a median and a
//! ratio, [`permutation`] tests against the [`null`] distribution, [`matrix`] corrects by [`holm`] and finds the word,
//! [`mod@gate`] decides for `--max-regression`, and [`blocks`] puts it into words and [`tables`]. Nothing here reads a
//! file.
//!
//! One endpoint decides, p99.99 of scheduled → stored; every other is exploratory. *Resolved* takes at least 4 valid
//! runs an arm and an exact permutation test, below that a comparison is *descriptive*. Runs that cannot be compared
//! (INVALID, interrupted) are listed with their cause and never silently dropped.

pub mod arm;
pub mod blocks;
pub mod gate;
pub mod holm;
pub mod interval;
pub mod matrix;
pub mod null;
pub mod permutation;
pub mod tables;

pub use arm::{Arm, PRIMARY, RunFigures};
pub use blocks::{comparison, decision};
pub use gate::{Allowance, Gate, gate};
pub use interval::{CONFIDENCE, Interval, of_median};
pub use matrix::{Matrix, Outcome};

//! The machine that a run is made on, and why its figures can be believed: clock, harness, cores, processes.

pub mod clock;
pub mod contention;
pub mod harness;
pub mod host;
pub(crate) mod limits;
pub mod process;
pub mod sched_slice;

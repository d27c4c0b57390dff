//! What a run was made with and on: machine, programs, clock.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    /// CPU model.
    pub cpu: String,
    /// CPUs that this process may use; 0 where that is not known.
    pub cores: usize,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Kernel release.
    pub kernel: String,
}

/// Cores and their model. Not the memory, of which a kernel takes more or less for itself.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} × {}", self.cores, self.cpu)
    }
}

/// The program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Versions {
    /// The package `shasta`.
    pub shasta: String,
    /// The librdkafka that it was linked with.
    pub librdkafka: String,
    /// Git revision of the source tree; none outside of a checkout.
    pub git_revision: Option<String>,
    /// Whether the source tree had changes that are not committed.
    pub git_dirty: Option<bool>,
    /// Whether it was built with optimizations off or debug assertions on.
    pub debug_assertions: bool,
}

/// The clock of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClockProof {
    /// Which clock, and how it is anchored.
    pub source: String,
    /// Error bound of the anchor, in ns.
    pub error_ns: i64,
    /// How far the wall clock had moved against CLOCK_MONOTONIC at the end, in ns.
    pub drift_ns: i64,
    /// What reading it takes, in ns: the mean of 10,000 reads after the drain.
    pub read_ns: Option<f64>,
}

/// Whether the cores of this machine were kept from sleeping between two events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cores {
    /// They slept as the kernel saw fit.
    AsTheyAre,
    /// They did not sleep.
    KeptAwake,
    /// They should not have slept, and the kernel has no such device or did not allow it: why not.
    Refused(String),
}

/// Whose slices the tasks of a run had: those of the harness, of workers and of what a local cluster starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slices {
    /// The kernel's.
    Kernels,
    /// Those that the variant asks for.
    Ours,
    /// They should have been the variant's, but the kernel did not do it: why not.
    Refused(String),
}

//! What the harness cost, how late it ran, and what else the machine was doing.

use serde::{Deserialize, Serialize};

use super::{lenient, seconds};

/// The proof that a harness gives of itself, over the window.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Proof {
    /// What each process cost.
    #[serde(deserialize_with = "lenient::list")]
    pub costs: Vec<Cost>,
    /// How much a 1 ms sleep overslept.
    pub hiccup: Spread,
    /// The machine, second by second; in a manifest an array for each part of them.
    #[serde(with = "seconds")]
    pub seconds: Vec<Second>,
    /// What a row takes to become text, in ns: the mean of 10,000 after the drain.
    pub row_ns: Option<f64>,
}

impl Proof {
    /// Mean over the seconds of one of their parts; 0 where there are none.
    pub fn mean(&self, part: fn(&Second) -> f64) -> f64 {
        self.seconds.iter().map(part).sum::<f64>() / self.seconds.len().max(1) as f64
    }
}

/// What one process, or one group of threads, cost over the window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// "harness", "producers", "worker 0", "broker 1", "redis" …
    pub name: String,
    /// Mean CPU use, in cores.
    pub cpu_cores: f64,
    /// Largest resident set, in bytes; none for a group of threads.
    #[serde(default)]
    pub rss_bytes_max: Option<u64>,
    /// Most threads.
    #[serde(default)]
    pub threads_max: u64,
}

/// One second of the machine. A part that was not measured is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Second {
    /// Its end, µs of the Unix epoch.
    pub at_us: i64,
    /// CPU use of processes that are not part of the run, in cores.
    pub foreign_cores: f64,
    /// CPU time that the hypervisor gave to others, in cores.
    pub steal_cores: f64,
    /// Share of the second in which some task waited for a CPU (PSI), 0 to 1.
    pub cpu_pressure: f64,
    /// The longest that a 1 ms sleep overslept in it, in ms.
    pub hiccup_ms_max: f64,
    /// CPU time that a fixed piece of work took at its end, in µs: how fast a core is, which shares its units and its clock
    /// with others on the host without anything being stolen.
    pub work_us: f64,
    /// What the machine wrote to its disks, in MB: the kernel writes back what was written to files in bursts, and a virtual
    /// disk takes the cores' time for it.
    pub written_mb: f64,
}

/// Percentiles of a live histogram, in ms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spread {
    /// Median.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// 99.9th percentile.
    pub p999_ms: f64,
    /// 99.99th percentile.
    pub p9999_ms: f64,
    /// Largest.
    pub max_ms: f64,
}

/// What else a machine had to do before the run started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Before {
    /// Tasks of others that ran or wanted to: the mean over half a second.
    pub runnable_tasks: f64,
    /// CPU time that others used, in cores.
    pub other_cores: f64,
    /// The machine's cores.
    pub cores: f64,
}

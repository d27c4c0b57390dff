//! The manifest of a run, `results/<run>.json`: everything that a reader needs to trust, repeat or reject it.
//!
//! The harness writes it; `analyze`, campaigns and searches read it, also those of earlier versions and those that somebody
//! has changed. What a run is judged by must have its shape, or the manifest is refused: name, ledger, caveats, headline
//! latencies, window, variant, machine. All else is left out where it is missing or odd: `lenient`.

pub mod caveat;
pub mod conduct;
pub mod fault;
pub mod harness;
pub mod latency;
mod lenient;
pub mod machine;
pub mod read;
pub mod record;
mod seconds;
pub mod topic;
pub mod verification;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::{
    caveat::Caveat,
    conduct::Conduct,
    fault::Record,
    harness::{Before, Proof, Spread},
    latency::Tables,
    machine::{ClockProof, Host, Versions},
    record::{Refusal, SetAside, Undecodable},
    topic::Topic,
    verification::Verification,
};
use crate::{ledger::Ledger, slo::VerdictKind};

/// The version that is written. A reader reads all up to its own; a key that is added does not make a new one, a key whose
/// meaning changes does.
pub const SCHEMA_VERSION: u32 = 1;

/// The manifest. Times are µs of the Unix epoch unless named otherwise. What is `None` is not known.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the manifest; the first manifests do not say it.
    #[serde(default = "first")]
    pub schema_version: u32,
    /// Name of the run.
    pub run: String,
    /// Name of the file of rows, beside this one.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub rows_file: String,
    /// Name of the variant.
    #[serde(default)]
    pub variant_name: Option<String>,
    /// Whether it was ended before its time.
    #[serde(default)]
    pub interrupted: bool,
    /// The verdict, in words.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub verdict: String,
    /// The verdict, for programs.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    pub verdict_kind: Option<VerdictKind>,
    /// What bounds it: a busy machine, a late harness, events that came again.
    #[serde(default)]
    pub caveats: Vec<Caveat>,
    /// Planned events.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub planned: u64,
    /// Planned events that were not stored within 100 ms of their scheduled time.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub over_slo: u64,
    /// The ledger.
    pub ledger: Ledger,
    /// Percentiles.
    #[serde(default)]
    pub latencies: Tables,
    /// Start and end of the window.
    #[serde(default)]
    pub window_us: Option<[i64; 2]>,
    /// Start, RFC 3339.
    #[serde(default)]
    pub started: Option<String>,
    /// End, RFC 3339.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub ended: Option<String>,
    /// Seed of the schedule and the payload.
    #[serde(default)]
    pub seed: Option<u64>,
    /// What the run was made against: `local`, `containers`, `external`.
    #[serde(default)]
    pub substrate: Option<String>,
    /// How it was reached: `kafka` (`protocol`, `mechanism`, `ca_file`) and `redis` (`tls`, `user`); null without a cluster.
    #[serde(default)]
    pub security: Value,
    /// Start-up, group and clients.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub conduct: Conduct,
    /// How late the schedule itself ran.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub lateness: Spread,
    /// What the harness cost, and what else the machine did.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub harness: Proof,
    /// What else the machine did before the run started.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub machine_before: Option<Before>,
    /// The clock.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub clock: ClockProof,
    /// Faults that were injected, and ends that came from outside.
    #[serde(default, deserialize_with = "fault::records")]
    pub faults: Vec<Record>,
    /// What `--verify` has found, where it was asked for.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub verification: Option<Verification>,
    /// Records that could not be stored, the first 1,000.
    #[serde(default, deserialize_with = "lenient::list")]
    pub set_aside: Vec<SetAside>,
    /// Why events were not acked, the most frequent cause first.
    #[serde(default, deserialize_with = "lenient::list")]
    pub refusals: Vec<Refusal>,
    /// Batches of the topic that the workers could not decode and passed by, the first 1,000.
    #[serde(default, deserialize_with = "lenient::list")]
    pub undecodable: Vec<Undecodable>,
    /// Troubles, the first 1,000.
    #[serde(default, deserialize_with = "lenient::list")]
    pub warnings: Vec<String>,
    /// The resolved variant.
    #[serde(default)]
    pub variant: Map<String, Value>,
    /// What was changed of the variant of that name.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub overrides: Option<Map<String, Value>>,
    /// Properties of the producing and the consuming clients.
    #[serde(default)]
    pub clients: Value,
    /// Brokers, JVMs and Redis: settings and versions.
    #[serde(default)]
    pub cluster: Value,
    /// The topic as described: leaders, replicas and in-sync replicas.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub topic: Option<Topic>,
    /// Command line, without secrets.
    #[serde(default, deserialize_with = "lenient::list")]
    pub command_line: Vec<String>,
    /// Programs.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub versions: Versions,
    /// Machine.
    #[serde(default)]
    pub host: Host,
}

impl Manifest {
    /// Length of the window in s.
    pub fn window_s(&self) -> Option<f64> {
        self.window_us.map(|[start_us, end_us]| end_us.saturating_sub(start_us) as f64 / 1e6)
    }
}

fn first() -> u32 {
    1
}

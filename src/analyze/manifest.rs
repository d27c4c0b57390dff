//! What a run says about itself: `results/<run>.json`, beside its rows.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Map;

use crate::cause::{Events, events::is_window};
use shasta_model::ledger::Ledger;
use shasta_model::{
    overrides::{Settings, flat},
    percentile::Value,
};

/// Why a manifest cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is there and cannot be read.
    #[error("{}: {source}; make it readable, or move it away to analyze the rows without it", path.display())]
    Unreadable {
        /// The manifest.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not a manifest.
    #[error("{}: not a manifest of a run ({source}); restore it, or move it away to analyze the rows without it", path.display())]
    Malformed {
        /// The manifest.
        path: PathBuf,
        /// What is wrong, with line and column.
        source: serde_json::Error,
    },
    /// It is larger than a manifest can be.
    #[error("{}: has more than {} MiB, and no manifest of a run has; move it away to analyze the rows without it", path.display(), BYTES_MAX >> 20)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Parts of one run are of two.
    #[error("{}: has another variant than {}, so they are parts of two runs; rename one of them", path.display(), first.display())]
    OtherSettings {
        /// The manifest.
        path: PathBuf,
        /// The one before it.
        first: PathBuf,
    },
}

/// A second of a run takes some 250 bytes, and a manifest is read into memory whole: enough for a run of ten days.
const BYTES_MAX: u64 = 256 << 20;

/// The part of a manifest that `analyze` judges by. What an old or foreign manifest lacks is told as not known.
#[derive(Debug, Clone, Deserialize)]
pub struct Manifest {
    /// Name of the run.
    pub run: String,
    /// Name of the variant that it ran.
    #[serde(default)]
    pub variant_name: Option<String>,
    /// Whether it was stopped before its end.
    #[serde(default)]
    pub interrupted: bool,
    /// What happened to every planned event.
    pub ledger: Ledger,
    /// What bounds the verdict, as the run found it.
    #[serde(default)]
    pub caveats: Vec<Caveat>,
    /// The run's own percentiles, for when its rows are not at hand.
    #[serde(default)]
    pub latencies: Latencies,
    /// Start and end of the window, in µs.
    #[serde(default)]
    pub window_us: Option<[i64; 2]>,
    /// When it started, RFC 3339.
    #[serde(default)]
    pub started: Option<String>,
    /// Seed of its schedule.
    #[serde(default)]
    pub seed: Option<u64>,
    /// What it ran against: `local`, `containers`, `external`.
    #[serde(default)]
    pub substrate: Option<String>,
    /// Settings of that; of containers also whether images were stand-ins.
    #[serde(default)]
    pub cluster: serde_json::Value,
    /// Security of the connections to Kafka and Redis; older manifests have none.
    #[serde(default)]
    pub security: serde_json::Value,
    /// The resolved variant.
    #[serde(default)]
    pub variant: Variant,
    /// What the command line changed of the variant; older manifests have only the command line.
    #[serde(default)]
    pub overrides: serde_json::Value,
    /// The command line.
    #[serde(default)]
    pub command_line: serde_json::Value,
    /// Versions of the harness.
    #[serde(default)]
    pub versions: serde_json::Value,
    /// The machine.
    #[serde(default)]
    pub host: Host,
    /// Faults, rebalances, leaders, and the machine second by second.
    #[serde(flatten)]
    pub events: Events,
    /// Where it lies.
    #[serde(skip)]
    pub directory: PathBuf,
}

/// A resolved variant.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Variant {
    /// The parts that are shown.
    pub shown: Shown,
    /// All settings that make it the experiment that it is; none where the manifest does not say.
    pub settings: Settings,
}

impl<'de> Deserialize<'de> for Variant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let settings = Map::deserialize(deserializer)?;
        let flat = flat(&settings);
        let shown = Shown::deserialize(serde_json::Value::Object(settings)).map_err(D::Error::custom)?;
        Ok(Self { shown, settings: flat })
    }
}

/// What stands beside the verdict: a busy machine, a late harness, events that came again.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Caveat {
    /// A sentence without its full stop.
    pub text: String,
}

/// The parts of a resolved variant that are shown.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "named as in the variant's file")]
pub struct Shown {
    pub question: String,
    pub published: Option<String>,
    pub connections: f64,
    pub rate: f64,
    pub workers: u64,
    pub partitions: u64,
    pub instances: u64,
    pub duration: String,
}

/// The parts of the machine's description that are shown.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "named as in the manifest")]
pub struct Host {
    pub cpu: String,
    pub cores: u64,
    pub memory_bytes: u64,
}

/// Percentiles as the run recorded them.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Latencies {
    /// The three headline latencies.
    #[serde(default)]
    pub headlines: Vec<Line>,
}

/// One latency as the run recorded it.
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "as in the run's own table")]
pub struct Line {
    pub name: String,
    pub n: u64,
    /// Events that lack one of the two stamps.
    #[serde(default)]
    pub missing: Option<u64>,
    pub over_slo: u64,
    /// Mean, standard deviation and minimum of the others; earlier manifests have none.
    #[serde(default)]
    pub mean_ms: Option<f64>,
    #[serde(default)]
    pub sd_ms: Option<f64>,
    #[serde(default)]
    pub min_ms: Option<f64>,
    pub percentiles: Vec<Point>,
    pub max_ms: Ms,
}

/// One percentile as the run recorded it.
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "as in the run's own table")]
pub struct Point {
    pub percentile: f64,
    pub ms: Ms,
    pub samples_past: u64,
}

/// Milliseconds; text says that the event had not arrived, null that there was none.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Ms {
    /// A number.
    Finite(f64),
    /// `> drain`.
    Words(String),
    /// No events.
    None(()),
}

impl From<&Ms> for Value {
    fn from(ms: &Ms) -> Self {
        match ms {
            Ms::Finite(ms) => Value::Finite(*ms),
            Ms::Words(_) => Value::PastDrain,
            Ms::None(()) => Value::Empty,
        }
    }
}

impl Manifest {
    /// What it ran against, for people.
    pub fn substrate(&self) -> Option<String> {
        let stand_ins = if self.cluster["stand_ins"] == true { " (stand-in images)" } else { "" };
        self.substrate.as_ref().map(|substrate| format!("{substrate}{stand_ins}"))
    }

    /// The manifest of a run: its own, or its parts' put together, each host having counted what it saw. None when there
    /// is none.
    ///
    /// # Errors
    /// One cannot be read, or they are not of one run.
    pub fn of(run: &str, paths: &[PathBuf]) -> Result<Option<Self>, Error> {
        let whole = paths.iter().find(|path| path.file_stem().is_some_and(|stem| stem.to_str() == Some(run)));
        if let Some(path) = whole {
            return Self::read(path).map(Some);
        }
        let mut parts = paths.iter().map(|path| Ok::<_, Error>((path, Self::read(path)?)));
        let Some(first) = parts.next() else { return Ok(None) };
        let (first_path, mut sum) = first?;
        for part in parts {
            let (path, part) = part?;
            if (&part.variant_name, &part.variant) != (&sum.variant_name, &sum.variant) {
                return Err(Error::OtherSettings { path: path.clone(), first: first_path.clone() });
            }
            sum.ledger.add(part.ledger);
            sum.interrupted |= part.interrupted;
            sum.widen(part.events.window_us);
            sum.caveats.extend(part.caveats);
            sum.latencies = Latencies::default();
        }
        Ok(Some(sum))
    }

    /// Takes in the window of another part, which may have begun at another time.
    fn widen(&mut self, other: Option<[i64; 2]>) {
        let both = self.events.window_us.zip(other);
        self.events.window_us = both.map(|(own, other)| [own[0].min(other[0]), own[1].max(other[1])]);
    }

    fn read(path: &Path) -> Result<Self, Error> {
        let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
        let mut text = Vec::new();
        File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut text)).map_err(unreadable)?;
        if text.len() as u64 > BYTES_MAX {
            return Err(Error::TooLarge { path: path.to_owned() });
        }
        let malformed = |source| Error::Malformed { path: path.to_owned(), source };
        let mut manifest: Self = serde_json::from_slice(&text).map_err(malformed)?;
        // What is flattened sees only fields that no other has taken.
        manifest.events.window_us = manifest.window_us.filter(is_window);
        manifest.directory = path.parent().map(Path::to_owned).unwrap_or_default();
        Ok(manifest)
    }
}

//! What a run says about itself: `results/<run>.json`, beside its rows.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Map;

use crate::cause::Events;
use shasta_model::{
    manifest::{self as recorded, latency::Tables, read::ReadError},
    overrides::{Settings, flat},
};

/// Why a manifest cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not to be read, or not understood.
    #[error("{cause}; {}", advice(cause))]
    Read {
        /// The manifest, and why.
        #[from]
        cause: ReadError,
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

fn advice(error: &ReadError) -> &'static str {
    match error {
        ReadError::Unreadable { .. } => "make it readable, or move it away to analyze the rows without it",
        ReadError::Malformed { .. } => "restore it, or move it away to analyze the rows without it",
        ReadError::TooLarge { .. } => "move it away to analyze the rows without it",
        ReadError::Newer { .. } => "use a newer analyze",
    }
}

/// A manifest as `analyze` judges by it.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// As the run recorded it. What an old or foreign manifest lacks is told as not known.
    pub recorded: recorded::Manifest,
    /// The resolved variant.
    pub variant: Variant,
    /// Faults, rebalances, leaders, and the machine second by second.
    pub events: Events,
    /// Where it lies.
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

impl Variant {
    fn of(settings: &Map<String, serde_json::Value>) -> serde_json::Result<Self> {
        let shown = Shown::deserialize(&serde_json::Value::Object(settings.clone()))?;
        Ok(Self { shown, settings: flat(settings) })
    }
}

impl Manifest {
    /// Of what was recorded, in a directory.
    ///
    /// # Errors
    /// The variant has another shape than that of a variant.
    pub fn new(recorded: recorded::Manifest, directory: PathBuf) -> serde_json::Result<Self> {
        let (variant, events) = (Variant::of(&recorded.variant)?, Events::of(&recorded));
        Ok(Self { recorded, variant, events, directory })
    }

    /// What it ran against, for people.
    pub fn substrate(&self) -> Option<String> {
        let stand_ins = if self.recorded.cluster["stand_ins"] == true { " (stand-in images)" } else { "" };
        self.recorded.substrate.as_ref().map(|substrate| format!("{substrate}{stand_ins}"))
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
            if (&part.recorded.variant_name, &part.variant) != (&sum.recorded.variant_name, &sum.variant) {
                return Err(Error::OtherSettings { path: path.clone(), first: first_path.clone() });
            }
            sum.take_in(part);
        }
        Ok(Some(sum))
    }

    /// Takes in what another host counted, whose window may have begun at another time.
    fn take_in(&mut self, part: Self) {
        let own = &mut self.recorded;
        own.ledger.add(part.recorded.ledger);
        own.interrupted |= part.recorded.interrupted;
        own.caveats.extend(part.recorded.caveats);
        own.latencies = Tables::default();
        let both = self.events.window_us.zip(part.events.window_us);
        self.events.window_us = both.map(|(own, other)| [own[0].min(other[0]), own[1].max(other[1])]);
    }

    fn read(path: &Path) -> Result<Self, Error> {
        let recorded = recorded::Manifest::read(path)?;
        let directory = path.parent().map(Path::to_owned).unwrap_or_default();
        Self::new(recorded, directory).map_err(|source| ReadError::Malformed { path: path.to_owned(), source }.into())
    }
}

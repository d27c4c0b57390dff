//! What a run says about itself: `results/<run>.json`, beside its rows.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

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
}

/// The part of a manifest that `analyze` judges by.
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
}

impl Manifest {
    /// The manifest beside a run's rows, if there is one.
    pub fn beside(rows: &Path) -> Result<Option<Self>, Error> {
        let path = rows.with_extension("json");
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Unreadable { path, source }),
            Ok(text) => text,
        };
        serde_json::from_str(&text).map(Some).map_err(|source| Error::Malformed { path, source })
    }
}

/// Counts over distinct planned events, each made on its own by the run, none by subtraction.
#[derive(Debug, Clone, Default, Deserialize)]
#[expect(missing_docs, reason = "the sums in `broken_sums` say what each count is")]
pub struct Ledger {
    pub planned: u64,
    pub sent: u64,
    pub unsent: u64,
    pub acked: u64,
    /// Proven unwritten.
    pub failed: u64,
    pub maybe: u64,
    pub acked_consumed: u64,
    pub lost: u64,
    pub maybe_consumed: u64,
    pub maybe_unseen: u64,
    pub consumed: u64,
    pub stored: u64,
    pub set_aside: u64,
    pub unstored: u64,
    pub rows: u64,
    pub duplicates: u64,
    pub foreign: u64,
    pub warm: u64,
    pub zero: u64,
    pub negative: u64,
    pub late: u64,
    /// The run's own judgement.
    pub valid: bool,
    /// Why it is not valid, in words.
    #[serde(default)]
    pub problems: Vec<String>,
}

/// A count with its name.
pub type Named = (&'static str, u64);

impl Ledger {
    /// The sums that must hold: a count, and the counts that it is made of.
    pub fn sums(&self) -> [(Named, Vec<Named>); 7] {
        let consumed = ("consumed", self.consumed);
        let [acked_consumed, maybe_consumed] =
            [("acked_consumed", self.acked_consumed), ("maybe_consumed", self.maybe_consumed)];
        [
            (("planned", self.planned), vec![("sent", self.sent), ("unsent", self.unsent)]),
            (("sent", self.sent), vec![("acked", self.acked), ("failed", self.failed), ("maybe", self.maybe)]),
            (("acked", self.acked), vec![acked_consumed, ("lost", self.lost)]),
            (("maybe", self.maybe), vec![maybe_consumed, ("maybe_unseen", self.maybe_unseen)]),
            (consumed, vec![acked_consumed, maybe_consumed]),
            (consumed, vec![("stored", self.stored), ("set_aside", self.set_aside), ("unstored", self.unstored)]),
            (("rows", self.rows), vec![("planned", self.planned)]),
        ]
    }

    /// What was counted beside the planned events.
    pub fn apart(&self) -> [Named; 6] {
        [
            ("duplicates", self.duplicates),
            ("foreign", self.foreign),
            ("warm", self.warm),
            ("zero", self.zero),
            ("negative", self.negative),
            ("late", self.late),
        ]
    }

    /// The sums that do not hold, in words.
    pub fn broken_sums(&self) -> Vec<String> {
        let total = |parts: &[Named]| parts.iter().map(|part| u128::from(part.1)).sum::<u128>();
        let broken = self.sums().into_iter().filter(|(whole, parts)| u128::from(whole.1) != total(parts));
        broken
            .map(|((name, whole), parts)| {
                let names: Vec<&str> = parts.iter().map(|part| part.0).collect();
                format!("{name} is {whole}, but {} is {}", names.join(" + "), total(&parts))
            })
            .collect()
    }
}

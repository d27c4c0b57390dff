//! One recorded run: its rows and its manifest, held against each other.

use std::path::{Path, PathBuf};

use crate::{
    columns::{AFTER_CONSUME_US, AFTER_STORE_US, BEFORE_PUBLISH_US},
    input::{self, Rows},
    manifest::{self, Manifest},
    slo::Verdict,
};

/// Why a run cannot be analyzed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its rows cannot be read.
    #[error(transparent)]
    Rows(#[from] input::Error),
    /// Its manifest cannot be read.
    #[error(transparent)]
    Manifest(#[from] manifest::Error),
}

/// A recorded run.
#[derive(Debug)]
pub struct Run {
    /// The file's name without its ending.
    pub name: String,
    /// The file of its rows.
    pub path: PathBuf,
    /// Its rows.
    pub rows: Rows,
    /// What it says about itself; a killed run says nothing.
    pub manifest: Option<Manifest>,
    /// What makes the run INVALID, in words: its own problems, sums that do not hold, and rows that its ledger denies.
    pub problems: Vec<String>,
}

impl Run {
    /// Reads the rows at `path` and the manifest beside them.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let rows = Rows::read(path)?;
        let manifest = Manifest::beside(path)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let problems = problems(&rows, manifest.as_ref());
        Ok(Self { name, path: path.to_owned(), rows, manifest, problems })
    }

    /// Planned events: by the ledger, else as many as there are rows.
    pub fn planned(&self) -> u64 {
        self.manifest.as_ref().map_or(self.rows.len(), |manifest| manifest.ledger.planned)
    }

    /// The verdict, when `over` of the planned events were not stored in time.
    pub fn verdict(&self, over: u64) -> Verdict {
        let alone = Verdict::new(self.planned(), over, None);
        let unfit = match &self.manifest {
            _ if !self.problems.is_empty() => Some("INVALID".to_owned()),
            Some(manifest) if manifest.interrupted => Some("interrupted".to_owned()),
            _ if self.rows.cut_off => Some("the rows end within a line".to_owned()),
            None => Some(format!(
                "no manifest, so nothing says that these rows are all that was planned (taken alone: {alone})"
            )),
            Some(_) => None,
        };
        Verdict::new(self.planned(), over, unfit.as_deref())
    }
}

fn problems(rows: &Rows, manifest: Option<&Manifest>) -> Vec<String> {
    let mut problems = Vec::new();
    let repeated = rows.repeated();
    if repeated > 0 {
        problems.push(format!("{repeated} rows repeat the event (source, producer, sequence) of another"));
    }
    let Some(Manifest { ledger, .. }) = manifest else { return problems };
    problems.extend(ledger.problems.iter().cloned());
    problems.extend(ledger.broken_sums());
    for (name, claimed, counted) in [
        ("rows", ledger.rows, rows.len()),
        ("sent", ledger.sent, rows.count(BEFORE_PUBLISH_US)),
        ("consumed", ledger.consumed, rows.count(AFTER_CONSUME_US)),
        ("stored", ledger.stored, rows.count(AFTER_STORE_US)),
    ] {
        if claimed != counted {
            problems.push(format!("the ledger says {name} {claimed}, the rows say {counted}"));
        }
    }
    if !ledger.valid && problems.is_empty() {
        problems.push("its ledger says so, without a reason".to_owned());
    }
    problems
}

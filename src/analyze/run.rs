//! One recorded run: its rows and its manifest, held against each other.

use std::path::{Path, PathBuf};

use crate::{
    columns::{AFTER_CONSUME_US, AFTER_STORE_US, BEFORE_PUBLISH_US},
    input,
    manifest::{self, Manifest},
    rows::Rows,
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
        let rows = input::read(path)?;
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{columns::COLUMNS, pairs::tests::SMALL, report};

    const LEDGER: &str = r#"{"planned":8,"sent":7,"unsent":1,"acked":7,"failed":0,"maybe":0,"acked_consumed":7,"lost":0,
        "maybe_consumed":0,"maybe_unseen":0,"consumed":7,"stored":7,"set_aside":0,"unstored":0,"rows":8,"duplicates":0,
        "foreign":0,"warm":0,"zero":0,"negative":0,"late":0,"valid":true,"problems":[]}"#;

    fn load(rows: &str, manifest: Option<&str>) -> Result<Run, Error> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("small.csv");
        fs::write(&path, format!("{}\n{rows}", COLUMNS.join(","))).unwrap();
        if let Some(manifest) = manifest {
            fs::write(path.with_extension("json"), manifest).unwrap();
        }
        Run::load(&path)
    }

    fn with_ledger(ledger: &str, interrupted: bool) -> Run {
        let manifest =
            format!(r#"{{"run":"small","variant_name":"laptop","interrupted":{interrupted},"ledger":{ledger}}}"#);
        load(SMALL, Some(&manifest)).unwrap()
    }

    #[test]
    fn a_sound_run_is_judged() {
        let run = with_ledger(LEDGER, false);
        assert_eq!(run.verdict(2), Verdict::NotResolvable);
        let report = report::of(&run);
        assert!(report.contains("The ledger balances") && !report.contains("INVALID"), "{report}");
        assert!(report.contains("3 of 8 planned"), "the unsent event is over the SLO, too: {report}");
        assert!(report.contains("| Metric | Median | Mean | StdDev | Max | Min |\n"), "{report}");
    }

    #[test]
    fn an_interrupted_run_has_no_verdict() {
        let run = with_ledger(LEDGER, true);
        assert_eq!(run.verdict(0), Verdict::None("interrupted".to_owned()));
        assert!(report::of(&run).contains("**interrupted**"));
    }

    #[test]
    fn rows_without_a_manifest_are_analyzed_and_labelled() {
        let report = report::of(&load(SMALL, None).unwrap());
        assert!(report.contains("**no manifest**") && report.contains("no verdict: no manifest"), "{report}");
    }

    #[test]
    fn invalid_is_said_with_each_reason() {
        let run = with_ledger(&LEDGER.replace(r#""lost":0"#, r#""lost":1"#), false);
        assert_eq!(run.problems, ["acked is 7, but acked_consumed + lost is 8"]);
        let run = with_ledger(&LEDGER.replace(r#""stored":7"#, r#""stored":6"#), false);
        assert!(run.problems.contains(&"the ledger says stored 6, the rows say 7".to_owned()), "{:?}", run.problems);
        let run =
            with_ledger(&LEDGER.replace(r#""problems":[]"#, r#""problems":["a failed event was consumed"]"#), false);
        assert!(report::of(&run).contains("**INVALID**: a failed event was consumed"));
        assert_eq!(run.verdict(0), Verdict::None("INVALID".to_owned()));
        let run = with_ledger(&LEDGER.replace("true", "false"), false);
        assert_eq!(run.problems.len(), 1);
    }

    #[test]
    fn a_manifest_that_is_none_is_told() {
        let error = load(SMALL, Some(r#"{"run":"small","ledger":{"planned":8}}"#)).unwrap_err().to_string();
        assert!(error.contains("small.json") && error.contains("missing field `sent`"), "{error}");
    }
}

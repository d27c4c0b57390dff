//! What has been made of a campaign: each run with its seed, and whether it counts. Saved after each run, so that a
//! campaign that was ended, or whose machine was, goes on where it stopped.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Campaign, CampaignError, order::Slot, validity::Validity};

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It counts.
    Counts,
    /// It was measured, and does not count, for this reason.
    Invalid(String),
    /// It came to nothing, for this reason.
    Failed(String),
    /// It was ended by the user, and will be made again.
    Interrupted,
}

/// One run that was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Name of the variant.
    pub variant: String,
    /// Which of its runs, from 0.
    pub repetition: u32,
    /// Seed of the run.
    pub seed: u64,
    /// Name of the run, which its files carry; a failed one has none.
    pub run: Option<String>,
    /// What came of it.
    pub state: State,
    /// Planned events.
    pub planned: u64,
    /// Planned events that were not stored in time.
    pub over_slo: u64,
    /// p99.99 of scheduled → stored, in ms; none where that is past the drain, or nothing was measured.
    pub p9999_ms: Option<f64>,
}

/// The book of a campaign, `<out>/campaigns/<name>.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Book {
    /// What was asked.
    pub question: String,
    /// What was expected.
    pub expectation: String,
    /// The endpoint that decides.
    pub primary: String,
    /// Which runs count.
    pub valid: Validity,
    /// Seed of the order.
    pub seed: u64,
    /// The variants and their settings, resolved, as TOML.
    pub variants: Vec<(String, String)>,
    /// The runs, in the order in which they were made.
    pub entries: Vec<Entry>,
}

impl Book {
    /// Where a campaign's book is.
    pub fn path(campaign: &Campaign, out: &Path) -> PathBuf {
        out.join("campaigns").join(format!("{}.json", campaign.name))
    }

    fn new(campaign: &Campaign) -> Self {
        Self {
            question: campaign.question.clone(),
            expectation: campaign.expectation.clone(),
            primary: super::file::PRIMARY.to_owned(),
            valid: campaign.valid.clone(),
            seed: campaign.seed,
            variants: campaign.arms.iter().map(|(name, variant)| (name.clone(), variant.to_toml())).collect(),
            entries: Vec::new(),
        }
    }

    /// Opens the book of a campaign, or begins it.
    ///
    /// # Errors
    /// When it cannot be read, is no book, or what decides the campaign has changed since it was begun.
    pub fn open(campaign: &Campaign, out: &Path) -> Result<Self, CampaignError> {
        let (path, new) = (Self::path(campaign, out), Self::new(campaign));
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(new),
            text => text.map_err(|source| CampaignError::File { path: path.clone(), source })?,
        };
        let old: Self = serde_json::from_str(&text).map_err(|error| CampaignError::Syntax {
            path: path.clone(),
            line: error.line(),
            message: format!("not the book of a campaign: {error}"),
        })?;
        match old.differs(&new) {
            Some(what) => Err(CampaignError::Changed { path, what }),
            None => Ok(old),
        }
    }

    /// What decides the campaign and is not as it was when the book was begun.
    fn differs(&self, new: &Self) -> Option<String> {
        let other = |what: &str| Some(format!("another {what}"));
        if (&self.question, &self.expectation) != (&new.question, &new.expectation) {
            return other("question or expectation");
        }
        if (&self.primary, self.seed) != (&new.primary, new.seed) {
            return other("primary endpoint or seed");
        }
        if self.valid != new.valid {
            return other("[valid]");
        }
        let names = |book: &Self| book.variants.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        if names(self) != names(new) {
            return Some(format!("the variants {}", names(self).join(", ")));
        }
        let changed = self.variants.iter().zip(&new.variants).find(|(old, new)| old.1 != new.1)?;
        let lines = |toml: &str| toml.lines().map(str::to_owned).collect::<Vec<_>>();
        let (old, new) = (lines(&changed.0.1), lines(&changed.1.1));
        let line = old.iter().find(|line| !new.contains(line)).or_else(|| new.iter().find(|line| !old.contains(line)));
        Some(format!("other settings of `{}` ({})", changed.0.0, line.map_or("", String::as_str)))
    }

    /// Whether a run need not be made any more.
    pub fn has(&self, campaign: &Campaign, slot: &Slot) -> bool {
        let (name, _) = &campaign.arms[slot.arm];
        let made = |entry: &&Entry| entry.variant == *name && entry.repetition == slot.repetition;
        self.entries.iter().filter(made).any(|entry| entry.state != State::Interrupted)
    }

    /// Adds a run and saves the book: whole, or as it was.
    ///
    /// # Errors
    /// Those of writing.
    pub fn add(&mut self, entry: Entry, path: &Path) -> Result<(), CampaignError> {
        self.entries.push(entry);
        let failed = |source| CampaignError::File { path: path.into(), source };
        let directory = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(directory).map_err(failed)?;
        let mut file = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
        serde_json::to_writer_pretty(&mut file, self).map_err(|error| failed(error.into()))?;
        let readable_by_all = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        file.as_file().set_permissions(readable_by_all).map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variant::{Layer, Variant};

    fn campaign() -> Campaign {
        let arm = |name: &str| Variant::load(name, &Layer::default()).unwrap();
        Campaign {
            path: "tail.toml".into(),
            name: "tail".to_owned(),
            question: "What?".to_owned(),
            expectation: "That.".to_owned(),
            runs: 4,
            seed: 7,
            limit: "1h".parse().unwrap(),
            valid: Validity::default(),
            arms: vec![arm("laptop"), arm("goal")],
        }
    }

    fn entry(variant: &str, repetition: u32, state: State) -> Entry {
        let run = Some(format!("tail-{variant}-{repetition}"));
        Entry {
            variant: variant.to_owned(),
            repetition,
            seed: 3,
            run,
            state,
            planned: 9,
            over_slo: 0,
            p9999_ms: Some(1.5),
        }
    }

    #[test]
    fn a_book_is_taken_up_again() {
        let (out, campaign) = (tempfile::tempdir().unwrap(), campaign());
        let path = Book::path(&campaign, out.path());
        let mut book = Book::open(&campaign, out.path()).unwrap();
        let slot = |arm, repetition| Slot { arm, repetition, seed: 3 };
        assert!(!book.has(&campaign, &slot(0, 0)));
        book.add(entry("laptop", 0, State::Counts), &path).unwrap();
        book.add(entry("goal", 0, State::Interrupted), &path).unwrap();
        book.add(entry("laptop", 1, State::Failed("no disk".to_owned())), &path).unwrap();
        let again = Book::open(&campaign, out.path()).unwrap();
        assert_eq!(again, book);
        let made =
            [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(arm, repetition)| again.has(&campaign, &slot(arm, repetition)));
        assert_eq!(made, [true, false, true, false], "an interrupted run is made again, a failed one is not");
        let more = Campaign { runs: 9, limit: "9h".parse().unwrap(), ..campaign };
        assert!(Book::open(&more, out.path()).is_ok(), "more runs may be asked for");
    }

    #[test]
    fn what_decides_a_campaign_may_not_change_within_it() {
        let (out, campaign) = (tempfile::tempdir().unwrap(), campaign());
        let path = Book::path(&campaign, out.path());
        Book::open(&campaign, out.path()).unwrap().add(entry("laptop", 0, State::Counts), &path).unwrap();
        let changed = |change: &dyn Fn(&mut Campaign)| {
            let mut other = campaign.clone();
            change(&mut other);
            Book::open(&other, out.path()).unwrap_err().to_string()
        };
        assert!(changed(&|c| c.expectation.push('!')).contains("begun with another question or expectation"));
        assert!(changed(&|c| c.seed = 8).contains("another primary endpoint or seed"));
        assert!(changed(&|c| c.valid.rebalances_max = 3).contains("another [valid]"));
        assert!(changed(&|c| drop(c.arms.pop())).contains("begun with the variants laptop, goal"));
        let error = changed(&|c| c.arms[1].1.partitions = 256);
        assert!(error.contains("begun with other settings of `goal` (partitions = 24)"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_book_is_left_alone() {
        let (out, campaign) = (tempfile::tempdir().unwrap(), campaign());
        let path = Book::path(&campaign, out.path());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "{\n\"a\": 1}").unwrap();
        let error = Book::open(&campaign, out.path()).unwrap_err().to_string();
        assert!(error.contains("tail.json:2: not the book of a campaign"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\n\"a\": 1}");
    }
}

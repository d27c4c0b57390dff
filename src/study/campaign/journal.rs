//! What has been made of a campaign: each run with its seed, and whether it counts. Saved after each run, so that a
//! campaign that was ended, or whose machine was, goes on where it stopped.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Campaign, CampaignError, run_order::Slot, validity::Validity};
use shasta_model::atomic_file;

/// So many runs are made of one that does not count, all with its seed.
pub const TRIES_MAX: usize = 3;

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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Name of the arm.
    pub arm: String,
    /// Which of its runs, from 0.
    pub repetition: u32,
    /// Seed of the run.
    pub seed: u64,
    /// Name of the run, which its files carry; a failed one has none.
    pub run: Option<String>,
    /// What came of it.
    pub state: State,
}

/// An arm, as it was when the journal was begun.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Begun {
    /// Its name.
    pub name: String,
    /// What was expected of it.
    pub expect: String,
    /// Its settings, resolved, as TOML.
    pub settings: String,
}

/// The journal of a campaign, `<out>/campaigns/<name>.json`. Its runs are in `<out>/campaigns/<name>/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Journal {
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
    /// The arms.
    pub arms: Vec<Begun>,
    /// The runs, in the order in which they were made.
    pub entries: Vec<Entry>,
}

impl Journal {
    /// Where a campaign's journal is.
    pub fn path(campaign: &Campaign, out: &Path) -> PathBuf {
        out.join("campaigns").join(format!("{}.json", campaign.name))
    }

    /// Where the runs of a campaign are.
    pub fn directory(campaign: &Campaign, out: &Path) -> PathBuf {
        out.join("campaigns").join(&campaign.name)
    }

    fn new(campaign: &Campaign) -> Self {
        Self {
            question: campaign.question.clone(),
            expectation: campaign.expectation.clone(),
            primary: super::file::PRIMARY.to_owned(),
            valid: campaign.valid.clone(),
            seed: campaign.seed,
            arms: campaign.arms.iter().map(Begun::of).collect(),
            entries: Vec::new(),
        }
    }

    /// Opens the journal of a campaign, or begins it.
    ///
    /// # Errors
    /// When it cannot be read, is no journal, or what decides the campaign has changed since it was begun.
    pub fn open(campaign: &Campaign, out: &Path) -> Result<Self, CampaignError> {
        let new = Self::new(campaign);
        let old = match Self::read(campaign, out) {
            Err(CampaignError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(new),
            read => read?,
        };
        match old.differs(&new) {
            Some(what) => Err(CampaignError::Changed { path: Self::path(campaign, out), what }),
            None => Ok(old),
        }
    }

    /// Reads the journal of a campaign that was begun, whatever its file says by now.
    ///
    /// # Errors
    /// There is none, or it is no journal.
    pub fn read(campaign: &Campaign, out: &Path) -> Result<Self, CampaignError> {
        let path = Self::path(campaign, out);
        let text = fs::read_to_string(&path).map_err(|source| CampaignError::File { path: path.clone(), source })?;
        serde_json::from_str(&text).map_err(|error| CampaignError::Syntax {
            path,
            line: error.line(),
            message: format!("not the journal of a campaign: {error}"),
        })
    }

    /// What decides the campaign and is not as it was when the journal was begun.
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
        let names = |journal: &Self| journal.arms.iter().map(|arm| arm.name.clone()).collect::<Vec<_>>();
        if names(self) != names(new) {
            return Some(format!("the arms {}", names(self).join(", ")));
        }
        let (old, new) = self.arms.iter().zip(&new.arms).find(|(old, new)| old != new)?;
        if old.expect != new.expect {
            return Some(format!("another expectation of `{}`", old.name));
        }
        let lines = |arm: &Begun| arm.settings.lines().map(str::to_owned).collect::<Vec<_>>();
        let (before, after) = (lines(old), lines(new));
        let gone = before.iter().find(|line| !after.contains(line));
        let line = gone.or_else(|| after.iter().find(|line| !before.contains(line)));
        Some(format!("other settings of `{}` ({})", old.name, line.map_or("", String::as_str)))
    }

    /// Whether a run need not be made any more: it counts, or did not in [`TRIES_MAX`] tries. One that came to nothing is
    /// no try; it is made again when the campaign is taken up again. All of them stay in the journal.
    pub fn has(&self, campaign: &Campaign, slot: &Slot) -> bool {
        let arm = &campaign.arms[slot.arm].name;
        self.counts(arm, slot.repetition) || self.tries(campaign, slot) >= TRIES_MAX
    }

    /// How often a run was measured, and did not count.
    pub fn tries(&self, campaign: &Campaign, slot: &Slot) -> usize {
        let made = self.made(&campaign.arms[slot.arm].name, slot.repetition);
        made.filter(|state| matches!(state, State::Invalid(_))).count()
    }

    /// What no run counts of when a campaign has ended, in words: arms with their repetitions, from 1. None when all do.
    pub fn without(&self, campaign: &Campaign) -> Option<String> {
        let mut arms = Vec::new();
        for arm in campaign.arms.iter().map(|arm| &arm.name) {
            let missing = (0..campaign.runs).filter(|repetition| !self.counts(arm, *repetition));
            let missing: Vec<_> = missing.map(|repetition| (repetition + 1).to_string()).collect();
            if !missing.is_empty() {
                arms.push(format!("{arm} {}", missing.join(", ")));
            }
        }
        let arms = (!arms.is_empty()).then(|| arms.join("; "))?;
        let tries = format!("at most {TRIES_MAX} tries, within `limit`");
        Some(format!("no run counts of {arms}; the table has each with its cause ({tries})"))
    }

    fn counts(&self, arm: &str, repetition: u32) -> bool {
        self.made(arm, repetition).any(|state| *state == State::Counts)
    }

    fn made(&self, arm: &str, repetition: u32) -> impl Iterator<Item = &State> {
        let made = self.entries.iter().filter(move |entry| entry.arm == arm && entry.repetition == repetition);
        made.map(|entry| &entry.state)
    }

    /// Adds a run and saves the journal: whole, or as it was.
    ///
    /// # Errors
    /// Those of writing.
    pub fn add(&mut self, entry: Entry, path: &Path) -> Result<(), CampaignError> {
        self.entries.push(entry);
        let failed = |source| CampaignError::File { path: path.into(), source };
        let line = atomic_file::json_line(self).map_err(failed)?;
        atomic_file::write(path, &line).map_err(|error| failed(error.into()))
    }
}

impl Begun {
    fn of(arm: &super::Arm) -> Self {
        Self { name: arm.name.clone(), expect: arm.expect.clone(), settings: arm.variant.to_toml() }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        study::campaign::{Arm, file::Keep},
        variant::{Layer, Variant},
    };

    pub(in crate::study::campaign) fn campaign(limit: &str, runs: u32) -> Campaign {
        let arm = |name: &str| {
            let (name, variant) = Variant::load(name, &Layer::default()).unwrap();
            Arm { name, variant, expect: "Little.".to_owned(), found: String::new() }
        };
        Campaign {
            path: "tail.toml".into(),
            name: "tail".to_owned(),
            question: "What?".to_owned(),
            expectation: "That.".to_owned(),
            runs,
            seed: 7,
            limit: limit.parse().unwrap(),
            valid: Validity::default(),
            rows: Keep::Manifest,
            arms: vec![arm("laptop"), arm("goal")],
            base: Some("laptop".to_owned()),
        }
    }

    fn entry(arm: &str, repetition: u32, state: State) -> Entry {
        let run = Some(format!("tail-{arm}-{repetition}"));
        Entry { arm: arm.to_owned(), repetition, seed: 3, run, state }
    }

    #[test]
    fn a_book_is_taken_up_again() {
        let (out, campaign) = (tempfile::tempdir().unwrap(), campaign("1h", 4));
        let path = Journal::path(&campaign, out.path());
        let mut journal = Journal::open(&campaign, out.path()).unwrap();
        let slot = |arm, repetition| Slot { arm, repetition, seed: 3 };
        assert!(!journal.has(&campaign, &slot(0, 0)));
        let invalid = || State::Invalid("late".to_owned());
        let made = [
            ("laptop", 0, State::Counts),
            ("goal", 0, State::Interrupted),
            ("laptop", 1, invalid()),
            ("goal", 1, State::Failed("no disk".to_owned())),
            ("laptop", 2, invalid()),
            ("laptop", 2, invalid()),
            ("goal", 2, invalid()),
            ("goal", 2, State::Counts),
            ("goal", 3, State::Counts),
        ];
        made.into_iter().for_each(|(arm, nth, state)| journal.add(entry(arm, nth, state), &path).unwrap());
        let again = Journal::open(&campaign, out.path()).unwrap();
        assert_eq!(again, journal);
        let has =
            |journal: &Journal, arm| [0, 1, 2, 3].map(|repetition| journal.has(&campaign, &slot(arm, repetition)));
        assert_eq!(has(&journal, 0), [true, false, false, false], "one that does not count is made again");
        assert_eq!(has(&journal, 1), [false, false, true, true], "and one that was interrupted or came to nothing");
        assert!(
            journal.without(&campaign).unwrap().starts_with("no run counts of laptop 2, 3, 4; goal 1, 2; the table")
        );
        journal.add(entry("laptop", 2, invalid()), &path).unwrap();
        assert_eq!(has(&journal, 0), [true, false, true, false], "but three times in all");
        let more = Campaign { runs: 9, limit: "9h".parse().unwrap(), ..campaign };
        assert!(Journal::open(&more, out.path()).is_ok(), "more runs may be asked for");
    }

    #[test]
    fn what_decides_a_campaign_may_not_change_within_it() {
        let (out, campaign) = (tempfile::tempdir().unwrap(), campaign("1h", 4));
        let path = Journal::path(&campaign, out.path());
        Journal::open(&campaign, out.path()).unwrap().add(entry("laptop", 0, State::Counts), &path).unwrap();
        let changed = |change: &dyn Fn(&mut Campaign)| {
            let mut other = campaign.clone();
            change(&mut other);
            Journal::open(&other, out.path()).unwrap_err().to_string()
        };
        assert!(changed(&|c| c.expectation.push('!')).contains("begun with another question or expectation"));
        assert!(changed(&|c| c.arms[0].expect.push('!')).contains("begun with another expectation of `laptop`"));
        let mut found = campaign.clone();
        found.arms[0].found = "It was so.".to_owned();
        assert!(Journal::open(&found, out.path()).is_ok(), "what was found is written after the runs");
        assert!(changed(&|c| c.seed = 8).contains("another primary endpoint or seed"));
        assert!(changed(&|c| c.valid.rebalances_max = 3).contains("another [valid]"));
        assert!(changed(&|c| drop(c.arms.pop())).contains("begun with the arms laptop, goal"));
        let error = changed(&|c| c.arms[1].variant.partitions = 256);
        assert!(error.contains("begun with other settings of `goal` (partitions = 24)"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_book_is_left_alone() {
        let (out, campaign) = (tempfile::tempdir().unwrap(), campaign("1h", 4));
        let path = Journal::path(&campaign, out.path());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "{\n\"a\": 1}").unwrap();
        let error = Journal::open(&campaign, out.path()).unwrap_err().to_string();
        assert!(error.contains("tail.json:2: not the journal of a campaign"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\n\"a\": 1}");
    }
}

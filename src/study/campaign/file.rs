//! A campaign's file: what is asked, what is expected, which runs count, and its arms: each a variant with, mostly, one
//! difference.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use super::{CampaignError, validity::Validity};
use crate::variant::{self, Layer, Span, Variant, VariantError};

/// Largest file that is read.
const BYTES_MAX: u64 = 1 << 20;
/// More runs of each variant, or more variants, are a slip of the pen.
const RUNS_MAX: u32 = 1000;
/// Before and after the load: brokers start, the group is assigned, the topic is checked and rows are written.
const AROUND: Duration = Duration::from_secs(25);
/// Sockets a second and broker, and some three sockets a connection over three brokers: a connection takes so long.
const CONNECT_EACH: f64 = 1.2;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    question: String,
    expectation: String,
    primary: String,
    runs: u32,
    seed: u64,
    limit: Span,
    rows: Keep,
    base: Option<String>,
    #[serde(default)]
    valid: Validity,
    #[serde(default)]
    settings: Layer,
    arm: Vec<WrittenArm>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenArm {
    name: String,
    variant: Option<String>,
    expect: String,
    #[serde(default)]
    found: String,
    set: Option<Layer>,
}

/// What stays of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// Manifest and rows.
    Keep,
    /// The manifest, with its percentiles and largest latencies.
    Manifest,
}

/// One side of a comparison.
#[derive(Debug, Clone)]
pub struct Arm {
    /// Its name, which its runs have.
    pub name: String,
    /// What is expected of it, and why; written before the first run.
    pub expect: String,
    /// What was found; written after the last.
    pub found: String,
    /// Its settings, checked; without a seed, which each repetition has.
    pub variant: Variant,
}

/// The one primary endpoint that `analyze --compare` decides by; all else is exploratory.
pub const PRIMARY: &str = "p99.99 scheduled → stored";

/// A campaign, checked.
#[derive(Debug, Clone)]
pub struct Campaign {
    /// Its file.
    pub path: PathBuf,
    /// Its name: the file's stem, which begins the names of its runs.
    pub name: String,
    /// The question.
    pub question: String,
    /// What is expected, and why.
    pub expectation: String,
    /// Runs of each variant.
    pub runs: u32,
    /// Seed of the order and of all runs.
    pub seed: u64,
    /// What all runs together may take.
    pub limit: Span,
    /// Which runs count.
    pub valid: Validity,
    /// Whether rows stay.
    pub rows: Keep,
    /// The arms.
    pub arms: Vec<Arm>,
    /// Name of the arm that sets nothing of its own, if there is one: the others are held against it.
    pub base: Option<String>,
}

impl Campaign {
    /// Reads the file, loads its arms' variants, lays its `[settings]`, the arm's `set` and then `overrides` over each, and
    /// checks the whole.
    ///
    /// # Errors
    /// Whatever would spoil it, before anything runs.
    pub fn load(path: &Path, overrides: &Layer) -> Result<Self, CampaignError> {
        let written = parse(path, &read(path)?)?;
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        if let Some((key, must)) = written.wrong(&name) {
            return Err(CampaignError::Wrong { path: path.into(), key, must });
        }
        let mut arms: Vec<Arm> = Vec::new();
        for arm in &written.arm {
            let arm = written.resolve(arm, path, overrides)?;
            if arms.iter().any(|other| other.name == arm.name) {
                return Err(CampaignError::Repeated { path: path.into(), name: arm.name });
            }
            let same = |other: &&Arm| settings_of(&other.variant) == settings_of(&arm.variant);
            if let Some(other) = arms.iter().find(same) {
                return Err(CampaignError::Same { path: path.into(), a: other.name.clone(), b: arm.name });
            }
            arms.push(arm);
        }
        let base = written.arm.iter().find(|arm| arm.variant.is_none() && arm.set.is_none());
        let base = base.map(|arm| arm.name.clone());
        let Written { question, expectation, runs, seed, limit, valid, rows, .. } = written;
        Ok(Self { path: path.into(), name, question, expectation, runs, seed, limit, valid, rows, arms, base })
    }

    /// About how long one run of a variant takes, on a cluster that so many runs have been made on.
    pub fn run_takes(variant: &Variant, runs_before: u32) -> Duration {
        let connect = f64::from(variant.connections) * CONNECT_EACH / f64::from(variant.ramp.max(1));
        AROUND + Duration::from_secs_f64(connect) + variant.warm_up(runs_before).0 + variant.duration.0
    }
}

impl Written {
    /// What is not as it must be, if anything is: the key, and what it must be.
    fn wrong(&self, name: &str) -> Option<(&'static str, String)> {
        let wrong = |key, must: &str| Some((key, must.to_owned()));
        if self.question.trim().is_empty() || self.expectation.trim().is_empty() {
            return wrong("question, expectation", "written down before the first run");
        }
        if self.arm.iter().any(|arm| arm.expect.trim().is_empty()) {
            return wrong("expect", "written down before the first run, for each [[arm]]");
        }
        if self.primary != PRIMARY {
            return wrong("primary", &format!("\"{PRIMARY}\", which `analyze --compare` decides by"));
        }
        if !(1..=RUNS_MAX).contains(&self.runs) {
            return wrong("runs", &format!("from 1 to {RUNS_MAX}; 4 and more can resolve a difference"));
        }
        let Validity { lateness_p99_ms_max, foreign_cores_max, steal_cores_max, .. } = self.valid;
        let limits = [lateness_p99_ms_max, foreign_cores_max, steal_cores_max];
        if limits.iter().any(|limit| !limit.is_finite() || *limit < 0.0) {
            return wrong("[valid]", "limits from 0 up; leave one out for its default, or give a large one for none");
        }
        if self.arm.is_empty() || self.arm.len() > RUNS_MAX as usize {
            return wrong("[[arm]]", "there for each arm, and at least once");
        }
        if self.settings.extends.is_some()
            || self.arm.iter().any(|arm| arm.set.as_ref().is_some_and(|set| set.extends.is_some()))
        {
            return wrong("extends", "left out: an arm names its `variant`, or has the campaign's `base`");
        }
        if self.base.is_none() && self.arm.iter().any(|arm| arm.variant.is_none()) {
            return wrong("base", "the variant of the arms that name none");
        }
        if !is_name(name) {
            return wrong("its file's name", "letters, digits, `.`, `_` and `-`, since it names the runs");
        }
        let odd = self.arm.iter().find(|arm| !is_name(&arm.name))?;
        Some(("name", format!("letters, digits, `.`, `_` and `-`, since it names the runs, and `{}` is not", odd.name)))
    }

    fn resolve(&self, arm: &WrittenArm, path: &Path, overrides: &Layer) -> Result<Arm, CampaignError> {
        let variant = arm.variant.as_ref().or(self.base.as_ref()).map_or(variant::DEFAULT, String::as_str);
        let set = arm.set.clone().unwrap_or_default();
        let loaded = Variant::load_with(variant, &[&self.settings, &set, overrides]);
        let failed =
            |source| CampaignError::Variant { path: path.into(), name: arm.name.clone(), source: Box::new(source) };
        let (_, variant) = loaded.map_err(failed)?;
        // The campaign gives each repetition a seed.
        let variant = Variant { seed: None, ..variant };
        let WrittenArm { name, expect, found, .. } = arm;
        Ok(Arm { name: name.clone(), expect: expect.clone(), found: found.clone(), variant })
    }
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    (1..=80).contains(&name.len()) && name.chars().all(plain) && !name.starts_with('.')
}

/// All that makes a variant another one.
fn settings_of(variant: &Variant) -> Variant {
    Variant { question: String::new(), published: None, ..variant.clone() }
}

fn read(path: &Path) -> Result<String, CampaignError> {
    let failed = |source| CampaignError::File { path: path.into(), source };
    let mut text = String::new();
    File::open(path).map_err(failed)?.take(BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(CampaignError::Large { path: path.into(), bytes_max: BYTES_MAX });
    }
    Ok(text)
}

fn parse(path: &Path, text: &str) -> Result<Written, CampaignError> {
    toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = 1 + text.bytes().take(start).filter(|byte| *byte == b'\n').count();
        let syntax = |message| CampaignError::Syntax { path: path.into(), line, message };
        match VariantError::unknown_key(path, line, error.message()) {
            Some(VariantError::UnknownKey { key, .. }) if variant::is_setting(&key) => {
                syntax(format!("`{key}` is a setting of variants: write it in [settings], or in an arm's `set`"))
            }
            Some(unknown) => CampaignError::UnknownKey(Box::new(unknown)),
            None => syntax(error.message().to_owned()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
question = "Does the number of partitions move the tail?"
expectation = "Fewer partitions: fewer requests, a shorter tail."
primary = "p99.99 scheduled → stored"
runs = 4
seed = 7
limit = "4h"
rows = "manifest"
base = "goal"
[settings]
duration = "2m"
[[arm]]
name = "24"
expect = "As ever."
[[arm]]
name = "io"
variant = "laptop"
expect = "Less waiting."
found = "It was so."
set = { partitions = 12, broker = { "num.io.threads" = "8" } }
"#;

    fn load(text: &str) -> Result<Campaign, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tail.toml");
        std::fs::write(&path, text).unwrap();
        let prefix = format!("{}/", directory.path().display());
        Campaign::load(&path, &Layer::default()).map_err(|error| error.to_string().replace(&prefix, ""))
    }

    #[track_caller]
    fn refused(from: &str, to: &str, message: &str) {
        assert!(GOOD.contains(from));
        let error = load(&GOOD.replace(from, to)).unwrap_err();
        assert!(error.contains(message), "{error}");
    }

    #[test]
    fn an_arm_lays_its_difference_over_the_settings_of_all() {
        let campaign = load(GOOD).unwrap();
        let [goal, io] = &campaign.arms[..] else { panic!("{campaign:?}") };
        assert_eq!((campaign.name.as_str(), campaign.rows), ("tail", Keep::Manifest));
        assert_eq!(campaign.base.as_deref(), Some(goal.name.as_str()));
        assert_eq!([goal, io].map(|arm| arm.variant.duration), ["2m".parse().unwrap(); 2]);
        assert_eq!([goal, io].map(|arm| arm.variant.connections), [1000, 100]);
        assert_eq!([goal, io].map(|arm| arm.variant.partitions), [24, 12]);
        assert_eq!([goal, io].map(|arm| arm.variant.broker["num.io.threads"].as_str()), ["2", "8"]);
        assert_eq!((io.expect.as_str(), io.found.as_str()), ("Less waiting.", "It was so."));
        let takes = Campaign::run_takes(&goal.variant, 0).as_secs();
        assert!((310..400).contains(&takes), "{takes}");
        let again = Variant { warm_again: "20s".parse().ok(), ..goal.variant.clone() };
        assert_eq!([0, 1].map(|before| Campaign::run_takes(&again, before).as_secs()), [takes, takes - 160]);
    }

    #[test]
    fn what_would_spoil_it_is_said_before_the_first_run() {
        refused("runs = 4", "runs = 0", "runs: must be from 1 to 1000");
        refused("limit = \"4h\"", "limit = \"soon\"", "tail.toml:7: `soon` is not a length of time");
        refused("rows = \"manifest\"", "rows = \"some\"", "tail.toml:8: unknown variant `some`");
        refused(
            "question = \"Does the number of partitions move the tail?\"",
            "question = \" \"",
            "before the first run",
        );
        refused("\"As ever.\"", "\"\"", "expect: must be written down before the first run");
        refused("p99.99", "p99", "primary: must be \"p99.99 scheduled → stored\"");
        refused("name = \"io\"", "name = \"24\"", "two arms are named `24`");
        refused("name = \"io\"", "name = \"a b\"", "since it names the runs, and `a b` is not");
        refused("base = \"goal\"", "base = \"gaol\"", "arm `24`: there is no variant `gaol` (did you mean `goal`?)");
        refused("base = \"goal\"", "", "base: must be the variant of the arms that name none");
        refused("duration = \"2m\"", "duration = \"0s\"", "--duration 0s: must be a length of time");
        refused("duration = \"2m\"", "extends = \"goal\"", "extends: must be left out");
    }

    #[test]
    fn an_unknown_key_is_answered_with_its_line_and_the_nearest() {
        refused("seed = 7", "seeds = 7", "tail.toml:6: there is no setting `seeds` (did you mean `seed`?)");
        refused("variant =", "varient =", "tail.toml:17: there is no setting `varient` (did you mean `variant`?)");
        refused("duration =", "duraton =", "tail.toml:11: there is no setting `duraton` (did you mean `duration`?)");
        refused(
            "{ partitions",
            "{ partition",
            "tail.toml:20: there is no setting `partition` (did you mean `partitions`?)",
        );
        refused("expect = \"As", "zzz = 1\nexpect = \"As", "tail.toml:14: there is no setting `zzz`");
        refused(
            "found = ",
            "rate = 3\nfound = ",
            "tail.toml:19: `rate` is a setting of variants: write it in [settings], or in an arm's `set`",
        );
        refused(
            "[settings]",
            "[valid]\nrebalance_max = 3\n[settings]",
            "tail.toml:11: there is no setting `rebalance_max` (did you mean `rebalances_max`?)",
        );
    }

    #[test]
    fn two_arms_of_the_same_settings_are_refused() {
        let text =
            GOOD.replace("variant = \"laptop\"", "").replace("12, broker = { \"num.io.threads\" = \"8\" }", "24");
        let error = load(&text).unwrap_err();
        assert!(error.contains("`24` and `io` resolve to the same settings"), "{error}");
    }

    #[test]
    fn every_campaign_of_the_project_loads() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/experiments/campaigns");
        let files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(files.len() > 5, "{files:?}");
        for file in files {
            let campaign = Campaign::load(&file, &Layer::default()).unwrap();
            let takes = |arm: &Arm| Campaign::run_takes(&arm.variant, 0);
            let runs = campaign.arms.iter().map(takes).sum::<Duration>() * campaign.runs;
            assert!(runs <= campaign.limit.0, "{}: {runs:?}", file.display());
        }
    }
}

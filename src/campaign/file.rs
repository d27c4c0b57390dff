//! A campaign's file: what is asked, what is expected, which runs count, and the variants.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use super::{CampaignError, validity::Validity};
use crate::variant::{Layer, Span, Variant};

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
    variants: Vec<String>,
    #[serde(default)]
    valid: Validity,
    #[serde(default)]
    settings: Layer,
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
    /// The variants, by name.
    pub arms: Vec<(String, Variant)>,
}

impl Campaign {
    /// Reads the file, loads its variants, lays its `[settings]` and then `overrides` over each, and checks the whole.
    ///
    /// # Errors
    /// Whatever would spoil it, before anything runs.
    pub fn load(path: &Path, overrides: &Layer) -> Result<Self, CampaignError> {
        let text = read(path)?;
        let Written { question, expectation, primary, runs, seed, limit, variants, valid, settings } =
            parse(path, &text)?;
        let wrong = |key, must: &str| Err(CampaignError::Wrong { path: path.into(), key, must: must.into() });
        if question.trim().is_empty() || expectation.trim().is_empty() {
            return wrong("question, expectation", "written down before the first run");
        }
        if primary != PRIMARY {
            return wrong("primary", &format!("\"{PRIMARY}\", which `analyze --compare` decides by"));
        }
        if !(1..=RUNS_MAX).contains(&runs) {
            return wrong("runs", &format!("from 1 to {RUNS_MAX}; 4 and more can resolve a difference"));
        }
        if variants.is_empty() || variants.len() > RUNS_MAX as usize {
            return wrong("variants", "a list of names or files");
        }
        if settings.extends.is_some() {
            return wrong("[settings] extends", "left out: each variant says what it extends");
        }
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        if !(1..=100).contains(&name.len()) || !name.chars().all(plain) || name.starts_with('.') {
            return wrong("its file's name", "letters, digits, `.`, `_` and `-`, since it names the runs");
        }
        let mut arms: Vec<(String, Variant)> = Vec::new();
        for variant in &variants {
            let laid = || Variant::load_with(variant, &[&settings, overrides]);
            let failed =
                |source| CampaignError::Variant { path: path.into(), name: variant.clone(), source: Box::new(source) };
            let (arm, mut resolved) = laid().map_err(failed)?;
            // The campaign gives each repetition a seed.
            resolved.seed = None;
            if arms.iter().any(|(other, _)| *other == arm) {
                return Err(CampaignError::Repeated { path: path.into(), name: arm });
            }
            let same = |other: &&(String, Variant)| settings_of(&other.1) == settings_of(&resolved);
            if let Some((other, _)) = arms.iter().find(same) {
                return Err(CampaignError::Same { path: path.into(), a: other.clone(), b: arm });
            }
            arms.push((arm, resolved));
        }
        Ok(Self { path: path.into(), name, question, expectation, runs, seed, limit, valid, arms })
    }

    /// About how long one run of a variant takes.
    pub fn run_takes(variant: &Variant) -> Duration {
        let connect = f64::from(variant.connections) * CONNECT_EACH / f64::from(variant.ramp.max(1));
        AROUND + Duration::from_secs_f64(connect) + variant.warm.0 + variant.duration.0
    }

    /// Whether all runs can be made on one cluster, which then is as old for one variant as for the other.
    pub fn shares_cluster(&self) -> bool {
        self.arms.windows(2).all(|pair| pair[0].1.same_cluster(&pair[1].1))
    }
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
        CampaignError::Syntax { path: path.into(), line, message: error.message().to_owned() }
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
variants = ["laptop", "goal"]
[settings]
duration = "2m"
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
    fn a_campaign_lays_its_settings_over_its_variants() {
        let campaign = load(GOOD).unwrap();
        let names: Vec<_> = campaign.arms.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((campaign.name.as_str(), names), ("tail", vec!["laptop", "goal"]));
        assert!(campaign.arms.iter().all(|(_, variant)| variant.duration == "2m".parse().unwrap()));
        assert!(campaign.shares_cluster(), "laptop and goal have the same brokers and topic");
        let takes = Campaign::run_takes(&campaign.arms[1].1).as_secs();
        assert!((150..240).contains(&takes), "{takes}");
    }

    #[test]
    fn what_would_spoil_it_is_said_before_the_first_run() {
        refused("seed = 7", "seeds = 7", "tail.toml:6: unknown field `seeds`");
        refused("runs = 4", "runs = 0", "runs: must be from 1 to 1000");
        refused("limit = \"4h\"", "limit = \"soon\"", "tail.toml:7: `soon` is not a length of time");
        refused(
            "question = \"Does the number of partitions move the tail?\"",
            "question = \" \"",
            "before the first run",
        );
        refused("p99.99", "p99", "primary: must be \"p99.99 scheduled → stored\"");
        refused("\"laptop\", \"goal\"", "", "variants: must be a list");
        refused("\"laptop\", \"goal\"", "\"goal\", \"goal\"", "the variant `goal` is listed twice");
        refused("\"goal\"]", "\"gaol\"]", "variant `gaol`: there is no variant `gaol` (did you mean `goal`?)");
        refused("duration = \"2m\"", "duration = \"0s\"", "--duration 0s: must be a length of time");
        refused("duration = \"2m\"", "extends = \"goal\"", "[settings] extends: must be left out");
        refused("[settings]", "[valid]\nrebalance_max = 3\n[settings]", "unknown field `rebalance_max`");
    }

    #[test]
    fn two_names_of_the_same_settings_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let twin = directory.path().join("twin.toml");
        std::fs::write(&twin, "extends = \"goal\"\nquestion = \"The same again?\"").unwrap();
        let path = directory.path().join("tail.toml");
        std::fs::write(&path, GOOD.replace("\"laptop\"", &format!("{:?}", twin.display().to_string()))).unwrap();
        let error = Campaign::load(&path, &Layer::default()).unwrap_err().to_string();
        assert!(error.contains("`twin` and `goal` resolve to the same settings"), "{error}");
    }
}

//! Makes the runs of a campaign that are left, one after the other.

use std::{path::Path, time::Duration};

use super::{
    Campaign, CampaignError,
    book::{Book, Entry, State},
    order::{Slot, order},
};
use crate::{run::Finished, variant::Span};

/// What came of one run.
#[derive(Debug)]
pub struct Outcome {
    /// Name of the run; a failed one has none.
    pub run: Option<String>,
    /// Whether it counts.
    pub state: State,
    /// Planned events.
    pub planned: u64,
    /// Planned events that were not stored in time.
    pub over_slo: u64,
    /// p99.99 of scheduled → stored, in ms.
    pub p9999_ms: Option<f64>,
}

impl Outcome {
    /// Of a run that was measured.
    pub fn of(campaign: &Campaign, finished: &Finished) -> Self {
        let manifest = &finished.manifest;
        let state = match campaign.valid.against(&super::validity::Seen::of(manifest)) {
            None => State::Counts,
            Some(_) if manifest.interrupted => State::Interrupted,
            Some(why) => State::Invalid(why),
        };
        Self {
            run: Some(manifest.run.clone()),
            state,
            planned: manifest.planned,
            over_slo: manifest.over_slo,
            p9999_ms: manifest.latencies.headline_ms(99.99).filter(|ms| ms.is_finite()),
        }
    }

    /// Of a run that came to nothing.
    pub fn failed(state: State) -> Self {
        Self { run: None, state, planned: 0, over_slo: 0, p9999_ms: None }
    }
}

/// How a campaign stands when a run of it begins.
#[derive(Debug)]
pub struct Progress<'a> {
    /// Name of the variant.
    pub variant: &'a str,
    /// Number of the run among all, from 1.
    pub nth: usize,
    /// Runs in all.
    pub of: usize,
    /// About how long this one and all after it take.
    pub left: Span,
}

/// Makes the runs that the book does not have yet, each by `measure`, and writes each into the book. Ends early after a
/// run that was interrupted.
///
/// # Errors
/// Before the first run: what would spoil the campaign, or make it too long. Later: when the book cannot be written.
pub fn conduct(
    campaign: &Campaign,
    out: &Path,
    mut measure: impl FnMut(&Slot, &Progress) -> Outcome,
) -> Result<Book, CampaignError> {
    let path = Book::path(campaign, out);
    let mut book = Book::open(campaign, out)?;
    let slots = order(campaign.arms.len(), campaign.runs, campaign.seed);
    let left: Vec<&Slot> = slots.iter().filter(|slot| !book.has(campaign, slot)).collect();
    let takes = |slots: &[&Slot]| -> Duration {
        slots.iter().map(|slot| Campaign::run_takes(&campaign.arms[slot.arm].1)).sum()
    };
    let estimate = minutes(takes(&left));
    if estimate.0 > campaign.limit.0 {
        let (path, runs, limit) = (campaign.path.clone(), left.len(), campaign.limit);
        return Err(CampaignError::Long { path, runs, estimate, limit });
    }
    check_disk(campaign, &left, out)?;
    for (k, slot) in left.iter().enumerate() {
        let variant = &campaign.arms[slot.arm].0;
        let nth = slots.len() - left.len() + k + 1;
        let progress = Progress { variant, nth, of: slots.len(), left: minutes(takes(&left[k..])) };
        let Outcome { run, state, planned, over_slo, p9999_ms } = measure(slot, &progress);
        let interrupted = state == State::Interrupted;
        let (variant, repetition, seed) = (variant.clone(), slot.repetition, slot.seed);
        book.add(Entry { variant, repetition, seed, run, state, planned, over_slo, p9999_ms }, &path)?;
        if interrupted {
            break;
        }
    }
    Ok(book)
}

/// Bytes of a row in CSV, and a little more.
const ROW_BYTES: f64 = 150.0;

fn check_disk(campaign: &Campaign, left: &[&Slot], out: &Path) -> Result<(), CampaignError> {
    let bytes: f64 = left.iter().map(|slot| campaign.arms[slot.arm].1.planned() * ROW_BYTES).sum();
    let there = out.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("."));
    // Where the system does not say, each run finds out by itself.
    let Ok(found) = rustix::fs::statvfs(there) else { return Ok(()) };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    if bytes < free as f64 {
        return Ok(());
    }
    let (needed_mb, free_mb) = ((bytes / 1e6) as u64, free / 1_000_000);
    Err(CampaignError::Disk { out: out.into(), runs: left.len(), needed_mb, free_mb })
}

/// Rounded up to whole minutes: an estimate.
fn minutes(takes: Duration) -> Span {
    Span(Duration::from_secs(takes.as_secs().div_ceil(60) * 60))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        campaign::validity::Validity,
        variant::{Layer, Variant},
    };

    fn campaign(limit: &str) -> Campaign {
        let arm = |name: &str| Variant::load(name, &Layer::default()).unwrap();
        Campaign {
            path: "tail.toml".into(),
            name: "tail".to_owned(),
            question: "What?".to_owned(),
            expectation: "That.".to_owned(),
            runs: 3,
            seed: 7,
            limit: limit.parse().unwrap(),
            valid: Validity::default(),
            arms: vec![arm("laptop"), arm("goal")],
        }
    }

    fn outcome(state: State) -> Outcome {
        Outcome { run: Some("r".to_owned()), state, planned: 1, over_slo: 0, p9999_ms: Some(2.0) }
    }

    #[test]
    fn it_goes_on_where_it_was_interrupted() {
        let (out, campaign) = (tempfile::tempdir().unwrap(), campaign("9h"));
        let mut seen = Vec::new();
        let first = conduct(&campaign, out.path(), |slot, progress| {
            seen.push((*slot, progress.nth, progress.of));
            outcome(match progress.nth {
                1 => State::Counts,
                2 => State::Failed("no".to_owned()),
                _ => State::Interrupted,
            })
        });
        assert_eq!(first.unwrap().entries.len(), 3);
        let book = conduct(&campaign, out.path(), |slot, progress| {
            seen.push((*slot, progress.nth, progress.of));
            outcome(State::Counts)
        });
        assert_eq!(book.unwrap().entries.len(), 7, "one of them twice");
        let numbers: Vec<usize> = seen.iter().map(|seen| seen.1).collect();
        assert_eq!(numbers, [1, 2, 3, 3, 4, 5, 6]);
        assert_eq!(seen[2].0, seen[3].0);
        let nothing_left = conduct(&campaign, out.path(), |_, _| unreachable!("all runs are made"));
        assert_eq!(nothing_left.unwrap().entries.len(), 7);
    }

    #[test]
    fn one_that_takes_too_long_does_not_begin() {
        let out = tempfile::tempdir().unwrap();
        let error =
            conduct(&campaign("30m"), out.path(), |_, _| unreachable!("it is refused")).unwrap_err().to_string();
        assert!(
            error.starts_with("tail.toml: 6 runs would take about ") && error.contains("`limit` is 30m"),
            "{error}"
        );
        assert!(!out.path().join("campaigns").exists(), "nothing is written");
    }

    #[test]
    fn one_whose_rows_do_not_fit_the_disk_does_not_begin() {
        let (out, mut campaign) = (tempfile::tempdir().unwrap(), campaign("9h"));
        campaign.arms[0].1.connections = u32::MAX;
        campaign.arms[0].1.ramp = u32::MAX;
        campaign.arms[0].1.rate = 1e6;
        let error = conduct(&campaign, out.path(), |_, _| unreachable!("it is refused")).unwrap_err().to_string();
        assert!(error.contains("the rows of 6 runs take about") && error.contains("MB are free"), "{error}");
    }
}

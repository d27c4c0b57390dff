//! Makes the runs of a campaign that are left, one after the other.

use std::{path::Path, time::Duration};

use super::{
    Campaign, CampaignError,
    book::{Book, Entry, State},
    file::Keep,
    order::{Slot, order},
};
use crate::{
    cluster::capacity::{ROW_BYTES, free_bytes},
    run::Finished,
    variant::Span,
};

/// What came of one run.
#[derive(Debug)]
pub struct Outcome {
    /// Name of the run; a failed one has none.
    pub run: Option<String>,
    /// Whether it counts.
    pub state: State,
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
        Self { run: Some(manifest.run.clone()), state }
    }

    /// Of a run that came to nothing.
    pub fn failed(state: State) -> Self {
        Self { run: None, state }
    }
}

/// So many runs that came to nothing in a row have one cause.
const FAILED_MAX: usize = 3;

/// How a campaign stands when a run of it begins.
#[derive(Debug)]
pub struct Progress {
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
/// Before the first run: what would spoil the campaign, or make it too long. Later: when the book cannot be written, or
/// nothing comes of three runs in a row.
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
        slots.iter().map(|slot| Campaign::run_takes(&campaign.arms[slot.arm].variant)).sum()
    };
    let estimate = minutes(takes(&left));
    if estimate.0 > campaign.limit.0 {
        let (path, runs, limit) = (campaign.path.clone(), left.len(), campaign.limit);
        return Err(CampaignError::Long { path, runs, estimate, limit });
    }
    check_disk(campaign, &left, out)?;
    let mut failed = 0;
    for (k, slot) in left.iter().enumerate() {
        let arm = &campaign.arms[slot.arm].name;
        let nth = slots.len() - left.len() + k + 1;
        let progress = Progress { nth, of: slots.len(), left: minutes(takes(&left[k..])) };
        let Outcome { run, state } = measure(slot, &progress);
        let interrupted = state == State::Interrupted;
        let failure = if let State::Failed(why) = &state { Some(why.clone()) } else { None };
        failed = if failure.is_some() { failed + 1 } else { 0 };
        let (arm, repetition, seed) = (arm.clone(), slot.repetition, slot.seed);
        book.add(Entry { arm, repetition, seed, run, state }, &path)?;
        if interrupted {
            break;
        }
        if let Some(last) = failure.filter(|_| failed == FAILED_MAX) {
            return Err(CampaignError::Failing { runs: failed, last });
        }
    }
    Ok(book)
}

fn check_disk(campaign: &Campaign, left: &[&Slot], out: &Path) -> Result<(), CampaignError> {
    let rows = left.iter().map(|slot| campaign.arms[slot.arm].variant.planned());
    let planned: f64 = match campaign.rows {
        Keep::Keep => rows.sum(),
        // Those of one run at a time.
        Keep::Manifest => rows.fold(0.0, f64::max),
    };
    let bytes = planned * ROW_BYTES;
    let free = free_bytes(out);
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
    use crate::campaign::book::tests::campaign;

    fn outcome(state: State) -> Outcome {
        Outcome { run: Some("r".to_owned()), state }
    }

    #[test]
    fn it_goes_on_where_it_was_interrupted() {
        let (out, campaign) = (tempfile::tempdir().unwrap(), campaign("9h", 3));
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
        assert_eq!(book.unwrap().entries.len(), 8, "two of them twice");
        let numbers: Vec<usize> = seen.iter().map(|seen| seen.1).collect();
        assert_eq!(numbers, [1, 2, 3, 2, 3, 4, 5, 6]);
        assert_eq!([seen[1].0, seen[2].0], [seen[3].0, seen[4].0]);
        let nothing_left = conduct(&campaign, out.path(), |_, _| unreachable!("all runs are made"));
        assert_eq!(nothing_left.unwrap().entries.len(), 8);
    }

    #[test]
    fn it_does_not_go_on_failing() {
        let (out, campaign) = (tempfile::tempdir().unwrap(), campaign("9h", 3));
        let ended = conduct(&campaign, out.path(), |_, _| Outcome::failed(State::Failed("no java".to_owned())));
        let error = ended.unwrap_err().to_string();
        assert!(error.starts_with("3 runs in a row came to nothing") && error.ends_with("no java"), "{error}");
        assert_eq!(Book::open(&campaign, out.path()).unwrap().entries.len(), 3);
    }

    #[test]
    fn one_that_takes_too_long_does_not_begin() {
        let out = tempfile::tempdir().unwrap();
        let error =
            conduct(&campaign("30m", 3), out.path(), |_, _| unreachable!("it is refused")).unwrap_err().to_string();
        assert!(
            error.starts_with("tail.toml: 6 runs would take about ") && error.contains("`limit` is 30m"),
            "{error}"
        );
        assert!(!out.path().join("campaigns").exists(), "nothing is written");
    }

    #[test]
    fn one_whose_rows_do_not_fit_the_disk_does_not_begin() {
        let (out, mut campaign) = (tempfile::tempdir().unwrap(), campaign("9h", 3));
        let variant = &mut campaign.arms[0].variant;
        (variant.connections, variant.ramp, variant.rate) = (u32::MAX, u32::MAX, 1e6);
        let error = conduct(&campaign, out.path(), |_, _| unreachable!("it is refused")).unwrap_err().to_string();
        assert!(error.contains("the rows of 6 runs take about") && error.contains("MB are free"), "{error}");
    }
}

//! Makes the runs of a campaign that are left, one after the other.

use std::{
    collections::VecDeque,
    fs::{self, File, TryLockError},
    path::Path,
    time::Duration,
};

use super::{
    Campaign, CampaignError,
    file::Keep,
    journal::{Entry, Journal, State},
    run_order::{Slot, order},
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
        if let Some(unwritten) = &finished.unwritten {
            return Self::failed(State::Failed(unwritten.to_string()));
        }
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
pub struct RoundStatus {
    /// Number of the run among all, from 1.
    pub nth: usize,
    /// Runs in all.
    pub of: usize,
    /// Tries of it that do not count.
    pub tried: usize,
    /// About how long this one and all after it take.
    pub left: Span,
}

/// Makes the runs that the journal does not have yet, each by `measure`, and writes each into the journal. One that does not
/// count is made again after the others of its repetition, as often as [`Journal::has`] asks for and the campaign's limit
/// leaves time for. Ends early after a run that was interrupted.
///
/// # Errors
/// Before the first run: what would spoil the campaign, or make it too long. Later: when the journal cannot be written, or
/// nothing comes of three runs in a row.
pub fn make_runs(
    campaign: &Campaign,
    out: &Path,
    mut measure: impl FnMut(&Slot, &RoundStatus) -> Outcome,
) -> Result<Journal, CampaignError> {
    let path = Journal::path(campaign, out);
    let mut journal = Journal::open(campaign, out)?;
    let slots = order(campaign.arms.len(), campaign.runs, campaign.seed);
    let unmade: Vec<&Slot> = slots.iter().filter(|slot| !journal.has(campaign, slot)).collect();
    let takes = |slot: &Slot| takes(campaign, &unmade, slot);
    let mut left: Duration = unmade.iter().map(|slot| takes(slot)).sum();
    let (runs, estimate, limit) = (unmade.len(), minutes(left), campaign.limit);
    if estimate.0 > limit.0 {
        return Err(CampaignError::Long { path: campaign.path.clone(), runs, estimate, limit });
    }
    check_disk(campaign, &unmade, out)?;
    let _alone = alone(&Journal::directory(campaign, out))?;
    let mut spare = limit.0 - left;
    let mut failed = 0;
    for block in slots.chunks(campaign.arms.len()) {
        let mut queue: VecDeque<&Slot> = block.iter().filter(|slot| !journal.has(campaign, slot)).collect();
        while let Some(slot) = queue.pop_front() {
            let nth = slots.iter().position(|other| other == slot).map_or(0, |index| index + 1);
            let (of, tried) = (slots.len(), journal.tries(campaign, slot));
            let Outcome { run, state } = measure(slot, &RoundStatus { nth, of, tried, left: minutes(left) });
            left -= takes(slot);
            failed = if matches!(state, State::Failed(_)) { failed + 1 } else { 0 };
            let Slot { repetition, seed, .. } = *slot;
            let arm = campaign.arms[slot.arm].name.clone();
            journal.add(Entry { arm, repetition, seed, run, state: state.clone() }, &path)?;
            match state {
                State::Interrupted => return Ok(journal),
                State::Failed(last) if failed == FAILED_MAX => {
                    return Err(CampaignError::Failing { runs: failed, last });
                }
                // Once more, beside those of the same seed, where the rest has its time all the same.
                State::Invalid(_) if !journal.has(campaign, slot) && spare >= takes(slot) => {
                    (spare, left) = (spare - takes(slot), left + takes(slot));
                    queue.push_back(slot);
                }
                _ => {}
            }
        }
    }
    Ok(journal)
}

/// About how long a run takes that is left: whether it finds the cluster warm, the one before it decides.
fn takes(campaign: &Campaign, unmade: &[&Slot], slot: &Slot) -> Duration {
    let variant = |slot: &Slot| &campaign.arms[slot.arm].variant;
    let before = unmade.windows(2).find(|pair| pair[1] == slot).map(|pair| variant(pair[0]));
    let runs_before = before.is_some_and(|before| before.same_cluster(variant(slot)));
    Campaign::run_takes(variant(slot), runs_before.into())
}

/// Keeps other processes from this campaign while it is held: each would remove the other's rows and entries.
fn alone(directory: &Path) -> Result<File, CampaignError> {
    let failed = |source| CampaignError::File { path: directory.into(), source };
    fs::create_dir_all(directory).map_err(failed)?;
    let held = File::open(directory).map_err(failed)?;
    match held.try_lock() {
        Ok(()) => Ok(held),
        Err(TryLockError::WouldBlock) => Err(CampaignError::Busy(directory.into())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
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
    use crate::study::campaign::journal::tests::campaign;

    fn outcome(state: State) -> Outcome {
        Outcome { run: Some("r".to_owned()), state }
    }

    #[test]
    fn it_goes_on_where_it_was_interrupted() {
        let (out, campaign) = (tempfile::tempdir().unwrap(), campaign("9h", 3));
        let mut seen = Vec::new();
        let first = make_runs(&campaign, out.path(), |slot, progress| {
            seen.push((*slot, progress.nth, progress.of));
            outcome(match progress.nth {
                1 => State::Counts,
                2 => State::Failed("no".to_owned()),
                _ => State::Interrupted,
            })
        });
        assert_eq!(first.unwrap().entries.len(), 3);
        let journal = make_runs(&campaign, out.path(), |slot, progress| {
            seen.push((*slot, progress.nth, progress.of));
            outcome(State::Counts)
        });
        assert_eq!(journal.unwrap().entries.len(), 8, "two of them twice");
        let numbers: Vec<usize> = seen.iter().map(|seen| seen.1).collect();
        assert_eq!(numbers, [1, 2, 3, 2, 3, 4, 5, 6]);
        assert_eq!([seen[1].0, seen[2].0], [seen[3].0, seen[4].0]);
        let nothing_left = make_runs(&campaign, out.path(), |_, _| unreachable!("all runs are made"));
        assert_eq!(nothing_left.unwrap().entries.len(), 8);
    }

    fn goal_never_counts(slot: &Slot) -> Outcome {
        outcome(if slot.arm == 1 { State::Invalid("late".to_owned()) } else { State::Counts })
    }

    #[test]
    fn what_does_not_count_is_made_again_within_its_repetition_three_times_in_all() {
        let (out, campaign) = (tempfile::tempdir().unwrap(), campaign("9h", 2));
        let mut seen = Vec::new();
        let journal = make_runs(&campaign, out.path(), |slot, progress| {
            seen.push((slot.repetition, slot.arm, progress.tried));
            goal_never_counts(slot)
        });
        let journal = journal.unwrap();
        let tries = [(0, 1, 0), (0, 1, 1), (0, 1, 2), (1, 1, 0), (1, 1, 1), (1, 1, 2)];
        assert_eq!(seen.iter().copied().filter(|(_, arm, _)| *arm == 1).collect::<Vec<_>>(), tries);
        assert!(seen.is_sorted_by_key(|(repetition, ..)| *repetition), "the block stays together: {seen:?}");
        assert_eq!(journal.entries.len(), 8, "each try is there");
        assert!(journal.entries[..4].iter().all(|entry| entry.seed == journal.entries[0].seed), "with its seed");
        assert!(journal.without(&campaign).unwrap().starts_with("no run counts of goal 1, 2; "));
        let again = make_runs(&campaign, out.path(), |_, _| unreachable!("all tries are made"));
        assert_eq!(again.unwrap(), journal);
    }

    #[test]
    fn nothing_is_made_again_past_the_limit_of_the_campaign() {
        // A run of `goal` takes some 14 minutes, one of `laptop` 3.
        let (out, campaign) = (tempfile::tempdir().unwrap(), campaign("36m", 1));
        let made = || make_runs(&campaign, out.path(), |slot, _| goal_never_counts(slot)).unwrap().entries.len();
        assert_eq!(made(), 3);
        assert_eq!(made(), 4, "the same command has its time again");
    }

    #[test]
    fn it_does_not_go_on_failing() {
        let (out, campaign) = (tempfile::tempdir().unwrap(), campaign("9h", 3));
        let ended = make_runs(&campaign, out.path(), |_, _| Outcome::failed(State::Failed("no java".to_owned())));
        let error = ended.unwrap_err().to_string();
        assert!(error.starts_with("3 runs in a row came to nothing") && error.ends_with("no java"), "{error}");
        assert_eq!(Journal::open(&campaign, out.path()).unwrap().entries.len(), 3);
    }

    #[test]
    fn one_process_at_a_time_makes_it() {
        let (out, campaign) = (tempfile::tempdir().unwrap(), campaign("9h", 1));
        let counts = |_: &Slot, _: &RoundStatus| outcome(State::Counts);
        let made = make_runs(&campaign, out.path(), |slot, progress| {
            let error = make_runs(&campaign, out.path(), counts).unwrap_err().to_string();
            assert!(error.contains("tail: another process is making this campaign"), "{error}");
            counts(slot, progress)
        });
        assert_eq!(made.unwrap().entries.len(), 2);
    }

    #[test]
    fn one_that_takes_too_long_does_not_begin() {
        let out = tempfile::tempdir().unwrap();
        let error =
            make_runs(&campaign("30m", 3), out.path(), |_, _| unreachable!("it is refused")).unwrap_err().to_string();
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
        let error = make_runs(&campaign, out.path(), |_, _| unreachable!("it is refused")).unwrap_err().to_string();
        assert!(error.contains("the rows of 6 runs take about") && error.contains("MB are free"), "{error}");
    }
}

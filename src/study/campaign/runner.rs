//! Makes the runs of a campaign: each on the cluster of the one before where its arm permits, and the tables written when
//! it ends, however it ends; `--table` makes them at any time.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    Campaign, CampaignError, Journal, Outcome, State, TRIES_MAX,
    file::Keep,
    recorded_run::Recorded,
    rounds::{RoundStatus, make_runs},
    splice,
    table::{self, Tables},
};
use crate::{
    output::{
        progress::Progress,
        rows::Format,
        terminal::{first_line, print, say, with_causes},
    },
    run::{ClusterSession, Request, RunError, Stop, run_on},
    variant::Variant,
};
use shasta_model::atomic_file;

/// Makes the runs that are left; `like` has all of a run but its name and its variant. Ends early when `stop` says so.
///
/// # Errors
/// See [`make_runs`]; also when the tables cannot be written.
pub fn perform(
    campaign: &Campaign,
    like: &Request,
    stop: &Stop,
    progress: &Progress,
) -> Result<Journal, CampaignError> {
    check_manifests(campaign, &like.out)?;
    let mut session: Option<ClusterSession> = None;
    let made = make_runs(campaign, &like.out, |slot, status| {
        let arm = &campaign.arms[slot.arm];
        let RoundStatus { nth, of, tried, left } = status;
        let again = if *tried > 0 { format!(" again, try {} of {TRIES_MAX}", tried + 1) } else { String::new() };
        progress.step(&format!(
            "run {nth} of {of}{again}: {}, repetition {}; about {left} left",
            arm.name,
            slot.repetition + 1
        ));
        let out = Journal::directory(campaign, &like.out);
        let request = Request {
            name: arm.name.clone(),
            variant: Variant { seed: Some(slot.seed), ..arm.variant.clone() },
            run: Some(free_name(&out, &format!("{}-{}-{}", campaign.name, arm.name, slot.repetition + 1))),
            out,
            format: Format::Parquet,
            keep_rows: campaign.rows == Keep::Keep,
            ..like.clone()
        };
        let outcome = match run_on(&mut session, &request, stop, progress) {
            Ok(finished) => {
                let headline = |p| table::ms(finished.manifest.latencies.headline_ms(p));
                let (p50, p9999) = (headline(50.0), headline(99.99));
                progress.step(&format!("{}: p50 {p50} ms, p99.99 {p9999} ms", finished.manifest.run));
                Outcome::of(campaign, &finished)
            }
            Err(RunError::Interrupted) => Outcome::failed(State::Interrupted),
            Err(error) => {
                let why = with_causes([&error as &dyn std::error::Error].into_iter());
                progress.step(&format!("it came to nothing: {why}"));
                // What follows is of logs of this machine: for the screen.
                Outcome::failed(State::Failed(first_line(&why).to_owned()))
            }
        };
        match &outcome.state {
            State::Counts | State::Failed(_) => {}
            State::Interrupted => progress.step("interrupted; the same command goes on from here"),
            State::Invalid(why) => progress.step(&format!("invalid: {why}")),
        }
        outcome
    });
    // What was made stands in the tables, also when the rest came to nothing.
    match made {
        Ok(journal) => write(&Tables::read(campaign, &journal, &like.out), campaign, &like.out).map(|_| journal),
        Err(error) => {
            if let Ok(journal) = Journal::read(campaign, &like.out) {
                write(&Tables::read(campaign, &journal, &like.out), campaign, &like.out)?;
            }
            Err(error)
        }
    }
}

/// Without its manifest a run that counts would be missing from the tables, and would not be made again either.
fn check_manifests(campaign: &Campaign, out: &Path) -> Result<(), CampaignError> {
    // Whether there is a journal, and a sound one, is told when it is opened.
    let Ok(journal) = Journal::read(campaign, out) else { return Ok(()) };
    for run in journal.entries.into_iter().filter(|entry| entry.state == State::Counts).filter_map(|entry| entry.run) {
        if let Err(what) = Recorded::read(&Journal::directory(campaign, out).join(format!("{run}.json"))) {
            return Err(CampaignError::Lost { what, run, journal: Journal::path(campaign, out) });
        }
    }
    Ok(())
}

/// Writes the tables of what the journal has, beside it, and prints them; the brief one also between its markers in `splice`.
///
/// # Errors
/// Those of writing and printing.
pub fn report(campaign: &Campaign, journal: &Journal, out: &Path, splice: Option<&Path>) -> Result<(), CampaignError> {
    let tables = Tables::read(campaign, journal, out);
    if let Some(page) = splice {
        splice::splice(page, &campaign.name, &tables.brief())?;
    }
    let (path, page) = write(&tables, campaign, out)?;
    print(page)?;
    say(format_args!("wrote {}", path.display()));
    Ok(())
}

/// The file and what is in it now.
fn write(tables: &Tables, campaign: &Campaign, out: &Path) -> Result<(PathBuf, String), CampaignError> {
    let (path, page) = (Journal::path(campaign, out).with_extension("md"), tables.page());
    let written = atomic_file::write(&path, page.as_bytes());
    written.map_err(|error| CampaignError::File { path: path.clone(), source: error.into() })?;
    Ok((path, page))
}

/// The name, or, where an earlier try has it, one with a number after it. The rows of a run that was killed before it
/// had a manifest are of no use to a campaign, and go.
fn free_name(out: &Path, name: &str) -> String {
    let has = |name: &str, extension| out.join(format!("{name}.{extension}")).exists();
    let names = std::iter::once(name.to_owned()).chain((2..).map(|n| format!("{name}.{n}")));
    let mut free = names.filter(|name| !has(name, "json"));
    let free = free.next().unwrap_or_else(|| unreachable!("the names never end"));
    for extension in ["csv", "parquet"] {
        // What cannot be removed is told by the run, as a name that is taken.
        let _ = fs::remove_file(out.join(format!("{free}.{extension}")));
    }
    free
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{run::null_run::tests::request, study::campaign::Arm, variant::Layer};

    #[test]
    fn whole_and_taken_up_again() {
        let out = tempfile::tempdir().unwrap();
        let arm = |rate: f64| {
            let [duration, warm_again] = ["500ms", "0s"].map(|length| length.parse().ok());
            let load = Layer { connections: Some(20), rate: Some(rate), duration, warm_again, ..Layer::default() };
            let variant = Variant { warm: "1s".parse().unwrap(), ..request(out.path(), load).variant };
            Arm { name: format!("r{rate}"), expect: "Little.".to_owned(), found: String::new(), variant }
        };
        let mut campaign = crate::study::campaign::journal::tests::campaign("1h", 1);
        campaign.arms = vec![arm(10.0), arm(20.0)];
        // Whatever else this machine does, both count.
        campaign.valid.lateness_p99_ms_max = 1e9;
        (campaign.valid.foreign_cores_max, campaign.valid.steal_cores_max) = (1e9, 1e9);
        let (like, progress) = (request(out.path(), Layer::default()), Progress::default());
        let journal = perform(&campaign, &like, &Stop::default(), &progress).unwrap();
        assert!(journal.entries.iter().all(|entry| entry.state == State::Counts), "{journal:?}");

        campaign.runs = 2;
        let stopped = Stop::default();
        stopped.request();
        let journal = perform(&campaign, &like, &stopped, &progress).unwrap();
        assert_eq!((journal.entries.len(), &journal.entries[2].state), (3, &State::Interrupted));
        let journal = perform(&campaign, &like, &Stop::default(), &progress).unwrap();
        let count = |state: State| journal.entries.iter().filter(|entry| entry.state == state).count();
        assert_eq!([count(State::Counts), count(State::Interrupted)], [4, 1]);
        let names: Vec<_> = fs::read_dir(Journal::directory(&campaign, out.path())).unwrap().collect();
        assert_eq!(names.len(), 4, "manifests, and no rows: {names:?}");
        for entry in &journal.entries {
            let Some(run) = &entry.run else { continue };
            let manifest = fs::read(Journal::directory(&campaign, out.path()).join(format!("{run}.json"))).unwrap();
            let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
            let [before, warm] =
                ["/conduct/runs_before", "/ledger/warm"].map(|at| manifest.pointer(at).unwrap().as_u64());
            assert_eq!(before == Some(0), warm.unwrap() >= 200, "the first on its session is warmed up: {run}");
        }
        let page = fs::read_to_string(Journal::path(&campaign, out.path()).with_extension("md")).unwrap();
        assert!(page.contains("4 runs count, of 4 that are wanted.") && page.contains("| tail-r20-2 |"), "{page}");

        fs::remove_file(Journal::directory(&campaign, out.path()).join("tail-r20-2.json")).unwrap();
        let error = perform(&campaign, &like, &Stop::default(), &progress).unwrap_err().to_string();
        assert!(error.contains("tail-r20-2.json: ") && error.contains("remove the run's entry from"), "{error}");
    }

    #[test]
    fn a_run_that_is_made_again_gets_another_name_unless_it_was_killed() {
        let out = tempfile::tempdir().unwrap();
        let put = |name: &str| fs::write(out.path().join(name), "").unwrap();
        assert_eq!(free_name(out.path(), "a-b-1"), "a-b-1");
        put("a-b-1.csv");
        assert_eq!(free_name(out.path(), "a-b-1"), "a-b-1");
        assert!(!out.path().join("a-b-1.csv").exists());
        put("a-b-1.json");
        put("a-b-1.parquet");
        assert_eq!(free_name(out.path(), "a-b-1"), "a-b-1.2");
        assert!(out.path().join("a-b-1.parquet").exists());
    }
}

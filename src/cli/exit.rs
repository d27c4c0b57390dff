//! How `experiment` ends: its exit code, and what Ctrl-C does.

use std::process::ExitCode;

use crate::{
    cluster,
    output::terminal::say,
    run::{Finished, Stop},
};
use shasta_model::slo::Verdict;

/// An exit code, as README lists them. Of several runs, the largest is the program's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// All that was asked for is done.
    Done = 0,
    /// Something could not be done.
    Failed = 1,
    /// The SLO was missed, where it is asserted.
    Missed = 3,
    /// Too few events were planned to tell, where the SLO is asserted.
    NotResolvable = 5,
    /// The ledger does not balance, or a campaign has none that counts of some of its runs.
    Invalid = 6,
    /// `--verify` found damage, or could not be made.
    Damaged = 7,
    /// The user has ended it.
    Interrupted = 130,
}

impl Exit {
    /// Of a run.
    pub fn of(finished: &Finished, assert_slo: bool, stop: &Stop) -> Self {
        let verification = finished.manifest.verification.as_ref();
        match finished.verdict {
            _ if verification.is_some_and(|check| !check.passed && !check.given_up) => Self::Damaged,
            _ if stop.requested() => Self::Interrupted,
            _ if !finished.manifest.ledger.valid => Self::Invalid,
            _ if finished.unwritten.is_some() => Self::Failed,
            Verdict::Missed if assert_slo => Self::Missed,
            Verdict::NotResolvable if assert_slo => Self::NotResolvable,
            _ => Self::Done,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The first Ctrl-C or SIGTERM lets the run drain, a second one gives that up; one that finds nothing to give up ends the
/// process and its children at once.
///
/// # Errors
/// Signals cannot be handled here.
pub fn stop_on_signals() -> Result<Stop, ctrlc::Error> {
    let stop = Stop::default();
    let asked = stop.clone();
    #[expect(clippy::disallowed_methods, reason = "the user insists, and what would outlive this process is ended")]
    let ask = move || {
        if asked.request() {
            say(format_args!("interrupted again: ended at once"));
            cluster::end_at_once();
            std::process::exit(Exit::Interrupted as i32);
        }
    };
    ctrlc::set_handler(ask)?;
    Ok(stop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{output::progress::Progress, run, variant::Layer};
    use shasta_model::manifest::verification::Verification;

    #[test]
    fn what_is_worst_of_a_run_decides() {
        let out = tempfile::tempdir().unwrap();
        let layer = Layer { connections: Some(10), duration: "300ms".parse().ok(), ..Layer::default() };
        let (request, stop) = (run::null_run::tests::request(out.path(), layer), Stop::default());
        let mut finished = run::run(&request, &stop, &Progress::default()).unwrap();
        let exits = |finished: &Finished| [false, true].map(|assert_slo| Exit::of(finished, assert_slo, &stop));
        assert_eq!(exits(&finished), [Exit::Done, Exit::NotResolvable]);
        finished.verdict = Verdict::Missed;
        assert_eq!(exits(&finished), [Exit::Done, Exit::Missed]);
        finished.manifest.ledger.valid = false;
        assert_eq!(exits(&finished), [Exit::Invalid; 2]);
        stop.request();
        assert_eq!(exits(&finished), [Exit::Interrupted; 2]);
        finished.manifest.verification = Some(Verification::default());
        assert_eq!(exits(&finished), [Exit::Damaged; 2]);
    }
}

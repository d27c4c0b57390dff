//! A process that is away: it ends, is started, and answers; in a rolling restart one broker after another.

use std::collections::VecDeque;

use rustix::process::Signal;

use super::state::{State, Transition};
use crate::{
    cluster::Endpoints,
    fault::{Targets, pending_command::PendingCommand},
    variant::fault::Target,
};

/// How long a process that ended by itself stays away.
pub(super) const CRASH_RESTART_DELAY_US: i64 = 1_000_000;
/// How often one process is started again, after ends that no fault of the run made.
pub(super) const CRASH_RESTARTS_MAX: usize = 5;
/// How long a process may take to end in good order, and to answer again.
const END_MAX_US: i64 = 30_000_000;
const ANSWER_MAX_US: i64 = 60_000_000;
/// How often a process is started that ends again at once.
const STARTS_MAX: u32 = 5;
/// How often is asked whether all replicas are in sync.
const IN_SYNC_EVERY_US: i64 = 200_000;
const IN_SYNC: &str = "all in sync";

/// Tells a process to end in good order.
pub(super) fn terminated(targets: &mut Targets<'_>, target: Target, now_us: i64) -> Result<State, String> {
    targets.terminate(target)?;
    Ok(State::Down { target, start_us: now_us, kill_us: now_us + END_MAX_US, starts: 0 })
}

/// A rolling restart after one of its states is over: first all in sync, then the next broker.
pub(super) fn next_of_rolling_restart(
    targets: &mut Targets<'_>,
    brokers_left: &mut VecDeque<u32>,
    in_sync: bool,
    said: String,
    now_us: i64,
) -> Transition {
    if !in_sync {
        return Transition::To(State::AwaitingInSync { asked: None, next_us: now_us }, said);
    }
    let Some(broker) = brokers_left.pop_front() else { return Transition::Done(said) };
    match terminated(targets, Target::Broker(broker), now_us) {
        Ok(state) => Transition::To(state, format!("{IN_SYNC}; broker {broker} stopped")),
        Err(error) => Transition::Failed(error),
    }
}

/// Starts the process when its time has come and it has ended; kills it when it does not end.
pub(super) fn advance_down(
    targets: &mut Targets<'_>,
    target: Target,
    (start_us, kill_us, starts): (i64, i64, u32),
    now_us: i64,
) -> Transition {
    let stay = |kill_us| Transition::Stay(State::Down { target, start_us, kill_us, starts });
    if now_us < start_us {
        return stay(kill_us);
    }
    match targets.ended(target) {
        Err(error) => return Transition::Failed(error),
        Ok(None) if now_us > kill_us => {
            // It has had its time. What cannot be killed is not there.
            let _ = targets.signal(target, Signal::KILL);
            return stay(i64::MAX);
        }
        Ok(None) => return stay(kill_us),
        Ok(Some(_)) => {}
    }
    match targets.start(target) {
        Ok(()) => {
            let until_us = now_us + ANSWER_MAX_US;
            Transition::To(State::Starting { target, until_us, starts: starts + 1 }, "started".to_owned())
        }
        Err(error) => Transition::Failed(error),
    }
}

/// Waits until the process answers; starts it again where it ended instead.
pub(super) fn advance_starting(
    targets: &mut Targets<'_>,
    target: Target,
    (until_us, starts): (i64, u32),
    now_us: i64,
) -> Transition {
    match targets.ended(target) {
        Err(error) => return Transition::Failed(error),
        Ok(Some(_)) if starts < STARTS_MAX => {
            // A port of its own may be taken for a moment.
            let start_us = now_us + CRASH_RESTART_DELAY_US;
            let state = State::Down { target, start_us, kill_us: i64::MAX, starts };
            return Transition::To(state, "ended again".to_owned());
        }
        Ok(Some(how)) => return Transition::Failed(format!("{target} ended again ({how})")),
        Ok(None) => {}
    }
    if targets.answers(target) {
        let said = if matches!(target, Target::Worker(_)) { "runs" } else { "answers" };
        return Transition::Done(said.to_owned());
    }
    if now_us > until_us {
        let after_s = ANSWER_MAX_US / 1_000_000;
        return Transition::Failed(format!("{target} does not answer {after_s} s after its start"));
    }
    Transition::Stay(State::Starting { target, until_us, starts })
}

/// Asks the brokers again and again, until all replicas of all partitions are in sync.
pub(super) fn advance_in_sync(
    asked: Option<PendingCommand>,
    next_us: i64,
    endpoints: &Endpoints,
    now_us: i64,
) -> Transition {
    match asked {
        Some(command) if command.is_answered() => match command.answer() {
            Ok(answer) if answer == "yes" => Transition::Done(IN_SYNC.to_owned()),
            Ok(_) => Transition::Stay(State::AwaitingInSync { asked: None, next_us: now_us + IN_SYNC_EVERY_US }),
            Err(error) => Transition::Failed(error),
        },
        None if next_us <= now_us => match PendingCommand::all_in_sync(&endpoints.kafka) {
            Ok(command) => Transition::Stay(State::AwaitingInSync { asked: Some(command), next_us: i64::MAX }),
            Err(error) => Transition::Failed(error),
        },
        asked => Transition::Stay(State::AwaitingInSync { asked, next_us }),
    }
}

//! What an action does at once, and the state that its fault is in from then on.

use rustix::process::Signal;

use super::{
    Injector,
    process_restart::terminated,
    state::{State, set_condition},
};
use crate::{
    cluster::network::Condition,
    fault::{Targets, pending_command::PendingCommand},
    variant::fault::{Action, Link, Target},
};
use shasta_model::manifest::fault::Record;

impl Injector {
    /// Begins a fault; none for a state when that is all there is to it. The text is the first step of its record.
    pub(super) fn first_state(
        &self,
        targets: &mut Targets<'_>,
        action: Action,
        record: &mut Record,
        now_us: i64,
        until_us: i64,
    ) -> Result<(Option<State>, String), String> {
        let url = &self.endpoints.redis_url;
        let (state, said) = match action {
            Action::Kill(target) => {
                let target = self.resolve(targets, target, record)?;
                targets.signal(target, Signal::KILL)?;
                (State::Down { target, start_us: until_us, kill_us: i64::MAX, starts: 0 }, "killed")
            }
            Action::Pause(target) => {
                let target = self.resolve(targets, target, record)?;
                targets.signal(target, Signal::STOP)?;
                (State::Paused { target, until_us }, "paused")
            }
            Action::Restart(target) => {
                let target = self.resolve(targets, target, record)?;
                (terminated(targets, target, now_us)?, "stopped")
            }
            Action::RollingRestart => {
                let target = self.resolve(targets, Target::Broker(1), record)?;
                (terminated(targets, target, now_us)?, "broker 1 stopped")
            }
            Action::FlushScripts => {
                let command = PendingCommand::redis(url, &["SCRIPT", "FLUSH"])?;
                (State::AwaitingReply { command, said: "flushed" }, "asked for")
            }
            Action::FillRedis => {
                let command = PendingCommand::redis(url, &["CONFIG", "GET", "maxmemory"])?;
                (State::ReadingMaxmemory { command, until_us }, "asked for")
            }
            Action::FailoverRedis => {
                let gone = targets.cluster.failover_redis().map_err(|error| error.to_string())?;
                return Ok((None, format!("{gone} killed, its replica took over")));
            }
            Action::StepClock { worker, by_us } => {
                targets.pool.step_clock(worker, by_us).map_err(|error| error.to_string())?;
                if until_us == i64::MAX {
                    return Ok((None, "stepped, for good".into()));
                }
                let pid = targets.pool.pid(worker);
                (State::ClockStepped { worker, pid, by_us, until_us }, "stepped")
            }
            Action::FillDisk => {
                targets.disk.fill().map_err(|error| format!("/dev/full: {error}"))?;
                return Ok((None, "full, to the end of the run".into()));
            }
            Action::Cut(link) => {
                (disturbed(targets, link, Condition { cut: true, ..Condition::default() }, until_us)?, "cut")
            }
            Action::Delay(link, by) => {
                (disturbed(targets, link, Condition { delay: by.0, cut: false }, until_us)?, "delayed")
            }
        };
        Ok((Some(state), said.to_owned()))
    }

    /// The process itself, unless another fault has it already.
    fn resolve(&self, targets: &mut Targets<'_>, target: Target, record: &mut Record) -> Result<Target, String> {
        let target = match target {
            Target::Controller => {
                let leader = targets.controller()?;
                record.what = format!("{} ({leader})", record.what);
                leader
            }
            other => other,
        };
        if self.active.iter().any(|active| active.state.target() == Some(target)) {
            return Err(format!("another fault has {target} at this moment"));
        }
        Ok(target)
    }
}

fn disturbed(targets: &Targets<'_>, link: Link, condition: Condition, until_us: i64) -> Result<State, String> {
    set_condition(targets, &link, condition)?;
    Ok(State::LinkDisturbed { link, until_us })
}

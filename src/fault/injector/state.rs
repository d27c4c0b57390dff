//! The states of a fault that goes on, and how each goes over into the next.
//!
//! ```text
//! due ──▶ Down ──▶ Starting ──▶ (rolling restart: AwaitingInSync ──▶ Down of the next) ──▶ done
//!     ──▶ Paused, ClockStepped, LinkDisturbed ──▶ done
//!     ──▶ ReadingMaxmemory ──▶ Full ──▶ AwaitingReply ──▶ done
//!     ──▶ AwaitingReply ──▶ done
//! ended by itself ──▶ Down, for a second ──▶ Starting ──▶ done
//! ```

use rustix::process::Signal;

use super::process_restart::{advance_down, advance_in_sync, advance_starting};
use crate::{
    cluster::{Endpoints, network::Condition},
    fault::{Targets, pending_command::PendingCommand},
    variant::fault::{Link, Target},
};

/// A Redis that may hold so few bytes refuses every write.
const REDIS_FULL_BYTES: &str = "1";

pub(super) enum State {
    /// It has ended or is about to, and will be started at `start_us`.
    Down {
        target: Target,
        start_us: i64,
        kill_us: i64,
        starts: u32,
    },
    Starting {
        target: Target,
        until_us: i64,
        starts: u32,
    },
    Paused {
        target: Target,
        until_us: i64,
    },
    /// Of a rolling restart, before its next broker.
    AwaitingInSync {
        asked: Option<PendingCommand>,
        next_us: i64,
    },
    /// The last command of a fault.
    AwaitingReply {
        command: PendingCommand,
        said: &'static str,
    },
    /// Redis is asked how much memory it may have.
    ReadingMaxmemory {
        command: PendingCommand,
        until_us: i64,
    },
    /// Redis has no room.
    Full {
        maxmemory_before: String,
        until_us: i64,
    },
    ClockStepped {
        worker: u32,
        /// The process that was told: one that is started again has the run's clock.
        pid: u32,
        by_us: i64,
        until_us: i64,
    },
    LinkDisturbed {
        link: Link,
        until_us: i64,
    },
}

/// How a state goes on. Texts are steps of the fault's record.
pub(super) enum Transition {
    Stay(State),
    To(State, String),
    Done(String),
    Failed(String),
}

impl State {
    /// The process that it has, if any.
    pub fn target(&self) -> Option<Target> {
        match self {
            Self::Down { target, .. } | Self::Starting { target, .. } | Self::Paused { target, .. } => Some(*target),
            _ => None,
        }
    }

    /// Whether it is about to start this process.
    pub fn is_restart_of(&self, process: Target) -> bool {
        matches!(self, Self::Down { target, .. } | Self::Starting { target, .. } if *target == process)
    }

    /// When it goes on; none when an answer is awaited.
    pub fn next_us(&self) -> Option<i64> {
        match self {
            Self::Down { start_us: at_us, .. }
            | Self::Paused { until_us: at_us, .. }
            | Self::AwaitingInSync { next_us: at_us, .. }
            | Self::Full { until_us: at_us, .. }
            | Self::ClockStepped { until_us: at_us, .. }
            | Self::LinkDisturbed { until_us: at_us, .. } => Some(*at_us),
            Self::Starting { .. } | Self::AwaitingReply { .. } | Self::ReadingMaxmemory { .. } => None,
        }
    }

    /// Lets it end at this time, if it would end later.
    pub fn end_at(&mut self, now_us: i64) {
        match self {
            Self::Down { start_us: at_us, .. }
            | Self::Paused { until_us: at_us, .. }
            | Self::ReadingMaxmemory { until_us: at_us, .. }
            | Self::Full { until_us: at_us, .. }
            | Self::ClockStepped { until_us: at_us, .. }
            | Self::LinkDisturbed { until_us: at_us, .. } => *at_us = (*at_us).min(now_us),
            Self::Starting { .. } | Self::AwaitingInSync { .. } | Self::AwaitingReply { .. } => {}
        }
    }

    pub fn advance(self, targets: &mut Targets<'_>, endpoints: &Endpoints, now_us: i64) -> Transition {
        match self {
            Self::Down { target, start_us, kill_us, starts } => {
                advance_down(targets, target, (start_us, kill_us, starts), now_us)
            }
            Self::Starting { target, until_us, starts } => {
                advance_starting(targets, target, (until_us, starts), now_us)
            }
            Self::AwaitingInSync { asked, next_us } => advance_in_sync(asked, next_us, endpoints, now_us),
            Self::AwaitingReply { command, said } if command.is_answered() => match command.answer() {
                Ok(_) => Transition::Done(said.to_owned()),
                Err(error) => Transition::Failed(error),
            },
            Self::ReadingMaxmemory { command, until_us } if command.is_answered() => fill(command, until_us, endpoints),
            Self::Paused { target, until_us } if until_us <= now_us => {
                done(targets.signal(target, Signal::CONT), "goes on")
            }
            Self::Full { maxmemory_before, until_us } if until_us <= now_us => {
                match set_maxmemory(endpoints, &maxmemory_before) {
                    Ok(command) => Transition::Stay(Self::AwaitingReply { command, said: "has room again" }),
                    Err(error) => Transition::Failed(error),
                }
            }
            Self::ClockStepped { worker, pid, by_us, until_us } if until_us <= now_us => {
                if targets.pool.pid(worker) != pid {
                    return Transition::Done("started again meanwhile, with the run's clock".to_owned());
                }
                let stepped = targets.pool.step_clock(worker, -by_us);
                done(stepped.map_err(|error| error.to_string()), "stepped back")
            }
            Self::LinkDisturbed { link, until_us } if until_us <= now_us => {
                done(set_condition(targets, &link, Condition::default()), "whole again")
            }
            other => Transition::Stay(other),
        }
    }
}

fn done(result: Result<(), String>, said: &str) -> Transition {
    match result {
        Ok(()) => Transition::Done(said.to_owned()),
        Err(error) => Transition::Failed(error),
    }
}

fn set_maxmemory(endpoints: &Endpoints, bytes: &str) -> Result<PendingCommand, String> {
    PendingCommand::redis(&endpoints.redis_url, &["CONFIG", "SET", "maxmemory", bytes])
}

fn fill(maxmemory: PendingCommand, until_us: i64, endpoints: &Endpoints) -> Transition {
    let filled =
        maxmemory.answer().and_then(|before| set_maxmemory(endpoints, REDIS_FULL_BYTES)?.answer().map(|_| before));
    match filled {
        Ok(maxmemory_before) => Transition::To(State::Full { maxmemory_before, until_us }, "full".to_owned()),
        Err(error) => Transition::Failed(error),
    }
}

/// Sets what happens on a link between the parts of the run.
pub(super) fn set_condition(targets: &Targets<'_>, link: &Link, condition: Condition) -> Result<(), String> {
    let network = targets.network.ok_or("there is nothing between the parts of this run that could be disturbed")?;
    network.set(link, condition).map_err(|error| error.to_string())
}

//! Carries out the faults of a run, each as a small state machine that the run's own loop moves on: nothing here waits,
//! so that several faults may overlap and an interrupted run can undo them at once.
//!
//! ```text
//! due ──▶ Down ──▶ Starting ──▶ (rolling restart: Syncing ──▶ Down of the next) ──▶ done
//!     ──▶ Paused, Filled, Stepped, Linked ──▶ done                 Asking ──▶ done or Filled
//! ended by itself ──▶ Down, for a second ──▶ Starting ──▶ done
//! ```

use std::collections::VecDeque;

use rustix::process::Signal;

use super::{Record, Targets, commands::Order};
use crate::{
    cluster::{Endpoints, network::Condition},
    output::terminal::first_line,
    variant::fault::{Action, BROKERS_LOCAL, Fault, Link, Target},
};

/// How long a process that ended by itself stays away.
const OUTSIDE_AWAY_US: i64 = 1_000_000;
/// How often one process is started again, after ends that no fault of the run made.
const OUTSIDE_STARTS_MAX: usize = 5;
/// How long a process may take to end in good order, and to answer again.
const END_MAX_US: i64 = 30_000_000;
const ANSWER_MAX_US: i64 = 60_000_000;
/// How often a process is started that ends again at once.
const STARTS_MAX: u32 = 5;
/// How often is asked whether all replicas are in sync.
const SYNC_EVERY_US: i64 = 200_000;
/// A Redis that may hold so few bytes refuses every write.
const REDIS_FULL_BYTES: &str = "1";

/// The faults of a run, and what has become of them.
pub struct Injector {
    /// In order of time.
    due: VecDeque<(i64, Fault)>,
    active: Vec<Active>,
    records: Vec<Record>,
    /// Processes that ended by themselves, once for each time.
    outside: Vec<Target>,
    endpoints: Endpoints,
    undone: bool,
}

struct Active {
    /// Its record's place.
    record: usize,
    state: State,
    /// Brokers that a rolling restart has still to come to.
    rest: VecDeque<u32>,
    rolling: bool,
}

enum State {
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
    Syncing {
        asked: Option<Order>,
        next_us: i64,
    },
    /// The last order of a fault.
    Asking {
        order: Order,
        said: &'static str,
    },
    /// Redis is asked how much memory it may have.
    Measuring {
        order: Order,
        until_us: i64,
    },
    Filled {
        was: String,
        until_us: i64,
    },
    Stepped {
        worker: u32,
        /// The process that was told: one that is started again has the run's clock.
        pid: u32,
        by_us: i64,
        until_us: i64,
    },
    Linked {
        link: Link,
        until_us: i64,
    },
}

/// How a state goes on.
enum Next {
    Wait(State),
    Become(State, String),
    Done(String),
    Failed(String),
}

impl Injector {
    /// For a run whose window starts at `window_start_us`, µs of the Unix epoch.
    pub fn new(faults: &[Fault], window_start_us: i64, endpoints: Endpoints) -> Self {
        let at_us = |fault: &Fault| window_start_us + us(fault.at.0);
        let mut due: Vec<_> = faults.iter().map(|fault| (at_us(fault), fault.clone())).collect();
        due.sort_by_key(|(at_us, _)| *at_us);
        let (active, records, outside) = (Vec::new(), Vec::new(), Vec::new());
        Self { due: due.into(), active, records, outside, endpoints, undone: false }
    }

    /// When something is to be done next; none when only answers are awaited.
    pub fn next_us(&self) -> Option<i64> {
        let active = self.active.iter().filter_map(|active| active.state.next_us());
        active.chain(self.due.front().map(|(at_us, _)| *at_us)).min()
    }

    /// Whether some fault is going on.
    pub fn is_active(&self) -> bool {
        !self.active.is_empty()
    }

    /// Does what is due, looks for processes that have ended by themselves, and says what happened.
    pub fn tick(&mut self, targets: &mut Targets<'_>, now_us: i64) -> Vec<String> {
        let mut told = Vec::new();
        while let Some((_, fault)) = self.due.pop_front_if(|(at_us, _)| *at_us <= now_us) {
            told.push(self.begin(targets, &fault, now_us));
        }
        self.look_outside(targets, now_us, &mut told);
        for active in std::mem::take(&mut self.active) {
            self.advance(active, targets, now_us, &mut told);
        }
        told
    }

    /// Lets all faults end at the next tick, and begins no others: the run is to end. Returns which were never begun.
    pub fn undo(&mut self, now_us: i64) -> Vec<String> {
        self.undone = true;
        for active in &mut self.active {
            active.state.end_at(now_us);
            if !active.rest.is_empty() {
                active.rest.clear();
                self.records[active.record].error = Some("the run ended before all brokers had been restarted".into());
            }
        }
        self.due.drain(..).map(|(_, fault)| format!("`{fault}` did not begin: the run ended before")).collect()
    }

    /// What became of each, in order of their beginnings.
    pub fn finish(mut self, now_us: i64) -> Vec<Record> {
        for active in self.active {
            let record = &mut self.records[active.record];
            record.end_us = now_us;
            record.error.get_or_insert_with(|| "it was not over when the run ended".to_owned());
        }
        self.records.sort_by_key(|record| record.start_us);
        self.records
    }

    fn begin(&mut self, targets: &mut Targets<'_>, fault: &Fault, now_us: i64) -> String {
        let mut record = Record::new(fault.what.to_string(), now_us, false);
        let until_us = fault.lasts.map_or(i64::MAX, |lasts| now_us + us(lasts.0));
        let rest = match fault.what {
            Action::RollingRestart => (2..=BROKERS_LOCAL).collect(),
            _ => VecDeque::new(),
        };
        match self.strike(targets, fault.what, &mut record, now_us, until_us) {
            Ok((Some(state), said)) => {
                record.step(now_us, said);
                let rolling = fault.what == Action::RollingRestart;
                self.active.push(Active { record: self.records.len(), state, rest, rolling });
            }
            Ok((None, said)) => {
                record.step(now_us, said);
                record.done = true;
            }
            Err(error) => record.error = Some(error),
        }
        let told = record.told();
        self.records.push(record);
        told
    }

    /// Begins a fault; none for a state when that is all there is to it.
    fn strike(
        &self,
        targets: &mut Targets<'_>,
        what: Action,
        record: &mut Record,
        now_us: i64,
        until_us: i64,
    ) -> Result<(Option<State>, String), String> {
        let url = &self.endpoints.redis_url;
        let (state, said) = match what {
            Action::Kill(target) => {
                let target = self.free(targets, target, record)?;
                targets.signal(target, Signal::KILL)?;
                (State::Down { target, start_us: until_us, kill_us: i64::MAX, starts: 0 }, "killed")
            }
            Action::Pause(target) => {
                let target = self.free(targets, target, record)?;
                targets.signal(target, Signal::STOP)?;
                (State::Paused { target, until_us }, "paused")
            }
            Action::Restart(target) => {
                let target = self.free(targets, target, record)?;
                return Ok((Some(terminated(targets, target, now_us)?), "stopped".into()));
            }
            Action::RollingRestart => {
                let target = self.free(targets, Target::Broker(1), record)?;
                return Ok((Some(terminated(targets, target, now_us)?), "broker 1 stopped".into()));
            }
            Action::FlushScripts => {
                let order = Order::redis(url, &["SCRIPT", "FLUSH"])?;
                (State::Asking { order, said: "flushed" }, "asked for")
            }
            Action::FillRedis => {
                let order = Order::redis(url, &["CONFIG", "GET", "maxmemory"])?;
                (State::Measuring { order, until_us }, "asked for")
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
                (State::Stepped { worker, pid, by_us, until_us }, "stepped")
            }
            Action::FillDisk => {
                targets.disk.fill().map_err(|error| format!("/dev/full: {error}"))?;
                return Ok((None, "full, to the end of the run".into()));
            }
            Action::Cut(link) => {
                (linked(targets, link, Condition { cut: true, ..Condition::default() }, until_us)?, "cut")
            }
            Action::Delay(link, by) => {
                (linked(targets, link, Condition { delay: by.0, cut: false }, until_us)?, "delayed")
            }
        };
        Ok((Some(state), said.to_owned()))
    }

    /// The process itself, unless another fault has it already.
    fn free(&self, targets: &mut Targets<'_>, target: Target, record: &mut Record) -> Result<Target, String> {
        let target = match target {
            Target::Controller => {
                let leader = targets.controller()?;
                record.what = format!("{} ({leader})", record.what);
                leader
            }
            other => other,
        };
        if self.is_struck(target) {
            return Err(format!("another fault has {target} at this moment"));
        }
        Ok(target)
    }

    fn is_struck(&self, target: Target) -> bool {
        self.active.iter().any(|active| active.state.target() == Some(target))
    }

    /// A process that nobody here has ended is started again as well, and stands among the faults.
    fn look_outside(&mut self, targets: &mut Targets<'_>, now_us: i64, told: &mut Vec<String>) {
        let is_down = |active: &Active, target| match active.state {
            State::Down { target: other, .. } | State::Starting { target: other, .. } => other == target,
            _ => false,
        };
        for target in targets.all() {
            if self.active.iter().any(|active| is_down(active, target)) {
                continue;
            }
            // What cannot be asked now can be asked a moment later.
            let Ok(Some(how)) = targets.ended(target) else { continue };
            let times = self.outside.iter().filter(|other| **other == target).count();
            if times > OUTSIDE_STARTS_MAX {
                continue;
            }
            self.outside.push(target);
            let mut record = Record::new(format!("{target} ended by itself ({})", first_line(&how)), now_us, true);
            if times == OUTSIDE_STARTS_MAX {
                record.error = Some(format!("it ended {times} times before, and is not started again"));
            } else {
                record.step(now_us, "it is started again in a second");
                let start_us = if self.undone { now_us } else { now_us + OUTSIDE_AWAY_US };
                let state = State::Down { target, start_us, kill_us: i64::MAX, starts: 0 };
                let record = self.records.len();
                self.active.push(Active { record, state, rest: VecDeque::new(), rolling: false });
            }
            told.push(record.told());
            self.records.push(record);
        }
    }

    fn advance(&mut self, active: Active, targets: &mut Targets<'_>, now_us: i64, told: &mut Vec<String>) {
        let Active { record: place, mut state, mut rest, rolling } = active;
        loop {
            let next = match state.advance(targets, &self.endpoints, now_us) {
                Next::Done(said) if rolling => roll_on(targets, &mut rest, said, now_us),
                next => next,
            };
            let record = &mut self.records[place];
            match next {
                Next::Wait(state) => return self.active.push(Active { record: place, state, rest, rolling }),
                Next::Become(next, said) => {
                    record.step(now_us, said);
                    told.push(record.told());
                    state = next;
                }
                Next::Done(said) => {
                    record.step(now_us, said);
                    told.push(record.told());
                    record.done = record.error.is_none();
                    return;
                }
                Next::Failed(error) => {
                    record.end_us = now_us;
                    record.error = Some(error);
                    told.push(record.told());
                    return;
                }
            }
        }
    }
}

/// A rolling restart after one of its states is over: first all in sync, then the next broker.
fn roll_on(targets: &mut Targets<'_>, rest: &mut VecDeque<u32>, said: String, now_us: i64) -> Next {
    if said != IN_SYNC {
        return Next::Become(State::Syncing { asked: None, next_us: now_us }, said);
    }
    let Some(broker) = rest.pop_front() else { return Next::Done(said) };
    match terminated(targets, Target::Broker(broker), now_us) {
        Ok(state) => Next::Become(state, format!("{IN_SYNC}; broker {broker} stopped")),
        Err(error) => Next::Failed(error),
    }
}

const IN_SYNC: &str = "all in sync";

fn terminated(targets: &mut Targets<'_>, target: Target, now_us: i64) -> Result<State, String> {
    targets.terminate(target)?;
    Ok(State::Down { target, start_us: now_us, kill_us: now_us + END_MAX_US, starts: 0 })
}

fn linked(targets: &Targets<'_>, link: Link, condition: Condition, until_us: i64) -> Result<State, String> {
    set(targets, &link, condition)?;
    Ok(State::Linked { link, until_us })
}

fn set(targets: &Targets<'_>, link: &Link, condition: Condition) -> Result<(), String> {
    let network = targets.network.ok_or("there is nothing between the parts of this run that could be disturbed")?;
    network.set(link, condition).map_err(|error| error.to_string())
}

impl State {
    /// The process that it has, if any.
    fn target(&self) -> Option<Target> {
        match self {
            Self::Down { target, .. } | Self::Starting { target, .. } | Self::Paused { target, .. } => Some(*target),
            _ => None,
        }
    }

    fn next_us(&self) -> Option<i64> {
        match self {
            Self::Down { start_us: at_us, .. }
            | Self::Paused { until_us: at_us, .. }
            | Self::Syncing { next_us: at_us, .. }
            | Self::Filled { until_us: at_us, .. }
            | Self::Stepped { until_us: at_us, .. }
            | Self::Linked { until_us: at_us, .. } => Some(*at_us),
            Self::Starting { .. } | Self::Asking { .. } | Self::Measuring { .. } => None,
        }
    }

    fn end_at(&mut self, now_us: i64) {
        match self {
            Self::Down { start_us: at_us, .. }
            | Self::Paused { until_us: at_us, .. }
            | Self::Measuring { until_us: at_us, .. }
            | Self::Filled { until_us: at_us, .. }
            | Self::Stepped { until_us: at_us, .. }
            | Self::Linked { until_us: at_us, .. } => *at_us = (*at_us).min(now_us),
            Self::Starting { .. } | Self::Syncing { .. } | Self::Asking { .. } => {}
        }
    }

    fn advance(self, targets: &mut Targets<'_>, endpoints: &Endpoints, now_us: i64) -> Next {
        match self {
            Self::Down { target, start_us, kill_us, starts } => {
                down(targets, target, (start_us, kill_us, starts), now_us)
            }
            Self::Starting { target, until_us, starts } => starting(targets, target, (until_us, starts), now_us),
            Self::Syncing { asked, next_us } => syncing(asked, next_us, endpoints, now_us),
            Self::Asking { order, said } if order.is_answered() => match order.answer() {
                Ok(_) => Next::Done(said.to_owned()),
                Err(error) => Next::Failed(error),
            },
            Self::Measuring { order, until_us } if order.is_answered() => fill(order, until_us, endpoints),
            Self::Paused { target, until_us } if until_us <= now_us => {
                done(targets.signal(target, Signal::CONT), "goes on")
            }
            Self::Filled { was, until_us } if until_us <= now_us => {
                match Order::redis(&endpoints.redis_url, &["CONFIG", "SET", "maxmemory", &was]) {
                    Ok(order) => Next::Wait(Self::Asking { order, said: "has room again" }),
                    Err(error) => Next::Failed(error),
                }
            }
            Self::Stepped { worker, pid, by_us, until_us } if until_us <= now_us => {
                if targets.pool.pid(worker) != pid {
                    return Next::Done("started again meanwhile, with the run's clock".to_owned());
                }
                let stepped = targets.pool.step_clock(worker, -by_us);
                done(stepped.map_err(|error| error.to_string()), "stepped back")
            }
            Self::Linked { link, until_us } if until_us <= now_us => {
                done(set(targets, &link, Condition::default()), "whole again")
            }
            other => Next::Wait(other),
        }
    }
}

fn done(result: Result<(), String>, said: &str) -> Next {
    match result {
        Ok(()) => Next::Done(said.to_owned()),
        Err(error) => Next::Failed(error),
    }
}

fn down(targets: &mut Targets<'_>, target: Target, (start_us, kill_us, starts): (i64, i64, u32), now_us: i64) -> Next {
    let wait = |kill_us| Next::Wait(State::Down { target, start_us, kill_us, starts });
    if now_us < start_us {
        return wait(kill_us);
    }
    match targets.ended(target) {
        Err(error) => return Next::Failed(error),
        Ok(None) if now_us > kill_us => {
            // It has had its time. What cannot be killed is not there.
            let _ = targets.signal(target, Signal::KILL);
            return wait(i64::MAX);
        }
        Ok(None) => return wait(kill_us),
        Ok(Some(_)) => {}
    }
    match targets.start(target) {
        Ok(()) => {
            let until_us = now_us + ANSWER_MAX_US;
            Next::Become(State::Starting { target, until_us, starts: starts + 1 }, "started".to_owned())
        }
        Err(error) => Next::Failed(error),
    }
}

fn starting(targets: &mut Targets<'_>, target: Target, (until_us, starts): (i64, u32), now_us: i64) -> Next {
    match targets.ended(target) {
        Err(error) => return Next::Failed(error),
        Ok(Some(_)) if starts < STARTS_MAX => {
            // A port of its own may be taken for a moment.
            let state = State::Down { target, start_us: now_us + OUTSIDE_AWAY_US, kill_us: i64::MAX, starts };
            return Next::Become(state, "ended again".to_owned());
        }
        Ok(Some(how)) => return Next::Failed(format!("{target} ended again ({how})")),
        Ok(None) => {}
    }
    if targets.answers(target) {
        let said = if matches!(target, Target::Worker(_)) { "runs" } else { "answers" };
        return Next::Done(said.to_owned());
    }
    if now_us > until_us {
        return Next::Failed(format!("{target} does not answer {} s after its start", ANSWER_MAX_US / 1_000_000));
    }
    Next::Wait(State::Starting { target, until_us, starts })
}

fn syncing(asked: Option<Order>, next_us: i64, endpoints: &Endpoints, now_us: i64) -> Next {
    match asked {
        Some(order) if order.is_answered() => match order.answer() {
            Ok(answer) if answer == "yes" => Next::Done(IN_SYNC.to_owned()),
            Ok(_) => Next::Wait(State::Syncing { asked: None, next_us: now_us + SYNC_EVERY_US }),
            Err(error) => Next::Failed(error),
        },
        None if next_us <= now_us => match Order::in_sync(&endpoints.kafka) {
            Ok(order) => Next::Wait(State::Syncing { asked: Some(order), next_us: i64::MAX }),
            Err(error) => Next::Failed(error),
        },
        asked => Next::Wait(State::Syncing { asked, next_us }),
    }
}

fn fill(measured: Order, until_us: i64, endpoints: &Endpoints) -> Next {
    let filled = measured.answer().and_then(|was| {
        Order::redis(&endpoints.redis_url, &["CONFIG", "SET", "maxmemory", REDIS_FULL_BYTES])?.answer().map(|_| was)
    });
    match filled {
        Ok(was) => Next::Become(State::Filled { was, until_us }, "full".to_owned()),
        Err(error) => Next::Failed(error),
    }
}

fn us(length: std::time::Duration) -> i64 {
    i64::try_from(length.as_micros()).unwrap_or(i64::MAX)
}

//! Carries out the faults of a run, each as a small state machine ([`State`]) that the run's own loop moves on: nothing
//! here waits, so that several faults may overlap and an interrupted run can undo them at once.

mod first_state;
mod process_restart;
mod state;

use std::collections::VecDeque;

use self::{
    process_restart::{CRASH_RESTART_DELAY_US, CRASH_RESTARTS_MAX, next_of_rolling_restart},
    state::{State, Transition},
};
use super::Targets;
use crate::{
    cluster::Endpoints,
    output::terminal::first_line,
    variant::fault::{Action, BROKERS_LOCAL, Fault, Target},
};
use shasta_model::manifest::fault::Record;

/// The faults of a run, and what has become of them.
pub struct Injector {
    /// In order of time.
    due: VecDeque<(i64, Fault)>,
    active: Vec<ActiveFault>,
    records: Vec<Record>,
    /// Processes that ended by themselves, once for each time.
    crashed: Vec<Target>,
    endpoints: Endpoints,
    undone: bool,
}

struct ActiveFault {
    /// Index of its record.
    record: usize,
    state: State,
    /// Brokers that a rolling restart has still to come to.
    brokers_left: VecDeque<u32>,
    is_rolling: bool,
}

impl Injector {
    /// For a run whose window starts at `window_start_us`, µs of the Unix epoch.
    pub fn new(faults: &[Fault], window_start_us: i64, endpoints: Endpoints) -> Self {
        let at_us = |fault: &Fault| window_start_us + us(fault.at.0);
        let mut due: Vec<_> = faults.iter().map(|fault| (at_us(fault), fault.clone())).collect();
        due.sort_by_key(|(at_us, _)| *at_us);
        let (active, records, crashed) = (Vec::new(), Vec::new(), Vec::new());
        Self { due: due.into(), active, records, crashed, endpoints, undone: false }
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
        self.restart_crashed(targets, now_us, &mut told);
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
            if !active.brokers_left.is_empty() {
                active.brokers_left.clear();
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
        match self.first_state(targets, fault.what, &mut record, now_us, until_us) {
            Ok((Some(state), said)) => {
                record.step(now_us, said);
                let is_rolling = fault.what == Action::RollingRestart;
                let brokers_left = if is_rolling { (2..=BROKERS_LOCAL).collect() } else { VecDeque::new() };
                self.active.push(ActiveFault { record: self.records.len(), state, brokers_left, is_rolling });
            }
            Ok((None, said)) => {
                record.step(now_us, said);
                record.done = true;
            }
            Err(error) => record.error = Some(error),
        }
        let told = in_words(&record);
        self.records.push(record);
        told
    }

    /// A process that ended by itself is started again as well, and stands among the faults.
    fn restart_crashed(&mut self, targets: &mut Targets<'_>, now_us: i64, told: &mut Vec<String>) {
        for target in targets.all() {
            if self.active.iter().any(|active| active.state.is_restart_of(target)) {
                continue;
            }
            // What cannot be asked now can be asked a moment later.
            let Ok(Some(how)) = targets.ended(target) else { continue };
            let times = self.crashed.iter().filter(|other| **other == target).count();
            if times > CRASH_RESTARTS_MAX {
                continue;
            }
            self.crashed.push(target);
            let mut record = Record::new(format!("{target} ended by itself ({})", first_line(&how)), now_us, true);
            if times == CRASH_RESTARTS_MAX {
                record.error = Some(format!("it ended {times} times before, and is not started again"));
            } else {
                record.step(now_us, "it is started again in a second");
                let start_us = if self.undone { now_us } else { now_us + CRASH_RESTART_DELAY_US };
                let state = State::Down { target, start_us, kill_us: i64::MAX, starts: 0 };
                let (record, brokers_left) = (self.records.len(), VecDeque::new());
                self.active.push(ActiveFault { record, state, brokers_left, is_rolling: false });
            }
            told.push(in_words(&record));
            self.records.push(record);
        }
    }

    fn advance(&mut self, mut active: ActiveFault, targets: &mut Targets<'_>, now_us: i64, told: &mut Vec<String>) {
        loop {
            let was_in_sync_check = matches!(active.state, State::AwaitingInSync { .. });
            let transition = match active.state.advance(targets, &self.endpoints, now_us) {
                Transition::Done(said) if active.is_rolling => {
                    next_of_rolling_restart(targets, &mut active.brokers_left, was_in_sync_check, said, now_us)
                }
                other => other,
            };
            let record = &mut self.records[active.record];
            match transition {
                Transition::Stay(state) => return self.active.push(ActiveFault { state, ..active }),
                Transition::To(state, said) => {
                    record.step(now_us, said);
                    told.push(in_words(record));
                    active.state = state;
                }
                Transition::Done(said) => {
                    record.step(now_us, said);
                    told.push(in_words(record));
                    record.done = record.error.is_none();
                    return;
                }
                Transition::Failed(error) => {
                    record.end_us = now_us;
                    record.error = Some(error);
                    told.push(in_words(record));
                    return;
                }
            }
        }
    }
}

fn us(length: std::time::Duration) -> i64 {
    i64::try_from(length.as_micros()).unwrap_or(i64::MAX)
}

/// In words, for the screen while the run goes on.
fn in_words(record: &Record) -> String {
    match (&record.error, record.steps.last()) {
        (Some(error), _) => format!("fault: {}: {error}", record.what),
        (None, Some(step)) => format!("fault: {}: {}", record.what, step.what),
        (None, None) => format!("fault: {}", record.what),
    }
}

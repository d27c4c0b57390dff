//! The producers of a run: all connections are open before the load starts.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use super::{RunError, context::RunContext, null_run};
use crate::{
    producer::{Outcome, Producers},
    run::collector::{Collector, Input},
};

const TICK: Duration = Duration::from_millis(50);
/// Between the order to go and the first event that is due.
const LEAD_US: i64 = 100_000;

impl RunContext<'_> {
    /// Opens all connections, and waits until each has had an event acked. Returns how long that took, in s.
    pub fn connect(&self, collector: &Collector) -> Result<(Producers, f64), RunError> {
        let started = Instant::now();
        let sender = collector.sender();
        let null = self.load.null;
        let sink = move |outcomes: Vec<Outcome>| {
            let receipts = null.then(|| Input::Worker(0, null_run::receipts(&outcomes)));
            // The collector ends only after its senders have.
            let _ = sender.send(Input::Outcomes(outcomes));
            receipts.into_iter().for_each(|receipts| drop(sender.send(receipts)));
        };
        let producers = Producers::start(&self.load, sink)?;
        let wanted = self.load.connections;
        while producers.connected() < wanted {
            if producers.ended() {
                // Only a failure ends a thread so early.
                producers.finish()?;
                return Err(RunError::Interrupted);
            }
            if self.stop.requested() {
                producers.stop();
                producers.finish()?;
                return Err(RunError::Interrupted);
            }
            self.progress.line(&format!("connecting: {} of {wanted}", producers.connected()));
            std::thread::sleep(TICK);
        }
        let took_s = started.elapsed().as_secs_f64();
        let warm_s = self.load.warm_up.duration.as_secs_f64();
        self.progress.step(&format!("{wanted} connections open in {took_s:.1} s; warming up for {warm_s:.0} s"));
        Ok((producers, took_s))
    }

    /// Starts the load, and returns the measured window, µs of the Unix epoch.
    pub fn start_load(&self, producers: &mut Producers) -> Range<i64> {
        let warm_start_us = self.clock.now_us() + LEAD_US;
        let start_us = warm_start_us + self.load.warm_up.duration.as_micros() as i64;
        producers.go(warm_start_us, start_us);
        start_us..start_us + self.load.window.duration.as_micros() as i64
    }
}

//! While the run goes on: the progress line, the user's stop, and what goes wrong meanwhile.

use std::{
    ops::Range,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use super::{RunError, context::RunContext};
use crate::{
    cluster::Cluster,
    fault::{Injector, Targets},
    machine::harness::Harness,
    producer::{Counters, Producers},
    run::collector::{Collector, RunStatus},
    worker::pool::WorkerPool,
};
use shasta_model::manifest::fault::Record;
use shasta_model::number::thousands;

const TICK: Duration = Duration::from_millis(100);
/// While a fault goes on, and at least.
const TICK_OF_FAULT: Duration = Duration::from_millis(20);
const TICK_MIN: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

pub(super) struct Monitor<'a> {
    context: &'a RunContext<'a>,
    window_us: &'a Range<i64>,
    collector: &'a Collector,
    status: &'a Arc<RunStatus>,
    harness: &'a Harness,
    counters: &'a Arc<Counters>,
    faults: Injector,
    /// When the last line was shown, and what had been sent, warm-up included, and stored then.
    shown: (Instant, u64, u64),
    troubles: Vec<String>,
    topic_lost: Option<String>,
}

impl<'a> Monitor<'a> {
    pub fn new(
        context: &'a RunContext<'a>,
        window_us: &'a Range<i64>,
        collector: &'a Collector,
        harness: &'a Harness,
        counters: &'a Arc<Counters>,
    ) -> Self {
        let faults = Injector::new(&context.request.variant.fault, window_us.start, context.endpoints.clone());
        let (status, shown) = (collector.status(), (Instant::now(), 0, 0));
        let (troubles, topic_lost) = (Vec::new(), None);
        Self { context, window_us, collector, status, harness, counters, faults, shown, troubles, topic_lost }
    }

    /// Waits until the producers have ended, by themselves or because the user wants it. Returns the end of the window,
    /// µs of the Unix epoch: earlier than planned when interrupted.
    pub fn until_published(
        &mut self,
        producers: &Producers,
        cluster: &mut dyn Cluster,
        pool: &mut WorkerPool,
    ) -> Result<i64, RunError> {
        let mut end_us = self.window_us.end;
        let mut stopped = false;
        while !producers.done() {
            if (self.context.stop.requested() || self.topic_lost.is_some()) && !stopped {
                stopped = true;
                producers.stop();
                let now_us = self.context.clock.now_us();
                if now_us < self.window_us.start {
                    self.context.progress.step("stopping: nothing was measured yet");
                    return Err(self.topic_lost.take().map_or(RunError::Interrupted, RunError::TopicLost));
                }
                end_us = end_us.min(now_us);
                if self.topic_lost.is_none() {
                    self.stopping();
                }
                self.undo(cluster, pool);
            }
            // Nothing is on its way to a topic that is gone.
            if self.context.stop.insisted() || self.topic_lost.is_some() {
                producers.give_up();
            }
            self.look(cluster, pool)?;
            std::thread::sleep(self.pause());
        }
        Ok(end_us)
    }

    /// Waits until nothing more is on its way, at most for the variant's drain past `end_us`, or until the user gives
    /// that up.
    pub fn until_drained(
        &mut self,
        end_us: i64,
        cluster: &mut dyn Cluster,
        pool: &mut WorkerPool,
    ) -> Result<(), RunError> {
        let deadline_us = end_us + self.context.load.drain.as_micros() as i64;
        let mut stopped = self.context.stop.requested();
        self.undo(cluster, pool);
        // The producers' last outcomes are counted before the collector has taken them.
        std::thread::sleep(TICK);
        // What was started again is waited for as well: a broker takes seconds.
        while (self.status.pending.load(Relaxed) > 0 || self.faults.is_active())
            && self.context.clock.now_us() < deadline_us
            && !self.context.stop.insisted()
            && self.topic_lost.is_none()
        {
            if self.context.stop.requested() && !stopped {
                stopped = true;
                self.stopping();
            }
            self.look(cluster, pool)?;
            std::thread::sleep(self.pause());
        }
        // What ended in the last moment is a trouble as well; its last words have a moment to come.
        std::thread::sleep(TICK);
        self.look(cluster, pool)
    }

    fn stopping(&self) {
        self.context.stop.draining();
        let left_s = self.context.load.drain.as_secs_f64();
        self.context.progress.step(&format!(
            "stopping: no new events; those on their way are awaited, {left_s:.0} s at most (press Ctrl-C again to give \
             up the drain)"
        ));
    }

    /// Tells of children that have ended and of rows that are not recorded, each once, and how things stand.
    fn look(&mut self, cluster: &mut dyn Cluster, pool: &mut WorkerPool) -> Result<(), RunError> {
        // Whatever of a cluster of our own and of the workers ends is started again.
        self.inject(cluster, pool);
        if cluster.parts().is_none() {
            for ended in cluster.ended()? {
                self.trouble(ended);
            }
        }
        let workers = self.context.request.variant.workers;
        for (number, name, status) in pool.ended()?.into_iter().filter(|(number, ..)| *number >= workers) {
            // Its last words may come a moment after its end.
            let Some(why) = self.status.workers_ended().remove(&number) else { continue };
            let why = why.map_or_else(String::new, |why| format!(": {why}"));
            self.trouble(format!("{name} ended by itself ({status}){why}"));
        }
        if self.topic_lost.is_none()
            && let Some(text) = self.status.topic_lost()
        {
            self.context.progress.step(&format!("the run ends here: {text}"));
            self.topic_lost = Some(text);
        }
        if let Some(error) = self.status.rows_error() {
            self.trouble(format!("rows are no longer recorded; the run goes on without: {error}"));
        }
        self.show();
        Ok(())
    }

    /// Moves the faults on.
    fn inject(&mut self, cluster: &mut dyn Cluster, pool: &mut WorkerPool) {
        let (status, disk, workers) = (self.status, self.collector.disk(), self.context.request.variant.workers);
        let (now_us, network) = (self.context.clock.now_us(), cluster.network());
        let why_ended = |worker| status.workers_ended().remove(&worker).flatten();
        let mut targets = Targets { cluster, pool, workers, why_ended: &why_ended, disk, network: network.as_deref() };
        let told = self.faults.tick(&mut targets, now_us);
        if !told.is_empty() {
            self.harness.watch([targets.cluster.processes(), targets.pool.processes()].concat());
            told.iter().for_each(|line| self.context.progress.step(line));
        }
    }

    /// The run is to end: nothing stays paused, filled, cut or away.
    fn undo(&mut self, cluster: &mut dyn Cluster, pool: &mut WorkerPool) {
        for dropped in self.faults.undo(self.context.clock.now_us()) {
            self.trouble(dropped);
        }
        self.inject(cluster, pool);
    }

    /// Until something is to be looked at again.
    fn pause(&self) -> Duration {
        let tick = if self.faults.is_active() { TICK_OF_FAULT } else { TICK };
        let due_us = self.faults.next_us().map(|next_us| next_us - self.context.clock.now_us());
        due_us.map_or(tick, |us| Duration::from_micros(us.max(0) as u64).clamp(TICK_MIN, tick))
    }

    /// What went wrong with the processes of the run, its faults, and why its topic is another one, if it is.
    pub fn finish(self) -> (Vec<String>, Vec<Record>, Option<String>) {
        (self.troubles, self.faults.finish(self.context.clock.now_us()), self.topic_lost)
    }

    fn trouble(&mut self, text: String) {
        if !self.troubles.contains(&text) {
            self.context.progress.step(&text);
            self.troubles.push(text);
        }
    }

    fn show(&mut self) {
        let (shown, sent_before, stored_before) = self.shown;
        let elapsed = shown.elapsed();
        if elapsed < SECOND {
            return;
        }
        let sent = self.counters.sent.load(Relaxed);
        let stored = self.status.stored.load(Relaxed);
        self.shown = (Instant::now(), sent, stored);
        let since_s = (self.context.clock.now_us() - self.window_us.start) as f64 / 1e6;
        if since_s < 0.0 {
            self.context.progress.line(&format!("warming up, {:.0} s to go", -since_s));
            return;
        }
        let per_s = |now: u64, before: u64| now.saturating_sub(before) as f64 / elapsed.as_secs_f64();
        let latency = self.status.last_second_ms().map_or_else(String::new, |[p50, p99, max]| {
            format!("   last second p50 {p50:.1} p99 {p99:.1} max {max:.1} ms")
        });
        let window_s = (self.window_us.end - self.window_us.start) as f64 / 1e6;
        let at_s = since_s.min(window_s);
        self.context.progress.line(&format!(
            "{at_s:>4.0} / {window_s:.0} s   sent {}/s   stored {}/s   in flight {}{latency}   unsent {}   late or lost {}",
            thousands(per_s(sent, sent_before).round() as u64),
            thousands(per_s(stored, stored_before).round() as u64),
            sent.saturating_sub(stored),
            self.counters.unsent.load(Relaxed),
            self.status.awaited.load(Relaxed),
        ));
    }
}

//! While the run goes on: the live line, the user's stop, and what goes wrong meanwhile.

use std::{
    ops::Range,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use super::{RunError, Stop, stage::Stage};
use crate::{
    cluster::Cluster,
    collect::Standing,
    live::Live,
    producer::{Counters, Producers},
    screen::thousands,
};

const TICK: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);

pub(super) struct Watch<'a> {
    stage: &'a Stage,
    window_us: &'a Range<i64>,
    standing: &'a Arc<Standing>,
    counters: &'a Arc<Counters>,
    live: &'a Live,
    /// When the last line was shown, and what had been sent, warm-up included, and stored then.
    shown: (Instant, u64, u64),
    troubles: Vec<String>,
}

impl<'a> Watch<'a> {
    pub fn new(
        stage: &'a Stage,
        window_us: &'a Range<i64>,
        standing: &'a Arc<Standing>,
        counters: &'a Arc<Counters>,
        live: &'a Live,
    ) -> Self {
        Self { stage, window_us, standing, counters, live, shown: (Instant::now(), 0, 0), troubles: Vec::new() }
    }

    /// Waits until the producers have ended, by themselves or because the user wants it. Returns the end of the window,
    /// µs of the Unix epoch: earlier than planned when interrupted.
    pub fn until_published(
        &mut self,
        producers: &Producers,
        cluster: &mut dyn Cluster,
        stop: &Stop,
    ) -> Result<i64, RunError> {
        let mut end_us = self.window_us.end;
        let mut stopped = false;
        while !producers.done() {
            if stop.requested() && !stopped {
                stopped = true;
                producers.stop();
                let now_us = self.stage.clock.now_us();
                if now_us < self.window_us.start {
                    return Err(RunError::Interrupted);
                }
                end_us = end_us.min(now_us);
                self.live.step("stopping: no new events; those on their way are awaited");
            }
            if let Err(error) = cluster.check() {
                self.trouble(error.to_string());
            }
            if let Some(ended) = self.standing.worker_ended() {
                self.trouble(ended);
            }
            self.show();
            std::thread::sleep(TICK);
        }
        Ok(end_us)
    }

    /// Waits until nothing more is on its way, at most for the variant's drain past `end_us`.
    pub fn until_drained(&mut self, end_us: i64) {
        let deadline_us = end_us + self.stage.load.drain.as_micros() as i64;
        // The producers' last outcomes are counted before the collector has taken them.
        std::thread::sleep(TICK);
        while self.standing.pending.load(Relaxed) > 0 && self.stage.clock.now_us() < deadline_us {
            self.show();
            std::thread::sleep(TICK);
        }
    }

    /// What went wrong with the processes of the run.
    pub fn troubles(self) -> Vec<String> {
        self.troubles
    }

    fn trouble(&mut self, text: String) {
        if !self.troubles.contains(&text) {
            self.live.step(&text);
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
        let stored = self.standing.stored.load(Relaxed);
        self.shown = (Instant::now(), sent, stored);
        let since_s = (self.stage.clock.now_us() - self.window_us.start) as f64 / 1e6;
        if since_s < 0.0 {
            self.live.line(&format!("warming up, {:.0} s to go", -since_s));
            return;
        }
        let per_s = |now: u64, before: u64| now.saturating_sub(before) as f64 / elapsed.as_secs_f64();
        let latency = self.standing.last_second_ms().map_or_else(String::new, |[p50, p99, max]| {
            format!("   last second p50 {p50:.1} p99 {p99:.1} max {max:.1} ms")
        });
        self.live.line(&format!(
            "{since_s:>4.0} / {:.0} s   sent {}/s   stored {}/s   in flight {}{latency}   unsent {}   late or lost {}",
            (self.window_us.end - self.window_us.start) as f64 / 1e6,
            thousands(per_s(sent, sent_before).round() as u64),
            thousands(per_s(stored, stored_before).round() as u64),
            sent.saturating_sub(stored),
            self.counters.unsent.load(Relaxed),
            self.standing.awaited.load(Relaxed),
        ));
    }
}

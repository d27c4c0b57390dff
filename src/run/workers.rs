//! The workers of a run: started, and waited for until every partition has one that reads it.

use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use super::{
    RunError,
    context::{REDIS_TIMEOUT, RunContext},
};
use crate::{
    run::{
        collector::{Collector, Input},
        consumer_group,
    },
    worker,
    worker::pool::WorkerPool,
};

/// How long the workers may take until every partition is assigned and has reached one.
const ASSIGN_MAX: Duration = Duration::from_secs(90);
const TICK: Duration = Duration::from_millis(50);

impl RunContext<'_> {
    /// Starts the workers, and waits until an event of each partition has reached one. Returns how long that took, in s.
    pub fn start_workers(&self, collector: &Collector) -> Result<(WorkerPool, f64), RunError> {
        let (request, progress) = (self.request, self.progress);
        let started = Instant::now();
        if self.load.null {
            return Ok((WorkerPool::default(), 0.0));
        }
        for (name, why) in self.worker_config(0).consumer_not_applied() {
            progress.step(&format!("[consumer] `{name}` is left out: {why}"));
        }
        let mut pool = WorkerPool::default();
        for number in 0..request.variant.workers {
            let config = self.worker_config(number);
            let sender = collector.sender();
            // The collector ends only after its senders have.
            let sink = move |news| drop(sender.send(Input::Worker(number, news)));
            pool.add(&request.program, ("worker", format!("worker {number}")), &self.workers, &config, sink)?;
        }
        progress.step(&format!("{} workers started; waiting for a balanced assignment", request.variant.workers));
        let status = collector.status();
        let partitions = self.topic.partitions.len();
        let balanced = || {
            let counts = status.partitions_per_worker();
            let (least, most) = (counts.iter().min().unwrap_or(&0), counts.iter().max().unwrap_or(&0));
            counts.len() == request.variant.workers as usize
                && counts.iter().sum::<usize>() == partitions
                && most - least <= 1
        };
        self.wait_for(collector, started, &balanced)?;
        consumer_group::probe(&self.endpoints.kafka, &self.load.run, &self.topic, self.clock)?;
        let all_probed = || balanced() && status.probed.load(Relaxed) == partitions as u64;
        self.wait_for(collector, started, &all_probed)?;
        Ok((pool, started.elapsed().as_secs_f64()))
    }

    /// Waits until `ready`; ends when that cannot come any more.
    fn wait_for(&self, collector: &Collector, started: Instant, ready: &dyn Fn() -> bool) -> Result<(), RunError> {
        let status = collector.status();
        while !ready() {
            self.stop.check()?;
            if let Some(text) = status.topic_lost() {
                return Err(RunError::TopicLost(text));
            }
            if let Some((worker, why)) = status.workers_ended().into_iter().next() {
                let why = why.unwrap_or_else(|| "it has ended".to_owned());
                return Err(RunError::Worker(format!("worker {worker}: {why}")));
            }
            if let Some(refused) = status.refused() {
                return Err(RunError::Worker(refused));
            }
            if started.elapsed() > ASSIGN_MAX {
                let (counts, probed) = (status.partitions_per_worker(), status.probed.load(Relaxed));
                let warned = status.last_warnings().into_iter().map(|warning| format!("\n  {warning}"));
                let state = format!(
                    "partitions of each worker {counts:?}, {probed} partitions proven by an event{}",
                    warned.collect::<String>()
                );
                return Err(RunError::Unassigned { after_s: ASSIGN_MAX.as_secs(), state });
            }
            std::thread::sleep(TICK);
        }
        Ok(())
    }

    /// What a worker is told.
    pub fn worker_config(&self, number: u32) -> worker::Config {
        let variant = &self.request.variant;
        worker::Config {
            clock: self.clock,
            run: self.load.run.clone(),
            worker: number,
            workers: variant.workers,
            group: self.group.clone(),
            topic: self.topic.name.clone(),
            log_append_time: self.topic.log_append_time,
            generation: self.generation,
            start_offsets: self.start_offsets.clone(),
            group_protocol: variant.group_protocol,
            static_membership: variant.static_membership,
            commit_interval_ms: variant.commit_interval.0.as_millis() as u64,
            batch_max: variant.batch_max as usize,
            lookahead: variant.lookahead as usize,
            stream_maxlen: variant.stream_maxlen,
            redis_timeout_ms: REDIS_TIMEOUT.as_millis() as u64,
            consumer: variant.consumer.clone(),
        }
    }
}

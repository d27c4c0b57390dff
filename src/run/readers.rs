//! The readers' process, in a run that has readers: there before the first event that counts.

use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use super::{RunError, context::RunContext};
use crate::{
    run::{
        collector::{Collector, Input},
        reader_process,
    },
    worker::pool::WorkerPool,
};

/// How long the readers may take until they follow every tag.
const FOLLOW_MAX: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(20);

impl RunContext<'_> {
    /// Partition of each tag.
    pub(super) fn partitions_of_tags(&self) -> Vec<i32> {
        (0..self.tags()).map(|tag| self.load.partition(tag)).collect()
    }

    fn tags(&self) -> u64 {
        self.load.shape.tags(self.load.connections - 1).end
    }

    /// Starts the readers, if the run has any, and waits until they follow every tag.
    pub(super) fn start_readers(&self, pool: &mut WorkerPool, collector: &Collector) -> Result<(), RunError> {
        let request = self.request;
        let readers = request.variant.readers;
        if readers == 0 {
            return Ok(());
        }
        let (started, number) = (Instant::now(), request.variant.workers);
        let tags = self.tags();
        let config = reader_process::Config { clock: self.clock, generation: self.generation, tags, readers };
        let sender = collector.sender();
        let sink = move |news| drop(sender.send(Input::Readers(number, news)));
        pool.add(&request.program, ("reader", "readers".to_owned()), &self.readers, &config, sink)?;
        let status = collector.status();
        while status.followed.load(Relaxed) < tags {
            self.stop.check()?;
            if let Some(why) = status.workers_ended().remove(&number) {
                let why = why.unwrap_or_else(|| "their process has ended".to_owned());
                return Err(RunError::Worker(format!("readers: {why}")));
            }
            if started.elapsed() > FOLLOW_MAX {
                let seconds = FOLLOW_MAX.as_secs();
                return Err(RunError::Worker(format!("readers: {tags} tags are not followed after {seconds} s")));
            }
            std::thread::sleep(TICK);
        }
        self.progress
            .step(&format!("{readers} readers follow {tags} tags after {:.1} s", started.elapsed().as_secs_f64()));
        Ok(())
    }
}

//! The readers' process, in a run that has readers: there before the first event that counts.

use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use super::{Request, RunError, Stop, context::Stage};
use crate::{
    output::progress::Live,
    run::{
        collector::{Collector, Input},
        reader_process,
    },
    worker::pool::Crew,
};

const SEAT_MAX: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(20);

impl Stage {
    /// Partition of each tag.
    pub(super) fn partitions_of_tags(&self) -> Vec<i32> {
        (0..self.tags()).map(|tag| self.load.partition(tag)).collect()
    }

    fn tags(&self) -> u64 {
        self.load.shape.tags(self.load.connections - 1).end
    }

    /// Starts the readers, if the run has any, and waits until they follow every tag.
    pub(super) fn seat(
        &self,
        request: &Request,
        crew: &mut Crew,
        collector: &Collector,
        stop: &Stop,
        live: &Live,
    ) -> Result<(), RunError> {
        let readers = request.variant.readers;
        if readers == 0 {
            return Ok(());
        }
        let (started, number) = (Instant::now(), request.variant.workers);
        let tags = self.tags();
        let config = reader_process::Config { clock: self.clock, generation: self.generation, tags, readers };
        let sender = collector.sender();
        let sink = move |news| drop(sender.send(Input::Readers(number, news)));
        crew.add(&request.program, ("reader", "readers".to_owned()), &self.readers, &config, sink)?;
        let standing = collector.standing();
        while standing.followed.load(Relaxed) < tags {
            stop.check()?;
            if let Some(why) = standing.workers_ended().remove(&number) {
                let why = why.unwrap_or_else(|| "their process has ended".to_owned());
                return Err(RunError::Worker(format!("readers: {why}")));
            }
            if started.elapsed() > SEAT_MAX {
                let seconds = SEAT_MAX.as_secs();
                return Err(RunError::Worker(format!("readers: {tags} tags are not followed after {seconds} s")));
            }
            std::thread::sleep(TICK);
        }
        live.step(&format!("{readers} readers follow {tags} tags after {:.1} s", started.elapsed().as_secs_f64()));
        Ok(())
    }
}

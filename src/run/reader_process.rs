//! The readers of a run: one process in which client applications follow all tags, each with the library as it is
//! published, and tell the parent when they have an event.
//!
//! Each tag is followed by one of the reader tasks. An event's stream ID holds its Kafka offset, by which the parent
//! finds its row. An event that a reader got only as part of a snapshot, after a gap, has no stamp; gaps are told.
//! Configuration, receipts and the end come and go as for a worker, see [`crate::worker`].

use std::{
    fs::File,
    io::{self, Write},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::{
    cluster::Endpoints,
    machine::clock::Clock,
    worker::{
        WorkerError, ipc,
        report::{Read, Report},
    },
};
use shasta_model::tag_data::{LOAD_APP, LOAD_SCOPE};
use shasta_reader::{Event, Follow, Options, Reader, ReaderError, Tag};

/// Reads are told in bundles: few wake-ups of the parent matter more than their promptness.
const TELL: Duration = Duration::from_millis(20);
/// Gaps that are told one by one; all are counted.
const GAPS_TOLD: u64 = 20;

/// What the parent tells the readers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Config {
    /// The run's clock.
    pub clock: Clock,
    /// Generation of the topic.
    pub generation: u64,
    /// Tags of the run, numbered from 0.
    pub tags: u64,
    /// Reader tasks that share them.
    pub readers: u32,
}

/// What is to be told to the parent.
#[derive(Debug, Default)]
struct Notes {
    report: Mutex<Report>,
    gaps: Mutex<u64>,
}

impl Notes {
    fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gap(&self, text: String) {
        let mut gaps = self.gaps.lock().unwrap_or_else(PoisonError::into_inner);
        *gaps += 1;
        if *gaps <= GAPS_TOLD {
            self.report().warnings.push(text);
        }
    }

    fn close(&self) {
        let gaps = *self.gaps.lock().unwrap_or_else(PoisonError::into_inner);
        if gaps > 0 {
            let text = format!("{gaps} gaps in all; an event that came only within a snapshot has no after_read_us");
            self.report().warnings.push(text);
        }
    }
}

/// Runs the readers to their end, for `experiment --role reader`.
///
/// # Errors
/// What ends them early; the parent gets the same as a fatal report.
pub fn main() -> Result<(), WorkerError> {
    ipc::main(|config: &Config, pipe| attend(config, pipe.try_clone()?))
}

fn attend(config: &Config, mut pipe: File) -> Result<(), WorkerError> {
    let endpoints = Endpoints::from_env()?;
    let notes = Arc::<Notes>::default();
    let (stop, stopped) = oneshot::channel::<()>();
    ipc::at_end_of_input(move || drop(stop));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let telling = Arc::clone(&notes);
    // In a thread of its own: a parent that pauses must not hold up the readers.
    let teller = std::thread::spawn(move || {
        while Arc::strong_count(&telling) > 1 {
            std::thread::sleep(TELL);
            tell(&telling, &mut pipe)?;
        }
        tell(&telling, &mut pipe)
    });
    let followed = runtime.block_on(async {
        let _readers = follow_all(config, &endpoints, &notes).await?;
        // It ends by being dropped.
        let _ = stopped.await;
        Ok::<_, ReaderError>(())
    });
    notes.close();
    drop((runtime, notes));
    teller.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    followed.map_err(|error| WorkerError::Reader(error.to_string()))
}

fn tell(notes: &Notes, pipe: &mut File) -> io::Result<()> {
    let report = mem::take(&mut *notes.report());
    if report.is_empty() { Ok(()) } else { pipe.write_all(&report.frame()) }
}

async fn follow_all(config: &Config, endpoints: &Endpoints, notes: &Arc<Notes>) -> Result<Vec<Reader>, ReaderError> {
    let mut readers = Vec::new();
    for _ in 0..config.readers {
        readers.push(Reader::connect(&endpoints.redis_url, Options::default()).await?);
    }
    for number in 0..config.tags {
        let reader = &readers[(number % u64::from(config.readers)) as usize];
        let follow = reader.follow(&Tag::new(LOAD_APP, number.to_string(), LOAD_SCOPE)?).await?;
        tokio::spawn(attend_tag(number, follow, config.clone(), Arc::clone(notes)));
    }
    notes.report().followed = config.tags;
    Ok(readers)
}

async fn attend_tag(tag: u64, mut follow: Follow, config: Config, notes: Arc<Notes>) {
    while let Some(event) = follow.next().await {
        match event {
            Event::Delta(delta) if delta.id.generation == config.generation => {
                let after_read_us = config.clock.now_us();
                // An offset, so far below the largest i64.
                let offset = (delta.id.position as i64).wrapping_sub(1);
                notes.report().reads.push(Read { tag, offset, after_read_us });
            }
            Event::Gap(gap) => notes.gap(format!("tag {tag}: {gap}")),
            Event::Delta(_) | Event::Snapshot(_) => {}
        }
    }
}

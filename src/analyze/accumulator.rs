//! What one pass over a run's rows leaves behind. Each reading thread has its own; they are merged at the end.

use std::{
    io,
    sync::{Arc, atomic::AtomicU64},
};

use crate::{
    cause::Stages,
    counts::Counts,
    dedup::Seen,
    row::{MISSING, Row, Stamp, places},
    samples::{MEMORY_BYTES, Sample, Samples},
    scan::Sink,
    slowest::Top,
};
use shasta_model::columns::{HEADLINES, Latency};

/// So many of the slowest rows are kept whole: past p99.9 of 100 million rows, and all of a run of that size.
const SLOWEST_ROWS: usize = 100_000;
/// Rows may be scheduled so long before the first one that was read, when no manifest says where the window begins.
const BEFORE_FIRST_S: i64 = 3600;

/// What is to be read from the rows.
#[derive(Debug, Clone)]
pub struct Question {
    /// The latencies to keep: the headlines, and the one of the D tables when it is another.
    pub latencies: Vec<Latency>,
    /// Where the window begins, in µs, if the manifest says so.
    pub window_start_us: Option<i64>,
}

impl Question {
    /// The headlines, and `latency` for the D tables.
    pub fn new(latency: Latency, window_start_us: Option<i64>) -> Self {
        let mut latencies = HEADLINES.to_vec();
        if !latencies.iter().any(|known| (known.from, known.to) == (latency.from, latency.to)) {
            latencies.push(latency);
        }
        Self { latencies, window_start_us }
    }

    /// The place of a latency among those that are kept.
    pub fn place(&self, latency: &Latency) -> Option<usize> {
        self.latencies.iter().position(|known| (known.from, known.to) == (latency.from, latency.to))
    }
}

/// How many rows have which stamp, in the order of [`crate::row::STAMPS`].
pub type Stamped = [u64; 7];

/// What rows leave behind.
#[derive(Debug)]
pub struct Tally {
    /// Their latencies.
    pub samples: Samples,
    /// Rows.
    pub rows: u64,
    /// Rows that have each stamp.
    pub stamped: Stamped,
    /// Rows without a worker.
    pub unplaced: u64,
    /// The events.
    pub seen: Seen,
    /// The slowest rows by the headline latency.
    pub top: Top,
    /// Rows of each source, producer, partition and worker; the names by their index.
    pub places: [Counts; 4],
    /// Sums of the stages, by how late rows were.
    pub stages: Stages,
    /// First and last scheduled time.
    pub scheduled_us: Option<[i64; 2]>,
    /// Places of the stamps of each latency.
    stamps: Vec<[usize; 2]>,
    latencies_us: Vec<Option<i64>>,
    origin: Arc<Origin>,
}

/// Where second 0 begins; all threads must agree.
#[derive(Debug)]
pub struct Origin(std::sync::OnceLock<i64>);

impl Origin {
    /// As the question has it, or by the first row that is read.
    pub fn of(question: &Question) -> Arc<Self> {
        let known = std::sync::OnceLock::new();
        if let Some(us) = question.window_start_us {
            known.get_or_init(|| us);
        }
        Arc::new(Self(known))
    }

    /// In µs; none before the first row.
    pub fn us(&self) -> Option<i64> {
        self.0.get().copied()
    }

    #[inline]
    fn second(&self, scheduled_us: i64) -> u16 {
        let origin = *self.0.get_or_init(|| (scheduled_us.div_euclid(1_000_000) - BEFORE_FIRST_S) * 1_000_000);
        (scheduled_us - origin).div_euclid(1_000_000).clamp(0, u16::MAX.into()) as u16
    }
}

impl Tally {
    /// Of no rows yet; `in_memory` and `origin` are shared by all threads.
    pub fn new(question: &Question, in_memory: Arc<AtomicU64>, origin: Arc<Origin>) -> Self {
        Self {
            samples: Samples::new(question.latencies.len(), in_memory, MEMORY_BYTES),
            rows: 0,
            stamped: [0; 7],
            unplaced: 0,
            seen: Seen::default(),
            top: Top::new(SLOWEST_ROWS),
            places: Default::default(),
            stages: Stages::default(),
            scheduled_us: None,
            stamps: question.latencies.iter().map(places).collect(),
            latencies_us: vec![None; question.latencies.len()],
            origin,
        }
    }
}

impl Sink for Tally {
    #[inline]
    fn add(&mut self, row: &Row, pair: u16) -> io::Result<()> {
        self.rows += 1;
        for (count, stamp) in self.stamped.iter_mut().zip(row.stamps) {
            *count += u64::from(stamp != MISSING);
        }
        self.unplaced += u64::from(row.destination.is_none());
        let scheduled_us = row.stamps[Stamp::Scheduled as usize];
        let [first, last] = self.scheduled_us.get_or_insert([scheduled_us; 2]);
        (*first, *last) = ((*first).min(scheduled_us), (*last).max(scheduled_us));
        let [sources, producers, partitions, workers] = &mut self.places;
        sources.add(row.source.into());
        producers.add(row.producer);
        if row.partition != MISSING {
            partitions.add(row.partition);
        }
        if let Some(worker) = row.destination {
            workers.add(worker.into());
        }
        self.stages.add(row);
        self.seen.insert(row.source, row.producer, row.sequence);
        for (latency_us, stamps) in self.latencies_us.iter_mut().zip(&self.stamps) {
            *latency_us = row.latency_us(*stamps);
        }
        // The first is the headline.
        self.top.push(self.latencies_us[0].unwrap_or(i64::MAX), row);
        let second = self.origin.second(scheduled_us);
        self.samples.push(Sample { pair, second, latencies_us: &self.latencies_us })
    }

    fn merge(&mut self, other: Self) -> io::Result<()> {
        self.samples.merge(other.samples);
        self.rows += other.rows;
        self.stamped.iter_mut().zip(other.stamped).for_each(|(sum, count)| *sum += count);
        self.unplaced += other.unplaced;
        self.seen.merge(other.seen);
        self.top.merge(other.top);
        self.places.iter_mut().zip(&other.places).for_each(|(sum, counts)| sum.merge(counts));
        self.stages.merge(&other.stages);
        self.scheduled_us = match (self.scheduled_us, other.scheduled_us) {
            (Some(own), Some(other)) => Some([own[0].min(other[0]), own[1].max(other[1])]),
            (own, other) => own.or(other),
        };
        Ok(())
    }
}

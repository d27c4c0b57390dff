//! How a run stands: written by the collecting thread, read by whoever waits or shows progress.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
};

/// The last warnings, which are told when a wait is given up.
const LAST_WARNINGS: usize = 5;

/// How the run stands, for anyone to read at any time.
#[derive(Debug, Default)]
pub struct RunStatus {
    /// Events of the window stored.
    pub stored: AtomicU64,
    /// Events of the window that only an ack or a delivery is missing from; failed ones have neither to come.
    pub pending: AtomicU64,
    /// Events acked and not consumed.
    pub awaited: AtomicU64,
    /// Distinct partitions whose probe a worker has seen.
    pub probed: AtomicU64,
    /// Tags that a reader follows.
    pub followed: AtomicU64,
    slow: Mutex<SlowStatus>,
}

/// The part of a run's status that changes once a second or less. The fields are those of [`RunStatus`]' methods.
#[derive(Debug, Default, Clone)]
pub(super) struct SlowStatus {
    pub last_second_ms: Option<[f64; 3]>,
    pub assigned: BTreeMap<u32, Vec<i32>>,
    pub workers_ended: BTreeMap<u32, Option<String>>,
    pub rows_error: Option<String>,
    pub topic_lost: Option<String>,
    pub refused: Option<String>,
    last_warnings: VecDeque<String>,
}

impl SlowStatus {
    /// Keeps the last few.
    pub fn warn(&mut self, warning: String) {
        if self.last_warnings.len() >= LAST_WARNINGS {
            self.last_warnings.pop_front();
        }
        self.last_warnings.push_back(warning);
    }
}

impl RunStatus {
    /// Locks the part that changes seldom.
    pub(super) fn slow(&self) -> MutexGuard<'_, SlowStatus> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many partitions each worker has now, in the workers' order.
    pub fn partitions_per_worker(&self) -> Vec<usize> {
        self.slow().assigned.values().map(Vec::len).collect()
    }

    /// Latencies scheduled → stored of the last second: p50, p99 and maximum in ms.
    pub fn last_second_ms(&self) -> Option<[f64; 3]> {
        self.slow().last_second_ms
    }

    /// The workers from which nothing more comes, and why, as far as they said.
    pub fn workers_ended(&self) -> BTreeMap<u32, Option<String>> {
        self.slow().workers_ended.clone()
    }

    /// Why the topic is not the one that the run began with, once a worker is certain.
    pub fn topic_lost(&self) -> Option<String> {
        self.slow().topic_lost.clone()
    }

    /// What a server refuses a worker, if any does, until somebody grants a right or corrects a password.
    pub fn refused(&self) -> Option<String> {
        self.slow().refused.clone()
    }

    /// The last few warnings.
    pub fn last_warnings(&self) -> Vec<String> {
        self.slow().last_warnings.iter().cloned().collect()
    }

    /// Why rows are missing from the file, once one could not be written: the run goes on without.
    pub fn rows_error(&self) -> Option<String> {
        self.slow().rows_error.clone()
    }
}

//! Memory: heaps of the brokers, processes beside them, and what Redis holds.

use super::{STORED, events};
use crate::{
    cluster::broker::NODES,
    machine::limits::{Machine, gib},
    variant::{Engine, RedisMode, Variant},
};

/// What a broker's JVM takes beside its heap.
const JVM_BYTES: u64 = 150 << 20;
const WORKER_BYTES: u64 = 60 << 20;

/// What a run takes of memory.
pub(super) struct Memory {
    heap: u64,
    producers: u64,
    workers: u64,
    redis: u64,
}

impl Memory {
    /// None where the heap has a size that java does not understand: that is java's to refuse.
    pub fn of(variant: &Variant) -> Option<Self> {
        let connection = if variant.engine == Engine::Librdkafka { 760 << 10 } else { 90 << 10 };
        Some(Self {
            heap: heap_bytes(&variant.broker_heap)?,
            producers: u64::from(variant.connections) * connection,
            workers: u64::from(variant.workers) * WORKER_BYTES,
            redis: redis_bytes(variant),
        })
    }

    pub fn all(&self) -> u64 {
        let brokers = self.heap.saturating_add(JVM_BYTES).saturating_mul(NODES as u64);
        brokers.saturating_add(self.producers + self.workers).saturating_add(self.redis)
    }
}

/// What is needed and what there is, where that is too little.
pub(super) fn short(variant: &Variant, machine: &Machine) -> Option<String> {
    let needed = Memory::of(variant)?;
    let (all, Memory { heap, producers, workers, redis }) = (needed.all(), needed);
    (all > machine.memory_bytes).then(|| format!(
            "memory: {NODES} × {} of heap and {} beside it, {} for {} producers, {} for {} workers, {} for Redis = {}; {} are available",
            gib(heap), gib(JVM_BYTES), gib(producers), variant.connections, gib(workers), variant.workers, gib(redis), gib(all), gib(machine.memory_bytes)
    ))
}

/// Redis that hold the same.
pub(super) fn copies(variant: &Variant) -> u64 {
    if variant.redis_mode == RedisMode::Single { 1 } else { 2 }
}

fn redis_bytes(variant: &Variant) -> u64 {
    redis_bytes_of_one(variant) * copies(variant)
}

/// What a run stores in Redis, once.
pub(in crate::cluster) fn redis_bytes_of_one(variant: &Variant) -> u64 {
    (redis_bytes_least(variant) as f64 * STORED) as u64
}

/// The events alone, without what Redis needs to keep them.
pub(in crate::cluster) fn redis_bytes_least(variant: &Variant) -> u64 {
    let tags = f64::from(variant.connections) * f64::from(variant.tags_per_connection);
    let entries = (tags * f64::from(variant.stream_maxlen)).min(events(variant));
    let snapshot = (tags * f64::from(variant.names_per_tag)).min(events(variant));
    ((entries + snapshot) * variant.bytes as f64) as u64
}

/// `512m`, `64g`, as java's -Xmx takes it.
pub(in crate::cluster) fn heap_bytes(size: &str) -> Option<u64> {
    let digits = size.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match size[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_java_reads_them() {
        assert_eq!(
            ["1k", "512m", "64G", "7", "x", "1q", ""].map(heap_bytes),
            [Some(1024), Some(512 << 20), Some(64 << 30), Some(7), None, None, None]
        );
    }
}

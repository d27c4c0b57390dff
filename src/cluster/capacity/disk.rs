//! Disk: the rows of a run, and the data of its brokers and Redis; either may lie in memory.

use super::{
    STORED, events,
    memory::{Memory, copies},
};
use crate::{
    machine::limits::{Machine, Place, gib},
    variant::Variant,
};

/// Bytes of a row in CSV, and a little more.
pub(crate) const ROW_BYTES: f64 = 150.0;

/// What is needed and what there is, where that is too little.
pub(super) fn short(variant: &Variant, machine: &Machine) -> Option<String> {
    let events = events(variant);
    let bytes = variant.bytes as f64 * STORED;
    let rows = events * ROW_BYTES;
    let brokers = events * f64::from(variant.replication_factor) * bytes;
    // Snapshot and delta each write the value to the append-only file.
    let redis = if variant.redis.get("appendonly").is_some_and(|set| set == "yes") {
        events * 2.0 * bytes * copies(variant) as f64
    } else {
        0.0
    };
    let (rows, data) = (rows as u64, (brokers + redis) as u64);
    // Memory has room for what the run's processes leave of it.
    let left = machine.memory_bytes.saturating_sub(Memory::of(variant).map_or(0, |memory| memory.all()));
    let free = |place: &Place| if place.is_memory { left.min(place.free_bytes) } else { place.free_bytes };
    let (out, temp) = (&machine.out, &machine.temp);
    let shared = out.device == temp.device || (out.is_memory && temp.is_memory);
    let both = if shared { rows.saturating_add(data) } else { 0 };
    let places = [(both, temp, ""), (rows, out, " where the rows go"), (data, temp, " where the data goes")];
    let (_, place, whose) = places.into_iter().find(|(bytes, place, _)| *bytes > free(place))?;
    Some(format!(
        "disk: {events:.0} events take {} of rows and {} in brokers and Redis; {} {}{whose}",
        gib(rows),
        gib(data),
        gib(free(place)),
        if place.is_memory { "of memory are left" } else { "are free" },
    ))
}

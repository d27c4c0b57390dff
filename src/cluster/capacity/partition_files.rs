//! Memory maps and open files of a broker, which grow with its partitions and their segments.

use super::{STORED, events};
use crate::{cluster::broker::NODES, machine::limits::Machine, variant::Variant};

/// Memory maps and open files of a broker that holds no partitions.
const BROKER_BASE: u64 = 1500;
/// Partitions of Kafka's own offsets topic, three times replicated.
const OFFSETS_PARTITIONS: u64 = 50;

/// What is needed and what there is, where that is too little.
pub(super) fn short(variant: &Variant, machine: &Machine) -> Option<String> {
    let segment_bytes =
        variant.broker.get("log.segment.bytes").and_then(|b| b.parse().ok()).unwrap_or(1_073_741_824.0_f64);
    let partition_bytes = events(variant) * variant.bytes as f64 * STORED / f64::from(variant.partitions.max(1));
    let segments = ((partition_bytes / segment_bytes.max(1.0)) as u64).saturating_add(1);
    let spread = |partitions: u64, replicas: u64| (partitions * replicas).div_ceil(NODES as u64);
    let replicas = spread(variant.partitions.into(), variant.replication_factor.into()) + spread(OFFSETS_PARTITIONS, 3);
    // A segment maps its two indexes and holds its log open (seen at 1,024 partitions: 2.0 and 1.0 a replica).
    let held = replicas.saturating_mul(segments);
    let maps = held.saturating_mul(2).saturating_add(BROKER_BASE);
    let sockets = u64::from(variant.connections) + u64::from(variant.workers);
    let files = held.saturating_add(BROKER_BASE + sockets);
    let (what, besides, needed, limit) = if maps > machine.maps_max {
        ("memory maps", String::new(), maps, machine.maps_max)
    } else if files > machine.nofile_hard {
        ("open files", format!(" and {} connections", variant.connections), files, machine.nofile_hard)
    } else {
        return None;
    };
    Some(format!(
        "{what}: {replicas} replicas × {segments} segments{besides} need {needed} of them in each broker; the limit is {limit}"
    ))
}

//! CPU: what an event costs in the brokers, and in producers and workers beside them.

use super::events_per_second;
use crate::{
    machine::limits::Machine,
    variant::{Engine, Variant},
};

/// Broker CPU of one event at 24 partitions or fewer, in core-ms, where it matters: some 2,000 events/s, of which `goal` takes
/// 0.43 to 0.53, and less than at fewer (campaign `headline`).
const BROKER_MS_FEW: (f64, f64) = (24.0, 0.7);
/// The same at 256 partitions or more.
const BROKER_MS_MANY: (f64, f64) = (256.0, 1.3);
/// CPU of one event in its worker and Redis, in core-ms.
const WORKER_MS: f64 = 0.2;

/// What is needed and what there is, where that is too little.
pub(super) fn short(variant: &Variant, machine: &Machine) -> Option<String> {
    let rate = events_per_second(variant);
    let broker_ms = broker_ms(variant.partitions);
    let client_ms = WORKER_MS + if variant.engine == Engine::Librdkafka { 0.5 } else { 0.04 };
    let cores = machine.cores;
    let (brokers, all) = (rate * broker_ms / 1000.0, rate * (broker_ms + client_ms) / 1000.0);
    if brokers <= 0.9 * cores && all <= cores {
        return None;
    }
    Some(format!(
        "CPU: {rate:.0} events/s × {broker_ms:.1} ms in the brokers ({} partitions) = {brokers:.1} cores, {all:.1} with producers and workers; this machine has {cores:.0}",
        variant.partitions
    ))
}

/// Broker CPU of an event in core-ms, between the two measured numbers of partitions.
fn broker_ms(partitions: u32) -> f64 {
    let share = (f64::from(partitions) - BROKER_MS_FEW.0) / (BROKER_MS_MANY.0 - BROKER_MS_FEW.0);
    BROKER_MS_FEW.1 + share.clamp(0.0, 1.0) * (BROKER_MS_MANY.1 - BROKER_MS_FEW.1)
}

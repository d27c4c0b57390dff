//! A run without brokers, workers and Redis: what takes their place.

use std::sync::Arc;

use super::{
    RunError,
    stage::{Stage, load},
};
use crate::{
    clock::{Anchor, Clock},
    cluster::{
        Endpoints,
        topic::{PartitionInfo, Topic},
    },
    crew::News,
    producer::{Fate, Load, Outcome},
    variant::Variant,
    worker::report::{Kind, Receipt, Report, Stored},
};

impl Stage {
    /// A stage without a topic that anyone knows of.
    pub(super) fn of_nothing(
        variant: &Variant,
        run: &str,
        seed: u64,
        anchor: Anchor,
        endpoints: &Endpoints,
    ) -> Result<Self, RunError> {
        let clock = Clock::new(anchor);
        let partition = |id| PartitionInfo { id, leader: 0, replicas: Vec::new(), isr: Vec::new() };
        let topic = Topic {
            name: variant.topic.clone(),
            created: true,
            partitions: (0..variant.partitions as i32).map(partition).collect(),
            cluster_id: "null".to_owned(),
            log_append_time: false,
        };
        let load = load(variant, run, seed, clock, &topic, endpoints.clone())?;
        // Nobody is there to be spared a storm of sockets.
        let load = Arc::new(Load { ramp: u32::MAX, ..load });
        Ok(Self {
            anchor,
            clock,
            seed,
            load,
            start_offsets: vec![0; topic.partitions.len()],
            topic,
            group: "none".to_owned(),
            generation: 0,
            reused: false,
            endpoints: endpoints.clone(),
            workers: endpoints.clone(),
            readers: endpoints.clone(),
        })
    }
}

/// What a worker would tell of these events, had it got and stored each in the moment of its ack.
pub(super) fn receipts(outcomes: &[Outcome]) -> News {
    let receipt = |outcome: &Outcome| {
        let at_us = outcome.after_publish_us?;
        Some(Receipt {
            kind: if outcome.due.warm { Kind::Warm } else { Kind::Event } as i32,
            producer: outcome.due.connection,
            sequence: outcome.due.sequence,
            partition: outcome.partition,
            offset: outcome.offset?,
            append_ms: None,
            after_consume_us: at_us,
            after_store_us: Some(at_us),
            stored: Stored::Applied as i32,
        })
    };
    let acked = outcomes.iter().filter(|outcome| outcome.fate == Fate::Acked);
    News::Report(Report { receipts: acked.filter_map(receipt).collect(), ..Report::default() })
}

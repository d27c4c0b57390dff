//! A run without brokers, workers and Redis: what takes their place.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Request, RunError, Stop,
    context::{RunContext, load, seed},
};
use crate::{
    cluster::{Endpoints, topic::Topic},
    machine::clock::{Anchor, Clock},
    output::progress::Progress,
    producer::{Load, Outcome, PublishOutcome},
    variant::Variant,
    worker::{
        pool::WorkerMessage,
        report::{Kind, Receipt, Report, Stored},
    },
};
use shasta_model::manifest::topic::PartitionInfo;

impl<'a> RunContext<'a> {
    /// A context without a topic that anyone knows of.
    pub(super) fn of_nothing(
        request: &'a Request,
        stop: &'a Stop,
        progress: &'a Progress,
        variant: &Variant,
        run: &str,
        anchor: Anchor,
        endpoints: &Endpoints,
    ) -> Result<Self, RunError> {
        let clock = Clock::new(anchor);
        let seed = seed(variant, clock);
        let partition = |id| PartitionInfo { id, leader: 0, replicas: Vec::new(), isr: Vec::new() };
        let topic = Topic {
            name: variant.topic.clone(),
            created: true,
            partitions: (0..variant.partitions as i32).map(partition).collect(),
            cluster_id: "null".to_owned(),
            log_append_time: false,
            settings: BTreeMap::new(),
            remarks: Vec::new(),
            unprovable: Vec::new(),
        };
        let load = load(variant, run, seed, clock, &topic, endpoints.clone())?;
        // Nobody is there to be spared a storm of sockets.
        let load = Arc::new(Load { ramp: u32::MAX, ..load });
        Ok(Self {
            request,
            stop,
            progress,
            anchor,
            clock,
            seed,
            load,
            start_offsets: vec![0; topic.partitions.len()],
            topic,
            group: "none".to_owned(),
            generation: 0,
            reused: false,
            remarks: Vec::new(),
            evicted: None,
            endpoints: endpoints.clone(),
            workers: endpoints.clone(),
            readers: endpoints.clone(),
        })
    }
}

/// What a worker would tell of these events, had it got and stored each in the moment of its ack.
pub(super) fn receipts(outcomes: &[Outcome]) -> WorkerMessage {
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
    let acked = outcomes.iter().filter(|outcome| outcome.result == PublishOutcome::Acked);
    WorkerMessage::Report(Box::new(Report { receipts: acked.filter_map(receipt).collect(), ..Report::default() }))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        cluster::Addresses,
        output::rows::{self, Format},
        run::{run, run_on},
        variant::{ClusterKind, Layer},
    };
    use shasta_model::{
        manifest::Manifest,
        slo::{Verdict, VerdictKind},
    };

    /// A run against nothing: no part of it needs Kafka, Redis or another process.
    pub(crate) fn request(out: &Path, overrides: Layer) -> Request {
        let span = |text: &str| text.parse().ok();
        let null = Layer { cluster: Some(ClusterKind::Null), warm: span("100ms"), ..overrides };
        let (name, variant) = Variant::load("laptop", &null).unwrap();
        Request {
            name,
            variant,
            overrides: null.given(),
            run: None,
            out: out.to_owned(),
            format: Format::Csv,
            keep_rows: true,
            addresses: Addresses::default(),
            verify: false,
            overload: false,
            keep_cluster: false,
            reuse_redis: false,
            program: "nothing".into(),
            command_line: Vec::new(),
        }
    }

    #[test]
    fn its_books_balance_and_the_next_run_finds_the_same_ground() {
        let out = tempfile::tempdir().unwrap();
        let (connections, rate, duration) = (Some(50), Some(20.0), "1s".parse().ok());
        let layer = Layer { connections, rate, duration, producer_threads: Some(2), ..Layer::default() };
        let request = request(out.path(), layer);
        let (mut session, stop, progress) = (None, Stop::default(), Progress::default());
        let first = run_on(&mut session, &request, &stop, &progress).unwrap();
        let ledger = &first.manifest.ledger;
        assert!(ledger.valid, "{:?}", ledger.problems);
        assert_eq!((ledger.planned, ledger.stored, ledger.rows), (1_000, 1_000, 1_000));
        assert_eq!((first.manifest.substrate.as_deref(), first.manifest.conduct.runs_before), (Some("null"), Some(0)));
        assert_eq!(
            (first.verdict, first.manifest.verdict_kind),
            (Verdict::NotResolvable, Some(VerdictKind::NotResolvable))
        );
        let read = Manifest::read(&first.files[1]).unwrap();
        assert_eq!(
            (&read.ledger, read.window_us, &read.variant),
            (ledger, first.manifest.window_us, &first.manifest.variant)
        );
        assert_eq!(
            (&read.conduct.rebalances, &read.topic),
            (&first.manifest.conduct.rebalances, &first.manifest.topic)
        );
        assert!(!read.harness.costs.is_empty() && read.machine_before == first.manifest.machine_before);
        assert_eq!(rows::read(&first.files[0]).unwrap().count(), 1_000);
        let tail_us = &first.manifest.latencies.tail_us;
        assert!(tail_us.len() == 1_000 && tail_us.is_sorted_by(|a, b| a >= b));

        let manifest_only = Request { keep_rows: false, ..request.clone() };
        let second = run_on(&mut session, &manifest_only, &stop, &progress).unwrap();
        assert_eq!((second.manifest.planned, second.manifest.conduct.runs_before), (1_000, Some(1)));
        assert!(!second.files[0].exists() && second.files[1].exists());

        let verified = Request { verify: true, ..request };
        let error = run(&verified, &stop, &progress).unwrap_err().to_string();
        assert!(error.starts_with("--verify: a run with --cluster null"), "{error}");
    }
}

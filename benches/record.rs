//! What does the harness add to an event? Joining its ack and its receipt, and writing its row, off the hot path; and the
//! schedule's own work, which is on it.

use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use shasta::{
    join::Join,
    producer::{Due, Fate, Outcome, Plan},
    record::Rows,
    schedule::Pace,
    worker::report::{Kind, Receipt, Stored},
};

const CONNECTIONS: u32 = 1_000;
const EVENTS: u64 = 10;

fn halves() -> Vec<(Outcome, Receipt)> {
    let event = |connection, sequence| {
        let due = Due { connection, sequence, scheduled_us: 1_700_000_000_000_000, warm: false };
        let outcome = Outcome {
            due,
            tag: connection.into(),
            partition: 0,
            fate: Fate::Acked,
            before_publish_us: Some(1_700_000_000_000_100),
            after_publish_us: Some(1_700_000_000_003_000),
            offset: Some(sequence as i64),
        };
        let receipt = Receipt {
            kind: Kind::Event as i32,
            producer: connection,
            sequence,
            partition: 0,
            offset: (u64::from(connection) * EVENTS + sequence) as i64,
            append_ms: Some(1_700_000_000_001),
            after_consume_us: 1_700_000_000_003_000,
            after_store_us: Some(1_700_000_000_004_000),
            stored: Stored::Applied as i32,
        };
        (outcome, receipt)
    };
    (0..EVENTS).flat_map(|sequence| (0..CONNECTIONS).map(move |connection| event(connection, sequence))).collect()
}

fn row(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("the temporary directory can be written");
    let (events, mut file) = (halves(), 0);
    let mut group = criterion.benchmark_group("record");
    group.throughput(Throughput::Elements(events.len() as u64));
    group.bench_function("join and write", |bencher| {
        let setup = || {
            file += 1;
            let rows = Rows::create(&directory.path().join(format!("{file}.csv"))).expect("it can be written");
            (Join::new(CONNECTIONS, 1, EVENTS, vec![0]), rows)
        };
        let join = |(mut join, mut rows): (Join, Rows)| {
            for (outcome, receipt) in &events {
                assert!(join.outcome(*outcome).is_none());
                let row = join.receipt(0, *receipt).expect("ack and receipt complete it");
                rows.write(&row).expect("the disk has room");
            }
            assert_eq!(rows.written(), events.len() as u64);
        };
        bencher.iter_batched(setup, join, BatchSize::PerIteration);
    });
    group.finish();
}

fn plan(criterion: &mut Criterion) {
    let connections: Vec<_> = (0..CONNECTIONS).collect();
    let pace = Pace { rate: 1.0, jitter: 0.5, duration: Duration::from_secs(EVENTS) };
    let mut group = criterion.benchmark_group("schedule");
    group.throughput(Throughput::Elements(u64::from(CONNECTIONS) * EVENTS));
    group.bench_function("take", |bencher| {
        let setup = || Plan::window(&pace, 1, &connections, 0);
        let take = |mut plan: Plan| {
            let (mut last_us, mut taken) = (0, 0);
            while let Some(due) = plan.take() {
                assert!(due.scheduled_us >= last_us);
                last_us = due.scheduled_us;
                taken += 1;
            }
            assert_eq!(taken, u64::from(CONNECTIONS) * EVENTS);
        };
        bencher.iter_batched(setup, take, BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, row, plan);
criterion_main!(benches);

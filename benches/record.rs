//! What does recording add to an event? Joining its ack and its receipt, and writing its row, off the hot path.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use shasta::{
    output::rows::{Row, Rows},
    producer::{Due, Outcome, PublishOutcome},
    run::join::Join,
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
            result: PublishOutcome::Acked,
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

/// A row as text, which is what writing it costs but for the system.
fn csv(criterion: &mut Criterion) {
    let row = Row {
        source: "p0".into(),
        destination: "w3".into(),
        producer: 723,
        tag: 723,
        partition: 17,
        offset: Some(123_456),
        sequence: 599,
        scheduled_us: 1_700_000_000_000_000,
        before_publish_us: Some(1_700_000_000_000_100),
        after_publish_us: Some(1_700_000_000_003_000),
        append_ms: Some(1_700_000_000_001),
        after_consume_us: Some(1_700_000_000_003_000),
        after_store_us: Some(1_700_000_000_004_000),
        after_read_us: None,
    };
    let mut group = criterion.benchmark_group("row to CSV");
    group.throughput(Throughput::Elements(1));
    let mut line = Vec::with_capacity(256);
    group.bench_function("ours", |bencher| {
        bencher.iter(|| {
            line.clear();
            black_box(&row).append_csv(&mut line);
            black_box(line.as_slice());
        });
    });
    let mut through_serde = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::with_capacity(256));
    through_serde.serialize(&row).expect("a Vec takes every write");
    line.clear();
    row.append_csv(&mut line);
    assert_eq!(line, through_serde.into_inner().expect("a Vec takes every write"));
    let mut sink = csv::WriterBuilder::new().has_headers(false).from_writer(std::io::sink());
    group.bench_function("serde and the csv crate", |bencher| {
        bencher.iter(|| sink.serialize(black_box(&row)).expect("a sink takes every write"));
    });
    group.finish();
}

criterion_group!(benches, row, csv);
criterion_main!(benches);

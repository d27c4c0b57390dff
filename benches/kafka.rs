//! What does each step with Kafka cost: an ack, many acks, a poll, a connection, one event from end to end? Real brokers,
//! both engines' clients as the producers set them up, acks of all in-sync replicas.
//!
//! The three brokers of a run serve everything. One and six brokers, each a cluster of its own for as long as they take,
//! say what their number does to an ack; in test mode they are left out, since only their number differs.

#[path = "harness/clients.rs"]
mod clients;
mod harness;

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    producer::{BaseRecord, Producer},
};
use rskafka::{chrono::DateTime, client::partition::Compression, record::Record};
use shasta::{cluster::topic::Topic, event::partitioner};

use clients::{ANSWER_MAX, Rd, Rs};
use harness::{BYTES, BenchHarness, test_mode};

/// Events that are on their way at once, where throughput is asked for.
const FLIGHT: u64 = 2_000;

fn acks(criterion: &mut Criterion, harness: &BenchHarness, brokers: usize, factors: &[u16]) {
    let mut group = criterion.benchmark_group("ack of one event");
    group.sample_size(20).measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(2));
    group.throughput(Throughput::Elements(1));
    for &factor in factors {
        let topic = harness.topic(&format!("ack-{factor}"), 24, factor);
        let case = format!("{brokers} brokers, RF {factor}");
        let engine = Rd::open(harness, &topic, 0);
        engine.send(1);
        group.bench_function(BenchmarkId::new("librdkafka", &case), |bencher| bencher.iter(|| engine.send(1)));
        drop(engine);
        let engine = Rs::open(harness, &topic);
        group.bench_function(BenchmarkId::new("rskafka", &case), |bencher| bencher.iter(|| engine.send(1)));
    }
    group.finish();
}

fn throughput(criterion: &mut Criterion, harness: &BenchHarness) {
    let mut group = criterion.benchmark_group("acks of many events");
    group.sample_size(10).measurement_time(Duration::from_secs(4)).warm_up_time(Duration::from_secs(2));
    group.throughput(Throughput::Elements(FLIGHT));
    for (partitions, factor) in [(24, 3), (24, 1), (256, 3)] {
        let topic = harness.topic(&format!("many-{partitions}-{factor}"), partitions, factor);
        for linger_ms in [0, 5] {
            let engine = Rd::open(harness, &topic, linger_ms);
            let case = format!("{partitions} partitions, RF {factor}, linger {linger_ms} ms");
            group.bench_function(BenchmarkId::new("librdkafka", case), |bencher| bencher.iter(|| engine.send(FLIGHT)));
        }
        let (engine, case) = (Rs::open(harness, &topic), format!("{partitions} partitions, RF {factor}"));
        group.bench_function(BenchmarkId::new("rskafka", case), |bencher| bencher.iter(|| engine.send(FLIGHT)));
    }
    group.finish();
}

/// A consumer with the variant's properties, which begins where the topic ends or where it begins.
fn consumer(harness: &BenchHarness, topic: &Topic, from: Offset) -> BaseConsumer {
    let mut config = harness.endpoints().kafka.consumer_config("bench");
    config.set("socket.nagle.disable", "true");
    for (name, value) in &harness.variant.consumer {
        config.set(name, value);
    }
    let consumer: BaseConsumer = config.create().expect("the configuration is valid");
    let mut all = TopicPartitionList::new();
    for partition in &topic.partitions {
        all.add_partition_offset(&topic.name, partition.id, from).expect("it is an offset to begin at");
    }
    consumer.assign(&all).expect("the partitions are there");
    consumer
}

/// Polls until so many records have come, and returns when the first and the last did.
fn poll(consumer: &BaseConsumer, records: u64) -> (Instant, Instant) {
    let (deadline, mut first, mut seen) = (Instant::now() + ANSWER_MAX, None, 0);
    while seen < records {
        assert!(Instant::now() < deadline, "{seen} of {records} records in {ANSWER_MAX:?}");
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            assert_eq!(message.expect("the brokers answer").payload_len(), BYTES);
            seen += 1;
            first.get_or_insert_with(Instant::now);
        }
    }
    let last = Instant::now();
    (first.unwrap_or(last), last)
}

fn polls(criterion: &mut Criterion, harness: &BenchHarness) {
    let records = if test_mode() { 2_000 } else { 100_000 };
    let mut group = criterion.benchmark_group("poll");
    group.sample_size(10).measurement_time(Duration::from_secs(4)).warm_up_time(Duration::from_secs(1));
    group.throughput(Throughput::Elements(records));
    for partitions in [24, 256] {
        let topic = harness.topic(&format!("poll-{partitions}"), partitions, 3);
        let engine = Rd::open(harness, &topic, 5);
        (0..records / FLIGHT).for_each(|_| engine.send(FLIGHT));
        group.bench_function(BenchmarkId::new("backlog", format!("{partitions} partitions")), |bencher| {
            bencher.iter_custom(|times| {
                let one = |_| {
                    let (first, last) = poll(&consumer(harness, &topic, Offset::Beginning), records);
                    last - first
                };
                (0..times).map(one).sum()
            });
        });
    }
    group.finish();
}

/// From handing an event over to its return from the consumer's poll, one event after the other.
fn end_to_end(criterion: &mut Criterion, harness: &BenchHarness) {
    let topic = harness.topic("one", 24, 3);
    let mut group = criterion.benchmark_group("one event, send to poll");
    group.sample_size(20).measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(2));
    group.throughput(Throughput::Elements(1));
    for engine in ["librdkafka", "rskafka"] {
        let consumer = consumer(harness, &topic, Offset::End);
        let (rd, rs) = (Rd::open(harness, &topic, 0), Rs::open(harness, &topic));
        let send = |wait: bool| match engine {
            "librdkafka" if wait => rd.send(1),
            "librdkafka" => {
                let (key, value) = (rd.shape.partition_key(0), rd.shape.encode(0, 0));
                let partition = partitioner::partition(&key, 24);
                let record = BaseRecord::to(&topic.name).partition(partition).key(&key).payload(&value);
                rd.producer.send(record).map_err(|(error, _)| error).expect("the queue has room");
            }
            _ => rs.send(1),
        };
        // The end is where the consumer first looks, so it has to have looked before an event counts.
        std::thread::sleep(Duration::from_secs(1));
        send(true);
        while consumer.poll(Duration::from_millis(500)).is_some() {}
        group.bench_function(engine, |bencher| {
            bencher.iter(|| {
                send(false);
                poll(&consumer, 1);
                rd.producer.poll(Duration::ZERO);
            });
        });
        rd.producer.flush(ANSWER_MAX).expect("the brokers ack what the consumer has had");
    }
    group.finish();
}

fn connect(criterion: &mut Criterion, harness: &BenchHarness) {
    let topic = harness.topic("connect", 24, 3);
    let mut group = criterion.benchmark_group("connect and send one event");
    group.sample_size(10).measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1));
    group.bench_function("librdkafka", |bencher| bencher.iter(|| Rd::open(harness, &topic, 0).send(1)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    group.bench_function("rskafka", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                let partition = Rs::partition(&Rs::client(harness).await, &topic, 0).await;
                let value = Some(vec![0; BYTES]);
                let (headers, timestamp) = (Default::default(), DateTime::default());
                let record = Record { key: None, value, headers, timestamp };
                let acked = partition.produce(vec![record], Compression::NoCompression).await;
                assert_eq!(acked.expect("the leader takes it").len(), 1);
            });
        });
    });
    group.finish();
}

fn three_brokers(criterion: &mut Criterion) {
    let harness = BenchHarness::start("kafka", 3);
    acks(criterion, &harness, 3, &[1, 3]);
    throughput(criterion, &harness);
    polls(criterion, &harness);
    end_to_end(criterion, &harness);
    connect(criterion, &harness);
}

fn other_numbers(criterion: &mut Criterion) {
    if !test_mode() {
        acks(criterion, &BenchHarness::start("kafka", 1), 1, &[1]);
        acks(criterion, &BenchHarness::start("kafka", 6), 6, &[1, 3]);
    }
}

criterion_group!(benches, other_numbers, three_brokers);
criterion_main!(benches);

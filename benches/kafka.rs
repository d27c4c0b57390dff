//! What does each step with Kafka cost: an ack, many acks, a poll, a connection, one event from end to end? Real brokers,
//! both engines' clients as the producers set them up, acks of all in-sync replicas.
//!
//! The three brokers of a run serve everything. One and six brokers, each a cluster of its own for as long as they take,
//! say what their number does to an ack; in test mode they are left out, since only their number differs.

mod bed;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rdkafka::{
    ClientContext, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext},
};
use rskafka::{
    BackoffConfig,
    chrono::DateTime,
    client::{
        Client,
        partition::{Compression, PartitionClient, UnknownTopicHandling},
    },
    record::Record,
};
use shasta::{cluster::topic::Topic, producer::partitioner, tag_data::EventShape};
use tokio::{runtime::Runtime, task::JoinSet};

use bed::{BYTES, Bed, test_mode};

const CONNECTIONS: u32 = 1_000;
/// Events that are on their way at once, where throughput is asked for.
const FLIGHT: u64 = 2_000;
const ANSWER_MAX: Duration = Duration::from_secs(30);

fn shape() -> EventShape {
    EventShape::new(BYTES, CONNECTIONS, 1, 16, 1).expect("512 bytes are enough")
}

/// librdkafka's producer, which says when acks have come.
struct Acks(Arc<Mutex<u64>>);

impl ClientContext for Acks {}

impl ProducerContext for Acks {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        assert!(result.is_ok(), "{result:?}");
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }
}

struct Rd {
    producer: BaseProducer<Acks>,
    acked: Arc<Mutex<u64>>,
    topic: Topic,
    shape: EventShape,
}

impl Rd {
    fn open(bed: &Bed, topic: &Topic, linger_ms: u32) -> Self {
        let mut config = bed.endpoints().kafka.client_config();
        config.set("acks", "all").set("enable.idempotence", "true").set("linger.ms", linger_ms.to_string());
        config.set("socket.nagle.disable", "true");
        let acked = Arc::default();
        let producer = config.create_with_context(Acks(Arc::clone(&acked))).expect("the configuration is valid");
        Self { producer, acked, topic: topic.clone(), shape: shape() }
    }

    /// Sends so many events and waits for their acks.
    fn send(&self, events: u64) {
        *self.acked.lock().unwrap_or_else(PoisonError::into_inner) = 0;
        for event in 0..events {
            let connection = (event % u64::from(CONNECTIONS)) as u32;
            let (key, value) = (self.shape.partition_key(connection.into()), self.shape.encode(connection, event));
            let partition = partitioner::partition(&key, self.topic.partitions.len() as u32);
            let record = BaseRecord::to(&self.topic.name).partition(partition).key(&key).payload(&value);
            self.producer.send(record).map_err(|(error, _)| error).expect("the queue has room");
        }
        let deadline = Instant::now() + ANSWER_MAX;
        while *self.acked.lock().unwrap_or_else(PoisonError::into_inner) < events {
            assert!(Instant::now() < deadline, "the brokers have not acked {events} events in {ANSWER_MAX:?}");
            // A poll that waits spins inside of the library.
            self.producer.poll(Duration::ZERO);
            std::thread::sleep(Duration::from_micros(20));
        }
    }
}

/// rskafka's client, with a request of at most 100 events in flight a partition.
struct Rs {
    runtime: Runtime,
    partitions: Vec<Arc<PartitionClient>>,
    shape: EventShape,
}

impl Rs {
    async fn client(bed: &Bed) -> Client {
        let builder = bed.endpoints().kafka.rskafka_builder().expect("the bed's brokers need no login");
        builder.client_id("bench").backoff_config(BackoffConfig::default()).build().await.expect("the brokers answer")
    }

    async fn partition(client: &Client, topic: &Topic, partition: usize) -> PartitionClient {
        let opened = client.partition_client(&topic.name, partition as i32, UnknownTopicHandling::Error);
        opened.await.expect("its leader answers")
    }

    fn open(bed: &Bed, topic: &Topic) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let partitions = runtime.block_on(async {
            let (client, mut partitions) = (Self::client(bed).await, Vec::new());
            for partition in 0..topic.partitions.len() {
                partitions.push(Arc::new(Self::partition(&client, topic, partition).await));
            }
            partitions
        });
        Self { runtime, partitions, shape: shape() }
    }

    /// Sends so many events and waits for their acks.
    fn send(&self, events: u64) {
        let mut lanes: Vec<Vec<Record>> = self.partitions.iter().map(|_| Vec::new()).collect();
        for event in 0..events {
            let connection = (event % u64::from(CONNECTIONS)) as u32;
            let key = self.shape.partition_key(connection.into());
            let partition = partitioner::partition(&key, self.partitions.len() as u32);
            let value = Some(self.shape.encode(connection, event));
            let (headers, timestamp) = (Default::default(), DateTime::default());
            lanes[partition as usize].push(Record { key: Some(key), value, headers, timestamp });
        }
        let acked = self.runtime.block_on(async {
            let mut sending = JoinSet::new();
            for (mut lane, partition) in lanes.into_iter().zip(&self.partitions).filter(|(lane, _)| !lane.is_empty()) {
                let partition = Arc::clone(partition);
                sending.spawn(async move {
                    let mut acked = 0;
                    while !lane.is_empty() {
                        let request = lane.drain(..lane.len().min(100)).collect();
                        let offsets = partition.produce(request, Compression::NoCompression).await;
                        acked += offsets.expect("the leader takes it").len() as u64;
                    }
                    acked
                });
            }
            sending.join_all().await.into_iter().sum::<u64>()
        });
        assert_eq!(acked, events);
    }
}

fn acks(criterion: &mut Criterion, bed: &Bed, brokers: usize, factors: &[u16]) {
    let mut group = criterion.benchmark_group("ack of one event");
    group.sample_size(20).measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(2));
    group.throughput(Throughput::Elements(1));
    for &factor in factors {
        let topic = bed.topic(&format!("ack-{factor}"), 24, factor);
        let case = format!("{brokers} brokers, RF {factor}");
        let engine = Rd::open(bed, &topic, 0);
        engine.send(1);
        group.bench_function(BenchmarkId::new("librdkafka", &case), |bencher| bencher.iter(|| engine.send(1)));
        drop(engine);
        let engine = Rs::open(bed, &topic);
        group.bench_function(BenchmarkId::new("rskafka", &case), |bencher| bencher.iter(|| engine.send(1)));
    }
    group.finish();
}

fn throughput(criterion: &mut Criterion, bed: &Bed) {
    let mut group = criterion.benchmark_group("acks of many events");
    group.sample_size(10).measurement_time(Duration::from_secs(4)).warm_up_time(Duration::from_secs(2));
    group.throughput(Throughput::Elements(FLIGHT));
    for (partitions, factor) in [(24, 3), (24, 1), (256, 3)] {
        let topic = bed.topic(&format!("many-{partitions}-{factor}"), partitions, factor);
        for linger_ms in [0, 5] {
            let engine = Rd::open(bed, &topic, linger_ms);
            let case = format!("{partitions} partitions, RF {factor}, linger {linger_ms} ms");
            group.bench_function(BenchmarkId::new("librdkafka", case), |bencher| bencher.iter(|| engine.send(FLIGHT)));
        }
        let (engine, case) = (Rs::open(bed, &topic), format!("{partitions} partitions, RF {factor}"));
        group.bench_function(BenchmarkId::new("rskafka", case), |bencher| bencher.iter(|| engine.send(FLIGHT)));
    }
    group.finish();
}

/// A consumer with the variant's properties, which begins where the topic ends or where it begins.
fn consumer(bed: &Bed, topic: &Topic, from: Offset) -> BaseConsumer {
    let mut config = bed.endpoints().kafka.client_config();
    config.set("group.id", "bench").set("enable.auto.commit", "false").set("socket.nagle.disable", "true");
    for (name, value) in &bed.variant.consumer {
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

fn polls(criterion: &mut Criterion, bed: &Bed) {
    let records = if test_mode() { 2_000 } else { 100_000 };
    let mut group = criterion.benchmark_group("poll");
    group.sample_size(10).measurement_time(Duration::from_secs(4)).warm_up_time(Duration::from_secs(1));
    group.throughput(Throughput::Elements(records));
    for partitions in [24, 256] {
        let topic = bed.topic(&format!("poll-{partitions}"), partitions, 3);
        let engine = Rd::open(bed, &topic, 5);
        (0..records / FLIGHT).for_each(|_| engine.send(FLIGHT));
        group.bench_function(BenchmarkId::new("backlog", format!("{partitions} partitions")), |bencher| {
            bencher.iter_custom(|times| {
                let one = |_| {
                    let (first, last) = poll(&consumer(bed, &topic, Offset::Beginning), records);
                    last - first
                };
                (0..times).map(one).sum()
            });
        });
    }
    group.finish();
}

/// From handing an event over to its return from the consumer's poll, one event after the other.
fn end_to_end(criterion: &mut Criterion, bed: &Bed) {
    let topic = bed.topic("one", 24, 3);
    let mut group = criterion.benchmark_group("one event, send to poll");
    group.sample_size(20).measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(2));
    group.throughput(Throughput::Elements(1));
    for engine in ["librdkafka", "rskafka"] {
        let consumer = consumer(bed, &topic, Offset::End);
        let (rd, rs) = (Rd::open(bed, &topic, 0), Rs::open(bed, &topic));
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

fn connect(criterion: &mut Criterion, bed: &Bed) {
    let topic = bed.topic("connect", 24, 3);
    let mut group = criterion.benchmark_group("connect and send one event");
    group.sample_size(10).measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1));
    group.bench_function("librdkafka", |bencher| bencher.iter(|| Rd::open(bed, &topic, 0).send(1)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    group.bench_function("rskafka", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                let partition = Rs::partition(&Rs::client(bed).await, &topic, 0).await;
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
    let bed = Bed::start("kafka", 3);
    acks(criterion, &bed, 3, &[1, 3]);
    throughput(criterion, &bed);
    polls(criterion, &bed);
    end_to_end(criterion, &bed);
    connect(criterion, &bed);
}

fn other_numbers(criterion: &mut Criterion) {
    if !test_mode() {
        acks(criterion, &Bed::start("kafka", 1), 1, &[1]);
        acks(criterion, &Bed::start("kafka", 6), 6, &[1, 3]);
    }
}

criterion_group!(benches, other_numbers, three_brokers);
criterion_main!(benches);

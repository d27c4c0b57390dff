//! How fast does one worker drain a backlog into Redis, and how long does one event take through the whole path? A real
//! cluster of three brokers, one worker process, fresh groups.
//!
//! The time of a drain is from the first record's return from the client to the last batch's reply, by the worker's stamps.
//! Beside it: the same backlog consumed and decoded but not stored, and what redis-benchmark gets out of the same Redis
//! with the store's own script and as many events at once as the worker's batches may have.
//! `SHASTA_BENCH_BACKLOG` sets the events of the backlog (100,000).

mod harness;

use std::{
    path::Path,
    sync::mpsc::{self, Receiver},
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use prost::Message as _;
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer},
};
use shasta::{
    cluster::topic::{self, Topic},
    event::{headers::Stamps, partitioner, payload::EventShape},
    machine::clock::{Anchor, Clock},
    run::consumer_group,
    worker::{
        Config,
        pool::{WorkerMessage, WorkerPool},
        report::{Receipt, Stored},
    },
};
use shasta_model::tag_data::TagData;

use harness::{BYTES, BenchHarness, redis_benchmark, store_script, test_mode};

const CONNECTIONS: u32 = 1_000;
const BACKLOG: u64 = 100_000;
const ANSWER_MAX: Duration = Duration::from_secs(60);
const RUN: &str = "bench";

type Handle = BaseProducer<DefaultProducerContext>;

struct Backlog<'a> {
    harness: &'a BenchHarness,
    topic: Topic,
    events: u64,
    clock: Clock,
    shape: EventShape,
    handle: Handle,
}

impl<'a> Backlog<'a> {
    fn new(harness: &'a BenchHarness, partitions: u32, events: u64) -> Self {
        let topic = harness.topic(&format!("tag-data-{partitions}"), partitions, 3);
        let shape = EventShape::new(BYTES, CONNECTIONS, 1, 16, 1).expect("512 bytes are enough");
        let mut config = harness.endpoints().kafka.producer_config();
        config.set("linger.ms", "0").set("queue.buffering.max.messages", "1000000").set("socket.nagle.disable", "true");
        let handle = config.create().expect("the configuration is valid");
        let backlog = Self { harness, topic, events, clock: Clock::new(Anchor::read()), shape, handle };
        for event in 0..events {
            backlog.send((event % u64::from(CONNECTIONS)) as u32, event / u64::from(CONNECTIONS));
        }
        backlog.handle.flush(ANSWER_MAX).expect("the brokers take the backlog");
        backlog
    }

    fn send(&self, connection: u32, sequence: u64) -> i64 {
        let (key, value) = (self.shape.partition_key(connection.into()), self.shape.encode(connection, sequence));
        let before_us = self.clock.now_us();
        let stamps = Stamps {
            run: RUN,
            source: "p0",
            producer: connection,
            sequence,
            scheduled_us: before_us,
            before_publish_us: before_us,
            warm: false,
        };
        let mut headers = Some(OwnedHeaders::new_with_capacity(6));
        stamps.each(|key, value| headers = headers.take().map(|all| all.insert(Header { key, value: Some(value) })));
        let headers = headers.expect("each puts it back");
        let partition = partitioner::partition(&key, self.topic.partitions.len() as u32);
        let record = BaseRecord::to(&self.topic.name).partition(partition).key(&key).payload(&value).headers(headers);
        self.handle.send(record).map_err(|(error, _)| error).expect("the queue has room for all");
        self.handle.poll(Duration::ZERO);
        before_us
    }

    /// A worker of a new group that starts at these offsets, with an empty Redis: so all is stored.
    fn worker(&self, starts: &[i64]) -> (WorkerPool, Receiver<WorkerMessage>) {
        static WORKERS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        let generation = WORKERS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let group = format!("drain-{generation}");
        consumer_group::start_at(&self.harness.endpoints().kafka, &group, &self.topic, starts, &|| false)
            .expect("the coordinator answers");
        let redis =
            redis::Client::open(self.harness.endpoints().redis_url.as_str()).and_then(|client| client.get_connection());
        redis.and_then(|mut redis| redis::cmd("FLUSHALL").exec(&mut redis)).expect("Redis forgets all");
        let (sender, messages) = mpsc::channel();
        let mut pool = WorkerPool::default();
        let program = Path::new(env!("CARGO_BIN_EXE_experiment"));
        let config = self.config(group, generation);
        let name = format!("worker {}", config.worker);
        pool.add(program, ("worker", name), self.harness.endpoints(), &config, move |messages| {
            drop(sender.send(messages))
        })
        .expect("a worker starts");
        (pool, messages)
    }

    fn config(&self, group: String, generation: u64) -> Config {
        let variant = &self.harness.variant;
        Config {
            clock: self.clock,
            run: RUN.into(),
            worker: 0,
            workers: 1,
            group,
            topic: self.topic.name.clone(),
            log_append_time: self.topic.log_append_time,
            generation,
            start_offsets: vec![0; self.topic.partitions.len()],
            group_protocol: variant.group_protocol,
            static_membership: variant.static_membership,
            commit_interval_ms: variant.commit_interval.0.as_millis() as u64,
            batch_max: variant.batch_max as usize,
            lookahead: variant.lookahead as usize,
            stream_maxlen: variant.stream_maxlen,
            redis_timeout_ms: 5_000,
            consumer: variant.consumer.clone(),
        }
    }

    /// One worker takes the whole backlog.
    fn drain(&self) -> Duration {
        let (pool, messages) = self.worker(&vec![0; self.topic.partitions.len()]);
        let (mut first_us, mut last_us) = (i64::MAX, 0);
        receipts(&messages, self.events, |receipt| {
            first_us = first_us.min(receipt.after_consume_us);
            last_us = last_us.max(receipt.after_store_us.expect("it is stored"));
        });
        pool.stop(&|| false).expect("the worker ends");
        Duration::from_micros((last_us - first_us) as u64)
    }

    /// The same client takes it, and nothing is stored.
    fn consume(&self) -> Duration {
        let mut config = self.harness.endpoints().kafka.consumer_config("bench");
        for (name, value) in &self.harness.variant.consumer {
            config.set(name, value);
        }
        let consumer: BaseConsumer = config.create().expect("the configuration is valid");
        let mut all = TopicPartitionList::new();
        for partition in &self.topic.partitions {
            all.add_partition_offset(&self.topic.name, partition.id, Offset::Beginning).expect("it is an offset");
        }
        consumer.assign(&all).expect("the partitions are there");
        let (deadline, mut seen, mut first) = (Instant::now() + ANSWER_MAX, 0, None);
        while seen < self.events {
            assert!(Instant::now() < deadline, "{seen} of {} events in {ANSWER_MAX:?}", self.events);
            if let Some(message) = consumer.poll(Duration::from_millis(100)) {
                first.get_or_insert_with(Instant::now);
                let message = message.expect("the brokers answer");
                let event = TagData::decode(message.payload().unwrap_or_default()).expect("it was encoded here");
                assert!(event.identifier.is_some());
                seen += 1;
            }
        }
        first.map_or(Duration::ZERO, |first| first.elapsed())
    }
}

/// Takes so many receipts of stored events.
fn receipts(messages: &Receiver<WorkerMessage>, events: u64, mut each: impl FnMut(&Receipt)) {
    let mut stored = 0;
    while stored < events {
        let report = match messages.recv_timeout(ANSWER_MAX) {
            Ok(WorkerMessage::Report(report)) => report,
            other => panic!("{stored} of {events} events, then {other:?}"),
        };
        for receipt in &report.receipts {
            assert_eq!(receipt.stored(), Stored::Applied, "each event is new to its generation");
            stored += 1;
            each(receipt);
        }
    }
}

fn drain(criterion: &mut Criterion, harness: &BenchHarness) {
    let asked = std::env::var("SHASTA_BENCH_BACKLOG").ok();
    let asked = asked.map_or(BACKLOG, |events| events.parse().expect("SHASTA_BENCH_BACKLOG is a number of events"));
    let events = if test_mode() { 2_000 } else { asked };
    let mut group = criterion.benchmark_group("worker");
    group.sample_size(10).warm_up_time(Duration::from_secs(1)).throughput(Throughput::Elements(events));
    for partitions in [24, 256] {
        let backlog = Backlog::new(harness, partitions, events);
        let case = format!("{partitions} partitions");
        group.bench_function(BenchmarkId::new("drain", &case), |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| backlog.drain()).sum());
        });
        group.bench_function(BenchmarkId::new("consume and decode", &case), |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| backlog.consume()).sum());
        });
    }
    let mut redis = redis::Client::open(harness.endpoints().redis_url.as_str())
        .and_then(|client| client.get_connection())
        .expect("Redis is there");
    let script: String = redis::cmd("SCRIPT")
        .arg("LOAD")
        .arg(store_script::with_ids_of_redis())
        .query(&mut redis)
        .expect("the script is valid");
    let data = vec![b'x'; BYTES - 32];
    let (arguments, at_once) =
        (store_script::arguments("EVALSHA", &script, &data), u64::from(harness.variant.batch_max));
    group.bench_function(BenchmarkId::new("redis-benchmark EVALSHA", at_once), |bencher| {
        let run = |times| redis_benchmark::time(harness.redis(), at_once, events * times, &arguments, test_mode());
        bencher.iter_custom(run);
    });
    group.finish();
}

/// From handing an event over to its batch's reply from Redis, one event after the other.
fn one_event(criterion: &mut Criterion, harness: &BenchHarness) {
    let backlog = Backlog::new(harness, 48, 1);
    let ends = topic::end_offsets(&harness.endpoints().kafka, &backlog.topic).expect("the brokers answer");
    let (pool, messages) = backlog.worker(&ends);
    let mut sequence = 0;
    let mut one = || {
        sequence += 1;
        let before_us = backlog.send(0, sequence);
        let mut after_us = before_us;
        receipts(&messages, 1, |receipt| after_us = receipt.after_store_us.expect("it is stored"));
        Duration::from_micros((after_us - before_us) as u64)
    };
    // The first one also waits for the group.
    one();
    let mut group = criterion.benchmark_group("worker");
    group.sample_size(20).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(4));
    group.throughput(Throughput::Elements(1));
    group.bench_function("one event, publish to stored", |bencher| {
        bencher.iter_custom(|times| (0..times).map(|_| one()).sum());
    });
    group.finish();
    pool.stop(&|| false).expect("the worker ends");
}

fn all(criterion: &mut Criterion) {
    let harness = BenchHarness::start("pipeline", 3);
    one_event(criterion, &harness);
    drain(criterion, &harness);
}

criterion_group!(benches, all);
criterion_main!(benches);

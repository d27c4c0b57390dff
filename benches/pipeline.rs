//! How fast does one worker drain a backlog into Redis? A real cluster of three brokers, one worker process, fresh groups.
//!
//! The time of a drain is from the first record's return from the client to the last batch's reply, by the worker's stamps.

use std::{
    path::Path,
    sync::mpsc::{self, Receiver},
    time::Duration,
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use shasta::{
    clock::{Anchor, Clock},
    cluster::{self, Cluster, Endpoints, topic, topic::Topic},
    crew::{Crew, News},
    group,
    process::Lifetime,
    producer::partitioner,
    tag_data::EventShape,
    variant::{Layer, Variant},
    worker::{Config, report::Stored},
};

const CONNECTIONS: u32 = 1_000;
const BYTES: usize = 512;

struct Backlog {
    cluster: Box<dyn Cluster>,
    topic: Topic,
    variant: Variant,
    events: u64,
    drains: u64,
}

impl Backlog {
    fn new(events: u64) -> Self {
        let (_, variant) = Variant::load("laptop", &Layer::default()).expect("the repository has this variant");
        let cluster = cluster::start(&variant, None, Lifetime::WithParent, &|| false, &|_| ()).expect("scripts/setup");
        let topic =
            topic::prepare(&cluster.endpoints().kafka, &variant, &|| false).expect("a new cluster has no topic");
        let backlog = Self { cluster, topic, variant, events, drains: 0 };
        backlog.fill();
        backlog
    }

    fn endpoints(&self) -> &Endpoints {
        self.cluster.endpoints()
    }

    fn fill(&self) {
        let shape = EventShape::new(BYTES, CONNECTIONS, 1, 16, 1).expect("512 bytes are enough");
        let mut config = self.endpoints().kafka.client_config();
        config.set("linger.ms", "20").set("queue.buffering.max.messages", "1000000");
        let producer: BaseProducer<DefaultProducerContext> = config.create().expect("the configuration is valid");
        for event in 0..self.events {
            let (connection, sequence) = ((event % u64::from(CONNECTIONS)) as u32, event / u64::from(CONNECTIONS));
            let key = shape.partition_key(u64::from(connection));
            let partition = partitioner::partition(&key, self.variant.partitions);
            let value = shape.encode(connection, sequence);
            let record = BaseRecord::to(&self.topic.name).partition(partition).key(&key).payload(&value);
            producer.send(record).map_err(|(error, _)| error).expect("the queue has room for all");
            producer.poll(Duration::ZERO);
        }
        producer.flush(Duration::from_secs(60)).expect("the brokers take the backlog");
    }

    /// One new group of one worker takes the whole backlog; each drain is a generation of its own, so that all is stored.
    fn drain(&mut self) -> Duration {
        self.drains += 1;
        let group = format!("drain-{}", self.drains);
        let starts = vec![0; self.topic.partitions.len()];
        group::start_at(&self.endpoints().kafka, &group, &self.topic, &starts, &|| false)
            .expect("the coordinator answers");
        let (sender, news) = mpsc::channel();
        let mut crew = Crew::default();
        let program = Path::new(env!("CARGO_BIN_EXE_experiment"));
        let config = self.config(group);
        crew.add(program, self.endpoints(), &config, move |news| drop(sender.send(news))).expect("a worker starts");
        let took = self.listen(&news);
        crew.stop(&|| false).expect("the worker ends");
        took
    }

    fn listen(&self, news: &Receiver<News>) -> Duration {
        let (mut stored, mut first_us, mut last_us) = (0, i64::MAX, 0);
        while stored < self.events {
            let report = match news.recv_timeout(Duration::from_secs(60)) {
                Ok(News::Report(report)) => report,
                other => panic!("{stored} of {} events, then {other:?}", self.events),
            };
            for receipt in report.receipts {
                assert_eq!(receipt.stored(), Stored::Applied, "each event is new to its generation");
                stored += 1;
                first_us = first_us.min(receipt.after_consume_us);
                last_us = last_us.max(receipt.after_store_us.expect("it is stored"));
            }
        }
        Duration::from_micros((last_us - first_us) as u64)
    }

    fn config(&self, group: String) -> Config {
        let variant = &self.variant;
        Config {
            clock: Clock::new(Anchor::read()),
            run: "bench".into(),
            worker: 0,
            group,
            topic: self.topic.name.clone(),
            log_append_time: self.topic.log_append_time,
            generation: self.drains,
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
}

fn drain(criterion: &mut Criterion) {
    let test = std::env::args().any(|argument| argument == "--test") || !std::env::args().any(|a| a == "--bench");
    let mut backlog = Backlog::new(if test { 2_000 } else { 100_000 });
    let mut group = criterion.benchmark_group("worker");
    group.sample_size(10).throughput(Throughput::Elements(backlog.events));
    group.bench_function("drain", |bencher| {
        bencher.iter_custom(|iterations| (0..iterations).map(|_| backlog.drain()).sum());
    });
    group.finish();
}

criterion_group!(benches, drain);
criterion_main!(benches);

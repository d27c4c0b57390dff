//! Both engines' Kafka clients, set up as the producers set them up, and driven to the last ack.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext,
    producer::{BaseProducer, BaseRecord, DeliveryResult, ProducerContext},
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
use shasta::{
    cluster::topic::Topic,
    event::{partitioner, payload::EventShape},
};
use tokio::{runtime::Runtime, task::JoinSet};

use crate::harness::{BYTES, BenchHarness};

/// How long a broker may take to answer.
pub const ANSWER_MAX: Duration = Duration::from_secs(30);
const CONNECTIONS: u32 = 1_000;

fn shape() -> EventShape {
    EventShape::new(BYTES, CONNECTIONS, 1, 16, 1).expect("512 bytes are enough")
}

/// Counts acks.
pub struct Acks(Arc<Mutex<u64>>);

impl ClientContext for Acks {}

impl ProducerContext for Acks {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        assert!(result.is_ok(), "{result:?}");
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }
}

/// librdkafka's producer.
pub struct Rd {
    /// The client.
    pub producer: BaseProducer<Acks>,
    acked: Arc<Mutex<u64>>,
    topic: Topic,
    /// The events.
    pub shape: EventShape,
}

impl Rd {
    pub fn open(harness: &BenchHarness, topic: &Topic, linger_ms: u32) -> Self {
        let mut config = harness.endpoints().kafka.producer_config();
        config.set("acks", "all").set("enable.idempotence", "true").set("linger.ms", linger_ms.to_string());
        config.set("socket.nagle.disable", "true");
        let acked = Arc::default();
        let producer = config.create_with_context(Acks(Arc::clone(&acked))).expect("the configuration is valid");
        Self { producer, acked, topic: topic.clone(), shape: shape() }
    }

    /// Sends so many events and waits for their acks.
    pub fn send(&self, events: u64) {
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
pub struct Rs {
    runtime: Runtime,
    partitions: Vec<Arc<PartitionClient>>,
    shape: EventShape,
}

impl Rs {
    pub async fn client(harness: &BenchHarness) -> Client {
        let builder = harness.endpoints().kafka.rskafka_builder().expect("the harness's brokers need no login");
        builder.client_id("bench").backoff_config(BackoffConfig::default()).build().await.expect("the brokers answer")
    }

    pub async fn partition(client: &Client, topic: &Topic, partition: usize) -> PartitionClient {
        let opened = client.partition_client(&topic.name, partition as i32, UnknownTopicHandling::Error);
        opened.await.expect("its leader answers")
    }

    pub fn open(harness: &BenchHarness, topic: &Topic) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let partitions = runtime.block_on(async {
            let (client, mut partitions) = (Self::client(harness).await, Vec::new());
            for partition in 0..topic.partitions.len() {
                partitions.push(Arc::new(Self::partition(&client, topic, partition).await));
            }
            partitions
        });
        Self { runtime, partitions, shape: shape() }
    }

    /// Sends so many events and waits for their acks.
    pub fn send(&self, events: u64) {
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

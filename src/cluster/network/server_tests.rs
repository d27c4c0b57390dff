//! The network before a real Kafka and a real Redis: whoever is cut off hears nothing, nobody else notices, and nothing is
//! lost.

use std::{
    collections::BTreeSet,
    net::TcpStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
};

use rdkafka::{
    Message,
    consumer::{BaseConsumer, Consumer},
    error::KafkaResult,
    producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer},
};

use super::*;
use crate::{
    cluster::{
        Cluster, Site,
        local::{self, LocalCluster, Starting},
        tests::variant,
        topic::{self, Topic},
    },
    machine::process::Lifetime,
    variant::Variant,
};

const CUT: Condition = Condition { delay: Duration::ZERO, cut: true };
const LONG: Duration = Duration::from_secs(60);

fn cluster() -> (LocalCluster, Topic) {
    let mut variant = variant();
    for (name, value) in [("group.initial.rebalance.delay.ms", "0"), ("offsets.topic.num.partitions", "3")] {
        variant.broker.insert(name.to_owned(), value.to_owned());
    }
    let variant = Variant { partitions: 6, ..variant };
    let (site, network, lifetime) = (&Site::from_env(), Some(Scope::Whole), Lifetime::WithParent);
    let starting =
        Starting { variant: &variant, brokers: 3, site, network, lifetime, stop: &|| false, progress: &|_| () };
    let cluster = local::start(starting).unwrap();
    let topic = topic::prepare(&cluster.endpoints().kafka, &variant, &|| false).unwrap();
    (cluster, topic)
}

struct Sender {
    producer: BaseProducer<DefaultProducerContext>,
    topic: Topic,
    sent: u64,
}

impl Sender {
    fn new(cluster: &LocalCluster, topic: &Topic) -> Self {
        let mut config = cluster.endpoints_of(Party::Producers).kafka.client_config();
        config.set("enable.idempotence", "true").set("message.timeout.ms", "60000");
        Self { producer: config.create().unwrap(), topic: topic.clone(), sent: 0 }
    }

    /// Sends an event to a partition that this broker leads, and waits for its ack.
    fn send(&mut self, leader: i32, wait: Duration) -> KafkaResult<()> {
        let partition = self.topic.partitions.iter().find(|partition| partition.leader == leader).unwrap().id;
        let payload = self.sent.to_be_bytes();
        let record = BaseRecord::<(), _>::to(&self.topic.name).partition(partition).payload(&payload);
        self.producer.send(record).map_err(|(error, _)| error).unwrap();
        self.sent += 1;
        self.producer.flush(wait)
    }
}

/// Consumes as a worker does, in a thread of its own.
struct Receiver {
    seen: Arc<Mutex<BTreeSet<u64>>>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    fn new(cluster: &LocalCluster, topic: &Topic) -> Self {
        let mut config = cluster.endpoints_of(Party::Workers).kafka.client_config();
        config.set("group.id", "test").set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.subscribe(&[&topic.name]).unwrap();
        let (seen, end): (Arc<Mutex<BTreeSet<_>>>, Arc<AtomicBool>) = Default::default();
        let (to, until) = (Arc::clone(&seen), Arc::clone(&end));
        let thread = std::thread::spawn(move || {
            while !until.load(Relaxed) {
                // An error says that a broker is away, which is what happens here.
                if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                    to.lock().unwrap().insert(u64::from_be_bytes(message.payload().unwrap().try_into().unwrap()));
                }
            }
        });
        Self { seen, end, thread: Some(thread) }
    }

    fn count(&self) -> u64 {
        self.seen.lock().unwrap().len() as u64
    }

    fn wait_for(&self, count: u64) {
        let start = std::time::Instant::now();
        while self.count() < count {
            assert!(start.elapsed() < 2 * LONG, "{} of {count} events came", self.count());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.end.store(true, Relaxed);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

fn pings(url: &str, within: Duration) -> bool {
    let address = url.strip_prefix("redis://").unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(within)).unwrap();
    std::io::Write::write_all(&mut socket, b"PING\r\n").unwrap();
    std::io::Read::read(&mut socket, &mut [0; 16]).is_ok()
}

#[test]
fn links_of_a_real_cluster_are_cut_and_heal_without_loss() {
    let (cluster, topic) = cluster();
    let network = cluster.network().unwrap();
    let set = |a, b, condition| network.set(&Link { a, b }, condition).unwrap();
    let (mut sender, receiver) = (Sender::new(&cluster, &topic), Receiver::new(&cluster, &topic));
    for leader in [1, 2, 3] {
        sender.send(leader, LONG).unwrap();
    }
    receiver.wait_for(3);

    // Workers cut off: producers do not notice, and workers hear nothing.
    set(Party::Workers, Party::Brokers, CUT);
    std::thread::sleep(Duration::from_millis(200));
    for round in 0..9 {
        sender.send(round % 3 + 1, LONG).unwrap();
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(receiver.count(), 3);
    set(Party::Workers, Party::Brokers, Condition::default());
    receiver.wait_for(12);

    // Brokers 1 and 2 cut off from each other: each still has the third, and what that one leads is acked by all.
    set(Party::Broker(1), Party::Broker(2), CUT);
    std::thread::sleep(Duration::from_millis(200));
    sender.send(3, LONG).unwrap();
    sender.send(1, Duration::from_secs(1)).expect_err("broker 2 cannot have it, so it must not be acked");
    sender.send(2, Duration::from_millis(500)).expect_err("nor can broker 1 have this one");
    set(Party::Broker(1), Party::Broker(2), Condition::default());
    sender.producer.flush(LONG).unwrap();
    receiver.wait_for(15);

    // Producers cut off from one broker.
    set(Party::Producers, Party::Broker(3), CUT);
    std::thread::sleep(Duration::from_millis(50));
    sender.send(1, LONG).unwrap();
    sender.send(3, Duration::from_millis(500)).expect_err("the broker does not hear of it");
    set(Party::Producers, Party::Broker(3), Condition::default());
    sender.producer.flush(LONG).unwrap();
    receiver.wait_for(17);
    assert_eq!(*receiver.seen.lock().unwrap(), (0..17).collect());

    set(Party::Workers, Party::Redis, CUT);
    let pings = |party, within| pings(&cluster.endpoints_of(party).redis_url, within);
    assert!(pings(Party::Producers, LONG) && pings(Party::Readers, LONG));
    assert!(!pings(Party::Workers, Duration::from_millis(300)));
}

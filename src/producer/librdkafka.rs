//! Engine `librdkafka`: one idempotent handle a connection, each with its own threads and sockets.
//!
//! An idempotent handle begins no request to a partition that has five events in flight, and none before all in flight have
//! ended once one of them failed. While it holds events that it may not send, the thread of their broker does not sleep: it
//! sees that they are due, finds that it may not send them, and looks again (librdkafka 2.12,
//! `rd_kafka_toppar_producer_serve`). With acks that are slower than events, a thread of each connection spins, takes the
//! brokers' cores, and acks take longer still. And where events time out in a handle, it takes a new epoch and writes again
//! under it what was in flight, which the brokers cannot tell from new events. So a handle gets only what it can send: the
//! next events when none is in flight. Others wait here, see [`Lane`].

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap, VecDeque},
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rdkafka::{
    ClientContext, Message,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    message::{DeliveryResult, Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer, ProducerContext, PurgeConfig},
    util::Timeout,
};

use super::{Counters, Due, Load, PublishOutcome, outcomes::Outbox, publish_errors::Cause, thread::Engine};
use crate::{
    cluster::{
        Complaints, producer_defaults,
        throttle::{self, PRODUCERS_ASKED, STATISTICS_MS},
    },
    machine::clock::Clock,
    variant,
};

/// How often acks are looked for while any is due. Polling with a wait spins inside of the library.
const POLL_US: i64 = 1_000;

/// Most events that go together: a handle that has sent the first of them sends the others, too, while fewer than so many are in
/// flight (`RD_KAFKA_IDEMP_MAX_INFLIGHT`).
const TOGETHER_MAX: usize = 5;

pub(super) struct Handles {
    load: Arc<Load>,
    outbox: Rc<Outbox>,
    acks: Arc<Acks>,
    /// All handles say the same.
    complaints: Arc<Complaints>,
    handles: RefCell<HashMap<u32, Handle>>,
    open: Cell<usize>,
}

struct Handle {
    producer: BaseProducer<AckContext>,
    lanes: HashMap<i32, Lane>,
    in_flight: usize,
    waiting: u32,
}

/// An event as the client takes it.
struct Event {
    due: Due,
    before_us: i64,
    key: Vec<u8>,
    value: Vec<u8>,
    headers: OwnedHeaders,
}

/// One connection's way to one partition: the events in flight, and the others in order behind them.
#[derive(Default)]
struct Lane {
    in_flight: usize,
    queue: VecDeque<Due>,
}

impl Lane {
    /// How many of the waiting events may go now.
    fn ready(&self) -> usize {
        if self.in_flight == 0 { self.queue.len().min(TOGETHER_MAX) } else { 0 }
    }
}

/// Acks of one poll. The mutex is never contended: the callback runs in the thread that polls.
#[derive(Default)]
struct Acks(Mutex<Vec<Ack>>);

struct Ack {
    due: Due,
    before_us: i64,
    after_us: i64,
    result: Result<i64, KafkaError>,
}

struct AckContext {
    clock: Clock,
    acks: Arc<Acks>,
    counters: Arc<Counters>,
    complaints: Arc<Complaints>,
}

impl ClientContext for AckContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.complaints.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let told = self.complaints.hear(format!("producers: Kafka: {error}"), reason);
        told.into_iter().for_each(|text| tracing::warn!("{text}"));
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.counters.throttled.add(throttle::of_statistics(statistics));
    }
}

impl ProducerContext for AckContext {
    type DeliveryOpaque = Box<(Due, i64)>;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: Self::DeliveryOpaque) {
        let (due, before_us) = *opaque;
        let result = match result {
            Ok(message) => Ok(message.offset()),
            Err((error, _)) => Err(error.clone()),
        };
        let ack = Ack { due, before_us, after_us: self.clock.now_us(), result };
        self.acks.0.lock().unwrap_or_else(PoisonError::into_inner).push(ack);
    }
}

/// The producer's properties, but for its name and how it logs in.
pub(super) fn properties(load: &Load) -> BTreeMap<&'static str, String> {
    let Load { linger, delivery_timeout, acks, .. } = load;
    // An idempotent producer is one that waits for all in-sync replicas.
    let (acks, idempotent) = match acks {
        variant::Acks::All => ("all", "true"),
        variant::Acks::Leader => ("1", "false"),
    };
    let common = producer_defaults().map(|(name, value)| (name, value.to_owned()));
    let own = [
        ("acks", acks.into()),
        ("enable.idempotence", idempotent.into()),
        ("linger.ms", linger.as_millis().to_string()),
        ("message.timeout.ms", delivery_timeout.as_millis().to_string()),
        // The defaults of 100 ms would each cost the SLO at the first retry.
        ("retry.backoff.ms", "5".into()),
        ("retry.backoff.max.ms", "200".into()),
        ("reconnect.backoff.ms", "10".into()),
        ("reconnect.backoff.max.ms", "200".into()),
        ("socket.nagle.disable", "true".into()),
    ];
    common.chain(own).collect()
}

impl Handles {
    pub fn new(load: Arc<Load>, outbox: &Rc<Outbox>) -> Self {
        let (acks, complaints, handles, open) = Default::default();
        Self { load, outbox: Rc::clone(outbox), acks, complaints, handles, open }
    }

    fn create(&self, connection: u32) -> Result<Handle, KafkaError> {
        let mut config = self.load.access.producer_config();
        config.set("client.id", format!("shasta-p{connection}"));
        for (name, value) in properties(&self.load) {
            config.set(name, value);
        }
        if connection < PRODUCERS_ASKED {
            config.set("statistics.interval.ms", STATISTICS_MS.to_string());
        }
        let (acks, complaints) = (Arc::clone(&self.acks), Arc::clone(&self.complaints));
        let counters = Arc::clone(self.outbox.counters());
        let context = AckContext { clock: self.load.clock, acks, counters, complaints };
        let producer = config.create_with_context(context)?;
        Ok(Handle { producer, lanes: HashMap::new(), in_flight: 0, waiting: 0 })
    }

    /// Gives the handle what it may have now of the events that wait for a partition.
    fn release(&self, handle: &mut Handle, partition: i32) {
        let Handle { producer, lanes, in_flight, waiting } = handle;
        let lane = lanes.entry(partition).or_default();
        let count = lane.ready();
        // All are encoded before the first is sent, so that the handle's thread finds them together.
        let events: Vec<_> = lane.queue.drain(..count).map(|due| self.event(due)).collect();
        *waiting -= count as u32;
        for Event { due, before_us, key, value, headers } in events {
            let record = BaseRecord::with_opaque_to(&self.load.topic, Box::new((due, before_us)));
            let record = record.partition(partition).key(&key).payload(&value).headers(headers);
            if producer.send(record).is_ok() {
                lane.in_flight += 1;
                *in_flight += 1;
                self.outbox.sent(&due);
            } else {
                self.open.set(self.open.get() - 1);
                self.outbox.unsent(due);
            }
        }
    }

    fn event(&self, due: Due) -> Event {
        let shape = &self.load.shape;
        let tag = shape.tag(due.connection, due.sequence);
        let (key, value) = (shape.partition_key(tag), shape.encode(due.connection, due.sequence));
        let before_us = self.load.clock.now_us();
        let headers = self.load.headers(&due, before_us);
        let headers = headers.iter().fold(OwnedHeaders::new_with_capacity(headers.len()), |all, (key, value)| {
            all.insert(Header { key, value: Some(value) })
        });
        Event { due, before_us, key, value, headers }
    }

    fn partition(&self, due: &Due) -> i32 {
        self.load.partition(self.load.shape.tag(due.connection, due.sequence))
    }

    fn take_acks(&self) {
        let acks = std::mem::take(&mut *self.acks.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut handles = self.handles.borrow_mut();
        let mut freed = Vec::with_capacity(acks.len());
        for Ack { due, before_us, after_us, result } in acks {
            self.open.set(self.open.get() - 1);
            let partition = self.partition(&due);
            if let Some(handle) = handles.get_mut(&due.connection) {
                handle.in_flight -= 1;
                handle.lanes.entry(partition).or_default().in_flight -= 1;
                freed.push((due.connection, partition));
            }
            match result {
                Ok(offset) => self.outbox.acked(due, before_us, after_us, offset),
                Err(error) => {
                    let handle = handles.get(&due.connection);
                    let fatal = handle.and_then(|handle| handle.producer.client().fatal_error());
                    self.outbox.unacked(due, before_us, judge(&error), &cause(fatal, &error));
                }
            }
        }
        for (connection, partition) in freed {
            if let Some(handle) = handles.get_mut(&connection).filter(|handle| handle.waiting > 0) {
                self.release(handle, partition);
            }
        }
    }

    /// Lets the handles that have any in flight tell of their acks.
    fn poll_handles(&self) {
        for handle in self.handles.borrow().values().filter(|handle| handle.in_flight > 0) {
            handle.producer.poll(Timeout::After(Duration::ZERO));
        }
    }
}

impl Engine for Handles {
    async fn connect(self: Rc<Self>, connection: u32, _bootstrap: Vec<String>) -> Result<(), String> {
        let handle = self.create(connection).map_err(|error| error.to_string())?;
        self.handles.borrow_mut().insert(connection, handle);
        Ok(())
    }

    fn hand_over(self: &Rc<Self>, due: Due) {
        let mut handles = self.handles.borrow_mut();
        let Some(handle) = handles.get_mut(&due.connection).filter(|handle| handle.waiting < self.load.backlog) else {
            self.outbox.unsent(due);
            return;
        };
        let partition = self.partition(&due);
        self.open.set(self.open.get() + 1);
        handle.waiting += 1;
        handle.lanes.entry(partition).or_default().queue.push_back(due);
        self.release(handle, partition);
        if handle.lanes[&partition].queue.back() == Some(&due) {
            self.outbox.waited(&due);
        }
    }

    fn open(&self) -> usize {
        self.open.get()
    }

    fn abandon(&self) {
        for handle in self.handles.borrow_mut().values_mut() {
            for due in handle.lanes.values_mut().flat_map(|lane| lane.queue.drain(..)) {
                self.open.set(self.open.get() - 1);
                self.outbox.unsent(due);
            }
            handle.waiting = 0;
            handle.producer.purge(PurgeConfig::default().queue().inflight());
        }
        // A purged event comes back by its callback, as one that is perhaps written.
        for _ in 0..1_000 {
            self.poll_handles();
            self.take_acks();
            if self.open.get() == 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn poll_us(&self) -> i64 {
        if self.open.get() > 0 { POLL_US } else { i64::MAX }
    }

    fn poll(&self) {
        self.poll_handles();
        self.take_acks();
    }
}

/// What the client says of an event that it could not deliver; of a handle that has failed for good, why it has.
fn cause(fatal: Option<(RDKafkaErrorCode, String)>, error: &KafkaError) -> Cause {
    match (fatal, error.rdkafka_error_code()) {
        (Some((code, reason)), _) => Cause { code: None, text: format!("the handle has failed: {code}: {reason}") },
        // Its own errors have negative numbers; those of the brokers have Kafka's.
        (None, Some(code)) if code as i32 > 0 => Cause { code: Some(code as i16), text: String::new() },
        (None, code) => Cause { code: None, text: code.map_or_else(|| error.to_string(), |code| code.to_string()) },
    }
}

/// Which errors prove an event unwritten. An error after the deadline leaves it open, as does a purge.
fn judge(error: &KafkaError) -> PublishOutcome {
    use RDKafkaErrorCode as E;
    match error.rdkafka_error_code() {
        Some(
            E::MessageSizeTooLarge
            | E::MessageBatchTooLarge
            | E::InvalidRecord
            | E::InvalidMessage
            | E::InvalidTimestamp
            | E::InvalidTopic
            | E::PolicyViolation
            | E::UnsupportedForMessageFormat
            | E::UnsupportedCompressionType
            | E::TopicAuthorizationFailed
            | E::ClusterAuthorizationFailed
            | E::UnknownPartition
            | E::UnknownTopic,
        ) => PublishOutcome::Failed,
        _ => PublishOutcome::Maybe,
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext};

    use super::*;
    use crate::{
        producer::{Counters, Outcome, tests::load},
        variant::Engine as EngineKind,
    };

    const EVENTS: u64 = 24;

    /// CPU time of this process's threads of a broker's name, in ticks.
    fn broker_ticks() -> u64 {
        let tasks = procfs::process::Process::myself().unwrap().tasks().unwrap().flatten();
        let of_brokers = tasks.filter_map(|task| task.stat().ok()).filter(|stat| stat.comm.starts_with("rdk:broker"));
        of_brokers.map(|stat| stat.utime + stat.stime).sum()
    }

    #[test]
    fn what_waits_goes_when_nothing_is_in_flight() {
        let ready = |in_flight, waiting| {
            let due = Due { connection: 0, sequence: 0, scheduled_us: 0, warm: false };
            Lane { in_flight, queue: VecDeque::from(vec![due; waiting]) }.ready()
        };
        assert_eq!([ready(0, 0), ready(0, 1), ready(0, 30), ready(1, 1), ready(4, 30)], [0, 1, 5, 0, 0]);
    }

    /// Brokers that take their time get no more than they may have in flight, and nothing spins meanwhile.
    #[test]
    fn no_handle_has_more_than_it_can_send() {
        let brokers: MockCluster<'static, DefaultProducerContext> = MockCluster::new(1).unwrap();
        brokers.create_topic("t", 1, 1).unwrap();
        let load =
            Load { backlog: EVENTS as u32 / 2, ..load(EngineKind::Librdkafka, brokers.bootstrap_servers(), 512) };
        let load = Arc::new(load);
        let (counters, outcomes) = (Arc::new(Counters::default()), Rc::new(RefCell::new(Vec::<Outcome>::new())));
        let told = Rc::clone(&outcomes);
        let outbox = Rc::new(Outbox::new(Arc::clone(&load), counters, move |batch| told.borrow_mut().extend(batch)));
        let engine = Rc::new(Handles::new(load, &outbox));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(Rc::clone(&engine).connect(0, Vec::new())).unwrap();
        let due = |sequence| Due { connection: 0, sequence, scheduled_us: 0, warm: sequence == 0 };
        let settle = || {
            while engine.open() > 0 {
                engine.poll();
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        engine.hand_over(due(0));
        settle();

        brokers.broker_round_trip_time(1, Duration::from_millis(500)).unwrap();
        let before = broker_ticks();
        (1..=EVENTS).for_each(|sequence| engine.hand_over(due(sequence)));
        std::thread::sleep(Duration::from_millis(400));
        assert!(engine.handles.borrow()[&0].producer.in_flight_count() <= TOGETHER_MAX as i32);
        let used = broker_ticks() - before;
        assert!(used < procfs::ticks_per_second() / 5, "{used} ticks of CPU for nothing");

        settle();
        outbox.flush();
        let outcomes = outcomes.borrow();
        let with = |result| {
            outcomes.iter().filter(move |outcome| outcome.result == result).map(|outcome| outcome.due.sequence)
        };
        let taken = 2 + EVENTS / 2;
        assert!(with(PublishOutcome::Acked).eq(0..taken), "in order, {} of them", with(PublishOutcome::Acked).count());
        assert!(with(PublishOutcome::Unsent).eq(taken..=EVENTS), "past the backlog");
    }
}

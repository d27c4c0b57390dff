//! Engine `librdkafka`: one idempotent handle a connection, each with its own threads and sockets.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap},
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
};

use rdkafka::{
    ClientContext, Message,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    message::{DeliveryResult, Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer, ProducerContext, PurgeConfig},
    util::Timeout,
};

use super::{Due, Fate, Load, drive::Engine, outbox::Outbox, refusals::Cause};
use crate::{
    clock::Clock,
    cluster::{Complaints, producer_defaults},
    variant,
};

/// How often acks are looked for while any is due. Polling with a wait spins inside of the library.
const POLL_US: i64 = 1_000;

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
    open: Cell<usize>,
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
    let Load { linger, delivery_timeout, backlog, acks, .. } = load;
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
        ("queue.buffering.max.messages", backlog.to_string()),
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
        let (acks, complaints) = (Arc::clone(&self.acks), Arc::clone(&self.complaints));
        let context = AckContext { clock: self.load.clock, acks, complaints };
        Ok(Handle { producer: config.create_with_context(context)?, open: Cell::new(0) })
    }

    fn close(&self, ack: Ack) {
        let Ack { due, before_us, after_us, result } = ack;
        self.open.set(self.open.get() - 1);
        if let Some(handle) = self.handles.borrow().get(&due.connection) {
            handle.open.set(handle.open.get() - 1);
        }
        match result {
            Ok(offset) => self.outbox.acked(due, before_us, after_us, offset),
            Err(error) => {
                let cause = self.cause(due.connection, &error);
                self.outbox.unacked(due, before_us, judge(&error), &cause);
            }
        }
    }

    /// What the client says of an event that it could not deliver; of a handle that has failed for good, why it has.
    fn cause(&self, connection: u32, error: &KafkaError) -> Cause {
        let code = error.rdkafka_error_code();
        let fatal = self.handles.borrow().get(&connection).and_then(|handle| handle.producer.client().fatal_error());
        match (fatal, code) {
            (Some((code, reason)), _) => Cause { code: None, text: format!("the handle has failed: {code}: {reason}") },
            // Its own errors have negative numbers; those of the brokers have Kafka's.
            (None, Some(code)) if code as i32 > 0 => Cause { code: Some(code as i16), text: String::new() },
            (None, code) => Cause { code: None, text: code.map_or_else(|| error.to_string(), |code| code.to_string()) },
        }
    }

    fn take_acks(&self) {
        let acks = std::mem::take(&mut *self.acks.0.lock().unwrap_or_else(PoisonError::into_inner));
        for ack in acks {
            self.close(ack);
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
        let shape = &self.load.shape;
        let tag = shape.tag(due.connection, due.sequence);
        let (key, value) = (shape.partition_key(tag), shape.encode(due.connection, due.sequence));
        let before_us = self.load.clock.now_us();
        let headers = self.load.headers(&due, before_us);
        let headers = headers.iter().fold(OwnedHeaders::new_with_capacity(headers.len()), |all, (key, value)| {
            all.insert(Header { key, value: Some(value) })
        });
        let record = BaseRecord::with_opaque_to(&self.load.topic, Box::new((due, before_us)))
            .partition(self.load.partition(tag))
            .key(&key)
            .payload(&value)
            .headers(headers);
        let handles = self.handles.borrow();
        match handles.get(&due.connection) {
            Some(handle) if handle.producer.send(record).is_ok() => {
                handle.open.set(handle.open.get() + 1);
                self.open.set(self.open.get() + 1);
                self.outbox.sent(&due);
            }
            // The handle's queue, which is the connection's backlog, is full.
            _ => self.outbox.unsent(due),
        }
    }

    fn open(&self) -> usize {
        self.open.get()
    }

    fn abandon(&self) {
        for handle in self.handles.borrow().values() {
            handle.producer.purge(PurgeConfig::default().queue().inflight());
            // A purged event comes back by its callback, as one that is perhaps written.
            for _ in 0..1_000 {
                handle.producer.poll(Timeout::After(std::time::Duration::ZERO));
                self.take_acks();
                if handle.open.get() == 0 {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
    }

    fn poll_us(&self) -> i64 {
        if self.open.get() > 0 { POLL_US } else { i64::MAX }
    }

    fn poll(&self) {
        for handle in self.handles.borrow().values().filter(|handle| handle.open.get() > 0) {
            handle.producer.poll(Timeout::After(std::time::Duration::ZERO));
        }
        self.take_acks();
    }
}

/// Which errors prove an event unwritten. An error after the deadline leaves it open, as does a purge.
fn judge(error: &KafkaError) -> Fate {
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
        ) => Fate::Failed,
        _ => Fate::Maybe,
    }
}

//! Engine `rskafka`: one light client a connection, thousands on one thread.
//!
//! The client has no idempotent producer. So each connection has at most one request in flight a partition, which keeps
//! the order over retries; events that come meanwhile wait in the connection's backlog and leave together as the next
//! request, as many as the client sends in one piece ([`crate::event::request_size`]). A retry after an answer that never came may write
//! an event at a second offset; the store recognizes it by (producer, sequence). The client's own retries are switched off, since they hide whether an attempt may have been
//! written: each attempt is judged here, see [`Attempt`].

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap, VecDeque},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use rskafka::{
    BackoffConfig, BackoffError,
    chrono::DateTime,
    client::{
        Client,
        error::{Error, ProtocolError},
        partition::{Compression, PartitionClient, UnknownTopicHandling},
    },
    record::Record,
};
use tokio::{
    task::spawn_local,
    time::{Instant, sleep, timeout_at},
};

use super::{Due, Load, PublishOutcome, outcomes::Outbox, publish_errors::Cause, thread::Engine};
use crate::{
    cluster::{KafkaAccess, throttle},
    event::request_size::{ONE_PIECE_MAX, RequestSize},
};

const BACKOFF_MIN: Duration = Duration::from_millis(5);
const BACKOFF_MAX: Duration = Duration::from_millis(200);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) struct Light {
    load: Arc<Load>,
    outbox: Rc<Outbox>,
    lanes: RefCell<HashMap<(u32, i32), Rc<Lane>>>,
    open: Cell<usize>,
    events_max: usize,
}

/// One connection's way to one partition.
struct Lane {
    /// Keeps the connection's metadata socket open, as long as its partitions' sockets.
    _client: Rc<Client>,
    partition: PartitionClient,
    /// Events of the whole connection that wait.
    waiting: Rc<Cell<u32>>,
    queue: RefCell<VecDeque<Due>>,
    in_flight: RefCell<Option<InFlight>>,
}

struct InFlight {
    batch: Vec<Due>,
    /// `None` until the client has it.
    before_us: Option<i64>,
}

/// What one attempt to write tells.
enum Attempt {
    /// Refused, nothing written, another attempt may help.
    Refused,
    /// Perhaps written; another attempt tells, at the price of a possible second copy.
    Unclear,
    /// Refused, nothing written, and no further attempt will help.
    Rejected,
}

/// How the client is set up, in the words of Java's producer.
pub(super) fn properties(load: &Load) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("acks", "all".into()),
        ("enable.idempotence", "false: the client has no idempotent producer".into()),
        ("max.in.flight.requests.per.connection", "1 a partition".into()),
        ("linger.ms", "0".into()),
        ("delivery.timeout.ms", load.delivery_timeout.as_millis().to_string()),
        ("buffer.events", load.backlog.to_string()),
        ("batch.events.max", events_max(load).to_string()),
        ("batch.bytes.max", ONE_PIECE_MAX.to_string()),
        ("retry.backoff.ms", BACKOFF_MIN.as_millis().to_string()),
        ("retry.backoff.max.ms", BACKOFF_MAX.as_millis().to_string()),
    ])
}

/// Most events in one request. One that is too large by itself is sent all the same; no variant has such.
fn events_max(load: &Load) -> usize {
    RequestSize::of(&load.shape, load.connections, load.topic.len(), load.run.len()).events_max().max(1)
}

impl Light {
    pub fn new(load: Arc<Load>, outbox: &Rc<Outbox>) -> Self {
        let events_max = events_max(&load);
        Self { load, outbox: Rc::clone(outbox), lanes: RefCell::default(), open: Cell::new(0), events_max }
    }

    async fn open(&self, connection: u32, bootstrap: &str) -> Result<(), String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let access = KafkaAccess { bootstrap: vec![bootstrap.to_owned()], ..self.load.access.clone() };
        let builder = access.rskafka_builder().map_err(|error| text(&error))?;
        let builder = builder.client_id(format!("shasta-p{connection}")).backoff_config(one_attempt());
        let client = Rc::new(builder.build().await.map_err(|error| text(&error))?);
        let waiting = Rc::new(Cell::new(0));
        for partition in self.load.partitions_of(connection) {
            let opened = client.partition_client(&self.load.topic, partition, UnknownTopicHandling::Error).await;
            let lane = Lane {
                _client: Rc::clone(&client),
                partition: opened.map_err(|error| text(&error))?,
                waiting: Rc::clone(&waiting),
                queue: RefCell::default(),
                in_flight: RefCell::default(),
            };
            self.lanes.borrow_mut().insert((connection, partition), Rc::new(lane));
        }
        Ok(())
    }

    /// Sends what waits in the lane, one request after the other, until nothing waits.
    async fn drain(self: Rc<Self>, lane: Rc<Lane>, first: Due) {
        let mut batch = vec![first];
        while !batch.is_empty() {
            self.send(&lane, batch).await;
            let mut queue = lane.queue.borrow_mut();
            let count = queue.len().min(self.events_max);
            batch = queue.drain(..count).collect();
            lane.waiting.set(lane.waiting.get() - count as u32);
        }
    }

    async fn send(&self, lane: &Lane, batch: Vec<Due>) {
        let before_us = self.load.clock.now_us();
        let deadline = Instant::now() + self.load.delivery_timeout;
        for due in &batch {
            self.outbox.sent(due);
        }
        let mut records = self.records(&batch, before_us);
        lane.in_flight.replace(Some(InFlight { batch: batch.clone(), before_us: Some(before_us) }));
        let (mut unclear, mut backoff) = (false, BACKOFF_MIN);
        let mut cause = Cause { code: None, text: format!("no answer within {:?}", self.load.delivery_timeout) };
        let answer = loop {
            let request = throttle::heeded(lane.partition.produce(records, Compression::NoCompression));
            match timeout_at(deadline, request).await {
                Ok(Ok(Ok(offsets))) => break Ok((offsets, self.load.clock.now_us())),
                // Written, most likely; the client would have written it again.
                Ok(Err(wait)) => {
                    self.outbox.throttled(&batch, wait);
                    break Err(true);
                }
                Ok(Ok(Err(error))) => {
                    cause = cause_of(&error);
                    match judge(&error) {
                        Attempt::Rejected => break Err(unclear),
                        Attempt::Unclear => unclear = true,
                        Attempt::Refused => {}
                    }
                }
                Err(_) => break Err(true),
            }
            if Instant::now() + backoff >= deadline {
                break Err(unclear);
            }
            sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
            self.outbox.retried();
            records = self.records(&batch, before_us);
        };
        // Whoever takes it out first, this or `abandon`, gives the events their outcome.
        if lane.in_flight.take().is_some() {
            self.open.set(self.open.get() - batch.len());
            for (i, due) in batch.into_iter().enumerate() {
                match &answer {
                    Ok((offsets, after_us)) => self.outbox.acked(due, before_us, *after_us, offsets[i]),
                    Err(true) => self.outbox.unacked(due, before_us, PublishOutcome::Maybe, &cause),
                    Err(false) => self.outbox.unacked(due, before_us, PublishOutcome::Failed, &cause),
                }
            }
        }
    }

    fn records(&self, batch: &[Due], before_us: i64) -> Vec<Record> {
        let record = |due: &Due| {
            let shape = &self.load.shape;
            let headers = self.load.headers(due, before_us);
            Record {
                key: Some(shape.partition_key(shape.tag(due.connection, due.sequence))),
                value: Some(shape.encode(due.connection, due.sequence)),
                headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
                timestamp: DateTime::from_timestamp_micros(before_us).unwrap_or_default(),
            }
        };
        batch.iter().map(record).collect()
    }
}

impl Engine for Light {
    async fn connect(self: Rc<Self>, connection: u32, bootstrap: Vec<String>) -> Result<(), String> {
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        let mut backoff = BACKOFF_MIN;
        for server in bootstrap.iter().cycle() {
            let reason = match timeout_at(deadline, self.open(connection, server)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(reason)) => reason,
                Err(_) => format!("no answer in {CONNECT_TIMEOUT:?}"),
            };
            if Instant::now() + backoff >= deadline {
                return Err(reason);
            }
            sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
        Err("no bootstrap server given".into())
    }

    fn hand_over(self: &Rc<Self>, due: Due) {
        let partition = self.load.partition(self.load.shape.tag(due.connection, due.sequence));
        let lane = self.lanes.borrow().get(&(due.connection, partition)).map(Rc::clone);
        let Some(lane) = lane else {
            // The connection never opened, and its error is on its way to end the run.
            self.outbox.unsent(due);
            return;
        };
        if lane.in_flight.borrow().is_none() && lane.queue.borrow().is_empty() {
            self.open.set(self.open.get() + 1);
            // Claimed now: a second event may be due before the task below first runs.
            lane.in_flight.replace(Some(InFlight { batch: vec![due], before_us: None }));
            spawn_local(Rc::clone(self).drain(lane, due));
        } else if lane.waiting.get() < self.load.backlog {
            self.open.set(self.open.get() + 1);
            self.outbox.waited(&due);
            lane.waiting.set(lane.waiting.get() + 1);
            lane.queue.borrow_mut().push_back(due);
        } else {
            self.outbox.unsent(due);
        }
    }

    fn open(&self) -> usize {
        self.open.get()
    }

    fn abandon(&self) {
        let cause = Cause { code: None, text: "no answer before the run ended".into() };
        for lane in self.lanes.borrow().values() {
            for due in lane.queue.borrow_mut().drain(..) {
                self.outbox.unsent(due);
            }
            if let Some(InFlight { batch, before_us }) = lane.in_flight.take() {
                for due in batch {
                    match before_us {
                        Some(before_us) => self.outbox.unacked(due, before_us, PublishOutcome::Maybe, &cause),
                        None => self.outbox.unsent(due),
                    }
                }
            }
        }
        self.open.set(0);
    }

    fn poll_us(&self) -> i64 {
        i64::MAX
    }

    fn poll(&self) {}
}

/// Fails after the first attempt: whether to try again is decided here, where it is known what the attempt did.
fn one_attempt() -> BackoffConfig {
    BackoffConfig { init_backoff: BACKOFF_MIN, max_backoff: BACKOFF_MAX, base: 3.0, deadline: Some(Duration::ZERO) }
}

fn judge(error: &Error) -> Attempt {
    match error {
        Error::ServerError { protocol_error, .. } => judge_answer(protocol_error),
        // Opening the connection failed, so no request was written to it.
        Error::Connection(_) => Attempt::Refused,
        Error::RetryFailed(BackoffError::DeadlineExceded { source, .. }) => {
            source.downcast_ref::<Error>().map_or(Attempt::Unclear, judge)
        }
        _ => Attempt::Unclear,
    }
}

/// What broker or client say of an attempt that failed.
fn cause_of(error: &Error) -> Cause {
    match error {
        Error::ServerError { protocol_error, error_message, .. } => {
            let code = (1..=i8::MAX.into()).find(|code| ProtocolError::new(*code).as_ref() == Some(protocol_error));
            let named = code.is_none().then(|| protocol_error.to_string());
            Cause { code, text: error_message.clone().or(named).unwrap_or_default() }
        }
        Error::RetryFailed(BackoffError::DeadlineExceded { source, .. }) => {
            source.downcast_ref::<Error>().map_or_else(|| Cause { code: None, text: source.to_string() }, cause_of)
        }
        other => Cause { code: None, text: other.to_string() },
    }
}

/// What a broker's answer to a produce request says of the write (Kafka protocol guide, error codes).
fn judge_answer(error: &ProtocolError) -> Attempt {
    use ProtocolError as E;
    match error {
        E::NotEnoughReplicas
        | E::NotLeaderOrFollower
        | E::LeaderNotAvailable
        | E::UnknownTopicOrPartition
        | E::KafkaStorageError
        | E::ThrottlingQuotaExceeded => Attempt::Refused,
        E::MessageTooLarge
        | E::RecordListTooLarge
        | E::CorruptMessage
        | E::InvalidRecord
        | E::InvalidTimestamp
        | E::InvalidRequiredAcks
        | E::UnsupportedForMessageFormat
        | E::UnsupportedVersion
        | E::UnsupportedCompressionType
        | E::PolicyViolation
        | E::InvalidTopicException
        | E::TopicAuthorizationFailed
        | E::ClusterAuthorizationFailed => Attempt::Rejected,
        _ => Attempt::Unclear,
    }
}

#[cfg(test)]
mod one_piece;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_before_the_append_proves_an_event_unwritten() {
        assert!(matches!(judge_answer(&ProtocolError::NotEnoughReplicas), Attempt::Refused));
        assert!(matches!(judge_answer(&ProtocolError::NotEnoughReplicasAfterAppend), Attempt::Unclear));
        assert!(matches!(judge_answer(&ProtocolError::RequestTimedOut), Attempt::Unclear));
        assert!(matches!(judge_answer(&ProtocolError::MessageTooLarge), Attempt::Rejected));
        assert!(matches!(judge(&Error::Timeout), Attempt::Unclear));
        assert!(matches!(judge_answer(&ProtocolError::PolicyViolation), Attempt::Rejected));
    }
}

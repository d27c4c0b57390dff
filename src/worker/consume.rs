//! The consuming half of a worker: poll, stamp.

use std::{
    collections::VecDeque,
    sync::{
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{SyncSender, TrySendError},
    },
    time::{Duration, Instant},
};

use rdkafka::{
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::BorrowedMessage,
};

use super::{
    Config, WorkerError,
    client::Context,
    host_clock::HostClock,
    partition_recovery::Recovery,
    seek::{Seeks, go_back},
};
use crate::cluster::{Right, is_refusal};

/// How long a poll waits for a record: how soon the thread sees that it is to stop.
const POLL: Duration = Duration::from_millis(100);
/// The same while the look-ahead is full and partitions are paused: how soon it sees that there is room again.
const HELD_POLL: Duration = Duration::from_millis(5);
/// How long room in a full look-ahead is waited for, without polling, before partitions are paused. A pause is dear: the
/// client forgets what it has fetched, and looks only once a second which partitions may be fetched again. A worker that
/// drained a backlog stood still for 0.6 s of each second with it.
const PATIENCE: Duration = Duration::from_secs(1);
/// How soon it sees meanwhile that there is room.
const ROOM: Duration = Duration::from_millis(1);
/// How long a worker that is to stop goes on reading again what Redis has lost.
const OWED_MAX: Duration = Duration::from_secs(10);

/// A record and when the client returned it, before anything looked into it.
pub(super) struct Consumed<'a> {
    pub message: BorrowedMessage<'a>,
    pub after_consume_us: i64,
}

/// What the poll thread hands over.
pub(super) enum Ahead<'a> {
    Record(Consumed<'a>),
    /// From here on, partitions are read again from where they were asked for; and what went wrong with that.
    WentBack(Vec<String>),
}

/// Records that the look-ahead has no room for, and what was done about that.
#[derive(Default)]
struct Held<'a> {
    /// Rarely more than one: what came before a pause took hold.
    queue: VecDeque<Ahead<'a>>,
    full_since: Option<Instant>,
    paused: bool,
}

/// Polls until told to stop, and until what Redis has lost was read again. While the look-ahead is full it takes nothing
/// more, and after a while goes on polling all the same: a consumer that does not is put out of its group.
pub(super) fn poll<'a>(
    consumer: &'a BaseConsumer<Context>,
    (config, clock): (&Config, &HostClock),
    ahead: SyncSender<Ahead<'a>>,
    (seeks, stop): (&Seeks, &AtomicBool),
    mut recovery: Recovery<'_>,
) -> Result<(), WorkerError> {
    let mut held = Held::default();
    let mut stopped = None;
    let mut owes = || seeks.owed() && stopped.get_or_insert_with(Instant::now).elapsed() <= OWED_MAX;
    while !stop.load(Relaxed) || owes() {
        if let Some(places) = seeks.take() {
            held.queue.push_back(Ahead::WentBack(go_back(consumer, &config.topic, &places)));
            recovery.went_back(&places);
        }
        match held.poll(consumer) {
            Some(Ok(message)) => {
                let after_consume_us = clock.now_us();
                if recovery.take(&message) {
                    held.queue.push_back(Ahead::Record(Consumed { message, after_consume_us }));
                }
                if held.paused {
                    // A rebalance has brought partitions that are not paused.
                    consumer.pause(&consumer.assignment()?)?;
                }
            }
            Some(Err(error)) if is_fatal(consumer, &error) => return Err(ended_by(consumer, config, error)),
            // What it says has been told.
            Some(Err(error)) => recovery.hear(&error),
            None => {}
        }
        recovery.advance(held.full_since.is_some());
        if !held.hand_over(consumer, &ahead)? {
            return Ok(()); // The store thread has ended, and says why.
        }
    }
    consumer.context().sum_up();
    recovery.finish();
    // The store thread takes what is left, or gives it up.
    let _ = held.queue.into_iter().try_for_each(|next| ahead.send(next));
    Ok(())
}

impl<'a> Held<'a> {
    fn poll(&self, consumer: &'a BaseConsumer<Context>) -> Option<Result<BorrowedMessage<'a>, KafkaError>> {
        match self.full_since {
            None => consumer.poll(POLL),
            Some(_) if self.paused => consumer.poll(HELD_POLL),
            Some(_) => {
                std::thread::sleep(ROOM);
                None
            }
        }
    }

    /// Hands over what is held, as far as there is room; pauses the partitions when there has been none for long, and lets
    /// them go on when there is again. Returns whether anybody is left to take it.
    fn hand_over(
        &mut self,
        consumer: &BaseConsumer<Context>,
        ahead: &SyncSender<Ahead<'a>>,
    ) -> Result<bool, WorkerError> {
        while let Some(next) = self.queue.pop_front() {
            match ahead.try_send(next) {
                Ok(()) => {}
                Err(TrySendError::Disconnected(_)) => return Ok(false),
                Err(TrySendError::Full(next)) => {
                    self.queue.push_front(next);
                    let since = *self.full_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= PATIENCE && !std::mem::replace(&mut self.paused, true) {
                        consumer.pause(&consumer.assignment()?)?;
                    }
                    return Ok(true);
                }
            }
        }
        self.full_since = None;
        if std::mem::take(&mut self.paused) {
            consumer.resume(&consumer.assignment()?)?;
        }
        Ok(true)
    }
}

/// What a fatal error is to the parent: a refusal is told with what mends it.
fn ended_by(consumer: &BaseConsumer<Context>, config: &Config, error: KafkaError) -> WorkerError {
    if !error.rdkafka_error_code().is_some_and(is_refusal) {
        return error.into();
    }
    let Context { access, .. } = &**consumer.context();
    let read = |resource, name| Right { operation: "Read", resource, name };
    let rights = [read("topic", &*config.topic), read("group", &*config.group)];
    WorkerError::Refused(access.told(&error, Some(&consumer.context().last_reason()), &rights))
}

/// The client gets over most errors by itself; these it does not.
fn is_fatal(consumer: &BaseConsumer<Context>, error: &KafkaError) -> bool {
    use RDKafkaErrorCode as E;
    consumer.client().fatal_error().is_some()
        || matches!(
            error.rdkafka_error_code(),
            Some(
                E::TopicAuthorizationFailed
                    | E::GroupAuthorizationFailed
                    | E::Authentication
                    | E::SaslAuthenticationFailed
            )
        )
}

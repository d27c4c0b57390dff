//! The consuming half of a worker: subscribe, poll, stamp.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Sender, SyncSender, TrySendError},
    },
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, TopicPartitionList,
    consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance},
    error::{KafkaError, RDKafkaErrorCode},
    message::BorrowedMessage,
};

use super::{
    Config, WorkerError,
    host_clock::HostClock,
    report::Assignment,
    rewind::{Seeks, go_back},
};
use crate::{
    cluster::KafkaAccess,
    throttle::{STATISTICS_MS, Throttled, Throttles},
    variant::GroupProtocol,
};

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

/// Tells of each rebalance.
pub(super) struct Rebalances {
    clock: HostClock,
    news: Sender<Assignment>,
    /// What the brokers held back by a quota.
    pub throttles: Throttles,
}

impl ClientContext for Rebalances {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!("Kafka: {error}: {reason}");
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.throttles.add(Throttled::of_statistics(statistics));
    }
}

impl ConsumerContext for Rebalances {
    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, _: &Rebalance<'_>) {
        if let Ok(assignment) = consumer.assignment() {
            let mut partitions: Vec<_> = assignment.elements().iter().map(|element| element.partition()).collect();
            partitions.sort_unstable();
            self.tell(partitions);
        }
    }
}

impl Rebalances {
    fn tell(&self, partitions: Vec<i32>) {
        // The store thread may have ended; then nobody needs to know.
        let _ = self.news.send(Assignment { at_us: self.clock.now_us(), partitions });
    }
}

/// Properties that librdkafka refuses under KIP-848, where they are the broker's.
const CLASSIC_ALONE: [(&str, &str); 4] = [
    ("session.timeout.ms", "the brokers' `group.consumer.session.timeout.ms` takes its place"),
    ("heartbeat.interval.ms", "the brokers' `group.consumer.heartbeat.interval.ms` takes its place"),
    ("partition.assignment.strategy", "the brokers share the partitions out"),
    ("group.protocol.type", "it belongs to the classic protocol"),
];
/// And one that it refuses without.
const CONSUMER_ALONE: [(&str, &str); 1] = [("group.remote.assignor", "only `--group-protocol consumer` has it")];

/// The variant's properties that the group protocol does not have, each with the reason.
pub(super) fn not_applied(config: &Config) -> BTreeMap<String, &'static str> {
    let refused: &[_] = match config.group_protocol {
        GroupProtocol::Consumer => &CLASSIC_ALONE,
        GroupProtocol::CooperativeSticky | GroupProtocol::Range | GroupProtocol::Assign => &CONSUMER_ALONE,
    };
    let asked = refused.iter().filter(|(name, _)| config.consumer.contains_key(*name));
    asked.map(|(name, why)| ((*name).to_owned(), *why)).collect()
}

/// How often a worker asks who leads the partitions and the group.
const OFTEN_MS: u32 = 10_000;

/// The consumer's properties, but for how it logs in: ours, then the variant's.
pub(super) fn properties(config: &Config) -> BTreeMap<String, String> {
    let protocol = match config.group_protocol {
        GroupProtocol::Consumer => Some(("group.protocol", "consumer".into())),
        GroupProtocol::CooperativeSticky => Some(("partition.assignment.strategy", "cooperative-sticky".into())),
        GroupProtocol::Range => Some(("partition.assignment.strategy", "range".into())),
        GroupProtocol::Assign => None,
    };
    let ours = [
        ("client.id", format!("shasta-w{}", config.worker)),
        ("group.id", config.group.clone()),
        ("enable.auto.offset.store", "false".into()),
        ("enable.auto.commit", "true".into()),
        ("auto.commit.interval.ms", config.commit_interval_ms.to_string()),
        ("auto.offset.reset", "error".into()),
        ("socket.nagle.disable", "true".into()),
        ("statistics.interval.ms", STATISTICS_MS.to_string()),
        // By default each 5 and each 10 minutes: so rarely that a young broker has meanwhile been compiled without them, and is
        // compiled anew for each, all brokers at once, in the middle of a run (results/log/2026-11-30-ten-minutes.md).
        ("topic.metadata.refresh.interval.ms", OFTEN_MS.to_string()),
        ("coordinator.query.interval.ms", OFTEN_MS.to_string()),
    ];
    let instance = config.static_membership.then(|| ("group.instance.id", format!("w{}", config.worker)));
    let ours = ours.into_iter().chain(protocol).chain(instance).map(|(name, value)| (name.to_owned(), value));
    let not_applied = not_applied(config);
    let asked = config.consumer.clone().into_iter().filter(|(name, _)| !not_applied.contains_key(name));
    ours.chain(asked).collect()
}

/// Joins the run's group, or takes the worker's share of the partitions where there is none. The starting offsets have been
/// committed by the parent, so none is ever guessed.
pub(super) fn subscribe(
    config: &Config,
    access: &KafkaAccess,
    clock: HostClock,
    news: Sender<Assignment>,
) -> Result<BaseConsumer<Rebalances>, WorkerError> {
    let mut client = access.client_config();
    for (name, value) in properties(config) {
        client.set(name, value);
    }
    let consumer: BaseConsumer<Rebalances> =
        client.create_with_context(Rebalances { clock, news, throttles: Throttles::default() })?;
    if config.group_protocol == GroupProtocol::Assign {
        let partitions = share(config);
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for &partition in &partitions {
            // Without an offset of its own it begins where the group's commits end.
            list.add_partition(&config.topic, partition);
        }
        consumer.assign(&list)?;
        consumer.context().tell(partitions);
    } else {
        consumer.subscribe(&[&config.topic])?;
    }
    Ok(consumer)
}

/// The partitions of a worker that is in no group: each worker has as many as any other, or one more.
fn share(config: &Config) -> Vec<i32> {
    (config.worker as i32..config.start_offsets.len() as i32).step_by(config.workers as usize).collect()
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
    consumer: &'a BaseConsumer<Rebalances>,
    (config, clock): (&Config, &HostClock),
    ahead: SyncSender<Ahead<'a>>,
    (seeks, stop): (&Seeks, &AtomicBool),
) -> Result<(), WorkerError> {
    let mut held = Held::default();
    let mut stopped = None;
    let mut owes = || seeks.owed() && stopped.get_or_insert_with(Instant::now).elapsed() <= OWED_MAX;
    while !stop.load(Relaxed) || owes() {
        if let Some(places) = seeks.take() {
            held.queue.push_back(Ahead::WentBack(go_back(consumer, &config.topic, &places)));
        }
        match held.poll(consumer) {
            Some(Ok(message)) => {
                let after_consume_us = clock.now_us();
                held.queue.push_back(Ahead::Record(Consumed { message, after_consume_us }));
                if held.paused {
                    // A rebalance has brought partitions that are not paused.
                    consumer.pause(&consumer.assignment()?)?;
                }
            }
            Some(Err(error)) if is_fatal(consumer, &error) => return Err(error.into()),
            Some(Err(error)) => tracing::warn!("Kafka: {error}"),
            None => {}
        }
        if !held.hand_over(consumer, &ahead)? {
            return Ok(()); // The store thread has ended, and says why.
        }
    }
    // The store thread takes what is left, or gives it up.
    let _ = held.queue.into_iter().try_for_each(|next| ahead.send(next));
    Ok(())
}

impl<'a> Held<'a> {
    fn poll(&self, consumer: &'a BaseConsumer<Rebalances>) -> Option<Result<BorrowedMessage<'a>, KafkaError>> {
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
        consumer: &BaseConsumer<Rebalances>,
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

/// The client gets over most errors by itself; these it does not.
fn is_fatal(consumer: &BaseConsumer<Rebalances>, error: &KafkaError) -> bool {
    use RDKafkaErrorCode as E;
    consumer.client().fatal_error().is_some()
        || matches!(
            error.rdkafka_error_code(),
            Some(
                E::AutoOffsetReset
                    | E::OffsetOutOfRange
                    | E::TopicAuthorizationFailed
                    | E::GroupAuthorizationFailed
                    | E::Authentication
                    | E::SaslAuthenticationFailed
            )
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Anchor, Clock};

    #[test]
    fn each_group_protocol_makes_a_client_of_the_same_variant() {
        let names = ["session.timeout.ms", "heartbeat.interval.ms", "group.remote.assignor", "fetch.min.bytes"];
        let values = ["6000", "1500", "uniform", "1"];
        let consumer = names.into_iter().zip(values).map(|(name, value)| (name.to_owned(), value.to_owned()));
        let consumer: BTreeMap<_, _> = consumer.collect();
        for (group_protocol, refused) in [
            (GroupProtocol::Consumer, &names[..2]),
            (GroupProtocol::CooperativeSticky, &names[2..3]),
            (GroupProtocol::Range, &names[2..3]),
            (GroupProtocol::Assign, &names[2..3]),
        ] {
            let config = Config {
                clock: Clock::new(Anchor::read()),
                run: "r".into(),
                worker: 0,
                workers: 1,
                group: "g".into(),
                topic: "t".into(),
                log_append_time: true,
                generation: 1,
                start_offsets: vec![0],
                group_protocol,
                static_membership: true,
                commit_interval_ms: 1_000,
                batch_max: 1,
                lookahead: 1,
                stream_maxlen: 1,
                redis_timeout_ms: 1,
                consumer: consumer.clone(),
            };
            let dropped: Vec<_> = not_applied(&config).into_keys().collect();
            assert_eq!(dropped.len(), refused.len());
            assert!(refused.iter().all(|name| dropped.contains(&(*name).to_owned())));
            let properties = properties(&config);
            assert_eq!(properties["fetch.min.bytes"], "1");
            let mut client = rdkafka::ClientConfig::new();
            for (name, value) in &properties {
                client.set(name, value);
            }
            let created: Result<BaseConsumer, _> = client.create();
            assert!(created.is_ok(), "{group_protocol:?}: {:?}", created.err());
        }
    }
}

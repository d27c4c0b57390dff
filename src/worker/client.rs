//! The Kafka client of a worker: its properties, how it gets its partitions, and what it says of itself.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::Sender,
    },
};

use rdkafka::{
    ClientContext, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance},
    error::KafkaError,
};

use super::{
    Config, WorkerError,
    host_clock::HostClock,
    report::{Assignment, Passage},
};
use crate::{
    cluster::{
        Complaints, KafkaAccess, consumer_defaults, readable,
        throttle::{self, STATISTICS_MS, Throttles},
    },
    variant::GroupProtocol,
};

/// What the poll thread has to tell the parent, beside records.
pub(super) enum ClientEvent {
    Assignment(Assignment),
    Warning(String),
    Passage(Passage),
    /// The topic is not the one that the run began with.
    TopicLost(String),
}

/// Hears what the client says: rebalances and errors.
pub(super) struct Context {
    clock: HostClock,
    events: Sender<ClientEvent>,
    reassigned: AtomicBool,
    complaints: Complaints,
    logged: Complaints,
    /// The text of the last error, which the error itself does not have.
    last_reason: Mutex<String>,
    /// How the client connects, by which its errors are told.
    pub access: KafkaAccess,
    /// What the brokers held back by a quota.
    pub throttles: Throttles,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.logged.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        reason.clone_into(&mut self.last_reason.lock().unwrap_or_else(PoisonError::into_inner));
        let kind = error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string());
        let told = self.complaints.hear(format!("Kafka: {kind}"), &readable(reason));
        told.into_iter().for_each(|text| self.tell(ClientEvent::Warning(text)));
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.throttles.add(throttle::of_statistics(statistics));
    }
}

impl ConsumerContext for Context {
    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, _: &Rebalance<'_>) {
        if let Ok(assignment) = consumer.assignment() {
            let mut partitions: Vec<_> = assignment.elements().iter().map(|element| element.partition()).collect();
            partitions.sort_unstable();
            self.assigned(partitions);
        }
    }
}

impl Context {
    fn new(clock: HostClock, events: Sender<ClientEvent>, access: KafkaAccess) -> Self {
        let (reassigned, complaints, logged, last_reason, throttles) = Default::default();
        Self { clock, events, reassigned, complaints, logged, last_reason, access, throttles }
    }

    /// Tells the parent, by way of the store thread.
    pub fn tell(&self, events: ClientEvent) {
        // The store thread may have ended; then nobody needs to know.
        let _ = self.events.send(events);
    }

    fn assigned(&self, partitions: Vec<i32>) {
        self.reassigned.store(true, Relaxed);
        self.tell(ClientEvent::Assignment(Assignment { at_us: self.clock.now_us(), partitions }));
    }

    /// Whether the partitions have changed since this was asked last.
    pub fn take_reassigned(&self) -> bool {
        self.reassigned.swap(false, Relaxed)
    }

    /// What the client said of its last error.
    pub fn last_reason(&self) -> String {
        self.last_reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells what was not told for its being repeated.
    pub fn sum_up(&self) {
        self.logged.sum_up().iter().for_each(|text| tracing::warn!("{text}"));
        self.complaints.sum_up().into_iter().for_each(|text| self.tell(ClientEvent::Warning(text)));
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

/// The variant's properties, for a consumer of the classic protocol that is in no group.
pub(super) fn properties_without_group(config: &Config) -> BTreeMap<String, String> {
    let asked = config.consumer.clone().into_iter();
    asked.filter(|(name, _)| CONSUMER_ALONE.iter().all(|(alone, _)| alone != name)).collect()
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
        ("enable.auto.commit", "true".into()),
        ("auto.commit.interval.ms", config.commit_interval_ms.to_string()),
        // Where the group has no offset, or one that the log no longer has; see `recovery`.
        ("auto.offset.reset", "earliest".into()),
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
    let common = consumer_defaults().map(|(name, value)| (name.to_owned(), value.to_owned()));
    common.chain(ours).chain(asked).collect()
}

/// Joins the run's group, or takes the worker's share of the partitions where there is none. It starts at the offsets that
/// the parent has committed.
pub(super) fn subscribe(
    config: &Config,
    access: &KafkaAccess,
    clock: HostClock,
    events: Sender<ClientEvent>,
) -> Result<BaseConsumer<Context>, WorkerError> {
    let mut client = access.consumer_config(&config.group);
    for (name, value) in properties(config) {
        client.set(name, value);
    }
    let consumer: BaseConsumer<Context> = client.create_with_context(Context::new(clock, events, access.clone()))?;
    if config.group_protocol == GroupProtocol::Assign {
        let partitions = share(config);
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for &partition in &partitions {
            // Without an offset of its own it begins where the group's commits end.
            list.add_partition(&config.topic, partition);
        }
        consumer.assign(&list)?;
        consumer.context().assigned(partitions);
    } else {
        consumer.subscribe(&[&config.topic])?;
    }
    Ok(consumer)
}

/// The partitions of a worker that is in no group: each worker has as many as any other, or one more.
fn share(config: &Config) -> Vec<i32> {
    (config.worker as i32..config.start_offsets.len() as i32).step_by(config.workers as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::clock::{Anchor, Clock};

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

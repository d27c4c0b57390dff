//! Questions and orders to the brokers, synchronous, with the reason that librdkafka gives when it cannot connect, and
//! with the right that is missing.
//!
//! Asked through a consumer without a group, since that can be polled: rdkafka's `AdminClient` polls only the queue of
//! its own answers, so neither a log line nor a refused login ever arrives there.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{
    admin::{AdminClient, AdminOptions, ConfigEntry, NewTopic},
    client::DefaultClientContext,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    metadata::Metadata,
};

use super::{
    ClusterError, KafkaAccess,
    access_refusal::{Right, readable},
    client_events::Heard,
    describe_configs::{Resource, describe},
};

/// Longest wait for one answer.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How often brokers that hang up at once are asked again before it is believed.
const HUNG_UP: u32 = 3;
/// How long a broker may not know yet what another has made.
const SETTLE_MAX: Duration = Duration::from_secs(5);

/// One admin connection.
pub(super) struct Admin {
    access: KafkaAccess,
    consumer: BaseConsumer<Heard>,
}

impl Admin {
    pub(super) fn connect(access: &KafkaAccess) -> Result<Self, ClusterError> {
        let mut config = access.client_config();
        config
            .set("client.id", "shasta-admin")
            // A topic that is asked for by its name is never made by asking.
            .set("allow.auto.create.topics", "false")
            .set("reconnect.backoff.ms", "20")
            .set("reconnect.backoff.max.ms", "200");
        config.set_log_level(RDKafkaLogLevel::Info);
        let consumer = config.create_with_context(Heard::default());
        let consumer = consumer.map_err(|error| ClusterError::kafka("setting up a Kafka client", &error, None))?;
        Ok(Self { access: access.clone(), consumer })
    }

    /// Lets the client say what it has to say.
    fn listen(&self) -> &Heard {
        while self.consumer.poll(Duration::ZERO).is_some() {}
        self.consumer.context()
    }

    /// Why the last connection failed, if one did.
    pub(super) fn reason(&self) -> Option<String> {
        self.listen().reason()
    }

    /// Why the one broker that is asked and this client do not come together, once that is certain.
    pub(super) fn refusal(&self, address: &str) -> Option<String> {
        let heard = self.listen();
        let reason = heard.reason()?;
        self.access.refusal_told(address, &reason).or_else(|| {
            let logs_in = matches!(self.access.security, super::Security::SaslScram { .. });
            (!logs_in && heard.hung_up() >= HUNG_UP)
                .then(|| shasta_reader::refusal::Refusal::WantsLogin.told(self.access.asker()))
        })
    }

    /// All brokers and all topics that this user may see.
    pub(super) fn metadata(&self, timeout: Duration) -> KafkaResult<Metadata> {
        self.consumer.client().fetch_metadata(None, timeout)
    }

    /// What the brokers say of a topic by its name: there, not there, or not for this user to see.
    pub(super) fn may_see(&self, topic: &str) -> Result<(), ClusterError> {
        let what = || format!("asking for topic `{topic}`");
        let found = self.consumer.client().fetch_metadata(Some(topic), ANSWER_MAX);
        let found = found.map_err(|error| self.failed(what(), &error, &[]))?;
        let error = found.topics().iter().find(|found| found.name() == topic).and_then(|found| found.error());
        match error.map(RDKafkaErrorCode::from) {
            Some(code @ RDKafkaErrorCode::TopicAuthorizationFailed) => {
                Err(self.failed(what(), &KafkaError::AdminOp(code), &[topic_right("Describe", topic)]))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn cluster_id(&self) -> Option<String> {
        self.consumer.client().fetch_cluster_id(ANSWER_MAX)
    }

    pub(super) fn create_topic(&self, topic: &NewTopic<'_>) -> Result<(), ClusterError> {
        let what = || format!("creating topic `{}`", topic.name);
        let rights = [topic_right("Create", topic.name)];
        let client: KafkaResult<AdminClient<DefaultClientContext>> = self.access.client_config().create();
        let asked = client.and_then(|client| {
            let options = AdminOptions::new().request_timeout(Some(ANSWER_MAX)).operation_timeout(Some(ANSWER_MAX));
            // librdkafka's own thread completes the request, so nothing but a parked thread is needed to wait for it.
            let runtime =
                tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers needs nothing");
            runtime.block_on(client.create_topics([topic], &options))
        });
        match asked.map(|results| results.into_iter().next()) {
            Ok(Some(Err((_, code)))) => Err(self.failed(what(), &KafkaError::AdminOp(code), &rights)),
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed(what(), &error, &rights)),
        }
    }

    pub(super) fn broker_settings(&self, broker: i32) -> Result<BTreeMap<String, ConfigEntry>, ClusterError> {
        let right = Right { operation: "DescribeConfigs", resource: "cluster", name: "" };
        let described = describe(self.consumer.client(), Resource::Broker(broker), ANSWER_MAX);
        described.map_err(|error| self.failed(format!("describing broker {broker}"), &error, &[right]))
    }

    pub(super) fn topic_settings(&self, topic: &str) -> Result<BTreeMap<String, ConfigEntry>, ClusterError> {
        let started = std::time::Instant::now();
        let described = loop {
            match describe(self.consumer.client(), Resource::Topic(topic), ANSWER_MAX) {
                // The broker that is asked has not heard of a topic that was just made.
                Err(KafkaError::AdminOp(
                    RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic,
                )) if started.elapsed() < SETTLE_MAX => std::thread::sleep(Duration::from_millis(50)),
                described => break described,
            }
        };
        let rights = [topic_right("DescribeConfigs", topic)];
        described.map_err(|error| self.failed(format!("describing topic `{topic}`"), &error, &rights))
    }

    /// A request's failure, with the right that is missing or with the reason that the client gave.
    pub(super) fn failed(&self, what: impl Into<String>, error: &KafkaError, rights: &[Right<'_>]) -> ClusterError {
        let reason = self.reason();
        ClusterError::Kafka { what: what.into(), problem: self.access.told(error, reason.as_deref(), rights) }
    }

    /// The client's reason as far as people can read it.
    pub(super) fn readable_reason(&self) -> Option<String> {
        self.reason().map(|reason| readable(&reason))
    }
}

fn topic_right<'a>(operation: &'a str, name: &'a str) -> Right<'a> {
    Right { operation, resource: "topic", name }
}

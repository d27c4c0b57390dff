//! Questions and orders to the brokers, synchronous, with the reason that librdkafka gives when it cannot connect.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rdkafka::{
    ClientContext,
    admin::{AdminClient, AdminOptions, ConfigEntry, NewTopic, ResourceSpecifier},
    config::RDKafkaLogLevel,
    error::{KafkaError, KafkaResult},
    metadata::Metadata,
};

use super::{ClusterError, KafkaAccess};

/// Longest wait for one answer.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Keeps the last failure: a request says only "broker transport failure", the reason stands in librdkafka's log.
#[derive(Default)]
pub(super) struct Listening(Mutex<Option<String>>);

impl ClientContext for Listening {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "FAIL" || facility == "ERROR" {
            let reason = message.split_once("]: ").map_or(message, |(_thread, reason)| reason);
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        }
    }

    fn error(&self, _error: KafkaError, _reason: &str) {}
}

/// One admin connection.
pub(super) struct Admin(AdminClient<Listening>);

impl Admin {
    pub(super) fn connect(access: &KafkaAccess) -> Result<Self, ClusterError> {
        let mut config = access.client_config();
        config
            .set("client.id", "shasta-admin")
            .set("reconnect.backoff.ms", "20")
            .set("reconnect.backoff.max.ms", "200");
        config.set_log_level(RDKafkaLogLevel::Info);
        let client = config.create_with_context(Listening::default());
        client.map(Self).map_err(|error| ClusterError::kafka("setting up a Kafka client", &error, None))
    }

    /// Why the last connection failed, if one did.
    pub(super) fn reason(&self) -> Option<String> {
        self.0.inner().context().0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All brokers and topics. Never one topic by name: brokers that create topics on demand would create it.
    pub(super) fn metadata(&self, timeout: Duration) -> KafkaResult<Metadata> {
        self.0.inner().fetch_metadata(None, timeout)
    }

    pub(super) fn cluster_id(&self) -> Option<String> {
        self.0.inner().fetch_cluster_id(ANSWER_MAX)
    }

    pub(super) fn create_topic(&self, topic: &NewTopic<'_>) -> Result<(), ClusterError> {
        let what = || format!("creating topic `{}`", topic.name);
        let results = self.ask(what(), |options| self.0.create_topics([topic], options))?;
        match results.into_iter().next() {
            Some(Err((_, code))) => Err(ClusterError::kafka(what(), &KafkaError::AdminOp(code), None)),
            _ => Ok(()),
        }
    }

    pub(super) fn broker_settings(&self, broker: i32) -> Result<BTreeMap<String, ConfigEntry>, ClusterError> {
        self.describe(&ResourceSpecifier::Broker(broker))
    }

    pub(super) fn topic_settings(&self, topic: &str) -> Result<BTreeMap<String, ConfigEntry>, ClusterError> {
        self.describe(&ResourceSpecifier::Topic(topic))
    }

    fn describe(&self, resource: &ResourceSpecifier<'_>) -> Result<BTreeMap<String, ConfigEntry>, ClusterError> {
        let what = format!("describing {}", named(resource));
        let results = self.ask(what.clone(), |options| self.0.describe_configs([resource], options))?;
        match results.into_iter().next() {
            Some(Ok(found)) => Ok(found.entries.into_iter().map(|entry| (entry.name.clone(), entry)).collect()),
            Some(Err(code)) => Err(ClusterError::kafka(what, &KafkaError::AdminOp(code), None)),
            None => Err(ClusterError::Kafka { what, problem: "the answer was empty".to_owned() }),
        }
    }

    fn ask<T, F>(&self, what: String, request: impl FnOnce(&AdminOptions) -> F) -> Result<T, ClusterError>
    where
        F: Future<Output = KafkaResult<T>>,
    {
        let options = AdminOptions::new().request_timeout(Some(ANSWER_MAX)).operation_timeout(Some(ANSWER_MAX));
        // librdkafka's own thread completes the request, so nothing but a parked thread is needed to wait for it.
        let runtime =
            tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers needs nothing");
        runtime.block_on(request(&options)).map_err(|error| ClusterError::kafka(what, &error, self.reason()))
    }
}

fn named(resource: &ResourceSpecifier<'_>) -> String {
    match resource {
        ResourceSpecifier::Topic(name) => format!("topic `{name}`"),
        ResourceSpecifier::Group(name) => format!("group `{name}`"),
        ResourceSpecifier::Broker(id) => format!("broker {id}"),
    }
}

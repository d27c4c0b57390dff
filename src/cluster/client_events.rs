//! What a Kafka client says while it is polled: why connections fail, what brokers refuse, what became of records. A request itself says only "broker transport failure" or "timed out".

use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::ProducerContext,
};

/// The last words of a client. Only a client that is polled has any.
#[derive(Debug, Default)]
pub struct Heard(Mutex<Words>);

#[derive(Debug, Default)]
struct Words {
    reason: Option<String>,
    refused: Option<RDKafkaErrorCode>,
    hung_up: u32,
    undelivered: Option<KafkaError>,
}

impl Heard {
    fn words(&self) -> MutexGuard<'_, Words> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the last connection failed, if one did.
    pub fn reason(&self) -> Option<String> {
        self.words().reason.clone()
    }

    /// How often brokers hung up right after a connection was there.
    pub fn hung_up(&self) -> u32 {
        self.words().hung_up
    }

    /// What the brokers refused for good: a login, or something that the user may not do.
    pub fn refused(&self) -> Option<RDKafkaErrorCode> {
        self.words().refused
    }

    /// Why a record was not delivered, if one was not.
    pub fn undelivered(&self) -> Option<KafkaError> {
        self.words().undelivered.clone()
    }
}

/// Whether the brokers will say the same again.
pub fn is_refusal(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as E;
    matches!(
        code,
        E::TopicAuthorizationFailed
            | E::GroupAuthorizationFailed
            | E::ClusterAuthorizationFailed
            | E::Authentication
            | E::SaslAuthenticationFailed
    )
}

impl ClientContext for Heard {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "FAIL" {
            let reason = message.split_once("]: ").map_or(message, |(_thread, reason)| reason);
            let mut words = self.words();
            words.hung_up += u32::from(reason.contains("Disconnected") && reason.contains("in state UP"));
            words.reason = Some(reason.to_owned());
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!("Kafka: {error}: {reason}");
        if let Some(code) = error.rdkafka_error_code().filter(|code| is_refusal(*code)) {
            self.words().refused.get_or_insert(code);
        }
    }
}

impl ConsumerContext for Heard {}

impl ProducerContext for Heard {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): Self::DeliveryOpaque) {
        if let Err((error, _)) = result {
            self.words().undelivered.get_or_insert(error.clone());
        }
    }
}

//! What each librdkafka client of a run does where nobody tells it otherwise. Defaults that could change what is measured,
//! lose a record or wait for somebody else are set here; a variant's `[consumer]` may change those that are not reserved
//! (`variant/property.rs`), and each client adds what is its own.
//!
//! Left as librdkafka 2.12 has them, on purpose:
//!
//! | property | default | why it stays |
//! |---|---|---|
//! | `client.rack` | none | so the leader is read, whose high watermark is the first to move |
//! | `fetch.message.max.bytes`, `fetch.max.bytes`, `receive.message.max.bytes` | 1, 50, 100 MB | a larger batch is returned all the same, alone |
//! | `queued.max.messages.kbytes` | 64 MB | bounds what a worker has fetched ahead of a backlog |
//! | `socket.timeout.ms` | 60 s | a broker that is paused for less keeps its connections; a new leader is found by metadata |
//! | `max.poll.interval.ms` | 5 min | polling never stops |
//! | `metadata.recovery.strategy` | `rebootstrap` | brokers that all change their addresses are found again |

use rdkafka::ClientConfig;

use super::KafkaAccess;

/// Of every client.
const CLIENT: [(&str, &str); 2] = [
    // Metrics that a broker subscribes to (KIP-714) would be load that nobody planned.
    ("enable.metrics.push", "false"),
    // A topic that somebody deletes must not come back by our asking for it, with settings that nobody chose.
    ("allow.auto.create.topics", "false"),
];

/// Of every consumer.
const CONSUMER: [(&str, &str); 5] = [
    // With `read_committed`, a transaction that somebody leaves open holds back all that comes after it.
    ("isolation.level", "read_uncommitted"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "false"),
    // After a batch that fails the check, librdkafka goes on at a wrong place of the answer (rdkafka_msgset_reader.c skips
    // to an absolute position), and may take any bytes for an offset. Brokers check what producers and leaders send them.
    ("check.crcs", "false"),
];

/// Of every producer.
const PRODUCER: [(&str, &str); 1] = [("compression.type", "none")];

impl KafkaAccess {
    /// A consumer of `group`: how it connects, and what all consumers have in common.
    pub fn consumer_config(&self, group: &str) -> ClientConfig {
        let mut config = self.with(&[&CLIENT, &CONSUMER]);
        config.set("group.id", group);
        config
    }

    /// A producer: how it connects, and what all producers have in common.
    pub fn producer_config(&self) -> ClientConfig {
        self.with(&[&CLIENT, &PRODUCER])
    }

    fn with(&self, lists: &[&[(&str, &str)]]) -> ClientConfig {
        let mut config = self.client_config();
        for (name, value) in lists.iter().copied().flatten() {
            config.set(*name, *value);
        }
        config
    }
}

/// The properties that all consumers have in common, for the manifest.
pub fn consumer_defaults() -> impl Iterator<Item = (&'static str, &'static str)> {
    CLIENT.into_iter().chain(CONSUMER)
}

/// The properties that all producers have in common, for the manifest.
pub fn producer_defaults() -> impl Iterator<Item = (&'static str, &'static str)> {
    CLIENT.into_iter().chain(PRODUCER)
}

#[cfg(test)]
mod tests {
    use rdkafka::{consumer::BaseConsumer, error::KafkaResult, producer::BaseProducer};

    use super::*;

    #[test]
    fn librdkafka_takes_all_of_them() {
        let access = KafkaAccess::plaintext(vec!["127.0.0.1:1".into()]);
        let consumer: KafkaResult<BaseConsumer> = access.consumer_config("g").set("log_level", "0").create();
        let producer: KafkaResult<BaseProducer> = access.producer_config().set("log_level", "0").create();
        assert!(consumer.is_ok() && producer.is_ok(), "{:?} {:?}", consumer.err(), producer.err());
        assert_eq!(access.consumer_config("g").get("isolation.level"), Some("read_uncommitted"));
    }
}

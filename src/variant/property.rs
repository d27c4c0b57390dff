//! Properties that go to Kafka and Redis verbatim: which the harness sets itself, and which librdkafka does not take.
//!
//! A consumer that is never connected tells what librdkafka thinks of `[consumer]`, so that a misspelt property is an
//! error here, with its line, and not one of each worker after the cluster has started.

use rdkafka::{ClientConfig, consumer::BaseConsumer, error::KafkaError, types::RDKafkaConfRes};

use super::{ClusterKind, Variant};

/// Of a local broker: ports, ids and directories are chosen for each run.
const BROKER: [&str; 14] = [
    "advertised.listeners",
    "broker.id",
    "controller.listener.names",
    "controller.quorum.bootstrap.servers",
    "controller.quorum.voters",
    "inter.broker.listener.name",
    "listener.security.protocol.map",
    "listeners",
    "log.dir",
    "log.dirs",
    "metadata.log.dir",
    "node.id",
    "process.roles",
    "security.inter.broker.protocol",
];

/// Of a local Redis: address, directory and access are chosen for each run, and who copies from whom by `redis_mode`.
const REDIS: [&str; 17] = [
    "bind",
    "cluster-config-file",
    "cluster-enabled",
    "cluster-port",
    "daemonize",
    "dir",
    "include",
    "logfile",
    "masterauth",
    "pidfile",
    "port",
    "replicaof",
    "requirepass",
    "slaveof",
    "tls-port",
    "unixsocket",
    "user",
];

/// Of a worker's consumer, each with what sets it instead.
const CONSUMER: [(&str, &str); 20] = [
    ("allow.auto.create.topics", "the run makes its topic itself"),
    ("auto.commit.interval.ms", "the variant's commit_interval sets it"),
    ("auto.offset.reset", "a run reads from the offsets at its start, and never guesses one"),
    ("bootstrap.servers", "the cluster's addresses are the run's (--bootstrap)"),
    ("client.id", "each worker has its own"),
    ("enable.auto.commit", "a worker commits what Redis has, by the variant's commit_interval"),
    ("enable.auto.offset.store", "a worker commits what Redis has"),
    ("enable.partition.eof", "a worker waits for more where a partition ends"),
    ("group.id", "each run has its own group"),
    ("group.instance.id", "it would be the same for all workers; the variant's static_membership gives each its own"),
    ("group.protocol", "the variant's group_protocol sets it"),
    ("isolation.level", "a run reads what is on the topic; a transaction that others leave open would hold it back"),
    ("metadata.broker.list", "the cluster's addresses are the run's (--bootstrap)"),
    ("partition.assignment.strategy", "the variant's group_protocol sets it"),
    ("sasl.mechanism", "--sasl-mechanism sets it"),
    ("sasl.mechanisms", "--sasl-mechanism sets it"),
    ("sasl.password", "SHASTA_SASL_PASSWORD sets it"),
    ("sasl.username", "--sasl-username sets it"),
    ("security.protocol", "--security-protocol sets it"),
    ("ssl.ca.location", "--ca-file sets it"),
];

/// Why the harness does not take a property of `[broker]`, `[consumer]` or `[redis]`, if it does not. Of an external
/// cluster's brokers and Redis, the variant only says how they are.
pub(crate) fn reserved(section: &str, name: &str, cluster: ClusterKind) -> Option<&'static str> {
    let local = cluster != ClusterKind::External;
    match section {
        "broker" if local && BROKER.contains(&name) => Some("ports, ids and directories are chosen for each run"),
        "redis" if local && REDIS.contains(&name.to_ascii_lowercase().as_str()) => {
            Some("address, directory and access are chosen for each run")
        }
        "consumer" => CONSUMER.iter().find(|(own, _)| *own == name).map(|(_, why)| *why),
        _ => None,
    }
}

/// What a property must be, where it is not.
pub(super) fn check(section: &str, name: &str, text: &str, cluster: ClusterKind) -> Result<(), String> {
    if let Some(why) = reserved(section, name, cluster) {
        return Err(format!("left out: {why}"));
    }
    if section != "consumer" {
        return Ok(());
    }
    match ClientConfig::new().set(name, text).create_native_config() {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
            Err("a property that librdkafka knows (its CONFIGURATION.md lists them)".into())
        }
        Err(KafkaError::ClientConfig(_, reason, ..)) => Err(format!("a value that librdkafka takes: {reason}")),
        Err(error) => Err(format!("a value that librdkafka takes: {error}")),
    }
}

/// What librdkafka says of the properties of `[consumer]` together, if it does not take them.
pub(super) fn check_together(variant: &Variant) -> Result<(), String> {
    let mut config: ClientConfig = variant.consumer.clone().into_iter().collect();
    // Nothing is connected, so there is nothing to tell. What only the other group protocol has is left to the worker.
    config.set("group.id", "shasta").set("log_level", "0").remove("debug").remove("group.remote.assignor");
    match config.create::<BaseConsumer>() {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientCreation(reason)) => Err(reason),
        Err(error) => Err(error.to_string()),
    }
}

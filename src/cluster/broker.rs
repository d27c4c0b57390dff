//! One combined KRaft node: its properties, its formatted storage, its JVM.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use super::{
    ClusterError,
    error::file_error,
    kafka_home::{Java, Site},
    listeners::Listeners,
    local::Starting,
    scratch::write,
};
use crate::{
    machine::process::{Child, Spawn, Streams},
    variant::{ClusterKind, Variant, reserved},
};

/// Nodes of a run's local cluster, each broker and controller. Benches start others.
pub(super) const NODES: usize = 3;

/// Properties of Kafka 3 that Kafka 4 removed; an unknown one has no effect there.
const REMOVED: &[&str] = &[
    "auto.include.jmx.reporter",
    "broker.id.generation.enable",
    "control.plane.listener.name",
    "delegation.token.master.key",
    "inter.broker.protocol.version",
    "log.message.format.version",
    "log.message.timestamp.difference.max.ms",
    "offsets.commit.required.acks",
    "reserved.broker.max.id",
];

/// A broker closes a connection that was idle for 10 minutes, by default. One that has served for hours has done so before; when a young one
/// does it first, the code around every socket has been compiled without that case, and is compiled anew, on the run's cores
/// (results/log/2026-11-30-ten-minutes.md). Within a run, none is closed.
const NEVER_IDLE_MS: u32 = 86_400_000;

/// On how many brokers topics are kept unless they say otherwise, and how many of these must have an event.
const REPLICATED: &[&str] = &[
    "default.replication.factor",
    "offsets.topic.replication.factor",
    "share.coordinator.state.topic.replication.factor",
    "transaction.state.log.replication.factor",
];
const IN_SYNC: &[&str] =
    &["min.insync.replicas", "share.coordinator.state.topic.min.isr", "transaction.state.log.min.isr"];

const LOG4J: &str = "rootLogger.level=warn
rootLogger.appenderRef.out.ref=OUT
appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=[%d] %p %m (%c)%n
";

/// Why a property of the variant is not given to the brokers, if it is not.
pub(super) fn not_applied(property: &str) -> Option<&'static str> {
    if property.starts_with("zookeeper.") {
        Some("there is no ZooKeeper")
    } else if REMOVED.contains(&property) || property.starts_with("password.encoder.") {
        Some("this Kafka does not have it")
    } else {
        None
    }
}

/// Refuses the variant's properties that only the harness can set.
pub(super) fn check_properties(broker: &BTreeMap<String, String>) -> Result<(), ClusterError> {
    for (name, value) in broker {
        if let Some(why) = reserved("broker", name, ClusterKind::Local) {
            return Err(ClusterError::Owned { section: "broker", name: name.clone(), why });
        }
        if value.contains(['\n', '\r']) || name.contains(char::is_whitespace) {
            return Err(ClusterError::LineBreak { section: "broker", name: name.clone() });
        }
    }
    Ok(())
}

/// `server.properties` of node `index`, with the variant's own on top of what a run needs.
pub(super) fn properties(index: usize, listeners: &[Listeners], data: &Path, variant: &Variant) -> String {
    let mut text = String::new();
    for (name, value) in settings(index, listeners, data, variant) {
        writeln!(text, "{name}={}", value.replace('\\', "\\\\")).expect("a String takes every write");
    }
    text
}

/// The same by name, for brokers that take them otherwise.
pub(super) fn settings<'a>(
    index: usize,
    listeners: &[Listeners],
    data: &Path,
    variant: &'a Variant,
) -> BTreeMap<&'a str, String> {
    let voters: Vec<_> =
        listeners.iter().enumerate().map(|(i, of)| format!("{}@127.0.0.1:{}", i + 1, of.controller())).collect();
    let mut set = BTreeMap::from([
        ("default.replication.factor", variant.replication_factor.to_string()),
        ("min.insync.replicas", variant.min_insync_replicas.to_string()),
        ("connections.max.idle.ms", NEVER_IDLE_MS.to_string()),
    ]);
    let applied = variant.broker.iter().filter(|(name, _)| not_applied(name).is_none());
    set.extend(applied.map(|(name, value)| (name.as_str(), value.clone())));
    set.extend([
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", (index + 1).to_string()),
        ("controller.quorum.voters", voters.join(",")),
        ("log.dirs", data.display().to_string()),
    ]);
    set.extend(listeners[index].properties());
    if listeners.len() < NODES {
        // Kafka's defaults for its own topics, and the variant's, want three brokers.
        let fewer = REPLICATED.iter().map(|name| (*name, listeners.len().to_string()));
        set.extend(fewer.chain(IN_SYNC.iter().map(|name| (*name, "1".to_owned()))));
    }
    set
}

/// The flags of a broker's JVM.
pub(super) fn jvm_flags(variant: &Variant) -> Vec<String> {
    let heap = &variant.broker_heap;
    [format!("-Xms{heap}"), format!("-Xmx{heap}")].into_iter().chain(variant.broker_jvm.iter().cloned()).collect()
}

/// Starts node `index`, whose directory holds its `server.properties`; its log is `broker.log` there.
pub(super) fn start(index: usize, starting: &Starting<'_>, java: &Java, dir: &Path) -> Result<Child, ClusterError> {
    let spawn = Spawn::new(format!("broker {}", index + 1), &java.program, Streams::Log(dir.join("broker.log")))
        .args(jvm_flags(starting.variant))
        .args(class_path(starting.site, dir))
        .args(["kafka.Kafka".into(), dir.join("server.properties")])
        .dir(dir)
        .lifetime(starting.lifetime)
        .nice(starting.variant.broker_nice);
    Ok(spawn.start()?)
}

/// Logging and jars, for a broker or a tool with its files in `dir`.
pub(super) fn class_path(site: &Site, dir: &Path) -> [String; 3] {
    let log4j = format!("-Dlog4j2.configurationFile={}", dir.join("log4j2.properties").display());
    [log4j, "-cp".to_owned(), format!("{}/*", site.libs.display())]
}

/// Writes what brokers and tools read from `dir`.
pub(super) fn prepare(dir: &Path, properties: &str) -> Result<(), ClusterError> {
    fs::create_dir_all(dir).map_err(file_error(dir, "created"))?;
    write(&dir.join("server.properties"), properties)?;
    write(&dir.join("log4j2.properties"), LOG4J)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{listeners::of_nodes, ports::Ports, tests::variant};

    #[test]
    fn the_variant_is_laid_over_the_defaults_and_under_what_a_run_chooses() {
        let mut variant = variant();
        variant.broker.insert("min.insync.replicas".to_owned(), "1".to_owned());
        variant.broker.insert("a.path".to_owned(), "C:\\x".to_owned());
        let ports = [1, 2, 3].map(|i| Ports::new(&[100 + i, 200 + i, 300 + i, 400 + i, 500 + i]));
        let text = properties(1, &of_nodes(&ports, None), Path::new("/data"), &variant);
        let expected = [
            "a.path=C:\\\\x",
            "advertised.listeners=CLIENT://127.0.0.1:102",
            "controller.quorum.voters=1@127.0.0.1:201,2@127.0.0.1:202,3@127.0.0.1:203",
            "default.replication.factor=3",
            "listeners=CLIENT://127.0.0.1:102,CONTROLLER://127.0.0.1:202",
            "log.dirs=/data",
            "min.insync.replicas=1",
            "node.id=2",
            "num.io.threads=2",
        ];
        for line in expected {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert!(!text.contains("zookeeper"));
        let alone = properties(0, &of_nodes(&ports[..1], None), Path::new("/data"), &variant);
        assert!(alone.lines().any(|found| found == "offsets.topic.replication.factor=1"), "{alone}");
    }

    #[test]
    fn a_property_that_the_run_owns_or_that_breaks_the_file_is_refused() {
        let with = |name: &str, value: &str| check_properties(&BTreeMap::from([(name.to_owned(), value.to_owned())]));
        assert!(with("num.io.threads", "4").is_ok());
        assert!(matches!(with("listeners", "x"), Err(ClusterError::Owned { .. })));
        assert!(matches!(with("num.io.threads", "4\nnode.id=7"), Err(ClusterError::LineBreak { .. })));
        assert!(matches!(with("num.io.threads\n", "4"), Err(ClusterError::LineBreak { .. })));
    }
}

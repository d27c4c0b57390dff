//! One combined KRaft node: its properties, its formatted storage, its JVM.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use super::{
    ClusterError,
    error::file_error,
    kafka_home::{Java, KAFKA_VERSION, Site},
    scratch::write,
};
use crate::{
    process::{Child, Lifetime, Spawn, Streams},
    variant::Variant,
};

/// Nodes of a local cluster, each broker and controller.
pub(super) const NODES: usize = 3;

const OWNED: &[&str] = &[
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

const LOG4J: &str = "rootLogger.level=warn
rootLogger.appenderRef.out.ref=OUT
appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=[%d] %p %m (%c)%n
";

/// The port pairs of all nodes, in order of their ids.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) client: u16,
    pub(super) controller: u16,
}

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
        if OWNED.contains(&name.as_str()) {
            let advice = "leave it out (ports, ids and directories are chosen for each run)";
            return Err(ClusterError::Owned { section: "broker", name: name.clone(), advice });
        }
        if value.contains(['\n', '\r']) || name.contains(char::is_whitespace) {
            return Err(ClusterError::LineBreak { section: "broker", name: name.clone() });
        }
    }
    Ok(())
}

/// `server.properties` of node `index`, with the variant's own on top of what a run needs.
pub(super) fn properties(index: usize, ports: &[Ports; NODES], data: &Path, variant: &Variant) -> String {
    let Ports { client, controller } = ports[index];
    let voters: Vec<_> =
        ports.iter().enumerate().map(|(i, p)| format!("{}@127.0.0.1:{}", i + 1, p.controller)).collect();
    let mut set = BTreeMap::from([
        ("default.replication.factor", variant.replication_factor.to_string()),
        ("min.insync.replicas", variant.min_insync_replicas.to_string()),
    ]);
    let applied = variant.broker.iter().filter(|(name, _)| not_applied(name).is_none());
    set.extend(applied.map(|(name, value)| (name.as_str(), value.clone())));
    set.extend([
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", (index + 1).to_string()),
        ("controller.quorum.voters", voters.join(",")),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        ("inter.broker.listener.name", "CLIENT".to_owned()),
        ("listener.security.protocol.map", "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned()),
        ("listeners", format!("CLIENT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}")),
        ("advertised.listeners", format!("CLIENT://127.0.0.1:{client}")),
        ("log.dirs", data.display().to_string()),
    ]);
    let mut text = String::new();
    for (name, value) in set {
        writeln!(text, "{name}={}", value.replace('\\', "\\\\")).expect("a String takes every write");
    }
    text
}

/// The cluster's formatted storage before its first start, the same for all nodes.
#[derive(Debug)]
pub(super) struct Format {
    cluster_id: String,
    checkpoint: Vec<u8>,
}

impl Format {
    /// Where the bootstrap checkpoint of this Kafka is kept, beside its jars: it holds feature levels only, and
    /// writing one takes the tool a second of CPU.
    pub(super) fn cached(libs: &Path) -> PathBuf {
        libs.join(format!("bootstrap-{KAFKA_VERSION}.checkpoint"))
    }

    /// The tool that formats `data`, to be waited for.
    pub(super) fn tool(
        java: &Java,
        site: &Site,
        dir: &Path,
        properties: &Path,
        id: &str,
    ) -> Result<Child, ClusterError> {
        let flags = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
        let spawn = Spawn::new("Kafka's StorageTool", &java.program, Streams::Log(dir.join("format.log")))
            .args(flags)
            .args(class_path(site, dir))
            .args(["kafka.tools.StorageTool", "format", "-t", id, "-c"])
            .args([properties]);
        Ok(spawn.start()?)
    }

    pub(super) fn read(cluster_id: &str, checkpoint: &Path) -> Result<Self, ClusterError> {
        let bytes = fs::read(checkpoint).map_err(file_error(checkpoint, "read"))?;
        Ok(Self { cluster_id: cluster_id.to_owned(), checkpoint: bytes })
    }

    /// Keeps the checkpoint for the next start; without room or permission the next start formats again.
    pub(super) fn cache(&self, libs: &Path) {
        let own = libs.join(format!(".bootstrap-{}", std::process::id()));
        if fs::write(&own, &self.checkpoint).and_then(|()| fs::rename(&own, Self::cached(libs))).is_err() {
            let _ = fs::remove_file(own);
        }
    }

    /// Lays the storage of node `index` out in `data`, as the tool does. The broker adds its directory's id itself.
    pub(super) fn lay_out(&self, index: usize, data: &Path) -> Result<(), ClusterError> {
        fs::create_dir_all(data).map_err(file_error(data, "created"))?;
        let meta = format!("version=1\nnode.id={}\ncluster.id={}\n", index + 1, self.cluster_id);
        write(&data.join("meta.properties"), &meta)?;
        let checkpoint = data.join("bootstrap.checkpoint");
        fs::write(&checkpoint, &self.checkpoint).map_err(file_error(&checkpoint, "written"))
    }
}

/// A new cluster id: a random UUID as Kafka writes them, 22 characters of URL-safe base64.
pub(super) fn new_cluster_id() -> Result<String, ClusterError> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let source = Path::new("/proc/sys/kernel/random/uuid");
    let hex = fs::read_to_string(source).map_err(file_error(source, "read"))?.trim().replace('-', "");
    let uuid = u128::from_str_radix(&hex, 16).expect("the kernel writes 32 hexadecimal digits");
    // The highest bit is cleared so that it never begins with `-`, which tools take for a flag.
    let bits = uuid & (u128::MAX >> 1);
    let six = |i: u32| if i < 21 { bits >> (122 - 6 * i) } else { bits << 4 };
    Ok((0..22).map(|i| char::from(ALPHABET[(six(i) & 63) as usize])).collect())
}

/// The flags of a broker's JVM.
pub(super) fn jvm_flags(variant: &Variant) -> Vec<String> {
    let heap = &variant.broker_heap;
    [format!("-Xms{heap}"), format!("-Xmx{heap}")].into_iter().chain(variant.broker_jvm.iter().cloned()).collect()
}

/// Starts node `index`, whose directory holds its `server.properties`; its log is `broker.log` there.
pub(super) fn start(
    index: usize,
    java: &Java,
    site: &Site,
    dir: &Path,
    variant: &Variant,
    lifetime: Lifetime,
) -> Result<Child, ClusterError> {
    let spawn = Spawn::new(format!("broker {}", index + 1), &java.program, Streams::Log(dir.join("broker.log")))
        .args(jvm_flags(variant))
        .args(class_path(site, dir))
        .args(["kafka.Kafka".into(), dir.join("server.properties")])
        .dir(dir)
        .lifetime(lifetime);
    Ok(spawn.start()?)
}

fn class_path(site: &Site, dir: &Path) -> [String; 3] {
    let log4j = format!("-Dlog4j2.configurationFile={}", dir.join("log4j2.properties").display());
    [log4j, "-cp".to_owned(), format!("{}/*", site.libs.display())]
}

/// Writes what [`start`] and [`Format::tool`] read from `dir`.
pub(super) fn prepare(dir: &Path, properties: &str) -> Result<(), ClusterError> {
    fs::create_dir_all(dir).map_err(file_error(dir, "created"))?;
    write(&dir.join("server.properties"), properties)?;
    write(&dir.join("log4j2.properties"), LOG4J)
}

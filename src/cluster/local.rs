//! A whole cluster as child processes on 127.0.0.1: three combined KRaft nodes and one Redis, in a temporary
//! directory, gone without a trace when the value drops.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    Cluster, ClusterError, Endpoints, KafkaAccess, Site,
    admin::Admin,
    broker::{self, Format, NODES, Ports},
    error::file_error,
    kafka_home::{Java, KAFKA_VERSION, check_jars},
    redis_server,
    scratch::Scratch,
};
use crate::{
    process::{Child, Lifetime},
    variant::Variant,
};

const STARTS_MAX: u32 = 3;
const READY_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
const LOG_LINES: usize = 12;
const REDIS: &str = "redis";

/// Ports that are bound together, so that all differ, until the children may have them.
struct Held {
    nodes: [Ports; NODES],
    redis: u16,
    sockets: Vec<TcpListener>,
}

impl Held {
    fn choose() -> io::Result<Self> {
        let bind = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let sockets = (0..2 * NODES + 1).map(bind).collect::<io::Result<Vec<_>>>()?;
        let ports = sockets.iter().map(|s| Ok(s.local_addr()?.port())).collect::<io::Result<Vec<_>>>()?;
        let nodes = std::array::from_fn(|i| Ports { client: ports[2 * i], controller: ports[2 * i + 1] });
        Ok(Self { nodes, redis: ports[2 * NODES], sockets })
    }
}

/// Three brokers and a Redis that this process started.
pub struct LocalCluster {
    // In this order: the children end before their directory is removed.
    children: Vec<Child>,
    scratch: Scratch,
    endpoints: Endpoints,
    client_ports: [u16; NODES],
    variant: Variant,
    java: Java,
}

/// Starts it and waits until three brokers and Redis answer.
///
/// Call it from a thread that lives as long as the cluster should, see [`crate::process`].
///
/// # Errors
/// When a program, jar or port is missing, a setting is refused, a child ends, `stop` says so, or 60 s have passed.
pub fn start(
    variant: &Variant,
    site: &Site,
    lifetime: Lifetime,
    stop: &dyn Fn() -> bool,
    progress: &dyn Fn(&str),
) -> Result<LocalCluster, ClusterError> {
    start_on(variant, site, lifetime, stop, progress, &Held::choose)
}

fn start_on(
    variant: &Variant,
    site: &Site,
    lifetime: Lifetime,
    stop: &dyn Fn() -> bool,
    progress: &dyn Fn(&str),
    choose: &dyn Fn() -> io::Result<Held>,
) -> Result<LocalCluster, ClusterError> {
    broker::check_properties(&variant.broker)?;
    redis_server::check_settings(&variant.redis)?;
    check_jars(&site.libs)?;
    let java = Java::find(site)?;
    for attempt in 1.. {
        let held = choose().map_err(file_error("127.0.0.1".as_ref(), "bound to free ports"))?;
        let started = LocalCluster::spawn(variant, site, java.clone(), lifetime, held, stop, progress);
        match started.and_then(|mut cluster| cluster.wait_ready(stop, progress).map(|()| cluster)) {
            Err(ClusterError::PortTaken { name }) if attempt == STARTS_MAX => {
                return Err(ClusterError::PortsTaken { attempts: attempt, name });
            }
            Err(taken @ ClusterError::PortTaken { .. }) => progress(&format!("{taken}; starting again on others")),
            done => return done,
        }
    }
    unreachable!("the last attempt returns")
}

impl LocalCluster {
    fn spawn(
        variant: &Variant,
        site: &Site,
        java: Java,
        lifetime: Lifetime,
        held: Held,
        stop: &dyn Fn() -> bool,
        progress: &dyn Fn(&str),
    ) -> Result<Self, ClusterError> {
        let scratch = Scratch::create(&site.temp)?;
        let dirs: [PathBuf; NODES] = std::array::from_fn(|i| scratch.path().join(format!("broker-{}", i + 1)));
        let data = |i: usize| dirs[i].join("data");
        for (i, dir) in dirs.iter().enumerate() {
            broker::prepare(dir, &broker::properties(i, &held.nodes, &data(i), variant))?;
        }
        let format = format(site, &java, &dirs[0], stop, progress)?;
        progress(&format!("starting {NODES} brokers (Kafka {KAFKA_VERSION}) and Redis"));
        let client_ports = held.nodes.map(|ports| ports.client);
        let endpoints = Endpoints {
            kafka: KafkaAccess::plaintext(client_ports.iter().map(|port| format!("127.0.0.1:{port}")).collect()),
            redis_url: format!("redis://127.0.0.1:{}", held.redis),
        };
        let mut cluster = Self { children: vec![], scratch, endpoints, client_ports, variant: variant.clone(), java };
        drop(held.sockets);
        let redis_dir = cluster.scratch.path().join(REDIS);
        cluster.children.push(redis_server::start(site, &redis_dir, held.redis, &variant.redis, lifetime)?);
        for (i, dir) in dirs.iter().enumerate() {
            format.lay_out(i, &data(i))?;
            cluster.children.push(broker::start(i, &cluster.java, site, dir, variant, lifetime)?);
        }
        Ok(cluster)
    }

    fn wait_ready(&mut self, stop: &dyn Fn() -> bool, progress: &dyn Fn(&str)) -> Result<(), ClusterError> {
        let start = Instant::now();
        let mut admin = None;
        loop {
            if stop() {
                return Err(ClusterError::Interrupted);
            }
            self.check()?;
            let waiting_for = match self.not_ready(&mut admin)? {
                None => break,
                Some(what) => what,
            };
            if start.elapsed() > READY_MAX {
                let tails = self.children.iter().map(|child| format!("{}:\n{}", child.name(), child.last_lines(4)));
                let lines = tails.collect::<Vec<_>>().join("\n");
                return Err(ClusterError::NotReady { seconds: READY_MAX.as_secs(), waiting_for, lines });
            }
            std::thread::sleep(POLL);
        }
        progress(&format!("{NODES} brokers and Redis are ready after {:.1} s", start.elapsed().as_secs_f64()));
        Ok(())
    }

    /// What does not answer yet; nothing when all do. Returns within 100 ms, so that the caller can be stopped.
    fn not_ready(&self, admin: &mut Option<Admin>) -> Result<Option<String>, ClusterError> {
        const LOOK: Duration = Duration::from_millis(50);
        if admin.is_none() {
            // A plain connection first: a Kafka client that starts too early backs off.
            let closed =
                |port: &u16| TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, *port)), LOOK).is_err();
            if let Some(i) = self.client_ports.iter().position(closed) {
                return Ok(Some(format!("broker {} does not listen", i + 1)));
            }
            if let Err(error) = redis_server::ping(&self.endpoints.redis_url, LOOK) {
                return Ok(Some(format!("Redis does not answer: {error}")));
            }
            *admin = Some(Admin::connect(&self.endpoints.kafka)?);
        }
        let seen = admin.as_ref().and_then(|admin| admin.metadata(LOOK).ok()).map_or(0, |found| found.brokers().len());
        Ok((seen < NODES).then(|| format!("{seen} of {NODES} brokers in the metadata")))
    }

    fn brokers(&self) -> Value {
        let asked = &self.variant.broker;
        let described = Admin::connect(&self.endpoints.kafka).and_then(|admin| admin.broker_settings(1));
        let described = match described {
            Ok(described) => described,
            Err(error) => return json!({ "asked": asked, "error": error.to_string() }),
        };
        let mut not_applied: Vec<Value> = vec![];
        let mut applied = serde_json::Map::new();
        for (name, value) in asked {
            let entry = described.get(name);
            // A broker hides the value of a property that it does not know, as it does for a password.
            let unknown = entry.is_none_or(|entry| entry.is_sensitive).then_some("this Kafka does not know it");
            match broker::not_applied(name).or(unknown) {
                Some(why) => not_applied.push(json!({ "property": name, "value": value, "why": why })),
                None => drop(applied.insert(name.clone(), json!(entry.and_then(|entry| entry.value.clone())))),
            }
        }
        let shown = described.values().filter(|entry| !entry.is_sensitive);
        let all: serde_json::Map<_, _> = shown.map(|entry| (entry.name.clone(), json!(entry.value))).collect();
        json!({ "applied": applied, "not_applied": not_applied, "broker_1": all })
    }
}

/// The storage format of a new cluster, from the tool's own checkpoint.
fn format(
    site: &Site,
    java: &Java,
    dir: &std::path::Path,
    stop: &dyn Fn() -> bool,
    progress: &dyn Fn(&str),
) -> Result<Format, ClusterError> {
    let id = broker::new_cluster_id()?;
    let cached = Format::cached(&site.libs);
    if cached.exists() {
        return Format::read(&id, &cached);
    }
    progress("formatting Kafka's storage (once for this installation)");
    let mut tool = Format::tool(java, site, dir, &dir.join("server.properties"), &id)?;
    let status = loop {
        if stop() {
            return Err(ClusterError::Interrupted);
        }
        if let Some(status) = tool.try_wait()? {
            break status;
        }
        std::thread::sleep(POLL);
    };
    if !status.success() {
        return Err(exited(&tool, status, dir));
    }
    let format = Format::read(&id, &dir.join("data/bootstrap.checkpoint"))?;
    format.cache(&site.libs);
    Ok(format)
}

/// What the end of a child's log says about its end.
fn exited(child: &Child, status: std::process::ExitStatus, dir: &std::path::Path) -> ClusterError {
    let (name, lines) = (child.name().to_owned(), child.last_lines(LOG_LINES));
    let whole = child.last_lines(usize::MAX);
    if whole.contains("Address already in use") {
        return ClusterError::PortTaken { name };
    }
    if whole.contains("No space left on device") || whole.contains("Disk quota exceeded") {
        return ClusterError::DiskFull { dir: dir.to_path_buf() };
    }
    let hint = if whole.contains("ClassNotFoundException") || whole.contains("NoClassDefFoundError") {
        "; a jar of Kafka is missing or broken, run scripts/setup"
    } else if whole.contains("Could not reserve enough space") || whole.contains("insufficient memory") {
        "; the heap does not fit into memory, try --broker-heap 512m"
    } else if whole.contains("Unrecognized VM option") || whole.contains("Unrecognized option") {
        "; this Java does not know a flag of the variant's broker_jvm"
    } else if whole.contains("ConfigException")
        || whole.contains("Bad directive")
        || whole.contains("FATAL CONFIG FILE ERROR")
    {
        "; the variant's [broker] or [redis] holds a setting that it refuses"
    } else {
        ""
    };
    ClusterError::Exited { name, status: status.to_string(), hint, lines }
}

impl Cluster for LocalCluster {
    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    fn substrate(&self) -> &'static str {
        "local"
    }

    fn processes(&self) -> Vec<(String, u32)> {
        self.children.iter().map(|child| (child.name().to_owned(), child.pid())).collect()
    }

    fn check(&mut self) -> Result<(), ClusterError> {
        for child in &mut self.children {
            if let Some(status) = child.try_wait()? {
                return Err(exited(child, status, self.scratch.path()));
            }
        }
        Ok(())
    }

    fn settings(&self) -> Value {
        let wanted = &self.variant.kafka_version;
        json!({
            "kafka_version": KAFKA_VERSION,
            "kafka_version_of_variant": wanted,
            "kafka_version_differs": wanted != KAFKA_VERSION,
            "java_version": self.java.version,
            "jvm_flags": broker::jvm_flags(&self.variant),
            "brokers": self.brokers(),
            "redis": redis_server::described(&self.endpoints.redis_url),
        })
    }

    fn keep(&mut self) -> Result<String, ClusterError> {
        self.scratch.keep()?;
        self.children.iter_mut().for_each(Child::leave);
        let pids: Vec<_> = self.children.iter().map(|child| child.pid().to_string()).collect();
        Ok(format!("kill -9 {}; rm -r {}", pids.join(" "), self.scratch.path().display()))
    }
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        // All at once, before each is reaped in turn: nothing of theirs outlives the run.
        self.children.iter_mut().filter(|child| !child.is_left()).for_each(Child::kill);
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, path::Path};

    use rdkafka::{
        ClientConfig, Message, Offset, TopicPartitionList,
        consumer::{BaseConsumer, Consumer},
        producer::{BaseProducer, BaseRecord, Producer},
    };

    use super::*;
    use crate::{
        cluster::{external, tests::variant, topic},
        process::start_time_ticks,
    };

    fn site(temp: &Path) -> Site {
        Site { temp: temp.to_path_buf(), ..Site::from_env() }
    }

    fn refused(variant: &Variant, site: &Site) -> ClusterError {
        start(variant, site, Lifetime::WithParent, &|| false, &|_| ()).err().unwrap()
    }

    /// One cluster for everything that needs one, since each costs seconds of two cores.
    #[test]
    fn a_cluster_starts_past_a_taken_port_serves_a_topic_and_leaves_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let said = RefCell::new(vec![]);
        let choose = || {
            let first = said.borrow().iter().all(|line: &String| !line.contains("taken"));
            let held = Held::choose()?;
            Ok(if first { Held { redis: taken.local_addr()?.port(), ..held } } else { held })
        };
        let progress = |line: &str| said.borrow_mut().push(line.to_owned());
        let variant = variant();
        let mut cluster =
            start_on(&variant, &site(temp.path()), Lifetime::WithParent, &|| false, &progress, &choose).unwrap();
        eprintln!("{:#?}", said.borrow());
        assert!(said.borrow().iter().any(|line| line.contains("redis: a port was taken")));
        cluster.check().unwrap();
        let pids: Vec<u32> = cluster.processes().into_iter().map(|(_, pid)| pid).collect();
        assert_eq!(pids.len(), 4);
        assert!(pids.iter().all(|pid| start_time_ticks(*pid).is_some()));

        let access = &cluster.endpoints().kafka;
        topic_is_made_once_and_not_changed(access, &variant);
        settings_tell_what_was_not_applied(&cluster.settings());
        let connected = external::connect(cluster.endpoints().clone(), &|| false, &|_| ()).unwrap();
        assert_eq!(connected.substrate(), "external");

        cluster.children[1].signal(rustix::process::Signal::KILL).unwrap();
        cluster.children[1].wait().unwrap();
        assert!(cluster.check().unwrap_err().to_string().contains("broker 1 ended by itself"));
        drop(cluster);
        assert!(pids.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists()));
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
    }

    fn topic_is_made_once_and_not_changed(access: &KafkaAccess, variant: &Variant) {
        let made = topic::prepare(access, variant, &|| false).unwrap();
        assert!(made.created && made.log_append_time);
        assert_eq!(made.partitions.iter().map(|p| p.id).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert!(made.partitions.iter().all(|p| p.replicas.len() == 3 && p.isr.len() == 3));
        assert_eq!(topic::end_offsets(access, &made).unwrap(), [0, 0, 0, 0]);

        produce_and_consume(access.client_config(), &made.name);
        assert_eq!(topic::end_offsets(access, &made).unwrap(), [0, 0, 1, 0]);

        let again = topic::prepare(access, variant, &|| false).unwrap();
        assert_eq!(topic::Topic { created: true, ..again }, made);
        let other = Variant { partitions: 6, min_insync_replicas: 1, ..variant.clone() };
        let text = topic::prepare(access, &other, &|| false).unwrap_err().to_string();
        for part in ["partitions: 4, the variant wants 6", "--partitions 4", "--min-insync-replicas 2", "--topic NAME"]
        {
            assert!(text.contains(part), "{text}");
        }
    }

    fn produce_and_consume(config: ClientConfig, topic: &str) {
        let producer: BaseProducer = config.create().unwrap();
        producer.send(BaseRecord::<(), str>::to(topic).partition(2).payload("here")).unwrap();
        producer.flush(Duration::from_secs(20)).unwrap();
        let consumer: BaseConsumer = config.clone().set("group.id", "test").create().unwrap();
        let mut start = TopicPartitionList::new();
        start.add_partition_offset(topic, 2, Offset::Beginning).unwrap();
        consumer.assign(&start).unwrap();
        let message = consumer.poll(Duration::from_secs(20)).unwrap().unwrap();
        assert_eq!(message.payload(), Some(&b"here"[..]));
    }

    fn settings_tell_what_was_not_applied(settings: &Value) {
        assert_eq!(settings["brokers"]["applied"], json!({ "num.io.threads": "2" }));
        let not: Vec<_> =
            settings["brokers"]["not_applied"].as_array().unwrap().iter().map(|p| &p["property"]).collect();
        assert_eq!(not, ["no.such.property", "zookeeper.session.timeout.ms"]);
        assert_eq!(settings["brokers"]["broker_1"]["min.insync.replicas"], "2");
        assert_eq!(settings["redis"]["config"]["appendonly"], "yes");
        assert!(settings["redis"]["server"]["redis_version"].is_string(), "{settings}");
    }

    #[test]
    fn a_start_can_be_interrupted_and_leaves_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let started = Instant::now();
        let stop = || started.elapsed() > Duration::from_millis(300);
        let interrupted = start(&variant(), &site(temp.path()), Lifetime::WithParent, &stop, &|_| ());
        assert!(matches!(interrupted, Err(ClusterError::Interrupted)));
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_missing_or_refused_is_named_before_anything_starts() {
        let temp = tempfile::tempdir().unwrap();
        let no_jars = Site { libs: "/nonexistent".into(), ..site(temp.path()) };
        assert!(matches!(refused(&variant(), &no_jars), ClusterError::Jars { .. }));
        let no_java = Site { path: Some("/nonexistent".into()), ..site(temp.path()) };
        assert!(refused(&variant(), &no_java).to_string().contains("`java` is not on PATH"));
        let set = |name: &str| {
            let mut variant = variant();
            variant.broker.insert(name.to_owned(), "1".to_owned());
            variant
        };
        assert!(refused(&set("node.id"), &site(temp.path())).to_string().contains("`node.id` in [broker]"));
        let mut port = variant();
        port.redis.insert("port".to_owned(), "1".to_owned());
        assert!(refused(&port, &site(temp.path())).to_string().contains("`port` in [redis]"));
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_child_that_refuses_its_settings_shows_its_log() {
        let temp = tempfile::tempdir().unwrap();
        let mut variant = variant();
        variant.redis.insert("no-such-setting".to_owned(), "1".to_owned());
        let text = refused(&variant, &site(temp.path())).to_string();
        assert!(text.contains("redis ended by itself") && text.contains("no-such-setting"), "{text}");
    }
}

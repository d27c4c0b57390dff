//! A whole cluster as child processes on 127.0.0.1: combined KRaft nodes (three for a run) and a Redis or several, in a temporary
//! directory, gone without a trace when the value drops.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    Cluster, ClusterError, Endpoints, KafkaAccess, Parts, Site, broker, effective_config,
    error::file_error,
    exit_diagnosis::ended,
    kafka_home::{Java, KAFKA_VERSION, check_jars},
    listeners,
    ports::Held,
    readiness::{not_ready, ready_max},
    redis_nodes::RedisNodes,
    redis_server,
    scratch::Scratch,
    storage::Storage,
};
use crate::{
    cluster::network::Network,
    machine::process::{Child, Lifetime},
    variant::{
        Variant,
        fault::{Party, Scope},
    },
};

const POLL: Duration = Duration::from_millis(50);

/// Brokers and a Redis that this process started.
pub struct LocalCluster {
    // In this order: the children end before their directory is removed and their ports are given away.
    pub(super) children: Vec<Child>,
    pub(super) scratch: Scratch,
    pub(super) endpoints: Endpoints,
    pub(super) network: Option<Arc<Network>>,
    pub(super) redis: RedisNodes,
    pub(super) variant: Variant,
    pub(super) java: Java,
    pub(super) site: Site,
    pub(super) lifetime: Lifetime,
    pub(super) held: Held,
}

/// What a start needs to know and whom it tells.
#[derive(Clone, Copy)]
pub struct Starting<'a> {
    /// What the cluster is for.
    pub variant: &'a Variant,
    /// Nodes: three for a run; benches also ask for others, or for Redis alone with 0.
    pub brokers: usize,
    /// Where programs, jars and temporary directories are.
    pub site: &'a Site,
    /// Which connections go through a network that can be changed.
    pub network: Option<Scope>,
    /// How long the children live.
    pub lifetime: Lifetime,
    /// Asked at least every 100 ms.
    pub stop: &'a dyn Fn() -> bool,
    /// Gets a line at each step.
    pub progress: &'a dyn Fn(&str),
}

/// Starts it and waits until all brokers and Redis answer.
///
/// Call it from a thread that lives as long as the cluster should, see [`crate::machine::process`].
///
/// # Errors
/// When a program, jar or port is missing, a setting is refused, brokers should outlive the network between them, a child
/// ends, `stop` says so, or too long has passed (40 s a broker, at least 120 s).
pub fn start(starting: Starting<'_>) -> Result<LocalCluster, ClusterError> {
    if starting.network == Some(Scope::Whole) && starting.lifetime == Lifetime::Detached {
        return Err(ClusterError::KeptNetwork);
    }
    broker::check_properties(&starting.variant.broker)?;
    redis_server::check_settings(&starting.variant.redis)?;
    check_jars(&starting.site.libs)?;
    let java = Java::find(starting.site)?;
    let wanted = &starting.variant.kafka_version;
    if wanted != KAFKA_VERSION {
        (starting.progress)(&format!("the variant describes Kafka {wanted}; a local cluster runs {KAFKA_VERSION}"));
    }
    let held = Held::choose(starting.brokers, RedisNodes::count(starting.variant.redis_mode))?;
    let mut cluster = LocalCluster::spawn(starting, java, held)?;
    cluster.wait_ready(starting)?;
    Ok(cluster)
}

impl LocalCluster {
    fn spawn(starting: Starting<'_>, java: Java, held: Held) -> Result<Self, ClusterError> {
        let variant = starting.variant;
        let scratch = Scratch::create(&starting.site.temp)?;
        let brokers = held.nodes.len();
        let dirs: Vec<PathBuf> = (1..=brokers).map(|node| scratch.path().join(format!("broker-{node}"))).collect();
        let data = |i: usize| dirs[i].join("data");
        let network = starting.network.map(|scope| {
            let started = Network::start(&listeners::servers(&held, scope), variant.redis_rtt.0);
            started.map(Arc::new).map_err(file_error("127.0.0.1".as_ref(), "given a network"))
        });
        let network = network.transpose()?;
        let listeners = listeners::of_nodes(&held.nodes, network.as_deref());
        for (i, dir) in dirs.iter().enumerate() {
            broker::prepare(dir, &broker::properties(i, &listeners, &data(i), variant))?;
        }
        if let Some(first) = dirs.first() {
            let storage = Storage::new(&starting, &java, first)?;
            (0..brokers).try_for_each(|i| storage.lay_out(i, &data(i)))?;
        }
        (starting.progress)(&format!("starting {brokers} brokers (Kafka {KAFKA_VERSION}) and Redis"));
        let redis = RedisNodes::new(variant.redis_mode, held.redis.clone());
        let endpoints = Endpoints { kafka: KafkaAccess::plaintext(held.bootstrap()), redis_url: redis.url() };
        let variant = variant.clone();
        let mut cluster = Self {
            children: vec![],
            scratch,
            endpoints,
            network,
            redis,
            variant,
            java,
            site: starting.site.clone(),
            lifetime: starting.lifetime,
            held,
        };
        for child in cluster.redis.start(&starting, cluster.scratch.path())? {
            cluster.adopt(child)?;
        }
        for (i, dir) in dirs.iter().enumerate() {
            let broker = broker::start(i, &starting, &cluster.java, dir)?;
            if let Some(network) = &cluster.network {
                network.broker_started(i as u32 + 1, broker.pid());
            }
            cluster.adopt(broker)?;
        }
        Ok(cluster)
    }

    fn adopt(&mut self, child: Child) -> Result<(), ClusterError> {
        self.scratch.record(&child)?;
        self.children.push(child);
        Ok(())
    }

    /// The first child that has ended, while none may.
    fn check(&mut self) -> Result<(), ClusterError> {
        for child in &mut self.children {
            if let Some(status) = child.try_wait()? {
                return Err(ended(child, status, self.scratch.path()));
            }
        }
        Ok(())
    }

    fn wait_ready(&mut self, starting: Starting<'_>) -> Result<(), ClusterError> {
        let (start, limit) = (Instant::now(), ready_max(starting.brokers));
        let mut admin = None;
        loop {
            if (starting.stop)() {
                return Err(ClusterError::Interrupted);
            }
            self.check()?;
            let waiting_for = not_ready(&self.held.nodes, &self.endpoints.kafka, &mut self.redis, &mut admin)?;
            let Some(waiting_for) = waiting_for else { break };
            if start.elapsed() > limit {
                let tails = self.children.iter().map(|child| format!("{}:\n{}", child.name(), child.last_lines(4)));
                let lines = tails.collect::<Vec<_>>().join("\n");
                return Err(ClusterError::NotReady { seconds: limit.as_secs(), waiting_for, lines });
            }
            std::thread::sleep(POLL);
        }
        (starting.progress)(&format!(
            "{} brokers and Redis are ready after {:.1} s",
            starting.brokers,
            start.elapsed().as_secs_f64()
        ));
        if let Some(admin) = admin {
            effective_config::tell(&admin, &self.variant.broker, starting.progress);
        }
        Ok(())
    }
}

impl Cluster for LocalCluster {
    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    fn endpoints_of(&self, party: Party) -> Endpoints {
        let mut endpoints = self.endpoints.clone();
        let Some(network) = &self.network else { return endpoints };
        let brokers = network.brokers_for(party);
        if !brokers.is_empty() {
            endpoints.kafka = KafkaAccess::plaintext(brokers.iter().map(ToString::to_string).collect());
        }
        if let Some(redis) = network.redis_for(party) {
            endpoints.redis_url = format!("redis://{redis}");
        }
        endpoints
    }

    fn network(&self) -> Option<Arc<Network>> {
        self.network.clone()
    }

    fn substrate(&self) -> &'static str {
        "local"
    }

    fn processes(&self) -> Vec<(String, u32)> {
        self.children.iter().map(|child| (child.name().to_owned(), child.pid())).collect()
    }

    fn ended(&mut self) -> Result<Vec<String>, ClusterError> {
        let mut told = vec![];
        for child in &mut self.children {
            if let Some(status) = child.try_wait()? {
                let why = ended(child, status, self.scratch.path());
                told.push(match &why {
                    ClusterError::Exited { .. } => why.to_string(),
                    _ => format!("{} ended by itself ({status}); {why}", child.name()),
                });
            }
        }
        Ok(told)
    }

    fn parts(&mut self) -> Option<&mut dyn Parts> {
        Some(self)
    }

    fn settings(&self) -> Value {
        let wanted = &self.variant.kafka_version;
        json!({
            "kafka_version": KAFKA_VERSION,
            "kafka_version_of_variant": wanted,
            "kafka_version_differs": wanted != KAFKA_VERSION,
            "java_version": self.java.version,
            "jvm_flags": broker::jvm_flags(&self.variant),
            "brokers": effective_config::described(&self.endpoints.kafka, &self.variant.broker),
            "proxies": self.network.as_ref().map(|network| network.links()),
            "redis": redis_server::described(&self.endpoints.redis_url),
            "redis_nodes": self.redis.described(),
        })
    }

    fn failover_redis(&mut self) -> Result<String, ClusterError> {
        let children = &mut self.children;
        self.redis.fail_over(|name| {
            let Some(index) = children.iter().position(|child| child.name() == name) else { return Ok(()) };
            // Out of the list, so that its end is nobody's trouble.
            let mut child = children.remove(index);
            child.kill();
            child.wait()?;
            Ok(())
        })
    }

    fn keep(&mut self) -> Result<String, ClusterError> {
        self.scratch.keep(&self.endpoints)?;
        self.children.iter_mut().for_each(Child::leave);
        let program = std::env::args().next().unwrap_or_else(|| "experiment".to_owned());
        Ok(format!("{program} cluster down {}", self.scratch.path().display()))
    }
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        // All at once, before each is reaped in turn: nothing of theirs outlives the run.
        self.children.iter_mut().filter(|child| !child.is_left()).for_each(Child::kill);
    }
}

#[cfg(test)]
mod server_tests {
    use std::{cell::RefCell, path::Path};

    use rdkafka::{
        ClientConfig, Message, Offset, TopicPartitionList,
        consumer::{BaseConsumer, Consumer},
        producer::{BaseProducer, BaseRecord, Producer},
    };

    use super::*;
    use crate::{
        cluster::{KeptCluster, Part, external, tests::variant, topic},
        machine::process::start_time_ticks,
        variant::RedisMode,
    };

    fn site(temp: &Path) -> Site {
        Site { temp: temp.to_path_buf(), ..Site::from_env() }
    }

    fn starting<'a>(variant: &'a Variant, site: &'a Site) -> Starting<'a> {
        let lifetime = Lifetime::WithParent;
        Starting { variant, brokers: 3, site, network: None, lifetime, stop: &|| false, progress: &|_| () }
    }

    fn refused(variant: &Variant, site: &Site) -> ClusterError {
        start(starting(variant, site)).err().unwrap()
    }

    /// One cluster for everything that needs one, since each costs seconds of two cores.
    #[test]
    fn a_cluster_serves_a_topic_and_leaves_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let said = RefCell::new(vec![]);
        let progress = |line: &str| said.borrow_mut().push(line.to_owned());
        let variant = Variant { kafka_version: "3.3.2".to_owned(), ..variant() };
        let site = site(temp.path());
        let mut cluster = start(Starting { progress: &progress, ..starting(&variant, &site) }).unwrap();
        for line in [
            "the variant describes Kafka 3.3.2; a local cluster runs ",
            "`no.such.property` in [broker] has no effect: this Kafka does not know it",
        ] {
            assert!(said.borrow().iter().any(|said| said.contains(line)), "{line}");
        }
        assert!(Cluster::ended(&mut cluster).unwrap().is_empty());
        let pids: Vec<u32> = cluster.processes().into_iter().map(|(_, pid)| pid).collect();
        assert_eq!(pids.len(), 4);
        assert!(pids.iter().all(|pid| start_time_ticks(*pid).is_some()));

        let access = &cluster.endpoints().kafka;
        topic_is_made_once_and_not_changed(access, &variant);
        settings_tell_what_was_not_applied(&cluster.settings());
        let connected = external::connect(cluster.endpoints().clone(), &|| false, &|_| ()).unwrap();
        assert_eq!(connected.substrate(), "external");

        parts_are_struck_and_started_again(&mut cluster);

        cluster.children[1].signal(rustix::process::Signal::KILL).unwrap();
        cluster.children[1].wait().unwrap();
        // The others still name the dead one as theirs.
        let mut endpoints = cluster.endpoints().clone();
        let dead = endpoints.kafka.bootstrap.remove(0);
        let text = external::connect(endpoints, &|| false, &|_| ()).err().unwrap().to_string();
        assert!(text.contains(&dead) && text.contains("name it as one of theirs"), "{text}");
        assert!(cluster.check().unwrap_err().to_string().contains("broker 1 ended by itself"));
        cluster.children[0].signal(rustix::process::Signal::TERM).unwrap();
        cluster.children[0].wait().unwrap();
        let told = Cluster::ended(&mut cluster).unwrap();
        assert!(told.len() == 2 && told[0].starts_with("redis ended by itself (exit status: 0)"), "{told:?}");
        assert!(told[1].starts_with("broker 1 ended by itself (signal: 9 (SIGKILL))"), "{told:?}");
        drop(cluster);
        assert!(pids.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists()));
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
    }

    fn parts_are_struck_and_started_again(cluster: &mut LocalCluster) {
        assert!(matches!(cluster.controller(), Some(1..=3)));
        assert!(cluster.answers(Part::Redis) && cluster.answers(Part::Broker(3)));
        let pid = cluster.children[0].pid();
        cluster.signal(Part::Redis, rustix::process::Signal::KILL).unwrap();
        while cluster.how_ended(Part::Redis).unwrap().is_none() {
            std::thread::sleep(POLL);
        }
        assert!(!cluster.answers(Part::Redis));
        cluster.start_again(Part::Redis).unwrap();
        while !cluster.answers(Part::Redis) {
            assert_eq!(cluster.how_ended(Part::Redis).unwrap(), None);
        }
        assert_ne!(cluster.children[0].pid(), pid);
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

    fn running_in(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let lines = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).ok());
        lines.filter(|line| line.contains(dir.to_str().unwrap())).collect()
    }

    #[test]
    fn a_start_can_be_interrupted_and_leaves_nothing() {
        let temp = tempfile::tempdir().unwrap();
        // Redis shows another command line than it was started with, so only the brokers are seen for sure.
        let stop = || running_in(temp.path()).len() >= 3;
        let interrupted = start(Starting { stop: &stop, ..starting(&variant(), &site(temp.path())) });
        assert!(matches!(interrupted, Err(ClusterError::Interrupted)));
        assert_eq!(running_in(temp.path()), [""; 0]);
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_kept_cluster_outlives_its_value_until_the_command_ends_it() {
        let temp = tempfile::tempdir().unwrap();
        let (site, variant) = (site(temp.path()), variant());
        let held = Held::choose(0, 1).unwrap();
        let scratch = Scratch::create(&site.temp).unwrap();
        let endpoints = Endpoints { kafka: KafkaAccess::plaintext(vec![]), redis_url: String::new() };
        let (java, dir) = (Java::find(&site).unwrap(), scratch.path().to_path_buf());
        let redis = RedisNodes::new(RedisMode::Single, held.redis.clone());
        let starting = Starting { lifetime: Lifetime::Detached, ..starting(&variant, &site) };
        let child = redis.start(&starting, &dir).unwrap().remove(0);
        let (variant, own) = (variant.clone(), site.clone());
        let (children, network, lifetime) = (vec![], None, Lifetime::Detached);
        let mut cluster =
            LocalCluster { children, scratch, endpoints, network, redis, variant, java, site: own, lifetime, held };
        let redis = child;
        let pid = redis.pid();
        cluster.adopt(redis).unwrap();
        let end = cluster.keep().unwrap();
        drop(cluster);
        drop(Scratch::create(&site.temp).unwrap());
        assert!(start_time_ticks(pid).is_some() && dir.exists());
        assert!(end.ends_with(&format!(" cluster down {}", dir.display())), "{end}");
        KeptCluster::in_dir(&dir).unwrap().stop().unwrap();
        assert!(start_time_ticks(pid).is_none() && !dir.exists());
        assert_eq!(KeptCluster::in_dir(temp.path()), None, "no cluster is in it");
    }

    #[test]
    fn what_is_missing_or_refused_is_named_before_anything_starts() {
        let temp = tempfile::tempdir().unwrap();
        let (of, at) = (variant(), site(temp.path()));
        let (network, lifetime) = (Some(Scope::Whole), Lifetime::Detached);
        let kept = Starting { network, lifetime, ..starting(&of, &at) };
        assert!(start(kept).err().unwrap().to_string().contains("--keep-cluster"));
        let no_jars = Site { libs: "/nonexistent".into(), ..site(temp.path()) };
        assert!(matches!(refused(&variant(), &no_jars), ClusterError::Jars { .. }));
        let no_java = Site { path: Some("/nonexistent".into()), ..site(temp.path()) };
        assert!(refused(&variant(), &no_java).to_string().contains("`java` is not on PATH"));
        let text = refused(&variant(), &site(Path::new("/nonexistent"))).to_string();
        assert!(text.contains("in /nonexistent (") && text.contains("set TMPDIR"), "{text}");
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

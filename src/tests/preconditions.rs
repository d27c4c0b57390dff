//! Runs against a broker and Redis that others run, by IPv6: what of their settings contradicts a run, what they hold back,
//! and what they lose.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by unwrapping it")]

mod request;

use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
};
use shasta::{
    cli,
    cluster::{Addresses, Site},
    output::progress::Progress,
    run::{Finished, Request, RunError, Stop, run},
    variant::{ClusterKind, Engine, Layer},
};

/// A process that ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn quiet(program: &str, arguments: &[&str], dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Where nothing listens yet.
fn free() -> u16 {
    TcpListener::bind("[::1]:0").unwrap().local_addr().unwrap().port()
}

struct Others {
    _broker: Server,
    bootstrap: String,
    classes: String,
    dir: tempfile::TempDir,
}

impl Others {
    /// One broker that is known by an IPv6 address alone.
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (client, controller) = (free(), free());
        let classes = format!("{}/*", Site::from_env().libs.display());
        let properties = format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@[::1]:{controller}\n\
             listeners=PLAINTEXT://[::1]:{client},CONTROLLER://[::1]:{controller}\n\
             advertised.listeners=PLAINTEXT://[::1]:{client}\ncontroller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\nlog.dirs=data\n\
             offsets.topic.replication.factor=1\noffsets.topic.num.partitions=3\n\
             group.initial.rebalance.delay.ms=0\n# Of which a topic of a run must not hear:\nlog.cleanup.policy=compact\n\
             log.retention.ms=1000\nmessage.max.bytes=1000\n"
        );
        fs::write(dir.path().join("node.properties"), properties).unwrap();
        let java = |arguments: &[&str]| {
            let jvm = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", &classes];
            quiet("java", &[&jvm, arguments].concat(), dir.path())
        };
        let format = ["kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", "node.properties"];
        assert!(java(&format).status().unwrap().success());
        let broker = Server(java(&["kafka.Kafka", "node.properties"]).spawn().unwrap());
        let bootstrap = format!("[::1]:{client}");
        let admin = admin(&bootstrap);
        let started = Instant::now();
        while admin.inner().fetch_metadata(None, Duration::from_secs(1)).is_err() {
            assert!(started.elapsed() < Duration::from_secs(120), "the broker does not start");
        }
        Self { _broker: broker, bootstrap, classes, dir }
    }

    fn topic(&self, name: &str, settings: &[(&str, &str)]) {
        let topic = NewTopic::new(name, 4, TopicReplication::Fixed(1)).set("message.timestamp.type", "LogAppendTime");
        let topic =
            settings.iter().fold(topic.set("min.insync.replicas", "1"), |topic, (name, value)| topic.set(name, value));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let made = runtime.block_on(admin(&self.bootstrap).create_topics([&topic], &AdminOptions::new())).unwrap();
        made.into_iter().next().unwrap().unwrap();
    }

    /// Sets or deletes quotas of all clients.
    fn quota(&self, change: &[&str]) {
        let who =
            ["kafka.admin.ConfigCommand", "--bootstrap-server", &self.bootstrap, "--alter", "--entity-type", "clients"];
        let arguments = [&["-cp", &self.classes][..], &who, &["--entity-default"], change].concat();
        assert!(quiet("java", &arguments, self.dir.path()).status().unwrap().success());
    }

    fn request(&self, name: &str, redis_url: &str, more: impl FnOnce(&mut Layer)) -> Request {
        let span = |text: &str| text.parse().ok();
        let mut layer = Layer {
            cluster: Some(ClusterKind::External),
            connections: Some(10),
            rate: Some(5.0),
            duration: span("4s"),
            warm: span("2s"),
            partitions: Some(4),
            replication_factor: Some(1),
            min_insync_replicas: Some(1),
            seed: Some(7),
            ..Layer::default()
        };
        more(&mut layer);
        let addresses = Addresses {
            bootstrap: Some(self.bootstrap.clone()),
            redis_url: Some(redis_url.to_owned()),
            ..Addresses::default()
        };
        request::request(name, &self.dir.path().join("results"), Some(addresses), &layer)
    }
}

fn admin(bootstrap: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", bootstrap).set("log_level", "0").create().unwrap()
}

struct Redis {
    _server: Server,
    url: String,
}

impl Redis {
    fn start(settings: &[&str], dir: &Path) -> Self {
        let port = free();
        let port_text = port.to_string();
        let own = ["--bind", "::1", "--port", &port_text, "--save", "", "--appendonly", "no"];
        let server = Server(quiet("redis-server", &[&own, settings].concat(), dir).spawn().unwrap());
        let redis = Self { _server: server, url: format!("redis://[::1]:{port}") };
        while redis::Client::open(redis.url.as_str()).unwrap().get_connection().is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        redis
    }

    fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut connection = redis::Client::open(self.url.as_str()).unwrap().get_connection().unwrap();
        redis::cmd(words[0]).arg(&words[1..]).query(&mut connection).unwrap()
    }
}

fn balanced(finished: &Finished) {
    let manifest = &finished.manifest;
    let verification = manifest.verification.as_ref().unwrap();
    assert!(manifest.ledger.valid, "{:?} {:?}", manifest.ledger.problems, manifest.warnings);
    assert!(verification.passed, "{verification:?}");
}

/// The run's own topic does not hear of its broker's defaults; both engines, workers, readers, proof and Redis go by IPv6.
fn addresses_of_ipv6_are_gone_by(others: &Others, redis: &Redis) {
    for (name, engine) in [("light", Engine::Rskafka), ("heavy", Engine::Librdkafka)] {
        let request = others.request(name, &redis.url, |layer| (layer.engine, layer.readers) = (Some(engine), Some(1)));
        let finished = run(&request, &Stop::default(), &Progress::default()).unwrap();
        balanced(&finished);
        let manifest = &finished.manifest;
        assert_eq!(manifest.ledger.stored, 200);
        assert_eq!(manifest.cluster["addresses"], serde_json::json!([others.bootstrap]));
        assert_eq!(manifest.security["kafka"]["protocol"], "PLAINTEXT");
        assert_eq!(manifest.security["redis"], serde_json::json!({ "tls": false, "user": "default" }));
        let throttled = manifest.conduct.throttled.unwrap();
        assert!(throttled.producers.is_none() && throttled.consumers.is_none());
        assert!(manifest.warnings.is_empty(), "{:?}", manifest.warnings);
    }
}

fn refusal(others: &Others, redis: &Redis, more: impl FnOnce(&mut Layer)) -> String {
    run(&others.request("refused", &redis.url, more), &Stop::default(), &Progress::default()).unwrap_err().to_string()
}

fn settings_that_contradict_a_run_are_refused(others: &Others, redis: &Redis) {
    let fit = ("max.message.bytes", "1048588");
    others.topic("compacted", &[("cleanup.policy", "compact"), fit]);
    others.topic("small", &[("cleanup.policy", "delete"), ("max.message.bytes", "600")]);
    others.topic("short", &[("cleanup.policy", "delete"), ("retention.ms", "60000"), fit]);
    for (topic, said) in [
        ("compacted", "cleanup.policy: compact"),
        ("small", "max.message.bytes: 600"),
        ("short", "retention.ms: 60000"),
    ] {
        let told = refusal(others, redis, |layer| layer.topic = Some(topic.to_owned()));
        assert!(told.contains(said) && told.contains("--topic NAME"), "{topic}: {told}");
    }
    let full = Redis::start(&["--maxmemory", "1500kb", "--maxmemory-policy", "allkeys-lru"], others.dir.path());
    let told = refusal(others, &full, |layer| layer.bytes = Some(4_096));
    assert!(told.contains("maxmemory-policy allkeys-lru") && told.contains("raise maxmemory"), "{told}");
}

/// Redis evicts what it has acknowledged, though it had room when the run began.
fn evictions_are_blamed_on_redis(others: &Others) {
    let redis = Redis::start(&["--maxmemory", "1gb", "--maxmemory-policy", "allkeys-random"], others.dir.path());
    let request = others.request("evicted", &redis.url, |layer| {
        (layer.bytes, layer.topic) = (Some(4_096), Some("evicted".to_owned()));
        layer.duration = "6s".parse().ok();
    });
    let finished = std::thread::scope(|scope| {
        scope.spawn(|| {
            while redis.ask::<u64>(&["DBSIZE"]) < 30 {
                std::thread::sleep(Duration::from_millis(50));
            }
            std::thread::sleep(Duration::from_secs(4));
            let info: String = redis.ask(&["INFO", "memory"]);
            let used =
                info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap().trim().parse::<u64>().unwrap();
            let _: () = redis.ask(&["CONFIG", "SET", "maxmemory", &(used - 400_000).to_string()]);
        });
        run(&request, &Stop::default(), &Progress::default()).unwrap()
    });
    let manifest = &finished.manifest;
    assert!(manifest.warnings.iter().any(|text| text.contains("also those of the run")), "{:?}", manifest.warnings);
    assert!(manifest.ledger.problems.iter().any(|text| text.contains("evicted")), "{:?}", manifest.ledger);
    assert_eq!((manifest.ledger.set_aside, manifest.ledger.lost), (0, 0), "{:?}", manifest.set_aside);
    assert!(manifest.ledger.rewinds <= 2, "{} rewinds", manifest.ledger.rewinds);
}

fn quotas_are_named(others: &Others, redis: &Redis) {
    others.quota(&["--add-config", "producer_byte_rate=1800,consumer_byte_rate=10000"]);
    for (name, engine) in [("slow-light", Engine::Rskafka), ("slow-heavy", Engine::Librdkafka)] {
        let request = others.request(name, &redis.url, |layer| {
            (layer.engine, layer.topic) = (Some(engine), Some(name.to_owned()));
            layer.drain = "30s".parse().ok();
        });
        let finished = run(&request, &Stop::default(), &Progress::default()).unwrap();
        let manifest = &finished.manifest;
        let throttled = manifest.conduct.throttled.unwrap();
        assert!(throttled.producers.responses > 0 && throttled.producers.max_ms > 0, "{name}: {throttled:?}");
        assert!(throttled.consumers.responses > 0, "{name}: {throttled:?}");
        let told = manifest.warnings.iter().filter(|text| text.contains("client quota")).count();
        assert_eq!(told, 2, "{:?}", manifest.warnings);
        assert!(manifest.ledger.valid, "{:?}", manifest.ledger.problems);
        assert_eq!(manifest.ledger.duplicates, 0, "what was throttled must not be written again");
    }
    others.quota(&["--delete-config", "producer_byte_rate,consumer_byte_rate"]);
}

#[test]
fn runs_on_what_others_own() {
    if TcpListener::bind("[::1]:0").is_err() {
        // Past the test's captured output, so that `scripts/test` counts it.
        let _ = writeln!(std::io::stderr(), "SKIPPED: this machine has no ::1");
        return;
    }
    cli::log::show();
    let others = Others::start();
    let redis = Redis::start(&[], others.dir.path());
    addresses_of_ipv6_are_gone_by(&others, &redis);
    settings_that_contradict_a_run_are_refused(&others, &redis);
    evictions_are_blamed_on_redis(&others);
    quotas_are_named(&others, &redis);

    let nowhere = others.request("nowhere", "redis://no-such-host.invalid:6379", |_| ());
    let told = run(&nowhere, &Stop::default(), &Progress::default()).unwrap_err();
    assert!(matches!(told, RunError::Cluster(_)), "{told}");
    assert!(told.to_string().contains("name") && !told.to_string().contains("rediss"), "{told}");
}

//! What the integration benches run against: one set of brokers and Redis a bench program, which start with it and end
//! with it whatever happens. Where it ran is written beside Criterion's estimates, for the report.

#![allow(dead_code, reason = "no bench program needs all of it")]

pub mod redis_benchmark;
pub mod store_script;

use std::{fs, net::SocketAddr, path::PathBuf};

use shasta::{
    cluster::{self, Cluster, Endpoints, topic, topic::Topic},
    variant::{Layer, Variant},
};

/// Events are of this size, as in most runs, in bytes.
pub const BYTES: usize = 512;

/// Whether each bench only has to show that it works: `cargo test --benches`, or `cargo bench -- --test`.
pub fn test_mode() -> bool {
    let given = |flag: &str| std::env::args().any(|argument| argument == flag);
    given("--test") || !given("--bench")
}

/// Brokers and a Redis, with the settings of variant `laptop`.
pub struct BenchHarness {
    bench: String,
    brokers: usize,
    cluster: Box<dyn Cluster>,
    /// The settings.
    pub variant: Variant,
}

impl BenchHarness {
    /// Starts so many brokers, none where Redis is enough, in containers or not.
    pub fn start(bench: &str, brokers: usize) -> Self {
        let (_, variant) = Variant::load("laptop", &Layer::default()).expect("the repository has this variant");
        let progress = |line: &str| eprintln!("{bench}: {line}");
        let cluster = cluster::for_benches(&variant, brokers, &progress).unwrap_or_else(|error| panic!("{error}"));
        Self { bench: bench.to_owned(), brokers, cluster, variant }
    }

    /// How to reach both.
    pub fn endpoints(&self) -> &Endpoints {
        self.cluster.endpoints()
    }

    /// Where Redis listens.
    pub fn redis(&self) -> SocketAddr {
        let address = self.endpoints().redis_url.trim_start_matches("redis://");
        address.parse().expect("the harness's Redis has an address and no password")
    }

    /// Creates a topic.
    pub fn topic(&self, name: &str, partitions: u32, replication_factor: u16) -> Topic {
        let mut variant = self.variant.clone();
        (variant.topic, variant.partitions) = (name.to_owned(), partitions);
        variant.replication_factor = replication_factor;
        variant.min_insync_replicas = variant.min_insync_replicas.min(variant.replication_factor);
        topic::prepare(&self.endpoints().kafka, &variant, &|| false).unwrap_or_else(|error| panic!("{error}"))
    }
}

impl Drop for BenchHarness {
    // At the end, when brokers have surely said which version they are.
    fn drop(&mut self) {
        if test_mode() {
            return;
        }
        let settings = self.cluster.settings();
        let kafka = (self.brokers > 0).then_some(&settings["kafka_version"]);
        let told = serde_json::json!({
            "substrate": self.cluster.substrate(),
            "stand_ins": settings["stand_ins"],
            "kafka": kafka,
            "redis": settings["redis"]["server"]["redis_version"],
        });
        note(&format!("substrate-{}", self.bench), &told);
    }
}

/// Keeps a value of this run beside Criterion's estimates; the report is none the worse where that fails.
pub fn note(name: &str, value: &serde_json::Value) {
    let set = |name| std::env::var_os(name).map(PathBuf::from);
    let target = || set("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()).join("criterion");
    let directory = set("CRITERION_HOME").unwrap_or_else(target);
    let kept = fs::create_dir_all(&directory)
        .and_then(|()| fs::write(directory.join(format!("{name}.json")), value.to_string() + "\n"));
    if let Err(error) = kept {
        eprintln!("{name}: {error}");
    }
}

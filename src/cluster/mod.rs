//! What a run measures against: a Kafka cluster and a Redis, started here or given.
//!
//! Everything is synchronous. [`start`] gives a [`Cluster`]; [`topic::prepare`] then makes the run's topic on it.

mod access;
mod access_refusal;
mod addresses;
mod admin;
mod advice;
mod bench_cluster;
mod broker;
pub mod capacity;
mod client;
mod client_events;
#[cfg(feature = "containers")]
pub mod containers;
mod describe_configs;
mod effective_config;
mod error;
mod exit_diagnosis;
pub mod external;
mod kafka_home;
mod kept;
mod listeners;
pub mod local;
mod log_bounds;
pub mod network;
mod null;
mod parts;
mod ports;
pub mod proxy;
mod readiness;
mod redis_nodes;
pub mod redis_preconditions;
mod redis_server;
mod repeated_warnings;
mod scratch;
mod security;
mod storage;
pub mod throttle;
pub mod topic;
pub mod undecodable;

pub use access::{Endpoints, KafkaAccess, Scram, Secret, Security, redacted};
pub(crate) use access_refusal::{Right, readable};
pub use addresses::Addresses;
pub use bench_cluster::for_benches;
pub use client::{consumer_defaults, producer_defaults};
pub(crate) use client_events::{Heard, is_refusal};
pub use error::ClusterError;
pub use kafka_home::{KAFKA_VERSION, Site};
pub use kept::KeptCluster;
pub use log_bounds::{TopicNow, extents};
pub use parts::{Part, Parts};
#[cfg(test)]
pub(crate) use redis_nodes::Temporary as TemporaryNodes;
pub use repeated_warnings::Complaints;

use std::{path::PathBuf, sync::Arc};

use crate::{
    cluster::network::Network,
    machine::process::Lifetime,
    variant::{ClusterKind, Variant, fault::Party},
};

/// A running Kafka cluster and Redis. What was started for it ends when it drops.
pub trait Cluster {
    /// How to reach both, straight.
    fn endpoints(&self) -> &Endpoints;

    /// How one kind of client reaches both: through the network, where there is one.
    fn endpoints_of(&self, _party: Party) -> Endpoints {
        self.endpoints().clone()
    }

    /// What is between clients and servers, where the variant asks for one that can be changed.
    fn network(&self) -> Option<Arc<Network>> {
        None
    }

    /// `local`, `containers`, `external` or `null`.
    fn substrate(&self) -> &'static str;

    /// Name and process id of each child or container ("broker 1", "redis"), as far as they can be seen from here; none for
    /// an external cluster.
    fn processes(&self) -> Vec<(String, u32)>;

    /// The children or containers that have ended by themselves, each with its name, its exit status or signal, and why
    /// as far as its log says.
    ///
    /// # Errors
    /// When the operating system, or Docker, does not say.
    fn ended(&mut self) -> Result<Vec<String>, ClusterError>;

    /// Its parts that can be stopped and started again while a run goes on; none of a cluster that runs elsewhere.
    fn parts(&mut self) -> Option<&mut dyn Parts> {
        None
    }

    /// Settings and versions for the manifest, as the brokers and Redis report them. Asks them: a second at most
    /// when they answer.
    fn settings(&self) -> serde_json::Value;

    /// Kills a primary of Redis (SIGKILL) and has its replica take its place, in the ways of the variant's `redis_mode`:
    /// what the primary had acknowledged and not passed on is lost. Returns the name of the process, which is gone for
    /// good and in [`Cluster::processes`] no more.
    ///
    /// # Errors
    /// There is no replica, or nobody here may kill anything.
    fn failover_redis(&mut self) -> Result<String, ClusterError>;

    /// Leaves everything running after the drop, and returns the shell command that ends it. Only what was started
    /// with [`Lifetime::Detached`], or in containers, also outlives this process.
    ///
    /// # Errors
    /// When that cannot be recorded.
    fn keep(&mut self) -> Result<String, ClusterError>;
}

/// Starts or connects to the cluster that the variant names. `stop` is asked at least every 100 ms while children
/// start; `progress` gets a line at each step.
///
/// Call it from a thread that lives as long as the cluster should (the main thread): see [`crate::machine::process`].
///
/// # Errors
/// See [`local::start`], `containers::start` and [`external::connect`]; [`ClusterError::Interrupted`] when `stop` says so.
pub fn start(
    variant: &Variant,
    external: Option<Addresses>,
    lifetime: Lifetime,
    stop: &dyn Fn() -> bool,
    progress: &dyn Fn(&str),
) -> Result<Box<dyn Cluster>, ClusterError> {
    let external = external.unwrap_or_default();
    if let Some(flag) = external.first_flag().filter(|_| variant.cluster != ClusterKind::External) {
        return Err(ClusterError::NotExternal { flag });
    }
    match variant.cluster {
        ClusterKind::Local => {
            let (brokers, site, network) = (broker::NODES, &site(variant), variant.network_scope());
            Ok(Box::new(local::start(local::Starting { variant, brokers, site, network, lifetime, stop, progress })?))
        }
        ClusterKind::Containers => in_containers(variant, stop, progress),
        ClusterKind::Null => Ok(Box::new(null::Nothing::new())),
        ClusterKind::External => Ok(Box::new(external::connect(external.resolve()?, stop, progress)?)),
    }
}

#[cfg(feature = "containers")]
fn in_containers(
    variant: &Variant,
    stop: &dyn Fn() -> bool,
    progress: &dyn Fn(&str),
) -> Result<Box<dyn Cluster>, ClusterError> {
    let (brokers, pull) = (broker::NODES, containers::Pull::Missing);
    Ok(Box::new(containers::start(containers::Starting { variant, brokers, pull, stop, progress })?))
}

#[cfg(not(feature = "containers"))]
fn in_containers(_: &Variant, _: &dyn Fn() -> bool, _: &dyn Fn(&str)) -> Result<Box<dyn Cluster>, ClusterError> {
    Err(ClusterError::NeedsContainers)
}

/// This machine, with the directory that the variant wants its data in.
fn site(variant: &Variant) -> Site {
    let site = Site::from_env();
    Site { temp: variant.data_dir.clone().unwrap_or(site.temp), ..site }
}

/// Where the brokers and the Redis of this variant will keep their data; none where none is started.
///
/// # Errors
/// When Docker, which is asked, does not answer.
pub fn data_dir(variant: &Variant) -> Result<Option<PathBuf>, ClusterError> {
    match variant.cluster {
        ClusterKind::Local => Ok(Some(site(variant).temp)),
        #[cfg(feature = "containers")]
        ClusterKind::Containers => containers::data_dir().map(Some),
        #[cfg(not(feature = "containers"))]
        ClusterKind::Containers => Err(ClusterError::NeedsContainers),
        ClusterKind::External | ClusterKind::Null => Ok(None),
    }
}

/// Ends what would outlive this process if it ended without its destructors, as in a signal's handler.
pub fn end_at_once() {
    scratch::end_own();
    #[cfg(feature = "containers")]
    containers::remove_own();
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::*;
    use crate::variant::{Acks, Engine, GroupProtocol, RedisMode, Span};

    /// A small local variant, built by hand so that these tests depend on no file.
    pub(crate) fn variant() -> Variant {
        let seconds = |s| Span(Duration::from_secs(s));
        let map =
            |pairs: &[(&str, &str)]| BTreeMap::from_iter(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        Variant {
            fault: vec![],
            question: "does the cluster start?".to_owned(),
            published: None,
            connections: 100,
            rate: 1.0,
            jitter: 0.5,
            duration: seconds(10),
            warm: seconds(2),
            warm_again: None,
            drain: seconds(5),
            bytes: 512,
            tags_per_connection: 1,
            names_per_tag: 16,
            instances: 1,
            seed: None,
            engine: Engine::Rskafka,
            acks: Acks::All,
            producer_threads: 1,
            linger: seconds(0),
            backlog: 100,
            delivery_timeout: seconds(5),
            ramp: 80,
            workers: 2,
            group_protocol: GroupProtocol::CooperativeSticky,
            static_membership: false,
            commit_interval: seconds(1),
            batch_max: 500,
            lookahead: 1000,
            stream_maxlen: 1000,
            readers: 0,
            redis_rtt: seconds(0),
            cores_awake: false,
            slice: seconds(0),
            topic: "tag-data".to_owned(),
            partitions: 4,
            replication_factor: 3,
            min_insync_replicas: 2,
            cluster: ClusterKind::Local,
            kafka_image: None,
            redis_image: None,
            data_dir: None,
            redis_mode: RedisMode::Single,
            kafka_version: KAFKA_VERSION.to_owned(),
            broker_instance: None,
            broker_heap: "256m".to_owned(),
            broker_nice: 0,
            broker_jvm: vec!["-XX:+UseSerialGC".to_owned(), "-XX:TieredStopAtLevel=1".to_owned()],
            broker: map(&[
                ("num.io.threads", "2"),
                ("zookeeper.session.timeout.ms", "18000"),
                ("no.such.property", "1"),
            ]),
            consumer: BTreeMap::new(),
            redis: map(&[("appendonly", "yes"), ("appendfsync", "no"), ("save", "")]),
        }
    }

    #[test]
    fn data_goes_where_the_variant_wants_it_and_is_gone_with_the_cluster() {
        let dir = tempfile::tempdir().unwrap();
        let variant = Variant { data_dir: Some(dir.path().into()), ..variant() };
        assert_eq!(data_dir(&variant).unwrap().as_deref(), Some(dir.path()));
        let cluster = start(&variant, None, Lifetime::WithParent, &|| false, &|_| ()).unwrap();
        let own = dir.path().read_dir().unwrap().next().unwrap().unwrap().path();
        assert!(own.join("broker-3/data").is_dir(), "{own:?}");
        drop(cluster);
        assert_eq!(dir.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn addresses_for_a_local_cluster_are_refused() {
        let addresses = Addresses { bootstrap: Some("a:1".to_owned()), ..Addresses::default() };
        let error = start(&variant(), Some(addresses), Lifetime::WithParent, &|| false, &|_| ()).err().unwrap();
        assert!(error.to_string().contains("--cluster external"), "{error}");
    }
}

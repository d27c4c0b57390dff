//! One redis-server child and its settings.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path, time::Duration};

use redis::{Client, Connection};
use serde_json::{Map, Value, json};

use super::{ClusterError, error::file_error, kafka_home::Site, scratch::write};
use crate::{
    machine::process::{Child, Lifetime, Spawn, Streams},
    variant::{ClusterKind, reserved},
};
use shasta_reader::topology::{self, Primaries, Seeds};

/// Refuses the variant's settings that only the harness can choose.
pub(super) fn check_settings(settings: &BTreeMap<String, String>) -> Result<(), ClusterError> {
    for (name, value) in settings {
        if let Some(why) = reserved("redis", name, ClusterKind::Local) {
            return Err(ClusterError::Owned { section: "redis", name: name.clone(), why });
        }
        if value.contains(['\n', '\r']) || name.contains(char::is_whitespace) {
            return Err(ClusterError::LineBreak { section: "redis", name: name.clone() });
        }
    }
    Ok(())
}

/// What a Redis is among others.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// It knows no others, or waits for replicas.
    Alone,
    /// Of the one at this port of 127.0.0.1.
    ReplicaOf(u16),
    /// Of a cluster.
    Member {
        /// Where the other nodes reach it.
        bus_port: u16,
    },
}

/// Where a Redis runs: its name, its directory for data and log, its port of 127.0.0.1, and its part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) name: &'a str,
    pub(super) dir: &'a Path,
    pub(super) port: u16,
    pub(super) part: Part,
}

/// Starts a Redis.
pub(super) fn start(
    site: &Site,
    Place { name, dir, port, part }: Place<'_>,
    settings: &BTreeMap<String, String>,
    lifetime: Lifetime,
) -> Result<Child, ClusterError> {
    fs::create_dir_all(dir).map_err(file_error(dir, "created"))?;
    let program = site.program("redis-server", "redis-server")?;
    let mut config = format!("bind 127.0.0.1\nport {port}\ndir \"{}\"\ndaemonize no\n", dir.display());
    // What a variant for an external Redis leaves open; the last line of a name counts.
    config.push_str("appendonly yes\nappendfsync no\nsave \"\"\n");
    match part {
        Part::Alone => {}
        // The first copy is asked for at once and goes over the socket: nothing waits for a disk.
        Part::ReplicaOf(primary) => {
            write!(config, "replicaof 127.0.0.1 {primary}\nrepl-diskless-sync yes\nrepl-diskless-sync-delay 0\n")
                .expect("a String takes every write");
        }
        // A shard that is lost does not stop the others.
        Part::Member { bus_port } => {
            write!(config, "cluster-enabled yes\ncluster-port {bus_port}\ncluster-node-timeout 5000\n")
                .expect("a String takes every write");
            config.push_str("cluster-require-full-coverage no\nrepl-diskless-sync yes\nrepl-diskless-sync-delay 0\n");
        }
    }
    for (name, value) in settings {
        let value = if value.is_empty() { "\"\"" } else { value };
        writeln!(config, "{name} {value}").expect("a String takes every write");
    }
    let file = dir.join("redis.conf");
    write(&file, &config)?;
    let spawn = Spawn::new(name, program, Streams::Log(dir.join("redis.log"))).args([file]).dir(dir).lifetime(lifetime);
    Ok(spawn.start()?)
}

/// Connects to the one node of a URL and pings it within `limit`.
///
/// # Errors
/// The client's; none of them holds the password.
pub(super) fn ping(url: &str, limit: Duration) -> redis::RedisResult<Connection> {
    let mut connection = Client::open(url)?.get_connection_with_timeout(limit)?;
    connection.set_read_timeout(Some(limit))?;
    redis::cmd("PING").query::<String>(&mut connection)?;
    Ok(connection)
}

/// Version and configuration for the manifest; what the server refuses to tell is said so.
pub(super) fn described(url: &str) -> Value {
    const ANSWER_MAX: Duration = Duration::from_secs(5);
    let mut primaries = match Seeds::parse(url).and_then(|seeds| Primaries::connect(seeds, ANSWER_MAX)) {
        Ok(primaries) => primaries,
        Err(error) => return json!({ "error": error.to_string() }),
    };
    let addresses: Vec<_> = primaries.map().nodes().iter().map(ToString::to_string).collect();
    let found = if primaries.map().is_cluster() { "cluster" } else { "one primary" };
    let described = match primaries.node(0) {
        Ok(connection) => of_one(connection),
        Err(error) => json!({ "error": error.to_string() }),
    };
    let [server, memory, config] = ["server", "memory", "config"].map(|part| &described[part]);
    json!({ "found": found, "primaries": addresses, "server": server, "memory": memory, "config": config })
}

fn of_one(connection: &mut Connection) -> Value {
    let server = match redis::cmd("INFO").arg("server").query::<String>(connection) {
        Ok(info) => info_fields(&info),
        Err(error) => json!({ "error": error.to_string() }),
    };
    // Rented ones (MemoryDB) do not have CONFIG, and say by INFO what decides whether they evict.
    let memory = match topology::info(connection) {
        Ok(info) => {
            json!(info.into_iter().filter(|(name, _)| MEMORY.contains(&name.as_str())).collect::<BTreeMap<_, _>>())
        }
        Err(error) => json!({ "error": error.to_string() }),
    };
    let config = match redis::cmd("CONFIG").arg("GET").arg("*").query::<BTreeMap<String, String>>(connection) {
        Ok(config) => json!(config.into_iter().filter(|(name, _)| !is_secret(name)).collect::<BTreeMap<_, _>>()),
        Err(error) => json!({ "error": error.to_string() }),
    };
    json!({ "server": server, "memory": memory, "config": config })
}

const MEMORY: [&str; 4] = ["maxmemory", "maxmemory_policy", "used_memory", "evicted_keys"];

fn is_secret(setting: &str) -> bool {
    setting.contains("pass") || setting.contains("auth")
}

fn info_fields(info: &str) -> Value {
    let pairs = info.lines().filter_map(|line| line.trim_end().split_once(':'));
    Value::Object(pairs.map(|(name, value)| (name.to_owned(), Value::from(value))).collect::<Map<_, _>>())
}

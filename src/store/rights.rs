//! Which of the commands and keys that a run uses this user of Redis may not use, all of them at once and before anything
//! is written. Inside of the store's script Redis says only that one of them is refused, not which.
//!
//! Each is asked for within a transaction that is never executed: Redis looks at the rights when it queues a command.

use std::time::Duration;

use redis::{Cmd, Connection, RedisError, RedisResult, Value, cmd};

use super::SCRIPT;
use shasta_reader::topology::{Address, Seeds};

/// What the user may not do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missing {
    /// Commands, as access control lists name them.
    pub commands: Vec<&'static str>,
    /// The keys of the run.
    pub keys: bool,
}

/// Whether Redis will refuse the same until somebody grants a right, or corrects a password.
pub fn is_refusal(error: &RedisError) -> bool {
    matches!(error.code(), Some("NOPERM" | "NOAUTH" | "WRONGPASS"))
        || error.kind() == redis::ErrorKind::AuthenticationFailed
        // As Redis puts it when a script runs into it.
        || error.detail().is_some_and(|text| text.contains("The user executing the script can't"))
}

/// Asks a node for all that a run uses, and for what its proof reads, if there is to be one.
///
/// # Errors
/// The node is away, or answers with anything but a refusal.
pub fn missing(seeds: &Seeds, node: &Address, verify: bool, limit: Duration) -> RedisResult<Missing> {
    let mut connection = seeds.open(node, limit)?;
    let mut missing = Missing::default();
    if !allowed(&mut connection, "multi", &cmd("MULTI"), &mut missing)? {
        // Without it, what follows would be done.
        return Ok(missing);
    }
    let proof = if verify { PROOF.as_slice() } else { &[] };
    for (name, words) in RUN.iter().chain(proof) {
        let mut command = Cmd::new();
        command.arg(*words);
        allowed(&mut connection, name, &command, &mut missing)?;
    }
    Ok(missing)
    // With its connection, the transaction is forgotten.
}

const META: &str = "shasta:{shasta/0/load}:meta";
const DELTA: &str = "shasta:{shasta/0/load}:delta";
const SNAPSHOT: &str = "shasta:{shasta/0/load}:snapshot";
const GENERATION: &str = "shasta:generation:-:-";
const TOPIC: &str = "shasta:topic:-:-";

/// Name, and a call as a run makes it.
type Call = (&'static str, &'static [&'static str]);

const RUN: [Call; 15] = [
    ("ping", &["PING"]),
    ("scan", &["SCAN", "0"]),
    ("get", &["GET", GENERATION]),
    ("set", &["SET", GENERATION, "0"]),
    ("lrange", &["LRANGE", TOPIC, "0", "0"]),
    ("rpush", &["RPUSH", TOPIC, "0"]),
    ("del", &["DEL", TOPIC]),
    ("eval", &["EVAL", "return 0", "1", GENERATION]),
    ("evalsha", &["EVALSHA", "-", "1", META]),
    ("script|load", &["SCRIPT", "LOAD", SCRIPT]),
    ("hmget", &["HMGET", META, "-"]),
    ("hget", &["HGET", META, "-"]),
    ("hlen", &["HLEN", SNAPSHOT]),
    ("hset", &["HSET", SNAPSHOT, "-", "-"]),
    ("xadd", &["XADD", DELTA, "*", "-", "-"]),
];

const PROOF: [Call; 3] =
    [("xlen", &["XLEN", DELTA]), ("xrange", &["XRANGE", DELTA, "-", "+"]), ("hscan", &["HSCAN", SNAPSHOT, "0"])];

/// Whether a command is queued, or would be at the node that has the key.
fn allowed(connection: &mut Connection, name: &'static str, command: &Cmd, missing: &mut Missing) -> RedisResult<bool> {
    match command.query::<Value>(connection) {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Some("NOPERM") => {
            let text = error.detail().unwrap_or_default();
            // `… to access one of the keys used as arguments`, `No permissions to access a key`
            if text.contains("access") {
                missing.keys = true
            } else {
                missing.commands.push(name)
            }
            Ok(false)
        }
        Err(error) if error.is_io_error() || error.is_timeout() => Err(error),
        // MOVED, and what else comes after the rights: out of memory, a replica.
        Err(_) => Ok(true),
    }
}

impl Missing {
    /// What is missing and how it is granted; `None` where nothing is.
    pub fn told(&self, user: Option<&str>) -> Option<String> {
        let rules: Vec<_> = self
            .keys
            .then(|| "~shasta:*".to_owned())
            .into_iter()
            .chain(self.commands.iter().map(|name| format!("+{name}")))
            .collect();
        let (rules, user) = (rules.join(" "), user.unwrap_or("default"));
        (!rules.is_empty()).then(|| format!("its user `{user}` lacks {rules}; grant that: ACL SETUSER {user} {rules}"))
    }
}

#[cfg(test)]
mod server_tests {
    use super::*;
    use crate::{cluster::TemporaryNodes, variant::RedisMode};

    const LIMIT: Duration = Duration::from_secs(5);

    fn nodes(mode: RedisMode, rules: &[&str]) -> (TemporaryNodes, Seeds) {
        let nodes = TemporaryNodes::new(mode, &[]);
        let mut acl = cmd("ACL");
        acl.arg("SETUSER").arg("least").arg("on").arg(">s3cret").arg(rules);
        acl.exec(&mut nodes.node(0)).unwrap();
        let seeds = Seeds::parse(&format!("redis://least:s3cret@{}", nodes.address(0))).unwrap();
        (nodes, seeds)
    }

    #[test]
    fn each_command_and_the_keys_are_named_and_nothing_is_written() {
        let (nodes, seeds) =
            nodes(RedisMode::Single, &["~shasta:*", "+@all", "-hset", "-xadd", "-script|load", "-xlen"]);
        let found = |verify| missing(&seeds, &nodes.address(0), verify, LIMIT).unwrap();
        assert_eq!(found(false).commands, ["script|load", "hset", "xadd"]);
        assert_eq!(found(true).commands, ["script|load", "hset", "xadd", "xlen"]);
        let told = found(false).told(Some("least")).unwrap();
        assert!(told.ends_with("ACL SETUSER least +script|load +hset +xadd"), "{told}");
        cmd("ACL")
            .arg("SETUSER")
            .arg("least")
            .arg(&["resetkeys", "~other:*", "+@all"])
            .exec(&mut nodes.node(0))
            .unwrap();
        assert_eq!(found(true), Missing { commands: vec![], keys: true });
        cmd("ACL").arg("SETUSER").arg("least").arg("-multi").exec(&mut nodes.node(0)).unwrap();
        assert_eq!(found(true), Missing { commands: vec!["multi"], keys: false });
        assert_eq!(cmd("DBSIZE").query::<u64>(&mut nodes.node(0)).unwrap(), 0);
    }

    #[test]
    fn a_node_of_a_cluster_says_it_also_of_keys_that_are_another_nodes() {
        let (nodes, seeds) = nodes(RedisMode::Cluster, &["~shasta:*", "+@all", "-hset"]);
        assert_eq!(missing(&seeds, &nodes.address(0), true, LIMIT).unwrap().commands, ["hset"]);
        assert_eq!(Missing::default().told(None), None);
    }
}

//! Whether a Redis can keep what a run stores in it, by what it says of itself: asked before anything is written, of every
//! primary.
//!
//! `INFO` says it where `CONFIG` is blocked (MemoryDB). A user that may not ask is told what was not checked.

use std::collections::{BTreeMap, BTreeSet};

use redis::{Connection, RedisResult, Value};

use super::capacity::{redis_bytes_least, redis_bytes_of_one};
use crate::machine::limits::gib;
use crate::variant::Variant;
use shasta_reader::topology::{Primaries, info};

/// The first version with all that the store, the readers and the proof use (`XRANGE (`).
const VERSION_MIN: (u32, u32) = (6, 2);
/// What a run calls.
const COMMANDS: [&str; 18] = [
    "del", "eval", "evalsha", "exec", "get", "hget", "hlen", "hmget", "hscan", "hset", "lrange", "multi", "rpush",
    "scan", "script", "set", "xadd", "xrange",
];
/// How much more than its share a primary of a cluster may have.
const UNEVEN: f64 = 1.3;

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fit {
    /// With these the run could not be right.
    pub problems: Vec<String>,
    /// What is to be known beside it.
    pub remarks: Vec<String>,
}

/// Judges every primary. With `reused`, what a run stores may take the place of what is there.
///
/// # Errors
/// A connection breaks.
pub fn judge(redis: &mut Primaries, variant: &Variant, reused: bool) -> RedisResult<Fit> {
    let mut fit = Fit::default();
    let uncovered = redis.map().uncovered();
    if uncovered > 0 {
        fit.problems.push(format!(
            "{uncovered} of its 16,384 slots belong to no node, and no tag in one of them can be stored; see CLUSTER SLOTS, \
             and assign them (redis-cli --cluster fix)"
        ));
    }
    let primaries = redis.map().nodes().to_vec();
    let share = if primaries.len() > 1 { UNEVEN / primaries.len() as f64 } else { 1.0 };
    let (mut unasked, mut remarks) = (BTreeSet::new(), BTreeSet::new());
    for (index, address) in primaries.iter().enumerate() {
        let node = redis.node(index)?;
        let whose = if primaries.len() > 1 { format!("{address}: ") } else { String::new() };
        let mut problem = |text: String| fit.problems.push(format!("{whose}{text}"));
        match answered(info(node))? {
            Ok(info) => {
                release(&info).into_iter().for_each(&mut problem);
                let (full, told) = memory(&info, variant, share, reused);
                full.into_iter().for_each(&mut problem);
                remarks.extend(told.map(|text| format!("{whose}{text}")));
            }
            Err(why) => {
                unasked.insert(format!("its memory, eviction policy and version were not checked ({why})"));
            }
        }
        match answered(missing(node))? {
            Ok(missing) if missing.is_empty() => {}
            Ok(missing) => problem(format!(
                "it has no command {}: renamed, disabled or not of this version; let it have these under their own names",
                missing.join(", ").to_uppercase()
            )),
            // Least rights do not contain COMMAND; what is missing then shows as soon as it is used.
            Err(_) => {}
        }
    }
    fit.remarks = unasked.into_iter().chain(remarks).map(|text| format!("Redis: {text}")).collect();
    Ok(fit)
}

/// A refusal is an answer; a connection that breaks is none.
fn answered<T>(asked: RedisResult<T>) -> RedisResult<Result<T, String>> {
    match asked {
        Err(error) if error.code().is_none() => Err(error),
        other => Ok(other.map_err(|error| error.to_string())),
    }
}

fn missing(node: &mut Connection) -> RedisResult<Vec<&'static str>> {
    let known: Vec<Value> = redis::cmd("COMMAND").arg("INFO").arg(&COMMANDS[..]).query(node)?;
    let told = COMMANDS.into_iter().zip(known);
    Ok(told.filter(|(_, known)| matches!(known, Value::Nil)).map(|(name, _)| name).collect())
}

/// What is wrong with its version and its part.
fn release(info: &BTreeMap<String, String>) -> Vec<String> {
    let mut problems = Vec::new();
    let version = info.get("redis_version").map_or("", String::as_str);
    let mut numbers = version.split('.').map(str::parse);
    if let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next())
        && (major, minor) < VERSION_MIN
    {
        let (major, minor) = VERSION_MIN;
        problems.push(format!("it is Redis {version}, and {major}.{minor} or later is needed"));
    }
    if info.get("role").is_some_and(|role| role == "slave") {
        let [host, port] = ["master_host", "master_port"].map(|name| info.get(name).map_or("?", String::as_str));
        problems.push(format!("it is a replica and takes no writes; name its primary, {host} port {port}"));
    }
    problems
}

/// Whether there is room for the run, and what happens when there is none: why there is not, and what may come.
fn memory(
    info: &BTreeMap<String, String>,
    variant: &Variant,
    share: f64,
    reused: bool,
) -> (Option<String>, Option<String>) {
    let bytes = |name: &str| info.get(name).and_then(|value| value.parse::<u64>().ok());
    let (Some(maxmemory), Some(used)) = (bytes("maxmemory"), bytes("used_memory")) else {
        return (None, Some("it does not say how much memory it may use, so the room was not checked".to_owned()));
    };
    if maxmemory == 0 {
        return (None, None);
    }
    let policy = info.get("maxmemory_policy").map_or("", String::as_str);
    let room = maxmemory.saturating_sub(used);
    let [need, least] =
        [redis_bytes_of_one(variant), redis_bytes_least(variant)].map(|all| (all as f64 * share) as u64);
    let state =
        format!("maxmemory {}, {} of it free, and the run stores up to {}", gib(maxmemory), gib(room), gib(need));
    let remedy =
        "raise maxmemory, or store less (--bytes, --duration, --names-per-tag, --stream-maxlen, --connections)";
    // Only keys that expire are evicted by the others, and ours do not.
    let evicts = policy.starts_with("allkeys-");
    if evicts && need > room {
        return (
            Some(format!(
                "it would evict keys of the run (maxmemory-policy {policy}; {state}); {remedy}, or set noeviction"
            )),
            None,
        );
    }
    if !evicts && least > room && !reused {
        return (Some(format!("it has no room for the run (maxmemory-policy {policy}; {state}); {remedy}")), None);
    }
    let told = if evicts {
        Some(format!("it evicts keys when it is full, also those of the run (maxmemory-policy {policy}; {state})"))
    } else {
        (need > room).then(|| format!("it may be full before the run ends, and then refuses writes ({state})"))
    };
    (None, told)
}

#[cfg(test)]
mod server_tests {
    use std::time::Duration;

    use super::*;
    use crate::{cluster::TemporaryNodes, variant::RedisMode};
    use shasta_reader::topology::Seeds;

    fn judged(redis: &TemporaryNodes, url: &str, reused: bool) -> Fit {
        let mut primaries = Primaries::connect(Seeds::parse(url).unwrap(), Duration::from_secs(5)).unwrap();
        assert!(!redis.url().is_empty());
        judge(&mut primaries, &crate::cluster::tests::variant(), reused).unwrap()
    }

    #[test]
    fn what_would_evict_or_refuse_the_runs_keys_is_told_before() {
        let redis = TemporaryNodes::new(RedisMode::Single, &[("rename-command", "HSCAN \"\"")]);
        let set = |name: &str, value: &str| {
            redis::cmd("CONFIG").arg("SET").arg(name).arg(value).exec(&mut redis.node(0)).unwrap()
        };
        let found = |reused| judged(&redis, &redis.url(), reused);
        let first = found(false);
        assert_eq!(first.remarks, Vec::<String>::new());
        assert!(first.problems.len() == 1 && first.problems[0].contains("no command HSCAN"), "{first:?}");

        set("maxmemory", "1500kb");
        set("maxmemory-policy", "allkeys-lru");
        let problem = &found(true).problems[0];
        assert!(problem.contains("maxmemory-policy allkeys-lru") && problem.contains("set noeviction"), "{problem}");
        set("maxmemory-policy", "volatile-lru");
        assert!(found(false).problems[0].contains("no room for the run"), "{:?}", found(false));
        // What is there may be what is overwritten.
        let reused = found(true);
        assert!(reused.problems.len() == 1 && reused.remarks[0].contains("may be full"), "{reused:?}");
        set("maxmemory", "1gb");
        set("maxmemory-policy", "allkeys-lfu");
        let roomy = found(false);
        assert!(roomy.problems.len() == 1 && roomy.remarks[0].contains("also those of the run"), "{roomy:?}");

        // One that may not ask, as on MemoryDB with least rights.
        redis::cmd("ACL")
            .arg(&["SETUSER", "least", "on", ">x", "~*", "+@all", "-info", "-command"])
            .exec(&mut redis.node(0))
            .unwrap();
        let blind = judged(&redis, &redis.url().replace("redis://", "redis://least:x@"), false);
        assert!(blind.problems.is_empty() && blind.remarks[0].contains("were not checked"), "{blind:?}");
    }

    #[test]
    fn slots_that_nobody_has_are_told() {
        let redis = TemporaryNodes::new(RedisMode::Cluster, &[]);
        assert_eq!(judged(&redis, &redis.url(), false), Fit::default());
        redis::cmd("CLUSTER").arg("DELSLOTS").arg(1).arg(2).exec(&mut redis.node(0)).unwrap();
        let one = format!("redis://{}", redis.address(0));
        let found = judged(&redis, &one, false);
        assert!(found.problems[0].starts_with("2 of its 16,384 slots"), "{found:?}");
    }

    #[test]
    fn versions_and_parts_that_cannot_serve_are_told() {
        let of = |pairs: &[(&str, &str)]| {
            release(&pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
        };
        assert!(of(&[("redis_version", "6.0.16")])[0].contains("6.2 or later"));
        assert_eq!(of(&[("redis_version", "6.2.0"), ("role", "master")]), Vec::<String>::new());
        assert_eq!(of(&[("redis_version", "unstable")]), Vec::<String>::new());
        let replica = of(&[("role", "slave"), ("master_host", "10.0.0.1"), ("master_port", "6379")]);
        assert!(replica[0].contains("10.0.0.1 port 6379"));
    }
}

//! Against a real Redis: what storing does, and what is told when it cannot.

use std::collections::HashMap;

use redis::{Client, Commands, Connection};

use super::*;
use crate::{cluster::TemporaryNodes, variant::RedisMode};
use shasta_model::tag_data::Identifier;
use shasta_reader::topology::Seeds;

struct Bench {
    nodes: TemporaryNodes,
    client: Client,
    connection: Connection,
}

impl Bench {
    fn new() -> Self {
        Self::of(&[])
    }

    fn of(settings: &[(&str, &str)]) -> Self {
        let nodes = TemporaryNodes::new(RedisMode::Single, settings);
        let client = Client::open(nodes.url()).unwrap();
        let connection = client.get_connection().unwrap();
        Self { nodes, client, connection }
    }

    /// Kills it and starts it again with the same data.
    fn restart(&mut self, settings: &[(&str, &str)]) {
        self.nodes.kill("redis");
        self.nodes.start_again(0, settings);
        while self.client.get_connection().map(|connection| self.connection = connection).is_err() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn store(&self, run: &str, generation: u64) -> Store {
        let timeout = Duration::from_secs(5);
        Store::connect(&self.client, Settings { generation, run: run.into(), stream_maxlen: 100, timeout }).unwrap()
    }

    fn entries(&mut self) -> Vec<(String, HashMap<String, String>)> {
        redis::cmd("XRANGE").arg("shasta:{a/t/s}:delta").arg("-").arg("+").query(&mut self.connection).unwrap()
    }

    fn meta(&mut self) -> HashMap<String, String> {
        self.connection.hgetall("shasta:{a/t/s}:meta").unwrap()
    }
}

fn write(offset: i64, sequence: u64, name: &str, data: &str) -> Write {
    let identifier = Identifier { app_id: "a".into(), tag: "t".into(), scope: "s".into(), name: name.into() };
    let author = Some(Author { producer: 3, sequence, warm: false });
    Write { event: TagData { identifier: Some(identifier), data: data.into() }, partition: 0, offset, author }
}

fn pairs(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

#[test]
fn an_event_is_a_hash_field_and_a_chained_stream_entry() {
    let mut bench = Bench::new();
    let mut store = bench.store("r", 1);
    let applied = store.apply(&[write(41, 0, "x", "1"), write(45, 1, "y", "2"), write(46, 2, "x", "3")]).unwrap();
    assert_eq!(applied, vec![Effect::Applied; 3]);
    let snapshot: HashMap<String, String> = bench.connection.hgetall("shasta:{a/t/s}:snapshot").unwrap();
    assert_eq!(snapshot, pairs(&[("x", "3"), ("y", "2")]));
    let entry = |id: &str, name, data, previous| {
        (id.to_owned(), pairs(&[("name", name), ("data", data), ("previous", previous)]))
    };
    let expected = [entry("1-42", "x", "1", "0-0"), entry("1-46", "y", "2", "1-42"), entry("1-47", "x", "3", "1-46")];
    assert_eq!(bench.entries(), expected);
    assert_eq!(bench.meta(), pairs(&[("version", "1-47"), ("run", "r"), ("sequence:3", "2")]));
}

#[test]
fn redelivered_late_and_retried_events_change_nothing() {
    let mut bench = Bench::new();
    let mut store = bench.store("r", 2);
    store.apply(&[write(10, 5, "x", "1"), write(11, 6, "x", "2")]).unwrap();
    let before = (bench.entries(), bench.meta());
    let again = [write(11, 6, "x", "2"), write(10, 5, "x", "1"), write(12, 6, "x", "2"), write(13, 5, "x", "1")];
    assert_eq!(store.apply(&again).unwrap(), vec![Effect::Stale; 4]);
    // A worker that has slept through a new generation of the topic.
    assert_eq!(bench.store("r", 1).apply(&[write(99, 9, "x", "old")]).unwrap(), [Effect::Stale]);
    assert_eq!((bench.entries(), bench.meta()), before);
}

#[test]
fn a_new_generation_and_a_new_run_begin_anew() {
    let mut bench = Bench::new();
    bench.store("r", 1).apply(&[write(1_000, 9, "x", "1")]).unwrap();
    assert_eq!(bench.store("r2", 2).apply(&[write(0, 0, "x", "2")]).unwrap(), [Effect::Applied]);
    assert_eq!(bench.meta(), pairs(&[("version", "2-1"), ("run", "r2"), ("sequence:3", "0")]));
    assert_eq!(bench.entries()[1].1["previous"], "1-1001");
}

#[test]
fn flushed_scripts_are_loaded_again() {
    let mut bench = Bench::new();
    let mut store = bench.store("r", 1);
    redis::cmd("SCRIPT").arg("FLUSH").exec(&mut bench.connection).unwrap();
    assert_eq!(store.apply(&[write(0, 0, "x", "1")]).unwrap(), [Effect::Applied]);
}

#[test]
fn an_event_of_a_tag_whose_meta_hash_was_evicted_is_not_at_fault() {
    let mut bench = Bench::new();
    bench.store("r", 1).apply(&[write(10, 5, "x", "1"), write(11, 6, "x", "2")]).unwrap();
    let _: () = bench.connection.del("shasta:{a/t/s}:meta").unwrap();
    // Delivered again to a worker that has just got the partition: the stream has it already.
    assert_eq!(bench.store("r", 1).apply(&[write(10, 5, "x", "1")]).unwrap(), [Effect::Stale]);
    let mut store = bench.store("r", 1);
    assert_eq!(store.apply(&[write(12, 7, "x", "3")]).unwrap(), [Effect::Applied]);
    assert!(!store.has_evicted(), "somebody deleted it");
}

#[test]
fn a_key_of_another_type_is_refused_whole_and_the_rest_is_stored() {
    let mut bench = Bench::new();
    let mut store = bench.store("r", 1);
    for key in ["snapshot", "delta", "meta"] {
        let key = format!("shasta:{{a/t/s}}:{key}");
        let _: () = bench.connection.set(&key, "not ours").unwrap();
        let mut other = write(1, 0, "x", "1");
        other.event.identifier.as_mut().unwrap().tag = format!("for {key}");
        let effects = store.apply(&[write(0, 0, "x", "1"), other]).unwrap();
        assert!(matches!(&effects[0], Effect::Refused(reason) if reason.contains("WRONGTYPE")), "{effects:?}");
        assert_eq!(effects[1], Effect::Applied);
        let keys: Vec<String> = bench.connection.keys("shasta:{a/t/s}:*").unwrap();
        assert_eq!(keys, std::slice::from_ref(&key), "nothing else was written");
        let _: () = bench.connection.del(&key).unwrap();
    }
}

#[test]
fn what_others_put_under_our_keys_is_refused_and_holds_nobody_up() {
    let mut bench = Bench::new();
    let mut store = bench.store("r", 1);
    let key = |part: &str| format!("shasta:{{a/t/s}}:{part}");
    let mut rounds = 0;
    let mut refused = |store: &mut Store, connection: &mut Connection, word: &str| {
        rounds += 1;
        let mut other = write(1, 0, "x", "1");
        other.event.identifier.as_mut().unwrap().tag = format!("beside {rounds}");
        // Several of the tag, of which none waits for another.
        let batch = [write(0, 0, "x", "1"), write(1, 1, "x", "1"), write(2, 2, "x", "1"), other];
        let effects = store.apply(&batch).unwrap();
        for effect in &effects[..3] {
            assert!(matches!(effect, Effect::Refused(reason) if reason.contains(word)), "{effects:?}");
        }
        assert_eq!(effects[3], Effect::Applied);
        let _: () = connection.del(&[key("snapshot"), key("delta"), key("meta")]).unwrap();
    };
    for version in ["seven", "1", "1-x", ""] {
        let _: () = bench.connection.hset(key("meta"), "version", version).unwrap();
        refused(&mut store, &mut bench.connection, "not what the store writes");
    }
    let _: () = bench.connection.hset(key("meta"), "sequence:3", "many").unwrap();
    refused(&mut store, &mut bench.connection, "not what the store writes");
    let stream =
        redis::cmd("XADD").arg(key("delta")).arg("9-9").arg(&[("temperature", "21")]).exec(&mut bench.connection);
    stream.unwrap();
    refused(&mut store, &mut bench.connection, "equal or smaller");
    let last = format!("{0}-{0}", u64::MAX);
    redis::cmd("XADD").arg(key("delta")).arg(last).arg(&[("a", "b")]).exec(&mut bench.connection).unwrap();
    refused(&mut store, &mut bench.connection, "");
    // A field of another program in our hash is nobody's business.
    let _: () = bench.connection.hset(key("snapshot"), &b"\xff"[..], "theirs").unwrap();
    assert_eq!(store.apply(&[write(5, 5, "x", "1")]).unwrap(), [Effect::Applied]);
}

#[test]
fn a_tag_is_any_text() {
    let mut bench = Bench::new();
    let mut store = bench.store("r", 1);
    let odd = ["{}", "a{b}c", "\0", "", "ü/%", &"x".repeat(64 << 10)];
    let batch = odd.iter().zip(0..).map(|(tag, offset)| {
        let mut write = write(offset, offset as u64, "x\0", "1");
        write.event.identifier.as_mut().unwrap().tag = (*tag).to_owned();
        write
    });
    let batch: Vec<Write> = batch.collect();
    assert_eq!(store.apply(&batch).unwrap(), vec![Effect::Applied; odd.len()]);
    let keys: Vec<String> = bench.connection.keys("shasta:{*").unwrap();
    assert_eq!(keys.len(), 3 * odd.len());
}

/// One try, which must fail for a reason that may pass.
fn trouble(store: &mut Store, batch: &[Write], progress: &mut BatchProgress, word: &str) {
    let error = store.attempt(batch, progress).unwrap_err();
    assert!(error.to_string().contains(word), "{error}");
}

#[test]
fn without_memory_or_permission_events_wait_in_order() {
    let mut bench = Bench::new();
    let mut store = bench.store("r", 1);
    let batch = [write(0, 0, "x", "1"), write(1, 1, "y", "2")];
    let mut progress = BatchProgress::new(2);
    let set = |connection: &mut Connection, bytes: &str| {
        redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(bytes).exec(connection).unwrap();
    };
    set(&mut bench.connection, "1");
    trouble(&mut store, &batch, &mut progress, "OOM");
    set(&mut bench.connection, "0");
    assert_eq!(store.attempt(&batch, &mut progress).unwrap(), Verdict::Intact);
    assert_eq!(progress.effects().unwrap(), vec![Effect::Applied; 2]);
    assert_eq!(bench.entries()[1].1["previous"], "1-1");

    let acl = |connection: &mut Connection, rules: &[&str]| {
        redis::cmd("ACL").arg("SETUSER").arg("w").arg(rules).exec(connection).unwrap();
    };
    acl(&mut bench.connection, &["reset", "on", ">pw", "+@all", "~shasta:*"]);
    let port = bench.client.get_connection_info().addr().to_string();
    let seeds = |user: &str| Seeds::parse(&format!("redis://{user}@{port}")).unwrap();
    let settings = |timeout| Settings { generation: 1, run: "r".into(), stream_maxlen: 100, timeout };
    let mut limited = Store::connect(seeds("w:pw"), settings(Duration::from_secs(5))).unwrap();
    assert_eq!(limited.apply(&[write(2, 2, "x", "3")]).unwrap(), [Effect::Applied]);
    acl(&mut bench.connection, &["-xadd"]);
    let mut progress = BatchProgress::new(1);
    trouble(&mut limited, &[write(3, 3, "x", "4")], &mut progress, "can't run this command");
    acl(&mut bench.connection, &["+xadd", "resetkeys", "~other:*"]);
    assert!(limited.apply(&[write(3, 3, "x", "4")]).unwrap_err().to_string().contains("ermission"));
    acl(&mut bench.connection, &["~shasta:*"]);
    assert_eq!(limited.apply(&[write(3, 3, "x", "4")]).unwrap(), [Effect::Applied]);
    let refused = Store::connect(seeds("w:wrong"), settings(Duration::from_secs(1))).err().unwrap();
    assert!(
        refused.to_string().contains("AuthenticationFailed") || refused.to_string().contains("uthentication"),
        "{refused}"
    );
    redis::cmd("CONFIG").arg("SET").arg("requirepass").arg("right").exec(&mut bench.connection).unwrap();
    let bare = Seeds::parse(&bench.nodes.url()).unwrap();
    let refused = Store::connect(bare, settings(Duration::from_secs(1))).err().unwrap();
    assert!(refused.to_string().contains("uthentication") || refused.to_string().contains("NOAUTH"), "{refused}");
}

#[test]
fn a_redis_that_is_loading_is_waited_for() {
    let settings = [("loading-process-events-interval-bytes", "1024"), ("key-load-delay", "0")];
    let mut bench = Bench::of(&settings);
    let mut store = bench.store("r", 1);
    assert_eq!(store.apply(&[write(0, 0, "x", "1")]).unwrap(), [Effect::Applied]);
    let mut fill = redis::pipe();
    for n in 0..5_000 {
        fill.set(format!("other:{n}"), n).ignore();
    }
    fill.exec(&mut bench.connection).unwrap();
    bench.restart(&[("key-load-delay", "200")]);
    let (batch, mut progress, mut said) = ([write(1, 1, "x", "2")], BatchProgress::new(1), Vec::new());
    while let Err(error) = store.attempt(&batch, &mut progress) {
        said.push(error.to_string());
        std::thread::sleep(Duration::from_millis(20));
        assert!(said.len() < 1_000, "{said:?}");
    }
    assert!(said.iter().any(|error| error.contains("LOADING") || error.contains("loading")), "{said:?}");
    assert_eq!(bench.entries().len(), 2);
}

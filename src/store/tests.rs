//! Against a real Redis: what storing does, and what is told when it cannot.

use std::collections::HashMap;

use redis::{Client, Commands, Connection};

use super::*;
use crate::{cluster::temporary_redis, tag_data::Identifier};

struct Bench {
    _redis: (tempfile::TempDir, crate::process::Child),
    client: Client,
    connection: Connection,
}

impl Bench {
    fn new() -> Self {
        let (dir, child, port) = temporary_redis(&[]);
        let client = Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
        let connection = client.get_connection().unwrap();
        Self { _redis: (dir, child), client, connection }
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

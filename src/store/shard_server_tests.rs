//! Against real Redis nodes: shards, slots that move, primaries that die, and what they take with them.

use std::{collections::BTreeMap, time::Duration};

use redis::{Commands, Connection, RedisResult};

use super::*;
use crate::{cluster::TemporaryNodes, variant::RedisMode};
use shasta_model::tag_data::{Identifier, TagData};
use shasta_reader::topology::{Primaries, Seeds, slot};

fn store(url: &str) -> Store {
    let settings = Settings { generation: 1, run: "r".into(), stream_maxlen: 100, timeout: Duration::from_secs(20) };
    Store::connect(Seeds::parse(url).unwrap(), settings).unwrap()
}

fn identifier(tag: &str) -> Identifier {
    Identifier { app_id: "a".into(), tag: tag.into(), scope: "s".into(), name: "n".into() }
}

fn write(tag: &str, partition: i32, offset: i64) -> Write {
    let event = TagData { identifier: Some(identifier(tag)), data: offset.to_string().into_bytes() };
    let author = Some(Author { producer: 0, sequence: offset as u64, warm: false });
    Write { event, partition, offset, author }
}

fn applied(store: &mut Store, batch: &[Write]) {
    assert_eq!(store.apply(batch).unwrap(), vec![Effect::Applied; batch.len()]);
}

fn attempt(store: &mut Store, batch: &[Write]) -> Verdict {
    let mut progress = BatchProgress::new(batch.len());
    for _ in 0..1_000 {
        match store.attempt(batch, &mut progress) {
            Ok(verdict) => return verdict,
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
    panic!("no verdict came")
}

/// Offsets of a tag's stream, whose chain holds.
fn history(primaries: &mut Primaries, tag: &str) -> Vec<u64> {
    let key = identifier(tag).redis_keys().delta;
    let entries: Vec<(String, BTreeMap<String, String>)> =
        redis::cmd("XRANGE").arg(&key).arg("-").arg("+").query(primaries.of(&key).unwrap()).unwrap();
    for (entry, next) in entries.iter().zip(entries.iter().skip(1)) {
        assert_eq!(next.1["previous"], entry.0);
    }
    entries.iter().map(|(id, _)| id.split_once('-').unwrap().1.parse::<u64>().unwrap() - 1).collect()
}

fn primaries(url: &str) -> Primaries {
    Primaries::connect(Seeds::parse(url).unwrap(), Duration::from_secs(5)).unwrap()
}

#[test]
fn a_thousand_tags_are_shared_by_three_shards_in_order() {
    let redis = TemporaryNodes::new(RedisMode::Cluster, &[]);
    let mut store = store(&redis.url());
    let tags: Vec<String> = (0..1_000).map(|tag| tag.to_string()).collect();
    let batch: Vec<Write> = (0..3_000).map(|offset| write(&tags[offset % 1_000], 0, offset as i64)).collect();
    for batch in batch.chunks(700) {
        applied(&mut store, batch);
    }
    assert_eq!(store.apply(&batch[..100]).unwrap(), vec![Effect::Stale; 100]);
    let mut primaries = primaries(&redis.url());
    assert_eq!(primaries.len(), 3);
    for (tag, name) in tags.iter().enumerate() {
        assert_eq!(history(&mut primaries, name), [0, 1_000, 2_000].map(|round| round + tag as u64));
    }
    let sizes: Vec<u64> =
        (0..3).map(|node| redis::cmd("DBSIZE").query(primaries.node(node).unwrap()).unwrap()).collect();
    assert_eq!(sizes.iter().sum::<u64>(), 3_000);
    assert!(sizes.iter().all(|size| *size > 600), "{sizes:?}");
}

/// Another tag in the slot of the first.
fn neighbour(tag: &str) -> String {
    let of = |tag: &str| slot(identifier(tag).redis_keys().meta.as_bytes());
    (0..).map(|n| format!("n{n}")).find(|other| of(other) == of(tag)).unwrap()
}

#[test]
fn a_slot_that_moves_in_between_costs_nothing() {
    let redis = TemporaryNodes::new(RedisMode::Cluster, &[]);
    let mut store = store(&redis.url());
    let (tag, new) = ("t", neighbour("t"));
    applied(&mut store, &[write(tag, 0, 0), write("u", 0, 1)]);
    let keys = identifier(tag).redis_keys();
    let slot = slot(keys.meta.as_bytes());
    let from = primaries(&redis.url()).map().node(slot).unwrap();
    let from = (0..3).find(|node| redis.address(*node) == primaries(&redis.url()).map().nodes()[from]).unwrap();
    let to = (from + 1) % 3;
    let id = |node: usize| -> String { redis::cmd("CLUSTER").arg("MYID").query(&mut redis.node(node)).unwrap() };
    let set = |node: usize, what: &str, other: usize| {
        let mut command = redis::cmd("CLUSTER");
        command.arg("SETSLOT").arg(slot).arg(what).arg(id(other)).exec(&mut redis.node(node)).unwrap();
    };
    set(to, "IMPORTING", from);
    set(from, "MIGRATING", to);
    // What is there is still stored where it was; for what is new, Redis has no place before the slot has moved.
    let (both, mut progress) = ([write(tag, 0, 2), write(&new, 0, 3)], BatchProgress::new(2));
    assert!(store.attempt(&both, &mut progress).unwrap_err().to_string().contains("rehashing"));
    assert!(redis.node(from).hget::<_, _, String>(&keys.meta, "version").unwrap().ends_with("-3"));
    // A part of the tag has moved (TRYAGAIN) while more comes; then the rest, then the slot (MOVED).
    let target = redis.address(to);
    let mover = |key: &str| -> RedisResult<()> {
        let mut command = redis::cmd("MIGRATE");
        command.arg(&target.host).arg(target.port).arg(key).arg(0).arg(5_000).exec(&mut redis.node(from))
    };
    mover(&keys.meta).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(100));
            mover(&keys.snapshot).unwrap();
            mover(&keys.delta).unwrap();
            std::thread::sleep(Duration::from_millis(50));
            (0..3).for_each(|node| set(node, "NODE", to));
        });
        for offset in 5..50 {
            applied(&mut store, &[write(tag, 0, 2 * offset)]);
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    assert_eq!(attempt(&mut store, &both), Verdict::Intact);
    applied(&mut store, &[write(&new, 0, 4)]);
    let mut primaries = primaries(&redis.url());
    assert_eq!(history(&mut primaries, tag), [0, 2].into_iter().chain((5..50).map(|n| 2 * n)).collect::<Vec<_>>());
    assert_eq!(history(&mut primaries, &new), [3, 4]);
}

#[test]
fn a_primary_that_dies_is_replaced_and_nothing_is_lost_that_its_replica_had() {
    for mode in [RedisMode::Replica, RedisMode::Cluster] {
        let mut redis = TemporaryNodes::new(mode, &[]);
        let mut store = store(&redis.url());
        let tags: Vec<String> = (0..50).map(|tag| tag.to_string()).collect();
        let batch =
            |from: i64| -> Vec<Write> { tags.iter().zip(from..).map(|(tag, offset)| write(tag, 0, offset)).collect() };
        applied(&mut store, &batch(0));
        redis.settle();
        let killed = redis.fail_over();
        assert!(killed.starts_with("redis "), "{killed}");
        applied(&mut store, &batch(50));
        let mut nodes = primaries(&redis.url());
        for (tag, offset) in tags.iter().zip(0..) {
            assert_eq!(history(&mut nodes, tag), [offset, offset + 50]);
        }
    }
}

#[test]
fn what_a_failover_lost_has_to_be_stored_again_before_anything_newer() {
    let mut redis = TemporaryNodes::new(RedisMode::Replica, &[]);
    let mut store = store(&redis.url());
    applied(&mut store, &[write("t", 3, 10), write("u", 4, 7), write("v", 5, 1)]);
    while redis.node(1).exists::<_, u8>(identifier("v").redis_keys().meta).unwrap() == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    // From here on the replica gets nothing more.
    redis.promote(1);
    applied(&mut store, &[write("t", 3, 11), write("t", 3, 12), write("u", 4, 9)]);
    redis.kill("redis 1");
    let next = [write("t", 3, 13), write("v", 5, 2)];
    assert_eq!(attempt(&mut store, &next), Verdict::Behind(BTreeMap::from([(3, 11), (4, 8)])));
    let mut nodes = primaries(&redis.url());
    assert_eq!((history(&mut nodes, "t"), history(&mut nodes, "u")), (vec![10], vec![7]), "nothing newer");
    // As Kafka has it, from those places on.
    applied(&mut store, &[write("t", 3, 11), write("t", 3, 12), write("u", 4, 9), write("t", 3, 13), write("v", 5, 2)]);
    assert_eq!(history(&mut nodes, "t"), [10, 11, 12, 13]);
}

#[test]
fn a_redis_that_has_forgotten_is_noticed_with_and_without_a_new_connection() {
    let redis = TemporaryNodes::new(RedisMode::Single, &[("appendonly", "no")]);
    let mut store = store(&redis.url());
    let flush = |more: &dyn Fn(&mut Connection)| {
        let mut node = redis.node(0);
        redis::cmd("FLUSHALL").exec(&mut node).unwrap();
        more(&mut node);
    };
    applied(&mut store, &[write("t", 0, 0), write("u", 1, 5)]);
    assert_eq!(store.check().unwrap(), Verdict::Intact);
    // Over the same connection: the first event of a tag shows it.
    flush(&|_| ());
    assert_eq!(attempt(&mut store, &[write("new", 2, 0), write("t", 0, 1)]), Verdict::Emptied);
    let keys: Vec<String> = redis.node(0).keys("*{a/t/s}*").unwrap();
    assert_eq!(keys, [""; 0], "nothing newer of a tag that has lost something");
    applied(&mut store, &[write("t", 0, 0), write("t", 0, 1), write("u", 1, 5)]);
    // Over a new one: without any event.
    flush(&|node| redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").exec(node).unwrap_or_default());
    let verdict = (0..100).find_map(|_| store.check().ok().filter(|verdict| *verdict != Verdict::Intact));
    assert_eq!(verdict, Some(Verdict::Emptied));
    // A tag that went back, but is not gone.
    applied(&mut store, &[write("t", 0, 0), write("t", 0, 1), write("u", 1, 5)]);
    let _: () = redis.node(0).hset(identifier("t").redis_keys().meta, "version", "1-1").unwrap();
    assert_eq!(attempt(&mut store, &[write("t", 0, 2)]), Verdict::Behind(BTreeMap::from([(0, 1)])));
    // Of partitions that are others' by now, nothing has to be known.
    store.keep_partitions(&[7]);
    assert_eq!(attempt(&mut store, &[write("x", 7, 0)]), Verdict::Intact);
}

#[test]
fn a_cluster_without_slots_and_one_without_a_primary_say_so() {
    let alone = TemporaryNodes::new(RedisMode::Single, &[("cluster-enabled", "yes")]);
    let settings = Settings { generation: 1, run: "r".into(), stream_maxlen: 1, timeout: Duration::from_secs(1) };
    let refused = Store::connect(Seeds::parse(&alone.url()).unwrap(), settings.clone()).err();
    assert!(refused.unwrap().to_string().contains("no node of the cluster has the slot"));
    let redis = TemporaryNodes::new(RedisMode::Replica, &[]);
    let replica = Seeds::parse(&format!("redis://{}", redis.address(1))).unwrap();
    let refused = Store::connect(replica, settings.clone()).err().unwrap();
    assert!(refused.to_string().contains("is a replica"), "{refused}");
    // While a primary becomes a replica, it refuses; then it says where it is.
    let mut store = Store::connect(Seeds::parse(&format!("redis://{}", redis.address(0))).unwrap(), settings).unwrap();
    redis.promote(1);
    let other = redis.address(1);
    redis::cmd("REPLICAOF").arg(&other.host).arg(other.port).exec(&mut redis.node(0)).unwrap();
    let refused = store.apply(&[write("t", 0, 0)]).unwrap_err();
    assert!(refused.to_string().contains("replica"), "{refused}");
}

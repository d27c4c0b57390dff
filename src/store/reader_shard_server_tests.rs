//! Against real shards: followers through slots that move and primaries that die.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tokio::time::timeout;

use crate::{
    cluster::TemporaryNodes,
    store::{Settings, Store, Write},
    variant::RedisMode,
};
use shasta_model::tag_data::{Identifier, TagData};
use shasta_reader::topology::{Primaries, Seeds, slot};
use shasta_reader::*;

fn seeds(redis: &TemporaryNodes) -> Seeds {
    Seeds::parse(&redis.url()).unwrap()
}

fn store(redis: &TemporaryNodes) -> Store {
    let settings = Settings { generation: 1, run: "r".into(), stream_maxlen: 1_000, timeout: Duration::from_secs(20) };
    Store::connect(seeds(redis), settings).unwrap()
}

fn write(tag: &str, offset: i64) -> Write {
    let name = format!("n{}", offset % 3);
    let identifier = Identifier { app_id: "a".into(), tag: tag.into(), scope: "s".into(), name };
    let event = TagData { identifier: Some(identifier), data: offset.to_string().into_bytes() };
    Write { event, partition: 0, offset, author: None }
}

fn tag(name: &str) -> Tag {
    Tag::new("a", name, "s").unwrap()
}

async fn next(follow: &mut Follow) -> Event {
    timeout(Duration::from_secs(30), follow.next()).await.expect("no event came in 30 s").unwrap()
}

/// Takes events until the state is that after `offset`; returns the gaps.
async fn until(follow: &mut Follow, state: &mut Snapshot, offset: i64) -> Vec<Gap> {
    let mut gaps = Vec::new();
    while state.version.position != offset as u64 + 1 {
        match next(follow).await {
            Event::Snapshot(snapshot) => *state = snapshot,
            Event::Delta(delta) => {
                assert_eq!(delta.previous, state.version);
                state.apply(&delta);
            }
            Event::Gap(gap) => gaps.push(gap),
        }
    }
    gaps
}

#[tokio::test]
async fn a_thousand_tags_of_three_shards_need_three_connections() {
    let redis = TemporaryNodes::new(RedisMode::Cluster, &[]);
    let mut store = store(&redis);
    // Any one node is enough.
    let reader = Reader::connect(&format!("redis://{}", redis.address(4)), Options::default()).await.unwrap();
    let names: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
    let mut follows = Vec::new();
    for name in &names {
        follows.push((reader.follow(&tag(name)).await.unwrap(), Snapshot::default()));
    }
    let batch: Vec<Write> = (0..3_000).map(|offset| write(&names[offset % 1_000], offset as i64)).collect();
    store.apply(&batch).unwrap();
    for (number, (follow, state)) in follows.iter_mut().enumerate() {
        assert_eq!(until(follow, state, 2_000 + number as i64).await, []);
        assert_eq!(state.values.len(), 3);
    }
    assert_eq!(reader.snapshot(&tag("7")).await.unwrap(), follows[7].1);
    assert_eq!(reader.deltas(&tag("7"), StreamId::ZERO).await.unwrap().len(), 3);
    let mut connections = 0;
    for node in 0..6 {
        let clients: String = redis::cmd("CLIENT").arg("LIST").query(&mut redis.node(node)).unwrap();
        connections += clients.lines().filter(|line| line.contains("resp=3")).count();
    }
    assert_eq!(connections, 3);
}

#[tokio::test]
async fn followers_go_on_while_their_slot_moves() {
    let redis = TemporaryNodes::new(RedisMode::Cluster, &[]);
    let mut store = store(&redis);
    store.apply(&[write("t", 0)]).unwrap();
    let reader = Reader::connect(&redis.url(), Options::default()).await.unwrap();
    let (mut follow, mut state) = (reader.follow(&tag("t")).await.unwrap(), Snapshot::default());
    let mut gaps = until(&mut follow, &mut state, 0).await;
    let keys = tag("t").redis_keys();
    let slot = slot(keys.meta.as_bytes());
    let primaries = Primaries::connect(seeds(&redis), Duration::from_secs(5)).unwrap();
    let owner = primaries.map().nodes()[primaries.map().node(slot).unwrap()].clone();
    let from = (0..3).find(|node| redis.address(*node) == owner).unwrap();
    let to = (from + 1) % 3;
    let id = |node: usize| -> String { redis::cmd("CLUSTER").arg("MYID").query(&mut redis.node(node)).unwrap() };
    let set = |node: usize, what: &str, other: usize| {
        let mut command = redis::cmd("CLUSTER");
        command.arg("SETSLOT").arg(slot).arg(what).arg(id(other)).exec(&mut redis.node(node)).unwrap();
    };
    set(to, "IMPORTING", from);
    set(from, "MIGRATING", to);
    let target = redis.address(to);
    let mut migrate = redis::cmd("MIGRATE");
    migrate.arg(&target.host).arg(target.port).arg("").arg(0).arg(5_000).arg("KEYS");
    migrate.arg(&keys.meta).arg(&keys.delta).arg(&keys.snapshot).exec(&mut redis.node(from)).unwrap();
    // The tag is over there, the slot is not yet.
    for offset in 1..20 {
        store.apply(&[write("t", offset)]).unwrap();
        gaps.extend(until(&mut follow, &mut state, offset).await);
    }
    (0..3).for_each(|node| set(node, "NODE", to));
    for offset in 20..40 {
        store.apply(&[write("t", offset)]).unwrap();
        gaps.extend(until(&mut follow, &mut state, offset).await);
    }
    assert_eq!(gaps, []);
    let started = Instant::now();
    let snapshot = loop {
        match reader.snapshot(&tag("t")).await {
            Err(error) if error.is_transient() && started.elapsed() < Duration::from_secs(20) => {}
            snapshot => break snapshot.unwrap(),
        }
    };
    assert_eq!(snapshot, state);
}

#[tokio::test]
async fn followers_go_on_with_the_new_primary() {
    for mode in [RedisMode::Replica, RedisMode::Cluster] {
        let mut redis = TemporaryNodes::new(mode, &[]);
        let mut store = store(&redis);
        let names: Vec<String> = (0..30).map(|number| number.to_string()).collect();
        let batch = |from: i64| -> Vec<Write> { names.iter().zip(from..).map(|(name, n)| write(name, n)).collect() };
        let reader = Reader::connect(&redis.url(), Options::default()).await.unwrap();
        let mut follows = Vec::new();
        for name in &names {
            follows.push((reader.follow(&tag(name)).await.unwrap(), Snapshot::default()));
        }
        store.apply(&batch(0)).unwrap();
        redis.settle();
        redis.fail_over();
        store.apply(&batch(30)).unwrap();
        for ((follow, state), offset) in follows.iter_mut().zip(30..) {
            assert_eq!(until(follow, state, offset).await, [], "nothing was lost, so there is no gap");
        }
    }
}

#[tokio::test]
async fn what_a_failover_has_lost_is_a_gap() {
    let mut redis = TemporaryNodes::new(RedisMode::Replica, &[]);
    let mut store = store(&redis);
    store.apply(&[write("t", 0), write("u", 1)]).unwrap();
    let reader = Reader::connect(&redis.url(), Options::default()).await.unwrap();
    let (mut t, mut u) = (reader.follow(&tag("t")).await.unwrap(), reader.follow(&tag("u")).await.unwrap());
    let (mut of_t, mut of_u) = (Snapshot::default(), Snapshot::default());
    until(&mut t, &mut of_t, 0).await;
    until(&mut u, &mut of_u, 1).await;
    redis.settle();
    redis.promote(1);
    store.apply(&[write("t", 2)]).unwrap();
    assert_eq!(until(&mut t, &mut of_t, 2).await, []);
    redis.kill("redis 1");
    let gaps = until(&mut t, &mut of_t, 0).await;
    assert_eq!(gaps.iter().map(|gap| &gap.reason).collect::<Vec<_>>(), [&Reason::Rewound]);
    assert_eq!(of_t.values, BTreeMap::from([("n0".to_owned(), "0".into())]));
}

#[tokio::test]
async fn a_large_snapshot_of_a_shard_comes_in_pieces() {
    let redis = TemporaryNodes::new(RedisMode::Cluster, &[]);
    store(&redis).apply(&[write("t", 0)]).unwrap();
    let key = tag("t").redis_keys().snapshot;
    let mut primaries = Primaries::connect(seeds(&redis), Duration::from_secs(5)).unwrap();
    let mut fill = redis::pipe();
    for n in 0..5_000 {
        fill.hset(&key, format!("old{n}"), "x".repeat(100)).ignore();
    }
    fill.exec(primaries.of(&key).unwrap()).unwrap();
    let reader = Reader::connect(&redis.url(), Options::default()).await.unwrap();
    assert_eq!(reader.snapshot(&tag("t")).await.unwrap().values.len(), 5_001);
}

//! Against a real Redis: everything that a follower may live through.

use std::{collections::BTreeMap, time::Duration};

use redis::{Client, Commands, Connection};
use tokio::time::timeout;

use crate::{
    cluster::TemporaryNodes,
    store::{Settings, Store, Write},
    variant::RedisMode,
};
use shasta_model::tag_data::{Identifier, TagData};
use shasta_reader::*;

struct Bench {
    nodes: TemporaryNodes,
    client: Client,
    offset: i64,
    generation: u64,
}

impl Bench {
    fn new() -> Self {
        let nodes = TemporaryNodes::new(RedisMode::Single, &[]);
        let client = Client::open(nodes.url()).unwrap();
        Self { nodes, client, offset: 0, generation: 1 }
    }

    fn url(&self) -> String {
        self.nodes.url()
    }

    async fn reader(&self, options: Options) -> Reader {
        Reader::connect(&self.url(), options).await.unwrap()
    }

    fn redis(&self) -> Connection {
        self.client.get_connection().unwrap()
    }

    /// One event for each tag and value; names turn.
    fn write(&mut self, tags: &[&str], values: std::ops::Range<u32>) {
        let settings = Settings {
            generation: self.generation,
            run: "r".into(),
            stream_maxlen: 10_000,
            timeout: Duration::from_secs(5),
        };
        let mut store = Store::connect(&self.client, settings).unwrap();
        let mut batch = Vec::new();
        for value in values {
            for tag in tags {
                self.offset += 2;
                let name = format!("n{}", value % 5);
                let identifier = Identifier { app_id: "a".into(), tag: (*tag).into(), scope: "s".into(), name };
                let data = value.to_string().into_bytes();
                batch.push(Write {
                    event: TagData { identifier: Some(identifier), data },
                    partition: 0,
                    offset: self.offset,
                    author: None,
                });
            }
        }
        for batch in batch.chunks(500) {
            store.apply(batch).unwrap();
        }
    }

    fn restart(&mut self, forget: bool) {
        self.nodes.kill("redis");
        if forget {
            std::fs::remove_dir_all(self.nodes.dir(0).join("appendonlydir")).unwrap();
        }
        self.nodes.start_again(0, &[]);
        let answers = |mut redis: Connection| redis::cmd("PING").exec(&mut redis);
        while self.client.get_connection().and_then(answers).is_err() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn tag(name: &str) -> Tag {
    Tag::new("a", name, "s").unwrap()
}

fn key(name: &str, part: &str) -> String {
    format!("shasta:{{a/{name}/s}}:{part}")
}

async fn next(follow: &mut Follow) -> Event {
    timeout(Duration::from_secs(20), follow.next()).await.expect("no event came in 20 s").unwrap()
}

async fn snapshot(follow: &mut Follow) -> Snapshot {
    match next(follow).await {
        Event::Snapshot(snapshot) => snapshot,
        other => panic!("not a snapshot: {other:?}"),
    }
}

async fn delta(follow: &mut Follow) -> Delta {
    match next(follow).await {
        Event::Delta(delta) => delta,
        other => panic!("not a delta: {other:?}"),
    }
}

async fn gap(follow: &mut Follow) -> Gap {
    match next(follow).await {
        Event::Gap(gap) => gap,
        other => panic!("not a gap: {other:?}"),
    }
}

/// Applies events until the state is that of `version`.
async fn until(follow: &mut Follow, state: &mut Snapshot, version: StreamId) -> Vec<Gap> {
    let mut gaps = Vec::new();
    while state.version != version {
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

fn values(pairs: &[(&str, &'static str)]) -> BTreeMap<String, bytes::Bytes> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect()
}

#[tokio::test]
async fn a_snapshot_then_every_change() {
    let mut bench = Bench::new();
    let reader = bench.reader(Options { deltas_max: 3, ..Options::default() }).await;
    let odd = ["{}", "\0", "ü/%", "", &"x".repeat(64 << 10)];
    for name in odd {
        assert_eq!(reader.snapshot(&tag(name)).await.unwrap(), Snapshot::default());
        let mut follow = reader.follow(&tag(name)).await.unwrap();
        assert_eq!(snapshot(&mut follow).await, Snapshot::default());
        bench.write(&[name], 0..7);
        let mut state = Snapshot::default();
        for value in 0..7 {
            let delta = delta(&mut follow).await;
            assert_eq!((delta.previous, &delta.data[..]), (state.version, value.to_string().as_bytes()));
            state.apply(&delta);
        }
        let expected = values(&[("n0", "5"), ("n1", "6"), ("n2", "2"), ("n3", "3"), ("n4", "4")]);
        assert_eq!(state.values, expected);
        assert_eq!(reader.snapshot(&tag(name)).await.unwrap(), state);
        // A second follower of the same tag, between two changes.
        let mut second = reader.follow(&tag(name)).await.unwrap();
        assert_eq!(snapshot(&mut second).await, state);
        bench.write(&[name], 7..8);
        assert_eq!(delta(&mut second).await, delta(&mut follow).await);
    }
    let first = reader.deltas(&tag("{}"), StreamId::ZERO).await.unwrap();
    assert_eq!((first.len(), first[0].previous), (3, StreamId::ZERO));
    let more = reader.deltas(&tag("{}"), first[2].id).await.unwrap();
    assert_eq!((more.len(), more[0].previous), (3, first[2].id));
    assert_eq!(reader.deltas(&tag("{}"), StreamId::MAX).await.unwrap(), []);
}

#[tokio::test]
async fn what_the_stream_no_longer_holds_is_a_gap() {
    let mut bench = Bench::new();
    bench.write(&["t"], 0..1);
    let reader = bench.reader(Options::default()).await;
    let mut follow = reader.follow(&tag("t")).await.unwrap();
    let at = snapshot(&mut follow).await.version;
    let step = |position| StreamId { generation: 1, position };
    let mut redis = bench.redis();
    let mut add = redis::pipe();
    add.atomic();
    for (id, previous) in [(50, at), (51, step(50))] {
        let fields = [("name", "n0"), ("data", "new"), ("previous", &previous.to_string())];
        add.cmd("XADD").arg(key("t", "delta")).arg(step(id).to_string()).arg(&fields);
        add.hset(key("t", "snapshot"), "n0", "new").hset(key("t", "meta"), "version", step(id).to_string());
    }
    add.cmd("XTRIM").arg(key("t", "delta")).arg("MAXLEN").arg(1).exec(&mut redis).unwrap();
    let expected = Gap { expected: at, found: Some(step(50)), reason: Reason::Trimmed };
    assert_eq!(gap(&mut follow).await, expected);
    assert_eq!(snapshot(&mut follow).await, Snapshot { version: step(51), values: values(&[("n0", "new")]) });

    // Changes of which nothing is left.
    add.clear();
    add.atomic().hset(key("t", "snapshot"), "n0", "newer").hset(key("t", "meta"), "version", "1-60");
    add.del(key("t", "delta")).exec(&mut redis).unwrap();
    let expected = Gap { expected: step(51), found: Some(step(60)), reason: Reason::Trimmed };
    assert_eq!(gap(&mut follow).await, expected);
    assert_eq!(snapshot(&mut follow).await.values, values(&[("n0", "newer")]));

    // A new generation of the topic.
    (bench.generation, bench.offset) = (2, 0);
    bench.write(&["t"], 1..2);
    assert_eq!(gap(&mut follow).await.reason, Reason::Generation);
    assert_eq!(snapshot(&mut follow).await.version.generation, 2);
    bench.write(&["t"], 2..3);
    assert_eq!(delta(&mut follow).await.name, "n2");
}

#[tokio::test]
async fn deleted_and_flushed_tags_are_gaps_even_while_they_are_quiet() {
    let mut bench = Bench::new();
    bench.write(&["t", "u"], 0..3);
    let reader = bench.reader(Options::default()).await;
    let (mut t, mut u) = (reader.follow(&tag("t")).await.unwrap(), reader.follow(&tag("u")).await.unwrap());
    let (mut state, _) = (snapshot(&mut t).await, snapshot(&mut u).await);
    let mut redis = bench.redis();
    let all: [String; 3] = ["delta", "meta", "snapshot"].map(|part| key("t", part));
    let _: () = redis.del(&all[..]).unwrap();
    let lost = gap(&mut t).await;
    assert_eq!((lost.expected, lost.reason), (state.version, Reason::Rewound));
    assert_eq!(snapshot(&mut t).await, Snapshot::default());
    bench.write(&["t", "u"], 3..4);
    state = Snapshot::default();
    state.apply(&delta(&mut t).await);
    assert_eq!(delta(&mut u).await.data, "3");

    redis::cmd("FLUSHALL").exec(&mut redis).unwrap();
    for follow in [&mut t, &mut u] {
        assert_eq!(gap(follow).await.reason, Reason::Rewound);
        assert_eq!(snapshot(follow).await, Snapshot::default());
    }
    bench.write(&["t", "u"], 4..5);
    assert_eq!((delta(&mut t).await.previous, delta(&mut u).await.previous), (StreamId::ZERO, StreamId::ZERO));
    // Without the stream alone, nothing is lost.
    let _: () = redis.del(key("t", "delta")).unwrap();
    bench.write(&["t"], 5..6);
    assert_eq!(delta(&mut t).await.data, "5");
}

#[tokio::test]
async fn a_killed_redis_that_comes_back_is_no_gap_unless_it_has_forgotten() {
    let mut bench = Bench::new();
    bench.write(&["t"], 0..3);
    let reader = bench.reader(Options::default()).await;
    let mut follow = reader.follow(&tag("t")).await.unwrap();
    snapshot(&mut follow).await;
    bench.restart(false);
    bench.write(&["t"], 3..5);
    assert_eq!((delta(&mut follow).await.data, delta(&mut follow).await.data), ("3".into(), "4".into()));

    bench.restart(true);
    assert_eq!(gap(&mut follow).await.reason, Reason::Rewound);
    assert_eq!(snapshot(&mut follow).await, Snapshot::default());
    bench.write(&["t"], 5..6);
    assert_eq!(delta(&mut follow).await.data, "5");

    bench.nodes.kill("redis");
    let error = loop {
        match reader.snapshot(&tag("t")).await {
            Ok(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(error) => break error,
        }
    };
    assert!(error.is_transient(), "{error}");
}

#[tokio::test]
async fn a_redis_that_hangs_is_given_up_and_found_again() {
    let mut bench = Bench::new();
    let reader = bench.reader(Options { timeout: Duration::from_millis(200), ..Options::default() }).await;
    let mut follow = reader.follow(&tag("t")).await.unwrap();
    snapshot(&mut follow).await;
    for value in 0..3 {
        bench.nodes.child("redis").signal(rustix::process::Signal::STOP).unwrap();
        let error = reader.snapshot(&tag("t")).await.unwrap_err();
        assert!(error.is_transient(), "{error}");
        tokio::time::sleep(Duration::from_millis(500)).await;
        bench.nodes.child("redis").signal(rustix::process::Signal::CONT).unwrap();
        bench.write(&["t"], value..value + 1);
        assert_eq!(delta(&mut follow).await.data, value.to_string());
    }
}

#[tokio::test]
async fn a_slow_follower_stalls_nobody_and_is_told_what_it_missed() {
    const EVENTS: u32 = 3_000;
    let mut bench = Bench::new();
    let reader = bench.reader(Options { buffer: 8, ..Options::default() }).await;
    let impatient = bench.reader(Options { buffer: 8, lag: Lag::End, ..Options::default() }).await;
    let mut slow = reader.follow(&tag("t")).await.unwrap();
    let mut ended = impatient.follow(&tag("t")).await.unwrap();
    let (mut fast, mut other) = (reader.follow(&tag("t")).await.unwrap(), reader.follow(&tag("u")).await.unwrap());
    let mut states = [Snapshot::default(), Snapshot::default()];
    let (mut gaps, mut done) = (Vec::new(), [StreamId::ZERO; 2]);
    for chunk in 0..EVENTS / 5 {
        // As many as fit into a buffer, so that only who does not read at all is slow.
        bench.write(&["t", "u"], chunk * 5..chunk * 5 + 5);
        let last = bench.offset as u64 + 1;
        done = [last - 2, last].map(|position| StreamId { generation: 1, position });
        gaps.extend(until(&mut fast, &mut states[0], done[0]).await);
        gaps.extend(until(&mut other, &mut states[1], done[1]).await);
    }
    assert_eq!(gaps, []);

    let mut state = Snapshot::default();
    let gaps = until(&mut slow, &mut state, done[0]).await;
    assert_eq!(gaps.iter().map(|gap| &gap.reason).collect::<Vec<_>>(), [&Reason::Lagged]);
    assert_eq!(state, states[0]);
    bench.write(&["t"], 0..1);
    assert_eq!(delta(&mut slow).await, delta(&mut fast).await);

    let mut events = Vec::new();
    while let Some(event) = timeout(Duration::from_secs(20), ended.next()).await.unwrap() {
        events.push(event);
    }
    assert_eq!(events.len(), 9);
    assert!(matches!(&events[8], Event::Gap(Gap { reason: Reason::Lagged, .. })), "{events:?}");
}

#[tokio::test]
async fn a_thousand_tags_need_two_connections() {
    let mut bench = Bench::new();
    let reader = bench.reader(Options::default()).await;
    let names: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut follows = Vec::new();
    for name in &names {
        follows.push(reader.follow(&tag(name)).await.unwrap());
    }
    bench.write(&names, 0..3);
    for follow in &mut follows {
        assert_eq!(snapshot(follow).await, Snapshot::default());
        for value in ["0", "1", "2"] {
            assert_eq!(delta(follow).await.data, value);
        }
    }
    let clients: String = redis::cmd("CLIENT").arg("LIST").query(&mut bench.redis()).unwrap();
    // One of them asks.
    assert_eq!(clients.lines().filter(|line| !line.contains("cmd=client|list")).count(), 2, "{clients}");
    // Who is not listened to is forgotten.
    follows.truncate(1);
    bench.write(&names, 3..4);
    assert_eq!(delta(&mut follows[0]).await.data, "3");
}

#[tokio::test]
async fn what_others_put_under_our_keys_is_told_and_healed() {
    let mut bench = Bench::new();
    let reader = bench.reader(Options { audit: Duration::from_millis(200), ..Options::default() }).await;
    let mut redis = bench.redis();
    for part in ["snapshot", "meta"] {
        let _: () = redis.set(key("w", part), "not ours").unwrap();
        let error = reader.follow(&tag("w")).await.unwrap_err();
        assert!(error.to_string().contains("of another type"), "{error}");
        assert_eq!(reader.snapshot(&tag("w")).await.unwrap_err(), error);
        let _: () = redis.del(key("w", part)).unwrap();
    }
    let _: () = redis.hset(key("w", "snapshot"), "theirs", 1).unwrap();
    assert!(reader.snapshot(&tag("w")).await.unwrap_err().to_string().contains("no version"));
    let _: () = redis.hset(key("w", "meta"), "version", "seven").unwrap();
    assert!(reader.snapshot(&tag("w")).await.unwrap_err().to_string().contains("no stream ID"));
    let _: () = redis.hset(key("w", "meta"), "version", "1-1").unwrap();
    let _: () = redis.hset(key("w", "snapshot"), &b"\xff"[..], 1).unwrap();
    assert!(reader.snapshot(&tag("w")).await.unwrap_err().to_string().contains("UTF-8"));

    // Another program's entry in our stream, from where the store cannot go on, until somebody deletes it.
    bench.write(&["t"], 0..1);
    let mut follow = reader.follow(&tag("t")).await.unwrap();
    let before = snapshot(&mut follow).await;
    for _ in 0..3 {
        redis::cmd("XADD").arg(key("t", "delta")).arg("*").arg(&[("temperature", "21")]).exec(&mut redis).unwrap();
        let lost = gap(&mut follow).await;
        assert!(matches!(&lost.reason, Reason::Foreign(text) if text.contains("no change of a tag")), "{lost}");
        assert_eq!(snapshot(&mut follow).await, before);
    }
    assert!(reader.deltas(&tag("t"), before.version).await.unwrap_err().to_string().contains("not what the store"));
    let _: () = redis.del(key("t", "delta")).unwrap();
    bench.write(&["t"], 1..4);
    let mut state = before;
    let done = StreamId { generation: 1, position: bench.offset as u64 + 1 };
    until(&mut follow, &mut state, done).await;
    bench.write(&["t"], 4..5);
    assert_eq!(delta(&mut follow).await.data, "4");

    // A key of another type while it is followed.
    let _: () = redis.set(key("t", "delta"), "not ours").unwrap();
    assert!(matches!(gap(&mut follow).await.reason, Reason::Foreign(_)));
    let _: () = redis.del(key("t", "delta")).unwrap();
    bench.write(&["t"], 5..6);
    let done = StreamId { generation: 1, position: bench.offset as u64 + 1 };
    until(&mut follow, &mut state, done).await;
    assert_eq!(state, reader.snapshot(&tag("t")).await.unwrap());
}

#[tokio::test]
async fn who_may_not_read_is_told_at_once_and_who_is_not_told_asks() {
    let mut bench = Bench::new();
    let mut redis = bench.redis();
    let mut user = |name: &str, rules: &[&str]| {
        redis::cmd("ACL").arg("SETUSER").arg(name).arg(&["reset", "on", ">pw"]).arg(rules).exec(&mut redis).unwrap();
        let (address, options) =
            (bench.nodes.address(0), Options { poll: Duration::from_millis(5), ..Options::default() });
        let url = format!("redis://{name}:pw@{address}");
        async move { Reader::connect(&url, options).await }
    };
    let wrong = Reader::connect(&format!("redis://x:y@{}", bench.nodes.address(0)), Options::default()).await;
    assert!(matches!(wrong.err(), Some(ReaderError::Denied(_))));
    let other_keys = user("other", &["+@all", "~other:*"]).await.err();
    assert!(matches!(&other_keys, Some(ReaderError::Denied(_))), "{other_keys:?}");
    let no_streams = user("blind", &["+@connection", "+@hash", "~*"]).await.err();
    assert!(matches!(&no_streams, Some(ReaderError::Denied(text)) if text.contains("xrange")), "{no_streams:?}");
    user("full", &["+@read", "+@transaction", "+@connection", "~shasta:*"]).await.unwrap();
    let untold = ["+@read", "+@transaction", "+@connection", "-client|tracking", "~shasta:*"];
    let reader = user("untold", &untold).await.unwrap();
    let mut follow = reader.follow(&tag("t")).await.unwrap();
    snapshot(&mut follow).await;
    for value in 0..5 {
        bench.write(&["t"], value..value + 1);
        assert_eq!(delta(&mut follow).await.data, value.to_string());
    }
    let alone = TemporaryNodes::new(RedisMode::Single, &[("cluster-enabled", "yes")]);
    // What a server that expects TLS does with plain text.
    let tls = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let secret = format!("redis://{}", tls.local_addr().unwrap());
    std::thread::spawn(move || tls.incoming().for_each(drop));
    for (url, word) in [
        (&*secret, "rediss://"),
        (&alone.url(), "no node of the cluster has the slot"),
        ("http://x", "rediss://"),
        ("redis://127.0.0.1:1", "nothing listens"),
    ] {
        let error = Reader::connect(url, Options::default()).await.err().unwrap();
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_large_snapshot_is_read_in_pieces_while_it_changes() {
    let mut bench = Bench::new();
    bench.write(&["t"], 0..5);
    let mut redis = bench.redis();
    let mut fill = redis::pipe();
    for number in 0..12_000 {
        fill.hset(key("t", "snapshot"), format!("old{number}"), "x".repeat(100)).ignore();
    }
    fill.exec(&mut redis).unwrap();
    let reader = bench.reader(Options::default()).await;
    let writer = std::thread::spawn(move || {
        for value in 5..200 {
            bench.write(&["t"], value..value + 1);
        }
        bench
    });
    let mut last = StreamId::ZERO;
    while !writer.is_finished() {
        let snapshot = reader.snapshot(&tag("t")).await.unwrap();
        // Values count up by one, and so do versions, two offsets an event.
        let newest = (snapshot.version.position - 3) / 2;
        for name in 0..5 {
            let expected = newest - (newest + 5 - name) % 5;
            assert_eq!(snapshot.values[&format!("n{name}")], expected.to_string(), "{:?}", snapshot.version);
        }
        assert_eq!(snapshot.values.len(), 12_005);
        assert!(snapshot.version >= last);
        last = snapshot.version;
    }
    let bench = writer.join().unwrap();
    let small = bench.reader(Options { snapshot_bytes_max: 1 << 20, ..Options::default() }).await;
    assert!(matches!(small.follow(&tag("t")).await.unwrap_err(), ReaderError::TooLarge { .. }));
}

#[tokio::test]
async fn whatever_happens_in_between_a_follower_ends_up_with_the_snapshot() {
    let mut bench = Bench::new();
    let options = Options { buffer: 16, audit: Duration::from_millis(100), ..Options::default() };
    let reader = bench.reader(options).await;
    let mut follow = reader.follow(&tag("t")).await.unwrap();
    let mut state = snapshot(&mut follow).await;
    let mut redis = bench.redis();
    for round in 0..200 {
        let dice = crate::event::schedule::hash(7, 0, round) % 20;
        match dice {
            0 => redis::cmd("XTRIM").arg(key("t", "delta")).arg("MAXLEN").arg(1).exec(&mut redis).unwrap(),
            1 => redis.del::<_, ()>(key("t", "delta")).unwrap(),
            2 => redis::cmd("FLUSHALL").exec(&mut redis).unwrap(),
            3 => redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").exec(&mut redis).unwrap(),
            4 => (bench.generation, bench.offset) = (bench.generation + 1, 0),
            _ => {}
        }
        bench.write(&["t"], round as u32..round as u32 + dice as u32 % 7 + 1);
        if dice.is_multiple_of(3) {
            let done = StreamId { generation: bench.generation, position: bench.offset as u64 + 1 };
            until(&mut follow, &mut state, done).await;
            let truth: BTreeMap<String, Vec<u8>> = redis.hgetall(key("t", "snapshot")).unwrap();
            let own: BTreeMap<_, _> = state.values.iter().map(|(name, data)| (name.clone(), data.to_vec())).collect();
            assert_eq!(own, truth, "round {round}");
        }
    }
}

//! Each kind of damage, planted in a real Redis that the store itself has filled, and found.

use std::time::Duration;

use proptest::prelude::*;
use prost::Message;
use redis::{Client, Commands, Connection};

use super::{
    redis_read::{Entries, Field, Stored},
    tag_check::TagCheck,
    *,
};
use crate::{
    cluster::TemporaryNodes,
    event::headers::Stamps,
    store::{Author, Settings, Store, Write},
    variant::RedisMode,
};
use shasta_model::{
    manifest::verification::{Kind, Place},
    tag_data::{Identifier, LOAD_APP, LOAD_SCOPE, TagData},
};
use shasta_reader::StreamId;

const KEY: &str = "shasta:{shasta/3/load}";
const MAXLEN: u32 = 100;

/// One record of the topic, in partition 0.
#[derive(Debug, Clone)]
struct Published {
    offset: i64,
    /// None for a foreign one.
    sequence: Option<u64>,
    tag: String,
    name: String,
    data: Vec<u8>,
}

fn published(offset: i64, sequence: Option<u64>, name: &str, data: &str) -> Published {
    let (tag, name, data) = ("3".into(), name.into(), data.into());
    Published { offset, sequence, tag, name, data }
}

impl Published {
    fn event(&self) -> TagData {
        let Self { tag, name, data, .. } = self.clone();
        let identifier = Identifier { app_id: LOAD_APP.into(), tag, scope: LOAD_SCOPE.into(), name };
        TagData { identifier: Some(identifier), data }
    }

    fn write(&self) -> Write {
        let author = self.sequence.map(|sequence| Author { producer: 3, sequence, warm: false });
        Write { event: self.event(), partition: 0, offset: self.offset, author }
    }
}

/// The row of an event that was acked and stored at this offset.
fn row(offset: i64, sequence: u64) -> Row {
    Row {
        producer: 3,
        tag: 3,
        offset: Some(offset),
        sequence,
        before_publish_us: Some(1),
        after_publish_us: Some(2),
        after_consume_us: Some(3),
        after_store_us: Some(4),
        ..Row::default()
    }
}

/// A run of one partition: what is in its topic, and in its rows.
#[derive(Debug, Clone)]
struct Case {
    topic: Vec<Published>,
    rows: Vec<Row>,
    failed: Vec<u64>,
    aside: Vec<i64>,
    bounds: (bool, i64, i64),
}

impl Case {
    /// Six events of one tag, three names; other tags take the offsets in between.
    fn plain() -> Self {
        let offsets = [10, 12, 13, 15, 16, 19];
        let names = ["x", "y", "x", "z", "y", "x"];
        let event = |index: usize| {
            published(offsets[index], Some(index as u64), names[index], &format!("{}{index}", names[index]))
        };
        Self {
            topic: (0..6).map(event).collect(),
            rows: offsets.iter().zip(0..).map(|(&offset, sequence)| row(offset, sequence)).collect(),
            failed: Vec::new(),
            aside: Vec::new(),
            bounds: (false, 10, 30),
        }
    }

    /// A case whose events are all acked and stored at their first copy, where they have an author.
    fn of(topic: Vec<Published>) -> Self {
        let mut rows: Vec<Row> = Vec::new();
        for Published { offset, sequence, .. } in &topic {
            if let Some(sequence) = *sequence
                && rows.iter().all(|row| row.sequence != sequence)
            {
                rows.push(row(*offset, sequence));
            }
        }
        Self { topic, rows, ..Self::plain() }
    }
}

struct Bench {
    _nodes: TemporaryNodes,
    url: String,
    client: Client,
    redis: Connection,
}

impl Bench {
    fn new() -> Self {
        let nodes = TemporaryNodes::new(RedisMode::Single, &[]);
        let url = nodes.url();
        let client = Client::open(url.as_str()).unwrap();
        let redis = client.get_connection().unwrap();
        Self { _nodes: nodes, url, client, redis }
    }

    fn store(&self, stream_maxlen: u32) -> Store {
        let settings = Settings { generation: 1, run: "r".into(), stream_maxlen, timeout: Duration::from_secs(5) };
        Store::connect(&self.client, settings).unwrap()
    }

    /// Empties Redis, lets the store apply all of the topic, and damages that.
    fn fill(&mut self, case: &Case, plant: impl FnOnce(&mut Connection)) {
        redis::cmd("FLUSHALL").exec(&mut self.redis).unwrap();
        let writes: Vec<_> =
            case.topic.iter().filter(|record| !case.aside.contains(&record.offset)).map(Published::write).collect();
        self.store(MAXLEN).apply(&writes).unwrap();
        plant(&mut self.redis);
    }

    fn check(&self, case: &Case) -> (Checked, Findings) {
        self.check_with(case, MAXLEN)
    }

    fn check_with(&self, case: &Case, stream_maxlen: u32) -> (Checked, Findings) {
        let mut written = Written::new("r");
        for record in &case.topic {
            let sequence = record.sequence.unwrap_or(0);
            let run = if record.sequence.is_some() { "r" } else { "another" };
            let stamps =
                Stamps { run, source: "p0", producer: 3, sequence, scheduled_us: 0, before_publish_us: 0, warm: false };
            written.take(0, record.offset, Some(&stamps), &record.event().encode_to_vec());
        }
        let (reused, start, end) = case.bounds;
        let (start_offsets, end_offsets) = (vec![start], vec![end]);
        let bounds = Bounds { generation: 1, stream_maxlen, reused, start_offsets, end_offsets };
        let (mut checked, mut findings) = (Checked::default(), Findings::default());
        let mut settled = written.settle(&case.aside.iter().map(|offset| (0, *offset)).collect(), Vec::new());
        for row in &case.rows {
            settled.row(row, case.failed.contains(&row.sequence), &mut checked, &mut findings);
        }
        settled.count(true, &mut checked, &mut findings);
        let mut redis = Stored::new(&self.url, self.url.clone()).unwrap();
        for (tag, records) in settled.tags() {
            TagCheck::new(&bounds, tag, records, &mut checked, &mut findings).run(&mut redis).unwrap();
        }
        (checked, findings)
    }

    /// The kinds of damage found after `plant` in an otherwise whole run.
    fn found(&mut self, case: &Case, plant: impl FnOnce(&mut Connection)) -> Vec<Kind> {
        self.fill(case, plant);
        let (_, findings) = self.check(case);
        assert_eq!(findings.counts.values().sum::<u64>() as usize, findings.listed.len());
        findings.counts.into_keys().collect()
    }
}

/// Writes the stream anew with other entries.
fn rewrite(redis: &mut Connection, change: impl FnOnce(&mut Entries)) {
    let key = format!("{KEY}:delta");
    let mut entries: Entries = redis::cmd("XRANGE").arg(&key).arg("-").arg("+").query(redis).unwrap();
    change(&mut entries);
    let _: () = redis.del(&key).unwrap();
    for (id, fields) in entries {
        let mut command = redis::cmd("XADD");
        command.arg(&key).arg(id);
        for (name, value) in fields {
            command.arg(name).arg(value);
        }
        command.exec(redis).unwrap();
    }
}

fn set(entry: &mut (String, Vec<Field>), name: &str, value: &[u8]) {
    entry.1.iter_mut().find(|field| field.0 == name.as_bytes()).unwrap().1 = value.to_vec();
}

fn hset(redis: &mut Connection, key: &str, name: &[u8], value: &[u8]) {
    let _: () = redis.hset(format!("{KEY}:{key}"), name, value).unwrap();
}

#[test]
fn what_the_store_has_written_passes_and_is_counted() {
    let mut bench = Bench::new();
    let case = Case::plain();
    assert_eq!(bench.found(&case, |_| ()), []);
    let (checked, _) = bench.check(&case);
    let expected = Checked { rows: 6, acked: 6, records: 6, tags: 1, entries: 6, values: 3, ..Checked::default() };
    assert_eq!(checked, expected);
}

#[test]
fn a_damaged_stream_is_found() {
    let mut bench = Bench::new();
    let case = Case::plain();
    let mut found = |change: fn(&mut Entries)| bench.found(&case, |redis| rewrite(redis, change));
    assert_eq!(found(|_| ()), []);
    assert_eq!(found(|entries| drop(entries.remove(2))), [Kind::WrongPrevious, Kind::Missing]);
    assert_eq!(found(|entries| drop(entries.remove(0))), [Kind::Missing], "far from its length nothing is trimmed");
    assert_eq!(found(|entries| drop(entries.pop())), [Kind::Missing, Kind::WrongVersion]);
    assert_eq!(found(Vec::clear), [Kind::Missing, Kind::WrongVersion]);
    assert_eq!(found(|entries| set(&mut entries[3], "previous", b"1-13")), [Kind::WrongPrevious]);
    assert_eq!(found(|entries| set(&mut entries[3], "previous", b"9-9")), [Kind::WrongPrevious]);
    assert_eq!(found(|entries| set(&mut entries[0], "previous", b"0-3")), [Kind::WrongPrevious]);
    // An entry that makes no sense is none: its event is missing as well.
    assert_eq!(found(|entries| set(&mut entries[3], "previous", b"\xff")), [Kind::NotOurs, Kind::Missing]);
    assert_eq!(found(|entries| set(&mut entries[3], "data", b"z")), [Kind::WrongContent]);
    assert_eq!(found(|entries| drop(entries[3].1.pop())), [Kind::NotOurs, Kind::Missing], "no `previous`");
    assert_eq!(found(|entries| entries[3].1.truncate(1)), [Kind::NotOurs, Kind::Missing]);
    let reversed = |entries: &mut Entries| {
        let [first, second] = [1, 2].map(|index| entries[index].1.clone());
        (entries[1].1, entries[2].1) = (second, first);
    };
    assert_eq!(found(reversed), [Kind::OutOfOrder, Kind::WrongPrevious]);
}

#[test]
fn names_of_any_bytes_are_compared_as_they_are() {
    let mut bench = Bench::new();
    let long = "x".repeat(64 << 10);
    let odd = ["\0", "{x}", "", " ", "ü\r\n", &long];
    let named = |(index, name): (usize, &&str)| published(10 + index as i64, Some(index as u64), name, "d");
    let mut case = Case::of(odd.iter().enumerate().map(named).collect());
    for (record, tag) in case.topic.iter_mut().zip(odd) {
        record.tag = tag.into();
    }
    case.rows.clear();
    bench.fill(&case, |_| ());
    let (checked, findings) = bench.check(&case);
    assert_eq!((checked.tags, checked.entries, checked.values), (6, 6, 6));
    // Their tags are not the load's numbers, and they have no rows; nothing else is wrong.
    assert!(findings.counts.keys().eq([&Kind::NoRow]), "{findings:?}");

    let plain = Case::plain();
    for name in ["\0".as_bytes(), b"{x}", b"\xff\xfe", long.as_bytes()] {
        let entry = |redis: &mut Connection| rewrite(redis, |entries| set(&mut entries[3], "name", name));
        assert_eq!(bench.found(&plain, entry), [Kind::WrongContent]);
        assert_eq!(bench.found(&plain, |redis| hset(redis, "snapshot", name, b"d")), [Kind::SnapshotExtra]);
    }
}

#[test]
fn entries_that_are_not_of_the_run_are_found() {
    let mut bench = Bench::new();
    let case = Case::plain();
    let mut found = |id: &'static str, previous: &'static [u8], kinds: &[Kind]| {
        let plant = |redis: &mut Connection| {
            rewrite(redis, |entries| {
                let mut entry = (id.to_owned(), entries[5].1.clone());
                set(&mut entry, "previous", previous);
                entries.push(entry);
                entries.sort_by_key(|entry| entry.0.parse::<StreamId>().unwrap());
            });
            hset(redis, "meta", b"version", if previous == b"0-0" { b"1-20" } else { id.as_bytes() });
        };
        assert_eq!(bench.found(&case, plant), kinds, "{id}");
    };
    found("1-25", b"1-20", &[Kind::NoRecord]);
    found("2-5", b"1-20", &[Kind::NotOurs]);
    found("18446744073709551615-18446744073709551615", b"1-20", &[Kind::NotOurs]);
    found("0-5", b"0-0", &[Kind::NotOurs, Kind::WrongPrevious]);
    found("1-0", b"0-0", &[Kind::NotOurs, Kind::WrongPrevious]);
    // What came after the topic was read is another's, and may be.
    found("1-31", b"1-20", &[]);
}

#[test]
fn a_damaged_snapshot_or_version_is_found() {
    let mut bench = Bench::new();
    let case = Case::plain();
    let mut found = |key: &'static str, name: &'static [u8], value: &'static [u8]| {
        bench.found(&case, |redis| hset(redis, key, name, value))
    };
    assert_eq!(found("snapshot", b"x", b"x2"), [Kind::SnapshotStale]);
    assert_eq!(found("snapshot", b"x", b"y1"), [Kind::SnapshotWrong]);
    assert_eq!(found("snapshot", b"more", b"x2"), [Kind::SnapshotExtra]);
    for version in ["1-17", "1-19", "2-1", "none", "1", "\u{ff}"] {
        assert_eq!(found("meta", b"version", version.as_bytes()), [Kind::WrongVersion], "{version}");
    }
    let gone = |redis: &mut Connection| redis.hdel(format!("{KEY}:snapshot"), "z").unwrap();
    assert_eq!(bench.found(&case, gone), [Kind::SnapshotMissing]);
    let gone = |redis: &mut Connection| redis.hdel(format!("{KEY}:meta"), "version").unwrap();
    assert_eq!(bench.found(&case, gone), [Kind::WrongVersion]);
}

#[test]
fn keys_of_another_type_and_keys_that_are_gone_are_found() {
    let mut bench = Bench::new();
    let case = Case::plain();
    for key in ["snapshot", "delta", "meta"] {
        let other = |redis: &mut Connection| redis.set(format!("{KEY}:{key}"), "not ours").unwrap();
        let kinds = bench.found(&case, other);
        assert!(kinds.contains(&Kind::WrongType), "{key}: {kinds:?}");
    }
    let gone = |redis: &mut Connection| redis::cmd("FLUSHALL").exec(redis).unwrap();
    assert_eq!(bench.found(&case, gone), [Kind::Missing]);
}

#[test]
fn an_event_that_took_effect_twice_is_found_and_one_that_did_not_passes() {
    let mut bench = Bench::new();
    let mut case = Case::plain();
    // Sequence 2 once more: the producer's retry after an unknown ack.
    case.topic.push(published(22, Some(2), "x", "x2"));
    assert_eq!(bench.found(&case, |_| ()), []);
    assert_eq!(bench.check(&case).0.second_copies, 1);
    let twice = |redis: &mut Connection| {
        rewrite(redis, |entries| {
            let mut again = ("1-23".to_owned(), entries[2].1.clone());
            set(&mut again, "previous", b"1-20");
            entries.push(again);
        });
        hset(redis, "meta", b"version", b"1-23");
        hset(redis, "snapshot", b"x", b"x2");
    };
    assert_eq!(bench.found(&case, twice), [Kind::Duplicate, Kind::SnapshotStale]);
}

#[test]
fn an_event_that_came_after_a_later_one_is_lost_only_if_it_was_acked() {
    let mut bench = Bench::new();
    let mut case = Case::plain();
    case.topic.swap(1, 2);
    (case.topic[1].offset, case.topic[2].offset) = (12, 13);
    (case.rows[1], case.rows[2]) = (row(13, 1), row(12, 2));
    assert_eq!(bench.found(&case, |_| ()), [Kind::Missing]);
    assert!(bench.check(&case).1.listed[0].problem.ends_with("came before it, at offset 12"));
    case.rows[1].after_publish_us = None;
    assert_eq!(bench.found(&case, |_| ()), []);
    let (checked, _) = bench.check(&case);
    assert_eq!((checked.overtaken, checked.maybe_written), (1, 1));
}

#[test]
fn rows_that_the_topic_contradicts_are_found() {
    let mut bench = Bench::new();
    let mut found = |change: fn(&mut Case)| {
        let mut case = Case::plain();
        change(&mut case);
        bench.found(&case, |_| ())
    };
    assert_eq!(found(|case| case.rows.push(row(20, 6))), [Kind::NotInTopic]);
    assert_eq!(found(|case| case.rows[3].offset = Some(16)), [Kind::NotInTopic]);
    assert_eq!(found(|case| case.rows[3].partition = 1), [Kind::NotInTopic]);
    assert_eq!(found(|case| case.rows[3].tag = 4), [Kind::NotInTopic]);
    assert_eq!(found(|case| drop(case.rows.remove(3))), [Kind::NoRow]);
    assert_eq!(found(|case| case.failed.push(3)), [Kind::Denied]);
    let unsent = |case: &mut Case| case.rows[3] = Row { producer: 3, sequence: 3, ..Row::default() };
    assert_eq!(found(unsent), [Kind::Denied]);
    let neither = |case: &mut Case| {
        let row =
            Row { offset: None, after_publish_us: None, after_consume_us: None, after_store_us: None, ..row(0, 6) };
        case.rows.extend([row.clone(), Row { sequence: 7, before_publish_us: None, ..row }]);
    };
    assert_eq!(found(neither), [], "unacked, unsent, and not there");
}

#[test]
fn what_was_never_stored_or_set_aside_need_not_be_there() {
    let mut bench = Bench::new();
    // The workers ended before they came to the last one.
    let mut case = Case::plain();
    let last = case.topic.pop().unwrap();
    bench.fill(&case, |_| ());
    case.topic.push(last);
    case.rows[5].after_store_us = None;
    let (checked, findings) = bench.check(&case);
    assert_eq!((checked.not_stored, findings), (1, Findings::default()));
    case.rows[5].after_store_us = Some(1);
    assert!(bench.check(&case).1.counts.into_keys().eq([Kind::Missing]));

    let mut case = Case::plain();
    case.aside.push(13);
    case.rows[2].after_store_us = None;
    assert_eq!(bench.found(&case, |_| ()), []);
    assert_eq!(bench.check(&case).0.set_aside, 1);
}

#[test]
fn trimmed_events_are_counted_by_whether_a_worker_told_of_them() {
    let mut bench = Bench::new();
    let topic: Vec<_> = (0..500).map(|number| published(number, Some(number as u64), "x", "d")).collect();
    let mut case = Case { bounds: (false, 0, 500), ..Case::of(topic) };
    case.rows[7].after_store_us = None;
    bench.fill(&case, |_| ());
    let (checked, findings) = bench.check(&case);
    assert_eq!(findings, Findings::default());
    assert!(checked.trimmed >= 300 && checked.trimmed + checked.entries == 500, "{checked:?}");
    assert_eq!(checked.trimmed_untold, 1);
    let (_, findings) = bench.check_with(&case, 400);
    assert!(findings.counts.into_keys().eq([Kind::Missing]), "shorter than what is never trimmed");
}

#[test]
fn what_others_write_is_tolerated_and_counted() {
    let mut bench = Bench::new();
    let mut case = Case::plain();
    // Of another run, before and between ours; the last one of its name.
    case.topic.insert(3, published(14, None, "y", "theirs"));
    case.topic.push(published(20, None, "y", "theirs"));
    assert_eq!(bench.found(&case, |_| ()), []);
    assert_eq!(bench.check(&case).0.foreign, 2);

    // An earlier run in the same Redis wrote what comes before the start.
    case.bounds = (true, 13, 30);
    let earlier = case.topic.drain(..2).collect::<Vec<_>>();
    case.rows.drain(..2);
    redis::cmd("FLUSHALL").exec(&mut bench.redis).unwrap();
    let writes: Vec<_> = earlier.iter().chain(&case.topic).map(Published::write).collect();
    bench.store(MAXLEN).apply(&writes).unwrap();
    hset(&mut bench.redis, "snapshot", b"of old", b"d");
    let (checked, findings) = bench.check(&case);
    assert_eq!(findings, Findings::default());
    assert_eq!((checked.entries_of_others, checked.values_of_others), (2, 1));
    case.bounds.0 = false;
    assert!(bench.check(&case).1.counts.into_keys().eq([Kind::NotOurs, Kind::SnapshotExtra]));
}

#[test]
fn a_redis_that_refuses_or_is_none_ends_the_check_in_words() {
    let nodes = TemporaryNodes::new(RedisMode::Single, &[]);
    redis::cmd("CONFIG").arg("SET").arg("requirepass").arg("s3cret").exec(&mut nodes.node(0)).unwrap();
    let url = nodes.url();
    let keys = published(0, None, "", "").event().identifier.unwrap().redis_keys();
    let refused = Stored::new(&url, url.clone()).unwrap().version(&keys).err().unwrap();
    assert!(refused.to_string().contains("NOAUTH") || refused.to_string().contains("Authentication"), "{refused}");
    assert!(Stored::new("nonsense", "nonsense".into()).is_err());
}

#[test]
fn only_the_first_damages_are_kept_and_all_are_counted() {
    let mut findings = Findings::default();
    let place = || Place { tag: Some("ü".repeat(1_000)), ..Place::default() };
    for _ in 0..1_000 {
        findings.add(Kind::Missing, place(), "gone");
    }
    assert_eq!((findings.counts[&Kind::Missing], findings.listed.len()), (1_000, 20));
    assert_eq!(findings.listed[0].place.tag.as_ref().unwrap().chars().count(), 121);
}

/// What may be in a topic: new events of one producer, now and then one that was held up, its retries, and others'.
fn any_topic() -> impl Strategy<Value = Vec<Published>> {
    let record = (0u8..10, 1i64..4, 0usize..3, 0u64..30);
    prop::collection::vec(record, 1..60).prop_map(|steps| {
        let (mut offset, mut next, mut topic) = (9, 0, Vec::<Published>::new());
        for (kind, gap, name, pick) in steps {
            offset += gap;
            let sequence = match kind {
                0 => None,
                1 | 2 => Some(pick),
                _ => Some(next),
            };
            next = sequence.map_or(next, |sequence| next.max(sequence + 1));
            let earlier = topic.iter().find(|record| record.sequence.is_some() && record.sequence == sequence);
            let event = match earlier {
                Some(copy) => Published { offset, ..copy.clone() },
                None => published(offset, sequence, ["x", "y", "z"][name], &offset.to_string()),
            };
            topic.push(event);
        }
        topic
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Store and check agree: whatever the topic holds, and however often parts of it are delivered again, what the
    /// store makes of it passes; any entry that is then taken away or changed is found.
    #[test]
    fn whatever_the_store_makes_of_a_topic_passes_and_any_change_is_found(
        topic in any_topic(), again in prop::collection::vec(1usize..60, 0..4), hit in any::<prop::sample::Index>(), remove: bool,
    ) {
        let mut bench = Bench::new();
        let mut case = Case { bounds: (false, 10, 1_000), ..Case::of(topic) };
        // A producer that keeps its order gets no ack for what came late.
        let mut highest = 0;
        for row in &mut case.rows {
            row.after_publish_us = row.after_publish_us.filter(|_| row.sequence >= highest);
            highest = highest.max(row.sequence);
        }
        let mut store = bench.store(MAXLEN);
        let writes = |from: usize, to: usize| case.topic[from..to].iter().map(Published::write).collect::<Vec<_>>();
        let count = case.topic.len();
        for from in again {
            let to = from.min(count);
            store.apply(&writes(0, to)).unwrap();
            store.apply(&writes(to / 2, to)).unwrap();
        }
        store.apply(&writes(0, count)).unwrap();
        prop_assert_eq!(bench.check(&case).1, Findings::default());

        let foreign = |id: &str| {
            let offset = id.parse::<StreamId>().unwrap().position as i64 - 1;
            case.topic.iter().any(|record| record.offset == offset && record.sequence.is_none())
        };
        let mut harmless = false;
        rewrite(&mut bench.redis, |entries| {
            let index = hit.index(entries.len());
            // Without a follower that would name it, another's entry may be there or not.
            harmless = foreign(&entries[index].0);
            if remove {
                entries.remove(index);
            } else {
                set(&mut entries[index], "data", b"damaged");
            }
        });
        prop_assert!(harmless || !bench.check(&case).1.counts.is_empty());
    }
}

//! What is gained by storing many events in one round trip? The store, and other ways to write a snapshot and a delta,
//! for 1 to 1,024 events at once and 0, 1 and 4 ms of network between; and what redis-benchmark gets out of the same
//! Redis with the same command, in the same run.
//!
//! | way | what it does |
//! |---|---|
//! | awaited | as the earlier system did: XADD, await, HSET, await, event by event; not atomic, and a retry writes twice |
//! | pipeline | the same commands, all sent at once and awaited once; not atomic |
//! | transaction | the same within MULTI and EXEC an event |
//! | function | `store.lua` as a function of a library |
//! | store | [`Store::apply`], what a worker does: `store.lua` by EVALSHA |

mod harness;

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use redis::{Cmd, Commands, Connection, Pipeline};
use shasta::{
    cluster::proxy::{Condition, Proxy},
    store::{Author, Effect, Settings, Store, Write},
};
use shasta_model::tag_data::{Identifier, LOAD_APP, LOAD_SCOPE, RedisKeys, TagData};

use harness::{BenchHarness, redis_benchmark, store_script, test_mode};

const BATCHES: [u64; 6] = [1, 4, 16, 64, 256, 1_024];
/// The batch at which ways are compared.
const BATCH: u64 = 64;
const ROUND_TRIPS_MS: [u64; 3] = [0, 1, 4];
const TAGS: u64 = 1_000;
/// Approximate length of a delta stream, as runs have it.
const STREAM_MAXLEN: u32 = 100;
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strategy {
    Awaited,
    Pipeline,
    Transaction,
    Function,
    Store,
}

/// A way to Redis, and the events that go it.
struct Client {
    connection: Connection,
    store: Store,
    tags: u64,
    next: u64,
}

impl Client {
    /// Over a network of so many ms there and back; without a proxy where that is 0.
    fn open(harness: &BenchHarness, proxy: Option<&Proxy>, tags: u64, generation: u64) -> Self {
        let address = proxy.map_or(harness.redis(), Proxy::address);
        let client = redis::Client::open(format!("redis://{address}")).expect("it is a URL");
        let connection = client.get_connection_with_timeout(TIMEOUT).expect("Redis is there");
        let settings = Settings { generation, run: "bench".into(), stream_maxlen: STREAM_MAXLEN, timeout: TIMEOUT };
        let store = Store::connect(&client, settings).expect("Redis is there");
        Self { connection, store, tags, next: 0 }
    }

    fn batch(&mut self, events: u64) -> Vec<Write> {
        (0..events).map(|_| self.event()).collect()
    }

    fn event(&mut self) -> Write {
        let (nth, tag) = (self.next, self.next % self.tags);
        self.next += 1;
        let name = format!("n{:02}", nth / self.tags % 16);
        let identifier = Identifier { app_id: LOAD_APP.into(), tag: tag.to_string(), scope: LOAD_SCOPE.into(), name };
        let author = Some(Author { producer: tag as u32, sequence: nth, warm: false });
        Write {
            event: TagData { identifier: Some(identifier), data: data(nth) },
            partition: 0,
            offset: nth as i64,
            author,
        }
    }

    fn apply(&mut self, way: Strategy, batch: &[Write]) {
        match way {
            Strategy::Awaited => batch.iter().for_each(|write| {
                let (delta, snapshot) = plain(write);
                delta.exec(&mut self.connection).expect("Redis takes it");
                snapshot.exec(&mut self.connection).expect("Redis takes it");
            }),
            Strategy::Pipeline => {
                let mut pipeline = Pipeline::with_capacity(2 * batch.len());
                for write in batch {
                    let (delta, snapshot) = plain(write);
                    pipeline.add_command(delta).ignore().add_command(snapshot).ignore();
                }
                pipeline.exec(&mut self.connection).expect("Redis takes it");
            }
            Strategy::Transaction => {
                let mut pipeline = Pipeline::with_capacity(4 * batch.len());
                for write in batch {
                    let (delta, snapshot) = plain(write);
                    pipeline.cmd("MULTI").ignore().add_command(delta).ignore().add_command(snapshot).ignore();
                    pipeline.cmd("EXEC").ignore();
                }
                pipeline.exec(&mut self.connection).expect("Redis takes it");
            }
            Strategy::Function => {
                let mut pipeline = Pipeline::with_capacity(batch.len());
                for write in batch {
                    pipeline.add_command(function(write));
                }
                let applied: Vec<u8> = pipeline.query(&mut self.connection).expect("Redis takes it");
                assert!(applied.iter().all(|applied| *applied == 1), "each event is new");
            }
            Strategy::Store => {
                let effects = self.store.apply(batch).expect("Redis takes it");
                assert!(effects.iter().all(|effect| *effect == Effect::Applied), "each event is new");
            }
        }
    }

    /// The time of so many batches, and a look at whether the last event of the last one is there.
    fn time(&mut self, way: Strategy, events: u64, batches: u64) -> Duration {
        let mut took = Duration::ZERO;
        for nth in 1..=batches {
            let batch = self.batch(events);
            let start = Instant::now();
            self.apply(way, &batch);
            took += start.elapsed();
            if nth == batches {
                let last = batch.last().expect("there is one").event.clone();
                let identifier = last.identifier.expect("events have one");
                let kept: Vec<u8> =
                    self.connection.hget(identifier.redis_keys().snapshot, identifier.name).expect("it was stored");
                assert_eq!(kept, last.data, "{way:?}");
            }
        }
        took
    }
}

/// So many bytes that the whole event is as large as in runs; text, so that redis-benchmark takes it as an argument.
fn data(nth: u64) -> Vec<u8> {
    format!("{nth:0width$}", width = harness::BYTES - 32).into_bytes()
}

/// The two commands without a script.
fn plain(write: &Write) -> (Cmd, Cmd) {
    let identifier = write.event.identifier.as_ref().expect("events have one");
    let RedisKeys { snapshot, delta, .. } = identifier.redis_keys();
    let (name, data) = (&identifier.name, &write.event.data[..]);
    let mut add = redis::cmd("XADD");
    add.arg(delta).arg("MAXLEN").arg("~").arg(STREAM_MAXLEN).arg("*").arg("name").arg(name).arg("data").arg(data);
    let mut set = redis::cmd("HSET");
    set.arg(snapshot).arg(name).arg(data);
    (add, set)
}

fn function(write: &Write) -> Cmd {
    let identifier = write.event.identifier.as_ref().expect("events have one");
    let RedisKeys { snapshot, delta, meta } = identifier.redis_keys();
    let Author { producer, sequence, .. } = write.author.expect("events of the bench have one");
    let mut call = redis::cmd("FCALL");
    call.arg("shasta_store").arg(3).arg(snapshot).arg(delta).arg(meta).arg(1).arg(write.offset + 1).arg("bench");
    call.arg(format!("sequence:{producer}")).arg(sequence).arg(&identifier.name).arg(&write.event.data[..]);
    call.arg(STREAM_MAXLEN).arg(0);
    call
}

fn ways(round_trip_ms: u64, batch: u64) -> Vec<Strategy> {
    match batch {
        1 => vec![Strategy::Awaited, Strategy::Store],
        BATCH if round_trip_ms < 4 => {
            vec![Strategy::Pipeline, Strategy::Transaction, Strategy::Function, Strategy::Store]
        }
        256 if round_trip_ms == 0 => vec![Strategy::Function, Strategy::Store],
        _ => vec![Strategy::Store],
    }
}

/// Each lane begins in an empty Redis: IDs and sequences of the one before would make its events stale.
fn lane(harness: &BenchHarness, proxy: Option<&Proxy>, tags: u64) -> Client {
    let mut lane = Client::open(harness, proxy, tags, 1);
    let _: () = redis::cmd("FLUSHALL").query(&mut lane.connection).expect("Redis is ours");
    let library = redis::cmd("FUNCTION").arg("LOAD").arg("REPLACE").arg(store_script::library()).to_owned();
    library.exec(&mut lane.connection).expect("the library is valid");
    lane
}

fn round_trips(criterion: &mut Criterion, harness: &BenchHarness) {
    for round_trip_ms in ROUND_TRIPS_MS {
        let proxy = (round_trip_ms > 0).then(|| {
            let proxy = Proxy::listen(harness.redis()).expect("there is a port");
            proxy.set(Condition { delay: Duration::from_millis(round_trip_ms) / 2, cut: false });
            proxy
        });
        let mut group = criterion.benchmark_group(format!("store, {round_trip_ms} ms round trip"));
        group.sample_size(20).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_secs(1));
        for events in BATCHES {
            group.throughput(Throughput::Elements(events));
            for way in ways(round_trip_ms, events) {
                let mut lane = lane(harness, proxy.as_ref(), TAGS);
                let name = format!("{way:?}").to_lowercase();
                group.bench_function(BenchmarkId::new(name, events), |bencher| {
                    bencher.iter_custom(|batches| lane.time(way, events, batches));
                });
            }
        }
        group.finish();
    }
}

fn tags(criterion: &mut Criterion, harness: &BenchHarness) {
    let mut group = criterion.benchmark_group("store, tags");
    group.sample_size(20).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_secs(1));
    group.throughput(Throughput::Elements(BATCH));
    for tags in [1, TAGS, 100_000] {
        let mut lane = lane(harness, None, tags);
        group.bench_function(BenchmarkId::new("store", tags), |bencher| {
            bencher.iter_custom(|batches| lane.time(Strategy::Store, BATCH, batches));
        });
    }
    group.finish();
}

/// The bare limit, by Redis' own tool.
fn limit(criterion: &mut Criterion, harness: &BenchHarness) {
    let mut lane = lane(harness, None, TAGS);
    let script: String = redis::cmd("SCRIPT")
        .arg("LOAD")
        .arg(store_script::with_ids_of_redis())
        .query(&mut lane.connection)
        .expect("the script is valid");
    let mut group = criterion.benchmark_group("store, 0 ms round trip");
    group.sample_size(10).measurement_time(Duration::from_secs(4)).warm_up_time(Duration::from_secs(1));
    for (way, command, name, batches) in [
        ("redis-benchmark EVALSHA", "EVALSHA", script.as_str(), &BATCHES[..5]),
        ("redis-benchmark FCALL", "FCALL", "shasta_store_any", &BATCHES[3..5]),
    ] {
        let arguments = store_script::arguments(command, name, &data(0));
        for &events in batches {
            group.throughput(Throughput::Elements(events));
            group.bench_function(BenchmarkId::new(way, events), |bencher| {
                bencher.iter_custom(|batches| {
                    redis_benchmark::time(harness.redis(), events, events * batches, &arguments, test_mode())
                });
            });
        }
    }
    group.finish();
    let stored: u64 = redis::cmd("XLEN")
        .arg("shasta:{shasta/000000000007/load}:delta")
        .query(&mut lane.connection)
        .expect("Redis is there");
    assert!(stored > 0, "redis-benchmark has written what the store writes");
}

fn all(criterion: &mut Criterion) {
    let harness = BenchHarness::start("redis_pipelining", 0);
    round_trips(criterion, &harness);
    tags(criterion, &harness);
    limit(criterion, &harness);
}

criterion_group!(benches, all);
criterion_main!(benches);

//! Whole runs during which Redis loses what it had acknowledged: everything is there at the end, from Kafka.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by unwrapping it")]

mod request;

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use redis::Commands;
use shasta::{
    cluster::{self, Cluster, Endpoints},
    machine::process::Lifetime,
    output::{
        progress::Progress,
        rows::{self, Row},
    },
    run::{Finished, Request, Stop, run},
    variant::{ClusterKind, Layer, RedisMode, Variant},
};
use shasta_reader::topology::Primaries;

/// ID and fields.
type Entry = (String, Vec<(String, Vec<u8>)>);

const SECOND: Duration = Duration::from_secs(1);

fn layer(mode: RedisMode) -> Layer {
    let span = |text: &str| text.parse().ok();
    Layer {
        connections: Some(20),
        rate: Some(10.0),
        duration: span("8s"),
        warm: span("2s"),
        partitions: Some(6),
        redis_mode: Some(mode),
        ..Layer::default()
    }
}

fn request(name: &str, out: &Path, endpoints: &Endpoints) -> Request {
    let overrides = Layer { cluster: Some(ClusterKind::External), ..layer(RedisMode::Single) };
    request::request(name, out, Some(request::addresses(endpoints)), &overrides)
}

/// Runs while `disturb` does something in the middle of the window.
fn disturbed(name: &str, out: &Path, endpoints: &Endpoints, disturb: impl FnOnce()) -> Finished {
    let request = request(name, out, endpoints);
    let rows = out.join(format!("{name}.csv"));
    std::thread::scope(|scope| {
        let running = scope.spawn(|| run(&request, &Stop::default(), &Progress::default()).unwrap());
        // As soon as rows are written, the window has begun.
        while std::fs::metadata(&rows).map_or(0, |file| file.len()) < 1_000 {
            assert!(!running.is_finished());
            std::thread::sleep(Duration::from_millis(50));
        }
        std::thread::sleep(2 * SECOND);
        disturb();
        running.join().unwrap()
    })
}

/// Every event is counted once and is what Redis has: the last of each name, and an unbroken chain to the newest.
fn everything_is_there(finished: &Finished, endpoints: &Endpoints, connections: u64, names: u64) {
    let ledger = &finished.manifest.ledger;
    assert!(ledger.valid, "{:?}", ledger.problems);
    assert_eq!((ledger.planned, ledger.stored, ledger.lost, ledger.unstored), (1_600, 1_600, 0, 0));
    let rows: Vec<Row> = rows::read(&finished.files[0]).unwrap().collect::<Result<_, _>>().unwrap();
    let mut redis = Primaries::connect(endpoints.redis().unwrap(), 5 * SECOND).unwrap();
    for tag in 0..connections {
        let own: Vec<_> = rows.iter().filter(|row| row.tag == tag).collect();
        let key = format!("shasta:{{shasta/{tag}/load}}");
        let node = redis.of(&key).unwrap();
        for name in 0..names {
            let Some(last) = own.iter().map(|row| row.sequence).filter(|n| n % names == name).max() else { continue };
            let value: Vec<u8> = node.hget(format!("{key}:snapshot"), format!("n{name:02}")).unwrap();
            assert_eq!(value[..8], last.to_be_bytes(), "tag {tag}, name {name}");
        }
        let entries: Vec<Entry> =
            redis::cmd("XRANGE").arg(format!("{key}:delta")).arg("-").arg("+").query(node).unwrap();
        for (one, next) in entries.iter().zip(&entries[1..]) {
            assert_eq!(next.1.iter().find(|(field, _)| field == "previous").unwrap().1, one.0.as_bytes(), "tag {tag}");
        }
        let newest = own.iter().filter_map(|row| row.offset).max().unwrap();
        assert!(entries.last().unwrap().0.ends_with(&format!("-{}", newest + 1)), "tag {tag}");
        let places: Vec<_> =
            entries.iter().map(|(id, _)| id.split_once('-').unwrap().1.parse::<i64>().unwrap()).collect();
        assert!(own.iter().all(|row| places.contains(&(row.offset.unwrap() + 1))), "tag {tag} lacks an event");
    }
}

fn start(mode: RedisMode, appendonly: &str) -> Box<dyn Cluster> {
    let (_, mut variant) = Variant::load("laptop", &layer(mode)).unwrap();
    variant.redis.insert("appendonly".into(), appendonly.into());
    cluster::start(&variant, None, Lifetime::WithParent, &|| false, &|_| ()).unwrap()
}

/// A child that ends with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_redis_that_comes_back_empty_is_rebuilt_from_kafka() {
    let cluster = start(RedisMode::Single, "no");
    let (endpoints, out) = (cluster.endpoints().clone(), tempfile::tempdir().unwrap());
    let pid = cluster.processes().into_iter().find(|(name, _)| name == "redis").unwrap().1;
    let port = endpoints.redis_url.rsplit_once(':').unwrap().1.to_owned();
    let mut again = None;
    let finished = disturbed("empty", out.path(), &endpoints, || {
        assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
        std::thread::sleep(SECOND / 2);
        let mut server = Command::new("redis-server");
        server.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--dir"]).arg(out.path());
        again = Some(Killed(server.stdout(Stdio::null()).spawn().unwrap()));
    });
    everything_is_there(&finished, &endpoints, 20, 16);
    let ledger = &finished.manifest.ledger;
    assert!(ledger.rewinds >= 1 && ledger.replayed >= 1 && ledger.duplicates >= 1, "{ledger:?}");
    drop(again);
}

#[test]
fn a_failover_leaves_nothing_out() {
    for mode in [RedisMode::Replica, RedisMode::Cluster] {
        let mut cluster = start(mode, "yes");
        let (endpoints, out) = (cluster.endpoints().clone(), tempfile::tempdir().unwrap());
        let mut killed = String::new();
        let finished = disturbed("failover", out.path(), &endpoints, || killed = cluster.failover_redis().unwrap());
        assert!(cluster.processes().iter().all(|(name, _)| *name != killed), "{killed}");
        everything_is_there(&finished, &endpoints, 20, 16);
    }
}

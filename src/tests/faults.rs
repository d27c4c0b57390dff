//! A whole run whose processes are killed, paused and robbed of their memory, by its own faults and from outside: nothing
//! is lost, nothing is stored twice, and the manifest tells what happened.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by unwrapping it")]

mod request;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use shasta::{
    output::{
        progress::Progress,
        rows::{self},
    },
    run::{Finished, Request, Stop, run},
    variant::{Layer, fault::Fault},
};
use shasta_model::manifest::fault::Record;

const FAULTS: [&str; 10] = [
    "pause broker 1 at 1s for 300ms",
    "flush scripts at 2s",
    "step clock of worker 0 by 5s at 3s for 500ms",
    "kill redis at 4s for 500ms",
    "pause redis at 6s for 1s",
    "fill redis at 8s for 500ms",
    "pause worker 0 at 9s for 500ms",
    "kill worker 1 at 10s for 500ms",
    "restart worker 0 at 12s",
    "kill broker 2 at 13s for 1s",
];

fn request(name: &str, out: &Path, faults: &[&str], duration: &str) -> Request {
    let span = |text: &str| text.parse().ok();
    let faults = faults.iter().map(|text| text.parse::<Fault>().unwrap()).collect();
    let overrides = Layer {
        connections: Some(20),
        rate: Some(10.0),
        duration: span(duration),
        warm: span("1s"),
        // A machine that is busy with other tests takes its time to start a broker again.
        drain: span("120s"),
        delivery_timeout: span("120s"),
        partitions: Some(6),
        seed: Some(7),
        fault: Some(faults),
        ..Layer::default()
    };
    request::request(name, out, None, &overrides)
}

/// Processes whose parent is this one and whose command line contains all parts.
fn children(parts: &[&str]) -> Vec<Pid> {
    let own = std::process::id().to_string();
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok).map(|entry| entry.path());
    let is_child = |path: &PathBuf| {
        let stat = fs::read_to_string(path.join("stat")).unwrap_or_default();
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1).map(str::to_owned));
        let line = fs::read_to_string(path.join("cmdline")).unwrap_or_default().replace('\0', " ");
        parent.as_ref() == Some(&own) && parts.iter().all(|part| line.contains(part))
    };
    let pid = |path: PathBuf| Pid::from_raw(path.file_name()?.to_str()?.parse().ok()?);
    processes.filter(is_child).filter_map(pid).collect()
}

/// As soon as rows are written the window has begun: then somebody kills a broker, a worker and Redis.
fn kill_from_outside(rows: &Path) {
    let started = Instant::now();
    while fs::metadata(rows).map_or(0, |file| file.len()) < 1_000 && started.elapsed() < Duration::from_secs(300) {
        std::thread::sleep(Duration::from_millis(50));
    }
    for parts in [&["kafka.Kafka", "broker-3"][..], &["--role worker"], &["redis-server"]] {
        let pid = children(parts)[0];
        kill_process(pid, Signal::KILL).unwrap();
    }
}

fn nothing_is_missing(finished: &Finished) {
    let ledger = &finished.manifest.ledger;
    assert!(ledger.valid, "{:?} {:?}", ledger.problems, finished.manifest.warnings);
    assert_eq!((ledger.lost, ledger.maybe_unseen, ledger.unstored, ledger.set_aside), (0, 0, 0, 0));
    assert_eq!(ledger.planned, ledger.stored + ledger.unsent + ledger.failed);
    assert_eq!((ledger.unsent, ledger.failed), (0, 0));
    let verification = finished.manifest.verification.as_ref().unwrap();
    assert!(verification.passed && verification.checked.acked == ledger.planned, "{verification:?}");
    let rows: Vec<_> = rows::read(&finished.files[0]).unwrap().collect::<Result<_, _>>().unwrap();
    assert!(rows.iter().all(|row| row.after_store_us.is_some()));
}

fn is_told(record: &Record) {
    assert!(record.done && record.error.is_none(), "{record:?}");
    let figures = record.figures.as_ref().unwrap();
    assert_eq!((figures.before.lost, figures.during.lost, figures.after.lost), (0, 0, 0), "{record:?}");
}

#[test]
fn nothing_is_lost_whatever_is_killed() {
    own_faults();
    // Not beside the other: the processes are found by their parent, and each run starts three brokers.
    kills_from_outside();
}

fn own_faults() {
    let out = tempfile::tempdir().unwrap();
    let finished = run(&request("own", out.path(), &FAULTS, "16s"), &Stop::default(), &Progress::default()).unwrap();
    nothing_is_missing(&finished);
    let faults = &finished.manifest.faults;
    let told: Vec<_> = faults.iter().map(|record| record.what.as_str()).collect();
    let expected = FAULTS.map(|text| text.split(" at ").next().unwrap());
    assert_eq!(told, expected);
    for record in faults {
        is_told(record);
        assert!(!record.outside);
    }
    assert!(
        faults.iter().filter(|record| record.what != "flush scripts").all(|record| record.start_us < record.end_us)
    );
    // The worker's clock was ahead for half a second, and the rows say so.
    assert!(faults[2].figures.as_ref().unwrap().during.over_slo > 0);
}

fn kills_from_outside() {
    let out = tempfile::tempdir().unwrap();
    let killed = request("outside", out.path(), &[], "6s");
    let rows = out.path().join("outside.csv");
    let killer = std::thread::spawn(move || kill_from_outside(&rows));
    let finished = run(&killed, &Stop::default(), &Progress::default()).unwrap();
    killer.join().unwrap();
    nothing_is_missing(&finished);
    let faults = &finished.manifest.faults;
    assert_eq!(faults.len(), 3, "{faults:?}");
    for name in ["broker 3 ended by itself", "worker ", "redis ended by itself"] {
        let record = faults.iter().find(|record| record.what.starts_with(name)).unwrap();
        assert!(record.outside && record.what.contains("SIGKILL"), "{record:?}");
        is_told(record);
    }
}

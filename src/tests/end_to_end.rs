//! Whole runs against a real cluster that outlives them: what is counted, what is set aside, what is refused.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by unwrapping it")]

mod request;

use std::{fs::File, path::Path, time::Duration};

use parquet::file::reader::{FileReader, SerializedFileReader};
use prost::Message;
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer},
};
use redis::Commands;
use shasta::{
    cluster::{self, Cluster, Endpoints},
    event::headers::Stamps,
    machine::process::Lifetime,
    output::{
        progress::Progress,
        rows::{self, Format},
    },
    run::{Finished, Request, RunError, Stop, run},
    variant::{Engine, GroupProtocol, Layer, Variant},
    verify::{Subject, verify},
};
use shasta_model::{
    manifest::verification::Kind,
    slo::Verdict,
    tag_data::{Identifier, TagData},
};

fn layer() -> Layer {
    let span = |text: &str| text.parse().ok();
    Layer {
        connections: Some(20),
        rate: Some(5.0),
        duration: span("5s"),
        warm: span("2s"),
        partitions: Some(6),
        seed: Some(7),
        ..Layer::default()
    }
}

fn local() -> Box<dyn Cluster> {
    let (_, variant) = Variant::load("laptop", &layer()).unwrap();
    cluster::start(&variant, None, Lifetime::WithParent, &|| false, &|_| ()).unwrap()
}

fn request(name: &str, out: &Path, endpoints: &Endpoints, more: impl FnOnce(&mut Layer)) -> Request {
    let mut overrides = Layer { cluster: Some(shasta::variant::ClusterKind::External), ..layer() };
    more(&mut overrides);
    request::request(name, out, Some(request::addresses(endpoints)), &overrides)
}

/// Records that no producer of ours writes: bytes that are no event, with the headers of the window's event 3 of
/// connection 999; an event without headers; an event of another run.
fn intrude(endpoints: &Endpoints, run: &str) {
    let producer: BaseProducer<DefaultProducerContext> = endpoints.kafka.client_config().create().unwrap();
    let identifier = Identifier { app_id: "x".into(), tag: "other".into(), scope: "s".into(), name: "n".into() };
    let event = TagData { identifier: Some(identifier), data: b"theirs".to_vec() }.encode_to_vec();
    let headers = |run: &str, warm| {
        let stamps =
            Stamps { run, source: "p0", producer: 999, sequence: 3, scheduled_us: 0, before_publish_us: 0, warm };
        let headers = stamps.headers();
        headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(value) }))
    };
    let to = || BaseRecord::<[u8], [u8]>::to("tag-data").partition(1);
    producer.send(to().payload(b"\xffnot an event").headers(headers(run, true))).map_err(|(error, _)| error).unwrap();
    producer.send(to().payload(&event)).map_err(|(error, _)| error).unwrap();
    producer.send(to().payload(&event).headers(headers("another", false))).map_err(|(error, _)| error).unwrap();
    producer.send(to()).map_err(|(error, _)| error).unwrap();
    producer.flush(Duration::from_secs(10)).unwrap();
}

fn snapshot_is_the_last_of_each_name(endpoints: &Endpoints, request: &Request, finished: &Finished) {
    let mut redis = redis::Client::open(endpoints.redis_url.as_str()).unwrap().get_connection().unwrap();
    let rows: Vec<_> = rows::read(&finished.files[0]).unwrap().collect::<Result<_, _>>().unwrap();
    for tag in 0..request.variant.connections {
        let own: Vec<_> = rows.iter().filter(|row| row.tag == u64::from(tag)).collect();
        let key = format!("shasta:{{shasta/{tag}/load}}");
        for name in 0..request.variant.names_per_tag {
            let last =
                own.iter().filter(|row| row.sequence % u64::from(request.variant.names_per_tag) == u64::from(name));
            let last = last.map(|row| row.sequence).max().unwrap();
            let value: Vec<u8> = redis.hget(format!("{key}:snapshot"), format!("n{name:02}")).unwrap();
            assert_eq!(value[..8], last.to_be_bytes(), "tag {tag}, name {name}");
        }
        let version: String = redis.hget(format!("{key}:meta"), "version").unwrap();
        let newest = own.iter().filter_map(|row| row.offset).max().unwrap();
        assert_eq!(version, format!("{}-{}", finished.manifest.conduct.generation, newest + 1));
    }
}

fn books_balance(finished: &Finished) {
    let ledger = &finished.manifest.ledger;
    assert!(ledger.valid, "{:?}", ledger.problems);
    let verification = finished.manifest.verification.as_ref().unwrap();
    assert!(verification.passed, "{verification:?}");
    assert_eq!((verification.checked.rows, verification.checked.acked), (500, 500));
    assert_eq!((ledger.planned, ledger.acked_consumed, ledger.stored, ledger.rows), (500, 500, 500, 500));
    assert_eq!(finished.verdict, Verdict::NotResolvable);
    let partitions = &finished.manifest.topic.as_ref().unwrap().partitions;
    assert!(partitions.iter().all(|partition| partition.isr.len() == 3), "RF 3, all in sync");
}

/// Checks the first run again, whole and with a change, a value and a row of it damaged.
fn damage_is_found(endpoints: &Endpoints, request: &Request, finished: &Finished) {
    let topic = cluster::topic::prepare(&endpoints.kafka, &request.variant, &|| false).unwrap();
    let subject = Subject {
        endpoints,
        topic: &topic,
        run: &finished.manifest.run,
        start_offsets: &[0; 6],
        generation: finished.manifest.conduct.generation,
        stream_maxlen: request.variant.stream_maxlen,
        reused: false,
        rows: &finished.files[0],
        rows_complete: true,
        failed: &[],
        set_aside: &finished.manifest.set_aside,
    };
    let again = verify(&subject, &|_| (), &|| false);
    assert!(again.passed && again.checked.set_aside == 2 && again.checked.foreign == 3, "{again:?}");

    let mut redis = redis::Client::open(endpoints.redis_url.as_str()).unwrap().get_connection().unwrap();
    let key = "shasta:{shasta/3/load}:delta";
    let entries: Vec<(String, redis::Value)> =
        redis::cmd("XRANGE").arg(key).arg("-").arg("+").query(&mut redis).unwrap();
    redis::cmd("XDEL").arg(key).arg(&entries[7].0).exec(&mut redis).unwrap();
    let _: () = redis.hset("shasta:{shasta/4/load}:snapshot", "n00", "damaged").unwrap();
    let damaged = verify(&subject, &|_| (), &|| false);
    let kinds = [Kind::WrongPrevious, Kind::Missing, Kind::SnapshotWrong];
    assert!(!damaged.passed && damaged.damage_counts.keys().eq(&kinds), "{damaged:?}");
    let missing = damaged.damages.iter().find(|damage| damage.kind == Kind::Missing).unwrap();
    assert_eq!(missing.place.tag.as_deref(), Some("shasta/3/load"));

    // An event that was never sent is said to be acked.
    let rows = std::fs::read_to_string(&finished.files[0]).unwrap();
    let path = finished.files[0].with_extension("changed");
    std::fs::write(&path, rows + "p0,w0,19,19,0,999,25,1,2,3,4,5,6,\n").unwrap();
    let changed = verify(&Subject { rows: &path, ..subject }, &|_| (), &|| false);
    assert!(changed.damage_counts.contains_key(&Kind::NotInTopic), "{changed:?}");
    let given_up = verify(&Subject { rows: &path, ..subject }, &|_| (), &|| true);
    assert!(given_up.given_up && !given_up.passed, "{given_up:?}");
}

fn everything_was_read(finished: &Finished) {
    let rows: Vec<_> = rows::read(&finished.files[0]).unwrap().collect::<Result<_, _>>().unwrap();
    assert!(rows.iter().all(|row| row.after_read_us > row.after_consume_us));
    // A reader gets the changes of a tag in the order of their offsets.
    let mut places: Vec<_> = rows.iter().map(|row| (row.tag, row.offset, row.after_read_us)).collect();
    places.sort_unstable();
    assert!(places.is_sorted_by_key(|(tag, _, read_us)| (*tag, *read_us)));
    let stages: Vec<_> = finished.manifest.latencies.stages.iter().map(|line| line.name.as_str()).collect();
    assert!(stages.contains(&"read") && stages.contains(&"scheduled → read"), "{stages:?}");
    let readers = finished.manifest.harness.costs.iter().find(|cost| cost.name == "readers");
    assert!(readers.is_some_and(|cost| cost.cpu_cores > 0.0));
}

#[test]
fn runs_on_one_cluster() {
    let cluster = local();
    let endpoints = cluster.endpoints().clone();
    let out = tempfile::tempdir().unwrap();

    // The first run, with records of others on its topic.
    let first = request("first", out.path(), &endpoints, |_| ());
    let others = endpoints.clone();
    let intruder = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(4));
        intrude(&others, "first");
    });
    let finished = run(&first, &Stop::default(), &Progress::default()).unwrap();
    intruder.join().unwrap();
    books_balance(&finished);
    assert_eq!(finished.manifest.ledger.foreign, 3);
    assert!(
        finished.manifest.warnings.iter().any(|text| text.contains("`another` (1 records)")),
        "who published there"
    );
    let reasons: Vec<_> =
        finished.manifest.set_aside.iter().map(|aside| (aside.partition, &aside.reason[..12])).collect();
    assert_eq!(reasons, [(1, "not TagData:"), (1, "TagData with")]);
    snapshot_is_the_last_of_each_name(&endpoints, &first, &finished);
    damage_is_found(&endpoints, &first, &finished);

    // A run never overwrites another, and says so before it starts anything.
    let again = run(&first, &Stop::default(), &Progress::default()).unwrap_err();
    assert!(matches!(again, RunError::Exists(_)), "{again}");

    // Redis holds keys of ours by now.
    let careful = Request { reuse_redis: false, ..request("careful", out.path(), &endpoints, |_| ()) };
    let refused = run(&careful, &Stop::default(), &Progress::default()).unwrap_err();
    assert!(refused.to_string().contains("--reuse-redis"), "{refused}");
    assert!(!out.path().join("careful.csv").exists(), "what came to nothing leaves nothing");

    // The topic has six partitions.
    let other = request("other", out.path(), &endpoints, |layer| layer.partitions = Some(7));
    let refused = run(&other, &Stop::default(), &Progress::default()).unwrap_err();
    assert!(refused.to_string().contains("partitions"), "{refused}");

    // The same topic again, with the other engine: newer events win.
    let second = request("second", out.path(), &endpoints, |layer| {
        (layer.engine, layer.readers) = (Some(Engine::Librdkafka), Some(2));
    });
    let finished = run(&second, &Stop::default(), &Progress::default()).unwrap();
    books_balance(&finished);
    assert_eq!(finished.manifest.conduct.generation, 1);
    snapshot_is_the_last_of_each_name(&endpoints, &second, &finished);
    everything_was_read(&finished);

    // Another topic, whose offsets are far below those that wrote the same tags: its events are the newer ones. Its workers
    // are in no group, and one that is started again goes on where it had committed.
    let other = request("elsewhere", out.path(), &endpoints, |layer| {
        (layer.topic, layer.group_protocol) = (Some("elsewhere".into()), Some(GroupProtocol::Assign));
        layer.fault = Some(vec!["restart worker 1 at 2s".parse().unwrap()]);
    });
    let finished = run(&other, &Stop::default(), &Progress::default()).unwrap();
    books_balance(&finished);
    assert_eq!(finished.manifest.conduct.partitions_per_worker, [3, 3]);
    assert_eq!((finished.manifest.conduct.generation, finished.manifest.ledger.late), (2, 0));
    snapshot_is_the_last_of_each_name(&endpoints, &other, &finished);
    interrupted(out.path(), &endpoints);
}

fn interrupted(out: &Path, endpoints: &Endpoints) {
    let long = request("long", out, endpoints, |layer| layer.duration = "60s".parse().ok());
    let long = Request { format: Format::Parquet, ..long };
    let stop = Stop::default();
    let wish = stop.clone();
    let csv = out.join("long.csv");
    let rows = csv.clone();
    let waiting = std::thread::spawn(move || {
        // As soon as rows are written, the window has begun.
        while std::fs::metadata(&rows).map_or(0, |file| file.len()) < 1_000 {
            std::thread::sleep(Duration::from_millis(50));
        }
        wish.request();
    });
    let finished = run(&long, &stop, &Progress::default()).unwrap();
    waiting.join().unwrap();
    let manifest = &finished.manifest;
    assert!(manifest.interrupted && manifest.ledger.valid, "{:?}", manifest.ledger.problems);
    assert!(manifest.verification.as_ref().unwrap().passed, "{:?}", manifest.verification.as_ref().unwrap());
    assert!((1..6_000).contains(&manifest.ledger.planned));
    assert_eq!(manifest.ledger.stored, manifest.ledger.planned);
    assert_eq!(finished.verdict, Verdict::None("interrupted".into()));

    // Rows were in CSV while it went on, and are in Parquet now.
    assert_eq!((manifest.rows_file.as_str(), csv.exists()), ("long.parquet", false));
    let reader = SerializedFileReader::new(File::open(&finished.files[0]).unwrap()).unwrap();
    assert_eq!(reader.metadata().file_metadata().num_rows() as u64, manifest.ledger.planned);
}

//! Whole runs on a cluster that somebody else uses meanwhile: records of theirs in any codec and in transactions that stay
//! open, settings and partitions of the topic that change, records and topics that are deleted. Nothing of a run waits for
//! others, ends for them, or is told wrongly because of them. Only a run whose topic is gone ends, and says so.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by unwrapping it")]

mod request;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Mutex, mpsc},
    time::{Duration, Instant},
};

use rdkafka::{
    TopicPartitionList,
    admin::{
        AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication::Fixed,
    },
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer},
    topic_partition_list::Offset,
};
use rustix::process::Signal;
use shasta::{
    cluster::{self, Cluster, Endpoints, topic},
    machine::{
        clock::{Anchor, Clock},
        process::Lifetime,
    },
    output::progress::Progress,
    run::{Finished, Request, RunError, Stop, consumer_group, run},
    variant::{ClusterKind, Engine, Layer, Variant},
    worker::{
        self,
        pool::{WorkerMessage, WorkerPool},
    },
};
use shasta_model::slo::Verdict;

type Theirs = BaseProducer<DefaultProducerContext>;

const SECOND: Duration = Duration::from_secs(1);
const ANSWER_MAX: Duration = Duration::from_secs(20);
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

fn layer(topic: &str) -> Layer {
    let span = |text: &str| text.parse().ok();
    Layer {
        connections: Some(20),
        rate: Some(5.0),
        // Runs end when the others are done.
        duration: span("300s"),
        warm: span("1s"),
        partitions: Some(6),
        topic: Some(topic.to_owned()),
        seed: Some(7),
        ..Layer::default()
    }
}

/// A cluster of others, and where runs on it leave their files.
struct Bed {
    _cluster: Box<dyn Cluster>,
    endpoints: Endpoints,
    out: tempfile::TempDir,
}

impl Bed {
    fn new() -> Self {
        let (_, variant) = Variant::load("laptop", &layer("tag-data")).unwrap();
        let cluster = cluster::start(&variant, None, Lifetime::WithParent, &|| false, &|_| ()).unwrap();
        Self { endpoints: cluster.endpoints().clone(), _cluster: cluster, out: tempfile::tempdir().unwrap() }
    }

    fn request(&self, name: &str, more: impl FnOnce(&mut Layer)) -> Request {
        // Each run has a topic of its own, named as it is.
        let mut overrides = Layer { cluster: Some(ClusterKind::External), ..layer(name) };
        more(&mut overrides);
        request::request(name, self.out.path(), Some(request::addresses(&self.endpoints)), &overrides)
    }

    /// Runs while others do something in its window, and ends a second after that.
    fn disturbed(&self, request: &Request, disturb: impl FnOnce(&Self)) -> Finished {
        let stop = Stop::default();
        self.ended(request, &stop, |bed| {
            disturb(bed);
            std::thread::sleep(SECOND);
            stop.request();
        })
    }

    /// Runs while others do something in its window.
    fn ended(&self, request: &Request, stop: &Stop, disturb: impl FnOnce(&Self)) -> Finished {
        let rows = self.out.path().join(format!("{}.csv", request.run.as_deref().unwrap()));
        std::thread::scope(|scope| {
            let running = scope.spawn(|| run(request, stop, &Progress::default()).unwrap());
            wait_for_rows(&rows, &|| running.is_finished());
            disturb(self);
            running.join().unwrap()
        })
    }

    fn producer(&self, properties: &[(&str, &str)]) -> Theirs {
        let mut config = self.endpoints.kafka.client_config();
        for (name, value) in properties {
            config.set(*name, *value);
        }
        config.create().unwrap()
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.endpoints.kafka.client_config().create().unwrap()
    }

    fn ends(&self, topic: &str, partitions: i32) -> TopicPartitionList {
        let consumer: BaseConsumer = self.endpoints.kafka.consumer_config("theirs").create().unwrap();
        let mut ends = TopicPartitionList::new();
        for partition in 0..partitions {
            let (_, end) = consumer.fetch_watermarks(topic, partition, ANSWER_MAX).unwrap();
            ends.add_partition_offset(topic, partition, Offset::Offset(end)).unwrap();
        }
        ends
    }

    fn set(&self, topic: &str, name: &str, value: &str) {
        // What is not named goes back to the brokers' own.
        let settings = AlterConfig::new(ResourceSpecifier::Topic(topic))
            .set("message.timestamp.type", "LogAppendTime")
            .set("min.insync.replicas", "2")
            .set(name, value);
        wait(self.admin().alter_configs([&settings], &AdminOptions::new())).unwrap()[0].as_ref().unwrap();
    }
}

/// As soon as rows are written, the window has begun.
fn wait_for_rows(path: &Path, has_ended: &dyn Fn() -> bool) {
    while std::fs::metadata(path).map_or(0, |file| file.len()) < 1_000 {
        assert!(!has_ended(), "the run has ended before its window");
        std::thread::sleep(SECOND / 20);
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn send(producer: &Theirs, topic: &str, partition: i32, payload: &[u8], records: u64) {
    for _ in 0..records {
        let record = BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(payload);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(ANSWER_MAX).unwrap();
}

fn nothing_is_lost(finished: &Finished) {
    let ledger = &finished.manifest.ledger;
    assert!(ledger.valid, "{:?} {:?}", ledger.problems, finished.manifest.warnings);
    assert_eq!((ledger.stored, ledger.lost, ledger.failed), (ledger.planned, 0, 0), "{ledger:?}");
    let verification = finished.manifest.verification.as_ref().unwrap();
    assert!(verification.passed, "{verification:?}");
}

#[test]
fn others_do_as_they_like() {
    let bed = Bed::new();
    every_codec_is_read_and_no_transaction_waited_for(&bed);
    what_cannot_be_decoded_is_passed_by(&bed);
    new_partitions_are_read(&bed);
    what_retention_took_is_counted(&bed);
    refusals_are_told_by_their_cause(&bed);
    what_a_dead_worker_did_not_report_comes_again(&bed);
    a_topic_that_is_made_anew_ends_the_run(&bed);
}

/// Also where the topic has our own events compressed by the broker, each second in another way.
fn every_codec_is_read_and_no_transaction_waited_for(bed: &Bed) {
    let name = "codecs";
    let open = bed.producer(&[("transactional.id", "stays-open"), ("transaction.timeout.ms", "60000")]);
    open.init_transactions(ANSWER_MAX).unwrap();
    let finished = bed.disturbed(&bed.request(name, |_| ()), |bed| {
        open.begin_transaction().unwrap();
        send(&open, name, 3, b"never committed", 1);
        for codec in CODECS {
            bed.set(name, "compression.type", if codec == "none" { "producer" } else { codec });
            let producer = bed.producer(&[("compression.type", codec)]);
            (0..6).for_each(|partition| send(&producer, name, partition, &[b'x'; 2_000], 3));
            // Some of our own events are compressed in this way.
            std::thread::sleep(SECOND / 2);
        }
        // It is still open when the run ends.
        std::mem::forget(open);
    });
    nothing_is_lost(&finished);
    assert_eq!(finished.manifest.ledger.foreign, 1 + 5 * 6 * 3);
    assert_eq!(finished.manifest.clients["consumer"]["isolation.level"], "read_uncommitted");
}

/// Records that are larger than the workers' clients accept once they are decompressed.
fn what_cannot_be_decoded_is_passed_by(bed: &Bed) {
    let name = "undecodable";
    let limits = [("fetch.max.bytes", "1000000"), ("receive.message.max.bytes", "1000512")];
    let limits: BTreeMap<_, _> = limits.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let finished = bed.disturbed(&bed.request(name, |layer| layer.consumer = Some(limits)), |bed| {
        let large = [("compression.type", "zstd"), ("message.max.bytes", "9000000")];
        let producer = bed.producer(&large);
        for _ in 0..10 {
            send(&producer, name, 3, &vec![0; 4_000_000], 1);
            send(&producer, name, 4, &vec![0; 4_000_000], 2);
        }
    });
    nothing_is_lost(&finished);
    let Finished { manifest, .. } = finished;
    assert_eq!((manifest.ledger.undecodable, manifest.ledger.foreign), (30, 0), "{:?}", manifest.undecodable);
    assert!(manifest.undecodable.iter().all(|batch| [3, 4].contains(&batch.partition) && !batch.reason.is_empty()));
    assert!(manifest.warnings.iter().any(|text| text.starts_with("30 records of the topic lie in batches")));
    assert!(manifest.warnings.len() < 10, "{:?}", manifest.warnings);
}

fn new_partitions_are_read(bed: &Bed) {
    let name = "grows";
    let request = bed.request(name, |layer| {
        layer.engine = Some(Engine::Librdkafka);
    });
    let finished = bed.disturbed(&request, |bed| {
        bed.set(name, "compression.type", "zstd");
        let more = NewPartitions::new(name, 9);
        wait(bed.admin().create_partitions([&more], &AdminOptions::new())).unwrap()[0].as_ref().unwrap();
        std::thread::sleep(SECOND);
        let producer = bed.producer(&[]);
        (6..9).for_each(|partition| send(&producer, name, partition, b"theirs", 5));
        // Workers ask for the partitions each 10 s, and then share them out anew.
        std::thread::sleep(20 * SECOND);
    });
    nothing_is_lost(&finished);
    let Finished { manifest, .. } = finished;
    let ledger = &manifest.ledger;
    assert_eq!(ledger.foreign, 15, "{:?}", manifest.warnings);
    assert!(manifest.warnings.iter().any(|text| text.contains("3 more partitions")), "{:?}", manifest.warnings);
    assert!(manifest.faults.is_empty(), "no worker has ended: {:?}", manifest.faults);
}

/// The workers stand still while records are deleted that they have not read.
fn what_retention_took_is_counted(bed: &Bed) {
    let name = "deleted";
    let faults = ["pause worker 0 at 1s for 3s", "pause worker 1 at 1s for 3s"];
    let request = bed.request(name, |layer| {
        layer.fault = Some(faults.iter().map(|text| text.parse().unwrap()).collect());
    });
    let finished = bed.disturbed(&Request { verify: false, ..request }, |bed| {
        let (admin, started) = (bed.admin(), Instant::now());
        while started.elapsed() < 5 * SECOND {
            wait(admin.delete_records(&bed.ends(name, 6), &AdminOptions::new())).unwrap();
            std::thread::sleep(SECOND / 10);
        }
    });
    let Finished { manifest, .. } = finished;
    let ledger = &manifest.ledger;
    assert!(ledger.valid, "{:?} {:?}", ledger.problems, manifest.warnings);
    assert!(ledger.lost > 0 && ledger.gone > 0, "{ledger:?}");
    assert_eq!(
        (ledger.lost_gone, ledger.lost_held, ledger.stored),
        (ledger.lost, 0, ledger.planned - ledger.lost),
        "{ledger:?}"
    );
    assert_eq!(manifest.faults.len(), faults.len(), "no worker has ended: {:?}", manifest.faults);
}

fn refusals_are_told_by_their_cause(bed: &Bed) {
    for (name, engine) in [("small-light", Engine::Rskafka), ("small-native", Engine::Librdkafka)] {
        let request = bed.request(name, |layer| layer.engine = Some(engine));
        let finished = bed.disturbed(&request, |bed| {
            bed.set(name, "max.message.bytes", "450");
            std::thread::sleep(SECOND);
        });
        let Finished { manifest, .. } = finished;
        assert!(manifest.ledger.valid && manifest.ledger.failed > 0, "{:?}", manifest.ledger);
        let refusal = &manifest.refusals[0];
        assert!(refusal.cause.starts_with("MESSAGE_TOO_LARGE"), "{:?}", manifest.refusals);
        assert_eq!(refusal.failed, manifest.ledger.failed);
    }
}

/// A worker whose parent stands still, and which is killed while it does: the next worker must begin at what was reported,
/// not at what was stored.
fn what_a_dead_worker_did_not_report_comes_again(bed: &Bed) {
    let name = "unreported";
    let kafka = &bed.endpoints.kafka;
    let (_, variant) = Variant::load("laptop", &Layer { partitions: Some(1), ..layer(name) }).unwrap();
    let topic = topic::prepare(kafka, &variant, &|| false).unwrap();
    consumer_group::start_at(kafka, name, &topic, &[0], &|| false).unwrap();
    let config = worker::Config {
        clock: Clock::new(Anchor::read()),
        run: name.to_owned(),
        worker: 0,
        workers: 1,
        group: name.to_owned(),
        topic: name.to_owned(),
        log_append_time: topic.log_append_time,
        generation: 1,
        start_offsets: vec![0],
        group_protocol: variant.group_protocol,
        static_membership: variant.static_membership,
        commit_interval_ms: 100,
        batch_max: variant.batch_max as usize,
        lookahead: variant.lookahead as usize,
        stream_maxlen: variant.stream_maxlen,
        redis_timeout_ms: 5_000,
        consumer: variant.consumer.clone(),
    };
    let (parent_goes_on, wait) = mpsc::channel::<()>();
    let (wait, (sender, messages)) = (Mutex::new(wait), mpsc::channel());
    let mut pool = WorkerPool::default();
    let program = Path::new(env!("CARGO_BIN_EXE_experiment"));
    let as_worker = ("worker", "worker 0".to_owned());
    pool.add(program, as_worker, &bed.endpoints, &config, move |message| {
        // Until the other end is dropped.
        let _ = wait.lock().unwrap().recv();
        let _ = sender.send(message);
    })
    .unwrap();
    // More than the pipe holds.
    send(&bed.producer(&[]), name, 0, b"theirs", 60_000);
    let group: BaseConsumer = kafka.consumer_config(name).create().unwrap();
    let mut partition = TopicPartitionList::new();
    partition.add_partition(name, 0);
    let committed = || match group.committed_offsets(partition.clone(), ANSWER_MAX).unwrap().elements()[0].offset() {
        Offset::Offset(offset) => offset,
        other => panic!("{other:?}"),
    };
    // A full look-ahead alone holds it up for a second or two; a full pipe until it is read.
    let (mut last, mut since) = (0, Instant::now());
    while last == 0 || since.elapsed() < 6 * SECOND {
        let now = committed();
        if now != last {
            (last, since) = (now, Instant::now());
        }
        std::thread::sleep(SECOND / 5);
    }
    pool.signal(0, Signal::KILL).unwrap();
    drop(parent_goes_on);
    let reports = messages.iter().map_while(|message| match message {
        WorkerMessage::Report(report) => Some(report),
        WorkerMessage::End(_) => None,
    });
    let reported = reports.flat_map(|report| report.receipts).map(|receipt| receipt.offset + 1).max();
    assert!(reported >= Some(last) && last < 60_000, "committed {last}, reported {reported:?}");
}

fn a_topic_that_is_made_anew_ends_the_run(bed: &Bed) {
    let name = "anew";
    let request = bed.request(name, |_| ());
    let finished = bed.ended(&Request { verify: false, ..request }, &Stop::default(), |bed| {
        std::thread::sleep(2 * SECOND);
        let (admin, options) = (bed.admin(), AdminOptions::new().operation_timeout(Some(ANSWER_MAX)));
        wait(admin.delete_topics(&[name], &options)).unwrap()[0].as_ref().unwrap();
        let topic = NewTopic::new(name, 6, Fixed(3)).set("message.timestamp.type", "LogAppendTime");
        // The name is free only after a moment.
        while wait(admin.create_topics([&topic], &options)).unwrap()[0].is_err() {
            std::thread::sleep(SECOND / 10);
        }
    });
    let Finished { manifest, verdict, .. } = finished;
    let told = &manifest.ledger.problems[0];
    assert!(told.contains("deleted") && told.contains("`anew`"), "{:?}", manifest.ledger.problems);
    assert!(matches!(verdict, Verdict::None(_)) && manifest.verdict.contains("INVALID"), "{}", manifest.verdict);
    assert!(manifest.ledger.planned < 300 * 100 && !manifest.interrupted);
    assert_eq!(manifest.ledger.lost_held, 0, "{:?}", manifest.ledger);

    // Nothing is measured where the topic goes before the window.
    let early = bed.request("early", |layer| layer.warm = "60s".parse().ok());
    let ended = std::thread::scope(|scope| {
        let running = scope.spawn(|| run(&early, &Stop::default(), &Progress::default()));
        while bed.admin().inner().fetch_metadata(None, ANSWER_MAX).unwrap().topics().iter().all(|t| t.name() != "early")
        {
            std::thread::sleep(SECOND / 10);
        }
        std::thread::sleep(10 * SECOND);
        wait(bed.admin().delete_topics(&["early"], &AdminOptions::new())).unwrap();
        running.join().unwrap()
    });
    let Err(error) = ended else { panic!("the run has measured something") };
    assert!(matches!(error, RunError::TopicLost(_)), "{error}");
}

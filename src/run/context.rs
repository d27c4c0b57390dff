//! Everything before the first event: cluster, topic, group, workers, connections.

use std::{
    ops::Range,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use super::{ClusterSession, Request, RunError, Stop, files::Files, null_run};
use crate::{
    cluster::{
        Endpoints,
        redis_preconditions::{self, Fit},
        topic,
        topic::Topic,
    },
    event::{headers::Stamps, payload::EventShape, schedule::Pace},
    machine::clock::{Anchor, Clock},
    output::progress::Progress,
    producer::{Load, Outcome, Producers},
    run::{
        collector::{Collected, Collector, Input},
        consumer_group,
        join::Join,
    },
    store,
    store::generation::{self, Generation},
    variant::{ClusterKind, Variant, fault::Party},
    verify::{self, Subject, Verification},
    worker,
    worker::pool::WorkerPool,
};
use shasta_reader::topology::{self, Address, Evicted, Primaries, Seeds};

/// How long the workers may take until every partition is assigned and has reached one.
const ASSIGN_MAX: Duration = Duration::from_secs(90);
const TICK: Duration = Duration::from_millis(50);
/// Between the order to go and the first event that is due.
const LEAD_US: i64 = 100_000;
/// How long Redis may take to answer.
pub(super) const REDIS_TIMEOUT: Duration = Duration::from_secs(5);

/// The prepared topic, group and load of a run.
pub(super) struct RunContext {
    pub anchor: Anchor,
    pub clock: Clock,
    pub seed: u64,
    pub load: Arc<Load>,
    pub topic: Topic,
    pub group: String,
    pub generation: u64,
    /// Redis held keys of ours before.
    pub reused: bool,
    pub start_offsets: Vec<i64>,
    pub endpoints: Endpoints,
    /// The workers' own way to both, and the readers'.
    pub workers: Endpoints,
    pub readers: Endpoints,
    /// What was found in the settings of the topic and of Redis.
    pub remarks: Vec<String>,
    /// Keys that Redis had evicted before, where it says so.
    pub evicted: Option<Evicted>,
}

impl RunContext {
    /// Prepares topic, generation and group.
    pub fn prepare(
        request: &Request,
        run: &str,
        anchor: Anchor,
        session: &ClusterSession,
        stop: &Stop,
    ) -> Result<Self, RunError> {
        let (clock, cluster) = (Clock::new(anchor), &session.cluster);
        let variant = &Variant { warm: request.variant.warm_up(session.runs), ..request.variant.clone() };
        let seed = variant.seed.unwrap_or_else(|| crate::event::schedule::hash(clock.now_us() as u64, 0, 0) >> 33);
        if variant.cluster == ClusterKind::Null {
            return Self::of_nothing(variant, run, seed, anchor, cluster.endpoints());
        }
        let mut endpoints = cluster.endpoints().clone();
        let topic = topic::prepare(&endpoints.kafka, variant, &|| stop.requested())?;
        let mut remarks = topic.remarks(request.verify)?;
        let start_offsets = topic::end_offsets(&endpoints.kafka, &topic)?;
        let again = (request.verify, request.reuse_redis || session.runs > 0);
        let Claim { generation, reused, evicted, nodes, found } =
            claim(&endpoints, (&topic, variant), &start_offsets, again)?;
        remarks.extend(found);
        let group = format!("shasta-{run}");
        let started = consumer_group::start_at(&endpoints.kafka, &group, &topic, &start_offsets, &|| stop.requested());
        stop.check()?;
        started?;
        let load = Arc::new(load(variant, run, seed, clock, &topic, cluster.endpoints_of(Party::Producers))?);
        stop.check()?;
        let [mut workers, mut readers] = [Party::Workers, Party::Readers].map(|party| cluster.endpoints_of(party));
        // Whoever connects later, for the proof too, may find the named nodes gone. Through a network there is no other way.
        let named = endpoints.redis_url.clone();
        for way in [&mut endpoints, &mut workers, &mut readers].into_iter().filter(|way| way.redis_url == named) {
            way.redis_url = Seeds::url_with(&named, &nodes).unwrap_or_else(|_| named.clone());
        }
        Ok(Self {
            anchor,
            clock,
            seed,
            load,
            topic,
            group,
            generation,
            reused,
            start_offsets,
            endpoints,
            workers,
            readers,
            remarks,
            evicted,
        })
    }

    /// Starts the collecting thread.
    pub fn collect(&self, request: &Request, files: &mut Files) -> Result<Collector, RunError> {
        let Load { connections, instances, window, .. } = &*self.load;
        let events_max = (window.rate * window.duration.as_secs_f64()).ceil() as u64 + 1;
        let join = Join::new(*connections, *instances, events_max, self.start_offsets.clone());
        let join = match request.variant.readers {
            0 => join,
            _ => join.with_readers(self.partitions_of_tags()),
        };
        Ok(Collector::start(join, files.take_rows(), self.clock)?)
    }

    /// Starts the workers, and waits until an event of each partition has reached one. Returns how long that took, in s.
    pub fn start_workers(
        &self,
        request: &Request,
        collector: &Collector,
        stop: &Stop,
        progress: &Progress,
    ) -> Result<(WorkerPool, f64), RunError> {
        let started = Instant::now();
        if self.load.null {
            return Ok((WorkerPool::default(), 0.0));
        }
        for (name, why) in self.worker_config(&request.variant, 0).consumer_not_applied() {
            progress.step(&format!("[consumer] `{name}` is left out: {why}"));
        }
        let mut pool = WorkerPool::default();
        for number in 0..request.variant.workers {
            let config = self.worker_config(&request.variant, number);
            let sender = collector.sender();
            // The collector ends only after its senders have.
            let sink = move |news| drop(sender.send(Input::Worker(number, news)));
            pool.add(&request.program, ("worker", format!("worker {number}")), &self.workers, &config, sink)?;
        }
        progress.step(&format!("{} workers started; waiting for a balanced assignment", request.variant.workers));
        let status = collector.status();
        let partitions = self.topic.partitions.len();
        let balanced = || {
            let counts = status.partitions_per_worker();
            let (least, most) = (counts.iter().min().unwrap_or(&0), counts.iter().max().unwrap_or(&0));
            counts.len() == request.variant.workers as usize
                && counts.iter().sum::<usize>() == partitions
                && most - least <= 1
        };
        self.wait_for(stop, collector, started, &balanced)?;
        consumer_group::probe(&self.endpoints.kafka, &self.load.run, &self.topic, self.clock)?;
        let all_probed = || balanced() && status.probed.load(Relaxed) == partitions as u64;
        self.wait_for(stop, collector, started, &all_probed)?;
        Ok((pool, started.elapsed().as_secs_f64()))
    }

    fn wait_for(
        &self,
        stop: &Stop,
        collector: &Collector,
        started: Instant,
        ready: &dyn Fn() -> bool,
    ) -> Result<(), RunError> {
        let status = collector.status();
        while !ready() {
            stop.check()?;
            if let Some(text) = status.topic_lost() {
                return Err(RunError::TopicLost(text));
            }
            if let Some((worker, why)) = status.workers_ended().into_iter().next() {
                let why = why.unwrap_or_else(|| "it has ended".to_owned());
                return Err(RunError::Worker(format!("worker {worker}: {why}")));
            }
            if let Some(refused) = status.refused() {
                return Err(RunError::Worker(refused));
            }
            if started.elapsed() > ASSIGN_MAX {
                let (counts, probed) = (status.partitions_per_worker(), status.probed.load(Relaxed));
                let warned = status.last_warnings().into_iter().map(|warning| format!("\n  {warning}"));
                let state = format!(
                    "partitions of each worker {counts:?}, {probed} partitions proven by an event{}",
                    warned.collect::<String>()
                );
                return Err(RunError::Unassigned { after_s: ASSIGN_MAX.as_secs(), state });
            }
            std::thread::sleep(TICK);
        }
        Ok(())
    }

    /// What a worker is told.
    pub fn worker_config(&self, variant: &Variant, number: u32) -> worker::Config {
        worker::Config {
            clock: self.clock,
            run: self.load.run.clone(),
            worker: number,
            workers: variant.workers,
            group: self.group.clone(),
            topic: self.topic.name.clone(),
            log_append_time: self.topic.log_append_time,
            generation: self.generation,
            start_offsets: self.start_offsets.clone(),
            group_protocol: variant.group_protocol,
            static_membership: variant.static_membership,
            commit_interval_ms: variant.commit_interval.0.as_millis() as u64,
            batch_max: variant.batch_max as usize,
            lookahead: variant.lookahead as usize,
            stream_maxlen: variant.stream_maxlen,
            redis_timeout_ms: REDIS_TIMEOUT.as_millis() as u64,
            consumer: variant.consumer.clone(),
        }
    }

    /// Opens all connections, and waits until each has had an event acked. Returns how long that took, in s.
    pub fn connect(
        &self,
        collector: &Collector,
        stop: &Stop,
        progress: &Progress,
    ) -> Result<(Producers, f64), RunError> {
        let started = Instant::now();
        let sender = collector.sender();
        let null = self.load.null;
        let sink = move |outcomes: Vec<Outcome>| {
            let receipts = null.then(|| Input::Worker(0, null_run::receipts(&outcomes)));
            // The collector ends only after its senders have.
            let _ = sender.send(Input::Outcomes(outcomes));
            receipts.into_iter().for_each(|receipts| drop(sender.send(receipts)));
        };
        let producers = Producers::start(&self.load, sink)?;
        let wanted = self.load.connections;
        while producers.connected() < wanted {
            if producers.ended() {
                // Only a failure ends a thread so early.
                producers.finish()?;
                return Err(RunError::Interrupted);
            }
            if stop.requested() {
                producers.stop();
                producers.finish()?;
                return Err(RunError::Interrupted);
            }
            progress.line(&format!("connecting: {} of {wanted}", producers.connected()));
            std::thread::sleep(TICK);
        }
        let took_s = started.elapsed().as_secs_f64();
        let warm_s = self.load.warm_up.duration.as_secs_f64();
        progress.step(&format!("{wanted} connections open in {took_s:.1} s; warming up for {warm_s:.0} s"));
        Ok((producers, took_s))
    }

    /// Starts the load, and returns the measured window, µs of the Unix epoch.
    pub fn start_load(&self, producers: &mut Producers) -> Range<i64> {
        let warm_start_us = self.clock.now_us() + LEAD_US;
        let start_us = warm_start_us + self.load.warm_up.duration.as_micros() as i64;
        producers.go(warm_start_us, start_us);
        start_us..start_us + self.load.window.duration.as_micros() as i64
    }

    /// Reads Kafka and Redis back, and compares them with the rows. A user who has ended the run is waited for once more.
    pub fn verify(
        &self,
        request: &Request,
        files: &Files,
        collected: &Collected,
        stop: &Stop,
        progress: &Progress,
    ) -> Verification {
        let subject = Subject {
            endpoints: &self.endpoints,
            topic: &self.topic,
            run: &self.load.run,
            start_offsets: &self.start_offsets,
            generation: self.generation,
            stream_maxlen: request.variant.stream_maxlen,
            reused: self.reused,
            rows: files.rows_path(),
            rows_complete: collected.rows_error.is_none(),
            failed: &collected.failed,
            set_aside: &collected.set_aside,
        };
        let interrupted = stop.requested();
        let given_up = || if interrupted { stop.insisted() } else { stop.requested() };
        verify::verify(&subject, &|text| progress.line(text), &given_up)
    }

    /// Bytes that the headers add to an event.
    pub fn header_bytes(&self) -> usize {
        let source = crate::producer::source(0, self.load.instances);
        let (producer, sequence, scheduled_us, before_publish_us, warm) = (0, 0, 0, 0, false);
        let run = &self.load.run;
        Stamps { run, source: &source, producer, sequence, scheduled_us, before_publish_us, warm }.header_bytes()
    }

    /// Bootstrap servers, comma-separated.
    pub fn bootstrap(&self) -> String {
        self.endpoints.kafka.bootstrap.join(",")
    }

    /// Redis' URL without its password.
    pub fn redis_shown(&self) -> String {
        self.endpoints.redis_shown()
    }
}

/// What was found in Redis before the run.
struct Claim {
    /// The topic's generation.
    generation: u64,
    /// Whether it holds keys of ours.
    reused: bool,
    evicted: Option<Evicted>,
    /// All nodes that it names.
    nodes: Vec<Address>,
    found: Vec<String>,
}

/// Proves that Redis can serve the run, and takes the topic's generation. Keys of ours are refused unless `reuse` says so.
fn claim(
    endpoints: &Endpoints,
    (topic, variant): (&Topic, &Variant),
    ends: &[i64],
    (verify, reuse): (bool, bool),
) -> Result<Claim, RunError> {
    let url = || endpoints.redis_shown();
    let tls = endpoints.redis().is_ok_and(|seeds| seeds.is_tls());
    let refused = |source| RunError::Redis { url: url(), problem: topology::told(&source, tls) };
    let seeds = endpoints.redis().map_err(refused)?;
    let mut redis = Primaries::connect(seeds.clone(), REDIS_TIMEOUT).map_err(refused)?;
    for node in redis.map().nodes() {
        let missing = store::missing(&seeds, node, verify, REDIS_TIMEOUT).map_err(refused)?;
        if let Some(missing) = missing.told(seeds.user()) {
            return Err(RunError::RedisRights { url: url(), missing });
        }
    }
    let found = generation::some_key(&mut redis).map_err(refused)?;
    let reused = found.is_some();
    if let Some(key) = found.filter(|_| !reuse) {
        return Err(RunError::NotEmpty { url: url(), key });
    }
    let Fit { problems, remarks } = redis_preconditions::judge(&mut redis, variant, reused).map_err(refused)?;
    if !problems.is_empty() {
        let problems = problems.iter().map(|problem| format!("  {problem}")).collect::<Vec<_>>().join("\n");
        return Err(RunError::Unfit { url: url(), problems });
    }
    let generation = Generation::of(topic).claim(&mut redis, topic.created, ends).map_err(refused)?;
    Ok(Claim { generation, reused, evicted: Evicted::ask(&mut redis), nodes: redis.known(), found: remarks })
}

pub(super) fn load(
    variant: &Variant,
    run: &str,
    seed: u64,
    clock: Clock,
    topic: &Topic,
    endpoints: Endpoints,
) -> Result<Load, RunError> {
    let Variant { bytes, connections, tags_per_connection, names_per_tag, rate, jitter, .. } = *variant;
    let pace = |duration| Pace { rate, jitter, duration };
    Ok(Load {
        run: run.to_owned(),
        topic: topic.name.clone(),
        leaders: topic.partitions.iter().map(|partition| partition.leader).collect(),
        access: endpoints.kafka,
        clock,
        shape: EventShape::new(bytes, connections, tags_per_connection, names_per_tag, seed)?,
        seed,
        window: pace(variant.duration.0),
        warm_up: pace(variant.warm.0),
        connections,
        instances: variant.instances,
        engine: variant.engine,
        null: variant.cluster == ClusterKind::Null,
        acks: variant.acks,
        threads: variant.producer_threads.min(connections),
        linger: variant.linger.0,
        backlog: variant.backlog,
        delivery_timeout: variant.delivery_timeout.0,
        ramp: variant.ramp,
        drain: variant.drain.0,
    })
}

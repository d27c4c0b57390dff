//! What a run has from before its first event to its end: topic, generation, group, load, and the ways to all of it.

use std::{sync::Arc, time::Duration};

use super::{ClusterSession, Request, RunError, Stop, files::Files, redis_claim::RedisClaim};
use crate::{
    cluster::{Endpoints, topic, topic::Topic},
    event::{
        headers::Stamps,
        payload::EventShape,
        schedule::{Pace, hash},
    },
    machine::clock::{Anchor, Clock},
    output::progress::Progress,
    producer::{Load, source},
    run::{
        collector::{Collected, Collector},
        consumer_group,
        join::Join,
    },
    variant::{ClusterKind, Variant, fault::Party},
    verify::{self, Subject},
};
use shasta_model::manifest::verification::Verification;
use shasta_reader::topology::{Evicted, Seeds};

/// How long Redis may take to answer.
pub(super) const REDIS_TIMEOUT: Duration = Duration::from_secs(5);

/// What a run is asked for, and the topic, group and load that were prepared for it. Built once, and read from then on.
pub(super) struct RunContext<'a> {
    pub request: &'a Request,
    pub stop: &'a Stop,
    pub progress: &'a Progress,
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

impl<'a> RunContext<'a> {
    /// Prepares topic, generation and group.
    pub fn prepare(
        request: &'a Request,
        stop: &'a Stop,
        progress: &'a Progress,
        run: &str,
        session: &ClusterSession,
    ) -> Result<Self, RunError> {
        let anchor = Anchor::read();
        let (clock, cluster) = (Clock::new(anchor), &session.cluster);
        let variant = &Variant { warm: request.variant.warm_up(session.runs), ..request.variant.clone() };
        if variant.cluster == ClusterKind::Null {
            return Self::of_nothing(request, stop, progress, variant, run, anchor, cluster.endpoints());
        }
        let seed = seed(variant, clock);
        let mut endpoints = cluster.endpoints().clone();
        let topic = topic::prepare(&endpoints.kafka, variant, &|| stop.requested())?;
        let mut remarks = topic.remarks(request.verify)?;
        let start_offsets = topic::end_offsets(&endpoints.kafka, &topic)?;
        let again = (request.verify, request.reuse_redis || session.runs > 0);
        let RedisClaim { generation, reused, evicted, nodes, remarks: of_redis } =
            RedisClaim::take(&endpoints, (&topic, variant), &start_offsets, again)?;
        remarks.extend(of_redis);
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
            request,
            stop,
            progress,
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
    pub fn collect(&self, files: &mut Files) -> Result<Collector, RunError> {
        let Load { connections, instances, window, .. } = &*self.load;
        let events_max = (window.rate * window.duration.as_secs_f64()).ceil() as u64 + 1;
        let join = Join::new(*connections, *instances, events_max, self.start_offsets.clone());
        let join = match self.request.variant.readers {
            0 => join,
            _ => join.with_readers(self.partitions_of_tags()),
        };
        Ok(Collector::start(join, files.take_rows(), self.clock)?)
    }

    /// Reads Kafka and Redis back, and compares them with the rows. A user who has ended the run is waited for once more.
    pub fn verify(&self, files: &Files, collected: &Collected) -> Verification {
        let subject = Subject {
            endpoints: &self.endpoints,
            topic: &self.topic,
            run: &self.load.run,
            start_offsets: &self.start_offsets,
            generation: self.generation,
            stream_maxlen: self.request.variant.stream_maxlen,
            reused: self.reused,
            rows: files.rows_path(),
            rows_complete: collected.rows_error.is_none(),
            failed: &collected.failed,
            set_aside: &collected.set_aside,
        };
        let (stop, progress) = (self.stop, self.progress);
        let interrupted = stop.requested();
        let given_up = || if interrupted { stop.insisted() } else { stop.requested() };
        verify::verify(&subject, &|text| progress.line(text), &given_up)
    }

    /// Bytes that the headers add to an event.
    pub fn header_bytes(&self) -> usize {
        let source = source(0, self.load.instances);
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

/// The variant's seed, or one of the moment.
pub(super) fn seed(variant: &Variant, clock: Clock) -> u64 {
    variant.seed.unwrap_or_else(|| hash(clock.now_us() as u64, 0, 0) >> 33)
}

/// What the producers are to do.
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

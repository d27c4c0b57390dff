//! The proof after a run: Kafka and Redis are read back, and compared with each other and with the run's rows.
//!
//! The topic says what must have happened: every acked event is there, and per tag the order of offsets is the order of
//! effects. The rows say what was promised: acked, refused, stored. Redis says what did happen. Each is read once, some
//! partitions at a time, so that memory is bounded: 64 bytes a record of those partitions (2,000,000 records, or one
//! partition), and each tag's name. Contents are compared by 64-bit hashes.
//!
//! Not proven: that entries which were trimmed had been right, and anything about records that the run did not write;
//! those may be in Redis or not.

mod damage;
mod redis_read;
mod report;
#[cfg(test)]
mod server_tests;
mod tag_check;
mod topic_read;
mod topic_records;

use std::{
    cell::Cell,
    collections::HashSet,
    path::Path,
    time::{Duration, Instant},
};

pub use self::report::Told;
use self::{
    damage::Findings,
    redis_read::Stored,
    tag_check::TagCheck,
    topic_read::Part,
    topic_records::{Settled, Written},
};
use crate::{
    cluster::{ClusterError, Endpoints, topic::Topic},
    output::rows::{self, Row},
};
use shasta_model::manifest::{
    record::SetAside,
    verification::{Checked, Verification},
};
use shasta_model::number::thousands;

/// Records that are held at a time, where partitions are smaller.
const RECORDS_MAX: u64 = 2_000_000;

/// Why a check has no result.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The user does not want to wait for it.
    #[error("it was given up")]
    GivenUp,
    /// The rows cannot be read.
    #[error("the rows in {path} cannot be read back: {source}")]
    Rows {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: csv::Error,
    },
    /// The topic's ends are not known.
    #[error("the topic cannot be read back: {0}")]
    Ends(ClusterError),
    /// The consumer cannot be set up.
    #[error("the topic cannot be read back: {0}")]
    Kafka(rdkafka::error::KafkaError),
    /// Retention has removed records.
    #[error("records of the run are no longer in the topic: {0}; keep them longer (retention.ms, retention.bytes)")]
    Gone(String),
    /// The brokers give nothing.
    #[error("the topic cannot be read back: nothing came for {after_s} s: {why}; look at the brokers' logs")]
    Silent {
        /// How long it was waited for.
        after_s: u64,
        /// The last error.
        why: String,
    },
    /// Redis does not answer.
    #[error("Redis at {url} cannot be read back: {problem}")]
    Redis {
        /// Its URL, without password.
        url: String,
        /// What it means, and the client's error.
        problem: String,
    },
}

/// A run that has ended, as far as its check needs it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Where to read.
    pub endpoints: &'a Endpoints,
    /// The topic.
    pub topic: &'a Topic,
    /// The run, as its events name it.
    pub run: &'a str,
    /// Where each partition ended before the run.
    pub start_offsets: &'a [i64],
    /// Generation of the topic.
    pub generation: u64,
    /// Length to which streams are trimmed.
    pub stream_maxlen: u32,
    /// Redis held keys of ours before the run.
    pub reused: bool,
    /// The rows, in CSV.
    pub rows: &'a Path,
    /// Whether all rows are in the file.
    pub rows_complete: bool,
    /// Events that were proven unwritten: producer and sequence.
    pub failed: &'a [(u32, u64)],
    /// Records that workers have set aside.
    pub set_aside: &'a [SetAside],
}

/// What all tags of a check have in common.
#[derive(Debug)]
struct Bounds {
    generation: u64,
    stream_maxlen: u32,
    reused: bool,
    start_offsets: Vec<i64>,
    end_offsets: Vec<i64>,
}

/// The way to the person who waits.
struct Asking<'a> {
    progress: &'a dyn Fn(&str),
    stop: &'a dyn Fn() -> bool,
    told: Cell<Option<Instant>>,
}

impl Asking<'_> {
    fn go_on(&self) -> Result<(), VerifyError> {
        if (self.stop)() { Err(VerifyError::GivenUp) } else { Ok(()) }
    }

    /// Tells how it stands, at most once a second.
    fn tell(&self, text: impl FnOnce() -> String) {
        if self.told.get().is_none_or(|told| told.elapsed() >= Duration::from_secs(1)) {
            self.told.set(Some(Instant::now()));
            (self.progress)(&text());
        }
    }
}

/// Checks a run. `progress` is told about once a second how it stands; `stop` is asked whether to give up. Whatever
/// cannot be read ends the check, which then has not passed.
pub fn verify(subject: &Subject<'_>, progress: &dyn Fn(&str), stop: &dyn Fn() -> bool) -> Verification {
    let started = Instant::now();
    let asking = Asking { progress, stop, told: Cell::new(None) };
    let (mut checked, mut findings) = (Checked::default(), Findings::default());
    let end = read(subject, &asking, &mut checked, &mut findings);
    let damage_count = findings.counts.values().sum();
    Verification {
        passed: end.is_ok() && damage_count == 0,
        given_up: matches!(end, Err(VerifyError::GivenUp)),
        unfinished: end.err().map(|error| error.to_string()),
        checked,
        damage_count,
        damage_counts: findings.counts,
        damages: findings.listed,
        took_s: started.elapsed().as_secs_f64(),
    }
}

fn read(
    subject: &Subject<'_>,
    asking: &Asking<'_>,
    checked: &mut Checked,
    findings: &mut Findings,
) -> Result<(), VerifyError> {
    let Subject { endpoints, topic, run, generation, stream_maxlen, reused, .. } = *subject;
    let end_offsets = topic_read::logs(&endpoints.kafka, subject, asking)?;
    let start_offsets = subject.start_offsets.to_vec();
    let bounds = Bounds { generation, stream_maxlen, reused, start_offsets, end_offsets };
    let mut redis = Stored::new(&endpoints.redis_url, endpoints.redis_shown())?;
    let failed: HashSet<_> = subject.failed.iter().copied().collect();
    let aside: HashSet<_> = subject.set_aside.iter().map(|aside| (aside.partition, aside.offset)).collect();
    for parts in groups(&bounds) {
        let total = thousands(parts.iter().map(Part::records).sum());
        let (mut written, mut count) = (Written::new(run), 0);
        let read =
            topic_read::read(&endpoints.kafka, &topic.name, &parts, asking, |partition, offset, stamps, payload| {
                written.take(partition, offset, stamps, payload);
                count += 1;
                asking.tell(|| format!("verifying: {} of {total} records of the topic read", thousands(count)));
            })?;
        let mut settled = written.settle(&aside, read);
        let of_group: HashSet<_> = parts.iter().map(|part| part.partition).collect();
        let known = 0..bounds.end_offsets.len() as i32;
        for row in rows(subject.rows)? {
            let row = row?;
            // A partition that the topic does not have belongs to the first group, where partition 0 is.
            if of_group.contains(&row.partition) || (of_group.contains(&0) && !known.contains(&row.partition)) {
                settled.row(&row, failed.contains(&(row.producer, row.sequence)), checked, findings);
                asking.tell(|| format!("verifying: {} rows", thousands(checked.rows)));
            }
            asking.go_on()?;
        }
        settled.count(subject.rows_complete, checked, findings);
        tags(&settled, &bounds, &mut redis, asking, (checked, findings))?;
    }
    Ok(())
}

fn tags(
    settled: &Settled,
    bounds: &Bounds,
    redis: &mut Stored,
    asking: &Asking<'_>,
    (checked, findings): (&mut Checked, &mut Findings),
) -> Result<(), VerifyError> {
    let tags = settled.tags();
    let total = thousands(tags.len() as u64);
    for (number, (tag, records)) in tags.enumerate() {
        asking.go_on()?;
        asking.tell(|| format!("verifying: {} of {total} tags read back from Redis", thousands(number as u64)));
        TagCheck::new(bounds, tag, records, checked, findings).run(redis)?;
    }
    Ok(())
}

fn rows(path: &Path) -> Result<impl Iterator<Item = Result<Row, VerifyError>>, VerifyError> {
    let failed = |source| VerifyError::Rows { path: path.to_owned(), source };
    Ok(rows::read(path).map_err(failed)?.map(move |row| row.map_err(failed)))
}

/// Partitions that are read together. Those without records are there too, since rows may name them.
fn groups(bounds: &Bounds) -> Vec<Vec<Part>> {
    let mut groups = vec![Vec::new()];
    let mut records = 0;
    for (partition, (&start, &end)) in bounds.start_offsets.iter().zip(&bounds.end_offsets).enumerate() {
        let part = Part { partition: partition as i32, start, end };
        if records + part.records() > RECORDS_MAX && records > 0 {
            groups.push(Vec::new());
            records = 0;
        }
        records += part.records();
        groups.last_mut().expect("there is one from the beginning").push(part);
    }
    groups
}

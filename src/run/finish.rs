//! After the last event: the books are closed, checked against the topic and the file, and written down.

use std::{
    collections::BTreeMap,
    hint::black_box,
    io,
    path::{Path, PathBuf},
    sync::atomic::Ordering::Relaxed,
};

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{
    Finished, RunError,
    context::{REDIS_TIMEOUT, RunContext},
    files::Files,
    topic_check::TopicAfter,
};
use crate::{
    cluster::{Cluster, throttle},
    fault::impact,
    machine::{clock::Anchor, harness::each_ns, host},
    output::{latency_tables, rows},
    producer::Counters,
    run::{
        caveats,
        collector::{Collected, LISTED_MAX},
    },
    variant::Variant,
};
use shasta_model::{
    atomic_file::{self, Prepared},
    ledger::Ledger,
    manifest::{
        Manifest, SCHEMA_VERSION,
        conduct::Conduct,
        fault::Record,
        harness::{Before, Proof, Spread},
        latency::Tables,
        machine::ClockProof,
        verification::Verification,
    },
    number::thousands,
    slo::{Verdict, VerdictKind},
};
use shasta_reader::topology::{Evicted, Primaries};

/// What the run itself has left.
pub(super) struct Measured {
    /// Start and end of the window, µs of the Unix epoch.
    pub window_us: [i64; 2],
    pub interrupted: bool,
    /// The user does not want to wait for anything more.
    pub gave_up: bool,
    pub conduct: Conduct,
    pub before: Before,
    pub proof: Proof,
    pub lateness: Spread,
    pub troubles: Vec<String>,
    /// Why the topic is not the one that the run began with.
    pub topic_lost: Option<String>,
    pub faults: Vec<Record>,
    pub verification: Option<Verification>,
}

impl Measured {
    /// Computes the percentiles from the rows, brings those into their format, checks the books, and writes the manifest.
    /// Whatever cannot be read or written by now, what was measured is returned.
    pub fn close(
        self,
        context: &RunContext<'_>,
        cluster: &dyn Cluster,
        mut files: Files,
        counters: &Counters,
        mut collected: Collected,
    ) -> Finished {
        let request = context.request;
        let [start_us, end_us] = self.window_us;
        let (mut warnings, faults) = (self.troubles, figured(self.faults, files.rows_path(), self.window_us));
        warnings.append(&mut collected.warnings);
        let (latencies, unread) = latency_tables::read(files.rows_path(), start_us.midpoint(end_us));
        let unread = unread.map(|error| format!("{} cannot be read back: {error}", files.rows_path().display()));
        // Only now, since the percentiles are read from the CSV.
        if request.keep_rows {
            warnings.extend(files.settle(request.format).inspect(|trouble| tracing::warn!("{trouble}")));
        }
        let topic = TopicAfter::look(context, self.gave_up, &mut collected, &mut warnings);
        let (planned, sent) = (counters.planned.load(Relaxed), counters.sent.load(Relaxed));
        let (rows, topic_records) = (latencies.rows, topic.records);
        let ledger = Ledger { planned, sent, rows, topic_records, ..collected.ledger };
        let unwritten =
            collected.rows_error.map(|error| format!("rows are missing, they could not be written: {error}"));
        let evicted = evicted(context, collected.evicted, &mut warnings);
        let problems = unwritten.into_iter().chain(unread).chain(evicted).collect();
        let ledger = checked(ledger, self.topic_lost.or(topic.lost), problems);
        warnings.extend(notes(&ledger, &collected.foreign_runs));
        warnings.extend(topic.grown);
        warnings.extend(self.conduct.throttled.iter().flat_map(throttle::told));
        let (verdict, verdict_kind) = verdict(&ledger, &latencies, self.interrupted);
        let manifest = Manifest {
            schema_version: SCHEMA_VERSION,
            run: files.run().to_owned(),
            rows_file: files.rows_file(),
            variant_name: Some(request.name.clone()),
            interrupted: self.interrupted,
            verdict: verdict.to_string(),
            verdict_kind: Some(verdict_kind),
            caveats: caveats::of(cluster.substrate(), &self.before, &self.proof, &self.lateness, &ledger),
            planned: ledger.planned,
            over_slo: latencies.headlines[0].over_slo,
            ledger,
            latencies,
            window_us: Some(self.window_us),
            started: rfc_3339(start_us),
            ended: rfc_3339(end_us),
            seed: Some(context.seed),
            substrate: Some(cluster.substrate().to_owned()),
            security: if context.load.null { Value::Null } else { context.endpoints.security() },
            conduct: self.conduct,
            lateness: self.lateness,
            harness: self.proof,
            machine_before: Some(self.before),
            clock: clock_proof(context),
            faults,
            verification: self.verification,
            set_aside: collected.set_aside,
            refusals: counters.refusals.all(),
            undecodable: collected.passages.undecodable().take(LISTED_MAX).collect(),
            warnings,
            variant: settings(&Variant { seed: Some(context.seed), ..request.variant.clone() }),
            overrides: Some(request.overrides.clone()),
            clients: clients(context),
            cluster: if self.gave_up { Value::Null } else { cluster.settings() },
            topic: Some(context.topic.recorded()),
            command_line: request.command_line.clone(),
            versions: host::versions(),
            host: host::read(),
        };
        let paths: [PathBuf; 2] = [files.rows_path().to_owned(), files.manifest_path().to_owned()];
        let written = write(&manifest, &paths[1]).map_err(|source| RunError::File { path: paths[1].clone(), source });
        if written.is_ok() && !request.keep_rows {
            files.discard().inspect(|trouble| tracing::warn!("{trouble}"));
        }
        Finished { manifest, verdict, files: paths, unwritten: written.err() }
    }
}

/// Writes the manifest: it is there whole or not at all, and in the place of no other.
fn write(manifest: &Manifest, path: &Path) -> io::Result<()> {
    Ok(Prepared::new(path, &atomic_file::json_line(manifest)?)?.place_new()?)
}

/// A time in µs of the Unix epoch.
fn rfc_3339(us: i64) -> Option<String> {
    Timestamp::from_microsecond(us).ok().map(|time| time.to_string())
}

/// The resolved variant as a manifest has it.
fn settings(variant: &Variant) -> Map<String, Value> {
    match serde_json::to_value(variant) {
        Ok(Value::Object(settings)) => settings,
        _ => Map::new(),
    }
}

/// How the clients of Kafka were set up.
fn clients(context: &RunContext<'_>) -> Value {
    let worker = context.worker_config(0);
    serde_json::json!({
        "producer": context.load.client_properties(),
        "consumer": worker.consumer_properties(),
        "consumer_not_applied": worker.consumer_not_applied(),
    })
}

/// Faults with their figures, from all rows that can be read.
fn figured(mut faults: Vec<Record>, rows: &Path, window_us: [i64; 2]) -> Vec<Record> {
    if !faults.is_empty() {
        let event = |row: rows::Row| impact::Event { scheduled_us: row.scheduled_us, stored_us: row.after_store_us };
        let events: Vec<_> = rows::read(rows).into_iter().flatten().map_while(Result::ok).map(event).collect();
        impact::fill(&mut faults, &events, window_us);
    }
    faults
}

fn clock_proof(context: &RunContext<'_>) -> ClockProof {
    ClockProof {
        source: "CLOCK_MONOTONIC, anchored once to CLOCK_REALTIME by the parent".to_owned(),
        error_ns: context.anchor.error_ns,
        drift_ns: Anchor::read().offset_ns - context.anchor.offset_ns,
        read_ns: Some(each_ns(10_000, || {
            black_box(context.clock.now_us());
        })),
    }
}

/// The checked books; `unfit` is what else makes the run INVALID, as the first thing to be read. Of a run that has lost its
/// topic, the books cannot balance, and what they show is no cause of its own.
fn checked(ledger: Ledger, topic_lost: Option<String>, mut unfit: Vec<String>) -> Ledger {
    let mut ledger = ledger.check();
    match topic_lost {
        Some(text) => unfit.insert(0, text),
        None => unfit.append(&mut ledger.problems),
    }
    Ledger { valid: unfit.is_empty(), problems: unfit, ..ledger }
}

/// What the books show beyond their lines.
fn notes(ledger: &Ledger, foreign_runs: &BTreeMap<String, u64>) -> Vec<String> {
    let mut notes = Vec::new();
    if !foreign_runs.is_empty() {
        let run = |(run, records): (&String, &u64)| format!("`{run}` ({} records)", thousands(*records));
        let runs: Vec<_> = foreign_runs.iter().map(run).collect();
        notes.push(format!(
            "another run published to the same topic meanwhile: {}; its load is in these latencies, and both write the \
             same tags; give each run a --topic and a Redis of its own",
            runs.join(", ")
        ));
    }
    if ledger.undecodable > 0 {
        notes.push(format!(
            "{} records of the topic lie in batches that the consumer cannot decode; they were passed by (`undecodable` in \
             the manifest has their places)",
            thousands(ledger.undecodable)
        ));
    }
    if ledger.gone > 0 {
        notes.push(format!(
            "{} records were deleted from the topic before a worker came to them: by its retention.ms or retention.bytes, or \
             by somebody",
            thousands(ledger.gone)
        ));
    }
    let unconsumed = ledger.unconsumed_records();
    if ledger.foreign > 0 && unconsumed > 0 {
        notes.push(format!(
            "{} records of the topic were not consumed; no event of this run is missing, so they are taken for those of \
             others, and the topic's end offsets prove nothing here",
            thousands(unconsumed)
        ));
    }
    // More of them are a problem of the ledger.
    if ledger.skipped() > 0 && !ledger.too_many_skipped() {
        notes.push(format!(
            "{} events count as stored though their first delivery changed nothing, and redelivery does not explain it: \
             something else writes newer entries of their tags to this Redis",
            thousands(ledger.skipped())
        ));
    }
    notes
}

/// What Redis evicted since the run's start: a problem where it was what it had acknowledged, else a warning, since others
/// may have keys there.
fn evicted(context: &RunContext<'_>, noticed: bool, warnings: &mut Vec<String>) -> Option<String> {
    let before = context.evicted.as_ref().map_or(0, |before| before.keys);
    let now = context.evicted.as_ref().and_then(|_| {
        let mut redis = Primaries::connect(context.endpoints.redis().ok()?, REDIS_TIMEOUT).ok()?;
        Evicted::ask(&mut redis)
    });
    let keys = now.as_ref().map_or(0, |now| now.keys.saturating_sub(before));
    let policy = now.map_or_else(String::new, |now| format!(" (maxmemory-policy {})", now.policy));
    let text = "Redis evicted keys to make room";
    if noticed {
        let count = if keys > 0 { format!("{} keys", thousands(keys)) } else { "keys".to_owned() };
        return Some(format!(
            "Redis evicted {count} to make room{policy}, what it had acknowledged of this run among them; give it room, or \
             maxmemory-policy noeviction"
        ));
    }
    if keys > 0 {
        warnings.push(format!("{text}{policy}: {} since the run's start, perhaps some of this run", thousands(keys)));
    }
    None
}

fn verdict(ledger: &Ledger, latencies: &Tables, interrupted: bool) -> (Verdict, VerdictKind) {
    let unfit = match (interrupted, ledger.valid) {
        (true, _) => Some(("interrupted", VerdictKind::Interrupted)),
        (false, false) => Some(("INVALID, the ledger does not balance", VerdictKind::Invalid)),
        (false, true) => None,
    };
    let verdict = Verdict::new(ledger.planned, latencies.headlines[0].over_slo, unfit.map(|(words, _)| words));
    let kind = match &verdict {
        Verdict::Met => VerdictKind::Met,
        Verdict::Missed => VerdictKind::Missed,
        Verdict::NotResolvable => VerdictKind::NotResolvable,
        Verdict::None(_) => unfit.map_or(VerdictKind::Invalid, |(_, kind)| kind),
    };
    (verdict, kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_did_to_a_run_is_told_with_their_name() {
        let quiet = Ledger::default();
        assert_eq!(notes(&quiet, &BTreeMap::new()), Vec::<String>::new());
        let disturbed = Ledger {
            planned: 100_000,
            foreign: 1_473,
            topic_records: 500,
            consumed_records: 27,
            stored_late: 3,
            ..quiet
        };
        let told = notes(&disturbed, &BTreeMap::from([("ext8".to_owned(), 1_473)]));
        let parts =
            ["`ext8` (1,473 records)", "473 records of the topic were not consumed", "3 events count as stored"];
        assert_eq!(told.len(), parts.len());
        assert!(told.iter().zip(parts).all(|(note, part)| note.contains(part)), "{told:?}");
    }
}

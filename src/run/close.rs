//! After the last event: the books are closed, checked against the topic and the file, and written down.

use std::{path::PathBuf, sync::atomic::Ordering::Relaxed};

use jiff::Timestamp;

use super::{
    Finished, Request, RunError,
    files::Files,
    stage::{REDIS_TIMEOUT, Stage},
};
use crate::{
    clock::Anchor,
    cluster::{Cluster, topic},
    collect::Collected,
    generation::Generation,
    harness::{Proof, Spread},
    host::{Host, Versions},
    ledger::Ledger,
    manifest::{ClockProof, Conduct, Manifest},
    producer::Counters,
    slo::Verdict,
    tables::Tables,
    variant::Variant,
};

/// What the run itself has left.
pub(super) struct Measured {
    /// Start and end of the window, µs of the Unix epoch.
    pub window_us: [i64; 2],
    pub interrupted: bool,
    pub conduct: Conduct,
    pub proof: Proof,
    pub lateness: Spread,
    pub troubles: Vec<String>,
}

impl Measured {
    /// Computes the percentiles from the rows, brings those into their format, checks the books, and writes the manifest.
    pub fn close(
        self,
        request: &Request,
        stage: &Stage,
        cluster: &dyn Cluster,
        mut files: Files,
        counters: &Counters,
        collected: Collected,
    ) -> Result<Finished, RunError> {
        let [start_us, end_us] = self.window_us;
        let mut warnings = self.troubles;
        warnings.extend(collected.warnings);
        let half_us = start_us.midpoint(end_us);
        let latencies = Tables::read(files.rows_path(), half_us)
            .map_err(|source| RunError::Rows { path: files.rows_path().to_owned(), source })?;
        // Only now, since the percentiles are read from the CSV.
        if let Some(trouble) = files.settle(request.format) {
            tracing::warn!("{trouble}");
            warnings.push(trouble);
        }
        let topic_records = topic_records(stage, &mut warnings).unwrap_or(collected.ledger.consumed_records);
        let ledger = Ledger {
            planned: counters.planned.load(Relaxed),
            sent: counters.sent.load(Relaxed),
            rows: latencies.rows,
            topic_records,
            ..collected.ledger
        };
        let mut ledger = ledger.check();
        if let Some(error) = collected.rows_error {
            ledger.valid = false;
            ledger.problems.push(format!("rows are missing from {}: {error}", files.rows_path().display()));
        }
        let verdict = verdict(&ledger, &latencies, self.interrupted);
        let end = Anchor::read();
        let time = |us| Timestamp::from_microsecond(us).map(|time| time.to_string()).unwrap_or_default();
        let manifest = Manifest {
            run: files.run().to_owned(),
            rows_file: files.rows_file(),
            variant_name: request.name.clone(),
            interrupted: self.interrupted,
            verdict: verdict.to_string(),
            planned: ledger.planned,
            over_slo: latencies.headlines[0].over_slo,
            ledger,
            latencies,
            window_us: self.window_us,
            started: time(start_us),
            ended: time(end_us),
            seed: stage.seed,
            substrate: cluster.substrate(),
            conduct: self.conduct,
            lateness: self.lateness,
            harness: self.proof,
            clock: ClockProof {
                source: "CLOCK_MONOTONIC, anchored once to CLOCK_REALTIME by the parent",
                error_ns: stage.anchor.error_ns,
                drift_ns: end.offset_ns - stage.anchor.offset_ns,
            },
            faults: Vec::new(),
            set_aside: collected.set_aside,
            warnings,
            variant: Variant { seed: Some(stage.seed), ..request.variant.clone() },
            clients: serde_json::json!({
                "producer": stage.load.client_properties(),
                "consumer": stage.worker_config(&request.variant, 0).consumer_properties(),
            }),
            cluster: cluster.settings(),
            topic: serde_json::to_value(&stage.topic).unwrap_or_default(),
            command_line: request.command_line.clone(),
            versions: Versions::read(),
            host: Host::read(),
        };
        let paths: [PathBuf; 2] = [files.rows_path().to_owned(), files.manifest_path().to_owned()];
        manifest.write(&paths[1]).map_err(|source| RunError::File { path: paths[1].clone(), source })?;
        Ok(Finished { manifest, verdict, files: paths })
    }
}

/// Records that the topic took between the start and now; `None`, with a warning, where its brokers do not say.
fn topic_records(stage: &Stage, warnings: &mut Vec<String>) -> Option<u64> {
    match topic::end_offsets(&stage.endpoints.kafka, &stage.topic) {
        Ok(ends) => {
            if let Err(error) = remember(stage, &ends) {
                warnings.push(format!("Redis did not take the topic's end offsets for the next run: {error}"));
            }
            Some(ends.iter().zip(&stage.start_offsets).map(|(end, start)| (end - start).max(0) as u64).sum())
        }
        Err(error) => {
            warnings.push(format!("the topic's end offsets could not be read, so they check nothing: {error}"));
            None
        }
    }
}

/// Keeps where the topic ends, by which the next run knows whether it is still the same.
fn remember(stage: &Stage, ends: &[i64]) -> redis::RedisResult<()> {
    let client = redis::Client::open(stage.endpoints.redis_url.as_str())?;
    let mut redis = client.get_connection_with_timeout(REDIS_TIMEOUT)?;
    redis.set_read_timeout(Some(REDIS_TIMEOUT))?;
    Generation::of(&stage.topic).remember(&mut redis, ends)
}

fn verdict(ledger: &Ledger, latencies: &Tables, interrupted: bool) -> Verdict {
    let unfit = match (interrupted, ledger.valid) {
        (true, _) => Some("interrupted"),
        (false, false) => Some("INVALID, the ledger does not balance"),
        (false, true) => None,
    };
    Verdict::new(ledger.planned, latencies.headlines[0].over_slo, unfit)
}

//! What a table needs of a run, read back from its manifest.

use std::path::Path;

use super::{
    pooled::Tail,
    table::{median, sorted},
};
use shasta_model::manifest::Manifest;

/// The manifest of a run, which tables are made of.
#[derive(Debug, Clone)]
pub struct Recorded(Manifest);

impl Recorded {
    /// Reads a manifest.
    ///
    /// # Errors
    /// In words: it cannot be read, or has no latencies.
    pub fn read(path: &Path) -> Result<Self, String> {
        let read = Manifest::read(path).map_err(|error| error.to_string())?;
        let empty = read.latencies.headlines.is_empty();
        if empty { Err(format!("{}: it has no latencies", path.display())) } else { Ok(Self(read)) }
    }

    /// Planned events.
    pub fn planned(&self) -> u64 {
        self.0.planned
    }

    /// Planned events that were not stored in time.
    pub fn over_slo(&self) -> u64 {
        self.0.over_slo
    }

    /// A percentile of scheduled → stored, in ms with 2 places: infinite past the drain, none when it is not kept.
    pub fn headline_ms(&self, percentile: f64) -> Option<f64> {
        self.0.latencies.headline_ms(percentile)
    }

    /// Mean, standard deviation and minimum of scheduled → stored in ms, of the events that have both stamps; none where
    /// there is no such event, or the run was not asked.
    pub fn moments_ms(&self) -> [Option<f64>; 3] {
        self.0.latencies.headline_moments_ms()
    }

    /// The machine that it was made on, in words.
    pub fn machine(&self) -> String {
        self.0.host.to_string()
    }

    /// Runs that its brokers had behind them; none where the first manifests do not say it.
    pub fn runs_before(&self) -> Option<u32> {
        self.0.conduct.runs_before
    }

    /// Its slowest events.
    pub fn tail(&self) -> Tail {
        let latencies = &self.0.latencies;
        let [n, missing] = latencies.headlines.first().map_or([0; 2], |line| [line.n, line.missing.unwrap_or(0)]);
        Tail { n, missing, largest_us: latencies.tail_us.clone() }
    }

    /// Mean CPU use of all parts whose name begins so, in cores; none when there are none.
    pub fn cores(&self, prefix: &str) -> Option<f64> {
        let own = self.0.harness.costs.iter().filter(|cost| cost.name.starts_with(prefix)).map(|cost| cost.cpu_cores);
        own.reduce(|a, b| a + b)
    }

    /// Mean CPU time that the hypervisor gave to others, in cores; none without a whole second.
    pub fn steal_cores(&self) -> Option<f64> {
        let harness = &self.0.harness;
        (!harness.seconds.is_empty()).then(|| harness.mean(|second| second.steal_cores))
    }

    /// CPU time that a fixed piece of work took in the middle one of its seconds, in µs: how fast the cores were. None where
    /// that was not measured.
    pub fn work_us(&self) -> Option<f64> {
        let work_us = self.0.harness.seconds.iter().map(|second| second.work_us);
        median(&sorted(work_us.filter(|work_us| *work_us > 0.0)))
    }

    /// CPU time of the brokers for each event of the window, in core-ms.
    pub fn broker_ms(&self) -> Option<f64> {
        let per_s = self.planned() as f64 / self.0.window_s()?;
        Some(self.cores("broker ")? * 1000.0 / per_s)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;
    use shasta_model::ledger::Ledger;

    /// A manifest of 1,000 events in 10 s on two cores of this model, with its p99.99 and its largest latency.
    pub(in crate::study::campaign) fn write(path: &Path, cpu: &str, p9999_ms: serde_json::Value, largest_us: i64) {
        let cell =
            |percentile: f64, ms: serde_json::Value| json!({ "percentile": percentile, "ms": ms, "samples_past": 10 });
        let percentiles = [cell(50.0, json!(4.5)), cell(99.9, json!(9)), cell(99.99, p9999_ms)];
        let line = json!({
            "name": "scheduled → stored", "n": 1000, "missing": 0, "over_slo": 3, "percentiles": percentiles,
            "max_ms": largest_us as f64 / 1000.0,
        });
        let cost = |name: &str, cores: f64| json!({ "name": name, "cpu_cores": cores });
        let costs = [cost("broker 1", 0.05), cost("broker 2", 0.07), cost("producers", 0.04), cost("worker 0", 0.02)];
        let tail_us: Vec<i64> = (0..100).map(|i| largest_us - i).collect();
        let seconds =
            json!({ "at_us": [1, 2, 3, 4], "steal_cores": [0.1, 0.3, 0.2, 0.2], "work_us": [50.0, 90.0, 60.0, 0.0] });
        let ledger = Ledger { planned: 1000, ..Ledger::default() };
        let manifest = json!({
            "run": "r", "ledger": ledger, "planned": 1000, "over_slo": 3, "window_us": [5_000_000, 15_000_000], "conduct": { "runs_before": 2 },
            "harness": { "costs": costs, "seconds": seconds },
            "latencies": { "headlines": [line], "tail_us": tail_us },
            "host": { "cpu": cpu, "cores": 2, "memory_bytes": 65_536, "kernel": "CP/M" },
        });
        fs::write(path, manifest.to_string()).unwrap();
    }

    /// Adds what later versions record.
    pub(in crate::study::campaign) fn describe(path: &Path, missing: u64, [mean_ms, sd_ms, min_ms]: [Option<f64>; 3]) {
        let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let line = &mut manifest["latencies"]["headlines"][0];
        for (key, figure) in [("mean_ms", mean_ms), ("sd_ms", sd_ms), ("min_ms", min_ms)] {
            line[key] = json!(figure);
        }
        line["missing"] = json!(missing);
        fs::write(path, manifest.to_string()).unwrap();
    }

    #[test]
    fn figures_of_a_manifest() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.json");
        write(&path, "Z80", json!("> drain"), 90_000);
        let read = Recorded::read(&path).unwrap();
        assert_eq!([50.0, 99.99, 12.0].map(|p| read.headline_ms(p)), [Some(4.5), Some(f64::INFINITY), None]);
        assert!((read.broker_ms().unwrap() - 1.2).abs() < 1e-9, "0.12 cores at 100 events/s");
        assert!((read.steal_cores().unwrap() - 0.2).abs() < 1e-9);
        assert_eq!((read.work_us(), read.machine()), (Some(60.0), "2 × Z80".to_owned()));
        assert_eq!((read.cores("worker "), read.cores("redis")), (Some(0.02), None));
        assert_eq!(read.tail().largest_us[..2], [90_000, 89_999]);
        assert_eq!(read.moments_ms(), [None; 3]);
        describe(&path, 1, [Some(5.25), Some(0.5), None]);
        assert_eq!(Recorded::read(&path).unwrap().moments_ms(), [Some(5.25), Some(0.5), None]);
        fs::write(&path, "{}").unwrap();
        assert!(Recorded::read(&path).unwrap_err().contains("missing field"));
    }
}

//! Which runs count: limits on what the harness and the machine did, given before the first run. They never look at
//! latency, and a run that is past one stays in the journal with its cause.

use serde::{Deserialize, Serialize};

use shasta_model::manifest::Manifest;

/// The limits. A run whose ledger does not balance, or that was interrupted, never counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Validity {
    /// Rebalances within the window.
    pub rebalances_max: usize,
    /// How late the schedule may have run at its 99th percentile, in ms.
    pub lateness_p99_ms_max: f64,
    /// Mean CPU use of processes that do not belong to the run, in cores.
    pub foreign_cores_max: f64,
    /// Mean CPU time that the hypervisor gave to others, in cores.
    pub steal_cores_max: f64,
}

impl Default for Validity {
    fn default() -> Self {
        Self { rebalances_max: 0, lateness_p99_ms_max: 5.0, foreign_cores_max: 0.2, steal_cores_max: 0.1 }
    }
}

/// What a run is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Whether the ledger balances; if not, in words.
    pub problems: &'a [String],
    /// It was ended before its time.
    pub interrupted: bool,
    /// Rebalances within the window.
    pub rebalances: usize,
    /// 99th percentile of the schedule's lateness, in ms.
    pub lateness_p99_ms: f64,
    /// Mean CPU use of others, in cores.
    pub foreign_cores: f64,
    /// Mean steal, in cores.
    pub steal_cores: f64,
}

impl<'a> Seen<'a> {
    /// Of a finished run.
    pub fn of(manifest: &'a Manifest) -> Self {
        Self {
            problems: &manifest.ledger.problems,
            interrupted: manifest.interrupted,
            rebalances: manifest.conduct.rebalances_in_window,
            lateness_p99_ms: manifest.lateness.p99_ms,
            foreign_cores: manifest.harness.mean(|second| second.foreign_cores),
            steal_cores: manifest.harness.mean(|second| second.steal_cores),
        }
    }
}

impl Validity {
    /// Why a run does not count, if it does not.
    pub fn against(&self, seen: &Seen) -> Option<String> {
        if seen.interrupted {
            return Some("interrupted".to_owned());
        }
        if let Some(problem) = seen.problems.first() {
            return Some(format!("INVALID: {problem}"));
        }
        if seen.rebalances > self.rebalances_max {
            return Some(format!("{} rebalances in the window (at most {})", seen.rebalances, self.rebalances_max));
        }
        let limits = [
            ("the schedule was late by", seen.lateness_p99_ms, self.lateness_p99_ms_max, "ms at its p99"),
            ("other processes used", seen.foreign_cores, self.foreign_cores_max, "cores"),
            ("CPU steal was", seen.steal_cores, self.steal_cores_max, "cores"),
        ];
        let past = limits.into_iter().find(|(_, seen, limit, _)| seen > limit);
        past.map(|(what, seen, limit, unit)| format!("{what} {seen:.2} {unit} (at most {limit})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_has_its_words() {
        let fine = Seen {
            problems: &[],
            interrupted: false,
            rebalances: 0,
            lateness_p99_ms: 5.0,
            foreign_cores: 0.2,
            steal_cores: 0.1,
        };
        let why = |seen: Seen| Validity::default().against(&seen).unwrap_or_default();
        assert_eq!(why(fine), "");
        let problems = ["acked 3 ≠ 2".to_owned()];
        for (seen, words) in [
            (Seen { interrupted: true, ..fine }, "interrupted"),
            (Seen { problems: &problems, ..fine }, "INVALID: acked 3 ≠ 2"),
            (Seen { rebalances: 2, ..fine }, "2 rebalances in the window (at most 0)"),
            (Seen { lateness_p99_ms: 7.126, ..fine }, "the schedule was late by 7.13 ms at its p99 (at most 5)"),
            (Seen { foreign_cores: 0.3, ..fine }, "other processes used 0.30 cores (at most 0.2)"),
            (Seen { steal_cores: 0.3, ..fine }, "CPU steal was 0.30 cores (at most 0.1)"),
        ] {
            assert_eq!(why(seen), words);
        }
    }
}

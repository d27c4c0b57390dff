//! What stands beside a verdict because it bounds what the figures say: the machine or the harness is what a run measured, or
//! its events came more than once.

use crate::machine::contention;
use shasta_model::{
    ledger::Ledger,
    manifest::{
        caveat::{Caveat, Kind},
        harness::{Before, Proof, Spread},
    },
    number::thousands,
};

/// How late the schedule may run in its 99th percentile, in ms: a fifth of the SLO.
const LATENESS_P99_MS_MAX: f64 = 20.0;
/// One further delivery is tolerated for so many planned events.
const ONE_COPY_IN: u64 = 100;

/// All that hold of a run.
pub fn of(substrate: &str, before: &Before, proof: &Proof, lateness: &Spread, ledger: &Ledger) -> Vec<Caveat> {
    let told = [
        (Kind::BusyMachine, contention::over(&proof.seconds, before, substrate == "external")),
        (Kind::LateHarness, late_harness(lateness)),
        (Kind::SecondCopies, second_copies(ledger)),
    ];
    told.into_iter().filter_map(|(kind, text)| Some(Caveat { kind: Some(kind), text: text? })).collect()
}

fn late_harness(lateness: &Spread) -> Option<String> {
    (lateness.p99_ms >= LATENESS_P99_MS_MAX).then(|| {
        format!(
            "late harness: one event in a hundred was handed over {:.0} ms or more after it was due; these latencies begin with \
             that, and it is not Kafka's",
            lateness.p99_ms
        )
    })
}

fn second_copies(ledger: &Ledger) -> Option<String> {
    let Ledger { planned, duplicates, copies, .. } = *ledger;
    (u128::from(duplicates) * u128::from(ONE_COPY_IN) > u128::from(planned)).then(|| {
        let again = duplicates.saturating_sub(copies);
        format!(
            "second copies: {} of {} planned events; {} were written to Kafka again by a producer, {} were read again by a worker",
            thousands(duplicates),
            thousands(planned),
            thousands(copies),
            thousands(again)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_one_copy_in_a_hundred_events_is_told_with_its_kind() {
        let of =
            |duplicates, copies| second_copies(&Ledger { planned: 35_000, duplicates, copies, ..Ledger::default() });
        assert_eq!([of(0, 0), of(350, 350)], [None, None]);
        let told = of(106_278, 278).unwrap();
        let parts =
            ["106,278 of 35,000 planned", "278 were written to Kafka again", "106,000 were read again by a worker"];
        assert!(parts.iter().all(|part| told.contains(part)), "{told}");
    }

    #[test]
    fn a_schedule_that_runs_late_is_told() {
        let of = |p99_ms| Spread { p50_ms: 0.1, p99_ms, p999_ms: p99_ms, p9999_ms: p99_ms, max_ms: p99_ms };
        assert_eq!(late_harness(&of(19.9)), None);
        assert!(late_harness(&of(39.8)).unwrap().contains("handed over 40 ms or more"));
    }
}

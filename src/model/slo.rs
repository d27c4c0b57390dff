//! The promise (99.99 % of planned events in under 100 ms) and the verdict on it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::number::thousands;

/// An event keeps the promise when its latency is strictly below this, in µs, as stamps are.
pub const SLO_US: i64 = 100_000;
/// The same in ms.
pub const SLO_MS: f64 = SLO_US as f64 / 1000.0;
/// One planned event in so many may break it: in whole numbers, so that the verdict is exact.
pub const ONE_OVER_IN: u64 = 10_000;
/// The share of *planned* events that must keep the promise.
pub const SHARE_REQUIRED: f64 = 1.0 - 1.0 / ONE_OVER_IN as f64;
/// With fewer planned events than this, so few may break the promise that chance decides.
pub const PLANNED_FOR_VERDICT: u64 = 100_000;

/// Whether a run kept the promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// At least 99.99 % of the planned events were in time.
    Met,
    /// Fewer were.
    Missed,
    /// Too few events were planned to tell.
    NotResolvable,
    /// The run cannot be judged, for this reason (interrupted, INVALID, read with rows skipped).
    None(String),
}

/// The verdict for programs: beside what the sentence says, why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictKind {
    /// At least 99.99 % of the planned events were in time.
    Met,
    /// Fewer were.
    Missed,
    /// Too few events were planned to tell.
    NotResolvable,
    /// The ledger does not balance.
    Invalid,
    /// The run was ended before its time.
    Interrupted,
    /// Some of its hosts left no rows.
    Partial,
    /// It was read with rows skipped that are none.
    BadRows,
}

/// Whether `over` of `planned` events are more than the promise allows, however few were planned.
pub fn too_many(planned: u64, over: u64) -> bool {
    u128::from(over) * u128::from(ONE_OVER_IN) > u128::from(planned)
}

impl Verdict {
    /// Of `planned` events, `over` were not in time; an event without its end stamp was not.
    /// `unfit` is the reason, if there is one, why the run may not be judged at all.
    pub fn new(planned: u64, over: u64, unfit: Option<&str>) -> Self {
        match unfit {
            Some(reason) => Verdict::None(reason.to_owned()),
            None if planned < PLANNED_FOR_VERDICT => Verdict::NotResolvable,
            None if too_many(planned, over) => Verdict::Missed,
            None => Verdict::Met,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Met => f.write_str("SLO met"),
            Verdict::Missed => f.write_str("SLO missed"),
            Verdict::NotResolvable => {
                write!(f, "not resolvable (fewer than {} events planned)", thousands(PLANNED_FOR_VERDICT))
            }
            Verdict::None(reason) => write!(f, "no verdict: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_too_short_says_how_long_it_has_to_be() {
        assert_eq!(Verdict::NotResolvable.to_string(), "not resolvable (fewer than 100,000 events planned)");
    }

    #[test]
    fn exactly_the_allowed_share_is_met_and_one_more_is_not() {
        assert_eq!(Verdict::new(100_000, 10, None), Verdict::Met);
        assert_eq!(Verdict::new(100_000, 11, None), Verdict::Missed);
        assert_eq!(Verdict::new(109_999, 11, None), Verdict::Missed);
        assert_eq!(Verdict::new(u64::MAX, u64::MAX, None), Verdict::Missed);
    }

    #[test]
    fn too_few_planned_is_not_resolvable_however_good() {
        assert_eq!(Verdict::new(99_999, 0, None), Verdict::NotResolvable);
        assert_eq!(Verdict::new(0, 0, None), Verdict::NotResolvable);
    }

    #[test]
    fn an_unfit_run_has_no_verdict() {
        assert_eq!(Verdict::new(1_000_000, 0, Some("interrupted")).to_string(), "no verdict: interrupted");
    }
}

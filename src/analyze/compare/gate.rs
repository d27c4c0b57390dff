//! `--baseline DIR --max-regression 10%`: whether a candidate may pass.
//!
//! The baseline's figures are multiplied by 1 + the allowance, and the candidate's ranked among them. Two one-sided
//! exact permutation tests on the primary endpoint follow, each at 5 %: *higher* than that is a resolved regression
//! (exit code 4), *lower* is a pass (0), neither is undecided (5). So at most one candidate in twenty that sits exactly
//! on the allowance is called a regression, and at most one is passed. No difference found is not a pass: with few
//! runs, or with runs that scatter more than the allowance, nobody knows. The 90 % interval that is printed says the
//! same.
//!
//! A candidate's run that has no usable figure (INVALID, interrupted) may be missing because it was slow, so to pass
//! the candidate must be low enough with such runs taken for +∞. They do not count towards a regression.

use std::{fmt, str::FromStr};

use super::{
    arm::{Arm, PRIMARY, Sorted, sort_out},
    interval::{Effect, of_ratio},
    matrix::{ALPHA, RUNS_TO_RESOLVE},
    permutation::over_all,
    tables::{percent, times},
};
use crate::spread::Spread;

/// How much higher than the baseline a candidate may be: `10%`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Allowance {
    percent: f64,
}

/// Why a text is no allowance.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AllowanceError {
    /// `10` could be meant as a factor, a share, or ms.
    #[error("`{0}` has no percent sign; write `10%`")]
    NoPercent(String),
    /// Not a finite number, or below 0.
    #[error("`{0}` is not a percentage of 0 or more; write `10%`")]
    NotAPercentage(String),
}

impl FromStr for Allowance {
    type Err = AllowanceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.trim().strip_suffix('%').ok_or_else(|| AllowanceError::NoPercent(text.to_owned()))?;
        match number.trim_end().parse() {
            // Minus zero is zero.
            Ok(percent) if f64::is_finite(percent) && percent >= 0.0 => Ok(Self { percent: percent + 0.0 }),
            _ => Err(AllowanceError::NotAPercentage(text.to_owned())),
        }
    }
}

/// `10 %`.
impl fmt::Display for Allowance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.percent)
    }
}

impl Allowance {
    /// What the baseline is multiplied by: 1.1 for `10%`.
    pub fn factor(self) -> f64 {
        1.0 + self.percent / 100.0
    }
}

/// The decision.
#[derive(Debug, Clone, PartialEq)]
pub enum Gate {
    /// Resolved as not beyond the allowance; the evidence in words.
    Pass(String),
    /// Resolved as beyond it; the evidence in words.
    Regression(String),
    /// It cannot be decided, for this reason.
    Undecided(String),
}

impl Gate {
    /// `analyze`'s exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Gate::Pass(_) => 0,
            Gate::Regression(_) => 4,
            Gate::Undecided(_) => 5,
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gate::Pass(why) => write!(f, "no regression: {why}"),
            Gate::Regression(why) => write!(f, "regression: {why}"),
            Gate::Undecided(why) => write!(f, "cannot decide: {why}"),
        }
    }
}

/// Decides whether the candidate's p99.99 is beyond the baseline's by more than `allowed`.
pub fn gate(baseline: &Arm, candidate: &Arm, allowed: Allowance) -> Gate {
    let sorted = sort_out(&[baseline, candidate]);
    let [baseline, candidate] = &sorted[..] else { return Gate::Undecided("there are no two arms".to_owned()) };
    let (before, after) = (baseline.figures(PRIMARY), candidate.figures(PRIMARY));
    if before.len().min(after.len()) < RUNS_TO_RESOLVE {
        return Gate::Undecided(too_few(baseline, candidate));
    }
    let limit: Vec<f64> = before.iter().map(|ms| ms * allowed.factor()).collect();
    let higher = over_all(&limit, &after).high;
    let with_lost = [&after[..], &vec![f64::INFINITY; candidate.set_aside.len()]].concat();
    let lower = over_all(&limit, &with_lost).low;
    let evidence = evidence(&before, &after, allowed);
    if higher < ALPHA {
        Gate::Regression(format!("{evidence}; p {higher:.4} of the one-sided exact permutation test"))
    } else if lower < ALPHA {
        Gate::Pass(format!("{evidence}; p {lower:.4} of the one-sided exact permutation test"))
    } else {
        let runs = match candidate.set_aside.len() {
            0 => String::new(),
            n => format!(
                ", {n} more without a figure taken for the slowest it could be when it is asked whether to pass"
            ),
        };
        Gate::Undecided(format!(
            "{evidence}; the runs could lie on either side of it (p {higher:.4} for above, {lower:.4} for \
             below{runs}). More runs of both arms, interleaved, would tell."
        ))
    }
}

fn too_few(baseline: &Sorted<'_>, candidate: &Sorted<'_>) -> String {
    let counted = |arm: &Sorted<'_>| format!("{} has {}", arm.name, arm.usable.len());
    let causes = [baseline, candidate].into_iter().flat_map(|arm| &arm.set_aside).map(ToString::to_string);
    let causes: Vec<String> = causes.collect();
    let causes = if causes.is_empty() { String::new() } else { format!(" Set aside: {}.", causes.join("; ")) };
    format!("it takes {RUNS_TO_RESOLVE} valid runs an arm; {}, {}.{causes}", counted(baseline), counted(candidate))
}

fn evidence(before: &[f64], after: &[f64], allowed: Allowance) -> String {
    let [before_ms, after_ms] = [before, after].map(|figures| Spread::over(figures).median);
    let ratio = match of_ratio(before, after, 1.0 - 2.0 * ALPHA) {
        Some(Effect { ratio, interval: Some(interval) }) => {
            let [ratio, low, high] = [ratio, interval.low, interval.high].map(times);
            format!("{ratio} times the baseline ({} interval {low} to {high})", percent(interval.coverage))
        }
        _ => "no ratio".to_owned(),
    };
    format!(
        "{PRIMARY} {after_ms} ms in the median of {} runs, {before_ms} ms in the baseline's {}: {ratio}, where up to \
         {} is allowed",
        after.len(),
        before.len(),
        times(allowed.factor()),
    )
}

#[cfg(test)]
mod tests {
    use super::{
        super::{arm::tests::arm, null::tests::uniform},
        *,
    };

    const BEFORE: [f64; 4] = [40.0, 41.0, 42.0, 44.0];

    fn decided(before: &[f64], after: &[f64], allowed: &str) -> Gate {
        gate(&arm("baseline", before, 0), &arm("candidate", after, 1), allowed.parse().unwrap())
    }

    #[test]
    fn allowances() {
        assert_eq!("10%".parse::<Allowance>().unwrap().factor(), 1.1);
        assert_eq!(" 2.5 % ".parse::<Allowance>().unwrap().to_string(), "2.5 %");
        assert_eq!("-0%".parse::<Allowance>().unwrap().factor(), 1.0);
        for text in ["10", "", "0.1", "ten"] {
            assert!(text.parse::<Allowance>().unwrap_err().to_string().contains("no percent sign"), "{text}");
        }
        for text in ["NaN%", "-1%", "inf%", "1e999%", "%", "ten%", "1,5%", "10%%"] {
            assert!(text.parse::<Allowance>().unwrap_err().to_string().contains("0 or more"), "{text}");
        }
    }

    #[test]
    fn beyond_within_and_between() {
        let slower = decided(&BEFORE, &[60.0, 61.0, 62.0, f64::INFINITY], "10%");
        assert_eq!(slower.exit_code(), 4, "{slower}");
        assert!(slower.to_string().contains("where up to 1.10 is allowed; p 0.0143"), "{slower}");
        let same = decided(&BEFORE, &[40.5, 41.5, 42.5, 43.5], "10%");
        assert_eq!(same.exit_code(), 0, "{same}");
        let near = decided(&BEFORE, &[43.0, 46.0, 47.0, 49.0], "10%");
        assert_eq!(near.exit_code(), 5, "{near}");
        assert!(near.to_string().contains("1.12 times the baseline (94.2 % interval 1.02 to 1.20)"), "{near}");
        assert_eq!(decided(&BEFORE, &BEFORE.map(|ms| ms * 1.05), "0%").exit_code(), 5, "within the noise");
    }

    #[test]
    fn too_few_runs_cannot_decide_and_say_why() {
        let mut candidate = arm("candidate", &[400.0; 4], 1);
        candidate.runs[2].unfit = Some("interrupted".into());
        let gate = gate(&arm("baseline", &BEFORE, 0), &candidate, "10%".parse().unwrap());
        assert_eq!(gate.exit_code(), 5);
        let told = gate.to_string();
        assert!(
            told.contains("baseline has 4, candidate has 3.")
                && told.contains("`candidate-2` of candidate: interrupted")
        );
        let itself = super::gate(&candidate, &candidate, "10%".parse().unwrap());
        assert!(itself.to_string().contains("is a run of candidate, too"), "{itself}");
    }

    #[test]
    fn a_lost_run_counts_as_slow_before_it_passes() {
        let mut candidate = arm("candidate", &[20.0, 21.0, 22.0, 23.0, 24.0], 1);
        let baseline = arm("baseline", &BEFORE, 0);
        let gate = |candidate: &Arm| super::gate(&baseline, candidate, "10%".parse().unwrap());
        assert_eq!(gate(&candidate).exit_code(), 0);
        candidate.runs[0].valid = false;
        assert_eq!(gate(&candidate).exit_code(), 5);
        assert!(gate(&candidate).to_string().contains("1 more without a figure"), "{}", gate(&candidate));
    }

    #[test]
    fn all_past_the_drain_cannot_be_told_apart() {
        let gate = decided(&[f64::INFINITY; 4], &[f64::INFINITY; 4], "10%");
        assert_eq!(gate.exit_code(), 5, "{gate}");
        assert!(gate.to_string().contains("0.00 to ∞"), "{gate}");
    }

    #[test]
    fn on_the_allowance_each_error_is_made_at_most_once_in_twenty() {
        let (mut state, mut exits) = (5, [0u32; 6]);
        const TRIALS: u32 = 5_000;
        for _ in 0..TRIALS {
            let mut draw = |factor: f64| factor / (1.0 - uniform(&mut state));
            let (before, after): ([f64; 5], [f64; 4]) =
                (std::array::from_fn(|_| draw(20.0)), std::array::from_fn(|_| draw(22.0)));
            exits[decided(&before, &after, "10%").exit_code() as usize] += 1;
        }
        assert!(exits[0] <= TRIALS / 20 && exits[4] <= TRIALS / 20, "{exits:?}");
        assert!(exits[0] > TRIALS / 50 && exits[4] > TRIALS / 50, "the tests are not blind: {exits:?}");
    }
}

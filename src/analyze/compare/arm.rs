//! An arm: the runs of one side of a comparison, and which of them can be compared.

use std::fmt;

/// The one endpoint that is tested; every other is exploratory.
pub const PRIMARY: &str = "p99.99 scheduled → stored";
/// Endpoints that describe an arm beside it: of the events that have both stamps.
pub const DESCRIBED: [&str; 3] = ["mean scheduled → stored", "SD scheduled → stored", "min scheduled → stored"];

/// What a comparison takes from one run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunFigures {
    /// Its name.
    pub run: String,
    /// The seed of its schedule.
    pub seed: Option<u64>,
    /// When it started: RFC 3339 in UTC, so that text order is order in time.
    pub started: Option<String>,
    /// Whether its ledger balances.
    pub valid: bool,
    /// Why it cannot be compared (INVALID and why, interrupted, rows skipped).
    pub unfit: Option<String>,
    /// Endpoint (as [`PRIMARY`]) and figure in ms, +∞ where the event was past the drain.
    pub endpoints: Vec<(String, f64)>,
}

/// A set of runs under one name.
#[derive(Debug, Clone, PartialEq)]
pub struct Arm {
    /// As readers know it: a variant, a directory.
    pub name: String,
    /// Its runs, in any order.
    pub runs: Vec<RunFigures>,
    /// What its runs differ in from those that it is held against, in words; empty where that is nothing or not known.
    pub differs: String,
}

/// A run that is not compared.
#[derive(Debug, Clone, PartialEq)]
pub struct SetAside {
    /// The run.
    pub run: String,
    /// Its arm.
    pub arm: String,
    /// Why, in words.
    pub cause: String,
}

/// `<run> of <arm>: <cause>`.
impl fmt::Display for SetAside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` of {}: {}", self.run, self.arm, self.cause)
    }
}

/// An arm's runs that can be compared, and those that cannot.
#[derive(Debug, Clone, PartialEq)]
pub struct Sorted<'a> {
    /// The arm's name.
    pub name: &'a str,
    /// Each has a positive primary endpoint.
    pub usable: Vec<&'a RunFigures>,
    /// The others, with the cause of each.
    pub set_aside: Vec<SetAside>,
    /// See [`Arm::differs`].
    pub differs: &'a str,
}

impl RunFigures {
    /// The figure of an endpoint in ms, if it is a number.
    pub fn endpoint(&self, name: &str) -> Option<f64> {
        let found = self.endpoints.iter().find(|(endpoint, _)| endpoint == name);
        found.map(|(_, ms)| *ms).filter(|ms| !ms.is_nan())
    }

    fn cause(&self) -> Option<String> {
        match self.endpoint(PRIMARY) {
            _ if self.unfit.is_some() => self.unfit.clone(),
            _ if !self.valid => Some("INVALID, without a reason".to_owned()),
            None => Some(format!("has no {PRIMARY}")),
            Some(ms) if ms <= 0.0 => Some(format!("its {PRIMARY} is {ms} ms: the clocks of its stamps disagree")),
            Some(_) => None,
        }
    }

    /// Whether the two are one recorded run, whatever file each was read from.
    fn is(&self, other: &Self) -> bool {
        (&self.run, &self.started, &self.endpoints) == (&other.run, &other.started, &other.endpoints)
    }
}

impl Sorted<'_> {
    /// The figures of an endpoint in ms, ascending.
    pub fn figures(&self, endpoint: &str) -> Vec<f64> {
        let mut figures: Vec<f64> = self.usable.iter().filter_map(|run| run.endpoint(endpoint)).collect();
        figures.sort_unstable_by(f64::total_cmp);
        figures
    }
}

/// Sorts out each arm's runs. A run is one observation: named twice in an arm it counts once, named in two arms in
/// neither.
pub fn sort_out<'a>(arms: &[&'a Arm]) -> Vec<Sorted<'a>> {
    let sorted = arms.iter().enumerate().map(|(k, arm)| {
        let others = || arms.iter().enumerate().filter(move |(other, _)| *other != k).map(|(_, other)| other);
        let mut sorted = Sorted { name: &arm.name, usable: Vec::new(), set_aside: Vec::new(), differs: &arm.differs };
        for (position, run) in arm.runs.iter().enumerate() {
            let shared = || others().find(|other| other.runs.iter().any(|theirs| theirs.is(run)));
            let twice = || arm.runs[..position].iter().any(|earlier| earlier.is(run));
            let cause = run.cause().or_else(|| shared().map(|other| format!("is a run of {}, too", other.name)));
            match cause.or_else(|| twice().then(|| "is named twice, and counts once".to_owned())) {
                Some(cause) => {
                    sorted.set_aside.push(SetAside { run: run.run.clone(), arm: arm.name.clone(), cause });
                }
                None => sorted.usable.push(run),
            }
        }
        sorted
    });
    sorted.collect()
}

/// Figures of the primary endpoint in pairs of one seed, when both arms have the same seeds, each once.
pub fn by_seed(first: &Sorted<'_>, second: &Sorted<'_>) -> Option<Vec<(f64, f64)>> {
    let seeds = |arm: &Sorted<'_>| {
        let seeds = arm.usable.iter().map(|run| Some((run.seed?, run.endpoint(PRIMARY)?)));
        let mut seeds = seeds.collect::<Option<Vec<(u64, f64)>>>()?;
        seeds.sort_unstable_by_key(|(seed, _)| *seed);
        seeds.windows(2).all(|two| two[0].0 != two[1].0).then_some(seeds)
    };
    let (first, second) = (seeds(first)?, seeds(second)?);
    let same = first.len() == second.len() && first.iter().zip(&second).all(|(a, b)| a.0 == b.0);
    (same && !first.is_empty()).then(|| first.iter().zip(&second).map(|(a, b)| (a.1, b.1)).collect())
}

/// Whether one arm's runs were all made before the other's, so that a drift of the machine explains a difference as
/// well.
pub fn one_after_the_other(first: &Sorted<'_>, second: &Sorted<'_>) -> bool {
    let starts = |arm: &Sorted<'_>| {
        let mut starts = arm.usable.iter().map(|run| run.started.clone()).collect::<Option<Vec<String>>>()?;
        starts.sort_unstable();
        Some((starts.first()?.clone(), starts.last()?.clone()))
    };
    match (starts(first), starts(second)) {
        (Some(a), Some(b)) => a.1 < b.0 || b.1 < a.0,
        _ => false,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An arm of valid runs with these figures; seeds 0, 1, …; run k started in minute 2k + `offset_min`.
    pub fn arm(name: &str, figures: &[f64], offset_min: usize) -> Arm {
        let run = |(k, &ms): (usize, &f64)| RunFigures {
            run: format!("{name}-{k}"),
            seed: Some(k as u64),
            started: Some(format!("2026-11-25T06:{:02}:00Z", 2 * k + offset_min)),
            valid: true,
            unfit: None,
            endpoints: vec![(PRIMARY.to_owned(), ms), ("p50 scheduled → stored".to_owned(), ms / 10.0)],
        };
        Arm { name: name.to_owned(), runs: figures.iter().enumerate().map(run).collect(), differs: String::new() }
    }

    fn causes(arms: &[&Arm]) -> Vec<String> {
        sort_out(arms).into_iter().flat_map(|arm| arm.set_aside).map(|aside| aside.cause).collect()
    }

    #[test]
    fn what_cannot_be_compared_is_set_aside_with_its_cause() {
        let mut a = arm("a", &[1.0, f64::NAN, -0.5, 4.0, 5.0, f64::INFINITY], 0);
        a.runs[3].unfit = Some("interrupted".into());
        a.runs[4].valid = false;
        let told = causes(&[&a]);
        assert_eq!(told.len(), 4, "{told:?}");
        assert!(told[0].contains("has no p99.99") && told[1].contains("clocks"), "{told:?}");
        assert_eq!(told[2..], ["interrupted", "INVALID, without a reason"]);
        assert_eq!(sort_out(&[&a])[0].figures(PRIMARY), [1.0, f64::INFINITY]);
    }

    #[test]
    fn a_run_is_one_observation() {
        let mut a = arm("a", &[1.0, 2.0], 0);
        a.runs.push(a.runs[0].clone());
        let mut b = arm("b", &[3.0], 0);
        b.runs.push(a.runs[1].clone());
        assert_eq!(causes(&[&a, &b]), ["is a run of b, too", "is named twice, and counts once", "is a run of a, too"]);
        // The same name in two directories is not the same run.
        b.runs[1].started = Some("2026-11-26T00:00:00Z".into());
        assert_eq!(causes(&[&a, &b]).len(), 1);
    }

    #[test]
    fn seeds_pair_the_runs_only_when_both_arms_have_the_same() {
        let (a, mut b) = (arm("a", &[1.0, 2.0], 0), arm("b", &[3.0, 4.0], 1));
        b.runs.reverse();
        let pairs = |b: &Arm| {
            let sorted = sort_out(&[&a, b]);
            by_seed(&sorted[0], &sorted[1])
        };
        assert_eq!(pairs(&b), Some(vec![(1.0, 3.0), (2.0, 4.0)]));
        b.runs[0].seed = Some(0);
        assert_eq!(pairs(&b), None);
        b.runs[0].seed = None;
        assert_eq!(pairs(&b), None);
    }

    #[test]
    fn arms_that_were_not_interleaved_are_known() {
        let after = |offset| {
            let (a, b) = (arm("a", &[1.0, 2.0], 0), arm("b", &[3.0, 4.0], offset));
            let sorted = sort_out(&[&a, &b]);
            one_after_the_other(&sorted[0], &sorted[1])
        };
        assert_eq!((after(1), after(30)), (false, true));
    }
}

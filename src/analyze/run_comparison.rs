//! Runs weighed against each other: the arms that the command line names, a baseline, and repetitions of one variant.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use crate::{
    compare::{self, Allowance, Arm, Gate, PRIMARY, comparison, decision},
    document::Block,
    input,
    pool::{Pool, differ_within, differing, kept_apart, pools},
    run::{Error, Run},
    run_metrics,
};

/// What was found, and how the program ends.
#[derive(Debug, Default)]
pub struct Weighed {
    /// For people.
    pub blocks: Vec<Block>,
    /// 0, 4 or 5.
    pub exit_code: u8,
}

/// Why sets of runs cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SideError {
    /// A name stands for no run.
    #[error(
        "--compare {name}: no run of that variant or name is among those given ({known}), and there is no such directory"
    )]
    Empty {
        /// The name.
        name: String,
        /// What there is.
        known: String,
    },
    /// Two sides would be the same.
    #[error("--compare {name}: is named twice; name different arms")]
    Twice {
        /// The name.
        name: String,
    },
    /// Sides of several experiments that have none in common.
    #[error(
        "--compare: {name} stands for {known}, and none of these has the settings of a run on another side; name one of them, \
         or give only the files that are meant"
    )]
    Several {
        /// The name.
        name: String,
        /// The experiments.
        known: String,
    },
    /// The baseline and the runs have no experiment in common.
    #[error(
        "--baseline {baseline}: has runs of {theirs}, and those given are of {ours}{differ}; name runs of one variant with \
         the same settings"
    )]
    NothingInCommon {
        /// The directory.
        baseline: String,
        /// Its experiments.
        theirs: String,
        /// The others.
        ours: String,
        /// What those of one name differ in.
        differ: String,
    },
    /// A run would be held against itself.
    #[error("{side}: the run {run} is on both sides, and is no comparison with itself; keep them in different places")]
    Both {
        /// The flag with its value.
        side: String,
        /// The run.
        run: String,
    },
    /// A directory's runs cannot be read.
    #[error(transparent)]
    Run(#[from] Error),
    /// A directory has none.
    #[error(transparent)]
    Input(#[from] input::Error),
}

/// Reads the runs of a directory.
pub type Load<'a> = &'a dyn Fn(&Path) -> Result<Vec<Run>, SideError>;

/// How repeatable the headline is, of each experiment that has several runs, and which runs are not pooled and why.
pub fn repetitions(runs: &[Run]) -> Vec<Block> {
    let pools = pools(runs);
    let repeated: Vec<&Pool> = pools.iter().filter(|pool| pool.runs.len() > 1).collect();
    let apart = kept_apart(&pools);
    let mut blocks = Vec::new();
    if !repeated.is_empty() {
        let arms: Vec<Arm> = repeated.iter().map(|pool| run_metrics::arm(&pool.title, &pool.runs)).collect();
        let sorted = compare::arm::sort_out(&arms.iter().collect::<Vec<_>>());
        blocks.extend([
            Block::Heading(2, "Independent runs of one variant".to_owned()),
            Block::Prose(format!(
                "{PRIMARY}, one figure a run: only this says how repeatable it is. The interval of the median lies between \
                 two of the runs (order statistics)."
            )),
            Block::Table(compare::tables::arms_table(&sorted)),
        ]);
        blocks.extend(differ_within(&repeated).into_iter().map(Block::Prose));
    } else if !apart.is_empty() {
        blocks.push(Block::Heading(2, "Runs that are not pooled".to_owned()));
    }
    blocks.extend(apart.into_iter().map(Block::Prose));
    blocks
}

/// One side of a comparison.
struct Side<'a> {
    name: &'a str,
    is_directory: bool,
    pools: Vec<Pool<'a>>,
}

impl<'a> Side<'a> {
    fn runs(&self) -> Vec<&'a Run> {
        self.pools.iter().flat_map(|pool| pool.runs.iter().copied()).collect()
    }

    /// One of its pools as an arm, held against another's.
    fn arm(&self, pool: &Pool, against: Option<&Pool>) -> Arm {
        let name = match (&self.pools[..], self.is_directory) {
            ([_], _) => self.name.to_owned(),
            (_, true) => format!("{} in {}", pool.title, self.name),
            (_, false) => pool.title.clone(),
        };
        let differs = against.map_or_else(String::new, |against| differing(against, pool));
        Arm { differs, ..run_metrics::arm(name, &pool.runs) }
    }
}

/// `--compare`: the first arm with each other. A name is a directory of runs, or else an experiment, a variant or a run of those
/// given. Sides of one experiment each are compared whatever they differ in; of several, those that have the same settings.
///
/// # Errors
/// A side without runs, or sides of several experiments that have none in common.
pub fn arms(names: &[String], runs: &[Run], load: Load) -> Result<Vec<Block>, SideError> {
    let loaded: Vec<Option<Vec<Run>>> = names
        .iter()
        .map(Path::new)
        .map(|name| name.is_dir().then(|| load(name)).transpose())
        .collect::<Result<_, _>>()?;
    let given = pools(runs);
    let mut sides: Vec<Side> = Vec::new();
    for (k, name) in names.iter().enumerate() {
        if names[..k].contains(name) {
            return Err(SideError::Twice { name: name.clone() });
        }
        let side: Vec<&Run> = match &loaded[k] {
            Some(runs) => runs.iter().collect(),
            None => named(name, &given),
        };
        if side.is_empty() {
            return Err(SideError::Empty { name: name.clone(), known: names_of(&given) });
        }
        if let Some(run) = sides.iter().find_map(|other| in_both(&other.runs(), &side)) {
            return Err(SideError::Both { side: format!("--compare {name}"), run });
        }
        sides.push(Side { name, is_directory: loaded[k].is_some(), pools: pools(side) });
    }
    compared(&sides)
}

/// The runs that a name stands for: of the experiment that tables call so, else of the variant, or the run.
fn named<'a>(name: &str, given: &[Pool<'a>]) -> Vec<&'a Run> {
    if let Some(pool) = given.iter().find(|pool| pool.title == name) {
        return pool.runs.clone();
    }
    let all = given.iter().flat_map(|pool| pool.runs.iter().map(move |run| (pool, *run)));
    all.filter(|(pool, run)| pool.variant == name || run.name == name).map(|(_, run)| run).collect()
}

fn compared(sides: &[Side]) -> Result<Vec<Block>, SideError> {
    let Some((first, others)) = sides.split_first() else { return Ok(comparison(&[])) };
    let single = sides.iter().all(|side| side.pools.len() == 1);
    let mut blocks = Vec::new();
    let mut left: Vec<&Pool> = sides.iter().flat_map(|side| &side.pools).collect();
    for pool in &first.pools {
        let found = others.iter().filter_map(|side| {
            let against = if single { side.pools.first() } else { pool.nearest(&side.pools) };
            Some((side, against?))
        });
        let found: Vec<(&Side, &Pool)> = found.collect();
        if found.is_empty() {
            continue;
        }
        let held = found.iter().map(|(side, other)| side.arm(other, Some(pool)));
        let arms: Vec<Arm> = [first.arm(pool, None)].into_iter().chain(held).collect();
        let used = |left: &Pool| {
            [pool].into_iter().chain(found.iter().map(|found| found.1)).any(|used| std::ptr::eq(used, left))
        };
        left.retain(|left| !used(left));
        blocks.extend(comparison(&arms));
    }
    if blocks.is_empty() {
        let several = sides.iter().find(|side| side.pools.len() > 1).unwrap_or(first);
        return Err(SideError::Several { name: several.name.to_owned(), known: titles(&several.pools) });
    }
    if !left.is_empty() {
        let left = left.iter().map(|pool| format!("`{}`", pool.title)).collect::<Vec<_>>().join(", ");
        blocks.push(Block::Prose(format!("Compared with nothing, since no other side has their settings: {left}.")));
    }
    Ok(blocks)
}

/// `--baseline`: each experiment against the runs of its settings in that directory.
///
/// # Errors
/// There are none in common.
pub fn against(baseline: &Path, allowed: Allowance, runs: &[Run], load: Load) -> Result<Weighed, SideError> {
    let theirs = load(baseline)?;
    if let Some(run) = in_both(&theirs.iter().collect::<Vec<_>>(), &runs.iter().collect::<Vec<_>>()) {
        return Err(SideError::Both { side: format!("--baseline {}", baseline.display()), run });
    }
    let (before, after) = (pools(&theirs), pools(runs));
    let mut weighed = Weighed::default();
    let mut gates = Vec::new();
    for own in &after {
        let Some(their) = own.nearest(&before) else {
            let (there, title, differ) = (baseline.display(), &own.title, differs_from_namesakes(own, &before));
            let none = format!("**{title}**: {there} has no run of it{differ}, so nothing is decided about it.");
            weighed.blocks.push(Block::Prose(none));
            continue;
        };
        let before = run_metrics::arm(format!("{} in {}", their.title, baseline.display()), &their.runs);
        let after = Arm { differs: differing(their, own), ..run_metrics::arm(&own.title, &own.runs) };
        let gate = compare::gate(&before, &after, allowed);
        weighed.blocks.extend(decision(&before, &after, &gate));
        gates.push(gate);
    }
    if gates.is_empty() {
        return Err(SideError::NothingInCommon {
            baseline: baseline.display().to_string(),
            theirs: titles(&before),
            ours: titles(&after),
            differ: after.iter().map(|own| differs_from_namesakes(own, &before)).collect(),
        });
    }
    // A regression of one experiment is not undone by another that cannot be decided.
    let worst = |gate: &&Gate| match gate {
        Gate::Regression(_) => 2,
        Gate::Undecided(_) => 1,
        Gate::Pass(_) => 0,
    };
    weighed.exit_code = gates.iter().max_by_key(worst).map_or(0, Gate::exit_code);
    Ok(weighed)
}

/// What a pool differs in from those of the same variant, in parentheses; empty where there are none.
fn differs_from_namesakes(own: &Pool, pools: &[Pool]) -> String {
    let mut namesakes = pools.iter().filter(|pool| pool.variant == own.variant);
    let differ = namesakes.next().map(|pool| differing(own, pool)).filter(|differ| !differ.is_empty());
    differ.map_or_else(String::new, |differ| format!(" (runs of `{}` there differ in {differ})", own.variant))
}

/// A run that is on both sides, by the place of its rows.
fn in_both(one: &[&Run], other: &[&Run]) -> Option<String> {
    let places = |run: &Run| -> Vec<PathBuf> { run.files.iter().filter_map(|file| file.canonicalize().ok()).collect() };
    let others: HashSet<PathBuf> = other.iter().flat_map(|run| places(run)).collect();
    one.iter().find(|run| places(run).iter().any(|place| others.contains(place))).map(|run| run.name.clone())
}

/// What the command line may call them.
fn names_of(pools: &[Pool]) -> String {
    let mut names: Vec<&str> =
        pools.iter().map(|pool| if pool.is_known() { &*pool.title } else { &*pool.variant }).collect();
    names.dedup();
    names.join("; ")
}

fn titles(pools: &[Pool]) -> String {
    let titles: Vec<&str> = pools.iter().map(|pool| pool.title.as_str()).collect();
    if titles.is_empty() { "none".to_owned() } else { titles.join("; ") }
}

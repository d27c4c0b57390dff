//! Runs weighed against each other: the arms that the command line names, a baseline, and repetitions of one variant.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use crate::{
    compare::{self, Allowance, Arm, Gate, PRIMARY, comparison, decision},
    document::Block,
    figures, input,
    run::{Error, Run},
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
    /// The baseline and the runs have no variant in common.
    #[error("--baseline {baseline}: has runs of {theirs}, and those given are of {ours}; name runs of one variant")]
    NothingInCommon {
        /// The directory.
        baseline: String,
        /// Its variants.
        theirs: String,
        /// The others.
        ours: String,
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

/// How repeatable the headline is, of each variant that has several runs.
pub fn repetitions(runs: &[Run]) -> Vec<Block> {
    let arms: Vec<Arm> = figures::by_variant(runs)
        .into_iter()
        .filter(|(_, runs)| runs.len() > 1)
        .map(|(variant, runs)| figures::arm(variant, &runs))
        .collect();
    if arms.is_empty() {
        return Vec::new();
    }
    let sorted = compare::arm::sort_out(&arms.iter().collect::<Vec<_>>());
    vec![
        Block::Heading(2, "Independent runs of one variant".to_owned()),
        Block::Prose(format!(
            "{PRIMARY}, one figure a run: only this says how repeatable it is. The interval of the median lies between \
             two of the runs (order statistics)."
        )),
        Block::Table(compare::tables::arms_table(&sorted)),
    ]
}

/// `--compare`: the first arm with each other. A name is a directory of runs, or else a variant or a run of those given.
///
/// # Errors
/// An arm without runs.
pub fn arms(names: &[String], runs: &[Run], load: Load) -> Result<Vec<Block>, SideError> {
    let mut arms = Vec::new();
    let loaded: Vec<Option<Vec<Run>>> = names
        .iter()
        .map(Path::new)
        .map(|name| name.is_dir().then(|| load(name)).transpose())
        .collect::<Result<_, _>>()?;
    let mut sides: Vec<Vec<&Run>> = Vec::new();
    for (k, name) in names.iter().enumerate() {
        if names[..k].contains(name) {
            return Err(SideError::Twice { name: name.clone() });
        }
        let side: Vec<&Run> = match &loaded[k] {
            Some(runs) => runs.iter().collect(),
            None => runs.iter().filter(|run| figures::variant(run) == *name || run.name == *name).collect(),
        };
        let arm = figures::arm(name, &side);
        if arm.runs.is_empty() {
            return Err(SideError::Empty { name: name.clone(), known: variants(runs) });
        }
        if let Some(run) = sides.iter().find_map(|other| in_both(other, &side)) {
            return Err(SideError::Both { side: format!("--compare {name}"), run });
        }
        sides.push(side);
        arms.push(arm);
    }
    Ok(comparison(&arms))
}

/// `--baseline`: each variant against its runs in that directory.
///
/// # Errors
/// There are none in common.
pub fn against(baseline: &Path, allowed: Allowance, runs: &[Run], load: Load) -> Result<Weighed, SideError> {
    let theirs = load(baseline)?;
    if let Some(run) = in_both(&theirs.iter().collect::<Vec<_>>(), &runs.iter().collect::<Vec<_>>()) {
        return Err(SideError::Both { side: format!("--baseline {}", baseline.display()), run });
    }
    let (before, after) = (figures::by_variant(&theirs), figures::by_variant(runs));
    let mut weighed = Weighed::default();
    let mut gates = Vec::new();
    for (variant, after) in &after {
        let Some(before) = before.get(variant) else {
            let none =
                format!("**{variant}**: {} has no run of it, so nothing is decided about it.", baseline.display());
            weighed.blocks.push(Block::Prose(none));
            continue;
        };
        let arms = [figures::arm(format!("{variant} in {}", baseline.display()), before), figures::arm(variant, after)];
        let gate = compare::gate(&arms[0], &arms[1], allowed);
        weighed.blocks.extend(decision(&arms[0], &arms[1], &gate));
        gates.push(gate);
    }
    if gates.is_empty() {
        return Err(SideError::NothingInCommon {
            baseline: baseline.display().to_string(),
            theirs: variants(&theirs),
            ours: variants(runs),
        });
    }
    // A regression of one variant is not undone by another that cannot be decided.
    let worst = |gate: &&Gate| match gate {
        Gate::Regression(_) => 2,
        Gate::Undecided(_) => 1,
        Gate::Pass(_) => 0,
    };
    weighed.exit_code = gates.iter().max_by_key(worst).map_or(0, Gate::exit_code);
    Ok(weighed)
}

/// A run that is on both sides, by the place of its rows.
fn in_both(one: &[&Run], other: &[&Run]) -> Option<String> {
    let places = |run: &Run| -> Vec<PathBuf> { run.files.iter().filter_map(|file| file.canonicalize().ok()).collect() };
    let others: HashSet<PathBuf> = other.iter().flat_map(|run| places(run)).collect();
    one.iter().find(|run| places(run).iter().any(|place| others.contains(place))).map(|run| run.name.clone())
}

fn variants(runs: &[Run]) -> String {
    let names: Vec<String> = figures::by_variant(runs).into_keys().collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

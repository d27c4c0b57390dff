//! What a comparison of runs takes from each: its name, whether it may be compared, and its figures.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{
    columns::HEADLINES,
    compare::{Arm, RunFigures},
    percentile::Percentile,
    run::Run,
};

/// The percentiles that are compared; the first, of the first headline latency, is the primary endpoint.
const COMPARED: [f64; 4] = [99.99, 50.0, 99.9, 99.999];

/// A run's figures.
pub fn of(run: &Run) -> RunFigures {
    let measured = run.measured.as_ref();
    let primary = measured.map(|measured| measured.headlines[0].percentile_ms(COMPARED[0]));
    let few = primary.filter(Percentile::few).map(|found| {
        let past = found.samples_past;
        format!("its p{} has {past} samples past it, fewer than 10", COMPARED[0])
    });
    let unfit = match run.measured {
        None => Some("its rows are not at hand".to_owned()),
        Some(_) if !run.problems.is_empty() => Some(format!("INVALID: {}", run.problems.join("; "))),
        Some(_) => run.unfit().or(few),
    };
    let endpoints = measured.into_iter().flat_map(|measured| {
        HEADLINES.iter().zip(&measured.headlines).flat_map(|(latency, found)| {
            let figure = |p: f64| Some((format!("p{p} {}", latency.name), found.percentile_ms(p).value.as_ms()?));
            COMPARED.into_iter().filter_map(figure)
        })
    });
    RunFigures {
        run: run.name.clone(),
        seed: run.manifest.as_ref().and_then(|manifest| manifest.seed),
        started: run.manifest.as_ref().and_then(|manifest| manifest.started.clone()),
        valid: run.problems.is_empty(),
        unfit,
        endpoints: endpoints.collect(),
    }
}

/// The variant that a run is of: by its manifest, else its name without what tells its time.
pub fn variant(run: &Run) -> String {
    let named = run.manifest.as_ref().and_then(|manifest| manifest.variant_name.clone());
    named.unwrap_or_else(|| run.name.rsplit_once('-').map_or(run.name.as_str(), |(variant, _)| variant).to_owned())
}

/// The runs by variant.
pub fn by_variant<'a>(runs: impl IntoIterator<Item = &'a Run>) -> BTreeMap<String, Vec<&'a Run>> {
    let mut variants: BTreeMap<String, Vec<&Run>> = BTreeMap::new();
    for run in runs {
        variants.entry(variant(run)).or_default().push(run);
    }
    variants
}

/// An arm of runs.
pub fn arm(name: impl Into<String>, runs: &[&Run]) -> Arm {
    Arm { name: name.into(), runs: runs.iter().map(|run| of(run)).collect() }
}

/// What an arm's name on the command line stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    /// The runs in a directory.
    Directory(PathBuf),
    /// The runs of a variant, or those whose names begin so, among the files that were given.
    Named(String),
}

impl Side {
    /// A directory when there is one of that name.
    pub fn of(name: &str) -> Self {
        let path = Path::new(name);
        if path.is_dir() { Side::Directory(path.to_owned()) } else { Side::Named(name.to_owned()) }
    }

    /// Whether a run that was given is meant.
    pub fn has(&self, run: &Run) -> bool {
        match self {
            Side::Directory(_) => false,
            Side::Named(name) => variant(run) == *name || run.name == *name,
        }
    }
}

//! What a comparison of runs takes from each: its name, whether it may be compared, and its figures.

use crate::{
    compare::{Arm, RunFigures},
    identity::Identity,
    manifest::Manifest,
    quantile::Quantiles,
    run::Run,
};
use shasta_model::{
    columns::HEADLINES,
    percentile::{Percentile, Value},
};

/// The percentiles that are compared; the first, of the first headline latency, is the primary endpoint.
const COMPARED: [f64; 4] = [99.99, 50.0, 99.9, 99.999];

/// A figure's name, and how it is found.
type Named = (&'static str, fn(&Quantiles) -> Value);
/// What is compared beside them.
const MOMENTS: [Named; 3] = [("mean", Quantiles::mean_ms), ("SD", Quantiles::sd_ms), ("min", Quantiles::min_ms)];

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
            let percentiles = COMPARED.into_iter().map(|p| (format!("p{p}"), found.percentile_ms(p).value));
            let moments = MOMENTS.into_iter().map(|(name, of)| (name.to_owned(), of(found)));
            let named = |(name, value): (String, Value)| Some((format!("{name} {}", latency.name), value.as_ms()?));
            percentiles.chain(moments).filter_map(named)
        })
    });
    RunFigures {
        run: run.name.clone(),
        seed: run.manifest.as_ref().and_then(|manifest| manifest.recorded.seed),
        started: run.manifest.as_ref().and_then(|manifest| manifest.recorded.started.clone()),
        valid: run.problems.is_empty(),
        unfit,
        endpoints: endpoints.collect(),
    }
}

/// The variant that a run is of: by its manifest, else its name without what tells its time.
pub fn variant(run: &Run) -> String {
    let named = run.manifest.as_ref().and_then(|manifest| manifest.recorded.variant_name.clone());
    named.unwrap_or_else(|| run.name.rsplit_once('-').map_or(run.name.as_str(), |(variant, _)| variant).to_owned())
}

/// The variant with what the command line changed of it: `goal, partitions 256`.
pub fn title(run: &Run) -> String {
    run.manifest.as_ref().map_or_else(|| variant(run), |manifest| Identity::of(manifest).title())
}

/// The run's name, with what was changed of its variant where anything was: `<run> (goal, partitions 256)`.
pub fn heading(run: &str, manifest: Option<&Manifest>) -> String {
    match manifest.map(Identity::of).filter(|identity| !identity.overrides.is_empty()) {
        Some(identity) => format!("{run} ({})", identity.title()),
        None => run.to_owned(),
    }
}

/// An arm of runs.
pub fn arm(name: impl Into<String>, runs: &[&Run]) -> Arm {
    Arm { name: name.into(), runs: runs.iter().map(|run| of(run)).collect(), differs: String::new() }
}

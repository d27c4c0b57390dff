//! Whether rows and manifest are of one run. Equal counts do not say so, since runs of one variant have them: the rows must
//! lie in the manifest's window, have the names that its variant gives, and the percentiles that the run made of them.

use crate::{manifest::Manifest, quantile::Quantiles, row::Names};
use shasta_model::{
    columns::{HEADLINES, Latency},
    manifest::latency::Line,
    percentile::{Value, round_2},
};

/// So many percentiles that differ are told.
const TOLD_MAX: usize = 3;

/// What all rows of a run have between them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extent {
    /// First and last scheduled time, in µs.
    pub scheduled_us: Option<[i64; 2]>,
    /// The largest number of a producer.
    pub producer_max: Option<i64>,
    /// Producing hosts and workers.
    pub names: Names,
}

impl Extent {
    /// Whether all rows were scheduled within a window; a window that is not known holds everything.
    pub fn is_within(&self, window_us: Option<[i64; 2]>) -> bool {
        let both = self.scheduled_us.zip(window_us);
        both.is_none_or(|([first, last], [start, end])| start <= first && last <= end)
    }
}

/// That rows lie outside of their manifest's window, in words; none where they do not. `run` is the name of their files.
pub fn of_window(run: &str, manifest: &Manifest, rows: &Extent) -> Option<String> {
    let window_us = manifest.events.window_us?;
    let [first, last] = rows.scheduled_us.filter(|_| !rows.is_within(Some(window_us)))?;
    let [start, end] = window_us;
    let s = |us: i64| us as f64 / 1e6;
    let place = |us: i64| match us {
        us if us < start => format!("{:.3} s before it begins", s(start.saturating_sub(us))),
        us if us > end => format!("{:.3} s after it ends", s(us.saturating_sub(end))),
        us => format!("{:.3} s after it begins", s(us - start)),
    };
    let named = if manifest.recorded.run == run {
        String::new()
    } else {
        format!(" (the manifest's is `{}`)", manifest.recorded.run)
    };
    Some(format!(
        "its rows lie outside of its manifest's window of {} s: the first is scheduled {}, the last {}; so rows and manifest \
         are not of one run{named}: put the manifest of these rows in its place, or move it away",
        s(end - start),
        place(first),
        place(last),
    ))
}

/// Hosts, workers and producers of the rows that the manifest's variant does not have.
pub fn of_names(manifest: &Manifest, rows: &Extent) -> Vec<String> {
    let variant = &manifest.variant.shown;
    let mut problems = Vec::new();
    let names = [
        ("instances", variant.instances, "source", 'p', &rows.names.sources),
        ("workers", variant.workers, "destination", 'w', &rows.names.destinations),
    ];
    for (setting, count, column, letter, names) in names.into_iter().filter(|(_, count, ..)| *count > 0) {
        let number = |name: &String| name.strip_prefix(letter)?.parse::<u64>().ok();
        let beyond = names.iter().find(|name| number(name).is_some_and(|number| number >= count));
        if let Some(name) = beyond {
            problems.push(format!("its variant has {count} {setting}, and a row has the {column} `{name}`"));
        } else if names.len() as u64 > count {
            problems
                .push(format!("its variant has {count} {setting}, and its rows {} names of a {column}", names.len()));
        }
    }
    let connections = variant.connections;
    if let Some(largest) = rows.producer_max.filter(|&largest| connections > 0.0 && largest as f64 >= connections) {
        problems.push(format!("its variant has {connections} connections, and a row is of producer {largest}"));
    }
    problems
}

/// That the run made other percentiles of its rows than these have, in words; none where they are the same. The percentiles
/// `ps` of each latency are known.
pub fn of_percentiles(manifest: &Manifest, rows: &[(&Latency, &Quantiles)], ps: &[f64]) -> Option<String> {
    let line = |latency: &Latency| manifest.recorded.latencies.headlines.iter().find(|line| line.name == latency.name);
    let differ: Vec<String> =
        rows.iter().filter_map(|(latency, found)| Some(differences(line(latency)?, found, ps))).flatten().collect();
    let first = differ.iter().take(TOLD_MAX).cloned().collect::<Vec<_>>().join(", ");
    let more = if differ.len() > TOLD_MAX { ", …" } else { "" };
    (!differ.is_empty()).then(|| {
        format!(
            "its rows are not those that its manifest was made from, or have been changed since: {first}{more} (what the \
             manifest says, and what the rows say)"
        )
    })
}

fn differences(line: &Line, found: &Quantiles, ps: &[f64]) -> Vec<String> {
    let name = &line.name;
    let counts = [
        ("n", Some(line.n), found.n()),
        ("without an end", line.missing, found.missing()),
        ("events over the SLO", Some(line.over_slo), found.over_slo()),
    ];
    let counts = counts.into_iter().filter_map(|(what, said, counted)| {
        let said = said.filter(|said| *said != counted)?;
        Some(format!("{what} of {name} {said} and {counted}"))
    });
    let max = Some(line.max_ms).filter(|max| *max != Value::Empty);
    let max = max.map(|max| ("max".to_owned(), 100.0, max));
    let points = line.percentiles.iter().map(|at| (format!("p{}", at.percentile), at.percentile, at.ms));
    let points = points.chain(max).filter(|(_, p, _)| ps.contains(p));
    let percentiles = points.filter_map(|(what, p, said)| {
        let value = found.percentile_ms(p).value;
        (!is_same(said, value)).then(|| format!("{what} of {name} {said} and {value} ms"))
    });
    let moments = [("mean", line.mean_ms, found.mean_ms()), ("SD", line.sd_ms, found.sd_ms())];
    let moments = moments.into_iter().filter_map(|(what, said, value)| {
        let (said, ms) = (said.as_ms()?, value.as_ms()?);
        (!is_near(said, ms)).then(|| format!("{what} of {name} {said} and {ms} ms"))
    });
    counts.chain(percentiles).chain(moments).collect()
}

/// Whether a recorded value is this one; what is recorded has 2 places.
fn is_same(said: Value, value: Value) -> bool {
    match (said, value) {
        (Value::Finite(said), Value::Finite(ms)) => is_near(said, round_2(ms)),
        (said, value) => said == value,
    }
}

/// Whether two numbers are the same but for the last bits, which reading JSON may change.
fn is_near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-14 * a.abs()
}

/// What the manifest lacks that rows could be held against, in words; empty where it lacks nothing.
pub fn unchecked(manifest: &Manifest) -> String {
    let headlines = &manifest.recorded.latencies.headlines;
    let has_percentiles = HEADLINES.iter().all(|latency| headlines.iter().any(|line| line.name == latency.name));
    let lacks = [("window", manifest.events.window_us.is_some()), ("percentiles", has_percentiles)];
    let lacks: Vec<&str> = lacks.into_iter().filter(|(_, has)| !has).map(|(what, _)| what).collect();
    if lacks.is_empty() {
        String::new()
    } else {
        format!(" (It has no {} to hold them against.)", lacks.join(" and no "))
    }
}

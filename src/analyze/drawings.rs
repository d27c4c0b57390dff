//! Which charts are drawn of runs, and from which of their figures.

use std::path::Path;

use crate::{
    cause::coincide::HICCUP_MS,
    chart::{
        self, Bucket, Chart, Curve, DeviationBars, Deviations, Figure, LoadLatency, LoadRun, LoadSeries, OverTime,
        PairHeat, PercentileCurve, Second, Span, StageBands,
    },
    difference,
    document::Block,
    identity::{Experiment, Identity},
    manifest::Manifest,
    markdown::count,
    pairs::{METRICS, above_median},
    published,
    quantile::Quantiles,
    run::{Measured, Run},
    run_metrics,
};
use shasta_model::{
    columns::{CHAIN, HEADLINES, READ, SCHEDULED_TO_STORED},
    percentile::{FEW, Value},
};

/// A chart, the stem of its files, and one sentence for those who cannot see it.
struct Drawing {
    stem: String,
    caption: String,
    chart: Box<dyn Chart>,
}

/// Draws the charts of one run into `directory`.
///
/// # Errors
/// A file cannot be written.
pub fn of_run(run: &Run, directory: &Path) -> Result<Vec<Block>, chart::Error> {
    let Some(measured) = &run.measured else { return Ok(Vec::new()) };
    let behind = behind(run);
    let drawing = |kind: &str, caption: String, chart: Box<dyn Chart>| Drawing {
        stem: format!("{}-{kind}", run.name),
        caption,
        chart,
    };
    let headline = SCHEDULED_TO_STORED.name;
    draw(
        vec![
            drawing(
                "percentiles",
                format!("Latency of {} by percentile, against the SLO of 100 ms.", run.name),
                Box::new(percentile_curve(run, measured, &behind)),
            ),
            drawing(
                "time",
                format!("p50, p99 and the largest {headline} in each second of {}.", run.name),
                Box::new(over_time(run, measured, &behind)),
            ),
            drawing(
                "stages",
                format!("How the stages add up to {headline}, by percentile, in {}.", run.name),
                Box::new(stage_bands(run, measured, &behind)),
            ),
            drawing(
                "pairs",
                format!("D4 of each producing host and worker of {}.", run.name),
                Box::new(pair_heat(run, measured, &behind)),
            ),
        ],
        directory,
    )
}

/// Draws the charts in which runs stand beside each other.
///
/// # Errors
/// A file cannot be written.
pub fn of_all(runs: &[Run], directory: &Path) -> Result<Vec<Block>, chart::Error> {
    let measured: Vec<(&Run, &Measured)> = runs.iter().filter_map(|run| Some((run, run.measured.as_ref()?))).collect();
    if measured.is_empty() {
        return Ok(Vec::new());
    }
    let mut drawings = Vec::new();
    let caption = substrates(&measured);
    if measured.len() > 1 {
        let curves = measured.iter().map(|(run, measured)| curve(name(run), &measured.headlines[0])).collect();
        let title = format!("{} by percentile", SCHEDULED_TO_STORED.name);
        drawings.push(Drawing {
            stem: "percentiles".to_owned(),
            caption: "Latency by percentile of every run, against the SLO of 100 ms.".to_owned(),
            chart: Box::new(PercentileCurve { title, caption: caption.clone(), curves }),
        });
    }
    drawings.push(Drawing {
        stem: "d2-d5".to_owned(),
        caption: "D2 to D5, measured here and published.".to_owned(),
        chart: Box::new(deviation_bars(&measured)),
    });
    drawings.extend(load_latency(&measured));
    draw(drawings, directory)
}

fn draw(drawings: Vec<Drawing>, directory: &Path) -> Result<Vec<Block>, chart::Error> {
    let draw = |Drawing { stem, caption, chart }: Drawing| {
        chart.draw(directory, &stem)?;
        Ok(Block::Chart { stem, caption })
    };
    drawings.into_iter().map(draw).collect()
}

/// What stands behind a run's figures: where it ran, and how many events.
fn behind(run: &Run) -> String {
    let mut text = format!("{} · n = {} planned", run.name, count(run.planned()));
    if let Some(manifest) = &run.manifest {
        if let Some(substrate) = manifest.substrate() {
            text += &format!(" · substrate {substrate}");
        }
        if manifest.recorded.host.cores > 0 {
            text += &format!(", {} cores", manifest.recorded.host.cores);
        }
    }
    if !run.problems.is_empty() {
        text += " · INVALID";
    }
    // The chart adds how it is to be read.
    text + "."
}

/// A run's name with what was changed of its variant.
fn name(run: &Run) -> String {
    run_metrics::heading(&run.name, run.manifest.as_ref())
}

fn substrates(runs: &[(&Run, &Measured)]) -> String {
    let of = |run: &Run| run.manifest.as_ref().and_then(Manifest::substrate).unwrap_or_else(|| "unknown".to_owned());
    let mut all: Vec<String> = runs.iter().map(|(run, _)| of(run)).collect();
    all.sort_unstable();
    all.dedup();
    let n: u64 = runs.iter().map(|(run, _)| run.planned()).sum();
    format!("substrate {} · {} runs, {} planned events.", all.join(", "), runs.len(), count(n))
}

fn ms(value: Value) -> f64 {
    value.as_ms().unwrap_or(f64::NAN)
}

fn curve(name: String, latencies: &Quantiles) -> Curve {
    let n = latencies.n();
    let drawn = chart::percentile_curve::percentiles(n).into_iter();
    Curve { name, n, points: drawn.map(|p| (p, ms(latencies.percentile_ms(p).value))).collect() }
}

fn percentile_curve(run: &Run, measured: &Measured, behind: &str) -> PercentileCurve {
    let curves = HEADLINES.iter().zip(&measured.headlines).map(|(latency, q)| curve(latency.name.to_owned(), q));
    PercentileCurve {
        title: format!("Latency by percentile: {}", run_metrics::title(run)),
        caption: behind.to_owned(),
        curves: curves.collect(),
    }
}

fn over_time(run: &Run, measured: &Measured, behind: &str) -> OverTime {
    let second = |(k, q): (usize, &Quantiles)| Second {
        at_s: k as f64,
        p50_ms: ms(q.median_ms()),
        p99_ms: ms(q.percentile_ms(99.0).value),
        max_ms: ms(q.max_ms()),
    };
    let at_s = |us: i64| (us - measured.start_us) as f64 / 1e6;
    let window_s = measured.seconds.len() as f64;
    let within = |s: &f64| (0.0..=window_s).contains(s);
    let events = run.manifest.as_ref().map(|manifest| &manifest.events);
    let faults = events.iter().flat_map(|events| &events.faults).map(|fault| Span {
        what: fault.what.clone(),
        from_s: at_s(fault.start_us),
        to_s: at_s(fault.end_us),
    });
    let hiccups = events.iter().flat_map(|events| &events.seconds).filter(|second| second.hiccup_ms_max >= HICCUP_MS);
    OverTime {
        title: format!("{} over time: {}", SCHEDULED_TO_STORED.name, run_metrics::title(run)),
        caption: behind.to_owned(),
        window_s,
        seconds: measured.seconds.iter().enumerate().filter(|(_, q)| q.n() > 0).map(second).collect(),
        faults: faults.collect(),
        rebalances_s: events.iter().flat_map(|e| &e.rebalances).map(|r| at_s(r.at_us)).filter(within).collect(),
        // A second of the machine is known by its end.
        hiccups_s: hiccups.map(|second| at_s(second.at_us) - 1.0).filter(within).collect(),
    }
}

fn stage_bands(run: &Run, measured: &Measured, behind: &str) -> StageBands {
    let read = measured.bands.iter().any(|band| band.read_ms.is_some());
    let bucket = |band: &crate::cause::bands::Band| Bucket {
        from: band.percentiles[0],
        to: band.percentiles[1],
        events: band.events,
        means_ms: band.stage_ms.into_iter().chain(read.then(|| band.read_ms.unwrap_or(0.0))).collect(),
    };
    StageBands {
        title: format!("Stages of {} by percentile: {}", SCHEDULED_TO_STORED.name, run_metrics::title(run)),
        caption: behind.to_owned(),
        stages: CHAIN.iter().map(|stage| stage.name).chain(read.then_some(READ.name)).map(str::to_owned).collect(),
        buckets: measured.bands.iter().map(bucket).collect(),
    }
}

fn pair_heat(run: &Run, measured: &Measured, behind: &str) -> PairHeat {
    let pairs = &measured.pairs.pairs;
    let (mut sources, mut destinations) = (Vec::new(), Vec::new());
    for pair in pairs {
        sources.push(pair.source.clone());
        destinations.push(pair.destination.clone());
    }
    // `p2` before `p10`.
    for names in [&mut sources, &mut destinations] {
        names.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
        names.dedup();
    }
    let find = |source: &String, destination: &String| {
        pairs.iter().find(|pair| (&pair.source, &pair.destination) == (source, destination))
    };
    let figure = |source, destination| Some(above_median(&find(source, destination)?.latencies, METRICS[2].1).0);
    let few = |source, destination| {
        find(source, destination).is_some_and(|pair| pair.latencies.percentile_ms(METRICS[2].1).few())
    };
    PairHeat {
        title: format!("D4 by pair of producing host and worker: {}", run_metrics::title(run)),
        caption: format!("{behind} {} pairs of {}.", pairs.len(), measured.pairs.latency.name),
        figure: "D4".to_owned(),
        figures_ms: sources.iter().map(|s| destinations.iter().map(|d| figure(s, d)).collect()).collect(),
        few: sources.iter().map(|s| destinations.iter().map(|d| few(s, d)).collect()).collect(),
        sources,
        destinations,
    }
}

fn deviation_bars(runs: &[(&Run, &Measured)]) -> DeviationBars {
    let of_run = |(run, measured): &(&Run, &Measured)| {
        let metrics = measured.pairs.metrics(&measured.pooled);
        let figure = |k: usize| {
            let spread = &metrics[k].spread;
            let [median_ms, min_ms, max_ms] = [spread.median, spread.min, spread.max].map(ms);
            (!median_ms.is_nan()).then_some(Figure { median_ms, min_ms, max_ms, few: metrics[k].few })
        };
        Deviations { name: name(run), published: false, figures: [0, 1, 2, 3].map(figure) }
    };
    let published = published::all().iter().map(|published| {
        let figure = |k: usize| {
            let spread = &published.metrics[k];
            let [median_ms, min_ms, max_ms] = [spread.median, spread.min, spread.max].map(ms);
            Some(Figure { median_ms, min_ms, max_ms, few: published.samples_past(k) < FEW as f64 })
        };
        Deviations { name: published.name.clone(), published: true, figures: [0, 1, 2, 3].map(figure) }
    });
    DeviationBars {
        title: "D2–D5: above the pair's median; bar median, whisker smallest and largest pair".to_owned(),
        caption: format!("{} Published: {}.", substrates(runs), published::tables::CAVEAT),
        sets: runs.iter().map(of_run).chain(published).collect(),
    }
}

/// When runs that differ in nothing but their load offered different ones.
fn load_latency(runs: &[(&Run, &Measured)]) -> Option<Drawing> {
    let mut series: Vec<(Option<Experiment>, Vec<Identity>, LoadSeries)> = Vec::new();
    let mut loads = Vec::new();
    for (run, measured) in runs {
        let manifest = run.manifest.as_ref()?;
        let variant = &manifest.variant.shown;
        let load = variant.connections * variant.rate;
        let found = measured.headlines[0].percentile_ms(99.99);
        let point = LoadRun { load, p9999_ms: ms(found.value), few: found.few() };
        loads.push(load);
        let identity = Identity::of(manifest);
        let experiment = identity.under_any_load();
        match series.iter_mut().find(|(other, ..)| experiment.is_some() && *other == experiment) {
            Some((_, identities, series)) => {
                identities.push(identity);
                series.runs.push(point);
            }
            None => {
                let name = format!("{} workers, {} partitions", variant.workers, variant.partitions);
                series.push((experiment, vec![identity], LoadSeries { name, runs: vec![point] }));
            }
        }
    }
    loads.sort_by(f64::total_cmp);
    loads.dedup();
    (loads.len() > 1).then(|| Drawing {
        stem: "load".to_owned(),
        caption: "p99.99 of each run by the load that it was offered.".to_owned(),
        chart: Box::new(LoadLatency {
            title: "Latency by offered load".to_owned(),
            caption: substrates(runs),
            load: "events/s offered".to_owned(),
            latency: format!("p99.99 of {}, ms", SCHEDULED_TO_STORED.name),
            series: told_apart(series),
        }),
    })
}

/// The series, those of one name with what they differ in beside it.
fn told_apart(series: Vec<(Option<Experiment>, Vec<Identity>, LoadSeries)>) -> Vec<LoadSeries> {
    let apart = |(own, (_, _, one)): (usize, &(_, _, LoadSeries))| {
        let namesakes: Vec<usize> = (0..series.len()).filter(|&k| series[k].2.name == one.name).collect();
        let groups: Vec<Vec<&Identity>> = namesakes.iter().map(|&k| series[k].1.iter().collect()).collect();
        let place = namesakes.iter().position(|&k| k == own).unwrap_or_default();
        let name = one.name.clone() + &difference::apart_but_for_load(&groups)[place];
        LoadSeries { name, ..one.clone() }
    };
    series.iter().enumerate().map(apart).collect()
}

//! A run as a document: what is said of it, in which order, and how much.

use std::path::Path;

use crate::{
    agreement, cause,
    document::{Block, Cell, Table},
    identity::Identity,
    manifest::Manifest,
    markdown::{count, counted},
    pairs::{Metric, Pairs},
    published::tables as published,
    quantile::Quantiles,
    run::{Measured, Run},
    run_metrics,
    spread::Spread,
};
use shasta_model::{
    columns::{HEADLINES, SCHEDULED_TO_STORED},
    ledger::{Ledger, Named},
    manifest::latency::Line,
    percentile::{PERCENTILES, Percentile, Value, round_2},
    slo::SLO_MS,
};

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// What fits a terminal: ledger, percentiles, D2–D5, and the tail in one paragraph.
    Short,
    /// Also where the tail comes from, table by table.
    Full,
}

/// Everything that is said about a run.
pub fn of(run: &Run, detail: Detail) -> Vec<Block> {
    let heading = run_metrics::heading(&run.name, run.manifest.as_ref());
    let mut blocks = vec![Block::Heading(2, heading), Block::Prose(origin(run))];
    blocks.extend(judgement(run));
    if let Some(measured) = &run.measured {
        blocks.push(Block::Prose(cause::paragraph(&measured.causes)));
    }
    if let Some(manifest) = &run.manifest {
        blocks.push(Block::Lines(sums(&manifest.recorded.ledger)));
    }
    match (&run.measured, &run.manifest) {
        (Some(measured), _) => {
            blocks.extend(percentiles(run, measured));
            blocks.extend(deviations(&measured.pairs, &measured.pooled));
            blocks.extend(beside_published(run, measured));
            if detail == Detail::Full {
                blocks.extend(cause::blocks(&measured.causes));
            }
        }
        (None, Some(manifest)) => blocks.extend(recorded(run, manifest)),
        (None, None) => {}
    }
    blocks
}

/// Where the figures come from, and what is unusual about that.
fn origin(run: &Run) -> String {
    let files: Vec<String> = run.files.iter().map(|path| format!("`{}`", path.display())).collect();
    let mut text = match &run.measured {
        Some(measured) => format!("{}: {}", files.join(", "), counted(measured.rows, "row")),
        None => "**no rows**, only the manifest: its figures are shown as the run recorded them".to_owned(),
    };
    match &run.manifest {
        Some(manifest) => text += &setting(manifest),
        None => text += "; **no manifest** (what the run was, and whether these are all of its rows, is not known)",
    }
    let Some(measured) = &run.measured else { return text + "." };
    for path in &measured.cut_off {
        text += &format!("; {}", cut_off(path));
    }
    for (path, skipped) in &measured.skipped {
        text += &format!("; in `{}` **{}**", path.display(), skipped.told(path));
    }
    text + "."
}

/// That a killed run left half a line.
pub fn cut_off(path: &Path) -> String {
    format!("1 last line of `{}` was cut off in its middle (no line end) and is not counted", path.display())
}

fn setting(manifest: &Manifest) -> String {
    let mut text = String::new();
    if let Some(name) = &manifest.recorded.variant_name {
        let changed = Identity::of(manifest).overrides;
        let changed = changed.iter().map(|(name, value)| format!(", {name} {value}")).collect::<String>();
        text += &format!(", variant `{name}`{changed}");
    }
    let variant = &manifest.variant.shown;
    if variant.connections > 0.0 {
        text += &format!(
            ": {} connections × {} events/s for {}, {} workers, {} partitions",
            count(variant.connections as u64),
            variant.rate,
            variant.duration,
            variant.workers,
            variant.partitions
        );
    }
    if let Some(substrate) = manifest.substrate() {
        text += &format!("; substrate {substrate}");
    }
    if manifest.recorded.host.cores > 0 {
        text += &format!(", {} cores ({})", manifest.recorded.host.cores, manifest.recorded.host.cpu);
    }
    if manifest.recorded.interrupted {
        text += "; **interrupted**";
    }
    text
}

/// That nothing of a run may be quoted, and why; none where there is no problem.
pub fn invalid(problems: &[String]) -> Option<String> {
    let told = || format!("**INVALID**: {}. Nothing below may be quoted.", problems.join("; "));
    (!problems.is_empty()).then(told)
}

/// The verdict, or why there is none.
fn judgement(run: &Run) -> Vec<Block> {
    let mut blocks: Vec<Block> = invalid(&run.problems).map(Block::Prose).into_iter().collect();
    let (over, planned) = (run.over_slo(), run.planned());
    blocks.push(Block::Prose(format!(
        "{} on {} (99.99 % of planned events under {SLO_MS} ms): **{}**; {} of {} over.",
        if run.unfit().is_none() { "Verdict" } else { "No verdict" },
        SCHEDULED_TO_STORED.name,
        run.verdict(),
        count(over),
        count(planned)
    )));
    let caveats = run.manifest.iter().flat_map(|manifest| &manifest.recorded.caveats);
    blocks.extend(caveats.map(|caveat| Block::Prose(format!("**Beside it: {}.**", caveat.text))));
    if let (true, Some(manifest), Some(_)) = (run.problems.is_empty(), &run.manifest, &run.measured) {
        let unchecked = agreement::unchecked(manifest);
        blocks.push(Block::Prose(format!("The ledger balances, and the rows agree with it.{unchecked}")));
    }
    blocks
}

fn sums(ledger: &Ledger) -> String {
    let named = |(name, n): Named| format!("{name} {}", count(n));
    let mut text = String::from("Ledger\n");
    for (whole, parts) in ledger.sums() {
        let parts: Vec<String> = parts.into_iter().map(named).collect();
        text += &format!("{} = {}\n", named(whole), parts.join(" + "));
    }
    text + &format!("apart: {}", ledger.apart().map(named).join(", "))
}

fn header() -> Vec<String> {
    let mut header = ["Latency (ms)", "n", "missing", "mean", "SD", "min"].map(str::to_owned).to_vec();
    header.extend(PERCENTILES.iter().map(|p| format!("p{p}")));
    header.extend(["max".to_owned(), format!("≥ {SLO_MS} ms")]);
    header
}

fn percentiles(run: &Run, measured: &Measured) -> Vec<Block> {
    let planned = run.planned();
    let row = |name: &str, latencies: &Quantiles, planned: u64| {
        // Planned events without a row are late, too.
        let over = latencies.over_slo() + planned.saturating_sub(latencies.n());
        let mut row = vec![name.into(), Cell::count(latencies.n()), Cell::count(latencies.missing())];
        row.extend([latencies.mean_ms(), latencies.sd_ms(), latencies.min_ms()].map(exact));
        row.extend(PERCENTILES.map(|p| percentile(&latencies.percentile_ms(p))));
        row.push(ms(latencies.max_ms()));
        row.push(Cell::number(format!("{} of {}", count(over), count(planned)), over as f64));
        row
    };
    let rows = HEADLINES.iter().zip(&measured.headlines).map(|(latency, q)| row(latency.name, q, planned)).collect();
    let names = ["first half", "second half"];
    let halves = names.iter().zip(&measured.halves).map(|(name, half)| row(name, half, half.n())).collect();
    let mut blocks = vec![
        Block::Table(Table { name: "percentiles", header: header(), rows, exact_header: false }),
        Block::Prose(
            "Mean, SD (ddof 0) and min are of the events that have both stamps; those that are missing are past every \
             percentile. † fewer than 10 samples lie past it. `> drain`: the event had not arrived when the run ended. \
             Events past a percentile come in stalls, and a percentile has seen no more than so many things:"
                .to_owned(),
        ),
        cause::past(&measured.causes),
        Block::Prose(format!("{} in the two halves of the window:", SCHEDULED_TO_STORED.name)),
        Block::Table(Table { name: "halves-percentiles", header: header(), rows: halves, exact_header: false }),
    ];
    let by_class = [
        (
            "by what the hypervisor gave to others in the event's second, of this machine's CPU time:",
            "stolen-percentiles",
            &measured.stolen,
        ),
        (
            "by how fast a core was in the five seconds around the event's, as the CPU time of a fixed piece of work:",
            "speed-percentiles",
            &measured.speed,
        ),
    ];
    for (by, name, classes) in by_class.into_iter().filter(|(.., classes)| !classes.is_empty()) {
        let rows = classes.iter().map(|(class, latencies)| row(class, latencies, latencies.n())).collect();
        blocks.extend([
            Block::Prose(format!("{} {by}", SCHEDULED_TO_STORED.name)),
            Block::Table(Table { name, header: header(), rows, exact_header: false }),
        ]);
    }
    let values: u64 = measured.headlines.iter().map(|latencies| latencies.n() - latencies.missing()).sum();
    let negative: u64 = measured.headlines.iter().map(Quantiles::negative).sum();
    if negative > 0 {
        let all = if negative == values { "All" } else { "" };
        blocks.push(Block::Prose(format!(
            "**{all} {} latencies are negative**: the clocks of their stamps disagree. They are counted as they are.",
            count(negative)
        )));
    }
    blocks
}

/// What the run itself recorded, when its rows are not at hand.
fn recorded(run: &Run, manifest: &Manifest) -> Vec<Block> {
    let cell = |line: &Line, p: f64| match line.percentiles.iter().find(|point| point.percentile == p) {
        Some(point) => percentile(&Percentile { value: point.ms, samples_past: point.samples_past }),
        None => "–".into(),
    };
    let row = |line: &Line| {
        let mut row = vec![line.name.as_str().into(), Cell::count(line.n)];
        row.push(line.missing.map_or_else(|| "–".into(), Cell::count));
        row.extend([line.mean_ms, line.sd_ms, line.min_ms].map(exact));
        row.extend(PERCENTILES.map(|p| cell(line, p)));
        row.push(ms(line.max_ms));
        let over = format!("{} of {}", count(line.over_slo), count(run.planned()));
        row.push(Cell::number(over, line.over_slo as f64));
        row
    };
    let rows: Vec<_> = manifest.recorded.latencies.headlines.iter().map(row).collect();
    if rows.is_empty() {
        return vec![Block::Prose("The manifest holds no percentiles, and D2–D5 need the rows.".to_owned())];
    }
    vec![
        Block::Table(Table { name: "percentiles", header: header(), rows, exact_header: false }),
        Block::Prose(
            "Mean, SD (ddof 0) and min are of the events that have both stamps; manifests of earlier versions have none \
             of the three. † fewer than 10 samples lie past it. D2–D5 and causes need the rows."
                .to_owned(),
        ),
    ]
}

/// D2–D5, and what stands beside them; `pooled` is the same latency over all rows.
pub fn deviations(pairs: &Pairs, pooled: &Quantiles) -> Vec<Block> {
    let Some((fewest, most)) = pairs.samples() else {
        let none = "No D2–D5: no worker consumed an event, so there is no (source, destination) pair.";
        return vec![Block::Prose(none.to_owned())];
    };
    let samples = if fewest == most { count(most) } else { format!("{} to {}", count(fewest), count(most)) };
    let metrics = pairs.metrics(pooled);
    let medians = pairs.medians();
    let mut beside_it = format!(
        "The median itself: {} ms pooled; {} ms in the median pair ({} to {}).",
        pooled.median_ms(),
        medians.median,
        medians.min,
        medians.max
    );
    if pairs.unplaced > 0 {
        let unplaced = counted(pairs.unplaced, "event");
        beside_it += &format!(" {unplaced} reached no worker: in no pair, infinite in the pooled figures.");
    }
    vec![
        Block::Prose(format!(
            "D2–D5 of {}: ms above the pair's median, over {} × {samples} samples.",
            pairs.latency.name,
            counted(pairs.pairs.len() as u64, "pair")
        )),
        Block::Table(Table {
            exact_header: true,
            ..Table::new(
                "d2-d5",
                &["Metric", "Median", "Mean", "StdDev", "Max", "Min"],
                metrics.iter().map(over_pairs).collect(),
            )
        }),
        Block::Table(Table::new(
            "d2-d5-beside",
            &["Beside it", "Pooled", "Worst pair", "Samples past, smallest pair"],
            metrics.iter().map(beside).collect(),
        )),
        Block::Prose(beside_it),
    ]
}

/// Only what was published can be held against it: the latency of the D tables there.
fn beside_published(run: &Run, Measured { pairs, pooled, .. }: &Measured) -> Vec<Block> {
    if pairs.pairs.is_empty() {
        return Vec::new();
    }
    let metrics = pairs.metrics(pooled);
    let same =
        |latency: &shasta_model::columns::Latency| (latency.from, latency.to) == (pairs.latency.from, pairs.latency.to);
    let (Some(manifest), true) = (&run.manifest, same(&HEADLINES[2])) else { return Vec::new() };
    let variant = &manifest.variant.shown;
    let measured = published::Measured {
        load: published::Load {
            connections: variant.connections as u64,
            rate_per_s: variant.rate,
            workers: variant.workers,
            substrate: manifest.substrate().unwrap_or_else(|| "unknown".to_owned()),
        },
        metrics: [0, 1, 2, 3].map(|k: usize| metrics[k].spread),
        samples_past: [0, 1, 2, 3].map(|k: usize| metrics[k].samples_past),
    };
    published::beside(variant.published.as_deref(), &measured)
}

fn over_pairs(metric: &Metric) -> Vec<Cell> {
    let Spread { median, mean, sd, max, min } = metric.spread;
    let mark = if metric.few { "†" } else { "" };
    let figure = |value: Value| Cell { text: format!("{value}{mark}"), number: number(value) };
    [metric.name.into()].into_iter().chain([median, mean, sd, max, min].map(figure)).collect()
}

fn beside(metric: &Metric) -> Vec<Cell> {
    vec![metric.name.into(), percentile(&metric.pooled), metric.worst.as_str().into(), Cell::count(metric.samples_past)]
}

fn ms(value: Value) -> Cell {
    Cell { text: value.to_string(), number: number(value) }
}

/// With all of its digits for machines.
fn exact(value: Value) -> Cell {
    Cell { text: value.to_string(), number: value.as_ms() }
}

fn percentile(percentile: &Percentile) -> Cell {
    Cell { text: percentile.to_string(), number: number(percentile.value) }
}

fn number(value: Value) -> Option<f64> {
    match value {
        Value::Finite(ms) => Some(round_2(ms)),
        Value::PastDrain | Value::Empty => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        document::Document,
        pairs::tests::SMALL,
        render::{Format, render},
        run::tests::{LEDGER, load, with_ledger},
    };

    fn text(run: &Run, detail: Detail) -> String {
        render(&Document { blocks: of(run, detail) }, Format::Markdown)
    }

    #[test]
    fn a_sound_run_is_told() {
        for detail in [Detail::Short, Detail::Full] {
            let report = text(&with_ledger(LEDGER, false), detail);
            assert!(report.contains("The ledger balances") && !report.contains("INVALID"), "{report}");
            assert!(report.contains("3 of 8"), "the unsent event is over the SLO, too: {report}");
            assert!(report.contains("| Metric | Median | Mean | StdDev | Max | Min |\n"), "{report}");
        }
    }

    #[test]
    fn what_is_unusual_is_told() {
        assert!(text(&with_ledger(LEDGER, true), Detail::Short).contains("**interrupted**"));
        let report = text(&load(SMALL, None).unwrap(), Detail::Short);
        assert!(report.contains("**no manifest**") && report.contains("no verdict: no manifest"), "{report}");
        let ledger = LEDGER.replace(r#""problems":[]"#, r#""problems":["a failed event was consumed"]"#);
        assert!(text(&with_ledger(&ledger, false), Detail::Short).contains("**INVALID**: a failed event was consumed"));
        let caveats = r#""problems":[]},"caveats":[{"kind":"busy_machine","text":"busy machine: 12 tasks"}]"#;
        let ledger = LEDGER.replace(r#""problems":[]}"#, caveats);
        let report = text(&with_ledger(&ledger, false), Detail::Short);
        assert!(report.contains("**Beside it: busy machine: 12 tasks.**"), "{report}");
        let negative = load("p0,w0,0,0,0,0,0,500,400,,,300,200,\n", None).unwrap();
        assert!(text(&negative, Detail::Short).contains("**All 3 latencies are negative**"));
    }
}

//! A run in words and Markdown tables, for a terminal as for a README.

use crate::{
    columns::{HEADLINES, PUBLISHED_TO_CONSUMED},
    manifest::{Ledger, Named},
    markdown::{count, table},
    pairs::{Metric, Pairs},
    percentile::{Distribution, PERCENTILES},
    run::Run,
    slo::SLO_MS,
};

/// Everything that `analyze` says about a run.
pub fn of(run: &Run) -> String {
    let latencies = HEADLINES.map(|latency| run.rows.distribution(&latency));
    [heading(run), ledger(run), percentiles(run, &latencies), spread(run, &latencies[2])].join("\n")
}

fn heading(run: &Run) -> String {
    let mut text = format!("## {}\n\n", run.name);
    text += &format!("{}: {} rows", run.path.display(), count(run.rows.len()));
    match &run.manifest {
        Some(manifest) => {
            if let Some(variant) = &manifest.variant_name {
                text += &format!(", variant `{variant}`");
            }
            if manifest.interrupted {
                text += "; **interrupted**";
            }
        }
        None => text += "; **no manifest** (what the run was, and whether these are all of its rows, is not known)",
    }
    if run.rows.cut_off {
        text += "; 1 last line was cut off in its middle and is not counted (the run was killed)";
    }
    text + "\n"
}

fn ledger(run: &Run) -> String {
    let mut text = run.manifest.as_ref().map_or_else(String::new, |manifest| sums(&manifest.ledger));
    if !run.problems.is_empty() {
        text += &format!("\n**INVALID**: {}. Nothing below may be quoted.\n", run.problems.join("; "));
    } else if run.manifest.is_some() {
        text += "\nThe ledger balances, and the rows agree with it.\n";
    }
    text
}

fn sums(ledger: &Ledger) -> String {
    let named = |(name, n): Named| format!("{name} {}", count(n));
    let mut text = String::from("Ledger:\n\n");
    for (whole, parts) in ledger.sums() {
        let parts: Vec<String> = parts.into_iter().map(named).collect();
        text += &format!("    {} = {}\n", named(whole), parts.join(" + "));
    }
    text + &format!("    apart: {}\n", ledger.apart().map(named).join(", "))
}

fn percentiles(run: &Run, latencies: &[Distribution; 3]) -> String {
    let names: Vec<String> = PERCENTILES.iter().map(|p| format!("p{p}")).collect();
    let over_name = format!("≥ {SLO_MS} ms");
    let mut header = vec!["Latency (ms)", "n"];
    header.extend(names.iter().map(String::as_str));
    header.extend(["max", over_name.as_str()]);
    let planned = run.planned();
    // Planned events without a row are late, too.
    let over = |latencies: &Distribution| latencies.over_slo() + planned.saturating_sub(latencies.n());
    let rows: Vec<Vec<String>> = HEADLINES
        .iter()
        .zip(latencies)
        .map(|(latency, latencies)| {
            let mut row = vec![latency.name.to_owned(), count(latencies.n())];
            row.extend(PERCENTILES.map(|p| latencies.percentile_ms(p).to_string()));
            row.push(latencies.max_ms().to_string());
            row.push(format!("{} of {} planned", count(over(latencies)), count(planned)));
            row
        })
        .collect();
    let late = over(&latencies[0]);
    let verdict = format!("{}; {} of {} over", run.verdict(late), count(late), count(planned));
    let negative: u64 = latencies.iter().map(Distribution::negative).sum();
    let mut text =
        format!("Verdict on {} (99.99 % of planned events under {SLO_MS} ms): **{verdict}**.\n\n", HEADLINES[0].name);
    text += &table(&header, &rows, false);
    if negative > 0 {
        text += &format!(
            "\n{} latencies are negative: the clocks of their stamps disagree. They are counted as they are.\n",
            count(negative)
        );
    }
    text + "\n† fewer than 10 samples lie past it. `> drain`: the event had not arrived when the run ended.\n"
}

fn spread(run: &Run, pooled: &Distribution) -> String {
    let latency = PUBLISHED_TO_CONSUMED;
    let pairs = match Pairs::of(&run.rows, &latency) {
        Ok(pairs) => pairs,
        Err(error) => return format!("No D2–D5: {error}.\n"),
    };
    let Some((fewest, most)) = pairs.samples() else {
        return "No D2–D5: no worker consumed an event, so there is no (source, destination) pair.\n".to_owned();
    };
    let samples = if fewest == most { count(most) } else { format!("{} to {}", count(fewest), count(most)) };
    let medians = pairs.medians();
    let metrics = pairs.metrics(pooled);
    let mut text = format!(
        "D2–D5 of {}: ms above the pair's median, over {} pairs × {samples} samples.\n\n",
        latency.name,
        pairs.pairs.len()
    );
    text += &table(
        &["Metric", "Median", "Mean", "StdDev", "Max", "Min"],
        &metrics.iter().map(over_pairs).collect::<Vec<_>>(),
        true,
    );
    text += "\n";
    text += &table(
        &["Beside it", "Pooled", "Worst pair", "Samples past, smallest pair"],
        &metrics.iter().map(beside).collect::<Vec<_>>(),
        false,
    );
    text += &format!(
        "\nThe median itself: {} ms pooled; {} ms in the median pair ({} to {}).\n",
        pooled.median_ms(),
        medians.median,
        medians.min,
        medians.max
    );
    if pairs.unplaced > 0 {
        text += &format!(
            "{} events reached no worker: in no pair, infinite in the pooled figures.\n",
            count(pairs.unplaced)
        );
    }
    text
}

fn over_pairs(metric: &Metric) -> Vec<String> {
    let spread = &metric.spread;
    let mark = if metric.few { "†" } else { "" };
    let figures =
        [spread.median, spread.mean, spread.sd, spread.max, spread.min].map(|figure| format!("{figure}{mark}"));
    [metric.name.to_owned()].into_iter().chain(figures).collect()
}

fn beside(metric: &Metric) -> Vec<String> {
    vec![metric.name.to_owned(), metric.pooled.to_string(), metric.worst.clone(), count(metric.samples_past)]
}

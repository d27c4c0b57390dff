//! The faults of a run: latencies before, during and after each, and how long it took until all was as before.

use std::fmt::{self, Write};

use console::style;

use super::ms;
use shasta_model::{
    manifest::{
        Manifest,
        fault::{Period, Record},
    },
    number::thousands,
    percentile::{FEW, ranks},
};

/// Nothing in a run without faults.
pub(super) fn write(f: &mut impl Write, m: &Manifest) -> fmt::Result {
    if m.faults.is_empty() {
        return Ok(());
    }
    let title = style(format!("{:<31}", "faults, scheduled → stored, ms")).bold();
    write!(f, "{title}{:>9}{:>10}{:>10}{:>10}", "n", "mean", "SD", "min")?;
    writeln!(f, "{:>10}{:>10}{:>10}{:>10}{:>10}", "p50", "p99.99", "max", "≥ 100 ms", "lost")?;
    for record in &m.faults {
        fault(f, record, m.window_us.map_or(record.start_us, |[start_us, _]| start_us))?;
    }
    writeln!(f)
}

fn fault(f: &mut impl Write, record: &Record, window_start_us: i64) -> fmt::Result {
    let s = |us: i64| us as f64 / 1e6;
    let (from, lasted) = (s(record.start_us - window_start_us), s(record.end_us - record.start_us));
    let outside = if record.outside { "from outside: " } else { "" };
    writeln!(f, "{outside}{}, {from:.1} s after the window's start, for {lasted:.1} s", record.what)?;
    if let Some(error) = &record.error {
        writeln!(f, "  {}", style(format!("! {error}")).yellow())?;
    }
    let Some(figures) = &record.figures else { return Ok(()) };
    for (name, part) in [("before", &figures.before), ("during", &figures.during), ("after", &figures.after)] {
        period(f, name, part)?;
    }
    let late = figures.late_ms;
    match (figures.disturbed_ms, figures.recovered_ms) {
        (Some(0.0), _) => writeln!(f, "  no event took longer than {late:.0} ms"),
        (Some(disturbed), Some(recovered)) => writeln!(
            f,
            "  recovered {:.2} s after the {}, {:.2} s after its end (until then events took longer than {late:.0} ms)",
            disturbed / 1000.0,
            noun(record),
            recovered / 1000.0
        ),
        _ => writeln!(
            f,
            "  not recovered before the next fault or the window's end (events took longer than {late:.0} ms)"
        ),
    }
}

/// What a fault is called that was written as a verb.
fn noun(record: &Record) -> &'static str {
    const NOUNS: [&str; 11] = [
        "kill",
        "pause",
        "restart",
        "flush",
        "fill",
        "failover",
        "rolling restart",
        "step",
        "cut",
        "delay",
        "end of the process",
    ];
    let is_it = |noun: &&str| !record.outside && record.what.starts_with(*noun);
    NOUNS.into_iter().find(is_it).unwrap_or(NOUNS[10])
}

fn period(f: &mut impl Write, name: &str, period: &Period) -> fmt::Result {
    let Period { n, mean_ms, sd_ms, min_ms, p50_ms, p9999_ms, max_ms, over_slo, lost } = period;
    let past = ranks(*n, 99.99).map(|[below, _]| n - 1 - below);
    let mark = if past.is_some_and(|past| past < FEW) { "†" } else { "" };
    let p9999 = format!("{}{mark}", ms(*p9999_ms));
    write!(f, "  {name:<29}{:>9}{:>10}{:>10}{:>10}", thousands(*n), ms(*mean_ms), ms(*sd_ms), ms(*min_ms))?;
    write!(f, "{:>10}{p9999:>10}{:>10}", ms(*p50_ms), ms(*max_ms))?;
    writeln!(f, "{:>10}{:>10}", thousands(*over_slo), thousands(*lost))
}

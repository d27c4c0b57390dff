//! What is printed after a run: ledger first, then percentiles, cost and verdict, and what a reader must know beside it.

mod faults;
mod latencies;
mod warnings;

use std::fmt::{self, Write};

use console::style;

use crate::{
    output::terminal::{print, say},
    run::Finished,
    verify::Told,
};
use shasta_model::{
    ledger::Ledger,
    manifest::{
        Manifest,
        harness::Cost,
        machine::{Cores, Slices},
    },
    number::thousands,
    overrides::{flat, title},
    percentile::{Value, round_2},
    slo::Verdict,
};

/// Prints the report of a run, and which files have it. The run is over and written down: that it cannot be shown changes
/// neither.
pub fn report(finished: &Finished) {
    let Finished { manifest, verdict, files: [rows, json], unwritten } = finished;
    let printed = print(Screen { manifest, verdict }).and_then(|()| match unwritten {
        None if rows.exists() => print(format_args!("wrote {} and {}\n", rows.display(), json.display())),
        None => print(format_args!("wrote {}\n", json.display())),
        Some(_) if rows.exists() => print(format_args!("wrote {}, and no manifest\n", rows.display())),
        Some(_) => print("wrote nothing that is still there\n"),
    });
    if let Err(error) = printed {
        say(format_args!("error: {error}"));
    }
    if let Some(error) = unwritten {
        say(format_args!("error: the manifest is missing, and the tables above are all that is left of it: {error}"));
    }
}

/// The report of a run, for people.
pub struct Screen<'a> {
    /// Everything that was measured.
    pub manifest: &'a Manifest,
    /// The verdict.
    pub verdict: &'a Verdict,
}

impl fmt::Display for Screen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = self.manifest;
        let interrupted = if m.interrupted { ", interrupted" } else { "" };
        let stand_ins = if m.cluster["stand_ins"] == true { " of stand-in images" } else { "" };
        let substrate = m.substrate.as_deref().unwrap_or("unknown");
        let cluster = format!("{substrate} cluster{stand_ins}{interrupted}");
        let variant =
            title(m.variant_name.as_deref().unwrap_or(&m.run), &m.overrides.as_ref().map(flat).unwrap_or_default());
        writeln!(f, "\n{}: variant {variant}, {cluster}\n", style(&m.run).bold())?;
        ledger(f, &m.ledger)?;
        latencies::write(f, &m.latencies)?;
        faults::write(f, m)?;
        costs(f, m)?;
        conduct(f, m)?;
        self.verdict(f)
    }
}

impl Screen<'_> {
    fn verdict(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = self.manifest;
        warnings::write(f, m)?;
        if let Some(check) = &m.verification {
            let text = style(Told(check).to_string());
            writeln!(f, "{}\n", if check.passed { text.green() } else { text.red() })?;
        }
        let text = format!("{}: {}", self.verdict, warnings::over_slo(m));
        let text = match self.verdict {
            Verdict::Met => style(text).green(),
            Verdict::Missed => style(text).red(),
            Verdict::NotResolvable if warnings::too_many_over(m) => style(text).red(),
            Verdict::NotResolvable | Verdict::None(_) => style(text).yellow(),
        };
        writeln!(f, "{}", text.bold())
    }
}

fn ledger(f: &mut impl Write, l: &Ledger) -> fmt::Result {
    let n = thousands;
    writeln!(f, "ledger    planned {} = sent {} + unsent {}", n(l.planned), n(l.sent), n(l.unsent))?;
    writeln!(f, "          sent {} = acked {} + failed {} + maybe {}", n(l.sent), n(l.acked), n(l.failed), n(l.maybe))?;
    writeln!(f, "          acked {} = consumed {} + lost {}", n(l.acked), n(l.acked_consumed), n(l.lost))?;
    if l.maybe > 0 {
        writeln!(
            f,
            "          maybe {} = consumed {} + unseen {}",
            n(l.maybe),
            n(l.maybe_consumed),
            n(l.maybe_unseen)
        )?;
    }
    let (stored, aside, unstored) = (n(l.stored), n(l.set_aside), n(l.unstored));
    writeln!(f, "          consumed {} = stored {stored} + rejected {aside} + unstored {unstored}", n(l.consumed))?;
    if l.stored_late > 0 {
        let late = n(l.stored_late);
        writeln!(f, "          of those stored, {late} had changed nothing when they were first delivered")?;
    }
    writeln!(
        f,
        "          apart: duplicates {}, late {}, foreign {}, warm-up {}, stages of 0 µs {}, below 0 µs {}",
        n(l.duplicates),
        n(l.late),
        n(l.foreign),
        n(l.warm),
        n(l.zero),
        n(l.negative)
    )?;
    if l.rewinds > 0 {
        let (rewinds, replayed) = (n(l.rewinds), n(l.replayed));
        writeln!(f, "          Redis lost what it had {rewinds} times; {replayed} records were read again from Kafka")?;
    }
    let (topic, consumed) = (n(l.topic_records), n(l.consumed_records));
    let own = n(l.consumed_records.saturating_sub(l.foreign_records));
    let whose =
        if l.foreign == 0 { String::new() } else { format!(": {own} of the run, {} foreign", n(l.foreign_records)) };
    writeln!(f, "          topic took {topic} records since the run's start, {consumed} of them were consumed{whose}")?;
    let absent = [
        (l.undecodable, "cannot be decoded"),
        (l.gone, "were deleted before a worker came to them"),
        (l.no_record, "offsets hold no record"),
    ];
    let absent: Vec<_> =
        absent.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{} {what}", n(*count))).collect();
    if !absent.is_empty() {
        writeln!(f, "          of the others, {}", absent.join(", "))?;
    }
    for problem in &l.problems {
        writeln!(f, "          {}", style(format!("INVALID: {problem}")).red().bold())?;
    }
    writeln!(f)
}

fn ms(value: Value) -> String {
    match value {
        Value::Finite(ms) => format!("{:.2}", round_2(ms)),
        Value::PastDrain => "> drain".into(),
        Value::Empty => "–".into(),
    }
}

fn costs(f: &mut impl Write, m: &Manifest) -> fmt::Result {
    writeln!(
        f,
        "{}{:>9}{:>10}{:>10}",
        style(format!("{:<42}", "cost over the window")).bold(),
        "cores",
        "RSS MB",
        "threads"
    )?;
    for Cost { name, cpu_cores, rss_bytes_max, threads_max } in &m.harness.costs {
        let rss = rss_bytes_max.map_or("–".into(), |bytes| format!("{:.0}", bytes as f64 / 1e6));
        let name = if name == "producers" { "  of which the producers' threads" } else { name };
        writeln!(f, "{name:<42}{cpu_cores:>9.3}{rss:>10}{threads_max:>10}")?;
    }
    writeln!(f)
}

fn conduct(f: &mut impl Write, m: &Manifest) -> fmt::Result {
    let (late, hiccup) = (&m.lateness, &m.harness.hiccup);
    writeln!(
        f,
        "schedule lateness p50 {:.2} ms, p99.9 {:.2} ms, max {:.2} ms; wake-up latency p99.9 {:.2} ms, max {:.2} ms",
        late.p50_ms, late.p999_ms, late.max_ms, hiccup.p999_ms, hiccup.max_ms
    )?;
    let mean = |part| m.harness.mean(part);
    let (foreign, steal) = (mean(|second| second.foreign_cores), mean(|second| second.steal_cores));
    writeln!(f, "other processes used {foreign:.2} cores, CPU steal {steal:.2}")?;
    let (c, settings) = (&m.conduct, flat(&m.variant));
    let setting = |name: &str| settings.get(name).map_or("–", String::as_str);
    writeln!(
        f,
        "cluster ready in {:.1} s, workers assigned in {:.1} s, {} connections open and acked in {:.1} s",
        c.cluster_ready_s,
        c.assigned_s,
        setting("connections"),
        c.connected_s
    )?;
    if c.waited + c.retries > 0 {
        writeln!(f, "{} hand-overs waited for an earlier one, {} requests were tried again", c.waited, c.retries)?;
    }
    if let Some(Cores::Refused(why)) = &c.cores {
        writeln!(f, "the cores could not be kept from sleeping, so that a wake-up costs more: {why}")?;
    }
    if let Some(Slices::Refused(why)) = &c.slices {
        writeln!(f, "a core stays with a task as long as the kernel pleases, not {}: {why}", setting("slice"))?;
    }
    if c.rebalances_in_window > 0 {
        let text =
            format!("{} rebalances inside the window: its latencies are not a settled group's", c.rebalances_in_window);
        writeln!(f, "{}", style(text).yellow())?;
    }
    writeln!(f)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_recorded_run_reads_as_it_was_reviewed() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/results/laptop-20261125T123217Z.json");
        let manifest = Manifest::read(Path::new(path)).unwrap();
        let screen = Screen { manifest: &manifest, verdict: &Verdict::Met }.to_string();
        insta::assert_snapshot!("recorded-run", console::strip_ansi_codes(&screen));
    }
}

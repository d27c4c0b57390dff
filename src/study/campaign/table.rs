//! The tables of a campaign in Markdown, made from its journal and the recorded manifests: all arms beside each other, over all
//! runs and on each machine, what was expected and found, and every run, those that do not count with their cause.

use std::{fmt::Write, path::Path};

use super::{Arm, Campaign, Journal, State, journal::Entry, pooled, recorded_run::Recorded};
use shasta_model::number::thousands;
use shasta_model::percentile::round_2;

const FIGURES: &str = "Figures of an arm are medians of its runs, best and worst those of p99.99. CPU steal is the CPU time \
                       that the hypervisor gave to others. CPU calibration is the CPU time of a fixed piece of work, in the middle \
                       one of a run's seconds: how fast the cores were in the median run, the fastest and the slowest.";
/// Only where they are shown.
const MOMENTS: &str = " Mean, SD (ddof 0) and min are of a run's events that have both stamps, in the median of the runs that \
                       recorded them; missing are all other events of the runs, which percentiles take for infinite.";

/// One run with what it left.
struct Run<'a> {
    entry: &'a Entry,
    /// Its manifest, or why there is none.
    recorded: Result<Recorded, String>,
}

/// A campaign with what its runs left, each read once.
pub struct Tables<'a> {
    campaign: &'a Campaign,
    journal: &'a Journal,
    runs: Vec<Run<'a>>,
}

impl<'a> Tables<'a> {
    /// Reads the manifests of all runs; one that cannot be read is told in its row.
    pub fn read(campaign: &'a Campaign, journal: &'a Journal, out: &Path) -> Self {
        let directory = Journal::directory(campaign, out);
        let recorded = |entry: &Entry| {
            let none = || Err("it has no manifest".to_owned());
            entry.run.as_ref().map_or_else(none, |run| Recorded::read(&directory.join(format!("{run}.json"))))
        };
        let runs = journal.entries.iter().map(|entry| Run { entry, recorded: recorded(entry) }).collect();
        Self { campaign, journal, runs }
    }

    /// The page of the campaign; `found` comes from its file as it is now.
    pub fn page(&self) -> String {
        let Self { campaign, journal, runs } = self;
        let mut page =
            format!("# Campaign `{}`\n\n{}\n\nExpected: {}\n\n", campaign.name, journal.question, journal.expectation);
        let made = runs.iter().filter(|run| run.entry.state == State::Counts && run.recorded.is_ok()).count();
        let wanted = campaign.arms.len() * campaign.runs as usize;
        let _ = writeln!(
            page,
            "{made} runs count, of {wanted} that are wanted. Latency is scheduled → stored, in ms. {FIGURES}{}\n",
            if self.has_moments() { MOMENTS } else { "" }
        );
        self.arms(&mut page);
        self.ratios(&mut page);
        words(&mut page, &campaign.arms);
        each(&mut page, runs, self.has_moments());
        page
    }

    /// The table of all arms over all their runs with fewer columns, for a page that people write.
    pub fn brief(&self) -> String {
        let names = IN_BRIEF.map(|column| OF_AN_ARM[column]).join(" | ");
        let mut table = format!("| arm | {names} |\n|---{}|\n", "|---:".repeat(IN_BRIEF.len()));
        for arm in self.campaign.arms.iter().map(|arm| &arm.name) {
            let cells = self.cells(arm, None);
            let _ = writeln!(table, "| {arm} | {} |", IN_BRIEF.map(|column| cells[column].as_str()).join(" | "));
        }
        table + "\n"
    }

    /// The runs of an arm that count, with their repetition.
    fn counting(&self, arm: &str) -> impl Iterator<Item = (u32, &Recorded)> {
        let counts = move |run: &&Run| run.entry.arm == arm && run.entry.state == State::Counts;
        self.runs.iter().filter(counts).filter_map(|run| Some((run.entry.repetition, run.recorded.as_ref().ok()?)))
    }

    /// Whether some run has recorded its mean: else its column would be empty.
    fn has_moments(&self) -> bool {
        let has = |run: &Recorded| run.moments_ms().iter().any(Option::is_some);
        self.runs.iter().any(|run| run.recorded.as_ref().is_ok_and(has))
    }

    /// The machines of the runs that count, in the order in which the campaign had them.
    fn machines(&self) -> Vec<String> {
        let mut machines = Vec::new();
        for run in self.runs.iter().filter(|run| run.entry.state == State::Counts) {
            let Ok(recorded) = &run.recorded else { continue };
            if !machines.contains(&recorded.machine()) {
                machines.push(recorded.machine());
            }
        }
        machines
    }

    /// What [`OF_AN_ARM`] says of an arm, of its runs on one machine or of all.
    fn cells(&self, arm: &str, machine: Option<&String>) -> [String; OF_AN_ARM.len()] {
        let own = self.counting(arm).map(|(_, run)| run);
        cells(&own.filter(|run| machine.is_none_or(|machine| run.machine() == *machine)).collect::<Vec<_>>())
    }

    /// Each arm over all runs, and on each machine where there were several.
    fn arms(&self, page: &mut String) {
        let shown: Vec<usize> =
            (0..OF_AN_ARM.len()).filter(|column| self.has_moments() || !OF_MOMENTS.contains(column)).collect();
        let line =
            |cells: &[String]| shown.iter().map(|&column| cells[column].as_str()).collect::<Vec<_>>().join(" | ");
        let names = line(&OF_AN_ARM.map(str::to_owned));
        let _ = writeln!(page, "| arm | machine | {names} |\n|---|---{}|", "|---:".repeat(shown.len()));
        let machines = self.machines();
        let all = (machines.len() > 1).then_some(None);
        for machine in all.into_iter().chain(machines.iter().map(Some)) {
            for arm in self.campaign.arms.iter().map(|arm| &arm.name) {
                let cells = line(&self.cells(arm, machine));
                let _ = writeln!(page, "| {arm} | {} | {cells} |", machine.map_or("all", String::as_str));
            }
        }
        *page += "\n";
    }

    /// Each arm against the base in the same repetition, which has the same seed and the same hour; where the machine changed
    /// between the two, they are no pair.
    fn ratios(&self, page: &mut String) {
        let Some(base) = &self.campaign.base else { return };
        let _ = writeln!(
            page,
            "Times what `{base}` has in the same repetition: the median of the pairs, least and most. Work tells how far the \
             two runs' cores differed.\n"
        );
        let figures = &HELD_AGAINST_BASE[usize::from(!self.has_moments())..];
        let names = figures.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" | ");
        let _ = writeln!(page, "| arm | pairs | {names} |\n|---|---:{}|", "|---:".repeat(figures.len()));
        for arm in self.campaign.arms.iter().map(|arm| &arm.name).filter(|arm| *arm != base) {
            let base = |nth| self.counting(base).find(|(of, _)| *of == nth).map(|(_, run)| run);
            let pairs = self.counting(arm).filter_map(|(nth, own)| Some((own, base(nth)?)));
            let pairs: Vec<_> = pairs.filter(|(own, base)| own.machine() == base.machine()).collect();
            let cells = figures.iter().map(|(_, figure)| {
                let ratio = |&(own, base): &(&Recorded, &Recorded)| Some(figure(own)? / figure(base)?);
                spread(&sorted(pairs.iter().filter_map(ratio).filter(|ratio| ratio.is_finite())))
            });
            let _ = writeln!(page, "| {arm} | {} | {} |", pairs.len(), cells.collect::<Vec<_>>().join(" | "));
        }
        *page += "\n";
    }
}

/// What a table says of an arm.
const OF_AN_ARM: [&str; 17] = [
    "runs",
    "missing",
    "mean",
    "SD",
    "min",
    "p50",
    "p99.9",
    "p99.99",
    "best",
    "worst",
    "p99.999, pooled",
    "≥ 100 ms of planned",
    "broker CPU ms/event",
    "producers' cores",
    "workers' cores",
    "CPU steal, cores",
    "CPU calibration, µs",
];
/// The part of it that stands on README's first screen.
const IN_BRIEF: [usize; 10] = [0, 5, 6, 7, 8, 9, 10, 11, 12, 16];
/// The part that earlier versions did not record.
const OF_MOMENTS: std::ops::Range<usize> = 1..5;

/// In the order of [`OF_AN_ARM`].
fn cells(own: &[&Recorded]) -> [String; OF_AN_ARM.len()] {
    let tail = sorted(own.iter().filter_map(|run| run.headline_ms(99.99)));
    let middle = |of: &dyn Fn(&Recorded) -> Option<f64>| median(&sorted(own.iter().filter_map(|run| of(run))));
    let tails: Vec<_> = own.iter().map(|run| run.tail()).collect();
    let pooled = pooled::percentile(&tails, 99.999).map_or("–".to_owned(), |found| found.to_string());
    let missing = tails.iter().map(|tail| tail.missing).sum();
    let (over, planned) =
        own.iter().fold((0, 0), |(over, planned), run| (over + run.over_slo(), planned + run.planned()));
    [
        own.len().to_string(),
        thousands(missing),
        ms(middle(&|run| run.moments_ms()[0])),
        ms(middle(&|run| run.moments_ms()[1])),
        ms(middle(&|run| run.moments_ms()[2])),
        ms(middle(&|run| run.headline_ms(50.0))),
        ms(middle(&|run| run.headline_ms(99.9))),
        ms(median(&tail)),
        ms(tail.first().copied()),
        ms(tail.last().copied()),
        pooled,
        format!("{} of {}", thousands(over), thousands(planned)),
        ms(middle(&Recorded::broker_ms)),
        cores(middle(&|run| run.cores("producers"))),
        cores(middle(&|run| run.cores("worker "))),
        cores(middle(&Recorded::steal_cores)),
        spread(&sorted(own.iter().filter_map(|run| run.work_us()))),
    ]
}

/// A figure of a run that is held against the base's.
type Figure = (&'static str, fn(&Recorded) -> Option<f64>);
/// The first is left out where no run has recorded it.
const HELD_AGAINST_BASE: [Figure; 6] = [
    ("mean", |run| run.moments_ms()[0]),
    ("p50", |run| run.headline_ms(50.0)),
    ("p99.9", |run| run.headline_ms(99.9)),
    ("p99.99", |run| run.headline_ms(99.99)),
    ("broker CPU ms/event", Recorded::broker_ms),
    ("CPU calibration", Recorded::work_us),
];

/// The median, and from two on the least and the most.
fn spread(sorted: &[f64]) -> String {
    match (median(sorted), sorted) {
        (Some(median), [least, .., most]) => format!("{median:.2} ({least:.2} to {most:.2})"),
        (Some(only), _) => format!("{only:.2}"),
        (None, _) => "–".to_owned(),
    }
}

/// What was expected of each arm, and found.
fn words(page: &mut String, arms: &[Arm]) {
    *page += "| arm | expected | found |\n|---|---|---|\n";
    let cell = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    for arm in arms {
        let _ = writeln!(page, "| {} | {} | {} |", arm.name, cell(&arm.expect), cell(&arm.found));
    }
    *page += "\n";
}

/// Every run, in the order in which they were made.
fn each(page: &mut String, runs: &[Run], has_moments: bool) {
    let (names, rule, none) = if has_moments {
        ("missing | mean | SD | min | ", "---:|".repeat(4), "– | ".repeat(4))
    } else {
        Default::default()
    };
    let _ = writeln!(
        page,
        "Runs before: those that the same brokers had behind them, each with its warm-up.\n\n\
         | run | runs before | seed | planned | {names}p50 | p99.9 | p99.99 | ≥ 100 ms | CPU steal, cores | CPU calibration, µs | |\n\
         |---|---:|---:|---:|{rule}---:|---:|---:|---:|---:|---:|---|"
    );
    for Run { entry, recorded } in runs {
        let before = recorded.as_ref().ok().and_then(Recorded::runs_before);
        let before = before.map_or("–".to_owned(), |before| before.to_string());
        let name = entry.run.clone().unwrap_or_else(|| format!("{}, {}", entry.arm, entry.repetition + 1));
        let figures = match recorded {
            Ok(run) => {
                let percentiles = [50.0, 99.9, 99.99].map(|p| ms(run.headline_ms(p))).join(" | ");
                let (planned, over, stolen) = (thousands(run.planned()), thousands(run.over_slo()), run.steal_cores());
                let moments = if has_moments {
                    format!("{} | {} | ", thousands(run.tail().missing), run.moments_ms().map(ms).join(" | "))
                } else {
                    String::new()
                };
                format!("{planned} | {moments}{percentiles} | {over} | {} | {}", cores(stolen), ms(run.work_us()))
            }
            Err(_) => format!("– | {none}– | – | – | – | – | –"),
        };
        let state = match (&entry.state, recorded) {
            (State::Counts, Ok(_)) => String::new(),
            (State::Counts, Err(why)) => format!("counts, but {why}"),
            (State::Invalid(why), _) => format!("invalid: {why}"),
            (State::Failed(why), _) => format!("came to nothing: {why}"),
            (State::Interrupted, _) => "interrupted".to_owned(),
        };
        let state = state.lines().collect::<Vec<_>>().join(" ").replace('|', "\\|");
        let _ = writeln!(page, "| {name} | {before} | {} | {figures} | {state} |", entry.seed);
    }
}

pub(crate) fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The middle one, or the mean of the middle two.
pub(crate) fn median(sorted: &[f64]) -> Option<f64> {
    let upper = sorted.get(sorted.len() / 2)?;
    let lower = sorted[(sorted.len() - 1) / 2];
    Some(if lower == *upper { lower } else { lower.midpoint(*upper) })
}

/// With 2 places; in words past the drain, a dash when there is none.
pub fn ms(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(ms) if ms.is_infinite() => "> drain".to_owned(),
        Some(ms) => format!("{:.2}", round_2(ms)),
    }
}

fn cores(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |cores| format!("{cores:.3}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::study::campaign::{journal::tests::campaign, recorded_run::tests::write};

    #[test]
    fn all_runs_are_in_the_tables() {
        let (out, campaign) = (tempfile::tempdir().unwrap(), campaign("9h", 2));
        let directory = Journal::directory(&campaign, out.path());
        std::fs::create_dir_all(&directory).unwrap();
        let mut journal = Journal::open(&campaign, out.path()).unwrap();
        let mut add = |arm: &str, repetition, run: Option<&str>, state| {
            let run = run.map(str::to_owned);
            journal.entries.push(Entry { arm: arm.to_owned(), repetition, seed: 3, run, state });
        };
        let wrote = |run: &str, cpu: &str, p9999, largest_us| {
            write(&directory.join(format!("{run}.json")), cpu, p9999, largest_us);
        };
        wrote("a", "Z80", json!(20.0), 90_000);
        wrote("b", "Z80", json!(30.5), 250_000);
        wrote("c", "Z80", json!(1.0), 1);
        wrote("d", "Z80", json!(5.0), 1);
        wrote("e", "6502", json!(7.0), 1);
        add("laptop", 0, Some("a"), State::Counts);
        add("laptop", 1, Some("b"), State::Counts);
        add("goal", 0, Some("c"), State::Invalid("2 rebalances in the window (at most 0)".to_owned()));
        add("goal", 1, None, State::Failed("no | disk\nat all".to_owned()));
        add("goal", 1, Some("gone"), State::Counts);
        add("goal", 0, Some("d"), State::Counts);
        add("goal", 1, Some("e"), State::Counts);
        let tables = Tables::read(&campaign, &journal, out.path());
        let page = tables.page();
        for line in [
            "4 runs count, of 4 that are wanted.",
            "| laptop | 2 × Z80 | 2 | 4.50 | 9.00 | 25.25 | 20.00 | 30.50 | 250.00† | 6 of 2,000 | 1.20 | 0.040 | 0.020 | 0.200 | 60.00 (60.00 to 60.00) |",
            "| goal | all | 2 | 4.50 | 9.00 | 6.00 | 5.00 | 7.00 |",
            "| goal | 2 × Z80 | 1 | 4.50 | 9.00 | 5.00 |",
            "| laptop | 2 × 6502 | 0 | – |",
            "| goal | 2 × 6502 | 1 | 4.50 | 9.00 | 7.00 |",
            "Times what `laptop` has in the same repetition",
            "| goal | 1 | 1.00 | 1.00 | 0.25 | 1.00 | 1.00 |",
            "| laptop | Little. |  |",
            "| a | 2 | 3 | 1,000 | 4.50 | 9.00 | 20.00 | 3 | 0.200 | 60.00 |  |",
            "| c | 2 | 3 | 1,000 | 4.50 | 9.00 | 1.00 | 3 | 0.200 | 60.00 | invalid: 2 rebalances in the window (at most 0) |",
            "| goal, 2 | – | 3 | – | – | – | – | – | – | – | came to nothing: no \\| disk at all |",
            "| gone | – | 3 | – | – | – | – | – | – | – | counts, but ",
        ] {
            assert!(page.contains(line), "{line}\n{page}");
        }
        let brief = tables.brief();
        for row in [
            "| laptop | 2 | 4.50 | 9.00 | 25.25 | 20.00 | 30.50 | 250.00† | 6 of 2,000 | 1.20 | 60.00 (60.00 to 60.00) |",
            "| goal | 2 | 4.50 | 9.00 | 6.00 | 5.00 | 7.00 |",
        ] {
            assert!(brief.contains(row), "{row}\n{brief}");
        }
    }

    #[test]
    fn medians_have_their_range() {
        let of = |values: &[f64]| spread(&sorted(values.iter().copied()));
        assert_eq!([of(&[]), of(&[1.5]), of(&[3.0, 1.0, 2.25])], ["–", "1.50", "2.25 (1.00 to 3.00)"]);
    }

    #[test]
    fn medians() {
        let of = |values: &[f64]| median(&sorted(values.iter().copied()));
        assert_eq!([of(&[]), of(&[3.0]), of(&[4.0, 1.0, 2.0])], [None, Some(3.0), Some(2.0)]);
        assert_eq!(of(&[f64::INFINITY, f64::INFINITY]), Some(f64::INFINITY));
    }
}

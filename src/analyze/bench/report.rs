//! The report of one run of the benches: what is wanted and whether it is met, ratios, then figures in seconds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    estimates::{Bench, Run},
    machine::Machine,
    ratios::{Figure, Limit, Measured, WANTED, over},
    store,
};
use crate::document::{Block, Cell, Document, Table};

/// One run with what must be known of it; this is what is kept in the repository.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Revision that was measured, and whether it had uncommitted changes.
    pub revision: String,
    /// Where.
    pub machine: Machine,
    /// Whether it was a short run, whose figures say little.
    pub quick: bool,
    /// What.
    #[serde(flatten)]
    pub run: Run,
}

/// Groups whose benches are shown as multiples of one of them: group, and the function that is 1.
const RELATIVE: [(&str, &str); 4] = [
    ("encode", "copy"),
    ("decode", "copy"),
    ("analyze, D2–D5", "parquet, polars alone"),
    ("row to CSV", "serde and the csv crate"),
];

/// The whole report.
pub fn of(kept: &Kept) -> Document {
    let Kept { revision, machine, quick, run } = kept;
    let mut blocks = vec![
        Block::Heading(1, "Benches".to_owned()),
        Block::Prose(format!(
            "Revision `{revision}` on {machine}; {}. Made by `scripts/bench`, estimates in `tables/benches.json`. A time is the \
             median of one run; what stands in brackets is its 95 % interval within this run, which says nothing of how \
             repeatable it is.{}",
            substrate(run),
            if *quick { " **A short run (`--quick`): these figures say little.**" } else { "" },
        )),
        Block::Heading(2, "Ratios within this run".to_owned()),
        Block::Table(wanted(run)),
    ];
    blocks.extend(allocations(run).map(Block::Table));
    blocks.extend(RELATIVE.iter().filter_map(|(group, one)| relative(run, group, one)).flatten());
    blocks.extend(store::ways(run));
    if !store::rates(kept).series.is_empty() {
        let caption = "events/s of the store over the events of a batch, for each round trip".to_owned();
        blocks.push(Block::Chart { stem: store::CHART.to_owned(), caption });
    }
    blocks.push(Block::Heading(2, "Figures of this machine".to_owned()));
    blocks.extend(figures(run));
    Document { blocks }
}

fn substrate(run: &Run) -> String {
    let told = |(name, note): (&String, &serde_json::Value)| {
        let bench = name.strip_prefix("substrate-")?;
        let version = |what: &str| note[what.to_lowercase()].as_str().map(|version| format!(" {what} {version}"));
        let versions: Vec<_> = ["Kafka", "Redis"].into_iter().filter_map(version).collect();
        let stand_ins = if note["stand_ins"] == true { " (stand-in images)" } else { "" };
        let substrate = note["substrate"].as_str()?;
        Some(format!("`{bench}` on substrate `{substrate}`{stand_ins} with{}", versions.join(" and")))
    };
    let told: Vec<String> = run.notes.iter().filter_map(told).collect();
    if told.is_empty() { "nothing that needs Kafka or Redis was run".to_owned() } else { told.join(", ") }
}

fn wanted(run: &Run) -> Table {
    let row = |wanted: &super::ratios::Wanted| {
        let (limit, sign) = match wanted.limit {
            Limit::Most(limit) => (limit, "≤"),
            Limit::Least(limit) => (limit, "≥"),
        };
        let number = |value: f64| match wanted.figure {
            Figure::Rate(_) => crate::markdown::count(value as u64),
            _ => format!("{value:.2}"),
        };
        let (measured, verdict) = match wanted.figure.of(run) {
            Some(measured) => {
                let Measured { median, low, high } = measured;
                let text = format!("{} [{} to {}]", number(median), number(low), number(high));
                (Cell::number(text, median), wanted.limit.verdict(measured))
            }
            None => ("–".into(), "not run"),
        };
        vec![wanted.what.into(), format!("{sign} {}", number(limit)).into(), measured, verdict.into()]
    };
    Table::new("wanted", &["What", "Wanted", "Measured", "Verdict"], WANTED.iter().map(row).collect())
}

fn allocations(run: &Run) -> Option<Table> {
    let counts = run.notes.get("allocations")?.as_object()?;
    let row = |(step, count): (&String, &serde_json::Value)| {
        let count = count.as_f64().unwrap_or(f64::NAN);
        vec![step.as_str().into(), Cell::number(count.to_string(), count)]
    };
    Some(Table::new("allocations", &["Step", "Allocations an event"], counts.iter().map(row).collect()))
}

/// A group as multiples of one of its functions, value by value.
fn relative(run: &Run, group: &str, one: &str) -> Option<[Block; 2]> {
    let of_group: Vec<&Bench> = run.benches.iter().filter(|bench| bench.group == group).collect();
    let mut values: Vec<Option<&str>> = of_group.iter().map(|bench| bench.value.as_deref()).collect();
    values.sort_by_key(|value| value.map(|value| (value.parse::<u64>().unwrap_or(u64::MAX), value)));
    values.dedup();
    let mut functions: Vec<&str> = of_group.iter().map(|bench| bench.function.as_str()).collect();
    functions.dedup();
    let find = |function: &str, value: Option<&str>| {
        of_group.iter().find(|bench| bench.function == function && bench.value.as_deref() == value)
    };
    let row = |function: &str| {
        let cell = |value: &Option<&str>| match (find(function, *value), find(one, *value)) {
            (Some(this), Some(base)) => {
                let measured = over(this.each_ns(), base.each_ns());
                Cell::number(format!("{:.2}", measured.median), measured.median)
            }
            _ => "–".into(),
        };
        [vec![function.into()], values.iter().map(cell).collect()].concat()
    };
    let named = values.iter().map(|value| value.unwrap_or("time"));
    let header: Vec<&str> = [group].into_iter().chain(named).collect();
    let rows: Vec<_> = functions.iter().map(|function| row(function)).collect();
    let title = Block::Prose(format!("**{group}**: time in multiples of `{one}`"));
    (!rows.is_empty()).then(|| [title, Block::Table(Table::new("relative", &header, rows))])
}

fn figures(run: &Run) -> Vec<Block> {
    let mut groups: BTreeMap<&str, Vec<&Bench>> = BTreeMap::new();
    run.benches.iter().for_each(|bench| groups.entry(&bench.group).or_default().push(bench));
    let row = |bench: &&Bench| {
        let value = bench.value.clone().unwrap_or_default();
        let each = bench.each_ns();
        let rate = match bench.bytes {
            Some(bytes) => format!("{:.0} MB/s", bytes as f64 / bench.median_ns * 1e3),
            None => format!("{}/s", crate::markdown::count((1e9 / each[0]) as u64)),
        };
        let time = format!("{} [{} to {}]", time(each[0]), time(each[1]), time(each[2]));
        vec![bench.function.as_str().into(), value.into(), Cell::number(time, each[0]), rate.into()]
    };
    let tables = groups.into_iter().map(|(group, benches)| {
        let rows = benches.iter().map(row).collect();
        Block::Table(Table::new("figures", &[group, "", "Time of one", "Rate"], rows))
    });
    tables.collect()
}

/// A time with three digits, in the unit that suits it.
fn time(ns: f64) -> String {
    let (value, unit) = match ns {
        ns if ns < 1e3 => (ns, "ns"),
        ns if ns < 1e6 => (ns / 1e3, "µs"),
        ns if ns < 1e9 => (ns / 1e6, "ms"),
        ns => (ns / 1e9, "s"),
    };
    let places = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.places$} {unit}")
}

#[cfg(test)]
pub(super) mod tests {
    use super::{super::estimates::tests::leave, *};
    use crate::markdown;

    pub fn kept() -> Kept {
        let directory = tempfile::tempdir().unwrap();
        for (trip, ns) in [("0", 6.4e5), ("1", 1.7e6)] {
            let group = format!("store, {trip} ms round trip");
            leave(directory.path(), [&group, "store", "64"], ns, 64);
            leave(directory.path(), [&group, "awaited", "1"], ns / 4.0, 1);
        }
        leave(directory.path(), ["encode", "copy", "512"], 40.0, 1);
        leave(directory.path(), ["encode", "kept buffer", "512"], 50.0, 1);
        std::fs::write(
            directory.path().join("substrate-kafka.json"),
            r#"{"substrate":"local","kafka":"4.1.1","redis":"7.0"}"#,
        )
        .unwrap();
        std::fs::write(directory.path().join("allocations.json"), r#"{"encode":0.0}"#).unwrap();
        let run = Run::read(directory.path()).unwrap();
        Kept { revision: "abc".to_owned(), machine: Machine::this(), quick: true, run }
    }

    #[test]
    fn ratios_come_first_and_say_what_was_not_run() {
        let text = markdown::of(&of(&kept()), "charts");
        let place = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what} in\n{text}"));
        assert!(place("## Ratios within this run") < place("## Figures of this machine"));
        assert!(text.contains("not run") && text.contains("these figures say little"), "{text}");
        assert!(text.contains("`kafka` on substrate `local` with Kafka 4.1.1 and Redis 7.0"), "{text}");
        assert!(text.contains("16.0"), "events/s over the awaited way's: {text}");
        assert!(text.contains("1.25"), "encode over copy: {text}");
        place("![events/s of the store");
    }

    #[test]
    fn times_have_three_digits() {
        assert_eq!(
            [1.234, 56.78, 999.0, 1_500.0, 2.5e7, 3e9].map(time),
            ["1.23 ns", "56.8 ns", "999 ns", "1.50 µs", "25.0 ms", "3.00 s"]
        );
    }
}

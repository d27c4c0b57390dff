//! The published tables as they are, and a run's D2–D5 beside those of the published test that its manifest names.
//!
//! A ratio is given only where both programs had the same load and at least 10 samples past the percentile in each
//! pair; otherwise words say why not. Beside each ratio stands that the published figures are another program's on
//! other machines.

use super::{METRICS, Published, all, find};
use crate::{
    document::{Block, Cell, Table},
    markdown::count,
    spread::Spread,
};
use shasta_model::percentile::{FEW, Value};

/// What must be said beside each ratio.
pub const CAVEAT: &str = "measured on 128 + 8 EC2 instances with another program";

/// What a run offered, and where; as its manifest says.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// All connections.
    pub connections: u64,
    /// Events a second of each.
    pub rate_per_s: f64,
    /// Workers.
    pub workers: u64,
    /// `local`, `containers`, or `external`.
    pub substrate: String,
}

/// A run's D2–D5 of published → consumed.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// What it offered.
    pub load: Load,
    /// D2 to D5 over its pairs, in ms.
    pub metrics: [Spread; 4],
    /// Samples past each percentile in the smallest pair.
    pub samples_past: [u64; 4],
}

/// All published figures, for a reader who wants them at once.
pub fn table() -> Vec<Block> {
    let header = ["Test", "Metric", "Median", "Mean", "StdDev", "Max", "Min", "Samples a pair", "Of them past it"];
    let rows = all().iter().flat_map(|published| {
        METRICS.iter().zip(&published.metrics).enumerate().map(|(k, ((metric, _), spread))| {
            let (samples, past) = (published.samples_a_pair(), published.samples_past(k));
            let mut row = vec![published.name.as_str().into(), (*metric).into()];
            row.extend(figures(spread, past < FEW as f64));
            row.push(Cell::number(count(samples as u64), samples));
            row.push(Cell::number(few_digits(past), past));
            row
        })
    });
    let rows = rows.collect();
    let assumed: Vec<&str> =
        all().iter().filter(|test| test.assumed.is_some()).map(|test| test.name.as_str()).collect();
    let prose = format!(
        "Published, in ms above each pair's median, {CAVEAT}. Each test is one run, so a difference between two is a \
         lead, not an effect. Samples a pair are derived (producers per instance × rate × duration ÷ workers, shared \
         evenly); the duration of {} is assumed. † fewer than {FEW} samples lie past it.",
        assumed.join(", ")
    );
    vec![Block::Prose(prose), Block::Table(Table::new("published", &header, rows))]
}

/// A run beside the published test that its manifest names (`variant.published`); one sentence where there is none.
pub fn beside(named: Option<&str>, measured: &Measured) -> Vec<Block> {
    let Some(name) = named else {
        return vec![Block::Prose(
            "No published test had this variant's load: there is nothing to hold it against.".into(),
        )];
    };
    let Some(published) = find(name) else {
        let known: Vec<&str> = all().iter().map(|published| published.name.as_str()).collect();
        return vec![Block::Prose(format!(
            "The manifest names the published test `{name}`, which is none of {}.",
            known.join(", ")
        ))];
    };
    let header = ["Metric (ms)", "Median", "Mean", "StdDev", "Max", "Min", "What stands behind it"];
    let rows = (0..METRICS.len()).flat_map(|k| rows_of(published, measured, k)).collect();
    vec![Block::Prose(introduction(published, measured)), Block::Table(Table::new("published-beside", &header, rows))]
}

fn introduction(published: &Published, Measured { load, .. }: &Measured) -> String {
    let assumed = published.assumed.as_ref().map_or("", |_| ", a duration that is assumed");
    format!(
        "Beside the published test `{}`. The published figures were {CAVEAT}: {} connections at {}/s for {} \
         h{assumed}, {} workers, {} brokers. This run: {} connections at {}/s, {} workers, substrate {}. A ratio \
         compares two programs and two places, not two versions of one; extremes over pairs have none, as they grow \
         with the number of pairs, which is not published. † fewer than {FEW} samples lie past it.",
        published.name,
        count(published.connections()),
        published.rate_per_s,
        published.duration_h,
        published.workers,
        published.broker_instance,
        count(load.connections),
        load.rate_per_s,
        load.workers,
        load.substrate,
    )
}

/// One metric: as published, as measured, and their ratio or why there is none.
fn rows_of(published: &Published, measured: &Measured, k: usize) -> [Vec<Cell>; 3] {
    let (metric, _) = METRICS[k];
    let past = published.samples_past(k);
    let (theirs, ours) = (&published.metrics[k], &measured.metrics[k]);
    let row = |what: &str, figures: Vec<Cell>, basis: String| {
        [vec![format!("{metric} {what}").into()], figures, vec![basis.into()]].concat()
    };
    let few = past < FEW as f64;
    let their_basis = format!("{} samples past it in each pair (derived)", few_digits(past));
    let our_past = measured.samples_past[k];
    let our_basis = format!("{} samples past it in the smallest pair", count(our_past));
    let ratio = match no_ratio(published, measured, k) {
        Some(why) => row("measured ÷ published", vec!["–".into(); 5], format!("no ratio: {why}")),
        None => {
            let ratios = [quotient(ours.median, theirs.median), quotient(ours.mean, theirs.mean)];
            let cells = ratios.into_iter().chain(["–", "–", "–"].map(Cell::from)).collect();
            row("measured ÷ published", cells, format!("two programs; the published one {CAVEAT}"))
        }
    };
    let ours = row("measured", figures(ours, our_past < FEW), our_basis);
    [row("published", figures(theirs, few), their_basis), ours, ratio]
}

fn no_ratio(published: &Published, measured: &Measured, k: usize) -> Option<String> {
    let past = published.samples_past(k);
    let our_past = measured.samples_past[k];
    if !same_load(published, &measured.load) {
        Some("this run's load is another".to_owned())
    } else if past < FEW as f64 {
        Some(format!("a published pair has {} samples past it, fewer than {FEW}", few_digits(past)))
    } else if our_past < FEW {
        Some(format!("this run's smallest pair has {our_past} samples past it, fewer than {FEW}"))
    } else {
        None
    }
}

fn same_load(published: &Published, load: &Load) -> bool {
    (published.connections(), published.rate_per_s, published.workers)
        == (load.connections, load.rate_per_s, load.workers)
}

fn quotient(ours: Value, theirs: Value) -> Cell {
    match (ours, theirs) {
        (Value::Finite(ours), Value::Finite(theirs)) => Cell::number(format!("{:.2}", ours / theirs), ours / theirs),
        _ => "–".into(),
    }
}

fn figures(spread: &Spread, few: bool) -> Vec<Cell> {
    let figures = [spread.median, spread.mean, spread.sd, spread.max, spread.min];
    let mark = if few { "†" } else { "" };
    let cell = |value: Value| Cell::number(format!("{value}{mark}"), value.as_ms().unwrap_or(f64::NAN));
    figures.map(cell).into()
}

/// `432`, `4.3`, `0.04`: a derived count is not a whole number, and none of them is 0.
fn few_digits(samples: f64) -> String {
    let text = if samples < 0.1 { format!("{samples:.2}") } else { format!("{samples:.1}") };
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(connections: u64, samples_past: [u64; 4]) -> Measured {
        let spread = Spread::over(&[10.0, 20.0, 30.0]);
        let load = Load { connections, rate_per_s: 2.0, workers: 8, substrate: "local".into() };
        Measured { load, metrics: [spread; 4], samples_past }
    }

    fn rows(blocks: &[Block]) -> Vec<Vec<String>> {
        let Some(Block::Table(table)) = blocks.last() else { panic!("{blocks:?}") };
        assert!(table.rows.iter().all(|row| row.len() == table.header.len()));
        table.rows.iter().map(|row| row.iter().map(|cell| cell.text.clone()).collect()).collect()
    }

    #[test]
    fn a_ratio_needs_ten_samples_past_on_both_sides_and_says_whose_they_are() {
        let blocks = beside(Some("8p-2pps"), &measured(1024, [50, 9, 50, 50]));
        let rows = rows(&blocks);
        assert_eq!(rows.len(), 12);
        assert_eq!(rows[0][..3], ["D2 published", "37.00", "37.34"]);
        assert_eq!(rows[1][..3], ["D2 measured", "20.00", "20.00"]);
        assert_eq!(rows[2][..4], ["D2 measured ÷ published", "0.54", "0.54", "–"]);
        assert!(rows[2][6].contains(CAVEAT), "{rows:?}");
        assert_eq!(rows[5][1], "–");
        assert!(rows[5][6].contains("this run's smallest pair has 9"), "{rows:?}");
        assert_eq!((rows[6][1].as_str(), rows[7][1].as_str()), ("1298.53†", "20.00"));
        assert!(rows[8][6].contains("a published pair has 4.3 samples past it, fewer than 10"), "{rows:?}");
        assert!(matches!(&blocks[0], Block::Prose(text) if text.contains(CAVEAT)));
    }

    #[test]
    fn another_load_has_no_ratio() {
        let rows = rows(&beside(Some("8p-2pps"), &measured(20, [50; 4])));
        assert!(rows.iter().skip(2).step_by(3).all(|row| row[6] == "no ratio: this run's load is another"), "{rows:?}");
    }

    #[test]
    fn what_never_arrived_has_no_ratio() {
        let mut lost = measured(1024, [50; 4]);
        lost.metrics[0] = Spread::over(&[1.0, f64::INFINITY, f64::INFINITY]);
        let rows = rows(&beside(Some("8p-2pps"), &lost));
        assert_eq!((rows[1][1].as_str(), rows[2][1].as_str()), ("> drain", "–"));
    }

    #[test]
    fn without_a_published_test_one_sentence_says_so() {
        let told = |name| match &beside(name, &measured(100, [50; 4]))[..] {
            [Block::Prose(text)] => text.clone(),
            other => panic!("{other:?}"),
        };
        assert!(told(None).starts_with("No published test"));
        assert!(told(Some("9p")).contains("`9p`, which is none of 8p-2pps, "));
    }

    #[test]
    fn the_table_of_all_marks_what_few_samples_made() {
        let rows = rows(&table());
        assert_eq!((rows.len(), rows[0][1].as_str(), rows[0][2].as_str()), (40, "D2", "37.00"));
        let marked: Vec<bool> = rows.iter().map(|row| row[2].ends_with('†')).collect();
        assert!(marked.chunks(4).all(|test| !test[0] && test[2] && test[3]), "no published pair has 10 past D4");
        assert_eq!([0, 1, 2, 39].map(|k| rows[k][8].as_str()), ["432", "43.2", "4.3", "0.04"]);
    }
}

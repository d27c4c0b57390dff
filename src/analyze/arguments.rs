//! The command line.

use std::{ffi::OsString, path::PathBuf};

use clap::{CommandFactory, Parser, ValueEnum, error::ErrorKind};

use crate::{compare::Allowance, render::Format, row::STAMPS};
use shasta_model::columns::{HEADLINES, Latency, PUBLISHED_TO_CONSUMED};

/// Tables, charts and a page of recorded runs
///
/// Prints tables, and writes tables/, charts/ and report.html below --out. Exit codes: 0, also when a run is INVALID or
/// missed the SLO, which is told in words; 1 error, 2 wrong command line; with --max-regression also 4 resolved
/// regression and 5 cannot decide.
#[derive(Debug, Clone, Parser)]
#[command(name = "analyze", version)]
pub struct Arguments {
    /// Rows of runs (.csv, .parquet) or their manifests (.json); every run in results/ when none is named
    pub files: Vec<PathBuf>,
    /// Latency of the D tables, from one stamp to another, as in `scheduled_us..after_store_us` [default: before_publish..after_consume]
    #[arg(long, value_name = "FROM..TO", value_parser = latency)]
    pub latency: Option<Latency>,
    /// How tables are printed [default: text on a terminal, else markdown]
    #[arg(long)]
    pub format: Option<Format>,
    /// Make only these
    #[arg(long)]
    pub only: Option<Only>,
    /// Where tables/, charts/ and report.html are written
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub out: PathBuf,
    /// Replace the block between `<!-- analyze -->` and `<!-- /analyze -->` in this Markdown file by the tables
    #[arg(long, value_name = "FILE")]
    pub splice: Option<PathBuf>,
    /// Skip lines that are no rows, and count and show them; the run gets no verdict
    #[arg(long)]
    pub skip_bad_rows: bool,
    /// Compare sets of runs, the first with each other: variants or experiments (`goal, partitions 256`) among those given,
    /// or directories of runs, whose experiments are paired by their settings
    #[arg(long, value_name = "ARM", num_args = 2..)]
    pub compare: Vec<String>,
    /// Runs to hold these against, each experiment against the one there that has its settings
    #[arg(long, value_name = "DIR", requires = "max_regression")]
    pub baseline: Option<PathBuf>,
    /// How much worse p99.99 may be than the baseline's, as in 10%
    #[arg(long, value_name = "PERCENT", requires = "baseline")]
    pub max_regression: Option<Allowance>,
}

/// A part of what is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Only {
    /// Tables, printed and in tables/
    Tables,
    /// Charts, in charts/
    Charts,
    /// The page, report.html, and the charts in it
    Report,
    /// D2–D5, printed: only their columns are read, so nothing is said of ledger, verdict and causes
    #[value(name = "d2-d5")]
    Deviations,
}

impl Arguments {
    /// As typed, with flags that exclude each other told.
    ///
    /// # Errors
    /// What is wrong, as clap prints it.
    pub fn checked(typed: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let arguments = Self::try_parse_from(typed)?;
        let others = [
            ("--splice", arguments.splice.is_some()),
            ("--compare", !arguments.compare.is_empty()),
            ("--baseline", arguments.baseline.is_some()),
        ];
        let (Some(Only::Deviations), Some((flag, _))) = (arguments.only, others.into_iter().find(|(_, given)| *given))
        else {
            return Ok(arguments);
        };
        let what =
            format!("--only d2-d5 prints D2–D5 and does nothing else, so {flag} has no use; leave one of them out");
        Err(Self::command().error(ErrorKind::ArgumentConflict, what))
    }

    /// The latency of the D tables.
    pub fn latency(&self) -> Latency {
        self.latency.unwrap_or(PUBLISHED_TO_CONSUMED)
    }

    /// Whether a part is to be made.
    pub fn makes(&self, part: Only) -> bool {
        match self.only {
            None => true,
            // The page shows the charts.
            Some(Only::Report) => part != Only::Tables,
            Some(only) => only == part,
        }
    }
}

/// Names of stamps as people say them.
const SHORT: [(&str, &str); 9] = [
    ("append", "append_ms"),
    ("scheduled", "scheduled_us"),
    ("publish", "before_publish_us"),
    ("published", "before_publish_us"),
    ("acked", "after_publish_us"),
    ("consumed", "after_consume_us"),
    ("stored", "after_store_us"),
    ("read", "after_read_us"),
    ("ack", "after_publish_us"),
];

fn latency(text: &str) -> Result<Latency, String> {
    let (from, to) = text.split_once("..").ok_or("two stamps with `..` between, as in scheduled..after_store")?;
    let [from, to] = [column(from)?, column(to)?];
    if from == to {
        return Err("two different stamps".to_owned());
    }
    let known = HEADLINES.into_iter().find(|known| (known.from, known.to) == (from, to));
    // Two stamps of fourteen columns: a handful of names in the life of a process.
    let name = || &*Box::leak(format!("{from} → {to}").into_boxed_str());
    Ok(known.unwrap_or_else(|| Latency { name: name(), from, to }))
}

fn column(name: &str) -> Result<&'static str, String> {
    let name = SHORT.iter().find(|(short, _)| *short == name).map_or(name, |(_, column)| column);
    let is = |column: &str| column == name || column.trim_end_matches("_us").trim_end_matches("_ms") == name;
    STAMPS.iter().map(|(column, _)| *column).find(|column| is(column)).ok_or_else(|| {
        let all: Vec<&str> = STAMPS.iter().map(|(column, _)| *column).collect();
        format!("`{}` is no stamp; there are {}", name.escape_debug(), all.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Arguments, clap::Error> {
        Arguments::checked([&["analyze"], arguments].concat().into_iter().map(OsString::from))
    }

    #[test]
    fn latencies_are_two_stamps() {
        let latency = |text: &str| parsed(&["--latency", text]).map(|arguments| arguments.latency());
        assert_eq!(latency("scheduled..stored").unwrap(), HEADLINES[0]);
        assert_eq!(latency("scheduled_us..after_store_us").unwrap(), HEADLINES[0]);
        let append = latency("append..consumed").unwrap();
        assert_eq!((append.from, append.to), ("append_ms", "after_consume_us"));
        for (bad, said) in [("scheduled", "`..`"), ("a..b", "no stamp"), ("stored..after_store", "different")] {
            assert!(latency(bad).unwrap_err().to_string().contains(said), "{bad}");
        }
    }

    #[test]
    fn a_baseline_needs_an_allowance() {
        assert!(parsed(&["--baseline", "x"]).is_err() && parsed(&["--max-regression", "10%"]).is_err());
        assert!(parsed(&["--baseline", "x", "--max-regression", "ten"]).is_err());
        assert!(parsed(&["--baseline", "x", "--max-regression", "10%"]).is_ok());
        assert!(parsed(&["--compare", "laptop"]).is_err());
    }

    #[test]
    fn d2_to_d5_alone_exclude_what_needs_more() {
        let others: [&[&str]; 3] =
            [&["--splice", "x"], &["--compare", "a", "b"], &["--baseline", "x", "--max-regression", "1%"]];
        for other in others {
            let error = parsed(&[&["--only", "d2-d5"], other].concat()).unwrap_err();
            assert_eq!((error.exit_code(), error.to_string().contains(other[0])), (2, true), "{error}");
            assert!(parsed(&[&["--only", "tables"], other].concat()).is_ok());
        }
    }

    #[test]
    fn the_page_brings_its_charts() {
        let makes =
            |arguments: &Arguments| [Only::Tables, Only::Charts, Only::Report].map(|part| arguments.makes(part));
        assert_eq!(makes(&parsed(&[]).unwrap()), [true; 3]);
        assert_eq!(makes(&parsed(&["--only", "report"]).unwrap()), [false, true, true]);
        assert_eq!(makes(&parsed(&["--only", "tables"]).unwrap()), [true, false, false]);
    }
}

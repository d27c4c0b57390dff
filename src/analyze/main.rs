//! `analyze`: tables from recorded runs.

use std::{io::Write, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Parser;
use shasta_analyze::{input, report, run::Run};

/// Percentiles, verdict and D2–D5 of recorded runs
#[derive(Parser)]
struct Arguments {
    /// Rows of runs (.csv or .parquet); every run in results/ when none is named
    files: Vec<PathBuf>,
}

fn main() -> ExitCode {
    match analyze(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn analyze(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let mut failed = Vec::new();
    for file in input::find(arguments.files)? {
        // One unreadable run must not hide the others, and a run's tables are printed whole or not at all.
        match Run::load(&file) {
            Ok(run) => {
                writeln!(std::io::stdout(), "{}", report::of(&run)).context("the report could not be printed")?
            }
            Err(error) => failed.push(error),
        }
    }
    for error in &failed {
        eprintln!("error: {error}");
    }
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

//! `analyze`: tables, charts and a page from recorded runs.

use std::{
    io::{IsTerminal, Write, stderr},
    path::Path,
    process::ExitCode,
};

use clap::Parser;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use shasta_analyze::{
    arguments::{Arguments, Only},
    deviations,
    input::{self, Recorded},
    output,
    run::{Error, Options, Run},
    scan::Progress,
    weighed,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match analyze(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            told(format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn analyze(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let recorded = input::find(arguments.files.clone())?;
    let options = Options { latency: arguments.latency(), skip_bad_rows: arguments.skip_bad_rows };
    if arguments.only == Some(Only::Deviations) {
        let Some(runs) = each(&recorded, &|recorded, progress| deviations::of(recorded, &options, progress)) else {
            return Ok(ExitCode::FAILURE);
        };
        return output::print(arguments, runs.concat()).map(|()| ExitCode::SUCCESS);
    }
    let Some(runs) = each(&recorded, &|recorded, progress| Run::load(recorded, &options, progress)) else {
        return Ok(ExitCode::FAILURE);
    };
    let load = |directory: &Path| {
        let recorded = input::in_directory(directory)?;
        Ok(recorded.iter().map(|recorded| Run::load(recorded, &options, &|_| ())).collect::<Result<_, _>>()?)
    };
    let mut blocks = weighed::repetitions(&runs);
    if !arguments.compare.is_empty() {
        blocks.extend(weighed::arms(&arguments.compare, &runs, &load)?);
    }
    let mut code = 0;
    if let (Some(baseline), Some(allowed)) = (&arguments.baseline, arguments.max_regression) {
        let weighed = weighed::against(baseline, allowed, &runs, &load)?;
        blocks.extend(weighed.blocks);
        code = weighed.exit_code;
    }
    let written = output::all(arguments, &runs, &blocks)?;
    if !written.is_empty() {
        told(output::told(&written, &arguments.out));
    }
    Ok(ExitCode::from(code))
}

/// Does something with each run. None when it failed with one: each failure is told, and nothing is made of the rest,
/// since a page without a run that was asked for would mislead.
fn each<T>(recorded: &[Recorded], read: &dyn Fn(&Recorded, Progress) -> Result<T, Error>) -> Option<Vec<T>> {
    let progress = progress(recorded);
    let read = recorded.iter().map(|recorded| {
        progress.set_message(recorded.name.clone());
        let read = read(recorded, &|bytes| progress.inc(bytes));
        read.inspect_err(|error| progress.suspend(|| told(format!("error: {error}")))).ok()
    });
    // Collected twice, so that the failure of one run does not hide another's.
    let all: Vec<Option<T>> = read.collect();
    progress.finish_and_clear();
    all.into_iter().collect()
}

/// How far the files have been read, on a terminal.
fn progress(recorded: &[Recorded]) -> ProgressBar {
    let hidden = !stderr().is_terminal();
    let target = if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(recorded.iter().map(Recorded::bytes).sum()), target);
    let style = ProgressStyle::with_template("{wide_bar} {bytes} of {total_bytes} {msg}");
    if let Ok(style) = style { bar.with_style(style) } else { bar }
}

/// To stderr, which may be closed.
fn told(line: String) {
    let _ = writeln!(stderr(), "{line}");
}

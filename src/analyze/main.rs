//! `analyze`: tables, charts and a page from recorded runs.

use std::{
    io::{IsTerminal, Write, stderr},
    path::Path,
    process::ExitCode,
};

use clap::Parser;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use shasta_analyze::{
    arguments::Arguments,
    input::{self, Recorded},
    output,
    run::{Options, Run},
    weighed,
};

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
    let mut runs = Vec::new();
    let mut failed = Vec::new();
    let progress = progress(&recorded);
    for recorded in &recorded {
        progress.set_message(recorded.name.clone());
        match Run::load(recorded, &options, &|bytes| progress.inc(bytes)) {
            Ok(run) => runs.push(run),
            Err(error) => failed.push(error),
        }
    }
    progress.finish_and_clear();
    if !failed.is_empty() {
        // Each is told, and nothing is written from the rest: a page without a run that was asked for would mislead.
        failed.iter().for_each(|error| told(format!("error: {error}")));
        return Ok(ExitCode::FAILURE);
    }
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

//! The program: arguments in, an exit code out. It says what it says through [`Screen`], so that tests can read it.

use std::{
    fmt,
    io::{self, Write},
    path::Path,
};

use indicatif::ProgressBar;

use crate::{
    arguments::{Arguments, Only},
    deviations,
    input::{self, Recorded},
    output,
    render::splice,
    run::{Error, Options, Run},
    run_comparison,
    scan::Progress,
};
use shasta_model::atomic_file;

/// All went well, INVALID runs included: that is a finding, told in words.
pub const DONE: u8 = 0;
/// A file cannot be read, analyzed or written.
pub const FAILED: u8 = 1;

/// Where the program speaks.
pub struct Screen<'a> {
    /// Tables.
    pub out: &'a mut dyn Write,
    /// Whether people read the tables, on a terminal.
    pub is_terminal: bool,
    /// Errors, and what was written.
    pub err: &'a mut dyn Write,
    /// How far the files have been read.
    pub bar: ProgressBar,
}

impl Screen<'_> {
    /// To those who watch, if there are any.
    fn tell(&mut self, line: impl fmt::Display) {
        let Self { err, bar, .. } = self;
        let _ = bar.suspend(|| writeln!(err, "{line}"));
    }
}

/// Reads the runs, and prints and writes what was asked for; returns the exit code. What fails is told on `screen.err`.
pub fn run(arguments: &Arguments, screen: &mut Screen) -> u8 {
    let prepared = input::find(arguments.files.clone()).map_err(anyhow::Error::from).and_then(|recorded| {
        can_write(arguments)?;
        Ok(recorded)
    });
    match prepared.and_then(|recorded| analyze(arguments, &recorded, screen)) {
        Ok(code) => code,
        // Messages hold their causes.
        Err(error) => {
            screen.tell(format_args!("error: {error}"));
            FAILED
        }
    }
}

/// Finds out before hours of rows are read what would be in the way after them.
fn can_write(arguments: &Arguments) -> anyhow::Result<()> {
    if let Some(file) = &arguments.splice {
        splice::check(file)?;
    }
    if arguments.only != Some(Only::Deviations) {
        atomic_file::check_directory(&arguments.out)?;
    }
    Ok(())
}

fn analyze(arguments: &Arguments, recorded: &[Recorded], screen: &mut Screen) -> anyhow::Result<u8> {
    let options = Options { latency: arguments.latency(), skip_bad_rows: arguments.skip_bad_rows };
    if arguments.only == Some(Only::Deviations) {
        let read = |recorded: &Recorded, progress: Progress| deviations::of(recorded, &options, progress);
        let Some(runs) = each(recorded, screen, &read) else { return Ok(FAILED) };
        return output::print(arguments, screen, runs.concat()).map(|()| DONE);
    }
    let read = |recorded: &Recorded, progress: Progress| Run::load(recorded, &options, progress);
    let Some(runs) = each(recorded, screen, &read) else { return Ok(FAILED) };
    let load = |directory: &Path| {
        let recorded = input::in_directory(directory)?;
        Ok(recorded.iter().map(|recorded| read(recorded, &|_| ())).collect::<Result<_, _>>()?)
    };
    let mut blocks = run_comparison::repetitions(&runs);
    if !arguments.compare.is_empty() {
        blocks.extend(run_comparison::arms(&arguments.compare, &runs, &load)?);
    }
    let mut code = DONE;
    if let (Some(baseline), Some(allowed)) = (&arguments.baseline, arguments.max_regression) {
        let weighed = run_comparison::against(baseline, allowed, &runs, &load)?;
        blocks.extend(weighed.blocks);
        code = weighed.exit_code;
    }
    let written = output::all(arguments, screen, &runs, &blocks)?;
    if !written.is_empty() {
        screen.tell(output::told(&written, &arguments.out));
    }
    Ok(code)
}

/// Does something with each run. None when it failed with one: each failure is told, and nothing is made of the rest,
/// since a page without a run that was asked for would mislead.
fn each<T>(
    recorded: &[Recorded],
    screen: &mut Screen,
    read: &dyn Fn(&Recorded, Progress) -> Result<T, Error>,
) -> Option<Vec<T>> {
    let bar = screen.bar.clone();
    bar.set_length(recorded.iter().map(Recorded::bytes).sum());
    let read = recorded.iter().map(|recorded| {
        bar.set_message(recorded.name.clone());
        let read = read(recorded, &|bytes| bar.inc(bytes));
        read.inspect_err(|error| screen.tell(format_args!("error: {error}"))).ok()
    });
    // Collected twice, so that the failure of one run does not hide another's.
    let all: Vec<Option<T>> = read.collect();
    bar.finish_and_clear();
    all.into_iter().collect()
}

/// Prints to `out`; those who closed it have read enough, and files are written all the same.
///
/// # Errors
/// What else may happen, such as a full disk.
pub fn print(out: &mut dyn Write, text: &str) -> io::Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

//! `analyze`: tables, charts and a page from recorded runs.

use std::{
    env::args_os,
    io::{IsTerminal, stderr, stdout},
    process::ExitCode,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use shasta_analyze::{
    arguments::Arguments,
    program::{Screen, run},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::checked(args_os()).unwrap_or_else(|error| error.exit());
    let mut screen =
        Screen { is_terminal: stdout().is_terminal(), out: &mut stdout(), err: &mut stderr(), bar: progress() };
    ExitCode::from(run(&arguments, &mut screen))
}

/// How far the files have been read, on a terminal.
fn progress() -> ProgressBar {
    let hidden = !stderr().is_terminal();
    let target = if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(None, target);
    let style = ProgressStyle::with_template("{wide_bar} {bytes} of {total_bytes} {msg}");
    if let Ok(style) = style { bar.with_style(style) } else { bar }
}

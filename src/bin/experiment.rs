//! `experiment`: command line → command → exit code.

use std::process::ExitCode;

use clap::Parser;
use shasta::{
    cli::{
        arguments::{CommandLine, Role},
        commands,
        exit::Exit,
        log,
    },
    cluster::ClusterError,
    output::terminal::{say, with_causes},
    run::{RunError, reader_process},
    worker,
};
use shasta_reader::tls;

fn main() -> ExitCode {
    log::show();
    tls::install_provider();
    let line = CommandLine::parse();
    let done = match line.run.role {
        Role::Worker => worker::main().map(|()| Exit::Done).map_err(anyhow::Error::from),
        Role::Reader => reader_process::main().map(|()| Exit::Done).map_err(anyhow::Error::from),
        Role::Parent => commands::perform(line),
    };
    ExitCode::from(done.unwrap_or_else(|error| {
        say(format_args!("error: {}", with_causes(error.chain())));
        let interrupted = error.downcast_ref().is_some_and(RunError::is_interrupted)
            || matches!(error.downcast_ref(), Some(ClusterError::Interrupted));
        if interrupted { Exit::Interrupted } else { Exit::Failed }
    }))
}

//! `experiment`: arguments → run → print.

use std::{fs::File, io::Write, process::ExitCode, time::Duration};

use anyhow::Context;
use clap::Parser;
use shasta::{
    arguments::{Arguments, Role, shown},
    live::Live,
    run::{Finished, Request, RunError, Stop, run},
    screen::Screen,
    slo::Verdict,
    variant::{self, Variant},
    worker,
};

const FAILED: u8 = 1;
const MISSED: u8 = 3;
const NOT_RESOLVABLE: u8 = 5;
const INVALID: u8 = 6;
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn,rskafka=off".into()),
        )
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
    let arguments = Arguments::parse();
    let done = match arguments.role {
        Role::Worker => worker::main().map(|()| ExitCode::SUCCESS).map_err(anyhow::Error::from),
        Role::Parent if arguments.list => list(),
        Role::Parent => experiments(&arguments),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        let interrupted = matches!(error.downcast_ref(), Some(RunError::Interrupted));
        ExitCode::from(if interrupted { INTERRUPTED } else { FAILED })
    })
}

fn list() -> anyhow::Result<ExitCode> {
    for (name, variant) in variant::list()? {
        println!("{name:<20} {}", variant.question);
    }
    Ok(ExitCode::SUCCESS)
}

fn experiments(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let load = |name: &String| Variant::load(name, &arguments.overrides);
    let variants = arguments.variant.iter().map(load).collect::<Result<Vec<_>, _>>()?;
    if arguments.show {
        variants.iter().for_each(|(_, variant)| print!("{}", variant.to_toml()));
        return Ok(ExitCode::SUCCESS);
    }
    anyhow::ensure!(
        variants.len() == 1 || arguments.run.is_none(),
        "--run names one run; leave it out for several variants"
    );
    let stop = Stop::default();
    stop_on_signals(stop.clone())?;
    let mut worst = 0;
    for (name, variant) in variants {
        let finished = run(&request(arguments, name, variant)?, &stop, &Live::default())?;
        let Finished { manifest, verdict, files: [rows, json] } = &finished;
        print!("{}", Screen { manifest, verdict });
        println!("wrote {} and {}", rows.display(), json.display());
        if let Some(file) = &arguments.rows_to {
            let opened = File::options().create(true).append(true).open(file);
            let written = opened.and_then(|mut file| writeln!(file, "{}", rows.display()));
            written.with_context(|| format!("--rows-to {}", file.display()))?;
        }
        if stop.requested() {
            return Ok(ExitCode::from(INTERRUPTED));
        }
        worst = worst.max(code(&finished, arguments.assert_slo));
    }
    Ok(ExitCode::from(worst))
}

fn request(arguments: &Arguments, name: String, variant: Variant) -> anyhow::Result<Request> {
    Ok(Request {
        name,
        variant,
        run: arguments.run.clone(),
        out: arguments.out.clone(),
        format: arguments.format,
        addresses: arguments.addresses.clone(),
        keep_cluster: arguments.keep_cluster,
        reuse_redis: arguments.reuse_redis,
        program: std::env::current_exe()
            .context("the program does not know its own path, which workers are started from")?,
        command_line: shown(std::env::args()),
    })
}

fn code(finished: &Finished, assert_slo: bool) -> u8 {
    match finished.verdict {
        _ if !finished.manifest.ledger.valid => INVALID,
        Verdict::Missed if assert_slo => MISSED,
        Verdict::NotResolvable if assert_slo => NOT_RESOLVABLE,
        _ => 0,
    }
}

/// The first Ctrl-C or SIGTERM lets the run drain; a second one ends it at once, and the system takes the children along.
/// Some senders signal a process and its group, so what comes together is one wish.
fn stop_on_signals(stop: Stop) -> anyhow::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "the user insists, and children die with this process anyway")]
    let ask = move || {
        if stop.request() > Duration::from_secs(1) {
            std::process::exit(INTERRUPTED.into());
        }
    };
    ctrlc::set_handler(ask).context("signals cannot be handled here")
}

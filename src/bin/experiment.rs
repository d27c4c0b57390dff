//! `experiment`: arguments → run → print.

use std::{fs::File, io::Write, process::ExitCode};

use anyhow::Context;
use clap::Parser;
use shasta::{
    arguments::{Arguments, Role, shown},
    audience,
    campaign::{self, Book, Campaign},
    fault,
    live::Live,
    output::{self, print, say, with_causes},
    run::{Finished, Request, RunError, Stop, run},
    screen::Screen,
    search::{self, Search},
    slo::Verdict,
    variant::{self, Layer, Variant},
    worker,
};

const FAILED: u8 = 1;
const MISSED: u8 = 3;
const NOT_RESOLVABLE: u8 = 5;
const INVALID: u8 = 6;
const DAMAGED: u8 = 7;
const INTERRUPTED: u8 = 130;
const UNPRINTED: &str = "the output could not be printed";

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn,rskafka=off".into()),
        )
        .with_writer(std::io::stderr)
        .with_ansi(output::colours())
        // It would say on standard error, with a panic, that standard error is closed.
        .log_internal_errors(false)
        .with_target(false)
        .init();
    let arguments = Arguments::parse();
    let done = match arguments.role {
        Role::Worker => worker::main().map(|()| ExitCode::SUCCESS).map_err(anyhow::Error::from),
        Role::Reader => audience::main().map(|()| ExitCode::SUCCESS).map_err(anyhow::Error::from),
        Role::Parent if arguments.list => list(),
        Role::Parent if arguments.campaign.is_some() => campaign(&arguments),
        Role::Parent => experiments(&arguments),
    };
    done.unwrap_or_else(|error| {
        say(format_args!("error: {}", with_causes(error.chain())));
        let interrupted = error.downcast_ref().is_some_and(RunError::is_interrupted);
        ExitCode::from(if interrupted { INTERRUPTED } else { FAILED })
    })
}

fn list() -> anyhow::Result<ExitCode> {
    let line = |(name, variant): (String, Variant)| format!("{name:<20} {}\n", variant.question);
    print(variant::list()?.into_iter().map(line).collect::<String>()).context(UNPRINTED)?;
    Ok(ExitCode::SUCCESS)
}

/// A variant, with the faults of a seed where one is given.
fn load(name: &str, arguments: &Arguments) -> anyhow::Result<(String, Variant)> {
    let (name_shown, variant) = Variant::load(name, &arguments.overrides)?;
    let Some(seed) = arguments.faults_from_seed else { return Ok((name_shown, variant)) };
    let faults = fault::from_seed(seed, &variant);
    anyhow::ensure!(!faults.is_empty(), "--faults-from-seed {seed}: the window is too short; give a longer --duration");
    say(format_args!("seed {seed} gives {}", fault::Flags(&faults)));
    Ok(Variant::load(name, &Layer { fault: Some(faults), ..arguments.overrides.clone() })?)
}

fn experiments(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let variants = arguments.variant.iter().map(|name| load(name, arguments)).collect::<Result<Vec<_>, _>>()?;
    if arguments.show {
        print(variants.iter().map(|(_, variant)| variant.to_toml()).collect::<String>()).context(UNPRINTED)?;
        return Ok(ExitCode::SUCCESS);
    }
    anyhow::ensure!(
        variants.len() == 1 || arguments.run.is_none(),
        "--run names one run; leave it out for several variants"
    );
    if let Some(search) = &arguments.search {
        return self::search(search, arguments, variants);
    }
    let stop = Stop::default();
    stop_on_signals(stop.clone())?;
    let mut worst = 0;
    for (name, variant) in variants {
        let finished = run(&request(arguments, name, variant)?, &stop, &Live::default())?;
        report(&finished);
        let rows = &finished.files[0];
        if let Some(file) = &arguments.rows_to
            && rows.exists()
        {
            let opened = File::options().create(true).append(true).open(file);
            let written = opened.and_then(|mut file| writeln!(file, "{}", rows.display()));
            written.with_context(|| format!("--rows-to {}", file.display()))?;
        }
        let code = code(&finished, arguments.assert_slo);
        if stop.requested() {
            return Ok(ExitCode::from(if code == DAMAGED { DAMAGED } else { INTERRUPTED }));
        }
        worst = worst.max(code);
    }
    Ok(ExitCode::from(worst))
}

fn campaign(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let path = arguments.campaign.as_deref().context("--campaign names no file")?;
    let campaign = Campaign::load(path, &arguments.overrides)?;
    let stop = Stop::default();
    stop_on_signals(stop.clone())?;
    let book = if arguments.table {
        Book::read(&campaign, &arguments.out)?
    } else {
        let like = request(arguments, String::new(), campaign.arms[0].variant.clone())?;
        campaign::perform(&campaign, &like, &stop, &Live::default())?
    };
    let table = campaign::perform::write(&campaign, &book, &arguments.out)?;
    print(campaign::table::markdown(&campaign, &book, &arguments.out)).context(UNPRINTED)?;
    say(format_args!("wrote {}", table.display()));
    Ok(ExitCode::from(match book.without(&campaign) {
        _ if stop.requested() => INTERRUPTED,
        Some(without) if !arguments.table => {
            say(format_args!("INVALID: {without}"));
            INVALID
        }
        _ => 0,
    }))
}

fn search(search: &Search, arguments: &Arguments, mut variants: Vec<(String, Variant)>) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(variants.len() == 1, "--search varies one variant; name only one");
    let (name, variant) = variants.remove(0);
    let stop = Stop::default();
    stop_on_signals(stop.clone())?;
    let resolve = |step: &Layer| {
        Variant::load_with(&arguments.variant[0], &[&arguments.overrides, step]).map(|(_, variant)| variant)
    };
    let like = request(arguments, name, variant)?;
    let (found, path) = search::perform(search, &like, &resolve, &stop, &Live::default())?;
    print(found.markdown()).context(UNPRINTED)?;
    say(format_args!("wrote {}", path.display()));
    Ok(ExitCode::from(if found.interrupted() { INTERRUPTED } else { 0 }))
}

/// The run is over and written down: that it cannot be shown changes neither.
fn report(finished: &Finished) {
    let Finished { manifest, verdict, files: [rows, json], unwritten } = finished;
    let printed = print(Screen { manifest, verdict }).and_then(|()| match unwritten {
        None if rows.exists() => print(format_args!("wrote {} and {}\n", rows.display(), json.display())),
        None => print(format_args!("wrote {}\n", json.display())),
        Some(_) if rows.exists() => print(format_args!("wrote {}, and no manifest\n", rows.display())),
        Some(_) => print("wrote nothing that is still there\n"),
    });
    if let Err(error) = printed {
        say(format_args!("error: {UNPRINTED}: {error}"));
    }
    if let Some(error) = unwritten {
        say(format_args!("error: the manifest is missing, and the tables above are all that is left of it: {error}"));
    }
}

fn request(arguments: &Arguments, name: String, variant: Variant) -> anyhow::Result<Request> {
    Ok(Request {
        name,
        variant,
        run: arguments.run.clone(),
        out: arguments.out.clone(),
        format: arguments.format,
        keep_rows: true,
        addresses: arguments.addresses.clone(),
        verify: arguments.verify,
        overload: arguments.overload || arguments.campaign.is_some() || arguments.search.is_some(),
        keep_cluster: arguments.keep_cluster,
        reuse_redis: arguments.reuse_redis,
        program: std::env::current_exe()
            .context("the program does not know its own path, which workers are started from")?,
        command_line: shown(std::env::args()),
    })
}

fn code(finished: &Finished, assert_slo: bool) -> u8 {
    let verification = finished.manifest.verification.as_ref();
    match finished.verdict {
        _ if verification.is_some_and(|check| !check.passed && !check.given_up) => DAMAGED,
        _ if !finished.manifest.ledger.valid => INVALID,
        _ if finished.unwritten.is_some() => FAILED,
        Verdict::Missed if assert_slo => MISSED,
        Verdict::NotResolvable if assert_slo => NOT_RESOLVABLE,
        _ => 0,
    }
}

/// The first Ctrl-C or SIGTERM lets the run drain, a second one gives that up; one that finds nothing to give up ends the
/// process at once, and the system takes the children along.
fn stop_on_signals(stop: Stop) -> anyhow::Result<()> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the user insists, children die with this process anyway, and containers are gone"
    )]
    let ask = move || {
        if stop.request() {
            shasta::cluster::end_at_once();
            std::process::exit(INTERRUPTED.into());
        }
    };
    ctrlc::set_handler(ask).context("signals cannot be handled here")
}

//! `experiment`: arguments → run → print.

use std::{io, path::Path, process::ExitCode};

use anyhow::{bail, ensure};
use clap::Parser;
use shasta::{
    cli::{
        arguments::{Arguments, Role},
        exit::{Exit, stop_on_signals},
        log, screen,
    },
    output::{
        progress::Progress,
        terminal::{print, say, with_causes},
    },
    run::{RunError, reader_process, run},
    study::{
        campaign::{self, Campaign, CampaignError, Journal},
        search::{self, Search},
    },
    variant::{self, Layer, Variant},
    worker,
};
use shasta_reader::tls;

fn main() -> ExitCode {
    log::show();
    tls::install_provider();
    let arguments = Arguments::parse();
    let done = match arguments.role {
        Role::Worker => worker::main().map(|()| Exit::Done).map_err(anyhow::Error::from),
        Role::Reader => reader_process::main().map(|()| Exit::Done).map_err(anyhow::Error::from),
        Role::Parent => parent(&arguments),
    };
    ExitCode::from(done.unwrap_or_else(|error| {
        say(format_args!("error: {}", with_causes(error.chain())));
        let interrupted = error.downcast_ref().is_some_and(RunError::is_interrupted);
        if interrupted { Exit::Interrupted } else { Exit::Failed }
    }))
}

fn parent(arguments: &Arguments) -> anyhow::Result<Exit> {
    if arguments.list {
        let line = |(name, variant): (String, Variant)| format!("{name:<20} {}\n", variant.question);
        print(variant::list()?.into_iter().map(line).collect::<String>())?;
        return Ok(Exit::Done);
    }
    if let Some(path) = &arguments.campaign {
        return campaign(path, arguments);
    }
    let variants = arguments.variants()?;
    if arguments.show {
        print(variants.iter().map(|(_, variant)| variant.to_toml()).collect::<String>())?;
        return Ok(Exit::Done);
    }
    ensure!(variants.len() == 1 || arguments.run.is_none(), "--run names one run; leave it out for several variants");
    match &arguments.search {
        Some(search) => self::search(search, arguments, variants),
        None => experiments(arguments, variants),
    }
}

fn experiments(arguments: &Arguments, variants: Vec<(String, Variant)>) -> anyhow::Result<Exit> {
    let stop = stop_on_signals()?;
    let mut worst = Exit::Done;
    for (name, variant) in variants {
        let finished = run(&arguments.request(name, variant)?, &stop, &Progress::default())?;
        screen::report(&finished);
        arguments.note_rows(&finished.files[0])?;
        let exit = Exit::of(&finished, arguments.assert_slo, &stop);
        if stop.requested() {
            return Ok(exit);
        }
        worst = worst.max(exit);
    }
    Ok(worst)
}

fn campaign(path: &Path, arguments: &Arguments) -> anyhow::Result<Exit> {
    let campaign = Campaign::load(path, &arguments.overrides)?;
    if arguments.show {
        print(
            campaign.arms.iter().map(|arm| format!("# {}\n{}", arm.name, arm.variant.to_toml())).collect::<String>(),
        )?;
        return Ok(Exit::Done);
    }
    if arguments.table {
        let journal = match Journal::read(&campaign, &arguments.out) {
            Err(CampaignError::File { path, source }) if source.kind() == io::ErrorKind::NotFound => {
                bail!("{}: no run of this campaign has been made yet; leave --table out to begin it", path.display())
            }
            read => read?,
        };
        campaign::report(&campaign, &journal, &arguments.out, arguments.splice.as_deref())?;
        return Ok(Exit::Done);
    }
    let stop = stop_on_signals()?;
    let like = arguments.request(String::new(), campaign.arms[0].variant.clone())?;
    let journal = campaign::perform(&campaign, &like, &stop, &Progress::default())?;
    campaign::report(&campaign, &journal, &arguments.out, None)?;
    if stop.requested() {
        return Ok(Exit::Interrupted);
    }
    let Some(without) = journal.without(&campaign) else { return Ok(Exit::Done) };
    say(format_args!("INVALID: {without}"));
    Ok(Exit::Invalid)
}

fn search(search: &Search, arguments: &Arguments, mut variants: Vec<(String, Variant)>) -> anyhow::Result<Exit> {
    ensure!(variants.len() == 1, "--search varies one variant; name only one");
    let (name, variant) = variants.remove(0);
    let on_top = |step: &Layer| Variant::load_with(&arguments.variant[0], &[&arguments.overrides, step]);
    let stop = stop_on_signals()?;
    let like = arguments.request(name, variant)?;
    let found = search::perform(search, &like, &|step| Ok(on_top(step)?.1), &stop, &Progress::default())?;
    found.report()?;
    Ok(if found.interrupted() { Exit::Interrupted } else { Exit::Done })
}

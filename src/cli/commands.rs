//! What `experiment` does for each command.

use std::{io, path::Path};

use anyhow::{bail, ensure};
use clap::CommandFactory;

use super::{
    arguments::{Arguments, ClusterCommand, Command, CommandLine, ShowArguments},
    cluster_commands,
    exit::{Exit, stop_on_signals},
    screen,
};
use crate::{
    output::{
        progress::Progress,
        terminal::{print, say},
    },
    run,
    study::{
        campaign::{self, Campaign, CampaignError, Journal},
        search::{self, Search},
    },
    variant::{self, Layer, Variant},
};

/// Does what a command line asks for; without a command, that is a run.
///
/// # Errors
/// What was asked for cannot be done.
pub fn perform(line: CommandLine) -> anyhow::Result<Exit> {
    match line.command {
        None => run(&line.run),
        Some(Command::Run(arguments)) => run(&arguments),
        Some(Command::List) => list(),
        Some(Command::Show(asked)) => {
            let ShowArguments { variant, campaign, overrides } = *asked;
            if let Some(path) = campaign {
                return show_arms(&Campaign::load(&path, &overrides)?);
            }
            let variants: Result<Vec<_>, _> = variant.iter().map(|name| Variant::load(name, &overrides)).collect();
            show(&variants?)
        }
        Some(Command::Cluster { command: ClusterCommand::Up(up) }) => cluster_commands::up(&up),
        Some(Command::Cluster { command: ClusterCommand::Down { dir } }) => cluster_commands::down(&dir),
        Some(Command::Cluster { command: ClusterCommand::List }) => cluster_commands::list(),
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut CommandLine::command(), "experiment", &mut script);
            print(String::from_utf8_lossy(&script))?;
            Ok(Exit::Done)
        }
        Some(Command::Man) => {
            let mut page = Vec::new();
            clap_mangen::Man::new(CommandLine::command()).render(&mut page)?;
            print(String::from_utf8_lossy(&page))?;
            Ok(Exit::Done)
        }
    }
}

fn list() -> anyhow::Result<Exit> {
    let line = |(name, variant): (String, Variant)| format!("{name:<20} {}\n", variant.question);
    print(variant::list()?.into_iter().map(line).collect::<String>())?;
    Ok(Exit::Done)
}

fn show(variants: &[(String, Variant)]) -> anyhow::Result<Exit> {
    print(variants.iter().map(|(_, variant)| variant.to_toml()).collect::<String>())?;
    Ok(Exit::Done)
}

fn show_arms(campaign: &Campaign) -> anyhow::Result<Exit> {
    print(campaign.arms.iter().map(|arm| format!("# {}\n{}", arm.name, arm.variant.to_toml())).collect::<String>())?;
    Ok(Exit::Done)
}

fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    if arguments.list {
        return list();
    }
    if let Some(path) = &arguments.campaign {
        return campaign(path, arguments);
    }
    let variants = arguments.variants()?;
    if arguments.show {
        return show(&variants);
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
        let finished = run::run(&arguments.request(name, variant)?, &stop, &Progress::default())?;
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
        return show_arms(&campaign);
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

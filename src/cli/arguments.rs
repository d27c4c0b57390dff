//! The command line of `experiment`.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{
    cluster::{Addresses, redacted},
    output::{rows::Format, terminal::say},
    run::Request,
    study::search::Search,
    variant::{self, Layer, Variant, VariantError},
};

const EXAMPLES: &str = "\
Examples:
  experiment                                        variant laptop on a local cluster
  experiment list                                   all variants, and what each asks
  experiment show goal --partitions 256             a variant, resolved, as TOML
  experiment --variant goal --duration 60s --verify
  experiment --cluster external --bootstrap HOST:9092 --redis redis://HOST:6379
  experiment --search 'connections until p99.99 > 100ms'
  experiment cluster up                             a local cluster that stays up

Exit codes:
  0    done                                1  it could not be done, and says why
  2    the command line is wrong           3  the SLO was missed (--assert-slo)
  5    too few events to tell (--assert-slo)
  6    INVALID: the ledger does not balance
  7    damage was found, or could not be looked for (--verify)
  130  interrupted";

/// Measures TagData → Kafka → workers → Redis under a declared load, event by event.
#[derive(Debug, Parser)]
#[command(name = "experiment", version, max_term_width = 110, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct CommandLine {
    /// What to do; without one, a run
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Of a run
    #[command(flatten)]
    pub run: Arguments,
}

/// What `experiment` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a run, which is also what happens without a command
    Run(Box<Arguments>),
    /// List the variants, and what each asks
    List,
    /// Print variants, or the arms of a campaign, resolved, as TOML
    Show(Box<ShowArguments>),
    /// Start and stop a local cluster that stays up between runs
    Cluster {
        /// What to do with it
        #[command(subcommand)]
        command: ClusterCommand,
    },
    /// Print a script that completes this command line in a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page: `experiment man | man -l -`
    Man,
}

/// What can be shown.
#[derive(Debug, Args)]
pub struct ShowArguments {
    /// Variants: names in experiments/, or TOML files
    #[arg(value_name = "NAME|FILE", default_value = variant::DEFAULT)]
    pub variant: Vec<String>,
    /// The arms of a campaign's file instead
    #[arg(long, value_name = "FILE", conflicts_with = "variant")]
    pub campaign: Option<PathBuf>,
    /// Overrides of the variant's settings
    #[command(flatten, next_help_heading = "Overrides of the variant")]
    pub overrides: Layer,
}

/// What can be done with a local cluster.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Start one as a variant wants it, and print its addresses and how to stop it
    Up(Box<UpArguments>),
    /// Stop those that were left up by `cluster up` or --keep-cluster, and remove their data
    Down {
        /// Directory of the cluster, as it was printed [default: all of this user's]
        #[arg(value_name = "DIR")]
        dir: Vec<PathBuf>,
    },
    /// List those that are up
    List,
}

/// The cluster to start.
#[derive(Debug, Args)]
pub struct UpArguments {
    /// Variant: a name in experiments/, or a TOML file
    #[arg(long, value_name = "NAME|FILE", default_value = variant::DEFAULT)]
    pub variant: String,
    /// Overrides of the variant's settings
    #[command(flatten, next_help_heading = "Overrides of the variant")]
    pub overrides: Layer,
}

/// What a run is made by.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Variant: a name in experiments/, or a TOML file; several run one after the other
    #[arg(long, value_name = "NAME|FILE", default_value = variant::DEFAULT)]
    pub variant: Vec<String>,
    /// Make the runs of a campaign's file (experiments/campaigns/), or go on with them; the overrides hold for all arms
    #[arg(long, value_name = "FILE", conflicts_with_all = ["variant", "run", "keep_cluster", "faults_from_seed", "search", "verify", "assert_slo"])]
    pub campaign: Option<PathBuf>,
    /// Only make the campaign's tables again, from the recorded manifests
    #[arg(long, requires = "campaign")]
    pub table: bool,
    /// And lay the table of its arms between `<!-- campaign NAME -->` and `<!-- /campaign NAME -->` of a Markdown file
    #[arg(long, value_name = "FILE", requires = "table")]
    pub splice: Option<PathBuf>,
    /// Find where the promise breaks, such as 'connections until p99.99 > 100ms' or 'rate from 1 to 8 until p99.99 > 1s'
    #[arg(long, value_name = "SEARCH", conflicts_with_all = ["keep_cluster", "faults_from_seed", "verify", "assert_slo"])]
    pub search: Option<Search>,
    /// As the command `list`.
    #[arg(long, hide = true)]
    pub list: bool,
    /// As the command `show`.
    #[arg(long, hide = true)]
    pub show: bool,
    /// Name of the run [default: VARIANT-UTCTIME]
    #[arg(long, value_name = "NAME")]
    pub run: Option<String>,
    /// Directory for rows and manifest
    #[arg(long, value_name = "DIR", default_value = "results", value_parser = directory)]
    pub out: PathBuf,
    /// Format of the rows: CSV as streamed, or converted at the end to Parquet (the same columns, typed, zstd)
    #[arg(long, value_enum, hide_possible_values = true, value_name = "csv|parquet", default_value = "csv")]
    pub format: Format,
    /// Fail when the SLO was missed (exit code 3), is not resolvable (5), or the run is INVALID (6)
    #[arg(long)]
    pub assert_slo: bool,
    /// Read Kafka and Redis back after the run, and prove that nothing was lost, doubled or reordered (exit code 7)
    #[arg(long)]
    pub verify: bool,
    /// Run also what is more than this machine's CPU should carry (campaigns and searches always do)
    #[arg(long)]
    pub overload: bool,
    /// Leave the cluster that was started running, and print its addresses and how to stop it
    #[arg(long)]
    pub keep_cluster: bool,
    /// Faults in a random sequence that this number gives; they are printed, and take the place of the variant's
    #[arg(long, value_name = "NUMBER", conflicts_with = "fault")]
    pub faults_from_seed: Option<u64>,
    /// Accept a Redis that holds keys of earlier runs
    #[arg(long)]
    pub reuse_redis: bool,
    /// Overrides of the variant's settings
    #[command(flatten, next_help_heading = "Overrides of the variant")]
    pub overrides: Layer,
    /// Addresses of an external cluster
    #[command(flatten, next_help_heading = "External cluster")]
    pub addresses: Addresses,
    /// A file that the path of each run's rows is added to, for scripts.
    #[arg(long, value_name = "FILE", hide = true)]
    pub rows_to: Option<PathBuf>,
    /// What this process is.
    #[arg(long, value_enum, hide = true, default_value = "parent")]
    pub role: Role,
}

/// What a process of a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// It runs experiments.
    Parent,
    /// It is one worker of a run.
    Worker,
    /// It is all readers of a run.
    Reader,
}

/// What was asked for cannot be.
#[derive(Debug, thiserror::Error)]
pub enum ArgumentsError {
    /// A variant does not load.
    #[error(transparent)]
    Variant(#[from] VariantError),
    /// No fault fits into the window.
    #[error("--faults-from-seed {0}: the window is too short; give a longer --duration")]
    Short(u64),
    /// Workers could not be started.
    #[error("the program does not know its own path, which workers are started from: {0}")]
    Program(io::Error),
    /// The file that lists rows cannot be written.
    #[error("--rows-to {path}: {source}", path = .path.display())]
    RowsTo {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Arguments {
    /// The variants that are asked for with their names, overrides and the faults of a seed laid over each.
    ///
    /// # Errors
    /// One does not load, or has no time for the faults.
    pub fn variants(&self) -> Result<Vec<(String, Variant)>, ArgumentsError> {
        self.variant.iter().map(|name| self.load(name)).collect()
    }

    fn load(&self, name: &str) -> Result<(String, Variant), ArgumentsError> {
        let (name_shown, variant) = Variant::load(name, &self.overrides)?;
        let Some(seed) = self.faults_from_seed else { return Ok((name_shown, variant)) };
        let faults = variant::fault::from_seed(seed, &variant);
        if faults.is_empty() {
            return Err(ArgumentsError::Short(seed));
        }
        say(format_args!("seed {seed} gives {}", variant::fault::Flags(&faults)));
        Ok(Variant::load(name, &Layer { fault: Some(faults), ..self.overrides.clone() })?)
    }

    /// A run of a variant.
    ///
    /// # Errors
    /// The program does not know where it is.
    pub fn request(&self, name: String, variant: Variant) -> Result<Request, ArgumentsError> {
        let mut overrides = self.overrides.given();
        if self.faults_from_seed.is_some() {
            overrides.extend(Layer { fault: Some(variant.fault.clone()), ..Layer::default() }.given());
        }
        Ok(Request {
            name,
            variant,
            overrides,
            run: self.run.clone(),
            out: self.out.clone(),
            format: self.format,
            keep_rows: true,
            addresses: self.addresses.clone(),
            verify: self.verify,
            overload: self.overload || self.campaign.is_some() || self.search.is_some(),
            keep_cluster: self.keep_cluster,
            reuse_redis: self.reuse_redis,
            program: std::env::current_exe().map_err(ArgumentsError::Program)?,
            command_line: command_line(),
        })
    }

    /// Adds a file of rows, where there is one, to the list that a script wants.
    ///
    /// # Errors
    /// Those of writing.
    pub fn note_rows(&self, rows: &Path) -> Result<(), ArgumentsError> {
        let Some(path) = self.rows_to.clone().filter(|_| rows.exists()) else { return Ok(()) };
        let opened = File::options().create(true).append(true).open(&path);
        let noted = opened.and_then(|mut file| writeln!(file, "{}", rows.display()));
        noted.map_err(|source| ArgumentsError::RowsTo { path, source })
    }
}

/// A directory that is there or can be made: nothing on the way to it is a file.
fn directory(path: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(path);
    match path.ancestors().find(|part| part.exists()) {
        Some(file) if !file.is_dir() => Err(format!("{} is a file; name a directory", file.display())),
        _ => Ok(path),
    }
}

/// This process's command line as the manifest keeps it: the program by its name, wherever it lies.
fn command_line() -> Vec<String> {
    let mut arguments = std::env::args();
    let program = arguments.next().map(PathBuf::from).unwrap_or_default();
    let name = program.file_name().map(|name| name.to_string_lossy().into_owned());
    shown(name.into_iter().chain(arguments))
}

/// A command line without passwords.
pub fn shown(arguments: impl Iterator<Item = String>) -> Vec<String> {
    arguments.map(|argument| if argument.contains("://") { redacted(&argument) } else { argument }).collect()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn help_reads_as_it_was_reviewed() {
        let mut command = CommandLine::command();
        insta::assert_snapshot!("help", command.render_long_help());
        command.build();
        for name in ["show", "cluster"] {
            let sub = command.find_subcommand_mut(name).unwrap();
            insta::assert_snapshot!(format!("help-{name}"), sub.render_help());
        }
    }

    #[test]
    fn what_exists_goes_on_without_a_command() {
        let parsed = |line: &str| CommandLine::try_parse_from(line.split(' ')).unwrap();
        let line = parsed("experiment --variant goal --partitions 24 --verify");
        assert!(line.command.is_none() && line.run.verify && line.run.variant == ["goal"]);
        assert!(
            matches!(parsed("experiment run --variant goal").command, Some(Command::Run(run)) if run.variant == ["goal"])
        );
        assert!(parsed("experiment --list").run.list && parsed("experiment --variant 8xlarge --show").run.show);
        assert!(CommandLine::try_parse_from(["experiment", "--verify", "list"]).is_err());
    }
}

//! A campaign: several variants, each run several times, in an order drawn from a seed, so that whatever drifts (the
//! machine, the hour) falls on all of them alike. What is expected, and which runs count, stands in its file before the
//! first run; the runs that have been made stand in its [`journal`], so that it can be taken up again. Its [`table`] is made
//! from the recorded manifests.

pub mod file;
pub mod journal;
pub mod pooled;
pub mod recorded_run;
pub mod rounds;
pub mod run_order;
pub mod runner;
pub mod splice;
pub mod table;
pub mod validity;

use std::path::PathBuf;

pub use self::{
    file::{Arm, Campaign},
    journal::{Journal, State, TRIES_MAX},
    rounds::{Outcome, make_runs},
    runner::{perform, report},
};
use crate::{
    output::terminal::Unprinted,
    variant::{Span, VariantError},
};

/// Why a campaign does not begin, or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum CampaignError {
    /// Its file, or its journal, cannot be read or written.
    #[error("{path}: {source}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A run counts whose manifest is gone or damaged.
    #[error("{what}; run `{run}` counts by it: put it back, or remove the run's entry from {journal}, and it is made again", journal = .journal.display())]
    Lost {
        /// The manifest, and what is wrong with it.
        what: String,
        /// The run.
        run: String,
        /// The journal that has it.
        journal: PathBuf,
    },
    /// Another process holds the directory of its runs.
    #[error("{path}: another process is making this campaign; wait until it ends, or end it", path = .0.display())]
    Busy(PathBuf),
    /// The file is far larger than any campaign.
    #[error("{path} is over {bytes_max} bytes, too large for a campaign; is it the right file?", path = .path.display())]
    Large {
        /// The file.
        path: PathBuf,
        /// Largest size that is read.
        bytes_max: u64,
    },
    /// It is not TOML, or not a campaign.
    #[error("{path}:{line}: {message}", path = .path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// It has a key that no campaign has.
    #[error(transparent)]
    UnknownKey(Box<VariantError>),
    /// A value is out of range.
    #[error("{path}: {key}: must be {must}", path = .path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What would be right.
        must: String,
    },
    /// One of its arms does not load.
    #[error("{path}: arm `{name}`: {source}", path = .path.display())]
    Variant {
        /// The file.
        path: PathBuf,
        /// The arm.
        name: String,
        /// Why not.
        source: Box<VariantError>,
    },
    /// A name comes twice.
    #[error("{path}: two arms are named `{name}`; repetitions are counted by `runs`", path = .path.display())]
    Repeated {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// Two names of one thing.
    #[error("{path}: `{a}` and `{b}` resolve to the same settings; a comparison of them says nothing", path = .path.display())]
    Same {
        /// The file.
        path: PathBuf,
        /// One.
        a: String,
        /// The other.
        b: String,
    },
    /// It would take too long.
    #[error(
        "{path}: {runs} runs would take about {estimate}, and `limit` is {limit}; raise it, or lower `runs` or the duration",
        path = .path.display()
    )]
    Long {
        /// The file.
        path: PathBuf,
        /// Runs to be made.
        runs: usize,
        /// What they would take.
        estimate: Span,
        /// What they may.
        limit: Span,
    },
    /// The disk is too small for its rows.
    #[error(
        "{out}: the rows of {runs} runs take about {needed_mb} MB, and {free_mb} MB are free; name another --out, or set \
         rows = \"manifest\"",
        out = .out.display()
    )]
    Disk {
        /// Where rows go.
        out: PathBuf,
        /// Runs to be made.
        runs: usize,
        /// MB of rows.
        needed_mb: u64,
        /// MB there are.
        free_mb: u64,
    },
    /// A page has no place for its table.
    #[error(
        "{page}: must have `<!-- campaign {name} -->` and after it `<!-- /campaign {name} -->`, once and each alone on its \
         line, where the table shall stand",
        page = .page.display()
    )]
    Unmarked {
        /// The page.
        page: PathBuf,
        /// The campaign.
        name: String,
    },
    /// Nothing comes of its runs.
    #[error("{runs} runs in a row came to nothing, so the rest is not tried; the last one: {last}")]
    Failing {
        /// How many.
        runs: usize,
        /// Why the last one did.
        last: String,
    },
    /// Its tables cannot be shown.
    #[error(transparent)]
    Unprinted(#[from] Unprinted),
    /// Its journal is of another campaign.
    #[error(
        "{path} was begun with {what}; put that back, or begin anew under another name of the campaign's file (or --out)",
        path = .path.display()
    )]
    Changed {
        /// The journal.
        path: PathBuf,
        /// What has changed since.
        what: String,
    },
}

//! One pass over the rows of a run: CSV or Parquet in, a [`Tally`] out.

use std::{
    fs::{self, File, Metadata},
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};

use self::names::Directory;
use crate::{
    input::Error,
    tally::{Origin, Question, Tally},
};

mod columnar;
pub mod field;
pub mod layout;
pub mod line;
pub mod names;
mod text;

/// Told, from any thread, how many more bytes of the files have been read.
pub type Progress<'a> = &'a (dyn Fn(u64) + Sync);

/// Lines that are not rows and were skipped because that was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skipped {
    /// How many.
    pub count: u64,
    /// The first of them: line and what is wrong with it.
    pub first: Vec<(usize, String)>,
}

impl Skipped {
    /// So many are shown.
    pub const SHOWN: usize = 5;
}

/// What the threads that read a run have in common.
pub struct Shared<'a> {
    question: &'a Question,
    directory: &'a Directory,
    in_memory: Arc<AtomicU64>,
    origin: Arc<Origin>,
    skip_bad_rows: bool,
}

impl<'a> Shared<'a> {
    /// For the rows of one run.
    pub fn new(question: &'a Question, directory: &'a Directory, skip_bad_rows: bool) -> Self {
        Self { question, directory, in_memory: Arc::default(), origin: Origin::of(question), skip_bad_rows }
    }

    fn tally(&self) -> Tally {
        Tally::new(self.question, Arc::clone(&self.in_memory), Arc::clone(&self.origin))
    }

    /// Where second 0 of the run begins.
    pub fn origin_us(&self) -> Option<i64> {
        self.origin.us()
    }
}

/// What one file's rows left behind.
#[derive(Debug)]
pub struct Scanned {
    /// The rows.
    pub tally: Tally,
    /// Lines that are no rows.
    pub skipped: Skipped,
    /// Whether the file ended within a line, as a killed run leaves it; that line is not a row.
    pub cut_off: bool,
}

/// Reads one file.
///
/// # Errors
/// What is wrong, with file and line.
pub fn file(path: &Path, shared: &Shared, progress: Progress) -> Result<Scanned, Error> {
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    let not_rows = |what: &str| Error::NotRows { path: path.to_owned(), what: what.to_owned() };
    let before = fs::metadata(path).map_err(unreadable)?;
    if before.is_dir() {
        return Err(not_rows("is a directory; name the files in it, as in `results/*.csv`"));
    }
    if !before.is_file() {
        return Err(not_rows(
            "is no regular file; rows are read by several threads at once: save them to a file first",
        ));
    }
    let file = File::open(path).map_err(unreadable)?;
    let scan = if is_parquet(path) { columnar::scan } else { text::scan };
    let scanned = scan(path, &file, before.len(), shared, progress)?;
    let after = file.metadata().map_err(unreadable)?;
    if state(&before) != state(&after) {
        return Err(not_rows("changed while it was read; wait until the run has ended, then analyze it"));
    }
    if scanned.tally.rows == 0 {
        return Err(not_rows("has a header and no rows: the run ended before its first event; record it again"));
    }
    Ok(scanned)
}

/// Whether a file's name says that it is Parquet.
pub fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "parquet")
}

fn state(file: &Metadata) -> (u64, Option<std::time::SystemTime>) {
    (file.len(), file.modified().ok())
}

//! One pass over files of rows, CSV or Parquet, into whatever takes rows in: a [`crate::accumulator::Tally`], or the buckets in
//! which the parts of a run are [`joined`].

use std::{
    fs::{self, File, Metadata},
    io,
    path::Path,
};

use self::names::Directory;
use crate::{input::Error, markdown::count, row::Row};

mod by_column;
mod catch_panic;
mod columnar;
mod decode;
pub mod field;
mod footer;
mod format;
pub mod joined;
mod keyed;
pub mod layout;
pub mod line;
pub mod names;
mod schema;
mod text;
mod values;

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

    /// In words: how many, and the first of them.
    pub fn told(&self, path: &Path) -> String {
        let each = if is_parquet(path) { "row" } else { "line" };
        // That it can be skipped is known here.
        let what = |what: &'_ str| what.split("; take").next().unwrap_or_default().to_owned();
        let shown: Vec<String> = self.first.iter().map(|(at, why)| format!("{each} {at} {}", what(why))).collect();
        let more = if self.count > shown.len() as u64 { "; …" } else { "" };
        let (s, were) = if self.count == 1 { ("", "was") } else { ("s", "were") };
        format!("{} bad {each}{s} {were} skipped ({}{more})", count(self.count), shown.join("; "))
    }

    fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.first.extend(other.first);
        self.first.sort_unstable();
        self.first.truncate(Self::SHOWN);
    }
}

/// Takes rows in. Each reading thread has its own; they are merged at the end.
pub trait Sink: Send {
    /// Takes in a row; `pair` is the number of its (source, destination).
    ///
    /// # Errors
    /// Those of the temporary file for many rows.
    fn add(&mut self, row: &Row, pair: u16) -> io::Result<()>;

    /// Takes in many rows at once, by the columns that were asked for: the pair of each row, and stamps by their place in
    /// [`Row::stamps`]. Returns false, having taken in nothing, when it needs the rows one by one.
    ///
    /// # Errors
    /// Those of the temporary file for many rows.
    fn add_columns(&mut self, _pairs: &[u16], _stamps: &[(usize, &[i64])]) -> io::Result<bool> {
        Ok(false)
    }

    /// Takes over what another thread's rows left.
    ///
    /// # Errors
    /// Those of the temporary file.
    fn merge(&mut self, other: Self) -> io::Result<()>;
}

/// What the threads that read a file have in common.
pub struct Shared<'a, S> {
    /// Names of all files of a run.
    pub directory: &'a Directory,
    /// Makes a thread's sink.
    pub sink: &'a (dyn Fn() -> io::Result<S> + Sync),
    /// Whether lines that are no rows are skipped and counted.
    pub skip_bad_rows: bool,
    /// The columns that the sink needs; from Parquet only these are read, and a row lacks the others.
    pub columns: &'a [&'static str],
}

/// What one file's rows left behind.
#[derive(Debug)]
pub struct Scanned<S> {
    /// The rows.
    pub sink: S,
    /// How many.
    pub rows: u64,
    /// Lines that are no rows.
    pub skipped: Skipped,
    /// Whether the file ended within a line, as a killed run leaves it; that line is not a row.
    pub cut_off: bool,
}

impl<S: Sink> Scanned<S> {
    /// Of no rows yet.
    fn new(shared: &Shared<S>) -> io::Result<Self> {
        Ok(Self { sink: (shared.sink)()?, rows: 0, skipped: Skipped::default(), cut_off: false })
    }

    /// Takes over what another thread read of the same file.
    fn merge(&mut self, other: Self) -> io::Result<()> {
        self.rows += other.rows;
        self.skipped.merge(other.skipped);
        self.cut_off |= other.cut_off;
        self.sink.merge(other.sink)
    }

    /// What all threads read; there is at least one.
    fn merged(parts: impl IntoIterator<Item = Self>, shared: &Shared<S>) -> io::Result<Self> {
        let mut parts = parts.into_iter();
        let mut all = parts.next().map_or_else(|| Self::new(shared), Ok)?;
        parts.try_for_each(|part| all.merge(part))?;
        Ok(all)
    }
}

/// Reads one file.
///
/// # Errors
/// What is wrong, with file and line.
pub fn file<S: Sink>(path: &Path, shared: &Shared<S>, progress: Progress) -> Result<Scanned<S>, Error> {
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
    let scanned = scan(path, &file, before.len(), shared, progress);
    let after = file.metadata().map_err(unreadable)?;
    if state(&before) != state(&after) {
        // Whatever was found may be of neither state.
        return Err(not_rows("changed while it was read; wait until the run has ended, then analyze it"));
    }
    let scanned = scanned?;
    match (scanned.rows, scanned.skipped.first.first()) {
        (0, Some(_)) => Err(not_rows(&format!("holds no row: {}", scanned.skipped.told(path)))),
        (0, None) => Err(not_rows(
            "has a header and no rows: the run goes on still, or ended before its first event; wait, or record it again",
        )),
        _ => Ok(scanned),
    }
}

/// Whether a file's name says that it is Parquet.
pub fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "parquet")
}

fn state(file: &Metadata) -> (u64, Option<std::time::SystemTime>) {
    (file.len(), file.modified().ok())
}

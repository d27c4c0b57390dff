//! Reads the rows of a Parquet file with all cores: each thread decodes the next rows that are left, and takes them in.

use std::{
    collections::BTreeMap,
    fs::File,
    ops::Range,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use polars_buffer::Buffer;
use polars_error::PolarsError;

use super::{
    Progress, Scanned, Shared, Sink, Skipped, by_column,
    decode::{Columns, Piece},
    keyed::Keyed,
    layout::{NOT_UTF_8, NUMBERS},
    line::{self, Numbers},
    names::Interner,
    values,
};
use crate::{
    cores,
    input::Error,
    row::{MISSING, Row},
};
use shasta_model::columns::{COLUMNS, DESTINATION, SOURCE};

/// Rows that are read at once, a row group as the harness writes them: 14 columns take some 120 MB.
const SLICE_ROWS: usize = 1 << 20;
/// A row group of up to this many rows is read whole. Other programs end a group where a block of theirs ends, some rows
/// past the million, and often pack each of its columns as one page: a slice for those rows would unpack all of it again.
const GROUP_ROWS: usize = SLICE_ROWS + SLICE_ROWS / 4;

/// Reads all rows of an open file of `bytes` bytes.
///
/// # Errors
/// A file that is not Parquet, lacks columns or has them in other types; the first row that no run records.
pub fn scan<S: Sink>(
    path: &Path,
    file: &File,
    bytes: u64,
    shared: &Shared<S>,
    progress: Progress,
) -> Result<Scanned<S>, Error> {
    let not_rows = |what: String| Error::NotRows { path: path.to_owned(), what };
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    let file = Columns::open(path, file, bytes)?;
    let groups = file.metadata.row_groups.iter().map(|group| group.num_rows());
    let slices = slices(groups, cores::count());
    let (slices, failed) = (Mutex::new(slices.into_iter()), AtomicBool::new(false));
    let next = || slices.lock().unwrap_or_else(PoisonError::into_inner).next();
    let whole = shared.columns.len() == COLUMNS.len();
    let read = |slice: &Range<usize>, names: &mut Interner, part: &mut Scanned<S>| -> Result<(), Failure> {
        for piece in file.pieces(slice) {
            if whole || !by_column::add(&file, &piece, shared.columns, names, part)? {
                Batch::of(&file, &piece, shared.columns)?.add(shared.skip_bad_rows, names, part)?;
            }
        }
        progress((bytes as u128 * slice.len() as u128 / file.metadata.num_rows.max(1) as u128) as u64);
        Ok(())
    };
    let work = || {
        let mut part = Scanned::new(shared).map_err(|error| (0, Failure::Io(error)))?;
        let mut names = Interner::new(shared.directory);
        while !failed.load(Ordering::Relaxed)
            && let Some(slice) = next()
        {
            read(&slice, &mut names, &mut part).map_err(|failure| {
                failed.store(true, Ordering::Relaxed);
                (slice.start, failure)
            })?;
        }
        Ok(part)
    };
    let parts: Result<Vec<Scanned<S>>, (usize, Failure)> = {
        let mut parts = cores::each(work);
        // Of several failures the first in the file is told.
        parts.sort_by_key(|part| part.as_ref().map_or_else(|(start, _)| *start, |_| usize::MAX));
        parts.into_iter().collect()
    };
    match parts {
        Ok(parts) => Scanned::merged(parts, shared).map_err(unreadable),
        Err((_, Failure::Io(source))) => Err(unreadable(source)),
        Err((_, failure)) => Err(not_rows(failure.told())),
    }
}

/// Ranges of rows to read at once: small row groups together, large ones in pieces. What does not come out even for the
/// threads is cut once more, though a page may then be unpacked twice, so that none of them idles at the end.
fn slices(groups: impl Iterator<Item = usize>, threads: usize) -> Vec<Range<usize>> {
    let (mut slices, mut start, mut end) = (Vec::new(), 0, 0);
    for rows in groups {
        if end > start && end - start + rows > SLICE_ROWS {
            slices.push(start..end);
            start = end;
        }
        end += rows;
        while end - start > GROUP_ROWS {
            slices.push(start..start + SLICE_ROWS);
            start += SLICE_ROWS;
        }
    }
    if end > start {
        slices.push(start..end);
    }
    let last = slices.split_off(slices.len() - slices.len() % threads);
    for slice in last {
        let share = slice.len().div_ceil(threads).max(1);
        slices.extend(slice.clone().step_by(share).map(|from| from..(from + share).min(slice.end)));
    }
    slices
}

/// Why some rows cannot be read.
#[derive(Debug)]
pub(super) enum Failure {
    Io(std::io::Error),
    /// What the file says of itself does not hold.
    Broken(String),
    /// The file is sound, and not to be read here.
    Type(String),
    Row(usize, String),
}

impl Failure {
    /// What a decoder said of a column, or of the footer.
    pub(super) fn of_decoder(error: &PolarsError, of: &str) -> Self {
        // The kinds of its errors come through as text alone.
        let said = error.to_string();
        let said = said.trim_start_matches("parquet: ");
        if let PolarsError::IO { error, .. } = error {
            return Failure::Io(std::io::Error::new(error.kind(), error.to_string()));
        }
        if let Some((_, what)) = said.split_once("Not yet supported: ") {
            let cure =
                "write the file again, with the encodings that its program uses when none is named, and with zstd";
            return Failure::Type(format!("has its {of} in a form that is not read here ({what}); {cure}"));
        }
        if said.contains("exceed memory use threshold") || said.contains("OOM: ") {
            return Failure::Io(std::io::Error::new(std::io::ErrorKind::OutOfMemory, format!("{of}: {said}")));
        }
        Failure::Broken(format!("{of}: {said}"))
    }

    /// In words.
    pub(super) fn told(&self) -> String {
        match self {
            Failure::Io(error) => error.to_string(),
            Failure::Broken(what) => {
                format!("is not a whole Parquet file ({what}); copy or write it again, or record the run again")
            }
            Failure::Type(what) => what.clone(),
            Failure::Row(row, what) => format!("row {row}: {what}"),
        }
    }
}

/// Some rows, column by column.
struct Batch {
    /// Number of the first of them in the file.
    start: usize,
    names: [Keyed; 2],
    /// Places in [`NUMBERS`] of the columns that were read, and their values.
    numbers: Vec<(usize, Buffer<i64>)>,
    /// Rows with a value that is no number, and what is wrong with it.
    bad: BTreeMap<usize, String>,
}

impl Batch {
    fn of(file: &Columns, piece: &Piece, columns: &[&str]) -> Result<Self, Failure> {
        let names = [file.names(SOURCE, piece)?, file.names(DESTINATION, piece)?];
        let (mut numbers, mut all_bad) = (Vec::new(), BTreeMap::new());
        for (place, name) in NUMBERS.into_iter().enumerate().filter(|(_, name)| columns.contains(name)) {
            let values::Numbers { values, bad } = file.numbers(name, piece)?;
            numbers.push((place, values));
            bad.into_iter().for_each(|(row, what)| {
                all_bad.entry(row).or_insert_with(|| line::bad(name, &what));
            });
        }
        Ok(Self { start: piece.start, names, numbers, bad: all_bad })
    }

    fn add<S: Sink>(&self, skip: bool, names: &mut Interner, part: &mut Scanned<S>) -> Result<(), Failure> {
        let [sources, destinations] = self.names.each_ref().map(Keyed::iter);
        for (k, (source, destination)) in sources.zip(destinations).enumerate() {
            match self.row(k, source, destination, names) {
                Ok((row, pair)) => {
                    part.sink.add(&row, pair).map_err(Failure::Io)?;
                    part.rows += 1;
                }
                Err(what) if skip => {
                    part.skipped.count += 1;
                    if part.skipped.first.len() < Skipped::SHOWN {
                        part.skipped.first.push((self.start + k + 1, what));
                    }
                }
                Err(what) => return Err(Failure::Row(self.start + k + 1, what)),
            }
        }
        Ok(())
    }

    /// Row `k` and the number of its pair, or what is wrong with it.
    fn row(&self, k: usize, source: &[u8], destination: &[u8], names: &mut Interner) -> Result<(Row, u16), String> {
        if !self.bad.is_empty()
            && let Some(what) = self.bad.get(&k)
        {
            return Err(what.clone());
        }
        let mut values: Numbers = [MISSING; NUMBERS.len()];
        for (place, column) in &self.numbers {
            values[*place] = column[k];
        }
        let whole = self.numbers.len() == NUMBERS.len();
        let row = if whole { line::row } else { line::part };
        let read = named(names, source, destination).and_then(|(source, destination)| {
            Some((row(source, destination, &values)?, names.pair(source, destination)?))
        });
        read.map_or_else(|| slowly(source, destination, &values, whole, names), Ok)
    }
}

/// Numbers of a row's names; none when the first is missing, or one is no name.
fn named(names: &mut Interner, source: &[u8], destination: &[u8]) -> Option<(u32, Option<u32>)> {
    let source = if source.is_empty() { None } else { names.source(source) };
    let destination = if destination.is_empty() { None } else { Some(names.destination(destination)?) };
    Some((source?, destination))
}

/// A row whose names are as another program writes them, or what is wrong with it.
fn slowly(
    source: &[u8],
    destination: &[u8],
    values: &Numbers,
    whole: bool,
    names: &mut Interner,
) -> Result<(Row, u16), String> {
    let text = |name| std::str::from_utf8(name).map_err(|_| NOT_UTF_8.to_owned());
    line::checked((text(source)?, text(destination)?), values, whole, names)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn slices_hold_every_row_once_and_no_group_is_cut_in_vain(
            groups in prop::collection::vec(
                prop_oneof![0..50_000_usize, SLICE_ROWS - 9..GROUP_ROWS + 9, Just(GROUP_ROWS), 0..5 * SLICE_ROWS], 0..20
            ),
            threads in 1..5_usize,
        ) {
            let sliced = slices(groups.iter().copied(), threads);
            let mut end = 0;
            for slice in &sliced {
                prop_assert_eq!(slice.start, end);
                prop_assert!((1..=GROUP_ROWS).contains(&slice.len()));
                end = slice.end;
            }
            prop_assert_eq!(end, groups.iter().sum::<usize>());
            let alone = slices(groups.iter().copied(), 1);
            let mut start = 0;
            for rows in groups {
                let group = start..start + rows;
                let whole = alone.iter().any(|slice| slice.start <= group.start && group.end <= slice.end);
                prop_assert!(whole || rows == 0 || rows > GROUP_ROWS, "{group:?} is cut: {alone:?}");
                start = group.end;
            }
        }
    }

    #[test]
    fn slices_are_of_whole_groups_where_they_fit() {
        let (whole, large) = (30 + SLICE_ROWS, 30 + SLICE_ROWS + GROUP_ROWS);
        let sliced = slices([10, 20, SLICE_ROWS, 0, GROUP_ROWS, GROUP_ROWS + 5, 7].into_iter(), 1);
        let rest = large + SLICE_ROWS;
        assert_eq!(sliced, [0..30, 30..whole, whole..large, large..rest, rest..rest + GROUP_ROWS - SLICE_ROWS + 12]);
        assert_eq!(
            slices([SLICE_ROWS, SLICE_ROWS, 9].into_iter(), 2)[2..],
            [2 * SLICE_ROWS..2 * SLICE_ROWS + 5, 2 * SLICE_ROWS + 5..2 * SLICE_ROWS + 9]
        );
        assert!(slices([0].into_iter(), 2).is_empty());
    }

    #[test]
    fn a_bad_row_is_explained_as_its_line_would_be() {
        let directory = crate::scan::names::Directory::default();
        let mut names = Interner::new(&directory);
        let mut told = |source: &[u8], numbers: &Numbers| slowly(source, b"", numbers, true, &mut names).unwrap_err();
        let mut numbers: Numbers = [1; NUMBERS.len()];
        assert!(told(b"", &numbers).contains("`source` is empty"));
        assert!(told(b"\xff", &numbers).contains("UTF-8"));
        numbers[4] = MISSING;
        assert!(told(b"p0", &numbers).contains("`sequence` is empty"));
    }
}

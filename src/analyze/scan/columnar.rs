//! Reads the rows of a Parquet file with all cores: each thread decodes the next rows that are left, and takes them in.

use std::{
    fmt,
    fs::File,
    ops::Range,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use polars::prelude::*;

use super::{
    Progress, Scanned, Shared, Sink, Skipped, by_column,
    caught::caught,
    layout::{Layout, NUMBERS},
    line::{self, Numbers},
    names::Interner,
};
use crate::{
    columns::{COLUMNS, DESTINATION, SOURCE},
    cores,
    input::Error,
    row::MISSING,
};

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
    let broken = |error: &dyn fmt::Display| not_rows(format!("is not a whole Parquet file ({error}); record it again"));
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    let mut reader = ParquetReader::new(file.try_clone().map_err(unreadable)?);
    let footer = caught(|| PolarsResult::Ok((reader.get_metadata()?.clone(), reader.schema()?)));
    let (metadata, schema) = footer.map_err(|panic| broken(&panic))?.map_err(|error| broken(&error))?;
    let names: Vec<String> = schema.iter_names().map(|name| name.to_string()).collect();
    Layout::of(names.join(",").as_bytes()).map_err(not_rows)?;
    check_types(&schema).map_err(not_rows)?;
    check_counts(&metadata, bytes).map_err(|what| broken(&what))?;
    let groups = metadata.row_groups.iter().map(|group| group.num_rows());
    let slices = slices(groups, cores::count());
    let (slices, failed) = (Mutex::new(slices.into_iter()), AtomicBool::new(false));
    let next = || slices.lock().unwrap_or_else(PoisonError::into_inner).next();
    let read = |slice: &Range<usize>, names: &mut Interner, part: &mut Scanned<S>| -> Result<(), Failure> {
        let frame = |columns: &[&str]| {
            let mut reader = ParquetReader::new(file.try_clone().map_err(Failure::Io)?)
                .read_parallel(ParallelStrategy::None)
                .with_columns(Some(columns.iter().map(|&name| name.to_owned()).collect()))
                .with_slice(Some((slice.start, slice.len())));
            reader.set_metadata(metadata.clone());
            let frame = caught(|| reader.finish()).map_err(Failure::Broken)??;
            // A damaged footer may make columns of different lengths.
            match frame.columns().iter().find(|column| column.len() != slice.len()) {
                Some(column) => Err(Failure::Broken(format!(
                    "of {} rows its column `{}` has {}",
                    slice.len(),
                    column.name(),
                    column.len()
                ))),
                None => Ok(frame),
            }
        };
        let whole = shared.columns.len() == COLUMNS.len();
        if whole || !by_column::add(&frame, shared.columns, names, part)? {
            Batch::of(&frame(shared.columns)?, shared.columns, slice.start)?.add(shared.skip_bad_rows, names, part)?;
        }
        progress((bytes as u128 * slice.len() as u128 / metadata.num_rows.max(1) as u128) as u64);
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
        Err((_, Failure::Polars(error))) => Err(broken(&error)),
        Err((_, Failure::Broken(error))) => Err(broken(&error)),
        Err((_, Failure::Type(what))) => Err(not_rows(what)),
        Err((_, Failure::Row(row, what))) => Err(not_rows(format!("row {row}: {what}"))),
    }
}

/// No encoding packs stamps more closely: recorded rows take some 16 bytes each.
const ROWS_A_BYTE_MAX: u64 = 1024;

/// Counts in a damaged footer are refused before memory is asked for so many rows.
fn check_counts(metadata: &FileMetadata, bytes: u64) -> Result<(), &'static str> {
    let rows = metadata.row_groups.iter().try_fold(0_usize, |sum, group| sum.checked_add(group.num_rows()));
    if rows != Some(metadata.num_rows) || metadata.num_rows as u64 > bytes.saturating_mul(ROWS_A_BYTE_MAX) {
        return Err("the rows of its groups do not add up to its rows");
    }
    let even = metadata.row_groups.iter().all(|group| {
        let ours = |name: &PlSmallStr| COLUMNS.contains(&name.as_str());
        let ours = group.parquet_columns().iter().filter(|column| column.descriptor().path_in_schema.iter().all(ours));
        ours.into_iter().all(|column| usize::try_from(column.num_values()) == Ok(group.num_rows()))
    });
    if even { Ok(()) } else { Err("columns of one group of rows have other numbers of values") }
}

/// Columns of other types are refused before they are read: not all of them can be.
fn check_types(schema: &ArrowSchema) -> Result<(), String> {
    use ArrowDataType::*;
    for (name, field) in schema.iter().filter(|(name, _)| COLUMNS.contains(&name.as_str())) {
        let is = field.dtype();
        let (fits, must_be) = match name.as_str() {
            SOURCE | DESTINATION => (matches!(is, Utf8 | LargeUtf8 | Utf8View), "text"),
            _ => (matches!(is, Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64), "a whole number"),
        };
        if !fits {
            return Err(format!("has the column `{name}` as {is:?}, and it must be {must_be}; record it again"));
        }
    }
    Ok(())
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
    Polars(PolarsError),
    /// What the file says of itself does not hold.
    Broken(String),
    Type(String),
    Row(usize, String),
}

impl From<PolarsError> for Failure {
    fn from(error: PolarsError) -> Self {
        Failure::Polars(error)
    }
}

/// Some rows, column by column.
struct Batch {
    /// Number of the first of them in the file.
    start: usize,
    names: [StringChunked; 2],
    /// Places in [`NUMBERS`] of the columns that were read, and their values.
    numbers: Vec<(usize, Int64Chunked)>,
}

impl Batch {
    fn of(frame: &DataFrame, columns: &[&str], start: usize) -> Result<Self, Failure> {
        let text = |name| Ok::<_, Failure>(typed(frame, name, &DataType::String)?.str()?.clone());
        let numbers = numbers(frame, columns)?;
        Ok(Self { start, names: [text(SOURCE)?, text(DESTINATION)?], numbers })
    }

    fn add<S: Sink>(&self, skip: bool, names: &mut Interner, part: &mut Scanned<S>) -> Result<(), Failure> {
        let whole = self.numbers.len() == NUMBERS.len();
        let [sources, destinations] = &self.names;
        let numbers = self.numbers.iter().map(|(place, column)| Ok((*place, column.cont_slice()?)));
        let numbers = numbers.collect::<Result<Vec<_>, Failure>>()?;
        for (k, (source, destination)) in sources.iter().zip(destinations.iter()).enumerate() {
            let mut values: Numbers = [MISSING; NUMBERS.len()];
            for (place, column) in &numbers {
                values[*place] = column[k];
            }
            let row = named(names, source, destination).and_then(|(source, destination)| {
                let row = if whole { line::row } else { line::part };
                Some((row(source, destination, &values)?, names.pair(source, destination)?))
            });
            if let Some((row, pair)) = row {
                part.sink.add(&row, pair).map_err(Failure::Io)?;
                part.rows += 1;
                continue;
            }
            let (row, what) = (self.start + k + 1, explain(source, destination, &values));
            if !skip {
                return Err(Failure::Row(row, what));
            }
            part.skipped.count += 1;
            if part.skipped.first.len() < Skipped::SHOWN {
                part.skipped.first.push((row, what));
            }
        }
        Ok(())
    }
}

/// A column of a frame as the type that it must have.
pub(super) fn typed(frame: &DataFrame, name: &str, to: &DataType) -> Result<Series, Failure> {
    let column = frame.column(name)?.as_materialized_series();
    let wrong = |_| {
        let what = "holds a number that is no whole number of 64 bits with a sign; record it again";
        Failure::Type(format!("the column `{name}` {what}"))
    };
    if column.dtype() == to { Ok(column.clone()) } else { column.strict_cast(to).map_err(wrong) }
}

/// Those of the columns that are numbers: their places in [`NUMBERS`], and their values in one piece.
pub(super) fn numbers(frame: &DataFrame, columns: &[&str]) -> Result<Vec<(usize, Int64Chunked)>, Failure> {
    let wanted = NUMBERS.into_iter().enumerate().filter(|(_, name)| columns.contains(name));
    wanted.map(|(place, name)| Ok((place, whole(typed(frame, name, &DataType::Int64)?.i64()?)))).collect()
}

/// A column in one piece, [`MISSING`] for null.
fn whole(column: &Int64Chunked) -> Int64Chunked {
    if column.cont_slice().is_ok() {
        return column.clone();
    }
    let values = column.iter().map(|value| value.unwrap_or(MISSING)).collect();
    Int64Chunked::from_vec(column.name().clone(), values)
}

/// Numbers of a row's names; none when the first is missing, or one is no name.
fn named(names: &mut Interner, source: Option<&str>, destination: Option<&str>) -> Option<(u32, Option<u32>)> {
    let source = names.source(source.filter(|name| !name.is_empty())?.as_bytes())?;
    let destination = match destination.filter(|name| !name.is_empty()) {
        Some(name) => Some(names.destination(name.as_bytes())?),
        None => None,
    };
    Some((source, destination))
}

/// As of the line that a CSV would hold.
fn explain(source: Option<&str>, destination: Option<&str>, numbers: &Numbers) -> String {
    let number = |&number: &i64| if number == MISSING { String::new() } else { number.to_string() };
    let names = [source, destination].map(|name| name.unwrap_or_default().replace(['"', ',', '\r', '\n'], "?"));
    let fields: Vec<String> = names.into_iter().chain(numbers.iter().map(number)).collect();
    match Layout::of(COLUMNS.join(",").as_bytes()) {
        Ok(layout) => line::explain(fields.join(",").as_bytes(), &layout),
        Err(what) => what,
    }
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
        let mut numbers: Numbers = [1; NUMBERS.len()];
        numbers[4] = MISSING;
        assert!(explain(Some("p0"), None, &numbers).contains("`sequence` is empty"));
        assert!(explain(None, None, &[1; NUMBERS.len()]).contains("`source` is empty"));
    }
}

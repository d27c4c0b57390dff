//! Reads the rows of a Parquet file with all cores, some hundred thousand at a time.

use std::{
    fs::File,
    ops::Range,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use polars::prelude::*;

use super::{
    Progress, Scanned, Shared, Sink, Skipped,
    layout::{Layout, NUMBERS},
    line::{self, Numbers},
    names::Interner,
};
use crate::{
    columns::{COLUMNS, DESTINATION, SOURCE},
    input::Error,
    row::{MISSING, Row},
};

/// Rows that a thread reads at once, a row group as the harness writes them: 14 columns take some 120 MB.
const SLICE_ROWS: usize = 1 << 20;

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
    let broken = |error: PolarsError| not_rows(format!("is not a whole Parquet file ({error}); record it again"));
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    let open = || file.try_clone();
    let mut reader = ParquetReader::new(open().map_err(unreadable)?);
    let metadata = reader.get_metadata().map_err(broken)?.clone();
    let names: Vec<String> = reader.schema().map_err(broken)?.iter_names().map(|name| name.to_string()).collect();
    Layout::of(names.join(",").as_bytes()).map_err(not_rows)?;
    let rows = metadata.num_rows;
    let slices = Mutex::new(slices(metadata.row_groups.iter().map(|group| group.num_rows())).into_iter());
    let failed = AtomicBool::new(false);
    let work = || {
        let sink = (shared.sink)().map_err(|error| (0, Failure::Io(error)))?;
        let mut part = Part { sink, rows: 0, skipped: Skipped::default() };
        let mut names = Interner::new(shared.directory);
        while !failed.load(Ordering::Relaxed)
            && let Some(slice) = { slices.lock().unwrap_or_else(PoisonError::into_inner).next() }
        {
            let read = open().map_err(Failure::Io).and_then(|file| {
                let reader = ParquetReader::new(file).read_parallel(ParallelStrategy::None);
                let mut reader = reader
                    .with_columns(Some(shared.columns.iter().map(|&name| name.to_owned()).collect()))
                    .with_slice(Some((slice.start, slice.len())));
                reader.set_metadata(metadata.clone());
                Batch::of(&reader.finish()?, shared.columns, slice.clone())?.add(
                    shared.skip_bad_rows,
                    &mut names,
                    &mut part,
                )
            });
            if let Err(failure) = read {
                failed.store(true, Ordering::Relaxed);
                return Err((slice.start, failure));
            }
            progress((bytes as u128 * slice.len() as u128 / rows.max(1) as u128) as u64);
        }
        Ok(part)
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let parts: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let (mut done, mut failures) = (Vec::new(), Vec::new());
    for part in parts {
        match part {
            Ok(part) => done.push(part),
            Err(failure) => failures.push(failure),
        }
    }
    if let Some((_, failure)) = failures.into_iter().min_by_key(|(start, _)| *start) {
        return Err(match failure {
            Failure::Io(source) => unreadable(source),
            Failure::Polars(error) => broken(error),
            Failure::Type(what) => not_rows(what),
            Failure::Row(row, what) => not_rows(format!("row {row}: {what}")),
        });
    }
    let (mut sink, mut rows, mut skipped) = ((shared.sink)().map_err(unreadable)?, 0, Skipped::default());
    for part in done {
        rows += part.rows;
        skipped.count += part.skipped.count;
        skipped.first.extend(part.skipped.first);
        sink.merge(part.sink).map_err(unreadable)?;
    }
    skipped.first.sort_unstable();
    skipped.first.truncate(Skipped::SHOWN);
    Ok(Scanned { sink, rows, skipped, cut_off: false })
}

/// What one thread leaves.
struct Part<S> {
    sink: S,
    rows: u64,
    skipped: Skipped,
}

/// Ranges of rows that lie within one row group each.
fn slices(groups: impl Iterator<Item = usize>) -> Vec<Range<usize>> {
    let (mut slices, mut start) = (Vec::new(), 0);
    for rows in groups {
        let end = start + rows;
        while start < end {
            let next = (start + SLICE_ROWS).min(end);
            slices.push(start..next);
            start = next;
        }
    }
    slices
}

#[derive(Debug)]
enum Failure {
    Io(std::io::Error),
    Polars(PolarsError),
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
    rows: Range<usize>,
    names: [StringChunked; 2],
    /// Places in [`NUMBERS`] of the columns that were read, and their values.
    numbers: Vec<(usize, Vec<i64>)>,
}

impl Batch {
    fn of(frame: &DataFrame, columns: &[&str], rows: Range<usize>) -> Result<Self, Failure> {
        let typed = |name: &str, to: DataType| -> Result<Series, Failure> {
            let column = frame.column(name)?.as_materialized_series();
            let wrong = |_| {
                let is = column.dtype();
                Failure::Type(format!("has the column `{name}` as {is}, and it must be {to}; record it again"))
            };
            if column.dtype().is_float() || (to != DataType::String && column.dtype().is_string()) {
                return Err(wrong(PolarsError::NoData("".into())));
            }
            Ok(if *column.dtype() == to { column.clone() } else { column.strict_cast(&to).map_err(wrong)? })
        };
        let text = |name| Ok::<_, Failure>(typed(name, DataType::String)?.str()?.clone());
        let wanted = NUMBERS.into_iter().enumerate().filter(|(_, name)| columns.contains(name));
        let numbers: Result<Vec<_>, Failure> =
            wanted.map(|(place, name)| Ok((place, values(typed(name, DataType::Int64)?.i64()?)))).collect();
        Ok(Self { rows, names: [text(SOURCE)?, text(DESTINATION)?], numbers: numbers? })
    }

    fn add<S: Sink>(&self, skip: bool, names: &mut Interner, part: &mut Part<S>) -> Result<(), Failure> {
        let whole = self.numbers.len() == NUMBERS.len();
        let [sources, destinations] = [&self.names[0], &self.names[1]].map(|column| column.iter());
        for (k, (source, destination)) in sources.zip(destinations).enumerate() {
            let mut values: Numbers = [MISSING; NUMBERS.len()];
            for (place, column) in &self.numbers {
                values[*place] = column[k];
            }
            if let Some((row, pair)) = numbered(names, source, destination, &values, whole) {
                part.sink.add(&row, pair).map_err(Failure::Io)?;
                part.rows += 1;
                continue;
            }
            let (row, what) = (self.rows.start + k + 1, explain(source, destination, &values));
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

/// A column's values in one piece, [`MISSING`] for null.
fn values(column: &Int64Chunked) -> Vec<i64> {
    let mut values = Vec::with_capacity(column.len());
    for chunk in column.downcast_iter() {
        match chunk.validity() {
            None => values.extend_from_slice(chunk.values()),
            Some(_) => values.extend(chunk.iter().map(|value| value.copied().unwrap_or(MISSING))),
        }
    }
    values
}

fn numbered(
    names: &mut Interner,
    source: Option<&str>,
    destination: Option<&str>,
    numbers: &Numbers,
    whole: bool,
) -> Option<(Row, u16)> {
    let source = names.source(source.filter(|name| !name.is_empty())?.as_bytes())?;
    let destination = match destination.filter(|name| !name.is_empty()) {
        Some(name) => Some(names.destination(name.as_bytes())?),
        None => None,
    };
    let row = if whole { line::row(source, destination, numbers) } else { line::part(source, destination, numbers) };
    Some((row?, names.pair(source, destination)?))
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
    use super::*;

    #[test]
    fn slices_stay_within_row_groups() {
        let sliced = slices([10, SLICE_ROWS + 5, 0].into_iter());
        assert_eq!(sliced, [0..10, 10..10 + SLICE_ROWS, 10 + SLICE_ROWS..15 + SLICE_ROWS]);
    }

    #[test]
    fn a_bad_row_is_explained_as_its_line_would_be() {
        let mut numbers: Numbers = [1; NUMBERS.len()];
        numbers[4] = MISSING;
        assert!(explain(Some("p0"), None, &numbers).contains("`sequence` is empty"));
        assert!(explain(None, None, &[1; NUMBERS.len()]).contains("`source` is empty"));
    }
}

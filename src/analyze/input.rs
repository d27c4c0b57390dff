//! Finds the files of runs and reads their rows. Nothing in a file is trusted: what is not a row is an error that
//! names the file, the line where one can be told, and what to do.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Cursor, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use polars::prelude::*;

use crate::{
    columns::{self, COLUMNS, Latency},
    lines::{self, Fault},
    percentile::Distribution,
};

/// Where runs are recorded.
const RESULTS: &str = "results";
/// Larger stamps (past the year 2200) are garbage, and f64 could no longer hold their differences exactly.
const LARGEST: i64 = 1 << 53;

/// Why a file cannot be analyzed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened or read.
    #[error("{}: {source}; name a run's rows, as in `cargo run --bin analyze results/<run>.csv`", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not a file of rows at all.
    #[error("{}: {what}", path.display())]
    NotRows {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        what: String,
    },
    /// One line is not a row.
    #[error("{}, line {line}: {what}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line, the header being 1.
        line: usize,
        /// What is wrong, and what to do.
        what: String,
    },
}

fn located(path: &Path, Fault { line, what }: Fault) -> Error {
    Error::Line { path: path.to_owned(), line, what }
}

fn not_rows(path: &Path, what: impl Into<String>) -> Error {
    Error::NotRows { path: path.to_owned(), what: what.into() }
}

/// The files to analyze: those named, or every run in `results/`, sorted.
pub fn find(named: Vec<PathBuf>) -> Result<Vec<PathBuf>, Error> {
    let mut seen = HashSet::new();
    for path in &named {
        if !seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())) {
            return Err(not_rows(path, "is named twice; name each run once"));
        }
    }
    if named.is_empty() { in_directory(Path::new(RESULTS)) } else { Ok(named) }
}

fn in_directory(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let none = || not_rows(directory, "no recorded run is here; `cargo run --bin experiment` records one");
    let mut found: Vec<PathBuf> = fs::read_dir(directory)
        .map_err(|_| none())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| is_parquet(path) || path.extension().is_some_and(|extension| extension == "csv"))
        .collect();
    found.sort();
    if found.is_empty() { Err(none()) } else { Ok(found) }
}

fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "parquet")
}

/// The rows of one file: the columns of [`COLUMNS`], `source` and `destination` as text, the others as i64.
#[derive(Debug)]
pub struct Rows {
    /// The columns; null is an empty field.
    pub frame: DataFrame,
    /// Whether the file ended within a line, as a killed run leaves it; that line is not a row.
    pub cut_off: bool,
}

impl Rows {
    /// Reads a run's rows from CSV or, by its name, Parquet.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
        if path.is_dir() {
            return Err(not_rows(path, "is a directory; name the files in it, as in `results/*.csv`"));
        }
        let mut file = File::open(path).map_err(unreadable)?;
        let rows = if is_parquet(path) {
            Self { frame: read_parquet(path, file)?, cut_off: false }
        } else {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map_err(unreadable)?;
            read_csv(path, bytes)?
        };
        rows.check(path)?;
        Ok(rows)
    }

    /// Number of rows.
    pub fn len(&self) -> u64 {
        self.frame.height() as u64
    }

    /// Whether there is none; a file without rows is an error, so never.
    pub fn is_empty(&self) -> bool {
        self.frame.height() == 0
    }

    /// Number of rows in which a column is not empty.
    pub fn count(&self, column: &str) -> u64 {
        let column = self.frame.column(column).expect("every column was read");
        (column.len() - column.null_count()) as u64
    }

    /// A latency over all rows; one without either stamp is missing.
    pub fn distribution(&self, latency: &Latency) -> Distribution {
        Distribution::of(self.integers(latency.from).iter().zip(self.integers(latency.to).iter()).map(difference))
    }

    /// Rows that repeat the (source, producer, sequence) of another.
    pub fn repeated(&self) -> u64 {
        let source = self.frame.column(columns::SOURCE).and_then(|column| column.str()).expect("source is text");
        let producer = self.integers(columns::PRODUCER).iter();
        let mut events: Vec<_> = source.iter().zip(producer).zip(self.integers(columns::SEQUENCE).iter()).collect();
        events.sort_unstable();
        events.windows(2).filter(|pair| pair[0] == pair[1]).count() as u64
    }

    /// A column of integers.
    pub fn integers(&self, column: &str) -> &Int64Chunked {
        self.frame.column(column).and_then(|column| column.i64()).expect("all columns but two were read as integers")
    }

    /// What no row may lack, and numbers that no stamp has.
    fn check(&self, path: &Path) -> Result<(), Error> {
        if self.is_empty() {
            return Err(not_rows(
                path,
                "has a header and no rows: the run ended before its first event; record it again",
            ));
        }
        for name in [columns::SOURCE, columns::PRODUCER, columns::SEQUENCE, columns::SCHEDULED_US] {
            let column = self.frame.column(name).expect("every column was read");
            if let Some(row) = column.is_null().iter().position(|null| null == Some(true)) {
                return Err(self.in_row(path, row, format!("`{name}` is empty, and every planned event has one")));
            }
        }
        for name in COLUMNS.into_iter().filter(|name| name.ends_with("_us")) {
            let too_large = |us: Option<i64>| us.is_some_and(|us| us.unsigned_abs() > LARGEST.unsigned_abs());
            if let Some(row) = self.integers(name).iter().position(too_large) {
                return Err(self.in_row(path, row, format!("`{name}` is not a time in µs of the Unix epoch")));
            }
        }
        Ok(())
    }

    fn in_row(&self, path: &Path, row: usize, what: String) -> Error {
        Error::Line { path: path.to_owned(), line: row + 2, what }
    }
}

/// The signed difference of two stamps, where both are there.
pub fn difference((from, to): (Option<i64>, Option<i64>)) -> Option<i64> {
    Some(to? - from?)
}

fn data_type(column: &str) -> DataType {
    if [columns::SOURCE, columns::DESTINATION].contains(&column) { DataType::String } else { DataType::Int64 }
}

fn read_parquet(path: &Path, file: File) -> Result<DataFrame, Error> {
    let broken = |error: PolarsError| not_rows(path, format!("is not a whole Parquet file ({error}); record it again"));
    let frame = ParquetReader::new(file).finish().map_err(broken)?;
    check_names(path, &frame.get_column_names().iter().map(|name| name.as_str()).collect::<Vec<_>>())?;
    let typed = COLUMNS.map(|name| col(name).strict_cast(data_type(name)));
    frame
        .lazy()
        .select(typed)
        .collect()
        .map_err(|error| not_rows(path, format!("has a column of another type: {error}")))
}

fn read_csv(path: &Path, mut bytes: Vec<u8>) -> Result<Rows, Error> {
    let header = lines::check(&bytes).map_err(|fault| located(path, fault))?;
    check_names(path, &header)?;
    // A line without its end may lack digits, too: it is never a row.
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    let cut_off = whole < bytes.len();
    bytes.truncate(whole);
    let types: Schema = COLUMNS.iter().map(|name| Field::new((*name).into(), data_type(name))).collect();
    let options = CsvReadOptions::default()
        .with_infer_schema_length(Some(0))
        .with_schema_overwrite(Some(Arc::new(types)))
        .with_raise_if_empty(false)
        .map_parse_options(|parse| parse.with_quote_char(None));
    let cursor = Cursor::new(&bytes);
    let frame = options.into_reader_with_file_handle(cursor).finish().and_then(|frame| frame.select(COLUMNS));
    match frame {
        Ok(frame) => Ok(Rows { frame, cut_off }),
        Err(error) => Err(match lines::not_a_number(&bytes) {
            Some(fault) => located(path, fault),
            None => not_rows(path, error.to_string()),
        }),
    }
}

fn check_names(path: &Path, names: &[&str]) -> Result<(), Error> {
    let missing: Vec<&str> = COLUMNS.into_iter().filter(|column| !names.contains(column)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let what =
        format!("lacks the column {}; a recorded run begins with the line `{}`", missing.join(", "), COLUMNS.join(","));
    Err(not_rows(path, what))
}

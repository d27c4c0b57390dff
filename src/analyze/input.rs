//! Finds the files of runs and reads their [`Rows`]. Nothing in a file is trusted: what is not a row is an error that
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
    columns::{self, COLUMNS},
    lines::{self, Fault},
    rows::Rows,
};

/// Where runs are recorded.
const RESULTS: &str = "results";
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

/// Reads a run's rows from CSV or, by its name, Parquet.
pub fn read(path: &Path) -> Result<Rows, Error> {
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    if path.is_dir() {
        return Err(not_rows(path, "is a directory; name the files in it, as in `results/*.csv`"));
    }
    let mut file = File::open(path).map_err(unreadable)?;
    let rows = if is_parquet(path) {
        Rows { frame: read_parquet(path, file)?, cut_off: false }
    } else {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(unreadable)?;
        read_csv(path, bytes)?
    };
    match rows.first_bad() {
        _ if rows.is_empty() => {
            Err(not_rows(path, "has a header and no rows: the run ended before its first event; record it again"))
        }
        Some(fault) => Err(located(path, fault)),
        None => Ok(rows),
    }
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{columns::SCHEDULED_TO_STORED, percentile::Value};

    /// Reads rows as a file would hold them below the header.
    pub fn rows(lines: &str) -> Result<Rows, Error> {
        read("run.csv", format!("{}\n{lines}", COLUMNS.join(",")).as_bytes())
    }

    fn read(name: &str, bytes: &[u8]) -> Result<Rows, Error> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        fs::write(&path, bytes).unwrap();
        super::read(&path)
    }

    fn told(lines: &str) -> String {
        rows(lines).unwrap_err().to_string()
    }

    const ROW: &str = "p0,w0,0,0,0,0,0,0,100,200,0,1100,1200,\n";

    #[test]
    fn a_missing_stamp_is_past_the_drain() {
        let rows = rows(&format!("{ROW}p0,w0,0,0,0,1,1,0,100,,,1100,,\n")).unwrap();
        let stored = rows.distribution(&SCHEDULED_TO_STORED);
        assert_eq!((stored.n(), stored.missing(), stored.over_slo()), (2, 1, 1));
        assert_eq!((stored.min_ms(), stored.max_ms()), (Value::Finite(1.2), Value::PastDrain));
        assert_eq!((rows.len(), rows.count(columns::AFTER_STORE_US), rows.cut_off), (2, 1, false));
    }

    #[test]
    fn columns_are_found_by_name() {
        let mut order: Vec<(&str, &str)> = COLUMNS.into_iter().zip(ROW.trim_end().split(',')).collect();
        order.reverse();
        let (names, fields): (Vec<&str>, Vec<&str>) = order.into_iter().unzip();
        let reordered =
            read("run.csv", format!("{},extra\n{},x\n", names.join(","), fields.join(",")).as_bytes()).unwrap();
        assert!(reordered.frame.equals_missing(&rows(ROW).unwrap().frame));
    }

    #[test]
    fn a_last_line_that_was_cut_off_is_told_and_not_counted() {
        let rows = rows(&format!("{ROW}p0,w0,0,0,0,1,1,0,10")).unwrap();
        assert_eq!((rows.len(), rows.cut_off), (1, true));
    }

    #[test]
    fn repeated_events_are_counted() {
        let twice = rows(&format!("{ROW}{ROW}{}", ROW.replacen("p0", "p1", 1))).unwrap();
        assert_eq!(twice.repeated(), 1);
    }

    #[test]
    fn bad_rows_are_told_with_file_and_line() {
        let told = |lines: &str| {
            let error = told(lines);
            assert!(error.contains("run.csv"), "{error}");
            error
        };
        assert!(told("").contains("a header and no rows"));
        assert!(told(&format!("{ROW}p0,w0,0\n")).contains("line 3: has 3 fields"));
        assert!(told(&ROW.replace("1200", "12OO")).contains("line 2: `after_store_us` is `12OO`"));
        assert!(told(&ROW.replace("1200", "92233720368547758070")).contains("64 bits"));
        assert!(told(&ROW.replace("1200", "9223372036854775807")).contains("not a time"));
        assert!(told(",w0,0,0,0,0,0,0,100,200,0,1100,1200,\n").contains("`source` is empty"));
        assert!(told(&format!("{ROW}p0,w0,0,0,0,0,,0,,,,,,\n")).contains("line 3: `sequence` is empty"));
        let missing = read("run.csv", COLUMNS.join(",").replace("append_ms", "append").as_bytes());
        assert!(missing.unwrap_err().to_string().contains("within its header"));
        let missing =
            read("run.csv", format!("{}\n{ROW}", COLUMNS.join(",").replace("append_ms", "append")).as_bytes());
        assert!(missing.unwrap_err().to_string().contains("lacks the column append_ms"));
    }

    #[test]
    fn what_is_no_file_of_rows_is_told() {
        let directory = tempfile::tempdir().unwrap();
        assert!(super::read(directory.path()).unwrap_err().to_string().contains("is a directory"));
        assert!(super::read(&directory.path().join("none.csv")).unwrap_err().to_string().contains("No such file"));
        assert!(read("run.parquet", b"PAR1 and no more").unwrap_err().to_string().contains("not a whole Parquet file"));
        let path = directory.path().to_owned();
        assert!(find(vec![path.clone(), path]).unwrap_err().to_string().contains("twice"));
        assert!(in_directory(directory.path()).unwrap_err().to_string().contains("no recorded run"));
    }

    #[test]
    fn parquet_holds_the_same_rows() {
        let mut frame = rows(ROW).unwrap().frame;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.parquet");
        let writer = ParquetWriter::new(File::create(&path).unwrap()).with_compression(ParquetCompression::Zstd(None));
        writer.finish(&mut frame).unwrap();
        assert!(super::read(&path).unwrap().frame.equals_missing(&frame));
    }
}

//! The rows of a run once more, typed, in Parquet.
//!
//! A run streams its rows to CSV, since a Parquet file cannot be read before its end is written, and a killed run would
//! lose them all. So the CSV is converted when it is whole: row group by row group, in bounded memory.

use std::{collections::HashMap, fs::File, io, path::Path, sync::Arc};

use parquet::{
    basic::{Compression, Encoding, ZstdLevel},
    column::writer::ColumnWriter,
    data_type::ByteArray,
    errors::ParquetError,
    file::{
        properties::WriterProperties,
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::{parser::parse_message_type, types::ColumnPath},
};

use shasta_model::{
    atomic_file,
    columns::{COLUMNS, DESTINATION, PARTITION, PRODUCER, SCHEDULED_US, SEQUENCE, SOURCE, TAG},
};

/// Rows of a group, of which one is in memory at a time: about 120 bytes a row.
const GROUP_ROWS: usize = 1 << 20;
/// Values that are handed to the writer at once.
const BATCH_ROWS: usize = 1 << 13;
/// The columns of text; all others are whole numbers.
const TEXT: [&str; 2] = [SOURCE, DESTINATION];
/// The columns that each row fills.
const ALWAYS: [&str; 6] = [SOURCE, PRODUCER, TAG, PARTITION, SEQUENCE, SCHEDULED_US];

/// Why rows were not converted.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// The file of rows cannot be read.
    #[error(transparent)]
    Csv(#[from] csv::Error),
    /// A line is not a row.
    #[error("line {line}: `{column}` is `{text}`, which it cannot be")]
    Field {
        /// Line, the header being 1.
        line: u64,
        /// Which column.
        column: &'static str,
        /// What it holds.
        text: String,
    },
    /// The first line does not name the columns.
    #[error("the first line is not `{}`", COLUMNS.join(","))]
    Header,
    /// The new file cannot be written: the disk is full.
    #[error(transparent)]
    Parquet(#[from] ParquetError),
    /// The new file cannot be created or given its name.
    #[error(transparent)]
    File(#[from] io::Error),
}

/// Converts the file of rows `csv` to `parquet`, which is there whole or not at all and replaces no other file; returns
/// how many rows it holds. Text is UTF-8 with a dictionary, numbers are INT64, and what the CSV leaves empty is null.
///
/// # Errors
/// A line is not a row, the disk is full, or `parquet` exists. `csv` is never touched.
pub fn to_parquet(csv: &Path, parquet: &Path) -> Result<u64, ConvertError> {
    let mut file = atomic_file::beside(parquet)?;
    let rows = convert(csv::Reader::from_path(csv)?, file.as_file_mut(), GROUP_ROWS)?;
    file.persist_noclobber(parquet).map_err(|error| error.error)?;
    Ok(rows)
}

fn convert(mut csv: csv::Reader<File>, file: &mut File, group_rows: usize) -> Result<u64, ConvertError> {
    if *csv.headers()? != COLUMNS[..] {
        return Err(ConvertError::Header);
    }
    let mut writer = SerializedFileWriter::new(file, Arc::new(schema()?), Arc::new(properties()?))?;
    let mut group = Group::default();
    let mut row = csv::StringRecord::new();
    while csv.read_record(&mut row)? {
        group.push(&row)?;
        if group.rows == group_rows {
            group.write(writer.next_row_group()?)?;
        }
    }
    if group.rows > 0 {
        group.write(writer.next_row_group()?)?;
    }
    Ok(writer.close()?.file_metadata().num_rows().unsigned_abs())
}

fn schema() -> Result<parquet::schema::types::Type, ParquetError> {
    let field = |name: &str| {
        let repetition = if ALWAYS.contains(&name) { "REQUIRED" } else { "OPTIONAL" };
        if TEXT.contains(&name) {
            format!("{repetition} BYTE_ARRAY {name} (STRING);")
        } else {
            format!("{repetition} INT64 {name};")
        }
    };
    parse_message_type(&format!("message row {{ {} }}", COLUMNS.map(field).concat()))
}

/// Stamps and offsets ascend, so their differences take fewer bytes than they do; a dictionary of them would be as long
/// as the column.
fn properties() -> Result<WriterProperties, ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_encoding(Encoding::DELTA_BINARY_PACKED)
        .set_dictionary_enabled(false);
    let text = TEXT.into_iter().fold(properties, |properties, name| {
        let path = ColumnPath::from(name);
        properties.set_column_encoding(path.clone(), Encoding::PLAIN).set_column_dictionary_enabled(path, true)
    });
    Ok(text.build())
}

/// The rows of one group, column by column.
#[derive(Default)]
struct Group {
    columns: [Column; COLUMNS.len()],
    rows: usize,
}

impl Group {
    fn push(&mut self, row: &csv::StringRecord) -> Result<(), ConvertError> {
        for ((column, name), field) in self.columns.iter_mut().zip(COLUMNS).zip(row) {
            if !column.push(name, field) {
                let line = row.position().map_or(0, csv::Position::line);
                return Err(ConvertError::Field { line, column: name, text: field.to_owned() });
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// Writes the group, and empties it for the next.
    fn write(&mut self, mut group: SerializedRowGroupWriter<'_, &mut File>) -> Result<(), ParquetError> {
        for (column, name) in self.columns.iter_mut().zip(COLUMNS) {
            let mut writer = group.next_column()?.ok_or_else(|| ParquetError::General(format!("no column {name}")))?;
            column.write(name, writer.untyped())?;
            writer.close()?;
            column.clear();
        }
        self.rows = 0;
        group.close().map(drop)
    }
}

/// The values of one column in one group.
#[derive(Default)]
struct Column {
    /// The values that are there; of text, their numbers in `texts`.
    values: Vec<i64>,
    /// For each row 1 if it has a value, else 0.
    present: Vec<i16>,
    texts: Vec<ByteArray>,
    numbers: HashMap<String, i64>,
}

impl Column {
    /// Takes a field; false when the column cannot hold it.
    fn push(&mut self, name: &str, field: &str) -> bool {
        if field.is_empty() {
            self.present.push(0);
            return !ALWAYS.contains(&name);
        }
        let value = if TEXT.contains(&name) { Some(self.number(field)) } else { field.parse().ok() };
        self.present.push(1);
        self.values.extend(value);
        value.is_some()
    }

    fn number(&mut self, text: &str) -> i64 {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = self.texts.len() as i64;
        self.texts.push(text.into());
        self.numbers.insert(text.to_owned(), number);
        number
    }

    fn write(&self, name: &str, writer: &mut ColumnWriter<'_>) -> Result<(), ParquetError> {
        let mut values = &self.values[..];
        for present in self.present.chunks(BATCH_ROWS) {
            let count = present.iter().filter(|&&present| present == 1).count();
            let (batch, rest) = values.split_at(count);
            values = rest;
            // A column that is always filled has no such levels.
            let levels = (!ALWAYS.contains(&name)).then_some(present);
            match writer {
                ColumnWriter::Int64ColumnWriter(numbers) => numbers.write_batch(batch, levels, None)?,
                ColumnWriter::ByteArrayColumnWriter(texts) => {
                    let batch: Vec<_> = batch.iter().map(|&number| self.texts[number as usize].clone()).collect();
                    texts.write_batch(&batch, levels, None)?
                }
                _ => return Err(ParquetError::General(format!("{name} is neither text nor a number"))),
            };
        }
        Ok(())
    }

    fn clear(&mut self) {
        self.values.clear();
        self.present.clear();
        self.texts.clear();
        self.numbers.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use parquet::{
        basic::{LogicalType, Repetition, Type},
        file::{
            reader::{FileReader, SerializedFileReader},
            statistics::Statistics,
        },
        record::Field,
    };
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;
    use crate::output::rows::{Row, Rows};

    fn row() -> impl Strategy<Value = Row> {
        let stamps = proptest::array::uniform6(proptest::option::of(any::<i64>()));
        let whole = 0..=i64::MAX as u64;
        let names = ("p[0-9]{1,2}", "(w[0-9])?", any::<u32>(), whole.clone(), any::<i32>());
        (names, proptest::option::of(0..i64::MAX), whole, any::<i64>(), stamps).prop_map(
            |((source, destination, producer, tag, partition), offset, sequence, scheduled_us, stamps)| {
                let [before_publish_us, after_publish_us, append_ms, after_consume_us, after_store_us, after_read_us] =
                    stamps;
                Row {
                    source,
                    destination,
                    producer,
                    tag,
                    partition,
                    offset,
                    sequence,
                    scheduled_us,
                    before_publish_us,
                    after_publish_us,
                    append_ms,
                    after_consume_us,
                    after_store_us,
                    after_read_us,
                }
            },
        )
    }

    fn written(rows: &[Row]) -> (TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.csv");
        let mut file = Rows::create(&path).unwrap();
        rows.iter().for_each(|row| file.write(row).unwrap());
        file.flush().unwrap();
        (directory, path)
    }

    /// The fields of all rows, as the CSV would show them.
    fn read(parquet: &Path) -> Vec<Vec<String>> {
        let text = |field: &Field| match field {
            Field::Null => String::new(),
            Field::Str(text) => text.clone(),
            Field::Long(number) => number.to_string(),
            other => panic!("{other:?} is in no row"),
        };
        let rows = SerializedFileReader::new(File::open(parquet).unwrap()).unwrap().into_iter();
        rows.map(|row| row.unwrap().get_column_iter().map(|(_, field)| text(field)).collect()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn parquet_holds_what_the_csv_held(rows in proptest::collection::vec(row(), 0..40), group_rows in 1_usize..16) {
            let (directory, csv) = written(&rows);
            let parquet = directory.path().join("run.parquet");
            let mut file = File::create_new(&parquet).unwrap();
            let converted = convert(csv::Reader::from_path(&csv).unwrap(), &mut file, group_rows).unwrap();
            prop_assert_eq!(converted, rows.len() as u64);
            let records = csv::Reader::from_path(&csv).unwrap().into_records();
            let expected: Vec<Vec<_>> = records.map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
            prop_assert_eq!(read(&parquet), expected);
            let reader = SerializedFileReader::new(File::open(&parquet).unwrap()).unwrap();
            prop_assert_eq!(reader.num_row_groups(), rows.len().div_ceil(group_rows));
        }
    }

    fn three_rows() -> [Row; 3] {
        let unsent = Row { source: "p0".into(), tag: 7, scheduled_us: 1_000, ..Row::default() };
        let sent = Row { destination: "w1".into(), after_store_us: Some(2_500), ..unsent.clone() };
        [unsent, sent.clone(), Row { source: "p1".into(), after_store_us: Some(-3), ..sent }]
    }

    #[test]
    fn columns_are_typed_and_have_statistics() {
        let (directory, csv) = written(&three_rows());
        let parquet = directory.path().join("run.parquet");
        assert_eq!(to_parquet(&csv, &parquet).unwrap(), 3);
        let reader = SerializedFileReader::new(File::open(&parquet).unwrap()).unwrap();
        let group = reader.metadata().row_group(0);
        assert_eq!(group.columns().iter().map(|column| column.column_path().string()).collect::<Vec<_>>(), COLUMNS);
        for (column, name) in group.columns().iter().zip(COLUMNS) {
            let info = column.column_descr().self_type().get_basic_info();
            let (kind, logical) =
                if TEXT.contains(&name) { (Type::BYTE_ARRAY, Some(LogicalType::String)) } else { (Type::INT64, None) };
            assert_eq!((column.column_type(), info.logical_type_ref()), (kind, logical.as_ref()), "{name}");
            assert_eq!(info.repetition() == Repetition::REQUIRED, ALWAYS.contains(&name), "{name}");
            assert!(matches!(column.compression(), Compression::ZSTD(_)), "{name}");
            assert_eq!(column.dictionary_page_offset().is_some(), TEXT.contains(&name), "{name}");
        }
        let Some(Statistics::Int64(stored)) = group.column(12).statistics() else { panic!("statistics are missing") };
        assert_eq!((stored.min_opt(), stored.max_opt(), stored.null_count_opt()), (Some(&-3), Some(&2_500), Some(1)));
        assert_eq!(group.column(1).statistics().and_then(Statistics::null_count_opt), Some(1));
    }

    #[test]
    fn the_columns_that_are_always_filled_are_those_of_a_row() {
        let (_directory, csv) = written(&three_rows()[..1]);
        let unsent = csv::Reader::from_path(csv).unwrap().into_records().next().unwrap().unwrap();
        let filled: Vec<_> = COLUMNS.into_iter().zip(&unsent).filter(|(_, field)| !field.is_empty()).collect();
        assert_eq!(filled.into_iter().map(|(name, _)| name).collect::<Vec<_>>(), ALWAYS);
    }

    #[test]
    fn what_is_not_converted_leaves_nothing_and_replaces_nothing() {
        let (directory, csv) = written(&three_rows());
        let parquet = directory.path().join("run.parquet");
        fs::write(&parquet, "another's").unwrap();
        let exists = to_parquet(&csv, &parquet).unwrap_err();
        assert!(matches!(exists, ConvertError::File(ref error) if error.kind() == io::ErrorKind::AlreadyExists));
        assert_eq!(fs::read(&parquet).unwrap(), b"another's");
        fs::remove_file(&parquet).unwrap();

        let whole = fs::read_to_string(&csv).unwrap();
        let told = |text: &str| {
            fs::write(&csv, text).unwrap();
            let error = to_parquet(&csv, &parquet).unwrap_err().to_string();
            assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "the CSV alone");
            error
        };
        assert_eq!(told(&whole.replace("2500", "25OO")), "line 3: `after_store_us` is `25OO`, which it cannot be");
        assert_eq!(told(&whole.replace("p1", "")), "line 4: `source` is ``, which it cannot be");
        assert!(told(&whole[..whole.len() - 5]).contains("found record with"));
        assert!(told(&whole.replace("append_ms", "append")).contains("the first line is not `source,"));
    }
}

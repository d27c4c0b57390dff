//! The footer of a Parquet file, which says where everything is.

use std::{fs::File, os::unix::fs::FileExt};

use polars_parquet::{parquet::metadata::FileMetadata, read::read_metadata};

use super::{catch_panic::caught, columnar::Failure, format, schema::Schema};

/// Reads it; the file has `bytes` bytes.
///
/// # Errors
/// A file that is something else, or is cut off or damaged.
pub fn read(file: &File, bytes: u64) -> Result<FileMetadata, Failure> {
    let mut first = [0; format::START_BYTES];
    let first = &mut first[..format::START_BYTES.min(usize::try_from(bytes).unwrap_or(format::START_BYTES))];
    file.read_exact_at(first, 0).map_err(Failure::Io)?;
    if b"PAR1".starts_with(first) {
        return Err(Failure::Broken(format!("it has {bytes} bytes")));
    }
    if !first.starts_with(b"PAR1") {
        let text = first.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n'));
        let none = if text {
            "is text, not Parquet; let its name end in .csv"
        } else {
            "is not Parquet; name it by what it is"
        };
        let what = format::of(first).unwrap_or(none);
        return Err(Failure::Type(what.to_owned()));
    }
    let mut last = [0; 4];
    file.read_exact_at(&mut last, bytes.saturating_sub(4)).map_err(Failure::Io)?;
    match &last {
        b"PAR1" => {}
        b"PARE" => return Err(Failure::Type(format::ENCRYPTED.to_owned())),
        _ => return Err(Failure::Broken("its end is missing, which says where everything is".to_owned())),
    }
    let mut file = file.try_clone().map_err(Failure::Io)?;
    let footer = caught(|| read_metadata(&mut file)).map_err(Failure::Broken)?;
    footer.map_err(|error| Failure::of_decoder(&error, "footer"))
}

/// No encoding packs stamps more closely: recorded rows take some 16 bytes each.
const ROWS_A_BYTE_MAX: u64 = 1024;

/// Counts in a damaged footer are refused before memory is asked for so many rows.
///
/// # Errors
/// What does not add up.
pub fn check_counts(metadata: &FileMetadata, schema: &Schema, bytes: u64) -> Result<(), &'static str> {
    let rows = metadata.row_groups.iter().try_fold(0_usize, |sum, group| sum.checked_add(group.num_rows()));
    if rows != Some(metadata.num_rows) || metadata.num_rows as u64 > bytes.saturating_mul(ROWS_A_BYTE_MAX) {
        return Err("the rows of its groups do not add up to its rows");
    }
    let even = metadata.row_groups.iter().all(|group| {
        let mut chunks = schema.columns().iter().map(|column| group.parquet_columns().get(column.place));
        chunks.all(|chunk| chunk.is_some_and(|chunk| usize::try_from(chunk.num_values()) == Ok(group.num_rows())))
    });
    if even { Ok(()) } else { Err("columns of one group of rows have other numbers of values") }
}

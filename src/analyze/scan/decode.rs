//! Columns of a Parquet file as numbers and names. Pages are decoded by polars, their values turned into ours by
//! [`super::values`]: so a type is read if and only if [`super::schema`] says so, whatever the rest of polars was built
//! with.

use std::{fs::File, io::Cursor, ops::Range, path::Path};

use polars::{polars_utils::mmap::MMapSemaphore, prelude::PlSmallStr};
use polars_arrow::{
    array::{Array, BinaryViewArray, DictionaryArray, Utf8ViewArray},
    datatypes::{ArrowDataType, DTYPE_CATEGORICAL_NEW, Field, IntegerType},
};
use polars_buffer::Buffer;
use polars_parquet::{
    parquet::metadata::{FileMetadata, RowGroupMetadata},
    read::{BasicDecompressor, Filter, PageReader, column_iter_to_arrays},
};

use super::{
    catch_panic::caught,
    columnar::Failure,
    footer,
    keyed::Keyed,
    schema::{FileColumn, Schema},
    values::{Numbers, downcast},
};
use crate::{input::Error, row::MISSING};

/// A file that was opened, and what its footer says.
pub struct Columns {
    bytes: Buffer<u8>,
    /// The footer.
    pub metadata: FileMetadata,
    /// Its columns.
    pub schema: Schema,
}

/// Some rows of one group.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Number of the group.
    pub group: usize,
    /// Rows of the group.
    pub rows: Range<usize>,
    /// Number of the first of them in the file.
    pub start: usize,
}

impl Columns {
    /// Opens a file of `bytes` bytes.
    ///
    /// # Errors
    /// A file that is not Parquet, or lacks columns, or has them in types that hold no names or whole numbers.
    pub fn open(path: &Path, file: &File, bytes: u64) -> Result<Self, Error> {
        let not_rows = |what: String| Error::NotRows { path: path.to_owned(), what };
        let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
        let metadata = footer::read(file, bytes).map_err(|failure| match failure {
            Failure::Io(source) => unreadable(source),
            failure => not_rows(failure.told()),
        })?;
        let schema = Schema::of(&metadata).map_err(not_rows)?;
        footer::check_counts(&metadata, &schema, bytes)
            .map_err(|what| not_rows(Failure::Broken(what.to_owned()).told()))?;
        let mapped = MMapSemaphore::new_from_file(file).map_err(|error| unreadable(std::io::Error::other(error)))?;
        Ok(Self { bytes: Buffer::from_owner(mapped), metadata, schema })
    }

    /// The pieces that some rows of the file are in.
    pub fn pieces(&self, rows: &Range<usize>) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut start = 0;
        for (number, group) in self.metadata.row_groups.iter().enumerate() {
            let end = start + group.num_rows();
            let within = rows.start.max(start)..rows.end.min(end);
            if !within.is_empty() {
                pieces.push(Piece {
                    group: number,
                    rows: within.start - start..within.end - start,
                    start: within.start,
                });
            }
            start = end;
        }
        pieces
    }

    /// A column's numbers.
    ///
    /// # Errors
    /// Pages that cannot be decoded.
    pub fn numbers(&self, name: &str, piece: &Piece) -> Result<Numbers, Failure> {
        let column = self.column(name)?;
        Numbers::of(&self.arrays(column, &column.decoded, piece)?, column)
    }

    /// A column's names: their bytes, which nothing has looked at yet.
    ///
    /// # Errors
    /// Pages that cannot be decoded; more names than any run has.
    pub fn names(&self, name: &str, piece: &Piece) -> Result<Keyed, Failure> {
        let column = self.column(name)?;
        let keyed = if column.decoded != ArrowDataType::BinaryView {
            // Numbers are names, too, and a column in which all is missing is often one of numbers.
            let Numbers { values, bad } = self.numbers(name, piece)?;
            if let Some((row, what)) = bad.into_iter().next() {
                return Err(Failure::Row(piece.start + row + 1, format!("`{name}` {what}")));
            }
            let names: Vec<_> = values.iter().map(|&number| (number != MISSING).then(|| number.to_string())).collect();
            Keyed::of(&[BinaryViewArray::from_slice(&names)])
        } else if let Some(keyed) = self.dictionary(column, piece) {
            return Ok(keyed);
        } else {
            let arrays = self.arrays(column, &column.decoded, piece)?;
            let arrays = arrays.iter().map(|array| downcast::<BinaryViewArray>(&**array).cloned());
            Keyed::of(&arrays.collect::<Result<Vec<_>, _>>()?)
        };
        keyed.ok_or_else(|| Failure::Type(format!("has more than 65,534 names in its column `{name}`, as no run has")))
    }

    /// Names as the file has them, if it keeps each once and all of them so: a few numbers instead of a million texts.
    fn dictionary(&self, column: &FileColumn, piece: &Piece) -> Option<Keyed> {
        let group = &self.metadata.row_groups[piece.group];
        group.parquet_columns()[column.place].dictionary_page_offset()?;
        let decoded = ArrowDataType::Dictionary(IntegerType::UInt16, Box::new(ArrowDataType::Utf8View), false);
        let arrays = self.arrays(column, &decoded, piece).ok()?;
        let [array] = &arrays[..] else { return None };
        let array = array.as_any().downcast_ref::<DictionaryArray<u16>>()?;
        let names = array.values().as_any().downcast_ref::<Utf8ViewArray>()?;
        let mut distinct: Vec<Box<[u8]>> = names.values_iter().map(|name| name.as_bytes().into()).collect();
        let keys = array.keys();
        let Some(valid) = keys.validity().filter(|_| keys.null_count() > 0) else {
            return Some(Keyed { keys: keys.values().clone(), distinct });
        };
        let none = u16::try_from(distinct.len()).ok()?;
        distinct.push(Box::default());
        let keys = keys.values().iter().zip(valid.iter()).map(|(&key, valid)| if valid { key } else { none });
        Some(Keyed { keys: Buffer::from_vec(keys.collect()), distinct })
    }

    fn column(&self, name: &str) -> Result<&FileColumn, Failure> {
        self.schema.column(name).ok_or_else(|| Failure::Type(format!("lacks the column {name}")))
    }

    fn arrays(
        &self,
        column: &FileColumn,
        decoded: &ArrowDataType,
        piece: &Piece,
    ) -> Result<Vec<Box<dyn Array>>, Failure> {
        let group: &RowGroupMetadata = &self.metadata.row_groups[piece.group];
        let chunk = &group.parquet_columns()[column.place];
        let range = chunk.byte_range();
        let place = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        let place = place.filter(|&(start, end)| start <= end && end <= self.bytes.len());
        let Some((start, end)) = place else {
            return Err(Failure::Broken(format!("its column `{}` lies past the end of the file", column.name)));
        };
        let pages = PageReader::new(Cursor::new(self.bytes.clone().sliced(start..end)), chunk, vec![], end - start);
        let pages = BasicDecompressor::new(pages, vec![]);
        let mut field = Field::new(column.name.into(), decoded.clone(), true);
        if matches!(decoded, ArrowDataType::Dictionary(..)) {
            // What tells the decoder to leave keys as they are.
            let categories = [(DTYPE_CATEGORICAL_NEW.into(), PlSmallStr::EMPTY)];
            field = field.with_metadata(categories.into_iter().collect());
        }
        let rows = Some(Filter::new_ranged(piece.rows.start, piece.rows.end));
        let kind = &chunk.descriptor().descriptor.primitive_type;
        let decoded =
            caught(|| column_iter_to_arrays(vec![pages], vec![kind], field, rows)).map_err(Failure::Broken)?;
        let (arrays, _) = decoded.map_err(|error| Failure::of_decoder(&error, column.name))?;
        let rows: usize = arrays.iter().map(|array| array.len()).sum();
        if rows != piece.rows.len() {
            // A damaged footer may make columns of different lengths.
            let (name, wanted) = (column.name, piece.rows.len());
            return Err(Failure::Broken(format!("of {wanted} rows its column `{name}` has {rows}")));
        }
        Ok(arrays)
    }
}

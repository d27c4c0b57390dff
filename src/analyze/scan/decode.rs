//! Columns of a Parquet file as numbers and names. Pages are decoded by polars, values turned into ours here: so a type
//! is read if and only if [`super::schema`] says so, whatever the rest of polars was built with.

use std::{collections::HashMap, fs::File, io::Cursor, ops::Range, path::Path};

use polars::{polars_utils::mmap::MMapSemaphore, prelude::PlSmallStr};
use polars_arrow::{
    array::{Array, BinaryViewArray, DictionaryArray, PrimitiveArray, Utf8ViewArray},
    datatypes::{ArrowDataType, DTYPE_CATEGORICAL_NEW, Field, IntegerType},
    types::NativeType,
};
use polars_buffer::Buffer;
use polars_parquet::{
    parquet::metadata::{FileMetadata, RowGroupMetadata},
    read::{BasicDecompressor, Filter, PageReader, column_iter_to_arrays},
};

use super::{
    caught::caught,
    columnar::Failure,
    field, footer,
    schema::{FileColumn, Schema},
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

/// The integers of a column, [`MISSING`] where there is none.
pub struct Numbers {
    /// One a row.
    pub values: Buffer<i64>,
    /// Rows of the piece whose value is no whole number, and what is wrong with it.
    pub bad: Vec<(usize, String)>,
}

/// The names of a column: each once, and which of them each row has.
pub struct Keyed {
    /// Places in `distinct`, one a row.
    pub keys: Buffer<u16>,
    /// Names; empty where there is none.
    pub distinct: Vec<Box<[u8]>>,
}

/// Entries of a table of keys by the views of their names; a power of two.
const VIEW_SLOTS: usize = 1 << 12;

impl Keyed {
    /// None with more names than there are keys.
    pub fn of(arrays: &[BinaryViewArray]) -> Option<Self> {
        let mut keys = Vec::with_capacity(arrays.iter().map(BinaryViewArray::len).sum());
        let mut known: HashMap<&[u8], u16> = HashMap::new();
        let mut key = |name| {
            let next = u16::try_from(known.len()).ok().filter(|&next| next < u16::MAX)?;
            Some(*known.entry(name).or_insert(next))
        };
        let mut slots = vec![(u128::MAX, 0); VIEW_SLOTS];
        for array in arrays {
            slots.fill((u128::MAX, 0));
            for (k, view) in array.views().iter().enumerate() {
                if array.validity().is_some_and(|valid| !valid.get_bit(k)) {
                    keys.push(key(&[])?);
                    continue;
                }
                // Within an array equal views (a name's bytes, or its place) are equal names: few have to be looked up.
                let view = view.as_u128();
                let slot = &mut slots[slot(view)];
                if slot.0 != view {
                    *slot = (view, key(array.value(k))?);
                }
                keys.push(slot.1);
            }
        }
        let mut distinct = vec![Box::default(); known.len()];
        known.into_iter().for_each(|(name, key)| distinct[usize::from(key)] = name.into());
        Some(Self { keys: Buffer::from_vec(keys), distinct })
    }

    /// The name of each row.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.keys.iter().map(|&key| &*self.distinct[usize::from(key)])
    }
}

fn slot(view: u128) -> usize {
    let mixed = (view as u64 ^ (view >> 64) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    // The upper bits depend on all bytes of a name, the lower ones on its first.
    (mixed >> 48) as usize % VIEW_SLOTS
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
        let mut arrays = self.arrays(column, &column.decoded, piece)?;
        if let [array] = &mut arrays[..]
            && column.units == 1
            && let Some(array) = array.as_any_mut().downcast_mut::<PrimitiveArray<i64>>()
            && array.null_count() == 0
        {
            return Ok(Numbers { values: array.values().clone(), bad: Vec::new() });
        }
        let mut numbers = Collected { values: Vec::with_capacity(piece.rows.len()), bad: Vec::new() };
        arrays.iter().try_for_each(|array| numbers.extend(&**array, column))?;
        Ok(Numbers { values: Buffer::from_vec(numbers.values), bad: numbers.bad })
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

fn downcast<T: 'static>(array: &dyn Array) -> Result<&T, Failure> {
    // Decoders return what they were asked for.
    array.as_any().downcast_ref().ok_or_else(|| Failure::Broken("its values are of another type".to_owned()))
}

/// Numbers of several arrays.
struct Collected {
    values: Vec<i64>,
    bad: Vec<(usize, String)>,
}

impl Collected {
    fn extend(&mut self, array: &dyn Array, column: &FileColumn) -> Result<(), Failure> {
        let units = column.units;
        match array.dtype() {
            ArrowDataType::Int64 if units == 1 => self.each::<i64>(array, Ok),
            ArrowDataType::Int32 if units == 1 => self.each::<i32>(array, |value| Ok(value.into())),
            ArrowDataType::Int32 => self.each::<i32>(array, |value| in_units(value.into(), units)),
            ArrowDataType::UInt32 => self.each::<u32>(array, |value| Ok(value.into())),
            ArrowDataType::UInt64 => self.each::<u64>(array, |value| in_units(value.into(), 1)),
            ArrowDataType::Int64 | ArrowDataType::Timestamp(..) => {
                self.each::<i64>(array, |value| in_units(value.into(), units))
            }
            ArrowDataType::Decimal(..) => self.each::<i128>(array, |value| in_units(value, units)),
            ArrowDataType::Float32 => self.each::<f32>(array, |value| whole(value.into(), f32::MANTISSA_DIGITS)),
            ArrowDataType::Float64 => self.each::<f64>(array, |value| whole(value, f64::MANTISSA_DIGITS)),
            _ => {
                let texts = downcast::<BinaryViewArray>(array)?;
                for text in texts.iter() {
                    let text = String::from_utf8_lossy(text.unwrap_or_default());
                    self.push(field::whole(text.trim()).map_err(|why| field::told(&text, why)));
                }
                Ok(())
            }
        }
    }

    fn each<T: NativeType>(
        &mut self,
        array: &dyn Array,
        value: impl Fn(T) -> Result<i64, String>,
    ) -> Result<(), Failure> {
        let array = downcast::<PrimitiveArray<T>>(array)?;
        match array.validity() {
            None => array.values().iter().for_each(|&raw| self.push(value(raw))),
            Some(valid) => {
                let values = array.values().iter().zip(valid.iter());
                values.for_each(|(&raw, valid)| self.push(if valid { value(raw) } else { Ok(MISSING) }));
            }
        }
        Ok(())
    }

    #[inline]
    fn push(&mut self, value: Result<i64, String>) {
        let value = value.unwrap_or_else(|what| {
            self.bad.push((self.values.len(), what));
            MISSING
        });
        self.values.push(value);
    }
}

/// A value that counts units of which `units` are one of ours.
fn in_units(value: i128, units: i64) -> Result<i64, String> {
    let (ours, rest) = (value / i128::from(units), value % i128::from(units));
    match i64::try_from(ours) {
        Ok(ours) if rest == 0 && ours != MISSING => Ok(ours),
        Ok(_) if rest != 0 => {
            let (sign, width) = (if value < 0 { "-" } else { "" }, units.ilog10() as usize);
            Err(field::told(&format!("{sign}{}.{:0width$}", ours.abs(), rest.abs()), field::NOT_WHOLE))
        }
        _ => Err(field::told(&ours.to_string(), field::NOT_WHOLE)),
    }
}

/// A floating-point number that holds a whole one, of whose digits none may have been lost; NaN is what other programs
/// make of a missing one.
fn whole(value: f64, digits: u32) -> Result<i64, String> {
    if value.is_nan() {
        return Ok(MISSING);
    }
    let why = if value.fract() != 0.0 || value.is_infinite() {
        field::NOT_WHOLE
    } else if value.abs() > (1_u64 << digits) as f64 {
        field::DIGITS_LOST
    } else {
        return Ok(value as i64);
    };
    Err(field::told(&value.to_string(), why))
}

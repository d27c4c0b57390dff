//! The schema of a Parquet file of rows: which of its columns is which of ours, and what its type makes of a value.
//! Programs that rewrote the rows may have chosen other types; whatever holds whole numbers and names is read.

use polars_arrow::datatypes::ArrowDataType;
use polars_parquet::{
    parquet::{
        compression::Compression,
        metadata::FileMetadata,
        schema::{Repetition, types::IntegerType},
    },
    read::{ParquetTimeUnit, ParquetType, PhysicalType, PrimitiveConvertedType, PrimitiveLogicalType},
};

use super::layout::{Field, Layout};
use shasta_model::columns::{APPEND_MS, COLUMNS};

/// One of our columns as a file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileColumn {
    /// Ours.
    pub name: &'static str,
    /// Its place among the columns of the file.
    pub place: usize,
    /// As what its values are decoded.
    pub decoded: ArrowDataType,
    /// So many units of a decoded value are one of ours: 1000 where it counts nanoseconds and we count microseconds.
    pub units: i64,
}

/// The columns of a file, in the order of [`COLUMNS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema(Vec<FileColumn>);

impl Schema {
    /// From a file's footer.
    ///
    /// # Errors
    /// What is wrong with it and what to do, in words.
    pub fn of(metadata: &FileMetadata) -> Result<Self, String> {
        let fields = metadata.schema().fields();
        let layout = Layout::named(fields.iter().map(|field| field.name().to_owned()).collect())?;
        let mut columns = Vec::with_capacity(COLUMNS.len());
        for name in COLUMNS {
            let Some(at) = layout.fields.iter().position(|field| field.column() == Some(name)) else { continue };
            let told = |(is, must_be): (String, &str)| {
                format!("has the column `{name}` as {is}, and it must be {must_be}; cast it and write the file again")
            };
            let (decoded, units) = decoded(&fields[at], layout.fields[at], name).map_err(told)?;
            // Columns before it may be nested, and take several places.
            let place = fields[..at].iter().map(leaves).sum();
            columns.push(FileColumn { name, place, decoded, units });
        }
        let schema = Self(columns);
        schema.check_codecs(metadata)?;
        Ok(schema)
    }

    /// A column of ours.
    pub fn column(&self, name: &str) -> Option<&FileColumn> {
        self.0.iter().find(|column| column.name == name)
    }

    /// All of them.
    pub fn columns(&self) -> &[FileColumn] {
        &self.0
    }

    /// The one codec of the format that is not decoded.
    fn check_codecs(&self, metadata: &FileMetadata) -> Result<(), String> {
        let chunks = metadata.row_groups.iter().flat_map(|group| {
            self.0.iter().filter_map(|column| Some((column.name, group.parquet_columns().get(column.place)?)))
        });
        match chunks.into_iter().find(|(_, chunk)| chunk.compression() == Compression::Lzo) {
            Some((name, _)) => Err(format!(
                "has the column `{name}` compressed with LZO, which is not read here; write the file again with zstd"
            )),
            None => Ok(()),
        }
    }
}

/// Columns of the file that a field of its schema takes.
fn leaves(field: &ParquetType) -> usize {
    match field {
        ParquetType::PrimitiveType(_) => 1,
        ParquetType::GroupType { fields, .. } => fields.iter().map(leaves).sum(),
    }
}

/// As what a column is decoded, and how many of its units are one of ours; else what it is, and what it must be.
fn decoded(field: &ParquetType, ours: Field, name: &str) -> Result<(ArrowDataType, i64), (String, &'static str)> {
    let must_be = match ours {
        Field::Name(_) => "text",
        _ if name == APPEND_MS => "whole numbers, ms of the Unix epoch",
        _ if name.ends_with("_us") => "whole numbers, µs of the Unix epoch",
        _ => "whole numbers",
    };
    let ParquetType::PrimitiveType(primitive) = field else {
        return Err(("a nested type".to_owned(), must_be));
    };
    if primitive.field_info.repetition == Repetition::Repeated {
        return Err(("a list".to_owned(), must_be));
    }
    let is = Is::of(primitive.physical_type, primitive.logical_type, primitive.converted_type);
    let time = name == APPEND_MS || name.ends_with("_us");
    Ok(match is {
        Is::Text => (ArrowDataType::BinaryView, 1),
        Is::Number(decoded) => (decoded, 1),
        Is::Decimal(decoded, scale) => match 10_i64.checked_pow(scale) {
            Some(units) => (decoded, units),
            None => return Err((format!("a decimal with {scale} digits after its point"), must_be)),
        },
        Is::Time(decoded, a_second) if time => {
            let ours = if name == APPEND_MS { 1_000 } else { 1_000_000 };
            if a_second < ours {
                return Err(("times of whole ms, whose µs are lost".to_owned(), must_be));
            }
            (decoded, a_second / ours)
        }
        Is::Time(..) => return Err(("times".to_owned(), must_be)),
        Is::Other(what) => return Err((what, must_be)),
    })
}

/// What a column holds.
enum Is {
    Text,
    Number(ArrowDataType),
    /// With so many digits after the point.
    Decimal(ArrowDataType, u32),
    /// Since the Unix epoch, in so many units a second.
    Time(ArrowDataType, i64),
    Other(String),
}

impl Is {
    /// By the physical type first: what is stored so is decoded, whatever a writer's own schema calls it.
    fn of(
        physical: PhysicalType,
        logical: Option<PrimitiveLogicalType>,
        converted: Option<PrimitiveConvertedType>,
    ) -> Self {
        use ArrowDataType as To;
        use PhysicalType::{Boolean, ByteArray, Double, FixedLenByteArray, Float, Int32, Int64, Int96};
        use PrimitiveConvertedType as Old;
        use PrimitiveLogicalType as New;
        let decimal = match (logical, converted) {
            (Some(New::Decimal(_, scale)), _) | (None, Some(Old::Decimal(_, scale))) => u32::try_from(scale).ok(),
            _ => None,
        };
        let unsigned = match (logical, converted) {
            (Some(New::Integer(is)), _) => {
                use IntegerType::{UInt8, UInt16, UInt32, UInt64};
                matches!(is, UInt8 | UInt16 | UInt32 | UInt64)
            }
            (None, Some(is)) => matches!(is, Old::Uint8 | Old::Uint16 | Old::Uint32 | Old::Uint64),
            _ => false,
        };
        match (physical, logical, converted) {
            (Int32, ..) if let Some(scale) = decimal => Self::Decimal(To::Int32, scale),
            (Int64, ..) if let Some(scale) = decimal => Self::Decimal(To::Int64, scale),
            (FixedLenByteArray(bytes), ..)
                if let Some(scale) = decimal
                    && bytes > 16 =>
            {
                Self::Other(format!("a decimal of {bytes} bytes and {scale} digits after its point"))
            }
            (FixedLenByteArray(_) | ByteArray, ..) if let Some(scale) = decimal => {
                Self::Decimal(To::Decimal(38, scale as usize), scale)
            }
            (Int32, Some(New::Date), _) | (Int32, None, Some(Old::Date)) => Self::Other("dates".to_owned()),
            (Int32 | Int64, Some(New::Time { .. }), _)
            | (Int32 | Int64, None, Some(Old::TimeMillis | Old::TimeMicros)) => {
                Self::Other("times of a day".to_owned())
            }
            (Int64, Some(New::Timestamp { unit, .. }), _) => Self::Time(To::Int64, a_second(unit)),
            (Int64, None, Some(Old::TimestampMillis)) => Self::Time(To::Int64, 1_000),
            (Int64, None, Some(Old::TimestampMicros)) => Self::Time(To::Int64, 1_000_000),
            (Int96, ..) => {
                Self::Time(To::Timestamp(polars_arrow::datatypes::TimeUnit::Nanosecond, None), 1_000_000_000)
            }
            (Int32, ..) => Self::Number(if unsigned { To::UInt32 } else { To::Int32 }),
            (Int64, ..) => Self::Number(if unsigned { To::UInt64 } else { To::Int64 }),
            (Float, ..) => Self::Number(To::Float32),
            (Double, ..) => Self::Number(To::Float64),
            (ByteArray, Some(New::Bson), _) => Self::Other("BSON".to_owned()),
            (ByteArray, ..) => Self::Text,
            (Boolean, ..) => Self::Other("truth values".to_owned()),
            (FixedLenByteArray(bytes), ..) => Self::Other(format!("{bytes} raw bytes")),
        }
    }
}

fn a_second(unit: ParquetTimeUnit) -> i64 {
    match unit {
        ParquetTimeUnit::Milliseconds => 1_000,
        ParquetTimeUnit::Microseconds => 1_000_000,
        ParquetTimeUnit::Nanoseconds => 1_000_000_000,
    }
}

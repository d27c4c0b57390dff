//! Decoded values of a column of a Parquet file as the whole numbers that they are.

use polars_arrow::{
    array::{Array, BinaryViewArray, PrimitiveArray},
    datatypes::ArrowDataType,
    types::NativeType,
};
use polars_buffer::Buffer;

use super::{columnar::Failure, field, schema::FileColumn};
use crate::row::MISSING;

/// The integers of a column, [`MISSING`] where there is none.
pub struct Numbers {
    /// One a row.
    pub values: Buffer<i64>,
    /// Rows of the piece whose value is no whole number, and what is wrong with it.
    pub bad: Vec<(usize, String)>,
}

impl Numbers {
    /// Of the arrays of a column, one after the other.
    ///
    /// # Errors
    /// Arrays of another type than the column's.
    pub fn of(arrays: &[Box<dyn Array>], column: &FileColumn) -> Result<Self, Failure> {
        if let [array] = arrays
            && column.units == 1
            && let Some(array) = array.as_any().downcast_ref::<PrimitiveArray<i64>>()
            && array.null_count() == 0
        {
            return Ok(Self { values: array.values().clone(), bad: Vec::new() });
        }
        let rows = arrays.iter().map(|array| array.len()).sum();
        let mut numbers = Collected { values: Vec::with_capacity(rows), bad: Vec::new() };
        arrays.iter().try_for_each(|array| numbers.extend(&**array, column))?;
        Ok(Self { values: Buffer::from_vec(numbers.values), bad: numbers.bad })
    }
}

/// An array as what it is.
///
/// # Errors
/// It is something else.
pub fn downcast<T: 'static>(array: &dyn Array) -> Result<&T, Failure> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_whole_and_surely_exact_is_a_number() {
        assert_eq!(whole(-5.0, f64::MANTISSA_DIGITS), Ok(-5));
        assert_eq!(whole(f64::NAN, f64::MANTISSA_DIGITS), Ok(MISSING));
        assert_eq!(whole((1_u64 << 53) as f64, f64::MANTISSA_DIGITS), Ok(1 << 53));
        for (value, digits) in [(0.5, 53), (f64::NEG_INFINITY, 53), (1e16, 53), ((1_u64 << 25) as f64, 24)] {
            assert!(whole(value, digits).is_err(), "{value}");
        }
    }

    #[test]
    fn units_come_out_even_or_are_told() {
        assert_eq!((in_units(-5_000, 1_000), in_units(i64::MAX.into(), 1)), (Ok(-5), Ok(i64::MAX)));
        assert!(in_units(-1_050, 1_000).is_err_and(|what| what.contains("`-1.050`")));
        assert!(in_units(i128::from(u64::MAX), 1).is_err_and(|what| what.contains("`18446744073709551615`")));
        assert!(in_units(i64::MIN.into(), 1).is_err());
    }
}

//! Rows of Parquet for a sink that takes whole columns. Each column is decoded alone and given back once it is numbers: memory
//! that a process has never touched is dear, and text takes 16 bytes a row where its number takes two.

use polars::prelude::*;

use super::{
    Scanned, Sink,
    columnar::{Failure, numbers, typed},
    layout::NUMBERS,
    line,
    names::{Interner, NO_PAIR},
};
use crate::{
    columns::{DESTINATION, SOURCE},
    row::STAMPS,
};

/// Entries of a column's table of numbers by the views of their names; a power of two.
const VIEW_SLOTS: usize = 1 << 10;

/// Columns of integers before the first stamp.
const BEFORE_STAMPS: usize = NUMBERS.len() - STAMPS.len();

/// Takes in all rows of a slice at once; `frame` decodes columns of it. False, with nothing taken in, when the sink does
/// not want them so, or one of them is bad.
///
/// # Errors
/// Columns that cannot be read or are of other types; those of the sink.
pub fn add<S: Sink>(
    frame: &dyn Fn(&[&str]) -> Result<DataFrame, Failure>,
    columns: &[&str],
    names: &mut Interner,
    part: &mut Scanned<S>,
) -> Result<bool, Failure> {
    let Some(pairs) = pairs(frame, names)? else { return Ok(false) };
    let of_numbers: Vec<_> = columns.iter().copied().filter(|name| NUMBERS.contains(name)).collect();
    let numbers = numbers(&frame(&of_numbers)?, columns)?;
    let mut stamps = Vec::new();
    for (place, values) in &numbers {
        if let Some(stamp) = place.checked_sub(BEFORE_STAMPS) {
            stamps.push((stamp, values.cont_slice()?));
        }
    }
    if stamps.iter().any(|&(stamp, values)| values.iter().any(|&value| line::is_garbage(stamp, value))) {
        return Ok(false);
    }
    let taken = part.sink.add_columns(&pairs, &stamps).map_err(Failure::Io)?;
    part.rows += if taken { pairs.len() as u64 } else { 0 };
    Ok(taken)
}

/// The pair of each row; none when a name is missing or no name.
fn pairs(
    frame: &dyn Fn(&[&str]) -> Result<DataFrame, Failure>,
    names: &mut Interner,
) -> Result<Option<Vec<u16>>, Failure> {
    // Fewer names than `NO_PAIR` are numbered.
    let number = |number: Option<u32>| number.and_then(|number| u16::try_from(number).ok());
    let source = |name: &str| if name.is_empty() { None } else { number(names.source(name.as_bytes())) };
    let Some(mut pairs) = numbered(typed(&frame(&[SOURCE])?, SOURCE, &DataType::String)?.str()?, None, source) else {
        return Ok(None);
    };
    let destination =
        |name: &str| if name.is_empty() { Some(NO_PAIR) } else { number(names.destination(name.as_bytes())) };
    let destinations = typed(&frame(&[DESTINATION])?, DESTINATION, &DataType::String)?;
    let Some(destinations) = numbered(destinations.str()?, Some(NO_PAIR), destination) else { return Ok(None) };
    for (pair, destination) in pairs.iter_mut().zip(destinations) {
        let destination = (destination != NO_PAIR).then_some(u32::from(destination));
        let Some(number) = names.pair(u32::from(*pair), destination) else { return Ok(None) };
        *pair = number;
    }
    Ok(Some(pairs))
}

/// The number of each name of a column, `null` where there is none; none when one of them has no number.
fn numbered(
    column: &StringChunked,
    null: Option<u16>,
    mut number: impl FnMut(&str) -> Option<u16>,
) -> Option<Vec<u16>> {
    if column.chunks().len() != 1 || column.null_count() > 0 {
        return column.iter().map(|name| name.map_or(null, &mut number)).collect();
    }
    // Within a chunk equal views (a name's bytes, or its place) are equal names: few have to be looked up.
    let mut slots = vec![(u128::MAX, NO_PAIR); VIEW_SLOTS];
    let mut numbers = Vec::with_capacity(column.len());
    for (k, view) in column.downcast_as_array().views().iter().enumerate() {
        let view = view.as_u128();
        let slot = &mut slots[slot(view)];
        if slot.0 != view {
            *slot = (view, number(column.get(k)?)?);
        }
        numbers.push(slot.1);
    }
    Some(numbers)
}

fn slot(view: u128) -> usize {
    let mixed = (view as u64 ^ (view >> 64) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    // The upper bits depend on all bytes of a name, the lower ones on its first.
    (mixed >> 48) as usize % VIEW_SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::names::Directory;

    /// The pairs' names, by the short way; none where it does not go.
    fn paired(sources: &[Option<&str>], destinations: &[Option<&str>], chunked: bool) -> Option<Vec<String>> {
        let column = |name: &str, values: &[Option<&str>]| {
            let (start, end) = values.split_at(if chunked { values.len() / 2 } else { values.len() });
            let mut column = Series::new(name.into(), start);
            column.append(&Series::new(name.into(), end)).unwrap();
            if !chunked {
                column = column.rechunk();
            }
            column.into_frame()
        };
        let frame = |columns: &[&str]| Ok(column(columns[0], if columns == [SOURCE] { sources } else { destinations }));
        let directory = Directory::default();
        let pairs = pairs(&frame, &mut Interner::new(&directory)).unwrap()?;
        let (names, numbers) = directory.finish();
        let name = |pair: u16| {
            let Some(&(source, destination)) = numbers.get(usize::from(pair)) else { return String::new() };
            format!("{} {}", names.sources[source as usize], names.destinations[destination as usize])
        };
        Some(pairs.into_iter().map(name).collect())
    }

    #[test]
    fn pairs_are_those_of_the_names() {
        let long = "a-name-of-more-than-twelve-bytes";
        let sources: Vec<_> =
            (0..4_000).map(|k| if k % 7 == 0 { long.to_owned() } else { format!("p{}", k % 1_500) }).collect();
        let destinations: Vec<_> = (0..4_000).map(|k| format!("w{}", k % 3)).collect();
        let expected: Vec<_> = sources.iter().zip(&destinations).map(|(from, to)| format!("{from} {to}")).collect();
        let sources: Vec<_> = sources.iter().map(|name| Some(&name[..])).collect();
        let mut destinations: Vec<_> = destinations.iter().map(|name| Some(&name[..])).collect();
        for chunked in [false, true] {
            assert_eq!(paired(&sources, &destinations, chunked).unwrap(), expected);
        }
        for none in [None, Some("")] {
            destinations[17] = none;
            let pairs = paired(&sources, &destinations, false).unwrap();
            assert_eq!((&pairs[17][..], &pairs[..17], &pairs[18..]), ("", &expected[..17], &expected[18..]));
        }
    }

    #[test]
    fn a_row_without_a_source_is_left_to_the_long_way() {
        for none in [None, Some("")] {
            assert_eq!(paired(&[Some("p0"), none], &[Some("w0"); 2], false), None);
        }
        let long = "x".repeat(1_000);
        assert_eq!(paired(&[Some("p0")], &[Some(&long)], false), None);
    }
}

//! Rows of Parquet for a sink that takes whole columns. Each column is decoded alone and given back once it is numbers: memory
//! that a process has never touched is dear, and text takes 16 bytes a row where its number takes two.

use super::{
    Scanned, Sink,
    columnar::Failure,
    decode::{Columns, Piece},
    keyed::Keyed,
    line,
    names::Interner,
};
use crate::row::STAMPS;
use shasta_model::columns::{DESTINATION, SOURCE};

/// Entries of a table of the pairs of all names; with more names pairs are looked up.
const TABLE_MAX: usize = 1 << 20;

/// Takes in all rows of a piece at once. False, with nothing taken in, when the sink does not want them so, or one of them
/// is bad.
///
/// # Errors
/// Columns that cannot be decoded; those of the sink.
pub fn add<S: Sink>(
    file: &Columns,
    piece: &Piece,
    columns: &[&str],
    names: &mut Interner,
    part: &mut Scanned<S>,
) -> Result<bool, Failure> {
    let (sources, destinations) = (file.names(SOURCE, piece)?, file.names(DESTINATION, piece)?);
    let Some(pairs) = pairs(&sources, &destinations, names) else { return Ok(false) };
    drop((sources, destinations));
    let mut numbers = Vec::new();
    for (stamp, (name, _)) in STAMPS.iter().enumerate().filter(|(_, (name, _))| columns.contains(name)) {
        let column = file.numbers(name, piece)?;
        if !column.bad.is_empty() || column.values.iter().any(|&value| line::is_garbage(stamp, value)) {
            return Ok(false);
        }
        numbers.push((stamp, column.values));
    }
    let stamps: Vec<_> = numbers.iter().map(|(stamp, values)| (*stamp, &values[..])).collect();
    let taken = part.sink.add_columns(&pairs, &stamps).map_err(Failure::Io)?;
    part.rows += if taken { pairs.len() as u64 } else { 0 };
    Ok(taken)
}

/// The pair of each row; none when a name is missing or no name.
fn pairs(sources: &Keyed, destinations: &Keyed, names: &mut Interner) -> Option<Vec<u16>> {
    let source = |name: &[u8]| if name.is_empty() { None } else { names.source(name) };
    let sources_of: Option<Vec<u32>> = used(sources, source);
    let destination = |name: &[u8]| if name.is_empty() { Some(None) } else { names.destination(name).map(Some) };
    let destinations_of: Option<Vec<Option<u32>>> = used(destinations, destination);
    let (sources_of, destinations_of) = (sources_of?, destinations_of?);
    let mut pair = |source: u16, destination: u16| {
        names.pair(sources_of[usize::from(source)], destinations_of[usize::from(destination)])
    };
    let keys = sources.keys.iter().zip(destinations.keys.iter());
    if sources_of.len() * destinations_of.len() > TABLE_MAX {
        return keys.map(|(&source, &destination)| pair(source, destination)).collect();
    }
    // Only pairs that some row has are numbered.
    let mut known = vec![None; sources_of.len() * destinations_of.len()];
    let mut pairs = Vec::with_capacity(sources.keys.len());
    for (&source, &destination) in keys {
        let place = &mut known[usize::from(source) * destinations_of.len() + usize::from(destination)];
        pairs.push(match *place {
            Some(pair) => pair,
            None => *place.insert(pair(source, destination)?),
        });
    }
    Some(pairs)
}

/// What each name is; none when it is nothing for one of them that some row has.
fn used<T: Clone + Default>(names: &Keyed, mut number: impl FnMut(&[u8]) -> Option<T>) -> Option<Vec<T>> {
    let mut numbers: Vec<Option<T>> = names.distinct.iter().map(|name| number(name)).collect();
    if numbers.iter().any(Option::is_none) {
        // A dictionary may hold names that no row of this piece has.
        let mut is_used = vec![false; numbers.len()];
        names.keys.iter().for_each(|&key| is_used[usize::from(key)] = true);
        for (number, _) in numbers.iter_mut().zip(is_used).filter(|(_, is_used)| !is_used) {
            number.get_or_insert_default();
        }
    }
    numbers.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use polars_arrow::array::BinaryViewArray;

    use super::*;
    use crate::scan::names::Directory;

    /// The pairs' names, by the short way; none where it does not go.
    fn paired(sources: &[Option<&str>], destinations: &[Option<&str>], chunked: bool) -> Option<Vec<String>> {
        let arrays = |names: &[Option<&str>]| {
            let (start, end) = names.split_at(if chunked { names.len() / 2 } else { names.len() });
            let array = |names: &[Option<&str>]| {
                BinaryViewArray::from_slice(names.iter().map(|name| name.map(str::as_bytes)).collect::<Vec<_>>())
            };
            Keyed::of(&[start, end].map(array)).unwrap()
        };
        let directory = Directory::default();
        let pairs = pairs(&arrays(sources), &arrays(destinations), &mut Interner::new(&directory))?;
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

//! Names of producing hosts, workers and their pairs as small numbers, the same for all threads that read a file.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{field, line::NAME_BYTES_MAX};
use crate::row::Names;

/// The pair of a row that no worker consumed.
pub const NO_PAIR: u16 = u16::MAX;
/// A name of up to this many bytes fits one register, with its length.
const SHORT: usize = 7;

/// The names met so far, numbered in the order of meeting.
#[derive(Debug, Default)]
pub struct Directory(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    names: [HashMap<Box<str>, u32>; 2],
    pairs: HashMap<(u32, u32), u16>,
}

impl Directory {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The names, and the (source, destination) of each pair.
    pub fn finish(self) -> (Names, Vec<(u32, u32)>) {
        let Known { names: [sources, destinations], pairs } =
            self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut by_number: Vec<_> = pairs.into_iter().collect();
        by_number.sort_unstable_by_key(|&(_, number)| number);
        let pairs = by_number.into_iter().map(|(pair, _)| pair).collect();
        (Names { sources: in_order(sources), destinations: in_order(destinations) }, pairs)
    }
}

fn in_order(numbers: HashMap<Box<str>, u32>) -> Vec<String> {
    let mut names: Vec<_> = numbers.into_iter().collect();
    names.sort_unstable_by_key(|&(_, number)| number);
    names.into_iter().map(|(name, _)| name.into()).collect()
}

/// One thread's view of a [`Directory`]: what it has met once it finds again without a lock.
#[derive(Debug)]
pub struct Interner<'a> {
    directory: &'a Directory,
    short: [Table; 2],
    long: [HashMap<Box<[u8]>, u32>; 2],
    pairs: Table,
}

impl<'a> Interner<'a> {
    /// Of a directory that all threads share.
    pub fn new(directory: &'a Directory) -> Self {
        Self { directory, short: Default::default(), long: Default::default(), pairs: Table::default() }
    }

    /// Number of a producing host; none when it is no name: not UTF-8, too long, or for the slow way of reading.
    pub fn source(&mut self, name: &[u8]) -> Option<u32> {
        self.number(0, name)
    }

    /// Number of a worker; none when it is no name.
    pub fn destination(&mut self, name: &[u8]) -> Option<u32> {
        self.number(1, name)
    }

    #[inline]
    fn number(&mut self, kind: usize, name: &[u8]) -> Option<u32> {
        if name.len() <= SHORT {
            let packed = pack(name);
            if let Some(number) = self.short[kind].get(packed) {
                return Some(number);
            }
            let number = self.look_up(kind, name)?;
            self.short[kind].insert(packed, number);
            return Some(number);
        }
        if let Some(&number) = self.long[kind].get(name) {
            return Some(number);
        }
        let number = self.look_up(kind, name)?;
        self.long[kind].insert(name.into(), number);
        Some(number)
    }

    fn look_up(&self, kind: usize, name: &[u8]) -> Option<u32> {
        let name = std::str::from_utf8(name).ok().filter(|name| is_name(name))?;
        let mut known = self.directory.known();
        let numbers = &mut known.names[kind];
        if let Some(&number) = numbers.get(name) {
            return Some(number);
        }
        // With more names than pairs can be numbered, something else is wrong.
        let number = u32::try_from(numbers.len()).ok().filter(|&number| number < u32::from(NO_PAIR))?;
        numbers.insert(name.into(), number);
        Some(number)
    }

    /// Number of a pair; none when there are too many.
    #[inline]
    pub fn pair(&mut self, source: u32, destination: Option<u32>) -> Option<u16> {
        let Some(destination) = destination else { return Some(NO_PAIR) };
        // Numbers of names are below `NO_PAIR`, so that this is never 0.
        let key = (u64::from(source) + 1) << 32 | u64::from(destination);
        if let Some(number) = self.pairs.get(key) {
            return Some(number as u16);
        }
        let number = self.look_up_pair((source, destination))?;
        self.pairs.insert(key, number.into());
        Some(number)
    }

    fn look_up_pair(&self, key: (u32, u32)) -> Option<u16> {
        let mut known = self.directory.known();
        let next = u16::try_from(known.pairs.len()).ok().filter(|&number| number < NO_PAIR);
        let number = match known.pairs.get(&key) {
            Some(&number) => number,
            None => next?,
        };
        known.pairs.insert(key, number);
        Some(number)
    }
}

/// Whether this is a name as it is recorded, rather than one with spaces around it or another program's word for none.
fn is_name(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX && name.trim() == name && !field::is_missing(name)
}

/// Numbers by keys that are not 0. At most half of its slots are taken, so that keys never push each other out: what a
/// thread has met once it finds again, however many names there are.
#[derive(Debug, Default)]
struct Table {
    slots: Vec<(u64, u32)>,
    taken: usize,
}

impl Table {
    #[inline]
    fn get(&self, key: u64) -> Option<u32> {
        let mut slot = self.first(key);
        loop {
            match *self.slots.get(slot)? {
                (known, number) if known == key => return Some(number),
                (0, _) => return None,
                _ => slot = (slot + 1) & (self.slots.len() - 1),
            }
        }
    }

    /// Of a key that is not there yet.
    fn insert(&mut self, key: u64, number: u32) {
        if self.taken * 2 >= self.slots.len() {
            let larger = vec![(0, 0); (self.slots.len() * 2).max(64)];
            let known = std::mem::replace(&mut self.slots, larger);
            known.into_iter().filter(|&(key, _)| key != 0).for_each(|(key, number)| self.place(key, number));
        }
        self.place(key, number);
        self.taken += 1;
    }

    fn place(&mut self, key: u64, number: u32) {
        let mut slot = self.first(key);
        while self.slots[slot].0 != 0 {
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        self.slots[slot] = (key, number);
    }

    /// Where a key would be were it alone: there are a power of two of slots, or none.
    #[inline]
    fn first(&self, key: u64) -> usize {
        (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize & self.slots.len().wrapping_sub(1)
    }
}

/// The bytes of a short name and its length in one register, for which a loop of a few steps is faster than a copy.
#[inline]
fn pack(name: &[u8]) -> u64 {
    let length = (name.len() as u64 + 1) << (8 * SHORT);
    name.iter().enumerate().fold(length, |packed, (k, &byte)| packed | u64::from(byte) << (8 * k))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_agree_on_numbers() {
        let directory = Directory::default();
        let (mut one, mut other) = (Interner::new(&directory), Interner::new(&directory));
        assert_eq!(
            (one.source(b"p0"), one.source(b"a-long-name"), other.source(b"a-long-name")),
            (Some(0), Some(1), Some(1))
        );
        assert_eq!((other.source(b"p0"), other.source(b"p0\0"), other.source(b"p0\0")), (Some(0), Some(2), Some(2)));
        assert_eq!((one.destination(b"p0"), one.destination(b"\xff")), (Some(0), None));
        assert_eq!((one.pair(0, Some(0)), other.pair(1, Some(0)), one.pair(1, Some(0))), (Some(0), Some(1), Some(1)));
        assert_eq!((other.pair(0, Some(0)), other.pair(0, None)), (Some(0), Some(NO_PAIR)));
        let (names, pairs) = directory.finish();
        assert_eq!(
            (names.sources, names.destinations),
            (vec!["p0".into(), "a-long-name".into(), "p0\0".into()], vec!["p0".into()])
        );
        assert_eq!(pairs, [(0, 0), (1, 0)]);
    }

    /// With a table of fixed size two names could want one place, and each would be looked up at every row, with the lock.
    #[test]
    fn what_a_thread_has_met_it_finds_without_the_lock() {
        let directory = Directory::default();
        let mut names = Interner::new(&directory);
        let met = |names: &mut Interner| {
            let all = (0..5_000).map(|k| {
                let source = names.source(format!("p{k}").as_bytes()).unwrap();
                let destination = names.destination(format!("a-worker-{}", k % 300).as_bytes());
                (source, destination, names.pair(source, destination).unwrap())
            });
            all.collect::<Vec<_>>()
        };
        let first = met(&mut names);
        let _held = directory.known();
        assert_eq!(met(&mut names), first);
    }

    #[test]
    fn there_are_only_so_many_names() {
        let directory = Directory::default();
        let mut names = Interner::new(&directory);
        let numbered = (0..70_000).filter(|k| names.source(format!("p{k}").as_bytes()).is_some()).count();
        assert_eq!(numbered, usize::from(NO_PAIR));
    }
}

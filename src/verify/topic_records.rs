//! What the topic holds, as far as a check needs it: for each record its place, author, tag, and hashes of name and
//! value. Some 64 bytes a record, whatever its size.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hasher},
    ops::Range,
    sync::Arc,
};

use prost::Message;

use super::{damage::Findings, topic_read::Undecodable};
use crate::{event::headers::Stamps, output::rows::Row, store::Author};
use shasta_model::{
    manifest::verification::{Checked, Kind, Place},
    tag_data::{Identifier, LOAD_APP, LOAD_SCOPE, TagData},
};

/// 64 bits that tell contents apart: two that differ agree once in 2^64.
pub(super) fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// One record of the topic.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    tag: u32,
    pub partition: i32,
    pub offset: i64,
    /// None for a foreign one.
    pub author: Option<Author>,
    /// Digests.
    pub name: u64,
    pub data: u64,
    /// The first copy of its event that was not set aside: the one that the store applies.
    pub first: bool,
    pub acked: bool,
    /// Its row says that it was stored.
    pub stored: bool,
    pub has_row: bool,
    pub aside: bool,
}

/// A record that is no TagData has no tag.
const NO_TAG: u32 = u32::MAX;

/// The records of some partitions while they are read.
#[derive(Debug, Default)]
pub(super) struct Written {
    run: String,
    records: Vec<Record>,
    tags: Vec<Arc<Identifier>>,
    numbers: HashMap<Arc<Identifier>, u32>,
}

impl Written {
    pub fn new(run: &str) -> Self {
        Self { run: run.to_owned(), ..Self::default() }
    }

    /// Takes the next record of a partition.
    pub fn take(&mut self, partition: i32, offset: i64, stamps: Option<&Stamps<'_>>, payload: &[u8]) {
        let own = stamps.filter(|stamps| stamps.run == self.run);
        let author = own.map(|&Stamps { producer, sequence, warm, .. }| Author { producer, sequence, warm });
        let (tag, name, data) = match TagData::decode(payload) {
            Ok(TagData { identifier: Some(mut identifier), data }) => {
                let name = std::mem::take(&mut identifier.name);
                (self.number(identifier), digest(name.as_bytes()), digest(&data))
            }
            _ => (NO_TAG, 0, 0),
        };
        let (first, acked, stored, has_row, aside) = (false, false, false, false, false);
        self.records.push(Record { tag, partition, offset, author, name, data, first, acked, stored, has_row, aside });
    }

    fn number(&mut self, tag: Identifier) -> u32 {
        if let Some(&number) = self.numbers.get(&tag) {
            return number;
        }
        let (tag, number) = (Arc::new(tag), self.tags.len() as u32);
        self.tags.push(Arc::clone(&tag));
        self.numbers.insert(tag, number);
        number
    }

    /// All records are read: brings them in the order of tags, and marks those that the store applies.
    /// `undecodable`: offsets that could not be read.
    pub fn settle(self, aside: &HashSet<(i32, i64)>, undecodable: Vec<Undecodable>) -> Settled {
        let Self { mut records, tags, .. } = self;
        records.sort_unstable_by_key(|record| (record.tag, record.offset, record.partition));
        for record in &mut records {
            record.aside = aside.contains(&(record.partition, record.offset));
        }
        let mut by_author: Vec<u32> = (0..records.len() as u32).collect();
        by_author.retain(|&index| records[index as usize].author.is_some());
        by_author.sort_unstable_by_key(|&index| {
            let record = &records[index as usize];
            (record.author.map(key), record.offset)
        });
        let mut last = None;
        for &index in &by_author {
            let record = &mut records[index as usize];
            if !record.aside && record.tag != NO_TAG && last != record.author {
                record.first = true;
                last = record.author;
            }
        }
        Settled { records, by_author, tags, undecodable }
    }
}

fn key(author: Author) -> (bool, u32, u64) {
    (author.warm, author.producer, author.sequence)
}

/// The records of some partitions by tag, and within a tag by offset.
#[derive(Debug)]
pub(super) struct Settled {
    records: Vec<Record>,
    /// Places of the run's own records, by author.
    by_author: Vec<u32>,
    tags: Vec<Arc<Identifier>>,
    undecodable: Vec<Undecodable>,
}

impl Settled {
    /// Compares a row with the topic, and notes what it says. `failed`: its event was proven unwritten.
    pub fn row(&mut self, row: &Row, failed: bool, checked: &mut Checked, findings: &mut Findings) {
        checked.rows += 1;
        let copies = self.copies(Author { producer: row.producer, sequence: row.sequence, warm: false });
        let sent = row.before_publish_us.is_some();
        let acked = row.after_publish_us.is_some();
        let consumed = row.after_consume_us.is_some();
        let place = || Place {
            tag: Some(format!("{LOAD_APP}/{}/{LOAD_SCOPE}", row.tag)),
            partition: Some(row.partition),
            offset: row.offset,
            producer: Some(row.producer),
            sequence: Some(row.sequence),
        };
        if (failed || !sent) && !copies.is_empty() {
            let why = if sent { "it was proven unwritten" } else { "it was never sent" };
            findings.add(Kind::Denied, place(), format!("{why}, and the topic holds it {} times", copies.len()));
        }
        let here = |&index: &u32| {
            let record = &self.records[index as usize];
            (record.partition, Some(record.offset)) == (row.partition, row.offset)
        };
        let at_its_place = self.by_author[copies.clone()].iter().find(|&index| here(index)).copied();
        match at_its_place {
            Some(index) => self.same_tag(index, row, &place, findings),
            None if acked || consumed => {
                let what = if acked { "acked" } else { "consumed" };
                let found = match self.by_author[copies.clone()].first() {
                    None if self.is_undecodable(row) => "its batch in the topic cannot be decoded".to_owned(),
                    None => "the topic does not hold it".to_owned(),
                    Some(&index) => {
                        let Record { partition, offset, .. } = self.records[index as usize];
                        format!("the topic holds it at partition {partition}, offset {offset} instead")
                    }
                };
                findings.add(Kind::NotInTopic, place(), format!("it was {what}, and {found}"));
            }
            None => {}
        }
        checked.acked += u64::from(acked);
        checked.second_copies += (copies.len() as u64).saturating_sub(1);
        checked.maybe_written += u64::from(sent && !acked && !failed && !copies.is_empty());
        for &index in &self.by_author[copies] {
            let record = &mut self.records[index as usize];
            record.has_row = true;
            record.acked = acked;
            record.stored = record.first && row.after_store_us.is_some();
        }
    }

    fn is_undecodable(&self, row: &Row) -> bool {
        let place =
            |offset| self.undecodable.iter().any(|(partition, at)| *partition == row.partition && at.contains(&offset));
        row.offset.is_some_and(place)
    }

    fn same_tag(&self, index: u32, row: &Row, place: &dyn Fn() -> Place, findings: &mut Findings) {
        let tag = self.tags.get(self.records[index as usize].tag as usize);
        let same =
            tag.is_some_and(|tag| tag.app_id == LOAD_APP && tag.scope == LOAD_SCOPE && tag.tag.parse() == Ok(row.tag));
        if !same {
            let found = tag.map_or_else(|| "no TagData".into(), |tag| format!("one of tag {}", shown(tag)));
            findings.add(Kind::NotInTopic, place(), format!("the record there is {found}"));
        }
    }

    /// Where in `by_author` the copies of an event are.
    fn copies(&self, author: Author) -> Range<usize> {
        let of = |&index: &u32| self.records[index as usize].author.map(key);
        let start = self.by_author.partition_point(|index| of(index) < Some(key(author)));
        let count = self.by_author[start..].iter().take_while(|index| of(index) == Some(key(author))).count();
        start..start + count
    }

    /// Counts the records by whose they are, and finds those of the run without a row.
    pub fn count(&self, rows_complete: bool, checked: &mut Checked, findings: &mut Findings) {
        checked.unreadable += self.undecodable.iter().map(|(_, at)| (at.end - at.start) as u64).sum::<u64>();
        for record in &self.records {
            checked.records += 1;
            checked.set_aside += u64::from(record.aside);
            checked.undecodable += u64::from(record.tag == NO_TAG);
            match record.author {
                None => checked.foreign += 1,
                Some(Author { warm: true, .. }) => checked.warm += 1,
                Some(_) if record.has_row => {}
                Some(_) if !rows_complete => checked.without_row += 1,
                Some(_) => {
                    let tag = self.tags.get(record.tag as usize);
                    let place = record.place(tag.map(|tag| shown(tag)));
                    findings.add(Kind::NoRow, place, "it says that it is of this run's window, and has no row");
                }
            }
        }
    }

    /// Each tag, with its records in the order of their offsets.
    pub fn tags(&self) -> impl ExactSizeIterator<Item = (&Identifier, &[Record])> {
        let mut rest = &self.records[..];
        self.tags.iter().enumerate().map(move |(number, tag)| {
            let count = rest.iter().take_while(|record| record.tag as usize == number).count();
            let (own, others) = rest.split_at(count);
            rest = others;
            (&**tag, own)
        })
    }
}

impl Record {
    /// Where it is.
    pub fn place(&self, tag: Option<String>) -> Place {
        Place {
            tag,
            partition: Some(self.partition),
            offset: Some(self.offset),
            producer: self.author.map(|author| author.producer),
            sequence: self.author.map(|author| author.sequence),
        }
    }
}

/// A tag for people.
pub(super) fn shown(tag: &Identifier) -> String {
    format!("{}/{}/{}", tag.app_id, tag.tag, tag.scope)
}

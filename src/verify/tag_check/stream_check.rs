//! The stream of a tag: each entry is one record, names the entry before it, and none is missing in between.

use super::{ExpectedEffect, TagCheck};
use crate::{
    store::Author,
    verify::{
        Bounds, VerifyError,
        redis_read::{Field, Found, Stored},
        topic_records::{Record, digest},
    },
};
use shasta_model::manifest::verification::Kind;
use shasta_reader::StreamId;

impl TagCheck<'_> {
    /// Walks the stream. False when there is none to walk.
    pub(super) fn check_stream(&mut self, redis: &mut Stored) -> Result<bool, VerifyError> {
        let mut after = StreamId::ZERO;
        let Found::Ours(length) = redis.length(&self.keys)? else {
            self.damage(Kind::WrongType, None, "its delta key is no stream");
            return Ok(false);
        };
        loop {
            let Found::Ours(entries) = redis.entries(&self.keys, after)? else { return Ok(false) };
            if entries.is_empty() {
                break;
            }
            for (id, fields) in entries {
                let Ok(id) = id.parse::<StreamId>() else {
                    self.damage(Kind::NotOurs, None, format!("an entry's ID is {id}"));
                    return Ok(false);
                };
                self.check_entry(id, &fields);
                after = id;
            }
        }
        // Approximate trimming leaves at least as many as it is told.
        if self.trimmed > 0 && length < u64::from(self.bounds.stream_maxlen) {
            let (trimmed, kept) = (self.trimmed, self.bounds.stream_maxlen);
            let problem =
                format!("{trimmed} events before the first of {length} entries are gone, though {kept} are kept");
            let first = self.effects.iter().position(|effect| *effect == ExpectedEffect::Applied);
            self.damage(Kind::Missing, first.map(|index| &self.records[index]), problem);
        }
        Ok(true)
    }

    fn check_entry(&mut self, id: StreamId, fields: &[Field]) {
        let before = self.last.replace(id);
        let Bounds { generation, .. } = *self.bounds;
        let field = |name: &str| fields.iter().find(|field| field.0 == name.as_bytes()).map(|field| &field.1[..]);
        let previous = field("previous").and_then(|text| std::str::from_utf8(text).ok()?.parse::<StreamId>().ok());
        let (Some(name), Some(data), Some(previous)) = (field("name"), field("data"), previous) else {
            self.damage(Kind::NotOurs, None, format!("entry {id} is not name, data and previous"));
            return;
        };
        let (name, data) = (digest(name), digest(data));
        let Some((start, end)) = self.bounds_of_partition() else { return };
        let Some(offset) = offset(id).filter(|_| id.generation <= generation) else {
            self.damage(Kind::NotOurs, None, format!("entry {id} is not of generation {generation}"));
            return;
        };
        if id.generation < generation || offset < start {
            self.checked.entries_of_others += 1;
            if !self.bounds.reused {
                self.damage(Kind::NotOurs, None, format!("entry {id} is from before the run, whose Redis was empty"));
            }
            return;
        }
        // What an earlier run has left is not this one's.
        if let Some(before) = before.filter(|before| *before != previous) {
            self.damage(Kind::WrongPrevious, None, format!("entry {id} names {previous}, and {before} is before it"));
        } else if previous >= id {
            self.damage(Kind::WrongPrevious, None, format!("entry {id} names {previous}, which is not before it"));
        }
        self.pass_to(before, offset);
        if offset >= end {
            self.checked.entries_of_others += 1;
            self.unread.push((name, data));
            return;
        }
        let index = self.next;
        let Some(record) = self.records.get(index).filter(|record| record.offset == offset).copied() else {
            self.damage(Kind::NoRecord, None, format!("entry {id}: the tag has no record at offset {offset}"));
            return;
        };
        self.next += 1;
        self.checked.entries += 1;
        if before.is_none() {
            self.check_first_previous(index, id, previous);
        }
        match self.effects[index] {
            ExpectedEffect::Ignored if !record.aside => {
                self.damage(Kind::Duplicate, Some(&record), format!("entry {id} is a second copy of its event"));
            }
            ExpectedEffect::Overtaken => {
                let problem = format!("entry {id} came after a later event of its producer, and took effect");
                self.damage(Kind::OutOfOrder, Some(&record), problem);
            }
            ExpectedEffect::Applied | ExpectedEffect::Ignored | ExpectedEffect::Foreign => {}
        }
        self.check_content(&record, id, name, data);
    }

    fn bounds_of_partition(&self) -> Option<(i64, i64)> {
        let partition = self.records.first()?.partition as usize;
        Some((*self.bounds.start_offsets.get(partition)?, *self.bounds.end_offsets.get(partition)?))
    }

    /// Takes the records below `offset` as passed: they are trimmed when no entry came before, else missing.
    fn pass_to(&mut self, before: Option<StreamId>, offset: i64) {
        while let Some(&record) = self.records.get(self.next).filter(|record| record.offset < offset) {
            let due = self.effects[self.next] == ExpectedEffect::Applied;
            self.next += 1;
            match before {
                _ if !due => {}
                None => {
                    self.trimmed += 1;
                    self.checked.trimmed += 1;
                    self.checked.trimmed_untold += u64::from(record.has_row && !record.stored);
                }
                Some(_) => self.missing(&record),
            }
        }
    }

    fn missing(&mut self, record: &Record) {
        let of = |author: Author| (author.warm, author.producer);
        let overtaker = self.records.iter().take_while(|earlier| earlier.offset < record.offset).find(|earlier| {
            let (Some(one), Some(other)) = (earlier.author, record.author) else { return false };
            of(one) == of(other) && one.sequence > other.sequence
        });
        let told = if record.stored { "its row says that it was stored" } else { "later ones are there" };
        let problem = match overtaker {
            None => format!("it is not in the stream, and {told}"),
            Some(earlier) => format!(
                "it is not in the stream, and {told}; a later event of its producer came before it, at offset {}",
                earlier.offset
            ),
        };
        self.damage(Kind::Missing, Some(record), problem);
    }

    /// The first entry names one that was trimmed: the due record before it, or a foreign one in between.
    fn check_first_previous(&mut self, index: usize, id: StreamId, previous: StreamId) {
        let Bounds { generation, reused, .. } = *self.bounds;
        for (record, effect) in self.records[..index].iter().zip(&self.effects).rev() {
            let this = StreamId { generation, position: record.offset as u64 + 1 };
            if this == previous && *effect != ExpectedEffect::Ignored {
                return;
            }
            if *effect == ExpectedEffect::Applied {
                self.damage(
                    Kind::WrongPrevious,
                    Some(&self.records[index]),
                    format!("entry {id}, the stream's first, names {previous}; the event before it is {this}"),
                );
                return;
            }
        }
        let start = self.bounds_of_partition().map_or(0, |(start, _)| start);
        let earlier = reused && previous < StreamId { generation, position: start as u64 + 1 };
        if previous != StreamId::ZERO && !earlier {
            let problem = format!("entry {id} names {previous}, and is the first of its tag");
            self.damage(Kind::WrongPrevious, Some(&self.records[index]), problem);
        }
    }

    fn check_content(&mut self, record: &Record, id: StreamId, name: u64, data: u64) {
        if (record.name, record.data) == (name, data) {
            return;
        }
        let other = self.records.iter().find(|other| (other.name, other.data) == (name, data));
        let (kind, problem) = match (other, record.name == name) {
            (Some(other), _) => (Kind::OutOfOrder, format!("entry {id} holds what is at offset {}", other.offset)),
            (None, true) => (Kind::WrongContent, format!("entry {id} holds another value than its record")),
            (None, false) => (Kind::WrongContent, format!("entry {id} holds another name than its record")),
        };
        self.damage(kind, Some(record), problem);
    }

    /// The records behind the stream's last entry.
    pub(super) fn check_records_behind(&mut self, version: Option<StreamId>) {
        let generation = self.bounds.generation;
        for index in self.next..self.records.len() {
            let record = self.records[index];
            if self.effects[index] != ExpectedEffect::Applied {
                continue;
            }
            let id = StreamId { generation, position: record.offset as u64 + 1 };
            if record.stored || version.is_some_and(|version| id <= version) {
                self.missing(&record);
            } else {
                self.checked.not_stored += 1;
            }
        }
    }
}

/// The Kafka offset that an ID stands for.
fn offset(id: StreamId) -> Option<i64> {
    i64::try_from(id.position.checked_sub(1)?).ok()
}

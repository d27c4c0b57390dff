//! One tag: what its records in the topic demand, against what Redis holds.
//!
//! The store applies the first copy of each event, in the order of offsets. So a tag's history is known from the topic
//! alone, up to the offset that its version names: the stream must be the end of that history, each entry naming the one
//! before it, and the snapshot its last value of each name. Records of others (foreign ones) may be in both or not.

use std::collections::HashMap;

use super::{
    Bounds, VerifyError,
    damage::{Findings, Kind, Place},
    redis_read::{Field, Found, Stored},
    report::Checked,
    topic_records::{Record, digest, shown},
};
use crate::store::Author;
use shasta_model::tag_data::{Identifier, RedisKeys};
use shasta_reader::StreamId;

/// The check of one tag.
pub(super) struct TagCheck<'a> {
    bounds: &'a Bounds,
    tag: String,
    keys: RedisKeys,
    /// By offset.
    records: &'a [Record],
    checked: &'a mut Checked,
    findings: &'a mut Findings,
    /// For each record, how it stands to the store.
    claims: Vec<Claim>,
    /// The first record that the stream's entries have not come to.
    next: usize,
    /// The last entry that was read.
    last: Option<StreamId>,
    /// Events before the stream's first entry.
    trimmed: u64,
    /// Values of entries whose records were not read, by their name.
    beyond: Vec<(u64, u64)>,
}

/// How a record stands to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// The store applies it.
    Due,
    /// It came after a later event of its producer, and nobody was told that it is there: it changes nothing.
    Overtaken,
    /// A further copy of an event, or set aside.
    Idle,
    /// Another's: it may have been applied or not.
    Foreign,
}

fn claims(records: &[Record]) -> Vec<Claim> {
    let mut last: HashMap<(bool, u32), u64> = HashMap::new();
    let claim = |record: &Record| {
        let Some(Author { producer, sequence, warm }) = record.author else { return Claim::Foreign };
        if !record.first {
            return Claim::Idle;
        }
        let highest = last.entry((warm, producer)).or_insert(sequence);
        if *highest > sequence && !record.acked {
            return Claim::Overtaken;
        }
        *highest = sequence.max(*highest);
        Claim::Due
    };
    records.iter().map(claim).collect()
}

impl<'a> TagCheck<'a> {
    pub fn new(
        bounds: &'a Bounds,
        tag: &Identifier,
        records: &'a [Record],
        checked: &'a mut Checked,
        findings: &'a mut Findings,
    ) -> Self {
        let (keys, tag) = (tag.redis_keys(), shown(tag));
        let claims = claims(records);
        let (next, last, trimmed, beyond) = (0, None, 0, Vec::new());
        Self { bounds, tag, keys, records, checked, findings, claims, next, last, trimmed, beyond }
    }

    /// Reads the tag back and compares all of it.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn run(mut self, redis: &mut Stored) -> Result<(), VerifyError> {
        self.checked.tags += 1;
        self.checked.overtaken += self.claims.iter().filter(|claim| **claim == Claim::Overtaken).count() as u64;
        let version = self.version(redis)?;
        if self.stream(redis)? {
            let end = self.last.unwrap_or(StreamId::ZERO);
            if version.is_some_and(|version| version != end) {
                let found = version.unwrap_or(StreamId::ZERO);
                self.damage(Kind::WrongVersion, None, format!("version {found}, and the last stream ID is {end}"));
            }
        }
        self.rest(version);
        self.snapshot(redis, version)
    }

    fn damage(&mut self, kind: Kind, record: Option<&Record>, problem: impl Into<String>) {
        let tag = Some(self.tag.clone());
        let place = match record {
            Some(record) => record.place(tag),
            None => Place { tag, partition: self.records.first().map(|record| record.partition), ..Place::default() },
        };
        self.findings.add(kind, place, problem);
    }

    /// The version; `None` where none can be compared, which is told.
    fn version(&mut self, redis: &mut Stored) -> Result<Option<StreamId>, VerifyError> {
        let text = match redis.version(&self.keys)? {
            Found::Ours(None) => return Ok(Some(StreamId::ZERO)),
            Found::Ours(Some(text)) => text,
            Found::WrongType => {
                self.damage(Kind::WrongType, None, "its meta key is no hash");
                return Ok(None);
            }
        };
        let version = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
        if version.is_none() {
            self.damage(Kind::WrongVersion, None, format!("version {} is no stream ID", text.escape_ascii()));
        }
        Ok(version)
    }

    /// Walks the stream. False when there is none to walk.
    fn stream(&mut self, redis: &mut Stored) -> Result<bool, VerifyError> {
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
                self.entry(id, &fields);
                after = id;
            }
        }
        // Approximate trimming leaves at least as many as it is told.
        if self.trimmed > 0 && length < u64::from(self.bounds.stream_maxlen) {
            let (trimmed, kept) = (self.trimmed, self.bounds.stream_maxlen);
            let problem =
                format!("{trimmed} events before the first of {length} entries are gone, though {kept} are kept");
            let first = self.claims.iter().position(|claim| *claim == Claim::Due);
            self.damage(Kind::Missing, first.map(|index| &self.records[index]), problem);
        }
        Ok(true)
    }

    fn entry(&mut self, id: StreamId, fields: &[Field]) {
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
        self.pass(before, offset);
        if offset >= end {
            self.checked.entries_of_others += 1;
            self.beyond.push((name, data));
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
            self.first_previous(index, id, previous);
        }
        match self.claims[index] {
            Claim::Idle if !record.aside => {
                self.damage(Kind::Duplicate, Some(&record), format!("entry {id} is a second copy of its event"));
            }
            Claim::Overtaken => {
                let problem = format!("entry {id} came after a later event of its producer, and took effect");
                self.damage(Kind::OutOfOrder, Some(&record), problem);
            }
            Claim::Due | Claim::Idle | Claim::Foreign => {}
        }
        self.content(&record, id, name, data);
    }

    fn bounds_of_partition(&self) -> Option<(i64, i64)> {
        let partition = self.records.first()?.partition as usize;
        Some((*self.bounds.start_offsets.get(partition)?, *self.bounds.end_offsets.get(partition)?))
    }

    /// Takes the records below `offset` as passed: they are trimmed when no entry came before, else missing.
    fn pass(&mut self, before: Option<StreamId>, offset: i64) {
        while let Some(&record) = self.records.get(self.next).filter(|record| record.offset < offset) {
            let due = self.claims[self.next] == Claim::Due;
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
    fn first_previous(&mut self, index: usize, id: StreamId, previous: StreamId) {
        let Bounds { generation, reused, .. } = *self.bounds;
        for (record, claim) in self.records[..index].iter().zip(&self.claims).rev() {
            let this = StreamId { generation, position: record.offset as u64 + 1 };
            if this == previous && *claim != Claim::Idle {
                return;
            }
            if *claim == Claim::Due {
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

    fn content(&mut self, record: &Record, id: StreamId, name: u64, data: u64) {
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
    fn rest(&mut self, version: Option<StreamId>) {
        let generation = self.bounds.generation;
        for index in self.next..self.records.len() {
            let record = self.records[index];
            if self.claims[index] != Claim::Due {
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

    /// The values that each name may have: that of its last due record, or of a foreign one after it.
    fn values(&self, version: Option<StreamId>) -> HashMap<u64, Vec<u64>> {
        let generation = self.bounds.generation;
        // Where the two differ, that has been told: here the later one counts.
        let end = self.last.max(version).filter(|end| end.generation >= generation);
        let mut values = HashMap::<u64, Vec<u64>>::new();
        for (record, claim) in self.records.iter().zip(&self.claims) {
            let id = StreamId { generation, position: record.offset as u64 + 1 };
            if end.is_none_or(|end| id > end) {
                break;
            }
            match claim {
                Claim::Due => drop(values.insert(record.name, vec![record.data])),
                Claim::Foreign => values.entry(record.name).or_default().push(record.data),
                Claim::Overtaken | Claim::Idle => {}
            }
        }
        for &(name, data) in &self.beyond {
            values.entry(name).or_default().push(data);
        }
        values
    }

    fn snapshot(&mut self, redis: &mut Stored, version: Option<StreamId>) -> Result<(), VerifyError> {
        let values = self.values(version);
        let mut seen = HashMap::new();
        let mut cursor = "0".to_owned();
        loop {
            let Found::Ours((next, fields)) = redis.values(&self.keys, &cursor)? else {
                self.damage(Kind::WrongType, None, "its snapshot key is no hash");
                return Ok(());
            };
            for (name, data) in fields {
                // HSCAN may tell a field twice.
                if seen.insert(digest(&name), ()).is_none() {
                    self.value(&values, &name, digest(&data));
                }
            }
            cursor = next;
            if cursor == "0" {
                break;
            }
        }
        let foreign = |name: &u64| {
            let mut own = self.records.iter().zip(&self.claims).filter(|(record, _)| record.name == *name);
            !own.any(|(_, claim)| *claim == Claim::Due)
        };
        let missing: Vec<u64> =
            values.keys().filter(|name| !seen.contains_key(*name) && !foreign(name)).copied().collect();
        for name in missing {
            let last = self.records.iter().rfind(|record| record.name == name).copied();
            self.damage(Kind::SnapshotMissing, last.as_ref(), "the snapshot does not have the name of this event");
        }
        Ok(())
    }

    fn value(&mut self, values: &HashMap<u64, Vec<u64>>, name: &[u8], data: u64) {
        let field = digest(name);
        let shown = short(name);
        let Some(allowed) = values.get(&field) else {
            if self.bounds.reused {
                self.checked.values_of_others += 1;
            } else {
                self.damage(Kind::SnapshotExtra, None, format!("no event of the tag has the name `{shown}`"));
            }
            return;
        };
        self.checked.values += 1;
        if allowed.contains(&data) {
            return;
        }
        let last = self.records.iter().rfind(|record| record.name == field && Some(&record.data) == allowed.last());
        let last = last.copied();
        match self.records.iter().rfind(|record| (record.name, record.data) == (field, data)) {
            Some(other) => {
                let problem = format!("`{shown}` has the value of offset {}", other.offset);
                self.damage(Kind::SnapshotStale, last.as_ref(), problem);
            }
            None => self.damage(Kind::SnapshotWrong, last.as_ref(), format!("`{shown}` has a value of no event")),
        }
    }
}

/// The Kafka offset that an ID stands for.
fn offset(id: StreamId) -> Option<i64> {
    i64::try_from(id.position.checked_sub(1)?).ok()
}

/// A name for people, whatever bytes it is.
fn short(name: &[u8]) -> String {
    const BYTES_MAX: usize = 40;
    let text = name[..name.len().min(BYTES_MAX)].escape_ascii().to_string();
    if name.len() > BYTES_MAX { format!("{text}… ({} bytes)", name.len()) } else { text }
}

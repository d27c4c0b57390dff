//! The snapshot of a tag: each name has the value that its last event gave to it.

use std::collections::{HashMap, HashSet};

use super::{ExpectedEffect, TagCheck};
use crate::verify::{
    VerifyError,
    redis_read::{Found, Stored},
    topic_records::digest,
};
use shasta_model::manifest::verification::Kind;
use shasta_reader::StreamId;

impl TagCheck<'_> {
    /// The values that each name may have: that of its last due record, or of a foreign one after it.
    fn allowed_values(&self, version: Option<StreamId>) -> HashMap<u64, Vec<u64>> {
        let generation = self.bounds.generation;
        // Where the two differ, that has been told: here the later one counts.
        let end = self.last.max(version).filter(|end| end.generation >= generation);
        let mut values = HashMap::<u64, Vec<u64>>::new();
        for (record, effect) in self.records.iter().zip(&self.effects) {
            let id = StreamId { generation, position: record.offset as u64 + 1 };
            if end.is_none_or(|end| id > end) {
                break;
            }
            match effect {
                ExpectedEffect::Applied => drop(values.insert(record.name, vec![record.data])),
                ExpectedEffect::Foreign => values.entry(record.name).or_default().push(record.data),
                ExpectedEffect::Overtaken | ExpectedEffect::Ignored => {}
            }
        }
        for &(name, data) in &self.unread {
            values.entry(name).or_default().push(data);
        }
        values
    }

    /// Reads the snapshot, and compares each name's value.
    pub(super) fn check_snapshot(&mut self, redis: &mut Stored, version: Option<StreamId>) -> Result<(), VerifyError> {
        let values = self.allowed_values(version);
        let mut seen = HashSet::new();
        let mut cursor = "0".to_owned();
        loop {
            let Found::Ours((next, fields)) = redis.values(&self.keys, &cursor)? else {
                self.damage(Kind::WrongType, None, "its snapshot key is no hash");
                return Ok(());
            };
            for (name, data) in fields {
                // HSCAN may tell a field twice.
                if seen.insert(digest(&name)) {
                    self.check_value(&values, &name, digest(&data));
                }
            }
            cursor = next;
            if cursor == "0" {
                break;
            }
        }
        let foreign = |name: &u64| {
            let mut own = self.records.iter().zip(&self.effects).filter(|(record, _)| record.name == *name);
            !own.any(|(_, effect)| *effect == ExpectedEffect::Applied)
        };
        let missing: Vec<u64> = values.keys().filter(|name| !seen.contains(*name) && !foreign(name)).copied().collect();
        for name in missing {
            let last = self.records.iter().rfind(|record| record.name == name).copied();
            self.damage(Kind::SnapshotMissing, last.as_ref(), "the snapshot does not have the name of this event");
        }
        Ok(())
    }

    fn check_value(&mut self, values: &HashMap<u64, Vec<u64>>, name: &[u8], data: u64) {
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

/// A name for people, whatever bytes it is.
fn short(name: &[u8]) -> String {
    const BYTES_MAX: usize = 40;
    let text = name[..name.len().min(BYTES_MAX)].escape_ascii().to_string();
    if name.len() > BYTES_MAX { format!("{text}… ({} bytes)", name.len()) } else { text }
}

//! One tag: what its records in the topic demand, against what Redis holds.
//!
//! The store applies the first copy of each event, in the order of offsets. So a tag's history is known from the topic
//! alone, up to the offset that its version names: the stream must be the end of that history, each entry naming the one
//! before it, and the snapshot its last value of each name. Records of others (foreign ones) may be in both or not.

mod expected_effect;
mod snapshot_check;
mod stream_check;

use self::expected_effect::{ExpectedEffect, expected_effects};
use super::{
    Bounds, VerifyError,
    damage::Findings,
    redis_read::{Found, Stored},
    topic_records::{Record, shown},
};
use shasta_model::{
    manifest::verification::{Checked, Kind, Place},
    tag_data::{Identifier, RedisKeys},
};
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
    /// Of each record.
    effects: Vec<ExpectedEffect>,
    /// The first record that the stream's entries have not come to.
    next: usize,
    /// The last entry that was read.
    last: Option<StreamId>,
    /// Events before the stream's first entry.
    trimmed: u64,
    /// Values of entries whose records were not read, by their name.
    unread: Vec<(u64, u64)>,
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
        let effects = expected_effects(records);
        let (next, last, trimmed, unread) = (0, None, 0, Vec::new());
        Self { bounds, tag, keys, records, checked, findings, effects, next, last, trimmed, unread }
    }

    /// Reads the tag back and compares all of it.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn run(mut self, redis: &mut Stored) -> Result<(), VerifyError> {
        self.checked.tags += 1;
        self.checked.overtaken +=
            self.effects.iter().filter(|effect| **effect == ExpectedEffect::Overtaken).count() as u64;
        let version = self.read_version(redis)?;
        if self.check_stream(redis)? {
            let end = self.last.unwrap_or(StreamId::ZERO);
            if version.is_some_and(|version| version != end) {
                let found = version.unwrap_or(StreamId::ZERO);
                self.damage(Kind::WrongVersion, None, format!("version {found}, and the last stream ID is {end}"));
            }
        }
        self.check_records_behind(version);
        self.check_snapshot(redis, version)
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
    fn read_version(&mut self, redis: &mut Stored) -> Result<Option<StreamId>, VerifyError> {
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
}

//! What a worker was told to be stored: of each tag the last event. By it the worker notices what Redis has lost.

use std::collections::{BTreeMap, HashMap};

use redis::{RedisError, Value};

use super::{Effect, Write};
use shasta_reader::topology::{Address, Primaries, slot};

/// Most tags that a worker remembers; of further ones it does not notice a loss. Memory: some 200 bytes each.
pub const APPLIED_MAX: usize = 1_000_000;
/// Versions that are asked for in one round trip.
const ASKED_MAX: usize = 10_000;

/// Whether Redis has what it had acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It has.
    Intact,
    /// Some tags have gone back: of each partition that has such, the first Kafka offset that has to be stored again.
    Behind(BTreeMap<i32, i64>),
    /// Some tags are gone, or nothing is known that could prove the contrary: all has to be stored again that was stored
    /// since the run began.
    Emptied,
}

/// What was told of one tag. Places are Kafka offsets + 1.
#[derive(Debug)]
struct Tag {
    partition: i32,
    acked: u64,
    /// What the round on its way brings.
    chained: u64,
    round: u64,
    /// Redis refuses this tag's events, so none waits for another.
    refused: bool,
}

/// By the key of the tag's meta hash.
#[derive(Debug, Default)]
pub(super) struct AppliedOffsets {
    tags: HashMap<String, Tag>,
}

impl AppliedOffsets {
    /// What a tag must have before `write` may be stored (offset + 1, 0 for anything), and whether that comes in the same
    /// round.
    pub fn least(&mut self, meta: &str, write: &Write, round: u64) -> (u64, bool) {
        let place = (write.offset + 1).max(0) as u64;
        let Some(tag) = self.tags.get_mut(meta) else {
            if self.tags.len() < APPLIED_MAX {
                let tag = Tag { partition: write.partition, acked: 0, chained: place, round, refused: false };
                self.tags.insert(meta.to_owned(), tag);
            }
            return (0, false);
        };
        let chained = tag.round == round && !tag.refused;
        let least = if chained { tag.chained } else { tag.acked };
        (tag.chained, tag.round) = (place, round);
        (least, chained)
    }

    /// Redis has answered.
    pub fn settle(&mut self, meta: &str, write: &Write, effect: &Effect) {
        let Some(tag) = self.tags.get_mut(meta) else { return };
        tag.refused = matches!(effect, Effect::Refused(_));
        if !tag.refused {
            tag.partition = write.partition;
            tag.acked = tag.acked.max((write.offset + 1).max(0) as u64);
        }
    }

    pub fn keep_partitions(&mut self, partitions: &[i32]) {
        self.tags.retain(|_, tag| partitions.contains(&tag.partition));
    }

    /// Asks for the versions of all tags. What was lost is forgotten here, so that it can be stored again.
    ///
    /// # Errors
    /// They could not be asked for; and whether answers are still to come that belong to nobody.
    pub fn compare(
        &mut self,
        primaries: &mut Primaries,
        generation: u64,
        moving: &HashMap<u16, Address>,
    ) -> Result<Verdict, (bool, RedisError)> {
        let asked: Vec<String> =
            self.tags.iter().filter(|(_, tag)| tag.acked > 0).map(|(meta, _)| meta.clone()).collect();
        if asked.is_empty() {
            return Ok(Verdict::Emptied);
        }
        let (mut behind, mut emptied) = (BTreeMap::new(), false);
        for metas in asked.chunks(ASKED_MAX) {
            for (meta, version) in versions(primaries, metas, moving)? {
                let Some(tag) = self.tags.get_mut(meta) else { continue };
                let place = match version {
                    Version::Unknown => continue,
                    Version::None => 0,
                    Version::Of(other, _) if other > generation => continue,
                    Version::Of(other, _) if other < generation => 0,
                    Version::Of(_, place) => place,
                };
                if place >= tag.acked {
                    continue;
                }
                tag.acked = place;
                emptied |= place == 0;
                // The event after the one at offset `place - 1`.
                let first = behind.entry(tag.partition).or_insert(i64::MAX);
                *first = (*first).min(place as i64);
            }
        }
        Ok(match (emptied, behind.is_empty()) {
            (true, _) => Verdict::Emptied,
            (false, false) => Verdict::Behind(behind),
            (false, true) => Verdict::Intact,
        })
    }
}

#[derive(Debug, Clone, Copy)]
enum Version {
    /// It is not ours, or just moving: the next event of the tag will show.
    Unknown,
    None,
    /// Generation, and offset + 1.
    Of(u64, u64),
}

fn version(answer: &Value) -> Version {
    match answer {
        Value::Nil => Version::None,
        Value::BulkString(text) => std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.split_once('-'))
            .and_then(|(generation, place)| Some(Version::Of(generation.parse().ok()?, place.parse().ok()?)))
            .unwrap_or(Version::Unknown),
        _ => Version::Unknown,
    }
}

/// One pipeline to each node, all in flight together.
fn versions<'a>(
    primaries: &mut Primaries,
    metas: &'a [String],
    moving: &HashMap<u16, Address>,
) -> Result<Vec<(&'a String, Version)>, (bool, RedisError)> {
    let mut by_node: Vec<(redis::Pipeline, Vec<&String>)> = Vec::new();
    for meta in metas {
        let slot = slot(meta.as_bytes());
        if moving.contains_key(&slot) {
            continue;
        }
        let index = primaries.map().node(slot).map_err(|error| (false, error))?;
        if index >= by_node.len() {
            by_node.resize_with(index + 1, Default::default);
        }
        by_node[index].0.cmd("HGET").arg(meta).arg("version");
        by_node[index].1.push(meta);
    }
    for (index, (pipeline, _)) in by_node.iter().enumerate().filter(|(_, (_, metas))| !metas.is_empty()) {
        let sent = primaries.node(index).and_then(|node| node.send_packed_command(&pipeline.get_packed_pipeline()));
        sent.map_err(|error| (true, error))?;
    }
    let mut all = Vec::with_capacity(metas.len());
    let mut trouble = None;
    for (index, (_, metas)) in by_node.into_iter().enumerate().filter(|(_, (_, metas))| !metas.is_empty()) {
        for meta in metas {
            let answer = primaries.node(index).and_then(super::connections::answer).map_err(|error| (true, error))?;
            match answer {
                Value::ServerError(error) => match RedisError::from(error) {
                    error if matches!(error.code(), Some("ASK" | "WRONGTYPE")) => {}
                    error => drop(trouble.get_or_insert(error)),
                },
                answer => all.push((meta, version(&answer))),
            }
        }
    }
    trouble.map_or(Ok(all), |error| Err((false, error)))
}

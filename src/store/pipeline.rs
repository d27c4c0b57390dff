//! A batch on its way: written to all nodes, then all answers taken, then what is not settled once more.

use std::collections::HashMap;

use redis::{ErrorKind, RedisError, RedisResult, Script, ServerErrorKind};

use super::{
    BatchProgress, Effect, SCRIPT, Settings, Verdict, Write,
    applied_offsets::AppliedOffsets,
    connections::answer,
    encode,
    reply::{Reply, judge},
};
use shasta_model::tag_data::RedisKeys;
use shasta_reader::topology::{Address, Primaries, Seeds, slot};

/// Tries that need no pause between them (a slot has moved, the script is unknown), before there is one all the same.
const ROUNDS_MAX: usize = 8;

/// Stores events, over one connection to each primary.
pub struct Store {
    pub(super) seeds: Seeds,
    pub(super) settings: Settings,
    pub(super) script: Script,
    /// None when they have to be found again from the beginning.
    pub(super) primaries: Option<Primaries>,
    /// The map is out of date; the node that knows better, if one was named.
    pub(super) outdated: Option<Option<Address>>,
    /// Where to ask for slots that are just moving.
    pub(super) moving: HashMap<u16, Address>,
    /// Redis may have lost what it had acknowledged.
    pub(super) doubt: bool,
    pub(super) told: AppliedOffsets,
    /// Keys that Redis had evicted when it was last asked.
    pub(super) evicted: Option<u64>,
    round: u64,
    buffers: Vec<Vec<u8>>,
}

/// An event of a batch on its way.
struct Sent {
    event: usize,
    meta: String,
    /// The answer to ASKING comes first.
    asking: bool,
    /// What the tag must have at least is only what this batch brings.
    chained: bool,
}

impl Store {
    /// Connects to all primaries and loads the script.
    ///
    /// # Errors
    /// Those of connecting: unreachable, wrong password, TLS demanded.
    pub fn connect(seeds: impl Into<Seeds>, settings: Settings) -> RedisResult<Self> {
        let mut store = Self {
            seeds: seeds.into(),
            settings,
            script: Script::new(SCRIPT),
            primaries: None,
            outdated: None,
            moving: HashMap::new(),
            doubt: false,
            told: AppliedOffsets::default(),
            evicted: None,
            round: 0,
            buffers: Vec::new(),
        };
        store.find()?;
        // Nothing was told yet, so nothing can be missing.
        store.doubt = false;
        store.has_evicted();
        Ok(store)
    }

    /// One try to store what is not settled of a batch: all of it is, where it returns [`Verdict::Intact`]. With any other
    /// verdict, what Redis has lost has to be stored first.
    ///
    /// # Errors
    /// Trying again may help, after a pause.
    pub fn attempt(&mut self, batch: &[Write], progress: &mut BatchProgress) -> RedisResult<Verdict> {
        for _ in 0..ROUNDS_MAX {
            match self.check_applied()? {
                Verdict::Intact => {}
                lost => return Ok(lost),
            }
            match self.round(batch, progress) {
                Ok(()) if progress.effects.iter().all(Option::is_some) => return Ok(Verdict::Intact),
                Ok(()) => {}
                // A slot that has moved needs no pause.
                Err(error) if is_redirect(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Err(RedisError::from((ErrorKind::Server(ServerErrorKind::TryAgain), "the slots of a batch keep moving")))
    }

    /// Proves that Redis is there, and still has what it had acknowledged.
    ///
    /// # Errors
    /// Trying again may help, after a pause.
    pub fn check(&mut self) -> RedisResult<Verdict> {
        match self.check_applied()? {
            Verdict::Intact => {}
            lost => return Ok(lost),
        }
        let primaries = self.primaries()?;
        for index in 0..primaries.len() {
            let ping = primaries.node(index).and_then(|node| redis::cmd("PING").exec(node));
            if let Err(error) = ping {
                self.lose(index);
                return Err(error);
            }
        }
        Ok(Verdict::Intact)
    }

    /// Forgets what it was told of all partitions but these.
    pub fn keep_partitions(&mut self, partitions: &[i32]) {
        self.told.keep_partitions(partitions);
    }

    /// Sends all that is not settled, then takes all answers.
    fn round(&mut self, batch: &[Write], progress: &mut BatchProgress) -> RedisResult<()> {
        self.round += 1;
        let sent = self.fill(batch, progress)?;
        let mut trouble = None;
        let mut broken = vec![false; sent.len()];
        for (index, events) in sent.iter().enumerate().filter(|(_, events)| !events.is_empty()) {
            let node = self.primaries.as_mut().expect("they were found").node(index);
            if let Err(error) = node.and_then(|node| node.send_packed_command(&self.buffers[index])) {
                broken[index] = true;
                // A part of them may have arrived.
                events.iter().for_each(|sent| progress.unanswered[sent.event] = true);
                trouble.get_or_insert(error);
            }
        }
        for (index, events) in sent.iter().enumerate().filter(|(_, events)| !events.is_empty()) {
            let taken = if broken[index] { Ok(()) } else { self.take(index, events, batch, progress, &mut trouble) };
            if let Err(error) = taken {
                broken[index] = true;
                trouble.get_or_insert(error);
            }
            if broken[index] {
                self.lose(index);
            }
        }
        trouble.map_or(Ok(()), Err)
    }

    /// Writes the commands for all that is not settled into a buffer for each node.
    fn fill(&mut self, batch: &[Write], progress: &BatchProgress) -> RedisResult<Vec<Vec<Sent>>> {
        self.buffers.iter_mut().for_each(Vec::clear);
        let mut sent: Vec<Vec<Sent>> = Vec::new();
        let unsettled = batch.iter().enumerate().filter(|(event, _)| progress.effects[*event].is_none());
        for (event, write) in unsettled {
            let identifier =
                write.event.identifier.as_ref().expect("the worker sets an event without identifier aside");
            let keys = identifier.redis_keys();
            let (index, asking) = self.place(&keys)?;
            if index >= sent.len() {
                sent.resize_with(index + 1, Vec::new);
                self.buffers.resize_with(self.buffers.len().max(index + 1), Vec::new);
            }
            let least = self.told.least(&keys.meta, write, self.round);
            encode::event(
                &mut self.buffers[index],
                &self.settings,
                self.script.get_hash(),
                &keys,
                write,
                (asking, least.0),
            );
            sent[index].push(Sent { event, meta: keys.meta, asking, chained: least.1 });
        }
        Ok(sent)
    }

    /// The node that has a tag, and whether it has to be told that we know that the tag is only just moving there.
    fn place(&mut self, keys: &RedisKeys) -> RedisResult<(usize, bool)> {
        let primaries = self.primaries.as_mut().expect("they were found");
        if !primaries.map().is_cluster() {
            return Ok((0, false));
        }
        let slot = slot(keys.meta.as_bytes());
        let Some(address) = self.moving.get(&slot) else { return Ok((primaries.map().node(slot)?, false)) };
        let (index, new) = primaries.beside(address)?;
        if new {
            self.load(index)?;
        }
        Ok((index, true))
    }

    /// Takes a node's answers. Whatever is not settled by them is tried again.
    fn take(
        &mut self,
        index: usize,
        events: &[Sent],
        batch: &[Write],
        progress: &mut BatchProgress,
        trouble: &mut Option<RedisError>,
    ) -> RedisResult<()> {
        let mut unknown_script = false;
        for (nth, sent) in events.iter().enumerate() {
            let node = self.primaries()?.node(index)?;
            let answer = if sent.asking { answer(node).and_then(|_| answer(node)) } else { answer(node) };
            let answer = answer.inspect_err(|_| {
                events[nth..].iter().for_each(|sent| progress.unanswered[sent.event] = true);
            })?;
            let write = &batch[sent.event];
            match judge(answer) {
                Reply::Settled(effect) => {
                    self.told.settle(&sent.meta, write, &effect);
                    // Our own try, whose answer was lost, had stored it.
                    let ours = progress.unanswered[sent.event] && effect == Effect::Stale;
                    progress.effects[sent.event] = Some(if ours { Effect::Applied } else { effect });
                }
                Reply::Retry => progress.effects[sent.event] = Some(Effect::Stale),
                // What it waits for came in the same batch, and was not stored, or is not what is missing.
                Reply::Behind if sent.chained => {}
                Reply::Behind => self.doubt = true,
                Reply::NoScript => unknown_script = true,
                Reply::Moved(to, error) => {
                    self.outdated = Some(to);
                    trouble.get_or_insert(error);
                }
                Reply::Moving(to) => {
                    self.moving.insert(slot(sent.meta.as_bytes()), to);
                }
                Reply::Outdated(error) => {
                    self.outdated.get_or_insert(None);
                    trouble.get_or_insert(error);
                }
                Reply::Trouble(error) => {
                    trouble.get_or_insert(error);
                }
            }
            progress.unanswered[sent.event] = false;
        }
        // After SCRIPT FLUSH or a failover.
        if unknown_script { self.load(index) } else { Ok(()) }
    }
}

fn is_redirect(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::Moved)
}

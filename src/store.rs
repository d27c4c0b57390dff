//! The store: each event goes into its tag's snapshot hash and delta stream in one atomic step, many events in one
//! round trip.
//!
//! Guarantees: an event that is delivered again, late, or twice by its producer changes nothing (see `store.lua`).
//! Stream IDs are `<generation>-<Kafka offset + 1>`; `previous` chains each entry to the one before.
//! Not guaranteed: what Redis has acknowledged survives the death of its process only with its append-only file, and the
//! death of its machine only where it writes to several (MemoryDB).

use std::{sync::Arc, time::Duration};

use redis::{Client, Connection, ErrorKind, RedisError, RedisResult, Script, ServerErrorKind};

use crate::tag_data::{RedisKeys, TagData};

/// One event to be stored.
#[derive(Debug)]
pub struct Write {
    /// The decoded event, with an identifier.
    pub event: TagData,
    /// Its Kafka offset.
    pub offset: i64,
    /// Who published it, for events of a run; `None` for a foreign one.
    pub author: Option<Author>,
}

/// The producer's own numbering of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Author {
    /// Connection.
    pub producer: u32,
    /// Number within the connection.
    pub sequence: u64,
    /// Warm-up events are numbered on their own.
    pub warm: bool,
}

/// What storing an event did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Snapshot and stream have it.
    Applied,
    /// It was not new: nothing changed.
    Stale,
    /// Redis refuses this event and will refuse it again (a key of another type, say): nothing changed.
    Refused(String),
}

/// A connection to Redis that stores events.
pub struct Store {
    connection: Connection,
    script: Script,
    settings: Settings,
}

/// What a run's workers share.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Generation of the topic, see [`crate::generation`].
    pub generation: u64,
    /// Run that the events belong to.
    pub run: Arc<str>,
    /// Approximate length to which each delta stream is trimmed.
    pub stream_maxlen: u32,
    /// How long Redis may take to answer a batch before the connection is given up.
    pub timeout: Duration,
}

impl Store {
    /// Connects and loads the script.
    ///
    /// # Errors
    /// Those of connecting: unreachable, wrong password, TLS demanded.
    pub fn connect(client: &Client, settings: Settings) -> RedisResult<Self> {
        let mut connection = client.get_connection_with_timeout(settings.timeout)?;
        connection.set_read_timeout(Some(settings.timeout))?;
        connection.set_write_timeout(Some(settings.timeout))?;
        let script = Script::new(include_str!("store.lua"));
        script.prepare_invoke().load(&mut connection)?;
        Ok(Self { connection, script, settings })
    }

    /// Stores a batch in one round trip, in order, each event atomically. Doing it again after an error is harmless.
    ///
    /// # Errors
    /// When the batch has to be tried again, over a new connection: it may be stored in part.
    pub fn apply(&mut self, batch: &[Write]) -> RedisResult<Vec<Effect>> {
        let mut replies = self.pipeline(batch)?;
        // After SCRIPT FLUSH or a failover the script is unknown.
        if replies.iter().any(|reply| reply.as_ref().is_err_and(is_no_script)) {
            self.script.prepare_invoke().load(&mut self.connection)?;
            replies = self.pipeline(batch)?;
        }
        replies.into_iter().map(effect).collect()
    }

    fn pipeline(&mut self, batch: &[Write]) -> RedisResult<Vec<RedisResult<u8>>> {
        let mut pipeline = redis::Pipeline::with_capacity(batch.len());
        for write in batch {
            self.add(&mut pipeline, write);
        }
        pipeline.ignore_errors().query(&mut self.connection)
    }

    fn add(&self, pipeline: &mut redis::Pipeline, write: &Write) {
        let Write { event, offset, author } = write;
        let identifier = event.identifier.as_ref().expect("the worker sets an event without identifier aside");
        let RedisKeys { snapshot, delta, meta } = identifier.redis_keys();
        let (field, sequence) = match author {
            Some(Author { producer, sequence, warm: false }) => (format!("sequence:{producer}"), *sequence),
            Some(Author { producer, sequence, warm: true }) => (format!("warm:{producer}"), *sequence),
            None => (String::new(), 0),
        };
        let command = pipeline.cmd("EVALSHA").arg(self.script.get_hash()).arg(3).arg(snapshot).arg(delta).arg(meta);
        command.arg(self.settings.generation).arg(offset + 1).arg(&*self.settings.run).arg(field).arg(sequence);
        command.arg(&identifier.name).arg(&event.data[..]).arg(self.settings.stream_maxlen);
    }
}

fn is_no_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

fn effect(reply: RedisResult<u8>) -> RedisResult<Effect> {
    match reply {
        Ok(0) => Ok(Effect::Stale),
        Ok(_) => Ok(Effect::Applied),
        // The event's own fault: the same command would fail for ever.
        Err(error) if is_permanent(&error) => Ok(Effect::Refused(error.to_string())),
        Err(error) => Err(error),
    }
}

/// Whether the event itself is at fault. All else (loading, out of memory, read-only, cluster down) may pass.
fn is_permanent(error: &RedisError) -> bool {
    match error.code() {
        Some("WRONGTYPE") => true,
        // What a script's own redis.call fails with comes as ERR, with the cause in the text.
        Some("ERR") => {
            error.detail().is_some_and(|text| text.contains("WRONGTYPE") || text.contains("Invalid stream ID"))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use redis::Commands;

    use super::*;
    use crate::{cluster::temporary_redis, tag_data::Identifier};

    struct Bench {
        _redis: (tempfile::TempDir, crate::process::Child),
        client: Client,
        connection: Connection,
    }

    impl Bench {
        fn new() -> Self {
            let (dir, child, port) = temporary_redis(&[]);
            let client = Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
            let connection = client.get_connection().unwrap();
            Self { _redis: (dir, child), client, connection }
        }

        fn store(&self, run: &str, generation: u64) -> Store {
            let timeout = Duration::from_secs(5);
            Store::connect(&self.client, Settings { generation, run: run.into(), stream_maxlen: 100, timeout }).unwrap()
        }

        fn entries(&mut self) -> Vec<(String, HashMap<String, String>)> {
            redis::cmd("XRANGE").arg("shasta:{a/t/s}:delta").arg("-").arg("+").query(&mut self.connection).unwrap()
        }

        fn meta(&mut self) -> HashMap<String, String> {
            self.connection.hgetall("shasta:{a/t/s}:meta").unwrap()
        }
    }

    fn write(offset: i64, sequence: u64, name: &str, data: &str) -> Write {
        let identifier = Identifier { app_id: "a".into(), tag: "t".into(), scope: "s".into(), name: name.into() };
        let author = Some(Author { producer: 3, sequence, warm: false });
        Write { event: TagData { identifier: Some(identifier), data: data.into() }, offset, author }
    }

    fn pairs(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    #[test]
    fn an_event_is_a_hash_field_and_a_chained_stream_entry() {
        let mut bench = Bench::new();
        let mut store = bench.store("r", 1);
        let applied = store.apply(&[write(41, 0, "x", "1"), write(45, 1, "y", "2"), write(46, 2, "x", "3")]).unwrap();
        assert_eq!(applied, vec![Effect::Applied; 3]);
        let snapshot: HashMap<String, String> = bench.connection.hgetall("shasta:{a/t/s}:snapshot").unwrap();
        assert_eq!(snapshot, pairs(&[("x", "3"), ("y", "2")]));
        let entry = |id: &str, name, data, previous| {
            (id.to_owned(), pairs(&[("name", name), ("data", data), ("previous", previous)]))
        };
        let expected =
            [entry("1-42", "x", "1", "0-0"), entry("1-46", "y", "2", "1-42"), entry("1-47", "x", "3", "1-46")];
        assert_eq!(bench.entries(), expected);
        assert_eq!(bench.meta(), pairs(&[("version", "1-47"), ("run", "r"), ("sequence:3", "2")]));
    }

    #[test]
    fn redelivered_late_and_retried_events_change_nothing() {
        let mut bench = Bench::new();
        let mut store = bench.store("r", 2);
        store.apply(&[write(10, 5, "x", "1"), write(11, 6, "x", "2")]).unwrap();
        let before = (bench.entries(), bench.meta());
        let again = [write(11, 6, "x", "2"), write(10, 5, "x", "1"), write(12, 6, "x", "2"), write(13, 5, "x", "1")];
        assert_eq!(store.apply(&again).unwrap(), vec![Effect::Stale; 4]);
        // A worker that has slept through a new generation of the topic.
        assert_eq!(bench.store("r", 1).apply(&[write(99, 9, "x", "old")]).unwrap(), [Effect::Stale]);
        assert_eq!((bench.entries(), bench.meta()), before);
    }

    #[test]
    fn a_new_generation_and_a_new_run_begin_anew() {
        let mut bench = Bench::new();
        bench.store("r", 1).apply(&[write(1_000, 9, "x", "1")]).unwrap();
        assert_eq!(bench.store("r2", 2).apply(&[write(0, 0, "x", "2")]).unwrap(), [Effect::Applied]);
        assert_eq!(bench.meta(), pairs(&[("version", "2-1"), ("run", "r2"), ("sequence:3", "0")]));
        assert_eq!(bench.entries()[1].1["previous"], "1-1001");
    }

    #[test]
    fn flushed_scripts_are_loaded_again() {
        let mut bench = Bench::new();
        let mut store = bench.store("r", 1);
        redis::cmd("SCRIPT").arg("FLUSH").exec(&mut bench.connection).unwrap();
        assert_eq!(store.apply(&[write(0, 0, "x", "1")]).unwrap(), [Effect::Applied]);
    }

    #[test]
    fn a_key_of_another_type_is_refused_whole_and_the_rest_is_stored() {
        let mut bench = Bench::new();
        let mut store = bench.store("r", 1);
        for key in ["snapshot", "delta", "meta"] {
            let key = format!("shasta:{{a/t/s}}:{key}");
            let _: () = bench.connection.set(&key, "not ours").unwrap();
            let mut other = write(1, 0, "x", "1");
            other.event.identifier.as_mut().unwrap().tag = format!("for {key}");
            let effects = store.apply(&[write(0, 0, "x", "1"), other]).unwrap();
            assert!(matches!(&effects[0], Effect::Refused(reason) if reason.contains("WRONGTYPE")), "{effects:?}");
            assert_eq!(effects[1], Effect::Applied);
            let keys: Vec<String> = bench.connection.keys("shasta:{a/t/s}:*").unwrap();
            assert_eq!(keys, std::slice::from_ref(&key), "nothing else was written");
            let _: () = bench.connection.del(&key).unwrap();
        }
    }
}

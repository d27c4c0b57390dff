//! Redis read back: a tag's version, its stream page by page, its snapshot piece by piece. What comes is taken as bytes,
//! since anyone may have written it.

use std::time::{Duration, Instant};

use redis::{Client, Cmd, Connection, ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind};

use super::VerifyError;
use crate::{reader::StreamId, tag_data::RedisKeys};

/// Stream entries, or names of a snapshot, asked for at once. Memory: this times the size of an event.
const PAGE: usize = 128;
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a Redis that is away, loading or failing over is tried again.
const AWAY_MAX: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(200);

/// A page of a stream: IDs, each with its fields.
pub(super) type Entries = Vec<(String, Vec<Field>)>;
/// Name and value.
pub(super) type Field = (Vec<u8>, Vec<u8>);

/// What is under one of our keys.
pub(super) enum Found<T> {
    Ours(T),
    /// It is of another type than the store's.
    WrongType,
}

pub(super) struct Stored {
    client: Client,
    connection: Option<Connection>,
    shown: String,
}

impl Stored {
    /// `shown` is the URL without a password.
    pub fn new(url: &str, shown: String) -> Result<Self, VerifyError> {
        match Client::open(url) {
            Ok(client) => Ok(Self { client, connection: None, shown }),
            Err(source) => Err(VerifyError::Redis { url: shown, source }),
        }
    }

    /// The tag's version, as it is written; `None` where there is none.
    pub fn version(&mut self, keys: &RedisKeys) -> Result<Found<Option<Vec<u8>>>, VerifyError> {
        self.ask(redis::cmd("HGET").arg(&keys.meta).arg("version"))
    }

    /// How many entries the stream has.
    pub fn length(&mut self, keys: &RedisKeys) -> Result<Found<u64>, VerifyError> {
        self.ask(redis::cmd("XLEN").arg(&keys.delta))
    }

    /// The entries after `after`, the earliest first; none where the stream ends there.
    pub fn entries(&mut self, keys: &RedisKeys, after: StreamId) -> Result<Found<Entries>, VerifyError> {
        if after == StreamId::MAX {
            return Ok(Found::Ours(Vec::new()));
        }
        self.ask(redis::cmd("XRANGE").arg(&keys.delta).arg(format!("({after}")).arg("+").arg("COUNT").arg(PAGE))
    }

    /// A piece of the snapshot, and the cursor of the next one, `0` after the last. A name may come twice.
    pub fn values(&mut self, keys: &RedisKeys, cursor: &str) -> Result<Found<(String, Vec<Field>)>, VerifyError> {
        self.ask(redis::cmd("HSCAN").arg(&keys.snapshot).arg(cursor).arg("COUNT").arg(PAGE))
    }

    fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<Found<T>, VerifyError> {
        let deadline = Instant::now() + AWAY_MAX;
        loop {
            match self.try_once(command) {
                Ok(answer) => return Ok(Found::Ours(answer)),
                Err(error) if error.code() == Some("WRONGTYPE") => return Ok(Found::WrongType),
                Err(error) if passes(&error) && Instant::now() < deadline => {
                    // Replies that are still to come belong to nobody.
                    self.connection = None;
                    std::thread::sleep(PAUSE);
                }
                Err(source) => return Err(VerifyError::Redis { url: self.shown.clone(), source }),
            }
        }
    }

    fn try_once<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            empty => {
                let connection = self.client.get_connection_with_timeout(TIMEOUT)?;
                connection.set_read_timeout(Some(TIMEOUT))?;
                empty.insert(connection)
            }
        };
        command.query(connection)
    }
}

/// Whether the same may succeed a little later.
fn passes(error: &RedisError) -> bool {
    use ServerErrorKind as S;
    let temporary =
        [S::BusyLoading, S::TryAgain, S::ClusterDown, S::MasterDown].map(ErrorKind::Server).contains(&error.kind());
    temporary || error.is_io_error() || error.is_timeout()
}

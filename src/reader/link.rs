//! One reader's connections to one Redis endpoint: one that is told of changes and reads them, one for large answers,
//! so that a snapshot of megabytes is never in front of a change.
//!
//! Redis tells by itself which of the streams that this connection has read have changed (CLIENT TRACKING over RESP3,
//! Redis 6 or later). So waiting costs nothing per tag, and reading costs per change: XREAD BLOCK would look at all
//! 1,000 streams at every change, and on a cluster it takes only streams of one slot.

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use redis::{
    AsyncConnectionConfig, Client, IntoConnectionInfo, ProtocolVersion, PushInfo, PushKind, RedisResult, Value,
    aio::MultiplexedConnection,
};
use tokio::sync::Notify;

use super::{
    Options, ReaderError, StreamId,
    bulk::Bulk,
    content::{self, Entry},
};

/// What Redis has told since it was last asked for.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Keys that have changed.
    pub keys: HashSet<String>,
    /// Every key may have changed.
    pub all: bool,
    /// The connection is gone.
    pub gone: bool,
}

/// Where Redis' word arrives. A key is in it once, however often it changes.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    news: Mutex<News>,
    arrived: Notify,
}

impl Inbox {
    /// Adds to it, and wakes who waits.
    pub fn add(&self, change: impl FnOnce(&mut News)) {
        change(&mut self.news.lock().unwrap_or_else(PoisonError::into_inner));
        self.arrived.notify_one();
    }

    /// Everything in it.
    pub fn take(&self) -> News {
        mem::take(&mut self.news.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until there is something.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }

    fn push(&self, push: PushInfo) {
        match (push.kind, push.data.into_iter().next()) {
            (PushKind::Disconnection, _) => self.add(|news| news.gone = true),
            (PushKind::Invalidate, Some(Value::Array(keys))) => {
                self.add(|news| news.keys.extend(keys.into_iter().filter_map(content::text)));
            }
            (PushKind::Invalidate, _) => self.add(|news| news.all = true),
            _ => {}
        }
    }
}

/// The connections.
pub(super) struct Link {
    changes: MultiplexedConnection,
    bulk: Bulk,
    /// Whether Redis tells of changes; if not, they have to be asked for.
    pub told: bool,
}

/// The client for a URL.
///
/// # Errors
/// [`ReaderError::Address`].
pub(super) fn client(url: &str) -> Result<Client, ReaderError> {
    let info = url.into_connection_info().map_err(|error| ReaderError::Address(error.to_string()))?;
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    let tcp = info.tcp_settings().clone().set_nodelay(true);
    let info = info.set_redis_settings(settings).set_tcp_settings(tcp);
    Client::open(info).map_err(|error| ReaderError::Address(error.to_string()))
}

impl Link {
    /// Connects, and proves that this user may read our keys.
    ///
    /// # Errors
    /// [`ReaderError::Denied`] or [`ReaderError::Unavailable`].
    pub async fn connect(client: &Client, options: &Options, inbox: &Arc<Inbox>) -> Result<Self, ReaderError> {
        let config = || {
            AsyncConnectionConfig::new()
                .set_connection_timeout(Some(options.timeout))
                .set_response_timeout(Some(options.timeout))
        };
        let failed = |error| unreachable(client, &error);
        let inbox = Arc::clone(inbox);
        let told_by = config().set_push_sender(move |push| {
            inbox.push(push);
            Ok::<(), ()>(())
        });
        let mut changes = client.get_multiplexed_async_connection_with_config(&told_by).await.map_err(failed)?;
        let bulk = client.get_multiplexed_async_connection_with_config(&config()).await.map_err(failed)?;
        // Before anything is read: a node refuses the keys of other nodes only.
        if is_cluster(&mut changes).await {
            return Err(ReaderError::Cluster(client.get_connection_info().addr().to_string()));
        }
        let bulk = Bulk::new(bulk, options.snapshot_bytes_max);
        bulk.probe().await?;
        let tracking: RedisResult<()> = redis::cmd("CLIENT").arg("TRACKING").arg("ON").query_async(&mut changes).await;
        if let Err(error) = &tracking {
            tracing::warn!("Redis does not tell of changes, so they are asked for: {error}");
        }
        Ok(Self { changes, bulk, told: tracking.is_ok() })
    }

    /// The connection for large answers.
    pub fn bulk(&self) -> Bulk {
        self.bulk.clone()
    }

    /// Of each stream the entries after an ID, at most so many, in one round trip. Redis tells of the next change
    /// of each.
    ///
    /// # Errors
    /// The outer one when Redis does not answer; the inner ones are a stream's own.
    pub async fn read(
        &mut self,
        from: &[(Arc<str>, StreamId, usize)],
    ) -> Result<Vec<Result<Vec<Entry>, ReaderError>>, ReaderError> {
        let mut pipeline = redis::Pipeline::with_capacity(from.len());
        for (key, id, count) in from {
            pipeline.cmd("XRANGE").arg(&**key).arg(format!("({id}")).arg("+").arg("COUNT").arg(count);
        }
        let answers: Vec<RedisResult<Value>> = pipeline
            .ignore_errors()
            .query_async(&mut self.changes)
            .await
            .map_err(|error| ReaderError::of(&error, "shasta:*"))?;
        let answers = answers.into_iter().zip(from).map(|(answer, (key, ..))| match answer {
            Ok(value) => content::entries(key, value),
            Err(error) => Err(ReaderError::of(&error, key)),
        });
        Ok(answers.collect())
    }
}

/// What the server calls itself; where HELLO may not be sent again, the first key of another node tells.
async fn is_cluster(connection: &mut MultiplexedConnection) -> bool {
    let hello: RedisResult<HashMap<String, Value>> = redis::cmd("HELLO").query_async(connection).await;
    hello.is_ok_and(|mut hello| hello.remove("mode").and_then(content::text).is_some_and(|mode| mode == "cluster"))
}

/// Why Redis cannot be reached, as far as can be told from here.
fn unreachable(client: &Client, error: &redis::RedisError) -> ReaderError {
    let address = client.get_connection_info().addr();
    let plain = matches!(address, redis::ConnectionAddr::Tcp(..));
    match ReaderError::of(error, "") {
        ReaderError::Unavailable(text) => {
            let advice = if error.is_connection_refusal() {
                "; nothing listens there: is it the right port, and is it up?"
            } else if text.to_ascii_lowercase().contains("hello") {
                "; Redis 6 or later is needed"
            } else if plain && (error.is_io_error() || error.is_connection_dropped()) {
                "; it does not answer in plain text: if it demands TLS, write rediss:// (and build with feature `tls`)"
            } else {
                ""
            };
            ReaderError::Unavailable(format!("{address}: {text}{advice}"))
        }
        other => other,
    }
}

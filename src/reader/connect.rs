//! How a reader's connections are made, and to whom.

use std::sync::Arc;

use redis::{AsyncConnectionConfig, ProtocolVersion, RedisError, RedisResult, Value, aio::MultiplexedConnection};

use super::{Options, ReaderError, connections::Inbox};
use crate::topology::{Address, Kind, Map, Seeds, kind, told};

/// How connections are made.
#[derive(Clone)]
pub(super) struct Dial {
    seeds: Seeds,
    config: AsyncConnectionConfig,
    inbox: Arc<Inbox>,
}

/// The nodes that a URL names.
///
/// # Errors
/// [`ReaderError::Address`].
pub(super) fn seeds(url: &str) -> Result<Seeds, ReaderError> {
    let seeds = Seeds::parse(url).map_err(|error| ReaderError::Address(error.to_string()))?;
    Ok(seeds.with_settings(|settings| settings.set_protocol(ProtocolVersion::RESP3)))
}

impl Dial {
    pub fn new(seeds: &Seeds, options: &Options, inbox: &Arc<Inbox>) -> Self {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(options.timeout))
            .set_response_timeout(Some(options.timeout));
        Self { seeds: seeds.clone(), config, inbox: Arc::clone(inbox) }
    }

    /// A connection that is not told of anything.
    pub async fn plain(&self, address: &Address) -> Result<MultiplexedConnection, ReaderError> {
        self.open(address, &self.config).await
    }

    /// A connection whose notices go to the inbox.
    pub async fn told(&self, address: &Address) -> Result<MultiplexedConnection, ReaderError> {
        let inbox = Arc::clone(&self.inbox);
        let config = self.config.clone().set_push_sender(move |push| {
            inbox.push(push);
            Ok::<(), ()>(())
        });
        self.open(address, &config).await
    }

    async fn open(
        &self,
        address: &Address,
        config: &AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, ReaderError> {
        let client = self.seeds.client(address).map_err(|error| ReaderError::Address(error.to_string()))?;
        let opened = client.get_multiplexed_async_connection_with_config(config).await;
        opened.map_err(|error| unreachable(address, self.seeds.is_tls(), &error))
    }

    /// The first node that can tell where everything is, and what it tells. A single node may be a replica: it is read.
    pub async fn find(&self, known: &Map) -> Result<(Map, Address, MultiplexedConnection), ReaderError> {
        let mut failed = None;
        for address in self.seeds.to_ask(None, known) {
            let mut connection = match self.told(&address).await {
                Ok(connection) => connection,
                Err(error) => {
                    // A node that is not there says less than one that is and refuses.
                    if failed.as_ref().is_none_or(ReaderError::is_transient) {
                        failed = Some(error);
                    }
                    continue;
                }
            };
            let map = match kind(redis::cmd("HELLO").query_async(&mut connection).await) {
                Kind::Replica if self.seeds.addresses().len() > 1 => {
                    failed.get_or_insert(ReaderError::Unavailable(format!("{address} is a replica")));
                    continue;
                }
                Kind::Primary | Kind::Replica => Ok(Map::one(address.clone())),
                Kind::Cluster => {
                    let slots: RedisResult<Value> =
                        redis::cmd("CLUSTER").arg("SLOTS").query_async(&mut connection).await;
                    slots.and_then(|slots| Map::of_cluster(&slots, &address.host))
                }
            };
            match map {
                Ok(map) => return Ok((map, address, connection)),
                Err(error) => failed = Some(ReaderError::of(&error, "")),
            }
        }
        Err(failed.unwrap_or_else(|| ReaderError::Unavailable("no node was named".into())))
    }
}

/// Has Redis tell this connection of changes of what it reads.
pub(super) async fn track(connection: &mut MultiplexedConnection) -> bool {
    let tracking: RedisResult<()> = redis::cmd("CLIENT").arg("TRACKING").arg("ON").query_async(connection).await;
    if let Err(error) = &tracking {
        tracing::warn!("Redis does not tell of changes, so they are asked for: {error}");
    }
    tracking.is_ok()
}

/// Why Redis cannot be reached, as far as can be told from here.
fn unreachable(address: &Address, tls: bool, error: &RedisError) -> ReaderError {
    match ReaderError::of(error, "") {
        ReaderError::Unavailable(_) => ReaderError::Unavailable(format!("{address}: {}", told(error, tls))),
        other => other,
    }
}

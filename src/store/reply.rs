//! What a node's answer to an event means.

use redis::{ErrorKind, RedisError, ServerErrorKind, Value};

use super::Effect;
use shasta_reader::topology::Address;

#[derive(Debug)]
pub(super) enum Reply {
    /// Done, for good.
    Settled(Effect),
    /// Its producer had written it at an earlier offset.
    Retry,
    /// The tag lacks an event that must come first.
    Behind,
    /// The script has to be loaded.
    NoScript,
    /// Another node has the slot.
    Moved(Option<Address>, RedisError),
    /// Another node has the tag, whose slot is moving there.
    Moving(Address),
    /// This node takes no writes now; perhaps another does.
    Outdated(RedisError),
    /// It may pass (out of memory, no permission).
    Trouble(RedisError),
}

pub(super) fn judge(answer: Value) -> Reply {
    let error = match answer {
        Value::Int(1) => return Reply::Settled(Effect::Applied),
        Value::Int(0) => return Reply::Settled(Effect::Stale),
        Value::Int(2) => return Reply::Behind,
        Value::Int(3) => return Reply::Retry,
        Value::ServerError(error) => RedisError::from(error),
        _ => RedisError::from((ErrorKind::UnexpectedReturnType, "not an answer of the store's script")),
    };
    let to = || error.redirect_node().and_then(|(address, _)| Address::of_redirect(address, ""));
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::NoScript) => Reply::NoScript,
        ErrorKind::Server(ServerErrorKind::Moved) => Reply::Moved(to().filter(|to| !to.host.is_empty()), error),
        ErrorKind::Server(ServerErrorKind::Ask) => match to().filter(|to| !to.host.is_empty()) {
            Some(to) => Reply::Moving(to),
            None => Reply::Trouble(error),
        },
        ErrorKind::Server(
            ServerErrorKind::ReadOnly
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::BusyLoading,
        ) => Reply::Outdated(error),
        _ if is_permanent(&error) => Reply::Settled(Effect::Refused(error.to_string())),
        _ => Reply::Trouble(error),
    }
}

/// Whether the event itself is at fault, or what others put under its keys: the same would fail for ever. All else
/// (loading, out of memory, cluster down) may pass.
fn is_permanent(error: &RedisError) -> bool {
    match error.code() {
        Some("WRONGTYPE") => true,
        // What a script's own redis.call fails with comes as ERR, with the cause in the text.
        Some("ERR") => error.detail().is_some_and(|text| {
            [
                "WRONGTYPE",
                "Invalid stream ID",
                "equal or smaller",
                "exhausted the last possible ID",
                "must be greater than 0-0",
            ]
            .into_iter()
            .any(|cause| text.contains(cause))
        }),
        _ => false,
    }
}

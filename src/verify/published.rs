//! The topic read back: some partitions, from where the run began to where they end.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, Headers},
};

use super::{Asking, VerifyError};
use crate::{
    cluster::{
        KafkaAccess,
        topic::{self, Topic},
    },
    tag_data::Stamps,
};

const POLL: Duration = Duration::from_millis(100);
/// How long the brokers may give nothing: a fault may have just ended, and leaders are still to be chosen.
const SILENT_MAX: Duration = Duration::from_secs(60);

/// Leaves it to [`read`] to tell what goes wrong: the client calls a partition's end an error as well.
struct Quiet;

impl ClientContext for Quiet {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!("Kafka: {error}: {reason}");
    }
}

impl ConsumerContext for Quiet {}

/// Where each partition ends.
pub(super) fn end_offsets(access: &KafkaAccess, topic: &Topic, asking: &Asking<'_>) -> Result<Vec<i64>, VerifyError> {
    let deadline = Instant::now() + SILENT_MAX;
    loop {
        match topic::end_offsets(access, topic) {
            Ok(ends) => return Ok(ends),
            Err(_) if Instant::now() < deadline => asking.go_on()?,
            Err(source) => return Err(VerifyError::Ends(source)),
        }
    }
}

/// One partition of a reading: its number, the first offset, and the one after the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub partition: i32,
    pub start: i64,
    pub end: i64,
}

impl Part {
    pub fn records(&self) -> u64 {
        (self.end - self.start).max(0) as u64
    }
}

/// Gives every record of `parts` to `take`: partition, offset, stamps, payload.
pub(super) fn read(
    access: &KafkaAccess,
    topic: &str,
    parts: &[Part],
    asking: &Asking<'_>,
    mut take: impl FnMut(i32, i64, Option<&Stamps<'_>>, &[u8]),
) -> Result<(), VerifyError> {
    let mut open: BTreeMap<i32, Part> =
        parts.iter().filter(|part| part.records() > 0).map(|part| (part.partition, *part)).collect();
    let consumer = consumer(access, topic, open.values())?;
    let (mut heard, mut trouble) = (Instant::now(), None);
    while !open.is_empty() {
        asking.go_on()?;
        match consumer.poll(POLL) {
            None => {}
            Some(Ok(message)) => {
                heard = Instant::now();
                let (partition, offset) = (message.partition(), message.offset());
                let Some(part) = open.get(&partition).copied() else { continue };
                if offset < part.end {
                    let stamps = stamps(&message);
                    take(partition, offset, stamps.as_ref(), message.payload().unwrap_or_default());
                }
                if offset + 1 >= part.end {
                    open.remove(&partition);
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            Some(Err(error)) => {
                let gone = [RDKafkaErrorCode::AutoOffsetReset, RDKafkaErrorCode::OffsetOutOfRange];
                if error.rdkafka_error_code().is_some_and(|code| gone.contains(&code)) {
                    return Err(VerifyError::Gone(error));
                }
                trouble = Some(error);
            }
        }
        if heard.elapsed() > SILENT_MAX {
            let why = trouble.map_or_else(|| "no error was told".into(), |error| error.to_string());
            return Err(VerifyError::Silent { after_s: SILENT_MAX.as_secs(), why });
        }
    }
    Ok(())
}

fn consumer<'a>(
    access: &KafkaAccess,
    topic: &str,
    parts: impl Iterator<Item = &'a Part>,
) -> Result<BaseConsumer<Quiet>, VerifyError> {
    let mut config = access.consumer_config("shasta-verify");
    // What is on the topic, not what a group has got to. The buffer bounds memory.
    config.set("auto.offset.reset", "error").set("enable.partition.eof", "true");
    config.set("queued.max.messages.kbytes", "32768").set("fetch.wait.max.ms", "50");
    let consumer: BaseConsumer<Quiet> = config.create_with_context(Quiet).map_err(VerifyError::Kafka)?;
    let mut list = TopicPartitionList::new();
    for Part { partition, start, .. } in parts {
        list.add_partition_offset(topic, *partition, Offset::Offset(*start)).map_err(VerifyError::Kafka)?;
    }
    consumer.assign(&list).map_err(VerifyError::Kafka)?;
    Ok(consumer)
}

fn stamps<'a>(message: &'a BorrowedMessage<'_>) -> Option<Stamps<'a>> {
    let headers = message.headers()?;
    Stamps::read(headers.iter().map(|header| (header.key, header.value)))
}

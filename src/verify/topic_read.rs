//! The topic read back: some partitions, from where the run began to where they end.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, Message, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, Headers},
};

use super::{Asking, Subject, VerifyError};
use crate::{
    cluster::{
        Complaints, KafkaAccess, TopicNow,
        undecodable::{Place, Prober, base_offset, is_undecodable},
    },
    event::headers::Stamps,
};

const POLL: Duration = Duration::from_millis(100);
/// How long the brokers may give nothing: a fault may have just ended, and leaders are still to be chosen.
const SILENT_MAX: Duration = Duration::from_secs(60);

/// How long nothing may come before the partitions are looked at one by one.
const LOOK: Duration = Duration::from_secs(10);
const GROUP: &str = "shasta-verify";

/// Leaves it to [`read`] to tell what goes wrong: the client calls a partition's end an error as well. Keeps the text.
#[derive(Default)]
struct Quiet(Mutex<String>, Complaints);

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.1.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!("Kafka: {error}: {reason}");
        reason.clone_into(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl ConsumerContext for Quiet {}

impl Quiet {
    fn last_reason(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn base_offset(&self) -> Option<i64> {
        base_offset(&self.last_reason())
    }
}

/// Where each partition begins and ends. What the run wrote must all be there.
pub(super) fn logs(access: &KafkaAccess, subject: &Subject<'_>, asking: &Asking<'_>) -> Result<Vec<i64>, VerifyError> {
    let deadline = Instant::now() + SILENT_MAX;
    let now = loop {
        match TopicNow::ask(access, subject.topic) {
            Ok(now) => break now,
            Err(_) if Instant::now() < deadline => asking.go_on()?,
            Err(source) => return Err(VerifyError::Ends(source)),
        }
    };
    let mut each = now.logs.iter().zip(subject.start_offsets).enumerate();
    match each.find(|(_, (log, start))| log.start > **start) {
        None => Ok(now.logs.into_iter().map(|log| log.end).collect()),
        Some((partition, (log, start))) => Err(VerifyError::Gone(format!(
            "partition {partition} begins at offset {} by now, and the run at {start}",
            log.start
        ))),
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

/// Offsets of a partition whose batch the client cannot decode.
pub(super) type Undecodable = (i32, Range<i64>);

/// Gives every record of `parts` to `take`: partition, offset, stamps, payload. Returns what cannot be decoded.
pub(super) fn read(
    access: &KafkaAccess,
    topic: &str,
    parts: &[Part],
    asking: &Asking<'_>,
    mut take: impl FnMut(i32, i64, Option<&Stamps<'_>>, &[u8]),
) -> Result<Vec<Undecodable>, VerifyError> {
    let parts = parts.iter().filter(|part| part.records() > 0).map(|part| (part.partition, *part)).collect();
    let mut reading = Reading { topic, open: parts, undecodable: Vec::new(), prober: None };
    let consumer = consumer(access, topic, reading.open.values())?;
    let (mut heard, mut looked, mut trouble) = (Instant::now(), Instant::now(), None);
    while !reading.open.is_empty() {
        asking.go_on()?;
        match consumer.poll(POLL) {
            None => {}
            Some(Ok(message)) => {
                (heard, looked) = (Instant::now(), Instant::now());
                let (partition, offset) = (message.partition(), message.offset());
                let Some(part) = reading.open.get(&partition).copied() else { continue };
                if offset < part.end {
                    let stamps = stamps(&message);
                    take(partition, offset, stamps.as_ref(), message.payload().unwrap_or_default());
                }
                reading.go_on(partition, offset + 1);
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                reading.open.remove(&partition);
            }
            Some(Err(error)) if is_undecodable(&error) => {
                // The client complains again and again until it is led past.
                let base = consumer.context().base_offset();
                if reading.pass(access, &consumer, base)? {
                    heard = Instant::now();
                }
            }
            Some(Err(error)) => {
                let gone = [RDKafkaErrorCode::AutoOffsetReset, RDKafkaErrorCode::OffsetOutOfRange];
                if error.rdkafka_error_code().is_some_and(|code| gone.contains(&code)) {
                    return Err(VerifyError::Gone(consumer.context().last_reason()));
                }
                trouble = Some(error);
            }
        }
        if looked.elapsed() > LOOK && reading.pass(access, &consumer, None)? {
            heard = Instant::now();
        }
        if looked.elapsed() > LOOK {
            looked = Instant::now();
        }
        if heard.elapsed() > SILENT_MAX {
            let why = trouble.map_or_else(|| "no error was told".into(), |error| error.to_string());
            return Err(VerifyError::Silent { after_s: SILENT_MAX.as_secs(), why });
        }
    }
    Ok(reading.undecodable)
}

struct Reading<'a> {
    topic: &'a str,
    /// What is still to come.
    open: BTreeMap<i32, Part>,
    undecodable: Vec<Undecodable>,
    prober: Option<Prober>,
}

impl Reading<'_> {
    fn go_on(&mut self, partition: i32, next: i64) {
        let Some(part) = self.open.get_mut(&partition) else { return };
        part.start = next;
        if part.records() == 0 {
            self.open.remove(&partition);
        }
    }

    /// Leads the consumer past what it cannot decode: in the partition whose next batch begins at or after `base`, or in
    /// any. Returns whether it was somewhere.
    fn pass(
        &mut self,
        access: &KafkaAccess,
        consumer: &BaseConsumer<Quiet>,
        base: Option<i64>,
    ) -> Result<bool, VerifyError> {
        let prober = match &mut self.prober {
            Some(prober) => prober,
            none => none.insert(Prober::new(access, GROUP, self.topic, &BTreeMap::new()).map_err(VerifyError::Kafka)?),
        };
        let mut waiting: Vec<_> = self.open.values().copied().collect();
        waiting.retain(|part| base.is_none_or(|base| base <= part.start));
        waiting.sort_by_key(|part| part.start - base.unwrap_or(0));
        for Part { partition, start, end } in waiting {
            if let Place::Undecodable { to, .. } = prober.look(partition, start, end).map_err(VerifyError::Kafka)? {
                consumer.seek(self.topic, partition, Offset::Offset(to), POLL * 50).map_err(VerifyError::Kafka)?;
                self.undecodable.push((partition, start..to));
                self.go_on(partition, to);
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn consumer<'a>(
    access: &KafkaAccess,
    topic: &str,
    parts: impl Iterator<Item = &'a Part>,
) -> Result<BaseConsumer<Quiet>, VerifyError> {
    let mut config = access.consumer_config(GROUP);
    // What is on the topic, not what a group has got to. The buffer bounds memory.
    config.set("auto.offset.reset", "error").set("enable.partition.eof", "true");
    config.set("queued.max.messages.kbytes", "32768").set("fetch.wait.max.ms", "50");
    let consumer: BaseConsumer<Quiet> = config.create_with_context(Quiet::default()).map_err(VerifyError::Kafka)?;
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

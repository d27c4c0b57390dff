//! From a Kafka record to an event to be stored, or the reason why it is none. Payloads are untrusted.

use prost::Message as _;
use rdkafka::{
    Message, Timestamp,
    message::{BorrowedMessage, Headers},
};

use super::{
    Config,
    consume::Consumed,
    report::{Kind, Receipt, Stored},
};
use crate::{
    event::headers::Stamps,
    store::{Author, Write},
};
use shasta_model::tag_data::TagData;

/// The run that a record says it is of, whether ours or not.
pub(super) fn run<'a>(consumed: &'a Consumed<'_>) -> Option<&'a str> {
    stamps(&consumed.message).map(|stamps| stamps.run)
}

/// The receipt of a record, not yet stored, and what is to be stored, or why it cannot be.
pub(super) fn decode(config: &Config, consumed: &Consumed<'_>) -> (Receipt, Result<Write, String>) {
    let message = &consumed.message;
    let stamps = stamps(message).filter(|stamps| stamps.run == config.run);
    let kind = match &stamps {
        None => Kind::Foreign,
        Some(stamps) if stamps.warm => Kind::Warm,
        Some(_) => Kind::Event,
    };
    let author = stamps.map(|Stamps { producer, sequence, warm, .. }| Author { producer, sequence, warm });
    let append_ms = match message.timestamp() {
        Timestamp::LogAppendTime(ms) if config.log_append_time => Some(ms),
        _ => None,
    };
    let receipt = Receipt {
        kind: kind as i32,
        producer: author.map_or(0, |author| author.producer),
        sequence: author.map_or(0, |author| author.sequence),
        partition: message.partition(),
        offset: message.offset(),
        append_ms,
        after_consume_us: consumed.after_consume_us,
        after_store_us: None,
        stored: Stored::Not as i32,
    };
    let event = TagData::decode(message.payload().unwrap_or_default());
    let write = match event {
        Err(error) => Err(format!("not TagData: {error}")),
        Ok(TagData { identifier: None, .. }) => Err("TagData without an identifier".to_owned()),
        Ok(event) => Ok(Write { event, partition: message.partition(), offset: message.offset(), author }),
    };
    (receipt, write)
}

fn stamps<'a>(message: &'a BorrowedMessage<'_>) -> Option<Stamps<'a>> {
    let headers = message.headers()?;
    Stamps::read(headers.iter().map(|header| (header.key, header.value)))
}

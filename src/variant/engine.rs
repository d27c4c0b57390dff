//! Which Kafka client the producers have where none is asked for, and which events one of them cannot send.

use super::{ClusterKind, Engine, Variant};
use crate::event::{
    payload::EventShape,
    request_size::{RUN_NAME_MAX, RequestSize},
};

impl Variant {
    /// The most bytes of an event that rskafka sends without a pause, where this variant's events have more.
    pub fn over_one_piece(&self) -> Option<usize> {
        let Variant { bytes, connections, tags_per_connection, names_per_tag, .. } = *self;
        let shape = EventShape::new(bytes, connections, tags_per_connection, names_per_tag, 0).ok()?;
        let size = RequestSize::of(&shape, connections, self.topic.len(), RUN_NAME_MAX);
        (size.events_max() == 0).then(|| size.event_bytes_max())
    }

    /// That librdkafka publishes events of this size, and why.
    pub fn engine_for_size(&self) -> Option<String> {
        let bytes_max = self.over_one_piece()?;
        let publishes = self.engine == Engine::Librdkafka && self.cluster != ClusterKind::Null;
        publishes.then(|| {
            format!(
                "events of {} bytes are published by librdkafka: past {bytes_max} bytes, rskafka's requests are in two pieces, the \
                 second of which waits for 40 ms and more",
                self.bytes
            )
        })
    }

    /// The engine of a variant that names none.
    pub(super) fn suited_engine(&self) -> Engine {
        if self.over_one_piece().is_some() { Engine::Librdkafka } else { Engine::Rskafka }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variant::{Layer, tests::load_over_laptop};

    #[test]
    fn large_events_are_not_sent_by_rskafka() {
        let engine = |text: &str| load_over_laptop(text, &Layer::default()).map(|variant| variant.engine);
        assert_eq!(engine(""), Ok(Engine::Rskafka));
        assert_eq!(engine("bytes = 7500"), Ok(Engine::Rskafka));
        assert_eq!(engine("bytes = 8000"), Ok(Engine::Librdkafka));
        assert_eq!(engine("bytes = 16384"), Ok(Engine::Librdkafka));
        assert_eq!(engine("bytes = 16384\nengine = \"librdkafka\""), Ok(Engine::Librdkafka));
        let told = |text: &str| load_over_laptop(text, &Layer::default()).unwrap().engine_for_size();
        assert!(
            told("bytes = 16384").unwrap().starts_with("events of 16384 bytes are published by librdkafka: past 7")
        );
        assert_eq!(
            [told(""), told("engine = \"librdkafka\""), told("bytes = 16384\ncluster = \"null\"")],
            [None, None, None]
        );
        let refused = engine("bytes = 16384\nengine = \"rskafka\"").unwrap_err();
        let told = "x.toml:3: engine = \"rskafka\"; x.toml:2: bytes = 16384: must be \"librdkafka\" or left out, or bytes at most 7";
        assert!(refused.contains(told), "{refused}");
        let flags = Layer { engine: Some(Engine::Rskafka), bytes: Some(16_384), ..Layer::default() };
        let refused = load_over_laptop("", &flags).unwrap_err();
        assert!(refused.starts_with("--engine rskafka; --bytes 16384: must be librdkafka or left out"), "{refused}");
    }

    #[test]
    fn a_long_topic_leaves_less_room() {
        let most = |topic: &str| {
            let text = format!("bytes = 16384\ntopic = \"{topic}\"");
            load_over_laptop(&text, &Layer::default()).unwrap().over_one_piece().unwrap()
        };
        assert_eq!(most("t") - most(&"t".repeat(249)), 248);
    }
}

//! What a reader names: a tag, and a place in its history.

use std::{fmt, str::FromStr};

use super::ReaderError;
use shasta_model::tag_data::{BYTES_MAX, Identifier, RedisKeys};

/// A tag: all names of one application and scope that are read together. Any text is a part of it, braces and NUL too.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tag {
    identifier: Identifier,
}

impl Tag {
    /// The tag of these three parts.
    ///
    /// # Errors
    /// [`ReaderError::Tag`] where they are longer than any event, so that nothing can ever be stored under them.
    pub fn new(
        app_id: impl Into<String>,
        tag: impl Into<String>,
        scope: impl Into<String>,
    ) -> Result<Self, ReaderError> {
        let (app_id, tag, scope) = (app_id.into(), tag.into(), scope.into());
        let bytes = app_id.len() + tag.len() + scope.len();
        if bytes > BYTES_MAX {
            return Err(ReaderError::Tag { bytes, bytes_max: BYTES_MAX });
        }
        Ok(Self { identifier: Identifier { app_id, tag, scope, name: String::new() } })
    }

    /// The Redis keys that hold it.
    pub fn redis_keys(&self) -> RedisKeys {
        self.identifier.redis_keys()
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Identifier { app_id, tag, scope, .. } = &self.identifier;
        write!(f, "{app_id}/{tag}/{scope}")
    }
}

/// The place of a change in its tag's history: `<generation>-<Kafka offset + 1>`, ordered as they were applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId {
    /// Generation of the topic: grows whenever its offsets begin anew.
    pub generation: u64,
    /// Kafka offset + 1.
    pub position: u64,
}

impl StreamId {
    /// Before every change: the version of a tag that has none.
    pub const ZERO: Self = Self { generation: 0, position: 0 };
    /// After every change.
    pub const MAX: Self = Self { generation: u64::MAX, position: u64::MAX };
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.generation, self.position)
    }
}

/// A text that is no stream ID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no stream ID, which is two numbers with a `-` between them")]
pub struct NoStreamId(String);

impl FromStr for StreamId {
    type Err = NoStreamId;

    fn from_str(text: &str) -> Result<Self, NoStreamId> {
        let number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok()).flatten();
        let id = text.split_once('-').and_then(|(generation, position)| {
            Some(Self { generation: number(generation)?, position: number(position)? })
        });
        id.ok_or_else(|| NoStreamId(text.chars().take(60).collect()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_tag_is_any_text_up_to_the_size_of_an_event() {
        let odd = Tag::new("a{b}", "\0", "x".repeat(64 << 10)).unwrap();
        assert!(odd.redis_keys().delta.starts_with("shasta:{a%7Bb%7D/%00/xxx"));
        assert!(matches!(Tag::new("", "x".repeat(BYTES_MAX + 1), ""), Err(ReaderError::Tag { .. })));
    }

    #[test]
    fn what_is_no_stream_id_is_refused() {
        for text in ["", "-", "1", "1-", "-1", "1-2-3", "+1-2", "1-18446744073709551616", "0x1-1", "١-1"] {
            assert!(text.parse::<StreamId>().is_err(), "{text}");
        }
        assert_eq!("1-18446744073709551615".parse(), Ok(StreamId { generation: 1, position: u64::MAX }));
    }

    proptest! {
        #[test]
        fn a_stream_id_is_its_text(generation: u64, position: u64) {
            let id = StreamId { generation, position };
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }
    }
}

//! Lengths of time as people write them.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// A length of time written as people do: `300ms`, `30s`, `10m`, `6h`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || format!("`{text}` is not a length of time; write it as 300ms, 30s, 10m or 6h");
        let span: jiff::SignedDuration = text.parse().map_err(|_| wanted())?;
        Duration::try_from(span).map(Span).map_err(|_| wanted())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let printer = jiff::fmt::friendly::SpanPrinter::new();
        f.write_str(&printer.unsigned_duration_to_string(&self.0).replace(' ', ""))
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn written_as_people_do() {
        let lengths =
            [("0s", 0), ("300ms", 300), ("30s", 30_000), ("10m", 600_000), ("6h", 21_600_000), ("1h30m", 5_400_000)];
        for (text, ms) in lengths {
            let span: Span = text.parse().unwrap();
            assert_eq!((span.0, span.to_string().as_str()), (Duration::from_millis(ms), text));
        }
    }

    #[test]
    fn what_is_no_length_says_how_to_write_one() {
        for text in ["", "10", "-5s", "ten minutes", "1 fortnight", "99999999999999999999h", "NaN"] {
            let error = text.parse::<Span>().unwrap_err();
            assert!(error.contains("300ms, 30s, 10m or 6h"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn survives_its_own_text(seconds in 0u64..604_800, nanos in 0u32..1_000_000_000) {
            let span = Span(Duration::new(seconds, nanos));
            prop_assert_eq!(span.to_string().parse::<Span>(), Ok(span));
        }

        #[test]
        fn any_text_is_read_without_panic(text in any::<String>()) {
            let _ = text.parse::<Span>();
        }
    }
}

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
        let parsed = |text: &str| text.parse::<jiff::SignedDuration>();
        let span = parsed(text).map_err(|_| match parsed(&with_small_numbers(text)) {
            Ok(_) => format!("`{text}` is too long"),
            Err(_) => wanted(),
        })?;
        Duration::try_from(span).map(Span).map_err(|_| wanted())
    }
}

/// The text with each number's digits but the first left out: a length of time that is not too long, if it is one at all.
fn with_small_numbers(text: &str) -> String {
    let mut before = ' ';
    text.chars().filter(|c| !(std::mem::replace(&mut before, *c).is_ascii_digit() && c.is_ascii_digit())).collect()
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
        for text in ["", "10", "-5s", "ten minutes", "1 fortnight", "999999999999999999", "NaN"] {
            let error = text.parse::<Span>().unwrap_err();
            assert!(error.contains("300ms, 30s, 10m or 6h"), "{error}");
        }
        for text in ["99999999999999999999h", "999999999999999999h", "1h99999999999999999999m"] {
            assert_eq!(text.parse::<Span>().unwrap_err(), format!("`{text}` is too long"));
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

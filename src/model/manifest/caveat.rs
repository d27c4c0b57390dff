//! What stands beside a verdict because it bounds what the figures say.

use serde::{Deserialize, Serialize};

use super::lenient;

/// What a caveat is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Other work on the machine.
    BusyMachine,
    /// The harness did not keep its own schedule.
    LateHarness,
    /// Further deliveries of events.
    SecondCopies,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caveat {
    /// What it is about; none where this version does not know it.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub kind: Option<Kind>,
    /// A sentence for people, without its full stop.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_words_of_the_manifest() {
        let caveat = Caveat { kind: Some(Kind::BusyMachine), text: "x".to_owned() };
        assert_eq!(serde_json::to_value(&caveat).unwrap(), serde_json::json!({ "kind": "busy_machine", "text": "x" }));
        let later: Caveat = serde_json::from_str(r#"{ "kind": "of_a_later_version", "text": "x" }"#).unwrap();
        assert_eq!(later, Caveat { kind: None, ..caveat });
    }
}

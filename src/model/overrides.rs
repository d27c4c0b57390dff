//! Settings of a variant as flat text, and what a run changed of the variant that it is named by, for titles.
//!
//! The harness writes `overrides` into the manifest and shows them, `analyze` reads them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Settings by name, in text: `partitions` is `256`, `broker.num.io.threads` is `9`.
pub type Settings = BTreeMap<String, String>;

/// Settings that make no other experiment: the seed, which each repetition has its own of, and words about the variant.
pub const BESIDE: [&str; 3] = ["seed", "question", "published"];

/// Titles end after so many characters.
const TITLE_CHARS_MAX: usize = 120;

/// Settings with those of tables under `<table>.<name>`; what is null was not given.
pub fn flat(settings: &Map<String, Value>) -> Settings {
    let mut flat = Settings::new();
    for (key, value) in settings.iter().filter(|(key, _)| !BESIDE.contains(&key.as_str())) {
        match value {
            Value::Null => {}
            Value::Object(table) => {
                flat.extend(self::flat(table).into_iter().map(|(name, text)| (format!("{key}.{name}"), text)));
            }
            value => {
                flat.insert(key.clone(), text(value));
            }
        }
    }
    flat
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "none".to_owned(),
        Value::String(text) => text.clone(),
        // So that 10 and 10.0 are one rate.
        Value::Number(number) => number.as_f64().map_or_else(|| number.to_string(), |number| number.to_string()),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(" "),
        // A fault: what, when, and how long.
        Value::Object(fields) => {
            let known = ["what", "at", "for"].into_iter().filter_map(|name| fields.get(name).map(|of| (name, of)));
            let words = known.map(|(name, of)| if name == "what" { text(of) } else { format!("{name} {}", text(of)) });
            words.collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}

/// A variant with what was changed of it: `goal, partitions 256`.
pub fn title(variant: &str, overrides: &Settings) -> String {
    let changed = overrides.iter().map(|(name, text)| format!(", {name} {text}"));
    let title: String = [variant.to_owned()].into_iter().chain(changed).collect();
    match title.char_indices().nth(TITLE_CHARS_MAX) {
        Some((end, _)) => format!("{} …", &title[..end]),
        None => title,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(json: &str) -> Settings {
        flat(serde_json::from_str::<Value>(json).unwrap().as_object().unwrap())
    }

    #[test]
    fn settings_are_flat_text() {
        let flat = settings(
            r#"{"seed":7,"question":"?","rate":10.0,"partitions":256,"acks":null,"broker_jvm":[],"data_dir":"",
            "broker":{"num.io.threads":"9"},"fault":[{"at":"30s","for":"10s","what":"kill broker 2"}]}"#,
        );
        let expected = [
            ("broker.num.io.threads", "9"),
            ("broker_jvm", "none"),
            ("data_dir", "none"),
            ("fault", "kill broker 2 at 30s for 10s"),
            ("partitions", "256"),
            ("rate", "10"),
        ];
        assert_eq!(flat, expected.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
    }

    #[test]
    fn a_title_names_what_was_changed() {
        assert_eq!(title("goal", &Settings::new()), "goal");
        assert_eq!(title("goal", &settings(r#"{"partitions":256,"rate":0.5}"#)), "goal, partitions 256, rate 0.5");
        let long = title("ü", &settings(&format!(r#"{{"topic":"{}"}}"#, "ü".repeat(300))));
        assert_eq!((long.chars().count(), long.ends_with("ü …")), (TITLE_CHARS_MAX + 2, true));
    }
}

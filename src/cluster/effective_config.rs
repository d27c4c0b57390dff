//! Which of the variant's properties the brokers took, as they describe themselves.

use std::collections::BTreeMap;

use rdkafka::admin::ConfigEntry;
use serde_json::{Value, json};

use super::{KafkaAccess, admin::Admin, broker};

/// Tells of the properties that have no effect: a broker takes a misspelt one without a word.
pub(super) fn tell(admin: &Admin, asked: &BTreeMap<String, String>, progress: &dyn Fn(&str)) {
    // What brokers do not describe, the manifest says.
    let Ok(described) = admin.broker_settings(1) else { return };
    let why = |name: &String| Some((name.clone(), why_not(name, described.get(name))?));
    for (name, why) in asked.keys().filter_map(why) {
        progress(&format!("`{name}` in [broker] has no effect: {why}"));
    }
}

/// What was asked and what came of it, for the manifest. Asks broker 1, if there are brokers.
pub(super) fn described(access: &KafkaAccess, asked: &BTreeMap<String, String>) -> Value {
    if access.bootstrap.is_empty() {
        return Value::Null;
    }
    let described = match Admin::connect(access).and_then(|admin| admin.broker_settings(1)) {
        Ok(described) => described,
        Err(error) => return json!({ "asked": asked, "error": error.to_string() }),
    };
    let mut not_applied: Vec<Value> = vec![];
    let mut applied = serde_json::Map::new();
    for (name, value) in asked {
        let entry = described.get(name);
        match why_not(name, entry) {
            Some(why) => not_applied.push(json!({ "property": name, "value": value, "why": why })),
            None => drop(applied.insert(name.clone(), json!(entry.and_then(|entry| entry.value.clone())))),
        }
    }
    let shown = described.values().filter(|entry| !entry.is_sensitive);
    let all: serde_json::Map<_, _> = shown.map(|entry| (entry.name.clone(), json!(entry.value))).collect();
    json!({ "applied": applied, "not_applied": not_applied, "broker_1": all })
}

/// Why a property of the variant has no effect on a broker that describes it so, if it has none.
fn why_not(name: &str, entry: Option<&ConfigEntry>) -> Option<&'static str> {
    // A broker hides the value of a property that it does not know, as it does for a password.
    let unknown = entry.is_none_or(|entry| entry.is_sensitive).then_some("this Kafka does not know it");
    broker::not_applied(name).or(unknown)
}

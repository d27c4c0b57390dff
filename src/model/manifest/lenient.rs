//! Reading what a run is not judged by: a part that has another shape than it should is left out, and never an error.

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Map, Value};

/// The value, or what can be read of its fields, or the default.
pub fn or_default<'de, T: DeserializeOwned + Default, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(T::deserialize(&value).unwrap_or_else(|_| match value {
        Value::Object(fields) => of_sound_fields(fields),
        _ => T::default(),
    }))
}

/// Each field is tried alone, the others being left out.
fn of_sound_fields<T: DeserializeOwned + Default>(fields: Map<String, Value>) -> T {
    let alone = |(name, value): (String, Value)| Value::Object(Map::from_iter([(name, value)]));
    let sound = fields.into_iter().filter(|(name, value)| T::deserialize(alone((name.clone(), value.clone()))).is_ok());
    T::deserialize(Value::Object(sound.collect())).unwrap_or_default()
}

/// Those items of a list that can be read.
pub fn list<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let Value::Array(items) = Value::deserialize(deserializer)? else { return Ok(Vec::new()) };
    Ok(items.into_iter().filter_map(|item| T::deserialize(item).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Part {
        a: u8,
        b: Option<String>,
        #[serde(deserialize_with = "list")]
        c: Vec<i64>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Whole {
        #[serde(deserialize_with = "or_default")]
        part: Part,
        #[serde(deserialize_with = "or_default")]
        maybe: Option<Part>,
    }

    #[test]
    fn what_can_be_read_is_read() {
        let read = |json: &str| serde_json::from_str::<Whole>(json).unwrap();
        let part = |a, b: Option<&str>, c: &[i64]| Part { a, b: b.map(str::to_owned), c: c.to_vec() };
        let whole = |part| Whole { part, maybe: None };
        assert_eq!(read(r#"{"part":{"a":1,"b":"x","c":[1,"x",3],"d":0}}"#), whole(part(1, Some("x"), &[1, 3])));
        assert_eq!(read(r#"{"part":{"a":-1,"b":"x","c":7}}"#), whole(part(0, Some("x"), &[])));
        for odd in ["null", "7", "[]", r#"{"a":[],"b":1}"#] {
            assert_eq!(read(&format!(r#"{{"part":{odd}}}"#)), whole(Part::default()), "{odd}");
        }
        assert_eq!(read(r#"{"maybe":{"a":[],"b":"y"}}"#).maybe, Some(part(0, Some("y"), &[])));
        assert_eq!(read(r#"{"maybe":null}"#).maybe, None);
    }
}

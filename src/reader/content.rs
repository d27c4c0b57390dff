//! What Redis holds, as what it ought to be: everything that comes from there is checked here, and nowhere else.

use std::collections::BTreeMap;

use bytes::Bytes;
use redis::Value;

use super::{Delta, ReaderError, StreamId};

/// One entry of a stream: a change, or the ID of something that is none and why.
pub(super) type Entry = Result<Delta, (StreamId, String)>;

/// The field `version` of a tag's meta hash; ZERO where there is none.
pub(super) fn version(key: &str, value: Value) -> Result<StreamId, ReaderError> {
    match value {
        Value::Nil => Ok(StreamId::ZERO),
        other => {
            let text = text(other).ok_or_else(|| ReaderError::foreign(key, "its version is no text"))?;
            text.parse().map_err(|error| ReaderError::foreign(key, format!("its version {error}")))
        }
    }
}

/// Fields of a snapshot hash, added to `values`. Returns their bytes.
pub(super) fn fields(key: &str, value: Value, values: &mut BTreeMap<String, Bytes>) -> Result<usize, ReaderError> {
    let wrong = |problem: &str| ReaderError::foreign(key, problem);
    let pairs: Vec<(Value, Value)> = match value {
        Value::Map(pairs) => pairs,
        // RESP2, and HSCAN.
        Value::Array(flat) if flat.len() % 2 == 0 => {
            let mut flat = flat.into_iter();
            std::iter::from_fn(|| flat.next().zip(flat.next())).collect()
        }
        _ => return Err(wrong("its fields are not pairs")),
    };
    let mut bytes = 0;
    for (name, data) in pairs {
        let name = text(name).ok_or_else(|| wrong("a name is not UTF-8"))?;
        let data = blob(data).ok_or_else(|| wrong("a value is no string"))?;
        bytes += name.len() + data.len();
        values.insert(name, data);
    }
    Ok(bytes)
}

/// The entries of XRANGE.
pub(super) fn entries(key: &str, value: Value) -> Result<Vec<Entry>, ReaderError> {
    match value {
        Value::Array(entries) => entries.into_iter().map(|value| entry(key, value)).collect(),
        Value::Nil => Ok(Vec::new()),
        _ => Err(ReaderError::foreign(key, "its entries are no list")),
    }
}

fn entry(key: &str, value: Value) -> Result<Entry, ReaderError> {
    let wrong = || ReaderError::foreign(key, "an entry is not an ID and its fields");
    let Value::Array(parts) = value else { return Err(wrong()) };
    let [id, fields]: [Value; 2] = parts.try_into().map_err(|_| wrong())?;
    let id: StreamId = text(id).and_then(|id| id.parse().ok()).ok_or_else(wrong)?;
    Ok(delta(id, fields).ok_or_else(|| (id, format!("entry {id} of the stream is no change of a tag"))))
}

fn delta(id: StreamId, fields: Value) -> Option<Delta> {
    let Value::Array(fields) = fields else { return None };
    let (mut name, mut data, mut previous) = (None, None, None);
    let mut fields = fields.into_iter();
    // Fields that this version does not know are those of a newer one.
    while let (Some(field), Some(value)) = (fields.next(), fields.next()) {
        match &blob(field)?[..] {
            b"name" => name = text(value),
            b"data" => data = blob(value),
            b"previous" => previous = text(value)?.parse().ok(),
            _ => {}
        }
    }
    let delta = Delta { id, previous: previous?, name: name?, data: data? };
    (delta.previous < id).then_some(delta)
}

pub(super) fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

fn blob(value: Value) -> Option<Bytes> {
    match value {
        Value::BulkString(bytes) => Some(bytes.into()),
        Value::SimpleString(text) => Some(text.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn stream(id: &str, fields: &[&str]) -> Value {
        let fields = fields.iter().map(|field| bulk(field)).collect();
        Value::Array(vec![Value::Array(vec![bulk(id), Value::Array(fields)])])
    }

    #[test]
    fn an_entry_of_another_program_is_told_by_its_id() {
        let ours = ["name", "x", "data", "1", "previous", "1-1", "more", "2"];
        let read = |id: &str, fields: &[&str]| entries("k", stream(id, fields)).unwrap().remove(0);
        assert_eq!(read("1-2", &ours).unwrap().data, "1");
        let theirs: [&[&str]; 5] =
            [&[], &["name", "x"], &["name"], &["name", "x", "data", "1", "previous", "?"], &ours];
        for (id, fields) in ["9-2", "9-2", "9-2", "9-2", "1-1"].into_iter().zip(theirs) {
            assert_eq!(read(id, fields).unwrap_err().0.to_string(), id);
        }
        assert!(entries("k", stream("no ID", &ours)).is_err());
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Nil),
            any::<i64>().prop_map(Value::Int),
            any::<Vec<u8>>().prop_map(Value::BulkString),
            ".{0,5}".prop_map(Value::SimpleString),
            prop::sample::select(vec!["name", "data", "previous", "1-1", "2-1", "0-0"]).prop_map(bulk),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                prop::collection::vec((inner.clone(), inner), 0..3).prop_map(Value::Map),
            ]
        })
    }

    proptest! {
        #[test]
        fn nothing_that_redis_may_answer_panics(value in any_value()) {
            let _ = version("k", value.clone());
            let _ = fields("k", value.clone(), &mut BTreeMap::new());
            let _ = entries("k", value);
        }
    }
}

//! The latencies of a run as it recorded them.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::lenient;
use crate::percentile::{Value, round_2};

/// All latencies of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tables {
    /// Rows in the file.
    #[serde(deserialize_with = "lenient::or_default")]
    pub rows: u64,
    /// The three headline latencies.
    pub headlines: Vec<Line>,
    /// The stages of the path, what they lead to where there are readers, then the ack, which is beside it.
    #[serde(deserialize_with = "lenient::list")]
    pub stages: Vec<Line>,
    /// The headline latency over the first and the second half of the window.
    #[serde(deserialize_with = "lenient::list")]
    pub halves: Vec<Line>,
    /// The largest 1,000 latencies of the first headline, largest first, in µs, beside those that are missing: with those
    /// of other runs, they give the exact far percentiles of all together.
    #[serde(deserialize_with = "lenient::or_default")]
    pub tail_us: Vec<i64>,
}

impl Tables {
    /// A percentile of the first headline, scheduled → stored, in ms: infinite past the drain, none when it is not kept.
    pub fn headline_ms(&self, percentile: f64) -> Option<f64> {
        let cells = &self.headlines.first()?.percentiles;
        cells.iter().find(|cell| cell.percentile == percentile)?.ms.as_ms()
    }

    /// Its mean, standard deviation and minimum in ms; none where no event has both stamps.
    pub fn headline_moments_ms(&self) -> [Option<f64>; 3] {
        let first = self.headlines.first();
        first.map_or([None; 3], |line| [line.mean_ms, line.sd_ms, line.min_ms].map(Value::as_ms))
    }
}

/// One latency of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Its name.
    pub name: String,
    /// Column of the earlier stamp.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub from: String,
    /// Column of the later stamp.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub to: String,
    /// Planned events.
    pub n: u64,
    /// Events that lack one of the two stamps: in none of mean, SD and minimum, +∞ in percentiles and maximum.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub without_end: Option<u64>,
    /// The same, by the name that all manifests have it by.
    #[serde(default)]
    pub missing: Option<u64>,
    /// Events that were not below 100 ms.
    pub over_slo: u64,
    /// The mean in ms, not rounded, of the events that have both stamps; early manifests do not have it.
    #[serde(default, with = "exact_ms")]
    pub mean_ms: Value,
    /// Their standard deviation (ddof 0).
    #[serde(default, with = "exact_ms")]
    pub sd_ms: Value,
    /// The smallest of them.
    #[serde(default, with = "exact_ms")]
    pub min_ms: Value,
    /// p50 to p99.999.
    pub percentiles: Vec<Cell>,
    /// The largest, in ms.
    #[serde(with = "ms")]
    pub max_ms: Value,
}

/// One percentile of one latency.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The percentile, 0 to 100.
    pub percentile: f64,
    /// Its value in ms, 2 places; `> drain` where the event had not arrived.
    #[serde(with = "ms")]
    pub ms: Value,
    /// Samples strictly past it; below 10 it is marked †.
    pub samples_past: u64,
}

/// Milliseconds as they are written; text says that the event had not arrived, null that there was none.
#[derive(Deserialize)]
#[serde(untagged)]
enum Ms {
    Finite(f64),
    Words(#[expect(dead_code, reason = "any text")] String),
    None(()),
}

/// Milliseconds with 2 places.
pub(super) mod ms {
    use super::*;

    pub fn serialize<S: Serializer>(value: &Value, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Value::Finite(ms) => serializer.serialize_f64(round_2(*ms)),
            Value::PastDrain => serializer.serialize_str("> drain"),
            Value::Empty => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        Ok(match Ms::deserialize(deserializer)? {
            Ms::Finite(ms) => Value::Finite(ms),
            Ms::Words(_) => Value::PastDrain,
            Ms::None(()) => Value::Empty,
        })
    }
}

/// Milliseconds with all of their digits; an event that had not arrived is in none of them.
pub(super) mod exact_ms {
    use super::*;

    pub fn serialize<S: Serializer>(value: &Value, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Value::Finite(ms) => serializer.serialize_f64(*ms),
            other => super::ms::serialize(other, serializer),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        Option::<f64>::deserialize(deserializer).map(Value::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_recorded_with_2_places_and_moments_with_all() {
        let cell = |ms| Cell { percentile: 99.9, ms, samples_past: 3 };
        let line = Line {
            name: "scheduled → stored".to_owned(),
            from: "scheduled_us".to_owned(),
            to: "after_store_us".to_owned(),
            n: 5,
            without_end: Some(1),
            missing: Some(1),
            over_slo: 2,
            mean_ms: Value::Finite(1.23456),
            sd_ms: Value::Empty,
            min_ms: Value::Empty,
            percentiles: vec![cell(Value::Finite(1.23456)), cell(Value::PastDrain), cell(Value::Empty)],
            max_ms: Value::PastDrain,
        };
        let json = serde_json::to_string(&line).unwrap();
        assert!(json.ends_with(
            r#""mean_ms":1.23456,"sd_ms":null,"min_ms":null,"percentiles":[{"percentile":99.9,"ms":1.23,"samples_past":3},{"percentile":99.9,"ms":"> drain","samples_past":3},{"percentile":99.9,"ms":null,"samples_past":3}],"max_ms":"> drain"}"#
        ), "{json}");
        let read: Line = serde_json::from_str(&json).unwrap();
        let percentiles = vec![cell(Value::Finite(1.23)), cell(Value::PastDrain), cell(Value::Empty)];
        assert_eq!(read, Line { percentiles, ..line });
        let tables = Tables { headlines: vec![read], ..Tables::default() };
        assert_eq!([tables.headline_ms(99.9), tables.headline_ms(12.0)], [Some(1.23), None]);
        assert_eq!(tables.headline_moments_ms(), [Some(1.23456), None, None]);
    }
}

//! The seconds of a machine as an array for each part of them: the names are written once and not with each second, which
//! takes a third of the room.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::harness::Second;

#[derive(Serialize)]
struct Parts {
    at_us: Vec<i64>,
    foreign_cores: Vec<f64>,
    steal_cores: Vec<f64>,
    cpu_pressure: Vec<f64>,
    hiccup_ms_max: Vec<f64>,
    work_us: Vec<f64>,
    written_mb: Vec<f64>,
}

pub fn serialize<S: Serializer>(seconds: &[Second], serializer: S) -> Result<S::Ok, S::Error> {
    let part = |of: fn(&Second) -> f64| seconds.iter().map(of).collect();
    let parts = Parts {
        at_us: seconds.iter().map(|second| second.at_us).collect(),
        foreign_cores: part(|second| second.foreign_cores),
        steal_cores: part(|second| second.steal_cores),
        cpu_pressure: part(|second| second.cpu_pressure),
        hiccup_ms_max: part(|second| second.hiccup_ms_max),
        work_us: part(|second| second.work_us),
        written_mb: part(|second| second.written_mb),
    };
    parts.serialize(serializer)
}

/// A second without a time is left out; what is missing of one is 0.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Second>, D::Error> {
    let parts = Value::deserialize(deserializer)?;
    let times = parts["at_us"].as_array().into_iter().flatten().enumerate();
    let second = |(k, at_us): (usize, &Value)| {
        let part = |name: &str| parts[name][k].as_f64().unwrap_or(0.0);
        Some(Second {
            at_us: at_us.as_i64()?,
            foreign_cores: part("foreign_cores"),
            steal_cores: part("steal_cores"),
            cpu_pressure: part("cpu_pressure"),
            hiccup_ms_max: part("hiccup_ms_max"),
            work_us: part("work_us"),
            written_mb: part("written_mb"),
        })
    };
    Ok(times.filter_map(second).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Vec<Second> {
        deserialize(&mut serde_json::Deserializer::from_str(json)).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let second = |at_us, work_us| Second { at_us, work_us, steal_cores: 0.25, ..Second::default() };
        let seconds = [second(5, 24.5), second(6, 25.5)];
        let mut json = Vec::new();
        serialize(&seconds, &mut serde_json::Serializer::new(&mut json)).unwrap();
        let json = String::from_utf8(json).unwrap();
        assert!(json.starts_with(r#"{"at_us":[5,6],"foreign_cores":[0.0,0.0],"steal_cores":[0.25,0.25],"#), "{json}");
        assert_eq!(read(&json), seconds);
    }

    #[test]
    fn what_is_odd_is_left_out() {
        let second = |at_us, hiccup_ms_max| Second { at_us, hiccup_ms_max, ..Second::default() };
        let json = r#"{"at_us":[1,"x",9e18,4],"hiccup_ms_max":[2.5,1,1],"work_us":7,"steal_cores":["x",null]}"#;
        assert_eq!(read(json), [second(1, 2.5), second(4, 0.0)]);
        for odd in ["null", "7", "[1]", "{}", r#"{"at_us":7}"#] {
            assert_eq!(read(odd), [], "{odd}");
        }
    }
}

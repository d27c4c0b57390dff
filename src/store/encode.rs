//! Commands as bytes: a pipeline is written once, without a value of its own for each argument.

use std::io::Write as _;

use super::{Author, Settings, Write};
use shasta_model::tag_data::RedisKeys;

/// Adds the command that stores one event. `asking`: the tag is only just moving to this node. `least`: offset + 1 of the
/// event that the tag must have.
pub(super) fn event(
    out: &mut Vec<u8>,
    settings: &Settings,
    script: &str,
    keys: &RedisKeys,
    write: &Write,
    (asking, least): (bool, u64),
) {
    let Write { event, offset, author, .. } = write;
    let (kind, producer, sequence) = match author {
        Some(Author { producer, sequence, warm: false }) => ("sequence:", Some(*producer), *sequence),
        Some(Author { producer, sequence, warm: true }) => ("warm:", Some(*producer), *sequence),
        None => ("", None, 0),
    };
    let mut field = [0; 24];
    let mut end = &mut field[..];
    if let Some(producer) = producer {
        write!(end, "{kind}{producer}").expect("9 letters and 10 digits are less than 24");
    }
    let unused = end.len();
    let field = &field[..field.len() - unused];
    let name = event.identifier.as_ref().map_or("", |identifier| &identifier.name);
    if asking {
        out.extend_from_slice(b"*1\r\n$6\r\nASKING\r\n");
    }
    out.extend_from_slice(b"*15\r\n");
    for text in ["EVALSHA", script, "3", &keys.snapshot, &keys.delta, &keys.meta] {
        bulk(out, text.as_bytes());
    }
    number(out, settings.generation);
    number(out, (offset + 1).max(0) as u64);
    bulk(out, settings.run.as_bytes());
    bulk(out, field);
    number(out, sequence);
    bulk(out, name.as_bytes());
    bulk(out, &event.data);
    number(out, settings.stream_maxlen.into());
    number(out, least);
}

fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    write!(out, "${}\r\n", bytes.len()).expect("a Vec takes every write");
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

fn number(out: &mut Vec<u8>, number: u64) {
    let digits = number.checked_ilog10().unwrap_or(0) + 1;
    write!(out, "${digits}\r\n{number}\r\n").expect("a Vec takes every write");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use shasta_model::tag_data::{Identifier, TagData};

    proptest! {
        #[test]
        fn the_bytes_are_those_of_the_client_library(
            tag in ".{0,20}", name in ".{0,9}", data: Vec<u8>, offset in 0..i64::MAX, author: Option<(u32, u64, bool)>,
            generation: u64, least: u64, asking: bool,
        ) {
            let identifier = Identifier { app_id: "a".into(), tag, scope: "s".into(), name: name.clone() };
            let keys = identifier.redis_keys();
            let author = author.map(|(producer, sequence, warm)| Author { producer, sequence, warm });
            let event = TagData { identifier: Some(identifier), data: data.clone() };
            let write = Write { event, partition: 0, offset, author };
            let settings = Settings { generation, run: "r".into(), stream_maxlen: 7, timeout: Duration::ZERO };
            let mut out = Vec::new();
            super::event(&mut out, &settings, "hash", &keys, &write, (asking, least));
            let field = author.map_or_else(String::new, |Author { producer, warm, .. }| {
                format!("{}:{producer}", if warm { "warm" } else { "sequence" })
            });
            let mut pipeline = redis::pipe();
            if asking {
                pipeline.cmd("ASKING");
            }
            pipeline.cmd("EVALSHA").arg("hash").arg(3).arg(keys.snapshot).arg(keys.delta).arg(keys.meta);
            pipeline.arg(generation).arg(offset as u64 + 1).arg("r").arg(field);
            pipeline.arg(author.map_or(0, |author| author.sequence)).arg(name).arg(data).arg(7).arg(least);
            prop_assert_eq!(out, pipeline.get_packed_pipeline());
        }
    }
}

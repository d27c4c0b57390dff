//! One row as a line of CSV: digits into a buffer that is kept, since through serde and the csv crate a row takes twice
//! as long.

use super::Row;

impl Row {
    /// Appends the row as a line of CSV, with its end, in the order of [`shasta_model::columns::COLUMNS`].
    pub fn append_csv(&self, line: &mut Vec<u8>) {
        // Of every field, so that none is forgotten.
        let Row { source, destination, producer, tag, partition, offset, sequence, scheduled_us, .. } = self;
        let Row {
            before_publish_us, after_publish_us, append_ms, after_consume_us, after_store_us, after_read_us, ..
        } = self;
        text(line, source);
        text(line, destination);
        number(line, *producer);
        number(line, *tag);
        number(line, *partition);
        optional(line, *offset);
        number(line, *sequence);
        number(line, *scheduled_us);
        for stamp in [before_publish_us, after_publish_us, append_ms, after_consume_us, after_store_us, after_read_us] {
            optional(line, *stamp);
        }
        // The last comma.
        line.pop();
        line.push(b'\n');
    }
}

/// Names of hosts and workers need no quotes; those of other writers may.
fn text(line: &mut Vec<u8>, text: &str) {
    if text.contains([',', '"', '\n', '\r']) {
        line.push(b'"');
        line.extend_from_slice(text.replace('"', "\"\"").as_bytes());
        line.push(b'"');
    } else {
        line.extend_from_slice(text.as_bytes());
    }
    line.push(b',');
}

fn number(line: &mut Vec<u8>, number: impl itoa::Integer) {
    line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    line.push(b',');
}

fn optional(line: &mut Vec<u8>, value: Option<i64>) {
    match value {
        Some(value) => number(line, value),
        None => line.push(b','),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Stamps = [Option<i64>; 6];

    proptest! {
        #[test]
        fn a_line_is_what_the_csv_crate_writes(
            (source, destination) in ("[pw0-9,\"\r\n é]{0,6}", "w[0-9]{0,3}"), producer: u32, tag: u64, partition: i32,
            offset: Option<i64>, sequence: u64, scheduled_us: i64, stamps: Stamps,
        ) {
            let [before_publish_us, after_publish_us, append_ms, after_consume_us, after_store_us, after_read_us] = stamps;
            let row = Row {
                source, destination, producer, tag, partition, offset, sequence, scheduled_us, before_publish_us,
                after_publish_us, append_ms, after_consume_us, after_store_us, after_read_us,
            };
            let mut csv = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
            csv.serialize(&row).unwrap();
            let mut line = Vec::new();
            row.append_csv(&mut line);
            prop_assert_eq!(String::from_utf8(line).unwrap(), String::from_utf8(csv.into_inner().unwrap()).unwrap());
        }
    }
}

//! The header of a recorded CSV: which field of a line belongs to which column. Columns are found by name, in any order.

use crate::columns::{COLUMNS, DESTINATION, SOURCE};

/// The two columns of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// `source`.
    Source,
    /// `destination`.
    Destination,
}

/// What a field of a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Text.
    Name(Name),
    /// An integer: the place of its column in [`NUMBERS`].
    Number(usize),
    /// A column that is not ours: passed over.
    Other,
}

/// The columns of integers, in their recorded order.
pub const NUMBERS: [&str; 12] = {
    let mut numbers = [""; 12];
    let mut k = 0;
    while k < numbers.len() {
        numbers[k] = COLUMNS[k + 2];
        k += 1;
    }
    numbers
};

/// The fields of each line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// In the order of the line.
    pub fields: Vec<Field>,
    /// Their names, for messages.
    pub names: Vec<String>,
}

impl Layout {
    /// From the first line, without its end.
    ///
    /// # Errors
    /// What is wrong with it and what to do, in words.
    pub fn of(header: &[u8]) -> Result<Self, String> {
        if header.starts_with(b"\xef\xbb\xbf") {
            return Err("begins with a byte order mark, which recorded rows never have; remove it with \
                        `sed -i '1s/^\\xEF\\xBB\\xBF//'`"
                .to_owned());
        }
        if header.last() == Some(&b'\r') {
            return Err(CRLF.to_owned());
        }
        let header = std::str::from_utf8(header).map_err(|_| NOT_UTF_8.to_owned())?;
        let names: Vec<String> = header.split(',').map(str::to_owned).collect();
        if let Some(name) = names.iter().enumerate().find_map(|(k, name)| names[..k].contains(name).then_some(name)) {
            return Err(format!("names the column `{}` twice; keep one of them", name.escape_debug()));
        }
        let missing: Vec<&str> =
            COLUMNS.into_iter().filter(|column| !names.iter().any(|name| name == column)).collect();
        if !missing.is_empty() {
            return Err(format!(
                "lacks the column{} {}; a recorded run has `{}`",
                if missing.len() == 1 { "" } else { "s" },
                missing.join(", "),
                COLUMNS.join(",")
            ));
        }
        Ok(Self { fields: names.iter().map(|name| field(name)).collect(), names })
    }
}

/// What is said of lines that end as on Windows.
pub const CRLF: &str = "ends as on Windows (CRLF); recorded rows never do: convert the file with `sed -i 's/\\r$//'`";
/// What is said of bytes that are no text.
pub const NOT_UTF_8: &str = "is not UTF-8: the file is damaged or no record of a run; take it out of the list";

fn field(name: &str) -> Field {
    match name {
        SOURCE => Field::Name(Name::Source),
        DESTINATION => Field::Name(Name::Destination),
        _ => NUMBERS.iter().position(|number| *number == name).map_or(Field::Other, Field::Number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(header: &str) -> String {
        Layout::of(header.as_bytes()).unwrap_err()
    }

    #[test]
    fn columns_are_found_by_name() {
        let recorded = Layout::of(COLUMNS.join(",").as_bytes()).unwrap();
        assert_eq!(recorded.fields[..3], [Field::Name(Name::Source), Field::Name(Name::Destination), Field::Number(0)]);
        let mut names: Vec<&str> = COLUMNS.into_iter().rev().collect();
        names.push("note");
        let reordered = Layout::of(names.join(",").as_bytes()).unwrap();
        assert_eq!((reordered.fields[0], reordered.fields[14]), (Field::Number(11), Field::Other));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let header = COLUMNS.join(",");
        assert!(told(&header.replace("append_ms", "append")).contains("lacks the column append_ms"));
        assert!(told(&format!("{header},tag")).contains("`tag` twice"));
        assert!(told(&format!("\u{feff}{header}")).contains("byte order mark"));
        assert!(told(&format!("{header}\r")).contains("CRLF"));
        assert!(Layout::of(b"source,\xff").unwrap_err().contains("UTF-8"));
    }
}

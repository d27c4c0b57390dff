//! Checks a recorded CSV line by line, for what a reader of any CSV would let pass or could not locate: a row with too
//! few fields is a damaged row, not one with stamps missing.

use crate::columns;

/// What is wrong with one line.
#[derive(Debug, PartialEq)]
pub struct Fault {
    /// Line, the header being 1.
    pub line: usize,
    /// What is wrong, and what to do.
    pub what: String,
}

fn fault(line: usize, what: impl Into<String>) -> Fault {
    Fault { line, what: what.into() }
}

/// The header's names, when every whole line has as many fields. A last line without its end is not looked at.
pub fn check(bytes: &[u8]) -> Result<Vec<&str>, Fault> {
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return Err(fault(1, "is gzip, not CSV; unpack it with `gunzip` and name the .csv"));
    }
    if bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return Err(fault(1, "is zstd, not CSV; unpack it with `unzstd` and name the .csv"));
    }
    if bytes.starts_with(b"PAR1") {
        return Err(fault(1, "is Parquet, not CSV; let its name end in .parquet"));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
        fault(line, "is not UTF-8: the file is damaged or no record of a run; take it out of the list")
    })?;
    let Some((header, rows)) = text.split_once('\n') else {
        let what = if text.is_empty() { "is empty" } else { "ends within its header" };
        return Err(fault(1, format!("{what}: the run ended before its first event; record it again")));
    };
    let names: Vec<&str> = header.split(',').collect();
    for (number, line) in (1..).zip([header].into_iter().chain(whole_lines(rows))) {
        check_line(number, line, names.len())?;
    }
    if let Some(name) = names.iter().enumerate().find_map(|(k, name)| names[..k].contains(name).then_some(name)) {
        return Err(fault(1, format!("names the column `{name}` twice; keep one of them")));
    }
    Ok(names)
}

fn check_line(number: usize, line: &str, fields: usize) -> Result<(), Fault> {
    let (mut commas, mut strange) = (0, None);
    for byte in line.bytes() {
        match byte {
            b',' => commas += 1,
            b'"' | b'\r' => strange = Some(byte),
            _ => {}
        }
    }
    match strange {
        Some(b'\r') => {
            Err(fault(number, "ends as on Windows (CRLF); recorded rows never do: convert it with `sed -i 's/\\r$//'`"))
        }
        Some(_) => Err(fault(number, "has a quoted field; recorded rows never do: write the fields without quotes")),
        None if commas + 1 != fields => {
            let what = format!("has {} fields where the header has {fields}; take the line out", commas + 1);
            Err(fault(number, what))
        }
        None => Ok(()),
    }
}

/// The first field of a known column that should be a whole number and is none.
pub fn not_a_number(bytes: &[u8]) -> Option<Fault> {
    let (header, rows) = std::str::from_utf8(bytes).ok()?.split_once('\n')?;
    let names: Vec<&str> = header.split(',').collect();
    let numeric = |name: &str| columns::COLUMNS[2..].contains(&name);
    for (number, line) in (2..).zip(whole_lines(rows)) {
        for (name, field) in names.iter().zip(line.split(',')) {
            if numeric(name) && !field.is_empty() && field.parse::<i64>().is_err() {
                let what = format!("`{name}` is `{field}`, which is no whole number of 64 bits; take the line out");
                return Some(fault(number, what));
            }
        }
    }
    None
}

fn whole_lines(rows: &str) -> impl Iterator<Item = &str> {
    let whole = rows.rfind('\n').map_or("", |end| &rows[..=end]);
    whole.split_terminator('\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> (usize, String) {
        let Fault { line, what } = check(text.as_bytes()).unwrap_err();
        (line, what)
    }

    #[test]
    fn faults_are_told_with_their_line() {
        assert_eq!(check(b"a,b\n1,2\n,\n3"), Ok(vec!["a", "b"]), "the cut-off last line is not looked at");
        assert_eq!(told("a,b\n1,2\n1\n").0, 3);
        assert_eq!(told("a,b\n1,2\n\n1,2\n").0, 3);
        assert!(told("a,b\n1,\"2\"\n").1.contains("quoted"));
        assert!(told("a,b\r\n1,2\r\n").1.contains("CRLF"));
        assert!(told("a,a\n1,2\n").1.contains("twice"));
        assert!(told("").1.contains("is empty"));
        assert!(told("a,b").1.contains("within its header"));
        assert_eq!(check(b"a,b\n1,2\n1,\xff\n").unwrap_err().line, 3);
        assert!(check(&[0x1f, 0x8b, 8]).unwrap_err().what.contains("gunzip"));
    }

    #[test]
    fn numbers_are_whole_and_fit() {
        assert_eq!(not_a_number(b"source,sequence\np0,9223372036854775807\np0,\n"), None);
        for number in ["9223372036854775808", "1.0", " 1", "1e3", "0x1"] {
            let fault = not_a_number(format!("source,sequence\np0,1\np0,{number}\n").as_bytes()).unwrap();
            assert!(fault.line == 3 && fault.what.contains(number), "{fault:?}");
        }
    }
}

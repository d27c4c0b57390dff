//! The header of a file of rows: which field of a line, or column of a Parquet file, belongs to which of our columns. They
//! are found by name, in any order.

use std::borrow::Cow;

use shasta_model::columns::{COLUMNS, DESTINATION, SOURCE};

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

impl Field {
    /// Its column; none of one that is not ours.
    pub fn column(self) -> Option<&'static str> {
        match self {
            Field::Name(Name::Source) => Some(SOURCE),
            Field::Name(Name::Destination) => Some(DESTINATION),
            Field::Number(place) => NUMBERS.get(place).copied(),
            Field::Other => None,
        }
    }
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

/// The fields of each line, or the columns of a Parquet file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// What stands between two fields.
    pub separator: u8,
    /// In the order of the line.
    pub fields: Vec<Field>,
}

/// What may stand between two fields.
const SEPARATORS: [u8; 4] = *b",;\t|";

impl Layout {
    /// From the first line, without its end, as any program may have written it: with a byte order mark, quotes, spaces,
    /// or another separator.
    ///
    /// # Errors
    /// What is wrong with it and what to do, in words.
    pub fn of(header: &[u8]) -> Result<Self, String> {
        let header = std::str::from_utf8(header).map_err(|_| NOT_UTF_8.to_owned())?;
        let header = header.trim_start_matches('\u{feff}');
        if header.starts_with("sep=") {
            return Err("tells a spreadsheet what parts the columns; take this line out".to_owned());
        }
        // The separator is the one that makes the most of our columns.
        let parted = SEPARATORS.into_iter().filter_map(|separator| Some((separator, split(header, separator).ok()?)));
        let parted = parted.filter(|(_, names)| names.len() > 1);
        let ours = |names: &[Cow<str>]| names.iter().filter(|name| field(name) != Field::Other).count();
        if let Some((separator, names)) = parted.max_by_key(|(_, names)| ours(names)) {
            let layout = Self::named(names.into_iter().map(Cow::into_owned).collect())?;
            return Ok(Self { separator, ..layout });
        }
        if COLUMNS.iter().all(|column| header.contains(column)) {
            let shown: String = header.chars().take(60).flat_map(char::escape_debug).collect();
            return Err(format!(
                "names all columns, and neither a comma nor `;`, `|` or a tab parts them (`{shown}…`); write the file with \
                 commas"
            ));
        }
        if header.contains('"') && split(header, b',').is_err() {
            return Err(UNEVEN_QUOTES.to_owned());
        }
        Self::named(vec![header.to_owned()])
    }

    /// From the names of the columns. Those that are not ours are passed over: an index, say, that a program has added.
    ///
    /// # Errors
    /// What is wrong with them and what to do, in words.
    pub fn named(names: Vec<String>) -> Result<Self, String> {
        let fields: Vec<Field> = names.iter().map(|name| field(name.trim())).collect();
        let times = |column: &str| fields.iter().filter(|field| field.column() == Some(column)).count();
        if let Some(twice) = COLUMNS.into_iter().find(|column| times(column) > 1) {
            return Err(format!("names the column `{twice}` twice; keep one of them"));
        }
        let missing: Vec<&str> = COLUMNS.into_iter().filter(|column| times(column) == 0).collect();
        if !missing.is_empty() {
            return Err(format!(
                "lacks the column{} {}; a recorded run has `{}`",
                if missing.len() == 1 { "" } else { "s" },
                missing.join(", "),
                COLUMNS.join(",")
            ));
        }
        Ok(Self { separator: b',', fields })
    }
}

/// The fields of a line of text as any program may have written them: quoted or not, with spaces around them.
///
/// # Errors
/// A quote without its other one.
pub fn split(line: &str, separator: u8) -> Result<Vec<Cow<'_, str>>, &'static str> {
    let separator = char::from(separator);
    let blank = |c: char| c.is_ascii_whitespace() && c != separator;
    let (mut fields, mut rest) = (Vec::new(), line);
    loop {
        let begun = rest.trim_start_matches(blank);
        let (field, after) = match begun.strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let end = begun.find(separator).unwrap_or(begun.len());
                (Cow::Borrowed(begun[..end].trim_end_matches(blank)), &begun[end..])
            }
        };
        fields.push(field);
        match after.trim_start_matches(blank).strip_prefix(separator) {
            Some(next) => rest = next,
            None if after.chars().all(blank) => return Ok(fields),
            None => return Err(UNEVEN_QUOTES),
        }
    }
}

/// A field after its first quote, without spaces around it, and what comes after its last one; two quotes stand for one.
fn unquoted(text: &str) -> Result<(Cow<'_, str>, &str), &'static str> {
    let mut from = 0;
    loop {
        let end = from + text[from..].find('"').ok_or(UNEVEN_QUOTES)?;
        if !text[end + 1..].starts_with('"') {
            let (field, after) = (text[..end].trim(), &text[end + 1..]);
            let field = if from == 0 { Cow::Borrowed(field) } else { Cow::Owned(field.replace("\"\"", "\"")) };
            return Ok((field, after));
        }
        from = end + 2;
    }
}

/// What is said of bytes that are no text.
pub const NOT_UTF_8: &str = "is not UTF-8: the file is damaged or no record of a run; take it out of the list";
/// What is said of a field whose quote does not end where a field does.
const UNEVEN_QUOTES: &str =
    "holds a quoted field that does not end on its line; take it out, or skip it with --skip-bad-rows";

/// Programs that write names of columns in capitals mean the same.
fn field(name: &str) -> Field {
    let fields = [Field::Name(Name::Source), Field::Name(Name::Destination)];
    let mut fields = fields.into_iter().chain((0..NUMBERS.len()).map(Field::Number));
    let ours = fields.find(|field| field.column().is_some_and(|column| column.eq_ignore_ascii_case(name)));
    ours.unwrap_or(Field::Other)
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
    fn headers_of_other_programs_are_the_same() {
        let (header, recorded) = (COLUMNS.join(","), Layout::of(COLUMNS.join(",").as_bytes()).unwrap());
        for (same, separator) in [
            (format!("\u{feff}{header}\r"), b','),
            (header.replace(',', "\t"), b'\t'),
            (header.replace(',', ";"), b';'),
            (header.replace(',', " | "), b'|'),
            (header.replace(',', ", "), b','),
            (format!("\"{}\"\r", header.replace(',', "\",\"")), b','),
            (format!("\u{feff}\"{}\"", header.replace(',', "\";\"")), b';'),
            (header.to_uppercase(), b','),
        ] {
            assert_eq!(Layout::of(same.as_bytes()), Ok(Layout { separator, ..recorded.clone() }), "{same}");
        }
        for index in ["", "\"\"", "Unnamed: 0", "__index_level_0__"] {
            let layout = Layout::of(format!("{index},{header}").as_bytes()).unwrap();
            assert_eq!((layout.fields[0], &layout.fields[1..]), (Field::Other, &recorded.fields[..]), "{index}");
        }
    }

    #[test]
    fn fields_are_unquoted() {
        let fields = |line| split(line, b',').map(|fields| fields.into_iter().map(Cow::into_owned).collect::<Vec<_>>());
        assert_eq!(fields("a, \"b\" ,\" c\"\"d\",,\"\"\r"), Ok(["a", "b", "c\"d", "", ""].map(str::to_owned).to_vec()));
        assert_eq!(fields("\"a,b\",\"\"\"\""), Ok(["a,b", "\""].map(str::to_owned).to_vec()));
        assert_eq!(fields(""), Ok(vec![String::new()]));
        for uneven in ["\"a", "a,\"b", "\"a\"b,c", "\"a\"\""] {
            assert!(fields(uneven).is_err(), "{uneven}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let header = COLUMNS.join(",");
        assert!(told(&header.replace("append_ms", "append")).contains("lacks the column append_ms"));
        assert!(told(&format!("{header},tag")).contains("`tag` twice"));
        assert!(told(&header.replace(',', " ")).contains("neither a comma"));
        assert!(told("sep=;").contains("take this line out"));
        assert!(told("a;b").contains("lacks the columns source, destination,"));
        assert!(told(&header.replace(',', ";").replace(";tag", "")).contains("lacks the column tag;"));
        assert!(Layout::of(b"source,\xff").unwrap_err().contains("UTF-8"));
    }
}

//! One line of a CSV as a [`Row`]. The fast way knows lines as the harness records them. A line that it does not take is
//! read the slow way, which knows what other programs make of one, and says in words what is wrong with one that is none.

use std::ops::RangeInclusive;

use super::{
    field,
    layout::{self, Field, Layout, NOT_UTF_8, NUMBERS, Name},
    names::Interner,
};
use crate::{
    markdown::count,
    row::{MISSING, Row, Stamp},
};
use shasta_model::columns::{DESTINATION, PRODUCER, SCHEDULED_US, SEQUENCE, SOURCE};

/// Larger stamps (past the year 2200) are garbage, and f64 could no longer hold their differences exactly.
pub const LARGEST_US: u64 = 1 << 53;
/// Times of this century as seconds of the Unix epoch: what lies within them in another unit is in that unit.
const CENTURY_S: RangeInclusive<i64> = 978_307_200..=4_102_444_800;
/// The smallest and the largest of them in ms; no stamp in µs is so early in 1970.
const CENTURY_MS: RangeInclusive<i64> = *CENTURY_S.start() * 1_000..=*CENTURY_S.end() * 1_000;
/// Units that stamps may be taken for, and how many of them make a second.
const UNITS: [(&str, i64); 3] = [("milliseconds", 1_000), ("microseconds", 1_000_000), ("nanoseconds", 1_000_000_000)];
/// Longer names are garbage.
pub const NAME_BYTES_MAX: usize = 255;

const TAKE_OUT: &str = "take the line out, or skip it with --skip-bad-rows";

/// A row's integers, in the order of [`NUMBERS`].
pub type Numbers = [i64; NUMBERS.len()];

/// Reads the line that begins at `at`; returns the row and where the next line begins. None when it is not a row as the
/// harness records them.
#[inline]
pub fn read(lines: &[u8], at: usize, layout: &Layout, names: &mut Interner) -> Option<(Row, usize)> {
    let mut numbers: Numbers = [MISSING; NUMBERS.len()];
    let (mut source, mut destination, mut at) = (None, None, at);
    let last = layout.fields.len() - 1;
    for (k, kind) in layout.fields.iter().enumerate() {
        let end = match *kind {
            Field::Number(place) => match field::digits(lines, at) {
                Some((value, end)) => {
                    numbers[place] = value;
                    end
                }
                None => {
                    let end = field_end(lines, at, layout.separator)?;
                    if end > at {
                        numbers[place] = std::str::from_utf8(&lines[at..end]).ok()?.parse().ok()?;
                    }
                    end
                }
            },
            Field::Name(which) => {
                let end = field_end(lines, at, layout.separator)?;
                let name = &lines[at..end];
                match which {
                    Name::Source => source = if name.is_empty() { None } else { Some(names.source(name)?) },
                    Name::Destination if name.is_empty() => {}
                    Name::Destination => destination = Some(names.destination(name)?),
                }
                end
            }
            Field::Other => field_end(lines, at, layout.separator)?,
        };
        if lines.get(end) != Some(if k == last { &b'\n' } else { &layout.separator }) {
            return None;
        }
        at = end + 1;
    }
    Some((row(source?, destination, &numbers)?, at))
}

/// Puts a row together; none when it lacks what every planned event has, or holds a number that no stamp is.
pub fn row(source: u32, destination: Option<u32>, numbers: &Numbers) -> Option<Row> {
    let row = part(source, destination, numbers)?;
    (row.producer != MISSING && row.sequence >= 0 && row.stamps[0] != MISSING).then_some(row)
}

/// The same of a row of which some columns were not read.
pub fn part(source: u32, destination: Option<u32>, numbers: &Numbers) -> Option<Row> {
    let &[producer, tag, partition, offset, sequence, stamps @ ..] = numbers;
    let row = Row { source, destination, producer, tag, partition, offset, sequence, stamps };
    (!stamps.into_iter().enumerate().any(|(stamp, value)| is_garbage(stamp, value))).then_some(row)
}

/// Whether a number is no stamp, by the stamp's place in [`Row::stamps`].
#[inline]
pub fn is_garbage(stamp: usize, value: i64) -> bool {
    let is_time = match stamp == Stamp::Append as usize {
        true => value.unsigned_abs() <= LARGEST_US / 1_000,
        false => value.unsigned_abs() <= LARGEST_US && !CENTURY_MS.contains(&value),
    };
    value != MISSING && !is_time
}

/// Why a number is no stamp, and what to do: most often it is in another unit than its column's.
fn explain_stamp(stamp: Stamp, value: i64) -> String {
    let (own, own_per_s) = if stamp == Stamp::Append { UNITS[0] } else { UNITS[1] };
    let taken = UNITS.into_iter().find(|(_, per_s)| CENTURY_S.contains(&(value / per_s)));
    match taken {
        Some((unit, per_s)) if per_s < own_per_s => format!(
            "is {value}, which looks like {unit}, and the column is in {own}: multiply its values by {}",
            count((own_per_s / per_s).cast_unsigned())
        ),
        Some((unit, per_s)) => format!(
            "is {value}, which looks like {unit}, and the column is in {own}: divide its values by {}",
            count((per_s / own_per_s).cast_unsigned())
        ),
        None => format!("is {value}, which is not a time of the Unix epoch; {TAKE_OUT}"),
    }
}

/// Where the field ends that begins at `at`. A quote or a carriage return is in no recorded row.
#[inline]
fn field_end(lines: &[u8], at: usize, separator: u8) -> Option<usize> {
    let rest = lines.get(at..)?;
    let end = rest.iter().position(|&byte| byte == separator || matches!(byte, b'\n' | b'"' | b'\r'))?;
    (rest[end] == separator || rest[end] == b'\n').then_some(at + end)
}

/// Reads a line (without its end) that [`read`] did not take, as any program may have written it; the row, and the number
/// of its pair.
///
/// # Errors
/// What is wrong with it, and what to do.
pub fn read_any(line: &[u8], layout: &Layout, names: &mut Interner) -> Result<(Row, u16), String> {
    let text = std::str::from_utf8(line).map_err(|_| NOT_UTF_8.to_owned())?;
    let fields = layout::split(text, layout.separator)?;
    if fields.len() != layout.fields.len() {
        let what = format!("has {} fields, and the header {}", fields.len(), layout.fields.len());
        return Err(format!("{what}: the line is damaged; take it out, or skip it with --skip-bad-rows"));
    }
    let mut numbers: Numbers = [MISSING; NUMBERS.len()];
    let (mut source, mut destination) = ("", "");
    for (text, kind) in fields.iter().zip(&layout.fields) {
        match *kind {
            Field::Number(place) => {
                let bad = |why| bad(NUMBERS[place], &field::told(text, why));
                numbers[place] = field::whole(text).map_err(bad)?;
            }
            Field::Name(Name::Source) => source = &**text,
            Field::Name(Name::Destination) => destination = &**text,
            Field::Other => {}
        }
    }
    checked((source, destination), &numbers, true, names)
}

/// Puts a row together, of all columns if it is `whole`, from names as any program may have written them; the row, and the
/// number of its pair.
///
/// # Errors
/// What is wrong with it, and what to do.
pub fn checked(
    (source, destination): (&str, &str),
    numbers: &Numbers,
    whole: bool,
    names: &mut Interner,
) -> Result<(Row, u16), String> {
    let [source, destination] =
        [source, destination].map(|name| Some(name.trim()).filter(|name| !field::is_missing(name)));
    for (name, number) in NUMBERS.into_iter().zip(*numbers) {
        check(name, number)?;
    }
    let empty = |name| format!("`{name}` is empty, and every planned event has one; take the line out");
    let source = source.ok_or_else(|| empty(SOURCE))?;
    for (column, name) in [(SOURCE, Some(source)), (DESTINATION, destination)] {
        if name.is_some_and(|name| name.len() > NAME_BYTES_MAX) {
            return Err(bad(column, &format!("has more than {NAME_BYTES_MAX} bytes")));
        }
    }
    for (name, needed) in [(PRODUCER, numbers[0]), (SEQUENCE, numbers[4]), (SCHEDULED_US, numbers[5])] {
        if whole && needed == MISSING {
            return Err(empty(name));
        }
    }
    let mut paired = || {
        let source = names.source(source.as_bytes())?;
        let destination = match destination {
            Some(name) => Some(names.destination(name.as_bytes())?),
            None => None,
        };
        Some((part(source, destination, numbers)?, names.pair(source, destination)?))
    };
    let too_many = "has names of more than 65,535 (source, destination) pairs before it; no run has so many";
    paired().ok_or_else(|| too_many.to_owned())
}

/// What is said of a column's value: what it is and why that is wrong, and what to do where that is not said.
pub fn bad(name: &str, what: &str) -> String {
    if what.contains("; write it") { format!("`{name}` {what}") } else { format!("`{name}` {what}; {TAKE_OUT}") }
}

fn check(name: &str, number: i64) -> Result<(), String> {
    if number == MISSING {
        return Ok(());
    }
    if name == SEQUENCE && number < 0 {
        return Err(bad(name, &format!("is {number}, and sequences begin at 0")));
    }
    match Stamp::of(name).filter(|stamp| is_garbage(*stamp as usize, number)) {
        Some(stamp) => Err(format!("`{name}` {}", explain_stamp(stamp, number))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scan::names::Directory;
    use shasta_model::columns::COLUMNS;

    const ROW: &str = "p0,w0,0,0,0,0,0,0,100,200,0,1100,1200,";

    fn layout() -> Layout {
        Layout::of(COLUMNS.join(",").as_bytes()).unwrap()
    }

    fn told(line: &str) -> String {
        let directory = Directory::default();
        let mut names = Interner::new(&directory);
        assert_eq!(read(format!("{line}\n").as_bytes(), 0, &layout(), &mut names), None, "{line}");
        read_any(line.as_bytes(), &layout(), &mut names).unwrap_err()
    }

    #[test]
    fn a_line_is_a_row() {
        let directory = Directory::default();
        let mut names = Interner::new(&directory);
        let lines = format!("{ROW}\np1,,3,3,,,7,-5,,,,,,\n");
        let (first, next) = read(lines.as_bytes(), 0, &layout(), &mut names).unwrap();
        assert_eq!((first.stamps, next), ([0, 100, 200, 0, 1100, 1200, MISSING], ROW.len() + 1));
        let (second, end) = read(lines.as_bytes(), next, &layout(), &mut names).unwrap();
        assert_eq!((second.source, second.destination, second.sequence, second.partition), (1, None, 7, MISSING));
        assert_eq!((second.stamps[0], end), (-5, lines.len()));
    }

    #[test]
    fn what_is_wrong_is_told() {
        assert!(told("p0,w0,0").contains("has 3 fields"));
        assert!(told("").contains("has 1 fields"));
        assert!(told(&ROW.replace("1200", "12OO")).contains("`after_store_us` is `12OO`"));
        assert!(told(&ROW.replace("1200", "9223372036854775808")).contains("64 bits"));
        assert!(told(&ROW.replace("1200", "9223372036854775807")).contains("not a time"));
        assert!(told(&ROW.replace("1200", "\"1200")).contains("quoted"));
        assert!(
            told(&ROW.replace("1200", "1200.5")).contains("`after_store_us` is `1200.5`, which is no whole number")
        );
        assert!(told(&ROW.replace("1200", "1.2e15")).contains("may be lost"));
        assert!(told(&ROW.replacen("p0", "", 1)).contains("`source` is empty"));
        assert!(told("p0,w0,0,0,0,0,,0,100,200,0,1100,1200,").contains("`sequence` is empty"));
        assert!(told(&ROW.replacen("p0", &"p".repeat(300), 1)).contains("255 bytes"));
    }

    #[test]
    fn what_other_programs_make_of_a_line_is_the_same_row() {
        let directory = Directory::default();
        let mut names = Interner::new(&directory);
        let row = read(format!("{ROW}\n").as_bytes(), 0, &layout(), &mut names).unwrap().0;
        for line in [
            format!("{ROW}\r"),
            format!("\"{}\"", ROW.replace(',', "\",\"")),
            ROW.replace(',', " , "),
            format!("{ROW}NaN"),
            format!("{}NULL\r", ROW.replace("1200", "1200.0").replace("200,0", "200.0,0e0")),
        ] {
            assert_eq!(read(format!("{line}\n").as_bytes(), 0, &layout(), &mut names), None, "{line}");
            assert_eq!(read_any(line.as_bytes(), &layout(), &mut names), Ok((row, 0)), "{line}");
        }
        for none in ["", "NaN", "null", "None", "\"\"", " "] {
            let line = ROW.replace("w0", none);
            assert_eq!(read_any(line.as_bytes(), &layout(), &mut names).unwrap().0.destination, None, "{line}");
        }
        assert_eq!(directory.finish().0.destinations, ["w0"]);
    }

    /// A million damaged inputs: no panic, every line is either a row or explained, and reading goes on after it.
    #[test]
    fn damaged_lines_are_told_and_never_panic() {
        let whole =
            format!("{ROW}\np10,,3,3,,,7,-5,,,,,,\np0,w1,1,2,3,4,5,1795591769674815,6,7,1795591769675,8,9,10\n");
        let directory = Directory::default();
        let (mut names, layout) = (Interner::new(&directory), layout());
        let mut state = 1_u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let (mut taken, mut refused) = (0_u64, 0_u64);
        for _ in 0..1_000_000 {
            let mut bytes = whole.clone().into_bytes();
            for _ in 0..=random(3) {
                if bytes.is_empty() {
                    break;
                }
                let at = random(bytes.len());
                match random(4) {
                    0 => drop(bytes.remove(at)),
                    1 => bytes.insert(at, b",\n\"\r0-9\xffpw"[random(10)]),
                    2 => bytes.truncate(at + 1),
                    _ => bytes[at] = random(256) as u8,
                }
            }
            let mut at = 0;
            while let Some(end) = bytes[at..].iter().position(|&byte| byte == b'\n').map(|end| at + end) {
                match read(&bytes, at, &layout, &mut names) {
                    Some((_, next)) => {
                        assert_eq!(next, end + 1);
                        taken += 1;
                    }
                    None => refused += u64::from(read_any(&bytes[at..end], &layout, &mut names).is_err()),
                }
                at = end + 1;
            }
        }
        assert!(taken > 1_000_000 && refused > 300_000, "{taken} {refused}");
    }

    proptest! {
        #[test]
        fn what_is_not_taken_is_explained(mut line in prop::collection::vec(any::<u8>(), 0..60), cut in 0..40_usize) {
            line.retain(|&byte| byte != b'\n');
            let directory = Directory::default();
            let mut names = Interner::new(&directory);
            for damaged in [line.clone(), [&ROW.as_bytes()[..cut.min(ROW.len())], &line[..]].concat()] {
                let ended = [&damaged[..], b"\n"].concat();
                if read(&ended, 0, &layout(), &mut names).is_none() {
                    let told = read_any(&damaged, &layout(), &mut names).err().unwrap_or_default();
                    prop_assert!(!told.contains("pairs before it"), "{:?}", damaged);
                }
            }
        }
    }
}

//! One line of a recorded CSV as a [`Row`]. The fast way knows only whether a line is good; what is wrong with one that is
//! not is found out afterwards, slowly and in words.

use std::ops::RangeInclusive;

use super::{
    field,
    layout::{CRLF, Field, Layout, NOT_UTF_8, NUMBERS, Name},
    names::Interner,
};
use crate::{
    columns::{PRODUCER, SCHEDULED_US, SEQUENCE, SOURCE},
    markdown::count,
    row::{MISSING, Row, Stamp},
};

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

/// Reads the line that begins at `at`; returns the row and where the next line begins. None when it is not a row.
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
                    let end = field_end(lines, at)?;
                    if end > at {
                        numbers[place] = field::slow(&lines[at..end])?;
                    }
                    end
                }
            },
            Field::Name(which) => {
                let end = field_end(lines, at)?;
                let name = &lines[at..end];
                match which {
                    Name::Source => source = if name.is_empty() { None } else { Some(names.source(name)?) },
                    Name::Destination if name.is_empty() => {}
                    Name::Destination => destination = Some(names.destination(name)?),
                }
                end
            }
            Field::Other => field_end(lines, at)?,
        };
        if lines.get(end) != Some(if k == last { &b'\n' } else { &b',' }) {
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
fn field_end(lines: &[u8], at: usize) -> Option<usize> {
    let rest = lines.get(at..)?;
    let end = rest.iter().position(|byte| matches!(byte, b',' | b'\n' | b'"' | b'\r'))?;
    matches!(rest[end], b',' | b'\n').then_some(at + end)
}

/// What is wrong with a line (without its end) that [`read`] did not take, and what to do.
pub fn explain(line: &[u8], layout: &Layout) -> String {
    if line.last() == Some(&b'\r') {
        return CRLF.to_owned();
    }
    let Ok(text) = std::str::from_utf8(line) else { return NOT_UTF_8.to_owned() };
    if text.contains('"') {
        return "holds a quoted field, which recorded rows never do; take the quotes out".to_owned();
    }
    let fields: Vec<&str> = text.split(',').collect();
    if fields.len() != layout.fields.len() {
        let what = format!("has {} fields, and the header {}", fields.len(), layout.fields.len());
        return format!("{what}: the line is damaged; take it out, or skip it with --skip-bad-rows");
    }
    let bad = fields.iter().zip(&layout.fields).zip(&layout.names);
    bad.filter_map(|((text, field), name)| explain_field(text, *field, name)).next().unwrap_or_else(|| {
        "has names of more than 65,535 (source, destination) pairs before it; no run has so many".to_owned()
    })
}

fn explain_field(text: &str, field: Field, name: &str) -> Option<String> {
    let needed = [SOURCE, PRODUCER, SEQUENCE, SCHEDULED_US].contains(&name);
    let shown: String = text.chars().take(40).flat_map(char::escape_debug).collect();
    let what = match field {
        Field::Other => return None,
        _ if text.is_empty() => {
            return needed.then(|| format!("`{name}` is empty, and every planned event has one; take the line out"));
        }
        Field::Name(_) if text.len() > NAME_BYTES_MAX => format!("has more than {NAME_BYTES_MAX} bytes"),
        Field::Name(_) => return None,
        Field::Number(_) => match text.parse::<i64>() {
            Err(_) => format!("is `{shown}`, which is no whole number of 64 bits"),
            Ok(number) if name == SEQUENCE && number < 0 => format!("is {number}, and sequences begin at 0"),
            Ok(number) => {
                let stamp = Stamp::of(name).filter(|stamp| is_garbage(*stamp as usize, number))?;
                return Some(format!("`{name}` {}", explain_stamp(stamp, number)));
            }
        },
    };
    Some(format!("`{name}` {what}; {TAKE_OUT}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{columns::COLUMNS, scan::names::Directory};

    const ROW: &str = "p0,w0,0,0,0,0,0,0,100,200,0,1100,1200,";

    fn layout() -> Layout {
        Layout::of(COLUMNS.join(",").as_bytes()).unwrap()
    }

    fn told(line: &str) -> String {
        let directory = Directory::default();
        let mut names = Interner::new(&directory);
        assert_eq!(read(format!("{line}\n").as_bytes(), 0, &layout(), &mut names), None, "{line}");
        explain(line.as_bytes(), &layout())
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
        assert!(told(&ROW.replace("1200", "\"1200\"")).contains("quoted"));
        assert!(told(&format!("{ROW}\r")).contains("CRLF"));
        assert!(told(&ROW.replacen("p0", "", 1)).contains("`source` is empty"));
        assert!(told("p0,w0,0,0,0,0,,0,100,200,0,1100,1200,").contains("`sequence` is empty"));
        assert!(told(&ROW.replacen("p0", &"p".repeat(300), 1)).contains("255 bytes"));
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
                    None => {
                        assert!(!explain(&bytes[at..end], &layout).is_empty());
                        refused += 1;
                    }
                }
                at = end + 1;
            }
        }
        assert!(taken > 1_000_000 && refused > 500_000, "{taken} {refused}");
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
                    prop_assert!(!explain(&damaged, &layout()).contains("pairs before it"), "{:?}", damaged);
                }
            }
        }
    }
}

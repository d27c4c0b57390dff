//! Fields of lines as numbers: as recorded, eight digits at a time, which is the inner loop of reading CSV; and as other
//! programs write them, slowly.

use crate::row::MISSING;

/// Digits that always fit 63 bits; longer numbers take the slow way, which knows where 64 bits end.
const DIGITS_THAT_FIT: usize = 18;

/// The non-negative integer that begins at `at`, and where it ends. None when there are no digits or too many for the
/// fast way; what stands there then, a sign perhaps, is for [`whole`].
#[inline]
pub fn digits(line: &[u8], at: usize) -> Option<(i64, usize)> {
    let (mut value, mut end) = (0_u64, at);
    while end - at + 8 <= DIGITS_THAT_FIT
        && let Some(eight) = line.get(end..end + 8).and_then(|bytes| bytes.try_into().ok()).and_then(eight_digits)
    {
        value = value * 100_000_000 + eight;
        end += 8;
    }
    while let Some(&byte) = line.get(end)
        && byte.is_ascii_digit()
    {
        if end - at == DIGITS_THAT_FIT {
            return None;
        }
        value = value * 10 + u64::from(byte - b'0');
        end += 1;
    }
    (end > at).then_some((value as i64, end))
}

/// Why a field is no number.
pub const NOT_WHOLE: &str = "which is no whole number of 64 bits";
/// Why a number is not taken though it looks whole.
pub const DIGITS_LOST: &str = "of whose digits some may be lost; write it as a whole number in full";
/// Why a date is not taken: some of its digits may be lost, too, or its time zone.
const DATE: &str = "which is a date; write it as a whole number, since the Unix epoch";

/// What is said of a field that is no number.
pub fn told(text: &str, why: &str) -> String {
    let shown: String = text.chars().take(40).flat_map(char::escape_debug).collect();
    format!("is `{shown}`, {why}")
}

/// Whether a field is a date, as in `2026-12-01 …`.
fn is_date(field: &str) -> bool {
    let parts: Vec<&str> = field.splitn(3, ['-', '/']).collect();
    matches!(parts[..], [year, month, _] if year.len() == 4 && [year, month].iter().all(|part| part.parse::<u16>().is_ok()))
}

/// Words that other programs write for a field that is missing.
const MISSING_WORDS: [&str; 10] = ["nan", "na", "n/a", "#n/a", "<na>", "nat", "null", "none", "nil", "\\n"];

/// Whether a field, without spaces around it, holds nothing.
pub fn is_missing(field: &str) -> bool {
    field.is_empty() || field.len() <= 4 && MISSING_WORDS.iter().any(|word| field.eq_ignore_ascii_case(word))
}

/// The whole number of a field, without spaces around it, as any program may have written it: `5`, `+5`, `5.0`, `5,0`,
/// `1.5e1`, or a word for [`MISSING`]. Only what is surely exact is taken: `1.796e15` may have lost digits.
///
/// # Errors
/// Why it is none.
pub fn whole(field: &str) -> Result<i64, &'static str> {
    if let Ok(number) = field.parse::<i64>() {
        return if number == MISSING { Err(NOT_WHOLE) } else { Ok(number) };
    }
    if is_missing(field) {
        return Ok(MISSING);
    }
    if is_date(field) {
        return Err(DATE);
    }
    let (mantissa, exponent) = match field.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<usize>().map_err(|_| NOT_WHOLE)?),
        None => (field, 0),
    };
    let (units, decimals) = match mantissa.split_once([',', '.']) {
        // Three zeros after a comma may as well be thousands.
        Some((_, decimals)) if mantissa.contains(',') && decimals != "0" => return Err(NOT_WHOLE),
        Some(parts) => parts,
        None => (mantissa, ""),
    };
    let significant = decimals.trim_end_matches('0');
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = units.trim_start_matches(['-', '+']);
    if unsigned.is_empty() || !is_digits(unsigned) || !is_digits(decimals) || significant.len() > exponent {
        return Err(NOT_WHOLE);
    }
    // Programs that round keep six digits or more.
    if exponent > decimals.len() && exponent > 5 {
        return Err(DIGITS_LOST);
    }
    let zeros = "0".repeat(exponent - significant.len());
    format!("{units}{significant}{zeros}").parse().map_err(|_| NOT_WHOLE)
}

/// The value of eight ASCII digits: pairs, then fours, then all eight are put together in one register.
#[inline]
fn eight_digits(bytes: [u8; 8]) -> Option<u64> {
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
    // A digit less '0' is at most 9, so that adding 0x76 leaves its high bit clear.
    let values = u64::from_le_bytes(bytes) ^ ZEROS;
    if (values.wrapping_add(0x7676_7676_7676_7676) | values) & HIGH_BITS != 0 {
        return None;
    }
    let pairs = (values * 10) + (values >> 8);
    let high = (pairs & 0x0000_00FF_0000_00FF).wrapping_mul(0x000F_4240_0000_0064);
    let low = ((pairs >> 16) & 0x0000_00FF_0000_00FF).wrapping_mul(0x0000_2710_0000_0001);
    Some(high.wrapping_add(low) >> 32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ends_where_the_digits_do() {
        assert_eq!(digits(b"0,", 0), Some((0, 1)));
        assert_eq!(digits(b"x1795591769669639,1", 1), Some((1_795_591_769_669_639, 17)));
        assert_eq!(digits(b"999999999999999999", 0), Some((999_999_999_999_999_999, 18)));
        for none in ["", ",", "-1", "+1", " 1", "1234567890123456789"] {
            assert_eq!(digits(none.as_bytes(), 0), None, "{none}");
        }
        assert_eq!(digits(b"12345678x", 0), Some((12_345_678, 8)));
        assert_eq!(digits(b"1234567:", 0), Some((1_234_567, 7)), "the byte after 9");
    }

    #[test]
    fn what_other_programs_write_is_read_where_it_is_exact() {
        let stamp = 1_796_092_467_904_234;
        for text in [
            "1796092467904234",
            "+1796092467904234",
            "1796092467904234.0",
            "1796092467904234.000",
            "1796092467904234,0",
            "1796092467904234.",
            "1.796092467904234e15",
            "1.796092467904234E+15",
            "1.796092467904234000e+15",
            "1796092467904234e0",
        ] {
            assert_eq!(whole(text), Ok(stamp), "{text}");
        }
        for (text, number) in [
            ("-5", -5),
            ("-5.0", -5),
            ("0.0", 0),
            ("-0.0", 0),
            ("1e+05", 100_000),
            ("1.5e1", 15),
            ("9223372036854775807", i64::MAX),
        ] {
            assert_eq!(whole(text), Ok(number), "{text}");
        }
        for text in ["", "NaN", "nan", "NA", "N/A", "null", "NULL", "None", "<NA>", "NaT", "\\N"] {
            assert_eq!(whole(text), Ok(MISSING), "{text}");
        }
    }

    #[test]
    fn what_is_not_exact_is_no_number() {
        assert_eq!(whole("2026-12-01 05:00:00.25"), Err(DATE));
        for text in ["1.796e15", "1.79609246790423e+15", "1.79609e+12", "1e6", "2e+06"] {
            assert_eq!(whole(text), Err(DIGITS_LOST), "{text}");
        }
        for text in [
            "9223372036854775808",
            "-9223372036854775808",
            "99999999999999999999.0",
            "0.5",
            "1.5",
            "1,000",
            "1.796.092",
            "1,796,092",
            "1.25e1",
            "1e-3",
            "1e999999999999999999999",
            "9e99",
            "2026-12-01",
            "2026-12-01 05:00:00",
            "0x10",
            "twelve",
            "1 2",
            ".",
            "-",
            "--5",
            "e5",
            "inf",
            "1_000",
        ] {
            assert!(whole(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_standard_parser(number in 0_u64..1_000_000_000_000_000_000, tail in "[^0-9]?[0-9]{0,9}") {
            let text = format!("{number}");
            prop_assume!(!tail.starts_with(|c: char| c.is_ascii_digit()));
            prop_assert_eq!(digits(format!("{text}{tail}").as_bytes(), 0), Some((number as i64, text.len())));
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..40), at in 0_usize..40) {
            if let Some((value, end)) = digits(&bytes, at) {
                prop_assert_eq!(std::str::from_utf8(&bytes[at..end]).unwrap().parse(), Ok(value));
            }
        }

        #[test]
        fn never_panics_over_text(text in "[-+0-9.,eE]{0,24}|.{0,12}") {
            if let Ok(number) = whole(&text) && number != MISSING && text.parse::<i64>() != Ok(number) {
                // What is taken is what the nearest float is, too.
                let float: f64 = text.replace(',', ".").parse().unwrap();
                prop_assert!((float - number as f64).abs() <= float.abs() * 1e-15, "{}", text);
            }
        }
    }
}

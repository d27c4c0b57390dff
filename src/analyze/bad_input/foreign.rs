//! Rows that passed through another program, which chose types, separators and words of its own: each file says the same
//! as the one that was recorded.

use std::sync::{Arc, LazyLock};

use polars_arrow::{
    array::{Array, BinaryViewArray, PrimitiveArray, Utf8ViewArray},
    datatypes::{ArrowDataType, ArrowSchema, Field, TimeUnit},
    record_batch::RecordBatchT,
    types::NativeType,
};
use polars_parquet::write::{
    CompressionOptions, FileWriter, RowGroupIterator, StatisticsOptions, Version, WriteOptions, get_dtype_encoding,
};

use super::{Case, csv, lines};
use shasta_model::columns::COLUMNS;

/// Events of which one in seven reached no worker.
fn recorded() -> String {
    let lost = |(k, line): (usize, &str)| match k % 7 {
        3 => {
            let fields: Vec<&str> = line.split(',').collect();
            format!("p0,,0,0,,,{},{},{},,,,,\n", fields[6], fields[7], fields[8])
        }
        _ => format!("{line}\n"),
    };
    lines(50).lines().enumerate().map(lost).collect()
}

/// What is said of a file, below the line that names it.
fn said(name: &str, bytes: &[u8]) -> Vec<String> {
    let case = Case::new(&[(name, bytes)]);
    let tables = |only| {
        let said = case.says(&[name], &["--only", only], &["50 rows", "| D2     |"]);
        said.split_once("50 rows").unwrap().1.to_owned()
    };
    ["tables", "d2-d5"].map(tables).to_vec()
}

fn as_recorded() -> &'static [String] {
    static SAID: LazyLock<Vec<String>> = LazyLock::new(|| said("a.csv", &csv(&recorded())));
    &SAID
}

/// A column as another program has it, by its name and its numbers; none where it leaves it as it was.
type Change<'a> = &'a dyn Fn(&str, &[Option<i64>]) -> Option<Box<dyn Array>>;
/// A column of numbers as another program has it.
type Numbers<'a> = &'a dyn Fn(&[Option<i64>]) -> Option<Box<dyn Array>>;

fn check(what: &str, change: Change) {
    assert_eq!(said("a.parquet", &parquet(CompressionOptions::Uncompressed, change)), as_recorded(), "{what}");
}

fn check_numbers(what: &str, change: Numbers) {
    check(what, &|name, numbers| if is_name(name) { None } else { change(numbers) });
}

fn is_name(column: &str) -> bool {
    column == "source" || column == "destination"
}

#[test]
fn text_of_other_programs() {
    let (text, expected) = (String::from_utf8(csv(&recorded())).unwrap(), as_recorded());
    let quoted = |line: &str, separator: &str| format!("\"{}\"", line.replace(',', &format!("\"{separator}\"")));
    let each = |change: &dyn Fn(&str) -> String| text.lines().map(|line| change(line) + "\n").collect::<String>();
    // A column of numbers in which some are missing is one of floating-point numbers.
    let floats = |word: &str| {
        each(&|line| {
            let number = |field: &str| match field.parse::<i64>() {
                Ok(number) => format!("{number}.0"),
                Err(_) if field.is_empty() => word.to_owned(),
                Err(_) => field.to_owned(),
            };
            line.split(',').map(number).collect::<Vec<_>>().join(",")
        })
    };
    let index = |name: &str| {
        let numbered = text.lines().enumerate().map(|(k, line)| match k {
            0 => format!("{name},{line}\n"),
            k => format!("{},{line}\n", k - 1),
        });
        numbered.collect::<String>()
    };
    for (what, file) in [
        ("CRLF", text.replace('\n', "\r\n")),
        ("byte order mark", format!("\u{feff}{text}")),
        ("tabs", text.replace(',', "\t")),
        ("semicolons", text.replace(',', ";")),
        ("semicolons and decimal commas", floats("").replace(',', ";").replace('.', ",")),
        ("bars", text.replace(',', "|")),
        ("spaces", text.replace(',', " , ")),
        ("quotes", each(&|line| quoted(line, ","))),
        (
            "quotes in lines alone",
            COLUMNS.join(",") + "\n" + each(&|line| quoted(line, ",")).split_once('\n').unwrap().1,
        ),
        ("quotes and semicolons, as a spreadsheet", format!("\u{feff}{}", each(&|line| quoted(line, ";") + "\r"))),
        ("capitals", text.replacen(&COLUMNS.join(","), &COLUMNS.join(",").to_uppercase(), 1)),
        ("floats", floats("")),
        ("NaN", floats("NaN")),
        ("NULL", floats("NULL")),
        ("None", floats("None")),
        ("<NA>", floats("<NA>")),
        ("\\N", floats("\\N")),
        ("an index without a name", index("")),
        ("an index of pandas", index("Unnamed: 0")),
        ("a note", each(&|line| format!("{line},\"a, \"\"b\"\"\""))),
    ] {
        assert_eq!(said("a.csv", file.as_bytes()), expected, "{what}");
    }
}

/// A Parquet file of the recorded rows, some of its columns as another program has them.
fn parquet(compression: CompressionOptions, change: Change) -> Vec<u8> {
    let text = recorded();
    let column = |place: usize| text.lines().map(move |line| line.split(',').nth(place).unwrap());
    let arrays = COLUMNS.into_iter().enumerate().map(|(place, name)| {
        let numbers: Vec<Option<i64>> = column(place).map(|field| field.parse().ok()).collect();
        let names: Vec<Option<&str>> =
            column(place).map(|field| Some(field).filter(|field| !field.is_empty())).collect();
        let as_recorded = || match name {
            "source" | "destination" => Utf8ViewArray::from_slice(&names).boxed(),
            _ => PrimitiveArray::from(&numbers).boxed(),
        };
        (name, change(name, &numbers).unwrap_or_else(as_recorded))
    });
    written(compression, &arrays.collect::<Vec<_>>())
}

fn written(compression: CompressionOptions, columns: &[(&str, Box<dyn Array>)]) -> Vec<u8> {
    let field = |(name, array): &(&str, Box<dyn Array>)| {
        ((*name).into(), Field::new((*name).into(), array.dtype().clone(), true))
    };
    let schema: ArrowSchema = columns.iter().map(field).collect();
    let options = WriteOptions {
        statistics: StatisticsOptions::empty(),
        version: Version::V1,
        compression,
        data_page_size: None,
    };
    let encodings = columns.iter().map(|(_, array)| get_dtype_encoding(array.dtype())).collect::<Vec<_>>();
    let rows = columns[0].1.len();
    let arrays = columns.iter().map(|(_, array)| array.clone()).collect();
    let batch = RecordBatchT::new(rows, Arc::new(schema.clone()), arrays);
    let groups = RowGroupIterator::try_new([Ok(batch)].into_iter(), &schema, options, encodings.into()).unwrap();
    let mut bytes = Vec::new();
    let mut writer = FileWriter::try_new(&mut bytes, schema, options).unwrap();
    groups.for_each(|group| writer.write(rows as u64, group.unwrap()).unwrap());
    writer.end(None).unwrap();
    bytes
}

fn native<T: NativeType>(numbers: &[Option<i64>], of: impl Fn(i64) -> T, is: ArrowDataType) -> Box<dyn Array> {
    let values: Vec<Option<T>> = numbers.iter().map(|number| number.map(&of)).collect();
    PrimitiveArray::from(&values).to(is).boxed()
}

/// The smallest type of the numbers that fit it, as programs choose it that save space.
fn narrow(is: &ArrowDataType, numbers: &[Option<i64>]) -> Option<Box<dyn Array>> {
    use ArrowDataType::{Int8, Int16, Int32, UInt8, UInt16, UInt32, UInt64};
    let most = numbers.iter().flatten().copied().max().unwrap_or(0);
    let fits = |most_that_fits: u64| most as u64 <= most_that_fits;
    Some(match is {
        Int8 if fits(i8::MAX as u64) => native(numbers, |number| number as i8, Int8),
        Int16 if fits(i16::MAX as u64) => native(numbers, |number| number as i16, Int16),
        Int32 if fits(i32::MAX as u64) => native(numbers, |number| number as i32, Int32),
        UInt8 if fits(u8::MAX.into()) => native(numbers, |number| number as u8, UInt8),
        UInt16 if fits(u16::MAX.into()) => native(numbers, |number| number as u16, UInt16),
        UInt32 if fits(u32::MAX.into()) => native(numbers, |number| number as u32, UInt32),
        UInt64 => native(numbers, |number| number as u64, UInt64),
        _ => return None,
    })
}

#[test]
fn numbers_of_any_type() {
    use ArrowDataType::{Decimal, Float64, Int8, Int16, Int32, UInt8, UInt16, UInt32, UInt64};
    for is in [Int8, Int16, Int32, UInt8, UInt16, UInt32, UInt64] {
        check_numbers(&format!("{is:?}"), &|numbers| narrow(&is, numbers));
    }
    check_numbers("Float64", &|numbers| Some(native(numbers, |number| number as f64, Float64)));
    check_numbers("NaN", &|numbers| {
        let values = numbers.iter().map(|number| number.map_or(f64::NAN, |number| number as f64));
        Some(PrimitiveArray::from_vec(values.collect()).boxed())
    });
    for scale in [0, 3] {
        let of = |number| i128::from(number) * 10_i128.pow(scale);
        check_numbers("Decimal", &|numbers| Some(native(numbers, of, Decimal(38, scale as usize))));
    }
    check_numbers("text", &|numbers| {
        let field = |number: &Option<i64>| number.map_or("nan".to_owned(), |number| number.to_string());
        Some(Utf8ViewArray::from_slice_values(numbers.iter().map(field).collect::<Vec<_>>()).boxed())
    });
}

#[test]
fn times() {
    for (unit, a_us) in [(TimeUnit::Microsecond, 1), (TimeUnit::Nanosecond, 1_000)] {
        check(&format!("{unit:?}"), &|name, numbers| {
            let is = ArrowDataType::Timestamp(unit, Some("+00:00".into()));
            name.ends_with("_us").then(|| native(numbers, |number| number * a_us, is))
        });
    }
    let ms = || ArrowDataType::Timestamp(TimeUnit::Millisecond, None);
    check("ms", &|name, numbers| (name == "append_ms").then(|| native(numbers, |number| number, ms())));
    let bytes = parquet(CompressionOptions::Uncompressed, &|name, numbers| {
        (name == "scheduled_us").then(|| native(numbers, |number| number / 1000, ms()))
    });
    Case::new(&[("a.parquet", &bytes)])
        .refuses(&["a.parquet"], &["has the column `scheduled_us` as times of whole ms, whose µs are lost"]);
}

#[test]
fn names_of_any_type() {
    let names = |column: &str| {
        let place = usize::from(column == "destination");
        recorded().lines().map(|line| line.split(',').nth(place).unwrap().to_owned()).collect::<Vec<_>>()
    };
    check("bytes", &|name, _| is_name(name).then(|| BinaryViewArray::from_slice_values(names(name)).boxed()));
    check("words for none", &|name, _| {
        let word = |name: String| if name.is_empty() { "None".to_owned() } else { format!(" {name}") };
        let words = || names(name).into_iter().map(word).collect::<Vec<_>>();
        is_name(name).then(|| Utf8ViewArray::from_slice_values(words()).boxed())
    });
}

#[test]
fn all_codecs() {
    for compression in [
        CompressionOptions::Uncompressed,
        CompressionOptions::Snappy,
        CompressionOptions::Gzip(None),
        CompressionOptions::Brotli(None),
        CompressionOptions::Lz4Raw,
        CompressionOptions::Zstd(None),
    ] {
        assert_eq!(said("a.parquet", &parquet(compression, &|_, _| None)), as_recorded(), "{compression:?}");
    }
}

/// What pandas and pyarrow wrote in the field: a partition of 16 bits, and a column in which all is missing as `double`.
#[test]
fn files_from_the_field() {
    let files: [(&str, &[u8]); 3] = [
        ("int16.parquet", include_bytes!("int16.parquet")),
        ("pandas.parquet", include_bytes!("pandas.parquet")),
        ("quoted.csv", include_bytes!("quoted.csv")),
    ];
    for (name, bytes) in files {
        for only in ["tables", "d2-d5"] {
            let said = Case::new(&[(name, bytes)]).says(&[name], &["--only", only], &["20 rows"]);
            assert!(said.contains("| D2     |  7.10† | 7.10† |  1.26† | 8.36† | 5.85† |"), "{said}");
        }
    }
}

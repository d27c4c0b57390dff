//! JSON: `{"title": …, "sections": [{"title", "within", "tables": {name: [{column: value}]}, "prose", "lines", "charts"}]}`.
//!
//! A value is a number where the cell's text says no more than it, text where the cell holds no number, and else an
//! object of `number`, `text` and, where the text bears a †, `few: true`. What comes first in the document comes first here.

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};

use super::sections;
use crate::document::{Block, Cell, Document, Table};

#[derive(Serialize)]
struct Root<'a> {
    /// The heading of level 1.
    title: Option<&'a str>,
    sections: Vec<Section<'a>>,
}

#[derive(Serialize)]
struct Section<'a> {
    title: &'a str,
    /// Titles of the sections that this one belongs to, outermost first.
    within: Vec<&'a str>,
    tables: Tables<'a>,
    prose: Vec<&'a str>,
    lines: Vec<&'a str>,
    charts: Vec<Chart<'a>>,
}

#[derive(Serialize)]
struct Chart<'a> {
    stem: &'a str,
    caption: &'a str,
}

/// The document as indented JSON, ending in a line break.
pub fn of(document: &Document) -> String {
    let title = document.blocks.iter().find_map(|block| match block {
        Block::Heading(1, title) => Some(title.as_str()),
        _ => None,
    });
    let root = Root { title, sections: sections(document).iter().map(section).collect() };
    // Strings, finite numbers and maps with text for keys always have a form in JSON.
    serde_json::to_string_pretty(&root).unwrap_or_default() + "\n"
}

fn section<'a>(section: &super::Section<'a>) -> Section<'a> {
    let (title, within) = section.titles.split_last().map_or(("", Vec::new()), |(last, above)| (*last, above.to_vec()));
    let (mut tables, mut prose, mut lines, mut charts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for &block in &section.blocks {
        match block {
            Block::Heading(..) => {}
            Block::Prose(text) => prose.push(text.as_str()),
            Block::Lines(text) => lines.push(text.as_str()),
            Block::Table(table) => tables.push(table),
            Block::Chart { stem, caption } => charts.push(Chart { stem, caption }),
        }
    }
    Section { title, within, tables: Tables(tables), prose, lines, charts }
}

/// Tables by name; a second of one name is `name-2`, as no key may come twice.
struct Tables<'a>(Vec<&'a Table>);

impl Serialize for Tables<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names = distinct(self.0.iter().map(|table| table.name));
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, table) in names.iter().zip(&self.0) {
            map.serialize_entry(name, &Rows(table))?;
        }
        map.end()
    }
}

struct Rows<'a>(&'a Table);

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let columns = distinct(self.0.header.iter().map(String::as_str));
        let mut rows = serializer.serialize_seq(Some(self.0.rows.len()))?;
        for row in &self.0.rows {
            rows.serialize_element(&Row(&columns, row))?;
        }
        rows.end()
    }
}

struct Row<'a>(&'a [String], &'a [Cell]);

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().zip(self.1.iter().map(value)))
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Value<'a> {
    Whole(i64),
    Number(f64),
    Text(&'a str),
    Both {
        #[serde(skip_serializing_if = "Option::is_none")]
        number: Option<Box<Value<'a>>>,
        text: &'a str,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        few: bool,
    },
}

fn value(cell: &Cell) -> Value<'_> {
    let few = cell.text.contains('†');
    let number = cell.number.filter(|number| number.is_finite());
    match number.map(|number| (number, says_no_more(&cell.text, number))) {
        Some((number, true)) => plain(number),
        Some((number, false)) => Value::Both { number: Some(Box::new(plain(number))), text: &cell.text, few },
        None if few => Value::Both { number: None, text: &cell.text, few },
        None => Value::Text(&cell.text),
    }
}

/// A count is whole in JSON, too; beyond 2^53 not every whole number is a float.
fn plain<'a>(number: f64) -> Value<'a> {
    let whole = number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
    if whole { Value::Whole(number as i64) } else { Value::Number(number) }
}

/// Whether the text is the number, rounded to as many places as it shows, with commas between thousands or without.
fn says_no_more(text: &str, number: f64) -> bool {
    let digits = text.replace(',', "");
    let places = digits.split_once('.').map_or(0, |(_, places)| places.len().min(300));
    let half = 0.5 / 10f64.powi(places as i32);
    // Ties may have been rounded either way, and the difference is itself rounded.
    let slack = half * 1e-6 + number.abs() * f64::EPSILON;
    digits.parse::<f64>().is_ok_and(|shown| (shown - number).abs() <= half + slack)
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut distinct: Vec<String> = Vec::new();
    for name in names {
        let numbered = (2..).map(|n| format!("{name}-{n}"));
        let free = std::iter::once(name.to_owned()).chain(numbered).find(|name| !distinct.contains(name));
        distinct.extend(free);
    }
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn cell(text: &str, number: Option<f64>) -> Cell {
        Cell { text: text.to_owned(), number }
    }

    fn told(text: &str, number: Option<f64>) -> serde_json::Value {
        serde_json::to_value(value(&cell(text, number))).unwrap()
    }

    #[test]
    fn numbers_are_numbers_and_marks_are_kept() {
        assert_eq!(told("1,234,567", Some(1_234_567.0)), json!(1_234_567));
        assert_eq!(told("12.35", Some(12.345_678)), json!(12.345_678));
        assert_eq!(told("-0.50", Some(-0.5)), json!(-0.5));
        assert_eq!(told("12.35†", Some(12.35)), json!({"number": 12.35, "text": "12.35†", "few": true}));
        assert_eq!(told("3 of 9 planned", Some(3.0)), json!({"number": 3, "text": "3 of 9 planned"}));
        assert_eq!(told("> drain†", None), json!({"text": "> drain†", "few": true}));
        assert_eq!(told("p0 → w1", None), json!("p0 → w1"));
        assert_eq!(told("–", Some(f64::INFINITY)), json!("–"));
    }

    #[test]
    fn sections_hold_their_tables_in_order() {
        let table = |header: [&str; 3]| {
            let rows = vec![vec![cell("D2", None), cell("1.5", Some(1.5)), cell("2", Some(2.0))]];
            Block::Table(Table { name: "d", header: header.map(str::to_owned).to_vec(), rows, exact_header: false })
        };
        let heading = |level, title: &str| Block::Heading(level, title.to_owned());
        let chart = Block::Chart { stem: "s".to_owned(), caption: "c".to_owned() };
        let blocks = vec![
            heading(1, "all"),
            heading(2, "run"),
            heading(3, "\"D\""),
            Block::Prose("**x**".to_owned()),
            table(["Z", "A", "A"]),
            table(["Z", "B", "C"]),
            chart,
        ];
        let text = of(&Document { blocks });
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["title"], "all");
        assert_eq!(
            read["sections"][2],
            json!({"title": "\"D\"", "within": ["run"], "prose": ["**x**"], "lines": [],
                "tables": {"d": [{"Z": "D2", "A": 1.5, "A-2": 2}], "d-2": [{"Z": "D2", "B": 1.5, "C": 2}]},
                "charts": [{"stem": "s", "caption": "c"}]})
        );
        assert!(text.find("\"Z\"") < text.find("\"A\""), "columns keep their order: {text}");
    }

    proptest! {
        #[test]
        fn a_rounded_number_says_no_more(number in -1e9..1e9, places in 0usize..6) {
            let shown = format!("{number:.places$}");
            prop_assert!(says_no_more(&shown, number));
            let marked = format!("{number:.places$}†");
            prop_assert!(!says_no_more(&marked, number));
        }
    }
}

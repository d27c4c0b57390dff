//! CSV in the long form that data frames take: one line for each cell, so that all tables share six columns.

use super::sections;
use crate::document::{Block, Document, Table};

const COLUMNS: [&str; 6] = ["section", "table", "row", "column", "text", "number"];

/// Every cell of every table. `section` is the titles above the table, `row` its line's first cell, `number` empty where
/// the cell holds none.
pub fn of(document: &Document) -> String {
    let mut lines = csv::Writer::from_writer(Vec::new());
    // Writing to memory fails only for records of unequal length, and all have six fields.
    let _ = lines.write_record(COLUMNS);
    for section in sections(document) {
        let title = section.titles.join(" / ");
        for block in section.blocks {
            if let Block::Table(table) = block {
                for line in cells(&title, table) {
                    let _ = lines.write_record(line);
                }
            }
        }
    }
    let bytes = lines.into_inner().unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn cells<'a>(section: &'a str, table: &'a Table) -> impl Iterator<Item = [String; 6]> + 'a {
    // A table of one column has nothing but names of rows to tell.
    let first = usize::from(table.header.len() > 1);
    table.rows.iter().flat_map(move |row| {
        let name = row.first().map_or("", |cell| cell.text.as_str());
        table.header.iter().zip(row).skip(first).map(move |(column, cell)| {
            let number = cell.number.filter(|number| number.is_finite()).map_or_else(String::new, |n| n.to_string());
            [section, table.name, name, column, cell.text.as_str(), number.as_str()].map(str::to_owned)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Cell;
    use proptest::prelude::*;

    fn document(name: &str, cell: Cell) -> Document {
        let table = Table {
            name: "percentiles",
            header: vec!["Latency".to_owned(), "p50, ms".to_owned()],
            rows: vec![vec![name.into(), cell]],
            exact_header: false,
        };
        let heading = |level, title: &str| Block::Heading(level, title.to_owned());
        Document { blocks: vec![heading(1, "all"), heading(2, "run"), heading(3, "tail"), Block::Table(table)] }
    }

    #[test]
    fn one_line_a_cell() {
        let text = of(&document("a → b", Cell { text: "1,234.50†".to_owned(), number: Some(1234.5) }));
        let expected = "section,table,row,column,text,number\n\
                        run / tail,percentiles,a → b,\"p50, ms\",\"1,234.50†\",1234.5\n";
        assert_eq!(text, expected);
        assert!(of(&document("a", "> drain".into())).ends_with(",> drain,\n"));
        assert!(of(&document("a", Cell { text: "?".to_owned(), number: Some(f64::NAN) })).ends_with(",?,\n"));
    }

    proptest! {
        #[test]
        fn any_name_and_number_come_back(name in "\\PC*[\",\n\r]?\\PC*", number in any::<f64>()) {
            let number = Some(number).filter(|number| number.is_finite());
            let text = of(&document(&name, Cell { text: name.clone(), number }));
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            let record = reader.records().next().unwrap().unwrap();
            prop_assert_eq!((&record[2], &record[4]), (name.as_str(), name.as_str()));
            prop_assert_eq!(record[5].parse().ok(), number);
        }
    }
}

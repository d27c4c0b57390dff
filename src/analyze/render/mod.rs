//! A [`Document`] for those who read it: [`text`] for a terminal, [`markdown`] for a README, [`tidy`] CSV and [`json`]
//! for programs, [`html`] for a browser. [`splice`] puts Markdown into a file that people write.
//!
//! Names of runs, sources and workers come from files that anyone may have written, so every format escapes all text;
//! only [`prose`] knows markup.

pub mod html;
pub mod json;
pub mod markdown;
pub mod prose;
pub mod splice;
pub mod svg;
pub mod text;
pub mod tidy;

use crate::document::{Block, Cell, Document, Table};

/// How a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns, for a terminal
    Text,
    /// Headings, prose and aligned tables
    Markdown,
    /// One line for each figure: section, table, row, column, text, number
    Csv,
    /// Sections with their tables, numbers as numbers
    Json,
}

impl Format {
    /// How names of files in this format end.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Text => "txt",
            Format::Markdown => "md",
            Format::Csv => "csv",
            Format::Json => "json",
        }
    }
}

/// The document in a format, ending in a line break. Text has no colours and no width: [`text::of`] has.
/// Charts are named as `charts/<stem>.png`; [`markdown::of`] takes another place.
pub fn render(document: &Document, format: Format) -> String {
    match format {
        Format::Text => text::of(document, text::Terminal::NONE),
        Format::Markdown => markdown::of(document, "charts"),
        Format::Csv => tidy::of(document),
        Format::Json => json::of(document),
    }
}

/// A heading and what stands below it, up to the next heading.
struct Section<'a> {
    /// Titles from level 2 down to this section's own; the document's title alone above the first of them.
    titles: Vec<&'a str>,
    blocks: Vec<&'a Block>,
}

/// The document cut at its headings; sections without blocks are kept, since a title may be all that is said.
fn sections(document: &Document) -> Vec<Section<'_>> {
    let mut sections: Vec<Section> = Vec::new();
    let mut open: Vec<(u8, &str)> = Vec::new();
    for block in &document.blocks {
        if let Block::Heading(level, title) = block {
            open.retain(|&(above, _)| above < *level && above > 1);
            open.push((*level, title));
            sections.push(Section { titles: open.iter().map(|&(_, title)| title).collect(), blocks: Vec::new() });
        } else {
            if sections.is_empty() {
                sections.push(Section { titles: Vec::new(), blocks: Vec::new() });
            }
            if let Some(section) = sections.last_mut() {
                section.blocks.push(block);
            }
        }
    }
    sections
}

/// Longer texts that begin with a digit are words: `31 of 31 on broker 3 (33 % of all events)`.
const FIGURE_CHARS_MAX: usize = 24;

/// Which columns hold figures and are aligned right: those with numbers, or texts that begin like one (`> drain`, `–`),
/// and no words.
fn figures(table: &Table) -> Vec<bool> {
    let like_one = |text: &str| text.starts_with(|c: char| c.is_ascii_digit() || "<>≤≥–−-+±×".contains(c));
    let figures = |column| {
        let cells = || table.rows.iter().filter_map(|row| row.get(column));
        let figure = |cell: &Cell| {
            cell.number.is_some() || like_one(&cell.text) && cell.text.chars().count() <= FIGURE_CHARS_MAX
        };
        column > 0 && cells().any(figure) && cells().all(|cell| cell.text.is_empty() || figure(cell))
    };
    (0..table.header.len()).map(figures).collect()
}

/// Text on one line without characters that command a terminal or turn the reading direction: they become `�`.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_whitespace() { ' ' } else { harmless(c) }).collect()
}

/// Lines that keep their shape, without the same characters.
fn harmless_lines(text: &str) -> impl Iterator<Item = String> {
    text.lines().map(|line| line.chars().map(|c| if c == '\t' { c } else { harmless(c) }).collect())
}

fn harmless(c: char) -> char {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if c.is_control() || turns { char::REPLACEMENT_CHARACTER } else { c }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every kind of block, with names that try to break out of it.
    pub(super) fn hostile() -> Document {
        let name = "<script>alert(1)</script> | \u{1b}[31m`x` **y** \"&'\n<!-- /analyze -->";
        let table = Table {
            name: "d2-d5",
            header: vec!["Metric".to_owned(), "Max".to_owned(), name.to_owned()],
            rows: vec![vec![name.into(), Cell { text: "1.50†".to_owned(), number: Some(1.5) }, name.into()]],
            exact_header: true,
        };
        let blocks = vec![
            Block::Heading(1, name.to_owned()),
            Block::Heading(2, name.to_owned()),
            Block::Prose(name.to_owned()),
            Block::Lines(name.to_owned()),
            Block::Table(table),
            Block::Chart { stem: name.to_owned(), caption: name.to_owned() },
        ];
        Document { blocks }
    }

    #[test]
    fn no_format_lets_a_name_command_the_terminal() {
        for format in [Format::Text, Format::Markdown] {
            let text = render(&hostile(), format);
            assert!(!text.contains('\u{1b}') && text.contains("script"), "{text}");
        }
        assert_eq!(one_line("a\u{202e}b\tc"), "a\u{fffd}b c");
    }

    #[test]
    fn sections_know_what_they_are_within() {
        let heading = |level, title: &str| Block::Heading(level, title.to_owned());
        let document = Document {
            blocks: vec![
                Block::Prose("before".to_owned()),
                heading(1, "title"),
                heading(2, "run"),
                heading(3, "causes"),
                Block::Prose("in causes".to_owned()),
                heading(2, "next"),
            ],
        };
        let sections = sections(&document);
        let titles: Vec<String> = sections.iter().map(|section| section.titles.join(" / ")).collect();
        assert_eq!(titles, ["", "title", "run", "run / causes", "next"]);
        assert_eq!(sections.iter().map(|section| section.blocks.len()).collect::<Vec<_>>(), [1, 0, 0, 1, 0]);
    }

    #[test]
    fn columns_of_figures_are_told_from_words() {
        let row = |cells: [&str; 5]| cells.map(Cell::from).to_vec();
        let table = Table {
            name: "t",
            header: ["1", "2", "3", "4", "5"].map(str::to_owned).to_vec(),
            rows: vec![
                row(["1", "> drain", "p0 → w1", "–", "–"]),
                row(["2", "3.00", "p1 → w1", "", "31 of 31 on broker 3 (33 % of all)"]),
            ],
            exact_header: false,
        };
        assert_eq!(figures(&table), [false, true, false, true, false]);
    }
}

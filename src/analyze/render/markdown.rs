//! Markdown whose tables are aligned for people who read them as text, and in which names of runs stay names.

use std::path::{Component, Path};

use super::{
    figures, harmless_lines, one_line,
    prose::{self, Span},
};
use crate::document::{Block, Cell, Document, Table};
pub use shasta_model::number::thousands as count;

/// The document as Markdown; `charts` is where its charts lie, relative to the file that it goes into.
pub fn of(document: &Document, charts: &str) -> String {
    let blocks: Vec<String> = document.blocks.iter().map(|block| of_block(block, charts)).collect();
    blocks.join("\n")
}

fn of_block(block: &Block, charts: &str) -> String {
    match block {
        Block::Heading(level, title) => {
            format!("{} {}\n", "#".repeat(usize::from(*level).clamp(1, 6)), escaped(title).replace('#', "\\#"))
        }
        Block::Prose(text) => {
            let paragraphs = prose::paragraphs(text).map(|spans| paragraph(&spans) + "\n");
            paragraphs.collect::<Vec<_>>().join("\n")
        }
        // Indented, not fenced: no line of it can end the block.
        Block::Lines(text) => harmless_lines(text).fold(String::new(), |all, line| all + "    " + &line + "\n"),
        Block::Table(table) => of_table(table),
        Block::Chart { stem, caption } => {
            format!("![{}]({}/{}.png)\n", escaped(caption), charts.trim_end_matches('/'), in_url(stem))
        }
    }
}

fn paragraph(spans: &[Span]) -> String {
    let (mut text, mut bold) = (String::new(), false);
    for span in spans {
        if span.bold != bold {
            text += "**";
            bold = span.bold;
        }
        text += &if span.code { format!("`{}`", one_line(span.text)) } else { escaped(span.text) };
    }
    if bold {
        text += "**";
    }
    // What begins a quotation, a list, a heading or a rule elsewhere is a word here.
    let number = text.trim_start_matches(|c: char| c.is_ascii_digit());
    if text.starts_with(['>', '#', '-', '+', '=', '~', '|']) {
        text.insert(0, '\\');
    } else if number.len() < text.len() && number.starts_with(['.', ')']) {
        text.insert(text.len() - number.len(), '\\');
    }
    text
}

fn of_table(table: &Table) -> String {
    // In a table, a bar parts cells wherever it stands.
    let cell = |text: &str| escaped(text).replace('|', "\\|");
    let header: Vec<String> = table.header.iter().map(|name| cell(name)).collect();
    let row = |cells: &Vec<Cell>| {
        (0..header.len()).map(|k| cells.get(k).map_or_else(String::new, |c| cell(&c.text))).collect()
    };
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let rows: Vec<Vec<String>> = table.rows.iter().map(row).collect();
    aligned(&header, &rows, table.exact_header, &figures(table))
}

/// Text on one line in which nothing is markup, HTML or a character reference.
fn escaped(text: &str) -> String {
    let text = one_line(text);
    let mut escaped = String::with_capacity(text.len());
    let mut before = ' ';
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let next = letters.peek().copied().unwrap_or(' ');
        let markup = match letter {
            '\\' | '&' => next.is_ascii_punctuation() || next.is_ascii_alphabetic(),
            '`' | '*' | '<' | '[' | ']' => true,
            // Within a word, as in `after_store_us`, it is none.
            '_' => !(before.is_alphanumeric() && next.is_alphanumeric()),
            '~' => next == '~' || before == '~',
            _ => false,
        };
        if markup {
            escaped.push('\\');
        }
        escaped.push(letter);
        before = letter;
    }
    escaped
}

/// A path's part, percent-encoded where Markdown or a URL would read it otherwise.
fn in_url(stem: &str) -> String {
    let encoded = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'~' | b'/' | b'@' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    stem.bytes().map(encoded).collect()
}

/// A link from a file to another file or directory, `../charts` for example, whether or not they exist.
/// Both paths are taken relative to the current directory.
pub fn link(from: &Path, to: &Path) -> String {
    let parts = |path: &Path| -> Vec<String> {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut parts = Vec::new();
        for part in absolute.components() {
            match part {
                Component::ParentDir => drop(parts.pop()),
                part => parts.push(part.as_os_str().to_string_lossy().into_owned()),
            }
        }
        parts
    };
    let (mut from, to) = (parts(from), parts(to));
    from.pop();
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = from[shared..].iter().map(|_| "..".to_owned());
    let link: Vec<String> = up.chain(to[shared..].iter().map(|part| in_url(part))).collect();
    if link.is_empty() { ".".to_owned() } else { link.join("/") }
}

/// A table, its columns aligned `right` or left. With `exact_header` the header keeps one space around each name, for those
/// who search for it, however wide its column is.
fn aligned(header: &[&str], rows: &[Vec<String>], exact_header: bool, right: &[bool]) -> String {
    let width = |text: &str| text.chars().count();
    // A rule needs three characters to be one for every reader of Markdown.
    let widths: Vec<usize> = (0..header.len())
        .map(|k| rows.iter().map(|row| width(&row[k])).chain([width(header[k]), 3]).max().unwrap_or(0))
        .collect();
    let line = |cells: &[&str]| -> String {
        let cells = cells.iter().zip(&widths).zip(right);
        let padded: Vec<String> = cells
            .map(|((cell, &width), &right)| if right { format!("{cell:>width$}") } else { format!("{cell:<width$}") })
            .collect();
        format!("| {} |\n", padded.join(" | "))
    };
    let rule = |k: usize| if right[k] { format!("{}:", "-".repeat(widths[k] - 1)) } else { "-".repeat(widths[k]) };
    let mut text = if exact_header { format!("| {} |\n", header.join(" | ")) } else { line(header) };
    let rules: Vec<String> = (0..header.len()).map(rule).collect();
    text.push_str(&line(&rules.iter().map(String::as_str).collect::<Vec<_>>()));
    for row in rows {
        text.push_str(&line(&row.iter().map(String::as_str).collect::<Vec<_>>()));
    }
    text
}

/// `1 row`, `2,000 rows`.
pub fn counted(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(n), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(header: &[&str], rows: &[Vec<String>], exact_header: bool) -> String {
        let right: Vec<bool> = (0..header.len()).map(|k| k > 0).collect();
        aligned(header, rows, exact_header, &right)
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["D2".to_owned(), "1.00†".to_owned()], vec!["D3".to_owned(), "12345.67".to_owned()]];
        let aligned = "| Metric |      Max |\n| ------ | -------: |\n| D2     |    1.00† |\n| D3     | 12345.67 |\n";
        assert_eq!(table(&["Metric", "Max"], &rows, false), aligned);
        assert!(table(&["Metric", "Max"], &rows, true).starts_with("| Metric | Max |\n| ------ | -------: |\n"));
    }

    fn rendered(block: Block) -> String {
        of(&Document { blocks: vec![block] }, "charts")
    }

    #[test]
    fn the_published_header_is_exact_and_figures_are_aligned() {
        let header = ["Metric", "Median", "Mean", "StdDev", "Max", "Min"].map(str::to_owned).to_vec();
        let rows = vec![["D2", "12345.67†", "1.00", "–", "> drain", "1.00"].map(Cell::from).to_vec()];
        let text = rendered(Block::Table(Table { name: "d2-d5", header, rows, exact_header: true }));
        assert!(text.starts_with("| Metric | Median | Mean | StdDev | Max | Min |\n| ------ | --------: | "), "{text}");
        assert!(text.ends_with("| D2     | 12345.67† | 1.00 |      – | > drain | 1.00 |\n"), "{text}");
    }

    #[test]
    fn prose_keeps_its_markup_and_no_other() {
        let prose = |text: &str| rendered(Block::Prose(text.to_owned()));
        assert_eq!(prose("**INVALID `x`**: `> drain`,\n2 * 3"), "**INVALID `x`**: `> drain`, 2 \\* 3\n");
        assert_eq!(prose("> drain\n\n- 1\n\n12. b"), "\\> drain\n\n\\- 1\n\n12\\. b\n");
        assert_eq!(prose("a_b _c_ 1.5 & d &lt; [x](y)"), "a_b \\_c\\_ 1.5 & d \\&lt; \\[x\\](y)\n");
    }

    #[test]
    fn names_stay_names() {
        let text = of(&super::super::tests::hostile(), "../charts/");
        // Lines are indented by four: nothing in them is HTML.
        for line in text.lines().filter(|line| !line.starts_with("    ")) {
            let live = line.match_indices('<').any(|(at, _)| !line[..at].ends_with('\\'));
            assert!(!live && !line.contains("<!-- /analyze -->\n"), "{line}");
        }
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ")).collect();
        let bars = |line: &str| line.matches('|').count() - line.matches("\\|").count();
        assert!(rows.len() == 3 && rows.iter().all(|row| bars(row) == 4), "{rows:?}");
        assert!(text.contains("](../charts/%3Cscript%3Ealert%281%29"), "{text}");
    }

    #[test]
    fn links_lead_from_file_to_directory() {
        let link = |from: &str, to: &str| super::link(Path::new(from), Path::new(to));
        assert_eq!(link("README.md", "results/charts"), "results/charts");
        assert_eq!(link("results/tables/a.md", "results/charts"), "../charts");
        assert_eq!(link("results/README.md", "./results/../my (charts)"), "../my%20%28charts%29");
        assert_eq!(link("charts/a.md", "charts"), ".");
    }

    #[test]
    fn counts_have_commas() {
        assert_eq!([counted(0, "row"), counted(1, "row"), counted(1000, "row")], ["0 rows", "1 row", "1,000 rows"]);
        assert_eq!([0, 999, 1000, 123_456, 1_234_567].map(count), ["0", "999", "1,000", "123,456", "1,234,567"]);
    }
}

//! For a terminal: headings underlined, prose wrapped, tables aligned by spaces and cut into panels that fit.

use std::fmt::Write;

use super::{figures, harmless_lines, one_line, prose};
use crate::document::{Block, Document, Table};

/// What the text is shown on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminal {
    /// Whether it shows bold when told so by ANSI sequences.
    pub bold: bool,
    /// Characters in a line; nothing is wrapped without.
    pub columns: Option<usize>,
}

impl Terminal {
    /// A file or a pipe.
    pub const NONE: Self = Self { bold: false, columns: None };
}

const BOLD: &str = "\u{1b}[1m";
const PLAIN: &str = "\u{1b}[0m";
/// Between two columns of a table.
const GAP: usize = 2;

/// The document as plain text.
pub fn of(document: &Document, terminal: Terminal) -> String {
    let blocks: Vec<String> = document.blocks.iter().map(|block| of_block(block, terminal)).collect();
    blocks.join("\n")
}

fn of_block(block: &Block, terminal: Terminal) -> String {
    match block {
        Block::Heading(level, title) => heading(*level, &one_line(title), terminal),
        Block::Prose(text) => {
            let paragraphs = prose::paragraphs(text).map(|spans| wrapped(&letters(&spans), terminal));
            paragraphs.collect::<Vec<_>>().join("\n")
        }
        Block::Lines(text) => harmless_lines(text).fold(String::new(), |all, line| all + "    " + &line + "\n"),
        Block::Table(table) => of_table(table, terminal),
        Block::Chart { stem, caption } => {
            let text = one_line(&format!("Chart charts/{stem}.png: {caption}"));
            wrapped(&text.chars().map(|c| (c, false)).collect::<Vec<_>>(), terminal)
        }
    }
}

fn heading(level: u8, title: &str, terminal: Terminal) -> String {
    let rule = match level {
        0 | 1 => "═",
        2 => "─",
        _ => "┄",
    };
    format!("{}\n{}\n", bold(title, terminal), rule.repeat(width(title)))
}

fn bold(text: &str, terminal: Terminal) -> String {
    if terminal.bold && !text.is_empty() { format!("{BOLD}{text}{PLAIN}") } else { text.to_owned() }
}

/// Each character and whether it is bold. Code keeps its backticks, which part a command from the words around it.
fn letters(spans: &[prose::Span]) -> Vec<(char, bool)> {
    let styled = |span: &prose::Span| {
        let text = one_line(span.text);
        let text = if span.code { format!("`{text}`") } else { text };
        let bold = span.bold;
        text.chars().map(move |c| (c, bold)).collect::<Vec<_>>()
    };
    spans.iter().flat_map(styled).collect()
}

/// Lines as long as the terminal allows, broken between words.
fn wrapped(letters: &[(char, bool)], terminal: Terminal) -> String {
    let columns = terminal.columns.unwrap_or(usize::MAX);
    let mut lines: Vec<Vec<(char, bool)>> = vec![Vec::new()];
    for word in letters.split(|&(c, _)| c == ' ').filter(|word| !word.is_empty()) {
        let line = lines.last().map_or(0, Vec::len);
        if line > 0 && line.saturating_add(1 + word.len()) > columns {
            lines.push(Vec::new());
        }
        if let Some(line) = lines.last_mut() {
            // The gap is bold between bold words, so that a bold sentence is one sequence.
            let inside = line.last().is_some_and(|last| last.1) && word[0].1;
            line.extend((!line.is_empty()).then_some((' ', inside)));
            line.extend(word);
        }
    }
    let runs = |line: &Vec<(char, bool)>| -> String {
        let runs = line.chunk_by(|a, b| a.1 == b.1).map(|run| (run.iter().map(|l| l.0).collect::<String>(), run[0].1));
        runs.map(|(text, is_bold)| if is_bold { bold(&text, terminal) } else { text }).collect()
    };
    lines.iter().fold(String::new(), |all, line| all + &runs(line) + "\n")
}

fn of_table(table: &Table, terminal: Terminal) -> String {
    let right = figures(table);
    let mut lines = vec![table.header.iter().map(|name| one_line(name)).collect::<Vec<_>>()];
    lines.extend(table.rows.iter().map(|row| row.iter().map(|cell| one_line(&cell.text)).collect()));
    let cell = |line: &[String], column: usize| line.get(column).cloned().unwrap_or_default();
    let widths: Vec<usize> = (0..table.header.len())
        .map(|column| lines.iter().map(|line| width(&cell(line, column))).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for (k, panel) in panels(&widths, terminal).into_iter().enumerate() {
        if k > 0 {
            text.push('\n');
        }
        for (n, line) in lines.iter().enumerate() {
            let padded = panel.iter().map(|&column| {
                let (cell, width) = (cell(line, column), widths[column]);
                if right[column] { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
            let padded = padded.collect::<Vec<_>>().join(&" ".repeat(GAP));
            let padded = padded.trim_end();
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}", if n == 0 { bold(padded, terminal) } else { padded.to_owned() });
            if n == 0 {
                let rules: Vec<String> = panel.iter().map(|&column| "─".repeat(widths[column])).collect();
                let _ = writeln!(text, "{}", rules.join(&" ".repeat(GAP)));
            }
        }
    }
    text
}

/// Columns of each panel; the first column, which names the rows, is in all of them.
fn panels(widths: &[usize], terminal: Terminal) -> Vec<Vec<usize>> {
    let columns = terminal.columns.unwrap_or(usize::MAX);
    let first = widths.first().copied().unwrap_or(0);
    let (mut panels, mut used) = (vec![vec![0]], first);
    for (column, width) in widths.iter().enumerate().skip(1) {
        let full = used.saturating_add(GAP + width) > columns;
        if let Some(panel) = panels.last_mut() {
            if full && panel.len() > 1 {
                panels.push(vec![0, column]);
                used = first + GAP + width;
            } else {
                panel.push(column);
                used += GAP + width;
            }
        }
    }
    if widths.is_empty() { Vec::new() } else { panels }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal(bold: bool, columns: usize) -> Terminal {
        Terminal { bold, columns: Some(columns) }
    }

    fn table() -> Table {
        let row = |cells: [&str; 4]| cells.map(Into::into).to_vec();
        Table {
            name: "t",
            header: ["Metric", "Median", "Worst pair", "Max"].map(str::to_owned).to_vec(),
            rows: vec![row(["D2", "1.00†", "p0 → w1", "> drain"]), row(["D3", "12.00", "p10 → w1", "7.00"])],
            exact_header: true,
        }
    }

    #[test]
    fn columns_are_aligned_without_pipes() {
        let expected = "Metric  Median  Worst pair      Max\n\
                        ──────  ──────  ──────────  ───────\n\
                        D2       1.00†  p0 → w1     > drain\n\
                        D3       12.00  p10 → w1       7.00\n";
        assert_eq!(of_table(&table(), Terminal::NONE), expected);
    }

    #[test]
    fn a_table_too_wide_is_cut_into_panels_that_repeat_its_first_column() {
        let text = of_table(&table(), terminal(false, 28));
        assert!(text.lines().all(|line| width(line) <= 28), "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("D3")).count(), 2);
        let narrow = of_table(&table(), terminal(false, 1));
        assert_eq!(narrow.lines().filter(|line| line.starts_with("D3")).count(), 3);
    }

    #[test]
    fn bold_is_for_terminals_only() {
        let document = Document { blocks: vec![Block::Prose("**INVALID now**: run `x`".to_owned())] };
        assert_eq!(of(&document, Terminal::NONE), "INVALID now: run `x`\n");
        assert_eq!(of(&document, terminal(true, 80)), "\u{1b}[1mINVALID now\u{1b}[0m: run `x`\n");
        assert_eq!(
            of(&document, terminal(true, 9)),
            "\u{1b}[1mINVALID\u{1b}[0m\n\u{1b}[1mnow\u{1b}[0m: run\n`x`\n",
            "no sequence runs over the end of a line"
        );
    }

    #[test]
    fn headings_are_visible_and_lines_keep_their_shape() {
        let blocks = vec![Block::Heading(2, "run é".to_owned()), Block::Lines("a  = b\n  c".to_owned())];
        assert_eq!(of(&Document { blocks }, Terminal::NONE), "run é\n─────\n\n    a  = b\n      c\n");
    }

    #[test]
    fn nothing_at_all() {
        assert_eq!(of(&Document::default(), Terminal::NONE), "");
        let empty = Table { name: "t", header: Vec::new(), rows: Vec::new(), exact_header: false };
        assert_eq!(of_table(&empty, Terminal::NONE), "");
    }
}

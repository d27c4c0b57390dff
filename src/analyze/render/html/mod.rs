//! One page that needs nothing but a browser: style and charts stand in it, and its own policy forbids scripts and the
//! network. It follows the reader's choice of light or dark; charts keep a white ground, on which their colours were chosen.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    figures, harmless_lines, one_line,
    prose::{self, Span},
    svg,
};
use crate::document::{Block, Document, Table};

const STYLE: &str = include_str!("../html.css");

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A chart's file is missing.
    #[error("{}: the chart cannot be read ({source}); draw the charts before the report", path.display())]
    Unreadable {
        /// `<charts>/<stem>.svg`.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A chart's file holds something else.
    #[error("{}: no chart that can stand in a page: {problem}; draw it again", path.display())]
    NoChart {
        /// `<charts>/<stem>.svg`.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// The document as a page, its charts taken from `charts/<stem>.svg`. `title` is the browser's, and heads the page where
/// the document has no heading of level 1.
pub fn html(document: &Document, title: &str, charts: &Path) -> Result<String, Error> {
    let anchors = anchors(document);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n",
        escaped(title)
    );
    // The contents stand below the title, whichever of the two it is.
    let mut contents = Some(contents(document, &anchors));
    if !document.blocks.iter().any(|block| matches!(block, Block::Heading(1, _))) {
        page += &format!("<h1>{}</h1>\n{}", escaped(title), contents.take().unwrap_or_default());
    }
    for (k, (block, anchor)) in document.blocks.iter().zip(&anchors).enumerate() {
        page += &match block {
            Block::Heading(level, title) => heading(*level, title, anchor),
            Block::Prose(text) => prose::paragraphs(text).map(|spans| paragraph(&spans)).collect(),
            Block::Lines(text) => {
                let lines: Vec<String> = harmless_lines(text).map(|line| in_html(&line)).collect();
                format!("<pre tabindex=\"0\">{}</pre>\n", lines.join("\n"))
            }
            Block::Table(table) => of_table(table),
            Block::Chart { stem, caption } => figure(&charts.join(format!("{stem}.svg")), k, caption)?,
        };
        if matches!(block, Block::Heading(1, _)) {
            page += &contents.take().unwrap_or_default();
        }
    }
    Ok(page + "</body>\n</html>\n")
}

/// For each block the identifier that links lead to; empty for those that are no headings.
fn anchors(document: &Document) -> Vec<String> {
    let mut taken = std::collections::HashSet::new();
    let anchor = |block: &Block| {
        let Block::Heading(_, title) = block else { return String::new() };
        let letter = |c: char| if c.is_ascii_alphanumeric() || "._".contains(c) { c } else { '-' };
        // Charts' identifiers begin with `chart`.
        let slug = format!("s-{}", title.chars().map(letter).collect::<String>());
        let numbered = (2..).map(|n| format!("{slug}-{n}"));
        let free = std::iter::once(slug.clone()).chain(numbered).find(|slug| taken.insert(slug.clone()));
        free.unwrap_or_default()
    };
    document.blocks.iter().map(anchor).collect()
}

/// Links to the runs and comparisons, if there are several.
fn contents(document: &Document, anchors: &[String]) -> String {
    let entry = |(block, anchor): (&Block, &String)| match block {
        Block::Heading(2, title) => Some(format!("<li><a href=\"#{anchor}\">{}</a></li>\n", escaped(title))),
        _ => None,
    };
    let entries: Vec<String> = document.blocks.iter().zip(anchors).filter_map(entry).collect();
    if entries.len() < 2 {
        return String::new();
    }
    format!("<nav aria-label=\"Contents\">\n<h2>Contents</h2>\n<ol>\n{}</ol>\n</nav>\n", entries.concat())
}

fn heading(level: u8, title: &str, anchor: &str) -> String {
    let level = level.clamp(1, 6);
    format!("<h{level} id=\"{anchor}\">{}</h{level}>\n", escaped(title))
}

fn paragraph(spans: &[Span]) -> String {
    let alert = spans.first().is_some_and(|span| span.bold && span.text.starts_with("INVALID"));
    let styled = |span: &Span| {
        let text = escaped(span.text);
        let text = if span.code { format!("<code>{text}</code>") } else { text };
        if span.bold { format!("<strong>{text}</strong>") } else { text }
    };
    let class = if alert { " class=\"alert\"" } else { "" };
    format!("<p{class}>{}</p>\n", spans.iter().map(styled).collect::<String>())
}

fn of_table(table: &Table) -> String {
    let right = figures(table);
    let class = |column: usize| if right[column] { " class=\"n\"" } else { "" };
    let name = escaped(table.name);
    let mut text = format!(
        "<div class=\"wide\" role=\"region\" aria-label=\"Table {name}\" tabindex=\"0\">\n<table>\n<thead><tr>"
    );
    for (column, title) in table.header.iter().enumerate() {
        text += &format!("<th scope=\"col\"{}>{}</th>", class(column), escaped(title));
    }
    text += "</tr></thead>\n<tbody>\n";
    for row in &table.rows {
        text += "<tr>";
        for (column, cell) in row.iter().enumerate().take(table.header.len()) {
            let cell = marked(&cell.text);
            text += &match column {
                0 => format!("<th scope=\"row\">{cell}</th>"),
                _ => format!("<td{}>{cell}</td>", class(column)),
            };
        }
        text += "</tr>\n";
    }
    text + "</tbody>\n</table>\n</div>\n"
}

/// A cell's text, with a † at its end told apart so that it does not push the figure to the left.
fn marked(text: &str) -> String {
    let Some(figure) = text.strip_suffix('†') else { return escaped(text) };
    format!("{}<span class=\"few\">†</span>", escaped(figure))
}

fn figure(path: &Path, number: usize, caption: &str) -> Result<String, Error> {
    let chart = fs::read_to_string(path).map_err(|source| Error::Unreadable { path: path.to_owned(), source })?;
    let (id, caption) = (format!("chart{number}"), escaped(caption));
    let chart = svg::inline(&chart, &format!("{id}-"), &id)
        .map_err(|problem| Error::NoChart { path: path.to_owned(), problem })?;
    Ok(format!(
        "<figure>\n<div tabindex=\"0\">{chart}</div>\n<figcaption id=\"{id}\">{caption}</figcaption>\n</figure>\n"
    ))
}

fn escaped(text: &str) -> String {
    in_html(&one_line(text))
}

fn in_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;

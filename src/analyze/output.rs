//! Where a document goes: the terminal, tables/, charts/, report.html, and a marked block in a file that people write.

use std::path::{Path, PathBuf};

use anyhow::anyhow;

use crate::{
    arguments::{Arguments, Only},
    document::{Block, Document},
    drawings,
    program::{self, Screen},
    published,
    render::{self, Format, html, markdown, splice, text},
    report::{self, Detail},
    run::Run,
};
use shasta_model::atomic_file;

/// Charts, by the run that they are of.
#[derive(Debug, Default)]
struct Charts {
    of_all: Vec<Block>,
    of_runs: Vec<Vec<Block>>,
}

/// Prints and writes what is to be said of the runs, and returns the files that were written. `compared` stands below
/// the runs.
///
/// # Errors
/// A file cannot be written; those that were written before are whole.
pub fn all(
    arguments: &Arguments,
    screen: &mut Screen,
    runs: &[Run],
    compared: &[Block],
) -> anyhow::Result<Vec<PathBuf>> {
    let out = &arguments.out;
    let mut written = Vec::new();
    let mut write = |path: PathBuf, bytes: &str| -> anyhow::Result<()> {
        atomic_file::write(&path, bytes.as_bytes())?;
        written.push(path);
        Ok(())
    };
    let full: Vec<Vec<Block>> = runs.iter().map(|run| report::of(run, Detail::Full)).collect();
    if arguments.makes(Only::Tables) {
        let mut blocks: Vec<Block> = runs.iter().flat_map(|run| report::of(run, detail(arguments))).collect();
        blocks.extend_from_slice(compared);
        print(arguments, screen, blocks)?;
        for (run, full) in runs.iter().zip(&full) {
            let blocks = [&[Block::Heading(1, run.name.clone())], &full[..]].concat();
            let table = markdown::of(&Document { blocks }, "../charts");
            write(out.join("tables").join(format!("{}.md", run.name)), &table)?;
        }
    }
    let mut charts = Charts { of_all: Vec::new(), of_runs: vec![Vec::new(); runs.len()] };
    let directory = out.join("charts");
    if arguments.makes(Only::Charts) {
        charts.of_all = drawings::of_all(runs, &directory)?;
        for (run, blocks) in runs.iter().zip(&mut charts.of_runs) {
            *blocks = drawings::of_run(run, &directory)?;
        }
    }
    if arguments.makes(Only::Report) {
        let page = html::html(&page(full, &charts, compared), "Shasta: recorded runs", &directory)?;
        write(out.join("report.html"), &page)?;
    }
    if let Some(file) = &arguments.splice {
        let document = Document { blocks: spliced(runs, &charts, compared) };
        let block = markdown::of(&document, &markdown::link(file, &directory));
        splice::splice(file, &block, &command_line())?;
        written.push(file.clone());
    }
    for blocks in charts.of_runs.iter().chain([&charts.of_all]) {
        written.extend(blocks.iter().filter_map(|block| match block {
            Block::Chart { stem, .. } => Some(directory.join(format!("{stem}.png"))),
            _ => None,
        }));
    }
    Ok(written)
}

/// For people what fits a screen, for programs everything.
fn detail(arguments: &Arguments) -> Detail {
    match arguments.format {
        None | Some(Format::Text | Format::Markdown) => Detail::Short,
        Some(Format::Csv | Format::Json) => Detail::Full,
    }
}

/// Prints blocks to stdout: as text on a terminal, else as Markdown, unless told otherwise.
///
/// # Errors
/// It cannot be written to the end.
pub fn print(arguments: &Arguments, screen: &mut Screen, blocks: Vec<Block>) -> anyhow::Result<()> {
    let terminal = screen.is_terminal;
    let format = arguments.format.unwrap_or(if terminal { Format::Text } else { Format::Markdown });
    let document = Document { blocks };
    let text = match format {
        Format::Text if terminal => {
            let columns = console::Term::stdout().size_checked().map(|(_, columns)| columns.into());
            text::of(&document, text::Terminal { bold: true, columns })
        }
        format => render::render(&document, format),
    };
    program::print(screen.out, &text).map_err(|error| anyhow!("the tables could not be printed: {error}"))
}

/// Everything, for a browser.
fn page(runs: Vec<Vec<Block>>, charts: &Charts, compared: &[Block]) -> Document {
    let mut blocks = vec![Block::Heading(1, "Shasta: recorded runs".to_owned())];
    blocks.extend_from_slice(&charts.of_all);
    blocks.extend_from_slice(compared);
    for (mut of_run, charts) in runs.into_iter().zip(&charts.of_runs) {
        // What dominates the tail is read first, the charts are seen next, and the tables explain them.
        let prose = of_run.iter().position(|block| !matches!(block, Block::Heading(..) | Block::Prose(_)));
        of_run.splice(prose.unwrap_or(0)..prose.unwrap_or(0), charts.iter().cloned());
        blocks.extend(of_run);
    }
    blocks.push(Block::Heading(2, "The published tests".to_owned()));
    blocks.extend(published::tables::table());
    Document { blocks }
}

/// What a README shows: each run in short, its percentile curve, and the comparison.
fn spliced(runs: &[Run], charts: &Charts, compared: &[Block]) -> Vec<Block> {
    let mut blocks = Vec::new();
    for (run, charts) in runs.iter().zip(&charts.of_runs) {
        blocks.extend(report::of(run, Detail::Short));
        blocks.extend(charts.first().cloned());
    }
    blocks.extend_from_slice(compared);
    blocks
}

/// The command as it would be typed, since a binary's path is of this machine.
fn command_line() -> Vec<String> {
    ["cargo", "run", "--bin", "analyze", "--"].map(str::to_owned).into_iter().chain(std::env::args().skip(1)).collect()
}

/// The directory of a file that was written, for the last line on the screen.
pub fn told(written: &[PathBuf], out: &Path) -> String {
    let charts = written.iter().filter(|path| path.extension().is_some_and(|ending| ending == "png")).count();
    let others: Vec<String> = written
        .iter()
        .filter(|path| path.extension().is_none_or(|ending| ending != "png"))
        .map(|path| path.display().to_string())
        .collect();
    let charts = if charts > 0 {
        format!("{charts} charts (PNG and SVG) in {}", out.join("charts").display())
    } else {
        String::new()
    };
    let all: Vec<String> = others.into_iter().chain((!charts.is_empty()).then_some(charts)).collect();
    format!("Wrote {}.", all.join(", "))
}

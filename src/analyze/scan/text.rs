//! Reads the rows of a CSV file with all cores. The file is cut into chunks of equal size; whoever is free takes the next,
//! and reads the lines that begin in it.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{Progress, Scanned, Shared, Sink, Skipped, format, layout::Layout, line, names::Interner};
use crate::{cores, input::Error};
use shasta_model::columns::COLUMNS;

/// Bytes of a chunk.
const CHUNK_BYTES: u64 = 4 << 20;
/// A longer line is no row.
const LINE_BYTES_MAX: usize = 1 << 16;

/// What one thread leaves.
struct Part<S> {
    /// Without the places of skipped lines, which are known only when all lines before them are counted.
    scanned: Scanned<S>,
    /// Lines of each chunk that it read.
    lines: Vec<(u64, usize)>,
    /// The first lines that it skipped.
    bad: Vec<Bad>,
}

/// A line that is not a row, by its place in its chunk.
#[derive(Debug)]
struct Bad {
    chunk: u64,
    line: usize,
    what: String,
}

enum Stop {
    Bad(Bad),
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Stop::Io(error)
    }
}

struct Chunks<'a, S> {
    file: &'a File,
    layout: &'a Layout,
    /// Where the rows begin, and where the file ended when it was opened.
    start: u64,
    end: u64,
    next: AtomicU64,
    shared: &'a Shared<'a, S>,
    progress: Progress<'a>,
}

/// Reads all rows of an open file of `bytes` bytes.
///
/// # Errors
/// The first line that is not a row, unless those are skipped; a header that is none; a file that cannot be read.
pub fn scan<S: Sink>(
    path: &Path,
    file: &File,
    bytes: u64,
    shared: &Shared<S>,
    progress: Progress,
) -> Result<Scanned<S>, Error> {
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    let (layout, start) = header(path, file, bytes)?;
    let chunks = Chunks { file, layout: &layout, start, end: bytes, next: AtomicU64::new(0), shared, progress };
    let mut lines = Vec::new();
    let (mut bad, mut all) = (Vec::new(), Vec::new());
    for (part, stop) in cores::each(|| chunks.work()) {
        match stop {
            Some(Stop::Io(error)) => return Err(unreadable(error)),
            Some(Stop::Bad(line)) => bad.push(line),
            None => {}
        }
        all.extend(part);
    }
    all.iter().for_each(|part| lines.extend_from_slice(&part.lines));
    lines.sort_unstable();
    // Every chunk before the first bad line was taken, and read to its end.
    let number = |bad: &Bad| {
        2 + bad.line + lines.iter().take_while(|(chunk, _)| *chunk < bad.chunk).map(|(_, lines)| lines).sum::<usize>()
    };
    if let Some(first) = bad.into_iter().min_by_key(|bad| (bad.chunk, bad.line)) {
        return Err(Error::Line { path: path.to_owned(), line: number(&first), what: first.what });
    }
    let numbered = all.into_iter().map(|Part { mut scanned, bad, .. }| {
        scanned.skipped.first = bad.into_iter().map(|bad| (number(&bad), bad.what)).collect();
        scanned
    });
    Scanned::merged(numbered, shared).map_err(unreadable)
}

/// Reads the first line, and says what the file is when it is none of ours.
fn header(path: &Path, file: &File, bytes: u64) -> Result<(Layout, u64), Error> {
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    let first_line = |what: &str| Error::Line { path: path.to_owned(), line: 1, what: what.to_owned() };
    let mut start = vec![0; LINE_BYTES_MAX.min(usize::try_from(bytes).unwrap_or(LINE_BYTES_MAX))];
    file.read_exact_at(&mut start, 0).map_err(unreadable)?;
    if let Some(what) = format::of(&start) {
        return Err(first_line(what));
    }
    let Some(end) = start.iter().position(|&byte| byte == b'\n') else {
        if start.is_empty() {
            return Err(first_line("is empty: the run ended before its first event; record it again"));
        }
        if start.contains(&b'\r') {
            return Err(first_line(
                "ends its lines with a carriage return alone; convert the file with `tr '\\r' '\\n'`",
            ));
        }
        let cut = first_line("ends within its header: the run ended before its first event; record it again");
        if COLUMNS.join(",").as_bytes().starts_with(&start) {
            return Err(cut);
        }
        return Err(Layout::of(&start).err().map_or(cut, |what| first_line(&what)));
    };
    let layout = Layout::of(&start[..end]).map_err(|what| first_line(&what))?;
    Ok((layout, end as u64 + 1))
}

impl<S: Sink> Chunks<'_, S> {
    /// Reads chunks until there is none left or a line is no row.
    fn work(&self) -> (Option<Part<S>>, Option<Stop>) {
        let scanned = match Scanned::new(self.shared) {
            Ok(scanned) => scanned,
            Err(error) => return (None, Some(Stop::Io(error))),
        };
        let mut part = Part { scanned, lines: Vec::new(), bad: Vec::new() };
        let mut names = Interner::new(self.shared.directory);
        let mut buffer = Vec::new();
        loop {
            let chunk = self.next.fetch_add(1, Ordering::Relaxed);
            let start = self.start + chunk * CHUNK_BYTES;
            if start >= self.end {
                return (Some(part), None);
            }
            if let Err(stop) = self.chunk(chunk, start, &mut buffer, &mut names, &mut part) {
                // The others end with the chunks that they have; those before this one are among them.
                self.next.store(u64::MAX / (2 * CHUNK_BYTES), Ordering::Relaxed);
                return (Some(part), Some(stop));
            }
            (self.progress)(CHUNK_BYTES.min(self.end - start));
        }
    }

    fn chunk(
        &self,
        chunk: u64,
        start: u64,
        buffer: &mut Vec<u8>,
        names: &mut Interner,
        part: &mut Part<S>,
    ) -> Result<(), Stop> {
        // One byte before, to know whether a line begins at the start; some after, to end the last line.
        let from = start.saturating_sub(1).max(self.start);
        let to = (start + CHUNK_BYTES + LINE_BYTES_MAX as u64).min(self.end);
        buffer.resize((to - from) as usize, 0);
        self.file.read_exact_at(buffer, from)?;
        let newline = |at: usize| buffer[at..].iter().position(|&byte| byte == b'\n').map(|end| at + end + 1);
        let first = if from == start { 0 } else { newline(0).unwrap_or(buffer.len()) };
        let lines_start_before = ((start + CHUNK_BYTES).min(self.end) - from) as usize;
        let (mut at, mut line) = (first, 0);
        while at < lines_start_before {
            let read = line::read(buffer, at, self.layout, names);
            let numbered = read.and_then(|(row, end)| Some((row, names.pair(row.source, row.destination)?, end)));
            if let Some((row, pair, end)) = numbered {
                part.scanned.sink.add(&row, pair)?;
                part.scanned.rows += 1;
                at = end;
                line += 1;
                continue;
            }
            let Some(end) = newline(at) else {
                if to == self.end && buffer.len() - at < LINE_BYTES_MAX {
                    // A line without its end may lack digits, too: it is never a row.
                    part.scanned.cut_off = true;
                    break;
                }
                let what = "is longer than 64 KiB: no record of a run; take the file out of the list".to_owned();
                return Err(Stop::Bad(Bad { chunk, line, what }));
            };
            match line::read_any(&buffer[at..end - 1], self.layout, names) {
                Ok((row, pair)) => {
                    part.scanned.sink.add(&row, pair)?;
                    part.scanned.rows += 1;
                }
                Err(what) => self.skip(Bad { chunk, line, what }, part)?,
            }
            at = end;
            line += 1;
        }
        part.lines.push((chunk, line));
        Ok(())
    }

    fn skip(&self, bad: Bad, part: &mut Part<S>) -> Result<(), Stop> {
        if !self.shared.skip_bad_rows {
            return Err(Stop::Bad(bad));
        }
        part.scanned.skipped.count += 1;
        if part.bad.len() < Skipped::SHOWN {
            part.bad.push(bad);
        }
        Ok(())
    }
}

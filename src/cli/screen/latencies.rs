//! The latencies of a run as tables whose columns are as wide as they must be.

use std::fmt::{self, Write};

use console::style;

use super::ms;
use shasta_model::{
    manifest::latency::{Cell, Line, Tables},
    number::thousands,
    percentile::{FEW, PERCENTILES},
};

/// Left out of a name, so that a line fits a screen; said below the tables.
const AS_PUBLISHED: &str = " (as published)";
/// Between two columns.
const GAP: usize = 2;
/// A wider table is cut into two that stand below each other, the second from this column on.
const WIDTH_MAX: usize = 131;
const PERCENTILES_FROM: usize = 6;

/// The headlines, the stages and the two halves, then how they are to be read.
pub(super) fn write(f: &mut impl Write, tables: &Tables) -> fmt::Result {
    table(f, "latency in ms", &tables.headlines, true)?;
    table(f, "stages", &tables.stages, false)?;
    table(f, "scheduled → stored", &tables.halves, true)?;
    writeln!(
        f,
        "mean, SD and min: of the events that have both stamps; one that is missing is infinite in the percentiles"
    )?;
    writeln!(f, "before_publish → consumed: the latency that was published")?;
    let few = |line: &Line| line.percentiles.iter().any(|cell| cell.samples_past < FEW);
    if tables.headlines.iter().any(few) {
        writeln!(f, "† fewer than {FEW} samples lie past it: single events decide the value")?;
    }
    writeln!(f)
}

fn table(f: &mut impl Write, title: &str, lines: &[Line], with_over: bool) -> fmt::Result {
    let mut rows = vec![header(title)];
    rows.extend(lines.iter().map(cells));
    let columns = rows[0].len() - usize::from(!with_over);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let whole = widths.iter().sum::<usize>() + GAP * (columns - 1) <= WIDTH_MAX;
    let first = if whole { columns } else { PERCENTILES_FROM };
    for part in [1..first, first..columns].into_iter().filter(|part| !part.is_empty()) {
        for (k, row) in rows.iter().enumerate() {
            let name = format!("{:<1$}", row[0], widths[0]);
            write!(f, "{}", if k == 0 { style(name).bold() } else { style(name) })?;
            for column in part.clone() {
                write!(f, "{:>1$}", row[column], GAP + widths[column])?;
            }
            writeln!(f)?;
        }
        writeln!(f)?;
    }
    Ok(())
}

fn header(title: &str) -> Vec<String> {
    let mut header = [title, "n", "missing", "mean", "SD", "min"].map(str::to_owned).to_vec();
    header.extend(PERCENTILES.map(|percentile| format!("p{percentile}")));
    header.extend(["max", "≥ 100 ms"].map(str::to_owned));
    header
}

fn cells(line: &Line) -> Vec<String> {
    let name = line.name.strip_suffix(AS_PUBLISHED).unwrap_or(&line.name);
    let mut cells = vec![name.to_owned(), thousands(line.n), line.missing.map_or_else(|| "–".to_owned(), thousands)];
    cells.extend([line.mean_ms, line.sd_ms, line.min_ms].map(ms));
    cells.extend(line.percentiles.iter().map(percentile));
    cells.extend([ms(line.max_ms), thousands(line.over_slo)]);
    cells
}

fn percentile(cell: &Cell) -> String {
    let mark = if cell.samples_past < FEW { "†" } else { "" };
    format!("{}{mark}", ms(cell.ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{latency_tables, rows::Row};
    use shasta_model::columns::PUBLISHED_TO_CONSUMED;

    #[test]
    fn a_line_fits_a_screen_and_shows_what_is_missing() {
        let row = |sequence: i64| Row {
            scheduled_us: sequence * 1_000,
            before_publish_us: Some(sequence * 1_000 + 1),
            after_publish_us: Some(sequence * 1_000 + 5_432),
            after_consume_us: (sequence != 7).then_some(sequence * 1_000 + 10_001 + sequence % 100 * 500),
            after_store_us: (sequence > 9).then_some(sequence * 1_000 + 12_345_678),
            ..Row::default()
        };
        let tables = latency_tables::of((0..1_200).map(row), 600_000);
        let mut text = String::new();
        write(&mut text, &tables).unwrap();
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        let header = "latency in ms n missing mean SD min";
        assert_eq!(lines[0].join(" "), header, "with its percentiles it would be too wide: {text}");
        let percentiles = "p50 p90 p99 p99.9 p99.99 p99.999 max";
        assert_eq!(lines[5].join(" "), format!("latency in ms {percentiles} ≥ 100 ms"), "{text}");
        let stored = lines.iter().find(|line| line.starts_with(&["scheduled", "→", "stored"])).unwrap();
        assert_eq!(stored[3..7], ["1,200", "10", "12345.68", "0.00"], "{text}");
        // NumPy: x = (10_001 - 1 + np.arange(1200) % 100 * 500)[np.arange(1200) != 7] / 1000; x.mean(), x.std(), x.min()
        let published = lines.iter().find(|line| line.starts_with(&["before_publish"])).unwrap();
        assert_eq!(published[3..8], ["1,200", "1", "34.77", "14.43", "10.00"], "{text}");
        assert!(PUBLISHED_TO_CONSUMED.name.ends_with(AS_PUBLISHED));
        let widest = text.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(WIDTH_MAX), "{widest:?}\n{text}");
    }
}

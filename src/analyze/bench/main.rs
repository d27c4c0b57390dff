//! `bench-report`: what `scripts/bench` says of what Criterion measured.

use std::{
    io::{Write, stdout},
    path::PathBuf,
    process::ExitCode,
};

use clap::Parser;
use shasta_analyze::{
    bench::{
        Run,
        machine::Machine,
        report::{self, Kept},
        rounds::{ROUNDS_MIN, Rounds, rounds_needed},
        store,
    },
    chart::Chart,
    compare::Allowance,
    document::Document,
    markdown,
};
use shasta_model::atomic_file;

/// Report of a run of the benches, or the gate between two revisions; called by scripts/bench
#[derive(Parser)]
struct Arguments {
    /// Criterion's directory: writes benches.md, tables/benches.json and a chart below --out
    #[arg(long, value_name = "DIR", required_unless_present_any = ["rounds", "rounds_needed"])]
    criterion: Option<PathBuf>,
    /// Where the report goes
    #[arg(long, value_name = "DIR", default_value = "results")]
    out: PathBuf,
    /// Revision that was measured
    #[arg(long, default_value = "unknown")]
    revision: String,
    /// It was a short run
    #[arg(long)]
    quick: bool,
    /// Directory with ROUND/old and ROUND/new: exits with 4 where the newer is slower
    #[arg(long, value_name = "DIR", conflicts_with = "criterion", requires = "count")]
    rounds: Option<PathBuf>,
    /// How many rounds there are
    #[arg(long, value_name = "N")]
    count: Option<usize>,
    /// How much slower is allowed
    #[arg(long, value_name = "PERCENT", default_value = "5%")]
    allowed: Allowance,
    /// Prints how many rounds it takes to resolve a slow-down among N benches
    #[arg(long, value_name = "N")]
    rounds_needed: Option<usize>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(benches) = arguments.rounds_needed {
        writeln!(stdout(), "{}", rounds_needed(benches))?;
        return Ok(ExitCode::SUCCESS);
    }
    if let (Some(directory), Some(count)) = (&arguments.rounds, arguments.count) {
        anyhow::ensure!(count >= ROUNDS_MIN, "{count} rounds tell nothing: it takes {ROUNDS_MIN} of each revision");
        let rounds = Rounds::read(directory, count, arguments.allowed)?;
        let document = Document { blocks: rounds.told() };
        writeln!(stdout(), "{}", markdown::of(&document, "charts"))?;
        return Ok(ExitCode::from(rounds.exit_code()));
    }
    let Some(criterion) = &arguments.criterion else { anyhow::bail!("name Criterion's directory: --criterion DIR") };
    let Arguments { out, revision, quick, .. } = &arguments;
    let run = Run::read(criterion)?;
    let kept = Kept { revision: revision.clone(), machine: Machine::this(), quick: *quick, run };
    let chart = store::rates(&kept);
    if !chart.series.is_empty() {
        chart.draw(&out.join("charts"), store::CHART)?;
    }
    let text = markdown::of(&report::of(&kept), "charts");
    atomic_file::write(&out.join("benches.md"), text.as_bytes())?;
    let json = serde_json::to_string(&kept)?.replace("{\"group\"", "\n{\"group\"");
    atomic_file::write(&out.join("tables/benches.json"), (json + "\n").as_bytes())?;
    writeln!(stdout(), "{text}\nWritten: {}", out.join("benches.md").display())?;
    Ok(ExitCode::SUCCESS)
}

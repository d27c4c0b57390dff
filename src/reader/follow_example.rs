//! Follows one tag and prints what happens to it: `cargo run --example follow -- redis://127.0.0.1:6379 shasta 0 load`.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context;
use shasta_reader::{Event, Options, Reader, Tag};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Err(error) = follow(&mut io::stdout().lock()).await else { return ExitCode::SUCCESS };
    // `follow … | head` has seen enough.
    if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

async fn follow(out: &mut impl Write) -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|argument| argument.into_string())
        .collect::<Result<_, _>>()
        .map_err(|argument| anyhow::anyhow!("{}: not UTF-8, so no part of a tag", argument.display()))?;
    let [url, app_id, tag, scope] = &arguments[..] else {
        anyhow::bail!(
            "usage: follow REDIS_URL APP_ID TAG SCOPE; the tags of a run are `shasta 0 load`, `shasta 1 load` …"
        );
    };
    let reader = Reader::connect(url, Options::default()).await?;
    let tag = Tag::new(app_id, tag, scope)?;
    let mut events = reader.follow(&tag).await.with_context(|| format!("tag {tag}"))?;
    while let Some(event) = events.next().await {
        match event {
            Event::Snapshot(snapshot) => {
                writeln!(out, "snapshot {}: {} values", snapshot.version, snapshot.values.len())?;
                for (name, data) in &snapshot.values {
                    writeln!(out, "    {name} = {} bytes", data.len())?;
                }
            }
            Event::Delta(delta) => writeln!(out, "delta {}: {} = {} bytes", delta.id, delta.name, delta.data.len())?,
            Event::Gap(gap) => writeln!(out, "{gap}")?,
        }
    }
    Ok(())
}

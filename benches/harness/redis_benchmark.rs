//! redis-benchmark, the tool that comes with Redis: what its server can do when the client does next to nothing.

use std::{net::SocketAddr, process::Command, time::Duration};

/// Fewest commands a call, so that starting the tool does not count.
const COMMANDS_MIN: u64 = 20_000;
/// With its one connection it now and then finds none left at its end, and gives up ("All clients disconnected").
const TRIES_MORE: u32 = 3;

/// How long `commands` of the same command take, with so many sent at once on one connection. `__rand_int__` in an
/// argument is replaced by a number below 1,000, another one each time.
pub fn time(redis: SocketAddr, pipelined: u64, commands: u64, arguments: &[Vec<u8>], test: bool) -> Duration {
    let count = if test { 1_000 } else { commands.max(COMMANDS_MIN) };
    let mut tool = Command::new("redis-benchmark");
    tool.args(["-h", &redis.ip().to_string(), "-p", &redis.port().to_string(), "-c", "1", "-r", "1000", "--csv"]);
    tool.args(["-P", &pipelined.to_string(), "-n", &count.to_string()]);
    tool.args(arguments.iter().map(|argument| String::from_utf8_lossy(argument).into_owned()));
    let mut run =
        || tool.output().unwrap_or_else(|error| panic!("redis-benchmark: {error}; scripts/setup installs it"));
    let mut output = run();
    for _ in 0..TRIES_MORE {
        if output.status.success() {
            break;
        }
        output = run();
    }
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && !told.contains("ERR"), "redis-benchmark: {told}{errors}");
    // "command","rps","avg_latency_ms","min…","p50…","p95…","p99…","max…"; the command may hold anything.
    let line = told.lines().last().unwrap_or_default();
    let rate = line.rsplit("\",\"").nth(6).and_then(|rate| rate.parse::<f64>().ok());
    let rate = rate.unwrap_or_else(|| panic!("redis-benchmark says something else than expected: {told}{errors}"));
    Duration::from_secs_f64(commands as f64 / rate)
}

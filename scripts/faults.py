"""One short run for each kind of fault, and a table of them in Markdown. Needs nothing but Python itself."""

import json
import os
import subprocess
import sys
import tempfile

EXPERIMENT, NAMES = sys.argv[1], sys.argv[2:]
TABLE = "results/faults.md"
# 500 events/s: 50 connections x 10/s, for 40 s after 10 s of warm-up.
LOAD = "--connections 50 --rate 10 --duration 40s --warm 10s".split()
# Name, fault, variant and further arguments.
KINDS = [
    ("kill-broker", "kill broker 2 at 10s for 10s", "laptop", []),
    ("kill-controller", "kill controller at 10s for 10s", "laptop", []),
    ("pause-broker-300ms", "pause broker 2 at 10s for 300ms", "laptop", []),
    ("pause-broker-2s", "pause broker 2 at 10s for 2s", "laptop", []),
    ("pause-broker-20s", "pause broker 2 at 10s for 20s", "laptop", []),
    ("restart-broker", "restart broker 2 at 10s", "laptop", []),
    ("rolling-restart", "rolling restart at 5s", "laptop", ["--duration", "80s"]),
    ("kill-worker", "kill worker 1 at 10s for 10s", "laptop", []),
    ("kill-worker-short-session", "kill worker 1 at 10s for 10s", "takeover", []),
    ("kill-worker-static", "kill worker 1 at 10s for 10ms", "laptop", ["--static-membership"]),
    ("kill-worker-kip-848", "kill worker 1 at 10s for 10s", "takeover", ["--group-protocol", "consumer"]),
    ("pause-worker-300ms", "pause worker 1 at 10s for 300ms", "laptop", []),
    ("pause-worker-20s", "pause worker 1 at 10s for 20s", "laptop", []),
    ("restart-worker", "restart worker 1 at 10s", "laptop", []),
    ("kill-redis", "kill redis at 10s for 5s", "laptop", []),
    ("pause-redis-300ms", "pause redis at 10s for 300ms", "laptop", []),
    ("pause-redis-2s", "pause redis at 10s for 2s", "laptop", []),
    ("pause-redis-20s", "pause redis at 10s for 20s", "laptop", []),
    ("restart-redis", "restart redis at 10s", "laptop", []),
    ("failover-replica", "failover redis at 10s", "laptop", ["--redis-mode", "replica"]),
    ("failover-cluster", "failover redis at 10s", "laptop", ["--redis-mode", "cluster"]),
    ("flush-scripts", "flush scripts at 10s", "laptop", []),
    ("fill-redis", "fill redis at 10s for 5s", "laptop", []),
    ("step-clock", "step clock of worker 1 by 5s at 10s for 10s", "laptop", []),
    ("step-clock-back", "step clock of worker 1 by -5s at 10s for 10s", "laptop", []),
    ("cut-producers", "cut producers - broker 2 at 10s for 5s", "laptop", []),
    ("cut-workers", "cut workers - broker 2 at 10s for 5s", "laptop", []),
    ("cut-redis", "cut workers - redis at 10s for 5s", "laptop", []),
    ("cut-brokers", "cut broker 2 - brokers at 10s for 5s", "laptop", []),
    ("delay-redis", "delay workers - redis by 5ms at 10s for 10s", "laptop", []),
    ("delay-brokers", "delay broker 2 - brokers by 5ms at 10s for 10s", "laptop", []),
    ("fill-disk", "fill disk at 10s", "laptop", []),
]
HEADER = (
    "| fault | p50 before | max before | during: n | p50 | max | ≥ 100 ms | after: max | ≥ 100 ms "
    "| normal after its start, s | after its end, s | lost | twice | ledger |"
)


def experiment(arguments):
    """Runs one; its messages go to the terminal."""
    return subprocess.run([EXPERIMENT, *arguments], stdout=subprocess.DEVNULL, check=False).returncode


def verifies():
    """Whether this `experiment` can prove from Kafka and Redis what its rows say."""
    return "--verify" in subprocess.run([EXPERIMENT, "--help"], capture_output=True, text=True, check=True).stdout


def ms(value):
    """A latency as the manifest has it."""
    return "–" if value is None else value if isinstance(value, str) else f"{value:,.1f}"


def seconds(value):
    """A length that the manifest has in ms."""
    return "not" if value is None else f"{value / 1000:.2f}"


def line(name, fault, manifest):
    """The line of one run."""
    ledger = manifest["ledger"]
    record = manifest["faults"][0]
    what = f"`{fault}`" if record["done"] else f"`{fault}` ({record['error']})"
    figures = record["figures"]
    before, during, after = figures["before"], figures["during"], figures["after"]
    lost = ledger["lost"] + ledger["maybe_unseen"] + ledger["unstored"]
    books = "balances" if ledger["valid"] else "INVALID: " + "; ".join(ledger["problems"])
    checked = manifest.get("verification")
    if checked is not None:
        books += ", check passed" if checked["passed"] else ", check FAILED"
    cells = [
        f"{name}: {what}", ms(before["p50_ms"]), ms(before["max_ms"]), f"{during['n']:,}", ms(during["p50_ms"]),
        ms(during["max_ms"]), f"{during['over_slo']:,}", ms(after["max_ms"]), f"{after['over_slo']:,}",
        seconds(figures["disturbed_ms"]), seconds(figures["recovered_ms"]), f"{lost:,}", f"{ledger['duplicates']:,}", books,
    ]
    return "| " + " | ".join(cells) + " |"


def introduction(manifests):
    """What stands above the table."""
    host = manifests[0]["host"]
    found = dict.fromkeys((manifest["versions"].get("git_revision") or "?")[:12] for manifest in manifests)
    revisions = ("revision " if len(found) == 1 else "revisions ") + ", ".join(f"`{revision}`" for revision in found)
    return (
        "# What each fault did\n\n"
        "One run a line, made by `scripts/faults`: 500 events/s from 50 connections, two workers, three brokers and a Redis "
        f"together on {host['cores']} cores ({host['cpu']}); {revisions}. "
        "Latencies are scheduled → stored, in ms. An event that was on its way at any moment of the fault belongs to "
        "*during*. *Normal* is the moment from which for 5 s no event was late on its way, past 100 ms or the p99.9 of "
        "before. *Twice* were delivered twice, and stored once. Descriptive: one run each says nothing of how repeatable "
        "it is.\n\n"
    )


def main():
    """Runs what was asked for, and prints or writes the table."""
    unknown = set(NAMES) - {name for name, *_ in KINDS}
    if unknown:
        sys.exit(f"there is no {', '.join(sorted(unknown))}; there are: {', '.join(name for name, *_ in KINDS)}")
    verify = ["--verify"] if verifies() else []
    with tempfile.TemporaryDirectory() as scratch:
        out = os.environ.get("SHASTA_FAULTS_OUT", scratch)
        lines, manifests = [], []
        for name, fault, variant, more in KINDS:
            if NAMES and name not in NAMES:
                continue
            print(f"-- {name}: {fault}", file=sys.stderr)
            path = os.path.join(out, f"{name}.json")
            # clap refuses a flag that is given twice.
            load = LOAD if "--duration" not in more else LOAD[:4] + LOAD[6:]
            arguments = ["--variant", variant, *load, *more, "--fault", fault, "--out", out, "--run", name, *verify]
            code = 0 if os.path.exists(path) else experiment(arguments)
            if not os.path.exists(path):
                lines.append(f"| {name}: `{fault}` | no result: exit code {code} |" + " |" * 12)
                continue
            with open(path, encoding="utf-8") as file:
                manifest = json.load(file)
            manifests.append(manifest)
            lines.append(line(name, fault, manifest))
    text = introduction(manifests) if manifests else ""
    table = text + "\n".join([HEADER, "|---|" + "---:|" * 12 + "---|", *lines]) + "\n"
    if NAMES:
        print(table)
        return
    with open(TABLE, "w", encoding="utf-8") as file:
        file.write(table)
    print(f"wrote {TABLE}")


main()

"""A table in Markdown of soak runs: which faults each seed made, and what the check found. Needs nothing but Python itself."""

import json
import os
import sys

OUT, FIRST, SEEDS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def cells(seed):
    """The cells of one seed's line, its counts, and the revision that ran."""
    path = os.path.join(OUT, f"soak-{seed}.json")
    if not os.path.exists(path):
        return [str(seed), "no result"] + [""] * 6, None, None
    with open(path, encoding="utf-8") as file:
        manifest = json.load(file)
    ledger, check = manifest["ledger"], manifest["verification"]
    faults = [fault["what"] + ("" if fault["done"] else " (not done)") for fault in manifest["faults"]]
    missing = ledger["lost"] + ledger["maybe_unseen"] + ledger["unstored"]
    counts = [ledger["planned"], missing, ledger["duplicates"], check["checked"]["entries"], check["damage_count"]]
    passed = "passed" if check["passed"] and ledger["valid"] else "FAILED"
    revision = (manifest["versions"].get("git_revision") or "?")[:12]
    return [str(seed), "; ".join(faults), *(f"{count:,}" for count in counts), passed], [len(faults), *counts], revision


def main():
    """Prints the table."""
    lines = [cells(seed) for seed in range(FIRST, FIRST + SEEDS)]
    sums = [sum(column) for column in zip(*(counts for _, counts, _ in lines if counts))] or [0] * 6
    passed = sum(line[-1] == "passed" for line, *_ in lines)
    revisions = ", ".join(dict.fromkeys(f"`{revision}`" for *_, revision in lines if revision))
    print(
        "# Random sequences of faults\n\n"
        f"Made by `scripts/soak {SEEDS}{'' if FIRST == 1 else f' {FIRST}'}`: a run of 40 s at 500 events/s for each seed, which also gives its faults; revision {revisions}. "
        "*Missing* were acked and not stored before the drain ended; *twice* were delivered twice, and stored once. The check "
        "compares the rows with what Kafka holds, and that with every stream entry, its place in its tag's chain, and the "
        "snapshots in Redis.\n\n"
        f"{passed} of {SEEDS} passed: {sums[0]} faults, {sums[1]:,} events planned, {sums[2]:,} missing, {sums[4]:,} stream "
        f"entries compared, {sums[5]:,} damages.\n\n"
        "| seed | faults | planned | missing | twice | stream entries compared | damages | check |\n"
        "|---:|---|---:|---:|---:|---:|---:|---|"
    )
    for line, *_ in lines:
        print("| " + " | ".join(line) + " |")


main()

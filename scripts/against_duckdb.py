"""Times `analyze` against DuckDB on the same rows, interleaved, and holds its D2-D5 against NumPy's."""

import json
import os
import statistics
import subprocess
import sys
import threading
import time

import duckdb
import numpy as np

ANALYZE, SCRATCH, ROWS, ROUNDS = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
THREADS = os.cpu_count()
REPORT_ROWS = 1_200_000
COLUMNS = (
    "source destination producer tag partition offset sequence scheduled_us before_publish_us after_publish_us "
    "append_ms after_consume_us after_store_us after_read_us"
).split()
TYPES = {name: "VARCHAR" if name in ("source", "destination") else "BIGINT" for name in COLUMNS}
# Hosts and workers, each of which gets rows of every host: 24 pairs, and the published shape, 1,024.
SHAPES = [(8, 3), (128, 8)]
# 1,024 producers, 24 partitions; latencies long-tailed, some of them negative.
ROWS_SQL = """
    SELECT 'p' || (p % HOSTS) AS source, 'w' || (p // HOSTS % WORKERS) AS destination, p AS producer, p AS tag,
        p % 24 AS "partition", k // 24 AS "offset", k // 1024 AS sequence, s AS scheduled_us, s + 40 AS before_publish_us,
        s + 40 + l // 2 AS after_publish_us, (s + l // 3) // 1000 AS append_ms, s + 40 + l - 30 AS after_consume_us,
        s + 40 + l + 500 AS after_store_us, NULL::BIGINT AS after_read_us
    FROM (SELECT k, k % 1024 AS p, 1795591769000000 + k * 100 + hash(k) % 1000 AS s,
              (exp((hash(k + 7) % 1000000) / 90000.0) / 10 + hash(k + 3) % 3000)::BIGINT AS l
          FROM range(ROWS) r(k))
"""


def files(rows, shape):
    """The same rows as CSV and Parquet, made once."""
    hosts, workers = shape
    csv, parquet = (f"{SCRATCH}/rows-{rows}-{hosts * workers}.{ending}" for ending in ("csv", "parquet"))
    if not os.path.exists(parquet):
        made = ROWS_SQL.replace("ROWS", str(rows)).replace("HOSTS", str(hosts)).replace("WORKERS", str(workers))
        duckdb.sql(f"COPY ({made}) TO '{csv}' (HEADER, DELIMITER ',')")
        types = json.dumps(TYPES).replace('"', "'")
        duckdb.sql(f"COPY (FROM read_csv('{csv}', columns={types}, header=true)) TO '{parquet}' "
                   "(COMPRESSION zstd, ROW_GROUP_SIZE 1048576)")
    return {"CSV": csv, "Parquet": parquet}


def duckdb_quantiles(path):
    """Five quantiles of before_publish -> after_consume per pair, with the columns' types given."""
    types = json.dumps(TYPES).replace('"', "'")
    rows = f"read_csv('{path}', columns={types}, header=true)" if path.endswith(".csv") else f"'{path}'"
    program = f"""
import duckdb, sys
duckdb.sql("SET threads = {THREADS}")
duckdb.sql(\"\"\"SELECT source, destination, quantile_cont((after_consume_us - before_publish_us) / 1000.0,
    [0.5, 0.99, 0.999, 0.9999, 0.99999]) FROM {rows} GROUP BY ALL\"\"\").fetchall()
"""
    return [sys.executable, "-c", program]


def analyze(path, *more):
    return [ANALYZE, path, "--only", "d2-d5", *more]


def timed(command):
    """Seconds of wall clock and peak anonymous memory in MB."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    peak = 0

    def watch():
        nonlocal peak
        while process.poll() is None:
            try:
                status = open(f"/proc/{process.pid}/status").read()
            except OSError:
                break
            for line in status.splitlines():
                if line.startswith("RssAnon"):
                    peak = max(peak, int(line.split()[1]))
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    output, errors = process.communicate()
    seconds = time.monotonic() - start
    watcher.join()
    if process.returncode:
        sys.exit(f"{command[0]} failed: {errors.decode()}")
    return seconds, peak / 1024, output


def numpy_d_tables(parquet):
    """D2-D5 over pairs, as the published tables were computed."""
    rows = duckdb.sql(f"SELECT source, destination, after_consume_us - before_publish_us AS us FROM '{parquet}'").fetchnumpy()
    pair = np.char.add(np.asarray(rows["source"], dtype=str), np.asarray(rows["destination"], dtype=str))
    ms = np.asarray(rows["us"]) / 1000
    order = np.argsort(pair, kind="stable")
    bounds = np.flatnonzero(np.r_[True, pair[order][1:] != pair[order][:-1], True])
    table = {}
    for name, q in (("D2", 99), ("D3", 99.9), ("D4", 99.99), ("D5", 99.999)):
        d = [np.percentile(ms[order[a:b]], q) - np.median(ms[order[a:b]]) for a, b in zip(bounds, bounds[1:])]
        table[name] = [float(np.round(f(d), 2)) for f in (np.median, np.mean, np.std, np.max, np.min)]
    return table


def analyze_d_tables(path):
    output = timed(analyze(path, "--format", "csv"))[2].decode()
    table = {}
    for line in output.splitlines():
        section, name, row, column, text, number = line.rsplit(",", 5)
        if name == "d2-d5" and column in ("Median", "Mean", "StdDev", "Max", "Min"):
            table.setdefault(row, []).append(float(text.strip('"').rstrip("†")))
    return table


def compare(paths, pairs):
    """Prints how long both take over the same files, one after the other, and what `analyze` takes of memory."""
    for kind, path in paths.items():
        ours, theirs, memory = [], [], []
        for _ in range(ROUNDS):
            seconds, peak, _ = timed(analyze(path))
            ours.append(seconds)
            memory.append(peak)
            theirs.append(timed(duckdb_quantiles(path))[0])
        ratios = sorted(a / b for a, b in zip(ours, theirs))
        print(f"{kind}, {ROWS:,} rows ({os.path.getsize(path) / 1e9:.2f} GB), {pairs:,} pairs, {THREADS} threads, n = {ROUNDS}: "
              f"analyze / DuckDB {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}); "
              f"medians {statistics.median(ours):.2f} s and {statistics.median(theirs):.2f} s; "
              f"analyze's peak anonymous memory {max(memory):.0f} MB")


def main():
    for shape in SHAPES:
        paths, pairs = files(ROWS, shape), shape[0] * shape[1]
        if ROWS <= 10_000_000:
            expected = numpy_d_tables(paths["Parquet"])
            for kind, path in paths.items():
                assert analyze_d_tables(path) == expected, (kind, analyze_d_tables(path), expected)
            print(f"D2-D5 of {ROWS:,} rows of {pairs:,} pairs equal NumPy's to the last digit, from CSV and from Parquet.")
        compare(paths, pairs)
        if shape != SHAPES[-1] and ROWS > 10_000_000:
            # Both shapes would not fit where one does.
            for path in paths.values():
                os.remove(path)
    for kind, path in paths.items():
        seconds, peak, _ = timed([ANALYZE, path, "--out", f"{SCRATCH}/out"])
        print(f"Whole report with charts of {ROWS:,} rows of {kind}: {seconds:.1f} s, peak anonymous memory {peak:.0f} MB")
    report = [ANALYZE, files(REPORT_ROWS, SHAPES[0])["CSV"], "--out", f"{SCRATCH}/out"]
    seconds = sorted(timed(report)[0] for _ in range(ROUNDS))
    print(f"Whole report with charts of {REPORT_ROWS:,} rows of CSV, n = {ROUNDS}: {statistics.median(seconds):.2f} s "
          f"({seconds[0]:.2f} to {seconds[-1]:.2f})")


main()

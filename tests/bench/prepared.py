#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""What looking after prepared statements costs: CPU time of the router and of PostgreSQL
per transaction, by pgbench -M extended and -M prepared, with max_prepared_statements 200
and 0 (messages are passed on as they are; named statements do not work then).

Rounds are interleaved; figures are medians, ratios medians of the ratios to the first line
of a load within a round.  session_state is off: what it costs is in suite.py.

  tests/bench/prepared.py --router build/pgtandem [--rounds 5] [--seconds 3] [--write FILE]
  tests/bench/prepared.py --router build/pgtandem --short       # that it runs, for CI
"""
import argparse
import os
import pathlib
import statistics
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from compare import POOL, ROOT, Pooler, free_port, pgbench  # noqa: E402
from support.postgres import Postgres  # noqa: E402

LOADS = [
    ("SELECT 1", "SELECT 1;"),
    ("SELECT with 3 parameters",
     "\\set a random(1, 1000)\n\\set b random(1, 1000)\n\\set c random(1, 1000)\n"
     "SELECT :a + g, :b::text FROM generate_series(1, 3) g WHERE g < :c;"),
]
# max_prepared_statements, pgbench -M; the first is what the others are compared with.
WAYS = [(0, "extended"), (200, "extended"), (200, "prepared")]


def router(args, most, postgres, directory):
    port = free_port()
    path = directory / f"{most}.yaml"
    path.write_text(f"""
process: {{ workers: 1, io_backend: {args.engine}, max_client_conn: 2000 }}
hosts: {{ main: {{ host: 127.0.0.1, port: {postgres.port}, connection_budget: {POOL} }} }}
workloads: {{ bench: {{ listen: "127.0.0.1:{port}", pool_mode: transaction,
  session_state: "off", max_prepared_statements: {most} }} }}
auth: {{ auth_type: trust }}
log: {{ log_connections: false, log_disconnections: false }}
""", encoding="utf-8")
    return Pooler(f"router{most}", [args.router, "--config", str(path)], port, directory)


def table(rounds):
    lines = ["| load | clients | max_prepared_statements | pgbench -M | tx/s | CPU us/tx "
             "| ratio (least to most) | PostgreSQL's us/tx |", "|---|---|---|---|---|---|---|---|"]
    for key in rounds[0]:
        load, clients, most, mode = key
        mine = [r[key] for r in rounds]
        ratios = [r[key]["cpu"] / r[(load, clients, *WAYS[0])]["cpu"] for r in rounds]
        lines.append(
            f"| {load} | {clients} | {most} | {mode} "
            f"| {statistics.median(m['tps'] for m in mine):.0f} "
            f"| {statistics.median(m['cpu'] for m in mine):.1f} "
            f"| {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) "
            f"| {statistics.median(m['server'] for m in mine):.1f} |")
    return "\n".join(lines)


def measure(args, poolers, postgres, directory):
    rounds = []
    for number in range(args.rounds):
        results = {}
        for load, text in args.loads:
            for clients in args.clients:
                ways = WAYS if number % 2 == 0 else WAYS[::-1]
                for most, mode in ways:
                    results[load, clients, most, mode] = pgbench(
                        poolers[most], postgres, (load, mode, text, clients), args.seconds,
                        directory)
        rounds.append({key: results[key] for key in sorted(
            results, key=lambda k: (k[0], k[1], WAYS.index(k[2:])))})
        print(f"round {number + 1}\n{table(rounds[-1:])}", flush=True)
    return rounds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--router", default=str(ROOT / "build" / "pgtandem"))
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--write", help="a file for the table")
    parser.add_argument("--short", action="store_true")
    args = parser.parse_args()
    args.loads, args.clients = LOADS, (40, 200)
    if args.short:
        args.rounds, args.seconds, args.loads, args.clients = 1, 1, LOADS[:1], (40,)
    postgres = Postgres()
    poolers = {}
    with tempfile.TemporaryDirectory(prefix="pgtandem-bench-") as name:
        directory = pathlib.Path(name)
        os.chmod(directory, 0o755)
        try:
            postgres.create()
            for most in sorted({most for most, _ in WAYS}):
                poolers[most] = router(args, most, postgres, directory)
                poolers[most].wait()
            text = table(measure(args, poolers, postgres, directory))
        finally:
            for pooler in poolers.values():
                pooler.stop()
            postgres.destroy()
    print(f"\n{text}")
    if args.write:
        pathlib.Path(args.write).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

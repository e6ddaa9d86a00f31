#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Measures how soon a workload gets back what another one has borrowed.

The transaction port is saturated and uses all 35 servers, 10 of them borrowed.  Ten
session clients log in, and then all ask at once.  Each must have its server within the
longest transaction that was running in that moment, plus a few milliseconds: that
excess is what is measured.  How long a transaction ran is PostgreSQL's own beginning of
it (statement_timestamp()) and the receipt of its answer.

  tests/bench/reclaim.py --router build/pgtandem [--rounds 40] [--write]
  tests/bench/reclaim.py --router build/pgtandem --short
"""
import os
import statistics

import measure
from support.postgres import DATABASE

USER = "app_trust"
BUDGET, CLAIM = 35, 10
STAMP = "extract(epoch FROM statement_timestamp())"


def sleeping(seconds):
    return f"SELECT {STAMP}, pg_sleep({seconds})"


# What the transaction port does: texts by lot.
LOADS = [
    ("2 to 5 ms", [sleeping(0.002), sleeping(0.003), sleeping(0.004), sleeping(0.005)]),
    ("select 1, one in four 5 ms", [f"SELECT {STAMP}"] * 3 + [sleeping(0.005)]),
    ("2 to 5 ms, one in twenty 50 ms", [sleeping(0.002), sleeping(0.003), sleeping(0.004),
                                        sleeping(0.005)] * 5 + [sleeping(0.05)]),
]
# Whose the ten are: servers are handed over, or closed and opened again.
CLAIMS = [("same database and user", DATABASE), ("another database", "second")]
CONFIG = """
hosts: { main: { host: 127.0.0.1, port: {pg}, connection_budget: 35 } }
workloads:
  transactional:
    listen: "127.0.0.1:{a}"
    pool_mode: transaction
    guaranteed_connections: 25
    max_connections: 35
  session:
    listen: "127.0.0.1:{b}"
    pool_mode: session
    guaranteed_connections: 10
    max_connections: 10
"""


class Round:
    """One arrival: its waits, and the transactions that ran then."""

    def __init__(self, arrivals, transactions):
        self.at = min(s.sent for s in arrivals)
        self.waits = [s.received - s.sent for s in arrivals]
        running = [s for s in transactions if s.stamp <= self.at < s.received]
        self.running = len(running)
        # Those that began before the last of the ten was served may be what it waited
        # for, but for no longer than the longest.
        self.longest = max((s.received - s.stamp for s in running), default=0)
        self.left = max((s.received - self.at for s in running), default=0)

    @property
    def excess(self):
        return max(self.waits) - self.longest


def rounds(samples):
    """Arrivals come in groups of ten, in the order of their sending."""
    arrivals = sorted((s for s in samples if s.group == 1), key=lambda s: s.sent)
    transactions = [s for s in samples if s.group == 0]
    found = [Round(arrivals[i:i + CLAIM], transactions)
             for i in range(0, len(arrivals), CLAIM)]
    assert all(len(r.waits) == CLAIM for r in found)
    return found


def run(args, pooler, texts, dbname):
    return rounds(measure.load(
        args, "--arrivals", args.rounds, args.interval,
        pooler.a, USER, DATABASE, args.clients, *texts, "--",
        pooler.b, USER, dbname, CLAIM, f"SELECT {STAMP}"))


def straight(args, pooler, texts, postgres):
    """What a login takes that does not wait for anybody: ten at once to PostgreSQL, while
    the transaction port is busy on the 25 servers that it would have left."""
    found = measure.load(
        args, "--arrivals", args.rounds, args.interval,
        pooler.a, USER, DATABASE, args.clients, *texts, "--",
        postgres.port, USER, "second", CLAIM, f"SELECT {STAMP}", logins=True)
    found = sorted((s for s in found if s.group == 1), key=lambda s: s.sent)
    return [found[i:i + CLAIM] for i in range(0, len(found), CLAIM)]


def straight_row(name, found):
    each = [s.received - s.sent for r in found for s in r]
    last = [max(s.received for s in r) - min(s.sent for s in r) for r in found]
    return f"| {name} | {ms(statistics.median(each))} / {ms(max(each))} " \
        f"| {ms(statistics.median(last))} / {ms(max(last))} |"


def ms(value):
    return f"{value / 1e3:.1f}"


def row(name, whose, pooler, found):
    waits = [wait for r in found for wait in r.waits]
    excess = [r.excess for r in found]
    within = sum(wait <= r.longest + 5000 for r in found for wait in r.waits) / len(waits)
    return f"| {name} | {whose} | {pooler} | {statistics.median(r.running for r in found):.0f} " \
        f"| {ms(statistics.median(r.longest for r in found))} / {ms(max(r.longest for r in found))} " \
        f"| {ms(statistics.median(waits))} / {ms(max(waits))} " \
        f"| {ms(statistics.median(excess))} / {ms(max(excess))} | {within * 100:.1f} % |"


def report(args, rows, straight_rows):
    return f"""
## Reclaim

`tests/bench/reclaim.py`, {measure.machine(args)}; {args.rounds} rounds each, two workers.
{args.clients} clients keep the transaction port busy on all {BUDGET} servers; {CLAIM} session clients, logged in
already, ask at once. Running: transactions under way in PostgreSQL at that moment.
Longest: of these, from PostgreSQL's begin to the receipt of the answer. Excess: the
slowest of the ten less the longest (below zero: nobody had to wait that long); the goal is
a few milliseconds. Times in ms, median / most over rounds. Load average of the machine before:
{args.load:.1f}.

| transactions | the ten | engine | running | longest transaction | wait of each | excess | within the longest + 5 ms |
|---|---|---|---|---|---|---|---|
{chr(10).join(rows)}

Another database means that PostgreSQL ends ten sessions and begins ten. What the latter alone
takes here, without a router: ten clients that log in at once, beside the same load on {BUDGET - CLAIM}
servers.

| transactions | login, each | the slowest of ten |
|---|---|---|
{chr(10).join(straight_rows)}
"""


def main():
    parser = measure.arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--interval", type=int, default=250, help="between rounds, ms")
    parser.add_argument("--clients", type=int, default=100)
    args = parser.parse_args()
    loads, args.load = LOADS, os.getloadavg()[0]
    if args.short:
        args.rounds, loads = 3, LOADS[:1]
    rows, straight_rows = [], []
    with measure.Cluster() as (postgres, directory):
        for engine in args.engines.split(","):
            pooler = measure.router(args, engine, postgres, directory, CONFIG, workers=2)
            try:
                pooler.wait()
                for name, texts in loads:
                    for whose, dbname in CLAIMS:
                        found = run(args, pooler, texts, dbname)
                        rows.append(row(name, whose, engine, found))
                        print(rows[-1], flush=True)
            finally:
                pooler.stop()
        pooler = measure.router(args, args.engines.split(",")[0], postgres, directory,
                                CONFIG.replace("max_connections: 35", "max_connections: 25"),
                                workers=2)
        try:
            pooler.wait()
            for name, texts in loads:
                straight_rows.append(straight_row(name, straight(args, pooler, texts, postgres)))
                print(straight_rows[-1], flush=True)
        finally:
            pooler.stop()
    text = report(args, rows, straight_rows)
    print(text)
    if args.write:
        measure.write("reclaim", text)


if __name__ == "__main__":
    main()

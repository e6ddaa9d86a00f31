#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Measures how evenly clients wait: 1000 of them over 25 servers, and one beside 500.

Closed loop: a client sends its next query when the last one is answered, so all but 25
wait for a server, and the time until the answer is the waiting time and one query.  If
turns were exactly fair everybody would wait as long as everybody else: p99 over p50
tells how far from that it is.

  tests/bench/fairness.py --router build/pgtandem [--rounds 5] [--seconds 4] [--write]
  tests/bench/fairness.py --router build/pgtandem --short
"""
import collections
import math
import os
import shutil
import statistics

import compare
import measure
from support.postgres import DATABASE

USER, LONE = "app_trust", "app_lone"
SERVERS = 25
TEXTS = [("SELECT 1", ["SELECT 1"]), ("1 ms", ["SELECT pg_sleep(0.001)"])]
CONFIG = """
hosts: { main: { host: 127.0.0.1, port: {pg}, connection_budget: 25 } }
workloads: { bench: { listen: "127.0.0.1:{a}", pool_mode: transaction } }
"""


def pgbouncer(postgres, directory):
    """The same limits: 25 servers in all, whoever uses them."""
    started = compare.pgbouncer(postgres, directory, (USER, LONE), SERVERS,
                                f"max_db_connections = {SERVERS}\nmax_client_conn = 3000")
    started.a = started.port
    return started


def waits(samples, group=0):
    return sorted(s.received - s.sent for s in samples if s.group == group)


def places_lost(samples):
    """How far each was behind its place in the queue when it was answered: those who had
    asked later and were answered earlier, less those the other way around.  Unlike times
    it does not depend on how fast things went meanwhile."""
    place = {id(s): i for i, s in enumerate(sorted(samples, key=lambda s: s.sent))}
    return sorted(i - place[id(s)] for i, s in enumerate(sorted(samples, key=lambda s: s.received)))


def crowd(args, pooler, texts):
    """1000 clients of one pool."""
    samples = measure.load(args, args.seconds, args.warmup, pooler.a, USER, DATABASE,
                           args.clients, *texts)
    times = waits(samples)
    turns = collections.Counter(s.client for s in samples)
    return {"tps": len(times) / args.seconds,
            "p50": measure.percentile(times, 0.5), "p99": measure.percentile(times, 0.99),
            "p999": measure.percentile(times, 0.999), "max": times[-1],
            "ratio": measure.percentile(times, 0.99) / measure.percentile(times, 0.5),
            "lost": measure.percentile(places_lost(samples), 0.99),
            # Who got the fewest turns, beside who got the most.
            "turns": min(turns.get(i, 0) for i in range(args.clients)) / max(turns.values()),
            "lag": measure.percentile(sorted(s.read - s.received for s in samples), 0.99)}


def lonely(args, pooler, texts):
    """A pool with one client beside a pool with 500."""
    samples = measure.load(args, args.seconds, args.warmup, pooler.a, USER, DATABASE,
                           args.clients // 2, *texts, "--", pooler.a, LONE, DATABASE, 1, *texts)
    busy, lone = waits(samples), waits(samples, 1)
    return {"tps": len(busy) / args.seconds, "answers": len(lone),
            "busy50": measure.percentile(busy, 0.5), "busy99": measure.percentile(busy, 0.99),
            "lone50": measure.percentile(lone, 0.5) if lone else float("inf"),
            "lone99": measure.percentile(lone, 0.99) if lone else float("inf"),
            "lonemax": lone[-1] if lone else float("inf")}


def rounds_of(args, poolers, what):
    """{(text, pooler): [result of each round]}; the order turns around each time."""
    found = collections.defaultdict(list)
    for number in range(args.rounds):
        for name, texts in TEXTS:
            for pooler in poolers if number % 2 == 0 else poolers[::-1]:
                result = what(args, pooler, texts)
                found[name, pooler.name].append(result)
                print(f"round {number + 1}: {what.__name__}, {name}, {pooler.name}: "
                      + ", ".join(f"{k} {v:.2f}" for k, v in result.items()), flush=True)
    return found


def middle(results, key):
    return statistics.median(r[key] for r in results)


def ms(results, key):
    value = middle(results, key)
    return "never" if math.isinf(value) else f"{value / 1e3:.2f}"


def ratio(values):
    return " |" if math.isinf(statistics.median(values)) else f"{statistics.median(values):.2f} |"


def crowd_table(found):
    lines = ["| query | pooler | answers/s | p50 ms | p99 ms | p99.9 ms | max ms | p99/p50 "
             "(least to most) | places lost, p99 | fewest turns/most |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    for (name, pooler), results in found.items():
        ratios = [r["ratio"] for r in results]
        lines.append(
            f"| {name} | {pooler} | {middle(results, 'tps'):.0f} | {ms(results, 'p50')} "
            f"| {ms(results, 'p99')} | {ms(results, 'p999')} | {ms(results, 'max')} "
            f"| {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) "
            f"| {middle(results, 'lost'):.0f} | {middle(results, 'turns'):.2f} |")
    return "\n".join(lines)


def lonely_table(args, found):
    lines = [f"| query | pooler | the {args.clients // 2}: p50 ms | p99 ms | the one: answers | p50 ms | p99 ms "
             "| max ms | its p50 / theirs |", "|---|---|---|---|---|---|---|---|---|"]
    for (name, pooler), results in found.items():
        lines.append(
            f"| {name} | {pooler} | {ms(results, 'busy50')} | {ms(results, 'busy99')} "
            f"| {middle(results, 'answers'):.0f} | {ms(results, 'lone50')} | {ms(results, 'lone99')} "
            f"| {ms(results, 'lonemax')} | " + ratio([r["lone50"] / r["busy50"] for r in results]))
    return "\n".join(lines)


def report(args, crowds, lonelies):
    lag = max(r["lag"] for results in crowds.values() for r in results)
    return f"""
## Fairness

`tests/bench/fairness.py`, {measure.machine(args, *args.others)}; {args.rounds} rounds of
{args.seconds} s, poolers interleaved, medians over rounds; {SERVERS} servers, closed loop, one worker unless said
otherwise. Time from sending a query to the kernel's receipt of its answer (the load
generator's own delay in reading, which is not in it, was at most {lag / 1e3:.1f} ms at its p99).
The goal is p99/p50 of at most 1.5. Places lost: by how many of the {args.clients} a client was overtaken,
less those it overtook: unlike the times it does not depend on how fast things went meanwhile.
Load average of the machine before: {args.load:.1f}. Where {SERVERS} sessions of PostgreSQL want more than
there are processors (SELECT 1), the kernel's scheduler decides who waits longest.

{args.clients} clients of one pool:

{crowd_table(crowds)}

One client beside {args.clients // 2} of another user, in one workload:

{lonely_table(args, lonelies)}
"""


def main():
    parser = measure.arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--clients", type=int, default=1000)
    args = parser.parse_args()
    args.warmup, args.load = 0.5, os.getloadavg()[0]
    if args.short:
        args.rounds, args.seconds, args.clients = 1, 1, 200
    args.others = ["pgbouncer"] if shutil.which("pgbouncer") else []
    poolers = []
    with measure.Cluster() as (postgres, directory):
        try:
            postgres.sql(f"CREATE ROLE {LONE} LOGIN")
            for engine in args.engines.split(","):
                poolers.append(measure.router(args, engine, postgres, directory, CONFIG))
            poolers.append(measure.router(args, args.engines.split(",")[0], postgres, directory,
                                          CONFIG, workers=2))
            if args.others:
                poolers.append(pgbouncer(postgres, directory))
            for pooler in poolers:
                pooler.wait()
            text = report(args, rounds_of(args, poolers, crowd), rounds_of(args, poolers, lonely))
        finally:
            for pooler in poolers:
                pooler.stop()
    print(text)
    if args.write:
        measure.write("fairness", text)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Measures what it costs the data path to be looked at.

Clients of the transaction port are at work, at about half of what they could do, and then
with all that they have.  Rounds take turns: nobody looks; /metrics is scraped every 10 ms;
that, and a client of the console asks for one view after the other without a pause.  At full
load who looks takes processor time from all others: told is what part of the answers is
missing, and what part of all processor time the lookers and the thread of HTTP had.

  tests/bench/scrape.py --router build/pgtandem [--rounds 5] [--seconds 4] [--write]
  tests/bench/scrape.py --router build/pgtandem --short
"""
import contextlib
import http.client
import os
import pathlib
import statistics
import threading
import time

import measure
import psycopg
from support.net import free_port
from support.postgres import DATABASE

USER = "app_trust"
CLIENTS = 4
EVERY_S = 0.01
# Most of the time of a client is PostgreSQL's sleep, so that there is room beside it.
SQL = "SELECT pg_sleep(0.001)"
FULL_CLIENTS = 16
FULL_SQL = "SELECT 1"
VIEWS = ("POOLS", "STATS", "CLIENTS", "SERVERS", "BUDGET", "WORKLOADS")
CONFIG = """
hosts: { main: { host: 127.0.0.1, port: {pg}, connection_budget: 35 } }
workloads:
  transactional: { listen: "127.0.0.1:{a}", pool_mode: transaction, guaranteed_connections: 25 }
  session: { listen: "127.0.0.1:{b}", pool_mode: session, guaranteed_connections: 10 }
admin: { admin_users: [ app_trust ] }
"""


def scrape(port, over, counts):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    while not over.wait(EVERY_S):
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200 and b"pgtandem_queries_total" in body
        counts["scrapes"] += 1


def console(port, over, counts):
    with psycopg.connect(host="127.0.0.1", port=port, user=USER, dbname="pgbouncer",
                         autocommit=True) as connection:
        while not over.is_set():
            connection.execute(f"SHOW {VIEWS[counts['views'] % len(VIEWS)]}").fetchall()
            counts["views"] += 1


def http_seconds(pooler):
    """Processor time of the router's thread of HTTP."""
    for task in pathlib.Path(f"/proc/{pooler.process.pid}/task").iterdir():
        if (task / "comm").read_text() == "http\n":
            return int((task / "schedstat").read_text().split()[0]) / 1e9
    raise AssertionError("there is no such thread")


@contextlib.contextmanager
def lookers(pooler, port, kinds):
    over, lock, failures = threading.Event(), threading.Lock(), []
    counts = {"scrapes": 0, "views": 0, "looker_s": 0}
    before = http_seconds(pooler)

    def run(look, where):
        try:
            look(where, over, counts)
        except Exception as error:  # pylint: disable=broad-except
            failures.append(error)
        with lock:
            counts["looker_s"] += time.thread_time()
    threads = [threading.Thread(target=run, args=(kind, port if kind is scrape else pooler.a))
               for kind in kinds]
    for thread in threads:
        thread.start()
    try:
        yield counts
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not failures, failures
    counts["looker_s"] += http_seconds(pooler) - before


CASES = {"nobody looks": (), "a scrape every 10 ms": (scrape,),
         "a scrape every 10 ms and a console": (scrape, console)}


def run(args, pooler, port, kinds, clients, sql):
    """p50 and p99 in ms, answers a second, how often somebody looked, and what part of all
    processor time that took."""
    begin = time.monotonic()
    with lookers(pooler, port, kinds) as counts:
        samples = measure.load(args, args.seconds, 0.5, pooler.a, USER, DATABASE, clients, sql)
    whole_s = (time.monotonic() - begin) * os.cpu_count()
    times = sorted((s.received - s.sent) / 1000 for s in samples)
    assert times
    return {"p50": measure.percentile(times, 0.5), "p99": measure.percentile(times, 0.99),
            "rate": len(times) / args.seconds, "looked": counts["looker_s"] / whole_s, **counts}


def middle(rounds, what):
    return statistics.median(r[what] for r in rounds)


def report_half(args, found):
    lines = [f"{args.rounds} rounds of {args.seconds} s each, in turns; medians of the rounds; "
             f"{CLIENTS} clients, `{SQL}`.", "",
             "| engine | beside it | p50 ms | p99 ms | p99 of each round | answers/s | scrapes | views |",
             "|---|---|---|---|---|---|---|---|"]
    for (engine, load), cases in found.items():
        if load != "half":
            continue
        for name, rounds in cases.items():
            each = ", ".join(f"{r['p99']:.2f}" for r in rounds)
            lines.append(f"| {engine} | {name} | {middle(rounds, 'p50'):.2f} | "
                         f"{middle(rounds, 'p99'):.2f} | {each} | {middle(rounds, 'rate'):.0f} | "
                         f"{middle(rounds, 'scrapes'):.0f} | {middle(rounds, 'views'):.0f} |")
    return lines


def report_full(found):
    lines = ["", f"At full load, {FULL_CLIENTS} clients, `{FULL_SQL}`; the loss is that against the "
             "round before in which nobody looked.", "",
             "| engine | beside it | answers/s | loss % | loss of each round | processor time of "
             "who looks, % of all | scrapes | views |", "|---|---|---|---|---|---|---|---|"]
    for (engine, load), cases in found.items():
        if load != "full":
            continue
        quiet = [r["rate"] for r in cases["nobody looks"]]
        for name, rounds in cases.items():
            losses = [100 * (1 - r["rate"] / before) for r, before in zip(rounds, quiet)]
            each = ", ".join(f"{loss:.1f}" for loss in losses)
            lines.append(f"| {engine} | {name} | {middle(rounds, 'rate'):.0f} | "
                         f"{statistics.median(losses):.1f} | {each} | "
                         f"{100 * middle(rounds, 'looked'):.1f} | {middle(rounds, 'scrapes'):.0f} | "
                         f"{middle(rounds, 'views'):.0f} |")
    return lines


def main():
    parser = measure.arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    args = parser.parse_args()
    if args.short:
        args.rounds, args.seconds = 1, 1
    found = {}
    with measure.Cluster() as (postgres, directory):
        for engine in args.engines.split(","):
            port = free_port()
            pooler = measure.router(args, engine, postgres, directory,
                                    CONFIG + f'http: {{ listen: "127.0.0.1:{port}" }}\n')
            pooler.wait()
            try:
                for load, clients, sql in (("half", CLIENTS, SQL), ("full", FULL_CLIENTS, FULL_SQL)):
                    cases = found[engine, load] = {name: [] for name in CASES}
                    for _ in range(args.rounds):
                        for name, kinds in CASES.items():
                            cases[name].append(run(args, pooler, port, kinds, clients, sql))
            finally:
                pooler.stop()
    text = "\n".join(report_half(args, found) + report_full(found)) + "\n"
    print(text)
    for cases in found.values():
        for rounds in cases.values():
            assert all(r["rate"] > 0 for r in rounds)
        assert all(r["scrapes"] > 0 for r in cases["a scrape every 10 ms"])
    if args.write:
        measure.write("scrape", measure.machine(args) + "\n\n" + text)


main()

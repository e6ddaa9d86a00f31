#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Measures what it costs the data path to be looked at.

Clients of the transaction port are at work, at about half of what they could do.  Rounds
take turns: nobody looks; /metrics is scraped every 10 ms; that, and a client of the console
asks for one view after the other without a pause.

  tests/bench/scrape.py --router build/pgtandem [--rounds 5] [--seconds 4] [--write]
  tests/bench/scrape.py --router build/pgtandem --short
"""
import contextlib
import http.client
import statistics
import threading

import measure
import psycopg
from support.net import free_port
from support.postgres import DATABASE

USER = "app_trust"
CLIENTS = 4
EVERY_S = 0.01
# Most of the time of a client is PostgreSQL's sleep, so that there is room beside it.
SQL = "SELECT pg_sleep(0.001)"
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


@contextlib.contextmanager
def lookers(pooler, port, kinds):
    over, counts, failures = threading.Event(), {"scrapes": 0, "views": 0}, []

    def run(look, where):
        try:
            look(where, over, counts)
        except Exception as error:  # pylint: disable=broad-except
            failures.append(error)
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


CASES = {"nobody looks": (), "a scrape every 10 ms": (scrape,),
         "a scrape every 10 ms and a console": (scrape, console)}


def run(args, pooler, port, kinds):
    """p50 and p99 in ms, answers a second, and how often somebody looked."""
    with lookers(pooler, port, kinds) as counts:
        samples = measure.load(args, args.seconds, 0.5, pooler.a, USER, DATABASE, CLIENTS, SQL)
    times = sorted((s.received - s.sent) / 1000 for s in samples)
    assert times
    return {"p50": measure.percentile(times, 0.5), "p99": measure.percentile(times, 0.99),
            "rate": len(times) / args.seconds, **counts}


def report(args, found):
    lines = [f"{args.rounds} rounds of {args.seconds} s each, in turns; medians of the rounds; "
             f"{CLIENTS} clients, `{SQL}`.", "",
             "| engine | beside it | p50 ms | p99 ms | p99 of each round | answers/s | scrapes | views |",
             "|---|---|---|---|---|---|---|---|"]
    for engine, cases in found.items():
        for name, rounds in cases.items():
            def mid(what, rounds=rounds):
                return statistics.median(r[what] for r in rounds)
            each = ", ".join(f"{r['p99']:.2f}" for r in rounds)
            lines.append(f"| {engine} | {name} | {mid('p50'):.2f} | {mid('p99'):.2f} | {each} | "
                         f"{mid('rate'):.0f} | {mid('scrapes'):.0f} | {mid('views'):.0f} |")
    return "\n".join(lines) + "\n"


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
            cases = found[engine] = {name: [] for name in CASES}
            try:
                for _ in range(args.rounds):
                    for name, kinds in CASES.items():
                        cases[name].append(run(args, pooler, port, kinds))
            finally:
                pooler.stop()
    text = report(args, found)
    print(text)
    for cases in found.values():
        for rounds in cases.values():
            assert all(r["rate"] > 0 for r in rounds)
        assert all(r["scrapes"] > 0 for r in cases["a scrape every 10 ms"])
    if args.write:
        measure.write("scrape", measure.machine(args) + "\n\n" + text)


main()

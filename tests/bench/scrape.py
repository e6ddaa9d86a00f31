#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Measures what it costs the data path to be looked at.

Clients of the transaction port are at work, at about half of what they could do, and then
with all that they have.  Rounds take turns: nobody looks; /metrics is scraped every 10 ms;
that, and a client of the console asks for one view after the other without a pause.  Who
looks takes processor time from all others, whatever it looks at.  To tell that from what the
router has to do with it, there is a second router with as many clients, who rest, and in
further rounds the same lookers look at that one.  PgBouncer is looked at by a console, as it
has no HTTP.  At full load told is what part of the answers is missing, and what part of all
processor time the lookers and the thread of HTTP had.

  tests/bench/scrape.py --router build/pgtandem [--rounds 5] [--seconds 4] [--write]
  tests/bench/scrape.py --router build/pgtandem --short
"""
import contextlib
import http.client
import os
import pathlib
import shutil
import statistics
import threading
import time

import compare
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
SERVERS = 25
VIEWS = ("POOLS", "STATS", "CLIENTS", "SERVERS", "LISTS", "MEM")
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
    # Simple queries, as PgBouncer's console takes no others.
    with psycopg.connect(host="127.0.0.1", port=port, user=USER, dbname="pgbouncer",
                         autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        while not over.is_set():
            connection.execute(f"SHOW {VIEWS[counts['views'] % len(VIEWS)]}").fetchall()
            counts["views"] += 1


def http_seconds(pooler):
    """Processor time of the router's thread of HTTP; PgBouncer has none."""
    for task in pathlib.Path(f"/proc/{pooler.process.pid}/task").iterdir():
        if (task / "comm").read_text() == "http\n":
            return int((task / "schedstat").read_text().split()[0]) / 1e9
    return 0


@contextlib.contextmanager
def lookers(target, kinds):
    """target: the Pooler to be looked at, which has its port of HTTP as an attribute."""
    over, lock, failures = threading.Event(), threading.Lock(), []
    counts = {"scrapes": 0, "views": 0, "looker_s": 0}
    before = http_seconds(target)

    def run(look, where):
        try:
            look(where, over, counts)
        except Exception as error:  # pylint: disable=broad-except
            failures.append(error)
        with lock:
            counts["looker_s"] += time.thread_time()
    threads = [threading.Thread(target=run, args=(kind, target.http if kind is scrape else target.a))
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
    counts["looker_s"] += http_seconds(target) - before


NOBODY = "nobody looks"
# What is there beside the load: who looks, and whether at another router than the one at work.
OF_ROUTER = {NOBODY: ((), False),
             "a scrape every 10 ms": ((scrape,), False),
             "a scrape every 10 ms of another router": ((scrape,), True),
             "a console": ((console,), False),
             "a console of another router": ((console,), True),
             "a scrape every 10 ms and a console": ((scrape, console), False),
             "a scrape every 10 ms and a console, of another router": ((scrape, console), True)}
OF_PGBOUNCER = {NOBODY: ((), False),
                "a console": ((console,), False),
                "a console of another PgBouncer": ((console,), True)}


@contextlib.contextmanager
def resting(pooler, clients):
    """As many clients as are at work elsewhere, each of which has asked once."""
    with contextlib.ExitStack() as stack:
        for _ in range(clients):
            connection = stack.enter_context(psycopg.connect(
                host="127.0.0.1", port=pooler.a, user=USER, dbname=DATABASE, autocommit=True))
            connection.execute("SELECT 1")
        yield


def run(args, pooler, target, kinds, clients, sql):
    """p50 and p99 in ms, answers a second, how often somebody looked, and what part of all
    processor time that took."""
    begin = time.monotonic()
    with lookers(target, kinds) as counts:
        samples = measure.load(args, args.seconds, 0.5, pooler.a, USER, DATABASE, clients, sql)
    whole_s = (time.monotonic() - begin) * os.cpu_count()
    times = sorted((s.received - s.sent) / 1000 for s in samples)
    assert times
    return {"p50": measure.percentile(times, 0.5), "p99": measure.percentile(times, 0.99),
            "rate": len(times) / args.seconds, "looked": counts["looker_s"] / whole_s, **counts}


def rounds_of(args, pooler, other, cases):
    """For each load, for each of the cases, its rounds."""
    found = {}
    for load, clients, sql in (("half", CLIENTS, SQL), ("full", FULL_CLIENTS, FULL_SQL)):
        found[load] = {name: [] for name in cases}
        with resting(other, clients):
            for number in range(args.rounds):
                order = list(cases.items())
                for name, (kinds, elsewhere) in order if number % 2 == 0 else order[::-1]:
                    found[load][name].append(
                        run(args, pooler, other if elsewhere else pooler, kinds, clients, sql))
    return found


def middle(rounds, what):
    return statistics.median(r[what] for r in rounds)


def change(rounds, quiet, what):
    """By how many percent a figure differs from that of the same round with nobody looking:
    the median, the least and the most."""
    each = [100 * (r[what] / q[what] - 1) for r, q in zip(rounds, quiet)]
    return f"{statistics.median(each):+.1f} ({min(each):+.1f} to {max(each):+.1f})"


def looked(rounds):
    return f"{middle(rounds, 'scrapes'):.0f} | {middle(rounds, 'views'):.0f} |"


def report_half(args, found):
    lines = [f"{args.rounds} rounds of {args.seconds} s each, in turns; medians of the rounds; "
             f"{CLIENTS} clients, `{SQL}`.  A change is against the same round with nobody looking, "
             "with the least and the most.", "",
             "| pooler | beside it | p50 ms | p99 ms | p99, change in % | answers/s | "
             "scrapes | views |", "|---|---|---|---|---|---|---|---|"]
    for pooler, loads in found.items():
        quiet = loads["half"][NOBODY]
        for name, rounds in loads["half"].items():
            lines.append(f"| {pooler} | {name} | {middle(rounds, 'p50'):.2f} | "
                         f"{middle(rounds, 'p99'):.2f} | "
                         f"{'' if rounds is quiet else change(rounds, quiet, 'p99')} | "
                         f"{middle(rounds, 'rate'):.0f} | {looked(rounds)}")
    return lines


def report_full(found):
    lines = ["", f"At full load, {FULL_CLIENTS} clients, `{FULL_SQL}`:", "",
             "| pooler | beside it | answers/s | change in % | processor time of "
             "who looks, % of all | scrapes | views |", "|---|---|---|---|---|---|---|"]
    for pooler, loads in found.items():
        quiet = loads["full"][NOBODY]
        for name, rounds in loads["full"].items():
            lines.append(f"| {pooler} | {name} | {middle(rounds, 'rate'):.0f} | "
                         f"{'' if rounds is quiet else change(rounds, quiet, 'rate')} | "
                         f"{100 * middle(rounds, 'looked'):.1f} | {looked(rounds)}")
    return lines


def of_router(args, engine, postgres, directory):
    pair = []
    for _ in range(2):
        port = free_port()
        pooler = measure.router(args, engine, postgres, directory,
                                CONFIG + f'http: {{ listen: "127.0.0.1:{port}" }}\n')
        pooler.http = port
        pair.append(pooler)
    return pair


def of_pgbouncer(postgres, directory):
    pair = []
    for number in range(2):
        place = directory / f"pgbouncer{number}"
        place.mkdir()
        pooler = compare.pgbouncer(postgres, place, (USER,), SERVERS,
                                   f"max_client_conn = 2000\nstats_users = {USER}")
        pooler.a = pooler.port
        pair.append(pooler)
    return pair


def main():
    parser = measure.arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    args = parser.parse_args()
    if args.short:
        args.rounds, args.seconds = 1, 1
    found = {}
    with measure.Cluster() as (postgres, directory):
        subjects = [(engine, lambda engine=engine: of_router(args, engine, postgres, directory),
                     OF_ROUTER) for engine in args.engines.split(",")]
        if shutil.which("pgbouncer"):
            subjects.append(("PgBouncer", lambda: of_pgbouncer(postgres, directory), OF_PGBOUNCER))
        for name, start, cases in subjects:
            pair = start()
            try:
                for pooler in pair:
                    pooler.wait()
                found[name] = rounds_of(args, *pair, cases)
            finally:
                for pooler in pair:
                    pooler.stop()
    text = "\n".join(report_half(args, found) + report_full(found)) + "\n"
    print(text)
    for loads in found.values():
        for cases in loads.values():
            assert all(r["rate"] > 0 for rounds in cases.values() for r in rounds)
            assert all(r["scrapes"] + r["views"] > 0
                       for name, rounds in cases.items() if name != NOBODY for r in rounds)
    if args.write:
        others = ["pgbouncer"] if "PgBouncer" in found else []
        measure.write("scrape", f"""## Being looked at

`tests/bench/scrape.py`, {measure.machine(args, *others)}.
Who looks takes processor time from everybody, whatever it looks at: that is what the rows of
another router (or PgBouncer) show, which rests. What a row is worse by than the next one is what
it costs the router itself to be looked at.

{text}""")


main()

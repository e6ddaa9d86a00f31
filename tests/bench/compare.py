#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Measures the router beside PgBouncer, in the same run: tests/bench/suite.py in small, with
pgbench as the client.

Both pool transactions on one thread over TCP to a PostgreSQL of this script's own.  Rounds are interleaved, and the order turns around with each;
figures are medians over rounds, ratios medians of the ratios within a round.  The main
figure is CPU time of the pooler's process per transaction: on loopback the kernel
charges it with much of its peers' work, to both alike.

  tests/bench/compare.py --router build/pgtandem [--rounds 5] [--seconds 4]
  tests/bench/compare.py --router build/pgtandem --short        # that it runs, for CI
"""
import argparse
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))

from support.net import free_port  # noqa: E402
from support.postgres import DATABASE, Postgres  # noqa: E402

USER = "app_trust"
POOL = 40
TICK = os.sysconf("SC_CLK_TCK")

KEYS = 100000
BY_KEY = f"\\set k random(1, {KEYS})\nSELECT body FROM by_key WHERE k = :k;"
TABLE = (f"CREATE TABLE by_key AS SELECT k, repeat('x', 80) AS body "
         f"FROM generate_series(1, {KEYS}) AS k",
         "ALTER TABLE by_key ADD PRIMARY KEY (k)", "GRANT SELECT ON by_key TO PUBLIC",
         "VACUUM ANALYZE by_key")

CASES = [
    # name, pgbench -M, script, clients
    ("SELECT 1, simple", "simple", "SELECT 1;", 40),
    ("SELECT 1, simple", "simple", "SELECT 1;", 500),
    ("SELECT 1, extended", "extended", "SELECT 1;", 40),
    ("SELECT 1, extended", "extended", "SELECT 1;", 500),
    ("row by key, simple", "simple", BY_KEY, 200),
    ("row by key, prepared", "prepared", BY_KEY, 200),
    ("transaction of 3 statements", "simple", "BEGIN;\nSELECT 1;\nCOMMIT;", 200),
]


# io_backend, session_state
ROUTERS = [("io_uring", "strict"), ("io_uring", "tracked"), ("io_uring", "off"),
           ("epoll", "strict"), ("epoll", "off")]


def cpu_of(pid, children):
    """Seconds of CPU time of a process, and of those that it has waited for."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12]) +
            (int(fields[13]) + int(fields[14]) if children else 0)) / TICK


def cpu_of_postgres(postgres):
    """The same of all of PostgreSQL's processes, those that have ended included."""
    pid_file = pathlib.Path(postgres.data) / "postmaster.pid"
    postmaster = int(pid_file.read_text(encoding="ascii").split()[0])
    total = cpu_of(postmaster, True)
    for child in pathlib.Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text(
            encoding="ascii").split():
        try:
            total += cpu_of(child, False)
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total


class Pooler:
    """A process under test."""

    def __init__(self, name, command, port, directory):
        self.name, self.port = name, port
        self.log = open(directory / f"{name}.log", "w", encoding="utf-8")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)

    def wait(self):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if subprocess.run(["psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER,
                               "-c", "SELECT 1", DATABASE], capture_output=True,
                              check=False).returncode == 0:
                return
            assert self.process.poll() is None, f"{self.name} has ended: {self.log.name}"
            time.sleep(0.05)
        raise TimeoutError(f"{self.name} does not answer: {self.log.name}")

    def cpu(self):
        return cpu_of(self.process.pid, False)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def router(args, engine, state, postgres, directory):
    port = free_port()
    path = directory / f"{engine}-{state}.yaml"
    path.write_text(f"""
process: {{ workers: 1, io_backend: {engine}, max_client_conn: 2000 }}
defaults: {{ session_state: {state} }}
hosts: {{ main: {{ host: 127.0.0.1, port: {postgres.port}, connection_budget: {POOL} }} }}
workloads: {{ bench: {{ listen: "127.0.0.1:{port}", pool_mode: transaction }} }}
auth: {{ auth_type: trust }}
log: {{ log_connections: false, log_disconnections: false }}
""", encoding="utf-8")
    return Pooler(f"pgtandem, {engine}, {state}", [args.router, "--config", str(path)], port,
                  directory)


def pgbouncer(postgres, directory, names=(USER,), servers=POOL, more="max_client_conn = 2000"):
    port = free_port()
    users, path = directory / "users.txt", directory / "pgbouncer.ini"
    users.write_text("".join(f'"{name}" ""\n' for name in names), encoding="utf-8")
    path.write_text(f"""
[databases]
* = host=127.0.0.1 port={postgres.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = {servers}
{more}
log_connections = 0
log_disconnections = 0
""", encoding="utf-8")
    command = ["pgbouncer", str(path)]
    if os.getuid() == 0:
        command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *command]
    return Pooler("PgBouncer", command, port, directory)


def pgbench(pooler, postgres, case, seconds, directory):
    """One measurement: transactions per second, CPU microseconds per transaction of the
    pooler and of PostgreSQL."""
    _, mode, text, clients = case
    script = directory / "script.sql"
    script.write_text(text + "\n", encoding="utf-8")
    before, before_server = pooler.cpu(), cpu_of_postgres(postgres)
    done = subprocess.run(
        ["pgbench", "-n", "-h", "127.0.0.1", "-p", str(pooler.port), "-U", USER, "-M", mode,
         "-c", str(clients), "-j", "2", "-T", str(seconds), "-f", str(script), DATABASE],
        capture_output=True, text=True, check=False, timeout=seconds + 120)
    used, used_server = pooler.cpu() - before, cpu_of_postgres(postgres) - before_server
    count = re.search(r"transactions actually processed: (\d+)", done.stdout)
    failed = re.search(r"number of failed transactions: (\d+)", done.stdout)
    assert done.returncode == 0 and count and int(failed[1]) == 0, done.stdout + done.stderr
    tps = float(re.search(r"tps = ([0-9.]+)", done.stdout)[1])
    return {"tps": tps, "cpu": used * 1e6 / int(count[1]),
            "server": used_server * 1e6 / int(count[1])}


def measure(poolers, postgres, args, directory):
    rounds = []
    for number in range(args.rounds):
        results = {}
        for index, case in enumerate(args.cases):
            order = poolers if (number + index) % 2 == 0 else poolers[::-1]
            for pooler in order:
                results[index, pooler.name] = pgbench(pooler, postgres, case, args.seconds,
                                                       directory)
                print(f"round {number + 1}: {case[0]}, {case[3]} clients, {pooler.name}: "
                      "{tps:.0f} tx/s, {cpu:.1f} us".format(**results[index, pooler.name]),
                      flush=True)
        rounds.append(results)
    return rounds


def table(rounds, poolers, cases):
    base = poolers[-1].name
    lines = ["| load | clients | pooler | tx/s | ratio | CPU us/tx | PostgreSQL's "
             "| ratio of CPU (least to most) |", "|---|---|---|---|---|---|---|---|"]
    for index, case in enumerate(cases):
        for pooler in poolers:
            mine = [r[index, pooler.name] for r in rounds]
            peer = [r[index, base] for r in rounds]
            cpu = [a["cpu"] / b["cpu"] for a, b in zip(mine, peer) if b["cpu"] > 0]
            tps = [a["tps"] / b["tps"] for a, b in zip(mine, peer)]
            lines.append(
                f"| {case[0]} | {case[3]} | {pooler.name} "
                f"| {statistics.median(m['tps'] for m in mine):.0f} "
                f"| {statistics.median(tps):.2f} "
                f"| {statistics.median(m['cpu'] for m in mine):.1f} "
                f"| {statistics.median(m['server'] for m in mine):.1f} "
                + (f"| {statistics.median(cpu):.2f} ({min(cpu):.2f} to {max(cpu):.2f}) |"
                   if cpu else "| |"))
    return "\n".join(lines)


def version(command, *words):
    return subprocess.run([command, *(words or ("--version",))], capture_output=True, text=True,
                          check=True).stdout.splitlines()[0]


def machine(router, *more):
    names = ", ".join([version(router), version("psql"), *map(version, more)])
    return f"{time.strftime('%d %B %Y')}, {os.cpu_count()} processors, Linux " \
        f"{platform.release().split('-')[0]}, niceness {os.nice(0)}, {names}"


def write(document, name, text, head=""):
    """Puts a section between its markers, or at the end if they are not there yet."""
    old = document.read_text(encoding="utf-8") if document.exists() else head
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    section = f"{begin}\n{text.strip()}\n{end}"
    place = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.S)
    if place.search(old):
        new = place.sub(lambda _: section, old)
    else:
        new = old.rstrip() + "\n\n" + section + "\n"
    document.write_text(new, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--router", default=str(ROOT / "build" / "pgtandem"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--short", action="store_true")
    args = parser.parse_args()
    args.cases = CASES
    if args.short:
        args.rounds, args.seconds, args.cases = 1, 1, CASES[::2]
    postgres = Postgres()
    poolers = []
    with tempfile.TemporaryDirectory(prefix="pgtandem-bench-") as name:
        directory = pathlib.Path(name)
        os.chmod(directory, 0o755)
        try:
            postgres.create()
            postgres.sql(*TABLE, dbname=DATABASE)
            for engine, state in ROUTERS:
                poolers.append(router(args, engine, state, postgres, directory))
            poolers.append(pgbouncer(postgres, directory))
            for pooler in poolers:
                pooler.wait()
            text = table(measure(poolers, postgres, args, directory), poolers, args.cases)
        finally:
            for pooler in poolers:
                pooler.stop()
            postgres.destroy()
    print(text)


if __name__ == "__main__":
    main()

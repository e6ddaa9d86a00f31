#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The benchmark suite: the router beside PgBouncer, HAProxy and PostgreSQL direct.

Loads are run in rounds; within a round the poolers take turns, and their order turns around
with each, so that whatever else the machine does meets all of them.  Ratios are formed
within a round, and their median is shown with the least and the most.  All raw figures are
kept as JSON, one file for each load; docs/benchmarks.md and its plots are made of what is
there, so that the suite may be run in parts.

  tests/bench/suite.py --list
  tests/bench/suite.py --only core                    # a group, or loads by name: a,b,...
  tests/bench/suite.py --only core --rounds 5 --seconds 3 --report
  tests/bench/suite.py --report                       # the document alone
  tests/bench/suite.py --make-debian13                # PgBouncer 1.24, in --debian13 DIR
  tests/bench/suite.py --short                        # that it runs, for CI
"""
import argparse
import contextlib
import datetime
import json
import os
import pathlib
import platform
import resource
import subprocess
import sys
import tempfile
import time

from harness import ROOT, debian13, loads, meters, poolers, report
from support.certs import Authority
from support.net import free_port
from support.postgres import DATABASE, USERS, Postgres

SETTINGS = {"max_connections": "300", "shared_buffers": "256MB", "autovacuum": "off",
            "max_wal_size": "4GB", "wal_level": "minimal", "max_wal_senders": "0"}


class Fake:
    """fakepg: it is there as long as the suite runs, and idle but for the loads that want it."""

    def __init__(self, args):
        self.port = free_port()
        self.process = subprocess.Popen([poolers.program(args, "fakepg"), str(self.port)],
                                        stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "listening\n"

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


def make_postgres(authority, scale):
    """A PostgreSQL that lets app_trust in as it is and app_scram with SCRAM, with TLS, and
    with pgbench's tables."""
    postgres = Postgres()
    postgres.create()
    for file in ("server.crt", "server.key"):
        target = postgres.data / file
        target.write_bytes(pathlib.Path(authority.path(file)).read_bytes())
        os.chmod(target, 0o600)
        if postgres.as_user:
            owner = postgres.data.stat()
            os.chown(target, owner.st_uid, owner.st_gid)
    for name, value in (SETTINGS | {"ssl": "on"}).items():
        postgres.sql(f"ALTER SYSTEM SET {name} = '{value}'")
    postgres.restart()
    postgres.run("pgbench", "-i", "-q", "-s", scale, "-h", postgres.socket_dir, "-p",
                 postgres.port, "-U", "postgres", DATABASE)
    postgres.sql("CREATE UNLOGGED TABLE sink (body text)", "GRANT ALL ON ALL TABLES IN SCHEMA "
                 "public TO PUBLIC", dbname=DATABASE)
    return postgres


class Bench:
    """What loads need while they run."""

    def __init__(self, args, place):
        self.args, self.place = args, place
        self.round, self.capacities = 0, {}
        self.pid_file = place.postgres.data / "postmaster.pid"

    def server_pids(self):
        return meters.descendants(int(self.pid_file.read_text(encoding="ascii").split()[0]))

    def reference(self):
        """Whose capacity is 100 % for all."""
        found = poolers.ALL["pgbouncer"]
        return poolers.ALL["uring"] if found.missing(self.args) else found

    @staticmethod
    def json(line):
        return json.loads(line)

    def clean(self):
        """Every load finds the same tables."""
        self.place.postgres.sql("TRUNCATE sink, pgbench_history", dbname=DATABASE)


def version(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[0].strip() if done.stdout else "?"


def machine(args):
    """What the figures were made with."""
    old, new = poolers.ALL["pgbouncer"].command(args), poolers.ALL["pgbouncer13"].command(args)
    haproxy = not poolers.HAProxy().missing(args)
    return {"processors": os.cpu_count(), "kernel": platform.release().split("-")[0],
            "commit": version("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
            "router": version(args.router, "--version"), "postgres": version("psql", "--version"),
            "pgbouncer": version(*old, "--version") if old else None,
            "pgbouncer13": version(*new, "--version") if new else None,
            "haproxy": version("haproxy", "-v").split(" 20")[0] if haproxy else None}


def those_there(args, load, told):
    """The poolers of a load; what is missing is named."""
    found = []
    if load.missing():
        print(f"left out: {load.name}: {load.missing()}", flush=True)
        return found
    for key in load.poolers:
        pooler = poolers.ALL[key]
        why = pooler.missing(args)
        if not why and pooler.servers_per_client and load.clients > 190:
            why = "a server for each client"
        if not why and args.poolers and key not in args.poolers.split(","):
            continue
        if not why:
            found.append(pooler)
        elif (pooler.title, why) not in told:
            told.add((pooler.title, why))
            print(f"left out: {pooler.title}: {why}", flush=True)
    return found


def has_seen_work(load, result):
    """That there is something in a result."""
    def in_one(one):
        if load.table == "bulk":
            return one["bytes"] > 0
        if load.table == "calls":
            return one.get("calls_each", 0) > 0
        # A slow reader is at it, and does not end.
        return load.table == "idle" or all(
            group["ended"] > 0 or group["bytes"] > 0 for group in one["groups"])
    return all(map(in_one, result.get("steps", [result])))


def run_short(bench, load, pooler):
    """A moment may be too short on a busy machine: then a longer one."""
    usual = bench.args.seconds
    try:
        for factor in (1, 5, 25):
            bench.args.seconds = usual * factor
            found = load.run(bench, pooler)
            if has_seen_work(load, found):
                return found
    finally:
        bench.args.seconds = usual
    raise AssertionError(f"{load.name}, {pooler.title}: nothing was done: {found}")


def one_round(bench, load, there):
    order = there if bench.round % 2 == 0 else there[::-1]
    results = {}
    for pooler in order:
        bench.clean()
        before = time.monotonic()
        try:
            results[pooler.key] = run_short(bench, load, pooler) if bench.args.short \
                else load.run(bench, pooler)
        except (RuntimeError, AssertionError) as error:
            if bench.args.short:
                raise
            print(f"FAILED {load.name}, {pooler.title}: {error}", flush=True)
            results[pooler.key] = {"error": str(error)}
            continue
        print(f"round {bench.round + 1}: {load.name}, {pooler.title}: "
              f"{report.brief(load, results[pooler.key])}"
              f" ({time.monotonic() - before:.1f} s)", flush=True)
    return results


def save(args, load, record):
    args.results.mkdir(parents=True, exist_ok=True)
    path = args.results / f"{load.name}.json"
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(record, indent=1), encoding="utf-8")
    temporary.replace(path)


def run(args, bench, chosen):
    told, records = set(), {}
    about = machine(args)
    for bench.round in range(args.rounds):
        for load in chosen:
            there = those_there(args, load, told) if bench.round < load.most_rounds else []
            if not there:
                continue
            record = records.setdefault(load.name, {
                "load": load.name, "machine": about, "seconds": args.seconds * load.times, "rounds": [],
                "at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
                "load_average": os.getloadavg()[0], "settles": True, "configs": {}})
            results = one_round(bench, load, there)
            for key, result in results.items():
                record["configs"][key] = result.pop("configs", [])
            record["rounds"].append(results)
            save(args, load, record)
    failed = [(name, key) for name, record in records.items()
              for results in record["rounds"] for key, found in results.items() if "error" in found]
    return failed


def choose(args):
    every = loads.every()
    if not args.only or args.only == "all":
        return list(every.values())
    words = args.only.split(",")
    known = set(every) | {load.group for load in every.values()}
    unknown = [word for word in words if word not in known]
    assert not unknown, f"there is no {', '.join(unknown)}: --list"
    return [load for load in every.values() if load.name in words or load.group in words]


def show_list(args):
    total = 0
    for load in choose(args):
        minutes = load.duration(args) * min(args.rounds, load.most_rounds) / 60
        total += minutes
        print(f"{load.group:7} {load.name:19} {minutes:4.1f} min  {load.title}\n{'':37} "
              f"{' '.join(load.poolers)}")
    print(f"{total:.0f} minutes, about, with {args.rounds} rounds of {args.seconds:g} s")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0],
                                     epilog=__doc__.split("\n\n", 1)[1],
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--router", default=str(ROOT / "build" / "pgtandem"))
    parser.add_argument("--only", help="groups and loads, with commas between; or all")
    parser.add_argument("--poolers", help="only these of each load")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--warmup", type=float, default=0.5)
    parser.add_argument("--scale", type=int, default=10, help="of pgbench's tables")
    parser.add_argument("--results", type=pathlib.Path, default=ROOT / "bench-results")
    parser.add_argument("--debian13", type=pathlib.Path, default=debian13.PLACE)
    for flag in ("make-debian13", "list", "report", "short"):
        parser.add_argument(f"--{flag}", action="store_true")
    return parser.parse_args()


@contextlib.contextmanager
def world(args, scale):
    """What poolers need, but for fakepg."""
    with tempfile.TemporaryDirectory(prefix="pgtandem-bench-") as name:
        os.chmod(name, 0o755)
        authority = Authority(pathlib.Path(name) / "tls")
        tls = authority.issue("server", "localhost")
        os.chmod(tls[1], 0o644)
        postgres = make_postgres(authority, scale)
        try:
            place = poolers.Place(args, postgres, None, name, tls)
            place.userlist.write_text("".join(
                f'"{user}" "{postgres.secret(user)}"\n' for user in USERS), encoding="utf-8")
            yield place
        finally:
            postgres.destroy()


def measure(args):
    chosen = choose(args)
    if args.short:
        for load in chosen:
            load.shortened()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with world(args, args.scale) as place:
        place.fake = Fake(args)
        try:
            return run(args, Bench(args, place), chosen)
        finally:
            place.fake.stop()


def main():
    args = arguments()
    if args.list:
        show_list(args)
        return 0
    if args.make_debian13:
        debian13.make(args.debian13)
        return 0
    failed = []
    if args.short:
        args.rounds, args.seconds, args.warmup, args.scale = 1, 0.3, 0.1, 1
    started = time.monotonic()
    if args.only or not args.report:
        if args.short:
            with tempfile.TemporaryDirectory() as name:
                args.results = pathlib.Path(name)
                failed = measure(args)
                assert report.document(args.results, loads.every())
        else:
            failed = measure(args)
    if args.report and not args.short:
        report.write(args.results, loads.every())
    print(f"{time.monotonic() - started:.0f} s, {len(failed)} failed: {failed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: ISC
"""The second half of ./quickstart: a PostgreSQL, the router, the load, the table."""
import argparse
import asyncio
import json
import os
import pathlib
import re
import resource
import secrets
import signal
import subprocess
import sys
import time
import types

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

from cluster import Cluster  # noqa: E402
from load import Load, percentile  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
WEB_PORT, WORK_PORT = 6432, 6433
DBNAME, USER = "demo", "app"
TENANTS, DOCUMENTS = 20, 5


def say(*words):
    print(*words, flush=True)


# -------------------------------------------------------------- ports in use

def listeners():
    """{port: inode} of the listening TCP sockets."""
    found = {}
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not os.path.exists(name):
            continue
        with open(name, encoding="ascii") as table:
            for line in table.readlines()[1:]:
                fields = line.split()
                if fields[3] == "0A":
                    found[int(fields[1].rsplit(":", 1)[1], 16)] = fields[9]
    return found


def owner(inode):
    """"name (pid)" of the process that has the socket."""
    for fd in pathlib.Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(fd) == f"socket:[{inode}]":
                pid = fd.parts[2]
                return f"{pathlib.Path('/proc', pid, 'comm').read_text().strip()}, pid {pid}"
        except OSError:
            continue
    return "a process that this user may not see"


def check_ports():
    taken = listeners()
    busy = [port for port in (WEB_PORT, WORK_PORT) if port in taken]
    for port in busy:
        say(f"quickstart: port {port} is taken by {owner(taken[port])}")
    if busy:
        raise SystemExit("quickstart: please end that first; nothing was started")


# --------------------------------------------------------------- the router

def write_config(directory, cluster):
    """The shipped example, with this PostgreSQL's address and this user's secret, on
    the loopback only."""
    text = (ROOT / "etc" / "pgtandem.yaml").read_text()
    userlist = directory / "userlist.txt"
    for pattern, value in ((r"(?m)^(    host:).*$", r"\1 127.0.0.1"),
                           (r"(?m)^(    port:).*$", rf"\1 {cluster.port}"),
                           (r"(?m)^(  auth_file:).*$", rf"\1 {userlist}"),
                           (r"(?m)^# admin:.*$", f"admin: {{ admin_users: [ {USER} ] }}"),
                           (r'"(?:\*|0\.0\.0\.0):(\d+)"', r'"127.0.0.1:\1"')):
        text, count = re.subn(pattern, value, text)
        if not count:
            raise SystemExit(f"quickstart: etc/pgtandem.yaml has no {pattern}")
    path = directory / "pgtandem.yaml"
    path.write_text(text)
    # The secret that PostgreSQL itself stores: the router never knows the password.
    secret = cluster.psql(f"SELECT rolpassword FROM pg_authid WHERE rolname = '{USER}'")
    userlist.touch(mode=0o600)
    userlist.write_text(f'"{USER}" "{secret}"\n')
    return path, int(re.search(r"connection_budget: *(\d+)", text)[1])


def start_router(program, config, log_path):
    with open(log_path, "wb") as log:
        router = subprocess.Popen([program, "--config", str(config)], stdin=subprocess.DEVNULL,
                                  stdout=log, stderr=log, start_new_session=True)
    deadline = time.monotonic() + 15
    while not {WEB_PORT, WORK_PORT} <= set(listeners()):
        if router.poll() is not None or time.monotonic() > deadline:
            if router.poll() is None:
                router.kill()
            raise SystemExit("quickstart: the router did not start:\n" + log_path.read_text())
        time.sleep(0.05)
    return router


def stop_process(pid, patience=10):
    """SIGTERM, and again when the router waits for somebody."""
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + patience / 2
        while time.monotonic() < deadline:
            try:
                if os.waitpid(pid, os.WNOHANG)[0] == pid:
                    return
            except ChildProcessError:
                if not os.path.exists(f"/proc/{pid}"):
                    return
            time.sleep(0.05)


# ------------------------------------------------------------ left up, --stop

def is_ours(state):
    """Whether the process of an earlier run is still that process."""
    try:
        words = pathlib.Path("/proc", str(state["pid"]), "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return state["config"].encode() in words


def stop_earlier(state_file):
    if not state_file.exists():
        return False
    state = json.loads(state_file.read_text())
    if is_ours(state):
        stop_process(state["pid"])
    if os.path.isdir(state["directory"]):
        Cluster(state["directory"]).destroy()
    state_file.unlink()
    return True


def tell_how(password, cluster, log_path):
    def psql(port, dbname=DBNAME):
        return f"  PGPASSWORD={password} psql -h 127.0.0.1 -p {port} -U {USER} {dbname}"

    say("\nEverything is left up.  Try:")
    say(psql(WEB_PORT) + "    # transaction port")
    say(psql(WORK_PORT) + "    # session port")
    say("    SET app.tenant_id = '7'; SELECT * FROM documents;")
    say(psql(WEB_PORT, "pgbouncer") + " -c 'SHOW WORKLOADS'    # the console")
    say("  curl -s localhost:9187/health/db    # and /metrics, and a page for a browser at /")
    say(f"PostgreSQL itself:  psql -h {cluster.directory} -p {cluster.port} -U postgres {DBNAME}")
    say(f"The router's log:   {log_path}")
    say("To end it:          ./quickstart --stop")


# ------------------------------------------------------------------- results

def row(*cells):
    widths = (30, 8, 8, 9, 9, 9)
    say("  " + cells[0].ljust(widths[0])
        + "".join(str(c).rjust(w) for c, w in zip(cells[1:], widths[1:])))


def show_table(load, budget):
    def times(values):
        return [f"{percentile(values, p) * 1e3:.1f}" for p in (50, 95, 99)]

    say()
    row("", "trans.", "errors", "p50 ms", "p95 ms", "p99 ms")
    row(f"{WEB_PORT} transaction: web clients", load.web.transactions, load.web.errors,
        *times(load.web.times))
    row(f"{WORK_PORT} session: workers", load.work.transactions, load.work.errors,
        *times(load.work.times))
    row("     of which in the queue", "", "", *times(load.work.waits))
    say()
    say(f"  servers used, at most      {load.servers_most} of {budget}"
        f"  (pg_stat_activity, {load.samples} samples)")
    say(f"  tenant mix-ups             {load.web.mixups + load.work.mixups}")
    for port in (load.web, load.work):
        for text, count in sorted(port.messages.items(), key=lambda item: -item[1])[:5]:
            say(f"  {count} times: {text}")


def check_books(cluster, load):
    """What PostgreSQL has in the end: a row for each thing the clients were told, and
    each with its own tenant."""
    wrong = int(cluster.psql("SELECT count(*) FROM embeddings WHERE tenant_id <> written_for",
                             DBNAME))
    events = int(cluster.psql("SELECT count(*) FROM events", DBNAME))
    load.work.mixups += wrong
    if events < load.web.transactions:
        load.web.failed(f"{load.web.transactions - events} committed rows are missing")


def run_load(options, cluster, password, budget):
    plan = types.SimpleNamespace(
        clients=options.clients, workers=options.workers, seconds=options.seconds, ramp=4.0,
        tenants=TENANTS, documents=DOCUMENTS, user=USER, password=password, dbname=DBNAME,
        web_address=("127.0.0.1", WEB_PORT), work_address=("127.0.0.1", WORK_PORT),
        socket=cluster.socket, budget=budget)

    async def main():
        load = Load(plan)
        await load.run(say)
        return load

    return asyncio.run(main())


def demonstrate(options, state_file, cluster, run_directory):
    password = secrets.token_urlsafe(12)
    say("quickstart: a PostgreSQL of its own in", cluster.directory)
    cluster.create(password, TENANTS, DOCUMENTS)
    config, budget = write_config(run_directory, cluster)
    log_path = run_directory / "router.log"
    router = start_router(options.program, config, log_path)
    kept = False
    try:
        state_file.write_text(json.dumps({
            "pid": router.pid, "config": str(config), "directory": str(cluster.directory)}))
        say(f"quickstart: the router listens on {WEB_PORT} (transaction) and {WORK_PORT} (session)")
        say(f"quickstart: {options.clients} web clients, {options.workers} workers,"
            f" {options.seconds:g} seconds")
        load = run_load(options, cluster, password, budget)
        check_books(cluster, load)
        show_table(load, budget)
        good = (load.web.transactions and load.work.transactions
                and not load.web.errors + load.work.errors
                and not load.web.mixups + load.work.mixups and load.servers_most <= budget
                and router.poll() is None)
        say("\n  " + ("all as it should be" if good else f"NOT as it should be; log: {log_path}"))
        kept = options.keep and router.poll() is None
        if kept:
            tell_how(password, cluster, log_path)
        return 0 if good else 1
    finally:
        if not kept:
            stop_process(router.pid)


def main():
    parser = argparse.ArgumentParser(prog="./quickstart")
    parser.add_argument("--program", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--run-directory", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--stop", action="store_true")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=20)
    options = parser.parse_args()

    run_directory = pathlib.Path(options.run_directory)
    state_file = run_directory / "state.json"
    if stop_earlier(state_file):
        say("quickstart: what an earlier run had left up is stopped")
    elif options.stop:
        say("quickstart: nothing was up")
    if options.stop:
        return 0

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # A SIGTERM cleans up as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    check_ports()
    cluster = Cluster()
    result = 1
    try:
        result = demonstrate(options, state_file, cluster, run_directory)
    except KeyboardInterrupt:
        say("\nquickstart: interrupted")
        result = 130
    finally:
        kept = False
        if state_file.exists():
            kept = options.keep and result in (0, 1) and is_ours(json.loads(state_file.read_text()))
        if not kept:
            cluster.destroy()
            state_file.unlink(missing_ok=True)
    return result


sys.exit(main())

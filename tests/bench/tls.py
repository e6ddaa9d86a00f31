#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Measures what TLS to clients costs, beside PgBouncer with the same keys.

Rounds take turns between the poolers, each with one thread.  Logins, one after the other
by several clients: without TLS, with a full handshake, resumed.  A storm of such logins
beside clients at work, whose times are those of the table.  Idle clients with TLS and without,
and the memory of the pooler and its CPU.

  tests/bench/tls.py --router build/pgtandem [--rounds 5] [--seconds 4] [--idle 5000] [--write]
  tests/bench/tls.py --router build/pgtandem --parts beside --keys "RSA 2048,RSA 4096"
  tests/bench/tls.py --router build/pgtandem --short
"""
import contextlib
import resource
import shutil
import ssl
import statistics
import tempfile
import threading
import time

import measure
from compare import Pooler, version
from support import wire as w
from support.certs import Authority
from support.net import free_port
from support.postgres import DATABASE

measure.DOCUMENT = measure.ROOT / "docs" / "tls-benchmarks.md"
measure.HEAD = """# TLS under measurement

The tables say how they were made; `tests/bench/tls.py --write` puts new ones in their place.
"""
USER = "app_trust"
KEYS = {"P-256": "ec", "RSA 2048": "rsa:2048", "RSA 4096": "rsa:4096"}
LOGINS = ("no TLS", "full", "resumed")
CLIENTS = 8             # that log in
WORKERS = 20            # that are at work beside them, with transactions of 5 ms
SQL = "SELECT pg_sleep(0.005)"
PARTS = ("logins", "beside", "idle")
CONFIG = """
hosts: {{ main: {{ host: 127.0.0.1, port: {{pg}}, connection_budget: 20, server_tls_sslmode: disable }} }}
workloads:
  transactional: {{ listen: "127.0.0.1:{{a}}", pool_mode: transaction }}
tls: {{ client_tls_sslmode: prefer, client_tls_key_file: "{key}", client_tls_cert_file: "{cert}" }}
"""
PGBOUNCER = """
[databases]
* = host=127.0.0.1 port={pg}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {a}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = 20
max_client_conn = 12000
log_connections = 0
log_disconnections = 0
client_tls_sslmode = allow
client_tls_key_file = {key}
client_tls_cert_file = {cert}
"""


def pgbouncer(postgres, directory, key, cert):
    port = free_port()
    users, path = directory / "users.txt", directory / f"pgbouncer{port}.ini"
    users.write_text(f'"{USER}" ""\n', encoding="utf-8")
    path.write_text(PGBOUNCER.format(pg=postgres.port, a=port, users=users, key=key, cert=cert),
                    encoding="utf-8")
    command = ["/usr/sbin/pgbouncer", str(path)]
    if measure.os.getuid() == 0:
        for name in (users, path, key, cert):
            shutil.chown(name, "postgres")
        command[1:1] = ["-u", "postgres"]
    started = Pooler("PgBouncer", command, port, directory)
    started.a = port
    return started


def poolers(args, postgres, directory, ca, key):
    """All of them, running, with that kind of key."""
    name = key.replace(" ", "")
    ca.issue(name, "localhost", "DNS:localhost,IP:127.0.0.1", key=KEYS[key])
    files = {"key": ca.path(f"{name}.key"), "cert": ca.path(f"{name}.crt")}
    made = []
    for engine in args.engines.split(","):
        made.append(measure.router(args, engine, postgres, directory, CONFIG.format(**files),
                                   clients=12000))
    made.append(pgbouncer(postgres, directory, **files))
    return made


# ------------------------------------------------------------------ clients

def context():
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    return made


def login(port, tls, session=None):
    wire = w.Wire("127.0.0.1", port, timeout=60)
    if tls is not None:
        wire.send(w.SSL_REQUEST)
        assert wire.read(1) == b"S"
        wire.socket = tls.wrap_socket(wire.socket, session=session)
    wire.login(USER, "", DATABASE)
    return wire


class Storm:
    """Clients that log in and leave, again and again."""

    def __init__(self, port, kind):
        self.port, self.kind = port, kind
        self.over, self.logins, self.resumed, self.failures = threading.Event(), 0, 0, []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run) for _ in range(CLIENTS)]

    def run(self):
        tls, session, count, resumed = context(), None, 0, 0
        try:
            while not self.over.is_set():
                wire = login(self.port, None if self.kind == "no TLS" else tls,
                             session if self.kind == "resumed" else None)
                if self.kind == "resumed":
                    resumed += wire.socket.session_reused
                    session = wire.socket.session
                wire.quit()
                count += 1
        except Exception as problem:  # pylint: disable=broad-except
            self.failures.append(problem)
        with self.lock:
            self.logins += count
            self.resumed += resumed

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()
        assert not self.failures, self.failures


def measure_logins(pooler, kind, seconds):
    began, cpu = time.monotonic(), pooler.cpu()
    with Storm(pooler.a, kind) as storm:
        storm.over.wait(seconds)
    spent, used = time.monotonic() - began, pooler.cpu() - cpu
    assert storm.logins > 0
    if kind == "resumed":
        # All but the first of each client.
        assert storm.resumed >= storm.logins - CLIENTS, (pooler.name, storm.resumed)
    return {"rate": storm.logins / spent, "cpu": used / storm.logins * 1e6,
            "per_cpu": storm.logins / used if used else float("nan")}


def measure_beside(args, pooler, kind, seconds):
    storm = contextlib.nullcontext() if kind is None else Storm(pooler.a, kind)
    with storm:
        samples = measure.load(args, seconds, 0.5, pooler.a, USER, DATABASE, WORKERS, SQL)
    times = sorted((s.received - s.sent) / 1000 for s in samples)
    assert times
    return {"p50": measure.percentile(times, 0.5), "p99": measure.percentile(times, 0.99)}


def resident(pooler):
    with open(f"/proc/{pooler.process.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))


def measure_idle(pooler, with_tls, count, seconds):
    """Bytes for each of so many clients that have logged in and say nothing, taken when two
    looks, a second apart, agree; and what part of a processor all of them take then."""
    tls = context() if with_tls else None
    for _ in range(20):
        login(pooler.a, tls).quit()
    before = resident(pooler)
    wires = [login(pooler.a, tls) for _ in range(count)]
    last, now = 0, resident(pooler)
    while abs(now - last) > 4096:
        time.sleep(1)
        last, now = now, resident(pooler)
    began, cpu = time.monotonic(), pooler.cpu()
    time.sleep(seconds)
    used = (pooler.cpu() - cpu) / (time.monotonic() - began)
    # They are all still there.
    for wire in wires:
        wire.send(w.query("SELECT 1"))
        assert wire.until_ready()[-1].type == "Z"
        wire.socket.close()
    return {"bytes": (now - before) / count, "cpu": used}


# ------------------------------------------------------------------- rounds

def run_key(args, postgres, directory, ca, key, found):
    running = poolers(args, postgres, directory, ca, key)
    try:
        for pooler in running:
            pooler.wait()
        for _ in range(args.rounds):
            for pooler in running:
                for kind in LOGINS if key == "P-256" else LOGINS[1:]:
                    if "logins" in args.parts:
                        found["logins"].setdefault((pooler.name, key, kind), []).append(
                            measure_logins(pooler, kind, args.seconds))
            for pooler in running:
                for kind in (None, "full") if key == args.keys[0] else ("full",):
                    beside = "nobody" if kind is None else key
                    if "beside" in args.parts:
                        found["beside"].setdefault((pooler.name, beside), []).append(
                            measure_beside(args, pooler, kind, args.seconds))
    finally:
        for pooler in running:
            pooler.stop()


def run_idle(args, postgres, directory, ca, found):
    """A fresh pooler for each: what a process has freed it does not give back."""
    for with_tls in (False, True):
        for pooler in poolers(args, postgres, directory, ca, "P-256"):
            try:
                pooler.wait()
                found["idle"][pooler.name, with_tls] = measure_idle(pooler, with_tls, args.idle,
                                                                     args.seconds)
            finally:
                pooler.stop()


def mid(rounds, what):
    return statistics.median(r[what] for r in rounds)


def report(args, found):
    lines = [f"{args.rounds} rounds of {args.seconds} s each, in turns; medians. {CLIENTS} clients "
             "in Python log in (trust), which uses processors of the same machine: logins a "
             "second of the pooler's own CPU are what compares.", "",
             "| pooler | key | login | logins/s | CPU us each | logins per CPU second |",
             "|---|---|---|---|---|---|"]
    for (name, key, kind), rounds in sorted(found["logins"].items(), key=lambda i: (i[0][1:], i[0][0])):
        lines.append(f"| {name} | {'-' if kind == 'no TLS' else key} | {kind} | {mid(rounds, 'rate'):.0f} | "
                     f"{mid(rounds, 'cpu'):.0f} | {mid(rounds, 'per_cpu'):.0f} |")
    lines += ["", f"{WORKERS} clients without TLS run `{SQL}`, and beside them such logins, each "
              "with a full handshake.", "", "| pooler | beside it | p50 ms | p99 ms |",
              "|---|---|---|---|"]
    for (name, beside), rounds in sorted(found["beside"].items(), key=lambda i: (i[0][1], i[0][0])):
        lines.append(f"| {name} | {beside} | {mid(rounds, 'p50'):.2f} | {mid(rounds, 'p99'):.2f} |")
    lines += ["", f"{args.idle} idle clients of a process that has just started, and what part of a "
              "processor all of them take.", "",
              "| pooler | bytes a client without TLS | with TLS | CPU without TLS | with TLS |",
              "|---|---|---|---|---|"]
    for name in dict.fromkeys(name for name, _ in found["idle"]):
        kinds = [found["idle"][name, with_tls] for with_tls in (False, True)]
        lines.append(" | ".join([f"| {name}", *(f"{kind['bytes']:.0f}" for kind in kinds),
                                 *(f"{kind['cpu'] * 100:.2f} %" for kind in kinds)]) + " |")
    return "\n".join(lines) + "\n"


def main():
    parser = measure.arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--idle", type=int, default=5000)
    parser.add_argument("--keys", default=",".join(KEYS), help="some of: " + ", ".join(KEYS))
    parser.add_argument("--parts", default=",".join(PARTS), help="some of: " + ", ".join(PARTS))
    args = parser.parse_args()
    args.keys, args.parts = args.keys.split(","), args.parts.split(",")
    assert set(args.keys) <= set(KEYS) and set(args.parts) <= set(PARTS)
    if args.short:
        args.rounds, args.seconds, args.idle = 1, 1, 50
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    assert most > args.idle + 200, f"only {most} files: --idle {most - 200} at most"
    # What cannot be told is known before, not when all is measured.
    machine = ", ".join([measure.machine(args, "/usr/sbin/pgbouncer"), version("openssl", "version")])
    found = {"logins": {}, "beside": {}, "idle": {}}
    with measure.Cluster() as (postgres, directory), tempfile.TemporaryDirectory() as place:
        measure.os.chmod(place, 0o755)
        ca = Authority(place)
        for key in args.keys[:2] if args.short else args.keys:
            run_key(args, postgres, directory, ca, key, found)
        if "idle" in args.parts:
            run_idle(args, postgres, directory, ca, found)
    text = report(args, found)
    print(text)
    assert all(mid(rounds, "rate") > 0 for rounds in found["logins"].values())
    if args.write:
        measure.write("tls", machine + "\n\n" + text)


main()

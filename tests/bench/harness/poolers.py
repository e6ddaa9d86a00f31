# SPDX-License-Identifier: ISC
"""Who is measured: how each is configured for a scene, started and ended.

All are tuned alike: one thread unless the name says otherwise, no log of connections, room
for all clients of the scene, and as many servers as it says.  PostgreSQL offers TLS, and "prefer"
is the default of some of them: it is always said whether it is wanted there."""
import contextlib
import dataclasses
import os
import pathlib
import shutil
import subprocess
import time

from support.net import free_port

from . import ROOT, debian13


@dataclasses.dataclass(frozen=True)
class Scene:
    """What a pooler is set up for."""
    servers: int = 40
    clients: int = 1000
    tls: bool = False       # towards clients
    server_tls: bool = False  # towards PostgreSQL
    scram: bool = False     # on both sides; trust otherwise
    unix: bool = False      # towards PostgreSQL
    sessions: int = 0       # servers of a second port, which pools sessions
    fake: bool = False      # fakepg instead of PostgreSQL

    @property
    def server_sslmode(self):
        return "require" if self.server_tls else "disable"


class Place:
    """What poolers need of the world: PostgreSQL, files, programs."""

    def __init__(self, args, postgres, fake, directory, tls):
        self.args, self.postgres, self.fake = args, postgres, fake
        self.directory = pathlib.Path(directory)
        self.under = []     # a command that runs each pooler, valgrind for instance
        self.certificate, self.key = tls
        self.userlist = self.directory / "users.txt"

    def server(self, scene):
        if scene.fake:
            return "127.0.0.1", self.fake.port
        host = str(self.postgres.socket_dir) if scene.unix else "127.0.0.1"
        return host, self.postgres.port


class Running:
    """Processes under test, their ports and their configuration."""

    def __init__(self, name, ports):
        self.name, self.ports = name, ports
        self.host = "127.0.0.1"
        self.processes, self.configs, self.logs = [], [], []

    def start(self, command, log, more=()):
        """more: of the environment."""
        self.logs.append(log)
        with open(log, "w", encoding="utf-8") as out:
            self.processes.append(subprocess.Popen(command, stdout=out, stderr=out,
                                                   stdin=subprocess.DEVNULL,
                                                   env=os.environ | dict(more)))

    @property
    def pids(self):
        return [process.pid for process in self.processes]

    def check(self):
        for process, log in zip(self.processes, self.logs):
            assert process.poll() is None, \
                f"{self.name} has ended: {log.read_text(errors='replace')[-2000:]}"

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Direct:
    """Nothing in between."""
    servers_per_client = True

    def __init__(self, key="direct", title="PostgreSQL direct"):
        self.key, self.title = key, title

    def missing(self, _args):
        return None

    def start(self, place, scene):
        host, port = place.server(scene)
        running = Running(self.title, [port, port])
        running.host = host
        return running


class Router:
    servers_per_client = False

    def __init__(self, key, title, engine="io_uring", state=None, workers=1, more="", receive=None):
        self.key, self.title = key, title
        self.engine, self.state, self.workers, self.more = engine, state, workers, more
        # What newer kernels are not asked for: docs/kernels.md.
        self.environment = {"PGTANDEM_IO_RECEIVE": receive} if receive else {}

    def missing(self, args):
        return None if pathlib.Path(args.router).exists() else f"{args.router} is not there"

    def config(self, place, scene, ports):
        host, port = place.server(scene)
        text = "".join(f"# {name}={value}\n" for name, value in self.environment.items())
        text += f"process: {{ workers: {self.workers}, io_backend: {self.engine}, " \
            f"max_client_conn: {scene.clients + 100} }}\n"
        words = [f'session_state: "{self.state}"'] if self.state else []
        words += [self.more] if self.more else []
        if words:
            text += f"defaults: {{ {', '.join(words)} }}\n"
        text += f"hosts: {{ main: {{ host: {host}, port: {port}, " \
            f"server_tls_sslmode: {scene.server_sslmode}, connection_budget: {scene.servers + scene.sessions} }} }}\nworkloads:\n" \
            f"  transactional: {{ listen: \"127.0.0.1:{ports[0]}\", pool_mode: transaction, " \
            f"max_client_conn: {scene.clients + 50}, query_wait_timeout: 0, " \
            f"guaranteed_connections: {scene.servers} }}\n"
        if scene.sessions:
            text += f"  session: {{ listen: \"127.0.0.1:{ports[1]}\", pool_mode: session, " \
                f"guaranteed_connections: {scene.sessions} }}\n"
        if scene.tls:
            text += "tls: { client_tls_sslmode: allow, " \
                f"client_tls_key_file: {place.key}, client_tls_cert_file: {place.certificate} }}\n"
        text += f"auth: {{ auth_type: scram-sha-256, auth_file: {place.userlist} }}\n" \
            if scene.scram else "auth: { auth_type: trust }\n"
        return text + "log: { log_connections: false, log_disconnections: false }\n"

    def start(self, place, scene):
        ports = [free_port(), free_port()]
        running = Running(self.title, ports)
        path = place.directory / f"{self.key}.yaml"
        path.write_text(self.config(place, scene, ports), encoding="utf-8")
        running.configs.append(path.read_text())
        running.start([*place.under, place.args.router, "--config", str(path)],
                      place.directory / "router.log", self.environment)
        return running


class PgBouncer:
    """Its sessions are a second process: it has one pool_mode for all ports."""
    servers_per_client = False

    def __init__(self, key, title, newer=False, more=""):
        self.key, self.title, self.newer, self.more = key, title, newer, more

    def command(self, args):
        if self.newer:
            return debian13.pgbouncer(args.debian13)
        found = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
        return [found] if found else None

    def missing(self, args):
        if self.command(args):
            return None
        return f"no PgBouncer in {args.debian13}: --make-debian13" if self.newer else \
            "pgbouncer is not installed: tools/install-deps bench"

    def config(self, place, scene, port, mode, servers):
        host, server = place.server(scene)
        lines = ["[databases]", f"* = host={host} port={server}", "[pgbouncer]",
                 "listen_addr = 127.0.0.1", f"listen_port = {port}", "unix_socket_dir =",
                 f"auth_type = {'scram-sha-256' if scene.scram else 'trust'}",
                 f"auth_file = {place.userlist}", f"pool_mode = {mode}",
                 f"default_pool_size = {servers}", f"max_client_conn = {scene.clients + 100}",
                 f"server_tls_sslmode = {scene.server_sslmode}", "query_wait_timeout = 0",
                 "log_connections = 0", "log_disconnections = 0"]
        if os.getuid() == 0:
            lines.append("user = postgres")
        if scene.tls:
            lines += ["client_tls_sslmode = allow", f"client_tls_key_file = {place.key}",
                      f"client_tls_cert_file = {place.certificate}"]
        lines += [self.more] if self.more else []
        return "\n".join(lines) + "\n"

    def start(self, place, scene):
        ports = [free_port(), free_port()]
        running = Running(self.title, ports)
        modes = [("transaction", scene.servers), ("session", scene.sessions)]
        for port, (mode, servers) in zip(ports, modes):
            if servers == 0:
                continue
            path = place.directory / f"{self.key}-{mode}.ini"
            path.write_text(self.config(place, scene, port, mode, servers), encoding="utf-8")
            running.configs.append(path.read_text())
            running.start([*place.under, *self.command(place.args), str(path)],
                          place.directory / f"{self.key}-{mode}.log")
        return running


class HAProxy:
    """TCP mode: nothing is understood, each client has a server of its own.  TLS would be
    between the client and PostgreSQL."""
    servers_per_client = True
    key, title = "haproxy", "HAProxy (TCP)"

    def missing(self, _args):
        found = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
        return None if found else "haproxy is not installed: tools/install-deps bench"

    def start(self, place, scene):
        port = free_port()
        running = Running(self.title, [port, port])
        host, server = place.server(scene)
        address = f"unix@{host}/.s.PGSQL.{server}" if host.startswith("/") else f"{host}:{server}"
        path = place.directory / "haproxy.cfg"
        path.write_text(
            f"global\n  maxconn {scene.clients + 100}\n  nbthread 1\n"
            "defaults\n  mode tcp\n  timeout connect 10s\n  timeout client 1h\n  timeout server 1h\n"
            f"listen bench\n  bind 127.0.0.1:{port} backlog 2048\n  server main {address}\n",
            encoding="utf-8")
        running.configs.append(path.read_text())
        program = shutil.which("haproxy") or "/usr/sbin/haproxy"
        running.start([program, "-db", "-f", str(path)], place.directory / "haproxy.log")
        return running


ALL = {pooler.key: pooler for pooler in (
    Router("uring", "pgtandem, io_uring"),
    Router("uring-off", "pgtandem, io_uring, session_state off", state="off"),
    Router("uring-tracked", "pgtandem, io_uring, session_state tracked", state="tracked"),
    Router("uring-2", "pgtandem, io_uring, 2 workers", workers=2),
    Router("uring-single", "pgtandem, io_uring as before Linux 6.10", receive="single"),
    Router("uring-reuse", "pgtandem, io_uring, plan_reuse", more="plan_reuse: true"),
    Router("epoll", "pgtandem, epoll", engine="epoll"),
    Router("epoll-off", "pgtandem, epoll, session_state off", engine="epoll", state="off"),
    Router("epoll-tracked", "pgtandem, epoll, session_state tracked", engine="epoll",
           state="tracked"),
    Router("epoll-2", "pgtandem, epoll, 2 workers", engine="epoll", workers=2),
    Router("epoll-reuse", "pgtandem, epoll, plan_reuse", engine="epoll", more="plan_reuse: true"),
    PgBouncer("pgbouncer", "PgBouncer 1.18"),
    PgBouncer("pgbouncer-64k", "PgBouncer 1.18, pkt_buf 64 kB", more="pkt_buf = 65536"),
    PgBouncer("pgbouncer13", "PgBouncer 1.24", newer=True, more="max_prepared_statements = 200"),
    PgBouncer("pgbouncer13-0", "PgBouncer 1.24, no prepared statements", newer=True,
              more="max_prepared_statements = 0"),
    HAProxy(),
    Direct(),
)}


@contextlib.contextmanager
def running(pooler, place, scene):
    """Started, answering, and ended."""
    started = pooler.start(place, scene)
    try:
        wait(started, place, scene)
        yield started
        started.check()
    finally:
        started.stop()


def wait(started, place, scene):
    """Until it answers on its ports."""
    drive = program(place.args, "drive")
    for port in started.ports[:2 if scene.sessions else 1]:
        deadline = time.monotonic() + 15
        while True:
            started.check()
            done = subprocess.run(
                [drive, "0.01", "0", f"host={started.host}", f"port={port}", "user=" + user(scene),
                 "password=scram secret", "db=app", "SELECT 1"], capture_output=True, text=True,
                check=False, timeout=60)
            if done.returncode == 0:
                break
            assert time.monotonic() < deadline, f"{started.name} does not answer: {done.stderr}"
            time.sleep(0.05)


def user(scene):
    return "app_scram" if scene.scram else "app_trust"


def program(args, name):
    """A program that was built beside the router, or in this tree."""
    for top in (pathlib.Path(args.router).resolve().parent, ROOT / "build"):
        if (top / "tests" / "bench" / name).exists():
            return str(top / "tests" / "bench" / name)
    raise FileNotFoundError(f"{name}: make -C build {'tests/bench/' + name}")

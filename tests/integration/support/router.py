# SPDX-License-Identifier: ISC
"""Starts and watches the router under test."""
import copy
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import psycopg
from psycopg.rows import dict_row

from . import yaml
from .net import free_port, listening_ports
from .postgres import DATABASE, DEFAULT_USER, USERS
from .wait import SLOWDOWN, wait_until
from .wire import Wire

ROOT = pathlib.Path(__file__).resolve().parents[3]
ADMIN = ("admin", "admin secret")
STATS = ("stats", "stats secret")
ERROR_LINE = re.compile(r"^[0-9-]+ [0-9:.]+ UTC error (.*)$", re.M)
REPORT = re.compile(
    r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|Assertion .* failed"
    r"|LeakSanitizer has encountered|^==[0-9]+== (?!Warning)", re.M)


def merge(base, changes):
    """base with changes laid over it; None removes a key."""
    for key, value in (changes or {}).items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            merge(base[key], value)
        else:
            base[key] = copy.deepcopy(value)
    return base


class Endpoint:
    """A port that speaks PostgreSQL's protocol, as the drivers see it."""

    def __init__(self, host, port):
        self.host, self.port = host, port

    def dsn(self, user=DEFAULT_USER, dbname=DATABASE, **more):
        password = {**{k: v[0] for k, v in USERS.items()}, **dict([ADMIN, STATS])}.get(user, "")
        return {"host": self.host, "port": self.port, "user": user, "dbname": dbname,
                "password": password, **more}

    def connect(self, user=DEFAULT_USER, dbname=DATABASE, **more):
        """A psycopg 3 connection, in autocommit mode unless told otherwise."""
        more.setdefault("autocommit", True)
        more.setdefault("connect_timeout", int(20 * SLOWDOWN))
        return psycopg.connect(**self.dsn(user, dbname, **more))

    def wire(self, user=DEFAULT_USER, dbname=DATABASE, **parameters):
        """A logged-in connection that speaks bytes."""
        wire = self.raw()
        wire.login(user, self.dsn(user)["password"], dbname, **parameters)
        return wire

    def raw(self):
        """A connection on which nothing has been said."""
        return Wire(self.host, self.port, timeout=30 * SLOWDOWN)


class Router:
    """One router process.  Its ports are attributes by workload name."""

    def __init__(self, directory, postgres, config=None, start=True):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.postgres = postgres
        self.ports = {}
        self.config = self.complete(config)
        self.config_file = self.directory / "pgtandem.yaml"
        self.log_file = self.directory / "log"
        self.expected_errors = []
        self.expected_exit = 0
        self.process = None
        self.write_userlist()
        self.write_config()
        if start:
            self.start()

    # --------------------------------------------------------- configuration

    def complete(self, changes):
        """The test's changes over a configuration that works."""
        config = merge({
            "process": {
                "workers": int(os.environ.get("PGTANDEM_WORKERS", 2)),
                "io_backend": os.environ.get("PGTANDEM_IO_BACKEND", "auto"),
            },
            "hosts": {"main": {
                "host": "127.0.0.1", "port": self.postgres.port, "connection_budget": 20,
                "server_login_retry": "100ms",
                # Of app_plain; what is said without TLS has tests of its own.
                "server_cleartext_password": "always",
            }},
            "workloads": {
                "transactional": {"pool_mode": "transaction"},
                "session": {"pool_mode": "session"},
            },
            "databases": {"*": {"host": "main"}},
            "auth": {"auth_type": "scram-sha-256", "auth_file": "userlist.txt"},
            "admin": {"admin_users": [ADMIN[0]], "stats_users": [STATS[0]]},
            "defaults": {"plan_reuse": True} if os.environ.get("PGTANDEM_TEST_PLAN_REUSE") else {},
            "log": {"level": "debug" if os.environ.get("PGTANDEM_TEST_DEBUG") else None},
        }, changes)
        for name, workload in config["workloads"].items():
            if workload is None:
                continue
            if "listen" not in workload:
                port = self.ports.setdefault(name, free_port())
                workload["listen"] = [f"127.0.0.1:{port}"]
            else:
                self.ports[name] = int(workload["listen"][0].rsplit(":", 1)[1])
        return config

    def write_userlist(self, lines=None):
        """PgBouncer's format: one user of each kind of secret."""
        if lines is None:
            secrets = {name: password for name, (password, _) in USERS.items()}
            secrets.update(dict([ADMIN, STATS]))
            lines = ['"{}" "{}"'.format(*item) for item in secrets.items()]
        (self.directory / "userlist.txt").write_text("\n".join(lines) + "\n")

    def write_config(self):
        self.config_file.write_text(yaml.dump(self.config) + "\n")

    # ------------------------------------------------------------ life cycle

    @staticmethod
    def program():
        path = os.environ.get("PGTANDEM") or str(ROOT / "build" / "pgtandem")
        assert os.access(path, os.X_OK), f"no program at {path}: ./run-tests, or set PGTANDEM"
        return path

    def start(self, wait=True):
        with open(self.log_file, "ab") as log:
            # It is ended, by its process id, in finish().
            self.process = subprocess.Popen(
                [self.program(), "--config", str(self.config_file)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory)
        if wait:
            wait_until(self.is_listening, 15, "the router listens")

    def is_listening(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"the router ended ({self.process.returncode}):\n{self.log()}")
        ports = listening_ports()
        for workload in self.config["workloads"].values():
            for address in workload["listen"] if workload else ():
                where, _, port = address.rpartition(":")
                if where.startswith("unix:"):
                    if not os.path.exists(f"{where[5:]}/.s.PGSQL.{port}"):
                        return False
                elif int(port) not in ports:
                    return False
        return True

    def signal(self, number):
        self.process.send_signal(number)

    def wait_exit(self, timeout=15):
        return self.process.wait(timeout * SLOWDOWN)

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        """Ends the router as an operator in a hurry does; its exit code."""
        for number, patience in ((signal.SIGTERM, 2), (signal.SIGTERM, 5), (signal.SIGQUIT, 10)):
            if not self.is_running():
                break
            self.signal(number)
            try:
                return self.wait_exit(patience)
            except subprocess.TimeoutExpired:
                pass
        if self.is_running():
            self.process.kill()
            self.process.wait(10)
            raise AssertionError("the router did not end: killed\n" + self.tail())
        return self.process.returncode

    def finish(self):
        """What every test ends with: a clean exit and a clean log."""
        if self.process is None:
            return
        code = self.stop()
        self.keep_log()
        reports = REPORT.findall(self.log())
        assert not reports, f"sanitizer or assertion:\n{self.around(reports[0])}"
        errors = [line for line in ERROR_LINE.findall(self.log())
                  if not any(re.search(known, line) for known in self.expected_errors)]
        assert not errors, "error lines in the log:\n" + "\n".join(errors)
        assert code == self.expected_exit, f"exit code {code}\n{self.tail()}"

    def keep_log(self):
        keep = os.environ.get("PGTANDEM_TEST_LOGS")
        if keep and self.log_file.is_file():
            os.makedirs(keep, exist_ok=True)
            name = os.environ.get("PYTEST_CURRENT_TEST", "test").split(" ")[0]
            name = re.sub(r"[^A-Za-z0-9_.-]+", "-", name.rsplit("/", 1)[-1])
            shutil.copy(self.log_file, os.path.join(keep, f"{name}-{self.directory.name}.log"))

    # ------------------------------------------------------------------- log

    def log(self):
        """What the router has said until now: its lines are written by a thread of their own."""
        rounds = 0
        while not self.is_written() and rounds < 2000:
            rounds += 1
            time.sleep(0.001)
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def is_written(self):
        """The thread of the log sleeps: whoever gives it a line has made it run by then."""
        if not self.is_running():
            return True
        try:
            for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
                # PID (NAME) STATE
                name, state = (task / "stat").read_text().partition("(")[2].rsplit(")", 1)
                if name == "log":
                    return state.split()[0] == "S"
        except (FileNotFoundError, ProcessLookupError):
            pass
        return True

    def tail(self, lines=60):
        return "\n".join(self.log().splitlines()[-lines:])

    def around(self, text):
        at = self.log().find(text)
        return self.log()[max(at - 200, 0):at + 6000]

    def expect_error(self, pattern):
        """Announces an error line that the test brings about."""
        self.expected_errors.append(pattern)

    # ---------------------------------------------------------------- reload

    def reload(self, changes=None, expect="ok"):
        """Changes the file, sends SIGHUP, and waits until the log tells of it."""
        if changes is not None:
            self.config = self.complete(merge(self.config, changes))
            self.write_config()
        before = len(self.log())
        self.signal(signal.SIGHUP)
        # Its end; names of directories may have the word, too.
        wait_until(lambda: re.search(r"(?<![\w/-])reload\b(?!-change)", self.log()[before:]), 10,
                   "a word on the reload")
        said = self.log()[before:]
        if expect == "ok":
            assert not ERROR_LINE.search(said), said
        return said

    # ------------------------------------------------------------- the ports

    def __getattr__(self, name):
        if name in self.__dict__.get("ports", {}):
            return Endpoint("127.0.0.1", self.ports[name])
        raise AttributeError(name)

    def unix(self, directory, port):
        return Endpoint(str(directory), port)

    def admin(self, user=ADMIN[0]):
        port = next(iter(self.ports))
        return getattr(self, port).connect(user=user, dbname="pgbouncer", row_factory=dict_row)

    def show(self, what):
        """The rows of SHOW what, as dicts."""
        with self.admin() as connection:
            return connection.execute(f"SHOW {what.upper()}").fetchall()

    def command(self, text):
        with self.admin() as connection:
            return connection.execute(text).statusmessage

    def pool(self, user=DEFAULT_USER, database=DATABASE):
        """Row of SHOW POOLS for one pool, {} while there is none; the columns of
        numbers summed if several workloads have it."""
        rows = [row for row in self.show("pools")
                if row["user"] == user and row["database"] == database]
        total = dict(rows[0]) if rows else {}
        for row in rows[1:]:
            for key, value in row.items():
                if isinstance(value, int):
                    total[key] += value
        return total

    def memory(self, field="VmRSS"):
        """Bytes: VmRSS (now) or VmHWM (most so far) of the process."""
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
        raise KeyError(field)

    def open_files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wakes(self):
        """How often its threads have begun to wait."""
        return sum(int(line.split()[1])
                   for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir()
                   for line in (task / "status").read_text().splitlines()
                   if line.startswith("voluntary_ctxt_switches:"))


class Direct(Router):
    """PostgreSQL itself in the router's place: shows that a test is right."""

    def __init__(self, directory, postgres, config=None, start=True):
        super().__init__(directory, postgres, config, start=False)
        self.ports = dict.fromkeys(self.ports, postgres.port)

    def finish(self):
        pass


def stopwatch():
    start = time.monotonic()
    return lambda: time.monotonic() - start

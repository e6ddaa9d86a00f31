# SPDX-License-Identifier: ISC
"""The router as a unit of the systemd that has booted this machine: tests/systemd/run.  What
is written here goes to the machine's own files, which are thrown away."""
import json
import os
import pathlib
import pwd
import re
import shutil
import subprocess
import sys

import psycopg
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))

from support.wait import SLOWDOWN, wait_until  # noqa: E402

CONFIG = pathlib.Path("/etc/pgtandem/pgtandem.yaml")
USERLIST = CONFIG.with_name("userlist.txt")
UNITS = pathlib.Path("/etc/systemd/system")
USERS = {"app": "app secret", "admin": "admin secret"}
ERROR, WARNING, DEBUG = 3, 4, 7
SERVICE, SOCKET = "pgtandem.service", "pgtandem.socket"
TRANSACTIONAL, SESSION = 6432, 6433


def run(*command, check=True, **more):
    done = subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=60 * SLOWDOWN, **more)
    assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stdout}"
    return done


def systemctl(*words, check=True):
    return run("systemctl", *words, check=check)


def in_postgres(sql):
    return run("runuser", "-u", "postgres", "--", "psql", "-XAtq", "-v", "ON_ERROR_STOP=1",
               cwd="/", input=sql).stdout


def connect(port=TRANSACTIONAL, host="127.0.0.1", user="app", dbname="app", **more):
    more = {"autocommit": True, "connect_timeout": int(20 * SLOWDOWN), **more}
    return psycopg.connect(host=host, port=port, user=user, dbname=dbname, password=USERS[user], **more)


def answers(**how):
    with connect(**how) as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


def serves(**how):
    """The same to wait for."""
    try:
        return answers(**how)
    except psycopg.OperationalError:
        return False


def console(command):
    with connect(user="admin", dbname="pgbouncer") as connection:
        cursor = connection.execute(command)
        return cursor.fetchall() if cursor.description else []


class Unit:
    """pgtandem.service as make install has left it, with the file that comes with it."""

    def __init__(self, shipped):
        self.shipped = shipped
        self.since = ""

    def begin(self):
        self.write(self.shipped)
        systemctl("reset-failed")
        self.since = self.cursor()

    @staticmethod
    def write(text):
        CONFIG.write_text(text, encoding="utf-8")

    def write_more(self, text):
        """The file that comes with it, and more; a console that may be used."""
        self.write(f"{self.shipped}\nadmin: {{ admin_users: [ admin ] }}\n{text}\n")

    @staticmethod
    def drop_in(text):
        folder = UNITS / f"{SERVICE}.d"
        folder.mkdir(exist_ok=True)
        (folder / "test.conf").write_text(text, encoding="utf-8")
        systemctl("daemon-reload")

    @staticmethod
    def show(name):
        return systemctl("show", "--value", "-p", name, SERVICE).stdout.strip()

    @property
    def pid(self):
        return int(self.show("MainPID"))

    def is_active(self):
        return self.show("ActiveState") == "active"

    def pids(self):
        """All processes of the unit."""
        path = pathlib.Path(f"/sys/fs/cgroup/system.slice/{SERVICE}/cgroup.procs")
        return {int(pid) for pid in path.read_text(encoding="ascii").split()} if path.exists() else set()

    def user(self):
        return pwd.getpwuid(os.stat(f"/proc/{self.pid}/task").st_uid).pw_name

    @staticmethod
    def cursor():
        said = run("journalctl", "-q", "-n", "0", "--show-cursor").stdout
        return re.search(r"^-- cursor: (.*)$", said, re.M)[1]

    def journal(self, priority=DEBUG, **fields):
        """Entries since the test began of that priority at least: the unit's own, or with
        those fields.  (journalctl's own filters lose the first one behind a cursor.)"""
        fields = fields or {"_SYSTEMD_UNIT": SERVICE}
        run("journalctl", "--sync")
        lines = run("journalctl", "-q", "-o", "json", "--after-cursor", self.since).stdout
        return [entry for entry in map(json.loads, lines.splitlines())
                if int(entry.get("PRIORITY", DEBUG)) <= priority
                and all(entry.get(name) == value for name, value in fields.items())]

    def said(self, priority=DEBUG, **fields):
        return "\n".join(str(entry["MESSAGE"]) for entry in self.journal(priority, **fields))

    def systemd_said(self, priority=DEBUG):
        return self.said(priority, _PID="1", UNIT=SERVICE)

    def complaints(self):
        """systemd's about the unit, and the unit's own."""
        return (self.systemd_said(WARNING) + self.said(WARNING)).splitlines()

    def end(self):
        systemctl("disable", "--now", SOCKET, check=False)
        systemctl("disable", SERVICE, check=False)
        systemctl("kill", "-s", "KILL", SERVICE, check=False)
        systemctl("stop", SERVICE, check=False)
        (UNITS / SOCKET).unlink(missing_ok=True)
        shutil.rmtree(UNITS / f"{SERVICE}.d", ignore_errors=True)
        systemctl("daemon-reload")


@pytest.fixture(scope="session")
def installed():
    """README.md, word by word, behind make install."""
    wait_until(lambda: in_postgres("SELECT 1") == "1\n", 60, "PostgreSQL is up")
    in_postgres("".join(f"CREATE ROLE {name} LOGIN PASSWORD '{secret}';" for name, secret in USERS.items())
                + "CREATE DATABASE app OWNER app;")
    run("useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", "pgtandem")
    run("install", "-m", "640", "-g", "pgtandem", "/dev/null", str(USERLIST))
    # The statement of etc/userlist.txt.
    text = (ROOT / "etc" / "userlist.txt").read_text(encoding="utf-8")
    statement = re.search(r"^; {3}(SELECT .*?;)$", text, re.M | re.S)[1]
    USERLIST.write_text(in_postgres(re.sub(r"\n;", "\n", statement)), encoding="utf-8")
    run("pgtandem", "--check", str(CONFIG))
    systemctl("daemon-reload")
    return CONFIG.read_text(encoding="utf-8")


@pytest.fixture
def unit(installed):
    it = Unit(installed)
    it.begin()
    yield it
    # Shown where the test fails.
    print(run("systemctl", "status", "-n", "0", SERVICE, check=False).stdout)
    print(it.systemd_said(), it.said(), sep="\n")
    it.end()


@pytest.fixture
def started(unit):
    """It runs; its console may be used."""
    unit.write_more("")
    systemctl("start", SERVICE)
    return unit

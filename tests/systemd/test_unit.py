# SPDX-License-Identifier: ISC
"""What the unit and the sockets do under systemd as process 1."""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import urllib.request

import psycopg
import pytest
from conftest import (CONFIG, ERROR, ROOT, SERVICE, SESSION, SOCKET, TRANSACTIONAL, UNITS, answers, connect, console,
                      in_postgres, run, serves, systemctl)
from support.wait import SLOWDOWN, wait_until

VERSION = int(re.search(r"^systemd (\d+)", run("systemctl", "--version").stdout)[1])
# Seconds between a hang and the end of it.
WATCHDOG = 30


@contextlib.contextmanager
def in_background(*words):
    with subprocess.Popen(["systemctl", *words], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as command:
        yield command


def ends_well(command):
    said, _ = command.communicate(timeout=40 * SLOWDOWN)
    assert command.returncode == 0, said


def test_starts_as_the_readme_says(unit):
    systemctl("enable", "--now", SERVICE)
    assert systemctl("is-active", SERVICE).stdout == "active\n"
    assert systemctl("is-enabled", SERVICE).stdout == "enabled\n"
    assert unit.show("Type") == ("notify-reload" if VERSION >= 253 else "notify")
    assert answers(port=TRANSACTIONAL) and answers(port=SESSION)
    with connect(port=SESSION):
        wait_until(lambda: re.search(r'^ +Status: "serving: 1 clients, [12] of 35 server connections"$',
                                     systemctl("status", SERVICE).stdout, re.M), 10, "how it goes is told")
    assert unit.user() == "pgtandem"
    with urllib.request.urlopen("http://127.0.0.1:9187/readyz", timeout=30) as answer:
        assert answer.status == 200
    assert "io-backend engine=io_uring" in unit.said()
    key = pathlib.Path("/var/lib/pgtandem/mock_key")
    assert key.stat().st_mode & 0o777 == 0o600 and key.parent.stat().st_mode & 0o777 == 0o700
    systemctl("stop", SERVICE)
    assert (unit.show("ActiveState"), unit.show("Result")) == ("inactive", "success")
    assert unit.complaints() == []


def test_file_that_is_no_good_fails_the_start(unit):
    # systemd's own limit is five starts in 10 s; a slow machine takes longer for them.
    unit.drop_in("[Unit]\nStartLimitIntervalSec=10min\n")
    unit.write("nonsense: 1\n")
    done = systemctl("start", SERVICE, check=False)
    assert done.returncode != 0 and "failed" in done.stdout
    # It is tried again for a while, and then it is enough.
    wait_until(lambda: unit.show("ActiveState") == "failed", 60, "it is given up")
    assert "nonsense" in unit.said(ERROR)


# ---------------------------------------------------------------------- reload


def test_reload(started):
    pid = started.pid
    with connect(port=SESSION) as before:
        started.write_more("log: { level: debug }")
        systemctl("reload", SERVICE)
        wait_until(lambda: "reload-change option=log.level" in started.said(), 10, "it has the new file")
        assert before.execute("SELECT 1").fetchone() == (1,)
    assert (started.pid, started.is_active()) == (pid, True)
    assert started.said().count(" reload result=") == 1
    assert started.complaints() == []


def test_reload_of_a_file_that_is_no_good(started):
    pid = started.pid
    started.write_more("log: { level: loud }")
    done = systemctl("reload", SERVICE, check=False)
    assert done.returncode != 0 and "failed" in done.stdout
    assert "unknown word" in started.said() and "Reload failed" in started.systemd_said()
    assert (started.pid, started.is_active(), answers()) == (pid, True, True)
    # And a good one after it.
    started.write_more("log: { level: debug }")
    systemctl("reload", SERVICE)
    wait_until(lambda: "reload-change option=log.level" in started.said(), 10, "it has the new file")


def test_reload_that_only_the_process_can_refuse(started):
    """The file is good; its address is somebody else's."""
    with socket.create_server(("127.0.0.1", 6555)):
        text = CONFIG.read_text(encoding="utf-8").replace('"0.0.0.0:6433"', '"0.0.0.0:6433", "127.0.0.1:6555"')
        started.write(text)
        systemctl("reload", SERVICE)
        wait_until(lambda: "reload-failed" in started.said(ERROR), 10, "it is refused")
        wait_until(lambda: "reload" in started.show("StatusText"), 10, "the status tells")
        assert started.is_active() and answers()
    systemctl("reload", SERVICE)
    wait_until(lambda: serves(port=6555), 10, "it has the new file")
    wait_until(lambda: "reload" not in started.show("StatusText"), 10, "the status tells no more")


# --------------------------------------------------------------------- the end


def test_restart_during_a_session(started):
    pid = started.pid
    with connect(port=SESSION) as session:
        session.execute("BEGIN")
        with in_background("restart", SERVICE) as restart:
            wait_until(lambda: started.show("StatusText").startswith("draining: 1 clients"), 10, "it waits")
            assert started.show("ActiveState") == "deactivating"
            with pytest.raises(psycopg.OperationalError):
                connect()
            assert session.execute("SELECT 1").fetchone() == (1,)
            session.execute("COMMIT")
            session.close()
            ends_well(restart)
    assert started.pid not in (0, pid) and answers()
    assert started.complaints() == []


def test_watchdog(started):
    pid = started.pid
    assert started.show("WatchdogUSec") == f"{WATCHDOG}s"
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: started.pid not in (0, pid) and started.is_active(), 3 * WATCHDOG, "it is started again", 1)
    assert started.show("NRestarts") == "1"
    assert f"Watchdog timeout (limit {WATCHDOG}s)" in started.systemd_said()
    assert answers()


@pytest.mark.parametrize("how", ["SEGV", "KILL", "ABRT"])
def test_crash(started, how):
    pid = started.pid
    os.kill(pid, getattr(signal, f"SIG{how}"))
    wait_until(lambda: started.pid not in (0, pid) and started.is_active(), 30, "it is started again")
    assert answers()


# --------------------------------------------------------------------- RESTART


def restart_by_console(unit):
    """Returns the pids of the old process and the new one."""
    old = unit.pid
    console("RESTART")
    wait_until(lambda: unit.pid not in (0, old), 10, "systemd knows the new one")
    assert unit.is_active() and answers()
    return old, unit.pid


def test_another_process_takes_over(started):
    started.drop_in("[Service]\nWatchdogSec=9s\n")
    systemctl("restart", SERVICE)
    with connect(port=SESSION) as session:
        old, new = restart_by_console(started)
        assert started.pids() == {old, new}
        # Its watchdog is fed, and the status is its own, for longer than a hang would be let be.
        first = int(started.show("WatchdogTimestampMonotonic"))
        wait_until(lambda: int(started.show("WatchdogTimestampMonotonic")) > first + 12e6, 60, "it is fed")
        assert started.show("StatusText").startswith("serving: 0 clients")
        assert (started.pid, started.show("NRestarts")) == (new, "0")
        # What systemctl does reaches the new one.
        started.write_more("log: { level: debug }")
        systemctl("reload", SERVICE)
        wait_until(lambda: "reload-change option=log.level" in started.said(_PID=str(new)), 10, "it is reloaded")
        assert session.execute("SELECT 1").fetchone() == (1,)
    wait_until(lambda: started.pids() == {new}, 30, "the old one has ended")
    assert started.is_active() and answers()
    # Nobody but who may has told systemd anything.
    assert started.complaints() == []
    # And what systemctl stop lets end is let end.
    with connect(port=SESSION) as session, in_background("stop", SERVICE) as stop:
        wait_until(lambda: started.show("StatusText").startswith("draining: 1 clients"), 10, "it waits")
        assert session.execute("SELECT 1").fetchone() == (1,)
        session.close()
        ends_well(stop)
    assert (started.pids(), started.show("Result")) == (set(), "success")


def test_stop_ends_all_that_took_over(started):
    with connect(port=SESSION) as session:
        pids = {*restart_by_console(started), *restart_by_console(started)}
        assert len(pids) == 3 and started.pids() <= pids
        with in_background("stop", SERVICE) as stop:
            wait_until(lambda: started.show("ActiveState") == "deactivating", 10, "it ends")
            assert session.execute("SELECT 1").fetchone() == (1,)
            session.close()
            ends_well(stop)
    assert (started.pids(), started.show("ActiveState"), started.show("Result")) == (set(), "inactive", "success")


def test_the_new_process_dies_while_the_old_one_drains(started):
    with connect(port=SESSION):
        _, new = restart_by_console(started)
        os.kill(new, signal.SIGKILL)
        wait_until(lambda: started.pid not in (0, new) and started.is_active() and serves(), WATCHDOG,
                   "it is started again", 1)


# --------------------------------------------------------------------- sockets


@pytest.fixture
def sockets(unit):
    """systemd listens; the service does not run."""
    unit.write_more("")
    shutil.copy(ROOT / "packaging" / SOCKET, UNITS)
    systemctl("daemon-reload")
    systemctl("enable", "--now", SOCKET)
    assert unit.show("ActiveState") == "inactive"
    return unit


def test_who_connects_before_it_runs_is_served(sockets):
    assert answers(port=SESSION) and answers(port=TRANSACTIONAL)
    assert sockets.is_active()
    # Nobody is refused while it is started again.
    for _ in range(3):
        with in_background("restart", SERVICE) as restart:
            assert answers() and answers(port=SESSION)
            ends_well(restart)
        systemctl("reset-failed", SERVICE)
    systemctl("stop", SERVICE)
    assert answers()
    assert "socket-unused" not in sockets.said()
    systemctl("stop", SOCKET, SERVICE)
    with pytest.raises(psycopg.OperationalError):
        connect()
    assert [text for text in sockets.complaints() if "can still be activated by" not in text] == []


def test_another_process_takes_over_sockets(sockets):
    assert answers()
    for _ in range(2):
        restart_by_console(sockets)
    wait_until(lambda: sockets.pids() == {sockets.pid}, 30, "the old ones have ended")
    systemctl("stop", SERVICE)
    assert answers() and sockets.is_active()


# ------------------------------------------------------------------- hardening


def test_systemd_understands_the_units(unit):
    path = unit.show("FragmentPath")
    assert path == "/usr/local/lib/systemd/system/pgtandem.service"
    assert run("systemd-analyze", "verify", "--man=no", path).stdout == ""
    run("systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=40", path)


def make_certificate(folder):
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
        "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"))
    run("chgrp", "pgtandem", str(folder / "key.pem"))
    (folder / "key.pem").chmod(0o640)


EVERYTHING = """
process: { io_backend: io_uring, pid_file: /run/pgtandem/pgtandem.pid }
hosts:
  main:
    host: /var/run/postgresql
    connection_budget: auto
    user: app
    password_command: [ /usr/local/bin/secret ]
workloads:
  transactional: { listen: [ "0.0.0.0:6432", "unix:/run/pgtandem:6432" ], pool_mode: transaction }
  session: { listen: [ "0.0.0.0:6433" ], pool_mode: session }
databases: { "*": { host: main } }
auth: { auth_type: hba, auth_file: /etc/pgtandem/userlist.txt, auth_hba_file: /etc/pgtandem/hba.conf }
tls:
  client_tls_sslmode: allow
  client_tls_key_file: /etc/pgtandem/key.pem
  client_tls_cert_file: /etc/pgtandem/cert.pem
admin: { admin_users: [ admin ] }
log: { destination: file, file: /var/log/pgtandem/pgtandem.log }
"""


def test_what_a_router_may_want_of_the_system(unit):
    """A file of keys, sockets in directories, a log file, a pid file, programs: all in the
    places that the unit makes for them."""
    folder = CONFIG.parent
    make_certificate(folder)
    (folder / "hba.conf").write_text('host all "/^(app|admin)$" all scram-sha-256\n'
                                     'local all all scram-sha-256\n', encoding="utf-8")
    program = pathlib.Path("/usr/local/bin/secret")
    program.write_text("#!/bin/sh\necho 'app secret'\n", encoding="utf-8")
    program.chmod(0o755)
    # Debian's own has "peer" there.
    hba = next(pathlib.Path("/etc/postgresql").glob("*/main/pg_hba.conf"))
    hba.write_text(re.sub(r"(?m)^(local +all +)all +peer$", r"\1app scram-sha-256", hba.read_text(encoding="utf-8")),
                   encoding="utf-8")
    systemctl("reload", "postgresql")
    unit.write(EVERYTHING)
    systemctl("start", SERVICE)
    log = pathlib.Path("/var/log/pgtandem/pgtandem.log")
    assert answers(sslmode="require")
    assert answers(host="/run/pgtandem")
    wait_until(lambda: console("SHOW HOSTS") and "budget" in log.read_text(encoding="utf-8"), 20, "the limits are read")
    assert pathlib.Path("/run/pgtandem/pgtandem.pid").read_text(encoding="ascii").strip() == str(unit.pid)
    # The log is another file when it was renamed.
    log.rename(log.with_suffix(".1"))
    systemctl("reload", SERVICE)
    wait_until(lambda: log.exists() and "reload" in log.read_text(encoding="utf-8"), 10, "the log is open again")
    restart_by_console(unit)
    assert answers(sslmode="require") and answers(host="/run/pgtandem")
    systemctl("stop", SERVICE)
    assert not pathlib.Path("/run/pgtandem").exists()
    assert unit.complaints() == []
    assert " error " not in log.read_text(encoding="utf-8")


# ------------------------------------------------------------------- the journal


@pytest.mark.parametrize("log", ["{ format: text }", "{ format: json }", "{ destination: journald }"])
def test_journal_has_levels(unit, log):
    unit.write_more(f"log: {log}")
    systemctl("start", SERVICE)
    unit.write_more("log: { level: loud }")
    os.kill(unit.pid, signal.SIGHUP)
    wait_until(lambda: "reload-failed" in unit.said(ERROR), 10, "it is told")
    entries = unit.journal()
    assert entries and not any(entry["MESSAGE"].startswith("<") for entry in entries)
    starts = [entry for entry in entries if "version=" in entry["MESSAGE"] or '"version"' in entry["MESSAGE"]]
    assert [entry["PRIORITY"] for entry in starts] == ["6"]
    assert {entry["SYSLOG_IDENTIFIER"] for entry in entries} == {"pgtandem"}
    if "journald" in log:
        assert starts[0]["PGTANDEM_EVENT"] == "start"
    # As it says when journald was away, too.
    systemctl("restart", "systemd-journald")
    unit.write_more(f"log: {log}")
    os.kill(unit.pid, signal.SIGHUP)
    wait_until(lambda: re.search("settings? changed", unit.said()), 10, "it is told")


# ------------------------------------------------------------------------- users


def test_user_of_the_unit_and_of_the_file(unit):
    unit.write_more("process: { user: pgtandem }")
    systemctl("start", SERVICE)
    assert unit.user() == "pgtandem" and answers()
    assert unit.complaints() == []


def test_started_as_root_it_becomes_another_user(unit):
    """As whoever has keys that only root may read, with the drop-in of pgtandem(1)."""
    unit.drop_in("[Service]\nUser=\nCapabilityBoundingSet=CAP_SETUID CAP_SETGID\n")
    unit.write_more("process: { user: pgtandem }")
    systemctl("start", SERVICE)
    assert unit.user() == "pgtandem" and answers()
    restart_by_console(unit)
    assert unit.user() == "pgtandem"
    systemctl("stop", SERVICE)
    assert unit.show("Result") == "success"
    # The unit makes its directories for the user that it names.
    assert all("mock-key" in text for text in unit.complaints())


@pytest.mark.skipif(VERSION < 255, reason="systemd leaves CAP_SETUID to root before")
def test_unit_of_root_may_not_become_another_user(unit):
    unit.drop_in("[Service]\nUser=root\nCapabilityBoundingSet=CAP_SETUID CAP_SETGID\n")
    unit.write_more("process: { user: pgtandem }")
    assert systemctl("start", SERVICE, check=False).returncode != 0
    assert "Operation not permitted; it takes CAP_SETUID" in unit.said(ERROR)


def test_unit_is_of_use_without_postgresql(unit):
    """It starts, says that there is none, and serves when there is one."""
    systemctl("stop", "postgresql")
    try:
        systemctl("start", SERVICE)
        assert unit.is_active()
    finally:
        systemctl("start", "postgresql")
    wait_until(lambda: in_postgres("SELECT 1") == "1\n", 60, "PostgreSQL is up")
    wait_until(serves, 30, "it serves")

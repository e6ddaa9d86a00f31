# SPDX-License-Identifier: ISC
"""RESTART: another process takes over, and nobody is refused."""
import os
import pathlib
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading

import psycopg
import pytest
from support import needs
from support import wire as w
from support.adopted import Adopted
from support.net import free_port, listening_ports
from support.restarted import Watch
from support.wait import wait_until
from support.web import Web
from test_commands import APP, Console, Load

pytestmark = pytest.mark.router_only


@pytest.fixture
def open_directory():
    """One where everybody may look, which pytest's own is not."""
    with tempfile.TemporaryDirectory() as where:
        os.chmod(where, 0o755)
        yield pathlib.Path(where)


def test_five_restarts_under_load(restarted, postgres):
    """Logins all the time on both ports, and clients that stay: nothing fails, and the
    processes together keep within the budget."""
    router = restarted({"hosts": {"main": {"connection_budget": 12}}})
    with Watch(postgres) as watch, \
            Load(router.transactional, 6, persistent=False) as first, \
            Load(router.session, 3, persistent=False) as second, \
            Load(router.transactional, 2) as third:
        for _ in range(5):
            for load in (first, second, third):
                load.has_moved()
            router.restart()
        for load in (first, second, third):
            load.has_moved()
        wait_until(lambda: [p.pid for p in router.before if p.poll() is None] ==
                   [router.before[0].pid], 10, "only the first still has clients")
    assert not first.errors + second.errors + third.errors
    router.old_ones_end()
    assert 0 < watch.most <= 12
    # All of the budget is the last one's.
    wait_until(lambda: "predecessor-end left=0" in router.log().split("took-over")[-1], 10)
    hold = [router.session.wire() for _ in range(6)]
    for wire in hold:
        wire.query("BEGIN")
    hold += [router.transactional.wire() for _ in range(6)]
    for wire in hold[6:]:
        wire.query("BEGIN")
    assert postgres.count(f"{APP} AND state = 'idle in transaction'") == 12
    for wire in hold:
        wire.close()


def test_a_broken_file_changes_nothing(restarted):
    router = restarted()
    pid = router.process.pid
    good = router.config_file.read_text()
    router.expect_error("restart-failed|start-failed")
    with Load(router.transactional, 4, persistent=False) as load, router.session.wire() as wire:
        wire.query("BEGIN")
        for bad in ("nonsense\n", good + "\nhttp: { listen: [\"127.0.0.1:1x\"] }\n",
                    good.replace("userlist.txt", "missing.txt")):
            load.has_moved()
            router.config_file.write_text(bad)
            with Console(router) as console:
                state, text = console.fails("RESTART")
            assert state == "F0000" and text.startswith("RESTART failed: "), text
            assert "pgtandem.yaml:" in text or "listen" in text or "missing.txt" in text, text
        load.has_moved()
        assert wire.query("COMMIT")[-1].body == b"I"
    assert not load.errors
    assert router.pid() == pid and router.is_running()
    router.config_file.write_text(good)
    router.restart()
    with router.transactional.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("what, why", [
    (None, "No such file or directory"), ("garbage", "Exec format error"),
    ("#!/bin/sh\nexit 5\n", "with exit status 5"), ("#!/bin/sh\nkill -9 $$\n", "by signal 9")])
def test_a_program_that_does_not_start_is_named(restarted, tmp_path, monkeypatch, what, why):
    program = tmp_path / "pgtandem"
    shutil.copy(os.environ["PGTANDEM"], program)
    monkeypatch.setenv("PGTANDEM", str(program))
    router = restarted()
    router.expect_error("restart-failed")
    program.rename(tmp_path / "moved")
    if what is not None:
        program.write_text(what)
        program.chmod(0o755)
    with Console(router) as console:
        # Whoever has heard of it may try again at once.
        for _ in range(3):
            text = console.fails("RESTART")[1]
            assert str(program) in text and why in text, text
    assert why in router.log()
    with router.transactional.wire() as wire:
        assert wire.value("SELECT 1") == "1"


def test_a_program_that_does_not_start_is_named_under_systemd(restarted, tmp_path, monkeypatch):
    """The new process is no child of the old one's there: it tells itself."""
    program = tmp_path / "pgtandem"
    shutil.copy(os.environ["PGTANDEM"], program)
    monkeypatch.setenv("PGTANDEM", str(program))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    router = restarted()
    router.expect_error("restart-failed")
    program.rename(tmp_path / "moved")
    program.write_text("garbage")
    program.chmod(0o755)
    with Console(router) as console:
        text = console.fails("RESTART")[1]
        assert f"cannot start {program}: Exec format error" in text, text


def test_another_pid_file_leaves_none_behind(restarted):
    """While the old process drains it is that one's; afterwards it is gone."""
    router = restarted()
    old, new = router.directory / "pid", router.directory / "pid2"
    with router.transactional.wire() as wire:
        assert wire.value("SELECT 1") == "1"
        router.config["process"]["pid_file"] = str(new)
        router.write_config()
        assert router.command("RESTART") == "RESTART"
        wait_until(lambda: new.exists() and new.read_text().endswith("\n"), 10, "the new one's")
        router.before.append(router.process)
        router.process = Adopted(int(new.read_text()))
        assert int(old.read_text()) == router.before[0].pid
    router.old_ones_end()
    assert not old.exists() and int(new.read_text()) == router.process.pid


def test_sessions_go_on_and_end_in_peace(restarted):
    router = restarted()
    with router.session.wire() as session, router.transactional.wire() as wire:
        session.query("CREATE TEMP TABLE mine (a int)")
        wire.query("BEGIN")
        router.restart()
        assert session.query("INSERT INTO mine VALUES (1)")[-1].body == b"I"
        assert wire.query("COMMIT")[-1].body == b"I"
        assert wire.value("SELECT 'stays'") == "stays"
        assert router.before[0].poll() is None
        assert router.transactional.connect().execute("SELECT 1").fetchone() == (1,)
        session.quit()
        wire.quit()
    router.old_ones_end()
    assert router.ports["session"] in listening_ports()


def test_idle_clients_are_told_where_configured(restarted):
    router = restarted({"process": {"drain_ends_idle": True}})
    with router.session.wire() as session, router.transactional.wire() as busy, \
            router.transactional.wire() as idle:
        idle.query("SELECT 1")
        busy.query("BEGIN")
        session.query("SELECT 1")
        router.restart()
        assert [m.sqlstate for m in idle.until_closed() if m.type == "E"] == ["57P01"]
        assert busy.value("SELECT 1") == "1"
        busy.send(w.query("COMMIT"))
        seen = busy.until_closed()
        assert any(m.type == "C" for m in seen)
        assert [m.sqlstate for m in seen if m.type == "E"] == ["57P01"]
        assert session.value("SELECT 1") == "1"
    router.old_ones_end()


def test_drain_timeout_bounds_it(restarted):
    router = restarted({"process": {"drain_timeout": "500ms"}})
    with router.session.wire() as session:
        session.query("BEGIN")
        router.restart()
        session.until_closed()
    router.old_ones_end()


def test_cancel_finds_the_old_process(restarted, postgres):
    """The request comes to the new one."""
    router = restarted()
    with router.transactional.connect() as connection:
        errors = []

        def run():
            try:
                connection.execute("SELECT pg_sleep(300)")
            except psycopg.errors.QueryCanceled as error:
                errors.append(error.sqlstate)
        thread = threading.Thread(target=run)
        thread.start()
        wait_until(lambda: postgres.count(f"{APP} AND query LIKE '%pg_sleep(300)%'"
                                          " AND state = 'active'") == 1)
        router.restart()
        router.restart()
        connection.cancel()
        thread.join(20)
        assert errors == ["57014"]


def test_a_cancel_that_came_before_another_restart_finds_the_first_process(restarted):
    """It was accepted by the second, and is read when that has been replaced, too."""
    router = restarted()
    with router.transactional.raw() as wire:
        messages = wire.login("app_scram", router.transactional.dsn("app_scram")["password"], "app")
        key = next(m for m in messages if m.type == "K").body
        wire.send(w.query("SELECT pg_sleep(100)"))
        router.restart()
        with router.transactional.raw() as late:
            wait_until(lambda: {"list": "login_clients", "items": 1} in router.show("lists"), 10,
                       "it has come")
            router.restart()
            late.send(w.cancel_request(*struct.unpack("!i", key[:4]), key[4:]))
            assert w.errors(wire.until_ready()) == ["57014"]
    router.old_ones_end()


def test_a_cancel_request_ends_one_query(restarted, postgres):
    """Whoever it is not for does not pass it back: it would come again and again."""
    router = restarted()
    with router.transactional.raw() as wire:
        messages = wire.login("app_scram", router.transactional.dsn("app_scram")["password"], "app")
        key = next(m for m in messages if m.type == "K").body
        router.restart()
        with router.transactional.wire():
            router.restart()
            wire.send(w.query("SELECT pg_sleep(100)"))
            wait_until(lambda: postgres.count(f"{APP} AND query LIKE '%pg_sleep(100)%'"
                                              " AND state = 'active'") == 1)
            with router.transactional.raw() as late:
                late.send(w.cancel_request(*struct.unpack("!i", key[:4]), key[4:]))
                assert w.errors(wire.until_ready()) == ["57014"]
            for _ in range(3):
                assert not w.errors(wire.query("SELECT pg_sleep(0.3)"))
    router.old_ones_end()


def test_unix_sockets_and_http_go_over(restarted, tmp_path):
    directory = tmp_path / "s"
    directory.mkdir()
    port = free_port()
    router = restarted({
        "workloads": {
            "local": {"pool_mode": "transaction", "listen": [f"unix:{directory}:6432"]},
            "gone": {"pool_mode": "transaction", "listen": [f"unix:{directory}:6433"]}},
        "http": {"listen": [f"127.0.0.1:{port}"]}})
    web = Web(port)
    assert web.get("/readyz").code == 200
    path, gone = directory / ".s.PGSQL.6432", directory / ".s.PGSQL.6433"
    assert path.exists() and gone.exists()
    local = router.unix(directory, 6432)
    with local.connect() as connection:
        connection.execute("SELECT 1")
        router.config["workloads"].pop("gone")
        router.write_config()
        router.restart()
        with local.connect() as other:
            assert other.execute("SELECT 1").fetchone() == (1,)
        assert web.get("/readyz").code == 200
    router.old_ones_end()
    assert web.get("/readyz").code == 200
    assert path.exists()
    assert not gone.exists()
    with local.connect() as other:
        assert other.execute("SELECT 1").fetchone() == (1,)
    assert router.stop() == 0
    assert not path.exists()


def test_restart_is_refused_where_somebody_would_wait_in_vain(restarted):
    router = restarted()
    with Console(router) as console:
        console.run("SUSPEND")
        assert console.fails("RESTART") == ("55000", "pooler is suspended")
        console.run("RESUME")
        console.begin("RESTART")
        assert console.end() == ["RESTART"]
        assert console.fails("RELOAD")[0] == "F0000"
        assert console.fails("RESTART") == ("55000", "a restart is under way, or has been")
    router.expect_error("reload-failed")
    router.follow()
    router.old_ones_end()


def test_systemd_hears_of_the_new_process(restarted, tmp_path, monkeypatch):
    path, lines = str(tmp_path / "notify"), []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        monkeypatch.setenv("WATCHDOG_USEC", "900000")

        def heard():
            try:
                while True:
                    lines.extend(sock.recv(65536).decode().splitlines())
            except BlockingIOError:
                return lines
        router = restarted()
        if "libsystemd" not in open(f"/proc/{router.process.pid}/maps", encoding="ascii").read():
            needs.missing("libsystemd in the program", "tools/install-deps build, then configure")
        with router.session.wire() as session:
            router.restart()
            main = f"MAINPID={router.process.pid}"
            # systemd waits for its own children alone, here for those of this process.
            status = pathlib.Path(f"/proc/{router.process.pid}/status").read_text(encoding="ascii")
            assert f"\nPPid:\t{os.getpid()}\n" in status and router.before[0].poll() is None
            wait_until(lambda: main in heard(), 10, "it is told")
            wait_until(lambda: heard()[heard().index(main):].count("WATCHDOG=1") >= 2, 10, "the new one feeds it")
            wait_until(lambda: sum(line.startswith("STATUS=") for line in heard()[heard().index(main):]) >= 3, 10,
                       "the new one tells how it goes")
            # Who is not the main process is not listened to, and warned of for each word.
            assert heard().count("READY=1") == 1
            assert not any(line.startswith("STATUS=draining") for line in heard())
            assert "STOPPING=1" not in heard()
            # What is left when the main process ends is ended by systemd.
            router.signal(signal.SIGTERM)
            wait_until(lambda: "STATUS=draining: 0 clients" in "\n".join(heard()), 10, "it drains")
            assert session.query("SELECT 1")[-1].body == b"I"
            assert router.process.poll() is None and router.before[0].poll() is None
            session.quit()
            router.old_ones_end()
            assert router.process.wait(30) == 0


def test_the_new_process_dies_under_systemd(restarted, tmp_path, monkeypatch):
    """It starts the unit again when nobody of it is left, and tells those who are once."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    router = restarted()
    if "libsystemd" not in open(f"/proc/{router.process.pid}/maps", encoding="ascii").read():
        needs.missing("libsystemd in the program", "tools/install-deps build, then configure")
    with router.session.wire() as session:
        router.restart()
        os.kill(router.process.pid, signal.SIGKILL)
        assert router.process.wait(10) == -signal.SIGKILL
        assert session.query("SELECT 1")[-1].body == b"I"
        router.before[0].send_signal(signal.SIGTERM)
        router.old_ones_end()
        router.start()


@pytest.mark.usefixtures("as_root")
def test_restart_as_another_user(open_directory, restarted):
    """What was given up after the start is not needed again, nor the pid file's rights."""
    router = restarted({"process": {"user": "nobody"}}, open_directory)
    for _ in range(2):
        router.restart()
        status = open(f"/proc/{router.process.pid}/status", encoding="ascii").read()
        assert f"\nUid:\t{pwd.getpwnam('nobody').pw_uid}\t" in status
        with router.session.connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    router.old_ones_end()


# ------------------------------------------------------------------ as process 1


def children(pid):
    return [int(n) for n in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def descendants(pid):
    found = children(pid)
    return found + [below for child in found for below in descendants(child)]


class Contained:
    """The router as process 1 of a namespace of processes, as in a container."""

    def __init__(self, router):
        self.router = router
        with open(router.log_file, "ab") as log:
            router.process = subprocess.Popen(
                ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", router.program(),
                 "--config", str(router.config_file)], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, cwd=router.directory)
        wait_until(self.is_up, 15, "it listens, or may not be started so")

    def is_up(self):
        if self.router.process.poll() is not None and "unshare" in self.router.log():
            self.router.process = None      # its exit code is no finding
            needs.not_allowed("a namespace of processes: " + self.router.log())
        return self.router.ports["session"] in listening_ports()

    def first(self):
        return children(self.router.process.pid)[0]

    def all(self):
        return descendants(self.router.process.pid)

    def restart(self, left):
        assert self.router.command("RESTART") == "RESTART"
        wait_until(lambda: len(self.all()) == left, 20, "those are left who have something to do")

    def serves(self):
        with self.router.transactional.connect() as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)


def test_as_process_1(make_router):
    """It stays until the last one ends, and passes on what it is told."""
    router = make_router(start=False)
    held = Contained(router)
    first = held.first()
    # The first stays with nothing to do, the newest serves, and who is between has gone.
    for _ in range(3):
        held.restart(2)
        assert held.serves() and held.first() == first
    with router.session.wire() as session:
        session.query("BEGIN")
        held.restart(3)
        os.kill(first, signal.SIGHUP)
        wait_until(lambda: router.log().count('reload result="0 settings changed"') == 1, 10,
                   "the newest reloads")
        os.kill(first, signal.SIGTERM)
        wait_until(lambda: router.ports["session"] not in listening_ports(), 10, "it drains")
        assert session.query("COMMIT")[-1].body == b"I"
        session.quit()
    assert router.wait_exit() == 0


def test_as_process_1_while_its_own_clients_end(make_router):
    """A stop of the container is for both; and what is left is not thrown out with it."""
    router = make_router(start=False)
    held = Contained(router)
    with router.session.wire() as old, Console(router) as console:
        old.query("BEGIN")
        console.begin("RESTART")
        assert console.end() == ["RESTART"]
        wait_until(lambda: len(held.all()) == 2, 10)
        with router.session.wire() as new:
            new.query("BEGIN")
            os.kill(held.first(), signal.SIGTERM)
            wait_until(lambda: router.ports["session"] not in listening_ports(), 10, "it drains")
            assert new.query("COMMIT")[-1].body == b"I"
            assert old.query("COMMIT")[-1].body == b"I"
            new.quit()
        old.quit()
    assert router.wait_exit() == 0

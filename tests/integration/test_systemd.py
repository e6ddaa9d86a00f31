# SPDX-License-Identifier: ISC
"""What systemd is told, by a socket in its place."""
import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading

import psycopg
import pytest
from support import needs
from support import wire as w
from support.freeze import frozen
from support.net import free_port, has_ipv6, listening_ports
from support.router import ADMIN, Endpoint, Router
from support.wait import wait_until

pytestmark = pytest.mark.router_only


@pytest.fixture
def systemd(tmp_path, monkeypatch):
    """Lines that came so far: call it."""
    path, lines = str(tmp_path / "notify"), []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        os.chmod(path, 0o777)
        sock.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        monkeypatch.setenv("WATCHDOG_USEC", "900000")

        def read():
            try:
                while True:
                    lines.extend(sock.recv(65536).decode().splitlines())
            except BlockingIOError:
                return lines
        yield read


def test_what_it_is_told(make_router, systemd):
    router = make_router(start=False)
    router.start()
    if "libsystemd" not in open(f"/proc/{router.process.pid}/maps", encoding="ascii").read():
        needs.missing("libsystemd in the program", "tools/install-deps build, then configure")
    wait_until(lambda: "READY=1" in systemd(), 10, "it is ready")
    with router.transactional.connect() as connection:
        connection.execute("SELECT 1")
        wait_until(lambda: "STATUS=serving: 1 clients, 1 of 20 server connections" in systemd(), 10,
                   "how it goes is told")
    wait_until(lambda: "WATCHDOG=1" in systemd(), 10, "the watchdog is fed")
    # What somebody has forgotten.
    for command, word in (("PAUSE app", "; paused, see SHOW DATABASES"), ("RESUME app", "connections"),
                          ("SUSPEND", "; suspended, RESUME ends that"), ("RESUME", "connections")):
        router.command(command)
        wait_until(lambda end=word: [line for line in systemd()
                                     if line.startswith("STATUS=")][-1].endswith(end), 10, command)
    seen = len(systemd())
    router.reload()
    wait_until(lambda: "READY=1" in systemd()[seen:], 10, "it has reloaded")
    told = systemd()[seen:]
    assert told.index("RELOADING=1") < told.index("READY=1")
    assert any(line.startswith("MONOTONIC_USEC=") for line in told)
    # A thread that hangs starves the watchdog; when it goes on, so does that.
    with frozen(router, "worker-1"):
        seen = len(systemd())
        wait_until(lambda: sum(line.startswith("STATUS=") for line in systemd()[seen:]) >= 4, 20,
                   "the rest goes on")
        # One may have been on its way.
        assert systemd()[seen:].count("WATCHDOG=1") <= 1
    seen = len(systemd())
    wait_until(lambda: systemd()[seen:].count("WATCHDOG=1") >= 2, 10, "it is fed again")
    assert router.stop() == 0
    assert "STOPPING=1" in systemd()


def test_reload_that_is_refused_ends(make_router, systemd):
    router = make_router(start=False)
    router.start()
    if "libsystemd" not in open(f"/proc/{router.process.pid}/maps", encoding="ascii").read():
        needs.missing("libsystemd in the program", "tools/install-deps build, then configure")
    wait_until(lambda: "READY=1" in systemd(), 10, "it is ready")
    seen = len(systemd())
    router.expect_error("reload-failed")
    router.config_file.write_text("nonsense\n")
    router.reload(expect="error")
    wait_until(lambda: "READY=1" in systemd()[seen:], 10, "systemd does not wait for ever")
    refused = "; the last reload was refused, see the log"
    assert any(line.startswith("STATUS=serving") and line.endswith(refused) for line in systemd()[seen:])
    router.write_config()
    seen = len(systemd())
    router.reload()
    wait_until(lambda: "READY=1" in systemd()[seen:], 10, "it has reloaded")
    told = systemd()[seen + systemd()[seen:].index("READY=1"):]
    assert not any(line.endswith(refused) for line in told)


def what_it_tells(router, is_journal, until_exit):
    """Lines on standard error, which JOURNAL_STREAM names, or does not."""
    read, write = os.pipe()
    number = os.fstat(write).st_ino + (0 if is_journal else 1)
    router.process = subprocess.Popen(
        [router.program(), "--config", str(router.config_file)], stdin=subprocess.DEVNULL, stderr=write,
        cwd=router.directory, env={**os.environ, "JOURNAL_STREAM": f"{os.fstat(write).st_dev}:{number}"})
    os.close(write)
    with open(read, encoding="utf-8") as lines:
        if not until_exit:
            wait_until(router.is_listening, 15, "it runs")
            router.signal(signal.SIGTERM)
        router.wait_exit()
        return lines.read().splitlines()


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_journal_is_told_the_level(make_router, log_format):
    """Where standard error is a stream to it (systemd.exec(5)), and nowhere else."""
    router = make_router({"log": {"format": log_format}}, start=False)
    for is_journal in True, False:
        told = what_it_tells(router, is_journal, False)
        assert any("version=" in line or '"version"' in line for line in told)
        for line in told:
            priority, level = re.match(r"(<\d>)?.*?\b(error|warn|info)\b", line).groups()
            assert priority == ({"error": "<3>", "warn": "<4>", "info": "<6>"}[level] if is_journal else None), line
    # What fails before it knows where the log is to go.
    router.config_file.write_text("nonsense\n", encoding="utf-8")
    router.expected_exit = 1
    told = what_it_tells(router, True, True)
    assert told[0].startswith("<3>") and "start-failed" in told[0]


@pytest.fixture
def needs_libsystemd():
    if b"sd_listen_fds" not in pathlib.Path(Router.program()).read_bytes():
        needs.missing("libsystemd in the program", "tools/install-deps build, then configure")


def with_sockets(router, sockets, names, said=" start "):
    """Starts the router as systemd does: sd_listen_fds(3)."""
    fds = {3 + i: sock for i, sock in enumerate(sockets)}
    script = (f"exec env LISTEN_PID=$$ LISTEN_FDS={len(sockets)} LISTEN_FDNAMES={':'.join(names)}"
              f" {router.program()} --config {router.config_file}"
              + "".join(f" {fd}<&{sock.fileno()}" for fd, sock in fds.items()))
    with open(router.log_file, "ab") as log:
        router.process = subprocess.Popen(
            ["bash", "-c", script], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            cwd=router.directory, pass_fds=[sock.fileno() for sock in sockets])
    wait_until(lambda: said in router.log().rsplit("info  stop", 1)[-1], 15, "it runs")


def test_sockets_of_systemd(needs_libsystemd, make_router, tmp_path):
    """What comes while it is stopped waits, and is served when it runs again; a unix
    socket's name stays."""
    path = tmp_path / ".s.PGSQL.6432"
    router = make_router({"workloads": {
        "local": {"pool_mode": "transaction", "listen": [f"unix:{tmp_path}:6432"]}}},
        start=False)
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix:
        tcp.bind(("127.0.0.1", router.ports["session"]))
        unix.bind(str(path))
        tcp.listen(10)
        unix.listen(10)
        for _ in range(2):
            waiting = router.session.raw()
            with_sockets(router, [tcp, unix], ["session", "local"])
            waiting.login("app_scram", router.session.dsn()["password"], "app")
            assert waiting.value("SELECT 1") == "1"
            with router.unix(tmp_path, 6432).connect() as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
            # A port of its own beside them.
            with router.transactional.connect() as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
            waiting.close()
            assert router.stop() == 0
            assert path.exists()


@pytest.mark.parametrize("host", ["*", "[::]"])
def test_one_socket_for_both_families(needs_libsystemd, make_router, host):
    """As ListenStream= with nothing but a port makes it."""
    if not has_ipv6():
        needs.not_allowed("IPv6")
    router = make_router(start=False)
    port = router.ports["session"]
    router.config["workloads"]["session"]["listen"] = [f"{host}:{port}"]
    router.write_config()
    with socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True) as both:
        with_sockets(router, [both], ["session"])
        for address in ("127.0.0.1", "::1"):
            with Endpoint(address, port).connect() as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
        assert router.stop() == 0


def test_who_is_let_in_before_the_end_is_served(needs_libsystemd, make_router):
    """Who comes to sockets of systemd's at a restart is served by the process that ends, or
    by the next one; nobody is sent away."""
    router = make_router(start=False)
    with socket.socket() as tcp:
        tcp.bind(("127.0.0.1", router.ports["session"]))
        tcp.listen(10)
        with_sockets(router, [tcp], ["session"])
        login = "app_scram", router.session.dsn()["password"], "app"
        early = router.session.raw()
        early.send(w.SSL_REQUEST)
        assert early.socket.recv(1) in (b"S", b"N")
        router.signal(signal.SIGTERM)
        wait_until(lambda: " drain " in router.log(), 10, "it drains")
        wait_until(lambda: router.ports["transactional"] not in listening_ports(), 10, "its own port is closed")
        # This one's or the next one's: whose it is nobody knows.
        late, said = router.session.raw(), []

        def go_on():
            late.login(*login)
            said.append(late.value("SELECT 1"))
            late.close()
        thread = threading.Thread(target=go_on)
        thread.start()
        early.login(*login)
        assert early.value("SELECT 1") == "1"
        assert router.process.poll() is None
        early.close()
        assert router.wait_exit() == 0
        with_sockets(router, [tcp], ["session"])
        thread.join(60)
        assert said == ["1"]


@pytest.mark.parametrize(("number", "then"), [
    (signal.SIGTERM, None), (signal.SIGINT, None), (signal.SIGTERM, "SHUTDOWN WAIT_FOR_SERVERS")])
def test_the_console_can_be_reached_until_the_end(
        needs_libsystemd, make_router, tmp_path, number, then):
    """By unix sockets of the router's own, and admin.listen, also where that is systemd's; who
    looks on is not waited for, and others are sent away there."""
    ports = free_port(), free_port()
    router = make_router({"admin": {"listen": [f"127.0.0.1:{port}" for port in ports]}, "workloads": {
        "local": {"pool_mode": "session", "listen": [f"unix:{tmp_path}:{ports[0]}"]}}}, start=False)
    local = Endpoint(str(tmp_path), ports[0])
    with contextlib.ExitStack() as stack:
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", router.ports["session"])))
        admin = stack.enter_context(socket.create_server(("127.0.0.1", ports[1])))
        with_sockets(router, [tcp, admin], ["session", "admin"])
        wire = stack.enter_context(router.session.wire(application_name="the one"))
        wire.query("BEGIN")
        router.signal(number)
        wait_until(lambda: router.ports["transactional"] not in listening_ports(), 10, "it drains")
        if then:
            with local.connect(ADMIN[0], "pgbouncer") as console:
                console.execute(then)
            wait_until(lambda: "waits_for=servers" in router.log(), 10, "it has heard of it")
        for endpoint in (local, *(Endpoint("127.0.0.1", port) for port in ports)):
            console = stack.enter_context(endpoint.connect(ADMIN[0], "pgbouncer"))
            assert "the one" in [row[18] for row in console.execute("SHOW CLIENTS").fetchall()]
            # Who says nothing there is not waited for, either.
            stack.enter_context(contextlib.closing(endpoint.raw()))
        with pytest.raises(psycopg.OperationalError, match="is shutting down"):
            local.connect()
        assert wire.query("COMMIT")[-1].body == b"I"
        assert router.process.poll() is None
        wire.quit()
        assert router.wait_exit() == 0
    assert not (tmp_path / f".s.PGSQL.{ports[0]}").exists()


def test_sockets_that_do_not_fit(needs_libsystemd, make_router):
    """The name says one workload and the address another."""
    router = make_router(start=False)
    router.expect_error("start-failed")
    router.expected_exit = 1
    with socket.socket() as tcp:
        tcp.bind(("127.0.0.1", router.ports["session"]))
        tcp.listen(10)
        with_sockets(router, [tcp], ["transactional"], "start-failed")
        assert router.wait_exit() == 1
    assert "transactional" in router.log()


def test_socket_that_nobody_wants_is_told(needs_libsystemd, make_router):
    router = make_router(start=False)
    with socket.socket() as tcp:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen(10)
        with_sockets(router, [tcp], ["spare"])
        assert "socket-unused" in router.log()

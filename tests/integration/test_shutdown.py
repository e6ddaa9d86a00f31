# SPDX-License-Identifier: ISC
"""How the router ends: gracefully, quickly, at once."""
import contextlib
import signal

import psycopg
import pytest
from support import wire as w
from support.net import free_port, listening_ports
from support.router import ADMIN, Endpoint
from support.wait import wait_until

pytestmark = pytest.mark.router_only


def test_sigterm_without_clients(router):
    router.signal(signal.SIGTERM)
    assert router.wait_exit() == 0


def test_sigterm_lets_sessions_end(router, postgres):
    """No new clients, but those who are in finish their work; then the router ends, and
    its servers with it."""
    with router.session.wire() as session, router.transactional.wire() as wire:
        session.query("BEGIN")
        wire.query("BEGIN")
        router.signal(signal.SIGTERM)
        wait_until(lambda: router.ports["session"] not in listening_ports(), 5,
                   "it does not listen any more")
        assert session.value("SELECT 1") == "1"
        assert session.query("COMMIT")[-1].body == b"I"
        assert wire.query("COMMIT")[-1].body == b"I"
        session.quit()
        wire.quit()
    assert router.wait_exit() == 0
    wait_until(lambda: postgres.count("usename = 'app_scram'") == 0, 5, "no server is left")


def test_second_sigterm_ends_at_once(router):
    with router.session.wire() as wire:
        wire.query("BEGIN")
        router.signal(signal.SIGTERM)
        wait_until(lambda: router.ports["session"] not in listening_ports(), 5)
        assert router.is_running()
        router.signal(signal.SIGTERM)
        assert router.wait_exit() == 0
        assert [m.sqlstate for m in wire.until_closed() if m.type == "E"] in (["57P01"], [])


def test_sigint_waits_for_servers(router):
    """Idle clients are told to go; a transaction in progress gets to its end."""
    with router.transactional.wire() as busy, router.transactional.wire() as idle:
        idle.query("SELECT 1")
        busy.query("BEGIN")
        router.signal(signal.SIGINT)
        wait_until(lambda: router.ports["session"] not in listening_ports(), 5)
        assert busy.value("SELECT 1") == "1"
        assert router.is_running()
        busy.send(w.query("COMMIT"))
        assert busy.until_ready()[-1].body == b"I"
        assert router.wait_exit() == 0


def test_sigquit_ends_at_once(router, postgres):
    with router.session.wire() as wire:
        wire.send(w.query("SELECT pg_sleep(300)"))
        wait_until(lambda: postgres.count("query LIKE '%pg_sleep(300)%' AND state = 'active'") == 1)
        router.signal(signal.SIGQUIT)
        assert router.wait_exit() == 0
    postgres.terminate("query LIKE '%pg_sleep(300)%'")


def test_shutdown_with_waiting_clients(make_router):
    """Who waits for a server when the router goes down is told, not left hanging."""
    router = make_router({"workloads": {"transactional": {
        "guaranteed_connections": 1, "max_connections": 1}}})
    with router.transactional.wire() as holder, router.transactional.wire() as waiter:
        holder.query("BEGIN")
        waiter.send(w.query("SELECT 1"))
        wait_until(lambda: router.pool().get("cl_waiting") == 1)
        router.signal(signal.SIGINT)
        wait_until(lambda: router.ports["session"] not in listening_ports(), 5)
        holder.query("COMMIT")
        seen = waiter.until_closed()
        assert [m.type for m in seen if m.type in "ED"]
        assert router.wait_exit() == 0


def test_restart_on_the_same_ports(router):
    """Sockets of old clients in TIME_WAIT are no obstacle."""
    for _ in range(3):
        with router.transactional.connect() as connection:
            connection.execute("SELECT 1")
        assert router.stop() == 0
        router.start()


def test_port_that_is_taken(make_router, router):
    """The error names the address; the exit code tells."""
    second = make_router({"workloads": {"session": {
        "listen": [f"127.0.0.1:{router.ports['session']}"]}}}, start=False)
    second.expected_exit = 1
    second.expect_error(".")
    second.start(wait=False)
    assert second.wait_exit() == 1
    assert str(router.ports["session"]) in second.log()


def test_who_waits_in_a_pause_is_told(router):
    """SIGINT: no server is given to anybody any more."""
    with router.transactional.wire() as first, router.session.wire() as second:
        router.command("PAUSE")
        for wire in (first, second):
            wire.send(w.query("SELECT 1"))
        wait_until(lambda: router.pool().get("cl_waiting") == 2, 5, "both wait")
        router.signal(signal.SIGINT)
        for wire in (first, second):
            assert [m.sqlstate for m in wire.until_closed() if m.type == "E"] == ["57P01"]
    assert router.wait_exit() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_console_shows_who_is_waited_for(make_router, tmp_path, number):
    """By unix sockets and admin.listen; who looks on is not waited for, and nobody else gets in."""
    admin, port = free_port(), free_port()
    router = make_router({"admin": {"listen": [f"127.0.0.1:{admin}"]}, "workloads": {
        "local": {"pool_mode": "session", "listen": [f"unix:{tmp_path}:{port}"]}}})
    local = Endpoint(str(tmp_path), port)
    with router.session.wire(application_name="the one") as wire, contextlib.ExitStack() as stack:
        wire.query("BEGIN")
        router.signal(number)
        wait_until(lambda: router.ports["session"] not in listening_ports(), 5, "it drains")
        for endpoint in (Endpoint("127.0.0.1", admin), local):
            console = stack.enter_context(endpoint.connect(ADMIN[0], "pgbouncer"))
            names = [row[18] for row in console.execute("SHOW CLIENTS").fetchall()]
            assert "the one" in names
        with pytest.raises(psycopg.OperationalError, match="is shutting down"):
            local.connect()
        with pytest.raises(psycopg.OperationalError, match="refused"):
            router.session.connect()
        assert wire.query("COMMIT")[-1].body == b"I"
        wire.quit()
        assert router.wait_exit() == 0
    assert not (tmp_path / f".s.PGSQL.{port}").exists()
    assert admin not in listening_ports()


def test_a_pause_can_be_ended_while_clients_are_waited_for(router):
    with router.transactional.wire() as wire, router.admin() as console:
        console.execute("PAUSE")
        wire.send(w.query("SELECT 'served'"))
        wait_until(lambda: console.execute("SHOW POOLS").fetchall() and any(
            row["cl_waiting"] for row in console.execute("SHOW POOLS").fetchall()), 5, "it waits")
        console.execute("SHUTDOWN WAIT_FOR_CLIENTS")
        console.execute("RESUME")
        assert w.rows(wire.until_ready()) == [("served",)]
        # Who has not left stays, as long as it wants to.
        assert wire.value("SELECT 'stays'") == "stays"
        wire.quit()
    assert router.wait_exit() == 0


@pytest.fixture
def with_admin(make_router):
    """A router whose console can be reached while it drains."""
    return make_router({"admin": {"listen": [f"127.0.0.1:{free_port()}"]}})


def console_of(router):
    host, port = router.config["admin"]["listen"][0].rsplit(":", 1)
    return Endpoint(host, int(port)).connect(ADMIN[0], "pgbouncer")


def drains(router, number):
    router.signal(number)
    wait_until(lambda: router.ports["session"] not in listening_ports(), 5, "it drains")


def shut_down(console, mode):
    """Returns when the main thread has heard of it, which answers to a RELOAD, too."""
    console.execute(f"SHUTDOWN {mode}")
    for _ in range(2):
        console.execute("RELOAD")


@pytest.mark.parametrize("first", ["WAIT_FOR_CLIENTS", "WAIT_FOR_SERVERS"])
@pytest.mark.parametrize("second", ["WAIT_FOR_CLIENTS", "WAIT_FOR_SERVERS"])
def test_shutdown_that_is_asked_for_again(with_admin, first, second):
    """Only signals end it by being repeated: who has something under way comes to its end."""
    router = with_admin
    with router.transactional.wire() as busy, router.transactional.wire() as idle, \
            contextlib.closing(console_of(router)) as console:
        idle.query("SELECT 1")
        busy.query("BEGIN")
        shut_down(console, first)
        with console_of(router) as other:
            shut_down(other, second)
            shut_down(other, second)
        assert router.is_running()
        assert busy.value("SELECT 1") == "1"
        waits_for_clients = (first, second) == ("WAIT_FOR_CLIENTS", "WAIT_FOR_CLIENTS")
        if waits_for_clients:
            assert idle.value("SELECT 'stays'") == "stays"
        else:
            assert [m.sqlstate for m in idle.until_closed() if m.type == "E"] == ["57P01"]
        assert busy.query("COMMIT")[-1].body == b"I"
        if waits_for_clients:
            # Who has asked for it is waited for, too.
            console.close()
            busy.quit()
            idle.quit()
        assert router.wait_exit() == 0


def test_a_signal_after_shutdown_ends_it(with_admin):
    with with_admin.session.wire() as wire, console_of(with_admin) as console:
        wire.query("BEGIN")
        shut_down(console, "WAIT_FOR_CLIENTS")
        with_admin.signal(signal.SIGTERM)
        assert with_admin.wait_exit() == 0


@pytest.mark.parametrize("how", ["SET", "RELOAD"])
def test_drain_timeout_is_changed_while_it_drains(with_admin, how):
    router = with_admin
    with router.session.wire() as wire, console_of(router) as console:
        wire.query("BEGIN")
        drains(router, signal.SIGTERM)
        if how == "SET":
            console.execute("SET drain_timeout = '100ms'")
        else:
            router.config["process"]["drain_timeout"] = "100ms"
            router.write_config()
            console.execute("RELOAD")
        assert router.wait_exit() == 0
        wire.until_closed()


def test_drain_timeout_is_taken_away_while_it_drains(make_router):
    router = make_router({"admin": {"listen": [f"127.0.0.1:{free_port()}"]},
                          "process": {"drain_timeout": "1min"}})
    with router.session.wire() as wire, console_of(router) as console:
        wire.query("BEGIN")
        drains(router, signal.SIGTERM)
        console.execute("SET drain_timeout = '0'")
        assert wire.value("SELECT 1") == "1"
        console.execute("SET drain_timeout = '100ms'")
        assert router.wait_exit() == 0

# SPDX-License-Identifier: ISC
"""Every time-out ends what it is for, tells the client why, and hits nobody else.

A time-out is shown by its effect within a generous bound; that it did not come too
early is measured where a client could be hurt."""
import time

import pytest
from support import wire as w
from support.wait import SLOWDOWN, wait_until

pytestmark = pytest.mark.router_only
LIMIT = 0.5


def one_server(**more):
    return {"workloads": {name: {"guaranteed_connections": 1, "max_connections": 1, **more}
                          for name in ("transactional", "session")}}


def ended(wire):
    """The SQLSTATEs that an idle client is sent before it is disconnected."""
    return [m.sqlstate for m in wire.until_closed() if m.type == "E"]


def test_query_wait_timeout_keeps_the_client(make_router):
    """57014 as an ERROR; the client may try again."""
    router = make_router(one_server(query_wait_timeout="500ms"))
    with router.transactional.wire() as holder, router.transactional.wire() as waiter:
        holder.query("BEGIN")
        start = time.monotonic()
        answer = waiter.query("SELECT 1")
        assert LIMIT * 0.9 <= time.monotonic() - start < 10 * SLOWDOWN
        assert w.errors(answer) == ["57014"]
        assert answer[0].fields["S"] == "ERROR"
        assert answer[-1].body == b"I"
        assert holder.query("COMMIT")[-1].body == b"I"
        assert waiter.value("SELECT 1") == "1"


def test_query_wait_timeout_skips_to_sync(make_router):
    router = make_router(one_server(query_wait_timeout="500ms"))
    with router.transactional.wire() as holder, router.transactional.wire() as waiter:
        holder.query("BEGIN")
        waiter.send(w.one_query("SELECT 1"), w.one_query("SELECT 2"))
        assert w.types(waiter.until_ready()) == "EZ"
        assert w.types(waiter.until_ready()) == "EZ"
        assert waiter.is_quiet(0.05)
        holder.query("COMMIT")


def test_wait_error_fatal_is_as_pgbouncer(make_router):
    router = make_router(one_server(query_wait_timeout="1500ms", wait_error="fatal"))
    with router.transactional.wire() as holder, router.transactional.wire() as waiter:
        holder.query("BEGIN")
        waiter.send(w.query("SELECT 1"))
        errors = [m for m in waiter.until_closed() if m.type == "E"]
        assert [m.fields["S"] for m in errors] == ["FATAL"]


def test_waiting_client_gets_a_notice(make_router):
    """After query_wait_notify, once, and without names of others."""
    router = make_router(one_server(query_wait_timeout="60s", query_wait_notify="200ms"))
    with router.transactional.wire() as holder, router.transactional.wire() as waiter:
        holder.query("BEGIN")
        waiter.send(w.query("SELECT 'then'"))
        notice = waiter.until("N")[-1]
        assert "app_scram" not in notice.text
        holder.query("COMMIT")
        assert w.rows(waiter.until_ready()) == [("then",)]


@pytest.mark.parametrize("name", ["transactional", "session"])
def test_query_timeout(make_router, postgres, name):
    router = make_router({"defaults": {"query_timeout": "500ms"}})
    with getattr(router, name).wire() as wire:
        assert wire.value("SELECT 'short'") == "short"
        wire.send(w.query("SELECT pg_sleep(300), 'over long'"))
        messages = []
        try:
            messages = wire.until_ready()
        except EOFError:
            pass
        assert [m.sqlstate for m in messages if m.type == "E"] in (["57014"], [])
    wait_until(lambda: postgres.count("query LIKE '%over long%' AND state = 'active'") == 0, 10,
               "the query is gone")


@pytest.mark.parametrize("name", ["transactional", "session"])
def test_idle_transaction_timeout(make_router, postgres, name):
    """25P03, the transaction is over, its locks are gone."""
    router = make_router({"defaults": {"idle_transaction_timeout": "500ms"}})
    with getattr(router, name).wire() as wire:
        wire.query("BEGIN")
        for _ in range(4):
            # Work now and then is not idleness.
            wire.query("SELECT pg_sleep(0.2)")
        wire.query("LOCK TABLE items IN ACCESS EXCLUSIVE MODE")
        assert ended(wire) == ["25P03"]
    wait_until(lambda: postgres.count("state LIKE 'idle in transaction%'") == 0, 5)


@pytest.mark.parametrize("name", ["transactional", "session"])
def test_transaction_timeout(make_router, postgres, name):
    router = make_router({"defaults": {"transaction_timeout": "600ms"}})
    with getattr(router, name).wire() as wire:
        wire.query("BEGIN")
        seen = []
        try:
            while not seen:
                seen = w.errors(wire.query("SELECT pg_sleep(0.05)"))
        except (EOFError, ConnectionError):
            pass
        assert seen in (["25P04"], ["57014"], [])
    wait_until(lambda: postgres.count("state LIKE 'idle in transaction%'") == 0, 5)


@pytest.mark.parametrize("name", ["transactional", "session"])
def test_client_idle_timeout(make_router, name):
    """It fires on both ports (PgBouncer's never does in session mode), is told as
    FATAL 57P05, and not while the client works or is in a transaction."""
    router = make_router({"defaults": {"client_idle_timeout": "500ms"}})
    with getattr(router, name).wire() as wire, getattr(router, name).wire() as busy:
        busy.query("BEGIN")
        wire.query("SELECT pg_sleep(0.8)")
        start = time.monotonic()
        assert ended(wire) == ["57P05"]
        assert time.monotonic() - start >= LIMIT * 0.5
        assert busy.query("COMMIT")[-1].body == b"I"


def test_client_idle_timeout_frees_the_session_server(make_router):
    router = make_router(one_server(client_idle_timeout="300ms", query_wait_timeout="60s"))
    with router.session.wire() as idle, router.session.wire() as waiter:
        idle.query("SELECT 1")
        waiter.send(w.query("SELECT 'mine now'"))
        assert w.rows(waiter.until_ready()) == [("mine now",)]


def test_idle_session_timeout(make_router, postgres):
    """A client of a session port that keeps a server and does nothing with it: FATAL
    57P05 in PostgreSQL's words, and the server goes to who waits.  Not a client that
    works or is in a transaction, nor one that holds no server."""
    router = make_router({"defaults": {"idle_session_timeout": "500ms"},
                          "workloads": {"session": {"guaranteed_connections": 3,
                                                    "max_connections": 3}}})
    with router.session.wire() as idle, router.session.wire() as busy, \
            router.session.wire() as new, router.session.wire() as waiter, \
            router.session.wire() as slow, router.transactional.wire() as elsewhere:
        elsewhere.query("SELECT 1")
        busy.query("BEGIN")
        slow.send(w.query("SELECT pg_sleep(300)"))
        wait_until(lambda: postgres.count("wait_event = 'PgSleep'") == 1, 10)
        idle.query("SELECT 1")
        waiter.send(w.query("SELECT 'mine now'"))
        start = time.monotonic()
        last = [m for m in idle.until_closed() if m.type == "E"][-1]
        assert time.monotonic() - start >= LIMIT * 0.5
        assert (last.fields["S"], last.sqlstate, last.text) == (
            "FATAL", "57P05", "terminating connection due to idle-session timeout")
        assert w.rows(waiter.until_ready()) == [("mine now",)]
        assert ended(waiter) == ["57P05"]
        assert new.value("SELECT 'with a server from now on'")
        assert ended(new) == ["57P05"]
        assert elsewhere.value("SELECT 2") == "2"
        assert busy.query("COMMIT")[-1].body == b"I"
        assert slow.is_quiet(0.01)


@pytest.mark.parametrize("client, session, first", [
    ("400ms", "60s", "client_idle_timeout"), ("60s", "400ms", "idle-session timeout"),
    ("0", "400ms", "idle-session timeout"), ("400ms", "0", "client_idle_timeout")])
def test_the_sooner_of_two_idle_timeouts(make_router, client, session, first):
    router = make_router({"defaults": {"client_idle_timeout": client,
                                       "idle_session_timeout": session}})
    with router.session.wire() as wire:
        wire.query("SELECT 1")
        assert [m.text for m in wire.until_closed() if m.type == "E"] == [
            f"terminating connection due to {first}"]


def test_client_login_timeout(make_router):
    router = make_router({"defaults": {"client_login_timeout": "1500ms"}})
    with router.session.raw() as wire:
        wire.send(w.startup("app_scram", "app"))
        assert wire.receive().type == "R"
        assert ended(wire) in ([], ["08P01"], ["57014"], ["28000"])
    with router.session.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_settings_of_user_go_before_workload_and_defaults(make_router, postgres):
    router = make_router({
        "defaults": {"idle_transaction_timeout": "300ms"},
        "users": {"other": {"idle_transaction_timeout": "0"}}})
    with router.transactional.wire(user="other") as patient, router.transactional.wire() as wire:
        patient.query("BEGIN")
        wire.query("BEGIN")
        assert ended(wire) == ["25P03"]
        assert patient.query("COMMIT")[-1].body == b"I"


def test_server_check_after_a_pause(make_router, postgres):
    """A server that died while it was idle is found out before a client gets it."""
    router = make_router({"defaults": {"server_check_delay": "0", "server_check_query": "SELECT 1"}})
    with router.transactional.wire() as wire:
        pid = wire.value("SELECT pg_backend_pid()")
        postgres.terminate(f"pid = {pid}")
        wait_until(lambda: postgres.count(f"pid = {pid}") == 0, 5, "it has gone")
        assert wire.value("SELECT pg_backend_pid()") != pid

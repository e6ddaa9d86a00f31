# SPDX-License-Identifier: ISC
"""The session port: a server for as long as the client stays, clean for the next."""
import time

import psycopg
import pytest
from support import wire as w
from support.wait import SLOWDOWN, wait_until

# Ours on the session port, nobody else's.
ONE = {"workloads": {"session": {"guaranteed_connections": 1, "max_connections": 1}}}


def test_one_server_for_the_whole_session(router):
    with router.session.connect() as connection:
        pids = {connection.execute("SELECT pg_backend_pid()").fetchone() for _ in range(20)}
        assert len(pids) == 1


def test_session_state_is_kept(router):
    """Everything that belongs to a PostgreSQL session works, over transactions."""
    with router.session.connect() as connection:
        run = connection.execute
        run("SET app.tenant_id = '7'")
        run("SET search_path = pg_catalog, public")
        run("CREATE TEMP TABLE mine (n int)")
        run("INSERT INTO mine SELECT generate_series(1, 10)")
        run("PREPARE q AS SELECT count(*) FROM mine")
        run("SELECT pg_advisory_lock(77)")
        run("DECLARE c CURSOR WITH HOLD FOR SELECT generate_series(1, 3)")
        assert run("SHOW app.tenant_id").fetchone() == ("7",)
        assert run("EXECUTE q").fetchone() == (10,)
        assert run("FETCH ALL FROM c").fetchall() == [(1,), (2,), (3,)]
        assert run("SELECT count(*) FROM documents").fetchone() == (5,)


def test_named_statements_work(router):
    with router.session.wire() as wire:
        wire.send(w.parse("SELECT $1::int * 2", "double"), w.sync())
        assert w.types(wire.until_ready()) == "1Z"
        for n in range(10):
            wire.send(w.bind([n], "double"), w.execute(), w.sync())
            assert w.rows(wire.until_ready()) == [(str(2 * n),)]


@pytest.mark.router_only
def test_server_is_reused_and_clean(make_router, postgres):
    """The next session gets the same server, and nothing that the first left: settings,
    role, temporary tables, prepared statements, locks, cursors, channels."""
    router = make_router(ONE)
    with router.session.connect() as first:
        pid = first.execute("SELECT pg_backend_pid()").fetchone()
        for statement in ("SET app.tenant_id = '7'", "SET statement_timeout = '9s'",
                          "CREATE TEMP TABLE left_over (n int)",
                          "PREPARE left_over AS SELECT 1", "SELECT pg_advisory_lock(78)",
                          "DECLARE left_over CURSOR WITH HOLD FOR SELECT 1", "LISTEN left_over"):
            first.execute(statement)
    with router.session.connect() as second:
        run = second.execute
        assert run("SELECT pg_backend_pid()").fetchone() == pid
        assert run("SELECT NULLIF(current_setting('app.tenant_id', true), '')").fetchone() == (None,)
        assert run("SHOW statement_timeout").fetchone() == ("0",)
        assert run("SELECT to_regclass('pg_temp.left_over')").fetchone() == (None,)
        assert run("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)
        assert run("SELECT count(*) FROM pg_cursors WHERE is_holdable").fetchone() == (0,)
        assert run("SELECT count(*) FROM pg_listening_channels()").fetchone() == (0,)
        assert run("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone() == (0,)
        assert run("SELECT count(*) FROM documents").fetchone() == (0,)


@pytest.mark.router_only
def test_reset_query_that_fails_closes_the_server(make_router):
    """The answer to the reset is looked at: a server that could not be cleaned is
    never given to anybody."""
    router = make_router({**ONE, "defaults": {"server_reset_query": "SELECT 1/0"}})
    router.expect_error("reset")
    with router.session.connect() as first:
        pid = first.execute("SELECT pg_backend_pid()").fetchone()
    with router.session.connect() as second:
        assert second.execute("SELECT pg_backend_pid()").fetchone() != pid


@pytest.mark.router_only
def test_sessions_queue_for_a_server_in_order(make_router):
    """More clients than servers: the rest wait and are served first come, first
    served, with patience."""
    router = make_router(ONE)
    first = router.session.wire()
    assert first.value("SELECT 1") == "1"
    waiting = []
    for n in range(3):
        wire = router.session.raw()
        wire.login("app_scram", router.session.dsn()["password"], "app")
        wire.send(w.query(f"SELECT {n}"))
        waiting.append(wire)
        wait_until(lambda n=n: router.pool().get("cl_waiting") == n + 1, 5, "it is in the queue")
    assert all(wire.is_quiet(0.05) for wire in waiting)
    first.quit()
    for n, wire in enumerate(waiting):
        assert w.rows(wire.until_ready()) == [(str(n),)]
        assert all(later.is_quiet(0.02) for later in waiting[n + 1:])
        wire.quit()


def test_client_lost_in_a_transaction(router, postgres):
    """The connection drops without Terminate: what it did is rolled back."""
    wire = router.session.wire(application_name="lost")
    wire.query("BEGIN")
    wire.query("INSERT INTO items (body) VALUES ('lost')")
    wire.close()
    wait_until(lambda: postgres.count("state LIKE 'idle in transaction%'") == 0, 5,
               "no transaction is left open")
    assert postgres.sql("SELECT count(*) FROM items WHERE body = 'lost'", dbname="app") == [(0,)]


def test_client_lost_during_a_query(router, postgres):
    """The query itself is cancelled, not left to run for nobody."""
    wire = router.session.wire()
    wire.send(w.query("SELECT pg_sleep(300), 'lost query'"))
    running = "state = 'active' AND query LIKE '%lost query%'"
    wait_until(lambda: postgres.count(running) == 1, 5, "the query runs")
    if wire.socket.getpeername()[1] == postgres.port:
        pytest.skip("PostgreSQL itself notices only when it sends")
    wire.close()
    wait_until(lambda: postgres.count(running) == 0, 10, "the query is cancelled")


@pytest.mark.router_only
def test_lost_client_frees_its_server_for_the_next(make_router, postgres):
    router = make_router(ONE)
    wire = router.session.wire()
    wire.query("BEGIN")
    wire.query("INSERT INTO items (body) VALUES ('half done')")
    wire.send(w.query("SELECT pg_sleep(300)"))
    wait_until(lambda: postgres.count("query LIKE '%pg_sleep(300)%' AND state = 'active'") == 1, 5)
    wire.close()
    with router.session.connect() as connection:
        assert connection.execute(
            "SELECT count(*) FROM items WHERE body = 'half done'").fetchone() == (0,)
    assert postgres.count("usename = 'app_scram'") <= 1


@pytest.mark.router_only
def test_terminate_in_a_transaction(make_router):
    """X inside a transaction is an end like any other."""
    router = make_router(ONE)
    for _ in range(3):
        wire = router.session.wire()
        wire.query("BEGIN")
        wire.query("CREATE TEMP TABLE t_in_transaction (n int)")
        wire.quit()
    with router.session.connect() as connection:
        assert connection.execute("SELECT pg_my_temp_schema() = 0"
                                  " OR to_regclass('pg_temp.t_in_transaction') IS NULL"
                                  ).fetchone() == (True,)


@pytest.mark.router_only
def test_min_pool_size_keeps_servers(make_router, postgres):
    """Once a pool exists it keeps its minimum."""
    router = make_router({"workloads": {"session": {"min_pool_size": 3}},
                          "defaults": {"server_idle_timeout": "300ms"}})
    with router.session.connect() as connection:
        connection.execute("SELECT 1")
    wait_until(lambda: postgres.count("usename = 'app_scram'") == 3, 15, "three servers are there")


@pytest.mark.router_only
def test_default_pool_size_caps_a_pool(make_router, postgres):
    router = make_router({"workloads": {"session": {
        "default_pool_size": 2, "query_wait_timeout": f"{1500 * SLOWDOWN}ms"}}})
    held = [router.session.wire() for _ in range(2)]
    for wire in held:
        wire.value("SELECT 1")
    with pytest.raises((RuntimeError, psycopg.Error)):
        router.session.wire().value("SELECT 1")
    # Another user's pool has its own.
    with router.session.connect(user="other") as connection:
        connection.execute("SELECT 1")
    assert postgres.count("usename = 'app_scram'") == 2
    for wire in held:
        wire.quit()


@pytest.mark.router_only
@pytest.mark.parametrize("behind", ["copy", "extended copy", "error before a query"])
def test_what_a_lost_client_sent_ahead_is_ended(make_router, postgres, behind):
    """A client vanishes while what it sent ahead has not begun yet: a COPY that then
    waits for data, an error after which PostgreSQL waits for Sync.  Its server is
    cleaned and given to the next client, well before a time-out would close it."""
    router = make_router(ONE)
    wire = router.session.wire()
    wire.query("CREATE TEMP TABLE zz (a text)")
    pid = wire.value("SELECT pg_backend_pid()")
    text = {"copy": w.query("COPY zz FROM STDIN"),
            "extended copy": w.parse("COPY zz FROM STDIN") + w.bind() + w.execute() + w.sync(),
            "error before a query": w.parse("xx") + w.query("SELECT 1")}[behind]
    wire.send(w.query("SELECT pg_sleep(0.3)"), text)
    wait_until(lambda: postgres.count(f"pid = {pid} AND state = 'active'") == 1, 5, "it runs")
    wire.close()
    started = time.monotonic()
    with router.session.wire() as after:
        same = after.value("SELECT pg_backend_pid()") == pid
        # After a failed COPY with a Sync ahead it is closed rather than asked.
        assert same or behind == "extended copy"
        assert after.value("SELECT to_regclass('pg_temp.zz')") is None
    assert time.monotonic() - started < 5 * SLOWDOWN

# SPDX-License-Identifier: ISC
"""The transaction port: a server for a transaction, many clients on few servers."""
import contextlib
import os
import threading
import time

import psycopg
import pytest
from support import wire as w
from support.wait import wait_until


def limited(servers, **more):
    return {"workloads": {"transactional": {
        "guaranteed_connections": servers, "max_connections": servers, **more}}}


def test_transactions_are_transactions(router):
    """COMMIT keeps, ROLLBACK drops, and one transaction has one server."""
    with router.transactional.connect(autocommit=False) as connection:
        connection.execute("INSERT INTO items (body) VALUES ('kept')")
        pids = {connection.execute("SELECT pg_backend_pid()").fetchone() for _ in range(5)}
        assert len(pids) == 1
        connection.commit()
        connection.execute("INSERT INTO items (body) VALUES ('dropped')")
        connection.rollback()
        bodies = [row[0] for row in connection.execute(
            "SELECT body FROM items WHERE body IN ('kept', 'dropped')")]
    assert set(bodies) == {"kept"}


@pytest.mark.router_only
def test_clients_share_one_server(make_router):
    """Twenty logged-in clients, one server: each transaction runs on it."""
    router = make_router(limited(1))
    clients = [router.transactional.wire() for _ in range(20)]
    pids = {client.value("SELECT pg_backend_pid()") for client in clients for _ in range(3)}
    assert len(pids) == 1
    for client in clients:
        client.quit()


@pytest.mark.router_only
def test_server_is_held_inside_a_transaction_only(make_router, postgres):
    """While one client is in a transaction another one waits; it runs as soon as the
    first commits, and both stay connected."""
    router = make_router(limited(1))
    with router.transactional.wire() as first, router.transactional.wire() as second:
        first.query("BEGIN")
        second.send(w.query("SELECT 'second'"))
        wait_until(lambda: router.pool().get("cl_waiting") == 1, 5, "the second client waits")
        assert second.is_quiet(0.05)
        assert first.query("COMMIT")[-1].body == b"I"
        assert w.rows(second.until_ready()) == [("second",)]
        assert first.value("SELECT 'first'") == "first"


@pytest.mark.router_only
def test_failed_transaction_keeps_the_server_until_rollback(make_router):
    router = make_router(limited(1))
    with router.transactional.wire() as first, router.transactional.wire() as second:
        first.query("BEGIN")
        assert first.query("SELECT 1/0")[-1].body == b"E"
        second.send(w.query("SELECT 2"))
        assert second.is_quiet(0.1)
        first.query("ROLLBACK")
        assert w.rows(second.until_ready()) == [("2",)]


@pytest.mark.router_only
def test_waiters_are_served_in_order(make_router):
    router = make_router(limited(1))
    with router.transactional.wire() as holder:
        holder.query("BEGIN")
        waiters = []
        for n in range(6):
            wire = router.transactional.wire()
            wire.send(w.query(f"SELECT {n}, clock_timestamp()"))
            waiters.append(wire)
            wait_until(lambda n=n: router.pool().get("cl_waiting") == n + 1, 5)
        holder.query("COMMIT")
        times = [w.rows(wire.until_ready())[0] for wire in waiters]
    assert [row[0] for row in times] == [str(n) for n in range(6)]
    assert [row[1] for row in times] == sorted(row[1] for row in times)
    for wire in waiters:
        wire.quit()


@pytest.mark.router_only
def test_lease_ends_between_buffered_transactions(make_router):
    """A client with hundreds of queries sent ahead does not keep the server from one
    that waits: once somebody waits, its lease ends at a ReadyForQuery 'I'."""
    router = make_router(limited(1))
    with router.transactional.wire() as greedy, router.transactional.wire() as patient:
        greedy.query("SELECT 1")
        # More than any buffer holds.
        sender = threading.Thread(target=lambda: greedy.send(
            *(w.query(f"SELECT {n}, pg_sleep(0.005), clock_timestamp() /*{'x' * 4000}*/")
              for n in range(500))))
        sender.start()
        greedy.until_ready()
        patient.send(w.query("SELECT clock_timestamp()"))
        served = w.rows(patient.until_ready())[0][0]
        last = [w.rows(greedy.until_ready())[0][2] for _ in range(499)][-1]
        sender.join()
        assert served < last


@pytest.mark.router_only
def test_pipeline_of_one_client_in_order_over_servers(make_router):
    """Exchanges of one client may run on several servers, but never at once."""
    router = make_router(limited(3))
    noise = [router.transactional.wire() for _ in range(3)]
    with router.transactional.wire() as wire:
        wire.send(*(w.one_query("SELECT $1::int", n) for n in range(500)))
        for other in noise:
            other.send(*(w.query("SELECT 1") for _ in range(50)))
        for n in range(500):
            assert w.rows(wire.until_ready()) == [(str(n),)]
        for other in noise:
            for _ in range(50):
                other.until_ready()
            other.quit()


@pytest.mark.router_only
def test_many_clients_few_servers(make_router, postgres):
    """Two hundred clients in threads over five servers: all right, and PostgreSQL never
    counts more than five."""
    router = make_router(limited(5, query_wait_timeout="60s"))
    problems, most = [], [0]
    stop = threading.Event()

    def watch():
        with postgres.connect() as connection:
            while not stop.is_set():
                count = connection.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app_scram'"
                    " AND backend_type = 'client backend'").fetchone()[0]
                most[0] = max(most[0], count)

    def work(numbers):
        try:
            wires = [router.transactional.wire() for _ in numbers]
            for turn in range(5):
                for n, wire in zip(numbers, wires):
                    wire.send(w.query("BEGIN") + w.query(f"SELECT {n}, {turn}")
                              + w.query("COMMIT"))
                for n, wire in zip(numbers, wires):
                    assert wire.until_ready()[-1].body == b"T"
                    answer = wire.until_ready()
                    assert w.rows(answer) == [(str(n), str(turn))], answer
                    assert wire.until_ready()[-1].body == b"I"
            for wire in wires:
                wire.quit()
        except BaseException as problem:  # noqa: B902
            problems.append(repr(problem))

    watcher = threading.Thread(target=watch)
    watcher.start()
    threads = [threading.Thread(target=work, args=(range(n * 20, n * 20 + 20),))
               for n in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    watcher.join()
    assert not problems, problems[:3]
    assert 1 <= most[0] <= 5


def test_set_local_and_row_level_security(router):
    """What RLS users do on a transaction port: the tenant is set for the transaction."""
    with router.transactional.connect(autocommit=False) as connection:
        for tenant in (3, 4, 5):
            connection.execute("SELECT set_config('app.tenant_id', %s, true)", (str(tenant),))
            tenants = connection.execute("SELECT DISTINCT tenant_id FROM documents").fetchall()
            connection.commit()
            assert tenants == [(tenant,)]
        assert connection.execute("SELECT count(*) FROM documents").fetchone() == (0,)


@pytest.mark.router_only
def test_extended_transaction_holds_one_server(make_router):
    """BEGIN in one exchange, Sync between the statements, COMMIT at the end: on one
    server, with a second client waiting all the while."""
    router = make_router(limited(2))
    with router.transactional.wire() as wire, router.transactional.wire() as other:
        pids = set()
        wire.send(w.one_query("BEGIN"))
        wire.until_ready()
        for _ in range(20):
            other.query("SELECT 1")
            wire.send(w.one_query("SELECT pg_backend_pid()"))
            pids |= set(w.rows(wire.until_ready()))
        wire.send(w.one_query("COMMIT"))
        wire.until_ready()
        assert len(pids) == 1


@pytest.mark.router_only
def test_unsynced_exchange_holds_the_server(make_router):
    """Parse, Bind, Flush without Sync: the implicit transaction is open, and so the
    server stays the client's own."""
    router = make_router(limited(1))
    with router.transactional.wire() as first, router.transactional.wire() as second:
        first.send(w.parse("SELECT 1"), w.flush())
        assert first.until("1")[-1].type == "1"
        second.send(w.query("SELECT 2"))
        assert second.is_quiet(0.1)
        first.send(w.bind(), w.execute(), w.sync())
        assert w.types(first.until_ready()) == "2DCZ"
        assert w.rows(second.until_ready()) == [("2",)]


@pytest.mark.router_only
def test_client_lost_in_a_transaction(make_router, postgres):
    """Its query is cancelled, its transaction rolled back, and the only server is
    there for the next client."""
    router = make_router(limited(1))
    lost = router.transactional.wire()
    lost.query("BEGIN")
    lost.query("INSERT INTO items (body) VALUES ('lost here')")
    lost.send(w.query("SELECT pg_sleep(300)"))
    wait_until(lambda: postgres.count("query LIKE '%pg_sleep(300)%' AND state = 'active'") == 1, 5)
    lost.close()
    with router.transactional.connect() as connection:
        assert connection.execute(
            "SELECT count(*) FROM items WHERE body = 'lost here'").fetchone() == (0,)
    assert postgres.count("state LIKE 'idle in%'") == 0


@pytest.mark.router_only
def test_idle_clients_hold_no_server(router, postgres):
    with router.transactional.wire() as one, router.transactional.wire() as two:
        one.query("SELECT 1")
        two.query("SELECT 1")
        wait_until(lambda: router.pool()["sv_active"] == 0, 5, "no server is in use")
        assert postgres.count("usename = 'app_scram'") >= 1


@pytest.mark.router_only
def test_statement_mode_refuses_transactions(make_router):
    """pool_mode: statement returns the server after each statement; a transaction of
    several is an error, not a surprise."""
    router = make_router({"workloads": {"each": {"pool_mode": "statement"}}})
    with router.each.wire() as wire:
        assert wire.value("SELECT 1") == "1"
        wire.send(w.query("BEGIN"))
        answer = wire.until_closed()
        assert [m for m in answer if m.type == "E"]


@pytest.mark.router_only
def test_idle_clients_wake_nobody(make_router):
    """Ten seconds in which nobody asks for anything; the clients' times to be idle are among what the
    router waits for.  PgBouncer wakes up three or four times a second."""
    if "thread" in os.environ.get("PGTANDEM_SANITIZERS", ""):
        pytest.skip("the sanitizer has a thread of its own")
    router = make_router({"defaults": {"client_idle_timeout": "1h"}})
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(router.transactional.wire()) for _ in range(40)]
        for wire in wires:
            assert wire.value("SELECT 1") == "1"
        at = time.monotonic()
        wait_until(lambda: time.monotonic() - at > 3, 10, "what was asked for is over")
        at, before = time.monotonic(), router.wakes()
        wait_until(lambda: time.monotonic() - at > 10, 20, "ten seconds are over")
        each = (router.wakes() - before) / (time.monotonic() - at)
        assert each < 3.5, f"{each:.1f} times a second"
        for wire in wires:
            assert wire.value("SELECT 1") == "1"


@pytest.mark.router_only
def test_server_lifetime(make_router, postgres):
    """An old server is replaced when it is next unused."""
    router = make_router({**limited(1), "defaults": {"server_lifetime": "300ms"}})
    with router.transactional.wire() as wire:
        first = wire.value("SELECT pg_backend_pid()")
        wait_until(lambda: wire.value("SELECT pg_backend_pid()") != first, 10, "a new server")
    assert postgres.count("usename = 'app_scram'") <= 1


@pytest.mark.router_only
def test_server_idle_timeout(make_router, postgres):
    router = make_router({"defaults": {"server_idle_timeout": "300ms"}})
    with router.transactional.wire() as wire:
        wire.query("SELECT 1")
        wait_until(lambda: postgres.count("usename = 'app_scram'") == 0, 10, "it is closed")
        assert wire.value("SELECT 1") == "1"


@pytest.mark.router_only
def test_any_number_of_workloads(make_router):
    """Four ports, each with its own mode and limits, over one PostgreSQL."""
    router = make_router({"hosts": {"main": {"connection_budget": 40}}, "workloads": {
        "batch": {"pool_mode": "session"}, "quick": {"pool_mode": "transaction"}}})
    for name in ("transactional", "session", "batch", "quick"):
        with getattr(router, name).connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.router_only
def test_two_databases_and_users_never_share_a_server(router):
    def identity(user, dbname):
        with router.transactional.connect(user=user, dbname=dbname) as connection:
            return connection.execute(
                "SELECT pg_backend_pid(), current_user::text, current_database()::text").fetchone()

    seen = [identity(user, dbname) for _ in range(3)
            for user in ("app_scram", "other") for dbname in ("app", "second")]
    assert len({row[0] for row in seen}) == len({row[1:] for row in seen}) == 4


def test_psycopg_errors_are_postgresqls(port):
    with port.connect() as connection:
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("SELECT * FROM no_such_table")
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("INSERT INTO items (id, body) VALUES (-1, 'a'), (-1, 'b')")

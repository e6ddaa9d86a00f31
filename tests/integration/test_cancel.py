# SPDX-License-Identifier: ISC
"""CancelRequest: the right query, nothing but that query, in good time."""
import os
import threading
import time

import psycopg
import pytest
from support import wire as w
from support.wait import SLOWDOWN, wait_until

ONE = {"workloads": {"transactional": {"guaranteed_connections": 1, "max_connections": 1}}}


def cancel(endpoint, pid, key):
    with endpoint.raw() as wire:
        wire.send(w.cancel_request(pid, key))
        assert wire.until_closed() == []


def sleeping(postgres, mark="pg_sleep"):
    wait_until(lambda: postgres.count(f"state = 'active' AND query LIKE '%{mark}%'") >= 1, 10,
               "the query runs")


def test_running_query_is_cancelled(port, postgres):
    with port.wire() as wire:
        wire.send(w.query("SELECT pg_sleep(300)"))
        sleeping(postgres)
        cancel(port, wire.pid, wire.key)
        answer = wire.until_ready()
        assert w.errors(answer) == ["57014"]
        assert wire.value("SELECT 1") == "1"


def test_cancel_by_driver(port, postgres):
    """psycopg's cancel(), which is libpq's PQcancel()."""
    with port.connect() as connection:
        timer = threading.Thread(target=lambda: (sleeping(postgres), connection.cancel()))
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(300)")
        timer.join()
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_cancel_in_a_transaction(port, postgres):
    """The transaction fails, as on PostgreSQL; the session lives."""
    with port.wire() as wire:
        wire.query("BEGIN")
        wire.send(w.query("SELECT pg_sleep(300)"))
        sleeping(postgres)
        cancel(port, wire.pid, wire.key)
        assert wire.until_ready()[-1].body == b"E"
        assert wire.query("ROLLBACK")[-1].body == b"I"


def test_cancel_behind_a_flush(port, postgres):
    """It runs although its Sync is still to come; that ends what was skipped."""
    with port.wire() as wire:
        wire.send(w.parse("SELECT pg_sleep(300)"), w.bind(), w.execute(), w.flush())
        sleeping(postgres)
        cancel(port, wire.pid, wire.key)
        answer = wire.until("E")
        assert w.types(answer) == "12E" and w.errors(answer) == ["57014"]
        # Nothing runs now, and nothing is hit.
        cancel(port, wire.pid, wire.key)
        wire.send(w.sync())
        assert w.types(wire.until_ready()) == "Z"
        assert wire.value("SELECT 1") == "1"


def test_cancel_of_an_idle_client_does_nothing(port):
    with port.wire() as wire:
        wire.query("SELECT 1")
        for _ in range(10):
            cancel(port, wire.pid, wire.key)
        assert wire.value("SELECT 2") == "2"


def test_unknown_and_wrong_keys_do_nothing(port, postgres):
    """Wrong key, wrong pid, a key of the wrong length: closed without a word, and the
    query runs on."""
    with port.wire() as wire:
        wire.send(w.query("SELECT pg_sleep(0.5), 'survived'"))
        sleeping(postgres)
        for pid, key in ((wire.pid, os.urandom(4)), (wire.pid + 1, wire.key), (0, b"\0" * 4),
                         (wire.pid, wire.key + b"\0" * 28)):
            if key != wire.key or pid != wire.pid:
                cancel(port, pid, key)
        assert w.errors(wire.until_ready()) == []


@pytest.mark.router_only
def test_keys_are_the_routers_own(router):
    """Two clients that use the same server have different keys, and neither is the
    server's."""
    with router.transactional.wire() as one, router.transactional.wire() as two:
        pid_one, pid_two = (wire.value("SELECT pg_backend_pid()") for wire in (one, two))
        assert pid_one == pid_two
        assert (one.pid, one.key) != (two.pid, two.key)


@pytest.mark.router_only
def test_waiting_client_is_cancelled(make_router, postgres):
    """A client in the queue gets 57014 at once and stays connected; who holds the
    server is not touched."""
    router = make_router(ONE)
    with router.transactional.wire() as holder, router.transactional.wire() as waiter:
        holder.query("BEGIN")
        waiter.send(w.query("SELECT 'never'"))
        wait_until(lambda: router.pool().get("cl_waiting") == 1, 5, "it waits")
        cancel(router.transactional, waiter.pid, waiter.key)
        answer = waiter.until_ready()
        assert w.errors(answer) == ["57014"]
        assert answer[-1].body == b"I"
        assert holder.query("COMMIT")[-1].body == b"I"
        assert waiter.value("SELECT 1") == "1"


@pytest.mark.router_only
def test_waiting_extended_client_is_cancelled(make_router):
    """The rest of its exchange, up to Sync, is skipped."""
    router = make_router(ONE)
    with router.transactional.wire() as holder, router.transactional.wire() as waiter:
        holder.query("BEGIN")
        waiter.send(w.one_query("SELECT 'never'"))
        wait_until(lambda: router.pool().get("cl_waiting") == 1, 5, "it waits")
        cancel(router.transactional, waiter.pid, waiter.key)
        answer = waiter.until_ready()
        assert w.types(answer) == "EZ"
        assert w.errors(answer) == ["57014"]
        assert waiter.is_quiet(0.05)
        holder.query("COMMIT")
        waiter.send(w.one_query("SELECT 'now'"))
        assert w.rows(waiter.until_ready()) == [("now",)]


@pytest.mark.router_only
def test_late_cancel_never_hits_the_next_holder(make_router):
    """A storm of cancels by a client whose queries end at any moment, on the one server
    that another client uses too: the other never sees 57014."""
    router = make_router(ONE)
    stop = threading.Event()
    hits = []

    def innocent():
        with router.transactional.wire() as wire:
            while not stop.is_set():
                hits.extend(w.errors(wire.query("SELECT pg_sleep(0.002)")))

    with router.transactional.wire() as target:
        def storm():
            while not stop.is_set():
                cancel(router.transactional, target.pid, target.key)

        threads = [threading.Thread(target=innocent), threading.Thread(target=innocent),
                   threading.Thread(target=storm), threading.Thread(target=storm)]
        for thread in threads:
            thread.start()
        cancelled = done = 0
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            codes = w.errors(target.query("SELECT pg_sleep(0.002)"))
            assert codes in ([], ["57014"])
            cancelled += len(codes)
            done += 1
        stop.set()
        for thread in threads:
            thread.join()
    assert hits == []
    assert done > 10


@pytest.mark.router_only
def test_cancel_through_the_other_port(router, postgres):
    """A key is known to the whole process, whichever port or worker it comes to."""
    with router.transactional.wire() as wire:
        for _ in range(8):
            wire.send(w.query("SELECT pg_sleep(300)"))
            sleeping(postgres)
            cancel(router.session, wire.pid, wire.key)
            assert w.errors(wire.until_ready()) == ["57014"]


@pytest.mark.router_only
def test_cancel_does_not_need_a_free_server(make_router, postgres):
    """With the whole budget in use a cancel still gets through: it takes no slot."""
    router = make_router({"hosts": {"main": {"connection_budget": 2}},
                          "workloads": {"session": {"guaranteed_connections": 1},
                                        "transactional": {"guaranteed_connections": 1}}})
    with router.session.wire() as session, router.transactional.wire() as wire:
        session.query("SELECT 1")
        wire.send(w.query("SELECT pg_sleep(300)"))
        sleeping(postgres)
        start = time.monotonic()
        cancel(router.transactional, wire.pid, wire.key)
        assert w.errors(wire.until_ready()) == ["57014"]
        assert time.monotonic() - start < 5 * SLOWDOWN

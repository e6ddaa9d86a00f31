# SPDX-License-Identifier: ISC
"""session_state strict where clients outnumber servers: the clean rides behind the last
message of a lease.  tests/wire has the bytes; here is what PostgreSQL makes of them."""
import contextlib
import random
import threading
import time

import pytest
from support import wire as w
from support.net import free_port
from support.postgres import DATABASE, DEFAULT_USER, USERS
from support.wait import SLOWDOWN, wait_until
from support.wire import Wire

pytestmark = pytest.mark.router_only

SETUP = """
CREATE OR REPLACE FUNCTION leave_behind(what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('app.behind', what, false);
    PERFORM pg_advisory_lock_shared(4711);
    PERFORM set_config('work_mem', '3MB', false);
    EXECUTE 'LISTEN behind';
    EXECUTE 'CREATE TEMP TABLE behind (x int)';
    RETURN 'done';
EXCEPTION WHEN duplicate_table THEN RETURN 'seen';
END $$;
CREATE OR REPLACE PROCEDURE ends_transactions(what text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('app.behind', what, false); COMMIT;
    PERFORM 1; ROLLBACK;
END $$;
DO $$ BEGIN CREATE DOMAIN leaves AS text CHECK (leave_behind(VALUE) <> '');
EXCEPTION WHEN duplicate_object THEN NULL; END $$;
CREATE TABLE IF NOT EXISTS deferred (x int PRIMARY KEY,
    y int REFERENCES deferred DEFERRABLE INITIALLY DEFERRED);
GRANT ALL ON deferred TO PUBLIC
"""
LOOK = """SELECT concat_ws(',', nullif(current_setting('app.behind', true), ''),
    (SELECT 'lock' FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
    (SELECT nullif(current_setting('work_mem'), '4MB')),
    (SELECT 'channel' FROM pg_listening_channels()),
    to_regclass('pg_temp.behind')::text)"""


@pytest.fixture
def crowd(make_router, postgres):
    """A router with so many servers, where whoever waits is told at once."""
    postgres.sql(SETUP, dbname=DATABASE)

    def make(servers=1, listen=None, **defaults):
        where = {"listen": listen} if listen else {}
        return make_router({
            "workloads": {"transactional": {"guaranteed_connections": servers,
                                            "max_connections": servers, **where}},
            "defaults": {"session_state": "strict", "query_wait_notify": "1ms", **defaults}})
    return make


def waits(client):
    """It is told that it waits."""
    while client.receive().type != "N":
        pass


@contextlib.contextmanager
def queue(router, message, count=2):
    """Clients of which the first holds the only server, in a transaction; the next has sent
    the message and waits, and so do the others, to look what is there."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(router.transactional.wire()) for _ in range(count + 1)]
        clients[0].query("BEGIN")
        for number, client in enumerate(clients[1:]):
            client.send(message if number == 0 else w.query(LOOK))
            waits(client)
        yield clients


def value(messages):
    assert w.errors(messages) == [], messages
    return w.rows(messages)[-1][0]


def sees_its_own_at_most(client, me):
    """It may have the server again that it had last."""
    return value(client.query(LOOK)).split(",")[0] in ("", str(me))


@pytest.mark.parametrize("message", [
    w.query("SELECT leave_behind('1')"),
    w.query("SELECT leave_behind('1'); SELECT 1; SHOW work_mem"),
    w.query("SELECT leave_behind('1'); SELECT 1/0"),
    w.query("SELECT 1/0"),
    w.query(""),
    w.query("DO $$ BEGIN PERFORM leave_behind('1'); COMMIT; PERFORM 1; END $$"),
    w.query("CALL ends_transactions('1')"),
    w.one_query("SELECT leave_behind($1)", "1"),
    w.one_query("SELECT leave_behind('1'), 1/$1::int", "0"),
    w.parse("SELECT leave_behind($1)", "p") + w.bind(["1"], "p") + w.execute() + w.sync(),
    w.query("SELECT 1") + w.query("SELECT leave_behind('1')"),
    w.one_query("SELECT $1", "1") + w.one_query("SELECT leave_behind($1)", "1"),
    w.query("SET app.behind = '1'"),
    w.query("COPY (SELECT leave_behind('1')) TO STDOUT"),
    w.query("COPY deferred FROM STDIN") + w.copy_done(),
], ids=range(15))
def test_nobody_sees_what_was_left(crowd, message):
    with queue(crowd(), message, 4) as clients:
        clients[0].query("COMMIT")
        for client in clients[2:]:
            assert value(client.until_ready()) == ""
        ready = message.count(b"Q\0\0\0") + message.count(b"S\0\0\0\4")
        for _ in range(max(ready, 1)):
            assert clients[1].until_ready()[-1].body == b"I"
        # ... and the client goes on.
        assert clients[1].value("SELECT 7") == "7"


def read_slowly(wire):
    """4 kB in a millisecond, to the end of a result."""
    while not wire.buffer.endswith(w.message("Z", b"I")):
        time.sleep(0.001)
        wire.buffer += wire.socket.recv(4096)


@pytest.mark.parametrize("message", ["SELECT {}", "SET app.behind = '1'; SELECT {}"],
                         ids=["chained", "asked"])
def test_who_reads_slowly_keeps_nobody_waiting(crowd, message, tmp_path):
    """What is left of its result is the router's; the server is clean, and the next one's."""
    port = free_port()
    listen = [f"127.0.0.1:{free_port()}", f"unix:{tmp_path}:{port}"]
    router = crowd(listen=listen)
    with router.transactional.wire() as c, Wire(tmp_path, port, 30 * SLOWDOWN) as a, \
            router.transactional.wire() as b:
        a.login(DEFAULT_USER, USERS[DEFAULT_USER][0], DATABASE)
        pid = c.value("SELECT pg_backend_pid()")
        # A socket of that kind holds some 200 kB.
        for kilobytes in range(180, 260):
            c.query("BEGIN")
            rows = f"repeat('x', 1000) FROM generate_series(1, {kilobytes})"
            a.send(w.query(message.format(rows)))
            waits(a)
            b.send(w.query("SELECT pg_backend_pid()"))
            waits(b)
            reader = threading.Thread(target=read_slowly, args=(a,))
            reader.start()
            c.query("COMMIT")
            assert value(b.until_ready()) == pid
            reader.join()
            assert len(w.rows(a.until_ready())) == kilobytes


@pytest.mark.parametrize("end, sqlstate", [
    ("COMMIT", None), ("END", None), ("ROLLBACK", None), ("fails", "23503")])
@pytest.mark.parametrize("is_extended", [False, True])
def test_transactions_that_end(crowd, end, sqlstate, is_extended):
    router = crowd()
    make = w.one_query if is_extended else w.query
    with router.transactional.wire() as a, router.transactional.wire() as b:
        a.query("BEGIN")
        a.query("SELECT leave_behind('1')")
        if end == "fails":
            assert w.errors(a.query("INSERT INTO deferred VALUES (1, 2)")) == []
        b.send(w.query(LOOK))
        waits(b)
        a.send(make("COMMIT" if end == "fails" else end))
        answer = a.until_ready()
        assert w.errors(answer) == ([sqlstate] if sqlstate else [])
        assert answer[-1].body == b"I"
        assert value(b.until_ready()) == ""


@pytest.mark.parametrize("end", ["COMMIT AND CHAIN", "ROLLBACK AND CHAIN", "ROLLBACK TO s",
                                 "RELEASE s", "COMMIT; BEGIN", "SELECT 1; SELECT 2"])
def test_transactions_that_do_not_end(crowd, end):
    router = crowd()
    with router.transactional.wire() as a, router.transactional.wire() as b:
        a.query("BEGIN")
        a.query("SAVEPOINT s")
        b.send(w.query(LOOK))
        waits(b)
        assert a.query(end)[-1].body == b"T"
        a.query("SELECT leave_behind('1')")
        assert a.value(LOOK) == "1,lock,3MB,behind"
        assert a.query("COMMIT")[-1].body == b"I"
        assert value(b.until_ready()) == ""


@pytest.mark.parametrize("message", [
    w.query("BEGIN; SELECT leave_behind('1'); COMMIT"), w.query("SELECT 'x'::leaves"),
    w.query("SELECT leaves '1'"), w.query("SELECT CAST('1' AS leaves)"),
    w.query("DO $$ BEGIN PERFORM leave_behind('1'); END $$"),
    w.query("EXPLAIN ANALYZE SELECT leave_behind('1')")], ids=range(6))
def test_nothing_is_not_what_looks_like_it(crowd, message):
    router = crowd()
    with router.transactional.wire() as a, router.transactional.wire() as b:
        for _ in range(2):
            a.value("SELECT 1")
            a.send(message)
            assert w.errors(a.until_ready()) == []
            a.value("SELECT 1")
            assert b.value(LOOK) == ""


def test_a_value_with_a_check_of_its_own(crowd, postgres):
    """'SELECT 1' leaves nothing, but a parameter that comes with it may."""
    router = crowd()
    oid = postgres.sql("SELECT 'leaves'::regtype::oid", dbname=DATABASE)[0][0]
    with router.transactional.wire() as a, router.transactional.wire() as b:
        for name in ("", "named"):
            a.send(w.parse("SELECT 1", name, (oid,)) + w.sync())
            a.until_ready()
            assert b.value("SELECT 1") == "1"
            a.send(w.bind(["x"], name) + w.execute() + w.sync())
            assert w.rows(a.until_ready()) == [("1",)]
            assert b.value(LOOK) == ""


def test_what_comes_early_belongs_to_the_next_lease(crowd):
    with queue(crowd(), w.query("SELECT leave_behind('1')"), 3) as clients:
        order = []
        threads = [threading.Thread(target=lambda c=c: (c.until_ready(), order.append(c)))
                   for c in clients[2:]]
        clients[0].send(w.query("COMMIT"))
        clients[1].until_ready()
        clients[1].send(w.query("SELECT pg_sleep(0.2)"))
        for thread in threads:
            thread.start()
        clients[1].until_ready()
        for thread in threads:
            thread.join()
        assert len(order) == 2
        assert clients[1].value(LOOK) == ""


def test_query_timeout_with_a_clean_behind(crowd):
    with queue(crowd(query_timeout="300ms"), w.query("SELECT leave_behind('1'), pg_sleep(300)"),
               3) as clients:
        clients[0].query("COMMIT")
        clients[1].until_closed()
        for client in clients[2:]:
            assert value(client.until_ready()) == ""


def test_client_disconnects_with_a_clean_behind(crowd, postgres):
    with queue(crowd(), w.query("SELECT leave_behind('1'), pg_sleep(300)"), 3) as clients:
        clients[0].query("COMMIT")
        wait_until(lambda: postgres.count("state = 'active' AND query LIKE '%pg_sleep%'") == 1,
                   10, "the query runs")
        clients[1].close()
        for client in clients[2:]:
            assert value(client.until_ready()) == ""


def test_backend_ends_with_a_clean_behind(crowd, postgres):
    with queue(crowd(), w.query("SELECT pg_sleep(300)"), 3) as clients:
        clients[0].query("COMMIT")
        wait_until(lambda: postgres.sql(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE state = 'active' AND query LIKE '%pg_sleep(300)' AND pid <> pg_backend_pid()"
        )[0][0] == 1, 10, "the backend is ended")
        assert w.errors(clients[1].until_closed()) == ["57P01"]
        for client in clients[2:]:
            assert value(client.until_ready()) == ""


def run_all(works):
    """Each in a thread of its own; the first failure is raised."""
    failures = []

    def run(work):
        try:
            work()
        except BaseException as failure:  # pylint: disable=broad-except
            failures.append(failure)
    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_cancels_hit_nobody_else(crowd):
    """One client is cancelled again and again, often when its answer is there already and
    the clean runs; the others never notice."""
    router = crowd(servers=2)
    ended = threading.Event()
    hits = []

    def victim(client):
        for _ in range(150):
            answer = client.query("SELECT leave_behind('1')")
            assert set(w.errors(answer)) <= {"57014"}
            hits.extend(w.errors(answer))

    def cancels(client):
        while not ended.is_set():
            with router.transactional.raw() as wire:
                wire.send(w.cancel_request(client.pid, client.key))
                wire.until_closed()

    def other(client):
        while not ended.is_set():
            assert sees_its_own_at_most(client, client.pid)
            value(client.query(f"SELECT leave_behind('{client.pid}')"))

    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(router.transactional.wire()) for _ in range(7)]

        def until_over():
            try:
                victim(clients[0])
            finally:
                ended.set()
        run_all([until_over, lambda: cancels(clients[0])] +
                [lambda c=c: other(c) for c in clients[1:]])
    assert hits


STATEMENTS = [
    lambda me, n: [w.query(f"SELECT leave_behind('{me}')")],
    lambda me, n: [w.one_query("SELECT leave_behind($1)", me)],
    lambda me, n: [w.query("BEGIN"), w.query(f"SELECT leave_behind('{me}')"), w.query("COMMIT")],
    lambda me, n: [w.query("BEGIN"), w.query("SELECT 1/0"), w.query("ROLLBACK")],
    lambda me, n: [w.query("BEGIN"), w.query(f"SET app.mine = '{n}'"), w.query("ROLLBACK")],
    lambda me, n: [w.one_query("BEGIN"), w.one_query("SELECT leave_behind($1)", me),
                   w.one_query("COMMIT")],
    lambda me, n: [w.query("SELECT 1/0")],
    lambda me, n: [w.one_query("SELECT 1/$1::int", "0")],
    lambda me, n: [w.parse("SELECT leave_behind($1)", f"p{n}"), w.bind([me], f"p{n}"),
                   w.execute(), w.sync()],
    lambda me, n: [w.query(f"CALL ends_transactions('{me}')")],
    lambda me, n: [w.query("SELECT 1"), w.query(f"SELECT leave_behind('{me}')")],
]


@pytest.mark.parametrize("seed", range(2))
def test_many_on_few_servers_at_random(crowd, seed):
    """Nobody sees what another has left; what a client has set it finds again."""
    router = crowd(servers=1 + seed)

    def client(me):
        rng = random.Random(f"{seed} {me}")
        mine = ""
        name = {"application_name": "same"} if me % 2 else {}
        with router.transactional.wire(**name) as wire:
            for n in range(80):
                if rng.random() < 0.2:
                    mine = f"{me}.{n}"
                    wire.query(f"SET app.mine = '{mine}'")
                messages = rng.choice(STATEMENTS)(str(me), n)
                wire.send(*messages)
                for _ in range(max(1, sum(m[:1] in b"Q" or m[-5:] == w.sync()
                                          for m in messages))):
                    last = wire.until_ready()
                    assert set(w.errors(last)) <= {"22012"}, last
                assert last[-1].body == b"I"
                assert sees_its_own_at_most(wire, me)
                assert (wire.value("SELECT current_setting('app.mine', true)") or "") == mine
                assert wire.value("SHOW application_name") == name.get("application_name", "")
    run_all([lambda me=me: client(me) for me in range(8)])

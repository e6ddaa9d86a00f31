# SPDX-License-Identifier: ISC
"""What was wrong once, or looked as if it could be."""
import contextlib
import copy
import os
import signal
import socket
import struct
import threading
import time

import pytest
from support import wire as w
from support.breath import Breath
from support.postgres import DATABASE
from support.wait import SLOWDOWN, wait_until

ONE = {"hosts": {"main": {"connection_budget": 1}},
       "workloads": {"transactional": {"guaranteed_connections": 1, "max_connections": 1},
                     "session": None}}
FAILS_LATE = """CREATE OR REPLACE FUNCTION fail_late() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep(%s); RAISE 'no rows today'; END $$"""


@pytest.fixture
def closed_table(postgres):
    """COPY to the table it names begins, and fails before it reads anything."""
    def make(seconds):
        postgres.sql(FAILS_LATE % seconds, "CREATE TABLE IF NOT EXISTS closed (body text)",
                     "GRANT ALL ON closed TO PUBLIC",
                     "CREATE OR REPLACE TRIGGER late BEFORE INSERT ON closed"
                     " FOR EACH STATEMENT EXECUTE FUNCTION fail_late()", dbname=DATABASE)
        return "closed"
    return make


@pytest.fixture
def breathing(postgres):
    """The port of a way to PostgreSQL with pauses behind such messages."""
    with contextlib.ExitStack() as stack:
        yield lambda behind: stack.enter_context(
            contextlib.closing(Breath(postgres.port, behind))).port


def next_one_is_served(router, within=3):
    """The only server is there for the next client, soon."""
    begin = time.monotonic()
    with router.transactional.wire() as wire:
        assert wire.value("SELECT 42") == "42"
    assert time.monotonic() - begin < within * SLOWDOWN


@pytest.mark.parametrize("breath", [None, b"Z", b"E"], ids=["at once", "Z", "E"])
@pytest.mark.parametrize("behind", [
    [w.parse("SELEC"), w.flush()], [w.parse("SELEC")], [w.bind(name="nobody"), w.flush()],
    [w.parse("SELECT 1"), w.flush()]], ids=["Parse", "no flush", "Bind", "no error"])
def test_skipping_behind_a_copy_that_failed(make_router, breathing, closed_table, behind, breath):
    """What asks PostgreSQL where the replies end was skipped, and waited for in vain; and what
    came behind a ReadyForQuery, late, was taken for an answer to what followed that."""
    table = closed_table(0.1)
    config = copy.deepcopy(ONE)
    if breath:
        config["hosts"]["main"]["port"] = breathing(breath)
    port = make_router(config).transactional
    with port.wire() as wire:
        wire.send(w.parse(f"COPY {table} FROM STDIN"), w.bind(), w.execute(), w.sync(), *behind)
        assert w.errors(wire.until_ready()) == ["P0001"]
        begin = time.monotonic()
        wire.send(w.sync(), w.query("SELECT 'end'"))
        answer = wire.until_ready()
        if w.types(answer) != "TDCZ":
            answer = wire.until_ready()
        assert w.rows(answer) == [("end",)]
        assert time.monotonic() - begin < 3 * SLOWDOWN
        assert wire.is_quiet()
        assert wire.value("SELECT 42") == "42"


# ------------------------------------------------------------- Terminate

@pytest.mark.router_only
@pytest.mark.parametrize("began", [
    [w.query("COPY items (body) FROM STDIN"), "G"],
    [w.parse("COPY items (body) FROM STDIN") + w.bind() + w.execute() + w.sync(), "G"],
    [w.parse("SELECT 1") + w.bind() + w.execute() + w.flush(), "C"],
], ids=["copy", "copy, extended", "no sync"])
def test_terminate_where_the_client_was_to_go_on(make_router, postgres, began):
    """Its server waited for the client, which had said goodbye, for ever."""
    router = make_router(ONE)
    wire = router.transactional.wire()
    wire.send(began[0])
    wire.until(began[1])
    wire.quit()
    next_one_is_served(router)
    assert postgres.count("state <> 'idle' AND usename <> 'postgres'") == 0


@pytest.mark.router_only
def test_terminate_right_behind_copy(make_router):
    router = make_router(ONE)
    wire = router.transactional.wire()
    wire.send(w.query("COPY items (body) FROM STDIN"), w.terminate())
    wire.socket.close()
    next_one_is_served(router)


@pytest.mark.router_only
def test_client_gone_before_copy_begins(make_router):
    """Nobody ended the COPY that began when its client was gone."""
    router = make_router(ONE)
    wire = router.transactional.wire()
    wire.value("SELECT 1")
    wire.send(w.query("COPY items (body) FROM STDIN"))
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.close()
    next_one_is_served(router)


@pytest.mark.router_only
def test_terminate_then_deaf(make_router, postgres):
    """Says goodbye behind a query without end, and does not read: the query ends
    when nobody is there any more to send its rows to."""
    router = make_router(ONE)
    wire = router.transactional.wire()
    wire.send(w.query("SELECT repeat('x', 1000), generate_series(1, 1000000000)"),
              w.terminate())
    wire.until("D")
    wire.close()
    next_one_is_served(router, 5)


@pytest.mark.router_only
def test_half_closed_then_deaf(make_router, postgres):
    """The same by one that has ended its own direction before: its end had been told, and
    that nothing can be sent any more was not, so that its server was stopped for ever."""
    router = make_router(ONE)
    wire = router.transactional.wire()
    wire.send(w.query("SELECT repeat('x', 1000), generate_series(1, 1000000000)"),
              w.terminate())
    wire.socket.shutdown(socket.SHUT_WR)
    wire.until("D")
    wait_until(lambda: postgres.count("wait_event = 'ClientWrite'") == 1, 20,
               "the router reads no more")
    wire.close()
    next_one_is_served(router, 5)


@pytest.mark.parametrize("busy", [False, True], ids=["server free", "server busy"])
@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("how", ["simple", "extended", "two"])
def test_goodbye_in_one_write(make_router, postgres, how, end, busy):
    """A statement, Terminate and the end of the connection at once: PostgreSQL reads what
    was sent before it finds the end, so the statement counts, also where it waits for a
    server in between."""
    router = make_router(ONE)
    postgres.sql("CREATE TABLE IF NOT EXISTS said (body text)", "TRUNCATE said",
                 "GRANT ALL ON said TO PUBLIC", dbname=DATABASE)
    insert = "INSERT INTO said VALUES ('goodbye')"
    sent = {"simple": w.query(insert), "extended": w.one_query(insert),
            "two": w.query("SELECT 1") + w.query(insert)}[how]
    other = router.transactional.wire()
    wire = router.transactional.wire()
    if busy:
        other.query("BEGIN")
    if end == "reset":
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.send(sent, w.terminate())
    wire.socket.close()
    if busy:
        assert other.value("SELECT 1") == "1"
        other.query("COMMIT")
    wait_until(lambda: postgres.sql("SELECT body FROM said", dbname=DATABASE) == [("goodbye",)],
               10, "the statement has run")
    next_one_is_served(router)
    other.close()


@pytest.mark.router_only
def test_goodbye_of_one_that_waits_too_long(make_router):
    """Nobody is kept for longer than who stays: the time limit of the queue holds."""
    router = make_router({**ONE, "defaults": {"query_wait_timeout": "1500ms"}})
    other = router.transactional.wire()
    other.query("BEGIN")
    wire = router.transactional.wire()
    wire.send(w.query("SELECT 1"), w.terminate())
    wire.socket.close()
    wait_until(lambda: "wait-timeout" in router.log(), 10, "the queue's limit")
    wait_until(lambda: "reason=quit" in router.log(), 10, "the client's end")
    wait_until(lambda: len(router.show("CLIENTS")) == 2, 10, "nobody is left")
    other.close()


# ----------------------------------------------------- bytes that do not belong

@pytest.mark.parametrize("bad", [b"\xff\0\0\0\4", b"Q\0\0\0\1"], ids=["type", "length"])
def test_garbage_behind_a_query(make_router, bad):
    """The query was counted and never sent: its server waited 10 s for a reply."""
    router = make_router(ONE)
    with router.transactional.wire() as wire:
        wire.send(w.query("SELECT 7") + bad)
        answer = wire.until_closed()
    assert w.rows(answer) == [("7",)]
    assert w.errors(answer) == ["08P01"]
    next_one_is_served(router)


@pytest.mark.router_only
def test_garbage_in_copy(make_router):
    router = make_router(ONE)
    with router.transactional.wire() as wire:
        wire.send(w.query("COPY items (body) FROM STDIN"), b"\xff\0\0\0\4")
        assert w.errors(wire.until_closed()) == ["08P01"]
    next_one_is_served(router)


# ------------------------------------------------------ data that nobody reads

@pytest.mark.parametrize("extended", [False, True])
def test_copy_fails_with_much_on_its_way(router, closed_table, extended):
    """The lease ended with bytes for the server still unsent: an assertion failed,
    or the client, stopped because of them, was never read from again."""
    table = closed_table(0.5)
    with router.transactional.wire() as wire:
        sql = f"COPY {table} FROM STDIN"
        wire.send(w.parse(sql) + w.bind() + w.execute() + w.sync() if extended else w.query(sql))
        wire.until("G")

        def feed():
            for _ in range(200):
                wire.send(w.copy_data(b"1\n") * 6000)
            wire.send(w.copy_done())

        feeder = threading.Thread(target=feed)
        feeder.start()
        assert w.types(wire.until_ready()) == "EZ"
        feeder.join(20 * SLOWDOWN)
        assert not feeder.is_alive()
        assert wire.value("SELECT 1") == "1"


def test_copy_fails_in_the_middle_of_a_message(router, closed_table):
    """The router's own query went into the middle of a CopyData."""
    table = closed_table(0)
    size = 3_000_000
    with router.transactional.wire() as wire:
        wire.send(w.parse(f"COPY {table} FROM STDIN") + w.bind() + w.execute() + w.sync(),
                  b"d" + struct.pack("!i", size + 4) + b"1\n" * 1000)
        assert w.types(wire.until_ready()) == "12GEZ"
        wire.send(b"1\n" * (size // 2 - 1000), w.copy_done(), w.sync())
        assert w.types(wire.until_ready()) == "Z"
        assert wire.value("SELECT 1") == "1"


@pytest.mark.router_only
def test_answers_without_a_server_are_bounded(router):
    """Sync outside of a transaction is answered by the router: a client that sends
    nothing else and reads nothing made it grow without end."""
    with router.transactional.wire() as wire:
        wire.socket.settimeout(1)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 200_000_000:
                sent += wire.socket.send(w.sync() * 20000)
        wire.socket.settimeout(30 * SLOWDOWN)
        for _ in range(sent // 5):
            assert wire.read(6) == b"Z\0\0\0\5I"
        # A message that was cut, if any, is completed.
        wire.send((w.sync() * 2)[sent % 5:])
        assert wire.until_ready()


# --------------------------------------------------------------------- cancel

@pytest.mark.router_only
def test_late_cancel_does_not_hit_the_next_holder(make_router, postgres):
    """A cancel that PostgreSQL had not looked at yet when the router gave up."""
    router = make_router({**ONE, "hosts": {"main": {
        "connection_budget": 1, "server_connect_timeout": "1s"}}})
    postmaster = int((postgres.data / "postmaster.pid").read_text().split()[0])
    with router.transactional.wire() as first, router.transactional.wire() as second:
        first.send(w.query("SELECT pg_sleep(0.5)"))
        wait_until(lambda: postgres.count("query LIKE '%pg_sleep(0.5)%' AND state = 'active'"), 5)
        os.kill(postmaster, signal.SIGSTOP)
        try:
            with router.transactional.raw() as canceller:
                canceller.send(w.cancel_request(first.pid, first.key))
                assert w.errors(first.until_ready()) == []
                second.send(w.query("SELECT pg_sleep(2)"))
                canceller.until_closed()
        finally:
            os.kill(postmaster, signal.SIGCONT)
        assert w.errors(second.until_ready()) == []


# ----------------------------------------------------------------------- log

@pytest.mark.router_only
def test_log_cannot_be_forged_by_names(router):
    """A database that PostgreSQL does not know was logged as the client wrote it."""
    with pytest.raises(RuntimeError, match="3D000"):
        router.transactional.wire(dbname="x\n2026-01-01 00:00:00.000 UTC error forged y=1")
    wait_until(lambda: "server-login-failed" in router.log(), 5)
    assert not [line for line in router.log().splitlines() if line.startswith("2026-01-01")]


# --------------------------------------------------------------------- startup

@pytest.mark.router_only
def test_startup_packet_of_settings_only(router):
    """2000 settings cost 40 ms each time, before the client had proven who it is."""
    many = {f"a{n}": "1" for n in range(1000)}
    with pytest.raises(RuntimeError, match="54000: too many settings"):
        router.transactional.wire(**many)

# SPDX-License-Identifier: ISC
"""session_state_advice and SHOW ADVICE: who does on a transaction port what belongs on a
session port is told once for each client and kind, in the log or by a NOTICE, and what it
costs is added up."""
import asyncio
import contextlib
import re
import time

import psycopg
import pytest
from support import wire as w
from support.postgres import DEFAULT_USER
from support.wait import wait_until
from test_pins import full, pinning, pins

pytestmark = pytest.mark.router_only

LISTEN = "channels that are listened to keep a server connection for this client"
TABLES = "temporary tables and other temporary objects keep a server connection for this client"
LOST = "settings that outlive their transaction were made where no statement shows them, and are lost"


@pytest.fixture
def noticing(make_router):
    return make_router(pinning(session_state_advice="notice", session_state_audit="always"))


def types(messages):
    """With the NOTICEs."""
    return "".join(m.type for m in messages if m.type != "S")


def told(messages):
    """The NOTICEs, which stand in front of ReadyForQuery and nowhere else."""
    kinds = types(messages)
    assert re.fullmatch("[^N]*N*Z|[^N]*", kinds), kinds
    return [m.text for m in messages if m.type == "N"]


def lines(router, count):
    """So many are in the log, which is written a moment later; each console login is a line
    of it, too, in its turn."""
    before = router.log().count("client-login")
    router.show("version")
    wait_until(lambda: router.log().count("client-login") > before, 5, "it is written")
    found = re.findall(" session-state .*", router.log())
    assert len(found) == count, found
    return found


def advice(router):
    return {row["state"]: row for row in router.show("advice")}


def test_once_for_each_client_and_kind(noticing):
    port = f"127.0.0.1:{noticing.ports['session']} (workload session)"
    for _ in range(2):
        with noticing.transactional.wire() as a:
            answer = a.query("LISTEN mine")
            assert types(answer) == "CNZ" and told(answer) == [LISTEN]
            fields = answer[1].fields
            assert (fields["S"], fields["V"], fields["C"]) == ("NOTICE", "NOTICE", "00000")
            assert "until they are gone" in fields["D"] and "keep 2 (max_pinned)" in fields["D"]
            assert port in fields["H"]
            for text in ("LISTEN mine", "UNLISTEN mine", "LISTEN other", "SELECT 1"):
                assert told(a.query(text)) == []
            assert told(a.query("CREATE TEMP TABLE mine (x int)")) == [TABLES]
            assert "until the client leaves" in a.query("SELECT setseed(0.5)")[-2].fields["D"]
    # Each of two clients, three kinds.
    assert all("one of 2 that may be kept (max_pinned)" in line for line in lines(noticing, 6))


def test_of_one_text_that_does_several(noticing):
    with noticing.transactional.wire() as a:
        answer = a.query("LISTEN mine; CREATE TEMP TABLE mine (x int); SELECT 1")
        assert types(answer) == "CCTDCNNZ"
        assert told(answer) == [TABLES, LISTEN]


def test_extended_pipelined_and_in_a_transaction(noticing):
    with noticing.transactional.wire() as a:
        a.send(w.parse("BEGIN"), w.bind(), w.execute(), w.parse("LISTEN mine"), w.bind(),
               w.execute(), w.flush(), w.parse("SELECT 1"), w.bind(), w.execute(), w.sync(),
               w.one_query("CREATE TEMP TABLE mine (x int)"), w.query("COMMIT"))
        answers = [a.until_ready() for _ in range(3)]
        # In front of the next ReadyForQuery: what was sent ahead is known by then.
        assert sorted(sum((told(answer) for answer in answers), [])) == sorted([LISTEN, TABLES])
        assert types(answers[0]).rstrip("NZ") == "12C12C12DC"
        assert types(answers[2]) == "CZ"


def test_not_into_a_copy(noticing):
    """A COPY in the same text, and one that the client is in the middle of."""
    with noticing.transactional.wire() as a:
        a.query("CREATE TEMP TABLE mine (x int) ON COMMIT DROP")
        a.send(w.query("CREATE TEMP TABLE mine (x int); COPY mine FROM STDIN; SELECT count(*) FROM mine"))
        assert types(a.until("G")) == "CG"
        for n in range(100):
            a.send(w.copy_data(b"%d\n" % n))
        assert a.is_quiet()
        a.send(w.copy_done())
        answer = a.until_ready()
        assert types(answer) == "CTDCNZ" and w.rows(answer) == [("100",)]
        answer = a.query("SELECT pg_advisory_lock(1); COPY mine TO STDOUT")
        assert types(answer) == "TDCH" + "d" * 100 + "cCNZ"


def test_what_is_found_is_told_later(noticing):
    """The server is asked behind the ReadyForQuery; what was found stands in front of the next."""
    with noticing.transactional.wire() as a:
        assert told(a.query("DO $$ BEGIN SET enable_seqscan = off; LISTEN mine; END $$")) == []
        wait_until(lambda: len(pins(noticing)) == 1, 5, "it is found")
        answer = a.query("SELECT 1")
        assert types(answer) == "TDCNNZ" and sorted(told(answer)) == sorted([LISTEN, LOST])
        details = [m.fields.get("D") for m in answer if m.type == "N"]
        assert None in details and "Nobody else can use it until they are gone." in details
        assert told(a.query("SELECT 1")) == []
    assert ["beyond max_pinned" in line for line in lines(noticing, 2)].count(True) == 1


def test_who_is_refused_gets_an_error_and_no_notice(make_router):
    router = make_router(pinning(session_state_advice="notice", session_state_listen="refuse"))
    with router.transactional.wire() as a:
        answer = a.query("LISTEN mine")
        assert types(answer) == "EZ" and answer[0].sqlstate == "0A000"
        assert told(a.query("SELECT 1")) == []
    assert "max_pinned" not in lines(router, 1)[0]


@pytest.mark.parametrize("word,logged,noticed", [("off", 0, 0), ("log", 1, 0), ("notice", 1, 1)])
def test_words(make_router, word, logged, noticed):
    router = make_router(pinning(session_state_advice=word))
    with router.transactional.wire() as a:
        assert len(told(a.query("LISTEN mine"))) == noticed
        lines(router, logged)
        assert advice(router)["listen"]["pinned"] == 1
        # It holds from its next lease on.
        router.reload({"defaults": {"session_state_advice": "notice"}})
        a.query("UNLISTEN *")
        wait_until(lambda: pins(router) == [], 5, "the pin ends")
        assert told(a.query("SELECT pg_advisory_lock(1)")) == \
            ["advisory locks of the session keep a server connection for this client"]


def test_log_is_the_default_and_session_ports_tell_nothing(make_router):
    router = make_router(pinning())
    with router.transactional.wire() as a:
        assert told(a.query("LISTEN mine")) == []
        lines(router, 1)
    router.reload({"defaults": {"session_state_advice": "notice"}})
    with router.session.wire() as a:
        assert told(a.query("LISTEN mine")) == []
        lines(router, 1)


def test_for_one_user(make_router):
    router = make_router({**pinning(), "users": {DEFAULT_USER: {"session_state_advice": "notice"}}})
    with router.transactional.wire() as a, router.transactional.wire(user="other") as b:
        assert told(a.query("LISTEN mine")) == [LISTEN]
        assert told(b.query("LISTEN mine")) == []


def test_psycopg(noticing):
    heard = []
    with noticing.transactional.connect() as a:
        a.add_notice_handler(lambda diag: heard.append((diag.severity, diag.message_primary,
                                                        diag.message_hint)))
        a.execute("LISTEN mine")
        a.execute("LISTEN mine", prepare=True)
        with a.pipeline():
            for _ in range(5):
                a.execute("SELECT pg_advisory_lock(%s)", [1])
        with a.transaction(), a.cursor().copy("COPY (SELECT 1) TO STDOUT") as copy:
            assert b"".join(copy) == b"1\n"
    assert [(severity, text.split(" keep ")[0]) for severity, text, _ in heard] == \
        [("NOTICE", "channels that are listened to"), ("NOTICE", "advisory locks of the session")]
    assert all("session port" in hint for *_, hint in heard)


def test_asyncpg(noticing):
    asyncpg = pytest.importorskip("asyncpg")
    dsn = noticing.transactional.dsn()
    heard = []

    async def work():
        a = await asyncpg.connect(host=dsn["host"], port=dsn["port"], user=dsn["user"],
                                  password=dsn["password"], database=dsn["dbname"])
        a.add_log_listener(lambda _, message: heard.append(message.message))
        await a.execute("CREATE TEMP TABLE mine (x int)")
        await a.copy_records_to_table("mine", records=[(n,) for n in range(100)])
        async with a.transaction():
            assert await a.fetchval("SELECT count(*) FROM mine WHERE x < $1", 50) == 50
        await a.add_listener("mine", lambda *_: None)
        await a.close()

    asyncio.run(work())
    assert heard == [TABLES, LISTEN]


def test_what_it_costs(make_router):
    """Servers that are kept now, and for how long they were, all together."""
    router = make_router(pinning())
    begun = time.monotonic()
    with router.transactional.connect() as a, router.transactional.connect() as b:
        for client in (a, b):
            client.execute("LISTEN mine")
        b.execute("SELECT pg_advisory_lock(1)")
        wait_until(lambda: advice(router)["listen"]["servers"] == 2, 5, "two are kept")
        assert advice(router)["advisory_locks"]["servers"] == 1
        # Two servers: both of them count.
        wait_until(lambda: advice(router)["listen"]["seconds"] >= 3, 20, "it is counted")
        assert advice(router)["listen"]["seconds"] <= 2 * (time.monotonic() - begun)
        assert advice(router)["advisory_locks"]["seconds"] <= time.monotonic() - begun
        # Its line goes on by the name under which it began.
        b.execute("SET application_name = 'renamed'")
        b.execute("UNLISTEN *")
        wait_until(lambda: advice(router)["listen"]["servers"] == 1, 5, "one is given back")
        a.execute("UNLISTEN *")
        wait_until(lambda: advice(router)["listen"]["servers"] == 0, 5, "none is kept")
        assert advice(router)["advisory_locks"]["servers"] == 1
    wait_until(lambda: advice(router)["advisory_locks"]["servers"] == 0, 5, "it has left")
    before = advice(router)["listen"]["seconds"]
    assert 3 <= before <= 2 * (time.monotonic() - begun)


def test_refused_costs_nothing(make_router):
    router = make_router(pinning())
    with contextlib.ExitStack() as stack:
        full(router, stack)
        a = stack.enter_context(router.transactional.connect())
        with pytest.raises(psycopg.errors.TooManyConnections):
            a.execute("SELECT pg_advisory_lock(1)")
        row = advice(router)["advisory_locks"]
        assert (row["refused"], row["pinned"], row["servers"], row["seconds"]) == (1, 0, 0, 0)

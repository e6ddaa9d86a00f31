# SPDX-License-Identifier: ISC
"""The protocol on both ports: what a client sends is what PostgreSQL gets, and its
answers come back whole and in order."""
import struct

import pytest
from support import needs
from support import wire as w
from support.wait import wait_until


@pytest.fixture
def wire(port):
    with port.wire() as connection:
        yield connection


def test_simple_query(wire):
    answer = wire.query("SELECT 1, NULL, 'text'")
    assert w.types(answer) == "TDCZ"
    assert w.rows(answer) == [("1", None, "text")]
    assert answer[-1].body == b"I"


def test_several_statements_in_one_query(wire):
    answer = wire.query("SELECT 1; SELECT 2; SELECT 3")
    assert w.types(answer) == "TDCTDCTDCZ"
    assert w.rows(answer) == [("1",), ("2",), ("3",)]


def test_empty_query(wire):
    assert w.types(wire.query("")) == "IZ"
    assert w.types(wire.query(" ; ")) == "IZ"


def test_error_and_then_work_goes_on(wire):
    answer = wire.query("SELECT 1/0")
    assert w.errors(answer) == ["22012"]
    assert answer[-1].body == b"I"
    assert wire.value("SELECT 1") == "1"


@pytest.mark.parametrize("fails", [w.execute("nope"), w.parse("SELECT 1/0") + w.bind() + w.execute()],
                         ids=["at once", "later"])
@pytest.mark.parametrize("behind", [
    300 * w.query("SELECT 1"),
    b"".join((1 + n % 2) * w.parse("SELECT 1") + w.query("SELECT 1") for n in range(40)),
    w.query("RESET TimeZone") + w.query("SELECT 1"),
], ids=["more than a turn", "more than are counted", "behind a reset"])
def test_queries_behind_an_error_are_skipped(port, fails, behind):
    """All up to the Sync, which was sent with them, and may have waited behind them."""
    with port.wire(TimeZone="Asia/Tokyo") as wire:
        wire.send(fails, behind, w.sync())
        answer = wire.until_ready()
        assert len(w.errors(answer)) == 1 and w.types(answer).count("Z") == 1
        assert wire.value("SHOW TimeZone") == "Asia/Tokyo"


def test_transaction_status_is_told(wire):
    assert wire.query("BEGIN")[-1].body == b"T"
    assert wire.query("SELECT 1")[-1].body == b"T"
    assert wire.query("SELECT 1/0")[-1].body == b"E"
    assert w.errors(wire.query("SELECT 1")) == ["25P02"]
    assert wire.query("ROLLBACK")[-1].body == b"I"


def test_extended_query(wire):
    wire.send(w.one_query("SELECT $1::int + 1, $2::text", 41, "x"))
    answer = wire.until_ready()
    assert w.types(answer) == "12TDCZ"
    assert w.rows(answer) == [("42", "x")]


def test_parameters_of_every_shape(wire):
    """NULL, empty, binary, 1 MB."""
    big = "ä" * 500_000
    wire.send(w.one_query("SELECT $1::text IS NULL, $2::text, length($3::text)", None, "", big))
    assert w.rows(wire.until_ready()) == [("t", "", "500000")]
    wire.send(w.parse("SELECT $1::int4 * 2"), w.bind([struct.pack("!i", 21)], formats=[1],
                                                    result_formats=[1]),
              w.execute(), w.sync())
    data = next(m for m in wire.until_ready() if m.type == "D")
    assert data.row == [struct.pack("!i", 42)]


def test_maximum_number_of_parameters(wire):
    """65535 is the most there can be; PostgreSQL's own answer comes back."""
    count = 65535
    sql = "SELECT " + "+".join(f"${n + 1}::int" for n in range(count))
    wire.send(w.parse(sql), w.bind([1] * count), w.execute(), w.sync())
    answer = wire.until_ready()
    assert w.rows(answer) == [("65535",)] or w.errors(answer) == ["54001"]
    assert wire.value("SELECT 1") == "1"


def test_portal_in_pieces(wire):
    """Execute with a row limit: PortalSuspended, then the rest, in one transaction."""
    wire.send(w.query("BEGIN"))
    wire.until_ready()
    wire.send(w.parse("SELECT generate_series(1, 5)"), w.bind(portal="p"),
              w.execute("p", 2), w.sync())
    answer = wire.until_ready()
    assert w.types(answer) == "12DDsZ"
    wire.send(w.execute("p", 0), w.sync())
    answer = wire.until_ready()
    assert w.types(answer) == "DDDCZ"
    wire.send(w.query("COMMIT"))
    assert wire.until_ready()[-1].body == b"I"


def test_flush_brings_answers_without_sync(wire):
    wire.send(w.parse("SELECT 1"), w.describe("S"), w.flush())
    assert w.types(wire.until("T")) == "1tT"
    wire.send(w.bind(), w.execute(), w.flush())
    assert w.types(wire.until("C")) == "2DC"
    assert wire.is_quiet()
    wire.send(w.sync())
    assert w.types(wire.until_ready()) == "Z"


def test_describe_and_close(wire):
    wire.send(w.parse("SELECT $1::int AS a", "s"), w.describe("S", "s"), w.close("S", "s"),
              w.sync())
    assert w.types(wire.until_ready()) == "1tT3Z"


def test_pipeline_of_many_syncs(wire):
    """A thousand exchanges sent before the first answer is read: each answered, in
    order."""
    count = 1000
    wire.send(*(w.one_query("SELECT $1::int", n) for n in range(count)))
    for n in range(count):
        answer = wire.until_ready()
        assert w.types(answer) == "12TDCZ"
        assert w.rows(answer) == [(str(n),)]


def test_pipeline_of_simple_queries(wire):
    wire.send(*(w.query(f"SELECT {n}") for n in range(300)))
    for n in range(300):
        assert w.rows(wire.until_ready()) == [(str(n),)]


def test_errors_in_the_middle_of_a_pipeline(wire):
    """Everything after an error up to Sync is skipped; what is behind Sync runs."""
    good = w.one_query("SELECT 1")
    # Fails when it runs: a constant would fail at Bind already.
    bad = w.parse("SELECT 1/(0 * pg_backend_pid())") + w.bind() + w.execute()
    skipped = w.parse("SELECT 'never'") + w.bind() + w.execute()
    wire.send(good, bad, skipped, skipped, w.sync(), good, bad, w.sync(), good)
    assert w.types(wire.until_ready()) == "12TDCZ"
    answer = wire.until_ready()
    assert w.types(answer) == "12EZ"
    assert w.errors(answer) == ["22012"]
    assert w.types(wire.until_ready()) == "12TDCZ"
    assert w.types(wire.until_ready()) == "12EZ"
    assert w.types(wire.until_ready()) == "12TDCZ"


def test_query_is_skipped_after_an_extended_error(wire):
    """PostgreSQL drops even a simple Query until the Sync: no answer may be made up
    for it, and none waited for."""
    wire.send(w.parse("SELECT nonsense nonsense nonsense"), w.query("SELECT 1"), w.sync())
    answer = wire.until_ready()
    assert w.types(answer) == "EZ"
    assert wire.is_quiet()
    assert wire.value("SELECT 2") == "2"


def test_sync_alone(wire):
    wire.send(w.sync(), w.sync(), w.sync())
    for _ in range(3):
        assert w.types(wire.until_ready()) == "Z"


def test_extended_transaction_over_several_syncs(wire):
    wire.send(w.one_query("BEGIN"))
    assert wire.until_ready()[-1].body == b"T"
    wire.send(w.one_query("SELECT pg_backend_pid()"))
    first = w.rows(wire.until_ready())
    wire.send(w.one_query("SELECT pg_backend_pid()"))
    assert w.rows(wire.until_ready()) == first
    wire.send(w.one_query("COMMIT"))
    assert wire.until_ready()[-1].body == b"I"


def test_implicit_transaction_of_a_pipeline(wire):
    """Without a Sync between them two statements are one transaction."""
    wire.send(w.parse("INSERT INTO items (body) VALUES ('pipelined')"), w.bind(), w.execute(),
              w.parse("SELECT 1/0"), w.bind(), w.execute(), w.sync())
    assert w.errors(wire.until_ready()) == ["22012"]
    assert wire.value("SELECT count(*) FROM items WHERE body = 'pipelined'") == "0"


@pytest.mark.parametrize("behind, status", [("SELECT 1", b"I"), ("BEGIN", b"T"),
                                            ("BEGIN; SELECT 1/0", b"E")])
def test_what_is_sent_behind_a_copy_that_fails(wire, behind, status):
    """How many answers come is not known then; a transaction that has begun goes on."""
    wire.send(w.parse("COPY items (id) FROM STDIN"), w.bind(), w.execute(), w.sync(),
              w.copy_data(b"x\n"), w.copy_done(), w.sync(), w.query(behind))
    assert w.errors(wire.until_ready()) == ["22P02"]
    assert wire.until_ready()[-1].body == status
    for n in range(3):
        answer = wire.query(f"SELECT {n}")
        assert answer[-1].body == status
        assert w.errors(answer) == (["25P02"] if status == b"E" else [])
    assert wire.query("ROLLBACK")[-1].body == b"I"
    assert wire.value("SELECT 1") == "1"


def test_function_call(wire):
    """int4pl(20, 22), by FunctionCall."""
    wire.send(w.function_call(177, struct.pack("!i", 20), struct.pack("!i", 22)))
    answer = wire.until_ready()
    assert w.types(answer) == "VZ"
    assert answer[0].body == struct.pack("!ii", 4, 42)


def test_function_call_that_fails(wire):
    """int4div(1, 0)."""
    wire.send(w.function_call(154, struct.pack("!i", 1), struct.pack("!i", 0)))
    assert w.errors(wire.until_ready()) == ["22012"]
    assert wire.value("SELECT 1") == "1"


def test_notices_come_through(wire):
    answer = wire.query("DO $$ BEGIN RAISE NOTICE 'hello'; RAISE WARNING 'there'; END $$")
    assert [m.text for m in answer if m.type == "N"] == ["hello", "there"]


def test_listen_and_notify(router):
    """Asynchronous messages reach a client that sends nothing."""
    with router.session.wire() as listener, router.session.wire() as sender:
        listener.query("LISTEN channel_1")
        sender.query("NOTIFY channel_1, 'payload'")
        (notification,) = listener.until("A")
        assert notification.body[4:] == b"channel_1\0payload\0"


def test_parameter_status_after_set(router):
    with router.session.wire() as wire:
        answer = wire.query("SET client_encoding = 'LATIN1'")
        assert b"client_encoding\0LATIN1\0" in [m.body for m in answer if m.type == "S"]
        wire.send(w.query("SELECT 'ä'".encode("latin-1").decode("latin-1")))
        wire.until_ready()


def test_messages_in_small_pieces(wire):
    """A Query and an extended exchange cut at every byte."""
    data = w.query("SELECT 'cut'")
    for at in range(1, len(data)):
        wire.send_split(data, at)
        assert w.rows(wire.until_ready()) == [("cut",)]
    data = w.one_query("SELECT $1::text", "cut")
    for at in range(1, len(data)):
        wire.send_split(data, at)
        assert w.rows(wire.until_ready()) == [("cut",)]


def test_byte_by_byte(wire):
    data = w.one_query("SELECT $1::text", "slow") + w.query("SELECT 2")
    for n in range(len(data)):
        wire.send(data[n:n + 1])
    assert w.rows(wire.until_ready()) == [("slow",)]
    assert w.rows(wire.until_ready()) == [("2",)]


def test_many_small_messages_and_a_long_one(wire):
    """Buffer edges: texts of every size around the usual powers of two."""
    for size in [n + d for n in (1 << 12, 1 << 13, 1 << 14, 1 << 15, 1 << 16, 1 << 17)
                 for d in (-20, -6, -5, -4, -1, 0, 1, 5)]:
        answer = wire.query(f"SELECT length('{'x' * size}'), repeat('y', {size})")
        assert w.rows(answer)[0][0] == str(size)
        assert len(w.rows(answer)[0][1]) == size


def test_unknown_message_type(port, router):
    """FATAL 08P01 as PostgreSQL, or a close; others go on."""
    with port.wire() as other, port.wire() as wire:
        wire.send(w.message("y", b"what"))
        errors = [m for m in wire.until_closed() if m.type == "E"]
        for error in errors:
            assert error.sqlstate == "08P01"
            assert error.fields["S"] == "FATAL"
        assert other.value("SELECT 1") == "1"


@pytest.mark.parametrize("length", [0, 1, 3, -1, -2**31, 2**31 - 1])
def test_impossible_length(port, length):
    """Lengths below 4, negative, and 2 GB: closed, with 08P01 if anything is said."""
    with port.wire() as other, port.wire() as wire:
        wire.send(b"Q" + struct.pack("!i", length) + b"SELECT 1\0")
        if length == 2**31 - 1:
            wire.socket.shutdown(1)
        for error in [m for m in wire.until_closed() if m.type == "E"]:
            assert error.sqlstate == "08P01"
        assert other.value("SELECT 1") == "1"


def test_query_without_terminator(port):
    """The text of a Query must end with a zero byte."""
    with port.wire() as wire:
        wire.send(w.message("Q", b"SELECT 1"))
        answer = wire.until("E")
        assert answer[-1].sqlstate == "08P01"


def test_invalid_utf8(wire):
    wire.send(w.query(b"SELECT '\xff\xfe'".decode("latin-1").encode("latin-1")))
    assert w.errors(wire.until_ready()) == ["22021"]
    assert wire.value("SELECT 1") == "1"


def test_client_that_half_closes_gets_its_answer(port, postgres):
    """shutdown(SHUT_WR) after a query: PostgreSQL answers or closes; nothing stays
    behind."""
    with port.wire(application_name="half") as wire:
        wire.send(w.query("SELECT 1"))
        wire.socket.shutdown(1)
        wire.until_closed()
    wait_until(lambda: postgres.count("application_name = 'half' AND state <> 'idle'") == 0, 5)


def test_replication_connection(router, postgres):
    """IDENTIFY_SYSTEM on the session port; the server is the client's alone and is
    closed with it."""
    with router.session.wire(user="repl", replication="database") as wire:
        assert w.types(wire.query("IDENTIFY_SYSTEM")) == "TDCZ"
        assert postgres.count("usename = 'repl'") == 0
        assert len(postgres.sql("SELECT 1 FROM pg_stat_activity WHERE usename = 'repl'"
                                " AND backend_type = 'walsender'")) == 1
        assert {row["user"]: row["replication"] for row in router.show("clients")} == {
            "repl": "logical", "admin": "none"}
    wait_until(lambda: not postgres.sql(
        "SELECT 1 FROM pg_stat_activity WHERE usename = 'repl'"), 5, "its server is closed")


def test_replication_stream(router, postgres):
    """CopyBoth: WAL flows to the client, status updates flow back."""
    with router.session.wire(user="repl", replication="database") as wire:
        answer = wire.query(
            "CREATE_REPLICATION_SLOT test_slot TEMPORARY LOGICAL test_decoding")
        if w.errors(answer):
            needs.missing("test_decoding", "install PostgreSQL's contrib modules")
        point = w.rows(answer)[0][1]
        wire.send(w.query(f"START_REPLICATION SLOT test_slot LOGICAL {point}"))
        assert wire.until("W")[-1].type == "W"
        postgres.sql("INSERT INTO items (body) VALUES ('replicated')", dbname="app")
        while True:
            got = wire.until("d")[-1]
            if b"replicated" in got.body:
                break
            if got.body[:1] == b"k":
                wire.send(w.copy_data(b"r" + struct.pack("!QQQQB", 0, 0, 0, 0, 0)))
        wire.send(w.copy_done())
        answer = wire.until_ready()
        assert answer[-1].body == b"I"


@pytest.mark.router_only
def test_replication_is_refused_on_the_transaction_port(router):
    with pytest.raises(RuntimeError, match="replication"):
        router.transactional.wire(user="repl", replication="database")

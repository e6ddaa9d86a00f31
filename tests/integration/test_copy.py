# SPDX-License-Identifier: ISC
"""COPY in both directions, its failures, and what is sent too early or too late."""
import random

import pytest
from support import wire as w
from support.wait import wait_until

ROWS = b"".join(b"copied %d\n" % n for n in range(1000))


@pytest.fixture
def wire(port):
    with port.wire() as connection:
        connection.query("DELETE FROM items")
        yield connection


def count(wire):
    return int(wire.value("SELECT count(*) FROM items"))


def test_copy_in(wire):
    wire.send(w.query("COPY items (body) FROM STDIN"))
    wire.until("G")
    wire.send(*(w.copy_data(line + b"\n") for line in ROWS.splitlines()), w.copy_done())
    answer = wire.until_ready()
    assert w.types(answer) == "CZ"
    assert answer[0].tag == "COPY 1000"
    assert count(wire) == 1000


def test_copy_data_in_odd_pieces(wire):
    """CopyData boundaries mean nothing: rows cut anywhere."""
    wire.send(w.query("COPY items (body) FROM STDIN"))
    wire.until("G")
    for at in range(0, len(ROWS), 777):
        wire.send(w.copy_data(ROWS[at:at + 777]))
    wire.send(w.copy_data(b""), w.copy_done())
    assert wire.until_ready()[0].tag == "COPY 1000"


@pytest.mark.parametrize("seed", range(4))
def test_copy_in_cut_anywhere(wire, seed):
    """Messages of any size, with Flush and Sync among them, which are ignored there; written in
    pieces that end anywhere, in the middle of a header, too."""
    chance = random.Random(seed)
    lines = [bytes(chance.choices(b"abcdefgh", k=chance.choice((0, 1, 50, 3000, 70000)))) + b"\n"
             for _ in range(60)]
    data, messages, at = b"".join(lines), [], 0
    while at < len(data):
        size = chance.choice((0, 1, 2, 3, 700, 8192, 65536, 200000))
        messages.append(w.copy_data(data[at:at + size]))
        at += size
        if chance.random() < 0.1:
            messages.append(chance.choice((w.flush(), w.sync())))
    wire.send(w.query("COPY items (body) FROM STDIN"))
    wire.until("G")
    sent, at = b"".join(messages) + w.copy_done() + w.query("SELECT 'behind'"), 0
    while at < len(sent):
        size = chance.choice((1, 2, 3, 4, 5, 6, 100, 5000, 65536, 300000))
        wire.send(sent[at:at + size])
        at += size
    assert [m.tag for m in wire.until_ready() if m.type == "C"] == ["COPY 60"]
    assert w.rows(wire.until_ready()) == [("behind",)]
    stored = wire.value("SELECT string_agg(body, E'\\n' ORDER BY id) || E'\\n' FROM items")
    assert stored.encode() == data


def test_copy_in_sent_ahead(wire):
    """The data need not wait for CopyInResponse."""
    wire.send(w.query("COPY items (body) FROM STDIN"), w.copy_data(ROWS), w.copy_done(),
              w.query("SELECT 'behind'"))
    answer = wire.until_ready()
    assert w.types(answer) == "GCZ"
    assert w.rows(wire.until_ready()) == [("behind",)]


@pytest.mark.parametrize("ahead", [14, 15, 16, 31])
def test_copy_in_behind_many(wire, ahead):
    """A client that sends far ahead gives its server back now and then, but not within a COPY."""
    wire.send(w.query("SELECT 1") * ahead, w.query("COPY items (body) FROM STDIN"),
              w.copy_data(ROWS), w.copy_done())
    assert [w.types(wire.until_ready()) for _ in range(ahead)] == ["TDCZ"] * ahead
    assert w.types(wire.until_ready()) == "GCZ"
    assert count(wire) == 1000


def test_copy_out(wire):
    answer = wire.query("COPY (SELECT generate_series(1, 1000)) TO STDOUT")
    assert w.types(answer) == "H" + "d" * 1000 + "cCZ"
    assert answer[1].body == b"1\n"


def test_copy_fail(wire):
    """The client gives up: 57014, nothing is stored, the session goes on."""
    wire.send(w.query("COPY items (body) FROM STDIN"))
    wire.until("G")
    wire.send(w.copy_data(ROWS), w.copy_fail("changed my mind"))
    answer = wire.until_ready()
    assert w.errors(answer) == ["57014"]
    assert "changed my mind" in answer[0].text
    assert count(wire) == 0


def test_copy_in_with_bad_data(wire):
    """The server gives up while the client goes on sending: what is left of the data
    is dropped, and the session goes on."""
    wire.send(w.query("COPY items (id, body) FROM STDIN"))
    wire.until("G")
    wire.send(w.copy_data(b"not a number\ttext\n"))
    wire.send(*(w.copy_data(b"1\tx\n") for _ in range(2000)), w.copy_done())
    assert w.errors(wire.until_ready()) == ["22P02"]
    assert wire.value("SELECT 1") == "1"
    assert count(wire) == 0


def test_extended_copy_in(wire):
    wire.send(w.parse("COPY items (body) FROM STDIN"), w.bind(), w.execute(), w.flush())
    assert w.types(wire.until("G")) == "12G"
    wire.send(w.copy_data(ROWS), w.copy_done(), w.sync())
    answer = wire.until_ready()
    assert w.types(answer) == "CZ"
    assert answer[0].tag == "COPY 1000"


def test_extended_copy_in_with_sync_sent_at_once(wire):
    """As libpq does it: Sync right behind Execute.  It arrives in COPY mode, where it
    is dropped without an answer; the one after CopyDone ends the exchange.  Who counts
    Syncs and waits for two answers hangs here."""
    wire.send(w.parse("COPY items (body) FROM STDIN"), w.bind(), w.execute(), w.sync())
    assert w.types(wire.until("G")) == "12G"
    wire.send(w.copy_data(ROWS), w.copy_done(), w.sync())
    answer = wire.until_ready()
    assert w.types(answer) == "CZ"
    assert wire.is_quiet()
    assert wire.value("SELECT 'next'") == "next"


def test_extended_copy_fail(wire):
    wire.send(w.parse("COPY items (body) FROM STDIN"), w.bind(), w.execute(), w.sync())
    wire.until("G")
    wire.send(w.copy_data(ROWS), w.copy_fail(), w.sync())
    assert w.errors(wire.until_ready()) == ["57014"]
    assert wire.value("SELECT 'next'") == "next"


BAD_COPY = [w.parse("COPY items (id) FROM STDIN"), w.bind(), w.execute(), w.sync(),
            w.copy_data(b"not a number\n"), w.copy_done(), w.sync()]
BEHIND_A_BAD_COPY = {
    "query": [w.query("COPY items (body) FROM STDIN")],
    "query behind others": [w.query("SELECT 1"), w.query("COPY items (body) FROM STDIN")],
    "extended": [w.parse("COPY items (body) FROM STDIN"), w.bind(), w.execute(), w.flush()],
    "extended behind others": [w.parse("SELECT 1"), w.bind(), w.execute(), w.sync(),
                               w.parse("COPY items (body) FROM STDIN"), w.bind(), w.execute(),
                               w.flush()],
    "in a transaction": [w.query("BEGIN"), w.query("COPY items (body) FROM STDIN")],
}


@pytest.mark.parametrize("case", BEHIND_A_BAD_COPY)
@pytest.mark.parametrize("pieces", [1, 2])
def test_copy_sent_behind_one_that_fails(wire, case, pieces):
    """Nothing of the router's own comes into the second, whose data the client sends only
    when it is asked for them."""
    behind = BEHIND_A_BAD_COPY[case]
    if pieces == 1:
        wire.send(*BAD_COPY, *behind)
    else:
        wire.send(*BAD_COPY)
        wire.send(*behind)
    assert w.errors(wire.until("E")) == ["22P02"]
    assert w.types(wire.until("G"))[:1] == "Z"
    assert wire.is_quiet(0.1)
    wire.send(w.copy_data(b"second\n"), w.copy_done(), w.sync())
    answer = wire.until_ready()
    assert answer[0].tag == "COPY 1"
    if "query" in case or "transaction" in case:
        wire.until_ready()
    if "transaction" in case:
        wire.query("COMMIT")
    assert wire.is_quiet(0.05)
    assert count(wire) == 1


def test_copy_in_a_transaction(wire):
    assert wire.query("BEGIN")[-1].body == b"T"
    wire.send(w.query("COPY items (body) FROM STDIN"), w.copy_data(ROWS), w.copy_done())
    assert wire.until_ready()[-1].body == b"T"
    assert count(wire) == 1000
    wire.query("ROLLBACK")
    assert count(wire) == 0


def test_several_copies_in_one_query(wire):
    wire.send(w.query("COPY items (body) FROM STDIN; SELECT 5; COPY items (body) FROM STDIN"))
    wire.until("G")
    wire.send(w.copy_data(ROWS), w.copy_done())
    assert w.types(wire.until("G")) == "CTDCG"
    wire.send(w.copy_data(ROWS), w.copy_done())
    assert w.types(wire.until_ready()) == "CZ"
    assert count(wire) == 2000


def test_stray_copy_messages_are_dropped(wire):
    """Outside COPY PostgreSQL ignores d, c and f, which clients may send before they
    have heard of an error."""
    wire.send(w.copy_data(b"stray"), w.copy_done(), w.copy_fail(), w.query("SELECT 1"))
    assert w.rows(wire.until_ready()) == [("1",)]
    assert wire.is_quiet(0.05)


def test_other_messages_in_copy(wire):
    """A Query in the middle of COPY IN is a protocol error that ends the session."""
    wire.send(w.query("COPY items (body) FROM STDIN"))
    wire.until("G")
    wire.send(w.query("SELECT 1"))
    assert w.errors(wire.until_closed())[0] == "08P01"


def test_client_lost_in_copy(port, postgres):
    """Nothing of a COPY that was not finished is stored, and nothing hangs."""
    with port.wire() as wire:
        wire.query("DELETE FROM items")
        wire.send(w.query("COPY items (body) FROM STDIN"))
        wire.until("G")
        wire.send(w.copy_data(ROWS))
    wait_until(lambda: postgres.count("query LIKE 'COPY%' AND state = 'active'") == 0, 10,
               "the COPY has ended")
    assert postgres.sql("SELECT count(*) FROM items", dbname="app") == [(0,)]
    with port.wire() as wire:
        assert wire.value("SELECT 1") == "1"


def test_client_lost_in_copy_out(port, postgres):
    with port.wire() as wire:
        wire.send(w.query("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 10000000))"
                          " TO STDOUT"))
        wire.until("d")
    wait_until(lambda: postgres.count("query LIKE 'COPY (SELECT repeat%' AND state = 'active'")
               == 0, 10, "the COPY has ended")
    with port.wire() as wire:
        assert wire.value("SELECT 1") == "1"


@pytest.mark.router_only
def test_copy_holds_its_server(make_router):
    """On a transaction port the server is the client's until ReadyForQuery, not only
    until CopyInResponse."""
    router = make_router({"workloads": {"transactional": {
        "guaranteed_connections": 1, "max_connections": 1}}})
    with router.transactional.wire() as copier, router.transactional.wire() as other:
        copier.query("DELETE FROM items")
        copier.send(w.query("COPY items (body) FROM STDIN"))
        copier.until("G")
        other.send(w.query("SELECT count(*) FROM items"))
        assert other.is_quiet(0.1)
        copier.send(w.copy_data(ROWS), w.copy_done())
        assert w.types(copier.until_ready()) == "CZ"
        assert w.rows(other.until_ready()) == [("1000",)]

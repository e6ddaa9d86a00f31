# SPDX-License-Identifier: ISC
"""What a client of the transaction port is told of its settings (ParameterStatus), and the
startup values that RESET goes back to."""
import contextlib

import pytest
from support import wire as w

HOW = pytest.mark.parametrize("how", ["simple", "extended"])
ONE = {"workloads": {"transactional": {"guaranteed_connections": 1, "max_connections": 1}}}


@pytest.fixture(params=["strict", "tracked"])
def crowd(request, make_router):
    """One server for all."""
    return make_router({**ONE, "defaults": {"session_state": request.param}}).transactional


def ask(wire, sql, how="simple"):
    if how == "simple":
        wire.send(w.query(sql))
    else:
        wire.send(w.parse(sql), w.bind(), w.execute(), w.sync())
    answer = wire.until_ready()
    assert not w.errors(answer), answer
    return answer


def told(answer):
    """Names and values; each comes right before ReadyForQuery."""
    found = [m for m in answer if m.type == "S"]
    assert answer[-1].type == "Z" and answer[len(answer) - 1 - len(found):-1] == found, answer
    pairs = [tuple(m.body.decode().split("\0")[:2]) for m in found]
    assert len({name for name, _ in pairs}) == len(pairs), pairs
    return dict(pairs)


def show(wire, name):
    return wire.value(f"SELECT current_setting('{name}')")


@contextlib.contextmanager
def two(port, **startup):
    with port.wire(**startup) as one, port.wire() as other:
        yield one, other


@HOW
def test_each_change_once(crowd, how):
    with two(crowd) as (one, other):
        assert told(ask(one, "SELECT 1", how)) == {}
        assert told(ask(one, "SET TimeZone = 'Asia/Tokyo'", how)) == {"TimeZone": "Asia/Tokyo"}
        for _ in range(3):
            assert told(ask(other, "SELECT 1", how)) == {}
            assert told(ask(one, "SELECT 1", how)) == {}
        assert told(ask(other, "SET DateStyle = 'SQL, DMY'", how)) == {"DateStyle": "SQL, DMY"}
        assert told(ask(one, "SET TimeZone = 'Asia/Tokyo'", how)) == {}
        assert list(told(ask(one, "RESET TimeZone", how))) == ["TimeZone"]
        assert told(ask(one, "SELECT 1", how)) == {}


@HOW
def test_rolled_back(crowd, how):
    with two(crowd) as (one, other):
        before = show(one, "TimeZone")
        ask(one, "BEGIN", how)
        assert told(ask(one, "SET TimeZone = 'Asia/Tokyo'", how)) == {"TimeZone": "Asia/Tokyo"}
        assert told(ask(one, "SAVEPOINT a", how)) == {}
        assert told(ask(one, "SET LOCAL TimeZone = 'Asia/Seoul'", how)) == {"TimeZone": "Asia/Seoul"}
        assert told(ask(one, "ROLLBACK TO a", how)) == {"TimeZone": "Asia/Tokyo"}
        assert told(ask(one, "ROLLBACK", how)) == {"TimeZone": before}
        assert told(ask(other, "SELECT 1", how)) == {}
        ask(one, "BEGIN", how)
        assert told(ask(one, "SET LOCAL TimeZone = 'Asia/Seoul'", how)) == {"TimeZone": "Asia/Seoul"}
        assert told(ask(one, "COMMIT", how)) == {"TimeZone": before}


@pytest.mark.router_only
def test_out_of_sight(make_router):
    """What a function has set holds to the end of the transaction, and the client is told
    when it does not hold any more."""
    port = make_router({**ONE, "defaults": {"session_state": "strict"}}).transactional
    with two(port) as (one, other):
        before = show(one, "TimeZone")
        code = "DO $$ BEGIN PERFORM set_config('TimeZone', 'Asia/Tokyo', false); END $$"
        assert told(ask(one, code)) == {"TimeZone": "Asia/Tokyo"}
        assert told(ask(other, "SELECT 1")) == {}
        answer = ask(one, "SELECT current_setting('TimeZone')")
        assert w.rows(answer) == [(before,)] and told(answer) == {"TimeZone": before}
        assert told(ask(one, "SELECT 1")) == {}


# ---------------------------------------------------------- startup values

STARTUP = {"TimeZone": "Asia/Tokyo", "application_name": "mine",
           "options": "-c work_mem=3MB -c app.tenant_id=7"}
RESETS = ["RESET TimeZone; RESET work_mem; RESET app.tenant_id; RESET application_name",
          "SET TimeZone TO DEFAULT; SET work_mem = DEFAULT; SET SESSION app.tenant_id TO DEFAULT",
          "RESET ALL"]
SETS = ("SET TimeZone = 'Asia/Seoul'; SET work_mem = '5MB'; SET app.tenant_id = '8'; "
        "SET application_name = 'other'")


def values(wire):
    answer = ask(wire, "SELECT current_setting('TimeZone'), current_setting('work_mem'), "
                       "current_setting('app.tenant_id', true)")
    assert told(answer) == {}
    return w.rows(answer)[0]


@pytest.mark.parametrize("reset", [*RESETS, "DISCARD ALL"])
def test_reset_goes_back_to_the_startup_values(crowd, reset):
    with two(crowd, **STARTUP) as (one, other):
        assert values(one) == ("Asia/Tokyo", "3MB", "7")
        ask(one, SETS)
        assert values(other) != values(one) == ("Asia/Seoul", "5MB", "8")
        assert told(ask(one, reset))["TimeZone"] == "Asia/Tokyo"
        assert values(one) == ("Asia/Tokyo", "3MB", "7")
        # Nothing has changed: nothing is told.
        assert told(ask(one, reset)) == {}
        assert values(other)[0] != "Asia/Tokyo"
        assert values(one) == ("Asia/Tokyo", "3MB", "7")


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_reset_within_a_transaction(crowd, reset, end):
    with two(crowd, **STARTUP) as (one, other):
        ask(one, SETS)
        ask(one, "BEGIN")
        assert told(ask(one, reset))["TimeZone"] == "Asia/Tokyo"
        assert values(one) == ("Asia/Tokyo", "3MB", "7")
        assert told(ask(one, "SET TimeZone = 'Asia/Seoul'")) == {"TimeZone": "Asia/Seoul"}
        assert told(ask(one, reset)) == {"TimeZone": "Asia/Tokyo"}
        after = told(ask(one, end))
        kept = ("Asia/Tokyo", "3MB", "7") if end == "COMMIT" else ("Asia/Seoul", "5MB", "8")
        assert after.get("TimeZone") == (None if end == "COMMIT" else "Asia/Seoul")
        for _ in range(2):
            assert values(one) == kept
            assert values(other)[0] not in ("Asia/Tokyo", "Asia/Seoul")


@pytest.mark.parametrize("reset", RESETS)
def test_reset_behind_a_savepoint(crowd, reset):
    with two(crowd, **STARTUP) as (one, other):
        ask(one, SETS)
        ask(one, "BEGIN")
        ask(one, "SAVEPOINT a")
        ask(one, reset)
        assert values(one) == ("Asia/Tokyo", "3MB", "7")
        ask(one, "ROLLBACK TO a")
        assert values(one) == ("Asia/Seoul", "5MB", "8")
        ask(one, "COMMIT")
        assert values(other)[0] not in ("Asia/Tokyo", "Asia/Seoul")
        assert values(one) == ("Asia/Seoul", "5MB", "8")


def test_reset_by_the_extended_protocol(crowd):
    with two(crowd, **STARTUP) as (one, other):
        ask(one, SETS)
        ask(one, "BEGIN", "extended")
        one.send(w.parse("SELECT current_setting('TimeZone')", "zone"), w.sync())
        one.until_ready()
        assert told(ask(one, "RESET TimeZone", "extended")) == {"TimeZone": "Asia/Tokyo"}
        one.send(w.bind(name="zone"), w.execute(), w.sync())
        assert w.rows(one.until_ready()) == [("Asia/Tokyo",)]
        ask(one, "COMMIT", "extended")
        assert values(other)[0] != "Asia/Tokyo"
        assert values(one) == ("Asia/Tokyo", "5MB", "8")

# SPDX-License-Identifier: ISC
"""What code has prepared out of sight, by names that anybody may use: another client never runs
it, nor does it stand in the way of what that client has by the same name."""
import pytest
from support import wire as w
from test_prepared import error, execute, limited, prepare, run, simple
from test_prepared_sql import fine, two

pytestmark = pytest.mark.router_only

STRAY = """DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_prepared_statements WHERE name = '{0}') THEN
        EXECUTE 'DEALLOCATE "{0}"';
    END IF;
    EXECUTE 'PREPARE "{0}" AS SELECT ''stray'', current_setting(''app.tenant_id'', true)';
END $$"""


def by_extended(wire, sql):
    return run(wire, w.parse(sql), w.bind(), w.execute())


HOW = pytest.mark.parametrize("how", [simple, by_extended])


@pytest.fixture(params=["strict", "tracked"])
def crowd(request, make_router):
    """A port with one server, so that whoever comes next has somebody else's."""
    return make_router(limited(1, session_state=request.param)).transactional


def stray(wire, name="p"):
    """It is there, or this proves nothing."""
    answer = wire.query(STRAY.format(name) + "; SELECT count(*) FROM pg_prepared_statements "
                        f"WHERE name = '{name}'")
    assert w.rows(answer) == [("1",)], answer


def fail(wire):
    fine(wire.query("BEGIN"))
    assert w.errors(wire.query("SELECT 1/0")) == ["22012"]


# ---------------------------------------------------------- a name that the client has not

USES = {
    "bind": (w.bind(name="p"), w.execute()),
    "describe": (w.describe("S", "p"),),
    "described and bound": (w.describe("S", "p"), w.bind(name="p"), w.execute()),
    "closed and bound": (w.close("S", "p"), w.bind(name="p"), w.execute()),
    "behind a statement": (w.parse("SELECT 1"), w.bind(), w.execute(), w.bind(name="p"),
                           w.execute()),
}


@pytest.mark.parametrize("use", USES)
def test_not_by_the_protocol(crowd, use):
    with two(crowd) as (one, other):
        for begins in (None, "BEGIN", "fails"):
            stray(one)
            if begins == "fails":
                fail(other)
            elif begins is not None:
                fine(other.query(begins))
            answer = run(other, *USES[use])
            # What is in front of it is refused by then, too.
            wants = "25P02" if begins == "fails" and use == "behind a statement" else "26000"
            assert w.errors(answer) == [wants]
            assert ("stray",) not in [row[:1] for row in w.rows(answer)]
            other.query("ROLLBACK")


def test_not_in_a_pipeline(crowd):
    with two(crowd) as (one, other):
        stray(one)
        other.send(w.query("SELECT 'ahead'"), w.bind(name="p"), w.execute(), w.sync(),
                   w.bind(name="p"), w.execute(), w.bind(name="p"), w.sync(), w.query("SELECT 1"))
        assert w.rows(other.until_ready()) == [("ahead",)]
        assert [w.errors(other.until_ready()) for _ in range(3)] == [["26000"], ["26000"], []]


@pytest.mark.parametrize("drop", ["DISCARD ALL", "DEALLOCATE ALL", "DEALLOCATE p", "close"])
@pytest.mark.parametrize("made", ["by sql", "by protocol"])
def test_not_once_it_was_dropped(crowd, drop, made):
    """A driver that has dropped its own counts on the error."""
    with two(crowd) as (one, other):
        if made == "by sql":
            fine(other.query("PREPARE p AS SELECT 'mine'"))
        else:
            prepare(other, "p", "SELECT 'mine'")
        stray(one)
        fine(run(other, w.close("S", "p")) if drop == "close" else other.query(drop))
        assert error(run(other, w.bind(name="p"), w.execute()))[0] == "26000"
        stray(one)
        assert error(run(other, w.describe("S", "p")))[0] == "26000"
        prepare(other, "p", "SELECT 'new'")
        stray(one)
        assert execute(other, "p") == [("new",)]


@HOW
@pytest.mark.parametrize("text", ["EXECUTE p", "EXPLAIN EXECUTE p", "EXPLAIN ANALYZE EXECUTE p",
                                  "CREATE TABLE strayed AS EXECUTE p", "DEALLOCATE p"])
def test_not_by_sql(crowd, how, text):
    with two(crowd) as (one, other):
        stray(one)
        assert error(how(other, text))[0] == "26000"
        stray(one)
        fine(other.query("BEGIN"))
        assert error(how(other, text))[0] == "26000"
        other.query("ROLLBACK")


def test_what_nobody_looks_after(make_router):
    """With "off" what a client prepares by SQL is the server's own."""
    port = make_router(limited(1, session_state="off")).transactional
    with port.wire() as wire:
        fine(wire.query("PREPARE p AS SELECT 'mine'"))
        for _ in range(2):
            assert execute(wire, "p") == [("mine",)]
            assert w.types(run(wire, w.describe("S", "p"))) == "tTZ"


@pytest.mark.parametrize("leaves", [False, True], ids=["stays", "leaves"])
def test_not_where_names_are_not_looked_after(make_router, leaves):
    port = make_router(limited(1, max_prepared_statements=0)).transactional
    with two(port) as (one, other):
        for _ in range(3):
            with port.wire() as wire:
                stray(wire if leaves else one)
            assert error(other.query("EXECUTE p"))[0] == "26000"
            assert error(run(other, w.bind(name="p"), w.execute()))[0] == "26000"


def test_not_behind_those_whose_names_are(make_router):
    """Two ports with one server for both, which is clean for everybody of the first."""
    one = {"guaranteed_connections": 0, "max_connections": 1}
    router = make_router({"hosts": {"main": {"connection_budget": 1}}, "workloads": {
        "transactional": one, "session": {**one, "pool_mode": "transaction",
                                          "max_prepared_statements": 0}}})
    with two(router.transactional) as (first, second), router.session.wire() as plain:
        stray(first)
        for wire in (second, plain, second):
            fine(wire.query("SELECT 1"))
        stray(first)
        fine(second.query("SELECT 1"))
        assert error(plain.query("EXECUTE p"))[0] == "26000"
        stray(plain)
        assert error(second.query("EXECUTE p"))[0] == "26000"


# ---------------------------------------------------------- a name that the client has

@pytest.mark.parametrize("made", ["by sql", "by protocol"])
def test_does_not_stand_in_the_way(crowd, made):
    with two(crowd) as (one, other):
        if made == "by sql":
            fine(other.query("PREPARE p AS SELECT 'mine'"))
        else:
            prepare(other, "p", "SELECT 'mine'")
        for _ in range(2):
            stray(one)
            assert execute(other, "p") == [("mine",)]
            stray(one)
            assert w.types(run(other, w.describe("S", "p"))) == "tTZ"
            for how in (simple, by_extended):
                stray(one)
                assert w.rows(fine(how(other, "EXECUTE p"))) == [("mine",)]
                stray(one)
                assert error(how(other, "PREPARE p AS SELECT 'another'"))[0] == "42P05"
                stray(one)
                fine(other.query("BEGIN"))
                assert w.rows(fine(how(other, "EXECUTE p"))) == [("mine",)]
                fine(other.query("COMMIT"))


def test_nor_of_what_was_prepared_before(crowd):
    """EXECUTE and PREPARE that are prepared statements themselves."""
    with two(crowd) as (one, other):
        prepare(other, "make", "PREPARE p AS SELECT 'mine'")
        prepare(other, "use", "EXECUTE p")
        stray(one)
        assert error(run(other, w.bind(name="use"), w.execute()))[0] == "26000"
        stray(one)
        fine(run(other, w.bind(name="make"), w.execute()))
        stray(one)
        assert w.rows(fine(run(other, w.bind(name="use"), w.execute()))) == [("mine",)]


# ---------------------------------------------------------- transactions that have failed

@pytest.mark.parametrize("text", ["ROLLBACK; EXECUTE p", "ROLLBACK; EXPLAIN EXECUTE p",
                                  "ROLLBACK; DEALLOCATE p", "ROLLBACK; BEGIN; EXECUTE p; COMMIT"])
def test_not_behind_a_rollback_in_one_text(crowd, text):
    with two(crowd) as (one, other):
        for has in (False, True):
            if has:
                fine(other.query("PREPARE p AS SELECT 'mine'"))
            stray(one)
            fail(other)
            answer = other.query(text)
            assert w.errors(answer) == ["26000"] or (has and "DEALLOCATE" in text)
            assert w.rows(answer) == []
            other.query("ROLLBACK")
            assert other.value("SELECT 1") == "1"


def test_what_the_server_has_runs_behind_a_rollback(crowd):
    with two(crowd) as (one, other):
        fine(other.query("PREPARE p AS SELECT 'mine'"))
        fail(other)
        assert w.rows(fine(other.query("ROLLBACK; EXECUTE p"))) == [("mine",)]
        stray(one)
        fail(other)
        assert w.errors(other.query("ROLLBACK; EXECUTE p")) == ["26000"]
        # Not for good.
        assert w.rows(fine(other.query("EXECUTE p"))) == [("mine",)]
        stray(one)
        fail(other)
        fine(other.query("ROLLBACK; PREPARE q AS SELECT 'another'; EXECUTE q"))
        assert execute(other, "p") == [("mine",)] and execute(other, "q") == [("another",)]


def test_what_it_sets_behind_a_rollback_is_kept(crowd):
    with two(crowd) as (one, other):
        fine(other.query("PREPARE p (text) AS SELECT set_config('app.tenant_id', $1, false)"))
        for value in "abc":
            fine(other.query(f"EXECUTE p ('before {value}')"))
            fail(other)
            assert w.rows(fine(other.query(f"ROLLBACK; EXECUTE p ('{value}')"))) == [(value,)]
            assert (one.value("SELECT current_setting('app.tenant_id', true)") or "") == ""
            assert other.value("SELECT current_setting('app.tenant_id', true)") == value


# ---------------------------------------------------------- session ports

@pytest.mark.parametrize("between", ["SELECT 1", "SELECT now()", "BEGIN"])
@pytest.mark.parametrize("state", ["strict", "tracked"])
def test_gone_before_a_session_begins(make_router, state, between):
    """Every name is the session's own, also on a server that is clean for everybody else."""
    router = make_router({"hosts": {"main": {"connection_budget": 1}}, "workloads": {
        "transactional": {"guaranteed_connections": 0, "max_connections": 1,
                          "session_state": state},
        "session": {"guaranteed_connections": 1, "max_connections": 1}}})
    with two(router.transactional) as (one, other):
        stray(one)
        fine(other.query(between))
        other.query("COMMIT")
        with router.session.wire() as session:
            assert session.value("SELECT count(*) FROM pg_prepared_statements") == "0"
            prepare(session, "p", "SELECT 'mine'")
            assert execute(session, "p") == [("mine",)]

# SPDX-License-Identifier: ISC
"""Portals that do something to names of statements when they run: closed, skipped, refused,
run in the middle of others.  And errors of an Execute, which are nobody else's."""
import pytest
from support import wire as w
from support.postgres import DATABASE
from test_prepared import error, execute, limited, prepare, run

FAILS = w.execute("nobody")
DROP = "DEALLOCATE x"
MAKE = "PREPARE made AS SELECT 43"


def begin(wire, act=DROP):
    prepare(wire, "x", "SELECT 42")
    prepare(wire, "act", act)
    wire.query("BEGIN")


def bind_and_run(name, portal=""):
    return w.bind(name=name, portal=portal) + w.execute(portal)


def tags(answer):
    return [m.tag for m in answer if m.type == "C"]


def is_there(wire, name):
    answer = run(wire, bind_and_run(name))
    return not w.errors(answer) or error(answer)[0] != "26000"


def test_a_closed_portal_does_nothing(port):
    """Its name is another's then."""
    with port.wire() as wire:
        prepare(wire, "y", "SELECT 43")
        prepare(wire, "cursor", "DECLARE p CURSOR FOR SELECT generate_series(1, 3)")
        begin(wire)
        run(wire, w.bind(name="act", portal="p"), w.close("P", "p"))
        assert w.types(run(wire, bind_and_run("cursor"))) == "2CZ"
        answer = run(wire, w.execute("p"), bind_and_run("y"))
        assert w.rows(answer) == [("1",), ("2",), ("3",), ("43",)]
        wire.query("COMMIT")
        assert execute(wire, "x") == [("42",)]


def test_it_is_closed_and_bound_anew(port):
    with port.wire() as wire:
        begin(wire)
        answer = run(wire, w.bind(name="act", portal="p"), w.close("P", "p"),
                     w.bind(name="x", portal="p"), w.execute("p"))
        assert tags(answer) == ["SELECT 1"]
        answer = run(wire, w.bind(name="act"), bind_and_run("x"), w.bind(name="act"),
                     w.execute())
        assert tags(answer) == ["SELECT 1", "DEALLOCATE"]
        wire.query("COMMIT")
        assert not is_there(wire, "x")


@pytest.mark.parametrize("skip", [
    pytest.param((FAILS, w.execute("p")), id="run"),
    pytest.param((FAILS, w.close("P", "p")), id="closed"),
    pytest.param((w.parse("SELECT 1/0"), bind_and_run(""), w.execute("p")), id="run behind"),
])
@pytest.mark.parametrize("act", [DROP, MAKE])
def test_a_skipped_portal_can_still_run(port, skip, act):
    with port.wire() as wire:
        begin(wire, act)
        run(wire, w.bind(name="act", portal="p"))
        wire.query("SAVEPOINT s")
        assert w.errors(run(wire, *skip))
        assert error(run(wire, w.execute("p")))[0] == "25P02"
        wire.query("ROLLBACK TO s")
        assert tags(run(wire, w.execute("p"))) == [act.split()[0]]
        wire.query("COMMIT")
        assert is_there(wire, "x") == (act == MAKE)
        assert is_there(wire, "made") == (act == MAKE)


def test_skipped_and_run_in_one_write(port):
    """What is sent ahead counts on nothing that may have been skipped."""
    with port.wire() as wire:
        begin(wire)
        run(wire, w.bind(name="act", portal="p"))
        wire.send(w.query("SAVEPOINT s"), FAILS, w.execute("p"), w.sync(),
                  w.query("ROLLBACK TO s"), w.execute("p"), w.sync(),
                  w.bind(name="x"), w.sync())
        assert w.types(wire.until_ready()) == "CZ"
        assert error(wire.until_ready())[0] == "34000"
        assert w.types(wire.until_ready()) == "CZ"
        assert tags(wire.until_ready()) == ["DEALLOCATE"]
        assert error(wire.until_ready())[0] == "26000"


def test_a_portal_whose_bind_was_skipped_is_none(port):
    with port.wire() as wire:
        prepare(wire, "cursor", "DECLARE p CURSOR FOR SELECT generate_series(1, 3)")
        begin(wire)
        wire.query("SAVEPOINT s")
        assert error(run(wire, FAILS, w.bind(name="act", portal="p")))[0] == "34000"
        wire.query("ROLLBACK TO s")
        assert w.types(run(wire, bind_and_run("cursor"))) == "2CZ"
        answer = run(wire, w.execute("p"), bind_and_run("x"))
        assert w.rows(answer) == [("1",), ("2",), ("3",), ("42",)]
        wire.query("COMMIT")


def test_a_portal_runs_once(port):
    with port.wire() as wire:
        begin(wire)
        answer = run(wire, w.bind(name="act", portal="p"), w.execute("p"), w.execute("p"))
        assert tags(answer) == ["DEALLOCATE"]
        assert error(answer)[0] == "55000"


def test_a_portal_that_sql_has_closed(port):
    """Another one of its name runs, and what the first was to do is not done."""
    with port.wire() as wire:
        begin(wire)
        run(wire, w.bind(name="act", portal="p"))
        wire.query("CLOSE p")
        wire.query("DECLARE p CURSOR FOR SELECT generate_series(1, 3)")
        answer = run(wire, w.execute("p"), w.parse("SELECT 1"), bind_and_run(""))
        assert w.rows(answer) == [("1",), ("2",), ("3",), ("1",)]
        wire.query("COMMIT")
        assert execute(wire, "x") == [("42",)]


@pytest.mark.parametrize("fails", [False, True])
def test_tags_of_portals_bound_ahead(port, fails):
    with port.wire() as wire:
        prepare(wire, "alike", "UNLISTEN nothing")
        begin(wire)
        answer = run(wire, w.bind(name="alike", portal="p1"), w.bind(name="act", portal="p2"),
                     w.execute("p1"), *[FAILS] * fails, w.execute("p2"))
        assert tags(answer) == ["UNLISTEN"] + ["DEALLOCATE"] * (not fails)
        wire.query("ROLLBACK")
        assert is_there(wire, "x") == fails


def test_tags_of_portals_that_prepare(port):
    with port.wire() as wire:
        prepare(wire, "other", "PREPARE other1 AS SELECT 1")
        begin(wire, MAKE)
        answer = run(wire, w.bind(name="other", portal="p1"), w.bind(name="act", portal="p2"),
                     w.execute("p1"), FAILS, w.execute("p2"))
        assert tags(answer) == ["PREPARE"]
        wire.query("ROLLBACK")
        assert is_there(wire, "other1") and not is_there(wire, "made")


def test_an_unnamed_one_behind_which_a_parse_was_skipped(port):
    """On a transaction port nobody knows it any more."""
    with port.wire() as wire:
        prepare(wire, "x", "SELECT 42")
        for act in (DROP, MAKE):
            run(wire, w.parse(act))
            assert error(run(wire, FAILS, w.parse("SELECT 1")))[0] == "34000"
            answer = run(wire, w.bind(), w.execute())
            assert tags(answer) == [act.split()[0]] * (not w.errors(answer))
            assert w.errors(answer) in ([], ["26000"])


@pytest.mark.router_only
def test_a_client_that_leaves_in_the_middle(make_router):
    """Its server is as good as before, or cancelled and cleaned."""
    router = make_router(limited(1))
    for _ in range(30):
        wire = router.transactional.wire()
        wire.send(w.bind(name="nope"))
        wire.send(w.sync(), w.query("PREPARE s AS SELECT 1"), w.parse(MAKE, "act"))
        wire.send(w.bind((), "act", "p"), w.execute("p"), w.parse("SAVEPOINT a"), w.sync())
        wire.quit()
        with router.transactional.wire() as other:
            assert other.value("SELECT 3") == "3"
    assert "server-protocol" not in router.log()


@pytest.mark.router_only
def test_an_error_of_execute_is_not_of_the_bind_behind_it(make_router, postgres):
    """What other clients share is as good as before."""
    text = "SELECT id FROM items LIMIT $1"
    router = make_router(limited(2))
    postgres.sql("DROP TABLE IF EXISTS altered; CREATE TABLE altered (a int);"
                 "GRANT ALL ON altered TO PUBLIC", dbname=DATABASE)
    with router.transactional.wire() as one, router.transactional.wire() as two, \
            router.transactional.wire() as busy:
        # All of theirs is on the other server.
        busy.query("BEGIN")
        busy.query("SELECT 1")
        for wire in (one, two):
            prepare(wire, "shared", text)
            execute(wire, "shared", 0)
        one.query("PREPARE altering AS SELECT * FROM altered")
        one.query("EXECUTE altering")
        postgres.sql("ALTER TABLE altered ADD COLUMN b int", dbname=DATABASE)
        answer = run(one, w.parse("EXECUTE altering"), bind_and_run(""),
                     w.bind((0,), "shared"), w.execute())
        assert error(answer)[0] == "0A000"
        one.query("BEGIN")
        one.query("SELECT 1")
        # The one that is left lacks it.
        busy.query("ROLLBACK")
        two.query("BEGIN")
        assert execute(two, "shared", 0) == []
        two.query("COMMIT")
        one.query("COMMIT")

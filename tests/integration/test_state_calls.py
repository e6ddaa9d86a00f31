# SPDX-License-Identifier: ISC
"""What set_config() does: NULL resets, as on PostgreSQL itself, and a call that is not reached
changes nothing."""
import pytest
from support import wire as w
from test_session_state import state

SET_CONFIG = 2078
START = {"options": "-c app.tenant_id=B -c work_mem=77MB"}
NAMES = {"app.tenant_id": ("other", "B"), "work_mem": ("1MB", "77MB")}


def ok(wire, *messages):
    wire.send(*messages)
    answer = wire.until_ready()
    assert not w.errors(answer), w.errors(answer)
    return answer


def extended(sql, *values, name="", types=()):
    return w.parse(sql, name, types) + w.bind(values, name) + w.execute() + w.sync()


def now(wire, name):
    return wire.value(f"SELECT coalesce(current_setting('{name}', true), '')")


# -------------------------------------------------------------------------------- NULL

NULLS = {
    "constant": lambda name: w.query(f"SELECT set_config('{name}', NULL, false)"),
    "expression": lambda name: w.query(f"SELECT set_config('{name}', nullif('a', 'a'), false)"),
    "in a transaction": lambda name: w.query(
        f"BEGIN; SELECT set_config('{name}', NULL, false); COMMIT"),
    "parameter": lambda name: extended(f"SELECT set_config('{name}', $1, false)", None),
    "cast parameter": lambda name: extended(f"SELECT set_config('{name}', $1::int::text, false)",
                                            None),
    "all parameters": lambda name: extended("SELECT set_config($1, $2, $3)", name, None, "f"),
    "extended": lambda name: extended(f"SELECT set_config('{name}', NULL, false)"),
    "named": lambda name: extended(f"SELECT set_config('{name}', $1, false)", None,
                                   name=f"s_{name}"),
    "function call": lambda name: w.function_call(SET_CONFIG, name.encode(), None, b"\0"),
}


@pytest.mark.parametrize("how", NULLS)
def test_null_goes_back_to_the_startup_value(port, how):
    """At once, and in the transactions behind it, on whichever server."""
    with port.wire(**START) as a:
        for name, (other, start) in NAMES.items():
            a.query(f"SET {name} TO '{other}'")
            assert now(a, name) == other
            ok(a, NULLS[how](name))
            assert now(a, name) == start
            with port.wire() as b:
                b.query(f"SET {name} TO '2MB'")
            assert now(a, name) == start


@pytest.mark.parametrize("prepared", [100, 0])
def test_null_goes_back_with_and_without_names(make_router, prepared):
    router = make_router({**state(None, "strict"),
                          "defaults": {"max_prepared_statements": prepared}})
    with router.transactional.wire(**START) as a, router.transactional.wire() as b:
        for name, (other, start) in NAMES.items():
            for how in NULLS.values():
                a.query(f"SET {name} TO '{other}'")
                ok(a, how(name))
                assert now(b, name) in ("", "4MB")
                assert now(a, name) == start
                b.query("DISCARD ALL")
                a.query("DISCARD ALL")


def test_named_statement_is_given_null_later(port):
    """By its second Bind, in another exchange."""
    with port.wire(**START) as a:
        ok(a, extended("SELECT set_config('work_mem', $1, false)", "1MB", name="s"))
        assert now(a, "work_mem") == "1MB"
        ok(a, w.bind(("2MB",), "s"), w.execute(), w.sync())
        assert now(a, "work_mem") == "2MB"
        ok(a, w.bind((None,), "s"), w.execute(), w.sync())
        assert now(a, "work_mem") == "77MB"


@pytest.mark.parametrize("sql", ["SELECT set_config('work_mem', NULL, false)",
                                 "SELECT set_config('work_mem', nullif($1, 'x'), false)"])
def test_named_statement_resets_each_time(port, sql):
    values = ["x"] if "$1" in sql else []
    with port.wire(**START) as a:
        ok(a, w.parse(sql, "s"), w.sync())
        for _ in range(3):
            a.query("SET work_mem TO '1MB'")
            ok(a, w.bind(values, "s"), w.execute(), w.sync())
            assert now(a, "work_mem") == "77MB"


@pytest.mark.parametrize("end", ["ROLLBACK", "COMMIT"])
def test_null_is_undone_with_its_transaction(port, end):
    with port.wire(**START) as a:
        for name, (other, start) in NAMES.items():
            a.query(f"SET {name} TO '{other}'")
            a.query("BEGIN")
            ok(a, NULLS["constant"](name))
            assert now(a, name) == start
            a.query(end)
            assert now(a, name) == (start if end == "COMMIT" else other)


PREPARES = "PREPARE p(text) AS SELECT set_config('{}', $1, false); "


@pytest.mark.parametrize("runs", ["EXECUTE p(NULL)", "BEGIN; EXECUTE p(NULL); COMMIT",
                                  "EXECUTE p('3MB'); EXECUTE p(nullif('a', 'a'))",
                                  "EXPLAIN ANALYZE EXECUTE p(NULL)",
                                  "CREATE TEMP TABLE gone ON COMMIT DROP AS EXECUTE p(NULL)"])
def test_null_goes_back_that_sql_gives_in_the_text_that_prepares(port, runs):
    with port.wire(**START) as a:
        for name, (other, start) in NAMES.items():
            a.query(f"SET {name} TO '{other}'")
            ok(a, w.query(PREPARES.format(name) + runs))
            assert now(a, name) == start
            with port.wire() as b:
                b.query(f"SET {name} TO '2MB'")
            assert now(a, name) == start
            ok(a, w.query("DEALLOCATE p"))


@pytest.mark.parametrize("runs", ["SELECT 1", "EXECUTE p('')"])
def test_what_is_empty_stays_so_where_sql_gives_no_null(port, runs):
    with port.wire(**START) as a:
        ok(a, w.query("SET app.tenant_id TO ''"))
        ok(a, w.query(PREPARES.format("app.tenant_id") + runs))
        assert now(a, "app.tenant_id") == ""


SYNC = w.sync()


def later(name):
    null, given = (f"SELECT set_config('{name}', {value}, false)" for value in ("NULL", "$1"))
    bound = w.bind() + w.execute() + SYNC
    return {
        "execute": [w.query(f"PREPARE p AS {null}"), w.query("EXECUTE p")],
        "execute, given": [w.query(f"PREPARE p (text) AS {given}"), w.query("EXECUTE p (NULL)")],
        "execute, prepared": [w.query(f"PREPARE p AS {null}"), w.parse("EXECUTE p", "e") + SYNC,
                              w.bind(name="e") + w.execute() + SYNC],
        "execute, prepared by both": [w.one_query(f"PREPARE p AS {null}"),
                                      w.parse("EXECUTE p") + SYNC, bound],
        "execute, given and prepared": [w.query(f"PREPARE p AS {given}"),
                                        w.parse("EXECUTE p (NULL)") + SYNC, bound],
        "of the protocol": [w.parse(null, "n") + SYNC, w.query("EXECUTE n")],
        "of the protocol, given": [w.parse(given, "n") + SYNC,
                                   w.query("EXECUTE n (NULL); SELECT 1")],
        "explained": [w.query(f"PREPARE p AS {given}"),
                      w.query("EXPLAIN ANALYZE EXECUTE p (NULL)")],
        "cursor": [w.query("BEGIN"), w.query(f"DECLARE c CURSOR FOR {null}"),
                   w.query("SELECT 1"), w.query("FETCH c"), w.query("COMMIT")],
        "cursor, moved": [w.query(f"BEGIN; DECLARE c CURSOR FOR {null}"), w.query("MOVE c"),
                          w.query("END")],
        "cursor, held": [w.query("BEGIN"), w.query(f"DECLARE c CURSOR WITH HOLD FOR {null}"),
                         w.query("COMMIT"), w.query("CLOSE c")],
        "cursor of the protocol": [w.query("BEGIN"), w.one_query(f"DECLARE c CURSOR FOR {null}"),
                                   w.one_query("FETCH c"), w.query("COMMIT")],
        "cursor, given": [
            w.query("BEGIN"), w.parse(f"DECLARE c CURSOR FOR {given}") + w.bind((None,))
            + w.execute() + SYNC, w.query("SELECT 1"), w.query("FETCH c; COMMIT")],
        "cursor, held and given": [
            w.query("BEGIN"), w.parse(f"DECLARE c CURSOR WITH HOLD FOR {given}") + w.bind((None,))
            + w.execute() + SYNC, w.query("COMMIT"), w.query("CLOSE c")],
        "cursor of a name, given": [
            w.query("BEGIN"), w.parse(f"DECLARE c CURSOR FOR {given}", "n") + SYNC,
            w.bind((None,), "n") + w.execute() + SYNC, w.one_query("MOVE c"), w.query("COMMIT")],
        "portal": [w.query("BEGIN"), w.parse(null, "n") + w.bind(name="n", portal="a") + SYNC,
                   w.close("S", "n") + SYNC, w.query("SELECT 1"), w.execute("a") + SYNC,
                   w.query("COMMIT")],
    }


@pytest.mark.parametrize("how", later(""))
def test_null_goes_back_that_comes_of_an_earlier_message(port, how):
    for name, (other, start) in NAMES.items():
        with port.wire(**START) as a:
            a.query(f"SET {name} TO '{other}'")
            for message in later(name)[how]:
                ok(a, message)
            assert now(a, name) == start


def test_what_is_empty_stays_so_behind_what_resets_nothing(port):
    """It is executed beside a reset of something else."""
    with port.wire(**START) as a:
        ok(a, w.query("SET app.tenant_id TO ''; PREPARE p (text) AS SELECT $1"))
        ok(a, w.query("RESET work_mem; EXECUTE p (NULL)"))
        assert now(a, "app.tenant_id") == ""


def third(name, value, form=0):
    """set_config() whose last argument is a parameter."""
    return w.parse("SELECT set_config($1, $2, $3)") + \
        w.bind((name, None, value), formats=(0, 0, form)) + w.execute() + w.sync()


LOCALS = {
    "constant": lambda name: w.query(f"SELECT set_config('{name}', NULL, true)"),
    "expression": lambda name: w.query(f"SELECT set_config('{name}', NULL, 1 = 1)"),
    "parameter": lambda name: third(name, "t"),
    "binary": lambda name: third(name, b"\1", 1),
    "binary f": lambda name: third(name, b"f", 1),
    "function call": lambda name: w.function_call(SET_CONFIG, name.encode(), None, b"\1"),
}


@pytest.mark.parametrize("how", LOCALS)
def test_local_null_leaves_the_clients_own_value(port, how):
    with port.wire(**START) as a:
        for name, (other, _) in NAMES.items():
            a.query(f"SET {name} TO '{other}'")
            a.query("BEGIN")
            ok(a, LOCALS[how](name))
            a.query("COMMIT")
            assert now(a, name) == other


def test_local_null_leaves_the_clients_own_value_without_names(make_router):
    router = make_router({**state(None, "strict"), "defaults": {"max_prepared_statements": 0}})
    with router.transactional.wire(**START) as a:
        for name, (other, _) in NAMES.items():
            for how in LOCALS.values():
                a.query(f"SET {name} TO '{other}'")
                a.query("BEGIN")
                ok(a, how(name))
                a.query("COMMIT")
                assert now(a, name) == other


NOT_LOCAL = {
    "constant": NULLS["constant"],
    "null": lambda name: w.query(f"SELECT set_config('{name}', NULL, NULL)"),
    "function call": NULLS["function call"],
}
NOT_LOCAL_IF_READ = {
    "parameter": lambda name: third(name, "f"),
    "word": lambda name: third(name, "false"),
    "null as parameter": lambda name: third(name, None),
    "binary": lambda name: third(name, b"\0", 1),
}


def goes_back(wire, how, is_read):
    for name, (other, start) in NAMES.items():
        wire.query(f"SET {name} TO '{other}'")
        wire.query("BEGIN")
        ok(wire, how(name))
        assert now(wire, name) == start or not is_read
        wire.query("COMMIT")
        assert now(wire, name) == start


@pytest.mark.parametrize("how", NOT_LOCAL)
def test_null_that_is_not_local_goes_back_within_its_transaction(port, how):
    with port.wire(**START) as a:
        goes_back(a, NOT_LOCAL[how], True)


@pytest.mark.router_only
@pytest.mark.parametrize("how", NOT_LOCAL_IF_READ)
def test_null_that_is_not_local_as_a_parameter_says(make_router, how):
    """A session port does not read parameters: behind the transaction."""
    router = make_router(state(None, "strict"))
    with router.transactional.wire(**START) as a, router.session.wire(**START) as b:
        goes_back(a, NOT_LOCAL_IF_READ[how], True)
        goes_back(b, NOT_LOCAL_IF_READ[how], False)


VALUES = {
    "constant": lambda name: w.query(f"SELECT set_config('{name}', '', false)"),
    "parameter": lambda name: extended(f"SELECT set_config('{name}', $1, false)", ""),
    "coalesce": lambda name: extended(f"SELECT set_config('{name}', coalesce($1, ''), false)",
                                      None),
    "function call": lambda name: w.function_call(SET_CONFIG, name.encode(), b"", b"\0"),
}


@pytest.mark.parametrize("how", VALUES)
def test_empty_text_is_no_null(port, how):
    with port.wire(**START) as a:
        ok(a, VALUES[how]("app.tenant_id"))
        assert now(a, "app.tenant_id") == ""
        with port.wire() as b:
            b.query("SELECT 1")
        assert now(a, "app.tenant_id") == ""


# ------------------------------------------------------------------- what is not reached

NOT_REACHED = [
    "SELECT set_config('{}', 'v', false) WHERE false",
    "SELECT set_config('{}', 'v', false) FROM items WHERE id < 0",
    "SELECT set_config('{}', 'v', false) LIMIT 0",
    "SELECT CASE WHEN false THEN set_config('{}', 'v', false) END",
    "SELECT false AND set_config('{}', 'v', false) = 'v'",
    "SELECT coalesce('a', set_config('{}', 'v', false))",
    "SELECT 1 WHERE EXISTS (SELECT set_config('{}', 'v', false) WHERE false)",
    "INSERT INTO items (body) SELECT set_config('{}', 'v', false) WHERE false",
    "DELETE FROM items WHERE false RETURNING set_config('{}', 'v', false)",
    "EXPLAIN SELECT set_config('{}', 'v', false)",
    "PREPARE not_run AS SELECT set_config('{}', 'v', false)",
]


@pytest.mark.router_only
@pytest.mark.parametrize("how", ["simple", "extended"])
@pytest.mark.parametrize("sql", NOT_REACHED)
def test_call_that_is_not_reached_is_not_kept(make_router, sql, how):
    """Else the client ended on the next server, where it may not set it (42501)."""
    router = make_router(state(None, "strict"))
    text = sql.format("log_statement")
    with router.transactional.wire() as a, router.transactional.wire() as b:
        ok(a, w.query(text) if how == "simple" else extended(text))
        b.query("SELECT 1")
        assert a.value("SELECT 1") == "1"
        assert a.value("SELECT source FROM pg_settings WHERE name = 'log_statement'") != "session"


@pytest.mark.router_only
def test_call_that_is_reached_is_kept(make_router):
    router = make_router(state(None, "strict"))
    with router.transactional.wire() as a, router.transactional.wire() as b:
        for sql in ("SELECT set_config('{}', '{}', false) WHERE true",
                    "SELECT CASE WHEN true THEN set_config('{}', '{}', false) END",
                    "SELECT 1 FROM set_config('{}', '{}', false)"):
            for name, value in (("app.x", sql[7:11]), ("work_mem", "5MB"), ("app.x", "")):
                ok(a, w.query(sql.format(name, value)))
                assert now(b, name) in ("", "4MB")
                assert now(a, name) == value
            a.query("RESET work_mem")


# ------------------------------------------------------------------------------- names

BPCHAR, NAME, VARCHAR = 1042, 19, 1043


@pytest.mark.router_only
@pytest.mark.parametrize("oid, name, is_kept", [
    (BPCHAR, "app.tenant_id ", False), (NAME, "app." + "x" * 80, False),
    (VARCHAR, "app.tenant_id", True), (25, "app.tenant_id", True), (0, "app.tenant_id", True)])
@pytest.mark.parametrize("named", ["", "s"])
def test_type_of_the_name(make_router, oid, name, is_kept, named):
    """What is stripped or cut names something else: the client hears that it is not kept."""
    router = make_router(state(None, "strict"))
    with router.transactional.wire() as a:
        answer = ok(a, extended("SELECT set_config($1, 'B', false)", name, name=named,
                                types=[oid]))
        told = [m.fields["S"] for m in answer if m.type == "N"]
        assert told == ([] if is_kept else ["WARNING"])
        assert now(a, "app.tenant_id") == ("B" if is_kept else "")


@pytest.mark.router_only
@pytest.mark.parametrize("cast, name", [("bpchar", "app.tenant_id "), ("name", "app." + "x" * 80)])
def test_type_of_the_name_from_elsewhere(make_router, cast, name):
    router = make_router(state(None, "strict"))
    with router.transactional.wire() as a:
        answer = ok(a, extended(f"SELECT $1::{cast}, set_config($1, 'B', false)", name))
        assert [m.fields["S"] for m in answer if m.type == "N"] == ["WARNING"]


@pytest.mark.router_only
@pytest.mark.parametrize("old, new, default", [("sort_mem", "work_mem", "4MB"),
                                               ("vacuum_mem", "maintenance_work_mem", "64MB")])
def test_names_of_old(make_router, old, new, default):
    router = make_router(state(None, "strict"))
    with router.transactional.wire() as a, router.transactional.wire() as b:
        a.query(f"SET {old} = '11MB'")
        a.query(f"SET {new} = '12MB'")
        a.query(f"SET {old} = '13MB'")
        assert now(b, new) == default
        assert now(a, new) == "13MB"
        a.query(f"RESET {old}")
        assert now(b, new) == default
        assert now(a, new) == default
    with router.transactional.wire(options=f"-c {old}=21MB") as a:
        a.query(f"SET {new} = '22MB'")
        with router.transactional.wire() as b:
            assert now(b, new) == default
        assert now(a, new) == "22MB"
        a.query(f"RESET {new}")
        assert now(a, new) == "21MB"
        with router.transactional.wire() as b:
            assert now(b, new) == default
        assert now(a, new) == "21MB"

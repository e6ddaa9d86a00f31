# SPDX-License-Identifier: ISC
"""Session state that no SET shows: UPDATE of pg_settings, EXECUTE of what sets or locks
something, functions that change what their client has set, and a port with one server that a
client keeps."""
import contextlib

import pytest
from support import wire as w
from support.postgres import DATABASE, DEFAULT_USER, USERS
from support.wait import wait_until

pytestmark = pytest.mark.router_only


def one_server(**more):
    return {"workloads": {"transactional": {"guaranteed_connections": 1, "max_connections": 1,
                                            **more}}}


def several(**more):
    return {"workloads": {"transactional": {"guaranteed_connections": 3, "max_connections": 3,
                                            **more}}}


@pytest.fixture(params=["strict", "tracked"])
def port(request, make_router):
    """One server: whoever comes next has it, and gives it back with his own settings."""
    port = make_router(one_server(session_state=request.param)).transactional
    port.state = request.param
    return port


@contextlib.contextmanager
def two(port, **startup):
    with port.wire(**startup) as one, port.wire() as other:
        yield one, other


def simple(wire, sql, *values):
    assert not values
    wire.send(w.query(sql))
    return wire.until_ready()


def extended(wire, sql, *values):
    wire.send(w.one_query(sql, *values))
    return wire.until_ready()


HOW = pytest.mark.parametrize("how", [simple, extended])


def fine(answer):
    assert not w.errors(answer), answer
    return answer


# ------------------------------------------------------------------ pg_settings

SETTING = "SET setting = '7MB' WHERE name = 'work_mem'"
UPDATES = {
    "plain": f"UPDATE pg_settings {SETTING}",
    "with the schema": f"update PG_CATALOG . \"pg_settings\" {SETTING}",
    "in other letters": f"UPDATE U&\"pg\\005fsettings\" AS s {SETTING}",
    "alias": "UPDATE pg_settings p SET setting = v FROM (VALUES ('work_mem', '7MB')) x (n, v) "
             "WHERE p.name = x.n",
    "behind WITH": "WITH x (v) AS (SELECT '7MB'::text) UPDATE pg_settings SET setting = x.v FROM x "
                   "WHERE name = 'work_mem'",
    "EXPLAIN ANALYZE": f"EXPLAIN (ANALYZE, COSTS OFF) UPDATE pg_settings {SETTING}",
}


@HOW
@pytest.mark.parametrize("update", UPDATES)
def test_update_of_the_view_is_kept(port, how, update):
    with two(port) as (one, other):
        for _ in range(2):
            fine(how(one, UPDATES[update]))
            assert other.value("SHOW work_mem") == "4MB"
            assert one.value("SHOW work_mem") == "7MB"
        fine(one.query("RESET work_mem"))
        assert other.value("SHOW work_mem") == one.value("SHOW work_mem") == "4MB"


def test_update_with_parameters_and_prepared(port):
    with two(port) as (one, other):
        fine(extended(one, "UPDATE pg_settings SET setting = $1 WHERE name = $2", "7MB", "work_mem"))
        assert other.value("SHOW work_mem") == "4MB"
        assert one.value("SHOW work_mem") == "7MB"
        fine(one.query("PREPARE p (text) AS UPDATE pg_settings SET setting = $1 "
                       "WHERE name = 'work_mem'"))
        assert other.value("SHOW work_mem") == "4MB"
        fine(one.query("EXECUTE p ('8MB')"))
        assert other.value("SHOW work_mem") == "4MB"
        assert one.value("SHOW work_mem") == "8MB"


def test_update_of_many_and_what_goes_back(port):
    """NULL resets; what is not touched stays as it was set."""
    with two(port, options="-c statement_timeout=61s -c work_mem=5MB") as (one, other):
        fine(one.query("SET app.x = 'mine'"))
        fine(one.query("SET lock_timeout = '7s'"))
        fine(one.query("UPDATE pg_settings SET setting = '9MB' WHERE name LIKE '%work_mem' "
                       "AND name NOT LIKE 'auto%' AND name NOT LIKE 'logical%'"))
        assert other.value("SHOW maintenance_work_mem") == "64MB"
        look = ("SELECT current_setting('work_mem') || ' ' || current_setting('maintenance_work_mem')"
                " || ' ' || current_setting('lock_timeout') || ' ' || current_setting('app.x')"
                " || ' ' || current_setting('statement_timeout')")
        assert one.value(look) == "9MB 9MB 7s mine 61s"
        fine(one.query("UPDATE pg_settings SET setting = NULL WHERE name IN ('work_mem', "
                       "'lock_timeout', 'statement_timeout')"))
        assert other.value("SHOW lock_timeout") == "0"
        assert one.value(look) == "5MB 9MB 0 mine 61s"


@pytest.mark.parametrize("undo", ["ROLLBACK", "ROLLBACK TO s; COMMIT"])
def test_update_that_is_undone(port, undo):
    with two(port) as (one, other):
        fine(one.query("SET work_mem = '6MB'"))
        fine(one.query("BEGIN; SAVEPOINT s"))
        fine(one.query(UPDATES["plain"]))
        fine(one.query(undo))
        assert other.value("SHOW work_mem") == "4MB"
        assert one.value("SHOW work_mem") == "6MB"


def test_update_that_fails(port):
    with two(port) as (one, other):
        assert w.errors(one.query("UPDATE pg_settings SET setting = 'x' WHERE name = 'work_mem'"
                                  )) == ["22023"]
        assert w.errors(one.query(UPDATES["plain"] + "; SELECT 1/0")) == ["22012"]
        fine(one.query("SET lock_timeout = '7s'"))
        assert other.value("SHOW work_mem") == one.value("SHOW work_mem") == "4MB"
        assert one.value("SHOW lock_timeout") == "7s"


def test_update_is_refused_where_settings_are(make_router):
    router = make_router(several(session_state_settings="refuse"))
    with router.transactional.wire() as one:
        for how in (simple, extended):
            assert w.errors(how(one, UPDATES["plain"])) == ["0A000"]
        assert one.value("SHOW work_mem") == "4MB"


@pytest.mark.usefixtures("no_code")
def test_update_on_a_session_port_that_lends(make_router):
    router = make_router({"workloads": {
        "transactional": {"guaranteed_connections": 1, "max_connections": 1},
        "session": {"guaranteed_connections": 1, "max_connections": 1,
                    "idle_session_reclaim": "100ms"}},
        "hosts": {"main": {"connection_budget": 2}}})

    def lent():
        return sum(int(row["lent"]) for row in router.show("cleaned"))

    with router.session.wire() as one, router.session.wire() as other:
        fine(one.query(UPDATES["plain"]))
        wait_until(lambda: lent() == 1, 10, "lent")
        assert other.value("SHOW work_mem") == "4MB"
        assert one.value("SHOW work_mem") == "7MB"


# ---------------------------------------------------------------------- EXECUTE

def test_nothing_but_queries_can_be_prepared(postgres):
    """As PostgreSQL's grammar has it (PreparableStmt): EXECUTE sets, drops and locks nothing
    that the text of PREPARE does not show."""
    with w.Wire("127.0.0.1", postgres.port) as direct:
        direct.login(DEFAULT_USER, USERS[DEFAULT_USER][0], DATABASE)
        for text in ("DEALLOCATE x", "DEALLOCATE ALL", "DISCARD ALL", "SET app.x = 1", "RESET ALL",
                     "LISTEN x", "LOAD 'x'", "EXECUTE x", "PREPARE y AS SELECT 1", "BEGIN",
                     "DECLARE c CURSOR WITH HOLD FOR SELECT 1", "CREATE TEMP TABLE t (x int)",
                     "CREATE TEMP TABLE t AS SELECT 1", "DO 'BEGIN END'", "CALL p()", "SHOW work_mem",
                     "EXPLAIN SELECT 1", "COPY items TO STDOUT", "TRUNCATE items"):
            assert w.errors(direct.query(f"PREPARE p AS {text}")) == ["42601"], text


EXECUTES = {
    "constants": ("PREPARE p AS SELECT set_config('app.x', '1', false)", "EXECUTE p"),
    "parameters": ("PREPARE p (text, text) AS SELECT set_config($1, $2, false)",
                   "EXECUTE p ('app.x', '1')"),
    "in other words": ("PREPARE p (text, text) AS SELECT set_config($1, $2, false)",
                       "EXECUTE p (E'app\\x2ex', $$1$$)"),
    "a value that is computed": ("PREPARE p (text, text) AS SELECT set_config($1, $2, false)",
                                 "EXECUTE p ('app.x', (2 - 1)::text)"),
    "in CREATE TABLE AS": ("PREPARE p AS SELECT set_config('app.x', '1', false)",
                           "CREATE TEMP TABLE t ON COMMIT DROP AS EXECUTE p"),
    "in EXPLAIN": ("PREPARE p AS SELECT set_config('app.x', '1', false)",
                   "EXPLAIN ANALYZE EXECUTE p"),
}


@HOW
@pytest.mark.parametrize("by", ["SQL", "protocol"])
@pytest.mark.parametrize("case", EXECUTES)
def test_setting_by_execute_is_kept(port, how, by, case):
    prepare, run = EXECUTES[case]
    with two(port) as (one, other):
        if by == "SQL":
            fine(how(one, prepare))
        else:
            one.send(w.parse(prepare.partition(" AS ")[2], "p"), w.sync())
            fine(one.until_ready())
        assert other.value("SELECT current_setting('app.x', true)") in ("", None)
        fine(how(one, run))
        assert other.value("SELECT current_setting('app.x', true)") in ("", None)
        assert one.value("SHOW app.x") == "1"


LOCKS = {"SQL": lambda wire: simple(wire, "PREPARE p (bigint) AS SELECT pg_advisory_lock($1)"),
         "SQL by the protocol": lambda wire: extended(
             wire, "PREPARE p (bigint) AS SELECT pg_advisory_lock($1)"),
         "protocol": lambda wire: (wire.send(w.parse("SELECT pg_advisory_lock($1)", "p", [20]),
                                             w.sync()), wire.until_ready())[1]}


@HOW
@pytest.mark.parametrize("by", LOCKS)
def test_lock_by_execute_pins(make_router, how, by):
    router = make_router(several(max_pinned=2))

    def pins():
        return [(row["reasons"], row["user"]) for row in router.show("pins")]

    with two(router.transactional) as (one, other):
        fine(LOCKS[by](one))
        for _ in range(4):
            other.query("SELECT 1")
        assert pins() == []
        fine(how(one, "EXECUTE p (4711)"))
        assert pins() == [("advisory_locks", DEFAULT_USER)]
        own = one.value("SELECT pg_backend_pid()")
        assert other.value("SELECT pg_try_advisory_lock(4711)") == "f"
        assert one.value("SELECT pg_backend_pid()") == own
        assert one.value("SELECT pg_advisory_unlock(4711)") == "t"
        wait_until(lambda: pins() == [], 5, "the pin ends")
        assert other.value("SELECT pg_try_advisory_lock(4711)") == "t"


@HOW
def test_lock_by_execute_is_refused_where_none_may_be(make_router, how):
    router = make_router(several(session_state_advisory_locks="refuse"))
    with router.transactional.wire() as one:
        for by in LOCKS:
            assert w.errors(LOCKS[by](one)) in ([], ["0A000"])
            assert w.errors(how(one, "EXECUTE p (4711)")) in (["0A000"], ["26000"])
            assert one.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == "0"
            one.query("DEALLOCATE ALL")


@HOW
def test_sequence_by_execute(port, how, postgres):
    """As without EXECUTE: never another client's value."""
    postgres.sql("CREATE SEQUENCE unseen_seq", "GRANT ALL ON SEQUENCE unseen_seq TO PUBLIC",
                 dbname=DATABASE)
    try:
        with two(port) as (one, other):
            for wire in (one, other):
                fine(how(wire, "PREPARE n AS SELECT nextval('unseen_seq')"))
                fine(how(wire, "PREPARE c AS SELECT currval('unseen_seq')"))
            first = w.rows(fine(how(one, "EXECUTE n")))
            second = w.rows(fine(how(other, "EXECUTE n")))
            assert first != second
            if port.state == "strict":
                assert w.errors(how(one, "EXECUTE c")) == ["55000"]
            fine(one.query("BEGIN"))
            third = w.rows(fine(how(one, "EXECUTE n")))
            assert w.rows(fine(how(one, "EXECUTE c"))) == third
            fine(one.query("COMMIT"))
    finally:
        postgres.sql("DROP SEQUENCE unseen_seq", dbname=DATABASE)


# ------------------------------------------------------- what functions change, and the audit

@pytest.fixture
def setter(postgres):
    postgres.sql("CREATE FUNCTION unseen_set(n text, v text) RETURNS text LANGUAGE sql AS "
                 "$$SELECT set_config(n, v, false)$$",
                 "CREATE ROLE unseen_role", f"GRANT unseen_role TO {DEFAULT_USER}",
                 dbname=DATABASE)
    yield
    postgres.sql("DROP FUNCTION unseen_set(text, text)", "DROP ROLE unseen_role", dbname=DATABASE)


def found(router):
    return {row["state"]: int(row["found"]) for row in router.show("advice") if int(row["found"])}


CHANGED = {
    "app.x": ("SET app.x = '1'", "app.x", "2", "1", "settings"),
    "work_mem": ("SET work_mem = '5MB'", "work_mem", "6MB", "5MB", "settings"),
    "DateStyle": ("SET DateStyle = 'German'", "DateStyle", "SQL", "German, DMY", "settings"),
    "role": ("SET ROLE unseen_role", "role", "none", "unseen_role", "role"),
    "no role": ("SET app.y = '1'", "role", "unseen_role", "none", "role"),
    "nothing set before": ("SELECT 1", "lock_timeout", "7s", "0", "settings"),
}


@pytest.mark.usefixtures("setter")
@pytest.mark.parametrize("case", CHANGED)
@pytest.mark.parametrize("state", ["strict", "tracked"])
def test_audit_finds_what_has_changed(make_router, case, state):
    """The client's own value is what it goes on with, on each server."""
    first, name, value, own, kind = CHANGED[case]
    router = make_router(several(session_state=state, session_state_audit="always"))
    with router.transactional.wire() as one, router.transactional.wire() as other:
        fine(one.query(first))
        fine(one.query("SELECT unseen_set('app.' || 'none', '')"))
        assert found(router) == {}
        fine(one.query(f"SELECT unseen_set('{name}', '{value}')"))
        wait_until(lambda: found(router) == {kind: 1}, 5, "it is counted")
        for _ in range(3):
            assert one.value(f"SELECT current_setting('{name}')") == own
            if name != "role":
                assert other.value(f"SELECT coalesce(current_setting('{name}', true), '')") not in (
                    value, "SQL, DMY")


@pytest.mark.usefixtures("setter")
def test_audit_finds_nothing_where_nothing_has_changed(make_router):
    """However the startup packet spells it."""
    router = make_router(several(session_state_audit="always"))
    with router.transactional.wire(
            options="-c work_mem=5120 -c app.x=one -c search_path=PUBLIC -c lock_timeout=7000",
            DateStyle="german", TimeZone="utc", client_encoding="utf-8",
            application_name="nämlich") as one:
        for _ in range(3):
            fine(one.query("SELECT unseen_set('app.none', '')"))
            fine(one.query("SET app.y = 'two'"))
            fine(one.query("DO 'BEGIN END'"))
        assert one.value("SHOW work_mem") == "5MB"
    assert found(router) == {}


# -------------------------------------------------------------- one server, and who keeps it

def test_port_with_one_server_pins_none(make_router):
    router = make_router(one_server())
    with two(router.transactional) as (one, other):
        answer = one.query("LISTEN mine")
        assert w.errors(answer) == ["53300"]
        assert "max_pinned is 0" in answer[0].text
        assert other.value("SELECT 1") == "1"


def test_who_waits_for_a_server_that_is_kept(make_router):
    """Where the one server may be pinned all the same the others wait, and not for ever."""
    router = make_router(one_server(max_pinned=1, query_wait_timeout="1500ms"))
    with two(router.transactional) as (one, other):
        fine(one.query("LISTEN mine"))
        answer = other.query("SELECT 1")
        assert w.errors(answer) == ["57014"]
        answer = [m for m in answer if m.type == "E"][0]
        assert answer.text
        fine(one.query("UNLISTEN mine"))
        assert other.value("SELECT 1") == "1"


# ------------------------------------------------------ what no statement takes away

DBLINK = """DO $$BEGIN PERFORM dblink_connect('mine', 'host=' || current_setting(
'unix_socket_directories') || ' port=' || current_setting('port') || ' dbname=app user=postgres');
END$$"""


@pytest.fixture
def superuser(postgres):
    """Others may connect by dblink with a password only."""
    postgres.sql(f"ALTER ROLE {DEFAULT_USER} SUPERUSER")
    postgres.sql("CREATE EXTENSION IF NOT EXISTS dblink", dbname=DATABASE)
    yield
    postgres.sql("DROP EXTENSION dblink", dbname=DATABASE)
    postgres.sql(f"ALTER ROLE {DEFAULT_USER} NOSUPERUSER")


@pytest.mark.parametrize("lifetime", ["1h", "0"])
def test_servers_for_one_use_leave_nothing(make_router, superuser, lifetime):
    """A connection of dblink that code has made stays with the server: it has no other client."""
    config = one_server()
    config["databases"] = {DATABASE: {"server_lifetime": lifetime}}
    port = make_router(config).transactional
    with two(port) as (one, other):
        fine(simple(one, DBLINK))
        assert other.value("SELECT dblink_get_connections() IS NULL") == "t"
        assert one.value("SELECT dblink_get_connections() IS NULL") == "t"

# SPDX-License-Identifier: ISC
"""Settings that not everybody may make, and roles: applied on another server in an order in
which PostgreSQL takes them, or the client hears why not, and nothing runs."""
import contextlib

import pytest
from support import wire as w
from support.postgres import DATABASE
from test_prepared import limited

pytestmark = pytest.mark.router_only

WHO = "SELECT concat_ws(',', current_user, current_setting('log_statement'))"


@pytest.fixture
def roles(postgres):
    """One that may do everything, one that may do nothing; the login has a right of its own
    where the test gives it."""
    postgres.sql("CREATE ROLE mighty SUPERUSER", "CREATE ROLE meek",
                 "GRANT mighty, meek TO app_scram", "GRANT meek TO mighty", dbname=DATABASE)
    yield postgres
    postgres.sql("REVOKE SET ON PARAMETER log_statement, deadlock_timeout FROM app_scram, meek",
                 "ALTER ROLE app_scram INHERIT", "DROP ROLE mighty", "DROP ROLE meek", dbname=DATABASE)


@contextlib.contextmanager
def two(make_router, state):
    port = make_router(limited(1, session_state=state)).transactional
    with port.wire() as one, port.wire() as other:
        yield one, other


STATES = pytest.mark.parametrize("state", ["strict", "tracked"])


def fine(answer):
    assert w.errors(answer) == [], answer
    return answer


@STATES
def test_only_the_role_may(make_router, roles, state):
    with two(make_router, state) as (one, other):
        fine(one.query("SET ROLE mighty"))
        fine(one.query("SET log_statement = 'all'"))
        for _ in range(3):
            assert other.value(WHO) == "app_scram,none"
            assert one.value(WHO) == "mighty,all"
        fine(one.query("RESET log_statement"))
        fine(one.query("RESET ROLE"))
        assert other.value(WHO) == "app_scram,none"
        assert one.value(WHO) == "app_scram,none"


@STATES
def test_only_the_login_may(make_router, roles, state):
    roles.sql("GRANT SET ON PARAMETER log_statement TO app_scram", dbname=DATABASE)
    with two(make_router, state) as (one, other):
        fine(one.query("SET log_statement = 'all'"))
        fine(one.query("SET ROLE meek"))
        for _ in range(3):
            assert other.value(WHO) == "app_scram,none"
            assert one.value(WHO) == "meek,all"


@STATES
def test_one_after_the_other(make_router, roles, state):
    """The order that was right before need not be so now."""
    roles.sql("GRANT SET ON PARAMETER log_statement TO app_scram", dbname=DATABASE)
    with two(make_router, state) as (one, other):
        for _ in range(3):
            fine(one.query("SET ROLE mighty"))
            fine(one.query("SET log_min_duration_statement = '1h'"))
            assert other.value(WHO) == "app_scram,none"
            assert one.value(WHO) == "mighty,none"
            fine(one.query("RESET log_min_duration_statement"))
            fine(one.query("RESET ROLE"))
            fine(one.query("SET log_statement = 'all'"))
            fine(one.query("SET ROLE meek"))
            assert other.value(WHO) == "app_scram,none"
            assert one.value(WHO) == "meek,all"
            fine(one.query("RESET ROLE"))
            fine(one.query("RESET log_statement"))


@STATES
def test_no_order_will_do(make_router, roles, state):
    """The client is told by PostgreSQL's words, and what it sent does not run."""
    roles.sql("GRANT SET ON PARAMETER log_statement TO app_scram",
              "GRANT SET ON PARAMETER deadlock_timeout TO meek",
              "ALTER ROLE app_scram NOINHERIT",
              "CREATE TABLE IF NOT EXISTS ran (x int)", "GRANT ALL ON ran TO PUBLIC",
              dbname=DATABASE)
    with two(make_router, state) as (one, other):
        fine(one.query("SET log_statement = 'all'"))
        fine(one.query("SET ROLE meek"))
        fine(one.query("SET deadlock_timeout = '2s'"))
        assert other.value(WHO) == "app_scram,none"
        one.send(w.query("INSERT INTO ran VALUES (1)"))
        end = one.until_closed()
        assert w.errors(end) == ["42501"]
        assert "permission denied to set parameter" in end[-1].text
        assert other.value("SELECT count(*) FROM ran") == "0"
        assert other.value(WHO) == "app_scram,none"


ALL = "SET log_statement = 'all'"
CALL = "SELECT set_config('log_statement', 'all', false)"
# Code of PL/pgSQL has to run before it is a setting that not everybody may make.
OF_LANGUAGE = ["DO $$ BEGIN END $$", "SET plpgsql.variable_conflict = 'use_column'"]
UNDONE = {
    "bound": [w.parse(ALL), w.bind(), w.sync()],
    "bound_call": [w.parse(CALL), w.bind(), w.sync()],
    "bound_by_name": [w.parse(ALL, "s"), w.sync(), w.bind(name="s"), w.sync()],
    "bound_beside_others": [w.query("BEGIN"), w.parse(ALL), w.bind(), w.sync(),
                            w.query("SELECT 1"), w.query("COMMIT")],
    "rolled_back": [w.query(text) for text in ("BEGIN", "SET ROLE mighty", ALL, "ROLLBACK")],
    "rolled_back_call": [w.query(text) for text in ("BEGIN", "SET ROLE mighty", CALL, "ROLLBACK")],
    "rolled_back_to": [w.query(text) for text in (
        "BEGIN", "SAVEPOINT s", "SET ROLE mighty", ALL, "ROLLBACK TO s", "COMMIT")],
    "of_language": [w.query(text) for text in (
        "BEGIN", "SET ROLE mighty", *OF_LANGUAGE, "ROLLBACK")],
}


@STATES
@pytest.mark.parametrize("how", UNDONE)
def test_what_came_to_nothing_is_not_kept(make_router, roles, state, how):
    """As it stands it is nobody's, and who has not set it may not set it so."""
    del roles
    with two(make_router, state) as (one, other):
        for message in UNDONE[how]:
            one.send(message)
            if message[:1] in b"QS":
                fine(one.until_ready())
        for _ in range(2):
            assert other.value(WHO) == "app_scram,none"
            assert one.value(WHO) == "app_scram,none"


@STATES
def test_what_was_set_beside_it_is_kept(make_router, roles, state):
    del roles
    with two(make_router, state) as (one, other):
        fine(one.query("SET app.before = 'b'"))
        for text in ("BEGIN", "SET work_mem = '7MB'", "SET app.x = 'v'", "SAVEPOINT s",
                     "SET ROLE mighty", ALL, "SET app.x = 'w'", "SET app.before = 'c'",
                     "ROLLBACK TO s", "COMMIT"):
            fine(one.query(text))
        what = "SELECT concat_ws(',', current_user, current_setting('work_mem')," \
            " current_setting('app.x', true), current_setting('app.before', true))"
        for _ in range(2):
            assert other.value(WHO) == "app_scram,none"
            assert one.value(what) == "app_scram,7MB,v,b"


# ------------------------------------------------------------- set_config()

@STATES
@pytest.mark.parametrize("sql", [
    "SELECT set_config('app.x', lower('V'), false)",
    "SELECT set_config('app.x', v, false) FROM (VALUES ('v')) AS t(v)",
    "SELECT set_config('app.x', concat('v', set_config('app.y', 'w', false), ''), not true)"
    " IS NULL, set_config('app.x', 'v', false)",
])
def test_arguments_that_are_computed(make_router, state, sql):
    with two(make_router, state) as (one, other):
        fine(one.query(sql))
        for _ in range(2):
            assert other.value("SELECT coalesce(current_setting('app.x', true), '')") == ""
            assert one.value("SELECT current_setting('app.x', true)") == "v"


def warnings(answer):
    return [m.sqlstate for m in answer if m.type == "N"]


@STATES
@pytest.mark.parametrize("sql", [
    "SELECT set_config('app.' || 'x', 'v', false)",
    "SELECT set_config(n, 'v', false) FROM (VALUES ('app.x')) AS t(n)",
])
@pytest.mark.parametrize("how", ["simple", "extended", "prepared"])
def test_a_computed_name_is_not_lost_in_silence(make_router, state, sql, how):
    with two(make_router, state) as (one, other):
        if how == "simple":
            answer = fine(one.query(sql))
        elif how == "extended":
            one.send(w.one_query(sql))
            answer = fine(one.until_ready())
        else:
            one.send(w.parse(sql, "s"), w.sync())
            assert warnings(fine(one.until_ready())) == []
            one.send(w.bind(name="s"), w.execute(), w.sync())
            answer = fine(one.until_ready())
        assert warnings(answer) == ["01000"]
        assert other.value("SELECT coalesce(current_setting('app.x', true), '')") == ""
        assert warnings(one.query("SELECT 1")) == []


@STATES
@pytest.mark.parametrize("sql", [
    "SELECT set_config('app.' || 'x', 'v', true)",
    "SELECT set_config('app.' || lower('X'), concat('v', 'w'), true)",
])
def test_a_computed_name_for_the_transaction_only(make_router, state, sql):
    """Nothing is lost, so nothing is said."""
    with two(make_router, state) as (one, _):
        assert warnings(fine(one.query(sql))) == []

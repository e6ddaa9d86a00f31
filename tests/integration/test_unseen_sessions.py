# SPDX-License-Identifier: ISC
"""What no clean takes away, left in a session: on a session port, too, nobody else sees it,
neither the next session nor a transaction port that shares the server."""
import contextlib

import psycopg
import pytest
from support.postgres import DATABASE
from support.wait import wait_until

pytestmark = pytest.mark.router_only

CODE = """
DROP FUNCTION IF EXISTS session_loads, session_seeds, session_harmless;
CREATE FUNCTION session_loads() RETURNS void LANGUAGE plpgsql AS
  $$ BEGIN EXECUTE 'LO' || 'AD ''auto_explain'''; END $$;
CREATE FUNCTION session_seeds() RETURNS void LANGUAGE plpgsql AS
  $$ BEGIN PERFORM setseed(0.5); END $$;
CREATE FUNCTION session_harmless() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$
"""
NO_CODE = "DROP FUNCTION session_loads, session_seeds, session_harmless"
LIBRARY = "SELECT current_setting('auto_explain.log_min_duration', true)"
SEED = "SELECT setseed(0.5)"


@pytest.fixture
def code(postgres):
    postgres.sql(CODE, dbname=DATABASE)
    yield
    postgres.sql(NO_CODE, dbname=DATABASE)


@pytest.fixture
def router(make_router, code):
    """One server for both ports."""
    return make_router({"auth": {"auth_type": "trust"},
                        "hosts": {"main": {"connection_budget": 1}},
                        "workloads": {"session": {"guaranteed_connections": 0, "max_connections": 1},
                                      "transactional": {"guaranteed_connections": 0,
                                                        "max_connections": 1}}})


def leave(router, user, *texts, prepare=None):
    """A session that runs them and ends; what server it had."""
    with router.session.connect(user=user) as one:
        pid = one.execute("SELECT pg_backend_pid()").fetchone()[0]
        for text in texts:
            one.execute(text, prepare=prepare)
    return pid


@pytest.mark.parametrize("port", ["session", "transactional"])
@pytest.mark.parametrize("prepare", [False, True])
@pytest.mark.parametrize("text", [
    "LOAD 'auto_explain'", "DO $$ BEGIN LOAD 'auto_explain'; END $$", "SELECT session_loads()",
    "SELECT 1; LOAD 'auto_explain'"])
def test_a_library_stays_with_its_session(router, port, prepare, text):
    if prepare and ";" in text.rstrip("$"):
        prepare = None
    pid = leave(router, "postgres", text, prepare=prepare)
    with getattr(router, port).connect(user="postgres") as other:
        assert other.execute(LIBRARY).fetchone() == (None,)
        assert other.execute("SELECT pg_backend_pid()").fetchone()[0] != pid


@pytest.mark.parametrize("text", [SEED, "SELECT session_seeds()", "SET seed = 0.5"])
def test_a_seed_is_not_anothers(router, postgres, text):
    with postgres.connect() as direct:
        direct.execute(SEED)
        known = direct.execute("SELECT random()").fetchone()
    for port in (router.session, router.transactional):
        leave(router, "app_trust", text)
        with port.connect(user="app_trust") as other:
            assert other.execute("SELECT random()").fetchone() != known


@pytest.mark.parametrize("text", [
    "SELECT 1", "SELECT session_harmless()", "SELECT session_loads()",
    "DO $$ BEGIN PERFORM 1; END $$", "SELECT '" + "x" * 300000 + "'"],
    ids=["constant", "harmless", "not allowed", "DO", "long"])
def test_an_ordinary_role_goes_on_with_its_server(router, postgres, text):
    """Nothing that it may run can leave such a thing (a library cannot be had by it)."""
    with router.session.connect(user="app_trust") as first:
        pid = first.execute("SELECT pg_backend_pid()").fetchone()[0]
    for _ in range(3):
        with router.session.connect(user="app_trust") as one:
            assert one.execute("SELECT pg_backend_pid()").fetchone()[0] == pid
            with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
                one.execute(text)
    wait_until(lambda: postgres.count("usename = 'app_trust'") == 1, 10, "the one server")


def test_keep_keeps_it(make_router, code):
    router = make_router({"auth": {"auth_type": "trust"},
                          "hosts": {"main": {"connection_budget": 1}},
                          "workloads": {"session": {"guaranteed_connections": 1,
                                                    "max_connections": 1},
                                        "transactional": None},
                          "defaults": {"session_state_unseen": "keep"}})
    pid = leave(router, "postgres", "SELECT session_loads()")
    assert leave(router, "postgres", "SELECT 1") == pid

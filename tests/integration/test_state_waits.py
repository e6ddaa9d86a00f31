# SPDX-License-Identifier: ISC
"""What the router asks a server itself waits for nobody's transaction; where it has to wait
for something else it is cancelled, so that the server ends."""
import pytest
from support import wire as w
from support.wait import wait_until
from test_prepared import limited

pytestmark = pytest.mark.router_only

# A transaction of such a session waits for those that are open and may make it fail.
DEFERRABLE = ("SET default_transaction_isolation = 'serializable';"
              " SET default_transaction_read_only = on; SET default_transaction_deferrable = on")

SESSION = {"workloads": {"session": {"guaranteed_connections": 1, "max_connections": 1}}}


@pytest.fixture
def writer(postgres):
    """A transaction that such ones wait for."""
    with postgres.connect() as connection:
        connection.execute("CREATE TABLE waits (x int)")
        connection.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
        connection.execute("SELECT * FROM waits")
        connection.execute("INSERT INTO waits VALUES (1)")
        yield connection
        connection.execute("ROLLBACK")
        connection.execute("DROP TABLE waits")


@pytest.mark.parametrize("how", ["top level", "a function", "pg_settings"])
def test_deferrable_transactions(make_router, writer, how):
    del writer
    router = make_router(limited(1, session_state_audit="always"))
    text = {"top level": DEFERRABLE, "a function": f"DO $do$ BEGIN {DEFERRABLE}; END $do$",
            "pg_settings": f"{DEFERRABLE}; RESET work_mem; SET work_mem = '8MB'"}[how]
    with router.transactional.wire() as a, router.transactional.wire() as b:
        for _ in range(2):
            assert not w.errors(a.query(text))
            assert b.value("SHOW default_transaction_deferrable") == "off"
            assert not w.errors(a.query("ROLLBACK"))
        assert a.value("SHOW default_transaction_deferrable") == \
            ("off" if how == "a function" else "on")
        assert not w.errors(a.query("RESET ALL"))
        assert a.value("SHOW default_transaction_deferrable") == "off"
        assert b.value("SELECT 1") == "1"


def test_deferrable_session(make_router, writer):
    del writer
    router = make_router(SESSION)
    with router.session.wire() as a:
        a.query(DEFERRABLE)
    with router.session.wire() as b:
        assert b.value("SELECT 1") == "1"
    assert not [row for row in router.show("cleaned") if row["unknown"] > 0]


def test_deferrable_and_checked(make_router, writer):
    """server_check_query runs in the session that the last client has left."""
    del writer
    router = make_router(limited(1, server_check_delay="0", server_check_query="SELECT 1"))
    with router.transactional.wire() as a, router.transactional.wire() as b:
        a.query(DEFERRABLE)
        assert b.value("SELECT 1") == "1"


def test_question_that_is_not_answered(make_router, postgres):
    router = make_router(limited(1))
    with router.transactional.wire() as a, postgres.connect() as other:
        a.value("SELECT 1")
        other.execute("BEGIN; LOCK pg_catalog.pg_settings IN ACCESS EXCLUSIVE MODE")
        pid = postgres.backends("usename LIKE 'app%'")[0][0]
        assert not w.errors(a.query("SET work_mem = '8MB'; RESET work_mem; SET work_mem = '9MB'"))
        assert a.until_closed()[-1].sqlstate == "08006"
        wait_until(lambda: postgres.count(f"pid = {pid}") == 0, 5, "it ends")
        with router.transactional.wire() as b:
            assert b.value("SELECT 1") == "1"
    assert "server-close-timeout" not in router.log()

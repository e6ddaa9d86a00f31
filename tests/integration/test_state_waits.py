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


@pytest.mark.parametrize("port", ["session", "transactional"])
def test_deferrable_reset(make_router, writer, port):
    """DISCARD ALL; on a transaction port where nobody looks after statements."""
    del writer
    router = make_router(SESSION if port == "session" else limited(1, max_prepared_statements=0))
    with getattr(router, port).wire() as a:
        a.query(DEFERRABLE)
    with getattr(router, port).wire() as b:
        assert b.value("SELECT 1") == "1"
        assert b.value("SHOW default_transaction_deferrable") == "off"
    assert not [row for row in router.show("cleaned") if row["unknown"] > 0]
    assert "server-clean-timeout" not in router.log()


def test_what_the_router_sets_is_not_counted(make_router):
    """In front of DISCARD ALL, where that may wait."""
    router = make_router(SESSION | {"defaults": {"session_state_audit": "always"}})

    def cleaned():
        (row,) = [row for row in router.show("cleaned") if row["workload"] == "session"]
        return {key: int(value) for key, value in row.items() if key != "workload"}
    with router.session.wire(options="-c default_transaction_read_only=on") as a:
        assert a.value("SELECT 1") == "1"
    with router.session.wire() as b:
        assert b.value("SHOW default_transaction_read_only") == "off"
    found = wait_until(lambda: cleaned()["cleaned"] > 0 and cleaned(), 10, "it is cleaned")
    assert (found["settings"], found["unknown"]) == (0, 0)


def test_deferrable_and_checked(make_router, writer):
    """server_check_query runs in the session that the last client has left."""
    del writer
    router = make_router(limited(1, server_check_delay="0", server_check_query="SELECT 1"))
    with router.transactional.wire() as a, router.transactional.wire() as b:
        a.query(DEFERRABLE)
        assert b.value("SELECT 1") == "1"


SERIALIZABLE = {
    "top level": "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "a function": "DO $do$ BEGIN PERFORM set_config('default_transaction_isolation',"
                  " 'serializable', false); END $do$"}


@pytest.mark.parametrize("how", SERIALIZABLE)
def test_serializable_on_a_standby(make_router, standby, how):
    """Which PostgreSQL refuses there: who has set it, and nobody else."""
    router = make_router({"hosts": {"main": {"host": [f"127.0.0.1:{standby.port}"]}},
                          "workloads": {**limited(1)["workloads"], **SESSION["workloads"]}})
    with router.transactional.wire() as a, router.transactional.wire() as b:
        for _ in range(2):
            assert not w.errors(a.query(SERIALIZABLE[how]))
            assert b.value("SELECT 1") == "1"
        if how == "top level":
            assert w.errors(a.query("SELECT 1")) == ["0A000"]
            assert not w.errors(a.query("RESET default_transaction_isolation"))
        assert a.value("SELECT 1") == "1"
    with router.session.wire() as a:
        pid = a.value("SELECT pg_backend_pid()")
        assert not w.errors(a.query(SERIALIZABLE["top level"]))
    with router.session.wire() as b:
        assert b.value("SELECT pg_backend_pid()") == pid
    assert "server-reset-failed" not in router.log()


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


def test_questions_have_no_timeout_of_the_client(make_router):
    """They may take longer than what the client sends."""
    router = make_router(limited(1))
    with router.transactional.wire() as a, router.transactional.wire() as b:
        a.query("SET statement_timeout = '100ms'")
        a.query("BEGIN")
        for n in range(400):
            assert not w.errors(a.query(f"SET app.x{n} = '{n}'; RESET app.x{n}; SET app.x{n} = '1'"))
        a.query("COMMIT")
        assert b.value("SHOW statement_timeout") == "0"
        assert a.value("SHOW app.x399") == "1"
        assert a.value("SHOW statement_timeout") == "100ms"


@pytest.mark.parametrize("at_start", ["", " -c statement_timeout=30ms"])
def test_defaults_have_no_timeout_of_the_client(make_router, postgres, at_start):
    router = make_router(limited(1))
    with postgres.connect() as connection:
        some = connection.execute(
            "SELECT name, setting FROM pg_settings WHERE context = 'user' AND vartype <> 'string'"
            " AND vartype <> 'enum' AND name !~ 'timeout|transaction|buffers'").fetchall()
    with router.transactional.wire(
            options=" ".join(f"-c {n}={v}" for n, v in some) + at_start) as a:
        texts = [f"RESET {n}" for n, _ in some]
        if at_start:
            texts.append("RESET statement_timeout")
        else:
            a.query("SET statement_timeout = '30ms'")
        a.send(*[w.parse(text) + w.bind() + w.execute() for text in texts], w.sync())
        assert not w.errors(a.until_ready())
        assert a.value("SHOW statement_timeout") == "30ms"
        assert a.value("SHOW work_mem") == dict(some)["work_mem"] + "kB" or \
            a.value("SHOW work_mem") == "4MB"

# SPDX-License-Identifier: ISC
"""State that is written in an odd way, or made by code in an odd place, on the transaction port:
what the text shows is kept or pins, and whatever it is nobody else sees it."""
import pytest
from support import wire as w
from support.postgres import DATABASE
from support.wait import wait_until

pytestmark = pytest.mark.router_only

SET = "set_config('app.odd', 'mine', false)"
SETUP = f"""
CREATE TABLE odd_table (a int);
INSERT INTO odd_table VALUES (1);
CREATE FUNCTION odd() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
    PERFORM {SET}, pg_advisory_lock(4711);
    EXECUTE 'LISTEN odd'; EXECUTE 'CREATE TEMP TABLE IF NOT EXISTS odd_temp (a int)';
    RETURN 1; END $$;
CREATE FUNCTION odd_of(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
    $$ BEGIN RETURN odd(); END $$;
CREATE FUNCTION odd_trigger() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM odd(); RETURN NULL; END $$;
CREATE PROCEDURE odd_out(OUT x int) LANGUAGE plpgsql AS $$ BEGIN x := odd(); END $$;
CREATE DOMAIN odd_domain AS int CHECK (odd() = 1);
CREATE OPERATOR @@@ (FUNCTION = odd_of, RIGHTARG = int);
CREATE AGGREGATE odd_sum (int) (SFUNC = int4pl, STYPE = int, INITCOND = '0', FINALFUNC = odd_of);
CREATE VIEW odd_view AS SELECT odd() AS a;
CREATE TABLE odd_late (a int, b int GENERATED ALWAYS AS (odd_of(a)) STORED);
CREATE CONSTRAINT TRIGGER odd_late AFTER INSERT ON odd_late DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION odd_trigger();
CREATE TABLE odd_secret (a int);
INSERT INTO odd_secret VALUES (1);
ALTER TABLE odd_secret ENABLE ROW LEVEL SECURITY;
CREATE POLICY odd ON odd_secret USING (odd() = a) WITH CHECK (odd() = a);
CREATE RULE odd AS ON UPDATE TO odd_late DO ALSO SELECT odd();
GRANT ALL ON odd_table, odd_view, odd_late, odd_secret TO PUBLIC;
"""
TEARDOWN = """
DROP TABLE odd_table, odd_late, odd_secret; DROP VIEW odd_view; DROP AGGREGATE odd_sum (int);
DROP OPERATOR @@@ (NONE, int); DROP DOMAIN odd_domain; DROP PROCEDURE odd_out;
DROP FUNCTION odd_trigger, odd_of, odd;
"""
LOOK = """SELECT concat_ws('|',
    (SELECT string_agg(name, ',') FROM pg_settings WHERE source = 'session'),
    nullif(current_setting('app.odd', true), ''),
    (SELECT count(*) FROM pg_cursors WHERE is_holdable),
    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
    (SELECT count(*) FROM pg_listening_channels()),
    (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()),
    current_user, session_user)"""

KEPT = {
    "unicode": "SELECT U&\"set\\005fconfig\"('app.odd', 'mine', false)",
    "comments": "SELECT/**/pg_catalog /* /* */ */ . -- x\n \"set_config\" /**/ ($$app.odd$$,"
                " E'm\\x69n\\145', FALSE)",
    "empty statements": ";;; /* ; */ ;\tset\fapp . odd\r\n=/**/'mine';;--",
    "national": "SELECT set_config('app.odd', N'mine', false)",
    "CTE": f"WITH a AS MATERIALIZED (SELECT {SET}) SELECT * FROM a",
    "VALUES": f"VALUES (1, {SET})",
    "FROM": f"SELECT * FROM {SET}",
    "ROWS FROM": f"SELECT * FROM ROWS FROM ({SET}, generate_series(1, 2)) AS a",
    "ORDER BY": f"SELECT 1 FROM generate_series(1, 2) AS a ORDER BY {SET}, a",
    "LIMIT": f"SELECT 1 LIMIT length({SET})",
    "EXPLAIN": f"EXPLAIN (ANALYZE, TIMING OFF) SELECT {SET}",
    "COPY": f"COPY (SELECT {SET}) TO STDOUT",
    "COPY WHERE": f"COPY odd_table FROM STDIN WHERE {SET} IS NULL",
    "EXECUTE": f"PREPARE odd AS SELECT {SET}; EXECUTE odd; DEALLOCATE odd",
    "FETCH": f"BEGIN; DECLARE odd CURSOR FOR SELECT {SET}; FETCH odd; COMMIT",
    "CHAIN": "BEGIN; SET app.odd = 'no'; COMMIT AND CHAIN; SET app.odd = 'mine'; COMMIT",
    "isolation": "BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY; SET LOCAL app.odd = 'no';"
                 " SET app.odd = 'mine'; END",
    "RETURNING": f"INSERT INTO odd_table VALUES (2) RETURNING {SET}",
    "MERGE": f"MERGE INTO odd_table USING (SELECT {SET}) AS s (x) ON true"
             " WHEN MATCHED THEN DO NOTHING",
    "WITH and UPDATE": f"WITH a AS (UPDATE odd_table SET a = 1 RETURNING {SET}) TABLE a",
    "array": f"SELECT ARRAY[{SET}], ({SET}, 1), CASE WHEN {SET} = '' THEN 1 END",
}
PINNED = {
    "attribute": "SELECT (4711::bigint).pg_advisory_lock",
    "attribute of an element": "SELECT ('{4711}'::bigint[])[1] . \"pg_advisory_lock_shared\"",
    "quoted lock": "SELECT \"pg_advisory_lock\"(4711)",
    "lock in EXPLAIN": "EXPLAIN ANALYZE SELECT pg_advisory_lock(4711)",
    "lock in COPY": "COPY (SELECT pg_try_advisory_lock(47, 11)) TO STDOUT",
    "lock in a failed transaction": "BEGIN; SELECT pg_advisory_lock(4711); SELECT 1 / 0",
    "schema in unicode": "CREATE TABLE U&\"pg!005ftemp\" UESCAPE '!' . odd_made (a int)",
    "EXPLAIN of CREATE": "EXPLAIN ANALYZE CREATE LOCAL TEMPORARY TABLE odd_made AS SELECT 1",
    "function in pg_temp": "CREATE FUNCTION pg_temp.odd_made() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "cursor": "BEGIN; DECLARE \"o d\" NO SCROLL CURSOR WITH HOLD FOR SELECT 1; COMMIT",
    "channel": "LISTEN U&\"o\\0064d\"",
}
# What code does that no text shows.
UNSEEN = {
    "TREAT": "SELECT TREAT(4711 AS pg_advisory_lock)",
    "view": "SELECT * FROM odd_view",
    "operator": "SELECT @@@ 1",
    "aggregate": "SELECT odd_sum(a) FROM odd_table",
    "attribute": "SELECT (1).odd_of",
    "constant as it is read": "SELECT 1 WHERE '{1}'::odd_domain[] IS NULL",
    "value": ("SELECT $1::odd_domain", "1"),
    "deferred trigger": "BEGIN; INSERT INTO odd_late VALUES (1); SELECT 1; COMMIT",
    "rule": "UPDATE odd_late SET a = 1",
    "policy": "SELECT * FROM odd_secret",
    "policy of COPY": "COPY odd_secret TO STDOUT",
    "COPY": "COPY odd_late (a) FROM STDIN",
    "COPY WHERE": "COPY odd_table FROM STDIN WHERE odd() = 2",
    "procedure": "CALL odd_out(NULL)",
    "LATERAL": "SELECT * FROM odd_table, LATERAL odd_of(a)",
    "hold": "BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT odd(); CLOSE c; COMMIT",
    "failed": "SELECT odd(), 1 / (SELECT 0)",
}


@pytest.fixture(scope="module")
def odd(postgres_cluster):
    if not postgres_cluster.is_running():
        postgres_cluster.start()
    postgres_cluster.sql(SETUP, dbname=DATABASE)
    yield
    postgres_cluster.sql(TEARDOWN, dbname=DATABASE)


@pytest.fixture
def router(make_router, postgres, odd):
    return make_router({"workloads": {
        "transactional": {"guaranteed_connections": 2, "max_connections": 2, "max_pinned": 1},
        "session": None}})


def says(wire, what):
    if isinstance(what, tuple):
        wire.send(w.one_query(what[0], *what[1:]))
    else:
        wire.send(w.query(what))
    answer = wire.until("Z", "G")
    if answer[-1].type == "G":
        wire.send(w.copy_data(b"1\n"), w.copy_done())
        answer += wire.until_ready()
    return answer


def everywhere(router):
    """What others see on each of the servers that they get."""
    with router.transactional.wire() as b, router.transactional.wire() as c:
        b.query("BEGIN")
        c.query("BEGIN")
        return {b.value(LOOK), c.value(LOOK)}


@pytest.mark.parametrize("form", KEPT)
def test_kept(router, form):
    with router.transactional.wire() as a:
        nothing = everywhere(router)
        # Several statements, and COPY's data, are the simple protocol's.
        is_simple = ";" in KEPT[form] or "STDIN" in KEPT[form]
        for what in (KEPT[form],) if is_simple else (KEPT[form], (KEPT[form],)):
            assert w.errors(says(a, what)) == []
            assert everywhere(router) == nothing and len(nothing) == 1
            assert a.value("SELECT current_setting('app.odd', true)") == "mine"
            a.query("RESET app.odd")


@pytest.mark.parametrize("form", PINNED)
def test_pinned(router, form):
    with router.transactional.wire() as a:
        nothing = everywhere(router)
        says(a, PINNED[form])
        a.query("ROLLBACK")
        assert len(router.show("pins")) == 1
        assert len({a.value("SELECT pg_backend_pid()") for _ in range(3)}) == 1
        a.quit()
    wait_until(lambda: router.show("pins") == [], 10, "its client has gone")
    assert everywhere(router) == nothing


@pytest.mark.parametrize("form", UNSEEN)
def test_unseen(router, form):
    with router.transactional.wire() as a:
        nothing = everywhere(router)
        says(a, UNSEEN[form])
        assert everywhere(router) == nothing
        # Nor where it goes on at once from one to another.
        says(a, UNSEEN[form])
        assert everywhere(router) == nothing

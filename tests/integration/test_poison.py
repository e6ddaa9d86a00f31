# SPDX-License-Identifier: ISC
"""What the router asks and says in a client's session, under the client's own search_path,
calls nothing that anybody has put in front of PostgreSQL's own, or that fits better: it would
run with the client's rights, and could tell the router what it likes.

A schema has an operator, a function, a view and a type of the name of each that the router
could mean.  Whoever calls one is counted.  The client's own texts call none."""
import pytest
from support import wire as w
from support.postgres import DATABASE, DEFAULT_USER
from support.wait import wait_until

pytestmark = [pytest.mark.router_only, pytest.mark.usefixtures("no_code")]

# A sequence counts what is rolled back, too.
MAKE = """
CREATE SCHEMA poison;
CREATE SEQUENCE poison.hits;
CREATE FUNCTION poison.hit() RETURNS pg_catalog.bool LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_catalog.nextval(''poison.hits''); RETURN true; END';
DO $$ DECLARE
    body constant text := 'BEGIN PERFORM pg_catalog.nextval(''poison.hits''); RETURN NULL; END';
    of_set constant text := 'BEGIN PERFORM pg_catalog.nextval(''poison.hits''); RETURN; END';
    o record; n int := 0;
BEGIN
    -- Those that there are, which win where the schema comes first, and those that only fit
    -- better ("oid <> 0" is none of PostgreSQL's), which win wherever it stands.
    FOR o IN SELECT DISTINCT oprname, l, r, result FROM (
            SELECT oprname, oprleft::regtype AS l, oprright::regtype AS r,
                oprresult::regtype AS result FROM pg_operator WHERE oprnamespace = 11 AND
                oprleft <> 0 UNION
            SELECT name, l, r, 'bool'::regtype FROM
                unnest('{=,<>,<,>,<=,>=,~,!~,~*,!~*,~~}'::text[]) AS name,
                unnest('{oid,int2,int4,int8,text,name,"char",bool,regproc,regclass,regtype}'::regtype[]) AS l,
                unnest('{oid,int2,int4,int8,text,name,"char",bool,regproc,regclass,regtype}'::regtype[]) AS r) AS o
        WHERE l::text || r::text || result::text !~ 'any|internal|cstring' LOOP
        n := n + 1;
        EXECUTE format('CREATE FUNCTION poison.f_%s(l %s, r %s) RETURNS %s LANGUAGE plpgsql AS %L',
            n, o.l, o.r, o.result, body);
        EXECUTE format('CREATE OPERATOR poison.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = poison.f_%s)',
            o.oprname, o.l, o.r, n);
    END LOOP;
    FOR o IN SELECT proname, pg_get_function_identity_arguments(oid) AS arguments,
            pg_get_function_result(oid) AS result, proretset FROM pg_proc
        WHERE pronamespace = 11 AND prokind = 'f' AND proargmodes IS NULL
            AND proname ~ '^(lower|left|set_config|current_setting|hashtext|replace|strpos|acldefault|pg_.*(schema|pid|channels|all|sqlbody|recovery|has_role))$'
    LOOP
        EXECUTE format('CREATE FUNCTION poison.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L',
            o.proname, o.arguments, o.result, CASE WHEN o.proretset OR o.result = 'void' THEN of_set ELSE body END);
    END LOOP;
    FOR o IN SELECT relname FROM pg_class AS c WHERE relnamespace = 11 AND relkind IN ('r', 'v')
            AND relname !~ '^pg_stat(istic|s)|^pg_attribute$' LOOP
        EXECUTE format('CREATE VIEW poison.%I AS SELECT * FROM pg_catalog.%I WHERE poison.hit()',
            o.relname, o.relname);
    END LOOP;
    FOR o IN SELECT typname FROM pg_type WHERE oid = ANY ('{text,oid,"char",bool,int4,name}'::regtype[]) LOOP
        EXECUTE format('CREATE DOMAIN poison.%I AS pg_catalog.%I CHECK (poison.hit())',
            o.typname, o.typname);
    END LOOP;
END $$;
CREATE ROLE poisoned;
"""
# While these are there no session lends its server: they are written in neither SQL nor PL/pgSQL.
AGGREGATES = """
CREATE SCHEMA aggregates;
CREATE FUNCTION aggregates.keep(pg_catalog.text) RETURNS pg_catalog.text
    LANGUAGE plpgsql AS 'BEGIN PERFORM pg_catalog.nextval(''poison.hits''); RETURN $1; END';
CREATE FUNCTION aggregates.keep(pg_catalog.text, pg_catalog.text) RETURNS pg_catalog.text
    LANGUAGE plpgsql AS 'BEGIN PERFORM pg_catalog.nextval(''poison.hits''); RETURN $1; END';
CREATE FUNCTION aggregates.keep(pg_catalog.text, pg_catalog.text, pg_catalog.text)
    RETURNS pg_catalog.text LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_catalog.nextval(''poison.hits''); RETURN $1; END';
CREATE AGGREGATE aggregates.count(*) (SFUNC = aggregates.keep, STYPE = pg_catalog.text);
CREATE AGGREGATE aggregates.max(pg_catalog.text) (SFUNC = aggregates.keep, STYPE = pg_catalog.text);
CREATE AGGREGATE aggregates.string_agg(pg_catalog.text, pg_catalog.text)
    (SFUNC = aggregates.keep, STYPE = pg_catalog.text);
GRANT USAGE ON SCHEMA aggregates TO PUBLIC;
"""
GRANT = f"""
GRANT USAGE ON SCHEMA poison TO PUBLIC; GRANT SELECT ON ALL TABLES IN SCHEMA poison TO PUBLIC;
GRANT USAGE ON SEQUENCE poison.hits TO PUBLIC; GRANT poisoned TO {DEFAULT_USER};
"""
PATHS = {"in front": "poison,aggregates,pg_catalog", "behind": "poison,aggregates"}


@pytest.fixture(scope="module")
def schema(postgres_cluster):
    if not postgres_cluster.is_running():
        postgres_cluster.start()
    postgres_cluster.sql(MAKE, GRANT, dbname=DATABASE)
    yield
    postgres_cluster.sql("DROP SCHEMA poison CASCADE", "DROP ROLE poisoned", dbname=DATABASE)


@pytest.fixture
def hits(schema, postgres):
    """How many have been called: nobody, until somebody is."""
    def count():
        return postgres.sql("SELECT last_value - (NOT is_called)::int FROM poison.hits",
                            dbname=DATABASE)[0][0]
    postgres.sql("ALTER SEQUENCE poison.hits RESTART", dbname=DATABASE)
    assert count() == 0
    return count


@pytest.fixture
def aggregates(schema, postgres):
    postgres.sql(AGGREGATES, dbname=DATABASE)
    yield
    postgres.sql("DROP SCHEMA aggregates CASCADE", dbname=DATABASE)


def fine(answer):
    assert w.errors(answer) == []
    return answer


# In each form of a text.
def simple(wire, sql):
    return wire.query(sql)


def extended(wire, sql):
    wire.send(w.parse(sql) + w.bind() + w.describe() + w.execute() + w.sync())
    return wire.until_ready()


@pytest.mark.usefixtures("aggregates")
@pytest.mark.parametrize("path", PATHS)
def test_the_trap_works(hits, postgres, path):
    """What has no schema is caught: what stood in the router's question was."""
    with postgres.connect(dbname=DATABASE) as direct:
        direct.execute(f"SET search_path = {PATHS[path]}")
        direct.execute("SELECT pg_catalog.pg_my_temp_schema() <> 0")
        assert hits() == 1
        direct.execute("SELECT 1 FROM pg_catalog.pg_depend WHERE refclassid = 2615 LIMIT 1")
        assert hits() > 1
        if path == "in front":
            for sql in ("SELECT lower('X'::pg_catalog.text)", "SELECT string_agg('x', ',')",
                        "SELECT 'x'::text", "SELECT count(*)", "SELECT FROM pg_settings",
                        "SELECT FROM pg_catalog.pg_settings WHERE source = 'session'"):
                before = hits()
                direct.execute(sql)
                assert hits() > before, sql


def does_it_all(wire, how):
    """Whatever makes the router ask or say something of its own.  No text names anything
    without its schema."""
    for sql in ("SET app.x = '1'", "SET DateStyle = 'German'",
                "SELECT pg_catalog.set_config('work_mem', '7MB', false)",
                "BEGIN", "SAVEPOINT s", "SET app.y = '2'", "RESET work_mem", "ROLLBACK TO s",
                "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", "COMMIT",
                "RESET DateStyle", "SET work_mem TO DEFAULT", "RESET app.x",
                "SET ROLE poisoned", "RESET ROLE", "SET app.x = '3'",
                "PREPARE one AS SELECT 1", "EXECUTE one", "DEALLOCATE one",
                "UPDATE pg_catalog.pg_settings SET setting = '9MB' WHERE false",
                "CREATE TEMP TABLE mine (x pg_catalog.int8)", "DROP TABLE mine",
                "DECLARE mine CURSOR WITH HOLD FOR SELECT 1", "CLOSE mine",
                "SELECT pg_catalog.pg_advisory_lock(1)", "SELECT pg_catalog.pg_advisory_unlock(1)",
                "LISTEN mine", "UNLISTEN mine",
                "DO 'BEGIN SET enable_seqscan = off; END'"):
        fine(how(wire, sql))
    return wire


@pytest.mark.usefixtures("aggregates")
@pytest.mark.parametrize("how", [simple, extended])
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("state", ["strict", "tracked"])
def test_transaction_port_calls_none(make_router, hits, state, path, how):
    router = make_router({
        "hosts": {"main": {"connection_budget": 3}},
        "defaults": {"session_state": state, "session_state_audit": "always"},
        "workloads": {"transactional": {"guaranteed_connections": 2, "max_connections": 2,
                                        "max_pinned": 1},
                      "session": {"guaranteed_connections": 1, "max_connections": 1}}})
    options = {"options": f"-c search_path={PATHS[path]}"}
    with router.transactional.wire(**options) as one, router.transactional.wire(**options) as two:
        for _ in range(2):
            does_it_all(one, how)
            does_it_all(two, how)
        fine(one.query("DISCARD ALL"))
        wait_until(lambda: router.show("pins") == [], 10, "nothing is there any more")
        assert "settings" in {row["state"] for row in router.show("advice")
                              if int(row["found"]) > 0}, "the audit was told no lies"
        assert one.value("SHOW search_path") == PATHS[path]
    assert hits() == 0


@pytest.mark.parametrize("how", [simple, extended])
@pytest.mark.parametrize("path", PATHS)
def test_session_port_calls_none(make_router, hits, path, how):
    """Neither when it asks whether a session may lend its server, nor when it is cleaned."""
    router = make_router({
        "hosts": {"main": {"connection_budget": 2}},
        "defaults": {"session_state_audit": "always"},
        "workloads": {"transactional": {"guaranteed_connections": 1, "max_connections": 1},
                      "session": {"guaranteed_connections": 1, "max_connections": 1,
                                  "idle_session_reclaim": "50ms"}}})

    def cleaned(name):
        return sum(int(row[name]) for row in router.show("cleaned"))
    options = {"options": f"-c search_path={PATHS[path]}"}
    with router.session.wire(**options) as one:
        for n in range(2):
            fine(how(one, f"SET app.x = '{n}'"))
            fine(how(one, "SET work_mem = '7MB'"))
            fine(how(one, "SET ROLE poisoned"))
            wait_until(lambda n=n: cleaned("lent") > n, 10, "it lends its server")
        fine(how(one, "RESET ALL"))
        fine(how(one, "DECLARE mine CURSOR WITH HOLD FOR SELECT 1"))
        fine(how(one, "LISTEN mine"))
    wait_until(lambda: cleaned("cursors") == 1 and cleaned("listen") == 1, 10,
               "it is cleaned, and what was there is counted")
    assert hits() == 0

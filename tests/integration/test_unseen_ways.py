# SPDX-License-Identifier: ISC
"""session_state strict: roundabout ways in which code comes to run with the rights to leave what
no statement takes away (test_unseen.py has the plain ones), and what the question may not do."""
import time

import pytest
from support import wire as w
from support.postgres import DATABASE, DEFAULT_USER, USERS
from support.wait import SLOWDOWN, wait_until
from test_unseen import (FIXED, FORMS, LOAD, PID, RUN, SEES, SUPER, clients, is_closed, place,
                         ran, role, waits)

__all__ = ["clients", "place", "role"]
pytestmark = pytest.mark.router_only

# Nothing in its body says what it does.
FIXED = FIXED.replace(LOAD, "EXECUTE 'LO' || 'AD ''auto_explain'''")
DEFINER = """
CREATE FUNCTION definer() RETURNS int LANGUAGE plpgsql SECURITY DEFINER AS
    $$ BEGIN EXECUTE 'LO' || 'AD ''auto_explain'''; RETURN 1; END $$;
"""


def closes_for(clients, sql, user=DEFAULT_USER):
    ours = clients()
    a, b = ours.make(user), ours.make(user)
    pid = a.value(PID)
    ran(a.query(sql))
    left = a.value(SEES)
    assert a.value(PID) == pid
    assert b.value(SEES) == "f" and b.value(PID) != pid
    return left


def test_definer_that_a_text_in_a_trigger_calls(clients, place):
    """The trigger has its user's rights, and nothing in it names the definer."""
    place(DEFINER, """
        CREATE TABLE runs (sql text);
        GRANT ALL ON runs TO PUBLIC;
        CREATE FUNCTION run_it() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN EXECUTE NEW.sql; RETURN NULL; END $$;
        CREATE TRIGGER run_it BEFORE INSERT ON runs FOR EACH ROW EXECUTE FUNCTION run_it()""")
    assert closes_for(clients, "INSERT INTO runs VALUES ('SELECT definer()')") == "t"


# As the owner of the table, a superuser, a foreign key's cascade runs what an UPDATE runs.
XML = "query_to_xml('SELECT fixed()', true, true, '')"
DOMAIN = "CREATE DOMAIN checked AS int CHECK (fixed() = 1);"
UPDATES = "ON UPDATE CASCADE"
CASCADES = {
    "check": (UPDATES, "ALTER TABLE parts ADD CHECK (fixed() = 1) NOT VALID"),
    "domain": (UPDATES, DOMAIN +
               "ALTER TABLE parts ADD c checked GENERATED ALWAYS AS (id) STORED"),
    "default": ("ON DELETE SET DEFAULT", "ALTER TABLE parts ALTER id SET DEFAULT nothing()"),
    "index": (UPDATES, "CREATE INDEX ON parts (still(id))"),
    "rule": (UPDATES, "CREATE RULE also AS ON UPDATE TO parts DO ALSO SELECT fixed()"),
    # PostgreSQL's own functions that run code which they are told: nothing depends on that.
    "text in a check": (UPDATES, f"ALTER TABLE parts ADD CHECK ({XML} IS NOT NULL) NOT VALID"),
    "text in a default": ("ON DELETE SET DEFAULT",
                          f"ALTER TABLE parts ALTER id SET DEFAULT nullif(1, ({XML} IS NOT NULL)::int)"),
    "text in a rule": (UPDATES, f"CREATE RULE also AS ON UPDATE TO parts DO ALSO SELECT {XML}"),
    "array of a domain": (UPDATES, DOMAIN + "ALTER TABLE parts ADD CHECK"
                          " (('{' || left(id::text, 1) || '}')::checked[] IS NOT NULL) NOT VALID"),
    "composite type": (UPDATES, DOMAIN + "CREATE TYPE has_checked AS (c checked);"
                       "ALTER TABLE parts ADD CHECK"
                       " (('(' || left(id::text, 1) || ')')::has_checked IS NOT NULL) NOT VALID"),
    "cast": (UPDATES, """CREATE TYPE mood AS ENUM ('ok');
             CREATE FUNCTION to_json(mood) RETURNS json LANGUAGE plpgsql AS
                 $$ BEGIN PERFORM fixed(); RETURN '1'; END $$;
             CREATE CAST (mood AS json) WITH FUNCTION to_json(mood);
             ALTER TABLE parts ADD m mood DEFAULT 'ok',
                 ADD CHECK (json_build_array(m) IS NOT NULL) NOT VALID"""),
    "name of a type": (UPDATES, DOMAIN + "ALTER TABLE parts ADD CHECK"
                       " (pg_input_is_valid(id::text, 'checked')) NOT VALID"),
}


@pytest.mark.parametrize("way", CASCADES)
def test_cascade_without_a_trigger(clients, place, postgres, way):
    if way == "name of a type" and postgres.major() < 16:
        pytest.skip("PostgreSQL 16 has pg_input_is_valid()")
    action, make = CASCADES[way]
    place(FIXED, f"""
        CREATE TABLE parts (id int REFERENCES plain {action});
        CREATE FUNCTION nothing() RETURNS int LANGUAGE plpgsql AS
            $$ BEGIN PERFORM fixed(); RETURN NULL; END $$;
        CREATE FUNCTION still(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
            $$ BEGIN PERFORM public.fixed(); RETURN 1; END $$;
        INSERT INTO parts VALUES (1)""", make)
    sql = "DELETE FROM plain WHERE id = 1" if "DELETE" in action else \
        "UPDATE plain SET id = 7 WHERE id = 1"
    assert closes_for(clients, sql) == "t"


def test_cascade_into_a_partition_of_somebody_else(clients, place):
    """It runs what is there as the owner of the whole table."""
    place(FIXED, f"""
        CREATE TABLE parts (id int REFERENCES plain ON UPDATE CASCADE) PARTITION BY LIST (id);
        CREATE TABLE part PARTITION OF parts DEFAULT;
        INSERT INTO parts VALUES (1);
        ALTER TABLE part OWNER TO {DEFAULT_USER};
        ALTER TABLE part ADD CHECK (fixed() = 1) NOT VALID""")
    assert closes_for(clients, "UPDATE plain SET id = 7 WHERE id = 1") == "t"


def test_cascades_that_run_nothing(clients, place):
    """A superuser's tables, as they often are, with a function elsewhere that may."""
    place(FIXED, "CREATE VIEW fixed_view AS SELECT fixed()", """
        CREATE TYPE mood AS ENUM ('ok');
        CREATE TABLE parts (id int DEFAULT 1 CHECK (id > 0) REFERENCES plain ON UPDATE CASCADE,
            m mood DEFAULT 'ok', twice int GENERATED ALWAYS AS (id * 2) STORED);
        CREATE INDEX ON parts (abs(id));
        INSERT INTO parts VALUES (1)""")
    ours = clients()
    a, b = ours.make(DEFAULT_USER), ours.make(DEFAULT_USER)
    assert not is_closed(a, b, "UPDATE plain SET id = 7 WHERE id = 1")
    assert not is_closed(a, b, "SELECT * FROM plain")


def test_reindex_by_the_owner_of_the_schema(clients, place):
    place(FIXED, STILL, f"""
        CREATE SCHEMA mine AUTHORIZATION {DEFAULT_USER};
        CREATE TABLE mine.others AS SELECT 1::bigint AS id;
        CREATE INDEX ON mine.others (still(id))""")
    assert closes_for(clients, "REINDEX SCHEMA mine") == "t"


@pytest.mark.parametrize("column", ["public.fixed()",
                                    "query_to_xml('SELECT public.fixed()', true, true, '')::text"])
@pytest.mark.parametrize("right", ["GRANT MAINTAIN ON made TO {}", "GRANT pg_maintain TO {}"])
def test_refresh_by_somebody_else(clients, place, postgres, right, column):
    if postgres.major() < 17:
        pytest.skip("PostgreSQL 17 has MAINTAIN")
    place(FIXED, f"CREATE MATERIALIZED VIEW made AS SELECT {column} AS x WITH NO DATA",
          right.format(DEFAULT_USER))
    try:
        assert closes_for(clients, "REFRESH MATERIALIZED VIEW made") == "t"
    finally:
        place(right.format(DEFAULT_USER).replace("GRANT", "REVOKE").replace(" TO ", " FROM "))


def test_event_trigger_of_a_trusted_extension(clients, place):
    """What it creates it creates as a superuser."""
    place(FIXED, f"""
        CREATE FUNCTION event() RETURNS event_trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM public.fixed(); EXCEPTION WHEN OTHERS THEN NULL; END $$;
        CREATE EVENT TRIGGER event ON ddl_command_end EXECUTE FUNCTION event();
        GRANT CREATE ON DATABASE unseen TO {DEFAULT_USER};
        GRANT CREATE ON SCHEMA public TO PUBLIC""")
    assert closes_for(clients, "CREATE EXTENSION citext") == "t"


STILL = """
CREATE FUNCTION still(bigint) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN PERFORM public.fixed(); RETURN 1; END $$;
"""


def test_analyze_by_the_owner_of_the_database(clients, place):
    """It runs the functions of an index as the owner of the table."""
    place(FIXED, STILL, "CREATE INDEX ON plain (still(id))",
          f"ALTER DATABASE unseen OWNER TO {DEFAULT_USER}")
    assert closes_for(clients, "ANALYZE plain") == "t"


def test_functions_in_other_words(clients, place):
    """As an aggregate's, or under another name, PostgreSQL's own and dblink's."""
    place("SELECT pg_replication_origin_create('mine')", "CREATE EXTENSION dblink",
          """CREATE AGGREGATE last_of (text) (sfunc = textcat, stype = text, initcond = '',
                 finalfunc = pg_replication_origin_session_setup)""")
    try:
        ours = clients()
        a, b = ours.make(), ours.make()
        pid = a.value(PID)
        ran(a.query("SELECT last_of('mine')"))
        assert b.value("SELECT pg_replication_origin_session_is_setup()") == "f"
        assert b.value(PID) != pid
    finally:
        place("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'unseen'"
              " AND pid <> pg_backend_pid()")
        wait_until(lambda: dropped(place), 10, "the origin is gone")


def dropped(place):
    place("SELECT pg_replication_origin_drop(roname) FROM pg_replication_origin WHERE roname = 'mine'")
    return True


def test_internal_function_under_another_name(clients, place):
    place(FIXED, """
        CREATE FUNCTION rewrites(tsquery, text) RETURNS tsquery LANGUAGE internal
            AS 'tsquery_rewrite_query'""")
    place("ALTER FUNCTION fixed() RENAME TO gone")
    place("DROP FUNCTION gone()")
    ours = clients()
    a, b = ours.make(), ours.make()
    assert is_closed(a, b, "SELECT rewrites('a', 'SELECT ''a''::tsquery, ''b''::tsquery')")


def test_dblink_under_another_name(clients, place):
    place("CREATE EXTENSION dblink", "ALTER FUNCTION dblink_connect(text, text) RENAME TO opens",
          "REVOKE EXECUTE ON FUNCTION dblink_connect(text) FROM PUBLIC")
    ours = clients()
    a, b = ours.make(DEFAULT_USER), ours.make(DEFAULT_USER)
    assert is_closed(a, b, "SELECT opens('x', 'dbname=unseen') FROM plain WHERE false")


# --- what is documented to stay --------------------------------------------------------------------

def test_connections_of_postgres_fdw(clients, place, postgres):
    """Each is for the role whose user mapping it is; without keep_connections none stays."""
    roles, login = (DEFAULT_USER, "other"), "app_plain"
    place("CREATE EXTENSION postgres_fdw", f"""
        CREATE SERVER here FOREIGN DATA WRAPPER postgres_fdw
            OPTIONS (host '127.0.0.1', port '{postgres.port}', dbname 'unseen');
        CREATE VIEW near AS SELECT set_config('app.readers', coalesce(
            current_setting('app.readers', true), '') || current_user || ' ', false) AS readers;
        CREATE FOREIGN TABLE far (readers text) SERVER here OPTIONS (table_name 'near');
        GRANT SELECT ON near, far TO PUBLIC""",
          *(f"CREATE USER MAPPING FOR {name} SERVER here"
            f" OPTIONS (user '{name}', password '{USERS[name][0]}')" for name in roles),
          f"GRANT {', '.join(roles)} TO {login}")
    try:
        ours = clients()
        a, b = ours.make(login), ours.make(login)
        pid = a.value(PID)
        for wire, name in zip((a, b), roles):
            ran(wire.query(f"SET ROLE {name}"))
            assert wire.value("SELECT readers FROM far") == f"{name} "
        assert b.value(PID) == pid
        # Whoever may be that role has its connection.
        ran(b.query(f"SET ROLE {roles[0]}"))
        assert b.value("SELECT readers FROM far") == 2 * f"{roles[0]} "
        place("ALTER SERVER here OPTIONS (ADD keep_connections 'off')")
        for _ in range(2):
            assert a.value("SELECT readers FROM far") == f"{roles[0]} "
        assert a.value(PID) == pid
    finally:
        place(f"REVOKE {', '.join(roles)} FROM {login}")


def test_connection_of_dblink_without_a_name(clients, place, postgres):
    """It ends with its client, as one with a name does."""
    place("CREATE EXTENSION dblink")
    ours = clients(servers=2)
    a = ours.make()
    pid = a.value(PID)
    assert a.value(f"SELECT dblink_connect('host={postgres.socket_dir} port={postgres.port}"
                   " user=postgres dbname=unseen')") == "OK"
    assert a.value(PID) == pid
    a.close()
    wait_until(lambda: postgres.count(f"pid = {pid}") == 0, 10, "the server is closed")


# --- what the question may not do ------------------------------------------------------------------

def test_question_waits_for_no_lock(clients, place, postgres):
    """A table that a function's body has is being changed, and that takes long."""
    place("CREATE FUNCTION counts() RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM child; END")
    ours = clients()
    a, b = ours.make(DEFAULT_USER), ours.make(DEFAULT_USER)
    with postgres.connect(dbname="unseen") as changing:
        with changing.transaction():
            changing.execute("LOCK TABLE child")
            began = time.monotonic()
            assert not is_closed(a, b, "SELECT * FROM plain")
            assert time.monotonic() - began < 5


def test_long_bodies_are_not_read(clients, place):
    """Hundreds of megabytes that take no room: whoever may create functions makes nobody wait."""
    place("CREATE TYPE pair AS (a int, b int)",
          "DO $$ BEGIN FOR i IN 1..200 LOOP EXECUTE format('CREATE FUNCTION f%s(pair) RETURNS int"
          " LANGUAGE plpgsql AS %L', i, repeat('-- f1 f2 ', 100000) || E'\\nBEGIN RETURN 1; END');"
          " END LOOP; END $$")
    ours = clients()
    a, b = ours.make(DEFAULT_USER), ours.make(DEFAULT_USER)
    began = time.monotonic()
    for _ in range(3):
        assert not is_closed(a, b, "SELECT 1 FROM plain")
    assert time.monotonic() - began < 4 * SLOWDOWN


def test_a_long_body_may_do_anything(clients, place):
    place(DEFINER.replace("$$ BEGIN", "$$ BEGIN /* " + 70000 * "x" + " */ "))
    assert closes_for(clients, "SELECT definer()") == "t"


def test_statement_timeout_of_the_role(clients, place):
    place(RUN, "DO $$ BEGIN FOR i IN 1..100 LOOP EXECUTE format('CREATE FUNCTION f%s(int) RETURNS int"
          " LANGUAGE plpgsql AS %L', i, repeat('-- f1 f2 ', 6500) || E'\\nBEGIN RETURN 1; END'); END LOOP; END $$")
    place(f"ALTER ROLE {DEFAULT_USER} IN DATABASE unseen SET statement_timeout = '100ms'")
    try:
        ours = clients()
        a, b = ours.make(DEFAULT_USER), ours.make(DEFAULT_USER)
        for _ in range(4):
            assert not is_closed(a, b, "SELECT 1 FROM plain")
    finally:
        place(f"ALTER ROLE {DEFAULT_USER} IN DATABASE unseen RESET ALL")


# --- code that is changed while something runs -------------------------------------------------------

def test_code_made_while_the_last_message_runs(clients, place, postgres):
    """Others wait, and a clean rides behind it."""
    place("CREATE FUNCTION late() RETURNS int LANGUAGE sql AS 'SELECT 1'",
          """CREATE FUNCTION sleeps() RETURNS int LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_sleep(3); RETURN late(); END $$""")
    ours = clients()
    first, a, b = (ours.make() for _ in range(3))
    # PostgreSQL's word is as new as can be.
    a.value("SELECT id FROM plain")
    ran(first.query("BEGIN"))
    for wire, sql in ((a, "SELECT sleeps()"), (b, SEES)):
        wire.send(w.query(sql))
        waits(wire)
    ran(first.query("COMMIT"))
    wait_until(lambda: postgres.count("query = 'SELECT sleeps()' AND state = 'active'") == 1, 10,
               "it runs")
    place(f"CREATE OR REPLACE FUNCTION late() RETURNS int LANGUAGE plpgsql AS"
          f" $$ BEGIN {LOAD}; RETURN 1; END $$")
    ran(a.until_ready())
    assert w.rows(ran(b.until_ready())) == [("f",)]



def test_code_of_another_database_asks_nothing_more(clients, place, postgres):
    """An answer holds for a second, whatever runs elsewhere."""
    postgres.sql(RUN, dbname=DATABASE)
    place("GRANT SELECT ON plain TO PUBLIC",
          f"ALTER ROLE {DEFAULT_USER} IN DATABASE unseen SET log_statement = 'all'")
    try:
        ours = clients(servers=2)
        runs, a, b = ours.make(dbname=DATABASE), ours.make(DEFAULT_USER), ours.make(DEFAULT_USER)
        # It is known that this one may make more code.
        is_closed(runs, ours.make(dbname=DATABASE), "SELECT run('SELECT 1')")
        before, began = questions(postgres), time.monotonic()
        for _ in range(100):
            ran(runs.query("SELECT run('SELECT 1')"))
            ran(a.query("SELECT * FROM plain"))
            ran(b.query("SELECT * FROM plain"))
        # Every 750 ms, and once more where one comes late.
        most = (time.monotonic() - began) / 0.75 * 2 + 2
        wait_until(lambda: questions(postgres) > before, 10, "one is in the log")
        assert questions(postgres) - before <= most
    finally:
        postgres.sql("DROP FUNCTION run", dbname=DATABASE)
        place(f"ALTER ROLE {DEFAULT_USER} IN DATABASE unseen RESET ALL")


def questions(postgres):
    return postgres.log().count("pgtandem: unseen")


# --- texts ----------------------------------------------------------------------------------------------

STAT = """
CREATE FUNCTION stat() RETURNS tsvector LANGUAGE plpgsql AS
    $$ BEGIN EXECUTE 'LO' || 'AD ''auto_explain'''; RETURN 'a'; END $$;
CREATE FUNCTION of_text(text) RETURNS int LANGUAGE plpgsql AS
    $$ BEGIN EXECUTE 'LO' || 'AD ''auto_explain'''; RETURN 1; END $$;
"""
# Nothing in these looks like a call.
NO_CALLS = {
    "attribute": "SELECT ('x'::text).of_text",
    "element": "SELECT ('{x}'::text[])[1].of_text",
    "text of an attribute": "SELECT ('SELECT stat()'::text).ts_stat",
    "text of TREAT": "SELECT TREAT('SELECT stat()' AS ts_stat)",
}


@pytest.mark.parametrize("way", NO_CALLS)
def test_calls_that_look_like_none(clients, place, way):
    place(STAT)
    assert closes_for(clients, NO_CALLS[way], SUPER) == "t"


def test_escapes_that_are_read_otherwise_by_then(clients, place):
    """What is sent ahead changes how the next text is read."""
    place(FIXED)
    ours = clients()
    a, b = ours.make(), ours.make()
    pid = a.value(PID)
    a.send(w.query("SET standard_conforming_strings = off"),
           w.query(r"SELECT '\', ', fixed() --'"))
    for _ in range(2):
        ran(a.until_ready())
    assert a.value(SEES) == "t" and a.value(PID) == pid
    assert b.value(SEES) == "f" and b.value(PID) != pid


@pytest.mark.parametrize("form", FORMS)
def test_texts_that_come_in_pieces_cost_nothing(clients, place, form):
    """Only those of more than 1 MB are not read.  A word in them is not LOAD."""
    ours = clients()
    a, b = ours.make(DEFAULT_USER), ours.make(DEFAULT_USER)
    for size in (1_000, 10_000, 100_000, 900_000):
        text = f"SELECT * FROM plain -- {size // 7 * 'upload '}"
        assert not is_closed(a, b, text, FORMS[form]), size
    ran(a.query("BEGIN"))
    before = a.value(PID)
    a.send_split(w.query("SELECT * FROM plain"), 12)
    ran(a.until_ready())
    ran(a.query("COMMIT"))
    assert b.value(PID) == before


def test_code_made_behind_what_loads(clients, place):
    """Whatever a client has run before, what it runs now may change code."""
    place("CREATE FUNCTION late() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    ours = clients(servers=2)
    a, b, c = (ours.make() for _ in range(3))
    ran(a.query("BEGIN"))
    ran(a.query("DO $$ BEGIN PERFORM 'load'; END $$"))
    # PostgreSQL's word is as new as can be.
    ran(b.query("SELECT id FROM plain"))
    assert c.value(SEES) == "f"
    make = ("CREATE OR REPLACE FUNCTION late() RETURNS int LANGUAGE plpgsql AS"
            " $f$ BEGIN LOAD 'auto_explain'; RETURN 1; END $f$")
    ran(a.query(f"DO $do$ BEGIN EXECUTE $x${make}$x$; END $do$"))
    ran(a.query("COMMIT"))
    ran(a.query("BEGIN"))
    ran(b.query("SELECT late()"))
    assert b.value(SEES) == "t"
    assert c.value(SEES) == "f"

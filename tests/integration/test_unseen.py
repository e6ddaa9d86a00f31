# SPDX-License-Identifier: ISC
"""session_state strict behind code that may leave what no view shows and no statement takes
away: the server is closed before anybody else has it; and only where that may be.

LOAD stands for all five kinds (test_state_matrix.py has them).  The transaction port has one
server, in a database of its own: another pid says that it was closed."""
import pytest
from support import wire as w
from support.net import free_port
from support.postgres import DEFAULT_USER, USERS
from support.wait import wait_until
from support.web import Web
from test_poison import AGGREGATES, MAKE, PATHS

pytestmark = pytest.mark.router_only

PLACE = "unseen"
SUPER, PASSWORD = "unseen_super", "unseen secret"
LOAD = "LOAD 'auto_explain'"
SEES = "SELECT current_setting('auto_explain.log_min_duration', true) IS NOT NULL"
PID = "SELECT pg_backend_pid()"

TABLES = """
CREATE TABLE plain (id bigserial PRIMARY KEY, at timestamptz DEFAULT now(), body text);
INSERT INTO plain (body) VALUES ('one'), ('two');
CREATE TABLE child (id int REFERENCES plain ON DELETE CASCADE);
CREATE VIEW plain_view AS SELECT id, upper(body) AS body FROM plain;
GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO PUBLIC;
"""
# None of it could leave anything, whoever calls it.
HARMLESS = """
CREATE FUNCTION harmless(x int) RETURNS int LANGUAGE sql AS 'SELECT x + 1';
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN NEW.at := clock_timestamp(); PERFORM harmless(1); RETURN NEW; END';
CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON plain FOR EACH ROW EXECUTE FUNCTION touch();
"""
RUN = """
CREATE FUNCTION run(sql text) RETURNS int LANGUAGE plpgsql AS
    $$ BEGIN EXECUTE sql; RETURN 1; END $$;
"""
FIXED = """
CREATE FUNCTION fixed() RETURNS int LANGUAGE plpgsql AS
    $$ BEGIN LOAD 'auto_explain'; RETURN 1; END $$;
"""


@pytest.fixture(scope="module")
def role(postgres_cluster):
    if not postgres_cluster.is_running():
        postgres_cluster.start()
    postgres_cluster.sql(f"CREATE ROLE {SUPER} SUPERUSER LOGIN PASSWORD '{PASSWORD}'")
    yield
    postgres_cluster.sql(f"DROP ROLE {SUPER}")


@pytest.fixture
def place(postgres, role):
    """A database in which nobody has left code; what runs statements in it."""
    postgres.sql(f"CREATE DATABASE {PLACE}")
    postgres.sql(TABLES, dbname=PLACE)
    yield lambda *statements: postgres.sql(*statements, dbname=PLACE)
    postgres.terminate(f"datname = '{PLACE}'")
    wait_until(lambda: postgres.count(f"datname = '{PLACE}'") == 0, 10, "all have gone")
    postgres.sql(f"DROP DATABASE {PLACE}")


class Clients:
    """Of a router with one server."""

    def __init__(self, router):
        self.router, self.wires = router, []

    def make(self, user=SUPER, dbname=PLACE):
        endpoint = self.router.transactional
        wire = w.Wire(endpoint.host, endpoint.port, timeout=60)
        self.wires.append(wire)
        wire.login(user, PASSWORD if user == SUPER else USERS[user][0], dbname)
        return wire

    def close(self):
        for wire in self.wires:
            wire.close()


@pytest.fixture
def clients(place, make_router):
    made = []

    def make(servers=1, **options):
        defaults = {"query_wait_notify": "1ms", **options}
        router = make_router({
            "workloads": {"transactional": {"guaranteed_connections": servers,
                                            "max_connections": servers},
                          "session": None},
            "http": {"listen": f"127.0.0.1:{free_port()}"},
            "defaults": defaults}, start=False)
        lines = [f'"{name}" "{secret}"' for name, (secret, _) in USERS.items()]
        router.write_userlist([*lines, f'"{SUPER}" "{PASSWORD}"', '"admin" "admin secret"'])
        router.start()
        made.append(Clients(router))
        return made[-1]
    yield make
    for each in made:
        each.close()


def ran(answer):
    assert w.errors(answer) == [], answer
    return answer


def simple(wire, sql):
    return ran(wire.query(sql))


def extended(wire, sql):
    wire.send(w.one_query(sql))
    return ran(wire.until_ready())


def prepared(wire, sql):
    wire.send(w.parse(sql, "p") + w.sync())
    ran(wire.until_ready())
    wire.send(w.bind(name="p") + w.execute() + w.close("S", "p") + w.sync())
    return ran(wire.until_ready())


FORMS = {"simple": simple, "extended": extended, "prepared": prepared}


def is_closed(a, b, sql, form=simple):
    """a runs it; is the server another one when b comes?"""
    before = a.value(PID)
    form(a, sql)
    is_seen = b.value(SEES) == "t"
    after = b.value(PID)
    assert not (is_seen and before == after)
    return before != after


# --- what must not cost anything ---------------------------------------------------------

ORDINARY = [
    "SELECT * FROM plain", "INSERT INTO plain (body) VALUES ('x')",
    "UPDATE plain_view SET id = id WHERE false", "SELECT run('SELECT 1')", "SELECT harmless(1)",
    "DO $$ BEGIN EXECUTE 'SELECT 1'; END $$", "DELETE FROM plain WHERE id = 2",
    "SELECT query_to_xml('SELECT 1', true, true, '')", "CREATE TABLE mine (x int DEFAULT 1)",
    "BEGIN; SELECT run('SELECT 1'); COMMIT",
]


def test_ordinary_role_costs_nothing(clients, place):
    place(HARMLESS, RUN, "GRANT CREATE ON SCHEMA public TO PUBLIC")
    ours = clients()
    a, b = ours.make(DEFAULT_USER), ours.make(DEFAULT_USER)
    for sql in ORDINARY:
        for form in FORMS if ";" not in sql and "TABLE" not in sql else ["simple"]:
            assert not is_closed(a, b, sql, FORMS[form]), (sql, form)
    assert "state-unseen" not in ours.router.log()


def test_superuser_without_functions_that_may(clients, place):
    ours = clients()
    a, b = ours.make(), ours.make()
    data = ["SELECT * FROM plain", "INSERT INTO plain (body) VALUES ('x')",
            "SELECT body FROM plain_view", "SELECT pg_sleep(0), gen_random_uuid()",
            "DELETE FROM plain WHERE id = 2"]
    for sql in data:
        for form in FORMS.values():
            assert not is_closed(a, b, sql, form), sql
    # Nor with functions that could not, however they come to run.
    place(HARMLESS)
    for sql in [*data, "SELECT harmless(1)"]:
        assert not is_closed(a, b, sql), sql
    # One that could, and that nothing but its name brings along.
    place(RUN)
    router_knows(ours, a, b)
    for sql in data[:3]:
        assert not is_closed(a, b, sql), sql
    assert is_closed(a, b, "SELECT run('SELECT 1')")


def router_knows(ours, a, b, sql="SELECT run('SELECT 1')"):
    """An answer of PostgreSQL's is a second old at most: the next is another one."""
    wait_until(lambda: is_closed(a, b, sql), 10, "what was made is known")


def count(ours):
    port = int(ours.router.config["http"]["listen"].rsplit(":", 1)[1])
    metrics = Web(port).metrics()
    return metrics.value("pgtandem_unseen_closes_total", workload="transactional")


# --- what must never be seen ----------------------------------------------------------------

# What makes it possible, and what then does it.
WAYS = {
    "function": (RUN, f"SELECT run($${LOAD}$$)"),
    "function with its own text": (FIXED, "SELECT fixed()"),
    "procedure": ("CREATE PROCEDURE p(sql text) LANGUAGE plpgsql AS $$ BEGIN EXECUTE sql; END $$",
                  f"CALL p($${LOAD}$$)"),
    "DO": ("", f"DO $do$ BEGIN {LOAD}; END $do$"),
    "DO that nobody could read": ("", "DO $do$ BEGIN EXECUTE 'LO' || 'AD ''auto_explain'''; END $do$"),
    "view": (FIXED + "CREATE VIEW v AS SELECT fixed()", "SELECT * FROM v"),
    "default": (FIXED + "ALTER TABLE plain ADD f int DEFAULT NULL;"
                "ALTER TABLE plain ALTER f SET DEFAULT fixed()", "INSERT INTO plain (body) VALUES ('x')"),
    "constraint": (FIXED + "ALTER TABLE plain ADD CHECK (fixed() = 1) NOT VALID",
                   "INSERT INTO plain (body) VALUES ('x')"),
    "operator": ("CREATE FUNCTION runs(text, int) RETURNS int LANGUAGE plpgsql AS"
                 " $$ BEGIN EXECUTE $1; RETURN 1; END $$;"
                 "CREATE OPERATOR #> (LEFTARG = text, RIGHTARG = int, FUNCTION = runs)",
                 f"SELECT $${LOAD}$$::text #> 1"),
    "function behind a trigger": (
        FIXED + "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM FIXED(); RETURN NEW; END';"
        "CREATE TRIGGER touch BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION touch()",
        "INSERT INTO plain (body) VALUES ('x')"),
    "attribute notation": (
        "CREATE FUNCTION loads(plain) RETURNS int LANGUAGE plpgsql AS"
        f" $$ BEGIN {LOAD}; RETURN 1; END $$", "SELECT plain.loads FROM plain"),
    "a function that hides another": (
        "CREATE FUNCTION upper(int) RETURNS text LANGUAGE plpgsql AS"
        f" $$ BEGIN {LOAD}; RETURN 1; END $$", "SELECT upper(1)"),
    "a body that is not text": (
        FIXED + "CREATE FUNCTION begins() RETURNS int BEGIN ATOMIC SELECT fixed(); END;"
        "CREATE VIEW v AS SELECT begins() AS x", "SELECT x FROM v"),
    "a query as text": (FIXED, "SELECT query_to_xml('SELECT fixed()', true, true, '')"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("way", WAYS)
def test_superuser_with_code(clients, place, way, form):
    make, sql = WAYS[way]
    if make:
        place(make)
    ours = clients()
    a, b = ours.make(), ours.make()
    assert is_closed(a, b, sql, FORMS[form])
    # Once more, now that the router knows.
    assert is_closed(b, a, sql, FORMS[form])
    assert count(ours) == 2
    assert ours.router.log().count("state-unseen") == 1
    assert "state-unseen" in ours.router.log() and SUPER in ours.router.log()


def test_same_client_keeps_the_server(clients, place):
    place(RUN)
    ours = clients()
    a, b = ours.make(), ours.make()
    pid = a.value(PID)
    for _ in range(3):
        a.query(f"SELECT run($${LOAD}$$)")
        assert a.value(SEES) == "t" and a.value(PID) == pid
    assert b.value(SEES) == "f"


@pytest.mark.parametrize("sql", [f"SELECT run($${LOAD}$$)", f"INSERT INTO runs VALUES ($${LOAD}$$)"],
                         ids=["function", "trigger"])
@pytest.mark.parametrize("in_block", [False, True])
@pytest.mark.parametrize("is_known", [False, True])
def test_somebody_waits(clients, place, sql, in_block, is_known):
    """Where a clean could ride behind the message that ends the lease."""
    place(RUN, """
        CREATE TABLE runs (sql text);
        CREATE FUNCTION run_it() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN EXECUTE NEW.sql; RETURN NULL; END $$;
        CREATE TRIGGER run_it BEFORE INSERT ON runs FOR EACH ROW EXECUTE FUNCTION run_it()""")
    ours = clients()
    first, a, *others = (ours.make() for _ in range(4))
    if is_known:
        a.query(sql)
        assert first.value(SEES) == "f"
    ran(first.query("BEGIN"))
    if in_block:
        # It has the server, and the others wait.
        ran(first.query(sql))
        waiting, leader, end = [a, *others], first, "COMMIT"
    else:
        a.send(w.query(sql))
        waits(a)
        waiting, leader, end = others, a, None
    for wire in waiting:
        wire.send(w.query(SEES))
        waits(wire)
    ran(first.query("COMMIT"))
    if end is None:
        ran(leader.until_ready())
    for wire in waiting:
        assert w.rows(ran(wire.until_ready())) == [("f",)]


def waits(client):
    while client.receive().type != "N":
        pass


def test_all_servers_are_left(clients, place):
    """Whoever comes next goes through them all, and then gets one."""
    place(RUN)
    ours = clients(servers=6)
    leaders = [ours.make() for _ in range(6)]
    for wire in leaders:
        ran(wire.query("BEGIN"))
    for wire in leaders:
        ran(wire.query(f"SELECT run($${LOAD}$$)"))
    for wire in leaders:
        ran(wire.query("COMMIT"))
    for wire in [*(ours.make() for _ in range(6)), *leaders]:
        ran(wire.query("BEGIN"))
        assert wire.value(SEES) == "f"
        ran(wire.query("COMMIT"))


def test_security_definer(clients, place):
    """What an ordinary role may not do itself."""
    place(RUN + "ALTER FUNCTION run SECURITY DEFINER", HARMLESS)
    ours = clients()
    a, b = ours.make(DEFAULT_USER), ours.make(DEFAULT_USER)
    assert is_closed(a, b, f"SELECT run($${LOAD}$$)")
    # Nothing brings it along unseen.
    assert not is_closed(a, b, "SELECT * FROM plain")
    assert not is_closed(a, b, "INSERT INTO plain (body) VALUES ('x')")


def test_security_definer_by_trigger(clients, place):
    place(FIXED, """
        CREATE FUNCTION calls() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
            $$ BEGIN PERFORM fixed(); RETURN NEW; END $$;
        CREATE TRIGGER calls BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION calls()""")
    ours = clients()
    a, b = ours.make(DEFAULT_USER), ours.make(DEFAULT_USER)
    assert is_closed(a, b, "INSERT INTO plain (body) VALUES ('x')")


def test_trigger_that_a_foreign_key_fires(clients, place):
    """What ON DELETE CASCADE does it does as the table's owner, a superuser here."""
    place("INSERT INTO child VALUES (1)", """
        CREATE FUNCTION calls() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN EXECUTE 'LO' || 'AD ''auto_explain'''; RETURN OLD; END $$;
        CREATE TRIGGER calls BEFORE DELETE ON child FOR EACH ROW EXECUTE FUNCTION calls()""")
    ours = clients()
    a, b = ours.make(DEFAULT_USER), ours.make(DEFAULT_USER)
    before = a.value(PID)
    ran(a.query("DELETE FROM plain WHERE id = 1"))
    assert a.value(SEES) == "t"
    assert b.value(SEES) == "f" and b.value(PID) != before


def test_ordinary_role_with_dblink(clients, place):
    place("CREATE EXTENSION dblink", RUN)
    ours = clients()
    a, b = ours.make(DEFAULT_USER), ours.make(DEFAULT_USER)
    assert is_closed(a, b, "SELECT run('SELECT 1')")
    assert not is_closed(a, b, "SELECT * FROM plain")


def test_ordinary_role_with_dblink_and_without_code(clients, place):
    place("CREATE EXTENSION dblink", HARMLESS)
    ours = clients()
    a, b = ours.make(DEFAULT_USER), ours.make(DEFAULT_USER)
    for sql in ["SELECT pg_sleep(0)", "SELECT harmless(1)", "INSERT INTO plain (body) VALUES ('x')"]:
        assert not is_closed(a, b, sql), sql
    place("CREATE VIEW connects AS SELECT dblink_connect_u('x')")
    router_knows(ours, a, b, "SELECT * FROM plain")


@pytest.mark.parametrize("right", [
    f"ALTER ROLE {DEFAULT_USER} REPLICATION",
    f"GRANT {SUPER} TO {DEFAULT_USER}",
    f"GRANT EXECUTE ON FUNCTION pg_backup_start TO {DEFAULT_USER}",
    "GRANT EXECUTE ON FUNCTION pg_replication_origin_session_setup TO PUBLIC"])
def test_rights_that_count(clients, place, right):
    undo = right.replace("GRANT", "REVOKE").replace(" TO ", " FROM ") if "GRANT" in right else \
        right.replace("REPLICATION", "NOREPLICATION")
    place(RUN, right)
    try:
        ours = clients()
        a, b = ours.make(DEFAULT_USER), ours.make(DEFAULT_USER)
        assert is_closed(a, b, "SELECT run('SELECT 1')")
        assert not is_closed(a, b, "SELECT * FROM plain")
    finally:
        place(undo)


def test_name_of_a_function_forges_no_statement(clients, place):
    """It stands in the answer to what code there is, beside what says that a statement was
    replaced."""
    name = "pgtandem: not what was prepared"
    place(FIXED.replace("fixed()", f'"{name}"()'))
    of = clients()
    a, b = of.make(), of.make()
    assert not is_closed(a, b, "SELECT * FROM plain", prepared)
    assert is_closed(a, b, f'SELECT "{name}"()')
    log = of.router.log()
    assert name in next(line for line in log.splitlines() if " state-unseen " in line)
    assert "statement-forged" not in log


def test_load_in_a_body_of_an_ordinary_role(clients, place):
    """It may load what stands in $libdir/plugins."""
    place("CREATE FUNCTION loads() RETURNS int LANGUAGE plpgsql AS"
          " $$ BEGIN LOAD '$libdir/plugins/none'; RETURN 1; EXCEPTION WHEN OTHERS THEN"
          " RETURN 0; END $$")
    ours = clients()
    a, b = ours.make(DEFAULT_USER), ours.make(DEFAULT_USER)
    assert is_closed(a, b, "SELECT loads()")
    assert is_closed(a, b, "DO $$ BEGIN LOAD '$libdir/plugins/none';"
                     " EXCEPTION WHEN OTHERS THEN NULL; END $$")
    assert not is_closed(a, b, "SELECT * FROM plain")


@pytest.mark.parametrize("form", ["simple", "extended"])
@pytest.mark.parametrize("long", ["", 2_000_000 * "x"], ids=["short", "long"])
def test_load_where_names_are_passed_on(clients, place, form, long):
    """Nobody else reads the texts."""
    ours = clients(max_prepared_statements=0)
    a, b = ours.make(DEFAULT_USER), ours.make(DEFAULT_USER)
    assert is_closed(a, b, f"DO $$ BEGIN /*{long}*/ LOAD '$libdir/plugins/none';"
                     " EXCEPTION WHEN OTHERS THEN NULL; END $$", FORMS[form])
    assert not is_closed(a, b, "DO $$ BEGIN EXECUTE 'SELECT 1'; END $$", FORMS[form])
    assert not is_closed(a, b, "SELECT * FROM plain", FORMS[form])


# --- code that comes and goes ------------------------------------------------------------------

@pytest.mark.parametrize("make", [RUN, f"DO $do$ BEGIN EXECUTE $r${RUN}$r$; END $do$"],
                         ids=["CREATE", "DO"])
def test_code_made_through_the_router_counts_at_once(clients, place, make):
    ours = clients()
    a, b, other = (ours.make() for _ in range(3))
    # PostgreSQL's word is as new as can be.
    a.query("SELECT * FROM plain")
    b.value(PID)
    a.query(make)
    ran(other.query("SELECT * FROM plain"))
    assert is_closed(b, a, f"SELECT run($${LOAD}$$)")


def test_code_that_is_gone_when_it_is_asked_for(clients, place):
    ours = clients()
    a, b = ours.make(), ours.make()
    pid = a.value(PID)
    a.query(FIXED)
    a.query("SELECT fixed()")
    a.query("DROP FUNCTION fixed")
    assert a.value(PID) == pid
    assert b.value(SEES) == "f" and b.value(PID) != pid


def test_code_made_past_the_router_counts_after_a_second(clients, place):
    ours = clients()
    a, b = ours.make(), ours.make()
    assert not is_closed(a, b, "SELECT * FROM plain")
    place(RUN)
    router_knows(ours, a, b)
    assert is_closed(a, b, f"SELECT run($${LOAD}$$)")


# --- who does not want it ------------------------------------------------------------------------

@pytest.mark.parametrize("options", [{"session_state_unseen": "keep"},
                                     {"session_state": "tracked"}, {"session_state": "off"}],
                         ids=["keep", "tracked", "off"])
def test_options(clients, place, options):
    place(RUN)
    ours = clients(**options)
    a, b = ours.make(), ours.make()
    before = a.value(PID)
    for form in FORMS.values():
        form(a, f"SELECT run($${LOAD}$$)")
        assert b.value(PID) == before
    assert count(ours) == 0 and "state-unseen" not in ours.router.log()


def test_option_of_a_user(clients, place):
    place(RUN)
    ours = clients()
    a, b = ours.make(), ours.make()
    assert is_closed(a, b, "SELECT run('SELECT 1')")
    ours.router.reload({"users": {SUPER: {"session_state_unseen": "keep"}}})
    wait_until(lambda: not is_closed(a, b, "SELECT run('SELECT 1')"), 10, "the option holds")


# --- when PostgreSQL cannot be asked ---------------------------------------------------------------

def test_no_answer_closes(clients, place):
    """Nobody is told, and nothing is seen."""
    place(RUN, "REVOKE SELECT ON pg_catalog.pg_rewrite FROM PUBLIC")
    ours = clients()
    a, b = ours.make(DEFAULT_USER), ours.make(DEFAULT_USER)
    assert is_closed(a, b, "SELECT run('SELECT 1')")
    assert is_closed(b, a, "SELECT * FROM plain")
    assert "unseen-unknown" in ours.router.log()


# --- nobody puts words into its mouth --------------------------------------------------------------

@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_poison(clients, place, path):
    place(MAKE, AGGREGATES, RUN)
    place(f"ALTER ROLE {SUPER} IN DATABASE {PLACE} SET search_path = {path}, public")
    try:
        hits = "SELECT last_value - (NOT is_called)::int FROM poison.hits"
        ours = clients()
        a, b = ours.make(), ours.make()
        for _ in range(2):
            a.query("DO $$ BEGIN END $$")
            b.query("DO $$ BEGIN END $$")
        assert count(ours) >= 2
        assert place(hits)[0][0] == 0
    finally:
        place("DROP ROLE poisoned")

# SPDX-License-Identifier: ISC
"""Session state on the transaction port: settings belong to their client, whichever server
it gets, and no other client ever sees any of it."""
import contextlib
import random

import pytest
from support import wire as w
from support.postgres import DATABASE, DEFAULT_USER

pytestmark = pytest.mark.router_only

ONE = {"workloads": {"transactional": {"guaranteed_connections": 1, "max_connections": 1,
                                       "max_pinned": 1},
                     "session": {"guaranteed_connections": 1, "max_connections": 1}}}
STATES = ("strict", "tracked")

FUNCTION = """
CREATE OR REPLACE FUNCTION set_out_of_sight(text, text) RETURNS text LANGUAGE plpgsql AS
$$ BEGIN PERFORM set_config($1, $2, false); RETURN 'done'; END $$
"""


def state(router, mode, **more):
    return {**ONE, "defaults": {"session_state": mode, **more}}


@pytest.fixture(params=STATES)
def mode(request):
    return request.param


@pytest.fixture
def one(make_router, mode):
    """A router whose transaction port has a single server."""
    return make_router(state(None, mode))


def show(connection, name="app.tenant_id"):
    return connection.execute("SELECT current_setting(%s, true)", [name]).fetchone()[0] or None


@contextlib.contextmanager
def two(endpoint):
    with endpoint.connect() as a, endpoint.connect() as b:
        yield a, b


def test_set_is_kept_and_not_seen(one):
    with two(one.transactional) as (a, b):
        a.execute("SET app.tenant_id = '42'")
        assert show(b) is None
        assert show(a) == "42"
        b.execute("SET app.tenant_id = '43'")
        assert show(a) == "42"
        assert show(b) == "43"
        a.execute("RESET app.tenant_id")
        assert show(a) is None
        assert show(b) == "43"


@pytest.mark.parametrize("statement, name, value", [
    ("SET work_mem = '3MB'", "work_mem", "3MB"),
    ("SET SESSION work_mem TO '3072kB'", "work_mem", "3MB"),
    ("SET TIME ZONE 'Asia/Tokyo'", "TimeZone", "Asia/Tokyo"),
    ("SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE", "TimeZone", "<-08>+08"),
    ("SET search_path = a, \"B c\", 'd'", "search_path", 'a, "B c", d'),
    ("SET DateStyle TO German", "DateStyle", "German, DMY"),
    ("/* x */ sEt  /* y */ app.tenant_id -- z\n = 'it''s'", "app.tenant_id", "it's"),
    ("SET app.tenant_id = E'a\\\\b\\'c'", "app.tenant_id", "a\\b'c"),
    ("SELECT set_config('app.tenant_id', '7', false)", "app.tenant_id", "7"),
    ("SELECT pg_catalog.set_config($$app.tenant_id$$, '8', false), 1", "app.tenant_id", "8"),
    ("SELECT 1; SET app.tenant_id = '9'; SELECT 2", "app.tenant_id", "9"),
    ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "default_transaction_read_only",
     "on"),
    ("SET NAMES 'LATIN1'", "client_encoding", "LATIN1"),
    ("SET application_name = 'somebody'", "application_name", "somebody"),
    ("SET transaction_log.id = '7'", "transaction_log.id", "7"),
])
def test_every_form_of_set(one, statement, name, value):
    with one.transactional.wire() as a, one.transactional.wire() as b:
        before = b.value(f"SELECT current_setting('{name}', true)")
        a.query(statement)
        assert b.value(f"SELECT current_setting('{name}', true)") in (before, "")
        assert a.value(f"SELECT current_setting('{name}')") == value
        assert b.value(f"SELECT current_setting('{name}', true)") in (before, "")
        assert a.value(f"SELECT current_setting('{name}')") == value


def test_extended_protocol_with_parameters(one):
    with two(one.transactional) as (a, b):
        a.execute("SELECT set_config('app.tenant_id', %s, false)", ["42"])
        assert show(b) is None
        assert show(a) == "42"


def test_prepared_statement_that_sets(one):
    with two(one.transactional) as (a, b):
        for value in ("1", "2", "3"):
            a.execute("SELECT set_config('app.tenant_id', %s, false)", [value], prepare=True)
            assert show(b) is None
            assert show(a) == value


def test_rollback_undoes_and_commit_keeps(one):
    with two(one.transactional) as (a, b):
        a.execute("SET app.tenant_id = '1'")
        a.execute("BEGIN; SET app.tenant_id = '2'; ROLLBACK")
        assert show(b) is None
        assert show(a) == "1"
        a.execute("BEGIN; SET app.tenant_id = '3'; COMMIT")
        assert show(b) is None
        assert show(a) == "3"
        a.execute("BEGIN")
        a.execute("SET app.tenant_id = '4'")
        a.execute("SAVEPOINT s")
        a.execute("SET app.tenant_id = '5'")
        a.execute("ROLLBACK TO s")
        a.execute("COMMIT")
        assert show(b) is None
        assert show(a) == "4"
        a.execute("BEGIN; RESET app.tenant_id; ROLLBACK")
        assert show(b) is None
        assert show(a) == "4"


def test_set_local_is_not_kept(one):
    with two(one.transactional) as (a, b):
        a.execute("SET app.tenant_id = '1'")
        a.execute("BEGIN; SET LOCAL app.tenant_id = '2'; COMMIT")
        a.execute("SELECT set_config('app.tenant_id', '3', true)")
        assert show(b) is None
        assert show(a) == "1"


def test_failed_statement_changes_nothing(one):
    with one.transactional.wire() as a:
        a.query("SET app.tenant_id = '1'")
        a.query("SET app.tenant_id = '2'; SELECT 1/0")
        assert a.value("SHOW app.tenant_id") == "1"


@pytest.mark.parametrize("reset", ["RESET ALL", "DISCARD ALL", "RESET DateStyle",
                                   "SET DateStyle TO DEFAULT"])
def test_reset_goes_back_to_the_startup_values(one, reset):
    with one.transactional.wire(DateStyle="German, DMY") as a, one.transactional.wire() as b:
        a.query("SET DateStyle = 'ISO, YMD'")
        a.query("SET app.tenant_id = '1'")
        assert b.value("SHOW DateStyle") == "ISO, MDY"
        a.query(reset)
        assert b.value("SHOW DateStyle") == "ISO, MDY"
        assert a.value("SHOW DateStyle") == "German, DMY"
        expected = "" if "ALL" in reset else "1"
        assert (a.value("SELECT current_setting('app.tenant_id', true)") or "") == expected


def test_role_and_session_authorization(make_router, postgres, mode):
    postgres.sql("DROP ROLE IF EXISTS other_role", "CREATE ROLE other_role",
                 f"GRANT other_role TO {DEFAULT_USER}")
    router = make_router(state(None, mode))
    try:
        with router.transactional.wire() as a, router.transactional.wire() as b:
            me = a.value("SELECT current_user")
            a.query("SET ROLE other_role")
            assert b.value("SELECT current_user") == me
            assert a.value("SELECT current_user") == "other_role"
            a.query("RESET ROLE")
            assert b.value("SELECT current_user") == me
            assert a.value("SELECT current_user") == me
            a.query("SET SESSION AUTHORIZATION DEFAULT")
            assert a.value("SELECT session_user") == me
    finally:
        router.stop()
        postgres.sql("DROP ROLE other_role")


# --- out of sight: never seen by another client -----------------------------------------

OUT_OF_SIGHT = [
    "SELECT set_out_of_sight('app.tenant_id', '42')",
    "DO $$ BEGIN PERFORM set_config('app.tenant_id', '42', false); END $$",
    "DO $$ BEGIN SET app.tenant_id = '42'; END $$",
    "SELECT v.f FROM (SELECT set_out_of_sight('app.tenant_id', '42') AS f) v",
]


@pytest.mark.parametrize("statement", OUT_OF_SIGHT)
def test_strict_never_shows_what_was_set_out_of_sight(make_router, postgres, statement):
    postgres.sql(FUNCTION, dbname=DATABASE)
    router = make_router(state(None, "strict"))
    with two(router.transactional) as (a, b):
        a.execute(statement)
        assert show(b) is None
        a.execute(statement)
        with router.session.connect() as c:
            assert show(c) is None


LEFT_BEHIND = {
    "temporary table": ("CREATE TEMP TABLE left_behind (x int)",
                        "SELECT count(*) FROM pg_class WHERE relname = 'left_behind'", 0),
    "advisory lock": ("SELECT pg_advisory_lock(4711)",
                      "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
                      " AND pid = pg_backend_pid()", 0),
    "channel": ("LISTEN somewhere", "SELECT count(*) FROM pg_listening_channels()", 0),
    "cursor": ("DECLARE c CURSOR WITH HOLD FOR SELECT 1",
               "SELECT count(*) FROM pg_cursors WHERE name = 'c'", 0),
}


@pytest.mark.parametrize("what", LEFT_BEHIND)
def test_strict_leaves_nothing_behind(make_router, what):
    router = make_router(state(None, "strict"))
    make, count, expected = LEFT_BEHIND[what]
    with router.transactional.connect() as b:
        for other in (router.transactional, router.session):
            with router.transactional.connect() as a:
                a.execute(make)
            with other.connect() as c:
                assert c.execute(count).fetchone()[0] == expected
        assert b.execute(count).fetchone()[0] == expected


@pytest.mark.parametrize("before, after", [("strict", "tracked"), ("off", "tracked"),
                                           ("off", "strict"), ("tracked", "strict")])
def test_workloads_of_different_kinds_share_servers(make_router, postgres, before, after):
    """What one does not look after is not found by those of the other."""
    postgres.sql(FUNCTION, dbname=DATABASE)
    port = {"guaranteed_connections": 0, "max_connections": 1, "pool_mode": "transaction"}
    router = make_router({
        "hosts": {"main": {"connection_budget": 1}},
        "workloads": {"transactional": {**port, "session_state": before, "max_pinned": 0},
                      "session": {**port, "session_state": after, "max_pinned": 0}}})
    seen = "SELECT coalesce(current_setting('app.tenant_id', true), '')"
    with router.transactional.wire() as a, router.session.wire() as b:
        assert b.value(seen) == ""
        texts = [OUT_OF_SIGHT[0]] + (
            ["SET app.tenant_id = '42'"] + [make for make, *_ in LEFT_BEHIND.values()]
            if before == "off" else [])
        for text in texts:
            assert not w.errors(a.query(text))
        assert b.value(seen) == ""
        for _, count, expected in LEFT_BEHIND.values():
            assert b.value(count) == str(expected)


def test_what_no_statement_takes_away_ends_the_server(one):
    with one.transactional.connect() as b:
        with one.transactional.connect() as a:
            pid = a.execute("SELECT pg_backend_pid()").fetchone()[0]
            a.execute("SELECT setseed(0.5)")
        assert b.execute("SELECT pg_backend_pid()").fetchone()[0] != pid


def test_statement_timeout_left_behind_does_not_hit_the_next_client(make_router, postgres):
    postgres.sql(FUNCTION, dbname=DATABASE)
    router = make_router(state(None, "strict"))
    with two(router.transactional) as (a, b):
        for _ in range(20):
            a.execute("SELECT set_out_of_sight('statement_timeout', '1ms')")
            assert b.execute("SELECT 1").fetchone() == (1,)


def test_off_is_what_pgbouncer_does(make_router):
    router = make_router(state(None, "off"))
    with two(router.transactional) as (a, b):
        a.execute("SET app.tenant_id = '42'")
        assert show(b) == "42"


# --- many at once ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_random_settings_of_many_clients(make_router, mode, seed):
    """Each client's settings against a model of its own."""
    rng = random.Random(seed)
    servers = 1 + seed
    router = make_router({"workloads": {"transactional": {
        "guaranteed_connections": servers, "max_connections": servers}},
        "defaults": {"session_state": mode}})
    names = ["app.a", "app.b", "work_mem", "DateStyle"]
    values = {"app.a": ["1", "2"], "app.b": ["x", "y'z"], "work_mem": ["1MB", "2MB"],
              "DateStyle": ["ISO, DMY", "German, DMY"]}
    print("seed", seed)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(router.transactional.wire()) for _ in range(6)]
        start = {n: clients[0].value(f"SELECT current_setting('{n}', true)") or "" for n in names}
        model = [dict(start) for _ in clients]
        for _ in range(250):
            i = rng.randrange(len(clients))
            name = rng.choice(names)
            value = rng.choice(values[name]).replace("'", "''")
            what = rng.choice(["set", "reset", "rollback", "local", "all", "savepoint", "look"])
            after = dict(model[i])
            if what == "set":
                clients[i].query(f"SET {name} = '{value}'")
                after[name] = value.replace("''", "'")
            elif what == "reset":
                clients[i].query(f"RESET {name}")
                after[name] = start[name]
            elif what == "rollback":
                clients[i].query(f"BEGIN; SET {name} = '{value}'; ROLLBACK")
            elif what == "local":
                clients[i].query(f"BEGIN; SET LOCAL {name} = '{value}'; COMMIT")
            elif what == "all":
                clients[i].query("RESET ALL")
                after = dict(start)
            elif what == "savepoint":
                clients[i].query("BEGIN")
                clients[i].query(f"SET {name} = '{value}'")
                clients[i].query(f"SAVEPOINT s; RESET {name}; ROLLBACK TO s")
                clients[i].query("COMMIT")
                after[name] = value.replace("''", "'")
            model[i] = after
            k = rng.randrange(len(clients))
            for n in names:
                got = clients[k].value(f"SELECT current_setting('{n}', true)") or ""
                assert got == model[k][n], (what, n)


@pytest.mark.parametrize("name", ["", "named"])
def test_set_config_with_parameters_for_names(one, name):
    """The name is in the Bind; what is only described does not run."""
    sql = "SELECT set_config($1, $2, $3::bool)"
    with one.transactional.wire() as a, one.transactional.wire() as b:
        a.send(w.parse(sql, name), w.describe("S", name), w.sync())
        assert w.types(a.until_ready()) == "1tTZ"
        for n in range(3):
            a.send(w.bind((b"app.tenant_id", n, "f"), name), w.execute(), w.sync())
            assert w.rows(a.until_ready()) == [(str(n),)]
            assert not b.value("SELECT current_setting('app.tenant_id', true)")
            a.send(w.parse("SELECT current_setting('app.tenant_id')", "look"), w.bind((), "look"),
                   w.execute(), w.close("S", "look"), w.sync())
            assert w.rows(a.until_ready()) == [(str(n),)]
        a.send(w.parse(sql), w.bind(("work_mem", "9MB", "t")), w.execute(), w.bind((None, "1", "f")),
               w.execute(), w.sync())
        a.until_ready()
        assert a.value("SHOW work_mem") == b.value("SHOW work_mem")


@pytest.mark.parametrize("how", ["simple", "extended"])
def test_state_is_kept_where_statements_are_not(make_router, mode, how):
    router = make_router(state(None, mode, max_prepared_statements=0))
    with router.transactional.wire() as a, router.transactional.wire() as b:
        for n in range(3):
            sql = f"SET app.tenant_id = '{n}{'x' * 9000}'"
            data = w.query(sql) if how == "simple" else (
                w.parse(sql) + w.bind() + w.execute() + w.sync())
            a.send_split(data, 4000)
            assert not w.errors(a.until_ready())
            assert not b.value("SELECT current_setting('app.tenant_id', true)")
            assert a.value("SELECT length(current_setting('app.tenant_id'))") == "9001"
            assert a.value("SELECT left(current_setting('app.tenant_id'), 1)") == str(n)


# One server for both ports, neither of which has a floor.
SHARED = {"hosts": {"main": {"connection_budget": 1}},
          "workloads": {"transactional": {"guaranteed_connections": 0, "max_connections": 1},
                        "session": {"guaranteed_connections": 0, "max_connections": 1}},
          "defaults": {"query_wait_notify": "1ms"}}
PREPARED_SQL = w.query("PREPARE foo AS SELECT 'secret of a'")
PREPARED_MESSAGE = w.parse("SELECT 'secret of a'", "foo") + w.sync()


@pytest.mark.parametrize("prepared", [PREPARED_SQL, PREPARED_MESSAGE], ids=["SQL", "message"])
@pytest.mark.parametrize("mode", ("strict", "tracked", "off"))
def test_a_session_finds_no_statements_of_others(make_router, postgres, prepared, mode):
    """A server that is handed over while somebody waits on the session port."""
    router = make_router({**SHARED, "defaults": {**SHARED["defaults"], "session_state": mode}})
    with router.transactional.wire() as a, router.session.wire() as s:
        a.query("BEGIN")
        pid = a.value("SELECT pg_backend_pid()")
        a.send(prepared)
        a.until_ready()
        s.send(w.query("SELECT pg_backend_pid(), (SELECT count(*) FROM pg_prepared_statements)"))
        while s.receive().type != "N":
            pass
        a.query("COMMIT")
        assert w.rows(s.until_ready()) == [(pid, "0")]
        assert w.errors(s.query("EXECUTE foo")) == ["26000"]
        s.send(w.parse("SELECT 'mine'", "foo"), w.bind(name="foo"), w.execute(), w.sync())
        assert w.rows(s.until_ready()) == [("mine",)]
        s.quit()
    with router.transactional.wire() as again:
        assert again.value("SELECT 1") == "1"


def function_oid(postgres, signature):
    return postgres.sql(f"SELECT '{signature}'::regprocedure::oid", dbname=DATABASE)[0][0]


def test_a_function_called_by_its_number_leaves_nothing(make_router, postgres, mode):
    """FunctionCall: set_config() out of sight is not seen by others, a session lock pins."""
    router = make_router({**state(None, mode), "hosts": {"main": {"connection_budget": 1}},
                          "workloads": {**ONE["workloads"], "session": {
                              "guaranteed_connections": 0, "max_connections": 1}}})
    set_config = function_oid(postgres, "set_config(text,text,boolean)")
    lock = function_oid(postgres, "pg_advisory_lock(bigint)")
    with router.transactional.wire() as a, router.transactional.wire() as b:
        a.send(w.function_call(set_config, b"app.tenant_id", b"evil", b"\0"))
        assert w.errors(a.until_ready()) == []
        assert b.value("SELECT coalesce(current_setting('app.tenant_id', true), '')") == ""
        a.send(w.function_call(lock, (99).to_bytes(8, "big")))
        assert w.errors(a.until_ready()) == []
        assert a.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == "1"
        assert [row["reasons"] for row in router.show("pins")] == ["advisory_locks"]
        assert a.value("SELECT pg_advisory_unlock_all()") == ""
        assert b.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == "0"


def test_a_seed_at_startup_is_none(one, postgres):
    """PostgreSQL takes no notice of it, so that random() is not seeded for whom comes next."""
    drawn = set()
    for _ in range(3):
        with one.transactional.wire(options="-c seed=0.5") as a, one.transactional.wire() as b:
            assert a.value("SELECT 1") == "1"
            drawn.add(b.value("SELECT random()"))
            drawn.add(a.value("SELECT random()"))
    assert len(drawn) == 6


READS_CODE = """
CREATE FUNCTION sets_as_it_is_read() RETURNS int LANGUAGE plpgsql AS
    $$ BEGIN PERFORM set_config('app.tenant_id', 'secret of a', false); RETURN 1; END $$;
CREATE DOMAIN set_as_it_is_read AS int CHECK (sets_as_it_is_read() = 1)
"""


@pytest.mark.parametrize("named", [True, False], ids=["named", "unnamed"])
def test_describe_of_a_statement_that_the_server_lacks(make_router, postgres, named):
    """It is sent there, and PostgreSQL runs code as it reads a constant."""
    postgres.sql(READS_CODE, dbname=DATABASE)
    try:
        router = make_router(state(None, "strict", max_prepared_statements=1))
        with router.transactional.wire() as a, router.transactional.wire() as b:
            name = "first" if named else ""
            a.send(w.parse("SELECT '{1}'::set_as_it_is_read[]", name), w.sync())
            assert w.errors(a.until_ready()) == []
            # The one that is used last stays there alone.
            b.send(w.parse("SELECT 2", "second"), w.bind(name="second"), w.execute(), w.sync())
            assert w.errors(b.until_ready()) == []
            a.send(w.describe("S", name), w.sync())
            assert w.types(a.until_ready()) == "tTZ"
            assert b.value("SELECT coalesce(current_setting('app.tenant_id', true), '')") == ""
    finally:
        postgres.sql("DROP DOMAIN set_as_it_is_read", "DROP FUNCTION sets_as_it_is_read",
                     dbname=DATABASE)


def test_mode_that_is_reloaded_within_transactions(make_router):
    """Whoever asks for a server under strict sees nothing of those who began before."""
    router = make_router(state(None, "strict"))
    with router.transactional.wire() as a:
        for before, mode in (("strict", "off"), ("off", "tracked"), ("tracked", "strict"),
                             ("strict", "off"), ("off", "strict")):
            a.query("BEGIN")
            a.query(f"SET app.tenant_id = '{before}'")
            a.query("SET work_mem = '4321kB'")
            router.reload({"defaults": {"session_state": mode}})
            assert a.value("SELECT current_setting('app.tenant_id')") == before
            a.query("COMMIT")
            if mode != "strict":
                continue
            with router.transactional.wire() as b:
                assert b.value("SELECT coalesce(current_setting('app.tenant_id', true), '')") == ""
                assert b.value("SHOW work_mem") == "4MB"

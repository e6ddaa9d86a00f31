# SPDX-License-Identifier: ISC
"""idle_session_reclaim: a session that holds nothing but settings gives its server back while
it is idle, and gets one again, with its settings, on its next query; one that holds anything
else, or has done what is not understood, never does.  And SHOW CLEANED."""
import psycopg
import pytest
from support import wire as w
from support.postgres import DATABASE, DEFAULT_USER
from support.wait import wait_until

pytestmark = [pytest.mark.router_only, pytest.mark.usefixtures("no_code")]


def lending(servers=1, after="100ms", **session):
    return {
        "workloads": {
            "transactional": {"guaranteed_connections": 1, "max_connections": 1},
            "session": {"guaranteed_connections": servers, "max_connections": servers,
                        "idle_session_reclaim": after, **session}},
        "hosts": {"main": {"connection_budget": servers + 1}}}


def lent(router):
    return sum(int(row["lent"]) for row in router.show("cleaned"))


def pid(connection):
    return connection.execute("SELECT pg_backend_pid()").fetchone()[0]


def run_here(connection, text, end="COMMIT"):
    """The server that it ran on, which it may have got just then."""
    connection.execute("BEGIN")
    connection.execute(text)
    own = pid(connection)
    connection.execute(end)
    return own


def simple(endpoint, **more):
    """A driver that leaves no prepared statements behind."""
    return endpoint.connect(prepare_threshold=None, **more)


def test_job_that_idles_between_batches(make_router):
    """One server: while the job is idle somebody else has it, and sees nothing of the job; with
    its next batch the job has all its settings again."""
    router = make_router(lending())
    with simple(router.session, application_name="job") as job:
        job.execute("SET app.tenant_id = '7'")
        job.execute("SET TIME ZONE 'Asia/Tokyo'")
        job.execute("SELECT set_config('work_mem', '7MB', false)")
        for batch in range(3):
            before = lent(router)
            job.execute("INSERT INTO documents (tenant_id, body) VALUES (7, %s)", [f"b{batch}"])
            wait_until(lambda: lent(router) > before, 10, "the job lends its server")
            with simple(router.session) as other:
                assert other.execute(
                    "SELECT coalesce(nullif(current_setting('app.tenant_id', true), ''), 'none'),"
                    " current_setting('work_mem'), current_setting('application_name')"
                    ).fetchone() == ("none", "4MB", "")
                assert other.info.parameter_status("TimeZone") != "Asia/Tokyo"
            assert job.execute(
                "SELECT current_setting('app.tenant_id'), current_setting('TimeZone'),"
                " current_setting('work_mem'), current_setting('application_name'),"
                " count(*) FROM documents WHERE body LIKE 'b%'"
                ).fetchone() == ("7", "Asia/Tokyo", "7MB", "job", batch + 1)
            assert job.info.parameter_status("TimeZone") == "Asia/Tokyo"
            assert job.info.parameter_status("application_name") == "job"
        job.execute("DELETE FROM documents WHERE body LIKE 'b%'")


def test_who_waits_for_a_session_is_served(make_router):
    """More sessions than servers, each idle most of the time: none waits for another's end."""
    router = make_router(lending(servers=2, after="50ms", query_wait_timeout="20s"))
    sessions = [simple(router.session, application_name=f"s{i}") for i in range(6)]
    try:
        for turn in range(3):
            for i, session in enumerate(sessions):
                session.execute(f"SET app.tenant_id = '{i * 10 + turn}'")
            for i, session in enumerate(sessions):
                assert session.execute("SELECT current_setting('app.tenant_id'), "
                                       "current_setting('application_name')"
                                       ).fetchone() == (str(i * 10 + turn), f"s{i}")
    finally:
        for session in sessions:
            session.close()
    assert lent(router) >= 6


def test_the_transaction_port_may_borrow_it(make_router):
    """The unit is free for everybody, not only for sessions."""
    config = lending(servers=1)
    config["workloads"]["transactional"]["max_connections"] = 2
    router = make_router(config)
    with simple(router.session) as job, router.transactional.connect() as a, \
            router.transactional.connect() as b:
        job.execute("SET app.tenant_id = '7'")
        wait_until(lambda: lent(router) == 1, 10, "lent")
        a.execute("BEGIN")
        b.execute("BEGIN")
        assert pid(a) != pid(b)
        assert b.execute("SELECT nullif(current_setting('app.tenant_id', true), '')"
                         ).fetchone() == (None,)
        a.execute("COMMIT")
        b.execute("COMMIT")
        assert job.execute("SHOW app.tenant_id").fetchone() == ("7",)


# What is in the session, and what takes it away again (None: nothing does).
HOLDERS = {
    "temp_table": ("CREATE TEMP TABLE mine (x int)", "DROP TABLE mine"),
    "cursor": ("DECLARE mine CURSOR WITH HOLD FOR SELECT 1", "CLOSE mine"),
    "advisory_lock": ("SELECT pg_advisory_lock(4711)", "SELECT pg_advisory_unlock(4711)"),
    "listen": ("LISTEN mine", "UNLISTEN mine"),
    "prepared": ("PREPARE mine AS SELECT 1", "DEALLOCATE mine"),
    "in_transaction": ("BEGIN", "COMMIT"),
    "failed_transaction": ("BEGIN; SELECT 1/0", "ROLLBACK"),
    "do": ("DO 'BEGIN END'", None),
    "function": ("SELECT of_mine()", None),
    "setseed": ("SELECT setseed(0.5)", None),
    "currval": ("SELECT nextval('documents_id_seq'), currval('documents_id_seq')", None),
    "nonsense": ("SELECT 1; NONSENSE", None),
    "set_config": ("SELECT set_config('app.' || 'x', '1', false)", None),
    "attribute": ("SELECT (0.5::float8).setseed", None),
    "long": (f"SELECT 1 -- {2_000_000 * 'x'}", None),
}


@pytest.fixture
def of_mine(no_code, postgres):
    postgres.sql("CREATE OR REPLACE FUNCTION of_mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
                 dbname=DATABASE)
    yield
    postgres.sql("DROP FUNCTION IF EXISTS of_mine()", dbname=DATABASE)


@pytest.mark.usefixtures("of_mine")
@pytest.mark.parametrize("kind", HOLDERS)
@pytest.mark.parametrize("extended", [False, True])
def test_who_holds_something_never_lends(make_router, kind, extended):
    make, end = HOLDERS[kind]
    if extended and ";" in make:
        pytest.skip("several statements")
    router = make_router(lending(servers=2))
    with router.session.wire() as a, simple(router.session) as witness:
        own = a.value("SELECT pg_backend_pid()")
        if extended:
            a.send(w.one_query(make))
            a.until_ready()
        else:
            a.query(make)
        for _ in range(2):
            # It becomes idle after a, and has lent its server by now.
            before = lent(router)
            witness.execute("SELECT 1")
            wait_until(lambda: lent(router) > before, 10, "the witness lends its server")
        assert lent(router) == 2
        a.query("SELECT 1")
        if kind != "failed_transaction":
            assert a.value("SELECT pg_backend_pid()") == own
        if end is None:
            return
        a.query(end)
        wait_until(lambda: lent(router) == 3, 10, "a lends its server, too")


def test_named_statement_holds_and_closed_does_not(make_router):
    router = make_router(lending(servers=2))
    with router.session.wire() as a, simple(router.session) as witness:
        a.send(w.parse("SELECT 42", name="mine"), w.sync())
        a.until_ready()
        witness.execute("SELECT 1")
        wait_until(lambda: lent(router) == 1, 10, "the witness lends its server")
        a.send(w.bind(name="mine"), w.execute(), w.close("S", "mine"), w.sync())
        assert w.rows(a.until_ready()) == [("42",)]
        wait_until(lambda: lent(router) == 2, 10, "it holds nothing now")


def test_setting_of_a_named_statement_bars(make_router):
    """It may be executed again behind a look at the session, and be gone by the next."""
    router = make_router(lending(servers=2))
    with router.session.wire() as a, simple(router.session) as witness:
        a.send(w.parse("SET app.x = '1'", name="mine"), w.bind(name="mine"), w.execute(),
               w.close("S", "mine"), w.sync())
        a.until_ready()
        witness.execute("SELECT 1")
        wait_until(lambda: lent(router) == 1, 10, "the witness lends its server")
        assert a.value("SHOW app.x") == "1"
        witness.execute("SELECT 1")
        wait_until(lambda: lent(router) == 2, 10, "the witness once more")
        assert a.value("SHOW app.x") == "1"


def test_the_unnamed_statement_is_kept(make_router):
    router = make_router(lending())
    with router.session.wire() as a, simple(router.session) as other:
        a.send(w.parse("SELECT $1::int + 1", types=[23]), w.sync())
        a.until_ready()
        wait_until(lambda: lent(router) == 1, 10, "lent")
        other.execute("SELECT 1")
        wait_until(lambda: lent(router) == 2, 10, "by the other, too")
        a.send(w.bind([b"41"]), w.describe(), w.execute(), w.sync())
        assert w.rows(a.until_ready()) == [("42",)]
        a.send(w.describe("S"), w.sync())
        assert "1" not in w.types(a.until_ready())
        a.query("SELECT 1")
        a.send(w.bind([b"41"]), w.execute(), w.sync())
        assert w.errors(a.until_ready()) == ["26000"]


def test_the_unnamed_statement_outlives_what_bars(make_router):
    """The router's questions take it away; the message that ends all looking puts it back."""
    router = make_router(lending(servers=2))
    with router.session.wire() as a, simple(router.session) as witness:
        a.query("CREATE TEMP TABLE mine (x int)")
        a.send(w.parse("SELECT 42"), w.sync())
        a.until_ready()
        witness.execute("SELECT 1")
        wait_until(lambda: lent(router) == 1, 10, "the witness lends its server")
        a.send(w.parse("SET app.x = '1'", name="mine"), w.sync())
        assert w.errors(a.until_ready()) == []
        a.send(w.bind(), w.execute(), w.sync())
        assert w.rows(a.until_ready()) == [("42",)]


@pytest.fixture
def plain(postgres):
    postgres.sql("CREATE TABLE plain (body text)", "GRANT ALL ON plain TO PUBLIC",
                 dbname=DATABASE)
    yield
    postgres.sql("DROP TABLE plain", dbname=DATABASE)


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("source", [
    "BEGIN PERFORM set_config('app.x', '1', false); RETURN NEW; END",
    "BEGIN SET app.x = '1'; RETURN NEW; END",
    "BEGIN set session\n App.\"x\" to '1'; RETURN NEW; END",
    "BEGIN EXECUTE 'SE' || 'T app.x = 1'; RETURN NEW; END"])
def test_code_that_may_set_something_unseen(make_router, postgres, source):
    """A trigger sets a variable, which no view shows: nobody lends while there is such code."""
    router = make_router(lending(servers=2))
    postgres.sql(
        f"CREATE FUNCTION unseen() RETURNS trigger LANGUAGE plpgsql AS $${source}$$",
        "CREATE TRIGGER unseen BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION unseen()",
        dbname=DATABASE)
    try:
        with simple(router.session) as a, \
                simple(router.session, dbname="second") as witness:
            own = run_here(a, "INSERT INTO plain VALUES ('unseen')")
            for turn in range(2):
                witness.execute("SELECT 1")
                wait_until(lambda: lent(router) == turn + 1, 10, "the witness lends its server")
            assert pid(a) == own
            assert a.execute("SHOW app.x").fetchone() == ("1",)
    finally:
        postgres.sql("DROP TRIGGER unseen ON plain", "DROP FUNCTION unseen()", dbname=DATABASE)


@pytest.mark.usefixtures("plain")
def test_code_that_sets_nothing_does_not_hold(make_router, postgres):
    router = make_router(lending())
    postgres.sql(
        "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN "
        "UPDATE plain SET body = 'a.b' WHERE body = ''; NEW.body := upper(NEW.body); "
        "RETURN NEW; END$$",
        "CREATE TRIGGER touch BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION touch()",
        dbname=DATABASE)
    try:
        with simple(router.session) as a:
            a.execute("INSERT INTO plain VALUES ('seen')")
            wait_until(lambda: lent(router) == 1, 10, "lent")
    finally:
        postgres.sql("DROP TRIGGER touch ON plain", "DROP FUNCTION touch()", dbname=DATABASE)


def test_view_that_sets_something(make_router, postgres):
    router = make_router(lending(servers=2))
    postgres.sql("CREATE VIEW setter AS SELECT set_config('app.x', '1', false) AS x",
                 "GRANT SELECT ON setter TO PUBLIC", dbname=DATABASE)
    try:
        with simple(router.session) as a, simple(router.session, dbname="second") as witness:
            a.execute("SELECT x FROM setter")
            for turn in range(2):
                witness.execute("SELECT 1")
                wait_until(lambda: lent(router) == turn + 1, 10, "the witness lends its server")
            assert a.execute("SHOW app.x").fetchone() == ("1",)
    finally:
        postgres.sql("DROP VIEW setter", dbname=DATABASE)


# Where code of somebody's own may stand that sets what no view shows, and how it is run.
HIDDEN = {
    "condition of a rule": (
        ["CREATE RULE unseen AS ON INSERT TO plain WHERE set_config('app.x', '1', false) <> '' "
         "DO ALSO NOTHING"],
        "INSERT INTO plain VALUES ('unseen')", ["DROP RULE unseen ON plain"]),
    "rule": (
        ["CREATE RULE unseen AS ON INSERT TO plain DO ALSO SELECT set_config('app.x', '1', false)"],
        "INSERT INTO plain VALUES ('unseen')", ["DROP RULE unseen ON plain"]),
    "operator": (
        ["CREATE OPERATOR @@@ (RIGHTARG = float8, FUNCTION = setseed)"],
        "SELECT (@@@ 0.5::float8) IS NULL", ["DROP OPERATOR @@@ (NONE, float8)"]),
    "operator in a view": (
        ["CREATE OPERATOR @@@ (RIGHTARG = float8, FUNCTION = setseed)",
         "CREATE VIEW unseen AS SELECT (@@@ 0.5::float8) IS NULL AS x",
         "GRANT SELECT ON unseen TO PUBLIC"],
        "SELECT x FROM unseen", ["DROP VIEW unseen", "DROP OPERATOR @@@ (NONE, float8)"]),
    "seed": (
        ["CREATE FUNCTION unseen() RETURNS trigger LANGUAGE plpgsql AS "
         "'BEGIN SET seed = 0.5; RETURN NEW; END'",
         "CREATE TRIGGER unseen BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION unseen()"],
        "INSERT INTO plain VALUES ('unseen')",
        ["DROP TRIGGER unseen ON plain", "DROP FUNCTION unseen()"]),
    "default of an argument": (
        ["CREATE FUNCTION unseen_default(x text DEFAULT set_config('app.x', '1', false)) RETURNS text "
         "LANGUAGE sql AS 'SELECT x'",
         "CREATE FUNCTION unseen() RETURNS trigger LANGUAGE plpgsql AS "
         "'BEGIN PERFORM unseen_default(); RETURN NEW; END'",
         "CREATE TRIGGER unseen BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION unseen()"],
        "INSERT INTO plain VALUES ('unseen')",
        ["DROP TRIGGER unseen ON plain", "DROP FUNCTION unseen()",
         "DROP FUNCTION unseen_default(text)"]),
    "default of a domain": (
        ["CREATE DOMAIN unseen AS text DEFAULT set_config('app.x', '1', false)",
         "CREATE TABLE unseen_table (x int, y unseen)", "GRANT ALL ON unseen_table TO PUBLIC"],
        "INSERT INTO unseen_table (x) VALUES (1)",
        ["DROP TABLE unseen_table", "DROP DOMAIN unseen"]),
    "view": (
        ["CREATE VIEW unseen AS SELECT set_config('app.x', '1', false) AS x",
         "GRANT SELECT ON unseen TO PUBLIC"],
        "SELECT x FROM unseen", ["DROP VIEW unseen"]),
    "a text in a view": (
        ["CREATE VIEW unseen AS SELECT query_to_xml('SELECT set_' || 'config(''app.x'', ''1'', false)'"
         ", true, true, '') AS x", "GRANT SELECT ON unseen TO PUBLIC"],
        "SELECT x FROM unseen", ["DROP VIEW unseen"]),
}


class Witness:
    """A session of another database that lends its server whenever it has done something, so
    that whoever has been idle for as long has been looked at before."""

    def __init__(self, router):
        self.router = router
        self.session = simple(router.session, dbname="second")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.session.close()

    def turns(self, count=2):
        for _ in range(count):
            before = lent(self.router)
            self.session.execute("SELECT 1")
            wait_until(lambda: lent(self.router) > before, 10, "the witness lends its server")  # noqa: B023


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("case", HIDDEN)
@pytest.mark.parametrize("dropped", [None, "past the router", "through it"])
@pytest.mark.parametrize("made", ["before", "meanwhile"])
def test_code_that_hides(make_router, postgres, case, dropped, made):
    """It is found wherever it stands; and once it has run, also when it is gone, unless it
    was made and dropped past the router while the session was there."""
    if made == "meanwhile" and dropped == "past the router":
        pytest.skip("not promised")
    make, run, drop = HIDDEN[case]
    router = make_router(lending(servers=3))
    postgres.sql(f"ALTER ROLE {DEFAULT_USER} SUPERUSER")
    try:
        with Witness(router) as witness, simple(router.transactional) as ddl:
            if made == "before":
                postgres.sql(*make, dbname=DATABASE)
            with simple(router.session) as a:
                a.execute("BEGIN")
                if made == "meanwhile":
                    for text in make:
                        ddl.execute(text)
                own = run_here(a, run)
                if dropped == "past the router":
                    postgres.sql(*drop, dbname=DATABASE)
                elif dropped is not None:
                    for text in drop:
                        ddl.execute(text)
                witness.turns()
                assert pid(a) == own
                if dropped is None:
                    postgres.sql(*drop, dbname=DATABASE)
    finally:
        postgres.sql(f"ALTER ROLE {DEFAULT_USER} NOSUPERUSER")


CODE = ["CREATE FUNCTION of_mine_2() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE OR REPLACE FUNCTION of_mine() RETURNS int LANGUAGE sql AS 'SELECT 2'",
        "ALTER FUNCTION of_mine() COST 7", "DROP FUNCTION IF EXISTS of_nobody()",
        "CREATE VIEW mine AS SELECT 1", "CREATE RULE mine AS ON INSERT TO plain DO ALSO NOTHING",
        "CREATE DOMAIN mine AS int", "ALTER TABLE plain ALTER body SET DEFAULT 'x'",
        "DROP VIEW IF EXISTS mine"]


@pytest.mark.usefixtures("of_mine", "plain")
@pytest.mark.parametrize("text", CODE)
@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_who_changes_code_never_lends(make_router, postgres, text, end):
    """Nothing tells later what has run."""
    router = make_router(lending(servers=2))
    postgres.sql(f"ALTER ROLE {DEFAULT_USER} SUPERUSER")
    try:
        with Witness(router) as witness, simple(router.session) as a:
            own = run_here(a, text, end)
            witness.turns()
            assert pid(a) == own
    finally:
        postgres.sql(f"ALTER ROLE {DEFAULT_USER} NOSUPERUSER")
        postgres.sql("DROP FUNCTION IF EXISTS of_mine_2()", "DROP VIEW IF EXISTS mine",
                     "DROP DOMAIN IF EXISTS mine", dbname=DATABASE)


# Tables that run what nobody sees in the text of whoever uses them.
TABLES = {
    "default": "(x text DEFAULT set_config('app.x', '1', false), y int)",
    "check": "(x text, y int CHECK (set_config('app.x', y::text, false) <> ''))",
    "generated text": "(x text DEFAULT query_to_xml('SELECT set_' || 'config(''app.x'', ''1'', "
                      "false)', true, true, ''), y int)",
}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("port", ["session", "transactional", "named", "committed later"])
def test_table_of_another_client_that_sets_something(make_router, postgres, table, port):
    """It is gone when anybody looks."""
    router = make_router(lending(servers=4))
    postgres.sql(f"GRANT CREATE ON SCHEMA public TO {DEFAULT_USER}", dbname=DATABASE)
    endpoint = router.session if port == "session" else router.transactional
    try:
        with Witness(router) as witness, endpoint.wire() as other:
            assert not w.errors(other.query("SELECT 1"))
            if port == "named":
                other.send(w.parse(f"CREATE TABLE ld {TABLES[table]}", "make"), w.sync())
                assert not w.errors(other.until_ready())
            if port == "committed later":
                assert not w.errors(other.query(f"BEGIN; CREATE TABLE ld {TABLES[table]}"))
            with simple(router.session) as a:
                a.execute("BEGIN")
                if port == "named":
                    other.send(w.bind(name="make"), w.execute(), w.sync())
                    assert not w.errors(other.until_ready())
                else:
                    assert not w.errors(other.query("COMMIT" if port == "committed later" else
                                                    f"CREATE TABLE ld {TABLES[table]}"))
                a.execute("INSERT INTO ld (y) VALUES (1)")
                a.execute("COMMIT")
                assert not w.errors(other.query("DROP TABLE ld"))
                witness.turns()
                assert a.execute("SELECT current_setting('app.x', true)").fetchone() == ("1",)
    finally:
        postgres.sql("DROP TABLE IF EXISTS ld", dbname=DATABASE)


@pytest.mark.usefixtures("plain")
def test_tables_of_its_own_hold_nobody(make_router, postgres):
    """They come and go without code."""
    router = make_router(lending())
    postgres.sql(f"GRANT CREATE ON SCHEMA public TO {DEFAULT_USER}", dbname=DATABASE)
    with simple(router.session) as a:
        a.execute("CREATE TEMP TABLE mine (x serial, y text DEFAULT 'z' CHECK (y <> ''))")
        a.execute("CREATE INDEX ON mine (y)")
        a.execute("CREATE TEMP TABLE mine_2 AS SELECT * FROM mine")
        a.execute("DROP TABLE mine, mine_2")
        wait_until(lambda: lent(router) == 1, 10, "lent")


def test_settings_undone_by_rollback_stay_undone(make_router):
    router = make_router(lending())
    with simple(router.session) as a:
        a.execute("SET app.x = 'one'")
        a.execute("BEGIN")
        a.execute("SET app.x = 'two'")
        a.execute("SET work_mem = '9MB'")
        a.execute("ROLLBACK")
        wait_until(lambda: lent(router) == 1, 10, "lent")
        assert a.execute("SELECT current_setting('app.x'), current_setting('work_mem')"
                         ).fetchone() == ("one", "4MB")
        a.execute("RESET app.x")
        wait_until(lambda: lent(router) == 2, 10, "lent")
        assert a.execute("SELECT nullif(current_setting('app.x', true), '')").fetchone() == (None,)


def test_role_is_kept(make_router, postgres):
    router = make_router(lending())
    postgres.sql("CREATE ROLE other_role", f"GRANT other_role TO {DEFAULT_USER}")
    try:
        with simple(router.session) as a, simple(router.session) as b:
            a.execute("SET ROLE other_role")
            wait_until(lambda: lent(router) == 1, 10, "lent")
            assert b.execute("SELECT current_user").fetchone() == (DEFAULT_USER,)
            assert a.execute("SELECT current_user, session_user"
                             ).fetchone() == ("other_role", DEFAULT_USER)
    finally:
        postgres.sql("DROP ROLE other_role")


def test_a_timeout_of_the_clients_own_ends_nobody(make_router):
    """The router's questions are subject to it; then it keeps the server."""
    router = make_router(lending(servers=2))
    with simple(router.session) as a, simple(router.session) as witness:
        a.execute("SET statement_timeout = '1ms'")
        own = None
        while own is None:
            try:
                own = pid(a)
            except psycopg.errors.QueryCanceled:
                pass
        witness.execute("SELECT 1")
        wait_until(lambda: lent(router) >= 1, 10, "the witness lends its server")
        while True:
            try:
                assert a.execute("SHOW statement_timeout").fetchone() == ("1ms",)
                break
            except psycopg.errors.QueryCanceled:
                pass


def test_off_and_a_session_from_before(make_router):
    """Off nobody lends; a session that was not looked at from its beginning never does."""
    router = make_router(lending(servers=2, after="0"))
    with simple(router.session) as old, simple(router.session) as older:
        old.execute("SET app.x = '1'")
        own = pid(old)
        older.execute("SELECT 1")
        router.reload({"workloads": {"session": {"idle_session_reclaim": "100ms"}}})
        older.close()
        with simple(router.session) as young:
            for turn in range(2):
                young.execute("SELECT 1")
                wait_until(lambda: lent(router) == turn + 1, 10, "the new one lends its server")
        assert pid(old) == own


def test_notification_while_the_server_is_asked(make_router):
    """Who listens keeps the server, and misses nothing, also while it is being asked."""
    router = make_router(lending(servers=2, after="5ms"))
    with router.session.wire() as a, simple(router.session) as sender:
        a.query("LISTEN mine")
        got = []
        for i in range(200):
            sender.execute(f"NOTIFY mine, '{i}'")
            if i % 10 == 0:
                a.send(w.query("SELECT 1"))
                got += [m for m in a.until_ready() if m.type == "A"]
        while len(got) < 200:
            message = a.receive()
            assert message.type == "A"
            got.append(message)
        assert [m.body[4:].split(b"\0")[1] for m in got] == [b"%d" % i for i in range(200)]


def test_cancel_while_the_server_is_asked_for_code(make_router, postgres):
    """What waits for that does not run."""
    router = make_router(lending())
    with router.session.wire() as a, postgres.connect(dbname=DATABASE) as lock:
        lock.execute("BEGIN")
        lock.execute("LOCK TABLE pg_catalog.pg_policy IN ACCESS EXCLUSIVE MODE")
        a.send(w.query("SELECT 'ran'"))
        wait_until(lambda: lock.execute("SELECT count(*) FROM pg_locks WHERE NOT granted"
                                        ).fetchone()[0] == 1, 8, "the server is asked")
        with router.session.raw() as cancel:
            cancel.send(w.cancel_request(a.pid, a.key))
            assert cancel.until_closed() == []
        lock.execute("ROLLBACK")
        assert w.errors(a.until_ready()) == ["57014"]
        assert a.value("SELECT 'next'") == "next"
        assert a.is_quiet(0.05)


# --- SHOW CLEANED ----------------------------------------------------------------------

LEFT = {
    "temp_tables": "CREATE TEMP TABLE mine (x int)",
    "cursors": "DECLARE mine CURSOR WITH HOLD FOR SELECT 1",
    "advisory_locks": "SELECT pg_advisory_lock(4711)",
    "listen": "LISTEN mine",
    "statements": "PREPARE mine AS SELECT 1",
    "settings": "SET work_mem = '7MB'",
}


@pytest.mark.parametrize("kind", [None, *LEFT])
def test_show_of_what_was_cleaned(make_router, kind):
    router = make_router({"defaults": {"session_state_audit": "always"}})

    def row():
        return [r for r in router.show("cleaned") if r["workload"] == "session"][0]

    with router.session.connect(application_name="mine", prepare_threshold=None) as a:
        a.execute(LEFT[kind] if kind else "SELECT 1")
    wait_until(lambda: int(row()["cleaned"]) == 1, 10, "cleaned")
    found = row()
    assert {name: int(found[name]) for name in [*LEFT, "unknown", "lent"]} == \
        {name: int(name == kind) for name in [*LEFT, "unknown", "lent"]}

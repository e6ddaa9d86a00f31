# SPDX-License-Identifier: ISC
"""plan_reuse: unnamed statements of a transaction port stand for shared ones, and no client
can tell: what it gets is compared with what PostgreSQL itself says to the same messages."""
import asyncio
import threading

import psycopg
import pytest
from support import needs
from support import wire as w
from support.postgres import DATABASE
from test_cancel import sleeping
from test_drivers import asyncpg_arguments
from test_drivers import run as run_program
from test_prepared import error, execute, limited, occupied, prepare, run, statements
from test_prepared_drivers import node
from test_prepared_forged import HOW, SETUP

pytestmark = pytest.mark.router_only

OFTEN = 4       # times that a text is sent until it is shared


def reusing(servers, **more):
    return limited(servers, plan_reuse=True, **more)


@pytest.fixture
def one(make_router):
    """One server."""
    return make_router(reusing(1))


@pytest.fixture
def direct(postgres, one):
    with w.Wire("127.0.0.1", postgres.port) as wire:
        wire.login("app_scram", one.transactional.dsn()["password"], "app")
        yield wire


@pytest.fixture
def table(postgres):
    """A table that is changed behind the router's back."""
    postgres.sql("DROP TABLE IF EXISTS reused; CREATE TABLE reused (a int, b text);"
                 "INSERT INTO reused VALUES (1, 'one'), (2, 'two'); GRANT ALL ON reused TO PUBLIC",
                 dbname=DATABASE)
    yield lambda sql: postgres.sql(sql, dbname=DATABASE)
    postgres.sql("DROP TABLE IF EXISTS reused", dbname=DATABASE)


def unnamed(sql, *values, describe="P", types=()):
    """Messages of one exchange, as libpq has them (P), or asyncpg, in two (S)."""
    if describe == "S":
        return [w.parse(sql, types=types) + w.describe("S") + w.sync(),
                w.bind(values) + w.execute() + w.sync()]
    return [w.parse(sql, types=types) + w.bind(values) + w.describe() + w.execute() + w.sync()]


def plain(answer):
    """All that a client can see, but for line numbers of PostgreSQL's source."""
    return [(m.type, tuple((k, v) for k, v in sorted(m.fields.items()) if k in "SVCMDHPW"))
            if m.type == "E" else (m.type, m.body) for m in answer if m.type not in "SN"]


def both(routed, direct, exchanges):
    """The same answers, to the byte.  Returns the last one."""
    for exchange in exchanges:
        routed.send(exchange)
        direct.send(exchange)
        got, expected = routed.until_ready(), direct.until_ready()
        assert plain(got) == plain(expected)
    return got


def shared(wire):
    """Texts that the server has by names of the router's."""
    return [row[0] for row in w.rows(wire.query(
        "SELECT statement FROM pg_prepared_statements WHERE name LIKE 'pgtandem%' ORDER BY 1"))]


def parses(router):
    """Those that came, and those that went on."""
    found = [row for row in router.show("STATS_TOTALS")]
    return tuple(sum(int(row[name]) for row in found)
                 for name in ("client_parse_count", "server_parse_count"))


# ------------------------------------------------------------- what is shared

@pytest.mark.parametrize("describe", "PS")
def test_a_text_that_comes_often_is_prepared_once(one, direct, describe):
    sql = "SELECT $1::int + 1"
    with one.transactional.wire() as wire:
        for n in range(20):
            answer = both(wire, direct, unnamed(sql, n, describe=describe))
            assert w.rows(answer) == [(str(n + 1),)]
        came, went = parses(one)
        assert came == 20 and went <= OFTEN
        assert shared(wire) == [sql]


def test_off_unless_asked_for(make_router):
    router = make_router(limited(1, plan_reuse=False))
    with router.transactional.wire() as wire:
        for n in range(10):
            wire.send(*unnamed("SELECT $1::int", n))
            wire.until_ready()
        assert parses(router) == (10, 10)
        assert shared(wire) == []
        router.reload(reusing(1))
        for n in range(10):
            wire.send(*unnamed("SELECT $1::int", n))
            wire.until_ready()
        assert len(shared(wire)) == 1
        router.reload(limited(1, plan_reuse=False))
        before = parses(router)
        for n in range(10):
            wire.send(*unnamed("SELECT $1::int", n))
            assert w.rows(wire.until_ready()) == [(str(n),)]
        assert parses(router) == (before[0] + 10, before[1] + 10)


def test_for_one_database(make_router):
    """user, database, workload: as all settings of pools."""
    router = make_router({**limited(1), "databases": {DATABASE: {"host": "main",
                                                                 "plan_reuse": True}}})
    with router.transactional.wire() as wire:
        for n in range(10):
            wire.send(*unnamed("SELECT $1::int", n))
            wire.until_ready()
        assert len(shared(wire)) == 1


def test_clients_share(one):
    """Also with those that name theirs."""
    sql = "SELECT $1::int * 2"
    with one.transactional.wire() as a, one.transactional.wire() as b:
        prepare(a, "twice", sql)
        for n in range(10):
            b.send(*unnamed(sql, n))
            assert w.rows(b.until_ready()) == [(str(2 * n),)]
            assert execute(a, "twice", n) == [(str(2 * n),)]
        assert shared(a) == [sql]
        came, went = parses(one)
        assert came == 11 and went <= OFTEN


@pytest.mark.parametrize("sql", [
    "SELECT 1; SELECT 2", "BEGIN", "SHOW work_mem", "SELECT 'now'::text", "SELECT DATE '2024-01-02'",
    "SELECT 'a' || '1'", "EXPLAIN SELECT 1", "CREATE TEMP TABLE x (a int) ON COMMIT DROP",
    "SELECT set_config('app.x', 'y', true)", "SET LOCAL work_mem = '1MB'", "", "SELEC 1",
    "SELECT pg_advisory_unlock_all()",
    "SELECT 1 AS a234567890123456789012345678901234567890123456789012345678901234567890"])
def test_what_is_not_shared(one, direct, sql):
    with one.transactional.wire() as wire:
        for _ in range(OFTEN + 3):
            both(wire, direct, unnamed(sql))
        if sql == "BEGIN":
            both(wire, direct, [w.query("ROLLBACK")])
        assert shared(wire) == []


def test_one_that_comes_once_takes_no_place(one):
    with one.transactional.wire() as wire:
        for n in range(300):
            wire.send(*unnamed(f"SELECT {n}"))
            assert w.rows(wire.until_ready()) == [(str(n),)]
        assert shared(wire) == []


def test_least_recently_used_goes(make_router):
    router = make_router(reusing(1, max_prepared_statements=2))
    with router.transactional.wire() as wire:
        for turn in range(8):
            for k in range(5):
                wire.send(*unnamed(f"SELECT $1::int + {k}", turn))
                assert w.rows(wire.until_ready()) == [(str(turn + k),)]
        assert len(shared(wire)) == 2


def test_without_room(make_router):
    """It goes as it came."""
    router = make_router({**reusing(1), "process": {"max_statement_memory": "64kB"}})
    with router.transactional.wire() as wire:
        for n in range(20):
            for turn in range(OFTEN + 1):
                wire.send(*unnamed(f"SELECT $1::int + {n} -- {'x' * 6000}", turn))
                assert w.rows(wire.until_ready()) == [(str(turn + n),)]
        assert 0 < len(shared(wire)) < 20


# ------------------------------------------------------------- how long it lasts

def test_it_lasts_like_an_unnamed_one(one, direct):
    with one.transactional.wire() as wire, one.transactional.wire() as other:
        for n in range(OFTEN + 1):
            both(wire, direct, unnamed("SELECT $1::int", n))
        for n in range(3):
            # Others come and go on the server.
            other.send(*unnamed("SELECT 'else'"))
            assert w.rows(other.until_ready()) == [("else",)]
            answer = both(wire, direct, [w.bind((n,)) + w.execute() + w.sync()])
            assert w.rows(answer) == [(str(n),)]
            both(wire, direct, [w.describe("S") + w.sync()])
        both(wire, direct, [w.query("BEGIN"), w.bind((7,)) + w.execute() + w.sync(),
                            w.bind((8,)) + w.execute() + w.sync(), w.query("COMMIT")])
        # A Query ends it.
        assert error(both(wire, direct, [w.bind((1,)) + w.execute() + w.sync()]))[0] == "26000"
        both(wire, direct, unnamed("SELECT $1::int", 1))
        both(wire, direct, [w.close("S") + w.sync()])
        assert error(both(wire, direct, [w.bind((1,)) + w.sync()]))[0] == "26000"
        both(wire, direct, unnamed("SELECT $1::int", 1))
        # A Parse that fails does, too.
        both(wire, direct, [w.parse("SELEC") + w.sync()])
        assert error(both(wire, direct, [w.bind((1,)) + w.sync()]))[0] == "26000"


def test_on_another_server(make_router):
    router = make_router(reusing(3))
    with router.transactional.wire() as wire:
        prepare(wire, "pid", "SELECT pg_backend_pid()")
        for n in range(OFTEN + 1):
            wire.send(*unnamed("SELECT $1::int", n))
            wire.until_ready()
        pid = execute(wire, "pid")[0][0]
        with occupied(router, pid):
            for n in range(3):
                wire.send(w.bind((n,)), w.execute(), w.sync())
                assert w.rows(wire.until_ready()) == [(str(n),)]
            assert execute(wire, "pid")[0][0] != pid


@pytest.mark.parametrize("messages", [
    [w.parse("SELECT 5") + w.sync(), w.bind() + w.execute() + w.sync()],
    [w.parse("SELECT 5") + w.describe("S") + w.sync(), w.bind() + w.describe() + w.sync()],
    [w.parse("SELECT 5") + w.close("S") + w.sync()],
    [w.parse("SELECT 5") + w.parse("SELECT 5") + w.bind() + w.execute() + w.sync()],
    [w.parse("SELECT 5") + w.query("SELECT 6") + w.sync()],
    [w.parse("SELECT 5") + w.bind() + w.bind(portal="p") + w.execute("p") + w.execute() + w.sync()],
    [w.parse("SELECT 5") + w.bind(portal="p") + w.describe("P", "p") + w.execute("p", 1)
     + w.close("P", "p") + w.sync()],
    [w.parse("SELECT 5") + w.bind(name="nobody") + w.sync(), w.bind() + w.execute() + w.sync()],
    [w.parse("SELECT 5") + w.bind((1,)) + w.sync(), w.bind() + w.execute() + w.sync()],
    [w.parse("SELECT 5") + w.describe("S", "nobody") + w.sync()],
    [w.parse("SELECT 5") + w.describe("X") + w.sync()],
    [w.parse("SELECT 5") + w.bind() + w.execute("nobody") + w.sync()],
    [w.parse("SELECT 5") + w.bind() + w.execute() + w.parse("SELEC") + w.sync(),
     w.bind() + w.execute() + w.sync()],
    [w.parse("SELECT 5", "n") + w.parse("SELECT 5") + w.bind() + w.bind(name="n", portal="p")
     + w.execute() + w.execute("p") + w.close("S", "n") + w.sync()],
    [w.parse("SELECT 5") + w.bind() + w.execute() + w.parse("COMMIT") + w.bind() + w.execute()
     + w.sync()],
])
@pytest.mark.parametrize("cut", [None, 7, 20, 31, 48])
def test_any_order_of_messages(one, direct, messages, cut):
    with one.transactional.wire() as wire:
        for _ in range(OFTEN):
            both(wire, direct, unnamed("SELECT 5"))
        assert shared(wire) == ["SELECT 5"]
        direct.query("SELECT 1")
        for _ in range(3):
            for exchange in messages:
                if cut is None:
                    wire.send(exchange)
                else:
                    wire.send_split(exchange, cut)
                direct.send(exchange)
                assert plain(wire.until_ready()) == plain(direct.until_ready())


def test_large_values(one, direct):
    """More than is kept to be sent again."""
    sql = "SELECT length($1::text)"
    with one.transactional.wire() as wire:
        for size in (1, 10, 100, 3000, 20000, 100000, 5000000, 3):
            assert w.rows(both(wire, direct, unnamed(sql, "x" * size))) == [(str(size),)]


def test_flush(one):
    with one.transactional.wire() as wire:
        for _ in range(OFTEN + 2):
            wire.send(w.parse("SELECT 5"), w.describe("S"), w.flush())
            assert w.types(wire.until("T")) == "1tT"
            wire.send(w.bind(), w.execute(), w.flush())
            assert w.types(wire.until("C")) == "2DC"
            wire.send(w.sync())
            assert w.types(wire.until_ready()) == "Z"
        for _ in range(3):
            wire.send(w.parse("SELECT 5"), w.flush())
            assert w.types(wire.until("1")) == "1"
            wire.send(w.bind(), w.execute(), w.sync())
            assert w.types(wire.until_ready()) == "2DCZ"


# ------------------------------------------------------------- pipelines

def test_pipelines(one, direct):
    """Many statements up to one Sync, and many Syncs at once."""
    text = unnamed("SELECT $1::int", 3)[0]
    with one.transactional.wire() as wire:
        for _ in range(5):
            both(wire, direct, [text[:-5] * 20 + w.sync()])
            wire.send(text * 20)
            for _ in range(20):
                assert w.rows(wire.until_ready()) == [("3",)]
            for n in range(70):
                both(wire, direct, [text])
        assert shared(wire) == ["SELECT $1::int"]


def test_psycopg_pipeline(one):
    with one.transactional.connect(prepare_threshold=None, autocommit=True) as connection:
        for _ in range(5):
            with connection.pipeline():
                found = [connection.execute("SELECT %s::int", (n,)) for n in range(30)]
            assert [cursor.fetchone()[0] for cursor in found] == list(range(30))
            for n in range(70):
                assert connection.execute("SELECT %s::int", (n,)).fetchone() == (n,)


# ------------------------------------------------------------- tables change

CHANGES = [
    "ALTER TABLE reused ADD c int DEFAULT 3",
    "ALTER TABLE reused DROP b",
    "ALTER TABLE reused ALTER a TYPE text",
    "DROP TABLE reused",
    "DROP TABLE reused; CREATE TABLE reused (x text, y int, z int)",
    "ALTER TABLE reused RENAME TO reused2; ALTER TABLE reused2 RENAME a TO d;"
    "ALTER TABLE reused2 RENAME TO reused",
    "REVOKE ALL ON reused FROM PUBLIC",
    "ALTER TABLE reused ALTER b TYPE int USING a",
]
READS = [("SELECT * FROM reused WHERE a = $1", (1,), ()), ("SELECT * FROM reused", (), ()),
         ("SELECT count(*) FROM reused WHERE b = $1", ("one",), ()),
         ("UPDATE reused SET b = $1 RETURNING *", ("three",), (25,)),
         ("INSERT INTO reused (a) VALUES ($1)", (4,), (23,)),
         ("INSERT INTO reused (a) VALUES ($1)", ("007",), ())]


def told(wire, exchanges, begins):
    """Both write to the same rows: one after the other."""
    if begins:
        wire.query("BEGIN")
    said = []
    for exchange in exchanges:
        wire.send(exchange)
        said += plain(wire.until_ready())
    if begins:
        wire.query("ROLLBACK")
    return said


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("sql, values, types", READS)
@pytest.mark.parametrize("describe", "PS")
def test_after_ddl_elsewhere(one, direct, table, change, sql, values, types, describe):
    """No "cached plan must not change result type", and errors where PostgreSQL has them."""
    with one.transactional.wire() as wire:
        for _ in range(OFTEN + 1):
            wire.send(*unnamed(sql, *values, types=types))
            wire.until_ready()
        # Types are not left open where something is written.
        assert (sql in shared(wire)) == (types != () or "INSERT" not in sql)
        table(change)
        for begins in [True, False] + [False] * OFTEN:
            said = [told(connection, unnamed(sql, *values, types=types, describe=describe), begins)
                    for connection in (wire, direct)]
            assert said[0] == said[1]


def test_after_ddl_in_front_of_what_waits(one, table):
    """What was sent behind it comes behind it."""
    with one.transactional.wire() as wire:
        for _ in range(OFTEN + 1):
            wire.send(*unnamed("SELECT * FROM reused"))
            wire.until_ready()
        table("ALTER TABLE reused ADD c int DEFAULT 3")
        wire.send(*unnamed("SELECT * FROM reused"), w.query("SELECT 'behind'"),
                  *unnamed("SELECT * FROM reused LIMIT 1"))
        assert w.rows(wire.until_ready()) == [("1", "one", "3"), ("2", "two", "3")]
        assert w.rows(wire.until_ready()) == [("behind",)]
        assert w.rows(wire.until_ready()) == [("1", "one", "3")]


def test_who_named_it_is_told(one, table):
    """As without: its own columns have changed."""
    with one.transactional.wire() as named, one.transactional.wire() as wire:
        prepare(named, "s", "SELECT * FROM reused")
        for _ in range(OFTEN + 1):
            wire.send(*unnamed("SELECT * FROM reused"))
            wire.until_ready()
        table("ALTER TABLE reused ADD c int")
        wire.send(*unnamed("SELECT * FROM reused"))
        assert len(w.rows(wire.until_ready())[0]) == 3
        assert error(run(named, w.bind(name="s"), w.execute()))[0] == "0A000"
        assert len(execute(named, "s")[0]) == 3


def test_the_transaction_of_ddl_sees_it(one, table):
    with one.transactional.wire() as wire:
        for _ in range(OFTEN + 1):
            wire.send(*unnamed("SELECT * FROM reused"))
            wire.until_ready()
        table("ALTER TABLE reused OWNER TO app_scram")
        wire.query("BEGIN")
        assert not w.errors(wire.query("ALTER TABLE reused ADD c int"))
        wire.send(*unnamed("SELECT * FROM reused"))
        assert len(w.rows(wire.until_ready())[0]) == 3
        wire.query("ROLLBACK")
        wire.send(*unnamed("SELECT * FROM reused"))
        assert len(w.rows(wire.until_ready())[0]) == 2


def test_a_temporary_table_in_front(make_router, table):
    """Made through the router, also by CREATE TABLE AS, and gone again."""
    router = make_router(reusing(1, max_pinned=1))
    with router.transactional.wire() as wire:
        for make in ("CREATE TEMP TABLE reused (x int)", "CREATE TEMP TABLE reused AS SELECT 1 AS x",
                     "SELECT 1 AS x INTO TEMP reused"):
            for _ in range(OFTEN + 1):
                wire.send(*unnamed("SELECT * FROM reused LIMIT 0"))
                assert w.types(wire.until_ready()) == "12TCZ"
            assert not w.errors(wire.query(make))
            for _ in range(OFTEN + 1):
                wire.send(*unnamed("SELECT * FROM reused LIMIT 0"))
                columns = next(m for m in wire.until_ready() if m.type == "T")
                assert columns.body[2:4] == b"x\0"
            wire.query("DROP TABLE pg_temp.reused")
            wire.send(*unnamed("SELECT * FROM reused LIMIT 0"))
            columns = next(m for m in wire.until_ready() if m.type == "T")
            assert columns.body[2:4] == b"a\0"


@pytest.mark.parametrize("setting", ["search_path = pg_catalog, public", "TimeZone = 'Asia/Tokyo'",
                                     "DateStyle = 'German'", "client_encoding = 'latin1'"])
def test_settings_are_part_of_it(one, direct, setting):
    sql = "SELECT to_char(to_timestamp($1), 'HH24')::text, current_schemas(false)::text"
    with one.transactional.wire() as wire, one.transactional.wire() as other:
        for n in range(OFTEN + 1):
            both(wire, direct, unnamed(sql, n))
        both(wire, direct, [w.query(f"SET {setting}")])
        for n in range(OFTEN + 1):
            both(wire, direct, unnamed(sql, n))
            other.send(*unnamed(sql, n))
            other.until_ready()


def test_a_role_without_rights(one, table):
    """Whoever may not read the table hears so, whatever others have prepared."""
    table("REVOKE ALL ON reused FROM PUBLIC; GRANT ALL ON reused TO app_scram;"
          "DROP ROLE IF EXISTS reuse_nobody; CREATE ROLE reuse_nobody; GRANT reuse_nobody TO app_scram")
    try:
        with one.transactional.wire() as wire, one.transactional.wire() as other:
            other.query("SET ROLE reuse_nobody")
            for _ in range(OFTEN + 3):
                wire.send(*unnamed("SELECT * FROM reused"))
                assert len(w.rows(wire.until_ready())) == 2
                other.send(*unnamed("SELECT * FROM reused"))
                assert w.errors(other.until_ready()) == ["42501"]
    finally:
        table("DROP ROLE reuse_nobody")


# ------------------------------------------------------------- errors, cancels, forgery

@pytest.mark.parametrize("sql, values", [
    ("SELECT nothing_here FROM items", ()), ("SELECT * FROM nothing", ()), ("SELECT (1", ()),
    ("SELECT $1::int", ("x",)), ("SELECT $1::int", ()), ("SELECT $1::int", (1, 2)),
    ("SELECT $1", (1,)), ("SELECT $2::int", (1, 2)), ("SELECT 1 / 0", ()),
    ("SELECT sum(a) FROM (VALUES (1), (0)) v(a) WHERE 1 / a > $1", (0,)),
    ("INSERT INTO items (id) VALUES ($1)", (1,))])
@pytest.mark.parametrize("describe", "PS")
def test_errors_are_the_same(one, direct, sql, values, describe):
    with one.transactional.wire() as wire:
        for _ in range(OFTEN + 6):
            both(wire, direct, unnamed(sql, *values, describe=describe))
        assert w.rows(both(wire, direct, unnamed("SELECT 1"))) == [("1",)]


def test_types(one, direct):
    """The same text with other types is another statement."""
    with one.transactional.wire() as wire:
        for _ in range(OFTEN + 1):
            for types in ((), (0,), (23,), (25,), (1700,)):
                both(wire, direct, unnamed("SELECT $1", 5, types=types))
        assert len(shared(wire)) == 5


def test_cancel(make_router, postgres):
    """It is not run once more."""
    router = make_router(reusing(1))
    sql = "SELECT pg_sleep($1)"
    with router.transactional.wire() as wire:
        for _ in range(OFTEN + 1):
            wire.send(*unnamed(sql, 0))
            wire.until_ready()
        wire.send(*unnamed(sql, 30))
        sleeping(postgres)
        with router.transactional.raw() as other:
            other.send(w.cancel_request(wire.pid, wire.key))
            other.until_closed()
        assert w.errors(wire.until_ready()) == ["57014"]


@pytest.mark.parametrize("how", HOW)
def test_what_code_has_replaced(make_router, postgres, how):
    """Nobody gets it, as with named ones."""
    postgres.sql(SETUP, dbname=DATABASE)
    crowd = make_router(reusing(1, session_state="strict",
                                session_state_audit="always" if how in ("view", "trigger")
                                else "off"))
    with crowd.transactional.wire() as wire, crowd.transactional.wire() as other:
        for _ in range(3):
            for _ in range(OFTEN + 1):
                wire.send(*unnamed("SELECT 'mine'"))
                assert w.rows(wire.until_ready()) == [("mine",)]
            assert shared(other) == ["SELECT 'mine'"]
            assert not w.errors(other.query(HOW[how]))
    assert "statement-forged" in crowd.log()


@pytest.mark.parametrize("text", ["DEALLOCATE {0}", "EXECUTE {0}"])
def test_texts_that_name_them(one, text):
    with one.transactional.wire() as wire, one.transactional.wire() as other:
        for _ in range(OFTEN + 1):
            wire.send(*unnamed("SELECT 'mine'"))
            wire.until_ready()
        name = statements(wire).pop()
        assert error(other.query(text.format(name)))[0] in ("26000", "42939")
        wire.send(*unnamed("SELECT 'mine'"))
        assert w.rows(wire.until_ready()) == [("mine",)]


def test_one_that_a_function_has_dropped(one, postgres):
    """The client of that transaction does not notice, either."""
    postgres.sql("CREATE OR REPLACE FUNCTION drop_all() RETURNS int LANGUAGE plpgsql AS"
                 " $$ BEGIN DEALLOCATE ALL; RETURN 1; END $$", dbname=DATABASE)
    with one.transactional.wire() as wire:
        for _ in range(3):
            for n in range(OFTEN + 1):
                wire.send(*unnamed("SELECT $1::int", n))
                assert w.rows(wire.until_ready()) == [(str(n),)]
            assert w.errors(wire.query("SELECT drop_all()")) == []


# ------------------------------------------------------------- drivers

@pytest.fixture(params=[2, 200])
def few(request, make_router):
    return make_router(reusing(3, max_prepared_statements=request.param))


def test_asyncpg_without_its_cache(few):
    asyncpg = needs.module("asyncpg")

    async def main():
        pool = await asyncpg.create_pool(min_size=8, max_size=8, statement_cache_size=0,
                                         **asyncpg_arguments(few.transactional))

        async def task(n):
            for k in range(10):
                async with pool.acquire() as connection:
                    assert await connection.fetchval(f"SELECT $1::int + {k % 4}", n) == n + k % 4
                    async with connection.transaction():
                        assert await connection.fetchval("SELECT $1::int", n) == n
                        await connection.execute("INSERT INTO items (body) VALUES ($1)", "reuse")
                        with pytest.raises(asyncpg.DivisionByZeroError):
                            async with connection.transaction():
                                await connection.fetchval("SELECT 1 / $1::int", 0)

        async with pool:
            await asyncio.gather(*map(task, range(16)))

    asyncio.run(main())
    came, went = parses(few)
    assert came > 0


@pytest.mark.parametrize("autocommit", [True, False])
def test_psycopg_without_names(few, autocommit):
    problems = []

    def work(n):
        try:
            with few.transactional.connect(prepare_threshold=None,
                                           autocommit=autocommit) as connection:
                for turn in range(12):
                    for k in range(6):
                        row = connection.execute(f"SELECT {k} + %s", (n,)).fetchone()
                        assert row == (k + n,)
                    with pytest.raises(psycopg.errors.DivisionByZero):
                        connection.execute("SELECT 1 / %s::int", (0,))
                    connection.rollback()
                    assert connection.execute("SELECT %s::text", (f"{turn}",)
                                              ).fetchone() == (f"{turn}",)
                    connection.commit()
        except BaseException as problem:  # noqa: B902
            problems.append(repr(problem))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems, problems[:3]


def test_node_postgres(few):
    """Queries without names, some in transactions."""
    node(few.transactional, ["pg"], """
        const { Pool } = require('pg');
        const pool = new Pool({ max: 10 });
        async function work(n) {
          for (let k = 0; k < 12; k++) {
            const r = await pool.query('SELECT $1::int + ' + k % 4 + ' AS sum', [n]);
            if (r.rows[0].sum !== n + k % 4) throw new Error('wrong ' + r.rows[0].sum);
            const c = await pool.connect();
            await c.query('BEGIN');
            const i = await c.query('SELECT $1::int * 2 AS twice', [n]);
            if (i.rows[0].twice !== 2 * n) throw new Error('wrong ' + i.rows[0].twice);
            await c.query('COMMIT');
            c.release();
          }
        }
        Promise.all([...Array(30).keys()].map(work)).then(() => pool.end())
          .then(() => console.log('done'))
          .catch(e => { console.error(e); process.exit(1); });
    """)


def test_pgbench(few, postgres, tmp_path):
    script = tmp_path / "script.sql"
    script.write_text("SELECT count(*) FROM documents WHERE tenant_id = :client_id;\n"
                      "SELECT 1 + :client_id;\n")
    output = run_program(few.transactional, str(postgres.bindir / "pgbench"), "-n", "-c", "16",
                         "-j", "2", "-t", "50", "-M", "extended", "-f", str(script))
    assert "800/800" in output
    assert "number of failed transactions: 0" in output
    came, went = parses(few)
    assert came == 1600 and went < 400

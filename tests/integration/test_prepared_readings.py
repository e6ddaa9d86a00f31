# SPDX-License-Identifier: ISC
"""What a text is read as hangs on settings, and stays so: nobody is to have what another
client's settings have made of it, and each has what PostgreSQL would make of it."""
import pytest
from support import wire as w
from support.postgres import DATABASE
from test_prepared import limited, prepare

pytestmark = pytest.mark.router_only

NULLS = "SELECT id FROM (VALUES (1, NULL::int)) AS t (id, x) WHERE x = NULL"
ARRAY = "SELECT ('{NULL}'::text[])[1] IS NULL"
EPOCH = "SELECT extract(epoch FROM '2024-07-01 12:00'::timestamptz)::int"
EST = "SELECT extract(epoch FROM '2024-07-01 12:00 EST'::timestamptz)::int"
BYTES = r"SELECT '\x4142'::bytea::text"
THIRD = "SELECT (1::float8 / 3)::text"
ROOT = "SELECT sqrt(2)::text"
POWER = "SELECT CAST((2 ^ 70) AS varchar)"
MADE = "SELECT make_interval(1, 2)::text"
DIGITS = w.query("SET LOCAL extra_float_digits = -10")
QUOTED = "SELECT quote_ident('abc')"
LONG = "/*" + "x" * 100 + "*/"
SET_ON = "SET LOCAL transform_null_equals = on"
ON = w.query(SET_ON)
OFF = w.query("SET LOCAL array_nulls = off")
TOKYO = w.query("SET LOCAL TimeZone = 'Asia/Tokyo'")
BEGIN, COMMIT, ROLLBACK = (w.query(text) for text in ("BEGIN", "COMMIT", "ROLLBACK"))


def one(text, *values):
    return w.parse(text) + w.bind(values) + w.execute() + w.sync()


def use(text):
    return w.parse(text, "s") + w.bind(name="s") + w.execute() + w.sync()


# What one client does, each step in a write and answered, and what another does then.
STORIES = {
    "nulls": ([BEGIN, ON, use(NULLS), COMMIT], [use(NULLS)]),
    "nulls, sent ahead": ([BEGIN + ON + use(NULLS), COMMIT], [use(NULLS)]),
    "nulls, extended": ([one("BEGIN"), one("SET LOCAL transform_null_equals = on"), use(NULLS),
                         one("COMMIT")], [use(NULLS)]),
    "nulls, extended and ahead": ([one("BEGIN") + one("SET LOCAL transform_null_equals = on")
                                   + use(NULLS), one("COMMIT")], [use(NULLS)]),
    "nulls, for good": ([w.query("SET transform_null_equals = on") + use(NULLS)], [use(NULLS)]),
    "nulls, by a function": ([BEGIN, one("SELECT set_config($1, $2, true)",
                                         "transform_null_equals", "on"), use(NULLS), COMMIT],
                             [use(NULLS)]),
    "nulls, for both": ([BEGIN, ON, use(NULLS), COMMIT], [BEGIN, ON, use(NULLS), COMMIT]),
    "nulls, no transaction": ([ON + use(NULLS)], [BEGIN, ON, use(NULLS), COMMIT]),
    "nulls, gone back": ([BEGIN, w.query("SAVEPOINT a"), ON, w.query("ROLLBACK TO a"), use(NULLS),
                          COMMIT],
                         [BEGIN, w.query("SAVEPOINT a"), ON, use(NULLS), COMMIT]),
    "nulls, gone back by extended": (
        [BEGIN, w.query("SAVEPOINT a"), ON, one("ROLLBACK TO a"), use(NULLS), COMMIT],
        [BEGIN, w.query("SAVEPOINT a"), ON, one("SAVEPOINT a"), use(NULLS), COMMIT]),
    "nulls, gone back from an error": (
        [BEGIN, w.query("SAVEPOINT a"), ON, w.query("SELECT 1/0"), w.query("ROLLBACK TO a"),
         use(NULLS), COMMIT],
        [BEGIN, w.query("SAVEPOINT a"), ON, use(NULLS), COMMIT]),
    "arrays": ([BEGIN, OFF, use(ARRAY), COMMIT], [use(ARRAY)]),
    "a time zone": ([BEGIN, TOKYO, use(EPOCH), COMMIT], [use(EPOCH)]),
    "a time zone, sent ahead": ([BEGIN + TOKYO + use(EPOCH), COMMIT], [use(EPOCH)]),
    "a trigger": ([w.query("INSERT INTO zones VALUES (1)") + use(EPOCH)], [use(EPOCH)]),
    "a cursor": ([BEGIN, w.query("DECLARE c CURSOR FOR SELECT"
                                 " set_config('TimeZone', 'Asia/Tokyo', true)"),
                  w.query("FETCH c") + use(EPOCH), ROLLBACK], [use(EPOCH)]),
    "a portal": ([BEGIN, w.parse("SET LOCAL TimeZone = 'Asia/Tokyo'") + w.bind(portal="p")
                  + w.sync(), w.execute(portal="p") + use(EPOCH), ROLLBACK], [use(EPOCH)]),
    "a portal, behind others": (
        [BEGIN, w.parse("SET LOCAL TimeZone = 'Asia/Tokyo'") + w.bind(portal="p") + w.sync(),
         w.parse("SELECT 1") + w.bind() + w.execute() + w.execute(portal="p") + use(EPOCH),
         ROLLBACK], [use(EPOCH)]),
    "an end": ([BEGIN, TOKYO, ROLLBACK + use(EPOCH)], [BEGIN, TOKYO, use(EPOCH), COMMIT]),
    "nulls, reset": ([BEGIN, ON, w.query("RESET transform_null_equals"), use(NULLS), COMMIT],
                     [BEGIN, ON, use(NULLS), COMMIT]),
    "nulls, bound only": ([BEGIN, w.parse(SET_ON) + w.bind() + w.sync(), use(NULLS), COMMIT],
                          [BEGIN, one(SET_ON), use(NULLS), COMMIT]),
    "nulls, a Query and a pipeline": ([ON + use(NULLS)],
                                      [w.parse(SET_ON) + w.bind() + w.execute() + use(NULLS)]),
    "nulls, gone back by a long text": (
        [BEGIN, w.query("SAVEPOINT a"), ON, w.query("ROLLBACK TO " + LONG + " a"), use(NULLS), COMMIT],
        [BEGIN, w.query("SAVEPOINT a"), ON, use(NULLS), COMMIT]),
    "nulls, gone back and more": (
        [BEGIN, w.query("SAVEPOINT a"), ON, w.query("ROLLBACK TO a; SELECT 1"), use(NULLS), COMMIT],
        [BEGIN, w.query("SAVEPOINT a"), ON, use(NULLS), COMMIT]),
    "nulls, a chain": ([BEGIN, ON, w.query("COMMIT " + LONG + " AND CHAIN"), use(NULLS), COMMIT],
                       [BEGIN, ON, use(NULLS), COMMIT]),
    "bytes": ([w.query("SET bytea_output = escape"), use(BYTES)], [use(BYTES)]),
    "digits": ([w.query("SET extra_float_digits = -10"), use(THIRD)], [use(THIRD)]),
    "digits of a root": ([BEGIN, DIGITS, use(ROOT), COMMIT], [use(ROOT)]),
    "digits of a root, by code": ([w.query("SELECT few_digits()"), use(ROOT)], [use(ROOT)]),
    "digits of a power": ([BEGIN, DIGITS, use(POWER), COMMIT], [use(POWER)]),
    "an interval, ahead": ([BEGIN + w.query("SET LOCAL IntervalStyle = iso_8601") + use(MADE),
                            COMMIT], [use(MADE)]),
    "quotes": ([w.query("SET quote_all_identifiers = on"), use(QUOTED)], [use(QUOTED)]),
    "code": ([w.query("SELECT nulls()"), use(NULLS)], [use(NULLS)]),
    "code, in a transaction": ([BEGIN, w.query("SELECT nulls()"), use(NULLS), COMMIT], [use(NULLS)]),
    "code, ahead": ([BEGIN, w.query("SELECT nulls()") + use(NULLS), COMMIT], [use(NULLS)]),
    "code, in a pipeline": ([w.parse("SELECT nulls()") + w.bind() + w.execute() + use(NULLS)],
                            [use(NULLS)]),
    "code, DO": ([BEGIN, w.query("DO $$ BEGIN SET LOCAL array_nulls = off; END $$"), use(ARRAY),
                  COMMIT], [use(ARRAY)]),
    "code, its zones": ([w.query("SELECT set_zones()"), use(EST)], [use(EST)]),
    "code, another lease": ([w.query("SELECT nulls()"), w.query("SELECT 1"), use(NULLS)],
                            [use(NULLS)]),
    "code, a trigger": ([w.query("INSERT INTO nulls VALUES (1)"), use(NULLS)], [use(NULLS)]),
    "code, a trigger ahead": ([w.query("INSERT INTO nulls VALUES (1)") + use(NULLS)], [use(NULLS)]),
}
OUT_OF_SIGHT = [story for story in STORIES if story.startswith("code")] + [
    "a trigger", "digits of a root, by code"]


def tell(wire, steps):
    """The rows that they give, and the errors."""
    told = []
    for step in steps:
        wire.send(step)
        for _ in range(sum(step.count(kind) for kind in (b"Q\0\0\0", b"F\0\0\0", w.sync()))):
            answer = wire.until_ready()
            told.append((w.errors(answer), w.rows(answer)))
    return told


@pytest.fixture(autouse=True)
def zones(postgres):
    postgres.sql(
        "CREATE TABLE zones (x int)", "GRANT ALL ON zones TO PUBLIC",
        "CREATE FUNCTION zones() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " PERFORM set_config('TimeZone', 'Asia/Tokyo', false); RETURN NEW; END $$",
        "CREATE TRIGGER zones BEFORE INSERT ON zones FOR EACH ROW EXECUTE FUNCTION zones()",
        "CREATE FUNCTION nulls() RETURNS int LANGUAGE plpgsql AS $$ BEGIN"
        " PERFORM set_config('transform_null_equals', 'on', false); RETURN 1; END $$",
        "CREATE FUNCTION set_zones() RETURNS int LANGUAGE plpgsql AS $$ BEGIN"
        " PERFORM set_config('timezone_abbreviations', 'Australia', false); RETURN 1; END $$",
        "CREATE FUNCTION few_digits() RETURNS int LANGUAGE plpgsql AS $$ BEGIN"
        " PERFORM set_config('extra_float_digits', '-10', false); RETURN 1; END $$",
        "CREATE TABLE nulls (x int)", "GRANT ALL ON nulls TO PUBLIC",
        "CREATE FUNCTION nulled() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " PERFORM nulls(); RETURN NEW; END $$",
        "CREATE TRIGGER nulls BEFORE INSERT ON nulls FOR EACH ROW EXECUTE FUNCTION nulled()",
        dbname=DATABASE)
    yield
    postgres.sql("DROP TABLE zones, nulls", "DROP FUNCTION zones, nulls, set_zones, few_digits, nulled",
                 dbname=DATABASE)


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("state", ["strict", "tracked"])
def test_nobody_has_what_another_has_read(make_router, story, state):
    router = make_router({**limited(1), "defaults": {"session_state": state}})
    if state == "tracked" and story in OUT_OF_SIGHT:
        pytest.skip("what code sets out of sight is not looked after")
    first, then = STORIES[story]
    with router.session.wire() as direct:
        expected = tell(direct, then)
    with router.transactional.wire() as a, router.transactional.wire() as b, \
            router.transactional.wire() as other:
        # There is something that code could replace.
        prepare(other, "other", "SELECT 1")
        tell(a, first)
        assert tell(b, then) == expected
        # Whoever comes now, and these again.
        with router.transactional.wire() as c:
            assert tell(c, then) == expected


def parses(router):
    return sum(int(row["server_parse_count"]) for row in router.show("STATS_TOTALS"))


@pytest.mark.parametrize("setting", ["SET LOCAL app.tenant = '1'", TOKYO[5:-1].decode(),
                                     "SELECT quiet()"])
def test_behind_a_setting_a_text_is_read_once(make_router, postgres, setting):
    """However often it is used there, for everybody and for this client; and what others have on
    that server stays."""
    router = make_router(limited(2, max_prepared_statements=4))
    postgres.sql("CREATE OR REPLACE FUNCTION quiet() RETURNS int LANGUAGE plpgsql AS"
                 " $$ BEGIN RETURN 1; END $$", dbname=DATABASE)
    with router.transactional.wire() as a, router.transactional.wire() as b:
        for wire in (a, b):
            prepare(wire, "s", "SELECT 'x' || quiet()")
        here = a.value("SELECT pg_backend_pid()")
        for wire in (a, b):
            wire.query("BEGIN")
        if a.value("SELECT pg_backend_pid()") == here:
            a, b = b, a
        # s is on the one server, and o on the other.
        prepare(a, "o", "SELECT 'o'")
        before = parses(router)
        a.send(w.query(setting), (w.bind(name="s") + w.execute()) * 50 + w.sync())
        assert w.errors(a.until_ready()) == []
        assert w.rows(a.until_ready()) == [("x1",)] * 50
        a.send(w.bind(name="o") + w.execute() + w.sync())
        assert w.rows(a.until_ready()) == [("o",)]
        assert parses(router) - before <= 2
    postgres.sql("DROP FUNCTION quiet", dbname=DATABASE)


def test_what_one_is_unsure_of_others_share_all_the_same(make_router):
    """A text that was used first while it was not known how it would be read."""
    router = make_router(limited(1))
    text = "SELECT 'ü' || $1"
    with router.transactional.wire() as a, router.transactional.wire() as b, \
            router.transactional.wire() as c:
        for wire in (a, b, c):
            prepare(wire, "s", text)
        c.send(w.parse("SET client_encoding = 'UTF8'") + w.bind() + w.execute()
               + w.bind(("x",), "s") + w.execute() + w.sync())
        assert w.rows(c.until_ready()) == [("üx",)]
        before = parses(router)
        for wire in (a, b) * 4:
            assert tell(wire, [w.bind(("x",), "s") + w.execute() + w.sync()]) == [([], [("üx",)])]
        assert parses(router) - before <= 1


ITEMS = "SELECT x FROM things"
NEARER = w.query("SET search_path = nearer, public")
CLOSE = w.close("S", "s") + w.sync()

# How a table comes to stand in front of another of its name, whose tag may be SELECT's.
TABLES = {
    "AS": [w.query("CREATE TABLE nearer.things AS SELECT 42 AS x"), use(ITEMS)],
    "INTO": [w.query("SELECT 42 AS x INTO nearer.things"), use(ITEMS)],
    "AS, among others": [w.query("SELECT 1; CREATE TABLE nearer.things AS SELECT 42 AS x; SELECT 2"),
                         use(ITEMS)],
    "AS, extended": [one("CREATE TABLE nearer.things AS SELECT 42 AS x"), use(ITEMS)],
    "AS, by a name": [w.parse("CREATE TABLE nearer.things AS SELECT 42 AS x", "m") + w.sync(),
                      w.bind(name="m") + w.execute() + w.sync(), use(ITEMS)],
    "AS, and more": [one("SELECT 1") + w.parse("CREATE TABLE nearer.things AS SELECT 42 AS x")
                     + w.bind() + w.execute() + one("SELECT 2"), use(ITEMS)],
    "AS, temporary": [w.query("CREATE TEMP TABLE things AS SELECT 42 AS x"), use(ITEMS),
                      w.query("DROP TABLE pg_temp.things")],
    "AS, until the end": [BEGIN, w.query("CREATE TEMP TABLE things ON COMMIT DROP AS SELECT 42 AS x"),
                          use(ITEMS), COMMIT, CLOSE, use(ITEMS)],
    "AS, explained": [w.query("EXPLAIN (ANALYZE, TIMING off, SUMMARY off)"
                              " CREATE TABLE nearer.things AS SELECT 42 AS x"), use(ITEMS)],
    "a materialized view": [w.query("CREATE MATERIALIZED VIEW nearer.things AS SELECT 42 AS x"),
                            use(ITEMS)],
    "dropped and back": [w.query("CREATE TABLE nearer.things (x int)"), BEGIN,
                         w.query("SAVEPOINT a"), w.query("DROP TABLE nearer.things"), use(ITEMS),
                         w.query("ROLLBACK TO a"), CLOSE, use(ITEMS), COMMIT],
}


@pytest.fixture
def things(postgres):
    postgres.sql("CREATE TABLE public.things AS SELECT 1 AS x",
                 "GRANT ALL ON public.things TO PUBLIC", dbname=DATABASE)

    def nearer():
        postgres.sql("DROP SCHEMA IF EXISTS nearer CASCADE", "CREATE SCHEMA nearer",
                     "GRANT ALL ON SCHEMA nearer TO PUBLIC", dbname=DATABASE)
    yield nearer
    postgres.sql("DROP TABLE public.things", "DROP SCHEMA nearer CASCADE", dbname=DATABASE)


@pytest.mark.parametrize("story", TABLES)
def test_table_in_front_of_another(make_router, things, story):
    router = make_router(limited(1, max_pinned=1))
    seen = {}
    for port in ("session", "transactional"):
        things()
        with getattr(router, port).wire() as wire, router.transactional.wire() as other:
            tell(wire, [NEARER])
            tell(other, [NEARER, use(ITEMS)])
            seen[port] = tell(wire, TABLES[story])
    assert seen["transactional"] == seen["session"]


def test_parameters_that_are_of_other_types_elsewhere(make_router, postgres):
    """What one client's SET LOCAL search_path has made of a parameter fails for another once, and
    for nobody twice."""
    router = make_router(limited(1))
    text = "SELECT count(*) FROM typed WHERE x = $1"
    postgres.sql(*(each for schema, kind in (("texts", "text"), ("ints", "int")) for each in (
        f"CREATE SCHEMA {schema}", f"CREATE TABLE {schema}.typed AS SELECT 1::{kind} AS x",
        f"GRANT ALL ON SCHEMA {schema} TO PUBLIC", f"GRANT ALL ON {schema}.typed TO PUBLIC")),
        dbname=DATABASE)

    def steps(schema, first):
        uses = w.bind((1,), "s") + w.execute() + w.sync()
        return [BEGIN, w.query(f"SET LOCAL search_path = {schema}"),
                w.parse(text, "s") + uses if first else uses, COMMIT]
    try:
        with router.transactional.wire() as a, router.transactional.wire() as b:
            assert tell(a, steps("texts", True))[2] == ([], [("1",)])
            errors, _ = tell(b, steps("ints", True))[2]
            assert errors in ([], ["42883"])
            for _ in range(2):
                assert tell(b, steps("ints", False))[2] == ([], [("1",)])
            tell(a, steps("texts", False))
            for wire, schema in ((a, "texts"), (b, "ints")) * 2:
                assert tell(wire, steps(schema, False))[2] == ([], [("1",)])
            with router.transactional.wire() as c:
                tell(c, steps("ints", True))
                assert tell(c, steps("ints", False))[2] == ([], [("1",)])
    finally:
        postgres.sql("DROP SCHEMA texts, ints CASCADE", dbname=DATABASE)

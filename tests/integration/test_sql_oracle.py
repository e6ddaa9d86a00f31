# SPDX-License-Identifier: ISC
"""src/sql beside PostgreSQL itself: the same texts, the same answers.

Texts go to tests/unit/sql/sql_dump, which shows what src/sql makes of them, and to
PostgreSQL.  Random ones come from a seed that is printed when a test fails
(PGTANDEM_SQL_SEED repeats it); PGTANDEM_SQL_ROUNDS multiplies their number.
"""
import os
import pathlib
import random
import re
import subprocess

import psycopg
import pytest
from psycopg.pq import ExecStatus

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEFINITIONS = ROOT / "include"
SEED = int(os.environ.get("PGTANDEM_SQL_SEED", random.SystemRandom().randrange(1 << 32)))
ROUNDS = int(os.environ.get("PGTANDEM_SQL_ROUNDS", "1"))

STANDARD, UTF8, UNSAFE = 1, 2, 4        # enum lexer_flag


class Dump:
    """Answers of sql_dump."""

    def __init__(self):
        build = pathlib.Path(os.environ.get("PGTANDEM", ROOT / "build" / "pgtandem")).parent
        self.program = build / "tests" / "unit" / "sql" / "sql_dump"
        subprocess.run(["make", "-s", "tests/unit/sql/sql_dump"], cwd=build, check=True)

    def ask(self, mode, texts, flags=STANDARD | UTF8):
        lines = "".join(f"{flags} {as_bytes(text).hex()}\n" for text in texts)
        done = subprocess.run([self.program, mode], input=lines.encode(), check=True,
                              stdout=subprocess.PIPE)
        answers = done.stdout.decode().splitlines()
        assert len(answers) == len(texts)
        return answers

    def values(self, mode, texts, flags=STANDARD | UTF8):
        """Bytes, or the word that says why there are none."""
        return [bytes.fromhex(answer[1:]) if answer[0] == "=" else answer
                for answer in self.ask(mode, texts, flags)]

    def statements(self, texts, flags=STANDARD | UTF8):
        """For each text its statements: (kind, set of flags, the rest)."""
        found = []
        for answer in self.ask("statements", texts, flags):
            number, *each = answer.split(" ")
            each = [bytes.fromhex(part).decode(errors="replace") for part in each]
            assert len(each) == int(number)
            found.append((int(number), [parse_rendered(part) for part in each], each))
        return found


def as_bytes(text):
    return text if isinstance(text, bytes) else text.encode()


def parse_rendered(text):
    found = re.match(r"([A-Z_]+)(?:\(([^)]*)\))?", text, re.S)
    return found[1], set((found[2] or "").split(",")) - {""}, text[found.end():].strip()


@pytest.fixture(scope="module")
def dump():
    return Dump()


@pytest.fixture
def connection(postgres_cluster):
    # Random texts may run for long; as a startup option no RESET takes it away.
    with postgres_cluster.connect(options="-c statement_timeout=2s -c work_mem=1MB"
                                  " -c escape_string_warning=off") as connection:
        connection.prepare_threshold = None
        yield connection


@pytest.fixture
def rng(request):
    print(f"PGTANDEM_SQL_SEED={SEED}")
    return random.Random(f"{SEED} {request.node.name}")


def run(connection, text):
    """One Query: the tags of its statements, and the SQLSTATE if it failed."""
    pq = connection.pgconn
    pq.send_query(as_bytes(text))
    tags, sqlstate = [], None
    while (result := pq.get_result()) is not None:
        if result.status == ExecStatus.FATAL_ERROR:
            sqlstate = result.error_field(psycopg.pq.DiagnosticField.SQLSTATE).decode()
        elif result.status == ExecStatus.COPY_IN:
            pq.put_copy_end()
        elif result.status == ExecStatus.COPY_OUT:
            while pq.get_copy_data(0)[0] > 0:
                pass
        elif result.status != ExecStatus.EMPTY_QUERY:
            tags.append(result.command_status.decode())
    return tags, sqlstate


def kind_tags():
    text = (DEFINITIONS / "sql_kinds.def").read_text()
    return {name: tag for name, tag in
            re.findall(r'^KIND\((\w+),\s+\w+,\s+"([^"]*)"\)', text, re.M)}


TAGS = kind_tags()


def tag_fits(kind, tag):
    if kind == "COMMIT" and tag == "ROLLBACK":
        return True             # of a failed transaction
    if kind == "CREATE_VIEW" and tag.startswith("CREATE MATERIALIZED"):
        return False
    return tag.startswith(TAGS[kind])


def check_text(dump_answer, text, tags, sqlstate, may_be_unsure=()):
    """What PostgreSQL did with a text that it has read is what was found in it."""
    number, statements, rendered = dump_answer
    if sqlstate is not None:
        # The statement that failed has no tag, and those behind it did not run.
        assert number > len(tags) or sqlstate == "42601", (text, tags, rendered)
        number = len(tags)
    else:
        assert number == len(tags), (text, tags, rendered)
    for (kind, flags, _), tag in zip(statements, tags):
        if kind == "UNKNOWN":
            assert text in may_be_unsure, (text, tag, rendered)
        else:
            assert tag_fits(kind, tag), (text, tag, rendered)
        assert "unsure" not in flags or text in may_be_unsure, (text, rendered)


# ------------------------------------------------------------------------ literals

PIECES = ["a", "B", "0", "7", "x", "u", "U", "n", "t", " ", "é", "€", "\\", "\\\\", "'", "''",
          "\"", "\"\"", "\\'", "\\n", "\\101", "\\0", "\\x41", "\\x4", "\\xg", "\\u0041",
          "\\u00e9", "\\U0001f600", "\\ud83d", "\\ude00", "\\d83d", "\\de00", "\\0041",
          "\\+000041", "\\+00e9", "!0041", "!", "$", "$$", "$a$", "$b$", "--", "/*", "*/",
          "\n", "\r\n", "\t", "'\n'", "' \n -- it's\n '", "' '", "\\u12", "\\xff", "\\377", ";"]
OPENINGS = ["'{}'", "E'{}'", "e'{}'", "U&'{}'", "u&'{}' UESCAPE '!'", "N'{}'", "$${}$$",
            "$a${}$a$", "'{}' /* c */", "U&'{}' /* c */ uescape\nE'\\x21'"]


def random_body(rng):
    return "".join(rng.choice(PIECES) for _ in range(rng.randrange(6)))


def single_value(connection, text):
    """The value of a constant, or None if PostgreSQL refuses it."""
    result = connection.pgconn.exec_(as_bytes(text))
    if result.status != ExecStatus.TUPLES_OK or result.nfields != 1:
        return None
    return result


@pytest.mark.parametrize("standard", [True, False])
def test_strings_have_the_values_that_postgresql_gives_them(dump, connection, rng, standard):
    connection.execute(f"SET standard_conforming_strings = {standard}")
    connection.execute("SET backslash_quote = on")
    flags = (STANDARD if standard else 0) | UTF8
    texts = [rng.choice(OPENINGS).replace("{}", random_body(rng))
             for _ in range(6000 * ROUNDS)]
    accepted = 0
    values = dump.values("value", texts, flags)
    tokens = dump.ask("tokens", texts, flags)
    for text, value, found in zip(texts, values, tokens):
        tokens_found = found.split(" ")
        result = single_value(connection, "SELECT " + text)
        if len(tokens_found) != 2 or tokens_found[0].startswith("19:"):
            # Not one token, or one without end.
            if result is not None:
                assert len(tokens_found) > 2, (text, found)
            continue
        if result is None:
            assert value in ("invalid", "unknown") or tokens_found[-1] == "unsure", \
                (text, value)
            continue
        accepted += 1
        if value == "unknown":
            assert re.search(r"\\[xX3]|\n|\r", text), text
        else:
            assert value == result.get_value(0, 0), (text, value, result.get_value(0, 0))
            assert tokens_found[-1] == "sure", text
    assert accepted > len(texts) / 8


def test_names_are_folded_and_cut_as_postgresql_does_it(dump, connection, rng):
    forms = ["{}", "\"{}\"", "U&\"{}\"", "U&\"{}\" UESCAPE '!'"]
    pieces = ["a", "Bc", "_", "$", "0", "Z", "\"\"", "é", "\\0041", "!0042", "\\\\", "!!", "x" * 30,
              "Y" * 31, "'"]
    texts = []
    for _ in range(3000 * ROUNDS):
        body = "".join(rng.choice(pieces) for _ in range(rng.randrange(1, 6)))
        texts.append(rng.choice(forms).replace("{}", body))
    accepted = 0
    values = dump.values("value", texts)
    tokens = dump.ask("tokens", texts)
    for text, value, found in zip(texts, values, tokens):
        if len(found.split(" ")) != 2 or found.startswith("19:"):
            continue
        result = single_value(connection, "SELECT 1 AS " + text)
        if result is None:
            assert value in ("invalid", "unknown") or found.endswith("unsure") or \
                found[:2] not in ("1:", "2:", "3:"), (text, value)
            continue
        accepted += 1
        if value == "unknown":
            assert re.search("é", text) or len(text) > 200, text
        else:
            assert value == result.fname(0), (text, value, result.fname(0))
    assert accepted > len(texts) / 4


# ---------------------------------------------------------------------- statements

BLANKS = ["\n", "\t ", " -- c\n", "/**/", "/* /* ; */ ' */", " /* $$ */ "]
FRAGMENTS = ["SELECT 1", "SELECT ';'", "SELECT $$;$$", "SELECT $a$ $$;$$ $a$", "SELECT E'\\';'",
             "SELECT 1 AS \";\"", "SELECT U&';'", "VALUES (1), (2)", "TABLE pg_am LIMIT 1",
             "(SELECT 1)", "((SELECT 1) UNION SELECT 2)", "WITH x AS (SELECT 1) SELECT * FROM x",
             "WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x WHERE n < 3) TABLE x",
             "SHOW timezone", "SHOW TIME ZONE", "SET app.x = 'a;b'", "SET LOCAL app.x = 1",
             "RESET app.x", "BEGIN", "COMMIT", "ROLLBACK", "START TRANSACTION READ ONLY", "END",
             "ABORT", "SAVEPOINT s", "EXPLAIN SELECT 1", "EXPLAIN (COSTS OFF) SELECT 1",
             "EXPLAIN ANALYZE VALUES (1)", "SELECT '{}'::int[]", "SELECT 'a'\n';b'",
             "SELECT N';'", "SELECT b'1'", "SELECT x'1f'", "SELECT 1+-+1", "SELECT @-1",
             "SELECT 1*/*;*/1", "SELECT 1.5e-3", "SELECT .5", "SELECT 1.", "DISCARD PLANS",
             "DISCARD TEMP", "LISTEN x", "UNLISTEN *", "NOTIFY x, 'p;q'", "DEALLOCATE ALL",
             "CLOSE ALL", "DO $$BEGIN NULL; END$$", "DO LANGUAGE plpgsql 'BEGIN NULL; END'",
             "SELECT a.\"b;\" FROM (SELECT 1 AS \"b;\") a",
             "SET search_path = public, \"a;b\"", "RESET ALL", "SET SESSION AUTHORIZATION DEFAULT",
             "SET TIME ZONE LOCAL", "SET NAMES 'UTF8'", "SET ROLE NONE",
             "SELECT CASE WHEN true THEN 1 END", "SELECT 1 begin", "SELECT 1 AS end",
             "CREATE OR REPLACE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1;"
             " SELECT CASE WHEN true THEN 1 END; END",
             "CREATE OR REPLACE PROCEDURE pg_temp.p() BEGIN ATOMIC END",
             "CREATE OR REPLACE FUNCTION pg_temp.g(a int DEFAULT 1) RETURNS int RETURN a + 1",
             "CREATE OR REPLACE VIEW pg_temp.v AS SELECT 1 AS begin, 2 AS atomic",
             "CREATE TEMP TABLE IF NOT EXISTS tt (a int); CREATE OR REPLACE RULE r AS ON INSERT TO"
             " tt DO ALSO (SELECT 1; SELECT 2;)", ""]


def test_texts_fall_into_the_statements_that_postgresql_runs(dump, connection, rng):
    texts = []
    for _ in range(1500 * ROUNDS):
        parts = [rng.choice(BLANKS + [""] * 3) + rng.choice(FRAGMENTS) +
                 rng.choice(BLANKS + [""] * 3) for _ in range(rng.randrange(1, 5))]
        texts.append(";".join(parts))
    ran = 0
    answers = dump.statements(texts)
    for text, answer in zip(texts, answers):
        tags, sqlstate = run(connection, text)
        check_text(answer, text, tags, sqlstate)
        ran += len(tags)
        run(connection, "ROLLBACK")
    assert ran > len(texts)


def test_texts_that_are_cut_or_mixed_up(dump, connection, rng):
    """Most of these are refused; what is not has the statements that were found."""
    texts, accepted = [], 0
    for _ in range(4000 * ROUNDS):
        text = ";".join(rng.choice(FRAGMENTS) for _ in range(rng.randrange(1, 4)))
        for _ in range(rng.randrange(1, 3)):
            at, span = rng.randrange(len(text) + 1), rng.randrange(4)
            text = text[:at] + rng.choice(BLANKS + PIECES + ["", "", ";", "("]) + text[at + span:]
        texts.append(text)
    answers = dump.statements(texts)
    for text, answer in zip(texts, answers):
        tags, sqlstate = run(connection, text)
        run(connection, "ROLLBACK; RESET ALL")
        if sqlstate is None:
            check_text(answer, text, tags, sqlstate, texts)
            accepted += len(tags) > 0
    assert accepted > len(texts) / 50


# ------------------------------------------------------------------- what they leave

SNAPSHOT = """SELECT
    (SELECT array_agg(name || '=' || setting ORDER BY name) FROM pg_settings
      WHERE source = 'session' AND name NOT LIKE 'transaction%%' AND name <> 'seed'),
    (SELECT array_agg(coalesce(current_setting(name, true), '')) FROM unnest(%s::text[]) name),
    (SELECT array_agg(name ORDER BY name) FROM pg_prepared_statements),
    (SELECT array_agg(name ORDER BY name) FROM pg_cursors WHERE name <> ''),
    (SELECT array_agg(c ORDER BY c) FROM pg_listening_channels() c),
    (SELECT array_agg(oid ORDER BY oid) FROM pg_class WHERE relnamespace = pg_my_temp_schema()),
    (SELECT array_agg(oid ORDER BY oid) FROM pg_proc WHERE pronamespace = pg_my_temp_schema()),
    (SELECT array_agg(objid::text || objsubid ORDER BY objid) FROM pg_locks
      WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
    session_user::text, current_user::text,
    (SELECT last_value FROM public.oracle_sequence)"""
STATES = ["setting", "custom", "prepared", "cursor", "channel", "temporary", "routine", "lock",
          "session user", "user", "sequence"]
CUSTOM = ["app.o", "local.o", "session.o", "names.o", "time.zone", "role.o", "app.Deep.er"]

# What in a statement explains that a state has changed: kinds and flags.
EXPLAINS = {
    "setting": {"SET", "RESET", "RESET_ALL", "SET_CHARACTERISTICS", "DISCARD_ALL", "set_config"},
    "custom": {"SET", "RESET", "RESET_ALL", "DISCARD_ALL", "set_config"},
    "prepared": {"PREPARE", "DEALLOCATE", "DEALLOCATE_ALL", "DISCARD_ALL"},
    "cursor": {"hold", "CLOSE", "CLOSE_ALL", "DISCARD_ALL"},
    "channel": {"LISTEN", "UNLISTEN", "UNLISTEN_ALL", "DISCARD_ALL"},
    "temporary": {"temp", "DISCARD_TEMP", "DISCARD_ALL", "DROP"},
    "routine": {"temp", "DISCARD_TEMP", "DISCARD_ALL", "DROP"},
    "lock": {"lock", "unlock", "DISCARD_ALL"},
    "session user": {"SET", "RESET", "RESET_ALL", "DISCARD_ALL", "set_config"},
    "user": {"SET", "RESET", "RESET_ALL", "DISCARD_ALL", "set_config"},
    "sequence": {"nextval"},
}
ANYTHING = {"calls", "unsure", "UNKNOWN", "DO", "CALL", "LOAD"}


def snapshot(connection):
    return dict(zip(STATES, connection.execute(SNAPSHOT, [CUSTOM]).fetchone()))


def explained(statements):
    seen = set()
    for kind, flags, _ in statements:
        seen |= flags | {kind}
    return seen


def mixed_case(rng, word):
    return "".join(rng.choice([c.lower(), c.upper()]) for c in word)


def disguise(rng, text):
    """The same statement in other letters: case of words, comments for blanks."""
    parts = re.split(r"""('(?:[^']|'')*'|"(?:[^"]|"")*"|\$\$.*?\$\$|\$1)""", text, flags=re.S)
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"[A-Za-z_]+", lambda m: mixed_case(rng, m[0]), parts[i])
        parts[i] = re.sub(r" ", lambda m: rng.choice(BLANKS + [" ", " "]) + " ", parts[i])
    return "".join(parts)


def disguise_name(rng, name):
    unicode = "".join(rng.choice([c, "\\%04x" % ord(c), "\\+%06X" % ord(c)]) for c in name)
    bang = unicode.replace("\\", "!")
    schema = rng.choice(["", "", "pg_catalog.", "\"pg_catalog\" . ", "U&\"pg\\005fcatalog\"/**/.",
                         "pg_catalog--\n."])
    return schema + rng.choice([name, mixed_case(rng, name), f'"{name}"', f'U&"{unicode}"',
                                f'u&"{bang}" uescape \'!\'']) + rng.choice(["", " ", "/*(*/", "\n"])


WRAPPINGS = """SELECT {}
SELECT 1, {} AS x, 2
SELECT ({})
SELECT (({})) IS NULL
SELECT * FROM {} x
SELECT * FROM {} x(a), pg_am
SELECT * FROM ROWS FROM ({}) x
SELECT * FROM pg_am, LATERAL {} x LIMIT 1
SELECT * FROM (SELECT {}) x
SELECT 1 FROM pg_am WHERE {} IS NOT NULL
SELECT 1 FROM pg_am GROUP BY 1 HAVING ({}) IS NOT NULL
SELECT 1 ORDER BY {}
SELECT DISTINCT ON ({}) 1
SELECT DISTINCT ON (1) {}
SELECT DISTINCT ON (lower('A')) {}
SELECT 1 OPERATOR(pg_catalog.+) ({} IS NULL)::int
SELECT 1 LIMIT CASE WHEN {} IS NULL THEN 0 ELSE 1 END
SELECT CASE WHEN true THEN {} END
SELECT coalesce({}::text, '')
SELECT ARRAY[{}], ROW({})
SELECT lower(({})::text)
SELECT count(*) FILTER (WHERE {} IS NOT NULL) FROM pg_am
SELECT count(*) OVER (ORDER BY {}) FROM pg_am
SELECT 1 FROM pg_am a JOIN pg_am b ON {} IS NOT NULL LIMIT 1
SELECT 1 WHERE 1 IN (SELECT 1 WHERE {} IS NOT NULL)
SELECT 1 WHERE EXISTS (SELECT {})
SELECT 1 UNION ALL SELECT 2 WHERE {} IS NOT NULL
VALUES ({})
(SELECT {})
(VALUES (1), (({} IS NULL)::int))
WITH x AS (SELECT {}) SELECT * FROM x
WITH x AS MATERIALIZED (SELECT {}) TABLE x
WITH x(a, b) AS (SELECT 1, {}), y AS (SELECT 2) SELECT * FROM x, y
WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x WHERE n < 2 AND {} IS NOT NULL) SELECT * FROM x
WITH x AS (SELECT {} AS a) INSERT INTO oracle_sink SELECT a FROM x
WITH x AS (INSERT INTO oracle_sink SELECT {} RETURNING 1) SELECT * FROM x
INSERT INTO oracle_sink SELECT {}
INSERT INTO oracle_sink (a) VALUES ({})
INSERT INTO oracle_sink (a) VALUES (1) RETURNING {}
INSERT INTO oracle_sink VALUES ('k') ON CONFLICT (a) DO UPDATE SET a = {}::text WHERE {} IS NOT NULL
UPDATE oracle_sink SET a = {}
UPDATE oracle_sink SET (a) = ROW({}::text)
DELETE FROM oracle_sink WHERE {} IS NULL
DELETE FROM oracle_sink USING {} x WHERE false
MERGE INTO oracle_sink t USING (SELECT {} AS a) s ON false WHEN NOT MATCHED THEN INSERT VALUES (s.a)
MERGE INTO oracle_sink t USING {} s ON false WHEN NOT MATCHED THEN DO NOTHING
EXPLAIN ANALYZE SELECT {}
EXPLAIN (ANALYZE, COSTS OFF) SELECT {}
EXPLAIN (COSTS OFF, "analyze") SELECT {}
EXPLAIN ANALYZE CREATE TABLE oracle_made AS SELECT {}
COPY (SELECT {}) TO STDOUT
COPY (SELECT 1 WHERE {} IS NOT NULL) TO STDOUT (FORMAT csv)
CREATE TABLE oracle_made AS SELECT {}
CREATE TABLE oracle_made AS VALUES ({})
CREATE TEMP TABLE oracle_made AS SELECT {}
CREATE MATERIALIZED VIEW oracle_made AS SELECT {}
SELECT {} INTO oracle_made
DECLARE oracle_cursor CURSOR WITH HOLD FOR SELECT {}
PREPARE oracle_prepared AS SELECT {}; EXECUTE oracle_prepared
PREPARE oracle_prepared(text) AS SELECT $1; EXECUTE oracle_prepared({})
BEGIN; SELECT {}; COMMIT
SELECT 1; SELECT {} AS "select"
CREATE TABLE oracle_made (a text); ALTER TABLE oracle_made ADD b text DEFAULT {}::text; INSERT INTO oracle_made VALUES (1)
SELECT b.x FROM (SELECT {} AS x) b WHERE b.x IS NOT NULL
SELECT 1 IS DISTINCT FROM ({} IS NULL)::int
SELECT {} BETWEEN {} AND {}
SELECT '1'::text = {}::text AND 'a' LIKE {}::text
SELECT NOT {} IS NULL
SELECT - ({} IS NULL)::int
SELECT 1 AS a, {} b
SELECT GREATEST({}, {})
SELECT x FROM generate_series(1, ({} IS NOT NULL)::int) AS x
SELECT current_setting('server_version'), {}
SELECT x.* FROM pg_am AS y (a, b), {} AS x
SELECT pg_sleep(0) FROM {} AS x""".split("\n")
CALLS = [("set_config", "{}('app.o', '%d', false)", "set_config"),
         ("set_config", "{}('app.o'::text, $$%d$$, is_local => false)", "set_config"),
         ("pg_try_advisory_lock", "{}(%d)", "lock"),
         ("pg_advisory_lock_shared", "{}(%d)", "lock"),
         ("nextval", "{}('public.oracle_sequence')", "nextval"),
         (None, "oracle_sneaky('%d')", "calls"),
         (None, "public.oracle_sneaky('%d')", "calls"),
         (None, "over('%d')", "calls"),
         (None, "\"over\"('%d')", "calls"),
         (None, "conflict('%d')", "calls"),
         (None, "\"Set\"('%d')", "calls")]
MAKE = """CREATE SEQUENCE public.oracle_sequence; GRANT ALL ON SEQUENCE public.oracle_sequence TO PUBLIC;
CREATE TABLE public.oracle_sink (a text UNIQUE);
CREATE FUNCTION public.oracle_sneaky(text) RETURNS text LANGUAGE plpgsql AS $$
    BEGIN PERFORM set_config('app.o', $1, false); RETURN $1; END $$;
CREATE FUNCTION public.over(text) RETURNS text LANGUAGE sql AS 'SELECT oracle_sneaky($1)';
CREATE FUNCTION public.conflict(text) RETURNS text LANGUAGE sql AS 'SELECT oracle_sneaky($1)';
CREATE FUNCTION public."Set"(text) RETURNS text LANGUAGE sql AS 'SELECT oracle_sneaky($1)'"""
REMOVE = """ROLLBACK; SET SESSION AUTHORIZATION DEFAULT; DISCARD ALL; SELECT pg_advisory_unlock_all();
DROP TABLE IF EXISTS oracle_made; DROP MATERIALIZED VIEW IF EXISTS oracle_made"""


@pytest.fixture
def world(connection):
    connection.execute("DROP TABLE IF EXISTS public.oracle_sink")
    connection.execute(MAKE)
    yield connection
    run(connection, "ROLLBACK; RESET ALL; DISCARD ALL")
    connection.execute("DROP TABLE public.oracle_sink; DROP SEQUENCE public.oracle_sequence;"
                       " DROP FUNCTION public.oracle_sneaky, public.over, public.conflict,"
                       " public.\"Set\"")


def clean(connection):
    for statement in REMOVE.split(";"):
        run(connection, statement)


def check_left(world, text, statements, rendered):
    """Runs the text; whether anything changed, and whether all of it was told."""
    before = snapshot(world)
    run(world, text)
    run(world, "ROLLBACK" if world.info.transaction_status.name == "INERROR" else "COMMIT")
    after = snapshot(world)
    changed = {state for state in STATES if before[state] != after[state]}
    seen = explained(statements)
    for state in changed:
        assert seen & (EXPLAINS[state] | ANYTHING), (state, text, rendered)
    return bool(changed)


def test_every_call_is_seen_wherever_it_stands(dump, world, rng):
    texts = []
    for wrapping in WRAPPINGS:
        for name, call, flag in CALLS:
            for _ in range(ROUNDS):
                made = call
                if name:
                    made = made.replace("{}", disguise_name(rng, name))
                made = made.replace("%d", str(rng.randrange(1, 1 << 30)))
                texts.append((disguise(rng, wrapping).replace("{}", made), flag))
    # All of them take a minute.
    texts = rng.sample(texts, min(len(texts), 300 * ROUNDS))
    effective = 0
    for (text, flag), (_, statements, rendered) in zip(
            texts, dump.statements([text for text, _ in texts])):
        if check_left(world, text, statements, rendered):
            effective += 1
        clean(world)
    # Not every type fits everywhere.
    assert effective > len(texts) / 2, (effective, len(texts))


LEAVES = """SET app.o = 'a'
SET SESSION app.o TO 1
SET "app"."O" = a
SET "App.o" TO b
SET local.o = 'x'
SET session.o TO x
SET names.o = 1
SET time.zone = 1
SET role.o = 1
SET app.deep.er = 1
SET search_path = pg_catalog, "Mixed"
SET SCHEMA 'pg_catalog'
SET NAMES 'LATIN1'
SET TIME ZONE 'Europe/Paris'
SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE
SET TIME ZONE -3
SET TIME ZONE "UTC"
SET XML OPTION DOCUMENT
SET ROLE app_trust
SET ROLE 'app_trust'
SET role = app_trust
SET role TO 'app_trust'
SET SESSION ROLE app_trust
SET SESSION AUTHORIZATION app_trust
SET SESSION SESSION AUTHORIZATION 'app_trust'
SET session_authorization = app_trust
SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY
SET datestyle FROM CURRENT
SET work_mem TO '2MB'; RESET work_mem
BEGIN; SET LOCAL work_mem = '3MB'; SET work_mem FROM CURRENT; COMMIT
BEGIN; SET work_mem = '3MB'; SAVEPOINT a; SET work_mem = '4MB'; ROLLBACK TO a; COMMIT
PREPARE x AS SELECT 1
PREPARE "X y" (int, text) AS INSERT INTO oracle_sink VALUES ($2)
PREPARE transaction AS SELECT 1
PREPARE a AS SELECT 1; PREPARE b AS SELECT 2; DEALLOCATE a
PREPARE prepare AS SELECT 1; DEALLOCATE prepare; PREPARE y AS TABLE pg_am
DECLARE c CURSOR WITH HOLD FOR SELECT 1
DECLARE c BINARY INSENSITIVE NO SCROLL CURSOR WITH HOLD FOR VALUES (1)
BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1; FETCH c; COMMIT
LISTEN x
LISTEN "X y"; LISTEN z; UNLISTEN z
CREATE TEMP TABLE t (a int)
CREATE TEMPORARY TABLE t (a int) ON COMMIT DELETE ROWS
CREATE LOCAL TEMP TABLE t AS SELECT 1
CREATE GLOBAL TEMPORARY TABLE t AS TABLE pg_am
CREATE TABLE pg_temp.t (a int)
CREATE TABLE "pg_temp".t AS SELECT 1
CREATE TABLE U&"pg\\005ftemp".t AS SELECT 1
CREATE UNLOGGED TABLE pg_temp.t (a int)
CREATE TEMP SEQUENCE s
CREATE SEQUENCE pg_temp.s
CREATE TEMP VIEW v AS SELECT 1
CREATE OR REPLACE TEMP VIEW v AS SELECT 1
CREATE OR REPLACE TEMPORARY RECURSIVE VIEW v (n) AS SELECT 1
CREATE VIEW pg_temp.v AS SELECT 1
CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'
CREATE PROCEDURE pg_temp.p() BEGIN ATOMIC SELECT 1; END
CREATE AGGREGATE pg_temp.a(int) (SFUNC = int4pl, STYPE = int)
SELECT 1 AS a INTO TEMP t
SELECT 1 AS a INTO TEMPORARY TABLE t FROM pg_am
SELECT 1 AS a INTO LOCAL TEMP t
SELECT 1 AS a INTO pg_temp.t
(SELECT 1 AS a INTO TEMP t) UNION SELECT 2
WITH x AS (SELECT 1 AS a) SELECT * INTO TEMP t FROM x
SELECT 1 AS a INTO TEMP t UNION SELECT 2
EXPLAIN ANALYZE CREATE TEMP TABLE t AS SELECT 1
EXPLAIN (ANALYZE) SELECT 1 AS a INTO TEMP t
PREPARE q AS SELECT 1; CREATE TEMP TABLE t AS EXECUTE q
CREATE TYPE pg_temp.y AS (a int)
SELECT pg_advisory_lock(5)
SELECT pg_advisory_lock(1, 2), pg_advisory_unlock(1, 2), pg_advisory_lock_shared(3)
SET SESSION characteristics.x = 1
DO $$BEGIN EXECUTE 'SET app.o = 1'; END$$
DO 'BEGIN CREATE TEMP TABLE t (a int); END'
CREATE SCHEMA oracle_schema CREATE TABLE t (a int); SET app.o = 5; DROP SCHEMA oracle_schema CASCADE
CREATE FUNCTION pg_temp.f() RETURNS int BEGIN ATOMIC SELECT 1; END; SET app.o = 6
CREATE FUNCTION pg_temp.f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; END; LISTEN q
SELECT 1 AS begin, 2 AS atomic; SET app.o = 7
SELECT $a$ ; $$ $a$; SET app.o = 8 -- ; $a$
/* ; /* */ ' */ SET app.o = 9
SELECT ';' ';'; SET app.o = 10
SELECT 1 AS ";"; SET app.o = 11
SELECT E'\\';'; SET app.o = 12
SELECT U&'\\0027;'; SET app.o = 13""".split("\n")


def test_what_a_statement_leaves_is_told(dump, world, rng):
    texts = [disguise(rng, text) for text in LEAVES for _ in range(ROUNDS)] + LEAVES
    changed = {}
    for text, (_, statements, rendered) in zip(texts, dump.statements(texts)):
        changed[text] = check_left(world, text, statements, rendered)
        clean(world)
    silent = [text for text in LEAVES if not changed[text]]
    # These are refused, or undo what they did.
    assert len(silent) <= 5, silent


def test_mixed_up_statements_tell_what_they_leave(dump, world, rng):
    texts = []
    for _ in range(500 * ROUNDS):
        text = ";".join(rng.choice(LEAVES + FRAGMENTS) for _ in range(rng.randrange(1, 3)))
        if rng.random() < 0.3:
            text = disguise(rng, text)
        at, span = rng.randrange(len(text) + 1), rng.randrange(2)
        texts.append(text[:at] + rng.choice(BLANKS * 3 + PIECES + [""] * 10) + text[at + span:])
    changed = 0
    for text, (_, statements, rendered) in zip(texts, dump.statements(texts)):
        changed += check_left(world, text, statements, rendered)
        clean(world)
    assert changed > len(texts) / 30


# --------------------------------------------------------------------------- values of SET

VALUES = ["'a'", "''", "'it''s'", "E'a\\nb'", "U&'d\\0061t'", "$$d$$", "abc", "ABC", "\"Abc\"",
          "\"a b\"", "true", "FALSE", "on", "off", "1", "007", "-1", "+5", "-0", "- 12", "1.50",
          "-1.5", "+.5", "1e5", "-1.E3", "2147483647", "2147483648", "-2147483648",
          "99999999999999999999", "0099999999999", "002147483648", "-002147483647", "none", "local", "\"x\"\"y\"", "select_", "left", "values",
          "'x' -- c\n 'y'", "public", "\"public\"", "\"$user\"", "'$user'", "\"select\"", "'1a'"]


@pytest.mark.parametrize("name", ["app.o", "search_path"])
def test_set_has_the_value_that_postgresql_stores(dump, connection, rng, name):
    texts = []
    for _ in range(600 * ROUNDS):
        number = 1 if name != "search_path" else rng.randrange(1, 4)
        texts.append(f"SET {name} {rng.choice(['=', 'TO', ' = '])} " +
                     rng.choice([",", ", ", " , "]).join(rng.choice(VALUES) for _ in range(number)))
    accepted = 0
    for text, value in zip(texts, dump.values("set", texts)):
        _, sqlstate = run(connection, "BEGIN; " + text)
        if sqlstate is None:
            shown = connection.pgconn.exec_(f"SHOW {name}".encode()).get_value(0, 0)
            assert value == shown, (text, value, shown)
            accepted += 1
        run(connection, "ROLLBACK")
    assert accepted > len(texts) / 3


# The same parameter, whichever way it is named.
NAMED = {"timezone": ["SET TIME ZONE 'Asia/Tokyo'", "SET timezone = 'Asia/Tokyo'",
                      "SET \"TimeZone\" TO 'Asia/Tokyo'", "SET TIME ZONE \"Asia/Tokyo\"",
                      "SET LOCAL TIME ZONE 'Asia/Tokyo'"],
         "search_path": ["SET SCHEMA 'pg_catalog'", "SET search_path TO pg_catalog"],
         "client_encoding": ["SET NAMES 'LATIN1'", "SET client_encoding = 'LATIN1'"],
         "xmloption": ["SET XML OPTION DOCUMENT", "SET xmloption = document"],
         "role": ["SET ROLE app_trust", "SET role = app_trust", "SET SESSION ROLE 'app_trust'"],
         "session_authorization": ["SET SESSION AUTHORIZATION app_trust",
                                   "SET session_authorization = 'app_trust'"]}


def test_forms_of_set_name_the_parameter_that_they_change(dump, connection):
    for name, texts in NAMED.items():
        for text, (_, statements, _) in zip(texts, dump.statements(texts)):
            kind, _, rest = statements[0]
            run(connection, "BEGIN; " + text)
            shown = connection.pgconn.exec_(f"SHOW {name}".encode()).get_value(0, 0).decode()
            run(connection, "ROLLBACK")
            assert kind == "SET" and rest.startswith(name + " ="), (text, rest)
            assert rest.lower() == f"{name} ='{shown.lower()}'", (text, rest, shown)


# ------------------------------------------------------------------------- set_config()

def test_constant_calls_of_set_config_have_the_arguments_of_postgresql(dump, connection, rng):
    names = ["'app.o'", "'App.O'", "E'app\\x2eo'", "$$app.o$$", "U&'app\\002eo'", "'app.o'::text"]
    values = ["'a'", "''", "'it''s'", "E'\\\\'", "$$x$$", "NULL", "'v'::text", "'v'::varchar(1)",
              "'a' || 'b'", "1::text", "('a')", "N'n'", "'q'::pg_catalog.text", "upper('a')"]
    lasts = ["false", "FALSE", "'f'", "'false'", "false::bool", "'no'", "'0'", "NOT true", "'F'",
             "1 = 2", "'off'::boolean"]
    texts = []
    for _ in range(400 * ROUNDS):
        call = (f"{disguise_name(rng, 'set_config')}({rng.choice(names)}, {rng.choice(values)}, "
                f"{rng.choice(lasts)})")
        texts.append(f"SELECT {call}" + rng.choice(["", " AS x", " x", " AS \"select\""]))
    known = 0
    for text, answer in zip(texts, dump.ask("calls", texts)):
        only, _, calls = answer.partition(" ")
        calls = bytes.fromhex(calls).decode()
        run(connection, "SELECT set_config('app.o', 'before', false)")
        _, sqlstate = run(connection, text)
        shown = connection.execute("SELECT current_setting('app.o')").fetchone()[0]
        assert calls, text
        if "?" in calls:
            # The name is known all the same.
            assert only == "other" and calls.lower().startswith("'app.o',"), (text, calls)
        elif sqlstate is None:
            known += 1
            assert only == "only", (text, answer)
            wanted = "NULL" if shown == "" and "NULL" in text else f"'{shown}'"
            assert re.fullmatch(rf"'app.o',{re.escape(wanted)},false", calls, re.I), (text, calls)
    assert known > len(texts) / 5


# ------------------------------------------------------------------------------ the tables

HARMLESS_VOLATILE = set("""clock_timestamp gen_random_uuid pg_advisory_xact_lock
    pg_advisory_xact_lock_shared pg_blocking_pids pg_current_wal_flush_lsn
    pg_current_wal_insert_lsn pg_current_wal_lsn pg_database_size pg_indexes_size
    pg_is_in_recovery pg_is_wal_replay_paused pg_jit_available pg_last_wal_receive_lsn
    pg_last_wal_replay_lsn pg_last_xact_replay_timestamp pg_lock_status
    pg_notification_queue_usage pg_partition_ancestors pg_partition_tree pg_relation_size
    pg_sequence_last_value pg_sleep pg_sleep_for pg_sleep_until pg_table_size
    pg_tablespace_size pg_total_relation_size pg_try_advisory_xact_lock
    pg_try_advisory_xact_lock_shared pg_xact_commit_timestamp pg_xact_status random
    timeofday txid_status""".split())


def test_harmless_functions_are_those_that_postgresql_says_change_nothing(connection):
    table = re.findall(r'^FUNCTION\((\w+),\s+"(\w+)"\)',
                       (DEFINITIONS / "sql_functions.def").read_text(), re.M)
    names = [name for _, name in table]
    assert names == sorted(set(names), key=str.encode)
    catalog = dict(connection.execute(
        "SELECT proname, bool_and(provolatile <> 'v') FROM pg_proc"
        " WHERE pronamespace = 'pg_catalog'::regnamespace GROUP BY 1").fetchall())
    for function_class, name in table:
        if function_class == "HARMLESS":
            assert catalog.get(name, False) or name in HARMLESS_VOLATILE, name


def test_keywords_are_those_of_postgresql(connection):
    table = {word: category for category, word in re.findall(
        r'^WORD\(\w+,\s+(\w+),\s+"(\w+)"\)', (DEFINITIONS / "sql_words.def").read_text(), re.M)}
    codes = {"U": "UNRESERVED", "C": "COL_NAME", "T": "TYPE_FUNC", "R": "RESERVED"}
    for word, code in connection.execute("SELECT word, catcode::text FROM pg_get_keywords()"):
        assert table[word] == codes[code], word
    assert list(table) == sorted(table, key=str.encode)


# --------------------------------------------------------------------- transaction blocks

BLOCKED = """VACUUM
VACUUM (ANALYZE) oracle_sink
VACUUM FULL oracle_sink
CREATE DATABASE oracle_database
DROP DATABASE IF EXISTS oracle_database
ALTER DATABASE app SET TABLESPACE pg_default
CREATE TABLESPACE oracle_space LOCATION '/nowhere'
DROP TABLESPACE oracle_space
CREATE SUBSCRIPTION s CONNECTION 'dbname=nowhere' PUBLICATION p
CREATE INDEX CONCURRENTLY ON oracle_sink (a)
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON oracle_sink (a)
DROP INDEX CONCURRENTLY oracle_sink_a_key
REINDEX TABLE CONCURRENTLY oracle_sink
REINDEX (CONCURRENTLY) INDEX oracle_sink_a_key
REINDEX DATABASE app
REINDEX SYSTEM app
REINDEX SCHEMA public
CLUSTER
ALTER SYSTEM SET work_mem = '4MB'
ALTER SYSTEM RESET ALL
DISCARD ALL
COMMIT PREPARED 'x'
ROLLBACK PREPARED 'x'
CREATE TABLE t (a int)
CREATE INDEX ON oracle_sink (a)
DROP INDEX IF EXISTS i
ANALYZE oracle_sink
REINDEX TABLE oracle_sink
DISCARD PLANS
DISCARD TEMP
DISCARD SEQUENCES
CHECKPOINT
LOCK TABLE oracle_sink
TRUNCATE oracle_sink
ALTER TABLE oracle_sink ADD b int
REFRESH MATERIALIZED VIEW v
LOAD 'plpgsql'
COPY oracle_sink TO STDOUT""".split("\n")


def test_what_postgresql_refuses_in_a_block_is_known(dump, world, rng):
    texts = [disguise(rng, text) for text in BLOCKED] + BLOCKED
    refused = 0
    for text, (number, statements, rendered) in zip(texts, dump.statements(texts)):
        run(world, "BEGIN")
        _, sqlstate = run(world, text)
        run(world, "ROLLBACK")
        assert number == 1
        if sqlstate == "25001":
            assert "no-block" in statements[0][1], (text, rendered)
            refused += 1
        else:
            assert sqlstate != "42601", text
    assert refused == 2 * 23


# ------------------------------------------------------------------- what leaves nothing

NOTHING = """SELECT 1
SELECT 1.5e3 AS "A", 'x' b, TRUE, null
BEGIN
BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY
COMMIT
ROLLBACK AND CHAIN
SAVEPOINT s; ROLLBACK TO s; RELEASE s
BEGIN; SELECT 1; COMMIT
SHOW work_mem
SELECT 'a' "begin"
SHOW TRANSACTION ISOLATION LEVEL""".split("\n")


def test_what_is_said_to_leave_nothing_leaves_nothing(dump, world, rng):
    texts = [disguise(rng, text) for text in NOTHING for _ in range(ROUNDS)] + NOTHING + LEAVES
    for _ in range(1500 * ROUNDS):
        text = ";".join(rng.choice(NOTHING * 30 + LEAVES + FRAGMENTS)
                        for _ in range(rng.randrange(1, 3)))
        at, span = rng.randrange(len(text) + 1), rng.randrange(2)
        texts.append(text[:at] + rng.choice(BLANKS * 3 + PIECES + [""] * 10) + text[at + span:])
    said = [text for text, leaves in zip(texts, dump.ask("leaves", texts)) if leaves == "nothing"]
    assert set(NOTHING) <= set(said)
    assert not set(LEAVES) & set(said)
    before = snapshot(world)
    for text in said:
        run(world, text)
    run(world, "ROLLBACK" if world.info.transaction_status.name == "INERROR" else "COMMIT")
    after = snapshot(world)
    assert [state for state in STATES if before[state] != after[state]] == []
    assert len(said) > 100


# ------------------------------------------------------------------- ends of transactions

TRANSACTIONS = """SELECT 1
SELECT 1/0
SELECT 1; SELECT 1/0
SELECT public.oracle_sneaky('1'), nextval('public.oracle_sequence')
INSERT INTO oracle_sink VALUES ('x') ON CONFLICT DO NOTHING
UPDATE oracle_sink SET a = a; DELETE FROM oracle_sink WHERE false
VALUES (1)
TABLE oracle_sink
WITH x AS (DELETE FROM oracle_sink RETURNING *) SELECT * FROM x
SHOW work_mem
SHOW nothing.of_the_kind
COMMIT
END
ROLLBACK
ABORT TRANSACTION
COMMIT AND NO CHAIN
ROLLBACK WORK AND NO CHAIN
COMMIT AND CHAIN
ROLLBACK AND CHAIN
BEGIN
START TRANSACTION
SAVEPOINT s
ROLLBACK TO s
ROLLBACK TO SAVEPOINT s
RELEASE s
BEGIN; SELECT 1; COMMIT
SELECT 1; BEGIN
COMMIT; BEGIN
COMMIT; SELECT 1
SELECT 1; COMMIT AND CHAIN
PREPARE TRANSACTION 'x'
CALL public.nothing()
DO $$BEGIN COMMIT; END$$""".split("\n")
BEHIND = {"outside": [], "in a transaction": ["BEGIN"], "in a failed one": ["BEGIN", "SELECT 1/0"],
          "behind a savepoint": ["BEGIN", "SAVEPOINT s"]}


@pytest.mark.parametrize("where", BEHIND)
def test_texts_end_transactions_where_that_is_said(dump, world, rng, where):
    texts = [disguise(rng, text) for text in TRANSACTIONS for _ in range(ROUNDS)]
    texts += TRANSACTIONS + LEAVES + BLOCKED
    for _ in range(800 * ROUNDS):
        text = ";".join(rng.choice(TRANSACTIONS + FRAGMENTS) for _ in range(rng.randrange(1, 4)))
        at, span = rng.randrange(len(text) + 1), rng.randrange(2)
        texts.append(text[:at] + rng.choice(BLANKS * 3 + PIECES + [""] * 10) + text[at + span:])
    proven = 0
    for text, end in zip(texts, dump.ask("end", texts)):
        if end == "other" or (end == "plain" and where != "outside"):
            continue
        for before in BEHIND[where]:
            run(world, before)
        run(world, text)
        assert world.info.transaction_status.name == "IDLE", (text, end)
        proven += 1
    assert proven > (60 if where == "outside" else 10)

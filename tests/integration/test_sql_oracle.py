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

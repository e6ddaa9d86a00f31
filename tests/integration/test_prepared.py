# SPDX-License-Identifier: ISC
"""Prepared statements of the protocol on the transaction port: each client's own names,
on whichever server its transaction runs."""
import contextlib
import threading

import psycopg
import pytest
from support import wire as w
from support.postgres import DATABASE
from support.wait import SLOWDOWN, wait_until

def limited(servers, **more):
    return {"workloads": {"transactional": {
        "guaranteed_connections": servers, "max_connections": servers, **more}}}


def run(wire, *messages):
    """Sends messages and a Sync; the answer up to ReadyForQuery."""
    wire.send(*messages, w.sync())
    return wire.until_ready()


def prepare(wire, name, sql, types=()):
    answer = run(wire, w.parse(sql, name, types))
    assert w.types(answer) == "1Z", answer
    return answer


def execute(wire, name, *values):
    """The rows of a prepared statement."""
    answer = run(wire, w.bind(values, name), w.execute())
    assert not w.errors(answer), answer
    return w.rows(answer)


def error(answer):
    """SQLSTATE and text of the only error."""
    found = [m for m in answer if m.type == "E"]
    assert len(found) == 1, answer
    return found[0].sqlstate, found[0].text


@contextlib.contextmanager
def occupied(router, pid):
    """Somebody else is in a transaction on this server."""
    holders = []
    try:
        for _ in range(10):
            wire = router.transactional.wire()
            holders.append(wire)
            wire.query("BEGIN")
            if wire.value("SELECT pg_backend_pid()") == str(pid):
                break
        else:
            raise AssertionError(f"nobody got server {pid}")
        for wire in holders[:-1]:
            wire.query("COMMIT")
        yield
        holders[-1].query("COMMIT")
    finally:
        for wire in holders:
            wire.close()


def named_pid(wire):
    """Which server it runs on, without harm to the unnamed statement."""
    return int(execute(wire, "pid")[0][0])


def statements(wire):
    """Names that the server has, by SQL; ends the unnamed statement."""
    return {row[0] for row in w.rows(wire.query("SELECT name FROM pg_prepared_statements"))}


# ---------------------------------------------------------- what PostgreSQL does

def test_names_live_as_long_as_the_client(port):
    with port.wire() as wire:
        prepare(wire, "one", "SELECT 1 + $1::int")
        for n in range(5):
            assert execute(wire, "one", n) == [(str(n + 1),)]
        assert w.types(run(wire, w.describe("S", "one"))) == "tTZ"
        assert w.types(run(wire, w.close("S", "one"))) == "3Z"
        assert error(run(wire, w.bind((1,), "one")))[0] == "26000"


def test_unknown_and_duplicate_names(port):
    with port.wire() as wire:
        for message in (w.bind(name="nobody"), w.describe("S", "nobody")):
            assert error(run(wire, message)) == (
                "26000", 'prepared statement "nobody" does not exist')
        assert w.types(run(wire, w.close("S", "nobody"))) == "3Z"
        prepare(wire, "twice", "SELECT 1")
        assert error(run(wire, w.parse("SELECT 2", "twice"))) == (
            "42P05", 'prepared statement "twice" already exists')
        # The text comes first.
        assert error(run(wire, w.parse("SELEC 2", "twice")))[0] == "42601"
        assert execute(wire, "twice") == [("1",)]


@pytest.mark.parametrize("mine", [None, "SELECT 'mine'"])
def test_the_text_of_a_duplicate_never_runs(port, mine):
    """It is not the unnamed statement then, nor any other."""
    with port.wire() as wire:
        prepare(wire, "twice", "SELECT 1")
        wire.query("SELECT 0")
        if mine:
            prepare(wire, "", mine)
        wire.send(w.parse("SELECT 'never'", "twice"), w.bind(), w.execute(), w.sync(),
                  w.bind(), w.execute(), w.sync())
        assert error(wire.until_ready())[0] == "42P05"
        answer = wire.until_ready()
        if mine:
            assert w.rows(answer) == [("mine",)]
        else:
            assert error(answer)[0] == "26000" and w.rows(answer) == []
        # By no name of the router's either, and nothing stays.
        assert wire.value("SELECT count(*) FROM pg_prepared_statements "
                          "WHERE statement LIKE '%never%' AND statement NOT LIKE '%count%'") == "0"
        assert error(run(wire, w.parse("SELECT 'never'", "twice")))[0] == "42P05"
        assert execute(wire, "twice") == [("1",)]


def test_duplicate_aborts_the_transaction(port):
    with port.wire() as wire:
        prepare(wire, "twice", "SELECT 1")
        wire.query("BEGIN")
        answer = run(wire, w.parse("SELECT 2", "twice"), w.parse("SELECT 3", "never"))
        assert w.types(answer) == "EZ" and answer[-1].body == b"E"
        assert error(run(wire, w.parse("SELECT 2", "twice")))[0] == "25P02"
        assert error(run(wire, w.bind(name="never")))[0] in ("25P02", "26000")
        wire.query("ROLLBACK")
        assert error(run(wire, w.bind(name="never")))[0] == "26000"
        assert execute(wire, "twice") == [("1",)]


def test_names_of_63_bytes_count(port):
    with port.wire() as wire:
        prepare(wire, "x" * 63, "SELECT 1")
        assert execute(wire, "x" * 63 + "more") == [("1",)]
        assert error(run(wire, w.parse("SELECT 2", "x" * 64)))[0] == "42P05"


@pytest.mark.parametrize("name", ["pgtandem_s1", "pgtandem_s0", "pgtandem_s", "pgtandem_sffff"])
def test_names_that_look_like_the_routers(port, name):
    with port.wire() as wire, port.wire() as other:
        prepare(other, "first", "SELECT 'other''s'")
        assert execute(other, "first") == [("other's",)]
        assert error(run(wire, w.bind(name=name)))[0] == "26000"
        assert error(run(wire, w.describe("S", name)))[0] == "26000"
        assert error(wire.query(f"DEALLOCATE {name}"))[0] == "26000"
        assert w.types(run(wire, w.close("S", name))) == "3Z"
        prepare(wire, name, "SELECT 'mine'")
        assert execute(wire, name) == [("mine",)]
        assert error(run(wire, w.parse("SELECT 1", name)))[0] == "42P05"
        assert w.types(wire.query(f"DEALLOCATE {name}")) == "CZ"
        assert execute(other, "first") == [("other's",)]


def test_failed_parse_leaves_no_name(port):
    with port.wire() as wire, port.wire() as other:
        for client in (wire, other):
            assert error(run(client, w.parse("SELECT nothing_here", "bad")))[0] == "42703"
            assert error(run(client, w.bind(name="bad")))[0] == "26000"
        prepare(wire, "bad", "SELECT 'good'")
        assert execute(wire, "bad") == [("good",)]


def test_error_in_the_middle_of_a_pipeline(port):
    """What comes before it counts, what comes after it up to Sync never was."""
    with port.wire() as wire:
        prepare(wire, "old", "SELECT 'old'")
        answer = run(wire, w.parse("SELECT 'a'", "a"), w.bind(name="a"), w.execute(),
                     w.close("S", "a"), w.parse("SELECT 1/0", "zero"), w.bind(name="zero"),
                     w.execute(), w.parse("SELECT 'b'", "b"), w.close("S", "old"))
        assert w.types(answer) in ("12DC312EZ", "12DC31EZ")
        assert execute(wire, "old") == [("old",)]
        assert error(run(wire, w.bind(name="a")))[0] == "26000"
        assert error(run(wire, w.bind(name="b")))[0] == "26000"
        prepare(wire, "b", "SELECT 'B'")
        assert execute(wire, "b") == [("B",)]


def test_query_behind_a_failed_parse_is_skipped(port):
    with port.wire() as wire:
        prepare(wire, "kept", "SELECT 'kept'")
        wire.send(w.parse("SELEC", "x"), w.query("DEALLOCATE kept"), w.sync())
        assert w.types(wire.until_ready()) == "EZ"
        assert execute(wire, "kept") == [("kept",)]


def test_a_failed_transaction_prepares_nothing(port):
    with port.wire() as wire, port.wire() as other:
        prepare(other, "known", "SELECT 'shared text'")
        assert execute(other, "known") == [("shared text",)]
        wire.query("BEGIN")
        prepare(wire, "end", "ROLLBACK")
        wire.query("SELECT 1/0")
        assert error(run(wire, w.parse("SELECT 'shared text'", "late")))[0] == "25P02"
        assert error(run(wire, w.parse("SELECT 'new text'", "late")))[0] == "25P02"
        prepare(wire, "end2", "ROLLBACK")
        answer = run(wire, w.bind(name="end2"), w.execute())
        assert w.types(answer) == "2CZ" and answer[-1].body == b"I"
        assert error(run(wire, w.bind(name="late")))[0] == "26000"
        prepare(wire, "late", "SELECT 'shared text'")
        assert execute(wire, "late") == [("shared text",)]


def test_portals_outlive_their_statement(port):
    with port.wire() as wire:
        prepare(wire, "s", "SELECT generate_series(1, 5)")
        wire.query("BEGIN")
        answer = run(wire, w.bind(name="s", portal="p"), w.close("S", "s"),
                     w.execute("p", 2))
        assert w.types(answer) == "23DDsZ"
        answer = run(wire, w.execute("p"), w.close("P", "p"))
        assert w.rows(answer) == [("3",), ("4",), ("5",)]
        assert w.types(answer) == "DDDC3Z"
        wire.query("COMMIT")


def test_flush_without_sync(port):
    with port.wire() as wire:
        prepare(wire, "s", "SELECT $1::int")
        wire.send(w.parse("SELECT 2", "t"), w.bind((1,), "s"), w.execute(), w.flush())
        assert w.rows(wire.until("C")) == [("1",)]
        wire.send(w.bind(name="t"), w.execute(), w.sync())
        assert w.rows(wire.until_ready()) == [("2",)]


@pytest.mark.parametrize("message", [
    w.bind((1,), "s") + w.execute(), w.bind((1,), "s"), w.close("S", "nobody"),
    w.describe("S", "s"), w.parse("SELECT 1"), w.parse("DEALLOCATE nobody")],
    ids=["bind-execute", "bind", "close", "describe", "parse", "deallocate"])
def test_thousands_of_messages_before_one_sync(port, message):
    """More than the router looks ahead: it goes on as answers come."""
    with port.wire() as wire:
        prepare(wire, "s", "SELECT $1::int")
        sender = threading.Thread(target=lambda: wire.send(message * 20000, w.sync()))
        sender.start()
        answer = wire.until_ready()
        sender.join()
        assert not w.errors(answer)
        assert len(answer) >= 20001
        assert execute(wire, "s", 2) == [("2",)]


# -------------------------------------------------------- over several servers

@pytest.mark.router_only
def test_names_follow_the_client_from_server_to_server(make_router):
    router = make_router(limited(3))
    with router.transactional.wire() as wire:
        prepare(wire, "pid", "SELECT pg_backend_pid()")
        prepare(wire, "add", "SELECT $1::int + $2::int")
        seen = set()
        for n in range(3):
            with contextlib.ExitStack() as stack:
                for pid in seen:
                    stack.enter_context(occupied(router, pid))
                seen.add(named_pid(wire))
                assert execute(wire, "add", n, 1) == [(str(n + 1),)]
                assert w.types(run(wire, w.describe("S", "add"))) == "tTZ"
        assert len(seen) == 3


@pytest.mark.router_only
def test_unnamed_statement_outlives_sync_on_another_server(make_router):
    router = make_router(limited(2))
    with router.transactional.wire() as wire:
        prepare(wire, "pid", "SELECT pg_backend_pid()")
        for text, kept in (("SELECT $1::text || '!'", True), ("/*" + "x" * 9000 + "*/"
                                                              "SELECT $1::text || '!'", True)):
            first = named_pid(wire)
            run(wire, w.parse(text))
            with occupied(router, first):
                # Somebody else's there is not taken for it.
                answer = run(wire, w.bind(("a",)), w.execute())
                assert w.rows(answer) == [("a!",)] and kept
            answer = run(wire, w.bind(("b",)), w.execute(), w.describe("S", ""))
            assert w.rows(answer) == [("b!",)]


@pytest.mark.router_only
def test_an_older_unnamed_statement_is_not_used(make_router):
    """A server that still has one of the same client's from before."""
    router = make_router(limited(2))
    with router.transactional.wire() as wire:
        prepare(wire, "pid", "SELECT pg_backend_pid()")
        for n in range(6):
            first = named_pid(wire)
            run(wire, w.parse(f"SELECT 'older {n}'"))
            with occupied(router, first):
                run(wire, w.parse(f"SELECT 'newer {n}'"))
                second = named_pid(wire)
            assert second != first
            with occupied(router, second):
                answer = run(wire, w.bind(), w.execute())
                assert w.rows(answer) == [(f"newer {n}",)]


def test_unnamed_statement_ends(port):
    """At a Query, a Close, a failed Parse."""
    with port.wire() as wire:
        for end in (w.query("SELECT 1"), w.close("S", "") + w.sync(),
                    w.parse("SELEC") + w.sync(), w.query("DISCARD ALL")):
            run(wire, w.parse("SELECT 'unnamed'"))
            assert w.rows(run(wire, w.bind(), w.execute())) == [("unnamed",)]
            wire.send(end)
            wire.until_ready()
            assert error(run(wire, w.bind())) [0] == "26000"


@pytest.mark.router_only
def test_unnamed_statement_is_nobody_elses(make_router):
    """Also on the session port, and where nobody looks after statements."""
    router = make_router({
        "hosts": {"main": {"connection_budget": 1}},
        "workloads": {"transactional": {"guaranteed_connections": 0, "max_connections": 1},
                      "plain": {"pool_mode": "transaction", "guaranteed_connections": 0,
                                "max_connections": 1, "max_prepared_statements": 0},
                      "session": {"guaranteed_connections": 1, "max_connections": 1}}})
    with router.transactional.wire() as owner:
        for name in ("transactional", "plain", "session"):
            with getattr(router, name).wire() as other:
                run(owner, w.parse("SELECT 'secret'"))
                for message in (w.bind(), w.describe("S", "")):
                    assert error(run(other, message))[0] == "26000", name
                other.quit()
            assert w.rows(run(owner, w.bind(), w.execute())) == [("secret",)]


@pytest.mark.router_only
def test_equal_statements_are_prepared_once(make_router):
    router = make_router(limited(1))
    wires = [router.transactional.wire() for _ in range(10)]
    for n, wire in enumerate(wires):
        prepare(wire, f"mine{n}", "SELECT $1::int * 2")
        assert execute(wire, f"mine{n}", n) == [(str(n * 2),)]
    assert len(statements(wires[0])) == 1
    for wire in wires:
        wire.quit()


@pytest.mark.router_only
def test_parameter_types_tell_statements_apart(make_router):
    router = make_router(limited(1))
    with router.transactional.wire() as one, router.transactional.wire() as two:
        prepare(one, "s", "SELECT pg_typeof($1)::text", (23,))
        prepare(two, "s", "SELECT pg_typeof($1)::text", (25,))
        assert execute(one, "s", 1) == [("integer",)]
        assert execute(two, "s", 1) == [("text",)]


@pytest.mark.router_only
def test_users_share_nothing(make_router):
    router = make_router(limited(2))
    with router.transactional.wire() as one, router.transactional.wire(user="other") as two:
        prepare(one, "me", "SELECT current_user")
        prepare(two, "me", "SELECT current_user")
        for _ in range(3):
            assert execute(one, "me") == [("app_scram",)]
            assert execute(two, "me") == [("other",)]


@pytest.mark.router_only
@pytest.mark.parametrize("name, one, two, sql", [
    ("TimeZone", "Asia/Tokyo", "America/New_York",
     "SELECT extract(epoch FROM '2024-07-01 12:00'::timestamptz)"),
    ("DateStyle", "ISO, DMY", "ISO, MDY", "SELECT extract(month FROM '01/02/2024'::date)"),
    ("IntervalStyle", "postgres", "sql_standard",
     "SELECT extract(epoch FROM '-1 2:00:00'::interval)"),
    ("search_path", "one", "two", "SELECT n FROM t"),
])
def test_constants_are_read_under_the_clients_settings(make_router, postgres, name, one, two, sql):
    """They freeze when PostgreSQL reads the statement: two clients with different settings
    do not share it."""
    with postgres.connect() as connection:
        for schema in ("one", "two"):
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            connection.execute(f"GRANT ALL ON SCHEMA {schema} TO PUBLIC")
            connection.execute(f"CREATE TABLE IF NOT EXISTS {schema}.t (n int)")
            connection.execute(f"TRUNCATE {schema}.t")
            connection.execute(f"GRANT ALL ON {schema}.t TO PUBLIC")
        connection.execute("INSERT INTO one.t VALUES (1)")
        connection.execute("INSERT INTO two.t VALUES (2)")
        expected = []
        for value in (one, two):
            connection.execute(f"SET {name} = '{value}'" if name != "search_path"
                               else f"SET search_path = {value}")
            expected.append(str(connection.execute(sql).fetchone()[0]))
    assert expected[0] != expected[1]
    router = make_router(limited(1))
    wires = [router.transactional.wire(**{name: value}) for value in (one, two, one, two)]
    for wire in wires:
        prepare(wire, "s", sql)
    for _ in range(3):
        assert [execute(wire, "s")[0][0] for wire in wires] == expected * 2
    for wire in wires:
        wire.quit()


@pytest.mark.router_only
def test_set_local_does_not_reach_what_others_share(make_router):
    """A statement that is prepared, or has to be prepared again, under SET LOCAL TimeZone is
    not what others get for the same text."""
    sql = "SELECT extract(epoch FROM '2024-07-01 12:00'::timestamptz)::int"
    router = make_router(limited(1))
    with router.transactional.wire() as one, router.transactional.wire() as two:
        one.query("BEGIN")
        one.query("SET LOCAL TimeZone = 'Asia/Tokyo'")
        prepare(one, "s", sql)
        tokyo = execute(one, "s")
        one.query("COMMIT")
        prepare(two, "s", sql)
        utc = execute(two, "s")
        assert int(utc[0][0]) - int(tokyo[0][0]) == 9 * 3600
        # It was read in Tokyo's time, and stays so until PostgreSQL reads it anew: others with
        # other settings were there (DISCARD PLANS).
        assert execute(one, "s") in (tokyo, utc)
    router = make_router(limited(2))
    with router.transactional.wire() as one, router.transactional.wire() as two:
        prepare(one, "pid", "SELECT pg_backend_pid()")
        prepare(one, "s", sql)
        with occupied(router, named_pid(one)):
            one.query("BEGIN")
            one.query("SET LOCAL TimeZone = 'Asia/Tokyo'")
            execute(one, "s")
            one.query("COMMIT")
            prepare(two, "s", sql)
            assert execute(two, "s") == utc
            assert execute(one, "s") == utc


# Ways to write a constant that is the time at which PostgreSQL reads it.
NOWS = ["'now'::timestamptz", "' NOW '::timestamptz", "timestamptz 'now'", "'_now_'::timestamptz",
        "E'n\\x6fw'::timestamptz", "E'n\\157w'::timestamptz", "U&'n\\006fw'::timestamptz",
        "U&'n!006fw' UESCAPE '!'::timestamptz", "'no'\n'w'::timestamptz", "$$now$$::timestamptz",
        "$x$now$x$::timestamptz", "'{n\\ow}'::timestamptz[]", "'{\"now\"}'::timestamptz[]",
        "'[now,)'::tstzrange", "CAST('now' AS timestamptz)", "timestamptz('now')",
        "'(n\"o\"w)'::frozen"]


@pytest.fixture
def frozen(postgres):
    postgres.sql("CREATE TYPE frozen AS (at timestamptz)", dbname=DATABASE)
    yield postgres
    postgres.sql("DROP TYPE frozen", dbname=DATABASE)


@pytest.mark.parametrize("sql", NOWS)
def test_postgresql_freezes_it(frozen, sql):
    """So it does, or this would prove nothing."""
    with frozen.connect(dbname=DATABASE) as connection:
        connection.execute(f"PREPARE first AS SELECT ({sql})::text")
        connection.execute(f"PREPARE second AS SELECT ({sql})::text")
        before = connection.execute("EXECUTE first").fetchone()
        assert connection.execute("EXECUTE second").fetchone() != before
        assert connection.execute("EXECUTE first").fetchone() == before


@pytest.mark.router_only
@pytest.mark.parametrize("sql", ["SELECT " + sql for sql in NOWS])
def test_now_is_each_clients_own(frozen, make_router, sql):
    """'now' freezes, too: a client that connects tomorrow is not to get today's."""
    router = make_router(limited(1))
    with router.transactional.wire() as one, router.transactional.wire() as two:
        prepare(one, "s", sql)
        first = execute(one, "s")
        assert execute(one, "s") == first
        prepare(two, "s", sql)
        assert execute(two, "s") > first
        assert execute(one, "s") == first


@pytest.mark.router_only
def test_application_name_does_not_tell_statements_apart(make_router):
    router = make_router(limited(1))
    with router.transactional.wire(application_name="a") as one, \
            router.transactional.wire(application_name="b") as two:
        for wire in (one, two):
            prepare(wire, "s", "SELECT 'same'")
        assert len(statements(one)) == 1


@pytest.mark.router_only
def test_least_recently_used_goes(make_router):
    """Twenty statements on a server that keeps two."""
    router = make_router(limited(1, max_prepared_statements=2))
    with router.transactional.wire() as wire:
        for n in range(20):
            prepare(wire, f"s{n}", f"SELECT {n}")
        for _ in range(2):
            for n in list(range(20)) + [3, 4, 3, 4]:
                assert execute(wire, f"s{n}") == [(str(n),)]
        assert len(statements(wire)) == 2
        # All in one pipeline.
        wire.send(*(w.bind(name=f"s{n}") + w.execute() for n in range(20)), w.sync())
        assert w.rows(wire.until_ready()) == [(str(n),) for n in range(20)]
        # What is given up in a pipeline that fails is still there.
        for bad in range(0, 12, 3):
            wire.send(*(w.bind((1, 2) if n == bad else (), f"s{n}") + w.execute()
                        for n in range(20)), w.sync())
            answer = wire.until_ready()
            assert w.errors(answer) == ["08P01"]
            assert w.rows(answer) == [(str(n),) for n in range(bad)]
            assert len(statements(wire)) <= 3
        for n in range(20):
            assert execute(wire, f"s{n}") == [(str(n),)]


@pytest.mark.router_only
def test_large_texts_are_not_kept_by_the_hundred(make_router):
    """2 MB of texts a server, whatever their number."""
    router = make_router({**limited(1, max_client_statement_memory="50MB")})
    with router.transactional.wire() as wire:
        for n in range(12):
            prepare(wire, f"s{n}", f"SELECT {n} /*{'x' * 500000}*/")
            assert len(statements(wire)) <= 4
        for n in range(12):
            assert execute(wire, f"s{n}") == [(str(n),)]


# --------------------------------------------------------- DEALLOCATE, DISCARD

def simple(wire, sql):
    return wire.query(sql)


def extended(wire, sql):
    return run(wire, w.parse(sql), w.bind(), w.describe(), w.execute())


@pytest.mark.parametrize("how", [simple, extended])
def test_deallocate(port, how):
    with port.wire() as wire, port.wire() as other:
        for client in (wire, other):
            prepare(client, "a", "SELECT 'a'")
            prepare(client, "B c", "SELECT 'b'")
        answer = how(wire, "DEALLOCATE a")
        assert [m.tag for m in answer if m.type == "C"] == ["DEALLOCATE"]
        assert error(run(wire, w.bind(name="a")))[0] == "26000"
        assert error(how(wire, "DEALLOCATE a"))[0] == "26000"
        answer = how(wire, '/* x */ deallocate prepare "B c";')
        assert [m.tag for m in answer if m.type == "C"] == ["DEALLOCATE"]
        assert error(run(wire, w.bind(name="B c")))[0] == "26000"
        prepare(wire, "a", "SELECT 'again'")
        assert execute(wire, "a") == [("again",)]
        assert execute(other, "a") == [("a",)]
        assert execute(other, "B c") == [("b",)]


@pytest.mark.parametrize("how", [simple, extended])
@pytest.mark.parametrize("sql, tag", [("; DEALLOCATE a", "DEALLOCATE"),
                                      (";;\n/* x */ ; DEALLOCATE PREPARE a; ;", "DEALLOCATE"),
                                      ("; DEALLOCATE ALL", "DEALLOCATE ALL")])
def test_deallocate_behind_empty_statements(port, how, sql, tag):
    with port.wire() as wire:
        for text in ("one", "two"):
            prepare(wire, "a", f"SELECT '{text}'")
            assert execute(wire, "a") == [(text,)]
            assert [m.tag for m in how(wire, sql) if m.type == "C"] == [tag]
            assert error(run(wire, w.bind(name="a")))[0] == "26000"


def test_deallocate_with_more_behind_it(port):
    """All of the text runs."""
    with port.wire() as wire:
        prepare(wire, "a", "SELECT 'a'")
        answer = wire.query("DEALLOCATE ALL; SELECT 'ran'")
        assert w.rows(answer) == [("ran",)]
        assert error(run(wire, w.bind(name="a")))[0] == "26000"
        prepare(wire, "a", "SELECT 'a'")
        assert w.rows(wire.query("SELECT 'ran'; DEALLOCATE ALL")) == [("ran",)]
        assert error(run(wire, w.bind(name="a")))[0] == "26000"


def test_deallocate_that_was_prepared(port):
    """The name means what it means when it runs."""
    with port.wire() as wire:
        prepare(wire, "drop", "DEALLOCATE a")
        for text in ("one", "two"):
            assert error(run(wire, w.bind(name="drop"), w.execute()))[0] == "26000"
            prepare(wire, "a", f"SELECT '{text}'")
            assert execute(wire, "a") == [(text,)]
            answer = run(wire, w.bind(name="drop", portal="p"), w.execute("p"),
                         w.bind(name="a"))
            assert [m.tag for m in answer if m.type == "C"] == ["DEALLOCATE"]
            assert w.errors(answer) == ["26000"]
        prepare(wire, "itself", "DEALLOCATE itself")
        assert not w.errors(run(wire, w.bind(name="itself"), w.execute()))
        assert error(run(wire, w.bind(name="itself")))[0] == "26000"


@pytest.mark.parametrize("how", [simple, extended])
@pytest.mark.parametrize("sql", ["DEALLOCATE ALL", "DISCARD ALL", " deallocate prepare all ;"])
def test_drop_all(port, how, sql):
    with port.wire() as wire, port.wire() as other:
        for client in (wire, other):
            for n in range(5):
                prepare(client, f"s{n}", f"SELECT {n}")
        answer = how(wire, sql)
        tag = "DISCARD ALL" if "DISCARD" in sql else "DEALLOCATE ALL"
        assert [m.tag for m in answer if m.type == "C"] == [tag]
        for n in range(5):
            assert error(run(wire, w.bind(name=f"s{n}")))[0] == "26000"
            assert execute(other, f"s{n}") == [(str(n),)]
            prepare(wire, f"s{n}", f"SELECT {n + 10}")
            assert execute(wire, f"s{n}") == [(str(n + 10),)]


@pytest.mark.parametrize("how", [simple, extended])
@pytest.mark.parametrize("sql", ["DEALLOCATE a", "DEALLOCATE ALL"])
def test_deallocate_in_transactions(port, how, sql):
    """It is not undone by a rollback, and does nothing in a failed transaction."""
    with port.wire() as wire:
        prepare(wire, "a", "SELECT 'a'")
        wire.query("BEGIN")
        wire.query("SELECT 1/0")
        assert error(how(wire, sql))[0] == "25P02"
        wire.query("ROLLBACK")
        assert execute(wire, "a") == [("a",)]
        wire.query("BEGIN")
        assert not w.errors(how(wire, sql))
        assert error(run(wire, w.bind(name="a")))[0] == "26000"
        wire.query("ROLLBACK")
        assert error(run(wire, w.bind(name="a")))[0] == "26000"
        prepare(wire, "a", "SELECT 'b'")
        assert execute(wire, "a") == [("b",)]


@pytest.mark.parametrize("sql", ["DEALLOCATE ALL", "DISCARD ALL", "DEALLOCATE ALL; SELECT 1"])
def test_what_is_sent_behind_a_drop_counts(port, sql):
    """Names that are given while the answer to a DEALLOCATE ALL is still to come."""
    with port.wire() as wire, port.wire() as other:
        for _ in range(3):
            prepare(other, "o", "SELECT 'shared'")
            wire.send(w.query(sql), w.parse("SELECT 'shared'", "new"),
                      w.parse("SELECT 'new'", "new2"), w.sync())
            assert wire.until_ready()[-1].body == b"I"
            assert w.types(wire.until_ready()) == "11Z"
            for _ in range(2):
                assert execute(wire, "new") == [("shared",)]
                assert execute(wire, "new2") == [("new",)]
                assert execute(other, "o") == [("shared",)]
            run(wire, w.close("S", "new"), w.close("S", "new2"))
            run(other, w.close("S", "o"))


@pytest.mark.parametrize("sql", ["DEALLOCATE ALL", "DISCARD ALL"])
def test_drop_in_a_pipeline(port, sql):
    with port.wire() as wire:
        prepare(wire, "old", "SELECT 'old'")
        wire.send(w.parse(sql), w.bind(), w.execute(), w.sync(),
                  w.parse("SELECT 'new'", "new"), w.bind(name="new"), w.execute(), w.sync())
        assert w.types(wire.until_ready()) == "12CZ"
        assert w.types(wire.until_ready()) == "12DCZ"
        assert execute(wire, "new") == [("new",)]
        assert error(run(wire, w.bind(name="old")))[0] == "26000"


@pytest.mark.parametrize("sql", ["DEALLOCATE kept", "DEALLOCATE ALL"])
def test_deallocate_that_is_skipped(port, sql):
    with port.wire() as wire:
        prepare(wire, "kept", "SELECT 'kept'")
        answer = run(wire, w.parse(sql), w.bind(), w.parse("SELEC", "x"), w.execute())
        assert w.errors(answer) == ["42601"]
        assert execute(wire, "kept") == [("kept",)]
        # Prepared, and never run.
        assert not w.errors(run(wire, w.parse(sql), w.bind()))
        assert execute(wire, "kept") == [("kept",)]


@pytest.mark.router_only
def test_deallocate_all_spares_what_others_share(make_router):
    router = make_router(limited(1))
    with router.transactional.wire() as wire, router.transactional.wire() as other:
        prepare(other, "s", "SELECT 1")
        before = statements(other)
        for how in (simple, extended):
            assert not w.errors(how(wire, "DEALLOCATE ALL"))
        assert statements(other) == before


@pytest.mark.router_only
def test_statements_of_sql_spare_what_others_share(make_router):
    """PREPARE is the client's own; what clients share on a server stays there."""
    router = make_router(limited(1))
    with router.transactional.wire() as one, router.transactional.wire() as two:
        prepare(two, "s", "SELECT 'two'")
        before = statements(two)
        one.query("BEGIN")
        one.query("PREPARE by_sql AS SELECT 'sql'")
        assert w.rows(one.query("EXECUTE by_sql")) == [("sql",)]
        assert w.rows(run(one, w.bind(name="by_sql"), w.execute())) == [("sql",)]
        one.query("COMMIT")
        assert statements(two) == before
        assert execute(two, "s") == [("two",)]
        assert w.rows(one.query("EXECUTE by_sql")) == [("sql",)]


@pytest.mark.router_only
@pytest.mark.parametrize("code", ["DEALLOCATE ALL", "DEALLOCATE {name}",
                                  "PREPARE {next} AS SELECT 666"])
def test_functions_that_touch_our_statements(make_router, code):
    """What a function does to them out of sight is found out, and heals: one error at most
    for whoever comes next, and never somebody else's statement."""
    router = make_router(limited(1))
    with router.transactional.wire() as one, router.transactional.wire() as two:
        prepare(two, "s", "SELECT 'two'")
        name = statements(two).pop()
        number = int(name.removeprefix("pgtandem_s"), 16)
        text = code.format(name=name, next=f"pgtandem_s{number + 1:x}")
        answer = one.query(f"DO $$ BEGIN EXECUTE '{text}'; END $$")
        assert not w.errors(answer), answer
        errors = 0
        for n in range(6):
            for message in (w.parse("SELECT 'new'", f"n{n}") + w.bind(name=f"n{n}"),
                            w.bind(name="s")):
                answer = run(two, message, w.execute())
                errors += len(w.errors(answer))
                if not w.errors(answer):
                    assert w.rows(answer) in ([("new",)], [("two",)])
        assert errors <= 1
        assert execute(two, "s") == [("two",)]


# ---------------------------------------------------------------------- DDL

@pytest.fixture
def changing(postgres):
    with postgres.connect() as connection:
        connection.execute("DROP TABLE IF EXISTS changing CASCADE")
        connection.execute("CREATE TABLE changing (a int)")
        connection.execute("INSERT INTO changing VALUES (1)")
        connection.execute("ALTER TABLE changing OWNER TO app_scram")
    return "SELECT * FROM changing"


def new_columns(wire, sql):
    """Who prepares anew gets what the table is now."""
    prepare(wire, "new", sql)
    answer = run(wire, w.describe("S", "new"), w.bind(name="new"), w.execute())
    assert not w.errors(answer), answer
    assert w.rows(answer) == [("1", None)]
    run(wire, w.close("S", "new"))


@pytest.mark.parametrize("by_router", [True, False])
def test_result_type_changes(port, postgres, changing, by_router):
    """PostgreSQL refuses the old plan once; whoever prepares again has the new one, and
    nobody needs to connect again."""
    with port.wire() as one, port.wire() as two, port.wire() as three:
        for wire in (one, two):
            prepare(wire, "s", changing)
            assert execute(wire, "s") == [("1",)]
        if by_router:
            one.query("ALTER TABLE changing ADD b int")
            # Nothing was prepared by it.
            new_columns(three, changing)
        else:
            postgres.sql("ALTER TABLE changing ADD b int", dbname=DATABASE)
        refused = [w.errors(run(wire, w.bind(name="s"), w.execute())) for wire in (one, two)]
        assert refused == [["0A000"]] * 2
        for wire in (one, two, three):
            new_columns(wire, changing)


@pytest.mark.router_only
def test_stale_statement_is_replaced_for_all(make_router, changing):
    """Each client is told once, on whichever server it runs: it may have kept in mind what
    the columns were.  Then it gets the new ones."""
    router = make_router(limited(2))
    wires = [router.transactional.wire() for _ in range(4)]
    for wire in wires:
        prepare(wire, "pid", "SELECT pg_backend_pid()")
    first = named_pid(wires[0])
    # The other server never sees it before the change.
    with occupied(router, first):
        second = named_pid(wires[0])
    with occupied(router, second):
        for wire in wires:
            prepare(wire, "s", changing)
            assert execute(wire, "s") == [("1",)]
        wires[0].query("ALTER TABLE changing ADD b int")
        assert error(run(wires[0], w.bind(name="s")))[0] == "0A000"
        assert execute(wires[0], "s") == [("1", None)]
        assert error(run(wires[1], w.describe("S", "s")))[0] == "0A000"
    with occupied(router, first):
        assert execute(wires[0], "s") == [("1", None)]
        assert error(run(wires[2], w.bind(name="s"), w.execute())) == (
            "0A000", "cached plan must not change result type")
        wires[3].query("BEGIN")
        answer = run(wires[3], w.describe("S", "s"))
        assert error(answer)[0] == "0A000" and answer[-1].body == b"E"
        wires[3].query("ROLLBACK")
    for pid in (first, second):
        with occupied(router, pid):
            for wire in wires:
                assert execute(wire, "s") == [("1", None)]
                prepare(wire, "t", changing)
                assert execute(wire, "t") == [("1", None)]
                run(wire, w.close("S", "t"))
    for wire in wires:
        wire.quit()


def test_result_type_changes_in_a_transaction(port, changing):
    with port.wire() as one, port.wire() as two:
        prepare(two, "s", changing)
        assert execute(two, "s") == [("1",)]
        one.query("BEGIN")
        one.query("ALTER TABLE changing ADD b int")
        new_columns(one, changing)
        one.query("ROLLBACK")
        assert execute(two, "s") == [("1",)]
        prepare(one, "back", changing)
        assert execute(one, "back") == [("1",)]


def test_table_goes_and_comes_back(port, changing):
    with port.wire() as wire:
        prepare(wire, "s", "SELECT a FROM changing")
        assert execute(wire, "s") == [("1",)]
        wire.query("ALTER TABLE changing RENAME TO changed")
        try:
            assert error(run(wire, w.bind(name="s")))[0] == "42P01"
            assert error(run(wire, w.parse("SELECT a FROM changing", "t")))[0] == "42P01"
        finally:
            wire.query("ALTER TABLE changed RENAME TO changing")
        assert execute(wire, "s") == [("1",)]


# ------------------------------------------------------------------ limits

@pytest.mark.router_only
def test_memory_of_a_client(make_router):
    """Over it Parse fails, the client stays, and what it closes it may use again."""
    router = make_router(limited(1, max_client_statement_memory="64kB"))
    with router.transactional.wire() as wire, router.transactional.wire() as other:
        text = "SELECT '{:04}' /*" + "x" * 10000 + "*/"
        for n in range(6):
            prepare(wire, f"s{n}", text.format(n))
        answer = run(wire, w.parse(text.format(6), "s6"), w.bind(name="s6"), w.execute())
        assert w.types(answer) == "EZ"
        assert error(answer) == ("54000", "too much memory for prepared statements")
        for n in range(6):
            assert execute(wire, f"s{n}") == [(f"{n:04}",)]
        prepare(other, "s6", text.format(6))
        run(wire, w.close("S", "s0"))
        prepare(wire, "s6", text.format(6))
        assert execute(wire, "s6") == [("0006",)]
        # In a transaction it fails as any error does.
        wire.query("BEGIN")
        answer = run(wire, w.parse(text.format(7), "s7"))
        assert error(answer)[0] == "54000" and answer[-1].body == b"E"
        wire.query("ROLLBACK")
        assert wire.value("SELECT 1") == "1"


@pytest.mark.router_only
def test_memory_of_all(make_router):
    router = make_router({**limited(1), "process": {"max_statement_memory": "35kB"}})
    with router.transactional.wire() as one, router.transactional.wire() as two:
        text = "SELECT '{:04}' /*" + "x" * 10000 + "*/"
        for n in range(3):
            prepare(one, f"s{n}", text.format(n))
        answer = run(one, w.parse(text.format(3), "s3"))
        assert error(answer)[0] == "54000"
        # What is there already costs nothing.
        prepare(two, "s", text.format(0))
        assert execute(two, "s") == [("0000",)]
        # An unnamed one is not kept, and still works.
        run(two, w.parse(text.format(4)))
        assert w.rows(run(two, w.bind(), w.execute())) == [("0004",)]


@pytest.mark.router_only
@pytest.mark.parametrize("size", [300000, 1024 * 1024 - 40, 1024 * 1024, 1024 * 1024 + 1, 3000000])
@pytest.mark.parametrize("name", ["", "named"])
def test_large_parse(make_router, size, name):
    """Up to 1 MB of body; longer ones only without a name."""
    router = make_router(limited(1))
    with router.transactional.wire() as wire:
        body = len(w.parse("", name)) - 5
        text = f"SELECT 'long' /*{'x' * (size - body - 18)}*/"
        assert len(w.parse(text, name)) - 5 == size
        answer = run(wire, w.parse(text, name), w.bind(name=name), w.execute())
        if name and size > 1024 * 1024:
            assert w.errors(answer) == ["54000"] and w.types(answer) == "EZ"
        else:
            assert w.rows(answer) == [("long",)]
        assert wire.value("SELECT 1") == "1"
        # Behind it, in the same breath.
        wire.send(w.parse(text, name + "2" if name else ""), w.sync(), w.query("SELECT 2"))
        wire.until_ready()
        assert w.rows(wire.until_ready()) == [("2",)]


@pytest.mark.router_only
def test_large_bind(make_router):
    """10 MB stream to a server that lacks the statement."""
    router = make_router(limited(2))
    with router.transactional.wire() as wire:
        prepare(wire, "pid", "SELECT pg_backend_pid()")
        prepare(wire, "len", "SELECT length($1::text), md5($1::text)")
        value = "0123456789" * 1024 * 1024
        first = execute(wire, "len", value)
        with occupied(router, named_pid(wire)):
            assert execute(wire, "len", value) == first
        assert execute(wire, "len", "x")[0][0] == "1"


@pytest.mark.router_only
def test_reload_switches_off_and_on(make_router):
    """A client's names stay what they are while it has any."""
    router = make_router(limited(2))
    with router.transactional.wire() as old:
        prepare(old, "s", "SELECT 'old'")
        assert execute(old, "s") == [("old",)]
        router.reload(limited(2, max_prepared_statements=0))
        with router.transactional.wire() as new:
            for _ in range(3):
                assert execute(old, "s") == [("old",)]
                answer = run(new, w.parse("SELECT 'new'", "s"), w.bind(name="s"), w.execute())
                assert w.rows(answer) == [("new",)]
            prepare(old, "t", "SELECT 't'")
            run(old, w.close("S", "s"))
            assert execute(old, "t") == [("t",)]
            run(old, w.close("S", "t"))
            assert error(run(old, w.bind(name="t")))[0] == "26000"
            router.reload(limited(2, max_prepared_statements=3))
            for wire in (old, new):
                prepare(wire, "again", "SELECT 'again'")
                assert execute(wire, "again") == [("again",)]


@pytest.mark.router_only
def test_reload_lowers_the_number(make_router):
    router = make_router(limited(1))
    with router.transactional.wire() as wire:
        for n in range(100):
            prepare(wire, f"s{n}", f"SELECT {n}")
        router.reload(limited(1, max_prepared_statements=2))
        assert len(statements(wire)) == 100
        # From the next one on that has to be prepared.
        prepare(wire, "more", "SELECT 'more'")
        assert len(statements(wire)) == 2
        for n in range(100):
            assert execute(wire, f"s{n}") == [(str(n),)]
        assert len(statements(wire)) == 2


# ------------------------------------------------- other ports, other trouble

@pytest.mark.router_only
@pytest.mark.parametrize("reset", ["DISCARD ALL", "RESET ALL; DEALLOCATE ALL", ""])
@pytest.mark.parametrize("act", ["SELECT 1", "DEALLOCATE ALL", "PREPARE x AS SELECT 1",
                                 "DISCARD ALL"])
def test_session_client_in_between(make_router, reset, act):
    """The only server goes to the session port and comes back."""
    router = make_router({
        "hosts": {"main": {"connection_budget": 1}},
        "workloads": {"transactional": {"guaranteed_connections": 0, "max_connections": 1},
                      "session": {"guaranteed_connections": 1, "max_connections": 1,
                                  "server_reset_query": reset}}})
    with router.transactional.wire() as wire:
        prepare(wire, "s", "SELECT 's'")
        for _ in range(2):
            with router.session.wire() as other:
                prepare(other, "s", "SELECT 'session'")
                assert execute(other, "s") == [("session",)]
                other.query(act)
                other.quit()
            assert execute(wire, "s") == [("s",)]
            assert w.types(run(wire, w.parse("SELECT 'x'", "x"), w.close("S", "x"))) == "13Z"


@pytest.mark.router_only
def test_server_dies_between_parse_and_bind(make_router, postgres):
    router = make_router(limited(1))
    with router.transactional.wire() as wire:
        prepare(wire, "s", "SELECT $1::int")
        for _ in range(3):
            assert execute(wire, "s", 1) == [("1",)]
            postgres.terminate("usename = 'app_scram'")
            wait_until(lambda: postgres.count("usename = 'app_scram'") == 0, 5)
            assert execute(wire, "s", 2) == [("2",)]


@pytest.mark.router_only
def test_client_dies_in_a_pipeline(make_router, postgres):
    """In the middle of a message, of an exchange, of a transaction."""
    router = make_router(limited(1))
    with router.transactional.wire() as stays:
        prepare(stays, "s", "SELECT 's'")
        pipeline = (w.parse("SELECT 'lost'", "lost") + w.bind(name="lost") + w.execute()
                    + w.parse("SELECT 's'", "mine") + w.bind(name="mine") + w.execute()
                    + w.close("S", "lost") + w.parse("SELEC", "bad"))
        for cut in list(range(6, len(pipeline), 23)) + [len(pipeline)]:
            wire = router.transactional.wire()
            wire.send(w.query("BEGIN"), pipeline[:cut], w.flush() if cut == len(pipeline) else b"")
            wire.until_ready()
            wire.close()
            assert execute(stays, "s") == [("s",)]
        assert len(statements(stays)) <= 4
        assert wire_is_clean(router)


def wire_is_clean(router):
    with router.transactional.wire() as wire:
        prepare(wire, "lost", "SELECT 'lost'")
        return execute(wire, "lost") == [("lost",)]


@pytest.mark.router_only
def test_cancel_in_between(make_router, postgres):
    router = make_router(limited(1))
    with router.transactional.wire() as wire:
        prepare(wire, "sleep", "SELECT pg_sleep($1::float8)")
        prepare(wire, "s", "SELECT 's'")
        wire.send(w.bind((300,), "sleep"), w.execute(), w.close("S", "s"),
                  w.parse("SELECT 'never'", "never"), w.sync())
        wait_until(lambda: postgres.count("wait_event = 'PgSleep'") == 1, 10)
        with router.transactional.raw() as raw:
            raw.send(w.cancel_request(wire.pid, wire.key))
            raw.until_closed()
        assert w.errors(wire.until_ready()) == ["57014"]
        assert execute(wire, "s") == [("s",)]
        assert error(run(wire, w.bind(name="never")))[0] == "26000"
        assert execute(wire, "sleep", 0) == [("",)]


@pytest.mark.router_only
def test_copy_in_between(make_router):
    router = make_router(limited(2))
    with router.transactional.wire() as wire:
        prepare(wire, "copy", "COPY items (body) FROM STDIN")
        prepare(wire, "out", "COPY (SELECT 1) TO STDOUT")
        prepare(wire, "s", "SELECT 's'")
        for _ in range(3):
            # As libpq does: Sync right behind Execute, and again behind the data.
            wire.send(w.bind(name="copy"), w.execute(), w.sync())
            wire.until("G")
            wire.send(w.copy_data(b"one\n"), w.copy_done(), w.sync())
            assert w.types(wire.until_ready()) == "CZ"
            answer = run(wire, w.bind(name="out"), w.execute(), w.bind(name="s"), w.execute())
            assert w.types(answer) == "2HdcC2DCZ"
            wire.send(w.bind(name="copy"), w.execute(), w.sync())
            wire.until("G")
            wire.send(w.copy_fail(), w.sync())
            assert w.errors(wire.until_ready()) == ["57014"]
            assert execute(wire, "s") == [("s",)]


@pytest.mark.router_only
def test_statement_mode(make_router):
    router = make_router({"workloads": {"each": {"pool_mode": "statement"}}})
    with router.each.wire() as wire:
        prepare(wire, "s", "SELECT $1::int")
        for n in range(5):
            assert execute(wire, "s", n) == [(str(n),)]


@pytest.mark.router_only
def test_client_that_waits_for_a_server(make_router):
    """It is refused, and skips to Sync: what it sent was never prepared."""
    router = make_router(limited(1, query_wait_timeout="1500ms"))
    with router.transactional.wire() as holder, router.transactional.wire() as wire:
        holder.query("BEGIN")
        answer = run(wire, w.parse("SELECT 1", "s"), w.bind(name="s"), w.execute())
        assert w.errors(answer) == ["57014"] and w.types(answer) == "EZ"
        holder.query("COMMIT")
        assert error(run(wire, w.bind(name="s")))[0] == "26000"
        prepare(wire, "s", "SELECT 1")
        assert execute(wire, "s") == [("1",)]


@pytest.mark.router_only
@pytest.mark.slow
def test_memory_comes_back(make_router):
    """A thousand clients with a hundred statements each, and then none."""
    router = make_router({**limited(4, max_client_conn=1100),
                          "process": {"max_client_conn": 1200}})
    base = router.memory()
    for turn in range(2):
        wires = [router.transactional.wire() for _ in range(1000)]
        idle = router.memory()
        for wire in wires:
            wire.send(*(w.parse(f"SELECT {n}, $1::int", f"s{n}") for n in range(100)), w.sync())
            assert len(wire.until_ready()) == 101
        full = router.memory()
        assert execute(wires[-1], "s99", 1) == [("99", "1")]
        for wire in wires:
            wire.quit()
        wait_until(lambda: len(router.show("clients")) <= 2, 20, "all are gone")
        after = router.memory()
        print(f"turn {turn}: start {base >> 20} MB, 1000 clients {idle >> 20} MB, "
              f"with 100 000 names {full >> 20} MB, after {after >> 20} MB")
        if turn == 0:
            first = full
    if SLOWDOWN == 1:       # sanitizers keep what was freed
        assert full - idle < 1000 * 100 * 250
        # The second time takes no more than the first.
        assert full < first * 1.1


@pytest.mark.router_only
def test_threads(make_router):
    """Many clients on all workers prepare, use and close the same statements."""
    router = make_router(limited(3, max_prepared_statements=5))
    problems = []

    def work(seed):
        try:
            with router.transactional.wire() as wire:
                for n in range(60):
                    k = (n * 7 + seed) % 12
                    answer = run(wire, w.parse(f"SELECT {k} + $1::int", "s"),
                                 w.bind((n,), "s"), w.execute(), w.close("S", "s"))
                    assert w.rows(answer) == [(str(k + n),)], answer
        except BaseException as problem:  # noqa: B902
            problems.append(repr(problem))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems, problems[:3]


def test_psycopg_deallocates(port):
    """What psycopg 3 does: DEALLOCATE for what falls out of its cache, and DEALLOCATE ALL
    after a ROLLBACK."""
    with port.connect(autocommit=False, prepare_threshold=0) as connection:
        connection.prepared_max = 3
        for turn in range(3):
            for n in range(10):
                assert connection.execute(f"SELECT {n} + %s", (turn,)).fetchone() == (n + turn,)
                if n % 3 == 0:
                    connection.commit()
            connection.rollback()
            with pytest.raises(psycopg.errors.DivisionByZero):
                connection.execute("SELECT 1 / %s::int", (0,))
            connection.rollback()


def test_parse_without_anything_in_it(port):
    """PostgreSQL says what is wrong with it, and goes on."""
    with port.wire() as wire:
        assert error(run(wire, w.message("P")))[0] == "08P01"
        assert wire.value("SELECT 1") == "1"


SETS = {
    "SET": w.parse("SET TimeZone = 'Asia/Tokyo'") + w.bind() + w.execute(),
    "SET LOCAL": w.parse("SET LOCAL TimeZone = 'Asia/Tokyo'") + w.bind() + w.execute(),
    "set_config": w.parse("SELECT set_config('TimeZone', 'Asia/Tokyo', true)") + w.bind()
                  + w.execute(),
    "function": w.parse("SELECT tokyo()") + w.bind() + w.execute(),
    "queries": w.query("BEGIN") + w.query("SET LOCAL TimeZone = 'Asia/Tokyo'"),
    "DO": w.query("BEGIN") + w.query("DO $$ BEGIN SET LOCAL TimeZone = 'Asia/Tokyo'; END $$"),
}


@pytest.mark.router_only
@pytest.mark.parametrize("how", SETS)
def test_setting_sent_ahead_does_not_reach_what_others_share(make_router, postgres, how):
    """What is prepared, or has to be prepared again, behind a setting that is not answered."""
    postgres.sql("CREATE OR REPLACE FUNCTION tokyo() RETURNS int LANGUAGE plpgsql AS"
                 " $$ BEGIN SET LOCAL TimeZone = 'Asia/Tokyo'; RETURN 1; END $$",
                 dbname=DATABASE)
    sql = "SELECT extract(epoch FROM '2024-07-01 12:00'::timestamptz)::int"
    tokyo, utc = [("1719802800",)], [("1719835200",)]
    router = make_router(limited(1, max_prepared_statements=2))
    uses = w.bind(name="s") + w.execute() + w.sync()

    def last(wire):
        """The answer to the last of them."""
        answer = wire.until_ready()
        for _ in range(SETS[how].count(b"Q\0\0\0")):
            answer = wire.until_ready()
        assert not w.errors(answer), answer
        wire.query("ROLLBACK")
        return w.rows(answer)[-1:]

    with router.transactional.wire() as one, router.transactional.wire() as two, \
            router.transactional.wire() as three:
        one.send(SETS[how], w.parse(sql, "s"), uses)
        assert last(one) == tokyo
        prepare(two, "s", sql)
        assert execute(two, "s") == utc
        # The server has others by now, and reads it again.
        prepare(three, "a", "SELECT 1")
        prepare(three, "b", "SELECT 2")
        two.send(SETS[how], uses)
        assert last(two) == tokyo
        prepare(three, "s", sql)
        assert execute(three, "s") == utc
    postgres.sql("DROP FUNCTION tokyo", dbname=DATABASE)

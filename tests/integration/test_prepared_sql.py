# SPDX-License-Identifier: ISC
"""PREPARE, EXECUTE and DEALLOCATE of SQL: they belong to their client, share its names with
the statements of the protocol, and last as long as it does."""
import contextlib

import pytest
from support import wire as w
from test_prepared import error, execute, extended, limited, prepare, run, simple, statements

HOW = pytest.mark.parametrize("how", [simple, extended])


@pytest.fixture(params=["strict", "tracked"])
def crowd(request, make_router):
    """A port with one server, so that whoever comes next has somebody else's."""
    return make_router(limited(1, session_state=request.param)).transactional


@contextlib.contextmanager
def two(port):
    with port.wire() as one, port.wire() as other:
        yield one, other


def elsewhere(other):
    """The server has somebody else now."""
    assert w.rows(other.query("SELECT 'else'")) == [("else",)]


def fine(answer):
    assert not w.errors(answer), answer
    return answer


def tags(answer):
    return [m.tag for m in answer if m.type == "C"]


# ---------------------------------------------------------- each client has its own

@HOW
def test_lasts_as_long_as_the_client(crowd, how):
    with two(crowd) as (one, other):
        for n in range(3):
            for wire, text in ((one, f"one{n}"), (other, f"other{n}")):
                assert tags(fine(how(wire, f"PREPARE p{n} (text) AS SELECT '{text}' || $1"))) == [
                    "PREPARE"]
        for _ in range(3):
            for n in range(3):
                for wire, text in ((one, f"one{n}"), (other, f"other{n}")):
                    answer = fine(how(wire, f"EXECUTE p{n} ('!')"))
                    assert w.rows(answer) == [(text + "!",)]
                    # As it would be without a router: columns and all.
                    assert w.types(answer) == ("TDCZ" if how is simple else "12TDCZ")


@HOW
def test_errors_are_those_of_postgresql(port, how):
    with port.wire() as wire:
        assert error(how(wire, "EXECUTE nobody"))[0] == "26000"
        fine(how(wire, "PREPARE p AS SELECT 1"))
        assert error(how(wire, "PREPARE p AS SELECT 2"))[0] == "42P05"
        assert error(how(wire, "PREPARE broken AS SELECT gone FROM nowhere"))[0] == "42P01"
        assert error(how(wire, "EXECUTE broken"))[0] == "26000"
        assert w.rows(fine(how(wire, "EXECUTE p"))) == [("1",)]
        assert tags(fine(how(wire, "DEALLOCATE p"))) == ["DEALLOCATE"]
        assert error(how(wire, "DEALLOCATE p"))[0] == "26000"
        assert error(how(wire, "EXECUTE p"))[0] == "26000"


@HOW
def test_second_of_the_name_on_another_server(crowd, how):
    """42P05 also where the server does not have the first."""
    with two(crowd) as (one, other):
        fine(how(one, "PREPARE p AS SELECT 'first'"))
        prepare(one, "q", "SELECT 'protocol'")
        elsewhere(other)
        assert error(how(one, "PREPARE p AS SELECT 'second'"))[0] == "42P05"
        elsewhere(other)
        assert error(how(one, "PREPARE q AS SELECT 'second'"))[0] == "42P05"
        elsewhere(other)
        assert w.rows(fine(how(one, "EXECUTE p"))) == [("first",)]
        assert error(run(one, w.parse("SELECT 1", "p")))[0] == "42P05"
        assert execute(one, "q") == [("protocol",)]


@HOW
@pytest.mark.parametrize("drop", ["DEALLOCATE p", "DEALLOCATE PREPARE p", "DEALLOCATE ALL",
                                  "DISCARD ALL", "close"])
def test_dropped_on_another_server(crowd, how, drop):
    with two(crowd) as (one, other):
        for moves in (True, False):
            fine(how(one, "PREPARE p AS SELECT 'old'"))
            if moves:
                elsewhere(other)
            fine(run(one, w.close("S", "p")) if drop == "close" else how(one, drop))
            assert error(how(one, "EXECUTE p"))[0] == "26000"
            fine(how(one, "PREPARE p AS SELECT 'new'"))
            elsewhere(other)
            assert w.rows(fine(how(one, "EXECUTE p"))) == [("new",)]
            fine(how(one, "DEALLOCATE p"))


def test_nobody_sees_what_others_have_prepared(crowd):
    with two(crowd) as (one, other):
        for n in range(3):
            fine(one.query(f"PREPARE mine{n} AS SELECT {n}"))
            assert error(other.query(f"EXECUTE mine{n}"))[0] == "26000"
            assert error(run(other, w.bind(name=f"mine{n}")))[0] == "26000"
            assert error(other.query(f"DEALLOCATE mine{n}"))[0] == "26000"
            seen = statements(other)
            assert not [name for name in seen if name.startswith("mine")], seen
        assert w.rows(fine(one.query("EXECUTE mine2"))) == [("2",)]


def test_session_port_gets_none_of_it(make_router):
    """Both ports share the pool."""
    router = make_router({"hosts": {"main": {"connection_budget": 2}}, "workloads": {
        "transactional": {"guaranteed_connections": 1, "max_connections": 1},
        "session": {"guaranteed_connections": 1, "max_connections": 1}}})
    with router.transactional.wire() as one:
        fine(one.query("PREPARE p AS SELECT 'mine'"))
        for _ in range(3):
            with router.session.wire() as other:
                assert "p" not in statements(other)
                fine(other.query("PREPARE p AS SELECT 'other'"))
            assert w.rows(fine(one.query("EXECUTE p"))) == [("mine",)]


# ---------------------------------------------------------- one namespace

def test_protocol_uses_what_sql_has_prepared(crowd):
    with two(crowd) as (one, other):
        fine(one.query("PREPARE p (int) AS SELECT $1 + 1"))
        for n in range(3):
            elsewhere(other)
            assert execute(one, "p", n) == [(str(n + 1),)]
            elsewhere(other)
            assert w.types(run(one, w.describe("S", "p"))) == "tTZ"


def test_sql_uses_what_the_protocol_has_prepared(crowd):
    with two(crowd) as (one, other):
        prepare(one, "P q", "SELECT $1 || 'x'", types=(25,))
        for how in (simple, extended):
            for n in range(2):
                elsewhere(other)
                assert w.rows(fine(how(one, f"EXECUTE \"P q\" ('{n}')"))) == [(f"{n}x",)]
        assert tags(fine(one.query("SELECT 1; DEALLOCATE \"P q\"; SELECT 2"))) == [
            "SELECT 1", "DEALLOCATE", "SELECT 1"]
        elsewhere(other)
        assert error(run(one, w.bind(name="P q")))[0] == "26000"


# ---------------------------------------------------------- transactions

@HOW
def test_prepare_outlives_a_rollback(crowd, how):
    with two(crowd) as (one, other):
        one.query("BEGIN")
        fine(how(one, "PREPARE p AS SELECT 'kept'"))
        assert w.rows(fine(how(one, "EXECUTE p"))) == [("kept",)]
        one.query("ROLLBACK")
        elsewhere(other)
        assert w.rows(fine(how(one, "EXECUTE p"))) == [("kept",)]
        one.query("BEGIN")
        one.query("SELECT 1/0")
        assert error(how(one, "PREPARE lost AS SELECT 1"))[0] == "25P02"
        assert error(how(one, "DEALLOCATE p"))[0] == "25P02"
        one.query("ROLLBACK")
        elsewhere(other)
        assert error(how(one, "EXECUTE lost"))[0] == "26000"
        assert w.rows(fine(how(one, "EXECUTE p"))) == [("kept",)]


@HOW
def test_within_a_transaction_on_another_server(crowd, how):
    with two(crowd) as (one, other):
        fine(how(one, "PREPARE p AS SELECT 'there'"))
        elsewhere(other)
        fine(one.query("BEGIN ISOLATION LEVEL REPEATABLE READ"))
        fine(one.query("SET TRANSACTION READ ONLY"))
        assert w.rows(fine(how(one, "EXECUTE p"))) == [("there",)]
        assert one.query("COMMIT")[-1].body == b"I"


def test_in_a_text_that_begins_a_transaction(crowd):
    """What stands in front of it is no query in that transaction."""
    with two(crowd) as (one, other):
        fine(one.query("PREPARE p AS SELECT current_setting('transaction_isolation')"))
        for begin in ("BEGIN ISOLATION LEVEL SERIALIZABLE",
                      "BEGIN; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"):
            elsewhere(other)
            answer = fine(one.query(f"{begin}; EXECUTE p"))
            assert w.rows(answer) == [("serializable",)] and "N" not in w.types(answer)
            assert one.query("COMMIT")[-1].body == b"I"
        elsewhere(other)
        answer = one.query("BEGIN ISOLATION LEVEL SERIALIZABLE; PREPARE p AS SELECT 1")
        assert w.errors(answer) == ["42P05"] and answer[-1].body == b"E"
        one.query("ROLLBACK")


@pytest.mark.parametrize("text", [
    "CREATE TABLE ran AS EXECUTE p", "EXPLAIN (COSTS OFF) EXECUTE p",
    "SELECT 'before'; EXECUTE p; SELECT 'behind'", "/* EXECUTE */ execute p;",
    "DO $$ BEGIN EXECUTE 'EXECUTE p'; END $$",
    "SELECT name FROM pg_prepared_statements WHERE name = 'p'"])
def test_wherever_it_is_named(crowd, text):
    with two(crowd) as (one, other):
        fine(one.query("DROP TABLE IF EXISTS ran; PREPARE p AS SELECT 1 AS x"))
        elsewhere(other)
        answer = fine(one.query(text))
        if "pg_prepared" in text:
            assert w.rows(answer) == [("p",)]
        elsewhere(other)
        assert w.rows(fine(one.query("EXECUTE p"))) == [("1",)]
        one.query("DROP TABLE IF EXISTS ran")


def test_several_in_one_text(crowd):
    """What ran counts, and what did not run does not."""
    with two(crowd) as (one, other):
        answer = one.query("PREPARE a AS SELECT 'a'; PREPARE b AS SELECT 'b'; DEALLOCATE a; "
                           "PREPARE a AS SELECT 'a2'; SELECT 1/0; PREPARE c AS SELECT 'c'; "
                           "DEALLOCATE b")
        assert w.errors(answer) == ["22012"]
        elsewhere(other)
        assert w.rows(fine(one.query("EXECUTE a; EXECUTE b"))) == [("a2",), ("b",)]
        assert error(one.query("EXECUTE c"))[0] == "26000"
        fine(one.query("DEALLOCATE ALL; PREPARE b AS SELECT 'b2'"))
        elsewhere(other)
        assert w.rows(fine(one.query("EXECUTE b"))) == [("b2",)]
        assert error(one.query("EXECUTE a"))[0] == "26000"


# ---------------------------------------------------------- pipelines

def test_sent_all_at_once(crowd):
    with two(crowd) as (one, other):
        one.send(w.query("PREPARE p AS SELECT 'p'"), w.query("EXECUTE p"), w.query("DEALLOCATE p"),
                 w.query("EXECUTE p"), w.query("PREPARE p AS SELECT 'q'"))
        answers = [one.until_ready() for _ in range(5)]
        assert [w.errors(a) for a in answers] == [[], [], [], ["26000"], []]
        elsewhere(other)
        one.send(w.query("EXECUTE p"), w.query("EXECUTE p"), w.bind(name="p"), w.execute(),
                 w.sync())
        assert [w.rows(one.until_ready()) for _ in range(3)] == [[("q",)]] * 3


def test_ahead_in_a_failed_transaction(crowd):
    """What stands in front of a text fails as the text would, and what is behind is answered."""
    with two(crowd) as (one, other):
        fine(one.query("PREPARE p AS SELECT 'p'"))
        elsewhere(other)
        one.send(w.query("BEGIN"), w.query("SELECT 1/0"), w.query("SELECT 1"), w.query("EXECUTE p"),
                 w.query("EXECUTE p"), w.query("ROLLBACK"), w.query("EXECUTE p"))
        answers = [one.until_ready() for _ in range(7)]
        assert [w.errors(a) for a in answers] == [[], ["22012"], *[["25P02"]] * 3, [], []]
        assert w.rows(answers[-1]) == [("p",)]


def test_behind_an_error_of_the_clients_own(crowd):
    """What PostgreSQL skips up to the client's Sync is skipped, and nothing ends that before."""
    with two(crowd) as (one, other):
        fine(one.query("PREPARE p AS SELECT 'p'"))
        prepare(one, "q", "SELECT 'q'")
        elsewhere(other)
        one.send(w.query("SELECT 8"), w.parse("SELECT 'r'", "q"), w.query("PREPARE p AS SELECT 11"),
                 w.parse("SELECT 'skipped'"), w.bind(), w.execute(), w.sync())
        assert w.rows(fine(one.until_ready())) == [("8",)]
        answer = one.until_ready()
        assert w.types(answer) == "EZ" and error(answer)[0] == "42P05"
        assert one.is_quiet()
        assert w.rows(fine(one.query("EXECUTE p"))) == [("p",)]


def test_in_one_pipeline(crowd):
    with two(crowd) as (one, other):
        def message(sql):
            return w.parse(sql) + w.bind() + w.execute()

        answer = fine(run(one, message("PREPARE p AS SELECT 'p'"), message("EXECUTE p"),
                          w.bind(name="p"), w.execute(), message("DEALLOCATE p"),
                          message("PREPARE p AS SELECT 'p2'"), message("EXECUTE p")))
        assert w.rows(answer) == [("p",), ("p",), ("p2",)]
        elsewhere(other)
        assert w.rows(fine(run(one, message("EXECUTE p"), message("EXECUTE p")))) == [("p2",)] * 2
        answer = run(one, message("DEALLOCATE p"), message("PREPARE r AS SELECT 1"),
                     w.parse("SELEC"), message("PREPARE p AS SELECT 'p3'"))
        assert w.errors(answer) == ["42601"]
        elsewhere(other)
        fine(run(one, message("PREPARE p AS SELECT 'p4'")))
        elsewhere(other)
        answer = fine(run(one, message("DEALLOCATE ALL"), message("PREPARE p AS SELECT 'p5'"),
                          message("EXECUTE p"), message("PREPARE r AS SELECT 1")))
        assert w.rows(answer) == [("p5",)]
        assert w.errors(run(one, message("DEALLOCATE ALL"), message("EXECUTE p"))) == ["26000"]
        fine(run(one, message("PREPARE r AS SELECT 1")))
        elsewhere(other)
        assert error(one.query("EXECUTE p"))[0] == "26000"
        assert w.rows(fine(one.query("EXECUTE r"))) == [("1",)]


def test_prepared_execute(crowd):
    """EXECUTE that is itself a prepared statement, and PREPARE that is."""
    with two(crowd) as (one, other):
        prepare(one, "make", "PREPARE p AS SELECT 'p'")
        assert error(run(one, w.bind(name="p")))[0] == "26000"
        elsewhere(other)
        fine(run(one, w.bind(name="make"), w.execute()))
        prepare(one, "use", "EXECUTE p")
        for _ in range(2):
            elsewhere(other)
            assert w.types(run(one, w.describe("S", "use"))) == "tTZ"
            assert w.rows(fine(run(one, w.bind(name="use"), w.execute()))) == [("p",)]
        elsewhere(other)
        assert error(run(one, w.bind(name="make"), w.execute()))[0] == "42P05"
        fine(one.query("DEALLOCATE p"))
        elsewhere(other)
        fine(run(one, w.bind(name="make"), w.execute()))
        assert w.rows(fine(one.query("EXECUTE p"))) == [("p",)]


@pytest.mark.parametrize("split", range(1, 40, 7))
def test_in_pieces(crowd, split):
    with two(crowd) as (one, other):
        data = w.query("PREPARE p AS SELECT 'p'")
        one.send_split(data, min(split, len(data) - 1))
        fine(one.until_ready())
        elsewhere(other)
        data = w.query("EXECUTE p")
        one.send_split(data, min(split, len(data) - 1))
        assert w.rows(fine(one.until_ready())) == [("p",)]


# ---------------------------------------------------------- what cannot be prepared again

@HOW
def test_never_runs_without_it(crowd, how):
    """The table has gone: PostgreSQL's error, and nothing of the text runs."""
    with two(crowd) as (one, other):
        one.query("DROP TABLE IF EXISTS gone, counted")
        fine(one.query("CREATE TABLE gone (x int); CREATE TABLE counted (x int)"))
        fine(how(one, "PREPARE p AS SELECT * FROM gone"))
        fine(other.query("DROP TABLE gone"))
        if how is simple:
            one.send(w.query("INSERT INTO counted VALUES (1); EXECUTE p"), w.query("SELECT 'next'"))
            assert error(one.until_ready())[0] == "42P01"
            assert w.rows(one.until_ready()) == [("next",)]
        else:
            assert error(how(one, "EXECUTE p"))[0] == "42P01"
        assert one.value("SELECT count(*) FROM counted") == "0"
        assert one.query("BEGIN")[-1].body == b"T"
        assert error(how(one, "EXECUTE p"))[0] == "42P01"
        assert one.query("SELECT 1")[-1].body == b"E"
        one.query("ROLLBACK")
        # It is not forgotten.
        fine(other.query("CREATE TABLE gone (x int); INSERT INTO gone VALUES (7)"))
        assert w.rows(fine(how(one, "EXECUTE p"))) == [("7",)]
        one.query("DROP TABLE gone, counted")


@HOW
def test_settings_come_first(crowd, how):
    """It is prepared under the client's own settings."""
    with two(crowd) as (one, other):
        fine(one.query("SET search_path = information_schema"))
        fine(how(one, "PREPARE p AS SELECT count(*) > 0 FROM schemata"))
        elsewhere(other)
        assert w.rows(fine(how(one, "EXECUTE p"))) == [("t",)]


@HOW
def test_what_it_sets_is_kept(crowd, how):
    with two(crowd) as (one, other):
        fine(how(one, "PREPARE p (text) AS SELECT set_config('app.tenant_id', $1, false)"))
        for n in range(3):
            elsewhere(other)
            fine(how(one, f"EXECUTE p ('{n}')"))
            assert (other.value("SELECT current_setting('app.tenant_id', true)") or "") == ""
            assert one.value("SELECT current_setting('app.tenant_id', true)") == str(n)


# ---------------------------------------------------------- limits

@HOW
@pytest.mark.router_only
def test_memory_is_bounded(make_router, how):
    port = make_router(limited(1, max_client_statement_memory="20kB")).transactional
    with two(port) as (one, other):
        made = 0
        for n in range(20):
            answer = how(one, f"PREPARE p{n} AS SELECT {n} WHERE '{'x' * 2000}' <> ''")
            if w.errors(answer):
                assert w.errors(answer) == ["54000"]
                assert answer[-1].body == b"I"
                break
            made += 1
        assert 5 < made < 10
        assert error(how(one, f"PREPARE large AS SELECT 1 WHERE '{'x' * 30000}' <> ''"))[0] == "54000"
        elsewhere(other)
        for n in range(made):
            assert w.rows(fine(how(one, f"EXECUTE p{n}"))) == [(str(n),)]
        fine(how(one, "DEALLOCATE p0"))
        fine(how(one, f"PREPARE again AS SELECT 1 WHERE '{'x' * 2000}' <> ''"))


@pytest.mark.router_only
@pytest.mark.parametrize("empty", ["", "; ;"])
def test_too_long_to_be_kept(make_router, empty):
    port = make_router(limited(1)).transactional
    with port.wire() as wire:
        answer = wire.query(f"{empty}PREPARE p AS SELECT 1 /* {'x' * 1200000} */")
        assert w.errors(answer) == ["54000"]
        wire.query("BEGIN")
        answer = wire.query(f"{empty}PREPARE p AS SELECT 1 /* {'x' * 1200000} */")
        assert w.errors(answer) == ["54000"] and answer[-1].body == b"E"
        wire.query("ROLLBACK")
        assert wire.value("SELECT 1") == "1"


@HOW
@pytest.mark.router_only
def test_names_of_the_router(make_router, how):
    port = make_router(limited(1)).transactional
    with port.wire() as wire:
        answer = how(wire, "PREPARE pgtandem_s1 AS SELECT 1")
        assert w.errors(answer) == ["42939"]
        assert answer[-1].body == b"I"
        assert wire.value("SELECT 1") == "1"


@pytest.mark.parametrize("theirs", [0, 1, 3])
def test_nothing_comes_before_a_begin_with_modes(make_router, theirs):
    """Also where a server still has what others have prepared."""
    router = make_router(limited(1))
    with two(router.transactional) as (one, other):
        fine(one.query("PREPARE p AS SELECT 'one'"))
        for n in range(theirs):
            fine(other.query(f"PREPARE theirs{n} AS SELECT 1"))
        elsewhere(other)
        answer = fine(one.query("BEGIN ISOLATION LEVEL SERIALIZABLE; EXECUTE p; COMMIT"))
        assert w.rows(answer) == [("one",)]
        assert tags(answer) == ["BEGIN", "SELECT 1", "COMMIT"]


@HOW
def test_shown_as_it_was_sent(crowd, how):
    """Also on a server that has got it again."""
    text = "PREPARE p (int)  AS /* x */ SELECT $1 + 1;"
    with two(crowd) as (one, other):
        fine(how(one, text))
        for _ in range(2):
            assert w.rows(fine(one.query("EXECUTE p (1)"))) == [("2",)]
            assert w.rows(fine(one.query("SELECT statement FROM pg_prepared_statements "
                                         "WHERE name = 'p'"))) == [(text,)]
            elsewhere(other)


# --------------------------------------------- a Query behind messages that have no Sync

GONE = {"run": (w.parse("SELECT 'run'"), w.bind(), w.execute()),
        "shared": (w.bind(name="mine"), w.execute()),
        "shared, made here": (w.parse("SELECT 'made'", "made"), w.bind(name="made"), w.execute()),
        "written": (w.parse("INSERT INTO items (body) VALUES ('gone')"), w.bind(), w.execute()),
        "failed": (w.bind(name="nobody"), w.execute()),
        "failed when it ran": (w.parse("SELECT 1/0"), w.bind(), w.execute())}
BEHIND = {"nothing": (), "a Sync": (w.sync(),), "a query": (w.query("SELECT 'behind'"),),
          "a query and a Sync": (w.query("SELECT 'behind'"), w.sync()),
          "extended": (w.parse("SELECT 'behind'"), w.bind(), w.execute(), w.sync())}


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("before", GONE)
@pytest.mark.parametrize("there", [True, False], ids=["good", "cannot be prepared again"])
def test_query_behind_what_has_no_sync(make_router, postgres, before, behind, there):
    """Each gets its answer, and no more than PostgreSQL would is undone, or waits for a Sync."""
    router = make_router(limited(1))
    said = {}
    postgres.sql("DELETE FROM items", dbname="app")
    with router.session.wire() as direct, router.transactional.wire() as routed, \
            router.transactional.wire() as other:
        for name, wire in (("direct", direct), ("routed", routed)):
            fine(other.query("CREATE TABLE gone AS SELECT 'there' AS x"))
            fine(wire.query("PREPARE p AS SELECT x FROM gone"))
            prepare(wire, "mine", "SELECT 'mine'")
            elsewhere(other)
            if not there:
                fine(other.query("DROP TABLE gone"))
            data = b"".join((*GONE[before], w.query("EXECUTE p"), *BEHIND[behind]))
            wire.send(data)
            # What is skipped up to a Sync says nothing.
            if before.startswith("failed") and b"S\0\0\0\4" not in data:
                wire.send(w.sync())
            wire.send(w.query("SELECT 'end'"))
            said[name] = []
            while not said[name] or said[name][-1] != ["end"]:
                answer = wire.until_ready()
                said[name].append([w.types(answer)] + w.rows(answer) + w.errors(answer))
                if ("end",) in w.rows(answer):
                    said[name].append(["end"])
            said[name].append(wire.value("SELECT count(*) FROM items"))
            fine(wire.query("DELETE FROM items"))
            assert wire.is_quiet(0.05)
            if there:
                fine(other.query("DROP TABLE gone"))
    assert said["routed"] == said["direct"]


# --------------------------------------------- COPY in a text that names statements

COPY = "COPY items (body) FROM STDIN"


@pytest.mark.parametrize("ahead", [False, True], ids=["waits", "ahead"])
@pytest.mark.parametrize("first", ["PREPARE fresh AS SELECT 1", "EXECUTE p",
                                   "GRANT EXECUTE ON FUNCTION granted() TO PUBLIC"])
def test_copy_in_the_same_text(crowd, first, ahead):
    """Its data does not wait for an answer that only the data brings about."""
    with two(crowd) as (one, other):
        fine(one.query("CREATE OR REPLACE FUNCTION granted() RETURNS int LANGUAGE sql AS 'SELECT 1'"))
        fine(one.query("DELETE FROM items; PREPARE p AS SELECT 'p'"))
        elsewhere(other)
        data = [w.copy_data(b"x\n"), w.copy_done(), w.query("EXECUTE p")]
        one.send(w.query(f"{first}; {COPY}; EXECUTE p"), *(data if ahead else []))
        if not ahead:
            fine(one.until("G"))
            one.send(*data)
        answer = fine(one.until_ready())
        assert tags(answer)[-2:] == ["COPY 1", "SELECT 1"] and w.rows(answer)[-1] == ("p",)
        assert w.rows(fine(one.until_ready())) == [("p",)]
        one.send(w.query(f"{first.replace('fresh', 'other')}; {COPY}"))
        fine(one.until("G"))
        one.send(w.copy_fail(), w.query("EXECUTE p"))
        assert w.errors(one.until_ready()) == ["57014"]
        assert w.rows(fine(one.until_ready())) == [("p",)]
        assert one.value("SELECT count(*) FROM items") == "1"


@HOW
@pytest.mark.parametrize("text", ["DEALLOCATE ALL", "DEALLOCATE nobody", "DEALLOCATE other",
                                  "PREPARE made AS SELECT 1"])
@pytest.mark.router_only
def test_execute_of_what_does_something_to_names(crowd, how, text):
    """Refused before it has done anything; by Bind it runs."""
    with crowd.wire() as wire:
        prepare(wire, "other", "SELECT 'other'")
        prepare(wire, "act", text)
        for _ in range(2):
            assert error(how(wire, "EXECUTE act"))[0] == "0A000"
            assert error(wire.query("SELECT 1; EXECUTE act"))[0] == "0A000"
        assert execute(wire, "other") == [("other",)]
        assert error(how(wire, "EXECUTE made"))[0] == "26000"
        if text != "DEALLOCATE nobody":
            assert tags(fine(run(wire, w.bind(name="act"), w.execute()))) == [
                text if text == "DEALLOCATE ALL" else text.split()[0]]


@pytest.mark.parametrize("ahead", [
    w.query("SELECT 1"), w.query("BEGIN"),
    w.parse("SELECT 1") + w.bind() + w.execute() + w.sync()], ids=["query", "begin", "extended"])
def test_what_code_of_another_prepared_is_not_met_in_a_pipeline(crowd, ahead):
    """Whoever sends ahead meets no more of it than who waits for answers."""
    with two(crowd) as (one, other):
        fine(one.query("DO $$ BEGIN EXECUTE 'PREPARE of_one AS SELECT 1'; END $$"))
        other.send(ahead, w.query("EXECUTE of_one"))
        fine(other.until_ready())
        assert error(other.until_ready())[0] == "26000"
        other.query("ROLLBACK")
        assert error(other.query("EXECUTE of_one"))[0] == "26000"

# SPDX-License-Identifier: ISC
"""What a client brought in its startup packet is what RESET goes back to, at once, on both
ports, as on PostgreSQL itself."""
import psycopg
import pytest
from support import wire as w
from test_session_state import state

START = {"DateStyle": "German, DMY", "statement_timeout": "71s",
         "search_path": "pg_catalog, public", "options": "-c app.start=mine -c work_mem=77MB"}
NAMES = {"DateStyle": ("'SQL, MDY'", "German, DMY"), "statement_timeout": ("'5s'", "71s"),
         "search_path": ("public", "pg_catalog, public"), "app.start": ("'other'", "mine"),
         "work_mem": ("'1MB'", "77MB")}


@pytest.fixture
def wire(port):
    with port.wire(**START) as connection:
        yield connection


def ok(wire, sql):
    messages = wire.query(sql)
    assert not w.errors(messages), w.errors(messages)
    return messages


def is_at_start(wire):
    return {name: wire.value(f"SHOW {name}") for name in NAMES} \
        == {name: start for name, (_, start) in NAMES.items()}


@pytest.mark.parametrize("block", ["{}", "BEGIN; {}; COMMIT", "BEGIN|{}|COMMIT",
                                   "BEGIN|SAVEPOINT s|{}|RELEASE s|COMMIT"])
@pytest.mark.parametrize("how", ["RESET {}", "SET {} TO DEFAULT", "RESET ALL"])
def test_reset(wire, how, block):
    for name, (other, start) in NAMES.items():
        ok(wire, f"SET {name} TO {other}")
        assert wire.value(f"SHOW {name}") != start
        for sql in block.format(how.format(name)).split("|"):
            ok(wire, sql)
        assert wire.value(f"SHOW {name}") == start


@pytest.mark.parametrize("how", ["DISCARD ALL", "RESET ALL", "RESET TIME ZONE",
                                 "SET TIME ZONE LOCAL"])
def test_reset_of_all(port, how):
    with port.wire(TimeZone="Asia/Tokyo", **START) as wire:
        for name, (other, _) in NAMES.items():
            ok(wire, f"SET {name} TO {other}")
        ok(wire, "SET TimeZone TO 'Europe/Rome'")
        ok(wire, how)
        assert wire.value("SHOW TimeZone") == "Asia/Tokyo"
        if "ALL" in how:
            assert is_at_start(wire)


def test_in_the_transaction_itself(wire):
    ok(wire, "SET DateStyle TO 'SQL, MDY'")
    ok(wire, "BEGIN")
    ok(wire, "RESET DateStyle")
    assert wire.value("SHOW DateStyle") == "German, DMY"
    ok(wire, "SET DateStyle TO 'ISO, YMD'")
    assert wire.value("SHOW DateStyle") == "ISO, YMD"
    ok(wire, "COMMIT")
    assert wire.value("SHOW DateStyle") == "ISO, YMD"


@pytest.mark.parametrize("end", ["ROLLBACK", "error", "savepoint"])
def test_rolled_back(wire, end):
    for name in NAMES:
        rolled_back(wire, name, end)


def rolled_back(wire, name, end):
    """It was not reset: what the client had set stands."""
    ok(wire, f"SET {name} TO {NAMES[name][0]}")
    before = wire.value(f"SHOW {name}")
    ok(wire, "BEGIN")
    ok(wire, "SAVEPOINT s")
    ok(wire, f"RESET {name}")
    assert wire.value(f"SHOW {name}") == NAMES[name][1]
    if end == "error":
        assert w.errors(wire.query("SELECT 1/0"))
    if end == "savepoint":
        ok(wire, "ROLLBACK TO s")
        assert wire.value(f"SHOW {name}") == before
        ok(wire, "COMMIT")
    else:
        ok(wire, "ROLLBACK")
    assert wire.value(f"SHOW {name}") == before


def test_failed(wire):
    """In one Query with what fails, and in a transaction that has failed."""
    ok(wire, "SET work_mem TO '1MB'")
    assert w.errors(wire.query("RESET work_mem; SELECT 1/0"))
    assert wire.value("SHOW work_mem") == "1MB"
    ok(wire, "BEGIN")
    assert w.errors(wire.query("RESET work_mem; SELECT 1/0"))
    assert w.errors(wire.query("RESET ALL"))
    ok(wire, "ROLLBACK")
    assert wire.value("SHOW work_mem") == "1MB"


def test_set_behind_reset(wire):
    ok(wire, "RESET work_mem; SET work_mem TO '3MB'")
    assert wire.value("SHOW work_mem") == "3MB"
    ok(wire, "RESET ALL; SET work_mem TO '4MB'")
    assert wire.value("SHOW work_mem") == "4MB"
    assert wire.value("SHOW statement_timeout") == "71s"


def test_no_snapshot_is_taken(wire):
    """SET TRANSACTION has to come before the first query."""
    ok(wire, "SET DateStyle TO 'SQL, MDY'")
    ok(wire, "BEGIN")
    ok(wire, "RESET DateStyle")
    ok(wire, "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    assert wire.value("SHOW transaction_isolation") == "serializable"
    ok(wire, "COMMIT")


def test_told_before_ready(wire):
    """ParameterStatus comes before the ReadyForQuery of the RESET."""
    ok(wire, "SET DateStyle TO 'SQL, MDY'")
    told = [m.body for m in ok(wire, "RESET DateStyle") if m.type == "S"]
    assert told[-1] == b"DateStyle\0German, DMY\0"


@pytest.mark.parametrize("prepared", [False, True])
def test_pipelined(wire, prepared):
    """What was sent behind the RESET sees it."""
    ok(wire, "SET work_mem TO '1MB'")
    if prepared:
        wire.send(w.one_query("RESET work_mem"), w.one_query("SHOW work_mem"))
    else:
        wire.send(w.query("RESET work_mem"), w.query("SHOW work_mem"))
    first, second = wire.until_ready(), wire.until_ready()
    assert not w.errors(first + second)
    assert w.rows(second)[0][0] == "77MB"


def test_cut(wire):
    """Each byte of the RESET in a packet of its own."""
    ok(wire, "SET work_mem TO '1MB'")
    data = w.query("RESET work_mem")
    for at in range(1, len(data)):
        ok(wire, "SET work_mem TO '1MB'")
        wire.send_split(data, at)
        assert not w.errors(wire.until_ready())
        assert wire.value("SHOW work_mem") == "77MB"


def test_parsed_and_not_run(wire):
    ok(wire, "SET work_mem TO '1MB'")
    wire.send(w.parse("RESET work_mem", "r"), w.describe("S", "r"), w.sync())
    assert not w.errors(wire.until_ready())
    assert wire.value("SHOW work_mem") == "1MB"


def step(wire, *messages):
    wire.send(*messages, w.sync())
    answer = wire.until_ready()
    assert not w.errors(answer), w.errors(answer)


@pytest.mark.parametrize("between", [(), ("SELECT 1",), ("SET app.other TO '7'",),
                                     ("SAVEPOINT s", "SELECT 1/0", "ROLLBACK TO s")])
@pytest.mark.parametrize("portal", ["", "p"])
@pytest.mark.parametrize("name", ["", "s"])
@pytest.mark.parametrize("how", ["RESET TimeZone", "SET TimeZone TO DEFAULT", "RESET ALL"])
def test_bound_and_run_later(port, how, name, portal, between):
    """In one exchange each; the portal lasts as long as the transaction."""
    if between and not portal:
        pytest.skip("a Query ends the unnamed portal")
    with port.wire(TimeZone="Asia/Tokyo") as wire:
        ok(wire, "SET TimeZone TO 'Europe/Rome'")
        ok(wire, "BEGIN")
        step(wire, w.parse(how, name))
        step(wire, w.bind(name=name, portal=portal))
        for sql in between:
            wire.query(sql)
        if portal:
            assert wire.value("SHOW TimeZone") == "Europe/Rome"
        step(wire, w.execute(portal))
        assert wire.value("SHOW TimeZone") == "Asia/Tokyo"
        ok(wire, "COMMIT")
        assert wire.value("SHOW TimeZone") == "Asia/Tokyo"


def test_two_are_bound_and_one_runs(port):
    with port.wire(TimeZone="Asia/Tokyo", **START) as wire:
        ok(wire, "SET TimeZone TO 'Europe/Rome'")
        ok(wire, "SET work_mem TO '1MB'")
        ok(wire, "BEGIN")
        step(wire, w.parse("RESET TimeZone", "a"), w.parse("RESET work_mem", "b"),
             w.bind(name="a", portal="a"), w.bind(name="b", portal="b"))
        assert wire.value("SHOW work_mem") == "1MB"
        step(wire, w.execute("b"))
        assert wire.value("SHOW TimeZone") == "Europe/Rome"
        assert wire.value("SHOW work_mem") == "77MB"
        ok(wire, "COMMIT")
        assert wire.value("SHOW TimeZone") == "Europe/Rome"
        assert wire.value("SHOW work_mem") == "77MB"


def test_unnamed_statement_is_run_later(wire):
    """Outside a transaction, too; and not what has taken its place."""
    ok(wire, "SET work_mem TO '1MB'")
    step(wire, w.parse("RESET work_mem"))
    assert wire.value("SHOW statement_timeout") == "71s"
    step(wire, w.parse("RESET work_mem"))
    step(wire, w.bind(), w.execute())
    assert wire.value("SHOW work_mem") == "77MB"
    ok(wire, "SET work_mem TO '1MB'")
    step(wire, w.parse("RESET work_mem"))
    step(wire, w.parse("SELECT 1"))
    step(wire, w.bind(), w.execute())
    assert wire.value("SHOW work_mem") == "1MB"


@pytest.mark.parametrize("is_split", [False, True])
@pytest.mark.parametrize("name", ["", "s"])
def test_no_snapshot_is_taken_behind_extended(port, request, name, is_split):
    """What a driver sends that says all so: SET TRANSACTION comes before the first query."""
    if name and request.node.callspec.params["port"] == "session":
        pytest.skip("what a named statement is, is not kept there")
    with port.wire(**START) as wire:
        ok(wire, "SET work_mem TO '1MB'")
        step(wire, w.parse("BEGIN"), w.bind(), w.execute())
        if is_split:
            step(wire, w.parse("RESET work_mem", name))
            step(wire, w.bind(name=name, portal="p"))
            step(wire, w.execute("p"))
        else:
            step(wire, w.parse("RESET work_mem", name), w.bind(name=name), w.execute())
        step(wire, w.parse("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"), w.bind(),
             w.execute())
        assert wire.value("SHOW transaction_isolation") == "serializable"
        assert wire.value("SHOW work_mem") == "77MB"
        ok(wire, "COMMIT")


@pytest.mark.parametrize("how", ["parsed", "bound", "run"])
def test_behind_it_a_set_that_may_not_run(port, how):
    with port.wire(TimeZone="Asia/Tokyo") as wire:
        parts = [w.parse("SET TimeZone TO 'Europe/Rome'"), w.bind(), w.execute()]
        wire.send(w.parse("RESET ALL"), w.bind(), w.execute(),
                  *parts[:["parsed", "bound", "run"].index(how) + 1], w.sync())
        assert not w.errors(wire.until_ready())
        zone = "Europe/Rome" if how == "run" else "Asia/Tokyo"
        assert wire.value("SHOW TimeZone") == zone


OWN = {"options": "-c app.t=B -c work_mem=77MB", "TimeZone": "Asia/Seoul"}
NOT_HELD = [
    ["BEGIN; RESET ALL; SAVEPOINT a; SET app.t='1'; ROLLBACK TO a; COMMIT"],
    ["BEGIN; RESET ALL; SAVEPOINT a; SET work_mem='1MB'; ROLLBACK TO a; COMMIT"],
    ["BEGIN", "RESET ALL", "SAVEPOINT a", "SET work_mem='1MB'", "ROLLBACK TO a", "COMMIT"],
    ["BEGIN; RESET ALL; COMMIT; SET app.t='1'; SELECT 1/0"],
    ["RESET ALL; EXPLAIN SELECT set_config('app.t', '1', false)"],
    ["RESET ALL; PREPARE p AS SELECT set_config('app.t', '1', false)"],
    ["RESET ALL; SELECT CASE WHEN false THEN set_config('work_mem', '1MB', false) END"],
    ["RESET ALL; SELECT CASE WHEN false THEN set_config('TimeZone', 'UTC', false) END"],
]


@pytest.mark.parametrize("texts", NOT_HELD)
def test_behind_it_a_set_that_does_not_hold(port, texts):
    with port.wire(**OWN) as wire:
        wire.query("SET app.t TO 'own'; SET work_mem TO '9MB'; SET TimeZone TO 'UTC'")
        for text in texts:
            wire.send(w.query(text))
            wire.until_ready()
        assert wire.value("SHOW app.t") == "B"
        assert wire.value("SHOW work_mem") == "77MB"
        assert wire.value("SHOW TimeZone") == "Asia/Seoul"


def test_behind_it_a_set_that_holds(port):
    with port.wire(**OWN) as wire:
        ok(wire, "RESET ALL; SET app.t TO ''; SET work_mem TO '1MB'; SET TimeZone TO 'UTC'")
        assert wire.value("SHOW app.t") == ""
        assert wire.value("SHOW work_mem") == "1MB"
        assert wire.value("SHOW TimeZone") == "UTC"


LOCALLY = ["SET LOCAL app.t TO ''", "SELECT set_config('app.t', '', true)",
           "SET LOCAL work_mem TO DEFAULT"]


@pytest.mark.parametrize("text", LOCALLY)
@pytest.mark.parametrize("before", [None, "PREPARE p AS SELECT set_config('work_mem', NULL, false)"])
def test_what_is_local_is_no_reset(port, text, before):
    """Also where NULL is bound, or a statement runs, that might have reset something."""
    with port.wire(**OWN) as wire:
        ok(wire, "SET work_mem TO '5MB'")
        wire.send(w.parse("SELECT set_config('app.t', $1, false)"), w.bind(("own",)), w.execute(),
                  w.sync())
        assert not w.errors(wire.until_ready())
        if before is not None:
            ok(wire, before)
        ok(wire, "BEGIN")
        ok(wire, text)
        wire.send(w.parse("SELECT $1::text"), w.bind((None,)), w.execute(), w.sync())
        assert not w.errors(wire.until_ready())
        ok(wire, "COMMIT")
        assert wire.value("SHOW app.t") == "own"
        assert wire.value("SHOW work_mem") == "5MB"


SURELY_RESET = [
    "RESET ALL; SELECT set_config('work_mem', '9MB', false), now()",
    "RESET app.t; SELECT set_config('work_mem', '9MB', false) FROM generate_series(1, 1)",
    "SET app.u = '1'; RESET app.t; SELECT set_config('app.u', '2', false) WHERE true",
    "BEGIN; RESET app.t; COMMIT; BEGIN; SELECT 1; ROLLBACK",
    "BEGIN; RESET ALL; COMMIT; ROLLBACK",
]


@pytest.mark.parametrize("text", SURELY_RESET)
def test_what_was_empty_is_reset(make_router, text):
    """What else the text does, or does not, says nothing of it."""
    router = make_router(state(None, "strict"))
    with router.transactional.wire(**OWN) as wire, router.transactional.wire() as other:
        ok(wire, "SET app.t TO ''")
        ok(wire, text)
        for _ in range(2):
            assert wire.value("SHOW app.t") == "B"
            ok(other, "SELECT 1")


NOT_RESET = [
    ["BEGIN", "RESET app.t", "ROLLBACK"],
    ["BEGIN; RESET app.t; ROLLBACK"],
    ["RESET app.t; SELECT 1/0"],
    ["SELECT nothing_here; RESET ALL"],
    ["SELECT set_config('app.t', NULL, false) WHERE false"],
    ["BEGIN", "SELECT set_config('app.t', NULL, false)", "ROLLBACK"],
]


@pytest.mark.router_only
@pytest.mark.parametrize("texts", NOT_RESET)
def test_what_is_empty_is_not_reset(make_router, texts):
    """What the client has emptied stays so behind a reset that comes to nothing."""
    router = make_router(state(None, "strict"))
    with router.transactional.wire(**OWN) as wire, router.transactional.wire() as other:
        ok(wire, "SET app.t TO ''")
        for text in texts:
            wire.send(w.query(text))
            wire.until_ready()
        for _ in range(2):
            assert wire.value("SHOW app.t") == ""
            ok(other, "SELECT 1")
        ok(wire, "RESET app.t")
        for _ in range(2):
            assert wire.value("SHOW app.t") == "B"
            ok(other, "SELECT 1")


def test_behind_it_copy(wire):
    """Data of a COPY that stands behind a RESET in one Query does not wait for it."""
    ok(wire, "SET work_mem TO '1MB'")
    wire.send(w.query("RESET work_mem; COPY public.items (body) FROM STDIN"))
    assert wire.until("G", "E")[-1].type == "G"
    wire.send(w.copy_data(b"of a reset\n"), w.copy_done())
    assert not w.errors(wire.until_ready())
    assert wire.value("SHOW work_mem") == "77MB"


def test_psycopg(port):
    """Prepared, and by a driver that brings an application_name."""
    with port.connect(application_name="before", prepare_threshold=0) as connection:
        for _ in range(3):
            connection.execute("SET application_name TO 'after'")
            assert connection.execute("SHOW application_name").fetchone() == ("after",)
            connection.execute("RESET ALL")
            assert connection.execute("SHOW application_name").fetchone() == ("before",)
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("SELECT 1/0")


def test_going_back_to_a_savepoint_behind_a_reset(port):
    """The value is set again behind the savepoint, as both came in one exchange."""
    with port.wire(options="-c app.x=start") as wire:
        wire.send(w.query("BEGIN"), w.parse("RESET ALL"), w.bind(), w.execute(),
                  w.parse("SAVEPOINT a"), w.bind(), w.execute(), w.sync())
        for _ in range(2):
            wire.until_ready()
        wire.query("ROLLBACK TO a")
        assert wire.value("SELECT current_setting('app.x')") == "start"
        wire.query("COMMIT")
        assert wire.value("SELECT current_setting('app.x')") == "start"


def test_going_back_to_a_savepoint_with_more_sent_ahead(port):
    """What was set again is told before the client hears of the ROLLBACK TO."""
    with port.wire(TimeZone="Asia/Seoul") as wire:
        wire.send(w.query("BEGIN"), w.parse("RESET ALL"), w.bind(), w.execute(),
                  w.parse("SAVEPOINT a"), w.bind(), w.execute(), w.sync(),
                  w.query("ROLLBACK TO a"), w.parse("SELECT 1"), w.sync())
        said = sum((wire.until_ready() for _ in range(3)), [])
        assert not w.errors(said)
        told = [m.body.split(b"\0")[1] for m in said if m.type == "S"]
        assert told[-1:] in ([], [b"Asia/Seoul"])
        assert not w.errors(wire.until_ready())
        assert wire.value("SHOW TimeZone") == "Asia/Seoul"


def test_a_savepoint_between_two_resets_leaves_nothing_in_doubt(port):
    """All has run: what the client had emptied is what it brought again."""
    with port.wire(**OWN) as wire:
        ok(wire, "SET app.t TO ''")
        ok(wire, "BEGIN; RESET ALL; SAVEPOINT a; RELEASE a; SET TimeZone TO DEFAULT; COMMIT")
        assert wire.value("SHOW app.t") == "B"
        assert wire.value("SHOW TimeZone") == "Asia/Seoul"


def test_what_another_statement_might_reset_locally_delays_nothing(port):
    """It is of a variable that the client did not bring."""
    with port.wire(TimeZone="Asia/Seoul") as wire:
        wire.send(w.parse("SELECT set_config('app.x', nullif('', ''), $1)", "s"), w.sync(),
                  w.query("BEGIN"), w.query("SET TimeZone TO DEFAULT"))
        for _ in range(3):
            assert not w.errors(wire.until_ready())
        assert wire.value("SHOW TimeZone") == "Asia/Seoul"
        ok(wire, "COMMIT")
        assert wire.value("SHOW TimeZone") == "Asia/Seoul"


def test_what_has_failed_before_leaves_no_reset_in_doubt(port):
    """The RESET was sent ahead of the answer: the error is none of its own."""
    with port.wire(**OWN) as wire:
        for failing in (w.query("SELECT 1/0"), w.execute("nowhere") + w.sync()):
            ok(wire, "SET app.t TO ''")
            wire.send(failing, w.query("BEGIN; RESET ALL; COMMIT"))
            assert w.errors(wire.until_ready())
            assert not w.errors(wire.until_ready())
            assert wire.value("SHOW app.t") == "B"


ONE = w.parse("RESET work_mem") + w.bind() + w.execute()
OTHER = w.parse("SELECT current_setting('work_mem')", "p") + w.bind(name="p") + w.execute() + w.sync()


@pytest.fixture(params=["transactional", "session"])
def passing(request, make_router):
    """Where names are passed on."""
    return getattr(make_router({"defaults": {"max_prepared_statements": 0}}), request.param)


def test_a_named_statement_beside_a_reset_resets_nothing_later(passing):
    with passing.wire(**OWN) as wire:
        wire.send(ONE, OTHER)
        assert not w.errors(wire.until_ready())
        wire.send(w.query("SET app.t TO ''"), w.parse("SELECT 1"), w.bind(), w.execute(), w.sync())
        for _ in range(2):
            assert not w.errors(wire.until_ready())
        assert wire.value("SHOW app.t") == ""
        # In place of a query of the router's own, which would take it away.
        wire.send(w.query("BEGIN"), w.parse("SELECT 7"), w.bind(portal="a"), w.execute("a"), w.sync(),
                  w.bind(portal="b"), w.execute("b"), w.sync(), w.query("COMMIT"))
        assert not w.errors(sum((wire.until_ready() for _ in range(4)), []))


@pytest.mark.parametrize("text", ["RESET app.t", "SELECT set_config('app.t', NULL, false)",
                                  "SELECT set_config('app.t', $1, false)"])
def test_discard_all_drops_what_may_reset_later(passing, text):
    with passing.wire(**OWN) as wire:
        wire.send(w.parse(text, "n"), w.sync())
        assert not w.errors(wire.until_ready())
        ok(wire, "DISCARD ALL")
        ok(wire, "SET app.t TO ''")
        wire.send(w.parse("SELECT $1"), w.bind((None,)), w.execute(), w.sync())
        assert not w.errors(wire.until_ready())
        ok(wire, "SET work_mem TO '5MB'")
        assert wire.value("SHOW app.t") == ""


@pytest.mark.parametrize("name", ["s", ""])
def test_null_for_another_statement_resets_nothing(router, name):
    """What awaited a NULL that would reset is another one, or is gone."""
    with router.session.wire(**OWN) as wire:
        for value in ("t1", ""):
            wire.send(w.parse("SELECT set_config('app.t', $1, false)", name), w.bind((value,), name),
                      w.execute(), w.close("S", name), w.sync())
            assert not w.errors(wire.until_ready())
        wire.send(w.parse("SELECT $1::text"), w.parse("SELECT $1::text", "i"), w.sync())
        assert not w.errors(wire.until_ready())
        for other in ("i", ""):
            wire.send(w.bind((None,), other), w.execute(), w.sync())
            assert not w.errors(wire.until_ready())
        assert wire.value("SHOW app.t") == ""


def test_what_was_emptied_stays_so_where_it_never_was(make_router):
    """A text that names it fails on a server that has never had it."""
    router = make_router({"hosts": {"main": {"connection_budget": 2}},
                          "workloads": {"transactional": {"max_connections": 2}}})
    with router.transactional.wire(**OWN) as a, router.transactional.wire() as b:
        ok(a, "SET app.t TO ''")
        ok(b, "BEGIN")
        assert w.errors(a.query("SELECT set_config('app.t', 'x', false), 1/0"))
        assert a.value("SELECT coalesce(current_setting('app.t', true), '')") == ""
        ok(b, "COMMIT")
        assert a.value("SELECT coalesce(current_setting('app.t', true), '')") == ""


def test_a_named_reset_is_bound_while_another_answer_is_to_come(router):
    with router.session.wire(TimeZone="Asia/Seoul") as wire:
        wire.send(w.parse("RESET ALL", "s"), w.sync(), w.sync(), w.bind(name="s"), w.execute(),
                  w.sync())
        for _ in range(3):
            assert not w.errors(wire.until_ready())
        assert wire.value("SHOW TimeZone") == "Asia/Seoul"


def test_a_reset_in_front_of_what_is_local(port):
    with port.wire(**OWN) as wire:
        for text in ("RESET TimeZone; SET LOCAL TimeZone TO 'Asia/Tokyo'",
                     "BEGIN; SET TimeZone TO DEFAULT; SET LOCAL TimeZone TO 'Asia/Tokyo'; COMMIT",
                     "SELECT set_config('app.t', 'x', true); RESET ALL; SET LOCAL app.t TO 'y'"):
            ok(wire, "SET TimeZone TO 'UTC'; SET app.t TO 'own'")
            ok(wire, text)
            assert wire.value("SHOW TimeZone") == "Asia/Seoul"
        assert wire.value("SHOW app.t") == "B"


def test_execute_of_a_named_reset_that_was_prepared_itself(router):
    for name in ("t", ""):
        with router.session.wire(**OWN) as wire:
            ok(wire, "SET work_mem TO '5MB'")
            step(wire, w.parse("RESET work_mem", "s"))
            step(wire, w.parse("EXECUTE s", name))
            step(wire, w.bind(name=name), w.execute())
            assert wire.value("SHOW work_mem") == "77MB"


def test_long_names_are_cut_as_postgresql_cuts_them(router):
    with router.session.wire(**OWN) as wire:
        ok(wire, "SET work_mem TO '5MB'")
        step(wire, w.parse("RESET work_mem", "n" * 63 + "b"))
        step(wire, w.bind(name="n" * 63 + "c"), w.execute())
        assert wire.value("SHOW work_mem") == "77MB"


@pytest.mark.parametrize("how", ["RESET work_mem", "SET work_mem TO DEFAULT"])
def test_unnamed_reset_runs_in_another_exchange_of_its_transaction(passing, how):
    with passing.wire(**OWN) as wire:
        ok(wire, "BEGIN")
        ok(wire, "SET work_mem TO '5MB'")
        step(wire, w.parse(how), w.describe("S", ""))
        step(wire, w.bind(), w.execute())
        assert wire.value("SHOW work_mem") == "77MB"
        ok(wire, "COMMIT")
        assert wire.value("SHOW work_mem") == "77MB"


def test_a_value_that_was_given_before_delays_no_reset(passing):
    """What might have been local, or is closed, does not run any more."""
    with passing.wire(**OWN) as wire:
        step(wire, w.parse("SELECT set_config('app.t', $1, false)"), w.bind(("own",)), w.execute())
        ok(wire, "BEGIN")
        step(wire, w.parse("RESET app.t", "r"))
        step(wire, w.bind(name="r"), w.execute())
        assert wire.value("SHOW app.t") == "B"
        ok(wire, "COMMIT")
        assert wire.value("SHOW app.t") == "B"


def test_what_sets_nothing_behind_a_reset_leaves_it_certain(port):
    with port.wire(**OWN) as wire:
        step(wire, w.parse("RESET work_mem"), w.bind(), w.execute(),
             w.parse("SET LOCAL work_mem TO '6MB'"), w.bind(portal="q"), w.execute("q"))
        assert wire.value("SHOW work_mem") == "77MB"


@pytest.mark.usefixtures("no_code")
def test_an_unnamed_reset_that_fails_on_the_next_server(make_router):
    """The numbers of its exchanges are not those of the one before."""
    router = make_router({"workloads": {"session": {
        "max_connections": 2, "guaranteed_connections": 2, "idle_session_reclaim": "20ms"}}})
    with router.session.wire() as first:
        ok(first, "BEGIN")
        with router.session.wire(**OWN) as wire:
            for _ in range(20):
                ok(wire, "SELECT 1")
            ok(wire, "SET work_mem TO '5MB'")
            step(wire, w.parse("RESET work_mem"))
            with router.session.wire() as second:
                ok(second, "BEGIN")
                ok(first, "COMMIT")
                first.quit()
                wire.send(w.bind(), w.execute(), w.execute("nowhere"), w.sync())
                assert w.errors(wire.until_ready()) == ["34000"]
                assert wire.value("SHOW work_mem") == "5MB"


def test_what_was_set_again_in_the_exchange_before_delays_no_reset(router):
    with router.session.wire(**OWN) as wire:
        step(wire, w.parse("SELECT set_config('app.t', $1, false)", "c"))
        step(wire, w.bind((None,), "c"), w.execute())
        ok(wire, "BEGIN")
        step(wire, w.parse("RESET TimeZone"), w.bind(), w.execute())
        assert wire.value("SHOW TimeZone") == "Asia/Seoul"
        ok(wire, "COMMIT")

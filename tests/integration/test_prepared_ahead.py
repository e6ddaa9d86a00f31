# SPDX-License-Identifier: ISC
"""Names of statements in what is sent ahead of answers: as PostgreSQL has them, which the
session port passes on as it is."""
import pytest
from support import wire as w
from test_prepared import limited, prepare, run

pytestmark = pytest.mark.router_only

GOOD = "SELECT 'good'"
NEW = "SELECT 'new'"
BAD = "SELEC"
END = "SELECT 'end'"
INSERT = "INSERT INTO items (body) VALUES ('ahead')"
NOPE = w.bind(name="nope")
LAST = [w.parse("SELECT 'runs'"), w.bind(), w.execute(), w.sync()]


def use(name="s"):
    return w.bind(name=name) + w.execute()


ALL = w.parse("DEALLOCATE ALL") + w.bind() + w.execute()
ONE = w.parse("DEALLOCATE s") + w.bind() + w.execute()
DISCARD = w.parse("DISCARD ALL") + w.bind() + w.execute()

AHEAD = {
    # What drops all names, and one of them again.
    "DISCARD ALL": [w.query("DISCARD ALL"), w.parse(NEW, "s"), use(), w.sync()],
    "DEALLOCATE ALL": [w.query("DEALLOCATE ALL"), w.parse(NEW, "s"), use(), w.sync()],
    "DEALLOCATE s": [w.query("DEALLOCATE s"), w.parse(NEW, "s"), use(), w.sync()],
    "among others": [w.query("SELECT 1; DEALLOCATE ALL; SELECT 2"), w.parse(NEW, "s"), use(),
                     w.sync()],
    "and one of them once more": [w.query("DEALLOCATE ALL; DEALLOCATE s"), use(), w.sync()],
    "and one that is not prepared again": [
        w.query("DEALLOCATE ALL; SELECT 1/0; PREPARE s AS " + NEW), use(), w.sync()],
    "twice": [w.query("DEALLOCATE ALL"), w.query("DEALLOCATE ALL"), w.parse(NEW, "s"), use(),
              w.sync()],
    "the same text": [w.query("DISCARD ALL"), w.parse(GOOD, "s"), use(), w.sync()],
    "dropped and used": [w.query("DISCARD ALL"), use(), w.sync()],
    "dropped and described": [w.query("DEALLOCATE ALL"), w.describe("S", "s"), w.sync()],
    "dropped and executed": [w.query("DEALLOCATE ALL"), w.query("EXECUTE s")],
    "dropped by extended": [w.parse("DEALLOCATE ALL"), w.bind(), w.execute(), w.sync(),
                            w.parse(NEW, "s"), use(), w.sync()],
    "discarded by extended": [w.parse("DISCARD ALL"), w.bind(), w.execute(), w.sync(),
                              w.parse(NEW, "s"), use(), w.sync()],
    # The same before the Sync: what has run counts.
    "all dropped, no Sync": [ALL, w.parse(NEW, "s"), use(), w.sync(), use(), w.sync()],
    "all discarded, no Sync": [DISCARD, w.parse(NEW, "s"), use(), w.sync(), use(), w.sync()],
    "all discarded, the same text": [DISCARD, w.parse(GOOD, "s"), use(), w.sync()],
    "all dropped and bound": [ALL, use(), w.sync()],
    "all discarded and described": [DISCARD, w.describe("S", "s"), w.sync()],
    "all dropped and closed": [ALL, w.close("S", "s"), w.parse(NEW, "s"), use(), w.sync()],
    "all dropped and executed by SQL": [ALL, w.parse("EXECUTE s"), w.bind(), w.execute(), w.sync()],
    "all dropped and prepared by SQL": [ALL, w.parse("PREPARE s AS " + NEW), w.bind(), w.execute(),
                                        use(), w.sync(), use(), w.sync()],
    "all dropped twice": [ALL, w.parse(NEW, "s"), ALL, w.parse(END, "s"), w.sync(), use(), w.sync()],
    "only bound": [w.parse("DEALLOCATE ALL"), w.bind(), w.parse(NEW, "s"), w.sync(), use(), w.sync()],
    "all discarded, only bound": [w.parse("DISCARD ALL"), w.bind(), w.parse(NEW, "s"), w.sync(),
                                  use(), w.sync()],
    "all dropped, then an error": [ALL, NOPE, w.parse(NEW, "s"), w.sync(), use(), w.sync()],
    "an error, then all dropped": [NOPE, ALL, w.parse(NEW, "s"), w.sync(), use(), w.sync()],
    "all dropped by a name": [w.parse("DEALLOCATE ALL", "d"), w.bind(name="d"), w.execute(),
                              w.parse(NEW, "s"), use(), w.sync(), use("d"), w.sync()],
    "one dropped, two portals": [w.parse("DEALLOCATE s", "d"), w.bind(name="d"),
                                 w.bind(name="d", portal="p"), w.execute(), w.sync(), use(), w.sync()],
    "one dropped by both": [w.parse("DEALLOCATE s", "d"), w.bind(name="d"),
                            w.bind(name="d", portal="p"), w.execute(portal="p"), w.execute(),
                            w.sync(), use(), w.sync()],
    "one prepared, two portals": [w.parse("PREPARE t AS " + NEW, "d"), w.bind(name="d"),
                                  w.bind(name="d", portal="p"), w.execute(), w.sync(), use("t"),
                                  w.sync(), w.query("EXECUTE t")],
    "one dropped behind others": [w.query("SELECT 1"), ONE, w.sync(), use(), w.sync()],
    "one dropped and prepared": [w.query("SELECT 1"), ONE, w.sync(), w.parse(NEW, "s"), use(),
                                 w.sync()],
    "one dropped by a name": [w.query("SELECT 1"), w.parse("DEALLOCATE s", "d"), w.sync(), use("d"),
                              w.sync(), use(), w.sync()],
    "one dropped behind an error": [NOPE, w.sync(), ONE, w.sync(), use(), w.sync()],
    "one dropped twice": [w.query("SELECT 1"), ONE, w.sync(), ONE, w.sync(), use(), w.sync()],
    "one dropped in a transaction": [w.query("BEGIN"), ONE, w.sync(), w.query("ROLLBACK"), use(),
                                     w.sync()],
    "one dropped, then an error": [w.query("SELECT 1"), ONE, NOPE, w.sync(), use(), w.sync()],
    "an error, then one dropped": [w.query("SELECT 1"), NOPE, ONE, w.sync(), use(), w.sync()],
    "one dropped behind all": [w.parse("DEALLOCATE s", "d"), w.bind(name="d"), ALL, w.execute(),
                               w.sync()],
    "all dropped behind others": [w.query("SELECT 1"), use(), ALL, w.parse(NEW, "s"), use(), w.sync()],
    "all dropped in a transaction": [w.query("BEGIN"), ALL, w.parse(NEW, "s"), use(), w.sync(),
                                     w.query("ROLLBACK"), use(), w.sync()],
    "all dropped, then a Query": [ALL, w.query("EXECUTE s"), *LAST],
    # A Query that names statements, behind messages without a Sync.
    "run, then a Query": [w.parse("SELECT 'run'"), w.bind(), w.execute(), w.query("EXECUTE s"), *LAST],
    "prepared, then a Query": [w.parse(NEW, "t"), w.query("EXECUTE t"), *LAST],
    "a Query in between": [w.query("SELECT 1"), w.parse("SELECT 'run'"), w.bind(), w.execute(),
                           w.query("EXECUTE s"), *LAST],
    # A Parse that fails, or is skipped, and what counts on it.
    "failed": [w.parse(BAD, "t"), w.sync(), use("t"), w.sync()],
    "failed twice": [w.parse(BAD, "t"), w.sync(), w.parse(BAD, "u"), w.sync(), use("u"), w.sync()],
    "failed, then another": [w.parse(BAD, "t"), w.sync(), w.parse(NEW, "t"), use("t"), w.sync()],
    "skipped": [w.parse(BAD), w.parse(GOOD, "t"), w.sync(), use("t"), w.sync()],
    "skipped, then again": [w.parse(BAD), w.parse(GOOD, "t"), w.sync(), w.parse(NEW, "t"),
                            use("t"), w.sync()],
    "skipped use": [w.parse(BAD), use(), w.sync(), use(), w.sync()],
    "skipped close": [w.parse(BAD), w.close("S", "s"), w.sync(), use(), w.sync()],
    "skipped close, then again": [w.parse(BAD), w.close("S", "s"), w.sync(), w.parse(NEW, "s"),
                                  w.sync(), use(), w.sync()],
    "skipped, executed by SQL": [w.parse(BAD), w.parse(GOOD, "t"), w.sync(),
                                 w.query("EXECUTE t")],
    "closed": [w.close("S", "s"), w.sync(), w.parse(NEW, "s"), use(), w.sync()],
    "skipped query": [w.parse(BAD), w.query("DEALLOCATE ALL"), w.parse(NEW, "s"), w.sync(),
                      use(), w.sync()],
    "skipped unnamed": [w.parse(BAD, "t"), w.parse(GOOD), w.sync(), w.parse(NEW), w.sync(), use(""),
                        w.sync()],
    "failed unnamed": [w.parse(BAD), w.sync(), w.parse(NEW), w.sync(), use(""), w.sync()],
    "failed unnamed at last": [w.parse(NEW), w.sync(), w.parse(BAD), w.sync(), use(""), w.sync()],
    # A Close that is skipped brings back no name that was gone.
    "skipped close of a failed one": [w.parse(BAD, "t"), w.sync(), NOPE, w.close("S", "t"),
                                      w.sync(), w.parse(NEW, "t"), use("t"), w.sync()],
    "skipped close of a skipped one": [NOPE, w.parse(GOOD, "t"), w.sync(), NOPE,
                                       w.close("S", "t"), w.sync(), use("t"), w.sync()],
    "skipped close behind a drop": [w.query("DISCARD ALL"), NOPE, w.close("S", "s"), w.sync(),
                                    use(), w.sync(), w.parse(NEW, "s"), use(), w.sync()],
    # One of the unnamed statement that is skipped leaves it there.
    "skipped close of the unnamed one": [w.parse(INSERT), w.describe("P", "none"), w.close("S", ""),
                                         w.sync(), w.describe("S", ""), w.sync(), use(""), w.sync()],
    "the same, and later": [w.parse(GOOD), w.sync(), NOPE, w.close("S", ""), w.sync(), w.query("SELEC"),
                            use(""), w.sync()],
    "the same, and another": [w.parse(GOOD), NOPE, w.close("S", ""), w.parse(NEW), w.sync(),
                              use(""), w.sync()],
    "the same, in a transaction": [w.query("BEGIN"), w.parse(INSERT), w.sync(), NOPE,
                                   w.close("S", ""), w.sync(), w.query("ROLLBACK"), w.describe("S", ""),
                                   w.sync()],
    "closed unnamed": [w.parse(GOOD), w.close("S", ""), w.describe("S", ""), w.sync(), use(""), w.sync()],
    "closed unnamed twice": [w.parse(GOOD), w.sync(), w.close("S", ""), w.close("S", ""), w.sync(),
                             use(""), w.sync()],
    "closed unnamed, then another": [w.parse(GOOD), w.close("S", ""), w.parse(NEW), w.sync(),
                                     use(""), w.sync(), use(""), w.sync()],
    "closed unnamed, then one that fails": [w.parse(GOOD), w.sync(), w.close("S", ""), w.parse(BAD),
                                            w.sync(), use(""), w.sync()],
    # What is skipped behind a Query, too, up to the Sync.
    "skipped queries": [NOPE, w.query("SELECT 1"), w.query("EXECUTE s"), *LAST],
    "skipped queries, nothing else": [NOPE, w.query("SELECT 1"), w.query("EXECUTE s"),
                                      w.query("SELECT 'runs'"), w.sync()],
    "skipped queries and a name": [NOPE, w.parse(NEW, "t"), w.query("SELECT 1"),
                                   w.query("EXECUTE s"), w.query("EXECUTE t"), *LAST],
    "skipped refusal": [NOPE, w.query("PREPARE pgtandem_s1 AS SELECT 1"), *LAST],
    "skipped refusal behind a query": [NOPE, w.query("SELECT 1"),
                                       w.query("EXECUTE pgtandem_s1"), *LAST],
    "skipped at run time": [w.parse("SELECT 1/0"), w.bind(), w.execute(), w.query("SELECT 1"),
                            w.query("EXECUTE s"), *LAST],
    "queries that are not skipped": [w.parse(NEW), use(""), w.query("SELECT 1"),
                                     w.query("EXECUTE s"), *LAST],
    # By SQL.
    "PREPARE": [w.query("PREPARE t AS SELEC"), w.parse(NEW, "t"), use("t"), w.sync()],
    "PREPARE of one that is there": [w.query("PREPARE s AS SELECT 'other'"), use(), w.sync()],
    "PREPARE and use": [w.query("PREPARE t AS " + NEW), use("t"), w.sync()],
    # In a transaction that fails on the way.
    "failed transaction": [w.query("BEGIN"), w.query("SELECT 1/0"), w.parse(GOOD, "t"), w.sync(),
                           w.query("ROLLBACK"), use("t"), w.sync()],
    "drop in a failed transaction": [w.query("BEGIN"), w.query("SELECT 1/0"),
                                     w.query("DEALLOCATE ALL"), w.query("ROLLBACK"), use(),
                                     w.sync()],
    "rolled back": [w.query("BEGIN"), w.parse(NEW, "t"), w.sync(), w.query("ROLLBACK"), use("t"),
                    w.sync()],
}


def answers(wire, parts):
    """What comes up to the answer of a query behind all of it."""
    wire.send(*parts, w.sync(), w.query(END))
    seen = []
    while not seen or seen[-1] != ("D", ("end",)):
        m = wire.receive()
        if m.type == "D":
            seen.append(("D", tuple(v.decode() for v in m.row)))
        elif m.type == "E":
            seen.append(("E", m.sqlstate))
        elif m.type not in "SN":
            seen.append((m.type, m.body))
    wire.until_ready()
    return seen


@pytest.mark.parametrize("touch", [False, True], ids=["own", "elsewhere"])
@pytest.mark.parametrize("case", AHEAD)
def test_as_postgresql_does_it(make_router, case, touch):
    router = make_router(limited(1))
    seen = {}
    with router.transactional.wire() as other:
        # It is known on the server before.
        prepare(other, "theirs", GOOD)
        for port in ("session", "transactional"):
            with getattr(router, port).wire() as wire:
                prepare(wire, "s", GOOD)
                if touch and port == "transactional":
                    other.query("SELECT set_config('app.x', 'else', false)")
                seen[port] = answers(wire, AHEAD[case])
                assert answers(wire, []) == answers(wire, [])
        assert seen["transactional"] == seen["session"]
        assert w.rows(run(other, use("theirs"))) == [("good",)]


def test_drop_of_one_that_failed(make_router):
    """It is not known yet when that runs."""
    router = make_router(limited(1))
    seen = {}
    for port in ("session", "transactional"):
        with getattr(router, port).wire() as wire:
            prepare(wire, "d", "DEALLOCATE t")
            seen[port] = answers(wire, [w.parse(BAD, "t"), w.sync(), use("d"), w.sync(),
                                        w.parse(GOOD, "t"), w.sync(), use("d"), use("t"), w.sync()])
    assert seen["transactional"] == seen["session"]


def test_drop_that_fails_with_what_stands_in_front(make_router):
    """In a transaction of which it is not known yet that it has failed."""
    router = make_router(limited(1))
    seen = {}
    for port in ("session", "transactional"):
        with getattr(router, port).wire() as wire:
            wire.query("BEGIN")
            wire.send(w.parse(GOOD, "t"), w.execute("nope"), w.flush())
            assert w.types(wire.until("E")) == "1E"
            wire.send(w.sync())
            seen[port] = answers(wire, [
                w.query("DEALLOCATE t; SELECT 1"), w.query("ROLLBACK"), w.query("EXECUTE t"),
                w.query("PREPARE t AS " + NEW), w.query("EXECUTE t")])
    assert seen["transactional"] == seen["session"]
    assert seen["session"].count(("D", ("good",))) == 2


def test_drop_where_nobody_looks_after_sql(make_router):
    router = make_router({**limited(1), "defaults": {"session_state": "off"}})
    with router.transactional.wire() as wire:
        wire.query("PREPARE s AS SELECT 1")
        assert [w.types(run(wire, ONE)) for _ in range(2)] == ["12CZ", "12EZ"]


def test_portals_that_drop_are_counted(make_router):
    router = make_router(limited(1))
    with router.transactional.wire() as wire:
        prepare(wire, "s", GOOD)
        prepare(wire, "d", "DEALLOCATE s")
        binds = [w.bind(name="d", portal=f"p{n}") for n in range(65)]
        assert w.errors(run(wire, *binds)) == ["54000"]
        assert w.types(run(wire, *binds[:64], w.execute(portal="p63"))) == 64 * "2" + "CZ"
        assert w.errors(run(wire, use())) == ["26000"]


def test_a_wait_behind_one_that_ended_with_an_error(make_router):
    """Each asks for the answers that it waits for."""
    router = make_router(limited(1))
    seen = {}
    for port in ("session", "transactional"):
        with getattr(router, port).wire() as wire:
            prepare(wire, "s", GOOD)
            wire.send(DISCARD, use(), use(), w.sync())
            first = w.types(wire.until_ready())
            wire.send(w.close("S", "s"), w.query("PREPARE t AS " + NEW))
            seen[port] = first, w.types(wire.until_ready()), answers(wire, [use("t"), w.sync()])
    assert seen["transactional"] == seen["session"]


@pytest.mark.parametrize("size", [1, 7, 100])
@pytest.mark.parametrize("case", ["DISCARD ALL", "skipped, then again", "dropped by extended",
                                  "failed twice"])
def test_in_pieces(make_router, case, size):
    """However it is cut."""
    router = make_router(limited(1))
    data = b"".join(AHEAD[case])
    seen = {}
    for port in ("session", "transactional"):
        with getattr(router, port).wire() as wire:
            prepare(wire, "s", GOOD)
            pieces = [data[n:n + size] for n in range(0, len(data), size)]
            for piece in pieces[:-1]:
                wire.send(piece)
            seen[port] = answers(wire, pieces[-1:])
    assert seen["transactional"] == seen["session"]


def test_behind_a_copy(make_router):
    """Its data goes on while what stands behind them waits."""
    router = make_router(limited(1))
    seen = {}
    for port in ("session", "transactional"):
        with getattr(router, port).wire() as wire:
            wire.query("CREATE TABLE IF NOT EXISTS ahead (x int)")
            prepare(wire, "t", GOOD)
            seen[port] = answers(wire, [
                w.query("DEALLOCATE ALL; COPY ahead FROM STDIN"), w.copy_data(b"1\n"),
                w.copy_done(), w.parse(NEW, "t"), use("t"), w.sync()])
    assert seen["transactional"] == seen["session"]


def test_query_into_a_copy(make_router):
    """It ends the COPY, and waits for nothing."""
    router = make_router(limited(1))
    seen = {}
    for port in ("session", "transactional"):
        with getattr(router, port).wire() as wire:
            wire.query("CREATE TABLE IF NOT EXISTS ahead (x int)")
            prepare(wire, "s", GOOD)
            wire.send(w.parse(NEW), use(""), w.query("COPY ahead FROM STDIN"),
                      w.query("EXECUTE s"))
            seen[port] = [m.type for m in wire.until_closed()]
    assert "G" in seen["session"] and seen["transactional"] == seen["session"]


@pytest.mark.parametrize("parts", [
    [w.parse(BAD, "t"), w.parse(GOOD), w.sync(), w.parse(NEW), w.sync()],
    [w.parse(BAD), w.sync(), w.parse(NEW), w.sync()],
    [w.parse(BAD, "t"), w.parse(GOOD), w.sync(), w.parse(NEW), w.query(BAD), w.sync()],
    [w.parse(NEW), w.sync(), w.parse(BAD), w.sync()],
], ids=["skipped", "failed", "and a query", "failed at last"])
def test_unnamed_one_that_is_used_when_all_is_answered(make_router, parts):
    """One that came to nothing took the next one's text with it."""
    router = make_router(limited(1))
    seen = {}
    with router.transactional.wire() as other:
        for port in ("session", "transactional"):
            with getattr(router, port).wire() as wire:
                answers(wire, [])
                wire.send(*parts)
                for part in parts:
                    if part[:1] in b"SQ":
                        wire.until_ready()
                if port == "transactional":
                    other.query("SELECT set_config('app.x', 'else', false)")
                seen[port] = answers(wire, [use("")])
    assert seen["transactional"] == seen["session"]


@pytest.mark.parametrize("reuse", [False, True])
def test_skipped_close_of_the_unnamed_statement(make_router, reuse):
    """Answers are waited for in between, and somebody else has the server."""
    router = make_router(limited(1, plan_reuse=reuse))
    seen = {}
    with router.transactional.wire() as other:
        for port in ("session", "transactional"):
            with getattr(router, port).wire() as wire:
                for _ in range(5):
                    run(wire, w.parse(GOOD), w.bind(), w.execute())
                if port == "transactional":
                    run(other, w.parse("SELECT 'secret'"))
                seen[port] = [
                    [(m.type, m.body) for m in run(wire, *parts) if m.type not in "ESN"] for parts in (
                        [w.parse(INSERT), w.describe("P", "none"), w.close("S", "")],
                        [w.describe("S", "")], [w.describe("S", "")],
                        [w.parse(GOOD), w.bind(), w.execute(), NOPE, w.close("S", "")],
                        [w.parse(GOOD), w.bind(), w.execute(), w.close("S", "")],
                        [w.bind(), w.execute()])]
    assert seen["transactional"] == seen["session"]


def test_skipped_close_where_names_are_not_looked_after(make_router):
    """What is left of another client's is not to be used there either."""
    router = make_router({
        "hosts": {"main": {"connection_budget": 1}}, "defaults": {"session_state": "tracked"},
        "workloads": {
            "transactional": {"guaranteed_connections": 0, "max_connections": 1},
            "plain": {"pool_mode": "transaction", "max_prepared_statements": 0,
                      "max_connections": 1}}})
    with router.transactional.wire() as a, router.plain.wire() as b:
        run(a, w.parse("SELECT 'secret'"), w.bind(), w.execute())
        assert w.errors(run(b, w.execute("nope"), w.bind())) == ["34000"]
        for _ in range(2):
            assert w.errors(run(b, w.bind(), w.execute())) == ["26000"]
            assert w.rows(run(a, w.parse("SELECT 'mine'"), w.bind(), w.execute())) == [("mine",)]
            # Skipped, too: a's own.
            assert w.errors(run(b, w.execute("nope"), w.parse("SELECT 1"))) == ["34000"]


# What may be skipped, and takes the place of the unnamed statement that the server has; and
# what uses that then.
MINE = "SELECT 'mine'"
SKIPPED = {
    "Bind": [NOPE, w.bind()],
    "Describe": [NOPE, w.describe("S", "")],
    "Parse": [NOPE, w.parse(NEW)],
    "Query": [NOPE, w.query(NEW)],
    "Parse behind a Query": [NOPE, w.query(NEW), w.parse(NEW)],
}
USED = {
    "bound": [use("")],
    "described": [w.describe("S", "")],
    "skipped once more": [NOPE, w.parse(NEW), w.sync(), use("")],
    "another": [w.parse(NEW), use(""), w.sync(), use("")],
    "closed": [w.close("S", ""), w.sync(), use("")],
}
KEPT = {"strict": {"session_state": "strict"}, "tracked": {"session_state": "tracked"},
        "no names": {"session_state": "tracked", "max_prepared_statements": 0}}


@pytest.mark.parametrize("ahead", [True, False], ids=["ahead", "answered"])
@pytest.mark.parametrize("kept", KEPT)
def test_unnamed_statement_of_others_is_not_met(make_router, kept, ahead):
    """The client's own may be gone where its next was skipped, but is never another one."""
    router = make_router(limited(1, **KEPT[kept]))
    with router.transactional.wire() as other:
        for has_own in (False, True):
            for case, skipped in SKIPPED.items():
                for how, used in USED.items():
                    seen = {}
                    for port in ("session", "transactional"):
                        with getattr(router, port).wire() as wire:
                            if has_own:
                                run(wire, w.parse(MINE))
                            if port == "transactional":
                                run(other, w.parse("SELECT 'secret'"), w.bind(), w.execute())
                            if not ahead:
                                run(wire, *skipped)
                            seen[port] = answers(wire, [*skipped, w.sync(), *used] if ahead
                                                 else used)
                    what = case, how, has_own, seen
                    gone = [("E", "26000") if m == ("D", ("mine",)) else m
                            for m in seen["session"] if m[0] in "DE"]
                    assert ("D", ("secret",)) not in seen["transactional"], what
                    assert not has_own and seen["transactional"] == seen["session"] or (
                        has_own and [m for m in seen["transactional"] if m[0] in "DE"] in (
                            gone, [m for m in seen["session"] if m[0] in "DE"])) or (
                        has_own and how == "described"), what


def test_close_between_names_that_nobody_looks_after(make_router):
    router = make_router(limited(1, session_state="tracked", max_prepared_statements=0))
    with router.transactional.wire() as other, router.transactional.wire() as wire:
        run(other, w.parse("SELECT 'secret'"), w.bind(), w.execute())
        answer = run(wire, w.parse(GOOD, "s"), w.bind(name="s"), w.execute(), w.bind())
        assert w.types(answer) == "12DCEZ" and w.errors(answer) == ["26000"]


# Its own Closes, and what hides the unnamed statement of others, told apart.
CLOSES = {
    "in front": [w.close("P", ""), NOPE, w.bind(), w.sync()],
    "of the exchange before": [w.close("S", "x"), w.sync(), w.bind(), w.sync(), w.close("S", "x"),
                               w.sync()],
    "skipped": [NOPE, w.close("S", "x"), w.bind(), w.sync(), w.close("S", "x"), w.sync()],
    "behind a query": [w.query("SELECT 1/0"), w.close("S", "x"), w.query("SELECT 1"),
                       w.bind(), w.close("S", "x"), w.sync(), w.close("P", "x"), w.sync()],
    "skipped with a query": [NOPE, w.query("SELECT 1"), w.close("S", "x"), w.sync(),
                             w.close("S", "x"), w.bind(), w.sync(), w.close("S", "x"), w.sync()],
    "behind a COPY": [w.query("COPY (SELECT 1) TO STDOUT"), w.close("S", "x"), w.bind(), w.sync(),
                      w.close("S", "x"), w.parse(GOOD), use(""), w.sync(), w.close("S", ""),
                      w.sync()],
}


@pytest.mark.parametrize("case", CLOSES)
def test_closes_where_nobody_looks_after_names(make_router, case):
    router = make_router(limited(1, session_state="tracked", max_prepared_statements=0))
    seen = {}
    with router.transactional.wire() as other:
        for port in ("session", "transactional"):
            with getattr(router, port).wire() as wire:
                if port == "transactional":
                    run(other, w.parse("SELECT 'secret'"), w.bind(), w.execute())
                seen[port] = answers(wire, CLOSES[case]) + answers(wire, [w.close("S", "x")])
    assert seen["transactional"] == seen["session"]


# What gives a server's place to others, without constants that hang on settings; 0 is
# another client's, too.
FULL = {
    "closed behind it": lambda ours: [
        NOPE, *(use(f"s{n}") for n in [*ours, 0]), w.sync(),
        *(w.parse(f"SELECT {n}, 0", f"t{n}") for n in ours), w.sync()],
    "skipped behind it": lambda ours: [
        NOPE, *(use(f"s{n}") for n in ours), w.sync(), NOPE, use("s9"), w.sync()],
}


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize("case", FULL)
def test_server_that_is_full(make_router, case, most):
    """Part of it is skipped, and what is behind that is about the same statements."""
    router = make_router(limited(1, max_prepared_statements=most))
    ours = range(1, most + 1)
    with router.transactional.wire() as wire, router.transactional.wire() as other:
        for n in [*ours, 9, 0]:
            prepare(wire, f"s{n}", f"SELECT {n}")
        prepare(other, "s0", "SELECT 0")
        answers(wire, FULL[case](ours))
        assert w.rows(run(other, use("s0"))) == [("0",)]
        for n in [*ours, 9, 0]:
            assert w.rows(run(wire, use(f"s{n}"))) == [(str(n),)]


@pytest.mark.parametrize("name", ["s1", "s2", "s3"])
def test_server_that_is_full_of_ones_own(make_router, name):
    router = make_router(limited(1, max_prepared_statements=1))
    with router.transactional.wire() as wire:
        prepare(wire, "s2", "SELECT 2")
        prepare(wire, "s1", "SELECT 1")
        answers(wire, [NOPE, use("s2"), use("s1"), w.sync(), w.parse("SELECT 3", "s3"), w.sync()])
        assert w.rows(run(wire, use(name))) == [(name[1:],)]


def test_long_names_of_portals(make_router):
    """Those are cut, as all names are."""
    router = make_router(limited(1))
    with router.transactional.wire() as wire:
        prepare(wire, "s", "SELECT 1")
        answer = run(wire, w.parse("DEALLOCATE s"), w.bind((), "", "p" * 70), w.execute("p" * 65))
        assert [m.tag for m in answer if m.type == "C"] == ["DEALLOCATE"]
        assert w.errors(run(wire, use())) == ["26000"]

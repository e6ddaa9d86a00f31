# SPDX-License-Identifier: ISC
"""Where a string of a text ends hangs on settings: a text that is sent ahead of the answer to
what changes those is read as PostgreSQL will read it, and hides nothing."""
import pytest
from support import wire as w
from support.postgres import DATABASE
from test_prepared import limited

pytestmark = pytest.mark.router_only

Q = w.query
OFF, ON = Q("SET standard_conforming_strings = off"), Q("SET standard_conforming_strings = on")
LOCAL = Q("SET LOCAL standard_conforming_strings = off")
BEGIN, COMMIT, ROLLBACK = Q("BEGIN"), Q("COMMIT"), Q("ROLLBACK")

# What a text hides from one who reads its first string the other way, and what shows it.
HIDDEN = {
    "a setting": ("SET app.hid = $$1$$", "SELECT current_setting('app.hid', true)"),
    "a lock": ("SELECT pg_advisory_lock(4711)",
               "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711"),
    "a table": ("CREATE TEMP TABLE hid (x int)", "SELECT to_regclass('pg_temp.hid')"),
    "a statement": ("PREPARE hid AS SELECT 1",
                    "SELECT count(*) FROM pg_prepared_statements WHERE name = 'hid'"),
}


def if_on(hidden):
    return Q(f"SELECT 'a\\'; {hidden}; --'")


def if_off(hidden):
    return Q(f"SELECT 'a\\' , '; {hidden}; --'")


def extended(text, *values):
    return w.parse(text) + w.bind(values) + w.execute()


SET_CONFIG = "SELECT set_config('standard_conforming_strings', 'on', false)"

# What is answered before, and what comes in one write.
WAYS = {
    "on": ([OFF], lambda hid: ON + if_on(hid)),
    "off": ([ON], lambda hid: OFF + if_off(hid)),
    "reset": ([OFF], lambda hid: Q("RESET ALL") + if_on(hid)),
    "extended": ([OFF], lambda hid: extended("SET standard_conforming_strings = on") + w.sync()
                 + if_on(hid)),
    "a function": ([OFF], lambda hid: extended("SELECT set_config($1, $2, false)",
                                               "standard_conforming_strings", "on") + w.sync()
                   + if_on(hid)),
    "out of sight": ([OFF, BEGIN], lambda hid: Q(f"DO $do$ BEGIN PERFORM ({SET_CONFIG}); END $do$")
                      + if_on(hid) + COMMIT),
    "commit": ([BEGIN, LOCAL], lambda hid: COMMIT + if_on(hid)),
    "rollback": ([BEGIN, OFF], lambda hid: ROLLBACK + if_on(hid)),
    "rollback to": ([BEGIN, Q("SAVEPOINT a"), OFF],
                    lambda hid: Q("ROLLBACK TO a") + if_on(hid) + COMMIT),
    "with the error of another": ([OFF], lambda hid: Q("SELECT 1/0") + ON + if_on(hid)),
    "without a Sync": ([OFF], lambda hid: extended("SET standard_conforming_strings = on")
                       + if_on(hid)),
}


def say(wire, message):
    """The errors of what it makes, to the last ReadyForQuery."""
    wire.send(message)
    told = []
    for _ in range(message.count(b"Q\0\0\0") + message.count(w.sync())):
        told.append(w.errors(wire.until_ready()))
    return told


@pytest.mark.parametrize("kind", HIDDEN)
@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_hidden(make_router, way, kind):
    if way == "without a Sync" and kind == "a statement":
        pytest.skip("only the answer could tell, and there is none before the Sync")
    router = make_router(limited(1, max_pinned=1))
    hidden, look = HIDDEN[kind]
    before, write = WAYS[way]

    def script(wire):
        told = [say(wire, step) for step in before]
        return told, say(wire, write(hidden)), wire.value(look)

    with router.session.wire() as direct:
        expected = script(direct)
    assert expected[-1] not in (None, "", "0")
    with router.transactional.wire() as one:
        assert script(one) == expected
        # Still there when others had a chance.
        with router.transactional.wire() as other:
            if kind in ("a setting", "a statement"):
                other.query("SELECT 1")
        assert one.value(look) == expected[-1]


@pytest.mark.parametrize("way", ["on", "reset", "extended", "commit", "without a Sync"])
def test_what_is_refused_is_refused(make_router, way):
    router = make_router(limited(1, session_state_temp_tables="refuse"))
    hidden, look = HIDDEN["a table"]
    before, write = WAYS[way]
    with router.transactional.wire() as one:
        for step in before:
            say(one, step)
        assert "0A000" in sum(say(one, write(hidden)), [])
        assert one.value(look) is None


def test_characters(make_router):
    """The second byte of a character may look like a backslash."""
    router = make_router(limited(1, max_pinned=1))
    hidden, look = HIDDEN["a lock"]
    text = w.message("Q", f"SELECT '\x83\x5c'; {hidden}; --'\0".encode("latin-1"))
    with router.transactional.wire() as one:
        say(one, OFF)
        assert say(one, Q("SET client_encoding = 'SJIS'") + text) == [[], []]
        say(one, Q("SET client_encoding = 'UTF8'"))
        with router.transactional.wire() as other:
            assert one.value(look) == "1"
            say(one, Q("SELECT pg_advisory_unlock_all()"))
            assert other.value(look) == "0"


def test_others_need_not_wait(make_router, postgres):
    """What reads the same either way goes on at once."""
    router = make_router(limited(1))
    with router.transactional.wire() as one:
        answer = say(one, b"".join([ON, Q("SELECT pg_sleep(0.1)"), Q("SELECT 'a'"), OFF,
                                    Q("SELECT 'ü'"), Q("COPY (SELECT 1) TO STDOUT"),
                                    Q(r"SELECT 'a\'b'")]))
        assert answer == [[]] * 7
        postgres.sql("CREATE TABLE taken (x text)", "GRANT ALL ON taken TO PUBLIC", dbname=DATABASE)
        try:
            one.send(ON, Q("COPY taken FROM STDIN"), w.message("d", rb"a\\b" + b"\n"),
                     w.message("c", b""), if_on("SELECT 1"))
            assert [w.errors(one.until_ready()) for _ in range(3)] == [[]] * 3
            # PostgreSQL ends who sends a Query in the middle of COPY: that does not wait.
            one.send(ON, Q("COPY taken FROM STDIN"), if_on("SELECT 1"))
            assert w.errors(one.until_ready()) == []
            with pytest.raises(EOFError):
                one.until_ready()
        finally:
            postgres.sql("DROP TABLE taken", dbname=DATABASE)


@pytest.mark.parametrize("step", [Q("SELECT fine()"), LOCAL])
def test_nobody_waits_behind_a_copy_that_failed(make_router, postgres, step):
    """How much of what was sent is still to be answered is not known then, up to the end of the
    transaction."""
    router = make_router(limited(1))
    postgres.sql("CREATE TABLE taken (x int)", "GRANT ALL ON taken TO PUBLIC",
                 "CREATE FUNCTION fine() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$",
                 dbname=DATABASE)
    try:
        with router.transactional.wire() as one:
            say(one, BEGIN)
            say(one, Q("SAVEPOINT a"))
            # The first Sync belongs to the COPY, as libpq sends it.
            one.send(extended("COPY taken FROM STDIN"), w.sync())
            assert one.until("G")
            one.send(w.copy_data(b"x\n"), w.copy_done(), w.sync())
            assert w.errors(one.until_ready()) == ["22P02"]
            for text in (Q("ROLLBACK TO a"), step, Q(r"SELECT 'a\b'"), COMMIT):
                assert say(one, text) == [[]]
    finally:
        postgres.sql("DROP TABLE taken", "DROP FUNCTION fine", dbname=DATABASE)


@pytest.mark.parametrize("before", [ON, Q("DISCARD ALL"), Q("SET client_encoding = 'LATIN1'")])
def test_what_is_skipped_is_not_waited_for(make_router, before):
    """An error in front of it has PostgreSQL skip all up to the Sync, which comes behind."""
    router = make_router(limited(1))
    with router.transactional.wire() as one:
        one.send(w.parse("SELECT 1 / 0"), w.bind(), w.execute(), before,
                 w.parse(r"SELECT 'a\'b'"), w.bind(), w.execute(), w.sync())
        assert w.errors(one.until_ready()) == ["22012"]
        assert one.value("SELECT 2") == "2"

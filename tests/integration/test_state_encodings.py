# SPDX-License-Identifier: ISC
"""Settings beyond ASCII are kept whatever client_encoding they were made in, and whatever it
is when they are made again."""
import pytest
from support import wire as w
from support.postgres import DATABASE
from test_prepared import limited

pytestmark = pytest.mark.router_only

LATIN1, WIN1251, UTF8 = (w.query(f"SET client_encoding = '{name}'")
                         for name in ("LATIN1", "WIN1251", "UTF8"))
HEX = w.query("SELECT encode(convert_to(current_setting('app.n'), getdatabaseencoding()), 'hex')")


def made(value):
    return w.message("Q", b"SET app.n = '" + value + b"'\0")


def tell(wire, messages, between=lambda: None):
    """What each has for an answer."""
    told = []
    for message in messages:
        wire.send(message)
        answer = wire.until_ready()
        told.append((w.errors(answer), w.rows(answer)))
        between()
    return told


STORIES = {
    "latin1": [LATIN1, made(b"\xfc"), HEX, UTF8, HEX],
    "latin1, valid as utf8": [LATIN1, made(b"\xc3\xbc"), HEX],
    "win1251": [WIN1251, made(b"\xe4"), HEX],
    "in one text": [w.message("Q", b"SET client_encoding = 'LATIN1'; SET app.n = 'x'\0"),
                    made(b"\xfc"), HEX],
    "a function": [LATIN1, w.message(
        "Q", b"SELECT set_config('app.n', '\xfc', false) IS NULL\0"), HEX],
    "a reset": [UTF8, made("ü".encode()), LATIN1, w.query("RESET app.n"), HEX],
    "a reset undone": [LATIN1, made(b"\xfc"), w.query("BEGIN; RESET app.n; ROLLBACK"), HEX],
    "what the encoding lacks": [made("д".encode()), LATIN1, HEX, w.query("SET app.m = '2'"),
                                w.query("SET app.n = default; SET app.m = '3'"), HEX],
    "quotes": [LATIN1, made(b"''\xfc\\ $$"), HEX],
    "no encoding": [w.query("SET client_encoding = 'SQL_ASCII'"), made("ü".encode()), HEX],
    "half of 64 kB": [LATIN1, made(b"\xfc" * 30000), w.query("SELECT length(current_setting("
                                                           "'app.n'))")],
}


@pytest.mark.parametrize("database", [DATABASE, "ascii"])
@pytest.mark.parametrize("story", STORIES)
def test_kept(make_router, postgres, story, database):
    if database == "ascii":
        postgres.sql("CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII'"
                     " LC_COLLATE 'C' LC_CTYPE 'C'")
    router = make_router(limited(1))
    try:
        with router.session.wire(dbname=database) as direct:
            expected = tell(direct, STORIES[story])
        with router.transactional.wire(dbname=database) as one, \
                router.transactional.wire(dbname=database) as other:
            assert tell(one, STORIES[story], lambda: other.query("SELECT 1")) == expected
    finally:
        router.stop()
        if database == "ascii":
            postgres.sql("DROP DATABASE ascii")


@pytest.mark.parametrize("name", ["app.größe", 'app."Größe"', "App.GRÖSSE", "app.租户",
                                  'U&"app".U&"gr\\00f6\\00dfe"', "app.ä" + "x" * 70])
def test_names_of_variables(make_router, name):
    router = make_router(limited(1))
    with router.transactional.wire() as one, router.transactional.wire() as other:
        assert not w.errors(one.query(f"SET {name} = '1'"))
        other.query("SELECT 1")
        assert one.value(f"SHOW {name}") == "1"


def test_startup_values_are_in_none(make_router):
    """PostgreSQL takes them as they are."""
    router = make_router(limited(1))
    parameters = {"client_encoding": "LATIN1", "options": "-c app.n=ü"}
    with router.transactional.wire(**parameters) as one, \
            router.transactional.wire() as other:
        assert tell(one, [HEX, w.query("SET app.m = '1'"), HEX], lambda: other.query("SELECT 1")) == [
            ([], [("c3bc",)]), ([], []), ([], [("c3bc",)])]


@pytest.mark.usefixtures("no_code")
def test_a_session_that_was_lent(make_router):
    router = make_router({
        "workloads": {"session": {"guaranteed_connections": 1, "max_connections": 1}},
        "defaults": {"idle_session_reclaim": "100ms"}})
    with router.session.wire() as one, router.session.wire() as other:
        tell(one, [LATIN1, made(b"\xfc")])
        other.query("SELECT 1")
        assert tell(one, [HEX]) == [([], [("c3bc",)])]

# SPDX-License-Identifier: ISC
"""Settings that a client brings in its startup packet, as parameters or in options:
they hold for its session on both ports, on whichever server it gets."""
import pytest
from support import wire as w
from support.postgres import DATABASE

ONE = {"workloads": {"transactional": {"guaranteed_connections": 1, "max_connections": 1},
                     "session": {"guaranteed_connections": 1, "max_connections": 1}}}

NASTY = {
    "empty": "",
    "quote": "it's",
    "quotes": "''''",
    "backslash": "\\",
    "backslash and quote": "\\'; SELECT 1/0; --",
    "escapes": "\\n\\x41\\u0041",
    "dollar": "$$ $1 $q$",
    "double": '"a" "b"',
    "control": "a\nb\tc\x01",
    "accents": "é ü ß",
    "han": "漢字",
    "emoji": "😀",
    "long": "x" * 20000,
    "long and nasty": "é'\\" * 3000,
}


def hex_of(wire, name):
    """The setting's bytes in the server's encoding, whatever ours is."""
    return wire.value(f"SELECT encode(convert_to(current_setting('{name}'), 'UTF8'), 'hex')")


def refusal(endpoint, **parameters):
    """The ErrorResponse that a login with these parameters gets."""
    with endpoint.raw() as wire:
        wire.send(w.startup("app_trust", DATABASE, **parameters))
        while True:
            got = wire.receive()
            if got.type == "R":
                wire.answer(got, "app_trust", endpoint.dsn("app_trust")["password"])
            elif got.type == "E":
                assert wire.until_closed() == []
                return got
            else:
                assert got.type != "Z", "it was let in"


def test_parameters_reach_the_session(port):
    with port.wire(DateStyle="German, DMY", statement_timeout="1234ms", search_path="pg_catalog",
                   **{"app.tenant_id": "7"}) as wire:
        assert wire.value("SHOW DateStyle") == "German, DMY"
        assert wire.value("SHOW statement_timeout") == "1234ms"
        assert wire.value("SHOW search_path") == "pg_catalog"
        assert wire.value("SHOW app.tenant_id") == "7"


def test_client_is_told_its_settings(port):
    with port.wire(DateStyle="German, DMY", TimeZone="Asia/Tokyo") as wire:
        assert wire.parameters["DateStyle"] == "German, DMY"
        assert wire.parameters["TimeZone"] == "Asia/Tokyo"


@pytest.mark.parametrize("options, expected", [
    ("-c work_mem=5MB", {"work_mem": "5MB"}),
    ("-cwork_mem=5MB --statement-timeout=9s", {"work_mem": "5MB", "statement_timeout": "9s"}),
    ("-c app.x=a\\ b\\\\c -c app.y=it's", {"app.x": "a b\\c", "app.y": "it's"}),
])
def test_options_reach_the_session(port, options, expected):
    with port.wire(options=options) as wire:
        for name, value in expected.items():
            assert wire.value(f"SHOW {name}") == value


@pytest.mark.parametrize("value", NASTY.values(), ids=NASTY)
def test_any_value_arrives_unchanged(port, value):
    # PostgreSQL takes at most 10000 bytes of startup packet.
    while len(value.encode()) > 9000:
        value = value[:len(value) // 2]
    with port.wire(**{"app.nasty": value, "DateStyle": "German"}) as wire:
        assert hex_of(wire, "app.nasty") == value.encode().hex()
        assert wire.value("SHOW DateStyle") == "German, DMY"


def test_client_encoding_does_not_change_the_other_values(port):
    """As with PostgreSQL, which converts nothing of a startup packet."""
    with port.wire(client_encoding="LATIN1", **{"app.x": "é"}) as wire:
        assert wire.value("SHOW client_encoding") == "LATIN1"
        assert hex_of(wire, "app.x") == "c3a9"


@pytest.mark.parametrize("encoding", ["SJIS", "GBK", "BIG5"])
def test_encodings_with_backslashes_in_characters(port, encoding):
    with port.wire(client_encoding=encoding, **{"app.x": "\\'é表"}) as wire:
        assert hex_of(wire, "app.x") == "\\'é表".encode().hex()


@pytest.mark.parametrize("parameters, sqlstate", [
    ({"no_such_setting": "1"}, "42704"),
    ({"work_mem": "lots"}, "22023"),
    ({"client_encoding": "nonsense"}, "22023"),
    ({"DateStyle": "nonsense"}, "22023"),
    ({"options": "-c work_mem=lots"}, "22023"),
    ({"max_connections": "5"}, "55P02"),
])
def test_what_postgresql_refuses_is_fatal_with_its_sqlstate(port, parameters, sqlstate):
    error = refusal(port, **parameters)
    assert error.fields["S"] == "FATAL"
    assert error.sqlstate == sqlstate


@pytest.mark.router_only
def test_what_can_only_be_set_at_startup_is_refused(port):
    """Our servers have started before the client came.  PostgreSQL itself says 42501
    to this user, and lets a superuser do it."""
    error = refusal(port, log_connections="off")
    assert (error.fields["S"], error.sqlstate) == ("FATAL", "55P02")


@pytest.mark.router_only
@pytest.mark.parametrize("name", ["transactional", "session"])
def test_settings_are_the_clients_own(make_router, name):
    """One server, three clients in turn."""
    port = getattr(make_router(ONE), name)
    with port.wire(**{"DateStyle": "German", "app.x": "1"}) as wire:
        assert wire.value("SHOW DateStyle") == "German, DMY"
    with port.wire() as wire:
        assert wire.value("SHOW DateStyle") == "ISO, MDY"
        assert wire.value("SELECT coalesce(current_setting('app.x', true), '')") == ""
    with port.wire(DateStyle="SQL") as wire:
        assert wire.value("SHOW DateStyle") == "SQL, MDY"


@pytest.mark.router_only
def test_settings_follow_the_client_from_server_to_server(make_router):
    """Two clients share the one server, transaction by transaction."""
    router = make_router(ONE)
    with router.transactional.wire(DateStyle="German") as first, \
            router.transactional.wire(DateStyle="SQL") as second:
        for _ in range(5):
            assert first.value("SHOW DateStyle") == "German, DMY"
            assert second.value("SHOW DateStyle") == "SQL, MDY"


def test_reset_goes_back_to_the_startup_packets(port):
    """More of this in test_startup_defaults.py."""
    with port.wire(**{"DateStyle": "German"}) as wire:
        assert w.types(wire.query("BEGIN")).endswith("Z")
        assert w.types(wire.query("RESET DateStyle")).endswith("Z")
        assert wire.value("SHOW DateStyle") == "German, DMY"
        assert w.types(wire.query("ROLLBACK")).endswith("Z")
        assert wire.value("SHOW DateStyle") == "German, DMY"

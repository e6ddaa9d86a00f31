# SPDX-License-Identifier: ISC
"""Settings of a client of a transaction port are kept, or it hears that they are not: it
never goes on with those that it had before."""
import struct

import pytest
from support import wire as w
from support.fakeserver import FakeServer, welcome
from support.postgres import DATABASE
from support.wait import SLOWDOWN, wait_until
from test_session_state import state

pytestmark = pytest.mark.router_only

LIMIT = 64 * 1024


@pytest.fixture(params=["strict", "tracked"])
def one(make_router, request):
    return make_router(state(None, request.param))


@pytest.fixture
def tenant(postgres):
    postgres.sql("DO $$ BEGIN CREATE ROLE tenant; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
                 "GRANT tenant TO app_scram", dbname=DATABASE)


# ------------------------------------------------------------------ what cannot be kept

def ends_with_54000(client):
    """What came last is a FATAL that says why, and the connection is closed."""
    last = client.until_closed()[-1]
    return (last.type, last.fields["S"], last.sqlstate) == ("E", "FATAL", "54000") and \
        "64 kB" in last.fields["H"]


def test_value_that_is_too_large_ends_the_client(one, tenant):
    del tenant
    with one.transactional.wire() as a, one.transactional.wire() as b:
        a.query("BEGIN")
        a.query(f"SELECT set_config('app.x', '{'x' * 100000}', false)")
        a.query("SET ROLE tenant")
        assert w.types(a.query("COMMIT")) == "CZ"
        assert ends_with_54000(a)
        assert b.value("SELECT current_user") == "app_scram"
        assert b.value("SELECT coalesce(current_setting('app.x', true), '')") == ""


LONG_NAME = ".".join(["a" * 60] * 3)


@pytest.mark.parametrize("sql, is_told", [
    (f"SET {LONG_NAME} = 'x'", True), (f"SET SESSION {LONG_NAME} TO DEFAULT", True),
    (f"SELECT set_config('{LONG_NAME}', 'x', false)", True),
    (f"SET LOCAL {LONG_NAME} = 'x'", False), (f"RESET {LONG_NAME}", False),
    (f"SELECT set_config('{LONG_NAME}', 'x', true)", False)])
def test_a_name_that_is_too_long_is_told(one, sql, is_told):
    with one.transactional.wire() as a, one.transactional.wire() as b:
        answer = a.query(sql)
        told = [m for m in answer if m.type == "N" and "127 bytes" in m.fields["M"]]
        assert [m.fields["S"] for m in told] == ["WARNING"] * is_told
        for client in (b, a):
            assert client.value(f"SELECT coalesce(current_setting('{LONG_NAME}', true), '')") == ""


def test_values_that_are_too_large_together_end_the_client(one):
    with one.transactional.wire() as a, one.transactional.wire() as b:
        for i in range(7):
            a.query(f"SET app.y{i} = '{'y' * 10000}'")
            if i < 6:
                assert b.value("SELECT 1") == "1"
                assert a.value(f"SELECT length(current_setting('app.y{i}'))") == "10000"
        assert ends_with_54000(a)
        assert b.value("SELECT coalesce(current_setting('app.y6', true), '')") == ""


def test_values_just_below_the_limit_are_kept(one, tenant):
    del tenant
    size = LIMIT - 1000
    with one.transactional.wire() as a, one.transactional.wire() as b:
        a.query("BEGIN")
        a.query(f"SET app.x = '{'x' * size}'")
        a.query("SET ROLE tenant")
        a.query("COMMIT")
        assert b.value("SELECT current_user") == "app_scram"
        assert a.value("SELECT current_user") == "tenant"
        assert a.value("SELECT length(current_setting('app.x'))") == str(size)


@pytest.mark.parametrize("how", ["transaction", "one text"])
def test_many_settings(one, how):
    texts = [f"SET app.v{i} = '{i}'" for i in range(801)]
    last = "SELECT current_setting('app.v0'), current_setting('app.v799')"
    with one.transactional.wire() as a, one.transactional.wire() as b:
        for count in 800, 801:
            if how == "transaction":
                a.query("BEGIN")
                a.send(*[w.query(text) for text in texts[:count]])
                for _ in range(count):
                    assert not w.errors(a.until_ready())
                assert w.types(a.query("COMMIT")) == "CZ"
            else:
                assert not w.errors(a.query("; ".join(texts[:count])))
            assert b.value("SELECT coalesce(current_setting('app.v799', true), '')") == ""
            if count == 800:
                assert w.rows(a.query(last)) == [("0", "799")]
        assert ends_with_54000(a)


# ---------------------------------------------------- a function by its number

SET_CONFIG = 2078


@pytest.mark.parametrize("prepared", [100, 0])
@pytest.mark.parametrize("is_local", [b"\0", b"\1"])
def test_set_config_by_its_number(make_router, prepared, is_local):
    config = state(None, "strict")
    config.setdefault("defaults", {})["max_prepared_statements"] = prepared
    router = make_router(config)
    with router.transactional.wire() as a, router.transactional.wire() as b:
        for name, value, other in ("app.x", b"mine", ""), ("work_mem", b"5MB", "4MB"):
            a.send(w.function_call(SET_CONFIG, name.encode(), value, is_local))
            assert w.types(a.until_ready()) == "VZ"
            show = f"SELECT coalesce(current_setting('{name}', true), '')"
            assert b.value(show) == other
            assert a.value(show) == (value.decode() if is_local == b"\0" else other)


def test_long_value_by_its_number_in_pieces(one):
    call = w.function_call(SET_CONFIG, b"app.x", b"x" * 20000, b"\0")
    with one.transactional.wire() as a, one.transactional.wire() as b:
        a.query("BEGIN")
        for piece in call[:7], call[7:30], call[30:]:
            a.send(piece)
        assert w.types(a.until_ready()) == "VZ"
        a.query("COMMIT")
        assert b.value("SELECT coalesce(current_setting('app.x', true), '')") == ""
        assert a.value("SELECT length(current_setting('app.x'))") == "20000"


@pytest.mark.parametrize("name, policy", [(b"app.x", "settings"), (b"role", "role")])
def test_set_config_by_its_number_is_refused(make_router, name, policy):
    config = state(None, "strict")
    config.setdefault("defaults", {})[f"session_state_{policy}"] = "refuse"
    router = make_router(config)
    with router.transactional.wire() as a:
        assert w.types(a.query("SELECT 1")) == "TDCZ"
        a.send(w.parse("SELECT 2"), w.sync())
        a.until_ready()
        a.send(w.function_call(SET_CONFIG, name, b"none", b"\0"))
        assert w.errors(a.until_ready()) == ["0A000"]
        a.send(w.bind(), w.execute(), w.sync())
        assert w.rows(a.until_ready()) == [("2",)]


def test_long_call_that_is_refused_goes_nowhere(make_router):
    """Neither does what comes of it behind the refusal, which may look like messages."""
    config = state(None, "strict")
    config.setdefault("defaults", {})["session_state_settings"] = "refuse"
    router = make_router(config)
    value = b"x" * 5000 + w.query("SELECT 'by itself'") * 400
    call = w.function_call(SET_CONFIG, b"app.x", value, b"\0")
    with router.transactional.wire() as a, router.transactional.wire() as b:
        a.query("BEGIN")
        a.send(call[:5000])
        assert w.errors(a.until_ready()) == ["0A000"]
        a.send(call[5000:], w.query("ROLLBACK"))
        assert w.types(a.until_ready()) == "CZ"
        assert b.value("SELECT 1") == "1"
        assert a.value("SELECT 2") == "2"


# ------------------------------------------------------------------------ what was refused

@pytest.mark.parametrize("refused_sql", [
    "SET server_version = '9'", "SET max_connections = 5",
    "SET log_min_duration_statement = 0", "SET session_replication_role = replica",
    "SET nosuch = 1", "SET is_superuser = on", "SELECT set_config('log_statement', 'all', false)",
    "RESET server_version", "SET session_authorization = 'postgres'", "SET ROLE postgres",
    "SET data_directory = '/x'", "SET data_directory = '/x'; RESET data_directory",
    "RESET data_directory", "SET work_mem = 'much'",
])
@pytest.mark.parametrize("how", ["alone", "rolled back", "behind a savepoint"])
def test_set_that_was_refused_is_not_kept(one, tenant, refused_sql, how):
    del tenant
    with one.transactional.wire() as a, one.transactional.wire() as b:
        a.query("SET app.x = 'mine'")
        a.query("SET work_mem = '5MB'")
        if how == "alone":
            assert w.errors(a.query(refused_sql))
        else:
            a.query("BEGIN; SET app.y = '1'; SET ROLE tenant; SAVEPOINT s; SET app.x = 'other'")
            assert w.errors(a.query(refused_sql))
            a.query("ROLLBACK" if how == "rolled back" else "ROLLBACK TO s; COMMIT")
        kept = how == "behind a savepoint"
        for _ in range(2):
            assert b.value("SELECT current_setting('work_mem')") == "4MB"
            assert a.value("SELECT current_setting('app.x')") == "mine"
            assert a.value("SELECT current_setting('work_mem')") == "5MB"
            assert a.value("SELECT current_user") == ("tenant" if kept else "app_scram")
            assert a.value("SELECT coalesce(current_setting('app.y', true), '')") == "1" * kept


# ---------------------------------------------------- values that only the server knows

@pytest.mark.parametrize("call, setting, value", [
    ("set_config('app.x', 5::text, false)", "app.x", "5"),
    ("set_config('app.x', 'a' || 'b', false)", "app.x", "ab"),
    ("set_config('app.x', concat('a', 'b'), false)", "app.x", "ab"),
    ("set_config('role', 'ten' || 'ant', false)", "role", "tenant"),
    ("set_config('app.x', 'v', not true)", "app.x", "v"),
    ("set_config('app.x', v, false) FROM (VALUES ('z')) AS t(v)", "app.x", "z"),
    ("set_config('app.x', set_config('app.y', '1', false) || '2', false)", "app.x", "12"),
    ("set_config('app.x', concat('a', set_config('app.y', 'b', false)), false)", "app.y", "b"),
    ("set_config('work_mem', (5 * 1024)::text, 1 > 2)", "work_mem", "5MB"),
    ("set_config('work_mem', (5 * 1024)::text, 1 < 2)", "work_mem", "4MB"),
])
def test_value_may_be_an_expression(one, tenant, call, setting, value):
    del tenant
    with one.transactional.wire() as a, one.transactional.wire() as b:
        before = b.value(f"SELECT current_setting('{setting}', true)") or None
        a.query(f"SELECT {call}")
        assert (b.value(f"SELECT current_setting('{setting}', true)") or None) == before
        assert a.value(f"SELECT current_setting('{setting}', true)") == value


@pytest.mark.parametrize("call, values, expected", [
    ("set_config('app.x', $1::int::text, false)", ["5"], "5"),
    ("set_config($1, $2::varchar, false)", ["app.x", "8"], "8"),
    ("set_config($1, $2, $3)", ["app.x", "6", "f"], "6"),
])
def test_value_may_be_an_expression_of_parameters(one, call, values, expected):
    with one.transactional.wire() as a, one.transactional.wire() as b:
        a.send(w.one_query(f"SELECT {call}", *values))
        assert not w.errors(a.until_ready())
        assert not b.value("SELECT current_setting('app.x', true)")
        assert a.value("SELECT current_setting('app.x', true)") == expected


# ------------------------------------------------------- a server that says what it is told

ROW = w.message("T", struct.pack("!h", 1) + b"x\0" + struct.pack("!ihihih", 0, 0, 25, -1, -1, 0))


def said(value):
    return (ROW + w.message("D", struct.pack("!hi", 1, len(value)) + value)
            + w.message("C", b"SELECT 1\0") + w.message("Z", b"I"))


def refused(sqlstate):
    return (w.message("E", b"SERROR\0VERROR\0C" + sqlstate + b"\0Mno\0\0") + w.message("Z", b"I"))


@pytest.fixture
def acted(make_router):
    """A client, and the end of the server's connection; a cancel is in fake.take() next."""
    fake = FakeServer(raw=True, timeout=10 * SLOWDOWN)
    router = make_router({
        "process": {"workers": 1},
        "hosts": {"main": {"port": fake.port, "server_tls_sslmode": "disable"}},
        "auth": {"auth_type": "trust"}, "users": {"u": {"password": "x"}},
        "defaults": {"server_check_delay": "1h", "session_state": "tracked"}})
    with router.transactional.raw() as client:
        client.send(w.startup("u", "d"))
        server = fake.take()
        server.read_startup()
        server.send(welcome())
        client.authenticate("u", "x")
        yield router, fake, client, server
    fake.close()


def asked(server):
    got = server.receive()
    return got.type == "Q" and b"current_setting" in got.body


def test_question_waits_for_a_cancel_on_its_way(acted):
    """It would hit the question, and what was set would be forgotten."""
    router, fake, client, server = acted
    client.send(w.query("SET ROLE tenant"))
    assert server.receive().body == b"SET ROLE tenant\0"
    with router.transactional.raw() as canceller:
        canceller.send(w.cancel_request(client.pid, client.key))
        cancel = fake.take()
        assert cancel.read_startup() is None
        server.send(w.message("C", b"SET\0") + w.message("Z", b"I"))
        assert w.types(client.until_ready()) == "CZ"
        # What comes next waits, too: it may not run as somebody else.
        client.send(w.query("SELECT 1"))
        assert server.is_quiet()
        cancel.close()
        assert asked(server)
        server.send(said(b"tenant"))
        assert server.receive().body == b"SELECT 1\0"
        server.send(said(b"1"))
        assert w.types(client.until_ready()) == "TDCZ"


def test_client_that_leaves_while_a_cancel_is_on_its_way(acted):
    router, fake, client, server = acted
    client.send(w.query("SET ROLE tenant"))
    assert server.receive().type == "Q"
    with router.transactional.raw() as canceller:
        canceller.send(w.cancel_request(client.pid, client.key))
        cancel = fake.take()
        assert cancel.read_startup() is None
        server.send(w.message("C", b"SET\0") + w.message("Z", b"I"))
        client.until_ready()
        client.close()
        assert server.is_quiet()
        cancel.close()
        assert b"RESET ALL" in server.receive().body
        server.send(w.message("C", b"DISCARD\0") + w.message("Z", b"I"))


def test_question_that_a_timeout_ended_is_asked_again(acted):
    _, _, client, server = acted
    client.send(w.query("SET app.x = '1'; SET app.x = '2'"))
    server.receive()
    server.send(w.message("C", b"SET\0") + w.message("C", b"SET\0") + w.message("Z", b"I"))
    client.until_ready()
    for _ in range(9):
        assert asked(server)
        server.send(refused(b"57014"))
    assert asked(server)
    server.send(said(b"2"))
    client.send(w.query("SELECT 1"))
    assert server.receive().body == b"SELECT 1\0"
    server.send(said(b"1"))
    assert w.types(client.until_ready()) == "TDCZ"


@pytest.mark.parametrize("sqlstate, times", [(b"57014", 10), (b"42501", 1)])
def test_question_without_an_answer_ends_the_client(acted, sqlstate, times):
    router, _, client, server = acted
    client.send(w.query("SET ROLE tenant"))
    server.receive()
    server.send(w.message("C", b"SET\0") + w.message("Z", b"I"))
    client.until_ready()
    for _ in range(times):
        assert asked(server)
        server.send(refused(sqlstate))
    last = client.until_closed()[-1]
    assert (last.type, last.fields["S"], last.sqlstate.encode()) == ("E", "FATAL", sqlstate)
    assert last.fields["H"] == "The server said: no"
    wait_until(lambda: "reason=state-lost" in router.log(), 10, "the log")
    assert b"RESET ALL" in server.receive().body
    server.send(w.message("C", b"DISCARD\0") + w.message("Z", b"I"))

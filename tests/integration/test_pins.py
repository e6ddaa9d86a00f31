# SPDX-License-Identifier: ISC
"""What only one server has - temporary tables, cursors WITH HOLD, advisory locks, LISTEN,
LOAD, setseed() - on a transaction port: its client keeps the server until the thing is
gone, nobody else ever sees it, and where there are as many such clients as there may be
the statement is refused before it runs."""
import asyncio
import contextlib
import random
import re
import urllib.request

import psycopg
import pytest
from support import needs
from support import wire as w
from support.net import free_port
from support.postgres import DATABASE, DEFAULT_USER
from support.wait import wait_until

pytestmark = pytest.mark.router_only


def pinning(**more):
    """Four servers, two of them for clients that keep theirs."""
    base = {"workloads": {
        "transactional": {"guaranteed_connections": 4, "max_connections": 4, "max_pinned": 2},
        "session": {"guaranteed_connections": 2, "max_connections": 2}},
        "hosts": {"main": {"connection_budget": 6}}}
    if more:
        base["defaults"] = more
    return base


@pytest.fixture(autouse=True)
def may_load(postgres, no_code):
    """LOAD of what does not lie in plugins is for superusers; behind whom servers are closed
    where there is code."""
    postgres.sql(f"ALTER ROLE {DEFAULT_USER} SUPERUSER")
    postgres.sql("CREATE EXTENSION IF NOT EXISTS dblink", dbname=DATABASE)
    yield
    if not postgres.is_running():
        postgres.start()
    postgres.sql("DROP EXTENSION dblink", dbname=DATABASE)
    postgres.sql(f"ALTER ROLE {DEFAULT_USER} NOSUPERUSER")


@pytest.fixture
def router(make_router):
    return make_router(pinning())


@pytest.fixture(params=[100, 0], ids=["names", "no names"])
def either(request, make_router):
    """Also where nobody looks after the names of statements, and whatever is sent counts as
    code that nobody sees."""
    return make_router(pinning(max_prepared_statements=request.param,
                               session_state_unseen="keep"))


# What makes it; what asks whether it is there; what takes it away.
KINDS = {
    "temp_tables": ("CREATE TEMP TABLE mine (x int)",
                    "SELECT count(to_regclass('pg_temp.mine'))", "DROP TABLE mine"),
    "cursors": ("DECLARE mine CURSOR WITH HOLD FOR SELECT 1",
                "SELECT count(*) FROM pg_cursors WHERE name = 'mine'", "CLOSE mine"),
    "advisory_locks": ("SELECT pg_advisory_lock(4711)",
                       "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' "
                       "AND pid = pg_backend_pid()", "SELECT pg_advisory_unlock(4711)"),
    "listen": ("LISTEN mine", "SELECT count(*) FROM pg_listening_channels()", "UNLISTEN mine"),
}
STAYING = {
    "load": "LOAD 'auto_explain'",
    "setseed": "SELECT setseed(0.5)",
    "dblink": "SELECT dblink_connect('mine', 'host=' || current_setting('unix_socket_directories')"
              " || ' port=' || current_setting('port') || ' dbname=app user=postgres')",
    "replication_slots": "SELECT pg_create_physical_replication_slot('mine_' || pg_backend_pid(),"
                         " true, true)",
    # One origin for each: only one session at a time may have it.
    "replication_origins": "SELECT pg_replication_origin_session_setup(CASE WHEN"
                           " pg_replication_origin_create('mine_' || pg_backend_pid()) > 0"
                           " THEN 'mine_' || pg_backend_pid() END)",
    "backups": "SELECT pg_backup_start('mine', true)",
}


def pins(router):
    return [(row["reasons"], row["user"]) for row in router.show("pins")]


def pid(connection):
    return connection.execute("SELECT pg_backend_pid()").fetchone()[0]


def has(connection, kind):
    return connection.execute(KINDS[kind][1]).fetchone()[0]


@contextlib.contextmanager
def three(endpoint):
    with endpoint.connect() as a, endpoint.connect() as b, endpoint.connect() as c:
        yield a, b, c


@pytest.mark.parametrize("kind", KINDS)
def test_kept_seen_by_nobody_else_and_gone(either, kind):
    make, _, end = KINDS[kind]
    with three(either.transactional) as (a, b, c):
        a.execute(make)
        own = pid(a)
        for _ in range(3):
            assert has(a, kind) == 1
            assert [has(other, kind) for other in (b, c)] == [0, 0]
            assert pid(a) == own
            assert own not in (pid(b), pid(c))
        assert pins(either) == [(kind, DEFAULT_USER)]
        a.execute(end)
        wait_until(lambda: pins(either) == [], 5, "the pin ends by itself")
        assert has(a, kind) == 0
        # Everybody has every server now, and it is on none.
        with contextlib.ExitStack() as stack:
            everybody = [stack.enter_context(either.transactional.connect()) for _ in range(4)]
            for other in everybody:
                other.execute("BEGIN")
            assert [has(other, kind) for other in everybody] == [0, 0, 0, 0]
            assert own in [pid(other) for other in everybody]


@pytest.mark.parametrize("kind", STAYING)
def test_what_stays_ends_with_the_client_and_the_server(either, kind):
    with either.transactional.connect() as b:
        with either.transactional.connect(prepare_threshold=None) as a:
            a.execute(STAYING[kind])
            own = pid(a)
            assert [pid(a) for _ in range(5)] == [own] * 5
            assert own not in [pid(b) for _ in range(5)]
            a.execute("DISCARD ALL")
            assert pins(either) == [(kind, DEFAULT_USER)]
            assert pid(a) == own
        wait_until(lambda: b.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s",
                                     [own]).fetchone()[0] == 0, 10, "the server is closed")
    assert pins(either) == []


NOTHING_STAYS = [
    "BEGIN; CREATE TEMP TABLE mine (x int) ON COMMIT DROP; COMMIT",
    "BEGIN; CREATE TEMP TABLE mine (x int); ROLLBACK",
    "BEGIN; DECLARE mine CURSOR FOR SELECT 1; COMMIT",
    "SELECT pg_advisory_xact_lock(1)",
    "SELECT pg_advisory_lock(1), pg_advisory_unlock(1)",
    "BEGIN; LISTEN mine; ROLLBACK",
    "LISTEN mine; UNLISTEN *",
    "CREATE TEMP TABLE mine (x int); DISCARD ALL",
    "CREATE TEMP TABLE mine (x nothing)",
    "SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL",
    "EXPLAIN SELECT pg_advisory_lock(1)",
    "LOAD 'there_is_no_such_library'",
]


@pytest.mark.parametrize("text", NOTHING_STAYS)
def test_no_pin_without_anything_there(either, text):
    with either.transactional.wire() as a:
        if ";" in text and text.startswith("CREATE"):
            for part in text.split("; "):
                a.query(part)
        else:
            a.query(text)
        wait_until(lambda: pins(either) == [] and either.show("budget")[0]["pinned"] == 0, 5,
                   "nothing is pinned")
        assert a.value("SELECT 1") == "1"


def full(router, stack, count=2):
    """As many clients as may keep their server."""
    clients = [stack.enter_context(router.transactional.connect()) for _ in range(count)]
    for client in clients:
        client.execute("LISTEN mine")
    wait_until(lambda: len(pins(router)) == count, 5, "they are pinned")
    return clients


def refused(router, caught, what):
    diag = caught.value.diag
    assert caught.value.sqlstate == "53300"
    assert what in diag.message_primary and "max_pinned is 2" in diag.message_primary
    assert f"127.0.0.1:{router.ports['session']} (workload session)" in diag.message_hint


ALL = {**{kind: make for kind, (make, _, _) in KINDS.items()}, **STAYING}


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("prepare", [False, True], ids=["simple", "extended"])
def test_refused_before_it_runs_and_the_client_goes_on(router, kind, prepare):
    text = ALL[kind] if not prepare or not ALL[kind].startswith("SELECT") else \
        ALL[kind].replace("SELECT", "SELECT %s,", 1)
    with contextlib.ExitStack() as stack:
        first = full(router, stack)[0]
        a = stack.enter_context(router.transactional.connect())
        for _ in range(2):
            with pytest.raises(psycopg.errors.TooManyConnections) as caught:
                a.execute(text, [1] if "%s" in text else None, prepare=prepare)
            refused(router, caught, "")
            assert a.execute("SELECT 1").fetchone() == (1,)
        assert len(pins(router)) == 2
        if kind in KINDS:
            assert has(a, kind) == 0
        # There is room once more.
        first.execute("UNLISTEN *")
        wait_until(lambda: len(pins(router)) == 1, 5, "a pin has ended")
        a.execute(text, [1] if "%s" in text else None, prepare=prepare)
        assert (kind, DEFAULT_USER) in pins(router)
        assert router.show("budget")[0]["pins_refused"] == 2


def test_refused_in_a_transaction_fails_it(router):
    with contextlib.ExitStack() as stack:
        full(router, stack)
        a = stack.enter_context(router.transactional.connect())
        a.execute("BEGIN")
        with pytest.raises(psycopg.errors.TooManyConnections):
            a.execute("CREATE TEMP TABLE mine (x int)")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            a.execute("LISTEN mine")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            a.execute("SELECT 1")
        a.execute("ROLLBACK")
        assert a.execute("SELECT 1").fetchone() == (1,)


def test_refused_in_a_pipeline(router):
    """Everything up to Sync is skipped, and each exchange has its own answer."""
    with contextlib.ExitStack() as stack:
        full(router, stack)
        a = stack.enter_context(router.transactional.wire())
        a.send(w.parse("SELECT 'before'"), w.bind(), w.execute(), w.sync(),
               w.parse("LISTEN mine"), w.bind(), w.execute(),
               w.parse("SELECT 'skipped'"), w.bind(), w.execute(), w.sync(),
               w.query("SELECT pg_advisory_lock(1)"), w.query("SELECT 'after'"))
        answers = [a.until("Z") for _ in range(4)]
        assert [w.types(answer) for answer in answers] == ["12DCZ", "1EZ", "EZ", "TDCZ"]
        assert "C53300" in str(w.errors(answers[1])) or "53300" in str(w.errors(answers[1]))
        assert "advisory" in str(answers[2])
        a.send(w.parse("SELECT 'open'"), w.query("LISTEN mine"))
        assert w.types(a.until("Z")) == "1EZ"
        a.send(w.parse("SELECT nothing"), w.query("LISTEN mine"), w.sync())
        assert w.types(a.until("Z")) == "EZ"
        assert a.value("SELECT 1") == "1"


@pytest.mark.parametrize("kind", ALL)
def test_policy(make_router, kind):
    router = make_router(pinning(**{f"session_state_{kind}": "refuse"}))
    with router.transactional.connect() as a:
        with pytest.raises(psycopg.errors.FeatureNotSupported) as caught:
            a.execute(ALL[kind])
        assert f"session_state_{kind}" in caught.value.diag.message_primary
        assert str(router.ports["session"]) in caught.value.diag.message_hint
        assert pins(router) == []
        for other, text in ALL.items():
            if other != kind:
                a.execute(text)
        assert len(pins(router)) == 1
    with router.session.connect() as s:
        s.execute(ALL[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_disconnect_while_pinned(either, kind):
    with either.transactional.connect() as b:
        a = either.transactional.connect()
        a.execute(KINDS[kind][0])
        own = pid(a)
        a.close()
        wait_until(lambda: pins(either) == [], 5, "the pin is gone")
        with contextlib.ExitStack() as stack:
            everybody = [stack.enter_context(either.transactional.connect()) for _ in range(3)]
            for other in everybody + [b]:
                other.execute("BEGIN")
            assert [has(other, kind) for other in everybody + [b]] == [0] * 4
            assert own in [pid(other) for other in everybody + [b]]


def test_a_lock_is_free_when_its_client_has_gone(router):
    a = router.transactional.connect()
    a.execute("SELECT pg_advisory_lock(4711)")
    with router.transactional.connect() as b:
        assert b.execute("SELECT pg_try_advisory_lock(4711)").fetchone() == (False,)
        a.close()
        wait_until(lambda: b.execute("SELECT pg_try_advisory_lock(4711)").fetchone()[0], 5,
                   "the lock is free")


def test_a_try_in_vain_does_not_pin(router):
    with router.transactional.connect() as a, router.transactional.connect() as b:
        a.execute("SELECT pg_advisory_lock(4711)")
        b.execute("SELECT pg_try_advisory_lock(4711)")
        wait_until(lambda: len(pins(router)) == 1, 5, "one is pinned")


def test_reload_while_pinned(router):
    with router.transactional.connect() as a, router.transactional.connect() as b:
        a.execute("CREATE TEMP TABLE mine (x int)")
        b.execute("CREATE TEMP TABLE mine (x int)")
        router.reload({"workloads": {"transactional": {"max_pinned": 1}}})
        assert has(a, "temp_tables") == has(b, "temp_tables") == 1
        row = router.show("budget")[0]
        assert (row["pinned"], row["max_pinned"]) == (2, 1)
        a.execute("DROP TABLE mine")
        wait_until(lambda: len(pins(router)) == 1, 5, "a pin has ended")
        with pytest.raises(psycopg.errors.TooManyConnections):
            a.execute("CREATE TEMP TABLE mine (x int)")
        router.reload({"workloads": {"transactional": {"max_pinned": 3}}})
        a.execute("CREATE TEMP TABLE mine (x int)")
        router.reload({"defaults": {"session_state_temp_tables": "refuse"}})
        assert has(a, "temp_tables") == 1


def test_notifications_come_while_idle(router):
    with router.transactional.wire() as a, router.transactional.connect() as b:
        a.query("LISTEN mine")
        for i in range(20):
            b.execute("SELECT pg_notify('mine', %s)", [str(i)])
            assert f"mine\0{i}\0".encode() in a.receive().body
        # Beside what the router asks.
        for i in range(20):
            b.execute("SELECT pg_notify('mine', %s)", [str(i)])
            a.send(w.query("SELECT pg_advisory_lock(1), pg_advisory_unlock(1)"))
        seen = []
        answers = 0
        while answers < 20 or len(seen) < 20:
            message = a.receive()
            answers += message.type == "Z"
            if message.type == "A":
                seen.append(message.body)
        assert [body.split(b"\0")[-2] for body in seen] == [str(i).encode() for i in range(20)]


def test_settings_and_statements_go_on_while_pinned(router):
    with router.transactional.connect() as a, router.transactional.connect() as b:
        a.execute("CREATE TEMP TABLE mine (x int)")
        a.execute("SET app.tenant_id = '42'")
        for i in range(10):
            a.execute("INSERT INTO mine VALUES (%s)", [i], prepare=True)
        assert a.execute("SELECT count(*) FROM mine").fetchone() == (10,)
        a.execute("DROP TABLE mine")
        wait_until(lambda: pins(router) == [], 5, "the pin ends")
        b.execute("SELECT 1")
        assert a.execute("SELECT current_setting('app.tenant_id')").fetchone() == ("42",)
        assert b.execute("SELECT current_setting('app.tenant_id', true)").fetchone()[0] in ("", None)


def test_many_exchanges_at_once_while_pinned(router):
    with router.transactional.wire() as a:
        a.query("CREATE TEMP TABLE mine (x int)")
        a.send(*[w.query(f"INSERT INTO mine VALUES ({i})") for i in range(200)])
        assert [w.types(a.until("Z")) for _ in range(200)] == ["CZ"] * 200
        assert a.value("SELECT count(*) FROM mine") == "200"


def test_pinned_clients_starve_nobody(make_router):
    """The transaction port borrows all, and pins what it may; the session port gets what
    it is guaranteed, and no pinned client is ended for it."""
    router = make_router({
        "hosts": {"main": {"connection_budget": 6, "reclaim_grace": "300ms"}},
        "workloads": {
            "transactional": {"guaranteed_connections": 4, "max_connections": 6,
                              "max_pinned": 4},
            "session": {"guaranteed_connections": 2, "max_connections": 2}}})
    with contextlib.ExitStack() as stack:
        pinned = full(router, stack, 4)
        stalled = [stack.enter_context(router.transactional.connect()) for _ in range(2)]
        for client in stalled:
            client.execute("BEGIN")
        assert router.show("budget")[0]["used"] == 6
        for client in pinned[:2]:
            client.execute("BEGIN")
        for _ in range(2):
            s = stack.enter_context(router.session.connect())
            assert s.execute("SELECT 1").fetchone() == (1,)
        for client in pinned:
            assert client.execute("SELECT count(*) FROM pg_listening_channels()").fetchone() == (1,)
        for client in stalled:
            # What it is to psycopg depends on the version of libpq.
            with pytest.raises(psycopg.Error):
                client.execute("SELECT 1")
            assert client.closed
        budget = {row["workload"]: row for row in router.show("budget")}
        assert sum(row["used"] for row in budget.values()) <= 6
        assert (budget["transactional"]["pinned"], budget["session"]["used"]) == (4, 2)


def test_advice_and_log(router):
    with router.transactional.connect(application_name="jobs") as a:
        for _ in range(3):
            a.execute("LISTEN mine")
            a.execute("UNLISTEN mine")
        a.execute("CREATE TEMP TABLE mine (x int)")
        rows = {row["state"]: row for row in router.show("advice")}
        assert set(rows) == {"listen", "temp_tables"}
        assert rows["listen"]["pinned"] == 3 and rows["temp_tables"]["pinned"] == 1
        assert {(r["workload"], r["database"], r["user"], r["application_name"])
                for r in rows.values()} == {("transactional", "app", DEFAULT_USER, "jobs")}
        assert len(re.findall(" session-state .*listen", router.log())) == 1
        assert "application_name" in router.show("pins")[0]
        assert router.show("pins")[0]["application_name"] == "jobs"


def test_metrics(make_router):
    port = free_port()
    router = make_router({**pinning(), "http": {"listen": f"127.0.0.1:{port}"}})
    with contextlib.ExitStack() as stack:
        first = full(router, stack)[0]
        first.execute("CREATE TEMP TABLE mine (x int)")
        with pytest.raises(psycopg.errors.TooManyConnections):
            stack.enter_context(router.transactional.connect()).execute("LISTEN mine")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
            text = answer.read().decode()
    labels = 'host="main",workload="transactional"'
    for line in (f"pgtandem_budget_pinned{{{labels}}} 2", f"pgtandem_budget_pinned_max{{{labels}}} 2",
                 f"pgtandem_pins_refused_total{{{labels}}} 1", f"pgtandem_pins_over_total{{{labels}}} 0",
                 'pgtandem_pins_total{reason="listen"} 2', 'pgtandem_pins_total{reason="temp_tables"} 1'):
        assert line in text.splitlines(), line


def test_off_pins_nothing(make_router):
    router = make_router(pinning(session_state="off"))
    with router.transactional.connect() as a:
        a.execute("LISTEN mine")
        assert pins(router) == []


def test_idle_session_timeout_ends_an_idle_pin(make_router):
    router = make_router(pinning(idle_session_timeout="300ms"))
    with router.transactional.connect() as a, router.transactional.connect() as b:
        a.execute("LISTEN mine")
        b.execute("SELECT 1")
        wait_until(lambda: pins(router) == [], 10, "it is ended")
        with pytest.raises(psycopg.OperationalError):
            a.execute("SELECT 1")
        assert b.execute("SELECT 1").fetchone() == (1,)


def test_what_execute_makes(router):
    """PREPARE makes nothing; EXECUTE does, by SQL or in the extended protocol."""
    with router.transactional.connect() as a, router.transactional.connect() as b:
        a.execute("PREPARE p AS SELECT pg_advisory_lock(4711)")
        assert pins(router) == []
        a.execute("EXECUTE p")
        assert pins(router) == [("advisory_locks", DEFAULT_USER)]
        assert b.execute("SELECT pg_try_advisory_lock(4711)").fetchone() == (False,)
        a.execute("SELECT pg_advisory_unlock_all()")
        wait_until(lambda: pins(router) == [], 5, "the pin ends")
        a.execute("SELECT pg_advisory_lock(%s)", [1], prepare=True)
        assert pins(router) == [("advisory_locks", DEFAULT_USER)]


def bound(wire, name):
    wire.send(w.bind(name=name), w.execute(), w.sync())
    return wire.until_ready()


def test_what_a_bind_makes_of_what_sql_has_prepared(router):
    """As EXECUTE does it, and also where another server has to prepare it first."""
    with router.transactional.wire() as a, router.transactional.wire() as b:
        assert w.errors(a.query("PREPARE p AS SELECT pg_advisory_lock(4711)")) == []
        assert pins(router) == []
        for _ in range(2):
            assert w.types(bound(a, "p")) == "2DCZ"
            assert pins(router) == [("advisory_locks", DEFAULT_USER)]
            assert b.value("SELECT pg_try_advisory_lock(4711)") == "f"
            a.query("SELECT pg_advisory_unlock_all()")
            wait_until(lambda: pins(router) == [], 5, "the pin ends")
            # On the server that it had somebody else is now.
            b.query("BEGIN")
            b.query("SELECT 1")
            assert a.value("SELECT 1") == "1"
            b.query("COMMIT")
        assert w.errors(a.query("PREPARE nothing AS SELECT 1")) == []
        assert w.types(bound(a, "nothing")) == "2DCZ"
        assert pins(router) == []


def test_a_bind_of_what_sql_has_prepared_is_refused_as_its_execute(make_router):
    router = make_router(pinning(session_state_advisory_locks="refuse"))
    with router.transactional.wire() as a:
        assert w.errors(a.query("PREPARE p AS SELECT pg_advisory_lock(4711)")) == []
        assert w.errors(a.query("EXECUTE p")) == ["0A000"]
        assert w.errors(bound(a, "p")) == ["0A000"]
        assert a.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == "0"


def test_a_bind_of_what_sql_has_prepared_is_one_too_many(router):
    with contextlib.ExitStack() as stack:
        full(router, stack)
        a = stack.enter_context(router.transactional.wire())
        assert w.errors(a.query("PREPARE p AS SELECT pg_advisory_lock(4711)")) == []
        assert w.errors(bound(a, "p")) == ["53300"]
        assert a.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == "0"


# --- where nobody looks after names ----------------------------------------------------

def plain(mode, **more):
    return pinning(session_state=mode, max_prepared_statements=0, session_state_unseen="keep",
                   **more)


MODES = pytest.mark.parametrize("mode", ["strict", "tracked"])


@MODES
@pytest.mark.parametrize("name", ["", "p"], ids=["unnamed", "named"])
@pytest.mark.parametrize("kind", ALL)
def test_refused_at_its_parse(make_router, kind, name, mode):
    """Nobody sees there what a Bind is of."""
    router = make_router(plain(mode))
    with contextlib.ExitStack() as stack:
        full(router, stack)
        a = stack.enter_context(router.transactional.wire())
        assert w.errors(a.query(ALL[kind])) == ["53300"]
        for _ in range(2):
            a.send(w.parse("SELECT 'mine'"), w.sync(), w.parse(ALL[kind], name), w.bind(name=name),
                   w.execute(), w.sync(), w.query("SELECT 'after'"))
            answers = [a.until("Z") for _ in range(3)]
            assert [w.types(answer) for answer in answers] == ["1Z", "EZ", "TDCZ"]
            assert w.errors(answers[1]) == ["53300"]
        # What was refused has taken the place of the unnamed statement, too.
        a.send(w.parse("SELECT 'mine'"), w.sync(), w.parse(ALL[kind]), w.sync(),
               w.bind(), w.execute(), w.sync())
        answers = [a.until("Z") for _ in range(3)]
        assert [w.errors(answer) for answer in answers] == [[], ["53300"], ["26000"]]
        assert len(pins(router)) == 2
        a.query("BEGIN")
        a.send(w.parse("SELECT 1"), w.bind(), w.execute(), w.parse(ALL[kind], name), w.sync())
        assert w.types(a.until("Z")) == "12DCEZ"
        assert w.errors(a.query("SELECT 1")) == ["25P02"]
        a.query("ROLLBACK")
        assert a.value("SELECT 1") == "1"


@MODES
@pytest.mark.parametrize("kind", KINDS)
def test_pinned_by_its_parse(make_router, kind, mode):
    make, look, end = KINDS[kind]
    router = make_router(plain(mode))
    with router.transactional.wire() as a, router.transactional.wire() as b:
        a.send(w.parse(make), w.bind(), w.execute(), w.sync())
        assert w.errors(a.until_ready()) == []
        wait_until(lambda: pins(router) == [(kind, DEFAULT_USER)], 5, "it is pinned")
        for _ in range(3):
            assert (a.value(look), b.value(look)) == ("1", "0")
        assert w.errors(a.query(end)) == []
        wait_until(lambda: pins(router) == [], 5, "the pin ends")
        # It did not run.
        a.send(w.parse(make), w.sync())
        assert w.types(a.until_ready()) == "1Z"
        wait_until(lambda: pins(router) == [], 5, "there is nothing")
        a.query(make)
        a.quit()
        wait_until(lambda: pins(router) == [], 5, "the pin is gone")
        assert b.value(look) == "0"


@MODES
def test_pinned_by_a_bind_of_what_was_there_before(make_router, mode):
    """By name, while the server is kept for something else."""
    router = make_router(plain(mode))
    with router.transactional.wire() as a, router.transactional.wire() as b:
        a.query("LISTEN mine")
        a.send(w.parse("SELECT pg_advisory_lock(4711)", "p"), w.sync())
        assert w.types(a.until_ready()) == "1Z"
        wait_until(lambda: pins(router) == [("listen", DEFAULT_USER)], 5, "it did not run")
        assert w.types(bound(a, "p")) == "2DCZ"
        a.query("UNLISTEN *")
        wait_until(lambda: pins(router) == [("advisory_locks", DEFAULT_USER)], 5, "it is kept")
        assert b.value("SELECT pg_try_advisory_lock(4711)") == "f"


@MODES
def test_refused_where_it_is_executed(make_router, mode):
    router = make_router(plain(mode, session_state_advisory_locks="refuse"))
    with router.transactional.wire() as a:
        a.query("LISTEN mine")
        assert w.errors(a.query("PREPARE p AS SELECT pg_advisory_lock(4711)")) == []
        for _ in range(2):
            assert w.errors(a.query("EXECUTE p")) == ["0A000"]
            assert w.errors(bound(a, "p")) == ["0A000"]
            assert a.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == "0"
        a.query("DEALLOCATE ALL; UNLISTEN *")
        wait_until(lambda: pins(router) == [], 5, "the pin ends")
        assert w.errors(bound(a, "p")) == ["26000"]


@MODES
@pytest.mark.parametrize("how", ["simple", "extended"])
def test_policy_where_names_are_not_looked_after(make_router, mode, how):
    router = make_router(plain(mode, **{f"session_state_{kind}": "refuse" for kind in
                                        [*ALL, *KEPT]}))
    with router.transactional.wire() as a:
        for text in [*ALL.values(), "SET work_mem = '7MB'", "SET ROLE NONE",
                     "SELECT set_config('app.x', '1', false)", "PREPARE p AS SELECT 1"]:
            a.send(w.query(text) if how == "simple" else w.one_query(text))
            assert w.errors(a.until_ready()) == ["0A000"], text
            assert a.value("SELECT 1") == "1"
        for text in ("SET LOCAL work_mem = '7MB'", "RESET ALL", "SHOW work_mem"):
            a.send(w.query(text) if how == "simple" else w.one_query(text))
            assert w.errors(a.until_ready()) == [], text
    assert pins(router) == []


FAILING = {
    "load": "LOAD 'nothing'",
    "setseed": "SELECT setseed(5)",
    "dblink": "SELECT dblink_connect('mine', 'host=/nowhere')",
    "replication_slots": "SELECT pg_create_physical_replication_slot('Not a name', true, true)",
    "replication_origins": "SELECT pg_replication_origin_session_setup('nothing')",
    "backups": "SELECT pg_backup_start(repeat('x', 2000), true)",
}


@pytest.mark.parametrize("how", ["simple", "extended", "in_transaction", "savepoint"])
@pytest.mark.parametrize("kind", FAILING)
def test_what_failed_keeps_no_server(make_router, kind, how):
    """Nor does a place of max_pinned stay taken."""
    router = make_router(pinning(session_state="tracked"))
    with router.transactional.wire() as a:
        own = a.value("SELECT pg_backend_pid()")
        if how in ("in_transaction", "savepoint"):
            a.query("BEGIN")
        if how == "savepoint":
            a.query("SAVEPOINT s")
        if how == "extended":
            a.send(w.parse(FAILING[kind]), w.bind(), w.execute(), w.sync())
            answer = a.until_ready()
        else:
            answer = a.query(FAILING[kind])
        assert len(w.errors(answer)) == 1
        if how == "savepoint":
            a.query("ROLLBACK TO s")
        if how in ("in_transaction", "savepoint"):
            a.query("COMMIT")
        wait_until(lambda: pins(router) == [] and router.show("budget")[0]["pinned"] == 0, 5,
                   "nothing is pinned")
        # What it did all the same goes with the server.
        assert a.value("SELECT pg_backend_pid()") != own


@pytest.mark.parametrize("kind", STAYING)
def test_what_was_bound_and_did_not_run_keeps_no_server(router, kind):
    with router.transactional.wire() as a:
        for begin in (None, "BEGIN"):
            if begin:
                a.query(begin)
            a.send(w.parse(STAYING[kind]), w.bind(), w.sync())
            assert w.types(a.until_ready()) == "12Z"
            if begin:
                a.query("COMMIT")
            wait_until(lambda: pins(router) == [] and router.show("budget")[0]["pinned"] == 0,
                       5, "nothing is pinned")
            assert a.value("SELECT 1") == "1"


RAN = {
    "in_pieces": [w.parse("SELECT setseed(0.5) FROM generate_series(1, 3)"), w.bind(),
                  w.execute("", 1), w.sync()],
    "bound_before": [w.query("BEGIN"), w.parse("SELECT setseed(0.5)"), w.bind(portal="p"),
                     w.sync(), w.execute("p"), w.sync(), w.query("ROLLBACK")],
    "behind_an_error": [w.execute("nothing"), w.sync(), w.parse("SELECT setseed(0.5)"),
                        w.bind(), w.execute(), w.sync()],
    "cursor": [w.query("BEGIN"), w.query("DECLARE c CURSOR FOR SELECT setseed(0.5)"),
               w.query("FETCH c"), w.query("COMMIT")],
    "cursor_at_commit": [w.query("BEGIN"),
                         w.query("DECLARE c CURSOR WITH HOLD FOR SELECT setseed(0.5)"),
                         w.query("COMMIT"), w.query("CLOSE c")],
    "copy": [w.query("COPY (SELECT setseed(0.5)) TO STDOUT")],
    "explain": [w.query("EXPLAIN ANALYZE SELECT setseed(0.5)")],
    "set": [w.query("SET seed = 0.5")],
    "set_config": [w.query("SELECT set_config('seed', '0.5', false)")],
    "prepared_by_sql": [w.query("PREPARE p AS SELECT setseed(0.5)"), w.bind(name="p"),
                        w.execute(), w.sync()],
    "executed_by_sql": [w.query("PREPARE p AS SELECT setseed(0.5)"), w.query("EXECUTE p")],
    "table": [w.query("CREATE TABLE seeded AS SELECT setseed(0.5)::text"),
              w.query("DROP TABLE seeded")],
    "again_in_vain": [w.query("SELECT setseed(0.5)"), w.query("SELECT setseed(5)")],
    "in_front_of_an_error": [w.query("SELECT setseed(0.5); SELECT 1/0")],
}


@pytest.mark.parametrize("how", RAN)
def test_what_ran_keeps_its_server(router, postgres, how):
    seeded = postgres.sql("SELECT setseed(0.5)", "SELECT random()::text")[0][0]
    with router.transactional.wire() as a, router.transactional.wire() as b:
        for message in RAN[how]:
            a.send(message)
            if message[:1] in b"QS":
                a.until_ready()
        wait_until(lambda: pins(router) == [("setseed", DEFAULT_USER)], 5, "it is pinned for that")
        own = a.value("SELECT pg_backend_pid()")
        assert own not in [b.value("SELECT pg_backend_pid()") for _ in range(3)]
        assert a.value("SELECT pg_backend_pid()") == own
        if how != "again_in_vain":
            assert a.value("SELECT random()") == seeded


# --- out of sight -----------------------------------------------------------------------

HIDDEN = {
    "temp_tables": ("DO $$ BEGIN CREATE TEMP TABLE mine (x int); END $$", "DROP TABLE mine"),
    "advisory_locks": ("DO $$ BEGIN PERFORM pg_advisory_lock(4711); END $$",
                       "SELECT pg_advisory_unlock(4711)"),
    "listen": ("DO $$ BEGIN EXECUTE 'LISTEN mine'; END $$", "UNLISTEN mine"),
}


@pytest.mark.parametrize("kind", HIDDEN)
def test_audit_finds_and_keeps_what_was_made_out_of_sight(make_router, kind):
    router = make_router(pinning(session_state_audit="always"))
    make, end = HIDDEN[kind]
    with three(router.transactional) as (a, b, c):
        a.execute(make)
        wait_until(lambda: pins(router) == [(kind, DEFAULT_USER)], 5, "it is found")
        assert has(a, kind) == 1
        assert [has(other, kind) for other in (b, c)] == [0, 0]
        row = next(row for row in router.show("advice") if row["state"] == kind)
        assert (row["found"], row["pinned"]) == (1, 0)
        a.execute(end)
        wait_until(lambda: pins(router) == [], 5, "the pin ends")


@pytest.mark.parametrize("kind", HIDDEN)
def test_without_audit_it_is_lost_and_seen_by_nobody(router, kind):
    with three(router.transactional) as (a, b, c):
        a.execute(HIDDEN[kind][0])
        assert [has(other, kind) for other in (b, c, b, c)] == [0] * 4
        assert pins(router) == []


def test_audit_counts_settings_and_may_exceed_the_most_pins(make_router):
    router = make_router(pinning(session_state_audit="always"))
    with contextlib.ExitStack() as stack:
        full(router, stack)
        a = stack.enter_context(router.transactional.connect())
        a.execute("SET work_mem = '3MB'")
        a.execute("DO $$ BEGIN END $$")
        assert "settings" not in {row["state"] for row in router.show("advice")}
        a.execute("DO $$ BEGIN SET enable_seqscan = off; END $$")
        wait_until(lambda: "settings" in {row["state"] for row in router.show("advice")}, 5,
                   "a setting was found")
        a.execute(HIDDEN["listen"][0])
        wait_until(lambda: len(pins(router)) == 3, 5, "it is kept all the same")
        budget = router.show("budget")[0]
        assert (budget["pinned"], budget["pins_over"]) == (3, 1)


def test_audit_finds_nothing_where_nothing_is(make_router):
    router = make_router(pinning(session_state_audit="always"))
    with router.transactional.connect() as a:
        a.execute("SET app.x = '1'")
        a.execute("SET ROLE app_md5")
        a.execute("RESET ROLE")
        for _ in range(5):
            a.execute("DO $$ BEGIN PERFORM 1; END $$")
        assert pins(router) == [] and router.show("advice") == []


def test_audit_that_is_sampled_looks_now_and_then(make_router):
    router = make_router(pinning(session_state_audit="sampled"))
    with router.transactional.connect() as a:
        for _ in range(40):
            a.execute("DO $$ BEGIN PERFORM set_config('enable_seqscan', 'off', false); END $$")
        found = [row["found"] for row in router.show("advice") if row["state"] == "settings"]
        assert found in ([2], [3])


def test_a_text_that_is_too_long_is_asked_about(router):
    """More than is looked at: what it has made is found, and kept."""
    text = "CREATE TEMP TABLE mine (x int) /* " + "x" * (1 << 20) + " */"
    with router.transactional.connect() as a, router.transactional.connect() as b:
        a.execute(text)
        wait_until(lambda: pins(router) == [("temp_tables", DEFAULT_USER)], 5, "it is found")
        assert (has(a, "temp_tables"), has(b, "temp_tables")) == (1, 0)


def test_pinned_while_the_server_cannot_be_asked(router, postgres):
    """A question that fails ends no pin, and is asked again."""
    with router.transactional.connect(user="other") as a:
        postgres.sql("REVOKE SELECT ON pg_catalog.pg_locks FROM PUBLIC", dbname=DATABASE)
        try:
            a.execute("CREATE TEMP TABLE mine (x int)")
            wait_until(lambda: "server-probe-failed" in router.log(), 5, "it was asked in vain")
            assert has(a, "temp_tables") == 1
            a.execute("DROP TABLE mine")
            assert pins(router) == [("temp_tables", "other")]
        finally:
            postgres.sql("GRANT SELECT ON pg_catalog.pg_locks TO PUBLIC", dbname=DATABASE)
        a.execute("SELECT 1")
        wait_until(lambda: pins(router) == [], 5, "the pin ends")


def test_asyncpg(router):
    asyncpg = needs.module("asyncpg")
    dsn = router.transactional.dsn()

    async def work():
        heard = asyncio.Event()
        a, b = [await asyncpg.connect(host=dsn["host"], port=dsn["port"], user=dsn["user"],
                                      password=dsn["password"], database=dsn["dbname"])
                for _ in range(2)]
        await a.add_listener("mine", lambda *_: heard.set())
        await b.execute("NOTIFY mine")
        await asyncio.wait_for(heard.wait(), 10)
        await a.execute("CREATE TEMP TABLE mine (x int)")
        await a.executemany("INSERT INTO mine VALUES ($1)", [(i,) for i in range(10)])
        assert await a.fetchval("SELECT count(*) FROM mine WHERE x < $1", 5) == 5
        assert await b.fetchval("SELECT to_regclass('pg_temp.mine')") is None
        assert pins(router) == [("temp_tables, listen", DEFAULT_USER)]
        await a.reset()
        await a.execute("DROP TABLE mine")
        await a.close()
        await b.close()

    asyncio.run(work())
    wait_until(lambda: pins(router) == [], 5, "nothing is pinned")


# --- many at once -------------------------------------------------------------------------


class Model:
    """What one client has, and whether it is there."""

    def __init__(self, connection, number):
        self.connection, self.number = connection, number
        self.rows = None
        self.locks = set()
        self.channels = set()
        self.setting = ""

    def run(self, *texts):
        """False: refused, and nothing has happened."""
        try:
            for text in texts:
                self.connection.execute(text)
            return True
        except psycopg.errors.TooManyConnections:
            self.connection.execute("ROLLBACK")
            return False

    def step(self, rng):
        what = rng.choice(["table", "insert", "drop", "lock", "unlock", "listen", "unlisten",
                           "set", "undone", "all"])
        key = self.number * 10 + rng.randrange(3)
        if what == "table" and self.rows is None and self.run("CREATE TEMP TABLE mine (x int)"):
            self.rows = 0
        elif what == "insert" and self.rows is not None:
            self.run(f"INSERT INTO mine VALUES ({self.number})")
            self.rows += 1
        elif what == "drop" and self.rows is not None:
            self.run("DROP TABLE mine")
            self.rows = None
        elif what == "lock" and key not in self.locks:
            if self.run(f"SELECT pg_advisory_lock({key})"):
                self.locks.add(key)
        elif what == "unlock" and self.locks:
            self.run(f"SELECT pg_advisory_unlock({self.locks.pop()})")
        elif what == "listen" and self.run(f"LISTEN c{key}"):
            self.channels.add(f"c{key}")
        elif what == "unlisten":
            self.run("UNLISTEN *")
            self.channels.clear()
        elif what == "set":
            self.setting = str(rng.randrange(100))
            self.run(f"SET app.mine = '{self.setting}'")
        elif what == "undone":
            self.run("BEGIN", "CREATE TEMP TABLE undone (x int)", "LISTEN undone", "ROLLBACK")
        elif what == "all":
            self.run("DISCARD ALL")
            self.__init__(self.connection, self.number)

    def check(self):
        ask = self.connection.execute
        there = ask("SELECT to_regclass('pg_temp.mine') IS NOT NULL").fetchone()[0]
        assert there == (self.rows is not None)
        if there:
            assert ask("SELECT count(*) FROM mine WHERE x = %s",
                       [self.number]).fetchone()[0] == self.rows
        assert set(x for x, in ask("SELECT objid::int FROM pg_locks WHERE locktype = 'advisory' "
                                   "AND pid = pg_backend_pid()")) == self.locks
        assert set(x for x, in ask("SELECT pg_listening_channels()")) == self.channels
        assert (ask("SELECT current_setting('app.mine', true)").fetchone()[0]
                or "") == self.setting
        assert ask("SELECT to_regclass('pg_temp.undone')").fetchone()[0] is None


@pytest.mark.parametrize("seed", range(3))
def test_random_pins_of_many_clients(make_router, seed):
    """Each client against a model of its own; never more pins than there may be, nor more
    servers than the budget has."""
    rng = random.Random(seed)
    print("seed", seed)
    router = make_router(pinning())
    with contextlib.ExitStack() as stack:
        def connect():
            return stack.enter_context(router.transactional.connect(prepare_threshold=None))

        models = [Model(connect(), number) for number in range(6)]
        for turn in range(200):
            model = rng.choice(models)
            model.step(rng)
            rng.choice(models).check()
            if rng.random() < 0.03:
                number = model.number
                model.connection.close()
                models[number] = Model(connect(), number)
            if turn % 20 == 0:
                rows = router.show("budget")
                assert rows[0]["pinned"] <= 2 and sum(row["used"] for row in rows) <= 6
        for model in models:
            model.check()
            model.connection.execute("DISCARD ALL")
        wait_until(lambda: pins(router) == [], 5, "nothing is pinned")


# --- what is kept may be refused, too -------------------------------------------------

KEPT = {
    "settings": (["SET work_mem = '7MB'", "SET SESSION app.x = '1'", "SET TIME ZONE 'UTC'",
                  "SELECT set_config('app.x', '1', false)", "SELECT set_config($1, '1', $2)",
                  "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
                  "SELECT 1; SET app.x = '1'"],
                 ["SET LOCAL work_mem = '7MB'", "SELECT set_config('app.x', '1', true)",
                  "RESET work_mem", "RESET ALL", "SET work_mem TO DEFAULT", "DISCARD ALL",
                  "SHOW work_mem", "SET ROLE NONE", "SET TRANSACTION READ ONLY"]),
    "role": (["SET ROLE NONE", f"SET SESSION AUTHORIZATION {DEFAULT_USER}",
              "SELECT set_config('role', 'none', false)"],
             ["RESET ROLE", "SET LOCAL ROLE NONE", "RESET SESSION AUTHORIZATION",
              "SET work_mem = '7MB'"]),
    "prepare": (["PREPARE mine AS SELECT 1"], ["DEALLOCATE ALL", "SET work_mem = '7MB'"]),
}


@pytest.mark.parametrize("how", ["simple", "extended", "in_transaction"])
@pytest.mark.parametrize("kind", KEPT)
def test_what_is_kept_may_be_refused(make_router, kind, how):
    """Before it runs, with a hint; what takes away, and what is local, never is."""
    router = make_router(pinning(**{f"session_state_{kind}": "refuse"}))
    refused, allowed = KEPT[kind]
    with router.transactional.wire() as a:
        def run(text):
            if how == "extended":
                a.send(w.one_query(text, *([b"app.x", b"f"] if "$2" in text else [])))
            elif how == "in_transaction":
                a.query("BEGIN")
                a.send(w.query(text))
            else:
                a.send(w.query(text))
            answer = a.until_ready()
            if how == "in_transaction":
                assert answer[-1].body == (b"E" if w.errors(answer) else b"T")
                a.query("ROLLBACK")
            return answer

        for text in refused:
            if ("$1" in text) != (how == "extended") and "$1" in text:
                continue
            if ";" in text and how == "extended":
                continue
            error = [m for m in run(text) if m.type == "E"][0]
            assert error.sqlstate == "0A000"
            assert f"session_state_{kind} is refuse" in error.text
            assert "session" in error.fields["H"]
            assert w.rows(a.query("SELECT 1")) == [("1",)]
        for text in allowed:
            if text == "DISCARD ALL" and how == "in_transaction":
                continue
            assert w.errors(run(text)) == [], text
    rows = [row for row in router.show("advice") if row["state"] == kind]
    assert rows and int(rows[0]["refused"]) >= 1 and int(rows[0]["pinned"]) == 0


@pytest.mark.parametrize("option,word,possible", [
    ("session_state_listen", "keep", ["pin", "refuse"]),
    ("session_state_temp_tables", "keep", ["pin", "refuse"]),
    ("session_state_settings", "pin", ["keep", "refuse"]),
    ("session_state_prepare", "pin", ["keep", "refuse"])])
def test_word_that_cannot_be_had(make_router, option, word, possible):
    router = make_router(pinning())
    router.expect_error("allowed is")
    answer = router.reload({"defaults": {option: word}}, expect="error")
    assert option in answer and all(each in answer for each in possible)

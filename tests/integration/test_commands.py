# SPDX-License-Identifier: ISC
"""Commands of the console, with the effects that PgBouncer documents, on both ports and
under load."""
import contextlib
import re
import select
import subprocess
import threading
import time

import pytest
from support import wire as w
from support.net import free_port, listening_ports
from support.router import ADMIN, STATS, Endpoint
from support.wait import wait_until

pytestmark = pytest.mark.router_only

PORTS = ["transactional", "session"]
APP = "usename = 'app_scram'"


class Console:
    """A connection to the console whose command may take its time."""

    def __init__(self, router, user=ADMIN[0]):
        self.wire = router.session.wire(user=user, dbname="pgbouncer")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.wire.close()

    def run(self, text):
        answer = self.wire.query(text)
        assert not w.errors(answer), [m.text for m in answer if m.type == "E"]
        return [m.tag for m in answer if m.type == "C"]

    def fails(self, text):
        answer = self.wire.query(text)
        return next((m.sqlstate, m.text) for m in answer if m.type == "E")

    def begin(self, text):
        self.wire.send(w.query(text))

    def end(self):
        return [m.tag for m in self.wire.until_ready() if m.type == "C"]


class Load:
    """Clients that work until they are told to stop; no query of theirs may fail."""

    def __init__(self, port, clients=6, persistent=True):
        self.port, self.persistent = port, persistent
        self.stop, self.errors = threading.Event(), []
        self.done = [0] * clients
        self.threads = [threading.Thread(target=self.work, args=(i,)) for i in range(clients)]

    def work(self, index):
        try:
            while not self.stop.is_set():
                with self.port.connect() as connection:
                    self.use(connection, index)
        except Exception as error:  # any at all is a finding
            self.errors.append(repr(error))

    def use(self, connection, index):
        while not self.stop.is_set():
            with connection.transaction():
                connection.execute("SELECT 1")
                connection.execute("SELECT pg_sleep(0.002)")
            self.done[index] += 1
            if not self.persistent:
                return

    def has_moved(self):
        before = sum(self.done)
        wait_until(lambda: sum(self.done) > before + 20, 20, "the load goes on")

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join(60)


def database_row(router, name="app"):
    return next(row for row in router.show("databases") if row["name"] == name)


def used(router):
    return sum(row["used"] for row in router.show("hosts"))


# ---------------------------------------------------------------- PAUSE and RESUME


@pytest.mark.parametrize("command", ["PAUSE", "PAUSE app", 'pause "app";'])
@pytest.mark.parametrize("port", PORTS)
def test_pause_waits_for_the_servers(router, postgres, port, command):
    """It answers when no server is left; clients that come wait, and go on after RESUME."""
    with getattr(router, port).wire() as busy, getattr(router, port).wire() as other, \
            Console(router) as console:
        busy.query("BEGIN")
        console.begin(command)
        wait_until(lambda: database_row(router)["paused"] == 1, 5, "SHOW DATABASES tells")
        assert console.wire.is_quiet()
        other.send(w.query("SELECT 'later'"))
        wait_until(lambda: [row["reason"] for row in router.show("waiting")] == ["paused"], 5,
                   "SHOW WAITING names the pause")
        assert busy.value("SELECT 1") == "1"
        busy.query("COMMIT")
        if port == "session":
            assert console.wire.is_quiet()
            busy.quit()
        assert console.end() == ["PAUSE"]
        assert postgres.count(APP) == 0
        assert other.is_quiet()
        console.run("RESUME app" if "app" in command else "RESUME")
        assert w.rows(other.until_ready()) == [("later",)]
        assert database_row(router)["paused"] == 0


def test_pause_holds_one_database_only(router, postgres):
    postgres.sql("DROP DATABASE IF EXISTS app2", "CREATE DATABASE app2")
    with Console(router) as console, router.transactional.wire(dbname="app2") as other:
        console.run("PAUSE app")
        assert other.value("SELECT 1") == "1"
        assert database_row(router)["paused"] == 1
        assert {row["key"]: row["value"] for row in router.show("state")}["paused"] == "no"
        # Nobody in app is left: it may be renamed, which PostgreSQL refuses otherwise.
        postgres.sql("ALTER DATABASE app RENAME TO app_", "ALTER DATABASE app_ RENAME TO app")
        console.run("RESUME app")
    with router.transactional.wire() as wire:
        assert wire.value("SELECT 1") == "1"


def test_pause_holds_all_names_of_the_database(make_router):
    router = make_router({"databases": {"alias": {"host": "main", "dbname": "app"}}})
    with Console(router) as console, router.transactional.wire() as wire:
        console.run("PAUSE alias")
        wire.send(w.query("SELECT 1"))
        wait_until(lambda: len(router.show("waiting")) == 1, 5)
        assert database_row(router)["paused"] == database_row(router, "alias")["paused"] == 1
        # Each pause is ended by whoever began it.
        assert console.fails("RESUME app")[0] == "55000"
        console.run("RESUME alias")
        assert w.rows(wire.until_ready()) == [("1",)]


def test_pause_stays_over_a_reload_and_for_new_pools(router):
    with Console(router) as console:
        console.run("PAUSE app")
        router.reload({"defaults": {"query_wait_notify": "4s"}})
        # What to tell a client of this user at its login is not known yet.
        late = threading.Thread(target=lambda: router.transactional.connect("app_md5").close())
        late.start()
        wait_until(lambda: [row["reason"] for row in router.show("waiting")] == ["paused"])
        console.run("RESUME app")
        late.join(30)
        assert not late.is_alive()


def test_query_wait_timeout_goes_on_in_a_pause(make_router):
    router = make_router({"defaults": {"query_wait_timeout": "1500ms"}})
    with Console(router) as console, router.transactional.wire() as wire:
        wire.query("SELECT 1")
        console.run("PAUSE")
        answer = wire.query("SELECT 1")
        assert w.errors(answer) == ["57014"]
        hint = next(m for m in answer if m.type == "E").fields["H"]
        assert "the database is paused on the console (paused)" in hint
        console.run("RESUME")
        assert wire.value("SELECT 1") == "1"


def test_pause_errors(router):
    with Console(router) as console:
        assert console.fails("RESUME") == ("55000", "pooler is not paused/suspended")
        console.run("PAUSE")
        assert console.fails("PAUSE") == ("55000", "already suspended/paused")
        assert console.fails("RESUME app") == ("55000", "database app is not paused")
        console.run("RESUME")
        assert console.fails("PAUSE pgbouncer") == ("0A000", "cannot pause admin db: pgbouncer")


@pytest.mark.parametrize("command", ["PAUSE", "RESUME", "KILL", "RECONNECT", "WAIT_CLOSE",
                                     "DISABLE", "ENABLE"])
def test_unknown_database(make_router, command):
    router = make_router({"databases": {"*": None, "app": {"host": "main"}}})
    with Console(router) as console:
        assert console.fails(f"{command} nosuch") == ("3D000", "no such database: nosuch")


def test_a_cancelled_pause_is_none(router):
    """Ctrl-C in psql while it waits: as if it had never been said."""
    with router.transactional.wire() as busy, Console(router) as console:
        busy.query("BEGIN")
        console.begin("PAUSE app")
        wait_until(lambda: database_row(router)["paused"] == 1)
        with router.session.raw() as raw:
            raw.send(w.cancel_request(console.wire.pid, console.wire.key))
            raw.until_closed()
        assert w.errors(console.wire.until_ready()) == ["57014"]
        assert database_row(router)["paused"] == 0
        busy.query("COMMIT")
        assert busy.value("SELECT 1") == "1"


def test_a_cancelled_pause_leaves_the_one_before(router):
    """Who gives up waiting for a pause that somebody else has begun does not end it."""
    with router.transactional.wire() as busy, Console(router) as first, Console(router) as second:
        busy.query("BEGIN")
        first.begin("PAUSE app")
        wait_until(lambda: database_row(router)["paused"] == 1)
        second.begin("PAUSE app")

        def gives_up():
            """A cancel request that comes before the command ends nothing."""
            with router.session.raw() as raw:
                raw.send(w.cancel_request(second.wire.pid, second.wire.key))
                raw.until_closed()
            return select.select([second.wire.socket], [], [], 0.2)[0] != []

        wait_until(gives_up, 10)
        assert w.errors(second.wire.until_ready()) == ["57014"]
        assert database_row(router)["paused"] == 1
        busy.query("COMMIT")
        assert w.errors(first.wire.until_ready()) == []
        assert database_row(router)["paused"] == 1
        assert router.command("RESUME app") == "RESUME"


def test_resume_ends_a_pause_that_still_waits(router):
    with router.transactional.wire() as busy, Console(router) as console:
        busy.query("BEGIN")
        console.begin("PAUSE")
        wait_until(lambda: database_row(router)["paused"] == 1)
        assert router.command("RESUME") == "RESUME"
        assert w.errors(console.wire.until_ready()) == ["55000"]
        busy.query("COMMIT")


def test_who_paused_may_leave(router):
    with router.transactional.wire() as busy:
        busy.query("BEGIN")
        with Console(router) as console:
            console.begin("PAUSE")
            wait_until(lambda: database_row(router)["paused"] == 1)
        busy.query("COMMIT")
        wait_until(lambda: used(router) == 0, 5, "it is paused all the same")
        assert router.command("RESUME") == "RESUME"


def test_a_paused_workload_leaves_its_part_to_others(make_router):
    """Those who wait in a pause have no claim: what they were guaranteed is lent, and
    nobody's transaction is ended for them."""
    router = make_router({
        "hosts": {"main": {"connection_budget": 2, "reclaim_grace": "100ms"}},
        "workloads": {"transactional": {"guaranteed_connections": 0},
                      "session": {"guaranteed_connections": 2}},
        "databases": {"held": {"host": "main", "dbname": "postgres"}}})
    with Console(router) as console, contextlib.ExitStack() as stack:
        console.run("PAUSE held")
        waiter = threading.Thread(target=lambda: router.session.connect(dbname="held").close())
        waiter.start()
        wait_until(lambda: [r["reason"] for r in router.show("waiting")] == ["paused"], 5)
        wires = [stack.enter_context(router.transactional.wire()) for _ in range(2)]
        for wire in wires:
            wire.query("BEGIN")
        assert used(router) == 2
        # Ten times the grace, as seen by something that goes on.
        until = time.monotonic() + 1
        while time.monotonic() < until:
            assert wires[0].value("SELECT 1") == "1"
        assert [wire.query("COMMIT")[-1].body for wire in wires] == [b"I", b"I"]
        console.run("RESUME held")
        waiter.join(30)
        assert not waiter.is_alive()


@pytest.mark.parametrize("port", PORTS)
def test_pause_and_resume_under_load(make_router, postgres, port):
    """No query fails, whatever happens around it."""
    router = make_router({"workloads": {
        "transactional": {"guaranteed_connections": 3}, "session": {"guaranteed_connections": 3}}})
    with Load(getattr(router, port), persistent=port != "session") as load, \
            Console(router) as console:
        for round_ in range(6):
            load.has_moved()
            name = ["", " app"][round_ % 2]
            assert console.run(f"PAUSE{name}") == ["PAUSE"]
            assert postgres.count(APP) == 0
            done = sum(load.done)
            assert used(router) == 0
            assert console.run(f"RESUME{name}") == ["RESUME"]
            assert sum(load.done) - done <= len(load.done), "work was done in a pause"
        load.has_moved()
    assert not load.errors


# ----------------------------------------------------- RECONNECT and WAIT_CLOSE


@pytest.mark.parametrize("command", ["RECONNECT", "RECONNECT app"])
def test_reconnect(router, command):
    with router.transactional.wire() as wire, router.session.wire() as session, \
            Console(router) as console:
        pid = wire.value("SELECT pg_backend_pid()")
        session_pid = session.value("SELECT pg_backend_pid()")
        console.run(command)
        assert wire.value("SELECT pg_backend_pid()") != pid
        console.begin(command.replace("RECONNECT", "WAIT_CLOSE"))
        assert console.wire.is_quiet()
        assert session.value("SELECT pg_backend_pid()") == session_pid
        session.quit()
        assert console.end() == ["WAIT_CLOSE"]


@pytest.mark.parametrize("port", PORTS)
def test_reconnect_under_load(router, postgres, port):
    with Load(getattr(router, port), persistent=port != "session") as load, \
            Console(router) as console:
        for _ in range(5):
            load.has_moved()
            before = {row[0] for row in postgres.backends(APP)}
            console.run("RECONNECT app; WAIT_CLOSE app")
            assert not before & {row[0] for row in postgres.backends(APP)}
        load.has_moved()
    assert not load.errors


def test_reconnect_learns_what_postgresql_tells_at_login(router, postgres):
    with Console(router) as console:
        with router.transactional.wire() as wire:
            assert wire.parameters["DateStyle"] == "ISO, MDY"
        postgres.sql("ALTER DATABASE app SET datestyle = 'SQL, DMY'")
        try:
            console.run("RECONNECT app; WAIT_CLOSE app")
            with router.transactional.wire() as wire:
                assert wire.parameters["DateStyle"] == "SQL, DMY"
        finally:
            postgres.sql("ALTER DATABASE app RESET datestyle")


# ------------------------------------------------------------- DISABLE and ENABLE


@pytest.mark.parametrize("port", PORTS)
def test_disable(router, port):
    """Nobody new gets in; those who are in go on."""
    with getattr(router, port).wire() as wire, Console(router) as console:
        console.run("DISABLE app")
        assert database_row(router)["disabled"] == 1
        with pytest.raises(RuntimeError, match='55000: database "app" is disabled'):
            getattr(router, port).wire()
        assert wire.value("SELECT 1") == "1"
        router.reload({"defaults": {"query_wait_notify": "4s"}})
        assert wire.value("SELECT 1") == "1"
        console.run("ENABLE app")
        assert database_row(router)["disabled"] == 0
        with getattr(router, port).wire() as late:
            assert late.value("SELECT 1") == "1"
        assert console.fails("DISABLE pgbouncer")[0] == "0A000"
        assert console.fails("DISABLE")[0] == "08P01"


# ------------------------------------------------------------ KILL and KILL_CLIENT


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("command", ["KILL", "KILL app"])
def test_kill(router, postgres, port, command):
    """Clients and servers go at once, what runs included; the database stays paused."""
    with getattr(router, port).wire() as busy, getattr(router, port).wire() as idle, \
            Console(router) as console:
        idle.query("SELECT 1")
        busy.send(w.query("SELECT pg_sleep(300)"))
        wait_until(lambda: postgres.count("query LIKE '%pg_sleep(300)%' AND state = 'active'") == 1)
        assert console.run(command) == ["KILL"]
        assert w.errors(busy.until_closed()) == ["57P01"]
        assert w.errors(idle.until_closed()) == ["57P01"]
        wait_until(lambda: postgres.count(APP) == 0, 10, "no server is left")
        assert database_row(router)["paused"] == 1
        console.run(command.replace("KILL", "RESUME"))
        with getattr(router, port).wire() as wire:
            assert wire.value("SELECT 1") == "1"


def test_kill_under_load(router, postgres):
    with Load(router.transactional) as load, Console(router) as console:
        # Whoever logs in still is not there to be killed.
        wait_until(lambda: all(load.done), 20, "all are in")
        console.run("KILL app")
        wait_until(lambda: len(load.errors) == len(load.done), 10, "all were thrown out")
        wait_until(lambda: postgres.count(APP) == 0)
        wait_until(lambda: used(router) == 0)
        console.run("RESUME app")
    # What a driver makes of it depends on what it was doing.
    assert router.log().count("reason=killed") == len(load.done)


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("column", ["id", "ptr"])
def test_kill_client(router, postgres, port, column):
    with getattr(router, port).wire(application_name="victim") as victim, \
            getattr(router, port).wire() as other, Console(router) as console:
        victim.send(w.query("SELECT pg_sleep(300)"))
        wait_until(lambda: postgres.count("query LIKE '%pg_sleep(300)%' AND state = 'active'") == 1)
        row = next(r for r in router.show("clients") if r["application_name"] == "victim")
        console.run(f"KILL_CLIENT {row[column]}")
        assert w.errors(victim.until_closed()) == ["57P01"]
        wait_until(lambda: postgres.count("query LIKE '%pg_sleep(300)%' AND state = 'active'") == 0)
        assert other.value("SELECT 1") == "1"
        assert console.fails(f"KILL_CLIENT {row[column]}") == ("42704", "client not found")


@pytest.mark.parametrize("who", ["x", "12x", '"-1"', "99999999999999999999", '""'])
def test_kill_client_wants_a_number(router, who):
    with Console(router) as console:
        assert console.fails(f"KILL_CLIENT {who}") == ("22023", "invalid client pointer supplied")


# ----------------------------------------------------------------- what is allowed


@pytest.mark.parametrize("command", [
    "PAUSE", "RESUME", "SUSPEND", "DISABLE app", "ENABLE app", "RECONNECT", "WAIT_CLOSE", "KILL",
    "KILL_CLIENT 1", "RELOAD", "SHUTDOWN", "SHUTDOWN WAIT_FOR_CLIENTS"])
def test_who_may_look_may_not_do(router, command):
    with Console(router, STATS[0]) as console:
        assert console.fails(command) == ("42501", "admin access needed")
        assert console.run("SHOW VERSION") == ["SHOW"]


def test_the_log_tells_who_has_said_it(router):
    """Also where sessions have no lines of their own."""
    router.command("SET log_connections = 0")
    with Console(router) as console:
        port = console.wire.socket.getsockname()[1]
        console.run("PAUSE app")
        console.run("RESUME app")
    lines = re.findall(r" console-command (.*)", router.log())
    for command in "PAUSE", "RESUME":
        (line,) = [line for line in lines if line.startswith(f"command={command} ")]
        assert re.fullmatch(rf'command={command} argument="app" client=\d+'
                            rf' user="{ADMIN[0]}" addr=127\.0\.0\.1:{port}', line), line


# ------------------------------------------------------------ several in one query


def test_several_commands_in_one_query(router):
    with Console(router) as console:
        assert console.run("SHOW VERSION; /* ; */ PAUSE app; -- ;\n RESUME \"app\";;") == [
            "SHOW", "PAUSE", "RESUME"]
        answer = console.wire.query("SHOW VERSION; RESUME app; SHOW STATE")
        assert w.types(answer) == "TDCEZ"
        assert w.types(console.wire.query("; -- nothing")) == "IZ"
        assert w.types(console.wire.query("")) == "IZ"


@pytest.mark.parametrize("text, hint", [
    ("PAUS app", "Did you mean PAUSE?"),
    ("SHOW POLS", "Did you mean SHOW POOLS?"),
    ("DISABLE", "The command is DISABLE database;"),
    ("RELOAD now", "The command is RELOAD;"),
    ("SHOW xyzzy", None),
])
def test_hints(router, text, hint):
    with Console(router) as console:
        answer = console.wire.query(text)
        assert next(m for m in answer if m.type == "E").fields.get("H") == hint


def test_a_statement_that_does_not_end(router):
    with Console(router) as console:
        for text in ["SHOW VERSION /*", 'SHOW "VERSION', "SHOW VERSION; /* x", "/*", '"', "';"]:
            answer = console.wire.query(text)
            assert len(w.errors(answer)) == 1, text


def test_pause_then_shutdown(router, postgres):
    with Console(router) as console, router.transactional.wire() as wire:
        console.run("PAUSE")
        wire.send(w.query("SELECT 1"))
        wait_until(lambda: len(router.show("waiting")) == 1)
        console.run("SHUTDOWN WAIT_FOR_SERVERS")
        assert router.wait_exit() == 0


# ------------------------------------------------------------- a port of its own


def test_a_port_for_the_console_only(make_router):
    """Whoever has no business there gets no further; it comes and goes with a reload."""
    router = make_router()
    port = free_port()
    router.reload({"admin": {"listen": [f"127.0.0.1:{port}"]}})
    wait_until(lambda: port in listening_ports(), 5)
    endpoint = Endpoint("127.0.0.1", port)
    with endpoint.wire(user=ADMIN[0], dbname="pgbouncer") as console:
        assert w.types(console.query("SHOW VERSION")) == "TDCZ"
        assert ("(console)",) in [(row["workload"],) for row in router.show("clients")]
        with pytest.raises(RuntimeError, match="3D000: only the console answers on this port"):
            endpoint.wire()
        with pytest.raises(RuntimeError, match="28P01"):
            with endpoint.raw() as raw:
                raw.login(ADMIN[0], "wrong", "pgbouncer")
        assert [row["workload"] for row in router.show("workloads")] == [
            "transactional", "session"]
        # The ports of the workloads serve as before.
        with router.session.wire() as wire:
            assert wire.value("SELECT 1") == "1"
        router.reload({"admin": {"listen": []}})
        wait_until(lambda: port not in listening_ports(), 5)
        assert w.types(console.query("SHOW VERSION")) == "TDCZ"


def test_a_port_for_the_console_only_from_the_start(make_router):
    port = free_port()
    router = make_router({"admin": {"listen": [f"127.0.0.1:{port}"]}})
    with Endpoint("127.0.0.1", port).wire(user=STATS[0], dbname="pgtandem") as console:
        assert w.types(console.query("SHOW STATE"))[:2] == "TD"
        assert router.show("pools")


def test_the_port_of_the_console_is_no_other(make_router):
    router = make_router(start=False)
    router.config["admin"]["listen"] = router.config["workloads"]["session"]["listen"]
    router.write_config()
    done = subprocess.run([router.program(), "--check", str(router.config_file)],
                          capture_output=True, text=True)
    assert done.returncode == 1
    assert "is listened on already" in done.stderr

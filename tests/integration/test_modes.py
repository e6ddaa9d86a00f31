# SPDX-License-Identifier: ISC
"""What PAUSE, RESUME, RECONNECT, KILL, DISABLE, SHUTDOWN and the signals do to clients at
work: one script, for both ports and for Debian's PgBouncer in both of its modes.  Where
the two are asked for the same, the same is asserted."""
import contextlib
import os
import signal
import subprocess
import threading

import psycopg
import pytest
from support import wire as w
from support.net import listening_ports
from support.pgbouncer import PgBouncer
from support.router import ADMIN
from support.wait import SLOWDOWN, wait_until
from test_commands import APP, Load

pytestmark = [pytest.mark.router_only, pytest.mark.timeout(100 * SLOWDOWN)]

# Of PgBouncer: SHUTDOWN with a mode, and what signals mean since then.
MODES_OF_SHUTDOWN = (1, 23)


class Pooler:
    """Either of them.  beside: the router's other port, which the same happens to."""

    def __init__(self, port, beside, process, has, is_ours):
        self.port, self.beside, self.process = port, beside, process
        self.has, self.is_ours = has, is_ours

    def wire(self):
        return self.port.wire()

    @contextlib.contextmanager
    def console(self):
        with self.port.wire(user=ADMIN[0], dbname="pgbouncer") as wire:
            yield Console(wire)

    def command(self, text):
        with self.console() as console:
            return console.run(text)

    def needs(self, version):
        if not self.has(version):
            pytest.skip(f"PgBouncer has it since {version[0]}.{version[1]}")

    def ends(self):
        return self.process.wait(20 * SLOWDOWN)

    def is_running(self):
        return self.process.poll() is None

    def listens(self):
        return self.port.port in listening_ports()


class Console:
    def __init__(self, wire):
        self.wire = wire

    def begin(self, text):
        self.wire.send(w.query(text))

    def end(self):
        answer = self.wire.until_ready()
        assert not w.errors(answer), [m.text for m in answer if m.type == "E"]
        return [m.tag for m in answer if m.type == "C"]

    def run(self, text):
        self.begin(text)
        return self.end()


# A sanitizer is in the one alone.
@pytest.fixture(params=["router", "pgbouncer"] if SLOWDOWN == 1 else ["router"])
def pooler(request, postgres, make_router, mode):
    if request.param == "router":
        router = make_router({"hosts": {"main": {"connection_budget": 20}}})
        ports = [router.transactional, router.session]
        yield Pooler(*(ports if mode == "transaction" else ports[::-1]), router.process,
                     lambda version: True, True)
        return
    bouncer = PgBouncer(postgres, mode)
    try:
        yield Pooler(bouncer.endpoint, None, bouncer.process,
                     lambda version: bouncer.version >= version, False)
    finally:
        bouncer.finish()


@pytest.fixture(params=["transaction", "session"])
def mode(request):
    return request.param


@contextlib.contextmanager
def at_work(pooler, mode, clients=4):
    """Clients that go on and on, at the other port as well.  In session mode each of
    their transactions is a session: else no server would ever come back."""
    with contextlib.ExitStack() as stack:
        loads = [stack.enter_context(Load(pooler.port, clients, persistent=mode != "session"))]
        if pooler.beside is not None:
            loads.append(stack.enter_context(
                Load(pooler.beside, clients, persistent=mode == "session")))
        moves(loads)
        yield loads
        for load in loads:
            load.stop.set()


def moves(loads):
    nothing_failed(loads)
    for load in loads:
        load.has_moved()


def counts(loads):
    """What each client has had."""
    return [count for load in loads for count in load.done]


def stands_still(loads, before):
    """But for an answer that was there and was not counted yet."""
    return all(now - then <= 1 for now, then in zip(counts(loads), before, strict=True))


def nothing_failed(loads):
    assert not [error for load in loads for error in load.errors]


def sessions(postgres):
    return postgres.count(APP)


def refused(pooler):
    """How a newcomer is let down: FATAL with this SQLSTATE, or not even a connection."""
    try:
        with pooler.port.raw() as wire:
            wire.login("app_scram", pooler.port.dsn()["password"], "app")
    except ConnectionError:
        return "refused"
    except (RuntimeError, EOFError) as error:
        return str(error)
    return ""


class Late:
    """A client that comes now, asks, and is not answered: it may be kept at its login, or
    with its first query.  In the end it is served, or told something and sent away."""

    def __init__(self, pooler):
        self.pooler, self.rows, self.fatal = pooler, None, None
        self.goes = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        with pooler.console() as console:
            # The fourth column is cl_waiting.
            wait_until(lambda: self.fatal or any(
                int(row[3]) for row in w.rows(console.wire.query("SHOW POOLS"))), 10, "it waits")

    def run(self):
        try:
            with self.pooler.wire() as wire:
                wire.send(w.query("SELECT 'served'"))
                answer = []
                while not answer or answer[-1].type not in "ZE":
                    answer.append(wire.receive())
                if answer[-1].type == "E":
                    raise RuntimeError(f"{answer[-1].sqlstate}: {answer[-1].text}")
                self.rows = w.rows(answer)
                self.goes.wait(60)
                wire.quit()
        except (RuntimeError, EOFError, OSError) as error:
            self.fatal = repr(error)

    def waits(self):
        self.thread.join(0.2)
        return self.thread.is_alive() and self.rows is None

    def served(self):
        wait_until(lambda: self.rows is not None or self.fatal, 20, "it is served")
        self.leave()
        return self.rows == [("served",)]

    def leave(self):
        self.goes.set()
        self.thread.join(30)
        assert not self.thread.is_alive()

    def sent_away(self):
        """What it was told."""
        self.goes.set()
        self.thread.join(30 * SLOWDOWN)
        assert self.rows is None
        return self.fatal


# ---------------------------------------------------------------- PAUSE and RESUME


@pytest.mark.parametrize("command", ["PAUSE", "PAUSE app"])
def test_pause_and_resume(pooler, mode, postgres, command):
    """Who is in a transaction (or session) goes on, and is waited for; then no server is
    left; who comes waits, and nobody hears of an error."""
    with at_work(pooler, mode) as loads, pooler.wire() as holder, pooler.console() as console:
        holder.query("BEGIN")
        console.begin(command)
        # All others have stopped: this one alone keeps a server.
        wait_until(lambda: sessions(postgres) == 1, 20, "the others are gone")
        assert holder.value("SELECT 1") == "1"
        assert console.wire.is_quiet()
        assert holder.query("COMMIT")[-1].body == b"I"
        if mode == "session":
            assert console.wire.is_quiet()
            assert holder.value("SELECT 2") == "2"
            holder.quit()
        assert console.end() == ["PAUSE"]
        assert sessions(postgres) == 0
        before = counts(loads)
        late = Late(pooler)
        assert late.waits() and sessions(postgres) == 0
        assert stands_still(loads, before)
        assert console.run(command.replace("PAUSE", "RESUME")) == ["RESUME"]
        assert late.served()
        moves(loads)
    nothing_failed(loads)


def test_reload_in_a_pause(pooler, mode, postgres):
    """The file says nothing of it: it stays."""
    with at_work(pooler, mode) as loads, pooler.console() as console:
        console.run("PAUSE")
        assert console.run("RELOAD") == ["RELOAD"]
        late = Late(pooler)
        assert late.waits() and sessions(postgres) == 0
        console.run("RESUME")
        assert late.served()
        moves(loads)
    nothing_failed(loads)


def test_signals_pause_and_resume(pooler, mode, postgres):
    """SIGUSR1 and SIGUSR2, without anybody on the console."""
    with at_work(pooler, mode) as loads:
        pooler.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: sessions(postgres) == 0, 20, "all are closed")
        before = counts(loads)
        late = Late(pooler)
        assert late.waits()
        assert stands_still(loads, before)
        pooler.process.send_signal(signal.SIGUSR2)
        assert late.served()
        moves(loads)
    nothing_failed(loads)


def test_ctrl_c_ends_a_pause_that_waits(pooler, mode, postgres):
    """psql's: it sends a cancel request.  PgBouncer gives the command no answer then."""
    dsn = pooler.port.dsn(user=ADMIN[0], dbname="pgbouncer")
    with at_work(pooler, mode) as loads, pooler.wire() as holder:
        holder.query("BEGIN")
        psql = subprocess.Popen(
            ["psql", "-X", "-h", dsn["host"], "-p", str(dsn["port"]), "-U", dsn["user"],
             "-d", "pgbouncer", "-c", "PAUSE"], env={**os.environ, "PGPASSWORD": dsn["password"]},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: sessions(postgres) == 1, 20, "the others are gone")
        late = Late(pooler)
        psql.send_signal(signal.SIGINT)
        assert late.served()
        if not pooler.is_ours:
            psql.terminate()
        _, said = psql.communicate(timeout=20 * SLOWDOWN)
        if pooler.is_ours:
            assert psql.returncode == 1 and "canceling statement due to user request" in said
        moves(loads)
        assert holder.query("COMMIT")[-1].body == b"I"
    nothing_failed(loads)


# ------------------------------------------------------------ RECONNECT, WAIT_CLOSE


def test_reconnect_and_wait_close(pooler, mode, postgres):
    """One server after the other is another one; who keeps one is waited for."""
    with at_work(pooler, mode) as loads, pooler.wire() as holder, pooler.console() as console:
        holder.query("BEGIN")
        pid = int(holder.value("SELECT pg_backend_pid()"))
        before = {row[0] for row in postgres.backends(APP)}
        assert console.run("RECONNECT") == ["RECONNECT"]
        console.begin("WAIT_CLOSE")
        wait_until(lambda: before & {row[0] for row in postgres.backends(APP)} == {pid}, 20,
                   "the others are new")
        assert console.wire.is_quiet()
        moves(loads)
        assert holder.query("COMMIT")[-1].body == b"I"
        holder.quit()
        assert console.end() == ["WAIT_CLOSE"]
        # PgBouncer waits until it has hung up; here PostgreSQL has closed it, too.
        wait_until(lambda: pid not in {row[0] for row in postgres.backends(APP)},
                   0 if pooler.is_ours else 10)
    nothing_failed(loads)


# ------------------------------------------------------------------- DISABLE, KILL


def test_disable_and_enable(pooler, mode):
    """Those who are in go on; those who come are told, with FATAL."""
    with pooler.wire() as inside, pooler.console() as console:
        assert console.run("DISABLE app") == ["DISABLE"]
        for _ in range(3):
            assert "disabled" in refused(pooler)
            assert inside.value("SELECT 1") == "1"
        assert console.run("ENABLE app") == ["ENABLE"]
        assert refused(pooler) == ""


def test_kill_and_resume(pooler, mode, postgres):
    """All go at once, what they run is ended; the database is paused until RESUME."""
    if mode == "session" and not pooler.has((1, 19)):
        pytest.skip("PgBouncer 1.18 ends itself when clients log in meanwhile")
    with at_work(pooler, mode) as loads, pooler.wire() as busy, pooler.wire() as idle, \
            pooler.console() as console:
        idle.query("SELECT 1")
        wait_until(lambda: all(all(load.done) for load in loads), 20, "all are in")
        busy.send(w.query("SELECT pg_sleep(300)"))
        wait_until(lambda: postgres.count("query LIKE '%pg_sleep(300)%' AND state = 'active'") == 1)
        assert console.run("KILL app") == ["KILL"]
        for wire in (busy, idle):
            (fatal,) = [m for m in wire.until_closed() if m.type == "E"]
            assert fatal.fields["S"] == "FATAL"
        # The clients at work were thrown out; those that came again wait.
        wait_until(lambda: all(load.errors or load.persistent is False for load in loads), 20)
        if not pooler.is_ours:
            # It only hangs up, which PostgreSQL sees when the query has ended.
            postgres.terminate("query LIKE '%pg_sleep(300)%'")
        wait_until(lambda: sessions(postgres) == 0, 20, "no server is left")
        late = Late(pooler)
        assert late.waits() and sessions(postgres) == 0
        assert console.run("RESUME app") == ["RESUME"]
        assert late.served()


# ------------------------------------------------------------- SHUTDOWN and signals


def everybody_is_gone(postgres, loads):
    """Clients and servers, and nothing that the router left behind."""
    for load in loads:
        load.stop.set()
        for thread in load.threads:
            thread.join(30)
            assert not thread.is_alive()
    wait_until(lambda: sessions(postgres) == 0, 20, "no server is left")


@pytest.mark.parametrize("how", ["SHUTDOWN", signal.SIGQUIT], ids=["command", "SIGQUIT"])
def test_at_once(pooler, mode, postgres, how):
    """Nobody is waited for: transactions are cut off."""
    if how == signal.SIGQUIT:
        pooler.needs(MODES_OF_SHUTDOWN)
    with at_work(pooler, mode) as loads, pooler.wire() as holder, pooler.console() as console:
        holder.query("BEGIN")
        if how == "SHUTDOWN":
            console.begin(how)
        else:
            pooler.process.send_signal(how)
        assert pooler.ends() == 0
        assert w.errors(holder.until_closed()) in ([], ["57P01"], ["08P01"])
        everybody_is_gone(postgres, loads)


@pytest.mark.parametrize("how", ["SHUTDOWN WAIT_FOR_SERVERS", signal.SIGINT],
                         ids=["command", "SIGINT"])
def test_when_servers_are_free(pooler, mode, postgres, how):
    """Transactions get to their end, nobody else gets a server, and it is over as soon as
    none is in use."""
    if how != signal.SIGINT:
        pooler.needs(MODES_OF_SHUTDOWN)
    with at_work(pooler, mode) as loads, pooler.wire() as holder, pooler.console() as console:
        holder.query("BEGIN")
        if how == signal.SIGINT:
            pooler.process.send_signal(how)
        else:
            console.begin(how)
        wait_until(lambda: sessions(postgres) == 1, 20, "the others are gone")
        if pooler.has(MODES_OF_SHUTDOWN):
            wait_until(lambda: not pooler.listens(), 10, "nobody is let in")
            assert refused(pooler) == "refused"
        before = counts(loads)
        assert holder.value("SELECT 1") == "1"
        assert pooler.is_running()
        assert stands_still(loads, before)
        assert holder.query("COMMIT")[-1].body in (b"I",)
        holder.quit()
        assert pooler.ends() == 0
        everybody_is_gone(postgres, loads)


@pytest.mark.parametrize("how", ["SHUTDOWN WAIT_FOR_CLIENTS", signal.SIGTERM],
                         ids=["command", "SIGTERM"])
def test_when_clients_have_left(pooler, mode, postgres, how):
    """Who is in may stay and work as long as it wants to; nobody else gets in."""
    pooler.needs(MODES_OF_SHUTDOWN)
    with pooler.wire() as stays, pooler.wire() as other:
        stays.query("SELECT 1")
        if how == signal.SIGTERM:
            pooler.process.send_signal(how)
        else:
            with pooler.console() as console:
                console.begin(how)
                wait_until(lambda: not pooler.listens(), 10, "nobody is let in")
        wait_until(lambda: not pooler.listens(), 10, "nobody is let in")
        assert refused(pooler) == "refused"
        for wire in (stays, other):
            for _ in range(20):
                wire.query("BEGIN")
                assert wire.value("SELECT 2") == "2"
                assert wire.query("COMMIT")[-1].body == b"I"
        other.quit()
        assert stays.value("SELECT 3") == "3"
        assert pooler.is_running()
        stays.quit()
    assert pooler.ends() == 0
    everybody_is_gone(postgres, [])


@pytest.mark.parametrize("first, second", [
    (signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGINT),
    (signal.SIGTERM, signal.SIGINT), (signal.SIGINT, signal.SIGTERM)],
    ids=lambda number: number.name)
def test_a_second_signal_ends_it(pooler, mode, postgres, first, second):
    pooler.needs(MODES_OF_SHUTDOWN)
    with pooler.wire() as holder:
        holder.query("BEGIN")
        pooler.process.send_signal(first)
        wait_until(lambda: not pooler.listens(), 10, "the first is heard")
        assert holder.value("SELECT 1") == "1"
        pooler.process.send_signal(second)
        assert pooler.ends() == 0
        assert w.errors(holder.until_closed()) in ([], ["57P01"], ["08P01"])
    everybody_is_gone(postgres, [])


def test_pause_then_shutdown(pooler, mode, postgres):
    """The way to take it down before there were modes: who waits is let down, not kept."""
    with at_work(pooler, mode) as loads, pooler.console() as console:
        assert console.run("PAUSE") == ["PAUSE"]
        late = Late(pooler)
        console.begin("SHUTDOWN")
        assert pooler.ends() == 0
        assert late.sent_away()
        everybody_is_gone(postgres, loads)


def test_who_waits_is_told_when_servers_are_waited_for(pooler, mode, postgres):
    """Nobody hangs until query_wait_timeout: not in a pause, and not behind one who keeps
    what it waits for."""
    pooler.needs(MODES_OF_SHUTDOWN)
    with pooler.wire() as holder:
        holder.query("BEGIN")
        with pooler.console() as console:
            console.begin("PAUSE")
            late = Late(pooler)
            pooler.process.send_signal(signal.SIGINT)
            told = late.sent_away()
            assert "shutting down" in told or "57P01" in told, told
            assert holder.value("SELECT 1") == "1"
        holder.query("COMMIT")
        holder.quit()
    assert pooler.ends() == 0


def test_pause_then_wait_for_clients(pooler, mode, postgres):
    """While somebody is on the console the pause is theirs to end; when nobody is left who
    could, it ends, and those who waited are served."""
    if not pooler.is_ours:
        pytest.skip("PgBouncer keeps them until query_wait_timeout")
    with pooler.console() as console:
        console.run("PAUSE")
        late = Late(pooler)
        console.run("SHUTDOWN WAIT_FOR_CLIENTS")
        wait_until(lambda: not pooler.listens(), 10, "nobody is let in")
        assert late.waits()
    assert late.served()
    assert pooler.ends() == 0
    assert sessions(postgres) == 0


def test_psycopg_sees_what_postgresql_says(pooler, mode):
    """An application that knows PostgreSQL's own shutdown knows this."""
    if not pooler.is_ours:
        pytest.skip("PgBouncer says 08P01")
    with pooler.port.connect() as connection, pooler.console() as console:
        connection.execute("SELECT 1")
        console.run("KILL app")
        # What psycopg itself makes of it depends on when it looks.
        with pytest.raises(psycopg.OperationalError,
                           match="terminating connection due to administrator command"):
            connection.execute("SELECT 2")
        console.run("RESUME app")

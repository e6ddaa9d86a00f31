# SPDX-License-Identifier: ISC
"""Clients, servers and PostgreSQL itself die under load: errors are clear, nothing
hangs, nothing leaks, and service resumes by itself."""
import random
import threading
import time

import pytest
from support import wire as w
from support.net import free_port
from support.wait import SLOWDOWN, wait_until

pytestmark = pytest.mark.router_only

# What a client may be told when the server it uses goes away.
LOST = {"57P01", "57P02", "57P03", "08006", "08003", "08001", "58000"}


def works(endpoint):
    try:
        with endpoint.wire() as wire:
            return wire.value("SELECT 1") == "1"
    except (RuntimeError, OSError, EOFError):
        return False


def nothing_leaks(router, postgres):
    """No client is left in the books, no server in use."""
    def clean():
        clients = [row for row in router.show("clients") if row["user"] == "app_scram"]
        return not clients and router.pool().get("sv_active", 0) == 0
    wait_until(clean, 10, "all clients and leases are gone")
    assert postgres.count("state LIKE 'idle in%'") == 0


class Load:
    """Clients that go on whatever happens, and note what they were told."""

    def __init__(self, endpoint, clients, query="SELECT pg_sleep(0.002)"):
        self.endpoint, self.statement = endpoint, query
        self.done, self.codes, self.lost, self.odd = 0, set(), 0, []
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.run) for _ in range(clients)]

    def run(self):
        while not self.stop.is_set():
            try:
                with self.endpoint.wire() as wire:
                    while not self.stop.is_set():
                        codes = w.errors(wire.query(self.statement))
                        self.codes.update(codes)
                        self.done += not codes
                    wire.send(w.terminate())
            except (EOFError, ConnectionError):
                self.lost += 1
            except RuntimeError as error:
                self.codes.add(str(error).split(":", maxsplit=1)[0])
            except BaseException as problem:  # noqa: B902
                self.odd.append(repr(problem))
                return

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join(60 * SLOWDOWN)
        hung = [thread for thread in self.threads if thread.is_alive()]
        assert not hung, f"{len(hung)} clients hang"
        assert not self.odd, self.odd[:3]

    def goes_on(self):
        before = self.done
        wait_until(lambda: self.done > before + 20, 20, "work goes on")


def test_server_dies_idle(router, postgres):
    """A server that PostgreSQL closed while it was in the pool is not given out."""
    with router.transactional.wire() as wire:
        pid = wire.value("SELECT pg_backend_pid()")
        postgres.terminate(f"pid = {pid}")
        wait_until(lambda: postgres.count(f"pid = {pid}") == 0, 5, "it has gone")
        assert w.errors(wire.query("SELECT 1")) == []
        assert wire.value("SELECT pg_backend_pid()") != pid


@pytest.mark.parametrize("name", ["transactional", "session"])
def test_server_dies_during_a_query(router, postgres, name):
    """The client is told with PostgreSQL's own words, 57P01."""
    with getattr(router, name).wire() as wire:
        wire.send(w.query("SELECT pg_sleep(300)"))
        wait_until(lambda: postgres.count("query LIKE '%pg_sleep(300)%' AND state = 'active'") == 1)
        postgres.terminate("query LIKE '%pg_sleep(300)%'")
        errors = [m for m in wire.until_closed() if m.type == "E"]
        assert errors[0].sqlstate == "57P01"
        assert errors[0].fields["S"] == "FATAL"
    assert works(getattr(router, name))


def test_server_dies_in_a_transaction_of_an_idle_client(router, postgres):
    with router.transactional.wire() as wire:
        wire.query("BEGIN")
        postgres.terminate("state = 'idle in transaction'")
        codes = [m.sqlstate for m in wire.until_closed() if m.type == "E"]
        assert set(codes) <= LOST
    assert works(router.transactional)


def test_servers_killed_under_load(router, postgres):
    """Twenty clients, servers terminated at random: every client sees clear errors only,
    and work goes on."""
    with Load(router.transactional, 20) as load:
        load.goes_on()
        for _ in range(10):
            postgres.terminate("usename = 'app_scram' AND random() < 0.5")
            load.goes_on()
    assert load.codes <= LOST, load.codes
    nothing_leaks(router, postgres)


def test_clients_killed_under_load(router, postgres):
    """Clients that vanish at any moment, in any state, cost nothing."""
    files = router.open_files()
    texts = [w.query("SELECT pg_sleep(0.01)"), w.query("BEGIN"), w.one_query("SELECT 1"),
             w.query("COPY items (body) FROM STDIN"), w.parse("SELECT 1"), b"Q\0\0\0",
             w.query("SELECT repeat('x', 1000000)"), w.query("BEGIN") + w.query("SELECT 1/0")]
    with Load(router.transactional, 5) as load:
        for turn in range(200):
            endpoint = router.session if turn % 4 == 0 else router.transactional
            wire = endpoint.raw()
            if turn % 7:
                wire.login("app_scram", endpoint.dsn()["password"], "app")
                wire.send(*random.Random(turn).sample(texts, 2))
            else:
                wire.send(w.startup("app_scram", "app")[:turn % 20])
            wire.close()
        load.goes_on()
    assert load.codes == set() and load.lost == 0
    nothing_leaks(router, postgres)
    assert works(router.session)
    wait_until(lambda: router.open_files() <= files + 25, 10, "sockets are closed")


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_postgresql_goes_down_and_comes_back(make_router, postgres, mode):
    """While it is down clients are told, at the latest when their patience ends; when it
    is back, service resumes without anybody's help."""
    router = make_router({"defaults": {"query_wait_timeout": "1s"}})
    router.expect_error(".")
    with Load(router.transactional, 10) as load:
        load.goes_on()
        postgres.stop(mode)
        time_down = time.monotonic()
        wait_until(lambda: load.codes, 10, "clients are told")
        postgres.start()
        load.goes_on()
        assert time.monotonic() - time_down < 60 * SLOWDOWN
    assert load.codes <= LOST | {"57014"}, load.codes
    for endpoint in (router.transactional, router.session):
        wait_until(lambda endpoint=endpoint: works(endpoint), 20, "service has resumed")
    nothing_leaks(router, postgres)


def test_idle_clients_survive_a_restart_of_postgresql(make_router, postgres):
    """Nobody who did not use a server notices."""
    router = make_router()
    router.expect_error(".")
    wires = [router.transactional.wire() for _ in range(20)]
    for wire in wires:
        wire.query("SELECT 1")
    postgres.restart()
    for wire in wires:
        assert wire.is_quiet(0.01)
        wait_until(lambda wire=wire: w.errors(wire.query("SELECT 1")) == [], 10)
        wire.quit()


def test_postgresql_is_down_from_the_start(make_router):
    """Nobody listens there: the client is told in time, with a reason."""
    router = make_router({"hosts": {"main": {"port": free_port()}},
                          "defaults": {"query_wait_timeout": "1s"}})
    router.expect_error(".")
    for endpoint in (router.transactional, router.session):
        start = time.monotonic()
        with pytest.raises((RuntimeError, EOFError)) as told:
            endpoint.wire().value("SELECT 1")
        assert time.monotonic() - start < 15 * SLOWDOWN
        assert str(told.value).split(":", maxsplit=1)[0] in LOST | {"57014"}


def test_somebodys_wrong_password_blocks_nobody(make_router, postgres):
    """The router's userlist has an old password for one user: his logins to PostgreSQL
    fail, he is told 28P01, and everybody else goes on undisturbed."""
    router = make_router(start=False)
    router.write_userlist(['"app_scram" "scram secret"', '"other" "old secret"',
                           '"admin" "admin secret"'])
    router.expect_error("28P01|password")
    router.start()
    with Load(router.transactional, 5) as load:
        for _ in range(5):
            with pytest.raises((RuntimeError, EOFError), match="28P01"):
                wire = router.transactional.raw()
                wire.login("other", "old secret", "app")
                wire.value("SELECT 1")
        load.goes_on()
    assert load.codes == set()


def test_client_that_does_not_read(make_router, postgres):
    """A slow reader stops its own sender and nobody else; memory stays flat."""
    router = make_router()
    with router.transactional.wire() as slow, Load(router.transactional, 5) as load:
        before = router.memory()
        slow.send(w.query("SELECT repeat('x', 100000) FROM generate_series(1, 2000)"))
        for _ in range(5):
            load.goes_on()
        grown = router.memory() - before
        assert grown < (24 << 20) * SLOWDOWN, f"{grown} bytes more"
        answer = slow.until_ready()
        assert len(w.rows(answer)) == 2000


def test_client_that_sends_faster_than_the_server_reads(router, postgres):
    """Back-pressure the other way: 60 MB for a server that is busy."""
    with router.session.wire() as wire:
        before = router.memory()
        wire.send(w.query("SELECT pg_sleep(1)"))
        sender = threading.Thread(target=lambda: wire.send(
            *(w.query(f"SELECT length('{'x' * 100_000}')") for _ in range(600))))
        sender.start()
        wire.until_ready()
        grown = router.memory() - before
        for _ in range(600):
            assert w.rows(wire.until_ready()) == [("100000",)]
        sender.join()
    assert grown < (24 << 20) * SLOWDOWN, f"{grown} bytes more"

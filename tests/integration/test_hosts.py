# SPDX-License-Identifier: ISC
"""Several addresses for one host, and what must be behind them: a primary and a
streaming standby, which come, go and change places."""
import re
import struct
import threading
import time

import psycopg
import pytest
from support import wire as w
from support.fakeserver import FakeServer
from support.net import free_port
from support.postgres import DEFAULT_USER
from support.wait import SLOWDOWN, wait_until
from test_failures import LOST, Load, works

pytestmark = pytest.mark.router_only

OURS = f"usename = '{DEFAULT_USER}'"
WHERE = "SELECT pg_is_in_recovery()"


def at(*clusters):
    return [f"127.0.0.1:{cluster.port}" for cluster in clusters]


def hosts(places, **more):
    return {"hosts": {"main": {"host": places, **more}}}


def is_at(endpoint):
    """The port of the PostgreSQL that answers."""
    with endpoint.connect() as connection:
        return connection.execute("SELECT inet_server_port()").fetchone()[0]


# ------------------------------------------------------------------ who is chosen

@pytest.mark.parametrize("target, wants_standby", [
    ("read-write", False), ("primary", False), ("read-only", True), ("standby", True),
    ("prefer-standby", True)])
@pytest.mark.parametrize("primary_first", [True, False])
def test_finds_what_it_wants(make_router, postgres, standby, target, wants_standby,
                             primary_first):
    """Whatever the order; and nothing is left behind at the other one."""
    places = at(postgres, standby) if primary_first else at(standby, postgres)
    router = make_router(hosts(places, target_session_attrs=target))
    right, wrong = (standby, postgres) if wants_standby else (postgres, standby)
    for port in (router.transactional, router.session):
        with port.connect() as connection:
            assert connection.execute(WHERE).fetchone() == (wants_standby,)
    assert right.count(OURS) > 0
    wait_until(lambda: wrong.count(OURS) == 0, 5, "the one that did not fit is closed")
    row = [row for row in router.show("databases") if row["name"] == "app"][0]
    assert (row["host"], row["port"]) == ("127.0.0.1", right.port)


def test_any_takes_the_first(make_router, postgres, standby):
    router = make_router(hosts(at(standby, postgres)))
    assert is_at(router.transactional) == standby.port
    assert postgres.count(OURS) == 0


def test_role_that_is_read_only_by_default(make_router, postgres):
    """It fits no read-write, and is told at once; others are not kept from connecting."""
    router = make_router(hosts(at(postgres), target_session_attrs="read-write"))
    postgres.sql("ALTER ROLE other SET default_transaction_read_only = on")
    try:
        with router.transactional.raw() as wire, pytest.raises(
                RuntimeError, match="08006.*read-only by default_transaction_read_only"):
            wire.login("other", router.transactional.dsn("other")["password"], "app")
        assert works(router.transactional)
    finally:
        postgres.sql("ALTER ROLE other RESET default_transaction_read_only")


def test_replication_goes_there_too(make_router, postgres, standby):
    router = make_router(hosts(at(standby, postgres), target_session_attrs="primary"))
    with router.session.connect(user="repl", replication="database") as connection:
        assert connection.execute("SELECT inet_server_port()").fetchone()[0] == postgres.port


# ------------------------------------------------------------------ nobody is there

def refusal(router):
    """What a client is told that waited in vain."""
    with router.transactional.raw() as wire:
        with pytest.raises(RuntimeError) as caught:
            wire.login(DEFAULT_USER, router.transactional.dsn()["password"], "app")
    return str(caught.value)


def test_none_fits(make_router, postgres, standby):
    """The message has each address and what it was; when one fits later it is found."""
    places = at(standby, postgres)
    router = make_router({**hosts(places, target_session_attrs="primary"),
                          "defaults": {"query_wait_timeout": "1s"}})
    postgres.stop()
    assert "57014" in refusal(router)
    said = re.search(r"server-login-failed .*sqlstate=08006 message=(.*)", router.log())[1]
    assert "target_session_attrs=primary" in said
    assert f"{places[0]} is in hot standby" in said
    assert re.search(re.escape(places[1]) + ": connection failed: Connection refused", said)
    postgres.start()
    wait_until(lambda: works(router.transactional), 10, "the primary is found")
    assert is_at(router.transactional) == postgres.port


def test_all_down(make_router):
    places = [f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"]
    router = make_router({**hosts(places), "defaults": {"query_wait_timeout": "1500ms"}})
    assert "57014" in refusal(router)
    for place in places:
        assert f"{place}: connection failed: Connection refused" in router.log()


# ------------------------------------------------------------------ they change places

class Judge:
    """Counts the router's sessions on all instances together.  They cannot be asked at
    one moment; but who is there now and was there before the first was asked lived at
    that moment, on whichever instance."""

    def __init__(self, *clusters):
        self.clusters, self.most, self.samples = clusters, 0, 0
        self.connections = dict.fromkeys(clusters)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def count(self, cluster, moment):
        try:
            if self.connections[cluster] is None:
                self.connections[cluster] = cluster.connect(dbname="postgres")
            return self.connections[cluster].execute(
                "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
                f" AND {OURS} AND backend_start <= to_timestamp(%s)", (moment,)).fetchone()[0]
        except psycopg.Error:
            self.connections[cluster] = None
            return 0

    def run(self):
        while not self.stop.is_set():
            moment = time.time()
            self.most = max(self.most, sum(self.count(c, moment) for c in self.clusters))
            self.samples += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        for connection in self.connections.values():
            if connection is not None:
                connection.close()


BUDGET = 4


@pytest.mark.parametrize("target", ["read-write", "primary"])
def test_failover(make_router, postgres, standby, target):
    """The primary goes, the standby takes over: clients go on, with never more servers
    than the budget on both together."""
    router = make_router({
        **hosts(at(postgres, standby), target_session_attrs=target,
                connection_budget=BUDGET),
        "workloads": {"session": None}})
    with Judge(postgres, standby) as judge, Load(router.transactional, 12) as load:
        load.goes_on()
        postgres.stop("immediate")
        # For a while there is none that would do, and each try ends at the standby.
        wait_until(lambda: "is in hot standby" in router.log(), 20)
        standby.promote()
        began = time.monotonic()
        load.goes_on()
        assert time.monotonic() - began < (3 + 2) * SLOWDOWN, "longer than the backoff"
    assert load.codes <= LOST | {"57014"}, load.codes
    assert is_at(router.transactional) == standby.port
    assert judge.samples > 50
    assert 0 < judge.most <= BUDGET, judge.most


def test_any_moves_when_the_first_fails_and_does_not_come_back(make_router, postgres,
                                                               standby):
    router = make_router(hosts(at(postgres, standby)))
    assert is_at(router.transactional) == postgres.port
    with router.transactional.connect(user="app_plain") as connection:
        assert connection.info.parameter_status("in_hot_standby") == "off"
    postgres.stop()
    wait_until(lambda: works(router.transactional), 10)
    assert is_at(router.transactional) == standby.port
    # What was known of the old one is not told any more, to nobody.
    with router.transactional.connect(user="app_plain") as connection:
        assert connection.info.parameter_status("in_hot_standby") == "on"
    postgres.start()
    assert is_at(router.transactional) == standby.port
    assert re.search(rf"host-moved host=main address=127.0.0.1:{standby.port}", router.log())
    row = [row for row in router.show("databases") if row["name"] == "app"][0]
    assert row["port"] == standby.port
    row = [row for row in router.show("config") if row["key"] == "hosts.main.host"][0]
    assert row["value"] == ", ".join(at(postgres, standby))
    row = router.show("hosts")[0]
    assert (row["address"], row["port"]) == ("127.0.0.1", standby.port)
    assert row["resolved"] == ", ".join(at(standby, postgres))


def test_servers_of_the_old_address_go_when_returned(make_router, postgres, standby):
    """The first address is there again for whoever is still on it, not for others."""
    router = make_router(hosts(at(standby, postgres), target_session_attrs="prefer-standby"))
    standby.stop()
    with router.transactional.connect(autocommit=False) as one:
        assert one.execute(WHERE).fetchone() == (False,)
        standby.start()
        # The next login finds the standby, which it prefers.
        with router.transactional.connect() as two:
            assert two.execute(WHERE).fetchone() == (True,)
        assert one.execute(WHERE).fetchone() == (False,)
        one.rollback()
        assert one.execute(WHERE).fetchone() == (True,)
    wait_until(lambda: postgres.count(OURS) == 0, 5, "its servers at the primary close")
    assert standby.count(OURS) > 0


def test_standby_that_is_promoted_does_not_fit_any_more(make_router, postgres, standby):
    """Servers learn of it with their next answer; the others there close as well."""
    router = make_router({**hosts(at(standby, postgres), target_session_attrs="standby"),
                          "defaults": {"query_wait_timeout": "1500ms"}})
    one = router.transactional.connect(autocommit=False)
    with router.transactional.connect() as two:
        assert one.execute(WHERE).fetchone() == (True,)
        assert two.execute(WHERE).fetchone() == (True,)
    assert standby.count(OURS) == 2
    standby.promote()
    # Who is in the middle of a transaction is not disturbed.
    wait_until(lambda: one.execute("SHOW in_hot_standby").fetchone() == ("off",), 10)
    wait_until(lambda: "host-unfit" in router.log(), 5)
    one.rollback()
    wait_until(lambda: standby.count(OURS) == 0, 10, "both close")
    with pytest.raises(psycopg.errors.QueryCanceled):
        one.execute(WHERE)
    assert f"{at(standby)[0]} is not in hot standby" in router.log()
    one.close()


# ------------------------------------------------------------------ cancel

def test_cancel_goes_to_where_the_server_is(make_router, postgres, standby):
    """Also when the host has moved meanwhile."""
    router = make_router(hosts(at(postgres)))
    with router.session.connect() as one:
        assert one.execute(WHERE).fetchone() == (False,)
        router.reload(hosts(at(standby)))
        assert is_at(router.transactional) == standby.port
        timer = threading.Timer(0.3, one.cancel)
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            one.execute("SELECT pg_sleep(15)")
        timer.join()
        assert one.execute(WHERE).fetchone() == (False,)


# ------------------------------------------------------------------ servers before 14

def reply(connection, value):
    """To a question with one column and one row."""
    data = value.encode()
    connection.send(
        w.message("T", struct.pack("!h", 1) + b"x\0" + struct.pack("!ihihih", 0, 0, 25, -1, -1, 0))
        + w.message("D", struct.pack("!hi", 1, len(data)) + data)
        + w.message("C", b"SELECT 1\0") + w.message("Z", b"I"))


@pytest.fixture
def fakes():
    servers = [FakeServer(), FakeServer()]
    yield servers
    for server in servers:
        server.close()


def ask_for_one(router, found):
    """A client in a thread of its own: what comes of its query."""
    def run():
        try:
            with router.transactional.wire() as wire:
                found.append(w.errors(wire.query("SELECT 1")))
        except (OSError, EOFError, RuntimeError) as error:
            found.append(error)
    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize("target, question, wrong, right", [
    ("primary", "SELECT pg_catalog.pg_is_in_recovery()", "t", "f"),
    ("standby", "SELECT pg_catalog.pg_is_in_recovery()", "f", "t"),
    ("read-write", "SHOW transaction_read_only", "on", "off"),
    ("read-only", "SHOW transaction_read_only", "off", "on")])
def test_server_that_does_not_report_is_asked(make_router, fakes, target, question, wrong,
                                              right):
    """One that does not fit is left in an orderly way; and the next is not connected to
    before that has ended, as both have one unit of the budget."""
    places = at(*fakes)
    router = make_router(hosts(places, target_session_attrs=target))
    found = []
    thread = ask_for_one(router, found)
    first = fakes[0].take()
    got = first.receive()
    assert got.type == "Q" and got.body.rstrip(b"\0").decode() == question
    reply(first, wrong)
    assert first.receive().type == "X"
    with pytest.raises(EOFError):
        first.receive()
    first.socket.close()
    second = fakes[1].take()
    assert second.receive().type == "Q"
    reply(second, right)
    FakeServer.serve(second)
    thread.join(20 * SLOWDOWN)
    assert found == [[]]


def test_server_that_does_not_close_counts_as_closed(make_router, fakes):
    """After server_close_timeout, and not before."""
    router = make_router(hosts(at(*fakes), target_session_attrs="primary",
                               server_close_timeout="700ms"))
    found = []
    thread = ask_for_one(router, found)
    first = fakes[0].take()
    first.receive()
    reply(first, "t")
    assert first.receive().type == "X"
    began = time.monotonic()
    second = fakes[1].take()
    assert time.monotonic() - began > 0.6
    assert "server-close-timeout" in router.log()
    second.receive()
    reply(second, "f")
    FakeServer.serve(second)
    thread.join(20 * SLOWDOWN)
    assert found == [[]]


def test_server_that_cannot_answer_does_not_fit(make_router, fakes):
    router = make_router(hosts(at(*fakes), target_session_attrs="primary"))
    found = []
    thread = ask_for_one(router, found)
    first = fakes[0].take()
    first.receive()
    first.send(w.message("E", b"SERROR\0VERROR\0C42883\0Mno such function\0\0")
               + w.message("Z", b"I"))
    assert first.receive().type == "X"
    first.socket.close()
    second = fakes[1].take()
    second.receive()
    reply(second, "f")
    FakeServer.serve(second)
    thread.join(20 * SLOWDOWN)
    assert found == [[]]


def test_server_that_hangs_in_the_login_leaves_time_for_the_next(make_router, fakes):
    """Two addresses share server_connect_timeout."""
    hung = FakeServer(raw=True)
    router = make_router(hosts(at(hung, fakes[0]), server_connect_timeout="2s",
                               server_close_timeout="100ms"))
    found = []
    thread = ask_for_one(router, found)
    FakeServer.serve(fakes[0].take())
    thread.join(20 * SLOWDOWN)
    hung.close()
    assert found == [[]]

# SPDX-License-Identifier: ISC
"""connection_budget: auto, and budgets that PostgreSQL does not have."""
import os
import re
import signal
import struct
import types

import psycopg
import pytest
from support import wire as w
from support.fakeserver import FakeServer
from support.postgres import Postgres
from support.wait import wait_until

pytestmark = pytest.mark.router_only

MAX, RESERVED = 30, 3
OWN = {"user": "other", "password": "other secret", "budget_check_interval": "200ms"}


@pytest.fixture(scope="module")
def cluster():
    """One of our own: its limits change."""
    cluster = Postgres()
    try:
        cluster.create()
        yield cluster
    finally:
        cluster.destroy()


@pytest.fixture
def pg(cluster):
    """With 30 connections, 3 of them for superusers."""
    limit(cluster, MAX)
    yield cluster
    if not cluster.is_running():
        cluster.start()
    cluster.terminate()


def limit(cluster, connections):
    """Another max_connections, which needs a restart."""
    if cluster.is_running() and cluster.sql("SHOW max_connections")[0][0] == str(connections):
        return
    cluster.sql(f"ALTER SYSTEM SET max_connections = {connections}",
                "ALTER SYSTEM SET max_wal_senders = 2")
    cluster.restart()


@pytest.fixture
def auto(make_router, pg):
    """A router whose budget is what PostgreSQL allows."""
    def make(host=None, **more):
        return make_router({"hosts": {"main": {"connection_budget": "auto", **OWN, **(host or {})}},
                            **more}, postgres_of_test=pg)
    return make


def budget(router):
    return host(router)["connection_budget"]


def host(router):
    return router.show("hosts")[0]


def wait_budget(router, expected, patience=10):
    wait_until(lambda: budget(router) == expected, patience, f"a budget of {expected}")


def lines(router, event):
    return re.findall(rf"^[-0-9]+ [0-9:.]+ UTC \w+ +{event} (.*)$", router.log(), re.M)


def test_follows_postgresql(auto, pg):
    """max_connections less what is reserved; also after a restart with another one."""
    router = auto()
    wait_budget(router, MAX - RESERVED)
    assert lines(router, "budget")[0].startswith(
        "host=main before=3 after=27 max_connections=30 reserved=3")
    row = host(router)
    assert row["budget_source"] == "auto" and row["error"] is None
    assert (row["server_max_connections"], row["server_reserved"]) == (30, 3)
    for connections in (50, 20):
        limit(pg, connections)
        wait_budget(router, connections - RESERVED)
        with router.transactional.connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert re.search("before=47 after=17 ", lines(router, "budget")[-1])


def test_floors_are_parts_of_what_there_is(auto):
    """What no workload claims is divided, and the router keeps one of its own."""
    router = auto(workloads={"session": {"guaranteed_connections": 6}})
    wait_budget(router, 27)
    shares = {row["workload"]: row for row in router.show("budget")}
    assert shares["session"]["guaranteed"] == 6
    assert shares["transactional"]["guaranteed"] == 20
    assert shares["transactional"]["max"] == 27
    assert shares["(router)"]["guaranteed"] == shares["(router)"]["max"] == 1


def test_floors_that_do_not_fit_become_smaller(auto, pg):
    """In proportion, with the sum spelled out; and come back."""
    router = auto(workloads={"transactional": {"guaranteed_connections": 20},
                             "session": {"guaranteed_connections": 10}})

    def floors():
        return {row["workload"]: row["guaranteed"] for row in router.show("budget")}

    wait_budget(router, 27)
    assert floors() == {"transactional": 17, "session": 9, "(router)": 1}
    assert "transactional 20 + session 10 + router itself 1" in lines(router, "budget-floors")[-1]
    limit(pg, 40)
    wait_budget(router, 37)
    assert floors() == {"transactional": 20, "session": 10, "(router)": 1}


@pytest.mark.parametrize("options, expected", [
    ({"auto_leave": 7}, 20),
    ({"auto_share": 50}, 13),
    ({"auto_leave": 5, "auto_share": 50}, 11),
    ({"auto_leave": 500}, 1),
], ids=str)
def test_leaves_a_part_to_others(auto, options, expected):
    router = auto(options)
    wait_until(lambda: lines(router, "budget"), 10, "PostgreSQL is asked")
    wait_budget(router, expected)
    router.reload({"hosts": {"main": {"auto_leave": 2, "auto_share": 100}}})
    wait_budget(router, 25)
    assert f"before={expected} after=25 " in lines(router, "budget")[-1]


def test_serves_though_its_own_login_fails(auto):
    """The sum of the floors is the budget until PostgreSQL lets us ask; why not is in the
    log once, however often it is tried; and a reload with the right password helps."""
    router = auto({"password": "wrong"}, workloads={
        "transactional": {"guaranteed_connections": 4}, "session": {"guaranteed_connections": 2}})
    wait_until(lambda: lines(router, "budget-check-failed"), 10, "the login is tried")
    assert budget(router) == 7
    assert host(router)["budget_source"] == "auto (not read yet)"
    assert "password authentication failed" in host(router)["error"]
    with router.transactional.connect() as one, router.session.connect() as two:
        assert one.execute("SELECT 1").fetchone() == two.execute("SELECT 1").fetchone() == (1,)
    wait_until(lambda: len(lines(router, "server-login-failed")) >= 2, 10, "it is tried again")
    failed = lines(router, "budget-check-failed")
    assert len(failed) == 1 and "sqlstate=28P01" in failed[0] and "other" in failed[0]
    router.reload({"hosts": {"main": {"password": OWN["password"]}}})
    wait_budget(router, 27)
    assert len(lines(router, "budget-check-failed")) == 1


def test_tries_less_and_less_often(auto):
    """A wrong password is no reason to fill PostgreSQL's log."""
    router = auto({"password": "wrong", "budget_check_interval": "100ms"})
    wait_until(lambda: len(lines(router, "server-login-failed")) >= 5, 30, "five tries")
    stamps = [float(m) for m in re.findall(
        r"^[-0-9]+ [0-9]+:[0-9]+:([0-9.]+) UTC \w+ +server-login-failed", router.log(), re.M)]
    pauses = [(b - a) % 60 for a, b in zip(stamps, stamps[1:])]
    assert pauses[3] > 2 * pauses[0] and pauses[3] > 0.7, pauses


def test_fixed_budget_above_what_there_is(make_router, pg):
    """A warning with the sum at run time; a reload to such a budget is refused."""
    router = make_router({"hosts": {"main": {"connection_budget": 20, **OWN}}},
                         postgres_of_test=pg)
    wait_until(lambda: host(router)["server_max_connections"] == 30, 10, "PostgreSQL is asked")
    router.expect_error("reload-failed")
    said = router.reload({"hosts": {"main": {"connection_budget": 120}}}, expect="error")
    assert ("hosts.main.connection_budget: 120 is more than PostgreSQL has for this router:"
            " max_connections 30 - reserved 3 = 27") in said
    assert budget(router) == 20
    assert not lines(router, "budget-above")
    router.reload({"hosts": {"main": {"connection_budget": 27}}})
    assert budget(router) == 27


def test_start_with_more_than_there_is_is_refused(make_router, pg):
    router = make_router({"hosts": {"main": {"connection_budget": 120, **OWN}}},
                         start=False, postgres_of_test=pg)
    router.expected_exit = 1
    router.expect_error("start-failed")
    router.start(wait=False)
    assert router.wait_exit() == 1
    assert ("hosts.main.connection_budget: 120 is more than PostgreSQL has for this router:"
            " max_connections 30 - reserved 3 = 27") in router.log()


def test_start_does_not_need_postgresql(make_router, pg):
    """What cannot be asked now is told when it can."""
    pg.stop()
    try:
        router = make_router({"hosts": {"main": {"connection_budget": 120, **OWN}}},
                             postgres_of_test=pg)
        assert budget(router) == 120
    finally:
        pg.start()
    wait_until(lambda: lines(router, "budget-above"), 15, "the warning")


def test_fixed_budget_that_has_become_too_large(make_router, pg):
    router = make_router({"hosts": {"main": {"connection_budget": 25, **OWN}}},
                         postgres_of_test=pg)
    wait_until(lambda: host(router)["server_max_connections"] == 30, 10, "PostgreSQL is asked")
    limit(pg, 20)
    wait_until(lambda: lines(router, "budget-above"), 10, "the warning")
    assert "max_connections 20 - reserved 3 = 17 < connection_budget 25" in \
        lines(router, "budget-above")[0]
    assert budget(router) == 25
    assert host(router)["budget_source"] == "file"
    limit(pg, 60)
    wait_until(lambda: lines(router, "budget-can-be-had"), 15, "the all-clear")
    assert len(lines(router, "budget-above")) == 1


@pytest.mark.parametrize("rights", ["", "pg_monitor"], ids=["no rights", "pg_monitor"])
def test_other_peoples_connections_are_told(auto, pg, rights):
    """Those that make the budget unobtainable: once, and when it is over.  The router's
    own are not among them, whatever its login may see."""
    role = f"watcher_{rights or 'plain'}"
    pg.sql(f"CREATE ROLE {role} LOGIN PASSWORD 'w' {'IN ROLE ' + rights if rights else ''}")
    router = auto({"user": role, "password": "w", "auto_leave": 4})
    with router.transactional.connect() as connection:
        connection.execute("SELECT 1")
        wait_budget(router, 23)
        crowd = [pg.connect() for _ in range(6)]
        wait_until(lambda: lines(router, "budget-crowded"), 10, "the warning")
        wait_until(lambda: host(router)["other_connections"] == 6, 5, "six are others'")
        for other in crowd:
            other.close()
        wait_until(lambda: lines(router, "budget-can-be-had"), 10, "the all-clear")
    told = lines(router, "budget-crowded")
    others = int(re.search(r"connection_budget 23 \+ others (\d+)", told[0])[1])
    assert 5 <= others <= 7, told        # one may be this test's own question
    assert len(told) == 1


def test_without_a_login_of_its_own_denials_are_told(make_router, pg):
    """Nothing is known but that PostgreSQL had no slot."""
    router = make_router({"hosts": {"main": {"connection_budget": 60, "max_connecting": 10}},
                          "workloads": {"transactional": {"query_wait_timeout": "5s"}}},
                         postgres_of_test=pg)
    wires = [router.transactional.wire() for _ in range(40)]
    for wire in wires:
        wire.send(w.query("SELECT pg_sleep(1)"))
    for wire in wires:
        wire.until_ready()
        wire.quit()
    wait_until(lambda: lines(router, "budget-denied"), 20, "the warning")
    assert "connection_budget 60" in lines(router, "budget-denied")[0]


def test_own_login_is_within_the_budget(auto, pg):
    """With more clients than there is room for, PostgreSQL never sees more than the
    budget, the router's own connection included."""
    router = auto({"auto_leave": 7, "budget_check_interval": "100ms"})
    wait_budget(router, 20)
    wires = [router.transactional.wire() for _ in range(60)]
    most = own = 0
    with pg.connect(dbname="postgres") as judge:
        for _ in range(20):
            for wire in wires:
                wire.send(w.query("SELECT pg_sleep(0.005)"))
            seen = judge.execute(
                "SELECT count(*), count(*) FILTER (WHERE usename = 'other')"
                " FROM pg_stat_activity WHERE backend_type = 'client backend'"
                " AND pid <> pg_backend_pid()").fetchone()
            most, own = max(most, seen[0]), max(own, seen[1])
            for wire in wires:
                assert w.errors(wire.until_ready()) == []
    for wire in wires:
        wire.quit()
    assert 15 < most <= 20
    assert own == 1
    assert not lines(router, "budget-denied")


def test_no_client_can_ask_for_the_routers_workload(make_router, pg):
    """Its name is none that the file could give, so a workload may be called router."""
    router = make_router({
        "hosts": {"main": {"connection_budget": "auto", **OWN}},
        "workloads": {"router": {"pool_mode": "transaction", "guaranteed_connections": 3}}},
        postgres_of_test=pg)
    wait_budget(router, 27)
    shares = {row["workload"]: row["guaranteed"] for row in router.show("budget")}
    assert shares["router"] == 3 and shares["(router)"] == 1
    with router.router.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def stopped_backend(router, pg):
    """The router's own session, stopped, with a question to answer."""
    wait_budget(router, 27)
    pid = pg.backends("usename = 'other'")[0][0]
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: any(row["state"] == "active" and row["user"] == "other"
                           for row in router.show("servers")), 5, "it is asked")
    return pid


def test_ends_with_a_question_under_way(auto, pg):
    """Nothing hangs and nothing is lost (the sanitizer looks)."""
    router = auto()
    pid = stopped_backend(router, pg)
    try:
        assert router.stop() == 0
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_session_that_is_ended_in_the_middle(auto, pg):
    """What was known stays, and the next look finds PostgreSQL again."""
    router = auto()
    pid = stopped_backend(router, pg)
    pg.sql(f"SELECT pg_terminate_backend({pid})")
    os.kill(pid, signal.SIGCONT)
    wait_until(lambda: lines(router, "budget-check-failed"), 10, "it is lost")
    assert "sqlstate=57P01" in lines(router, "budget-check-failed")[0]
    assert budget(router) == 27
    wait_until(lambda: lines(router, "budget-check"), 10, "PostgreSQL answers again")


def test_a_session_that_does_not_answer(auto, pg):
    """It is given up, its unit is quarantined until PostgreSQL has closed, and the next
    look has another one."""
    router = auto({"server_close_timeout": "1h"})
    pid = stopped_backend(router, pg)
    try:
        wait_until(lambda: lines(router, "budget-check-failed"), 20, "it is given up")
        assert "in time" in lines(router, "budget-check-failed")[0]
        wait_until(lambda: host(router)["closing"] == 1, 5, "it is closing")
        assert budget(router) == 27
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: lines(router, "budget-check"), 20, "PostgreSQL answers again")
    assert host(router)["closing"] == 0


def test_gives_way_where_it_has_no_floor(make_router, pg):
    """With a fixed budget the router's own connection is borrowed: workloads get what they
    are guaranteed at once, and the router asks again when something is free."""
    router = make_router({
        "hosts": {"main": {"connection_budget": 2, **OWN}},
        "workloads": {"transactional": None, "session": {"guaranteed_connections": 2}}},
        postgres_of_test=pg)
    wait_until(lambda: pg.count("usename = 'other'") == 1, 10, "PostgreSQL is asked")
    with router.session.connect() as one:
        with router.session.connect() as two:
            assert one.execute("SELECT 1").fetchone() == two.execute("SELECT 1").fetchone() == (1,)
            assert pg.count("usename IN ('app_scram', 'other')") == 2
            (waits,) = wait_until(lambda: router.show("waiting"), 5, "the router waits")
            assert (waits["workload"], waits["kind"]) == ("(router)", "errand")
            wait_until(lambda: lines(router, "budget-check-failed"), 20, "it gives up")
            assert "no connection was free" in lines(router, "budget-check-failed")[0]
        wait_until(lambda: lines(router, "budget-check"), 20, "it has asked again")
    assert len(lines(router, "budget-check-failed")) == 1


def data_row(*values):
    parts = [struct.pack("!i", -1) if value is None else
             struct.pack("!i", len(value)) + value.encode() for value in values]
    return w.message("D", struct.pack("!H", len(values)) + b"".join(parts))


END = w.message("C", b"SELECT 1\0") + w.message("Z", b"I")
REFUSED = w.message("E", b"SERROR\0VERROR\0C42501\0Mpermission denied\0\0")


def answer_well(fake, connection):
    """On the same connection, or on another one if that was given up; it is closed then,
    as PostgreSQL does, for the router counts it until it is."""
    while True:
        try:
            asked = connection.receive()
        except (OSError, EOFError):
            asked = None
        if asked is None or asked.type == "X":
            connection.socket.close()
            connection = fake.take()
        elif b"max_connections" in asked.body:
            connection.send(data_row("100", "3", "2", "7") + END)
            return
        else:
            connection.send(w.message("C", b"ROLLBACK\0") + w.message("Z", b"I"))


@pytest.mark.parametrize("answer", [
    END,
    data_row("100", "3", None) + END,
    data_row("100", "3", None, "7", "8") + END,
    data_row(*["1"] * 17) + END,
    data_row("-100", "3", None, "7") + END,
    data_row("a hundred", "3", None, "7") + END,
    data_row("", "3", None, "7") + END,
    data_row("99999999999999999999", "3", None, "7") + END,
    data_row("100", "3", None, "7") + data_row("100", "x", None, "8") + END,
    data_row("100", "3", None, "7" * 20000) + END,
    w.message("D", struct.pack("!Hi", 1, 2000) + b"short") + END,
    data_row("100", "3", None, "7") + REFUSED + w.message("Z", b"I"),
    REFUSED + w.message("Z", b"I"),
    w.message("q", b"?"),
    w.message("Z", b"T"),
    b"nonsense, and more of it",
    b"",
], ids=["no row", "too few columns", "too many columns", "far too many columns", "negative",
        "words", "empty", "huge", "one bad row", "a long row", "a row cut short",
        "an error after a row", "an error", "unknown message", "no result", "no protocol",
        "the end"])
def test_nonsense_is_not_believed(make_router, answer):
    """The router stays as it is, and believes the next good answer."""
    fake = FakeServer()
    router = make_router({
        "hosts": {"main": {"connection_budget": "auto", **OWN, "dbname": "watch",
                           "server_close_timeout": "100ms"}}},
        postgres_of_test=types.SimpleNamespace(port=fake.port))
    try:
        connection = fake.take()
        connection.receive()
        connection.send(answer)
        if not answer:
            connection.socket.close()
        wait_until(lambda: lines(router, "budget-check-failed"), 10, "it is not believed")
        assert budget(router) == 3
        with router.transactional.wire(dbname="alive") as wire:
            wire.query("SELECT 1")
        answer_well(fake, connection)
        wait_budget(router, 95)
    finally:
        fake.close()


def test_shrinks_as_transactions_end(auto, pg):
    """A smaller budget takes nothing from those who have it, and is kept from then on."""
    router = auto({"auto_leave": 2})
    wait_budget(router, 25)
    wires = [router.transactional.wire() for _ in range(20)]
    for wire in wires:
        wire.query("BEGIN")
    router.reload({"hosts": {"main": {"auto_leave": 20}}})
    wait_budget(router, 7)
    for wire in wires:
        assert wire.value("SELECT 1") == "1"
        assert wire.query("COMMIT")[-1].body == b"I"
    wait_until(lambda: pg.count("usename IN ('app_scram', 'other')") <= 7, 10, "the rest is closed")
    # PostgreSQL has closed a little before the router has seen it.
    wait_until(lambda: host(router)["used"] <= 7, 10, "the books say the same")
    for wire in wires:
        assert wire.value("SELECT 2") == "2"
        wire.quit()


def test_postgresql_is_down_at_the_start(auto, pg):
    """Clients wait, and so does the router's question."""
    pg.stop()
    router = auto()
    with pytest.raises((psycopg.OperationalError, RuntimeError)):
        with router.transactional.connect(connect_timeout=2):
            pass
    assert budget(router) == 3
    pg.start()
    wait_budget(router, 27)

# SPDX-License-Identifier: ISC
"""The views of the budget: they agree with each other and with PostgreSQL, under load, with
thousands who wait, and while a budget shrinks."""
import contextlib
import os
import re
import signal

import pytest
from support import wire as w
from support.storm import Storm
from support.wait import wait_until

pytestmark = pytest.mark.router_only

WHO = [(user, dbname) for user in ("app_scram", "other") for dbname in ("app", "second")]
OF_USED = ("idle", "leased", "connecting", "closing")


@pytest.fixture
def two_hosts(make_router, postgres):
    """Two names for one PostgreSQL, with a budget each."""
    return make_router({
        "process": {"max_client_conn": 4000},
        "hosts": {"main": {"connection_budget": 12},
                  "side": {"host": "127.0.0.1", "port": postgres.port, "connection_budget": 5}},
        "workloads": {
            "transactional": {"guaranteed_connections": 3, "max_connections": 12},
            "session": {"guaranteed_connections": 2, "max_connections": 4}},
        "databases": {"second": {"host": "side"}},
        "defaults": {"query_wait_timeout": "120s"},
        "auth": {"auth_type": "trust"},
        "log": {"log_connections": False, "log_disconnections": False}})


def add_up(rows, names):
    return {name: sum(row[name] for row in rows) for name in names}


def check_hosts(hosts, budget):
    """What must hold of one host at every moment."""
    for host in hosts.values():
        assert host["used"] == sum(host[name] for name in OF_USED), host
        assert host["used"] + host["free"] - host["surplus"] == host["connection_budget"], host
        assert host["used"] <= host["connection_budget"], host
    for row in budget:
        assert row["used"] == sum(row[name] for name in OF_USED), row
        assert row["borrowed"] == max(0, row["used"] - row["guaranteed"]), row
        assert row["lent"] <= max(0, row["guaranteed"] - row["used"]), row
        assert row["used"] <= row["max"], row
    for name, host in hosts.items():
        rows = [row for row in budget if row["host"] == name]
        total = add_up(rows, ("guaranteed", "borrowed", "lent"))
        unclaimed = host["connection_budget"] - total["guaranteed"]
        assert total["lent"] == max(0, total["borrowed"] - unclaimed), rows
        assert total["guaranteed"] == host["guaranteed"]


def test_agree_under_load(two_hosts, postgres):
    """Each view is right by itself at every moment; and when nothing moves all say the
    same, as does PostgreSQL."""
    router = two_hosts
    looks = lent = waiting = 0
    with Storm(router, 6, WHO, transactional=60, session=1) as storm:
        storm.goes_on()
        for _ in range(40):
            hosts = {row["host"]: row for row in router.show("hosts")}
            budget = router.show("budget")
            assert {(row["host"], row["workload"]) for row in budget} == {
                (h, p) for h in ("main", "side") for p in ("transactional", "session")}
            check_hosts(hosts, budget)
            lent += sum(row["lent"] for row in budget)
            waiting += len(router.show("waiting"))
            looks += 1
        storm.goes_on()
    assert looks == 40 and lent > 0 and waiting > 0, (lent, waiting)

    def at_rest():
        hosts = {row["host"]: row for row in router.show("hosts")}
        budget, servers = router.show("budget"), router.show("servers")
        check_hosts(hosts, budget)
        assert router.show("waiting") == []
        for name, host in hosts.items():
            rows = [row for row in budget if row["host"] == name]
            columns = ("used", "borrowed", "waiting", *OF_USED)
            assert add_up(rows, columns) == {column: host[column] for column in columns}
            assert host["used"] == sum(row["host"] == name for row in servers)
        for row in router.show("workloads"):
            rows = [b for b in budget if b["workload"] == row["workload"]]
            columns = ("guaranteed", "max", "used", "borrowed", "idle", "waiting")
            assert add_up(rows, columns) == {column: row[column] for column in columns}
            assert row["active"] == sum(b["leased"] for b in rows)
            assert row["host"] == "main, side" and row["clients"] == 0
        backends = postgres.backends("usename <> 'postgres'")
        assert {row["remote_pid"] for row in servers} == {row[0] for row in backends}
        return True
    wait_until(at_rest, 15, "all views agree")


def test_two_thousand_wait(two_hosts):
    """Each is there once, in the order in which they came; nobody is left when all are
    served."""
    with contextlib.ExitStack() as stack:
        # Made before the others: psycopg's select() goes no further than 1024.
        admin = stack.enter_context(two_hosts.admin())

        def show(what):
            return admin.execute(f"SHOW {what}").fetchall()

        def client(who, **more):
            return stack.enter_context(
                two_hosts.transactional.wire(user=who[0], dbname=who[1], **more))

        holders = [client(who) for who in [WHO[0]] * 12 + [WHO[1]] * 5]
        for holder in holders:
            holder.query("BEGIN")
        wires = [client(WHO[i % 2], application_name=f"c{i}") for i in range(2000)]
        names = {row["id"]: row["application_name"] for row in show("CLIENTS")}
        for count in (1000, 2000):
            for wire in wires[count - 1000:count]:
                wire.send(w.query("SELECT 1"))
            wait_until(lambda count=count: sum(row["waiting"] for row in show("HOSTS")) == count,
                       20, f"{count} wait")
        rows = show("WAITING")
        assert len(rows) == len({row["id"] for row in rows}) == 2000
        assert {names[row["id"]] for row in rows} == {f"c{i}" for i in range(2000)}
        # The first thousand waited before the second asked.
        assert {names[row["id"]] for row in rows[:1000]} == {f"c{i}" for i in range(1000)}
        waits = [row["wait"] * 1000000 + row["wait_us"] for row in rows]
        assert waits == sorted(waits, reverse=True)
        for host, database in (("main", "app"), ("side", "second")):
            mine = [row for row in rows if row["host"] == host]
            assert {row["database"] for row in mine} == {database}
            assert [row["ahead"] for row in mine] == list(range(1000))
            assert [row["position"] for row in mine] == list(range(1, 1001))
        assert {row["reason"] for row in rows} == {"max_connections"}
        (shown,) = [row for row in show("WORKLOADS") if row["workload"] == "transactional"]
        assert (shown["waiting"], shown["waiting_for"]) == (2000, "max_connections")
        for holder in holders:
            holder.query("COMMIT")
        for wire in wires:
            assert w.rows(wire.until_ready()) == [("1",)]
        assert show("WAITING") == []


def test_tells_how_far_a_shrunk_budget_is(make_router):
    """In the log when it begins, as it changes, and when it is done; and as a number."""
    router = make_router({"hosts": {"main": {"connection_budget": 8}}, "workloads": {
        "transactional": {"guaranteed_connections": 2, "max_connections": 8},
        "session": {"guaranteed_connections": 1, "max_connections": 1}}})

    def told():
        return re.findall(r" info +budget-drain (.*)", router.log())

    wires = [router.transactional.wire() for _ in range(7)]
    for wire in wires:
        wire.query("BEGIN")
    assert told() == []
    router.reload({"hosts": {"main": {"connection_budget": 4}}})
    wait_until(told, 5, "it is told")
    (host,) = router.show("hosts")
    assert (host["used"], host["connection_budget"], host["free"], host["surplus"]) == (7, 4, 0, 3)
    check = router.show("budget")
    assert [(row["borrowed"], row["lent"]) for row in check] == [(5, 0), (0, 1)]
    wires[0].query("COMMIT")
    wait_until(lambda: len(told()) == 2, 5, "it is told that it goes on")
    assert router.show("hosts")[0]["surplus"] == 2
    for wire in wires[1:]:
        wire.query("COMMIT")
    wait_until(lambda: told()[-1].endswith("surplus=0"), 5, "it is done")
    assert told()[:2] == ["host=main used=7 budget=4 surplus=3",
                          "host=main used=6 budget=4 surplus=2"]
    assert router.show("hosts")[0]["surplus"] == 0
    for wire in wires:
        wire.close()


def test_quarantine(make_router, postgres):
    """A server that PostgreSQL does not close keeps its unit, and is shown as such."""
    router = make_router({"hosts": {"main": {"connection_budget": 3,
                                             "server_close_timeout": "60s"}},
                          "defaults": {"server_idle_timeout": "500ms"}})
    with router.transactional.wire() as wire:
        pid = int(wire.value("SELECT pg_backend_pid()"))
        os.kill(pid, signal.SIGSTOP)

        def row():
            return router.show("hosts")[0]
        try:
            wait_until(lambda: row()["closing"] == 1, 10, "it is to be closed")
            wait_until(lambda: row()["quarantined"] == 1, 10, "it is not")
            assert (row()["used"], row()["closing"]) == (1, 1)
        finally:
            os.kill(pid, signal.SIGCONT)
        wait_until(lambda: row()["used"] == 0, 10, "it is")
        assert row()["quarantined"] == 0


def test_why_a_host_is_not_reached(make_router, postgres):
    router = make_router({"hosts": {"main": {"server_login_retry": "10s"}},
                          "auth": {"auth_type": "trust"}})
    assert router.show("hosts")[0]["error"] is None
    postgres.stop()
    with router.transactional.raw() as wire:
        wire.send(w.startup("app_scram", "app"))

        def row():
            return router.show("hosts")[0]
        wait_until(lambda: row()["error"], 10, "it is told")
        assert 0 < row()["retry_ms"] <= 10000
        (waiting,) = router.show("waiting")
        assert (waiting["reason"], waiting["kind"]) == ("host", "client")
        (shown,) = [row for row in router.show("workloads")
                    if row["workload"] == "transactional"]
        assert shown["waiting_for"] == "host"


def test_errands_wait_too(make_router, postgres):
    """What the router itself wants to ask is no client's."""
    postgres.stop()
    router = make_router({"hosts": {"main": {
        "user": "other", "password": "other secret", "budget_check_interval": "200ms",
        "server_login_retry": "10s"}}})

    def rows():
        return router.show("waiting")
    (row,) = wait_until(rows, 10, "it waits")
    assert (row["workload"], row["user"], row["kind"], row["id"], row["reason"]) == (
        "(router)", "other", "errand", 0, "host")
    own = {row["workload"]: row for row in router.show("workloads")}["(router)"]
    assert (own["listen"], own["waiting"], own["clients"]) == (None, 1, 0)


def test_where_the_budget_comes_from(make_router, postgres):
    router = make_router({"hosts": {"side": {
        "host": "127.0.0.1", "port": postgres.port, "connection_budget": 5,
        "user": "other", "password": "other secret", "budget_check_interval": "200ms"}},
        "databases": {"second": {"host": "side"}}})

    def rows():
        return {row["host"]: row for row in router.show("hosts")}
    most = int(postgres.sql("SHOW max_connections")[0][0])
    wait_until(lambda: rows()["side"]["server_max_connections"] == most, 10, "it has asked")
    side, main = rows()["side"], rows()["main"]
    assert (side["budget_source"], side["connection_budget"]) == ("file", 5)
    assert side["server_reserved"] >= 3
    # Nobody asks for the host that has no login of the router's own.
    assert (main["server_max_connections"], main["server_reserved"],
            main["other_connections"]) == (0, 0, 0)


def test_workloads_that_are_gone(make_router):
    """They are shown until they have drained."""
    router = make_router()
    wire = router.session.wire()
    wire.query("SELECT 1")
    router.reload({"workloads": {"session": None}})

    def rows(what):
        return {row["workload"]: row for row in router.show(what)}
    gone = rows("budget")["session"]
    assert (gone["guaranteed"], gone["max"], gone["used"], gone["borrowed"]) == (0, 0, 1, 1)
    assert (rows("workloads")["session"]["listen"], rows("workloads")["session"]["clients"]) == (
        None, 1)
    wire.quit()
    wait_until(lambda: set(rows("budget")) == {"transactional"}, 10, "it is gone")
    wait_until(lambda: set(rows("workloads")) == {"transactional"}, 10, "it is gone")

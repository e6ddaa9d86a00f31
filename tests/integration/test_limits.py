# SPDX-License-Identifier: ISC
"""Ceilings: servers per host, workload, pool, user, database; clients; queues."""
import threading

import psycopg
import pytest
from support import wire as w
from support.wait import wait_until

pytestmark = pytest.mark.router_only


def refused(endpoint, **who):
    try:
        endpoint.wire(**who).quit()
        return None
    except RuntimeError as error:
        return str(error).split(":", maxsplit=1)[0]


class BudgetWatch:
    """Counts the router's servers with PostgreSQL's own eyes, all along."""

    def __init__(self, postgres):
        self.postgres, self.most, self.samples = postgres, 0, 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        with self.postgres.connect() as connection:
            while not self.stop.is_set():
                count = connection.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'app%'"
                    " OR usename = 'other'").fetchone()[0]
                self.most, self.samples = max(self.most, count), self.samples + 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


def test_budget_is_a_hard_cap(make_router, postgres):
    """Two ports, three users, two databases, all wanting more than there is: at no
    moment does PostgreSQL see more servers than the budget."""
    router = make_router({"hosts": {"main": {"connection_budget": 6}},
                          "workloads": {"session": {"guaranteed_connections": 2},
                                        "transactional": {"guaranteed_connections": 4}},
                          "defaults": {"query_wait_timeout": "60s"}})
    problems = []

    def work(endpoint, user, dbname):
        try:
            for _ in range(6):
                with endpoint.wire(user=user, dbname=dbname) as wire:
                    for _ in range(5):
                        assert w.errors(wire.query("SELECT pg_sleep(0.003)")) == []
                    wire.send(w.terminate())
        except BaseException as problem:  # noqa: B902
            problems.append(repr(problem))

    with BudgetWatch(postgres) as watch:
        threads = [threading.Thread(target=work, args=(endpoint, user, dbname))
                   for endpoint in (router.session, router.transactional)
                   for user in ("app_scram", "app_md5", "other")
                   for dbname in ("app", "second") for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not problems, problems[:3]
    assert watch.samples > 10
    assert 2 <= watch.most <= 6


def test_max_connections_of_a_workload(make_router, postgres):
    router = make_router({"workloads": {"transactional": {
        "guaranteed_connections": 2, "max_connections": 2, "query_wait_timeout": "1500ms"}}})
    with router.transactional.wire() as one, router.transactional.wire() as two, \
            router.transactional.wire() as three:
        one.query("BEGIN")
        two.query("BEGIN")
        assert w.errors(three.query("SELECT 1")) == ["57014"]
        with router.session.connect() as connection:
            connection.execute("SELECT 1")
        one.query("COMMIT")
        assert three.value("SELECT 1") == "1"


def test_default_pool_size(make_router, postgres):
    """A pool's own limit, below the workload's."""
    router = make_router({"workloads": {"transactional": {
        "default_pool_size": 1, "query_wait_timeout": "1500ms"}}})
    with router.transactional.wire() as one, router.transactional.wire() as two, \
            router.transactional.wire(user="other") as third:
        one.query("BEGIN")
        assert w.errors(two.query("SELECT 1")) == ["57014"]
        assert third.value("SELECT 1") == "1"
        assert postgres.count("usename = 'app_scram'") == 1


def test_max_db_connections(make_router, postgres):
    router = make_router({"databases": {"app": {
        "host": "main", "max_db_connections": 1}}, "defaults": {"query_wait_timeout": "1500ms"}})
    with router.transactional.wire() as one, router.transactional.wire(user="other") as two, \
            router.transactional.wire(dbname="second") as elsewhere:
        one.query("BEGIN")
        assert w.errors(two.query("SELECT 1")) == ["57014"]
        assert elsewhere.value("SELECT 1") == "1"
        assert postgres.count("datname = 'app'") == 1


def test_max_user_connections(make_router, postgres):
    router = make_router({"users": {"app_scram": {"max_user_connections": 1}},
                          "defaults": {"query_wait_timeout": "1500ms"}})
    with router.transactional.wire() as one, router.transactional.wire(dbname="second") as two, \
            router.transactional.wire(user="other") as else_:
        one.query("BEGIN")
        assert w.errors(two.query("SELECT 1")) == ["57014"]
        assert else_.value("SELECT 1") == "1"
        assert postgres.count("usename = 'app_scram'") == 1


@pytest.mark.parametrize("changes", [
    {"process": {"max_client_conn": 3}},
    {"workloads": {"transactional": {"max_client_conn": 3}}},
    {"databases": {"app": {"host": "main", "max_db_client_connections": 3}}},
    {"users": {"app_scram": {"max_user_client_connections": 3}}},
], ids=["process", "workload", "database", "user"])
def test_client_limits(make_router, changes):
    """Over the limit: FATAL 53300 for the newcomer, nothing for those who are in; a
    place is free again when one leaves."""
    router = make_router(changes)
    clients = [router.transactional.wire() for _ in range(3)]
    assert refused(router.transactional) == "53300"
    assert [client.value("SELECT 1") for client in clients] == ["1"] * 3
    clients.pop().quit()
    wait_until(lambda: refused(router.transactional) is None, 5, "a place is free")
    for client in clients:
        client.quit()


def test_administrators_get_in_when_it_is_full(make_router):
    router = make_router({"process": {"max_client_conn": 2}})
    clients = [router.transactional.wire() for _ in range(2)]
    assert refused(router.transactional) == "53300"
    assert router.show("version")
    for client in clients:
        client.quit()


def test_max_waiting(make_router):
    """The queue has a limit: over it the answer comes at once, as an ERROR that keeps
    the client."""
    router = make_router({"workloads": {"transactional": {
        "guaranteed_connections": 1, "max_connections": 1, "max_waiting": 1}}})
    with router.transactional.wire() as holder, router.transactional.wire() as waiter, \
            router.transactional.wire() as late:
        holder.query("BEGIN")
        waiter.send(w.query("SELECT 'waited'"))
        wait_until(lambda: router.pool().get("cl_waiting") == 1, 5, "one waits")
        answer = late.query("SELECT 'late'")
        assert w.errors(answer) == ["53300"]
        assert answer[0].fields["S"] == "ERROR"
        holder.query("COMMIT")
        assert w.rows(waiter.until_ready()) == [("waited",)]
        assert late.value("SELECT 'late'") == "late"


def test_connection_storm_is_paced(make_router, postgres):
    """Fifty sessions at once: at most max_connecting logins are under way together, and
    all get through."""
    router = make_router({"hosts": {"main": {"connection_budget": 60, "max_connecting": 2}},
                          "workloads": {"session": {"guaranteed_connections": 50},
                                        "transactional": {"guaranteed_connections": 5}}})
    wires = []
    for _ in range(50):
        wire = router.session.raw()
        wire.login("app_scram", router.session.dsn()["password"], "app")
        wire.send(w.query("SELECT 1"))
        wires.append(wire)
    for wire in wires:
        assert w.rows(wire.until_ready()) == [("1",)]
    assert postgres.count("usename = 'app_scram'") == 50
    for wire in wires:
        wire.quit()


def test_role_limit_of_postgresql_is_told(make_router, postgres):
    """53300 for a role with CONNECTION LIMIT reaches the client with PostgreSQL's own
    SQLSTATE, and other users are not blocked."""
    postgres.sql("ALTER ROLE app_plain CONNECTION LIMIT 0")
    try:
        router = make_router({"defaults": {"query_wait_timeout": "2s"}})
        router.expect_error("53300|too many connections")
        with pytest.raises((RuntimeError, psycopg.Error), match="53300|too many connections"):
            router.session.wire(user="app_plain").value("SELECT 1")
        with router.session.connect() as connection:
            connection.execute("SELECT 1")
    finally:
        postgres.sql("ALTER ROLE app_plain CONNECTION LIMIT -1")

# SPDX-License-Identifier: ISC
"""docs/troubleshooting.md, followed: the symptom is brought about, the view that the page
names tells of it, and what the page advises helps.  What other tests follow to the end
(test_evening.py, test_prepared.py, test_restart.py and so on) is not repeated here."""
import contextlib
import re
import subprocess

import psycopg
import pytest
from support import wire as w
from support.net import free_port, listening_ports
from support.postgres import USERS
from support.wait import wait_until
from support.web import Web

pytestmark = pytest.mark.router_only


def row(router, view, **wanted):
    (found,) = [r for r in router.show(view)
                if all(r[key] == value for key, value in wanted.items())]
    return found


def told(router, *words):
    wait_until(lambda: any(all(word in line for word in words)
                           for line in router.log().splitlines()), 10, f"the log says {words}")


def value_of(router, key):
    return row(router, "settings", key=key)["value"]


def test_clients_wait_though_servers_are_idle(make_router):
    router = make_router({
        "hosts": {"main": {"connection_budget": 4}}, "auth": {"auth_type": "trust"},
        "workloads": {"transactional": {"guaranteed_connections": 3},
                      "session": {"guaranteed_connections": 1, "max_connections": 3}}})
    with router.session.wire() as first, router.transactional.wire() as other:
        first.query("SELECT 1")
        other.query("SELECT 1")
        assert row(router, "budget", workload="transactional")["idle"] == 1
        with router.session.wire() as second:
            second.send(w.query("SELECT 1"))
            wait_until(lambda: router.show("waiting"), 10, "it waits")
            assert row(router, "waiting")["reason"] == "guaranteed_connections"
            assert row(router, "budget", workload="transactional")["guaranteed"] == 3
            router.reload({"workloads": {"transactional": {"guaranteed_connections": 1}}})
            assert w.rows(second.until_ready()) == [("1",)]


def test_limits_of_a_user_and_a_database(make_router):
    router = make_router({"users": {"app_md5": {"max_user_client_connections": 1}},
                          "databases": {"app": {"host": "main", "max_db_client_connections": 2}}})
    with router.session.wire(user="app_md5"):
        with pytest.raises(psycopg.OperationalError, match='too many connections for role "app_md5"'
                           r"(.|\n)*max_user_client_connections"):
            router.session.connect(user="app_md5")
        user = row(router, "users", name="app_md5")
        assert user["current_client_connections"] == user["max_user_client_connections"] == 1
        with router.session.wire():
            with pytest.raises(psycopg.OperationalError, match='too many connections for database "app"'
                               r"(.|\n)*max_db_client_connections"):
                router.session.connect()
            database = row(router, "databases", name="app")
            assert database["current_client_connections"] == \
                database["max_client_connections"] == 2


def test_too_many_from_one_address(make_router):
    router = make_router({"process": {"max_client_conn_per_address": 2}})
    with router.session.wire(), router.transactional.wire():
        with pytest.raises(RuntimeError, match="too many connections from this address"):
            router.session.wire()
    told(router, "client-close", "reason=too-many-clients", "addr=127.0.0.1:")


@pytest.fixture
def rotated(postgres):
    """PostgreSQL has another password of this user meanwhile."""
    postgres.sql("ALTER ROLE other PASSWORD 'of tomorrow'")
    yield postgres
    postgres.sql(f"ALTER ROLE other PASSWORD '{USERS['other'][0]}'")


def test_password_changed_and_a_file_that_has_the_old_one(make_router, rotated):
    router = make_router()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        router.session.connect(user="other", password="of tomorrow")
    told(router, "client-auth-failed", 'reason="wrong password"', "other")
    # Who comes with the old one is let in by the file, and refused by PostgreSQL.
    router.expect_error("server-login-failed")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        router.session.connect(user="other")
    assert "password authentication failed" in row(router, "pools", user="other")["error"]
    userlist = router.directory / "userlist.txt"
    userlist.write_text(userlist.read_text().replace(USERS["other"][0], "of tomorrow"))
    assert router.command("RELOAD") == "RELOAD"
    with router.session.connect(user="other", password="of tomorrow") as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("other",)
    # The pool with the old password goes when it is unused.
    wait_until(lambda: not [r for r in router.show("pools") if r["user"] == "other" and r["error"]],
               40, "the error is gone")


def is_let_in(comes_in, password):
    try:
        return comes_in(password)
    except psycopg.OperationalError:
        return False


def test_password_changed_with_auth_query(make_router, postgres):
    """The new one works soon, though the old one would be good for a long time yet: the
    login that fails makes the router ask again."""
    postgres.sql("DROP ROLE IF EXISTS asker", "DROP ROLE IF EXISTS asked",
                 "CREATE ROLE asker SUPERUSER LOGIN PASSWORD 'asker'",
                 "CREATE ROLE asked LOGIN PASSWORD 'first'")
    hba = postgres.data / "pg_hba.conf"
    before = hba.read_text()
    hba.write_text("host all asker,asked 127.0.0.1/32 scram-sha-256\n" + before)
    try:
        postgres.reload()
        router = make_router({"auth": {"auth_query": "default", "auth_query_cache_ttl": "1h"},
                              "hosts": {"main": {"user": "asker", "password": "asker"}}})

        def comes_in(password):
            with router.session.connect(user="asked", password=password) as connection:
                return connection.execute("SELECT current_user").fetchone() == ("asked",)
        assert comes_in("first")
        postgres.sql("ALTER ROLE asked PASSWORD 'second'")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            comes_in("second")
        wait_until(lambda: is_let_in(comes_in, "second"), 10, "the new one is let in")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            comes_in("first")
    finally:
        hba.write_text(before)
        postgres.reload()
        postgres.terminate()
        postgres.sql("DROP ROLE asker", "DROP ROLE asked")


def test_database_of_another_port(make_router):
    router = make_router({"workloads": {"session": {"databases": ["second"]}}})
    with pytest.raises(psycopg.OperationalError, match='database "app" is not served on this port'):
        router.session.connect()
    assert "second" in value_of(router, "workloads.session.databases")
    router.reload({"workloads": {"session": {"databases": ["second", "app"]}}})
    with router.session.wire() as wire:
        assert wire.value("SELECT 1") == "1"


def test_startup_parameter_of_a_driver(make_router):
    router = make_router()
    for port in (router.transactional, router.session):
        with pytest.raises(RuntimeError, match="42704: unrecognized configuration parameter"):
            port.wire(made_up="1")
    told(router, "client-close", "reason=login-refused")
    router.reload({"defaults": {"ignore_startup_parameters": ["made_up"]}})
    for port in (router.transactional, router.session):
        with port.wire(made_up="1") as wire:
            assert wire.value("SELECT 1") == "1"


def binds(port):
    """A statement that is prepared on one server and bound on another; the SQLSTATEs."""
    with contextlib.ExitStack() as stack:
        one, two, three = (stack.enter_context(port.wire()) for _ in range(3))
        two.query("BEGIN")
        one.send(w.parse("SELECT 1", "mine"), w.sync())
        one.until_ready()
        three.query("BEGIN")
        two.query("COMMIT")
        one.send(w.bind([], "mine"), w.execute(), w.sync())
        return w.errors(one.until_ready())


def test_statement_that_does_not_exist(make_router):
    router = make_router({
        "hosts": {"main": {"connection_budget": 3}}, "defaults": {"max_prepared_statements": 0},
        "workloads": {"transactional": {"guaranteed_connections": 2, "max_connections": 2}}})
    assert binds(router.transactional) == ["26000"]
    assert value_of(router, "defaults.max_prepared_statements") == "0"
    router.reload({"defaults": {"max_prepared_statements": 100}})
    assert binds(router.transactional) == []


def test_too_much_memory_for_statements(make_router):
    router = make_router({"defaults": {"max_client_statement_memory": "20kB"}})
    with router.transactional.wire() as wire:
        failed = []
        for i in range(60):
            wire.send(w.parse(f"SELECT {i}, '{'x' * 900}'", f"s{i}"), w.sync())
            failed = [m for m in wire.until_ready() if m.type == "E"]
            if failed:
                break
        assert failed[0].sqlstate == "54000"
        assert "max_client_statement_memory" in failed[0].fields["H"]
        assert row(router, "clients", type="C", user="app_scram")["prepared_statements"] == i > 5
    router.reload({"defaults": {"max_client_statement_memory": "1MB"}})
    with router.transactional.wire() as wire:
        for i in range(60):
            wire.send(w.parse(f"SELECT {i}, '{'x' * 900}'", f"s{i}"), w.sync())
            assert w.errors(wire.until_ready()) == []


def test_no_more_files(make_router):
    port = free_port()
    router = make_router({"http": {"listen": f"127.0.0.1:{port}"}})
    wait_until(lambda: port in listening_ports(), 15, "it listens")
    limit = re.search(r"Max open files +(\d+) +(\d+)",
                      open(f"/proc/{router.process.pid}/limits", encoding="ascii").read())
    web = Web(port)

    def set_limit(number):
        subprocess.run(["prlimit", f"--pid={router.process.pid}", f"--nofile={number}:{limit[2]}"],
                       check=True)
    with contextlib.ExitStack() as stack:
        stack.enter_context(router.session.wire())
        before = web.metrics()
        set_limit(router.open_files() + 3)
        for _ in range(8):
            stack.enter_context(router.session.raw())
        told(router, "accept-failed", "Too many open files")
        set_limit(limit[1])
        after = web.metrics()
    assert after.value("process_open_fds") > before.value("process_open_fds")
    with router.session.wire() as wire:
        assert wire.value("SELECT 1") == "1"


def test_a_second_instance_has_the_budget_again(make_router, postgres):
    """Each has a budget that PostgreSQL has room for; both together have not."""
    own = {"user": "other", "password": USERS["other"][0], "budget_check_interval": "200ms",
           "server_login_retry": "100ms"}
    most = int(postgres.sql("SHOW max_connections")[0][0]) - \
        int(postgres.sql("SHOW superuser_reserved_connections")[0][0])
    config = {"auth": {"auth_type": "trust"},
              "hosts": {"main": {"connection_budget": most - 20, **own}},
              "workloads": {"session": {"guaranteed_connections": most - 30,
                                        "max_connections": most - 30}}}
    one, two = make_router(config), make_router(config)
    for router in (one, two):
        router.expect_error("server-login-failed")
    with contextlib.ExitStack() as stack:
        for _ in range(most - 32):
            stack.enter_context(one.session.wire()).send(w.query("SELECT 1"))
        wait_until(lambda: row(two, "hosts")["other_connections"] >= most - 32, 10, "it is seen")
        told(two, "budget-crowded")
        for _ in range(50):
            stack.enter_context(two.session.wire()).send(w.query("SELECT 1"))
        wait_until(lambda: row(two, "hosts")["denied"] > 0, 20, "PostgreSQL has no more")
        told(two, "budget-denied")
    # Each takes half of what there is: nobody is refused any more.
    for router in (one, two):
        router.reload({"hosts": {"main": {"connection_budget": "auto", "auto_share": 50,
                                          "budget_check_interval": "100ms"}},
                       "workloads": {"session": {"guaranteed_connections": "auto",
                                                 "max_connections": "auto"}}})
        wait_until(lambda r=router: 0 < row(r, "hosts")["connection_budget"] <= most // 2 + 1, 10,
                   "half of it")
    wait_until(lambda: not postgres.count("usename = 'app_scram' AND state <> 'idle'"), 10)
    denied = row(two, "hosts")["denied"]
    with contextlib.ExitStack() as stack:
        for router in (one, two):
            for _ in range(10):
                wire = stack.enter_context(router.session.wire())
                assert wire.value("SELECT 1") == "1"
    assert row(two, "hosts")["denied"] == denied


def test_a_log_that_is_too_loud(make_router):
    router = make_router()
    with router.session.wire(application_name="loud"):
        told(router, "client-login", "loud")
    with router.admin() as console:
        console.execute("SET log_connections = 0")
        console.execute("SET log_disconnections = 0")
    with router.session.wire(application_name="quiet") as wire:
        wire.query("SELECT 1")
    assert row(router, "settings", key="log.log_connections")["source"] == "SET"
    router.command("RELOAD")
    with router.session.wire(application_name="again"):
        told(router, "client-login", "again")
    assert "quiet" not in router.log()

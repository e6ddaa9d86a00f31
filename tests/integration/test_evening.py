# SPDX-License-Identifier: ISC
"""An operator's evening: what goes wrong, and who or what is to blame is told by the
views, by /health/db, by /metrics and by the log, before anybody has looked into
PostgreSQL."""
import contextlib
import datetime
import re
import shutil

import psycopg
import pytest
from support import wire as w
from support.certs import Authority
from support.net import free_port, listening_ports
from support.router import merge
from support.wait import wait_until
from support.web import Web

pytestmark = pytest.mark.router_only

SMALL = {"hosts": {"main": {"connection_budget": 4}},
         "workloads": {"transactional": {"guaranteed_connections": 2, "max_connections": 2},
                       "session": {"guaranteed_connections": 2, "max_connections": 2}},
         "defaults": {"query_wait_timeout": "60s"}}


@pytest.fixture
def operate(make_router):
    """A router, its HTTP port, and what an operator asks."""
    def make(changes=None):
        port = free_port()
        config = merge({"http": {"listen": f"127.0.0.1:{port}"}}, SMALL)
        router = make_router(merge(config, changes or {}))
        wait_until(lambda: port in listening_ports(), 15, "it listens")
        return router, Web(port)
    return make


def row(router, view, **wanted):
    """The one row of a view that has all this."""
    (found,) = [r for r in router.show(view)
                if all(r[key] == value for key, value in wanted.items())]
    return found


def events(router, name):
    return re.findall(rf" {name} (.*)", router.log())


def told(router, name, *words):
    """The first line of this event that has all these words; the log is a moment late."""
    return wait_until(lambda: [line for line in events(router, name)
                               if all(re.search(word, line) for word in words)], 10,
                      f"{name}: {words}")[0]


def test_one_slow_query_exhausts_a_pool(operate, postgres):
    """Everybody waits behind one client, which the views name; ending it helps."""
    router, web = operate({"workloads": {"transactional": {"default_pool_size": 1}}})
    with contextlib.ExitStack() as stack:
        culprit = stack.enter_context(router.transactional.wire(application_name="report"))
        culprit.send(w.query("SELECT pg_sleep(600)"))
        wait_until(lambda: postgres.backends("query ~ 'pg_sleep'"), 10, "it runs")
        victims = [stack.enter_context(router.transactional.wire()) for _ in range(5)]
        for victim in victims:
            victim.send(w.query("SELECT 1"))
        wait_until(lambda: len(router.show("waiting")) == 5, 10, "they wait")
        # What is it for?  The word is the option's own.
        health = web.json("/health/db")["transactional"]
        assert (health["waiting"], health["waiting_for"]) == (5, "default_pool_size")
        assert row(router, "workloads", workload="transactional")["waiting_for"] == \
            "default_pool_size"
        # Behind whom, for how long, and which process of PostgreSQL is that?
        waiting = router.show("waiting")
        (client,) = {r["held_by"] for r in waiting}
        (pid,) = {r["held_pid"] for r in waiting}
        who = row(router, "clients", id=client)
        assert (who["application_name"], who["state"], who["stalled"]) == ("report", "active", "")
        assert [b[0] for b in postgres.backends("query ~ 'pg_sleep'")] == [pid]
        assert row(router, "servers", link=who["ptr"])["remote_pid"] == pid
        assert min(r["held_ms"] for r in waiting) >= max(
            r["wait"] * 1000 + r["wait_us"] // 1000 for r in waiting) > 0
        workload = row(router, "workloads", workload="transactional")
        assert workload["oldest_lease_id"] == client
        # The same as numbers, for alerts.
        assert web.json("/health/db")["transactional"]["oldest_lease_ms"] > 0
        metrics = web.metrics()
        assert metrics.value("pgtandem_budget_oldest_lease_seconds",
                             workload="transactional") > 0
        assert metrics.value("pgtandem_budget_waiting", workload="transactional") == 5
        # The other workload has nothing to do with it.
        assert web.json("/health/db")["session"]["waiting_for"] is None
        router.command(f"KILL_CLIENT {client}")
        for victim in victims:
            assert w.rows(victim.until_ready()) == [("1",)]
        wait_until(lambda: not postgres.backends("query ~ 'pg_sleep' AND state = 'active'"),
                   10, "the query is cancelled")
        assert [r for r in router.show("waiting")] == []
    told(router, "client-close", "reason=killed")


def test_a_transaction_that_nobody_goes_on_with(operate):
    """Idle in a transaction: the same views name the client, and what it is that it does
    not do; with a time-out the log has its end."""
    router, web = operate()
    with contextlib.ExitStack() as stack:
        stuck = [stack.enter_context(router.transactional.wire(application_name=f"stuck{i}"))
                 for i in range(2)]
        for wire in stuck:
            wire.query("BEGIN")
        victim = stack.enter_context(router.transactional.wire())
        victim.send(w.query("SELECT 1"))
        waiting = wait_until(lambda: router.show("waiting"), 10, "it waits")
        assert waiting[0]["reason"] == "max_connections"
        who = row(router, "clients", id=waiting[0]["held_by"])
        # Of the two the one that began first.
        assert who["application_name"] == "stuck0"
        assert who["stalled"] == "transaction"
        first = who["stalled_ms"]
        wait_until(lambda: row(router, "clients", id=who["id"])["stalled_ms"] > first, 10,
                   "it gets longer")
        assert web.json("/health/db")["transactional"]["level"] in ("critical", "emergency")
        # What to do about it for good: the file, and SIGHUP.
        router.reload({"defaults": {"idle_transaction_timeout": "300ms"}})
        assert w.rows(victim.until_ready()) == [("1",)]
        assert [m.sqlstate for m in stuck[0].until_closed()] == ["25P03"]
        wait_until(lambda: sum("reason=idle-transaction" in line
                               for line in events(router, "client-close")) == 2, 10,
                   "the log has both")
    assert web.metrics().value("pgtandem_client_closes_total", workload="transactional",
                               reason="idle-transaction") == 2
    assert web.metrics().value("pgtandem_client_closes_total", workload="session",
                               reason="idle-transaction") == 0


def test_postgresql_is_restarted(operate, postgres):
    """What PostgreSQL says when it goes, that it is not there, and that it is back, though
    nobody asks for it meanwhile."""
    router, web = operate({"auth": {"auth_type": "trust"}})
    router.expect_error("server-")
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(router.transactional.wire())
        client.query("SELECT 1")
        session = stack.enter_context(router.session.wire())
        session.query("SELECT 1")
        postgres.stop()
        # Whoever has a server hears PostgreSQL's own words.
        assert [m.sqlstate for m in session.until_closed()] == ["57P01"]
        told(router, "server-fatal", "57P01")
        client.send(w.query("SELECT 2"))
        wait_until(lambda: web.ask("/readyz").code == 503, 10, "not ready")
        (host,) = router.show("hosts")
        assert "refused" in host["error"] and host["waiting"] == 1
        (waiting,) = router.show("waiting")
        assert (waiting["reason"], waiting["held_by"]) == ("host", 0)
        assert web.json("/health/db")["transactional"]["waiting_for"] == "host"
        metrics = web.metrics()
        assert metrics.value("pgtandem_host_up", host="main") == 0
        assert metrics.value("pgtandem_server_connect_failures_total", host="main",
                             reason="host") >= 1
        told(router, "server-login-failed", "refused")
        # The only one who asked gives up: the host is looked at all the same.
        client.close()
        wait_until(lambda: router.show("waiting") == [], 10, "nobody waits")
    postgres.start()
    wait_until(lambda: web.ask("/readyz").code == 200, 15, "ready again")
    assert router.show("hosts")[0]["error"] is None
    assert web.metrics().value("pgtandem_host_up", host="main") == 1
    with router.transactional.wire() as wire:
        assert wire.value("SELECT 3") == "3"


def test_wrong_password_in_an_application(operate):
    """Rolled out to the clients: the log has user, database, address and reason, metrics
    count it at the port, and nobody else is held up."""
    router, web = operate()
    for _ in range(3):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            router.transactional.connect(password="of yesterday")
    with router.transactional.wire() as wire:
        assert wire.value("SELECT 1") == "1"
    told(router, "client-auth-failed", "workload=transactional", 'user="?app_scram',
         'database="?app', "addr=127.0.0.1:", "reason=")
    metrics = web.metrics()
    assert metrics.value("pgtandem_auth_failures_total", workload="transactional",
                         reason="wrong-password") == 3
    assert metrics.value("pgtandem_auth_failures_total", workload="session",
                         reason="wrong-password") == 0
    assert metrics.value("pgtandem_client_closes_total", workload="transactional",
                         reason="auth-failed") == 3


def test_wrong_password_of_the_router(operate, postgres):
    """Rolled out in our file: PostgreSQL refuses us, in words that each client and SHOW
    POOLS have; other users go on."""
    router, web = operate()
    router.expect_error("server-login-failed")
    postgres.sql("ALTER ROLE app_plain PASSWORD 'of tomorrow'")
    try:
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            router.transactional.connect(user="app_plain")
        pool = row(router, "pools", user="app_plain", database="app")
        assert "password authentication failed" in pool["error"]
        assert row(router, "workload_pools", user="app_plain",
                   workload="transactional")["error"] == pool["error"]
        # The host is all right, and so is everybody else.
        assert router.show("hosts")[0]["error"] is None
        with router.transactional.wire() as wire:
            assert wire.value("SELECT 1") == "1"
        assert row(router, "pools", user="app_scram", database="app")["error"] is None
        metrics = web.metrics()
        assert metrics.value("pgtandem_server_connect_failures_total", host="main",
                             reason="login") >= 1
        assert metrics.value("pgtandem_host_up", host="main") == 1
        told(router, "server-login-failed", "app_plain", "28P01")
    finally:
        postgres.sql("ALTER ROLE app_plain PASSWORD 'plain secret'")
    wait_until(lambda: row(router, "pools", user="app_plain", database="app") and
               connects(router, "app_plain"), 15, "the old one works again")
    assert row(router, "pools", user="app_plain", database="app")["error"] is None


def connects(router, user):
    try:
        with router.transactional.connect(user=user) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def test_a_certificate_expires(operate, tmp_path):
    """Ours: told by SHOW TLS and by a metric, beforehand too; by the log at the reload.
    A client's: the log has the reason.  The renewed file comes with a reload."""
    ca = Authority(tmp_path / "ca")
    names = "DNS:localhost,IP:127.0.0.1"
    ca.issue("old", "router old", names, dates=("20200101000000Z", "20200201000000Z"))
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=5, hours=1)
    ca.issue("soon", "router soon", names,
             dates=("20200101000000Z", soon.strftime("%Y%m%d%H%M%SZ")))
    ca.issue("new", "router new", names)
    ca.issue("client", "app_scram", dates=("20200101000000Z", "20200201000000Z"))

    def put(name):
        shutil.copy(ca.path(f"{name}.crt"), tmp_path / "router.crt")
        shutil.copy(ca.path(f"{name}.key"), tmp_path / "router.key")
    put("soon")
    router, web = operate({"tls": {
        "client_tls_sslmode": "require", "client_tls_ca_file": ca.ca,
        "client_tls_key_file": str(tmp_path / "router.key"),
        "client_tls_cert_file": str(tmp_path / "router.crt")}})

    def shown():
        return row(router, "tls", side="client", name="transactional")

    def expiry():
        return web.metrics().value("pgtandem_certificate_expiry_seconds",
                                   workload="transactional")
    assert (shown()["certificate"], shown()["state"], shown()["days_left"]) == (
        "CN=router soon", "valid", 5)
    assert expiry() == pytest.approx(soon.timestamp(), abs=1)
    told(router, "certificate-expires", "CN=router soon")
    put("old")
    router.reload()
    told(router, "certificate-expires", "CN=router old", "state=expired")
    assert (shown()["certificate"], shown()["state"], shown()["days_left"]) == (
        "CN=router old", "expired", 0)
    assert expiry() < datetime.datetime.now().timestamp()
    # Clients that look at it stay away, and say why.
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        router.transactional.connect(sslmode="verify-full", sslrootcert=ca.ca)
    told(router, "client-tls-failed", "expired")
    failed = web.metrics().value("pgtandem_tls_handshakes_total", workload="transactional",
                                 result="failed")
    put("new")
    router.reload()
    assert (shown()["certificate"], shown()["state"]) == ("CN=router new", "valid")
    with router.transactional.connect(sslmode="verify-full", sslrootcert=ca.ca) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert shown()["connections"] >= 1
    # A client's own that has expired.
    with pytest.raises(psycopg.OperationalError):
        router.transactional.connect(sslmode="require", sslcert=ca.path("client.crt"),
                                     sslkey=ca.path("client.key"))
    wait_until(lambda: web.metrics().value("pgtandem_tls_handshakes_total",
                                           workload="transactional", result="failed") > failed,
               10, "it is counted")
    told(router, "client-tls-failed", "certificate has expired")

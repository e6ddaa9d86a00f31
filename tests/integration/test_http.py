# SPDX-License-Identifier: ISC
"""Metrics, health and views over HTTP: they say what SHOW, PostgreSQL and the load
generator say, and nobody who asks can hurt anybody else."""
import collections
import concurrent.futures
import contextlib
import os
import re
import signal
import socket
import subprocess
import threading
import time
from decimal import Decimal
from http.client import HTTPConnection, HTTPException

import psycopg
import pytest
from support import needs
from support import wire as w
from support.freeze import frozen
from support.net import free_port, listening_ports
from support.router import ROOT, Endpoint
from support.wait import SLOWDOWN, wait_until
from support.web import OPENMETRICS, Metrics, Web, basic

pytestmark = pytest.mark.router_only

STATES = ("idle", "leased", "connecting", "closing")


@pytest.fixture
def make_web(make_router):
    """A router with an HTTP port, and that port."""
    def make(config=None, **http):
        port = free_port()
        changes = {"http": {"listen": f"127.0.0.1:{port}", **http}}
        changes.update(config or {})
        router = make_router(changes)
        web = Web(port)
        wait_until(lambda: port in listening_ports(), 15, "it listens")
        return router, web
    return make


@pytest.fixture
def both(make_web):
    return make_web()


# ------------------------------------------------------------------ what it says

def check_promtool(text):
    done = subprocess.run([needs.program("promtool"), "check", "metrics"], input=text, capture_output=True,
                          text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_promtool(both):
    """Prometheus finds nothing to say about either format."""
    router, web = both
    with router.transactional.connect() as one, router.session.connect() as two:
        one.execute("SELECT 1")
        two.execute("SELECT 1")
        text = web.get("/metrics")
        assert text.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        check_promtool(text.text)
        new = web.get("/metrics", Accept=OPENMETRICS)
    assert new.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert new.text.endswith("\n# EOF\n")
    parser = needs.module("prometheus_client.openmetrics.parser", "ci")
    names = {family.name for family in parser.text_string_to_metric_families(new.text)}
    assert {"pgtandem_queries", "pgtandem_wait_seconds", "process_cpu_seconds"} <= names
    # Both tell the same families.
    assert {name.removesuffix("_total").removesuffix("_info")
            for name in Metrics(text.text).types} == names | {"pgtandem_build"}


@contextlib.contextmanager
def latin1_database(postgres):
    """A database whose name is not UTF-8: only one without an encoding can make it."""
    postgres.sql("DROP DATABASE IF EXISTS raw_bytes",
                 "CREATE DATABASE raw_bytes TEMPLATE template0 ENCODING SQL_ASCII LOCALE 'C'")
    try:
        with postgres.connect(dbname="raw_bytes", autocommit=True) as connection:
            connection.execute(b'CREATE DATABASE "w\xf6rk\xff" TEMPLATE template0 '
                               b"ENCODING SQL_ASCII LOCALE 'C'")
            try:
                yield b"w\xf6rk\xff"
            finally:
                connection.execute(b'DROP DATABASE "w\xf6rk\xff" WITH (FORCE)')
    finally:
        postgres.sql("DROP DATABASE raw_bytes WITH (FORCE)")


def test_names_that_are_not_utf8(both, postgres):
    """Clients choose the bytes of a name; the page can be read whatever they are."""
    router, web = both
    with latin1_database(postgres) as name:
        with router.transactional.wire(dbname=name) as wire:
            wire.value("SELECT 1")
        metrics = web.metrics()
        assert metrics.value("pgtandem_queries_total", workload="transactional",
                             database=r"w\\xf6rk\\xff") == 1
        check_promtool(metrics.text)
        assert web.metrics(openmetrics=True).sum("pgtandem_queries_total") == 1


def test_counters_are_those_of_the_load(both, postgres):
    """What the clients did, PostgreSQL did and SHOW tells is what the metrics count."""
    router, web = both
    done = collections.Counter()

    def work(port, user, count):
        with contextlib.closing(getattr(router, port).wire(user=user)) as wire:
            for i in range(count):
                if i % 3 == 0:
                    wire.query("BEGIN")
                    wire.query("SELECT 1")
                    wire.query("COMMIT")
                    done[port, user, "queries"] += 3
                else:
                    wire.query("SELECT 1")
                    done[port, user, "queries"] += 1
                done[port, user, "transactions"] += 1
            wire.quit()
        done[port, user, "logins"] += 1

    jobs = [(port, user, 60) for port in ("transactional", "session")
            for user in ("app_scram", "other")]
    with concurrent.futures.ThreadPoolExecutor(len(jobs)) as pool:
        for job in [pool.submit(work, *job) for job in jobs]:
            job.result()
    wait_until(lambda: not any(row["clients"] for row in router.show("workloads")), 10,
               "all have left")
    metrics = web.metrics()
    for port, user, _ in jobs:
        for what in ("queries", "transactions", "logins"):
            assert metrics.value(f"pgtandem_{what}_total", workload=port, database="app",
                                 user=user) == done[port, user, what], what
    for port in ("transactional", "session"):
        for name, total in (("query", "queries"), ("transaction", "transactions")):
            assert metrics.value(f"pgtandem_{name}_seconds_count", workload=port) == \
                metrics.sum(f"pgtandem_{total}_total", workload=port)
            # The histogram and the counter are of the same times.
            spent = metrics.sum(f"pgtandem_{name}_spent_seconds_total", workload=port)
            assert metrics.value(f"pgtandem_{name}_seconds_sum", workload=port) == \
                pytest.approx(spent, abs=1e-5)
        assert metrics.value("pgtandem_wait_seconds_count", workload=port) == \
            metrics.sum("pgtandem_server_assignments_total", workload=port)
        assert metrics.value("pgtandem_login_seconds_count", workload=port) == 2
    (row,) = [row for row in router.show("stats_totals") if row["database"] == "app"]
    for column, name in (("xact_count", "transactions"), ("query_count", "queries"),
                         ("bytes_received", "received_bytes"), ("bytes_sent", "sent_bytes"),
                         ("server_assignment_count", "server_assignments"),
                         ("client_login_count", "logins")):
        assert row[column] == metrics.sum(f"pgtandem_{name}_total", database="app"), name
    assert metrics.sum("pgtandem_client_closes_total", reason="quit") >= len(jobs)
    # Each login to PostgreSQL was timed; one that was wanted may still be under way.
    wait_until(lambda: web.metrics().value("pgtandem_server_connect_seconds_count", host="main")
               >= len(postgres.backends("usename <> 'postgres'")) > 0, 10, "as many logins")


def test_histograms_put_times_where_they_belong(both):
    router, web = both
    with router.transactional.connect() as connection:
        connection.execute("SELECT pg_sleep(0.3)")
    metrics = web.metrics()

    def up_to(le):
        return metrics.value("pgtandem_query_seconds_bucket", workload="transactional", le=le)
    assert up_to("+Inf") - up_to("0.25") == 1
    assert metrics.value("pgtandem_query_seconds_sum", workload="transactional") >= 0.3
    bounds = [(float(dict(has)["le"]), value) for (name, has), value in metrics.samples.items()
              if name == "pgtandem_query_seconds_bucket"
              and ("workload", "transactional") in has]
    assert [value for _, value in sorted(bounds)] == sorted(value for _, value in bounds)


def test_failures_by_reason(both):
    router, web = both

    def failures(reason):
        return web.metrics().sum("pgtandem_auth_failures_total", reason=reason)
    for user, password in (("app_scram", "wrong"), ("nobody", "x")):
        with router.transactional.raw() as wire, pytest.raises(Exception):
            wire.login(user, password, "app")
    wait_until(lambda: failures("wrong-password") == 1, 10, "the wrong password is counted")
    assert failures("unknown-user") == 1
    assert web.metrics().value("pgtandem_client_closes_total", reason="auth-failed",
                               workload="transactional") == 2


def test_views_metrics_and_health_agree(make_web, postgres):
    """SHOW, /api, /metrics, /health/db and pg_stat_activity, while nothing moves."""
    router, web = make_web({
        "hosts": {"main": {"connection_budget": 10}},
        "workloads": {
            "transactional": {"guaranteed_connections": 4, "max_connections": 6},
            "session": {"guaranteed_connections": 3, "max_connections": 3}}})
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(router.transactional.wire()) for _ in range(7)]
        for wire in wires[:5]:
            wire.query("BEGIN")
        for _ in range(2):
            stack.enter_context(router.session.wire()).query("SELECT 1")
        health = web.json("/health/db")
        assert list(health) == ["transactional", "session"]
        assert list(health["transactional"])[:3] == ["size", "checked_out", "utilization"]
        one = health["transactional"]
        assert (one["size"], one["checked_out"], one["utilization"]) == (4, 5, 125.0)
        assert (one["limit"], one["borrowed"], one["level"]) == (6, 1, "warning")
        two = health["session"]
        assert (two["size"], two["checked_out"], two["utilization"]) == (3, 2, 66.7)
        assert (two["limit"], two["waiting"], two["maxwait_ms"], two["level"]) == (3, 0, 0, "ok")
        wires[5].query("BEGIN")
        assert web.json("/health/db")["transactional"]["level"] == "critical"
        wires[6].send(w.query("SELECT 'at last'"))
        wait_until(lambda: web.json("/health/db")["transactional"]["waiting"] == 1, 10, "it waits")
        health, metrics = web.json("/health/db"), web.metrics()
        shown = {row["workload"]: row for row in router.show("workloads")}
        for row in web.json("/api/workloads"):
            name = row["workload"]
            moves = ("maxwait", "maxwait_us", "oldest_lease_ms")
            assert {k: v for k, v in row.items() if k not in moves} == \
                {k: v for k, v in shown[name].items() if k not in moves}
            assert health[name]["checked_out"] == row["active"] == \
                metrics.value("pgtandem_budget_servers", workload=name, state="leased")
            assert health[name]["idle"] == row["idle"]
            assert health[name]["borrowed"] == row["borrowed"] == \
                metrics.value("pgtandem_budget_borrowed", workload=name)
            assert health[name]["waiting"] == row["waiting"] == \
                metrics.value("pgtandem_budget_waiting", workload=name)
            assert health[name]["clients"] == metrics.value("pgtandem_clients", workload=name)
        assert metrics.value("pgtandem_budget_oldest_wait_seconds", workload="transactional") > 0
        (host,) = web.json("/api/hosts")
        for state in STATES:
            assert host[state] == metrics.value("pgtandem_host_servers", host="main", state=state)
        assert metrics.value("pgtandem_host_budget", host="main") == 10
        assert sum(metrics.values("pgtandem_host_servers", host="main")) == host["used"] == \
            len(postgres.backends("usename <> 'postgres'"))
        states = {dict(has)["state"]: value for (name, has), value in metrics.samples.items()
                  if name == "pgtandem_clients_in_state"}
        assert (states["active"], states["waiting"], states["idle"]) == (8, 1, 0)
        wires[0].query("COMMIT")
        assert w.rows(wires[6].until_ready()) == [("at last",)]


def test_emergency(make_web):
    """At the ceiling, with somebody who waits for too long or did in vain."""
    router, web = make_web({
        "hosts": {"main": {"connection_budget": 2}},
        "workloads": {"transactional": {"guaranteed_connections": 1, "max_connections": 1},
                      "session": {"guaranteed_connections": 1}},
        "defaults": {"query_wait_timeout": "2s"}})

    def level():
        return web.json("/health/db")["transactional"]["level"]
    with router.transactional.wire() as one, router.transactional.wire() as two:
        one.query("BEGIN")
        assert level() == "critical"
        two.send(w.query("SELECT 1"))
        wait_until(lambda: level() == "emergency", 10, "half of the timeout is over")
        assert web.json("/health/db")["transactional"]["waiting"] == 1
        two.until_ready()
        now = web.json("/health/db")["transactional"]
        assert (now["waiting"], now["wait_timeouts"], now["level"]) == (0, 1, "emergency")
        metrics = web.metrics()
        assert metrics.value("pgtandem_wait_timeouts_total", workload="transactional") == 1
        assert metrics.value("pgtandem_workload_level", workload="transactional") == 3
        one.query("COMMIT")
        assert level() == "ok"


@pytest.mark.parametrize("limits, reason", [
    ({"defaults": {"default_pool_size": 1}}, "default_pool_size"),
    ({"databases": {"*": {"host": "main", "max_db_connections": 1}}}, "max_db_connections")])
def test_emergency_below_the_ceiling(make_web, limits, reason):
    """Half of the workload's connections are free, and nobody may have one."""
    router, web = make_web({"defaults": {"query_wait_timeout": "2s"}, **limits})
    with router.transactional.wire() as one, router.transactional.wire() as two:
        one.query("BEGIN")
        assert web.json("/health/db")["transactional"]["level"] == "ok"
        two.send(w.query("SELECT 1"))
        now = wait_until(lambda: [h for h in [web.json("/health/db")["transactional"]]
                                  if h["level"] == "emergency"], 10, "half of the timeout is over")
        assert now[0]["waiting_for"] == reason
        assert now[0]["checked_out"] < now[0]["limit"]
        one.query("COMMIT")
        assert w.rows(two.until_ready()) == [("1",)]
        wait_until(lambda: web.json("/health/db")["transactional"]["level"] == "ok", 10)


def test_emergency_while_postgresql_is_not_there(make_web, postgres):
    """Who waits in vain for it, and for a while who has; not who asks for nothing."""
    router, web = make_web({"defaults": {"query_wait_timeout": "4s"}})
    router.expect_error("server-")

    def health(name="transactional"):
        return web.json("/health/db")[name]
    with router.transactional.wire() as wire:
        wire.query("SELECT 1")
        postgres.stop()
        try:
            wire.send(w.query("SELECT 2"))
            wait_until(lambda: health()["level"] == "emergency", 10, "half of the timeout is over")
            assert w.errors(wire.until_ready()) == ["57014"]
            now = health()
            assert (now["waiting"], now["wait_timeouts"], now["level"]) == (0, 1, "emergency")
            assert health("session")["level"] == "ok"
        finally:
            postgres.start()
        wait_until(lambda: health()["level"] == "ok", 20, "it is there again")
        assert wire.value("SELECT 3") == "3"


def test_emergency_behind_a_pause(make_web):
    """Somebody has forgotten it: who looks is told what it is, since when, what ends it, and
    who waits; a port that does not serve the database is none of it."""
    router, web = make_web({"databases": {"app": {"host": "main"}, "postgres": {"host": "main"}},
                            "workloads": {"session": {"databases": ["postgres"]}},
                            "defaults": {"query_wait_timeout": "4s"}})

    def health(name="transactional"):
        return web.json("/health/db")[name]

    def emergency():
        return (lambda found: found if found["level"] == "emergency" else None)(health())
    with router.transactional.wire() as wire:
        assert wire.value("SELECT 1") == "1"
        router.command("PAUSE app")
        first = health()
        assert (first["level"], first["hold"], first["hold_database"]) == ("warning", "pause", "app")
        assert first["waiting"] == 0 and "; RESUME app ends that" in first["reason"]
        wire.send(w.query("SELECT 2"))
        now = wait_until(emergency, 15, "half of the timeout is over")
        assert now["hold_ms"] > first["hold_ms"] and now["hold_ms"] >= now["maxwait_ms"] >= 2000
        assert (now["waiting"], now["waiting_for"]) == (1, "paused")
        assert now["reason"].startswith("paused for ") and "; 1 waits, the first for " in now["reason"]
        metrics = web.metrics()
        assert metrics.value("pgtandem_workload_level", workload="transactional") == 3
        assert metrics.value("pgtandem_held_seconds", by="pause") * 1000 >= now["hold_ms"]
        (row,) = [r for r in router.show("databases") if r["name"] == "app"]
        assert row["paused"] == 1 and row["paused_s"] >= now["hold_ms"] // 1000
        assert w.errors(wire.until_ready()) == ["57014"]
        # Those who were turned away count for a while.
        assert (health()["level"], health()["waiting"]) == ("emergency", 0)
        assert (health("session")["level"], health("session")["hold"]) == ("ok", None)
        router.command("RESUME app")
        assert (health()["level"], health()["hold"], health()["hold_ms"]) == ("ok", None, 0)
        assert wire.value("SELECT 3") == "3"


def test_emergency_while_suspended(make_web):
    """Nobody is read, so nobody is seen to wait: that it lasts is told."""
    router, web = make_web({"defaults": {"query_wait_timeout": "2s"}})
    with router.transactional.wire() as wire:
        assert wire.value("SELECT 1") == "1"
        router.command("SUSPEND")
        wire.send(w.query("SELECT 2"))
        now = wait_until(lambda: [h for h in [web.json("/health/db")["transactional"]]
                                  if h["level"] == "emergency"], 10, "half of the timeout is over")
        assert (now[0]["hold"], now[0]["waiting"]) == ("suspend", 0)
        # Nobody is there to be kept waiting.
        assert web.json("/health/db")["session"]["level"] == "warning"
        assert web.metrics().value("pgtandem_held_seconds", by="suspend") > 1
        router.command("RESUME")
        assert w.rows(wire.until_ready()) == [("2",)]
        assert web.metrics().value("pgtandem_held_seconds", by="suspend") == 0
        assert web.json("/health/db")["transactional"]["level"] == "ok"


def test_every_view(make_web):
    """Each is there, as the console has it: the same names, and rows of the same number."""
    router, web = make_web({"hosts": {"main": {"host": "localhost"}}})
    with router.transactional.connect() as connection, router.admin() as admin:
        connection.execute("SELECT 1")
        views = web.json("/api")
        assert len(views) >= 19 and {"path": "/api/pools"}.items() <= views[1].items() | views[0].items()
        for view in views:
            name = view["path"].removeprefix("/api/")
            shown = admin.execute(f"SHOW {name}").fetchall()
            rows = web.json(view["path"])
            assert len(rows) == len(shown), name
            for row, wanted in zip(rows, shown):
                assert list(row) == list(wanted), name
                # Whole numbers are numbers, others texts.
                assert {key for key, value in wanted.items() if isinstance(value, (int, Decimal))} == \
                    {key for key, value in row.items() if isinstance(value, int)}, name
        (client,) = [row for row in web.json("/api/clients") if row["database"] == "app"]
        assert client["user"] == "app_scram"
    assert web.ask("/api/help").code == 404
    assert web.ask("/api/nothing").code == 404
    assert web.json("/api/POOLS") == web.json("/api/pools")


def test_page(both):
    """It needs nothing from elsewhere, and is allowed nothing from there."""
    _, web = both
    page = web.get("/")
    assert page.headers["Content-Type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "://" not in page.text
    for path in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert web.get("/" + path).text
    script = web.get("/page.js").text
    assert "innerHTML" not in script and "://" not in script
    asked = set(re.findall(r"'(?:api/)?([a-z_]+)'[,\]]", script))
    assert {"hosts", "budget", "workload_pools", "waiting"} <= asked


def test_page_names_the_culprit(make_web):
    """In a browser, above everything else: who waits, for what, and behind whom."""
    browser = needs.program("chromium")
    router, web = make_web({"workloads": {"transactional": {"default_pool_size": 1}}})
    with router.transactional.wire() as holder, router.transactional.wire() as waiter:
        holder.query("BEGIN")
        waiter.send(w.query("SELECT 1"))
        (row,) = wait_until(lambda: router.show("waiting"), 10, "it waits")

        def page():
            done = subprocess.run(
                [browser, "--headless", "--no-sandbox", "--disable-gpu", "--timeout=3000",
                 "--virtual-time-budget=3000", "--dump-dom", f"http://127.0.0.1:{web.port}/"],
                capture_output=True, text=True, timeout=90, check=False)
            return done.stdout
        text = wait_until(lambda: (lambda found: found if "<li>" in found else None)(page()), 60,
                          "the page is filled")
        (finding,) = re.findall("<li>(.*?)</li>", text)
        assert finding.startswith("transactional: 1 waiting (default_pool_size")
        assert f"client {row['held_by']} has had a server for " in finding
        assert finding.endswith(f"process {row['held_pid']}")
        assert text.index("<li>") < text.index("<section") < text.index("<table")


# ---------------------------------------------------------------------- readiness

def test_live_and_ready(make_web, postgres):
    router, web = make_web({"hosts": {"main": {"server_login_retry": "100ms"}},
                            "auth": {"auth_type": "trust"}})
    assert web.get("/livez").text == "alive\n"
    assert web.get("/readyz").text == "ready\n"
    assert web.metrics().value("pgtandem_ready") == 1
    postgres.stop()
    with router.transactional.raw() as wire:
        wire.send(w.startup("app_scram", "app"))
        wait_until(lambda: web.ask("/readyz").code == 503, 10, "no host is there")
        assert web.ask("/readyz").text == "no host is reached\n"
        assert web.metrics().value("pgtandem_ready") == 0
        assert web.metrics().value("pgtandem_host_up", host="main") == 0
        assert web.get("/livez").text == "alive\n"
        postgres.start()
        wait_until(lambda: web.ask("/readyz").code == 200, 10, "it is there again")
        wire.until_ready()


def test_not_ready_while_it_drains(both):
    router, web = both
    with router.transactional.wire() as wire:
        wire.query("BEGIN")
        router.signal(signal.SIGTERM)
        wait_until(lambda: web.ask("/readyz").code == 503, 10, "it drains")
        assert web.ask("/readyz").text == "draining\n"
        # Who looks at it still sees how it goes.
        assert web.json("/health/db")["transactional"]["checked_out"] == 1
        assert web.get("/livez").text == "alive\n"
        wire.query("COMMIT")
    assert router.wait_exit() == 0


@pytest.mark.parametrize("command, held", [("PAUSE", "paused"), ("SUSPEND", "suspended")])
def test_ready_while_somebody_holds_it(both, command, held):
    """Who comes waits and is served after RESUME: nobody is to be sent elsewhere, and least of
    all is a process to be killed that does as it was told."""
    router, web = both
    with router.admin() as console:
        console.execute(command)
        for path, said in (("/readyz", "ready\n"), ("/livez", "alive\n")):
            answer = web.ask(path)
            assert (answer.code, answer.text) == (200, said), path
        assert web.metrics().value("pgtandem_ready") == 1
        health = web.json("/health/db")["transactional"]
        assert (health["level"], health["hold"]) == ("warning", command.lower())
        assert health["reason"].startswith(f"{held} for ")
        state = {row["key"]: row["value"] for row in web.json("/api/state")}
        assert state[held] == "yes"
        # A view for which the workers are asked comes, too.
        assert isinstance(web.json("/api/clients"), list)
        console.execute("RESUME")
        assert {(w["level"], w["hold"], w["reason"]) for w in web.json("/health/db").values()} == \
            {("ok", None, None)}
    with router.transactional.wire() as wire:
        assert wire.value("SELECT 1") == "1"


def test_not_live_when_a_worker_hangs(make_web):
    """A probe learns of it; what needs no worker goes on, and all is well when it does."""
    router, web = make_web()
    assert web.get("/livez").text == "alive\n"
    with frozen(router, "worker-1"):
        stuck = web.ask("/livez")
        assert (stuck.code, stuck.text) == (503, "a worker does not answer\n")
        assert web.ask("/api/clients").code == 503
        assert web.get("/readyz").text == "ready\n"
        assert web.metrics().value("pgtandem_ready") == 1
        assert web.json("/api/budget")
    wait_until(lambda: web.ask("/livez").code == 200, 10, "it goes on")
    assert web.json("/api/clients") == []


# --------------------------------------------------------------------- who may ask

def test_authentication(make_web, tmp_path):
    token, password = tmp_path / "token", tmp_path / "password"
    token.write_text("s3cret token\n")
    password.write_text("pass:word\n")
    router, web = make_web(token_file=str(token), user="prometheus", password_file=str(password))

    def code(path="/metrics", authorization=None):
        return web.ask(path, headers={"Authorization": authorization} if authorization else {}).code
    for path in ("/metrics", "/health/db", "/", "/api", "/api/pools", "/nothing", "/page.js"):
        assert code(path) == 401, path
    refused = web.ask("/metrics")
    assert refused.headers["WWW-Authenticate"] == 'Basic realm="pgtandem"'
    for wrong in ("Bearer", "Bearer ", "Bearer s3cret", "Bearer s3cret token ", "Bearer S3cret token",
                  basic("prometheus", "password"), basic("other", "pass:word"), "Basic !!!",
                  "Digest x", "Bearer" + "x" * 4000):
        assert code(authorization=wrong) == 401, wrong
    for right in ("Bearer s3cret token", "bearer  s3cret token", basic("prometheus", "pass:word")):
        assert code(authorization=right) == 200, right
    # Probes need not know anything; they learn nothing.
    assert code("/livez") == code("/readyz") == 200
    assert "http-auth-failed addr=127.0.0.1" in router.log()
    assert "s3cret" not in router.log() and "pass:word" not in router.log()
    # A new secret holds at once.
    token.write_text("another\n")
    router.reload()
    wait_until(lambda: code(authorization="Bearer another") == 200, 10, "the new one holds")
    assert code(authorization="Bearer s3cret token") == 401


def test_who_a_page_has_led_here(make_web, tmp_path):
    """On a loopback address, where nobody says who it is, a browser's request may be another
    site's, by a name that leads here now: it gives that name (DNS rebinding)."""
    router, web = make_web()
    port, other = web.port, free_port()

    def code(host, path="/api/clients", where=web):
        return where.ask(path, headers={"Host": host}).code
    known = ("localhost", f"LocalHost:{port}", "127.0.0.1", f"127.0.0.1:{port}", "[::1]:9187", "10.1.2.3", "")
    strange = ("rebound.example", f"rebound.example:{port}", "localhost.rebound.example", "127.0.0.1.rebound.example",
               "1.2.3", "[rebound.example]", "x" * 300)
    assert {host: code(host) for host in known} == dict.fromkeys(known, 200)
    assert {host: code(host) for host in strange} == dict.fromkeys(strange, 421)
    for path in ("/", "/metrics", "/health/db", "/api", "/nothing", "/page.js"):
        assert code("rebound.example", path) == 421, path
    # Probes learn nothing; and who has no name for it is no browser.
    assert code("rebound.example", "/livez") == code("rebound.example", "/readyz") == 200
    assert raw(web, b"GET /health/db HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    router.reload({"http": {"host_names": ["rebound.example"]}})
    wait_until(lambda: code("Rebound.Example:1") == 200, 10, "it is known")
    # Where others reach it anyway names are whatever they are; so is who proves who it is.
    router.reload({"http": {"host_names": None, "listen": [f"127.0.0.1:{port}", f"0.0.0.0:{other}",
                                                           f"unix:{tmp_path}:{port}"]}})
    wait_until(lambda: other in listening_ports() and code("rebound.example") == 421, 10, "it is not")
    assert code("rebound.example", where=Web(other)) == 200
    assert code("rebound.example", where=Web(0, unix=f"{tmp_path}/.s.PGSQL.{port}")) == 200
    (tmp_path / "token").write_text("secret\n")
    router.reload({"http": {"token_file": str(tmp_path / "token")}})
    wait_until(lambda: code("rebound.example") == 401, 10, "the token is asked for")


def check_config(router, http):
    text = router.config_file.read_text()
    file = router.directory / "checked.yaml"
    file.write_text(re.sub(r"(?m)^http:(\n .*)*\n?", "", text) + f"\nhttp: {http}\n")
    return subprocess.run([router.program(), "--check", str(file)], capture_output=True,
                          text=True, timeout=30 * SLOWDOWN, check=False)


def test_check(make_router):
    """Mistakes are told by --check; an open port is a warning."""
    router = make_router()
    busy = router.config["workloads"]["session"]["listen"][0]
    for http, said in (
            ("{ listen: 9187 }", "listen"),
            ("{ listen: \"localhost:9187\" }", "names are not looked up"),
            (f"{{ listen: \"{busy}\" }}", "listened on already"),
            ("{ listen: [], user: me }", "need each other"),
            ("{ listen: [], token_file: /nonexistent/token }", "cannot read /nonexistent/token"),
            ("{ listen: [], max_connections: 0 }", "max_connections"),
            ("{ listen: [], timeout: 5 }", "timeout"),
            ("{ listne: [] }", "did you mean listen?")):
        done = check_config(router, http)
        assert done.returncode == 1 and said in done.stderr, (http, done.stderr)
    for http, warns in (("{ listen: \"127.0.0.1:9187\" }", False),
                        ("{ listen: [ \"[::1]:9187\", \"127.0.0.2:1\" ] }", False),
                        ("{ listen: \"unix:/tmp:9187\" }", False),
                        ("{ listen: \"0.0.0.0:9187\" }", True),
                        ("{ listen: \"*:9187\" }", True)):
        done = check_config(router, http)
        assert done.returncode == 0, done.stderr
        assert ("everybody who reaches" in done.stderr) == warns, (http, done.stderr)


def test_no_port_unless_told(make_router):
    router = make_router()
    mine = {int(address.rsplit(":", 1)[1]) for workload in router.config["workloads"].values()
            for address in workload["listen"]}
    inodes = set()
    for fd in os.listdir(f"/proc/{router.process.pid}/fd"):
        with contextlib.suppress(OSError):
            inodes.add(os.readlink(f"/proc/{router.process.pid}/fd/{fd}"))
    ports = set()
    with open("/proc/net/tcp", encoding="ascii") as table:
        for line in list(table)[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                ports.add(int(fields[1].rsplit(":", 1)[1], 16))
    assert ports == mine


# -------------------------------------------------------------------------- reload

def test_reload_adds_moves_and_removes(make_router, tmp_path):
    router = make_router()
    first, second = free_port(), free_port()
    unix = f"{tmp_path}/.s.PGSQL.{second}"
    router.reload({"http": {"listen": f"127.0.0.1:{first}"}})
    wait_until(lambda: first in listening_ports(), 10, "it is there")
    # Somebody who is connected stays with what moves nowhere.
    kept = Web(first).connection()
    kept.request("GET", "/livez")
    kept.getresponse().read()
    router.reload({"http": {"listen": [f"127.0.0.1:{first}", f"127.0.0.1:{second}",
                                       f"unix:{tmp_path}:{second}"]}})
    wait_until(lambda: second in listening_ports(), 10, "both are there")
    assert Web(0, unix=unix).json("/health/db").keys() == {"transactional", "session"}
    sock = kept.sock
    kept.request("GET", "/readyz")
    assert kept.getresponse().read() == b"ready\n" and kept.sock is sock
    router.reload({"http": {"listen": f"127.0.0.1:{second}"}})
    wait_until(lambda: first not in listening_ports(), 10, "the first is gone")
    assert Web(second).get("/livez").text == "alive\n"
    assert not os.path.exists(unix)
    # What cannot be listened on changes nothing, and nothing of the new stays.
    taken, third = socket.socket(), free_port()
    with taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        router.expect_error("cannot listen on")
        said = router.reload({"http": {"listen": [
            f"127.0.0.1:{third}", f"127.0.0.1:{taken.getsockname()[1]}"]}}, expect="error")
    assert "http: cannot listen on" in said
    assert third not in listening_ports() and second in listening_ports()
    assert Web(second).get("/livez").text == "alive\n"
    router.reload({"http": None})
    wait_until(lambda: second not in listening_ports(), 10, "all are gone")
    router.reload({"http": {"listen": f"127.0.0.1:{second}"}})
    wait_until(lambda: second in listening_ports(), 10, "and there again")
    assert Web(second).get("/livez").text == "alive\n"


def test_reload_moves_within_a_port(both):
    """To more addresses of the same port and to fewer; and with a port of clients it may change
    places."""
    router, web = both
    mine, theirs = web.port, router.ports["session"]

    def is_open(host):
        with socket.socket() as probe:
            return probe.connect_ex((host, mine)) == 0

    def is_alive(port):
        with contextlib.suppress(OSError, HTTPException):
            return Web(port).get("/livez").text == "alive\n"
        return False

    def serves(port):
        with contextlib.suppress(psycopg.OperationalError), Endpoint("127.0.0.1", port).connect() as other:
            return other.execute("SELECT 1").fetchone() == (1,)
        return False
    for host in ("*", "127.0.0.1", "0.0.0.0"):
        router.reload({"http": {"listen": f"{host}:{mine}"}})
        wait_until(lambda host=host: is_open("127.0.0.2") == (host != "127.0.0.1"), 10, f"{host} holds")
        wait_until(lambda: is_alive(mine), 10)
    for first, second in ((theirs, mine), (mine, theirs)):
        router.reload({"http": {"listen": f"127.0.0.1:{first}"},
                       "workloads": {"session": {"listen": [f"127.0.0.1:{second}"]}}})
        wait_until(lambda first=first: is_alive(first), 10, "HTTP is there")
        wait_until(lambda second=second: serves(second), 10, "and clients here")


def test_reload_while_everybody_asks(both):
    """Doors come and go under load: no answer is a wrong one, nothing leaks."""
    router, web = both
    other, over, codes = Web(free_port()), threading.Event(), collections.Counter()

    def ask(where):
        while not over.is_set():
            for path in ("/metrics", "/api/clients", "/health/db", "/livez"):
                try:
                    codes[where.port, where.ask(path).code] += 1
                except OSError:
                    codes[where.port, "closed"] += 1
                except Exception as error:  # pylint: disable=broad-except
                    codes[where.port, type(error).__name__] += 1
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(ask, where) for where in (web, web, other, other)]
        for _ in range(10):
            before = codes[web.port, 200]
            router.reload({"http": {"listen": [f"127.0.0.1:{web.port}",
                                               f"127.0.0.1:{other.port}"]}})
            wait_until(lambda before=before: codes[web.port, 200] > before + 4, 10, "answers")
            router.reload({"http": {"listen": f"127.0.0.1:{web.port}"}})
        over.set()
        for job in jobs:
            job.result()
    assert set(codes) <= {(web.port, 200), (other.port, 200), (other.port, "closed"),
                          (other.port, "BadStatusLine"), (other.port, "IncompleteRead"),
                          (other.port, "RemoteDisconnected")}, codes
    assert codes[other.port, 200] > 0


# -------------------------------------------------------------------- bad manners

def raw(web, data, timeout=30):
    """Everything that comes back until the end."""
    with socket.create_connection(("127.0.0.1", web.port), timeout * SLOWDOWN) as sock:
        with contextlib.suppress(ConnectionError, BrokenPipeError):
            sock.sendall(data)
        found = b""
        with contextlib.suppress(ConnectionError):
            while chunk := sock.recv(65536):
                found += chunk
        return found


def test_methods_and_paths(both):
    _, web = both
    head, get = web.ask("/health/db", method="HEAD"), web.ask("/health/db")
    assert (head.code, head.text) == (200, "")
    assert head.headers["Content-Length"] == get.headers["Content-Length"]
    assert head.headers["Content-Type"] == get.headers["Content-Type"]
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"):
        answer = web.ask("/metrics", method=method)
        assert (answer.code, answer.headers["Allow"]) == (405, "GET, HEAD"), method
    assert web.ask("/metrics", method="POST", body=b"x" * 100000).code == 405
    assert web.ask("/metrics", method="GET", body=b"x" * 100).code == 413
    for path in ("/metric", "/metrics/", "/health", "/../etc/passwd", "/api/../metrics", "/%00",
                 "/api/" + "x" * 5000, "//"):
        assert web.ask(path).code == 404, path
    assert web.ask("/metrics?x=y").code == 200
    for header in ("X-Content-Type-Options", "Cache-Control"):
        assert get.headers[header]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health/db", "/api/pools", "/nothing"])
def test_arguments_mean_nothing(both, path):
    """However many there are: they are asked for in front of caches, and by scanners."""
    _, web = both
    plain = web.ask(path).code
    for query in ("", "a", "a=b&c", "&" * 9000, "a=1&" * 2500, "=" * 9000, "?" * 9000):
        answer = web.ask(f"{path}?{query}")
        assert (answer.code, bool(answer.text)) == (plain, True), query[:10]
    long = raw(web, b"GET %s?%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % (path.encode(), b"a=1&" * 5000))
    assert long.startswith(b"HTTP/1.1 414 "), long[:40]


@pytest.mark.parametrize("count", [1, 40, 120, 800])
def test_cookies_mean_nothing(both, count):
    """Browsers send all that they have for the name, which on localhost may be others' many."""
    _, web = both
    cookies = "; ".join(f"name{i}={'v' * 40}" for i in range(count))
    answer = web.ask("/health/db", headers={"Cookie": cookies})
    assert answer.code in ((200,) if count < 100 else (200, 431)) and answer.text


def test_garbage(both):
    """Whatever comes in: an answer or the end, and the next one is served."""
    _, web = both
    for data in (b"\0" * 100, b"GET\r\n\r\n", b"GET /metrics\r\n\r\n",
                 b"GET /livez HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + b"z" * 500,
                 b"\0\0\0\x08\x04\xd2\x16\x2f", b"GET / HTTP/1.1\r\nHost\r\n\r\n",
                 b"GET / HTTP/1.1\r\n\r\n", b"GET " + b"/" * 100000 + b" HTTP/1.1\r\n\r\n",
                 b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"A: " + b"b" * 100000 + b"\r\n\r\n",
                 b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"a: b\r\n" * 20000 + b"\r\n",
                 b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
                 b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                 b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999999\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", web.port), 30 * SLOWDOWN) as sock:
            with contextlib.suppress(OSError):
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionError):
                found = sock.recv(65536)
                assert found == b"" or found.startswith(b"HTTP/1."), (data[:40], found[:40])
        assert web.get("/livez").text == "alive\n", data[:40]


def test_slow_clients(make_web):
    """Who sends its head byte by byte, never sends it, or never reads, is cut off; and
    holds up nobody meanwhile."""
    router, web = make_web(timeout="1s")
    files = router.open_files()
    head = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n"
    with contextlib.ExitStack() as stack:
        def connect():
            return stack.enter_context(socket.create_connection(("127.0.0.1", web.port), 60))
        silent, drip, deaf = connect(), connect(), connect()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        drip.settimeout(0.05)
        begin, at, dripped_s = time.monotonic(), 0, None
        deaf.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200)
        while dripped_s is None:
            assert time.monotonic() - begin < 20 * SLOWDOWN
            try:
                drip.sendall(head[at:at + 1] or b"a")
                at += 1
                if drip.recv(1000) == b"":
                    dripped_s = time.monotonic() - begin
            except TimeoutError:
                pass
            except ConnectionError:
                dripped_s = time.monotonic() - begin
            assert web.get("/livez").text == "alive\n"
        assert dripped_s >= 0.9
        assert silent.recv(10) == b""
        wait_until(lambda: router.open_files() <= files, 20, "who does not read is cut off")


ASK = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"
FILLERS = {
    "silent": b"",
    "half a head": (ASK % b"/livez")[:-2],
    "between two requests": ASK % b"/readyz",
    "never reads": ASK % b"/metrics" * 2000,
}


def fill(stack, web, data, count):
    """Connections that say that and nothing more."""
    socks = []
    for _ in range(count):
        sock = stack.enter_context(socket.socket())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(60)
        sock.connect(("127.0.0.1", web.port))
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.send(data)
        sock.setblocking(True)
        sock.settimeout(60)
        if data == FILLERS["between two requests"]:
            assert sock.recv(1000).endswith(b"ready\n")
        socks.append(sock)
    return socks


@pytest.mark.parametrize("what", FILLERS)
def test_full_table_keeps_no_probe_out(make_web, what):
    """Whoever fills all places without being served makes room for those who ask."""
    router, web = make_web(max_connections=5, timeout="5min")
    files = router.open_files()
    with contextlib.ExitStack() as stack:
        fill(stack, web, FILLERS[what], 12)

        def is_served():
            with contextlib.suppress(OSError, HTTPException):
                return web.ask("/livez").code == 200
            return False
        for _ in range(8):
            # Who does not read has 2 s for it, each from another time on.
            if what == "never reads":
                wait_until(is_served, 20, "somebody has not read for long enough")
            else:
                assert is_served()
        wait_until(lambda: router.open_files() <= files + 5, 10, "no more than may be there")
    wait_until(lambda: router.open_files() <= files, 10, "all are gone")


def test_oldest_silent_one_goes_first(make_web):
    """Those who have made a request stay as long as there is somebody who has not."""
    _, web = make_web(max_connections=5, timeout="5min")
    with contextlib.ExitStack() as stack:
        kept = fill(stack, web, FILLERS["between two requests"], 2)
        half = fill(stack, web, FILLERS["half a head"], 3)
        for sock in half[:2]:
            fill(stack, web, FILLERS["half a head"], 1)
            assert sock.recv(10) == b""
        for sock, data in ((half[2], b"\r\n"), (kept[0], ASK % b"/livez"), (kept[1], ASK % b"/livez")):
            sock.sendall(data)
            assert sock.recv(1000).endswith(b"alive\n")


def test_silence_is_short(make_web):
    """Who says nothing at all is cut off long before the timeout; who has begun is not."""
    _, web = make_web(timeout="5min")
    with contextlib.ExitStack() as stack:
        begin = time.monotonic()
        (silent,) = fill(stack, web, b"", 1)
        (half,) = fill(stack, web, FILLERS["half a head"], 1)
        assert silent.recv(10) == b""
        assert time.monotonic() - begin >= 1.9
        half.sendall(b"\r\n")
        assert half.recv(1000).endswith(b"alive\n")


def test_too_many_connections(make_web):
    """Who is being served stays; more are closed unheard, and when they leave there is
    room again."""
    router, web = make_web(max_connections=6, timeout="60s")
    with contextlib.ExitStack() as stack:
        with frozen(router, "worker-1"):
            (last,) = fill(stack, web, FILLERS["between two requests"], 1)
            served = fill(stack, web, ASK % b"/livez", 5)
            # With the first answer the five have been let in, with the second heard.
            for _ in range(2):
                last.sendall(ASK % b"/readyz")
                assert last.recv(1000).endswith(b"ready\n")
            more = fill(stack, web, ASK % b"/livez", 20)
            heard = 0
            for sock in more:
                with contextlib.suppress(ConnectionError):
                    heard += sock.recv(1000) != b""
            assert heard <= 1
            assert last.recv(10) == b""
            for sock in served:
                assert b"a worker does not answer" in sock.recv(1000)
        for sock in served:
            sock.sendall(ASK % b"/readyz")
            assert sock.recv(1000).endswith(b"ready\n")
        assert web.get("/livez").text == "alive\n"


def test_one_address_leaves_room_for_others(make_web):
    """Somebody who asks and asks, and is served, has seven of eight places: a probe from
    elsewhere finds one."""
    router, web = make_web(max_connections=16, timeout="60s")

    def ready_from(address):
        connection = HTTPConnection("127.0.0.1", web.port, timeout=60, source_address=(address, 0))
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().read() == b"ready\n"
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()
    def others_find_a_place():
        """While 14 of 16 wait for their answers, which they do for two seconds only."""
        with contextlib.ExitStack() as stack:
            fill(stack, web, ASK % b"/livez", 14)
            # When these have their answers, those before them were let in.
            elsewhere = [ready_from("127.0.0.2") for _ in range(2)]
            return not ready_from("127.0.0.1") and elsewhere == [True, True] and \
                ready_from("127.0.0.2")
    with frozen(router, "worker-1"):
        wait_until(others_find_a_place, 60, "one is refused, the other one is not")
    wait_until(lambda: ready_from("127.0.0.1"), 10, "there is room again")


def test_leaves_in_the_middle(both):
    """Clients that go while their view is on its way: nobody minds, nothing leaks."""
    router, web = both
    files = router.open_files()
    for i in range(100):
        with socket.create_connection(("127.0.0.1", web.port), 30) as sock:
            sock.sendall(b"GET /api/clients HTTP/1.1\r\nHost: localhost\r\n\r\n" * (i % 5 + 1))
            if i % 2:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert web.get("/livez").text == "alive\n"
    wait_until(lambda: router.open_files() <= files + 1, 10, "all are gone")


def test_pipelined_requests(both):
    """Several at once are answered in their order, those that wait for workers too."""
    _, web = both
    found = raw(web, b"".join(
        b"GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n" % (path, more) for path, more in (
            (b"/livez", b""), (b"/readyz", b""), (b"/api/clients", b""), (b"/nothing", b""),
            (b"/livez", b"Connection: close\r\n"))))
    codes = [int(code) for code in re.findall(rb"HTTP/1\.1 (\d+)", found)]
    assert codes == [200, 200, 200, 404, 200]
    assert found.index(b"alive") < found.index(b"ready\n") < found.index(b"not found")


# ------------------------------------------------------------------ beside the load

def test_scrapes_lose_nothing(both):
    """Every 10 ms somebody scrapes while others work: each query is answered, each is
    counted, and counters only grow."""
    router, web = both
    over, scrapes = threading.Event(), []

    def scrape():
        while not over.wait(0.01):
            scrapes.append(web.metrics())

    def work(port):
        with getattr(router, port).wire() as wire:
            for i in range(400):
                assert wire.value(f"SELECT {i}") == str(i)
        return 400
    with concurrent.futures.ThreadPoolExecutor(7) as pool:
        job = pool.submit(scrape)
        works = [pool.submit(work, port) for port in ["transactional"] * 4 + ["session"] * 2]
        total = sum(work.result() for work in works)
        over.set()
        job.result()
    assert len(scrapes) >= 5
    last = web.metrics()
    assert last.sum("pgtandem_queries_total") == total
    scrapes.append(last)
    for before, after in zip(scrapes, scrapes[1:]):
        for key, value in before.samples.items():
            if key[0].endswith(("_total", "_count", "_bucket")) and key in after.samples:
                assert after.samples[key] >= value, key


def test_many_users_are_few_series(make_web, postgres):
    """Those who never logged in leave nothing behind; the others are told by name up to a
    limit."""
    router, web = make_web({"auth": {"auth_type": "trust"}})
    for i in range(30):
        with router.transactional.raw() as wire:
            wire.send(w.startup(f"made_up_{i}", "app"))
            with contextlib.suppress(Exception):
                wire.until_ready()
    with router.transactional.connect() as connection:
        connection.execute("SELECT 1")
    wait_until(lambda: len(web.metrics().values("pgtandem_logins_total")) <= 2, 40,
               "names without a login are forgotten")
    assert web.metrics().value("pgtandem_logins_total", user="app_scram") == 1


def rows_of_each_view(router):
    with router.admin() as admin:
        return {view: len(admin.execute(f"SHOW {view}").fetchall()) for view in (
            "pools", "workload_pools", "databases", "users", "stats", "stats_totals", "advice",
            "dns_hosts", "waiting", "clients", "servers", "histograms", "tls", "lists", "mem")}


def test_names_that_clients_make_up_do_not_pile_up(make_web):
    """Neither as rows of any view nor as series, however many there were."""
    router, web = make_web({"auth": {"auth_type": "trust"}})
    with router.transactional.wire() as wire:
        wire.query("SELECT 1")
        rows, lines = rows_of_each_view(router), len(web.metrics().samples)
        # These have no login with PostgreSQL; those no database there.
        made_up = [(f"made_up_{i}", "app") for i in range(150)] + \
            [("app_scram", f"made_up_{i}") for i in range(150)]

        def try_it(who):
            with router.transactional.raw() as raw:
                raw.send(w.startup(*who))
                with contextlib.suppress(EOFError):
                    return w.errors(raw.until_closed())
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            told = collections.Counter(error for errors in pool.map(try_it, made_up)
                                       for error in errors)
        assert told.total() == len(made_up) and told["3D000"] == 150, told

        def is_forgotten():
            now = rows_of_each_view(router)
            assert now == {**rows, "clients": now["clients"], "servers": now["servers"]}
            assert len(web.metrics().samples) <= lines + len(STATES) + 12
            return True
        wait_until(is_forgotten, 40, "they are forgotten", interval=0.5)
        # Not so what they did, in SHOW and here alike.
        totals = {row["name"]: int(row["value"]) for row in router.show("totals")}
        waited = web.metrics().sum("pgtandem_wait_spent_seconds_total")
        assert totals["total_wait_time"] == round(waited * 1e6) > 0


def test_series_beyond_the_bound_are_one(make_web):
    """2000 are told by name; what the others did is told all the same, and nothing twice."""
    bound = int(re.search(r"METRICS_SERIES_MAX = (\d+)",
                          (ROOT / "src" / "http" / "metrics.h").read_text())[1])
    names = [f"d{i}" for i in range(bound + 50)]
    # Names of one database have one pool: PostgreSQL has nothing to do with them.
    router, web = make_web({"auth": {"auth_type": "trust"}, "log": {"level": "warn"},
                            "databases": {name: {"host": "main", "dbname": "app"} for name in names}})

    def come(some):
        for name in some:
            with router.transactional.wire(dbname=name) as wire:
                wire.query("SELECT 1")
                wire.quit()

    def told():
        return {dict(labels)["database"]: value for (family, labels), value
                in web.metrics().samples.items() if family == "pgtandem_queries_total"}
    come(names[:100])
    first = set(told())
    assert first == set(names[:100])
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(come, [names[i::4] for i in range(4)]))
    wait_until(lambda: sum(told().values()) == len(names) + 100, 10, "all are counted")
    now = told()
    assert first < set(now) and len(now) == bound + 1
    assert now["(other)"] == len(names) - bound
    assert set(now.values()) == {1, 2, now["(other)"]}
    # In the views each has its row: the configuration names them.
    with router.admin() as admin:
        rows = admin.execute("SHOW STATS_TOTALS").fetchall()
    assert sum(row["query_count"] for row in rows if row["database"] in names) == len(names) + 100
    check_promtool(web.metrics().text)


def test_workload_that_changes_its_mode(both):
    """It is another one; while the old one drains no two samples have one name."""
    router, web = both
    with router.session.wire() as wire:
        wire.query("SELECT 1")
        router.reload({"workloads": {"session": {"pool_mode": "transaction"}}})
        metrics = web.metrics(openmetrics=True)
        assert metrics.value("pgtandem_clients", workload="session (session)") == 1
        assert metrics.value("pgtandem_clients", workload="session") == 0
        assert set(web.json("/health/db")) == {"transactional", "session"}
        wire.query("SELECT 1")

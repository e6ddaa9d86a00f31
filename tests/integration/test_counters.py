# SPDX-License-Identifier: ISC
"""Numbers that can be trusted: after a load every counter is what the load generator did,
and what PostgreSQL did by its own account, in /metrics and in SHOW alike."""
import collections
import concurrent.futures
import contextlib
import pathlib
import re
import ssl
import threading
import time

import psycopg
import pytest
from support import wire as w
from support.certs import Authority
from support.net import free_port, listening_ports
from support.postgres import DATABASE, DEFAULT_USER, USERS
from support.router import ADMIN
from support.wait import wait_until
from support.web import Web

pytestmark = pytest.mark.router_only

ROOT = pathlib.Path(__file__).resolve().parents[2]
COUNTERS = re.findall(r'^METRIC\(\w+, +"(\w+)", +COUNTER,',
                      (ROOT / "include" / "metrics.def").read_text(), re.M)


class Counted(w.Wire):
    """Counts what goes over it once the session has begun: the welcome is part of it."""

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.sent = self.received = 0

    def send(self, *parts):
        self.sent += sum(map(len, parts))
        super().send(*parts)

    def receive(self):
        message = super().receive()
        # What is asked comes before; that the answer was right is part of the welcome.
        if message.type == "R" and message.body[:4] not in (b"\0\0\0\0", b"\0\0\0\x0c"):
            self.sent = self.received = 0
        else:
            self.received += 5 + len(message.body)
        return message


def connect(endpoint, user=DEFAULT_USER, dbname=DATABASE, password=None):
    wire = Counted(endpoint.host, endpoint.port, timeout=90)
    try:
        wire.login(user, USERS[user][0] if password is None else password, dbname)
        wire.sent = 0
    except BaseException:
        wire.close()
        raise
    return wire


@pytest.fixture
def rig(make_router, tmp_path):
    """A router with TLS and HTTP, and its metrics before anything was done."""
    ca = Authority(tmp_path / "ca")
    ca.issue("server", "localhost", "DNS:localhost,IP:127.0.0.1")

    def make(**changes):
        port = free_port()
        router = make_router({
            "http": {"listen": f"127.0.0.1:{port}"},
            "hosts": {"main": {"connection_budget": 10}},
            "tls": {"client_tls_sslmode": "allow", "client_tls_key_file": ca.path("server.key"),
                    "client_tls_cert_file": ca.path("server.crt")}, **changes})
        wait_until(lambda: port in listening_ports(), 15, "it listens")
        return router, Web(port)
    return make


@contextlib.contextmanager
def logged(postgres, **settings):
    """PostgreSQL's log of what happens meanwhile, by these settings."""
    postgres.sql(*(f"ALTER SYSTEM SET {name} = '{value}'" for name, value in settings.items()),
                 "SELECT pg_reload_conf()")
    for name, value in settings.items():
        wait_until(lambda n=name, v=value: postgres.sql(f"SHOW {n}")[0][0] == v, 10, name)
    begin = postgres.logfile.stat().st_size

    def text():
        with open(postgres.logfile, encoding="utf-8", errors="replace") as log:
            log.seek(begin)
            return log.read()
    try:
        yield text
    finally:
        postgres.sql(*(f"ALTER SYSTEM RESET {name}" for name in settings),
                     "SELECT pg_reload_conf()")


def equal(metrics, family, wanted, **labels):
    """The sum over what the labels leave open."""
    assert metrics.sum(f"{family}_total", **labels) == wanted, (family, labels)


def everybody_left(router):
    wait_until(lambda: not any(row["clients"] for row in router.show("workloads")), 15, "all left")


class Load:
    """Simple and extended queries, transactions, named statements."""

    def __init__(self):
        self.lock = threading.Lock()
        self.done = collections.Counter()

    def run(self, endpoint, workload, user, rounds):
        did = collections.Counter()
        wire = connect(endpoint, user)
        for i in range(rounds):
            # One query, one transaction.
            wire.query(f"INSERT INTO items (body) VALUES ('{workload} {user} {i}')")
            # Three queries, one transaction.
            for sql in ("BEGIN", "INSERT INTO items (body) VALUES ('second')", "COMMIT"):
                wire.query(sql)
            # One series up to Sync: unnamed.
            wire.send(w.parse("SELECT $1::int + 1"), w.bind([i]), w.execute(), w.sync())
            assert w.rows(wire.until_ready()) == [(str(i + 1),)]
            # A named statement, prepared once and bound twice.
            wire.send(w.parse("SELECT $1::text", f"s{i}"), w.bind(["a"], f"s{i}"), w.execute(),
                      w.bind(["b"], f"s{i}"), w.execute(), w.sync())
            assert w.rows(wire.until_ready()) == [("a",), ("b",)]
            did.update(queries=6, transactions=4, inserts=2, parses=2, binds=3)
        # Terminate is no part of the session any more.
        did.update(logins=1, sent=wire.sent, received=wire.received)
        wire.quit()
        with self.lock:
            for name, value in did.items():
                self.done[workload, user, name] += value
                self.done[name] += value


def test_queries(rig, postgres):
    """Per workload and user: what was asked, what went over the wire, and what PostgreSQL
    saw of it."""
    router, web = rig()
    load = Load()
    jobs = [(port, user) for port in ("transactional", "session")
            for user in ("app_scram", "other") for _ in range(2)]
    before = postgres.sql("SELECT count(*) FROM items", dbname=DATABASE)[0][0]
    with logged(postgres, log_min_duration_statement="0", log_connections="on") as log:
        with concurrent.futures.ThreadPoolExecutor(len(jobs)) as pool:
            for job in [pool.submit(load.run, getattr(router, port), port, user, 25)
                        for port, user in jobs]:
                job.result()
        everybody_left(router)
        metrics = web.metrics()
        said = log()
    names = {"pgtandem_queries": "queries", "pgtandem_transactions": "transactions",
             "pgtandem_logins": "logins", "pgtandem_received_bytes": "sent",
             "pgtandem_sent_bytes": "received", "pgtandem_client_parses": "parses",
             "pgtandem_binds": "binds"}
    for port in ("transactional", "session"):
        for user in ("app_scram", "other"):
            for family, what in names.items():
                equal(metrics, family, load.done[port, user, what],
                      workload=port, database=DATABASE, user=user)
    # PostgreSQL has done all of it, once.
    after = postgres.sql("SELECT count(*) FROM items", dbname=DATABASE)[0][0]
    assert after - before == load.done["inserts"]
    # Each login there was one connect of ours.
    logins = len(re.findall(r"connection authorized: user=(?:app_scram|other) ", said))
    connects = metrics.value("pgtandem_server_connect_seconds_count", host="main")
    assert connects == logins > 0
    equal(metrics, "pgtandem_server_connect_failures", 0, host="main")
    # A Parse that it has logged is one that we have sent; on a session port they are the
    # clients' own.
    parsed = len(re.findall(r"(?:app_scram|other)@app .*duration: [0-9.]+ ms  parse ", said))
    equal(metrics, "pgtandem_server_parses", parsed)
    assert metrics.sum("pgtandem_server_parses_total", workload="session") == \
        metrics.sum("pgtandem_client_parses_total", workload="session")
    # On a session port a lease is a session, and a login that has to learn the welcome is
    # one; on the other one a transaction at most, or such a login.
    logins = metrics.sum("pgtandem_logins_total", workload="session")
    sessions = metrics.sum("pgtandem_server_assignments_total", workload="session")
    assert logins <= sessions <= 2 * logins
    # Nobody had to wait for what an idle session has; each that has left is cleaned once
    # at most, and nobody else's.
    equal(metrics, "pgtandem_sessions_lent", 0)
    assert metrics.sum("pgtandem_sessions_cleaned_total", workload="session") <= logins
    equal(metrics, "pgtandem_sessions_cleaned", 0, workload="transactional")
    leases = metrics.sum("pgtandem_server_assignments_total", workload="transactional")
    transactions = metrics.sum("pgtandem_transactions_total", workload="transactional")
    assert 0 < leases <= transactions + metrics.sum("pgtandem_logins_total",
                                                    workload="transactional")
    # Times: the counters are the sums of the histograms, and these have counted the same.
    for family, histogram, count in (
            ("pgtandem_transaction_spent_seconds", "transaction", "transactions"),
            ("pgtandem_query_spent_seconds", "query", "queries"),
            ("pgtandem_wait_spent_seconds", "wait", "server_assignments")):
        for port in ("transactional", "session"):
            assert metrics.value(f"pgtandem_{histogram}_seconds_count", workload=port) == \
                metrics.sum(f"pgtandem_{count}_total", workload=port)
            assert metrics.sum(f"{family}_total", workload=port) == pytest.approx(
                metrics.value(f"pgtandem_{histogram}_seconds_sum", workload=port), abs=1e-4)
    # The views say the same.
    (totals,) = [r for r in router.show("stats_totals") if r["database"] == DATABASE]
    (stats,) = [r for r in router.show("stats") if r["database"] == DATABASE]
    for column, total, family in (
            ("xact_count", "total_xact_count", "transactions"),
            ("query_count", "total_query_count", "queries"),
            ("bytes_received", "total_received", "received_bytes"),
            ("bytes_sent", "total_sent", "sent_bytes"),
            ("server_assignment_count", "total_server_assignment_count", "server_assignments"),
            ("client_parse_count", "total_client_parse_count", "client_parses"),
            ("server_parse_count", "total_server_parse_count", "server_parses"),
            ("bind_count", "total_bind_count", "binds"),
            ("client_login_count", "total_client_login_count", "logins")):
        value = metrics.sum(f"pgtandem_{family}_total", database=DATABASE)
        assert (totals[column], stats[total]) == (value, value), column
    for column, family in (("xact_time", "transaction"), ("query_time", "query"),
                           ("wait_time", "wait")):
        value = metrics.sum(f"pgtandem_{family}_spent_seconds_total", database=DATABASE)
        assert int(totals[column]) == round(value * 1e6), column
    histograms = {(r["workload"], r["what"]): r for r in router.show("histograms")}
    assert histograms["session", "query"]["count"] == \
        metrics.value("pgtandem_query_seconds_count", workload="session")
    assert histograms["session", "query"]["p50_us"] <= histograms["session", "query"]["p99_us"]


def test_times(rig, postgres):
    """Those of queries, transactions and waits lie between what PostgreSQL has logged and what the
    clients' clocks say, in sums and in SHOW alike."""
    router, web = rig(hosts={"main": {"connection_budget": 2}}, workloads={
        "transactional": {"guaranteed_connections": 1, "max_connections": 1}})
    seen, lock = collections.Counter(), threading.Lock()

    def spent():
        metrics = web.metrics()
        return [metrics.sum(f"pgtandem_{what}_spent_seconds_total", workload="transactional",
                            user="app_scram") for what in ("query", "transaction", "wait")]

    def work(wire):
        for _ in range(5):
            begun = time.monotonic()
            wire.query("BEGIN")
            inside = time.monotonic()
            wire.query("SELECT pg_sleep(0.02)")
            asked = time.monotonic()
            time.sleep(0.01)
            wire.query("COMMIT")
            over = time.monotonic()
            with lock:
                seen["waits and queries"] += over - begun - 0.01
                seen["transactions"] += over - inside
                seen["first"] += inside - begun
                seen["sleeps"] += asked - inside
        wire.quit()
    with logged(postgres, log_min_duration_statement="0") as log:
        wires = [connect(router.transactional) for _ in range(4)]
        # Logins wait for a server, too.
        before = spent()
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for job in [pool.submit(work, wire) for wire in wires]:
                job.result()
        everybody_left(router)
        after, said = spent(), log()
    took = sum(float(ms) for ms in re.findall(
        r"app_scram@app .*duration: ([0-9.]+) ms  statement: (?:BEGIN|COMMIT|SELECT pg_sleep)", said)) / 1e3
    query, transaction, wait = (later - first for first, later in zip(before, after))
    assert took > 0.4
    # What PostgreSQL did is a part of each query, and that of what clients waited for.  The
    # router looks at its clock once a turn: that may be some time ago where others are at work.
    assert took - 0.1 < query < seen["waits and queries"]
    # From the first query, which had waited before, to the last answer, and what clients do
    # in between.
    assert seen["sleeps"] + 20 * 0.01 - 0.1 < transaction < seen["first"] + seen["transactions"]
    assert transaction + wait < seen["first"] + seen["transactions"] + 0.1
    # Four share one server: three wait, and that for the transactions of the others.
    assert transaction / 2 < wait < seen["first"] + 0.1
    (totals,) = [r for r in router.show("stats_totals") if r["database"] == DATABASE]
    assert [int(totals[f"{what}_time"]) for what in ("query", "xact", "wait")] == \
        [round(value * 1e6) for value in after]


def test_how_clients_end(rig):
    """Each connection ends once, for one reason, at its workload; each failed login too."""
    router, web = rig(databases={"app": {"host": "main"}, "*": None})
    before = web.metrics()
    ended = collections.Counter()

    def end(port, reason, times=1):
        ended[port, reason] += times
    for port, times in (("transactional", 3), ("session", 2)):
        endpoint = getattr(router, port)
        for _ in range(times):
            connect(endpoint).quit()
            end(port, "quit")
            connect(endpoint).close()
            end(port, "lost")
            for user, password, code in (("app_scram", "wrong", "28P01"), ("app_scram", "", "28P01")):
                with pytest.raises((RuntimeError, EOFError), match=code):
                    connect(endpoint, user, password=password)
                end(port, "auth-failed")
            with pytest.raises(RuntimeError, match="3D000"):
                connect(endpoint, dbname="nowhere")
            end(port, "no-database")
            with endpoint.raw() as raw:
                raw.send(b"GET / HTTP/1.0\r\n\r\n")
                raw.until_closed()
            end(port, "not-postgres")

    def counted(metrics):
        return {key: metrics.value("pgtandem_client_closes_total", workload=key[0], reason=key[1])
                for key in ended}
    wait_until(lambda: counted(web.metrics()) == dict(ended), 15, "all have ended")
    metrics = web.metrics()
    # Nothing else has ended in between.
    assert metrics.sum("pgtandem_client_closes_total") - \
        before.sum("pgtandem_client_closes_total") == sum(ended.values())
    failures = {port: metrics.sum("pgtandem_auth_failures_total", workload=port)
                for port in ("transactional", "session")}
    assert failures == {port: ended[port, "auth-failed"] for port in failures}
    equal(metrics, "pgtandem_auth_failures", ended["transactional", "auth-failed"],
          workload="transactional", reason="wrong-password")


def test_tls(rig):
    """Full and resumed handshakes, failed ones, and who has TLS now."""
    router, web = rig()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    # A ticket of TLS 1.2 is there when the handshake is.
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    def secure(session=None):
        wire = router.session.raw()
        wire.send(w.SSL_REQUEST)
        assert wire.read(1) == b"S"
        wire.socket = context.wrap_socket(wire.socket, session=session)
        wire.login(DEFAULT_USER, USERS[DEFAULT_USER][0], DATABASE)
        return wire

    def told():
        metrics = web.metrics()
        return [metrics.value("pgtandem_tls_handshakes_total", workload="session", result=result)
                for result in ("full", "resumed", "failed")] + \
            [metrics.value("pgtandem_tls_clients", workload="session")]
    assert told() == [0, 0, 0, 0]
    with secure() as first, secure() as second:
        assert told() == [2, 0, 0, 2]
        with secure(first.socket.session) as third:
            assert third.socket.session_reused
            assert told() == [2, 1, 0, 3]
            (row,) = [r for r in router.show("tls") if r["name"] == "session"]
            assert [row["handshakes_full"], row["handshakes_resumed"], row["handshakes_failed"],
                    row["connections"]] == told()
        second.quit()
        wait_until(lambda: told()[3] == 1, 10, "two have left")
    with router.session.raw() as wire:
        wire.send(w.SSL_REQUEST)
        assert wire.read(1) == b"S"
        wire.send(b"\x16\x03\x01\x00\x05nonsense")
        wire.until_closed()
    wait_until(lambda: told() == [2, 1, 1, 0], 10, "it has failed")
    equal(web.metrics(), "pgtandem_tls_handshakes", 0, workload="transactional",
          result="failed")


def test_waits(rig, postgres):
    """Those that ended in vain, were refused, and leases that were ended or refused."""
    router, web = rig(
        hosts={"main": {"connection_budget": 3, "reclaim_grace": "200ms"}},
        workloads={
            "transactional": {"guaranteed_connections": 1, "max_connections": 3, "max_pinned": 1,
                              "max_waiting": 1, "query_wait_timeout": "1s"},
            "session": {"guaranteed_connections": 1, "max_connections": 1}})
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(contextlib.closing(connect(router.transactional)))
                 for _ in range(5)]
        assert not w.errors(wires[0].query("LISTEN here"))
        assert w.errors(wires[1].query("LISTEN there")) == ["53300"]
        metrics = web.metrics()
        equal(metrics, "pgtandem_pins", 1, reason="listen")
        equal(metrics, "pgtandem_pins", 1)
        equal(metrics, "pgtandem_pins_refused", 1, workload="transactional")
        equal(metrics, "pgtandem_pins_over", 0)
        for wire in wires[1:3]:
            wire.query("BEGIN")
        # All that may be had is in use: one waits in vain, the next one need not.
        wires[3].send(w.query("SELECT 1"))
        wait_until(lambda: router.show("waiting"), 10, "it waits")
        assert w.errors(wires[4].query("SELECT 1")) == ["53300"]
        assert w.errors(wires[3].until_ready()) == ["57014"]
        metrics = web.metrics()
        equal(metrics, "pgtandem_wait_timeouts", 1, workload="transactional")
        equal(metrics, "pgtandem_wait_refusals", 1, workload="transactional")
        # The session port wants what it is guaranteed: one that is idle in a transaction
        # gives it up.
        session = stack.enter_context(contextlib.closing(connect(router.session)))
        assert session.value("SELECT 1") == "1"
        equal(web.metrics(), "pgtandem_stalled_leases_ended", 1)
        budget = {r["workload"]: r for r in router.show("budget")}
        for column, family in (("stalled_ended", "stalled_leases_ended"),
                               ("pins_refused", "pins_refused"), ("pins_over", "pins_over")):
            for port in ("transactional", "session"):
                assert budget[port][column] == \
                    web.metrics().sum(f"pgtandem_{family}_total", workload=port)
        assert web.metrics().value("pgtandem_reclaim_seconds_count", workload="session") == \
            budget["session"]["reclaims"] == 1


def take_slots(postgres, stack):
    """All but those for superusers, and none by a session that is about to end."""
    watcher = stack.enter_context(postgres.connect())
    taken = 0
    while True:
        try:
            stack.enter_context(postgres.connect(user=DEFAULT_USER, dbname=DATABASE))
            taken += 1
        except psycopg.OperationalError as error:
            assert "remaining connection slots" in str(error)
            others, = watcher.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
                " AND pid <> pg_backend_pid()").fetchone()
            if others == taken:
                return


def test_no_slot_left_and_what_http_counts(rig, postgres):
    """PostgreSQL says 53300; and the HTTP server counts its own answers."""
    router, web = rig(hosts={"main": {"connection_budget": 10, "server_login_retry": "100ms"}},
                      defaults={"query_wait_timeout": "60s"})
    begin = web.metrics()
    asked = collections.Counter({"2xx": 1})
    with contextlib.ExitStack() as stack:
        take_slots(postgres, stack)
        with router.transactional.raw() as wire:
            wire.send(w.startup(DEFAULT_USER, DATABASE))
            wire.answer(wire.receive(), DEFAULT_USER, USERS[DEFAULT_USER][0])
            wire.answer(wire.receive(), DEFAULT_USER, USERS[DEFAULT_USER][0])
            wait_until(lambda: router.show("hosts")[0]["denied"] > 0, 15, "it is told")
            stack.close()
            wire.until_ready()
    metrics = web.metrics()
    asked["2xx"] += 1
    denied = router.show("hosts")[0]["denied"]
    equal(metrics, "pgtandem_host_denied", denied, host="main")
    equal(metrics, "pgtandem_server_connect_failures", denied, host="main",
          reason="no-slot")
    for path, code in (("/nowhere", "4xx"), ("/livez", "2xx"), ("/api/pools", "2xx")):
        web.ask(path)
        asked[code] += 1
    web.ask("/metrics", method="POST")
    asked["4xx"] += 1
    last = web.metrics()
    for code in ("2xx", "4xx", "5xx"):
        equal(last, "pgtandem_http_requests", asked[code] + begin.value(
            "pgtandem_http_requests_total", code=code), code=code)
    # CPU time is the kernel's.
    cpu = last.value("process_cpu_seconds_total")
    assert begin.value("process_cpu_seconds_total") <= cpu <= router.cpu_seconds() + 0.02


def test_passwords_that_are_fetched(rig, tmp_path):
    """Runs of a command, and those that gave nothing, as the command has counted them; and
    logins that PostgreSQL wanted a password in clear for."""
    runs, program = tmp_path / "runs", tmp_path / "tell"
    runs.touch()
    program.write_text(f"#!/bin/sh\n[ -e '{tmp_path}/sealed' ] && {{ echo no >> '{runs}'; exit 2; }}\n"
                       f"echo yes >> '{runs}'; echo '{USERS['other'][0]}'\n")
    program.chmod(0o755)
    router, web = rig(
        hosts={"main": {"connection_budget": 10, "server_cleartext_password": "never"}},
        databases={"reports": {"host": "main", "dbname": DATABASE, "user": "other",
                               "password_command": [str(program)]},
                   "clear": {"host": "main", "dbname": DATABASE, "user": "app_plain",
                             "password": USERS["app_plain"][0]}})
    with router.transactional.connect(dbname="reports") as c:
        assert c.execute("SELECT current_user").fetchone() == ("other",)
    (tmp_path / "sealed").touch()
    # Who has nothing to do with it any more is asked again.
    router.command("RELOAD")
    router.command("RECONNECT")
    with pytest.raises(psycopg.OperationalError):
        router.transactional.connect(dbname="clear").close()
    with contextlib.suppress(psycopg.OperationalError):
        with router.session.connect(dbname="reports") as c:
            c.execute("SELECT 1")

    def agree():
        told = runs.read_text().split()
        metrics, row = web.metrics(), router.show("hosts")[0]
        equal(metrics, "pgtandem_password_fetches", len(told), host="main")
        equal(metrics, "pgtandem_password_failures", told.count("no"), host="main")
        equal(metrics, "pgtandem_server_cleartext_refusals", row["cleartext_refusals"], host="main")
        return told.count("yes") and told.count("no") and row["cleartext_refusals"] > 0
    wait_until(agree, 15, "they agree")


def test_servers_closed_behind_code(rig, postgres):
    """Each is another process of PostgreSQL's."""
    postgres.sql("CREATE FUNCTION unseen_run(sql text) RETURNS int LANGUAGE plpgsql SECURITY DEFINER"
                 " AS 'BEGIN EXECUTE sql; RETURN pg_backend_pid(); END'", dbname=DATABASE)
    try:
        router, web = rig(workloads={"transactional": {"guaranteed_connections": 1,
                                                       "max_connections": 1}})
        with router.transactional.wire() as a, router.transactional.wire() as b:
            pids = [wire.value("SELECT unseen_run('SELECT 1')") for wire in [a, b, b, a, a, b]]
        assert len(set(pids)) == 4
        equal(web.metrics(), "pgtandem_unseen_closes", 3, workload="transactional")
    finally:
        postgres.sql("DROP FUNCTION unseen_run", dbname=DATABASE)


def test_none_is_left_out():
    """Each counter that there is is compared by one of these tests, or by those of the log and
    of servers' ends."""
    here = pathlib.Path(__file__)
    text = "".join(path.read_text(encoding="utf-8") for path in (
        here, here.with_name("test_log.py"), here.with_name("test_server_ends.py")))
    assert len(COUNTERS) > 25
    # ... and each column of SHOW STATS_TOTALS.
    columns = re.findall(r'^STAT\(\w+, +"(\w+)"', (ROOT / "include" / "stats.def").read_text(), re.M)
    names = {"received": "bytes_received", "sent": "bytes_sent"}
    assert len(columns) == 12
    assert [name for name in columns if f'"{names.get(name, name)}"' not in text] == []
    told = {name.removesuffix("_total")
            for name in re.findall(r"\b(?:pgtandem|process)_\w+", text)}
    assert sorted(set(COUNTERS) - told) == []


def test_administrators_are_not_in_the_way(rig):
    """The console's own clients count at their port, and as no client of a database."""
    router, web = rig()
    with router.admin() as admin:
        admin.execute("SHOW VERSION")
        assert web.metrics().value("pgtandem_clients", workload="transactional") == 0
    assert {r["database"] for r in router.show("stats")} == {"pgbouncer"}
    with pytest.raises(psycopg.OperationalError):
        router.transactional.connect(user=ADMIN[0], dbname="pgbouncer", password="wrong",
                                     sslmode="disable")
    wait_until(lambda: web.metrics().value("pgtandem_auth_failures_total",
                                           workload="transactional",
                                           reason="wrong-password") == 1, 10, "it is counted")

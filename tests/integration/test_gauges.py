# SPDX-License-Identifier: ISC
"""Each gauge and histogram of /metrics is what the views, /health/db, PostgreSQL or the
kernel say of the same thing; that none is left out is a test of its own."""
import calendar
import contextlib
import os
import re
import time

import psycopg
import pytest
from psycopg.rows import dict_row
from support import wire as w
from support.certs import Authority
from support.net import free_port, listening_ports
from support.postgres import DATABASE, DEFAULT_USER, USERS
from support.router import ADMIN, ROOT, Router, merge
from support.wait import SLOWDOWN, wait_until
from support.web import Web

pytestmark = pytest.mark.router_only

STATES = ("idle", "leased", "connecting", "closing")
LEVELS = ["ok", "warning", "critical", "emergency"]
OTHERS = re.findall(r'^METRIC\(\w+, +"(\w+)", +(?:GAUGE|HISTOGRAM|INFO),',
                    (ROOT / "include" / "metrics.def").read_text(), re.M)

# A column for each.
OF_HOSTS = {
    "pgtandem_host_budget": "connection_budget",
    "pgtandem_host_processes_before": "processes_before",
    "pgtandem_host_servers_quarantined": "quarantined",
    "pgtandem_host_waiting": "waiting",
    "pgtandem_host_cancel_connections": "cancel_connections",
    "pgtandem_host_replication_connections": "replication_connections",
    "pgtandem_host_max_connections": "server_max_connections",
    "pgtandem_host_reserved_connections": "server_reserved",
    "pgtandem_host_other_connections": "other_connections",
}
OF_BUDGET = {
    "pgtandem_budget_guaranteed": "guaranteed",
    "pgtandem_budget_max": "max",
    "pgtandem_budget_borrowed": "borrowed",
    "pgtandem_budget_lent": "lent",
    "pgtandem_budget_waiting": "waiting",
    "pgtandem_budget_pinned": "pinned",
    "pgtandem_budget_pinned_max": "max_pinned",
}
OF_WORKLOADS = {"pgtandem_clients": "clients", "pgtandem_clients_max": "max_client_conn"}
OF_HISTOGRAMS = {
    "pgtandem_wait_seconds": "wait", "pgtandem_login_seconds": "login",
    "pgtandem_transaction_seconds": "transaction", "pgtandem_query_seconds": "query",
    "pgtandem_server_connect_seconds": "connect",
}


def seconds(text):
    return calendar.timegm(time.strptime(text, "%Y-%m-%d %H:%M:%S UTC"))


@pytest.fixture
def rig(make_router, tmp_path):
    """A router that has something to say of everything."""
    ca = Authority(tmp_path / "ca")
    ca.issue("server", "localhost", "DNS:localhost,IP:127.0.0.1")
    ca.issue("client", "other")
    port = free_port()

    def make(changes=None):
        router = make_router(merge({
            "http": {"listen": f"127.0.0.1:{port}"},
            "hosts": {"main": {
                "connection_budget": 10, "user": "other", "password": USERS["other"][0],
                "budget_check_interval": "100ms", "server_tls_key_file": ca.path("client.key"),
                "server_tls_cert_file": ca.path("client.crt")}},
            "workloads": {
                "transactional": {"guaranteed_connections": 4, "max_connections": 6,
                                  "max_client_conn": 50},
                "session": {"guaranteed_connections": 5, "max_connections": 5}},
            "tls": {"client_tls_sslmode": "allow", "client_tls_key_file": ca.path("server.key"),
                    "client_tls_cert_file": ca.path("server.crt")}}, changes or {}))
        wait_until(lambda: port in listening_ports(), 15, "it listens")
        return router, Web(port)
    return make


class Look:
    """Everything that is asked at one moment."""

    def __init__(self, router, web):
        self.router, self.web = router, web
        # Without TLS: it would be one of those that are counted.
        with router.session.connect(user=ADMIN[0], dbname="pgbouncer", sslmode="disable",
                                    row_factory=dict_row) as console:
            def show(view):
                return console.execute(f"SHOW {view}").fetchall()
            self.hosts = {row["host"]: row for row in show("hosts")}
            self.budget = {(row["host"], row["workload"]): row for row in show("budget")}
            self.workloads = {row["workload"]: row for row in show("workloads")}
            self.clients, self.tls = show("clients"), show("tls")
            self.histograms = show("histograms")
            self.version = show("version")[0]["version"]
            self.settings = {row["key"]: row["value"] for row in show("settings")}
        self.health = web.json("/health/db")
        self.metrics = web.metrics()

    def all_equal(self, family, rows, column, **labels):
        """For each row; not one of the two has more than the other."""
        assert len(self.metrics.values(family)) == len(rows) > 0, family
        for row in rows:
            assert self.metrics.value(family, **{
                label: row[name] for label, name in labels.items()}) == row[column], (family, row)

    def check_hosts(self):
        for family, column in OF_HOSTS.items():
            self.all_equal(family, self.hosts.values(), column, host="host")
        for name, row in self.hosts.items():
            for state in STATES:
                assert self.metrics.value("pgtandem_host_servers", host=name, state=state) == row[state]
            room = row["server_max_connections"] - row["server_reserved"]
            # Nothing is known before PostgreSQL was asked.
            if row["server_max_connections"] == 0:
                room = 262143
            above = row["connection_budget"] > room
            assert self.metrics.value("pgtandem_host_budget_above_limits", host=name) == above
            assert self.metrics.value("pgtandem_host_budget_crowded", host=name) == (
                not above and row["connection_budget"] + row["other_connections"] > room)
            assert self.metrics.value("pgtandem_host_up", host=name) == (row["error"] is None)

    def check_budget(self):
        for family, column in OF_BUDGET.items():
            self.all_equal(family, self.budget.values(), column, host="host", workload="workload")
        for (host, name), row in self.budget.items():
            for state in STATES:
                assert self.metrics.value("pgtandem_budget_servers", host=host, workload=name,
                                          state=state) == row[state]
            waited = row["maxwait"] + row["maxwait_us"] / 1e6
            now = self.metrics.value("pgtandem_budget_oldest_wait_seconds", host=host, workload=name)
            assert waited <= now <= waited + 10 if row["waiting"] else now == 0
            reclaims = self.metrics.value("pgtandem_reclaim_seconds_count", host=host, workload=name)
            assert reclaims == row["reclaims"]

    def check_workloads(self):
        for family, column in OF_WORKLOADS.items():
            self.all_equal(family, self.workloads.values(), column, workload="workload")
        for name, row in self.workloads.items():
            # The router itself is no port.
            if name == "(router)":
                continue
            assert LEVELS[int(self.metrics.value("pgtandem_workload_level", workload=name))] == \
                self.health[name]["level"]
            held = row["oldest_lease_ms"] / 1000
            now = self.metrics.value("pgtandem_budget_oldest_lease_seconds", workload=name)
            assert held <= now <= held + 10 if row["oldest_lease_id"] else now == 0, row
        states = {dict(has)["state"]: value for (name, has), value in self.metrics.samples.items()
                  if name == "pgtandem_clients_in_state"}
        for state in ("active", "idle", "waiting"):
            shown = [row for row in self.clients if row["state"] == state and
                     row["database"] != "pgbouncer"]
            assert states[state] == len(shown), state

    def check_tls(self):
        for row in self.tls:
            if row["side"] == "client":
                labels = {"workload": row["name"]}
                assert self.metrics.value("pgtandem_tls_clients", **labels) == row["connections"]
                family = "pgtandem_certificate_expiry_seconds"
            else:
                labels = {"host": row["name"]}
                family = "pgtandem_host_certificate_expiry_seconds"
            assert self.metrics.value(family, **labels) == pytest.approx(
                seconds(row["expires"]), abs=1)

    def check_histograms(self):
        for family, what in OF_HISTOGRAMS.items():
            rows = [row for row in self.histograms if row["what"] == what]
            assert len(rows) == len(self.metrics.values(f"{family}_count")) > 0
            for row in rows:
                labels = {"host": row["host"]} if what == "connect" else \
                    {"workload": row["workload"]}
                assert self.metrics.value(f"{family}_count", **labels) == row["count"], row
                assert self.metrics.value(f"{family}_sum", **labels) == pytest.approx(
                    int(row["total_us"]) / 1e6, abs=1e-4), row

    def check_process(self):
        assert self.metrics.value("pgtandem_build_info", version=self.version.split()[-1]) == 1
        assert (self.metrics.value("pgtandem_ready") == 1) == (self.web.ask("/readyz").code == 200)
        assert self.metrics.value("pgtandem_process_clients_max") == \
            int(self.settings["process.max_client_conn"])
        for family, field in (("resident", "VmRSS"), ("virtual", "VmSize")):
            assert self.metrics.value(f"process_{family}_memory_bytes") == pytest.approx(
                self.router.memory(field), rel=0.1)
        assert abs(self.metrics.value("process_open_fds") - self.router.open_files()) <= 4
        with open(f"/proc/{self.router.process.pid}/limits", encoding="ascii") as limits:
            most = re.search(r"Max open files +(\d+)", limits.read())[1]
        assert self.metrics.value("process_max_fds") == int(most)
        # In ticks since the boot, as the kernel has it.
        with open(f"/proc/{self.router.process.pid}/stat", encoding="ascii") as stat:
            ticks = int(stat.read().rsplit(")", 1)[1].split()[19])
        with open("/proc/stat", encoding="ascii") as stat:
            boot = int(re.search(r"^btime (\d+)", stat.read(), re.M)[1])
        assert self.metrics.value("process_start_time_seconds") == pytest.approx(
            boot + ticks / os.sysconf("SC_CLK_TCK"), abs=2)

    def check(self):
        for part in (self.check_hosts, self.check_budget, self.check_workloads, self.check_tls,
                     self.check_process):
            part()
        return True


def equal_at_rest(router, web):
    """Nothing moves but what the router asks PostgreSQL itself: a look may come amid that."""
    wait_until(lambda: Look(router, web).check(), 15, "all say the same")
    return Look(router, web)


def test_they_are_what_the_views_say(rig, postgres):
    """Borrowed, waiting, pinned, with TLS, a replication connection: at rest all agree."""
    router, web = rig()
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(router.transactional.wire()) for _ in range(8)]
        assert not w.errors(wires[0].query("LISTEN here"))
        for wire in wires[1:6]:
            wire.query("BEGIN")
        wires[6].send(w.query("SELECT 1"))
        wait_until(lambda: router.show("waiting"), 10, "it waits")
        stack.enter_context(router.session.wire()).query("SELECT 1")
        stack.enter_context(router.session.connect(sslmode="require")).execute("SELECT 1")
        stack.enter_context(router.session.connect(user="repl", replication="database"))
        direct = [stack.enter_context(postgres.connect(user=DEFAULT_USER, dbname=DATABASE))
                  for _ in range(5)]
        assert len(direct) == 5

        def it_is_seen():
            return router.show("hosts")[0]["other_connections"] >= 5
        wait_until(it_is_seen, 10, "the others are counted")
        look = equal_at_rest(router, web)
        # It is not all zeros that agree.
        zeros = [family for family in list(OF_HOSTS) + list(OF_BUDGET) + list(OF_WORKLOADS)
                 if not look.metrics.sum(family)]
        assert zeros == ["pgtandem_host_processes_before", "pgtandem_host_servers_quarantined",
                         "pgtandem_host_cancel_connections"]
        # The two of psycopg.
        assert look.metrics.sum("pgtandem_tls_clients") == 2
        # PostgreSQL counts the same.
        host = look.hosts["main"]
        assert host["used"] == postgres.count(f"usename = '{DEFAULT_USER}'") - 5 + \
            postgres.count("usename = 'other'")


def test_what_the_console_holds(rig):
    """What somebody has forgotten to take back is seen without asking each view."""
    router, web = rig()

    def held():
        told = {by: web.metrics().value("pgtandem_held", by=by) for by in ("pause", "disable", "suspend")}
        rows = router.show("databases")
        state = {row["key"]: row["value"] for row in router.show("state")}
        assert told["disable"] == sum(row["disabled"] for row in rows)
        assert (told["suspend"] == 1) == (state["suspended"] == "yes")
        assert (told["pause"] > 0) == any(row["paused"] for row in rows)
        for by in ("pause", "suspend"):
            assert (web.metrics().value("pgtandem_held_seconds", by=by) > 0) == (told[by] > 0)
        holds = {name: one["hold"] for name, one in web.json("/health/db").items()}
        wanted = "suspend" if told["suspend"] else "pause" if told["pause"] else None
        assert holds == {"transactional": wanted, "session": wanted}
        return tuple(told.values())

    with router.session.connect(dbname=DATABASE) as connection:
        connection.execute("SELECT 1")
    wait_until(lambda: not any(row["clients"] for row in router.show("workloads")), 10, "it has left")
    for commands in (("DISABLE a", (0, 1, 0)), ("DISABLE b", (0, 2, 0)), ("ENABLE a", (0, 1, 0)),
                     (f"PAUSE {DATABASE}", (1, 1, 0)), ("PAUSE", (2, 1, 0)), ("KILL c", (3, 1, 0)),
                     ("RESUME", (2, 1, 0)), ("RESUME c", (1, 1, 0)), (f"RESUME {DATABASE}", (0, 1, 0)),
                     ("SUSPEND", (0, 1, 1)), ("RESUME", (0, 1, 0)), ("ENABLE b", (0, 0, 0))):
        command, wanted = commands
        router.command(command)
        assert held() == wanted, command


def test_how_the_last_reload_went(rig):
    router, web = rig()
    good, text = "pgtandem_config_last_reload_successful", router.config_file.read_text()
    at = "pgtandem_config_last_reload_success_timestamp_seconds"
    first = web.metrics().value(at)
    assert web.metrics().value(good) == 1
    # The start is one.
    assert abs(first - web.metrics().value("process_start_time_seconds")) < 60 * SLOWDOWN
    router.expect_error("reload-failed")
    for _ in range(2):
        router.config_file.write_text(text + "nonsense: 1\n")
        router.reload(expect="error")
        wait_until(lambda: web.metrics().value(good) == 0, 10, "it is told that it was refused")
        assert web.metrics().value(at) == first
        router.config_file.write_text(text)
        with pytest.raises(psycopg.Error):
            router.command("SET nonsense = 1")
        # No reload.
        assert web.metrics().value(good) == 0
        assert router.command("RELOAD") == "RELOAD"
        wait_until(lambda: web.metrics().value(good) == 1, 10, "it is told that it is in force")
        assert web.metrics().value(at) > first
        first = web.metrics().value(at)


def test_histograms_are_what_the_view_says(rig):
    router, web = rig({"hosts": {"main": {"user": None, "password": None,
                                          "budget_check_interval": None}}})
    for port in (router.transactional, router.session):
        with port.wire() as wire:
            for i in range(5):
                wire.query("BEGIN")
                assert wire.value(f"SELECT {i}") == str(i)
                wire.query("COMMIT")
            wire.quit()
    wait_until(lambda: not any(row["clients"] for row in router.show("workloads")), 10, "all left")

    def agree():
        look = Look(router, web)
        look.check_histograms()
        assert look.metrics.value("pgtandem_query_seconds_count", workload="session") == 15
        return True
    wait_until(agree, 10, "they agree")


def test_a_budget_that_others_crowd(rig, postgres):
    router, web = rig({"hosts": {"main": {"connection_budget": 60}}})
    with contextlib.ExitStack() as stack:
        for _ in range(45):
            stack.enter_context(postgres.connect(user=DEFAULT_USER, dbname=DATABASE))
        wait_until(lambda: web.metrics().value("pgtandem_host_budget_crowded", host="main") == 1,
                   10, "it is crowded")
        equal_at_rest(router, web)
    wait_until(lambda: web.metrics().value("pgtandem_host_budget_crowded", host="main") == 0, 10,
               "they have gone")


def test_a_budget_above_what_there_is(rig, postgres):
    """PostgreSQL was started again, with less."""
    router, web = rig({"hosts": {"main": {"connection_budget": 60}}})
    router.expect_error("server-|budget")
    # At the start it would be a reason not to.
    wait_until(lambda: router.show("hosts")[0]["server_max_connections"], 10, "it has asked")
    postgres.sql("ALTER SYSTEM SET max_connections = 40")
    try:
        postgres.stop()
        postgres.start()
        wait_until(lambda: web.metrics().value("pgtandem_host_budget_above_limits", host="main"),
                   20, "it is above")
        look = equal_at_rest(router, web)
        assert look.hosts["main"]["server_max_connections"] == 40
    finally:
        postgres.sql("ALTER SYSTEM RESET max_connections")
        postgres.stop()
        postgres.start()
    wait_until(lambda: web.metrics().value("pgtandem_host_budget_above_limits", host="main") == 0,
               20, "it can be had again")


def test_a_host_that_is_down(rig, postgres):
    router, web = rig({"hosts": {"main": {"server_login_retry": "10s"}}})
    router.expect_error("server-")
    postgres.stop()
    with router.transactional.raw() as wire:
        wire.send(w.startup(DEFAULT_USER, DATABASE))
        with contextlib.suppress(psycopg.Error):
            wait_until(lambda: web.metrics().value("pgtandem_host_up", host="main") == 0, 10,
                       "it is down")
        look = Look(router, web)
        look.check_hosts()
        look.check_process()
        assert look.metrics.value("pgtandem_ready") == 0
    postgres.start()


def test_none_is_left_out():
    """Each gauge and histogram that there is is compared above."""
    assert os.access(Router.program(), os.X_OK)
    with open(__file__, encoding="utf-8") as file:
        named = set(re.findall(r"\b(?:pgtandem|process)_\w+", file.read()))
    named |= {"process_resident_memory_bytes", "process_virtual_memory_bytes"}
    told = {re.sub(r"_(count|sum|info)$", "", name) for name in named} | named
    assert len(OTHERS) > 40
    assert sorted(set(OTHERS) - told) == []

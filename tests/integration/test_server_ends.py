# SPDX-License-Identifier: ISC
"""Why connections to PostgreSQL are closed: /metrics and the log say the same of each, and
what is left is what PostgreSQL has."""
import collections
import re
import signal

import pytest
from support import wire as w
from support.net import free_port, listening_ports
from support.postgres import DATABASE, DEFAULT_USER
from support.router import ROOT, merge
from support.wait import wait_until
from support.web import Web

pytestmark = pytest.mark.router_only

CLOSED = re.compile(r" server-close server=(\d+) pid=\d+ host=main .* reason=(\S+) age_ms=\d+")
REASONS = re.findall(r'^SERVER_END\(\w+,\s*"([^"]+)"',
                     (ROOT / "include" / "server_ends.def").read_text(encoding="utf-8"), re.M)


class Ends:
    """What metrics and the log tell of servers that have gone."""

    def __init__(self, router, port):
        self.router, self.web = router, Web(port)

    def counted(self):
        metrics = self.web.metrics()
        values = {reason: metrics.value("pgtandem_server_closes_total", host="main", reason=reason)
                  for reason in REASONS}
        assert metrics.sum("pgtandem_server_closes_total") == sum(values.values())
        return +collections.Counter(values)

    def logged(self):
        return collections.Counter(reason for _, reason in CLOSED.findall(self.router.log()))

    def are(self, **reasons):
        """These, and no others."""
        wanted = collections.Counter({name.replace("_", "-"): count
                                      for name, count in reasons.items()})
        def told():
            assert self.counted() == wanted
            assert self.logged() == wanted
            return True
        wait_until(told, 15)

    def add_up(self):
        """What came is there, or has gone."""
        def come_and_gone():
            metrics = self.web.metrics()
            there = metrics.sum("pgtandem_host_servers", host="main")
            gone = metrics.sum("pgtandem_server_closes_total", host="main")
            failed = sum(metrics.value("pgtandem_server_closes_total", host="main", reason=reason)
                         for reason in ("login-failed", "replication"))
            came = metrics.value("pgtandem_server_connect_seconds_count", host="main")
            return came == there + gone - failed
        wait_until(come_and_gone, 15, "none is missing")


@pytest.fixture
def rig(make_router):
    """One server for each port at most: none comes beside, however slow the machine is."""
    port = free_port()

    def make(changes=None):
        router = make_router(merge({
            "http": {"listen": f"127.0.0.1:{port}"}, "log": {"level": "debug"},
            "hosts": {"main": {"connection_budget": 4}},
            "workloads": {"transactional": {"guaranteed_connections": 1, "max_connections": 1},
                          "session": {"guaranteed_connections": 1, "max_connections": 1}}},
            changes or {}))
        wait_until(lambda: port in listening_ports(), 15, "it listens")
        return router, Ends(router, port)
    return make


def test_by_command(rig):
    router, ends = rig()
    with router.transactional.wire() as wire:
        wire.query("SELECT 1")
        ends.are()
        router.command("RECONNECT")
        ends.are(obsolete=1)
        wire.query("SELECT 1")
        router.command("PAUSE")
        ends.are(obsolete=1, paused=1)
        router.command("RESUME")
        wire.query("SELECT 1")
        ends.add_up()


@pytest.mark.parametrize("setting, reason", [("server_idle_timeout", "idle"),
                                             ("server_lifetime", "lifetime")])
def test_by_age(rig, setting, reason):
    router, ends = rig({"defaults": {setting: "1s"}})
    with router.transactional.wire() as wire:
        wire.query("SELECT 1")
        ends.are(**{reason: 1})
        ends.add_up()


def test_by_limits(rig):
    """Another user needs the place; a reload takes one away."""
    router, ends = rig({"workloads": {"transactional": {"guaranteed_connections": 2,
                                                        "max_connections": 2}}})
    with router.transactional.wire() as one, router.transactional.wire() as two:
        one.query("BEGIN")
        two.query("BEGIN")
        one.query("COMMIT")
        two.query("COMMIT")
        ends.are()
        with router.transactional.wire(user="other") as three:
            three.query("SELECT 1")
            ends.are(evicted=1)
        router.reload({"workloads": {"transactional": {"guaranteed_connections": 1,
                                                       "max_connections": 1}}})
        ends.are(evicted=1, surplus=1)
        ends.add_up()


@pytest.mark.parametrize("query, reason", [("", "state"), ("SELECT 1/0", "clean_failed")])
def test_by_what_a_session_leaves(rig, query, reason):
    router, ends = rig({"defaults": {"server_reset_query": query}})
    with router.session.wire() as wire:
        wire.query("SELECT 1")
        wire.quit()
    ends.are(**{reason: 1})
    ends.add_up()


def test_by_code(rig, postgres):
    """As often as pgtandem_unseen_closes tells for its workload."""
    postgres.sql("CREATE FUNCTION unseen_end(sql text) RETURNS int LANGUAGE plpgsql SECURITY DEFINER"
                 " AS 'BEGIN EXECUTE sql; RETURN pg_backend_pid(); END'", dbname=DATABASE)
    try:
        router, ends = rig()
        with router.transactional.wire() as a, router.transactional.wire() as b:
            for wire in a, b, a:
                wire.value("SELECT unseen_end('SELECT 1')")
        ends.are(unseen=2)
        assert ends.web.metrics().value("pgtandem_unseen_closes_total", workload="transactional") == 2
    finally:
        postgres.sql("DROP FUNCTION unseen_end", dbname=DATABASE)


def test_by_peers(rig, postgres):
    router, ends = rig()
    with router.transactional.wire() as wire:
        wire.query("BEGIN")
        postgres.terminate(f"usename = '{DEFAULT_USER}'")
        wire.until_closed()
    ends.are(fatal=1)
    with router.transactional.wire() as wire:
        wire.query("SELECT 1")
        postgres.terminate(f"usename = '{DEFAULT_USER}'")
        ends.are(fatal=1, lost=1)
    # What it has begun is never ended by a Sync of the router's.
    with router.session.wire() as wire:
        wire.send(w.parse("SELECT 1"), w.flush())
        assert wire.receive().type == "1"
        wire.close()
    ends.are(fatal=1, lost=1, client_gone=1)
    with router.session.wire(user="repl", replication="database") as wire:
        wire.query("IDENTIFY_SYSTEM")
        wire.quit()
    ends.are(fatal=1, lost=1, client_gone=1, replication=1)
    ends.add_up()
    with pytest.raises(RuntimeError, match="3D000"):
        router.transactional.wire(dbname="nowhere")
    wait_until(lambda: ends.counted()["login-failed"] > 0, 15, "PostgreSQL has no such database")
    ends.add_up()


def test_each_ends_once(rig):
    """Those that are there when the process ends, too."""
    router, ends = rig()
    with router.transactional.wire() as one, router.session.wire() as two:
        # A session keeps its server, and what is idle goes to whoever comes first.
        two.query("SELECT 1")
        one.query("SELECT 1")
        router.command("RECONNECT")
        one.query("SELECT 1")
        ends.are(obsolete=1)
        router.signal(signal.SIGQUIT)
        assert router.wait_exit() == 0
    came = re.findall(r" server-login server=(\d+) ", router.log())
    gone = CLOSED.findall(router.log())
    assert sorted(came) == sorted(number for number, _ in gone) and len(set(came)) == 3
    assert collections.Counter(reason for _, reason in gone) == {"obsolete": 1, "shutdown": 2}

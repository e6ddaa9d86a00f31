# SPDX-License-Identifier: ISC
"""The console: PgBouncer's SHOW columns, in order, own ones behind them; who may."""
import re
import subprocess

import psycopg
import pytest
from support import wire as w
from support.router import ADMIN, STATS, Router
from support.wait import wait_until

pytestmark = pytest.mark.router_only

# PgBouncer 1.25: the columns that scripts and exporters know, in this order.
COLUMNS = {
    "pools": "database user cl_active cl_waiting cl_active_cancel_req cl_waiting_cancel_req"
             " sv_active sv_active_cancel sv_being_canceled sv_idle sv_used sv_tested sv_login"
             " maxwait maxwait_us pool_mode load_balance_hosts",
    "stats": "database total_server_assignment_count total_xact_count total_query_count"
             " total_received total_sent total_xact_time total_query_time total_wait_time"
             " total_client_parse_count total_server_parse_count total_bind_count"
             " total_client_login_count avg_server_assignment_count avg_xact_count"
             " avg_query_count avg_recv avg_sent avg_xact_time avg_query_time avg_wait_time"
             " avg_client_parse_count avg_server_parse_count avg_bind_count"
             " avg_client_login_count",
    "servers": "type user database replication state addr port local_addr local_port"
               " connect_time request_time wait wait_us close_needed ptr link remote_pid tls"
               " application_name prepared_statements id",
    "databases": "name host port database force_user pool_size min_pool_size"
                 " reserve_pool_size server_lifetime pool_mode load_balance_hosts"
                 " max_connections current_connections max_client_connections"
                 " current_client_connections paused disabled",
    "config": "key value default changeable",
    "version": "version",
}
COLUMNS["clients"] = COLUMNS["servers"]


@pytest.mark.parametrize("what", sorted(COLUMNS))
def test_columns(router, what):
    with router.transactional.connect() as connection:
        connection.execute("SELECT 1")
        with router.admin() as admin:
            cursor = admin.execute(f"SHOW {what.upper()}")
            names = [column.name for column in cursor.description]
            assert names[:len(COLUMNS[what].split())] == COLUMNS[what].split()
            if what in ("config", "version"):
                assert len(names) == len(COLUMNS[what].split())
            assert cursor.statusmessage == "SHOW"
            assert cursor.fetchall()


@pytest.mark.parametrize("database", ["pgbouncer", "pgtandem"])
@pytest.mark.parametrize("workload", ["transactional", "session"])
def test_both_names_on_both_ports(router, database, workload):
    with getattr(router, workload).connect(user=ADMIN[0], dbname=database) as admin:
        assert admin.execute("SHOW VERSION").fetchone()


@pytest.mark.parametrize("text", ["SHOW POOLS", "show pools", "show pools;", " Show  Pools ; ",
                                  "SELECT POOLS"])
def test_spellings(router, text):
    with router.admin() as admin:
        assert admin.execute(text).description[0].name == "database"


@pytest.mark.parametrize("text", ["SHOW NOTHING", "SHOW", "DROP TABLE x", "SHOW POOLS; SHOW POOLS",
                                  "SHOW " + "x" * 10000, "SELECT 1 + 1"])
def test_bad_commands(router, text):
    """ERROR, and the console goes on."""
    with router.transactional.wire(user=ADMIN[0], dbname="pgbouncer") as wire:
        answer = wire.query(text)
        assert len(w.errors(answer)) == 1
        assert answer[-1].body == b"I"
        assert w.types(wire.query("SHOW VERSION")) == "TDCZ"


def test_stats_user_may_look_only(router):
    with router.admin(user=STATS[0]) as stats:
        assert stats.execute("SHOW POOLS").fetchall()
        with pytest.raises(psycopg.Error):
            stats.execute("RELOAD")
        assert stats.execute("SHOW VERSION").fetchall()


def test_others_may_not_enter(router):
    with pytest.raises(psycopg.OperationalError, match="not allowed"):
        router.transactional.connect(dbname="pgbouncer")


def test_wrong_password_of_an_administrator(router):
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        router.transactional.connect(user=ADMIN[0], dbname="pgbouncer", password="no")


def test_extended_protocol_is_refused(router):
    with router.transactional.wire(user=ADMIN[0], dbname="pgbouncer") as wire:
        wire.send(w.one_query("SHOW POOLS"))
        errors = [m for m in wire.until("E", "Z") if m.type == "E"]
        assert "extended query protocol not supported" in errors[0].text


def test_psycopg2_can_read_it(router):
    """Exporters connect with psycopg2 and with Go's lib/pq, which sends
    extra_float_digits at startup."""
    psycopg2 = pytest.importorskip("psycopg2")
    connection = psycopg2.connect(**router.transactional.dsn(ADMIN[0], "pgbouncer"))
    connection.set_session(autocommit=True)
    cursor = connection.cursor()
    cursor.execute("SHOW STATS")
    assert cursor.fetchall()
    connection.close()
    with router.transactional.wire(user=ADMIN[0], dbname="pgbouncer", extra_float_digits="2",
                                   client_encoding="UTF8", datestyle="ISO, MDY") as wire:
        assert w.types(wire.query("SHOW VERSION")) == "TDCZ"


def test_pools_count_clients_and_servers(make_router):
    router = make_router({"workloads": {"transactional": {
        "guaranteed_connections": 1, "max_connections": 1}}})
    with router.transactional.wire() as active, router.transactional.wire() as waiting:
        active.query("BEGIN")
        waiting.send(w.query("SELECT 1"))
        row = wait_until(lambda: router.pool() if router.pool().get("cl_waiting") else None)
        assert (row["cl_active"], row["sv_active"], row["sv_idle"]) == (1, 1, 0)
        assert row["pool_mode"] == "transaction"
        active.query("COMMIT")
        waiting.until_ready()
        row = wait_until(lambda: router.pool() if router.pool()["sv_idle"] == 1 else None)
        assert (row["cl_waiting"], row["sv_active"]) == (0, 0)


def test_clients_and_servers_are_linked(router, postgres):
    with router.session.wire(application_name="linked") as wire:
        pid = wire.value("SELECT pg_backend_pid()")
        client = next(row for row in router.show("clients") if row["user"] == "app_scram")
        server = next(row for row in router.show("servers") if str(row["remote_pid"]) == pid)
        assert client["application_name"] == "linked"
        assert client["state"] == "active"
        assert client["link"] == server["ptr"]
        assert server["link"] == client["ptr"]
        assert (server["addr"], server["port"]) == ("127.0.0.1", postgres.port)
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", str(client["connect_time"]))


def test_stats_count(router):
    def totals():
        return next(row for row in router.show("stats") if row["database"] == "app")

    with router.transactional.wire() as wire:
        wire.query("SELECT 1")
        before = totals()
        for _ in range(10):
            wire.query("SELECT 1")
        wire.query("BEGIN")
        wire.query("SELECT 1")
        wire.query("COMMIT")
        after = wait_until(
            lambda: totals() if totals()["total_xact_count"] >= before["total_xact_count"] + 11
            else None, 5, "eleven transactions more")
    assert int(after["total_query_count"]) - int(before["total_query_count"]) == 13
    assert int(after["total_xact_count"]) - int(before["total_xact_count"]) == 11
    assert after["total_received"] > before["total_received"]
    assert after["total_sent"] > before["total_sent"]


def test_config_shows_the_running_values(make_router):
    router = make_router({"defaults": {"query_wait_timeout": "7s"}})
    values = {row["key"]: row for row in router.show("config")}
    (name,) = [key for key in values if key.endswith("query_wait_timeout")
               and "workloads" not in key]
    assert values[name]["value"] in ("7s", "7")
    assert {row["changeable"] for row in values.values()} <= {"yes", "no"}
    assert not [row for row in values.values() if "secret" in str(row["value"])]


def test_databases(router):
    row = {row["name"]: row for row in router.show("databases")}["pgbouncer"]
    assert row["database"] == "pgbouncer"


def test_version_matches_the_program():
    printed = subprocess.run([Router.program(), "--version"], check=True,
                             capture_output=True, text=True).stdout
    assert re.match(r"pgtandem \d+\.\d+", printed)


def test_psql_can_talk_to_it(router):
    done = subprocess.run(
        ["psql", "-X", "-At", "-h", "127.0.0.1", "-p", str(router.ports["session"]), "-U",
         ADMIN[0], "-d", "pgbouncer", "-c", "SHOW POOLS"], check=True, capture_output=True,
        text=True, env={"PATH": "/usr/bin:/bin", "PGPASSWORD": ADMIN[1]})
    assert done.stderr == ""


# ------------------------------------------------------------ command line

def check(path):
    return subprocess.run([Router.program(), "--check", str(path)], capture_output=True,
                          text=True, check=False)


def test_check_accepts_a_good_file(router):
    done = check(router.config_file)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("text, said", [
    ("workloads: {a: {listen: [\"127.0.0.1:1\"], pool_mode: transactoin}}", "transaction"),
    ("process: {worker: 2}", "workers"),
    ("defaults: {query_timeout: 5}", "5s"),
    ("defaults: {query_timeout: 5parsecs}", "query_timeout"),
    ("process: {workers: many}", "workers"),
    ("process: {workers: 1000}", "64"),
    ("a: &x 1", ":1:"),
])
def test_check_says_where_and_what(tmp_path, text, said):
    """File, line, column, and the way out."""
    path = tmp_path / "bad.yaml"
    path.write_text(text + "\n")
    done = check(path)
    assert done.returncode != 0
    assert "bad.yaml:1:" in done.stderr
    assert said in done.stderr


def test_help_and_unknown_options():
    done = subprocess.run([Router.program(), "--help"], capture_output=True, text=True, check=True)
    assert "--config" in done.stdout
    done = subprocess.run([Router.program(), "--no-such-thing"], capture_output=True, text=True,
                          check=False)
    assert done.returncode != 0
    assert done.stderr


def test_missing_file():
    done = check("/nonexistent/pgtandem.yaml")
    assert done.returncode != 0
    assert "/nonexistent/pgtandem.yaml" in done.stderr


@pytest.mark.parametrize("name", ["pgtandem.yaml", "minimal.yaml"])
def test_shipped_examples_are_valid(tmp_path, name):
    from support.router import ROOT
    (tmp_path / "userlist.txt").write_text('"app" "secret"\n')
    text = (ROOT / "etc" / name).read_text()
    path = tmp_path / name
    path.write_text(text.replace("/etc/pgtandem/userlist.txt", str(tmp_path / "userlist.txt")))
    done = check(path)
    assert done.returncode == 0, done.stderr

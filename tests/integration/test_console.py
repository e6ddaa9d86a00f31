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


# --------------------------------------------------------- what exporters rely on

TEXT, INT4, NUMERIC = 25, 23, 1700


def test_types(router):
    """A label that is no text or integer becomes "<invalid>" in the Go exporter."""
    with router.admin() as admin:
        def types(what):
            return {c.name: c.type_code for c in admin.execute(f"SHOW {what}").description}

        pools = types("POOLS")
        assert {pools.pop(name) for name in ("database", "user", "pool_mode", "host", "workload",
                                             "load_balance_hosts")} == {TEXT}
        assert set(pools.values()) == {INT4}
        stats = types("STATS")
        assert stats.pop("database") == TEXT
        assert set(stats.values()) == {NUMERIC}
        clients = types("CLIENTS")
        assert [name for name, oid in clients.items() if oid == INT4] == [
            "port", "local_port", "wait", "wait_us", "close_needed", "remote_pid",
            "prepared_statements", "id"]
        assert clients["connect_time"] == TEXT


def test_one_row_for_a_database_and_user(router):
    """Though both ports have clients of it: these two are labels, which must be unique."""
    with router.transactional.wire() as first, router.session.wire() as second:
        first.query("BEGIN")
        second.query("SELECT 1")
        rows = router.show("pools")
        names = [(row["database"], row["user"]) for row in rows]
        assert sorted(set(names)) == sorted(names)
        assert ("pgbouncer", "pgbouncer") in names
        row = router.pool()
        assert (row["cl_active"], row["sv_active"]) == (2, 2)
        assert row["pool_mode"] == "transaction, session"
        assert row["workload"] == "transactional, session"
        parts = {row["workload"]: row for row in router.show("workload_pools")}
        assert {name: (row["pool_mode"], row["cl_active"], row["sv_active"])
                for name, row in parts.items()} == {
                    "transactional": ("transaction", 1, 1), "session": ("session", 1, 1)}


def test_the_console_is_a_pool_even_when_nothing_else_is(router):
    for what, name in (("pools", "database"), ("databases", "name"), ("stats", "database"),
                       ("users", "name"), ("stats_totals", "database")):
        assert "pgbouncer" in [row[name] for row in router.show(what)]


def test_lists_and_config_have_the_form_that_exporters_read(router):
    with router.admin(user=STATS[0]) as stats:
        lists = stats.execute("SHOW LISTS;").fetchall()
        assert all(len(row) == 2 and float(row["items"]) >= 0 for row in lists)
        assert {"databases", "users", "pools", "free_clients", "used_clients", "login_clients",
                "free_servers", "used_servers", "dns_names", "dns_zones", "dns_queries"} <= {
                    row["list"] for row in lists}
        rows = stats.execute("SHOW CONFIG;").fetchall()
        config = {row["key"]: row["value"] for row in rows}
        assert len(config) == len(rows)
        assert int(config["max_client_conn"]) > 0
        assert int(config["max_user_connections"]) == 0
        assert [column.name for column in stats.execute("SHOW VERSION").description] == ["version"]


def test_the_name_that_clients_ask_for_is_shown(make_router):
    router = make_router({"databases": {"alias": {"host": "main", "dbname": "app"}}})
    with router.transactional.wire(dbname="alias") as wire:
        wire.query("BEGIN")
        assert router.pool(database="alias")["sv_active"] == 1
        assert {row["database"] for row in router.show("servers")} == {"alias"}
        assert {row["database"] for row in router.show("clients")} == {"alias", "pgbouncer"}
        row = next(row for row in router.show("databases") if row["name"] == "alias")
        assert (row["database"], row["current_connections"]) == ("app", 1)
        assert row["current_client_connections"] == 1


# ----------------------------------------------------------------- own views

def test_workloads_and_budget(make_router):
    router = make_router({"hosts": {"main": {"connection_budget": 3}}, "workloads": {
        "transactional": {"guaranteed_connections": 1, "max_connections": 2},
        "session": {"guaranteed_connections": 1, "max_connections": 1}}})
    with router.transactional.wire() as a, router.transactional.wire() as b, \
            router.transactional.wire() as c:
        a.query("BEGIN")
        b.query("BEGIN")
        c.send(w.query("SELECT 1"))

        def row():
            rows = {row["workload"]: row for row in router.show("workloads")}
            assert set(rows) == {"transactional", "session"}
            return rows["transactional"]

        got = wait_until(lambda: row() if row()["waiting"] == 1 else None, 5, "one waits")
        assert (got["host"], got["pool_mode"], got["guaranteed"], got["max"], got["used"],
                got["borrowed"], got["active"], got["idle"], got["clients"]) == (
                    "main", "transaction", 1, 2, 2, 1, 2, 0, 3)
        assert got["maxwait"] * 1000000 + got["maxwait_us"] > 0
        (budget,) = router.show("budget")
        assert (budget["connection_budget"], budget["used"], budget["free"],
                budget["guaranteed"], budget["borrowed"], budget["waiting"]) == (3, 2, 1, 2, 1, 1)
        assert budget["error"] is None


# ------------------------------------------------------------------- commands

@pytest.mark.parametrize("text, kinds", [
    ("", "IZ"), (" ; ", "IZ"), ("-- nothing", "IZ"),
    ("SET client_encoding TO 'UTF8'", "CZ"), ("SHOW DateStyle", "TDCZ"),
    ("/* why */ SHOW VERSION; -- because", "TDCZ"),
])
def test_what_drivers_say(router, text, kinds):
    with router.transactional.wire(user=ADMIN[0], dbname="pgbouncer") as wire:
        assert w.types(wire.query(text)) == kinds


def test_error_of_an_unknown_command(router):
    with router.transactional.wire(user=ADMIN[0], dbname="pgbouncer") as wire:
        (error,) = [m for m in wire.query("FOO \xff BAR") if m.type == "E"]
        assert error.sqlstate == "08P01"
        assert error.text == "invalid command 'FOO \xff BAR', use SHOW HELP;"
        (error,) = [m for m in wire.query(b"\xfe") if m.type == "E"]
        assert error.text == "invalid command '\\xfe', use SHOW HELP;"


def test_text_that_is_not_utf8_breaks_no_exporter(router):
    """An application_name is made plain ASCII, as PostgreSQL 15 does."""
    with router.transactional.raw() as wire:
        wire.send(w.startup(STATS[0], "pgbouncer", application_name=b"w\xf6rk"))
        wire.authenticate(*STATS)
        assert wire.parameters["application_name"] == "w?rk"
        assert "w?rk" in [row["application_name"] for row in router.show("clients")]


def test_help(router):
    with router.transactional.wire(user=STATS[0], dbname="pgbouncer") as wire:
        answer = wire.query("SHOW HELP")
        assert [m.type for m in answer] == ["N", "C", "Z"]
        assert b"WORKLOADS" in answer[0].body


def test_reload_answers_when_it_is_done(router):
    router.config["defaults"] = {"query_wait_timeout": "11s"}
    router.write_config()
    assert router.command("RELOAD") == "RELOAD"
    values = {row["key"]: row["value"] for row in router.show("config")}
    assert values["query_wait_timeout"] == "11s"


def test_reload_of_a_bad_file_says_what_is_wrong(router):
    router.expect_error("reload")
    router.config["defaults"] = {"query_wait_timeout": "11parsecs"}
    router.write_config()
    with router.transactional.wire(user=ADMIN[0], dbname="pgbouncer") as wire:
        (error,) = [m for m in wire.query("RELOAD") if m.type == "E"]
        assert error.sqlstate == "F0000"
        assert "pgtandem.yaml:" in error.text and "query_wait_timeout" in error.text
        assert w.types(wire.query("SHOW VERSION")) == "TDCZ"


def test_shutdown_at_once(router):
    with router.transactional.wire(), router.transactional.wire(user=ADMIN[0],
                                                                dbname="pgbouncer") as admin:
        admin.send(w.query("SHUTDOWN"))
        assert router.wait_exit() == 0


def test_shutdown_waits_for_clients(router):
    with router.session.wire() as wire:
        wire.query("BEGIN")
        assert router.command("SHUTDOWN WAIT_FOR_CLIENTS") == "SHUTDOWN"
        assert wire.value("SELECT 1") == "1"
        assert router.is_running()
    assert router.wait_exit() == 0


# -------------------------------------------------------------- many and hurried

def test_clients_of_all_workers_are_shown(make_router):
    router = make_router({"process": {"workers": 4}})
    wires = [router.transactional.wire(application_name=f"n{i}") for i in range(60)]
    try:
        rows = router.show("clients")
        assert {row["application_name"] for row in rows} >= {f"n{i}" for i in range(60)}
        assert len(rows) == len({row["ptr"] for row in rows}) == 61
        assert router.pool()["cl_active"] == 60
        lists = {row["list"]: row["items"] for row in router.show("lists")}
        assert lists["used_clients"] == 61
    finally:
        for wire in wires:
            wire.close()


def test_asking_and_leaving(make_router):
    """The answer is on its way through the workers when the one who asked has gone."""
    router = make_router({"process": {"workers": 4}})
    for _ in range(40):
        with router.transactional.wire(user=ADMIN[0], dbname="pgbouncer") as wire:
            wire.send(w.query("SHOW CLIENTS"), w.query("SHOW POOLS"), w.query("RELOAD"),
                      w.query("SHOW LISTS"))
    wait_until(lambda: len(router.show("clients")) == 1, 5, "all have gone")


def test_several_queries_in_a_row(router):
    """Sent at once, answered in order."""
    with router.transactional.wire(user=ADMIN[0], dbname="pgbouncer") as wire:
        wire.send(*[w.query(text) for text in ("SHOW CLIENTS", "SHOW VERSION", "RELOAD", "FOO",
                                               "SHOW STATE")])
        assert [w.types(wire.until_ready())[-3:] for _ in range(5)] == [
            "DCZ", "DCZ", "CZ", "EZ", "DCZ"]


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

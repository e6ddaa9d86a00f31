# SPDX-License-Identifier: ISC
"""The console: PgBouncer's SHOW columns, in order, own ones behind them; who may."""
import asyncio
import contextlib
import re
import select
import socket
import struct
import subprocess

import psycopg
import pytest
from support import needs
from support import wire as w
from support.net import free_port
from support.router import ADMIN, STATS, Router
from support.wait import wait_until
from support.web import Web

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


@pytest.mark.parametrize("text", ["SHOW NOTHING", "SHOW", "DROP TABLE x", "SHOW POOLS SHOW POOLS",
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


@pytest.mark.parametrize("port", ["transactional", "session"])
def test_extended_protocol(router, port):
    """The answer is that of a simple query."""
    with getattr(router, port).wire(user=ADMIN[0], dbname="pgbouncer") as wire:
        simple = wire.query("SHOW DATABASES")
        wire.send(w.one_query("SHOW DATABASES"))
        extended = wire.until_ready()
        assert w.types(extended) == "12" + w.types(simple)
        described = [next(m.body for m in a if m.type == "T") for a in (simple, extended)]
        assert described[0] == described[1]
        assert w.rows(extended) == w.rows(simple)
        # A named statement, used again, with nothing in between but Flush.
        wire.send(w.parse("SHOW VERSION", "v"), w.describe("S", "v"), w.flush())
        assert w.types(wire.until("T")) == "1tT"
        for _ in range(2):
            wire.send(w.bind(name="v"), w.execute(), w.sync())
            assert w.types(wire.until_ready()) == "2DCZ"
        wire.send(w.close("S", "v"), w.bind(name="v"), w.execute(), w.sync())
        answer = wire.until_ready()
        assert (w.types(answer), w.errors(answer)) == ("3EZ", ["26000"])
        # What does something is not done to describe it.
        wire.send(w.parse("PAUSE", "p"), w.describe("S", "p"), w.bind(name="p"), w.describe(),
                  w.sync())
        assert w.types(wire.until_ready()) == "1tn2nZ"
        assert ("paused", "no") in w.rows(wire.query("SHOW STATE"))
        wire.send(w.bind(name="p"), w.execute(), w.sync())
        assert w.types(wire.until_ready()) == "2CZ"
        assert ("paused", "yes") in w.rows(wire.query("SHOW STATE"))
        wire.send(w.one_query("RESUME"))
        assert w.types(wire.until_ready()) == "12nCZ"


@pytest.mark.parametrize("what, sqlstate", [
    (w.parse("SHOW NOTHING") + w.bind() + w.describe() + w.execute(), "08P01"),
    (w.parse("SHOW STATE; SHOW STATE"), "42601"),
    (w.parse("SHOW STATE", "a") + w.parse("SHOW STATE", "a"), "42P05"),
    (w.parse("SHOW STATE") + w.bind(["1"]), "08P01"),
    (w.execute("nosuch"), "34000"),
    (w.describe("S", "nosuch"), "26000"),
    (w.parse("SHOW STATE") + w.bind(portal="a") + w.bind(portal="a"), "42P03"),
    (w.message("P", b"x"), "08P01"),
    (w.message("B", b"\0\0\0\1\0\7\0\0\0\0"), "08P01"),
    (w.message("D", b"Xa\0"), "08P01"),
    (w.message("E", b""), "08P01"),
    (w.message("C", b""), "08P01"),
])
def test_extended_protocol_errors(router, what, sqlstate):
    """One error, then nothing up to Sync."""
    with router.transactional.wire(user=ADMIN[0], dbname="pgbouncer") as wire:
        wire.send(what, w.execute("nosuch"), w.one_query("SHOW STATE"))
        answer = wire.until_ready()
        assert w.errors(answer) == [sqlstate]
        assert answer[-2].type == "E"
        assert w.types(wire.query("SHOW VERSION")) == "TDCZ"


def test_extended_protocol_in_binary(router):
    """As asyncpg asks for it: numbers are numbers."""
    router.transactional.wire().query("SELECT 1")
    with router.admin() as admin:
        for view in ("STATS", "POOLS", "DATABASES", "LISTS"):
            text = admin.execute(f"SHOW {view}").fetchall()
            binary = admin.cursor(binary=True).execute(f"SHOW {view}").fetchall()
            same = [key for key in text[0] if not key.startswith(("total_", "avg_"))]
            assert [[r[k] for k in same] for r in text] == [[r[k] for k in same] for r in binary]
            assert [list(map(type, r.values())) for r in text] == \
                [list(map(type, r.values())) for r in binary]


def test_asyncpg_can_read_it(router):
    asyncpg = needs.module("asyncpg")

    async def ask():
        dsn = router.transactional.dsn(ADMIN[0], "pgbouncer")
        dsn["database"] = dsn.pop("dbname")
        connection = await asyncpg.connect(**dsn)
        rows = await connection.fetch("SHOW STATS")
        again = await connection.fetch("SHOW STATS")
        await connection.close()
        return rows, again

    for rows in asyncio.run(ask()):
        assert "pgbouncer" in [row["database"] for row in rows]


def test_psycopg2_can_read_it(router):
    """Exporters connect with psycopg2 and with Go's lib/pq, which sends
    extra_float_digits at startup."""
    psycopg2 = needs.module("psycopg2")
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


def test_servers_tell_what_they_are_connected_to(router, postgres):
    """Not where their host is by now, after a reload."""
    def ends():
        return {str(row["remote_pid"]): (row["addr"], row["port"]) for row in router.show("servers")}
    with router.session.wire() as old:
        pid = old.value("SELECT pg_backend_pid()")
        router.reload({"hosts": {"main": {"host": str(postgres.socket_dir)}}})
        with router.session.wire() as new:
            other = new.value("SELECT pg_backend_pid()")
            assert ends()[pid] == ("127.0.0.1", postgres.port)
            assert ends()[other] == ("unix", postgres.port)


@pytest.mark.parametrize("port", ["transactional", "session"])
def test_names_of_applications_are_those_of_now(router, postgres, port):
    """A client's after SET; a server's as PostgreSQL has it."""
    def shown(view, number):
        return {row[number]: row["application_name"] for row in router.show(view)}
    with getattr(router, port).wire(application_name="first") as wire:
        wire.query("BEGIN")
        pid = int(wire.value("SELECT pg_backend_pid()"))
        who = next(row["id"] for row in router.show("clients")
                   if row["application_name"] == "first")
        for name in ("first", "second", "n" * 63):
            wire.query(f"SET application_name = '{name}'")
            wire.query("COMMIT")
            wire.query("BEGIN")
            wire.query("SELECT 1")
            pid = int(wire.value("SELECT pg_backend_pid()"))
            assert shown("clients", "id")[who] == name
            assert shown("servers", "remote_pid")[pid] == name
            assert shown("sockets", "remote_pid")[pid] == name
            assert postgres.sql("SELECT application_name FROM pg_stat_activity "
                                f"WHERE pid = {pid}")[0][0] == name
        wire.query("COMMIT")


def test_prepared_statements_are_counted(make_router):
    """The names of each client, and what the server keeps for all of them."""
    router = make_router({"hosts": {"main": {"connection_budget": 2}}, "workloads": {
        "transactional": {"guaranteed_connections": 1, "max_connections": 1}}})

    def counted(view, **wanted):
        return [row["prepared_statements"] for row in router.show(view)
                if all(row[key] == value for key, value in wanted.items())]
    with router.transactional.wire(application_name="one") as one, \
            router.transactional.wire(application_name="two") as two:
        for wire, texts in ((one, 3), (two, 2)):
            for i in range(texts):
                wire.send(w.parse(f"SELECT {i}", f"s{i}"), w.sync())
                assert not w.errors(wire.until_ready())
        assert counted("clients", application_name="one") == [3]
        assert counted("clients", application_name="two") == [2]
        # Two of the three texts are the same.
        assert counted("servers") == [3]
        one.send(w.close("S", "s0"), w.sync())
        one.until_ready()
        assert counted("clients", application_name="one") == [2]
    router.command("RECONNECT")
    wait_until(lambda: counted("servers") == [], 10, "the server is closed")


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


def test_stats_count_the_console(router):
    """Each command, and each login, of those who may not enter none; as PgBouncer does."""
    with router.admin() as admin:
        def totals():
            rows = admin.execute("SHOW STATS_TOTALS").fetchall()
            (row,) = [row for row in rows if row["database"] == "pgbouncer"]
            return row["query_count"], row["client_login_count"]

        queries, logins = totals()
        for _ in range(3):
            with router.admin() as other:
                other.execute("SHOW VERSION")
        with pytest.raises(psycopg.OperationalError):
            router.session.connect(dbname="pgbouncer")
        assert totals() == (queries + 4, logins + 3)


def test_queries_of_the_console_are_counted(router):
    """Each once, in whichever protocol, and in the last line of its session as of others."""
    def totals():
        (row,) = [row for row in router.show("stats_totals") if row["database"] == "pgbouncer"]
        return [row[name] for name in ("query_count", "xact_count", "bytes_received", "bytes_sent")]
    before = totals()
    with router.transactional.raw() as wire:
        wire.login(*ADMIN, "pgbouncer")
        asked = [w.query("SHOW VERSION"),
                 w.parse("SHOW VERSION", "v") + w.describe("S", "v") + w.sync(),
                 w.bind(name="v") + w.describe() + w.execute() + w.sync()]
        answered = 0
        for one in asked:
            wire.send(one)
            answered += sum(5 + len(message.body) for message in wire.until_ready())
        wire.quit()
    wait_until(lambda: re.search(r' client-close .* user="admin" database="pgbouncer" reason=quit'
                                 r" age_ms=\d+ queries=3 transactions=3 ", router.log()), 10,
               "its last line")
    after = totals()
    # Two of them have run something; "before" was asked for, too, and is in "after".
    queries, transactions, received, sent = (int(b) - int(a) for a, b in zip(before, after))
    assert queries == transactions == 2 + 1
    assert received == sum(map(len, asked)) + len(w.query("SHOW stats_totals"))
    assert sent > answered


def test_config_shows_the_running_values(make_router):
    router = make_router({"defaults": {"query_wait_timeout": "7s"}})
    values = {row["key"]: row for row in router.show("config")}
    (name,) = [key for key in values if key.endswith("query_wait_timeout")
               and "workloads" not in key]
    assert values[name]["value"] == "7"
    assert {row["changeable"] for row in values.values()} <= {"yes", "no"}
    assert not [row for row in values.values() if "secret" in str(row["value"])]


def test_databases(router):
    row = {row["name"]: row for row in router.show("databases")}["pgbouncer"]
    assert row["database"] == "pgbouncer"
    # PgBouncer has listen_port there.
    for workload, port in router.ports.items():
        with getattr(router, workload).connect(user=ADMIN[0], dbname="pgbouncer") as admin:
            rows = admin.execute("SHOW DATABASES").fetchall()
            assert {row[0]: row[2] for row in rows}["pgbouncer"] == port


def test_sizes_of_pools(make_router, postgres):
    """What a user may have of a database and is kept open for it, in all workloads together: each
    has limits of its own, within what it may have, and they may be those of the user."""
    router = make_router({
        "hosts": {"main": {"connection_budget": 12, "user": "app_scram", "password": "scram secret"}},
        "workloads": {
            "transactional": {"default_pool_size": 3, "reserve_pool_size": 2, "server_lifetime": "10min",
                              "max_connections": 6},
            "session": {"default_pool_size": 20, "min_pool_size": 1, "max_connections": 4,
                        "guaranteed_connections": 4}},
        "databases": {"app": {"host": "main"},
                      "small": {"host": "main", "dbname": "app", "default_pool_size": 1,
                                "reserve_pool_timeout": "0", "reserve_pool_size": 7},
                      "fixed": {"host": "main", "dbname": "app", "user": "app_scram",
                                "password": "scram secret"},
                      "*": None},
        "users": {"app_scram": {"default_pool_size": 2}, "other": {"reserve_pool_size": 4}}})

    def sizes(name):
        (row,) = [row for row in router.show("databases") if row["name"] == name]
        return tuple(row[key] for key in ("pool_size", "min_pool_size", "reserve_pool_size", "server_lifetime"))
    assert sizes("app") == (3 + 4, 1, 2, 3600)
    assert sizes("small")[0] == 2 and sizes("small")[2] == 0
    assert sizes("fixed")[0] == 2 + 2
    users = {row["name"]: (row["pool_size"], row["reserve_pool_size"]) for row in router.show("users")}
    assert users["app_scram"] == ("        2", "") and users["other"] == ("", "        4")
    assert users["app_md5"] == ("", "")
    # What PostgreSQL has, where that is the limit.
    router.reload({"hosts": {"main": {"connection_budget": "auto"}},
                   "workloads": {"transactional": {"default_pool_size": None, "max_connections": None},
                                 "session": {"databases": ["small", "fixed"]}}})
    (host,) = router.show("hosts")
    assert sizes("app")[0] == host["connection_budget"] > 12


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
        assert {pools.pop(name) for name in ("database", "user", "pool_mode", "host", "workload", "error",
                                             "load_balance_hosts")} == {TEXT}
        assert set(pools.values()) == {INT4}
        stats = types("STATS")
        assert stats.pop("database") == TEXT
        assert set(stats.values()) == {NUMERIC}
        clients = types("CLIENTS")
        assert [name for name, oid in clients.items() if oid == INT4] == [
            "port", "local_port", "wait", "wait_us", "close_needed", "remote_pid",
            "prepared_statements", "id", "stalled_ms"]
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

def wait_of(row):
    return row["maxwait"] * 1000000 + row["maxwait_us"]


def test_workloads_budget_and_hosts(make_router):
    router = make_router({"hosts": {"main": {"connection_budget": 3}}, "workloads": {
        "transactional": {"guaranteed_connections": 1, "max_connections": 2},
        "session": {"guaranteed_connections": 1, "max_connections": 1}}})
    with router.transactional.wire() as a, router.transactional.wire() as b, \
            router.transactional.wire() as c:
        a.query("BEGIN")
        b.query("BEGIN")
        c.send(w.query("SELECT 1"))

        def rows(what):
            found = {row["workload"]: row for row in router.show(what)}
            assert set(found) == {"transactional", "session"}
            return found

        got = wait_until(lambda: rows("workloads")["transactional"] if
                         rows("workloads")["transactional"]["waiting"] == 1 else None,
                         5, "one waits")
        port = router.ports["transactional"]
        assert (got["host"], got["pool_mode"], got["listen"], got["guaranteed"], got["max"],
                got["used"], got["borrowed"], got["active"], got["idle"], got["clients"],
                got["waiting_for"]) == (
                    "main", "transaction", f"127.0.0.1:{port}", 1, 2, 2, 1, 2, 0, 3,
                    "max_connections")
        assert wait_of(got) > 0
        assert rows("workloads")["session"]["waiting_for"] is None

        budget = rows("budget")
        got = budget["transactional"]
        assert (got["host"], got["guaranteed"], got["max"], got["weight"], got["used"],
                got["idle"], got["leased"], got["connecting"], got["closing"], got["borrowed"],
                got["lent"], got["waiting"], got["reclaims"], got["stalled_ended"]) == (
                    "main", 1, 2, 1, 2, 0, 2, 0, 0, 1, 0, 1, 0, 0)
        assert wait_of(got) > 0
        # What is borrowed is the unit that nobody is guaranteed.
        assert (budget["session"]["lent"], budget["session"]["used"]) == (0, 0)

        (host,) = router.show("hosts")
        assert (host["host"], host["address"], host["resolved"], host["port"]) == (
            "main", "127.0.0.1", "127.0.0.1", router.postgres.port)
        assert (host["connection_budget"], host["used"], host["free"], host["surplus"],
                host["guaranteed"], host["borrowed"], host["leased"], host["waiting"]) == (
                    3, 2, 1, 0, 2, 1, 2, 1)
        assert (host["error"], host["retry_ms"], host["denied"]) == (None, 0, 0)


def test_lent_and_reclaimed(make_router):
    """What one port borrows of another's part is lent by that one; and the time until it
    is had back is told."""
    router = make_router({"hosts": {"main": {"connection_budget": 3}}, "workloads": {
        "transactional": {"guaranteed_connections": 1, "max_connections": 3},
        "session": {"guaranteed_connections": 2, "max_connections": 2}}})

    def row(workload):
        return next(row for row in router.show("budget") if row["workload"] == workload)

    with router.transactional.wire() as a, router.transactional.wire() as b, \
            router.transactional.wire() as c:
        for wire in (a, b, c):
            wire.query("BEGIN")
        assert (row("transactional")["borrowed"], row("transactional")["lent"]) == (2, 0)
        assert (row("session")["borrowed"], row("session")["lent"]) == (0, 2)
        with router.session.wire() as late:
            late.send(w.query("SELECT 'mine'"))
            wait_until(lambda: row("session")["waiting"] == 1, 5, "it waits")
            assert row("session")["maxwait"] >= 0 and row("session")["reclaims"] == 0
            (waiting,) = router.show("waiting")
            assert (waiting["host"], waiting["workload"], waiting["reason"]) == (
                "main", "session", "connection_budget")
            a.query("COMMIT")
            assert w.rows(late.until_ready()) == [("mine",)]
            got = row("session")
            assert (got["used"], got["lent"], got["waiting"], got["reclaims"]) == (1, 1, 0, 1)
            assert 0 < got["reclaim_p50_us"] <= got["reclaim_p99_us"] <= got["reclaim_max_us"]
            assert row("transactional")["reclaims"] == 0
            assert (row("transactional")["borrowed"], row("transactional")["lent"]) == (1, 0)


def test_who_waits_for_the_first_server(make_router):
    """It has proven who it is, and is no login any more, in no view."""
    port = free_port()
    router = make_router({"http": {"listen": [f"127.0.0.1:{port}"]}, "auth": {"auth_type": "trust"}})
    with router.admin() as console, contextlib.ExitStack() as stack:
        console.execute("PAUSE app")
        for _ in range(2):
            wire = stack.enter_context(router.transactional.raw())
            wire.send(w.startup("app_scram", "app"))
        wait_until(lambda: len(router.show("waiting")) == 2, 10, "both are in the queue")

        def states(view):
            return [(row["state"], row["wait"] * 10**6 + row["wait_us"] > 0)
                    for row in router.show(view) if row["user"] == "app_scram"]
        assert states("clients") == [("waiting", True)] * 2
        assert states("sockets") == states("active_sockets") == [("cl_waiting", True)] * 2
        lists = {row["list"]: row["items"] for row in router.show("lists")}
        assert lists["login_clients"] == 0
        (pool,) = [row for row in router.show("pools") if row["database"] == "app"]
        assert (pool["cl_waiting"], pool["cl_active"]) == (2, 0)
        text = Web(port).get("/metrics").text
        assert 'pgtandem_clients_in_state{state="waiting"} 2' in text
        console.execute("RESUME app")


def test_waiting(make_router):
    """Who waits longest comes first, whatever the queue, with its number in SHOW CLIENTS;
    and is no longer there when it is served."""
    router = make_router({"hosts": {"main": {"connection_budget": 2}}, "workloads": {
        "transactional": {"guaranteed_connections": 1, "max_connections": 2},
        "session": {"guaranteed_connections": 1, "max_connections": 1}}})
    with router.transactional.wire() as a, router.transactional.wire(), \
            router.session.wire() as holder:
        holder.query("SELECT 1")
        a.query("BEGIN")
        late = [(router.transactional, "app_scram", "app"), (router.session, "app_scram", "app"),
                (router.transactional, "app_scram", "app")]
        wires = []
        for i, (endpoint, user, dbname) in enumerate(late):
            wires.append(endpoint.wire(user=user, dbname=dbname, application_name=f"late{i}"))
            wires[-1].send(w.query(f"SELECT {i}"))
            wait_until(lambda i=i: len(router.show("waiting")) == i + 1, 5, "one more waits")
        rows = router.show("waiting")
        names = {row["id"]: row["application_name"] for row in router.show("clients")}
        assert [names[row["id"]] for row in rows] == ["late0", "late1", "late2"]
        assert [(row["workload"], row["position"], row["ahead"], row["reason"], row["kind"])
                for row in rows] == [
                    ("transactional", 1, 0, "connection_budget", "client"),
                    ("session", 1, 1, "max_connections", "client"),
                    ("transactional", 2, 2, "connection_budget", "client")]
        waits = [row["wait"] * 1000000 + row["wait_us"] for row in rows]
        assert waits == sorted(waits, reverse=True) and waits[-1] > 0
        assert {(row["host"], row["database"], row["user"]) for row in rows} == {
            ("main", "app", "app_scram")}
        first = rows[0]
        assert (first["pool_leased"], first["workload_used"], first["workload_max"],
                first["others_used"], first["connection_budget"]) == (2, 1, 2, 1, 2)
        assert first["text"].startswith("all connections that PostgreSQL may have")
        a.query("COMMIT")
        for i in (0, 2):
            assert w.rows(wires[i].until_ready()) == [(str(i),)]
        holder.quit()
        assert w.rows(wires[1].until_ready()) == [("1",)]
        assert router.show("waiting") == []
        for wire in wires:
            wire.close()


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
    assert values["query_wait_timeout"] == "11"


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


def test_others_have_their_turn_meanwhile(make_router):
    """Whoever asks the console for much at once keeps nobody waiting until it is done."""
    router = make_router({"process": {"workers": 1}})
    with router.session.wire() as other, \
            router.session.wire(user=STATS[0], dbname="pgbouncer") as console:
        other.query("SELECT 1")
        one = sum(5 + len(message.body) for message in console.query("SHOW SETTINGS"))
        many = (15 << 20) // one

        def goes_first():
            console.send(w.query("SHOW SETTINGS;" * many))
            for _ in range(3):
                other.query("SELECT 1")
            # The answer goes out when all of it is there.
            comes_first = not select.select([console.socket], [], [], 0)[0]
            assert w.types(console.until_ready()).count("C") == many
            return comes_first
        # A machine that is busy may be slow with the three, but not each time.
        wait_until(goes_first, 60, "others are served meanwhile")


def test_answers_to_one_query_are_bounded(router):
    """A user who may only look cannot make the router collect gigabytes."""
    with router.session.wire(user=STATS[0], dbname="pgbouncer") as console:
        console.send(w.query("SHOW SETTINGS;" * 4000))
        answer = console.until_ready()
        assert w.errors(answer) == ["54000"]
        size = sum(5 + len(message.body) for message in answer)
        assert 16 << 20 < size < 17 << 20
        assert console.value("SHOW VERSION").startswith("pgtandem ")


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


@pytest.mark.parametrize("end", ["close", "reset"])
def test_goodbye_right_behind_commands(make_router, end):
    """Commands, Terminate and the end of the connection in one write: what was sent is read
    to its end, as by PostgreSQL, also behind one that takes its time."""
    router = make_router()
    with router.transactional.wire(user=ADMIN[0], dbname="pgbouncer") as wire:
        before = len(router.log())
        # The first has to ask all workers.
        wire.send(w.query("SHOW CLIENTS"), w.query("RELOAD"), w.query("DISABLE app"), w.terminate())
        if end == "reset":
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wire.socket.close()
    wait_until(lambda: re.search(r" reload ", router.log()[before:]), 10, "it was read again")
    with router.admin() as admin:
        wait_until(lambda: any(row["name"] == "app" and row["disabled"]
                               for row in admin.execute("SHOW DATABASES").fetchall()), 10,
                   "the last command was carried out")
        admin.execute("ENABLE app")

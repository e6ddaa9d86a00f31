# SPDX-License-Identifier: ISC
"""SIGHUP and RELOAD: all or nothing, and live sessions survive."""
import socket

import psycopg
import pytest
from support import wire as w
from support.net import free_port, listening_ports
from support.postgres import DATABASE, USERS
from support.router import ADMIN, Endpoint
from support.wait import wait_until

pytestmark = pytest.mark.router_only


def test_limits_change_under_a_live_session(make_router):
    router = make_router({"workloads": {"transactional": {
        "guaranteed_connections": 1, "max_connections": 1, "query_wait_timeout": "60s"}}})
    with router.transactional.wire() as holder, router.transactional.wire() as waiter:
        holder.query("BEGIN")
        waiter.send(w.query("SELECT 'second server'"))
        wait_until(lambda: router.pool().get("cl_waiting") == 1, 5, "it waits")
        router.reload({"workloads": {"transactional": {
            "guaranteed_connections": 2, "max_connections": 2}}})
        assert w.rows(waiter.until_ready()) == [("second server",)]
        assert holder.query("COMMIT")[-1].body == b"I"


def test_smaller_limits_never_exceed_and_take_effect(make_router, postgres):
    router = make_router({"hosts": {"main": {"connection_budget": 8}}})
    wires = [router.transactional.wire() for _ in range(4)]
    for wire in wires:
        wire.query("BEGIN")
    router.reload({"hosts": {"main": {"connection_budget": 2}}})
    for wire in wires:
        assert wire.query("COMMIT")[-1].body == b"I"
    for wire in wires:
        assert wire.value("SELECT 1") == "1"
    wait_until(lambda: postgres.count("usename = 'app_scram'") <= 2, 10, "the rest is closed")
    for wire in wires:
        wire.quit()


@pytest.mark.parametrize("broken, said", [
    ("workloads: [", None),
    ("no_such_section: {}", "no_such_section"),
    ("hosts:\n  main: {host: 127.0.0.1, connection_budget: -4}", "connection_budget"),
    ("process:\n  workers: 1\n  workers: 2", "workers"),
], ids=["syntax", "unknown key", "range", "duplicate"])
def test_error_keeps_the_old_configuration_whole(make_router, broken, said):
    """The error is logged with its place, and nothing changes."""
    router = make_router()
    router.expect_error("reload|config")
    with router.session.connect() as connection:
        good = router.config_file.read_text()
        router.config_file.write_text(broken + "\n")
        text = router.reload(expect="error")
        assert "pgtandem.yaml:" in text
        if said:
            assert said in text
        assert connection.execute("SELECT 1").fetchone() == (1,)
        with router.transactional.connect() as other:
            assert other.execute("SELECT 1").fetchone() == (1,)
        router.config_file.write_text(good)
        router.reload()


def test_reload_command_reports_the_error(router):
    router.expect_error("reload|config")
    good = router.config_file.read_text()
    router.config_file.write_text("nonsense: 1\n")
    with router.admin() as admin:
        with pytest.raises(psycopg.Error, match="nonsense"):
            admin.execute("RELOAD")
        router.config_file.write_text(good)
        assert admin.execute("RELOAD").statusmessage == "RELOAD"


def test_users_are_read_again(make_router):
    router = make_router()
    router.write_userlist(['"app_scram" "scram secret"', '"admin" "admin secret"'])
    router.reload()
    with router.transactional.connect() as connection:
        connection.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        router.transactional.connect(user="other")


def test_a_listener_is_widened_and_narrowed(make_router):
    """The same port, on more addresses and on fewer; a reload that fails leaves what there was."""
    router = make_router()
    port = router.ports["session"]

    def listen(*addresses, expect="ok"):
        return router.reload({"workloads": {"session": {"listen": list(addresses)}}}, expect)

    def serves(host):
        with Endpoint(host, port).connect() as other:
            return other.execute("SELECT 1").fetchone() == (1,)

    def is_gone(host):
        with socket.socket() as probe:
            return probe.connect_ex((host, port)) != 0
    with router.session.connect() as connection:
        for address, more in ((f"*:{port}", True), (f"127.0.0.1:{port}", False),
                              (f"0.0.0.0:{port}", True), (f"127.0.0.1:{port}", False),
                              (f"[::ffff:127.0.0.1]:{port}", False)):
            listen(address)
            wait_until(lambda more=more: is_gone("127.0.0.2") != more, 5, f"{address} holds")
            assert serves("127.0.0.1") and (not more or serves("127.0.0.2"))
        router.expect_error("cannot listen on")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            listen(f"*:{port}", f"127.0.0.1:{taken.getsockname()[1]}", expect="error")
            assert serves("127.0.0.1") and is_gone("127.0.0.2")
        listen(f"*:{port}")
        wait_until(lambda: not is_gone("127.0.0.2"), 5, "as if nothing had been")
        assert connection.execute("SELECT 1").fetchone() == (1,)
    # Another one does not get it.
    with pytest.raises(OSError):
        socket.create_server(("127.0.0.1", port)).close()


def test_new_listener_and_removed_listener(make_router):
    """A new address is there after the reload; a removed one refuses newcomers, and its
    sessions stay."""
    router = make_router()
    old, new = router.ports["session"], free_port()
    with router.session.connect() as connection:
        connection.execute("SET app.tenant_id = '3'")
        router.reload({"workloads": {"session": {"listen": [f"127.0.0.1:{new}"]}}})
        wait_until(lambda: new in listening_ports(), 5, "the new address listens")
        wait_until(lambda: old not in listening_ports(), 5, "the old one does not")
        assert connection.execute("SHOW app.tenant_id").fetchone() == ("3",)
        with Endpoint("127.0.0.1", new).connect() as other:
            assert other.execute("SELECT 1").fetchone() == (1,)


def test_new_workload(make_router):
    router = make_router()
    router.reload({"workloads": {"late": {"pool_mode": "transaction"}}})
    wait_until(lambda: router.ports["late"] in listening_ports(), 5)
    with router.late.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_what_needs_a_restart_is_named(make_router):
    router = make_router()
    assert "workers" in router.reload({"process": {"workers": 3}})


def test_changed_host_drains(make_router, postgres):
    """New servers go to the new address, old ones are closed when they come back."""
    router = make_router()
    with router.transactional.wire() as wire:
        pid = wire.value("SELECT pg_backend_pid()")
        router.reload({"hosts": {"main": {"host": str(postgres.socket_dir)}}})
        wait_until(lambda: wire.value("SELECT inet_client_addr()") is None, 5,
                   "servers by the unix socket")
        wait_until(lambda: postgres.count(f"pid = {pid}") == 0, 5, "the old server is closed")


@pytest.mark.parametrize("change, shown", [
    ({"dbname": "second"}, ("second", "")), ({"options": "-c app.tag=new"}, (DATABASE, "new"))],
    ids=["dbname", "options"])
def test_what_was_proven_goes_with_the_session(make_router, postgres, change, shown):
    """Nothing is known but what clients have proven by SCRAM: where a reload gives their database
    other servers they are opened with that, and nobody has to log in again."""
    router = make_router({"databases": {"moved": {"host": "main", "dbname": DATABASE}}}, start=False)
    router.write_userlist([f'"app_scram" "{postgres.secret("app_scram")}"',
                           '"{}" "{}"'.format(*ADMIN)])
    router.start()
    with router.transactional.connect(dbname="moved") as used, \
            router.session.connect(dbname="moved") as unused:
        used.execute("SELECT 1")
        router.reload({"databases": {"moved": change}})
        for connection in (used, unused):
            assert connection.execute("SELECT current_database(), coalesce("
                                      "current_setting('app.tag', true), '')").fetchone() == shown


@pytest.mark.parametrize("way", ["plain", "auth_query"])
def test_a_secret_that_is_stored_in_another_way(make_router, postgres, way):
    """As a SCRAM secret now, instead of as a password or in PostgreSQL alone: it is the same one,
    and sessions go on."""
    config = {} if way == "plain" else {"hosts": {"main": {"user": "postgres", "password": "none"}},
                                        "auth": {"auth_query": "default"}}
    admin = '"{}" "{}"'.format(*ADMIN)
    router = make_router(config, start=False)
    router.write_userlist([admin] + ([f'"app_scram" "{USERS["app_scram"][0]}"'] if way == "plain"
                                     else []))
    router.start()
    with router.transactional.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        router.write_userlist([admin, f'"app_scram" "{postgres.secret("app_scram")}"'])
        router.reload()
        assert connection.execute("SELECT current_user").fetchone() == ("app_scram",)
        assert connection.execute("SELECT 2").fetchone() == (2,)


def test_another_secret_is_to_be_proven(make_router, postgres):
    """Where the secret is another one, too, nothing goes along: somebody has to prove that."""
    def install(password):
        postgres.sql("SET password_encryption = 'scram-sha-256'",
                     f"ALTER ROLE changing LOGIN PASSWORD '{password}'")
        router.write_userlist([f'"changing" "{postgres.secret("changing")}"',
                               '"{}" "{}"'.format(*ADMIN)])

    postgres.sql("DROP ROLE IF EXISTS changing", "CREATE ROLE changing")
    router = make_router({"databases": {"moved": {"host": "main", "dbname": DATABASE}}}, start=False)
    try:
        install("one")
        router.start()
        with router.transactional.connect(user="changing", password="one", dbname="moved") as old:
            assert old.execute("SELECT current_database()").fetchone() == (DATABASE,)
            install("two")
            router.reload({"databases": {"moved": {"dbname": "second"}}})
            with pytest.raises(psycopg.Error) as refused:
                old.execute("SELECT 1")
            assert refused.value.sqlstate == "28000"
            with router.transactional.connect(user="changing", password="two", dbname="moved"):
                assert old.execute("SELECT current_database()").fetchone() == ("second",)
    finally:
        router.stop()
        postgres.terminate("usename = 'changing'")
        postgres.sql("DROP ROLE changing")


def test_removed_database(make_router):
    """A transaction client of a database that is gone gets FATAL 57P01 when it is next
    idle; newcomers get 3D000."""
    router = make_router({"databases": {"app": {"host": "main"}, "second": {"host": "main"},
                                        "*": None}})
    with router.transactional.wire(dbname="second") as wire:
        wire.query("SELECT 1")
        router.reload({"databases": {"second": None}})
        assert [m.sqlstate for m in wire.until_closed() if m.type == "E"] == ["57P01"]
    with pytest.raises(RuntimeError, match="3D000"):
        router.transactional.wire(dbname="second")


def test_removed_user(make_router):
    """The same for a user that no file has any more; on a session port it goes on."""
    router = make_router()
    with router.transactional.wire(user="other") as idle, \
            router.transactional.wire(user="other") as busy, \
            router.session.wire(user="other") as session, router.transactional.wire() as another:
        idle.query("SELECT 1")
        busy.query("BEGIN")
        session.query("SELECT 1")
        router.write_userlist([f'"{name}" "{USERS[name][0]}"' for name in USERS if name != "other"]
                              + ['"{}" "{}"'.format(*ADMIN)])
        router.reload()
        assert [m.sqlstate for m in idle.until_closed() if m.type == "E"] == ["57P01"]
        assert busy.value("SELECT 2") == "2"
        busy.query("COMMIT")
        busy.send(w.query("SELECT 3"))
        assert [m.sqlstate for m in busy.until_closed() if m.type == "E"] == ["57P01"]
        assert session.value("SELECT 4") == "4"
        assert another.value("SELECT 5") == "5"
        with pytest.raises(RuntimeError, match="28P01"):
            router.transactional.wire(user="other")
        router.write_userlist()
        router.reload()
        # Back again: nothing is held against it.
        with router.transactional.wire(user="other") as again:
            router.reload()
            assert again.value("SELECT 6") == "6"


@pytest.mark.parametrize("what", ["database", "user"])
def test_drain_timeout_bounds_who_was_removed(make_router, what):
    """A session's end may be far away; so may that of a client which keeps a server of a
    transaction port.  Nobody else hears of it, and who is put back in time stays."""
    router = make_router({"process": {"drain_timeout": "1500ms"},
                          "databases": {"app": {"host": "main"}, "*": None,
                                        "second": {"host": "main", "dbname": "app"}}})
    who = {"dbname": "second"} if what == "database" else {"user": "other"}

    def take_out():
        if what == "database":
            router.reload({"databases": {"second": None}})
        else:
            router.write_userlist([f'"{name}" "{USERS[name][0]}"' for name in USERS
                                   if name != "other"] + ['"{}" "{}"'.format(*ADMIN)])
            router.reload()

    def put_back():
        router.write_userlist()
        router.reload({"databases": {"second": {"host": "main", "dbname": "app"}}})
    with router.session.wire() as stays, router.session.wire(**who) as idle, \
            router.session.wire(**who) as busy, router.transactional.wire(**who) as pinned:
        idle.query("SELECT 1")
        stays.query("SELECT 1")
        pinned.query("SELECT pg_advisory_lock(17)")
        busy.query("BEGIN")
        take_out()
        assert idle.value("SELECT 'still here'") == "still here"
        if what == "database":
            put_back()
            take_out()
            assert idle.value("SELECT 'still here'") == "still here"
        for wire in (idle, busy, pinned):
            assert [m.sqlstate for m in wire.until_closed() if m.type == "E"] == ["57P01"]
        assert stays.value("SELECT 1") == "1"
    wait_until(lambda: router.log().count("reason=removed") == 3, 10)
    put_back()
    with router.session.wire(**who) as again:
        again.query("BEGIN")
        if what == "database":
            take_out()
            put_back()
            late = router.session.wire()
            # Longer than it would have had.
            assert late.query("SELECT pg_sleep(1.6)")[-1].body == b"I"
            late.quit()
            assert again.value("SELECT 1") == "1"


def test_clients_are_counted_once(make_router):
    """Also those that are in a transaction or wait when the times change."""
    router = make_router({"workloads": {"transactional": {"guaranteed_connections": 2,
                                                          "max_connections": 2}}})
    wires = [router.transactional.wire() for _ in range(4)]
    wires += [router.session.wire() for _ in range(2)]
    for wire in wires[:2] + wires[4:]:
        wire.query("BEGIN")
    wires[2].send(w.query("SELECT 1"))
    wait_until(lambda: router.show("waiting"), 10, "it waits")
    for seconds in (20, 30):
        router.reload({"defaults": {"query_timeout": f"{seconds}s"}})
        pool = router.pool()
        assert pool["cl_active"] + pool["cl_waiting"] == 6, pool
    for wire in wires:
        wire.close()
    wait_until(lambda: router.pool()["cl_active"] == 0, 10, "all have left")


def test_many_reloads_under_load(make_router):
    router = make_router()
    wires = [router.transactional.wire() for _ in range(10)]
    for budget in range(5, 25):
        for wire in wires:
            wire.send(w.query("SELECT pg_sleep(0.002)"))
        router.reload({"hosts": {"main": {"connection_budget": budget}}})
        for wire in wires:
            assert w.errors(wire.until_ready()) == []
    for wire in wires:
        wire.quit()

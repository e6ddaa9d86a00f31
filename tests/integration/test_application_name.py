# SPDX-License-Identifier: ISC
"""application_name_add_host: PostgreSQL sees where a client comes from, as behind PgBouncer."""
import os
import socket

import psycopg
import pytest
from support.net import free_port
from support import wire as w

pytestmark = pytest.mark.router_only

BOTH = pytest.mark.parametrize("port", ["transactional", "session"])


def router_with(make_router, **more):
    return make_router({"workloads": {name: {"application_name_add_host": True, **more}
                                      for name in ("transactional", "session")}})



def local(connection):
    """Where PostgreSQL would say that it comes from."""
    host, port = os_socket(connection)
    return f"{host}:{port}"


def os_socket(connection):
    with socket.socket(fileno=os.dup(connection.fileno())) as one:
        return one.getsockname()


@BOTH
def test_name_and_address(make_router, postgres, port):
    router = router_with(make_router)
    endpoint = getattr(router, port)
    with endpoint.connect(application_name="web") as named, endpoint.connect() as nameless:
        for connection, name in ((named, "web"), (nameless, "app")):
            expected = f"{name} - {local(connection)}"
            assert connection.execute(
                "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()"
            ).fetchone() == (expected,)
            assert connection.execute("SHOW application_name").fetchone() == (expected,)
            assert connection.info.parameter_status("application_name") == expected
        # What it sets itself stays as it is; and where it goes back to.
        named.execute("SET application_name = 'batch'")
        assert named.execute("SHOW application_name").fetchone() == ("batch",)
        assert nameless.execute("SHOW application_name").fetchone() == (f"app - {local(nameless)}",)
        named.execute("RESET application_name")
        assert named.execute("SHOW application_name").fetchone() == (f"web - {local(named)}",)
        clients = {row["application_name"] for row in router.show("clients")}
        assert {f"web - {local(named)}", f"app - {local(nameless)}"} <= clients


@BOTH
def test_cut_as_postgresql_cuts(make_router, port):
    router = router_with(make_router)
    for length in (40, 58, 59, 60, 61, 62, 63, 64, 200):
        name = "n" * length
        with getattr(router, port).connect(application_name=name) as connection:
            expected = f"{name} - {local(connection)}"[:63]
            assert connection.execute("SHOW application_name").fetchone() == (expected,)
            assert connection.info.parameter_status("application_name") == expected


def test_unix_socket(make_router, tmp_path):
    port = free_port()
    router = make_router({"workloads": {"session": {
        "listen": [f"127.0.0.1:{free_port()}", f"unix:{tmp_path}:{port}"],
        "application_name_add_host": True}}})
    with psycopg.connect(**{**router.session.dsn(), "host": str(tmp_path), "port": port}) as c:
        assert c.execute("SHOW application_name").fetchone() == (f"app - unix({os.getpid()}):{port}",)


def test_behind_a_load_balancer(make_router):
    router = router_with(make_router, proxy_protocol_from=["127.0.0.0/8"])
    with router.session.raw() as wire:
        wire.send(b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 6432\r\n")
        wire.login("app_scram", router.session.dsn()["password"], "app")
        assert wire.value("SHOW application_name") == "app - 192.0.2.7:4711"


def test_advice_is_by_application(make_router):
    """Not by client: its number is bounded."""
    router = router_with(make_router)
    for _ in range(3):
        with router.transactional.connect(application_name="a - web") as c:
            c.execute("CREATE TEMP TABLE t (id int)")
            c.execute("DROP TABLE t")
    rows = [row for row in router.show("advice") if row["database"] == "app"]
    assert {row["application_name"] for row in rows} == {"a - web"}


def test_off_by_default(router):
    with router.transactional.wire() as wire:
        assert wire.value("SHOW application_name") in ("", None)
        assert not w.errors(wire.query("SELECT 1"))

# SPDX-License-Identifier: ISC
"""What an entry of databases, users and hosts means for the servers behind it."""
import pytest
from support import wire as w
from support.postgres import USERS
from support.wait import wait_until

PORTS = pytest.mark.parametrize("port", ["transactional", "session"])


@PORTS
@pytest.mark.router_only
def test_another_name_user_password_and_options(make_router, port):
    """Clients ask for "reports" as themselves; the servers log in to "app" as a user of
    the router's choice, with options that hold for all."""
    router = make_router({"databases": {"reports": {
        "host": "main", "dbname": "app", "user": "other", "password": USERS["other"][0],
        "options": "-c work_mem=3MB"}}})
    with getattr(router, port).wire(dbname="reports") as wire:
        assert wire.value("SELECT current_database()") == "app"
        assert wire.value("SELECT session_user") == "other"
        assert wire.value("SHOW work_mem") == "3MB"
        wire.query("RESET ALL")
        assert wire.value("SHOW work_mem") == "3MB"


@pytest.mark.router_only
def test_one_pool_for_all_users_of_a_forced_one(make_router, postgres):
    router = make_router({"databases": {"reports": {
        "host": "main", "dbname": "app", "user": "other", "password": USERS["other"][0]}}})
    with router.transactional.wire(dbname="reports") as one, \
            router.transactional.wire(user="app_md5", dbname="reports") as two:
        assert one.value("SELECT pg_backend_pid()") == two.value("SELECT pg_backend_pid()")
    assert postgres.count("usename = 'other'") == 1


@pytest.mark.router_only
def test_wrong_password_of_a_forced_user(make_router):
    """PostgreSQL's own words reach the client, and nobody else is disturbed."""
    router = make_router({"databases": {"reports": {
        "host": "main", "dbname": "app", "user": "other", "password": "wrong"}}})
    with router.transactional.wire() as bystander:
        with pytest.raises(RuntimeError, match="28P01"):
            router.transactional.wire(dbname="reports")
        assert bystander.value("SELECT 1") == "1"


@pytest.mark.router_only
def test_a_password_is_rolled_out(make_router, postgres):
    """The server password changes in PostgreSQL, then in the file: SIGHUP is enough."""
    postgres.sql("ALTER ROLE other PASSWORD 'old secret'")
    router = make_router({"databases": {"reports": {
        "host": "main", "dbname": "app", "user": "other", "password": "old secret"}}})
    try:
        with router.transactional.wire(dbname="reports") as wire:
            assert wire.value("SELECT 1") == "1"
            postgres.sql("ALTER ROLE other PASSWORD 'new secret'")
            postgres.terminate("usename = 'other'")
            wait_until(lambda: postgres.count("usename = 'other'") == 0, 5, "all are gone")
            router.reload({"databases": {"reports": {"password": "new secret"}}})
            wait_until(lambda: not w.errors(wire.query("SELECT 1")), 10, "the new one works")
    finally:
        postgres.sql(f"ALTER ROLE other PASSWORD '{USERS['other'][0]}'")


@pytest.mark.router_only
def test_servers_before_anybody_has_logged_in(make_router, postgres, tmp_path):
    """min_pool_size with the router's own login keeps servers open from the start, also
    when they are lost."""
    secret = tmp_path / "secret"
    secret.write_text(USERS["other"][0] + "\n")
    secret.chmod(0o600)
    router = make_router({
        "hosts": {"main": {"user": "other", "password_file": str(secret)}},
        "databases": {"app": {"host": "main", "min_pool_size": 2}},
        "workloads": {"session": {"databases": ["second"]}, "transactional": {}}})
    wait_until(lambda: postgres.count("usename = 'other' AND datname = 'app'") == 2, 10)
    postgres.terminate("usename = 'other'")
    wait_until(lambda: postgres.count("usename = 'other' AND datname = 'app'") == 2, 10)
    assert router.stop() == 0
    wait_until(lambda: postgres.count("usename = 'other'") == 0, 5)


@PORTS
def test_one_hundred_thousand_parameters(router, port):
    """More than the protocol can count: PostgreSQL's error, and the connection lives."""
    with getattr(router, port).wire() as wire:
        bind = bytearray(w.bind(["1"] * 65535))
        wire.send(w.parse("SELECT 1"), bytes(bind), w.execute(), w.sync())
        assert w.errors(wire.until_ready()) == ["08P01"]
        assert wire.value("SELECT 1") == "1"


@PORTS
def test_text_that_is_not_utf8(router, port):
    with getattr(router, port).wire() as wire:
        assert w.errors(wire.query(b"SELECT '\xff\xfe'")) == ["22021"]
        assert wire.value("SELECT 1") == "1"


@pytest.mark.router_only
def test_made_up_names_are_forgotten(router):
    """With "*" a user may ask for any name: what PostgreSQL does not know is not kept,
    what has served is."""
    with router.transactional.wire() as wire:
        wire.value("SELECT 1")
    for n in range(20):
        with pytest.raises(RuntimeError, match="3D000"):
            router.transactional.wire(dbname=f"made_up_{n}")

    def names():
        return {row["database"] for row in router.show("stats")}

    wait_until(lambda: not any(name.startswith("made_up") for name in names()), 30)
    assert "app" in names()

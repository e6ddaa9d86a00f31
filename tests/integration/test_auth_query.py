# SPDX-License-Identifier: ISC
"""auth_query: users whom no file names, and whom PostgreSQL knows."""
import asyncio
import concurrent.futures
import contextlib
import pathlib
import queue
import re
import struct
import threading
import time

import asyncpg
import psycopg
import pytest
from support import wire as w
from support.fakeserver import FakeServer
from support.postgres import DATABASE, USERS
from support.router import ADMIN
from support.wait import SLOWDOWN, wait_until

pytestmark = pytest.mark.router_only
OWN = "auth_asker"


@pytest.fixture
def asked(postgres):
    """A superuser as the router's own login, and users of each kind that the file of
    the router does not have."""
    drop = [f"DROP ROLE IF EXISTS {name}" for name in
            (OWN, "q_scram", "q_md5", "q_none", "q_expired", "q_nologin", "q_later", '"q '"'"'; x"')]
    postgres.sql(*drop)
    postgres.sql(
        f"CREATE ROLE {OWN} SUPERUSER LOGIN PASSWORD 'own secret'",
        "SET password_encryption = 'scram-sha-256'",
        "CREATE ROLE q_scram LOGIN PASSWORD 'scram word'",
        "CREATE ROLE q_none LOGIN",
        "CREATE ROLE q_expired LOGIN PASSWORD 'late' VALID UNTIL '2001-01-01'",
        "CREATE ROLE q_later LOGIN PASSWORD 'in time' VALID UNTIL '2199-01-01 12:00:00+03'",
        "CREATE ROLE q_nologin NOLOGIN PASSWORD 'never'",
        "CREATE ROLE \"q '; x\" LOGIN PASSWORD 'quoted'",
        "SET password_encryption = 'md5'",
        "CREATE ROLE q_md5 LOGIN PASSWORD 'md5 word'")
    hba = postgres.data / "pg_hba.conf"
    before = hba.read_text()
    hba.write_text("host all q_md5 127.0.0.1/32 md5\n" + before)
    postgres.sql("SELECT pg_reload_conf()")
    yield postgres
    hba.write_text(before)
    postgres.sql("SELECT pg_reload_conf()")
    postgres.terminate()
    postgres.sql(*drop)


def with_query(make_router, auth=None, start=True, **config):
    config.setdefault("hosts", {"main": {"user": OWN, "password": "own secret"}})
    router = make_router({"auth": {"auth_query": "default", **(auth or {})}, **config}, start=False)
    router.write_userlist([f'"{ADMIN[0]}" "{ADMIN[1]}"'])
    if start:
        router.start()
    return router


def connect(endpoint, user, password, dbname=DATABASE, **more):
    return psycopg.connect(host=endpoint.host, port=endpoint.port, user=user, password=password,
                           dbname=dbname, autocommit=True, connect_timeout=20, **more)


def refused(endpoint, user, password, dbname=DATABASE):
    """(the first request, ErrorResponse)"""
    with endpoint.raw() as wire:
        wire.send(w.startup(user, dbname))
        asked_for = None
        while True:
            got = wire.receive()
            if got.type == "E":
                return asked_for, got
            assert got.type == "R"
            code = struct.unpack_from("!i", got.body)[0]
            asked_for = code if asked_for is None else asked_for
            assert code != 0, f"{user} was let in"
            wire.answer(got, user, password)


@pytest.mark.parametrize("user, password", [
    ("q_scram", "scram word"), ("q_later", "in time"), ("q '; x", "quoted")])
def test_users_of_postgresql_log_in(make_router, asked, user, password):
    """The secret opens the router, and the proof opens PostgreSQL, as that user."""
    router = with_query(make_router)
    for endpoint in (router.transactional, router.session):
        with connect(endpoint, user, password) as connection:
            assert connection.execute("SELECT current_user, session_user").fetchone() == (user, user)
        code, error = refused(endpoint, user, "wrong")
        assert code == 10 and error.sqlstate == "28P01"
        assert error.text == f'password authentication failed for user "{user}"'


def test_an_md5_secret_opens_both(make_router, asked):
    router = with_query(make_router, {"auth_type": "md5"})
    with connect(router.transactional, "q_md5", "md5 word") as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("q_md5",)
    assert refused(router.transactional, "q_md5", "wrong")[1].sqlstate == "28P01"
    # What is md5 cannot be proven by SCRAM: the exchange is a mock one.
    router.reload({"auth": {"auth_type": "scram-sha-256"}})
    assert refused(router.transactional, "q_md5", "md5 word")[1].sqlstate == "28P01"


def test_asyncpg(make_router, asked):
    router = with_query(make_router)

    async def run():
        connection = await asyncpg.connect(host="127.0.0.1", port=router.transactional.port,
                                           user="q_scram", password="scram word",
                                           database=DATABASE, statement_cache_size=0)
        assert await connection.fetchval("SELECT current_user") == "q_scram"
        await connection.close()
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(host="127.0.0.1", port=router.transactional.port,
                                  user="q_scram", password="x", database=DATABASE)
    asyncio.run(run())


def test_nobody_can_tell_who_exists(make_router, asked):
    """Unknown, without password, expired, without LOGIN: each goes through the exchange
    that others go through, and hears the same; also again, from what is kept."""
    router = with_query(make_router)
    seen = set()
    for user, password in (("q_scram", "wrong"), ("nobody", "x"), ("q_none", ""), ("q_none", "x"),
                           ("q_expired", "late"), ("q_nologin", "never"), ("q_scram", "wrong"),
                           ("nobody", "x"), ("q_expired", "late"), ("postgres", "x"), (OWN, "x")):
        code, error = refused(router.transactional, user, password)
        assert error.text == f'password authentication failed for user "{user}"'
        seen.add((code, error.sqlstate, error.fields["S"], len(error.fields)))
    assert seen == {(10, "28P01", "FATAL", len(error.fields))}
    router.reload({"auth": {"auth_type": "md5"}})
    assert refused(router.transactional, "nobody", "x")[0] == 10
    assert refused(router.transactional, "q_scram", "x")[0] == 10


def test_the_salt_of_nobody_stays(make_router, asked):
    """Asked twice, a mock exchange has the same salt and iterations, as a real one."""
    router = with_query(make_router)

    def server_first(user):
        with router.session.raw() as wire:
            wire.send(w.startup(user, DATABASE))
            assert wire.receive().type == "R"
            first = b"n,,n=,r=abcdefghijkl"
            wire.send(w.message("p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first))
            got = wire.receive().body[4:].decode()
            return got.split(",")[1:]
    assert server_first("nobody") == server_first("nobody")
    assert server_first("nobody") != server_first("somebody")
    assert server_first("nobody")[1] == server_first("q_scram")[1] == "i=4096"
    assert server_first("q_expired") == server_first("q_expired")


@pytest.fixture
def counted(asked):
    """A function for auth_query that counts its calls, in the database postgres."""
    asked.sql("CREATE TABLE public.asked (who text, path text, at timestamptz DEFAULT now())",
              """CREATE FUNCTION public.who_is(who text, OUT name text, OUT secret text)
                 RETURNS SETOF record LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
                 INSERT INTO public.asked VALUES (who, current_setting('search_path'));
                 PERFORM pg_catalog.pg_sleep(0.2);
                 RETURN QUERY SELECT rolname::text, rolpassword FROM pg_catalog.pg_authid
                              WHERE rolname = who AND rolcanlogin;
                 END $$""")
    yield asked
    asked.terminate()
    asked.sql("DROP FUNCTION public.who_is", "DROP TABLE public.asked")


COUNTING = "SELECT name, secret FROM public.who_is($1)"


def calls(postgres, who):
    return postgres.sql(f"SELECT count(*) FROM public.asked WHERE who = '{who}'")[0][0]


def test_a_storm_asks_once(make_router, counted):
    """Fifty logins of one user at once: one query, one connection for it, and nobody waits
    for more than that."""
    router = with_query(make_router, {"auth_query": COUNTING})
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        connections = list(pool.map(
            lambda _: connect(router.transactional, "q_scram", "scram word"), range(50)))
    assert calls(counted, "q_scram") == 1
    assert counted.sql(f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{OWN}'"
                       " AND datname = 'postgres'")[0][0] == 1
    for connection in connections:
        connection.close()


def test_kept_for_a_while(make_router, counted):
    router = with_query(make_router, {"auth_query": COUNTING, "auth_query_cache_ttl": "1h",
                                      "auth_query_negative_ttl": "1h"})
    for _ in range(3):
        connect(router.session, "q_scram", "scram word").close()
        refused(router.session, "nobody", "x")
    assert calls(counted, "q_scram") == 1
    assert calls(counted, "nobody") == 1
    # A reload asks anew.
    router.reload({"auth": {"auth_query_cache_ttl": "0", "auth_query_negative_ttl": "0"}})
    for _ in range(2):
        connect(router.session, "q_scram", "scram word").close()
        refused(router.session, "nobody", "x")
    assert calls(counted, "q_scram") == 3
    assert calls(counted, "nobody") == 3


def test_a_changed_password(make_router, counted):
    """Whoever has the new password is let in soon, whatever is kept: the failure makes the
    router ask again, though not for each of many tries."""
    router = with_query(make_router, {"auth_query": COUNTING, "auth_query_cache_ttl": "1h"})
    connect(router.session, "q_scram", "scram word").close()
    counted.sql("ALTER ROLE q_scram PASSWORD 'another'")
    tries = 0

    def lets_in():
        nonlocal tries
        tries += 1
        try:
            with connect(router.session, "q_scram", "another") as connection:
                return connection.execute("SELECT current_user").fetchone() == ("q_scram",)
        except psycopg.OperationalError as problem:
            assert "password authentication failed" in str(problem)
            return False
    start = time.monotonic()
    wait_until(lets_in, 20, "the new password to do")
    assert calls(counted, "q_scram") <= 2 + (time.monotonic() - start)
    assert refused(router.session, "q_scram", "scram word")[1].sqlstate == "28P01"


def test_addresses_take_turns(make_router, counted):
    """Names that are made up, more than may wait, of one address: who comes from elsewhere
    has its answer long before those, though the query is slow and one is asked at a time."""
    router = with_query(make_router, {"auth_query": COUNTING},
                        defaults={"client_login_timeout": "1h"})
    with contextlib.ExitStack() as stack:
        for number in range(600):
            wire = stack.enter_context(w.Wire("127.0.0.1", router.transactional.port,
                                              source="127.0.0.2"))
            wire.send(w.startup(f"made_up_{number}", DATABASE))
        with w.Wire("127.0.0.1", router.transactional.port, timeout=60 * SLOWDOWN) as wire:
            wire.login("q_scram", "scram word", DATABASE)
            assert wire.value("SELECT current_user") == "q_scram"
        assert counted.sql("SELECT count(*) FROM public.asked")[0][0] < 100


@pytest.mark.parametrize("setting", [
    {"search_path": "evil, pg_catalog"}, {"options": "-c search_path=evil,pg_catalog"}])
def test_a_client_has_no_say_in_it(make_router, counted, setting):
    """CVE-2025-12819: what a client sends in its startup packet does not reach the
    connection that asks for secrets."""
    counted.sql("ALTER ROLE auth_asker SET search_path = 'evil2, pg_catalog'")
    router = with_query(make_router, {"auth_query": COUNTING})
    with router.transactional.raw() as wire:
        wire.send(w.startup("q_scram", DATABASE, **setting))
        wire.authenticate("q_scram", "scram word")
        assert wire.value("SELECT current_user") == "q_scram"
    assert counted.sql("SELECT DISTINCT path FROM public.asked") == [("pg_catalog,pg_temp",)]


ANSWERS = {
    "another user": "SELECT 'postgres', 'x' WHERE $1::text IS NOT NULL",
    "CVE-2015-6817": f"SELECT '{OWN}'::text, rolpassword FROM pg_authid WHERE rolname = '{OWN}' AND $1 <> ''",
    "no name": "SELECT NULL::text, 'x' WHERE $1::text IS NOT NULL",
    "one column": "SELECT $1::text",
    "four columns": "SELECT $1::text, 'x', NULL, NULL",
    "two rows": "SELECT $1::text, 'x' FROM generate_series(1, 2)",
    "no time": "SELECT $1::text, 'x', 'tomorrow'",
    "long": "SELECT $1::text, repeat('x', 5000)",
    "longer": "SELECT $1::text, repeat('x', 5000000)",
    "an error": "SELECT $1::text, (1/0)::text",
    "no table": "SELECT name, secret FROM nowhere WHERE name = $1",
    "two statements": "SELECT $1::text, 'x'; SELECT 1",
}


@pytest.mark.parametrize("query", ANSWERS.values(), ids=ANSWERS)
def test_answers_that_let_nobody_in(make_router, asked, query):
    """The answer must be one row that names the user asked for; else nobody is let in, and
    nobody hears what PostgreSQL said."""
    router = with_query(make_router, {"auth_query": query})
    for _ in range(2):
        code, error = refused(router.transactional, "q_scram", "x")
        assert code is None
        assert error.text == "could not look up the user's password"
        assert error.sqlstate in ("58000", "08006", "08P01")
    wait_until(lambda: "auth-query-failed host=main user=\"q_scram\"" in router.log(), 5,
               "the line of the log")
    router.reload({"auth": {"auth_query": "default"}})
    connect(router.transactional, "q_scram", "scram word").close()


def test_a_database_of_its_own(make_router, asked):
    """A database may have a query and a place for it of its own; without host users are
    known before the database is."""
    asked.sql("CREATE TABLE tenants (name text, secret text)",
              "INSERT INTO tenants VALUES ('tenant', 'tenant word')", dbname="second")
    router = with_query(make_router, databases={
        "tenants": {"host": "main", "dbname": "second", "user": "app_trust",
                    "auth_query": "SELECT name, secret FROM public.tenants WHERE name = $1",
                    "auth_dbname": "second"},
        "app": {"host": "main"}, "*": None})
    with connect(router.session, "tenant", "tenant word", "tenants") as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("app_trust",)
    assert refused(router.session, "tenant", "tenant word", "app")[1].sqlstate == "28P01"
    assert refused(router.session, "q_scram", "scram word", "tenants")[1].sqlstate == "28P01"
    with pytest.raises(psycopg.OperationalError, match='database "gone" does not exist'):
        connect(router.session, "q_scram", "scram word", "gone")
    asked.terminate()
    asked.sql("DROP TABLE tenants", dbname="second")


def test_it_is_part_of_the_budget(make_router, asked):
    """The query has one connection, guaranteed: with the budget in use it is still asked,
    and the budget is not exceeded."""
    router = with_query(make_router, hosts={"main": {
        "user": OWN, "password": "own secret", "connection_budget": 4}},
        workloads={"session": {"guaranteed_connections": 2}, "transactional": {"guaranteed_connections": 1}})
    held = [connect(router.session, "q_scram", "scram word") for _ in range(2)]
    for connection in held:
        connection.execute("SELECT 1")
    used = connect(router.transactional, "q_scram", "scram word")
    used.execute("BEGIN")
    refused(router.transactional, "nobody", "x")
    assert asked.sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
                     " AND usename IN ('q_scram', 'auth_asker')")[0][0] <= 4
    rows = {row["workload"]: row for row in router.show("budget")}
    assert rows["(router)"]["guaranteed"] == 1
    for connection in [*held, used]:
        connection.close()


def test_postgresql_is_away(make_router, asked):
    """Nobody is let in, and told so with the reason's SQLSTATE; who is in the file still
    gets in as far as the console."""
    router = with_query(make_router, defaults={"client_login_timeout": "3s"})
    asked.stop()
    try:
        away(router)
    finally:
        asked.start()

    def lets_in():
        try:
            connect(router.session, "q_scram", "scram word").close()
            return True
        except psycopg.OperationalError:
            return False
    wait_until(lets_in, 20, "logins work again")


def away(router):
    code, error = refused(router.session, "q_scram", "scram word")
    assert code is None and error.sqlstate in ("08006", "57P03", "57014")
    assert router.show("workloads")


def test_the_login_timeout_holds(make_router, asked):
    """A query that does not end keeps nobody longer than client_login_timeout."""
    router = with_query(make_router, {"auth_query": "SELECT $1::text, 'x' FROM pg_sleep(60)"},
                        defaults={"client_login_timeout": "1s"})
    with router.session.raw() as wire:
        start = time.monotonic()
        wire.send(w.startup("q_scram", DATABASE))
        error, = wire.until_closed()
        assert (error.type, error.sqlstate) == ("E", "57014")
        assert time.monotonic() - start < 20
    wait_until(lambda: "reason=login-timeout" in router.log(), 5, "the reason")


def test_clients_that_leave_while_it_runs(make_router, counted):
    """The answer finds nobody, or somebody else in the same place."""
    router = with_query(make_router, {"auth_query": COUNTING})
    for number in range(20):
        with router.session.raw() as wire:
            wire.send(w.startup(f"nobody{number}" if number % 2 else "q_scram", DATABASE))
    connect(router.session, "q_scram", "scram word").close()
    assert calls(counted, "q_scram") == 1


def test_the_function_of_the_manual(make_router, asked):
    """With it the router's own login needs no rights but to call it; superusers stay
    outside."""
    manual = (pathlib.Path(__file__).parents[2] / "man/pgtandem.yaml.5.in").read_text()
    made = re.search(r"^CREATE FUNCTION public.pgtandem_user.*?^GRANT", manual, re.M | re.S)[0]
    create, revoke = made.removesuffix("GRANT").split("$$;")
    asked.sql(f"ALTER ROLE {OWN} NOSUPERUSER", create + "$$", revoke,
              f"GRANT EXECUTE ON FUNCTION public.pgtandem_user TO {OWN}")
    try:
        router = with_query(make_router, {"auth_query": "SELECT * FROM public.pgtandem_user($1)"})
        connect(router.session, "q_scram", "scram word").close()
        assert refused(router.session, "q_expired", "late")[1].sqlstate == "28P01"
        assert refused(router.session, "nobody", "late")[1].sqlstate == "28P01"
        router.reload({"auth": {"auth_query": "default"}})
        code, error = refused(router.session, "q_scram", "scram word")
        assert code is None and error.sqlstate == "58000" and "pg_authid" not in str(error)
        wait_until(lambda: "permission denied for table pg_authid" in router.log(), 5, "the cause")
    finally:
        asked.terminate()
        asked.sql("DROP FUNCTION public.pgtandem_user")


@pytest.mark.parametrize("changes, said", [
    ({"hosts": {"main": {"user": None, "password": None}}}, "needs hosts.main.user"),
    ({"auth": {"auth_query": "SELECT 1, 2"}}, "needs $1")])
def test_configuration(make_router, asked, changes, said):
    router = with_query(make_router)
    router.expect_error("reload")
    assert said in router.reload(changes, expect="error")


@pytest.mark.parametrize("how", ["no fields", "endless", "garbage", "closes"])
def test_a_hostile_postgresql(make_router, how):
    """The server that answers the query is not trusted: what makes no sense lets nobody
    in and harms nobody."""
    error = w.message("E", b"\0") + w.message("Z", b"I")
    answers = {"no fields": error, "garbage": w.message("D", b"\xff\xff") + w.message("Z", b"I"),
               "endless": w.message("N", b"SNOTICE\0\0") * 3000 + w.message("D", struct.pack("!hi", 2, 0x7ffffff0)),
               "closes": b""}

    def serve():
        try:
            while True:
                connection = fake.take()
                threading.Thread(target=answer, args=(connection,), daemon=True).start()
        except queue.Empty:
            pass

    def answer(connection):
        try:
            while True:
                if connection.receive().type in "QS":
                    connection.send(answers[how])
                    if how == "closes":
                        connection.close()
        except (OSError, EOFError):
            pass

    fake = FakeServer(timeout=20)
    threading.Thread(target=serve, daemon=True).start()
    try:
        router = with_query(make_router, hosts={"main": {"port": fake.port, "user": OWN}},
                            defaults={"client_login_timeout": "5s"})
        with router.session.raw() as wire:
            wire.send(w.startup("somebody", DATABASE))
            assert w.types(wire.until_closed()) in ("", "E")
        assert router.show("workloads")
    finally:
        fake.close()


def test_users_of_the_file_go_first(make_router, counted):
    router = with_query(make_router, {"auth_query": COUNTING}, start=False)
    router.write_userlist([f'"{ADMIN[0]}" "{ADMIN[1]}"', f'"app_plain" "{USERS["app_plain"][0]}"'])
    router.start()
    with router.session.connect(user="app_plain") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    # Nor is it asked for the console, whatever the user.
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(router.session, "q_scram", "scram word", "pgbouncer")
    assert calls(counted, "app_plain") == calls(counted, "q_scram") == 0

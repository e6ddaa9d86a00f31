# SPDX-License-Identifier: ISC
"""Logging in: who is let in, how, and what the others are told."""
import re
import struct

import psycopg
import pytest
from support import wire as w
from support.postgres import DATABASE, USERS, md5_secret
from support.router import ADMIN
from support.wait import wait_until


def refused(endpoint, user="app_scram", password="wrong", dbname=DATABASE):
    """The ErrorResponse that a login gets; the connection must then be closed."""
    with endpoint.raw() as wire:
        wire.send(w.startup(user, dbname))
        while True:
            got = wire.receive()
            if got.type == "R":
                wire.answer(got, user, password)
            elif got.type == "E":
                assert wire.until_closed() == []
                return got


@pytest.mark.parametrize("user", sorted(set(USERS) - {"repl"}))
def test_each_kind_of_server_login(router, port, user):
    """The router logs in to PostgreSQL by scram-sha-256, md5, password and trust,
    and the session is the user's own."""
    with port.connect(user=user) as connection:
        assert connection.execute("SELECT current_user, session_user").fetchone() == (user, user)


def test_welcome_is_complete(port):
    """What drivers rely on is in the welcome: parameters, a cancel key, 'I'."""
    with port.wire() as wire:
        for name in ("server_version", "client_encoding", "server_encoding", "DateStyle",
                     "TimeZone", "IntervalStyle", "integer_datetimes",
                     "standard_conforming_strings"):
            assert name in wire.parameters, name
        assert wire.parameters["client_encoding"] == "UTF8"
        assert len(wire.key) == 4
        assert wire.pid != 0


def test_server_version_is_postgresqls(port, postgres):
    with port.wire() as wire:
        assert wire.parameters["server_version"] == postgres.sql("SHOW server_version")[0][0]


@pytest.mark.parametrize("request_bytes", [
    pytest.param(w.SSL_REQUEST, id="SSLRequest"),
    pytest.param(w.GSSENC_REQUEST, id="GSSENCRequest", marks=pytest.mark.router_only)])
def test_encryption_requests_are_answered(port, request_bytes):
    """Without TLS the answer is one byte, N, and the login goes on in clear."""
    with port.raw() as wire:
        wire.send(request_bytes)
        assert wire.read(1) == b"N"
        wire.login("app_scram", USERS["app_scram"][0], DATABASE)
        assert wire.value("SELECT 1") == "1"


@pytest.mark.router_only
def test_both_encryption_requests_then_login(port):
    """libpq with gssencmode=prefer and sslmode=prefer asks for one after the other."""
    with port.raw() as wire:
        wire.send(w.GSSENC_REQUEST)
        assert wire.read(1) == b"N"
        wire.send(w.SSL_REQUEST)
        assert wire.read(1) == b"N"
        wire.login("app_scram", USERS["app_scram"][0], DATABASE)


def test_sslmode_require_fails_without_tls(port):
    with pytest.raises(psycopg.OperationalError, match="SSL"):
        port.connect(sslmode="require")


@pytest.mark.parametrize("auth_type, request_code", [
    ("md5", 5), ("scram-sha-256", 10), ("trust", 0)])
@pytest.mark.router_only
def test_auth_type_decides_what_the_client_is_asked(make_router, auth_type, request_code):
    router = make_router({"auth": {"auth_type": auth_type}})
    with router.transactional.raw() as wire:
        wire.send(w.startup("app_plain", DATABASE))
        got = wire.receive()
        assert got.type == "R"
        assert struct.unpack_from("!i", got.body)[0] == request_code
        wire.answer(got, "app_plain", USERS["app_plain"][0])
        wire.authenticate("app_plain", USERS["app_plain"][0])
        assert wire.value("SELECT current_user") == "app_plain"


@pytest.mark.router_only
@pytest.mark.parametrize("auth_type", ["md5", "scram-sha-256"])
def test_secrets_of_each_kind_in_userlist(make_router, postgres, auth_type):
    """userlist.txt may hold plain passwords, md5 hashes and SCRAM secrets; a plain
    one serves every method."""
    router = make_router({"auth": {"auth_type": auth_type}}, start=False)
    password = USERS["app_trust"][0]
    stored = password if auth_type == "scram-sha-256" else md5_secret("app_trust", password)
    router.write_userlist([f'"app_trust" "{stored}"',
                           f'"app_plain" "{USERS["app_plain"][0]}"',
                           f'"{ADMIN[0]}" "{ADMIN[1]}"'])
    router.start()
    for user in ("app_trust", "app_plain"):
        with router.transactional.connect(user=user) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (user,)
    assert refused(router.transactional, "app_trust").sqlstate == "28P01"


@pytest.mark.router_only
def test_scram_pass_through(make_router, postgres):
    """The userlist has the very SCRAM secret that PostgreSQL stores: the client's
    login yields the key for the server's, and no password is known anywhere."""
    router = make_router(start=False)
    router.write_userlist([f'"app_scram" "{postgres.secret("app_scram")}"'])
    router.start()
    for endpoint in (router.transactional, router.session):
        with endpoint.connect() as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("app_scram",)
    assert refused(router.transactional).sqlstate == "28P01"


@pytest.mark.router_only
def test_a_given_user_has_nobodys_keys(make_router, postgres):
    """Who comes in as somebody else by databases.D.user does so with what the configuration has
    of that user, never with what he has proven himself; he, by his own name, comes in."""
    router = make_router({"databases": {"reports": {"host": "main", "dbname": DATABASE,
                                                    "user": "other"}}}, start=False)
    router.write_userlist([f'"{user}" "{postgres.secret(user)}"' for user in ("app_scram", "other")])
    router.start()
    for endpoint in (router.transactional, router.session):
        with endpoint.connect(user="other") as proven:
            assert proven.execute("SELECT current_user").fetchone() == ("other",)
            for user in ("app_scram", "other"):
                refusal = refused(endpoint, user, USERS[user][0], dbname="reports")
                assert refusal.sqlstate == "28000" and "no password is known" in refusal.text
            assert proven.execute("SELECT current_user").fetchone() == ("other",)


@pytest.mark.router_only
def test_a_reload_gives_a_user_and_takes_it_back(make_router, postgres):
    """Whose servers those of a live session are is what the file says: of who is given, with what
    the file has of him; of who has come, with what he has proven. Nobody is in two rows."""
    router = make_router({"databases": {"reports": {"host": "main", "dbname": DATABASE}}}, start=False)
    router.write_userlist([f'"{user}" "{postgres.secret(user)}"' for user in ("app_scram", "other")]
                          + ['"{}" "{}"'.format(*ADMIN)])
    router.start()

    def who(connection):
        return connection.execute("SELECT current_user").fetchone()[0]

    def change(**more):
        router.reload({"databases": {"reports": more}})
        rows = [(row["database"], row["user"]) for row in router.show("pools")]
        assert len(set(rows)) == len(rows)
    with router.transactional.connect() as plain, router.transactional.connect(user="other") as other, \
            router.transactional.connect(dbname="reports") as moved, \
            router.session.connect(dbname="reports") as session:
        assert [who(one) for one in (plain, other, moved, session)] == [
            "app_scram", "other", "app_scram", "app_scram"]
        change(user="other")
        for _ in range(2):
            with pytest.raises(psycopg.Error) as refusal:
                who(moved)
            assert refusal.value.sqlstate == "28000" and "no password is known" in str(refusal.value)
            assert [who(one) for one in (plain, other, session)] == ["app_scram", "other", "app_scram"]
        change(password="wrong")
        with pytest.raises(psycopg.Error) as refusal:
            who(moved)
        assert refusal.value.sqlstate == "28P01"
        change(password=USERS["other"][0])
        assert [who(one) for one in (plain, other, moved, session)] == [
            "app_scram", "other", "other", "app_scram"]
        assert router.command("KILL reports") == "KILL"
        assert router.command("RESUME reports") == "RESUME"
    with router.transactional.connect() as plain:
        router.reload({"databases": {"reports": {"user": None, "password": None}}})
        with router.transactional.connect(dbname="reports") as moved:
            assert [who(one) for one in (plain, moved)] == ["app_scram", "app_scram"]


@pytest.mark.router_only
def test_md5_hash_logs_in_to_the_server(make_router, postgres):
    """An md5 hash is all that an md5 login of the server needs."""
    router = make_router({"auth": {"auth_type": "md5"}}, start=False)
    router.write_userlist([f'"app_md5" "{postgres.secret("app_md5")}"'])
    router.start()
    with router.session.connect(user="app_md5") as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("app_md5",)


def test_wrong_password(port):
    """FATAL 28P01 as PostgreSQL words it, and the connection ends."""
    error = refused(port)
    assert error.fields["S"] == "FATAL"
    assert error.sqlstate == "28P01"
    assert error.text == 'password authentication failed for user "app_scram"'


def test_unknown_user_looks_like_a_wrong_password(port):
    """The same messages, the same error: nobody learns which users exist."""
    error = refused(port, user="nobody_at_all")
    assert error.sqlstate == "28P01"
    assert error.text == 'password authentication failed for user "nobody_at_all"'


@pytest.mark.router_only
def test_mock_exchange_has_a_stable_salt(router):
    """PostgreSQL gives an unknown user the same salt each time, so that asking twice
    tells nothing; so do we."""
    def salt(user):
        with router.transactional.raw() as wire:
            wire.send(w.startup(user, DATABASE))
            wire.answer(wire.receive(), user, "x")
            challenge = wire.receive()
            assert challenge.type == "R"
            return dict(part.split("=", 1)
                        for part in challenge.body[4:].decode().split(","))["s"]

    assert salt("nobody_1") == salt("nobody_1")
    assert salt("nobody_1") != salt("nobody_2")


@pytest.mark.router_only
def test_nobody_is_asked_for_what_others_are_asked_for(make_router, postgres):
    """With md5 the kind of the stored secret decides what a user is asked for: a name that
    nobody knows is asked for one of the kinds that there are, and always for the same."""
    lines = {"app_md5": f'"app_md5" "{postgres.secret("app_md5")}"',
             "app_scram": f'"app_scram" "{postgres.secret("app_scram")}"'}
    router = make_router({"auth": {"auth_type": "md5"}}, start=False)

    def asked(user):
        with router.transactional.raw() as wire:
            wire.send(w.startup(user, DATABASE))
            return struct.unpack_from("!i", wire.receive().body)[0]

    router.write_userlist(lines.values())
    router.start()
    assert (asked("app_md5"), asked("app_scram")) == (5, 10)
    names = [f"nobody_{i}" for i in range(40)]
    kinds = [asked(name) for name in names]
    assert set(kinds) == {5, 10}
    assert [asked(name) for name in names] == kinds
    for user, code in (("app_scram", 10), ("app_md5", 5)):
        router.write_userlist([lines[user]])
        router.reload()
        assert {asked(name) for name in names} == {code} == {asked(user)}


def test_wrong_password_disturbs_nobody(port):
    with port.connect() as connection:
        for _ in range(20):
            refused(port)
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with port.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_unknown_database(port):
    """3D000, as PostgreSQL says it."""
    with pytest.raises(psycopg.OperationalError, match='database "nowhere" does not exist'):
        with port.connect(dbname="nowhere") as connection:
            connection.execute("SELECT 1")


@pytest.mark.router_only
def test_database_that_is_not_configured(make_router):
    """Without "*" only the listed names exist; each has its own settings."""
    router = make_router({"databases": {
        "*": None, "front": {"host": "main", "dbname": DATABASE},
        "forced": {"host": "main", "dbname": DATABASE, "user": "other",
                   "password": USERS["other"][0], "options": "-c work_mem=7MB"}}})
    for endpoint in (router.transactional, router.session):
        with endpoint.connect(dbname="front") as connection:
            assert connection.execute("SELECT current_database()").fetchone() == (DATABASE,)
        with endpoint.connect(dbname="forced") as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("other",)
            assert connection.execute("SHOW work_mem").fetchone() == ("7MB",)
        error = refused(endpoint, dbname=DATABASE, password=USERS["app_scram"][0])
        assert error.sqlstate == "3D000"
        assert error.text == f'database "{DATABASE}" does not exist'


@pytest.mark.router_only
def test_workload_with_its_own_databases(make_router):
    router = make_router({"workloads": {"session": {"databases": ["second"]}}})
    with router.transactional.connect() as connection:
        connection.execute("SELECT 1")
    with router.session.connect(dbname="second") as connection:
        connection.execute("SELECT 1")
    assert refused(router.session, password=USERS["app_scram"][0]).sqlstate == "3D000"


def test_database_defaults_to_the_user(port):
    """No database in the startup packet means the one named like the user."""
    with port.raw() as wire:
        wire.send(w.startup("app_scram", None))
        with pytest.raises(RuntimeError, match='3D000: database "app_scram" does not exist'):
            wire.authenticate("app_scram", USERS["app_scram"][0])
            wire.value("SELECT 1")


def test_no_user_in_the_startup_packet(port):
    with port.raw() as wire:
        wire.send(w.startup(None, DATABASE))
        error = wire.until("E")[-1]
        assert (error.fields["S"], error.sqlstate) == ("FATAL", "28000")
        assert error.text == "no PostgreSQL user name specified in startup packet"
        assert wire.until_closed() == []


def test_protocol_3_2(router, port):
    """3.2 is spoken, or negotiated down to 3.0 by NegotiateProtocolVersion (as
    PostgreSQL 15 does); either way the session works."""
    with port.raw() as wire:
        seen = wire.login("app_scram", USERS["app_scram"][0], DATABASE, version=w.PROTOCOL_3_2)
        negotiated = [m for m in seen if m.type == "v"]
        if negotiated:
            assert struct.unpack_from("!i", negotiated[0].body)[0] in (0, w.PROTOCOL_3_0)
            assert len(wire.key) == 4
        else:
            assert 4 <= len(wire.key) <= 256
        assert wire.value("SELECT 1") == "1"


@pytest.mark.router_only
def test_protocol_3_2_has_long_cancel_keys(router):
    with router.transactional.raw() as wire:
        seen = wire.login("app_scram", USERS["app_scram"][0], DATABASE, version=w.PROTOCOL_3_2)
        assert not [m for m in seen if m.type == "v"]
        assert len(wire.key) == 32


def test_protocol_of_the_future(port):
    """3.9 and _pq_ options are negotiated, not refused."""
    with port.raw() as wire:
        seen = wire.login("app_scram", USERS["app_scram"][0], DATABASE, version=(3 << 16) | 9,
                          **{"_pq_.unheard_of": "1"})
        reply = next(m for m in seen if m.type == "v")
        count = struct.unpack_from("!i", reply.body, 4)[0]
        assert count == 1
        assert reply.body[8:] == b"_pq_.unheard_of\0"
        assert wire.value("SELECT 1") == "1"


def test_protocol_4(port):
    with port.raw() as wire:
        wire.send(w.startup("app_scram", DATABASE, 4 << 16))
        error = wire.until("E")[-1]
        assert (error.fields["S"], error.sqlstate) == ("FATAL", "0A000")
        assert "unsupported frontend protocol" in error.text
        assert wire.until_closed() == []


@pytest.mark.parametrize("major", [1, 2])
def test_protocol_of_the_past(port, major):
    """PostgreSQL answers in the old format, E and a text, or in the new one: an error
    in any case, and the end."""
    with port.raw() as wire:
        wire.send(w.startup("app_scram", DATABASE, major << 16))
        assert wire.read(1) == b"E"
        wire.socket.settimeout(10)
        while wire.socket.recv(1024):
            pass


def test_startup_parameters_reach_the_session_port(router):
    with router.session.wire(application_name="my app", DateStyle="German",
                             options="-c statement_timeout=12345") as wire:
        assert wire.value("SHOW application_name") == "my app"
        assert wire.value("SHOW DateStyle").startswith("German")
        assert wire.value("SHOW statement_timeout") == "12345ms"


@pytest.mark.router_only
def test_max_client_conn_of_a_workload(make_router):
    """The client over the limit gets FATAL 53300; a place that becomes free is
    usable at once, and the other port is not touched."""
    router = make_router({"workloads": {"transactional": {"max_client_conn": 3}}})
    clients = [router.transactional.wire() for _ in range(3)]
    error = refused(router.transactional, password=USERS["app_scram"][0])
    assert (error.fields["S"], error.sqlstate) == ("FATAL", "53300")
    with router.session.connect() as connection:
        connection.execute("SELECT 1")
    clients.pop().quit()

    def can_connect():
        try:
            clients.append(router.transactional.wire())
            return True
        except RuntimeError:
            return False

    wait_until(can_connect, 5, "the place of a client that left is free")
    for client in clients:
        client.quit()


@pytest.mark.router_only
def test_slow_login_is_ended(make_router):
    """A client that says nothing, or half a startup packet, is closed after
    client_login_timeout, while others log in."""
    router = make_router({"defaults": {"client_login_timeout": "2s"}})
    with router.transactional.raw() as silent, router.transactional.raw() as half:
        half.send(w.startup("app_scram", DATABASE)[:9])
        with router.transactional.connect() as connection:
            connection.execute("SELECT 1")
            for wire in (silent, half):
                assert [m.type for m in wire.until_closed()] in ([], ["E"])
            assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.router_only
def test_one_line_when_a_session_begins_and_one_when_it_ends(router):
    """Both have the client's id; neither has a secret."""
    with router.transactional.connect():
        wait_until(lambda: "client-login" in router.log(), 5, "the session's first line")
        (number,) = re.findall(r"client-login id=(\d+) .*app_scram", router.log())
    wait_until(lambda: f"client-close id={number} " in router.log(), 5, "its last line")
    assert router.log().count(f" id={number} ") == 2
    assert USERS["app_scram"][0] not in router.log()


@pytest.mark.router_only
def test_unix_socket_and_several_addresses(make_router, tmp_path):
    """A workload listens on TCP, several addresses and a unix socket."""
    from support.net import free_port, has_ipv6
    ports = [free_port() for _ in range(3)]
    listen = [f"127.0.0.1:{ports[0]}", f"127.0.0.2:{ports[1]}", f"unix:{tmp_path}:{ports[2]}"]
    if has_ipv6():
        listen.append(f"[::1]:{ports[1]}")
    router = make_router({"workloads": {"transactional": {"listen": listen}}})
    from support.router import Endpoint
    where = [("127.0.0.1", ports[0]), ("127.0.0.2", ports[1]), (str(tmp_path), ports[2])]
    if has_ipv6():
        where.append(("::1", ports[1]))
    for host, port in where:
        with Endpoint(host, port).connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert router.stop() == 0
    assert not (tmp_path / f".s.PGSQL.{ports[2]}").exists()


@pytest.mark.router_only
def test_postgresql_by_unix_socket(make_router, postgres):
    router = make_router({"hosts": {"main": {"host": str(postgres.socket_dir)}}})
    with router.session.connect() as connection:
        assert connection.execute("SELECT inet_client_addr()").fetchone() == (None,)


def test_application_name_in_another_encoding(router):
    """Bytes that are no UTF-8 do not keep a client out; PostgreSQL 15 shows a question
    mark for each of them."""
    with router.transactional.raw() as wire:
        wire.send(w.startup("app_scram", "app", client_encoding="LATIN1",
                            application_name=b"w\xf6rk"))
        wire.authenticate("app_scram", USERS["app_scram"][0])
        assert wire.parameters["application_name"] == "w?rk"
        assert wire.value("SELECT current_setting('application_name')") == "w?rk"

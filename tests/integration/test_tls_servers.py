# SPDX-License-Identifier: ISC
"""TLS to PostgreSQL: modes, certificates, cancel requests, and servers that lie."""
import re
import socket
import ssl
import struct
import subprocess
import threading

import psycopg
import pytest
from support import wire as w
from support.certs import Authority
from support.fakeserver import welcome
from support.postgres import DATABASE, DEFAULT_USER, USERS
from support.router import Router
from support.tlspostgres import TlsPostgres
from support.wait import wait_until

pytestmark = pytest.mark.router_only


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("ca"))
    authority.issue("server", "localhost", "DNS:localhost")
    authority.issue("address", "db", "IP:127.0.0.1")
    authority.issue("revoked", "localhost", "DNS:localhost")
    authority.revoke("revoked")
    authority.issue("expired", "localhost", "DNS:localhost",
                    dates=("20200101000000Z", "20200201000000Z"))
    authority.issue("future", "localhost", "DNS:localhost",
                    dates=("20400101000000Z", "20400201000000Z"))
    authority.issue("client", DEFAULT_USER)
    return authority


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("stranger"), "Another CA")


@pytest.fixture(scope="module")
def tls_cluster(ca):
    cluster = TlsPostgres()
    try:
        yield cluster.create_with(ca)
    finally:
        cluster.destroy()


@pytest.fixture
def tls_postgres(tls_cluster):
    yield tls_cluster
    tls_cluster.use_certificate("server")
    tls_cluster.terminate()


@pytest.fixture
def make(make_router, tls_postgres):
    def start(host="localhost", **options):
        return make_router({"hosts": {"main": {"host": host, **options}}, "defaults": PATIENT},
                           postgres_of_test=tls_postgres)
    return start


# Nobody is to wait for it, but where it is said.
PATIENT = {"query_wait_timeout": "10min", "client_login_timeout": "10min"}
QUICK = {"query_wait_timeout": "1500ms"}


def refused(router, problem, sqlstate="08001"):
    """Nobody gets in: who asks is told why, and so is the log.  08001: at once, and not when
    the time is over that somebody waits."""
    with router.session.raw() as wire:
        wire.send(w.startup(DEFAULT_USER, DATABASE))
        with pytest.raises(RuntimeError, match=f"{sqlstate}: .*{problem}" if sqlstate == "08001"
                           else sqlstate):
            wire.authenticate(DEFAULT_USER, USERS[DEFAULT_USER][0])
    wait_until(lambda: re.search(f"server-login-failed.*{problem}", router.log()), 10, problem)


def servers_with_tls(postgres):
    return postgres.sql("SELECT ssl, version, cipher FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
                        f" WHERE usename = '{DEFAULT_USER}'")


# ------------------------------------------------------------------- modes

@pytest.mark.parametrize("mode, is_tls", [("disable", False), ("allow", True), ("prefer", True),
                                          (None, True), ("require", True)])
def test_modes(make, tls_postgres, mode, is_tls):
    router = make(server_tls_sslmode=mode) if mode else make()
    with router.transactional.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        shown = servers_with_tls(tls_postgres)
        assert [s[0] for s in shown] == [is_tls]
        servers = [s for s in router.show("SERVERS") if s["user"] == DEFAULT_USER]
        assert [s["tls"] for s in servers] == [f"{shown[0][1]}/{shown[0][2]}" if is_tls else ""]


@pytest.mark.parametrize("mode, works", [("disable", True), ("prefer", True), ("require", False),
                                         ("verify-ca", False), ("verify-full", False)])
def test_server_without_tls(make_router, ca, mode, works):
    router = make_router({"hosts": {"main": {"server_tls_sslmode": mode,
                                             "server_tls_ca_file": ca.ca}}, "defaults": PATIENT})
    if works:
        with router.session.connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        return
    refused(router, "it has no TLS")


def test_unix_sockets_have_none(make_router, tls_postgres, ca):
    router = make_router({"hosts": {"main": {
        "host": str(tls_postgres.socket_dir), "server_tls_sslmode": "verify-full",
        "server_tls_ca_file": ca.ca}}}, postgres_of_test=tls_postgres)
    with router.session.connect():
        assert [s[0] for s in servers_with_tls(tls_postgres)] == [False]


# ------------------------------------------------------------ certificates

@pytest.mark.parametrize("host, shown, mode, problem", [
    ("localhost", "server", "verify-full", None),
    ("127.0.0.1", "address", "verify-full", None),
    ("127.0.0.1", "server", "verify-ca", None),
    ("127.0.0.1", "server", "verify-full", "IP address mismatch"),
    ("localhost", "address", "verify-full", "hostname mismatch"),
    ("localhost", "expired", "verify-ca", "certificate has expired"),
    ("localhost", "expired", "require", "certificate has expired"),
    ("localhost", "future", "verify-ca", "certificate is not yet valid"),
    ("localhost", "revoked", "verify-ca", "certificate revoked")])
def test_certificates(make, tls_postgres, ca, host, shown, mode, problem):
    tls_postgres.use_certificate(shown)
    router = make(host, server_tls_sslmode=mode, server_tls_ca_file=ca.ca,
                  server_tls_crl_file=ca.crl)
    if problem is None:
        with router.session.connect():
            assert [s[0] for s in servers_with_tls(tls_postgres)] == [True]
        return
    refused(router, f"TLS failed: .*{problem}")
    assert servers_with_tls(tls_postgres) == []


class Counter:
    """Passes connections on, and counts them."""

    def __init__(self, target):
        self.target, self.connections = target, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def accept(self):
        try:
            while True:
                near = self.listener.accept()[0]
                self.connections += 1
                far = socket.create_connection(("127.0.0.1", self.target))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=pass_on, args=pair, daemon=True).start()
        except OSError:
            pass


def test_certificate_is_mended(make, tls_postgres, ca):
    """While the certificate will not do everybody is told so at once, again and again, with
    few handshakes; and when it will do they get in."""
    tls_postgres.use_certificate("expired")
    with Counter(tls_postgres.port) as counter:
        router = make(port=counter.port, server_tls_sslmode="verify-full",
                      server_tls_ca_file=ca.ca, server_login_retry="1s")
        for _ in range(30):
            refused(router, "certificate has expired")
        assert counter.connections < 20
        tls_postgres.use_certificate("server")

        def gets_in():
            try:
                with router.transactional.connect() as connection:
                    return connection.execute("SELECT 1").fetchone() == (1,)
            except psycopg.OperationalError:
                return False
        wait_until(gets_in, 15, "a server")


def test_waiters_hear_of_it(make, tls_postgres, ca):
    """Of who is logged in the statement fails, and the session goes on."""
    router = make(server_tls_sslmode="verify-full", server_tls_ca_file=ca.ca)
    with router.transactional.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        tls_postgres.use_certificate("expired")
        router.command("RECONNECT")
        tls_postgres.terminate()

        def fails():
            try:
                connection.execute("SELECT 1")
            except psycopg.errors.SqlclientUnableToEstablishSqlconnection as problem:
                return "certificate has expired" in str(problem)
            return False
        wait_until(fails, 10, "the error")
        tls_postgres.use_certificate("server")

        def works():
            try:
                return connection.execute("SELECT 2").fetchone() == (2,)
            except psycopg.errors.SqlclientUnableToEstablishSqlconnection:
                return False
        wait_until(works, 15, "a server")


def test_wrong_authority(make, tls_postgres, stranger):
    router = make(server_tls_sslmode="verify-ca", server_tls_ca_file=stranger.ca)
    refused(router, "TLS failed: (self-signed certificate|unable to get local issuer)")
    assert servers_with_tls(tls_postgres) == []


def test_name_with_an_address_where_nobody_is(make, tls_postgres, stranger, monkeypatch, tmp_path):
    """As "localhost" is ::1, too, where PostgreSQL has IPv4 only: what the other address says is
    told at once all the same."""
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n127.0.0.2 two-addresses\n127.0.0.1 two-addresses\n")
    if subprocess.run(["unshare", "--mount", "mount", "--bind", hosts, "/etc/hosts"],
                      check=False, capture_output=True).returncode != 0:
        pytest.skip("no file system of our own here")
    script = tmp_path / "program"
    script.write_text(f"""#!/bin/sh
exec unshare --mount sh -c 'mount --bind {hosts} /etc/hosts && exec "$0" "$@"' {Router.program()} "$@"
""")
    script.chmod(0o755)
    monkeypatch.setenv("PGTANDEM", str(script))
    router = make("two-addresses", server_tls_sslmode="verify-ca", server_tls_ca_file=stranger.ca)
    refused(router, "TLS failed: (self-signed certificate|unable to get local issuer)")
    assert re.search(r"127\.0\.0\.2:\d+: connection failed: Connection refused", router.log())
    assert servers_with_tls(tls_postgres) == []


def test_certificate_of_the_router(make, tls_postgres, ca):
    """PostgreSQL's own method cert."""
    hba = (tls_postgres.data / "pg_hba.conf")
    before = hba.read_text()
    hba.write_text(f"hostssl all {DEFAULT_USER} 127.0.0.1/32 cert\n" + before)
    tls_postgres.reload()
    try:
        router = make(server_tls_sslmode="require", server_tls_cert_file=ca.path("client.crt"),
                      server_tls_key_file=ca.path("client.key"))
        with router.session.connect() as connection:
            assert connection.execute(
                "SELECT client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone() == (
                    f"/CN={DEFAULT_USER}",)
        router = make(server_tls_sslmode="require")
        # PostgreSQL's own words.
        with pytest.raises(psycopg.OperationalError, match="valid client certificate"):
            router.session.connect()
    finally:
        hba.write_text(before)
        tls_postgres.reload()


def test_change_of_mode_replaces_servers(make, tls_postgres):
    router = make(server_tls_sslmode="disable")
    with router.transactional.connect() as connection:
        connection.execute("SELECT 1")
        assert [s[0] for s in servers_with_tls(tls_postgres)] == [False]
        router.reload({"hosts": {"main": {"server_tls_sslmode": "require"}}})
        wait_until(lambda: connection.execute("SELECT 1").fetchone() == (1,)
                   and [s[0] for s in servers_with_tls(tls_postgres)] == [True], 20,
                   "a server with TLS")


# ------------------------------------------------------------ what it does

def test_load_over_tls(make, tls_postgres):
    """Servers go through the pool and between the workers with their TLS."""
    router = make(server_tls_sslmode="require", connection_budget=4)
    problems = []

    def work():
        try:
            with router.transactional.connect() as connection:
                for number in range(100):
                    assert connection.execute("SELECT %s::int", (number,)).fetchone() == (number,)
        except Exception as problem:  # pylint: disable=broad-except
            problems.append(problem)

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert all(s[0] for s in servers_with_tls(tls_postgres))


def test_large_rows_and_copy(make):
    router = make(server_tls_sslmode="require")
    with router.transactional.connect() as connection:
        assert len(connection.execute("SELECT repeat('x', 20000000)").fetchone()[0]) == 20000000
        with connection.transaction():
            connection.execute("CREATE TEMP TABLE t (b text) ON COMMIT DROP")
            with connection.cursor().copy("COPY t FROM STDIN") as copy:
                for number in range(200):
                    copy.write_row((f"{number}" * 20000,))
            assert connection.execute("SELECT count(*), sum(length(b)) FROM t").fetchone() == (
                200, sum(len(str(n)) * 20000 for n in range(200)))


def test_cancel_goes_over_tls(make_router, tls_postgres, ca):
    """A server that takes nothing but TLS would not hear a plain cancel request."""
    with TlsFront(tls_postgres.port, ca) as front:
        router = make_router({"hosts": {"main": {
            "port": front.port, "server_tls_sslmode": "verify-ca",
            "server_tls_ca_file": ca.ca}}}, postgres_of_test=tls_postgres)
        with router.session.connect() as connection:
            timer = threading.Thread(target=lambda: (
                wait_until(lambda: tls_postgres.count(
                    "query LIKE '%pg_sleep%' AND state = 'active'") == 1, 10, "the query runs"),
                connection.cancel()))
            timer.start()
            with pytest.raises(psycopg.errors.QueryCanceled):
                connection.execute("SELECT pg_sleep(300)")
            timer.join()
        assert front.cancels == 1


class TlsFront:
    """Takes TLS only, and passes what is in it on to PostgreSQL without."""

    def __init__(self, target, ca):
        self.target, self.cancels = target, 0
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(ca.path("server.crt"), ca.path("server.key"))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

    def accept(self):
        try:
            while True:
                threading.Thread(target=self.serve, args=(self.listener.accept()[0],),
                                 daemon=True).start()
        except OSError:
            pass

    def serve(self, plain):
        plain.settimeout(30)
        if plain.recv(8) != w.SSL_REQUEST:
            plain.close()
            return
        plain.sendall(b"S")
        near = self.context.wrap_socket(plain, server_side=True)
        first = near.recv(1 << 16)
        if first[4:8] == struct.pack("!i", 80877102):
            self.cancels += 1
        far = socket.create_connection(("127.0.0.1", self.target), timeout=30)
        far.sendall(first)
        threading.Thread(target=pass_on, args=(near, far), daemon=True).start()
        pass_on(far, near)
        # close_notify, as PostgreSQL does.
        near.close()


def pass_on(source, target):
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def test_channel_binding_to_postgresql(make_router, tls_postgres, ca):
    """PostgreSQL offers SCRAM-SHA-256-PLUS, and the router takes it: seen by a server
    between the two that offers it with another certificate."""
    with TlsBetween(tls_postgres.port, ca) as between:
        router = make_router({"hosts": {"main": {
            "port": between.port, "server_tls_sslmode": "require"}}},
            postgres_of_test=tls_postgres)
        with pytest.raises(psycopg.OperationalError, match="channel binding"):
            router.session.connect(connect_timeout=10)
        assert between.mechanism == b"SCRAM-SHA-256-PLUS"
    assert servers_with_tls(tls_postgres) == []


class TlsBetween(TlsFront):
    """A man in the middle: TLS on both sides."""

    mechanism = None

    def serve(self, plain):
        plain.settimeout(30)
        plain.recv(8)
        plain.sendall(b"S")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # Another certificate than PostgreSQL's.
        context.load_cert_chain(self.authority.path("address.crt"),
                                self.authority.path("address.key"))
        near = context.wrap_socket(plain, server_side=True)
        far = socket.create_connection(("127.0.0.1", self.target), timeout=30)
        far.sendall(w.SSL_REQUEST)
        far.recv(1)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        far = context.wrap_socket(far)
        far.sendall(near.recv(1 << 16))
        near.sendall(far.recv(1 << 16))
        answer = near.recv(1 << 16)
        self.mechanism = answer[5:].split(b"\0")[0]
        far.sendall(answer)
        threading.Thread(target=pass_on, args=(near, far), daemon=True).start()
        pass_on(far, near)

    def __init__(self, target, ca):
        self.authority = ca
        super().__init__(target, ca)


# -------------------------------------------------------- servers that lie

def answer_with(listener, answer, seen):
    """Each connection gets these bytes for its first eight."""
    def serve():
        try:
            while True:
                accepted = listener.accept()[0]
                accepted.settimeout(10)
                try:
                    accepted.recv(8)
                    accepted.sendall(answer)
                    seen.append(accepted.recv(1 << 16))
                    accepted.close()
                except OSError:
                    pass
        except OSError:
            pass
    threading.Thread(target=serve, daemon=True).start()


@pytest.mark.parametrize("answer, problem", [
    (b"S" + welcome(), "unencrypted data behind its answer"),
    (b"SX", "unencrypted data behind its answer"),
    (b"N" + welcome(), "unencrypted data behind its answer"),
    (b"E\0\0\0\x10SFATAL\0Mno\0\0", "did not understand"),
    (b"HTTP/1.1 400 Bad Request", "did not understand")],
    ids=["S and a welcome", "S and a byte", "N and a welcome", "an error", "another protocol"])
@pytest.mark.parametrize("mode", ["prefer", "require"])
def test_nothing_behind_the_answer(make_router, answer, problem, mode):
    """CVE-2021-23222: what comes in front of TLS is not the server's word."""
    seen = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        answer_with(listener, answer, seen)
        router = make_router({"hosts": {"main": {
            "port": listener.getsockname()[1], "server_tls_sslmode": mode}}, "defaults": PATIENT})
        refused(router, problem)
        listener.shutdown(socket.SHUT_RDWR)
    assert not any(b"user\0" in said for said in seen)


def test_plain_login_behind_the_answer(make_router):
    """S, and a moment later plain text instead of TLS."""
    seen = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def serve():
            accepted = listener.accept()[0]
            accepted.settimeout(10)
            accepted.recv(8)
            accepted.sendall(b"S")
            seen.append(accepted.recv(1 << 16))
            accepted.sendall(welcome())
            try:
                seen.append(accepted.recv(1 << 16))
            except OSError:
                pass
            accepted.close()
        threading.Thread(target=serve, daemon=True).start()
        router = make_router({"hosts": {"main": {
            "port": listener.getsockname()[1], "server_tls_sslmode": "prefer"}}, "defaults": PATIENT})
        refused(router, "TLS failed")
    assert seen[0][0] == 0x16 and not any(b"user\0" in said for said in seen)


def test_stalled_handshake_of_a_server(make_router):
    """It costs server_connect_timeout, and not more."""
    held = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def serve():
            try:
                while True:
                    held.append(listener.accept()[0])
                    held[-1].recv(8)
                    held[-1].sendall(b"S")
            except OSError:
                pass
        threading.Thread(target=serve, daemon=True).start()
        router = make_router({"hosts": {"main": {
            "port": listener.getsockname()[1], "server_tls_sslmode": "require",
            "server_connect_timeout": "300ms"}}, "defaults": QUICK})
        refused(router, "timed out", "57014")
        listener.shutdown(socket.SHUT_RDWR)
    for accepted in held:
        accepted.close()


# ------------------------------------------------------------------ direct

def test_direct(make_router, tls_postgres, ca):
    """sslnegotiation=direct: a hello comes first, with ALPN postgresql and the host's name."""
    chosen, named = [], []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca.path("server.crt"), ca.path("server.key"))
    context.set_alpn_protocols(["postgresql"])
    context.sni_callback = lambda _socket, name, _context: named.append(name)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def serve():
            try:
                while True:
                    plain = listener.accept()[0]
                    plain.settimeout(30)
                    near = context.wrap_socket(plain, server_side=True)
                    chosen.append(near.selected_alpn_protocol())
                    far = socket.create_connection(("127.0.0.1", tls_postgres.port), timeout=30)
                    threading.Thread(target=pass_on, args=(near, far), daemon=True).start()
                    threading.Thread(target=pass_on, args=(far, near), daemon=True).start()
            except OSError:
                pass
        threading.Thread(target=serve, daemon=True).start()
        router = make_router({"hosts": {"main": {
            "host": "localhost", "port": listener.getsockname()[1],
            "server_tls_sslmode": "verify-full", "server_tls_ca_file": ca.ca,
            "server_tls_sslnegotiation": "direct"}}}, postgres_of_test=tls_postgres)
        with router.session.connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert chosen and set(chosen) == {"postgresql"}
        assert set(named) == {"localhost"}
        listener.shutdown(socket.SHUT_RDWR)


def test_direct_needs_more_than_prefer(make_router):
    router = make_router({"hosts": {"main": {"server_tls_sslnegotiation": "direct"}}}, start=False)
    done = subprocess.run([router.program(), "--check", str(router.config_file)], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 1 and "direct needs" in done.stdout


def test_tls_on_both_sides(make_router, tls_postgres, ca):
    """And channel binding on both: each with its own certificate."""
    router = make_router({
        "hosts": {"main": {"host": "localhost", "server_tls_sslmode": "verify-full",
                           "server_tls_ca_file": ca.ca}},
        "tls": {"client_tls_sslmode": "require", "client_tls_key_file": ca.path("address.key"),
                "client_tls_cert_file": ca.path("address.crt")}}, postgres_of_test=tls_postgres)
    with router.transactional.connect(sslmode="verify-full", sslrootcert=ca.ca,
                                      channel_binding="require") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert [s[0] for s in servers_with_tls(tls_postgres)] == [True]

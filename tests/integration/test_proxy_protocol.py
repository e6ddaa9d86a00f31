# SPDX-License-Identifier: ISC
"""The PROXY protocol: the address that a load balancer tells is the client's."""
import os
import pwd
import socket
import ssl
import struct

import pytest
from psycopg.rows import dict_row
from support import wire as w
from support.certs import Authority
from support.net import free_port
from support.postgres import DATABASE, USERS
from support.wait import wait_until

pytestmark = pytest.mark.router_only
V2 = b"\r\n\r\n\0\r\nQUIT\n"


def v1(address="192.0.2.7", port=5678):
    return f"PROXY TCP4 {address} 198.51.100.1 {port} 5432\r\n".encode()


def v2(address="192.0.2.7", port=5678, more=b""):
    body = socket.inet_aton(address) + socket.inet_aton("198.51.100.1")
    body += struct.pack("!HH", port, 5432) + more
    return V2 + b"\x21\x11" + struct.pack("!H", len(body)) + body


def v2_six(address="2001:db8::7", port=5678):
    body = socket.inet_pton(socket.AF_INET6, address) * 2 + struct.pack("!HH", port, 5432)
    return V2 + b"\x21\x21" + struct.pack("!H", len(body)) + body


def log_in(wire, header, user="app_scram"):
    """The header, and everything else as if it had not been there."""
    wire.send(header + w.SSL_REQUEST)
    assert wire.read(1) == b"N"
    wire.login(user, USERS[user][0], DATABASE)
    assert wire.value("SELECT 1") == "1"


@pytest.fixture
def proxied(make_router):
    return make_router({"workloads": {"transactional": {"proxy_protocol_from": ["127.0.0.0/31"]}}})


@pytest.mark.parametrize("header, shown", [
    (v1(), "192.0.2.7"), (v2(), "192.0.2.7"), (v2(more=b"\x04\0\0"), "192.0.2.7"),
    (v2_six(), "2001:db8::7"), (v2_six("::ffff:192.0.2.7"), "192.0.2.7"),
    (b"PROXY UNKNOWN\r\n", "127.0.0.1"), (V2 + b"\x20\0\0\0", "127.0.0.1")])
def test_whose_connection_it_is(proxied, header, shown):
    with proxied.transactional.raw() as wire:
        log_in(wire, header)
        with proxied.session.connect(user="admin", dbname="pgbouncer") as console:
            cursor = console.execute("SHOW CLIENTS")
            names = [column.name for column in cursor.description]
            rows = [dict(zip(names, row)) for row in cursor.fetchall()]
        row, = [row for row in rows if row["user"] == "app_scram"]
        assert row["addr"] == shown
        assert row["port"] == 5678 or shown == "127.0.0.1"
    wait_until(lambda: shown in proxied.log(), 5, "the address in the log")


def test_byte_by_byte(proxied):
    with proxied.transactional.raw() as wire:
        for byte in v2():
            wire.send(bytes([byte]))
        log_in(wire, b"")


@pytest.mark.parametrize("first", [
    w.SSL_REQUEST, w.startup("app_scram", DATABASE), b"PROXY TCP4 x y z\r\n", b"PROXY " + b"x" * 200,
    V2 + b"\x21\x11\xff\xff", V2[:4] + b"xxxxxxxx", b"GET / HTTP/1.0\r\n\r\n"])
def test_without_one_nothing_is_answered(proxied, first):
    """From where a header must come, whatever else comes is closed on."""
    with proxied.transactional.raw() as wire:
        wire.send(first)
        assert wire.until_closed() == []
    wait_until(lambda: "no PROXY header" in proxied.log(), 5, "a word in the log")


def test_only_from_whom_it_is_expected(proxied):
    """Others cannot say who they are: what they send is no startup packet; without it they
    log in as ever."""
    def other(port):
        return w.Wire("127.0.0.1", port, source="127.0.0.9")
    with other(proxied.transactional.port) as wire:
        wire.send(v1())
        assert [m.type for m in wire.until_closed()] in ([], ["E"])
    with other(proxied.transactional.port) as wire:
        log_in(wire, b"")
    # Nor on a port without that option.
    with proxied.session.raw() as wire:
        wire.send(v2())
        assert [m.type for m in wire.until_closed()] in ([], ["E"])


def test_rules_and_limits_are_for_the_address_told(make_router):
    router = make_router({
        "process": {"max_client_conn_per_address": 1},
        "workloads": {"transactional": {"proxy_protocol_from": ["127.0.0.1", "::1"]}},
        "auth": {"auth_type": "hba", "auth_hba_file": "hba.conf"}}, start=False)
    (router.directory / "hba.conf").write_text("host all all 192.0.2.0/24 scram-sha-256\n")
    router.start()
    with router.transactional.raw() as wire:
        wire.send(v2("192.0.3.1") + w.startup("app_scram", DATABASE))
        error, = wire.until_closed()
        assert error.text.startswith('no pg_hba.conf entry for host "192.0.3.1", user')
    with router.transactional.raw() as first, router.transactional.raw() as second, \
            router.transactional.raw() as third:
        log_in(first, v2("192.0.2.1"))
        log_in(second, v1("192.0.2.2"))
        third.send(v2("192.0.2.1") + w.startup("app_scram", DATABASE))
        error, = third.until_closed()
        assert error.text == "too many connections from this address"


def test_on_a_unix_socket(make_router, tmp_path):
    """... peer is then nobody's method: the process at the other end is the balancer."""
    port = free_port()
    router = make_router({
        "workloads": {"session": {"listen": [f"127.0.0.1:{free_port()}", f"unix:{tmp_path}:{port}"],
                                  "proxy_protocol_from": "unix"}},
        "auth": {"auth_type": "hba", "auth_hba_file": "hba.conf"}}, start=False)
    (router.directory / "hba.conf").write_text(
        "local all all peer\nhost all all 192.0.2.7/32 scram-sha-256\n")
    router.start()
    with router.unix(tmp_path, port).raw() as wire:
        wire.send(v1())
        wire.login("app_scram", USERS["app_scram"][0], DATABASE)
        assert wire.value("SELECT 1") == "1"


@pytest.mark.parametrize("auth", [{"auth_type": "peer"},
                                  {"auth_type": "peer", "auth_ident_file": "ident.conf",
                                   "auth_map": "os"}], ids=["name", "map"])
def test_nobody_is_the_balancer(make_router, tmp_path, auth):
    """auth_type peer, without rules: who comes from a network by a unix socket is not the user
    that the balancer runs as; the balancer itself is."""
    me = pwd.getpwuid(os.getuid()).pw_name
    user = "app_trust" if "auth_map" in auth else me
    port = free_port()
    router = make_router({
        "workloads": {"session": {"listen": [f"127.0.0.1:{free_port()}", f"unix:{tmp_path}:{port}"],
                                  "proxy_protocol_from": "unix"}}, "auth": auth}, start=False)
    (router.directory / "ident.conf").write_text(f"os {me} app_trust\n")
    router.start()
    endpoint = router.unix(tmp_path, port)
    for header in (v1(), v2(), v2_six()):
        with endpoint.raw() as wire:
            wire.send(header + w.startup(user, DATABASE))
            error, = wire.until_closed()
            assert (error.sqlstate, error.text) == (
                "28000", f'Peer authentication failed for user "{user}"')
    if user == "app_trust":
        with endpoint.raw() as wire:
            wire.send(V2 + b"\x20\0\0\0")
            wire.login(user, "", DATABASE)
            assert wire.value("SELECT current_user") == user


def test_tls_through_a_unix_socket(make_router, tmp_path):
    """Who comes by a balancer comes from a network, also where that is on a unix socket: TLS is
    there, and asked for where it is required; who is at the socket itself needs none."""
    ca = Authority(tmp_path / "ca")
    ca.issue("server", "localhost", "DNS:localhost")
    port = free_port()
    router = make_router({
        "workloads": {"session": {"listen": [f"127.0.0.1:{free_port()}", f"unix:{tmp_path}:{port}"],
                                  "proxy_protocol_from": "unix"}},
        "tls": {"client_tls_sslmode": "require", "client_tls_key_file": ca.path("server.key"),
                "client_tls_cert_file": ca.path("server.crt")}})
    endpoint = router.unix(tmp_path, port)
    with endpoint.raw() as wire:
        wire.send(v2() + w.startup("app_scram", DATABASE))
        error, = wire.until_closed()
        assert (error.sqlstate, error.text) == ("28000", "SSL required")
    context = ssl.create_default_context(cafile=ca.ca)
    with endpoint.raw() as wire:
        wire.send(v2() + w.SSL_REQUEST)
        assert wire.read(1) == b"S"
        wire.socket = context.wrap_socket(wire.socket, server_hostname="localhost")
        wire.login("app_scram", USERS["app_scram"][0], DATABASE)
        assert wire.value("SELECT 1") == "1"
    # LOCAL: the balancer's own.
    with endpoint.raw() as wire:
        wire.send(V2 + b"\x20\0\0\0")
        wire.login("app_scram", USERS["app_scram"][0], DATABASE)
        assert wire.value("SELECT 1") == "1"


def test_configuration(make_router):
    router = make_router()
    router.expect_error("reload")
    said = router.reload({"workloads": {"session": {"proxy_protocol_from": ["10.0.0.0/33"]}}},
                         expect="error")
    assert "is neither a network" in said
    router.reload({"workloads": {"session": {"proxy_protocol_from": ["127.0.0.1"]}}})
    with router.session.raw() as wire:
        log_in(wire, v1())


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("header", [v1(), v2(), v2_six()], ids=["v1", "v2", "v2, IPv6"])
def test_in_front_of_tls(make_router, tmp_path, header, direct):
    """The header comes in front of TLS, also of direct TLS, and nothing else does: with the
    hello right behind it in one segment, and cut anywhere."""
    ca = Authority(tmp_path / "ca")
    ca.issue("server", "localhost", "DNS:localhost")
    router = make_router({
        "workloads": {"transactional": {"proxy_protocol_from": ["127.0.0.0/31"]}},
        "tls": {"client_tls_sslmode": "require", "client_tls_key_file": ca.path("server.key"),
                "client_tls_cert_file": ca.path("server.crt")}})
    context = ssl.create_default_context(cafile=ca.ca)
    context.set_alpn_protocols(["postgresql"])
    for cut in {0, 1, len(header) - 1, len(header)}:
        with router.transactional.raw() as wire:
            wire.send(header[:cut])
            if direct:
                wire.socket = Behind(wire.socket, header[cut:])
                incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
                tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
                with pytest.raises(ssl.SSLWantReadError):
                    tls.do_handshake()
                wire.socket.sendall(outgoing.read())
                while True:
                    incoming.write(wire.socket.recv(1 << 16))
                    try:
                        tls.do_handshake()
                        break
                    except ssl.SSLWantReadError:
                        pass
                wire.socket.sendall(outgoing.read())
                tls.write(w.startup("app_scram", DATABASE))
                wire.socket.sendall(outgoing.read())
                got = b""
                while len(got) < 5:
                    incoming.write(wire.socket.recv(1 << 16))
                    try:
                        got += tls.read(1 << 16)
                    except ssl.SSLWantReadError:
                        pass
                assert got[:1] == b"R"
                continue
            wire.send(header[cut:] + w.SSL_REQUEST)
            assert wire.read(1) == b"S"
            wire.socket = context.wrap_socket(wire.socket, server_hostname="localhost")
            wire.login("app_scram", USERS["app_scram"][0], DATABASE)
            assert wire.value("SELECT 1") == "1"
            with router.session.connect(user="admin", dbname="pgbouncer",
                                        row_factory=dict_row) as console:
                rows = console.execute("SHOW CLIENTS").fetchall()
            row, = [row for row in rows if row["user"] == "app_scram"]
            assert row["addr"] in ("192.0.2.7", "2001:db8::7") and row["tls"].startswith("TLSv1.3")


class Behind:
    """A socket whose first bytes come behind others, in one segment."""

    def __init__(self, inner, before):
        self.inner, self.before = inner, before

    def sendall(self, data):
        data, self.before = self.before + data, b""
        self.inner.sendall(data)

    def recv(self, size):
        data = self.inner.recv(size)
        assert data, "closed"
        return data

    def close(self):
        self.inner.close()

# SPDX-License-Identifier: ISC
"""TLS to clients: what is offered and to whom, certificates, and what may not survive
the switch to it."""
import asyncio
import datetime
import hashlib
import io
import os
import re
import resource
import ssl
import struct
import subprocess
import threading
import time

import asyncpg
import psycopg
import pytest
from support import needs
from support import wire as w
from support.certs import Authority, any_certificate
from support.net import free_port, listening_ports
from support.postgres import DATABASE, DEFAULT_USER, USERS
from support.router import ADMIN
from support.wait import SLOWDOWN, wait_until

pytestmark = pytest.mark.router_only

PASSWORD = USERS[DEFAULT_USER][0]


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("ca"))
    authority.issue("server", "localhost", "DNS:localhost,IP:127.0.0.1")
    authority.issue("rsa", "localhost", "DNS:localhost,IP:127.0.0.1", key="rsa:2048")
    authority.issue("client", DEFAULT_USER)
    authority.issue("other", "other")
    authority.issue("revoked", DEFAULT_USER)
    authority.revoke("revoked")
    authority.issue("expired", DEFAULT_USER, dates=("20200101000000Z", "20200201000000Z"))
    authority.issue("future", DEFAULT_USER, dates=("20400101000000Z", "20400201000000Z"))
    return authority


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("stranger"), "Another CA")
    authority.issue("client", DEFAULT_USER)
    return authority


def tls_config(ca, mode=None, file="server", **more):
    tls = {"client_tls_key_file": ca.path(f"{file}.key"),
           "client_tls_cert_file": ca.path(f"{file}.crt"), **more}
    if mode:
        tls["client_tls_sslmode"] = mode
    return {"tls": tls}


def client_files(authority, file):
    return {"sslcert": authority.path(f"{file}.crt"), "sslkey": authority.path(f"{file}.key")}


def start_tls(endpoint, context=None, **more):
    """A Wire that has asked for TLS and got it."""
    wire = endpoint.raw()
    wire.start_tls(context or any_certificate(), **more)
    return wire


# ------------------------------------------------------------------- modes

WORDS = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
# What each of these gets of a port: plain text, TLS, or nothing.
WITHOUT = ("plain", "plain", "plain", None, None, None)
OFFERED = ("plain", "plain", "tls", "tls", "tls", "tls")
NEEDED = (None, "tls", "tls", "tls", "tls", "tls")


def by_libpq(port, word, ca):
    try:
        with port.connect(sslmode=word, sslrootcert=ca.ca) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
            return "tls" if connection.pgconn.ssl_in_use else "plain"
    except psycopg.OperationalError as problem:
        assert re.search("(server does not support SSL|FATAL:  SSL required)", str(problem))
        return None


def by_asyncpg(port, word, ca):
    async def talk():
        query = f"sslmode={word}&sslrootcert={ca.ca}"
        connection = await asyncpg.connect(
            f"postgresql://localhost:{port.port}/{DATABASE}?{query}", user=DEFAULT_USER,
            password=PASSWORD, timeout=30 * SLOWDOWN)
        shown = await connection.fetchval("SELECT 1")
        is_tls = connection._transport.get_extra_info("ssl_object")  # pylint: disable=protected-access
        await connection.close()
        assert shown == 1
        return "tls" if is_tls else "plain"
    try:
        return asyncio.run(talk())
    except (ConnectionError, asyncpg.InvalidAuthorizationSpecificationError) as problem:
        assert re.search("rejected SSL upgrade|SSL required", str(problem))
        return None


@pytest.mark.parametrize("client", [by_libpq, by_asyncpg])
@pytest.mark.parametrize("mode, got", [("disable", WITHOUT), ("allow", OFFERED), ("prefer", OFFERED),
                                       (None, OFFERED), ("require", NEEDED)])
def test_modes(make_router, ca, mode, got, client):
    """Each of libpq's words against each of the router's (those that need certificates of
    clients are below): allow comes again with TLS where it hears that TLS is required."""
    router = make_router(tls_config(ca, mode))
    assert tuple(client(router.session, word, ca) for word in WORDS) == got


def test_plain_clients_are_told_why(make_router, ca):
    router = make_router(tls_config(ca, "require"))
    with router.session.raw() as wire:
        wire.send(w.startup(DEFAULT_USER, DATABASE))
        answer = wire.until_closed()
        assert [m.sqlstate for m in answer] == ["28000"]
        assert answer[0].text == "SSL required"
        assert "sslmode=require" in answer[0].fields["H"]


def test_verify_full_of_the_client(make_router, ca, stranger):
    """The names in the router's certificate are the client's to check."""
    router = make_router(tls_config(ca, "require"))
    with router.session.connect(sslmode="verify-full", sslrootcert=ca.ca):
        pass
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        router.session.connect(sslmode="verify-ca", sslrootcert=stranger.ca)


def test_workloads_differ(make_router, ca):
    config = {"workloads": {"session": {
        "client_tls_sslmode": "require", "client_tls_key_file": ca.path("rsa.key"),
        "client_tls_cert_file": ca.path("rsa.crt")}}}
    router = make_router(config)
    with pytest.raises(psycopg.OperationalError, match="SSL"):
        router.transactional.connect(sslmode="require")
    with pytest.raises(psycopg.OperationalError, match="SSL required"):
        router.session.connect(sslmode="disable")
    with router.session.connect(sslmode="require") as connection:
        assert connection.pgconn.ssl_in_use


def console_at(port, **more):
    with psycopg.connect(host="127.0.0.1", port=port, user=ADMIN[0], password=ADMIN[1],
                         dbname="pgtandem", autocommit=True, **more) as connection:
        assert connection.execute("SHOW VERSION").fetchall()
        return connection.pgconn.ssl_in_use


def test_ports_of_the_console(make_router, ca):
    """admin.listen takes the options of tls, and its own before them; both change with a
    reload."""
    port = free_port()
    own = {"client_tls_key_file": ca.path("rsa.key"), "client_tls_cert_file": ca.path("rsa.crt")}
    router = make_router({**tls_config(ca, "disable"), "admin": {
        "listen": [f"127.0.0.1:{port}"], "client_tls_sslmode": "require", **own}})
    wait_until(lambda: port in listening_ports(), 10, "the port")
    assert console_at(port, sslmode="verify-full", sslrootcert=ca.ca)
    with pytest.raises(psycopg.OperationalError, match="SSL required"):
        console_at(port, sslmode="disable")
    with router.session.connect() as connection:
        assert not connection.pgconn.ssl_in_use
    shown = {row["key"]: row["value"] for row in router.show("SETTINGS")}
    assert shown["admin.client_tls_sslmode"] == "require"
    row, = [row for row in router.show("TLS") if row["name"] == "(console)"]
    assert (row["side"], row["sslmode"], row["certificate"], row["state"]) == (
        "client", "require", "CN=localhost", "valid")
    assert row["handshakes_full"] >= 1
    # A session that began with it goes on without.
    with psycopg.connect(host="127.0.0.1", port=port, user=ADMIN[0], password=ADMIN[1],
                         dbname="pgtandem", autocommit=True, sslmode="require") as before:
        said = router.reload({"admin": {"client_tls_sslmode": "disable"}})
        assert "admin.client_tls_sslmode" in said
        assert not console_at(port)
        assert before.pgconn.ssl_in_use and before.execute("SHOW VERSION").fetchall()
    router.reload({"admin": {"client_tls_sslmode": "require",
                             "client_tls_key_file": ca.path("expired.key"),
                             "client_tls_cert_file": ca.path("expired.crt")}})
    wait_until(lambda: "certificate-expires workload=(console)" in router.log(), 10, "a word on it")
    router.reload({"admin": {"client_tls_sslmode": None, "client_tls_key_file": None,
                             "client_tls_cert_file": None}, "tls": {"client_tls_sslmode": "require"}})
    with pytest.raises(psycopg.OperationalError, match="SSL required"):
        console_at(port, sslmode="disable")
    assert console_at(port)


def test_unix_sockets_have_none(make_router, ca, tmp_path):
    config = tls_config(ca, "require")
    config["workloads"] = {"session": {"listen": [f"unix:{tmp_path}:6432"]}}
    router = make_router(config)
    with psycopg.connect(**{**router.session.dsn(), "host": str(tmp_path)}, sslmode="require"):
        pass    # libpq takes no notice of it there, either


# -------------------------------------------------------------- certificates

@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_client_certificates(make_router, ca, stranger, mode):
    router = make_router(tls_config(ca, mode, client_tls_ca_file=ca.ca,
                                    client_tls_crl_file=ca.crl))
    with router.session.connect(sslmode="require", **client_files(ca, "client")) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (DEFAULT_USER,)
    for authority, file, reason in (
            (stranger, "client", "unable to get local issuer certificate"),
            (ca, "expired", "certificate has expired"),
            (ca, "future", "certificate is not yet valid"),
            (ca, "revoked", "certificate revoked")):
        with pytest.raises(psycopg.OperationalError):
            router.session.connect(sslmode="require", **client_files(authority, file))
        wait_until(lambda: re.search(f'client-tls-failed.*reason="{reason}"',  # noqa: B023
                                     router.log()), 10, reason)
    with pytest.raises(psycopg.OperationalError):
        router.session.connect(sslmode="require", sslcert="/nonexistent")
    wait_until(lambda: "peer did not return a certificate" in router.log(), 10, "the log's word")


def test_verify_full_compares_the_name(make_router, ca):
    router = make_router(tls_config(ca, "verify-full", client_tls_ca_file=ca.ca))
    with pytest.raises(psycopg.OperationalError,
                       match=f'certificate authentication failed for user "{DEFAULT_USER}"'):
        router.session.connect(sslmode="require", **client_files(ca, "other"))
    with router.session.connect("other", sslmode="require", **client_files(ca, "other")):
        pass


def test_certificates_that_are_not_needed(make_router, ca, stranger):
    """With a CA and prefer, one that is shown must be good."""
    router = make_router(tls_config(ca, "prefer", client_tls_ca_file=ca.ca))
    with router.session.connect(sslmode="require"):
        pass
    with pytest.raises(psycopg.OperationalError):
        router.session.connect(sslmode="require", **client_files(stranger, "client"))


# ------------------------------------------------------- the switch to TLS

@pytest.mark.parametrize("extra", [
    b"\0", w.startup("other", DATABASE), b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
    ids=["a byte", "a startup packet", "a hello"])
def test_nothing_behind_the_request(make_router, ca, extra):
    """CVE-2021-23214, CVE-2021-3935: it would be taken for encrypted."""
    router = make_router(tls_config(ca, "prefer"))
    with router.session.raw() as wire:
        wire.send(w.SSL_REQUEST + extra)
        answer = wire.until_closed()
        assert [m.sqlstate for m in answer] == ["08P01"]
        assert answer[0].text == "received unencrypted data after SSL request"


def test_plain_bytes_behind_the_answer(make_router, ca):
    """What comes later than the request, but in front of TLS, breaks it."""
    router = make_router(tls_config(ca, "prefer"))
    with router.session.raw() as wire:
        wire.send(w.SSL_REQUEST)
        assert wire.read(1) == b"S"
        wire.send(w.startup(DEFAULT_USER, DATABASE))
        rest = b""
        while chunk := wire.socket.recv(4096):
            rest += chunk
        # An alert of TLS at most: nothing of the protocol's.
        assert rest == b"" or rest[0] == 0x15
    wait_until(lambda: "client-tls-failed" in router.log(), 10, "the log's word")


def test_asked_twice(make_router, ca):
    """Within TLS nobody asks for it again."""
    router = make_router(tls_config(ca, "prefer"))
    for request in (w.SSL_REQUEST, w.GSSENC_REQUEST):
        wire = start_tls(router.session)
        with wire:
            wire.send(request)
            assert [m.sqlstate for m in wire.until_closed()] == ["0A000"]


def test_gss_first(make_router, ca):
    router = make_router(tls_config(ca, "prefer"))
    with router.session.raw() as wire:
        wire.send(w.GSSENC_REQUEST)
        assert wire.read(1) == b"N"
        wire.send(w.SSL_REQUEST)
        assert wire.read(1) == b"S"
        wire.socket = any_certificate().wrap_socket(wire.socket)
        wire.login(DEFAULT_USER, PASSWORD, DATABASE)
        assert wire.value("SELECT 1") == "1"


@pytest.mark.parametrize("cut", [1, 2, 5, 6, 40, 100])
def test_stalled_handshake_ends(make_router, ca, cut):
    """Who stops in the middle is thrown out in time, and nobody else waits."""
    router = make_router({**tls_config(ca, "prefer"),
                          "defaults": {"client_login_timeout": f"{SLOWDOWN}s"}})
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = any_certificate().wrap_bio(incoming, outgoing)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    with router.session.raw() as wire:
        wire.send(w.SSL_REQUEST)
        assert wire.read(1) == b"S"
        wire.send(outgoing.read()[:cut])
        with router.session.connect(sslmode="require") as other:
            assert other.execute("SELECT 1").fetchone() == (1,)
        assert wire.socket.recv(100) == b""


# ------------------------------------------------------------------ direct

def direct_context(protocols=("postgresql",)):
    context = any_certificate()
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


def test_direct(make_router, ca):
    """sslnegotiation=direct of PostgreSQL 17."""
    router = make_router(tls_config(ca, "require"))
    with router.session.raw() as wire:
        wire.socket = direct_context().wrap_socket(wire.socket, server_hostname="db")
        assert wire.socket.selected_alpn_protocol() == "postgresql"
        wire.login(DEFAULT_USER, PASSWORD, DATABASE)
        assert wire.value("SELECT 1") == "1"


def test_direct_needs_alpn(make_router, ca):
    router = make_router(tls_config(ca, "require"))
    with router.session.raw() as wire:
        wire.socket = direct_context(None).wrap_socket(wire.socket)
        answer = wire.until_closed()
        assert [m.sqlstate for m in answer] == ["08P01"]
        assert "ALPN" in answer[0].text
    with router.session.raw() as wire:
        with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
            wire.socket = direct_context(["http/1.1"]).wrap_socket(wire.socket)


def test_direct_without_tls(router):
    with router.session.raw() as wire:
        with pytest.raises((ssl.SSLError, OSError)):
            wire.socket = direct_context().wrap_socket(wire.socket)


# --------------------------------------------------------------- what is offered

def s_client(port, *words, starttls=True):
    ask = ["-starttls", "postgres"] if starttls else []
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port.port}", *ask, *words],
                          input="", text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False, timeout=30)
    return done.stdout


def test_what_is_offered(make_router, ca):
    router = make_router(tls_config(ca, "require"))
    for version, name in (("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")):
        said = s_client(router.session, version)
        assert re.search(f"New, {name}, Cipher is (?!\\(NONE)", said), said
        assert "Compression: NONE" in said or "No compression" in said or name == "TLSv1.3"
        assert "Secure Renegotiation IS NOT supported" not in said or name == "TLSv1.3"
    for words in (("-tls1", "-cipher", "ALL:@SECLEVEL=0"), ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"),
                  ("-tls1_2", "-cipher", "NULL:@SECLEVEL=0"),
                  ("-tls1_2", "-cipher", "aNULL:@SECLEVEL=0"),
                  ("-tls1_2", "-cipher", "RC4:@SECLEVEL=0")):
        said = s_client(router.session, *words)
        assert "Cipher is (NONE)" in said or "no cipher match" in said.lower(), said


def test_no_older_protocol(make_router, ca):
    """Also where the list of ciphers would allow it: what the library of the system does by
    itself is not what this relies on."""
    router = make_router(tls_config(ca, "require", client_tls_ciphers="ALL:@SECLEVEL=0"))
    for version, fits in (("-tls1", False), ("-tls1_1", False), ("-tls1_2", True)):
        said = s_client(router.session, version, "-cipher", "ALL:@SECLEVEL=0")
        assert ("Cipher is (NONE)" not in said) == fits, said


def test_renegotiation_is_refused(make_router, ca):
    router = make_router(tls_config(ca, "require"))
    with subprocess.Popen(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{router.session.port}", "-starttls",
             "postgres", "-tls1_2"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True) as client:
        said = client.communicate("R\n", timeout=30)[0]
    assert "no renegotiation" in said.lower() or "handshake failure" in said.lower(), said


@pytest.mark.parametrize("options, version, cipher", [
    ({"client_tls_protocols": "tlsv1.2", "client_tls_ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384"},
     "TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    ({"client_tls_protocols": "tlsv1.3", "client_tls13_ciphers": "TLS_CHACHA20_POLY1305_SHA256"},
     "TLSv1.3", "TLS_CHACHA20_POLY1305_SHA256"),
    ({"client_tls13_ciphers": "TLS_AES_256_GCM_SHA384"}, "TLSv1.3", "TLS_AES_256_GCM_SHA384"),
    # Of the client's, who would rather have 256 bits, the router takes the cheaper one.
    ({}, "TLSv1.3", "TLS_AES_128_GCM_SHA256")])
def test_protocols_and_ciphers(make_router, ca, options, version, cipher):
    router = make_router(tls_config(ca, "require", **options))
    wire = start_tls(router.session)
    with wire:
        assert (wire.socket.version(), wire.socket.cipher()[0]) == (version, cipher)
        wire.login(DEFAULT_USER, PASSWORD, DATABASE)
        shown = [c for c in router.show("CLIENTS") if c["user"] == DEFAULT_USER]
        assert [c["tls"] for c in shown] == [f"{version}/{cipher}"]


@pytest.mark.parametrize("options, groups, fits", [
    ({}, "X25519", True), ({"client_tls_groups": "auto"}, "P-384", True),
    ({"client_tls_groups": "P-256:P-384"}, "P-384", True),
    ({"client_tls_groups": "P-256:P-384"}, "X25519", False)])
def test_groups(make_router, ca, options, groups, fits):
    router = make_router(tls_config(ca, "require", **options))
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{router.session.port}", "-starttls",
         "postgres", "-groups", groups], input="", capture_output=True, text=True, check=False,
        timeout=30)
    said = done.stdout + done.stderr
    assert ("Server Temp Key: " in said) == fits, said
    assert ("handshake failure" in said) == (not fits), said


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed(make_router, ca, version):
    router = make_router(tls_config(ca, "require", client_tls_ca_file=ca.ca))
    context = any_certificate()
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(ca.path("client.crt"), ca.path("client.key"))
    session = None
    for number in range(3):
        wire = start_tls(router.session, context, session=session)
        with wire:
            wire.login(DEFAULT_USER, PASSWORD, DATABASE)
            assert wire.value("SELECT 1") == "1"
            session = wire.socket.session
            assert wire.socket.session_reused == (number > 0)


def with_cipher(port, cipher):
    """Whether TLS 1.2 is agreed upon with that cipher."""
    context = any_certificate()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{cipher}:@SECLEVEL=0")
    try:
        with start_tls(port, context) as wire:
            assert wire.socket.cipher()[0] == cipher and wire.socket.compression() is None
            return True
    except (ssl.SSLError, ConnectionResetError):
        return False


def test_every_cipher(make_router, ca):
    """Each that OpenSSL has is asked for by itself: none without forward secrecy, none that
    does not seal what it encrypts, and all good ones for the kind of the key."""
    listed = subprocess.run(["openssl", "ciphers", "-tls1_2", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"],
                            text=True, stdout=subprocess.PIPE, check=True).stdout.strip().split(":")
    listed = [cipher for cipher in listed if not cipher.startswith("TLS_")]
    assert len(listed) > 50
    for file, kind in (("server", "ECDSA"), ("rsa", "RSA")):
        router = make_router(tls_config(ca, "require", file))
        taken = {cipher for cipher in listed if with_cipher(router.session, cipher)}
        assert taken == {f"ECDHE-{kind}-{how}" for how in (
            "AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")}


def ticket(port, context):
    with start_tls(port, context) as wire:
        wire.login(DEFAULT_USER, PASSWORD, DATABASE)
        assert wire.value("SELECT 1") == "1"
        return wire.socket.session


def test_resumption_proves_nothing(make_router, ca):
    """A resumed session is TLS, and no login: whoever has the ticket is asked for the
    password, as whoever it says to be."""
    router = make_router(tls_config(ca, "require"))
    context = any_certificate()
    session = ticket(router.session, context)
    for user, password in ((DEFAULT_USER, "wrong"), ("other", PASSWORD)):
        with start_tls(router.session, context, session=session) as wire:
            assert wire.socket.session_reused
            with pytest.raises(RuntimeError, match="28P01"):
                wire.login(user, password, DATABASE)
    with start_tls(router.session, context, session=session) as wire:
        wire.send(w.query("SELECT 1"))
        assert [m.type for m in wire.until_closed()] in ([], ["E"])


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_resumption_does_not_go_around_certificates(make_router, ca, version):
    """A ticket of a port that wants no certificate is worth nothing at one that does, and
    one of a certificate that was revoked since is worth nothing either."""
    router = make_router({**tls_config(ca, "prefer", client_tls_ca_file=ca.ca), "workloads": {
        "session": {"client_tls_sslmode": "verify-ca"}}})
    context = any_certificate()
    context.minimum_version = context.maximum_version = version
    session = ticket(router.transactional, context)
    with pytest.raises((RuntimeError, OSError, EOFError)):
        with start_tls(router.session, context, session=session) as wire:
            wire.login(DEFAULT_USER, PASSWORD, DATABASE)
    with_certificate = any_certificate()
    with_certificate.minimum_version = with_certificate.maximum_version = version
    with_certificate.load_cert_chain(ca.path("revoked.crt"), ca.path("revoked.key"))
    session = ticket(router.session, with_certificate)
    with start_tls(router.session, with_certificate, session=session) as wire:
        wire.login(DEFAULT_USER, PASSWORD, DATABASE)
        assert wire.socket.session_reused
    router.reload({"tls": {"client_tls_crl_file": ca.crl}})
    with pytest.raises((RuntimeError, OSError, EOFError)):
        with start_tls(router.session, with_certificate, session=session) as wire:
            wire.login(DEFAULT_USER, PASSWORD, DATABASE)


def short_lived(ca, router, versions, seconds):
    """A certificate that ends soon, sessions that began with it, and when it ends; None if it
    had ended before they could begin."""
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    ca.issue("short", DEFAULT_USER, dates=("20200101000000Z", f"{end:%Y%m%d%H%M%SZ}"))
    sessions = []
    for version in versions:
        context = any_certificate(version)
        context.load_cert_chain(ca.path("short.crt"), ca.path("short.key"))
        try:
            sessions.append((context, ticket(router.session, context)))
            with start_tls(router.session, context, session=sessions[-1][1]) as wire:
                wire.login(DEFAULT_USER, PASSWORD, DATABASE)
                assert wire.socket.session_reused
        except (RuntimeError, OSError, EOFError):
            assert time.time() >= int(end.timestamp())
            return None
    return sessions, int(end.timestamp())


@pytest.mark.parametrize("mode", ["verify-full", "require"])
def test_resumption_ends_with_the_certificate(make_router, ca, mode):
    """... though each resumed session has a ticket for the next: without a certificate that is
    good nobody goes on with one, where it is asked for and where it may be left out."""
    router = make_router(tls_config(ca, mode, client_tls_ca_file=ca.ca))
    versions = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
    tries = (short_lived(ca, router, versions, 3 * 2 ** number) for number in range(6))
    sessions, end = next(found for found in tries if found is not None)
    wait_until(lambda: time.time() > end + 1, end + 2 - time.time(), "the certificate has ended")
    for context, session in sessions:
        with pytest.raises((RuntimeError, OSError, EOFError)):
            with start_tls(router.session, context, session=session) as wire:
                wire.login(DEFAULT_USER, PASSWORD, DATABASE)
    wait_until(lambda: "certificate has expired" in router.log(), 10, "the reason in the log")


# ----------------------------------------------------------------- drivers

def test_psql(make_router, ca):
    router = make_router(tls_config(ca, "require"))
    dsn = (f"host=127.0.0.1 port={router.transactional.port} user={DEFAULT_USER} dbname={DATABASE}"
           f" sslmode=verify-full sslrootcert={ca.ca}")
    done = subprocess.run(["psql", "-X", dsn, "-c", "\\conninfo", "-c", "SELECT 7 * 6 AS x"],
                          env={**os.environ, "PGPASSWORD": PASSWORD}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=60)
    assert done.returncode == 0 and "42" in done.stdout and "SSL connection" in done.stdout


def test_asyncpg(make_router, ca):
    router = make_router(tls_config(ca, "require"))
    context = ssl.create_default_context(cafile=ca.ca)

    async def talk():
        connection = await asyncpg.connect(
            host="localhost", port=router.transactional.port, user=DEFAULT_USER, password=PASSWORD,
            database=DATABASE, ssl=context)
        try:
            return await connection.fetchval("SELECT $1::int + 1", 41)
        finally:
            await connection.close()

    assert asyncio.run(talk()) == 42


# -------------------------------------------------------------- much data

def test_large_results_and_copy(make_router, ca):
    """Bytes both ways, more than any buffer, and right."""
    router = make_router(tls_config(ca, "require"))
    rows = [("x" * 977 + str(i)) for i in range(20000)]
    with router.session.connect(sslmode="require") as connection:
        connection.execute("CREATE TEMP TABLE t (i serial, body text)")
        with connection.cursor().copy("COPY t (body) FROM STDIN") as copy:
            for row in rows:
                copy.write_row((row,))
        got = io.BytesIO()
        with connection.cursor().copy("COPY (SELECT body FROM t ORDER BY i) TO STDOUT") as copy:
            for data in copy:
                got.write(data)
        assert got.getvalue().decode().split() == rows
        big = connection.execute("SELECT repeat('0123456789', 3000000)").fetchone()[0]
        assert hashlib.md5(big.encode()).hexdigest() == connection.execute(
            "SELECT md5(repeat('0123456789', 3000000))").fetchone()[0]


def rss_kb(router):
    with open(f"/proc/{router.process.pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1])


def test_slow_reader_stops_its_sender(make_router, ca, postgres):
    """Back-pressure through TLS: what is not read does not gather here."""
    router = make_router(tls_config(ca, "require"))
    wire = start_tls(router.session)
    with wire:
        wire.login(DEFAULT_USER, PASSWORD, DATABASE)
        assert wire.value("SELECT 1") == "1"
        before = rss_kb(router)
        wire.send(w.query("SELECT repeat('x', 1000000) FROM generate_series(1, 80)"))
        wait_until(lambda: postgres.sql(
            "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'ClientWrite'"), 20,
            "PostgreSQL waits for its reader")
        assert rss_kb(router) - before < 30000
        assert len([m for m in wire.until_ready() if m.type == "D"]) == 80
        assert wire.value("SELECT 2") == "2"


def test_half_close(make_router, ca):
    """A client that says close_notify behind its last query is gone, and its server is
    not lost."""
    router = make_router(tls_config(ca, "require"))
    wire = start_tls(router.transactional)
    wire.login(DEFAULT_USER, PASSWORD, DATABASE)
    wire.socket.settimeout(20)
    plain = wire.socket.unwrap()
    assert plain.recv(100) == b""
    plain.close()
    with router.transactional.connect(sslmode="require") as other:
        assert other.execute("SELECT 1").fetchone() == (1,)


# ------------------------------------------------------------------ cancel

def test_cancel_over_tls(make_router, ca, postgres):
    router = make_router(tls_config(ca, "require"))
    wire = start_tls(router.session)
    with wire:
        wire.login(DEFAULT_USER, PASSWORD, DATABASE)
        wire.send(w.query("SELECT pg_sleep(300)"))
        wait_until(lambda: postgres.count("query LIKE '%pg_sleep%' AND state = 'active'") == 1, 10,
                   "the query runs")
        killer = start_tls(router.session)
        with killer:
            killer.send(w.cancel_request(wire.pid, wire.key))
            assert killer.until_closed() == []
        assert w.errors(wire.until_ready()) == ["57014"]


def test_cancel_in_plain_text(make_router, ca, postgres):
    """libpq before 17 cancels without TLS, whatever the session has."""
    router = make_router(tls_config(ca, "require"))
    with router.session.connect(sslmode="require") as connection:
        timer = threading.Thread(target=lambda: (
            wait_until(lambda: postgres.count("query LIKE '%pg_sleep%' AND state = 'active'") == 1,
                       10, "the query runs"), connection.cancel()))
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(300)")
        timer.join()


# --------------------------------------------------------- channel binding

def test_channel_binding(make_router, ca):
    """libpq insists on SCRAM-SHA-256-PLUS, and gets it."""
    for file in ("server", "rsa"):
        router = make_router(tls_config(ca, "prefer", file))
        with router.session.connect(sslmode="require", channel_binding="require") as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        with router.session.connect(sslmode="require", channel_binding="disable"):
            pass
        with pytest.raises(psycopg.OperationalError, match="channel binding"):
            router.session.connect(sslmode="disable", channel_binding="require")


NEW = psycopg.pq.version() >= 170000
DIRECT = {"sslnegotiation": "direct"}


@pytest.mark.skipif(not NEW, reason="libpq before 17 has no such words")
@pytest.mark.parametrize("words, problem", [
    ({"require_auth": "scram-sha-256"}, None),
    ({"require_auth": "!md5,!password,!none"}, None),
    ({"require_auth": "md5"}, 'authentication method requirement "md5" failed'),
    ({"require_auth": "none"}, 'authentication method requirement "none" failed'),
    ({"require_auth": "!scram-sha-256"}, 'requirement "!scram-sha-256" failed'),
    ({"sslcertmode": "require", "sslcert": "client"}, None),
    ({"sslcertmode": "require", "sslcert": "/nonexistent"}, "without a valid SSL certificate"),
    ({"sslcertmode": "disable", "sslcert": "client"}, None),
    (DIRECT, None),
    ({**DIRECT, "sslmode": "verify-full", "channel_binding": "require",
      "require_auth": "scram-sha-256", "sslcertmode": "require", "sslcert": "client"}, None)],
    ids=lambda value: ",".join(map("=".join, value.items())) if isinstance(value, dict) else None)
def test_what_libpq_insists_on(make_router, ca, words, problem):
    """Against what a server in the middle could do, libpq says what it will do with; the port
    does that, with TLS of both beginnings, and what it does otherwise is told from libpq."""
    router = make_router(tls_config(ca, "require", client_tls_ca_file=ca.ca))
    files = client_files(ca, "client") if words.get("sslcert") == "client" else {}
    words = {"sslmode": "require", "sslrootcert": ca.ca, "host": "localhost", **words, **files}
    for port in (router.session, router.transactional):
        if problem is None:
            with port.connect(**words) as connection:
                assert connection.pgconn.ssl_in_use
                assert connection.execute("SELECT current_user").fetchone() == (DEFAULT_USER,)
        else:
            with pytest.raises(psycopg.OperationalError, match=re.escape(problem)):
                port.connect(**words)


@pytest.mark.skipif(not NEW, reason="libpq before 17 has no such words")
def test_what_libpq_insists_on_in_vain(make_router, ca):
    """A port without authorities asks for no certificate, and one that trusts for no proof; without
    TLS there is none of both beginnings."""
    router = make_router({**tls_config(ca, "prefer"), "workloads": {
        "transactional": {"client_tls_sslmode": "disable"}},
        "auth": {"auth_type": "hba", "auth_hba_file": "hba.conf"}}, start=False)
    (router.directory / "hba.conf").write_text("host all app_trust all trust\nhost all all all md5\n")
    router.start()

    def fails(port, problem, **words):
        with pytest.raises(psycopg.OperationalError, match=problem):
            port.connect(**{"sslmode": "require", "sslrootcert": ca.ca, **words})
    fails(router.session, "did not request an SSL certificate", sslcertmode="require",
          **client_files(ca, "client"))
    fails(router.session, "server did not complete authentication", user="app_trust",
          require_auth="scram-sha-256")
    fails(router.session, "channel binding", user="app_trust", channel_binding="require")
    fails(router.session, 'requirement "scram-sha-256" failed', user="app_md5",
          require_auth="scram-sha-256")
    with router.session.connect(user="app_trust", require_auth="none", sslmode="require", **DIRECT):
        pass
    fails(router.transactional, "server does not support SSL")
    fails(router.transactional, "SSL", **DIRECT)


def sasl_mechanisms(wire):
    wire.send(w.startup(DEFAULT_USER, DATABASE))
    got = wire.receive()
    assert struct.unpack_from("!i", got.body)[0] == 10
    return got.body[4:].split(b"\0")[:-2]


def test_plus_is_offered_over_our_own_tls_only(make_router, ca):
    router = make_router(tls_config(ca, "prefer"))
    with router.session.raw() as wire:
        assert sasl_mechanisms(wire) == [b"SCRAM-SHA-256"]
    wire = start_tls(router.session)
    with wire:
        assert sasl_mechanisms(wire) == [b"SCRAM-SHA-256-PLUS", b"SCRAM-SHA-256"]


def test_hidden_offer_is_found_out(make_router, ca):
    """gs2 flag y says: I could bind, you did not offer it.  We did."""
    router = make_router(tls_config(ca, "prefer"))
    wire = start_tls(router.session)
    with wire:
        sasl_mechanisms(wire)
        first = b"y,,n=,r=0123456789abcdef"
        wire.send(w.message("p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first))
        assert [m.sqlstate for m in wire.until_closed()] == ["28000"]


# ------------------------------------------------------------------ reload

def fingerprint(port):
    pem = re.search(r"-----BEGIN CERT.*?END CERTIFICATE-----\n", s_client(port), re.S)[0]
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def test_certificate_is_replaced_under_load(make_router, ca, tmp_path):
    """openssl s_client sees the new one; sessions of the old one go on."""
    files = {"client_tls_key_file": str(tmp_path / "key"), "client_tls_cert_file": str(tmp_path / "crt")}

    def install(name):
        for suffix, option in (("key", "client_tls_key_file"), ("crt", "client_tls_cert_file")):
            with open(ca.path(f"{name}.{suffix}"), encoding="ascii") as source:
                (tmp_path / "new").write_text(source.read())
            os.replace(tmp_path / "new", files[option])

    install("server")
    router = make_router({"tls": {"client_tls_sslmode": "require", **files}})
    stop = threading.Event()
    problems, done = [], [0, 0]

    def work(number, reconnects):
        try:
            while not stop.is_set():
                with router.transactional.connect(sslmode="require") as connection:
                    while not stop.is_set():
                        assert connection.execute("SELECT 1").fetchone() == (1,)
                        done[number] += 1
                        if reconnects:
                            break
        except Exception as problem:  # pylint: disable=broad-except
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(number, number == 1)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    try:
        for name in ("rsa", "server", "rsa"):
            before = fingerprint(router.session)
            install(name)
            router.reload()
            assert fingerprint(router.session) != before
            seen = list(done)
            wait_until(lambda: all(a > b for a, b in zip(done, seen)), 20,  # noqa: B023
                       "both kinds of sessions go on")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not problems


def test_bad_certificate_is_refused_at_reload(make_router, ca, stranger, tmp_path):
    key = tmp_path / "key"
    key.write_text(open(ca.path("server.key"), encoding="ascii").read())
    router = make_router({"tls": {"client_tls_sslmode": "require", "client_tls_key_file": str(key),
                                  "client_tls_cert_file": ca.path("server.crt")}})
    router.expect_error("reload-failed")
    for content, problem in ((open(stranger.path("client.key"), encoding="ascii").read(), "mismatch"),
                             ("nonsense", "no private key")):
        key.write_text(content)
        said = router.reload(expect="error")
        assert problem in said and "workloads." in said
        with router.session.connect(sslmode="require"):
            pass


# ---------------------------------------------------------------- --check

def check(router):
    return subprocess.run([router.program(), "--check", str(router.config_file)], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)


@pytest.mark.parametrize("options, problem", [
    ({"client_tls_sslmode": "require"}, "client_tls_sslmode needs client_tls_key_file"),
    ({"client_tls_key_file": "server.key"}, "client_tls_key_file needs client_tls_cert_file"),
    ({"client_tls_key_file": "server.key", "client_tls_cert_file": "missing.crt"},
     "client_tls_cert_file: cannot read"),
    ({"client_tls_key_file": "client.key", "client_tls_cert_file": "server.crt"}, "mismatch"),
    ({"client_tls_key_file": "server.key", "client_tls_cert_file": "server.crt",
      "client_tls_sslmode": "verify-ca"}, "verify-ca and verify-full need client_tls_ca_file"),
    ({"client_tls_key_file": "server.key", "client_tls_cert_file": "server.crt",
      "client_tls_ciphers": "NONSENSE"},
     'client_tls_ciphers: "NONSENSE" names no cipher of TLS 1.2'),
    ({"client_tls_key_file": "server.key", "client_tls_cert_file": "server.crt",
      "client_tls13_ciphers": "NONSENSE"},
     'client_tls13_ciphers: "NONSENSE" is no list of cipher suites of TLS 1.3'),
    ({"client_tls_key_file": "server.key", "client_tls_cert_file": "server.crt",
      "client_tls_groups": "X25519:NONSENSE"},
     'client_tls_groups: "X25519:NONSENSE" is no list of groups of the key exchange'),
    ({"client_tls_sslmode": "required"}, "did you mean require"),
])
@pytest.mark.parametrize("where", ["tls", "admin"])
def test_check_finds(make_router, ca, where, options, problem):
    tls = {k: ca.path(v) if k.endswith("_file") else v for k, v in options.items()}
    config = {"admin": {"listen": ["127.0.0.1:1"]}}
    config.setdefault(where, {}).update(tls)
    done = check(make_router(config, start=False))
    assert done.returncode == 1 and problem in done.stdout, done.stdout


def test_check_warns_of_a_public_key(make_router, ca, tmp_path):
    key = tmp_path / "server.key"
    key.write_text(open(ca.path("server.key"), encoding="ascii").read())
    os.chmod(key, 0o644)
    router = make_router({"tls": {"client_tls_key_file": str(key),
                                  "client_tls_cert_file": ca.path("server.crt")}}, start=False)
    done = check(router)
    assert done.returncode == 0 and "private key" in done.stdout
    os.chmod(key, 0o600)
    assert "private key" not in check(router).stdout


# ------------------------------------------------------------------- many

@pytest.mark.slow
def test_five_thousand_idle_clients(make_router, ca):
    """All are there at once, cost next to nothing while they are silent, and each is
    answered afterwards, by one of few servers."""
    count = 5000 if SLOWDOWN == 1 else 1000
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if limit < count + 200:
        needs.not_allowed(f"{count + 200} open files, but {limit}")
    router = make_router({"process": {"max_client_conn": count + 50},
                          "log": {"log_connections": False, "log_disconnections": False},
                          "workloads": {"transactional": {"max_client_conn": count + 10}},
                          "auth": {"auth_type": "trust"}, **tls_config(ca, "prefer")})
    context = ssl.create_default_context(cafile=ca.ca)
    context.set_alpn_protocols(["postgresql"])
    # psycopg waits with select(), which knows the first 1024 files only.
    admin = router.admin()
    clients = []

    def log_in():
        wire = router.transactional.raw()
        clients.append(wire)
        wire.socket = context.wrap_socket(wire.socket, server_hostname="localhost")
        wire.send(w.startup("app_trust", DATABASE))
        wire.authenticate("app_trust", "")

    try:
        log_in()
        empty = router.memory()
        while len(clients) < count:
            log_in()
        each = (router.memory() - empty) / (count - 1)
        cpu, start = router.cpu_seconds(), time.monotonic()
        wait_until(lambda: time.monotonic() - start > 1, 5)
        used = (router.cpu_seconds() - cpu) / (time.monotonic() - start)
        assert used < 0.1 * SLOWDOWN, f"idle clients take {used:.3f} of a processor"
        shown = [row for row in admin.execute("SHOW CLIENTS").fetchall()
                 if row["user"] == "app_trust" and row["tls"]]
        assert len(shown) == count
        for number, wire in enumerate(clients):
            wire.send(w.query(f"SELECT {number}"))
        for number, wire in enumerate(clients):
            assert w.rows(wire.until_ready()) == [(str(number),)]
        # PgBouncer's take 15.6 kB each; what sanitizers keep is theirs.  Newer versions of
        # OpenSSL need more for themselves: docs/kernels.md.
        most = 20_000 if ssl.OPENSSL_VERSION_INFO < (3, 2) else 34_000
        assert SLOWDOWN > 1 or each < most, f"{each:.0f} bytes a client"
    finally:
        admin.close()
        for wire in clients:
            wire.socket.close()

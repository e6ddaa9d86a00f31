# SPDX-License-Identifier: ISC
"""Several certificates for one port: the name that a client connects to (SNI) chooses."""
import datetime
import hashlib
import shutil
import ssl
import subprocess

import psycopg
import pytest
from support import wire as w
from support.certs import Authority, any_certificate
from support.postgres import DATABASE, DEFAULT_USER, USERS
from support.wait import wait_until

pytestmark = pytest.mark.router_only

PASSWORD = USERS[DEFAULT_USER][0]


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("ca"))
    authority.issue("server", "localhost", "DNS:localhost,DNS:both.test,IP:127.0.0.1")
    authority.issue("eu", "eu", "DNS:db.eu.test,DNS:both.test")
    authority.issue("us", "us", "DNS:db.us.test,DNS:*.us.test", key="rsa:2048")
    authority.issue("again", "again", "DNS:db.eu.test")
    authority.issue("common", "db.common.test", "IP:127.0.0.1")
    authority.issue("nameless", ".", "IP:127.0.0.1")
    authority.issue("client", DEFAULT_USER)
    return authority


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("stranger"), "Another CA")
    authority.issue("client", DEFAULT_USER)
    return authority


def config(ca, files=("eu", "us"), **more):
    return {"tls": {"client_tls_cert_file": ca.path("server.crt"),
                    "client_tls_key_file": ca.path("server.key"),
                    "client_tls_sni_cert_files": [ca.path(f"{file}.crt") for file in files],
                    "client_tls_sni_key_files": [ca.path(f"{file}.key") for file in files], **more}}


def context(version=ssl.TLSVersion.TLSv1_3):
    made = any_certificate(version)
    made.set_alpn_protocols(["postgresql"])
    return made


def connect(endpoint, how, name, is_direct=False, session=None):
    """A Wire over TLS that has asked for this name, or for none."""
    wire = endpoint.raw()
    if is_direct:
        wire.socket = how.wrap_socket(wire.socket, server_hostname=name, session=session)
    else:
        wire.start_tls(how, server_hostname=name, session=session)
    return wire


def shown(endpoint, ca, *more, **how):
    """Which of the files it was."""
    with connect(endpoint, *more, **how) as wire:
        found = wire.socket.getpeercert(binary_form=True)
    for file in ("server", "eu", "us", "again", "common"):
        with open(ca.path(f"{file}.crt"), encoding="ascii") as text:
            if ssl.PEM_cert_to_DER_cert(text.read()) == found:
                return file
    return None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("is_direct", [False, True])
def test_the_name_chooses(make_router, ca, version, is_direct):
    router = make_router(config(ca))
    expected = {None: "server", "localhost": "server", "db.eu.test": "eu", "DB.EU.Test": "eu",
                "db.eu.test.": "eu", "127.0.0.1": "server",
                "both.test": "server", "db.us.test": "us", "a.us.test": "us",
                "b.a.us.test": "server", "us.test": "server", "us": "server",
                "else.test": "server", "x" * 60 + ".test": "server"}
    assert {name: shown(router.session, ca, context(version), name, is_direct)
            for name in expected} == expected


def test_common_names(make_router, ca):
    """They count where there is no DNS name, and there only."""
    router = make_router(config(ca, ("common", "eu")))
    expected = {None: "server", "db.common.test": "common", "eu": "server", "db.eu.test": "eu"}
    assert {name: shown(router.session, ca, context(), name) for name in expected} == expected


@pytest.mark.parametrize("port", ["session", "transactional"])
def test_who_verifies_gets_in(make_router, ca, port):
    """With the certificate's own channel binding; and not by a name that is in none of them."""
    router = make_router(config(ca, client_tls_sslmode="require"))
    endpoint = getattr(router, port)

    def user_by(name):
        with psycopg.connect(host=name, hostaddr="127.0.0.1", port=endpoint.port, user=DEFAULT_USER,
                             password=PASSWORD, dbname=DATABASE, sslmode="verify-full",
                             sslrootcert=ca.ca, channel_binding="require",
                             connect_timeout=60) as connection:
            return connection.execute("SELECT current_user").fetchone()[0]
    for name in ("localhost", "db.eu.test", "a.us.test"):
        assert user_by(name) == DEFAULT_USER
    with pytest.raises(psycopg.OperationalError, match='does not match host name "else.test"'):
        user_by("else.test")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed_under_their_name(make_router, ca, version):
    router = make_router(config(ca))
    how = context(version)

    def resumed(name, session):
        with connect(router.session, how, name, session=session) as wire:
            wire.send(w.startup(DEFAULT_USER, DATABASE))
            wire.authenticate(DEFAULT_USER, PASSWORD)
            wire.query("SELECT 1")
            return wire.socket.session_reused, wire.socket.session
    for name in ("db.eu.test", "db.us.test", "localhost"):
        was_resumed, session = resumed(name, None)
        assert not was_resumed and resumed(name, session)[0]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_what_a_resumed_session_is_bound_to(make_router, ca, version):
    """SCRAM-SHA-256-PLUS: the certificate that the client has seen, which is that of the session's
    first handshake, by whatever name it comes again."""
    router = make_router(config(ca, client_tls_sslmode="require"))
    how = context(version)

    def log_in(name, session, seen):
        with connect(router.session, how, name, session=session) as wire:
            is_resumed = wire.socket.session_reused
            if not is_resumed:
                seen = wire.socket.getpeercert(binary_form=True)
            wire.binding = hashlib.sha256(seen).digest()
            wire.login(DEFAULT_USER, PASSWORD, DATABASE)
            assert wire.value("SELECT current_user") == DEFAULT_USER
            return is_resumed, wire.socket.session, seen
    for first in ("db.eu.test", "db.us.test", None):
        for name in ("both.test", "db.us.test", "localhost", None):
            is_resumed, session, seen = log_in(first, None, None)
            assert not is_resumed
            assert log_in(name, session, seen)[0] or version == ssl.TLSVersion.TLSv1_2
    with connect(router.session, how, "db.eu.test") as wire, \
            open(ca.path("us.crt"), encoding="ascii") as another:
        wire.binding = hashlib.sha256(ssl.PEM_cert_to_DER_cert(another.read())).digest()
        with pytest.raises(RuntimeError, match="28000: SCRAM channel binding check failed"):
            wire.login(DEFAULT_USER, PASSWORD, DATABASE)


@pytest.mark.parametrize("name", ["localhost", "db.eu.test", "db.us.test"])
def test_clients_certificates_are_verified_all_the_same(make_router, ca, stranger, name):
    router = make_router(config(ca, client_tls_sslmode="verify-full", client_tls_ca_file=ca.ca))

    def gets_in(authority):
        files = {} if authority is None else {"sslcert": authority.path("client.crt"),
                                              "sslkey": authority.path("client.key")}
        try:
            with psycopg.connect(host=name, hostaddr="127.0.0.1", port=router.session.port,
                                 user=DEFAULT_USER, password=PASSWORD, dbname=DATABASE,
                                 sslmode="verify-full", sslrootcert=ca.ca, connect_timeout=60,
                                 **files) as connection:
                return connection.execute("SELECT 1").fetchone() == (1,)
        except psycopg.OperationalError:
            return False
    assert [gets_in(authority) for authority in (ca, None, stranger)] == [True, False, False]


def test_a_reload_brings_others(make_router, ca):
    router = make_router(config(ca))
    with connect(router.session, context(), "db.eu.test") as before:
        before.send(w.startup(DEFAULT_USER, DATABASE))
        before.authenticate(DEFAULT_USER, PASSWORD)
        router.reload(config(ca, ("again",)))
        wait_until(lambda: shown(router.session, ca, context(), "db.eu.test") == "again", 10)
        assert shown(router.session, ca, context(), "db.us.test") == "server"
        router.reload(config(ca, ()))
        wait_until(lambda: shown(router.session, ca, context(), "db.eu.test") == "server", 10)
        assert before.value("SELECT 1") == "1"


def test_the_first_that_ends_is_told(make_router, ca):
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=3)
    ca.issue("soon", "soon", "DNS:soon.test", dates=("20200101000000Z", f"{end:%Y%m%d%H%M%SZ}"))
    router = make_router(config(ca, ("eu", "soon")))
    rows = [row for row in router.show("tls") if row["side"] == "client"]
    assert rows and all(row["certificate"] == "CN=soon" and row["days_left"] <= 3 for row in rows)


@pytest.mark.parametrize("change, says", [
    ({"client_tls_sni_key_files": []}, "needs a key for each of client_tls_sni_cert_files"),
    ({"client_tls_cert_file": None, "client_tls_key_file": None},
     "client_tls_sni_cert_files needs client_tls_cert_file"),
    ({"client_tls_sni_cert_files": ["nowhere.crt", "us.crt"]}, "client_tls_sni_cert_files"),
    ({"client_tls_sni_key_files": ["us.key", "eu.key"]}, "us.key: is not the key of the certificate"),
    ({"client_tls_sni_cert_files": ["ca.crt", "us.crt"]}, "eu.key"),
    ({"client_tls_sni_cert_files": ["eu.crt", "nameless.crt"],
      "client_tls_sni_key_files": ["eu.key", "nameless.key"]},
     "nameless.crt: is for no name that a client could connect to"),
])
def test_what_is_wrong_is_told(make_router, ca, change, says):
    router = make_router(config(ca))
    files = {name: those and [ca.path(file) for file in those] for name, those in change.items()}
    router.expect_error("reload-failed")
    said = router.reload({"tls": files}, expect="error")
    assert says in said, said
    done = subprocess.run([router.program(), "--check", str(router.config_file)], text=True,
                          capture_output=True, check=False)
    assert done.returncode != 0 and says in done.stderr
    # All is as it was.
    assert shown(router.session, ca, context(), "db.us.test") == "us"


def test_rights_of_the_files(make_router, ca, tmp_path):
    """As those of the first certificate: a key that everybody may read is told, what everybody may
    change is refused."""
    for suffix in ("crt", "key"):
        shutil.copy(ca.path(f"us.{suffix}"), tmp_path)
    more = {"client_tls_sni_cert_files": [str(tmp_path / "us.crt")],
            "client_tls_sni_key_files": [str(tmp_path / "us.key")]}
    for file, mode, words in (("us.key", 0o644, None), ("us.key", 0o666, "client_tls_sni_key_files"),
                              ("us.crt", 0o646, "client_tls_sni_cert_files")):
        for each in ("us.crt", "us.key"):
            (tmp_path / each).chmod(0o600)
        (tmp_path / file).chmod(mode)
        if words is None:
            router = make_router(config(ca, **more))
            assert f"everybody may read {tmp_path}/us.key" in router.log()
            assert shown(router.session, ca, context(), "db.us.test") == "us"
            router.expect_error("reload-failed")
        else:
            said = router.reload(expect="error")
            assert f"{words}: everybody may change it" in said, said

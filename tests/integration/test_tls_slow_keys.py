# SPDX-License-Identifier: ISC
"""Keys whose signatures take long: they are made beside the I/O threads, in turns by
address, and who leaves meanwhile takes nothing along."""
import contextlib
import pathlib
import socket
import ssl
import struct
import threading

import psycopg
import pytest
from support import wire as w
from support.certs import Authority, any_certificate
from support.postgres import DATABASE, DEFAULT_USER
from support.tlspostgres import TlsPostgres
from support.wait import wait_until

pytestmark = pytest.mark.router_only

KEYS = {"p256": "ec", "rsa2048": "rsa:2048", "rsa4096": "rsa:4096"}
NICENESS = 10
QUEUE = 1000                # handshakes that may wait
CONNECTS = 20


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("ca"))
    for name, kind in KEYS.items():
        authority.issue(name, "localhost", "DNS:localhost,IP:127.0.0.1", key=kind)
    authority.issue("client", DEFAULT_USER, key="rsa:2048")
    authority.issue("server", "localhost", "DNS:localhost")
    return authority


@pytest.fixture
def start(make_router, ca):
    def make(key, tls=None, auth="trust", **defaults):
        return make_router({
            "process": {"workers": 1, "max_unauthenticated": 0, "max_client_conn": 5000},
            "auth": {"auth_type": auth},
            "defaults": {"client_login_timeout": "10min", **defaults},
            "tls": {"client_tls_key_file": ca.path(f"{key}.key"),
                    "client_tls_cert_file": ca.path(f"{key}.crt"), **(tls or {})}})
    return make


def secure(wire, with_context=None, **more):
    wire.start_tls(with_context or any_certificate(), **more)
    return wire


def from_address(router, number):
    return w.Wire("127.0.0.1", router.session.port, source=f"127.0.0.{number}")


def hello():
    """What a client says first."""
    made, out = any_certificate(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        made.wrap_bio(ssl.MemoryBIO(), out).do_handshake()
    return out.read()


def asks(router, number, said):
    """Has asked for TLS and said hello, and does not wait for an answer."""
    wire = from_address(router, number)
    wire.send(w.SSL_REQUEST)
    assert wire.read(1) == b"S"
    wire.send(said)
    return wire


def look_at_threads(router):
    """Threads that compute beside the workers: how often each has waited for work; None
    while one of them does not."""
    found = {}
    for task in pathlib.Path(f"/proc/{router.process.pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            stat = (task / "stat").read_text().rpartition(")")[2].split()
            status = (task / "status").read_text()
            # The others have it, too, where the router runs with it.
            if (task / "comm").read_text() != "chore\n" or int(stat[16]) != NICENESS:
                continue
            if "\nState:\tS" not in status:
                return None
            found[task.name] = int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    return found


def computing(router):
    found = []
    wait_until(lambda: found.append(look_at_threads(router)) or found[-1] is not None, 20,
               "nothing is left to be computed")
    return found[-1]


def is_answered(wire):
    wire.socket.setblocking(False)
    try:
        return wire.socket.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return False


# ------------------------------------------------------------------- who computes

@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("key", ["rsa2048", "rsa4096"])
def test_who_computes(start, key, version):
    """Others than the workers; but nobody for a session that is resumed."""
    router = start(key)
    assert not computing(router)
    made = any_certificate(version)
    session = None
    for number in range(4):
        before = computing(router)
        with secure(router.session.raw(), made, session=session) as wire:
            assert wire.socket.session_reused == (number > 0)
            # Those of 1.3 come behind the handshake.
            wire.login("app_trust", "", DATABASE)
            assert wire.value("SELECT 1") == "1"
            session = wire.socket.session
        assert (computing(router) == before) == (number > 0)


def test_who_computes_with_a_quick_key(start):
    router = start("p256")
    with secure(router.session.raw()) as wire:
        wire.login("app_trust", "", DATABASE)
        assert not computing(router)


def test_the_oldest_way(start):
    """The key decrypts what the client has sent, in the second step."""
    router = start("rsa2048", tls={"client_tls_ciphers": "AES128-GCM-SHA256:@SECLEVEL=0"})
    made = any_certificate(ssl.TLSVersion.TLSv1_2)
    made.set_ciphers("AES128-GCM-SHA256:@SECLEVEL=0")
    with secure(router.session.raw(), made) as wire:
        assert wire.socket.cipher()[0] == "AES128-GCM-SHA256"
        wire.login("app_trust", "", DATABASE)
        assert wire.value("SELECT 1") == "1"
    assert computing(router)


def test_libpq(start):
    router = start("rsa2048", auth="scram-sha-256")
    for mode in ("require", "prefer", "disable"):
        with router.session.connect(sslmode=mode) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    with router.session.connect(sslmode="require", channel_binding="require") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_certificate_of_the_router(make_router, ca):
    """PostgreSQL asks for it, and the router's key is RSA."""
    cluster = TlsPostgres()
    try:
        postgres = cluster.create_with(ca)
        hba = postgres.data / "pg_hba.conf"
        hba.write_text(f"hostssl all {DEFAULT_USER} 127.0.0.1/32 cert\n" + hba.read_text())
        postgres.reload()
        for key in ("client", None):
            files = {"server_tls_cert_file": ca.path(f"{key}.crt"),
                     "server_tls_key_file": ca.path(f"{key}.key")} if key else {}
            router = make_router({"hosts": {"main": {"server_tls_sslmode": "require", **files}}},
                                 postgres_of_test=postgres)
            if key is None:
                with pytest.raises(psycopg.OperationalError, match="valid client certificate"):
                    router.session.connect()
                continue
            before = computing(router)
            for _ in range(3):
                with router.session.connect() as connection:
                    assert connection.execute(
                        "SELECT client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone() == (
                            f"/CN={DEFAULT_USER}",)
            assert computing(router) != before
    finally:
        cluster.destroy()


# ------------------------------------------------------------------- while it takes long

def test_addresses_take_turns(start):
    """More hellos than may wait, all of one address: some are refused, and who comes from
    elsewhere is served long before the others are."""
    router = start("rsa4096")
    said = hello()
    with contextlib.ExitStack() as stack:
        flood = [stack.enter_context(asks(router, 2, said)) for _ in range(QUEUE + 300)]
        with secure(from_address(router, 3)) as wire:
            wire.login("app_trust", "", DATABASE)
            assert wire.value("SELECT 1") == "1"
            assert sum(is_answered(other) for other in flood) < QUEUE
        wait_until(lambda: "too many handshakes wait" in router.log(), 10, "refused")
        # All of them leave, and what waits for them goes with them.
    wait_until(lambda: not router.show("clients") or len(router.show("clients")) == 1, 20, "gone")
    with secure(from_address(router, 2)) as wire:
        wire.login("app_trust", "", DATABASE)


def test_time_to_log_in_ends_in_the_queue(start):
    router = start("rsa4096", client_login_timeout="300ms")
    said = hello()
    with contextlib.ExitStack() as stack:
        flood = [stack.enter_context(asks(router, 2, said)) for _ in range(400)]
        for wire in flood:
            wire.socket.setblocking(True)
            wire.socket.settimeout(20)
            with contextlib.suppress(ConnectionResetError):
                while wire.socket.recv(65536):
                    pass
    router.reload({"defaults": {"client_login_timeout": "10min"}})
    with secure(from_address(router, 3)) as wire:
        wire.login("app_trust", "", DATABASE)


@pytest.mark.parametrize("ends", ["fin", "rst"])
def test_who_hangs_up(start, ends):
    """In front of the signature, while it is made, and behind it; others go on."""
    router = start("rsa2048")
    said = hello()
    with router.transactional.wire("app_trust") as worker:
        for number in range(150):
            wire = asks(router, 2, said)
            if ends == "rst":
                wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if number % 3 == 0:
                wire.read(1)
            wire.close()
            assert worker.value("SELECT 1") == "1"
    with secure(from_address(router, 2)) as wire:
        wire.login("app_trust", "", DATABASE)
        assert wire.value("SELECT 1") == "1"


class HangsUp:
    """A server that asks for the router's certificate, and ends, or says no more, as soon as
    there is something to be signed."""

    def __init__(self, ca, ends):
        self.ends, self.count, self.held = ends, 0, []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(ca.path("server.crt"), ca.path("server.key"))
        self.context.load_verify_locations(ca.path("ca.crt"))
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock = self.listener.accept()[0]
                # The router may have had enough of it.
                with contextlib.suppress(OSError):
                    self.serve(sock)

    def serve(self, sock):
        said, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.context.wrap_bio(said, out, server_side=True)
        sock.settimeout(30)
        if sock.recv(8) == w.SSL_REQUEST:
            sock.sendall(b"S")
        while out.pending == 0 and (data := sock.recv(65536)):
            said.write(data)
            with contextlib.suppress(ssl.SSLWantReadError):
                tls.do_handshake()
        sock.sendall(out.read())
        self.count += 1
        if self.ends == "silence":
            self.held.append(sock)
            return
        if self.ends == "rst":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    def close(self):
        self.listener.close()
        for sock in self.held:
            sock.close()


@pytest.mark.parametrize("ends", ["fin", "rst", "silence"])
def test_a_server_that_hangs_up(make_router, ca, ends):
    """While the router signs for it, or in front of that: its units come back, and who uses
    another host does not notice."""
    server = HangsUp(ca, ends)
    router = make_router({
        "process": {"workers": 1}, "auth": {"auth_type": "trust"},
        "hosts": {"bad": {
            "host": "127.0.0.1", "port": server.port, "connection_budget": CONNECTS,
            "max_connecting": CONNECTS, "server_connect_timeout": "300ms",
            "server_close_timeout": "100ms",
            "server_tls_sslmode": "require", "server_tls_cert_file": ca.path("rsa4096.crt"),
            "server_tls_key_file": ca.path("rsa4096.key")}},
        "databases": {"bad": {"host": "bad", "dbname": DATABASE}}})
    try:
        with router.transactional.wire("app_trust") as worker, contextlib.ExitStack() as stack:
            for _ in range(CONNECTS):
                wire = stack.enter_context(router.transactional.raw())
                wire.send(w.startup("app_trust", "bad"))
            wait_until(lambda: server.count >= CONNECTS // 2, 20, "they connect")
            assert worker.value("SELECT 1") == "1"
        wait_until(lambda: next(row for row in router.show("hosts") if row["host"] == "bad")["used"]
                   == 0, 20, "all units are free")
        with router.transactional.wire("app_trust") as worker:
            assert worker.value("SELECT 1") == "1"
    finally:
        server.close()


def test_the_process_ends_meanwhile(start):
    router = start("rsa4096")
    said = hello()
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(asks(router, 2, said))
        assert look_at_threads(router) != {}
        router.stop()

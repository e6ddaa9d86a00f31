# SPDX-License-Identifier: ISC
"""Passwords and keys that are not needed any more are nowhere in the router's memory."""
import base64
import concurrent.futures
import hashlib
import hmac
import os
import re
import secrets
import socket
import struct
import threading

import psycopg
import pytest
from support import wire as w
from support.certs import Authority
from support.postgres import DATABASE
from support.router import ADMIN
from support.wait import wait_until

# Others may not look into its memory.
pytestmark = [pytest.mark.router_only, pytest.mark.usefixtures("as_root")]

REGION = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw.. .*")
LARGEST = 1 << 30               # larger ones are reserved addresses of sanitizers


def copies(router, needle):
    """How often these bytes, or the second half of them, are in what the process may write:
    free() writes over the first sixteen of a block, and leaves the others as they are."""
    needle = needle if isinstance(needle, bytes) else needle.encode()
    needle = needle[len(needle) // 2:]
    found = 0
    with open(f"/proc/{router.process.pid}/maps", encoding="utf-8") as maps, \
            open(f"/proc/{router.process.pid}/mem", "rb", 0) as memory:
        for start, end in (map(lambda part: int(part, 16), m.groups())
                           for m in map(REGION.match, maps) if m):
            if end - start > LARGEST:
                continue
            try:
                memory.seek(start)
                found += memory.read(end - start).count(needle)
            except OSError:
                pass            # unmapped meanwhile, or not to be read
    return found


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("ca"))
    authority.issue("server", "localhost", "DNS:localhost,IP:127.0.0.1")
    return authority


@pytest.fixture
def login(postgres):
    """(user, password, its SCRAM secret), known to PostgreSQL."""
    user, password = "wiped", secrets.token_hex(20)
    postgres.sql(f"CREATE ROLE {user} LOGIN PASSWORD '{password}'")
    yield user, password, postgres.secret(user)
    postgres.terminate(f"usename = '{user}'")
    postgres.sql(f"DROP ROLE {user}")


def start(make_router, monkeypatch, login, ca=None, port=None, **auth):
    """One whose pools are given up soon, and whose freed memory is used again."""
    monkeypatch.setenv("ASAN_OPTIONS", ":".join(filter(None, [
        os.environ.get("ASAN_OPTIONS"), "quarantine_size_mb=0", "thread_local_quarantine_size_kb=0"])))
    config = {"auth": {"auth_type": "password", **auth},
              "workloads": {name: {"server_idle_timeout": "100ms"}
                            for name in ("transactional", "session")}}
    if port is not None:
        config["hosts"] = {"main": {"port": port, "server_connect_timeout": "5min"}}
    if ca is not None:
        config["tls"] = {"client_tls_key_file": ca.path("server.key"),
                         "client_tls_cert_file": ca.path("server.crt")}
    router = make_router(config, start=False)
    router.write_userlist([f'"{login[0]}" "{login[2]}"', f'"{ADMIN[0]}" "{ADMIN[1]}"'])
    router.start()
    return router


def connect(endpoint, user, password, **more):
    return psycopg.connect(host=endpoint.host, port=endpoint.port, user=user, password=password,
                           dbname=DATABASE, autocommit=True, connect_timeout=30, **more)


def is_gone(router, *needles):
    wait_until(lambda: not any(copies(router, needle) for needle in needles), 20, "it is wiped")


@pytest.mark.parametrize("link", ["plain", "tls1.2", "tls1.3"])
def test_passwords_in_clear(make_router, monkeypatch, login, ca, link):
    """Wrong ones at once; a right one stays with its pool and nowhere else."""
    user, password, _ = login
    router = start(make_router, monkeypatch, login, None if link == "plain" else ca)
    more = {"sslmode": "disable"}
    if link != "plain":
        version = link.upper().replace("TLS", "TLSv")
        more = {"sslmode": "require", "ssl_min_protocol_version": version,
                "ssl_max_protocol_version": version}
    wrong = [secrets.token_hex(20) for _ in range(4)]
    for endpoint in (router.transactional, router.session):
        for name in (user, "nobody"):
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                connect(endpoint, name, wrong[-1], **more)
    is_gone(router, *wrong)
    with connect(router.transactional, user, password, **more) as first, \
            connect(router.session, user, password, **more) as second:
        for connection in (first, second):
            assert connection.execute("SELECT current_user").fetchone() == (user,)
        wait_until(lambda: copies(router, password) == 1, 20, "the pool alone has it")
    is_gone(router, password)


def test_a_password_in_pieces(make_router, monkeypatch, login):
    """What is kept until the rest comes, and grows meanwhile; lost or broken off, too."""
    router = start(make_router, monkeypatch, login)
    wrong = secrets.token_hex(20)
    message = w.message("p", (wrong * 100).encode() + b"\0")
    assert copies(router, wrong) == 0
    wires = []
    for how in ("whole", "lost", "waits", "odd"):
        wire = router.session.raw()
        wires.append(wire)
        wire.send(w.startup(login[0], DATABASE))
        assert wire.receive().type == "R"
        for i in range(0, len(message) - 50, 500):
            wire.send(message[i:i + 500])
        if how == "whole":
            wire.send(message[len(message) // 500 * 500:])
        elif how == "odd":
            wire.send(w.message("Q", wrong.encode() + b"\0") * 400)
        elif how == "lost":
            wire.close()
    # What one has sent in part is needed still.
    wait_until(lambda: copies(router, wrong) >= 90, 20, "a part is kept")
    for wire in wires:
        wire.close()
    is_gone(router, wrong)


class Relay:
    """Passes connections on to PostgreSQL, and keeps back what that says to the password."""

    def __init__(self, target, password):
        self.target, self.password = target, password.encode() + b"\0"
        self.sent = b""
        self.told, self.go = threading.Event(), threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        try:
            while True:
                near = self.listener.accept()[0]
                far = socket.create_connection(("127.0.0.1", self.target))
                for pump, pair in ((self.there, (near, far)), (self.back, (far, near))):
                    threading.Thread(target=pump, args=pair, daemon=True).start()
        except OSError:
            pass

    def there(self, near, far):
        try:
            while data := near.recv(65536):
                self.sent += data
                if self.password in self.sent:
                    self.told.set()
                far.sendall(data)
            far.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def back(self, far, near):
        try:
            while data := far.recv(65536):
                if self.told.is_set():
                    self.go.wait(60)
                near.sendall(data)
            near.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def test_a_password_that_postgresql_wants_in_clear(make_router, monkeypatch, login, postgres):
    """On its way there, too: it has gone in clear, and while PostgreSQL thinks about it what was
    sent is nowhere any more; the pool and the login have it, and then the pool alone."""
    user, password, _ = login
    hba = postgres.data / "pg_hba.conf"
    before = hba.read_text()
    relay = Relay(postgres.port, password)
    try:
        hba.write_text(f"host all {user} 127.0.0.1/32 password\n" + before)
        postgres.reload()
        router = start(make_router, monkeypatch, login, port=relay.port)
        with concurrent.futures.ThreadPoolExecutor(1) as one:
            connecting = one.submit(connect, router.transactional, user, password)
            try:
                assert relay.told.wait(30)
                message = password.encode() + b"\0"
                assert relay.sent.endswith(
                    b"p" + struct.pack("!I", 4 + len(message)) + message)
                # The third is the client's proof, until its own login is over.
                wait_until(lambda: copies(router, password) == 3, 20, "it is in no buffer")
                assert not connecting.done()
            finally:
                relay.go.set()
            with connecting.result() as connection:
                assert connection.execute("SELECT current_user").fetchone() == (user,)
                wait_until(lambda: copies(router, password) == 1, 20, "the pool alone has it")
        is_gone(router, password)
    finally:
        relay.listener.close()
        hba.write_text(before)
        postgres.reload()


def client_key(password, secret):
    iterations, salt = re.match(r"SCRAM-SHA-256\$([0-9]+):([^$]+)\$", secret).groups()
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(iterations))
    return salted, hmac.digest(salted, b"Client Key", "sha256")


@pytest.mark.parametrize("method", ["scram-sha-256", "password"])
def test_keys(make_router, monkeypatch, login, method):
    """What opens PostgreSQL is there as long as the pool, and wiped with it."""
    user, password, secret = login
    salted, key = client_key(password, secret)
    router = start(make_router, monkeypatch, login, auth_type=method)
    with connect(router.transactional, user, password) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (user,)
        assert copies(router, key) >= 1
        wait_until(lambda: copies(router, key) == 1, 20, "the pool alone has it")
        assert copies(router, salted) == 0
    is_gone(router, key, salted, password)


def test_keys_of_a_secret_that_was_changed(make_router, monkeypatch, login, postgres):
    user, password, secret = login
    _, key = client_key(password, secret)
    router = start(make_router, monkeypatch, login, auth_type="scram-sha-256")
    with connect(router.session, user, password) as stays:
        wait_until(lambda: copies(router, key) == 1, 20, "the pool has it")
        postgres.sql(f"ALTER ROLE {user} PASSWORD 'another'")
        router.write_userlist([f'"{user}" "{postgres.secret(user)}"'])
        router.reload()
        with connect(router.session, user, "another"):
            pass
        assert stays.execute("SELECT 1").fetchone() == (1,)
        is_gone(router, key)

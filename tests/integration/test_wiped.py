# SPDX-License-Identifier: ISC
"""Passwords and keys that are not needed any more are nowhere in the router's memory."""
import base64
import hashlib
import hmac
import os
import re
import secrets

import psycopg
import pytest
from support import wire as w
from support.certs import Authority
from support.postgres import DATABASE
from support.router import ADMIN
from support.wait import wait_until

pytestmark = [pytest.mark.router_only,
              pytest.mark.skipif(os.geteuid() != 0, reason="others may not look into its memory")]

REGION = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw.. .*")
LARGEST = 1 << 30               # larger ones are reserved addresses of sanitizers


def copies(router, needle):
    """How often these bytes are in what the process may write."""
    needle = needle if isinstance(needle, bytes) else needle.encode()
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


def start(make_router, monkeypatch, login, ca=None, **auth):
    """One whose pools are given up soon, and whose freed memory is used again."""
    monkeypatch.setenv("ASAN_OPTIONS", ":".join(filter(None, [
        os.environ.get("ASAN_OPTIONS"), "quarantine_size_mb=0", "thread_local_quarantine_size_kb=0"])))
    config = {"auth": {"auth_type": "password", **auth},
              "workloads": {name: {"server_idle_timeout": "100ms"}
                            for name in ("transactional", "session")}}
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


def test_a_password_that_postgresql_wants_in_clear(make_router, monkeypatch, postgres):
    """On its way there, too."""
    user, password = "app_plain", "plain secret"
    router = start(make_router, monkeypatch, (user, password, postgres.secret(user)))
    with connect(router.transactional, user, password) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (user,)
        wait_until(lambda: copies(router, password) == 1, 20, "the pool alone has it")
    is_gone(router, password)


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

# SPDX-License-Identifier: ISC
"""Whom nobody knows is asked for what others are asked for, today and tomorrow: salts that
stay over restarts, and the number of iterations that other secrets have."""
import base64
import hashlib
import hmac
import re
import struct
import subprocess

import psycopg
import pytest
from support import wire as w
from support.postgres import DATABASE, USERS
from support.router import ADMIN

pytestmark = pytest.mark.router_only

PLAIN = "app_plain"             # whose password is stored as it is, by the router


def scram_secret(password, iterations):
    salt = b"salt of " + password.encode()
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    keys = [hmac.digest(salted, b"Client Key", "sha256"), hmac.digest(salted, b"Server Key", "sha256")]
    salt, stored, server = (base64.b64encode(part).decode() for part in
                            (salt, hashlib.sha256(keys[0]).digest(), keys[1]))
    return f"SCRAM-SHA-256${iterations}:{salt}${stored}:{server}"


def asked(router, user):
    """(salt, iterations) of the challenge."""
    with router.session.raw() as wire:
        wire.send(w.startup(user, DATABASE))
        assert wire.receive().type == "R"
        first = b"n,,n=,r=abcdefghijkl"
        wire.send(w.message("p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first))
        got = wire.receive().body[4:].decode()
        salt, iterations = re.fullmatch(r"r=[^,]+,s=([^,]+),i=([0-9]+)", got).groups()
        return salt, int(iterations)


def salts(router):
    return {user: asked(router, user)[0] for user in ("nobody", "somebody", PLAIN)}


def logs_in(router, user=PLAIN):
    with router.session.connect(user) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (user,)


def test_salts_stay_over_a_restart(restarted):
    router = restarted()
    before = salts(router)
    assert len(set(before.values())) == 3
    router.restart()
    assert salts(router) == before
    router.restart()
    assert salts(router) == before
    logs_in(router)


@pytest.mark.parametrize("way", ["option", "systemd"])
def test_salts_stay_with_a_file(make_router, monkeypatch, way):
    """Also where the users are others by then; the file is made where it is missing."""
    auth = {"auth_mock_key_file": "state/mock_key"} if way == "option" else {}
    router = make_router({"auth": auth}, start=False)
    (router.directory / "state").mkdir()
    file = router.directory / "state" / "mock_key"
    if way == "systemd":
        monkeypatch.setenv("STATE_DIRECTORY", str(file.parent))
    router.start()
    before = salts(router)
    assert re.fullmatch("[0-9a-f]{64}\n", file.read_text())
    assert file.stat().st_mode & 0o777 == 0o600 and len(list(file.parent.iterdir())) == 1
    router.stop()
    router.write_userlist([f'"{ADMIN[0]}" "another"', f'"{PLAIN}" "{USERS[PLAIN][0]}"'])
    router.start()
    assert salts(router) == before
    logs_in(router)
    # It is the file that counts.
    router.stop()
    file.write_text("0123456789abcdefABCDEF" + "0" * 42)
    router.start()
    assert not set(salts(router).values()) & set(before.values())


def test_a_restart_goes_by_the_file(restarted):
    router = restarted({"auth": {"auth_mock_key_file": "mock_key"}})
    before = salts(router)
    router.restart()
    assert salts(router) == before


@pytest.mark.parametrize("wrong, told", [
    (lambda file: file.write_text("0" * 63), "is no key: not 64 hexadecimal digits"),
    (lambda file: file.write_text("0" * 63 + "g"), "is no key: not 64 hexadecimal digits"),
    (lambda file: file.write_text("0" * 128), "is no key: not 64 hexadecimal digits"),
    (lambda file: file.write_text(""), "is no key: not 64 hexadecimal digits"),
    (lambda file: (file.write_text("0" * 64), file.chmod(0o646)), "everybody may change it"),
    (lambda file: file.parent.rmdir(), "cannot be made: No such file or directory"),
    (lambda file: file.mkdir(), "cannot read: Is a directory"),
])
def test_a_file_that_is_none(make_router, wrong, told):
    """Asked for by name, it must be; systemd's directory may fail, and is warned of."""
    router = make_router({"auth": {"auth_mock_key_file": "state/mock_key"}}, start=False)
    file = router.directory / "state" / "mock_key"
    file.parent.mkdir()
    wrong(file)
    done = subprocess.run([router.program(), "--config", str(router.config_file)],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and f"state/mock_key: {told}" in done.stderr, done.stderr


def test_a_state_directory_that_fails_is_told(make_router, monkeypatch):
    router = make_router(start=False)
    monkeypatch.setenv("STATE_DIRECTORY", str(router.directory / "missing"))
    router.start()
    assert "mock-key file=" in router.log() and "missing/mock_key" in router.log()
    assert asked(router, "nobody") == asked(router, "nobody")


def test_iterations_are_those_of_others(make_router):
    """Of most secrets; a number that is set goes before that, and a reload changes it."""
    router = make_router(start=False)

    def write(*iterations):
        router.write_userlist([f'"{name}" "{password}"' for name, password in
                               ((PLAIN, USERS[PLAIN][0]), ADMIN)] +
                              [f'"u{i}" "{scram_secret("x", n)}"' for i, n in enumerate(iterations)])
    write(10000, 4096, 10000)
    router.start()
    for user in ("nobody", "somebody", PLAIN, "u0"):
        assert asked(router, user)[1] == 10000
    assert asked(router, "u1")[1] == 4096
    logs_in(router)
    first = asked(router, PLAIN)
    router.reload({"auth": {"scram_iterations": 5000}})
    assert asked(router, "nobody")[1] == 5000
    # Also what was derived with another number already.
    assert asked(router, PLAIN) == (first[0], 5000)
    logs_in(router)
    write(4096, 4096)
    router.reload({"auth": {"scram_iterations": 0}})
    assert {asked(router, user)[1] for user in ("nobody", PLAIN)} == {4096}
    logs_in(router)


def test_iterations_are_those_that_auth_query_tells(make_router, postgres):
    """... first; PostgreSQL 16 makes secrets with other numbers than 4096, too."""
    postgres.sql("CREATE ROLE m_own LOGIN SUPERUSER PASSWORD 'own secret'",
                 f"CREATE ROLE m_first LOGIN PASSWORD '{scram_secret('one', 8192)}'",
                 f"CREATE ROLE m_second LOGIN PASSWORD '{scram_secret('two', 4096)}'")
    try:
        router = make_router({"auth": {"auth_query": "default", "auth_query_negative_ttl": "0"},
                              "hosts": {"main": {"user": "m_own", "password": "own secret"}}},
                             start=False)
        router.write_userlist([f'"{ADMIN[0]}" "{ADMIN[1]}"'])
        router.start()
        for user, password in (("m_first", "one"), ("m_second", "two")):
            with psycopg.connect(host="127.0.0.1", port=router.session.port, user=user,
                                 password=password, dbname=DATABASE, connect_timeout=20):
                pass
            assert asked(router, "nobody")[1] == 8192
        router.reload({"auth": {"scram_iterations": 4096}})
        assert asked(router, "nobody")[1] == 4096
    finally:
        postgres.terminate()
        postgres.sql("DROP ROLE m_own", "DROP ROLE m_first", "DROP ROLE m_second")

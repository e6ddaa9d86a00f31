# SPDX-License-Identifier: ISC
"""The classes of CVEs of the field that a peer can bring about: hostile clients before
the login, hostile servers during it.  docs/security.md has the table."""
import base64
import contextlib
import hashlib
import hmac
import itertools
import os
import queue
import struct
import threading

import psycopg
import pytest
from support import wire as w
from support.certs import Authority, any_certificate
from support.fakeserver import FakeServer, welcome
from support.postgres import DATABASE, USERS
from support.wait import SLOWDOWN, wait_until

pytestmark = pytest.mark.router_only


def works(router):
    with router.session.connect() as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


LONG = "x" * 9000
FIRST = {
    "CVE-2012-4575 a long database": w.startup("app_scram", LONG),
    "a long user": w.startup(LONG, DATABASE),
    "a long parameter": w.startup("app_scram", DATABASE, application_name=LONG),
    "a packet over the limit": w.startup("app_scram", "x" * 20000),
    "CVE-2015-4054 a password first": w.message("p", b"secret\0"),
    "a query first": w.query("SELECT 1"),
    "CVE-2026-6664 a length below its own": struct.pack("!ii", 3, w.PROTOCOL_3_0),
    "a length of 2^31": struct.pack("!Ii", 0x80000000, w.PROTOCOL_3_0),
    "a length of 2^32-1": struct.pack("!Ii", 0xffffffff, w.PROTOCOL_3_0),
    "no end of the parameters": struct.pack("!ii", 13, w.PROTOCOL_3_0) + b"user\0",
    "a name without value": struct.pack("!ii", 14, w.PROTOCOL_3_0) + b"user\0\0",
    "two requests for TLS": w.SSL_REQUEST * 2,
    "a cancel of nobody": w.cancel_request(0xffffffff - (1 << 32), b"\xff" * 4),
    "a cancel with a key of 0": struct.pack("!iiI", 12, 80877102, 1),
}


@pytest.mark.parametrize("data", FIRST.values(), ids=FIRST)
def test_the_first_bytes(router, data):
    """Whatever comes first: an error or a closed connection, and nobody else notices.
    Cut at any place it is waited for, or refused."""
    with router.session.raw() as wire:
        wire.send(data)
        wire.socket.shutdown(1)
        if data.startswith(w.SSL_REQUEST):
            assert wire.read(1) == b"N"
        assert {m.type for m in wire.until_closed()} <= {"E", "R"}
    for cut in range(0, min(len(data), 40)):
        with router.session.raw() as wire:
            wire.send(data[:cut])
    assert works(router)


ANSWERS = {
    "a wrong type": w.query("SELECT 1"),
    "too long": b"p" + struct.pack("!i", 40000),
    "a negative length": b"p" + struct.pack("!i", -1),
    "a length below its own": b"p" + struct.pack("!i", 3),
    "empty": w.message("p"),
    "no mechanism": w.message("p", b"\0\0\0\0"),
    "an unknown mechanism": w.message("p", b"PLAIN\0" + struct.pack("!i", 0)),
    "CVE-2026-6664 a length that wraps": w.message("p", b"SCRAM-SHA-256\0" + struct.pack("!I", 0xfffffff0)),
    "a longer length": w.message("p", b"SCRAM-SHA-256\0" + struct.pack("!i", 1000) + b"n,,"),
    "another's name": w.message("p", b"SCRAM-SHA-256\0" + struct.pack("!i", 23) + b"n,a=postgres,n=,r=abcde"),
    "a nonce without end": w.message("p", b"SCRAM-SHA-256\0" + struct.pack("!i", 30010)
                                     + b"n,,n=,r=" + b"a" * 30002),
    "not ASCII": w.message("p", b"SCRAM-SHA-256\0" + struct.pack("!i", 10) + b"n,,n=,r=\xff\xfe"),
}


@pytest.mark.parametrize("user", ["app_scram", "nobody"])
@pytest.mark.parametrize("data", ANSWERS.values(), ids=ANSWERS)
def test_answers_to_the_challenge(router, data, user):
    """Malformed ones get an error, the same for users that there are and that there are
    not."""
    with router.session.raw() as wire:
        wire.send(w.startup(user, DATABASE))
        assert wire.receive().type == "R"
        wire.send(data)
        wire.socket.shutdown(1)
        got = wire.until_closed()
        assert [m.type for m in got] == ["E"]
        assert got[0].sqlstate in ("08P01", "28P01", "0A000"), got[0].fields
    assert works(router)


def sasl_first(connection):
    """The server's part of SCRAM up to the client's nonce."""
    connection.read_startup()
    connection.send(w.message("R", struct.pack("!i", 10) + b"SCRAM-SHA-256\0\0"))
    body = connection.receive().body
    return body.split(b"r=", 1)[1].decode()


def sasl(code, text):
    return w.message("R", struct.pack("!i", code) + text.encode())


SALT = base64.b64encode(b"0123456789abcdef").decode()
SERVERS = {
    "CVE-2026-6665 a long nonce": lambda n: sasl(11, f"r={n}{'x' * 50000},s={SALT},i=4096"),
    "a message over the limit": lambda n: b"R" + struct.pack("!i", 1 << 30),
    "another nonce": lambda n: sasl(11, f"r=another,s={SALT},i=4096"),
    "no salt": lambda n: sasl(11, f"r={n}x,i=4096"),
    "an empty salt": lambda n: sasl(11, f"r={n}x,s=,i=4096"),
    "a long salt": lambda n: sasl(11, f"r={n}x,s={base64.b64encode(b'x' * 3000).decode()},i=4096"),
    "endless iterations": lambda n: sasl(11, f"r={n}x,s={SALT},i=2000000000"),
    "no iterations": lambda n: sasl(11, f"r={n}x,s={SALT},i=0"),
    "AuthenticationOk at once": lambda n: w.message("R", struct.pack("!i", 0)) + w.message("Z", b"I"),
    "a final message at once": lambda n: sasl(12, "v=AAAA"),
    "CVE-2026-6666 no fields": lambda n: w.message("E", b"\0"),
    "not even a terminator": lambda n: w.message("E", b""),
    "a field without end": lambda n: w.message("E", b"SFATAL"),
    "a welcome in between": lambda n: w.message("S", b"a\0b\0") + w.message("Z", b"I"),
    "an unknown request": lambda n: w.message("R", struct.pack("!i", 99)),
    "half a request": lambda n: w.message("R", b"\0\0"),
    "a row": lambda n: w.message("D", b"\0\1\0\0\0\1x"),
}


@pytest.mark.parametrize("reply", SERVERS.values(), ids=SERVERS)
def test_a_server_in_the_middle_of_scram(make_router, reply):
    """The server is not trusted: what does not belong there ends the connection to it, and
    the client hears of it."""
    fake = FakeServer(raw=True)

    def serve():
        while True:
            try:
                connection = fake.take()
                connection.send(reply(sasl_first(connection)))
            except (OSError, EOFError, IndexError):
                continue
            except Exception:  # pylint: disable=broad-except
                return
    threading.Thread(target=serve, daemon=True).start()
    try:
        router = make_router({"hosts": {"main": {"port": fake.port}},
                              "defaults": {"query_wait_timeout": "3s"}})
        with pytest.raises(psycopg.OperationalError) as refused:
            router.session.connect(password=USERS["app_scram"][0])
        assert "FATAL" in str(refused.value)
        wait_until(lambda: "server-login-failed" in router.log(), 10, "a word in the log")
        assert router.show("workloads")
    finally:
        fake.close()


def test_a_wrong_signature_of_the_server(make_router):
    """A server that does not know the secret is found out before anything is sent to it."""
    fake = FakeServer(raw=True)
    seen = []

    def serve():
        try:
            while True:
                connection = fake.take()
                nonce = sasl_first(connection)
                connection.send(sasl(11, f"r={nonce}x,s={SALT},i=4096"))
                connection.receive()
                connection.send(sasl(12, "v=" + base64.b64encode(b"x" * 32).decode())
                                + w.message("R", struct.pack("!i", 0)) + w.message("Z", b"I"))
                seen.append([m.type for m in connection.until_closed()])
        except Exception:  # pylint: disable=broad-except
            return
    threading.Thread(target=serve, daemon=True).start()
    try:
        router = make_router({"hosts": {"main": {"port": fake.port}},
                              "defaults": {"query_wait_timeout": "3s"}})
        with pytest.raises(psycopg.OperationalError):
            router.session.connect()
        wait_until(lambda: seen, 10, "the end of a login")
        assert all("Q" not in types and "P" not in types for types in seen)
    finally:
        fake.close()


# --------------------------------------------------------- SASL at every byte

def every_change(data):
    """data with each byte changed, left out, or doubled, and cut behind each."""
    for at in range(len(data)):
        before, byte, after = data[:at], data[at], data[at + 1:]
        yield before + bytes([byte ^ 0x80]) + after
        yield before + b"\0" + after
        yield before + b"," + after
        yield before + after
        yield before + bytes([byte, byte]) + after
        yield before


@pytest.fixture(params=["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"])
def scram(request, make_router, tmp_path):
    """A router, and how a client begins with that mechanism."""
    tls = {}
    if request.param.endswith("PLUS"):
        ca = Authority(tmp_path / "ca")
        ca.issue("server", "localhost", "DNS:localhost")
        tls = {"client_tls_sslmode": "require", "client_tls_cert_file": ca.path("server.crt"),
               "client_tls_key_file": ca.path("server.key")}
    router = make_router({"process": {"max_client_conn": 1000}, "tls": tls})
    context = any_certificate()

    @contextlib.contextmanager
    def begin():
        with router.session.raw() as wire:
            if tls:
                wire.start_tls(context)
                seen = wire.socket.getpeercert(binary_form=True)
                wire.binding = hashlib.sha256(seen).digest()
            wire.send(w.startup("app_scram", DATABASE))
            request_of_router = wire.receive()
            assert request_of_router.type == "R"
            yield wire, request_of_router
    begin.router, begin.mechanism = router, request.param
    return begin


def test_sasl_of_a_client_at_every_byte(scram):
    """Nothing but the right answer gets in, and no answer does anything but end the login:
    the first one, and the second."""
    with scram() as (wire, _):
        first = wire.gs2() + b"n=,r=0123456789abcdef01234567"
    good = w.cstr(scram.mechanism) + struct.pack("!i", len(first)) + first
    bad = set(every_change(good)) - {good}
    for data in sorted(bad):
        with scram() as (wire, _):
            wire.send(w.message("p", data))
            got = wire.receive()
            assert got.type == "E" or got.body[:4] == struct.pack("!i", 11), (data, got)
    # The nonce is another one each time, its length is not.
    for number in itertools.count():
        with scram() as (wire, asked):
            wire.answer(asked, "app_scram", USERS["app_scram"][0])
            challenge = wire.receive().body[4:].decode()
            final = wire.scram_final(challenge, USERS["app_scram"][0])
            changes = list(every_change(final))
            if number == len(changes):
                break
            if changes[number] == final:
                continue
            wire.send(w.message("p", changes[number]))
            got = wire.until_closed()
            assert [m.type for m in got] == ["E"], (changes[number], got)
    assert number > 500
    with scram() as (wire, asked):
        wire.answer(asked, "app_scram", USERS["app_scram"][0])
        wire.authenticate("app_scram", USERS["app_scram"][0])
        assert wire.value("SELECT current_user") == "app_scram"


def server_final(client_nonce, challenge, answer):
    """What a server that knows the password says in the end."""
    salted = hashlib.pbkdf2_hmac("sha256", USERS["app_scram"][0].encode(), base64.b64decode(SALT), 4096)
    key = hmac.digest(salted, b"Server Key", "sha256")
    signed = f"n=,r={client_nonce},{challenge},".encode() + answer.rpartition(b",p=")[0]
    return b"v=" + base64.b64encode(hmac.digest(key, signed, "sha256"))


def log_in_with(connection, part, counts):
    """A login to a server that knows the password, but for one change of that part of what it
    says, whose number is the database's; what came of it.  counts: how many there are."""
    nonce = sasl_first(connection)
    number = connection.startup["database"].removeprefix("d")

    def changed(which, data):
        if which != part or not number.isdigit():
            return data
        changes = list(every_change(data))
        counts.append(len(changes))
        # Some are none: a comma in a comma's place.
        return changes[int(number)] if changes[int(number)] != data else data + b"="

    challenge = changed("first", f"r={nonce}abc,s={SALT},i=4096".encode())
    connection.send(w.message("R", struct.pack("!i", 11) + challenge))
    answer = connection.receive()
    if answer.type == "p":
        final = changed("final", server_final(nonce, challenge.decode("latin-1"), answer.body))
        # Whatever it made of a first one that was changed, it is no proof.
        if part == "first" and number.isdigit():
            final = b"v=" + base64.b64encode(b"y" * 32)
        connection.send(w.message("R", struct.pack("!i", 12) + final) + welcome())
    if number.isdigit():
        return [m.type for m in connection.until_closed()]
    connection.serve()
    return []


@pytest.mark.parametrize("part", ["first", "final"])
def test_sasl_of_a_server_at_every_byte(make_router, part):
    """The same of what PostgreSQL sends: each database is a login of its own."""
    fake = FakeServer(raw=True)
    done, counts = [], []

    def serve():
        while True:
            try:
                connection = fake.take()
            except queue.Empty:
                return
            try:
                done.append(log_in_with(connection, part, counts))
            except (OSError, EOFError):
                done.append([])
            except Exception as problem:  # pylint: disable=broad-except
                done.append([repr(problem)])
            # Until then it has its part of the budget.
            connection.socket.close()
    threads = [threading.Thread(target=serve, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        router = make_router({"hosts": {"main": {"port": fake.port}},
                              "auth": {"auth_type": "trust"}, "workloads": {"session": None}})
        number = 0
        while number < (counts[0] if counts else 1):
            with router.transactional.raw() as wire:
                wire.send(w.startup("app_scram", f"d{number}"))
                got = wire.until_closed()
                assert [m.type for m in got if m.type in "EZ"] == ["E"], (number, got)
                assert got[-1].sqlstate == "28000", (number, got[-1].fields)
            number += 1
        assert number > 250
        with router.transactional.raw() as wire:
            wire.send(w.startup("app_scram", "good"))
            assert wire.until_ready()[-1].type == "Z"
        wait_until(lambda: len(done) >= number, 10, "the ends of the logins")
        assert not any(set(types) - {"X"} for types in done), done
        assert router.show("workloads")
    finally:
        fake.close()


# ------------------------------------------------------- servers without end

def more(kind):
    """Messages that never end, none of which is the one that is waited for."""
    number = 0
    while True:
        number += 1
        yield {"notices": w.message("N", b"SNOTICE\0C00000\0Mhello " + b"x" * 8000 + b"\0\0"),
               "settings": w.message("S", w.cstr(f"name{number}") + w.cstr("x" * 8000)),
               "the same setting": w.message("S", w.cstr("TimeZone") + w.cstr("x" * 8000)),
               "protocols": w.message("v", struct.pack("!ii", 196608, 0)),
               "oks": w.message("R", struct.pack("!i", 0)),
               "challenges": w.message("R", struct.pack("!i", 10) + b"SCRAM-SHA-256\0\0"),
               "keys": w.message("K", struct.pack("!ii", number, 1))}[kind]


@pytest.mark.parametrize("kind", ["notices", "settings", "the same setting", "protocols", "oks",
                                  "challenges", "keys"])
@pytest.mark.parametrize("when", ["before", "behind the proof"])
def test_a_login_without_end(make_router, monkeypatch, kind, when):
    """It costs a bounded time and bounded memory, and who waits is told."""
    # Sanitizers would keep more of what was freed than a router may take.
    monkeypatch.setenv("ASAN_OPTIONS", ":".join(filter(None, [
        os.environ.get("ASAN_OPTIONS"), "quarantine_size_mb=4"])))
    fake = FakeServer(raw=True)

    def serve():
        while True:
            try:
                connection = fake.take()
                connection.read_startup()
                if when != "before":
                    connection.send(w.message("R", struct.pack("!i", 0)))
                for data in more(kind):
                    connection.send(data)
            except (OSError, EOFError):
                continue
            except Exception:  # pylint: disable=broad-except
                return
    threading.Thread(target=serve, daemon=True).start()
    try:
        router = make_router({"hosts": {"main": {"port": fake.port, "server_connect_timeout": "1s"}},
                              "auth": {"auth_type": "trust"},
                              "defaults": {"query_wait_timeout": "3s"}})
        before = router.memory()
        with router.session.raw() as wire:
            wire.send(w.startup("app_scram", DATABASE))
            got = wire.until_closed()
        assert [m.type for m in got if m.type in "EZ"] == ["E"], got
        wait_until(lambda: "server-login-failed" in router.log(), 10, "a word in the log")
        assert router.memory() - before < 30_000_000 * SLOWDOWN
        assert router.show("workloads")
    finally:
        fake.close()


def test_a_huge_setting(make_router):
    """A ParameterStatus of a gigabyte, of which a part comes: refused by its length."""
    fake = FakeServer(raw=True)

    def serve():
        while True:
            try:
                connection = fake.take()
                connection.read_startup()
                connection.send(w.message("R", struct.pack("!i", 0)),
                                b"S" + struct.pack("!i", 1 << 30) + b"x" * 100000)
                connection.until_closed()
            except (OSError, EOFError):
                continue
            except Exception:  # pylint: disable=broad-except
                return
    threading.Thread(target=serve, daemon=True).start()
    try:
        router = make_router({"hosts": {"main": {"port": fake.port}},
                              "auth": {"auth_type": "trust"},
                              "defaults": {"query_wait_timeout": "3s"}})
        with router.session.raw() as wire:
            wire.send(w.startup("app_scram", DATABASE))
            assert [m.type for m in wire.until_closed()] == ["E"]
        wait_until(lambda: "server-login-failed" in router.log(), 10, "a word in the log")
    finally:
        fake.close()

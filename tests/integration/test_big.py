# SPDX-License-Identifier: ISC
"""A lot of data and a lot of clients: flat memory, and nobody is forgotten."""
import os
import resource
import selectors
import socket
import subprocess
import time

import psycopg
import pytest
from support import needs
from support import wire as w
from support.postgres import DATABASE
from support.wait import SLOWDOWN, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.router_only, pytest.mark.timeout(900)]

GIGABYTE = 1 << 30
FLAT = (32 << 20) * (1 if SLOWDOWN == 1 else 8)
# Under sanitizers the same with less of it.
AMOUNT = GIGABYTE if SLOWDOWN == 1 else GIGABYTE // 16


def drain(wire, until=b"Z"):
    """Reads messages without keeping them; bytes of DataRow and CopyData, last type."""
    total = 0
    view = memoryview(bytearray(1 << 20))
    while True:
        head = wire.read(5)
        size = int.from_bytes(head[1:], "big") - 4
        if head[:1] in (b"D", b"d"):
            total += size
        left = size - len(wire.buffer[:size])
        body, wire.buffer = wire.buffer[:size], wire.buffer[size:]
        while left:
            left -= wire.socket.recv_into(view, min(left, len(view)))
        if head[:1] == b"E":
            raise AssertionError(w.Message("E", body).fields)
        if head[:1] == until:
            return total


@pytest.fixture(params=["transactional", "session"])
def big_port(request, router):
    return getattr(router, request.param)


def test_one_gigabyte_of_rows(router, big_port):
    rows = AMOUNT // 100_000
    with big_port.wire() as wire:
        wire.query("SELECT 1")
        before = router.memory()
        wire.send(w.query(f"SELECT repeat('x', 100000) FROM generate_series(1, {rows})"))
        assert drain(wire) >= rows * 100_000
        assert router.memory("VmHWM") - before < FLAT
        assert wire.value("SELECT 1") == "1"


def test_one_row_of_many_megabytes(router, big_port):
    """A single message that is larger than any buffer (PostgreSQL's limit is 1 GB)."""
    size = 800_000_000 if SLOWDOWN == 1 else 50_000_000
    with big_port.wire() as wire:
        wire.query("SELECT 1")
        before = router.memory()
        wire.send(w.query(f"SELECT repeat('x', {size})"))
        assert drain(wire) >= size
        assert router.memory("VmHWM") - before < FLAT


def test_query_of_many_megabytes(router, big_port):
    """A Query text far over max_inspected_query."""
    size = 100_000_000 if SLOWDOWN == 1 else 20_000_000
    with big_port.wire() as wire:
        wire.query("SELECT 1")
        before = router.memory()
        wire.send(w.query("SELECT length('" + "x" * size + "')"))
        assert w.rows(wire.until_ready()) == [(str(size),)]
        assert router.memory("VmHWM") - before < FLAT


def test_one_gigabyte_copy_out(router, big_port):
    rows = AMOUNT // 100_000
    with big_port.wire() as wire:
        wire.query("SELECT 1")
        before = router.memory()
        wire.send(w.query(f"COPY (SELECT repeat('x', 100000) FROM generate_series(1, {rows}))"
                          " TO STDOUT"))
        assert drain(wire) >= rows * 100_000
        assert router.memory("VmHWM") - before < FLAT


def test_one_gigabyte_copy_in(router, big_port, postgres):
    """Into a table that drops each row at once, so that only the way is measured."""
    postgres.sql("DROP TABLE IF EXISTS sink", "CREATE TABLE sink (body text)",
                 "GRANT ALL ON sink TO PUBLIC",
                 "CREATE OR REPLACE FUNCTION drop_row() RETURNS trigger LANGUAGE plpgsql"
                 " AS 'BEGIN RETURN NULL; END'",
                 "CREATE TRIGGER t BEFORE INSERT ON sink EXECUTE FUNCTION drop_row()"
                 .replace("ON sink", "ON sink FOR EACH ROW"), dbname=DATABASE)
    chunk = w.copy_data(b"x" * 99_999 + b"\n")
    with big_port.wire() as wire:
        wire.query("SELECT 1")
        before = router.memory()
        wire.send(w.query("COPY sink FROM STDIN"))
        wire.until("G")
        for _ in range(AMOUNT // len(chunk)):
            wire.socket.sendall(chunk)
        wire.send(w.copy_done())
        answer = wire.until_ready()
        assert w.types(answer) == "CZ"
        assert router.memory("VmHWM") - before < FLAT


def open_clients(endpoint, count, at_once=200):
    """Logs in count clients by md5 or trust, many at a time; their sockets."""
    done, queue = [], selectors.DefaultSelector()
    started = 0

    def start():
        sock = socket.create_connection((endpoint.host, endpoint.port), 60)
        sock.sendall(w.startup("app_trust", DATABASE))
        queue.register(sock, selectors.EVENT_READ, bytearray())

    while len(done) < count:
        while started < count and started - len(done) < at_once:
            start()
            started += 1
        events = queue.select(30 * SLOWDOWN)
        assert events, f"only {len(done)} of {count} clients are in"
        for key, _ in events:
            data = key.fileobj.recv(65536)
            assert data, f"closed: {bytes(key.data)!r}"
            key.data.extend(data)
            assert key.data[:1] != b"E", bytes(key.data)
            if key.data.endswith(b"Z\0\0\0\5I"):
                queue.unregister(key.fileobj)
                done.append(key.fileobj)
    return done


def test_ten_thousand_clients(make_router, postgres):
    """10,000 clients are logged in, 100 of them work; an idle one costs little memory
    and no server."""
    count = 10_000 if SLOWDOWN == 1 else 2_000
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if limit < count + 200:
        needs.not_allowed(f"{count + 200} open files, but {limit}")
    router = make_router({"process": {"max_client_conn": count + 50},
                          "auth": {"auth_type": "trust"},
                          "log": {"log_connections": False, "log_disconnections": False},
                          "workloads": {"transactional": {"max_client_conn": count + 10}}})
    # psycopg waits with select(), which knows the first 1024 files only.
    observer = postgres.connect()
    empty = router.memory()
    clients = open_clients(router.transactional, count)
    try:
        each = (router.memory() - empty) / count
        working = clients[::count // 100]
        for turn in range(20):
            for sock in working:
                sock.sendall(w.query(f"SELECT {turn}"))
            for sock in working:
                data = b""
                while not data.endswith(b"Z\0\0\0\5I"):
                    more = sock.recv(65536)
                    assert more
                    data += more
                assert b"E" != data[:1]
        cpu, start = router.cpu_seconds(), time.monotonic()
        wait_until(lambda: time.monotonic() - start > 1, 5)
        assert router.cpu_seconds() - cpu < 0.5 * SLOWDOWN, "idle clients cost time"
        assert observer.execute("SELECT count(*) FROM pg_stat_activity"
                                " WHERE usename = 'app_trust'").fetchone()[0] <= 20
        # Loose on purpose: it shows that an idle client holds no buffer.
        assert each < 6000 * (1 if SLOWDOWN == 1 else 8), f"{each:.0f} bytes a client"
    finally:
        observer.close()
        for sock in clients:
            sock.close()
    with router.transactional.connect(user="app_trust") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def pgbench(postgres, endpoint, *arguments, expect=0):
    done = subprocess.run(
        [str(postgres.bindir / "pgbench"), "-h", endpoint.host, "-p", str(endpoint.port),
         "-U", "app_scram", *arguments, DATABASE], capture_output=True, text=True, check=False,
        env={**os.environ, "PGPASSWORD": endpoint.dsn()["password"]})
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_tpcb_with_200_clients_over_25_servers(make_router, postgres):
    """pgbench's own bank, whose books must be right in the end."""
    clients = 200 if SLOWDOWN == 1 else 50
    pgbench_init = [str(postgres.bindir / "pgbench"), "-i", "-q", "-h", str(postgres.socket_dir),
                    "-p", str(postgres.port), "-U", "postgres", DATABASE]
    subprocess.run(pgbench_init, check=True, capture_output=True)
    postgres.sql("GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC", dbname=DATABASE)
    router = make_router({"hosts": {"main": {"connection_budget": 25}}, "workloads": {
        "transactional": {"guaranteed_connections": 20, "max_connections": 25},
        "session": {"guaranteed_connections": 5}}, "defaults": {"query_wait_timeout": "120s"}})
    output = pgbench(postgres, router.transactional, "-n", "-c", str(clients), "-j", "2", "-t",
                     "20", "-M", "simple")
    assert f"number of transactions actually processed: {clients * 20}/{clients * 20}" in output
    assert "number of failed transactions: 0" in output
    assert postgres.count("usename = 'app_scram'") <= 25
    with postgres.connect() as connection:
        sums = connection.execute(
            "SELECT (SELECT sum(abalance) FROM pgbench_accounts),"
            " (SELECT sum(bbalance) FROM pgbench_branches),"
            " (SELECT sum(tbalance) FROM pgbench_tellers),"
            " (SELECT sum(delta) FROM pgbench_history)").fetchone()
    assert len(set(sums)) == 1


def test_psycopg_streams_a_large_result(big_port):
    with big_port.connect() as connection:
        cursor = connection.cursor()
        total = sum(1 for _ in cursor.stream("SELECT generate_series(1, 200000)"))
        assert total == 200000
        with cursor.copy("COPY (SELECT generate_series(1, 200000)) TO STDOUT") as copy:
            assert sum(1 for _ in copy.rows()) == 200000
        with pytest.raises(psycopg.Error):
            connection.execute("SELECT 1/0")

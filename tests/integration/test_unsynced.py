# SPDX-License-Identifier: ISC
"""What has not had its Sync is rolled back when the client goes, however it goes: PostgreSQL
commits at a Sync, and nobody else may send one for the client."""
import pytest
from support import wire as w
from support.postgres import DATABASE
from support.wait import wait_until

BYES = {
    "terminate": lambda wire: wire.send(w.terminate()),
    "close": lambda wire: None,
    "garbage": lambda wire: wire.send(b"\x01\xff\xff\xff\xff"),
}


@pytest.fixture
def table(postgres):
    postgres.sql("DROP TABLE IF EXISTS unsynced; CREATE TABLE unsynced (x int);"
                 "GRANT ALL ON unsynced TO PUBLIC", dbname=DATABASE)
    return postgres


def insert(wire, flush):
    wire.send(w.parse("INSERT INTO unsynced VALUES (1)"), w.bind(), w.execute(),
              w.flush() if flush else b"")
    while flush and wire.receive().type != "C":
        pass


def rows_at_rest(postgres):
    """When no transaction is open any more."""
    wait_until(lambda: postgres.sql(
        "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
        "AND (backend_xid IS NOT NULL OR state LIKE 'idle in transaction%' "
        "     OR state = 'active' AND backend_type = 'client backend')") == [(0,)],
        10, "no transaction is open")
    return postgres.sql("SELECT count(*) FROM unsynced", dbname=DATABASE)[0][0]


@pytest.mark.parametrize("bye", BYES)
def test_a_client_that_goes(table, port, bye):
    with port.wire() as wire:
        wire.query("SELECT 1")
        insert(wire, True)
        BYES[bye](wire)
    assert rows_at_rest(table) == 0


def test_a_commit_that_was_synced_stays(table, port):
    with port.wire() as wire:
        wire.send(w.parse("INSERT INTO unsynced VALUES (1)"), w.bind(), w.execute(), w.sync())
        wire.until_ready()
        insert(wire, True)
        wire.send(w.terminate())
    assert rows_at_rest(table) == 1


@pytest.mark.router_only
def test_a_client_that_is_killed(make_router, table):
    router = make_router({"workloads": {"transactional": {"query_timeout": "500ms"}}})
    with router.transactional.wire() as wire:
        insert(wire, True)
        wire.until_closed()
    assert rows_at_rest(table) == 0

# SPDX-License-Identifier: ISC
"""What code of a client has taken on a server of a transaction port is gone soon after the
client is, although nobody else gets that server."""
import pytest
from support import wire as w
from support.postgres import DATABASE
from support.wait import wait_until
from test_session_state import state

pytestmark = pytest.mark.router_only

TAKE = """
CREATE OR REPLACE FUNCTION take(key int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN
    PERFORM pg_advisory_lock(key);
    EXECUTE format('CREATE TEMP TABLE IF NOT EXISTS taken_%s (x int)', key);
    EXECUTE 'LISTEN taken';
    RETURN key;
END $$
"""


@pytest.fixture
def taken(postgres):
    """The keys of locks that are held, and of temporary tables that are there."""
    postgres.sql(TAKE, dbname=DATABASE)

    def look():
        locks = postgres.sql("SELECT objid::int FROM pg_locks WHERE locktype = 'advisory' "
                             "AND granted ORDER BY 1", dbname=DATABASE)
        tables = postgres.sql("SELECT substring(relname from '\\d+$')::int FROM pg_class "
                              "WHERE relpersistence = 't' AND relname LIKE 'taken%' ORDER BY 1",
                              dbname=DATABASE)
        return [row[0] for row in locks], [row[0] for row in tables]
    return look


LEAVES = {
    "says goodbye": lambda wire: wire.quit(),
    "is lost": lambda wire: wire.close(),
    "goes at once": lambda wire: (wire.send(w.query("SELECT take(77)"), w.terminate()),
                                  wire.until_closed()),
}


@pytest.mark.parametrize("prepared", [100, 0])
@pytest.mark.parametrize("how", LEAVES)
def test_gone_with_the_client(make_router, taken, how, prepared):
    router = make_router(state(None, "strict", max_prepared_statements=prepared))
    wire = router.transactional.wire()
    assert wire.value("SELECT take(77)") == "77"
    assert taken() == ([77], [77])
    LEAVES[how](wire)
    wait_until(lambda: taken() == ([], []), 20, "it is gone")
    with router.transactional.wire() as other:
        assert other.value("SELECT count(*) FROM pg_listening_channels()") == "0"


def test_others_are_left_alone(make_router, taken):
    """Who is still there keeps what it has, and what clients share is kept."""
    two = {"guaranteed_connections": 2, "max_connections": 2}
    router = make_router({"workloads": {"transactional": two, "session": None},
                          "defaults": {"session_state": "strict"}})
    with router.transactional.wire() as stays, router.transactional.wire() as leaves:
        leaves.query("BEGIN")
        pid = stays.value("SELECT pg_backend_pid()")
        stays.send(w.parse("SELECT 1", "shared"), w.sync())
        stays.until_ready()
        stays.value("SELECT take(78)")
        mine = leaves.value("SELECT pg_backend_pid()")
        assert mine != pid
        leaves.send(w.parse("SELECT 2", "shared"), w.sync())
        leaves.until_ready()
        leaves.value("SELECT take(77)")
        leaves.query("COMMIT")
        assert taken() == ([77, 78], [77, 78])
        leaves.quit()
        wait_until(lambda: taken() == ([78], [78]), 20, "it is gone")
        # Its own server first.
        assert stays.value("SELECT pg_backend_pid()") == pid
        stays.query("BEGIN")
        with router.transactional.wire() as other:
            assert other.value("SELECT pg_backend_pid()") == mine
            assert other.value("SELECT count(*) FROM pg_prepared_statements "
                               "WHERE name LIKE 'pgtandem_s%'") == "1"
        stays.query("ROLLBACK")


def test_however_many_leave_meanwhile(make_router, taken):
    """So many servers have their turn in some six seconds, and who has left is forgotten after
    four, where a thousand others have left since."""
    count = 85
    router = make_router({
        "process": {"workers": 1}, "hosts": {"main": {"connection_budget": count}},
        "workloads": {"transactional": {"guaranteed_connections": count,
                                        "max_connections": count}, "session": None},
        "defaults": {"session_state": "strict"}})
    # As select() of whoever looks at the locks knows descriptors below 1024, not all are there
    # at a time.
    others = [router.transactional.wire() for _ in range(800)]
    wires = [router.transactional.wire() for _ in range(count)]
    for wire in wires:
        wire.send(w.query("BEGIN"))
    for key, wire in enumerate(wires):
        wire.until_ready()
        assert wire.value(f"SELECT take({key})") == str(key)
    for wire in wires:
        wire.send(w.query("COMMIT"))
    for wire in wires:
        wire.until_ready()
    assert len(taken()[0]) == count
    for wire in wires + others:
        wire.quit()
    for _ in range(300):
        with router.transactional.wire() as other:
            other.quit()
    wait_until(lambda: taken() == ([], []), 20, "it is gone")

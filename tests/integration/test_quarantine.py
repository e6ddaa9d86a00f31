# SPDX-License-Identifier: ISC
"""A connection counts in the budget until PostgreSQL has closed it, however long that
takes; and an address that does not answer does not keep the next one from being tried."""
import pytest
from support import wire as w
from support.fakeserver import FakeServer
from support.wait import wait_until

pytestmark = pytest.mark.router_only

# It cannot be cancelled, and ends by itself.
STUBBORN = """
DO $$
DECLARE until timestamptz := clock_timestamp() + interval '14 seconds';
BEGIN
    WHILE clock_timestamp() < until LOOP
        BEGIN
            PERFORM pg_sleep(0.2);
        EXCEPTION WHEN query_canceled THEN NULL;
        END;
    END LOOP;
END $$"""


def test_unit_is_taken_until_postgresql_has_closed(make_router, postgres):
    router = make_router({
        "hosts": {"main": {"connection_budget": 1, "server_close_timeout": "100ms"}},
        "workloads": {"transactional": {"guaranteed_connections": 1, "max_connections": 1},
                      "session": None},
        "defaults": {"query_wait_timeout": "60s"}})
    with router.transactional.raw() as wire:
        wire.login("app_scram", router.transactional.dsn()["password"], "app")
        wire.send(w.query(STUBBORN))
        wait_until(lambda: postgres.count("query LIKE '%pg_sleep(0.2)%'") == 1, 10, "it runs")
    wait_until(lambda: router.show("hosts")[0]["quarantined"] == 1, 20, "it is told")
    assert router.show("hosts")[0]["used"] == 1
    assert postgres.count("usename = 'app_scram'") == 1
    with router.transactional.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert "server-close-timeout" in router.log()


def test_address_that_does_not_answer_is_left(make_router, postgres):
    """However long leaving it takes, there is time for the next."""
    silent = FakeServer(raw=True)
    try:
        router = make_router({"hosts": {"main": {
            "host": [f"127.0.0.1:{silent.port}", f"127.0.0.1:{postgres.port}"],
            "server_connect_timeout": "2s", "server_close_timeout": "3s"}}})
        with router.transactional.connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        silent.close()

# SPDX-License-Identifier: ISC
"""The budget under load, with PostgreSQL as the judge: never more servers than allowed,
whatever happens; and afterwards everybody is served and the books are right."""
import random

import pytest
from support.judge import Judge
from support.storm import Storm
from support.wait import wait_until

pytestmark = pytest.mark.router_only

BUDGET = 20
USERS = ("app_scram", "app_md5", "other")
# Pools that compete for the same units.
WHO = [(user, dbname) for user in USERS for dbname in ("app", "second")]
# What a client may be told when the server it uses goes away.
LOST = {"57P01", "57P02", "57P03", "08006", "08003", "08001", "58000"}


FOR_MANY = {
    "process": {"max_client_conn": 3000},
    "hosts": {"main": {"connection_budget": BUDGET}},
    "workloads": {
        "transactional": {"guaranteed_connections": 12, "max_connections": BUDGET},
        "session": {"guaranteed_connections": 5, "max_connections": 8}},
    "defaults": {"query_wait_timeout": "120s"},
    "auth": {"auth_type": "trust"},
    "log": {"log_connections": False}}


@pytest.fixture
def budget_router(make_router):
    return make_router({**FOR_MANY,
                        "log": {"log_connections": False, "log_disconnections": False}})


def in_use(router):
    return router.show("hosts")[0]["used"]


def recovered(router, postgres):
    """Both ports answer, nobody waits, and the router's books agree with PostgreSQL's."""
    for endpoint in (router.transactional, router.session):
        with endpoint.wire() as wire:
            assert wire.value("SELECT 'here'") == "here"
            wire.quit()

    def at_rest():
        pids = {row["remote_pid"] for row in router.show("servers")}
        rows = router.show("budget")
        host = router.show("hosts")[0]
        assert router.show("waiting") == []
        assert [row for row in router.show("clients") if row["user"] in USERS] == []
        assert pids == {row[0] for row in postgres.backends("usename <> 'postgres'")}
        assert (host["used"], host["idle"]) == (len(pids), len(pids))
        for name in ("used", "idle"):
            assert sum(row[name] for row in rows) == len(pids)
        for name in ("leased", "connecting", "closing", "waiting"):
            assert [row[name] for row in rows] == [0] * len(rows), name
        assert [host[name] for name in ("surplus", "quarantined", "cancel_connections")] == [0] * 3
        return True
    wait_until(at_rest, 15, "all is at rest")


def saw_it_full(judge):
    """A judge that looks away finds nothing.  One unit may have been between two servers."""
    assert min(judge.samples.values()) > 50, judge.samples
    assert max(judge.most.values()) >= BUDGET - 1, judge.most


def random_numbers(dice):
    """A budget, and a configuration that divides it; each floor is at least one, as all
    must go on."""
    budget = dice.randint(3, BUDGET)
    floors = {"transactional": dice.randint(1, budget - 1)}
    floors["session"] = dice.randint(1, budget - floors["transactional"])
    return budget, {
        "hosts": {"main": {"connection_budget": budget}},
        "workloads": {name: {"guaranteed_connections": floor,
                             "max_connections": dice.randint(floor, budget)}
                      for name, floor in floors.items()}}


@pytest.mark.parametrize("seed", [1, 2])
def test_reloads_that_shrink_and_grow(budget_router, postgres, seed):
    """U <= the larger of old and new at every moment, U <= new once it has drained, and
    both ports go on all the time, without an error for anybody."""
    router, dice = budget_router, random.Random(seed)
    with Judge(postgres, BUDGET, USERS) as judge:
        with Storm(router, seed, WHO, transactional=40, session=12) as storm:
            storm.goes_on()
            for _ in range(8):
                budget, changes = random_numbers(dice)
                print("seed", seed, changes)
                judge.allow(max(judge.allowed, budget))
                router.reload(changes)
                wait_until(lambda budget=budget: in_use(router) <= budget, 15, "drained")
                judge.allow(budget)
                storm.goes_on()
        assert storm.report["codes"] == {} and storm.report["silent"] == 0, storm.report
        recovered(router, postgres)
    assert min(judge.samples.values()) > 50, judge.samples
    assert min(judge.most.values()) > 3, judge.most


def test_everything_is_terminated_again_and_again(budget_router, postgres):
    """pg_terminate_backend of all servers: no unit is counted twice or lost, and work
    goes on each time."""
    router = budget_router
    with Judge(postgres, BUDGET, USERS) as judge:
        with Storm(router, 3, WHO, transactional=40, session=12) as storm:
            for _ in range(15):
                storm.goes_on()
                wait_until(lambda: in_use(router) == BUDGET, 10, "all is in use")
                postgres.terminate("usename <> 'postgres'")
            storm.goes_on()
        assert set(storm.report["codes"]) <= LOST, storm.report
        recovered(router, postgres)
    saw_it_full(judge)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_restarts_of_postgresql(budget_router, postgres, mode):
    """What was connected is gone with the old PostgreSQL, and counted once with the new
    one; service resumes by itself."""
    router = budget_router
    router.expect_error(".")
    with Judge(postgres, BUDGET, USERS) as judge:
        with Storm(router, 4, WHO, transactional=40, session=12) as storm:
            for _ in range(2):
                storm.goes_on()
                wait_until(lambda: in_use(router) == BUDGET, 10, "all is in use")
                postgres.stop(mode)
                postgres.start()
            storm.goes_on()
        assert set(storm.report["codes"]) <= LOST, storm.report
        recovered(router, postgres)
    saw_it_full(judge)


def test_storm_of_two_thousand_clients(budget_router, postgres):
    """All are connected before the first one asks; all are served, on both ports."""
    router = budget_router
    with Judge(postgres, BUDGET, USERS) as judge:
        report = Storm(router, 5, WHO, transactional=1600, session=400).once()
        assert report["logged_in"] == 2000
        assert report["done"] == {"transactional": 1600 * 4, "session": 400}
        assert report["codes"] == {} and report["silent"] == 0, report
        recovered(router, postgres)
    saw_it_full(judge)

# SPDX-License-Identifier: ISC
"""KILL, KILL_CLIENT, PAUSE, RECONNECT, DISABLE and the ways to stop, with hundreds of
clients at both ports, in and out of transactions, and PostgreSQL as the judge: each is told
what PostgreSQL would tell, no unit of the budget is lost, and all is served again."""
import random

import pytest
from support.judge import Judge
from support.net import listening_ports
from support.storm import Storm
from support.wait import SLOWDOWN, wait_until
from test_budget_load import BUDGET, FOR_MANY, USERS, WHO, in_use, recovered
from test_commands import Console, database_row

pytestmark = [pytest.mark.router_only, pytest.mark.timeout(100 * SLOWDOWN)]

CROWD = {"transactional": 240, "session": 60}
OURS = "usename <> 'postgres'"
CANCELS = 20                # max_cancel_connections


@pytest.fixture
def crowded(make_router):
    return make_router(FOR_MANY)


def busy(router):
    wait_until(lambda: in_use(router) >= BUDGET - 2, 20, "all is in use")


def told(storm, *codes):
    """What the clients heard, and nothing else."""
    assert set(storm.report["codes"]) <= set(codes), storm.report
    return sum(storm.report["codes"].values())


def nobody_is_hurt(storm):
    assert (storm.report["codes"], storm.report["silent"]) == ({}, 0), storm.report


@pytest.mark.parametrize("command", ["KILL", "KILL app"])
def test_kill(crowded, postgres, command):
    """All go at once, transactions and queries included; the budget is back at zero, and
    after RESUME everybody comes again."""
    with Judge(postgres, BUDGET, USERS, CANCELS) as judge:
        with Storm(crowded, 11, WHO, **CROWD) as storm:
            for _ in range(4):
                storm.goes_on(50)
                busy(crowded)
                with Console(crowded) as console:
                    assert console.run(command) == ["KILL"]
                    # Those that come again wait, those of the other database go on.
                    where = OURS if command == "KILL" else f"{OURS} AND datname = 'app'"
                    wait_until(lambda w=where: postgres.count(w) == 0, 20, "no server is left")
                    if command == "KILL":
                        wait_until(lambda: in_use(crowded) == 0, 10, "nothing is in use")
                    assert database_row(crowded)["paused"] == 1
                    console.run(command.replace("KILL", "RESUME"))
            storm.goes_on(50)
        # Who is thrown out hears why, at either port.
        assert told(storm, "57P01") > 100
        assert storm.report["cut"] == 0, storm.report
        recovered(crowded, postgres)
    assert max(judge.most.values()) >= BUDGET - 2
    killed = crowded.log().count("reason=killed")
    assert killed >= told(storm, "57P01")


def test_kill_client(crowded, postgres):
    """One after the other, whoever it is: nobody else hears of it."""
    dice, killed = random.Random(12), 0
    with Judge(postgres, BUDGET, USERS, CANCELS):
        with Storm(crowded, 12, WHO, **CROWD) as storm:
            storm.goes_on(50)
            with Console(crowded) as console:
                for _ in range(20):
                    ids = [row["id"] for row in crowded.show("clients") if row["user"] in USERS]
                    for number in dice.sample(ids, min(10, len(ids))):
                        answer = console.wire.query(f"KILL_CLIENT {number}")
                        # Those of the session port have left by themselves now and then.
                        killed += not [m for m in answer if m.type == "E"]
            storm.goes_on(50)
        assert killed > 50
        assert told(storm, "57P01") <= killed
        assert storm.report["cut"] == 0, storm.report
        recovered(crowded, postgres)
    assert crowded.log().count("reason=killed") == killed


def reported(storm):
    """Two reports later."""
    for _ in range(2):
        last = storm.last
        wait_until(lambda seen=last: storm.last is not seen, 10, "the clients' next report")


def test_pause(crowded, postgres):
    """Nobody is thrown out: PostgreSQL is rid of us, and nobody hears of an error."""
    with Judge(postgres, BUDGET, USERS):
        with Storm(crowded, 13, WHO, **CROWD) as storm:
            for _ in range(4):
                storm.goes_on(50)
                busy(crowded)
                with Console(crowded) as console:
                    assert console.run("PAUSE") == ["PAUSE"]
                    assert postgres.count(OURS) == 0 and in_use(crowded) == 0
                    wait_until(lambda: len(crowded.show("waiting")) > 200, 20, "all wait")
                    assert {r["reason"] for r in crowded.show("waiting")} == {"paused"}
                    # The clients have read what was answered before, and said so.
                    reported(storm)
                    before = dict(storm.last["done"])
                    reported(storm)
                    assert storm.last["done"] == before
                    console.run("RESUME")
            storm.goes_on(50)
        nobody_is_hurt(storm)
        recovered(crowded, postgres)


def test_reconnect_and_wait_close(crowded, postgres):
    """Each server is another one when WAIT_CLOSE answers; nobody hears of an error."""
    with Judge(postgres, BUDGET, USERS):
        with Storm(crowded, 14, WHO, **CROWD) as storm:
            for _ in range(6):
                storm.goes_on(50)
                busy(crowded)
                before = {row[0] for row in postgres.backends(OURS)}
                with Console(crowded) as console:
                    assert console.run("RECONNECT") == ["RECONNECT"]
                    assert console.run("WAIT_CLOSE") == ["WAIT_CLOSE"]
                # What PostgreSQL does not close within a second is not waited for.
                assert {row["state"] for row in crowded.show("servers")
                        if row["remote_pid"] in before} <= {"closing"}
                wait_until(lambda b=before: not b & {row[0] for row in postgres.backends(OURS)}, 10,
                           "all are closed")
            storm.goes_on(50)
        nobody_is_hurt(storm)
        recovered(crowded, postgres)


def test_disable(crowded, postgres):
    """Newcomers are told; those who are in go on."""
    with Storm(crowded, 15, WHO, **CROWD) as storm:
        for _ in range(3):
            storm.goes_on(50)
            with Console(crowded) as console:
                console.run("DISABLE app")
                # Of the other database.
                storm.goes_on(50)
                console.run("ENABLE app")
        storm.goes_on(50)
    assert told(storm, "55000") > 0
    assert storm.report["silent"] == 0, storm.report
    recovered(crowded, postgres)


@pytest.mark.parametrize("how", ["SHUTDOWN", "SHUTDOWN WAIT_FOR_SERVERS",
                                 "SHUTDOWN WAIT_FOR_CLIENTS"])
def test_shutdown(crowded, postgres, how):
    """Nobody who is in a transaction is cut off where servers or clients are waited for;
    PostgreSQL is left with nothing."""
    with Storm(crowded, 16, WHO, **CROWD) as storm:
        storm.goes_on(50)
        busy(crowded)
        with Console(crowded) as console:
            console.begin(how)
            wait_until(lambda: not set(crowded.ports.values()) & set(listening_ports()), 20,
                       "nobody is let in")
        assert crowded.wait_exit(30) == 0
        wait_until(lambda: postgres.count(OURS) == 0, 20, "no server is left")
    if how == "SHUTDOWN WAIT_FOR_CLIENTS":
        # Clients leave by themselves: none is told anything.
        assert (storm.report["inside"], storm.report["cut"]) == ({}, 0), storm.report
        assert told(storm, "57P01") < sum(CROWD.values())
    else:
        told(storm, "57P01")

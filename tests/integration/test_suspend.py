# SPDX-License-Identifier: ISC
"""SUSPEND: what was received goes out, then nothing is read or written until RESUME."""
import threading

import pytest
from support import wire as w
from support.net import established
from support.wait import wait_until
from test_commands import APP, Console, Load

pytestmark = pytest.mark.router_only


def states(router):
    return {row["key"]: row["value"] for row in router.show("state")}


def test_suspend_holds_everything_and_resume_goes_on(router):
    """Both ports under load, also with logins all the time: nothing moves, nothing fails."""
    with Load(router.transactional) as first, Load(router.session) as second, \
            Load(router.transactional, 3, persistent=False) as third, Console(router) as console:
        for _ in range(3):
            for load in (first, second, third):
                load.has_moved()
            assert console.run("SUSPEND") == ["SUSPEND"]
            assert states(router) == {"active": "no", "paused": "no", "suspended": "yes"}
            # Each has what was under way; from then on nothing.
            before = [list(load.done) for load in (first, second, third)]
            console.wire.is_quiet(0.5)
            after = [list(load.done) for load in (first, second, third)]
            for old, new in zip(before, after):
                assert all(b - a <= 1 for a, b in zip(old, new)), (before, after)
            assert console.run("RESUME") == ["RESUME"]
            assert states(router)["active"] == "yes"
        for load in (first, second, third):
            load.has_moved()
    assert not first.errors + second.errors + third.errors


def test_a_transaction_stays_as_it_is(router, postgres):
    """What a client sends is not read, and what PostgreSQL answers is not passed on."""
    with router.transactional.wire() as wire, Console(router) as console:
        wire.query("BEGIN")
        wire.send(w.query("SELECT pg_sleep(0.5), 'asked before'"))
        wait_until(lambda: postgres.count(f"{APP} AND query LIKE '%asked before%'"
                                          " AND state = 'active'") == 1)
        console.run("SUSPEND")
        wait_until(lambda: postgres.count(f"{APP} AND state = 'idle in transaction'") == 1)
        assert wire.is_quiet()
        console.run("RESUME")
        assert [row[1] for row in w.rows(wire.until_ready())] == ["asked before"]
        console.run("SUSPEND")
        wire.send(w.query("SELECT 'asked meanwhile'"))
        assert wire.is_quiet()
        assert postgres.count("query LIKE '%asked meanwhile%' AND pid <> pg_backend_pid()") == 0
        console.run("RESUME")
        assert w.rows(wire.until_ready()) == [("asked meanwhile",)]
        assert wire.query("COMMIT")[-1].body == b"I"


def test_time_limits_do_not_run(make_router, postgres):
    router = make_router({"workloads": {"transactional": {
        "idle_transaction_timeout": "1s", "transaction_timeout": "1500ms"}}})
    with router.transactional.wire() as wire, Console(router) as console:
        wire.query("BEGIN")
        console.run("SUSPEND")
        with postgres.connect() as clock:
            since = clock.execute("SELECT clock_timestamp()").fetchone()[0]
            wait_until(lambda: clock.execute("SELECT clock_timestamp() - %s > '2 s'",
                                             [since]).fetchone()[0], 10, "longer than the limits")
        console.run("RESUME")
        assert wire.query("COMMIT")[-1].body == b"I"
        # They run again.
        wire.query("BEGIN")
        assert [m.sqlstate for m in wire.until_closed() if m.type == "E"] == ["25P03"]


def test_who_comes_waits_and_the_console_does_not(router):
    with Console(router) as console:
        console.run("SUSPEND")
        done = []

        def log_in():
            with router.session.connect() as connection:
                done.append(connection.execute("SELECT 'in'").fetchone()[0])
        thread = threading.Thread(target=log_in)
        thread.start()
        port = router.ports["session"]
        wait_until(lambda: len(established(port)) == 2, 5, "somebody is at the door")
        assert console.wire.is_quiet()
        assert not done
        # From a connection of its own, as pgtandemctl does.
        assert router.command("RESUME") == "RESUME"
        thread.join(20)
        assert done == ["in"]


def test_suspend_errors_and_cancel(router):
    with Console(router) as console:
        console.run("SUSPEND")
        assert console.fails("SUSPEND") == ("55000", "already suspended/paused")
        assert console.fails("PAUSE") == ("55000", "already suspended/paused")
        console.run("RESUME")
        assert console.fails("RESUME") == ("55000", "pooler is not paused/suspended")
        console.run("PAUSE")
        assert console.fails("SUSPEND") == ("55000", "already suspended/paused")
        console.run("RESUME")
    with Console(router, "stats") as stats:
        assert stats.fails("SUSPEND")[0] == "42501"


def slow_reader(router):
    """A client that asks for much and takes nothing of it; it is stuck."""
    wire = router.transactional.wire()
    wire.send(w.query("SELECT repeat('x', 1000000) FROM generate_series(1, 200)"))
    port, seen = router.ports["transactional"], [[0]]

    def is_stuck():
        seen.append(sorted(established(port)))
        return seen[-1] == seen[-2] and seen[-1][-1] > 0
    wait_until(is_stuck, 10, "it is stuck", interval=0.1)
    return wire


def test_suspend_timeout_ends_who_does_not_take_it(make_router):
    router = make_router({"process": {"suspend_timeout": "300ms"}})
    with Console(router) as console, router.transactional.wire() as other:
        other.query("BEGIN")
        wire = slow_reader(router)
        wait_until(lambda: router.pool().get("sv_active") == 2)
        wire.receive()
        assert console.run("SUSPEND") == ["SUSPEND"]
        assert "suspend-timeout" in router.log()
        console.run("RESUME")
        wire.close()
        assert other.query("COMMIT")[-1].body == b"I"


def test_suspend_can_be_taken_back(make_router):
    """A cancel request while it waits for a slow reader."""
    router = make_router({"process": {"suspend_timeout": "0"}})
    wire = slow_reader(router)
    wait_until(lambda: router.pool().get("sv_active") == 1)
    wire.receive()
    with router.admin() as connection:
        thread = threading.Thread(target=lambda: wait_until(
            lambda: states(router)["suspended"] == "yes") and not connection.cancel())
        thread.start()
        with pytest.raises(Exception, match="canceling statement due to user request"):
            connection.execute("SUSPEND")
        thread.join(20)
    assert states(router)["suspended"] == "no"
    wire.close()


def test_a_shutdown_that_waits_ends_it(router):
    with router.session.wire() as wire, Console(router) as console:
        wire.query("BEGIN")
        console.run("SUSPEND")
        wire.send(w.query("COMMIT"))
        assert console.run("SHUTDOWN WAIT_FOR_SERVERS") == ["SHUTDOWN"]
        assert wire.until_ready()[-1].body == b"I"
    assert router.wait_exit() == 0


def test_suspended_again_at_once(make_router):
    """RESUME and SUSPEND before a worker has heard of the first: the second is answered."""
    router = make_router({"process": {"workers": 2}})
    with Console(router) as console:
        for _ in range(5):
            assert console.run("SUSPEND") == ["SUSPEND"]
            console.wire.send(w.query("RESUME") + w.query("SUSPEND"))
            assert console.end() == ["RESUME"]
            assert console.end() == ["SUSPEND"]
            assert states(router)["suspended"] == "yes"
            assert console.run("RESUME") == ["RESUME"]

# SPDX-License-Identifier: ISC
"""SIGUSR1 and SIGUSR2, which pause and resume as PgBouncer's do."""
import signal

import pytest
from support import wire as w
from support.wait import wait_until

pytestmark = pytest.mark.router_only


def state(router):
    return {row["key"]: row["value"] for row in router.show("state")}


def logged(router, event, count=1):
    wait_until(lambda: router.log().count(f" {event} ") >= count, 10, event)


@pytest.mark.parametrize("port", ["transactional", "session"])
def test_pause_and_resume(make_router, port):
    """What runs comes to its end, what comes then waits, and goes on afterwards."""
    router = make_router()
    with getattr(router, port).connect(autocommit=False) as busy:
        busy.execute("SELECT 1")
        router.signal(signal.SIGUSR1)
        logged(router, "pause")
        assert state(router)["paused"] == "yes"
        # The transaction is not disturbed.
        assert busy.execute("SELECT 2").fetchone() == (2,)
        busy.commit()
    wait_until(lambda: not [row for row in router.show("servers") if row["database"] == "app"],
               10, "no servers")
    with getattr(router, port).wire() as late:
        late.send(w.query("SELECT 3"))
        wait_until(lambda: [row for row in router.show("waiting")
                            if "paused" in str(row.values())], 10, "somebody waits")
        router.signal(signal.SIGUSR1)
        logged(router, "signal-ignored")
        router.signal(signal.SIGUSR2)
        logged(router, "resume")
        assert late.until_ready()[-1].type == "Z"
    assert state(router)["paused"] == "no"
    router.signal(signal.SIGUSR2)
    logged(router, "signal-ignored", 2)
    assert "neither paused nor suspended" in router.log() and router.is_running()


def test_the_console_goes_on_with_it(make_router):
    """Either way ends what the other one began; a suspension, too."""
    router = make_router()
    router.signal(signal.SIGUSR1)
    logged(router, "pause")
    assert router.command("RESUME") == "RESUME"
    assert router.command("PAUSE") == "PAUSE"
    router.signal(signal.SIGUSR2)
    logged(router, "resume")
    assert router.command("SUSPEND") == "SUSPEND"
    router.signal(signal.SIGUSR1)
    logged(router, "signal-ignored")
    router.signal(signal.SIGUSR2)
    logged(router, "resume", 2)
    assert state(router) == {**state(router), "active": "yes", "paused": "no", "suspended": "no"}


def test_not_while_it_ends(make_router):
    router = make_router()
    with router.session.connect() as client:
        client.execute("SELECT 1")
        router.signal(signal.SIGTERM)
        logged(router, "drain")
        router.signal(signal.SIGUSR1)
        logged(router, "signal-ignored")
        assert "it is shutting down" in router.log()
        assert client.execute("SELECT 1").fetchone() == (1,)
    assert router.wait_exit() == 0

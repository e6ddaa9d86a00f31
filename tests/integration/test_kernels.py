# SPDX-License-Identifier: ISC
"""What the router does on older kernels, made to do it on this one: docs/kernels.md."""
import os
import pathlib

import pytest
from support import needs
from support.script import Script
from support.wait import wait_until

pytestmark = pytest.mark.router_only

QUERIES = 100


def submitted(router):
    """How many requests the router's rings were given."""
    process = pathlib.Path("/proc") / str(router.process.pid)

    def tails():
        found = []
        for link in (process / "fd").iterdir():
            try:
                if "io_uring" in os.readlink(link):
                    text = (process / "fdinfo" / link.name).read_text()
                    found.append(int(text.split("SqTail:")[1].split()[0], 0))
            except FileNotFoundError:
                pass
            except IndexError:
                # The ring was in use.
                return None
        return found

    return sum(wait_until(tails, 10, "what the kernel knows of the rings"))


@pytest.mark.parametrize("receive", ["single", "multishot"])
def test_receives(make_router, monkeypatch, receive):
    """A request for each receive, as before Linux 6.10, and one for all of a client's."""
    if os.environ.get("PGTANDEM_IO_BACKEND") == "epoll":
        pytest.skip("epoll has no rings")
    if receive == "multishot" and tuple(map(int, os.uname().release.split(".")[:2])) < (6, 10):
        pytest.skip("Linux before 6.10")
    monkeypatch.setenv("PGTANDEM_IO_RECEIVE", receive)
    router = make_router({"process": {"workers": 1, "core_dumps": True}})
    if " engine=io_uring" not in router.log():
        needs.not_allowed("io_uring")
    assert (" engine=io_uring receive=single" in router.log()) == (receive == "single")
    with router.session.connect() as client:
        client.execute("SELECT 0")
        before = submitted(router)
        for number in range(QUERIES):
            assert client.execute(f"SELECT {number}").fetchone() == (number,)
        asked = submitted(router) - before
    assert (asked >= QUERIES) == (receive == "single"), f"{asked} requests for {QUERIES} queries"


def test_server_that_ends_right_behind_its_answer(make_router, monkeypatch):
    """No receive is under way by then, so that somebody has to look."""
    monkeypatch.setenv("PGTANDEM_IO_RECEIVE", "single")
    script = pathlib.Path(__file__).parents[1] / "wire/s0019-server-ends-right-behind-its-answer.pgt"
    Script(script).run(make_router)

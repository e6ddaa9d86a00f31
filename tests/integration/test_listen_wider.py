# SPDX-License-Identifier: ISC
"""A port that listens on more addresses, or on fewer: nobody who connects meanwhile is refused,
also where it comes to nothing."""
import re
import socket

import psycopg
import pytest
from support.net import free_port
from support.router import Endpoint, merge
from support.wait import wait_until
from support.web import Web
from test_commands import Load

pytestmark = pytest.mark.router_only


class Visits(Load):
    """The same of HTTP."""

    def work(self, index):
        try:
            while not self.stop.is_set():
                self.port.get("/livez")
                self.done[index] += 1
        except Exception as error:  # any at all is a finding
            self.errors.append(repr(error))


def is_open(host, port):
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def configure(router, changes):
    router.config = router.complete(merge(router.config, changes))
    router.write_config()


def change(router, how, changes):
    if how == "reload":
        router.reload(changes)
        return
    configure(router, changes)
    router.restart()
    router.old_ones_end()


def listens(*addresses, **workloads):
    """The session's on these."""
    workloads["session"] = addresses
    return {"workloads": {name: {"listen": list(on)} for name, on in workloads.items()}}


@pytest.mark.parametrize("how, wrong", [("reload", "http"), ("reload", "admin"),
                                        ("reload", "host"), ("restart", "http")])
def test_who_comes_while_it_is_refused(restarted, how, wrong):
    """The narrower listener would take connections: not before nothing can fail any more."""
    router = restarted(listens(f"*:{free_port()}"))
    router.expect_error("cannot listen on|no.such.host|start-failed|restart-failed")
    with socket.create_server(("127.0.0.1", 0)) as taken, \
            Load(router.session, 4, persistent=False) as load:
        configure(router, listens(f"127.0.0.1:{router.ports['session']}"))
        if wrong == "host":
            configure(router, {"hosts": {"none": {"host": "no.such.host.invalid",
                                                  "connection_budget": 1}}})
        else:
            configure(router, {wrong: {"listen": [f"127.0.0.1:{taken.getsockname()[1]}"]}})
        for _ in range(10 if wrong == "host" else 1):
            load.has_moved()
            if how == "reload":
                assert "reload-failed" in router.reload(expect="error")
            else:
                with pytest.raises(psycopg.Error, match="cannot listen on"):
                    router.command("RESTART")
        load.has_moved()
    assert not load.errors


@pytest.mark.parametrize("how", ["reload", "restart"])
def test_who_comes_while_it_is_widened(restarted, how):
    """The old listener stays with its queue, as one more, as long as the wider one is there."""
    web = free_port()
    router = restarted({"http": {"listen": [f"127.0.0.1:{web}"]}})
    port = router.ports["session"]
    hosts = ("*", "127.0.0.1", "0.0.0.0", "*", "127.0.0.1") * (4 if how == "reload" else 1)
    with Load(router.session, 8, persistent=False) as load, Visits(Web(web), 2) as visits:
        for host in hosts:
            load.has_moved()
            visits.has_moved()
            change(router, how, {**listens(f"{host}:{port}"),
                                 "http": {"listen": [f"{host}:{web}"]}})
            for each in (port, web):
                wait_until(lambda each=each, host=host:
                           is_open("127.0.0.2", each) == (host != "127.0.0.1"), 5, f"{host} holds")
        load.has_moved()
        visits.has_moved()
    assert not load.errors + visits.errors


@pytest.mark.parametrize("how", ["reload", "restart"])
def test_the_old_listener_goes_with_the_wide_one(restarted, how):
    """It is of the wide one's workload, goes on to the next process, and is closed when
    nothing covers it."""
    web = free_port()
    router = restarted({"http": {"listen": [f"127.0.0.1:{web}"]}})
    port, other = router.ports["session"], free_port()

    def move(host):
        change(router, how, {**listens(f"127.0.0.1:{other}", transactional=[f"{host}:{port}"]),
                             "http": {"listen": [f"{host}:{web}"]}})

    def workload(host):
        before = len(router.log())
        with Endpoint(host, port).connect():
            wait_until(lambda: "client-login" in router.log()[before:], 5, "it is logged")
        return re.search(r"client-login .*workload=(\S+)", router.log()[before:])[1]
    for _ in range(2):
        move("*")
        for host in ("127.0.0.1", "127.0.0.2"):
            wait_until(lambda host=host: workload(host) == "transactional", 5, "it is the wide one's")
            assert Web(web, host).get("/livez").text == "alive\n"
    move("127.0.0.2")
    for each in (port, web):
        wait_until(lambda each=each: not is_open("127.0.0.1", each), 5, "it is closed")
        assert is_open("127.0.0.2", each)

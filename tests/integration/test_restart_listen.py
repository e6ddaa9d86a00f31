# SPDX-License-Identifier: ISC
"""RESTART where a port listens on all addresses, or on others than before."""
import os
import pathlib
import socket
import tempfile

import pytest
from support.net import free_port
from support.router import Endpoint
from support.wait import wait_until
from support.web import Web

pytestmark = pytest.mark.router_only


def is_open(host, port):
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def test_addresses_of_a_restart(restarted):
    """"*" goes over like any other; more addresses, and fewer, come with the new process; and
    the ports of HTTP and of clients may change places."""
    ports = free_port(), free_port()

    def configure(host, wide, http):
        return {"workloads": {"wide": {"pool_mode": "session", "listen": [f"{host}:{wide}"]}},
                "http": {"listen": [f"{host}:{http}"]}}

    def serves(host, wide, http):
        for address in ("127.0.0.1",) + (("127.0.0.2",) if host != "127.0.0.1" else ()):
            with Endpoint(address, wide).connect() as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
            assert Web(http, address).get("/livez").text == "alive\n"

    now = ("*", *ports)
    router = restarted(configure(*now))
    serves(*now)
    for host, swaps in (("*", False), ("127.0.0.1", False), ("0.0.0.0", False), ("*", True)):
        now = (host, *(ports[::-1] if swaps else ports))
        router.config["workloads"]["wide"]["listen"] = configure(*now)["workloads"]["wide"]["listen"]
        router.config["http"] = configure(*now)["http"]
        router.write_config()
        router.restart()
        router.old_ones_end()
        serves(*now)
        assert is_open("127.0.0.2", ports[0]) == is_open("127.0.0.2", ports[1]) == (host != "127.0.0.1")
    # What is in the way of another is said, and nothing has changed.
    router.expect_error("restart-failed|start-failed")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        router.config["http"]["listen"].append(f"127.0.0.1:{taken.getsockname()[1]}")
        router.write_config()
        with pytest.raises(Exception, match="cannot listen on"):
            router.command("RESTART")
    wait_until(lambda: Web(now[2]).get("/livez").text == "alive\n", 5)
    serves(*now)


@pytest.mark.usefixtures("as_root")
def test_addresses_of_another_user(restarted):
    """What root has opened is process.user's to take the place of."""
    ports = free_port(), free_port()

    def configure(host):
        return {"workloads": {"wide": {"pool_mode": "session", "listen": [f"{host}:{ports[0]}"]}},
                "http": {"listen": [f"{host}:{ports[1]}"]}}
    with tempfile.TemporaryDirectory() as where:
        os.chmod(where, 0o755)
        router = restarted({"process": {"user": "nobody"}, **configure("127.0.0.1")}, pathlib.Path(where))
        router.reload(configure("*"))
        for port in ports:
            wait_until(lambda port=port: is_open("127.0.0.2", port), 10, "it is wider")
        router.config["workloads"]["wide"]["listen"] = [f"127.0.0.1:{ports[0]}"]
        router.write_config()
        router.restart()
        router.old_ones_end()
        with Endpoint("127.0.0.1", ports[0]).connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert not is_open("127.0.0.2", ports[0])
        # Its directory goes before the fixture looks at it.
        router.finish()
        router.process = None

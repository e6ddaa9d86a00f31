# SPDX-License-Identifier: ISC
"""What systemd is told, by a socket in its place."""
import os
import socket

import pytest
from support.freeze import frozen
from support.wait import wait_until

pytestmark = pytest.mark.router_only


@pytest.fixture
def systemd(tmp_path, monkeypatch):
    """Lines that came so far: call it."""
    path, lines = str(tmp_path / "notify"), []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        os.chmod(path, 0o777)
        sock.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        monkeypatch.setenv("WATCHDOG_USEC", "900000")

        def read():
            try:
                while True:
                    lines.extend(sock.recv(65536).decode().splitlines())
            except BlockingIOError:
                return lines
        yield read


def test_what_it_is_told(make_router, systemd):
    router = make_router(start=False)
    router.start()
    if "libsystemd" not in open(f"/proc/{router.process.pid}/maps", encoding="ascii").read():
        pytest.skip("built without libsystemd")
    wait_until(lambda: "READY=1" in systemd(), 10, "it is ready")
    with router.transactional.connect() as connection:
        connection.execute("SELECT 1")
        wait_until(lambda: "STATUS=serving: 1 clients, 1 of 20 server connections" in systemd(), 10,
                   "how it goes is told")
    wait_until(lambda: "WATCHDOG=1" in systemd(), 10, "the watchdog is fed")
    seen = len(systemd())
    router.reload()
    wait_until(lambda: "READY=1" in systemd()[seen:], 10, "it has reloaded")
    told = systemd()[seen:]
    assert told.index("RELOADING=1") < told.index("READY=1")
    assert any(line.startswith("MONOTONIC_USEC=") for line in told)
    # A thread that hangs starves the watchdog; when it goes on, so does that.
    with frozen(router, "worker-1"):
        seen = len(systemd())
        wait_until(lambda: sum(line.startswith("STATUS=") for line in systemd()[seen:]) >= 4, 20,
                   "the rest goes on")
        # One may have been on its way.
        assert systemd()[seen:].count("WATCHDOG=1") <= 1
    seen = len(systemd())
    wait_until(lambda: systemd()[seen:].count("WATCHDOG=1") >= 2, 10, "it is fed again")
    assert router.stop() == 0
    assert "STOPPING=1" in systemd()


def test_reload_that_is_refused_ends(make_router, systemd):
    router = make_router(start=False)
    router.start()
    if "libsystemd" not in open(f"/proc/{router.process.pid}/maps", encoding="ascii").read():
        pytest.skip("built without libsystemd")
    wait_until(lambda: "READY=1" in systemd(), 10, "it is ready")
    seen = len(systemd())
    router.expect_error("reload-failed")
    router.config_file.write_text("nonsense\n")
    router.reload(expect="error")
    wait_until(lambda: "READY=1" in systemd()[seen:], 10, "systemd does not wait for ever")

# SPDX-License-Identifier: ISC
"""The files of unix sockets: how they are written, and what becomes of those that are removed."""
import socket

import psycopg
import pytest
from support.net import free_port
from support.wait import wait_until
from support.web import Web

pytestmark = pytest.mark.router_only


@pytest.fixture(params=["RELOAD", "RESTART"])
def changed(request, restarted, tmp_path):
    """A router with a unix socket, and what makes it read its file again."""
    port = free_port()
    router = restarted({"workloads": {"local": {"pool_mode": "session",
                                                "listen": [f"unix:{tmp_path}:{port}"]}}})
    router.local_port = port

    def change(listen=None):
        if listen is not None:
            router.config["workloads"]["local"]["listen"] = [listen]
            router.write_config()
        if request.param == "RESTART":
            router.restart()
            router.old_ones_end()
        else:
            assert router.command("RELOAD") == "RELOAD"
    return router, change


def serves(router, directory):
    with router.unix(directory, router.local_port).connect() as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


def test_a_slash_at_the_end_is_the_same_directory(changed, tmp_path):
    router, change = changed
    change(f"unix:{tmp_path}/:{router.local_port}")
    assert serves(router, tmp_path)
    change(f"unix:{tmp_path}:{router.local_port}")
    assert serves(router, tmp_path)


def test_a_file_that_was_removed_is_made_again(changed, tmp_path):
    router, change = changed
    file = tmp_path / f".s.PGSQL.{router.local_port}"
    for _ in range(2):
        file.unlink()
        change()
        assert serves(router, tmp_path)
    change()
    assert serves(router, tmp_path)
    assert router.stop() == 0
    assert not file.exists()


def test_a_directory_that_was_removed_keeps_nobody_from_a_reload(restarted, tmp_path):
    """It is told of, and the rest goes on; when there is one again, so there is the file."""
    there, port = tmp_path / "there", free_port()
    there.mkdir()
    router = restarted({"workloads": {"local": {"pool_mode": "session",
                                                "listen": [f"unix:{there}:{port}"]}}})
    (there / f".s.PGSQL.{port}").unlink()
    there.rmdir()
    assert router.command("RELOAD") == "RELOAD"
    assert "warn  listen address=unix:" in router.log()
    router.restart()
    router.old_ones_end()
    there.mkdir()
    assert router.command("RELOAD") == "RELOAD"
    with router.unix(there, port).connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("how", ["RELOAD", "RESTART"])
def test_a_file_of_http_that_was_removed_is_made_again(restarted, tmp_path, how):
    port = free_port()
    router = restarted({"http": {"listen": [f"unix:{tmp_path}:{port}"]}})
    file = tmp_path / f".s.PGSQL.{port}"
    web = Web(port, unix=str(file))
    router.expect_error("reload-failed|restart-failed|start-failed")
    for is_good in (True, False, True):
        file.unlink()
        good = router.config_file.read_text()
        if not is_good:
            router.config_file.write_text(good + "\nnonsense: 1\n")
            with pytest.raises(psycopg.Error, match="nonsense"):
                router.command(how)
            router.config_file.write_text(good)
        if how == "RESTART":
            router.restart()
            router.old_ones_end()
        else:
            assert router.command("RELOAD") == "RELOAD"
        wait_until(lambda: file.is_socket() and web.get("/livez").text == "alive\n", 5)
    # Where nothing was removed it stays what it is.
    is_file = file.stat().st_ino
    assert router.command("RELOAD") == "RELOAD"
    assert file.stat().st_ino == is_file and web.get("/livez").text == "alive\n"
    assert router.stop() == 0
    assert not file.exists()


def test_a_file_of_http_stays_away_with_a_change_that_fails(restarted, tmp_path):
    """What was opened for it goes again, and the next one that holds makes it."""
    port = free_port()
    router = restarted({"http": {"listen": [f"unix:{tmp_path}:{port}"]}})
    file = tmp_path / f".s.PGSQL.{port}"
    file.unlink()
    router.expect_error("reload-failed")
    good = router.config
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "cannot listen" in router.reload(
            {"admin": {"listen": [f"127.0.0.1:{taken.getsockname()[1]}"]}}, expect="error")
    assert not file.exists()
    router.config = good
    router.write_config()
    assert router.command("RELOAD") == "RELOAD"
    assert Web(port, unix=str(file)).get("/livez").text == "alive\n"

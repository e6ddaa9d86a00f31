# SPDX-License-Identifier: ISC
"""What operators do at bad moments: a second start by mistake, a stop under load, a
reload while stopping, more clients than there is room for."""
import os
import pathlib
import select
import signal
import subprocess
import threading

import psycopg
import pytest
from support import needs
from support import wire as w
from support.net import listening_ports
from support.postgres import DATABASE, DEFAULT_USER
from support.router import merge
from support.wait import SLOWDOWN, wait_until

pytestmark = pytest.mark.router_only


def test_failed_second_start_leaves_the_pid_file(make_router, tmp_path):
    """The file belongs to the process that runs, not to one that never came up."""
    pid_file = tmp_path / "pid"
    router = make_router({"process": {"pid_file": str(pid_file)}})
    assert int(pid_file.read_text()) == router.process.pid
    second = make_router({"process": {"pid_file": str(pid_file)}, "workloads": {"session": {
        "listen": [f"127.0.0.1:{router.ports['session']}"]}}}, start=False)
    second.expected_exit = 1
    second.expect_error("cannot listen")
    second.start(wait=False)
    assert second.wait_exit() == 1
    assert int(pid_file.read_text()) == router.process.pid
    assert router.stop() == 0
    assert not pid_file.exists()


def workers_of(router):
    tasks = pathlib.Path(f"/proc/{router.process.pid}/task")
    return sum((task / "comm").read_text().startswith("worker-") for task in tasks.iterdir())


def test_as_many_workers_as_it_may_use_processors(make_router):
    """Not as many as there are: in a container it would have threads that take turns."""
    usable = os.sched_getaffinity(0)
    router = make_router({"process": {"workers": None}})
    assert 1 <= workers_of(router) <= min(len(usable), 4)
    os.sched_setaffinity(0, {min(usable)})
    try:
        router = make_router({"process": {"workers": None}})
    finally:
        os.sched_setaffinity(0, usable)
    assert workers_of(router) == 1


def test_reload_does_not_move_the_pid_file(make_router, tmp_path):
    """pid_file needs a restart: what another process wrote there is not removed."""
    mine, other = tmp_path / "pid", tmp_path / "other"
    router = make_router({"process": {"pid_file": str(mine)}})
    other.write_text("1\n")
    assert "pid_file" in router.reload({"process": {"pid_file": str(other)}})
    assert router.stop() == 0
    assert not mine.exists()
    assert other.read_text() == "1\n"


def serves(endpoint):
    try:
        with endpoint.connect() as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


class Load:
    """Clients that send one query after the other, and never leave by themselves."""

    def __init__(self, endpoint, count):
        self.served = [0] * count
        self.ends = []
        self.threads = [threading.Thread(target=self.run, args=(endpoint, i), daemon=True)
                        for i in range(count)]
        for thread in self.threads:
            thread.start()

    def run(self, endpoint, i):
        with endpoint.wire() as wire:
            seen = []
            while not any(m.type == "E" for m in seen):
                self.served[i] += 1
                try:
                    wire.send(w.query("SELECT 1"))
                    seen = wire.until("Z", "E")
                except OSError:         # it was closed in between
                    seen = wire.until_closed()
                    break
            self.ends += [m.sqlstate for m in seen if m.type == "E"]

    def join(self):
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_under_load(make_router, number):
    """Clients of a transaction port are let go between two transactions, where that is
    configured, or the router waits for servers only: else they would keep it for ever."""
    router = make_router({"process": {"drain_ends_idle": True}, "workloads": {"transactional": {
        "guaranteed_connections": 2, "max_connections": 2}}})
    load = Load(router.transactional, 12)
    wait_until(lambda: min(load.served) > 3)
    router.signal(number)
    assert router.wait_exit() == 0
    load.join()
    assert set(load.ends) <= {"57P01"}


def test_client_in_a_transaction_leaves_after_it(make_router):
    """SIGTERM: its transaction goes to the end, then it is told to go."""
    router = make_router({"process": {"drain_ends_idle": True}})
    with router.transactional.wire() as wire:
        wire.query("BEGIN")
        router.signal(signal.SIGTERM)
        wait_until(lambda: router.ports["session"] not in listening_ports(), 5)
        assert wire.value("SELECT 1") == "1"
        wire.send(w.query("COMMIT"))
        seen = wire.until_closed()
        assert [m.type for m in seen] == ["C", "Z", "E"]
        assert seen[-1].sqlstate == "57P01"
    assert router.wait_exit() == 0


def test_reload_while_draining_opens_no_port(router):
    with router.session.wire() as wire:
        wire.query("BEGIN")
        router.signal(signal.SIGTERM)
        wait_until(lambda: router.ports["session"] not in listening_ports(), 5)
        router.reload()
        assert not set(router.ports.values()) & set(listening_ports())
        wire.query("COMMIT")
        wire.quit()
    assert router.wait_exit() == 0


def test_unix_socket_of_a_killed_router_is_replaced(make_router, tmp_path):
    router = make_router()
    router.reload({"workloads": {"session": {"listen": [f"unix:{tmp_path}:6433"]}}})
    assert os.path.exists(tmp_path / ".s.PGSQL.6433")
    router.process.kill()
    router.process.wait()
    assert os.path.exists(tmp_path / ".s.PGSQL.6433")
    router.start()
    # The old file does not say that anybody listens already.
    wait_until(lambda: serves(router.unix(tmp_path, 6433)))
    assert router.stop() == 0
    assert not os.path.exists(tmp_path / ".s.PGSQL.6433")


@pytest.mark.parametrize("changes", [
    {"process": {"max_client_conn": 3000}},
    {"hosts": {"main": {"connection_budget": 3000}}},
    {"hosts": {"main": {"max_replication_connections": 3000}}},
    {"http": {"listen": ["unix:/tmp:15999"], "max_connections": 1000}}])
def test_files_that_it_may_not_open(make_router, changes):
    """Found out at the start, not by who comes last."""
    router = make_router({"process": {"max_client_conn": 1500, "workers": 1}}, start=False)
    router.config = router.complete(merge(router.config, changes))
    router.write_config()
    # root could open more.
    less = [needs.program("setpriv"), "--bounding-set=-sys_resource", "--inh-caps=-sys_resource"] \
        if os.getuid() == 0 else []
    done = subprocess.run(
        [*less, "bash", "-c", f"ulimit -n 2500 && exec {router.program()} --config {router.config_file}"],
        cwd=router.directory, capture_output=True, text=True, timeout=15 * SLOWDOWN, check=False)
    assert done.returncode == 1 and "LimitNOFILE" in done.stderr, done.stderr


def test_name_that_does_not_resolve(make_router):
    """Start and reload do not depend on the name service; clients are told; and the first
    address that there is, is used."""
    router = make_router({"hosts": {"main": {"host": "no-such-host.invalid"}},
                          "defaults": {"query_wait_timeout": "1500ms"}})
    with router.transactional.raw() as wire, pytest.raises(RuntimeError, match="57014"):
        wire.login(DEFAULT_USER, router.transactional.dsn()["password"], DATABASE)
    assert "does not resolve" in router.log()
    router.reload({"defaults": {"query_wait_timeout": "20s"}})
    router.reload({"hosts": {"main": {"host": "127.0.0.1"}}})
    with router.transactional.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    router.expect_error("no-such-host")
    said = router.reload({"hosts": {"main": {"host": "no-such-host.invalid"}}}, expect="error")
    assert "reload-failed" in said
    with router.transactional.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_connections_far_beyond_the_limit(make_router):
    """Everybody is told why, also those who are not even given a place to log in."""
    router = make_router({"process": {"max_client_conn": 10}})
    wires = [router.transactional.raw() for _ in range(130)]

    def told():
        return [x for x in wires if select.select([x.socket], [], [], 0)[0]]
    # Workers that accept at the same moment may each let in one more.
    wait_until(lambda: len(told()) >= 18, 10, "some twenty are turned away")
    for wire in told():
        assert [(m.type, m.sqlstate) for m in wire.until_closed()] == [("E", "53300")]
    for wire in wires:
        wire.close()
    wait_until(lambda: serves(router.transactional))

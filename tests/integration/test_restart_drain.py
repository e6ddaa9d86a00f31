# SPDX-License-Identifier: ISC
"""RESTART: the process that goes and the one that comes, when something else happens."""
import collections
import concurrent.futures
import contextlib
import datetime
import os
import re
import signal
import socket
import subprocess
import threading

import psycopg
import pytest
from support import wire as w
from support.fakeserver import FakeServer
from support.net import free_port, listening_ports
from support.restarted import Watch
from support.router import ADMIN
from support.wait import wait_until
from support.web import Web
from test_commands import APP, Console, Load

pytestmark = pytest.mark.router_only


@pytest.fixture
def slow_start():
    """Makes the next process wait for a second until it is ready: begin(router, console)
    comes back in the midst of that, with the id of that process."""
    fake = FakeServer(raw=True)

    def begin(router, console):
        router.config["hosts"]["slow"] = {"host": "127.0.0.1", "port": fake.port,
                                          "connection_budget": 5, "user": "app_scram",
                                          "password": "x"}
        router.write_config()
        console.begin("RESTART")
        fake.take()
        return int(re.findall(r"restart program=\S+ pid=(\d+)", router.log())[-1])
    yield begin
    fake.close()


def refuses(port):
    return port not in listening_ports()


def can_listen(port):
    try:
        with socket.create_server(("127.0.0.1", port)):
            return True
    except OSError:
        return False


def failure(console):
    return [(m.sqlstate, m.text) for m in console.wire.until_ready() if m.type == "E"]


# ------------------------------------------------------------- who listens, and where


def test_an_address_that_is_left_is_left(restarted):
    """By the restart, and by a reload of the new process, while the old one still serves."""
    port = free_port()
    router = restarted({"workloads": {
        "gone": {"pool_mode": "transaction", "listen": [f"127.0.0.1:{port}"]},
        "later": {"pool_mode": "transaction"}}})
    with router.session.wire() as session:
        session.query("BEGIN")
        router.config["workloads"].pop("gone")
        router.write_config()
        router.restart()
        wait_until(lambda: refuses(port), 10, "nobody listens any more")
        router.config["workloads"].pop("later")
        router.write_config()
        router.reload()
        wait_until(lambda: refuses(router.ports["later"]), 10, "the old one neither")
        assert session.query("COMMIT")[-1].body == b"I"
        assert router.before[0].poll() is None
    router.old_ones_end()


def test_the_new_process_ends_and_another_starts(restarted, tmp_path):
    """What the old one still has keeps nobody from listening."""
    router = restarted({"workloads": {
        "local": {"pool_mode": "transaction", "listen": [f"unix:{tmp_path}:6432"]}}})
    with router.session.wire() as session:
        session.query("BEGIN")
        router.restart()
        router.signal(signal.SIGTERM)
        assert router.process.wait(10) == 0
        assert refuses(router.ports["session"]) and refuses(router.ports["transactional"])
        router.start()
        with router.session.connect() as connection, \
                router.unix(tmp_path, 6432).connect() as other:
            assert connection.execute("SELECT 1").fetchone() == (1,)
            assert other.execute("SELECT 1").fetchone() == (1,)
        assert session.query("COMMIT")[-1].body == b"I"
        session.quit()
        router.old_ones_end()
        assert (tmp_path / ".s.PGSQL.6432").exists()


def test_the_new_process_is_killed(restarted):
    router = restarted()
    with router.session.wire() as session:
        session.query("BEGIN")
        router.restart()
        router.process.kill()
        wait_until(lambda: refuses(router.ports["transactional"]), 10, "who comes is told")
        assert session.query("COMMIT")[-1].body == b"I"
    router.process.wait(10)
    router.process = router.before.pop()
    assert router.process.wait(10) == 0


def test_new_modes_of_sockets_are_applied(restarted, tmp_path):
    directory, web = tmp_path / "s", tmp_path / "w"
    directory.mkdir()
    web.mkdir()
    config = {"process": {"unix_socket_mode": 0o777, "listen_backlog": 100}, "workloads": {
        "local": {"pool_mode": "transaction", "listen": [f"unix:{directory}:6432"]}},
        "http": {"listen": [f"unix:{web}:80"]}}
    router = restarted(config, start=False)

    def write(mode, backlog):
        router.write_config()
        text = router.config_file.read_text()
        text = re.sub(r"unix_socket_mode: \S+", f'unix_socket_mode: "{mode}"', text)
        text = re.sub(r"listen_backlog: \S+", f"listen_backlog: {backlog}", text)
        router.config_file.write_text(text)

    def modes():
        return [oct(next(where.iterdir()).stat().st_mode & 0o777) for where in (directory, web)]

    def backlog():
        text = subprocess.run(["ss", "-Hltn", f"sport = :{router.ports['session']}"],
                              check=True, capture_output=True, text=True).stdout
        return text.split()[2]
    write("0777", 100)
    router.start()
    assert (modes(), backlog()) == (["0o777"] * 2, "100")
    write("0700", 70)
    router.restart()
    assert (modes(), backlog()) == (["0o700"] * 2, "70")
    router.old_ones_end()
    # What it took over is its own, and it clears up.
    assert router.stop() == 0
    assert not list(directory.iterdir()) + list(web.iterdir())


# ------------------------------------------------------------------------ HTTP meanwhile


def test_readyz_says_yes_all_the_time(restarted):
    """With a login of the router's own, whose answer the new process does not wait for."""
    port = free_port()
    router = restarted({"hosts": {"main": {"user": "app_scram", "password": "scram secret"}},
                        "http": {"listen": [f"127.0.0.1:{port}"]}})
    web, seen, stop = Web(port), collections.Counter(), threading.Event()
    wait_until(lambda: web.ask("/readyz").code == 200, 10, "PostgreSQL has answered")

    def look():
        while not stop.is_set():
            try:
                seen[web.ask("/readyz").code] += 1
            except OSError as error:
                seen[repr(error)] += 1
    thread = threading.Thread(target=look)
    thread.start()
    for _ in range(3):
        before = seen[200]
        wait_until(lambda n=before: seen[200] > n + 20)
        router.restart()
    before = seen[200]
    wait_until(lambda: seen[200] > before + 20)
    stop.set()
    thread.join(30)
    assert set(seen) == {200}, seen
    times = [datetime.datetime.strptime(text, "%H:%M:%S.%f") for text in re.findall(
        r"^\S+ (\S+) UTC info +(?:restart|handed-over) ", router.log(), re.M)]
    taken = min((b - a) % datetime.timedelta(days=1) for a, b in zip(times[::2], times[1::2]))
    assert taken < datetime.timedelta(seconds=1), taken
    router.old_ones_end()


def test_who_was_let_in_by_the_old_process_is_answered(restarted):
    """A connection that has not asked yet when the other one takes over."""
    port = free_port()
    router = restarted({"http": {"listen": [f"127.0.0.1:{port}"]}})
    wait_until(lambda: Web(port).ask("/livez").code == 200)
    with socket.create_connection(("127.0.0.1", port), 10) as early:
        # It is let in before who comes later is answered.
        assert Web(port).ask("/livez").code == 200
        router.restart()
        early.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        assert early.recv(100).startswith(b"HTTP/1.1 200 ")
    router.old_ones_end()


# ------------------------------------------------------------ signals in between and after


def test_sigterm_while_another_process_starts(restarted, slow_start, tmp_path):
    """Then that one is not to be, and this one drains as it would have."""
    router = restarted({"workloads": {
        "local": {"pool_mode": "transaction", "listen": [f"unix:{tmp_path}:6432"]}}})
    with router.session.wire() as session, Console(router) as console:
        session.query("BEGIN")
        pid = slow_start(router, console)
        router.signal(signal.SIGTERM)
        assert failure(console) == [("F0000", "RESTART failed: the process ends")]
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 10, "it is stopped")
        wait_until(lambda: refuses(router.ports["session"]), 10, "nobody is let in")
        # It is the console's until the end.
        with contextlib.closing(router.unix(tmp_path, 6432).wire(ADMIN[0], "pgbouncer")) as console:
            assert console.value("SHOW VERSION")
        assert "handed-over" not in router.log()
        assert session.query("COMMIT")[-1].body == b"I"
    assert router.wait_exit() == 0
    assert not (tmp_path / ".s.PGSQL.6432").exists()


def test_sigterm_for_the_process_that_starts(restarted, slow_start):
    """It takes over nothing, and the old one serves."""
    router = restarted()
    router.expect_error("restart-failed|start-failed")
    with router.session.wire() as session, Console(router) as console:
        pid = slow_start(router, console)
        os.kill(pid, signal.SIGTERM)
        state, text = failure(console)[0]
        assert state == "F0000" and "told to end by a signal" in text
        assert session.value("SELECT 1") == "1"
    with router.session.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert router.pid() == router.process.pid


def test_signals_for_the_process_that_has_handed_over(restarted):
    """It drains already: the first SIGTERM says nothing new, and SIGINT is in more of a
    hurry."""
    router = restarted()
    with router.session.wire() as session, router.transactional.wire() as wire, \
            Console(router) as console:
        session.query("BEGIN")
        wire.query("BEGIN")
        router.restart()
        old = router.before[0]
        console.begin("SHUTDOWN WAIT_FOR_CLIENTS")
        assert console.end() == ["SHUTDOWN"]
        wait_until(lambda: router.log().count("drain waits_for=clients") == 2, 10, "it knows")
        assert wire.query("COMMIT")[-1].body == b"I"
        assert session.value("SELECT 1") == "1"
        old.send_signal(signal.SIGINT)
        wait_until(lambda: "drain waits_for=servers" in router.log(), 10, "it knows")
        assert [m.sqlstate for m in wire.until_closed() if m.type == "E"] == ["57P01"]
        assert session.query("COMMIT")[-1].body == b"I"
        session.quit()
        assert old.wait(10) == 0
    with router.session.wire() as session:
        session.query("BEGIN")
        router.restart()
        old = router.before[-1]
        for count in (1, 2):
            assert old.poll() is None
            old.send_signal(signal.SIGTERM)
            if count == 1:
                wait_until(lambda: router.log().count("drain waits_for=clients") == 4, 10)
        session.until_closed()
    router.old_ones_end()


def test_log_file_is_moved_while_it_drains(restarted, tmp_path):
    path = tmp_path / "rotated.log"
    router = restarted({"log": {"destination": "file", "file": str(path)}})
    with router.session.wire() as session:
        session.query("BEGIN")
        router.restart()
        path.rename(tmp_path / "rotated.log.1")
        for process in (router.before[0], router.process):
            process.send_signal(signal.SIGHUP)

        def files(process):
            where, found = f"/proc/{process.pid}/fd", set()
            for fd in os.listdir(where):
                with contextlib.suppress(FileNotFoundError):
                    found.add(os.readlink(f"{where}/{fd}"))
            return found
        for process in (router.before[0], router.process):
            wait_until(lambda p=process: str(path) in files(p), 10, "the new file is open")
            wait_until(lambda p=process: f"{path}.1" not in files(p), 10, "the old one is closed")
        assert session.query("COMMIT")[-1].body == b"I"
    router.old_ones_end()


# --------------------------------------------------------------------------- what is held


@pytest.mark.parametrize("command", ["PAUSE", "PAUSE app"])
def test_a_pause_goes_on_in_both_processes(restarted, postgres, command):
    """Who waits in the old one, and who comes to the new one, are served after RESUME there;
    the console of the old one has nothing to say any more."""
    router = restarted()
    undo = command.replace("PAUSE", "RESUME")
    with Console(router) as console, router.transactional.wire() as early:
        early.query("SELECT 1")
        console.run(command)
        early.send(w.query("SELECT 'early'"))
        wait_until(lambda: len(router.show("waiting")) == 1, 10)

        def paused_s():
            return {row["name"]: row["paused_s"] for row in router.show("databases")}["app"]
        wait_until(lambda: paused_s() >= 3, 20)
        console.begin("RESTART")
        assert console.end() == ["RESTART"]
        for late in ("PAUSE", "PAUSE app", "DISABLE app", "SUSPEND", "KILL app", "RESTART",
                     "RESUME", "RESUME app", "ENABLE app", "RECONNECT", "RECONNECT app",
                     "KILL_CLIENT 1000000"):
            assert console.fails(late) == ("55000", "a restart is under way, or has been"), late
        router.follow()

        def late():
            with router.transactional.connect() as connection:
                return connection.execute("SELECT 'late'").fetchone()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            comes = pool.submit(late)
            wait_until(lambda: [r["reason"] for r in router.show("waiting")] == ["paused"], 10)
            # As long as it has lasted, not as long as this process knows of it.
            assert paused_s() >= 3
            assert early.is_quiet() and not comes.done()
            assert postgres.count(APP) == 0
            assert router.command(undo) == "RESUME"
            assert comes.result(30) == ("late",)
            assert w.rows(early.until_ready()) == [("early",)]
    router.old_ones_end()


def test_a_database_that_is_disabled_stays_so(restarted):
    router = restarted()
    with router.transactional.wire() as early:
        assert router.command("DISABLE app") == "DISABLE"
        router.restart()
        router.restart()
        with pytest.raises(RuntimeError, match="55000: database \"app\" is disabled"):
            router.transactional.wire()
        assert early.value("SELECT 1") == "1"
        assert router.command("ENABLE app") == "ENABLE"
        with router.transactional.wire() as wire:
            assert wire.value("SELECT 1") == "1"
    router.old_ones_end()


def notices(router, command):
    """The command's tag and what it adds."""
    with Console(router) as console:
        answer = console.wire.query(command)
    assert not w.errors(answer), w.errors(answer)
    return [m.tag for m in answer if m.type == "C"], [m.text for m in answer if m.type == "N"]


def client_id(router, name):
    """The log's number of the client that calls itself so."""
    return int(re.search(rf" client-login id=(\d+) .*application=\"?{name}", router.log())[1])


def test_what_ends_something_reaches_the_processes_before(restarted, postgres):
    """KILL, KILL_CLIENT and RECONNECT on the console of the newest process."""
    router = restarted()
    with router.session.wire(application_name="one") as one, \
            router.session.wire(application_name="two") as two, \
            router.transactional.wire(application_name="three") as three:
        for wire in (one, two, three):
            wire.query("SELECT 1")
        one.query("BEGIN")
        router.restart()
        three.query("SELECT 1")
        with router.session.wire(application_name="four") as four, \
                router.transactional.wire(application_name="five") as five:
            four.query("SELECT 1")
            router.restart()
            passed_on = "it was passed on to 2 processes before this one, which still drain"
            # A number is one client's, in whichever process it is.
            ids = [client_id(router, name) for name in ("one", "two", "three", "four", "five")]
            assert sorted(set(ids)) == ids
            for name, wire in (("two", two), ("four", four)):
                assert notices(router, f"KILL_CLIENT {client_id(router, name)}") == (
                    ["KILL_CLIENT"], [passed_on])
                assert [m.sqlstate for m in wire.until_closed() if m.type == "E"] == ["57P01"]
            assert one.value("SELECT 1") == "1" and five.value("SELECT 1") == "1"
            # Idle servers close at once, those with a client when they come back.
            pid = three.value("SELECT pg_backend_pid()")
            assert notices(router, "RECONNECT app") == (["RECONNECT"], [passed_on])
            wait_until(lambda: postgres.count(f"pid = {pid}") == 0, 10, "it is closed")
            assert three.value("SELECT pg_backend_pid()") != pid
            one.send(w.query("SELECT pg_sleep(100)"))
            wait_until(lambda: postgres.count(f"{APP} AND query LIKE 'SELECT pg_sleep%'") == 1, 10)
            assert notices(router, "KILL app") == (["KILL"], [passed_on])
            for wire in (one, three, five):
                assert [m.sqlstate for m in wire.until_closed() if m.type == "E"] == ["57P01"]
            wait_until(lambda: postgres.count(APP) == 0, 10, "nothing runs")
            assert router.command("RESUME app") == "RESUME"
    router.old_ones_end()
    # Nobody is left to be told.
    wait_until(lambda: "predecessor-end left=0" in router.log().split("took-over")[-1], 10)
    with Console(router) as console:
        assert console.fails("KILL_CLIENT 1") == ("42704", "client not found")
    assert notices(router, "RECONNECT") == (["RECONNECT"], [])


def test_a_pause_waits_for_the_processes_before(restarted, postgres):
    """When it is answered nobody is connected to PostgreSQL, whichever process it was."""
    router = restarted()
    with router.session.wire() as first:
        first.query("BEGIN")
        router.restart()
        with router.transactional.wire() as second, Console(router) as undone:
            second.query("BEGIN")
            router.restart()
            with Console(router) as console:
                console.begin("PAUSE app")
                wait_until(lambda: router.show("databases")[0]["paused"], 10)
                assert console.wire.is_quiet()
                assert second.query("COMMIT")[-1].body == b"I"
                assert console.wire.is_quiet()
                assert first.query("COMMIT")[-1].body == b"I"
                assert console.wire.is_quiet()
                first.quit()
                assert console.end() == ["PAUSE"]
                assert postgres.count(APP) == 0
                second.send(w.query("SELECT 1"))
                assert second.is_quiet()
                # Nobody is in it: it may be renamed.
                postgres.sql("ALTER DATABASE app RENAME TO app_",
                             "ALTER DATABASE app_ RENAME TO app")
                assert console.run("RESUME app") == ["RESUME"]
                assert w.rows(second.until_ready()) == [("1",)]
            assert undone.fails("RESUME app")[0] == "55000"
    router.old_ones_end()


def test_a_pause_that_waits_is_handed_over(restarted):
    """The command ends, with a word on it; what it has begun goes on in the new process."""
    router = restarted()
    with router.session.wire() as session, Console(router) as console, Console(router) as other:
        session.query("BEGIN")
        console.begin("PAUSE app")
        wait_until(lambda: router.show("databases")[0]["paused"], 10)
        other.begin("RESTART")
        assert other.end() == ["RESTART"]
        assert failure(console) == [("55000", "the process that has taken over goes on with the pause")]
        router.follow()
        assert router.show("databases")[0]["paused"] == 1
        assert session.query("COMMIT")[-1].body == b"I"
        assert router.command("RESUME app") == "RESUME"
    router.old_ones_end()


def test_a_pause_ends_with_the_process_that_could_end_it(restarted):
    router = restarted()
    with router.transactional.wire() as early:
        early.query("SELECT 1")
        assert router.command("PAUSE app") == "PAUSE"
        early.send(w.query("SELECT 'goes on'"))
        router.restart()
        assert early.is_quiet()
        router.process.kill()
        assert w.rows(early.until_ready()) == [("goes on",)]
    router.process.wait(10)
    router.process = router.before.pop()
    assert router.process.wait(10) == 0


def test_nothing_is_held_while_another_process_starts(restarted, slow_start):
    router = restarted()
    with Console(router) as console, Console(router) as other:
        slow_start(router, console)
        for command in ("PAUSE", "PAUSE app", "DISABLE app", "SUSPEND", "KILL app", "RESTART"):
            assert other.fails(command) == ("55000", "a restart is under way, or has been")
        assert console.end() == ["RESTART"]
        router.follow()
    with Console(router) as console:
        assert console.run("PAUSE app") == ["PAUSE"]
        assert console.run("RESUME app") == ["RESUME"]
    router.old_ones_end()


def test_sighup_while_another_process_starts_refuses_no_file(restarted, slow_start):
    """It is not the time for a reload, which says nothing about the file."""
    port = free_port()
    router = restarted({"http": {"listen": [f"127.0.0.1:{port}"]}})
    router.expect_error("restart-failed|start-failed|reload-failed")

    def was_good():
        return Web(port).metrics().value("pgtandem_config_last_reload_successful")
    with Console(router) as console:
        pid = slow_start(router, console)
        router.signal(signal.SIGHUP)
        wait_until(lambda: "reload-failed" in router.log(), 10, "it was not the time")
        os.kill(pid, signal.SIGTERM)
        assert [state for state, _ in failure(console)] == ["F0000"]
    assert was_good() == 1
    router.config["process"]["workers"] = "none"
    router.write_config()
    router.signal(signal.SIGHUP)
    wait_until(lambda: was_good() == 0, 10, "this one is refused")


def test_more_processes_that_drain_than_there_may_be(restarted):
    """RESTART says so before it begins anything, and goes on when one has ended."""
    router = restarted()
    router.expect_error("restart-failed")
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(16):
            clients.append(stack.enter_context(router.session.wire()))
            router.restart()
        with Console(router) as console:
            state, text = console.fails("RESTART")
        assert state == "F0000" and "16 processes before this one still drain" in text
        clients[0].close()
        assert router.before[0].wait(30) == 0
        router.restart()
        for wire in clients[1:]:
            assert wire.value("SELECT 1") == "1"
    router.old_ones_end()


def test_who_comes_after_the_answer_comes_to_the_new_process(restarted):
    """Not to the one that goes, which has left its listeners by then: on every port, again
    and again, while others connect all the time."""
    port = free_port()
    router = restarted({"http": {"listen": [f"127.0.0.1:{port}"]}})
    with Load(router.transactional, 3, persistent=False) as load:
        for _ in range(5):
            load.has_moved()
            before = Web(port).metrics().value("process_start_time_seconds")
            assert router.command("RESTART") == "RESTART"
            for name in ("transactional", "session"):
                with getattr(router, name).wire(user=ADMIN[0], dbname="pgbouncer") as wire:
                    # The old one would refuse both.
                    assert not w.errors(wire.query("PAUSE; RESUME"))
            assert Web(port).metrics().value("process_start_time_seconds") > before
            router.follow()
    assert not load.errors
    router.old_ones_end()


def test_sigterm_in_a_pause_lets_clients_go_on(restarted, postgres):
    """Nobody else could: no console is let in any more."""
    router = restarted()
    for command in ("PAUSE", "PAUSE app"):
        with router.transactional.wire() as wire:
            wire.query("SELECT 1")
            with Console(router) as console:
                console.run(command)
            wire.send(w.query("SELECT 'goes on'"))
            wait_until(lambda: len(router.show("waiting")) == 1, 10)
            router.signal(signal.SIGTERM)
            assert w.rows(wire.until_ready()) == [("goes on",)]
        assert router.wait_exit() == 0
        if command == "PAUSE":
            router.start()
    wait_until(lambda: postgres.count(APP) == 0, 10, "its sessions end")


def test_consoles_do_not_keep_a_process_that_tells_idle_clients(restarted):
    router = restarted({"process": {"drain_ends_idle": True}})
    with Console(router) as idle:
        router.restart()
        assert [m.sqlstate for m in idle.wire.until_closed() if m.type == "E"] == ["57P01"]
        router.old_ones_end()


def test_the_old_process_is_gone_when_its_servers_are(restarted, postgres):
    """Its end says that its part of the budget is free: a server that PostgreSQL does not
    close is still there, and counts."""
    router = restarted({"hosts": {"main": {"connection_budget": 4}},
                        "workloads": {"transactional": {"query_wait_timeout": "1s"},
                                      "session": {"guaranteed_connections": 0,
                                                  "max_connections": 1}}})
    wires = [router.transactional.wire() for _ in range(4)]
    for wire in wires:
        wire.query("BEGIN")
    backends = postgres.backends(APP)
    router.restart()
    os.kill(backends[0][0], signal.SIGSTOP)
    try:
        for wire in wires[1:]:
            wire.query("COMMIT")
        for wire in wires:
            wire.quit()
        wait_until(lambda: postgres.count(APP) == 1, 10, "all but that one are closed")
        with Watch(postgres) as watch, contextlib.ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(router.transactional.wire()).query("BEGIN")
            wait_until(lambda: watch.most == 4, 10, "that is all of the budget")
            with pytest.raises(psycopg.errors.QueryCanceled), \
                    router.transactional.connect() as late:
                late.execute("SELECT 1")
            assert watch.most == 4
        assert router.before[0].poll() is None
        assert "predecessor-end" not in router.log()
    finally:
        os.kill(backends[0][0], signal.SIGCONT)
    router.old_ones_end()
    wait_until(lambda: "predecessor-end left=0" in router.log(), 10)


def test_a_listener_of_the_old_process_is_not_in_anybodys_way(restarted):
    """It is the kernel's word that counts: the address can be had while that drains."""
    router = restarted()
    with router.session.wire() as session:
        session.query("BEGIN")
        router.restart()
        router.config["workloads"]["transactional"]["listen"] = [f"127.0.0.1:{free_port()}"]
        left = router.ports["transactional"]
        router.write_config()
        router.reload()
        # The kernel gives an address back a moment after nobody listens there.
        wait_until(lambda: can_listen(left), 10)
        assert session.query("COMMIT")[-1].body == b"I"
    router.old_ones_end()

# SPDX-License-Identifier: ISC
"""The log: its destinations and forms, what nobody can forge, and what was slow."""
import contextlib
import fcntl
import json
import os
import re
import socket
import struct
import subprocess
import time

import psycopg
import pytest
from support import wire as w
from support.net import free_port, listening_ports
from support.wait import wait_until
from support.web import Web

pytestmark = pytest.mark.router_only


def lines_of(path, event=None):
    if not os.path.exists(path):
        return []
    lines = [json.loads(line) for line in open(path, encoding="utf-8")]
    return [line for line in lines if event in (None, line["event"])]


def test_json(make_router, tmp_path):
    """Each line is an object; a session is one line when it begins and one when it ends."""
    path = tmp_path / "log.json"
    router = make_router({"log": {"destination": "file", "file": str(path), "format": "json"}})
    with contextlib.closing(router.transactional.wire(application_name='say "no"\\')) as wire:
        wire.query("SELECT 1")
        wire.query("SELECT 2")
        wire.quit()
    (end,) = wait_until(lambda: lines_of(path, "client-close"), 10, "its end is told")
    (begin,) = lines_of(path, "client-login")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", begin["time"])
    assert begin["level"] == "info" and begin["application"] == 'say "no"\\'
    assert (begin["workload"], begin["user"], begin["database"]) == (
        "transactional", "app_scram", "app")
    assert begin["addr"].startswith("127.0.0.1:")
    assert end["id"] == begin["id"]
    assert (end["reason"], end["queries"], end["transactions"]) == ("quit", 2, 2)
    assert end["received"] > 0 and end["sent"] > 0 and end["age_ms"] >= 0
    # Nothing but what was said before the file was known is on standard error.
    assert "client-login" not in router.log()
    assert {line["event"] for line in lines_of(path)} >= {"io-backend", "listen", "start"}


def test_nobody_forges_a_line(make_router, tmp_path):
    """Names with quotes, line feeds and bytes that are no text: one line, one value."""
    path = tmp_path / "log.json"
    router = make_router({"log": {"destination": "file", "file": str(path), "format": "json"}})
    evil = 'a" reason=quit\n2026-11-20 10:00:00.000 UTC error forged x="'
    for name in (evil, "\x01\x7f\x1b[31m", "x" * 500):
        with router.transactional.raw() as wire, contextlib.suppress(Exception):
            wire.login("app_scram", "app_scram secret", "app", application_name=name)
        with router.transactional.raw() as wire, contextlib.suppress(Exception):
            wire.login(name, "wrong", "app")
    told = wait_until(lambda: len(lines_of(path, "client-auth-failed")) >= 2 and lines_of(path), 10,
                      "it is told")
    assert "forged" not in {line["event"] for line in told}
    users = {line["user"] for line in told if line["event"] == "client-auth-failed"}
    assert evil in users


def test_text_quotes_are_escaped(make_router):
    router = make_router()
    with router.transactional.raw() as wire, contextlib.suppress(Exception):
        wire.login('a" b', "wrong", "app")
    wait_until(lambda: "client-auth-failed" in router.log(), 10, "it is told")
    assert ' user="a\\" b" ' in router.log()


def test_file_is_opened_again(make_router, tmp_path):
    """As logrotate has it: renamed, then SIGHUP; nothing is lost under load."""
    path, old = tmp_path / "log.json", tmp_path / "log.1"
    router = make_router({"log": {"destination": "file", "file": str(path), "format": "json"}})
    for i in range(10):
        with contextlib.closing(router.transactional.wire(application_name=f"c{i}")) as wire:
            wire.query("SELECT 1")
            wire.quit()
        if i == 4:
            os.rename(path, old)
            router.signal(1)
            wait_until(lambda: lines_of(path, "reload"), 10, "the new one is there")
    wait_until(lambda: len(lines_of(path, "client-close")) +
               len(lines_of(old, "client-close")) == 10, 10, "all are told")
    names = [line["application"] for where in (old, path)
             for line in lines_of(where, "client-login")]
    assert names == [f"c{i}" for i in range(10)]
    assert os.stat(path).st_mode & 0o777 == 0o640 & ~os.umask(os.umask(0))


def test_file_that_cannot_be(make_router, tmp_path):
    """A reload that wants it is refused, and the log stays where it is."""
    router = make_router()
    router.expect_error("log.file: /nonexistent/log")
    said = router.reload({"log": {"destination": "file", "file": "/nonexistent/log"}},
                         expect="error")
    assert "No such file" in said
    before = len(router.log())
    router.transactional.connect().close()
    wait_until(lambda: "client-close" in router.log()[before:], 10, "it goes on as before")
    # And to a good one, and back.
    path = tmp_path / "log.text"
    router.config["log"] = {"destination": "file", "file": str(path)}
    router.write_config()
    router.signal(1)
    wait_until(lambda: path.exists() and " info  reload " in path.read_text(), 10, "it is there")
    router.reload({"log": {"destination": "stderr", "file": None}})
    router.transactional.connect().close()
    assert "client-login" not in path.read_text().split("info  reload ")[-1]


def test_a_pipe_is_not_waited_for(make_router, tmp_path):
    """Without a reader it is an error, at a start and at each reload; with one it is a log."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    log = {"log": {"destination": "file", "file": str(path)}}
    router = make_router(log, start=False)
    router.start(wait=False)
    assert router.wait_exit() == 1
    assert "nobody reads from this pipe" in router.log()
    router.config["log"] = {}
    router.write_config()
    router.start()
    router.expect_error("log.file: ")
    with router.admin() as console:
        router.config["log"] = log["log"]
        router.write_config()
        with pytest.raises(psycopg.Error, match="nobody reads from this pipe"):
            console.execute("RELOAD")
        assert "nobody reads" in router.reload(expect="error")
        end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with contextlib.closing(os.fdopen(end, "rb")) as reader:
            console.execute("RELOAD")
            router.transactional.connect().close()
            said = b""

            def is_told():
                nonlocal said
                said += reader.read() or b""
                return b"client-close" in said
            wait_until(is_told, 10, "it is written there")
        # Nobody is there any more: what it says is lost, and it goes on.
        router.signal(1)
        with pytest.raises(psycopg.Error, match="nobody reads from this pipe"):
            console.execute("RELOAD")
        router.config["log"] = {"destination": "file", "file": "/dev/null"}
        router.write_config()
        console.execute("RELOAD")
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as other:
            other.bind(str(tmp_path / "socket"))
            router.config["log"]["file"] = str(tmp_path / "socket")
            router.write_config()
            with pytest.raises(psycopg.Error, match="neither a file nor a pipe"):
                console.execute("RELOAD")


def test_start_that_fails_is_told(make_router, tmp_path):
    """Also on standard error, where whoever starts it looks."""
    path = tmp_path / "log.text"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        router = make_router({"log": {"destination": "file", "file": str(path)}, "workloads": {
            "session": {"listen": [f"127.0.0.1:{taken.getsockname()[1]}"]}}}, start=False)
        router.start(wait=False)
        assert router.wait_exit() == 1
    router.expected_exit = 1
    assert "cannot listen on" in path.read_text()
    assert router.log().startswith("pgtandem: cannot listen on")


def test_slow_waits_and_queries(make_router):
    """What took long is told, by a number that is the same for the same query; not its text."""
    router = make_router({
        "hosts": {"main": {"connection_budget": 2}},
        "workloads": {"transactional": {"guaranteed_connections": 1, "max_connections": 1},
                      "session": {"guaranteed_connections": 1}},
        "defaults": {"log_slow_wait": "100ms", "log_slow_query": "200ms"}})

    def told(event):
        return [dict(re.findall(r'(\w+)="?([^" ]+)', line))
                for line in re.findall(rf" warn +{event} (.*)", router.log())]
    with router.transactional.wire() as one, router.transactional.wire() as two:
        one.query("SELECT pg_sleep(0.01)")
        assert told("slow-query") == []
        # The first login waits for PostgreSQL's.
        connecting = len(told("slow-wait"))
        for text in ("SELECT pg_sleep(0.3), 'dark matter'", "select pg_sleep(.31),'other' -- x",
                     "SELECT pg_sleep(0.3)"):
            one.query(text)
        first, second, third = wait_until(
            lambda: len(told("slow-query")) == 3 and told("slow-query"), 10, "three are told")
        assert first["fingerprint"] == second["fingerprint"] != third["fingerprint"]
        assert (first["user"], first["database"], first["workload"], first["host"]) == (
            "app_scram", "app", "transactional", "main")
        assert 300 <= int(first["duration_ms"]) < 30000
        # The same by the extended protocol, named and unnamed.
        for name in ("", "s1"):
            one.send(w.parse("SELECT pg_sleep($1), $2", name), w.sync())
            one.until_ready()
            one.send(w.bind(["0.3", "x"], name), w.execute(), w.sync())
            one.until_ready()
        assert {line["fingerprint"] for line in told("slow-query")[3:]} == {first["fingerprint"]}
        wait_until(lambda: len(told("slow-query")) == 5, 10, "all are told")
        assert len(told("slow-wait")) == connecting
        one.query("BEGIN")
        two.send(w.query("SELECT 1"))
        wait_until(lambda: router.show("waiting"), 10, "it waits")
        begin = time.monotonic()
        wait_until(lambda: time.monotonic() - begin > 0.15, 10, "long enough")
        one.query("COMMIT")
        two.until_ready()
        (line,) = wait_until(lambda: told("slow-wait")[connecting:], 10, "the wait is told")
        assert int(line["waited_ms"]) >= 100
    assert "dark matter" not in router.log()


def test_stats(make_router):
    """Averages, and the line of them, are of the last stats_period, whoever looks or not."""
    router = make_router({"log": {"stats_period": "1s"}})

    def app():
        (row,) = [row for row in router.show("stats") if row["database"] == "app"]
        return {key: int(value) for key, value in row.items() if key != "database"}

    def told():
        return [dict(re.findall(r"(\w+)=(\d+)", line))
                for line in re.findall(r" info +stats (.*)", router.log())]
    with router.transactional.wire() as wire:
        for _ in range(300):
            wire.query("SELECT 1")
        wait_until(lambda: any(int(line["queries_per_s"]) > 20 for line in told()), 10, "it is told")
        assert {"xacts_per_s", "queries_per_s", "avg_query_us", "in_bytes_per_s"} <= set(told()[0])
        # Periods without anything follow, of which nobody had to ask.
        wait_until(lambda: app()["avg_query_count"] == 0, 10, "a period without queries")
        assert app()["total_query_count"] == 300 and app()["avg_query_time"] == 0
        for _ in range(300):
            wire.query("SELECT 1")
        found = wait_until(lambda: app()["avg_query_count"] > 0 and app(), 10, "a period with some")
        assert found["avg_query_count"] <= 300 and found["avg_recv"] > 0
        # Switched off, two periods and more go by with no line but one that was on its way.
        router.command("SET log_stats = 0")
        before = len(told())
        wait_until(lambda: app()["avg_query_count"] == 0, 10, "a period without queries")
        for _ in range(300):
            wire.query("SELECT 1")
        wait_until(lambda: app()["avg_query_count"] > 0, 10, "a period with some")
        wait_until(lambda: app()["avg_query_count"] == 0, 10, "a period without queries")
        assert len(told()) <= before + 1


SLOW = {"log_slow_wait": "50ms", "log_slow_query": "1us", "log_slow_text": "300B"}
SECRETS = [
    "ALTER ROLE nosuch PASSWORD 'swordfish'",
    "alter user nosuch with password 'swordfish'",
    "ALTER/**/USER nosuch/**/PASSWORD 'swordfish'",
    "SELECT 1; ALTER ROLE nosuch PASSWORD 'swordfish'",
    "DO $$ BEGIN EXECUTE 'ALTER ROLE nosuch PASSWORD ''swordfish'''; END $$",
    "CREATE USER MAPPING FOR nosuch SERVER s OPTIONS (token 'swordfish')",
    "CREATE SUBSCRIPTION s CONNECTION 'host=x options=swordfish' PUBLICATION p",
    "SELECT 'postgresql://me:swordfish@host/db'",
]


def test_slow_texts(make_router, tmp_path):
    """Where they are asked for, of every protocol, as far as asked for, and nobody forges a line."""
    path = tmp_path / "log.json"
    router = make_router({"log": {"destination": "file", "file": str(path), "format": "json"},
                          "defaults": SLOW})

    def told(count):
        return wait_until(lambda: len(lines_of(path, "slow-query")) >= count and
                          lines_of(path, "slow-query"), 10, f"{count} are told")
    text = "SELECT 'dark \"matter\"\r\n\t\x1b[31m é', pg_sleep(0.001) -- \\ end"
    with router.transactional.wire() as wire:
        wire.query(text)
        for name in ("", "s1"):
            wire.send(w.parse(text, name), w.bind([], name), w.execute(), w.sync())
            wire.until_ready()
        # Another one in between.
        wire.query("SELECT 1")
        wire.send(w.bind([], "s1"), w.execute(), w.sync())
        wire.until_ready()
        lines = told(5)
        assert [line["text"] for line in lines] == [text] * 3 + ["SELECT 1", text]
        assert len({line["fingerprint"] for line in lines}) == 2
        # As much as is asked for, and no half of a character.
        wire.query("SELECT 'x" + "é" * 400 + "'")
        assert told(6)[5]["text"] == "SELECT 'x" + "é" * 145
    assert b"\x1b" not in path.read_bytes() and b"\r" not in path.read_bytes()
    # A reload takes it back.
    router.config["defaults"]["log_slow_text"] = 0
    router.write_config()
    router.signal(1)
    wait_until(lambda: lines_of(path, "reload"), 10, "it is read")
    with router.transactional.wire() as wire:
        wire.query(text)
        line = told(7)[6]
        assert "text" not in line and line["fingerprint"] == lines[0]["fingerprint"]


def test_slow_texts_that_are_escaped_fit(make_router):
    """A text that becomes longer by that is shown in part; the line is whole."""
    router = make_router({"defaults": {**SLOW, "log_slow_text": "1kB"}})
    with router.transactional.wire() as wire:
        for byte in ("\x01", "\\", '"'):
            begin = len(router.log())
            wire.query("SELECT $$" + byte * 1500 + "$$")
            (shown,) = wait_until(lambda begin=begin: re.findall(
                r' slow-query .* text="(SELECT \$\$(?:\\.)*(?:\w|\\.)*)" suppressed=0\n',
                router.log()[begin:]), 10, "it is told")
            assert 800 < len(shown) < 1200


@pytest.mark.parametrize("port", ["transactional", "session"])
def test_slow_texts_without_secrets(make_router, port):
    """What may hold one is withheld, by every protocol, and that is told."""
    router = make_router({"defaults": {**SLOW, "log_slow_text": "1kB"}})

    def run(text, name):
        """What the log then says.  Ten lines a second are written: whoever asks, asks again."""
        begin = len(router.log())
        with getattr(router, port).wire() as wire:
            if name is None:
                wire.send(w.query("BEGIN; " + text + "; ROLLBACK"))
            else:
                wire.send(w.parse(text, name), w.bind([], name), w.execute(), w.sync())
            wire.until_ready()
        wait_until(lambda: "client-close" in router.log()[begin:], 10, "it is gone")
        return router.log()[begin:]
    for text in SECRETS:
        for name in (None, "", "s1"):
            # What was prepared by name on a session port is not known.
            what = "fingerprint=unknown" if name and port == "session" else "text_withheld=yes"
            wait_until(lambda text=text, name=name, what=what: what in run(text, name), 20,
                       f"{text} is withheld")
    assert "swordfish" not in router.log() and " text=" not in router.log().split("listen", 1)[1]


def test_slow_waits_tell_what_waited(make_router):
    """The fingerprint is that of slow-query; the text where it is asked for."""
    router = make_router({
        "hosts": {"main": {"connection_budget": 2}},
        "workloads": {"transactional": {"guaranteed_connections": 1, "max_connections": 1},
                      "session": {"guaranteed_connections": 1}},
        "defaults": SLOW})
    text = "SELECT 'waited for', pg_sleep(0.01)"
    waits = {"query": [w.query(text)],
             "unnamed": [w.parse(text), w.bind([]), w.execute(), w.sync()],
             "named": [w.bind([], "s1"), w.execute(), w.sync()]}
    with router.transactional.wire() as one, router.transactional.wire() as two:
        two.send(w.parse(text, "s1"), w.sync())
        two.until_ready()
        for name, messages in waits.items():
            begin = len(router.log())
            one.query("BEGIN")
            two.send(*messages)
            wait_until(lambda: any(int(row["wait_us"]) > 60000 or int(row["wait"]) > 0
                                   for row in router.show("WAITING")), 10, "it has waited so long")
            one.query("COMMIT")
            two.until_ready()
            (line,) = wait_until(lambda begin=begin: re.findall(
                r" slow-wait (.*)", router.log()[begin:]), 10, "it is told")
            assert f' text="{text}" ' in line, (name, line)
            prints = wait_until(lambda begin=begin: re.findall(
                r" slow-query .* fingerprint=(\w+) text=\"SELECT", router.log()[begin:]), 10, "told")
            assert f" fingerprint={prints[-1]} " in line


def test_rate_of_what_others_cause(make_router):
    """Ten lines a second; the next tells how many were left out."""
    router = make_router()

    def fail():
        with router.transactional.raw() as wire, contextlib.suppress(Exception):
            wire.login("app_scram", "wrong", "app")
    for _ in range(60):
        fail()

    def suppressed():
        fail()
        return sum(int(n) for n in re.findall(r"client-auth-failed .* suppressed=(\d+)",
                                              router.log())) > 0
    wait_until(suppressed, 10, "it is told how many")


def test_journald_and_syslog(make_router):
    """They may not be there: nobody is the worse for it."""
    router = make_router({"log": {"destination": "syslog", "format": "json"}}, start=False)
    for destination in ("syslog", "journald"):
        router.config["log"] = {"destination": destination}
        router.write_config()
        router.start()
        with router.transactional.connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert "client-login" not in router.log()
        assert router.stop() == 0
    ports = listening_ports()
    assert not set(router.ports.values()) & ports


def test_a_full_disk_holds_nobody_up(make_router, tmp_path):
    """What could not be written is counted, and told when it can be."""
    port = free_port()
    router = make_router({"log": {"destination": "file", "file": "/dev/full"},
                          "http": {"listen": [f"127.0.0.1:{port}"]}})
    for _ in range(5):
        with router.transactional.connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    path = tmp_path / "log.text"
    router.config["log"]["file"] = str(path)
    router.write_config()
    router.signal(1)
    wait_until(lambda: path.exists() and "log-lost lines=" in path.read_text(), 10, "it is told")
    lost = int(re.search(r"log-lost lines=(\d+)", path.read_text()).group(1))
    assert lost >= 10
    assert Web(port).metrics().value("pgtandem_log_lost_lines_total") == lost


def test_a_pipe_that_nobody_reads_holds_nobody_up(make_router):
    router = make_router(start=False)
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    router.process = subprocess.Popen(
        [router.program(), "--config", str(router.config_file)], stdin=subprocess.DEVNULL,
        stdout=writer, stderr=writer, cwd=router.directory)
    os.close(writer)
    wait_until(router.is_listening, 15, "the router listens")
    # Each writes two lines of some 150 bytes.
    for _ in range(60):
        with router.transactional.connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    seen = b""
    while seen.count(b" client-close ") < 60:
        seen += os.read(reader, 65536)
    ids = [int(text) for text in re.findall(rb" client-login id=(\d+)", seen)]
    assert ids == sorted(ids) and len(ids) == 60
    # Nobody reads it again: it ends all the same.
    for _ in range(60):
        router.transactional.connect().close()
    assert router.stop() == 0
    os.close(reader)


def test_what_is_no_utf8_is_escaped(make_router):
    router = make_router()
    with router.transactional.raw() as wire, contextlib.suppress(RuntimeError):
        wire.login(b"a\xff\xc2\x9bb\xc3\xa9", "wrong", "app")
    wait_until(lambda: "client-auth-failed" in router.log(), 10, "it is told")
    assert ' user="a\\xff\\xc2\\x9bbé" ' in router.log()
    router.log_file.read_bytes().decode("utf-8")


@pytest.mark.parametrize("said", [b"", b"\0\0\0\x08", w.startup("app_scram", "app")],
                         ids=["nothing", "half", "startup"])
def test_where_one_came_from_that_has_reset(router, said):
    """getpeername() knows it no more."""
    wire = router.transactional.raw()
    port = wire.socket.getsockname()[1]
    wire.send(said)
    if len(said) > 8:
        wire.read(9)      # it is asked for a proof
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.close()
    wait_until(lambda: re.search(rf"client-close id=\d+ workload=transactional"
                                 rf" addr=127\.0\.0\.1:{port} reason=[a-z-]+ login=no",
                                 router.log()), 10, "a line with its address")

# SPDX-License-Identifier: ISC
"""syslog and journald: what arrives there, and that neither holds anybody up.

Their sockets have fixed names.  So the router runs in a mount namespace of its own in which
/dev and /run are folders of the test, with a socket of the test in the daemon's place."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import tempfile

import pytest
from support import needs
from support.wait import wait_until

pytestmark = pytest.mark.router_only

# $1: the test's folder.
ENTER = """set -eu
for name in null zero full random urandom; do
    : > "$1/dev/$name"
    mount --bind "/dev/$name" "$1/dev/$name"
done
mount --rbind "$1/dev" /dev
mount --bind "$1/run" /run
shift
exec "$@"
"""
PLACES = {"syslog": "dev/log", "journald": "run/systemd/journal/socket"}
PRIORITIES = {"error": 3, "warn": 4, "info": 6}


def may_mount():
    if os.getuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"],
                          capture_output=True, check=False).returncode == 0


class Daemon:
    """A socket in the place of syslog's or journald's."""

    def __init__(self, directory, kind):
        self.directory, self.kind = directory, kind
        self.path = directory / PLACES[kind]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.socket, self.seen = None, []
        self.open()

    def open(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.path.chmod(0o666)
        self.socket.setblocking(False)

    def close(self):
        self.socket.close()
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()

    def messages(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.seen.append(self.socket.recv(1 << 20))
        return self.seen

    def lines(self, event=None):
        """Each as a dictionary; "event", "priority", "identifier" and "pid" are of all."""
        read = read_syslog if self.kind == "syslog" else read_journald
        lines = [read(message) for message in self.messages()]
        return [line for line in lines if event in (None, line["event"])]


def read_syslog(message):
    """As glibc sends it: <priority>date identifier[pid]: text."""
    m = re.fullmatch(r"<(\d+)>\w{3} [ \d]\d \d\d:\d\d:\d\d ([^\[]*)\[(\d+)\]: (.*)",
                     message.decode().rstrip("\0"), re.S)
    assert m, message
    line = {"priority": int(m[1]), "identifier": m[2], "pid": int(m[3]), "text": m[4]}
    if m[4].startswith("{"):
        return {**json.loads(m[4]), **line}
    return {**dict(re.findall(r'(\w+)="?([^" ]*)', m[4])), **line, "event": m[4].split()[0]}


def read_journald(message):
    """KEY=value, or where the value has line feeds KEY, its length and it:
    https://systemd.io/JOURNAL_NATIVE_PROTOCOL/"""
    fields, at = {}, 0
    while at < len(message):
        end = message.index(b"\n", at)
        key, equals, value = message[at:end].partition(b"=")
        at = end + 1
        if not equals:
            (size,) = struct.unpack_from("<Q", message, at)
            value = message[at + 8:at + 8 + size]
            at += 8 + size + 1
        assert key.decode() not in fields, f"{key} is there twice"
        fields[key.decode()] = value.decode()
    return {**fields, "event": fields["PGTANDEM_EVENT"], "priority": int(fields["PRIORITY"]),
            "identifier": fields["SYSLOG_IDENTIFIER"], "text": fields["MESSAGE"]}


@pytest.fixture(params=sorted(PLACES))
def kind(request):
    return request.param


@pytest.fixture
def logging(make_router, kind):
    """logging(log) is a router that logs there, and the daemon."""
    if not may_mount():
        needs.not_allowed("a mount namespace, which root may make")
    directory = pathlib.Path(tempfile.mkdtemp(prefix="pgtandem-log-"))
    directory.chmod(0o755)
    for name in ("dev", "run"):
        (directory / name).mkdir()
    daemon = Daemon(directory, kind)

    def start(**log):
        router = make_router({"log": {"destination": kind, **log}}, start=False)
        with open(router.log_file, "ab") as out:
            # unshare becomes the shell, and that the router: its process id is this one.
            router.process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", ENTER, "sh", str(directory), router.program(),
                 "--config", str(router.config_file)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=router.directory)
        wait_until(router.is_listening, 15, "the router listens")
        maps = open(f"/proc/{router.process.pid}/maps", encoding="ascii").read()
        if kind == "journald" and "libsystemd" not in maps:
            pytest.skip("built without libsystemd")
        return router, daemon
    yield start
    daemon.close()
    shutil.rmtree(directory, ignore_errors=True)


def log_in(router, times=1):
    for _ in range(times):
        with router.transactional.wire() as wire:
            wire.quit()


def test_lines_arrive(logging, kind):
    """With their priority, who writes, and, in the journal, a field for each value."""
    router, daemon = logging(syslog_facility="local3", syslog_ident="front-door")
    with router.transactional.wire(application_name="an app") as wire:
        wire.query("SELECT 1")
        wire.quit()
    (end,) = wait_until(lambda: daemon.lines("client-close"), 10, "its end is told")
    with contextlib.suppress(RuntimeError), router.transactional.raw() as wire:
        wire.login("app_scram", "wrong", "app")
    wait_until(lambda: len(daemon.lines("client-close")) == 2, 10, "the other's, too")
    (begin,) = daemon.lines("client-login")
    (failed,) = daemon.lines("client-auth-failed")
    facility = 19 * 8 if kind == "syslog" else 0
    assert begin["priority"] == end["priority"] == facility + PRIORITIES["info"]
    assert failed["priority"] == facility + PRIORITIES["warn"]
    assert {line["identifier"] for line in daemon.lines()} == {"front-door"}
    assert re.match(r"client-login id=\d+ workload=transactional ", begin["text"])
    if kind == "syslog":
        assert {line["pid"] for line in daemon.lines()} == {router.process.pid}
        assert (begin["user"], end["reason"]) == ("app_scram", "quit")
    else:
        assert begin["PGTANDEM_ID"] == end["PGTANDEM_ID"] != failed["PGTANDEM_ID"]
        assert begin["PGTANDEM_APPLICATION"] == "an app"
        assert (begin["PGTANDEM_USER"], begin["PGTANDEM_DATABASE"]) == ("app_scram", "app")
        assert (end["PGTANDEM_REASON"], end["PGTANDEM_QUERIES"]) == ("quit", "1")
    # Nothing but what was said before the destination was known is on standard error.
    assert "client-login" not in router.log()


def test_nobody_forges_one(logging, kind):
    """A value may hold line feeds, and whatever looks like a field or a line."""
    router, daemon = logging()
    evil = 'a" b\nPRIORITY=0\nPGTANDEM_EVENT=forged\n<0>x[1]: forged'
    with contextlib.suppress(RuntimeError), router.transactional.raw() as wire:
        wire.login(evil, "wrong", "app")
    (failed,) = wait_until(lambda: daemon.lines("client-auth-failed"), 10, "it is told")
    assert failed["priority"] % 8 == PRIORITIES["warn"]
    if kind == "journald":
        assert failed["PGTANDEM_USER"] == evil
    else:
        assert "\n" not in failed["text"] and 'user="a\\" b\\x0aPRIORITY=0' in failed["text"]
    assert "forged" not in {line["event"] for line in daemon.lines()}


def test_json_to_syslog(logging, kind):
    router, daemon = logging(format="json")
    log_in(router)
    (line,) = wait_until(lambda: daemon.lines("client-close"), 10, "it is told")
    if kind == "journald":
        # It has fields; a form of text is nothing to it.
        assert line["text"].startswith("client-close id=")
    else:
        assert (line["event"], line["level"], line["reason"]) == ("client-close", "info", "quit")


def test_one_that_is_gone(logging):
    """Nobody is the worse for it, and when it is back it gets what comes then."""
    router, daemon = logging()
    log_in(router)
    wait_until(lambda: daemon.lines("client-close"), 10, "it is told")
    daemon.close()
    log_in(router, 5)
    assert router.transactional.connect().execute("SELECT 1").fetchone() == (1,)
    router.command("RELOAD")
    daemon.open()
    before = len(daemon.seen)

    def is_told():
        log_in(router)
        return len(daemon.messages()) > before
    wait_until(is_told, 10, "it is told again")
    assert router.stop() == 0


def test_one_that_reads_nothing(logging):
    """Its socket is full: the log's thread waits, nobody else does; what was held back comes when
    it reads again, all of it and in order."""
    router, daemon = logging()
    room = int(open("/proc/sys/net/unix/max_dgram_qlen", encoding="ascii").read())
    log_in(router, room // 2 + 20)

    def waits():
        """Is the log's thread in the middle of a send?"""
        for task in pathlib.Path(f"/proc/{router.process.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                if re.search(r"unix_wait_for_peer|sock_alloc_send|unix_dgram",
                             (task / "stack").read_text() + (task / "wchan").read_text()):
                    return True
        return False
    wait_until(waits, 10, "the log's thread waits")
    log_in(router, 20)
    with router.session.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert router.show("WORKLOADS")
    router.command("RELOAD")
    total = room // 2 + 41
    wait_until(lambda: len(daemon.lines("client-close")) >= total, 30, "all comes")
    ids = [int(re.search(r" id=(\d+) ", line["text"])[1]) for line in daemon.lines("client-login")]
    assert ids == sorted(ids) and len(ids) >= total
    # Full once more, and it ends all the same.
    log_in(router, room // 2 + 20)
    wait_until(waits, 10, "the log's thread waits")
    assert router.stop() == 0

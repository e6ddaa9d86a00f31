# SPDX-License-Identifier: ISC
"""Passwords for PostgreSQL that come from a file or a command, change while servers are
there, and are sent to nobody who is not to have them."""
import concurrent.futures
import contextlib
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time

import psycopg
import pytest
from support import wire as w
from support.postgres import DATABASE, USERS
from support.wait import wait_until

pytestmark = pytest.mark.router_only

SECRET = USERS["other"][0]


def connect(router, dbname="reports"):
    return router.transactional.connect(dbname=dbname)


def told(router, text):
    """The log is written by a thread of its own."""
    wait_until(lambda: text in router.log(), 10, f"the log's word: {text}")


def metric(router, name):
    with router.admin() as admin:
        return int(admin.execute("SHOW HOSTS").fetchone()[name])


@pytest.fixture
def rotated(postgres):
    """rotate(password): PostgreSQL has another one from now on."""
    def rotate(password):
        postgres.sql(f"ALTER ROLE other PASSWORD '{password}'")
    yield rotate
    rotate(SECRET)


class Command:
    """A program that prints what a file holds, and counts how often it was run."""

    def __init__(self, directory, body="cat \"$here/secret\""):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(exist_ok=True)
        os.chmod(self.directory, 0o755)
        self.secret = self.directory / "secret"
        self.program = self.directory / "tell"
        self.runs = self.directory / "runs"
        self.tell(SECRET)
        self.write(body)

    def write(self, body):
        text = f"#!/bin/sh\nhere='{self.directory}'\necho x >> \"$here/runs\"\n{body}\n"
        new = self.directory / "tell.new"
        new.write_text(text)
        new.chmod(0o755)
        new.rename(self.program)

    def tell(self, password):
        new = self.directory / "secret.new"
        new.write_text(password + "\n")
        new.rename(self.secret)

    def count(self):
        return len(self.runs.read_text().splitlines()) if self.runs.exists() else 0


@pytest.fixture
def command(tmp_path):
    return Command(tmp_path / "command")


def by_command(command, *more, **entry):
    return {"databases": {"reports": {
        "host": "main", "dbname": "app", "user": "other",
        "password_command": [str(command.program), *more], **entry}}}


# ----------------------------------------------------------------------- rotation

@pytest.mark.parametrize("kind", ["file", "command"])
def test_a_password_that_changes(make_router, postgres, rotated, command, kind):
    """Servers stay, and who needs a new one gets it with the new password: nobody is
    refused, and the old one is asked for once."""
    config = by_command(command)
    if kind == "file":
        command.secret.chmod(0o600)
        del config["databases"]["reports"]["password_command"]
        config["databases"]["reports"]["password_file"] = str(command.secret)
    router = make_router(config)
    with connect(router) as first:
        first.execute("BEGIN")
        assert first.execute("SELECT current_user").fetchone() == ("other",)
        pid = first.info.backend_pid
        before = metric(router, "password_fetches")
        assert before == 1
        rotated("second secret")
        command.tell("second secret")
        with connect(router) as second:
            assert second.execute("SELECT current_user").fetchone() == ("other",)
        # The server of before goes on, in the pool of before.
        assert first.execute("SELECT current_user").fetchone() == ("other",)
        first.execute("COMMIT")
        assert first.info.backend_pid == pid
    assert metric(router, "password_fetches") == 2
    assert metric(router, "password_failures") == 0
    with router.admin() as admin:
        pools = [row for row in admin.execute("SHOW POOLS").fetchall()
                 if row["database"] == "reports" and row["user"] == "other"]
        assert len(pools) == 1
    told(router, "password-refused")
    assert "second secret" not in router.log()


def test_the_routers_own_login(make_router, postgres, rotated, command):
    """hosts.H.user: the same, for what the router asks itself."""
    router = make_router({"hosts": {"main": {
        "user": "other", "password_command": [str(command.program)],
        "connection_budget": "auto", "auto_share": 20, "budget_check_interval": "200ms"}}})
    with router.admin() as admin:
        def source():
            return admin.execute("SHOW HOSTS").fetchone()["budget_source"]
        wait_until(lambda: source() == "auto", 10, "PostgreSQL was asked")
        rotated("second secret")
        command.tell("second secret")
        postgres.terminate("usename = 'other'")
        runs = command.count()
        wait_until(lambda: command.count() > runs and postgres.count("usename = 'other'") > 0,
                   10, "it is asked again")


def test_a_storm_asks_once(make_router, rotated, command):
    command.write('sleep 0.3; cat "$here/secret"')
    router = make_router({**by_command(command), "hosts": {"main": {"max_connecting": 20}}})

    def one(_):
        with connect(router) as c:
            return c.execute("SELECT pg_sleep(0.3)::text").fetchone()
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        assert len(list(pool.map(one, range(20)))) == 20
    assert command.count() == 1
    rotated("second secret")
    command.tell("second secret")
    with router.admin() as admin:
        admin.execute("RECONNECT")
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        assert len(list(pool.map(one, range(20)))) == 20
    assert command.count() == 2


def test_lifetime(make_router, postgres, command):
    router = make_router(by_command(command, password_lifetime="300ms"))
    with connect(router) as first:
        first.execute("BEGIN")
        first.execute("SELECT 1")
        fetched = time.monotonic()
        assert command.count() == 1
        wait_until(lambda: time.monotonic() > fetched + 0.3, 5)
        with connect(router) as second:
            second.execute("SELECT 1")
        assert command.count() == 2
    assert "password-refused" not in router.log()


def test_an_old_password_while_there_is_no_new_one(make_router, command):
    """Vault is down when the lifetime ends: what was known is tried, and works."""
    router = make_router(by_command(command, password_lifetime="100ms"))
    with connect(router) as first:
        first.execute("BEGIN")
        first.execute("SELECT 1")
        since = time.monotonic()
        command.write('echo "the vault is sealed" >&2; exit 2')
        wait_until(lambda: time.monotonic() > since + 0.1, 5)
        with connect(router) as second:
            assert second.execute("SELECT current_user").fetchone() == ("other",)
    assert metric(router, "password_failures") >= 1
    told(router, 'reason="it ended with code 2" said="the vault is sealed')


def test_reload_asks_again(make_router, command):
    router = make_router(by_command(command))
    with connect(router) as first:
        first.execute("BEGIN")
        first.execute("SELECT 1")
        router.reload({})
        with connect(router) as second:
            second.execute("SELECT 1")
        assert command.count() == 2


class AsksInClear(threading.Thread):
    """A server at a Unix socket that asks for a password in clear, and refuses it."""

    def __init__(self, directory, port, sqlstate="28P01"):
        super().__init__(daemon=True)
        self.got = []
        self.sqlstate = sqlstate
        self.listener = socket.socket(socket.AF_UNIX)
        path = f"{directory}/.s.PGSQL.{port}"
        self.listener.bind(path)
        os.chmod(path, 0o777)
        self.listener.listen(20)
        self.start()

    def run(self):
        body = f"SFATAL\0C{self.sqlstate}\0Mwrong\0\0".encode()
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with sock:
                sock.settimeout(10)
                size, = struct.unpack("!I", sock.recv(4))
                sock.recv(size - 4)
                sock.sendall(b"R" + struct.pack("!II", 8, 3))
                answer = sock.recv(1000)
                if answer[:1] == b"p":
                    self.got.append(answer[5:-1].decode())
                sock.sendall(b"E" + struct.pack("!I", 4 + len(body)) + body)


def test_a_reload_while_a_command_runs(make_router, command):
    """What it tells is for the place it was told of, and goes to no other one: neither
    what was asked for before to the place of after, nor the other way round."""
    directory = tempfile.mkdtemp(prefix="pgt")
    os.chmod(directory, 0o777)
    old, new = (AsksInClear(directory, port) for port in (6001, 6002))
    command.write('port=$PGPORT; echo "$port" >> "$here/began"; '
                  'while [ ! -e "$here/go" ]; do sleep 0.05; done; echo "for-$port"')
    began = command.directory / "began"

    def config(port):
        return {"hosts": {"main": {"host": directory, "port": port}}, **by_command(command)}

    router = make_router(config(6001))
    try:
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            first = pool.submit(works, router)
            wait_until(lambda: began.exists() and began.read_text() == "6001\n", 10, "it runs")
            router.reload(config(6002))
            second = pool.submit(works, router)
            (command.directory / "go").touch()
            assert not first.result()
            assert not second.result()
        assert set(new.got) == {"for-6002"}
        assert set(old.got) <= {"for-6001"}
    finally:
        old.listener.close()
        new.listener.close()
        shutil.rmtree(directory)


# ----------------------------------------------------------------------- what fails

FAILURES = {
    "code": ('echo "no token: $PGUSER" >&2; exit 7', "it ended with code 7", "no token: other"),
    "signal": ("kill -KILL $$", "it was ended by signal 9", ""),
    "nothing": ("true", "it printed nothing", ""),
    "two lines": ("echo a; echo b", "it printed more than one line", ""),
    "too much": ("yes", "it printed more than a password can be", ""),
    "secret told": (f"echo '{SECRET}-x'; echo 'not {SECRET}-x!' >&2; exit 1",
                    "it ended with code 1", "not ***** ********!"),
}


@pytest.mark.parametrize("how", FAILURES)
def test_a_command_that_fails(make_router, command, how):
    """The client hears that there is no password, the log has the rest."""
    body, why, said = FAILURES[how]
    command.write(body)
    router = make_router(by_command(command))
    with pytest.raises(psycopg.OperationalError, match="password of user") as error:
        with connect(router) as c:
            c.execute("SELECT 1")
    assert "no token" not in str(error.value)
    told(router, f'reason="{why}" said="{said}')
    assert f"{SECRET}-x" not in router.log()
    assert metric(router, "password_failures") >= 1
    # ... and comes back by itself.
    command.write('cat "$here/secret"')
    wait_until(lambda: works(router), 20, "it works again")


def works(router):
    try:
        with connect(router) as c:
            c.execute("SELECT 1")
        return True
    except psycopg.OperationalError:
        return False


def test_a_wrong_password_is_not_asked_for_again_and_again(make_router, command):
    """Wrong, and wrong again: PostgreSQL's own words; the command has its pauses."""
    command.tell("wrong")
    router = make_router(by_command(command))
    until = time.monotonic() + 2
    tries = 0
    while time.monotonic() < until:
        with pytest.raises(psycopg.OperationalError,
                           match="password authentication failed for user \"other\""):
            connect(router)
        tries += 1
    assert tries >= 1
    assert command.count() <= 5


@pytest.mark.parametrize("sqlstate, times", [("28P01", 2), ("28000", 2), ("42501", 1)])
def test_what_says_that_it_is_wrong(make_router, command, sqlstate, times):
    """28000 is what PostgreSQL says with PAM and LDAP."""
    directory = tempfile.mkdtemp(prefix="pgt")
    os.chmod(directory, 0o777)
    server = AsksInClear(directory, 6001, sqlstate)
    try:
        router = make_router({"hosts": {"main": {"host": directory, "port": 6001}},
                              **by_command(command)})
        assert not works(router)
        assert len(server.got) == times
        assert command.count() == times
    finally:
        server.listener.close()
        shutil.rmtree(directory)


def test_a_refusal_that_no_password_helps_against(make_router, postgres, command):
    """pg_hba.conf's, before it asks, and the role's, after: the command is not run again."""
    hba = postgres.data / "pg_hba.conf"
    before = hba.read_text()
    router = make_router(by_command(command))

    def refused(text):
        with pytest.raises(psycopg.OperationalError, match=text):
            connect(router)
    try:
        hba.write_text("host all other 127.0.0.1/32 reject\n" + before)
        postgres.reload()
        for _ in range(3):
            refused("pg_hba.conf rejects connection")
        hba.write_text(before)
        postgres.reload()
        postgres.sql("ALTER ROLE other NOLOGIN")
        wait_until(lambda: not_permitted(router), 20, "the role's own refusal")
        for _ in range(2):
            refused("is not permitted to log in")
    finally:
        hba.write_text(before)
        postgres.reload()
        postgres.sql("ALTER ROLE other LOGIN")
    wait_until(lambda: works(router), 20, "it works again")
    assert command.count() == 1
    assert "password-refused" not in router.log()


def not_permitted(router):
    try:
        connect(router)
    except psycopg.OperationalError as problem:
        return "is not permitted to log in" in str(problem)
    return False


def test_a_slow_command_holds_nobody_up(make_router, command):
    """Others are served meanwhile, also by the same worker."""
    command.write('sleep 2; cat "$here/secret"')
    router = make_router({**by_command(command), "process": {"workers": 1}})
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        slow = pool.submit(works, router)
        wait_until(lambda: command.count() == 1, 10, "it runs")
        for _ in range(20):
            with router.transactional.connect() as c:
                c.execute("SELECT 1")
        assert not slow.done()
        assert slow.result()


def test_commands_of_one_host_that_hang(make_router, postgres, command, tmp_path):
    """As many of them as there are threads: those of another host are run all the same."""
    hanging = Command(tmp_path / "hanging", 'echo > "$here/$1"; '
                      'while [ ! -e "$here/go" ]; do sleep 0.05; done; cat "$here/secret"')
    names = [f"hangs{i}" for i in range(6)]
    databases = {name: {"host": "other", "dbname": "app", "user": "other",
                        "password_command": [str(hanging.program), name]} for name in names}
    router = make_router({
        "hosts": {"other": {"host": "127.0.0.1", "port": postgres.port,
                            "connection_budget": 10, "max_connecting": 10}},
        "databases": {**databases, **by_command(command)["databases"]}})

    def one(name):
        with connect(router, name) as c:
            return c.execute("SELECT current_user").fetchone()
    with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
        logins = [pool.submit(one, name) for name in names]
        try:
            wait_until(lambda: hanging.count() == 2, 10, "two are run")
            wait_until(lambda: waits(router, "other") == ["password"] * len(names), 5,
                       "the others wait")
            assert works(router)
            assert hanging.count() == 2
            assert not any(login.done() for login in logins)
        finally:
            (hanging.directory / "go").touch()
        assert [login.result() for login in logins] == [("other",)] * len(names)


HANGS = 'while [ ! -e "$here/go" ]; do sleep 0.05; done; cat "$here/secret"'


def waits(router, user):
    """What each client waits for that is to have a server of this user's."""
    with router.admin() as admin:
        return [row["reason"] for row in admin.execute("SHOW WAITING").fetchall()
                if row["user"] == user]


def host(router):
    with router.admin() as admin:
        return admin.execute("SHOW HOSTS").fetchone()


@contextlib.contextmanager
def hang(router, command, count):
    """As many clients as wait for a command that hangs; go() lets it answer."""
    with contextlib.ExitStack() as open_ones:
        wires = [open_ones.enter_context(router.transactional.raw()) for _ in range(count)]
        for wire in wires:
            wire.send(w.startup("app_scram", "reports"))
        wait_until(lambda: waits(router, "other") == ["password"] * count, 10, "all wait")
        yield wires, (command.directory / "go").touch


def by_command_alone(command):
    """One place for connects, one unit: who holds either holds up everybody."""
    return {**by_command(command), "auth": {"auth_type": "trust"},
            "hosts": {"main": {"max_connecting": 1, "connection_budget": 1}},
            "workloads": {"session": {"max_connections": 1}}}


def test_places_for_connects_come_back(make_router, command):
    """A command that hangs has neither a place for a connect nor a unit: another user's server
    is opened at once; and when it answers, those who waited for it go on."""
    command.write(HANGS)
    router = make_router(by_command_alone(command))
    with hang(router, command, 3) as (wires, go):
        assert (host(router)["used"], host(router)["connecting"]) == (0, 0)
        with router.transactional.raw() as other:
            other.send(w.startup("app_trust", DATABASE))
            other.authenticate("app_trust", "")
            assert other.value("SELECT current_user") == "app_trust"
        # It was not that the command had given up.
        assert waits(router, "other") == ["password"] * 3
        assert command.count() == 1
        go()
        for wire in wires:
            wire.authenticate("app_scram", "")
            assert wire.value("SELECT current_user") == "other"
    assert command.count() == 1


def test_a_refused_password_gives_its_place_back(make_router, rotated, command):
    """The same where it is PostgreSQL that wants another password."""
    router = make_router(by_command_alone(command))
    # As long as somebody is there, so is what was fetched for him.
    with connect(router) as first:
        assert first.execute("SELECT current_user").fetchone() == ("other",)
        refused_password_gives_its_place_back(router, rotated, command)


def refused_password_gives_its_place_back(router, rotated, command):
    rotated("second secret")
    command.tell("second secret")
    command.write(HANGS)
    with router.admin() as admin:
        admin.execute("RECONNECT")
    wait_until(lambda: host(router)["used"] == 0, 10, "the server has gone")
    with hang(router, command, 2) as (wires, go):
        told(router, "password-refused")
        with router.transactional.raw() as other:
            other.send(w.startup("app_trust", DATABASE))
            other.authenticate("app_trust", "")
            assert other.value("SELECT current_user") == "app_trust"
        assert waits(router, "other") == ["password"] * 2
        go()
        for wire in wires:
            wire.authenticate("app_scram", "")
            assert wire.value("SELECT current_user") == "other"
    assert command.count() == 2


def test_all_who_wait_hear_that_it_failed(make_router, command):
    """At once, whatever else is under way: to say so takes no place and no unit."""
    command.write('while [ ! -e "$here/go" ]; do sleep 0.05; done; exit 3')
    router = make_router(by_command_alone(command))
    with hang(router, command, 3) as (wires, go), router.transactional.raw() as other:
        other.send(w.startup("app_trust", DATABASE))
        other.authenticate("app_trust", "")
        other.query("BEGIN")
        go()
        for wire in wires:
            error = wire.until("E")[-1]
            assert error.sqlstate == "28000"
            assert 'the password of user "other" could not be had' in error.text
        assert (host(router)["used"], other.value("SELECT 1")) == (1, "1")


def test_replication_waits_by_itself(make_router, postgres, command):
    """Its connection is in no pool."""
    command.write(HANGS)
    router = make_router({**by_command(command), "auth": {"auth_type": "trust"}})
    postgres.sql("ALTER ROLE other REPLICATION")
    try:
        with router.session.raw() as wire:
            wire.send(w.startup("app_scram", "reports", replication="database"))
            wait_until(lambda: command.count() == 1, 10, "it runs")
            assert waits(router, "other") == []
            (command.directory / "go").touch()
            wire.authenticate("app_scram", "")
            assert w.types(wire.query("IDENTIFY_SYSTEM")) == "TDCZ"
    finally:
        postgres.sql("ALTER ROLE other NOREPLICATION")


def test_stock_with_a_short_lifetime(make_router, postgres, command):
    """What was fetched for it is used, also when its time is over by then."""
    router = make_router(by_command(command, password_lifetime="1ms", min_pool_size=2))
    wait_until(lambda: works(router), 10, "it has been used")
    wait_until(lambda: postgres.count("usename = 'other'") == 2, 20, "two are kept")


def test_stop_while_a_command_runs(make_router, command):
    # Longer than it may take: who waits for it is refused, or the stop is sooner.
    command.write('sleep 60; cat "$here/secret"')
    router = make_router(by_command(command))
    with router.transactional.raw() as raw:
        raw.send(w.startup("app_scram", "reports"))
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            one = pool.submit(works, router)
            wait_until(lambda: command.count() == 1, 10, "it runs")
            router.stop()
            assert not one.result()


# ----------------------------------------------------------------------- what it gets

def test_what_the_command_gets(make_router, command):
    """Its words as they are, PostgreSQL's variables, PATH, and nothing else of ours."""
    command.write('printf "%s|" "$@" > "$here/words"; env > "$here/env"; '
                  'ls /proc/self/fd > "$here/fds"; cat "$here/secret"')
    os.environ["PGTANDEM_HIDDEN"] = "x"
    try:
        router = make_router(by_command(command, "a b", "$HOME; true", "*"))
        assert works(router)
    finally:
        del os.environ["PGTANDEM_HIDDEN"]
    assert (command.directory / "words").read_text() == "a b|$HOME; true|*|"
    names = dict(line.split("=", 1) for line in (command.directory / "env").read_text().splitlines())
    for own in ("PWD", "SHLVL", "_", "OLDPWD"):
        names.pop(own, None)
    assert set(names) == {"PATH", "PGHOST", "PGPORT", "PGUSER", "PGDATABASE"}
    assert names["PGHOST"] == "127.0.0.1"
    assert names["PGPORT"] == str(router.postgres.port)
    assert names["PGUSER"] == "other"
    assert names["PGDATABASE"] == "app"
    assert (command.directory / "fds").read_text().split() == ["0", "1", "2", "3"]


def test_no_database_where_it_is_the_clients(make_router, command):
    command.write('echo "${PGDATABASE-none}" > "$here/database"; cat "$here/secret"')
    config = by_command(command)
    config["databases"]["*"] = {**config["databases"].pop("reports"), "dbname": None}
    router = make_router(config)
    with connect(router, "app") as c:
        c.execute("SELECT 1")
    assert (command.directory / "database").read_text() == "none\n"


# ----------------------------------------------------------------------- the file

@pytest.mark.parametrize("entry, says", [
    ({"password_command": ["tell"]}, "whole path"),
    ({"password_command": ["/nonexistent/tell"]}, "No such file"),
    ({"password_command": ["/bin/true"], "password": "x"}, "exclude each other"),
    ({"password_command": ["/bin/true"], "password_file": "secret"}, "exclude each other"),
    ({"password_lifetime": "1h"}, "password_lifetime without"),
    ({"user": None, "password_command": ["/bin/true"]}, "without user"),
    ({"password_file": "nothing"}, "cannot read"),
])
def test_check(make_router, entry, says):
    router = make_router({"databases": {"reports": {"host": "main", "user": "other", **entry}}},
                         start=False)
    done = check(router)
    assert done.returncode == 1
    assert says in done.stdout + done.stderr


def check(router):
    return subprocess.run([router.program(), "--check", str(router.config_file)],
                          capture_output=True, text=True, timeout=60, check=False)


def test_a_command_that_everybody_may_change(make_router, command):
    """Refused when the file is read, and, should that have changed since, when it is run."""
    command.program.chmod(0o757)
    router = make_router(by_command(command), start=False)
    done = check(router)
    assert done.returncode == 1
    assert "everybody may change it" in done.stdout + done.stderr
    command.program.chmod(0o755)
    router.start()
    command.program.chmod(0o757)
    assert not works(router)
    told(router, "everybody may change it")
    assert command.count() == 0


def test_a_pipe_in_place_of_the_file(make_router, tmp_path):
    """Nobody writes to it: neither a reload nor a login waits for that."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)
    config = {"databases": {"reports": {"host": "main", "dbname": "app", "user": "other",
                                        "password_file": str(secret)}}}
    router = make_router(config)
    secret.unlink()
    os.mkfifo(secret, 0o600)
    assert not works(router)
    told(router, "is not a regular file")
    done = check(router)
    assert done.returncode == 1
    assert "is not a regular file" in done.stdout + done.stderr
    router.expect_error("is not a regular file")
    with router.admin() as admin:
        with pytest.raises(psycopg.Error, match="is not a regular file"):
            admin.execute("RELOAD")


# ----------------------------------------------------------------------- in clear

def test_in_clear_over_tcp(make_router):
    """The default: PostgreSQL's question is not answered, and the client hears why."""
    router = make_router({"hosts": {"main": {"server_cleartext_password": "tls"}}})
    for endpoint in (router.transactional, router.session):
        with pytest.raises(RuntimeError, match="28000") as error:
            endpoint.wire(user="app_plain")
        assert "in clear" in str(error.value)
        assert "server_cleartext_password" in str(error.value)
    assert metric(router, "cleartext_refusals") >= 1
    with router.transactional.connect() as c:
        assert c.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("allowed", ["never", "tls", "always"])
def test_in_clear_over_a_unix_socket(make_router, postgres, allowed):
    hba = postgres.data / "pg_hba.conf"
    before = hba.read_text()
    hba.write_text("local all app_plain password\n" + before)
    try:
        postgres.reload()
        router = make_router({"hosts": {"main": {"host": str(postgres.socket_dir),
                                                 "server_cleartext_password": allowed}}})
        if allowed == "never":
            with pytest.raises(RuntimeError, match="28000"):
                router.transactional.wire(user="app_plain")
        else:
            with router.transactional.wire(user="app_plain") as wire:
                assert wire.value("SELECT 1") == "1"
    finally:
        hba.write_text(before)
        postgres.reload()

# SPDX-License-Identifier: ISC
"""pgtandemctl: what scripts get from it."""
import json
import os
import shutil
import signal
import socket
import subprocess

import pytest
from support import needs
from support.net import free_port
from support.router import ADMIN, STATS, Router
from support.wait import wait_until

pytestmark = pytest.mark.router_only
PROGRAM = os.path.join(os.path.dirname(os.path.abspath(Router.program())), "pgtandemctl")


@pytest.fixture(autouse=True)
def is_built():
    if not os.path.exists(PROGRAM):
        needs.missing("pgtandemctl", "tools/install-deps build (libpq, jansson), then configure")


def ctl(router, *words, user=ADMIN, host="127.0.0.1", port=None, password=None, **environment):
    done = subprocess.run(
        [PROGRAM, "-h", host, "-p", str(port or router.ports["session"]), "-U", user[0], *words],
        capture_output=True, text=True, timeout=60, env={
            "PATH": "/usr/bin:/bin", "PGPASSWORD": user[1] if password is None else password,
            "HOME": "/nonexistent", **environment})
    return done.returncode, done.stdout, done.stderr


def start(router, *words, stdout=subprocess.PIPE):
    return subprocess.Popen(
        [PROGRAM, "-h", "127.0.0.1", "-p", str(router.ports["session"]), "-U", ADMIN[0], *words],
        stdout=stdout, stderr=subprocess.PIPE, text=True, env={
            "PATH": "/usr/bin:/bin", "PGPASSWORD": ADMIN[1], "HOME": "/nonexistent"})


@pytest.mark.parametrize("port", ["transactional", "session"])
def test_views_as_json(router, port):
    code, out, err = ctl(router, "show", "pools", "--json", port=router.ports[port])
    assert (code, err) == (0, "")
    rows = {(row["database"], row["user"]): row for row in json.loads(out)}
    row = rows["pgbouncer", "pgbouncer"]
    assert row["cl_active"] == 1 and row["load_balance_hosts"] is None


def test_json_is_what_the_console_says(router):
    router.transactional.wire(application_name='q"\\ü').query("SELECT 1")
    for view in ("databases", "hosts", "config", "stats_totals"):
        # On the port that show() asks: SHOW CONFIG tells of it.
        port = next(iter(router.ports.values()))
        said = json.loads(ctl(router, "--json", "show", view, port=port)[1])
        rows = router.show(view)
        assert [list(row) for row in said] == [list(row) for row in rows]
        for one, other in zip(said, rows):
            for key, value in one.items():
                if isinstance(value, (str, type(None))):
                    assert value == other[key]


def test_views_as_text(router):
    code, out, err = ctl(router, "show", "state")
    assert (code, err) == (0, "")
    assert out.splitlines() == ["key        value", "active     yes", "paused     no",
                                "suspended  no"]


def test_reload_tells_what_it_did(router):
    router.config["defaults"] = {"query_wait_timeout": "7s"}
    router.write_config()
    code, out, _ = ctl(router, "reload")
    assert code == 0
    assert "1 setting changed" in out
    router.expect_error("reload-failed")
    router.config_file.write_text("nonsense: 1\n")
    code, out, err = ctl(router, "reload")
    assert (code, out) == (1, "")
    assert "nonsense" in err
    router.write_config()


def test_pause_and_resume(router):
    assert ctl(router, "pause", "app")[:2] == (0, "")
    assert ctl(router, "resume", "app")[0] == 0
    code, _, err = ctl(router, "RESUME", "app")
    assert (code, "database app is not paused" in err) == (1, True)


def test_a_pause_that_takes_too_long_is_given_up(router):
    with router.transactional.wire() as busy:
        busy.query("BEGIN")
        code, _, err = ctl(router, "--timeout", "1", "pause")
        assert (code, "given up" in err) == (4, True)
        assert {row["key"]: row["value"] for row in router.show("state")}["paused"] == "no"
        busy.query("COMMIT")


def test_a_router_that_hangs_is_given_up(router):
    """Nobody takes the cancel request, either."""
    with router.transactional.wire() as busy:
        busy.query("BEGIN")
        with start(router, "--timeout", "5", "pause") as waits:
            wait_until(lambda: "console-command command=PAUSE" in router.log(), 10)
            router.signal(signal.SIGSTOP)
            try:
                _, err = waits.communicate(timeout=60)
            finally:
                waits.kill()
                router.signal(signal.SIGCONT)
            assert (waits.returncode, "may still run" in err) == (4, True)
        busy.query("COMMIT")


def test_an_answer_that_cannot_be_written_is_no_success(router):
    """Rows, and notices, on a disk that is full."""
    for words in (["show", "pools"], ["--json", "show", "pools"], ["show", "help"], ["reload"]):
        with open("/dev/full", "w", encoding="ascii") as full, \
                start(router, *words, stdout=full) as done:
            _, err = done.communicate(timeout=60)
        assert (done.returncode, err) == (1, "pgtandemctl: the answer could not be written\n")


def test_time_to_connect_may_come_from_the_environment(router):
    """From nobody else does an answer come: it is accepted by the kernel."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        code, _, err = ctl(router, "show", "pools", port=silent.getsockname()[1],
                           PGCONNECT_TIMEOUT="2")
    assert (code, "timeout expired" in err) == (3, True)


def test_names_are_quoted_as_needed(make_router, postgres):
    postgres.sql('DROP DATABASE IF EXISTS "odd ""db"', 'CREATE DATABASE "odd ""db"')
    router = make_router()
    with router.transactional.wire(dbname='odd "db') as wire:
        assert ctl(router, "disable", 'odd "db')[0] == 0
        wire.query("SELECT 1")
    rows = {row["name"]: row["disabled"] for row in router.show("databases")}
    assert rows['odd "db'] == 1


def test_names_cannot_tell_the_terminal_what_to_do(router, postgres):
    """Nor make up a row: whoever may name a database has the names in front of the operator."""
    name = "odd\x1b[31m\nname\u009b\x7f é"
    postgres.sql(f'DROP DATABASE IF EXISTS "{name}"', f'CREATE DATABASE "{name}"')
    with router.transactional.wire(dbname=name) as wire:
        wire.query("SELECT 1")
        for view in ("pools", "stats_totals", "clients"):
            code, out, _ = ctl(router, "show", view)
            head, *rows = out.splitlines()
            assert (code, len(rows)) == (0, 2)
            (row,) = [row for row in rows if "odd" in row]
            assert "odd\\x1b[31m\\x0aname\\u009b\\x7f é " in row
            assert not set(out) & set("\x1b\x7f\u009b")
            # Columns are aligned by what is seen.
            if view == "stats_totals":
                assert {len(row) for row in rows} == {len(head)}
    code, _, err = ctl(router, "resume", "\x1b[3J")
    assert (code, "\x1b" in err, "\\x1b[3J" in err) == (1, False, True)


def test_exit_codes(router):
    assert ctl(router, "show", "nothing")[0] == 1
    assert ctl(router)[0] == 2
    assert ctl(router, "show pools")[0] == 2
    assert ctl(router, "show", "pools", "now")[0] == 2
    assert ctl(router, "--nonsense")[0] == 2
    assert ctl(router, "--timeout", "x", "show", "pools")[0] == 2
    for port in "99999999", "0", "x", "":
        assert ctl(router, "--port", port, "show", "pools")[0] == 2
    assert ctl(router, "show", "pools", port=free_port())[0] == 3
    assert ctl(router, "show", "pools", password="wrong")[0] == 3
    assert ctl(router, "pause", user=STATS)[0] == 5
    assert ctl(router, "show", "pools", user=STATS)[0] == 0


def test_unix_socket_and_passfile(make_router, tmp_path):
    port = free_port()
    router = make_router({"workloads": {"session": {
        "listen": [f"unix:{tmp_path}:{port}"]}}})
    passfile = tmp_path / "pass"
    passfile.write_text(f"*:*:pgbouncer:{ADMIN[0]}:{ADMIN[1]}\n")
    passfile.chmod(0o600)
    done = subprocess.run(
        [PROGRAM, "--host", str(tmp_path), "--port", str(port), "--user", ADMIN[0],
         "--passfile", str(passfile), "show", "version"], capture_output=True, text=True,
        timeout=60, env={"HOME": "/nonexistent"})
    assert (done.returncode, done.stderr) == (0, "")
    assert router.show("version")[0]["version"] in done.stdout


@pytest.mark.parametrize("how", ["wait_for_clients", "wait_for_servers", None])
def test_shutdown(router, how):
    code, _, err = ctl(router, "shutdown", *([how] if how else []))
    assert (code, err) == (0, "")
    assert router.wait_exit() == 0


def test_as_a_word_of_the_program(router, tmp_path):
    """`pgtandem ctl` is pgtandemctl, its exit status included."""
    link = tmp_path / "pgtandem"
    link.symlink_to(os.path.abspath(Router.program()))
    where = ["-h", "127.0.0.1", "-p", str(router.ports["session"]), "-U", ADMIN[0]]

    def run(*words):
        done = subprocess.run([link, "ctl", *where, *words], capture_output=True, text=True,
                              timeout=60, env={"PGPASSWORD": ADMIN[1], "HOME": "/nonexistent"})
        return done.returncode, done.stdout, done.stderr
    code, out, err = run("show", "state", "--json")
    assert (code, err) == (0, "")
    assert [row["key"] for row in json.loads(out)] == ["active", "paused", "suspended"]
    assert run("show", "nothing") == ctl(router, "show", "nothing")
    assert run("reload", "--nonsense")[0] == 2


def test_without_pgtandemctl_nothing_was_refused(tmp_path):
    """As a shell says it: 1 would be the router's word."""
    program = shutil.copy(os.path.abspath(Router.program()), tmp_path / "pgtandem")

    def run():
        done = subprocess.run([program, "ctl", "show", "state"], capture_output=True, text=True,
                              timeout=60, env={"PATH": str(tmp_path)})
        return done.returncode, done.stderr
    assert run() == (127, "pgtandem: pgtandemctl: No such file or directory\n")
    (tmp_path / "pgtandemctl").write_text("no program")
    assert run() == (126, "pgtandem: pgtandemctl: Permission denied\n")


def test_it_is_the_same_from_a_script(router):
    """Conditions as shells see them."""
    script = f"""
        set -eu
        export PGHOST=127.0.0.1 PGPORT={router.ports['session']} PGUSER={ADMIN[0]}
        {PROGRAM} pause app
        if {PROGRAM} pause nosuch_view_of_nothing 2>/dev/null; then {PROGRAM} resume \\
            nosuch_view_of_nothing; fi
        {PROGRAM} resume app
        {PROGRAM} resume app 2>/dev/null || echo "as it should be: $?"
    """
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, timeout=60,
                          env={"PATH": "/usr/bin:/bin", "PGPASSWORD": ADMIN[1]})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "as it should be: 1\n"
    assert wait_until(lambda: router.transactional.wire().value("SELECT 1")) == "1"

# SPDX-License-Identifier: ISC
"""SET on the console, what RELOAD answers, and where settings come from."""
import pytest
from support import wire as w
from support.router import ADMIN, STATS
from support.wait import wait_until

pytestmark = pytest.mark.router_only


@pytest.fixture
def console(router):
    with router.session.wire(user=ADMIN[0], dbname="pgbouncer") as wire:
        yield wire


def settings(router):
    return {row["key"]: row for row in router.show("settings")}


def notices(answer):
    return [m.fields for m in answer if m.type == "N"]


def test_set_until_reload(router, console):
    line = next(number for number, text in enumerate(
        router.config_file.read_text().splitlines(), 1) if "connection_budget" in text)
    before = settings(router)
    assert before["defaults.query_wait_timeout"]["source"] == "default"
    assert before["hosts.main.connection_budget"]["source"] == f"{router.config_file}:{line}"
    answer = console.query("SET query_wait_timeout = 300ms")
    assert w.types(answer) == "CZ"
    assert notices(answer)[0]["M"] == "1 setting changed"
    assert notices(answer)[0]["D"] == "defaults.query_wait_timeout: 2min -> 300ms (at reload)"
    row = settings(router)["defaults.query_wait_timeout"]
    assert (row["value"], row["source"], row["default"]) == ("300ms", "SET", "120s")
    # A second one does not take back the first; it holds for who waits from now on.
    assert w.types(console.query("SET workloads.session.max_connections TO '1'")) == "CZ"
    assert settings(router)["defaults.query_wait_timeout"]["source"] == "SET"
    with router.session.wire() as one, router.session.wire() as two:
        assert one.value("SELECT 1") == "1"
        assert w.errors(two.query("SELECT 1")) == ["57014"]
    answer = console.query("RELOAD")
    assert notices(answer)[0]["M"] == "2 settings changed"
    assert "workloads.session.max_connections: 1 -> auto" in notices(answer)[0]["D"]
    assert settings(router)["defaults.query_wait_timeout"]["source"] == "default"


@pytest.mark.parametrize("command, words", [
    ("SET idle_session_timeout = 30", "did you mean 30s"),
    ("SET query_wait_timeout = -1s", "query_wait_timeout"),
    ("SET querywait_timeout = 1s", "did you mean query_wait_timeout?"),
    ("SET query_timeout = 99999999999", "99999999999s is out of range"),
    ("SET query_timeout = " + "9" * 40, "9" * 40 + "s is out of range"),
    ("SET workers = 3", "restart"),
    ("SET process.io_backend = epolll", "did you mean epoll?"),
    ("SET hosts.nosuch.connection_budget = 3", "no such entry"),
    ("SET nosuch.thing = 3", "unknown setting"),
    ("SET hosts.main = 3", "no such entry"),
    ("SET hosts.main.nosuch = 3", "unknown setting"),
    ("SET workloads.session.pool_mode = wrong", "pool_mode"),
    ("SET hosts.main.connection_budget = 0", "connection_budget"),
    ("SET max_client_conn = 1000001", "max_client_conn"),
    ("SET auth_file = '/etc/passwd'", "change it in the file, and RELOAD"),
    ("SET hosts.main.password_command = '/bin/sh -c id'", "change it in the file, and RELOAD"),
    ("SET hosts.main.password_file = ''", "password_file names what is read, written or run"),
    ("SET hosts.main.server_tls_key_file = '/x'", "change it in the file, and RELOAD"),
    ("SET http.token_file = '/etc/hostname'", "change it in the file, and RELOAD"),
    ("SET log.file = '/tmp/x'", "change it in the file, and RELOAD"),
    ("SET client_tls_key_file = '/x'", "change it in the file, and RELOAD"),
    ("SET workloads.session.client_tls_sni_cert_files = '/x'", "change it in the file, and RELOAD"),
    ("SET pid_file = '/tmp/x'", "change it in the file, and RELOAD"),
    ("SET pool_mode = session", "belongs to an entry of workloads: workloads.NAME.pool_mode"),
])
def test_what_set_refuses(router, console, command, words):
    """The same checks as for the file; nothing has changed then, and the file is not blamed
    in the log."""
    before = router.show("config")
    answer = console.query(command)
    error = next(m for m in answer if m.type == "E")
    assert error.sqlstate == "22023"
    assert error.text.startswith("SET failed: ") and words in error.text
    assert router.show("config") == before


def test_arguments_of_commands_are_not_shown(make_router):
    """Only the program is: in no view, and not where a reload tells of a change."""
    command = ["/bin/echo", "swordfish"]
    router = make_router({"hosts": {"main": {"user": "app_scram", "password_command": command}}})

    def told():
        return [settings(router)["hosts.main.password_command"]["value"]] + [
            row["value"] for row in router.show("config")
            if row["key"] == "hosts.main.password_command"]
    assert told() == ["/bin/echo, ***"] * 2
    said = router.reload({"hosts": {"main": {"password_command": command + ["tuna"]}}})
    assert "hosts.main.password_command" in said
    router.reload({"hosts": {"main": {"password_command": ["/bin/date"]}}})
    assert told() == ["/bin/date"] * 2
    assert "swordfish" not in router.log() and "tuna" not in router.log()


def test_set_lists_and_texts(router, console):
    assert w.types(console.query("SET stats_users = 'app_scram, stats'")) == "CZ"
    assert settings(router)["admin.stats_users"]["value"] == "app_scram, stats"
    with router.session.wire(dbname="pgbouncer") as wire:
        assert w.types(wire.query("SHOW VERSION")) == "TDCZ"
    assert w.types(console.query("SET stats_users = ''")) == "CZ"
    with pytest.raises(RuntimeError, match="not allowed"):
        router.session.wire(dbname="pgbouncer")
    assert w.types(console.query(
        "SET server_reset_query = 'DISCARD ALL'; SET log.level = debug")) == "CCZ"


def test_set_by_names_with_dots_and_blanks(make_router):
    router = make_router({"databases": {"a.b c": {"host": "main", "dbname": "app"}},
                          "users": {"x": {"password": "y"}}})
    with router.session.wire(user=ADMIN[0], dbname="pgbouncer") as console:
        assert w.types(console.query('SET "databases.a.b c.default_pool_size" = 3')) == "CZ"
        assert settings(router)["databases.a.b c.default_pool_size"]["value"] == "3"
        answer = console.query("SET users.x.password = 'secret; so'")
        assert notices(answer)[0]["D"] == "users.x.password: *** -> *** (at reload, for new connections)"
    assert "secret; so" not in router.log()


def test_set_needs_an_administrator(router):
    with router.session.wire(user=STATS[0], dbname="pgbouncer") as wire:
        assert w.errors(wire.query("SET query_wait_timeout = 1s")) == ["42501"]
        assert w.types(wire.query("SET client_encoding = 'UTF8'")) == "CZ"
        assert w.types(wire.query("SHOW SETTINGS"))[:2] == "TD"


def test_a_listener_by_set(router, console):
    """Everything that a reload can change."""
    from support.net import free_port, listening_ports
    port = free_port()
    old = router.ports["session"]
    assert w.types(console.query(
        f"SET workloads.session.listen = '127.0.0.1:{old}, 127.0.0.1:{port}'")) == "CZ"
    wait_until(lambda: port in listening_ports(), 5)
    assert w.types(console.query("RELOAD")) == "CZ"
    wait_until(lambda: port not in listening_ports(), 5)


def test_reload_names_each_change(router, console):
    router.config["defaults"] = {"query_timeout": "7s"}
    router.config["process"]["workers"] = 1
    router.write_config()
    answer = console.query("RELOAD")
    assert notices(answer)[0]["M"] == "2 settings changed; process.workers needs a restart"
    assert notices(answer)[0]["D"].splitlines() == [
        "process.workers: 2 -> 1 (at restart)", "defaults.query_timeout: 0 -> 7s (at reload)"]


def test_what_waits_for_a_restart(router, console):
    """It is not in force, however often the file is read; the others are."""
    def waiting():
        return {key: (row["value"], row["until_restart"]) for key, row in settings(router).items()
                if row["until_restart"] is not None}

    assert waiting() == {}
    router.config["defaults"] = {"query_timeout": "7s"}
    router.config["process"].update(workers=1, pid_file="/nowhere/pid")
    router.write_config()
    for _ in range(2):
        assert w.types(console.query("RELOAD"))[-2:] == "CZ"
        assert waiting() == {"process.workers": ("1", "2"), "process.pid_file": ("/nowhere/pid", "")}
    router.config["process"].update(workers=2, pid_file=None)
    router.write_config()
    console.query("RELOAD")
    assert waiting() == {}


@pytest.mark.parametrize("value, shown", [
    ("a, b", "a, b"), ("[a,b]", "a, b"), ('stats, "o p"', "stats, o p"),
    ('"a,b"', '"a,b"'), ('["a,b", c]', '"a,b", c'), ("it's, x", "it's, x"),
    ('"\\"q\\" \\\\"', '"\\"q\\" \\\\"'), ("*x, y", "*x, y"), ("", "")])
def test_lists_are_those_of_the_file(router, console, value, shown):
    """Quotes keep together what belongs together, and what is shown may be set again."""
    for text in (value, shown):
        assert w.types(console.query("SET stats_users = '" + text.replace("'", "''") + "'"))[-2:] \
            == "CZ"
        assert settings(router)["admin.stats_users"]["value"] == shown


@pytest.mark.parametrize("value", ['"a', "[a, [b]]", "a: b", "'a", "a]", "a, {b: c}", '"a"b'])
def test_what_is_no_list(console, value):
    answer = console.query("SET stats_users = '" + value.replace("'", "''") + "'")
    assert w.errors(answer) == ["22023"]
    assert any("stats_users" in m.text for m in answer if m.type == "E")


def test_what_runs_needs_no_restart(router, console):
    """Another number of workers, and back: what is in the file is what runs."""
    def reloaded(workers):
        router.config["process"]["workers"] = workers
        router.write_config()
        fields = notices(console.query("RELOAD"))[0]
        return fields["M"], fields["D"]

    assert reloaded(3) == ("1 setting changed; process.workers needs a restart",
                           "process.workers: 2 -> 3 (at restart)")
    # The file says what runs: somebody else's setting is none that waits for a restart.
    router.config["process"]["workers"] = 2
    router.write_config()
    assert w.types(console.query("SET query_timeout = 9s")) == "CZ"
    assert reloaded(3)[0] == "2 settings changed; process.workers needs a restart"
    assert reloaded(2) == ("1 setting changed", "process.workers: 3 -> 2 (as it runs)")


def test_more_changes_than_there_is_room_for(router, console):
    """The detail ends with a line, and says how many there are in the log."""
    router.config["databases"].update({f"database_{i}": {"host": "main"} for i in range(1500)})
    router.write_config()
    fields = notices(console.query("RELOAD"))[0]
    assert fields["M"] == "1500 settings changed"
    *lines, last = fields["D"].splitlines()
    assert len(lines) > 200 and last == f"and {1500 - len(lines)} more, which the log has"
    assert lines == [f"databases.database_{i}: (none) ->  (at reload, for new connections)"
                     for i in range(len(lines))]
    wait_until(lambda: "option=databases.database_1499 " in router.log(), 10)


def test_a_reload_that_fails_keeps_what_was_set(router, console):
    assert w.types(console.query("SET query_timeout = 9s")) == "CZ"
    text = router.config_file.read_text()
    router.config_file.write_text("nonsense: 1\n")
    router.expect_error("reload-failed")
    assert w.types(console.query("RELOAD")) == "EZ"
    assert settings(router)["defaults.query_timeout"]["source"] == "SET"
    assert w.errors(console.query("SET query_timeout = 8s")) == ["22023"]
    router.config_file.write_text(text)
    assert w.types(console.query("SET query_timeout = 8s; RELOAD")) == "CCZ"
    assert settings(router)["defaults.query_timeout"]["source"] == "default"

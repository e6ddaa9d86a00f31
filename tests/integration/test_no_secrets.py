# SPDX-License-Identifier: ISC
"""Every kind of secret that there is, each a word of its own, and every way in which the
router says something: none of them is in any of it."""
import contextlib
import json
import os
import re
import signal
import subprocess

import psycopg
import pytest
from support import fakeldap
from support import wire as w
from support.certs import Authority
from support.fakeldap import FakeLdap
from support.net import free_port, listening_ports
from support.postgres import md5_secret
from support.router import ADMIN, ROOT, Router
from support.wait import wait_until
from support.web import OPENMETRICS, Web, basic

pytestmark = pytest.mark.router_only

CTL = os.path.join(os.path.dirname(os.path.abspath(Router.program())), "pgtandemctl")
VIEWS = re.findall(r"^VIEW\((\w+)", (ROOT / "include" / "views.def").read_text(), re.M)

# What each is, and the word.
SECRETS = {
    "admin": "kelp9admin", "plain": "kelp9plain", "md5": "kelp9md5", "scram": "kelp9scram",
    "users": "kelp9users", "own": "kelp9own", "file": "kelp9file", "command": "kelp9command",
    "entry": "kelp9entry", "query": "kelp9query", "ldap": "kelp9ldap",
    "wrong": "kelp9wrong", "token": "kelp9token", "http": "kelp9http",
    "binddn": "kelp9bind", "ldapoptions": "kelp9options", "passphrase": "kelp9passphrase",
    "text": "kelp9text", "set": "kelp9set", "argument": "kelp9argument",
}
ROLES = ("plain", "md5", "scram", "users", "own", "file", "command", "entry", "query", "ldap")


@pytest.fixture
def roles(postgres):
    """One for each way in which a password comes to be used."""
    names = [f"sec_{name}" for name in ROLES]
    drop = [f"DROP ROLE IF EXISTS {name}" for name in names]
    postgres.sql(*drop)
    for name in ROLES:
        kind = "md5" if name == "md5" else "scram-sha-256"
        more = "SUPERUSER" if name == "own" else ""
        postgres.sql(f"SET password_encryption = '{kind}'",
                     f"CREATE ROLE sec_{name} LOGIN {more} PASSWORD '{SECRETS[name]}'")
    hba = postgres.data / "pg_hba.conf"
    before = hba.read_text()
    hba.write_text("host all sec_md5 127.0.0.1/32 md5\n"
                   "host all sec_plain 127.0.0.1/32 password\n"
                   "host all all 127.0.0.1/32 scram-sha-256\n" + before)
    postgres.reload()
    wait_until(lambda: refuses_trust(postgres), 10, "the rules are in force")
    yield postgres
    hba.write_text(before)
    postgres.reload()
    postgres.terminate()
    postgres.sql(*drop)


def refuses_trust(postgres):
    try:
        psycopg.connect(host="127.0.0.1", port=postgres.port, user="sec_scram", dbname="app").close()
    except psycopg.OperationalError:
        return True
    return False


class Said:
    """All that was said, by whom."""

    def __init__(self):
        self.texts = {}

    def add(self, source, text):
        self.texts[source] = self.texts.get(source, "") + str(text)

    def all_of(self, pattern):
        return [source for source in self.texts if re.match(pattern, source)]

    def find(self, secrets):
        """Where a secret is, as it is or in the forms that logs and JSON may give it."""
        return sorted({(name, source) for source, text in self.texts.items()
                       for name, secret in secrets.items() if secret.lower() in text.lower()
                       or json.dumps(secret)[1:-1] in text or secret.encode().hex() in text})


def program(path, password):
    path.write_text(f"#!/bin/sh\necho '{password}'\n")
    path.chmod(0o755)
    return str(path)


def secret_file(path, text):
    path.write_text(text + "\n")
    path.chmod(0o600)
    return str(path)


@pytest.fixture
def directory():
    """Takes every password, and knows everybody."""
    def answer(operation, number):
        if operation == fakeldap.SEARCH:
            return fakeldap.entry(number, b"cn=one") + fakeldap.searched(number)
        return fakeldap.bound(number)
    server = FakeLdap(answer)
    yield server
    server.close()


@pytest.fixture
def everything(make_router, roles, tmp_path, directory):
    """A router that has all of them; its HTTP port; and the words and what is made of them."""
    ca = Authority(tmp_path / "ca")
    for name in ("server", "client"):
        ca.issue(name, "localhost", "DNS:localhost,IP:127.0.0.1")
    port = free_port()
    files = tmp_path / "files"
    files.mkdir()
    files.chmod(0o755)
    router = make_router({
        "hosts": {
            "main": {"user": "sec_own", "password": SECRETS["own"],
                     "budget_check_interval": "100ms",
                     "server_tls_key_file": ca.path("client.key"),
                     "server_tls_cert_file": ca.path("client.crt")},
            "side": {"host": "127.0.0.1", "port": roles.port, "connection_budget": 5,
                     "user": "sec_file", "budget_check_interval": "100ms",
                     "server_cleartext_password": "always",
                     "password_file": secret_file(files / "own", SECRETS["file"])}},
        "databases": {
            "by_command": {"host": "main", "dbname": "app", "user": "sec_command",
                           "password_command": [program(files / "tell", SECRETS["command"]),
                                                "--as", "reader"]},
            "by_entry": {"host": "main", "dbname": "app", "user": "sec_entry",
                         "password": SECRETS["entry"]}},
        "users": {"sec_users": {"password": SECRETS["users"]}},
        "auth": {"auth_type": "hba", "auth_hba_file": "hba.conf", "auth_query": "default",
                 "auth_mock_key_file": str(files / "mock")},
        "tls": {"client_tls_sslmode": "allow", "client_tls_key_file": ca.path("server.key"),
                "client_tls_cert_file": ca.path("server.crt")},
        "http": {"listen": f"127.0.0.1:{port}", "user": "watch",
                 "token_file": secret_file(files / "token", SECRETS["token"]),
                 "password_file": secret_file(files / "http", SECRETS["http"])},
        "defaults": {"log_slow_query": "1ms", "log_slow_wait": "1ms",
                     "query_wait_timeout": "5s"},
        "log": {"level": "debug"},
    }, start=False)
    secret_file(router.directory / "hba.conf",
                "host all sec_ldap all ldap ldapserver=127.0.0.1 "
                f"ldapport={directory.port} ldapbasedn=\"dc=x\" ldapbinddn=\"cn=y\" "
                f"ldapbindpasswd={SECRETS['binddn']}\nhost all sec_md5 all md5\n"
                "host all all all scram-sha-256")
    hashed = {"md5 hash": md5_secret("sec_md5", SECRETS["md5"]), "scram secret": roles.secret("sec_scram")}
    router.write_userlist([f'"{ADMIN[0]}" "{SECRETS["admin"]}"',
                           f'"sec_plain" "{SECRETS["plain"]}"', f'"sec_md5" "{hashed["md5 hash"]}"',
                           f'"sec_scram" "{hashed["scram secret"]}"'])
    for path in (router.config_file, router.directory / "userlist.txt"):
        path.chmod(0o600)
    router.start()
    wait_until(lambda: port in listening_ports(), 15, "it listens")
    keys = [line for name in ("server", "client")
            for line in open(ca.path(f"{name}.key"), encoding="ascii").read().splitlines()
            if "-" not in line]
    derived = {**hashed, "md5 hex": hashed["md5 hash"][3:],
               "salt": re.split(r"[$:]", hashed["scram secret"])[2],
               "mock key": (files / "mock").read_text().strip(),
               "fetched": roles.secret("sec_query"),
               **{f"key line {i}": line for i, line in enumerate(keys) if len(line) > 20}}
    for i, part in enumerate(re.split(r"[$:]", hashed["scram secret"])[3:]):
        derived[f"scram key {i}"] = part
    return router, Web(port), {**SECRETS, **derived}, ca


def admin_console(router):
    return router.session.connect(user=ADMIN[0], password=SECRETS["admin"], dbname="pgbouncer")


def log_in(router, said):
    """Everybody, at both ports, as they should and with a wrong password."""
    who = [("sec_plain", "plain", "app"), ("sec_md5", "md5", "app"), ("sec_scram", "scram", "app"),
           ("sec_users", "users", "app"), ("sec_query", "query", "app"), ("sec_ldap", "ldap", "app"),
           ("sec_plain", "plain", "by_command"), ("sec_plain", "plain", "by_entry")]
    for port in (router.transactional, router.session):
        for user, name, dbname in who:
            with port.connect(user=user, password=SECRETS[name], dbname=dbname) as connection:
                # What is slow is written to the log: the text is not.
                assert connection.execute(
                    f"SELECT pg_sleep(0.005), '{SECRETS['text']}'").fetchone()[1] == SECRETS["text"]
                with contextlib.suppress(psycopg.Error):
                    connection.execute("SELECT nothing")
        for user in ("sec_plain", "sec_md5", "sec_scram", "sec_users", "sec_query", "nobody"):
            try:
                port.connect(user=user, password=SECRETS["wrong"]).close()
                raise AssertionError(user)
            except psycopg.OperationalError as error:
                said.add("client's error", error)
    with router.session.raw() as wire:
        wire.send(w.startup("sec_plain", "app", options=f"-c app.key={SECRETS['text']}"))


def look_around(router, web, said):
    """What is to be seen while they are there."""
    with contextlib.ExitStack() as stack:
        for user, name in (("sec_plain", "plain"), ("sec_scram", "scram"), ("sec_query", "query")):
            for port in (router.transactional, router.session):
                wire = stack.enter_context(port.raw())
                wire.login(user, SECRETS[name], "app", application_name=f"of {user}")
                wire.query("BEGIN")
                wire.query(f"SELECT '{SECRETS['text']}'")
        with admin_console(router) as console:
            for view in VIEWS:
                try:
                    said.add(f"SHOW {view}", console.execute(f"SHOW {view}").fetchall()
                             if view != "HELP" else "")
                except psycopg.Error as error:
                    said.add(f"SHOW {view}", error)
        token = {"Authorization": f"Bearer {SECRETS['token']}"}
        for path in ("/metrics", "/health/db", "/livez", "/readyz", "/", "/api",
                     *(f"/api/{view.lower()}" for view in VIEWS)):
            said.add(path, web.ask(path, headers=token).text)
        said.add("/metrics", web.ask("/metrics", headers={**token, "Accept": OPENMETRICS}).text)
        for wrong in ("Bearer " + SECRETS["wrong"], basic("watch", SECRETS["wrong"])):
            answer = web.ask("/metrics", headers={"Authorization": wrong})
            assert answer.code == 401
            said.add("/metrics", answer.text + str(answer.headers))
        assert web.ask("/livez", headers={"Authorization": basic("watch", SECRETS["http"])}).code == 200
    said.add("command line", open(f"/proc/{router.process.pid}/cmdline", encoding="utf-8").read())


def by_ctl(router, said):
    def run(*words):
        done = subprocess.run(
            [CTL, "-h", "127.0.0.1", "-p", str(router.ports["session"]), "-U", ADMIN[0], *words],
            capture_output=True, text=True, timeout=60, check=False,
            env={"PATH": "/usr/bin:/bin", "PGPASSWORD": SECRETS["admin"], "HOME": "/nonexistent"})
        said.add(f"pgtandemctl {' '.join(words)}", done.stdout + done.stderr)
        return done.returncode
    if not os.path.exists(CTL):
        return
    for view in VIEWS:
        run("show", view.lower())
        run("--json", "show", view.lower())
    assert run("reload") == 0
    assert run("kill_client", "99999") != 0


def spoil(text, old, new):
    assert old in text, old
    return text.replace(old, new, 1)


def spoiled(router, ca):
    """Mistakes beside each of the secrets: file, and what stands there then."""
    ca.openssl("ec", "-in", "server.key", "-aes256", "-passout",
               f"pass:{SECRETS['passphrase']}", "-out", "locked.key")
    config = router.config_file.read_text()
    userlist = (router.directory / "userlist.txt").read_text()
    hba = (router.directory / "hba.conf").read_text()

    def quoted(name):
        return f'"{SECRETS[name]}"'

    for name in ("own", "entry", "users"):
        value = f" {SECRETS[name]}\n"
        for mistake in (f"[ {quoted(name)} ]", f"{{ {SECRETS[name]}: 1 }}", f'"{SECRETS[name]}',
                        f"&{SECRETS[name]} x", f"*{SECRETS[name]}", f"!{SECRETS[name]} x",
                        '"' + SECRETS[name] * 1000 + '"', f'"{SECRETS[name]}\\q"',
                        f'"{SECRETS[name]}\\n"', f"{SECRETS[name]}: {SECRETS[name]}",
                        f'"SCRAM-SHA-256${SECRETS[name]}"', f"one\n{SECRETS[name]}",
                        f'"{SECRETS[name]}" {SECRETS[name]}', f"@{SECRETS[name]}"):
            yield router.config_file, spoil(config, value, f" {mistake}\n")
        yield router.config_file, spoil(config, f"password:{value}", f"pasword:{value}")
    yield router.config_file, re.sub(r"sec_users:\n *password:", "sec_users:", config)
    # Without the type; with a mistake; as two lines.  That it works has a test of its own.
    for more in ("", "auth_type: ldap\n", "auth_type: hba\n"):
        for end in ("", " nonsense=1", "\\nhost all"):
            text = re.sub(r"(?m)^ *auth_(type|hba_file):.*\n", "", config) if more else config
            yield router.config_file, re.sub(
                r"(?m)^( *)auth_query:", lambda m, more=more, end=end:
                f"{m[1]}{more}{m[1] if more else ''}auth_ldap_options: "
                f"\"ldapserver=x ldapbindpasswd={SECRETS['ldapoptions']}{end}\"\n{m[0]}", text)
    yield router.config_file, spoil(config, ca.path("server.key"), ca.path("locked.key"))
    yield router.directory / "userlist.txt", userlist.replace(quoted("plain"), SECRETS["plain"])
    yield router.directory / "userlist.txt", userlist.replace(quoted("plain"), f'"{SECRETS["plain"]}')
    yield router.directory / "userlist.txt", userlist.replace("SCRAM-SHA-256$", "SCRAM-SHA-256$x")
    yield router.directory / "userlist.txt", userlist + f'"sec_plain" {quoted("wrong")}\n'
    for old, new in ((SECRETS["binddn"], f"{SECRETS['binddn']} nonsense=1"),
                     ("ldapbindpasswd=", "ldapbindpassword="), ("ldapbasedn=", "ldapbase="),
                     ("ldapbindpasswd=", 'ldapbindpasswd="')):
        yield router.directory / "hba.conf", spoil(hba, old, new)


def reload_badly(router, said, ca):
    """By a signal, on the console, and with --check; the list of what was refused."""
    router.expect_error("reload-failed")
    refused = []
    for path, text in list(spoiled(router, ca)):
        good = path.read_text()
        path.write_text(text)
        with admin_console(router) as console:
            try:
                console.execute("RELOAD")
            except psycopg.Error as error:
                refused.append(str(error))
                said.add("RELOAD", error)
        done = subprocess.run([router.program(), "--check", str(router.config_file)],
                              capture_output=True, text=True, timeout=60, check=False)
        said.add("--check", done.stdout + done.stderr)
        path.write_text(good)
    return refused


def change_secrets(router, said):
    """A reload that changes them, and SET, tell that, not what they are."""
    config = router.config_file.read_text()
    for name in ("entry", "users"):
        config = config.replace(SECRETS[name], SECRETS[name] + "new")
    router.config_file.write_text(config)
    with admin_console(router) as console:
        console.add_notice_handler(lambda d: said.add("notice", f"{d.message_primary} {d.message_detail}"))
        console.execute("RELOAD")
        for setting in ("databases.by_entry.password", "hosts.main.password", "users.sec_users.password",
                        "databases.by_command.password_command", "nothing.password"):
            try:
                console.execute(f"SET {setting} = '{SECRETS['set']}'")
            except psycopg.Error as error:
                said.add("SET", error)
            said.add("SET", console.execute("SHOW SETTINGS").fetchall())
        console.execute("RELOAD")
    router.signal(signal.SIGHUP)


def imported(tmp_path, said):
    """PgBouncer's configuration: what cannot be carried over is named without them."""
    (tmp_path / "list.txt").write_text(f'"a" "{SECRETS["plain"]}"\n"b" {SECRETS["md5"]}\n')
    (tmp_path / "a.ini").write_text(
        f"[databases]\na = host=x password={SECRETS['entry']} nonsense=1\n"
        f"b = host=y passwort={SECRETS['entry']}\nc = host=z password='{SECRETS['entry']}\n"
        f"[pgbouncer]\nlisten_port = 6432\nauth_file = {tmp_path}/list.txt\n")
    done = subprocess.run([Router.program(), "--import", str(tmp_path / "a.ini")],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr
    said.add("--import", done.stderr)


def test_no_secret_is_said(everything, tmp_path):
    router, web, secrets, ca = everything
    said = Said()
    log_in(router, said)
    look_around(router, web, said)
    by_ctl(router, said)
    refused = reload_badly(router, said, ca)
    change_secrets(router, said)
    imported(tmp_path, said)
    with router.session.raw() as wire:
        wire.login("sec_plain", SECRETS["plain"], "app")
    router.stop()
    said.add("log", router.log())
    # All of it has been said, and tells of those whose secrets these are.
    assert len(refused) >= 20, refused
    assert len(said.all_of("SHOW ")) == len(VIEWS)
    assert len(said.all_of("/api/")) == len(VIEWS)
    for source, word in (("log", "sec_scram"), ("log", "reload-change"), ("SHOW CLIENTS", "sec_query"),
                         ("/api/clients", "of sec_plain"), ("/metrics", "sec_md5"),
                         ("SHOW SETTINGS", "password_command"), ("log", "slow-query"),
                         ("log", "http-auth-failed"), ("--check", "userlist.txt")):
        assert word in said.texts[source], (source, word)
    assert said.find({"a name": "sec_query"})
    assert said.find(secrets) == []

# SPDX-License-Identifier: ISC
"""pgtandem --import: PgBouncer's configuration becomes ours."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import psycopg
import pytest
from support import needs
from support.net import free_port, listening_ports
from support.postgres import DATABASE, USERS
from support.router import ADMIN, ROOT, Router
from support.wait import wait_until

pytestmark = pytest.mark.router_only

EVERY_KEY = re.compile(r"^PGBOUNCER\w*\((GLOBAL|DATABASE|USER), +(\w+)", re.M)
LINE = re.compile(r"^(\S+?):(\d+): (not carried over|note): (.*)$")


def run(*arguments, cwd):
    done = subprocess.run([Router.program(), *map(str, arguments)], capture_output=True,
                          text=True, cwd=cwd, timeout=60)
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
    return done


def test_what_cannot_be_written_is_no_success(tmp_path):
    """More than a buffer is lost before the end: on a disk that is full a part of the file
    is none."""
    few = "[databases]\n* = host=127.0.0.1\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
    many = few + "[databases]\n" + "".join(f"db{i} = host=127.0.0.1\n" for i in range(300))
    (tmp_path / "few.ini").write_text(few)
    (tmp_path / "many.ini").write_text(many)
    (tmp_path / "few.yaml").write_text(run("--import", "few.ini", cwd=tmp_path).stdout)
    for words in (["--import", "few.ini"], ["--import", "many.ini"], ["--check", "few.yaml"],
                  ["--dump=man"], ["--dump=events"]):
        assert run(*words, cwd=tmp_path).returncode == 0, words
        with open("/dev/full", "w", encoding="ascii") as full:
            done = subprocess.run([Router.program(), *words], stdout=full, cwd=tmp_path, text=True,
                                  stderr=subprocess.PIPE, timeout=60)
        assert (done.returncode, done.stderr.splitlines()[-1]) == (
            1, "pgtandem: not all of it could be written"), words


class Import:
    """Files, what becomes of them, and what is said of their lines."""

    def __init__(self, directory, *texts, names=("a.ini", "b.ini", "c.ini")):
        self.directory = directory
        self.names = names[:len(texts)]
        for name, text in zip(self.names, texts):
            (directory / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        done = run("--import", *self.names, cwd=directory)
        self.code, self.yaml, self.said = done.returncode, done.stdout, done.stderr
        # Whatever it has made of them is a configuration.
        if self.yaml:
            self.check()
        self.lost = {(m[1], int(m[2])): m[4] for m in map(LINE.match, self.said.splitlines())
                     if m and m[3] == "not carried over"}

    def check(self):
        """The result passes --check, and nothing else is said."""
        (self.directory / "out.yaml").write_text(self.yaml)
        done = run("--check", "out.yaml", cwd=self.directory)
        assert done.returncode == 0, done.stderr + self.yaml
        return self

    def options(self):
        """["workloads", "session", "listen"] -> text, as SHOW CONFIG would have it: read
        with the indentation that it is written with."""
        found, path = {}, []
        for line in self.yaml.splitlines():
            depth = (len(line) - len(line.lstrip())) // 2
            key, _, value = line.strip().partition(":")
            path[depth:] = [key.strip('"')]
            if value.strip():
                found[".".join(path)] = value.strip()
        return found


@pytest.fixture
def userlist(tmp_path):
    (tmp_path / "userlist.txt").write_text('"app" "secret"\n')
    (tmp_path / "userlist.txt").chmod(0o600)
    return tmp_path


WEB = """[databases]
rag = host=127.0.0.1 dbname=rag_v2 pool_size=25
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = 6432
unix_socket_dir =
pool_mode = transaction
max_client_conn = 1000
auth_type = scram-sha-256
auth_file = userlist.txt
"""
JOBS = """[databases]
rag = host=127.0.0.1 dbname=rag_v2
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = 6433
unix_socket_dir =
default_pool_size = 10
max_client_conn = 100
auth_type = scram-sha-256
auth_file = userlist.txt
"""


def test_two_files_have_one_budget(userlist):
    done = Import(userlist, WEB, JOBS).check()
    assert (done.code, done.lost) == (0, {})
    options = done.options()
    assert options["hosts.main.connection_budget"] == "35"
    assert options["workloads.transactional.guaranteed_connections"] == "25"
    assert options["workloads.session.guaranteed_connections"] == "10"
    assert options["workloads.transactional.max_client_conn"] == "1000"
    assert options["workloads.session.listen"] == '["127.0.0.1:6433"]'
    assert options["databases.rag.dbname"] == '"rag_v2"'
    assert options["auth.auth_file"] == f'"{userlist}/userlist.txt"'


def test_every_setting_is_carried_over_or_named(userlist):
    """One file with all that PgBouncer knows: each line has its option, or is told of."""
    table = (ROOT / "include" / "pgbouncer.def").read_text()
    keys = {section: [key for kind, key in EVERY_KEY.findall(table) if kind == section]
            for section in ("GLOBAL", "DATABASE", "USER")}
    assert min(map(len, keys.values())) >= 10 and len(keys["GLOBAL"]) >= 95
    odd = {"listen_addr": "127.0.0.1", "unix_socket_dir": "/tmp", "pool_mode": "transaction",
           "auth_type": "md5", "auth_file": "userlist.txt", "auth_hba_file": "x",
           "auth_ident_file": "x", "unix_socket_mode": "0700", "listen_port": "6432",
           "user": "nobody", "server_tls_sslmode": "prefer", "client_tls_sslmode": "disable",
           "server_check_query": "select 1", "syslog_facility": "daemon", "auth_ldap_options": "ldapserver=x", "server_reset_query": "DISCARD ALL",
           "client_tls_protocols": "secure", "server_tls_protocols": "secure",
           "auth_query": "select $1"}
    odd.update({key: "" for key in keys["GLOBAL"] if "_tls_" in key and key.endswith("_file")})
    odd.update({key: "default" for key in keys["GLOBAL"] if key.endswith("tls_ciphers")})
    odd.update({key: "" for key in keys["GLOBAL"] if key.endswith("tls13_ciphers")})
    odd["client_tls_ecdhcurve"] = "AUTO"
    of_database = {"host": "127.0.0.1", "pool_mode": "transaction", "datestyle": "'ISO, DMY'",
                   "auth_query": "'select($1)'"}
    lines = ["[pgbouncer]", *(f"{key} = {odd.get(key, '1')}" for key in keys["GLOBAL"]),
             "[databases]"]
    lines += [f"db{i} = {'' if key == 'host' else 'host=127.0.0.1 '}"
              f"{'user=u ' if key == 'password' else ''}{key}={of_database.get(key, '7')}"
              for i, key in enumerate(keys["DATABASE"])]
    lines += ["[users]", *(f"u{i} = {key}={'transaction' if key == 'pool_mode' else 5}"
                           for i, key in enumerate(keys["USER"]))]
    done = Import(userlist, "\n".join(lines) + "\n")
    options = done.options()
    told = {int(m[2]) for m in map(LINE.match, done.said.splitlines()) if m}
    silent = {"logfile", "listen_addr", "listen_port", "unix_socket_dir", "auth_user", "verbose", "host",
              "port", "client_encoding", "datestyle", "timezone", "application_name", "pool_mode"}
    renamed = {"pidfile": "pid_file", "pool_size": "default_pool_size",
               "reserve_pool": "reserve_pool_size",
               "client_tls_ecdhcurve": "client_tls_groups"}
    for number, line in enumerate(lines, 1):
        key = line.partition(" = ")[2].split()[-1].partition("=")[0] if line[:2] in (
            "db", "u0", "u1", "u2", "u3", "u4", "u5", "u6", "u7", "u8", "u9") else \
            line.partition(" ")[0]
        if line.startswith("[") or key in silent or "datestyle" in line:
            continue
        name = renamed.get(key, key)
        assert number in told or any(path.endswith("." + name) for path in options), line
    assert done.code == 3
    assert "log goes to one place" in " ".join(done.lost.values())


def test_values_get_units_and_words(userlist):
    done = Import(userlist, WEB + """server_lifetime = 1800.5
server_idle_timeout = 0
query_wait_timeout = 7200
tcp_user_timeout = 1500
tcp_keepalive = 0
tcp_socket_buffer = 4096
unix_socket_mode = 0770
listen_backlog = 0x80
ignore_startup_parameters = extra_float_digits,  search_path
server_reset_query = SELECT '"\\x'
verbose = 2
""").check()
    options = done.options()
    of = "workloads.transactional."
    assert (done.code, done.lost) == (0, {})
    assert options[of + "server_lifetime"] == "1800500ms"
    assert options[of + "server_idle_timeout"] == "0"
    assert options[of + "query_wait_timeout"] == "2h"
    assert options[of + "tcp_user_timeout"] == "1500ms" == options["hosts.main.tcp_user_timeout"]
    assert options[of + "tcp_keepalive"] == "false"
    assert options[of + "tcp_socket_buffer"] == "4096B"
    assert options["process.unix_socket_mode"] == '"0770"'
    assert options["process.listen_backlog"] == "128"
    assert options[of + "ignore_startup_parameters"] == '["extra_float_digits", "search_path"]'
    assert options[of + "server_reset_query"] == '"SELECT \'\\"\\\\x\'"'
    assert options["log.level"] == "debug"


@pytest.mark.parametrize("line, why", [
    ("server_login_retry = 0", "allowed is"),
    ("server_lifetime = never", "allowed is"),
    ("default_pool_size = many", "allowed is"),
    ("log_connections = yes", "allowed is"),
    ("client_tls_ecdhcurve = None", "does not do here"),
    ("pool_mode = nonsense", "allowed is"),
    ("listen_addr = 127.0.0.1, db.example", "has to be an address"),
    ("unix_socket_dir = @here", "abstract"),
    ("no_such_setting = 1", "not a setting of PgBouncer"),
    ("[databases]\nx = host=127.0.0.1 pool_mode=session", "needs one of its own"),
    ("[databases]\nx = host=127.0.0.1 connect_query='select 1'", "connect_query"),
    ("[databases]\nx = host=127.0.0.1 nonsense=1", "not a setting of PgBouncer"),
    ("[databases]\nx = host=127.0.0.1 port=0", "host and port"),
    ("[databases]\npgbouncer = host=127.0.0.1", "does not do"),
    ("[users]\nx = pool_mode=session", "needs one of its own"),
    ("[users]\nx = nonsense", "key=value"),
])
def test_what_is_lost_is_named(userlist, line, why):
    text = WEB.replace("pool_mode = transaction\n", "") if line.startswith("pool_mode") else WEB
    done = Import(userlist, text + line + "\n").check()
    number = (text + line).count("\n") + 1
    assert done.code == 3
    assert why in done.lost["a.ini", number]


def test_what_two_files_say_differently(userlist):
    done = Import(userlist, WEB, JOBS.replace("scram-sha-256", "md5").replace(
        "dbname=rag_v2", "dbname=other")).check()
    assert done.code == 3
    assert "a.ini:9 says otherwise" in done.lost["b.ini", 9]
    assert "a.ini:2 says otherwise" in done.lost["b.ini", 2]


def test_the_last_of_several_lines(userlist):
    """PgBouncer takes the last one, whole."""
    done = Import(userlist, WEB.replace("rag =", "rag = host=10.0.0.1 min_pool_size=3\nrag =") +
                  "[users]\njoe = query_timeout=5\njoe = pool_size=2\n")
    options = done.options()
    assert (done.code, done.lost) == (0, {})
    assert "line 3 of a.ini, which holds" in notes(done)["a.ini", 2]
    assert options["hosts.main.host"] == '["127.0.0.1"]' and "hosts.host2.port" not in options
    assert options["hosts.main.connection_budget"] == "25"
    assert {path for path in options if path[:10] == "users.joe."} == {
        "users.joe.default_pool_size"}


@pytest.mark.parametrize("word, is_lost", [("fast", False), ("Default", False), ("secure", False),
                                           ("normal", False), ("all", True)])
def test_words_for_ciphers(userlist, word, is_lost):
    done = Import(userlist, WEB + f"client_tls_ciphers = {word}\nserver_tls_ciphers = {word}\n")
    options = done.options()
    assert options["workloads.transactional.client_tls_ciphers"] == '"default"'
    assert options["hosts.main.server_tls_ciphers"] == '"default"'
    assert set(done.lost) == ({("a.ini", 11), ("a.ini", 12)} if is_lost else set())


@pytest.mark.parametrize("line, number, budget", [
    ("", 2, "20"), ("default_pool_size = 7", 2, "7"), ("default_pool_size = -1", 11, "20")])
def test_pool_sizes_that_are_none(userlist, line, number, budget):
    done = Import(userlist, WEB.replace("pool_size=25", "pool_size=-1 reserve_pool_size=-1") +
                  line + "\n")
    assert done.code == 3 and {("a.ini", 2), ("a.ini", number)} == set(done.lost)
    assert done.options()["hosts.main.connection_budget"] == budget


def test_files_within_files_and_names(userlist):
    (userlist / "databases.ini").write_text(
        '"odd ""db" = host=127.0.0.1 password=\'it\'\'s\' user=u timezone=\'Europe/Berlin\'\n')
    done = Import(userlist, """[databases]
%include databases.ini
* = host=127.0.0.1
[users]
app = max_user_connections=5 query_timeout=30
[pgbouncer]
listen_addr = *, ::1
auth_file = userlist.txt
unix_socket_dir = /tmp
""").check()
    options = done.options()
    assert (done.code, done.lost) == (0, {})
    assert options['databases.odd \\"db.password'] == '"it\'s"'
    assert options['databases.odd \\"db.options'] == '"-c timezone=Europe/Berlin"'
    assert options["users.app.query_timeout"] == "30s"
    # PgBouncer listens on what it can.
    assert options["workloads.session.listen"] == '["*:6432", "unix:/tmp:6432"]'


def test_hosts_that_one_file_does_not_use(userlist):
    """Whatever modes and hosts: the result is a configuration."""
    done = Import(userlist, WEB.replace("[databases]", "[databases]\nfar = host=10.0.0.1"),
                  JOBS.replace("[databases]", "[databases]\n* = host=127.0.0.1"),
                  JOBS.replace("6433", "6434")).check()
    options = done.options()
    assert options["workloads.session_6434_3.databases"] == '["rag"]'
    assert [options[f"hosts.{h}.connection_budget"] for h in ("main", "host2")] == ["20", "55"]


@pytest.mark.parametrize("text, what", [
    ("", "it has no database"),
    ("[nonsense]\n", "a.ini:1:1: unknown section"),
    ("x = 1\n", "a.ini:1:1: a key before the first section"),
    (b"[databases]\n; \xe4\na = host=\xe4\n", "a.ini:3:1: not UTF-8"),
    ("[databases]\nx\n", "a.ini:2:1: no equals sign"),
    ("[databases]\n%include missing.ini\n", "missing.ini"),
    ("[databases]\n%include a.ini\n", "too many files within files"),
])
def test_what_is_no_configuration(userlist, text, what):
    done = Import(userlist, text)
    assert (done.code, done.yaml) == (1, "")
    assert what in done.said


def test_usage(tmp_path):
    assert run("--import", cwd=tmp_path).returncode == 2
    done = run("--import", "nosuch.ini", cwd=tmp_path)
    assert (done.returncode, "nosuch.ini" in done.stderr) == (1, True)


def test_it_runs(make_router, postgres, userlist):
    """What two PgBouncers did, done by one router, with the limits of both."""
    router = make_router(start=False)
    (userlist / "userlist.txt").write_text((router.directory / "userlist.txt").read_text())
    router.ports = {"transactional": free_port(), "session": free_port()}
    files = [text.replace("127.0.0.1 ", f"127.0.0.1 port={postgres.port} ").replace(
        "rag = ", "app = ").replace(" dbname=rag_v2", "").replace(
        f"listen_port = {port}", f"listen_port = {router.ports[name]}") +
        "admin_users = admin\n"
        for text, port, name in ((WEB, 6432, "transactional"), (JOBS, 6433, "session"))]
    done = Import(userlist, *files).check()
    assert (done.code, done.lost) == (0, {})
    router.config["workloads"] = {name: {"listen": [f"127.0.0.1:{port}"]}
                                  for name, port in router.ports.items()}
    router.config_file.write_text(done.yaml)
    router.start()
    with router.session.wire() as session, router.transactional.wire() as wire:
        session.query("SET application_name = 'kept'")
        assert wire.value("SELECT 1") == "1"
        assert session.value("SHOW application_name") == "kept"
    rows = {row["workload"]: row["guaranteed"] for row in router.show("budget")}
    assert (rows["transactional"], rows["session"]) == (25, 10)
    wait_until(lambda: router.show("hosts")[0]["connection_budget"] == 35)


def notes(done):
    return {(m[1], int(m[2])): m[4] for m in map(LINE.match, done.said.splitlines())
            if m and m[3] == "note"}


def test_limits_of_one_file_are_not_the_others(userlist):
    """PgBouncer counts in each process, the router over all ports."""
    done = Import(userlist, WEB + "max_db_connections = 30\n", JOBS)
    assert "another file has no such limit" in done.lost["a.ini", 11]
    assert not [path for path in done.options() if path.endswith("max_db_connections")]
    done = Import(userlist, WEB + "max_db_connections = 30\nmax_user_connections = 4\n",
                  JOBS + "max_db_connections = 5\nmax_user_connections = 0\n")
    assert done.options()["defaults.max_db_connections"] == "35"
    assert "what the files allow together" in notes(done)["b.ini", 11]
    assert set(done.lost) == {("a.ini", 12)}
    done = Import(userlist, WEB + "max_user_client_connections = 7\n")
    assert (done.code, done.options()["defaults.max_user_client_connections"]) == (0, "7")


# What Debian's package installs, without its comments.
SHIPPED = """[databases]
[users]
[pgbouncer]
logfile = /var/log/postgresql/pgbouncer.log
pidfile = /var/run/postgresql/pgbouncer.pid
listen_addr = localhost
listen_port = 6432
unix_socket_dir = /var/run/postgresql
auth_type = md5
auth_file = userlist.txt
"""


def test_without_databases(userlist):
    done = Import(userlist, SHIPPED)
    assert done.code == 3
    assert "a.ini: not carried over: [databases] has no entry" in done.said
    options = done.options()
    assert options["databases.postgres.host"] == "main"
    assert options["hosts.main.host"] == '["/var/run/postgresql"]'


@pytest.mark.parametrize("lines, auth, said", [
    ("auth_type = any", {"auth_type": "trust"}, "any is trust"),
    ("auth_type = pam", {"auth_type": "pam", "auth_pam_service": '"pgbouncer"'}, None),
    ('auth_type = ldap\nauth_ldap_options = ldapserver=10.0.0.1 ldapprefix="cn=" '
     'ldapsuffix=",dc=example"',
     {"auth_type": "ldap", "auth_ldap_options":
      r'"ldapserver=10.0.0.1 ldapprefix=\"cn=\" ldapsuffix=\",dc=example\""'}, None),
    ("auth_type = md5\nauth_hba_file = hba.conf", {"auth_type": "md5"}, "not used without"),
    ("auth_type = hba\nauth_hba_file = hba.conf", {"auth_type": "hba"}, None),
    ("auth_query = SELECT 1", {"auth_type": "md5"}, "not used without auth_user"),
])
def test_ways_to_log_in(userlist, lines, auth, said):
    (userlist / "hba.conf").write_text("host all all 0.0.0.0/0 md5\n")
    done = Import(userlist, WEB.replace("auth_type = scram-sha-256\n", lines + "\n"))
    assert (done.code, done.lost) == (0, {})
    found = {path[5:]: value for path, value in done.options().items() if path[:5] == "auth."}
    assert {**found, **auth} == found
    assert said is None or said in done.said


def test_auth_query_without_the_name_of_the_user(userlist):
    """PostgreSQL refuses it at each login; the router, where it starts."""
    done = Import(userlist, WEB.replace("[databases]", """[databases]
two = host=10.0.0.1 auth_user=asker auth_query='SELECT a, b FROM f()'"""))
    assert "needs $1" in done.lost["a.ini", 2]
    assert "databases.two.auth_query" not in done.options()


def test_auth_query_of_databases(userlist):
    """What holds for one database is not for another, and a host has one login."""
    done = Import(userlist, WEB.replace("[databases]", """[databases]
plain = host=127.0.0.1
two = host=10.0.0.1 auth_user=asker auth_query='SELECT a, b FROM f($1)' auth_dbname=rag
three = host=10.0.0.1 auth_user=other
four = host=10.0.0.1 auth_query='SELECT $1'
* = host=10.0.0.1 auth_user=asker auth_query='SELECT a, b FROM g($1)'"""))
    options = done.options()
    assert options["hosts.host2.user"] == '"asker"' and "hosts.main.user" not in options
    assert options["databases.two.auth_query"] == '"SELECT a, b FROM f($1)"'
    # An entry of PgBouncer's, by the name that PostgreSQL knows.
    assert options["databases.two.auth_dbname"] == '"rag_v2"'
    assert "databases.four.auth_query" not in options and "auth.auth_query" not in options
    assert "not used without auth_user" in notes(done)["a.ini", 5]
    assert "is another" in done.lost["a.ini", 4]
    assert "it runs in one database" in done.lost["a.ini", 6]
    # 20 for each of four databases, and one for the question.
    assert options["hosts.host2.connection_budget"] == "81"


MANUAL = """[databases]
{name} = host=127.0.0.1 port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
pool_mode = transaction
auth_type = {type}
auth_file = userlist.txt
auth_user = import_asker
auth_query = SELECT uname, phash FROM user_search($1)
"""


@pytest.fixture
def manuals_setup(postgres):
    """The manual of PgBouncer, at auth_query: a function in the database that clients ask
    for, and a user that may do nothing but call it."""
    drop = ["DROP FUNCTION IF EXISTS user_search", "DROP ROLE IF EXISTS import_asker",
            "DROP ROLE IF EXISTS import_client"]
    postgres.sql(*drop, dbname=DATABASE)
    postgres.sql(
        """CREATE FUNCTION user_search(name TEXT, OUT uname TEXT, OUT phash TEXT)
           RETURNS RECORD LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS
           $$ SELECT usename, passwd FROM pg_shadow WHERE usename = $1 $$""",
        "CREATE ROLE import_asker LOGIN PASSWORD 'asker secret'",
        "CREATE ROLE import_client LOGIN PASSWORD 'client secret'", dbname=DATABASE)
    yield postgres
    postgres.terminate()
    postgres.sql(*drop, dbname=DATABASE)


def as_pgbouncer(directory, port):
    program = needs.program("pgbouncer")
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] \
        if os.getuid() == 0 else []
    process = subprocess.Popen([*user, program, "a.ini"], stdin=subprocess.DEVNULL, cwd=directory,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: port in listening_ports(), 15, "PgBouncer listens")
    return process


def who_gets_in(port):
    with psycopg.connect(host="127.0.0.1", port=port, user="import_client", dbname=DATABASE,
                         password="client secret", autocommit=True) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("import_client",)
    for user, password in (("import_client", "wrong"), ("nobody_at_all", "x")):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(host="127.0.0.1", port=port, user=user, password=password,
                            dbname=DATABASE)


def test_auth_user_of_auth_file(make_router, manuals_setup):
    """PgBouncer's own manual: the password of auth_user stands in auth_file, and nowhere
    else.  PgBouncer with that file, and the router with what becomes of it, let the same
    in."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="pgtandem-import-"))
    directory.chmod(0o755)
    try:
        (directory / "userlist.txt").write_text(
            '"import_asker" "asker secret"\n"{}" "{}"\n'.format(*ADMIN))
        ports = [free_port(), free_port()]
        ini = [MANUAL.format(name=DATABASE, port=manuals_setup.port, listen=port,
                             type="scram-sha-256") + f"admin_users = {ADMIN[0]}\n"
               for port in ports]
        (directory / "a.ini").write_text(ini[0])
        process = as_pgbouncer(directory, ports[0])
        try:
            who_gets_in(ports[0])
        finally:
            process.terminate()
            process.wait(15)
        done = Import(directory, ini[1])
        assert (done.code, done.lost) == (0, {})
        assert "asker secret" not in done.yaml
        router = make_router(start=False)
        router.ports = {"transactional": ports[1]}
        router.config["workloads"] = {"transactional": {"listen": [f"127.0.0.1:{ports[1]}"]}}
        router.config_file.write_text(done.yaml)
        router.start()
        who_gets_in(ports[1])
        # Its own clients come in by the same word.
        with router.transactional.connect(user="import_asker", password="asker secret") as own:
            assert own.execute("SELECT current_user").fetchone() == ("import_asker",)
        # What only proves a password opens nothing.
        (directory / "userlist.txt").write_text(
            '"import_asker" "SCRAM-SHA-256$4096:YWJjZGVmZ2hpamtsbW5vcA==$'
            'vX/bIiO0OdVbYCaRuS5PZ6vzUJCkLEe9Lh8PUtqzgCo=:'
            'vX/bIiO0OdVbYCaRuS5PZ6vzUJCkLEe9Lh8PUtqzgCo="\n')
        assert "does not log in to PostgreSQL; password_file would" in run(
            "--check", router.config_file, cwd=directory).stderr
    finally:
        shutil.rmtree(directory)


def test_passwords_in_clear(make_router, postgres):
    """PgBouncer sends one to a PostgreSQL that asks for it over plain TCP; the import says that the
    router does not, and what would."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="pgtandem-import-"))
    directory.chmod(0o755)
    user, (password, _) = "app_plain", USERS["app_plain"]
    dsn = {"host": "127.0.0.1", "user": user, "password": password, "dbname": DATABASE}
    try:
        (directory / "userlist.txt").write_text(
            f'"{user}" "{password}"\n"{ADMIN[0]}" "{ADMIN[1]}"\n')
        ports = [free_port(), free_port()]
        ini = [f"[databases]\n{DATABASE} = host=127.0.0.1 port={postgres.port}\n[pgbouncer]\n"
               f"listen_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = scram-sha-256\n"
               f"auth_file = userlist.txt\nunix_socket_dir =\nadmin_users = {ADMIN[0]}\n"
               "server_login_retry = 1\n"
               for port in ports]
        (directory / "a.ini").write_text(ini[0])
        process = as_pgbouncer(directory, ports[0])
        try:
            with psycopg.connect(port=ports[0], **dsn) as connection:
                assert connection.execute("SELECT current_user").fetchone() == (user,)
        finally:
            process.terminate()
            process.wait(15)
        done = Import(directory, ini[1])
        assert done.code == 0 and "server_cleartext_password: always" in done.said
        router = make_router(start=False)
        router.ports = {"transactional": ports[1]}
        router.config["workloads"] = {"transactional": {"listen": [f"127.0.0.1:{ports[1]}"]}}
        router.config_file.write_text(done.yaml)
        router.start()
        with pytest.raises(psycopg.OperationalError, match="server_cleartext_password"):
            psycopg.connect(port=ports[1], **dsn)
        port_line = f"    port: {postgres.port}\n"
        assert done.yaml.count(port_line) == 1
        router.config_file.write_text(done.yaml.replace(
            port_line, port_line + "    server_cleartext_password: always\n"))
        router.command("RELOAD")

        def gets_in():
            # PostgreSQL has refused it: the next try comes after server_login_retry.
            try:
                with psycopg.connect(port=ports[1], **dsn) as connection:
                    return connection.execute("SELECT current_user").fetchone() == (user,)
            except psycopg.OperationalError:
                return False
        wait_until(gets_in, 15, "the router does so, too")
    finally:
        shutil.rmtree(directory)


@pytest.mark.parametrize("database, sslmode, is_told", [
    ("host=10.0.0.1", "", True), ("host=10.0.0.1", "server_tls_sslmode = prefer", True),
    ("host=10.0.0.1", "server_tls_sslmode = require", False),
    ("host=10.0.0.1", "server_tls_sslmode = verify-full\nserver_tls_ca_file = /ca.pem", False),
    ("host=/run/postgresql", "", False)])
def test_passwords_in_clear_where_nobody_listens(tmp_path, database, sslmode, is_told):
    (tmp_path / "userlist.txt").write_text('"app" "secret"\n')
    (tmp_path / "a.ini").write_text(
        f"[databases]\na = {database}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = 6432\nauth_type = scram-sha-256\nauth_file = userlist.txt\n{sslmode}\n")
    done = run("--import", "a.ini", cwd=tmp_path)
    assert ("server_cleartext_password" in done.stderr) is is_told, done.stderr

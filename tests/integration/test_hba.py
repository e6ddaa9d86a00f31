# SPDX-License-Identifier: ISC
"""auth_type: hba: who is let in from where and by what, as pg_hba.conf says it."""
import os
import pwd
import struct
import subprocess

import psycopg
import pytest
from support import wire as w
from support.certs import Authority
from support.net import free_port
from support.postgres import DATABASE, USERS
from support.router import ADMIN, Endpoint
from support.wait import wait_until

pytestmark = pytest.mark.router_only
ADMIN_RULE = f"host all {ADMIN[0]} 127.0.0.1/32 scram-sha-256"


def with_rules(make_router, rules, ident=None, **config):
    """A router whose rules are these lines, and another for the console."""
    auth = {"auth_type": "hba", "auth_hba_file": "hba.conf"}
    if ident is not None:
        auth["auth_ident_file"] = "ident.conf"
    router = make_router({"auth": auth, **config}, start=False)
    write(router, "hba.conf", [*rules, ADMIN_RULE])
    if ident is not None:
        write(router, "ident.conf", ident)
    router.start()
    return router


def write(router, name, lines):
    (router.directory / name).write_text("".join(line + "\n" for line in lines))


def attempt(endpoint, user, dbname=DATABASE, password=None, **parameters):
    """(code of the first request, None) when it is let in, else (code, ErrorResponse)."""
    if password is None:
        password = USERS[user][0] if user in USERS else "none"
    code = None
    with endpoint.raw() as wire:
        wire.send(w.startup(user, dbname, **parameters))
        while True:
            got = wire.receive()
            if got.type == "R":
                asked = struct.unpack_from("!i", got.body)[0]
                code = asked if code is None else code
                if asked == 0:
                    return code, None
                if asked != 12:
                    wire.answer(got, user, password)
            elif got.type == "E":
                return code, got


METHODS = {"trust": 0, "password": 3, "md5": 10, "scram-sha-256": 10}


@pytest.mark.parametrize("method", METHODS)
def test_method_of_the_rule(make_router, method):
    """What the client is asked for is what its rule says; a plain secret in the file
    serves md5 as md5."""
    router = with_rules(make_router, [f"host {DATABASE} app_trust 127.0.0.1/32 {method}"])
    code, error = attempt(router.transactional, "app_trust")
    assert error is None
    assert code == (5 if method == "md5" else METHODS[method])
    if method != "trust":
        _, error = attempt(router.transactional, "app_trust", password="wrong")
        assert error.sqlstate == "28P01"
        assert error.text == 'password authentication failed for user "app_trust"'


def test_no_rule_and_reject(make_router):
    router = with_rules(make_router, [
        "host all other 127.0.0.1/32 reject",
        "hostssl all app_md5 127.0.0.1/32 md5",
        "host second app_plain all scram-sha-256"])
    code, error = attempt(router.transactional, "app_scram")
    assert code is None and error.fields["S"] == "FATAL" and error.sqlstate == "28000"
    assert error.text == ('no pg_hba.conf entry for host "127.0.0.1", user "app_scram", '
                             'database "app", no encryption')
    _, error = attempt(router.transactional, "other")
    assert error.sqlstate == "28000"
    assert error.text == ('pg_hba.conf rejects connection for host "127.0.0.1", '
                             'user "other", database "app", no encryption')
    assert attempt(router.transactional, "app_md5")[1].sqlstate == "28000"
    assert attempt(router.transactional, "app_plain")[1].sqlstate == "28000"
    assert attempt(router.transactional, "app_plain", "second")[1] is None
    _, error = attempt(router.session, "repl", replication="true")
    assert error.text == ('no pg_hba.conf entry for replication connection from host '
                             '"127.0.0.1", user "repl", no encryption')
    wait_until(lambda: 'rule=1 reason="a rule rejects it"' in router.log(), 5, "the line")


@pytest.mark.parametrize("word", ["pgbouncer", "pgtandem", "/^pgb", "/^pgt"])
def test_the_console_has_rules_too(make_router, word):
    """A rule for one of its names holds for both."""
    router = with_rules(make_router, [
        f"host {word} {ADMIN[0]} all reject", "host all all all scram-sha-256"])
    for name in ("pgbouncer", "pgtandem"):
        for more in ({}, {"replication": "database"}):
            _, error = attempt(router.session, ADMIN[0], name, ADMIN[1], **more)
            assert error is not None and error.sqlstate == "28000", (name, more)
            assert f'user "{ADMIN[0]}", database "{name}"' in error.text
    assert attempt(router.transactional, "app_scram")[1] is None
    write(router, "hba.conf", [f"host {word} {ADMIN[0]} all scram-sha-256",
                               "host all all all reject"])
    router.reload()
    for name in ("pgbouncer", "pgtandem"):
        assert attempt(router.session, ADMIN[0], name, ADMIN[1])[1] is None


def test_rules_for_tls_where_there_is_none(make_router, tmp_path):
    """They fit nobody: that is told when they are loaded, and by --check."""
    def check():
        return subprocess.run([router.program(), "--check", str(router.config_file)], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    router = with_rules(make_router, ["host all app_scram all scram-sha-256",
                                      "hostssl all all all cert"])
    said = "hba.conf, line 2: hostssl fits nobody, as no workload has TLS"
    assert said in router.log()
    done = check()
    assert done.returncode == 0 and said in done.stdout, done.stdout
    ca = Authority(tmp_path / "ca")
    ca.issue("own", "localhost")
    # One that has it is enough, as the rules are everybody's; and there the certificates of
    # clients need somebody who vouches for them.
    unverified = "hba.conf, line 2: lets nobody in, as no workload has client_tls_ca_file"
    answer = router.reload({"workloads": {"session": {
        "client_tls_key_file": ca.path("own.key"), "client_tls_cert_file": ca.path("own.crt")}}})
    assert "fits nobody" not in answer and unverified in answer
    assert "fits nobody" not in check().stdout and unverified in check().stdout
    with pytest.raises(psycopg.OperationalError, match="requires a valid client certificate"):
        router.session.connect("app_trust", sslmode="require")
    assert "nobody" not in router.reload({"workloads": {"session": {"client_tls_ca_file": ca.ca}}})
    assert said in router.reload({"workloads": {"session": {"client_tls_sslmode": "disable"}}})
    write(router, "hba.conf", ["host all app_scram all scram-sha-256", "hostnossl all all all md5"])
    assert "fits nobody" not in router.reload()


def test_drivers_see_what_postgresql_says(make_router):
    router = with_rules(make_router, ["host second app_scram samehost scram-sha-256"])
    with router.transactional.connect(dbname="second") as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("app_scram",)
    with pytest.raises(psycopg.OperationalError, match="no pg_hba.conf entry for host"):
        router.transactional.connect()


def test_trust_for_a_user_nobody_knows(make_router):
    """trust asks for nothing; whether there is such a role PostgreSQL says."""
    router = with_rules(make_router, ["host all all all trust"])
    with router.session.raw() as wire:
        wire.send(w.startup("no_such_role", DATABASE))
        got = wire.receive()
        while got.type == "R":
            got = wire.receive()
        assert got.type == "E" and got.sqlstate in ("28P01", "28000")


def test_a_proof_is_tried_at_once(make_router, postgres):
    """Whom a rule lets in without a proof fails at PostgreSQL; that does not stand in the way
    of who has the same name and proves it right behind."""
    router = with_rules(make_router, ["host all all 127.0.0.2/32 trust",
                                      "host all all all scram-sha-256"])
    router.write_userlist([f'"app_scram" "{postgres.secret("app_scram")}"',
                           f'"{ADMIN[0]}" "{ADMIN[1]}"'])
    router.reload()

    def without_proof():
        with w.Wire("127.0.0.1", router.session.port, source="127.0.0.2") as wire:
            wire.send(w.startup("app_scram", DATABASE))
            return wire.until_closed()[-1]
    for _ in range(3):
        error = without_proof()
        assert (error.type, error.sqlstate) == ("E", "28000")
        assert error.text.startswith("server asked for SCRAM but no password is known")
    with router.session.connect(user="app_scram") as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("app_scram",)


@pytest.mark.parametrize("how", ["same name", "map", "another"])
def test_peer(make_router, tmp_path, how):
    """On a unix socket the system says who is there; a map may say as whom."""
    me = pwd.getpwuid(os.getuid()).pw_name
    user, port = "app_trust", free_port()
    rule, ident = f"local all {user} peer map=os", [f"os {me} {user}"]
    if how == "same name":
        rule, ident = "local all all peer", None
        user = me
    elif how == "another":
        ident = [f"os {me}x {user}", f"os /^({me})$ \\1"]
    router = with_rules(make_router, [rule], ident,
        workloads={"session": {"listen": [f"127.0.0.1:{free_port()}", f"unix:{tmp_path}:{port}"]}},
        databases={"*": {"host": "main", "user": "app_trust"}})
    endpoint = router.unix(tmp_path, port)
    if how == "another":
        with pytest.raises(psycopg.OperationalError) as refused:
            endpoint.connect(user=user)
        assert f'FATAL:  Peer authentication failed for user "{user}"' in str(refused.value)
        return
    with endpoint.connect(user=user) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("app_trust",)
    if how == "same name":
        with pytest.raises(psycopg.OperationalError, match="Peer authentication failed"):
            endpoint.connect(user="app_scram")


@pytest.mark.parametrize("owner", [True, False])
def test_console_without_a_password(make_router, tmp_path, owner):
    """What PgBouncer does of itself on a unix socket, as the manual has it: the system's user that
    the map names is pgbouncer on the console, nobody else is, and nowhere else."""
    me, port = pwd.getpwuid(os.getuid()).pw_name, free_port()
    router = with_rules(make_router, ["local pgbouncer pgbouncer peer map=own"],
        [f"own {me if owner else 'somebody'} pgbouncer"],
        admin={"listen": [f"unix:{tmp_path}:{port}", f"127.0.0.1:{free_port()}"],
               "admin_users": ["pgbouncer"]})
    endpoint = router.unix(tmp_path, port)
    if owner:
        with endpoint.connect(user="pgbouncer", dbname="pgbouncer") as console:
            assert console.execute("SHOW VERSION").fetchone()
            console.execute("RELOAD")
    else:
        with pytest.raises(psycopg.OperationalError, match="Peer authentication failed"):
            endpoint.connect(user="pgbouncer", dbname="pgbouncer")
    with pytest.raises(psycopg.OperationalError, match="no pg_hba.conf entry"):
        endpoint.connect(user="app_scram", dbname="pgbouncer")
    with pytest.raises(psycopg.OperationalError, match="no pg_hba.conf entry"):
        router.transactional.connect(user="pgbouncer", dbname="pgbouncer")


def test_bytes_sent_before_peer_is_known_wait(make_router, tmp_path):
    """The first query may come with the startup packet: it is answered, after the login."""
    port = free_port()
    me = pwd.getpwuid(os.getuid()).pw_name
    router = with_rules(make_router, ["local all all peer map=os"], [f"os {me} app_trust"],
        workloads={"session": {"listen": [f"127.0.0.1:{free_port()}", f"unix:{tmp_path}:{port}"]}})
    for _ in range(20):
        with router.unix(tmp_path, port).raw() as wire:
            wire.send(w.startup("app_trust", DATABASE) + w.query("SELECT 7"))
            types = [wire.receive().type]
            while types.count("Z") < 2:
                types.append(wire.receive().type)
            assert types[0] == "R" and types[-4:] == ["T", "D", "C", "Z"]


def test_reload(make_router):
    """Rules change with a reload; a file with an error changes nothing, and the log
    says where the error is."""
    router = with_rules(make_router, [f"host {DATABASE} app_scram all scram-sha-256"])
    assert attempt(router.transactional, "app_scram")[1] is None
    assert attempt(router.transactional, "app_md5")[1].sqlstate == "28000"
    with router.transactional.connect() as alive:
        write(router, "hba.conf", ["host all app_md5 all md5", ADMIN_RULE])
        router.reload()
        assert attempt(router.transactional, "app_md5")[1] is None
        assert attempt(router.transactional, "app_scram")[1].sqlstate == "28000"
        assert alive.execute("SELECT 1").fetchone() == (1,)
    write(router, "hba.conf", [ADMIN_RULE, "", "host all app_scram 10.0.0.0/40 trust"])
    router.expect_error("reload")
    said = router.reload(expect="error")
    assert "hba.conf:3:20: invalid length of the mask" in said
    assert attempt(router.transactional, "app_md5")[1] is None
    write(router, "hba.conf", [ADMIN_RULE, "host all @names all scram-sha-256"])
    said = router.reload(expect="error")
    assert "hba.conf:2:10" in said and "names: cannot open" in said
    write(router, "names", ["app_scram, app_plain", "# app_md5"])
    router.reload()
    assert attempt(router.transactional, "app_scram")[1] is None
    assert attempt(router.transactional, "app_plain")[1] is None
    assert attempt(router.transactional, "app_md5")[1].sqlstate == "28000"


def test_a_rule_whose_map_is_not_there(make_router):
    router = with_rules(make_router, ["local all all peer map=os"], ["os root app_trust"])
    router.expect_error("reload")
    write(router, "ident.conf", ["so root app_trust"])
    assert "hba.conf:1: map=os: auth.auth_ident_file has no such map" in router.reload(expect="error")
    write(router, "ident.conf", ["os root"])
    assert "ident.conf:1:4: the line ends here" in router.reload(expect="error")


RULES = [
    ['host app,"second" app_md5 127.0.0.1/32 md5',
     "host sameuser all 127.0.0.1/32 scram-sha-256",
     "host all other 10.0.0.0/8 trust"],
    ["host all app_scram,app_trust 127.0.0.0 255.0.0.0 scram-sha-256  # a comment",
     'host "all" other 127.0.0.1/32 trust',
     "host second other,app_md5 all trust"],
    ["host replication other samehost trust",
     "hostssl all other all trust",
     "hostnossl app,second other samenet scram-sha-256"],
    ["host all /^app_[st] 127.0.0.0/8 scram-sha-256",
     'hostnossl "/^(app|second)$" other samenet scram-sha-256'],
    ["host second all all reject",
     "host all all ::/0 trust",
     'host all "all",app_scram, repl \\',
     "   all scram-sha-256"],
]


@pytest.mark.parametrize("rules", RULES, ids=range(len(RULES)))
def test_postgresql_agrees(make_router, postgres, rules):
    """The same rules, PostgreSQL's and the router's: who is let in, and what the others
    are told, is the same."""
    if any("/^" in rule for rule in rules) and postgres.major() < 16:
        pytest.skip("regular expressions came with PostgreSQL 16")
    router = with_rules(make_router, rules, databases={"*": {"host": "main", "user": "app_trust"}})
    direct = Endpoint("127.0.0.1", postgres.port)
    tries = [(user, dbname) for user in ("app_scram", "app_md5", "app_trust", "other", "repl")
             for dbname in ("app", "second")]
    hba = postgres.data / "pg_hba.conf"
    before = hba.read_text()
    try:
        # A connection of its own shows that these rules are in force.
        hba.write_text("\n".join(["local all all trust", "host marker all all reject", *rules, ""]))
        postgres.sql("SELECT pg_reload_conf()")
        wait_until(lambda: "pg_hba.conf rejects" in outcome(attempt(
            direct, "app_trust", "marker"))[1][1], 10, "the rules in PostgreSQL")
        expected = {one: outcome(attempt(direct, *one)) for one in tries}
    finally:
        hba.write_text(before)
        postgres.sql("SELECT pg_reload_conf()")
        wait_until(lambda: attempt(direct, "app_scram")[1] is None, 10, "the rules of before")
    assert {one: outcome(attempt(router.session, *one)) for one in tries} == expected


def outcome(result):
    code, error = result
    return code is not None, error and (error.sqlstate, error.text)


def test_auth_type_peer(make_router, tmp_path):
    """Without rules; a map that is not there is told at once."""
    me = pwd.getpwuid(os.getuid()).pw_name
    port = free_port()
    router = make_router({
        "auth": {"auth_type": "peer", "auth_ident_file": "ident.conf", "auth_map": "os"},
        "workloads": {"session": {
            "listen": [f"127.0.0.1:{free_port()}", f"unix:{tmp_path}:{port}"]}}}, start=False)
    write(router, "ident.conf", [f"other {me} app_scram", f"os {me} app_trust"])
    router.start()
    endpoint = router.unix(tmp_path, port)
    with endpoint.connect(user="app_trust") as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("app_trust",)
    for where in (endpoint, router.session):
        with pytest.raises(psycopg.OperationalError,
                           match='Peer authentication failed for user "app_scram"'):
            where.connect(user="app_scram")
    # Over TCP nobody knows who it is.
    with pytest.raises(psycopg.OperationalError, match="Peer authentication failed"):
        router.session.connect(user="app_trust")
    write(router, "ident.conf", [f"other {me} app_scram"])
    done = subprocess.run([router.program(), "--check", str(router.config_file)], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert done.returncode != 0 and 'no map "os"' in done.stdout


@pytest.mark.parametrize("with_map", [False, True])
def test_auth_type_cert(make_router, tmp_path, with_map):
    ca = Authority(tmp_path / "ca")
    ca.issue("own", "localhost", alt="DNS:localhost")
    ca.issue("client", "somebody" if with_map else "app_trust")
    auth = {"auth_type": "cert"}
    if with_map:
        auth.update(auth_ident_file="ident.conf", auth_map="certs")
    router = make_router({"auth": auth, "tls": {
        "client_tls_sslmode": "require", "client_tls_ca_file": ca.ca,
        "client_tls_key_file": ca.path("own.key"),
        "client_tls_cert_file": ca.path("own.crt")}}, start=False)
    if with_map:
        write(router, "ident.conf", ["certs somebody app_trust"])
    router.start()
    shown = {"sslmode": "require", "sslcert": ca.path("client.crt"),
             "sslkey": ca.path("client.key")}
    with router.session.connect(user="app_trust", **shown) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("app_trust",)
    with pytest.raises(psycopg.OperationalError, match="certificate authentication failed"):
        router.session.connect(user="app_scram", **shown)
    with pytest.raises(psycopg.OperationalError, match="requires a valid client certificate"):
        router.session.connect(user="app_trust", sslmode="require")


def test_auth_type_cert_without_authorities(make_router):
    router = make_router({"auth": {"auth_type": "cert"}})
    assert "nobody can log in: auth_type is cert" in router.log()
    with pytest.raises(psycopg.OperationalError, match="requires a valid client certificate"):
        router.session.connect(user="app_trust")

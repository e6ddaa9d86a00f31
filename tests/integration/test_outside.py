# SPDX-License-Identifier: ISC
"""PAM and LDAP: somebody else knows the password, and what was sent goes on to PostgreSQL."""
import pathlib
import re
import socket
import struct
import subprocess
import threading
import time
import uuid

import psycopg
import pytest
from support import fakeldap, needs
from support import wire as w
from support.directory import ADMIN_DN, ADMIN_PASSWORD, BASE, Directory
from support.fakeldap import FakeLdap
from support.postgres import USERS
from support.router import ADMIN, ROOT
from support.wait import SLOWDOWN, wait_until

pytestmark = pytest.mark.router_only
ADMIN_RULE = f"host all {ADMIN[0]} 127.0.0.1/32 scram-sha-256"
ODD = 'we,ird=+name'
SEARCH = f'ldapbasedn="{BASE}" ldapbinddn="{ADMIN_DN}" ldapbindpasswd="{ADMIN_PASSWORD}"'
SIMPLE = f'ldapprefix="cn=" ldapsuffix=",ou=people,{BASE}"'


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    people = {name: USERS[name][0] for name in ("app_scram", "app_md5", "app_plain")}
    made = Directory(tmp_path_factory.mktemp("ldap"), {**people, ODD: "odd secret"})
    yield made
    made.close()


def with_rules(make_router, *rules, users=(), config=None):
    """A router that knows no user but those."""
    router = make_router({"auth": {"auth_type": "hba", "auth_hba_file": "hba.conf"},
                          **(config or {})}, start=False)
    set_rules(router, *rules)
    router.write_userlist([f'"{ADMIN[0]}" "{ADMIN[1]}"',
                           *(f'"{user}" "{USERS[user][0]}"' for user in users)])
    router.start()
    return router


def set_rules(router, *rules):
    (router.directory / "hba.conf").write_text("\n".join([ADMIN_RULE, *rules]) + "\n")


def comes_in(endpoint, user, **more):
    with endpoint.connect(user=user, **more) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (user,)


def is_refused(endpoint, how, user, **more):
    with pytest.raises(psycopg.OperationalError) as refused:
        endpoint.connect(user=user, **more)
    assert f'FATAL:  {how} authentication failed for user "{user}"' in str(refused.value)


WAYS = {
    "simple": SIMPLE,
    "search by uid": SEARCH,
    "search by another attribute": SEARCH + " ldapsearchattribute=cn",
    "search with a filter": SEARCH + ' ldapsearchfilter="(&(objectClass=inetOrgPerson)'
                                     '(|(uid=$username)(mail=$username)))"',
}


@pytest.mark.parametrize("way", WAYS)
def test_ldap(make_router, directory, way):
    """What the directory takes opens whatever PostgreSQL asks for; on both ports."""
    router = with_rules(
        make_router, f"host all all all ldap ldapserver=127.0.0.1 ldapport={directory.port} "
        + WAYS[way])
    for endpoint in (router.transactional, router.session):
        for user in ("app_scram", "app_md5", "app_plain"):
            comes_in(endpoint, user)
            is_refused(endpoint, "LDAP", user, password="wrong")
    # Nobody by that name; and names that would be filters or other entries.
    for user in ("app_trust", "*", "app_scram)(uid=*", "(uid=app_scram)", "one,ou=twice",
                 "app_scram,ou=people," + BASE):
        is_refused(router.session, "LDAP", user, password=USERS["app_scram"][0])
    with router.session.raw() as wire, \
            pytest.raises(RuntimeError, match="28P01: empty password returned by client"):
        wire.login("app_scram", "", "app")
    log = router.log()
    assert "passwords go to the directory in clear" in log
    for secret in (USERS["app_scram"][0], USERS["app_plain"][0], ADMIN_PASSWORD):
        assert secret not in log


def test_ldap_without_rules(make_router, directory):
    """auth_type: ldap is one rule for everybody."""
    options = f"ldapserver=127.0.0.1 ldapport={directory.port} " + SEARCH
    router = make_router({"auth": {"auth_type": "ldap", "auth_ldap_options": options},
                          "admin": {"admin_users": ["app_scram"]}})
    for endpoint in (router.transactional, router.session):
        comes_in(endpoint, "app_scram")
        is_refused(endpoint, "LDAP", "app_scram", password="wrong")
        # auth_file has it; the directory has not.
        is_refused(endpoint, "LDAP", "app_trust")
    # The options hold a password: neither views nor the log tell it.
    with router.session.connect(user="app_scram", dbname="pgbouncer") as console:
        views = re.findall(r"^VIEW\((\w+)", (ROOT / "include" / "views.def").read_text(), re.M)
        for view in set(views) - {"HELP", "FDS"}:
            assert ADMIN_PASSWORD not in str(console.execute(f"SHOW {view}").fetchall()), view
        settings = dict(row[:2] for row in console.execute("SHOW SETTINGS").fetchall())
    assert settings["auth.auth_ldap_options"] == "***"
    assert ADMIN_PASSWORD not in router.log()
    for wrong, why in (("nonsense=1", "nonsense"), ("", "needs auth_ldap_options"),
                       (options + "\nhost all all all trust", "must be one line")):
        router.config["auth"]["auth_ldap_options"] = wrong
        router.write_config()
        done = subprocess.run([router.program(), "--check", str(router.config_file)],
                              capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1 and why in done.stderr, done.stderr
        assert ADMIN_PASSWORD not in done.stderr


def test_ldap_url_and_servers(make_router, directory):
    """A server that is not there is passed over."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = (f'"ldapurl=ldap://127.0.0.1:{directory.port}/ou=people,dc=example%2Cdc=net'
               '?cn?one"')
        router = with_rules(
            make_router,
            f'host all app_scram all ldap {url} ldapbinddn="{ADMIN_DN}" '
            f'ldapbindpasswd="{ADMIN_PASSWORD}"',
            f'host all app_md5 all ldap ldapserver="127.0.0.2 127.0.0.1" '
            f'ldapport={directory.port} {SIMPLE}',
            f"host all app_plain all ldap ldapserver=127.0.0.1 "
            f"ldapport={nobody.getsockname()[1]} {SIMPLE}")
        comes_in(router.session, "app_scram")
        comes_in(router.session, "app_md5")
        is_refused(router.session, "LDAP", "app_plain")
        wait_until(lambda: "auth-outside-failed" in router.log(), 5, "the line of the log")


def test_ldap_finds_two(make_router, directory, postgres):
    """Whose password it would be nobody could tell."""
    router = with_rules(make_router, "host all all all ldap ldapserver=127.0.0.1 "
                        f"ldapport={directory.port} {SEARCH}")
    is_refused(router.session, "LDAP", "double", password=USERS["app_scram"][0])
    wait_until(lambda: "more than one such entry" in router.log(), 5, "the reason")


def test_ldap_odd_names(make_router, directory, postgres):
    postgres.sql(f'CREATE ROLE "{ODD}" LOGIN PASSWORD \'odd secret\'')
    try:
        router = with_rules(make_router, "host all all all ldap ldapserver=127.0.0.1 "
                            f"ldapport={directory.port} {SIMPLE}")
        comes_in(router.session, ODD, password="odd secret")
        set_rules(router, "host all all all ldap ldapserver=127.0.0.1 "
                  f"ldapport={directory.port} {SEARCH}")
        router.reload()
        comes_in(router.session, ODD, password="odd secret")
        is_refused(router.session, "LDAP", ODD, password="wrong")
        # With no attribute before the name it is not to become a part of a longer one.
        set_rules(router, "host all all all ldap ldapserver=127.0.0.1 "
                  f'ldapport={directory.port} ldapsuffix=",ou=people,{BASE}"')
        router.reload()
        is_refused(router.session, "LDAP", "cn=app_scram", password=USERS["app_scram"][0])
    finally:
        postgres.sql(f'DROP ROLE "{ODD}"')


@pytest.mark.parametrize("way", ["ldaptls", "ldaps"])
def test_ldap_with_tls(make_router, directory, way, monkeypatch, tmp_path):
    """The certificate is verified by what ldap.conf(5) says of authorities."""
    server = (f"ldapserver=127.0.0.1 ldapport={directory.port} ldaptls=1" if way == "ldaptls" else
              f"ldapserver=127.0.0.1 ldapport={directory.tls_port} ldapscheme=ldaps")
    monkeypatch.setenv("LDAPTLS_CACERT", directory.authority.ca)
    router = with_rules(make_router, f"host all all all ldap {server} {SEARCH}")
    comes_in(router.session, "app_scram")
    is_refused(router.session, "LDAP", "app_scram", password="wrong")
    assert "in clear" not in router.log()
    stranger = tmp_path / "stranger.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/dev/null", "-out", stranger,
                    "-subj", "/CN=stranger"], check=True, stderr=subprocess.DEVNULL)
    monkeypatch.setenv("LDAPTLS_CACERT", str(stranger))
    other = with_rules(make_router, f"host all all all ldap {server} {SEARCH}")
    is_refused(other.session, "LDAP", "app_scram")


def attempt(router, results):
    """A login in a thread: adds "in", or what it was told."""
    try:
        router.session.connect(user="app_scram").close()
        results.append("in")
    except psycopg.OperationalError as problem:
        results.append(str(problem))


def test_a_frozen_directory_stops_nobody_else(make_router, directory):
    """More logins than there are threads wait for it; others get in meanwhile, PAM and keys
    of passwords included, and the time to log in ends those that wait."""
    router = with_rules(
        make_router,
        "host all app_trust all scram-sha-256", "host all app_md5 all password",
        f"host all all all ldap ldapserver=127.0.0.1 ldapport={directory.port} {SEARCH}",
        users=("app_trust", "app_md5"), config={"defaults": {"client_login_timeout": "8s"}})
    results = []

    directory.freeze()
    try:
        threads = [threading.Thread(target=attempt, args=(router, results)) for _ in range(40)]
        for thread in threads:
            thread.start()
        lobby = lambda: len([1 for r in results if r]) == 0  # noqa: E731
        began = time.monotonic()
        for _ in range(3):
            comes_in(router.session, "app_trust")
            comes_in(router.transactional, "app_md5")
        took = time.monotonic() - began
        assert lobby(), results
        assert took < 6 * SLOWDOWN
        for thread in threads:
            thread.join()
    finally:
        directory.thaw()
    assert len(results) == 40 and "in" not in results
    # Whichever is first; it was not the client that did not answer.
    assert all("could not verify the password in time" in r or "LDAP authentication failed" in r
               for r in results), results
    # When it is back, so are they.
    wait_until(lambda: comes_in(router.session, "app_scram") is None, 10, "a login")


# --- a directory that misbehaves ------------------------------------------------------------

@pytest.fixture
def ldap():
    made = []

    def make(answer, **where):
        made.append(FakeLdap(answer, **where))
        return made[-1]
    yield make
    for one in made:
        one.close()


def simple_rule(server):
    return (f"host all all all ldap ldapserver=127.0.0.1 ldapport={server.port} "
            'ldapprefix=cn= ldapsuffix=",dc=x"')


def send_password(endpoint, user, password="wrong"):
    """A client that has answered; nothing was read of what comes then."""
    wire = endpoint.raw()
    wire.send(w.startup(user, "app"))
    wire.read(9)      # AuthenticationCleartextPassword
    wire.send(w.message("p", password.encode() + b"\0"))
    return wire


def send_and_wait(endpoint):
    with send_password(endpoint, "app_scram") as wire:
        wire.until_closed()


def more_than_threads(router):
    """Sixteen logins at once, until each has ended."""
    threads = [threading.Thread(target=send_and_wait, args=(router.session,))
               for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def gets_in(endpoint, user):
    try:
        comes_in(endpoint, user)
        return True
    except psycopg.OperationalError:
        return False


def reset(wire):
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.close()


def test_ldap_sends_less_than_it_has(make_router, ldap):
    """One entry and "size limit exceeded": there is another one."""
    def answer(operation, number):
        if operation == fakeldap.BIND:
            return fakeldap.bound(number)
        if operation == fakeldap.SEARCH:
            return (fakeldap.entry(number, b"cn=somebody,dc=x")
                    + fakeldap.searched(number, fakeldap.SIZE_LIMIT))
        return None
    router = with_rules(make_router, "host all all all ldap ldapserver=127.0.0.1 "
                        f'ldapport={ldap(answer).port} ldapbasedn="dc=x"')
    is_refused(router.session, "LDAP", "app_scram")
    wait_until(lambda: "more than one such entry" in router.log(), 5, "the reason")


def test_nobody_asks_for_who_has_gone(make_router, ldap):
    """More than may wait for the directory come and go: they leave no place taken."""
    may_answer = threading.Event()

    def answer(operation, number):
        may_answer.wait(60)
        return fakeldap.bound(number) if operation == fakeldap.BIND else None
    server = ldap(answer)
    router = with_rules(make_router, simple_rule(server))
    for _ in range(1100):
        send_password(router.session, "gone").close()
    results = []

    thread = threading.Thread(target=attempt, args=(router, results))
    thread.start()
    # Who finds no place hears so at once.
    thread.join(1.5)
    assert not results
    may_answer.set()
    thread.join()
    assert results == ["in"]
    assert "too many logins" not in router.log()


def test_half_an_answer_of_a_directory(make_router, ldap):
    """No thread waits for the other half for ever: more logins than there are threads, and
    then the directory is well again."""
    is_well = threading.Event()

    def answer(operation, number):
        if operation != fakeldap.BIND:
            return None
        return fakeldap.bound(number) if is_well.is_set() else fakeldap.bound(number)[:7]
    router = with_rules(make_router, simple_rule(ldap(answer)),
                        config={"defaults": {"client_login_timeout": "3s"}})
    more_than_threads(router)
    is_well.set()
    wait_until(lambda: gets_in(router.session, "app_scram"), 15, "a login")


def test_servers_share_the_time(make_router, ldap):
    """Two that take the connection and say nothing, and one that answers: the client, who
    has so much time, gets in."""
    silent = ldap(lambda operation, number: None)
    ldap(lambda operation, number: None, host="127.0.0.2", port=silent.port)
    ldap(lambda operation, number: fakeldap.bound(number), host="127.0.0.3", port=silent.port)
    router = with_rules(make_router, simple_rule(silent).replace(
        "ldapserver=127.0.0.1", 'ldapserver="127.0.0.1 127.0.0.2 127.0.0.3"'),
        config={"defaults": {"client_login_timeout": "6s"}})
    since = time.monotonic()
    comes_in(router.session, "app_scram")
    assert time.monotonic() - since < 6


def test_an_answer_of_a_directory_without_end(make_router, ldap):
    """It says that 200 MB will come, and sends them: it is not listened to for long."""
    head = bytes([0x30, 0x84]) + (200 << 20).to_bytes(4, "big")
    server = ldap(lambda operation, number: head + bytes(200 << 20))
    router = with_rules(make_router, simple_rule(server))
    since = time.monotonic()
    with pytest.raises(psycopg.OperationalError, match="LDAP authentication failed"):
        comes_in(router.session, "app_scram")
    assert time.monotonic() - since < 8
    # What the kernel takes in is more than what the router does.
    assert server.sent < 32 << 20


def test_half_a_record_of_tls(make_router, ldap):
    """StartTLS is taken, and then comes half of something: the threads are free again when
    the time is over, for those who ask another directory."""
    def answer(operation, number):
        if operation == fakeldap.EXTENDED:
            return fakeldap.extended(number) + b"\x16\x03\x03\x40\x00half"
        return None
    stops = simple_rule(ldap(answer)).replace("host all all", "host all app_scram")
    works = simple_rule(ldap(lambda operation, number: fakeldap.bound(number)))
    router = with_rules(make_router, stops + " ldaptls=1\n" + works,
                        config={"defaults": {"client_login_timeout": "2s"}})
    more_than_threads(router)
    wait_until(lambda: gets_in(router.session, "other"), 5, "another directory answers")


def test_who_waits_for_a_directory_is_not_silent(make_router, ldap):
    """It makes no room for others, however long the directory takes."""
    may_answer = threading.Event()

    def answer(operation, number):
        may_answer.wait(60)
        return fakeldap.bound(number) if operation == fakeldap.BIND else None
    server = ldap(answer)
    router = with_rules(make_router, simple_rule(server),
                        config={"process": {"max_unauthenticated_per_address": 2}})
    results = []

    threads = [threading.Thread(target=attempt, args=(router, results)) for _ in range(2)]
    for thread in threads:
        thread.start()
    wait_until(lambda: server.asked == 2, 10, "both ask")
    # Those that have not answered for five seconds go when somebody else comes.
    until = time.monotonic() + 6.5
    while time.monotonic() < until:
        with pytest.raises(psycopg.OperationalError):
            router.session.connect(user="app_scram", connect_timeout=5)
        time.sleep(0.25)
    may_answer.set()
    for thread in threads:
        thread.join()
    assert results == ["in", "in"]
    assert "crowded-out" not in router.log()


# --- PAM ------------------------------------------------------------------------------------

@pytest.fixture
def pam_service(tmp_path):
    """Makes services of PAM: passwords are compared by a program of the test's own."""
    made = []

    def make(users, account="required pam_permit.so", name=None):
        name = name or f"pgtandem-test-{uuid.uuid4().hex[:12]}"
        script = tmp_path / f"{name}.sh"
        cases = "\n".join(f'"{user} {password}") exit 0;;' for user, password in users.items())
        script.write_text("#!/bin/sh\nread -r password || :\n"
                          f'case "$PAM_USER $password" in\n{cases}\nesac\nexit 1\n')
        script.chmod(0o755)
        path = pathlib.Path("/etc/pam.d") / name
        path.write_text(f"auth required pam_exec.so quiet expose_authtok {script}\n"
                        f"account {account}\n")
        made.append(path)
        return name
    needs.root()
    yield make
    for path in made:
        path.unlink()


def test_pam(make_router, pam_service):
    service = pam_service({user: USERS[user][0] for user in ("app_scram", "app_plain")})
    router = with_rules(make_router, f"host all all all pam pamservice={service}")
    for endpoint in (router.transactional, router.session):
        for user in ("app_scram", "app_plain"):
            comes_in(endpoint, user)
            is_refused(endpoint, "PAM", user, password="wrong")
    is_refused(router.session, "PAM", "app_trust")
    is_refused(router.session, "PAM", "*", password="x")
    for user in ("app_scram", "app_plain"):
        assert USERS[user][0] not in router.log()


def test_auth_type_pam(make_router, pam_service):
    service = pam_service({"app_scram": USERS["app_scram"][0], ADMIN[0]: ADMIN[1]})
    router = make_router({"auth": {"auth_type": "pam", "auth_pam_service": service,
                                   "auth_file": None}}, start=False)
    router.start()
    comes_in(router.session, "app_scram")
    comes_in(router.transactional, "app_scram")
    is_refused(router.session, "PAM", "app_scram", password="wrong")


def test_pam_account(make_router, pam_service):
    """The right password of who may not come in, and a service that is not there."""
    service = pam_service({"app_scram": USERS["app_scram"][0]}, "required pam_deny.so")
    router = with_rules(make_router, f"host all app_scram all pam pamservice={service}",
                        "host all all all pam pamservice=pgtandem-there-is-none")
    is_refused(router.session, "PAM", "app_scram")
    is_refused(router.session, "PAM", "app_plain")
    wait_until(lambda: "pam_acct_mgmt" in router.log(), 5, "the reason")


BAD = {
    "ldap": "ldap needs ldapserver or ldapurl",
    "ldap ldapserver=a": "ldap needs ldapbasedn, ldapprefix or ldapsuffix",
    "ldap ldapserver=a ldapprefix=cn= ldapbasedn=dc=b": "cannot mix options",
    "ldap ldapserver=a ldapbasedn=b ldapsearchattribute=c ldapsearchfilter=d": "exclude each other",
    "ldap ldapserver=a ldapbasedn=b ldapscheme=http": "ldapscheme can be ldap or ldaps",
    "ldap ldapserver=a ldapbasedn=b ldapport=0": 'invalid ldapport "0"',
    "ldap ldapserver=a ldapbasedn=b ldaptls=yes": "ldaptls can be 0 or 1",
    "ldap ldapurl=http://a/b": "ldapurl is ldap://",
    "ldap ldapserver=a ldapbasedn=b ldapfoo=1": 'unknown option "ldapfoo"',
    "pam ldapserver=a": "ldapserver is only for ldap",
    "md5 pamservice=a": "pamservice is only for pam",
    "pam pamservice=../x": "pamservice is the name of a file",
}


def test_pam_hears_no_wrong_address(make_router, pam_service, tmp_path):
    """A client that is gone before PAM is asked is not taken for a local one."""
    heard = tmp_path / "heard"
    heard.write_text("")
    heard.chmod(0o666)
    service = pam_service({})
    script = tmp_path / f"{service}.sh"
    script.write_text(f'#!/bin/sh\nread -r password\necho "$PAM_USER $PAM_RHOST" >>{heard}\nexit 1\n')
    tmp_path.chmod(0o755)
    router = with_rules(make_router, f"host all all all pam pamservice={service}")
    for _ in range(40):
        wire = send_password(router.session, "gone")
        reset(wire)
    is_refused(router.session, "PAM", "app_scram")
    lines = heard.read_text().splitlines()
    assert "app_scram 127.0.0.1" in lines
    assert not [line for line in lines if "local" in line]


def test_bad_rules(make_router):
    router = make_router({"auth": {"auth_type": "hba", "auth_hba_file": "hba.conf"}}, start=False)
    for rule, why in BAD.items():
        set_rules(router, f"host all all all {rule}")
        done = subprocess.run([router.program(), "--check", str(router.config_file)], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        assert done.returncode != 0 and why in done.stdout, (rule, done.stdout)
        assert "hba.conf:2:" in done.stdout or "line 2" in done.stdout, done.stdout

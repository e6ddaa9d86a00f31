# SPDX-License-Identifier: ISC
"""Where secrets are, and who gets to see them."""
import os
import pwd
import subprocess

import psycopg
import pytest
from support.certs import Authority
from support.postgres import USERS
from support.router import ADMIN
from support.wait import wait_until

pytestmark = pytest.mark.router_only


@pytest.mark.parametrize("name", ["pgtandem.yaml", "userlist.txt", "hba.conf", "ident.conf"])
def test_files_that_everybody_may_change_are_refused(make_router, name):
    """... at a reload here; nothing changes then."""
    router = make_router({"auth": {"auth_type": "hba", "auth_hba_file": "hba.conf",
                                   "auth_ident_file": "ident.conf"}}, start=False)
    (router.directory / "hba.conf").write_text("host all all all scram-sha-256\n")
    (router.directory / "ident.conf").write_text("map root postgres\n")
    router.start()
    path = router.directory / name
    path.chmod(0o646)
    router.expect_error("reload")
    assert f"{name}: everybody may change it" in router.reload(expect="error")
    path.chmod(0o640)
    router.reload()
    with router.session.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("file", ["own.key", "own.crt", "ca.crt", "ca.crl"])
@pytest.mark.parametrize("side", ["client", "server"])
def test_files_of_tls_that_everybody_may_change_are_refused(make_router, tmp_path, side, file):
    """At a reload, which changes nothing then, and by --check."""
    ca = Authority(tmp_path / "ca")
    ca.issue("own", "localhost")
    options = {f"{side}_tls_{kind}_file": ca.path(name) for kind, name in
               (("key", "own.key"), ("cert", "own.crt"), ("ca", "ca.crt"), ("crl", "ca.crl"))}
    for path in options.values():
        os.chmod(path, 0o640)
    router = make_router({"tls": options} if side == "client" else {"hosts": {"main": options}})
    os.chmod(ca.path(file), 0o666)
    option = next(name for name, path in options.items() if path == ca.path(file))
    said = f"{file}: {option}: everybody may change it; chmod o-w would stop that"
    router.expect_error("reload")
    assert said in router.reload(expect="error")
    done = subprocess.run([router.program(), "--check", str(router.config_file)], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 1 and said in done.stdout, done.stdout
    with router.session.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    os.chmod(ca.path(file), 0o640)
    router.reload()


@pytest.mark.parametrize("option", ["client_tls_key_file", "client_tls_cert_file",
                                    "client_tls_ca_file", "client_tls_crl_file"])
def test_pipes_in_place_of_files_of_tls(make_router, tmp_path, option):
    """Nobody writes to it, and nobody waits for that: neither --check nor a reload."""
    ca = Authority(tmp_path / "ca")
    ca.issue("own", "localhost")
    files = {"client_tls_key_file": "own.key", "client_tls_cert_file": "own.crt",
             "client_tls_ca_file": "ca.crt", "client_tls_crl_file": "ca.crl"}
    for name in files.values():
        os.chmod(ca.path(name), 0o640)
    router = make_router({"tls": {key: ca.path(name) for key, name in files.items()}})
    path = ca.path(files[option])
    os.rename(path, path + ".saved")
    os.mkfifo(path, 0o640)
    said = f"{option}: {path} is not a regular file"
    done = subprocess.run([router.program(), "--check", str(router.config_file)], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30, check=False)
    assert done.returncode == 1 and said in done.stdout, done.stdout
    router.expect_error("reload")
    assert said in router.reload(expect="error")
    with router.session.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    os.rename(path + ".saved", path)
    router.reload()


@pytest.mark.parametrize("wrong, place, problem", [
    ('"a" "b"\n"app_md5" "x', "2:11", "the closing quote is missing"),
    ('"app_md5', "1:1", "the closing quote is missing")])
def test_a_user_file_with_an_error_changes_nothing(make_router, wrong, place, problem):
    """... and is told with line and column; who could log in before still can."""
    router = make_router()
    path = router.directory / "userlist.txt"
    before = path.read_text()
    path.write_text(wrong)
    router.expect_error("reload")
    assert f"userlist.txt:{place}: {problem}" in router.reload(expect="error")
    with router.session.connect("app_md5") as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("app_md5",)
    path.write_text(before)
    router.reload()


def test_files_that_everybody_may_read_are_told(make_router):
    router = make_router({"users": {"app_plain": {"password": USERS["app_plain"][0]}}}, start=False)
    for name in ("pgtandem.yaml", "userlist.txt"):
        (router.directory / name).chmod(0o644)
    router.start()
    for name in ("pgtandem.yaml", "userlist.txt"):
        assert f"{name}, which holds secrets" in router.log()
        (router.directory / name).chmod(0o600)
    assert "which holds secrets" not in router.reload()


@pytest.mark.parametrize("core_dumps", [False, True])
@pytest.mark.usefixtures("as_root")
def test_who_may_look_into_the_process(make_router, core_dumps):
    """Without core_dumps what the kernel shows of the process is root's, as it cannot be
    dumped; neither may another process of its user attach to it."""
    router = make_router({"process": {"user": "nobody", "core_dumps": core_dumps}})
    wait_until(lambda: " start version=" in router.log(), 10, "it has become its user")
    owner = os.stat(f"/proc/{router.process.pid}/maps").st_uid
    assert owner == (pwd.getpwnam("nobody").pw_uid if core_dumps else 0)
    with router.session.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_secrets_are_nowhere_to_be_seen(make_router):
    """Neither in any view nor in the log, however a login ends."""
    router = make_router({"hosts": {"main": {"user": "app_plain", "password": "plain secret"}},
                          "databases": {"x": {"host": "main", "dbname": "app", "user": "app_md5",
                                              "password": USERS["app_md5"][0]}},
                          "users": {"app_trust": {"password": "trust secret"}},
                          "log": {"level": "debug"}})
    for user in ("app_scram", "app_md5", "app_plain", "app_trust"):
        router.session.connect(user=user).close()
        with pytest.raises(psycopg.OperationalError):
            router.session.connect(user=user, password="a wrong one")
    router.session.connect(dbname="x").close()
    shown = ""
    with router.admin() as console:
        for view in ("config", "users", "databases", "pools", "clients", "servers", "hosts"):
            shown += str(console.execute(f"SHOW {view}").fetchall())
    for text in (shown, router.log()):
        for secret in [password for password, _ in USERS.values()] + [ADMIN[1], "a wrong one"]:
            assert secret not in text

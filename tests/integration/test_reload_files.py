# SPDX-License-Identifier: ISC
"""A reload that finds other contents in the files that the configuration names tells so."""
import re

import pytest
from support.certs import Authority
from support.router import ADMIN

pytestmark = pytest.mark.router_only


def reloaded(router):
    """How many changes there were, and each of them, by its setting; the log has the same."""
    before = len(router.log())
    with router.session.wire(user=ADMIN[0], dbname="pgbouncer") as wire:
        fields = next(m.fields for m in wire.query("RELOAD") if m.type == "N")
    changes = dict(line.split(": ", 1) for line in fields.get("D", "").splitlines())
    log = re.findall(r"reload-change option=(\S+)", router.log()[before:])
    assert fields["M"] == f"{len(log)} setting{'s' * (len(log) != 1)} changed"
    assert sorted(log) == sorted(changes)
    return changes


def write(path, text):
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


def test_users_and_rules(make_router, tmp_path):
    inner = tmp_path / "inner.conf"
    write(inner, "local all all trust\n")
    hba = tmp_path / "hba.conf"
    write(hba, "include inner.conf\nhost all all all scram-sha-256\n")
    ident = tmp_path / "ident.conf"
    write(ident, "m root app\n")
    router = make_router({"auth": {"auth_type": "hba", "auth_hba_file": str(hba),
                                   "auth_ident_file": str(ident)}}, start=False)
    router.write_userlist(['"{}" "{}"'.format(*ADMIN), '"bob" "one"', '"eve" "x"'])
    router.start()
    assert reloaded(router) == {}
    write(hba, "# as it was\n" + hba.read_text())
    assert reloaded(router) == {}
    router.write_userlist(['"{}" "{}"'.format(*ADMIN), '"bob" "two"', '"sue" "x"', '"joe" "x"'])
    write(inner, "local all bob trust\n")
    write(ident, "m root app\nm bin app\n")
    assert reloaded(router) == {
        "auth.auth_file": "3 users -> 4 users: 2 added, 1 removed, 1 changed"
                          " (at reload, for new connections)",
        "auth.auth_hba_file": "2 rules -> 2 rules, changed (at reload, for new connections)",
        "auth.auth_ident_file": "1 line -> 2 lines, changed (at reload, for new connections)"}
    assert reloaded(router) == {}


def test_certificates_and_keys(make_router, tmp_path):
    ca = Authority(tmp_path / "ca")
    ca.issue("own", "router one", dates=("20200101000000Z", "20400102030405Z"))
    ca.issue("sni", "router sni", alt="DNS:sni.test")
    ca.issue("peer", "router peer")
    router = make_router({
        "tls": {"client_tls_key_file": ca.path("own.key"), "client_tls_cert_file": ca.path("own.crt"),
                "client_tls_ca_file": ca.ca, "client_tls_sni_cert_files": [ca.path("sni.crt")],
                "client_tls_sni_key_files": [ca.path("sni.key")]},
        "workloads": {"session": {"client_tls_key_file": ca.path("own.key"),
                                  "client_tls_cert_file": ca.path("own.crt")}},
        "hosts": {"main": {"server_tls_cert_file": ca.path("peer.crt"),
                           "server_tls_key_file": ca.path("peer.key")}}})
    assert reloaded(router) == {}
    ca.issue("own", "router two", dates=("20200101000000Z", "20410102030405Z"))
    changes = reloaded(router)
    for section in ("tls", "workloads.session"):
        assert changes.pop(f"{section}.client_tls_cert_file").startswith(
            "CN=router one, valid until 2040-01-02 03:04 UTC"
            " -> CN=router two, valid until 2041-01-02 03:04 UTC (")
        assert changes.pop(f"{section}.client_tls_key_file").startswith(
            f"{ca.path('own.key')} -> {ca.path('own.key')}, other contents (")
    assert changes == {}
    ca.issue("sni", "router sni", alt="DNS:sni.test")
    ca.issue("peer", "router peer", dates=("20200101000000Z", "20410102030405Z"))
    assert sorted(reloaded(router)) == [
        "hosts.main.server_tls_cert_file", "hosts.main.server_tls_key_file",
        "tls.client_tls_sni_cert_files", "tls.client_tls_sni_key_files"]
    assert reloaded(router) == {}


def test_secrets_of_files(make_router, tmp_path):
    names = ("token", "http", "host", "database")
    files = {name: write(tmp_path / name, f"first {name}\n") for name in names}
    router = make_router({
        "http": {"listen": [], "token_file": files["token"], "user": "u",
                 "password_file": files["http"]},
        "hosts": {"main": {"user": "postgres", "password_file": files["host"]}},
        "databases": {"other": {"host": "main", "user": "app_trust",
                                "password_file": files["database"]}}})
    assert reloaded(router) == {}
    for name in names:
        write(tmp_path / name, f"second {name}\n")
    changes = reloaded(router)
    assert {text.partition(" (")[0] for text in changes.values()} == {"*** -> ***"}
    assert sorted(changes) == ["databases.other.password_file", "hosts.main.password_file",
                               "http.password_file", "http.token_file"]
    assert "second" not in router.log() and "first" not in router.log()


def test_a_command_is_no_file(make_router, tmp_path):
    """Who sets one is not told of the other."""
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho secret\n")
    program.chmod(0o700)
    router = make_router({"hosts": {"main": {"user": "postgres", "password": "none"}}})
    del router.config["hosts"]["main"]["password"]
    router.config["hosts"]["main"]["password_command"] = [str(program)]
    router.write_config()
    assert sorted(reloaded(router)) == ["hosts.main.password", "hosts.main.password_command"]



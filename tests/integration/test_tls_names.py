# SPDX-License-Identifier: ISC
"""Names in certificates: who is taken for whom.  Each verdict is compared with that of
PostgreSQL's own programs about the same certificate."""
import os
import socket
import subprocess

import psycopg
import pytest
from support.certs import Authority
from support.postgres import DATABASE
from support.tlspostgres import TlsPostgres

pytestmark = pytest.mark.router_only

USER = "app_trust"

# ------------------------------------------------------- the server's certificate
#
# What libpq says with sslmode=verify-full is what server_tls_sslmode: verify-full says, about
# every certificate and every name that a host may have; or libpq is content, and the router,
# which goes by OpenSSL, is not: docs/security.md names these cases.

HOSTS = ("db.names.test", "DB.Names.Test", "db.names.test.", "a.db.names.test", "names.test",
         "db.single", "db.my_net.test", "bücher.names.test", "xn--bcher-kva.names.test",
         "localhost", "127.0.0.1", "::1")

# Subject, and other names.
CERTIFICATES = {
    "common name": ("/CN=db.names.test", None),
    "no name": ("/O=names", None),
    "other name": ("/CN=else.test", "DNS:db.names.test"),
    "common name beside other name": ("/CN=db.names.test", "DNS:else.test"),
    "common name beside address": ("/CN=db.names.test", "IP:10.9.9.9"),
    "common name beside mail": ("/CN=db.names.test", "email:dba@names.test"),
    "several": ("/CN=else.test", "DNS:a.test,DNS:db.names.test,DNS:localhost,IP:127.0.0.1,IP:::1"),
    "capitals": ("/CN=else.test", "DNS:DB.NAMES.TEST"),
    "dot at the end": ("/CN=else.test", "DNS:db.names.test."),
    "wildcard": ("/CN=else.test", "DNS:*.names.test"),
    "wildcard in common name": ("/CN=*.names.test", None),
    "wildcard of all": ("/CN=else.test", "DNS:*"),
    "wildcard of a top": ("/CN=else.test", "DNS:*.single,DNS:*.test"),
    "part of a wildcard": ("/CN=else.test", "DNS:d*.names.test"),
    "part of a wildcard in common name": ("/CN=d*.names.test", None),
    "end of a wildcard": ("/CN=else.test", "DNS:*b.names.test"),
    "wildcard in the middle": ("/CN=else.test", "DNS:db.*.test"),
    "two wildcards": ("/CN=else.test", "DNS:*.*.test"),
    "wildcard and dot": ("/CN=else.test", "DNS:*.names.test."),
    "wildcard beside _": ("/CN=else.test", "DNS:*.my_net.test"),
    "dot first": ("/CN=else.test", "DNS:.names.test"),
    "address": ("/CN=else.test", "IP:127.0.0.1"),
    "long address": ("/CN=else.test", "IP:::1"),
    "address as name": ("/CN=else.test", "DNS:127.0.0.1,DNS:::1"),
    "address as common name": ("/CN=127.0.0.1", None),
    "long address as common name": ("/CN=::1", None),
    "address as common name beside name": ("/CN=127.0.0.1", "DNS:else.test"),
    "wildcard of addresses": ("/CN=else.test", "DNS:*.0.0.1"),
    "zero byte": ("/CN=else.test", "DNS:db.names.test~.else.test"),
    "zero byte in common name": ("/CN=db.names.test~.else.test", None),
    "zero byte, then good": ("/CN=else.test", "DNS:a~b,DNS:db.names.test"),
    "good, then zero byte": ("/CN=else.test", "DNS:db.names.test,DNS:a~b"),
    "two common names": ("/CN=db.names.test/CN=localhost", None),
    "puny code": ("/CN=else.test", "DNS:xn--bcher-kva.names.test"),
    "umlaut in common name": ("/CN=bücher.names.test", None),
    "two bytes a letter": ("/CN=db.names.test", None),
}
MASKS = {"two bytes a letter": "MASK:0x800"}

# By certificate: the hosts that libpq takes it for, and the router does not.
STRICTER = {
    # Wildcards are for names of letters, digits and hyphens, with two dots at least.
    "wildcard": {"bücher.names.test"},
    "wildcard in common name": {"bücher.names.test"},
    "wildcard of a top": {"db.single", "names.test"},
    "wildcard and dot": {"db.names.test."},
    "wildcard beside _": {"db.my_net.test"},
    # An address is an address, and no name.
    "address as name": {"127.0.0.1", "::1"},
    "address as common name": {"127.0.0.1"},
    "long address as common name": {"::1"},
    "address as common name beside name": {"127.0.0.1"},
    "wildcard of addresses": {"127.0.0.1"},
    # What is odd is odd, whichever comes first.
    "good, then zero byte": {"db.names.test", "DB.Names.Test"},
    "two common names": {"db.names.test", "DB.Names.Test"},
}


def has_v6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def own_hosts(tmp_path):
    """A program that runs the router where /etc/hosts has the names."""
    (tmp_path / "hosts").write_text("".join(
        f"127.0.0.1 {name}\n" for name in HOSTS if name[0] not in "1:"))
    program = tmp_path / "with-hosts"
    program.write_text('#!/bin/sh\nexec unshare -m sh -c \'mount --bind "$0" /etc/hosts && exec "$@"\' '
                       f'"{tmp_path}/hosts" "{os.environ.get("PGTANDEM", "")}" "$@"\n')
    program.chmod(0o755)
    return program


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("ca"))
    authority.issue("server", "localhost", "DNS:localhost,IP:127.0.0.1")
    return authority


@pytest.fixture(scope="module")
def cluster(ca):
    postgres = TlsPostgres()
    try:
        postgres.create_with(ca)
        if has_v6():
            with open(postgres.data / "postgresql.conf", "a", encoding="utf-8") as conf:
                conf.write("listen_addresses = '127.0.0.1,::1'\n")
        with open(postgres.data / "pg_hba.conf", "a", encoding="utf-8") as hba:
            hba.write("host all all ::1/128 trust\n")
        postgres.restart()
        yield postgres
    finally:
        postgres.destroy()


def verdict(refusals, user=USER, **how):
    """True: let in; anything but a name that will not do is a failure."""
    try:
        psycopg.connect(user=user, connect_timeout=60, **how).close()
        return True
    except psycopg.OperationalError as problem:
        assert any(text in str(problem) for text in refusals), problem
        return False


def by_libpq(cluster, ca, host):
    address = host if host[0] in "1:" else "127.0.0.1"
    return verdict(("does not match host name", "could not get server's host name",
                    "contains embedded null"),
                   host=host, hostaddr=address, port=cluster.port, dbname=DATABASE,
                   sslmode="verify-full", sslrootcert=ca.ca)


@pytest.mark.skipif(subprocess.run(["unshare", "-m", "true"], check=False).returncode != 0,
                    reason="names of one's own need a mount namespace")
@pytest.mark.parametrize("certificate", CERTIFICATES)
def test_the_servers_name(make_router, cluster, ca, tmp_path, monkeypatch, certificate):
    hosts = [host for host in HOSTS if host != "::1" or has_v6()]
    subject, alt = CERTIFICATES[certificate]
    ca.issue_as("tried", subject, alt, MASKS.get(certificate, "utf8only"))
    cluster.use_certificate("tried")
    monkeypatch.setenv("PGTANDEM", str(own_hosts(tmp_path)))
    names = {f"host{i}": host for i, host in enumerate(hosts)}
    router = make_router({
        "hosts": {name: {"host": host, "port": cluster.port, "connection_budget": 2,
                         "server_tls_sslmode": "verify-full", "server_tls_ca_file": ca.ca}
                  for name, host in names.items()},
        "databases": {name: {"host": name, "dbname": DATABASE} for name in names},
        "auth": {"auth_type": "trust"}}, postgres_of_test=cluster)
    found = {host: (by_libpq(cluster, ca, host),
                    verdict(("name mismatch", "address mismatch"), host="127.0.0.1",
                            port=router.ports["session"], dbname=name))
             for name, host in names.items()}
    libpq = {host for host, verdicts in found.items() if verdicts[0]}
    assert {host for host, verdicts in found.items() if verdicts[1]} == \
        libpq - STRICTER.get(certificate, set())
    assert libpq >= STRICTER.get(certificate, set()) & set(hosts)


# ------------------------------------------------------- the client's certificate
#
# By rule (the database says which), certificate and user: whom PostgreSQL lets in is whom the
# router lets in.

RULES = """\
hostssl by_name all 127.0.0.1/32 cert
hostssl by_map all 127.0.0.1/32 cert map=names
hostssl by_dn all 127.0.0.1/32 cert clientname=DN
hostssl by_dn_map all 127.0.0.1/32 cert clientname=DN map=subjects
hostssl verified all 127.0.0.1/32 trust clientcert=verify-full
hostssl verified_dn all 127.0.0.1/32 trust clientcert=verify-full clientname=DN
"""
DATABASES = ("by_name", "by_map", "by_dn", "by_dn_map", "verified", "verified_dn")
MAPS = r'''
names "Doe, John" app_trust
names "say ""hi""" app_trust
names /^(.*)@names\.test$ \1
names "Müller" other
subjects "CN=Doe\, John,O=names" app_trust
subjects "CN=say \""hi\"",O=names" app_trust
subjects "CN=app_trust,OU=one+OU=two,O=names" other
subjects "CN=app_trust+UID=1,O=names" other
subjects "CN=app_trust,CN=other" app_trust
subjects "CN=\ app_trust" other
subjects "CN=\#app_trust" other
subjects "CN=Müller" other
subjects "CN=M\C3\BCller" app_trust
subjects "/^CN=([^,]+),O=people$" \1
'''
PEOPLE = ("app_trust", "other", "Müller", "Doe, John", "CN=app_trust")

SUBJECTS = {
    "name": "/CN=app_trust",
    "capitals": "/CN=App_Trust",
    "part of people": "/O=people/CN=app_trust",
    "part of more people": "/O=people/OU=more/CN=app_trust",
    "comma": "/O=names/CN=Doe, John",
    "quotes": '/O=names/CN=say "hi"',
    "mail": "/CN=app_trust@names.test",
    "mail of elsewhere": "/CN=app_trust@names.test.else",
    "several values": "/O=names/OU=one+OU=two/CN=app_trust",
    "several values, another order": "/O=names/OU=two+OU=one/CN=app_trust",
    "name among several values": "/O=names/CN=app_trust+UID=1",
    "two names": "/CN=other/CN=app_trust",
    "no name": "/O=app_trust",
    "zero byte": "/CN=app_trust~x",
    "zero byte elsewhere": "/O=a~b/CN=app_trust",
    "zero byte in people": "/O=people~x/CN=app_trust",
    "space": "/CN= app_trust",
    "number sign": "/CN=#app_trust",
    "umlaut": "/CN=Müller",
    "umlaut of one byte": "/CN=Müller",
    "umlaut of two bytes": "/CN=Müller",
}
SUBJECT_MASKS = {"umlaut of one byte": "MASK:0x4", "umlaut of two bytes": "MASK:0x800"}

# By certificate: whom PostgreSQL lets in, and the router does not.  Of several names it takes
# the first.
REFUSED = {"two names": {("by_name", "other"), ("verified", "other")}}


@pytest.fixture(scope="module")
def ruled(ca):
    """A PostgreSQL with those rules."""
    postgres = TlsPostgres()
    try:
        postgres.create_with(ca)
        hba = postgres.data / "pg_hba.conf"
        hba.write_text(RULES + hba.read_text())
        (postgres.data / "pg_ident.conf").write_text(MAPS)
        postgres.sql(*(f'CREATE DATABASE "{name}"' for name in DATABASES),
                     *(f'CREATE ROLE "{name}" LOGIN' for name in PEOPLE
                       if name not in ("app_trust", "other")))
        postgres.reload()
        yield postgres
    finally:
        postgres.destroy()


@pytest.fixture
def ruling(make_router, ruled, ca):
    """A router with the same; what it does for whom it lets in is another matter."""
    router = make_router({
        "databases": {"*": None, **{name: {"host": "main", "dbname": DATABASE, "user": USER,
                                           "password": "none"} for name in DATABASES}},
        "tls": {"client_tls_sslmode": "prefer", "client_tls_ca_file": ca.ca,
                "client_tls_key_file": ca.path("server.key"),
                "client_tls_cert_file": ca.path("server.crt")},
        "auth": {"auth_type": "hba", "auth_hba_file": "hba.conf", "auth_ident_file": "ident.conf"}},
        start=False, postgres_of_test=ruled)
    (router.directory / "hba.conf").write_text(RULES)
    (router.directory / "ident.conf").write_text(MAPS)
    router.start()
    return router


def let_in(port, ca, database):
    """Who of them is, with the certificate "shown"."""
    return {(database, user) for user in PEOPLE if verdict(
        ("authentication failed for user", "requires a valid client certificate",
         "SSL error", "SSL SYSCALL error", "SSL connection has been closed"),
        user=user, host="127.0.0.1", port=port, dbname=database, sslmode="require",
        sslcert=ca.path("shown.crt"), sslkey=ca.path("shown.key"))}


@pytest.mark.parametrize("subject", SUBJECTS)
def test_the_clients_name(ruling, ruled, ca, subject):
    ca.issue_as("shown", SUBJECTS[subject], None, SUBJECT_MASKS.get(subject, "utf8only"))
    os.chmod(ca.path("shown.key"), 0o600)
    found = [set().union(*(let_in(port, ca, database) for database in DATABASES))
             for port in (ruled.port, ruling.ports["session"])]
    assert found[1] == found[0] - REFUSED.get(subject, set())
    assert found[0] >= REFUSED.get(subject, set())

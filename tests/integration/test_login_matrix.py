# SPDX-License-Identifier: ISC
"""How a client logs in, against how PostgreSQL is logged in to, against TLS, against ports;
with libpq, psql, asyncpg, JDBC and direct TLS.  What is refused is asked of PostgreSQL, too,
with the same rules and the same client: the words and the SQLSTATE must be the same."""
import asyncio
import json
import os
import re
import ssl
import subprocess
from collections import namedtuple

import asyncpg
import psycopg
import pytest
from support import needs
from support import wire as w
from support.certs import Authority
from support.postgres import DATABASE, USERS
from support.tlspostgres import TlsPostgres

pytestmark = pytest.mark.router_only

METHODS = ("trust", "password", "md5", "scram-sha-256", "cert")
# By user: what PostgreSQL asks the router for.
SERVERS = {"app_trust": "trust", "app_plain": "password", "app_md5": "md5",
           "app_scram": "scram-sha-256"}
WAYS = ("off", "1.2", "1.3", "certificate")
PORTS = ("transactional", "session")

# The database says what a client is asked for, of the router and of PostgreSQL alike.
RULES = "".join(f"{'hostssl' if method == 'cert' else 'host'} by_{method} all 127.0.0.1/32 {method}\n"
                for method in METHODS) + """\
hostssl only_tls all 127.0.0.1/32 scram-sha-256
hostnossl only_plain all 127.0.0.1/32 scram-sha-256
hostssl tls_md5 all 127.0.0.1/32 md5
hostnossl tls_md5 all 127.0.0.1/32 reject
host never all 127.0.0.1/32 reject
hostssl verified all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca
hostssl named all 127.0.0.1/32 scram-sha-256 clientcert=verify-full
host nowhere all 127.0.0.1/32 scram-sha-256
"""
NAMES = sorted(set(re.findall(r"^\S+ (\S+)", RULES, re.M)))
EXISTING = [name for name in NAMES if name != "nowhere"]

Case = namedtuple("Case", "port database user password tls certificate")


def case(port, database, user="app_scram", password=None, tls="off", certificate=None):
    return Case(port, database, user, USERS.get(user, ("none",))[0] if password is None
                else password, tls, certificate)


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("ca"))
    authority.issue("server", "localhost", "DNS:localhost,IP:127.0.0.1")
    for user in SERVERS:
        authority.issue(user, user)
        # JDBC takes no other form.
        authority.openssl("pkcs8", "-topk8", "-nocrypt", "-in", f"{user}.key", "-outform", "DER",
                          "-out", f"{user}.pk8")
    return authority


@pytest.fixture(scope="module")
def cluster(ca):
    postgres = TlsPostgres()
    try:
        postgres.create_with(ca)
        hba = postgres.data / "pg_hba.conf"
        # Nothing but the rules is for those databases.
        hba.write_text(RULES + re.sub(r"^host all (?!postgres)", f"host {DATABASE} ",
                                      hba.read_text(), flags=re.M))
        postgres.sql(*(f'CREATE DATABASE "{name}"' for name in EXISTING))
        postgres.reload()
        yield postgres
    finally:
        postgres.destroy()


@pytest.fixture
def router(make_router, cluster, ca):
    files = {"client_tls_key_file": ca.path("server.key"),
             "client_tls_cert_file": ca.path("server.crt"), "client_tls_ca_file": ca.ca}
    made = make_router({
        "hosts": {"main": {"host": "localhost", "server_tls_sslmode": "verify-full",
                           "server_tls_ca_file": ca.ca, "connection_budget": 40}},
        "tls": {"client_tls_sslmode": "prefer", **files},
        "databases": {"*": None, **{name: {"host": "main", "dbname": DATABASE}
                                    for name in EXISTING}},
        "auth": {"auth_type": "hba", "auth_hba_file": "hba.conf"}},
        start=False, postgres_of_test=cluster)
    (made.directory / "hba.conf").write_text(RULES + "host pgbouncer all 127.0.0.1/32 scram-sha-256\n")
    made.start()
    return made


# ------------------------------------------------------------------- clients
#
# Each takes cases and gives, for each, True or what it was told: (SQLSTATE, message), where
# the SQLSTATE is None for clients that do not tell it.

def files_of(ca, name):
    return (ca.path(f"{name}.crt"), ca.path(f"{name}.key")) if name else ("/nonexistent",) * 2


def dsn(one, ca):
    cert, key = files_of(ca, one.certificate)
    versions = {"1.2": "TLSv1.2"}.get(one.tls, "TLSv1.3")
    more = {"sslmode": "disable"} if one.tls == "off" else {
        "sslmode": "verify-full", "sslrootcert": ca.ca, "sslcert": cert, "sslkey": key,
        "ssl_min_protocol_version": versions, "ssl_max_protocol_version": versions}
    return {"host": "localhost", "hostaddr": "127.0.0.1", "port": one.port, "user": one.user,
            "password": one.password, "dbname": one.database, "connect_timeout": 60, **more}


def told(text):
    """What libpq's users see, without where it came from."""
    return None, unhinted(text.rsplit("FATAL:", 1)[-1].strip())


def unhinted(text):
    """The router has hints of its own."""
    return re.sub(r"\s+(HINT|Hint):.*", "", text, flags=re.S)


def by_psycopg(cases, ca):
    for one in cases:
        try:
            with psycopg.connect(**dsn(one, ca), autocommit=True) as connection:
                assert connection.pgconn.ssl_in_use == (one.tls != "off")
                assert connection.execute("SELECT current_user").fetchone() == (one.user,)
            yield True
        except psycopg.OperationalError as problem:
            yield told(str(problem))


def by_psql(cases, ca):
    for one in cases:
        words = dsn(one, ca)
        password = words.pop("password")
        done = subprocess.run(
            ["psql", "-XAtw", " ".join(f"{k}={v}" for k, v in words.items()), "-c",
             "SELECT current_user"], env={**os.environ, "PGPASSWORD": password}, text=True,
            capture_output=True, check=False, timeout=90)
        yield done.stdout.strip() == one.user or told(done.stderr)


def context_of(one, ca):
    context = ssl.create_default_context(cafile=ca.ca)
    context.minimum_version = context.maximum_version = (
        ssl.TLSVersion.TLSv1_2 if one.tls == "1.2" else ssl.TLSVersion.TLSv1_3)
    if one.certificate:
        context.load_cert_chain(*files_of(ca, one.certificate))
    return context


def by_asyncpg(cases, ca):
    async def run():
        answers = []
        for one in cases:
            try:
                connection = await asyncpg.connect(
                    host="localhost", port=one.port, user=one.user, password=one.password,
                    database=one.database, timeout=60,
                    ssl=False if one.tls == "off" else context_of(one, ca))
                answers.append(await connection.fetchval("SELECT current_user") == one.user)
                await connection.close()
            except asyncpg.PostgresError as problem:
                answers.append((problem.sqlstate, unhinted(str(problem))))
        return answers
    return asyncio.run(run())


def by_direct(cases, ca):
    """TLS from the first byte on, as sslnegotiation=direct of libpq 17; PostgreSQL before 17
    has none, and is asked with SSLRequest."""
    for one in cases:
        with w.Wire("127.0.0.1", one.port, timeout=90) as wire:
            context = context_of(one, ca)
            context.set_alpn_protocols(["postgresql"])
            wire.socket = context.wrap_socket(wire.socket, server_hostname="localhost")
            wire.send(w.startup(one.user, one.database))
            try:
                wire.authenticate(one.user, one.password)
                yield wire.value("SELECT current_user") == one.user
            except RuntimeError as problem:
                yield tuple(str(problem).split(": ", 1))


JDBC = r"""
import java.io.*;
import java.sql.*;

public class Logins {
    public static void main(String[] a) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] word = line.split("\t", -1);
            try (Connection c = DriverManager.getConnection(word[0], word[1], word[2]);
                    ResultSet r = c.createStatement().executeQuery("SELECT current_user")) {
                r.next();
                System.out.println("ok\t" + r.getString(1));
            } catch (SQLException e) {
                System.out.println(e.getSQLState() + "\t" + e.getMessage().replace("\n", " "));
            }
        }
    }
}
"""


def by_jdbc(cases, ca):
    lines = []
    for one in cases:
        url = f"jdbc:postgresql://localhost:{one.port}/{one.database}?"
        url += "sslmode=disable" if one.tls == "off" else f"sslmode=verify-full&sslrootcert={ca.ca}"
        if one.certificate:
            url += f"&sslcert={ca.path(one.certificate)}.crt&sslkey={ca.path(one.certificate)}.pk8"
        lines.append(f"{url}\t{one.user}\t{one.password}")
    version = "TLSv1.2" if any(one.tls == "1.2" for one in cases) else "TLSv1.3"
    done = needs.run_java(ca.directory / "Logins.java", JDBC, input="\n".join(lines) + "\n", options=[
        f"-Djdk.tls.client.protocols={version}", f"-Duser.home={ca.directory}"])
    answers = [line.split("\t", 1) for line in done.stdout.splitlines()]
    assert len(answers) == len(cases), done.stdout + done.stderr
    for one, (state, text) in zip(cases, answers):
        yield text == one.user if state == "ok" else (
            state, unhinted(re.sub(r"^FATAL: ", "", text)))


CLIENTS = {"psycopg": by_psycopg, "psql": by_psql, "asyncpg": by_asyncpg, "JDBC": by_jdbc,
           "direct": by_direct}


# -------------------------------------------------------------------- matrix

def all_cases(router, ways, users=SERVERS):
    return [case(getattr(router, port).port, f"by_{method}", user, None,
                 "1.3" if way == "certificate" else way, user if way == "certificate" else None)
            for port in PORTS for method in METHODS for way in ways for user in users]


def is_let_in(one):
    return one.database != "by_cert" or one.certificate == one.user


@pytest.mark.parametrize("client, ways, users", [
    ("psycopg", WAYS, SERVERS), ("asyncpg", WAYS, SERVERS),
    ("JDBC", ("off", "1.3", "certificate"), SERVERS), ("JDBC", ("1.2",), SERVERS),
    ("direct", ("1.3", "certificate"), SERVERS), ("psql", WAYS, ["app_scram"])],
    ids=["psycopg", "asyncpg", "JDBC", "JDBC with TLS 1.2", "direct", "psql"])
def test_matrix(router, ca, client, ways, users):
    """Every method of the client's against every one of PostgreSQL's, over every kind of
    TLS, on both ports: in, but where a certificate is asked for and there is none."""
    cases = all_cases(router, ways, users)
    wrong = [(one, answer) for one, answer in zip(cases, CLIENTS[client](cases, ca))
             if (answer is True) != is_let_in(one)]
    assert not wrong, wrong[:5]


def wrong_cases(port):
    """What PostgreSQL and the router are both asked, by users that both know."""
    for tls, certificate in (("off", None), ("1.3", None), ("1.3", "app_scram"),
                             ("1.3", "app_trust")):
        for database in (*NAMES, "unruled"):
            yield case(port, database, tls=tls, certificate=certificate)
            if database not in ("by_trust", "by_cert"):
                yield case(port, database, password="wrong", tls=tls, certificate=certificate)
                yield case(port, database, user="nobody", tls=tls, certificate=certificate)


@pytest.mark.parametrize("client", ["psycopg", "asyncpg", "JDBC", "psql"])
def test_the_words_are_those_of_postgresql(router, cluster, ca, client):
    """Whoever is refused hears from the router what PostgreSQL would say: the same message,
    and the same SQLSTATE."""
    asked = list(wrong_cases(cluster.port))
    if client == "psql":
        asked = asked[::5]
    expected = list(CLIENTS[client](asked, ca))
    assert len({str(answer) for answer in expected}) > 6
    for port in PORTS:
        got = list(CLIENTS[client]([one._replace(port=getattr(router, port).port)
                                    for one in asked], ca))
        wrong = [{"case": one, "PostgreSQL": said, "router": heard}
                 for one, said, heard in zip(asked, expected, got)
                 if said != heard]
        assert not wrong, json.dumps(wrong[:6], indent=1)

# SPDX-License-Identifier: ISC
"""Passwords beyond ASCII, which SASLprep changes, or refuses and leaves as they are: each is
set in PostgreSQL and in the router's file, and typed in all spellings of its group.  Whatever
a driver makes of it, the router's answer is PostgreSQL's own."""
import asyncio
import os
import subprocess

import asyncpg
import psycopg
import pytest
from support import needs
from support.postgres import DATABASE
from support.router import ADMIN, Endpoint

pytestmark = pytest.mark.router_only

# Of each group some are the same after SASLprep, and some only look so.
GROUPS = {
    "full width, soft hyphen": ["pass", "p\uff41ss", "pa\u00adss", "p\uff21ss"],
    "spaces": ["a b", "a\u00a0b", "a\u3000b", "a\u200bb", "ab"],
    "umlaut": ["M\u00fcller", "Mu\u0308ller", "Muller"],
    "two marks": ["\u1eb7\u0301", "a\u0306\u0323\u0301", "a\u0323\u0306\u0301"],
    "ligatures": ["\ufb01n", "fin", "\u2168", "IX", "\u00aa", "a"],
    "longer when normalised": ["\ufdfa", "\u0635\u0644\u0649 \u0627\u0644\u0644\u0647"
                               " \u0639\u0644\u064a\u0647 \u0648\u0633\u0644\u0645"],
    "prohibited": ["\u00e4\ufffd", "a\u0308\ufffd", "\u00e4"],
    "prohibited, until normalised": ["x\u0340", "x\u0300", "x\u0341"],
    "private use": ["\ue000\uff41", "\ue000a"],
    "right to left": ["\u0627\u0628", "\u0627\u00ad\u0628", "\ufe8d\u0628"],
    "right to left, refused": ["\u06271", "\u0627\uff11", "\u05d0a", "\u05d0\uff41"],
    "a letter only when normalised": ["\u2135abc", "\u05d0abc", "\u05d0\u2100\u05d0",
                                      "\u05d0a/c\u05d0"],
    "unassigned": ["\U0001f600", "\U0001f600\uff41", "\U0001f600a"],
    "nothing left": ["\u00ad", "\u00ad\u00ad"],
    "Corrigendum 4": ["\U0002f868", "\u36fc", "\U0002136a"],
}
PASSWORDS = [password for group in GROUPS.values() for password in group]
USER = {password: f"prep_{n}" for n, password in enumerate(PASSWORDS)}
# By whose user, what is typed; and of that what slower ones are asked.
ASKED = [(USER[stored], typed) for group in GROUPS.values() for stored in group for typed in group]
FEW = [(USER[group[0]], typed) for group in GROUPS.values() for typed in group]
NOT_UTF8 = {"prep_latin": b"M\xfcller", "prep_cut": b"Mu\xcc", "prep_surrogate": b"x\xed\xa0\x80"}


def literal(password):
    return "E'" + "".join(f"\\x{byte:02x}" for byte in password) + "'"


@pytest.fixture(scope="module")
def known(postgres_cluster):
    """Users of the cluster, who log in by SCRAM; their secrets."""
    hba = postgres_cluster.data / "pg_hba.conf"
    before = hba.read_text()
    # There a password may be any bytes.
    postgres_cluster.sql("CREATE DATABASE any_bytes ENCODING 'SQL_ASCII' TEMPLATE template0"
                         " LC_COLLATE 'C' LC_CTYPE 'C'", "CREATE ROLE prepared")
    try:
        hba.write_text("host all +prepared 127.0.0.1/32 scram-sha-256\n" + before)
        postgres_cluster.reload()
        postgres_cluster.sql(*(
            f"CREATE ROLE {name} LOGIN PASSWORD {literal(password)} IN ROLE prepared"
            for name, password in [*((USER[p], p.encode()) for p in PASSWORDS),
                                   *NOT_UTF8.items()]), dbname="any_bytes")
        yield {name: postgres_cluster.secret(name) for name in [*USER.values(), *NOT_UTF8]}
    finally:
        postgres_cluster.terminate()
        postgres_cluster.sql("DROP DATABASE any_bytes", "DROP ROLE prepared",
                             *(f"DROP ROLE {name}" for name in [*USER.values(), *NOT_UTF8]))
        hba.write_text(before)
        postgres_cluster.reload()


@pytest.fixture(params=["plain", "secret"])
def router(request, make_router, known):
    """What the router has is the password itself, or PostgreSQL's secret of it."""
    made = make_router(start=False)
    plain = {**{name: password.encode() for password, name in USER.items()}, **NOT_UTF8}
    lines = [b'"%s" "%s"' % (name.encode(), plain[name] if request.param == "plain"
                             else known[name].encode()) for name in known]
    (made.directory / "userlist.txt").write_bytes(
        b"\n".join([b'"%s" "%s"' % (ADMIN[0].encode(), ADMIN[1].encode()), *lines]) + b"\n")
    made.start()
    return made


# ------------------------------------------------------------------- drivers
#
# Each gives, for each (user, password), "in", or how it was refused.

def by_psycopg(endpoint, asked):
    for user, password in asked:
        try:
            with psycopg.connect(host=endpoint.host, port=endpoint.port, user=user,
                                 password=password, dbname=DATABASE) as connection:
                assert connection.execute("SELECT current_user").fetchone() == (user,)
            yield "in"
        except psycopg.OperationalError as problem:
            yield str(problem).rsplit("FATAL:", 1)[-1].strip()


def by_psql(endpoint, asked):
    for user, password in asked:
        done = subprocess.run(
            ["psql", "-XAtw", "-h", endpoint.host, "-p", str(endpoint.port), "-U", user, "-c",
             "SELECT current_user", DATABASE], env={**os.environ, "PGPASSWORD": password},
            capture_output=True, check=False, timeout=90)
        yield "in" if done.stdout.strip() == user.encode() \
            else done.stderr.decode().rsplit("FATAL:", 1)[-1].strip()


def by_asyncpg(endpoint, asked):
    async def run():
        for user, password in asked:
            try:
                connection = await asyncpg.connect(host=endpoint.host, port=endpoint.port, user=user,
                                                   password=password, database=DATABASE)
                assert await connection.fetchval("SELECT current_user") == user
                await connection.close()
                found.append("in")
            except asyncpg.PostgresError as problem:
                found.append(problem.sqlstate)
            except Exception as problem:  # pylint: disable=broad-except
                found.append(type(problem).__name__)
    found = []
    asyncio.run(run())
    return found


JDBC = r"""
import java.io.*;
import java.math.BigInteger;
import java.sql.*;

public class Prepared {
    public static void main(String[] a) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] word = line.split(" ");
            byte[] bytes = new byte[word[1].length() / 2];
            for (int i = 0; i < bytes.length; i++)
                bytes[i] = (byte) Integer.parseInt(word[1].substring(2 * i, 2 * i + 2), 16);
            try (Connection c = DriverManager.getConnection(a[0], word[0],
                    new String(bytes, "UTF-8"))) {
                System.out.println("in");
            } catch (SQLException e) {
                System.out.println(e.getSQLState());
            } catch (RuntimeException e) {
                System.out.println(e.getClass().getName());
            }
        }
    }
}
"""

NODE = r"""
const { Client } = require('pg');
const [host, port, database] = process.argv.slice(1);
const lines = require('fs').readFileSync(0, 'ascii').trim().split('\n');
(async () => {
  for (const line of lines) {
    const [user, hex] = line.split(' ');
    const client = new Client({ host, port: +port, database, user,
        password: Buffer.from(hex, 'hex').toString('utf8') });
    client.on('error', () => {});
    try {
      await client.connect();
      console.log('in');
    } catch (e) {
      console.log(e.code || e.message);
    }
    await client.end().catch(() => {});
  }
})();
"""


def as_lines(asked):
    return "".join(f"{user} {password.encode().hex()}\n" for user, password in asked)


def by_jdbc(endpoint, asked, tmp_path):
    done = needs.run_java(tmp_path / "Prepared.java", JDBC,
                          f"jdbc:postgresql://{endpoint.host}:{endpoint.port}/{DATABASE}",
                          input=as_lines(asked))
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1]


def by_node(endpoint, asked, _):
    done = needs.run_node(NODE, ["pg"], endpoint.host, endpoint.port, DATABASE,
                          input=as_lines(asked))
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1]


DRIVERS = {"psycopg": (lambda *a: list(by_psycopg(*a[:2])), ASKED),
           "asyncpg": (lambda *a: by_asyncpg(*a[:2]), FEW),
           "JDBC": (by_jdbc, FEW), "node-postgres": (by_node, FEW)}


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_router_says_what_postgresql_says(router, postgres, tmp_path, driver):
    ask, asked = DRIVERS[driver]
    direct = ask(Endpoint("127.0.0.1", postgres.port), asked, tmp_path)
    # What no driver spoils, and what nobody is let in by.
    assert direct[asked.index((USER["pass"], "pass"))] == "in"
    assert direct[asked.index((USER["pass"], "p\uff21ss"))] != "in"
    got = ask(router.transactional, asked, tmp_path)
    wrong = [(user, ascii(typed), theirs, ours)
             for (user, typed), theirs, ours in zip(asked, direct, got, strict=True)
             if theirs != ours]
    assert not wrong, wrong


def test_libpq_knows_what_is_the_same(postgres, known):
    """What the groups are for: PostgreSQL lets in by other spellings than the one that was
    set, and does not by all."""
    assert known
    direct = dict(zip(ASKED, by_psycopg(Endpoint("127.0.0.1", postgres.port), ASKED)))
    for stored, typed, is_let_in in (
            ("pass", "p\uff41ss", True), ("pa\u00adss", "pass", True), ("a\u00a0b", "a b", True),
            ("M\u00fcller", "Mu\u0308ller", True), ("\ufb01n", "fin", True),
            ("\u00e4\ufffd", "a\u0308\ufffd", False), ("\u05d0a", "\u05d0\uff41", False),
            ("x\u0340", "x\u0300", False), ("\u2135abc", "\u05d0abc", True),
            ("\U0001f600a", "\U0001f600\uff41", False)):
        assert (direct[USER[stored], typed] == "in") is is_let_in, (stored, typed)


def test_bytes_that_are_no_text(router, postgres):
    asked = [(user, password) for user in NOT_UTF8
             for password in (*NOT_UTF8.values(), "M\u00fcller".encode())]
    direct = list(by_psql(Endpoint("127.0.0.1", postgres.port), asked))
    assert direct.count("in") == len(NOT_UTF8)
    assert list(by_psql(router.transactional, asked)) == direct

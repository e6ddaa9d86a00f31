# SPDX-License-Identifier: ISC
"""Each way in against each way on: how a client proves itself, what the router has
stored, and what PostgreSQL asks for.  The table is that of docs/security.md."""
import asyncio
import base64
import hashlib
import hmac
import os
import re
import subprocess

import asyncpg
import psycopg
import pytest
from support.postgres import DATABASE, USERS, md5_secret
from support.router import ADMIN, ROOT

pytestmark = pytest.mark.router_only

# The user by whom PostgreSQL asks for it, and what it asks for.
SERVERS = {"trust": "app_trust", "password": "app_plain", "md5": "app_md5",
           "scram-sha-256": "app_scram"}
ALL = set(SERVERS)

# (client's method, stored secret): the methods of PostgreSQL that are reached; None: the
# client is refused by the router.
REACHED = {
    ("trust", "plain"): ALL,
    ("trust", "md5"): {"trust", "md5"},
    ("trust", "scram"): {"trust"},
    ("trust", "none"): {"trust"},
    ("password", "plain"): ALL,
    ("password", "md5"): ALL,
    ("password", "scram"): ALL,
    ("password", "none"): None,
    ("md5", "plain"): ALL,
    ("md5", "md5"): {"trust", "md5"},
    ("md5", "scram"): {"trust", "scram-sha-256"},
    ("md5", "none"): None,
    ("scram-sha-256", "plain"): ALL,
    ("scram-sha-256", "md5"): None,
    ("scram-sha-256", "scram"): {"trust", "scram-sha-256"},
    ("scram-sha-256", "none"): None,
}


def scram_secret(password):
    salt = b"0123456789abcdef"
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 4096)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    text = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256$4096:{text[0]}${text[1]}:{text[2]}"


def stored_as(kind, user, postgres):
    password = USERS[user][0]
    if kind == "plain":
        return password
    if kind == "md5":
        return md5_secret(user, password)
    # Where PostgreSQL asks for SCRAM it is PostgreSQL's own secret.
    return postgres.secret(user) if user == "app_scram" else scram_secret(password)


def users_for(router, postgres, kind):
    lines = [f'"{ADMIN[0]}" "{ADMIN[1]}"']
    if kind != "none":
        lines += [f'"{user}" "{stored_as(kind, user, postgres)}"' for user in SERVERS.values()]
    router.write_userlist(lines)


@pytest.mark.parametrize("method, kind", REACHED)
def test_matrix(make_router, postgres, method, kind):
    """libpq, on both ports: in, or refused by whom the table says."""
    router = make_router({"auth": {"auth_type": method}}, start=False)
    users_for(router, postgres, kind)
    router.start()
    reached = REACHED[method, kind]
    for endpoint in (router.transactional, router.session):
        for server, user in SERVERS.items():
            if reached is not None and server in reached:
                with endpoint.connect(user=user) as connection:
                    assert connection.execute("SELECT current_user").fetchone() == (user,)
                if method != "trust":
                    with pytest.raises(psycopg.OperationalError, match="password authentication"):
                        endpoint.connect(user=user, password="wrong")
                continue
            with pytest.raises(psycopg.OperationalError) as refused:
                endpoint.connect(user=user)
            if reached is None:
                assert f'password authentication failed for user "{user}"' in str(refused.value)
            else:
                assert re.search(f'known for user "{user}"|SCRAM secret of user "{user}" is not the'
                                 ' same', str(refused.value)), (server, str(refused.value))


@pytest.mark.parametrize("method", ["password", "md5", "scram-sha-256"])
def test_asyncpg(make_router, method):
    router = make_router({"auth": {"auth_type": method}})

    async def run():
        for endpoint in (router.transactional, router.session):
            for user in SERVERS.values():
                connection = await asyncpg.connect(
                    host="127.0.0.1", port=endpoint.port, user=user, password=USERS[user][0],
                    database=DATABASE)
                assert await connection.fetchval("SELECT current_user") == user
                await connection.close()
                with pytest.raises(asyncpg.InvalidPasswordError):
                    await asyncpg.connect(host="127.0.0.1", port=endpoint.port, user=user,
                                          password="wrong", database=DATABASE)
    asyncio.run(run())


PAGE = ROOT / "docs" / "security.md"
HEAD = f"| client's method | stored secret | {' | '.join(SERVERS)} |\n|---|---|---|---|---|---|\n"


def test_the_table_of_the_docs():
    """docs/security.md says what the test above has shown; PGTANDEM_WRITE_DOCS=1 writes it."""
    table = "".join(
        f"| {method} | {kind} | " + " | ".join(
            "refused" if reached is None else "yes" if server in reached else "28000"
            for server in SERVERS) + " |\n"
        for (method, kind), reached in REACHED.items())
    before, _, after = PAGE.read_text().partition(HEAD)
    there = re.match(r"(\|.*\n)*", after)[0]
    if os.environ.get("PGTANDEM_WRITE_DOCS"):
        PAGE.write_text(before + HEAD + table + after[len(there):])
        there = table
    assert there == table, "PGTANDEM_WRITE_DOCS=1 writes the table of docs/security.md"


@pytest.mark.parametrize("size", [4000, 30000])
def test_a_long_password(make_router, postgres, size):
    """A token of an identity provider, sent in clear both ways."""
    token = "tok." + "x" * size
    postgres.sql("ALTER ROLE other PASSWORD '" + token + "'")
    hba = postgres.data / "pg_hba.conf"
    before = hba.read_text()
    try:
        hba.write_text("host all other 127.0.0.1/32 password\n" + before)
        postgres.sql("SELECT pg_reload_conf()")
        router = make_router({"auth": {"auth_type": "password"}}, start=False)
        router.write_userlist([f'"other" "{postgres.secret("other")}"',
                               f'"{ADMIN[0]}" "{ADMIN[1]}"'])
        router.start()
        with router.session.connect(user="other", password=token) as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("other",)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            router.session.connect(user="other", password=token + "y")
    finally:
        hba.write_text(before)
        postgres.sql(f"ALTER ROLE other PASSWORD '{USERS['other'][0]}'", "SELECT pg_reload_conf()")


def test_what_cannot_work_is_told(make_router, postgres):
    """By --check, with the line, and by a reload; and it is so: only trust is reached."""
    router = make_router({"auth": {"auth_type": "scram-sha-256"}}, start=False)
    users_for(router, postgres, "scram")
    router.write_userlist((router.directory / "userlist.txt").read_text().splitlines()[1:])
    router.start()
    assert "proves nothing" not in router.log()
    said = router.reload({"auth": {"auth_type": "trust"}})
    line = 1 + router.config_file.read_text().splitlines().index(
        next(text for text in router.config_file.read_text().splitlines() if "auth_type" in text))
    told = f"{router.config_file}, line {line}: trust proves nothing that PostgreSQL takes"
    assert told in said
    done = subprocess.run([router.program(), "--check", str(router.config_file)],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert f"warning: {told}" in done.stderr
    for server, user in SERVERS.items():
        if server == "trust":
            with router.session.connect(user=user) as connection:
                connection.execute("SELECT 1")
        else:
            with pytest.raises(psycopg.OperationalError, match="server asked for"):
                router.session.connect(user=user)

# SPDX-License-Identifier: ISC
"""Every view of the console in binary, as drivers ask for it: the values are those that the
same view has in text."""
import asyncio
import re

import pytest
from support import needs
from support.router import ADMIN, ROOT

pytestmark = pytest.mark.router_only

# HELP is a notice, FDS an error.
VIEWS = [name for name in re.findall(r"^VIEW\((\w+),",
                                     (ROOT / "include" / "views.def").read_text(), re.M)
         if name not in ("HELP", "FDS")]
# The same at each look, while nobody does anything.
STEADY = ["DNS_HOSTS", "DATABASES", "USERS", "CONFIG", "SETTINGS", "STATE", "VERSION", "LISTS"]


@pytest.fixture
def used(make_router):
    """A router that has something to show, names included."""
    router = make_router({"hosts": {"main": {"host": "localhost"}}})
    with router.transactional.connect() as one, router.session.connect() as other:
        for connection in (one, other):
            connection.execute("SELECT 1")
        yield router


def shape(rows):
    """The types of each column, None apart: it may be one now and none later."""
    return [{type(row[i]) for row in rows} - {type(None)} for i in range(len(rows[0]))] \
        if rows else []


def test_psycopg(used):
    with used.transactional.connect(user=ADMIN[0], dbname="pgbouncer") as admin:
        for view in VIEWS:
            text, binary = (admin.cursor(binary=how).execute(f"SHOW {view}").fetchall()
                            for how in (False, True))
            for ours, theirs in zip(shape(text), shape(binary)):
                assert not ours or not theirs or ours == theirs, view
            if view in STEADY:
                assert text == binary and text, view
        ttl = admin.cursor(binary=True).execute("SHOW DNS_HOSTS").fetchone()
        assert ttl[:2] == ("localhost", 15)


def test_asyncpg(used):
    asyncpg = needs.module("asyncpg")

    async def ask():
        dsn = used.transactional.dsn(ADMIN[0], "pgbouncer")
        dsn["database"] = dsn.pop("dbname")
        connection = await asyncpg.connect(**dsn)
        found = {view: [tuple(row) for row in await connection.fetch(f"SHOW {view}")]
                 for view in VIEWS}
        await connection.close()
        return found

    found = asyncio.run(ask())
    with used.transactional.connect(user=ADMIN[0], dbname="pgbouncer") as admin:
        for view in VIEWS:
            text = admin.execute(f"SHOW {view}").fetchall()
            if view in STEADY:
                assert found[view] == text, view
            for ours, theirs in zip(shape(text), shape(found[view])):
                assert not ours or not theirs or ours == theirs, view
    assert found["DNS_HOSTS"][0][:2] == ("localhost", 15)


JDBC = r"""
import java.sql.*;

public class Views {
    public static void main(String[] a) throws Exception {
        // Statements of the server, and so binary, from the first one on.
        try (Connection c = DriverManager.getConnection(a[0], a[1], a[2])) {
            for (int i = 3; i < a.length; i++) {
                try (PreparedStatement s = c.prepareStatement("SHOW " + a[i])) {
                    for (int time = 0; time < 2; time++) {
                        ResultSet r = s.executeQuery();
                        int columns = r.getMetaData().getColumnCount();
                        while (r.next()) {
                            StringBuilder line = new StringBuilder(a[i]);
                            for (int k = 1; k <= columns; k++)
                                line.append('\t').append(r.getObject(k));
                            if (time == 1)
                                System.out.println(line);
                        }
                    }
                }
            }
        }
    }
}
"""


def test_jdbc(used, tmp_path):
    url = (f"jdbc:postgresql://127.0.0.1:{used.ports['transactional']}/pgbouncer"
           "?sslmode=disable&prepareThreshold=-1")
    done = needs.run_java(tmp_path / "Views.java", JDBC, url, *ADMIN, *VIEWS)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    with used.transactional.connect(user=ADMIN[0], dbname="pgbouncer") as admin:
        for view in STEADY:
            text = ["\t".join([view, *("null" if value is None else str(value) for value in row)])
                    for row in admin.execute(f"SHOW {view}").fetchall()]
            assert [line for line in lines if line.partition("\t")[0] == view] == text
    assert [line for line in lines if line.startswith("DNS_HOSTS\tlocalhost\t15\t")]

# SPDX-License-Identifier: ISC
"""The programs and drivers that people use, as they come."""
import asyncio
import os
import subprocess

import psycopg
import psycopg2
import pytest
from support import needs
from support.postgres import DATABASE

asyncpg = needs.module("asyncpg")
sqlalchemy = needs.module("sqlalchemy")


def environment(endpoint, user="app_scram"):
    return {**os.environ, "PGHOST": endpoint.host, "PGPORT": str(endpoint.port), "PGUSER": user,
            "PGDATABASE": DATABASE, "PGPASSWORD": endpoint.dsn(user)["password"],
            "PGCONNECT_TIMEOUT": "30"}


def run(endpoint, *command, stdin=None):
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False,
                          env=environment(endpoint), timeout=150)
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"
    return done.stdout


# -------------------------------------------------------------------- psql

def test_psql(port):
    script = """
        \\set ON_ERROR_STOP 1
        SELECT 1 AS one;
        BEGIN;
        INSERT INTO items (body) VALUES ('by psql');
        SELECT count(*) FROM items WHERE body = 'by psql';
        ROLLBACK;
        \\copy (SELECT generate_series(1, 3)) TO STDOUT
        SELECT 'last';
    """
    assert run(port, "psql", "-X", "-At", stdin=script).split("\n")[-2:] == ["last", ""]


def test_psql_describes(port):
    """\\d and \\l send the queries that only psql sends."""
    output = run(port, "psql", "-X", "-c", "\\d documents", "-c", "\\l")
    assert "tenant_id" in output
    assert DATABASE in output


def test_psql_copy_in(port):
    run(port, "psql", "-X", "-c", "DELETE FROM items", "-c",
        "\\copy items (body) FROM PSTDIN", stdin="a\nb\n\\.\n")
    assert run(port, "psql", "-X", "-At", "-c", "SELECT count(*) FROM items") == "2\n"


# ----------------------------------------------------------------- pgbench

@pytest.fixture(scope="module")
def bench_tables(postgres_cluster):
    cluster = postgres_cluster
    subprocess.run([str(cluster.bindir / "pgbench"), "-i", "-q", "-h", str(cluster.socket_dir),
                    "-p", str(cluster.port), "-U", "postgres", DATABASE], check=True,
                   capture_output=True)
    cluster.sql("GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC", dbname=DATABASE)


@pytest.mark.parametrize("mode, name", [
    ("simple", "transactional"), ("extended", "transactional"),
    ("simple", "session"), ("extended", "session"), ("prepared", "session"),
    ("prepared", "transactional")])
def test_pgbench(bench_tables, router, postgres, mode, name):
    """TPC-B in each protocol."""
    output = run(getattr(router, name), str(postgres.bindir / "pgbench"), "-n", "-c", "8", "-j",
                 "2", "-t", "25", "-M", mode)
    assert "number of transactions actually processed: 200/200" in output
    assert "number of failed transactions: 0" in output


@pytest.mark.router_only
@pytest.mark.parametrize("mode", ["simple", "extended"])
def test_pgbench_two_hundred_clients_over_25_servers(bench_tables, make_router, postgres, mode):
    """TPC-B: every transaction counts once, and PostgreSQL never sees more than 25."""
    router = make_router({
        "hosts": {"main": {"connection_budget": 25}},
        "workloads": {"transactional": {"guaranteed_connections": 25, "max_connections": 25},
                      "session": None}})
    command = [str(postgres.bindir / "pgbench"), "-n", "-c", "200", "-j", "2", "-t", "10",
               "-M", mode]
    before = sums(postgres)
    with subprocess.Popen(command, env=environment(router.transactional), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as pgbench:
        most = 0
        while pgbench.poll() is None:
            most = max(most, postgres.count("usename = 'app_scram'"))
        output = pgbench.communicate()[0]
    assert pgbench.returncode == 0, output
    assert "number of transactions actually processed: 2000/2000" in output
    assert "number of failed transactions: 0" in output
    assert 1 < most <= 25
    after = sums(postgres)
    assert after["rows"] - before["rows"] == 2000
    assert after["accounts"] == after["tellers"] == after["branches"]


def sums(postgres):
    """What TPC-B keeps equal, and how often it ran."""
    with psycopg.connect(host=str(postgres.socket_dir), port=postgres.port, user="postgres",
                         dbname=DATABASE) as connection:
        row = connection.execute(
            "SELECT (SELECT sum(abalance) FROM pgbench_accounts),"
            " (SELECT sum(tbalance) FROM pgbench_tellers),"
            " (SELECT sum(bbalance) FROM pgbench_branches),"
            " (SELECT count(*) FROM pgbench_history)").fetchone()
    return dict(zip(("accounts", "tellers", "branches", "rows"), row))


@pytest.mark.parametrize("mode", ["simple", "extended"])
def test_pgbench_connecting_each_time(bench_tables, port, postgres, mode):
    """-C: a new connection for every transaction."""
    output = run(port, str(postgres.bindir / "pgbench"), "-n", "-C", "-c", "4", "-j", "2", "-t",
                 "10", "-S", "-M", mode)
    assert "40/40" in output


@pytest.mark.parametrize("script", ["\\startpipeline\n" + "SELECT 1;\n" * 20 + "\\endpipeline\n"])
def test_pgbench_pipeline(port, postgres, tmp_path, script):
    path = tmp_path / "pipeline.sql"
    path.write_text(script)
    output = run(port, str(postgres.bindir / "pgbench"), "-n", "-c", "4", "-t", "10", "-M",
                 "extended", "-f", str(path))
    assert "40/40" in output


# ---------------------------------------------------------------- psycopg 3

def test_psycopg3(port):
    with port.connect(autocommit=False) as connection:
        with connection.transaction():
            connection.execute("INSERT INTO items (body) VALUES (%s)", ("by psycopg",))
            with pytest.raises(psycopg.errors.DivisionByZero):
                with connection.transaction():
                    connection.execute("SELECT 1/0")
            rows = connection.execute("SELECT body FROM items WHERE body = %s",
                                      ("by psycopg",)).fetchall()
            assert ("by psycopg",) in rows
        with connection.cursor(binary=True) as cursor:
            assert cursor.execute("SELECT %s::int8, %s::timestamptz IS NULL",
                                  (1 << 40, None)).fetchone() == (1 << 40, True)
            with cursor.copy("COPY items (body) FROM STDIN") as copy:
                for n in range(100):
                    copy.write_row((f"row {n}",))
        connection.rollback()


def test_psycopg3_pipeline(port):
    with port.connect() as connection:
        with connection.pipeline():
            cursors = [connection.execute("SELECT %s::int", (n,)) for n in range(200)]
        assert [cursor.fetchone() for cursor in cursors] == [(n,) for n in range(200)]


def test_psycopg3_pipeline_error(port):
    with port.connect() as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            with connection.pipeline() as pipeline:
                connection.execute("SELECT 1")
                connection.execute("SELECT 1/0")
                pipeline.sync()
        assert connection.execute("SELECT 2").fetchone() == (2,)


def test_psycopg3_prepares(port):
    """Its automatic prepared statements."""
    with port.connect(prepare_threshold=1) as connection:
        for n in range(10):
            assert connection.execute("SELECT %s::int + 1", (n,)).fetchone() == (n + 1,)


def test_psycopg3_server_side_cursor(port):
    with port.connect(autocommit=False) as connection:
        with connection.cursor(name="named") as cursor:
            cursor.execute("SELECT generate_series(1, 1000)")
            assert len(cursor.fetchmany(10)) == 10
            assert len(cursor.fetchall()) == 990


# ----------------------------------------------------------------- psycopg2

def test_psycopg2(port):
    connection = psycopg2.connect(**port.dsn())
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("INSERT INTO items (body) VALUES (%s) RETURNING id", ("by psycopg2",))
            assert cursor.fetchone()[0] > 0
        with pytest.raises(psycopg2.errors.UndefinedTable):
            with connection, connection.cursor() as cursor:
                cursor.execute("SELECT * FROM nothing_here")
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM items WHERE body = 'by psycopg2'")
            assert cursor.fetchone()[0] >= 1
    finally:
        connection.close()


# ------------------------------------------------------------------ asyncpg

def asyncpg_arguments(endpoint):
    dsn = endpoint.dsn()
    return {"host": dsn["host"], "port": dsn["port"], "user": dsn["user"],
            "password": dsn["password"], "database": dsn["dbname"], "timeout": 30}


def test_asyncpg(port):
    """It names its statements, and resets the session when its pool takes it back."""
    async def main():
        pool = await asyncpg.create_pool(min_size=2, max_size=5,
                                         **asyncpg_arguments(port))
        async with pool:
            async def work(n):
                async with pool.acquire() as connection, connection.transaction():
                    await connection.execute("SELECT set_config('app.tenant_id', $1, true)",
                                             str(n % 20 + 1))
                    rows = await connection.fetch("SELECT tenant_id FROM documents")
                    assert {row[0] for row in rows} == {n % 20 + 1}
                    return await connection.fetchval("SELECT $1::int", n)
            assert await asyncio.gather(*map(work, range(60))) == list(range(60))
            async with pool.acquire() as connection, connection.transaction():
                rows = [row[0] async for row in connection.cursor("SELECT generate_series(1, 200)")]
                assert rows == list(range(1, 201))
            async with pool.acquire() as connection:
                with pytest.raises(asyncpg.DivisionByZeroError):
                    await connection.fetchval("SELECT 1/0")
                await connection.copy_records_to_table("items", records=[("by asyncpg",)],
                                                       columns=["body"])

    asyncio.run(main())


def test_asyncpg_listens(router):
    async def main():
        heard = asyncio.get_running_loop().create_future()
        one = await asyncpg.connect(**asyncpg_arguments(router.session))
        two = await asyncpg.connect(**asyncpg_arguments(router.session))
        await one.add_listener("news", lambda *message: heard.set_result(message[-1]))
        await two.execute("NOTIFY news, 'hello'")
        assert await asyncio.wait_for(heard, 20) == "hello"
        await one.close()
        await two.close()

    asyncio.run(main())


def test_asyncpg_timeout_cancels(router, postgres):
    """A time-out in asyncpg sends CancelRequest by a connection of its own."""
    async def main():
        connection = await asyncpg.connect(**asyncpg_arguments(router.session))
        with pytest.raises(asyncio.TimeoutError):
            await connection.fetchval("SELECT pg_sleep(300)", timeout=0.3)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()

    asyncio.run(main())
    assert postgres.count("query LIKE '%pg_sleep(300)%' AND state = 'active'") == 0


# --------------------------------------------------------------- SQLAlchemy

def test_sqlalchemy_asyncpg_with_nullpool(router):
    """What FastAPI applications behind a pooler use: a connection for each request."""
    needs.module("greenlet")
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    dsn = router.session.dsn()
    url = sqlalchemy.engine.URL.create("postgresql+asyncpg", dsn["user"], dsn["password"],
                                       dsn["host"], dsn["port"], dsn["dbname"])

    async def main():
        engine = create_async_engine(url, poolclass=NullPool)

        async def request(n):
            async with engine.begin() as connection:
                await connection.execute(
                    text("SELECT set_config('app.tenant_id', :t, true)"), {"t": str(n % 20 + 1)})
                rows = await connection.execute(text("SELECT tenant_id FROM documents"))
                assert {row[0] for row in rows} == {n % 20 + 1}

        for start in range(0, 40, 10):
            await asyncio.gather(*map(request, range(start, start + 10)))
        await engine.dispose()

    asyncio.run(main())


def test_sqlalchemy_psycopg2_with_nullpool(port):
    from sqlalchemy import create_engine, text
    from sqlalchemy.pool import NullPool

    dsn = port.dsn()
    engine = create_engine(sqlalchemy.engine.URL.create(
        "postgresql+psycopg2", dsn["user"], dsn["password"], dsn["host"], dsn["port"],
        dsn["dbname"]), poolclass=NullPool)
    for n in range(20):
        with engine.begin() as connection:
            assert connection.execute(text("SELECT :n"), {"n": n}).scalar() == n
    engine.dispose()

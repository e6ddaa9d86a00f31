# SPDX-License-Identifier: ISC
"""Drivers that prepare by themselves, as they come, on the transaction port.

JDBC and pgx are Debian packages (tools/install-deps drivers); node-postgres, postgres.js and
Prisma are taken from where node finds them (NODE_PATH), or from where tools/install-drivers
has put them."""
import asyncio
import os
import pathlib
import random
import threading

import psycopg
import psycopg2
import pytest
from support import needs
from support.postgres import DATABASE
from test_drivers import asyncpg_arguments, environment, run

asyncpg = needs.module("asyncpg")
sqlalchemy = needs.module("sqlalchemy")


def limited(servers, **more):
    return {"workloads": {"transactional": {
        "guaranteed_connections": servers, "max_connections": servers, **more}}}


@pytest.fixture(params=[2, 200])
def few(request, make_router):
    """Three servers, with room for two statements each, and for all."""
    return make_router(limited(3, max_prepared_statements=request.param)).transactional


# ------------------------------------------------------------------ asyncpg

def test_asyncpg_pool(few):
    """Fifty tasks, ten connections, three servers."""
    async def main():
        pool = await asyncpg.create_pool(min_size=10, max_size=10, **asyncpg_arguments(few))

        async def task(n):
            rng = random.Random(n)
            for _ in range(8):
                k = rng.randrange(6)
                async with pool.acquire() as connection:
                    if rng.random() < 0.5:
                        value = await connection.fetchval(f"SELECT $1::int * 10 + {k}", n)
                        assert value == n * 10 + k
                        continue
                    async with connection.transaction():
                        await connection.execute("SELECT set_config('app.tenant_id', $1, true)",
                                                 str(k + 1))
                        rows = await connection.fetch("SELECT tenant_id FROM documents")
                        assert {row[0] for row in rows} == {k + 1}
                        await connection.executemany(
                            "INSERT INTO items (body) VALUES ($1)", [(f"asyncpg {n}",)] * 3)
                        if rng.random() < 0.3:
                            with pytest.raises(asyncpg.DivisionByZeroError):
                                async with connection.transaction():
                                    await connection.fetchval("SELECT 1 / $1::int", 0)

        async with pool:
            await asyncio.gather(*map(task, range(50)))
            async with pool.acquire() as connection, connection.transaction():
                rows = [row[0] async for row in connection.cursor("SELECT generate_series(1, 200)")]
                assert rows == list(range(1, 201))

    asyncio.run(main())


def test_asyncpg_after_ddl(port, postgres):
    """It prepares again by itself when PostgreSQL calls a plan stale."""
    async def main():
        connections = [await asyncpg.connect(**asyncpg_arguments(port)) for _ in range(3)]
        await connections[0].execute("CREATE TABLE asyncpg_ddl (a int);"
                                     "INSERT INTO asyncpg_ddl VALUES (1)")
        try:
            for connection in connections:
                assert tuple(await connection.fetchrow("SELECT * FROM asyncpg_ddl")) == (1,)
            await connections[0].execute("ALTER TABLE asyncpg_ddl ADD b text DEFAULT 'b'")
            for connection in connections:
                row = await connection.fetchrow("SELECT * FROM asyncpg_ddl")
                assert tuple(row) == (1, "b")
            new = await asyncpg.connect(**asyncpg_arguments(port))
            assert tuple(await new.fetchrow("SELECT * FROM asyncpg_ddl")) == (1, "b")
            await new.close()
        finally:
            await connections[0].execute("DROP TABLE asyncpg_ddl")
            for connection in connections:
                await connection.close()

    asyncio.run(main())


def test_sqlalchemy_asyncpg(few):
    """With its pool, and so with statements that live for long."""
    needs.module("greenlet")
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine

    dsn = few.dsn()
    url = sqlalchemy.engine.URL.create("postgresql+asyncpg", dsn["user"], dsn["password"],
                                       dsn["host"], dsn["port"], dsn["dbname"])

    async def main():
        engine = create_async_engine(url, pool_size=10)

        async def request(n):
            for k in range(5):
                async with engine.begin() as connection:
                    assert (await connection.execute(text(f"SELECT :n + {k}"), {"n": n}
                                                     )).scalar() == n + k

        await asyncio.gather(*map(request, range(30)))
        await engine.dispose()

    asyncio.run(main())


# ------------------------------------------------------------------ psycopg

@pytest.mark.parametrize("threshold", [0, 5])
@pytest.mark.parametrize("pipelined", [False, True])
def test_psycopg3(few, threshold, pipelined):
    """prepare_threshold=0 prepares everything, 5 is its default; its cache of three has it
    DEALLOCATE, and a rollback DEALLOCATE ALL, in pipelines by the extended protocol."""
    problems = []

    def work(n):
        try:
            with psycopg.connect(**few.dsn(), prepare_threshold=threshold) as connection:
                connection.prepared_max = 3
                for turn in range(4):
                    results = []
                    if pipelined:
                        with connection.pipeline():
                            for k in range(20):
                                results.append(connection.execute(f"SELECT {k % 7} + %s", (n,)))
                    else:
                        for k in range(20):
                            results.append(connection.execute(f"SELECT {k % 7} + %s", (n,)))
                    for k, cursor in enumerate(results):
                        assert cursor.fetchone() == (k % 7 + n,)
                    if turn % 2:
                        connection.rollback()
                    else:
                        connection.commit()
                    with pytest.raises(psycopg.errors.DivisionByZero):
                        connection.execute("SELECT 1 / %s::int", (0,))
                    connection.rollback()
        except BaseException as problem:  # noqa: B902
            problems.append(repr(problem))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems, problems[:3]


def test_psycopg2_prepares_by_sql(port):
    """PREPARE and EXECUTE last as long as the connection."""
    connection = psycopg2.connect(**port.dsn())
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("PREPARE plus AS SELECT $1::int + 1")
        for n in range(3):
            with connection, connection.cursor() as cursor:
                cursor.execute("EXECUTE plus (%s)", (n,))
                assert cursor.fetchone() == (n + 1,)
        with connection, connection.cursor() as cursor:
            cursor.execute("DEALLOCATE plus")
    finally:
        connection.close()


# ------------------------------------------------------------------ pgbench

@pytest.mark.parametrize("mode", ["prepared", "extended"])
def test_pgbench(few, postgres, mode, tmp_path):
    """Sixteen clients over three servers; a thread for each, as pgbench waits for the answer
    to its Parse with all others of a thread."""
    script = tmp_path / "script.sql"
    script.write_text("".join(f"SELECT {n} + :client_id;\n" for n in range(6))
                      + "BEGIN;\nINSERT INTO items (body) VALUES (:client_id);\nEND;\n")
    output = run(few, str(postgres.bindir / "pgbench"), "-n", "-c", "16", "-j", "16", "-t", "20",
                 "-M", mode, "-f", str(script))
    assert "320/320" in output
    assert "number of failed transactions: 0" in output


def test_pgbench_prepared_pipeline(few, postgres, tmp_path):
    script = tmp_path / "pipeline.sql"
    script.write_text("\\startpipeline\n" + "".join(f"SELECT {n % 9};\n" for n in range(30))
                      + "\\endpipeline\n")
    output = run(few, str(postgres.bindir / "pgbench"), "-n", "-c", "8", "-t", "20", "-M",
                 "prepared", "-f", str(script))
    assert "160/160" in output


# --------------------------------------------------------------------- node

def node(endpoint, modules, script):
    done = needs.run_node(script, modules, environment=environment(endpoint))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip().split("\n")[-1] == "done"


def test_node_postgres(few):
    """Named queries of its own, by many clients of a pool."""
    node(few, ["pg"], """
        const { Pool } = require('pg');
        const pool = new Pool({ max: 10 });
        async function work(n) {
          for (let k = 0; k < 8; k++) {
            const r = await pool.query({ name: 'plus' + k % 5,
                text: 'SELECT $1::int + ' + k % 5 + ' AS sum', values: [n] });
            if (r.rows[0].sum !== n + k % 5) throw new Error('wrong ' + r.rows[0].sum);
          }
        }
        Promise.all([...Array(40).keys()].map(work)).then(() => pool.end())
          .then(() => console.log('done'))
          .catch(e => { console.error(e); process.exit(1); });
    """)


def test_postgres_js(few):
    """It names all its statements, and pipelines."""
    node(few, ["postgres"], """
        const postgres = require('postgres');
        const sql = postgres({ max: 10 });
        async function work(n) {
          for (let k = 0; k < 8; k++) {
            const rows = await sql`SELECT ${n}::int + ${k}::int AS sum`;
            if (rows[0].sum !== n + k) throw new Error('wrong ' + rows[0].sum);
            await sql.begin(async sql => {
              const [one] = await sql`SELECT ${n}::int AS n`;
              const [two] = await sql`SELECT ${one.n}::int * 2 AS n`;
              if (two.n !== 2 * n) throw new Error('wrong ' + two.n);
            });
          }
        }
        Promise.all([...Array(40).keys()].map(work)).then(() => sql.end())
          .then(() => console.log('done'))
          .catch(e => { console.error(e); process.exit(1); });
    """)


def test_prisma(few):
    """Its JavaScript driver adapter: transactions that it begins by itself and interactive
    ones, batches, raw queries, errors."""
    node(few, ["@prisma/adapter-pg", "@prisma/client"], """
        const { PrismaClient } = require('@prisma/client');
        const { PrismaPg } = require('@prisma/adapter-pg');
        const e = process.env;
        const prisma = new PrismaClient({ adapter: new PrismaPg({ host: e.PGHOST,
            port: +e.PGPORT, user: e.PGUSER, password: e.PGPASSWORD, database: e.PGDATABASE,
            max: 10 }) });
        const patience = { maxWait: 60000, timeout: 60000 };
        async function work(n) {
          const body = 'prisma ' + n;
          for (let k = 0; k < 4; k++) {
            const made = await prisma.items.create({ data: { body } });
            const found = await prisma.items.findUnique({ where: { id: made.id } });
            if (found.body !== body) throw new Error('wrong ' + found.body);
            await prisma.items.createMany({ data: [{ body }, { body }] });
            await prisma.$transaction(async tx => {
              await tx.items.updateMany({ where: { body }, data: { body: body + '!' } });
              if (await tx.items.count({ where: { body: body + '!' } }) !== 3)
                throw new Error('wrong count');
              await tx.items.deleteMany({ where: { body: body + '!' } });
            }, patience);
            const [row] = await prisma.$queryRaw`SELECT ${n}::int + ${k}::int AS sum`;
            if (row.sum !== n + k) throw new Error('wrong ' + row.sum);
            let failed = false;
            try {
              await prisma.$transaction([prisma.items.create({ data: { body } }),
                  prisma.$queryRaw`SELECT 1 / ${0}::int`]);
            } catch (error) {
              failed = true;
            }
            if (!failed || await prisma.items.count({ where: { body } }) !== 0)
              throw new Error('not rolled back');
          }
        }
        Promise.all([...Array(20).keys()].map(work)).then(() => prisma.$disconnect())
          .then(() => console.log('done'))
          .catch(error => { console.error(error); process.exit(1); });
    """)


# ---------------------------------------------------------------------- pgx

def test_pgx(few, tmp_path):
    """It prepares whatever it runs, by names that are made of the texts, and pipelines
    batches; COPY between them."""
    program = tmp_path / "pgx_load"
    needs.build_go(pathlib.Path(__file__).parent / "drivers" / "pgx_load.go", program)
    assert run(few, str(program)).strip() == "done"


# --------------------------------------------------------------------- JDBC

JDBC = """
import java.sql.*;
import java.util.*;
import java.util.concurrent.*;

public class Jdbc {
    static void work(String url, int n) throws Exception {
        try (Connection c = DriverManager.getConnection(url, System.getenv("PGUSER"),
                System.getenv("PGPASSWORD"))) {
            for (int turn = 0; turn < 12; turn++) {
                for (int k = 0; k < 4; k++) {
                    try (PreparedStatement s = c.prepareStatement("SELECT ?::int + " + k)) {
                        s.setInt(1, n);
                        ResultSet r = s.executeQuery();
                        r.next();
                        if (r.getInt(1) != n + k) throw new Exception("wrong " + r.getInt(1));
                    }
                }
                c.setAutoCommit(false);
                try (PreparedStatement s = c.prepareStatement(
                        "INSERT INTO items (body) VALUES (?)")) {
                    for (int k = 0; k < 5; k++) {
                        s.setString(1, "jdbc " + n);
                        s.addBatch();
                    }
                    if (s.executeBatch().length != 5) throw new Exception("batch");
                }
                try (PreparedStatement s = c.prepareStatement("SELECT generate_series(1, 50)")) {
                    s.setFetchSize(7);
                    ResultSet r = s.executeQuery();
                    int rows = 0;
                    while (r.next()) rows++;
                    if (rows != 50) throw new Exception("rows " + rows);
                }
                if (turn % 3 == 0) {
                    try (PreparedStatement s = c.prepareStatement("SELECT 1 / ?::int")) {
                        s.setInt(1, 0);
                        s.executeQuery();
                        throw new Exception("no error");
                    } catch (SQLException e) {
                        if (!"22012".equals(e.getSQLState())) throw e;
                    }
                    c.rollback();
                } else {
                    c.commit();
                }
                c.setAutoCommit(true);
            }
        }
    }

    public static void main(String[] a) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(8);
        List<Future<?>> all = new ArrayList<>();
        for (int i = 0; i < 16; i++) {
            final int n = i;
            all.add(pool.submit(() -> { work(a[0], n); return null; }));
        }
        for (Future<?> f : all) f.get();
        pool.shutdown();
        System.out.println("done");
    }
}
"""


def test_jdbc(few, tmp_path):
    """Named from the fifth use on (prepareThreshold), batches, cursors by fetch size."""
    done = needs.run_java(tmp_path / "Jdbc.java", JDBC,
                          f"jdbc:postgresql://{few.host}:{few.port}/{DATABASE}",
                          timeout=150, env={**os.environ, **environment(few)})
    assert done.returncode == 0 and "done" in done.stdout, done.stdout + done.stderr

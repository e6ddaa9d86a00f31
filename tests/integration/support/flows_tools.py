# SPDX-License-Identifier: ISC
"""Flows as tools send them, and as anybody may who does not wait for answers: see flows.py."""
from .flows import (
    ENDS, LOOK, Exchange, Flow, bare, described, extended, has_failed, look, perhaps_look, simple,
    synced)
from .wire import copy_data, copy_done, one_query, query, rows


def psql(client):
    """psql with ON_ERROR_ROLLBACK: each statement in a savepoint of its own."""
    texts = [
        f"SET app.usr = 'psql{client.mark}'", "RESET ALL", "RESET app.usr", "SET ROLE flow_one",
        "RESET ROLE", "SELECT 1/0", "SET work_mem = 'x'", "SET search_path = flow_a",
        "RESET search_path", "SET search_path TO DEFAULT", "SET LOCAL search_path = flow_c",
        "SET TimeZone = 'Asia/Tokyo'", "RESET TimeZone", "SET LOCAL TimeZone = 'Europe/Rome'", LOOK,
        "SET SESSION AUTHORIZATION app_scram",
        "SELECT set_config('app.start', NULL, false) IS NULL",
        "SELECT set_config('search_path', NULL, false) IS NULL",
        "UPDATE pg_settings SET setting = 'Asia/Tokyo' WHERE name = 'TimeZone'"]
    yield simple("BEGIN")
    for _ in range(client.rng.randrange(1, 5)):
        yield simple("SAVEPOINT pg_psql_temporary_savepoint")
        answer = yield simple(client.pick(client.lent(texts)))
        undo = "ROLLBACK TO" if has_failed(answer) else "RELEASE"
        yield simple(f"{undo} pg_psql_temporary_savepoint")
    yield from perhaps_look(client)
    yield simple(client.pick([*ENDS, "COMMIT AND CHAIN", "ROLLBACK AND CHAIN"]))
    yield from perhaps_look(client)
    yield simple("COMMIT")
    yield from look(client)


def flyway(client):
    """Flyway: reads search_path, puts a schema in front, and sets it back behind a migration."""
    answer = yield extended("SHOW search_path")
    for (path,) in rows(answer):
        yield extended("SELECT set_config('search_path', $1, false)",
                       f'"{client.schema()}", {path}', types=(1043,))
        yield synced(bare("BEGIN"), described("SELECT pg_try_advisory_xact_lock($1)", client.mark,
                                              types=(20,)))
        yield from perhaps_look(client)
        yield simple("COMMIT")
        yield from perhaps_look(client)
        if client.chance(0.5):
            yield extended("SET ROLE 'app_scram'")
        yield extended("SELECT set_config('search_path', $1, false)", path, types=(1043,))
        yield from perhaps_look(client)


def liquibase(client):
    """Liquibase: sets search_path and reads it."""
    yield extended(f'SET SEARCH_PATH TO {client.schema()}, "$user","public"')
    yield extended("SELECT who FROM flow_accounts WHERE id = 1")
    yield extended("SHOW SEARCH_PATH")
    yield from perhaps_look(client)


def pg_dump(client):
    """pg_dump: all that it sets, a query that it prepares by SQL, COPY; and what somebody would
    send next who has such a connection in a pool."""
    for text in (
            "SELECT pg_catalog.set_config('search_path', '', false)", "SET DATESTYLE = ISO",
            "SET INTERVALSTYLE = POSTGRES", "SET extra_float_digits TO 3",
            "SET statement_timeout = 0", "SET lock_timeout = 0",
            "SET idle_in_transaction_session_timeout = 0", "SET row_security = off",
            "SET check_function_bodies = false", "SET client_min_messages = warning",
            "SET client_encoding = 'UTF8'", "SET standard_conforming_strings = on"):
        yield simple(text)
    yield simple("BEGIN")
    yield simple("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    name = client.fresh("dump")
    yield simple(f"PREPARE {name}(pg_catalog.oid) AS\n"
                 "SELECT typname FROM pg_catalog.pg_type WHERE oid = $1")
    yield simple(f"EXECUTE {name}('23')")
    yield simple(f"EXECUTE {name}('25')")
    yield simple("COPY flow_a.flow_accounts (id, who) TO stdout")
    yield simple(client.pick(ENDS))
    yield simple("SELECT who FROM public.flow_accounts WHERE id = 1")
    yield simple("SHOW search_path")
    yield simple(client.pick([
        "RESET ALL", "RESET search_path; RESET statement_timeout", "DISCARD ALL",
        "SET search_path TO DEFAULT; RESET row_security"]))
    yield simple("DEALLOCATE ALL")
    yield from look(client)


def pg_restore(client):
    """psql with a dump: COPY with its data, in one transaction, which is undone."""
    yield simple("SET search_path = 'flow_b'; SET client_min_messages TO warning")
    yield simple("BEGIN")
    yield simple("SELECT 1")
    row = f"{1000 + client.mark}\tx\n".encode()
    yield Exchange(query("COPY flow_a.flow_accounts (id, who) FROM stdin") + copy_data(row)
                   + copy_done(), 1)
    yield from perhaps_look(client)
    yield simple("ROLLBACK")
    yield from perhaps_look(client)


def queue(client):
    """Queues of jobs (Que, Procrastinate): a channel, and a lock for each job."""
    client.is_pinned = True
    yield simple(f'LISTEN "jobs{client.mark}"')
    yield simple(f"SELECT pg_try_advisory_lock({client.mark})")
    yield from look(client)
    yield simple("SET application_name = 'que'")
    yield simple("BEGIN")
    yield simple(f"SELECT pg_try_advisory_xact_lock({client.mark})")
    yield simple("COMMIT")
    yield simple("UNLISTEN *")
    yield simple("SELECT pg_advisory_unlock_all()")
    client.is_pinned = False
    yield from look(client)


def report(client):
    """A report's temporary table."""
    client.is_pinned = True
    table = client.fresh("report")
    yield simple(f"CREATE TEMP TABLE {table} AS SELECT {client.mark} AS x")
    yield from look(client)
    yield simple(f"SELECT * FROM {table}")
    yield simple(f"DROP TABLE {table}")
    client.is_pinned = False
    yield from perhaps_look(client)


def burst(client):
    """Whole transactions ahead of all answers, by both protocols, as drivers that multiplex or
    pipeline send them."""
    inner = [
        "SET search_path TO flow_a", "SET TIME ZONE 'Asia/Tokyo'", "RESET search_path", "RESET ALL",
        "SELECT 1", "SELECT who FROM flow_accounts WHERE id = 1", "SHOW search_path",
        "SHOW TimeZone", "SAVEPOINT a", "RELEASE a", "ROLLBACK TO a",
        "SET LOCAL search_path TO flow_c", "SET LOCAL app.tenant_id TO 't1'",
        "SET app.tenant_id = 't2'", "SELECT 1/0", "RESET TimeZone", "SET app.usr TO DEFAULT",
        "SET statement_timeout TO DEFAULT", "SET ROLE flow_one", "RESET ROLE",
        f"SELECT set_config('app.usr', 'b{client.mark}', false)", "SELECT count(*) FROM flow_rows",
        LOOK]
    begins = ["BEGIN", "begin", "START TRANSACTION", "BEGIN ISOLATION LEVEL SERIALIZABLE"]
    texts = []
    for _ in range(client.rng.randrange(1, 4)):
        block = client.rng.choices(client.lent(inner), k=client.rng.randrange(1, 5))
        if client.chance(0.7):
            block = [client.pick(begins), *block, client.pick(["COMMIT", *ENDS])]
        texts += block
    yield Exchange(b"".join(client.pick([query, one_query])(text) for text in texts), len(texts))
    yield from perhaps_look(client)


FLOWS = [
    Flow(burst), Flow(psql), Flow(flyway), Flow(liquibase), Flow(pg_dump, names=True),
    Flow(pg_restore), Flow(queue, pins=True), Flow(report, pins=True),
]

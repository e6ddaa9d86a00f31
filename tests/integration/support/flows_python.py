# SPDX-License-Identifier: ISC
"""Flows as Python's frameworks and drivers send them: see flows.py."""
from .flows import (
    ENDS, ROLES, ZONES, Exchange, Flow, bare, bound, described, has_failed, look,
    perhaps_look, simple, synced)
from .wire import bind, close, describe, execute, flush, parse, rows


def django(client):
    """Django: atomic() in atomic(), each a savepoint, and a cursor on the server's side."""
    if client.chance(0.4):
        yield simple(f"SELECT set_config('TimeZone', '{client.pick(ZONES)}', false)")
    if client.chance(0.3):
        yield simple(client.pick([
            "SET ROLE flow_one", "SET ROLE flow_two", "SET TIME ZONE 'UTC'",
            "SET statement_timeout TO '11s'"]))
    yield from perhaps_look(client)
    yield simple("BEGIN")
    for depth in range(client.rng.randrange(4)):
        yield from django_atomic(client, f's{client.mark}_x{depth}')
    if client.chance(0.4):
        cursor = client.fresh("_django_curs_sync_")
        yield simple(f'DECLARE "{cursor}" NO SCROLL CURSOR WITHOUT HOLD FOR '
                     "SELECT who FROM flow_accounts ORDER BY id")
        yield simple(f'FETCH FORWARD 3 FROM "{cursor}"')
        yield simple(f'FETCH FORWARD 100 FROM "{cursor}"')
        yield simple(f'CLOSE "{cursor}"')
    yield simple("SET CONSTRAINTS ALL IMMEDIATE")
    yield simple(client.pick(["COMMIT", *ENDS]))
    yield from perhaps_look(client)


def django_atomic(client, savepoint):
    """Django: one atomic() in another, which may be left open for the one within."""
    yield simple(f'SAVEPOINT "{savepoint}"')
    if client.chance(0.4):
        yield simple(f"SET LOCAL app.tenant_id = '{client.tenant()}'")
    if client.chance(0.3):
        is_local = client.pick(["true", "false"])
        yield simple(f"SELECT set_config('app.usr', 'u{savepoint}', {is_local})")
    if client.chance(0.2):
        yield simple(f"SET TIME ZONE '{client.pick(ZONES)}'")
    if client.chance(0.3):
        yield simple("SELECT nope")
        yield simple(f'ROLLBACK TO SAVEPOINT "{savepoint}"')
    yield from perhaps_look(client, 0.3)
    if client.chance(0.6):
        yield simple(f'RELEASE SAVEPOINT "{savepoint}"')


def django_iterator(client):
    """Django: iterator() outside atomic(), whose cursor outlasts the transaction."""
    client.is_pinned = True
    cursor = client.fresh("_django_curs_hold_")
    yield simple(f'DECLARE "{cursor}" NO SCROLL CURSOR WITH HOLD FOR '
                 "SELECT who FROM flow_accounts ORDER BY id")
    yield simple(f'FETCH FORWARD 3 FROM "{cursor}"')
    yield from look(client)
    yield simple(f'CLOSE "{cursor}"')
    client.is_pinned = False


def sqlalchemy(client):
    """SQLAlchemy over psycopg2: a Session with a tenant or a schema, and begin_nested()."""
    yield simple(client.pick([
        "BEGIN", "BEGIN ISOLATION LEVEL SERIALIZABLE",
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        "BEGIN; SET LOCAL search_path TO flow_b"]))
    if client.chance(0.8):
        yield simple(client.pick([
            f"SET LOCAL app.tenant_id = '{client.tenant()}'",
            f"SET search_path TO {client.schema()}, public",
            f"SELECT set_config('app.tenant_id', '{client.tenant()}', true)",
            f"SET app.tenant_id = '{client.tenant()}'"]))
    yield from look(client)
    if client.chance(0.4):
        yield simple("SAVEPOINT sa_savepoint_1")
        yield simple(f"SET LOCAL ROLE {client.pick(ROLES)}")
        yield from perhaps_look(client)
        yield simple(client.pick([
            "RELEASE SAVEPOINT sa_savepoint_1", "ROLLBACK TO SAVEPOINT sa_savepoint_1"]))
        yield from perhaps_look(client)
    yield simple(client.pick(ENDS))
    if client.chance(0.3):
        yield simple(client.pick([
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED",
            "SET default_transaction_isolation TO DEFAULT",
            "SET default_transaction_read_only TO 'on'",
            "SET default_transaction_read_only TO DEFAULT"]))
    yield from perhaps_look(client)


def pg8000(client):
    """pg8000 under SQLAlchemy: all by the extended protocol, Parse in an exchange of its own."""
    yield synced(bare("begin transaction"))
    yield synced(bare(f"SET search_path TO {client.schema()}"))
    yield from look(client)
    yield synced(parse("SELECT set_config('app.usr', $1, false)", "", (705,)))
    yield synced(bind((client.fresh(f"p{client.mark}_"),)), describe(), execute())
    yield simple(client.pick(["commit", "rollback"]))
    yield from perhaps_look(client)


def asyncpg_statement(client, text, *values):
    """asyncpg: Parse and Describe ahead of a Flush, then Bind; closed when its cache is full."""
    name = client.fresh("__asyncpg_stmt_")
    answer = yield Exchange(parse(text, name) + describe("S", name) + flush(), 0)
    if has_failed(answer):
        yield synced()
        return answer
    answer = yield synced(bind(values, name), execute())
    if client.chance(0.5):
        yield synced(close("S", name))
    return answer


def asyncpg(client):
    """asyncpg: jit off around a look at types, transactions in transactions, release()."""
    if client.chance(0.5):
        answer = yield from asyncpg_statement(
            client, "SELECT current_setting('jit') AS now, set_config('jit', 'off', false)")
        yield from asyncpg_statement(
            client, "SELECT who FROM flow_accounts WHERE id = $1::int", "5")
        for row in rows(answer):
            yield from asyncpg_statement(client, "SELECT set_config('jit', $1, false)", row[0])
    yield from perhaps_look(client)
    if client.chance(0.6):
        yield simple(client.pick(["BEGIN;", "BEGIN ISOLATION LEVEL SERIALIZABLE;",
                                  "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"]))
        yield simple("SAVEPOINT __asyncpg_savepoint_1__;")
        yield from asyncpg_statement(client, "SELECT set_config('app.tenant_id', $1, $2)",
                                     client.tenant(), client.pick("tf"))
        if client.chance(0.3):
            yield from asyncpg_statement(client, "SELECT nix")
            yield simple("ROLLBACK TO __asyncpg_savepoint_1__;")
        else:
            yield simple("RELEASE SAVEPOINT __asyncpg_savepoint_1__;")
        yield from perhaps_look(client)
        yield simple(client.pick(["COMMIT;", "ROLLBACK;"]))
    if client.chance(0.4):
        yield simple(f"SET TIME ZONE '{client.pick(ZONES)}'; SET app.usr = 'ap{client.mark}'; "
                     "SET work_mem = '9MB'")
        yield from perhaps_look(client)
    if client.chance(0.6):
        yield simple("SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL")
        yield from look(client)


def psycopg(client):
    """psycopg 3: pipelines, and a statement that is prepared once it was sent often enough."""
    yield synced(*map(described, [
        "BEGIN", f"SET LOCAL app.tenant_id = '{client.tenant()}'",
        "SELECT count(*) FROM flow_rows", client.pick(ENDS)]))
    if client.chance(0.5):
        yield synced(bare("BEGIN"))
        # Nothing that looks at settings: startup parameters are not yet what they were behind a
        # RESET, see session-state.md.
        yield synced(*map(described, client.rng.sample([
            "RESET ALL", "SAVEPOINT a", "ROLLBACK TO a", f"SET search_path TO {client.schema()}",
            f"SET app.usr = 'p3{client.mark}'", "RESET search_path", "SELECT 1"], 3)))
        yield from perhaps_look(client)
        yield simple(client.pick(ENDS))
    yield from perhaps_look(client)
    if client.chance(0.3):
        yield simple(client.pick(["DISCARD ALL", "RESET ALL; SELECT 1", "DEALLOCATE ALL"]))
        yield from look(client)
    name = client.fresh("_pg3_")
    yield synced(parse("SELECT set_config('app.usr', $1, false) IS NULL, $2::int", name),
                 bound(name, f"q{client.mark}{name}", "1"))
    yield from perhaps_look(client)
    yield synced(bound(name, None, "1"))
    yield from perhaps_look(client)


FLOWS = [
    Flow(django), Flow(django_iterator, pins=True), Flow(sqlalchemy), Flow(pg8000),
    Flow(asyncpg, names=True), Flow(psycopg, names=True),
]

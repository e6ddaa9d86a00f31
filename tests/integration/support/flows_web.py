# SPDX-License-Identifier: ISC
"""Flows as frameworks and drivers of Ruby, PHP, JavaScript and Elixir, and servers that make an API
of a database, send them: see flows.py."""
from .flows import (
    ENDS, LOOK, ROLES, ZONES, Exchange, Flow, bare, bound, by_name, described, extended, look,
    perhaps_look, simple, synced)
from .wire import bind, close, describe, execute, one_query, parse, query


def rails_configure(client):
    """Rails: what Active Record sets when it has connected, and behind reset!."""
    for text in ("SET client_min_messages TO 'warning'", "SET standard_conforming_strings = on",
                 "SET intervalstyle = iso_8601", f"SET SESSION timezone TO '{client.pick(ZONES)}'",
                 "SET SESSION statement_timeout TO '21s'", "SET SESSION lock_timeout TO DEFAULT",
                 f'SET search_path TO "{client.schema()}"'):
        if client.chance(0.7):
            yield simple(text)


def rails(client):
    """Rails: statements a1, a2, ... that go by DEALLOCATE, transactions, reset!."""
    if client.chance(0.5):
        yield from rails_configure(client)
    for _ in range(client.rng.randrange(3)):
        name = client.fresh("a")
        yield synced(parse("SELECT who FROM flow_accounts WHERE id = $1 LIMIT $2", name))
        yield synced(bound(name, "2", "1"))
        if client.chance(0.5):
            yield simple(f"DEALLOCATE {name}")
            if client.chance(0.3):
                yield synced(bound(name, "2", "1"))
    if client.chance(0.5):
        yield from rails_transaction(client)
    yield from perhaps_look(client)
    if client.chance(0.3):
        yield simple("ROLLBACK")
        yield simple("DISCARD ALL")
        yield from look(client)
        yield from rails_configure(client)


def rails_transaction(client):
    """Rails: transaction(requires_new: true) in a transaction."""
    yield simple("BEGIN")
    if client.chance(0.5):
        yield simple("SAVEPOINT active_record_1")
        yield simple("SET LOCAL statement_timeout TO '3s'")
        yield from perhaps_look(client)
        yield simple(client.pick(["RELEASE SAVEPOINT active_record_1",
                                  "ROLLBACK TO SAVEPOINT active_record_1"]))
    yield simple(client.pick(["SET statement_timeout = '31s'", "SET statement_timeout TO DEFAULT",
                              "RESET statement_timeout", "SELECT 1"]))
    yield from perhaps_look(client)
    yield simple(client.pick(ENDS))


def rails_migration(client):
    """Rails: the lock that it takes around migrations."""
    client.is_pinned = True
    yield simple(f"SELECT pg_try_advisory_lock({client.mark})")
    yield from perhaps_look(client)
    yield simple(f"SELECT pg_advisory_unlock({client.mark})")
    client.is_pinned = False
    yield from perhaps_look(client)


def apartment(client):
    """Apartment, for Rails: statements that are prepared under one search_path and used under
    another."""
    name = client.fresh("ap")
    yield simple(f'SET search_path TO "{client.schema()}", "public"')
    yield synced(parse("SELECT a.* FROM flow_accounts a WHERE id = $1 AND who <> $2", name))
    for _ in range(3):
        yield synced(bound(name, "3", "x"))
        yield simple(f'SET search_path TO "{client.schema()}", "public"')
        if client.chance(0.3):
            yield simple("BEGIN")
            yield simple(f'SET LOCAL search_path TO "{client.schema()}"')
            yield synced(bound(name, "3", "x"))
            yield simple("ROLLBACK")
    yield simple(f"DEALLOCATE {name}")


def laravel_statement(client, text):
    """Laravel, by PDO: prepared by the protocol, dropped by SQL."""
    name = client.fresh("pdo_stmt_")
    yield synced(parse(text, name))
    yield synced(bound(name))
    yield simple(f"DEALLOCATE {name}")


def laravel(client):
    """Laravel: what it sets when it has connected, and a transaction in a transaction."""
    for text in ("set names 'utf8'", f'set search_path to "{client.schema()}"',
                 f"set time zone '{client.pick(ZONES)}'",
                 f"set application_name to 'laravel{client.mark}'",
                 "set synchronous_commit to 'off'"):
        if client.chance(0.6):
            yield from laravel_statement(client, text)
    yield from perhaps_look(client)
    yield simple("BEGIN")
    yield from laravel_statement(client, "select who from flow_accounts where id = 1")
    if client.chance(0.3):
        yield simple("SAVEPOINT trans2")
        yield from laravel_statement(client, client.pick([
            "reset search_path", "set search_path to flow_c", "reset all",
            "set time zone default"]))
        yield from perhaps_look(client)
        yield simple("ROLLBACK TO SAVEPOINT trans2")
    yield from perhaps_look(client)
    yield simple(client.pick(ENDS))
    yield from perhaps_look(client)


def node_postgres(client):
    """node-postgres: a query of a pool's and a transaction, with and without parameters."""
    yield simple(client.pick([
        f"SET app.tenant_id = '{client.tenant()}'", f"SET search_path TO {client.schema()}",
        "SET SESSION statement_timeout = 8000", "SET idle_in_transaction_session_timeout TO '1h'",
        "SELECT 1"]))
    yield extended("SELECT $1::text", "x")
    yield simple("BEGIN")
    yield extended("SELECT set_config('app.usr', $1, $2)", f"np{client.mark}",
                   client.pick(["true", "false"]))
    yield from perhaps_look(client)
    yield simple(client.pick(ENDS))
    yield from perhaps_look(client)


def postgres_js(client):
    """postgres.js: each statement by a name of its own, several queries ahead of the answers."""
    texts = ["select who from flow_accounts where id = 1", f"set app.usr = 'js{client.mark}'", LOOK,
             f"set search_path = {client.schema()}", "reset search_path",
             "select who from flow_accounts where id = 2", "select 1/0"]
    count = client.rng.randrange(2, 6)
    data = b""
    for _ in range(count):
        name = client.fresh("js")
        data += synced(parse(client.pick(texts), name), describe("S", name), bind((), name),
                       execute()).data
    yield Exchange(data, count)
    yield from perhaps_look(client)
    yield Exchange(
        query("begin")
        + one_query(f"select set_config('app.tenant_id', '{client.tenant()}', true)")
        + one_query("select count(*) from flow_rows")
        + query(client.pick(["commit", "rollback"])), 4)
    yield from perhaps_look(client)


def postgrest(client):
    """PostgREST: a request's transaction, with its schema, role and claims in one statement."""
    yield simple(client.pick(["BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY",
                              "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"]))
    yield from by_name(
        client, "request",
        "select set_config('search_path', $1, true), set_config('role', $2, true), "
        "set_config('request.jwt.claims', $3, true), set_config('request.method', 'GET', true), "
        "set_config('app.tenant_id', $4, true), set_config('statement_timeout', $5, true)",
        f'"{client.schema()}", "public"', client.pick(ROLES), f'{{"role": "{client.mark}"}}',
        client.tenant(), "7s")
    yield from look(client)
    yield simple(client.pick(["COMMIT", *ENDS]))
    yield from look(client)


def postgraphile(client):
    """PostGraphile: a request's settings as JSON."""
    yield simple("begin")
    yield extended(
        "select set_config(el->>0, el->>1, true) from json_array_elements($1::json) el",
        f'[["role", "{client.pick(ROLES)}"], ["app.tenant_id", "{client.tenant()}"], '
        f'["jwt.claims.role", "x{client.mark}"]]')
    yield from look(client)
    yield simple(client.pick(["commit", "rollback"]))
    yield from look(client)


def supabase(client):
    """Supabase: BEGIN, the role and the claims in one text."""
    yield simple(f"BEGIN; SET LOCAL ROLE {client.pick(ROLES)}; "
                 f"SELECT set_config('request.jwt.claims', '{{\"sub\": \"{client.mark}\"}}', true)")
    yield from look(client)
    yield simple(client.pick(["END", *ENDS]))
    yield from perhaps_look(client)


def ecto(client):
    """Ecto, by Postgrex: statements that are closed, a query in a savepoint of its own."""
    name = client.fresh("ecto_")
    yield synced(bare("begin"))
    yield synced(parse("SELECT who FROM flow_accounts WHERE id = $1", name), describe("S", name))
    yield synced(bind(("2",), name), execute(), close("P", ""))
    yield extended(f"SET LOCAL app.tenant_id = '{client.tenant()}'")
    if client.chance(0.5):
        yield synced(bare("SAVEPOINT postgrex_query"), described("SELECT 1/0"))
        yield synced(bare("ROLLBACK TO SAVEPOINT postgrex_query"),
                     bare("RELEASE SAVEPOINT postgrex_query"))
    yield from perhaps_look(client)
    yield synced(bare(client.pick(["commit", "rollback"])))
    yield synced(close("S", name))
    yield from perhaps_look(client)


FLOWS = [
    Flow(rails, names=True), Flow(rails_migration, pins=True), Flow(apartment, names=True),
    Flow(laravel, names=True), Flow(node_postgres), Flow(postgres_js, names=True),
    Flow(postgrest, names=True), Flow(postgraphile), Flow(supabase), Flow(ecto, names=True),
]

# SPDX-License-Identifier: ISC
"""Flows as drivers and frameworks of Java, .NET and Go send them: see flows.py."""
from .flows import (
    ENDS, LOOK, ROLES, ZONES, Exchange, Flow, bare, bound, described, extended, look, perhaps_look,
    simple, synced)
from .wire import Message, bind, close, describe, execute, one_query, parse, query

AUTOSAVE = "PGJDBC_AUTOSAVE"


def jdbc_run(text, begins=False, saves=False):
    """pgjdbc: a statement, behind BEGIN and autosave's savepoint in the same message."""
    ahead = []
    if begins:
        ahead.append(bare("BEGIN"))
    if saves:
        ahead.append(bare(f"SAVEPOINT {AUTOSAVE}"))
    answer = yield synced(*ahead, described(text))
    if saves and answer[-1] == Message("Z", b"E"):
        yield synced(bare(f"ROLLBACK TO SAVEPOINT {AUTOSAVE}"))


def jdbc(client):
    """pgjdbc: what a pool sets and resets, autosave, rows in portions, COMMIT as a statement."""
    if client.chance(0.5):
        yield from jdbc_run("SET extra_float_digits = 3")
        yield from jdbc_run(f"SET application_name = 'JDBC {client.mark}'")
    if client.chance(0.4):
        yield from jdbc_run(client.pick([
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
            f"SET SESSION search_path TO '{client.schema()}'", f"SET SCHEMA '{client.schema()}'",
            "SET search_path TO DEFAULT", f"SET application_name = 'x{client.mark}'", "RESET ALL",
            "DISCARD ALL", "SET ROLE NONE", "RESET ROLE", f"SET ROLE {client.pick(ROLES)}"]))
        yield from look(client)
    if client.chance(0.3):
        # isValid()
        yield synced(described(""))
    saves = client.chance(0.5)
    yield from jdbc_run(f"SELECT set_config('app.tenant_id', '{client.tenant()}', true)",
                        begins=True, saves=saves)
    yield from perhaps_look(client)
    if client.chance(0.4):
        yield from jdbc_run("SELECT 1/0", saves=saves)
    if client.chance(0.3):
        yield from jdbc_run(f"SET app.usr = 'j{client.mark}'", saves=saves)
    if client.chance(0.5):
        yield from jdbc_portions(client)
    end = client.fresh("S_")
    yield synced(parse(client.pick(["COMMIT", *ENDS]), end), bind((), end), execute("", 1))
    yield from perhaps_look(client)


def jdbc_portions(client):
    """pgjdbc: setFetchSize(4), in a named portal."""
    statement, portal = client.fresh("S_"), client.fresh("C_")
    yield synced(parse("SELECT who FROM flow_accounts ORDER BY id", statement),
                 bind((), statement, portal), describe("P", portal), execute(portal, 4))
    yield from perhaps_look(client, 0.2)
    yield synced(execute(portal, 4))
    yield synced(close("P", portal))
    if client.chance(0.5):
        yield synced(close("S", statement), described("SELECT 7"))


def hibernate(client):
    """Hibernate: a schema for each tenant, set when a connection is taken, and set back."""
    schema = client.schema()
    yield extended(client.pick([f"SET SCHEMA '{schema}'", f"set search_path to {schema}",
                                f"SET SESSION search_path TO '{schema}'"]))
    yield synced(bare("BEGIN"), described("select who from flow_accounts where id=$1", "3",
                                          types=(23,)))
    yield from perhaps_look(client)
    yield synced(bare("COMMIT"))
    yield extended(client.pick(["SET SCHEMA 'public'", "set search_path to default",
                                "RESET search_path"]))
    yield from perhaps_look(client)


def npgsql(client):
    """Npgsql: a reset in front of a pooled connection's first command, batches, multiplexing."""
    reset = client.pick(["DISCARD ALL", "; ".join([
        "SET SESSION AUTHORIZATION DEFAULT", "RESET ALL", "CLOSE ALL", "UNLISTEN *",
        "SELECT pg_advisory_unlock_all()", "DISCARD SEQUENCES", "DISCARD TEMP"])])
    yield Exchange(query(reset) + one_query(LOOK), 2)
    yield from perhaps_look(client)
    if client.chance(0.5):
        yield extended(client.pick([
            f"SET search_path TO {client.schema()}", f"SET TimeZone TO '{client.pick(ZONES)}'",
            f"SET app.tenant_id TO '{client.tenant()}'", "SET statement_timeout = 9000"]))
        yield from perhaps_look(client)
    if client.chance(0.6):
        level = client.pick(["READ COMMITTED", "SERIALIZABLE"])
        yield Exchange(query(f"BEGIN TRANSACTION ISOLATION LEVEL {level}")
                       + one_query("SELECT who FROM flow_accounts WHERE id = $1::int", "6"), 2)
        if client.chance(0.6):
            yield extended("SELECT set_config('app.usr', $1, $2)", client.fresh("n"),
                           client.pick("tf"), types=(25, 16))
        yield from npgsql_batch(client)
        yield simple(client.pick(ENDS))
    else:
        yield from npgsql_batch(client)
    if client.chance(0.4):
        count = client.rng.randrange(2, 5)
        yield Exchange(b"".join(one_query("SELECT who, $1::int FROM flow_accounts WHERE id = 1", n)
                                for n in range(count)), count)


def npgsql_batch(client):
    """Npgsql: an NpgsqlBatch, one Sync behind all of it."""
    texts = ["SELECT 1", f"SET lock_timeout = {client.rng.randrange(9)}000",
             "SELECT current_setting('lock_timeout')"]
    if client.chance(0.3):
        texts.insert(client.rng.randrange(4), "SELECT 1/0")
    yield synced(*map(described, texts))
    yield from perhaps_look(client)


def pgx(client):
    """pgx: its cache of statements, batches, savepoints as transactions in a transaction."""
    if client.chance(0.4):
        yield simple(f"set search_path = {client.schema()}")
    name = client.fresh("stmtcache_")
    yield synced(parse("select who from flow_accounts where id = $1", name), describe("S", name))
    yield synced(bound(name, "1"))
    if client.chance(0.4):
        yield simple("begin")
        yield simple("savepoint sp_1")
        yield extended("select set_config('app.tenant_id', $1, true)", client.tenant())
        yield from perhaps_look(client)
        yield simple(client.pick(["release savepoint sp_1", "rollback to savepoint sp_1"]))
        yield from perhaps_look(client, 0.3)
        yield simple(client.pick(["commit", "rollback"]))
    batch = [bound(name, "1"), described(f"set app.usr = 'px{client.mark}'"), bound(name, "2"),
             bound(name, "3")]
    if client.chance(0.4):
        batch.insert(2, described("select 1/0"))
    yield synced(*batch)
    yield from perhaps_look(client)
    if client.chance(0.3):
        yield simple("deallocate all")
        yield synced(bound(name, "1"))
    if client.chance(0.4):
        yield simple(client.pick(["reset all", "discard all", "reset search_path"]))
        yield from look(client)


def lib_pq(client):
    """lib/pq: the unnamed statement, prepared and described ahead of its Bind."""
    yield simple(client.pick([
        "SET TIME ZONE 'Europe/Rome'", "SET DATESTYLE TO 'SQL, DMY'", "SET extra_float_digits TO 0",
        "RESET extra_float_digits", "RESET DateStyle"]))
    yield extended("SELECT now() > '2000-01-01', '2024-02-03'::date::text")
    yield simple("BEGIN")
    yield synced(parse("SELECT who FROM flow_accounts WHERE id=$1"), describe("S", ""))
    yield synced(bind(("1",)), execute())
    yield from perhaps_look(client)
    yield simple(client.pick(ENDS))


FLOWS = [
    Flow(jdbc, names=True), Flow(hibernate), Flow(npgsql), Flow(pgx, names=True), Flow(lib_pq),
]

# SPDX-License-Identifier: ISC
"""Flows of statements as drivers, frameworks and tools send them, in bytes: what they go by, and
what they look at.  The flows themselves are in flows_python.py, flows_compiled.py, flows_web.py and
flows_tools.py.

A flow is a generator: it yields Exchanges and is given the messages that answer each.  It begins
and ends outside a transaction; settings, a role and names of statements it may leave, to whichever
flow of the same client comes next.  Numbers of locks and the like are the client's own, so that
nobody waits for anybody."""
from collections import namedtuple

from .wire import bind, describe, errors, execute, parse, query, sync

SCHEMAS = ["flow_a", "flow_b", "flow_c"]
ROLES = ["flow_one", "flow_two"]
ZONES = ["Asia/Tokyo", "Europe/Rome", "America/New_York", "UTC"]
ENDS = ["COMMIT", "ROLLBACK"]

# Each schema has the same table with other rows; of the other one each tenant sees its own rows.
SETUP = [
    *(f"CREATE ROLE {role}" for role in ROLES),
    f"GRANT {', '.join(ROLES)} TO app_scram",
]
FOR_ALL = f"app_scram, {', '.join(ROLES)}"
SETUP_OF_DATABASE = [
    *(f"CREATE SCHEMA {schema}; GRANT ALL ON SCHEMA {schema} TO {FOR_ALL}" for schema in SCHEMAS),
    *(f"CREATE TABLE {schema}.flow_accounts (id bigint PRIMARY KEY, who text);"
      f" INSERT INTO {schema}.flow_accounts"
      f"     SELECT i, '{schema}-' || i FROM generate_series(1, 9) AS i;"
      f" GRANT ALL ON {schema}.flow_accounts TO {FOR_ALL}" for schema in ["public", *SCHEMAS]),
    "CREATE TABLE public.flow_rows (id int, tenant text);"
    " INSERT INTO public.flow_rows SELECT i, 't' || i % 5 FROM generate_series(1, 30) AS i;"
    " ALTER TABLE public.flow_rows ENABLE ROW LEVEL SECURITY;"
    " CREATE POLICY tenant ON public.flow_rows"
    "     USING (tenant = current_setting('app.tenant_id', true));"
    f" GRANT ALL ON public.flow_rows TO {FOR_ALL}",
]
# Also what a run that was killed has left.
CLEAN_OF_DATABASE = [
    "DROP TABLE IF EXISTS public.flow_accounts, public.flow_rows",
    f"DROP SCHEMA IF EXISTS {', '.join(SCHEMAS)} CASCADE",
]
CLEAN = [f"DROP ROLE IF EXISTS {', '.join(ROLES)}"]

STARTUPS = [
    {},
    {"client_encoding": "UTF8"},
    {"client_encoding": "'utf-8'", "application_name": "apg", "search_path": "flow_b, public",
     "jit": "off"},
    {"client_encoding": "UTF8", "DateStyle": "ISO", "TimeZone": "Europe/Rome",
     "extra_float_digits": "2"},
    {"datestyle": "ISO, MDY", "client_encoding": "UTF8", "extra_float_digits": "2"},
    {"options": "-c search_path=flow_a,public -c statement_timeout=61s -c app.start=mine"},
    {"options": "-c app.tenant_id=t3 -c default_transaction_isolation=serializable",
     "application_name": "rails"},
    {"options": "-c TimeZone=Asia/Tokyo -c app.usr=started", "application_name": "psql",
     "client_encoding": "UTF8"},
    {"search_path": "flow_c", "TimeZone": "UTC", "statement_timeout": "51000",
     "lock_timeout": "4000"},
]

SETTINGS = [
    "search_path", "TimeZone", "DateStyle", "IntervalStyle", "statement_timeout", "lock_timeout",
    "application_name", "client_encoding", "client_min_messages", "extra_float_digits", "jit",
    "default_transaction_isolation", "default_transaction_read_only", "transaction_isolation",
    "transaction_read_only", "standard_conforming_strings", "row_security", "work_mem",
    "idle_in_transaction_session_timeout", "check_function_bodies", "synchronous_commit", "role"]
VARIABLES = ["app.tenant_id", "app.usr", "app.start", "request.jwt.claims", "request.method",
             "jwt.claims.role"]
# All that a session of these flows can have.
LOOK = "SELECT " + ", ".join([
    "current_user::text", "session_user::text",
    *(f"current_setting('{name}')" for name in SETTINGS),
    *(f"current_setting('{name}', true)" for name in VARIABLES),
    "(SELECT count(*) FROM pg_cursors WHERE name <> '')",
    "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())",
    "(SELECT string_agg(c, ',' ORDER BY c) FROM pg_listening_channels() AS c)",
    "(SELECT string_agg(tenant, ',' ORDER BY tenant, id) FROM public.flow_rows)"])

Exchange = namedtuple("Exchange", "data ready")
Exchange.__doc__ = """Messages, and how many ReadyForQuery end their answer; 0: they end in a Flush
behind a Describe."""
Flow = namedtuple("Flow", "run names pins", defaults=(False, False))
Flow.__doc__ = """names: it makes statements that outlast a transaction; pins: what only one server
can have."""


class Client:
    """What the flows of one client go by.  mark is a number that no other has; others wait for
    its server where it has to lend."""

    def __init__(self, rng, mark, names, has_to_lend):
        self.rng, self.mark, self.names = rng, mark, names
        self.has_to_lend = has_to_lend
        self.is_pinned = False      # by the flow that runs
        self.prepared = set()
        self.count = 0

    def pick(self, things):
        return self.rng.choice(things)

    def chance(self, probability):
        return self.rng.random() < probability

    def fresh(self, prefix):
        """A name that it has not had."""
        self.count += 1
        return f"{prefix}{self.count}"

    def schema(self):
        return self.pick(SCHEMAS)

    def tenant(self):
        return f"t{self.rng.randrange(5)}"

    def lent(self, texts):
        """Without SET LOCAL where it has to lend.  Behind RESET of the same name PostgreSQL says
        ever after that the session has set it; what none of its texts has set it may not lend."""
        if not self.has_to_lend:
            return texts
        return [text for text in texts if not text.startswith("SET LOCAL")]


# ---------------------------------------------------------- messages

def simple(*texts):
    """A Query each, sent together."""
    return Exchange(b"".join(map(query, texts)), len(texts))


def bare(text):
    """Without a Describe, as for what gives no rows, and without a Sync."""
    return parse(text) + bind() + execute("", 1)


def described(text, *values, types=()):
    """Without a Sync."""
    return parse(text, "", types) + bind(values) + describe() + execute()


def bound(name, *values):
    """The same with a statement that there is."""
    return bind(values, name) + describe() + execute()


def synced(*parts):
    return Exchange(b"".join(parts) + sync(), 1)


def extended(text, *values, types=()):
    return synced(described(text, *values, types=types))


def has_failed(answer):
    return bool(errors(answer))


# ---------------------------------------------------------- looks

def by_name(client, name, text, *values):
    """A statement that is prepared once, and again where it has gone."""
    if name not in client.prepared:
        answer = yield synced(parse(text, name), describe("S", name))
        if has_failed(answer):
            return
        client.prepared.add(name)
    answer = yield synced(bound(name, *values))
    if "26000" in errors(answer):
        client.prepared.discard(name)


def look(client):
    """At all that there is, in one of the ways in which statements are sent."""
    way = client.rng.randrange(5 if client.names else 3)
    if way == 0:
        yield simple(LOOK)
    elif way == 1:
        yield extended(LOOK)
    elif way == 2:
        yield simple("SELECT who FROM flow_accounts WHERE id = 3; SHOW search_path; SHOW TimeZone")
    elif way == 3:
        # Another text than the one that is not named.
        yield from by_name(client, "look", LOOK + " -- by name")
    else:
        yield from by_name(client, "account", "SELECT who FROM flow_accounts WHERE id = $1", 4)


def perhaps_look(client, probability=0.5):
    if client.chance(probability):
        yield from look(client)

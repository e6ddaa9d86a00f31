# SPDX-License-Identifier: ISC
"""Random session state of several clients on few servers: each client gets what PostgreSQL
gives to the same statements on a connection of its own, ParameterStatus included.

NULL and '' of a variable of one's own count as equal: a server where it was set once does not
tell them apart.

STATE_ORACLE_SEEDS says how many stories, STATE_ORACLE_SEED which is the first,
STATE_ORACLE_STEPS how long each is."""
import os
import random

import pytest
from support import wire as w

SEEDS = int(os.environ.get("STATE_ORACLE_SEEDS", "6"))
FIRST = int(os.environ.get("STATE_ORACLE_SEED", "1"))
STEPS = int(os.environ.get("STATE_ORACLE_STEPS", "250"))
CLIENTS = 5
SERVERS = 2

SHOWN = ("work_mem", "TimeZone", "DateStyle", "search_path", "app.a", "app.b", "role",
         "session_authorization", "default_transaction_read_only", "statement_timeout",
         "default_transaction_isolation", "application_name", "standard_conforming_strings")
# Also where a transaction has failed.
END = "ROLLBACK"
LOOK = "SELECT current_user, " + ", ".join(
    f"coalesce(current_setting('{name}', true), '')" for name in SHOWN)
# Its own names are of this form; those of others are not to be there.
STRANGERS = "SELECT name FROM pg_prepared_statements WHERE name LIKE 'own%' AND name NOT LIKE "
STARTUPS = [{}, {}, {"TimeZone": "Asia/Tokyo"},
            {"DateStyle": "German", "application_name": "mine", "options": "-c work_mem=3MB"},
            {"options": "-c app.a=start -c search_path=pg_catalog"}]

SETTINGS = {"work_mem": ["'5MB'", "6144"], "TimeZone": ["'Asia/Seoul'", "'Europe/Rome'", "-3"],
            "DateStyle": ["'SQL, DMY'", "ISO"], "app.a": ["'1'", "'two'", "'-'"],
            "app.b": ["'x''y'", "7"], "statement_timeout": ["'60s'"],
            "search_path": ["public, pg_catalog", "'nowhere', public", "pg_temp, public"],
            "application_name": ["'other'", "'third'"],
            "default_transaction_isolation": ["'repeatable read'"],
            "standard_conforming_strings": ["off", "on"]}
IN_VIEW = ("TimeZone", "DateStyle", "statement_timeout", "application_name")
TRANSACTIONS = ["BEGIN", "BEGIN", "COMMIT", "COMMIT", "ROLLBACK", "SAVEPOINT s", "SAVEPOINT s",
                "ROLLBACK TO s", "ROLLBACK TO s", "RELEASE s", "BEGIN ISOLATION LEVEL SERIALIZABLE",
                "COMMIT AND CHAIN", "START TRANSACTION READ ONLY"]
RESETS = ["RESET ALL", "RESET ROLE", "RESET SESSION AUTHORIZATION", "DISCARD ALL"]
OTHERS = ["SET ROLE state_role", "SET ROLE NONE", "SET LOCAL ROLE state_role", "SET ROLE nobody_at_all",
          "SET SESSION AUTHORIZATION DEFAULT", "SET SESSION AUTHORIZATION app_scram",
          "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
          "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
          "SET TRANSACTION READ ONLY", "SET NAMES 'UTF8'", "SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE",
          "SET TimeZone = 'Nowhere/At all'", "SELECT 1/0", "SELEC", "SELECT 1", ""]
NAMES = ["own_1", "own_2", "own_3"]


def assignment(rng):
    name = rng.choice(list(SETTINGS))
    value = rng.choice(SETTINGS[name])
    kind = rng.randrange(6)
    if kind == 0:
        return f"SET LOCAL {name} = {value}"
    if kind == 1 and value[0] == "'":
        return f"SELECT set_config('{name}', {value}, {rng.choice(['true', 'false'])})"
    if kind == 2:
        return f"/* x */ set session {name} to {value};"
    if kind == 3 and name in IN_VIEW:
        # NULL resets, and then its result is the server's own default.
        return f"UPDATE pg_settings SET setting = {value} WHERE name = '{name}'"
    return f"SET {name} = {value}"


def prepared(rng):
    name = rng.choice(NAMES)
    return rng.choice([
        f"PREPARE {name} AS SELECT {rng.randrange(9)}",
        f"PREPARE {name} (int) AS SELECT $1 + {rng.randrange(9)}",
        f"PREPARE {name} AS SELECT set_config('app.a', 'by {name}', false)",
        f"EXECUTE {name}", f"EXECUTE {name}", f"EXECUTE {name} (1)", f"EXECUTE {name} (1)",
        f"EXPLAIN (COSTS OFF) EXECUTE {name}", f"DEALLOCATE {name}",
        rng.choice(["DEALLOCATE ALL", f"DEALLOCATE PREPARE {name}"])])


def reset(rng):
    name = rng.choice([*SETTINGS, None])
    if name is None:
        return rng.choice(RESETS)
    return rng.choice([f"RESET {name}", f"SET {name} TO DEFAULT"])


def single(rng):
    """A statement that may stand beside others: see docs/session-state.md for RESET."""
    make = rng.choices([assignment, prepared, lambda r: r.choice(OTHERS),
                        lambda r: r.choice(TRANSACTIONS)], [5, 4, 3, 4])[0]
    return make(rng)


def simple(sql):
    return [(f"Query {sql!r}", w.query(sql))]


def extended(sql, values=(), name=""):
    return [(f"Parse {name!r} {sql!r} {values}", w.parse(sql, name)),
            ("", w.bind(values, name)), ("", w.describe()), ("", w.execute())]


class Client:
    def __init__(self, number, routed, direct):
        self.number, self.routed, self.direct = number, routed, direct
        self.status = "I"
        self.story = []

    @staticmethod
    def by_name(rng):
        name = rng.choice(NAMES)
        return rng.choice([
            [(f"Parse {name}", w.parse("SELECT $1::int", name))],
            [(f"Bind {name}", w.bind((), name)), ("", w.execute())],
            [(f"Bind {name} 1", w.bind((1,), name)), ("", w.execute())],
            [(f"Close {name}", w.close("S", name))]])

    def unsynced(self, rng):
        """Queries behind extended messages: skipped up to the Sync where those fail."""
        parts = rng.choice([extended("SELECT 1"), extended("SELECT 1/0"), self.by_name(rng)])
        for _ in range(rng.randrange(1, 3)):
            parts = parts + simple(prepared(rng))
        return parts + [("Sync", w.sync()), ("end", w.query(END))]

    def exchange(self, rng):
        """Messages, up to one ReadyForQuery or several."""
        kind = rng.randrange(22)
        if kind < 5:
            sql = rng.choice([LOOK, LOOK, LOOK, f"{STRANGERS} 'own{self.number}%'"])
        elif kind < 7:
            sql = reset(rng)
        elif kind == 7 and self.status != "E":
            # Behind a ROLLBACK in a failed transaction nothing can be prepared in front.
            return simple("; ".join(single(rng) for _ in range(rng.randrange(2, 5))))
        elif kind == 8:
            # Sent ahead, without waiting.
            parts = [part for _ in range(rng.randrange(2, 4)) for part in simple(single(rng))]
            words = " ".join(word for word, _ in parts)
            # As below.
            return simple("SELECT 1") if "ISOLATION" in words and "DEALLOCATE" in words else parts
        elif kind == 9:
            parts = [part for _ in range(rng.randrange(1, 4)) for part in extended(single(rng))]
            if any("ISOLATION" in word for word, _ in parts):
                # What stands for DEALLOCATE in front of it would not be a query to PostgreSQL.
                return simple("SELECT 1")
            return parts + [("Sync", w.sync())]
        elif kind == 10:
            values = (rng.choice(["app.a", "app.b", "work_mem"]), "9MB", rng.choice("tf"))
            return extended("SELECT set_config($1, $2, $3::bool)", values) + [("Sync", w.sync())]
        elif kind == 11:
            return self.by_name(rng) + [("Sync", w.sync())]
        elif kind == 12 and self.status != "E":
            return self.unsynced(rng)
        elif kind == 13:
            # All names are gone, and may come back, before the Sync.
            return (extended(rng.choice(["DEALLOCATE ALL", "DEALLOCATE ALL", "DISCARD ALL"]))
                    + self.by_name(rng) + self.by_name(rng) + [("Sync", w.sync())])
        else:
            sql = single(rng)
        return simple(sql) if rng.random() < 0.6 else extended(sql) + [("Sync", w.sync())]

    def run(self, rng):
        exchange = self.exchange(rng)
        # Where a transaction runs, what stands in front may be the first query of it.
        if self.status != "I" and any("ISOLATION" in word for word, _ in exchange):
            exchange = simple("SELECT 1")
        self.story.append("; ".join(word for word, _ in exchange if word))
        data = b"".join(part for _, part in exchange).replace(b"own_", b"own%d" % self.number)
        self.direct.send(data)
        self.routed.send_split(data, rng.randrange(len(data) + 1))
        has_end = exchange[-1][0] == "end"
        for _ in range(sum(part[:1] in (b"Q", b"S") for _, part in exchange)):
            expected = plain(self.direct.until_ready(), self.status)
            try:
                got = plain(self.routed.until_ready(), self.status)
            except TimeoutError:
                got = [("no answer", "")], []
            assert got == expected, (
                f"client {self.number}:\n  " + "\n  ".join(self.story).replace(LOOK, "LOOK")
                + f"\nPostgreSQL: {readable(expected)}\nrouter:     {readable(got)}")
            self.status = expected[0][-1][1].decode()
            if has_end and ("C", b"ROLLBACK\0") in expected[0]:
                break


def readable(answer):
    said, told = answer
    return [(kind, body) for kind, body in said if kind != "T"], told


def plain(answer, status):
    """What clients go by: types, states, data, and what they are told of settings.  In a
    failed transaction the same fails, but what PostgreSQL finds first may be something else."""
    said = [(m.type, m.body if m.type != "E" else m.sqlstate if status != "E" else "failed")
            for m in answer if m.type not in "SN"]
    return said, sorted(m.body for m in answer if m.type == "S")


def roles(postgres):
    postgres.sql("DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'state_role') "
                 "THEN CREATE ROLE state_role; END IF; END $$; GRANT state_role TO app_scram")


@pytest.mark.router_only
@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
@pytest.mark.parametrize("mode", ["strict", "tracked"])
def test_as_on_a_connection_of_its_own(make_router, postgres, seed, mode):
    roles(postgres)
    rng = random.Random(f"{mode} {seed}")
    router = make_router({"workloads": {"transactional": {
        "guaranteed_connections": SERVERS, "max_connections": SERVERS, "session_state": mode}}})
    password = router.transactional.dsn()["password"]
    clients = []
    for n in range(CLIENTS):
        startup = rng.choice(STARTUPS)
        direct = w.Wire("127.0.0.1", postgres.port)
        direct.login("app_scram", password, "app", **startup)
        clients.append(Client(n, router.transactional.wire(**startup), direct))
        clients[-1].story.append(f"startup {startup}")
    print(f"seed {seed}")
    for _ in range(STEPS):
        # Whoever is in a transaction has a server; one is for all others.
        holders = [c for c in clients if c.status != "I"]
        client = rng.choice(holders if len(holders) >= SERVERS else clients)
        client.run(rng)
    for client in clients:
        client.routed.quit()
        client.direct.quit()

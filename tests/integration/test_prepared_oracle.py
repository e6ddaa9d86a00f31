# SPDX-License-Identifier: ISC
"""Random exchanges of several clients on two servers; each client's replies are compared
with those that PostgreSQL itself gives to the same messages on a connection of its own.

PREPARED_ORACLE_SEEDS says how many stories, PREPARED_ORACLE_SEED which is the first."""
import os
import random

import pytest
from support import wire as w

SEEDS = int(os.environ.get("PREPARED_ORACLE_SEEDS", "12"))
FIRST = int(os.environ.get("PREPARED_ORACLE_SEED", "1"))
STEPS = 150
CLIENTS = 4

NAMES = ["", "", "a", "b", "c", "n" * 63, "pgtandem_s1", "pgtandem_s2"]
PORTALS = ["", "", "", "p"]
TEXTS = (["SELECT %d" % n for n in range(4)] + ["SELECT $1::int + %d" % n for n in range(3)] + [
    "SELECT 10 / $1::int", "SELECT generate_series(1, 4)", "SELECT nothing_here", "SELEC", "",
    "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT s", "ROLLBACK TO s",
    "INSERT INTO items (body) VALUES ($1) RETURNING body",
    "DEALLOCATE a", "DEALLOCATE b", "deallocate prepare c"])
# In an exchange of their own: names that are given again behind them, before the answer is
# there, are not free yet.
DROP_ALL = ["DEALLOCATE ALL", "DISCARD ALL", " deallocate prepare all;"]
QUERIES = ["SELECT 1", "SELECT 1; SELECT 2", "SELECT 1/0", "", "BEGIN", "COMMIT", "ROLLBACK",
           "DEALLOCATE a", "DEALLOCATE ALL", "DEALLOCATE \"pgtandem_s1\"", "DISCARD ALL",
           "DEALLOCATE ALL; SELECT 1", "SELECT 1; DEALLOCATE ALL; SELECT 1/0", "SELEC"]


class Client:
    def __init__(self, number, routed, direct):
        self.number, self.routed, self.direct = number, routed, direct
        self.status = "I"
        self.knows_unnamed = True       # as PostgreSQL does
        self.portal_dangles = False
        self.story = []

    def message(self, rng):
        """One message: what it is in words, and its bytes."""
        kind = rng.choices("PBDCEBPB", k=1)[0]
        name, portal = rng.choice(NAMES), rng.choice(PORTALS)
        if kind == "P":
            text = rng.choice(TEXTS)
            return f"Parse {name!r} {text!r}", w.parse(text, name)
        if kind == "B":
            values = rng.choice([(), (), (rng.randrange(3),), (rng.randrange(3),), (1, 2)])
            return f"Bind {portal!r} {name!r} {values}", w.bind(values, name, portal)
        if kind == "D":
            # In a failed transaction a server that lacks the statement cannot tell.
            what = rng.choice("SP") if self.status != "E" else "P"
            return (f"Describe {what} {name if what == 'S' else portal!r}",
                    w.describe(what, name if what == "S" else portal))
        if kind == "C":
            what = rng.choice("SSP")
            return (f"Close {what} {name if what == 'S' else portal!r}",
                    w.close(what, name if what == "S" else portal))
        rows = rng.choice([0, 0, 2])
        return f"Execute {portal!r} {rows}", w.execute(portal, rows)

    def flow(self, rng):
        """Parse, Bind, Execute of one statement, as drivers do."""
        name, text = rng.choice(NAMES), rng.choice(TEXTS)
        values = (rng.randrange(3),) if "$1" in text else ()
        parts = [(f"Parse {name!r} {text!r}", w.parse(text, name))] if rng.random() < 0.6 else []
        parts.append((f"Bind '' {name!r} {values}", w.bind(values, name)))
        if rng.random() < 0.5:
            parts.append(("Describe P", w.describe()))
        parts.append(("Execute ''", w.execute()))
        return parts

    def exchange(self, rng):
        if rng.random() < 0.2:
            text = rng.choice(QUERIES)
            return [(f"Query {text!r}", w.query(text))]
        if rng.random() < 0.08:
            name, text = "all", rng.choice(DROP_ALL)
            return [(f"Parse {name!r} {text!r}", w.parse(text, name)),
                    (f"Bind '' {name!r} ()", w.bind((), name)), ("Execute ''", w.execute()),
                    ("Sync", w.sync())]
        parts = []
        for _ in range(rng.randrange(1, 4)):
            parts += self.flow(rng) if rng.random() < 0.6 else [self.message(rng)]
        return parts + [("Sync", w.sync())]

    def run(self, rng):
        exchange = self.exchange(rng)
        words = [word for word, _ in exchange]
        if not self.is_sure(words) or not self.is_safe(words):
            return
        data = b"".join(part for _, part in exchange)
        self.story.append("; ".join(words))
        cut = rng.randrange(len(data) + 1)
        self.routed.send_split(data, cut)
        self.direct.send(data)
        expected, got = self.direct.until_ready(), self.routed.until_ready()
        assert plain(got, self.status) == plain(expected, self.status), (
            f"client {self.number} of its own {len(self.story)} exchanges:\n  "
            + "\n  ".join(self.story) + f"\nPostgreSQL: {plain(expected)}\nrouter:     {plain(got)}")
        self.status = expected[-1].body.decode()
        self.learn(words, expected)

    def is_sure(self, words):
        """After a skipped Parse or Close of the unnamed statement PostgreSQL has the one
        before; the router does not know its text any more."""
        if self.knows_unnamed:
            return True
        first = next((word for word in words if "''" in word or word.startswith("Query")), "")
        return not first or first.startswith(("Query", "Parse ''"))

    def is_safe(self, words):
        """A Query that fails in a transaction leaves the unnamed portal behind, whose text and
        plan are freed: PostgreSQL 15 may crash when it is executed."""
        first = next((word for word in words if word.startswith(
            ("Bind ''", "Execute ''", "Describe P ''"))), "Bind ''")
        return not self.portal_dangles or first.startswith("Bind ''")

    def learn(self, words, answer):
        self.portal_dangles = self.status == "E" and (
            self.portal_dangles or words[0].startswith("Query"))
        touches = any(word.startswith(("Parse ''", "Close S ''")) for word in words)
        if any(m.type == "E" for m in answer):
            self.knows_unnamed = self.knows_unnamed and not touches
        elif touches or words[0].startswith("Query"):
            self.knows_unnamed = True


def plain(answer, status="I"):
    """What clients go by: types, states, data.  In a failed transaction the same fails, but
    what PostgreSQL finds first may be something else."""
    said = []
    for m in answer:
        if m.type in "SN":
            continue
        error = m.sqlstate if status != "E" else "in a failed transaction"
        said.append((m.type, error if m.type == "E" else m.body))
    return said


@pytest.mark.router_only
@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
@pytest.mark.parametrize("most", [2, 200])
@pytest.mark.parametrize("reuse", [False, True])
def test_as_postgresql(make_router, postgres, seed, most, reuse):
    rng = random.Random(seed * 1000 + most)
    router = make_router({"workloads": {"transactional": {
        "guaranteed_connections": 2, "max_connections": 2, "max_prepared_statements": most,
        "plan_reuse": reuse}}})
    clients = []
    for n in range(CLIENTS):
        direct = w.Wire("127.0.0.1", postgres.port)
        direct.login("app_scram", router.transactional.dsn()["password"], "app")
        clients.append(Client(n, router.transactional.wire(), direct))
    print(f"seed {seed}")
    for _ in range(STEPS):
        client = rng.choice(clients)
        # Two servers: one for whoever is in a transaction, one for all others.
        holder = [c for c in clients if c.status != "I"]
        if len(holder) == 2 and client not in holder:
            client = rng.choice(holder)
        client.run(rng)
    for client in clients:
        client.routed.quit()
        client.direct.quit()

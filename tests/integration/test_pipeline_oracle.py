# SPDX-License-Identifier: ISC
"""Random pipelines of two clients on very few servers, with errors, messages that are skipped and
exchanges sent ahead: each client gets, message by message, what PostgreSQL gives to the same bytes
on a connection of its own, and never a row with the mark of somebody else.

PGTANDEM_ORACLE_ROUNDS says how many scripts for each variant, PGTANDEM_ORACLE_SEED which is the
first, PGTANDEM_ORACLE_REPLAY names a file with what was printed of one that failed."""
import ast
import collections
import os
import random
import re

import pytest
from support.pipeline import QUERIES, Client, Failed, Story, with_values
from support.pipeline_maker import STARTUPS, Maker
from support.postgres import DATABASE, USERS
from support.shrink import shrink
from support.wait import SLOWDOWN
from support.wire import Wire, bind, close, execute, parse, sync, types

pytestmark = pytest.mark.router_only

ROUNDS = int(os.environ.get("PGTANDEM_ORACLE_ROUNDS", "8"))
FIRST = int(os.environ.get("PGTANDEM_ORACLE_SEED", "1"))
REPLAY = os.environ.get("PGTANDEM_ORACLE_REPLAY")
USER, DIRECT = "app_plain", "second"
TRIAL_SECONDS = 120

Variant = collections.namedtuple("Variant", "servers ports more")
BOTH = ("transactional", "transactional")
SESSIONS = ("session", "session")
VARIANTS = {
    "strict 1": Variant(1, BOTH, {}),
    "strict 2": Variant(2, BOTH, {}),
    "tracked 1": Variant(1, BOTH, {"session_state": "tracked"}),
    "tracked 2": Variant(2, BOTH, {"session_state": "tracked"}),
    "strict 1, 2 statements": Variant(1, BOTH, {"max_prepared_statements": 2}),
    "tracked 2, 2 statements": Variant(2, BOTH, {"session_state": "tracked",
                                                "max_prepared_statements": 2}),
    "strict 1, no statements": Variant(1, BOTH, {"max_prepared_statements": 0}),
    "tracked 2, no statements": Variant(2, BOTH, {"session_state": "tracked",
                                                 "max_prepared_statements": 0}),
    "no statements beside others": Variant(1, ("plain", "plain"), {}),
    "reuse 2": Variant(2, BOTH, {"plan_reuse": True}),
    "sessions": Variant(1, SESSIONS, {}),
    "one of each": Variant(1, BOTH[:1] + ("session",), {}),
}

# ---------------------------------------------------------- what is different, and why

Difference = collections.namedtuple("Difference", "name why covers")


def has_skipped_unnamed(case):
    """A Parse or Close of it, or a Query, that came to nothing."""
    return any(sent.fate != "done" and (sent.what in ("Q", "QC", "EC") or (
        sent.what in "PC" and sent.statement == "")) for sent in case.before)


CALL = r"set_config\('[\w.]+', ({}), {}"
NULLS = r"NULL|nullif\('', ''\)|CASE WHEN true THEN NULL END"
RESETS = re.compile("RESET|DEFAULT|" + CALL.format(NULLS, ""))
# To the end of the transaction, for all that is known; the second where nobody knows of Binds.
MAYBE_LOCAL = [re.compile(CALL.format(NULLS, "'t'")),
               re.compile(CALL.format(NULLS + "|[$]1", "('|NULL|[$])"))]
EXECUTES_NULL = re.compile(r"EXECUTE \w+ \(NULL\)")


def texts(case, messages):
    """What these and the message itself run or make, and what was prepared where one is an
    EXECUTE."""
    for one in [*messages, case.sent]:
        text = one.runs or one.text
        yield text
        if "EXECUTE" in text:
            values = (None,) if EXECUTES_NULL.search(text) else ()
            yield from (with_values(made.text, values) for made in [*case.before, case.sent]
                        if made.statement or "PREPARE" in made.text)


def resets(case, messages):
    """Whether startup parameters, which PostgreSQL's own connection has, were reset by these or the
    message itself."""
    return case.client.startup and any(map(RESETS.search, texts(case, messages)))


def exchanges(case):
    """The texts of each, as one."""
    told = []
    for one in [*case.before, case.sent]:
        told.append(one.runs or one.text)
        if one.what == "S" or one.what in QUERIES:
            yield "; ".join(told)
            told = []
    yield "; ".join(told)


def is_reset_in_front_of_local(case):
    """In one text or pipeline, and it is not certain."""
    is_alone = all(one.what == "Q" for one in case.before)
    return case.client.startup and any(
        NULL_AND_LOCAL.search(text) or RESET_AND_LOCAL.search(text) and (
            "ROLLBACK TO" in text or not is_alone) for text in exchanges(case))


def is_blind(case):
    """Where nobody looks after statements."""
    return case.client.is_session or "no statements" in case.variant


def resets_to_the_end(case):
    """Whether that was done where nobody can tell that it was not to the end of the transaction
    only."""
    return case.client.startup and any(
        map(MAYBE_LOCAL[is_blind(case)].search, texts(case, case.transaction)))


EMPTIES = re.compile(r"app\.\w+( = |', )''")
NULL_AND_LOCAL = re.compile(r"NULL.*(SET LOCAL|, true\))")
RESET_AND_LOCAL = re.compile(r"(RESET|DEFAULT).*(SET LOCAL|, true\))")
RESET_AND_UNDONE = re.compile("(?=.*(RESET|DEFAULT|NULL)).*ROLLBACK TO")


def is_emptied_and_undone(case):
    """In one text, behind another that had emptied a variable."""
    done = [one.runs or one.text for one in case.before if one.fate == "done"]
    emptied = next((n for n, text in enumerate(done) if EMPTIES.search(text)), len(done))
    return case.client.startup and any(map(RESET_AND_UNDONE.search, done[emptied + 1:]))


NAMES_ONE = re.compile("EXECUTE|PREPARE|DEALLOCATE")
DIFFERENCES = [
    Difference("failed transaction, behind its end",
               "nothing can be prepared in front of what names a statement there",
               lambda c: c.sent.what == "Q" and c.sent.status == "E"
               and (c.state in ("26000", "25P02") or c.wanted == "42P05")
               and re.search(f"(ROLLBACK|COMMIT).*({NAMES_ONE.pattern})", c.sent.text)),
    Difference("failed transaction, Describe and what fails anyway",
               "25P02 where the server lacks the statement: it cannot be prepared",
               lambda c: c.sent.status == "E" and c.state == "25P02" and (
                   c.sent.what == "D" or c.sent.what in "BPQ" and c.wanted)),
    Difference("another error first",
               "where a text is read again, under another search_path, say, that comes first",
               lambda c: c.state == "42P01" and (
                   c.sent.what == "B" and c.wanted
                   or NAMES_ONE.search(c.sent.runs or c.sent.text or c.described)
                   or c.expected[0] == "t" and any(
                       "search_path" in (one.runs or one.text) for one in c.before))),
    Difference("portals of DEALLOCATE that are gone",
               "26000 in place of 34000, or of 25P02, where what they name is gone, too",
               lambda c: c.sent.what == "E" and c.state == "26000"
               and (c.wanted == "34000" or c.wanted == "25P02" and any(
                   "DEALLOCATE" in one.runs for one in c.before if one.what == "B"))),
    Difference("unnamed statement behind one that was skipped",
               "it is known until the transaction ends",
               lambda c: c.sent.statement == "" and c.sent.what in "BD" and c.state == "26000"
               and has_skipped_unnamed(c)),
    Difference("columns that have changed",
               "told once, by whichever server has the old statement",
               lambda c: c.wanted == "0A000"),
    Difference("startup parameters that were reset",
               "within a text or a pipeline the server's own value is seen",
               lambda c: c.got[0] == c.expected[0] == "D" and resets(c, c.domain)),
    Difference("startup parameters that were reset beside a COPY sent ahead",
               "they are not set again",
               lambda c: c.got[0] == c.expected[0] and c.got[0] in "DZ" and resets(c, c.before)
               and any(one.what in ("QC", "EC") for one in [*c.before, c.sent])),
    Difference("a variable that is empty where startup parameters may have been reset",
               "it counts as reset where nobody knows: RESET leaves it empty, too",
               lambda c: c.got[0] == c.expected[0] == "D" and b"" in c.expected[1]
               and any(b"start" in value for value in c.got[1]) and resets(c, c.before)),
    Difference("a variable that the client had emptied, and a ROLLBACK TO beside its reset",
               "it stays empty where nobody knows",
               lambda c: c.got[0] == c.expected[0] == "D" and all(
                   got == wanted or not got and b"start" in wanted
                   for got, wanted in zip(c.got[1], c.expected[1])) and is_emptied_and_undone(c)),
    Difference("startup parameters that were perhaps reset to the end of the transaction",
               "until then the server's own value is seen",
               lambda c: c.got[0] == c.expected[0] and c.got[0] in "DZ" and resets_to_the_end(c)),
    Difference("startup parameters that were reset, perhaps, in front of what is local",
               "PostgreSQL tells them from what was set only where nothing is",
               lambda c: c.got[0] == c.expected[0] and c.got[0] in "DZ"
               and is_reset_in_front_of_local(c)),
    Difference("startup parameters that were reset in a transaction that has failed",
               "nothing can be set there",
               lambda c: c.got[0] == "Z" and c.got[1][0] == c.expected[1][0] == "E"
               and resets(c, c.transaction)),
    Difference("the unnamed portal, or statement of a session port, behind such a reset",
               "a query of the router's own stands between",
               lambda c: resets(c, c.before) and (
                   c.state == "34000" and c.sent.what in "ED" and c.sent.step[-2:][0] in ("", "P")
                   or c.state == "26000" and c.sent.statement == "" and c.client.is_session)),
    Difference("what an EXECUTE is described as",
               "as what it names is by now, not as it was when it was prepared",
               lambda c: c.sent.what == "D" and any("EXECUTE" in one.text for one in c.before)
               and ({c.got[0], c.expected[0]} <= {"T", "n"}
                    or c.got[0] == "n" and c.wanted == "26000" and c.sent.step[1] == "S")),
    Difference("max_prepared_statements: 0, the unnamed statement",
               "all is passed on as it is, to whichever server",
               lambda c: "no statements" in c.variant and c.state == "26000"
               and c.sent.statement == "" and c.sent.what in "BD"
               and not any(one.what == "P" for one in c.domain)),
]

# ---------------------------------------------------------- one variant's router


class Bench:
    """A router, and PostgreSQL beside it: runs scripts, any number of them."""

    def __init__(self, make_router, postgres, name):
        self.name, self.variant = name, VARIANTS[name]
        self.make_router, self.postgres = make_router, postgres
        self.router = None
        self.patience = 10
        self.known = collections.Counter()
        self.tables = []
        self.admins = [postgres.connect(dbname=dbname) for dbname in (DATABASE, DIRECT)]
        for admin in self.admins:
            admin.execute("GRANT ALL ON SCHEMA public TO PUBLIC")

    def start(self):
        if self.router is not None:
            self.router.stop()
        pinned = self.variant.servers if may_pin(self.name) else 0
        self.router = self.make_router({
            "hosts": {"main": {"connection_budget": self.variant.servers}},
            "defaults": self.variant.more,
            "workloads": {
                "transactional": {"guaranteed_connections": pinned, "max_pinned": pinned,
                                  "max_connections": self.variant.servers},
                "plain": {"guaranteed_connections": 0, "pool_mode": "transaction",
                          "max_connections": self.variant.servers,
                          "max_prepared_statements": 0},
                "session": {"guaranteed_connections": 0,
                            "max_connections": self.variant.servers}}})
        self.router.transactional.wire(USER).quit()
        self.read = 0

    def connect(self, port):
        """What a client begins a life with."""
        def begin(table, parameters):
            for admin in self.admins:
                admin.execute(f"CREATE TABLE {table} (x int); ALTER TABLE {table} OWNER TO {USER}")
            self.tables.append(table)
            return tuple(connected(where, dbname, self.patience, parameters) for where, dbname in (
                (getattr(self.router, port).port, DATABASE), (self.postgres.port, DIRECT)))
        return begin

    def drop_tables(self):
        for admin in self.admins:
            admin.execute("DROP TABLE " + ", ".join(self.tables))
        self.tables = []

    def stray(self, name):
        """What code has prepared, and what nobody has named, on a server that others have then."""
        wire = connected(self.router.transactional.port, DATABASE, self.patience, {})
        try:
            wire.query(STRAY.format(name))
            # All that is in flight of others before it was theirs.
            wire.send(parse("SELECT 1", "own"), bind(name="own"), execute(), sync(),
                      close("S", "own"), sync())
            said = types(wire.until_ready() + wire.until_ready())
        except TimeoutError:
            wire.close()
            raise Failed("silence", "somebody else waits") from None
        if said != "12DCZ3Z":
            raise Failed("difference", f"somebody else got {said}")
        wire.quit()

    def run(self, seed, startups, script):
        """What has failed, None if nothing."""
        if self.router is None or not self.router.is_running():
            self.start()
        story = Story(self.variant.servers, DIFFERENCES, self.name, self.stray)
        try:
            for letter, port in zip("AB", self.variant.ports):
                story.clients[letter] = Client(letter, seed, port == "session", self.connect(port),
                                               startups)
            story.run(script)
            self.look_at_log()
        except Failed as failed:
            # A server that it does not give back may hold locks.
            self.router.stop()
            return failed
        finally:
            self.known.update(story.known)
            self.drop_tables()
        return None

    def look_at_log(self):
        log = self.router.log()
        said, self.read = log[self.read:], len(log)
        bad = re.findall("^.*(?: UTC error | server-protocol|out of place).*$", said, re.M)
        if bad or not self.router.is_running():
            raise Failed("log", "\n".join(bad))


STRAY = """DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_prepared_statements WHERE name = '{0}') THEN
        EXECUTE 'DEALLOCATE {0}';
    END IF;
    EXECUTE 'PREPARE {0} AS SELECT ''P0.0~''';
END $$"""


def connected(port, dbname, patience, parameters):
    wire = Wire("127.0.0.1", port, patience * SLOWDOWN)
    try:
        wire.login(USER, USERS[USER][0], dbname, **parameters)
    except (OSError, EOFError, RuntimeError) as error:
        raise Failed("login", f"{error!r}") from None
    return wire


def least(bench, seed, startups, script, failed):
    """The failure's shortest form, as far as there is time to find it."""
    bench.patience = 2

    def fails(steps):
        nonlocal failed
        bench.start()
        again = bench.run(seed, startups, steps)
        if again is None or again.kind != failed.kind:
            return False
        failed = again
        return True

    if not fails(script):
        return script, failed, "(only with what was there before it)"
    return shrink(script, fails, TRIAL_SECONDS), failed, ""


def may_pin(name):
    """Where one kind of port has all servers: they must be guaranteed, or it is refused."""
    return VARIANTS[name].ports == BOTH


def has_strays(name):
    """Where names are passed on nobody keeps them apart."""
    return VARIANTS[name].more.get("max_prepared_statements") != 0


# ---------------------------------------------------------- tests

@pytest.mark.parametrize("name", VARIANTS)
def test_as_postgresql(make_router, postgres, name):
    bench = Bench(make_router, postgres, name)
    for seed in range(FIRST, FIRST + ROUNDS):
        rng = random.Random(f"{name} {seed}")
        startups = rng.choice(STARTUPS), rng.choice(STARTUPS)
        pins = may_pin(name) or VARIANTS[name].ports == SESSIONS
        script = Maker(rng, "no statements" not in name, has_strays(name), pins).script()
        failed = bench.run(seed, startups, script)
        if failed is not None:
            print(f"seed {seed} of {name}: {failed}")
            script, failed, remark = least(bench, seed, startups, script, failed)
            steps = "".join(f"    {step!r},\n" for step in script)
            pytest.fail(f"seed {seed} of {name!r} {remark}: {failed}\n"
                        f"[{name!r}, {seed}, {startups!r}, [\n{steps}]]", pytrace=False)
    print(f"{name}: seeds {FIRST} to {FIRST + ROUNDS - 1}, known differences: {dict(bench.known)}")


@pytest.mark.skipif(REPLAY is None, reason="PGTANDEM_ORACLE_REPLAY is not set")
def test_replay(make_router, postgres):
    with open(REPLAY, encoding="utf-8") as file:
        name, seed, startups, script = ast.literal_eval(file.read())
    failed = Bench(make_router, postgres, name).run(seed, startups, script)
    assert failed is None, failed

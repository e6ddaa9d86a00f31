# SPDX-License-Identifier: ISC
"""What drivers, frameworks and tools send (support/flows.py), mixed at random by several clients on
few servers: each client gets what PostgreSQL gives to the same bytes on a connection of its own,
with the same settings told (ParameterStatus), the same notices and the same errors.

PGTANDEM_FLOWS_ROUNDS says how many stories for each variant, PGTANDEM_FLOWS_SEED which is the
first."""
import collections
import os
import random
import time

import pytest
from support import flows_compiled, flows_python, flows_tools, flows_web
from support.flows import (
    CLEAN, CLEAN_OF_DATABASE, LOOK, SETUP, SETUP_OF_DATABASE, STARTUPS, Client, perhaps_look)
from support.pipeline import is_aside, plain
from support.postgres import DATABASE, USERS
from support.wait import SLOWDOWN
from support.wire import Wire

# What code other tests have left keeps sessions from lending.
pytestmark = [pytest.mark.router_only, pytest.mark.usefixtures("no_code", "objects")]

ROUNDS = int(os.environ.get("PGTANDEM_FLOWS_ROUNDS", "2"))
FIRST = int(os.environ.get("PGTANDEM_FLOWS_SEED", "1"))
STEPS = 250
USER, DIRECT = "app_scram", "second"
PATIENCE = 10 * SLOWDOWN
FLOWS = [*flows_python.FLOWS, *flows_compiled.FLOWS, *flows_web.FLOWS, *flows_tools.FLOWS]

Variant = collections.namedtuple("Variant", "port servers clients names pins more",
                                 defaults=(True, False, {}))
TRACKED = {"session_state": "tracked"}
NO_STATEMENTS = {"max_prepared_statements": 0}
LENDS = {"idle_session_reclaim": "10ms"}
# names, pins: whether clients send what needs statements that last, and what only one server has.
VARIANTS = {
    "strict 1": Variant("transactional", 1, 4),
    "strict 2": Variant("transactional", 2, 5),
    "tracked 1": Variant("transactional", 1, 4, more=TRACKED),
    "tracked 2": Variant("transactional", 2, 10, more=TRACKED),
    "reuse 1": Variant("transactional", 1, 6, more={"plan_reuse": True}),
    "strict 2, 2 statements": Variant("transactional", 2, 5, more={"max_prepared_statements": 2}),
    "strict 1, no statements": Variant("transactional", 1, 4, names=False, more=NO_STATEMENTS),
    "tracked 2, no statements": Variant("transactional", 2, 4, names=False,
                                        more={**TRACKED, **NO_STATEMENTS}),
    "pins, strict 6": Variant("transactional", 6, 9, pins=True),
    "pins, tracked 6": Variant("transactional", 6, 15, pins=True, more=TRACKED),
    "sessions": Variant("session", 3, 3, pins=True),
    "sessions, no statements": Variant("session", 3, 3, pins=True, more=NO_STATEMENTS),
    # More of them than servers: none may keep what it has.
    "sessions lend 2": Variant("session", 2, 5, names=False, more=LENDS),
    "sessions lend 5": Variant("session", 5, 8, names=False, more=LENDS),
    "sessions lend 2, no statements": Variant("session", 2, 4, names=False,
                                              more={**LENDS, **NO_STATEMENTS}),
    "sessions lend 3, statements": Variant("session", 3, 3, pins=True, more=LENDS),
    "sessions lend 3, names without statements": Variant("session", 3, 3, pins=True,
                                                         more={**LENDS, **NO_STATEMENTS}),
}


@pytest.fixture(scope="module", name="objects")
def objects_of_flows(postgres_cluster):
    """In both databases, while this file's tests run."""
    def clean():
        for dbname in DATABASE, DIRECT:
            postgres_cluster.sql(*CLEAN_OF_DATABASE, dbname=dbname)
        postgres_cluster.sql(*CLEAN)

    clean()
    postgres_cluster.sql(*SETUP)
    for dbname in DATABASE, DIRECT:
        postgres_cluster.sql(*SETUP_OF_DATABASE, dbname=dbname)
    yield
    clean()


class Different(Exception):
    """From PostgreSQL."""


def connected(port, dbname, startup):
    wire = Wire("127.0.0.1", port, PATIENCE)
    try:
        wire.login(USER, USERS[USER][0], dbname, **startup)
    except (OSError, EOFError, RuntimeError) as error:
        raise Different(f"login to {dbname}, startup {startup}: {error!r}") from None
    return wire


def said(messages, wire):
    """What a client goes by: of errors and notices more than their SQLSTATE."""
    heard = []
    for message in messages:
        if message.type in "EN":
            heard.append((message.type, *(message.fields.get(field) for field in "VCMP")))
        elif not is_aside(message, wire):
            heard.append(plain(message, wire.parameters))
    return heard


def answer(wire, exchange):
    """The messages that answer it, and how that ended too early, if it did."""
    messages, ready = [], 0
    try:
        while ready < exchange.ready or not messages:
            messages += wire.until("Z") if exchange.ready else wire.until("T", "n", "E")
            ready += 1
    except (OSError, EOFError) as error:
        return messages, repr(error)
    return messages, None


class Talk:
    """A client's, from its login to its end, with the router and with PostgreSQL itself."""

    def __init__(self, variant, rng, mark, routed_port, direct_port):
        self.rng = rng
        self.startup = rng.choice(STARTUPS)
        self.direct = connected(direct_port, DIRECT, self.startup)
        self.routed = connected(routed_port, DATABASE, self.startup)
        self.client = Client(random.Random(rng.random()), mark, variant.names,
                             variant.port == "session" and variant.clients > variant.servers)
        self.flows = [flow for flow in FLOWS
                      if flow.names <= variant.names and flow.pins <= variant.pins]
        self.sent = collections.deque(maxlen=12)
        self.is_open = False
        self.script = self.all_flows()
        self.next = next(self.script)

    def all_flows(self):
        while True:
            flow = self.rng.choice(self.flows)
            self.name = flow.run.__name__
            yield from flow.run(self.client)
            yield from perhaps_look(self.client, 0.2)

    @property
    def holds(self):
        """It has a server, and will until it goes on."""
        return self.is_open or self.client.is_pinned

    def step(self):
        exchange = self.next
        self.sent.append((self.name, exchange.data))
        self.direct.send(exchange.data)
        wanted, problem = answer(self.direct, exchange)
        if problem is not None:
            raise Different(f"PostgreSQL: {problem} behind {wanted}")
        self.send(exchange.data)
        got, problem = answer(self.routed, exchange)
        self.compare(said(got, self.routed), said(wanted, self.direct), problem)
        self.is_open = wanted[-1].type != "Z" or wanted[-1].body != b"I"
        self.next = self.script.send(wanted)

    def send(self, data):
        """Now and then in two pieces, which mostly come one by one."""
        if self.rng.random() < 0.06:
            cut = self.rng.randrange(1, len(data))
            self.routed.send(data[:cut])
            time.sleep(self.rng.choice([0.0005, 0.003]))
            data = data[cut:]
        self.routed.send(data)

    @staticmethod
    def compare(got, wanted, problem):
        if problem is not None:
            raise Different(f"{problem} behind {got}\nPostgreSQL: {wanted}")
        for place, (one, other) in enumerate(zip(got, wanted)):
            if one != other:
                raise Different(f"message {place} of the answer\n"
                                f"router:     {one}\nPostgreSQL: {other}")
        if len(got) != len(wanted):
            raise Different(f"{len(got)} messages, not {len(wanted)}\n"
                            f"router:     {got}\nPostgreSQL: {wanted}")

    def told(self):
        steps = "\n".join(f"  {name}: {data.replace(LOOK.encode(), b'LOOK')}"
                          for name, data in self.sent)
        return f"client {self.client.mark}, startup {self.startup}, its last steps:\n{steps}\n"

    def leave(self, how):
        """quit or close."""
        for wire in (self.routed, self.direct):
            try:
                getattr(wire, how)()
            except OSError:
                pass    # It has ended already.


class Story:
    """What clients of one variant do to each other, from one seed."""

    def __init__(self, variant, name, seed, routed_port, direct_port):
        self.variant, self.ports = variant, (routed_port, direct_port)
        self.rng = random.Random(f"{name} {seed}")
        self.mark = seed * 10000
        self.talks = []

    def begin(self):
        self.mark += 1
        return Talk(self.variant, self.rng, self.mark, *self.ports)

    def choices(self):
        """Who may send: with all servers held none but those who hold them; and some are left when
        it is about to be pinned who else might be."""
        holders = [talk for talk in self.talks if talk.holds]
        pinned = sum(talk.client.is_pinned for talk in holders)
        if len(holders) >= self.variant.servers:
            return holders
        if self.variant.clients > self.variant.servers and 0 < self.variant.servers - 2 <= pinned:
            return holders
        return self.talks

    def run(self):
        """What was different, None if nothing was."""
        talk = None
        try:
            for _ in range(self.variant.clients):
                self.talks.append(self.begin())
            for _ in range(STEPS):
                talk = self.rng.choice(self.choices())
                talk.step()
                if "idle_session_reclaim" in self.variant.more and self.rng.random() < 0.06:
                    # Long enough that whoever may lend does.
                    time.sleep(self.rng.choice([0.02, 0.04]))
                if self.rng.random() < 0.01:
                    talk.leave(self.rng.choice(["quit", "close"]))
                    self.talks[self.talks.index(talk)] = self.begin()
        except Different as difference:
            return f"{talk.told() if talk else ''}{difference}"
        finally:
            for talk in self.talks:
                talk.leave("close")
        return None


def config(variant):
    """Its servers are guaranteed, so that all may be pinned."""
    def workload(port):
        servers = variant.servers if port == variant.port else 1
        return {"guaranteed_connections": servers, "max_connections": servers}

    workloads = {port: workload(port) for port in ("transactional", "session")}
    more = dict(variant.more)
    if variant.port == "transactional":
        workloads["transactional"]["max_pinned"] = variant.servers
    elif "idle_session_reclaim" in more:
        workloads["session"]["idle_session_reclaim"] = more.pop("idle_session_reclaim")
    return {"workloads": workloads, "defaults": {"session_state_advice": "off", **more}}


@pytest.mark.parametrize("name", VARIANTS)
def test_as_postgresql(make_router, postgres, name):
    variant = VARIANTS[name]
    router = make_router(config(variant))
    for seed in range(FIRST, FIRST + ROUNDS):
        port = getattr(router, variant.port).port
        different = Story(variant, name, seed, port, postgres.port).run()
        if different is not None:
            pytest.fail(f"seed {seed} of {name!r}: {different}", pytrace=False)
    lent = sum(int(row["lent"]) for row in router.show("cleaned"))
    print(f"{name}: seeds {FIRST} to {FIRST + ROUNDS - 1}, servers lent: {lent}")

# SPDX-License-Identifier: ISC
"""Servers that are borrowed and wait for their clients are taken back for a workload
that is below what it is guaranteed: these, no more of them, and nothing that works.

That something does not happen is shown while a client waits for several times the
grace, as the router itself tells."""
import threading
import time

import psycopg
import pytest
from support import wire as w
from support.wait import wait_until

pytestmark = pytest.mark.router_only

BUDGET = 4
GRACE = "300ms"
PATIENCE = 1.5          # seconds: several graces, and several looks of the router
ROWS = w.query("SELECT repeat('x', 1000) FROM generate_series(1, 100000)")
WORDS = ("transaction", "sync", "copy", "reader", "message")


def lending(workers=2, grace=GRACE, **more):
    """Of four servers the session port is guaranteed two, and the other may have all."""
    return {"process": {"workers": workers},
            "hosts": {"main": {"connection_budget": BUDGET, "reclaim_grace": grace}},
            "workloads": {
                "transactional": {"guaranteed_connections": 2, "max_connections": BUDGET},
                "session": {"guaranteed_connections": 2, "max_connections": 2}},
            "defaults": {"query_wait_timeout": "60s", "query_wait_notify": "0", **more}}


@pytest.fixture(autouse=True)
def no_items(postgres):
    postgres.sql("TRUNCATE items", dbname="app")


@pytest.fixture(params=[1, 2], ids=["1 worker", "2 workers"])
def lender(request, make_router):
    return make_router(lending(request.param))


def stop_in(wire, what):
    """Brings a client that is in a transaction to where the router waits for it."""
    if what == "sync":
        wire.send(w.parse("SELECT 1"), w.bind(), w.execute())
    elif what == "copy":
        wire.send(w.query("COPY items (body) FROM STDIN"))
        wire.until("G")
        wire.send(w.copy_data(b"half\n"))
    elif what == "reader":
        wire.send(ROWS)
    elif what == "message":
        wire.send(w.query("SELECT 'never'")[:9])


def stalled(endpoint, what, body="lost", **who):
    """A client that has written something, and then stops."""
    wire = endpoint.wire(**who)
    wire.query("BEGIN")
    assert w.errors(wire.query(f"INSERT INTO items (body) VALUES ('{body}')")) == []
    stop_in(wire, what)
    return wire


def all_borrowed(router, what, count=BUDGET):
    wires = [stalled(router.transactional, what) for _ in range(count)]
    wait_until(lambda: used(router, "transactional") == count, 10, "all servers are in use")
    return wires


def used(router, workload):
    return next(row["used"] for row in router.show("workloads") if row["workload"] == workload)


def clients(router, workload):
    return [row for row in router.show("clients")
            if row["workload"] == workload and row["database"] == "app"]


def has_waited(router, seconds=PATIENCE):
    """Somebody is in the queue for that long; and so the router has looked."""
    return any(row["wait"] + row["wait_us"] / 1e6 > seconds for row in router.show("clients"))


def waiting(router):
    return sum(row["state"] == "waiting" for row in clients(router, "session"))


def served(router):
    return sum(row["state"] == "active" for row in clients(router, "session"))


def ended(router):
    return router.log().count(" client-stalled ")


def close(wires):
    for wire in wires:
        wire.close()


@pytest.mark.parametrize("what", WORDS)
def test_one_waits_and_one_is_ended(lender, postgres, what):
    """The client that comes gets a server; one holder, and only one, is ended; what it
    did in its transaction is undone."""
    holders = all_borrowed(lender, what)
    with lender.session.wire() as comer:
        assert comer.value("SELECT 'mine'") == "mine"
        assert ended(lender) == 1
        wait_until(lambda: len(clients(lender, "transactional")) == BUDGET - 1, 10,
                   "one holder has gone")
        # Nobody waits, so nobody else is ended, however long the others stall.
        wait_until(lambda: all(row["stalled_ms"] > PATIENCE * 1000 or what == "sync"
                               for row in clients(lender, "transactional")), 20, "time goes by")
        assert len(clients(lender, "transactional")) == BUDGET - 1
        assert ended(lender) == 1
        assert f"stalled={what} " in lender.log()
        comer.quit()
    close(holders)
    wait_until(lambda: postgres.count("state LIKE 'idle in transaction%'") == 0, 10)
    with postgres.connect() as connection:
        assert connection.execute(
            "SELECT count(*) FROM items WHERE body IN ('lost', 'half')").fetchone() == (0,)


@pytest.mark.parametrize("what", WORDS)
def test_two_wait_and_two_are_ended(lender, what):
    """A third beyond what the port may have ends nobody."""
    holders = all_borrowed(lender, what)
    with lender.session.wire() as one, lender.session.wire() as two, \
            lender.session.wire() as three:
        for comer in (one, two):
            comer.send(w.query("SELECT 'mine'"))
        # On another worker it might be heard before the second.
        wait_until(lambda: waiting(lender) + served(lender) == 2, 10)
        three.send(w.query("SELECT 'mine'"))
        assert w.rows(one.until_ready()) == w.rows(two.until_ready()) == [("mine",)]
        wait_until(lambda: has_waited(lender), 20, "the third has waited")
        assert ended(lender) == 2
        assert len(clients(lender, "transactional")) == BUDGET - 2
        one.quit()
        assert w.rows(three.until_ready()) == [("mine",)]
        assert ended(lender) == 2
    close(holders)


def test_the_longest_goes_first(make_router):
    """... among those of one worker."""
    router = make_router(lending(workers=1))
    first = stalled(router.transactional, "transaction")
    wait_until(lambda: clients(router, "transactional")[0]["stalled_ms"] > 400, 10)
    others = [stalled(router.transactional, "transaction") for _ in range(BUDGET - 1)]
    with router.session.wire() as comer:
        assert comer.value("SELECT 'mine'") == "mine"
        assert [m.sqlstate for m in first.until_closed() if m.type == "E"] == ["25P03"]
        for other in others:
            assert other.query("COMMIT")[-1].body == b"I"


def answer(connection, sql):
    """What libpq makes of the answer.  (psycopg itself looks once more at a socket that
    has ended, and then knows no SQLSTATE; with PostgreSQL's time-outs it is the same.)"""
    connection.pgconn.send_query(sql.encode())
    connection.pgconn.consume_input()
    return connection.pgconn.get_result()


def test_the_driver_is_told(lender, postgres):
    """libpq by way of psycopg: FATAL 25P03, with what was waited for and the settings
    that decide."""
    holders = [lender.transactional.connect() for _ in range(BUDGET)]
    for holder in holders:
        holder.execute("BEGIN")
        holder.execute("INSERT INTO items (body) VALUES ('told')")
    with lender.session.connect() as comer:
        assert comer.execute("SELECT 'mine'").fetchone() == ("mine",)
    answers = [answer(holder, "COMMIT") for holder in holders]
    failed = [result for result in answers
              if result.status == psycopg.pq.ExecStatus.FATAL_ERROR]
    assert len(failed) == 1

    def said(field):
        return failed[0].error_field(field).decode()
    fields = psycopg.pq.DiagnosticField
    assert (said(fields.SEVERITY), said(fields.SQLSTATE)) == ("FATAL", "25P03")
    assert said(fields.MESSAGE_PRIMARY) == "terminating connection because its server" \
        " connection is needed by another workload"
    for word in ("idle in a transaction", " ms", "guaranteed_connections", "reclaim_grace"):
        assert word in said(fields.MESSAGE_HINT)
    for holder in holders:
        holder.close()
    with postgres.connect() as connection:
        assert connection.execute(
            "SELECT count(*) FROM items WHERE body = 'told'").fetchone() == (BUDGET - 1,)


def test_the_driver_shows_the_message(make_router):
    router = make_router(lending())
    holders = [router.transactional.connect() for _ in range(BUDGET)]
    for holder in holders:
        holder.execute("BEGIN")
    with router.session.connect() as comer:
        assert comer.execute("SELECT 'mine'").fetchone() == ("mine",)
    errors = []
    for holder in holders:
        try:
            holder.execute("COMMIT")
        except psycopg.OperationalError as error:
            errors.append(str(error))
        holder.close()
    assert len(errors) == 1
    assert "is needed by another workload" in errors[0]
    assert "reclaim_grace" in errors[0]


def test_another_database(lender, postgres):
    """The server is of no use to the one who waits: closed, and another one opened."""
    holders = all_borrowed(lender, "transaction")
    with lender.session.wire(user="other", dbname="second") as comer:
        assert comer.value("SELECT current_database()") == "second"
        assert ended(lender) == 1
        assert postgres.count("usename <> 'postgres'") <= BUDGET
    close(holders)


def test_a_floor_is_never_touched(make_router):
    """Those that have stalled for longest are within what their workload is guaranteed:
    it is a borrower that is ended."""
    config = lending()
    config["workloads"]["borrower"] = {"pool_mode": "transaction", "guaranteed_connections": 0,
                                       "max_connections": BUDGET}
    router = make_router(config)
    own = all_borrowed(router, "transaction", 2)
    wait_until(lambda: min(row["stalled_ms"] for row in clients(router, "transactional")) > 400,
               10)
    lent = [stalled(router.borrower, "transaction") for _ in range(2)]
    with router.session.wire() as one, router.session.wire() as two:
        for comer in (one, two):
            comer.send(w.query("SELECT 'mine'"))
        assert w.rows(one.until_ready()) == w.rows(two.until_ready()) == [("mine",)]
        for holder in lent:
            assert [m.sqlstate for m in holder.until_closed() if m.type == "E"] == ["25P03"]
        for holder in own:
            assert holder.query("COMMIT")[-1].body == b"I"


def test_a_session_at_rest_on_what_a_reload_has_lent(make_router):
    """Four sessions within their floor rest for as long as they like.  A reload gives two
    of their units to the other port's floor: when somebody there waits, of those at rest
    as many are ended as wait, and who has a query running is not."""
    config = lending()
    config["workloads"]["session"] = {"guaranteed_connections": BUDGET, "max_connections": BUDGET}
    config["workloads"]["transactional"] = {"guaranteed_connections": 0, "max_connections": BUDGET}
    router = make_router(config)
    sessions = [router.session.wire() for _ in range(BUDGET)]
    for i, wire in enumerate(sessions):
        assert wire.value(f"SELECT '{i}'") == str(i)
    with router.transactional.wire() as comer:
        comer.send(w.query("SELECT 'mine'"))
        wait_until(lambda: has_waited(router), 20, "it waits in vain")
        assert ended(router) == 0
        sessions[0].send(w.query("SELECT pg_sleep(60)"))
        wait_until(lambda: [row["state"] for row in clients(router, "session")].count("active")
                   == BUDGET, 10)
        router.reload({"workloads": {
            "transactional": {"guaranteed_connections": 2, "max_connections": BUDGET},
            "session": {"guaranteed_connections": 2, "max_connections": BUDGET}}})
        assert w.rows(comer.until_ready()) == [("mine",)]
        assert ended(router) == 1 and "stalled=session " in router.log()
        # Nobody else waits: the others go on.
        wait_until(lambda: len(clients(router, "session")) == BUDGET - 1, 10)
        comer.send(w.query("SELECT 'again'"))
        assert w.rows(comer.until_ready()) == [("again",)]
        assert ended(router) == 1
    left = []
    for wire in sessions[1:]:
        try:
            left.append(wire.value("SELECT 'alive'"))
        except (ConnectionError, EOFError):
            continue
    assert left == ["alive"] * (BUDGET - 2)
    wait_until(lambda: len(clients(router, "session")) == BUDGET - 1, 10)
    close(sessions)


@pytest.mark.parametrize("how", ["query", "execute without sync"])
def test_an_active_query_is_never_ended(lender, postgres, how):
    """However long it takes, and whether or not its Sync has come."""
    holders = [stalled(lender.transactional, "nothing") for _ in range(BUDGET)]
    sql = "SELECT pg_advisory_xact_lock_shared(4711)"
    with postgres.connect(dbname="app") as key:
        key.execute("SELECT pg_advisory_lock(4711)")
        for holder in holders:
            if how == "query":
                holder.send(w.query(sql))
            else:
                holder.send(w.parse(sql), w.bind(), w.execute())
        wait_until(lambda: postgres.count("wait_event = 'advisory'") == BUDGET, 10)
        with lender.session.wire() as comer:
            comer.send(w.query("SELECT 'mine'"))
            wait_until(lambda: has_waited(lender), 20, "it has waited")
            assert ended(lender) == 0
            assert len(clients(lender, "transactional")) == BUDGET
            key.execute("SELECT pg_advisory_unlock_all()")
            # Now that their queries have ended they stall, all of them.
            assert w.rows(comer.until_ready()) == [("mine",)]
            assert ended(lender) == 1
    close(holders)


class Trickle:
    """Sends so many bytes for each client, all the time, and keeps the longest pause."""

    def __init__(self, wires, what, size):
        self.wires, self.longest = wires, 0.0
        self.bytes = {"copy": w.copy_data(b"x" * size + b"\n"), "message": b"x" * size,
                      "sync": w.parse("SELECT 1 -- " + "x" * size)}[what]
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        last = time.monotonic()
        while not self.stop.wait(0.05):
            for wire in self.wires:
                wire.send(self.bytes)
            now = time.monotonic()
            self.longest, last = max(self.longest, now - last), now

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


@pytest.mark.parametrize("what", ["copy", "message", "sync"])
def test_who_goes_on_is_not_ended(make_router, what):
    """A client that sends now and then within the grace is slow and not stalled."""
    router = make_router(lending(grace="2s"))
    holders = [stalled(router.transactional, "nothing") for _ in range(BUDGET)]
    for holder in holders:
        if what == "copy":
            stop_in(holder, what)
        elif what == "message":
            holder.send(w.query("SELECT '" + "x" * 900000 + "'")[:20])
    with router.session.wire() as comer:
        comer.send(w.query("SELECT 'mine'"))
        with Trickle(holders, what, 1000) as trickle:
            wait_until(lambda: has_waited(router, 5), 30, "it has waited")
            seen = ended(router)
        assert trickle.longest < 2, "this machine is too slow for this test"
        assert seen == 0
        # They stop, and one of them is ended.
        assert w.rows(comer.until_ready()) == [("mine",)]
        assert ended(router) == 1
    close(holders)


@pytest.mark.parametrize("what", ["copy", "message"])
def test_a_trickle_is_no_sign_of_life(make_router, what):
    """A byte now and then would keep a borrowed server for ever."""
    router = make_router(lending())
    holders = [stalled(router.transactional, "nothing") for _ in range(BUDGET)]
    for holder in holders:
        if what == "copy":
            stop_in(holder, what)
        else:
            holder.send(w.query("SELECT '" + "x" * 900000 + "'")[:20])
    with router.session.wire() as comer, Trickle(holders, what, 1):
        assert comer.value("SELECT 'mine'") == "mine"
        assert ended(router) == 1
    close(holders)


def test_a_grace_of_0_ends_nobody(make_router):
    router = make_router(lending(grace="0"))
    holders = all_borrowed(router, "transaction")
    with router.session.wire() as comer:
        comer.send(w.query("SELECT 'mine'"))
        wait_until(lambda: has_waited(router), 20, "it has waited")
        assert ended(router) == 0
        assert holders[0].query("COMMIT")[-1].body == b"I"
        assert w.rows(comer.until_ready()) == [("mine",)]
        for holder in holders[1:]:
            assert holder.query("COMMIT")[-1].body == b"I"


@pytest.mark.parametrize("what", WORDS)
def test_show_clients_tells(router, what):
    """Whether anybody waits or not; and who is not stalled has an empty word."""
    with router.transactional.wire() as wire, router.session.wire() as idle:
        idle.query("SELECT 1")
        wire.query("BEGIN")
        stop_in(wire, what)
        if what == "sync":
            # Else PostgreSQL keeps to itself that it has done all.
            wire.send(w.flush())
        wait_until(lambda: clients(router, "transactional")[0]["stalled"] == what, 10)
        wait_until(lambda: clients(router, "transactional")[0]["stalled_ms"] > 200, 10)
        row = clients(router, "session")[0]
        assert (row["state"], row["stalled"], row["stalled_ms"]) == ("active", "", 0)
    wait_until(lambda: not clients(router, "transactional"), 10)


# ------------------------------------------------------------------ those who wait

def test_the_notice_tells_position_and_reason(make_router):
    """By psycopg: where it is in the queue, what holds it, numbers; no names."""
    router = make_router(lending(grace="0", query_wait_notify="100ms"))
    notices, rows = [], []
    with router.session.wire() as first, router.session.connect() as second:
        second.add_notice_handler(lambda notice: notices.append(
            (notice.severity, notice.message_primary, notice.message_detail)))
        holders = [stalled(router.transactional, "transaction", user="app_md5")
                   for _ in range(BUDGET)]
        thread = threading.Thread(
            target=lambda: rows.extend(second.execute("SELECT 'second'").fetchall()))
        first.send(w.query("SELECT 'first'"))
        wait_until(lambda: has_waited(router, 0), 10)
        thread.start()
        wait_until(lambda: notices, 10)
        close(holders)
        thread.join(30)
        assert rows == [("second",)]
        assert w.rows(first.until_ready()) == [("first",)]
    assert notices == [(
        "NOTICE", "no server connection available, waiting for one",
        "Position 2 of 2 in the queue: all connections that PostgreSQL may have from this"
        " router are in use (connection_budget). Clients hold 0 servers of this database and"
        " user; the workload uses 0 of its 2 server connections, other workloads 4 of 4 in"
        " all.")]


def test_the_hint_tells_what_was_waited_for(make_router):
    router = make_router(lending(grace="0", query_wait_timeout="2s"))
    holders = all_borrowed(router, "transaction")
    with router.session.connect() as comer:
        with pytest.raises(psycopg.errors.QueryCanceled) as caught:
            comer.execute("SELECT 1")
        assert caught.value.diag.message_hint == (
            "It waited for this: all connections that PostgreSQL may have from this router are"
            " in use (connection_budget). The workload uses 0 of its 2 server connections.")
        close(holders)
        assert comer.execute("SELECT 1").fetchone() == (1,)


# ---------------------------------------------- PostgreSQL has no connection left

class Crowd:
    """Other people's connections: all that PostgreSQL has for ordinary users."""

    def __init__(self, postgres):
        self.connections, self.refusal = [], None
        while self.refusal is None:
            try:
                self.connections.append(postgres.connect(user="app_trust"))
            except psycopg.OperationalError as error:
                self.refusal = str(error).split("FATAL:  ")[-1].strip()

    def leave(self, count=None):
        for connection in self.connections[:count]:
            connection.close()
        del self.connections[:count]


@pytest.fixture
def crowd(postgres):
    crowds = []

    def make():
        crowds.append(Crowd(postgres))
        return crowds[-1]
    yield make
    for one in crowds:
        one.leave()


@pytest.mark.parametrize("workload", ["transactional", "session"])
def test_clients_wait_while_postgresql_is_full(make_router, postgres, crowd, workload):
    """... and are served as soon as others leave; those at their login, too.  The log
    says once in a while that the budget cannot be had."""
    router = make_router(lending(query_wait_timeout="60s"))
    endpoint = getattr(router, workload)
    with endpoint.wire() as one, endpoint.wire() as two:
        others = crowd()
        for wire in (one, two):
            wire.send(w.query("BEGIN"), w.query("SELECT 'served'"))
        rows = []
        at_login = threading.Thread(target=lambda: rows.append(
            endpoint.connect(user="other").execute("SELECT 'let in'").fetchone()))
        at_login.start()
        wait_until(lambda: has_waited(router), 20, "they wait")
        wait_until(lambda: " budget-denied " in router.log(), 30, "the log tells")
        assert [line for line in router.log().splitlines()
                if " client-close " in line and ' database="app" ' in line] == []
        others.leave(10)
        for wire in (one, two):
            wire.until_ready()
            assert w.rows(wire.until_ready()) == [("served",)]
            wire.quit()
        at_login.join(60)
        assert rows == [("let in",)]


def test_the_hint_has_the_words_of_postgresql(make_router, crowd):
    router = make_router(lending(query_wait_timeout="1500ms"))
    with router.transactional.connect() as client:
        others = crowd()
        # The server that its login was made with is in use, or has gone.
        with pytest.raises(psycopg.errors.QueryCanceled) as caught, \
                router.transactional.wire() as first:
            first.query("BEGIN")
            client.execute("SELECT 1")
        hint = caught.value.diag.message_hint
        assert f"The last attempt to connect failed: {others.refusal}" in hint
        assert hint.startswith("It waited for this: ")
        others.leave()
        assert client.execute("SELECT 'again'").fetchone() == ("again",)


def test_a_limit_of_a_role_is_not_of_the_host(make_router, postgres):
    """53300 as well, but it concerns one user: the others get their servers."""
    postgres.sql("ALTER ROLE app_md5 CONNECTION LIMIT 1")
    try:
        router = make_router(lending(query_wait_timeout="1s"))
        with router.transactional.wire(user="app_md5") as one, \
                router.transactional.wire(user="app_md5") as two:
            one.query("BEGIN")
            two.send(w.query("SELECT 1"))
            wait_until(lambda: "too many connections for role" in router.log(), 20)
            with router.transactional.wire() as other:
                assert other.value("SELECT 'mine'") == "mine"
            assert w.errors(two.until_ready()) == ["57014"]
            one.query("COMMIT")
        assert " budget-denied " not in router.log()
    finally:
        postgres.sql("ALTER ROLE app_md5 CONNECTION LIMIT -1")

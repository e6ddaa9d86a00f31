# SPDX-License-Identifier: ISC
"""RESTART: processes that follow each other share each budget, and never have more of it."""
import contextlib
import select
import threading

import pytest
from support import wire as w
from support.net import free_port
from support.restarted import APP, Watch
from support.wait import wait_until
from support.web import Web
from test_commands import Console

pytestmark = pytest.mark.router_only


class Crowd:
    """Clients that want a transaction each and keep it; not all of them get one."""

    def __init__(self, port, database="app"):
        self.port, self.database = port, database
        self.held, self.failed, self.threads = [], [], []

    def come(self, count):
        for _ in range(count):
            self.threads.append(threading.Thread(target=self.one))
            self.threads[-1].start()

    def one(self):
        wire = self.port.raw()
        try:
            wire.login("app_scram", self.port.dsn("app_scram")["password"], self.database)
            gets = not w.errors(wire.query("BEGIN"))
        except (RuntimeError, OSError, EOFError):
            gets = False
        (self.held if gets else self.failed).append(wire)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for thread in self.threads:
            thread.join(60)
        for wire in self.held + self.failed:
            wire.close()


@pytest.mark.parametrize("budget", [1, 4])
def test_restarts_of_restarts_keep_within_the_budget(restarted, postgres, budget):
    """Whoever has nothing to give gives nothing, to those who wait there neither."""
    router = restarted({
        "hosts": {"main": {"connection_budget": budget}},
        "workloads": {
            "session": {"guaranteed_connections": 0, "max_connections": budget},
            "transactional": {"guaranteed_connections": 0, "query_wait_timeout": "8s"}}})
    with Watch(postgres) as watch, Crowd(router.transactional) as crowd:
        for each in range(4):
            crowd.come(budget + 1)
            waiting = budget + 1 if each else 1
            wait_until(lambda n=waiting: len(router.show("waiting")) == n, 10, "the rest waits")
            router.restart()
        assert len(crowd.held) == budget
        with postgres.connect() as clock:
            since = clock.execute("SELECT clock_timestamp()").fetchone()[0]
            wait_until(lambda: clock.execute("SELECT clock_timestamp() - %s > '1 s'",
                                             [since]).fetchone()[0], 10, "several looks at it")
    assert watch.most == budget
    router.old_ones_end()


def test_what_the_old_process_has_is_nobody_elses(restarted, postgres):
    """The budget is all but two of what PostgreSQL has, and the old process holds six of it."""
    most = int(postgres.sql("SHOW max_connections")[0][0]) - \
        int(postgres.sql("SHOW superuser_reserved_connections")[0][0])
    router = restarted({"hosts": {"main": {
        "connection_budget": most - 2, "user": "app_scram", "password": "scram secret",
        "budget_check_interval": "100ms"}}})
    with contextlib.ExitStack() as stack:
        for _ in range(6):
            stack.enter_context(router.session.wire()).query("BEGIN")
        router.restart()
        wait_until(lambda: router.show("hosts")[0]["server_max_connections"] == most + 3, 10,
                   "PostgreSQL is asked")
        with postgres.connect() as clock:
            since = clock.execute("SELECT clock_timestamp()").fetchone()[0]
            wait_until(lambda: clock.execute("SELECT clock_timestamp() - %s > '1 s'",
                                             [since]).fetchone()[0], 10, "several looks at it")
        assert router.show("hosts")[0]["other_connections"] < 4
    assert "budget-crowded" not in router.log()
    router.old_ones_end()


def test_the_units_of_as_many_hosts_as_there_may_be_are_told(restarted, postgres):
    """The last of them is not cut off, and what is in use there counts."""
    names = [f"h{i:03d}" + "x" * 59 for i in range(250)]
    host = {"host": "127.0.0.1", "port": postgres.port, "connection_budget": 4}
    router = restarted({"hosts": {"main": None, **{name: host for name in names}},
                        "databases": {"*": None, "app": {"host": names[-1]}},
                        "workloads": {"transactional": {"query_wait_timeout": "1s"}}})
    with Watch(postgres) as watch, Crowd(router.transactional) as crowd:
        for _ in range(3):
            crowd.come(4)
            wait_until(lambda: len(crowd.held) + len(crowd.failed) == len(crowd.threads), 20,
                       "all know")
            router.restart()
        assert len(crowd.held) == 4
    assert watch.most == 4
    router.old_ones_end()


def test_many_that_drain_keep_what_their_clients_need(restarted, postgres):
    """One for each client, and no part of what is left each time."""
    router = restarted({"hosts": {"main": {"connection_budget": 12}},
                        "workloads": {"session": {"guaranteed_connections": 6}}})
    with Watch(postgres) as watch, contextlib.ExitStack() as stack:
        sessions = []
        for _ in range(6):
            sessions.append(stack.enter_context(router.session.wire()))
            sessions[-1].query("BEGIN")
            router.restart()
        with Crowd(router.transactional) as crowd:
            crowd.come(6)
            wait_until(lambda: len(crowd.held) == 6, 10, "the rest is the newest's")
            wait_until(lambda: watch.most >= 12, 10, "PostgreSQL counts them")
        for wire in sessions:
            assert wire.query("COMMIT")[-1].body == b"I"
    assert watch.most == 12
    router.old_ones_end()


def test_sessions_that_wait_leave_the_new_process_its_part(restarted, postgres):
    """Only those that have a server need one, and the others never more than half."""
    router = restarted({
        "hosts": {"main": {"connection_budget": 10}},
        "workloads": {"session": {"guaranteed_connections": 2, "max_connections": 2},
                      "transactional": {"guaranteed_connections": 8}}})
    with contextlib.ExitStack() as stack, Watch(postgres) as watch, \
            Crowd(router.transactional) as crowd:
        for _ in range(12):
            stack.enter_context(router.session.wire())
        router.restart()
        crowd.come(5)
        wait_until(lambda: len(crowd.held) == 5, 10, "half is the new process's")
        assert postgres.count(f"{APP} AND state = 'idle in transaction'") == 5
    assert watch.most <= 10
    router.old_ones_end()


@pytest.mark.parametrize("later", [0, 1])
def test_who_is_replaced_before_it_has_anything_gets_its_part(restarted, postgres, later):
    """The first has all of the budget yet; those who wait in the one behind it are served when
    that has come back, whichever process it goes to."""
    router = restarted({
        "hosts": {"main": {"connection_budget": 8}},
        "workloads": {
            "session": {"guaranteed_connections": 0, "max_connections": 8},
            "transactional": {"guaranteed_connections": 0, "query_wait_timeout": "100s"}}})
    with Watch(postgres) as watch, Crowd(router.transactional) as first, \
            Crowd(router.transactional) as second, Crowd(router.transactional) as last:
        first.come(8)
        wait_until(lambda: len(first.held) == 8, 10, "all is in use")
        router.restart()
        second.come(3)
        wait_until(lambda: len(router.show("waiting")) == 3, 10, "they wait")
        for _ in range(1 + later):
            router.restart()
        last.come(2)
        wait_until(lambda: len(router.show("waiting")) == 2, 10, "they wait")
        for wire in first.held:
            assert wire.query("COMMIT")[-1].body == b"I"
        wait_until(lambda: second.held and last.held, 30, "both have something")
        for crowd, count in ((second, 3), (last, 2)):
            for n in range(count):
                wait_until(lambda n=n, crowd=crowd: len(crowd.held) > n, 30, "one gets on")
                assert crowd.held[n].query("COMMIT")[-1].body == b"I"
        # Who comes back is served, too.
        for wire in first.held + second.held + last.held:
            assert wire.value("SELECT 1") == "1"
        assert not first.failed + second.failed + last.failed
    assert watch.most <= 8
    router.old_ones_end()


@pytest.mark.parametrize("sessions", [1, 3])
def test_sessions_leave_turns_for_transactions(restarted, postgres, sessions):
    """What does not come back is not all that the old process has, however few of its clients
    are left; nor do sessions take that, which come later."""
    router = restarted({
        "hosts": {"main": {"connection_budget": 6}},
        "workloads": {
            "session": {"guaranteed_connections": 3, "max_connections": 6,
                        "query_wait_timeout": "500s"},
            "transactional": {"guaranteed_connections": 2}}})
    with Watch(postgres) as watch, contextlib.ExitStack() as stack, \
            Crowd(router.transactional) as crowd:
        wires = [stack.enter_context(router.transactional.wire()) for _ in range(30)]
        early = [stack.enter_context(router.session.wire()) for _ in range(sessions)]
        late = [stack.enter_context(router.session.wire()) for _ in range(4)]
        for wire in early + wires:
            assert wire.value("SELECT 1") == "1"
        router.restart()
        for wire in wires[3:]:
            wire.quit()
        wait_until(lambda: router.log().count("client-close") >= 27, 10, "most have left")
        for wire in late:
            wire.send(w.query("SELECT 1"))
        # Who has a server gets on, who has none takes turns, and the new process has something.
        for _ in range(3):
            for wire in wires[:3] + early:
                assert wire.value("SELECT 1") == "1"
        crowd.come(1)
        wait_until(lambda: crowd.held, 10, "the new one serves")
    assert watch.most <= 6
    router.old_ones_end()


def test_who_pins_a_server_does_so_after_a_restart(restarted, postgres):
    """In the old process, too, up to one that the others take turns with."""
    router = restarted({
        "hosts": {"main": {"connection_budget": 12}},
        "workloads": {"session": {"guaranteed_connections": 1},
                      "transactional": {"guaranteed_connections": 11}}})
    with Watch(postgres) as watch, contextlib.ExitStack() as stack:
        wires = [stack.enter_context(router.transactional.wire()) for _ in range(8)]
        assert wires[0].query("CREATE TEMP TABLE mine (a int)")[-1].body == b"I"
        router.restart()
        assert wires[0].query("INSERT INTO mine VALUES (1)")[-1].body == b"I"
        assert not w.errors(wires[1].query("LISTEN something"))
        assert not w.errors(wires[2].query("CREATE TEMP TABLE mine (a int)"))
        for wire in wires:
            assert wire.value("SELECT 1") == "1"
        # The last ones are refused, and nobody waits for ever.
        for wire in wires[3:]:
            wire.query("CREATE TEMP TABLE mine (a int)")
        for wire in wires:
            assert wire.value("SELECT 1") == "1"
        assert wires[2].value("SELECT count(*) FROM mine") == "0"
        assert watch.most <= 12
    router.old_ones_end()
    with Watch(postgres) as watch, router.transactional.wire() as alone:
        alone.query("SELECT 1")
        router.restart()
        assert not w.errors(alone.query("LISTEN something"))
        assert alone.value("SELECT 1") == "1"
    assert watch.most <= 12
    router.old_ones_end()


@pytest.mark.parametrize("how", ["reload", "restart"])
def test_a_budget_that_shrinks_does_so_in_all_processes(restarted, postgres, how):
    """What was the old one's half of it may be more than all of it now."""
    router = restarted({
        "hosts": {"main": {"connection_budget": 8}},
        "workloads": {"session": {"guaranteed_connections": 1, "max_connections": 1},
                      "transactional": {"guaranteed_connections": 2}}})
    with contextlib.ExitStack() as stack, Crowd(router.transactional) as crowd:
        wires = [stack.enter_context(router.transactional.wire()) for _ in range(8)]
        if how == "reload":
            router.restart()
        for wire in wires:
            wire.query("SELECT 1")
        router.config["hosts"]["main"]["connection_budget"] = 3
        router.write_config()
        if how == "reload":
            router.reload()
        else:
            router.restart()
        crowd.come(1)
        wait_until(lambda: crowd.held, 20, "the new one has something")
        for wire in wires:
            assert wire.value("SELECT 1") == "1"
        wait_until(lambda: postgres.count(APP) <= 3, 10, "the rest is closed")
        with Watch(postgres) as watch:
            for wire in wires:
                wire.send(w.query("SELECT pg_sleep(0.05)"))
            for wire in wires:
                wire.until_ready()
        assert watch.most <= 3
    router.old_ones_end()


OWN = {"user": "app_scram", "password": "scram secret"}


@pytest.mark.parametrize("restarts", [1, 3])
def test_a_budget_that_postgresql_tells_is_known_to_who_cannot_ask(restarted, postgres, restarts):
    """The old process has more connections than the workloads of the new one are guaranteed."""
    router = restarted({
        "hosts": {"main": {"connection_budget": "auto", **OWN}},
        "workloads": {"session": {"guaranteed_connections": 1, "max_connections": 20},
                      "transactional": {"guaranteed_connections": 1}}})
    wait_until(lambda: router.show("hosts")[0]["budget_source"] == "auto", 10, "it has told")
    before = router.show("hosts")[0]
    with contextlib.ExitStack() as stack, Crowd(router.transactional) as crowd:
        for _ in range(12):
            assert not w.errors(stack.enter_context(router.session.wire()).query("BEGIN"))
        for each in range(restarts):
            router.restart()
            crowd.come(1)
            wait_until(lambda n=each: len(crowd.held) > n or crowd.failed, 10, "one is served")
            assert not crowd.failed
            now = router.show("hosts")[0]
            for name in ("budget_source", "server_max_connections", "server_reserved"):
                assert now[name] == before[name]
    router.old_ones_end()


@pytest.mark.parametrize("more", [{}, OWN])
def test_the_routers_own_connection_leaves_the_last_unit(restarted, postgres, more):
    """To a session that the old process has let in, and that has no server yet."""
    router = restarted({
        "hosts": {"main": {"connection_budget": 10, **more}},
        **({"auth": {"auth_query": "default"}} if more else {}),
        "workloads": {"session": {"guaranteed_connections": 2, "server_idle_timeout": "1s"},
                      "transactional": {"guaranteed_connections": 2}}})
    router.session.wire().quit()
    with router.session.wire() as wire:
        router.restart()
        wait_until(lambda: router.show("hosts")[0]["connection_budget"] == 9, 10, "the old one has one unit")
        wait_until(lambda: postgres.count(f"{APP} AND datname = 'app'") == 0, 10, "and no server")
        assert wire.value("SELECT 1") == "1"
    router.old_ones_end()


def test_what_is_lacking_of_several_hosts_is_given(restarted, postgres):
    """One after the other, and none of it is forgotten."""
    host = {"host": "127.0.0.1", "port": postgres.port, "connection_budget": 8}
    router = restarted({
        "hosts": {"main": None, "one": host, "two": host},
        "databases": {"*": None, "app": {"host": "one"}, "app2": {"host": "two", "dbname": "app"}},
        "workloads": {
            "session": {"guaranteed_connections": 0, "max_connections": 8},
            "transactional": {"guaranteed_connections": 0, "query_wait_timeout": "100s"}}})
    with contextlib.ExitStack() as stack:
        first, second = ([stack.enter_context(Crowd(router.transactional, name))
                          for name in ("app", "app2")] for _ in range(2))
        for crowd in first:
            crowd.come(8)
        wait_until(lambda: all(len(crowd.held) == 8 for crowd in first), 10, "all is in use")
        router.restart()
        for crowd in second:
            crowd.come(1)
        wait_until(lambda: len(router.show("waiting")) == 2, 10, "they wait")
        router.restart()
        for wire in first[0].held + first[1].held:
            assert wire.query("COMMIT")[-1].body == b"I"
        wait_until(lambda: all(crowd.held for crowd in second), 30, "both are served")
    router.old_ones_end()


def test_what_was_set_aside_goes_when_the_budget_shrinks(restarted, postgres):
    """The newest process has not given it yet, and what others have is more than there is."""
    router = restarted({
        "hosts": {"main": {"connection_budget": 16}},
        "workloads": {
            "session": {"guaranteed_connections": 0, "max_connections": 16},
            "transactional": {"guaranteed_connections": 0, "query_wait_timeout": "100s"}}})
    with contextlib.ExitStack() as stack, Crowd(router.transactional) as first, \
            Crowd(router.transactional) as last:
        first.come(12)
        wait_until(lambda: len(first.held) == 12, 10, "they are served")
        router.restart()
        second = [stack.enter_context(router.transactional.wire()) for _ in range(6)]
        router.restart()
        for wire in first.held[8:]:
            assert wire.query("COMMIT")[-1].body == b"I"
        last.come(7)
        wait_until(lambda: len(last.held) == 7, 10, "what the first has not is the last one's")
        for wire in second:
            wire.send(w.query("BEGIN"))
        wait_until(lambda: postgres.count(f"{APP} AND state = 'idle in transaction'") == 16, 10,
                   "nothing is left")
        wait_until(lambda: router.show("hosts")[0]["connection_budget"] < 7, 10, "some is set aside")
        router.config["hosts"]["main"]["connection_budget"] = 8
        router.write_config()
        router.reload()
        for wire in last.held:
            assert wire.query("COMMIT")[-1].body == b"I"
        wait_until(lambda: postgres.count(APP) == 9, 10, "the last has nothing")
        with Watch(postgres) as watch, postgres.connect() as clock:
            since = clock.execute("SELECT clock_timestamp()").fetchone()[0]
            wait_until(lambda: clock.execute("SELECT clock_timestamp() - %s > '1 s'",
                                             [since]).fetchone()[0], 10, "several looks at it")
        assert watch.most == 9
        for wire in first.held[:8]:
            assert wire.query("COMMIT")[-1].body == b"I"
        # Whose turn is first goes by which worker reads first.
        while second:
            served, _, _ = select.select([wire.socket for wire in second], [], [], 30)
            assert served
            for wire in [wire for wire in second if wire.socket in served]:
                assert not w.errors(wire.until_ready())
                assert wire.query("COMMIT")[-1].body == b"I"
                second.remove(wire)
    router.old_ones_end()


@pytest.mark.parametrize("shrunk", [5, 2])
def test_a_surplus_is_no_part_of_what_the_old_process_keeps(restarted, postgres, shrunk):
    """A reload has made the budget smaller, and nobody has given anything back yet."""
    router = restarted({
        "hosts": {"main": {"connection_budget": 20}},
        "workloads": {"session": {"guaranteed_connections": 1, "max_connections": 1},
                      "transactional": {"guaranteed_connections": 1}}})
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(router.transactional.wire()) for _ in range(12)]
        for wire in wires:
            assert not w.errors(wire.query("BEGIN"))
        router.config["hosts"]["main"]["connection_budget"] = shrunk
        router.write_config()
        router.reload()
        router.restart()
        for wire in wires:
            assert wire.query("COMMIT")[-1].body == b"I"
        with router.transactional.wire() as new:
            assert new.value("SELECT 1") == "1"
        for wire in wires:
            assert wire.value("SELECT 1") == "1"
        wait_until(lambda: postgres.count(APP) <= shrunk, 10, "the surplus is closed")
    router.old_ones_end()


@pytest.mark.parametrize("looked_up", [False, True])
def test_who_is_at_the_door_is_served(restarted, looked_up):
    """Accepted by the old process, and logged in when sessions have what was kept for them."""
    router = restarted({
        "hosts": {"main": {"connection_budget": 6, **(
            {"user": "postgres", "password": ""} if looked_up else {})}},
        **({"auth": {"auth_query": "default"}} if looked_up else {}),
        "workloads": {
            "session": {"guaranteed_connections": 3, "max_connections": 6},
            "transactional": {"guaranteed_connections": 1}}})
    user, password = "app_scram", router.session.dsn("app_scram")["password"]
    if looked_up:
        known = (router.directory / "userlist.txt").read_text().splitlines()
        (router.directory / "userlist.txt").write_text(
            "".join(f"{line}\n" for line in known if user not in line))
        router.reload()
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            wire = stack.enter_context(router.session.wire("app_plain"))
            assert not w.errors(wire.query("BEGIN"))
        late = stack.enter_context(router.transactional.raw())
        wait_until(lambda: {"list": "login_clients", "items": 1} in router.show("lists"), 10,
                   "it has come")
        router.restart()
        late.login(user, password, "app")
        assert late.value("SELECT 1") == "1"
    router.old_ones_end()


@pytest.mark.parametrize("small", ["before", "after"])
def test_a_budget_that_grows_again_does_so_in_all_processes(restarted, postgres, small):
    """It was a slip, before the restart or behind it."""
    router = restarted({
        "hosts": {"main": {"connection_budget": 20}},
        "workloads": {"session": {"guaranteed_connections": 1, "max_connections": 1},
                      "transactional": {"guaranteed_connections": 1}}})
    with contextlib.ExitStack() as stack, Watch(postgres) as watch:
        wires = [stack.enter_context(router.transactional.wire()) for _ in range(16)]
        for wire in wires:
            assert wire.value("SELECT 1") == "1"

        def at_once():
            """All of them want something, and so many of them work."""
            for wire in wires:
                wire.send(w.query("SELECT count(*), pg_sleep(0.3) FROM pg_stat_activity "
                                  f"WHERE {APP} AND state = 'active'"))
            return max(int(w.rows(wire.until_ready())[0][0]) for wire in wires)

        def reload(budget):
            router.config["hosts"]["main"]["connection_budget"] = budget
            router.write_config()
            router.reload()
        if small == "after":
            router.restart()
            assert at_once() > 4
        reload(2)
        wait_until(lambda: postgres.count(APP) <= 2, 20, "the rest is closed")
        if small == "before":
            router.restart()
        wait_until(lambda: at_once() == 1, 20, "one is left")
        reload(20)
        wait_until(lambda: at_once() > 4, 20, "it has its part again")
    assert watch.most <= 20
    router.old_ones_end()


def two_hosts(postgres, **transactional):
    host = {"host": "127.0.0.1", "port": postgres.port, "connection_budget": 8}
    return {"hosts": {"main": None, "one": host, "two": host},
            "databases": {"*": None, "app": {"host": "one"},
                          "app2": {"host": "two", "dbname": "app"}},
            "workloads": {
                "session": {"guaranteed_connections": 0, "max_connections": 8},
                "transactional": {"guaranteed_connections": 0, **transactional}}}


def test_what_a_host_has_does_not_wait_for_another(restarted, postgres):
    """The newest process has nothing of one to give, and all of two."""
    router = restarted(two_hosts(postgres, query_wait_timeout="100s"))
    with contextlib.ExitStack() as stack:
        first = [stack.enter_context(Crowd(router.transactional, name)) for name in ("app", "app2")]
        for crowd in first:
            crowd.come(7)
        wait_until(lambda: all(len(crowd.held) == 7 for crowd in first), 10, "all is in use")
        router.restart()
        second = {name: [stack.enter_context(router.transactional.wire(dbname=name))
                         for _ in range(2)] for name in ("app", "app2")}
        router.restart()
        for wires in second.values():
            assert not w.errors(wires[0].query("BEGIN"))
        last = stack.enter_context(Crowd(router.transactional, "app"))
        last.come(7)
        for crowd in first:
            for wire in crowd.held:
                assert wire.query("COMMIT")[-1].body == b"I"
                wire.quit()
        wait_until(lambda: len(last.held) == 7, 10, "the newest has all of one")
        second["app"][1].send(w.query("SELECT 'one'"))
        wait_until(lambda: router.show("hosts")[0]["connection_budget"] < 7, 10, "it has asked")
        assert second["app2"][1].value("SELECT 'two'") == "two"
        for wire in last.held:
            assert wire.query("COMMIT")[-1].body == b"I"
        assert w.rows(second["app"][1].until_ready()) == [("one",)]
    router.old_ones_end()


def test_of_a_host_that_is_dropped_no_more_is_given_than_there_is(restarted, postgres):
    """Its servers are in use in all three processes when the file drops it."""
    router = restarted(two_hosts(postgres, query_wait_timeout="100s"))
    with contextlib.ExitStack() as stack, Crowd(router.transactional) as first, \
            Crowd(router.transactional) as last:
        first.come(7)
        wait_until(lambda: len(first.held) == 7, 10, "they are served")
        router.restart()
        second = [stack.enter_context(router.transactional.wire()) for _ in range(3)]
        router.restart()
        assert not w.errors(second[0].query("BEGIN"))
        for wire in first.held[4:]:
            assert wire.query("COMMIT")[-1].body == b"I"
            wire.quit()
        last.come(3)
        wait_until(lambda: len(last.held) == 3, 10, "the newest has the rest")
        router.config["databases"]["app"]["host"] = "two"
        del router.config["hosts"]["one"]
        router.write_config()
        router.reload()
        with Watch(postgres) as watch, postgres.connect() as clock:
            for wire in second[1:]:
                wire.send(w.query("BEGIN"))
            since = clock.execute("SELECT clock_timestamp()").fetchone()[0]
            wait_until(lambda: clock.execute("SELECT clock_timestamp() - %s > '2 s'",
                                             [since]).fetchone()[0], 10, "several looks at it")
            assert watch.most == 8
            for wire in last.held:
                assert wire.query("COMMIT")[-1].body == b"I"
            for wire in second[:2]:
                assert wire is second[0] or not w.errors(wire.until_ready())
                assert wire.query("COMMIT")[-1].body == b"I"
            assert watch.most == 8
    router.old_ones_end()


def test_views_name_the_processes_before(restarted):
    """Who waits in the new one waits for what they have."""
    port = free_port()
    router = restarted({
        "hosts": {"main": {"connection_budget": 6}}, "http": {"listen": [f"127.0.0.1:{port}"]},
        "workloads": {"session": {"guaranteed_connections": 1},
                      "transactional": {"guaranteed_connections": 5, "query_wait_timeout": "3s"}}})
    with contextlib.ExitStack() as stack:
        for _ in range(6):
            wire = stack.enter_context(router.transactional.wire())
            assert not w.errors(wire.query("BEGIN"))
        assert router.show("hosts")[0]["processes_before"] == 0
        router.restart()
        stack.enter_context(Crowd(router.transactional)).come(1)
        wait_until(lambda: router.show("waiting"), 10, "one waits")
        row = router.show("waiting")[0]
        assert (row["reason"], row["connection_budget"]) == ("processes_before", 0), row
        assert "that still drain" in row["text"]
        row = router.show("hosts")[0]
        assert (row["processes_before"], row["connection_budget"]) == (6, 0), row
        metrics = Web(port).get("/metrics").text
        assert 'pgtandem_host_processes_before{host="main"} 6' in metrics, metrics
        wait_until(lambda: "reason=processes_before" in router.log(), 10, "the log tells, too")
    router.old_ones_end()


def test_consoles_that_stay_do_not_keep_the_old_process(restarted):
    """As an exporter's, that has one connection for ever; but whoever works there does."""
    router = restarted()
    with router.transactional.wire() as wire, Console(router) as exporter:
        assert wire.value("SELECT 1") == "1" and exporter.run("SHOW VERSION") == ["SHOW"]
        router.restart()
        assert wire.value("SELECT 1") == "1"
        assert exporter.run("SHOW VERSION") == ["SHOW"]
        wire.quit()
        assert [m.sqlstate for m in exporter.wire.until_closed() if m.type == "E"] == ["57P01"]
        assert router.before[0].wait(30) == 0
    router.old_ones_end()


def test_limits_of_another_place_are_not_believed(restarted):
    """What PostgreSQL has told the old process says nothing of one that the new file names."""
    router = restarted({
        "hosts": {"main": {"connection_budget": "auto", **OWN, "budget_check_interval": "10min"}},
        "workloads": {"session": {"guaranteed_connections": 1, "max_connections": 20},
                      "transactional": {"guaranteed_connections": 1}}})
    wait_until(lambda: router.show("hosts")[0]["budget_source"] == "auto", 10, "it has told")
    router.expect_error("budget|server-|connect")
    with router.transactional.wire() as wire:
        assert wire.value("SELECT 1") == "1"
        router.config["hosts"]["main"]["port"] = 1
        router.write_config()
        router.restart()
        row = router.show("hosts")[0]
        assert (row["port"], row["server_max_connections"]) == (1, 0), row
        assert row["budget_source"] == "auto (not read yet)"
    router.old_ones_end()

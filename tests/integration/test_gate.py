# SPDX-License-Identifier: ISC
"""Limits before anybody has proven who they are."""
import contextlib
import threading
import time

import psycopg
import pytest
from support import wire as w
from support.postgres import DATABASE, USERS
from support.wait import wait_until

pytestmark = pytest.mark.router_only


def silent(router, count, stack, sent=b""):
    """Connections that say no more than that."""
    wires = [stack.enter_context(router.transactional.raw()) for _ in range(count)]
    for wire in wires:
        wire.send(sent)
    return wires


def login(router, **more):
    try:
        return router.transactional.connect(**more)
    except psycopg.OperationalError as problem:
        return str(problem)


def is_in(connection):
    return not isinstance(connection, str)


def enters(router, stack):
    connection = login(router)
    if is_in(connection):
        stack.enter_context(connection)
    return is_in(connection)


@pytest.mark.parametrize("sent", [b"", w.startup("app_scram", DATABASE)[:9]],
                         ids=["nothing", "half a packet"])
def test_the_silent_make_room(make_router, sent):
    """With all places of max_unauthenticated taken by who says nothing, somebody who logs
    in gets one: one of the silent goes, after a second."""
    router = make_router({"process": {"workers": 1, "max_unauthenticated": 4},
                          "defaults": {"client_login_timeout": "1h"}})
    with contextlib.ExitStack() as stack:
        wires = silent(router, 4, stack, sent)
        wait_until(lambda: enters(router, stack), 15, "somebody is let in")
        wait_until(lambda: "reason=crowded-out" in router.log(), 5, "who went")
        # The oldest went, and without a word, as it has not said a word.
        assert wires[0].until_closed() == []
        assert enters(router, stack) and enters(router, stack)


def test_who_answers_stays(make_router):
    """Nobody is crowded out in the middle of an exchange; who comes then is turned away
    with PostgreSQL's words, and those that are logged in notice nothing."""
    router = make_router({"process": {"workers": 1, "max_unauthenticated": 2},
                          "defaults": {"client_login_timeout": "1h"}})
    with contextlib.ExitStack() as stack:
        inside = stack.enter_context(router.transactional.connect())
        begun = silent(router, 2, stack, w.startup("app_scram", DATABASE))
        challenges = [wire.receive() for wire in begun]
        with router.transactional.raw() as late:
            got = late.until_closed()
            assert [(m.type, m.sqlstate, m.text) for m in got] == [
                ("E", "53300", "sorry, too many clients already")]
        for wire, challenge in zip(begun, challenges):
            wire.answer(challenge, "app_scram", USERS["app_scram"][0])
            wire.authenticate("app_scram", USERS["app_scram"][0])
            assert wire.value("SELECT 1") == "1"
        assert inside.execute("SELECT 1").fetchone() == (1,)
        assert enters(router, stack)


def test_places_of_those_who_are_logged_in(make_router):
    """max_client_conn is for those that have logged in: connections that have not, as many
    as there may be, leave all of it to them, and one more is told so after its proof."""
    router = make_router({"process": {"workers": 1, "max_client_conn": 3},
                          "defaults": {"client_login_timeout": "1h"}})
    with contextlib.ExitStack() as stack:
        silent(router, 103, stack)
        for _ in range(3):
            wait_until(lambda: enters(router, stack), 15, "somebody is let in")
        wrong = login(router, password="wrong")
        assert "password authentication failed" in wrong
        assert "sorry, too many clients already" in login(router)
        assert router.show("workloads")


def test_an_address_has_only_so_many(make_router):
    router = make_router({"process": {"max_client_conn_per_address": 3}})

    def from_there(number):
        return w.Wire("127.0.0.1", router.transactional.port, source=f"127.0.0.{number}")
    with contextlib.ExitStack() as stack:
        first = [stack.enter_context(from_there(2)) for _ in range(3)]
        first[0].login("app_scram", USERS["app_scram"][0], DATABASE)
        for wire in first[1:]:
            wire.send(w.startup("app_scram", DATABASE))
            assert wire.receive().type == "R"
        with from_there(2) as one_more:
            one_more.send(w.startup("app_scram", DATABASE))
            error, = one_more.until_closed()
            assert (error.sqlstate, error.text) == ("53300", "too many connections from this address")
        with from_there(3) as other:
            other.login("app_scram", USERS["app_scram"][0], DATABASE)
        first[1].close()

        def has_room():
            with from_there(2) as again:
                again.send(w.startup("app_scram", DATABASE))
                return again.receive().type == "R"
        wait_until(has_room, 10, "room for another")
        router.reload({"process": {"max_client_conn_per_address": 0}})
        with from_there(2) as more:
            more.login("app_scram", USERS["app_scram"][0], DATABASE)


def test_an_address_has_only_so_many_that_are_not_logged_in(make_router):
    router = make_router({"process": {"max_unauthenticated_per_address": 2}})
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            wait_until(lambda: enters(router, stack), 10, "a login")
        wires = silent(router, 2, stack, w.startup("app_scram", DATABASE))
        assert [wire.receive().type for wire in wires] == ["R", "R"]
        assert "too many connections from this address" in login(router)
        wires[0].close()
        wait_until(lambda: enters(router, stack), 10, "a login")


def from_address(router, number):
    return w.Wire("127.0.0.1", router.transactional.port, source=f"127.0.0.{number}")


def is_over(wire):
    """The other side has closed it; what it said is kept in the buffer."""
    wire.socket.settimeout(0.001)
    try:
        while chunk := wire.socket.recv(4096):
            wire.buffer += chunk
        return True
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True


class Flood:
    """From one address: as many connections as there may be, all the time, none of which
    ever grows old."""

    def __init__(self, router, number, count):
        self.router, self.number, self.count = router, number, count
        self.stop, self.opened, self.wires = threading.Event(), 0, []
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()

    def run(self):
        while not self.stop.wait(0.01):
            for wire in [wire for wire in self.wires
                         if time.monotonic() > wire.born + 0.3 or is_over(wire)]:
                wire.close()
                self.wires.remove(wire)
            while len(self.wires) < self.count:
                self.wires.append(from_address(self.router, self.number))
                self.wires[-1].born = time.monotonic()
                self.opened += 1
        for wire in self.wires:
            wire.close()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("count", [4, 12])
def test_one_address_keeps_nobody_else_out(make_router, count, workers):
    """All places are taken by one address, again and again, by connections that are too
    young to count as silent: each login from elsewhere gets in at its first attempt, also
    where all of the others are another thread's."""
    router = make_router({"process": {"workers": workers, "max_unauthenticated": 4},
                          "defaults": {"client_login_timeout": "1h"}})
    with contextlib.ExitStack() as stack:
        inside = from_address(router, 2)
        stack.enter_context(inside)
        inside.login("app_scram", USERS["app_scram"][0], DATABASE)
        flood = stack.enter_context(Flood(router, 2, count))
        wait_until(lambda: flood.opened >= count, 10, "the flood")
        for _ in range(20):
            with from_address(router, 3) as other:
                other.login("app_scram", USERS["app_scram"][0], DATABASE)
                assert other.value("SELECT 1") == "1"
        assert inside.value("SELECT 1") == "1"
        assert router.show("workloads")


def test_an_address_is_bounded_from_accept_on(make_router):
    """Beyond its limit an address has four connections more, for so long that they can be
    told why; all others are closed before they have said anything."""
    router = make_router({"process": {"workers": 1, "max_unauthenticated_per_address": 2},
                          "defaults": {"client_login_timeout": "1h"}})
    with contextlib.ExitStack() as stack:
        inside = stack.enter_context(from_address(router, 2))
        inside.login("app_scram", USERS["app_scram"][0], DATABASE)
        first = [stack.enter_context(from_address(router, 2)) for _ in range(2)]
        for wire in first:
            wire.send(w.startup("app_scram", DATABASE))
            assert wire.receive().type == "R"
        more = [stack.enter_context(from_address(router, 2)) for _ in range(30)]
        wait_until(lambda: sum(is_over(wire) for wire in more) == 26, 10, "they are closed")
        for wire in more:
            if is_over(wire):
                assert [m.sqlstate for m in wire.until_closed()] == ["53300"]
        kept = [wire for wire in more if not is_over(wire)]
        # A cancel request is heard.
        kept[0].send(w.cancel_request(inside.pid, inside.key))
        inside.socket.settimeout(30)
        assert inside.value("SELECT 1") == "1"
        kept[1].socket.settimeout(30)
        kept[1].send(w.startup("app_scram", DATABASE))
        assert [m.sqlstate for m in kept[1].until_closed()] == ["53300"]
        wait_until(lambda: all(is_over(wire) for wire in more), 10, "their time is over")
        assert not any(is_over(wire) for wire in first)
        with from_address(router, 3) as other:
            other.login("app_scram", USERS["app_scram"][0], DATABASE)


def test_the_silent_make_room_for_their_own_address(make_router):
    router = make_router({"process": {"workers": 1, "max_unauthenticated_per_address": 2,
                                      "max_client_conn_per_address": 4},
                          "defaults": {"client_login_timeout": "1h"}})
    with contextlib.ExitStack() as stack:
        wires = silent(router, 2, stack)
        wait_until(lambda: enters(router, stack), 10, "a login")
        assert wires[0].until_closed() == []

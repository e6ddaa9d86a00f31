# SPDX-License-Identifier: ISC
"""What one client sends costs the router in proportion to its bytes, and others have their
turn: no message of a few bytes has it read a long text again, or walk all that there is."""
import select
import time

import pytest
from support import wire as w
from test_prepared import limited, prepare, run

# Of the router's time, for the same bytes; what this is about would be seven times and more.
SLACK = 3

# What is quick is not told from the noise of its threads.
NOISE = 0.02

LONG = 900_000


@pytest.fixture
def router(make_router):
    # The worker that somebody keeps busy is everybody's.
    return make_router({"process": {"workers": 1},
                        **limited(3, max_client_statement_memory="64MB",
                                  max_prepared_statements=4000)})


def cpu_seconds(router):
    """By the clock of the process, which counts nanoseconds (clock_getcpuclockid(3))."""
    return time.clock_gettime((~router.process.pid << 3) | 2)


def check_growth(router, act, few):
    """act(number) returns the bytes that it has sent: ten times as many of a thing may cost
    no more than the bytes that they take."""
    act(1)
    took, sent = [], []
    for number in (few, 10 * few):
        begin = cpu_seconds(router)
        sent.append(act(number))
        took.append(cpu_seconds(router) - begin)
    growth = sent[1] / sent[0]
    print(f"bytes {sent}, seconds {took}")
    assert took[1] <= SLACK * growth * (took[0] + NOISE), (
        f"{growth:.1f} times the bytes cost {took[1] / took[0]:.1f} times as much")


def padded(begin, words):
    """A text that may be anything, by its words, and is nothing of it."""
    return f"{begin} /* {words} {'x' * LONG} */"


ANYTHING = "set temp execute create"


def send_all(wire, *messages):
    """In one go, as a client that pipelines does; the bytes and the answer."""
    data = b"".join(messages)
    wire.send(data, w.sync())
    return len(data), wire.until_ready()


@pytest.mark.parametrize("begin", ["SELECT 1", "UPDATE nothing SET x = 1 WHERE false",
                                   "SET LOCAL work_mem = '1MB';"],
                         ids=["select", "update", "local"])
@pytest.mark.parametrize("name", ["long", ""], ids=["named", "unnamed"])
def test_a_long_statement_is_bound_again_and_again(router, postgres, begin, name):
    """Its text is read once, and known from then on."""
    text = padded(begin.rstrip(";"), ANYTHING)
    with router.transactional.wire() as wire:
        wire.query("CREATE TABLE IF NOT EXISTS nothing (x int)")

        def act(number):
            if name:
                run(wire, w.close("S", name))
            sent, answer = send_all(wire, w.parse(text, name),
                                    *[w.bind(name=name) + w.execute()] * number)
            assert not w.errors(answer) and w.types(answer).count("2") == number
            return sent

        check_growth(router, act, 20)


def test_a_long_statement_is_used_under_other_settings(router):
    """It is another one then, that is looked for by its name."""
    with router.transactional.wire() as wire:
        prepare(wire, "long", padded("SELECT 'x'", ANYTHING))
        wire.query("SET TimeZone TO 'Asia/Tokyo'")

        def act(number):
            sent, answer = send_all(wire, *[w.bind(name="long")] * number)
            assert not w.errors(answer)
            # As if it had been sent with them.
            return LONG + sent

        check_growth(router, act, 40)


@pytest.mark.parametrize("begin", ["SELECT 1", "SELECT set_config('app.x', 'y', false)"],
                         ids=["nothing", "sets"])
def test_a_text_executes_a_long_statement_many_times(router, begin):
    with router.transactional.wire() as wire:
        prepare(wire, "long", padded(begin, ANYTHING))

        def act(number):
            text = "; EXECUTE long" * number
            assert not w.errors(wire.query(text))
            # The first reads all of it.
            return LONG + len(text)

        check_growth(router, act, 40)
        wire.query("SELECT 1")
        assert wire.value("SELECT current_setting('app.x', true)") == (
            None if begin == "SELECT 1" else "y")


def test_a_text_executes_too_much_to_be_read(router):
    """Where values decide what is set, each of them counts, up to 4 MB of text: behind that
    the client is told that something is not kept."""
    with router.transactional.wire() as wire, router.transactional.wire() as other:
        prepare(wire, "long", padded("SELECT set_config($1, $2, false)", ANYTHING), (25, 25))

        def act(number):
            text = "".join(f"; EXECUTE long('app.v{n}', 'mine')" for n in range(number))
            answer = wire.query(text)
            assert not w.errors(answer)
            warned = [m for m in answer if m.type == "N" and m.fields["S"] == "WARNING"]
            assert len(warned) == (number > 4)
            return LONG + len(text)

        check_growth(router, act, 20)
        values = [wire.value(f"SELECT current_setting('app.v{n}', true)") for n in range(4)]
        assert values == ["mine"] * 4
        # And nobody else has what was not kept.
        for _ in range(3):
            for n in range(200):
                value = other.value(f"SELECT current_setting('app.v{n}', true)")
                assert value in (None, "")


def test_executing_by_sql_with_long_statements_of_the_protocol(router):
    """Any of them may be what is executed: what they pin is found once."""
    with router.transactional.wire() as wire:
        for n in range(6):
            prepare(wire, f"long{n}", padded("SELECT 1", f"temp {n}"))
        prepare(wire, "short", "SELECT 1")

        def act(number):
            wire.send(*[w.query("EXECUTE short")] * number)
            for _ in range(number):
                assert w.rows(wire.until_ready()) == [("1",)]
            return LONG + 19 * number

        check_growth(router, act, 15)


def test_all_names_are_dropped_again_and_again(router):
    """What is in flight is done again when somebody looks, not at each tag."""
    with router.transactional.wire() as wire:
        def act(number):
            text = "DEALLOCATE ALL;" * number + "".join(
                f"PREPARE a{n} AS SELECT {n};" for n in range(2 * number))
            assert not w.errors(wire.query(text))
            for n in (0, 2 * number - 1):
                assert wire.value(f"EXECUTE a{n}") == str(n)
            return len(text)

        check_growth(router, act, 600)


def test_names_are_dropped_and_made_in_turn(router):
    with router.transactional.wire() as wire:
        def act(number):
            made = "".join(f"PREPARE a{n} AS SELECT {n};" for n in range(number))
            gone = "".join(f"DEALLOCATE a{n};" for n in range(number))
            turns = "".join(f"DEALLOCATE ALL; PREPARE b AS SELECT {n};" for n in range(number))
            text = made + gone + turns
            assert not w.errors(wire.query(text))
            assert wire.value("EXECUTE b") == str(number - 1)
            assert w.errors(wire.query("EXECUTE a0")) == ["26000"]
            wire.query("DEALLOCATE ALL")
            return len(text)

        check_growth(router, act, 1000)


def test_all_settings_are_reset_again_and_again(router):
    with router.transactional.wire(work_mem="5MB") as wire:
        def act(number):
            text = "".join(f"SET app.v{n} = 'x';" for n in range(number)) + (
                "RESET ALL;" * 100 * number)
            assert not w.errors(wire.query(text))
            return len(text)

        # A transaction may have 800.
        check_growth(router, act, 79)
        assert wire.value("SELECT current_setting('app.v7', true)") == ""
        assert wire.value("SHOW work_mem") == "5MB"


def test_a_text_has_many_types_and_calls(router):
    """What each of the calls sets hangs on types and values in front of them all."""
    with router.transactional.wire() as wire:
        def act(number):
            text = f"PREPARE many ({', '.join(['text'] * number)}) AS SELECT " + " OR ".join(
                f"set_config(${number}, 'x', false) = 'x'" for _ in range(number))
            # It takes more than PostgreSQL's stack.
            assert w.errors(wire.query(text)) in ([], ["54001"])
            wire.query("DEALLOCATE ALL")
            return len(text)

        check_growth(router, act, 1000)


def test_a_text_has_a_long_row_of_signs(router):
    """Each of which is an operator, wherever the row ends."""
    with router.transactional.wire() as wire:
        def act(number):
            text = f"/* set */ SELECT {'+-' * number} 1"
            # PostgreSQL has had enough at some depth.
            wire.query(text)
            return len(text)

        check_growth(router, act, 600)


def test_code_may_name_any_of_many_statements(router):
    """Whether they are there is looked at once, as long as nothing changes."""
    count = 8000
    with router.transactional.wire() as wire:
        text = "".join(f"PREPARE a{n} AS SELECT 1;" for n in range(count))
        assert not w.errors(wire.query(text))
        prepare(wire, "code", "DO 'BEGIN EXECUTE ''SELECT 1''; END'")

        def act(number):
            sent, answer = send_all(wire, *[w.bind(name="code") + w.execute()] * number)
            assert not w.errors(answer)
            return len(text) + sent

        check_growth(router, act, 50)


def test_domains_fail_ahead_of_answers(router):
    """An error takes back what is in flight, and does it again when somebody looks."""
    with router.transactional.wire() as wire:
        def act(number):
            # All of it is in flight before the first of it is answered.
            data = w.query("SELECT pg_sleep(0.3)") + b"".join(
                w.parse(f"SELEC {n}", f"bad{n}") + w.sync() +
                w.parse(f"SELECT {n} + {number}", f"good{n}") + w.sync() for n in range(number))
            wire.send(data)
            wire.until_ready()
            for _ in range(number):
                assert w.errors(wire.until_ready()) == ["42601"]
                assert not w.errors(wire.until_ready())
            wire.query("DEALLOCATE ALL")
            return len(data)

        check_growth(router, act, 95)


@pytest.mark.parametrize("call", ["set_config($1, $1, false)",
                                  "set_config('app.y', 'no', false)"],
                         ids=["values", "constants"])
def test_a_statement_of_very_many_calls_is_bound_again_and_again(router, call):
    """None of which PostgreSQL looks at."""
    text = f"SELECT 1 WHERE false AND '' IN ({', '.join([call] * (LONG // len(call)))})"
    with router.transactional.wire() as wire:
        values, types = (("app.x",), (25,)) if "$1" in call else ((), ())
        prepare(wire, "many", text, types)

        def act(number):
            sent, answer = send_all(wire, *[w.bind(values, "many") + w.execute()] * number)
            assert not w.errors(answer) and w.types(answer).count("2") == number
            return len(text) + sent

        check_growth(router, act, 10)


def test_a_session_that_may_lend_binds_again_and_again(make_router):
    router = make_router({"process": {"workers": 1},
                          "workloads": {"session": {"idle_session_reclaim": "60s"}}})
    call = "set_config('app.y', 'no', false)"
    text = f"SELECT 1 WHERE false AND '' IN ({', '.join([call] * (LONG // len(call)))})"
    with router.session.wire() as wire:
        run(wire, w.parse(text))

        def act(number):
            sent, answer = send_all(wire, *[w.bind() + w.execute()] * number)
            assert not w.errors(answer) and w.types(answer).count("2") == number
            return len(text) + sent

        check_growth(router, act, 10)


LONGEST = 16 * 1024


@pytest.mark.parametrize("by", ["protocol", "sql"])
@pytest.mark.parametrize("name", ["long", ""], ids=["named", "unnamed"])
@pytest.mark.parametrize("extra", [0, 1], ids=["just read", "too long"])
def test_what_a_statement_sets_that_is_too_long_to_be_read(router, extra, name, by):
    """The client is told, goes on with what it had, and nobody else has any of it."""
    begin = "SELECT set_config($1, $2, false) WHERE 1 IN (1"
    # SELECT set_config ( $1 , $2 , false ) WHERE 1 IN ( 1, and at the end )
    count = (LONGEST - 15) // 2
    text = f"{begin}{', 1' * count}{', 1' if extra else ''})"
    if by == "sql" and not name:
        pytest.skip("SQL has no unnamed statements")
    with router.transactional.wire(options="-c app.t=brought") as wire, \
            router.transactional.wire() as other:
        wire.query("SET app.x = 'before'")

        def sets(setting, value):
            if by == "sql":
                value = "NULL" if value is None else f"'{value}'"
                return wire.query(f"EXECUTE long('{setting}', {value})")
            return send_all(wire, w.parse(text, name, (25, 25)) if not name else b"",
                            w.bind((setting, value), name) + w.execute())[1]

        if name:
            prepare(wire, name, text, (25, 25))
        for setting, value, kept in (("app.x", "mine", "mine"), ("app.t", None, "brought")):
            had = wire.value(f"SELECT current_setting('{setting}')")
            answer = sets(setting, value)
            assert not w.errors(answer)
            warned = [m for m in answer if m.type == "N" and m.fields["S"] == "WARNING"]
            assert ["too long" in m.fields["M"] for m in warned] == [True] * extra
            for _ in range(3):
                assert other.value(f"SELECT current_setting('{setting}', true)") in (None, "")
            assert wire.value(f"SELECT current_setting('{setting}')") == (had if extra else kept)


def test_others_have_their_turn_while_long_texts_are_read(router):
    """What hangs on a parameter is read with each Bind, and not all of it at once."""
    with router.transactional.wire() as wire, router.transactional.wire() as other:
        other.query("SELECT 1")
        prepare(wire, "long", padded("SELECT set_config($1, $2, false)", ANYTHING), (25, 25))
        binds = [w.bind((f"app.v{n}", "mine"), "long") + w.execute() for n in range(150)]
        wire.send(*binds, w.sync())
        assert other.value("SELECT 2") == "2"
        # It is still at it.
        came = b""
        while select.select([wire.socket], [], [], 0)[0]:
            came += wire.socket.recv(1 << 16)
        assert b"Z\0\0\0\5" not in came
        wire.buffer += came
        assert not w.errors(wire.until_ready())
        assert wire.value("SELECT current_setting('app.v149', true)") == "mine"


# ------------------------------------------------------- what is known stays right

def test_a_name_that_was_given_again_and_dropped_is_gone(router):
    with router.transactional.wire() as wire:
        wire.query("PREPARE a AS SELECT 1")
        assert not w.errors(wire.query(
            "DEALLOCATE ALL; PREPARE a AS SELECT 2; DEALLOCATE a; PREPARE b AS SELECT 3"))
        assert w.errors(wire.query("EXECUTE a")) == ["26000"]
        assert wire.value("EXECUTE b") == "3"
        assert not w.errors(wire.query("DEALLOCATE ALL; PREPARE b AS SELECT 4"))
        assert wire.value("EXECUTE b") == "4"


def test_the_same_statement_sets_in_each_transaction(router):
    """That its text is known does not mean that it need not be looked at."""
    with router.transactional.wire() as wire, router.transactional.wire() as other:
        prepare(wire, "set", "SELECT set_config('app.x', $1, false)")
        for value in ("one", "two", "three"):
            assert not w.errors(run(wire, w.bind((value,), "set"), w.execute()))
            assert other.value("SELECT current_setting('app.x', true)") in (None, "")
            assert wire.value("SELECT current_setting('app.x')") == value
        for value in ("four", "five"):
            wire.query(f"EXECUTE set('{value}')")
            assert other.value("SELECT current_setting('app.x', true)") in (None, "")
            assert wire.value("SELECT current_setting('app.x')") == value


def test_a_statement_is_known_by_how_it_is_read(router):
    """The same text sets something under one standard_conforming_strings, and nothing under
    the other."""
    text = r"SELECT 'a\'' AS a, 'b', set_config('app.x', 'y', false) --'"
    with router.transactional.wire() as wire, router.transactional.wire() as other:
        prepare(wire, "plain", "SELECT 'offset'")
        for setting in ("off", "on", "off"):
            wire.query(f"SET standard_conforming_strings = {setting}")
            assert not w.errors(run(wire, w.bind(name="plain"), w.execute()))
        wire.query("SET standard_conforming_strings = off")
        prepare(wire, "sets", text)
        for _ in range(2):
            wire.query("RESET app.x")
            assert not w.errors(run(wire, w.bind(name="sets"), w.execute()))
            assert other.value("SELECT current_setting('app.x', true)") in (None, "")
            assert wire.value("SELECT current_setting('app.x')") == "y"

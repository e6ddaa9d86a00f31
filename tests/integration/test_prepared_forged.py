# SPDX-License-Identifier: ISC
"""Nobody runs another text than its own: what clients share on a server stands there by names
of the router's, which SQL can see, drop and make."""
import pytest
from support import wire as w
from support.postgres import DATABASE
from test_prepared import error, execute, limited, prepare, run, simple, statements

pytestmark = pytest.mark.router_only

# Replaces whatever is shared by something else of the same name.
FORGE = """
DECLARE n text;
BEGIN
    FOR n IN SELECT name FROM pg_prepared_statements
            WHERE NOT from_sql AND name LIKE 'pgtandem%' LOOP
        EXECUTE format('DEALLOCATE %I', n);
        EXECUTE format('PREPARE %I AS SELECT ''forged''', n);
    END LOOP;
"""
SETUP = f"""
CREATE OR REPLACE FUNCTION forge() RETURNS int LANGUAGE plpgsql AS $$ {FORGE} RETURN 1; END $$;
CREATE OR REPLACE FUNCTION forge_by_trigger() RETURNS trigger LANGUAGE plpgsql AS
    $$ {FORGE} RETURN NEW; END $$;
CREATE TABLE IF NOT EXISTS forges (x int);
CREATE OR REPLACE TRIGGER forges BEFORE INSERT ON forges
    FOR EACH ROW EXECUTE FUNCTION forge_by_trigger();
CREATE OR REPLACE VIEW forged AS SELECT forge() AS x;
GRANT ALL ON forges, forged TO PUBLIC;
"""
HOW = {
    "DO": f"DO $$ {FORGE} END $$",
    "function": "SELECT forge()",
    "view": "SELECT * FROM forged",
    "trigger": "INSERT INTO forges VALUES (1)",
}


def waits(client):
    while client.receive().type != "N":
        pass


@pytest.fixture
def audit(request):
    """What no text shows, only an audit looks for."""
    how = request.node.callspec.params.get("how") if hasattr(request.node, "callspec") else None
    return "always" if how in ("view", "trigger") else "off"


@pytest.fixture
def crowd(make_router, postgres, audit):
    """One server for all."""
    postgres.sql(SETUP, dbname=DATABASE)
    return make_router(limited(1, session_state="strict", query_wait_notify="1ms",
                               session_state_audit=audit))


@pytest.mark.parametrize("how", HOW)
def test_what_code_has_replaced(crowd, how):
    """The clean in front of the next client finds it."""
    with crowd.transactional.wire() as one, crowd.transactional.wire() as other:
        prepare(one, "s", "SELECT 'mine'")
        assert not w.errors(other.query(HOW[how]))
        # It is there, or this proves nothing.
        answer = other.query("SELECT count(*) > 0 FROM pg_prepared_statements "
                             "WHERE from_sql AND name LIKE 'pgtandem%'")
        assert w.rows(answer) == [("t",)]
        for _ in range(3):
            assert execute(one, "s") == [("mine",)]
            assert execute(one, "s") == [("mine",)]
            other.query("SELECT 'else'")
    assert "statement-forged" in crowd.log()


# Functions by the names of words that begin a clause elsewhere.
CLAUSES = {
    "ORDER BY": ("rollup", "SELECT 1 ORDER BY rollup(1)"),
    "PARTITION BY": ("cube", "SELECT sum(1) OVER (PARTITION BY cube(1))"),
    "NOT": ("materialized", "SELECT NOT materialized(1)::bool"),
    "OPERATOR": ("over", "SELECT 1 OPERATOR(pg_catalog.+) over(1)"),
    "ON": ("conflict", "SELECT 1 FROM (SELECT 1) a JOIN (SELECT 1) b ON conflict(1) = 2 "
           "UNION SELECT 1 AS do"),
}


@pytest.mark.parametrize("place", CLAUSES)
def test_what_functions_have_replaced_that_are_named_like_clauses(make_router, postgres, place):
    name, text = CLAUSES[place]
    postgres.sql(f"CREATE OR REPLACE FUNCTION {name}(int) RETURNS int LANGUAGE plpgsql AS "
                 f"$$ {FORGE} RETURN 1; END $$", dbname=DATABASE)
    router = make_router(limited(1, session_state="strict"))
    with router.transactional.wire() as one, router.transactional.wire() as other:
        prepare(one, "s", "SELECT 'mine'")
        other.query(text)
        assert execute(one, "s") == [("mine",)]
    postgres.sql(f"DROP FUNCTION {name}(int)", dbname=DATABASE)


@pytest.mark.parametrize("how", HOW)
def test_what_code_has_replaced_with_somebody_waiting(crowd, how):
    """The same where the clean rides behind the last message of a lease."""
    with crowd.transactional.wire() as one, crowd.transactional.wire() as other, \
            crowd.transactional.wire() as third:
        prepare(one, "s", "SELECT 'mine'")
        other.query("BEGIN")
        one.send(w.bind(name="s"), w.execute(), w.sync())
        waits(one)
        third.send(w.query("SELECT count(*) FROM pg_prepared_statements WHERE from_sql"))
        waits(third)
        assert not w.errors(other.query(HOW[how]))
        assert not w.errors(other.query("COMMIT"))
        assert w.rows(one.until_ready()) == [("mine",)]
        assert w.rows(third.until_ready()) == [("0",)]
    assert "statement-forged" in crowd.log()


def test_nothing_is_dropped_without_a_reason(crowd):
    """What a client prepares by SQL is no forgery."""
    with crowd.transactional.wire() as one, crowd.transactional.wire() as other:
        prepare(one, "s", "SELECT 'mine'")
        before = statements(one)
        other.query("PREPARE s AS SELECT 'by sql'")
        assert execute(one, "s") == [("mine",)]
        assert before <= statements(one)
        assert w.rows(other.query("EXECUTE s")) == [("by sql",)]
    assert "statement-forged" not in crowd.log()


def by_extended(wire, sql):
    return run(wire, w.parse(sql), w.bind(), w.execute())


@pytest.mark.parametrize("state", ["strict", "tracked"])
@pytest.mark.parametrize("how", [simple, by_extended])
@pytest.mark.parametrize("text", [
    "DEALLOCATE {0}", "EXECUTE {0}", "PREPARE {0} AS SELECT 'forged'", "EXPLAIN EXECUTE {0}",
    "CREATE TABLE t AS EXECUTE {0}", 'EXECUTE "{0}"', "DEALLOCATE PREPARE {0}",
    "SELECT 1; DEALLOCATE {0}", "SELECT 1; EXECUTE {0}", "EXECUTE {0}; SELECT 1",
    "DEALLOCATE {0}; PREPARE {0} AS SELECT 'forged'",
    "BEGIN; DEALLOCATE {0}; COMMIT", "/* */ DEALLOCATE U&\"\\0070{1}\""])
def test_texts_that_name_them(make_router, state, how, text):
    """Refused as a whole, also in front of what is in flight."""
    crowd = make_router(limited(1, session_state=state))
    with crowd.transactional.wire() as one, crowd.transactional.wire() as other:
        prepare(one, "s", "SELECT 'mine'")
        name = statements(one).pop()
        text = text.format(name, name[1:])
        if how is by_extended and ";" in text:
            # PostgreSQL takes one statement there.
            assert error(how(other, text))[0] in ("42601", "42939")
        else:
            assert error(how(other, text))[0] in ("26000", "42939")
        for message in (w.query("SELECT 2"), w.query("DEALLOCATE ALL")):
            other.send(message, w.query(text) if how is simple else
                       w.parse(text) + w.bind() + w.execute() + w.sync())
            other.until_ready()
            assert w.errors(other.until_ready()) != []
        assert execute(one, "s") == [("mine",)]


@pytest.mark.parametrize("how", ["DO", "function"])
def test_what_clients_whose_texts_go_on_unread_have_replaced(make_router, postgres, how):
    """Another port for the same user, where nobody looks after statements."""
    postgres.sql(SETUP, dbname=DATABASE)
    router = make_router({
        "hosts": {"main": {"connection_budget": 1}},
        "workloads": {"transactional": {"guaranteed_connections": 0, "max_connections": 1},
                      "plain": {"pool_mode": "transaction", "guaranteed_connections": 0,
                                "max_connections": 1, "max_prepared_statements": 0},
                      "session": None}})
    with router.transactional.wire() as one, router.plain.wire() as other:
        prepare(one, "s", "SELECT 'mine'")
        assert not w.errors(other.query(HOW[how]))
        for _ in range(3):
            assert execute(one, "s") == [("mine",)]
    assert "statement-forged" in router.log()


NOBODYS = "DO $$ BEGIN EXECUTE 'PREPARE {} AS SELECT ''forged'''; END $$"


@pytest.mark.parametrize("mode", ["strict", "tracked"])
def test_what_fails_in_place_of_another_text(make_router, mode):
    """Names that stand for none: code has made them, and nobody runs that."""
    router = make_router(limited(1, session_state=mode, session_state_listen="refuse",
                                 session_state_audit="off"))
    with router.transactional.wire() as one, router.transactional.wire() as other:
        def forged(name="pgtandem_s0"):
            assert not w.errors(one.query(NOBODYS.format(name)))
        forged()
        assert w.errors(other.query("LISTEN x")) == ["0A000"]
        forged()
        other.query("BEGIN")
        assert w.errors(other.query("LISTEN x")) == ["0A000"]
        other.query("ROLLBACK")
        forged()
        assert error(run(other, w.parse("LISTEN x"), w.bind(), w.execute()))[0] == "0A000"
        prepare(other, "s", "SELECT 'mine'")
        forged()
        forged("pgtandem_stext")
        assert error(run(other, w.parse("SELECT 2", "s")))[0] == "42P05"
        assert execute(other, "s") == [("mine",)]


@pytest.mark.parametrize("settings", [[], ["SET DateStyle = 'ISO, DMY'"]])
def test_what_code_has_dropped_fails_once(make_router, settings):
    """Also what is there under other settings than the client has prepared it under."""
    router = make_router(limited(1))
    with router.transactional.wire() as one, router.transactional.wire() as other:
        prepare(one, "s", "SELECT 1 + $1::int")
        for text in settings:
            assert not w.errors(one.query(text))
        assert execute(one, "s", 1) == [("2",)]
        assert not w.errors(other.query("DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$"))
        assert w.errors(run(one, w.bind((1,), "s"), w.execute())) in ([], ["26000"])
        for _ in range(2):
            assert execute(one, "s", 1) == [("2",)]

# SPDX-License-Identifier: ISC
"""Every kind of session state, made in every way, on the transaction port: does the client
still have it in its next transaction, and does anybody else ever see it?

PostgreSQL itself, asked first, says what the client should have.  The answers are the table
in docs/session-state.md, which is checked to be what comes out here; PGTANDEM_WRITE_DOCS=1
writes it."""
import os
import pathlib

import pytest
from support import wire as w
from support.postgres import DATABASE
from support.wait import wait_until

pytestmark = pytest.mark.router_only

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "session-state.md"
BEGIN, END = "<!-- begin: test_state_matrix.py -->\n", "<!-- end: test_state_matrix.py -->\n"
ROLE, PASSWORD = "cell_super", "cell secret"
# Twice as many as one client can keep for itself.
CONFIG = {"workloads": {"transactional": {"guaranteed_connections": 2, "max_connections": 2},
                        "session": None}}

SETUP = f"""
CREATE ROLE {ROLE} SUPERUSER LOGIN PASSWORD '{PASSWORD}';
CREATE ROLE cell_role;
CREATE SEQUENCE cell_sequence;
CREATE EXTENSION IF NOT EXISTS dblink;
SELECT pg_replication_origin_create('cell_' || n) FROM generate_series(0, 99) AS n;
CREATE TABLE cell_table (sql text);
GRANT ALL ON cell_table, cell_sequence TO PUBLIC;
CREATE FUNCTION cell_function(sql text) RETURNS int LANGUAGE plpgsql AS
  $$ BEGIN EXECUTE sql; RETURN 1; END $$;
CREATE PROCEDURE cell_procedure(sql text) LANGUAGE plpgsql AS
  $$ BEGIN EXECUTE sql; END $$;
CREATE FUNCTION cell_trigger() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN EXECUTE NEW.sql; RETURN NULL; END $$;
CREATE TRIGGER cell_trigger BEFORE INSERT ON cell_table FOR EACH ROW
  EXECUTE FUNCTION cell_trigger();
"""
TEARDOWN = """
DROP TABLE cell_table; DROP SEQUENCE cell_sequence;
DROP FUNCTION cell_function, cell_trigger; DROP PROCEDURE cell_procedure;
DROP ROLE cell_role, cell_super; DROP EXTENSION dblink;
SELECT pg_replication_origin_drop('cell_' || n) FROM generate_series(0, 99) AS n;
"""

# What makes it, and what tells whether it is there.
KINDS = {
    "`SET`": ("SET work_mem = '4321kB'", "SELECT current_setting('work_mem') = '4321kB'"),
    "`SET app.x`": ("SET app.cell = 'mine'",
                    "SELECT coalesce(current_setting('app.cell', true), '') = 'mine'"),
    "`SET search_path`": ("SET search_path = cell_schema, public",
                          "SELECT current_setting('search_path') = 'cell_schema, public'"),
    "`SET TIME ZONE`": ("SET TIME ZONE 'Asia/Tokyo'",
                        "SELECT current_setting('TimeZone') = 'Asia/Tokyo'"),
    "`SET ... CHARACTERISTICS`": (
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "SELECT current_setting('default_transaction_read_only') = 'on'"),
    "`set_config()`": ("SELECT set_config('app.call', 'mine', false)",
                       "SELECT coalesce(current_setting('app.call', true), '') = 'mine'"),
    "`SET LOCAL`": ("SET LOCAL work_mem = '4322kB'",
                    "SELECT current_setting('work_mem') = '4322kB'"),
    "`SET ROLE`": ("SET ROLE cell_role", "SELECT current_user = 'cell_role'"),
    "`SET SESSION AUTHORIZATION`": ("SET SESSION AUTHORIZATION cell_role",
                                    "SELECT session_user = 'cell_role'"),
    "`PREPARE`": ("PREPARE cell_statement AS SELECT true", "EXECUTE cell_statement"),
    "temporary table": ("CREATE TEMP TABLE cell_temporary (a int)",
                        "SELECT to_regclass('pg_temp.cell_temporary') IS NOT NULL"),
    "`SELECT INTO TEMP`": ("SELECT 1 AS a INTO TEMP cell_into",
                           "SELECT to_regclass('pg_temp.cell_into') IS NOT NULL"),
    "temporary view": ("CREATE TEMP VIEW cell_view AS SELECT 1 AS a",
                       "SELECT to_regclass('pg_temp.cell_view') IS NOT NULL"),
    "temporary sequence": ("CREATE TEMP SEQUENCE cell_temp_sequence",
                           "SELECT to_regclass('pg_temp.cell_temp_sequence') IS NOT NULL"),
    "cursor `WITH HOLD`": ("DECLARE cell_cursor CURSOR WITH HOLD FOR SELECT 1",
                           "SELECT EXISTS (SELECT FROM pg_cursors WHERE name = 'cell_cursor')"),
    "advisory lock": ("SELECT pg_advisory_lock(4711)",
                      "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory'"
                      " AND pid = pg_backend_pid())"),
    "`LISTEN`": ("LISTEN cell_channel",
                 "SELECT EXISTS (SELECT FROM pg_listening_channels())"),
    "`LOAD`": ("LOAD 'auto_explain'",
               "SELECT current_setting('auto_explain.log_min_duration', true) IS NOT NULL"),
    "`setseed()`": ("SELECT setseed(0.25)", "SELECT random() = {seeded}"),
    "`dblink_connect()`": (
        "SELECT dblink_connect('cell', 'host=' || current_setting('unix_socket_directories')"
        " || ' port=' || current_setting('port') || ' dbname=app user=postgres')",
        "SELECT 'cell' = ANY (dblink_get_connections())"),
    "temporary replication slot": (
        "SELECT pg_create_physical_replication_slot('cell_' || pg_backend_pid(), true, true)",
        "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE temporary"
        " AND active_pid = pg_backend_pid())"),
    "replication origin": (
        # One for each backend: only one session at a time may have it.
        "SELECT pg_replication_origin_session_setup('cell_' || pg_backend_pid() % 100)",
        "SELECT pg_replication_origin_session_is_setup()"),
    "`pg_backup_start()`": ("SELECT pg_backup_start('cell', true)",
                            "SELECT (pg_backup_stop()).lsn IS NOT NULL"),
    "`nextval()`": ("SELECT nextval('cell_sequence')",
                    "SELECT currval('cell_sequence') > 0"),
}


def queries(*texts):
    return [w.query(text) for text in texts]


# The messages that do it.  Each list item is answered before the next is sent.
WAYS = {
    "simple": lambda sql: queries(sql),
    "extended": lambda sql: [w.one_query(sql)],
    "prepared": lambda sql: [w.parse(sql, "cell") + w.sync(),
                             w.bind(name="cell") + w.execute() + w.sync()],
    "pipelined": lambda sql: [w.one_query("SELECT 1") + w.one_query(sql) + w.one_query("SELECT 2")],
    "several in one text": lambda sql: queries(f"SELECT 1; {sql}; SELECT 2"),
    "committed": lambda sql: queries("BEGIN", sql, "COMMIT"),
    "rolled back": lambda sql: queries("BEGIN", sql, "ROLLBACK"),
    "savepoint released": lambda sql: queries("BEGIN", "SAVEPOINT a", sql, "RELEASE a", "COMMIT"),
    "savepoint undone": lambda sql: queries("BEGIN", "SAVEPOINT a", sql, "ROLLBACK TO a", "COMMIT"),
    "function": lambda sql: queries(f"SELECT cell_function($cell${sql}$cell$)"),
    "procedure": lambda sql: queries(f"CALL cell_procedure($cell${sql}$cell$)"),
    "`DO`": lambda sql: queries(f"DO $$ BEGIN EXECUTE $cell${sql}$cell$; END $$"),
    "trigger": lambda sql: queries(f"INSERT INTO cell_table VALUES ($cell${sql}$cell$)"),
    "`COPY`": lambda sql: [w.query("COPY cell_table FROM STDIN")
                           + w.copy_data(sql.encode() + b"\n") + w.copy_done()],
}
OUT_OF_SIGHT = ("function", "procedure", "`DO`", "trigger", "`COPY`")
# currval() and lastval() of another transaction are errors, never another client's value.
KNOWN_LOST = {"`nextval()`"}


@pytest.fixture(scope="module")
def cells(postgres_cluster):
    """The cluster with what the cells need; what random() gives behind setseed()."""
    if not postgres_cluster.is_running():
        postgres_cluster.start()
    postgres_cluster.sql(SETUP, dbname=DATABASE)
    yield postgres_cluster
    postgres_cluster.terminate()
    wait_until(lambda: postgres_cluster.count(f"usename = '{ROLE}'") == 0, 10, "all have gone")
    postgres_cluster.sql(TEARDOWN, dbname=DATABASE)


def login(host, port):
    wire = w.Wire(host, port)
    wire.login(ROLE, PASSWORD, DATABASE)
    return wire


def make(wire, way, sql):
    """Does it; the errors."""
    errors = []
    for data in WAYS[way](sql):
        wire.send(data)
        for _ in range(3 if way == "pipelined" else 1):
            errors += w.errors(wire.until_ready())
    return errors


def sees(wire, look):
    answer = wire.query(look)
    return not w.errors(answer) and w.rows(answer) == [("t",)]


class Observers:
    """Two other clients that take both servers at the same time."""

    def __init__(self, endpoint):
        self.wires = [login(endpoint.host, endpoint.port) for _ in range(2)]

    def see(self, look, servers):
        found = False
        for wire in self.wires[:servers]:
            wire.query("BEGIN")
        for wire in self.wires[:servers]:
            found |= sees(wire, look)
        for wire in self.wires[:servers]:
            wire.query("ROLLBACK")
        return found

    def close(self):
        for wire in self.wires:
            wire.quit()


def pins(router):
    """How many clients keep a server."""
    return len(router.show("pins"))


def truth(cluster, way, sql, look):
    """Whether PostgreSQL takes it, and whether it is there afterwards."""
    with login("127.0.0.1", cluster.port) as wire:
        return not make(wire, way, sql), sees(wire, look)


def cell(router, observers, way, sql, look):
    """What becomes of it, in a word."""
    client = login(router.transactional.host, router.transactional.port)
    try:
        if make(client, way, sql):
            return "refused"
        is_pinned = pins(router) > 0
        is_seen = observers.see(look, 1 if is_pinned else 2)
        has_it = sees(client, look)
        is_seen |= observers.see(look, 1 if pins(router) else 2)
    finally:
        client.quit()
    wait_until(lambda: pins(router) == 0, 10, "the pin has ended with its client")
    if is_seen or observers.see(look, 2):
        router.command("RECONNECT")
        wait_until(lambda: not observers.see(look, 2), 10, "other servers")
        return "seen"
    if not has_it:
        return "lost"
    return "pinned" if is_pinned else "kept"


def table(answers):
    lines = ["| | " + " | ".join(WAYS) + " |", "|---" * (len(WAYS) + 1) + "|"]
    for name, row in answers.items():
        lines.append(f"| {name} | " + " | ".join(row[way] for way in WAYS) + " |")
    return "\n".join(lines) + "\n"


@pytest.mark.timeout(600)
def test_matrix(cells, make_router):
    router = make_router(CONFIG, start=False)
    router.write_userlist([f'"{ROLE}" "{PASSWORD}"', '"admin" "admin secret"'])
    router.start()
    with login("127.0.0.1", cells.port) as wire:
        wire.query("SELECT setseed(0.25)")
        seeded = wire.value("SELECT random()")
    observers = Observers(router.transactional)
    answers, silent, seen = {}, [], []
    for name, (sql, look) in KINDS.items():
        look = look.format(seeded=seeded)
        answers[name] = {}
        for way in WAYS:
            is_taken, is_there = truth(cells, way, sql, look)
            what = cell(router, observers, way, sql, look)
            if what == "seen":
                seen.append((name, way))
            elif not is_taken or not is_there:
                # PostgreSQL refuses or undoes it: so must we.
                assert what in ("lost", "refused"), f"{name}, {way}: {what}, not on PostgreSQL"
                what = "-"
            answers[name][way] = what
            if what == "lost" and way not in OUT_OF_SIGHT and name not in KNOWN_LOST:
                silent.append(f"{name}, {way}")
    observers.close()
    page = PAGE.read_text()
    start, stop = page.index(BEGIN) + len(BEGIN), page.index(END)
    assert not seen, f"seen by other clients: {seen}"
    assert not silent, f"lost in silence: {silent}"
    if os.environ.get("PGTANDEM_WRITE_DOCS"):
        PAGE.write_text(page[:start] + table(answers) + page[stop:])
    else:
        assert page[start:stop] == table(answers), \
            "another table than in docs/session-state.md: PGTANDEM_WRITE_DOCS=1 writes it"

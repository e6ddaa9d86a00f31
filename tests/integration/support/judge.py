# SPDX-License-Identifier: ISC
"""PostgreSQL as the judge of the budget: how many servers the router has, by three
witnesses of whom none asks the router.

activity  pg_stat_activity, read as fast as it goes by a function inside PostgreSQL.  A
          scan of it takes time, in which one backend may go and the next one come; so
          only those count that had begun before the scan did: they all lived at once
          at that moment.
sockets   PostgreSQL's end of every connection, also of those that are still logging in
          and of those that the router has left but PostgreSQL has not.  What two scans
          in a row have seen existed at the moment between them.
log       begin and end of every session as PostgreSQL's log has them: without a gap
          between two samples, but to the millisecond only; rounded in favour of the
          router.

A unit of the budget is taken before connect(2) and freed after PostgreSQL has closed:
so none of the three can be above what the router has in use, if it keeps its word."""
import calendar
import re
import socket
import struct
import threading
import time

import psycopg

LOOK = """
CREATE FUNCTION pg_temp.look(rounds int, allowed int, names text[],
    OUT most int, OUT detail text) AS $$
DECLARE
    began timestamptz;
    found int;
BEGIN
    most := 0;
    FOR i IN 1..rounds LOOP
        PERFORM pg_stat_clear_snapshot();
        began := clock_timestamp();
        SELECT count(*) INTO found FROM pg_stat_activity
            WHERE backend_type = 'client backend' AND usename = ANY (names)
            AND backend_start <= began;
        most := greatest(most, found);
        IF found > allowed AND detail IS NULL THEN
            SELECT string_agg(format('%s %s %s %s', pid, backend_start, state, query), E'\\n')
                INTO detail FROM pg_stat_activity
                WHERE backend_type = 'client backend' AND usename = ANY (names);
        END IF;
    END LOOP;
END $$ LANGUAGE plpgsql"""

ROUNDS = 20             # scans in one call, so that a change of the limit is heard
ESTABLISHED, CLOSE_WAIT = 1, 8
NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY = 4, 20
NLM_F_REQUEST, NLM_F_DUMP = 0x1, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
LINE = re.compile(
    r"^(\d+-\d+-\d+ \d+:\d+:\d+)\.(\d+) UTC \[(\d+)\] .*?"
    r"(connection received: host=127|connection authorized: user=(\w+)|disconnection: session time"
    r"|received immediate shutdown request|starting PostgreSQL)", re.M)
SETTINGS = ("log_connections", "log_disconnections")


class SocketTable:
    """Who is connected to a TCP port of this machine: the kernel's own list."""

    def __init__(self, port):
        self.netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG)
        self.netlink.settimeout(30)
        body = struct.pack("=BBBxI", socket.AF_INET, socket.IPPROTO_TCP, 0,
                           1 << ESTABLISHED | 1 << CLOSE_WAIT)
        body += struct.pack("!H", port) + bytes(46)
        self.request = struct.pack("=IHHII", 16 + len(body), SOCK_DIAG_BY_FAMILY,
                                   NLM_F_REQUEST | NLM_F_DUMP, 1, 0) + body

    def scan(self):
        """{cookie: (port of the other end, state)}; a cookie is never used twice."""
        found = {}
        self.netlink.send(self.request)
        while True:
            data, at = self.netlink.recv(1 << 16), 0
            while at < len(data):
                size, kind = struct.unpack_from("=IH", data, at)
                if kind == NLMSG_DONE:
                    return found
                assert kind != NLMSG_ERROR, f"no list of sockets: {data[at:].hex()}"
                peer = struct.unpack_from("!H", data, at + 22)[0]
                found[data[at + 60:at + 68]] = (peer, data[at + 17])
                at += (size + 3) & ~3

    def close(self):
        self.netlink.close()


class Judge:
    """with Judge(postgres, budget, users) as judge: ...; judge.allow(n) moves the limit.
    The end of the block fails if there ever were more servers than allowed."""

    def __init__(self, postgres, allowed, users, cancels=0):
        """cancels: connections that carry cancel requests, as many as there may be at once;
        they are none of the budget, but have sockets like others."""
        self.postgres, self.users, self.cancels = postgres, list(users), cancels
        self.limits = [(0.0, allowed)]
        self.most = {"activity": 0, "sockets": 0, "log": 0}
        self.samples = {"activity": 0, "sockets": 0, "log": 0}
        self.found, self.broken = [], []
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.guard, args=(watch,))
                        for watch in (self.watch_activity, self.watch_sockets)]

    @property
    def allowed(self):
        return self.limits[-1][1]

    def allow(self, allowed):
        """To be called before a limit rises, and after it has fallen."""
        self.limits.append((time.time(), allowed))

    def note(self, witness, count, allowed, detail):
        self.most[witness] = max(self.most[witness], count)
        if count > allowed:
            self.found.append(f"{witness}: {count} servers where {allowed} are allowed\n{detail}")

    # --------------------------------------------------------------- witnesses

    def guard(self, watch):
        try:
            watch()
        except BaseException as problem:  # noqa: B902
            self.broken.append(f"{watch.__name__}: {problem!r}")

    def watch_activity(self):
        while not self.stop.is_set():
            try:
                with self.postgres.connect() as connection:
                    connection.execute(LOOK)
                    self.look(connection)
            except psycopg.OperationalError:
                # PostgreSQL goes down, or ends everybody's session: come back.
                self.stop.wait(0.005)

    def look(self, connection):
        while not self.stop.is_set():
            before = self.allowed
            most, detail = connection.execute(
                "SELECT * FROM pg_temp.look(%s, %s, %s)", (ROUNDS, before, self.users)).fetchone()
            self.samples["activity"] += ROUNDS
            self.note("activity", most, max(before, self.allowed), detail)

    def watch_sockets(self):
        table = SocketTable(self.postgres.port)
        last, before = {}, self.allowed
        while not self.stop.wait(0.001):
            now, after = table.scan(), self.allowed
            both = {key: now[key] for key in now if key in last}
            self.samples["sockets"] += 1
            self.note("sockets", len(both), max(before, after) + self.cancels, both)
            last, before = now, after
        table.close()

    def read_log(self):
        """Sessions as (begin, end, pid), in milliseconds, from the part of the log that
        was written meanwhile.  What an immediate shutdown ended says nothing of its end:
        it counts as ended when the order came."""
        with open(self.postgres.logfile, encoding="utf-8", errors="replace") as log:
            log.seek(self.log_from)
            text = log.read()
        begun, authorized, sessions = {}, set(), []

        def end(pid, at):
            start = begun.pop(pid, None)
            if start is not None and pid in authorized and at > start + 1:
                # What is written is rounded down.
                sessions.append((start + 1, at, pid))
            authorized.discard(pid)

        for second, part, pid, what, user in LINE.findall(text):
            at = calendar.timegm(time.strptime(second, "%Y-%m-%d %H:%M:%S")) * 1000 + int(part)
            if what.startswith("connection received"):
                end(pid, begun.get(pid, 0))
                begun[pid] = at
            elif user in self.users:
                authorized.add(pid)
            elif what.startswith("disconnection"):
                end(pid, at)
            elif not what.startswith("connection"):
                for other in list(begun):
                    end(other, at)
        for pid in list(begun):
            end(pid, int(time.time() * 1000))
        return sessions

    def allowed_at(self, milliseconds):
        """The highest limit in force in the milliseconds around it."""
        best, now = 0, milliseconds / 1000
        for i, (since, allowed) in enumerate(self.limits):
            until = self.limits[i + 1][0] if i + 1 < len(self.limits) else now + 1
            if since <= now + 0.002 and until >= now - 0.002:
                best = max(best, allowed)
        return best

    def judge_log(self):
        steps = []
        for begin, end, pid in self.read_log():
            steps += [(begin, 1, pid), (end, 0, pid)]
        here = set()
        for at, comes, pid in sorted(steps):
            if not comes:
                here.discard(pid)
                continue
            here.add(pid)
            self.samples["log"] += 1
            self.note("log", len(here), self.allowed_at(at), f"at {at} ms: {sorted(here)}")

    # ------------------------------------------------------------------- block

    def __enter__(self):
        self.postgres.sql(*(f"ALTER SYSTEM SET {name} = on" for name in SETTINGS),
                          "SELECT pg_reload_conf()")
        self.log_from = self.postgres.logfile.stat().st_size
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        if not self.postgres.is_running():
            self.postgres.start()
        self.postgres.sql(*(f"ALTER SYSTEM RESET {name}" for name in SETTINGS),
                          "SELECT pg_reload_conf()")
        self.judge_log()
        print(f"judge: most {self.most}, samples {self.samples}")
        assert not self.broken, self.broken
        assert not self.found, f"{len(self.found)} times above the budget:\n" \
            + "\n\n".join(self.found[:3])

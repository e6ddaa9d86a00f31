# SPDX-License-Identifier: ISC
"""What is asked of each pooler.  A load runs for one pooler at a time and gives one result:
a dict of figures, CPU in microseconds per transaction, times in microseconds."""
import dataclasses
import shutil
import subprocess
import time

from . import meters
from .poolers import Scene, program, running, user

KEYS = 1000000  # rows of pgbench_accounts at scale 10
BRANCHES, TELLERS = 10, 100
ROW = "SELECT abalance FROM pgbench_accounts WHERE aid = $1"
JOIN = ("SELECT a.abalance, b.bbalance, count(t.tid) FROM pgbench_accounts a"
        " JOIN pgbench_branches b USING (bid) JOIN pgbench_tellers t USING (bid)"
        " WHERE a.aid = $1 GROUP BY 1, 2")
TPCB = ["BEGIN",
        "UPDATE pgbench_accounts SET abalance = abalance + $4 WHERE aid = $1", ROW,
        "UPDATE pgbench_tellers SET tbalance = tbalance + $4 WHERE tid = $3",
        "UPDATE pgbench_branches SET bbalance = bbalance + $4 WHERE bid = $2",
        "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime)"
        " VALUES ($3, $2, $1, $4, CURRENT_TIMESTAMP)", "COMMIT"]
WEB = ["BEGIN", ROW, ROW, "COMMIT"]
MB = 1000000
SETTLED_S = 0.3


@dataclasses.dataclass(frozen=True)
class Group:
    """Clients that do the same: the words of drive.c."""
    sql: tuple = ("SELECT 1",)
    clients: int = 40
    port: int = 0           # the first of the pooler, or the second
    words: tuple = ()

    def arguments(self, started, scene, more=()):
        return [f"host={started.host}", f"port={started.ports[self.port]}",
                f"user={user(scene)}", "password=scram secret", "db=app",
                f"tls={int(scene.tls)}", f"clients={self.clients}", *self.words, *more, *self.sql]


def words_of(groups, started, scene, more=()):
    """For drive.c: the groups, with -- between them."""
    words = []
    for group in groups:
        words += ["--"] if words else []
        words += group.arguments(started, scene, more)
    return words


def drive(bench, started, scene, groups, more=(), calls=False, seconds=None, warmup=None):
    """Runs the load generator for a window; all figures of that window.  It goes on until the
    meters have been read, but for what strace counts."""
    seconds, warmup = seconds or bench.args.seconds, warmup or bench.args.warmup
    words = words_of(groups, started, scene, more)
    process = subprocess.Popen(
        [program(bench.args, "drive"), f"{seconds}{'' if calls else '+'}", "signal", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        return watch(bench, started, scene, process, calls, warmup)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def expect(process, word):
    line = process.stdout.readline().strip()
    if line != word:
        process.kill()
        raise RuntimeError(f"{word!r} was expected, not {line!r}: {process.stderr.read()[:500]}")


def settle(pids, warmup):
    """Warms up until the same processes have been there for a while: who opens connections one
    after the other is not to be measured while doing that.  Who never stops is not waited
    for."""
    before, began = pids(), time.monotonic()
    now = changed = began
    while now < began + warmup or changed + SETTLED_S > now and now < began + 10 * warmup:
        time.sleep(0.02)
        there, now = pids(), time.monotonic()
        if there != before:
            before, changed = there, now


def watch(bench, started, scene, process, calls, warmup):
    def servers():
        return [bench.place.fake.process.pid] if scene.fake else bench.server_pids()
    expect(process, "ready")
    settle(servers, warmup)
    if calls:
        counted = meters.Calls(started.pids, bench.place.directory / "strace")
    process.send_signal(meters.signal.SIGUSR1)
    expect(process, "begin")
    first = meters.Moment(started.pids, servers(), process.pid)
    resident_before = meters.memory(started.pids)
    expect(process, "end")
    last = meters.Moment(started.pids, servers(), process.pid)
    counts = counted.end() if calls else {}
    resident = meters.memory(started.pids)
    groups = bench.json(process.stdout.readline())
    return figures(groups, first.until(last), resident_before, resident, counts)


def figures(groups, used, before, after, counts):
    seconds = groups[0]["seconds"]
    rate = sum(g["ended"] for g in groups) / seconds
    found = {"rate": rate, "groups": groups, "bytes": sum(g["bytes"] for g in groups) / seconds,
             "rss": after[0], "pss": after[1], "rss_before": before[0], "used": used,
             "calls": counts}
    if rate > 0:
        for name in ("cpu", "server_cpu", "client_cpu", "machine_cpu"):
            found[name] = None if used[name] is None else used[name] * 1e6 / rate
        for name in ("voluntary", "involuntary"):
            found[name] = used[name] / rate
        if counts:
            found["calls_each"] = sum(counts.values()) / (rate * seconds)
    return found


class Load:
    """Clients that go on as soon as they are answered."""
    table = "rate"
    most_rounds = 1000
    times = 1

    def __init__(self, name, group, title, poolers, groups, scene=Scene(), base="pgbouncer"):
        self.name, self.group, self.title = name, group, title
        self.poolers, self.groups, self.scene, self.base = poolers.split(), groups, scene, base

    def shortened(self):
        """For --short: few clients, each pooler at least once."""
        self.times = 1
        self.groups = [dataclasses.replace(g, clients=min(g.clients, 60)) for g in self.groups]
        if self.name not in ("simple-40", "result-1mb"):
            self.poolers = [p for p in self.poolers
                            if p in ("uring", "epoll", "uring-2", "epoll-2", "pgbouncer")]

    def missing(self):
        """What there is not on this machine and is needed."""
        return None

    def duration(self, args):
        """Seconds, about, of one round."""
        return len(self.poolers) * (self.times * (args.seconds + args.warmup) + 0.5)

    @property
    def clients(self):
        return sum(group.clients for group in self.groups)

    def run(self, bench, pooler):
        with running(pooler, bench.place, self.scene) as started:
            return self.measure(bench, started) | {"configs": started.configs}

    def measure(self, bench, started):
        return drive(bench, started, self.scene, self.groups,
                     seconds=self.times * bench.args.seconds,
                     warmup=self.times * bench.args.warmup)


class Calls(Load):
    """How many system calls a transaction takes.  strace makes everything slow, so that the
    other figures of such a round mean nothing."""
    table = "calls"

    def missing(self):
        done = shutil.which("strace") and subprocess.run(
            ["strace", "-o", "/dev/null", "true"], capture_output=True, check=False)
        if not done:
            return "strace is not installed: tools/install-deps bench"
        return "strace may not trace here" if done.returncode else None

    def measure(self, bench, started):
        return drive(bench, started, self.scene, self.groups, calls=True,
                     seconds=min(bench.args.seconds, 2))


class Bulk(Load):
    """What a gigabyte takes."""
    table = "bulk"

    def measure(self, bench, started):
        found = super().measure(bench, started)
        found["cpu_gb"] = found["used"]["cpu"] * 1e9 / found["bytes"] if found["bytes"] else None
        return found


class Idle(Load):
    """What clients cost that do nothing: memory with them less memory without."""
    table = "idle"
    most_rounds = 3         # memory is the same each time

    def duration(self, args):
        logins = self.clients / (800 if self.scene.tls else 6000)
        return len(self.poolers) * (args.seconds + 4 * args.warmup + 0.5 + logins)

    def measure(self, bench, started):
        before = meters.memory(started.pids)
        # What logging in has left to do is not what being idle costs.
        found = drive(bench, started, self.scene, self.groups, warmup=4 * bench.args.warmup)
        for i, name in enumerate(("rss", "pss")):
            found[f"{name}_each"] = (found[name] - before[i]) / self.clients
        return found


class Mixed(Load):
    """Groups that must not mind each other: a latency for each."""
    table = "mixed"

    def __init__(self, *args, names, **more):
        super().__init__(*args, **more)
        self.names = names


def capacity(bench, groups, scene):
    """Transactions per second of a closed loop, with the pooler that the load is measured
    against: once a round."""
    key = (bench.round, groups, scene)
    if key not in bench.capacities:
        pooler = bench.reference()
        with running(pooler, bench.place, scene) as started:
            bench.capacities[key] = drive(bench, started, scene, groups)["rate"]
    return bench.capacities[key]


class Open(Load):
    """Arrivals at random times, at parts of what PgBouncer can do; a transaction's time
    counts from its arrival, whether or not a client was free."""
    table = "open"
    parts = (20, 50, 80, 95, 110)

    def shortened(self):
        super().shortened()
        self.parts = (20, 110)

    def duration(self, args):
        return (len(self.poolers) * len(self.parts) + 1) * (args.seconds + args.warmup + 0.3)

    def measure(self, bench, started):
        most = capacity(bench, tuple(self.groups), self.scene)
        steps = []
        for part in self.parts:
            rate = most * part / 100
            found = drive(bench, started, self.scene, self.groups, [f"rate={rate}"])
            steps.append(found | {"part": part, "offered": rate})
        return {"steps": steps}


class Paced(Load):
    """Each client keeps its own pace; all together a fifth of what PgBouncer can do."""
    table = "rate"
    part = 20

    def measure(self, bench, started):
        most = capacity(bench, tuple(self.groups), self.scene)
        pace = most * self.part / 100 / self.clients
        return drive(bench, started, self.scene, self.groups, [f"pace={pace}"])


SIDES = "uring uring-off epoll epoll-off pgbouncer"
BOTH = SIDES + " pgbouncer13 pgbouncer13-0"
ALONE = SIDES + " haproxy direct"


def closed(name, group, title, poolers, kind, clients, sql=("SELECT 1",), words=(), times=1,
           **more):
    """times: by how much its windows are longer than those of others, for who waits long."""
    load = Load(name, group, title, poolers,
                [Group(tuple(sql), clients, words=(f"kind={kind}", *words))],
                scene=Scene(clients=clients, **more),
                base="pgbouncer13" if kind == "prepared" else "pgbouncer")
    load.times = times
    return load


def core():
    prepared = SIDES.replace("pgbouncer", "pgbouncer13")
    yield closed("simple-40", "core", "SELECT 1, simple, 40 clients",
                 BOTH + " haproxy direct", "simple", 40)
    yield closed("simple-500", "core", "SELECT 1, simple, 500 clients", BOTH, "simple", 500)
    yield closed("extended-40", "core", "SELECT 1, extended, 40 clients", BOTH, "extended", 40)
    yield closed("extended-500", "core", "SELECT 1, extended, 500 clients", BOTH, "extended", 500)
    yield closed("prepared-40", "core", "SELECT 1, prepared, 40 clients",
                 prepared + " haproxy direct", "prepared", 40)
    yield closed("prepared-500", "core", "SELECT 1, prepared, 500 clients", prepared,
                 "prepared", 500)


def more_kinds():
    keys = (f"keys={KEYS}",)
    yield closed("simple-1", "kinds", "SELECT 1, simple, one client", ALONE, "simple", 1)
    yield closed("pipeline-40", "kinds", "pipelines of 10 SELECT 1, 40 clients", ALONE, "pipeline",
                 40, words=("depth=10",))
    yield closed("rows-40", "kinds", "rows by key (pgbench -S), 40 clients", ALONE, "simple", 40,
                 [ROW], keys)
    yield closed("rows-extended-40", "kinds", "rows by key (pgbench -S -M extended), 40 clients",
                 ALONE, "extended", 40, [ROW], keys)
    for name, title, sql in (("reuse-rows", "rows by key (pgbench -S -M extended)", ROW),
                             ("reuse-join", "a join of three tables by key, extended", JOIN)):
        yield Load(f"{name}-40", "kinds", title + ", plans used again, 40 clients",
                   "uring uring-reuse epoll epoll-reuse direct",
                   [Group((sql,), 40, words=("kind=extended", *keys))], Scene(clients=40), "direct")
    yield closed("tpcb-40", "kinds", "TPC-B (pgbench), 40 clients", ALONE, "simple", 40, TPCB,
                 (f"keys={KEYS},{BRANCHES},{TELLERS},5000",))


def states():
    """What keeping, and cleaning between clients, costs router and PostgreSQL."""
    those = "uring uring-tracked uring-off epoll epoll-tracked epoll-off "
    keys = (f"keys={KEYS}",)
    for name, title, kind, sql in (
            ("rows", "rows by key", "simple", [ROW]), ("prepared", "rows by key, prepared", "prepared", [ROW]),
            ("transaction", "transactions of 4 statements", "simple", WEB)):
        base = "pgbouncer13" if kind == "prepared" else "pgbouncer"
        yield closed(f"state-{name}-200", "state", title + ", 200 clients over 40 servers",
                     those + base, kind, 200, sql, keys)


def sizes():
    yield closed("simple-10000", "sizes", "SELECT 1, simple, 10,000 clients", SIDES, "simple",
                 10000, times=4)
    for servers in (4, 8, 40):
        yield closed(f"pool-{servers}", "sizes", f"SELECT 1, simple, 200 clients, {servers} servers",
                     SIDES, "simple", 200, servers=servers)
    # SELECT pg_sleep(): what waits is the pool and nothing else.
    yield closed("fair-500", "sizes", "5 ms in PostgreSQL, 500 clients, 40 servers", SIDES,
                 "simple", 500, ["SELECT pg_sleep(0.005)"])
    yield closed("fair-10000", "sizes", "5 ms in PostgreSQL, 10,000 clients, 40 servers", SIDES,
                 "simple", 10000, ["SELECT pg_sleep(0.005)"], times=4)


def transports():
    for clients in (40, 500):
        yield closed(f"tls-{clients}", "tls", f"SELECT 1, simple, TLS, {clients} clients",
                     SIDES + (" haproxy direct" if clients == 40 else ""), "simple", clients,
                     tls=True)
    yield closed("tls-both-40", "tls", "SELECT 1, simple, TLS on both sides, 40 clients", SIDES,
                 "simple", 40, tls=True, server_tls=True)
    for kind, base in (("simple", SIDES), ("prepared", SIDES.replace("pgbouncer", "pgbouncer13"))):
        yield closed(f"unix-{kind}-40", "unix",
                     f"SELECT 1, {kind}, unix socket to PostgreSQL, 40 clients", base, kind, 40,
                     unix=True)
    for tls in (False, True):
        yield closed("login-tls" if tls else "login-plain", "login",
                     "login (SCRAM" + (", TLS)" if tls else ")") + " and SELECT 1, 20 at a time",
                     "uring epoll pgbouncer haproxy direct", "simple", 20, words=("reconnect=1",),
                     scram=True, tls=tls)


def idle():
    for clients, tls in ((1000, False), (5000, False), (10000, False), (1000, True), (5000, True),
                         (10000, True)):
        yield Idle(f"idle-{'tls-' if tls else ''}{clients}", "idle",
                   f"{clients:,} idle clients" + (", TLS" if tls else ""),
                   "uring epoll pgbouncer pgbouncer13", [Group((), clients, words=("idle=1",))],
                   Scene(clients=clients, tls=tls))


def bulk():
    yield closed("result-1kb", "bulk", "results of 1 kB, 40 clients",
                 "uring epoll pgbouncer pgbouncer-64k haproxy direct", "simple", 40,
                 ["SELECT repeat('x', 1000)"])
    who = "uring epoll pgbouncer pgbouncer-64k haproxy direct"
    for name, title, sql, words in (
            ("result-1mb", "results of 1 MB", "SELECT repeat('x', 1000000)", ()),
            ("result-600mb", "results of 600 MB, rows of 1 kB",
             "SELECT repeat('x', 1000) FROM generate_series(1, 600000)", ()),
            ("copy-out", "COPY TO STDOUT, rows of 8 kB",
             "COPY (SELECT repeat('x', 8000) FROM generate_series(1, 75000)) TO STDOUT", ()),
            ("copy-in", "COPY FROM STDIN, rows of 8 kB",
             "COPY sink FROM STDIN", (f"copy={16 * MB}",))):
        yield Bulk(name, "bulk", title, who, [Group((sql,), 1, words=words)],
                   base="pgbouncer-64k")


def mixed():
    yield Mixed("hybrid", "hybrid", "1000 web clients at 2 transactions a second beside 20 sessions "
                "that insert", "uring uring-off epoll pgbouncer",
                [Group(tuple(WEB), 1000, words=(f"keys={KEYS}", "pace=2")),
                 Group(("BEGIN", "INSERT INTO sink SELECT repeat(md5($1::text), 128)", "COMMIT"),
                       20, 1, (f"keys={KEYS}", "pace=25"))],
                Scene(servers=25, sessions=20, clients=1100), names=("web", "sessions"))
    beside = "uring epoll pgbouncer"
    short = Group(("SELECT 1",), 40, words=("pace=100",))
    for name, title, other, scram in (
            ("beside-result", "results of 100 MB, one after the other",
             Group(("SELECT repeat('x', 1000) FROM generate_series(1, 100000)",), 1), False),
            ("beside-readers", "4 clients that read a result of 100 MB at 1 MB a second each",
             Group(("SELECT repeat('x', 1000) FROM generate_series(1, 100000)",), 4,
                   words=(f"read={MB}",)), False),
            ("beside-logins", "logins (SCRAM) without a pause, 20 at a time",
             Group(clients=20, words=("reconnect=1",)), True),
            ("beside-burst", "500 clients that all ask at once, 5 times a second",
             Group(("SELECT 1",), 500, words=("burst=5",)), False)):
        yield Mixed(name, "tails", f"40 clients at 100 SELECT 1 a second beside {title}", beside,
                    [short, other], Scene(scram=scram), names=("the 40", "the others"))


def arrivals():
    yield Open("open", "open", "open loop, SELECT 1, 200 clients over 40 servers",
               "uring uring-off epoll pgbouncer", [Group(clients=200)])
    yield Paced("paced", "paced", "transactions of 4 statements at 20 % of capacity, 40 clients",
                ALONE, [Group(tuple(WEB), words=(f"keys={KEYS}",))])


def fake():
    for kind, base in (("simple", "pgbouncer"), ("prepared", "pgbouncer13")):
        yield closed(f"fake-{kind}-500", "fake", f"SELECT 1, {kind}, 500 clients, before a server "
                     "that answers at once", f"uring uring-off uring-2 epoll epoll-off epoll-2 {base}",
                     kind, 500, fake=True)


def kernels():
    for clients in (40, 500):
        yield closed(f"single-{clients}", "kernels",
                     f"SELECT 1, simple, {clients} clients, as before Linux 6.10",
                     "uring uring-single epoll pgbouncer", "simple", clients)


def workers():
    for clients in (1, 40, 500):
        yield closed(f"workers-{clients}", "workers", f"SELECT 1, simple, {clients} "
                     f"client{'s' if clients > 1 else ''}, one worker and two",
                     "uring uring-2 epoll epoll-2 pgbouncer", "simple", clients)


def calls():
    for name, title, words, clients in (
            ("calls-200", "SELECT 1, simple, 200 clients over 40 servers", (), 200),
            ("calls-prepared-200", "SELECT 1, prepared, 200 clients over 40 servers",
             ("kind=prepared",), 200)):
        yield Calls(name, "calls", "system calls: " + title,
                    "uring uring-off epoll epoll-off " +
                    ("pgbouncer13" if words else "pgbouncer pgbouncer13 pgbouncer13-0"),
                    [Group(clients=clients, words=words)],
                    base="pgbouncer13" if words else "pgbouncer")


def every():
    loads = {}
    for part in (core, more_kinds, states, sizes, transports, idle, bulk, mixed, arrivals, fake,
                 workers, kernels, calls):
        for load in part():
            assert load.name not in loads
            loads[load.name] = load
    return loads

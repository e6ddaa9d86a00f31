# SPDX-License-Identifier: ISC
"""SIGHUP a hundred times under load, changing everything, bad files among the good.

Nothing fails inside a transaction; a session ends only where what it came by has been
taken away; a refused file changes nothing; the budget holds by PostgreSQL's own count
and by SHOW HOSTS; and at the end nothing is left over."""
import collections
import contextlib
import os
import pathlib
import random
import re
import shutil
import signal
import threading
import time

import psycopg
import pytest
from support import wire as w
from support.certs import Authority
from support.judge import Judge
from support.net import free_port
from support.postgres import DATABASE, DEFAULT_USER, USERS
from support.router import ADMIN, STATS, Endpoint, Router
from support.wait import SLOWDOWN, wait_until

pytestmark = [pytest.mark.router_only, pytest.mark.slow]

RELOADS = 100
BUDGETS = (14, 6, 10)
# Who may be told what, and only between two transactions.
ALLOWED = {"57P01", "3D000", "28P01", "28000", "57014", "53300"}


class Worker(threading.Thread):
    """A client that goes on until told to stop, and notes what it was told."""

    def __init__(self, storm, number):
        super().__init__(daemon=True)
        self.storm, self.number = storm, number
        self.done = self.sessions = 0
        self.between = collections.Counter()    # SQLSTATEs outside of transactions
        self.wrong = []

    def run(self):
        try:
            while not self.storm.stopping.is_set():
                self.session()
        except BaseException as problem:  # noqa: B902
            self.wrong.append(f"{type(self).__name__} {self.number}: {problem!r}")

    def session(self):
        try:
            wire = self.connect()
        except (EOFError, ConnectionError):
            # The listener has just gone.
            self.between["gone"] += 1
            time.sleep(0.02)
            return
        except RuntimeError as refusal:
            self.between[re.search(r"\b([0-9A-Z]{5})\b", str(refusal))[1]] += 1
            time.sleep(0.02)
            return
        self.sessions += 1
        with wire:
            while not self.storm.stopping.is_set() and self.work(wire):
                self.done += 1

    def ask(self, wire, sql, inside):
        """The rows, or None where the session has ended, which it may between two
        transactions."""
        try:
            wire.send(w.query(sql))
            answer = wire.until("Z", "E")
            if answer[-1].type == "E" and answer[-1].fields["S"] != "FATAL":
                answer += wire.until_ready()
        except (EOFError, ConnectionError):
            assert not inside, f"the connection ended inside a transaction: {sql}"
            self.between["end"] += 1
            return None
        codes = w.errors(answer)
        if not codes:
            return w.rows(answer)
        assert not inside, f"{codes} inside a transaction: {sql}"
        assert set(codes) <= ALLOWED, f"{codes}: {sql}"
        self.between.update(codes)
        return None


class Transactions(Worker):
    user, database, workload = DEFAULT_USER, DATABASE, "transactional"

    def connect(self):
        return getattr(self.storm.router, self.workload).wire(user=self.user, dbname=self.database)

    def work(self, wire):
        word = f"{self.number}-{self.done}"
        if self.ask(wire, "BEGIN", False) is None:
            return False
        self.ask(wire, f"SET LOCAL app.word = '{word}'", True)
        self.ask(wire, "SELECT pg_sleep(0.002)", True)
        assert self.ask(wire, "SELECT current_setting('app.word')", True) == [(word,)]
        self.ask(wire, "COMMIT", True)
        return True


class Removed(Transactions):
    """Of a database that comes and goes."""
    database = "second"


class Locked(Transactions):
    """Of a user that comes and goes."""
    user = "other"


class Extra(Transactions):
    """At a workload that comes and goes."""
    workload = "extra"


class Second(Transactions):
    """By a listener that comes and goes, of a workload that stays: so does the session."""

    def connect(self):
        endpoint = Endpoint("127.0.0.1", self.storm.second_port)
        return endpoint.wire(user=self.user, dbname=self.database)


class Sessions(Worker):
    """Each has one session for all of the test."""

    def connect(self):
        wire = self.storm.router.session.wire()
        wire.query(f"SET app.mine = 'session {self.number}'")
        return wire

    def work(self, wire):
        # All of it counts as one transaction: nothing has been taken away from it.
        assert self.ask(wire, "SELECT current_setting('app.mine')", True) == [
            (f"session {self.number}",)]
        time.sleep(0.005)
        return True


class Secure(Worker):
    """Logs in with TLS again and again, whichever certificate is shown."""

    def connect(self):
        return contextlib.nullcontext()

    def work(self, _):
        with self.storm.router.transactional.connect(sslmode="require") as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        time.sleep(0.05)
        return True


class Storm:
    def __init__(self, router, directory, ca, rng):
        self.router, self.directory, self.ca, self.random = router, directory, ca, rng
        self.stopping = threading.Event()
        self.workers = []

    # ------------------------------------------------------------------ files

    def put_certificate(self, name):
        for end in ("crt", "key"):
            shutil.copy(self.ca.path(f"{name}.{end}"), self.directory / f"new.{end}")
            os.replace(self.directory / f"new.{end}", self.directory / f"router.{end}")

    def put_hba(self, number):
        rules = [f"host all {ADMIN[0]},{STATS[0]} 127.0.0.1/32 scram-sha-256",
                 f"# {number}", "host all all 127.0.0.1/32 scram-sha-256"]
        if number % 3:
            rules.insert(1, f"host replication all 10.{number}.0.0/16 reject")
        (self.directory / "hba.conf").write_text("\n".join(rules) + "\n")

    def put_users(self, number):
        names = dict({name: password for name, (password, _) in USERS.items()},
                     **dict([ADMIN, STATS]), **{f"new{number}": f"secret {number}"})
        if self.has_user(number):
            names["other"] = USERS["other"][0]
        else:
            del names["other"]
        self.router.write_userlist([f'"{n}" "{p}"' for n, p in names.items()])

    @staticmethod
    def has_user(number):
        return number % 7 not in (3, 4)

    @staticmethod
    def has_database(number):
        return number % 5 not in (2, 3)

    @staticmethod
    def has_extra(number):
        return number % 4 != 1

    def good(self, number):
        """Everything that can change at once."""
        rng, router = self.random, self.router
        self.put_certificate(rng.choice(["one", "two"]))
        self.put_hba(number)
        self.put_users(number)
        config = router.config
        budget = BUDGETS[number % len(BUDGETS)]
        config["hosts"]["main"]["connection_budget"] = budget
        config["workloads"]["transactional"].update(
            guaranteed_connections=rng.choice([1, 2]), max_connections=budget,
            max_client_conn=rng.choice([200, 300]), query_wait_timeout=rng.choice(["60s", "70s"]))
        config["workloads"]["session"].update(guaranteed_connections=3, max_connections=3)
        if self.has_extra(number):
            config["workloads"]["extra"] = {
                "pool_mode": "transaction", "guaranteed_connections": 0,
                "listen": [f"127.0.0.1:{router.ports['extra']}"]}
        else:
            config["workloads"].pop("extra", None)
        listen = [f"127.0.0.1:{router.ports['transactional']}"]
        if rng.random() < 0.5:
            listen.append(f"127.0.0.1:{self.second_port}")
        config["workloads"]["transactional"]["listen"] = listen
        config["databases"] = {"app": {"host": "main",
                                       "max_db_connections": rng.choice([0, 50])}}
        if self.has_database(number):
            config["databases"]["second"] = {"host": "main"}
        config["users"] = {"app_scram": {"max_user_connections": rng.choice([0, 60])}}
        config["defaults"] = {
            "server_idle_timeout": rng.choice(["1s", "60s"]),
            "server_lifetime": rng.choice(["2s", "1h"]),
            "default_pool_size": rng.choice([0, 20]), "log_slow_query": rng.choice(["0", "5s"]),
            "server_reset_query": rng.choice(["DISCARD ALL", "DISCARD ALL;"])}
        config["log"] = {"level": rng.choice(["info", "debug"]),
                         "log_connections": rng.choice([True, False])}
        # Needs a restart: named, and the rest comes into force.
        config["process"]["workers"] = 2 + number % 2
        router.write_config()
        return budget

    def bad(self, number):
        """One file is broken, the others as good as before: all stays as it is."""
        router = self.router
        text = router.config_file.read_text()
        kind = number % 6
        if kind == 0:
            router.config_file.write_text(text + "\nworkloads: [")
        elif kind == 1:
            router.config_file.write_text(text + "\nnonsense: { a: 1 }\n")
        elif kind == 2:
            router.config_file.write_text(text.replace("connection_budget: ", "connection_budget: -"))
        elif kind == 3:
            (self.directory / "router.crt").write_text("no certificate")
        elif kind == 4:
            (self.directory / "hba.conf").write_text("host all all nowhere trust\n")
        else:
            (self.directory / "userlist.txt").write_text('"half a line\n')

    # ---------------------------------------------------------------- reloads

    def hup(self, wanted):
        log = self.router.log_file
        before = log.stat().st_size
        self.router.signal(signal.SIGHUP)

        def told():
            with open(log, encoding="utf-8", errors="replace") as file:
                file.seek(before)
                return re.findall(r" (reload|reload-failed) ", file.read())
        assert wait_until(told, 20, "the reload is told of") == [wanted]


def shown(admin, what):
    return admin.execute(f"SHOW {what}").fetchall()


def has_sanitizer():
    return b"__asan_init" in pathlib.Path(Router.program()).read_bytes()


@pytest.fixture
def storm(make_router, tmp_path):
    ca = Authority(tmp_path / "ca")
    for name in ("one", "two"):
        ca.issue(name, "localhost", "DNS:localhost,IP:127.0.0.1")
    rng = random.Random(4711)
    router = make_router({
        "hosts": {"main": {"connection_budget": BUDGETS[0]}},
        "workloads": {"extra": {"pool_mode": "transaction"}},
        "databases": {"app": {"host": "main"}, "*": None},
        "auth": {"auth_type": "hba", "auth_hba_file": "hba.conf"},
        "tls": {"client_tls_sslmode": "allow", "client_tls_key_file": "router.key",
                "client_tls_cert_file": "router.crt"}}, start=False)
    storm = Storm(router, router.directory, ca, rng)
    storm.second_port = free_port()
    router.expect_error("reload-failed")
    storm.good(0)
    router.start()
    return storm


def budget_is_kept(admin, allowed):
    """By the router's own count: what is above the budget is what a smaller one has not
    got back yet, and workloads have no more than the host."""
    (host,) = shown(admin, "HOSTS")
    assert host["used"] <= allowed, host
    assert host["used"] - host["surplus"] <= host["connection_budget"], host
    assert host["leased"] + host["idle"] + host["connecting"] + host["closing"] == host["used"]
    return host


@pytest.mark.timeout(280 * SLOWDOWN)
def test_a_hundred_reloads_under_load(storm, postgres):
    router = storm.router
    storm.workers = [kind(storm, i) for i, kind in enumerate(
        [Transactions] * 4 + [Removed, Locked, Extra, Second, Secure] + [Sessions] * 2)]
    begun = time.monotonic()
    good = failed = 0
    with Judge(postgres, BUDGETS[0], [*USERS]) as judge, router.admin() as admin:
        for worker in storm.workers:
            worker.start()
        at_first = {}
        for number in range(1, RELOADS + 1):
            if number % 4 == 0:
                saved = {name: (storm.directory / name).read_bytes()
                         for name in ("pgtandem.yaml", "router.crt", "hba.conf", "userlist.txt")}
                before = shown(admin, "SETTINGS")
                storm.bad(number // 4)
                storm.hup("reload-failed")
                assert shown(admin, "SETTINGS") == before, "a refused file changed something"
                for name, data in saved.items():
                    (storm.directory / name).write_bytes(data)
                failed += 1
            else:
                budget = storm.good(number)
                if budget > judge.allowed:
                    judge.allow(budget)
                storm.hup("reload")
                good += 1
                budget_is_kept(admin, judge.allowed)
                assert [r["value"] for r in shown(admin, "SETTINGS")
                        if r["key"] == "hosts.main.connection_budget"] == [str(budget)]
                if budget < judge.allowed:
                    # Transactions end, and with them what is above it.
                    wait_until(lambda: shown(admin, "HOSTS")[0]["surplus"] == 0, 10,
                               "the budget has shrunk")
                    judge.allow(budget)
                    budget_is_kept(admin, budget)
            marks = [worker.done for worker in storm.workers]
            wait_until(lambda: sum(worker.done for worker in storm.workers) >= sum(marks) + 5, 20,
                       "work goes on")
            if number == 20:
                at_first = {"files": router.open_files(), "memory": router.memory()}
        storm.stopping.set()
        for worker in storm.workers:
            worker.join(60 * SLOWDOWN)
            assert not worker.is_alive(), f"{worker} hangs"
        check_workers(storm, good)
        # With everybody gone there is what there was, but for what a later reload added.
        wait_until(lambda: router.open_files() <= at_first["files"], 30,
                   f"files are closed ({at_first['files']})")
        growth = router.memory() - at_first["memory"]
        if not has_sanitizer():
            # 80 reloads, each with a configuration, two files and a TLS context.
            assert growth < 8 << 20, f"{growth} bytes more than after twenty reloads"
    spent = time.monotonic() - begun
    print(f"{good} reloads, {failed} refused, in {spent:.1f} s; memory grew by {growth >> 10} kB;",
          {f"{type(x).__name__} {x.number}": (x.sessions, x.done, dict(x.between))
           for x in storm.workers})


def check_workers(storm, good):
    assert good >= 70
    assert [problem for worker in storm.workers for problem in worker.wrong] == []
    for worker in storm.workers:
        assert worker.done > 0, worker
        if isinstance(worker, (Sessions, Secure)) or type(worker) is Transactions:
            # Nothing was taken away from them.
            assert not worker.between, (worker, worker.between)
            assert worker.sessions == 1 or isinstance(worker, Secure), worker
        elif isinstance(worker, Second):
            # It could not come while there was no port, and stayed when that went.
            assert set(worker.between) <= {"gone"} and worker.sessions == 1, worker.between
        else:
            # Told so between two transactions, and let in again later.
            assert worker.between["57P01"] >= 5, (worker, worker.between)
            assert worker.between["end"] == 0 and worker.sessions >= 5, (worker, worker.between)


def test_reload_names_each_change_and_what_needs_a_restart(storm):
    """RELOAD's answer and the log have each setting, from what to what."""
    router = storm.router
    storm.good(1)
    with router.admin() as admin:
        found = []
        admin.add_notice_handler(lambda diagnostic: found.append(diagnostic.message_detail))
        admin.execute("RELOAD")
    (details,) = found
    for name in ("hosts.main.connection_budget", "workloads.extra", "process.workers"):
        assert name in details, details
    assert re.search(r"process\.workers.*restart", details), details
    wait_until(lambda: re.search(r"reload-change .*process\.workers", router.log()), 10, "logged")


def test_the_console_says_no_as_well(storm):
    router = storm.router
    storm.bad(3)
    with router.admin() as admin:
        with pytest.raises(psycopg.Error, match="certificate") as refusal:
            admin.execute("RELOAD")
        assert refusal.value.sqlstate == "F0000"

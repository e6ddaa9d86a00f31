# SPDX-License-Identifier: ISC
"""The load of the demonstration: web clients on one port, workers on the other.

One process and one event loop serve all of them: a client sends a transaction a
second, so a thousand of them are a few thousand small messages a second."""
import asyncio
import random
import time

import pgwire

WEB_PERIOD = 1.0                # seconds from one transaction of a client to its next
WORK_SECONDS = (2.0, 4.0)       # that an embedding worker holds its transaction
SAMPLE_SECONDS = 0.05           # between two looks at pg_stat_activity
LOGINS_AT_ONCE = 64


class Port:
    """What one port did."""

    def __init__(self):
        self.connected = self.transactions = self.errors = self.mixups = 0
        self.in_transaction = self.waiting = 0
        self.times, self.waits, self.recent = [], [], []
        self.messages = {}

    def failed(self, problem):
        self.errors += 1
        text = str(problem) or type(problem).__name__
        self.messages[text] = self.messages.get(text, 0) + 1

    def done(self, seconds):
        self.transactions += 1
        self.times.append(seconds)
        self.recent.append(seconds)


def percentile(values, percent):
    if not values:
        return 0.0
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * percent / 100))]


class Load:
    def __init__(self, plan):
        self.plan = plan
        self.web, self.work = Port(), Port()
        self.servers_now = self.servers_most = self.samples = 0
        self.stopping = asyncio.Event()

    # ------------------------------------------------------------ web clients

    async def web_client(self, number, gate):
        plan = self.plan
        tenant = number % plan.tenants + 1
        connection = None
        await asyncio.sleep(random.random() * plan.ramp)
        while not self.stopping.is_set():
            try:
                if connection is None:
                    async with gate:
                        connection = await pgwire.connect(
                            plan.web_address, plan.user, plan.password, plan.dbname,
                            application_name="sse")
                    self.web.connected += 1
                await self.web_transaction(connection, number, tenant)
            except (OSError, pgwire.QueryError) as problem:
                self.web.failed(problem)
                if connection is not None:
                    connection.close()
                    connection = None
                    self.web.connected -= 1
            await self.pause(WEB_PERIOD * random.uniform(0.8, 1.2))
        if connection is not None:
            connection.close()

    async def web_transaction(self, connection, number, tenant):
        """What a request does: its tenant, a look, a line, and out."""
        start = time.perf_counter()
        await connection.query("BEGIN")
        rows = await connection.query(
            f"SELECT set_config('app.tenant_id', '{tenant}', true);"
            " SELECT count(*), min(tenant_id), max(tenant_id) FROM documents")
        await connection.query(f"INSERT INTO events (tenant_id, client) VALUES ({tenant}, {number})")
        await connection.query("COMMIT")
        self.web.done(time.perf_counter() - start)
        if rows[1] != (str(self.plan.documents), str(tenant), str(tenant)):
            self.web.mixups += 1

    # -------------------------------------------------------- embedding workers

    async def worker(self, number):
        plan = self.plan
        await asyncio.sleep(random.random() * plan.ramp)
        while not self.stopping.is_set():
            tenant = random.randint(1, plan.tenants)
            connection = None
            try:
                start = time.perf_counter()
                self.work.waiting += 1
                try:
                    connection = await pgwire.connect(
                        plan.work_address, plan.user, plan.password, plan.dbname,
                        application_name="embedding")
                    left = await connection.query(
                        "SELECT NULLIF(current_setting('app.tenant_id', true), '')")
                finally:
                    self.work.waiting -= 1
                if left != [(None,)]:
                    self.work.mixups += 1
                self.work.waits.append(time.perf_counter() - start)
                await self.work_transaction(connection, tenant)
                self.work.done(time.perf_counter() - start)
            except (OSError, pgwire.QueryError) as problem:
                self.work.failed(problem)
                await self.pause(0.2)
            finally:
                if connection is not None:
                    connection.close()

    async def work_transaction(self, connection, tenant):
        """A job: the session is the tenant's, and the transaction takes its time."""
        await connection.query(f"SET app.tenant_id = '{tenant}'")
        self.work.in_transaction += 1
        try:
            await connection.query("BEGIN")
            batches = 5
            seconds = random.uniform(*WORK_SECONDS)
            for _ in range(batches):
                rows = await connection.query("SELECT id, tenant_id FROM documents")
                if len(rows) != self.plan.documents or {row[1] for row in rows} != {str(tenant)}:
                    self.work.mixups += 1
                # The model computes.
                await asyncio.sleep(seconds / batches)
                await connection.query(
                    "INSERT INTO embeddings (written_for, vector)"
                    f" VALUES ({tenant}, ARRAY[{random.random()}, {random.random()}])")
            await connection.query("COMMIT")
        finally:
            self.work.in_transaction -= 1

    # --------------------------------------------------------------- observers

    async def count_servers(self):
        """Servers as PostgreSQL counts them, on a connection past the router."""
        connection = await pgwire.connect(self.plan.socket, "postgres", "", self.plan.dbname)
        while not self.stopping.is_set():
            rows = await connection.query(
                "SELECT count(*) FROM pg_stat_activity"
                f" WHERE usename = '{self.plan.user}' AND backend_type = 'client backend'")
            self.servers_now = int(rows[0][0])
            self.servers_most = max(self.servers_most, self.servers_now)
            self.samples += 1
            await asyncio.sleep(SAMPLE_SECONDS)
        connection.close()

    async def show_progress(self, print_line):
        start = last = time.monotonic()
        while not self.stopping.is_set():
            await self.pause(1.0)
            now = time.monotonic()
            recent, self.web.recent = self.web.recent, []
            print_line(
                f"{now - start:4.0f} s   6432: {self.web.connected:4d} clients"
                f" {len(recent) / (now - last):5.0f} tx/s  p95 {percentile(recent, 95) * 1e3:5.1f} ms"
                f"   6433: {self.work.in_transaction:2d} working {self.work.waiting:2d} queued"
                f"   servers {self.servers_now:2d} of {self.plan.budget}"
                f"   errors {self.web.errors + self.work.errors}"
                f"  mix-ups {self.web.mixups + self.work.mixups}")
            last = now

    async def pause(self, seconds):
        """Sleeps, unless the end comes before."""
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds)
        except asyncio.TimeoutError:
            pass

    async def run(self, print_line):
        gate = asyncio.Semaphore(LOGINS_AT_ONCE)
        watcher = asyncio.create_task(self.count_servers())
        progress = asyncio.create_task(self.show_progress(print_line))
        tasks = [asyncio.create_task(self.web_client(n, gate)) for n in range(self.plan.clients)]
        tasks += [asyncio.create_task(self.worker(n)) for n in range(self.plan.workers)]
        await asyncio.sleep(self.plan.seconds)
        self.stopping.set()
        # A job in progress, and those that queue behind it, may take their time.
        _, late = await asyncio.wait(tasks, timeout=30)
        for task in late:
            self.work.failed("did not end within 30 s")
            task.cancel()
        await progress
        await watcher

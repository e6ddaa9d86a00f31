# SPDX-License-Identifier: ISC
"""Many clients at once, in a process of their own: what they do must not slow down the
threads of the test.

    with Storm(router, transactional=40, session=10) as storm:     # until the end
        storm.goes_on()
    report = Storm(router, transactional=1600, session=400).once() # all logged in first

A client of the transaction port does short transactions, one of the session port a
session with a SET of its own; each asks for what only it can know, and checks the
answer."""
import asyncio
import collections
import json
import pathlib
import random
import resource
import struct
import subprocess
import sys
import threading

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from support import wire as w                        # noqa: E402
from support.wait import SLOWDOWN, wait_until        # noqa: E402

PATIENCE = 60 * SLOWDOWN


class Silent(Exception):
    """The connection ended without a word."""


class Peer(asyncio.Protocol):
    """A connection; ask() is one exchange up to ReadyForQuery."""

    def __init__(self):
        self.buffer, self.messages = bytearray(), []
        self.ready = None
        self.lost = False

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.buffer += data
        at = 0
        while len(self.buffer) - at >= 5:
            size = struct.unpack_from("!i", self.buffer, at + 1)[0] + 1
            if len(self.buffer) - at < size:
                break
            kind = chr(self.buffer[at])
            self.messages.append(w.Message(kind, bytes(self.buffer[at + 5:at + size])))
            at += size
            if kind == "Z":
                self.resolve()
        del self.buffer[:at]

    def connection_lost(self, exc):
        self.lost = True
        self.resolve()

    def resolve(self):
        if self.ready is not None and not self.ready.done():
            self.ready.set_result(None)

    async def ask(self, *parts):
        """The messages of the answer; with an ErrorResponse at the end if that was the
        last thing that was said."""
        if not self.lost:
            self.ready = asyncio.get_running_loop().create_future()
            self.transport.write(b"".join(parts))
            await asyncio.wait_for(self.ready, PATIENCE)
        found, self.messages = self.messages, []
        if self.lost and not any(m.type in "EZ" for m in found):
            raise Silent
        return found

    def quit(self):
        if not self.lost:
            self.transport.write(w.terminate())
            self.transport.close()


class Client:
    """One of them."""

    def __init__(self, storm, kind, number):
        self.storm, self.kind, self.number = storm, kind, number
        self.random = random.Random(f"{storm.seed} {kind} {number}")
        self.asked = 0

    async def expect(self, peer, sql, rows=None):
        """Whether the answer is what it must be; rows None: anything but an error."""
        answer = await peer.ask(w.query(sql))
        codes = w.errors(answer)
        if codes:
            self.storm.codes.update(codes)
            self.storm.inside.update(codes)
            return False
        if rows is not None and w.rows(answer) != rows:
            self.storm.wrong.append(f"{self.kind} {self.number}: {sql}: {w.rows(answer)}")
        return True

    def token(self):
        self.asked += 1
        return f"{self.kind}-{self.number}-{self.asked}"

    async def transaction(self, peer):
        token = self.token()
        dice = self.random.random()
        if dice < 0.5:
            return await self.expect(peer, f"SELECT '{token}'", [(token,)])
        if dice < 0.8:
            return await self.expect(peer, f"SELECT '{token}' FROM pg_sleep(0.002)", [(token,)])
        return await self.expect(peer, "BEGIN", []) and \
            await self.expect(peer, f"SELECT '{token}'", [(token,)]) and \
            await self.expect(peer, "COMMIT", [])

    async def session(self, peer):
        """Nothing of another session is there, and what this one sets stays."""
        token = self.token()
        seen = "SELECT coalesce(current_setting('app.who', true), '')"
        return await self.expect(peer, seen, [("",)]) and \
            await self.expect(peer, f"SET app.who = '{token}'") and \
            await self.expect(peer, seen, [(token,)])

    async def connect(self):
        who = self.random.choice(self.storm.who)
        loop = asyncio.get_running_loop()
        _, peer = await asyncio.wait_for(
            loop.create_connection(Peer, "127.0.0.1", self.storm.ports[self.kind]), PATIENCE)
        answer = await peer.ask(w.startup(who[0], who[1]))
        codes = w.errors(answer)
        if codes:
            self.storm.codes.update(codes)
            peer.quit()
            return None
        return peer

    async def serve(self, peer):
        """One session; True if nothing went wrong."""
        work = self.session if self.kind == "session" else self.transaction
        for _ in range(1 if self.kind == "session" else 4):
            if not await work(peer):
                return False
            self.storm.done[self.kind] += 1
        return True

    async def run(self):
        """Sessions, one after the other; in a storm of one turn all log in before the
        first one begins."""
        while not self.storm.stopping:
            peer = None
            try:
                peer = await self.connect()
                if self.storm.is_once:
                    await self.storm.all_in(peer is not None)
                if peer is not None:
                    await self.serve(peer)
                    peer.quit()
            except (Silent, ConnectionError):
                self.storm.silent += 1
                self.storm.cut += peer is not None
            except asyncio.TimeoutError:
                self.storm.hung.append(f"{self.kind} {self.number}")
            if self.storm.is_once:
                return


class Child:
    """What runs in the process of its own."""

    def __init__(self, orders):
        self.ports, self.who, self.seed = orders["ports"], orders["who"], orders["seed"]
        self.is_once, self.counts = orders["once"], orders["counts"]
        self.done = dict.fromkeys(self.counts, 0)
        # Connections that ended without a word, and those of them that were logged in.
        self.codes, self.silent, self.cut = collections.Counter(), 0, 0
        # What was told to those who were logged in.
        self.inside = collections.Counter()
        self.wrong, self.hung = [], []
        self.stopping = False
        self.logged_in = self.came = 0
        self.gate = None

    async def all_in(self, is_in):
        self.came += 1
        self.logged_in += is_in
        if self.came == sum(self.counts.values()):
            self.gate.set()
        await asyncio.wait_for(self.gate.wait(), PATIENCE)

    async def tell(self):
        while not self.stopping:
            print(json.dumps({"done": self.done}), flush=True)
            await asyncio.sleep(0.05)

    async def main(self):
        self.gate = asyncio.Event()
        loop = asyncio.get_running_loop()

        def on_stdin():
            self.stopping = True
            loop.remove_reader(0)
        loop.add_reader(0, on_stdin)
        teller = asyncio.create_task(self.tell())
        clients = [Client(self, kind, i) for kind, n in self.counts.items() for i in range(n)]
        await asyncio.gather(*(client.run() for client in clients))
        self.stopping = True
        await teller
        print(json.dumps({"done": self.done, "codes": self.codes, "silent": self.silent,
                          "cut": self.cut, "inside": self.inside,
                          "wrong": self.wrong[:5], "hung": self.hung[:5],
                          "logged_in": self.logged_in}), flush=True)


class Storm:
    """The test's side.  Users are let in without a password: log ins are not what is
    asked here."""

    def __init__(self, router, seed=1, who=(("app_scram", "app"),), **counts):
        self.orders = {"ports": {kind: router.ports[kind] for kind in counts},
                       "counts": counts, "who": who, "seed": seed, "once": False}
        self.last, self.process, self.reader = {}, None, None

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, __file__, json.dumps(self.orders)], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.last = json.loads(line)

    def finish(self):
        """The report, once all clients have come to an end."""
        self.process.stdin.close()
        self.reader.join(2 * PATIENCE)
        if self.process.poll() is None and self.reader.is_alive():
            self.process.kill()
        code = self.process.wait()
        self.reader.join()
        assert code == 0 and "codes" in self.last, f"the storm ended with {code}: {self.last}"
        assert not self.last["hung"], f"nobody answers them: {self.last}"
        assert not self.last["wrong"], f"wrong answers: {self.last}"
        return self.last

    def once(self):
        """All clients log in; when the last one is in, each does its work and leaves."""
        self.orders["once"] = True
        self.start()
        self.reader.join(2 * PATIENCE)
        return self.finish()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.process.kill()
            self.process.wait()
            self.reader.join()
            return
        self.report = self.finish()

    def goes_on(self, more=10):
        """Waits until each kind of clients has got that many answers more."""
        before = dict(self.last.get("done", {}))
        wait_until(lambda: all(self.last.get("done", {}).get(kind, 0) >=
                               before.get(kind, 0) + more for kind in self.orders["counts"]),
                   30, f"work goes on ({before})")


if __name__ == "__main__":
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    asyncio.run(Child(json.loads(sys.argv[1])).main())

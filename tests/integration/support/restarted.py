# SPDX-License-Identifier: ISC
"""A router whose process is replaced, and the connections of all of them together."""
import signal
import threading

from .adopted import Adopted, adopt_orphans
from .router import Router
from .wait import wait_until

APP = "usename = 'app_scram'"


class Restarted(Router):
    """A router that may be restarted: its process is the newest."""

    def __init__(self, directory, postgres, config=None, start=True):
        adopt_orphans()
        self.before = []
        super().__init__(directory, postgres, config, start)

    def complete(self, changes):
        config = super().complete(changes)
        config["process"]["pid_file"] = str(self.directory / "pid")
        return config

    def restart(self):
        assert self.command("RESTART") == "RESTART"
        self.follow()

    def follow(self):
        old = self.process.pid
        wait_until(lambda: self.pid() not in (None, old), 10, "the pid file is the new process's")
        self.before.append(self.process)
        self.process = Adopted(self.pid())

    def pid(self):
        text = (self.directory / "pid").read_text()
        return int(text) if text.endswith("\n") else None

    def old_ones_end(self):
        for process in self.before:
            assert process.wait(30) == 0
        self.before = []

    def finish(self):
        for number in (signal.SIGTERM, signal.SIGTERM):
            for process in self.before:
                if process.poll() is None:
                    process.send_signal(number)
        self.old_ones_end()
        super().finish()


class Watch:
    """The most server connections that there were at once, as PostgreSQL counts them."""

    def __init__(self, postgres):
        self.postgres, self.most, self.stop = postgres, 0, threading.Event()
        self.thread = threading.Thread(target=self.look)

    def look(self):
        with self.postgres.connect() as connection:
            while not self.stop.is_set():
                row = connection.execute(
                    f"SELECT count(*) FROM pg_stat_activity WHERE {APP}").fetchone()
                self.most = max(self.most, row[0])

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join(30)

# SPDX-License-Identifier: ISC
"""A PostgreSQL that says what a script wants it to say.

Connections for the database "alive" are served by itself: they show that the router
still works.  All others wait in a queue until the script takes them."""
import queue
import socket
import struct
import threading

from . import wire as w
from .net import free_port


def welcome(pid=4711):
    parts = [w.message("R", struct.pack("!i", 0))]
    for name, value in (("server_version", "15.0"), ("server_encoding", "UTF8"),
                        ("client_encoding", "UTF8"), ("DateStyle", "ISO, MDY"),
                        ("TimeZone", "UTC"), ("IntervalStyle", "postgres"),
                        ("integer_datetimes", "on"), ("standard_conforming_strings", "on"),
                        ("is_superuser", "off"), ("session_authorization", "u"),
                        ("application_name", "")):
        parts.append(w.message("S", w.cstr(name) + w.cstr(value)))
    parts.append(w.message("K", struct.pack("!ii", pid, 12345)))
    parts.append(w.message("Z", b"I"))
    return b"".join(parts)


class Accepted(w.Wire):
    """The server's end of a connection."""

    def __init__(self, accepted, timeout):  # pylint: disable=super-init-not-called
        self.socket = accepted
        self.socket.settimeout(timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.pid = self.key = None
        self.parameters = {}
        self.startup = {}

    def read_startup(self):
        """The StartupMessage, requests for encryption declined; None for a cancel."""
        while True:
            size = struct.unpack("!i", self.read(4))[0]
            body = self.read(size - 4)
            code = struct.unpack_from("!i", body)[0]
            if code in (80877103, 80877104):
                self.send(b"N")
            elif code == 80877102:
                return None
            else:
                words = [word.decode() for word in body[4:].split(b"\0")]
                self.startup = dict(zip(words[0:-2:2], words[1:-2:2]))
                return self.startup

    def serve(self):
        """Answers everything with success, until the end."""
        answers = {"Q": w.message("C", b"SELECT 0\0") + w.message("Z", b"I"),
                   "P": w.message("1"), "B": w.message("2"), "D": w.message("n"),
                   "E": w.message("C", b"SELECT 0\0"), "C": w.message("3"),
                   "S": w.message("Z", b"I")}
        try:
            while True:
                got = self.receive()
                if got.type == "X":
                    break
                self.send(answers.get(got.type, b""))
        except (OSError, EOFError):
            pass
        self.socket.close()


class FakeServer:
    def __init__(self, raw=False, timeout=30):
        self.port = free_port()
        self.raw, self.timeout = raw, timeout
        self.waiting = queue.Queue()
        self.all = []
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=100)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                accepted, _ = self.listener.accept()
            except OSError:
                return
            connection = Accepted(accepted, self.timeout)
            self.all.append(connection)
            threading.Thread(target=self.greet, args=(connection,), daemon=True).start()

    def greet(self, connection):
        try:
            if self.raw:
                peeked = connection.socket.recv(4096, socket.MSG_PEEK)
                if b"database\0alive\0" not in peeked:
                    self.waiting.put(connection)
                    return
            found = connection.read_startup()
            if found is None:
                # A cancel: PostgreSQL closes without an answer.
                connection.socket.close()
                return
            connection.send(welcome())
            if found.get("database") == "alive":
                connection.serve()
            else:
                self.waiting.put(connection)
        except (OSError, EOFError):
            pass

    def take(self):
        return self.waiting.get(timeout=self.timeout)

    @staticmethod
    def serve(connection):
        """From now on it answers by itself."""
        threading.Thread(target=connection.serve, daemon=True).start()

    def forget(self):
        """Ends all connections of a run of a script."""
        for connection in self.all:
            if connection.startup.get("database") != "alive":
                connection.socket.close()
        self.all.clear()
        while not self.waiting.empty():
            self.waiting.get()

    def close(self):
        # A thread in accept() wakes up at shutdown() only.
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for connection in self.all:
            connection.socket.close()

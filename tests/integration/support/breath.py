# SPDX-License-Identifier: ISC
"""A way to PostgreSQL on which it seems to stop for breath behind each message of a type: as
a busy machine does it now and then, and always where a test wants to see what comes of it."""
import socket
import struct
import threading
import time

from .net import free_port


class Breath:
    def __init__(self, port, behind=b"Z", seconds=0.1):
        self.postgres, self.behind, self.seconds = port, behind, seconds
        self.port = free_port()
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                router, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.postgres))
            for one in (router, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for run, args in ((self.forward, (router, server)), (self.breathe, (server, router))):
                threading.Thread(target=run, args=args, daemon=True).start()

    @staticmethod
    def forward(source, to):
        try:
            while data := source.recv(1 << 16):
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def breathe(self, source, to):
        data, is_first = b"", True
        try:
            while more := source.recv(1 << 16):
                data += more
                # PostgreSQL here has no TLS: a byte that is no message says so.
                if is_first and data[:1] == b"N":
                    to.sendall(data[:1])
                    data = data[1:]
                is_first = False
                while len(data) >= 5:
                    size = 1 + struct.unpack_from("!I", data, 1)[0]
                    if len(data) < size:
                        break
                    message, data = data[:size], data[size:]
                    to.sendall(message)
                    if message[:1] in self.behind:
                        time.sleep(self.seconds)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.listener.close()

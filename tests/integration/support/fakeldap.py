# SPDX-License-Identifier: ISC
"""A directory that answers as a test wants it to (RFC 4511, as much of it as is needed)."""
import socket
import threading

from .net import free_port

BIND, SEARCH, EXTENDED = 0x60, 0x63, 0x77
SUCCESS, SIZE_LIMIT = 0, 4


def ber(tag, body):
    assert len(body) < 128
    return bytes([tag, len(body)]) + body


def message(number, op):
    return ber(0x30, ber(2, bytes([number])) + op)


def result(number, tag, code):
    return message(number, ber(tag, ber(10, bytes([code])) + ber(4, b"") + ber(4, b"")))


def bound(number, code=SUCCESS):
    return result(number, 0x61, code)


def entry(number, name):
    return message(number, ber(0x64, ber(4, name) + ber(0x30, b"")))


def searched(number, code=SUCCESS):
    return result(number, 0x65, code)


def extended(number, code=SUCCESS):
    return result(number, 0x78, code)


class FakeLdap:
    """answer(operation, number): the bytes to send, None to say nothing."""

    def __init__(self, answer, host="127.0.0.1", port=None):
        self.answer = answer
        self.asked = 0
        self.connections = []
        self.sent = 0
        # Not one that the kernel would give to others, too: another host may have the same.
        self.port = port or free_port()
        self.socket = socket.create_server((host, self.port), backlog=500)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            while data := connection.recv(65536):
                at = 2 if data[1] < 128 else 2 + (data[1] & 127)
                self.asked += 1
                answer = self.answer(data[at + 3], data[at + 2])
                for at in range(0, len(answer or b""), 65536):
                    connection.sendall(answer[at:at + 65536])
                    self.sent += 65536
        except OSError:
            pass

    def close(self):
        # shutdown() wakes who waits for it.
        for one in (self.socket, *self.connections):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()

# SPDX-License-Identifier: ISC
"""As much of PostgreSQL's protocol as the demonstration needs, on asyncio."""
import asyncio
import base64
import functools
import hashlib
import hmac
import os
import struct


class QueryError(Exception):
    def __init__(self, fields):
        super().__init__(f"{fields.get('C')}: {fields.get('M')}")
        self.sqlstate = fields.get("C")


@functools.lru_cache(maxsize=None)
def salted_password(password, salt, rounds):
    """The expensive part of SCRAM, the same for each login of a user."""
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)


def message(kind, body=b""):
    return kind + struct.pack("!i", len(body) + 4) + body


class Connection(asyncio.Protocol):
    """One connection; one query at a time."""

    def __init__(self, user, password, dbname, parameters):
        self.user, self.password = user, password
        self.dbname, self.parameters = dbname, parameters
        self.buffer = bytearray()
        self.rows, self.error = [], None
        self.waiter = asyncio.get_running_loop().create_future()
        self.transport = self.nonce = None

    # ------------------------------------------------------------ for the user

    async def query(self, text):
        """The rows of all statements of one simple query, as tuples of text."""
        if self.transport.is_closing():
            raise ConnectionError("the connection is closed")
        self.waiter = asyncio.get_running_loop().create_future()
        self.transport.write(message(b"Q", text.encode() + b"\0"))
        return await self.waiter

    def close(self):
        if self.transport and not self.transport.is_closing():
            self.transport.write(message(b"X"))
            self.transport.close()

    # ------------------------------------------------------------- for asyncio

    def connection_made(self, transport):
        self.transport = transport
        words = {"user": self.user, "database": self.dbname, **self.parameters}
        body = struct.pack("!i", 196608)
        for key, value in words.items():
            body += key.encode() + b"\0" + value.encode() + b"\0"
        transport.write(struct.pack("!i", len(body) + 5) + body + b"\0")

    def data_received(self, data):
        buffer = self.buffer
        buffer += data
        at, size = 0, len(buffer)
        while size - at >= 5:
            end = at + 1 + int.from_bytes(buffer[at + 1:at + 5], "big")
            if end > size:
                break
            self.handle(buffer[at], bytes(buffer[at + 5:end]))
            at = end
        del buffer[:at]

    def connection_lost(self, exc):
        if not self.waiter.done():
            self.waiter.set_exception(QueryError(self.error) if self.error
                                      else exc or ConnectionError("closed by the other side"))

    # -------------------------------------------------------------- messages

    def handle(self, kind, body):
        if kind == 0x44:    # D
            self.rows.append(self.read_row(body))
        elif kind == 0x45:  # E
            self.error = {chr(f[0]): f[1:].decode("utf-8", "replace")
                          for f in body.split(b"\0") if f}
        elif kind == 0x52:  # R
            self.authenticate(body)
        elif kind == 0x5a:  # Z
            self.finish()

    def finish(self):
        rows, error = self.rows, self.error
        self.rows, self.error = [], None
        if self.waiter.done():
            return
        if error:
            self.waiter.set_exception(QueryError(error))
        else:
            self.waiter.set_result(rows)

    @staticmethod
    def read_row(body):
        values, at = [], 2
        for _ in range(int.from_bytes(body[:2], "big")):
            size = struct.unpack_from("!i", body, at)[0]
            at += 4
            values.append(None if size < 0 else body[at:at + size].decode())
            at += max(size, 0)
        return tuple(values)

    def authenticate(self, body):
        kind = int.from_bytes(body[:4], "big")
        if kind == 3:
            self.transport.write(message(b"p", self.password.encode() + b"\0"))
        elif kind == 5:
            inner = hashlib.md5((self.password + self.user).encode()).hexdigest()
            outer = hashlib.md5(inner.encode() + body[4:8]).hexdigest()
            self.transport.write(message(b"p", b"md5" + outer.encode() + b"\0"))
        elif kind == 10:
            self.nonce = base64.b64encode(os.urandom(18)).decode()
            first = f"n,,n=,r={self.nonce}".encode()
            self.transport.write(message(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first))
                                         + first))
        elif kind == 11:
            self.transport.write(message(b"p", self.scram_final(body[4:].decode())))

    def scram_final(self, challenge):
        said = dict(part.split("=", 1) for part in challenge.split(","))
        salted = salted_password(self.password, base64.b64decode(said["s"]), int(said["i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        final = f"c=biws,r={said['r']}"
        signed = f"n=,r={self.nonce},{challenge},{final}".encode()
        signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
        proof = bytes(a ^ b for a, b in zip(key, signature))
        return f"{final},p={base64.b64encode(proof).decode()}".encode()


async def connect(address, user, password, dbname, **parameters):
    """address is (host, port), or the path of a unix socket."""
    loop = asyncio.get_running_loop()

    def factory():
        return Connection(user, password, dbname, parameters)

    if isinstance(address, tuple):
        _, connection = await loop.create_connection(factory, *address)
    else:
        _, connection = await loop.create_unix_connection(factory, address)
    await connection.waiter
    return connection

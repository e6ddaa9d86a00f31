# SPDX-License-Identifier: ISC
"""PostgreSQL's protocol, byte for byte, for what no driver says."""
import base64
import hashlib
import hmac
import os
import socket
import struct
from collections import namedtuple

PROTOCOL_3_0 = 196608
PROTOCOL_3_2 = 196610
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
GSSENC_REQUEST = struct.pack("!ii", 8, 80877104)


class Message(namedtuple("Message", "type body")):
    """One message from the other side: type is one letter."""

    @property
    def fields(self):
        """Of ErrorResponse and NoticeResponse: {"S": "ERROR", "C": "57014", ...}."""
        return {chr(f[0]): f[1:].decode("utf-8", "replace")
                for f in self.body.split(b"\0") if f}

    @property
    def sqlstate(self):
        return self.fields.get("C")

    @property
    def text(self):
        return self.fields.get("M")

    @property
    def row(self):
        """Of DataRow: the values as bytes or None."""
        values, at = [], 2
        for _ in range(struct.unpack_from("!h", self.body)[0]):
            size = struct.unpack_from("!i", self.body, at)[0]
            at += 4
            values.append(None if size < 0 else self.body[at:at + size])
            at += max(size, 0)
        return values

    @property
    def tag(self):
        """Of CommandComplete."""
        return self.body.rstrip(b"\0").decode()


def message(kind, body=b""):
    return kind.encode() + struct.pack("!i", len(body) + 4) + body


def cstr(text):
    return (text if isinstance(text, bytes) else text.encode()) + b"\0"


def startup(user, dbname, version=PROTOCOL_3_0, **parameters):
    body = struct.pack("!i", version)
    for key, value in {"user": user, "database": dbname, **parameters}.items():
        if value is not None:
            body += cstr(key) + cstr(value)
    return struct.pack("!i", len(body) + 5) + body + b"\0"


def query(sql):
    return message("Q", cstr(sql))


def parse(sql, name="", types=()):
    return message("P", cstr(name) + cstr(sql) + struct.pack(f"!h{len(types)}i", len(types), *types))


def bind(values=(), name="", portal="", formats=(), result_formats=()):
    body = cstr(portal) + cstr(name)
    body += struct.pack(f"!h{len(formats)}h", len(formats), *formats)
    body += struct.pack("!H", len(values))
    for value in values:
        if value is None:
            body += struct.pack("!i", -1)
        else:
            data = value if isinstance(value, bytes) else str(value).encode()
            body += struct.pack("!i", len(data)) + data
    return message("B", body + struct.pack(f"!h{len(result_formats)}h", len(result_formats),
                                           *result_formats))


def describe(kind="P", name=""):
    return message("D", kind.encode() + cstr(name))


def execute(portal="", rows=0):
    return message("E", cstr(portal) + struct.pack("!i", rows))


def close(kind, name=""):
    return message("C", kind.encode() + cstr(name))


def sync():
    return message("S")


def flush():
    return message("H")


def terminate():
    return message("X")


def copy_data(data):
    return message("d", data)


def copy_done():
    return message("c")


def copy_fail(reason="no"):
    return message("f", cstr(reason))


def function_call(oid, *arguments):
    body = struct.pack("!ihhh", oid, 1, 1, len(arguments))
    for argument in arguments:
        body += struct.pack("!i", -1) if argument is None else \
            struct.pack("!i", len(argument)) + argument
    return message("F", body + struct.pack("!h", 1))


def cancel_request(pid, key):
    body = struct.pack("!ii", 80877102, pid) + key
    return struct.pack("!i", len(body) + 4) + body


def one_query(sql, *values):
    """A whole extended-protocol exchange with the unnamed statement."""
    return parse(sql) + bind(values) + describe() + execute() + sync()


class Wire:
    """A client's end of a connection, blocking, with a deadline on everything."""

    def __init__(self, host, port, timeout=30, source=None):
        if str(host).startswith("/"):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            self.socket.connect(f"{host}/.s.PGSQL.{port}")
        else:
            self.socket = socket.create_connection((host, port), timeout,
                                                   (source, 0) if source else None)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.pid = self.key = None
        self.parameters = {}
        self.binding = None     # of SCRAM-SHA-256-PLUS: the hash of a certificate

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def start_tls(self, context, **more):
        """Asks for it, and gets it."""
        self.send(SSL_REQUEST)
        assert self.read(1) == b"S"
        self.socket = context.wrap_socket(self.socket, **more)

    def close(self):
        """As a client that dies does: no Terminate."""
        self.socket.close()

    def quit(self):
        self.send(terminate())
        self.socket.close()

    # ------------------------------------------------------------- messages

    def send(self, *parts):
        self.socket.sendall(b"".join(parts))

    def send_split(self, data, at):
        """In two segments: what comes after `at` is sent on its own."""
        self.socket.sendall(data[:at])
        self.socket.sendall(data[at:])

    def read(self, size):
        while len(self.buffer) < size:
            more = self.socket.recv(1 << 16)
            if not more:
                raise EOFError(f"closed with {self.buffer!r} unread")
            self.buffer += more
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def receive(self):
        head = self.read(5)
        return Message(chr(head[0]), self.read(struct.unpack("!i", head[1:])[0] - 4))

    def until(self, *kinds):
        """All messages up to and including one of these types."""
        messages = []
        while not messages or messages[-1].type not in kinds:
            messages.append(self.receive())
        return messages

    def until_ready(self):
        return self.until("Z")

    def until_closed(self):
        """All messages that come before the end of the connection."""
        messages = []
        try:
            while True:
                messages.append(self.receive())
        except (EOFError, ConnectionResetError):
            return messages

    def is_quiet(self, seconds=0.2):
        """Whether nothing comes for a while, and the connection stays open."""
        if self.buffer:
            return False
        timeout = self.socket.gettimeout()
        self.socket.settimeout(seconds)
        try:
            data = self.socket.recv(1)
            self.buffer += data
            return False
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(timeout)

    def query(self, sql):
        """The messages that answer one simple query, ReadyForQuery last."""
        self.send(query(sql))
        return self.until_ready()

    def value(self, sql):
        """First value of the first row, as text."""
        answer = self.query(sql)
        for found in answer:
            if found.type == "E":
                raise RuntimeError(f"{found.sqlstate}: {found.text}")
        value = next(found for found in answer if found.type == "D").row[0]
        return None if value is None else value.decode()

    # ---------------------------------------------------------------- login

    def login(self, user, password, dbname, version=PROTOCOL_3_0, **parameters):
        self.send(startup(user, dbname, version, **parameters))
        return self.authenticate(user, password)

    def authenticate(self, user, password):
        """Answers what the other side asks for, up to ReadyForQuery."""
        seen = []
        while True:
            got = self.receive()
            seen.append(got)
            if got.type == "R":
                self.answer(got, user, password)
            elif got.type == "S":
                name, value = got.body[:-1].split(b"\0")
                self.parameters[name.decode()] = value.decode()
            elif got.type == "K":
                self.pid, self.key = struct.unpack_from("!i", got.body)[0], got.body[4:]
            elif got.type == "E":
                raise RuntimeError(f"{got.sqlstate}: {got.text}")
            elif got.type == "Z":
                return seen

    def answer(self, request, user, password):
        kind = struct.unpack_from("!i", request.body)[0]
        if kind == 3:
            self.send(message("p", cstr(password)))
        elif kind == 5:
            inner = hashlib.md5((password + user).encode()).hexdigest()
            outer = hashlib.md5(inner.encode() + request.body[4:8]).hexdigest()
            self.send(message("p", cstr("md5" + outer)))
        elif kind == 10:
            self.nonce = base64.b64encode(os.urandom(18)).decode()
            self.bare = f"n=,r={self.nonce}"
            first = self.gs2() + self.bare.encode()
            name = "SCRAM-SHA-256" if self.binding is None else "SCRAM-SHA-256-PLUS"
            self.send(message("p", cstr(name) + struct.pack("!i", len(first)) + first))
        elif kind == 11:
            self.send(message("p", self.scram_final(request.body[4:].decode(), password)))

    def gs2(self):
        return b"n,," if self.binding is None else b"p=tls-server-end-point,,"

    def scram_final(self, challenge, password):
        said = dict(part.split("=", 1) for part in challenge.split(","))
        assert said["r"].startswith(self.nonce)
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(said["s"]),
                                     int(said["i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        bound = base64.b64encode(self.gs2() + (self.binding or b"")).decode()
        final = f"c={bound},r={said['r']}"
        signed = ",".join((self.bare, challenge, final)).encode()
        signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
        proof = bytes(a ^ b for a, b in zip(key, signature))
        return f"{final},p={base64.b64encode(proof).decode()}".encode()


def types(messages):
    """"TDCZ": the types of messages, asynchronous ones (S, N) left out."""
    return "".join(m.type for m in messages if m.type not in "SN")


def rows(messages):
    """The rows of all DataRows, values as text."""
    return [tuple(None if v is None else v.decode() for v in m.row)
            for m in messages if m.type == "D"]


def errors(messages):
    """The SQLSTATEs of all ErrorResponses."""
    return [m.sqlstate for m in messages if m.type == "E"]

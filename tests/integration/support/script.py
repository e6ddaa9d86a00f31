# SPDX-License-Identifier: ISC
"""Runs the scripts of tests/wire, whose README explains the words."""
import ast
import itertools
import re
import socket
import struct
import time

from . import wire as w
from .fakeserver import FakeServer, welcome
from .router import merge
from .wait import SLOWDOWN, wait_until

ITEM = re.compile(r"""\s*([A-Za-z0-9*?]+)(\((?:[^()"']|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')*\))?""")
PART = re.compile(r"""\s*(?:(\d+)\*)?("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^\s"']+)""")
NUMBERS = {"i8": "!b", "i16": "!h", "i32": "!i"}
names = itertools.count(1)


# Of each clean another one: in scripts always the same.
SEED = re.compile(rb"SET seed = 0\.\d{15};")


class ScriptError(AssertionError):
    pass


def text_of(word):
    return ast.literal_eval("b" + word)


def parts(text):
    """[("kind", value)] of what stands between parentheses."""
    found, at = [], 0
    text = text.strip()
    while at < len(text):
        match = PART.match(text, at)
        if not match:
            raise ScriptError(f"not understood: {text[at:]}")
        at = match.end()
        found.append((int(match[1] or 1), match[2]))
    return found


def part_bytes(count, word):
    if word[0] == '"':
        data = text_of(word) + b"\0"
    elif word[0] == "'":
        data = text_of(word)
    elif word.startswith("x:"):
        data = bytes.fromhex(word[2:])
    else:
        kind, _, number = word.partition(":")
        if kind not in NUMBERS:
            raise ScriptError(f"not a part: {word}")
        value = int(number, 0)
        data = struct.pack(NUMBERS[kind] if value < 0 else NUMBERS[kind].upper(), value)
    return data * count


def body_of(text):
    return b"".join(part_bytes(*part) for part in parts(text))


def items(text):
    """[(name, text between parentheses or None)]"""
    found, at = [], 0
    text = text.strip()
    while at < len(text):
        match = ITEM.match(text, at)
        if not match:
            raise ScriptError(f"not understood: {text[at:]}")
        at = match.end()
        found.append((match[1], match[2][1:-1] if match[2] is not None else None))
        while at < len(text) and text[at].isspace():
            at += 1
    return found


class Run:
    """One run of a script: its clients, its servers, its unique database."""

    def __init__(self, script, router, server, cut):
        self.script, self.router, self.server, self.cut = script, router, server, cut
        self.peers = {}
        self.database = f"wire{next(names)}"

    # ------------------------------------------------------------- what is sent

    def encode(self, name, text):
        if name == "raw":
            return body_of(text)
        if name == "startup":
            return self.startup(text)
        if name in ("ssl", "gssenc"):
            return w.SSL_REQUEST if name == "ssl" else w.GSSENC_REQUEST
        if name == "cancel":
            peer = self.peers[text]
            return w.cancel_request(peer.pid, peer.key)
        if name == "welcome":
            return welcome()
        if name == "error":
            return self.error(text)
        if len(name) != 1:
            raise ScriptError(f"not an item: {name}")
        return w.message(name, body_of(text or ""))

    def startup(self, text):
        words = text.split()
        major, minor = words[0].split(".")
        body = struct.pack("!i", int(major) << 16 | int(minor))
        for word in words[1:]:
            key, _, value = word.partition("=")
            body += w.cstr(key) + w.cstr(self.database if value == "@" else value)
        return struct.pack("!i", len(body) + 5) + body + b"\0"

    @staticmethod
    def error(text):
        found = parts(text)
        if not found:
            return w.message("E", b"\0")
        (_, severity), (_, code), (_, words) = found
        return w.message("E", w.cstr("S" + severity) + w.cstr("V" + severity) + w.cstr("C" + code)
                         + b"M" + text_of(words) + b"\0\0")

    def send(self, peer, how, text):
        data = b"".join(self.encode(*item) for item in items(text))
        if how == ">":
            peer.send(data)
        elif how == ">.":
            for n in range(len(data)):
                peer.send(data[n:n + 1])
        else:
            self.script.length = len(data)
            peer.send(data[:self.cut])
            # The other side is to see the first part alone.
            time.sleep(0.001)
            peer.send(data[self.cut:])

    # --------------------------------------------------------- what must come

    def expect(self, peer, text):
        patterns = items(text)
        for n, (name, detail) in enumerate(patterns):
            if name == "eof":
                self.expect_end(peer)
            elif name == "quiet":
                if not peer.is_quiet(0.1):
                    raise ScriptError(f"not quiet: {peer.buffer!r}")
            elif name == "byte":
                got = peer.read(len(body_of(detail)))
                self.same(got, body_of(detail), "bytes")
            elif name == "startup":
                peer.read_startup()
            elif name == "until":
                peer.until(detail)
            elif name == "skip":
                self.skip(peer, detail, patterns[n + 1:])
            else:
                self.expect_message(peer, name, detail)

    @staticmethod
    def same(got, wanted, what):
        if got != wanted:
            raise ScriptError(f"{what}: {got!r} instead of {wanted!r}")

    def expect_end(self, peer):
        rest = [m for m in peer.until_closed() if m.type not in "SN"]
        if rest:
            raise ScriptError(f"not the end but {rest}")

    def skip(self, peer, kind, following):
        try:
            got = peer.receive()
        except (EOFError, ConnectionResetError):
            if following and following[0][0] == "eof":
                return
            raise
        if got.type != kind:
            peer.buffer = w.message(got.type, got.body) + peer.buffer

    def expect_message(self, peer, name, detail):
        got = peer.receive()
        while got.type in "SN" and got.type != name and isinstance(peer, w.Wire) and \
                peer in self.clients():
            got = peer.receive()
        if got.type != name:
            raise ScriptError(f"{got} instead of {name}")
        if detail is None:
            return
        if name == "E" and re.fullmatch(r"[0-9A-Z|]+", detail):
            if got.sqlstate not in detail.split("|"):
                raise ScriptError(f"{got.fields} instead of {detail}")
            return
        body = SEED.sub(b"SET seed = 0.5;", got.body) if name == "Q" else got.body
        self.same(body, body_of(detail), f"body of {name}")

    @staticmethod
    def barrier(peer):
        """Answers the query with which the router finds its place again."""
        got = peer.receive()
        found = re.fullmatch(rb"(pgtandem_barrier_\w+)\0ROLLBACK\0(\0\2.{8})", got.body, re.DOTALL)
        if got.type != "P" or not found:
            raise ScriptError(f"{got} instead of a barrier")
        for kind, name in (("D", b"S" + found[1] + b"\0"), ("C", b"S" + found[1] + b"\0"), ("S", b"")):
            got = peer.receive()
            if (got.type, got.body) != (kind, name):
                raise ScriptError(f"{got} in a barrier")
        peer.send(w.message("1"), w.message("t", found[2]), w.message("n"), w.message("3"),
                  w.message("Z", b"I"))

    def clients(self):
        return [peer for name, peer in self.peers.items() if name[0] == "c"]

    # -------------------------------------------------------------- statements

    def line(self, text):
        word, _, rest = text.partition(" ")
        if word == "log":
            pattern = ast.literal_eval(rest)
            wait_until(lambda: re.search(pattern, self.router.log()), 5, f"log {pattern}")
            return
        verb, _, detail = rest.strip().partition(" ")
        if verb in ("connect", "login"):
            peer = self.peers[word] = getattr(self.router, detail.strip() or "transactional").raw()
            if verb == "login":
                peer.send(self.startup("3.0 user=u database=@"))
                peer.authenticate("u", "")
        elif verb == "take":
            self.peers[word] = self.server.take()
        elif verb in (">", ">|", ">."):
            self.send(self.peers[word], verb, detail)
        elif verb == "<":
            self.expect(self.peers[word], detail)
        elif verb == "serve":
            self.server.serve(self.peers[word])
        elif verb == "barrier":
            self.barrier(self.peers[word])
        elif verb == "close":
            self.peers[word].socket.close()
        elif verb == "shutdown":
            self.peers[word].socket.shutdown(socket.SHUT_WR)
        elif verb == "reset":
            self.peers[word].socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                               struct.pack("ii", 1, 0))
            self.peers[word].socket.close()
        else:
            raise ScriptError(f"not a statement: {text}")

    def run(self):
        try:
            for number, text in self.script.lines:
                try:
                    self.line(text)
                except Exception as problem:
                    cut = f", cut at {self.cut}" if self.script.is_cut else ""
                    raise ScriptError(f"{self.script.name}:{number}{cut}: {text}\n"
                                      f"{type(problem).__name__}: {problem}") from problem
        finally:
            for peer in self.peers.values():
                peer.socket.close()
            self.server.forget()


class Script:
    def __init__(self, path):
        self.name = path.name
        self.settings, self.lines, self.errors = {}, [], []
        self.raw = False
        self.length = None
        for number, text in enumerate(path.read_text().splitlines(), 1):
            text = text.strip()
            if not text or text.startswith("#"):
                continue
            if text.startswith("set "):
                _, key, value = text.split(None, 2)
                node = {"true": True, "false": False}.get(value, value)
                for word in reversed(key.split(".")):
                    node = {word: node}
                merge(self.settings, node)
            elif text == "server raw":
                self.raw = True
            elif text.startswith("expect-error "):
                self.errors.append(ast.literal_eval(text.split(" ", 1)[1]))
            else:
                self.lines.append((number, text))
        self.is_cut = any(" >| " in text for _, text in self.lines)

    def run(self, make_router):
        server = FakeServer(self.raw, 10 * SLOWDOWN)
        try:
            router = make_router(merge({
                "process": {"workers": 1},
                "hosts": {"main": {"port": server.port, "connection_budget": 40,
                                   "server_tls_sslmode": "disable"}},
                "auth": {"auth_type": "trust"},
                "users": {"u": {"password": "x"}},
                # The fake PostgreSQL answers no questions of the router's own.
                "defaults": {"server_check_delay": "1h", "query_wait_timeout": "20s",
                             "session_state_unseen": "keep"},
            }, self.settings))
            router.expected_errors += self.errors
            cut = 1
            while True:
                Run(self, router, server, cut).run()
                cut += 1
                if not self.is_cut or cut >= self.length:
                    break
            self.alive(router)
        finally:
            server.close()

    def alive(self, router):
        """Everybody else is undisturbed."""
        for endpoint in (router.transactional, router.session):
            with endpoint.raw() as wire:
                wire.send(w.startup("u", "alive"))
                wire.authenticate("u", "")
                answer = wire.query("SELECT 1")
                if w.types(answer) != "CZ":
                    raise ScriptError(f"{self.name}: the next client is not served: {answer}")

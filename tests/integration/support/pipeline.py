# SPDX-License-Identifier: ISC
"""Scripts of clients that speak the extended protocol, run through the router and, each client by
itself, on PostgreSQL, message by message.

A script is a list of steps, each (client, what, ...), of what repr() gives back, so that one that
failed can be kept in a file:

  P name text, B portal name values, D S|P name, E portal rows, C S|P name, H, S, Q text
                  messages
  QC text data, EC text data
                  COPY with its data, by Query and by Parse, Bind, Execute
  cut             what there is goes out, in a write of its own
  wait            ends in a Sync where one is wanted; all answers are read and compared
  hush            ends in a Flush; the same
  leave how       quit or die, with answers unread; the next message is another life's

In texts {m} is the mark of this life of the client, which nobody else may ever see, {t} is a table
of its own, and {k} a number for its locks.  What is put in front of who waits so that it can get a
server is no part of the script: see Story.settle()."""
import re
from collections import deque

from .wire import bind, close, copy_data, copy_done, describe, execute, flush, parse, query, sync

MARK = re.compile(rb"[A-Z]\d+\.\d+~")
# What may keep a server, and what leaves nothing of that.
PINS = re.compile("TEMP|WITH HOLD|advisory_lock|LISTEN")
PREPARES = re.compile(r"PREPARE (\w+)(?: \(text\))? AS ([^;]*)")
UNPIN = "DISCARD TEMP; CLOSE ALL; UNLISTEN *; SELECT pg_advisory_unlock_all()"
SETTINGS = ("SELECT current_setting('app.x', true), current_setting('app.y', true), "
            "current_setting('TimeZone'), current_setting('work_mem'), "
            "current_setting('search_path')")
MESSAGES = {
    "P": lambda name, text: parse(text, name),
    "B": lambda portal, name, values: bind(values, name, portal),
    "D": describe, "E": execute, "C": close, "H": flush, "S": sync, "Q": query,
    "QC": lambda text, data: query(text) + copy_data(data.encode()) + copy_done(),
    "EC": lambda text, data: (
        parse(text, "copy") + bind((), "copy", "copy") + execute("copy")
        + copy_data(data.encode()) + copy_done() + close("S", "copy")),
}
QUERIES = ("Q", "QC")
# What ends the answer to a message; an error does, too.
LAST = {"P": "1", "B": "2", "D": "Tn", "E": "CIs", "C": "3", "S": "Z", "Q": "Z", "QC": "Z", "EC": "3"}


class Failed(AssertionError):
    """kind: difference, leak, silence, end, login, log, or postgresql, which is a fault of the test."""

    def __init__(self, kind, text):
        super().__init__(f"{kind}: {text}")
        self.kind = kind


class Sent:
    """A message of a client's, and what became of it on PostgreSQL."""

    def __init__(self, step):
        self.step, self.what = step, step[0]
        self.status = ""        # of the transaction when it ran
        self.fate = "sent"      # done, failed, skipped
        self.runs = ""          # the text that it binds or runs, with its values

    @property
    def text(self):
        """Of Query and Parse."""
        return self.step[-1] if self.what in ("P", "Q") else ""

    @property
    def statement(self):
        """The name that it makes, uses or closes."""
        if self.what in ("P", "B"):
            return self.step[1 if self.what == "P" else 2]
        return self.step[2] if self.step[1:2] == ("S",) else None

    def __repr__(self):
        return f"{' '.join(map(repr, self.step))} ({self.fate}, {self.status})"


def with_values(text, values):
    for n, value in enumerate(values, 1):
        text = text.replace(f"${n}", "NULL" if value is None else f"'{value}'")
    return text


def plain(message, parameters):
    """What clients go by.  NULL and '' of a variable of one's own are alike (session-state.md)."""
    kind, body = message
    if kind == "D":
        return kind, tuple(v or b"" for v in message.row)
    if kind == "E":
        return kind, message.sqlstate
    if kind == "C":
        return kind, message.tag
    if kind == "T":
        columns, at = [], 2
        while at < len(body):
            end = body.index(b"\0", at)
            # Not which table it is of: there is one in each database.
            columns.append((body[at:end], body[end + 7:end + 13], body[end + 17:end + 19]))
            at = end + 19
        return kind, tuple(columns)
    if kind == "Z":
        return kind, (body.decode(), tuple(sorted(parameters.items())))
    return kind, body


class Client:
    """One of the script's, with a connection each to the router and to PostgreSQL.

    connect(table, parameters) gives both, and makes the table that is its own."""

    def __init__(self, letter, story, is_session, connect, startups):
        self.letter, self.story, self.is_session = letter, story, is_session
        self.connect, self.startups = connect, startups
        self.life = 0
        self.begin()

    def begin(self):
        self.life += 1
        self.mark = f"{self.letter}{self.story}.{self.life}~"
        self.table = f"t_{self.letter.lower()}{self.story}_{self.life}"
        self.lock = f"{ord(self.letter)}{self.story:06}{self.life:02}"
        startup = self.startups[self.life % len(self.startups)]
        self.startup = {key: self.filled(value) for key, value in startup.items()}
        self.routed, self.direct = self.connect(self.table, self.startup)
        self.out = b""
        self.history = []           # all of this life's
        self.waiting = deque()      # of these, what PostgreSQL has not answered
        self.is_skipping = False
        self.expected = []          # (what came, of whom)
        self.compared = 0
        self.status = "I"
        self.has_session = False    # a server is its own until it leaves
        self.is_open = False        # messages without a Sync
        self.has_bound = False      # the unnamed portal, since the last Sync or Query
        self.is_sure = True         # no Query may have left an unnamed portal that failed
        self.may_pin = False        # something was sent that may keep a server
        self.free = 0               # so much of it has left nothing of the kind
        self.names, self.portals = {}, {}
        self.known = []             # documented differences that were met
        self.is_over = False        # early, if by one of these

    # ------------------------------------------------------------- sending

    def put(self, step):
        what = step[0]
        if self.is_over or not self.is_safe(step):
            return
        self.out += MESSAGES[what](*self.filled(step[1:]))
        sent = Sent(step)
        self.history.append(sent)
        self.waiting.append(sent)
        self.may_pin = self.may_pin or PINS.search(sent.text) is not None
        if what == "S" or what in QUERIES:
            # A Query behind such messages may be skipped with them.
            self.is_open = self.is_open and what != "S"
            self.has_bound = False
            self.is_sure = self.is_sure and what == "S"
        else:
            self.is_open = True
            self.has_bound = self.has_bound or step[:2] == ("B", "")

    def filled(self, value):
        """With its mark and table."""
        if isinstance(value, tuple):
            return tuple(map(self.filled, value))
        if isinstance(value, str):
            return (value.replace("{m}", self.mark).replace("{t}", self.table)
                    .replace("{k}", self.lock))
        return value

    def is_safe(self, step):
        """A Query that fails in a transaction leaves the unnamed portal behind, whose text and
        plan are freed: PostgreSQL 15 may crash when it is executed."""
        uses = step[:2] == ("E", "") or step == ("D", "P", "")
        return not uses or self.has_bound or self.is_sure

    def cut(self):
        if self.out and not self.is_over:
            data, self.out = self.out, b""
            for wire in (self.direct, self.routed):
                try:
                    wire.send(data)
                except OSError:
                    pass    # Reading tells.

    @property
    def has_pins(self):
        """Perhaps: what it has prepared may make some again."""
        return self.may_pin and len(self.history) > self.free

    def end_open(self):
        if self.is_open:
            self.put(("S",))

    # ------------------------------------------------------------- answers

    def read_direct(self):
        """All that PostgreSQL says to what was sent, which ends in a Sync, a Query or a Flush."""
        while self.skip():
            try:
                message = self.direct.receive()
            except (OSError, EOFError) as error:
                raise Failed("postgresql", f"{error!r} to {self.history}") from None
            if not is_aside(message, self.direct):
                self.take(message)
        if not self.is_open and self.status != "E":
            self.is_sure = True

    def skip(self):
        """What is answered by nothing leaves the queue; whether anything is left."""
        while self.waiting:
            head = self.waiting[0]
            if self.is_skipping and head.what != "S":
                head.fate = "skipped"
            elif head.what == "H":
                head.fate = "done"
            else:
                return True
            head.status = self.status
            self.waiting.popleft()
        return False

    def learn(self, sent):
        """Which text a name is of."""
        if sent.what == "P":
            self.names[sent.statement] = sent.text
        elif sent.what == "B":
            self.portals[sent.step[1]] = sent.runs
        if sent.what in "QE":
            self.names.update(PREPARES.findall(sent.runs))

    def learn_some(self, sent):
        """Of a text that has failed: what stands in front was prepared."""
        for name, text in PREPARES.findall(sent.runs):
            self.names.setdefault(name, text)

    def take(self, message):
        head = self.waiting[0]
        if not head.status:
            head.status = self.status
            head.runs = head.text
            if head.what == "B":
                head.runs = with_values(self.names.get(head.statement, ""), head.step[3])
            elif head.what == "E":
                head.runs = self.portals.get(head.step[1], "")
        self.expected.append((plain(message, self.direct.parameters), head))
        if message.type == "E":
            head.fate = "failed"
            if message.fields["S"] != "ERROR":
                raise Failed("postgresql", f"{message.fields} to {self.history}")
            if head.what not in ("S", *QUERIES):
                self.is_skipping = True
                self.waiting.popleft()
        elif message.type in LAST[head.what]:
            if head.fate == "sent":
                head.fate = "done"
                self.learn(head)
            elif message.type == "Z":
                self.learn_some(head)
            self.waiting.popleft()
            if message.type == "Z":
                self.status = message.body.decode()
                self.is_skipping = False

    def compare(self, differences, variant):
        """What the router says, one by one.  A documented difference ends this life, unless it is
        only another error, or only what is told of settings."""
        while self.compared < len(self.expected):
            expected, sent = self.expected[self.compared]
            try:
                message = self.routed.receive()
            except TimeoutError:
                raise Failed("silence", self.told(sent, expected, "nothing")) from None
            except (OSError, EOFError) as error:
                raise Failed("end", self.told(sent, expected, repr(error))) from None
            if any(mark.decode() != self.mark for mark in MARK.findall(message.body)):
                raise Failed("leak", self.told(sent, expected, message))
            if is_aside(message, self.routed):
                continue
            got = plain(message, self.routed.parameters)
            if got != expected:
                case = Case(self, sent, expected, got, variant)
                known = next((d.name for d in differences if d.covers(case)), None)
                if not known:
                    fields = f" {message.fields}" if message.type == "E" else ""
                    raise Failed("difference", self.told(sent, expected, f"{got}{fields}"))
                self.known.append(known)
                if got[0] != "Z" and not (case.wanted and case.state):
                    # What stands behind it in this life is not compared.
                    self.leave("die")
                    return
                # What comes behind one error is what comes behind the other.
            self.compared += 1

    def told(self, at, expected, got):
        answers = {}
        for said, sent in self.expected:
            answers.setdefault(id(sent), []).append(brief(said))
        lines = [f"client {self.letter}, life {self.life}, startup {self.startup}"]
        lines += [f"  {sent!r}: {'; '.join(answers.get(id(sent), []))}{' <---' * (sent is at)}"
                  for sent in self.history]
        return "\n".join(lines) + f"\nPostgreSQL: {expected}\nrouter:     {got}"

    def leave(self, how):
        self.cut()
        self.is_over = True
        for wire in (self.direct, self.routed):
            try:
                (wire.quit if how == "quit" else wire.close)()
            except OSError:
                pass


def is_aside(message, wire):
    """What may come at any moment."""
    if message.type == "S":
        name, value = message.body[:-1].split(b"\0")
        wire.parameters[name.decode()] = value.decode()
    return message.type in "SNA"


def brief(said):
    kind, body = said
    if kind == "Z":
        return f"Z {body[0]}"
    return kind if kind in "T123tnIG" else f"{kind} {body}"


class Case:
    """A difference that may be documented: covers() of those in the test's table look at it."""

    def __init__(self, client, sent, expected, got, variant):
        self.client, self.sent, self.variant = client, sent, variant
        self.expected, self.got = expected, got
        self.before = client.history[:client.history.index(sent)]
        ends = [n for n, one in enumerate(self.before) if one.fate == "done" and (
            one.what == "S" or one.what in QUERIES)]
        self.domain = self.before[ends[-1] + 1 if ends else 0:]     # since the last ReadyForQuery
        behind = [*self.before, sent]
        begins = [n + 1 for n in ends if behind[n + 1].status == "I"]
        self.transaction = self.before[begins[-1] if begins else 0:]    # ... that was not in one

    @property
    def described(self):
        """The text of the statement that the message describes."""
        is_it = self.sent.what == "D" and self.sent.step[1] == "S"
        return self.client.names.get(self.sent.statement, "") if is_it else ""

    @property
    def state(self):
        """The router's SQLSTATE, if it says one here."""
        return self.got[1] if self.got[0] == "E" else None

    @property
    def wanted(self):
        """PostgreSQL's."""
        return self.expected[1] if self.expected[0] == "E" else None


class Story:
    """One script's run by clients who share so many servers; stray(...) is what somebody else does
    to these in between."""

    def __init__(self, servers, differences, variant, stray):
        self.clients, self.servers = {}, servers
        self.differences, self.variant = differences, variant
        self.stray = stray
        self.known = []

    def run(self, script):
        try:
            for letter, *step in script:
                self.step(letter, tuple(step))
            for client in self.clients.values():
                self.wait(client)
                for text in ("ROLLBACK", "SELECT '{m}', count(*) FROM {t}", SETTINGS):
                    client.put(("Q", text))
                self.wait(client)
        finally:
            for client in self.clients.values():
                self.end(client)
                client.leave("quit")

    def step(self, letter, step):
        what = step[0]
        if what == "stray":
            self.between(step[1:])
            return
        client = self.clients[letter]
        if what == "cut":
            self.cut(client)
        elif what == "wait":
            self.wait(client)
        elif what == "hush":
            client.put(("H",))
            self.compare(client)
        elif what == "leave":
            self.renew(client, step[1])
        else:
            client.put(step)

    def between(self, what):
        self.settle(None)
        try:
            self.stray(*what)
        except Failed as failed:
            if failed.kind != "silence" or not self.is_held_up(None):
                raise
            self.stray(*what)

    def cut(self, client):
        if client.is_session and client.out and not client.has_session:
            self.settle(client)
            client.has_session = True
        client.cut()

    def wait(self, client):
        client.end_open()
        self.compare(client)

    def compare(self, client):
        if client.is_over:
            return
        self.cut(client)
        client.read_direct()
        self.settle(client)
        try:
            client.compare(self.differences, self.variant)
        except Failed as failed:
            if failed.kind != "silence" or not self.is_held_up(client):
                raise
            client.compare(self.differences, self.variant)

    def is_held_up(self, who):
        """Somebody in front of it is, by a documented difference, not where PostgreSQL's own
        connection is."""
        for other in self.clients.values():
            if other is not who and not other.is_over:
                other.compare(self.differences, self.variant)
                if other.is_over:
                    return True
        return False

    def settle(self, who):
        """Whoever waits can get a server: others who hold one, and would for long, end their
        transactions, or sessions, and give up what keeps it."""
        holders = [other for other in self.clients.values() if other is not who
                   and not other.is_over and self.holds(other)]
        while len(holders) >= self.servers:
            other = holders.pop()
            if other.is_session:
                self.wait(other)
                if not other.is_over:
                    self.renew(other, "quit")
            else:
                self.release(other)

    @staticmethod
    def holds(client):
        if client.is_session:
            return client.has_session
        client.cut()
        if client.is_open:
            return True
        client.read_direct()
        return client.status != "I" or client.has_pins

    @staticmethod
    def release(client):
        client.end_open()
        client.cut()
        client.read_direct()
        for text, is_needed in (("ROLLBACK", client.status != "I"), (UNPIN, client.has_pins)):
            if is_needed:
                client.put(("Q", text))
                client.cut()
                client.read_direct()
        client.free = len(client.history)

    def end(self, client):
        self.known += client.known

    def renew(self, client, how):
        self.end(client)
        client.leave(how)
        # Whether startup parameters are right a server says.
        self.settle(client)
        client.begin()

# SPDX-License-Identifier: ISC
"""Random scripts for support/pipeline.py: what drivers send, and what none would, by two clients
with the same names for everything."""

NAMES = ["s", "t", "u"]
# Never run by EXECUTE: PostgreSQL ends a session for a SAVEPOINT in it, and overruns its stack by
# an EXECUTE of itself.
ACTS = ["act", "act2"]
PORTALS = ["", "", "", "", "p", "q"]

READS = ["SELECT '{m}', current_setting('app.x', true)", "SELECT current_setting('app.x', true)",
         "SELECT '{m}', current_setting('app.x', true), current_setting('TimeZone')",
         "SELECT '{m}' FROM generate_series(1, 4)", "SELECT 1", "SELECT now() IS NULL",
         "SELECT current_setting('work_mem'), current_setting('search_path')",
         "SELECT current_setting('app.y', true)",
         "SELECT '{m}', $1::int", "SELECT $1::int + 1", "SELECT $1::text, '{m}'",
         "SELECT '{m}', count(*) FROM {t}", "SELECT x FROM {t} LIMIT 2"]
WRITES = ["INSERT INTO {t} VALUES (1) RETURNING '{m}'", "INSERT INTO {t} VALUES ($1) RETURNING x",
          "DELETE FROM {t}"]
FAILS = ["SELEC", "SELECT nothing_here", "SELECT 1/0", "SELECT x FROM nowhere",
         "SELECT 1 / (x - x) FROM generate_series(1, 2) AS x",
         "SELECT 10 / ($1::int * x) FROM generate_series(0, 1) AS x"]
BLOCKS = ["BEGIN", "BEGIN", "COMMIT", "ROLLBACK", "ROLLBACK", "SAVEPOINT a", "ROLLBACK TO a",
          "RELEASE a"]
ZONES = ["'Asia/Tokyo'", "'Europe/Rome'", "-3"]
VALUES = {"app.x": ["'{m}1'", "'{m}2'", "''"], "app.y": ["'{m}y'"], "TimeZone": ZONES,
          "work_mem": ["'5MB'", "6144"], "search_path": ["public", "pg_catalog", "'no', public"]}
NULLS = ["NULL", "nullif('', '')", "CASE WHEN true THEN NULL END"]
LOCALS = ["f", "t", None]
# What is not reached, or not run.
NOWHERE = ["SELECT {} WHERE false", "SELECT CASE WHEN false THEN {} END", "SELECT {} LIMIT 0",
           "EXPLAIN (COSTS OFF) SELECT {}"]
# Constants that hang on settings are told in prepared-statements.md.
PREPARED = ["SELECT '{m}', 'sql'", "SELECT '{m}', $1", "SELECT current_setting('app.x', true)",
            "SELECT set_config('app.x', '{m}p', false)", "INSERT INTO {t} VALUES (7)", "SELECT 1/0",
            "SELECT set_config('app.x', $1, false)", "SELECT set_config('work_mem', NULL, false)",
            "SELECT set_config('app.x', NULL, true)"]
# The locks of one life are nobody else's.
MAKE = ["CREATE TEMP TABLE mine (x int)", "SELECT 1 AS x INTO TEMP mine",
        "CREATE TEMP TABLE mine (x int) ON COMMIT DROP",
        "DECLARE c CURSOR WITH HOLD FOR SELECT '{m}', generate_series(1, 3)",
        "SELECT pg_advisory_lock({k})", "SELECT pg_try_advisory_lock({k})", "LISTEN mine"]
UNMAKE = ["DROP TABLE mine", "DISCARD TEMP", "CLOSE c", "CLOSE ALL",
          "SELECT pg_advisory_unlock({k})", "SELECT pg_advisory_unlock_all()", "UNLISTEN mine",
          "UNLISTEN *"]
LOOK = ["INSERT INTO mine VALUES (1)", "SELECT '{m}', count(*) FROM mine", "FETCH 1 FROM c",
        "FETCH ALL FROM c", "SELECT count(*) FROM pg_listening_channels()",
        "SELECT name FROM pg_cursors WHERE is_holdable",
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"]
RETYPE = ["ALTER TABLE {t} ALTER x TYPE " + kind for kind in ("bigint", "text", "int USING 1")]
EXECUTABLE = ("SELEC", "INSERT", "DELETE", "SHOW", "SET ", "RESET")
COPY, DATA = "COPY {t} FROM STDIN", ["1\n", "2\n3\n", "no\n"]
STARTUPS = [{}, {}, {"TimeZone": "Asia/Seoul"},
            {"options": "-c app.x={m}start -c work_mem=3MB"},
            {"options": "-c app.y={m}start", "search_path": "public"}]


class Maker:
    """keeps: whether names of the protocol are the client's own (max_prepared_statements); strays:
    whether somebody else's code prepares, too; pins: whether a client may keep a server."""

    def __init__(self, rng, keeps=True, strays=True, pins=True):
        self.rng = rng
        self.keeps, self.strays, self.pins = keeps, strays, pins
        self.last = {}          # what was parsed by a name, by a client
        self.takes = {}         # by a text, what its parameters may be

    def one_of(self, *makers):
        """Of (weight, maker)."""
        return self.rng.choices([m for _, m in makers], [weight for weight, _ in makers])[0]()

    # ------------------------------------------------------------------ texts

    def setting(self):
        if self.rng.random() < 0.5:
            return self.call()
        name = self.rng.choice(["app.x", "app.x", *VALUES])
        value = self.rng.choice(VALUES[name])
        return self.rng.choice([f"SET {name} = {value}", f"SET {name} = {value}",
                                f"SET LOCAL {name} = {value}"])

    def call(self):
        """set_config(), with NULL or without, and not always reached."""
        pick = self.rng.choice
        name, takes = pick(["app.x", "app.x", *VALUES]), []
        values = [value.strip("'") for value in map(str, VALUES[name]) if value != "'no', public"]

        def param(these):
            takes.append(these)
            return f"${len(takes)}"
        value = self.one_of((4, lambda: f"'{pick(values)}'"), (2, lambda: pick(NULLS)),
                            (3, lambda: param([None, *values])))
        is_local = self.one_of((4, lambda: "false"), (2, lambda: "true"),
                               (1, lambda: param(LOCALS)))
        text = f"set_config('{name}', {value}, {is_local})"
        text = (pick(NOWHERE) if self.rng.random() < 0.2 else "SELECT {}").replace("{}", text)
        self.takes[text] = takes
        return text

    def reset(self):
        name = self.rng.choice(list(VALUES))
        return self.rng.choice([f"RESET {name}", f"SET {name} TO DEFAULT", f"RESET {name}",
                                "RESET ALL"])

    def show(self):
        # Of one's own it is not known where nobody has set it.
        return f"SHOW {self.rng.choice(['TimeZone', 'work_mem', 'search_path'])}"

    def prepare(self):
        name, text = self.rng.choice(NAMES), self.rng.choice(PREPARED)
        return f"PREPARE {name}{' (text)' if '$1' in text else ''} AS {text}"

    def execute(self):
        name = self.rng.choice(NAMES)
        return self.rng.choice([f"EXECUTE {name}", f"EXECUTE {name}", f"EXECUTE {name} ('{{m}}e')",
                                f"EXECUTE {name} (7)", f"EXECUTE {name} (NULL)"])

    def deallocate(self):
        return "DEALLOCATE " + self.rng.choice([*NAMES, *NAMES, *ACTS, "ALL"])

    def pin(self):
        return self.rng.choice(self.rng.choice([MAKE, UNMAKE, LOOK]))

    def text(self):
        pick = self.rng.choice
        return self.one_of(
            (26, lambda: pick(READS)), (6, lambda: pick(WRITES)), (10, lambda: pick(FAILS)),
            (15, lambda: pick(BLOCKS)), (14, self.setting), (4, self.reset), (3, self.show),
            (7 * self.keeps, self.prepare), (7 * self.keeps, self.execute),
            (5 * self.keeps, self.deallocate), (2, lambda: ""),
            (0.5, lambda: pick(RETYPE)), (8 * self.pins, self.pin))

    def block(self):
        """Texts of one transaction, of which some is undone."""
        def some():
            return [self.one_of((3, self.setting), (4, self.reset), (2 * self.pins, self.pin),
                                (1, self.text), (0.3, lambda: self.rng.choice(FAILS)))
                    for _ in range(self.rng.randrange(3))]
        return ["BEGIN", *some(), "SAVEPOINT a", *some(),
                self.rng.choice(["ROLLBACK TO a", "ROLLBACK TO a", "RELEASE a"]), *some(),
                self.rng.choice(["COMMIT", "COMMIT", "ROLLBACK"])]

    # --------------------------------------------------------------- messages

    def name(self):
        return self.rng.choice(["", "", *NAMES, *NAMES, *ACTS]) if self.keeps else ""

    def values(self, text):
        if self.rng.random() < 0.08:
            return self.rng.choice([(), (1,), ("zz",), (1, 2), (None,)])
        if text in self.takes:
            return tuple(map(self.rng.choice, self.takes[text]))
        if "$1" not in text:
            return ()
        return (self.rng.choice([0, 1, 2, "zz"]) if "int" in text else "{m}v",)

    def parse(self, who, text=None):
        if text is None:
            text = self.text()
            if self.rng.random() < 0.04:
                text += "; " + self.text()
        name = self.name()
        if name in NAMES and not text.startswith(EXECUTABLE):
            name = self.rng.choice(ACTS)
        self.last[who, name] = text
        return "P", name, text

    def bind(self, who, name=None, portal=None):
        name = self.name() if name is None else name
        portal = self.rng.choice(PORTALS) if portal is None else portal
        return "B", portal, name, self.values(self.last.get((who, name), ""))

    def any(self, who):
        pick = self.rng.choice
        return self.one_of(
            (3, lambda: self.parse(who)), (3, lambda: self.bind(who)),
            (2, lambda: ("E", pick(PORTALS), pick([0, 0, 1]))),
            (1, lambda: ("D", "S", self.name())), (1, lambda: ("D", "P", pick(PORTALS))),
            (2, lambda: ("C", "S", self.name())), (1, lambda: ("C", "P", pick(PORTALS))),
            (0.5, lambda: ("H",)), (0.3 * self.keeps, lambda: ("EC", COPY, pick(DATA))))

    def flow(self, who, text=None):
        """One statement, as drivers run it."""
        parts, name = [], self.name()
        if text is not None or (who, name) not in self.last or self.rng.random() < 0.6:
            parts.append(self.parse(who, text))
            name = parts[0][1]
        bound = self.bind(who, name)
        parts.append(bound)
        if self.rng.random() < 0.3:
            parts.append(("D", "P", bound[1]))
        rows = self.rng.choice([0, 0, 0, 2])
        parts.append(("E", bound[1], rows))
        if rows and self.rng.random() < 0.6:
            parts.append(("E", bound[1], 0))
        if self.rng.random() < 0.1:
            parts.append(("C", "S", name))
        return parts

    def domain(self, who):
        """What ends in a Sync, mostly, or a Query."""
        kind = self.rng.random()
        if kind < 0.3:
            texts = [self.text() for _ in range(self.rng.choice([1, 1, 1, 2, 3]))]
            return [("Q", "; ".join(texts))]
        if kind < 0.32:
            return [("QC", COPY, self.rng.choice(DATA))]
        if kind < 0.38:
            return self.transaction(who)
        parts = []
        for _ in range(self.rng.choice([1, 1, 2, 2, 3, 4])):
            parts += self.flow(who) if self.rng.random() < 0.6 else [self.any(who)]
        if self.rng.random() < 0.15:
            del parts[self.rng.randrange(len(parts))]
        return parts + [("S",)] * (self.rng.random() < 0.93)

    def transaction(self, who):
        """In one text, or in many."""
        texts = self.block()
        if self.rng.random() < 0.4:
            return [("Q", "; ".join(texts))]
        parts = []
        for text in texts:
            if "$" not in text and self.rng.random() < 0.5:
                parts.append(("Q", text))
            else:
                parts += self.flow(who, text)
                parts += [("S",)] * (self.rng.random() < 0.6)
        return parts + [("S",)]

    def burst(self, who):
        """Domains sent ahead; in how many writes is anybody's guess."""
        steps = []
        for _ in range(self.rng.choice([1, 1, 2, 3, 4])):
            for part in self.domain(who):
                steps.append((who, *part))
                if self.rng.random() < 0.1:
                    steps.append((who, "cut"))
        return steps

    def turn(self, who):
        """One client's, who waits now and then; another's may stand before or in the middle."""
        steps, other = [], "B" if who == "A" else "A"
        if self.rng.random() < 0.4:
            steps += self.burst(other) + [(other, "cut")]
        for _ in range(self.rng.randrange(1, 4)):
            steps += self.burst(who)
            steps += self.rng.choices([[(who, "wait")], [(who, "cut")], [], [(who, "hush")]],
                                      [6, 2, 1, 1])[0]
        ending = self.rng.random()
        if ending < 0.08:
            steps.append((who, "leave", self.rng.choice(["quit", "die"])))
        elif ending < 0.14:
            # Nothing else is sent before or behind it.
            steps += [(who, "wait"), (who, "Q", "DISCARD ALL"), (who, "wait")]
        elif self.strays and ending < 0.25:
            steps.append(("P", "stray", self.rng.choice(NAMES)))
        return steps

    def script(self):
        steps = []
        for _ in range(self.rng.randrange(3, 9)):
            steps += self.turn(self.rng.choice("AB"))
        return steps

# SPDX-License-Identifier: ISC
"""What the router is to reach, and whether it does."""

ENGINES = ("uring", "epoll")


class Goal:
    """limit: at most, or at least if it is negative; strictly so if strict.  why: of REASONS."""

    def __init__(self, figure, load, peer, limit, value, unit="", strict=False, why=None):
        self.figure, self.load, self.peer = figure, load, peer
        self.limit, self.value, self.unit, self.strict = limit, value, unit, strict
        self.why = why or load.split("-")[0]

    @property
    def text(self):
        if self.strict:
            word = "more than" if self.limit < 0 else "below"
        else:
            word = "at least" if self.limit < 0 else "at most"
        return f"{word} {abs(self.limit):g}{self.unit}"

    def holds(self, value):
        distance = value - self.limit if self.limit >= 0 else -self.limit - value
        return distance < 0 if self.strict else distance <= 0


def ratio(*path):
    return lambda found, key: found.ratio(key, *path)


def figure(*path, scale=1):
    def get(found, key):
        value = found.middle(key, *path)
        return None if value is None else value * scale
    return get


def tail(found, key):
    p50, p99 = (found.middle(key, "groups", 0, name) for name in ("p50", "p99"))
    return p99 / p50 if p50 else None


def switches(found, key):
    """Both kinds together, as a ratio."""
    def both(which):
        parts = [found.middle(which, name) for name in ("voluntary", "involuntary")]
        return None if None in parts else sum(parts)
    mine, peer = both(key), both(found.base)
    return mine / peer if mine is not None and peer else None


def workers(name):
    return lambda found, key: found.ratio(f"{key}-2", name, base=key)


def reuse(found, key):
    """Transactions for the CPU that all of the machine uses."""
    cost = found.ratio(f"{key}-reuse", "machine_cpu")
    return 1 / cost if cost else None


def idle_cpu(found, key):
    return found.ratio(key, "used", "cpu")


def rate_reason(found, key):
    """What the CPU that is saved leaves room for."""
    whole, peer, mine = (found.middle(of, name) for of, name in (
        (found.base, "machine_cpu"), (found.base, "cpu"), (key, "cpu")))
    if None in (whole, peer, mine):
        return ""
    return (f"PostgreSQL, the clients and the pooler share the processors, which spend {whole:.1f} us on a"
            f" transaction with the peer, {peer:.1f} of them in the pooler. With the router's {mine:.1f} in"
            f" their place there is room for {whole / (whole - peer + mine):.2f} of the peer's rate.")


def workers_reason(found, key):
    values = found.ratios(f"{key}-2", "cpu", base=key)
    spread = f"From round to round it was {min(values):.2f} to {max(values):.2f}." if values else ""
    if found.load.clients == 1:
        return f"The rounds differ by more than one worker and two do. {spread}"
    return ("What a second worker costs is the way of a server from one thread to the other: the one who waits"
            f" longest is served first, wherever it is (docs/architecture.md). {spread}")


# What keeps it from a goal, as profiles show; printed for those that are not reached.
REASONS = {
    "rate": rate_reason,
    "cpu": "What the router executes itself is about twice of what PgBouncer does (docs/profile.md): texts are"
           " read for what they leave in a session, times go into histograms, each server goes back through"
           " the budget. io_uring makes up for that where many sockets are ready at a time, as it hands over"
           " in one system call what is sent to all of them; with epoll each receive and each send is a call"
           " of its own (the table of system calls below), behind which PostgreSQL, woken by it, may take the"
           " processor.",
    "calls": "One receive and one send for each direction are four; with epoll each is a call.",
    "tail": "40 processes of PostgreSQL, the clients and the router take turns on two processors, for 20 us at"
            " a time: whose turn it is is the kernel's. `fair-500` and `fair-10000` have the same queue over"
            " servers that take 5 ms each, and show what the router makes of it.",
    "result": "Both move some 8 kB at a time, as PostgreSQL writes them; the rounds of one pooler differ by"
              " more than the poolers do.",
    "copy": "As with results. In COPY the client's or PostgreSQL's writes of 8 kB are what there is, one row"
            " in each, and a larger buffer is seldom filled.",
    "paced": "One at a time: a message comes, goes on, and the process sleeps again, so that each of the four"
             " exchanges takes two wake-ups of everybody, of which the kernel's part is by far the"
             " greater. HAProxy, which looks at no message, takes as much (the table below). Each client"
             " gets the server that it had before, so that `strict` cleans nothing (PostgreSQL's log: 120"
             " cleans in 10,194 transactions, those of the capacity's measuring among them). docs/profile.md has"
             " the router's own instructions.",
    "login-plain": "Four fifths of a login without TLS are the kernel's (/proc/PID/stat), a connection made and taken"
                   " down again: which of the two is ahead has changed from one run to the next, 0.91 to 1.03 of"
                   " PgBouncer's CPU with io_uring.",
    "login-tls": "95 % of the instructions of a login with TLS (callgrind) are OpenSSL's, in"
                 " SSL_do_handshake(), and the same for both: the key exchange and the signature.",
    "idle-tls": "OpenSSL's own objects take 13,969 bytes of live memory per client with the smaller"
                " cipher suite, which is preferred for that; the rest are the client itself and what"
                " malloc adds.",
    "workers": workers_reason,
    "fake": "Two workers, the load generator and the server share two processors here.",
}


def every():
    for kind, clients, peer in (("simple", 40, "PgBouncer"), ("simple", 500, "PgBouncer"),
                                ("prepared", 40, "PgBouncer 1.24"),
                                ("prepared", 500, "PgBouncer 1.24")):
        yield Goal(f"CPU per transaction, {kind}, {clients} clients", f"{kind}-{clients}",
                   f"{peer} = 1.00", 0.85 if kind == "simple" else 0.75, ratio("cpu"), why="cpu")
    for kind, limit, peer in (("simple", 0.85, "PgBouncer"), ("prepared", 0.75, "PgBouncer 1.24")):
        yield Goal(f"the same, unix socket to PostgreSQL, {kind}, 40 clients", f"unix-{kind}-40",
                   f"{peer} = 1.00", limit, ratio("cpu"), why="cpu")
    for load in ("simple-40", "simple-500", "prepared-40", "prepared-500"):
        peer = "PgBouncer 1.24" if load.startswith("prepared") else "PgBouncer"
        yield Goal(f"transactions per second, {load.replace('-', ', ')} clients", load,
                   f"{peer} = 1.00", -1.15, ratio("rate"), why="rate")
    yield Goal("two workers, server that answers at once", "fake-simple-500", "one worker = 1.00",
               -1.0, workers("rate"), strict=True)
    yield Goal("CPU per transaction of two workers, the same", "fake-simple-500",
               "one worker = 1.00", 1.1, workers("cpu"))
    for clients in (1, 500):
        yield Goal(f"CPU per transaction of two workers, `workers-{clients}`", f"workers-{clients}",
                   "one worker = 1.00", 1.1, workers("cpu"))
    yield Goal("`pgbench -M extended` with plan reuse, whole machine", "reuse-rows-40",
               "PostgreSQL direct = 1.00", -1.0, reuse)
    for load in ("simple-500", "simple-10000", "fair-500", "fair-10000"):
        yield Goal(f"p99/p50, `{load}`", load, "pg_doorman claims 1.1, PgBouncer 1.4", 1.3, tail,
                   why="tail")
    for load, limit, peer in (("idle-10000", 0.9, "1.05 kB"), ("idle-tls-10000", 15, "15.6 kB")):
        yield Goal(f"memory per idle client, `{load}`", load, f"PgBouncer {peer}", limit,
                   figure("rss_each", scale=1e-3), " kB", why=load.rpartition("-")[0])
    for load in ("result-1mb", "result-600mb", "copy-out", "copy-in"):
        yield Goal(f"CPU per GB, `{load}`", load, "PgBouncer with pkt_buf 64 kB = 1.00", 1.0,
                   ratio("cpu_gb"))
    yield Goal("paced load, CPU per transaction", "paced", "PgBouncer = 1.00", 0.85, ratio("cpu"))
    yield Goal("paced load, context switches", "paced", "PgBouncer = 1.00", 1.0, switches,
               strict=True)
    yield Goal("system calls per transaction, 200 clients over 40 servers", "calls-200",
               "PgBouncer 7.0", 2, figure("calls_each"))
    for load in ("login-plain", "login-tls"):
        yield Goal(f"CPU per login, `{load}`", load, "PgBouncer = 1.00", 1.0, ratio("cpu"),
                   strict=True, why=load)
    yield Goal("idle CPU with 10,000 clients", "idle-10000", "PgBouncer = 1.00", 1.0, idle_cpu)


def word(goal, values):
    there = [value for value in values if value is not None]
    if not there:
        return "not measured"
    held = [goal.holds(value) for value in there]
    if all(held):
        return "reached"
    return "by one engine" if any(held) else "not reached"


def reason(why, missed, key):
    """missed: (goal, found) that have it."""
    text = REASONS.get(why, "")
    if callable(text):
        return " ".join(f"`{found.load.name}`: {text(found, key)}" for _, found in missed)
    return text


def reasons(founds, key):
    """For the goals that this engine does not reach: lines of Markdown."""
    by_name = {found.load.name: found for found in founds}
    missed = {}
    for goal in every():
        found = by_name.get(goal.load)
        value = goal.value(found, key) if found else None
        if value is not None and not goal.holds(value):
            missed.setdefault(goal.why, []).append((goal, found))
    return ["- " + "; ".join(goal.figure for goal, _ in those) + ": " + reason(why, those, key)
            for why, those in missed.items()]


def rows(founds):
    by_name = {found.load.name: found for found in founds}
    lines = []
    for goal in every():
        found = by_name.get(goal.load)
        values = [goal.value(found, key) if found else None for key in ENGINES]
        lines.append([goal.figure, goal.peer, goal.text,
                      *("" if value is None else f"{value:.2f}" for value in values),
                      word(goal, values)])
    return ["figure", "peer", "goal", "io_uring", "epoll", ""], lines

#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Where a transaction's instructions go: the router and PgBouncer under valgrind's callgrind.

callgrind counts what a process executes itself, without the kernel, and says the same whatever
else the machine does.  Each pooler is run twice for each load, the second time for longer: the
difference of the counts over that of the transactions leaves out what starting, logging in
and ending take.  Written to docs/profile.md.

  tests/bench/profile.py [--router build/pgtandem] [--only paced,simple-40] [--write]
  tests/bench/profile.py --short                      # that it runs
"""
import argparse
import collections
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import suite
from harness import ROOT, debian13, loads, poolers

DOCUMENT = ROOT / "docs" / "profile.md"
MB = 1000000

# name, of what, poolers.  On the epoll engine: valgrind lets no other thread run while one waits
# in io_uring_enter().
STATES = "epoll epoll-tracked epoll-off pgbouncer"
PROFILES = [
    ("simple-40", "transaction", STATES),
    ("simple-500", "transaction", STATES),
    ("prepared-40", "transaction", "epoll epoll-tracked epoll-off"),
    ("state-rows-200", "transaction", STATES),
    ("paced", "transaction", STATES),
    ("workers-500", "transaction", "epoll epoll-2"),
    ("login-plain", "login", "epoll pgbouncer"),
    ("login-tls", "login", "epoll pgbouncer"),
    ("result-1mb", "MB", "epoll pgbouncer-64k"),
    ("copy-out", "MB", "epoll pgbouncer-64k"),
    ("copy-in", "MB", "epoll pgbouncer-64k"),
]

# Where a function is: directories of src/, or a library.
PARTS = ["net", "pg", "sql", "session", "pool", "route", "base", "other", "libc", "liburing",
         "OpenSSL", "libevent", "program"]
LIBRARIES = {"libc.so": "libc", "libc-": "libc", "libpthread": "libc", "ld-linux": "libc",
             "liburing": "liburing", "libssl": "OpenSSL", "libcrypto": "OpenSSL",
             "libevent": "libevent"}

HEAD = """# Profile

Made by `tests/bench/profile.py --write`: instructions that a pooler's process executes itself, for each
transaction, login or MB, counted by valgrind's callgrind. The kernel's are not among them: what it takes for the
same work is in [benchmarks.md](benchmarks.md), as CPU time and as system calls. {machine}

A count says where work goes, not how long it takes: some 3 instructions are a nanosecond while all of
it is in the caches, fewer where it is not. Under callgrind all is some fifty times slower than it is otherwise, so that more clients are
found ready at a time than would be by itself (`paced` shows one at a time). To read messages and texts is
`pg` and `sql`, a small part of it; `session` is what follows from them. The loads are those of `tests/bench/suite.py`, `paced` at the
pace that leaves four fifths of the time free there, too. `program` is code without names: PgBouncer as
Debian builds it. The router's engine is epoll: valgrind lets no other thread run while one waits in
io_uring_enter(). All but `net` and liburing is the same code with io_uring.
"""


def part_of(library, file):
    for word, name in LIBRARIES.items():
        if word in library:
            return name
    found = re.search(r"src/(\w+)/", file)
    if found:
        return found[1] if found[1] in PARTS else "other"
    return "other" if "pgtandem" in library and file not in ("", "???") else "program"


def read_profile(path):
    """Instructions by part, of callgrind's file: "The cost lines of a call" are its callee's
    (Callgrind Format Specification)."""
    names, counts = {"ob": {}, "fl": {}}, collections.Counter()
    now = {"ob": "", "fl": ""}
    is_callee = False
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        words = re.match(r"(c?ob|c?fi|c?fl|c?fe)=(\(\d+\))?\s*(.*)", line)
        if words:
            kind, number, name = words.groups()
            known = names["ob" if kind.endswith("ob") else "fl"]
            if number and name:
                known[number] = name
            if not kind.startswith("c"):
                now["ob" if kind == "ob" else "fl"] = name or known[number]
        elif line.startswith("calls="):
            is_callee = True
        elif re.match(r"[+*\d-]", line):
            if not is_callee:
                counts[part_of(now["ob"], now["fl"])] += int(line.split()[1])
            is_callee = False
    return counts


def as_itself(pooler):
    """PgBouncer becomes somebody else, who could not write what valgrind has begun."""
    if isinstance(pooler, poolers.PgBouncer) and os.getuid() == 0:
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    return []


def count(bench, load, pooler, seconds, scene):
    """(instructions by part, transactions, bytes) of all of a process' life."""
    out = bench.place.directory / "profile" / "callgrind"
    for old in out.parent.iterdir():
        old.unlink()
    bench.place.under = [*as_itself(pooler), "valgrind", "-q", "--tool=callgrind",
                         f"--callgrind-out-file={out}"]
    with poolers.running(pooler, bench.place, scene) as started:
        more = [f"pace={bench.pace / load.clients}"] if load.group == "paced" else []
        words = loads.words_of(load.groups, started, scene, more)
        done = subprocess.run([poolers.program(bench.args, "drive"), str(seconds), "0", *words],
                              capture_output=True, text=True, check=True, timeout=600)
        groups = json.loads(done.stdout.splitlines()[-1])
    if bench.args.keep:
        bench.args.keep.mkdir(parents=True, exist_ok=True)
        shutil.copy(out, bench.args.keep / f"{load.name}-{pooler.key}.callgrind")
    return (read_profile(out), sum(g["ended"] for g in groups), sum(g["bytes"] for g in groups))


def each(bench, load, pooler, unit):
    """Instructions by part, for each of a unit."""
    counted = [count(bench, load, pooler, seconds, load.scene)
               for seconds in (bench.args.seconds / 2, bench.args.seconds * 3 / 2)]
    (before, *first), (after, *last) = counted
    done = (last[1] - first[1]) / MB if unit == "MB" else last[0] - first[0]
    assert done > 0, f"{load.name}, {pooler.title}: nothing was done: {counted}"
    found = {part: max(after[part] - before[part], 0) / done for part in PARTS}
    print(f"{load.name}, {pooler.title}: {sum(found.values()):.0f} a {unit}, {done:.0f} of them",
          flush=True)
    return found


def table(load, unit, rows):
    used = [part for part in PARTS if any(row[part] >= 0.5 for row in rows.values())]
    lines = [f"**{load.title}** (`{load.name}`), instructions for each {unit}", "",
             "| pooler | all | " + " | ".join(used) + " |", "|---" * (len(used) + 2) + "|"]
    for title, row in rows.items():
        lines.append("| " + " | ".join([title, f"{sum(row.values()):,.0f}", *(
            f"{row[part]:,.0f}" for part in used)]) + " |")
    return "\n".join(lines) + "\n"


def profiles(bench, args):
    wanted = args.only.split(",") if args.only else [name for name, *_ in PROFILES]
    for name, unit, keys in PROFILES:
        if name not in wanted:
            continue
        load = loads.every()[name]
        those = [poolers.ALL[key] for key in keys.split()
                 if not args.poolers or key in args.poolers.split(",")]
        yield table(load, unit, {pooler.title: each(bench, load, pooler, unit)
                                 for pooler in those if not pooler.missing(args)})


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0],
                                     epilog=__doc__.split("\n\n", 1)[1],
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--router", default=str(ROOT / "build" / "pgtandem"))
    parser.add_argument("--only", help="loads, with commas between")
    parser.add_argument("--seconds", type=float, default=4,
                        help="by which the second run is longer")
    parser.add_argument("--pace", type=float, default=400, help="transactions a second, of paced")
    parser.add_argument("--debian13", type=pathlib.Path, default=debian13.PLACE)
    parser.add_argument("--poolers", help="only these of each load")
    parser.add_argument("--keep", type=pathlib.Path, help="where callgrind's files are to stay, for "
                        "callgrind_annotate")
    parser.add_argument("--write", action="store_true", help=f"writes {DOCUMENT.name}")
    parser.add_argument("--short", action="store_true", help="one load, for CI")
    return parser.parse_args()


def main():
    args = arguments()
    if not shutil.which("valgrind"):
        print("valgrind is not installed: tools/install-deps bench", file=sys.stderr)
        return 1
    if args.short:
        args.only, args.seconds, args.poolers = "paced", 1, "epoll,pgbouncer"
    with suite.world(args, 1 if args.short else 10) as place:
        # PgBouncer writes there when it is somebody else.
        (place.directory / "profile").mkdir()
        os.chmod(place.directory / "profile", 0o777)
        bench = suite.Bench(args, place)
        bench.pace = args.pace
        tables = list(profiles(bench, args))
    if args.write:
        about = suite.machine(args)
        DOCUMENT.write_text("\n".join([HEAD.format(
            machine=f"{about['router']}, {about['pgbouncer']}; {about['commit']}."), *tables]),
            encoding="utf-8")
    else:
        print("\n".join(tables))
    return 0


if __name__ == "__main__":
    sys.exit(main())

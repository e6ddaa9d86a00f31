# SPDX-License-Identifier: ISC
"""What the benchmarks of the budget share: routers to measure, the load generator and
its samples, and the document with the tables."""
import argparse
import collections
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import compare  # noqa: E402
from compare import ROOT, Pooler  # noqa: E402
from support.net import free_port  # noqa: E402
from support.postgres import Postgres  # noqa: E402

DOCUMENT = ROOT / "docs" / "budget-benchmarks.md"
HEAD = """# The budget under measurement

Each table says how it was made; `tests/bench/reclaim.py --write`, `tests/bench/fairness.py --write`
and `tests/bench/scrape.py --write` put new ones in their places.
"""

Sample = collections.namedtuple("Sample", "group client sent received read stamp")
LAYOUT = struct.Struct("=iiqqqq")


def arguments(text):
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    parser.add_argument("--router", default=str(ROOT / "build" / "pgtandem"))
    parser.add_argument("--engines", default="io_uring,epoll")
    parser.add_argument("--write", action="store_true", help=f"the table goes to {DOCUMENT.name}")
    parser.add_argument("--short", action="store_true", help="that it runs, not how fast it is")
    return parser


def router(args, engine, postgres, directory, config, workers=1, clients=3000):
    """config: the sections hosts and workloads, in which {pg} is PostgreSQL's port and
    {a}, {b} are ports to listen on; the Pooler has them as attributes a and b."""
    ports = {"pg": postgres.port, "a": free_port(), "b": free_port()}
    path = directory / f"{engine}{ports['a']}.yaml"
    path.write_text(
        f"process: {{ workers: {workers}, io_backend: {engine}, max_client_conn: {clients} }}\n"
        + re.sub(r"\{(pg|a|b)\}", lambda m: str(ports[m[1]]), config)
        + "auth: { auth_type: trust }\n"
        "log: { log_connections: false, log_disconnections: false }\n", encoding="utf-8")
    started = Pooler(f"pgtandem, {engine}" + (f", {workers} workers" if workers > 1 else ""),
                     [args.router, "--config", str(path)], ports["a"], directory)
    started.a, started.b = ports["a"], ports["b"]
    return started


def load(args, *words, logins=False):
    """Runs the load generator; its samples of answers, or of logins, times in
    microseconds."""
    program = pathlib.Path(args.router).resolve().parent / "tests" / "bench" / "load"
    done = subprocess.run([program, *map(str, words)], stdout=subprocess.PIPE, check=False,
                          timeout=300)
    assert done.returncode == 0, f"{program.name} ended with {done.returncode}"
    return [Sample(group, client, sent / 1e3, received / 1e3, read / 1e3, stamp / 1e3)
            for group, client, sent, received, read, stamp in LAYOUT.iter_unpack(done.stdout)
            if (stamp < 0) == logins]


def percentile(values, part):
    """values are sorted."""
    return values[min(int(len(values) * part), len(values) - 1)]


class Cluster:
    """with Cluster() as (postgres, directory): a PostgreSQL that wants no passwords, and a
    place for files."""

    def __enter__(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="pgtandem-bench-")
        directory = pathlib.Path(self.temporary.name)
        os.chmod(directory, 0o755)
        self.postgres = Postgres()
        self.postgres.create()
        hba = self.postgres.data / "pg_hba.conf"
        hba.write_text("host all all 127.0.0.1/32 trust\n" + hba.read_text())
        self.postgres.sql("ALTER SYSTEM SET max_connections = 300")
        self.postgres.restart()
        return self.postgres, directory

    def __exit__(self, *_):
        self.postgres.destroy()
        self.temporary.cleanup()


def machine(args, *more):
    return compare.machine(args.router, *more)


def write(name, text):
    compare.write(DOCUMENT, name, text, HEAD)

# SPDX-License-Identifier: ISC
"""docs/benchmarks.md, made of the raw figures: tables, goals, plots, configurations."""
import json
import re
import statistics
import tarfile

from . import ROOT, goals, plots, poolers
from .figures import Found

DOCUMENT = ROOT / "docs" / "benchmarks.md"
PLOTS = ROOT / "docs" / "benchmarks"
RAW = PLOTS / "raw.tar.xz"

GROUPS = {
    "core": "One query at a time",
    "kinds": "Other kinds of queries",
    "state": "What session_state costs",
    "sizes": "Many clients, few servers",
    "tls": "TLS",
    "unix": "A unix socket to PostgreSQL",
    "login": "Logging in",
    "idle": "Idle clients",
    "bulk": "Big results and COPY",
    "hybrid": "Web clients beside sessions",
    "tails": "Whom others disturb",
    "open": "Open loop",
    "paced": "Paced load",
    "fake": "A server that answers at once",
    "workers": "One worker and two",
    "kernels": "Before Linux 6.10",
    "calls": "System calls",
}

HEAD = """# Benchmarks

Made by `tests/bench/suite.py` (`--list` has all loads, `--only` chooses among them), which measures
the poolers beside each other, on one machine, with PostgreSQL and the clients on it: {machine}.
{versions}

How to read it. Rounds are interleaved, the poolers take turns within a round and their order turns
around with each; figures are medians over rounds. *Ratio* is the median of the ratios to {base}
within a round, with the least and the most: it is what to trust, the absolute figures drift with
whatever else the machine does. {windows}*CPU* is CPU time of the pooler's process per transaction, from the
kernel's own count in nanoseconds; on loopback a sender is charged with much of its peer's work in
the kernel, all alike. *Machine* is that of all processors and everybody on them, per transaction.
*Switches* are the pooler's context switches, given up and taken away. Closed loop: a client begins its next
transaction when the last one has ended. Latencies are in ms, from the load generator
(`tests/bench/drive.c`); where a load has a rate or a pace of its own, they count from the moment in which
a transaction was to begin, whether or not a client was free (coordinated omission). One thread each
(`workers: 1`) unless said otherwise, and no TLS towards PostgreSQL. `session_state` is strict, the default, unless it says off, which is what
PgBouncer does.

## Goals

Ratios and figures are those of the default configuration (`session_state: strict`), with each engine.

{goals}

{reasons}
"""


def ms(value):
    if value is None:
        return ""
    return f"{value / 1e3:.2f}" if value < 1e5 else f"{value / 1e3:.0f}"


def number(value, digits=1):
    return "" if value is None else f"{value:.{digits}f}"


def ratio(values):
    if not values:
        return ""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def table(head, rows):
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head),
                      *("| " + " | ".join(row) + " |" for row in rows)])


def rate_table(found):
    rows = []
    for key in found.keys:
        def at(*path, key=key):
            return found.middle(key, *path)
        p50, p99 = at("groups", 0, "p50"), at("groups", 0, "p99")
        rows.append([
            poolers.ALL[key].title, number(at("rate"), 0), ratio(found.ratios(key, "rate")),
            number(at("cpu")) if at("cpu") else "", ratio(found.ratios(key, "cpu")),
            number(at("machine_cpu")), number(at("server_cpu")),
            *(ms(at("groups", 0, name)) for name in ("p50", "p95", "p99", "p999", "max")),
            number(p99 / p50, 2) if p50 else "",
            f"{at('voluntary'):.2f} + {at('involuntary'):.2f}" if at("cpu") else "",
            number(at("rss") / 1e6) if at("rss") else ""])
    return table(["pooler", "tx/s", "ratio", "CPU us/tx", "ratio", "machine us/tx",
                  "PostgreSQL us/tx", "p50", "p95", "p99", "p99.9", "max", "p99/p50", "switches/tx",
                  "RSS MB"], rows)


def bulk_table(found):
    return table(["pooler", "MB/s", "ratio", "CPU s/GB", "ratio", "RSS MB"], [
        [poolers.ALL[key].title, number(found.middle(key, "bytes") / 1e6, 0),
         ratio(found.ratios(key, "bytes")),
         number(found.middle(key, "cpu_gb"), 3) if found.middle(key, "cpu_gb") else "",
         ratio(found.ratios(key, "cpu_gb")), number(found.middle(key, "rss") / 1e6 or None)]
        for key in found.keys])


def idle_table(found):
    return table(["pooler", "RSS, kB per client", "PSS, kB per client", "RSS MB", "CPU ms/s"], [
        [poolers.ALL[key].title, number(found.middle(key, "rss_each") / 1e3, 2),
         number(found.middle(key, "pss_each") / 1e3, 2), number(found.middle(key, "rss") / 1e6),
         number(found.middle(key, "used", "cpu") * 1e3, 2)] for key in found.keys])


def mixed_table(found):
    names = found.load.names
    head = ["pooler", "CPU ms/s", "ratio"]
    for name in names:
        head += [f"{name}: tx/s", "p50", "p99", "p99.9", "max"]
    rows = []
    for key in found.keys:
        row = [poolers.ALL[key].title, number(found.middle(key, "used", "cpu") * 1e3, 0),
               ratio(found.ratios(key, "used", "cpu"))]
        for i in range(len(names)):
            count = found.middle(key, "groups", i, "ended")
            row += [number(count / found.middle(key, "groups", i, "seconds"), 0)]
            row += [ms(found.middle(key, "groups", i, name))
                    for name in ("p50", "p99", "p999", "max")]
        rows.append(row)
    return table(head, rows)


def open_table(found):
    rows = []
    for index, step in enumerate(found.first()["steps"]):
        for key in found.keys:
            def at(*path, key=key, index=index):
                return found.middle(key, "steps", index, *path)
            rows.append([f"{step['part']} %", number(at("offered"), 0), poolers.ALL[key].title,
                         number(at("rate"), 0),
                         *(ms(at("groups", 0, name)) for name in ("p50", "p95", "p99", "p999", "max")),
                         number(at("groups", 0, "unanswered"), 0), number(at("cpu"))])
    return table(["offered", "tx/s", "pooler", "answered/s", "p50", "p95", "p99", "p99.9", "max",
                  "not answered at the end", "CPU us/tx"], rows)


def calls_table(found):
    rows = []
    for key in found.keys:
        counts = {}
        for result in found.results(key):
            total = sum(result["calls"].values())
            for name, count in result["calls"].items():
                counts.setdefault(name, []).append(count / total * result["calls_each"])
        often = sorted(((statistics.median(each), name) for name, each in counts.items()),
                       reverse=True)
        rows.append([poolers.ALL[key].title, number(found.middle(key, "calls_each"), 2),
                     ratio(found.ratios(key, "calls_each")),
                     ", ".join(f"{name} {each:.2f}" for each, name in often if each >= 0.01)])
    return table(["pooler", "system calls per transaction", "ratio", "which"], rows)


TABLES = {"rate": rate_table, "bulk": bulk_table, "idle": idle_table, "mixed": mixed_table,
          "open": open_table, "calls": calls_table}

NOTES = {
    "state": "Each transaction is another client's than the last one of its server, so that `strict` cleans"
             " behind each; PostgreSQL's time is that of all its processes, per transaction. What the words"
             " mean: [session-state.md](session-state.md).",
    "calls": "Counted by `strace -c -f` while it is attached, in rounds of their own: it slows the pooler"
             " down, so that no other figure of these rounds is shown.",
    "open": "Arrivals are random (exponential), at parts of what PgBouncer answered in a closed loop"
            " in the same round. What was not answered when the window ended counts with its age.",
    "paced": "Every client begins its transactions at fixed times; all together at 20 % of what"
             " PgBouncer did in a closed loop in the same round.",
    "idle": "Memory with the clients less memory before they came, after one login; the window is"
            " silent, and CPU is what was used in it.",
    "unix": "`host: /run/postgresql` instead of an address: to be recommended where PostgreSQL is on the same"
            " machine (PERFORMANCE in pgtandem.yaml(5)). PgBouncer has it, too.",
    "workers": "`process.workers` is 1 in all tables unless said otherwise. By itself the router takes one for each"
               " processor that it may use, at most 4; when it pays to say something else is in pgtandem.yaml(5),"
               " PERFORMANCE.",
    "kernels": "io_uring as the router uses it before Linux 6.10 (docs/kernels.md), here on a newer kernel:"
               " each receive is a request of its own.",
    "login": "Each transaction: connect, log in, one query, leave. What PBKDF2 costs the client is"
             " computed once. CPU is that of a whole login with its query.",
    "fake": "`tests/bench/fakepg.c` instead of PostgreSQL, so that the pooler is what limits. It and the"
            " load generator are one thread each: with two processors two workers have no processor"
            " each for themselves.",
    "tails": "The 40 keep a pace of their own, and what the others do is next to them, in the same pool.",
    "hybrid": "25 servers for transactions and 20 for sessions; PgBouncer is two processes.",
    "kinds": "pgbench's statements and tables (scale 10), sent by the load generator of all other"
             " loads. TPC-B with 40 clients waits for row locks in PostgreSQL.",
}


def others(found):
    """Processors that were busy with something else than what is measured."""
    each = []
    for key in found.keys:
        for result in found.results(key):
            used = result.get("used", {})
            parts = [used.get(name) for name in ("cpu", "server_cpu", "client_cpu")]
            if used and None not in parts:
                each.append(max(used["machine_cpu"] - sum(parts), 0))
    return f", {statistics.median(each):.2f} processors busy with other things" if each else ""


def about(found):
    record = found.record
    return f"{len(record['rounds'])} rounds of {record['seconds']:g} s, {record['at'][:10]}, " \
        f"{record['machine']['commit']}, load average before {record['load_average']:.1f}" \
        + others(found)


def section(group, founds):
    parts = [f"## {GROUPS[group]}"]
    if group in NOTES:
        parts.append(NOTES[group])
    for found in founds:
        base = f"; ratios to {poolers.ALL[found.base].title}" if found.base else ""
        parts.append(f"**{found.load.title}** (`{found.load.name}`: {about(found)}{base})")
        parts.append(TABLES[found.load.table](found))
        for key in found.failed:
            parts.append(f"{poolers.ALL[key].title}: {found.failed[key]}")
    return "\n\n".join(parts)


# What is set up in another way than for most loads.
SCENES = ("hybrid", "tls-40", "login-plain", "unix-simple-40")


def configured(founds):
    """(load, pooler, texts): each pooler once, and two of them for other scenes."""
    told = set()
    for found in founds:
        for key, texts in found.record["configs"].items():
            is_scene = found.load.name in SCENES and key in ("uring", "pgbouncer")
            if texts and (is_scene or key not in told):
                yield found.load.name, poolers.ALL[key], texts
            told.add(key)


def configurations(founds):
    """As they were for one load of a kind: without directories and ports of that run."""
    parts = ["## How each was configured", "What is not said is as each program has it by itself."]
    for name, pooler, texts in configured(founds):
        for text in texts:
            text = re.sub(r"\b(1[5-9]|2\d|3[01])\d{3}\b", "PORT", text)
            text = re.sub(r"/[\w/.-]*/pgtandem-(bench|pg)-\w+", "DIR", text)
            parts.append(f"{pooler.title}, `{name}`:\n\n```\n{text.strip()}\n```")
    return "\n\n".join(parts)


def read(results, every):
    return [Found(load, json.loads((results / f"{name}.json").read_text(encoding="utf-8")))
            for name, load in every.items() if (results / f"{name}.json").exists()]


def unpack(results, every):
    """What the document says of loads that have not been measured since, here."""
    results.mkdir(parents=True, exist_ok=True)
    if not RAW.exists():
        return
    with tarfile.open(RAW) as raw:
        for name in every:
            path = results / f"{name}.json"
            if not path.exists() and path.name in raw.getnames():
                path.write_bytes(raw.extractfile(path.name).read())


def pack(results, every):
    """The same figures give the same bytes."""
    with tarfile.open(RAW, "w:xz") as raw:
        for name in every:
            path = results / f"{name}.json"
            if path.exists():
                info = tarfile.TarInfo(path.name)
                info.size = path.stat().st_size
                with path.open("rb") as file:
                    raw.addfile(info, file)


# Of figures that were made before they were, it is not said.
WINDOWS = """A window begins when no server has been opened for a while, and the
load goes on until all meters have been read. """


def missed(founds):
    """An engine for which there is the same to be said as for the other needs no second list."""
    parts, before = [], []
    for key, who in zip(goals.ENGINES, ("io_uring, the default", "epoll")):
        lines = goals.reasons(founds, key)
        mine = [line for line in lines if line not in before]
        if mine:
            also = ", beside these," if parts else ","
            parts.append("\n".join([f"Not reached by {who}{also} and why:", "", *mine]))
        before += lines
    return "\n\n".join(parts)


def document(results, every, images=()):
    founds = read(results, every)
    assert founds, f"nothing has been measured yet: {results}"
    about_machine = founds[0].record["machine"]
    versions = sorted({found.record["machine"][name] for found in founds for name in
                       ("router", "pgbouncer", "pgbouncer13", "haproxy", "postgres")
                       if found.record["machine"].get(name)})
    parts = [HEAD.format(
        machine=f"{about_machine['processors']} processors, Linux {about_machine['kernel']}",
        versions=", ".join(versions) + ".", base="PgBouncer (1.24 for prepared statements)",
        windows=WINDOWS if all(found.record.get("settles") for found in founds) else "",
        goals=table(*goals.rows(founds)), reasons=missed(founds))]
    parts += [f"![{title}](benchmarks/{file})" for title, file in images]
    for group in GROUPS:
        mine = [found for found in founds if found.load.group == group]
        if mine:
            parts.append(section(group, mine))
    missing = [name for name in every if name not in {f.load.name for f in founds}]
    if missing:
        parts.append("Not measured this time: " + ", ".join(missing) + ".")
    parts.append(configurations(founds))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def write(results, every):
    PLOTS.mkdir(exist_ok=True)
    unpack(results, every)
    founds = read(results, every)
    images = []
    for title, file, picture in plots.all_of(founds):
        (PLOTS / file).write_text(picture, encoding="utf-8")
        images.append((title, file))
    DOCUMENT.write_text(document(results, every, images), encoding="utf-8")
    pack(results, every)
    print(f"{DOCUMENT}, {len(images)} plots, {len(founds)} loads")


def brief(load, result):
    """One line on the terminal."""
    if load.table == "open":
        return ", ".join(f"{s['part']} %: p99 {ms(s['groups'][0]['p99'])} ms"
                         for s in result["steps"])
    if load.table == "idle":
        return f"{result['rss_each'] / 1e3:.2f} kB each, {result['used']['cpu'] * 1e3:.2f} ms/s"
    if load.table == "bulk":
        each = "" if not result["cpu_gb"] else f", CPU {result['cpu_gb']:.3f} s/GB"
        return f"{result['bytes'] / 1e6:.0f} MB/s{each}"
    if load.table == "calls":
        return f"{result.get('calls_each', 0):.2f} calls"
    each = f" CPU {result['cpu']:.1f} us," if result.get("cpu") else ""
    return f"{result['rate']:.0f} tx/s,{each}" \
        + ";".join(f" p50 {ms(g['p50'])}, p99 {ms(g['p99'])} ms" for g in result["groups"])

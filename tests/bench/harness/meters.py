# SPDX-License-Identifier: ISC
"""What processes and the machine have used, read from /proc.

CPU time is each thread's own count in nanoseconds (schedstat); that of the whole machine
has ticks of 10 ms.  On loopback the kernel charges a sender with the receiver's work, so
that both figures are needed."""
import os
import pathlib
import re
import signal
import subprocess
import time

TICK = os.sysconf("SC_CLK_TCK")


def threads(pid):
    try:
        return list(pathlib.Path(f"/proc/{pid}/task").iterdir())
    except FileNotFoundError:
        return []


def read(path):
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def cpu(pids):
    """Seconds, of the threads that are there."""
    return sum(int((read(thread / "schedstat") or "0").split()[0])
               for pid in pids for thread in threads(pid)) / 1e9


def switches(pids):
    """(voluntary, involuntary) context switches."""
    found = [0, 0]
    for pid in pids:
        for thread in threads(pid):
            text = read(thread / "status")
            for i, name in enumerate(("voluntary", "nonvoluntary")):
                value = re.search(rf"^{name}_ctxt_switches:\s*(\d+)", text, re.M)
                found[i] += int(value[1]) if value else 0
    return found


def memory(pids):
    """Bytes: (resident, proportional share)."""
    text = "".join(read(pathlib.Path(f"/proc/{pid}/smaps_rollup")) for pid in pids)
    return [1024 * sum(map(int, re.findall(rf"^{name}:\s*(\d+) kB", text, re.M)))
            for name in ("Rss", "Pss")]


def machine():
    """Seconds in which the processors were not idle, and those that were taken from us."""
    fields = list(map(int, read(pathlib.Path("/proc/stat")).splitlines()[0].split()[1:9]))
    user, nice, system, _, _, irq, softirq, steal = fields
    return (user + nice + system + irq + softirq) / TICK, steal / TICK


def descendants(pid):
    """A postmaster and its children."""
    children = read(pathlib.Path(f"/proc/{pid}/task/{pid}/children")).split()
    return [pid, *map(int, children)]


class Moment:
    """All meters, each with the time at which it was read: to read them takes so long that
    one time for all would be wrong."""

    def __init__(self, pids, servers, client):
        self.sessions = set(servers)
        self.seen = {}
        for names, meter in ((("machine_cpu", "steal"), machine),
                             (("cpu",), lambda: [cpu(pids)]),
                             (("voluntary", "involuntary"), lambda: switches(pids)),
                             (("client_cpu",), lambda: [cpu([client])]),
                             (("server_cpu",), lambda: [cpu(servers)])):
            at = time.monotonic()
            for name, value in zip(names, meter()):
                self.seen[name] = at, value

    def until(self, later):
        """What happened in between, per second."""
        found = {}
        for name, (began, before) in self.seen.items():
            ended, after = later.seen[name]
            found[name] = (after - before) / (ended - began)
        # What a session has used is gone with it.
        if self.sessions != later.sessions:
            found["server_cpu"] = None
        return found


class Calls:
    """System calls, counted by strace -c -f: attached, counted, detached."""

    def __init__(self, pids, path):
        self.path = path
        words = [word for pid in pids for word in ("-p", str(pid))]
        self.process = subprocess.Popen(
            ["strace", "-c", "-f", "-o", str(path), *words], stderr=subprocess.PIPE, text=True)
        wanted = sum(len(threads(pid)) for pid in pids)
        # "Process N attached", or "... with T threads": then it counts.
        while wanted > 0:
            line = self.process.stderr.readline()
            assert line, "strace has ended"
            more = re.search(r"attached(?: with (\d+) threads)?", line)
            wanted -= int(more[1] or 1) if more else 0

    def end(self):
        """{name: calls}"""
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=30)
        found = {}
        for line in self.path.read_text(encoding="ascii").splitlines():
            words = line.split()
            if len(words) >= 5 and words[3].isdigit() and words[-1] != "total":
                found[words[-1]] = int(words[3])
        return found

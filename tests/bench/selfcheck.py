#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Checks the measuring itself: that the load generator counts what clients would have waited
when a server stands still, and that ratios and goals are what they say.

  tests/bench/selfcheck.py --router build/pgtandem
"""
import argparse
import json
import os
import signal
import subprocess
import threading
import time

from harness import ROOT, goals, loads, meters, poolers
from harness.figures import Found
from support.net import free_port

STILL_S, WINDOW_S = 1.0, 4.0


def drive(args, port, *words):
    """The generator's figures while the server stands still for a second of the window."""
    process = subprocess.Popen(
        [poolers.program(args, "drive"), str(WINDOW_S), "0.1", f"port={port}", *words, "SELECT 1"],
        stdout=subprocess.PIPE, text=True)
    for word in ("ready", "begin"):
        assert process.stdout.readline().strip() == word
    yield
    assert process.stdout.readline().strip() == "end"
    yield json.loads(process.stdout.readline())[0]
    process.stdout.close()
    assert process.wait() == 0


def stand_still(pid):
    os.kill(pid, signal.SIGSTOP)
    timer = threading.Timer(STILL_S, os.kill, (pid, signal.SIGCONT))
    timer.start()
    return timer


def measure(args, port, pid, *words):
    steps = drive(args, port, *words)
    next(steps)
    timer = stand_still(pid)
    found = next(steps)
    timer.join()
    assert next(steps, None) is None
    return found


def check_omission(args, port, pid):
    """A quarter of the window is lost.  Who asks again only when answered meets it once; who
    was to ask 200 times a second meets it 200 times, and waits between 0 and 1 s."""
    closed = measure(args, port, pid, "clients=1")
    assert closed["max"] > 0.9e6 and closed["p99"] < 0.1e6, closed
    for words in (("pace=200",), ("rate=200",)):
        paced = measure(args, port, pid, "clients=1", *words)
        assert paced["p50"] < 0.25e6 and 0.3e6 < paced["p95"] < 2e6, (words, paced)
        assert abs(paced["ended"] / paced["seconds"] - 200) < 40, (words, paced)
    print("a server that stands still is seen by all who were to ask")


def check_backlog(args, port, pid):
    """What is not answered when the window ends counts with its age."""
    steps = drive(args, port, "clients=2", "rate=500")
    next(steps)
    os.kill(pid, signal.SIGSTOP)
    try:
        found = next(steps)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert next(steps, None) is None
    assert found["unanswered"] > 1000 and found["max"] > 0.8e6 * WINDOW_S, found
    print("what is not answered counts")


def check_going_on(args, port, pid):
    """Behind its window it goes on, until it is ended."""
    process = subprocess.Popen(
        [poolers.program(args, "drive"), "0.2+", "0.05", f"port={port}", "SELECT 1"],
        stdout=subprocess.PIPE, text=True)
    try:
        for word in ("ready", "begin", "end"):
            assert process.stdout.readline().strip() == word
        assert json.loads(process.stdout.readline())[0]["ended"] > 0
        before, deadline = meters.cpu([pid]), time.monotonic() + 10
        while meters.cpu([pid]) < before + 0.05:
            assert time.monotonic() < deadline, "nobody asks any more"
            time.sleep(0.01)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    print("it goes on until it is ended")


def check_slow_reader(args, port):
    """It takes no more than it is to take, and no less."""
    steps = drive(args, port, "clients=1", "read=5000")
    next(steps)
    found = next(steps)
    assert next(steps, None) is None
    assert abs(found["bytes"] / found["seconds"] - 5000) < 500, found
    print("who reads slowly reads as slowly as that")


def check_meters():
    """To read them takes long, and longer at one end than at the other: what they tell is the
    same."""
    waits = [0.2, 0.1, 0.4] + [0.0] * 3
    kept = meters.cpu, meters.machine

    def cpu(_pids):
        value = time.monotonic()
        time.sleep(waits.pop(0))
        return value
    try:
        meters.cpu, meters.machine = cpu, lambda: (2 * time.monotonic(), 0.0)
        found = meters.Moment([], [], 0).until(meters.Moment([], [], 0))
    finally:
        meters.cpu, meters.machine = kept
    for name, value in (("machine_cpu", 2), ("cpu", 1), ("client_cpu", 1), ("server_cpu", 1)):
        assert abs(found[name] - value) < 0.02, found
    print("each meter has a time of its own")


def check_settling():
    """A warm-up lasts until nobody comes any more, but not for ever."""
    come, began = iter(range(10)), time.monotonic()
    loads.settle(lambda: next(come, 10), 0.1)
    assert time.monotonic() - began > 0.4
    come, began = iter(range(10**9)), time.monotonic()
    loads.settle(lambda: next(come), 0.1)
    assert 1 <= time.monotonic() - began < 20
    print("a warm-up ends when nobody comes any more")


def check_figures():
    load = loads.every()["simple-40"]
    one, two = {"rate": 100.0, "cpu": 10.0}, {"rate": 120.0, "cpu": 8.0}
    found = Found(load, {"rounds": [{"pgbouncer": one, "uring": two}, {"pgbouncer": two, "uring": two},
                                    {"pgbouncer": one, "uring": {"error": "x"}}]})
    assert found.ratios("uring", "rate") == [1.2, 1.0] and found.middle("uring", "cpu") == 8.0
    assert found.failed == {"uring": "x"}
    most, least = goals.Goal("", "", "", 0.85, None), goals.Goal("", "", "", -1.15, None)
    assert most.holds(0.85) and not most.holds(0.86) and least.holds(1.15) and not least.holds(1.14)
    strict = goals.Goal("", "", "", -1.0, None, strict=True)
    assert strict.holds(1.01) and not strict.holds(1.0) and strict.text == "more than 1"
    print("figures and goals are what they say")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--router", default=str(ROOT / "build" / "pgtandem"))
    parser.add_argument("--short", action="store_true", help="it is short anyway")
    args = parser.parse_args()
    check_figures()
    check_meters()
    check_settling()
    port = free_port()
    fake = subprocess.Popen([poolers.program(args, "fakepg"), str(port)], stdout=subprocess.PIPE)
    try:
        assert fake.stdout.readline() == b"listening\n"
        started = time.monotonic()
        check_omission(args, port, fake.pid)
        check_backlog(args, port, fake.pid)
        check_going_on(args, port, fake.pid)
        check_slow_reader(args, port)
        print(f"{time.monotonic() - started:.0f} s")
    finally:
        fake.kill()
        fake.wait()
        fake.stdout.close()


if __name__ == "__main__":
    main()

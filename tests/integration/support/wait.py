# SPDX-License-Identifier: ISC
"""Waiting for a condition, never for a time."""
import os
import time

# Sanitizers make everything several times slower, valgrind even more.
SLOWDOWN = {"": 1, "address,undefined": 3, "thread": 6, "valgrind": 10}.get(
    os.environ.get("PGTANDEM_SANITIZERS", ""), 3)


def wait_until(condition, timeout=10.0, what=None, interval=0.02):
    """Calls condition() until it gives something true, and returns that.

    timeout is in seconds without sanitizers; what names the condition in the
    failure.  The last exception of condition(), if any, is shown too."""
    deadline = time.monotonic() + timeout * SLOWDOWN
    last = error = None
    while True:
        try:
            last, error = condition(), None
            if last:
                return last
        except AssertionError as failure:
            error = failure
        if time.monotonic() > deadline:
            name = what or getattr(condition, "__name__", "condition")
            raise AssertionError(f"not within {timeout * SLOWDOWN:g} s: {name}"
                                 f" (last: {last!r})") from error
        time.sleep(interval)

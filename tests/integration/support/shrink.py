# SPDX-License-Identifier: ISC
"""The least of a list that still fails."""
import time


def shrink(items, fails, seconds):
    """Takes away halves, then quarters and so on, as long as fails(rest) and there is time."""
    deadline = time.monotonic() + seconds
    size = max(len(items) // 2, 1)
    while True:
        at, before = 0, len(items)
        while at < len(items):
            if time.monotonic() > deadline:
                return items
            rest = items[:at] + items[at + size:]
            if fails(rest):
                items = rest
            else:
                at += size
        if size > 1:
            size //= 2
        elif len(items) == before:
            return items

# SPDX-License-Identifier: ISC
"""A thread of the router that stands still."""
import contextlib
import ctypes
import os
import pathlib


@contextlib.contextmanager
def frozen(router, name):
    """One thread of the router stands still: ptrace(2)."""
    seize, interrupt, detach, any_child = 0x4206, 0x4207, 17, 0x40000000
    libc = ctypes.CDLL(None, use_errno=True)

    def ptrace(request):
        done = libc.ptrace(ctypes.c_long(request), ctypes.c_long(task), None, None)
        assert done == 0, os.strerror(ctypes.get_errno())
    tasks = pathlib.Path(f"/proc/{router.process.pid}/task")
    (task,) = [int(path.name) for path in tasks.iterdir()
               if (path / "comm").read_text().strip() == name]
    ptrace(seize)
    try:
        ptrace(interrupt)
        os.waitpid(task, any_child)
        yield
    finally:
        ptrace(detach)

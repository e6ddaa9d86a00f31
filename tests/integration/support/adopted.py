# SPDX-License-Identifier: ISC
"""A process that a process of ours has started, and that we inherit when that ends."""
import ctypes
import errno
import os
import signal
import subprocess
import time

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    """From here on orphans of our children are ours to wait for."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


class Adopted:
    """What subprocess.Popen has of a process, for one known by its id."""

    def __init__(self, pid):
        self.pid, self.returncode = pid, None

    def poll(self):
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid != 0:
                    self.returncode = os.waitstatus_to_exitcode(status)
            except ChildProcessError:
                # Its parent still lives, or has waited for it.
                if not self.exists():
                    self.returncode = 0
        return self.returncode

    def exists(self):
        try:
            os.kill(self.pid, 0)
            return True
        except OSError as error:
            return error.errno != errno.ESRCH

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout=None):
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(0.01)
        return self.returncode

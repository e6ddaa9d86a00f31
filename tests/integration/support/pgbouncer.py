# SPDX-License-Identifier: ISC
"""Debian's PgBouncer, for what it is to be compared with."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from . import needs
from .net import free_port, listening_ports
from .postgres import DATABASE, USERS
from .router import ADMIN, Endpoint
from .wait import wait_until

def version():
    """(1, 18), or the test is skipped."""
    said = subprocess.run([needs.program("pgbouncer"), "--version"], capture_output=True, text=True,
                          check=True, timeout=60).stdout
    return tuple(int(n) for n in re.search(r"PgBouncer (\d+)\.(\d+)", said).groups())


class Unprepared(Endpoint):
    """Before 1.21 it does not know what clients have prepared."""

    def connect(self, *args, **more):
        return super().connect(*args, prepare_threshold=None, **more)


class PgBouncer:
    """One process in front of a cluster, with one pool_mode."""

    def __init__(self, postgres, pool_mode):
        self.version = version()
        self.port = free_port()
        # It does not run as root, and has to get at its files.
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="pgtandem-pgbouncer-"))
        self.directory.chmod(0o755)
        users = {name: password for name, (password, _) in USERS.items()} | dict([ADMIN])
        (self.directory / "userlist.txt").write_text(
            "".join(f'"{name}" "{password}"\n' for name, password in users.items()))
        config = self.directory / "pgbouncer.ini"
        config.write_text(
            f"[databases]\n{DATABASE} = host=127.0.0.1 port={postgres.port}\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            f"auth_type = scram-sha-256\nauth_file = {self.directory}/userlist.txt\n"
            f"admin_users = {ADMIN[0]}\npool_mode = {pool_mode}\ndefault_pool_size = 10\n")
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] \
            if os.getuid() == 0 else []
        self.process = subprocess.Popen([*user, needs.program("pgbouncer"), "-q", str(config)],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        wait_until(lambda: self.port in listening_ports(), 15, "PgBouncer listens")
        self.endpoint = Unprepared("127.0.0.1", self.port)

    def finish(self):
        self.process.kill()
        self.process.wait(15)
        shutil.rmtree(self.directory)

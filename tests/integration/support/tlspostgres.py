# SPDX-License-Identifier: ISC
"""A PostgreSQL with TLS, and certificates that can be changed."""
import os
import shutil
import subprocess

from .postgres import Postgres
from .wait import wait_until


class TlsPostgres(Postgres):
    """A cluster with TLS."""

    def create_with(self, ca):
        super().create()
        self.authority = ca
        shutil.copy(ca.ca, self.data / "root.crt")
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write("ssl = on\nssl_ca_file = 'root.crt'\n")
        self.show_certificate("server")
        self.restart()
        return self

    def show_certificate(self, name):
        for suffix, file in (("crt", "server.crt"), ("key", "server.key")):
            shutil.copy(self.authority.path(f"{name}.{suffix}"), self.data / file)
            os.chmod(self.data / file, 0o600)
            status = os.stat(self.data)
            os.chown(self.data / file, status.st_uid, status.st_gid)
        os.chown(self.data / "root.crt", status.st_uid, status.st_gid)

    def use_certificate(self, name):
        self.show_certificate(name)
        self.reload()
        wait_until(lambda: self.shown_serial() == self.serial_of(name), 10, "the new certificate")

    def shown_serial(self):
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-starttls", "postgres"],
            input="", text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        return subprocess.run(["openssl", "x509", "-noout", "-serial"], input=done.stdout,
                              text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              check=False).stdout

    def serial_of(self, name):
        return subprocess.run(
            ["openssl", "x509", "-noout", "-serial", "-in", self.authority.path(f"{name}.crt")],
            text=True, stdout=subprocess.PIPE, check=True).stdout

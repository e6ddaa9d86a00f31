# SPDX-License-Identifier: ISC
"""A directory (slapd) of a test's own."""
import pathlib
import signal
import subprocess

from . import needs
from .certs import Authority
from .net import free_port, listening_ports
from .wait import wait_until

BASE = "dc=example,dc=net"
ADMIN_DN, ADMIN_PASSWORD = f"cn=admin,{BASE}", "the directory's own secret"


class Directory:
    """people: {name: password}; entries are cn=NAME,ou=people,dc=example,dc=net with
    uid NAME.  Listens on port (LDAP, with StartTLS) and tls_port (LDAPS)."""

    def __init__(self, path, people):
        slapd = needs.program("slapd", "test")
        self.path = pathlib.Path(path)
        (self.path / "data").mkdir(parents=True)
        self.port, self.tls_port = free_port(), free_port()
        self.authority = Authority(self.path / "ca")
        certificate, key = self.authority.issue("own", "localhost",
                                                alt="DNS:localhost,IP:127.0.0.1")
        conf = self.path / "slapd.conf"
        conf.write_text(f"""
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {self.path}/pid
TLSCACertificateFile {self.authority.ca}
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
database mdb
suffix "{BASE}"
rootdn "{ADMIN_DN}"
rootpw "{ADMIN_PASSWORD}"
directory {self.path}/data
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{ADMIN_DN}" read by anonymous auth by * none
""")
        entries = [f"dn: {BASE}\nobjectClass: domain\ndc: example\n",
                   f"dn: ou=people,{BASE}\nobjectClass: organizationalUnit\nou: people\n",
                   f"dn: ou=twice,{BASE}\nobjectClass: organizationalUnit\nou: twice\n"]
        for name, password in people.items():
            entries.append(self.entry(name, password, "people"))
        first = next(iter(people))
        entries += [self.entry("one", "x", "twice", uid="double"),
                    self.entry("two", people[first], "twice", uid="double")]
        subprocess.run([slapd, "-T", "add", "-f", conf], input="\n".join(entries), text=True,
                       check=True, stdout=subprocess.DEVNULL)
        self.process = subprocess.Popen(
            [slapd, "-d", "0", "-f", conf, "-h",
             f"ldap://127.0.0.1:{self.port} ldaps://127.0.0.1:{self.tls_port}"])
        wait_until(lambda: {self.port, self.tls_port} <= listening_ports(), 10, "slapd listens")

    @staticmethod
    def entry(name, password, unit, uid=None):
        dn = "".join("\\" + c if c in ',+"\\<>;=#' else c for c in name)
        return (f"dn: cn={dn},ou={unit},{BASE}\nobjectClass: inetOrgPerson\ncn: {name}\n"
                f"sn: {name}\nuid: {uid or name}\nuserPassword: {password}\n")

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def close(self):
        self.thaw()
        self.process.terminate()
        self.process.wait(20)

# SPDX-License-Identifier: ISC
"""Throw-away certificates, made with openssl."""
import pathlib
import re
import shutil
import ssl
import subprocess


def any_certificate(version=None):
    """A client's context that is content with each, with that version of TLS alone."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    if version:
        made.minimum_version = made.maximum_version = version
    return made


class Authority:
    """A directory with a CA and what it has signed: NAME.crt, NAME.key, ca.crl."""

    def __init__(self, directory, name="Test CA"):
        self.directory = pathlib.Path(directory)
        self.issued = 0x2000
        self.directory.mkdir(parents=True, exist_ok=True)
        self.database = self.directory / "index.txt"
        self.database.write_text("")
        (self.directory / "crlnumber").write_text("01\n")
        (self.directory / "serial").write_text("1000\n")
        (self.directory / "ca.cnf").write_text(
            "[ca]\ndefault_ca=me\n[me]\n"
            f"dir={self.directory}\ndatabase={self.database}\nserial={self.directory}/serial\n"
            f"crlnumber={self.directory}/crlnumber\nnew_certs_dir={self.directory}\n"
            f"certificate={self.directory}/ca.crt\nprivate_key={self.directory}/ca.key\n"
            "default_md=sha256\ndefault_crl_days=30\npolicy=any\n"
            "unique_subject=no\ncopy_extensions=copy\nx509_extensions=leaf\n"
            "[any]\ncommonName=supplied\n"
            # Without these Python 3.13 takes none.
            "[leaf]\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                     "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-days", "30",
                     "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self.update_crl()

    def openssl(self, *words, text=""):
        done = subprocess.run(["openssl", *words], cwd=self.directory, input=text, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def issue(self, file, name, alt=None, key="ec", dates=None):
        """A certificate of this name, as FILE.crt and FILE.key.  dates: (from, to)."""
        kind = (["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if key == "ec"
                else ["-newkey", key])
        more = ["-addext", f"subjectAltName={alt}"] if alt else []
        self.openssl("req", "-new", *kind, "-nodes", "-keyout", f"{file}.key",
                     "-out", f"{file}.csr", "-subj", f"/CN={name}", *more)
        when = ["-startdate", dates[0], "-enddate", dates[1]] if dates else ["-days", "20"]
        self.openssl("ca", "-batch", "-config", "ca.cnf", "-in", f"{file}.csr",
                     "-out", f"{file}.crt", "-notext", *when)
        return self.path(f"{file}.crt"), self.path(f"{file}.key")

    def issue_as(self, file, subject, alt=None, string_mask="utf8only"):
        """A certificate of this subject, as openssl req -subj has it, whatever it holds; alt:
        a line of subjectAltName.  A tilde becomes a zero byte.  One key for all, without one."""
        if not (self.directory / "any.key").exists():
            self.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "any.key")
        config = self.directory / "any.cnf"
        config.write_text(f"[req]\ndistinguished_name=dn\nstring_mask={string_mask}\n[dn]\n[more]\n"
                          + (f"subjectAltName={alt}\n" if alt else ""))
        self.openssl("req", "-new", "-config", str(config), "-key", "any.key", "-utf8",
                     "-subj", subject, "-out", f"{file}.csr")
        self.openssl("x509", "-req", "-in", f"{file}.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
                     "-set_serial", str(self.issued), "-days", "20", "-sha256",
                     "-extfile", str(config), "-extensions", "more", "-outform", "DER",
                     "-out", f"{file}.der")
        self.issued += 1
        for name in re.findall(r"[\w.]*~[\w.]*", f"{subject} {alt}"):
            self.replace(file, name.encode(), name.replace("~", "\0").encode())
        self.openssl("x509", "-inform", "DER", "-in", f"{file}.der", "-out", f"{file}.crt")
        shutil.copy(self.path("any.key"), self.path(f"{file}.key"))
        return self.path(f"{file}.crt"), self.path(f"{file}.key")

    def replace(self, file, old, new):
        """In what is signed, which is signed again: SEQUENCE of that, method, BIT STRING."""
        def whole(at):
            size, extra = der[at + 1], 0
            if size >= 0x80:
                extra = size & 0x7f
                size = int.from_bytes(der[at + 2:at + 2 + extra], "big")
            return der[at:at + 2 + extra + size]

        def element(tag, body):
            size = len(body).to_bytes(2, "big")
            return bytes([tag, 0x82]) + size + body

        path = self.directory / f"{file}.der"
        der = path.read_bytes()
        assert len(old) == len(new) and der[1] == 0x82
        signed = whole(4)
        method = whole(4 + len(signed))
        assert old in signed
        signed = signed.replace(old, new)
        (self.directory / "signed").write_bytes(signed)
        self.openssl("dgst", "-sha256", "-sign", "ca.key", "-out", "signature", "signed")
        signature = (self.directory / "signature").read_bytes()
        path.write_bytes(element(0x30, signed + method + element(3, b"\0" + signature)))

    def revoke(self, file):
        self.openssl("ca", "-config", "ca.cnf", "-revoke", f"{file}.crt")
        self.update_crl()

    def update_crl(self):
        self.openssl("ca", "-config", "ca.cnf", "-gencrl", "-out", "ca.crl")

    def path(self, file):
        return str(self.directory / file)

    @property
    def ca(self):
        return self.path("ca.crt")

    @property
    def crl(self):
        return self.path("ca.crl")

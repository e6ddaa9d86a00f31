# SPDX-License-Identifier: ISC
"""Throw-away certificates, made with openssl."""
import pathlib
import subprocess


class Authority:
    """A directory with a CA and what it has signed: NAME.crt, NAME.key, ca.crl."""

    def __init__(self, directory, name="Test CA"):
        self.directory = pathlib.Path(directory)
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
            "unique_subject=no\ncopy_extensions=copy\n[any]\ncommonName=supplied\n")
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                     "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-days", "30",
                     "-subj", f"/CN={name}")
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

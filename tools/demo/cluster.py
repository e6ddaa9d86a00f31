# SPDX-License-Identifier: ISC
"""A throw-away PostgreSQL in a directory of its own; the system's is not touched."""
import glob
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import tempfile

SETTINGS = """
listen_addresses = '127.0.0.1'
max_connections = 60
fsync = off
synchronous_commit = off
full_page_writes = off
shared_buffers = 64MB
jit = off
password_encryption = 'scram-sha-256'
log_min_messages = warning
"""

HBA = """
local all postgres trust
host all all 127.0.0.1/32 scram-sha-256
"""

# Each tenant sees its own rows only, and that by PostgreSQL's own rule: a query that
# runs with somebody else's app.tenant_id shows at once.
SCHEMA = """
CREATE ROLE app LOGIN PASSWORD '{password}';
CREATE DATABASE demo OWNER postgres;
\\connect demo
CREATE TABLE documents (
    id bigserial PRIMARY KEY,
    tenant_id int NOT NULL,
    body text NOT NULL);
CREATE TABLE embeddings (
    id bigserial PRIMARY KEY,
    tenant_id int NOT NULL DEFAULT current_setting('app.tenant_id')::int,
    written_for int NOT NULL,
    vector real[] NOT NULL);
CREATE TABLE events (
    id bigserial PRIMARY KEY,
    tenant_id int NOT NULL,
    client int NOT NULL,
    at timestamptz NOT NULL DEFAULT now());
ALTER TABLE documents ENABLE ROW LEVEL SECURITY;
ALTER TABLE embeddings ENABLE ROW LEVEL SECURITY;
ALTER TABLE events ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON documents
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::int);
CREATE POLICY tenant ON embeddings
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::int);
CREATE POLICY tenant ON events
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::int);
CREATE INDEX ON documents (tenant_id);
INSERT INTO documents (tenant_id, body)
    SELECT t, 'document ' || d || ' of tenant ' || t
    FROM generate_series(1, {tenants}) t, generate_series(1, {documents}) d;
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO app;
ANALYZE;
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def find_bindir():
    found = [path for path in glob.glob("/usr/lib/postgresql/*/bin")
             if os.path.exists(path + "/initdb")]
    found.sort(key=lambda path: int(pathlib.Path(path).parent.name))
    if found:
        return pathlib.Path(found[-1])
    initdb = shutil.which("initdb")
    if not initdb:
        raise SystemExit("quickstart: no PostgreSQL server found (Debian: postgresql)")
    return pathlib.Path(initdb).resolve().parent


class Cluster:
    """directory: of one that an earlier run left up, else a new one is made."""

    def __init__(self, directory=None):
        self.bindir = find_bindir()
        # PostgreSQL refuses to be root; its own user must get at the directory.
        self.as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups",
                        "--"] if os.getuid() == 0 else []
        self.port = free_port()
        self.directory = pathlib.Path(directory or tempfile.mkdtemp(prefix="pgtandem-demo-"))
        self.data = self.directory / "data"
        if not directory and self.as_user:
            owner = pwd.getpwnam("postgres")
            os.chown(self.directory, owner.pw_uid, owner.pw_gid)

    def run(self, program, *args, stdin=None):
        done = subprocess.run(
            [*self.as_user, str(self.bindir / program), *map(str, args)], cwd="/",
            input=stdin or "", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False, env={**os.environ, "LC_ALL": "C.UTF-8", "HOME": str(self.directory)})
        if done.returncode:
            raise SystemExit(f"quickstart: {program} failed:\n{done.stdout}")
        return done.stdout

    def create(self, password, tenants, documents):
        self.run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "--no-sync",
                 "-E", "UTF8", "--locale=C.UTF-8")
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write(SETTINGS)
            conf.write(f"port = {self.port}\nunix_socket_directories = '{self.directory}'\n")
        (self.data / "pg_hba.conf").write_text(HBA, encoding="utf-8")
        self.run("pg_ctl", "-D", self.data, "-l", self.directory / "log", "-w", "start")
        self.psql(SCHEMA.format(password=password, tenants=tenants, documents=documents))

    def psql(self, script, dbname="postgres"):
        return self.run("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h",
                        self.directory, "-p", self.port, "-U", "postgres", "-d", dbname,
                        stdin=script).strip()

    @property
    def socket(self):
        return f"{self.directory}/.s.PGSQL.{self.port}"

    def destroy(self):
        if (self.data / "postmaster.pid").exists():
            self.run("pg_ctl", "-D", self.data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(self.directory, ignore_errors=True)

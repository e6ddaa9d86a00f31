# SPDX-License-Identifier: ISC
"""A PostgreSQL cluster of our own, in a directory of its own."""
import glob
import hashlib
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile
import time

import psycopg

from .net import free_port

# User, password, and how PostgreSQL lets the user in over TCP (pg_hba.conf).
# The router's userlist has each of them.
USERS = {
    "app_scram": ("scram secret", "scram-sha-256"),
    "app_md5": ("md5 secret", "md5"),
    "app_plain": ("plain secret", "password"),
    "app_trust": ("trust secret", "trust"),
    "repl": ("repl secret", "scram-sha-256"),
    "other": ("other secret", "scram-sha-256"),
}
DEFAULT_USER = "app_scram"
DATABASE = "app"

SETTINGS = """
listen_addresses = '127.0.0.1'
fsync = off
synchronous_commit = off
full_page_writes = off
max_connections = 100
superuser_reserved_connections = 3
max_prepared_transactions = 10
wal_level = logical
max_wal_senders = 5
max_replication_slots = 200
shared_buffers = 64MB
jit = off
log_min_messages = warning
log_line_prefix = '%m [%p] %q%u@%d '
logging_collector = off
timezone = 'UTC'
"""

HBA = """
local all all trust
local replication postgres trust
host all postgres 127.0.0.1/32 trust
host replication repl 127.0.0.1/32 scram-sha-256
"""

SCHEMA = """
CREATE TABLE items (id bigserial PRIMARY KEY, body text NOT NULL);
CREATE TABLE documents (
    id bigserial PRIMARY KEY, tenant_id int NOT NULL, body text NOT NULL);
ALTER TABLE documents ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON documents
    USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::int);
INSERT INTO documents (tenant_id, body)
    SELECT t, 'document of tenant ' || t FROM generate_series(1, 20) t, generate_series(1, 5);
GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO PUBLIC;
GRANT ALL ON SCHEMA public TO PUBLIC;
"""


def find_bindir():
    """The newest PostgreSQL on this machine that has a server."""
    found = [path for path in glob.glob("/usr/lib/postgresql/*/bin")
             if os.path.exists(path + "/initdb")]
    found.sort(key=lambda path: int(pathlib.Path(path).parent.name))
    if found:
        return pathlib.Path(os.environ.get("PGTANDEM_PGBIN", found[-1]))
    initdb = shutil.which("initdb")
    assert initdb, "no PostgreSQL server on this machine: tools/install-deps test"
    return pathlib.Path(initdb).resolve().parent


class Postgres:
    """The cluster: started by start(), ended by destroy()."""

    def __init__(self):
        self.bindir = find_bindir()
        self.port = free_port()
        # Root may not run PostgreSQL.
        self.as_user = ["setpriv", "--reuid=postgres", "--regid=postgres",
                        "--init-groups"] if os.getuid() == 0 else []
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="pgtandem-pg-"))
        self.socket_dir = self.directory
        self.data = self.directory / "data"
        self.logfile = self.directory / "log"
        os.chmod(self.directory, 0o755)
        if self.as_user:
            owner = pwd.getpwnam("postgres")
            os.chown(self.directory, owner.pw_uid, owner.pw_gid)

    def run(self, program, *args):
        done = subprocess.run(
            [*self.as_user, str(self.bindir / program), *map(str, args)],
            cwd=self.directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, text=True, check=False,
            env={**os.environ, "LC_ALL": "C.UTF-8"})
        assert done.returncode == 0, f"{program}: {done.stdout}{self.log()[-3000:]}"
        return done.stdout

    def create(self):
        self.run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust",
                 "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write(SETTINGS)
            conf.write(f"port = {self.port}\n")
            conf.write(f"unix_socket_directories = '{self.socket_dir}'\n")
        with open(self.data / "pg_hba.conf", "w", encoding="utf-8") as hba:
            hba.write(HBA)
            for name, (_, method) in USERS.items():
                hba.write(f"host all {name} 127.0.0.1/32 {method}\n")
            hba.write("host all all 127.0.0.1/32 scram-sha-256\n")
        self.start()
        for name, (password, method) in USERS.items():
            kind = "md5" if method == "md5" else "scram-sha-256"
            self.sql(f"SET password_encryption = '{kind}'",
                     f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
        self.sql("ALTER ROLE repl REPLICATION", f"CREATE DATABASE {DATABASE}",
                 "CREATE DATABASE second")
        self.sql(SCHEMA, dbname=DATABASE)
        return self

    def major(self):
        return int(self.sql("SHOW server_version_num")[0][0]) // 10000

    def start(self):
        # The log goes to a file: a pipe would be held open by the server.
        self.run("pg_ctl", "-D", self.data, "-l", self.logfile, "-w", "-t", "60", "start")

    def stop(self, mode="fast"):
        self.run("pg_ctl", "-D", self.data, "-m", mode, "-w", "-t", "60", "stop")

    def restart(self):
        self.stop("fast")
        self.start()

    def is_running(self):
        return (self.data / "postmaster.pid").exists()

    def crash(self):
        """The postmaster is killed, and with it all of the cluster."""
        pid = int((self.data / "postmaster.pid").read_text().split()[0])
        self.stop("immediate")
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and os.path.exists(f"/proc/{pid}"):
            time.sleep(0.02)

    def reload(self):
        os.kill(int((self.data / "postmaster.pid").read_text().split()[0]), signal.SIGHUP)

    def destroy(self):
        if self.is_running():
            self.stop("immediate")
        shutil.rmtree(self.directory, ignore_errors=True)

    def log(self):
        return self.logfile.read_text(errors="replace") if self.logfile.exists() else ""

    # ------------------------------------------------------------- questions

    def connect(self, user="postgres", dbname=DATABASE, **more):
        """A connection that passes by the router."""
        more.setdefault("autocommit", True)
        return psycopg.connect(host=str(self.socket_dir), port=self.port, user=user,
                               dbname=dbname, **more)

    def sql(self, *statements, dbname="postgres"):
        """Runs statements as superuser; the rows of the last one."""
        with self.connect(dbname=dbname) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else None

    def backends(self, where="true"):
        """Client backends except our own question's, as PostgreSQL counts them."""
        return self.sql(
            "SELECT pid, usename, datname, state, application_name, query"
            " FROM pg_stat_activity WHERE backend_type = 'client backend'"
            f" AND pid <> pg_backend_pid() AND ({where})")

    def count(self, where="true"):
        return len(self.backends(where))

    def terminate(self, where="true"):
        """Ends server sessions from PostgreSQL's side; how many there were."""
        return len(self.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE"
            f" backend_type = 'client backend' AND pid <> pg_backend_pid() AND ({where})"))

    def secret(self, user):
        """What pg_authid has: an md5 hash or a SCRAM secret."""
        return self.sql(f"SELECT rolpassword FROM pg_authid WHERE rolname = '{user}'")[0][0]


class Standby(Postgres):
    """A streaming standby of another cluster, with all that is in it."""

    def __init__(self, primary):
        super().__init__()
        self.primary = primary

    def create(self):
        self.run("pg_basebackup", "-D", self.data, "-R", "-X", "stream", "-c", "fast",
                 "--no-sync", "-h", self.primary.socket_dir, "-p", self.primary.port,
                 "-U", "postgres")
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write(f"port = {self.port}\n")
            conf.write(f"unix_socket_directories = '{self.socket_dir}'\n")
        self.start()
        return self

    def promote(self):
        self.run("pg_ctl", "-D", self.data, "-w", "-t", "60", "promote")


def md5_secret(user, password):
    return "md5" + hashlib.md5((password + user).encode()).hexdigest()

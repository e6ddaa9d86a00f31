# SPDX-License-Identifier: ISC
"""pgtandem --import of several files: what one of them says of a name is not silently another
one's, too."""
import re

import pytest
from test_import import JOBS, Import

pytestmark = pytest.mark.router_only


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "userlist.txt").write_text('"app" "secret"\n')
    (tmp_path / "userlist.txt").chmod(0o600)
    return tmp_path


def several(directory, *databases, names=("a.ini", "b.ini", "c.ini")):
    """One file for each, which differ in nothing else but their ports."""
    texts = [JOBS.replace("rag = host=127.0.0.1 dbname=rag_v2", text).replace(
        "6433", str(6433 + number)) for number, text in enumerate(databases)]
    return Import(directory, *texts, names=names)


@pytest.mark.parametrize("databases", [
    ("app = host=127.0.0.1 user=joe password=p", "* = host=127.0.0.1"),
    ("* = host=127.0.0.1", "app = host=127.0.0.1 user=joe password=p"),
    ("app = host=127.0.0.1", "app = host=127.0.0.1 user=joe"),
    ("app = host=127.0.0.1 user=joe", "app = host=127.0.0.1 user=jane"),
    ("* = host=127.0.0.1 user=joe", "* = host=127.0.0.1")])
def test_nobody_becomes_another_user(directory, databases):
    """One file has a user for the database, the other leaves clients their own."""
    done = several(directory, *databases)
    assert (done.code, done.yaml) == (1, "")
    assert re.search(r'^[ab].ini:2: database ".*": user is not the one of [ab].ini:2', done.said, re.M)


@pytest.mark.parametrize("databases, at, why", [
    (("* = host=127.0.0.1", "* = host=127.0.0.1 client_encoding=LATIN1"), ("b.ini", 2),
     "client_encoding, datestyle"),
    (("* = host=127.0.0.1 client_encoding=LATIN1", "* = host=127.0.0.1"), ("b.ini", 2),
     "client_encoding, datestyle"),
    (("x = host=127.0.0.1 pool_size=3\n* = host=127.0.0.1",
      "x = host=127.0.0.1 pool_size=4\n* = host=127.0.0.1"), ("b.ini", 2), "default_pool_size"),
    (("x = host=127.0.0.1 pool_size=3\n* = host=127.0.0.1", "* = host=127.0.0.1"), ("b.ini", 2),
     'database "x": default_pool_size'),
    (("* = host=127.0.0.1", "x = host=127.0.0.1 dbname=y"), ("a.ini", 2), None),
    (("* = host=127.0.0.1", "x = host=10.0.0.1\ny = host=127.0.0.1"), ("a.ini", 2),
     "on another host in b.ini:2"),
    (("x = host=127.0.0.1", "x = host=127.0.0.1\n[users]\njoe = pool_size=2"), ("b.ini", 4),
     "holds on all ports"),
    (("x = host=127.0.0.1", "x = host=127.0.0.1\n[pgbouncer]\nauth_user=foo"), ("b.ini", 2),
     "auth_query"),
    (("x = host=127.0.0.1", "x = host=127.0.0.1\n[pgbouncer]\nadmin_users=boss"), ("b.ini", 4),
     "admin_users holds on all ports"),
    (("x = host=127.0.0.1", "x = host=127.0.0.1\n[pgbouncer]\nserver_login_retry=3"),
     ("b.ini", 4), "server_login_retry holds on all ports")])
def test_what_one_file_alone_says(directory, databases, at, why):
    """Nothing is another thing on the port of a file that does not say so, unless that is
    told."""
    done = several(directory, *databases)
    assert done.code == 3 and at in done.lost, done.said
    assert why is None or why in done.lost[at]


def test_sizes_of_all_databases_are_the_ports(directory):
    done = several(directory, "* = host=127.0.0.1\nx = host=127.0.0.1 dbname=x",
                   "* = host=127.0.0.1 pool_size=3 server_lifetime=60")
    assert (done.code, done.lost) == (0, {})
    options = done.options()
    assert [options[f"workloads.{w}.default_pool_size"] for w in ("session", "session_6434_2")] \
        == ["10", "3"]
    assert options["workloads.session_6434_2.server_lifetime"] == "1min"
    assert not [path for path in options if path.endswith("pool_size") and path[0] == "d"]

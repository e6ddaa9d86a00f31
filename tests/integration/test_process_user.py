# SPDX-License-Identifier: ISC
"""process.user: started as root, it becomes somebody else, or says why it cannot."""
import os
import pwd
import subprocess

import pytest
from support import needs
from support.wait import SLOWDOWN

pytestmark = [
    pytest.mark.router_only,
    pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else"),
]
USER = "nobody"


def test_it_becomes_that_user(make_router):
    router = make_router({"process": {"user": USER}})
    with open(f"/proc/{router.process.pid}/status", encoding="ascii") as status:
        said = dict(line.rstrip("\n").split(":\t", 1) for line in status)
    user = pwd.getpwnam(USER)
    assert said["Uid"].split() == [str(user.pw_uid)] * 4
    assert said["Gid"].split() == [str(user.pw_gid)] * 4
    assert set(map(int, said["Groups"].split())) == set(os.getgrouplist(USER, user.pw_gid))
    # Nothing of root's is left, and nothing can come back.
    assert (int(said["CapPrm"], 16), int(said["CapEff"], 16)) == (0, 0)
    with router.transactional.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def start_as(router, *before):
    """What a start that fails says."""
    done = subprocess.run([*before, router.program(), "--config", str(router.config_file)], check=False,
                          cwd=router.directory, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=30 * SLOWDOWN)
    assert done.returncode == 1, done.stdout
    return done.stdout


def test_without_the_right_it_says_what_it_takes(make_router):
    """As systemd from 255 on starts a unit of User=root."""
    router = make_router({"process": {"user": USER}}, start=False)
    setpriv = needs.program("setpriv")
    said = start_as(router, setpriv, "--no-new-privs", "--bounding-set=-setuid", "--inh-caps=-setuid")
    assert "process.user: cannot become" in said
    assert "Operation not permitted; it takes CAP_SETUID and CAP_SETGID" in said
    assert "User= without a name" in said


def test_user_that_there_is_not(make_router):
    router = make_router({"process": {"user": "no-such-user"}}, start=False)
    assert "process.user: there is no system user" in start_as(router)

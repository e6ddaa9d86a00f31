# SPDX-License-Identifier: ISC
"""A folder with Debian 13's PgBouncer, for what Debian 12's cannot do (prepared statements
in transaction mode came with 1.21).  It is run from there with its own loader and
libraries: no chroot, and the same files and sockets as everybody."""
import os
import pathlib
import shutil
import subprocess

PLACE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) \
    / "pgtandem-bench" / "debian13"


def mirror():
    """Where this machine has its own Debian packages from."""
    done = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages",
         "Label: Debian"], capture_output=True, text=True, check=True)
    return done.stdout.split()[0]


def make(place):
    if (place / "usr/sbin/pgbouncer").exists():
        print(f"{place} is there already")
        return
    assert shutil.which("debootstrap"), "debootstrap is missing: tools/install-deps bench"
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["debootstrap", "--variant=minbase", "--include=pgbouncer", "trixie",
                    str(place), mirror()], check=True)


def pgbouncer(place):
    """The words that start it, or nothing."""
    program = place / "usr/sbin/pgbouncer"
    loaders = sorted(place.glob("usr/lib/*-linux-gnu*/ld-linux*.so.*"))
    if not program.exists() or not loaders:
        return None
    return [str(loaders[0]), "--library-path", str(loaders[0].parent), str(program)]

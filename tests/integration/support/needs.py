# SPDX-License-Identifier: ISC
"""What tests need that is no part of the router: drivers, programs, rights.

Where it is missing the test is skipped; with CI=true, where all of it should be there, the
test fails.  The drivers are looked for where tools/install-drivers puts them, once for all
build directories."""
import functools
import importlib
import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
DRIVERS = pathlib.Path(os.environ.get("PGTANDEM_TEST_DRIVERS") or ROOT / "build-drivers")
# tools/install-drivers leaves it where npm's registry did not answer.
UNREACHABLE = DRIVERS / "registry-unreachable"
JAR = pathlib.Path("/usr/share/java/postgresql.jar")
GOPATH = pathlib.Path("/usr/share/gocode")
# Debian keeps daemons where not everybody looks.
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"


def in_ci():
    return os.environ.get("CI", "").lower() not in ("", "0", "false", "no")


def missing(what, cure):
    """The one place where a test ends for want of something."""
    if in_ci():
        # Not pytest.fail: this is also called while a file is read.
        raise AssertionError(f"CI without {what}: {cure}")
    pytest.skip(f"no {what} ({cure})", allow_module_level=True)


def program(name, package_set="ci"):
    """The path of a program."""
    path = shutil.which(name, path=PATH)
    if path is None:
        missing(name, f"tools/install-deps {package_set}")
    return path


def module(name, package_set="test"):
    """A module of Python."""
    try:
        return importlib.import_module(name)
    except ImportError:
        missing(f"module {name} of Python", f"tools/install-deps {package_set}")


def not_allowed(what):
    """What no package mends: skipped in CI, too."""
    pytest.skip(f"not allowed here: {what}")


def root():
    if os.geteuid() != 0:
        not_allowed("what root may")


def run_java(source, text, *arguments, timeout=200, options=(), **more):
    """Compiles and runs a program that is one file, with the JDBC driver; its subprocess."""
    for name in ("java", "javac"):
        program(name, "drivers")
    if not JAR.exists():
        missing(str(JAR), "tools/install-deps drivers")
    source.write_text(text)
    return subprocess.run(
        ["java", "-Xmx128m", "-XX:TieredStopAtLevel=1", *options, "-cp", str(JAR), str(source),
         *map(str, arguments)], capture_output=True, text=True, check=False, timeout=timeout, **more)


@functools.cache
def node_modules():
    return os.environ.get("NODE_PATH") or str(DRIVERS / "node_modules")


@functools.cache
def has_node_module(name):
    return subprocess.run(
        ["node", "-e", f"require('{name}')"], capture_output=True, check=False, timeout=100,
        env={**os.environ, "NODE_PATH": node_modules()}).returncode == 0


def run_node(script, modules, *arguments, environment=None, timeout=100, **more):
    """Runs a text with the modules, a list of names; its subprocess."""
    assert not isinstance(modules, str), modules
    if UNREACHABLE.exists():
        pytest.skip(f"NOT TESTED: {', '.join(modules)} of node: npm's registry cannot be reached")
    program("node", "drivers")
    for name in modules:
        if not has_node_module(name):
            missing(f"module {name} of node", "tools/install-drivers")
    return subprocess.run(
        ["node", "-e", script, *map(str, arguments)], capture_output=True, text=True, check=False,
        env={**(environment or os.environ), "NODE_PATH": node_modules()}, timeout=timeout, **more)


def build_go(source, to):
    """A program with pgx, in a cache that all builds share."""
    program("go", "drivers")
    if not (GOPATH / "src/github.com/jackc/pgx").exists():
        missing("pgx", "tools/install-deps drivers")
    built = subprocess.run(
        ["go", "build", "-p", "2", "-o", str(to), str(source)], capture_output=True,
        text=True, check=False, timeout=170,
        env={**os.environ, "GO111MODULE": "off", "GOPATH": str(GOPATH), "GOFLAGS": "",
             "GOCACHE": os.environ.get("GOCACHE") or str(DRIVERS / "go")})
    assert built.returncode == 0, built.stderr

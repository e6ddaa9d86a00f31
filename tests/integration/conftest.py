# SPDX-License-Identifier: ISC
"""Fixtures: a PostgreSQL for all tests, and routers for each.

Environment:
  PGTANDEM              the program [build/pgtandem]
  PGTANDEM_IO_BACKEND   written to process.io_backend [auto]
  PGTANDEM_IO_RECEIVE   "single": io_uring as before Linux 6.10 (docs/kernels.md)
  PGTANDEM_WORKERS      written to process.workers [2]
  PGTANDEM_TARGET       "postgres": the tests run against PostgreSQL itself, which
                        shows that they ask for the right thing
  PGTANDEM_TEST_LOGS    directory that gets a copy of each router's log
  PGTANDEM_TEST_DEBUG   any text: log level debug
  PGTANDEM_TEST_PLAN_REUSE  any text: plan_reuse for all that do not say otherwise
"""
import os
import resource
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from support import needs  # noqa: E402
from support.postgres import DATABASE, Postgres, Standby  # noqa: E402
from support.restarted import Restarted  # noqa: E402
from support.router import Direct, Router  # noqa: E402

DIRECT = os.environ.get("PGTANDEM_TARGET") == "postgres"

# Tests with many clients need as many files as the system allows.
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def pytest_collection_modifyitems(items):
    for item in items:
        if DIRECT and item.get_closest_marker("router_only"):
            item.add_marker(pytest.mark.skip(reason="only the router does this"))


@pytest.fixture(scope="session")
def postgres_cluster():
    cluster = Postgres()
    try:
        yield cluster.create()
    finally:
        cluster.destroy()


@pytest.fixture
def postgres(postgres_cluster):
    """The cluster, running, with no session left over from another test."""
    if not postgres_cluster.is_running():
        postgres_cluster.start()
    yield postgres_cluster
    if not postgres_cluster.is_running():
        postgres_cluster.start()
    postgres_cluster.terminate()


@pytest.fixture
def standby(postgres):
    cluster = Standby(postgres)
    try:
        yield cluster.create()
    finally:
        cluster.destroy()


@pytest.fixture
def no_code(postgres):
    """Functions and domains that tests before have left keep sessions from lending."""
    postgres.sql("""DO $$ DECLARE code text[]; what text; BEGIN
        SELECT array_agg(x) INTO code FROM (
            SELECT 'ROUTINE IF EXISTS ' || oid::regprocedure FROM pg_proc AS p
                WHERE pronamespace = 'public'::regnamespace AND NOT EXISTS (
                    SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e')
            UNION ALL SELECT 'DOMAIN IF EXISTS ' || oid::regtype FROM pg_type
                WHERE typnamespace = 'public'::regnamespace AND typtype = 'd') AS all_of (x);
        FOREACH what IN ARRAY coalesce(code, '{}') LOOP
            EXECUTE 'DROP ' || what || ' CASCADE';
        END LOOP; END $$""", dbname=DATABASE)


@pytest.fixture
def make_router(postgres, tmp_path):
    """Starts routers: make_router({changes to the configuration}).  At the end
    each must exit with 0 and have an error-free log."""
    os.chmod(tmp_path, 0o755)
    routers = []

    def make(config=None, start=True, postgres_of_test=postgres):
        kind = Direct if DIRECT else Router
        routers.append(kind(tmp_path / f"router{len(routers)}", postgres_of_test, config, start))
        return routers[-1]

    make.routers = routers
    yield make
    problems = []
    for router in routers:
        try:
            router.finish()
        except AssertionError as problem:
            problems.append(str(problem))
    assert not problems, "\n\n".join(problems)


@pytest.fixture
def as_root():
    needs.root()


@pytest.fixture
def restarted(postgres, tmp_path, make_router):
    os.chmod(tmp_path, 0o755)

    def make(config=None, where=tmp_path, start=True):
        make_router.routers.append(Restarted(where / f"restarted{len(make_router.routers)}",
                                             postgres, config, start))
        return make_router.routers[-1]
    return make


@pytest.fixture
def router(make_router):
    """A router with the configuration of support/router.py, as it is."""
    return make_router()


@pytest.fixture(params=["transactional", "session"])
def port(request, router):
    """Both ports, one after the other."""
    return getattr(router, request.param)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """The end of the router's log goes to the report of a failed test."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed and "make_router" in item.funcargs:
        for router in item.funcargs["make_router"].routers:
            report.sections.append((f"log of {router.directory.name}", router.tail()))

# SPDX-License-Identifier: ISC
"""The scripts of tests/wire: exact bytes from fake clients and a fake PostgreSQL."""
import pathlib

import pytest
from support.script import Script

SCRIPTS = sorted((pathlib.Path(__file__).parents[1] / "wire").glob("*.pgt"))

pytestmark = pytest.mark.router_only


def test_there_are_scripts():
    assert SCRIPTS


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_script(path, make_router):
    Script(path).run(make_router)

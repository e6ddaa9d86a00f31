# SPDX-License-Identifier: ISC
"""The parts of tests/bench/suite.py."""
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "integration"))

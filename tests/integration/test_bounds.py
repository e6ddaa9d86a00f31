# SPDX-License-Identifier: ISC
"""Every setting at its bounds and beyond them, by SET and by a file: the table of options
says what they are (SHOW SETTINGS, "allowed"), so that a new one is tried unasked."""
import concurrent.futures
import copy
import re
import subprocess

import pytest
from support import wire as w
from support import yaml
from support.router import ADMIN, Router
from support.wait import SLOWDOWN

pytestmark = [pytest.mark.router_only, pytest.mark.slow, pytest.mark.timeout(200 * SLOWDOWN)]

NUMBERS = re.compile(r"(\d+) to (\d+)(, or auto)?$")
UNITS = re.compile(r"(\d+)([a-zA-Z]*) to (\d+)([a-zA-Z]+)$")
LENGTH = re.compile(r"(?:at most|(\d+) to) (\d+) (bytes|items)$")
MODE = re.compile(r'"0000" to "(\d+)"$')
# Set to a bound, these would take from the test what it stands on.
NOT_TO_BE_SET = re.compile(r"^(hosts\..*|process\.(user|pid_file)|.*listen|auth\..*|admin\..*"
                           r"|http\..*|.*_file|log\..*|.*tls.*|.*\.databases|.*proxy.*"
                           r"|.*unauthenticated.*|.*per_address|.*login_timeout|.*max_client_conn"
                           r"|.*core_dumps)$")


def beyond(allowed):
    """Values that are not allowed, each with why."""
    found = NUMBERS.match(allowed)
    if found:
        low, high = int(found[1]), int(found[2])
        values = [str(high + 1), "-1", "99999999999999999999999", "1.5", "ten", "''", "0x10"]
        return values + ([str(low - 1)] if low > 0 else [])
    found = MODE.match(allowed)
    if found:
        return ["9999", "rwx", "-1"]
    found = UNITS.match(allowed)
    if found:
        values = [f"{int(found[3]) + 1}{found[4]}", "-1s", "7", "5 parsecs", "ten", "''"]
        low = int(found[1])
        return values + ([f"{low - 1}{found[2]}"] if low > 1 else [])
    found = LENGTH.match(allowed)
    if found and found[3] == "bytes":
        longest = int(found[2])
        values = ["'" + "x" * (longest + 1) + "'"] if longest < 250 else []
        return values + (["''"] if found[1] not in (None, "0") else [])
    if found:
        return []
    # Words: none of them.
    assert " or " in allowed, allowed
    return ["maybe", "'true '", "7", "''"]


def at_bounds(allowed):
    found = NUMBERS.match(allowed)
    if found:
        return [found[1], found[2]]
    found = UNITS.match(allowed)
    if found:
        return [f"{found[1]}{found[2]}", f"{found[3]}{found[4]}"]
    if MODE.match(allowed) or LENGTH.match(allowed):
        return []
    return re.split(r", | or ", allowed)


def settings(console):
    answer = console.query("SHOW SETTINGS")
    assert not w.errors(answer)
    (head,) = [m for m in answer if m.type == "T"]
    count = int.from_bytes(head.body[:2], "big")
    rows = w.rows(answer)
    assert len(rows) > 100 and count == 7
    return {row[0]: row for row in rows}


@pytest.fixture
def console(make_router):
    router = make_router()
    with router.session.wire(user=ADMIN[0], dbname="pgbouncer") as wire:
        yield wire


def test_by_set(console):
    """Refused with 22023 and the name of the setting, and nothing has changed; at the
    bounds taken, or refused for what it would mean with the others."""
    before = settings(console)
    tried = taken = 0
    for key, row in before.items():
        effect, allowed = row[4], row[5]
        for value in beyond(allowed):
            answer = console.query(f'SET "{key}" = {value}')
            assert w.types(answer) == "EZ", (key, value)
            (error,) = [m for m in answer if m.type == "E"]
            assert error.sqlstate in ("22023", "0A000", "55P02"), (key, value, error.fields)
            if error.sqlstate == "22023":
                assert key.rsplit(".", 1)[-1] in error.text or "value" in error.text, \
                    (key, value, error.text)
            tried += 1
        if NOT_TO_BE_SET.match(key) or effect == "at restart":
            continue
        for value in at_bounds(allowed):
            answer = console.query(f'SET "{key}" = {value}')
            if w.types(answer).endswith("CZ"):
                taken += 1
            else:
                (error,) = [m for m in answer if m.type == "E"]
                assert error.sqlstate == "22023", (key, value, error.fields)
        assert w.types(console.query("RELOAD")).endswith("CZ")
    assert tried > 400 and taken > 60, (tried, taken)
    assert settings(console) == before
    # Whatever was set meanwhile, it serves.
    assert w.rows(console.query("SHOW STATE"))


def test_more_than_a_command_may_hold(console):
    """Too long for what reads it: an error, and the connection goes on."""
    for text in ("SET query_timeout = " + "9" * 5000, "SET " + "x" * 5000 + " = 1",
                 "SHOW " + "y" * 10000, "z" * 10000, "SET query_timeout = '" + "'" * 999,
                 "/*" * 5000, ";" * 10000 + "nonsense"):
        answer = console.query(text)
        assert w.errors(answer), text[:40]
    assert w.rows(console.query("SHOW VERSION"))


def put(config, path, value):
    """The configuration with this value at that path, as text."""
    config = copy.deepcopy(config)
    place = config
    for name in path[:-1]:
        place = place.setdefault(name, {})
    place[path[-1]] = "@value@"
    text = yaml.dump(config)
    return re.sub(r"""["']?@value@["']?""", lambda _: value, text, count=1)


# What stands for the names in the table's places.
NAMES = {"hosts": "main", "workloads": "session", "databases": "app", "users": "app_scram"}


def table():
    """(path, allowed) of every option at every place that it may stand at."""
    said = subprocess.run([Router.program(), "--dump=options"], capture_output=True, text=True,
                          timeout=60 * SLOWDOWN, check=True).stdout
    head, *rows = [line.split("\t") for line in said.splitlines()]
    assert head[:2] == ["place", "name"] and head[4] == "allowed"
    found = [([*place.replace("NAME", NAMES.get(place.split(".")[0], "")).replace("HOST", "main")
               .split("."), name], allowed) for place, name, _, _, allowed, *_ in rows]
    assert len(found) > 270 and len({path[0] for path, _ in found}) == 11, len(found)
    return found


def test_by_files(make_router, tmp_path):
    """All of the table through --check: beyond the bounds with the line, and what would be
    right; at the bounds nothing of the kind."""
    router = make_router({"databases": {"app": {"host": "main"}}, "users": {"app_scram": {}}},
                         start=False)
    (router.directory / "checks").mkdir()

    def check(number, path, value):
        file = router.directory / "checks" / f"{number}.yaml"
        file.write_text(put(router.config, path, value) + "\n")
        done = subprocess.run([Router.program(), "--check", str(file)], capture_output=True,
                              text=True, timeout=60 * SLOWDOWN, check=False,
                              cwd=router.directory)
        file.unlink()
        return done.returncode, done.stderr + done.stdout

    jobs = []
    for path, allowed in table():
        jobs += [(path, allowed, value, True)
                 for value in [v for v in beyond(allowed) if v != "''"][:2]]
        jobs += [(path, allowed, value, False) for value in at_bounds(allowed)[:2]]
    assert len(jobs) > 700, len(jobs)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda job: check(job[0], job[1][0], job[1][2]),
                                enumerate(jobs)))
    for (path, allowed, value, is_beyond), (code, said) in zip(jobs, results):
        if is_beyond:
            assert code == 1, (path, value, code, said)
            assert re.search(r"\.yaml:\d+:\d+: ", said), (path, value, said)
        else:
            # It may make no sense with the others: that is said in other words.
            assert code in (0, 1) and allowed not in said, (path, value, said)

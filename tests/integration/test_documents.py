# SPDX-License-Identifier: ISC
"""What README, docs and the alerts name is what the program has: views, columns, commands,
options, events, metrics, words of views; the files that they point to are there."""
import json
import pathlib
import re
import subprocess

import psycopg
import pytest
from support import needs
from support.router import ROOT, Router

pytestmark = pytest.mark.router_only

PAGE = ROOT / "docs" / "troubleshooting.md"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
ALERTS = ROOT / "packaging" / "prometheus" / "pgtandem-alerts.yml"

SPAN = re.compile(r"`([^`]+)`")
SNAKE = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+")
KEBAB = re.compile(r"[a-z]+(?:-[a-z]+)+")

# PostgreSQL's and other programs', not ours.
NOT_OURS = set("""
    pg_authid pg_hba pg_ident pg_stat_activity pg_cancel_backend pg_terminate_backend rolpassword
    max_connections superuser_reserved_connections idle_in_transaction_session_timeout
    statement_timeout log_connections
""".split())


def table(name, pattern):
    found = re.findall(pattern, (ROOT / "include" / name).read_text(encoding="utf-8"), re.M)
    assert found, name
    return set(found)


VIEWS = table("views.def", r"^VIEW\((\w+)")
COMMANDS = table("commands.def", r"^COMMAND\((\w+)")
EVENTS = table("events.def", r'^EVENT\("([^"]+)"')
OPTIONS = table("options.def", r"^OPTION_\w+\((\w+)")
METRICS = table("metrics.def", r'^METRIC\(\w+,\s*"(\w+)"')
REASONS = table("wait_reasons.def", r'^WAIT_REASON\(\w+,\s*"(\w+)"')
CLOSES = table("close_reasons.def", r'^CLOSE_REASON\(\w+,\s*"\w*",\s*"([^"]+)"')
ENDS = table("server_ends.def", r'^SERVER_END\(\w+,\s*"([^"]+)"')
PINS = table("pins.def", r"^PIN\(\w+,\s*(\w+)")
STALLS = table("stalls.def", r'^STALL\(\w+,\s*"(\w+)"')


def text_of(path):
    """Without blocks of code."""
    return re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)


@pytest.fixture(scope="module")
def rows_of_page():
    """What you see, where it is told, what to do."""
    found = [[cell.strip() for cell in line.strip("|").split(" | ")]
             for line in text_of(PAGE).splitlines()
             if line.startswith("| ") and not line.startswith(("| What you see", "| reason"))]
    assert len(found) > 30
    return found


@pytest.fixture
def columns(router):
    """Of each view, as the console has them."""
    found = {}
    with router.admin() as admin:
        for view in VIEWS:
            try:
                cursor = admin.execute(f"SHOW {view}")
                found[view] = {column.name for column in cursor.description or ()}
                for key in ("key", "list", "name"):
                    if key in found[view] and view in ("STATE", "LISTS", "MEM"):
                        found[view] |= {row[key] for row in cursor.fetchall()}
            except psycopg.Error:
                found[view] = set()
    assert sum(map(bool, found.values())) > 25
    return found


def test_views_have_the_columns_that_the_page_names(rows_of_page, columns):
    """`SHOW X`: `a`, `b` up to the next view or the log."""
    checked = 0
    for cells in rows_of_page:
        for cell in cells[1:]:
            for view, rest in re.findall(r"`SHOW (\w+)`((?:(?!`SHOW |; ?log|[Ll]og:).)*)", cell):
                assert view in VIEWS, cell
                for name in re.findall(r"`([a-z_]+)`", rest):
                    if name in OPTIONS | STALLS | REASONS and name not in columns[view]:
                        continue
                    assert name in columns[view], f"{view} has no {name}: {cell}"
                    checked += 1
    assert checked > 40


def test_the_page_names_events_that_are_written(rows_of_page):
    named = set()
    for cells in rows_of_page:
        for cell in cells:
            for rest in re.findall(r"[Ll]og: ((?:`[^`]+`(?:, | and | or )?)+)", cell):
                for span in SPAN.findall(rest):
                    named.add(span.split()[0])
    assert len(named) > 12
    assert named - EVENTS == set()


def test_all_reasons_to_wait_are_explained(rows_of_page):
    """A row for each, and no other."""
    text = text_of(PAGE).split("What a client waits for", 1)[1].split("\n## ", 1)[0]
    named = {span for line in text.splitlines() if line.startswith("| `")
             for span in SPAN.findall(line.split(" | ")[0])}
    assert named == REASONS


def test_all_reasons_to_close_a_server_are_explained():
    text = text_of(PAGE).split("## Why a server is closed", 1)[1].split("\n## ", 1)[0]
    named = {span for line in text.splitlines() if line.startswith("| `")
             for span in SPAN.findall(line.split(" | ")[0])}
    assert named == ENDS


def known_words(columns):
    families = {name + end for name in METRICS for end in ("", "_total", "_bucket", "_sum",
                                                           "_count", "_info")}
    return OPTIONS.union(families, REASONS, PINS, *columns.values(), NOT_OURS, columns,
                         table("sql_functions.def", r'"(\w+)"'))


def test_names_on_the_page_are_known(columns):
    """Whatever looks like a name of ours is one."""
    known = known_words(columns) | {f"session_state_{pin}" for pin in PINS}
    sql = {word.upper() for word in table("sql_words.def", r"^WORD\((\w+)")} | {"SQL"}
    unknown = set()
    for span in SPAN.findall(text_of(PAGE)):
        unknown |= set(SNAKE.findall(span)) - known - {"session_state_"}
        if KEBAB.fullmatch(span) and span not in EVENTS | CLOSES | ENDS:
            unknown.add(span)
        for word in re.findall(r"^([A-Z][A-Z_]+)\b", span):
            if word not in COMMANDS | VIEWS | sql | {"FATAL"}:
                unknown.add(word)
    assert unknown == set()


def test_views_that_any_page_names(columns):
    texts = {path: text_of(path) for path in PAGES}
    texts[ALERTS] = ALERTS.read_text(encoding="utf-8")
    named = 0
    for path, text in texts.items():
        for words in re.findall(r"\bSHOW ([A-Z_]{3,}(?:(?:,| and) [A-Z_]{3,})*)", text):
            for view in re.split(r",? and |, ", words):
                named += 1
                assert view in VIEWS | REASONS, f"{path.name}: SHOW {view}"
        for name in re.findall(r"\b(pgtandem_[a-z_]+)", text):
            # pgtandem_s is what shared prepared statements are called by.
            assert re.sub(r"_(total|bucket|sum|count|info)$", "", name) in METRICS | {
                "pgtandem_s"}, (path, name)
    assert named > 30


def test_pages_point_to_what_there_is():
    for path in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text_of(path)):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
        for target in re.findall(r"`((?:docs|tests|tools|include|src|packaging|etc)/[\w./*-]+)`",
                                 text_of(path)):
            assert list(ROOT.glob(target.rstrip("/"))), f"{path.name}: {target}"
        for page, section in re.findall(r"\b(pgtandem[a-z.-]*)\((\d)\)", text_of(path)):
            assert list(ROOT.glob(f"man/{page}.{section}*")), f"{path.name}: {page}({section})"


def test_configuration_of_the_readme_is_valid(tmp_path):
    (yaml,) = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"),
                         re.M | re.S)
    (tmp_path / "userlist.txt").write_text('"anna" "one"\n')
    (tmp_path / "userlist.txt").chmod(0o600)
    assert "/etc/pgtandem/userlist.txt" in yaml
    path = pathlib.Path(tmp_path / "pgtandem.yaml")
    path.write_text(yaml.replace("/etc/pgtandem/", f"{tmp_path}/"))
    path.chmod(0o600)
    done = subprocess.run([Router.program(), "--check", str(path)], capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_dashboard_names_views_that_there_are():
    text = (ROOT / "packaging" / "grafana" / "pgtandem.json").read_text(encoding="utf-8")
    assert json.loads(text)
    for view in re.findall(r"SHOW ([A-Z_]+)", text):
        assert view in VIEWS


def build_of_manuals():
    """Where the pages are that are made of tables."""
    return pathlib.Path(Router.program()).resolve().parent / "man"


MANUALS = sorted(path.name.removesuffix(".in") for path in (ROOT / "man").glob("*.[1-9]*"))


@pytest.mark.parametrize("name", MANUALS)
def test_manuals_are_clean(name):
    """Nothing that groff warns of."""
    needs.program("groff", "ci")
    page = ROOT / "man" / name
    if not page.exists():
        page = build_of_manuals() / name
        assert page.exists(), "make all"
    done = subprocess.run(["groff", "-mdoc", "-Tutf8", "-ww", "-z", page], capture_output=True,
                          text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^\.Sh SEE ALSO", page.read_text(encoding="utf-8"), re.M)


@pytest.mark.parametrize("program", ["pgtandem", "pgtandemctl"])
def test_command_line_is_that_of_the_manual(program):
    """What --help knows, the page knows, and the other way round; words of --dump, too."""
    path = pathlib.Path(Router.program()).resolve().with_name(program)
    told = subprocess.run([path, "--help"], capture_output=True, text=True, check=True,
                          timeout=60).stdout
    page = (ROOT / "man" / f"{program}.1").read_text(encoding="utf-8")
    said = page[:page.index(".Sh SEE ALSO")]
    assert set(re.findall(r"--([a-z]{3,})", told)) == \
        set(re.findall(r"^\.(?:It|Nm|Op|Fl).*?Fl (?:[a-z] , Fl )?-([a-z]+)", said, re.M))
    for words in re.findall(r"--dump=([a-z|]+)", told):
        for word in words.split("|"):
            assert f".It Fl -dump Ns = Ns Cm {word}\n" in page, word

# SPDX-License-Identifier: ISC
"""Every view and command of PgBouncer: names, order and types of columns as its own
console has them, the one of Debian asked beside ours; what came later, by its source."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import urllib.request

import psycopg
import pytest
from support import needs
from support.net import free_port, listening_ports
from support.router import ADMIN
from support.wait import wait_until

pytestmark = pytest.mark.router_only

TEXT, INT4, INT8, NUMERIC = 25, 23, 20, 1700
TYPES = {"s": TEXT, "i": INT4, "q": INT8, "N": NUMERIC, "T": TEXT}

SOCKETS = """type:s user:s database:s replication:s state:s addr:s port:i local_addr:s
    local_port:i connect_time:T request_time:T wait:i wait_us:i close_needed:i ptr:s link:s
    remote_pid:i tls:s application_name:s prepared_statements:i id:i"""
COUNTS = """server_assignment_count xact_count query_count {0} xact_time query_time
    wait_time {1}client_parse_count {1}server_parse_count {1}bind_count {1}client_login_count"""


def numbers(names, prefix=""):
    return " ".join(f"{prefix}{name}:N" for name in names.split())


# PgBouncer 1.25, src/admin.c, src/stats.c.
NEWEST = {
    "POOLS": """database:s user:s cl_active:i cl_waiting:i cl_active_cancel_req:i
        cl_waiting_cancel_req:i sv_active:i sv_active_cancel:i sv_being_canceled:i sv_idle:i
        sv_used:i sv_tested:i sv_login:i maxwait:i maxwait_us:i pool_mode:s
        load_balance_hosts:s""",
    "STATS": "database:s " + numbers(COUNTS.format("received sent", ""), "total_") + " "
             + numbers(COUNTS.format("recv sent", ""), "avg_"),
    "STATS_TOTALS": "database:s " + numbers(COUNTS.format("bytes_received bytes_sent", "")),
    "STATS_AVERAGES": "database:s " + numbers(COUNTS.format("bytes_received bytes_sent", "avg_")),
    "TOTALS": "name:s value:N",
    "CLIENTS": SOCKETS, "SERVERS": SOCKETS,
    "SOCKETS": SOCKETS + """ recv_pos:i pkt_pos:i pkt_remain:i send_pos:i send_remain:i
        pkt_avail:i send_avail:i""",
    "DATABASES": """name:s host:s port:i database:s force_user:s pool_size:i min_pool_size:i
        reserve_pool_size:i server_lifetime:i pool_mode:s load_balance_hosts:s max_connections:i
        current_connections:i max_client_connections:i current_client_connections:i paused:i
        disabled:i""",
    "USERS": """name:s pool_size:s reserve_pool_size:s pool_mode:s max_user_connections:i
        current_connections:i max_user_client_connections:i current_client_connections:i""",
    "CONFIG": "key:s value:s default:s changeable:s",
    "LISTS": "list:s items:i",
    "MEM": "name:s size:i used:i free:i memtotal:i",
    "STATE": "key:s value:s",
    "VERSION": "version:s",
    "PEERS": "peer_id:i host:s port:i pool_size:i",
    "PEER_POOLS": """peer_id:i cl_active_cancel_req:i cl_waiting_cancel_req:i
        sv_active_cancel:i sv_login:i""",
    "DNS_HOSTS": "hostname:s ttl:q addrs:s",
    "DNS_ZONES": "zonename:s serial:q count:i",
}
NEWEST["ACTIVE_SOCKETS"] = NEWEST["SOCKETS"]
# Exporters want no more columns than these.
EXACT = {"CONFIG", "LISTS", "VERSION", "STATE", "TOTALS"}
ROWS = {
    "LISTS": """databases users peers pools peer_pools free_clients used_clients login_clients
        free_servers used_servers dns_names dns_zones dns_queries dns_pending""",
    "STATE": "active paused suspended",
}
# Called otherwise since then.
RENAMED = {"reserve_pool": "reserve_pool_size"}


def columns_of(connection, view):
    answer = connection.pgconn.exec_(f"SHOW {view}".encode())
    assert answer.error_message == b"", answer.error_message
    assert answer.command_status == b"SHOW"
    columns = [(answer.fname(i).decode(), answer.ftype(i)) for i in range(answer.nfields)]
    first = [(answer.get_value(i, 0) or b"").decode() for i in range(answer.ntuples)]
    return columns, first


@pytest.mark.parametrize("view", sorted(NEWEST))
def test_columns_and_types(router, view):
    with router.transactional.connect() as connection, router.admin() as admin:
        connection.execute("SELECT 1")
        columns, first = columns_of(admin, view)
    wanted = [(name, TYPES[kind]) for name, kind in
              (word.split(":") for word in NEWEST[view].split())]
    assert columns[:len(wanted)] == wanted
    if view in EXACT:
        assert columns == wanted
    if view in ROWS:
        assert first == ROWS[view].split()


@pytest.fixture
def pgbouncer():
    """Debian's own."""
    program = needs.program("pgbouncer")
    port = free_port()
    # It does not run as root, and has to get at its file.
    directory = pathlib.Path(tempfile.mkdtemp(prefix="pgtandem-pgbouncer-"))
    directory.chmod(0o755)
    config = directory / "pgbouncer.ini"
    config.write_text("[databases]\napp = host=127.0.0.1 port=1\n[pgbouncer]\n"
                      f"listen_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\n"
                      f"admin_users = {ADMIN[0]}\nunix_socket_dir =\n")
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] \
        if os.getuid() == 0 else []
    process = subprocess.Popen([*user, program, str(config)], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: port in listening_ports(), 15, "PgBouncer listens")
        with psycopg.connect(host="127.0.0.1", port=port, user=ADMIN[0], dbname="pgbouncer",
                             autocommit=True) as connection:
            yield connection
    finally:
        process.terminate()
        process.wait(15)
        shutil.rmtree(directory)


def test_as_debians_own(router, pgbouncer):
    """All views that it has: its columns are ours, in its order, with its types."""
    # What it offers, by its own help.
    notices = []
    pgbouncer.add_notice_handler(lambda d: notices.append(d.message_detail))
    pgbouncer.execute("SHOW HELP")
    views = set(re.findall(r"\b([A-Z_]{3,})\b", notices[0].split("SET key")[0])) - {
        "SHOW", "HELP", "FDS"}
    assert {"POOLS", "STATS", "CLIENTS", "DNS_HOSTS", "TOTALS"} <= views
    with router.admin() as admin:
        for view in sorted(views):
            theirs, _ = columns_of(pgbouncer, view)
            ours, _ = columns_of(admin, view)
            rest = iter(ours)
            for name, kind in theirs:
                assert (RENAMED.get(name, name), kind) in rest, (view, name)


def test_commands_that_both_know(router, pgbouncer):
    """The same tags and, in what goes wrong, an error here where there is one there."""
    with router.admin() as admin:
        for command in ("PAUSE", "RESUME", "RECONNECT", "RECONNECT app", "RELOAD",
                        "SET query_wait_timeout = 5", "SET log_connections = 0",
                        "SET server_lifetime = 3600", "SET server_idle_timeout=60", "SET verbose = 1",
                        "SET max_client_conn = 99",
                        "SET query_wait_timeout = soon", "SHOW nothing", "nonsense", "RESUME",
                        "KILL_CLIENT x"):
            tags = []
            for connection in (pgbouncer, admin):
                answer = connection.pgconn.exec_(command.encode())
                tags.append((answer.command_status.split(b" ")[0], bool(answer.error_message)))
            if command.startswith("KILL_CLIENT"):
                # It came with 1.24.
                assert tags[1][1]
            else:
                assert tags[0] == tags[1], command


PORTS = {"listen_addr", "listen_port", "pool_mode"}


def test_config_in_pgbouncers_words(router, pgbouncer):
    """SHOW CONFIG has PgBouncer's keys in PgBouncer's form, as far as it has them: seconds
    and switches are numbers, and one SET does the same to both."""
    def config(connection):
        return {row[0]: row[1] for row in connection.execute("SHOW CONFIG").fetchall()}

    number = re.compile(r"[0-9.]+")
    with router.transactional.connect(user=ADMIN[0], dbname="pgbouncer") as admin:
        ours, theirs = config(admin), config(pgbouncer)
        both = set(ours) & set(theirs)
        assert PORTS | {"query_wait_timeout", "server_lifetime", "log_connections",
                        "max_client_conn", "dns_max_ttl", "client_login_timeout"} <= both
        for key in both - {"auth_type"}:
            assert bool(number.fullmatch(theirs[key] or "")) <= \
                bool(number.fullmatch(ours[key] or "")), (key, theirs[key], ours[key])
        assert ours["listen_addr"] == "127.0.0.1" and ours["pool_mode"] == "transaction"
        assert ours["listen_port"] == str(router.ports["transactional"])
        for key, value in (("query_wait_timeout", "30"), ("server_idle_timeout", "45"),
                           ("log_disconnections", "0"), ("log_disconnections", "1")):
            for connection in (admin, pgbouncer):
                connection.execute(f"SET {key} = {value}")
                assert config(connection)[key] == value, key
        settings = {row[0]: row[1] for row in admin.execute("SHOW SETTINGS").fetchall()}
        assert settings["defaults.query_wait_timeout"] == "30s"
        assert settings["defaults.server_idle_timeout"] == "45s"
        admin.execute("SET stats_period = 5")
        admin.execute("SET log_stats = 0")
        assert config(admin)["stats_period"] == "5" and config(admin)["log_stats"] == "0"
        admin.execute("SET server_idle_timeout = '0.5'")
        assert config(admin)["server_idle_timeout"] == "0.5"
    with router.session.connect(user=ADMIN[0], dbname="pgbouncer") as admin:
        assert config(admin)["pool_mode"] == "session"


@pytest.mark.parametrize("command, why", [
    ("SET pkt_buf = 4096", "means nothing here: buffers"),
    ("SET pool_mode = session", "workloads.NAME.pool_mode"),
    ("SET listen_port = 1", "workloads.NAME.listen"),
    ("SET server_connect_timeout = 5", "hosts.NAME.server_connect_timeout"),
])
def test_what_set_cannot(router, command, why):
    with router.admin() as admin, pytest.raises(psycopg.Error, match=re.escape(why)):
        admin.execute(command)


ONE_LINERS = ["SHOW POOLS;", "show pools", "Show Stats;", "SHOW DATABASES; -- all of them",
              "SHOW CLIENTS", "SHOW SERVERS;", "SHOW LISTS;", "SHOW CONFIG;", "SHOW MEM",
              "SHOW VERSION;", "SELECT version", "RELOAD;", "RECONNECT;", "SHOW FDS;"]


@pytest.mark.parametrize("text", ONE_LINERS)
def test_psql_one_liners(router, text):
    """As they stand in scripts."""
    port = router.ports["transactional"]
    done = subprocess.run(
        ["psql", "-X", "-A", "-t", "-F", "|", "-h", "127.0.0.1", "-p", str(port), "-U", ADMIN[0],
         "-d", "pgbouncer", "-c", text], env={**os.environ, "PGPASSWORD": ADMIN[1]},
        capture_output=True, text=True, timeout=60, check=False)
    if "FDS" in text:
        assert done.returncode == 1 and "not supported" in done.stderr
        return
    assert (done.returncode, done.stderr.replace("NOTICE:  0 settings changed\n", "")) == (0, ""), \
        done.stderr
    if text.lower().startswith("sh"):
        assert done.stdout.strip() or "SERVERS" in text


def outcome(collector, connection, **more):
    """What a collector of Debian's exporter gets, or which column it misses."""
    try:
        return sorted({family.name for family in collector(connection=connection, **more).collect()})
    except KeyError as missing:
        return str(missing)


def test_collectors_of_debians_exporter(router, pgbouncer):
    """Each does here what it does with Debian's own PgBouncer, and more: version 1.7 asks
    for total_requests, which PgBouncer had before 1.8, and dies there."""
    collectors = needs.module("prometheus_pgbouncer_exporter.collectors", "ci")
    psycopg2 = needs.module("psycopg2")
    info = pgbouncer.info
    theirs = psycopg2.connect(host=info.host, port=info.port, user=ADMIN[0], dbname="pgbouncer")
    ours = psycopg2.connect(host="127.0.0.1", port=router.ports["session"], user=ADMIN[0],
                            password=ADMIN[1], dbname="pgbouncer")
    with router.transactional.connect() as connection, router.session.connect() as other:
        connection.execute("SELECT 1")
        other.execute("SELECT 1")
        for link in (theirs, ours):
            link.set_session(autocommit=True)
        for collector, more in ((collectors.ListsCollector, {}),
                                (collectors.PoolsCollector, {"databases": None})):
            assert outcome(collector, ours, **more) == outcome(collector, theirs, **more), collector
        assert outcome(collectors.StatsCollector, theirs, databases=None) == "'total_requests'"
        assert "pgbouncer_requests_total" in outcome(collectors.StatsCollector, ours, databases=None)
        # It was called so up to 1.23, and the exporter in Go takes either, but not both.
        assert outcome(collectors.DatabasesCollector, ours, databases=None) == "'reserve_pool'"
        router.reload({"admin": {"old_column_names": True}})
        assert outcome(collectors.DatabasesCollector, ours, databases=None) == \
            outcome(collectors.DatabasesCollector, theirs, databases=None)
        for collector in (collectors.PoolsCollector, collectors.DatabasesCollector):
            for family in collector(connection=ours, databases=None).collect():
                labels = [tuple(sorted(sample.labels.items())) for sample in family.samples]
                assert len(labels) == len(set(labels)) >= 2
    theirs.close()
    ours.close()


def scrape(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
        return dict(re.findall(r"^(pgbouncer_\S+(?:\{[^}]*\})?) ([0-9.e+]+)$",
                               answer.read().decode(), re.M))


def test_debians_exporter(make_router):
    """The program itself, as its package starts it, and the numbers that it tells."""
    program = needs.program("prometheus-pgbouncer-exporter")
    router = make_router({"admin": {"old_column_names": True}})
    port = free_port()
    with router.transactional.connect() as connection, router.session.connect() as other:
        for _ in range(7):
            connection.execute("SELECT 1")
        other.execute("SELECT 1")
        # It knows no password: libpq takes it from there.
        process = subprocess.Popen(
            [program, "--host", "127.0.0.1", "--port", str(port), "--pgbouncer-host", "127.0.0.1",
             "--pgbouncer-user", ADMIN[0], "--pgbouncer-port", str(router.ports["session"])],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "PGPASSWORD": ADMIN[1]})
        try:
            wait_until(lambda: port in listening_ports() or process.poll() is not None, 30,
                       "the exporter listens")
            assert process.poll() is None
            numbers = scrape(port)
            stats = {row["database"]: row for row in router.show("stats")}
            assert float(numbers['pgbouncer_requests_total{database="app"}']) == \
                stats["app"]["total_query_count"] == stats["app"]["total_requests"] >= 8
            assert float(numbers['pgbouncer_received_bytes_total{database="app"}']) == \
                stats["app"]["total_received"] > 0
            lists = {row["list"]: row["items"] for row in router.show("lists")}
            for name in ("databases", "users", "pools", "used_servers", "dns_names"):
                assert float(numbers[f"pgbouncer_{name}"]) == lists[name], name
            pools = [row for row in router.show("pools") if row["database"] == "app"]
            assert float(numbers['pgbouncer_active_clients{database="app",user="app_scram"}']) == \
                sum(row["cl_active"] for row in pools)
            databases = {row["name"]: row for row in router.show("databases")}
            assert float(numbers['pgbouncer_pool_size{database="app"}']) == \
                databases["app"]["pool_size"]
            assert float(numbers['pgbouncer_reserve_pool{database="app"}']) == 0
        finally:
            process.terminate()
            process.wait(15)


def test_lists_count_what_views_show(make_router):
    router = make_router({"hosts": {"main": {"host": "localhost"}},
                          "users": {"one more": {"max_user_connections": 3}}})
    with router.transactional.connect(), router.session.connect(user="app_md5"):
        lists = {row["list"]: row["items"] for row in router.show("lists")}
        users = [row["name"] for row in router.show("users")]
        assert len(users) == len(set(users)) == lists["users"]
        # Those of auth_file are there, as with PgBouncer, whether they have come or not.
        assert {"app_scram", "app_md5", "app_plain", "other", "one more", *ADMIN[:1],
                "pgbouncer"} <= set(users)
        assert len(router.show("dns_hosts")) == lists["dns_names"] == 1
        assert len(router.show("databases")) == lists["databases"]
        assert len(router.show("pools")) == lists["pools"]

/* SPDX-License-Identifier: ISC */
/*
 * Long because it is one table: every way to write a bad file that we know, and what
 * the person who wrote it is told.
 */
#include <check.h>
#include <string.h>

#include "base/diag.h"
#include "config/config.h"

Suite *config_errors_suite(void);

#define HOST      "hosts:\n  main: { host: 127.0.0.1, connection_budget: 35 }\n"
#define WORKLOAD  "workloads:\n  web: { listen: \"*:6432\", pool_mode: transaction }\n"
#define PLACES                                                                           \
	"forms are db.example.com, db.example.com:5432, 10.0.0.1:5432, [::1]:5432 and "  \
	"/var/run/postgresql"
#define TWO_HOSTS                                                                        \
	"hosts:\n  a: { host: x, connection_budget: 10 }\n"                              \
	"  b: { host: y, connection_budget: 20 }\n"

static const struct {
	const char *why;
	const char *text;
	uint32_t line;
	uint32_t column;
	const char *message;
} bad[] = {
	{ "nothing at all",
		"",
		1, 1,
		"the file is empty; hosts and workloads are needed" },
	{ "only a comment",
		"# nothing\n",
		1, 1,
		"the file is empty; hosts and workloads are needed" },
	{ "a word",
		"hello\n",
		1, 1,
		"the file needs sections, not a single value" },
	{ "a list",
		"- hosts\n",
		1, 1,
		"the file needs sections, not a list" },
	{ "no hosts",
		WORKLOAD,
		1, 1,
		"hosts is missing; at least one is needed, such as  hosts: { main: { "
		"host: 127.0.0.1, connection_budget: 35 } }" },
	{ "no workloads",
		HOST,
		1, 1,
		"workloads is missing; at least one is needed, such as  workloads: { "
		"web: { listen: \"*:6432\", pool_mode: transaction } }" },
	{ "a typing error before what is missing",
		"workloads: { a: { listen: \"*:1\", " "pool_mode: transactoin } }\n",
		1, 45,
		"pool_mode: unknown word \"transactoin\"; did you mean transaction? "
		"Allowed is transaction, session or statement" },
	{ "hosts is null",
		"hosts:\n" WORKLOAD,
		1, 1,
		"hosts is missing; at least one is needed, such as  hosts: { main: { "
		"host: 127.0.0.1, connection_budget: 35 } }" },
	{ "hosts is a list",
		"hosts: [ main ]\n" WORKLOAD,
		1, 8,
		"hosts: needs named entries, not a list" },
	{ "a host is a word",
		"hosts:\n" "  main: localhost\n" WORKLOAD,
		2, 9,
		"hosts.main: needs options, not a single value" },
	{ "host without host",
		"hosts:\n" "  main: { connection_budget: 35 }\n" WORKLOAD,
		2, 3,
		"hosts.main needs host" },
	{ "host without budget",
		"hosts:\n" "  main: { host: a }\n" WORKLOAD,
		2, 3,
		"hosts.main needs connection_budget" },
	{ "budget of auto, and nobody to ask",
		"hosts:\n" "  main: { host: a, connection_budget: auto }\n" WORKLOAD,
		2, 39,
		"connection_budget: auto needs hosts.main.user, the router's own "
		"login, to ask PostgreSQL how many there may be" },
	{ "a share of no auto",
		"hosts:\n" "  main: { host: a, connection_budget: 9, user: u,\n"
		"    auto_share: 50 }\n" WORKLOAD,
		3, 5,
		"hosts.main: auto_share without connection_budget: auto" },
	{ "leave of no auto",
		"hosts:\n" "  main: { host: a, connection_budget: 9,\n"
		"    auto_leave: 5 }\n" WORKLOAD,
		3, 5,
		"hosts.main: auto_leave without connection_budget: auto" },
	{ "all shares, and one more",
		"hosts:\n" "  main: { host: a, connection_budget: auto, user: u,\n"
		"    auto_share: 101 }\n" WORKLOAD,
		3, 17,
		"auto_share: 101 is out of range; allowed is 1 to 100" },
	{ "no share",
		"hosts:\n" "  main: { host: a, connection_budget: auto, user: u,\n"
		"    auto_share: 0 }\n" WORKLOAD,
		3, 17,
		"auto_share: 0 is out of range; allowed is 1 to 100" },
	{ "a look in each turn",
		"hosts:\n" "  main: { host: a, connection_budget: auto, user: u,\n"
		"    budget_check_interval: 1ms }\n" WORKLOAD,
		3, 28,
		"budget_check_interval: 1ms is out of range; allowed is 100ms to 1h" },
	{ "no database to ask in",
		"hosts:\n" "  main: { host: a, connection_budget: auto, user: u,\n"
		"    dbname: \"\" }\n" WORKLOAD,
		3, 13,
		"dbname: must not be empty" },
	{ "budget of 0",
		"hosts:\n" "  main: { host: a, connection_budget: 0 }\n" WORKLOAD,
		2, 39,
		"connection_budget: 0 is out of range; allowed is 1 to 262143, or auto" },
	{ "budget below 0",
		"hosts:\n" "  main: { host: a, connection_budget: -3 }\n" WORKLOAD,
		2, 39,
		"connection_budget: -3 is out of range; allowed is 1 to 262143, or "
		"auto" },
	{ "budget too large",
		"hosts:\n" "  main: { host: a, "
		"connection_budget: 99999999999999999999 }\n" WORKLOAD,
		2, 39,
		"connection_budget: the number is too large" },
	{ "empty host",
		"hosts:\n" "  main: { host: \"\", connection_budget: 35 }\n"
		WORKLOAD,
		2, 17,
		"host: an item has 1 to 1023 bytes, this one 0" },
	{ "no place for a host",
		"hosts:\n" "  main: { host: [], connection_budget: 35 }\n" WORKLOAD,
		2, 17,
		"host: has 0 items; allowed is 1 to 16 items" },
	{ "several places in one text",
		"hosts:\n" "  main: { host: \"a,b\", connection_budget: 35 }\n" WORKLOAD,
		2, 17,
		"host: write several as a list: [ a, b ]" },
	{ "a place without a name",
		"hosts:\n" "  main: { host: [ a, \":5433\" ], connection_budget: 35 }\n"
		WORKLOAD,
		2, 22,
		"host: \":5433\" has no name or address; " PLACES },
	{ "a place with a bad port",
		"hosts:\n" "  main:\n" "    host:\n" "      - a:5433\n" "      - a:54333333\n"
		"    connection_budget: 35\n" WORKLOAD,
		5, 9,
		"host: \"a:54333333\" has no port from 1 to 65535 behind its colon; " PLACES },
	{ "an IPv6 address and a port without brackets",
		"hosts:\n" "  main: { host: \"2001:db8::1:99999\", connection_budget: 35 }\n"
		WORKLOAD,
		2, 17,
		"host: \"2001:db8::1:99999\" is no IPv6 address; with a port it is written "
		"in brackets; " PLACES },
	{ "a name in brackets",
		"hosts:\n" "  main: { host: \"[a]:1\", connection_budget: 35 }\n" WORKLOAD,
		2, 17,
		"host: \"[a]:1\" has no IPv6 address in its brackets; " PLACES },
	{ "all addresses of a machine",
		"hosts:\n" "  main: { host: \"*\", connection_budget: 35 }\n" WORKLOAD,
		2, 17,
		"host: \"*\" is no name or address of a machine; " PLACES },
	{ "the same place twice",
		"hosts:\n" "  main: { host: [ a, b, A:5432 ], connection_budget: 35 }\n"
		WORKLOAD,
		2, 25,
		"host: A:5432 is the same as a before it" },
	{ "an unknown target",
		"hosts:\n" "  main: { host: a, connection_budget: 35,\n"
		"    target_session_attrs: readwrite }\n" WORKLOAD,
		3, 27,
		"target_session_attrs: unknown word \"readwrite\"; did you mean "
		"read-write? Allowed is any, read-write, read-only, primary, standby or "
		"prefer-standby" },
	{ "name of a host with a space",
		"hosts:\n" "  \"main db\": { host: a, connection_budget: 35 }\n"
		WORKLOAD,
		2, 3,
		"the name \"main db\" is not made of at most 63 letters, digits, '_', "
		"'.' and '-'" },
	{ "password without user",
		"hosts:\n" "  main: { host: a, connection_budget: 35, "
		"password: x }\n" WORKLOAD,
		2, 43,
		"hosts.main: password without user" },
	{ "two passwords",
		"hosts:\n" "  main: { host: a, connection_budget: 35, user: u, "
		"password: x, password_file: y }\n" WORKLOAD,
		2, 65,
		"hosts.main: password and password_file exclude each other" },
	{ "unknown section, near",
		HOST WORKLOAD "process:\n" "  workers: 2\n" "workload:\n",
		7, 1,
		"unknown section \"workload\"; did you mean workloads?" },
	{ "unknown section, far",
		HOST WORKLOAD "zebra: 1\n",
		5, 1,
		"unknown section \"zebra\"; known are: process, defaults, hosts, "
		"workloads, databases, users, auth, tls, admin, http, log" },
	{ "http without a password",
		HOST WORKLOAD "http: { user: prometheus }\n",
		5, 7,
		"http: user and password_file need each other" },
	{ "http on the port of a workload",
		HOST WORKLOAD "http: { listen: \"*:6432\" }\n",
		5, 17,
		"listen: *:6432 is listened on already, further up in the file" },
	{ "unknown option, near",
		HOST WORKLOAD "process: { worker: 2 }\n",
		5, 12,
		"unknown option \"worker\" in process; did you mean workers?" },
	{ "unknown option, far",
		HOST WORKLOAD "log: { zebra: 2 }\n",
		5, 8,
		"unknown option \"zebra\" in log; known are: level, destination, format, "
		"file, syslog_facility, syslog_ident, log_connections, log_disconnections, "
		"log_stats, stats_period" },
	{ "log to no file",
		HOST WORKLOAD "log: { destination: file }\n",
		5, 6,
		"log: destination file needs file" },
	{ "log to a file somewhere",
		HOST WORKLOAD "log: { destination: file, file: log }\n",
		5, 33,
		"file: log does not begin with a slash" },
	{ "pool_mode in a database",
		HOST WORKLOAD "databases:\n" "  rag: { pool_mode: session }\n",
		6, 10,
		"pool_mode cannot stand in databases.rag, only in: workloads" },
	{ "pool_size as in PgBouncer",
		HOST WORKLOAD "databases:\n" "  rag: { pool_size: 5 }\n",
		6, 10,
		"unknown option \"pool_size\" in databases.rag; did you mean "
		"default_pool_size?" },
	{ "key twice",
		HOST WORKLOAD "log:\n" "  level: info\n" "  level: debug\n",
		7, 3,
		"\"level\" stands here a second time; the first is on line 6" },
	{ "section twice",
		HOST WORKLOAD HOST,
		5, 1,
		"\"hosts\" stands here a second time; the first is on line 1" },
	{ "number in quotes",
		HOST WORKLOAD "process: { workers: \"2\" }\n",
		5, 21,
		"workers: needs a number, not a text; write it without quotes" },
	{ "octal number",
		HOST WORKLOAD "process: { workers: 010 }\n",
		5, 21,
		"workers: 010 begins with a zero; write 10 (there are no octal "
		"numbers)" },
	{ "hexadecimal number",
		HOST WORKLOAD "process: { workers: 0x10 }\n",
		5, 21,
		"workers: needs a whole number, not \"0x10\"" },
	{ "number out of range",
		HOST WORKLOAD "process: { workers: 65 }\n",
		5, 21,
		"workers: 65 is out of range; allowed is 0 to 64" },
	{ "number is a list",
		HOST WORKLOAD "process: { workers: [ 2 ] }\n",
		5, 21,
		"workers: needs a number, not a list" },
	{ "number is missing",
		HOST WORKLOAD "process:\n" "  workers:\n",
		6, 11,
		"workers: a value is missing; allowed is 0 to 64" },
	{ "boolean yes",
		HOST WORKLOAD "log: { log_connections: yes }\n",
		5, 25,
		"log_connections: write true or false, not yes" },
	{ "boolean 1",
		HOST WORKLOAD "log: { log_connections: 1 }\n",
		5, 25,
		"log_connections: write true or false, not 1" },
	{ "boolean True",
		HOST WORKLOAD "log: { log_connections: True }\n",
		5, 25,
		"log_connections: write true or false, not True" },
	{ "duration without unit",
		HOST WORKLOAD "defaults: { query_wait_timeout: 5 }\n",
		5, 33,
		"query_wait_timeout: 5 has no unit; did you mean 5s? (units are us, "
		"ms, s, min, h and d)" },
	{ "duration with m",
		HOST WORKLOAD "defaults: { query_wait_timeout: 5m }\n",
		5, 33,
		"query_wait_timeout: 5m has no unit that is known; did you mean 5min? "
		"(units are us, ms, s, min, h and d)" },
	{ "duration with a fraction",
		HOST WORKLOAD "defaults: { query_wait_timeout: 1.5h }\n",
		5, 33,
		"query_wait_timeout: needs a whole number with a unit, such as 5s, "
		"not \"1.5h\" (units are us, ms, s, min, h and d)" },
	{ "duration with an unknown unit",
		HOST WORKLOAD "defaults: { query_wait_timeout: 5sec }\n",
		5, 33,
		"query_wait_timeout: needs a whole number with a unit, such as 5s, "
		"not \"5sec\" (units are us, ms, s, min, h and d)" },
	{ "duration too long",
		HOST WORKLOAD "defaults: { query_wait_timeout: 2d }\n",
		5, 33,
		"query_wait_timeout: 2d is out of range; allowed is 0 to 1d" },
	{ "duration too short",
		HOST WORKLOAD "defaults: { client_login_timeout: 0 }\n",
		5, 35,
		"client_login_timeout: 0 is out of range; allowed is 100ms to 1h" },
	{ "duration overflows",
		HOST WORKLOAD
		"defaults: { query_wait_timeout: 999999999999999999d }\n",
		5, 33,
		"query_wait_timeout: 999999999999999999d is out of range; allowed is "
		"0 to 1d" },
	{ "size without unit",
		"hosts:\n" "  main: { host: a, connection_budget: 35, "
		"tcp_socket_buffer: 4096 }\n" WORKLOAD,
		2, 62,
		"tcp_socket_buffer: 4096 has no unit; did you mean 4096B? (units are "
		"B, kB, MB and GB)" },
	{ "size with a wrong unit",
		"hosts:\n" "  main: { host: a, connection_budget: 35, "
		"tcp_socket_buffer: 64KB }\n" WORKLOAD,
		2, 62,
		"tcp_socket_buffer: needs a whole number with a unit, such as 64kB, "
		"not \"64KB\" (units are B, kB, MB and GB)" },
	{ "mode without quotes",
		HOST WORKLOAD "process: { unix_socket_mode: 0770 }\n",
		5, 30,
		"unix_socket_mode: an octal number is written in quotes: \"0770\"" },
	{ "mode with an 8",
		HOST WORKLOAD "process: { unix_socket_mode: \"0780\" }\n",
		5, 30,
		"unix_socket_mode: needs three or four octal digits in quotes, such "
		"as \"0770\"" },
	{ "mode too large",
		HOST WORKLOAD "process: { unix_socket_mode: \"1777\" }\n",
		5, 30,
		"unix_socket_mode: 1777 is out of range; allowed is \"0000\" to "
		"\"0777\"" },
	{ "word, near",
		HOST "workloads:\n"
		"  web: { listen: \"*:6432\", pool_mode: transactional }\n",
		4, 39,
		"pool_mode: unknown word \"transactional\"; did you mean transaction? "
		"Allowed is transaction, session or statement" },
	{ "word, far",
		HOST "workloads:\n"
		"  web: { listen: \"*:6432\", pool_mode: pooled }\n",
		4, 39,
		"pool_mode: unknown word \"pooled\"; allowed is transaction, session "
		"or statement" },
	{ "workload without listen",
		HOST "workloads:\n" "  web: { pool_mode: session }\n",
		4, 3,
		"workloads.web needs listen" },
	{ "workload without mode",
		HOST "workloads:\n" "  web: { listen: \"*:6432\" }\n",
		4, 3,
		"workloads.web needs pool_mode" },
	{ "listen is empty",
		HOST "workloads:\n" "  web: { listen: [], pool_mode: session }\n",
		4, 18,
		"listen: has 0 items; allowed is 1 to 64 items" },
	{ "listen has commas",
		HOST "workloads:\n"
		"  web: { listen: \"*:1,*:2\", pool_mode: session }\n",
		4, 18,
		"listen: write several as a list: [ a, b ]" },
	{ "listen is a number",
		HOST "workloads:\n" "  web: { listen: 6432, pool_mode: session }\n",
		4, 18,
		"listen: \"6432\" is not an address with a port; forms are "
		"127.0.0.1:6432, [::1]:6432, *:6432 and unix:/run/pgtandem:6432" },
	{ "listen on a name",
		HOST "workloads:\n" "  web: { listen: \"localhost:6432\", "
		"pool_mode: session }\n",
		4, 18,
		"listen: \"localhost:6432\" has no address of this machine (names are "
		"not looked up); forms are 127.0.0.1:6432, [::1]:6432, *:6432 and "
		"unix:/run/pgtandem:6432" },
	{ "listen on port 0",
		HOST "workloads:\n"
		"  web: { listen: \"*:0\", pool_mode: session }\n",
		4, 18,
		"listen: the port in \"*:0\" is not a number from 1 to 65535; forms "
		"are 127.0.0.1:6432, [::1]:6432, *:6432 and unix:/run/pgtandem:6432" },
	{ "listen twice in a list",
		HOST "workloads:\n" "  web: { listen: [ \"*:6432\", \"*:6432\" ], "
		"pool_mode: session }\n",
		4, 30,
		"listen: \"*:6432\" stands in the list twice" },
	{ "listen twice, written differently",
		HOST "workloads:\n"
		"  a: { listen: \"[::1]:6432\", pool_mode: session }\n"
		"  b: { listen: \"[0:0::1]:6432\", pool_mode: session }\n",
		5, 16,
		"listen: [0:0::1]:6432 is listened on already, further up in the file" },
	{ "listen on all twice",
		HOST "workloads:\n"
		"  a: { listen: \"*:6432\", pool_mode: session }\n"
		"  b: { listen: [ \"127.0.0.1:6433\", \"0.0.0.0:6432\" ], "
		"pool_mode: session }\n",
		5, 36,
		"listen: 0.0.0.0:6432 is listened on already, further up in the file" },
	{ "listen on one of all",
		HOST "workloads:\n"
		"  a: { listen: \"*:6432\", pool_mode: session }\n"
		"  b: { listen: \"127.0.0.1:6432\", pool_mode: session }\n",
		5, 16,
		"listen: 127.0.0.1:6432 is listened on already, further up in the file" },
	{ "unix socket without slash",
		HOST "workloads:\n" "  web: { listen: \"unix:tmp:6432\", "
		"pool_mode: session }\n",
		4, 18,
		"listen: a unix socket needs a directory that begins with a slash: "
		"unix:/run/pgtandem:6432" },
	{ "floors over the budget",
		HOST "workloads:\n"
		"  t: { listen: \"*:6432\", pool_mode: transaction, "
		"guaranteed_connections: 25 }\n"
		"  s: { listen: \"*:6433\", pool_mode: session, "
		"guaranteed_connections: 15 }\n",
		5, 70,
		"guaranteed_connections add up to 40 on host main (t 25 + s 15), "
		"which is more than its connection_budget of 35" },
	{ "max below floor",
		HOST "workloads:\n"
		"  t: { listen: \"*:6432\", pool_mode: transaction, "
		"guaranteed_connections: 25, max_connections: 5 }\n",
		4, 95,
		"max_connections: 5 is less than the guaranteed_connections of "
		"workload t, which are 25" },
	{ "more pinned than the floor",
		HOST "workloads:\n"
		"  t: { listen: \"*:6432\", pool_mode: transaction, "
		"guaranteed_connections: 5, max_pinned: 6 }\n",
		4, 89,
		"max_pinned: 6 is more than the guaranteed_connections of "
		"workload t, which are 5" },
	{ "a policy that is none",
		HOST "workloads:\n"
		"  t: { listen: \"*:6432\", pool_mode: transaction, "
		"session_state_listen: keep }\n",
		4, 72,
		"session_state_listen: unknown word \"keep\"; allowed is pin or refuse" },
	{ "max of 0",
		HOST "workloads:\n"
		"  t: { listen: \"*:6432\", pool_mode: transaction, "
		"max_connections: 0 }\n",
		4, 67,
		"max_connections: 0 is out of range; allowed is 1 to 262143, or auto" },
	{ "nothing left for a session port",
		HOST "workloads:\n"
		"  t: { listen: \"*:6432\", pool_mode: transaction, "
		"guaranteed_connections: 35 }\n"
		"  s: { listen: \"*:6433\", pool_mode: session }\n",
		5, 6,
		"workload s could have no connection on host main: it is guaranteed "
		"none of the connection_budget of 35, and in session mode "
		"max_connections is as many unless set" },
	{ "session port of 0",
		HOST "workloads:\n"
		"  t: { listen: \"*:6432\", pool_mode: transaction }\n"
		"  s: { listen: \"*:6433\", pool_mode: session, "
		"guaranteed_connections: 0 }\n",
		5, 70,
		"workload s could have no connection on host main: it is guaranteed "
		"none of the connection_budget of 35, and in session mode "
		"max_connections is as many unless set" },
	{ "session port of 0, whatever the budget",
		"hosts:\n" "  main: { host: a, connection_budget: auto, user: u }\n"
		"workloads:\n"
		"  s: { listen: \"*:6433\", pool_mode: session, "
		"guaranteed_connections: 0 }\n",
		4, 70,
		"workload s could have no connection on host main: it is guaranteed "
		"none of the connection_budget of auto, and in session mode "
		"max_connections is as many unless set" },
	{ "override for an unknown host",
		TWO_HOSTS "workloads:\n"
		"  web: { listen: \"*:1\", pool_mode: session, "
		"hosts: { aa: { max_connections: 5 } } }\n"
		"databases: { \"*\": { host: a } }\n",
		5, 54,
		"workloads.web.hosts: there is no host \"aa\"; did you mean a?" },
	{ "override for an unused host",
		TWO_HOSTS "workloads:\n"
		"  web: { listen: \"*:1\", pool_mode: session, "
		"hosts: { b: { max_connections: 5 } } }\n"
		"databases: { \"*\": { host: a } }\n",
		5, 54,
		"workloads.web.hosts.b: no database of this workload is on that host" },
	{ "override over the budget",
		TWO_HOSTS "workloads:\n"
		"  web: { listen: \"*:1\", pool_mode: session, "
		"hosts: { b: { guaranteed_connections: 21 } } }\n"
		"databases: { x: { host: a }, \"*\": { host: b } }\n",
		5, 83,
		"guaranteed_connections add up to 21 on host b (web 21), which is "
		"more than its connection_budget of 20" },
	{ "several hosts, no databases",
		TWO_HOSTS WORKLOAD,
		1, 1,
		"databases is missing; with more than one host it says which database "
		"is on which" },
	{ "several hosts, none named",
		TWO_HOSTS WORKLOAD "databases:\n" "  rag: {}\n",
		7, 3,
		"databases.rag needs host, as there is more than one" },
	{ "databases is empty",
		HOST WORKLOAD "databases: {}\n",
		5, 1,
		"databases is empty; name some, or leave it out for all databases of "
		"the only host" },
	{ "unknown host, near",
		HOST WORKLOAD "databases:\n" "  rag: { host: mian }\n",
		6, 16,
		"host: hosts has no entry \"mian\"; did you mean main?" },
	{ "reserved name",
		HOST WORKLOAD "databases:\n" "  pgbouncer: {}\n",
		6, 3,
		"the database name pgbouncer is reserved for the console" },
	{ "password of nobody",
		HOST WORKLOAD "databases:\n" "  rag: { password: x }\n",
		6, 10,
		"databases.rag: password without user" },
	{ "unknown database in a workload",
		HOST "workloads:\n" "  web: { listen: \"*:1\", pool_mode: session, "
		"databases: [ rag, \"*\", web ] }\n" "databases: { rag: {} }\n",
		4, 68,
		"databases: there is no database \"web\" in databases, nor \"*\"" },
	{ "database with a long name",
		HOST WORKLOAD "databases:\n"
		"  xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: {}\n",
		6, 3,
		"the name "
		"\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\" "
		"is longer than PostgreSQL's 63 bytes" },
	{ "user *",
		HOST WORKLOAD "users:\n" "  \"*\": { query_timeout: 5s }\n",
		6, 3,
		"users has no entry for all; write what holds for all into defaults" },
	{ "more clients than in process",
		HOST "process: { max_client_conn: 100 }\n" "workloads:\n"
		"  web: { listen: \"*:1\", pool_mode: session, "
		"max_client_conn: 101 }\n",
		5, 62,
		"max_client_conn: 101 is more than the 100 of process.max_client_conn" },
	{ "pool sizes that contradict",
		HOST WORKLOAD
		"defaults: { default_pool_size: 5, min_pool_size: 6 }\n",
		5, 50,
		"min_pool_size: 6 is more than default_pool_size, which is 5" },
	{ "setting of a user in a workload",
		HOST "workloads:\n" "  web: { listen: \"*:1\", pool_mode: session, "
		"max_user_connections: 1 }\n",
		4, 45,
		"max_user_connections cannot stand in workloads.web, only in: "
		"defaults, users" },
	{ "a list item twice",
		HOST WORKLOAD "admin: { admin_users: [ a, b, a ] }\n",
		5, 31,
		"admin_users: \"a\" stands in the list twice" },
	{ "a list in a list",
		HOST WORKLOAD "admin: { admin_users: [ [ a ] ] }\n",
		5, 25,
		"admin_users: needs a list of texts; this is a list" },
	{ "anchor",
		HOST WORKLOAD "log: &log { level: info }\n",
		5, 6,
		"anchors are not supported" },
	{ "alias",
		HOST WORKLOAD "databases:\n" "  *: {}\n",
		6, 3,
		"a text that begins with * needs quotes, such as \"*\"" },
	{ "merge key",
		HOST WORKLOAD "log: { <<: { level: info } }\n",
		5, 8,
		"merge keys are not supported; write the options out" },
	{ "tag",
		HOST WORKLOAD "process: { workers: !!int 2 }\n",
		5, 21,
		"tags are not supported" },
	{ "two documents",
		HOST WORKLOAD "---\n" HOST,
		5, 1,
		"a second document begins here; only one is read" },
	{ "a key that is a list",
		HOST WORKLOAD "? [ a ]\n" ": b\n",
		5, 3,
		"a key must be a word" },
	{ "tab",
		HOST WORKLOAD "log:\n" "\tlevel: info\n",
		6, 1,
		"a tab; YAML is indented with spaces" },
	{ "unclosed bracket",
		HOST WORKLOAD "log: { level: info\n",
		6, 1,
		"did not find expected ',' or '}' (while parsing a flow mapping, line "
		"5)" },
	{ "not UTF-8",
		HOST WORKLOAD "log: { level: in\377" "fo }\n",
		5, 17,
		"invalid leading UTF-8 octet; the file must be UTF-8 text" },
	{ "zero byte in a text",
		HOST WORKLOAD "users:\n" "  a: { password: \"x\\0y\" }\n",
		6, 18,
		"a value with control characters" },
	{ "control character in a key",
		HOST WORKLOAD "\"lo\\ng\": 1\n",
		5, 1,
		"a key with control characters" },
	{ "nested too deeply",
		HOST WORKLOAD "x: [[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]\n",
		5, 19,
		"nested more than 16 levels deep" },
};

START_TEST(says_what_is_wrong_and_where)
{
	struct diag diag = { 0 };
	struct config *config = config_load_memory(bad[_i].text, strlen(bad[_i].text),
		"test.yaml", &diag);

	ck_assert_msg(config == NULL, "%s: accepted", bad[_i].why);
	ck_assert_msg(strcmp(diag.text, bad[_i].message) == 0, "%s: %s", bad[_i].why,
		diag.text);
	ck_assert_msg(diag.line == bad[_i].line && diag.column == bad[_i].column,
		"%s: at %u:%u", bad[_i].why, diag.line, diag.column);
	ck_assert_str_eq(diag.file, "test.yaml");
}
END_TEST

/* What may not end in a crash, nor, with sanitizers, in a leak. */
START_TEST(survives_every_cut)
{
	const char *text = bad[_i].text;

	for (size_t cut = 0; cut < strlen(text); cut++) {
		struct diag diag = { 0 };
		struct config *config = config_load_memory(text, cut, "test.yaml", &diag);

		ck_assert((config == NULL) == diag_is_set(&diag));
		config_unref(config);
	}
}
END_TEST

Suite *config_errors_suite(void)
{
	Suite *s = suite_create("config/config errors");
	TCase *tc = tcase_create("load");

	tcase_add_loop_test(tc, says_what_is_wrong_and_where, 0, (int)COUNT_OF(bad));
	tcase_add_loop_test(tc, survives_every_cut, 0, (int)COUNT_OF(bad));
	suite_add_tcase(s, tc);
	return s;
}

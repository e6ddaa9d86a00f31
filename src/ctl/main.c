/* SPDX-License-Identifier: ISC */
/*
 * The command line of pgtandemctl, and one command from sending to answer.
 */
#include <errno.h>
#include <getopt.h>
#include <libpq-fe.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "ctl/ctl.h"

enum { COMMAND_MAX = 1024, CANCEL_ERROR_MAX = 256, GRACE_S = 5, SECONDS_MAX = 1000000 };
enum { OPT_JSON = 256, OPT_TIMEOUT, OPT_VERSION, OPT_HELP };

struct ctl {
	const char *host;
	const char *port;
	const char *user;
	const char *dbname;
	const char *passfile;
	bool is_json;
	long timeout_s;         /* 0: none */
	PGconn *conn;
};

static void usage(FILE *to)
{
	fputs("usage: pgtandemctl [OPTION]... COMMAND [ARGUMENT]...\n"
	      "\n"
	      "Sends one command to the console of pgtandem, or of PgBouncer.\n"
	      "\n"
	      "  -h, --host HOST      address, or directory of the unix socket [PGHOST]\n"
	      "  -p, --port PORT      any port of the router [PGPORT, else 6432]\n"
	      "  -U, --user USER      who may run the command [PGUSER, else who you are]\n"
	      "  -d, --dbname NAME    name of the console [pgbouncer]\n"
	      "      --passfile FILE  passwords, as in .pgpass [PGPASSFILE, else ~/.pgpass]\n"
	      "      --json           rows as an array of objects\n"
	      "  -t, --timeout SEC    give the command up after so many seconds\n"
	      "  -V, --version        print the version, and exit\n"
	      "      --help           print this, and exit\n"
	      "\n"
	      "  pgtandemctl show pools --json       pgtandemctl pause app\n"
	      "  pgtandemctl reload                  pgtandemctl shutdown wait_for_clients\n"
	      "\n"
	      "Exit status: 0 done, 1 refused by the router, 2 wrong command line, 3 no\n"
	      "connection, 4 not done in time and given up, 5 not allowed for this user.\n"
	      "PGPASSWORD is honoured.  See pgtandemctl(1) and pgtandem-console(7).\n",
		to);
}

static uint64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void on_notice(void *arg, const PGresult *r)
{
	const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
	const char *detail = PQresultErrorField(r, PG_DIAG_MESSAGE_DETAIL);

	(void)arg;
	/* What a reload has changed, and the help, are answers. */
	ctl_print_message(text == NULL ? "" : text, stdout);
	if (detail != NULL && detail[0] != '\n')
		(void)putchar('\n');
	ctl_print_message(detail == NULL ? "" : detail, stdout);
	(void)putchar('\n');
}

static void on_notice_json(void *arg, const PGresult *r)
{
	const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);

	(void)arg;
	ctl_print_message(text == NULL ? "" : text, stderr);
	(void)fputc('\n', stderr);
}

static void complain(const char *text)
{
	(void)fputs("pgtandemctl: ", stderr);
	ctl_print_message(text, stderr);
}

static bool open_connection(struct ctl *x)
{
	const char *const keys[] = { "host", "port", "user", "dbname", "passfile",
		"application_name", "connect_timeout", "client_encoding", NULL };
	char timeout[24];
	const char *values[COUNT_OF(keys)] = { x->host, x->port, x->user, x->dbname,
		x->passfile, "pgtandemctl", x->timeout_s == 0 ? NULL : timeout, "UTF8", NULL };

	(void)snprintf(timeout, sizeof(timeout), "%ld", x->timeout_s);
	x->conn = PQconnectdbParams(keys, values, 0);
	if (PQstatus(x->conn) == CONNECTION_OK) {
		PQsetNoticeReceiver(x->conn, x->is_json ? on_notice_json : on_notice, NULL);
		return true;
	}
	complain(PQerrorMessage(x->conn));
	return false;
}

/* Waits for an answer.  False: the time is over. */
static bool wait_for_answer(PGconn *conn, uint64_t until_ms)
{
	while (PQisBusy(conn)) {
		struct pollfd p = { .fd = PQsocket(conn), .events = POLLIN };
		uint64_t now = now_ms();

		if (until_ms != 0 && now >= until_ms)
			return false;
		if (poll(&p, 1, until_ms == 0 ? -1 : (int)(until_ms - now)) < 0 &&
			errno != EINTR)
			return true;
		/* What is wrong with the connection is in the result. */
		if (p.revents != 0 && !PQconsumeInput(conn))
			return true;
	}
	return true;
}

/* The router hangs, and PQcancel() would wait for it as long. */
static void on_alarm(int number)
{
	static const char text[] =
		"pgtandemctl: not done in time, and the router does not answer: the command may still run\n";
	ssize_t told = write(STDERR_FILENO, text, sizeof(text) - 1);

	(void)number;
	/* There is nobody to tell when standard error is gone. */
	(void)told;
	_exit(CTL_TIMEOUT);
}

static void cancel(PGconn *conn)
{
	char why[CANCEL_ERROR_MAX];
	PGcancel *c = PQgetCancel(conn);

	(void)signal(SIGALRM, on_alarm);
	(void)alarm(GRACE_S);
	if (c == NULL || !PQcancel(c, why, sizeof(why)))
		(void)fprintf(stderr, "pgtandemctl: the command could not be cancelled\n");
	else
		(void)wait_for_answer(conn, 0);
	(void)alarm(0);
	PQfreeCancel(c);
}

static enum ctl_status refused(const struct ctl *x, const PGresult *r)
{
	const char *sqlstate = PQresultErrorField(r, PG_DIAG_SQLSTATE);

	complain(PQresultErrorMessage(r));
	if (PQstatus(x->conn) != CONNECTION_OK || sqlstate == NULL)
		return CTL_NO_CONNECTION;
	return strcmp(sqlstate, "42501") == 0 ? CTL_NOT_ALLOWED : CTL_REFUSED;
}

static void not_written(void)
{
	(void)fprintf(stderr, "pgtandemctl: the answer could not be written\n");
}

static enum ctl_status show(const struct ctl *x, const PGresult *r)
{
	if (x->is_json ? ctl_print_json(r, stdout) : ctl_print_text(r, stdout))
		return CTL_OK;
	not_written();
	return CTL_REFUSED;
}

static enum ctl_status read_answer(const struct ctl *x, bool ends_router)
{
	enum ctl_status status = CTL_OK;
	PGresult *r;

	/* Lost after SHUTDOWN: it went as it was told. */
	while ((r = PQgetResult(x->conn)) != NULL) {
		ExecStatusType kind = PQresultStatus(r);

		if (kind == PGRES_TUPLES_OK)
			status = show(x, r);
		else if (kind != PGRES_COMMAND_OK && kind != PGRES_EMPTY_QUERY &&
			(!ends_router || PQstatus(x->conn) == CONNECTION_OK))
			status = refused(x, r);
		PQclear(r);
		if (PQstatus(x->conn) != CONNECTION_OK)
			break;
	}
	return status;
}

static enum ctl_status run(struct ctl *x, const char *command)
{
	uint64_t until = x->timeout_s == 0 ? 0 : now_ms() + (uint64_t)x->timeout_s * 1000;
	bool ends_router = strncasecmp(command, "shutdown", strlen("shutdown")) == 0;

	if (!open_connection(x))
		return CTL_NO_CONNECTION;
	if (!PQsendQuery(x->conn, command)) {
		complain(PQerrorMessage(x->conn));
		return CTL_NO_CONNECTION;
	}
	if (!wait_for_answer(x->conn, until)) {
		cancel(x->conn);
		(void)fprintf(stderr, "pgtandemctl: not done within %ld s, and given up\n",
			x->timeout_s);
		return CTL_TIMEOUT;
	}
	return read_answer(x, ends_router);
}

/* From 1. */
static bool read_number(const char *text, long most, long *out)
{
	char *end;

	errno = 0;
	*out = strtol(text, &end, 10);
	return errno == 0 && end != text && *end == '\0' && *out > 0 && *out <= most;
}

/* -1: go on; else the exit status. */
static int read_options(struct ctl *x, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "host", required_argument, NULL, 'h' },
		{ "port", required_argument, NULL, 'p' },
		{ "user", required_argument, NULL, 'U' },
		{ "dbname", required_argument, NULL, 'd' },
		{ "passfile", required_argument, NULL, 'f' },
		{ "json", no_argument, NULL, OPT_JSON },
		{ "timeout", required_argument, NULL, 't' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, OPT_HELP },
		{ NULL, 0, NULL, 0 },
	};
	long port;
	int opt;

	while ((opt = getopt_long(argc, argv, "h:p:U:d:t:V", longs, NULL)) != -1) {
		switch (opt) {
		case 'h':
			x->host = optarg;
			break;
		case 'p':
			x->port = optarg;
			if (read_number(optarg, UINT16_MAX, &port))
				break;
			(void)fprintf(stderr, "pgtandemctl: --port takes a number from 1 to 65535\n");
			return CTL_USAGE;
		case 'U':
			x->user = optarg;
			break;
		case 'd':
			x->dbname = optarg;
			break;
		case 'f':
			x->passfile = optarg;
			break;
		case OPT_JSON:
			x->is_json = true;
			break;
		case 't':
			if (read_number(optarg, SECONDS_MAX, &x->timeout_s))
				break;
			(void)fprintf(stderr, "pgtandemctl: --timeout takes seconds, from 1\n");
			return CTL_USAGE;
		case 'V':
			(void)printf("pgtandemctl %s\n", PGTANDEM_VERSION);
			return CTL_OK;
		case OPT_HELP:
			usage(stdout);
			return CTL_OK;
		default:
			usage(stderr);
			return CTL_USAGE;
		}
	}
	return -1;
}

int main(int argc, char **argv)
{
	struct ctl x = { .dbname = "pgbouncer" };
	char text[COMMAND_MAX];
	const char *command;
	int status;

	if (getenv("PGPORT") == NULL)
		x.port = "6432";
	status = read_options(&x, argc, argv);
	if (status >= 0)
		return status;
	command = ctl_command(argv + optind, (size_t)(argc - optind), text, sizeof(text));
	if (command == NULL) {
		usage(stderr);
		return CTL_USAGE;
	}
	status = (int)run(&x, command);
	PQfinish(x.conn);
	/* Notices are answers, too. */
	if (status != CTL_OK || (fflush(stdout) == 0 && ferror(stdout) == 0))
		return status;
	not_written();
	return CTL_REFUSED;
}

/* SPDX-License-Identifier: ISC */
#include "route/password.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/slog.h"
#include "config/password.h"
#include "net/child.h"
#include "route/password_priv.h"

enum { ENV_COUNT = 4, PAUSE_FIRST_US = 1000000, PAUSE_DOUBLINGS = 5 };

struct route_password {
	struct list_node in_directory;  /* with uses, under the directory's lock */
	uint32_t uses;                  /* pools */
	_Atomic uint32_t refs;
	struct route_host *host;
	char *key;                      /* what makes it this one */
	char *user;
	char *path;                     /* of a file; NULL: a command */
	char **argv;
	pthread_mutex_t lock;           /* of all that follows */
	char *env[ENV_COUNT + 1];
	uint64_t lifetime_us;
	char *value;                    /* NULL: none yet */
	uint64_t version;               /* counts those that were fetched */
	uint64_t fetched_us;
	uint64_t tried_us;              /* the same, whether or not it went well */
	bool has_failed;                /* the last attempt did not */
	bool is_doubted;                /* refused, or from before a reload */
	bool is_fetching;
	bool is_changing;               /* a reload is under way */
	uint32_t epoch;                 /* counts them: both begin and end */
	uint32_t failures;              /* in a row: refused, or not to be had */
	uint64_t refused_version;       /* the first of them that was refused; 0: none */
	uint64_t refused_us;
	char why[CHILD_WHY_MAX];        /* of the last failure, ... */
	char said[CHILD_ERRORS_MAX];    /* ... and what the command said */
	struct list waiters;
};

static void text_wipe(char *text)
{
	if (text != NULL)
		explicit_bzero(text, strlen(text));
	free(text);
}

/* --- life ------------------------------------------------------------------------------- */

static void destroy(struct route_password *p)
{
	for (size_t i = 0; p->argv != NULL && p->argv[i] != NULL; i++)
		free(p->argv[i]);
	free(p->argv);
	for (size_t i = 0; i < ENV_COUNT; i++)
		free(p->env[i]);
	text_wipe(p->value);
	free(p->path);
	free(p->user);
	free(p->key);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

struct route_password *route_password_ref(struct route_password *p)
{
	atomic_fetch_add(&p->refs, 1);
	return p;
}

void route_password_unref(struct route_password *p)
{
	if (p != NULL && atomic_fetch_sub(&p->refs, 1) == 1)
		destroy(p);
}

void password_use(struct route_password *p, int change)
{
	p->uses += (uint32_t)change;
}

static bool copy_argv(struct route_password *p, const struct option_list *command)
{
	p->argv = calloc(command->count + 1, sizeof(*p->argv));
	for (size_t i = 0; p->argv != NULL && i < command->count; i++) {
		p->argv[i] = strdup(command->items[i]);
		if (p->argv[i] == NULL)
			return false;
	}
	return p->argv != NULL;
}

static struct route_password *create(struct route_host *host, const struct config_password *conf,
	const char *user, const char *key)
{
	struct route_password *p = calloc(1, sizeof(*p));
	bool is_fine;

	if (p == NULL)
		return NULL;
	pthread_mutex_init(&p->lock, NULL);
	list_node_init(&p->in_directory);
	list_init(&p->waiters);
	atomic_init(&p->refs, 1);
	p->host = host;
	p->key = strdup(key);
	p->user = strdup(user);
	if (conf->path != NULL)
		is_fine = (p->path = strdup(conf->path)) != NULL;
	else
		is_fine = copy_argv(p, conf->command);
	if (is_fine && p->key != NULL && p->user != NULL)
		return p;
	destroy(p);
	return NULL;
}

/* --- what makes it, and what the command is told ------------------------------------------ */

static void add_text(struct buf *to, const char *text)
{
	buf_add(to, text, strlen(text));
}

static void add_part(struct buf *key, const char *text)
{
	char len[24];

	(void)snprintf(len, sizeof(len), "%zu:", strlen(text));
	add_text(key, len);
	add_text(key, text);
}

/* Lengths go before texts, so that two lists never read alike. */
static void make_key(struct buf *key, const struct route_host *h,
	const struct config_password *conf, const char *user, const char *dbname)
{
	add_part(key, h->name);
	add_part(key, user);
	if (conf->path != NULL) {
		add_part(key, conf->path);
	} else {
		add_part(key, dbname);
		for (size_t i = 0; i < conf->command->count; i++)
			add_part(key, conf->command->items[i]);
	}
	buf_add(key, "", 1);
}

/* As for libpq: of several places, all with commas between them. */
static void add_places(struct buf *hosts, struct buf *ports, const struct config_host *conf)
{
	for (size_t i = 0; i < conf->options.host.count; i++) {
		char port[16];

		(void)snprintf(port, sizeof(port), "%s%u", i == 0 ? "" : ",",
			(unsigned)conf->places[i].port);
		add_text(hosts, i == 0 ? "PGHOST=" : ",");
		add_text(hosts, conf->places[i].host);
		add_text(ports, i == 0 ? "PGPORT=" : "");
		add_text(ports, port);
	}
	buf_add(hosts, "", 1);
	buf_add(ports, "", 1);
}

static char *take_text(struct buf *text)
{
	char *out = buf_ok(text) ? strdup((const char *)buf_data(text)) : NULL;

	buf_finish(text);
	return out;
}

static void make_env(char *env[ENV_COUNT], const struct config_host *conf, const char *user,
	const char *dbname)
{
	struct buf hosts, ports;

	buf_init(&hosts, 0);
	buf_init(&ports, 0);
	add_places(&hosts, &ports, conf);
	env[0] = take_text(&hosts);
	env[1] = take_text(&ports);
	if (asprintf(&env[2], "PGUSER=%s", user) < 0)
		env[2] = NULL;
	if (asprintf(&env[3], "PGDATABASE=%s", dbname) < 0)
		env[3] = NULL;
}

/* A part that there is no memory for leaves all as it was.  What a command has told for
 * other places is for these alone. */
static bool set_env(struct route_password *p, const struct config_host *conf,
	const struct config_password *from, const char *dbname)
{
	char *env[ENV_COUNT], *old, *past = NULL;
	bool is_fine = true, is_same = true;

	make_env(env, conf, p->user, dbname);
	for (size_t i = 0; i < ENV_COUNT; i++)
		is_fine = is_fine && env[i] != NULL;
	pthread_mutex_lock(&p->lock);
	p->lifetime_us = from->lifetime_us;
	for (size_t i = 0; is_fine && i < ENV_COUNT; i++) {
		old = p->env[i];
		is_same = is_same && old != NULL && strcmp(old, env[i]) == 0;
		p->env[i] = env[i];
		env[i] = old;
	}
	if (!is_same && p->path == NULL) {
		past = p->value;
		p->value = NULL;
	}
	pthread_mutex_unlock(&p->lock);
	for (size_t i = 0; i < ENV_COUNT; i++)
		free(env[i]);
	text_wipe(past);
	return is_fine;
}

static struct route_password *find(struct directory *d, const struct route_host *h,
	const char *key)
{
	list_for_each(&d->passwords, node) {
		struct route_password *p = container_of(node, struct route_password,
			in_directory);

		if (p->host == h && strcmp(p->key, key) == 0)
			return p;
	}
	return NULL;
}

struct route_password *password_find(struct directory *d, struct route_host *h,
	const struct config_host *host, const struct config_password *conf, const char *user,
	const char *dbname)
{
	struct route_password *p = NULL;
	struct buf key;

	buf_init(&key, 0);
	make_key(&key, h, conf, user, dbname);
	if (buf_ok(&key))
		p = find(d, h, (const char *)buf_data(&key));
	if (buf_ok(&key) && p == NULL) {
		p = create(h, conf, user, (const char *)buf_data(&key));
		if (p != NULL)
			list_push_back(&d->passwords, &p->in_directory);
	}
	buf_finish(&key);
	return p != NULL && (set_env(p, host, conf, dbname) || p->env[0] != NULL) ? p : NULL;
}

void passwords_doubt(struct directory *d, bool is_over)
{
	list_for_each(&d->passwords, node) {
		struct route_password *p = container_of(node, struct route_password,
			in_directory);

		pthread_mutex_lock(&p->lock);
		p->is_doubted = true;
		p->failures = 0;
		p->refused_version = 0;
		p->is_changing = !is_over;
		p->epoch++;
		pthread_mutex_unlock(&p->lock);
	}
}

void passwords_sweep(struct directory *d)
{
	list_for_each_safe(&d->passwords, node) {
		struct route_password *p = container_of(node, struct route_password,
			in_directory);

		if (p->uses > 0)
			continue;
		list_remove(&p->in_directory);
		route_password_unref(p);
	}
}

/* --- asking ----------------------------------------------------------------------------- */

/* The second failure in a row is the first that has to wait. */
static bool is_pausing(const struct route_password *p, uint64_t now_us)
{
	uint32_t doublings;

	if (p->failures < 2)
		return false;
	doublings = (uint32_t)u64_min(p->failures - 2, PAUSE_DOUBLINGS);
	return now_us < p->tried_us + ((uint64_t)PAUSE_FIRST_US << doublings);
}

static bool is_good(const struct route_password *p, uint64_t now_us, bool has_waited)
{
	return p->value != NULL && !p->is_doubted &&
		(p->lifetime_us == 0 || (has_waited && !p->has_failed) ||
			now_us < p->fetched_us + p->lifetime_us);
}

static enum route_password_result take(const struct route_password *p, char **value,
	uint64_t *version)
{
	if (p->value == NULL)
		return ROUTE_PASSWORD_FAILED;
	if (value == NULL)
		return ROUTE_PASSWORD_KNOWN;
	*value = strdup(p->value);
	*version = p->version;
	return *value == NULL ? ROUTE_PASSWORD_FAILED : ROUTE_PASSWORD_KNOWN;
}

enum route_password_result route_password_get(struct route_password *p, uint64_t now_us,
	struct route_password_waiter *waiter, char **value, uint64_t *version)
{
	enum route_password_result result = ROUTE_PASSWORD_ASK;

	if (value != NULL)
		*value = NULL;
	pthread_mutex_lock(&p->lock);
	if (is_good(p, now_us, waiter->has_waited) ||
		(!p->is_fetching && is_pausing(p, now_us))) {
		result = take(p, value, version);
	} else {
		if (p->is_fetching)
			result = ROUTE_PASSWORD_WAIT;
		p->is_fetching = true;
		list_push_back(&p->waiters, &waiter->node);
	}
	pthread_mutex_unlock(&p->lock);
	return result;
}

/* In answer to a refusal a moment ago: how long ago is as long as the longest pause. */
static bool is_answer(const struct route_password *p, uint64_t version, uint64_t now_us)
{
	return p->refused_version != 0 && version != p->refused_version &&
		now_us < p->refused_us + (PAUSE_FIRST_US << PAUSE_DOUBLINGS);
}

bool route_password_refused(struct route_password *p, uint64_t version, uint64_t now_us)
{
	bool may_help, is_second;

	pthread_mutex_lock(&p->lock);
	is_second = is_answer(p, version, now_us);
	if (!is_second) {
		p->refused_version = version;
		p->refused_us = now_us;
	}
	if (p->version == version && !p->is_doubted) {
		p->is_doubted = true;
		p->failures++;
	}
	may_help = !is_second &&
		(p->version != version || p->is_fetching || !is_pausing(p, now_us));
	pthread_mutex_unlock(&p->lock);
	return may_help;
}

void route_password_worked(struct route_password *p, uint64_t version)
{
	pthread_mutex_lock(&p->lock);
	if (p->version == version && !p->has_failed) {
		p->failures = 0;
		p->refused_version = 0;
	}
	pthread_mutex_unlock(&p->lock);
}

/* --- fetching --------------------------------------------------------------------------- */

/* Others may look at it. */
static void note(struct route_password *p, const char *why, const char *said)
{
	pthread_mutex_lock(&p->lock);
	(void)snprintf(p->why, sizeof(p->why), "%s", why);
	(void)snprintf(p->said, sizeof(p->said), "%s", said);
	pthread_mutex_unlock(&p->lock);
}

static char *read_file(struct route_password *p)
{
	char *value = NULL, text[DIAG_TEXT_MAX + DIAG_FILE_MAX];
	struct diag diag;

	diag_clear(&diag);
	if (password_read(p->path, &value, &diag) < 0) {
		note(p, diag_format(&diag, text, sizeof(text)), "");
		return NULL;
	}
	return value;
}

/* The variables are copied: a reload may change them meanwhile. */
static char *run(struct route_password *p)
{
	struct child_order order = { .argv = p->argv, .timeout_us = ROUTE_PASSWORD_TIMEOUT_US,
		.output_max = ROUTE_PASSWORD_MAX };
	char *env[ENV_COUNT + 1] = { NULL };
	const char *problem = child_problem(p->argv[0]);
	struct child_answer answer = { .line = NULL };
	/* Whether there are copies of all. */
	bool is_fine = problem == NULL;
	size_t count = 0;

	pthread_mutex_lock(&p->lock);
	for (size_t i = 0; is_fine && i < ENV_COUNT; i++) {
		/* PGDATABASE, where the name is the client's. */
		if (p->env[i][strlen(p->env[i]) - 1] == '=')
			continue;
		env[count] = strdup(p->env[i]);
		is_fine = env[count++] != NULL;
	}
	pthread_mutex_unlock(&p->lock);
	order.env = env;
	if (problem != NULL)
		note(p, problem, "");
	else if (!is_fine)
		note(p, "out of memory", "");
	else if (!child_run(&order, &answer))
		note(p, answer.why, answer.errors);
	for (size_t i = 0; i < ENV_COUNT; i++)
		free(env[i]);
	return answer.line;
}

void route_password_fetch(struct route_password *p)
{
	char *value, *old = NULL;
	uint32_t epoch;

	pthread_mutex_lock(&p->lock);
	epoch = p->epoch;
	pthread_mutex_unlock(&p->lock);
	value = p->path != NULL ? read_file(p) : run(p);
	pthread_mutex_lock(&p->lock);
	p->tried_us = clock_now_us();
	p->has_failed = value == NULL;
	if (epoch != p->epoch || p->is_changing) {
		/* For a host that is another one now: who waited asks again. */
		p->has_failed = false;
		old = value;
	} else if (value != NULL) {
		old = p->value;
		p->value = value;
		p->version++;
		p->fetched_us = p->tried_us;
		p->is_doubted = false;
	} else {
		p->failures++;
	}
	pthread_mutex_unlock(&p->lock);
	text_wipe(old);
}

void route_password_give_up(struct route_password *p, const char *why)
{
	note(p, why, "");
	pthread_mutex_lock(&p->lock);
	p->tried_us = clock_now_us();
	p->has_failed = true;
	p->failures++;
	pthread_mutex_unlock(&p->lock);
}

void route_password_report(struct route_password *p)
{
	char user[160], reason[2 * CHILD_WHY_MAX], said[2 * CHILD_ERRORS_MAX];
	bool has_failed;

	pthread_mutex_lock(&p->lock);
	has_failed = p->has_failed;
	(void)slog_quote(reason, sizeof(reason), p->why, strlen(p->why));
	(void)slog_quote(said, sizeof(said), p->said, strlen(p->said));
	pthread_mutex_unlock(&p->lock);
	atomic_fetch_add(&p->host->password_fetches, 1);
	if (!has_failed)
		return;
	atomic_fetch_add(&p->host->password_failures, 1);
	SLOG_LIMITED(WARN, "password-failed", "host=%s user=%s source=%s reason=%s said=%s",
		p->host->name, slog_quote(user, sizeof(user), p->user, strlen(p->user)),
		p->path != NULL ? "password_file" : "password_command", reason, said);
}

void route_password_settle(struct route_password *p, struct list *waiters)
{
	pthread_mutex_lock(&p->lock);
	p->is_fetching = false;
	list_splice_back(waiters, &p->waiters);
	pthread_mutex_unlock(&p->lock);
}

/* SPDX-License-Identifier: ISC */
#include "session/lookup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fair.h"
#include "base/slog.h"
#include "pg/valid_until.h"
#include "session/client_priv.h"
#include "session/errand.h"

enum {
	LOOKUP_TIMEOUT_US = 10000000,
	LOOKUP_DOUBT_US = 1000000,
	LOOKUP_SECRET_MAX = 4096
};

enum { COLUMN_NAME, COLUMN_SECRET, COLUMN_UNTIL, COLUMNS };

/* Of what is asked, and of whom. */
struct lookup_key {
	struct route_host *host;
	char *dbname;                   /* "": the host's */
	char *sql;
	char *user;
};

/* A client's question on its way to worker 0 and, with the answer, back. */
struct lookup {
	struct mail mail;
	struct worker *from;
	uint32_t slot;
	uint64_t id;
	bool is_doubt;                  /* no answer is waited for */
	struct lookup_key key;
	uint64_t ttl_us;
	uint64_t negative_ttl_us;
	uint64_t source;                /* the client's address */
	struct entry *entry;            /* that it waits for */
	struct list_node in_entry;
	struct fair_item turn;          /* in the host's queue, until its user is asked for */
	uint64_t until_us;              /* its turn comes, or it has waited in vain */
	enum lookup_result result;
	char *secret;
	struct pool_error error;
};

/* Of a host: the router has one connection for all that is asked there. */
struct host_queue {
	struct list_node in_all;
	struct worker *worker;
	struct route_host *host;
	struct fair waiting;            /* lookups */
	struct entry *asking;           /* NULL: nothing is asked */
	bool is_choosing;
};

enum entry_state { ENTRY_WAITING, ENTRY_ASKING, ENTRY_KNOWN, ENTRY_UNKNOWN };

struct entry {
	struct hash_node node;
	struct list_node in_order;      /* of those in the same state, oldest first */
	struct lookups *all;
	struct host_queue *queue;
	struct worker *worker;
	struct errand errand;
	enum entry_state state;
	struct lookup_key key;
	uint64_t generation;            /* of the configuration */
	uint64_t read_us;
	uint64_t until_us;              /* when it is too old */
	char *secret;                   /* KNOWN */
	int64_t valid_until_us;         /* by the calendar */
	struct list waiters;
	uint32_t rows;
	const char *problem;            /* with the answer; NULL: none */
};

struct lookups {
	struct list queues;
	struct hash_table entries;
	struct list order[ENTRY_UNKNOWN + 1];
	uint32_t counts[ENTRY_UNKNOWN + 1];
};

/* --- memory ---------------------------------------------------------------------------- */

static void text_wipe(char *text)
{
	if (text != NULL)
		explicit_bzero(text, strlen(text));
	free(text);
}

static void key_finish(struct lookup_key *key)
{
	free(key->dbname);
	free(key->sql);
	free(key->user);
}

static bool key_copy(struct lookup_key *to, const struct lookup_key *from)
{
	*to = (struct lookup_key){ .host = from->host,
		.dbname = strdup(from->dbname),
		.sql = strdup(from->sql),
		.user = strdup(from->user) };
	if (to->dbname != NULL && to->sql != NULL && to->user != NULL)
		return true;
	key_finish(to);
	return false;
}

static uint64_t key_hash(const struct lookup_key *key)
{
	return hash_mix(key->host->index, hash_bytes(key->user, strlen(key->user)));
}

static bool key_same(const struct lookup_key *a, const struct lookup_key *b)
{
	return a->host == b->host && strcmp(a->user, b->user) == 0 &&
		strcmp(a->dbname, b->dbname) == 0 && strcmp(a->sql, b->sql) == 0;
}

static void lookup_free(struct lookup *l)
{
	key_finish(&l->key);
	text_wipe(l->secret);
	free(l);
}

static void entry_enter(struct entry *e, enum entry_state state)
{
	list_remove(&e->in_order);
	e->all->counts[e->state]--;
	e->state = state;
	e->all->counts[state]++;
	list_push_back(&e->all->order[state], &e->in_order);
}

/* It was asked for, or waits no longer. */
static void leave_queue(struct lookup *l)
{
	(void)fair_remove(&l->entry->queue->waiting, &l->turn);
}

static void entry_free(struct entry *e)
{
	struct list_node *node;

	while ((node = list_pop_front(&e->waiters)) != NULL) {
		struct lookup *l = container_of(node, struct lookup, in_entry);

		leave_queue(l);
		lookup_free(l);
	}
	list_remove(&e->in_order);
	e->all->counts[e->state]--;
	hash_table_remove(&e->all->entries, &e->node);
	text_wipe(e->secret);
	key_finish(&e->key);
	free(e);
}

struct lookups *lookups_create(void)
{
	struct lookups *all = calloc(1, sizeof(*all));

	if (all == NULL || hash_table_init(&all->entries, 64) < 0) {
		free(all);
		return NULL;
	}
	list_init(&all->queues);
	for (size_t i = 0; i < COUNT_OF(all->order); i++)
		list_init(&all->order[i]);
	return all;
}

void lookups_destroy(struct lookups *all)
{
	struct list_node *node;

	if (all == NULL)
		return;
	for (size_t i = 0; i < COUNT_OF(all->order); i++) {
		while ((node = list_first(&all->order[i])) != NULL)
			entry_free(container_of(node, struct entry, in_order));
	}
	while ((node = list_pop_front(&all->queues)) != NULL)
		free(container_of(node, struct host_queue, in_all));
	hash_table_finish(&all->entries);
	free(all);
}

/* --- answering ------------------------------------------------------------------------- */

static void deliver_answer(struct mail *mail, struct worker *w)
{
	struct lookup *l = container_of(mail, struct lookup, mail);
	struct client *c = client_find_id(w, l->slot, l->id);
	struct lookup_answer answer = { .result = l->result, .secret = l->secret,
		.error = &l->error };

	if (c != NULL)
		client_auth_found(c, &answer);
	lookup_free(l);
}

static void send_back(struct lookup *l)
{
	l->mail.deliver = deliver_answer;
	list_node_init(&l->mail.node);
	worker_post(l->from, &l->mail);
}

static void answer_failed(struct lookup *l, const struct pool_error *error)
{
	l->result = LOOKUP_FAILED;
	l->error = *error;
	send_back(l);
}

static void answer(const struct entry *e, struct lookup *l)
{
	static const struct pool_error no_memory = { "53200", "out of memory" };

	l->result = LOOKUP_UNKNOWN;
	if (e->state == ENTRY_KNOWN) {
		bool is_valid = (int64_t)clock_wall_us() < e->valid_until_us;

		l->result = is_valid ? LOOKUP_FOUND : LOOKUP_EXPIRED;
		l->secret = strdup(e->secret);
		if (l->secret == NULL) {
			answer_failed(l, &no_memory);
			return;
		}
	}
	send_back(l);
}

static void answer_all(struct entry *e, const struct pool_error *error)
{
	struct list_node *node;

	while ((node = list_pop_front(&e->waiters)) != NULL) {
		struct lookup *l = container_of(node, struct lookup, in_entry);

		if (error == NULL)
			answer(e, l);
		else
			answer_failed(l, error);
	}
}

/* --- the query ------------------------------------------------------------------------- */

static bool is_user(const struct entry *e, const struct errand_column *column)
{
	return column->data != NULL && strlen(e->key.user) == column->len &&
		memcmp(column->data, e->key.user, column->len) == 0;
}

static bool take_secret(struct entry *e, const struct errand_column *column)
{
	if (column->len > LOOKUP_SECRET_MAX ||
		(column->len > 0 && memchr(column->data, 0, column->len) != NULL))
		return false;
	text_wipe(e->secret);
	e->secret = column->data == NULL ? strdup("") : strndup(column->data, column->len);
	return e->secret != NULL;
}

static void on_row(struct errand *errand, const struct errand_column *columns, size_t count)
{
	struct entry *e = container_of(errand, struct entry, errand);

	if (++e->rows > 1)
		e->problem = "more than one row";
	else if (count < COLUMN_SECRET + 1 || count > COLUMNS)
		e->problem = "not two or three columns: name, secret, valid until";
	else if (!is_user(e, &columns[COLUMN_NAME]))
		e->problem = "the row is another user's";
	else if (!take_secret(e, &columns[COLUMN_SECRET]))
		e->problem = "the secret is no text of at most 4096 bytes";
	e->valid_until_us = INT64_MAX;
	if (e->problem == NULL && count == COLUMNS && columns[COLUMN_UNTIL].data != NULL &&
		!valid_until_parse(columns[COLUMN_UNTIL].data, columns[COLUMN_UNTIL].len,
			&e->valid_until_us))
		e->problem = "the third column is no time with time zone";
}

static void log_failure(const struct entry *e, const struct pool_error *error)
{
	char user[160], message[POOL_ERROR_TEXT_MAX * 2];

	SLOG_LIMITED(WARN, "auth-query-failed", "host=%s user=%s sqlstate=%s message=%s",
		e->key.host->name,
		slog_quote(user, sizeof(user), e->key.user, strlen(e->key.user)),
		error->sqlstate,
		slog_quote(message, sizeof(message), error->message, strlen(error->message)));
}

static const struct pool_error late = { "57014", "no answer in time" };

static void ask_next(struct host_queue *);

/* Forgets the oldest of those that are known, or are known not to be. */
static void make_room(struct lookups *all, enum entry_state state, uint32_t max)
{
	while (all->counts[state] > max)
		entry_free(container_of(list_first(&all->order[state]), struct entry, in_order));
}

/* PostgreSQL has told it. */
static void keep(struct entry *e)
{
	const struct lookup *first = container_of(list_first(&e->waiters), struct lookup, in_entry);
	uint64_t ttl_us = e->rows > 0 ? first->ttl_us : first->negative_ttl_us;

	e->read_us = worker_now(e->worker);
	e->until_us = e->read_us + ttl_us;
	entry_enter(e, e->rows > 0 ? ENTRY_KNOWN : ENTRY_UNKNOWN);
	answer_all(e, NULL);
	if (ttl_us == 0) {
		entry_free(e);
		return;
	}
	make_room(e->all, ENTRY_KNOWN, LOOKUP_KNOWN_MAX);
	make_room(e->all, ENTRY_UNKNOWN, LOOKUP_UNKNOWN_MAX);
}

static void on_done(struct errand *errand, enum errand_result result,
	const struct pool_error *error)
{
	struct entry *e = container_of(errand, struct entry, errand);
	struct pool_error bad = { "58000", "" };
	struct host_queue *q = e->queue;

	q->asking = NULL;
	if (result == ERRAND_ABORTED)
		return;
	if (result == ERRAND_TIMEOUT && error->sqlstate[0] == '\0')
		error = &late;
	if (result == ERRAND_OK && e->problem != NULL) {
		(void)snprintf(bad.message, sizeof(bad.message), "%s", e->problem);
		result = ERRAND_ERROR;
		error = &bad;
	}
	if (result == ERRAND_OK) {
		keep(e);
	} else {
		log_failure(e, error);
		answer_all(e, error);
		entry_free(e);
	}
	ask_next(q);
}

static const struct errand_ops entry_ops = { .row = on_row, .done = on_done };

static void ask(struct entry *e)
{
	struct directory *d = e->worker->router->directory;

	list_for_each(&e->waiters, node)
		leave_queue(container_of(node, struct lookup, in_entry));
	entry_enter(e, ENTRY_ASKING);
	e->queue->asking = e;
	e->generation = directory_generation(d);
	e->rows = 0;
	e->problem = NULL;
	e->errand.param = e->key.user;
	errand_start(&e->errand, e->worker, e->key.host,
		e->key.dbname[0] == '\0' ? NULL : e->key.dbname, e->key.sql, LOOKUP_TIMEOUT_US);
}

/* --- whose turn it is ------------------------------------------------------------------ */

static void refuse(struct lookup *l, const struct pool_error *why)
{
	struct entry *e = l->entry;

	leave_queue(l);
	list_remove(&l->in_entry);
	answer_failed(l, why);
	if (list_first(&e->waiters) == NULL)
		entry_free(e);
}

/* An errand that cannot begin is over at once, and calls this again. */
static void ask_next(struct host_queue *q)
{
	struct fair_item *item;

	if (q->is_choosing)
		return;
	q->is_choosing = true;
	while (q->asking == NULL && (item = fair_pop(&q->waiting)) != NULL) {
		struct lookup *l = container_of(item, struct lookup, turn);

		if (worker_now(q->worker) < l->until_us)
			ask(l->entry);
		else
			refuse(l, &late);
	}
	q->is_choosing = false;
}

static void wait_for_turn(struct lookup *l)
{
	static const struct pool_error full = { "53300", "too many wait for users' passwords" };
	struct host_queue *q = l->entry->queue;
	struct fair_item *out;

	if (!fair_push(&q->waiting, &l->turn, l->source, &out)) {
		refuse(l, &full);
		return;
	}
	if (out != NULL)
		refuse(container_of(out, struct lookup, turn), &full);
	ask_next(q);
}

static struct host_queue *queue_of(struct worker *w, struct route_host *host)
{
	struct host_queue *q;

	list_for_each(&w->lookups->queues, node) {
		q = container_of(node, struct host_queue, in_all);
		if (q->host == host)
			return q;
	}
	q = calloc(1, sizeof(*q));
	if (q == NULL)
		return NULL;
	q->worker = w;
	q->host = host;
	fair_init(&q->waiting, LOOKUP_WAITING_MAX);
	list_push_back(&w->lookups->queues, &q->in_all);
	return q;
}

/* --- worker 0 -------------------------------------------------------------------------- */

static struct entry *find(struct lookups *all, const struct lookup_key *key)
{
	struct hash_node *node = hash_table_find(&all->entries, key_hash(key));

	for (; node != NULL; node = hash_next(node)) {
		struct entry *e = container_of(node, struct entry, node);

		if (key_same(&e->key, key))
			return e;
	}
	return NULL;
}

static struct entry *add(struct worker *w, const struct lookup_key *key)
{
	struct host_queue *q = queue_of(w, key->host);
	struct lookups *all = w->lookups;
	struct entry *e = calloc(1, sizeof(*e));

	if (q == NULL || e == NULL || !key_copy(&e->key, key)) {
		free(e);
		return NULL;
	}
	e->all = all;
	e->queue = q;
	e->worker = w;
	e->state = ENTRY_WAITING;
	errand_init(&e->errand, &entry_ops);
	list_init(&e->waiters);
	list_node_init(&e->in_order);
	list_push_back(&all->order[ENTRY_WAITING], &e->in_order);
	all->counts[ENTRY_WAITING]++;
	hash_table_add(&all->entries, &e->node, key_hash(key));
	return e;
}

static bool is_fresh(const struct entry *e)
{
	return worker_now(e->worker) < e->until_us &&
		e->generation == directory_generation(e->worker->router->directory);
}

static bool is_told(const struct entry *e)
{
	return e->state == ENTRY_KNOWN || e->state == ENTRY_UNKNOWN;
}

static void look_up(struct worker *w, struct lookup *l)
{
	static const struct pool_error no_memory = { "53200", "out of memory" };
	struct entry *e = find(w->lookups, &l->key);

	if (e != NULL && is_told(e) && is_fresh(e)) {
		answer(e, l);
		return;
	}
	if (e == NULL)
		e = add(w, &l->key);
	else if (is_told(e))
		entry_enter(e, ENTRY_WAITING);
	if (e == NULL) {
		answer_failed(l, &no_memory);
		return;
	}
	l->entry = e;
	l->until_us = worker_now(w) + LOOKUP_TIMEOUT_US;
	list_push_back(&e->waiters, &l->in_entry);
	if (e->state == ENTRY_WAITING)
		wait_for_turn(l);
}

static void doubt(struct worker *w, const struct lookup_key *key)
{
	struct entry *e = find(w->lookups, key);

	if (e != NULL && e->state == ENTRY_KNOWN &&
		worker_now(w) >= e->read_us + LOOKUP_DOUBT_US)
		e->until_us = 0;
}

static void deliver_question(struct mail *mail, struct worker *w)
{
	struct lookup *l = container_of(mail, struct lookup, mail);

	if (atomic_load(&w->has_ended) || l->is_doubt) {
		if (l->is_doubt && !atomic_load(&w->has_ended))
			doubt(w, &l->key);
		lookup_free(l);
		return;
	}
	look_up(w, l);
}

/* --- the client's worker --------------------------------------------------------------- */

static bool post(struct client *c, const struct route_lookup *where, const char *user,
	bool is_doubt)
{
	struct lookup *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return false;
	*l = (struct lookup){ .mail = { .deliver = deliver_question },
		.from = c->worker,
		.slot = c->slot,
		.id = c->id,
		.is_doubt = is_doubt,
		.key = { .host = where->host,
			.dbname = strdup(where->dbname == NULL ? "" : where->dbname),
			.sql = strdup(where->sql),
			.user = strdup(user) },
		.ttl_us = where->ttl_us,
		.negative_ttl_us = where->negative_ttl_us,
		.source = (uint64_t)(uintptr_t)c->source };
	list_node_init(&l->mail.node);
	fair_item_init(&l->turn);
	list_node_init(&l->in_entry);
	if (l->key.dbname == NULL || l->key.sql == NULL || l->key.user == NULL) {
		lookup_free(l);
		return false;
	}
	worker_post(c->worker->router->workers[0], &l->mail);
	return true;
}

bool lookup_start(struct client *c, const struct route_lookup *where, const char *user)
{
	return post(c, where, user, false);
}

void lookup_doubt(struct client *c, const struct route_lookup *where, const char *user)
{
	/* Without memory it is asked anew when it is too old. */
	if (!post(c, where, user, true))
		SLOG_LIMITED(WARN, "auth-query-doubt", "error=\"%s\"", "out of memory");
}

/* SPDX-License-Identifier: ISC */
/*
 * Long because statements, their names and what servers have of them share their insides.
 */
#include "session/prepared.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "session/facts.h"
#include "sql/statement_may.h"

#define NAME_PREFIX "pgtandem_s"

/* struct prepared.owner: no client has this number. */
#define SEVERAL UINT64_MAX

enum { BUCKETS_MIN = 8 };

struct prepared_registry {
	pthread_mutex_t lock;
	struct hash_table table;
	_Atomic uint32_t refs; /* the owner's, and one for each statement */
};

static _Atomic uint64_t next_id;
static _Atomic uint64_t all_bytes;
static _Atomic uint64_t schema; /* counts what may have changed tables */

/* --- the registry --------------------------------------------------------------------
 */

struct prepared_registry *prepared_registry_create(void)
{
	struct prepared_registry *r = calloc(1, sizeof(*r));

	if (r == NULL || hash_table_init(&r->table, BUCKETS_MIN) < 0) {
		free(r);
		return NULL;
	}
	pthread_mutex_init(&r->lock, NULL);
	atomic_init(&r->refs, 1);
	return r;
}

void prepared_registry_release(struct prepared_registry *r)
{
	if (r == NULL || atomic_fetch_sub(&r->refs, 1) != 1)
		return;
	hash_table_finish(&r->table);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

static struct prepared *registry_find(struct prepared_registry *r, const void *body,
	size_t len, uint64_t state_key, uint64_t hash)
{
	for (struct hash_node *node = hash_table_find(&r->table, hash); node != NULL;
		node = hash_next(node)) {
		struct prepared *p = container_of(node, struct prepared, node);

		if (p->len == len && p->state_key == state_key &&
			memcmp(p->body, body, len) == 0)
			return p;
	}
	return NULL;
}

static struct prepared *create(struct prepared_registry *r, const void *body, size_t len,
	uint64_t print)
{
	size_t text_len = strnlen(body, len);
	unsigned may = statement_may(body, text_len);
	struct prepared *p = malloc(sizeof(*p) + len);

	if (p == NULL)
		return NULL;
	memset(p, 0, sizeof(*p));
	p->registry = r;
	atomic_init(&p->refs, 1);
	p->id = atomic_fetch_add(&next_id, 1) + 1;
	(void)snprintf(p->name, sizeof(p->name), NAME_PREFIX "%lx", (unsigned long)p->id);
	p->schema = atomic_load(&schema);
	p->print = print;
	p->len = (uint32_t)len;
	p->text_len = (uint32_t)text_len;
	memcpy(p->body, body, len);
	p->may_touch = (may & STATEMENT_MAY_SET) != 0;
	p->may_name = (may & STATEMENT_MAY_NAME) != 0;
	p->may_make = (may & STATEMENT_MAY_MAKE) != 0;
	p->may_pin = (may & STATEMENT_MAY_PIN) != 0;
	atomic_fetch_add(&r->refs, 1);
	atomic_fetch_add(&all_bytes, sizeof(*p) + len);
	return p;
}

static void unlist(struct prepared *p)
{
	if (p->is_listed)
		hash_table_remove(&p->registry->table, &p->node);
	p->is_listed = false;
}

struct prepared *prepared_get(struct prepared_registry *r, const void *body, size_t len,
	uint64_t state_key, uint64_t who)
{
	uint64_t print = hash_bytes(body, len), hash = hash_mix(print, state_key);
	struct prepared *p;

	pthread_mutex_lock(&r->lock);
	p = registry_find(r, body, len, state_key, hash);
	if (p != NULL && p->schema == atomic_load(&schema)) {
		atomic_fetch_add(&p->refs, 1);
		if (atomic_load_explicit(&p->owner, memory_order_relaxed) != who)
			atomic_store_explicit(&p->owner, SEVERAL, memory_order_relaxed);
		pthread_mutex_unlock(&r->lock);
		return p;
	}
	if (p != NULL)
		unlist(p);
	p = create(r, body, len, print);
	if (p != NULL) {
		p->state_key = state_key;
		atomic_init(&p->owner, who);
		p->is_listed = true;
		hash_table_add(&r->table, &p->node, hash);
	}
	pthread_mutex_unlock(&r->lock);
	return p;
}

bool prepared_seclude(struct prepared *p, uint64_t who)
{
	bool is_owner;

	/* Nobody gets it back from several. */
	if (atomic_load_explicit(&p->owner, memory_order_relaxed) != who)
		return false;
	pthread_mutex_lock(&p->registry->lock);
	is_owner = atomic_load_explicit(&p->owner, memory_order_relaxed) == who;
	if (is_owner) {
		unlist(p);
		p->is_alone = true;
	}
	pthread_mutex_unlock(&p->registry->lock);
	return is_owner;
}

struct prepared *prepared_get_alone(
	struct prepared_registry *r, const void *body, size_t len, uint64_t state_key)
{
	struct prepared *p = create(r, body, len, hash_bytes(body, len));

	if (p == NULL)
		return NULL;
	p->is_alone = true;
	p->state_key = state_key;
	return p;
}

struct prepared *prepared_get_sql(struct prepared_registry *r, const char *text, size_t len)
{
	static const char end[3]; /* of the text, and no types */
	struct prepared *p;
	struct buf body;

	buf_init(&body, 0);
	buf_add(&body, text, len);
	buf_add(&body, end, sizeof(end));
	p = buf_ok(&body) ? prepared_get_alone(r, buf_data(&body), buf_len(&body), 0) :
			   NULL;
	if (p != NULL)
		p->is_sql = true;
	buf_finish(&body);
	return p;
}

struct prepared *prepared_ref(struct prepared *p)
{
	atomic_fetch_add(&p->refs, 1);
	return p;
}

bool prepared_is_current(const struct prepared *p)
{
	return !atomic_load_explicit(&p->is_retired, memory_order_relaxed) &&
		p->schema == atomic_load_explicit(&schema, memory_order_acquire);
}

bool prepared_is_mine_only(const struct prepared *p)
{
	return atomic_load(&p->refs) == 1;
}

/* Not the last one?  Then nobody needs the lock. */
static bool unref_quickly(struct prepared *p)
{
	uint32_t refs = atomic_load_explicit(&p->refs, memory_order_relaxed);

	while (refs > 1) {
		if (atomic_compare_exchange_weak(&p->refs, &refs, refs - 1))
			return true;
	}
	return false;
}

void prepared_unref(struct prepared *p)
{
	struct prepared_registry *r;
	bool is_last;

	if (p == NULL || unref_quickly(p))
		return;
	r = p->registry;
	/* Under the lock, so that nobody finds what is about to go. */
	pthread_mutex_lock(&r->lock);
	is_last = atomic_fetch_sub(&p->refs, 1) == 1;
	if (is_last)
		unlist(p);
	pthread_mutex_unlock(&r->lock);
	if (!is_last)
		return;
	atomic_fetch_sub(&all_bytes, sizeof(*p) + p->len);
	facts_free(atomic_load(&p->facts));
	free(p);
	prepared_registry_release(r);
}

void prepared_retire(struct prepared *p, bool is_stale)
{
	struct prepared_registry *r = p->registry;

	pthread_mutex_lock(&r->lock);
	if (is_stale)
		atomic_store(&p->is_stale, true);
	atomic_store(&p->is_retired, true);
	unlist(p);
	pthread_mutex_unlock(&r->lock);
}

void prepared_schema_changed(void)
{
	atomic_fetch_add(&schema, 1);
}

bool prepared_is_our_name(const char *name)
{
	return strncmp(name, NAME_PREFIX, sizeof(NAME_PREFIX) - 1) == 0;
}

const char *prepared_no_name(void)
{
	return NAME_PREFIX "0";
}

/* No number, as the others are. */
const char *prepared_text_name(void)
{
	return NAME_PREFIX "text";
}

bool prepared_may_name(const char *text, size_t len)
{
	return (statement_may(text, len) & STATEMENT_MAY_NAME) != 0;
}

uint64_t prepared_bytes(void)
{
	return atomic_load(&all_bytes);
}

/* --- names
 * ------------------------------------------------------------------------------ */

static size_t name_len(const char *name)
{
	return strnlen(name, PREPARED_NAME_MAX);
}

struct prepared_act *prepared_act_create(enum prepared_does does, const char *name,
	struct prepared *p)
{
	struct prepared_act *act = calloc(1, sizeof(*act));

	if (act == NULL) {
		prepared_unref(p);
		return NULL;
	}
	act->refs = 1;
	act->does = does;
	act->statement = p;
	memcpy(act->name, name, name_len(name));
	return act;
}

struct prepared_act *prepared_act_ref(struct prepared_act *act)
{
	act->refs++;
	return act;
}

void prepared_act_unref(struct prepared_act *act)
{
	if (act == NULL || --act->refs > 0)
		return;
	prepared_unref(act->statement);
	free(act);
}

static uint64_t name_bytes(const struct prepared_name *n)
{
	return sizeof(*n) + n->len + 1 + (n->statement == NULL ? 0 : n->statement->len);
}

struct prepared_name *prepared_names_find(
	const struct prepared_names *names, const char *name)
{
	size_t len = name_len(name);

	if (names->table.buckets == NULL)
		return NULL;
	for (struct hash_node *node =
			hash_table_find(&names->table, hash_bytes(name, len));
		node != NULL; node = hash_next(node)) {
		struct prepared_name *n = container_of(node, struct prepared_name, node);

		if (n->len == len && memcmp(n->text, name, len) == 0)
			return n;
	}
	return NULL;
}

static void link_name(struct prepared_names *names, struct prepared_name *n)
{
	hash_table_add(&names->table, &n->node, hash_bytes(n->text, n->len));
	names->bytes += name_bytes(n);
	names->changes++;
	n->era = names->era + 1;
	n->is_linked = true;
	n->refs++;
}

struct prepared_name *prepared_name_create(const char *name, struct prepared *p)
{
	size_t len = name_len(name);
	struct prepared_name *n = malloc(sizeof(*n) + len + 1);

	if (n == NULL) {
		prepared_unref(p);
		return NULL;
	}
	memset(n, 0, sizeof(*n));
	n->refs = 1;
	n->statement = p;
	n->len = (uint32_t)len;
	memcpy(n->text, name, len);
	n->text[len] = '\0';
	return n;
}

struct prepared_name *prepared_names_add(
	struct prepared_names *names, const char *name, struct prepared *p)
{
	struct prepared_name *n = prepared_name_create(name, p);

	bool is_linked;

	if (n == NULL)
		return NULL;
	if (names->table.buckets != NULL ||
		hash_table_init(&names->table, BUCKETS_MIN) == 0)
		link_name(names, n);
	is_linked = n->is_linked;
	prepared_name_unref(n);
	return is_linked ? n : NULL;
}

void prepared_names_set(
	struct prepared_names *names, struct prepared_name *n, struct prepared *p)
{
	names->bytes -= n->is_linked ? name_bytes(n) : 0;
	prepared_unref(n->statement);
	n->statement = p;
	n->is_told = false;
	names->changes++;
	names->bytes += n->is_linked ? name_bytes(n) : 0;
}

void prepared_names_unlink(struct prepared_names *names, struct prepared_name *n)
{
	if (!n->is_linked)
		return;
	hash_table_remove(&names->table, &n->node);
	names->bytes -= name_bytes(n);
	names->changes++;
	n->is_linked = false;
	prepared_name_unref(n);
}

void prepared_names_relink(struct prepared_names *names, struct prepared_name *n)
{
	struct prepared_name *other;

	if (n->is_linked || (n->era != 0 && n->era != names->era + 1))
		return;
	n->era = names->era + 1;
	other = prepared_names_find(names, n->text);
	if (other != NULL && other->hidden == NULL)
		other->hidden = prepared_name_ref(n);
	if (other != NULL)
		return;
	if (names->table.buckets != NULL ||
		hash_table_init(&names->table, BUCKETS_MIN) == 0)
		link_name(names, n);
}

void prepared_names_undo(struct prepared_names *names, struct prepared_name *n)
{
	struct prepared_name *hidden = n->hidden, *other;

	n->hidden = NULL;
	if (n->is_linked) {
		prepared_names_unlink(names, n);
		if (hidden != NULL)
			prepared_names_relink(names, hidden);
		prepared_name_unref(hidden);
		return;
	}
	other = prepared_names_find(names, n->text);
	if (other != NULL && other->hidden == n) {
		other->hidden = hidden;
		prepared_name_unref(n);
	} else {
		prepared_name_unref(hidden);
	}
}

void prepared_names_each(struct prepared_names *names,
	void (*f)(struct prepared_name *, void *), void *arg)
{
	struct hash_node *node, *next;

	if (names->table.buckets == NULL)
		return;
	for (node = hash_table_walk(&names->table, NULL); node != NULL; node = next) {
		next = hash_table_walk(&names->table, node);
		f(container_of(node, struct prepared_name, node), arg);
	}
}

static void unlink_from(struct prepared_name *n, void *names)
{
	prepared_names_unlink(names, n);
}

void prepared_names_clear(struct prepared_names *names)
{
	if (names->table.buckets == NULL)
		return;
	prepared_names_each(names, unlink_from, names);
	hash_table_finish(&names->table);
	*names = (struct prepared_names){ .changes = names->changes,
		.texts = names->texts,
		.era = names->era };
}

struct prepared_name *prepared_name_ref(struct prepared_name *n)
{
	n->refs++;
	return n;
}

void prepared_name_unref(struct prepared_name *n)
{
	if (n == NULL || --n->refs > 0)
		return;
	prepared_unref(n->statement);
	prepared_act_unref(n->act);
	prepared_name_unref(n->hidden);
	free(n);
}

/* --- sets
 * --------------------------------------------------------------------------------- */

struct set_entry {
	struct hash_node node;
	struct list_node in_used;
	struct prepared *statement;
	uint64_t stamp_us;              /* 0: none */
};

void prepared_set_init(struct prepared_set *set)
{
	memset(set, 0, sizeof(*set));
	list_init(&set->used);
}

static struct set_entry *set_find(
	const struct prepared_set *set, const struct prepared *p)
{
	if (set->table.buckets == NULL)
		return NULL;
	for (struct hash_node *node = hash_table_find(&set->table, p->id); node != NULL;
		node = hash_next(node)) {
		struct set_entry *e = container_of(node, struct set_entry, node);

		if (e->statement == p)
			return e;
	}
	return NULL;
}

bool prepared_set_use(struct prepared_set *set, struct prepared *p)
{
	struct set_entry *e = set_find(set, p);

	if (e == NULL)
		return false;
	list_remove(&e->in_used);
	list_push_front(&set->used, &e->in_used);
	return true;
}

uint64_t prepared_set_age(const struct prepared_set *set, const struct prepared *p,
	uint64_t now_us)
{
	const struct set_entry *e = set_find(set, p);

	return e == NULL || e->stamp_us == 0 ? UINT64_MAX : now_us - e->stamp_us;
}

void prepared_set_stamp(struct prepared_set *set, const struct prepared *p, uint64_t now_us)
{
	struct set_entry *e = set_find(set, p);

	if (e != NULL)
		e->stamp_us = now_us;
}

bool prepared_set_add(struct prepared_set *set, struct prepared *p)
{
	struct set_entry *e;

	if (prepared_set_use(set, p))
		return true;
	e = calloc(1, sizeof(*e));
	if (e == NULL ||
		(set->table.buckets == NULL &&
			hash_table_init(&set->table, BUCKETS_MIN) < 0)) {
		free(e);
		return false;
	}
	e->statement = prepared_ref(p);
	list_node_init(&e->in_used);
	hash_table_add(&set->table, &e->node, p->id);
	list_push_front(&set->used, &e->in_used);
	atomic_fetch_add_explicit(&set->count, 1, memory_order_relaxed);
	set->bytes += p->len;
	return true;
}

static void set_drop(struct prepared_set *set, struct set_entry *e)
{
	hash_table_remove(&set->table, &e->node);
	list_remove(&e->in_used);
	atomic_fetch_sub_explicit(&set->count, 1, memory_order_relaxed);
	set->bytes -= e->statement->len;
	prepared_unref(e->statement);
	free(e);
}

void prepared_set_remove(struct prepared_set *set, struct prepared *p)
{
	struct set_entry *e = set_find(set, p);

	if (e != NULL)
		set_drop(set, e);
}

struct prepared *prepared_set_holding(const struct prepared_set *set,
	const struct prepared *p)
{
	list_for_each(&set->used, node) {
		struct set_entry *e = container_of(node, struct set_entry, in_used);

		if (e->statement == p)
			return e->statement;
	}
	return NULL;
}

struct prepared *prepared_set_oldest(const struct prepared_set *set)
{
	if (list_is_empty(&set->used))
		return NULL;
	return container_of(set->used.head.prev, struct set_entry, in_used)->statement;
}

void prepared_set_clear(struct prepared_set *set)
{
	struct list_node *node;

	while ((node = list_first(&set->used)) != NULL)
		set_drop(set, container_of(node, struct set_entry, in_used));
	if (set->table.buckets != NULL)
		hash_table_finish(&set->table);
}

/* SPDX-License-Identifier: ISC */
#include "session/login.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "session/unseen.h"

struct welcome {
	struct params params;
	uint64_t key;
};

/* What opens PostgreSQL. */
struct proof {
	struct secret_keys keys;        /* iterations 0: none */
	char *password;
	char *md5;
	uint64_t version;               /* hash of the stored secret; 0: none yet */
};

struct pool_login {
	pthread_mutex_t lock;
	struct proof proof;
	struct prepared_registry *registry;
	struct route_host *host;
	uint32_t generation;            /* of the host, when the welcomes were made */
	struct welcome welcomes[LOGIN_WELCOMES_MAX];
	uint32_t welcome_count;
	struct unseen unseen;
};

/* One user's secret, derived from the text it was stored as. */
struct derived {
	struct hash_node node;
	uint64_t stored_hash;
	char *user;
	struct secret_scram secret;
};

static void text_wipe(char *text)
{
	if (text == NULL)
		return;
	explicit_bzero(text, strlen(text));
	free(text);
}

static void proof_wipe(struct proof *p)
{
	secret_keys_wipe(&p->keys);
	text_wipe(p->password);
	text_wipe(p->md5);
	*p = (struct proof){ .version = 0 };
}

struct pool_login *login_create(struct route_pool *pool)
{
	struct pool_login *l = calloc(1, sizeof(*l));

	if (l == NULL || (l->registry = prepared_registry_create()) == NULL) {
		free(l);
		return NULL;
	}
	pthread_mutex_init(&l->lock, NULL);
	unseen_init(&l->unseen);
	l->host = pool->host;
	return l;
}

void login_destroy(void *arg)
{
	struct pool_login *l = arg;

	login_forget_welcomes(l);
	proof_wipe(&l->proof);
	prepared_registry_release(l->registry);
	unseen_finish(&l->unseen);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

struct prepared_registry *login_registry(struct pool_login *l)
{
	return l->registry;
}

struct unseen *login_unseen(struct pool_login *l)
{
	return &l->unseen;
}

bool login_set_keys(struct pool_login *l, const struct secret_keys *keys)
{
	bool are_new;

	pthread_mutex_lock(&l->lock);
	are_new = !secret_keys_match(&l->proof.keys, keys->salt, keys->salt_len, keys->iterations) ||
		CRYPTO_memcmp(l->proof.keys.client_key, keys->client_key, SECRET_KEY_LEN) != 0;
	l->proof.keys = *keys;
	pthread_mutex_unlock(&l->lock);
	return are_new;
}

bool login_get_keys(struct pool_login *l, struct secret_keys *out)
{
	bool found;

	pthread_mutex_lock(&l->lock);
	found = l->proof.keys.iterations != 0;
	if (found)
		*out = l->proof.keys;
	pthread_mutex_unlock(&l->lock);
	return found;
}

static char *copy_text(const char *text)
{
	return text == NULL ? NULL : strdup(text);
}

bool login_set_password(struct pool_login *l, const char *password)
{
	char *copy = strdup(password), *old;
	bool is_new;

	if (copy == NULL)
		return false;
	pthread_mutex_lock(&l->lock);
	old = l->proof.password;
	is_new = old == NULL || strcmp(old, password) != 0;
	l->proof.password = copy;
	pthread_mutex_unlock(&l->lock);
	text_wipe(old);
	return is_new;
}

char *login_get_password(struct pool_login *l)
{
	char *copy;

	pthread_mutex_lock(&l->lock);
	copy = copy_text(l->proof.password);
	pthread_mutex_unlock(&l->lock);
	return copy;
}

static uint64_t version_of(const char *stored)
{
	return hash_bytes(stored, strlen(stored)) | 1;
}

bool login_set_version(struct pool_login *l, const char *stored)
{
	uint64_t version = version_of(stored);
	char *copy = NULL;
	bool is_same;

	/* As it was at the last login, mostly. */
	pthread_mutex_lock(&l->lock);
	is_same = l->proof.version == version;
	pthread_mutex_unlock(&l->lock);
	if (is_same)
		return false;
	if (secret_classify(stored) == SECRET_MD5)
		copy = strdup(stored);
	pthread_mutex_lock(&l->lock);
	if (l->proof.version != version) {
		if (l->proof.version != 0) {
			secret_keys_wipe(&l->proof.keys);
			text_wipe(l->proof.password);
			l->proof.password = NULL;
		}
		text_wipe(l->proof.md5);
		l->proof.md5 = copy;
		copy = NULL;
		l->proof.version = version;
	}
	pthread_mutex_unlock(&l->lock);
	text_wipe(copy);
	return true;
}

char *login_get_md5(struct pool_login *l)
{
	char *copy;

	pthread_mutex_lock(&l->lock);
	copy = copy_text(l->proof.md5);
	pthread_mutex_unlock(&l->lock);
	return copy;
}

static bool is_empty(const struct proof *p)
{
	return p->keys.iterations == 0 && p->password == NULL && p->version == 0;
}

static void proof_copy(struct proof *to, struct pool_login *from)
{
	pthread_mutex_lock(&from->lock);
	*to = from->proof;
	to->password = copy_text(to->password);
	to->md5 = copy_text(to->md5);
	pthread_mutex_unlock(&from->lock);
}

static bool are_keys_of(const struct secret_keys *keys, const char *stored)
{
	struct secret_scram secret, made;
	bool are;

	are = secret_parse_scram(stored, &secret) &&
		secret_keys_match(keys, secret.salt, secret.salt_len, secret.iterations) &&
		secret_from_keys(keys, &made);
	if (are) {
		are = CRYPTO_memcmp(made.stored_key, secret.stored_key, SECRET_KEY_LEN) == 0;
		secret_scram_wipe(&made);
	}
	secret_scram_wipe(&secret);
	return are;
}

bool login_inherit(struct pool_login *l, struct pool_login *from, const char *stored)
{
	struct proof copy, kept = { .version = 0 };
	bool is_news;

	proof_copy(&copy, from);
	if (stored == NULL) {
		kept = copy;
		copy = (struct proof){ .version = 0 };
	} else if (are_keys_of(&copy.keys, stored)) {
		kept.keys = copy.keys;
		kept.version = version_of(stored);
	}
	pthread_mutex_lock(&l->lock);
	is_news = is_empty(&l->proof) && !is_empty(&kept);
	if (is_news) {
		l->proof = kept;
		kept = (struct proof){ .version = 0 };
	}
	pthread_mutex_unlock(&l->lock);
	proof_wipe(&copy);
	proof_wipe(&kept);
	return is_news;
}

static struct welcome *find_welcome(struct pool_login *l, uint64_t key)
{
	for (uint32_t i = 0; i < l->welcome_count; i++) {
		if (l->welcomes[i].key == key)
			return &l->welcomes[i];
	}
	return NULL;
}

static void forget_welcomes(struct pool_login *l)
{
	for (uint32_t i = 0; i < l->welcome_count; i++)
		params_finish(&l->welcomes[i].params);
	l->welcome_count = 0;
}

/* Another PostgreSQL tells other things, in_hot_standby to begin with. */
static void forget_moved(struct pool_login *l)
{
	uint32_t generation = route_host_generation(l->host);

	if (generation != l->generation)
		forget_welcomes(l);
	l->generation = generation;
}

bool login_get_welcome(struct pool_login *l, uint64_t key, struct params *out)
{
	const struct welcome *w;
	bool found;

	pthread_mutex_lock(&l->lock);
	forget_moved(l);
	w = find_welcome(l, key);
	found = w != NULL && params_copy(out, &w->params);
	pthread_mutex_unlock(&l->lock);
	return found;
}

/* Under the lock. */
static void add_welcome(struct pool_login *l, uint64_t key, const struct params *params)
{
	struct welcome *w = &l->welcomes[l->welcome_count];

	if (l->welcome_count == LOGIN_WELCOMES_MAX)
		return;
	params_init(&w->params);
	w->key = key;
	if (params_copy(&w->params, params))
		l->welcome_count++;
	else
		params_finish(&w->params);
}

void login_set_welcome(struct pool_login *l, uint64_t key, const struct params *params)
{
	pthread_mutex_lock(&l->lock);
	forget_moved(l);
	if (find_welcome(l, key) == NULL)
		add_welcome(l, key, params);
	pthread_mutex_unlock(&l->lock);
}

void login_refresh_welcome(struct pool_login *l, const struct params *reported)
{
	struct welcome *w;

	pthread_mutex_lock(&l->lock);
	forget_moved(l);
	w = find_welcome(l, 0);
	if (w == NULL || !params_are_same(&w->params, reported)) {
		forget_welcomes(l);
		add_welcome(l, 0, reported);
	}
	pthread_mutex_unlock(&l->lock);
}

void login_forget_welcomes(struct pool_login *l)
{
	pthread_mutex_lock(&l->lock);
	forget_welcomes(l);
	pthread_mutex_unlock(&l->lock);
}

/* --- derived secrets -------------------------------------------------------------- */

static struct derived *derived_find(struct router *r, const char *user, uint64_t hash)
{
	for (struct hash_node *node = hash_table_find(&r->derived, hash); node != NULL;
		node = hash_next(node)) {
		struct derived *d = container_of(node, struct derived, node);

		if (strcmp(d->user, user) == 0)
			return d;
	}
	return NULL;
}

bool login_get_derived(struct router *r, const char *user, const char *stored,
	struct secret_scram *out)
{
	uint64_t stored_hash = hash_bytes(stored, strlen(stored));
	struct derived *d;
	bool found;

	pthread_mutex_lock(&r->derived_lock);
	d = derived_find(r, user, hash_bytes(user, strlen(user)));
	found = d != NULL && d->stored_hash == stored_hash;
	if (found)
		*out = d->secret;
	pthread_mutex_unlock(&r->derived_lock);
	return found;
}

static struct derived *derived_add(struct router *r, const char *user, uint64_t hash)
{
	struct derived *d;

	if (r->derived.count >= LOGIN_DERIVED_MAX)
		return NULL;
	d = calloc(1, sizeof(*d));
	if (d == NULL || (d->user = strdup(user)) == NULL) {
		free(d);
		return NULL;
	}
	hash_table_add(&r->derived, &d->node, hash);
	return d;
}

void login_set_derived(struct router *r, const char *user, const char *stored,
	const struct secret_scram *secret)
{
	uint64_t hash = hash_bytes(user, strlen(user));
	struct derived *d;

	pthread_mutex_lock(&r->derived_lock);
	d = derived_find(r, user, hash);
	if (d == NULL)
		d = derived_add(r, user, hash);
	if (d != NULL) {
		d->stored_hash = hash_bytes(stored, strlen(stored));
		d->secret = *secret;
	}
	pthread_mutex_unlock(&r->derived_lock);
}

void login_wipe_derived(struct router *r)
{
	struct hash_node *node;

	pthread_mutex_lock(&r->derived_lock);
	while ((node = hash_table_walk(&r->derived, NULL)) != NULL) {
		struct derived *d = container_of(node, struct derived, node);

		hash_table_remove(&r->derived, node);
		secret_scram_wipe(&d->secret);
		free(d->user);
		free(d);
	}
	pthread_mutex_unlock(&r->derived_lock);
}

/* SPDX-License-Identifier: ISC */
/*
 * What a client of a transaction port is told of settings (ParameterStatus).
 *
 * What servers report is not passed on: before each ReadyForQuery the client is told
 * where what holds for it now is not what it was told last.  PostgreSQL does the same
 * (guc.c, ReportChangedGUCOptions()).
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "pg/msg_out.h"
#include "session/client_advice.h"
#include "session/client_priv.h"
#include "session/server_priv.h"

enum { TOLD_BUCKETS = 16 };

/* Its startup values as PostgreSQL spells them. */
static void spell(struct params *mine, const struct params *settings)
{
	const char *name, *value;
	size_t pos = 0;

	while (params_next(settings, &pos, &name, &value)) {
		/* That is the client's own: welcomes are shared. */
		if (strcasecmp(name, "application_name") == 0)
			continue;
		/* Told in its encoding, and kept in the database's. */
		if (!text_is_ascii(value))
			continue;
		/* Without room they stay as they are, and mean the same. */
		if (params_get(mine, name) != NULL && !params_set(mine, name, value))
			break;
	}
	params_seal(mine);
}

/* Most clients of a worker were told the same: they share it. */
struct told {
	struct hash_node node;
	uint32_t refs;                  /* clients */
	struct params params;
};

static struct told *find(const struct worker *w, const struct params *params)
{
	struct hash_node *node;

	if (w->told.buckets == NULL)
		return NULL;
	for (node = hash_table_find(&w->told, params->key); node != NULL; node = hash_next(node)) {
		struct told *told = container_of(node, struct told, node);

		if (params_are_same(&told->params, params))
			return told;
	}
	return NULL;
}

/* Takes the settings over.  NULL without memory: everything is told again. */
static struct told *share(struct worker *w, struct params *params)
{
	struct told *told;

	params_seal_text(params);
	told = find(w, params);
	if (told != NULL) {
		params_finish(params);
		told->refs++;
		return told;
	}
	told = calloc(1, sizeof(*told));
	if (told == NULL ||
		(w->told.buckets == NULL && hash_table_init(&w->told, TOLD_BUCKETS) < 0)) {
		params_finish(params);
		free(told);
		return NULL;
	}
	buf_trim(&params->text);
	told->params = *params;
	told->refs = 1;
	hash_table_add(&w->told, &told->node, params->key);
	return told;
}

void client_told_forget(struct client *c)
{
	struct told *told = c->told;

	c->told = NULL;
	if (told == NULL || --told->refs > 0)
		return;
	hash_table_remove(&c->worker->told, &told->node);
	params_finish(&told->params);
	free(told);
}

bool client_told_set(struct client *c, const struct params *settings)
{
	struct params copy;

	client_told_forget(c);
	params_init(&copy);
	if (params_copy(&copy, settings))
		c->told = share(c->worker, &copy);
	else
		params_finish(&copy);
	return c->told != NULL;
}

void client_told_all(struct client *c, const struct params *settings)
{
	if (c->workload->mode == ROUTE_SESSION)
		return;
	spell(&c->params, settings);
	/* Without memory everything is told again. */
	(void)client_told_set(c, settings);
}

void client_told_changes(struct client *c, const struct params *reported, struct buf *out)
{
	const char *name, *value, *had;
	struct params now;
	size_t pos = 0;

	params_init(&now);
	/* Without memory it is told once more, which does no harm. */
	if (c->told != NULL && !params_copy(&now, &c->told->params))
		params_finish(&now);
	while (params_next(reported, &pos, &name, &value)) {
		had = params_get(&now, name);
		if (had != NULL && strcmp(had, value) == 0)
			continue;
		msg_out_parameter_status(out, name, value);
		/* Better once more than never. */
		if (!params_set(&now, name, value))
			params_remove(&now, name);
	}
	client_told_forget(c);
	c->told = share(c->worker, &now);
}

/* ReadyForQuery with what has to be told before it. */
static bool tell(struct client *c, const struct params *reported, char status, struct buf *out)
{
	if ((c->told == NULL ? 0 : c->told->params.key) == reported->key)
		return false;
	client_told_changes(c, reported, out);
	msg_out_ready_for_query(out, status);
	return true;
}

/* A setting whose name the text does not show, or too much of it: it holds for this
 * transaction. */
static bool warn(struct client *c, struct buf *out)
{
	static const struct msg_out_error lost = { .severity = "WARNING",
		.sqlstate = "01000",
		.message = "a setting is not kept behind this transaction, as its name is computed, longer than 127 bytes, given as another type than text, in an encoding that is not read here, or set by a prepared statement that is too long to be read each time that it runs",
		.hint = "On a transaction port the name in set_config() has to be a constant or a parameter; true as its third argument says that it is not to be kept." };

	if (LIKELY(!c->work->touched.is_lost && !client_advice_is_due(c)))
		return false;
	if (c->work->touched.is_lost)
		msg_out_notice(out, &lost);
	c->work->touched.is_lost = false;
	client_advice_notices(c, out);
	return true;
}

bool client_told_ready(struct client *c, struct server *s, char status, struct buf *out)
{
	bool is_warned;

	if (s->is_session)
		return false;
	is_warned = warn(c, out);
	if (tell(c, &s->reported, status, out))
		return true;
	if (is_warned)
		msg_out_ready_for_query(out, status);
	return is_warned;
}

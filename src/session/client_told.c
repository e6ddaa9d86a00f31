/* SPDX-License-Identifier: ISC */
/*
 * What a client of a transaction port is told of settings (ParameterStatus).
 *
 * What servers report is not passed on: before each ReadyForQuery the client is told
 * where what holds for it now is not what it was told last.  PostgreSQL does the same
 * (guc.c, ReportChangedGUCOptions()).
 */
#include <string.h>
#include <strings.h>

#include "pg/msg_out.h"
#include "session/client_priv.h"
#include "session/server_priv.h"

/* Its startup values as PostgreSQL spells them. */
static void spell(struct params *mine, const struct params *settings)
{
	const char *name, *value;
	size_t pos = 0;

	while (params_next(settings, &pos, &name, &value)) {
		/* That is the client's own: welcomes are shared. */
		if (strcasecmp(name, "application_name") == 0)
			continue;
		/* Without room they stay as they are, and mean the same. */
		if (params_get(mine, name) != NULL && !params_set(mine, name, value))
			break;
	}
	params_seal(mine);
}

void client_told_all(struct client *c, const struct params *settings)
{
	if (c->workload->mode == ROUTE_SESSION)
		return;
	spell(&c->params, settings);
	/* Without memory everything is told again. */
	if (!params_copy(&c->told, settings))
		params_finish(&c->told);
	buf_trim(&c->told.text);
	params_seal(&c->told);
}

void client_told_changes(struct client *c, const struct params *reported, struct buf *out)
{
	const char *name, *value, *told;
	size_t pos = 0;

	while (params_next(reported, &pos, &name, &value)) {
		told = params_get(&c->told, name);
		if (told != NULL && strcmp(told, value) == 0)
			continue;
		msg_out_parameter_status(out, name, value);
		/* Better once more than never. */
		if (!params_set(&c->told, name, value))
			params_remove(&c->told, name);
	}
	buf_trim(&c->told.text);
	params_seal(&c->told);
}

/* ReadyForQuery with what has to be told before it. */
static bool tell(struct client *c, const struct params *reported, char status, struct buf *out)
{
	if (c->told.key == reported->key)
		return false;
	client_told_changes(c, reported, out);
	msg_out_ready_for_query(out, status);
	return true;
}

/* set_config() whose name the text does not show: it holds for this transaction. */
static bool warn(struct client *c, struct buf *out)
{
	static const struct msg_out_error lost = { .severity = "WARNING",
		.sqlstate = "01000",
		.message = "a setting made by set_config() is not kept behind this transaction, as its name is computed",
		.hint = "On a transaction port the name has to be a constant or a parameter; true as the third argument says that it is not to be kept." };

	if (LIKELY(!c->touched.is_lost))
		return false;
	c->touched.is_lost = false;
	msg_out_notice(out, &lost);
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

/* SPDX-License-Identifier: ISC */
/*
 * Portals of a client on a transaction port that do something to names of statements when
 * they run: DEALLOCATE and PREPARE by the extended protocol.
 *
 * They come and go when a message is sent, and that is undone when PostgreSQL skips it or
 * refuses it: one that was skipped may run behind ROLLBACK TO SAVEPOINT.  One that has run
 * cannot run again; those that never do are forgotten with the lease.
 */
#include <stdlib.h>

#include "session/client_priv.h"
#include "session/server_priv.h"

enum { PORTALS_MAX = 64 };

/* What a portal of this statement does. */
static struct prepared_act *act_of(const struct client *c, const char *name)
{
	const struct prepared_name *n;

	if (name[0] == '\0')
		return c->unnamed_act;
	n = client_named(c, name);
	return n == NULL ? NULL : n->act;
}

bool client_portal_admits(const struct client *c, const char *name)
{
	return c->portals == NULL || c->portals->table.count < PORTALS_MAX ||
		act_of(c, name) == NULL;
}

static void gone(struct client *c, struct server *s, struct prepared_name *portal)
{
	server_step(s, STEP_PORTAL_GONE, NULL, portal);
	prepared_names_unlink(c->portals, portal);
}

static bool add(struct client *c, struct server *s, const char *name, struct prepared_act *act)
{
	struct prepared_name *portal;
	bool is_there;

	if (c->portals == NULL)
		c->portals = calloc(1, sizeof(*c->portals));
	portal = c->portals == NULL ? NULL : prepared_name_create(name, NULL);
	if (portal == NULL)
		return false;
	portal->act = prepared_act_ref(act);
	prepared_names_relink(c->portals, portal);
	is_there = portal->is_linked;
	if (is_there)
		server_step(s, STEP_PORTAL_BOUND, NULL, portal);
	prepared_name_unref(portal);
	return is_there;
}

void client_portal_bound(struct client *c, struct server *s, const char *portal,
	const char *name)
{
	struct prepared_act *act = act_of(c, name);

	client_portal_closed(c, s, portal);
	if (act != NULL && !add(c, s, portal, act))
		server_break(s, SERVER_END_MEMORY);
}

void client_portal_closed(struct client *c, struct server *s, const char *portal)
{
	struct prepared_name *there =
		c->portals == NULL ? NULL : prepared_names_find(c->portals, portal);

	if (there != NULL)
		gone(c, s, there);
}

void client_portal_runs(struct client *c, struct server *s, const char *portal)
{
	struct prepared_name *there = prepared_names_find(c->portals, portal);

	if (there == NULL)
		return;
	client_sql_run(c, s, there->act);
	steps_run_by_execute(&s->steps);
	gone(c, s, there);
}

void client_portal_undo(struct client *c, const struct step *step)
{
	if (c->portals == NULL)
		return;
	if (step->kind == STEP_PORTAL_BOUND)
		prepared_names_undo(c->portals, step->name);
	else
		prepared_names_relink(c->portals, step->name);
}

void client_portals_forget(struct client *c)
{
	if (c->portals == NULL)
		return;
	prepared_names_clear(c->portals);
	free(c->portals);
	c->portals = NULL;
}

/* SPDX-License-Identifier: ISC */
/*
 * Portals of a client on a transaction port that do something to names of statements when
 * they run: DEALLOCATE and PREPARE by the extended protocol.
 *
 * One that has run cannot run again; those that never do are forgotten with the lease.
 */
#include <stdlib.h>
#include <string.h>

#include "session/client_priv.h"

enum { PORTAL_ACTS_MAX = 64 };

struct portal_act {
	struct portal_act *next;
	uint64_t portal;                /* hash of its name */
	struct prepared_act *act;
};

/* PostgreSQL tells portals apart by so much of their names, too (portalmem.c). */
static uint64_t hash_of(const char *portal)
{
	return hash_bytes(portal, strnlen(portal, PREPARED_NAME_MAX));
}

/* Takes it out: with its reference, or NULL. */
static struct prepared_act *take(struct client *c, uint64_t portal)
{
	struct portal_act **at = &c->portal_acts, *found;
	struct prepared_act *act;

	while (*at != NULL && (*at)->portal != portal)
		at = &(*at)->next;
	found = *at;
	if (found == NULL)
		return NULL;
	*at = found->next;
	act = found->act;
	free(found);
	return act;
}

static bool has_room(const struct client *c)
{
	uint32_t count = 0;

	for (const struct portal_act *p = c->portal_acts; p != NULL; p = p->next)
		count++;
	return count < PORTAL_ACTS_MAX;
}

bool client_portal_bound(struct client *c, const char *portal, struct prepared_act *act)
{
	uint64_t hash = hash_of(portal);
	struct portal_act *new;

	prepared_act_unref(take(c, hash));
	if (act == NULL)
		return true;
	new = has_room(c) ? malloc(sizeof(*new)) : NULL;
	if (new == NULL)
		return false;
	*new = (struct portal_act){ .next = c->portal_acts,
		.portal = hash,
		.act = prepared_act_ref(act) };
	c->portal_acts = new;
	return true;
}

struct prepared_act *client_portal_runs(struct client *c, const char *portal)
{
	return take(c, hash_of(portal));
}

void client_portals_forget(struct client *c)
{
	while (c->portal_acts != NULL)
		prepared_act_unref(take(c, c->portal_acts->portal));
}

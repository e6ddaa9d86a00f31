/* SPDX-License-Identifier: ISC */
/*
 * What of a client's proof takes so long that it is found out beside the workers: keys of
 * a password, whose process is at the other end.  The client may be gone when it is known.
 */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "session/chore.h"
#include "session/client_priv.h"

enum { SYSTEM_NAME_MAX = 255 };

/* Whose proof it is. */
struct look {
	struct chore chore;
	uint32_t slot;
	uint64_t id;
};

/* Nobody asks for it any more when the time to log in is over. */
static void look_init(struct look *look, const struct client *c, void (*run)(struct chore *),
	void (*done)(struct chore *, struct worker *))
{
	uint64_t limit_us = atomic_load(&c->workload->login_timeout_us);

	*look = (struct look){ .chore = { .run = run, .done = done,
				       .until_us = clock_now_us() + limit_us },
		.slot = c->slot,
		.id = c->id };
}

/* False: it did not start, and the client was told. */
static bool look_start(struct client *c, enum chore_kind kind, struct look *look)
{
	if (chore_start(c->worker, kind, &look->chore))
		return true;
	client_close_with(c, CLOSE_TOO_MANY, "53300", "too many logins wait to be verified",
		NULL);
	return false;
}

/* NULL: it is not wanted any more. */
static struct client *look_client(const struct look *look, struct worker *w)
{
	struct client *c = w == NULL ? NULL : client_find_id(w, look->slot, look->id);

	return c == NULL || c->state != CLIENT_AUTH ? NULL : c;
}

/* What it has sent meanwhile. */
static void goes_on(struct client *c)
{
	if (c->state == CLIENT_AUTH)
		stream_retry(&c->stream);
}

/* --- keys of a password ------------------------------------------------------------------ */

struct derive_look {
	struct look look;
	struct secret_job job;
};

static void derive_run(struct chore *chore)
{
	secret_job_run(&container_of(chore, struct derive_look, look.chore)->job);
}

static void derive_free(struct derive_look *d)
{
	secret_job_wipe(&d->job);
	free(d);
}

static void derive_done(struct chore *chore, struct worker *w)
{
	struct derive_look *d = container_of(chore, struct derive_look, look.chore);
	struct client *c = look_client(&d->look, w);
	struct buf out;

	if (c != NULL) {
		buf_init(&out, 0);
		client_auth_went(c, client_auth_settle(&c->login->auth, &d->job), &out);
		buf_wipe(&out);
		goes_on(c);
	}
	derive_free(d);
}

void client_proof_derive(struct client *c)
{
	struct derive_look *d = calloc(1, sizeof(*d));

	if (d == NULL || !client_auth_job(&c->login->auth, &d->job)) {
		free(d);
		client_close(c, CLOSE_NO_MEMORY);
		return;
	}
	look_init(&d->look, c, derive_run, derive_done);
	if (!look_start(c, CHORE_DERIVE, &d->look))
		derive_free(d);
}

/* --- peer ------------------------------------------------------------------------------ */

/* Whose process is at the other end of a unix socket: a name service may be asked. */
struct peer_look {
	struct look look;
	uid_t uid;
	bool is_known;
	char name[SYSTEM_NAME_MAX + 1];
};

static void peer_run(struct chore *chore)
{
	struct peer_look *p = container_of(chore, struct peer_look, look.chore);
	struct passwd entry, *found = NULL;
	char text[16384];

	p->is_known = getpwuid_r(p->uid, &entry, text, sizeof(text), &found) == 0 &&
		found != NULL && strlen(entry.pw_name) <= SYSTEM_NAME_MAX;
	if (p->is_known)
		(void)snprintf(p->name, sizeof(p->name), "%s", entry.pw_name);
}

static void peer_done(struct chore *chore, struct worker *w)
{
	struct peer_look *p = container_of(chore, struct peer_look, look.chore);
	struct client *c = look_client(&p->look, w);

	if (c == NULL) {
		free(p);
		return;
	}
	if (!p->is_known)
		client_auth_refuse(c, "Peer authentication",
			"the system does not know the peer's user");
	else if (!route_proof_allows(&c->login->proof, p->name, c->login->user))
		client_auth_refuse(c, "Peer authentication",
			"the peer's user is another one, nor does a map allow it");
	else
		client_auth_ask(c, CLIENT_AUTH_TRUST);
	free(p);
}

void client_proof_peer(struct client *c)
{
	struct peer_look *p = calloc(1, sizeof(*p));
	socklen_t len = sizeof(struct ucred);
	struct ucred who;

	if (p == NULL) {
		client_close(c, CLOSE_NO_MEMORY);
		return;
	}
	look_init(&p->look, c, peer_run, peer_done);
	if (getsockopt(c->stream.conn.fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0) {
		client_auth_refuse(c, "Peer authentication",
			"the system does not tell who the peer is");
		free(p);
		return;
	}
	p->uid = who.uid;
	if (!look_start(c, CHORE_SYSTEM, &p->look))
		free(p);
}

/* SPDX-License-Identifier: ISC */
/*
 * What of a client's proof takes so long that it is found out beside the workers: keys of
 * a password, what PAM or a directory says of it, whose process is at the other end.  The
 * client may be gone when it is known.
 */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/slog.h"
#include "net/pam.h"
#include "session/chore.h"
#include "session/client_proof.h"

enum { SYSTEM_NAME_MAX = 255, LDAP_TIMEOUT_US = 10000000 };

_Static_assert((int)PAM_WHY_MAX == (int)LDAP_WHY_MAX, "one text for both");

/* Whose proof it is. */
struct look {
	struct chore chore;
	uint32_t slot;
	uint64_t id;
};

/* What was not run in time has no answer, and the client's timer ends it. */
static void look_init(struct look *look, const struct client *c, void (*run)(struct chore *),
	void (*done)(struct chore *, struct worker *))
{
	*look = (struct look){
		.chore = { .run = run, .done = done }, .slot = c->slot, .id = c->id
	};
	client_begins_chore(c, &look->chore);
}

static void refuse(struct client *c)
{
	client_close_with(c, CLOSE_TOO_MANY, "53300", "too many logins wait to be verified",
		NULL);
}

/* False: it did not start, and the client was told. */
static bool look_start(struct client *c, enum chore_kind kind, struct look *look)
{
	if (chore_start(c->worker, kind, &look->chore)) {
		c->login->chore = &look->chore;
		return true;
	}
	refuse(c);
	return false;
}

/* NULL: it is not wanted any more. */
static struct client *look_client(const struct look *look, struct worker *w)
{
	struct client *c = w == NULL ? NULL : client_find_id(w, look->slot, look->id);

	if (c != NULL && c->login != NULL && c->login->chore == &look->chore)
		c->login->chore = NULL;
	if (c == NULL || c->state != CLIENT_AUTH)
		return NULL;
	if (!look->chore.was_crowded_out)
		return c;
	refuse(c);
	return NULL;
}

void client_proof_forget(struct client *c)
{
	struct chore *chore = c->login == NULL ? NULL : c->login->chore;

	if (chore == NULL)
		return;
	c->login->chore = NULL;
	(void)chore_withdraw(c->worker, chore);
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

	if (c != NULL && chore->was_run) {
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

/* --- PAM and LDAP ------------------------------------------------------------------------ */

enum outside_verdict { OUTSIDE_IS_RIGHT, OUTSIDE_IS_WRONG, OUTSIDE_CANNOT_TELL };

/* What is asked stands by itself: the configuration is held for as long as it takes. */
struct outside_look {
	struct look look;
	struct route_proof proof;
	char user[STARTUP_NAME_SIZE];
	char host[ADDR_TEXT_MAX];
	char *password;
	enum outside_verdict verdict;
	char why[LDAP_WHY_MAX];
};

static void pam_run(struct chore *chore)
{
	struct outside_look *o = container_of(chore, struct outside_look, look.chore);
	static const enum outside_verdict verdicts[] = {
		[PAM_IS_RIGHT] = OUTSIDE_IS_RIGHT,
		[PAM_IS_WRONG] = OUTSIDE_IS_WRONG,
		[PAM_CANNOT_TELL] = OUTSIDE_CANNOT_TELL,
	};

	o->verdict = verdicts[pam_verify(o->proof.pam_service, o->user, o->password, o->host,
		o->why)];
}

/* No longer than the client may take to log in. */
static void ldap_run(struct chore *chore)
{
	struct outside_look *o = container_of(chore, struct outside_look, look.chore);
	uint64_t now_us = clock_now_us(), left_us = 1;
	static const enum outside_verdict verdicts[] = {
		[LDAP_IS_RIGHT] = OUTSIDE_IS_RIGHT,
		[LDAP_IS_WRONG] = OUTSIDE_IS_WRONG,
		[LDAP_CANNOT_TELL] = OUTSIDE_CANNOT_TELL,
	};

	if (chore->until_us > now_us)
		left_us = u64_min(chore->until_us - now_us, LDAP_TIMEOUT_US);
	o->verdict = verdicts[ldap_verify(&o->proof.ldap, o->user, o->password, left_us,
		o->why)];
}

static void outside_free(struct outside_look *o)
{
	if (o->password != NULL)
		explicit_bzero(o->password, strlen(o->password));
	free(o->password);
	route_proof_finish(&o->proof);
	free(o);
}

static void log_outside(const struct client *c, const struct outside_look *o)
{
	char user[160], why[2 * LDAP_WHY_MAX];

	SLOG_LIMITED(WARN, "auth-outside-failed", "id=%lu workload=%s method=%s user=%s reason=%s",
		(unsigned long)c->id, c->workload->name,
		o->proof.method == ROUTE_AUTH_PAM ? "pam" : "ldap",
		slog_quote(user, sizeof(user), o->user, strlen(o->user)),
		slog_quote(why, sizeof(why), o->why, strlen(o->why)));
}

/* Whether the password was wrong or nobody could tell is for the log, as in PostgreSQL. */
static void outside_done(struct chore *chore, struct worker *w)
{
	struct outside_look *o = container_of(chore, struct outside_look, look.chore);
	struct client *c = look_client(&o->look, w);
	enum client_auth_result result;
	struct buf out;

	if (c == NULL || !chore->was_run) {
		outside_free(o);
		return;
	}
	result = client_auth_decide(&c->login->auth, o->verdict == OUTSIDE_IS_RIGHT);
	if (result == CLIENT_AUTH_OK) {
		buf_init(&out, 0);
		client_auth_went(c, result, &out);
		buf_finish(&out);
		goes_on(c);
	} else {
		if (o->verdict == OUTSIDE_CANNOT_TELL)
			log_outside(c, o);
		client_auth_refuse(c, o->proof.method == ROUTE_AUTH_PAM ?
				"PAM authentication" : "LDAP authentication", o->why);
	}
	outside_free(o);
}

void client_proof_ask(struct client *c)
{
	const struct client_login *login = c->login;
	bool is_pam = login->proof.method == ROUTE_AUTH_PAM;
	struct outside_look *o;
	struct addr peer;

	/* Nobody is to hear of a client on the network as of one that is local. */
	if (!client_peer(c, &peer)) {
		client_close(c, CLOSE_LOST);
		return;
	}
	o = calloc(1, sizeof(*o));
	if (o == NULL || (o->password = strdup(login->auth.known.password)) == NULL) {
		free(o);
		client_close(c, CLOSE_NO_MEMORY);
		return;
	}
	route_proof_share(&login->proof, &o->proof);
	(void)snprintf(o->user, sizeof(o->user), "%s", login->user);
	if (addr_is_unix(&peer))
		(void)snprintf(o->host, sizeof(o->host), "[local]");
	else
		(void)addr_host_text(&peer, o->host, sizeof(o->host));
	look_init(&o->look, c, is_pam ? pam_run : ldap_run, outside_done);
	if (!look_start(c, is_pam ? CHORE_PAM : CHORE_LDAP, &o->look))
		outside_free(o);
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

	if (c == NULL || !chore->was_run) {
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
	socklen_t len = sizeof(struct ucred);
	struct peer_look *p;
	struct ucred who;

	/* The process at the other end is the balancer, whoever comes by it. */
	if (c->proxied != NULL) {
		client_auth_refuse(c, "Peer authentication", "it comes from a network");
		return;
	}
	p = calloc(1, sizeof(*p));
	if (p == NULL) {
		client_close(c, CLOSE_NO_MEMORY);
		return;
	}
	look_init(&p->look, c, peer_run, peer_done);
	if (getsockopt(c->stream.conn.fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0 ||
		who.uid == (uid_t)-1) {
		client_auth_refuse(c, "Peer authentication",
			"the system does not tell who the peer is");
		free(p);
		return;
	}
	p->uid = who.uid;
	if (!look_start(c, CHORE_SYSTEM, &p->look))
		free(p);
}

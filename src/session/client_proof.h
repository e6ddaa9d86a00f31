/* SPDX-License-Identifier: ISC */
/*
 * Proofs that take long: client_auth.c has them looked at by client_proof.c, which does
 * that beside the workers.
 *
 * Owns:   nothing; what is under way holds copies, and the client may be gone at its end.
 * Thread: the client's worker.
 */
#ifndef SESSION_CLIENT_PROOF_H
#define SESSION_CLIENT_PROOF_H

#include "session/client_priv.h"

/* Each ends, in a later turn, in one of client_auth.c's below, or in the client's end. */
void client_proof_derive(struct client *);      /* keys of a password */
void client_proof_peer(struct client *);        /* whose process it is */
void client_proof_ask(struct client *);         /* PAM or LDAP */

/* client.c: something of its login is to be done elsewhere.  Nobody asks for that any more
 * when its time to log in is over, and it takes turns with those of other addresses. */
struct chore;
extern const struct stream_ops client_stream_ops;
void client_begins_chore(const struct client *, struct chore *);

/* The client goes: what was not begun is not done. */
void client_proof_forget(struct client *);

/* client_auth.c: asks for the proof. */
void client_auth_ask(struct client *, enum client_auth_method);
/* What became of a message or of a look at the proof. */
void client_auth_went(struct client *, enum client_auth_result, struct buf *out);
/* 28000, "<what> failed for user ..."; the reason is for the log. */
void client_auth_refuse(struct client *, const char *what, const char *reason);

#endif

/* SPDX-License-Identifier: ISC */
/*
 * Is a server what target_session_attrs asks for?  As libpq decides it: by what the
 * server reports, which PostgreSQL does since version 14, else by asking.
 *
 * Thread: any; nothing here has state.
 * Source: PostgreSQL documentation, 34.1.2; libpq, fe-connect.c, CONNECTION_CHECK_TARGET.
 */
#ifndef SESSION_TARGET_H
#define SESSION_TARGET_H

#include "route/directory.h"
#include "session/params.h"

enum target_fact { TARGET_UNKNOWN, TARGET_NO, TARGET_YES };

struct target_facts {
	enum target_fact in_hot_standby;
	enum target_fact default_read_only;     /* default_transaction_read_only */
	enum target_fact read_only;             /* transaction_read_only, by asking */
};

void target_learn(struct target_facts *, const struct params *reported);

/* The answer to target_question(): "on", "off", "t" or "f". */
void target_answer(struct target_facts *, enum route_target, const char *, size_t len);

enum target_verdict { TARGET_FITS, TARGET_UNFIT, TARGET_ASK };

/* PREFER_STANDBY is decided as STANDBY: that any will do after all is the caller's. */
enum target_verdict target_decide(enum route_target, const struct target_facts *);

/* What to ask when the facts do not decide.  A walsender knows SHOW, not SELECT. */
const char *target_question(enum route_target, bool is_walsender);

/* Of one that does not fit: "is in hot standby". */
const char *target_describe(enum route_target, const struct target_facts *);

/* It is what it is for this role or database only: others may find it fit. */
bool target_is_by_role(enum route_target, const struct target_facts *);

#endif

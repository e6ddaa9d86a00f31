/* SPDX-License-Identifier: ISC */
/*
 * What connecting (server_connect.c) and logging in (server_login.c) share.
 *
 * One connect goes through the addresses of the host until it has logged in to one
 * that is what target_session_attrs asks for.  It has one unit of the budget: the
 * connection to one address is at its end before the next is begun.
 */
#ifndef SESSION_SERVER_CONNECT_H
#define SESSION_SERVER_CONNECT_H

#include "pg/server_auth.h"
#include "session/server_priv.h"
#include "session/target.h"

enum login_step {
	LOGIN_TALKS,    /* connects and logs in */
	LOGIN_FETCHES,  /* needs its password, and is connected to nobody */
	LOGIN_ASKS_TLS, /* is connected, and TLS comes before the login */
	LOGIN_ASKS,     /* is in, and has asked what the server is */
	LOGIN_LEAVES    /* waits for the end of a connection that will not do */
};

struct server_login {
	struct host_target target;
	enum login_step step;
	enum route_target wants;        /* in this pass */
	struct target_facts facts;
	uint64_t until_us;              /* for all of it: addresses and login, but not leaving */
	uint64_t left_at_us;            /* LEAVES, FETCHES: since then */
	uint32_t position;
	uint32_t tries;                 /* in this pass */
	uint32_t unfit;                 /* bits: addresses that answered */
	uint32_t skip;                  /* bits: addresses to be left out */
	bool is_by_role;                /* one is unfit for this role only */
	uint32_t insecure;              /* bits: places (of hosts.H.host) whose TLS will not do */
	uint32_t absent;                /* bits: places with an address where nobody is */
	bool is_otherwise;              /* one failed for another reason */
	char tried[POOL_ERROR_TEXT_MAX];        /* addresses, and what became of them */
	struct server_auth auth;
	struct secret_keys keys;
	char *password;                 /* ours to wipe */
	char *fetched;                  /* server_password.c's; NULL: there is none */
	uint64_t fetched_version;
	uint64_t fetching;              /* of a replication connection: waited for; 0: not */
	bool has_waited;                /* it was fetched for this login */
	bool wants_password;            /* another one, before the next try */
	char *md5;                      /* the same */
	bool has_auth;
	uint64_t deriving;              /* keys, beside the workers; 0: none */
	struct scram_binding binding;   /* of its TLS */
	uint8_t binding_data[SCRAM_BINDING_MAX];
};

_Static_assert(DIRECTORY_ADDRS_MAX <= 32, "a bit for each address, and for each place");

/* The log hears that logins of this pool fail. */
void server_login_report(const struct route_pool *, const struct pool_error *);
/* It failed for good: those who wait are told. */
void server_login_failed(struct server *, enum connect_failure, const char *sqlstate,
	const char *message, size_t len);

/* Goes on with what it needs to log in. */
void server_login_go(struct server *);
/* This connection ends, and then the same address is tried again. */
void server_login_leave(struct server *);
void server_login_wipe_fetched(struct server_login *);

/* Connected, in TLS where that is wanted: the startup packet. */
void server_login_talk(struct server *);

void server_login_forget(struct server_login *);        /* what one try has learned */

/* This address will not do, for what reason; the next one is tried. */
void server_address_failed(struct server *, const char *what, int error);
void server_address_unfit(struct server *);
/* The same where TLS is the reason, which waiting does not change. */
void server_address_insecure(struct server *, const char *what);

#endif

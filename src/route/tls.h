/* SPDX-License-Identifier: ISC */
/*
 * What the configuration says of TLS, made into contexts: one object for each
 * workload, for admin.listen and for each host, replaced as a whole by each reload, so that changed files
 * come into force though no option has changed.
 *
 * Owns:   its context and names; who holds a reference keeps both.
 * Thread: any; constant once made.
 */
#ifndef ROUTE_TLS_H
#define ROUTE_TLS_H

#include "base/diag.h"
#include "net/tls.h"

struct config;
struct config_host;
struct config_workload;

/* The words of libpq; each is more than the one before. */
enum route_tls_mode {
	ROUTE_TLS_DISABLE,
	ROUTE_TLS_PREFER,               /* allow, too */
	ROUTE_TLS_REQUIRE,
	ROUTE_TLS_VERIFY_CA,
	ROUTE_TLS_VERIFY_FULL
};

struct route_tls {
	_Atomic uint32_t refs;
	enum route_tls_mode mode;
	bool is_direct;                 /* to PostgreSQL: begins without asking */
	struct tls_context *context;    /* NULL with DISABLE */
	char **names;                   /* of a host: by place; NULL for unix sockets */
	size_t name_count;
};

/* Reads files.  NULL with diag filled. */
struct route_tls *route_tls_for_workload(const struct config *,
	const struct config_workload *, struct diag *);
struct route_tls *route_tls_for_console(const struct config *, struct diag *);
struct route_tls *route_tls_for_host(const struct config *, const struct config_host *,
	struct diag *);

struct route_tls *route_tls_ref(struct route_tls *);
void route_tls_unref(struct route_tls *);       /* accepts NULL */

/* The name of a host's place; NULL for a unix socket, which has no TLS. */
const char *route_tls_name(const struct route_tls *, uint32_t place);

/* All that a configuration names, for --check: 0, or -errno with diag filled. */
NODISCARD int route_tls_check(const struct config *, struct diag *);

/* All of a configuration's, by its workloads and hosts, NULL at the end of neither. */
struct route_tls_all {
	struct route_tls **workloads;
	struct route_tls **hosts;
	struct route_tls *console;      /* that of admin.listen */
	size_t workload_count;
	size_t host_count;
};

NODISCARD int route_tls_make_all(const struct config *, struct route_tls_all *,
	struct diag *);
void route_tls_drop_all(struct route_tls_all *);

/* A line in the log for each certificate of ours that has expired or soon will. */
void route_tls_tell_expiry(const struct config *, const struct route_tls_all *);

#endif

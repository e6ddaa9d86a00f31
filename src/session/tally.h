/* SPDX-License-Identifier: ISC */
/*
 * Which of a workload's numbers is what: why connections ended, why logins failed,
 * and how TLS went.
 *
 * Thread: the client's worker.
 */
#ifndef SESSION_TALLY_H
#define SESSION_TALLY_H

#include "pg/client_auth.h"
#include "route/tally.h"
#include "session/router.h"

enum tally {
	TALLY_TLS_FULL,                 /* handshakes */
	TALLY_TLS_RESUMED,              /* ... that were shorter, thanks to a ticket */
	TALLY_TLS_FAILED,
	TALLY_TLS_ENDED,                /* connections, of those of the first two */
	TALLY_AUTH,                     /* + enum client_auth_failure */
	TALLY_CLOSE = TALLY_AUTH + CLIENT_AUTH_FAILURE_COUNT, /* + enum close_reason */
	TALLY_COUNT = TALLY_CLOSE + CLOSE_REASON_COUNT
};

_Static_assert((int)TALLY_COUNT <= (int)TALLIES_MAX, "a block is too small");
/* Of a host: which of them is which. */
_Static_assert((int)SERVER_END_COUNT <= (int)TALLIES_MAX, "a block is too small");

void client_tally(struct client *, uint32_t which);

/* Any thread: how many of a workload's clients have TLS. */
static inline uint32_t tally_tls_clients(const struct route_workload *w, uint32_t workers)
{
	uint64_t ended = tally_sum(w->tallies, workers, TALLY_TLS_ENDED);
	uint64_t begun = tally_sum(w->tallies, workers, TALLY_TLS_FULL) +
		tally_sum(w->tallies, workers, TALLY_TLS_RESUMED);

	return begun > ended ? (uint32_t)(begun - ended) : 0;
}

#endif

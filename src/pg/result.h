/* SPDX-License-Identifier: ISC */
/*
 * What kind of command a CommandComplete tells of.
 *
 * Thread: any.
 * Source: PostgreSQL, src/include/tcop/cmdtaglist.h; documentation 55.7.
 */
#ifndef PG_RESULT_H
#define PG_RESULT_H

#include "pg/wire.h"

enum result_tag {
	RESULT_OTHER,                   /* anything not below, malformed tags too */
	RESULT_SELECT,                  /* also CREATE TABLE AS and SELECT INTO */
	RESULT_INSERT,
	RESULT_UPDATE,
	RESULT_DELETE,
	RESULT_MERGE,
	RESULT_COPY,
	RESULT_FETCH,
	RESULT_MOVE,
	RESULT_SHOW,
	RESULT_EXPLAIN,
	RESULT_BEGIN,                   /* BEGIN and START TRANSACTION */
	RESULT_COMMIT,
	RESULT_ROLLBACK,                /* also ROLLBACK TO, and COMMIT that failed */
	RESULT_SAVEPOINT,
	RESULT_RELEASE,
	RESULT_PREPARE_TRANSACTION,
	RESULT_COMMIT_PREPARED,
	RESULT_ROLLBACK_PREPARED,
	RESULT_SET,                     /* settings, ROLE, SESSION AUTHORIZATION */
	RESULT_SET_CONSTRAINTS,
	RESULT_RESET,                   /* also RESET ALL, RESET ROLE */
	RESULT_DISCARD,                 /* PLANS, SEQUENCES or TEMP */
	RESULT_DISCARD_ALL,
	RESULT_LISTEN,
	RESULT_UNLISTEN,
	RESULT_NOTIFY,
	RESULT_DECLARE,
	RESULT_CLOSE,                   /* one cursor */
	RESULT_CLOSE_ALL,
	RESULT_PREPARE,
	RESULT_DEALLOCATE,              /* one statement */
	RESULT_DEALLOCATE_ALL,
	RESULT_LOAD,
	RESULT_LOCK,
	RESULT_DO,
	RESULT_CALL,
	RESULT_CREATE,                  /* any CREATE */
	RESULT_ALTER,                   /* any ALTER */
	RESULT_DROP,                    /* any DROP */
	RESULT_TAG_COUNT
};

/* body: of a CommandComplete message, the NUL included or not. */
enum result_tag result_classify(const uint8_t *body, size_t len);

/* The rows a tag counts ("INSERT 0 5", "SELECT 3"), or 0. */
uint64_t result_rows(const uint8_t *body, size_t len);

#endif

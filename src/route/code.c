/* SPDX-License-Identifier: ISC */
/*
 * How often code ran in a database that may have made more of it: one count for all pools
 * of that name, whatever their user and host, as two hosts may be one PostgreSQL.
 *
 * Found by name, not by a part of its hash: who asks PostgreSQL anew when a count differs
 * would do so for what runs in databases that only meet in one place.
 */
#include <stdlib.h>
#include <string.h>

#include "route/directory_priv.h"

struct route_code *code_find(struct directory *d, const char *dbname)
{
	uint64_t hash = hash_bytes(dbname, strlen(dbname));
	size_t size = strlen(dbname) + 1;
	struct route_code *code;

	for (struct hash_node *node = hash_table_find(&d->codes, hash); node != NULL;
		node = hash_next(node)) {
		code = container_of(node, struct route_code, node);
		if (strcmp(code->dbname, dbname) == 0) {
			code->refs++;
			return code;
		}
	}
	code = calloc(1, sizeof(*code) + size);
	if (code == NULL)
		return NULL;
	memcpy(code->dbname, dbname, size);
	code->refs = 1;
	hash_table_add(&d->codes, &code->node, hash);
	return code;
}

void code_unref(struct directory *d, struct route_code *code)
{
	if (code == NULL || --code->refs > 0)
		return;
	hash_table_remove(&d->codes, &code->node);
	free(code);
}

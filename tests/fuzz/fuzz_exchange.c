/* SPDX-License-Identifier: ISC */
/*
 * The queue of exchanges against a model of PostgreSQL (tests/unit/session): each
 * byte is one choice of the client, the network or the server.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../unit/session/world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct choices {
	const uint8_t *data;
	size_t left;
};

static uint32_t choose(void *arg, uint32_t below)
{
	struct choices *c = arg;

	if (c->left == 0)
		return 0;
	c->left--;
	return *c->data++ % below;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct choices choices = { data, size };
	static struct world w;

	world_begin(&w, choose, &choices);
	while (choices.left > 0 && world_step(&w))
		continue;
	world_end(&w);
	if (w.error != NULL) {
		fprintf(stderr, "%s:%s\n", w.error, w.story);
		abort();
	}
	return 0;
}

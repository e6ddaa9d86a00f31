/* SPDX-License-Identifier: ISC */
#include "session/handshake.h"

#include <stdlib.h>

#include "session/chore.h"
#include "session/client_proof.h"

struct signing {
	struct chore chore;
	struct stream_step *step;
};

static struct signing *signing_of(struct chore *chore)
{
	return container_of(chore, struct signing, chore);
}

static void run(struct chore *chore)
{
	stream_step_run(signing_of(chore)->step);
}

static void done(struct chore *chore, struct worker *w)
{
	struct signing *signing = signing_of(chore);
	struct stream_step *step = signing->step;

	free(signing);
	if (w == NULL)
		stream_step_drop(step);
	else
		stream_step_done(step);
}

static void *start(void *arg, struct stream *stream, struct stream_step *step)
{
	struct signing *signing = calloc(1, sizeof(*signing));

	if (signing == NULL)
		return NULL;
	*signing = (struct signing){ .chore = { .run = run, .done = done }, .step = step };
	if (stream->ops == &client_stream_ops)
		client_begins_chore(client_from_stream(stream), &signing->chore);
	if (chore_start(arg, CHORE_SIGN, &signing->chore))
		return signing;
	free(signing);
	return NULL;
}

static bool withdraw(void *arg, void *started)
{
	struct signing *signing = started;

	return chore_withdraw(arg, &signing->chore);
}

void handshake_init(struct worker *w)
{
	w->helper = (struct stream_helper){ .start = start, .withdraw = withdraw, .arg = w };
	stream_pool_set_helper(w->chunks, &w->helper);
}

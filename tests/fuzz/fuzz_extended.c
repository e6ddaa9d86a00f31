/* SPDX-License-Identifier: ISC */
/* The extended protocol of the console: a stream of messages, whatever they hold, is
 * answered with whole messages. */
#include <assert.h>

#include "admin/extended.h"
#include "pg/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_whole(const struct buf *out)
{
	size_t at = 0;
	struct frame f;

	while (at < buf_len(out)) {
		assert(frame_next(buf_data(out) + at, buf_len(out) - at, FRAME_BODY_MAX, &f) ==
			FRAME_OK);
		assert(frame_is_whole(&f));
		at += frame_size(&f);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct extended x;
	struct frame f;
	size_t at = 0;

	extended_init(&x);
	while (frame_next(data + at, size - at, 1 << 16, &f) == FRAME_OK && frame_is_whole(&f)) {
		struct extended_run run;
		struct buf out;

		buf_init(&out, 0);
		if (extended_message(&x, f.type, f.body, f.body_len, &out, &run) !=
			EXTENDED_NOTHING) {
			assert(run.text != NULL && buf_len(&out) == 0);
			assert(!x.skips);
		}
		check_whole(&out);
		buf_finish(&out);
		at += frame_size(&f);
	}
	assert(x.count <= EXTENDED_NAMES_MAX);
	extended_finish(&x);
	return 0;
}

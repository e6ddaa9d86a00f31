/* SPDX-License-Identifier: ISC */
/*
 * A stream of messages, walked as a session walks it; the bodies that are
 * whole go to whoever reads them.
 */
#include <stdlib.h>

#include "pg/frame.h"
#include "pg/message.h"
#include "pg/result.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame f;
	size_t at = 0;

	while (frame_next(data + at, size - at, MESSAGE_BODY_LARGE, &f) == FRAME_OK) {
		if (f.available > f.body_len || f.available > size - at - FRAME_HEADER ||
			f.body_len > MESSAGE_BODY_LARGE)
			abort();
		(void)message_backend_title(f.type);
		if (!frame_is_whole(&f))
			break;
		if (f.type == BE_COMMAND_COMPLETE) {
			(void)result_classify(f.body, f.body_len);
			(void)result_rows(f.body, f.body_len);
		}
		at += frame_size(&f);
	}
	return 0;
}

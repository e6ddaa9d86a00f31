/* SPDX-License-Identifier: ISC */
#include "pg/message.h"

#define ROW(byte, kind_name, max, text)                                                  \
	[byte] = { .title = (text), .body_max = MESSAGE_BODY_##max,                      \
		.kind = MESSAGE_##kind_name },
#define NO_ROW(byte, kind_name, max, text)

const struct message_def message_frontend_defs[256] = {
#define ROW_FRONTEND ROW
#define ROW_BACKEND  NO_ROW
#define MESSAGE(direction, name, byte, kind, body_max, title)                            \
	ROW_##direction(byte, kind, body_max, title)
#include "messages.def"
#undef ROW_FRONTEND
#undef ROW_BACKEND
#undef MESSAGE
};

const struct message_def message_backend_defs[256] = {
#define ROW_FRONTEND NO_ROW
#define ROW_BACKEND  ROW
#define MESSAGE(direction, name, byte, kind, body_max, title)                            \
	ROW_##direction(byte, kind, body_max, title)
#include "messages.def"
#undef ROW_FRONTEND
#undef ROW_BACKEND
#undef MESSAGE
};

static const char *title_or_unknown(const struct message_def *def)
{
	return def->title == NULL ? "unknown" : def->title;
}

const char *message_frontend_title(uint8_t byte)
{
	return title_or_unknown(&message_frontend_defs[byte]);
}

const char *message_backend_title(uint8_t byte)
{
	return title_or_unknown(&message_backend_defs[byte]);
}

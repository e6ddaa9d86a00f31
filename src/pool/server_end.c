/* SPDX-License-Identifier: ISC */
#include "pool/server_end.h"

static const char *const words[SERVER_END_COUNT] = {
#define SERVER_END(name, word, text) [SERVER_END_##name] = (word),
#include "server_ends.def"
#undef SERVER_END
};

const char *server_end_word(enum server_end end)
{
	return words[end];
}

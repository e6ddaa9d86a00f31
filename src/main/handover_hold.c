/* SPDX-License-Identifier: ISC */
/*
 * What the console holds back (PAUSE, DISABLE) is held in all processes alike: the new one
 * begins with what the old one held, and from then on tells those before it, whose consoles
 * take no such command any more.  They say when what is paused has come to rest, for the
 * new one's PAUSE to wait for.
 */
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/slog.h"
#include "main/handover_priv.h"
#include "main/program.h"

/* 'H', a number that grows with each change, and the list. */
static int make(struct program *p, struct buf *out, uint64_t *version)
{
	size_t at;

	buf_add_u8(out, 'H');
	at = buf_len(out);
	buf_add(out, "\0\0\0\0\0\0\0", sizeof(*version));
	*version = directory_holds_write(p->directory, out);
	if (!buf_ok(out))
		return -ENOMEM;
	memcpy((uint8_t *)buf_data(out) + at, version, sizeof(*version));
	return buf_len(out) < HANDOVER_TEXT_MAX ? 0 : -EMSGSIZE;
}

bool handover_holds_fit(struct program *p)
{
	uint64_t version;
	struct buf out;
	int ret;

	buf_init(&out, 0);
	ret = make(p, &out, &version);
	buf_finish(&out);
	return ret == 0;
}

int handover_send_holds(struct program *p)
{
	uint64_t version;
	struct buf out;
	int ret;

	buf_init(&out, 0);
	ret = make(p, &out, &version);
	if (ret == 0)
		ret = handover_send(p->handover.fd, (const char *)buf_data(&out), buf_len(&out),
			NULL, 0);
	buf_finish(&out);
	return ret;
}

void handover_take_holds(struct program *p, const struct handover_message *m)
{
	struct handover *h = &p->handover;
	const size_t head = 1 + sizeof(h->held);

	if (m->len < head)
		return;
	memcpy(&h->held, m->text + 1, sizeof(h->held));
	directory_hold_as(p->directory, m->text + head, m->len - head);
	h->owes_quiet = true;
	handover_tend(p);
}

/* --- in the new process --------------------------------------------------------------- */

static void update_quiet(struct program *p)
{
	const struct handover *h = &p->handover;
	uint64_t quiet = UINT64_MAX;

	for (uint32_t i = 0; i < h->before_count; i++)
		quiet = u64_min(quiet, h->before[i]->quiet);
	atomic_store(&p->router.quiet_elsewhere, quiet);
}

void handover_tell_holds(struct program *p)
{
	struct handover *h = &p->handover;
	uint64_t version;
	struct buf out;

	update_quiet(p);
	if (h->before_count == 0 || h->told == directory_holds_version(p->directory) + 1)
		return;
	buf_init(&out, 0);
	if (make(p, &out, &version) == 0) {
		bool all = true;

		for (uint32_t i = 0; i < h->before_count; i++)
			all = handover_send(h->before[i]->fd, (const char *)buf_data(&out),
				      buf_len(&out), NULL, 0) == 0 && all;
		/* Else it is told again, with the next look. */
		if (all)
			h->told = version + 1;
	} else {
		SLOG_LIMITED(WARN, "holds-untold", "processes=%u", h->before_count);
	}
	buf_finish(&out);
}

void handover_hear_quiet(struct handover_before *b, const struct handover_message *m)
{
	if (m->len == 1 + sizeof(b->quiet))
		memcpy(&b->quiet, m->text + 1, sizeof(b->quiet));
}

/* --- in the old process --------------------------------------------------------------- */

void handover_say_quiet(struct program *p)
{
	struct handover *h = &p->handover;
	char text[1 + sizeof(h->held)] = { 'Q' };

	if (!h->owes_quiet || h->fd < 0 || !directory_held_are_quiet(p->directory))
		return;
	memcpy(text + 1, &h->held, sizeof(h->held));
	h->owes_quiet = handover_send(h->fd, text, sizeof(text), NULL, 0) < 0;
}

/* SPDX-License-Identifier: ISC */
#include "net/listening.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/slog.h"

static struct listening *of(struct list_node *node)
{
	return container_of(node, struct listening, node);
}

static struct listening *find(struct list *all, const struct addr *addr)
{
	list_for_each(all, node) {
		if (addr_equal(&of(node)->addr, addr))
			return of(node);
	}
	return NULL;
}

static struct listening *create(const struct listening_ops *ops, const char *text,
	const struct addr *addr)
{
	struct listening *l = calloc(1, ops->size);

	if (l == NULL || (l->text = strdup(text)) == NULL) {
		free(l);
		return NULL;
	}
	list_node_init(&l->node);
	l->addr = *addr;
	l->fd = -1;
	l->is_wanted = true;
	l->is_new = true;
	return l;
}

void listening_free(struct listening *l)
{
	list_remove(&l->node);
	free(l->text);
	free(l);
}

bool listening_keeps_name(const struct listening *l)
{
	return l->is_kept || l->is_lent || l->has_lost_name;
}

void listening_end(struct listening *l)
{
	addr_listen_end(l->fd, &l->addr, listening_keeps_name(l));
	listening_free(l);
}

void listening_want_none(struct list *all)
{
	list_for_each(all, node)
		of(node)->is_wanted = false;
}

static int open_one(struct list *all, const struct listening_ops *ops, const char *text,
	const struct addr *addr, struct diag *diag)
{
	struct listening *l = create(ops, text, addr);

	if (l == NULL) {
		diag_set(diag, NULL, 0, 0, "out of memory");
		return -ENOMEM;
	}
	l->fd = ops->open(ops->arg, addr, &l->is_kept, &l->is_lent);
	if (l->fd < 0) {
		int error = l->fd;

		diag_set(diag, NULL, 0, 0, "%scannot listen on %s: %s%s", ops->who, text,
			strerror(-error),
			error == -EADDRINUSE ? " (is another pooler running?)" : "");
		listening_free(l);
		return error;
	}
	list_push_back(all, &l->node);
	return 0;
}

/* The old one is left when the new one is there; if there cannot be one it stays. */
static void open_again(struct list *all, const struct listening_ops *ops, struct listening *l)
{
	struct diag why;

	l->has_lost_name = true;
	diag_clear(&why);
	l->is_wanted = open_one(all, ops, l->text, &l->addr, &why) < 0;
	if (l->is_wanted)
		SLOG(WARN, "listen", "address=%s error=\"%s\"", l->text, why.text);
}

/* What the process before listens on within that.  Without memory it is closed. */
static void take_within(struct list *all, const struct listening_ops *ops,
	const struct addr *wide)
{
	char text[ADDR_TEXT_MAX];
	struct addr addr;
	int fd;

	while ((fd = ops->take_within(ops->arg, wide, &addr)) >= 0) {
		struct listening *l =
			create(ops, addr_text(&addr, text, sizeof(text)), &addr);

		if (l == NULL) {
			close(fd);
			continue;
		}
		l->fd = fd;
		l->is_lent = true;
		list_push_back(all, &l->node);
	}
}

/* Who connects gets to the narrowest, and waits in its queue, or is about to: were it closed,
 * they would be refused.  So it stays, as one more of the wide one's. */
static void keep_within(struct list *all, const struct listening_ops *ops,
	const struct addr *wide)
{
	list_for_each(all, node) {
		if (!of(node)->is_kept && addr_covers(wide, &of(node)->addr))
			of(node)->is_wanted = true;
	}
	take_within(all, ops, wide);
}

int listening_want(struct list *all, const struct listening_ops *ops, const char *text,
	struct diag *diag)
{
	struct listening *l;
	struct addr addr;
	char why[128];
	int ret = addr_parse_listen(text, &addr, why, sizeof(why));

	if (ret < 0) {
		diag_set(diag, NULL, 0, 0, "%slisten %s: %s", ops->who, text, why);
		return ret;
	}
	l = find(all, &addr);
	if (l != NULL && !l->is_kept && (l->has_lost_name || addr_has_no_file(&addr)))
		open_again(all, ops, l);
	else if (l != NULL)
		l->is_wanted = true;
	else if ((ret = open_one(all, ops, text, &addr, diag)) < 0)
		return ret;
	keep_within(all, ops, &addr);
	return 0;
}

void listening_abandon(struct list *all)
{
	list_for_each_safe(all, node) {
		if (of(node)->is_new)
			listening_end(of(node));
	}
}

void listening_own(struct list *all, int backlog, unsigned unix_mode)
{
	list_for_each(all, node) {
		struct listening *l = of(node);
		int ret = 0;

		if (l->is_lent)
			ret = addr_listen_again(l->fd, &l->addr, backlog, unix_mode);
		if (ret < 0)
			SLOG(WARN, "listen", "address=%s error=\"%s\"", l->text, strerror(-ret));
		l->is_lent = false;
	}
}

/* SPDX-License-Identifier: ISC */
/*
 * Intrusive doubly linked list with a sentinel.
 *
 * Owns:   nothing; nodes are embedded in what they list.
 * Thread: whoever owns the list, or under its lock.
 *
 * A node that is on no list points to itself, so list_remove() may be called
 * on it again, and list_is_linked() tells.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "base/base.h"

struct list_node {
	struct list_node *prev;
	struct list_node *next;
};

struct list {
	struct list_node head;
};

static inline void list_node_init(struct list_node *node)
{
	node->prev = node;
	node->next = node;
}

static inline void list_init(struct list *list)
{
	list_node_init(&list->head);
}

static inline bool list_is_linked(const struct list_node *node)
{
	return node->next != node;
}

static inline bool list_is_empty(const struct list *list)
{
	return list->head.next == &list->head;
}

static inline void list_insert_after(struct list_node *pos, struct list_node *node)
{
	node->prev = pos;
	node->next = pos->next;
	pos->next->prev = node;
	pos->next = node;
}

static inline void list_push_front(struct list *list, struct list_node *node)
{
	list_insert_after(&list->head, node);
}

static inline void list_push_back(struct list *list, struct list_node *node)
{
	list_insert_after(list->head.prev, node);
}

static inline void list_remove(struct list_node *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_node_init(node);
}

/* First or last node, or NULL. */
static inline struct list_node *list_first(const struct list *list)
{
	return list_is_empty(list) ? NULL : list->head.next;
}

static inline struct list_node *list_last(const struct list *list)
{
	return list_is_empty(list) ? NULL : list->head.prev;
}

static inline struct list_node *list_pop_front(struct list *list)
{
	struct list_node *node = list_first(list);

	if (node != NULL)
		list_remove(node);
	return node;
}

/* Moves everything in "from" to the end of "to"; "from" is empty afterwards. */
static inline void list_splice_back(struct list *to, struct list *from)
{
	if (list_is_empty(from))
		return;
	from->head.next->prev = to->head.prev;
	to->head.prev->next = from->head.next;
	from->head.prev->next = &to->head;
	to->head.prev = from->head.prev;
	list_init(from);
}

#define list_for_each(list, node)                                                        \
	for (struct list_node *node = (list)->head.next; node != &(list)->head;          \
		node = node->next)

/* The current node may be removed within the loop. */
#define list_for_each_safe(list, node)                                                   \
	for (struct list_node *node = (list)->head.next, *node##_next = node->next;      \
		node != &(list)->head; node = node##_next, node##_next = node->next)

#endif

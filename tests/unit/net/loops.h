/* SPDX-License-Identifier: ISC */
/*
 * The loops that every test of io and stream runs on: both engines, and
 * io_uring once more as older kernels have it and with queues and buffers so
 * small that everything overflows.
 *
 * NET_TEST_LOOPS=epoll in the environment leaves out io_uring, for tools that
 * cannot see what the kernel writes.
 */
#ifndef TESTS_NET_LOOPS_H
#define TESTS_NET_LOOPS_H

#include <check.h>

#include "base/base.h"
#include "net/io.h"

enum { LOOPS_COUNT = 4, LOOPS_PATIENCE_US = 20 * 1000 * 1000 };

/* NULL where that loop cannot be had, and the test has nothing to do. */
struct io *loops_create(int number);
struct io *loops_create_alone(int number);      /* io_options.alone */
struct io *loops_create_with(
	int number, void (*on_wake)(struct io *, void *arg), void *arg);

/* Turns until the condition holds, or the test fails.  Waits for events, so a
 * lost one is found out. */
#define LOOPS_UNTIL(io, condition) LOOPS_TURN(io, condition, LOOPS_PATIENCE_US)

/* The same where the condition itself makes things happen, by reading from the
 * other end of a socket: never waits for long. */
#define LOOPS_POLL(io, condition) LOOPS_TURN(io, condition, 1000)

#define LOOPS_TURN(io, condition, wait_us)                                               \
	do {                                                                             \
		uint64_t loops_until_us = loops_deadline();                              \
		while (!(condition)) {                                                   \
			ck_assert_int_eq(                                                \
				io_turn((io), loops_deadline() - LOOPS_PATIENCE_US +     \
						(wait_us)),                              \
				0);                                                      \
			ck_assert_msg(loops_deadline() - loops_until_us <                \
					LOOPS_PATIENCE_US,                               \
				"waited too long for " #condition);                      \
		}                                                                        \
	} while (0)

uint64_t loops_deadline(void);          /* from now */

/* Turns until nothing happens any more. */
void loops_settle(struct io *);

/* Two connected, non-blocking sockets: of unix, or TCP over loopback. */
void loops_pair(int fds[2]);
void loops_tcp_pair(int fds[2]);
int loops_tcp_listener(uint16_t *port);
int loops_tcp_connect(uint16_t port);   /* non-blocking */

int loops_open_files(void);

/* A test case of its own, that runs once for each kind of loop. */
void loops_add(Suite *, const TTest *, const char *name);

#endif

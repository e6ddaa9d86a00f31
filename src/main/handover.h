/* SPDX-License-Identifier: ISC */
/*
 * RESTART: another process of the same program, with the configuration as it is on disk,
 * takes the place of this one, and nobody is refused meanwhile.
 *
 * The old process starts the new one and gives it its listening sockets.  The new one sets
 * itself up and says that it is ready; the old one says go, accepts no more, and serves
 * those who are in until they have left, or for drain_timeout.  If anything fails before
 * that the old one goes on as if nothing had been.
 *
 * Both share what is configured: the old process says how much of each budget it still
 * has in its hands, or may yet take, and takes no more after that but what the new one gives;
 * the new one has the rest.  It begins with nothing.  What a process still hears from those before it goes on
 * to the next one: HANDOVER_BEFORE_MAX may drain at a time, and any number follow each other.
 *
 * They talk over a pair of unix sockets (SOCK_SEQPACKET), each message a letter and what
 * belongs to it:
 *
 *   old  L flags     listening sockets, one for each flag: 'o' own, 'k' kept
 *   old  P units     a process before it that still drains, with its socket
 *   old  U units     lines of "number host"
 *   old  O units     what that one was given, and may not have heard yet
 *   old  W units     what that one asks for
 *   old  S numbers   max_connections of each host that it has asked, ...
 *   old  T numbers   ... what of them is reserved, ...
 *   old  D numbers   ... and where it asked: other places have others
 *   old  M key       what the salts of mock exchanges are made from
 *   old  B           that was all
 *   new  R           ready
 *   new  E text      not, because
 *   old  H holds     what is paused or disabled
 *   old  I number    the new process's clients have greater ones
 *   old  G           go
 *   new  C pid key   a cancel request that may be for one of the old process's clients
 *   old  C pid key   one that came in before, and may be for a client of those before
 *   new  H holds     that is another now, to all before
 *   new  X order     what KILL, KILL_CLIENT or RECONNECT ends there, to all before
 *   old  W units     it lacks so much for those who wait in it
 *   new  Y units     what it is given of that
 *   new  N budgets   as they are now, to all before
 *   old  A           it has heard so, and tells of it from here on
 *   old  Q number    so far has come to rest what those say: no server of what is paused
 *
 * Thread: main; handover_cancel() and handover_order() any.
 */
#ifndef MAIN_HANDOVER_H
#define MAIN_HANDOVER_H

#include <pthread.h>

#include "admin/console.h"
#include "base/diag.h"
#include "config/config.h"

enum { HANDOVER_BEFORE_MAX = 16, HANDOVER_NAME_SIZE = CONFIG_NAME_MAX + 1 };

struct program;

struct handover_units {
	uint32_t count;
	struct {
		char host[HANDOVER_NAME_SIZE];
		uint32_t units;
	} list[DIRECTORY_HOSTS_MAX];
};

/* A process that drains. */
struct handover_before {
	int fd;
	struct handover_units units;    /* that it still has */
	struct handover_units asked;    /* and asks for, as it lacks them */
	uint32_t given;                 /* of that, at this host, until it has taken them */
	char given_host[HANDOVER_NAME_SIZE];
	bool is_told;                   /* that they are its */
	uint64_t quiet;                 /* of the holds that it was told, those it has met */
};

enum handover_phase { HANDOVER_NONE, HANDOVER_STARTING, HANDOVER_DONE };

struct handover {
	uint8_t mock_key[SCRAM_MOCK_KEY_LEN];   /* of the process before, ... */
	bool has_mock_key;                      /* ... if it has told */
	/* And what PostgreSQL has told that one; not named: nothing, none. */
	struct handover_units max_connections;
	struct handover_units reserved;
	struct handover_units places;   /* by place_key(): where it asked */
	/* Those before this process. */
	pthread_mutex_t lock;           /* of the descriptors: workers send, too; and of that
					   of the one that follows, once it has all: */
	int newer;                      /* ... or -1 */
	struct handover_before *before[HANDOVER_BEFORE_MAX];
	uint32_t before_count;
	uint64_t told;                  /* of the holds, and one more; 0: nothing */
	char *budgets;                  /* what they were told; NULL: nothing */
	/* The one that follows. */
	enum handover_phase phase;
	int fd;
	long pid;
	uint64_t until_us;              /* to be ready */
	console_done_f *done;           /* somebody waits to hear of it, or NULL */
	void *done_arg;
	uint32_t first_clients;         /* when it was handed over */
	uint64_t held;                  /* the holds that this process was told */
	bool owes_quiet;                /* ... and has not met yet */
	bool owes_taken;                /* what it was given: that it knows */
	struct {
		uint32_t first;         /* units at that time, ... */
		uint32_t budget;        /* ... of so many, ... */
		uint32_t now;           /* ... that are so many now */
		uint32_t most;          /* that may be used now */
		uint32_t told;
		uint32_t fair;          /* that it would have, had others given theirs back */
		uint32_t asked;
		bool may_lack;          /* others had some, or the budget has been another */
	} hosts[DIRECTORY_HOSTS_MAX];
};

void handover_init(struct program *);

/* --- in the new process --- */

/* If another one has started this, takes what that gives.  Returns 0 or -errno. */
NODISCARD int handover_receive(struct program *, struct diag *);
bool handover_is_heir(const struct program *);
/* What the process before knows of the hosts, this one knows. */
void handover_know_limits(struct program *);
/* What others have is theirs. */
void handover_share(struct program *);
/* Ready: waits until the other has said go.  Returns 0 or -errno with diag filled. */
NODISCARD int handover_take(struct program *, struct diag *);
/* It has come to nothing. */
void handover_give_up(struct program *, const char *text);
/* Any thread: asks the processes before.  arg: struct program. */
bool handover_cancel(void *arg, uint32_t pid, const uint8_t *key, size_t len);
/* The same: a command (console_order()) is for them, too.  How many were told. */
uint32_t handover_order(void *arg, const char *text, size_t len);

/* --- in the old process --- */

/* done comes when it is known how it went. */
void handover_begin(struct program *, console_done_f *done, void *done_arg);

/* Units in use. */
uint32_t handover_units(struct program *);

/* Ends it if it has not taken over yet. */
void handover_stop_successor(struct program *);

/* --- in both --- */

/* The pools are looked at: there is more or less for them. */
void handover_tend(struct program *);
/* Now and then.  True: again soon. */
bool handover_tick(struct program *);
void handover_finish(struct program *);

#endif

/* SPDX-License-Identifier: ISC */
/*
 * Size: what a worker is and what workers share stands in one place.
 *
 * The process as its sessions see it: the workers, the directory, and the few
 * numbers that all workers read.
 *
 * Size: the worker stands here with all that hangs on it.
 *
 * Owns:   workers and directory belong to main; here is where they meet.
 * Thread: fields are constant after start, atomic, or locked as their comments
 *         say.  Workers talk to each other by mail: worker_post().
 */
#ifndef SESSION_ROUTER_H
#define SESSION_ROUTER_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/rand.h"
#include "net/io.h"
#include "net/stream.h"
#include "net/timers.h"
#include "pg/client_auth.h"
#include "pg/scram.h"
#include "route/directory.h"
#include "session/advice.h"
#include "session/departed.h"
#include "session/shrink.h"
#include "session/suspend.h"
#include "session/seen.h"
#include "session/texts.h"

enum { ROUTER_WORKERS_MAX = MONITOR_WORKERS_MAX, ROUTER_LISTENERS_MAX = 256 };

struct chores;
struct client;
struct gate;
struct server;
struct watch;
struct worker;

enum client_state {
#define CLIENT_STATE(name, show, next) CLIENT_##name,
#include "client_states.def"
#undef CLIENT_STATE
	CLIENT_STATE_COUNT
};

enum close_reason {
#define CLOSE_REASON(name, sqlstate, word, text) CLOSE_##name,
#include "close_reasons.def"
#undef CLOSE_REASON
	CLOSE_REASON_COUNT
};

/* How the process ends. */
enum router_drain {
	ROUTER_SERVES,
	ROUTER_DRAINS_SERVERS,  /* no new client; done when no lease is held */
	ROUTER_DRAINS_CLIENTS,  /* no new client; done when all have left */
	ROUTER_HANDED_OVER      /* the same, and who is at the door is let in */
};

/* What answers on the virtual databases pgbouncer and pgtandem. */
struct console_ops {
	/* One Query message.  The answer, with its ReadyForQuery, goes to
	 * client_console_reply(), now or later from the same worker. */
	void (*query)(void *arg, struct client *, const char *sql);
	/* The same for a message of the extended protocol; the answer may be empty. */
	void (*extended)(void *arg, struct client *, uint8_t type, const uint8_t *body,
		size_t len);
	/* client->console_state is not needed any more. */
	void (*forget)(void *state);
	/* What it waits for is not wanted any more. */
	void (*cancel)(void *arg, struct client *);
	void *arg;
};

struct router {
	struct directory *directory;
	struct worker *workers[ROUTER_WORKERS_MAX];
	uint32_t worker_count;
	struct console_ops console;
	uint8_t mock_key[SCRAM_MOCK_KEY_LEN];   /* random unless main has another */
	/* Of the first SCRAM secret that auth_query told; 0: none yet. */
	_Atomic uint32_t told_iterations;
	const char *version;            /* server_version on the console */
	_Atomic int drain;              /* enum router_drain */
	_Atomic bool hands_over;        /* RESTART is under way, or has been */
	_Atomic uint32_t late_consoles; /* of clients: came to look on while it drained */
	_Atomic uint32_t late_changes;  /* how often one came or went */
	_Atomic bool is_empty;          /* handed over, and nobody is left but consoles */
	_Atomic bool lets_in;           /* while it drains, who is at the door, too */
	/* Of directory_holds_version() what the processes before this one have met. */
	_Atomic uint64_t quiet_elsewhere;
	_Atomic bool rests;             /* the upkeep is not as often: worker_rouse() */
	_Atomic uint32_t suspends;      /* counts SUSPEND and RESUME: odd while it holds */
	_Atomic uint64_t suspended_us;  /* when the last one began */
	_Atomic uint64_t suspend_timeout_us;
	_Atomic uint32_t clients;       /* that have proven who they are */
	_Atomic uint32_t max_client_conn;
	_Atomic uint64_t console_logins;
	_Atomic bool is_reload_refused; /* the last one */
	_Atomic uint64_t reloaded_at_us;        /* by the wall clock; the start is one, too */
	_Atomic uint64_t next_client_id;
	_Atomic uint64_t code_changes;  /* counts what clients have done to functions and
					   the like, or may have: see client_lend.c */
	_Atomic uint64_t statement_memory;      /* most bytes of prepared statements */
	/* Clients of ports not in session mode are told to leave between transactions, while
	 * it waits for clients. */
	_Atomic bool drain_ends_idle;
	_Atomic uint64_t drain_timeout_us;      /* for whom a reload has removed; 0: no limit */
	/* A cancel request for nobody here.  Any worker; false: nobody to tell, either. */
	bool (*cancel_elsewhere)(void *arg, uint32_t pid, const uint8_t *key, size_t len);
	/* A command for the processes before this one, as console_order() takes it: how many
	 * were told.  Any worker. */
	uint32_t (*order_elsewhere)(void *arg, const char *text, size_t len);
	void *cancel_arg;               /* of both */
	_Atomic bool log_connections;
	_Atomic bool log_disconnections;
	/* Secrets derived from plain passwords, which take 1 ms each. */
	pthread_mutex_t derived_lock;
	struct hash_table derived;
	struct chores *chores;
	struct gate *gate;
	struct advice advice;
};

NODISCARD int router_init(struct router *, struct directory *, const struct console_ops *,
	const char *version);
void router_finish(struct router *);

/* The hooks the directory needs. */
extern const struct directory_hooks router_directory_hooks;

/* --- workers ------------------------------------------------------------------- */

/* A letter to a worker, in what it is about. */
struct mail {
	struct list_node node;
	void (*deliver)(struct mail *, struct worker *);
};

/* A socket that clients connect to; main opens it, every worker listens. */
struct door {
	struct io_listener listener;
	struct worker *worker;
	struct route_workload *workload;
	bool is_for_console;            /* who comes is to look on while others are waited for */
	bool is_leaving;                /* accepts no more, ... */
	bool is_retired;                /* ... and nothing is under way */
	struct list_node in_worker;
};

struct worker {
	struct router *router;
	uint32_t index;
	struct io *io;
	struct timers timers;
	struct timers always;           /* go on while the worker is suspended */
	struct stream_pool *chunks;
	struct stream_helper helper;    /* session/handshake.h */
	struct list doors;
	/* Clients by slot, for cancel requests and views. */
	struct client **clients;
	uint32_t client_slots;
	struct texts texts;
	struct seen seen;               /* of unnamed statements */
	struct rand_small seeds;        /* for servers */
	char clean_sql[640];            /* server_clean_sql() */
	struct hash_table told;         /* client_told.c; buckets NULL until it has some */
	struct list unproven;           /* struct client_login.in_unproven */
	struct departed departed;       /* clients of this worker */
	struct list free_clients;       /* closed, to be freed at the end of the turn */
	struct list free_works;         /* client_work.c */
	uint32_t free_work_count;
	uint32_t client_free_slot;      /* where to look for a free slot next */
	/* Written here only, read by any thread. */
	_Atomic uint32_t clients_in_state[CLIENT_STATE_COUNT];
	/* Servers whose lease has ended in this turn, and those to be freed. */
	struct list releasing;
	struct list free_servers;
	struct list servers;            /* attached here */
	uint64_t derived;               /* keys for servers, so far */
	uint64_t read_keys;             /* client_new_key(), so far */
	struct list cancels;            /* connections that cancel */
	struct io_task release_task;
	bool is_releasing;              /* it runs, and takes grants when it has released */
	struct io_task reap_task;
	struct suspend suspend;         /* session/suspend.h */
	_Atomic bool has_grants;
	pthread_mutex_t mail_lock;
	struct list mail;
	struct mail stall_mail;         /* asks for a look at stalled leases */
	_Atomic bool stall_is_asked;    /* ... and is on its way */
	struct list errands;            /* of the router's own, under way */
	struct timer upkeep;            /* worker 0 only */
	bool is_resting;                /* the same: see router.rests */
	struct watch *watches[DIRECTORY_HOSTS_MAX];     /* worker 0 only */
	struct lookups *lookups;        /* session/lookup.h; worker 0 only */
	struct shrink shrinks[DIRECTORY_HOSTS_MAX];     /* worker 0 only */
	uint32_t audits;                /* leases that might be looked at */
	_Atomic uint64_t pins[ROUTE_PIN_COUNT]; /* made, by what for */
	uint64_t look_at_us;            /* idle servers, the next time */
	uint64_t sweep_at_us;
	_Atomic uint32_t client_count;  /* for whoever waits for the drain */
	_Atomic uint32_t doors_left;    /* that may still let somebody in */
	_Atomic bool is_over;           /* worker_run() should return */
	_Atomic bool has_ended;         /* nobody is to be woken any more */
};

/* The calling thread will run it. */
NODISCARD int worker_create(struct worker **, struct router *, uint32_t index,
	const struct io_options *);
/* Runs until worker_stop(); 0 or -errno of the loop. */
NODISCARD int worker_run(struct worker *);
/* After the loop has ended, by its thread: everybody is cut off, servers first
 * told.  Then, when all workers have come so far, the loop itself. */
void worker_end(struct worker *);
void worker_close_loop(struct worker *);
/* By main, when all threads have ended: letters that are left, then the memory. */
bool worker_read_last_mail(struct worker *);
void worker_destroy(struct worker **);

/* Any thread.  The memory is the receiver's until delivered. */
void worker_post(struct worker *, struct mail *);
void worker_stop(struct worker *);

/* The worker's own thread: begin and stop listening. */
NODISCARD int worker_open_door(struct worker *, struct route_workload *, int fd);
void worker_close_door(struct worker *, int fd);
void worker_close_doors(struct worker *);
/* Nobody is accepted any more, and nobody lost; doors_left tells when. */
void worker_retire_door(struct worker *, int fd);
/* It stays, and nobody waits for it to be left. */
void worker_leave_door_to_console(struct worker *, int fd);

/* Closes what is not to be kept, opens what waits: after a change of the pools. */
void worker_tend_pools(struct worker *);

/* The configuration has changed, or the process drains. */
void worker_recheck(struct worker *);

static inline uint64_t worker_now(const struct worker *w)
{
	return io_now_us(w->io);
}

/* Nobody new is let in. */
static inline bool router_is_ending(struct router *r)
{
	int drain = atomic_load(&r->drain);

	return drain == ROUTER_DRAINS_SERVERS ||
		(drain == ROUTER_DRAINS_CLIENTS && !atomic_load(&r->lets_in));
}

/* One more; only by the worker that the counter belongs to. */
static inline void router_count(_Atomic uint64_t *counter)
{
	uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, now + 1, memory_order_relaxed);
}

/* Carries out what a monitor decided. */
void worker_act(struct worker *, struct monitor_actions *);

/* Somebody waits from now on: the upkeep may have something to do. */
void worker_rouse(struct worker *);

/* Runs what a release, a grant or a letter left to do, at the end of the turn's events. */
void worker_defer_release(struct worker *);

#endif

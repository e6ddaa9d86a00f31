/* SPDX-License-Identifier: ISC */
/*
 * The process: creates everything, joins everything, and ends it.
 *
 * Owns:   the configuration in force, directory, router, workers' threads, doors.
 * Thread: the main thread, which moves no data: it handles signals, reloads,
 *         and waits.
 */
#ifndef MAIN_PROGRAM_H
#define MAIN_PROGRAM_H

#include <pthread.h>
#include <semaphore.h>

#include "admin/console.h"
#include "config/config.h"
#include "config/overlay.h"
#include "http/http.h"
#include "main/handover.h"
#include "net/inherited.h"
#include "net/listening.h"
#include "session/router.h"

/* A listening socket. */
struct entrance {
	struct listening at;
	struct route_workload *workload;
};

struct worker_thread {
	struct program *program;
	pthread_t thread;
	uint32_t index;
	struct worker *worker;
	int result;
};

/* Somebody on the console waits for a reload. */
struct reload_request {
	struct list_node node;
	console_done_f *done;
	void *done_arg;
	char *name;                     /* SET; NULL: a reload */
	char *value;
	bool is_restart;
};

enum { PROGRAM_TEXT_MAX = 16384 };

struct program {
	const char *path;
	char exe[4096];                 /* the program, for RESTART */
	struct config *config;
	struct overlay overlay;         /* what SET has changed in it */
	struct directory *directory;
	struct router router;
	struct console *console;
	struct http *http;
	struct list entrances;
	struct inherited inherited;
	_Atomic uint32_t retiring;      /* letters that tell workers to leave the doors */
	struct handover handover;
	struct worker_thread threads[ROUTER_WORKERS_MAX];
	uint32_t thread_count;
	struct io_options io;
	sem_t started;
	sem_t ended;
	sem_t may_go;
	pthread_t main_thread;
	pthread_mutex_t requests_lock;
	struct list requests;           /* struct reload_request */
	_Atomic int shutdown_mode;      /* asked for on the console: a signal, or 0 */
	uint64_t drain_since_us;        /* 0: it does not */
	uint64_t drain_told_us;         /* when drain_tick() last told the workers */
	bool leaves_kept;               /* systemd's sockets, while it drains */
	bool is_told;                   /* by SIGTERM, after it had handed over */
	struct resolver *resolver;
	char *pid_file;                 /* that this process has written, or NULL */
};

/* drain.c */
void program_begin_drain(struct program *, enum router_drain);
bool drain_is_over(struct program *);
/* Now and then, while it drains: the workers look at all clients, as who was about to log in. */
void drain_tick(struct program *);
/* SIGTERM or SIGINT.  True: stop now. */
bool drain_told(struct program *, int signal);
/* The same on the console, or 0: said again it ends nothing, but one waits for servers alone
 * where it was for clients. */
void drain_asked(struct program *, int signal);

/* SIGUSR1 and SIGUSR2: PAUSE and RESUME of everything.  Nobody waits for an answer; the
 * log has it. */
void pause_told(struct program *, int signal);
/* At the door or logged in. */
uint32_t program_all_clients(const struct program *);

/* Runs until told to stop; the exit status. */
int program_run(struct program *, const char *path);

/* limits.c: raises the limit of open files and checks that it is enough.
 * Returns 0 or -errno with diag filled. */
NODISCARD int limits_apply(const struct config *, uint32_t workers, struct diag *);
NODISCARD int limits_become(struct program *, struct diag *);        /* process.user */
void limits_set_dumpable(bool is_dumpable);
/* user: whose it is to be, or "".  *written: what is to be removed in the end, or NULL. */
NODISCARD int limits_pid_file(const char *path, const char *user, char **written, struct diag *);
/* If it is this process's still: another one, which has taken over, may have written it since. */
void limits_remove_pid_file(const char *path);

/* log.c.  Standard error, before anything is known: with levels where it is the journal. */
void log_begin(void);
/* Opens what the configuration wants, for log_commit() or log_abandon(); a
 * file also when it is open already: somebody may have moved it.  Returns 0, or -errno
 * with diag filled. */
struct log_next {
	int fd;                         /* of a file, -1 for others */
};
NODISCARD int log_open(const struct config *, struct log_next *, struct diag *);
void log_commit(const struct config *, struct log_next *);
void log_abandon(struct log_next *);
/* Before the process becomes that user, who is to open the file again. */
void log_give(uid_t, gid_t);
/* From here on a thread writes it.  Returns 0 or -errno. */
NODISCARD int log_start(void);
void log_end(void);                     /* standard error from now on */

/* notify.c: what systemd is told.  tick: now and then, from the main thread. */
bool notify_is_heard(void);             /* was it systemd that started this? */
void notify_ready(struct program *);
void notify_reloading(void);
void notify_reloaded(struct program *);
void notify_stopping(void);
void notify_successor(long pid);
/* Sockets that systemd has opened.  Returns 0, or -errno with diag filled. */
NODISCARD int notify_take_sockets(struct inherited *, struct diag *);
void notify_tick(struct program *);

/* first.c: as process 1.  is_there: it, or one before this, is that. */
#define FIRST_VARIABLE "PGTANDEM_FIRST"
bool first_is_there(void);
/* A signal that came after another process has taken over is for that one, too. */
void first_pass_on(struct program *, int signal);
/* In the end: stays while anybody is left; then the exit status of the last.  code: what
 * it is where nobody is, or this is not process 1. */
int first_stay(const sigset_t *signals, int code);

/* entrances.c.  What takes the place of another one listens from begin on, HTTP's, too; abandon
 * follows after either has failed. */
NODISCARD int entrances_open(struct program *, const struct config *, struct diag *);
NODISCARD int entrances_begin(struct program *, const struct config *, struct diag *);
void entrances_commit(struct program *);        /* after the directory has changed */
void entrances_abandon(struct program *);       /* after it has not */
void entrances_close(struct program *);
/* The process drains: nobody new comes in but to the console, by unix sockets and by the
 * addresses that are for it alone.  PgBouncer keeps its unix socket, too. */
void entrances_leave_to_console(struct program *);
/* entrances_listen.c; arg: struct program.  What was inherited, or a new one, over those in its
 * way. */
http_listen_f entrances_listen;
http_listen_now_f entrances_listen_now;
/* These, for HTTP. */
void entrances_fill_calls(struct program *, struct http_calls *);
/* Before the process becomes that user, who may open others over them. */
void entrances_give(struct program *, uid_t, gid_t);
/* Another process listens there from here on: the workers leave, and the sockets stay.
 * Returns 0 or -ENOMEM. */
NODISCARD int entrances_hand_over(struct program *);
bool entrances_have_kept(const struct program *);       /* of systemd's */
/* The process drains: its own sockets are closed, but for those above, and systemd's of
 * admin.listen stay with it, too.  Who is in the queue of its others is the next process's, and
 * who was let out of it this one's: the workers leave, then entrances_close_kept() is to be
 * called.  False: that was done. */
bool entrances_leave_kept(struct program *);
void entrances_close_kept(struct program *);
bool entrances_are_left(struct program *);
/* This process has taken over: what it got is its own, and becomes as configured. */
void entrances_own(struct program *);
/* Do systemd's sockets fit what the file says?  Returns 0, or -EINVAL with diag filled. */
NODISCARD int entrances_check_inherited(const struct program *, struct diag *);

/* reload.c */
/* text: what came of it, the first line in short, then each change; or the error. */
bool program_reload(struct program *, char *text, size_t size);
/* Until the next reload. */
bool program_set(struct program *, const char *name, const char *value, char *text,
	size_t size);
void program_apply_log(struct program *);
/* Somebody may have moved its file: as configured, and nothing else. */
void program_reopen_log(struct program *);

/* Workers look at their idle clients: something has changed for them. */
void program_tell_workers(struct program *);

#endif

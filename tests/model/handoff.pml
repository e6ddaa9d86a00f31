/* SPDX-License-Identifier: ISC */
/*
 * The hand-off of servers between workers, for spin: what lies between the critical
 * sections of the monitor, which no test in one thread can put in order.
 *
 * Two workers with two clients each, as src/session/worker.c and src/net/io.c have them:
 * the turn of the loop, falling asleep and the doorbell (wake_state, and an eventfd that
 * nobody reads), the flag has_grants and the inbox, the release task, letters.  An
 * operation of the monitor is one step, because it holds the lock; so is putting a letter
 * into the box, or taking it out.  Between any two steps of one thread any steps of the
 * others may happen.
 *
 * Clients send, and PostgreSQL answers, whenever they like; some clients run out of time
 * while they wait, and a third thread cancels some.  How many do is chosen at the start,
 * so that nobody is saved from a lost wake-up by what might still happen.
 *
 * Checked, with assertions and by where everything comes to rest:
 *   - no wake-up is lost: everybody gets every server that was granted, all queries end
 *     and both workers come to rest (else: invalid end state);
 *   - nobody turns for ever (else: non-progress cycle, there being no progress label);
 *   - a server has one holder, and one loop serves its socket;
 *   - a server that was granted to a client who has left is passed on;
 *   - every letter is read.
 *
 * Not in it: servers that are opened, closed or reset (tests/unit/pool has the orders of
 * those); memory weaker than sequentially consistent, but for the one relaxed load.
 *
 * SERVERS, ASKS (of each worker's first client), ASKS_OF_SECOND, TIMEOUTS and CANCELS
 * size it.  MUTANT breaks it, to see that the check can fail: tests/model/run has the list.
 */
#ifndef SERVERS
#define SERVERS 1
#endif
#ifndef ASKS
#define ASKS 1
#endif
#ifndef ASKS_OF_SECOND
#define ASKS_OF_SECOND ASKS
#endif
#ifndef TIMEOUTS
#define TIMEOUTS 1
#endif
#ifndef CANCELS
#define CANCELS 1
#endif
#ifndef MUTANT
#define MUTANT 0
#endif

#define WORKERS 2
#define MINE 2                  /* clients of each worker: w and w + 2 */
#define CLIENTS 4
#define NOBODY 15
#define WORKER_OF(client) ((client) % 2)

mtype = { LEASE_NONE, LEASE_WAITING, LEASE_GRANTED, LEASE_HELD };
mtype = { AWAKE, ASLEEP, NOTIFIED };

/* Under the monitor's lock. */
mtype lease[CLIENTS] = LEASE_NONE;
byte server_of[CLIENTS] = NOBODY;
byte holder[SERVERS] = NOBODY;                  /* a client; NOBODY: idle */
chan queue = [CLIENTS] of { byte };             /* who waits, oldest first */
chan inbox[WORKERS] = [MINE] of { byte };       /* granted and not yet taken */

/* Shared by threads. */
bit has_grants[WORKERS];
mtype wake_state[WORKERS] = AWAKE;
bit bell[WORKERS];                              /* an edge of the eventfd */
chan mail[WORKERS] = [CANCELS + 1] of { byte };

/* For the checks. */
byte loop_of[SERVERS] = NOBODY;                 /* which worker serves its socket */
byte open = WORKERS * (ASKS + ASKS_OF_SECOND);                     /* queries to come or under way, letters */
byte timeouts;                                  /* still to come */

/*
 * The inlines work on these variables of the process that uses them: w, this worker; k,
 * which of its clients it is about; ME, that client; to, the worker to be woken; s, x and
 * was, for a moment.
 */
#define ME (w + 2 * k)

/* --- the monitor ------------------------------------------------------------------ */

/* monitor_request(): an idle server at once, or the queue. */
inline monitor_request()
{
	assert(lease[ME] == LEASE_NONE);
	s = 0;
	do
	:: s < SERVERS && holder[s] != NOBODY -> s++
	:: else -> break
	od;
	if
	:: s < SERVERS ->
		assert(len(queue) == 0);
		holder[s] = ME;
		server_of[ME] = s;
		lease[ME] = LEASE_HELD
	:: else ->
		queue!ME;
		lease[ME] = LEASE_WAITING
	fi;
	s = 0
}

/* choose_for_server(): to the oldest who waits. */
inline pass_on()
{
	to = NOBODY;
	holder[s] = NOBODY;
	if
	:: len(queue) > 0 ->
		queue?x;
		lease[x] = LEASE_GRANTED;
		server_of[x] = s;
		holder[s] = x;
		to = WORKER_OF(x);
		inbox[to]!x;
		x = 0
	:: else
	fi;
	s = 0
}

inline monitor_return()
{
	assert(lease[ME] == LEASE_HELD && holder[server_of[ME]] == ME);
	s = server_of[ME];
	server_of[ME] = NOBODY;
	lease[ME] = LEASE_NONE;
	pass_on()
}

inline monitor_withdraw()
{
	assert(lease[ME] == LEASE_WAITING || lease[ME] == LEASE_GRANTED);
	to = NOBODY;
	if
	:: lease[ME] == LEASE_WAITING ->
		queue??eval(ME);
		lease[ME] = LEASE_NONE
	:: else ->
		s = server_of[ME];
		lease[ME] = LEASE_NONE;
		server_of[ME] = NOBODY;
#if MUTANT != 6
		inbox[w]??eval(ME);
#endif
#if MUTANT == 5
		holder[s] = NOBODY;
		s = 0
#else
		pass_on()
#endif
	fi
}

/* --- waking ------------------------------------------------------------------------ */

/* io_wake() */
inline io_wake(whom)
{
	d_step {
		was = wake_state[whom];
		wake_state[whom] = NOTIFIED
	};
	if
	:: was == ASLEEP -> d_step { bell[whom] = 1; was = AWAKE }
	:: else -> was = AWAKE
	fi
}

/* worker_act(): to is the worker that has something in its inbox. */
inline worker_act()
{
	if
	:: to == NOBODY
	:: to == w ->
		d_step {
			has_grants[w] = 1;
			/* Who releases looks for grants before it ends. */
			if
			:: !releasing -> deferred = 1
			:: else
			fi;
			to = NOBODY
		}
	:: else ->
#if MUTANT == 2
		io_wake(to);
		has_grants[to] = 1;
#else
		has_grants[to] = 1;
		io_wake(to);
#endif
		to = NOBODY
	fi
}

/* --- a client's machine --------------------------------------------------------------- */

/* take(): its socket is this loop's now. */
inline client_holds()
{
	assert(holder[server_of[ME]] == ME && loop_of[server_of[ME]] == NOBODY);
	loop_of[server_of[ME]] = w;
	waits[k] = 0;
	holds[k] = 1
}

inline client_request()
{
	monitor_request();
	if
	:: lease[ME] == LEASE_HELD -> client_holds()
	:: else -> waits[k] = 1
	fi
}

/* A time-out, or a cancel: an error for the client, and its place for the next. */
inline client_refuse()
{
	d_step {
		monitor_withdraw();
		waits[k] = 0;
		open--
	};
	worker_act()
}

#define MAY_ASK(k) (asks[k] > 0 && !waits[k] && !wants[k] && !(holds[k] && !ends[k]))
#define MAY_SEND(k) (MAY_ASK(k) || (holds[k] && !ends[k]))

/* A query, or the answer that ends a lease.  Who asks before its last server has gone
 * back has to wait for that. */
inline on_data()
{
	if
	:: ends[k] ->
		asks[k]--;
		wants[k] = 1
	:: !ends[k] && holds[k] ->
		ends[k] = 1;
		deferred = 1
	:: else ->
		asks[k]--;
		client_request()
	fi
}

/* --- the tasks of a turn -------------------------------------------------------------- */

/* back_to_pool(), client_lease_released() */
inline server_release_now()
{
	d_step {
		assert(loop_of[server_of[ME]] == w);
#if MUTANT != 8
		loop_of[server_of[ME]] = NOBODY;
#endif
		monitor_return();
		holds[k] = 0;
		ends[k] = 0;
		open--
	};
#if MUTANT == 8
	/* The socket is let go of when the server is another's already. */
	loop_of[s] = NOBODY;
#endif
	if
	:: wants[k] ->
		d_step {
			wants[k] = 0;
			client_request()
		}
	:: else
	fi;
	worker_act()
}

inline take_inbox()
{
	do
	:: d_step {
		len(inbox[w]) > 0 ->
		inbox[w]?x;
		k = x / 2;
		x = 0;
		assert(waits[k] && lease[ME] == LEASE_GRANTED);
		lease[ME] = LEASE_HELD;
		client_holds();
		k = 0
	}
	:: len(inbox[w]) == 0 -> break
	od
}

inline take_grants()
{
#if MUTANT == 1
	if
	:: has_grants[w] ->
		take_inbox();
		has_grants[w] = 0
	:: !has_grants[w]
	fi
#else
	do
	:: d_step { has_grants[w] -> has_grants[w] = 0 };
		take_inbox()
	:: !has_grants[w] -> break
	od
#endif
}

/* Those that ended before this, in any order. */
inline on_release()
{
	releasing = 1;
#if MUTANT == 10
	take_grants();
#endif
	do
	:: ends[0] -> k = 0; server_release_now()
	:: ends[1] -> k = 1; server_release_now()
	:: !ends[0] && !ends[1] -> break
	od;
	k = 0;
#if MUTANT != 10
	take_grants();
#endif
	releasing = 0
}

inline read_mail()
{
	do
	:: d_step {
		len(mail[w]) > 0 ->
		mail[w]?x;
		k = x / 2;
		x = 0
	};
		if
		:: waits[k] -> client_refuse()
		:: else
		fi;
		d_step { k = 0; open-- }
	:: len(mail[w]) == 0 -> break
	od
}

inline on_wake()
{
	read_mail();
	if
	:: d_step { has_grants[w] -> deferred = 1 }
	:: !has_grants[w]
	fi
}

/* --- the turn --------------------------------------------------------------------------- */

/* io_turn() as far as the wait.  must_send, due: what it was that ended the wait. */
inline wait_for_events()
{
#if MUTANT == 3
	if
	:: deferred
	:: !deferred -> d_step { wake_state[w] = ASLEEP; may_wait = 1 }
	fi;
#else
	if
	:: deferred
	:: !deferred && wake_state[w] != AWAKE
	:: d_step { !deferred && wake_state[w] == AWAKE ->
		wake_state[w] = ASLEEP;
		may_wait = 1
	}
	fi;
#endif
	if
	:: !may_wait -> bell[w] = 0
	:: d_step { may_wait && bell[w] -> bell[w] = 0; may_wait = 0 }
	:: d_step { may_wait && (MAY_SEND(0) || MAY_SEND(1)) ->
		bell[w] = 0;
		must_send = 1;
		may_wait = 0
	}
	:: d_step { may_wait && timeouts > 0 && waits[0] ->
		bell[w] = 0;
		timeouts--;
		due[0] = 1;
		may_wait = 0
	}
	:: d_step { may_wait && timeouts > 0 && waits[1] ->
		bell[w] = 0;
		timeouts--;
		due[1] = 1;
		may_wait = 0
	}
	:: may_wait && open == 0 && !bell[w] -> goto rest
	fi
}

/* What there is to be read; more may come later. */
inline dispatch()
{
	do
	:: d_step { MAY_SEND(0) -> k = 0; on_data(); must_send = 0 }
	:: d_step { MAY_SEND(1) -> k = 1; on_data(); must_send = 0; k = 0 }
	:: !must_send -> break
	od
}

/* The load is relaxed: it may not see what was left a moment ago. */
inline run_wake()
{
	if
	:: d_step { wake_state[w] == NOTIFIED ->
#if MUTANT != 4
		wake_state[w] = AWAKE;
#endif
		notified = 1
	}
	:: true
	fi;
	if
	:: notified ->
		on_wake();
#if MUTANT == 4
		wake_state[w] = AWAKE;
#endif
		notified = 0
	:: else
	fi
}

/* A timer that ended the wait, or one that ran out since. */
inline on_deadline()
{
	if
	:: waits[k] && due[k] ->
		due[k] = 0;
		client_refuse()
	:: d_step { waits[k] && !due[k] && timeouts > 0 -> timeouts-- };
		client_refuse()
	:: else -> due[k] = 0
	:: waits[k] && !due[k]
	fi
}

proctype worker(byte w)
{
	byte asks[MINE] = ASKS;         /* still to come */
	bit waits[MINE];                /* for a server */
	bit holds[MINE];
	bit ends[MINE];                 /* the lease is over, and the task is due */
	bit wants[MINE];                /* another one, meanwhile */
	bit due[MINE];
	bit deferred;                   /* the release task is on the list */
	bit releasing;                  /* ... and runs */
	bit may_wait, must_send, notified;
	byte k, s, x, to = NOBODY;
	mtype was = AWAKE;

	asks[1] = ASKS_OF_SECOND;
turn:
	wait_for_events();
	d_step {
		notified = (wake_state[w] == NOTIFIED);
#if MUTANT == 4
		if
		:: !notified -> wake_state[w] = AWAKE
		:: else
		fi
#else
		wake_state[w] = AWAKE
#endif
	};
	dispatch();
	run_wake();
	if
	:: deferred ->
#if MUTANT != 9
		deferred = 0;
#endif
		on_release()
	:: else
	fi;
	k = 0;
	on_deadline();
	k = 1;
	on_deadline();
	k = 0;
	goto turn;
rest:
	skip
}

/* Any thread: worker_post() to the worker of a client.  Workers are alike, and so are
 * their clients: the first letter is about client 0. */
proctype canceller(byte letters)
{
	byte c;
	mtype was = AWAKE;

	do
	:: letters > 0 ->
#if MUTANT == 7
		io_wake(WORKER_OF(c));
		mail[WORKER_OF(c)]!c;
#else
		mail[WORKER_OF(c)]!c;
		io_wake(WORKER_OF(c));
#endif
		letters--;
		if
		:: letters > 0 ->
			if
			:: c = 0
			:: c = 1
			:: c = 2
			fi
		:: else
		fi
	:: letters == 0 -> break
	od
}

init
{
	byte letters;

	atomic {
		do
		:: letters < CANCELS -> letters++
		:: break
		od;
		do
		:: timeouts < TIMEOUTS -> timeouts++
		:: break
		od;
		open = open + letters;
		run worker(0);
		run worker(1);
		run canceller(letters)
	};
	/* All have come to rest: nothing is left anywhere. */
	_nr_pr == 1;
	assert(len(queue) == 0 && len(inbox[0]) == 0 && len(inbox[1]) == 0);
	assert(len(mail[0]) == 0 && len(mail[1]) == 0);
	assert(holder[0] == NOBODY && holder[SERVERS - 1] == NOBODY);
	assert(loop_of[0] == NOBODY && loop_of[SERVERS - 1] == NOBODY)
}

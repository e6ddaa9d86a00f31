/* SPDX-License-Identifier: ISC */
/*
 * What of a session only its server has (include/pins.def): which texts make it or take
 * it away, and how a server is asked what is there.
 *
 * A client of a transaction port that makes such a thing keeps its server until the
 * thing is gone: client_pin.c.  Texts only tell what may be: the server knows.
 *
 * Out of sight are functions of a user's own, DO, CALL, triggers and views; and a
 * search_path that begins with pg_temp.
 *
 * Owns:   nothing.
 * Thread: any; pure, no I/O, no clock.
 */
#ifndef SESSION_PIN_H
#define SESSION_PIN_H

#include "route/directory.h"

struct advice_hold;
struct buf;
struct frame;
struct params;

enum { PIN_PROBES_MAX = 10, PIN_WORDS_MAX = 256, PIN_SETTINGS_MAX = 1024 };

static inline uint32_t pin_bit(unsigned kind)
{
	return 1u << kind;
}

/* Those that nothing but the end of the server takes away. */
uint32_t pin_stays(void);

/* kind: enum route_pin or enum route_kept. */
const char *pin_word(unsigned kind);
const char *pin_text(unsigned kind);
/* What a setting is: a bit of enum route_kept. */
uint32_t pin_of_setting(const char *name);
/* The words of several, "temp_tables, listen". */
const char *pin_words(uint32_t kinds, char to[PIN_WORDS_MAX]);

/* What a text may do, each a bit of enum route_pin. */
struct pin_scan {
	uint32_t makes;
	uint32_t prepares;              /* when what it prepares is executed */
	uint32_t keeps;                 /* enum route_kept */
	bool executes;                  /* something prepared by SQL */
	bool ends;                      /* it may take something away */
	bool is_unseen;                 /* it runs what no text shows, or was not understood */
};

/* A client's. */
struct pins {
	uint32_t kinds;                 /* there or on the way: the lease is pinned */
	uint32_t confirmed;             /* of them: the server has said so, or that they ran */
	uint32_t prepared;              /* what its EXECUTEs may make */
	uint32_t told;                  /* as session_state_advice says */
	uint32_t notices;               /* that are due before the next ReadyForQuery */
	uint32_t refused;               /* by the last text: for the error */
	uint32_t most;                  /* that may be kept, when one was; 0: found out */
	struct advice_hold *hold;       /* its line of SHOW ADVICE, while it keeps a server */
	uint32_t refused_max;           /* ... as so many leases are pinned */
	uint32_t there;                 /* PROBE: the answer */
	uint32_t changed;               /* ... of enum route_kept: what nobody has shown */
	bool asks;                      /* what was sent was not looked at */
	bool may_end;                   /* something was sent that may take away */
	bool is_unseen;                 /* ... that runs what nobody sees */
	bool is_audit;                  /* PROBE: asks for settings, too */
	uint8_t failures;               /* of PROBE, in a row */
	uint64_t since_us;
	uint64_t asked_us;              /* the server, last */
};

/* Could this text make what pins?  Quick, and true when in doubt. */
bool pin_may(const char *text, size_t len);

/* flags: enum lexer_flag.  Where those may change: all that it does under either. */
void pin_scan(struct pin_scan *, const char *text, size_t len, unsigned flags);

/* The text was a PREPARE: from what that does to what is done by what it has prepared. */
void pin_scan_runs(struct pin_scan *);

/* What is asked for, each with all of those before it. */
enum pin_asks {
	PIN_ASKS_PINS,
	PIN_ASKS_STATEMENTS,            /* is anything prepared? */
	PIN_ASKS_SETTINGS,              /* that the session has set; 0.6 ms */
	PIN_ASKS_CODE                   /* could code of a user's own leave what nobody sees? */
};

/* The Query, for a server outside of a transaction, that asks what is there.  The views
 * take a moment in PostgreSQL, so nobody asks without a reason. */
const char *pin_question(enum pin_asks);

/* What a client has set, as it is to be in the session: what else stands there was set
 * where nobody saw it. */
struct pin_known {
	const struct params *now;
	const struct params *raw;       /* as the startup packet spells them; or NULL */
	const struct params *reported;  /* by the server: these are as it spells them */
	const char *login;              /* the user that it logged in as */
};

/* Appends the text of PIN_ASKS_SETTINGS that also looks whether these have changed: the
 * answer's settings then have "!" among them, or "@" for the role and the session's user. */
void pin_audit(const struct pin_known *, struct buf *sql);

struct pin_answer {
	uint32_t there;
	/* PIN_ASKS_SETTINGS: their names, separated by commas; "" also when they are too
	 * many: then has_many. */
	char settings[PIN_SETTINGS_MAX];
	bool has_many;
	bool has_statements;
	bool has_code;
};

/* The DataRow that answers.  False: it makes no sense. */
NODISCARD bool pin_answer(struct pin_answer *, const struct frame *row, enum pin_asks);

/* Is there a name among them that is not in the list? */
bool pin_has_unknown(const char *settings, const struct params *known);
/* What an audit has found, each a bit of enum route_kept. */
uint32_t pin_changed(const struct pin_answer *, const struct params *known);

#endif

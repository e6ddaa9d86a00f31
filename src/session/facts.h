/* SPDX-License-Identifier: ISC */
/*
 * What the text of a prepared statement was found to be, so that one that is used again and
 * again is read once, however long it is.
 *
 * How it is read hangs on the lexer's flags: it has facts for each set of them under which
 * it was used, and those are few.
 *
 * Owns:   facts belong to their statement, and go with it.
 * Thread: any.
 */
#ifndef SESSION_FACTS_H
#define SESSION_FACTS_H

#include "session/pin.h"
#include "session/prepared.h"

enum fact {
	FACT_TOUCHES,           /* enum fact_touches */
	FACT_NAMES,             /* is any statement named in it? */
	FACT_RUNS,              /* enum fact_runs */
	FACT_LEAVES,            /* enum text_leaves of client_end.c */
	FACT_READING,           /* enum statement_reading */
	FACT_COUNT
};

/* What it does to settings when it runs: state.h. */
enum fact_touches {
	FACT_TOUCHES_ANY = 1 << 0,
	FACT_TAKES_VALUES = 1 << 1,     /* ... which ones, and how, may hang on parameters */
	FACT_IS_SET = 1 << 2,           /* its tag is that of SET or RESET */
	FACT_MAKES_CODE = 1 << 3,       /* a table with a default that runs something */
	FACT_IS_LONG = 1 << 4           /* ... too long to be read each time that it runs */
};

/* What it does to names, and to tables without telling it by its tag. */
enum fact_runs { FACT_DROPS_ALL = 1 << 0, FACT_MAKES_TABLE = 1 << 1 };

/* Below 128.  Found out by the first who asks. */
typedef unsigned fact_find_f(const void *text, size_t len, unsigned flags);

unsigned facts_known(struct prepared *, unsigned flags, enum fact, fact_find_f *);

unsigned facts_touches(struct prepared *, unsigned flags);
bool facts_names(struct prepared *, unsigned flags);
unsigned facts_runs(struct prepared *, unsigned flags);
struct pin_scan facts_pins(struct prepared *, unsigned flags);

/* The same of any text. */
unsigned facts_find_runs(const void *text, size_t len, unsigned flags);
bool facts_find_code(const void *text, size_t len, unsigned flags);

void facts_free(struct facts *);

#endif

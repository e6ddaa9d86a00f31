/* SPDX-License-Identifier: ISC */
/*
 * Prepared statements of a transaction port: what clients have prepared, by the names
 * they gave, and what servers have, by names of ours.
 *
 * A statement (struct prepared) is a text with its parameter types; clients of a pool
 * that prepare the same under the same settings share one.  A client's names point to
 * statements; a server knows some of them, the ones used last.
 *
 * Owns:   statements are counted: names, servers and steps hold references.
 * Thread: a registry any, with a lock of its own; names and sets one at a time, that of
 *         the client and of the server they belong to.
 * Limits: the callers' (max_prepared_statements, max_statement_memory).
 */
#ifndef SESSION_PREPARED_H
#define SESSION_PREPARED_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/hash.h"
#include "base/list.h"

enum {
	PREPARED_NAME_SIZE = 28,        /* of a statement on a server, with its end */
	PREPARED_NAME_MAX = 63          /* PostgreSQL tells names apart by so much */
};

struct facts;
struct prepared_registry;

struct prepared {
	struct hash_node node;          /* in the registry, while is_listed */
	struct prepared_registry *registry;
	_Atomic uint32_t refs;
	_Atomic bool is_retired;        /* nobody prepares it any more */
	_Atomic bool is_stale;          /* ... as it gives other columns now */
	bool is_listed;                 /* others find it; under the registry's lock */
	bool is_alone;                  /* is not to be shared */
	bool may_touch;                 /* settings, when it runs: see state.h */
	bool may_name;                  /* ... or other statements: EXECUTE and its kin */
	bool may_make;                  /* ... or a table */
	bool is_sql;                    /* the text is a PREPARE of SQL */
	_Atomic uint8_t ends;           /* enum text_end, once it was looked at */
	bool may_pin;                   /* its server: see pin.h */
	_Atomic uint8_t reusable;       /* enum reusable of client_reuse.c, the same */
	_Atomic uint8_t leaves;         /* enum text_leaves of client_end.c, the same */
	_Atomic uint8_t reading;        /* enum statement_reading, of client_reads.c, the same */
	uint64_t id;                    /* tells it from all others of the process */
	uint64_t state_key;             /* settings of those who share it */
	_Atomic uint64_t owner;         /* who has got it, or several; set under the lock */
	uint64_t schema;                /* as prepared_schema() was */
	uint64_t print;                 /* hash_bytes() of the body */
	struct facts *_Atomic facts;    /* what it was found to be: facts.h */
	uint32_t len;
	uint32_t text_len;              /* of the query alone */
	char name[PREPARED_NAME_SIZE];  /* on servers */
	uint8_t body[];                 /* of Parse, from the query on */
};

/* Returns NULL without memory. */
struct prepared_registry *prepared_registry_create(void);
/* The owner's part; the memory goes with the last statement. */
void prepared_registry_release(struct prepared_registry *);

/* The statement with this body for clients with these settings, made if there is none;
 * with a reference.  who: the client's number.  NULL without memory. */
struct prepared *prepared_get(struct prepared_registry *, const void *body, size_t len,
	uint64_t state_key, uint64_t who);
/* From here on it is for this client alone.  False: another has got it, or did once. */
bool prepared_seclude(struct prepared *, uint64_t who);
/* The same for one client, shared with nobody. */
struct prepared *prepared_get_alone(struct prepared_registry *, const void *body,
	size_t len, uint64_t state_key);
struct prepared *prepared_ref(struct prepared *);
void prepared_unref(struct prepared *);         /* accepts NULL */

/* Who prepares the same now gets this one. */
bool prepared_is_current(const struct prepared *);

/* A PREPARE of SQL, shared with nobody. */
struct prepared *prepared_get_sql(struct prepared_registry *, const char *text, size_t len);

/* Nobody else has it: it was made just now, or others have left it. */
bool prepared_is_mine_only(const struct prepared *);

/* Nobody gets it any more: who asks for the same gets a new one.  Stale: who has it is
 * to be told first, as columns may be kept in mind. */
void prepared_retire(struct prepared *, bool is_stale);

/* Tables and the like may have changed: who prepares anew is to get what PostgreSQL
 * makes of it now.  Those who have prepared keep what they have, as in PostgreSQL. */
void prepared_schema_changed(void);

/* No client's name comes to a server if it begins like ours. */
bool prepared_is_our_name(const char *name);
/* A name that no statement ever has. */
const char *prepared_no_name(void);
/* A name for a text that PostgreSQL is only to read: closed right behind it. */
const char *prepared_text_name(void);

/* PREPARE, EXECUTE or DEALLOCATE may stand in this text.  Quick, and true when in doubt. */
bool prepared_may_name(const char *text, size_t len);

/* Bytes that all statements of the process take. */
uint64_t prepared_bytes(void);

/* --- a client's names ---------------------------------------------------------- */

enum prepared_does { PREPARED_MAKES, PREPARED_DROPS, PREPARED_DROPS_ALL };

/* What a statement whose text is PREPARE or DEALLOCATE does to the names. */
struct prepared_act {
	uint32_t refs;                  /* of one thread */
	enum prepared_does does;
	struct prepared *statement;     /* of PREPARED_MAKES */
	char name[PREPARED_NAME_MAX + 1];
};

/* Takes over the reference to the statement (or NULL), also when it fails (NULL). */
struct prepared_act *prepared_act_create(enum prepared_does, const char *name,
	struct prepared *);
struct prepared_act *prepared_act_ref(struct prepared_act *);
void prepared_act_unref(struct prepared_act *); /* accepts NULL */

struct prepared_name {
	struct hash_node node;
	uint32_t refs;                  /* the map's, and those of steps */
	bool is_linked;                 /* the client has it */
	bool is_told;                   /* ... and knows that it is stale */
	struct prepared_name *hidden;   /* what its name stands for if it comes to nothing */
	struct prepared *statement;
	struct prepared_act *act;       /* what it does to names when it runs; or NULL */
	uint32_t len;
	uint32_t noted;                 /* client_sql.c: the last text that named it */
	uint32_t era;                   /* of the names, plus 1: of another it is gone; 0: new */
	char text[];                    /* NUL-terminated */
};

struct prepared_names {
	struct hash_table table;        /* buckets NULL until something is added */
	uint64_t bytes;                 /* names and the texts they stand for */
	uint64_t changes;               /* that there were */
	uint32_t texts;                 /* client_sql.c: that may have named some */
	uint32_t era;                   /* ends when all are dropped: no error brings them back */
};

struct prepared_name *prepared_names_find(const struct prepared_names *, const char *name);
/* Takes over the reference to the statement, also when it fails (NULL). */
struct prepared_name *prepared_name_create(const char *name, struct prepared *);
struct prepared_name *prepared_names_add(struct prepared_names *, const char *name,
	struct prepared *);
/* Another statement under the same name; takes over the reference. */
void prepared_names_set(struct prepared_names *, struct prepared_name *,
	struct prepared *);
/* Out of the map, and back into it; if the name was given again meanwhile it is hidden
 * behind that one. */
void prepared_names_unlink(struct prepared_names *, struct prepared_name *);
void prepared_names_relink(struct prepared_names *, struct prepared_name *);
/* It came to nothing: out of the map, and back what it hides. */
void prepared_names_undo(struct prepared_names *, struct prepared_name *);
void prepared_names_clear(struct prepared_names *);
/* f for each; it may unlink the one that it is given. */
void prepared_names_each(struct prepared_names *, void (*f)(struct prepared_name *, void *),
	void *arg);

struct prepared_name *prepared_name_ref(struct prepared_name *);
void prepared_name_unref(struct prepared_name *);       /* accepts NULL */

static inline bool prepared_names_are_none(const struct prepared_names *names)
{
	return names->table.count == 0;
}

/* --- what a server has ----------------------------------------------------------- */

struct prepared_set {
	struct hash_table table;        /* buckets NULL until something is added */
	struct list used;               /* last used first */
	_Atomic uint32_t count;         /* for SHOW any thread reads it */
	uint64_t bytes;                 /* of their texts */
};

void prepared_set_init(struct prepared_set *);
/* True: it is there, and counts as used now. */
bool prepared_set_use(struct prepared_set *, struct prepared *);
/* How long ago it was last stamped; UINT64_MAX: never. */
uint64_t prepared_set_age(const struct prepared_set *, const struct prepared *,
	uint64_t now_us);
void prepared_set_stamp(struct prepared_set *, const struct prepared *, uint64_t now_us);
/* Takes a reference of its own.  False without memory. */
NODISCARD bool prepared_set_add(struct prepared_set *, struct prepared *);
void prepared_set_remove(struct prepared_set *, struct prepared *);
/* The same, if it is there: it may have gone altogether. */
struct prepared *prepared_set_holding(const struct prepared_set *, const struct prepared *);
/* The one not used for longest; NULL when there is none. */
struct prepared *prepared_set_oldest(const struct prepared_set *);
void prepared_set_clear(struct prepared_set *);

#endif

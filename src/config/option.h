/* SPDX-License-Identifier: ISC */
/*
 * The table of include/options.def, and how one value is read, compared, printed
 * and freed.
 *
 * Owns:   nothing; text and lists belong to the struct that holds them.
 * Thread: any; the table is constant.
 */
#ifndef CONFIG_OPTION_H
#define CONFIG_OPTION_H

#include "base/base.h"
#include "config/fields.h"

struct doc_node;
struct doc_source;

enum option_type {
	OPTION_U32,
	OPTION_COUNT,
	OPTION_MODE,
	OPTION_BOOL,
	OPTION_DURATION,
	OPTION_SIZE,
	OPTION_TEXT,
	OPTION_SECRET,
	OPTION_PATH,
	OPTION_LIST,
	OPTION_PATHS,
	OPTION_COMMAND,
#define OPTION_WORDS(name, held, ...) OPTION_##name,
#include "option_words.def"
#undef OPTION_WORDS
	OPTION_TYPE_COUNT
};

enum option_effect { OPTION_NOW, OPTION_NEW, OPTION_RESTART };

/* The struct that holds an option. */
enum option_home {
	OPTION_IN_PROCESS,
	OPTION_IN_HOST,
	OPTION_IN_WORKLOAD,
	OPTION_IN_SHARE,
	OPTION_IN_DATABASE,
	OPTION_IN_USER,
	OPTION_IN_AUTH,
	OPTION_IN_ADMIN,
	OPTION_IN_HTTP,
	OPTION_IN_LOG,
	OPTION_IN_SETTINGS,
	OPTION_HOME_COUNT
};

/* Places of the file where an option may be written. */
enum option_level {
	OPTION_AT_PROCESS = 1 << 0,
	OPTION_AT_DEFAULTS = 1 << 1,
	OPTION_AT_HOST = 1 << 2,
	OPTION_AT_WORKLOAD = 1 << 3,
	OPTION_AT_SHARE = 1 << 4,               /* workloads.W.hosts.H */
	OPTION_AT_DATABASE = 1 << 5,
	OPTION_AT_USER = 1 << 6,
	OPTION_AT_AUTH = 1 << 7,
	OPTION_AT_ADMIN = 1 << 8,
	OPTION_AT_HTTP = 1 << 9,
	OPTION_AT_LOG = 1 << 10,
	OPTION_AT_TLS = 1 << 11
};

struct option {
	const char *name;
	const char *def;                /* YAML text, or NULL: must be given */
	const char *help;
	uint64_t min;
	uint64_t max;
	size_t offset;                  /* in the struct of home */
	enum option_type type;
	enum option_home home;
	enum option_effect effect;
	unsigned levels;                /* of enum option_level */
	unsigned setting;               /* enum option_setting, if in settings */
};

extern const struct option option_table[];
extern const size_t option_count;

/* The option that is called name at that level, or NULL. */
const struct option *option_find(enum option_level, const char *name);

/* The option behind one of struct settings. */
const struct option *option_of_setting(enum option_setting);

/* Whether the field is a char *, or a struct option_list. */
bool option_is_text(const struct option *);
bool option_is_list(const struct option *);

/* Whether it names what is read, written or run as the router's user: only who may change
 * the file decides that. */
bool option_is_for_file(const struct option *);

/* Reads the value of a node into the struct at base, freeing what was there.
 * Returns 0, -EINVAL or -ENOMEM; the source's diag is filled on failure. */
NODISCARD int option_read(const struct option *, const struct doc_source *,
	const struct doc_node *, void *base);

/* Sets all options of one home to their defaults; required ones to zero or "".
 * base is raw memory before.  Returns 0 or -ENOMEM. */
NODISCARD int option_set_defaults(enum option_home, void *base);

/* Frees what the options of one home hold, secrets wiped first. */
void option_free(enum option_home, void *base);

/* Copies a value from one struct to another; text and lists are not copied and
 * still belong to from. */
void option_borrow(const struct option *, const void *from, void *to);

bool option_same(const struct option *, const void *a, const void *b);

/* The value as a user would write it, without quotes; secrets as "***" unless
 * empty, lists as a, "b, c", of a command the program and "***" for its arguments.  Returns what malloc gave, or NULL without memory. */
char *option_text(const struct option *, const void *base);

/* Its default in the same form: "" for text and lists that default to nothing, and
 * where it must be given.  Returns to. */
const char *option_default_text(const struct option *, char *to, size_t size);

/* "0 to 65535", "10ms to 1h", "transaction, session or statement", ... Returns
 * to. */
const char *option_range(const struct option *, char *to, size_t size);

/* The words of an enum type, count in *count; NULL for other types. */
const char *const *option_words(enum option_type, size_t *count);

const char *option_type_name(enum option_type);
const char *option_effect_name(enum option_effect);     /* "at reload", ... */

#endif

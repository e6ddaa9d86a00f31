/* SPDX-License-Identifier: ISC */
#include "config/option.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "config/doc.h"
#include "config/value.h"

enum { WHY_MAX = 400, ITEM_MAX = 1023 };

/* Bounds in options.def. */
#define REQUIRED NULL
#define MSEC(n)  ((n) * USEC_PER_MSEC)
#define SEC(n)   ((n) * USEC_PER_SEC)
#define HOURS(n) ((n) * 3600 * USEC_PER_SEC)
#define DAYS(n)  ((n) * 86400 * USEC_PER_SEC)
#define KB(n)    ((uint64_t)(n) << 10)
#define GB(n)    ((uint64_t)(n) << 30)

/* Where the field of each type lies, and the levels of settings. */
#define AT_U32(home, name)        offsetof(struct home, name)
#define AT_COUNT(home, name)      offsetof(struct home, name)
#define AT_MODE(home, name)       offsetof(struct home, name)
#define AT_BOOL(home, name)       offsetof(struct home, name)
#define AT_DURATION(home, name)   offsetof(struct home, name##_us)
#define AT_SIZE(home, name)       offsetof(struct home, name##_bytes)
#define AT_TEXT(home, name)       offsetof(struct home, name)
#define AT_SECRET(home, name)     offsetof(struct home, name)
#define AT_PATH(home, name)       offsetof(struct home, name)
#define AT_LIST(home, name)       offsetof(struct home, name)
#define AT_PATHS(home, name)      offsetof(struct home, name)
#define AT_COMMAND(home, name)    offsetof(struct home, name)
#define AT_IO_BACKEND(home, name) offsetof(struct home, name)
#define AT_POOL_MODE(home, name)  offsetof(struct home, name)
#define AT_WAIT_ERROR(home, name) offsetof(struct home, name)
#define AT_SESSION_STATE(home, name) offsetof(struct home, name)
#define AT_STATE_POLICY(home, name) offsetof(struct home, name)
#define AT_KEPT_POLICY(home, name)  offsetof(struct home, name)
#define AT_SESSION_AUDIT(home, name) offsetof(struct home, name)
#define AT_SESSION_UNSEEN(home, name) offsetof(struct home, name)
#define AT_SESSION_ADVICE(home, name) offsetof(struct home, name)
#define AT_AUTH_TYPE(home, name)  offsetof(struct home, name)
#define AT_LOG_LEVEL(home, name)  offsetof(struct home, name)
#define AT_LOG_DESTINATION(home, name) offsetof(struct home, name)
#define AT_LOG_FORMAT(home, name) offsetof(struct home, name)
#define AT_LOG_FACILITY(home, name) offsetof(struct home, name)
#define AT_TARGET(home, name)     offsetof(struct home, name)
#define AT_SSLMODE(home, name)    offsetof(struct home, name)
#define AT_SSLNEGOTIATION(home, name) offsetof(struct home, name)
#define AT_CLEARTEXT(home, name) offsetof(struct home, name)
#define AT_TLS_PROTOCOLS(home, name) offsetof(struct home, name)

#define LEVELS_WORKLOAD (OPTION_AT_DEFAULTS | OPTION_AT_WORKLOAD)
#define LEVELS_DATABASE (OPTION_AT_DEFAULTS | OPTION_AT_DATABASE)
#define LEVELS_USER     (OPTION_AT_DEFAULTS | OPTION_AT_USER)
#define LEVELS_TLS      (OPTION_AT_TLS | OPTION_AT_WORKLOAD | OPTION_AT_ADMIN)
#define LEVELS_ALL      (LEVELS_WORKLOAD | LEVELS_DATABASE | LEVELS_USER)

#define ROW(name, type, def, min, max, effect, help, home, in, at, setting)              \
	{ #name, def, help, min, max, AT_##type(home, name), OPTION_##type, in,          \
	  OPTION_##effect, at, setting },

const struct option option_table[] = {
#define OPTION_PROCESS(name, type, def, min, max, effect, help)                          \
	ROW(name, type, def, min, max, effect, help, process_options, OPTION_IN_PROCESS, \
		OPTION_AT_PROCESS, 0)
#define OPTION_HOST(name, type, def, min, max, effect, help)                             \
	ROW(name, type, def, min, max, effect, help, host_options, OPTION_IN_HOST,       \
		OPTION_AT_HOST, 0)
#define OPTION_WORKLOAD(name, type, def, min, max, effect, help)                         \
	ROW(name, type, def, min, max, effect, help, workload_options,                   \
		OPTION_IN_WORKLOAD, OPTION_AT_WORKLOAD, 0)
#define OPTION_SHARE(name, type, def, min, max, effect, help)                            \
	ROW(name, type, def, min, max, effect, help, share_options, OPTION_IN_SHARE,     \
		OPTION_AT_WORKLOAD | OPTION_AT_SHARE, 0)
#define OPTION_DATABASE(name, type, def, min, max, effect, help)                         \
	ROW(name, type, def, min, max, effect, help, database_options,                   \
		OPTION_IN_DATABASE, OPTION_AT_DATABASE, 0)
#define OPTION_USER(name, type, def, min, max, effect, help)                             \
	ROW(name, type, def, min, max, effect, help, user_options, OPTION_IN_USER,       \
		OPTION_AT_USER, 0)
#define OPTION_AUTH(name, type, def, min, max, effect, help)                             \
	ROW(name, type, def, min, max, effect, help, auth_options, OPTION_IN_AUTH,       \
		OPTION_AT_AUTH, 0)
#define OPTION_ADMIN(name, type, def, min, max, effect, help)                            \
	ROW(name, type, def, min, max, effect, help, admin_options, OPTION_IN_ADMIN,     \
		OPTION_AT_ADMIN, 0)
#define OPTION_HTTP(name, type, def, min, max, effect, help)                             \
	ROW(name, type, def, min, max, effect, help, http_options, OPTION_IN_HTTP,       \
		OPTION_AT_HTTP, 0)
#define OPTION_LOG(name, type, def, min, max, effect, help)                              \
	ROW(name, type, def, min, max, effect, help, log_options, OPTION_IN_LOG,         \
		OPTION_AT_LOG, 0)
#define OPTION_POOL(name, type, def, min, max, levels, effect, help)                     \
	ROW(name, type, def, min, max, effect, help, settings, OPTION_IN_SETTINGS,       \
		LEVELS_##levels, OPTION_SETTING_##name)
#include "options.def"
};

const size_t option_count = COUNT_OF(option_table);

/* What a level remembers of its settings is one bit each. */
_Static_assert(OPTION_SETTING_COUNT <= 64, "config_level.given has 64 bits");

#define OPTION_WORDS(name, held, ...)                                                    \
	static const char *const words_##name[] = { __VA_ARGS__ };
#include "option_words.def"
#undef OPTION_WORDS

_Static_assert(COUNT_OF(words_LOG_LEVEL) == SLOG_LEVEL_COUNT, "a word for each level");
#define OPTION_WORDS(name, held, ...)                                                    \
	_Static_assert(sizeof(held) == sizeof(unsigned),                                 \
		"words are read and written as unsigned");
#include "option_words.def"
#undef OPTION_WORDS

struct type {
	const char *name;
	size_t size;
	const char *const *words;
	size_t word_count;
};

static const struct type types[OPTION_TYPE_COUNT] = {
	[OPTION_U32] = { .name = "number", .size = sizeof(uint32_t) },
	[OPTION_COUNT] = { .name = "number or auto", .size = sizeof(uint32_t) },
	[OPTION_MODE] = { .name = "octal text", .size = sizeof(uint32_t) },
	[OPTION_BOOL] = { .name = "boolean", .size = sizeof(bool) },
	[OPTION_DURATION] = { .name = "duration", .size = sizeof(uint64_t) },
	[OPTION_SIZE] = { .name = "size", .size = sizeof(uint64_t) },
	[OPTION_TEXT] = { .name = "text", .size = sizeof(char *) },
	[OPTION_SECRET] = { .name = "secret", .size = sizeof(char *) },
	[OPTION_PATH] = { .name = "file", .size = sizeof(char *) },
	[OPTION_LIST] = { .name = "list", .size = sizeof(struct option_list) },
	[OPTION_PATHS] = { .name = "list of files", .size = sizeof(struct option_list) },
	[OPTION_COMMAND] = { .name = "command", .size = sizeof(struct option_list) },
#define OPTION_WORDS(name, held, ...)                                                    \
	[OPTION_##name] = { "word", sizeof(held), words_##name, COUNT_OF(words_##name) },
#include "option_words.def"
#undef OPTION_WORDS
};

static void *field(const struct option *o, void *base)
{
	return (char *)base + o->offset;
}

static const void *const_field(const struct option *o, const void *base)
{
	return (const char *)base + o->offset;
}

bool option_is_text(const struct option *o)
{
	return o->type == OPTION_TEXT || o->type == OPTION_SECRET || o->type == OPTION_PATH;
}

bool option_is_list(const struct option *o)
{
	return o->type == OPTION_LIST || o->type == OPTION_PATHS || o->type == OPTION_COMMAND;
}

bool option_is_for_file(const struct option *o)
{
	return o->type == OPTION_PATH || o->type == OPTION_PATHS || o->type == OPTION_COMMAND;
}

const struct option *option_find(enum option_level level, const char *name)
{
	for (size_t i = 0; i < option_count; i++) {
		if ((option_table[i].levels & level) != 0 &&
			strcmp(option_table[i].name, name) == 0)
			return &option_table[i];
	}
	return NULL;
}

const struct option *option_of_setting(enum option_setting setting)
{
	/* They are the last rows of the table. */
	return &option_table[option_count - OPTION_SETTING_COUNT + setting];
}

void option_list_free(struct option_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	list->items = NULL;
	list->count = 0;
}

static void field_free(const struct option *o, void *base)
{
	if (option_is_list(o)) {
		option_list_free(field(o, base));
	} else if (option_is_text(o)) {
		char **text = field(o, base);

		if (o->type == OPTION_SECRET && *text != NULL)
			explicit_bzero(*text, strlen(*text));
		free(*text);
		*text = NULL;
	}
}

void option_free(enum option_home home, void *base)
{
	for (size_t i = 0; i < option_count; i++) {
		if (option_table[i].home == home)
			field_free(&option_table[i], base);
	}
}

static int fail(const struct option *o, const struct doc_source *source,
	const struct doc_node *node, const char *why)
{
	return doc_fail(source, node, "%s: %s", o->name, why);
}

static int fail_memory(const struct doc_source *source, const struct doc_node *node)
{
	(void)doc_fail(source, node, "out of memory");
	return -ENOMEM;
}

static int fail_range(const struct option *o, const struct doc_source *source,
	const struct doc_node *node)
{
	char range[WHY_MAX];

	return doc_fail(source, node, "%s: %.60s is out of range; allowed is %s", o->name,
		node->text, option_range(o, range, sizeof(range)));
}

/* A single value that is there; is_bare: and is not in quotes. */
static int want_scalar(const struct option *o, const struct doc_source *source,
	const struct doc_node *node, bool is_bare)
{
	char range[WHY_MAX];

	if (node->kind == DOC_NULL)
		return doc_fail(source, node, "%s: a value is missing; allowed is %s",
			o->name, option_range(o, range, sizeof(range)));
	if (node->kind != DOC_SCALAR)
		return doc_fail(source, node, "%s: needs a %s, not %s", o->name,
			types[o->type].name, doc_kind_name(node));
	if (is_bare && node->is_quoted)
		return doc_fail(source, node,
			"%s: needs a %s, not a text; write it without quotes",
			o->name, types[o->type].name);
	return 0;
}

static int read_u32(const struct option *o, const struct doc_source *source,
	const struct doc_node *node, uint32_t *out)
{
	char why[WHY_MAX];
	uint64_t value;
	int ret;

	ret = want_scalar(o, source, node, true);
	if (ret < 0)
		return ret;
	if (o->type == OPTION_COUNT && strcmp(node->text, "auto") == 0) {
		*out = OPTION_AUTO;
		return 0;
	}
	if (node->text[0] == '-' && value_read_number(node->text + 1, &value, why,
			sizeof(why)))
		return fail_range(o, source, node);
	if (!value_read_number(node->text, &value, why, sizeof(why)))
		return fail(o, source, node, why);
	if (value < o->min || value > o->max)
		return fail_range(o, source, node);
	*out = (uint32_t)value;
	return 0;
}

static int read_bool(const struct option *o, const struct doc_source *source,
	const struct doc_node *node, bool *out)
{
	int ret = want_scalar(o, source, node, true);

	if (ret < 0)
		return ret;
	*out = strcmp(node->text, "true") == 0;
	if (!*out && strcmp(node->text, "false") != 0)
		return doc_fail(source, node, "%s: write true or false, not %.60s",
			o->name, node->text);
	return 0;
}

static int read_mode(const struct option *o, const struct doc_source *source,
	const struct doc_node *node, uint32_t *out)
{
	char why[WHY_MAX];
	uint64_t value;
	int ret;

	ret = want_scalar(o, source, node, false);
	if (ret < 0)
		return ret;
	if (!value_read_mode(node->text, &value, why, sizeof(why)))
		return fail(o, source, node, why);
	if (!node->is_quoted)
		return doc_fail(source, node, "%s: an octal number is written in quotes: "
			"\"%s\"", o->name, node->text);
	if (value > o->max)
		return fail_range(o, source, node);
	*out = (uint32_t)value;
	return 0;
}

static int read_u64(const struct option *o, const struct doc_source *source,
	const struct doc_node *node, uint64_t *out)
{
	char why[WHY_MAX];
	uint64_t value;
	bool is_good;
	int ret;

	ret = want_scalar(o, source, node, false);
	if (ret < 0)
		return ret;
	is_good = o->type == OPTION_SIZE ?
		value_read_size(node->text, &value, why, sizeof(why)) :
		value_read_duration(node->text, &value, why, sizeof(why));
	if (!is_good)
		return fail(o, source, node, why);
	if (value < o->min || value > o->max)
		return fail_range(o, source, node);
	*out = value;
	return 0;
}

static int read_text(const struct option *o, const struct doc_source *source,
	const struct doc_node *node, char **out)
{
	char *copy;
	int ret;

	ret = want_scalar(o, source, node, false);
	if (ret < 0)
		return ret;
	if (node->len < o->min)
		return fail(o, source, node, "must not be empty");
	if (node->len > o->max)
		return doc_fail(source, node,
			"%s: %zu bytes are too long; at most %" PRIu64 " are allowed",
			o->name, node->len, o->max);
	copy = strdup(node->text);
	if (copy == NULL)
		return fail_memory(source, node);
	*out = copy;
	return 0;
}

static int read_word(const struct option *o, const struct doc_source *source,
	const struct doc_node *node, unsigned *out)
{
	const struct type *type = &types[o->type];
	char range[WHY_MAX];
	const char *near;
	int ret;

	ret = want_scalar(o, source, node, false);
	if (ret < 0)
		return ret;
	for (unsigned i = 0; i < type->word_count; i++) {
		if (strcmp(node->text, type->words[i]) == 0) {
			*out = i;
			return 0;
		}
	}
	near = value_nearest(node->text, type->words, type->word_count);
	(void)option_range(o, range, sizeof(range));
	if (near != NULL)
		return doc_fail(source, node,
			"%s: unknown word \"%.60s\"; did you mean %s? Allowed is %s",
			o->name, node->text, near, range);
	return doc_fail(source, node, "%s: unknown word \"%.60s\"; allowed is %s",
		o->name, node->text, range);
}

static int add_item(const struct option *o, const struct doc_source *source,
	const struct doc_node *node, struct option_list *list)
{
	if (node->kind != DOC_SCALAR)
		return doc_fail(source, node, "%s: needs a list of texts; this is %s",
			o->name, doc_kind_name(node));
	if (node->len == 0 || node->len > ITEM_MAX)
		return doc_fail(source, node,
			"%s: an item has 1 to %d bytes, this one %zu", o->name, ITEM_MAX,
			node->len);
	for (size_t i = 0; i < list->count; i++) {
		if (strcmp(list->items[i], node->text) == 0)
			return doc_fail(source, node,
				"%s: \"%.60s\" stands in the list twice", o->name,
				node->text);
	}
	list->items[list->count] = strdup(node->text);
	if (list->items[list->count] == NULL)
		return fail_memory(source, node);
	list->count++;
	return 0;
}

/* A list, or a single value for a list of one. */
static int read_list(const struct option *o, const struct doc_source *source,
	const struct doc_node *node, struct option_list *out)
{
	bool is_list = node->kind == DOC_LIST;
	const struct doc_node *item = is_list ? node->first : node;
	size_t count = is_list ? node->count : 1;
	struct option_list list = { 0 };
	char range[WHY_MAX];
	int ret = 0;

	if (node->kind == DOC_NULL || node->kind == DOC_MAP)
		return doc_fail(source, node, "%s: needs a list, not %s", o->name,
			doc_kind_name(node));
	if (!is_list && strchr(node->text, ',') != NULL)
		return doc_fail(source, node, "%s: write several as a list: [ a, b ]",
			o->name);
	if (count < o->min || count > o->max)
		return doc_fail(source, node, "%s: has %zu items; allowed is %s", o->name,
			count, option_range(o, range, sizeof(range)));
	list.items = calloc(count + 1, sizeof(*list.items));
	if (list.items == NULL)
		return fail_memory(source, node);
	for (size_t i = 0; i < count && ret == 0; i++, item = item->next)
		ret = add_item(o, source, item, &list);
	if (ret < 0)
		option_list_free(&list);
	else
		*out = list;
	return ret;
}

int option_read(const struct option *o, const struct doc_source *source,
	const struct doc_node *node, void *base)
{
	union {
		uint32_t u32;
		uint64_t u64;
		bool is_true;
		unsigned word;
		char *text;
		struct option_list list;
	} value;
	int ret = 0;

	switch (o->type) {
	case OPTION_U32:
	case OPTION_COUNT:
		ret = read_u32(o, source, node, &value.u32);
		break;
	case OPTION_MODE:
		ret = read_mode(o, source, node, &value.u32);
		break;
	case OPTION_BOOL:
		ret = read_bool(o, source, node, &value.is_true);
		break;
	case OPTION_DURATION:
	case OPTION_SIZE:
		ret = read_u64(o, source, node, &value.u64);
		break;
	case OPTION_TEXT:
	case OPTION_SECRET:
	case OPTION_PATH:
		ret = read_text(o, source, node, &value.text);
		break;
	case OPTION_LIST:
	case OPTION_PATHS:
	case OPTION_COMMAND:
		ret = read_list(o, source, node, &value.list);
		break;
#define OPTION_WORDS(name, held, ...) case OPTION_##name:
#include "option_words.def"
#undef OPTION_WORDS
		ret = read_word(o, source, node, &value.word);
		break;
	case OPTION_TYPE_COUNT:
		abort();
	}
	if (ret < 0)
		return ret;
	field_free(o, base);
	memcpy(field(o, base), &value, types[o->type].size);
	return 0;
}

/* A default as the node that YAML would make of it; a unit test holds the two
 * against each other.  to is where the text goes. */
static struct doc_node default_node(const struct option *o, char *to, size_t size)
{
	const char *def = o->def != NULL ? o->def : "";
	size_t len = strlen(def);
	struct doc_node node = { .kind = DOC_SCALAR, .text = to };

	if (strcmp(def, "[]") == 0)
		node.kind = DOC_LIST;
	node.is_quoted = def[0] == '"';
	if (node.is_quoted)
		(void)snprintf(to, size, "%.*s", (int)len - 2, def + 1);
	else
		(void)snprintf(to, size, "%s", def);
	node.len = strlen(to);
	return node;
}

static int set_default(const struct option *o, void *base)
{
	char text[WHY_MAX];
	struct doc_node node = default_node(o, text, sizeof(text));
	struct diag diag = { 0 };
	struct doc_source source = { .file = "default", .diag = &diag };

	if (o->def != NULL)
		return option_read(o, &source, &node, base);
	if (!option_is_text(o))
		return 0;
	*(char **)field(o, base) = strdup("");
	return *(char **)field(o, base) == NULL ? -ENOMEM : 0;
}

int option_set_defaults(enum option_home home, void *base)
{
	int ret = 0;

	for (size_t i = 0; i < option_count; i++) {
		if (option_table[i].home == home)
			memset(field(&option_table[i], base), 0,
				types[option_table[i].type].size);
	}
	for (size_t i = 0; i < option_count && ret == 0; i++) {
		if (option_table[i].home == home)
			ret = set_default(&option_table[i], base);
	}
	if (ret < 0)
		option_free(home, base);
	return ret;
}

void option_borrow(const struct option *o, const void *from, void *to)
{
	memcpy(field(o, to), const_field(o, from), types[o->type].size);
}

static bool list_same(const struct option_list *a, const struct option_list *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (strcmp(a->items[i], b->items[i]) != 0)
			return false;
	}
	return true;
}

bool option_same(const struct option *o, const void *a, const void *b)
{
	const void *left = const_field(o, a), *right = const_field(o, b);

	if (option_is_list(o))
		return list_same(left, right);
	if (option_is_text(o))
		return strcmp(*(char *const *)left, *(char *const *)right) == 0;
	return memcmp(left, right, types[o->type].size) == 0;
}

const char *const *option_words(enum option_type type, size_t *count)
{
	*count = types[type].word_count;
	return types[type].words;
}

const char *option_type_name(enum option_type type)
{
	return types[type].name;
}

const char *option_default_text(const struct option *o, char *to, size_t size)
{
	struct doc_node node = default_node(o, to, size);

	if (node.kind == DOC_LIST && size > 0)
		to[0] = '\0';
	return to;
}

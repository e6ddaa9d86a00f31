/* SPDX-License-Identifier: ISC */
/*
 * Options as text for people: values, ranges, effects.
 *
 * Thread: any.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/option.h"
#include "config/value.h"

enum { NUMBER_MAX = 32 };

/* Would it be another list without quotes? */
static bool needs_quotes(const char *item)
{
	size_t len = strlen(item);

	return len == 0 || item[0] == ' ' || item[len - 1] == ' ' || item[0] == '\'' ||
		strpbrk(item, ",\"[]{}#") != NULL;
}

static char *add_quoted(char *to, const char *item)
{
	*to++ = '"';
	for (; *item != '\0'; item++) {
		if (*item == '"' || *item == '\\')
			*to++ = '\\';
		*to++ = *item;
	}
	*to++ = '"';
	*to = '\0';
	return to;
}

/* As between the brackets of a list in the file. */
static char *list_text(const struct option_list *list)
{
	size_t len = 1;
	char *text, *to;

	for (size_t i = 0; i < list->count; i++)
		len += 2 * strlen(list->items[i]) + 4;
	text = malloc(len);
	if (text == NULL)
		return NULL;
	to = text;
	*to = '\0';
	for (size_t i = 0; i < list->count; i++) {
		if (i > 0)
			to = stpcpy(to, ", ");
		to = needs_quotes(list->items[i]) ? add_quoted(to, list->items[i]) :
						    stpcpy(to, list->items[i]);
	}
	return text;
}

/* What is told to a program may be secret. */
static char *command_text(const struct option_list *list)
{
	char *text;

	if (list->count <= 1)
		return list_text(list);
	return asprintf(&text, "%s, ***", list->items[0]) < 0 ? NULL : text;
}

static char *word_text(enum option_type type, const void *value)
{
	const char *const *words;
	unsigned word;
	size_t count;

	memcpy(&word, value, sizeof(word));
	words = option_words(type, &count);
	return strdup(word < count ? words[word] : "?");
}

static char *number_text(const struct option *o, const void *value)
{
	char text[NUMBER_MAX];
	uint32_t number;

	memcpy(&number, value, sizeof(number));
	if (o->type == OPTION_COUNT && number == OPTION_AUTO)
		return strdup("auto");
	(void)snprintf(
		text, sizeof(text), o->type == OPTION_MODE ? "%04o" : "%u", number);
	return strdup(text);
}

char *option_text(const struct option *o, const void *base)
{
	const void *value = (const char *)base + o->offset;
	char text[NUMBER_MAX];

	switch (o->type) {
	case OPTION_U32:
	case OPTION_COUNT:
	case OPTION_MODE:
		return number_text(o, value);
	case OPTION_BOOL:
		return strdup(*(const bool *)value ? "true" : "false");
	case OPTION_DURATION:
		return strdup(value_print_duration(*(const uint64_t *)value, text,
			sizeof(text)));
	case OPTION_SIZE:
		return strdup(
			value_print_size(*(const uint64_t *)value, text, sizeof(text)));
	case OPTION_TEXT:
	case OPTION_PATH:
		return strdup(*(char *const *)value);
	case OPTION_SECRET:
		return strdup(**(char *const *)value == '\0' ? "" : "***");
	case OPTION_LIST:
	case OPTION_PATHS:
		return list_text(value);
	case OPTION_COMMAND:
		return command_text(value);
#define OPTION_WORDS(name, held, ...) case OPTION_##name:
#include "option_words.def"
#undef OPTION_WORDS
		return word_text(o->type, value);
	case OPTION_TYPE_COUNT:
		break;
	}
	abort();
}

static void words_range(enum option_type type, char *to, size_t size)
{
	const char *const *words;
	size_t count, used = 0;

	words = option_words(type, &count);
	for (size_t i = 0; i < count && used < size; i++) {
		const char *before = i == 0 ? "" : i + 1 == count ? " or " : ", ";

		used += (size_t)snprintf(
			to + used, size - used, "%s%s", before, words[i]);
	}
}

static void length_range(const struct option *o, const char *what, char *to, size_t size)
{
	if (o->min == 0)
		(void)snprintf(to, size, "at most %" PRIu64 " %s", o->max, what);
	else
		(void)snprintf(to, size, "%" PRIu64 " to %" PRIu64 " %s", o->min, o->max,
			what);
}

const char *option_range(const struct option *o, char *to, size_t size)
{
	char min[NUMBER_MAX], max[NUMBER_MAX];

	switch (o->type) {
	case OPTION_U32:
	case OPTION_COUNT:
		(void)snprintf(to, size, "%" PRIu64 " to %" PRIu64 "%s", o->min, o->max,
			o->type == OPTION_COUNT ? ", or auto" : "");
		break;
	case OPTION_MODE:
		(void)snprintf(to, size, "\"0000\" to \"%04o\"", (unsigned)o->max);
		break;
	case OPTION_BOOL:
		(void)snprintf(to, size, "true or false");
		break;
	case OPTION_DURATION:
		(void)snprintf(to, size, "%s to %s",
			value_print_duration(o->min, min, sizeof(min)),
			value_print_duration(o->max, max, sizeof(max)));
		break;
	case OPTION_SIZE:
		(void)snprintf(to, size, "%s to %s",
			value_print_size(o->min, min, sizeof(min)),
			value_print_size(o->max, max, sizeof(max)));
		break;
	case OPTION_TEXT:
	case OPTION_SECRET:
	case OPTION_PATH:
		length_range(o, "bytes", to, size);
		break;
	case OPTION_LIST:
	case OPTION_PATHS:
	case OPTION_COMMAND:
		length_range(o, "items", to, size);
		break;
#define OPTION_WORDS(name, held, ...) case OPTION_##name:
#include "option_words.def"
#undef OPTION_WORDS
		words_range(o->type, to, size);
		break;
	case OPTION_TYPE_COUNT:
		abort();
	}
	return to;
}

const char *option_effect_name(enum option_effect effect)
{
	switch (effect) {
	case OPTION_NOW:
		return "at reload";
	case OPTION_NEW:
		return "at reload, for new connections";
	case OPTION_RESTART:
		return "at restart";
	}
	return "?";
}

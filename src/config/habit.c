/* SPDX-License-Identifier: ISC */
#include "config/habit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "config/import_priv.h"
#include "config/option.h"
#include "config/value.h"

enum kind { KIND_OPTION, KIND_CODE, KIND_WITHOUT };

static const struct rule {
	enum import_section section;
	const char *key;
	enum kind kind;
	enum import_form form;
	const char *text;               /* the option, or the reason */
} rules[] = {
#define PGBOUNCER(section, key, where, form, option)                                     \
	{ SECTION_##section, #key, KIND_OPTION, IMPORT_##form, #option },
#define PGBOUNCER_CODE(section, key) { SECTION_##section, #key, KIND_CODE, IMPORT_PLAIN, "" },
#define PGBOUNCER_NEEDLESS(section, key, why)                                            \
	{ SECTION_##section, #key, KIND_WITHOUT, IMPORT_PLAIN, (why) },
#define PGBOUNCER_LOST(section, key, why)                                                \
	{ SECTION_##section, #key, KIND_WITHOUT, IMPORT_PLAIN, (why) },
#include "pgbouncer.def"
};

/* SHOW CONFIG compares each key with all of them. */
static bool is_same(const char *a, const char *b)
{
	return a[0] == b[0] && strcmp(a, b) == 0;
}

static const struct rule *find_rule(const char *key)
{
	for (size_t i = 0; i < COUNT_OF(rules); i++) {
		if (rules[i].section == SECTION_GLOBAL && is_same(rules[i].key, key))
			return &rules[i];
	}
	return NULL;
}

static const struct option *find_option(const char *name)
{
	for (size_t i = 0; i < option_count; i++) {
		if (is_same(option_table[i].name, name))
			return &option_table[i];
	}
	return NULL;
}

static bool is_number(const char *value)
{
	return value[0] != '\0' && strspn(value, "0123456789.") == strlen(value);
}

static const char *duration(enum import_form form, const char *value, char to[HABIT_VALUE_MAX])
{
	double number = strtod(value, NULL) * (form == IMPORT_MSECS ? 1e3 : 1e6) + 0.5;
	uint64_t us;

	/* Out of everybody's bounds, and called what it was called. */
	if (!(number < 1e16)) {
		(void)snprintf(to, HABIT_VALUE_MAX, "%.60s%s", value,
			form == IMPORT_MSECS ? "ms" : "s");
		return to;
	}
	us = (uint64_t)number;
	if (us == 0)
		return "0";
	if (us % USEC_PER_SEC == 0)
		(void)snprintf(to, HABIT_VALUE_MAX, "%" PRIu64 "s", us / USEC_PER_SEC);
	else
		(void)snprintf(to, HABIT_VALUE_MAX, "%" PRIu64 "us", us);
	return to;
}

/* What --import knows how to read, by hand. */
static int read_code(const char **name, const char **value, struct diag *diag)
{
	static const char *const elsewhere[][2] = {
		{ "listen_addr", "workloads.NAME.listen" },
		{ "listen_port", "workloads.NAME.listen" },
		{ "unix_socket_dir", "workloads.NAME.listen" },
		{ "auth_user", "hosts.NAME.user" },
		{ "logfile", "log.file, with log.destination" },
		{ "syslog", "log.destination" },
	};

	if (strcmp(*name, "verbose") == 0 && is_number(*value)) {
		*name = "log.level";
		*value = strcmp(*value, "0") == 0 ? "info" : "debug";
		return 0;
	}
	for (size_t i = 0; i < COUNT_OF(elsewhere); i++) {
		if (strcmp(*name, elsewhere[i][0]) != 0)
			continue;
		diag_set(diag, NULL, 0, 0, "%s is %s here", *name, elsewhere[i][1]);
		return -EINVAL;
	}
	return 0;
}

int habit_read(const char **name, const char **value, char to[HABIT_VALUE_MAX],
	struct diag *diag)
{
	const struct rule *rule = find_rule(*name);
	const struct option *o;

	if (rule == NULL)
		return 0;
	if (rule->kind == KIND_CODE)
		return read_code(name, value, diag);
	if (rule->kind == KIND_WITHOUT) {
		diag_set(diag, NULL, 0, 0, "%s means nothing here: %s", *name, rule->text);
		return -EINVAL;
	}
	*name = rule->text;
	o = find_option(rule->text);
	if (o == NULL || !is_number(*value))
		return 0;
	if (o->type == OPTION_DURATION)
		*value = duration(rule->form, *value, to);
	else if (o->type == OPTION_BOOL && strcmp(*value, "0") == 0)
		*value = "false";
	else if (o->type == OPTION_BOOL && strcmp(*value, "1") == 0)
		*value = "true";
	return 0;
}

bool habit_has(const char *name)
{
	const struct rule *rule = find_rule(name);

	return rule != NULL && rule->kind == KIND_OPTION && is_same(rule->text, name);
}

const char *habit_show(const char *name, const char *value, char to[HABIT_VALUE_MAX])
{
	const struct rule *rule = value == NULL ? NULL : find_rule(name);
	const struct option *o;
	char why[256];
	uint64_t us;

	if (rule == NULL || rule->kind != KIND_OPTION)
		return value;
	o = find_option(name);
	if (o == NULL)
		return value;
	if (o->type == OPTION_BOOL)
		return strcmp(value, "true") == 0 ? "1" : "0";
	if (o->type != OPTION_DURATION || !value_read_duration(value, &us, why, sizeof(why)))
		return value;
	if (rule->form == IMPORT_MSECS)
		(void)snprintf(to, HABIT_VALUE_MAX, "%" PRIu64, us / USEC_PER_MSEC);
	else if (us % USEC_PER_SEC == 0)
		(void)snprintf(to, HABIT_VALUE_MAX, "%" PRIu64, us / USEC_PER_SEC);
	else
		(void)snprintf(to, HABIT_VALUE_MAX, "%.6g", (double)us / 1e6);
	return to;
}

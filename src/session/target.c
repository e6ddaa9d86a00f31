/* SPDX-License-Identifier: ISC */
#include "session/target.h"

#include <string.h>

static enum target_fact fact_from(const char *value)
{
	if (value == NULL)
		return TARGET_UNKNOWN;
	return strcmp(value, "on") == 0 ? TARGET_YES : TARGET_NO;
}

void target_learn(struct target_facts *f, const struct params *reported)
{
	f->in_hot_standby = fact_from(params_get(reported, "in_hot_standby"));
	f->default_read_only =
		fact_from(params_get(reported, "default_transaction_read_only"));
}

static bool wants_access(enum route_target wants)
{
	return wants == ROUTE_TARGET_READ_WRITE || wants == ROUTE_TARGET_READ_ONLY;
}

void target_answer(struct target_facts *f, enum route_target wants, const char *text,
	size_t len)
{
	enum target_fact fact = TARGET_UNKNOWN;

	if ((len == 2 && memcmp(text, "on", 2) == 0) || (len == 1 && text[0] == 't'))
		fact = TARGET_YES;
	else if ((len == 3 && memcmp(text, "off", 3) == 0) || (len == 1 && text[0] == 'f'))
		fact = TARGET_NO;
	if (wants_access(wants))
		f->read_only = fact;
	else
		f->in_hot_standby = fact;
}

/* Whether transactions are read-only there unless they say otherwise. */
static enum target_fact is_read_only(const struct target_facts *f)
{
	if (f->read_only != TARGET_UNKNOWN)
		return f->read_only;
	if (f->in_hot_standby == TARGET_YES || f->default_read_only == TARGET_YES)
		return TARGET_YES;
	if (f->in_hot_standby == TARGET_NO && f->default_read_only == TARGET_NO)
		return TARGET_NO;
	return TARGET_UNKNOWN;
}

static enum target_verdict verdict(enum target_fact is, enum target_fact wanted)
{
	if (is == TARGET_UNKNOWN)
		return TARGET_ASK;
	return is == wanted ? TARGET_FITS : TARGET_UNFIT;
}

enum target_verdict target_decide(enum route_target wants, const struct target_facts *f)
{
	switch (wants) {
	case ROUTE_TARGET_ANY:
		return TARGET_FITS;
	case ROUTE_TARGET_READ_WRITE:
		return verdict(is_read_only(f), TARGET_NO);
	case ROUTE_TARGET_READ_ONLY:
		return verdict(is_read_only(f), TARGET_YES);
	case ROUTE_TARGET_PRIMARY:
		return verdict(f->in_hot_standby, TARGET_NO);
	case ROUTE_TARGET_STANDBY:
	case ROUTE_TARGET_PREFER_STANDBY:
		return verdict(f->in_hot_standby, TARGET_YES);
	}
	return TARGET_UNFIT;
}

const char *target_question(enum route_target wants, bool is_walsender)
{
	return wants_access(wants) || is_walsender ?
		"SHOW transaction_read_only" :
		"SELECT pg_catalog.pg_is_in_recovery()";
}

const char *target_describe(enum route_target wants, const struct target_facts *f)
{
	if (target_decide(wants, f) == TARGET_ASK)
		return "does not tell what it is";
	if (f->in_hot_standby == TARGET_YES)
		return "is in hot standby";
	if (wants == ROUTE_TARGET_READ_ONLY)
		return "is not read-only";
	if (wants == ROUTE_TARGET_READ_WRITE)
		return f->default_read_only == TARGET_YES ?
			"is read-only by default_transaction_read_only" :
			"is read-only";
	return "is not in hot standby";
}

bool target_is_by_role(enum route_target wants, const struct target_facts *f)
{
	return wants == ROUTE_TARGET_READ_WRITE && f->in_hot_standby == TARGET_NO &&
		f->default_read_only == TARGET_YES;
}

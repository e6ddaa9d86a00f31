/* SPDX-License-Identifier: ISC */
#include "sql/secret.h"

#include <string.h>
#include <strings.h>

struct word {
	const char *text;
	size_t len;
};

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		c == '_';
}

static bool is_word(const struct word *w, const char *lower)
{
	return strlen(lower) == w->len && strncasecmp(w->text, lower, w->len) == 0;
}

static bool is_any(const struct word *w, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (is_word(w, words[i]))
			return true;
	}
	return false;
}

static bool has(const struct word *w, const char *lower)
{
	size_t len = strlen(lower);

	for (size_t i = 0; i + len <= w->len; i++) {
		if (strncasecmp(w->text + i, lower, len) == 0)
			return true;
	}
	return false;
}

static bool tells(const struct word *w)
{
	static const char *const parts[] = { "passw", "secret", "crypt", "hmac" };

	for (size_t i = 0; i < COUNT_OF(parts); i++) {
		if (has(w, parts[i]))
			return true;
	}
	return false;
}

/* libpq's, with a password in it or not. */
static bool is_uri(const struct word *w, const char *end)
{
	const char *behind = w->text + w->len;

	return (is_word(w, "postgres") || is_word(w, "postgresql")) && end - behind >= 3 &&
		memcmp(behind, "://", 3) == 0;
}

bool secret_may_be_in(const char *text, size_t len)
{
	static const char *const verbs[] = { "create", "alter" };
	static const char *const things[] = { "role", "user", "group", "subscription", "server",
		"mapping" };
	bool has_verb = false, has_thing = false, has_copy = false;
	const char *end = text + len;

	for (const char *at = text; at < end;) {
		struct word w = { .text = at };

		if (!is_letter(*at)) {
			at++;
			continue;
		}
		while (at < end && is_letter(*at))
			at++;
		w.len = (size_t)(at - w.text);
		has_verb = has_verb || is_any(&w, verbs, COUNT_OF(verbs));
		has_thing = has_thing || is_any(&w, things, COUNT_OF(things));
		if ((has_verb && has_thing) || tells(&w) || is_uri(&w, end) ||
			(has_copy && is_word(&w, "program")))
			return true;
		has_copy = has_copy || is_word(&w, "copy");
	}
	return false;
}

/* SPDX-License-Identifier: ISC */
#include "config/dump.h"

#include <string.h>

#include "config/option.h"

enum { TEXT_MAX = 400, WIDTH = 78 };

/* The sections of the file, in the order of the manual and of the sample. */
struct place {
	enum option_level level;
	const char *path;
	const char *about;
	const char *entry;              /* its name in the sample; NULL: has none */
};

static const struct place places[] = {
	{ OPTION_AT_PROCESS, "process", "The program as a whole.", NULL },
	{ OPTION_AT_HOST, "hosts.NAME",
		"One PostgreSQL instance and its budget of connections. At least one is "
		"needed.",
		"main" },
	{ OPTION_AT_WORKLOAD, "workloads.NAME",
		"A named port: where it listens, how it pools, and its part of each "
		"host's budget. At least one is needed. Besides these options, a "
		"workload takes settings; see defaults and tls.",
		"transactional" },
	{ OPTION_AT_SHARE, "workloads.NAME.hosts.HOST",
		"The numbers of a workload apply to each host by itself; here they are "
		"set for one host.",
		NULL },
	{ OPTION_AT_DATABASE, "databases.NAME",
		"What the names of databases mean that clients ask for. The name \"*\" "
		"stands for all that have no entry. Left out, it is all databases of "
		"the only host. Besides these options, a database takes settings; see "
		"defaults.",
		"\"*\"" },
	{ OPTION_AT_USER, "users.NAME",
		"Users that need something of their own. Besides these options, a user "
		"takes settings; see defaults.",
		"app" },
	{ OPTION_AT_DEFAULTS, "defaults",
		"Settings that hold where nothing nearer says otherwise. Each may also "
		"stand where its entry says; a user's goes before a database's before a "
		"workload's before these.",
		NULL },
	{ OPTION_AT_AUTH, "auth", "Who may log in.", NULL },
	{ OPTION_AT_TLS, "tls",
		"TLS to clients. Each may also stand in a workload, and in admin for the ports "
		"of admin.listen; TLS to PostgreSQL is set for each host.",
		NULL },
	{ OPTION_AT_ADMIN, "admin", "Who may use the console, the database pgbouncer.",
		NULL },
	{ OPTION_AT_HTTP, "http",
		"Metrics, health and the views of the console over HTTP: see "
		"pgtandem-http(7). Everything there is read only.",
		NULL },
	{ OPTION_AT_LOG, "log", "What is written to the log.", NULL },
};

/* The options that the place explains; settings are explained in defaults. */
static bool is_explained(const struct option *o, enum option_level level)
{
	if (o->home == OPTION_IN_SETTINGS && level != OPTION_AT_TLS)
		return level == OPTION_AT_DEFAULTS && (o->levels & level) != 0;
	return (o->levels & level) != 0;
}

/* A word for mdoc: no line may begin with what looks like a macro, nor a backslash
 * mean anything. */
static size_t man_word(FILE *out, const char *word, size_t len)
{
	size_t width = len;

	if (len > 0 && (word[0] == '.' || word[0] == '\'')) {
		fputs("\\&", out);
		width += 2;
	}
	for (size_t i = 0; i < len; i++) {
		if (word[i] == '\\')
			fputs("\\e", out);
		else
			fputc(word[i], out);
	}
	return width;
}

/* Text for mdoc: each sentence begins a line, and lines are short. */
static void man_text(FILE *out, const char *text)
{
	size_t column = 0;

	while (*text != '\0') {
		size_t len = strcspn(text, " ");
		bool ends_sentence = len > 0 && text[len - 1] == '.' && text[len] == ' ';

		if (column > 0 && column + 1 + len > WIDTH) {
			fputc('\n', out);
			column = 0;
		}
		if (column > 0) {
			fputc(' ', out);
			column++;
		}
		column += man_word(out, text, len);
		if (ends_sentence) {
			fputc('\n', out);
			column = 0;
		}
		text += len;
		text += strspn(text, " ");
	}
}

static void man_levels(FILE *out, unsigned levels)
{
	static const struct {
		enum option_level level;
		const char *name;
	} also[] = {
		{ OPTION_AT_WORKLOAD, "workloads" },
		{ OPTION_AT_DATABASE, "databases" },
		{ OPTION_AT_USER, "users" },
		{ OPTION_AT_ADMIN, "admin" },
	};
	const char *before = "May also stand in ";

	for (size_t i = 0; i < COUNT_OF(also); i++) {
		if ((levels & also[i].level) == 0)
			continue;
		fprintf(out, "%s%s", before, also[i].name);
		before = ", ";
	}
	fputs(".\n", out);
}

static void man_option(FILE *out, const struct option *o)
{
	char range[TEXT_MAX];

	fprintf(out, ".It Cm %s : Ar %s\n", o->name, option_type_name(o->type));
	man_text(out, o->help);
	fputs("\n.br\n", out);
	if (o->def == NULL) {
		fputs("Must be given", out);
	} else {
		fputs("Default: ", out);
		man_text(out, o->def);
	}
	fprintf(out, "; allowed: %s.\n", option_range(o, range, sizeof(range)));
	fprintf(out, "Takes effect %s.\n", option_effect_name(o->effect));
	if (option_is_for_file(o))
		fputs("Not changed by SET of the console.\n", out);
	if (o->home == OPTION_IN_SETTINGS)
		man_levels(out, o->levels);
}

void dump_man(FILE *out)
{
	for (size_t i = 0; i < COUNT_OF(places); i++) {
		fprintf(out, ".Ss %s\n", places[i].path);
		man_text(out, places[i].about);
		fputs("\n.Bl -tag -width Ds\n", out);
		for (size_t j = 0; j < option_count; j++) {
			if (is_explained(&option_table[j], places[i].level))
				man_option(out, &option_table[j]);
		}
		fputs(".El\n", out);
	}
}

/* A comment, wrapped at WIDTH. */
static void sample_comment(FILE *out, int indent, const char *text)
{
	size_t column = 0;

	while (*text != '\0') {
		size_t len = strcspn(text, " ");

		if (column > 0 && column + 1 + len > WIDTH) {
			fputc('\n', out);
			column = 0;
		}
		if (column == 0)
			column = (size_t)fprintf(out, "%*s#", indent, "");
		column += (size_t)fprintf(out, " %.*s", (int)len, text);
		text += len;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

/* A value for what has no default. */
static const char *sample_value(const struct option *o)
{
	static const char *const values[][2] = {
		{ "host", "127.0.0.1" },
		{ "connection_budget", "35" },
		{ "listen", "[ \"0.0.0.0:6432\" ]" },
		{ "pool_mode", "transaction" },
	};

	if (o->def != NULL)
		return o->def;
	for (size_t i = 0; i < COUNT_OF(values); i++) {
		if (strcmp(values[i][0], o->name) == 0)
			return values[i][1];
	}
	return "";
}

static void sample_option(FILE *out, int indent, const struct option *o)
{
	char text[2 * TEXT_MAX], range[TEXT_MAX];

	(void)snprintf(text, sizeof(text), "%s (%s; %s)", o->help,
		option_range(o, range, sizeof(range)), option_effect_name(o->effect));
	sample_comment(out, indent, text);
	fprintf(out, "%*s%s: %s\n", indent, "", o->name, sample_value(o));
}

void dump_sample(FILE *out)
{
	sample_comment(out, 0,
		"Every option of pgtandem.yaml at its default; host, connection_budget, "
		"listen and pool_mode have none and are examples. A file of your own "
		"needs only what differs.");
	for (size_t i = 0; i < COUNT_OF(places); i++) {
		const struct place *place = &places[i];
		int name_len = (int)strcspn(place->path, "."), indent = 2;

		if (place->level == OPTION_AT_SHARE)
			continue;
		fputc('\n', out);
		sample_comment(out, 0, place->about);
		fprintf(out, "%.*s:\n", name_len, place->path);
		if (place->entry != NULL) {
			fprintf(out, "  %s:\n", place->entry);
			indent = 4;
		}
		for (size_t j = 0; j < option_count; j++) {
			if (is_explained(&option_table[j], place->level))
				sample_option(out, indent, &option_table[j]);
		}
	}
}

void dump_options(FILE *out)
{
	char range[TEXT_MAX];

	fputs("place\tname\ttype\tdefault\tallowed\teffect\thelp\n", out);
	for (size_t i = 0; i < COUNT_OF(places); i++) {
		for (size_t j = 0; j < option_count; j++) {
			const struct option *o = &option_table[j];

			if ((o->levels & places[i].level) == 0)
				continue;
			fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", places[i].path,
				o->name, option_type_name(o->type),
				o->def == NULL ? "" : o->def,
				option_range(o, range, sizeof(range)),
				option_effect_name(o->effect), o->help);
		}
	}
}

/* SPDX-License-Identifier: ISC */
#include "admin/manual.h"

#include "admin/show.h"

/* As psql's \gdesc names what the client is told; see table.c. */
static const char *const type_names[] = {
	[TABLE_TEXT] = "text",
	[TABLE_U32] = "integer",
	[TABLE_BIGINT] = "bigint",
	[TABLE_NUMERIC] = "numeric",
	[TABLE_TIME] = "text, a time in UTC",
};

static void write_right(FILE *out, const char *what, const char *help, bool is_for_all)
{
	(void)fprintf(out, ".It Cm %s Pq %s\n%s\n", what,
		is_for_all ? "admin_users and stats_users" : "admin_users", help);
}

static void write_rights(FILE *out)
{
	static const struct {
		const char *word, *who, *help;
	} commands[] = {
#define COMMAND(word, arguments, who, handler, help) { #word, #who, help },
#include "commands.def"
#undef COMMAND
	};
	char name[64];

	for (size_t i = 0; i < COUNT_OF(commands); i++)
		write_right(out, commands[i].word, commands[i].help,
			commands[i].who[0] == 'S');
	for (size_t i = 0; i < show_view_count; i++) {
		(void)snprintf(name, sizeof(name), "SHOW %s", show_views[i].word);
		write_right(out, name, show_views[i].help,
			(show_views[i].rights & ROUTE_STATS) != 0);
	}
}

static void write_columns(FILE *out, const struct view *view)
{
	if (view->table->count == 0)
		return;
	(void)fprintf(out, ".Ss SHOW %s\n%s\n.Bl -tag -width Ds\n", view->word, view->help);
	for (size_t i = 0; i < view->table->count; i++) {
		const struct table_column *c = &view->table->columns[i];

		(void)fprintf(out, ".It Cm %s Pq %s%s%s\n%s\n", c->name, type_names[c->type],
			c->unit[0] == '\0' ? "" : ", ", c->unit, c->help);
	}
	(void)fputs(".El\n", out);
}

void manual_write(FILE *out)
{
	(void)fputs(".Sh RIGHTS\n"
		    "Which users may do what.\n"
		    "Of\n.Cm SET ,\n.Cm stats_users\nhave the settings that drivers make.\n"
		    ".Bl -tag -width Ds\n",
		out);
	write_rights(out);
	(void)fputs(".El\n.Sh COLUMNS\n"
		    "Each view's, in their order, with their type and unit.\n",
		out);
	for (size_t i = 0; i < show_view_count; i++)
		write_columns(out, &show_views[i]);
}

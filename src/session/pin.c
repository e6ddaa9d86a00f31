/* SPDX-License-Identifier: ISC */
#include "session/pin.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "pg/frame.h"
#include "pg/wire.h"
#include "session/params.h"
#include "session/state.h"
#include "sql/statement.h"
#include "sql/statement_may.h"

enum { PIN_STAYS, PIN_ENDS };

/* No depth of parentheses comes down from here to the arguments of a call. */
enum { SLOT_DONE = 1 << 30 };

static const struct {
	const char *word;
	const char *text;
	unsigned ends;
} pins[ROUTE_KIND_COUNT] = {
#define PIN(name, word, ends, text) [ROUTE_PIN_##name] = { #word, text, PIN_##ends },
#include "pins.def"
#undef PIN
#define KEPT(name, word, text) [ROUTE_KEPT_##name] = { #word, text, PIN_ENDS },
#include "kept.def"
#undef KEPT
};

uint32_t pin_stays(void)
{
	uint32_t stays = 0;

	for (unsigned i = 0; i < ROUTE_PIN_COUNT; i++)
		stays |= pins[i].ends == PIN_STAYS ? pin_bit(i) : 0;
	return stays;
}

const char *pin_word(unsigned kind)
{
	return pins[kind].word;
}

const char *pin_text(unsigned kind)
{
	return pins[kind].text;
}

const char *pin_words(uint32_t set, char to[PIN_WORDS_MAX])
{
	size_t used = 0;

	to[0] = '\0';
	for (unsigned i = 0; i < ROUTE_KIND_COUNT; i++) {
		int len;

		if ((set & pin_bit(i)) == 0)
			continue;
		len = snprintf(to + used, PIN_WORDS_MAX - used, "%s%s",
			used > 0 ? ", " : "", pins[i].word);
		if (len < 0 || used + (size_t)len >= PIN_WORDS_MAX)
			break;
		used += (size_t)len;
	}
	return to;
}

/* --- texts --------------------------------------------------------------------------- */

bool pin_may(const char *text, size_t len)
{
	return (statement_may(text, len) & STATEMENT_MAY_PIN) != 0;
}

static bool names_new_slot(const struct lexer_token *token)
{
	return lexer_is_word(token, "pg_create_physical_replication_slot") ||
		lexer_is_word(token, "pg_create_logical_replication_slot");
}

/* Others that make one, or may: of the same kind as another is, or by a quoted name. */
static bool may_name_slot(const struct lexer_token *token)
{
	return lexer_is_word(token, "pg_copy_physical_replication_slot") ||
		lexer_is_word(token, "pg_copy_logical_replication_slot") ||
		token->kind == LEXER_QUOTED || token->kind == LEXER_QUOTED_UNICODE;
}

/* pg_create_physical_replication_slot(name [, immediately_reserve [, temporary]]) and
 * ..._logical_...(name, plugin [, temporary ...]): one of at most two arguments, none of
 * them named, stays for all.  Anything else may be temporary. */
static bool makes_temporary_slot(const struct statement *s)
{
	unsigned depth = 0, commas = 0, slots = 0;
	struct lexer_token token;
	struct lexer lexer;

	lexer_init(&lexer, s->text.data, s->text.len, s->lexer_flags);
	while (lexer_next(&lexer, &token) != LEXER_END) {
		if (may_name_slot(&token) || token.kind == LEXER_ASSIGN ||
			lexer_is_operator(&token, "=>"))
			return true;
		if (names_new_slot(&token)) {
			slots++;
			depth = 0;
		} else if (lexer_is_punct(&token, '(')) {
			depth++;
		} else if (lexer_is_punct(&token, ')')) {
			depth -= depth > 0;
			/* Behind its arguments. */
			if (depth == 0 && slots > 0)
				depth = SLOT_DONE;
		} else if (depth == 1 && slots > 0 && lexer_is_punct(&token, ',')) {
			commas++;
		}
	}
	return slots != 1 || commas > 1 || lexer.unsure;
}

/* What the statement leaves when it runs. */
static uint32_t makes(const struct statement *s)
{
	uint32_t set = 0;

	if ((s->flags & SQL_TEMP) != 0 && (s->flags & SQL_ON_COMMIT_DROP) == 0)
		set |= pin_bit(ROUTE_PIN_TEMP);
	if ((s->flags & SQL_HOLD) != 0)
		set |= pin_bit(ROUTE_PIN_CURSOR);
	if ((s->flags & SQL_CALLS_LOCK) != 0)
		set |= pin_bit(ROUTE_PIN_LOCK);
	if ((s->flags & SQL_CALLS_SETSEED) != 0)
		set |= pin_bit(ROUTE_PIN_SEED);
	if ((s->flags & SQL_CALLS_CONNECT) != 0)
		set |= pin_bit(ROUTE_PIN_DBLINK);
	if ((s->flags & SQL_CALLS_SLOT) != 0 && makes_temporary_slot(s))
		set |= pin_bit(ROUTE_PIN_SLOT);
	if ((s->flags & SQL_CALLS_ORIGIN) != 0)
		set |= pin_bit(ROUTE_PIN_ORIGIN);
	if ((s->flags & SQL_CALLS_BACKUP) != 0)
		set |= pin_bit(ROUTE_PIN_BACKUP);
	if (s->kind == SQL_LISTEN)
		set |= pin_bit(ROUTE_PIN_LISTEN);
	if (s->kind == SQL_LOAD)
		set |= pin_bit(ROUTE_PIN_LOAD);
	return set;
}

uint32_t pin_of_setting(const char *name)
{
	bool is_role = strcasecmp(name, "role") == 0 ||
		strcasecmp(name, "session_authorization") == 0;

	return pin_bit(is_role ? ROUTE_KEPT_ROLE : ROUTE_KEPT_SETTINGS);
}

/* Of set_config(): but for what is surely local. */
static uint32_t of_calls(const struct statement *s)
{
	char name[STATEMENT_NAME_SIZE];
	struct statement_calls calls;
	struct sql_call call;
	uint32_t set = 0;
	bool any = false;
	size_t len;

	statement_calls_begin(&calls, s);
	while (statement_calls_next(&calls, &call)) {
		const struct sql_call_argument *first = &call.arguments[0];
		const struct sql_call_argument *is_local = &call.arguments[2];

		any = true;
		if (is_local->kind == SQL_ARGUMENT_BOOL && is_local->is_true)
			continue;
		if (first->kind == SQL_ARGUMENT_STRING &&
			lexer_value(&first->token, s->lexer_flags, name, sizeof(name), &len) ==
				LEXER_VALUE_OK)
			set |= pin_of_setting(name);
		else
			set |= pin_bit(ROUTE_KEPT_SETTINGS);
	}
	return any ? set : pin_bit(ROUTE_KEPT_SETTINGS);
}

/* What the router would keep of it. */
static uint32_t keeps(const struct statement *s)
{
	uint32_t set = 0;

	if (s->kind == SQL_SET && (s->flags & SQL_LOCAL) == 0 &&
		s->value != SQL_VALUE_DEFAULT && !touched_is_of_transaction(s->name))
		set |= pin_of_setting(s->name);
	if (s->kind == SQL_SET_CHARACTERISTICS)
		set |= pin_bit(ROUTE_KEPT_SETTINGS);
	if (s->kind == SQL_PREPARE)
		set |= pin_bit(ROUTE_KEPT_PREPARE);
	if ((s->flags & SQL_CALLS_SET_CONFIG) != 0)
		set |= of_calls(s);
	if ((s->flags & SQL_UPDATES_SETTINGS) != 0)
		set |= pin_bit(ROUTE_KEPT_SETTINGS);
	return set;
}

/* May it take away what is there? */
static bool ends(const struct statement *s)
{
	switch ((int)s->kind) {
	case SQL_DROP:
	case SQL_CLOSE:
	case SQL_CLOSE_ALL:
	case SQL_UNLISTEN:
	case SQL_UNLISTEN_ALL:
	case SQL_DISCARD_ALL:
	case SQL_DISCARD_TEMP:
		return true;
	default:
		return (s->flags & SQL_CALLS_UNLOCK) != 0;
	}
}

static bool is_unseen(const struct statement *s)
{
	return s->kind == SQL_UNKNOWN || s->kind == SQL_DO || s->kind == SQL_CALL ||
		(s->flags & (SQL_UNSURE | SQL_CALLS_UNKNOWN | SQL_MAY_CALL)) != 0;
}

static void add_scan(struct pin_scan *scan, const char *text, size_t len, unsigned flags)
{
	struct statement_reader reader;
	struct statement s;

	statement_begin(&reader, text, len, flags);
	while (statement_next(&reader, &s)) {
		scan->executes = scan->executes || s.kind == SQL_EXECUTE ||
			(s.flags & SQL_EXECUTES) != 0;
		scan->ends = scan->ends || ends(&s);
		scan->keeps |= keeps(&s);
		if (s.kind == SQL_PREPARE)
			scan->prepares |= makes(&s);
		else
			scan->makes |= makes(&s);
		scan->is_unseen = scan->is_unseen || is_unseen(&s);
	}
	scan->is_unseen = scan->is_unseen || reader.lexer.unsure;
}

void pin_scan(struct pin_scan *scan, const char *text, size_t len, unsigned flags)
{
	*scan = (struct pin_scan){ 0 };
	add_scan(scan, text, len, flags);
	if ((flags & LEXER_MAY_CHANGE) != 0)
		add_scan(scan, text, len, flags ^ LEXER_STANDARD_STRINGS);
}

void pin_scan_runs(struct pin_scan *scan)
{
	scan->makes |= scan->prepares;
	scan->keeps &= ~pin_bit(ROUTE_KEPT_PREPARE);
}

/* --- asking the server ----------------------------------------------------------------- */

/*
 * Each column in the order of "columns" below.  What lies in the temporary schema depends
 * on it (heap_create_with_catalog() and its kin call recordDependencyOn()); 2615 is
 * pg_namespace.  Outside of a transaction all advisory locks are of the session.
 *
 * It runs under the client's search_path: all names have their schema, operators, too, or
 * somebody's "public.<> (oid, integer)" would be called with the client's rights.
 */
#define EQ "OPERATOR(pg_catalog.=) "
#define QUESTION                                                                         \
	"SELECT pg_catalog.pg_my_temp_schema() OPERATOR(pg_catalog.<>) "                 \
	"0::pg_catalog.oid AND EXISTS (SELECT FROM "                                     \
	"pg_catalog.pg_depend WHERE refclassid " EQ "2615::pg_catalog.oid AND "          \
	"refobjid " EQ "pg_catalog.pg_my_temp_schema()), "                               \
	"EXISTS (SELECT FROM pg_catalog.pg_cursors WHERE is_holdable), "                 \
	"EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype " EQ "'advisory' AND "   \
	"granted AND pid " EQ "pg_catalog.pg_backend_pid()), "                           \
	"EXISTS (SELECT FROM pg_catalog.pg_listening_channels())"

#define NAMES                                                                            \
	"(SELECT pg_catalog.string_agg(name, ',') FROM pg_catalog.pg_settings "          \
	"WHERE source " EQ "'session')"
#define SETTINGS ", " NAMES

#define STATEMENTS ", EXISTS (SELECT FROM pg_catalog.pg_prepared_statements)"

/*
 * Functions of users, which triggers, views, policies, operators and the like call unseen.
 * Variables of somebody's own (SET app.x, set_config()), a library, a seed and connections of
 * dblink are in no view, and EXECUTE may run anything; what is written in neither SQL nor
 * PL/pgSQL keeps what it likes.  Functions of extensions are left out (16384 is
 * FirstNormalObjectId, 1255 pg_proc).  Before PostgreSQL 14 this fails.
 */
#define CODE                                                                             \
	", EXISTS (SELECT FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_language AS l " \
	"ON l.oid OPERATOR(pg_catalog.=) p.prolang WHERE p.oid OPERATOR(pg_catalog.>=) " \
	"16384::pg_catalog.oid AND CASE WHEN l.lanname::pg_catalog.text "                \
	"OPERATOR(pg_catalog.=) ANY (ARRAY['sql', 'plpgsql']) THEN coalesce("            \
	"pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc) "                          \
	"OPERATOR(pg_catalog.~*) E'set_config|setseed|\\\\mseed\\\\M|dblink|U&\"|_to_xml|"     \
	"ts_stat|ts_rewrite|replication_|backup_start|start_backup|\\\\mexecute\\\\M|"     \
	"\\\\mload\\\\M|\\\\mset\\\\M[^=;]*[.]' ELSE true END AND NOT EXISTS (SELECT "   \
	"FROM pg_catalog.pg_depend AS d WHERE d.classid OPERATOR(pg_catalog.=) "         \
	"1255::pg_catalog.oid AND d.objid OPERATOR(pg_catalog.=) p.oid AND d.deptype "   \
	"OPERATOR(pg_catalog.=) 'e'::pg_catalog.\"char\"))"                              \
	CODE_IN_EXPRESSIONS

/* set_config() (2078) and setseed() (1599), what runs a text (query_to_xml() and its kin,
 * ts_stat(), ts_rewrite()), begins a backup (2172), makes a slot or an origin, as operators
 * and in views, rules, defaults, policies, constraints and conditions of triggers. */
#define FUNCTIONS                                                                        \
	"(1599|2078|2172|292[3-8]|2929|293[0-8]|3685|3689|3690|3779|3786|422[0-4]|6006)"
#define CODE_IN_EXPRESSIONS                                                              \
	" OR EXISTS (SELECT FROM pg_catalog.pg_operator WHERE oid "                      \
	"OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid AND "                             \
	"oprcode::pg_catalog.oid::pg_catalog.text OPERATOR(pg_catalog.~) "               \
	"'^" FUNCTIONS "$')"                                                             \
	" OR EXISTS (SELECT FROM (SELECT ev_action::pg_catalog.text FROM "               \
	"pg_catalog.pg_rewrite WHERE oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid " \
	"UNION ALL SELECT ev_qual::pg_catalog.text FROM pg_catalog.pg_rewrite "          \
	"WHERE oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid "                       \
	"UNION ALL SELECT proargdefaults::pg_catalog.text FROM pg_catalog.pg_proc "      \
	"WHERE oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid "                       \
	"UNION ALL SELECT typdefaultbin::pg_catalog.text FROM pg_catalog.pg_type "       \
	"WHERE oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid "                       \
	"UNION ALL SELECT adbin::pg_catalog.text FROM pg_catalog.pg_attrdef "            \
	"UNION ALL SELECT polqual::pg_catalog.text FROM pg_catalog.pg_policy "           \
	"UNION ALL SELECT polwithcheck::pg_catalog.text FROM pg_catalog.pg_policy "      \
	"UNION ALL SELECT conbin::pg_catalog.text FROM pg_catalog.pg_constraint "        \
	"UNION ALL SELECT tgqual::pg_catalog.text FROM pg_catalog.pg_trigger) AS e (x) " \
	"WHERE e.x OPERATOR(pg_catalog.~) ':(op|)funcid " FUNCTIONS "[^0-9]')"

static const enum route_pin columns[] = { ROUTE_PIN_TEMP, ROUTE_PIN_CURSOR, ROUTE_PIN_LOCK,
	ROUTE_PIN_LISTEN };

const char *pin_question(enum pin_asks asks)
{
	switch (asks) {
	case PIN_ASKS_PINS:
		return QUESTION;
	case PIN_ASKS_STATEMENTS:
		return QUESTION STATEMENTS;
	case PIN_ASKS_SETTINGS:
		return QUESTION STATEMENTS SETTINGS;
	case PIN_ASKS_CODE:
		return QUESTION STATEMENTS SETTINGS CODE;
	}
	return QUESTION;
}

static bool is_of_user(const char *name)
{
	return strcasecmp(name, "role") == 0 || strcasecmp(name, "session_authorization") == 0;
}

/* Not as somebody has written it, but as PostgreSQL would: for the moment it is set to that,
 * behind the look at what it is. */
static void write_spelled(struct buf *sql, const char *name, const char *value)
{
	buf_add_str(sql, "CASE WHEN (SELECT context FROM pg_catalog.pg_settings WHERE "
			 "pg_catalog.lower(name) OPERATOR(pg_catalog.=) pg_catalog.lower(");
	params_add_literal(sql, name);
	buf_add_str(sql, ")) OPERATOR(pg_catalog.=) 'user' THEN pg_catalog.set_config(");
	params_add_literal(sql, name);
	buf_add_str(sql, ", ");
	params_add_literal(sql, value);
	buf_add_str(sql, ", true) ELSE pg_catalog.current_setting(");
	params_add_literal(sql, name);
	buf_add_str(sql, ", true) END");
}

static bool is_raw(const struct pin_known *known, const char *name, const char *value)
{
	const char *raw = known->raw == NULL ? NULL : params_get(known->raw, name);

	return raw != NULL && strcmp(raw, value) == 0 && strchr(name, '.') == NULL &&
		!is_of_user(name) && params_get(known->reported, name) == NULL;
}

static void write_differs(struct buf *sql, const struct pin_known *known, const char *name,
	const char *value)
{
	buf_add_str(sql, " OR NOT coalesce(pg_catalog.current_setting(");
	params_add_literal(sql, name);
	buf_add_str(sql, ", true) OPERATOR(pg_catalog.=) ");
	if (is_raw(known, name, value))
		write_spelled(sql, name, value);
	else
		params_add_literal(sql, value);
	buf_add_str(sql, ", false)");
}

static void write_user_differs(struct buf *sql, const struct pin_known *known,
	const char *name, const char *by_itself)
{
	const char *value = params_get(known->now, name);

	write_differs(sql, known, name, value != NULL ? value : by_itself);
}

void pin_audit(const struct pin_known *known, struct buf *sql)
{
	const char *name, *value;
	size_t pos = 0;

	buf_add_str(sql, QUESTION STATEMENTS ", pg_catalog.concat_ws(',', " NAMES
					     ", CASE WHEN false");
	while (params_next(known->now, &pos, &name, &value)) {
		if (!is_of_user(name))
			write_differs(sql, known, name, value);
	}
	buf_add_str(sql, " THEN '!' END, CASE WHEN false");
	write_user_differs(sql, known, "role", "none");
	write_user_differs(sql, known, "session_authorization", known->login);
	buf_add_str(sql, " THEN '@' END)");
}

static void take_settings(struct pin_answer *answer, struct wire_in *in)
{
	uint32_t len = wire_u32(in);
	const uint8_t *bytes;

	answer->settings[0] = '\0';
	if (len == UINT32_MAX)
		return;
	bytes = wire_bytes(in, len);
	answer->has_many = len >= sizeof(answer->settings);
	if (!wire_ok(in) || answer->has_many)
		return;
	memcpy(answer->settings, bytes, len);
	answer->settings[len] = '\0';
}

static bool take_bool(struct wire_in *in)
{
	return wire_u32(in) == 1 && wire_u8(in) == 't';
}

bool pin_answer(struct pin_answer *answer, const struct frame *row, enum pin_asks asks)
{
	struct wire_in in;

	*answer = (struct pin_answer){ .there = 0 };
	wire_init(&in, row->body, row->available);
	if (wire_u16(&in) != COUNT_OF(columns) + (unsigned)asks)
		return false;
	for (size_t i = 0; i < COUNT_OF(columns); i++) {
		if (wire_u32(&in) != 1)
			return false;
		if (wire_u8(&in) == 't')
			answer->there |= pin_bit(columns[i]);
	}
	if (asks >= PIN_ASKS_STATEMENTS)
		answer->has_statements = take_bool(&in);
	if (asks >= PIN_ASKS_SETTINGS)
		take_settings(answer, &in);
	if (asks >= PIN_ASKS_CODE)
		answer->has_code = take_bool(&in);
	return wire_done(&in);
}

bool pin_has_unknown(const char *settings, const struct params *known)
{
	char name[PIN_SETTINGS_MAX];

	while (*settings != '\0') {
		size_t len = strcspn(settings, ",");

		if (len >= sizeof(name))
			return true;
		memcpy(name, settings, len);
		name[len] = '\0';
		if (len > 0 && name[0] != '@' && !touched_is_of_transaction(name) &&
			params_get(known, name) == NULL)
			return true;
		settings += len + (settings[len] == ',');
	}
	return false;
}

uint32_t pin_changed(const struct pin_answer *answer, const struct params *known)
{
	uint32_t kinds = 0;

	if (answer->has_many || pin_has_unknown(answer->settings, known))
		kinds |= pin_bit(ROUTE_KEPT_SETTINGS);
	if (strchr(answer->settings, '@') != NULL)
		kinds |= pin_bit(ROUTE_KEPT_ROLE);
	return kinds;
}

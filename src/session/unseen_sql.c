/* SPDX-License-Identifier: ISC */
/*
 * The question what code can leave in a session (unseen.h), and its answer.
 *
 * It runs behind a clean, as the user that the server has logged in as, under whatever
 * search_path that has: all names have their schema, operators, too.  What takes long is
 * left out while the catalogs are as they were at the last answer ("known").
 */
#include <stdio.h>
#include <string.h>

#include "pg/frame.h"
#include "pg/wire.h"
#include "session/unseen.h"

#define MARK "pgtandem: unseen"

/* Behind the flags of an answer that was known. */
#define SAME "="

enum { ANSWER_FLAGS = 3 };

#define EQ "OPERATOR(pg_catalog.=) "
#define NE "OPERATOR(pg_catalog.<>) "
#define GE "OPERATOR(pg_catalog.>=) "
#define LE "OPERATOR(pg_catalog.<=) "
#define GT "OPERATOR(pg_catalog.>) "
#define LT "OPERATOR(pg_catalog.<) "
#define MATCHES "OPERATOR(pg_catalog.~) "
#define ANY_CHAR(list) EQ "ANY ('" list "'::pg_catalog.\"char\"[]) "
#define ANY_NAME(list) EQ "ANY ('" list "'::pg_catalog.name[]) "
#define FIRST_OF_USERS "16384::pg_catalog.oid "
#define PG_PROC "1255::pg_catalog.oid "

/* What makes connections of dblink's; a text that names one of these pins. */
#define PINS "{dblink_connect,dblink_connect_u}"

/* Roles that may do such things: superusers, those with REPLICATION, and who may begin a
 * backup (2172), set up an origin (6006) or connect with dblink.  0 is PUBLIC. */
#define MIGHTY                                                                           \
	"mighty (oid) AS (SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE "             \
	"r.rolsuper OR r.rolreplication UNION ALL SELECT a.grantee FROM "                \
	"pg_catalog.pg_proc AS p, pg_catalog.aclexplode(coalesce(p.proacl, "             \
	"pg_catalog.acldefault('f'::pg_catalog.\"char\", p.proowner))) AS a WHERE "      \
	"p.oid " EQ "ANY ('{2172,6006}'::pg_catalog.oid[]) OR p.proname " ANY_NAME(PINS) \
	"), "

#define MAY_BE_MIGHTY(role)                                                              \
	"EXISTS (SELECT FROM mighty AS m WHERE m.oid " NE "0::pg_catalog.oid AND "       \
	"pg_catalog.pg_has_role(" role ", m.oid, 'MEMBER')) "

#define WHO                                                                              \
	"who (is_mighty) AS (SELECT EXISTS (SELECT FROM mighty AS m WHERE m.oid " EQ     \
	"0::pg_catalog.oid) OR " MAY_BE_MIGHTY("session_user") "), "

/* Functions of users; of extensions' those that connect, or run a text. */
#define CODE                                                                             \
	"code AS (SELECT p.*, p.xmin AS made, l.lanname FROM pg_catalog.pg_proc AS p "   \
	"JOIN pg_catalog.pg_language AS l ON l.oid " EQ "p.prolang WHERE p.oid " GE      \
	FIRST_OF_USERS "AND (NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d WHERE "   \
	"d.classid " EQ PG_PROC "AND d.objid " EQ "p.oid AND d.deptype " ANY_CHAR("{e}") \
	") OR (l.lanname " ANY_NAME("{c}") "AND p.proname::pg_catalog.text " MATCHES     \
	"'^(dblink_connect(_u)?|crosstab.*|connectby|xpath_table)$'))), "

/* Who calls these has the rights of a mighty owner. */
#define DEFINER                                                                          \
	"definer (oid) AS (SELECT c.oid FROM code AS c WHERE c.prosecdef AND NOT "       \
	"(c.proname " ANY_NAME(PINS) ") AND " MAY_BE_MIGHTY("c.proowner") "), "

/* What a foreign key does to a table it does as its owner, and that fires triggers. */
#define CASCADE                                                                          \
	"cascades (is_there) AS (SELECT EXISTS (SELECT FROM pg_catalog.pg_constraint "   \
	"AS c JOIN pg_catalog.pg_class AS r ON r.oid " EQ "c.conrelid WHERE c.contype "  \
	ANY_CHAR("{f}") "AND (c.confdeltype " ANY_CHAR("{c,n,d}") "OR c.confupdtype "    \
	ANY_CHAR("{c,n,d}") ") AND EXISTS (SELECT FROM pg_catalog.pg_trigger AS t "      \
	"WHERE t.tgrelid " EQ "c.conrelid AND NOT t.tgisinternal) AND "                  \
	MAY_BE_MIGHTY("r.relowner") ")), "                                               \
	"strong (is_so) AS (SELECT w.is_mighty OR k.is_there OR EXISTS (SELECT FROM "    \
	"definer) FROM who AS w, cascades AS k), "

#define ROWS_OF(letter, catalog, which)                                                  \
	"UNION ALL SELECT pg_catalog.concat_ws(' ', '" letter "', e.oid, e.xmin) FROM "  \
	"pg_catalog." catalog " AS e, strong AS s WHERE s.is_so AND " which

/* Whatever the answer depends on is another row when it changes. */
#define ROWS                                                                             \
	"rows_of (what) AS (SELECT pg_catalog.concat_ws(' ', 'p', oid, made) FROM code " \
	"UNION ALL SELECT pg_catalog.concat_ws(' ', 'f', oid) FROM definer "             \
	"UNION ALL SELECT pg_catalog.concat_ws(' ', 'd', classid, objid, refobjid) "     \
	"FROM pg_catalog.pg_depend WHERE refclassid " EQ PG_PROC "AND refobjid " GE      \
	FIRST_OF_USERS                                                                   \
	ROWS_OF("r", "pg_rewrite", "e.oid " GE FIRST_OF_USERS)                           \
	ROWS_OF("a", "pg_attrdef", "true ")                                              \
	ROWS_OF("l", "pg_policy", "true ")                                               \
	ROWS_OF("c", "pg_constraint", "e.conbin IS NOT NULL ")                           \
	ROWS_OF("g", "pg_trigger", "NOT e.tgisinternal ")                                \
	ROWS_OF("o", "pg_operator", "e.oid " GE FIRST_OF_USERS)                          \
	ROWS_OF("t", "pg_type", "e.typdefaultbin IS NOT NULL ") "), "

/* A body that has none of these words neither does such a thing nor runs a text; in a
 * language other than these it may do anything. */
#define IS_ABLE                                                                          \
	"CASE WHEN c.lanname " ANY_NAME("{sql,plpgsql,internal}") "THEN b.body " MATCHES \
	"E'dblink|u&\"|_to_xml|ts_stat|ts_rewrite|crosstab|connectby|xpath_table|"       \
	"replication_|backup_start|start_backup|\\\\mexecute\\\\M|\\\\mload\\\\M' "      \
	"ELSE true END "

/* Something depends on it, it hides one of PostgreSQL's, or "t.f" may call it. */
#define IS_OF_DATA                                                                       \
	"EXISTS (SELECT FROM pg_catalog.pg_depend AS d WHERE d.refclassid " EQ PG_PROC   \
	"AND d.refobjid " EQ "c.oid) OR EXISTS (SELECT FROM pg_catalog.pg_proc AS q "    \
	"WHERE q.proname " EQ "c.proname AND q.oid " LT FIRST_OF_USERS ") OR "           \
	"(c.pronargs " GT "0 AND c.pronargs OPERATOR(pg_catalog.-) c.pronargdefaults "   \
	LE "1 AND EXISTS (SELECT FROM pg_catalog.pg_type AS t WHERE t.oid " EQ           \
	"c.proargtypes[0] AND t.typtype " ANY_CHAR("{c,d,p}") ")) "

/* %s: BODY_NEW or BODY_OLD.  "C", or a capital I is not what it was in Turkish. */
#define FUNCTIONS                                                                        \
	"functions AS (SELECT c.oid, c.proname, c.pronamespace, b.body, "                \
	"pg_catalog.lower(pg_catalog.replace(c.proname::pg_catalog.text, '\"', '\"\"') " \
	"COLLATE pg_catalog.\"C\") AS name, " IS_ABLE "AS is_able, b.body " MATCHES      \
	"E'\\\\mload\\\\M' AS loads, EXISTS (SELECT FROM definer AS s WHERE s.oid " EQ   \
	"c.oid) AS is_definer, " IS_OF_DATA "AS is_of_data FROM code AS c, LATERAL ("    \
	"SELECT pg_catalog.lower((%s) COLLATE pg_catalog.\"C\") OFFSET 0) AS b (body)), "
#define BODY_NEW "coalesce(pg_catalog.pg_get_function_sqlbody(c.oid), c.prosrc)"
#define BODY_OLD "c.prosrc"

/* What comes to run through data, or by a definer, and whatever their bodies name; not
 * looked at where there are so many that it would take long. */
#define REACHED                                                                          \
	"reached (oid, of_data) AS (SELECT f.oid, v.of_data FROM functions AS f, "       \
	"(VALUES (true), (false)) AS v (of_data) WHERE f.is_definer AND NOT v.of_data "  \
	"OR f.is_of_data UNION SELECT g.oid, r.of_data FROM reached AS r JOIN "          \
	"functions AS f ON f.oid " EQ "r.oid JOIN functions AS g ON "                    \
	"pg_catalog.strpos(f.body, g.name) " GT "0), "                                   \
	"found AS (SELECT f.*, r.of_data FROM reached AS r JOIN functions AS f ON "      \
	"f.oid " EQ "r.oid), "                                                           \
	"many (is_so) AS (SELECT pg_catalog.count(*) OPERATOR(pg_catalog.*) "            \
	"pg_catalog.count(CASE WHEN f.is_of_data OR f.is_definer THEN 1 END) " GT        \
	"200000 FROM functions AS f), "

/* What runs a text (query_to_xml() and its kin, ts_rewrite(), ts_stat()), begins a backup,
 * makes a slot or an origin, as operators and in whatever else has expressions. */
#define DIRECTLY "(2172|292[3-8]|2929|293[0-8]|3685|3689|3690|3779|3786|422[0-4]|6006)"
#define EXPRESSIONS                                                                      \
	"expressions (is_there) AS (SELECT s.is_so AND (EXISTS (SELECT FROM "            \
	"pg_catalog.pg_operator AS o WHERE o.oid " GE FIRST_OF_USERS "AND "              \
	"o.oprcode::pg_catalog.oid::pg_catalog.text " MATCHES "'^" DIRECTLY "$') OR "    \
	"EXISTS (SELECT FROM (SELECT ev_action::pg_catalog.text FROM "                   \
	"pg_catalog.pg_rewrite WHERE oid " GE FIRST_OF_USERS                             \
	"UNION ALL SELECT ev_qual::pg_catalog.text FROM pg_catalog.pg_rewrite "          \
	"WHERE oid " GE FIRST_OF_USERS                                                   \
	"UNION ALL SELECT proargdefaults::pg_catalog.text FROM code "                    \
	"UNION ALL SELECT typdefaultbin::pg_catalog.text FROM pg_catalog.pg_type "       \
	"UNION ALL SELECT adbin::pg_catalog.text FROM pg_catalog.pg_attrdef "            \
	"UNION ALL SELECT polqual::pg_catalog.text FROM pg_catalog.pg_policy "           \
	"UNION ALL SELECT polwithcheck::pg_catalog.text FROM pg_catalog.pg_policy "      \
	"UNION ALL SELECT conbin::pg_catalog.text FROM pg_catalog.pg_constraint "        \
	"UNION ALL SELECT tgqual::pg_catalog.text FROM pg_catalog.pg_trigger) AS e (x) " \
	"WHERE e.x " MATCHES "':(op|)funcid " DIRECTLY "[^0-9]')) FROM strong AS s), "

/* Whether code that data brings along may, then whether functions called by name may, and
 * whether the user is mighty. */
#define ANSWER                                                                           \
	"facts AS (SELECT w.is_mighty, w.is_mighty OR k.is_there AS of_rights, "         \
	"x.is_there AS has_direct, EXISTS (SELECT FROM functions AS f WHERE f.is_able) " \
	"AS has_able, EXISTS (SELECT FROM functions AS f WHERE f.is_able AND NOT "       \
	"(f.proname " ANY_NAME(PINS) ")) AS is_called, EXISTS (SELECT FROM functions "   \
	"AS f WHERE f.loads) AS has_load, "                                              \
	"EXISTS (SELECT FROM definer) AS has_definer, y.is_so AS is_many FROM who AS w, " \
	"cascades AS k, expressions AS x, many AS y), "                                  \
	"means AS (SELECT a.*, a.has_definer AND (a.has_direct OR a.has_able AND "       \
	"(a.is_many OR EXISTS (SELECT FROM found AS f WHERE f.is_able))) AS by_definer " \
	"FROM facts AS a) "                                                              \
	"SELECT '" MARK "', x.known, CASE WHEN x.known " EQ "'%s' THEN '%s' ELSE "       \
	"(SELECT pg_catalog.concat("                                                     \
	"a.of_rights AND (a.has_direct OR a.has_able AND (a.is_many OR EXISTS (SELECT "  \
	"FROM found AS f WHERE f.is_able AND f.of_data))) OR a.by_definer AND ("         \
	"a.is_many OR EXISTS (SELECT FROM found AS f WHERE f.is_definer AND f.of_data)) " \
	"OR a.has_load AND (a.is_many OR EXISTS (SELECT FROM found AS f WHERE f.loads "  \
	"AND f.of_data)), "                                                              \
	"a.is_mighty AND a.is_called OR a.by_definer OR a.has_load, "                     \
	"a.is_mighty, ' ', (SELECT pg_catalog.concat(n.nspname, '.', f.proname) FROM "   \
	"functions AS f JOIN pg_catalog.pg_namespace AS n ON n.oid " EQ                  \
	"f.pronamespace WHERE f.is_able ORDER BY f.is_definer DESC, f.is_of_data DESC, " \
	"f.oid LIMIT 1)) FROM means AS a) END FROM (SELECT pg_catalog.concat_ws(',', "   \
	"w.is_mighty, k.is_there, (SELECT pg_catalog.count(*) FROM rows_of), "           \
	"(SELECT pg_catalog.sum(pg_catalog.hashtext(what)) FROM rows_of), "              \
	"(SELECT pg_catalog.sum(pg_catalog.hashtext(pg_catalog.concat(what, '.'))) "     \
	"FROM rows_of)) FROM who AS w, cascades AS k OFFSET 0) AS x (known)"

#define QUESTION                                                                         \
	"WITH RECURSIVE " MIGHTY WHO CODE DEFINER CASCADE ROWS FUNCTIONS REACHED         \
		EXPRESSIONS ANSWER

static char flag(const struct unseen_answer *answer, unsigned code)
{
	return (answer->able & code) != 0 ? 't' : 'f';
}

void unseen_question(struct unseen *u, bool is_old, struct buf *sql)
{
	struct unseen_answer last;
	char text[ANSWER_FLAGS + 2];

	pthread_mutex_lock(&u->lock);
	last = u->last;
	pthread_mutex_unlock(&u->lock);
	(void)snprintf(text, sizeof(text), "%c%c%c" SAME, flag(&last, UNSEEN_DATA),
		flag(&last, UNSEEN_CALL), flag(&last, UNSEEN_TEXT));
	buf_addf(sql, QUESTION, is_old ? BODY_OLD : BODY_NEW, last.known, text);
}

/* --- the answer ---------------------------------------------------------------------- */

/* "": it is longer. */
static void take_text(struct wire_in *in, char *to, size_t size)
{
	uint32_t len = wire_u32(in);
	const uint8_t *bytes = len == UINT32_MAX ? NULL : wire_bytes(in, len);

	to[0] = '\0';
	if (bytes != NULL && wire_ok(in) && len < size)
		(void)snprintf(to, size, "%.*s", (int)len, (const char *)bytes);
}

/* It goes into the next question. */
static bool is_known(const char *known)
{
	return known[0] != '\0' && known[strspn(known, "tf,-0123456789")] == '\0';
}

static bool is_bool(char c)
{
	return c == 't' || c == 'f';
}

/* "tft name", or "tft=". */
static bool read_answer(const char *text, struct unseen_answer *answer)
{
	const char *name = text + ANSWER_FLAGS;

	if (!is_bool(text[0]) || !is_bool(text[1]) || !is_bool(text[2]))
		return false;
	answer->able = (uint8_t)((text[0] == 't' ? UNSEEN_DATA : 0) |
		(text[1] == 't' ? UNSEEN_CALL : 0) | (text[2] == 't' ? UNSEEN_TEXT : 0));
	answer->is_mighty = text[2] == 't';
	answer->is_same = strcmp(name, SAME) == 0;
	if (name[0] == ' ')
		(void)snprintf(answer->name, sizeof(answer->name), "%s", name + 1);
	return answer->is_same || name[0] == ' ';
}

bool unseen_row(const struct frame *row, struct unseen_answer *answer)
{
	char mark[sizeof(MARK)], text[UNSEEN_NAME_MAX + 4];
	struct wire_in in;

	*answer = (struct unseen_answer){ .able = 0 };
	if (!frame_is_whole(row))
		return false;
	wire_init(&in, row->body, row->available);
	if (wire_u16(&in) != 3)
		return false;
	take_text(&in, mark, sizeof(mark));
	take_text(&in, answer->known, sizeof(answer->known));
	take_text(&in, text, sizeof(text));
	if (!wire_done(&in) || strcmp(mark, MARK) != 0 || !is_known(answer->known))
		return false;
	return read_answer(text, answer);
}

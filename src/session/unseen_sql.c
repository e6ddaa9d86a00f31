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

/* Names are up to 63 bytes, and may be longer in the encoding that they come in. */
enum { ANSWER_MAX = 1024 };

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
#define VERSION "pg_catalog.current_setting('server_version_num')::pg_catalog.int4 "

/* What makes connections of dblink's; a text that names one of these pins. */
#define PINS "{dblink_connect,dblink_connect_u}"

/* Roles that may do such things: superusers, those with REPLICATION, who may grant that
 * to themselves (CREATEROLE before PostgreSQL 16), and who may begin a backup, set up an
 * origin or connect with dblink, by whatever name.  0 is PUBLIC. */
#define MIGHTY                                                                           \
	"mighty (oid) AS (SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE "             \
	"r.rolsuper OR r.rolreplication OR r.rolcreaterole AND " VERSION LT "160000 "    \
	"UNION ALL SELECT a.grantee FROM "                                               \
	"pg_catalog.pg_proc AS p, pg_catalog.aclexplode(coalesce(p.proacl, "             \
	"pg_catalog.acldefault('f'::pg_catalog.\"char\", p.proowner))) AS a WHERE "      \
	"p.prosrc " EQ "ANY ('{pg_backup_start,pg_start_backup,dblink_connect,"          \
	"pg_replication_origin_session_setup}'::pg_catalog.text[])), "

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
	") OR (l.lanname " ANY_NAME("{c}") "AND p.prosrc " MATCHES                       \
	"'^(dblink_connect|crosstab|connectby|xpath_table)'))), "

/* Who calls these has the rights of a mighty owner. */
#define DEFINER                                                                          \
	"definer (oid) AS (SELECT c.oid FROM code AS c WHERE c.prosecdef AND NOT "       \
	"(c.proname " ANY_NAME(PINS) ") AND " MAY_BE_MIGHTY("c.proowner") "), "

/* Tables of which triggers, rules, checks, defaults, indexes and so on run functions of
 * users; is_kept: when the table is analyzed or indexed. */
#define RUNS                                                                             \
	"runs (relid, is_kept) AS (SELECT t.tgrelid, false FROM pg_catalog.pg_trigger "  \
	"AS t WHERE NOT t.tgisinternal UNION ALL SELECT r.ev_class, false FROM "         \
	"pg_catalog.pg_rewrite AS r WHERE r.ev_type " NE "'1'::pg_catalog.\"char\" "     \
	"UNION ALL SELECT coalesce(i.indrelid, a.adrelid, "                              \
	"c.conrelid, s.stxrelid, d.objid), i.indrelid IS NOT NULL OR s.stxrelid IS NOT " \
	"NULL FROM pg_catalog.pg_depend AS d "                                           \
	RUNS_OF("pg_index", "i", "indexrelid", "1259")                                   \
	RUNS_OF("pg_attrdef", "a", "oid", "2604")                                        \
	RUNS_OF("pg_constraint", "c", "oid", "2606")                                     \
	RUNS_OF("pg_statistic_ext", "s", "oid", "3381")                                  \
	"WHERE d.refobjid " GE FIRST_OF_USERS "AND d.classid " EQ "ANY ("                \
	"'{1259,2604,2606,3381}'::pg_catalog.oid[]) AND (d.refclassid " EQ "ANY ("       \
	"'{1255,2617}'::pg_catalog.oid[]) OR d.refclassid " EQ "1247::pg_catalog.oid "   \
	"AND EXISTS (SELECT FROM pg_catalog.pg_type AS t WHERE t.oid " EQ "d.refobjid "  \
	"AND (t.typtype " ANY_CHAR("{c,d,m,r}") "OR t.typelem " NE "0::pg_catalog.oid "  \
	"OR EXISTS (SELECT FROM pg_catalog.pg_cast AS k JOIN code AS f ON f.oid " EQ     \
	"k.castfunc WHERE k.castsource " EQ "t.oid))))), "
#define RUNS_OF(catalog, name, key, number)                                              \
	"LEFT JOIN pg_catalog." catalog " AS " name " ON d.classid " EQ number           \
	"::pg_catalog.oid AND " name "." key " " EQ "d.objid "

/* What a foreign key does to a table, its partitions among them, it does as its owner, and
 * that runs such functions.  So do ANALYZE and REINDEX, for which the database or the
 * schema may be enough; since 17 MAINTAIN is, also for REFRESH MATERIALIZED VIEW, which runs
 * a whole query.  What an extension makes on its own it makes as a superuser, and so runs
 * event triggers. */
#define CASCADE                                                                          \
	"cascaded (oid, relkind) AS (SELECT r.oid, r.relkind FROM pg_catalog.pg_class AS " \
	"r WHERE r.oid " EQ "ANY (ARRAY(SELECT c.conrelid FROM pg_catalog.pg_constraint " \
	"AS c WHERE c.contype " ANY_CHAR("{f}") "AND (c.confdeltype " ANY_CHAR("{c,n,d}") \
	"OR c.confupdtype " ANY_CHAR("{c,n,d}") "))) AND " MAY_BE_MIGHTY("r.relowner") "), " \
	"cascades (is_there, is_open) AS (SELECT EXISTS (SELECT FROM runs AS x JOIN "    \
	"cascaded AS r ON r.oid " EQ "x.relid) OR EXISTS (SELECT FROM runs AS x JOIN "   \
	"pg_catalog.pg_class AS p ON p.oid " EQ "x.relid WHERE p.relispartition AND "    \
	"EXISTS (SELECT FROM cascaded AS r WHERE r.relkind " ANY_CHAR("{p}") ")) OR "    \
	"EXISTS (SELECT FROM pg_catalog.pg_class AS r WHERE (r.relkind " ANY_CHAR("{m}") \
	"AND " IS_MAINTAINED("r") "OR r.oid " EQ "ANY (ARRAY(SELECT x.relid FROM runs AS x " \
	"WHERE x.is_kept)) AND (" IS_MAINTAINED("r") "OR EXISTS (SELECT FROM "           \
	"pg_catalog.pg_namespace AS n WHERE n.oid " EQ "r.relnamespace AND "             \
	"pg_catalog.pg_has_role(session_user, n.nspowner, 'MEMBER')) OR EXISTS (SELECT " \
	"FROM pg_catalog.pg_database AS b WHERE b.datname " EQ                           \
	"pg_catalog.current_database() AND pg_catalog.pg_has_role(session_user, "        \
	"b.datdba, 'MEMBER')))) AND " MAY_BE_MIGHTY("r.relowner") ") OR " MAY_EXTEND ", " \
	"EXISTS (SELECT FROM cascaded)), "                                               \
	"strong (is_so, is_open) AS (SELECT w.is_mighty OR k.is_there OR k.is_open OR "  \
	"EXISTS (SELECT FROM definer), k.is_open FROM who AS w, cascades AS k), "
#define IS_MAINTAINED(table)                                                             \
	"(EXISTS (SELECT FROM pg_catalog.pg_roles AS m WHERE m.rolname " EQ              \
	"'pg_maintain'::pg_catalog.name AND pg_catalog.pg_has_role(session_user, m.oid, " \
	"'MEMBER')) OR EXISTS (SELECT FROM pg_catalog.aclexplode(" table ".relacl) AS a " \
	"WHERE a.privilege_type " EQ "'MAINTAIN'::pg_catalog.text AND a.grantee " NE     \
	table ".relowner)) "
#define MAY_EXTEND                                                                       \
	"EXISTS (SELECT FROM pg_catalog.pg_event_trigger) AND EXISTS (SELECT FROM "      \
	"pg_catalog.pg_database AS b, pg_catalog.aclexplode(coalesce(b.datacl, "         \
	"pg_catalog.acldefault('d'::pg_catalog.\"char\", b.datdba))) AS a WHERE "        \
	"b.datname " EQ "pg_catalog.current_database() AND a.privilege_type " EQ         \
	"'CREATE'::pg_catalog.text AND (a.grantee " EQ "0::pg_catalog.oid OR "           \
	"pg_catalog.pg_has_role(session_user, a.grantee, 'MEMBER')))"

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

/* What runs a text (query_to_xml() and its kin, ts_rewrite(), ts_stat()), or the checks of
 * a type that it is told (pg_input_is_valid()), begins a backup, makes a slot or an origin. */
#define DIRECTLY                                                                         \
	"(2172|292[3-8]|2929|293[0-8]|3685|3689|3690|3779|3786|422[0-4]|6006|621[01])"
#define CALLS_DIRECTLY MATCHES "':(op|)funcid " DIRECTLY "[^0-9]'"

/* A body that has none of these words neither does such a thing nor runs a text, nor does
 * one that is no text and calls none of these; in a language other than these it may do
 * anything, and so may PostgreSQL's own under another name. */
#define IS_ABLE                                                                          \
	"CASE WHEN c.lanname " ANY_NAME("{sql,plpgsql}") "THEN b.body " MATCHES          \
	"E'dblink|u&\"|_to_xml|ts_stat|ts_rewrite|crosstab|connectby|xpath_table|"       \
	"replication_|backup_start|start_backup|\\\\mexecute\\\\M|\\\\mload\\\\M' OR "   \
	"coalesce(b.tree " CALLS_DIRECTLY ", false) WHEN c.lanname " ANY_NAME("{internal}") \
	"AND c.prosrc " EQ "'aggregate_dummy' THEN EXISTS (SELECT FROM "             \
	"pg_catalog.pg_aggregate AS a WHERE "                                           \
	"a.aggfnoid::pg_catalog.oid " EQ "c.oid AND pg_catalog.concat_ws(' ', "          \
	"a.aggtransfn::pg_catalog.oid, a.aggfinalfn::pg_catalog.oid, "                   \
	"a.aggcombinefn::pg_catalog.oid, a.aggmtransfn::pg_catalog.oid, "                \
	"a.aggminvtransfn::pg_catalog.oid, a.aggmfinalfn::pg_catalog.oid) " MATCHES      \
	"E'\\\\m" DIRECTLY "\\\\M') ELSE true END "

/* Something depends on it, it hides one of PostgreSQL's, or "t.f" may call it. */
#define IS_OF_DATA                                                                       \
	"EXISTS (SELECT FROM pg_catalog.pg_depend AS d WHERE d.refclassid " EQ PG_PROC   \
	"AND d.refobjid " EQ "c.oid) OR EXISTS (SELECT FROM pg_catalog.pg_proc AS q "    \
	"WHERE q.proname " EQ "c.proname AND q.oid " LT FIRST_OF_USERS ") OR "           \
	"(c.pronargs " GT "0 AND c.pronargs OPERATOR(pg_catalog.-) c.pronargdefaults "   \
	LE "1 AND EXISTS (SELECT FROM pg_catalog.pg_type AS t WHERE t.oid " EQ           \
	"c.proargtypes[0] AND t.typtype " ANY_CHAR("{c,d,p}") ")) "

/* A body of more bytes is not read, and may run any text; nobody need unpack it to know. */
#define LONG_BODY "65536 "

/* %s, three times: TREE_NEW or TREE_OLD.  Nothing but catalogs is looked at: who makes a
 * text of the tree waits for whoever changes a table of it.  What is called in a tree has
 * somebody who depends on it.  "C", or a capital I is not what it was in Turkish. */
#define FUNCTIONS                                                                        \
	"functions AS (SELECT c.oid, c.proname, c.pronamespace, b.body, "                \
	"pg_catalog.lower(pg_catalog.replace(c.proname::pg_catalog.text, '\"', '\"\"') " \
	"COLLATE pg_catalog.\"C\") AS name, " IS_ABLE "AS is_able, b.body " MATCHES      \
	"E'\\\\mload\\\\M' AS loads, EXISTS (SELECT FROM definer AS s WHERE s.oid " EQ   \
	"c.oid) AS is_definer, " IS_OF_DATA "AS is_of_data FROM code AS c, LATERAL ("    \
	"SELECT CASE WHEN pg_catalog.octet_length(c.prosrc) " GT LONG_BODY "OR "         \
	"pg_catalog.octet_length(%s) " GT LONG_BODY "THEN 'execute' ELSE "               \
	"pg_catalog.lower(c.prosrc COLLATE pg_catalog.\"C\") END, "                      \
	"CASE WHEN pg_catalog.octet_length(%s) " LE LONG_BODY "THEN %s END OFFSET 0) "   \
	"AS b (body, tree)), "
#define TREE_NEW "c.prosqlbody::pg_catalog.text"
#define TREE_OLD "NULL::pg_catalog.text"

/* What comes to run through data, or by a definer, and whatever their bodies name; not
 * looked at where there are so many, or so long ones, that it would take long. */
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
	"200000 OR pg_catalog.count(*) OPERATOR(pg_catalog.*) pg_catalog.sum("           \
	"pg_catalog.octet_length(f.body)) " GT "200000000::pg_catalog.int8 "             \
	"FROM functions AS f), "

/* ... as operators and in whatever else has expressions. */
#define EXPRESSIONS                                                                      \
	"expressions (is_there, is_of_table) AS (SELECT s.is_so AND (EXISTS (SELECT "    \
	"FROM pg_catalog.pg_operator AS o WHERE o.oid " GE FIRST_OF_USERS "AND "         \
	"o.oprcode::pg_catalog.oid::pg_catalog.text " MATCHES "'^" DIRECTLY "$') OR "    \
	"EXISTS (SELECT FROM (SELECT ev_action::pg_catalog.text FROM "                   \
	"pg_catalog.pg_rewrite WHERE oid " GE FIRST_OF_USERS                             \
	"UNION ALL SELECT ev_qual::pg_catalog.text FROM pg_catalog.pg_rewrite "          \
	"WHERE oid " GE FIRST_OF_USERS                                                   \
	"UNION ALL SELECT proargdefaults::pg_catalog.text FROM code "                    \
	"UNION ALL SELECT typdefaultbin::pg_catalog.text FROM pg_catalog.pg_type "       \
	"UNION ALL SELECT polqual::pg_catalog.text FROM pg_catalog.pg_policy "           \
	"UNION ALL SELECT polwithcheck::pg_catalog.text FROM pg_catalog.pg_policy "      \
	"UNION ALL SELECT tgqual::pg_catalog.text FROM pg_catalog.pg_trigger "           \
	"UNION ALL " OF_TABLES ") AS e (x) WHERE e.x " CALLS_DIRECTLY ")), "             \
	"s.is_open AND EXISTS (SELECT FROM (" OF_TABLES ") AS e (x) WHERE e.x "          \
	CALLS_DIRECTLY ") FROM strong AS s), "
#define OF_TABLES                                                                        \
	"SELECT adbin::pg_catalog.text FROM pg_catalog.pg_attrdef "                      \
	"UNION ALL SELECT conbin::pg_catalog.text FROM pg_catalog.pg_constraint"

/* Whether code that data brings along may, then whether functions called by name may, and
 * whether the user is mighty. */
#define ANSWER                                                                           \
	"facts AS (SELECT w.is_mighty, "                                                 \
	"w.is_mighty OR k.is_there OR x.is_of_table AS of_rights, "                      \
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
	"a.is_many OR a.has_direct OR EXISTS (SELECT FROM found AS f WHERE (f.is_definer " \
	"OR f.is_able) AND f.of_data)) "                                                 \
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
	"WITH RECURSIVE " MIGHTY WHO CODE DEFINER RUNS CASCADE ROWS FUNCTIONS REACHED         \
		EXPRESSIONS ANSWER

static char flag(const struct unseen_answer *answer, unsigned code)
{
	return (answer->able & code) != 0 ? 't' : 'f';
}

void unseen_question(struct unseen *u, bool is_old, struct buf *sql)
{
	const char *tree = is_old ? TREE_OLD : TREE_NEW;
	struct unseen_answer last;
	char text[ANSWER_FLAGS + 2];

	pthread_mutex_lock(&u->lock);
	last = u->last;
	pthread_mutex_unlock(&u->lock);
	(void)snprintf(text, sizeof(text), "%c%c%c" SAME, flag(&last, UNSEEN_DATA),
		flag(&last, UNSEEN_CALL), flag(&last, UNSEEN_TEXT));
	buf_addf(sql, QUESTION, tree, tree, tree, last.known, text);
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
		(void)snprintf(answer->name, sizeof(answer->name), "%.*s",
			UNSEEN_NAME_MAX - 1, name + 1);
	return answer->is_same || name[0] == ' ';
}

bool unseen_row(const struct frame *row, struct unseen_answer *answer)
{
	char mark[sizeof(MARK)], text[ANSWER_MAX];
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

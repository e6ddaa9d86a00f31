/* SPDX-License-Identifier: ISC */
/*
 * Texts and what they are, one row each: transactions, settings, prepared
 * statements, cursors, queries, the catalog, calls of functions, constants.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "sql/render.h"
#include "suites.h"

#define ON LEXER_STANDARD_STRINGS | LEXER_UTF8

static const struct {
	const char *text, *found;
} rows[] = {
	/* clang-format off */
	/* transactions */
	{ "BEGIN", "BEGIN" },
	{ "begin work", "BEGIN" },
	{ "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY, NOT DEFERRABLE", "BEGIN" },
	{ "START TRANSACTION", "START_TRANSACTION" },
	{ "START TRANSACTION READ WRITE", "START_TRANSACTION" },
	{ "START", "UNKNOWN(unsure)" },
	{ "BEGIN ISOLATION LEVEL", "UNKNOWN(unsure)" },
	{ "BEGIN READ ONLY,", "UNKNOWN(unsure)" },
	{ "BEGIN foo", "UNKNOWN(unsure)" },
	{ "COMMIT", "COMMIT" },
	{ "COMMIT WORK AND NO CHAIN", "COMMIT" },
	{ "COMMIT TRANSACTION AND CHAIN", "COMMIT(chain)" },
	{ "END", "COMMIT" },
	{ "END AND CHAIN", "COMMIT(chain)" },
	{ "COMMIT foo", "UNKNOWN(unsure)" },
	{ "ROLLBACK", "ROLLBACK" },
	{ "ABORT WORK", "ROLLBACK" },
	{ "ROLLBACK AND CHAIN", "ROLLBACK(chain)" },
	{ "ROLLBACK TO a", "ROLLBACK_TO a" },
	{ "ROLLBACK WORK TO SAVEPOINT \"A b\"", "ROLLBACK_TO A b" },
	{ "ROLLBACK TO SAVEPOINT", "ROLLBACK_TO savepoint" },
	{ "ABORT TO a", "UNKNOWN(unsure)" },
	{ "SAVEPOINT A", "SAVEPOINT a" },
	{ "SAVEPOINT 'a'", "UNKNOWN(unsure,string,cast)" },
	{ "SAVEPOINT select", "UNKNOWN(unsure)" },
	{ "RELEASE a", "RELEASE a" },
	{ "RELEASE SAVEPOINT a", "RELEASE a" },
	{ "RELEASE SAVEPOINT savepoint", "RELEASE savepoint" },
	{ "RELEASE savepoint", "RELEASE savepoint" },
	{ "PREPARE TRANSACTION 'x'", "PREPARE_TRANSACTION(string,cast)" },
	{ "COMMIT PREPARED 'x'", "COMMIT_PREPARED(no-block,string,cast)" },
	{ "ROLLBACK PREPARED 'x'", "ROLLBACK_PREPARED(no-block,string,cast)" },
	{ "COMMIT PREPARED x", "UNKNOWN(unsure,no-block)" },
	{ "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SET_TRANSACTION" },
	{ "SET LOCAL TRANSACTION READ ONLY", "SET_TRANSACTION(local)" },
	{ "SET TRANSACTION SNAPSHOT '00000003-1'", "SET_TRANSACTION(string,cast)" },
	{ "SET CONSTRAINTS ALL DEFERRED", "SET_CONSTRAINTS" },
	{ "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SET_CHARACTERISTICS" },

	/* settings */
	{ "SET a = 1", "SET a ='1'" },
	{ "SET a.b.c TO 'x', y", "SET(string) a.b.c ='x, y'" },
#define SIXTY "abcdefghijklmnopqrstabcdefghijklmnopqrstabcdefghijklmnopqrst"
	{ "SET " SIXTY "." SIXTY " = 1", "SET " SIXTY "." SIXTY " ='1'" },
	{ "SET " SIXTY "." SIXTY "." SIXTY " = 1", "UNKNOWN(unsure) =UNREAD" },
	{ "SET LOCAL " SIXTY "." SIXTY "." SIXTY " = 1", "UNKNOWN(unsure,local) =UNREAD" },
	{ "RESET " SIXTY "." SIXTY "." SIXTY, "UNKNOWN(unsure)" },
	{ "SET a = DEFAULT", "SET a =DEFAULT" },
	{ "SET LOCAL a TO DEFAULT", "SET(local) a =DEFAULT" },
	{ "SET SESSION a = on", "SET a ='on'" },
	{ "SET session = 1", "SET session ='1'" },
	{ "SET session.a = 1", "SET session.a ='1'" },
	{ "SET local.a = 1", "SET local.a ='1'" },
	{ "SET local = 1", "SET local ='1'" },
	{ "SET SESSION local.a = 1", "SET local.a ='1'" },
	{ "SET LOCAL session.a = 1", "SET(local) session.a ='1'" },
	{ "SET LOCAL local.a = 1", "SET(local) local.a ='1'" },
	{ "SET a FROM CURRENT", "SET a =CURRENT" },
	{ "SET A$b = 1", "SET a$b ='1'" },
	{ "SET \"A\".\"b C\" = 1", "SET a.b c ='1'" },
	{ "SET U&\"a\\0062\" = 1", "SET ab ='1'" },
	{ "SET a = $1", "UNKNOWN(unsure,param)" },
	{ "SET a = 1 2", "UNKNOWN(unsure)" },
	{ "SET a =", "UNKNOWN(unsure)" },
	{ "SET a", "UNKNOWN(unsure)" },
	{ "SET a = 1,", "UNKNOWN(unsure)" },
	{ "SET a = b'1'", "UNKNOWN(unsure)" },
	{ "SET a = N'x'", "UNKNOWN(unsure,string)" },
	{ "SET a = 1 + 1", "UNKNOWN(unsure)" },
	{ "SET a = select", "UNKNOWN(unsure)" },
	{ "SET a.select = 1", "UNKNOWN(unsure)" },
	{ "SET left = 1", "UNKNOWN(unsure)" },
	{ "SET a = -", "UNKNOWN(unsure)" },
	{ "SET a = -'1'", "UNKNOWN(unsure,string)" },
	{ "SET a = 0x10", "SET a =?" },
	{ "SET a = 1_000", "SET a =?" },
	{ "SET a = E'\\xe9'", "SET(string) a =?" },
	{ "SET a = - 5", "SET a ='-5'" },
	{ "SET a =-5", "SET a ='-5'" },
	{ "SET a=$$x$$", "SET(string) a ='x'" },
	{ "SET é = 1", "UNKNOWN(unsure) =UNREAD" },
	{ "SET \"é\" = 1", "SET é ='1'" },
	{ "SET TIME ZONE LOCAL", "SET timezone =DEFAULT" },
	{ "SET TIME ZONE DEFAULT", "SET timezone =DEFAULT" },
	{ "SET TIME ZONE 'UTC'", "SET(string,cast) timezone ='UTC'" },
	{ "SET TIME ZONE utc", "SET timezone ='utc'" },
	{ "SET TIME ZONE -7.5", "SET timezone ='-7.5'" },
	{ "SET TIME ZONE INTERVAL(3) '1' HOUR", "SET(string,cast) timezone =INTERVAL" },
	{ "SET TIME ZONE select", "UNKNOWN(unsure)" },
	{ "SET time TO 1", "SET time ='1'" },
	{ "SET NAMES", "SET client_encoding =DEFAULT" },
	{ "SET NAMES DEFAULT", "SET client_encoding =DEFAULT" },
	{ "SET NAMES 'UTF8'", "SET(string,cast) client_encoding ='UTF8'" },
	{ "SET NAMES utf8", "UNKNOWN(unsure)" },
	{ "SET names TO 1", "SET names ='1'" },
	{ "SET SCHEMA 'a'", "SET(string,cast) search_path ='a'" },
	{ "SET SCHEMA a", "UNKNOWN(unsure)" },
	{ "SET schema.a = 1", "SET schema.a ='1'" },
	{ "SET ROLE none", "SET role ='none'" },
	{ "SET ROLE \"A\"", "SET role ='A'" },
	{ "SET ROLE 'a'", "SET(string,cast) role ='a'" },
	{ "SET ROLE TO a", "SET role ='a'" },
	{ "SET ROLE", "UNKNOWN(unsure)" },
	{ "SET LOCAL ROLE a", "SET(local) role ='a'" },
	{ "SET SESSION AUTHORIZATION a", "SET session_authorization ='a'" },
	{ "SET LOCAL SESSION AUTHORIZATION 'a'", "SET(local,string,cast) session_authorization ='a'" },
	{ "SET SESSION AUTHORIZATION DEFAULT", "SET session_authorization =DEFAULT" },
	{ "SET XML OPTION CONTENT", "SET xmloption ='content'" },
	{ "SET XML OPTION foo", "UNKNOWN(unsure)" },
	{ "SET xml = 1", "SET xml ='1'" },
	{ "SET CATALOG 'a'", "UNKNOWN(unsure,string,cast)" },
	{ "SET seed = 0.5", "SET(setseed) seed ='0.5'" },
	{ "SET SEED TO 0.5", "SET(setseed) seed ='0.5'" },
	{ "SET search_path = a, \"B\", \"select\", 'c d', \"e\"\"f\", 1", "SET(string) search_path ='a, \"B\", \"select\", \"c d\", \"e\"\"f\", 1'" },
	{ "SET search_path TO ''", "SET(string) search_path ='\"\"'" },
	{ "RESET ALL", "RESET_ALL" },
	{ "RESET a", "RESET a" },
	{ "RESET a.B", "RESET a.b" },
	{ "RESET TIME ZONE", "RESET timezone" },
	{ "RESET time.zone", "RESET time.zone" },
	{ "RESET ROLE", "RESET role" },
	{ "RESET SESSION AUTHORIZATION", "RESET session_authorization" },
	{ "RESET session", "RESET session" },
	{ "RESET TRANSACTION ISOLATION LEVEL", "RESET transaction_isolation" },
	{ "RESET a b", "UNKNOWN(unsure)" },
	{ "RESET", "UNKNOWN(unsure)" },
	{ "SHOW a", "SHOW a" },
	{ "SHOW ALL", "SHOW all" },
	{ "SHOW TIME ZONE", "SHOW timezone" },
	{ "SHOW SESSION AUTHORIZATION", "SHOW session_authorization" },
	{ "SHOW TRANSACTION ISOLATION LEVEL", "SHOW transaction_isolation" },
	{ "DISCARD ALL", "DISCARD_ALL(no-block)" },
	{ "DISCARD PLANS", "DISCARD_PLANS" },
	{ "DISCARD SEQUENCES", "DISCARD_SEQUENCES" },
	{ "DISCARD TEMP", "DISCARD_TEMP" },
	{ "DISCARD TEMPORARY", "DISCARD_TEMP" },
	{ "DISCARD", "UNKNOWN(unsure)" },
	{ "DISCARD ALL a", "UNKNOWN(unsure,no-block)" },

	/* prepared statements */
	{ "PREPARE a AS SELECT 1", "PREPARE a :SELECT" },
	{ "PREPARE a (int, numeric(3, 1)) AS INSERT INTO t VALUES ($1)", "PREPARE(write,param) a :INSERT" },
	{ "PREPARE transaction AS SELECT 1", "PREPARE transaction :SELECT" },
	{ "PREPARE a AS foo", "UNKNOWN(unsure)" },
	{ "PREPARE a SELECT 1", "UNKNOWN(unsure)" },
	{ "EXECUTE a", "EXECUTE a" },
	{ "EXECUTE a (1, (2))", "EXECUTE a" },
	{ "EXECUTE a 1", "UNKNOWN(unsure)" },
	{ "EXECUTE \"A\"", "EXECUTE A" },
	{ "DEALLOCATE a", "DEALLOCATE a" },
	{ "DEALLOCATE PREPARE a", "DEALLOCATE a" },
	{ "DEALLOCATE prepare", "DEALLOCATE prepare" },
	{ "DEALLOCATE ALL", "DEALLOCATE_ALL" },
	{ "DEALLOCATE PREPARE ALL", "DEALLOCATE_ALL" },
	{ "DEALLOCATE \"all\"", "DEALLOCATE all" },
	{ "EXPLAIN EXECUTE a", "EXPLAIN(executes) a :EXECUTE" },
	{ "EXPLAIN ANALYZE EXECUTE a (1)", "EXPLAIN(analyze,executes) a :EXECUTE" },
	{ "EXPLAIN (ANALYZE off) EXECUTE a", "EXPLAIN(analyze,executes) a :EXECUTE" },
	{ "EXPLAIN (VERBOSE, \"analyze\") EXECUTE a", "EXPLAIN(analyze,executes) a :EXECUTE" },
	{ "CREATE TABLE x AS EXECUTE a (1)", "CREATE_TABLE_AS(executes) a :EXECUTE" },
	{ "CREATE TEMP TABLE x (a, b) WITH (fillfactor = 10) ON COMMIT DROP AS EXECUTE a", "CREATE_TABLE_AS(temp,drop,executes) a :EXECUTE" },
	{ "EXPLAIN ANALYZE CREATE TABLE x AS EXECUTE a", "EXPLAIN(analyze,executes) a :CREATE_TABLE_AS" },

	/* cursors and channels */
	{ "DECLARE a CURSOR FOR SELECT 1", "DECLARE a :SELECT" },
	{ "DECLARE a INSENSITIVE NO SCROLL CURSOR WITHOUT HOLD FOR WITH x AS (SELECT 1) SELECT * FROM x", "DECLARE a :SELECT" },
	{ "DECLARE \"A\" BINARY CURSOR WITH HOLD FOR VALUES (1)", "DECLARE(hold) A :SELECT" },
	{ "DECLARE a CURSOR WITH HOLD", "UNKNOWN(unsure,hold)" },
	{ "CLOSE a", "CLOSE a" },
	{ "CLOSE ALL", "CLOSE_ALL" },
	{ "CLOSE \"all\"", "CLOSE all" },
	{ "FETCH a", "FETCH a" },
	{ "FETCH NEXT FROM a", "FETCH a" },
	{ "FETCH BACKWARD ALL IN a", "FETCH a" },
	{ "FETCH ABSOLUTE -1 a", "FETCH a" },
	{ "MOVE FORWARD 10 FROM a", "MOVE a" },
	{ "FETCH 'a'", "UNKNOWN(unsure,string)" },
	{ "LISTEN a", "LISTEN a" },
	{ "LISTEN \"A b\"", "LISTEN A b" },
	{ "LISTEN 'a'", "UNKNOWN(unsure,string,cast)" },
	{ "UNLISTEN a", "UNLISTEN a" },
	{ "UNLISTEN *", "UNLISTEN_ALL" },
	{ "UNLISTEN a, b", "UNKNOWN(unsure)" },
	{ "NOTIFY a", "NOTIFY a" },
	{ "NOTIFY a, 'x'", "NOTIFY(string) a" },
	{ "NOTIFY a, x", "UNKNOWN(unsure)" },
	{ "LOAD 'x'", "LOAD(string,cast)" },
	{ "LOAD x", "UNKNOWN(unsure)" },

	/* queries */
	{ "SELECT 1", "SELECT" },
	{ "SELECT 1;", "SELECT" },
	{ "(SELECT 1)", "SELECT" },
	{ "((VALUES (1)))", "SELECT" },
	{ "TABLE x", "SELECT" },
	{ "VALUES (1)", "SELECT" },
	{ "SELECT", "SELECT" },
	{ "WITH a AS (SELECT 1) SELECT 2", "SELECT" },
	{ "WITH a AS (SELECT 1), b (c) AS NOT MATERIALIZED (SELECT 2) INSERT INTO t SELECT 1", "INSERT(write,calls)" },
	{ "WITH RECURSIVE a(n) AS (SELECT 1) UPDATE t SET x = 1", "UPDATE(write)" },
	{ "WITH insert AS (SELECT 1) DELETE FROM t", "DELETE(write)" },
	{ "WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a", "SELECT(write)" },
	{ "WITH a AS (SELECT 1) MERGE INTO t USING a ON true WHEN MATCHED THEN DELETE", "MERGE(write)" },
	{ "WITH a AS (SELECT 1) SEARCH DEPTH FIRST BY x SET y SELECT 1", "UNKNOWN(unsure)" },
	{ "WITH a AS (WITH b AS (SELECT 1) SELECT 1) SELECT 1", "SELECT" },
	{ "SELECT 1 INTO t", "SELECT_INTO(write)" },
	{ "SELECT 1 INTO TEMP t", "SELECT_INTO(temp,write)" },
	{ "SELECT 1 INTO LOCAL TEMPORARY TABLE t FROM x", "SELECT_INTO(temp,write)" },
	{ "SELECT 1 INTO pg_temp.t", "SELECT_INTO(temp,pg_temp,write)" },
	{ "SELECT 1 AS into", "SELECT(write)" },
	{ "SELECT x.into FROM x", "SELECT" },
	{ "INSERT INTO t VALUES (1)", "INSERT(write)" },
	{ "INSERT INTO temp VALUES (1)", "INSERT(write)" },
	{ "INSERT INTO pg_temp.t VALUES (1)", "INSERT(pg_temp,write)" },
	{ "COPY t FROM STDIN", "COPY" },
	{ "COPY t (a, b) TO STDOUT WITH (FORMAT csv)", "COPY" },
	{ "COPY (SELECT set_config('a', 'b', false)) TO STDOUT", "COPY(string,set_config) :SELECT" },
	{ "COPY (DELETE FROM t RETURNING f(1)) TO STDOUT", "COPY(write,calls) :DELETE" },
	{ "EXPLAIN SELECT 1", "EXPLAIN :SELECT" },
	{ "EXPLAIN ANALYZE VERBOSE SELECT nextval('a')", "EXPLAIN(analyze,string,nextval) :SELECT" },
	{ "EXPLAIN (SELECT 1)", "EXPLAIN :SELECT" },
	{ "EXPLAIN (ANALYZE) (SELECT 1)", "EXPLAIN(analyze) :SELECT" },
	{ "EXPLAIN ANALYZE SELECT 1 INTO TEMP x", "EXPLAIN(temp,analyze,write) :SELECT_INTO" },
	{ "EXPLAIN ANALYZE CREATE TEMP TABLE x AS SELECT 1", "EXPLAIN(temp,analyze) :CREATE_TABLE_AS" },
	{ "EXPLAIN foo", "UNKNOWN(unsure)" },
	{ "TRUNCATE t", "TRUNCATE" },
	{ "LOCK TABLE t", "LOCK" },

	/* catalog */
	{ "CREATE TABLE t (a int)", "CREATE_TABLE" },
	{ "CREATE TABLE IF NOT EXISTS s.t (a int GENERATED ALWAYS AS (1) STORED)", "CREATE_TABLE" },
	{ "CREATE TABLE t AS SELECT 1", "CREATE_TABLE_AS :SELECT" },
	{ "CREATE TABLE t (a) AS VALUES (1)", "CREATE_TABLE_AS :SELECT" },
	{ "CREATE TABLE t AS foo", "UNKNOWN(unsure)" },
	{ "CREATE TEMP TABLE t (a int) ON COMMIT DROP", "CREATE_TABLE(temp,drop)" },
	{ "CREATE TEMPORARY TABLE t () ON COMMIT PRESERVE ROWS", "CREATE_TABLE(temp)" },
	{ "CREATE GLOBAL TEMP TABLE t ()", "CREATE_TABLE(temp)" },
	{ "CREATE UNLOGGED TABLE t ()", "CREATE_TABLE" },
	{ "CREATE TABLE pg_temp.t ()", "CREATE_TABLE(temp,pg_temp)" },
	{ "CREATE TABLE \"pg_temp_3\".t ()", "CREATE_TABLE(temp,pg_temp)" },
	{ "CREATE TABLE PG_TEMP.t ()", "CREATE_TABLE(temp,pg_temp)" },
	{ "CREATE TABLE U&\"pg_tem\\0070\".t ()", "CREATE_TABLE(temp,pg_temp)" },
	{ "CREATE TABLE \"PG_TEMP\".t ()", "CREATE_TABLE" },
	{ "CREATE TABLE temp (a int)", "CREATE_TABLE" },
	{ "CREATE TEMP VIEW v AS SELECT 1", "CREATE_VIEW(temp)" },
	{ "CREATE OR REPLACE TEMP RECURSIVE VIEW v (a) AS SELECT 1", "CREATE_VIEW(temp,calls)" },
	{ "CREATE VIEW pg_temp.v AS SELECT 1", "CREATE_VIEW(temp,pg_temp)" },
	{ "CREATE TEMP SEQUENCE s", "CREATE_SEQUENCE(temp)" },
	{ "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS $$SELECT 1; SELECT 2$$", "CREATE_FUNCTION(temp,pg_temp,string)" },
	{ "CREATE SCHEMA s CREATE TABLE t (a int) CREATE VIEW v AS SELECT 1", "CREATE_SCHEMA" },
	{ "CREATE INDEX i ON t (a)", "CREATE_INDEX" },
	{ "CREATE INDEX i ON t USING gin (a gin_trgm_ops)", "CREATE_INDEX" },
	{ "CREATE INDEX i ON t (f(a))", "CREATE_INDEX(calls)" },
	{ "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)", "CREATE_INDEX(no-block)" },
	{ "CREATE DATABASE d", "CREATE_DATABASE(no-block)" },
	{ "CREATE TABLESPACE s LOCATION '/x'", "CREATE_TABLESPACE(no-block,string,cast)" },
	{ "CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p", "CREATE_SUBSCRIPTION(no-block,string,cast)" },
	{ "CREATE EXTENSION x", "CREATE" },
	{ "CREATE ROLE r", "CREATE" },
	{ "CREATE foo", "UNKNOWN(unsure)" },
	{ "CREATE", "UNKNOWN(unsure)" },
	{ "DROP TABLE t", "DROP" },
	{ "DROP INDEX CONCURRENTLY i", "DROP(no-block)" },
	{ "DROP DATABASE d", "DROP_DATABASE(no-block)" },
	{ "DROP foo", "UNKNOWN(unsure)" },
	{ "ALTER TABLE t ADD a int", "ALTER" },
	{ "ALTER TABLE t DETACH PARTITION p CONCURRENTLY", "ALTER(no-block)" },
	{ "ALTER ROLE r SET a = 1", "ALTER" },
	{ "ALTER SYSTEM SET a = 1", "ALTER_SYSTEM(no-block)" },
	{ "ALTER DATABASE d SET a = 1", "ALTER(no-block)" },
	{ "COMMENT ON TABLE t IS 'x'", "COMMENT(string)" },
	{ "GRANT SELECT ON t TO r", "GRANT" },
	{ "VACUUM t", "VACUUM(no-block)" },
	{ "ANALYZE t (a, b)", "ANALYZE" },
	{ "ANALYZE", "ANALYZE" },
	{ "CLUSTER", "CLUSTER(no-block)" },
	{ "REINDEX TABLE t", "REINDEX(no-block)" },
	{ "CHECKPOINT", "CHECKPOINT" },
	{ "DO $$BEGIN END$$", "DO(no-block,string)" },
	{ "CALL p(1)", "CALL(no-block,calls)" },
	{ "REFRESH MATERIALIZED VIEW v", "REFRESH" },
	{ "SECURITY LABEL ON TABLE t IS 'x'", "SECURITY_LABEL(string)" },
	{ "REASSIGN OWNED BY a TO b", "REASSIGN" },
	{ "IMPORT FOREIGN SCHEMA a FROM SERVER b INTO c", "IMPORT(write)" },

	/* routines */
	{ "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END", "CREATE_FUNCTION" },
	{ "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END; SELECT 3", "CREATE_FUNCTION ; SELECT" },
	{ "CREATE OR REPLACE PROCEDURE f() BEGIN ATOMIC END; SELECT 3", "CREATE_FUNCTION ; SELECT" },
	{ "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 1 END; END; SELECT 3", "CREATE_FUNCTION ; SELECT" },
	{ "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1 AS x; SELECT begin atomic FROM t; END; SET ROLE a", "CREATE_FUNCTION(unsure) ; SET role ='a'" },
	{ "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT (SELECT 1); END; SELECT 2", "CREATE_FUNCTION ; SELECT" },
	{ "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1;", "CREATE_FUNCTION(unsure)" },
	{ "CREATE FUNCTION f() RETURNS int RETURN 1; SELECT 2", "CREATE_FUNCTION ; SELECT" },
	{ "CREATE FUNCTION f() RETURNS begin LANGUAGE sql AS 'x'; SELECT 2", "CREATE_FUNCTION(string) ; SELECT" },
	{ "CREATE VIEW v AS SELECT begin atomic FROM t; SELECT 1; END", "CREATE_VIEW ; SELECT ; COMMIT" },
	{ "SELECT begin atomic FROM t; SELECT 1", "SELECT ; SELECT" },
	{ "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT 3", "CREATE(write) ; SELECT" },
	{ "CREATE OR REPLACE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT 2;)", "CREATE(write)" },
	{ "SELECT (1; SELECT 2)", "SELECT(unsure)" },

	/* several, none, broken */
	{ ";", "" },
	{ ";;;", "" },
	{ " -- nothing", "" },
	{ "/* nothing */", "" },
	{ "SELECT 1; SELECT 2", "SELECT ; SELECT" },
	{ "SELECT 1;; ;SELECT 2;", "SELECT ; SELECT" },
	{ "BEGIN; SELECT 1; COMMIT", "BEGIN ; SELECT ; COMMIT" },
	{ "SELECT ';'; SELECT $$;$$", "SELECT(string) ; SELECT(string)" },
	{ "foo", "UNKNOWN(unsure)" },
	{ "foo; SELECT 1", "UNKNOWN(unsure) ; SELECT" },
	{ "SELECT 1)", "SELECT(unsure)" },
	{ "SELECT (1", "SELECT(unsure)" },
	{ "SELECT 'a", "SELECT(unsure)" },
	{ "SELECT /* a", "SELECT(unsure)" },
	{ "SELECT \"a", "SELECT(unsure)" },
	{ "SELECT 1; SELECT 'a", "SELECT ; SELECT(unsure)" },
	{ "SELECT 1 \\ 2", "SELECT(unsure)" },
	{ "SELECT {1}", "SELECT(unsure)" },
	{ "SELECT 1x", "SELECT(unsure)" },
	{ "SELECT $1x", "SELECT(unsure,param)" },
	{ "SE/**/T a = 1", "UNKNOWN(unsure)" },
	{ "S ET a = 1", "UNKNOWN(unsure)" },
	{ "\"SET\" a = 1", "UNKNOWN(unsure)" },
	{ "SET/**/a/**/=/**/1", "SET a ='1'" },
	{ "SET--x\na=1", "SET a ='1'" },
	{ "1", "UNKNOWN(unsure)" },
	{ "'a'", "UNKNOWN(unsure,string)" },
	{ "$$a$$", "UNKNOWN(unsure,string)" },

	/* functions */
	{ "SELECT set_config('a', 'b', false)", "SELECT(string,set_config)" },
	{ "SELECT SET_CONFIG ( 'a' , 'b' , false )", "SELECT(string,set_config)" },
	{ "SELECT pg_catalog.set_config('a', 'b', false)", "SELECT(string,set_config)" },
	{ "SELECT \"set_config\"('a', 'b', false)", "SELECT(string,set_config)" },
	{ "SELECT \"SET_CONFIG\"('a', 'b', false)", "SELECT(string,calls)" },
	{ "SELECT U&\"set\\005fconfig\"('a', 'b', false)", "SELECT(string,set_config)" },
	{ "SELECT U&\"set!005fconfig\" UESCAPE '!' ('a', 'b', false)", "SELECT(string,set_config)" },
	{ "SELECT pg_catalog /* x */ . -- y\n \"set_config\" \n ( 'a', 'b', false)", "SELECT(string,set_config)" },
	{ "SELECT d.pg_catalog.set_config('a', 'b', false)", "SELECT(string,set_config)" },
	{ "SELECT s.set_config('a', 'b', false)", "SELECT(string,calls)" },
	{ "SELECT set_config", "SELECT" },
	{ "SELECT 'set_config(1)'", "SELECT(string)" },
	{ "SELECT a AS set_config FROM t", "SELECT" },
	{ "SELECT 1 AS set_config(1)", "SELECT(set_config)" },
	{ "INSERT INTO set_config (a) VALUES (1)", "INSERT(write,set_config)" },
	{ "SELECT * FROM set_config('a', 'b', false) AS x", "SELECT(string,set_config)" },
	{ "SELECT pg_advisory_lock(1), pg_advisory_lock_shared(1), pg_try_advisory_lock(1, 2)", "SELECT(lock)" },
	{ "SELECT pg_advisory_xact_lock(1), pg_try_advisory_xact_lock_shared(1)", "SELECT" },
	{ "SELECT pg_advisory_unlock(1), pg_advisory_unlock_all()", "SELECT(unlock)" },
	{ "SELECT nextval('s')", "SELECT(string,nextval)" },
	{ "SELECT setval('s', 1)", "SELECT(string,nextval)" },
	{ "SELECT currval('s'), lastval()", "SELECT(string,currval)" },
	{ "SELECT setseed(1)", "SELECT(setseed)" },
	{ "SELECT random()", "SELECT" },
	{ "SELECT pg_notify('a', 'b')", "SELECT(string,notify)" },
	{ "SELECT lo_open(1, 2)", "SELECT(lo)" },
	{ "SELECT dblink_connect('x')", "SELECT(string,dblink,connect)" },
	{ "SELECT a.dblink_connect_u('x', 'y')", "SELECT(string,dblink,connect)" },
	{ "SELECT pg_backup_start('a')", "SELECT(string,session,backup)" },
	{ "SELECT pg_start_backup('a', true, false)", "SELECT(string,session,backup)" },
	{ "SELECT * FROM pg_backup_stop()", "SELECT(session)" },
	{ "SELECT public.dblink('x')", "SELECT(string,dblink)" },
	{ "SELECT pg_create_logical_replication_slot('a', 'b', true)", "SELECT(string,session,slot)" },
	{ "SELECT pg_replication_origin_session_setup('a')", "SELECT(string,session,origin)" },
	{ "SELECT foo(1)", "SELECT(calls)" },
	{ "SELECT s.foo(1)", "SELECT(calls)" },
	{ "SELECT s.lower('A')", "SELECT(string,calls)" },
	{ "SELECT pg_catalog.lower('A'), \"lower\"('A'), LOWER('A')", "SELECT(string)" },
	{ "SELECT count(*), sum(a), now(), coalesce(a, 1), greatest(1, 2), extract(day FROM b), cast(a AS numeric(3, 1)) FROM t", "SELECT" },
	{ "SELECT count(*) FILTER (WHERE a) OVER (PARTITION BY (b) ORDER BY (c)) FROM t", "SELECT" },
	{ "SELECT over(1)", "SELECT(calls)" },
	{ "SELECT (a) over(1)", "SELECT(calls)" },
	{ "SELECT filter(1), by(1), key(1), conflict(1), sets(1), rollup(1)", "SELECT(calls)" },
	{ "SELECT 1 FROM t x (a, b) JOIN (SELECT 1) y (c) USING (d)", "SELECT(calls)" },
	{ "SELECT 1 FROM t LEFT JOIN (a CROSS JOIN b) ON (true)", "SELECT" },
	{ "SELECT 1 FROM a JOIN b ON conflict(c)", "SELECT(calls)" },
	{ "SELECT 1 FROM t AS x (a, b), f(1) AS y (c int)", "SELECT(calls)" },
	{ "SELECT 1 FROM t GROUP BY (a), ROLLUP (b)", "SELECT(calls)" },
	{ "SELECT 1 FROM t GROUP BY GROUPING SETS (a, b)", "SELECT" },
	{ "SELECT 1 FROM t GROUP BY ROLLUP (b)", "SELECT" },
	{ "SELECT 1 FROM t GROUP BY CUBE (b)", "SELECT" },
	{ "WITH a AS MATERIALIZED (SELECT 1), b AS NOT MATERIALIZED (SELECT 2) TABLE a", "SELECT" },
	/* Words of clauses that are functions elsewhere. */
	{ "SELECT 1 ORDER BY rollup(1)", "SELECT(calls)" },
	{ "SELECT 1 ORDER BY cube(1)", "SELECT(calls)" },
	{ "SELECT sum(a) OVER (PARTITION BY rollup(1)) FROM t", "SELECT(calls)" },
	{ "SELECT NOT materialized(1)", "SELECT(calls)" },
	{ "SELECT 1 WHERE a AND NOT materialized(1)", "SELECT(calls)" },
	{ "SELECT 1 OPERATOR(pg_catalog.+) over(1)", "SELECT(calls)" },
	{ "SELECT OPERATOR(pg_catalog.-) filter(1)", "SELECT(calls)" },
	{ "SELECT operator(a !), operator((a.b) !)", "SELECT(calls)" },
	{ "CREATE TABLE index AS SELECT 1 FROM a JOIN b ON f(1)", "CREATE_TABLE_AS(calls) :SELECT" },
	{ "CREATE UNIQUE INDEX ON t (a)", "CREATE_INDEX" },
	{ "SELECT 1 FROM a JOIN b ON conflict(1) UNION SELECT 1 AS do", "SELECT(calls)" },
	{ "WITH x AS (SELECT 1 FROM a JOIN b ON conflict(1)) INSERT INTO t SELECT 1 ON CONFLICT DO NOTHING", "INSERT(write,calls)" },
	{ "INSERT INTO t SELECT 1 FROM a JOIN b ON conflict(1) ON CONFLICT ON CONSTRAINT c DO UPDATE SET a = 1", "INSERT(write,calls)" },
	{ "INSERT INTO t (a) VALUES (1) ON CONFLICT (a) WHERE b = 1 DO UPDATE SET a = 1", "INSERT(write)" },
	{ "SELECT * FROM XMLTABLE('a' PASSING a COLUMNS b int \"path\" f(1)) AS t", "SELECT(string,calls)" },
	{ "SELECT 1 WHERE a IN (1) AND b NOT IN (SELECT 1) OR NOT (c) AND EXISTS (SELECT 1) AND d = ANY (ARRAY[1])", "SELECT" },
	{ "SELECT query_to_xml('SELECT 1', true, true, '')", "SELECT(string,calls)" },
	{ "SELECT currtid2('a', '(0,1)')", "SELECT(string,calls)" },
	{ "SELECT a::numeric(10, 2), b::\"Type\"(3), CAST(c AS foo(1))", "SELECT" },
	{ "INSERT INTO t (a, b) VALUES (1, 2) ON CONFLICT (a) DO NOTHING", "INSERT(write)" },
	{ "INSERT INTO s.t (a) SELECT b FROM c JOIN d ON conflict(e) ON CONFLICT (a) DO UPDATE SET (a, b) = (1, 2)", "INSERT(write,calls)" },
	{ "INSERT INTO t AS x (a) VALUES (DEFAULT) RETURNING (a)", "INSERT(write)" },
	{ "UPDATE t SET (a, b) = (SELECT 1, 2) WHERE (c)", "UPDATE(write)" },
	{ "UPDATE t SET a = lower(b)", "UPDATE(write)" },
	{ "SELECT setting FROM pg_settings", "SELECT" },
	{ "UPDATE pg_settings SET setting = a", "UPDATE(write,settings)" },
	{ "UPDATE ONLY \"pg_catalog\" . PG_Settings AS s SET setting = a", "UPDATE(write,settings)" },
	{ "UPDATE U&\"pg\\005fsettings\" SET setting = a", "UPDATE(write,settings)" },
	{ "WITH a AS (SELECT 1) UPDATE pg_settings SET setting = b", "UPDATE(write,settings)" },
	{ "PREPARE p AS UPDATE pg_settings SET setting = $1", "PREPARE(write,param,settings) p :UPDATE" },
	{ "UPDATE \"PG_SETTINGS\" SET setting = a; TABLE pg_settings", "UPDATE(write) ; SELECT" },
	{ "UPDATE t SET a = foo(b)", "UPDATE(write,calls)" },
	{ "SELECT f(SELECT 1)", "SELECT" },
	{ "SELECT x.f(1).y", "SELECT(calls,may-call)" },
	{ "SELECT (x).y(1)", "SELECT(calls,may-call)" },
	/* Attribute notation, of a field or of a function. */
	{ "SELECT (x).y, a[1].y, $1.y", "SELECT(param,may-call)" },
	{ "SELECT (x).date, (x).\"length\"", "SELECT" },
	{ "SELECT (x).*", "SELECT" },
	{ "SELECT a.b, a.b.c FROM a", "SELECT" },
	{ "SELECT (1::bigint).pg_advisory_lock", "SELECT(lock)" },
	{ "SELECT (1::bigint) /**/ . \"pg_advisory_lock_shared\"", "SELECT(lock)" },
	{ "SELECT (x).a.setseed", "SELECT(setseed,may-call)" },
	{ "SELECT $1.dblink_connect", "SELECT(param,dblink,connect)" },
	{ "SELECT (''::text).U&\"dblink\\005fconnect\"", "SELECT(string,cast,dblink,connect)" },
	/* A function of PostgreSQL's by the name of a type. */
	{ "SELECT TREAT(0.5 AS setseed)", "SELECT(unsure)" },
	{ "SELECT treat FROM t", "SELECT" },
	{ "INSERT INTO treat (a) VALUES (1)", "INSERT(write)" },
	{ "PREPARE a (int) AS SELECT foo(1)", "PREPARE(calls) a :SELECT" },
	{ "DECLARE a CURSOR FOR SELECT foo(1)", "DECLARE(calls) a :SELECT" },
	{ "SELECT OPERATOR(pg_catalog.+) 1", "SELECT" },
	{ "SELECT a OPERATOR(s.+) foo(1)", "SELECT(calls)" },

	/* constants */
	{ "SELECT 'a'", "SELECT(string)" },
	{ "SELECT E'a'", "SELECT(string)" },
	{ "SELECT $$a$$", "SELECT(string)" },
	{ "SELECT b'1', x'ff'", "SELECT" },
	{ "SELECT 1::int", "SELECT" },
	{ "SELECT 'a'::date", "SELECT(string,cast)" },
	{ "SELECT 'a' :: date", "SELECT(string,cast)" },
	{ "SELECT ('a')::date", "SELECT(string,cast)" },
	{ "SELECT ARRAY['a']::date[]", "SELECT(string,cast)" },
	{ "SELECT 'x', a::date", "SELECT(string)" },
	{ "SELECT date 'a'", "SELECT(string,cast)" },
	{ "SELECT \"date\" 'a'", "SELECT(string,cast)" },
	{ "SELECT pg_catalog.date 'a'", "SELECT(string,cast)" },
	{ "SELECT timestamp(3) with time zone 'a'", "SELECT(string,cast)" },
	{ "SELECT interval '1' day", "SELECT(string,cast)" },
	{ "SELECT CAST('a' AS date)", "SELECT(string,cast)" },
	{ "SELECT CAST(a AS date)", "SELECT" },
	{ "SELECT CAST(a AS date), 'b'", "SELECT(string,cast)" },
	{ "SELECT a LIKE 'b', a ILIKE 'b' ESCAPE 'c', a SIMILAR TO 'b', a BETWEEN 'b' AND 'c'", "SELECT(string)" },
	{ "SELECT a AT TIME ZONE 'UTC'", "SELECT(string)" },
	{ "SELECT zone 'UTC'", "SELECT(string,cast)" },
	{ "SELECT a IS NOT DISTINCT FROM 'b'", "SELECT(string)" },
	{ "SELECT CASE WHEN a = 'b' THEN 'c' ELSE 'd' END", "SELECT(string)" },
	{ "SELECT a FROM t WHERE a IN ('b', 'c') AND d = $1", "SELECT(string,param)" },
	{ "SELECT $1::date", "SELECT(param)" },
	{ "INSERT INTO t VALUES ('a', 1)", "INSERT(write,string)" },
	{ "SELECT time 'a', time with time zone 'a'", "SELECT(string,cast)" },
	{ "SELECT DISTINCT ON (a) over(1)", "SELECT(calls)" },
	{ "SELECT rank(1) WITHIN GROUP (ORDER BY a) FILTER (WHERE b) OVER (c)", "SELECT" },
	{ "SELECT operator(1), operator(f(+))", "SELECT(calls)" },
	{ "SELECT a OPERATOR(s.+) b", "SELECT" },
	/* clang-format on */
};

static void check_row(const char *text, const char *wanted, unsigned flags)
{
	char found[1024];

	render_text(text, strlen(text), flags, found, sizeof(found));
	ck_assert_msg(strcmp(found, wanted) == 0, "%s: found %s", text, found);
}

START_TEST(knows_the_statements)
{
	check_row(rows[_i].text, rows[_i].found, ON);
}
END_TEST

/* White space and comments around every token change nothing. */
START_TEST(knows_them_between_comments)
{
	static const char blank[] = "/* ; ' /* $$ */ */-- \"\n";
	struct lexer_token token;
	struct lexer lexer;
	char text[4096], found[1024];
	size_t used = 0;

	lexer_init(&lexer, rows[_i].text, strlen(rows[_i].text), ON);
	while (lexer_next(&lexer, &token) != LEXER_END) {
		/* "1x" would become right, and an open comment closed. */
		if (token.kind == LEXER_UNTERMINATED || lexer.unsure)
			return;
		memcpy(text + used, blank, strlen(blank));
		used += strlen(blank);
		memcpy(text + used, token.text, token.len);
		used += token.len;
		ck_assert_uint_lt(used, sizeof(text) - 256);
	}
	memcpy(text + used, blank, strlen(blank));
	used += strlen(blank);
	render_text(text, used, ON, found, sizeof(found));
	ck_assert_msg(strcmp(found, rows[_i].found) == 0, "%.*s: found %s", (int)used,
		text, found);
}
END_TEST

/* Every beginning of every text, in memory of exactly that size.  What is cut
 * in a string or in parentheses says that it is unsure. */
START_TEST(reads_every_beginning)
{
	size_t whole = strlen(rows[_i].text);

	for (size_t len = 0; len <= whole; len++) {
		char *copy = malloc(len > 0 ? len : 1);
		struct statement_reader reader;
		const char *pos = copy;
		struct statement s;

		ck_assert_ptr_nonnull(copy);
		memcpy(copy, rows[_i].text, len);
		statement_begin(&reader, copy, len, ON);
		while (statement_next(&reader, &s)) {
			ck_assert(s.text.data >= pos);
			ck_assert_uint_gt(s.text.len, 0);
			pos = s.text.data + s.text.len;
			ck_assert(pos <= copy + len);
			ck_assert(s.kind != SQL_UNKNOWN || (s.flags & SQL_UNSURE) != 0);
			ck_assert_ptr_nonnull(statement_kind_name(s.kind));
		}
		free(copy);
	}
}
END_TEST

/* Where the setting decides which text is a statement. */
START_TEST(minds_standard_conforming_strings)
{
	static const char hidden[] = "SELECT '\\'; SET ROLE a; --'";

	check_row(hidden, "SELECT(string) ; SET role ='a'", ON);
	check_row(hidden, "SELECT(string)", LEXER_UTF8);
	check_row("SELECT '\\''; SET ROLE a; --'", "SELECT(string)", ON);
	check_row("SELECT '\\''; SET ROLE a; --'", "SELECT(string) ; SET role ='a'",
		LEXER_UTF8);
	check_row("SELECT U&'a'", "SELECT(unsure,string)", LEXER_UTF8);
}
END_TEST

START_TEST(does_not_trust_some_encodings)
{
	unsigned flags = LEXER_STANDARD_STRINGS | lexer_encoding_flags("SJIS");

	check_row("SELECT E'\x83\x5c'; SET ROLE a; --'", "SELECT(unsure,string)", flags);
	check_row("SET a = 'b'", "SET(string) a ='b'", flags);
}
END_TEST

/* --- ranges ------------------------------------------------------------------ */

static const struct {
	const char *text, *body, *types;
} ranges[] = {
	{ " SET a = 'b' , c ; ", "'b' , c", NULL },
	{ "BEGIN ISOLATION LEVEL SERIALIZABLE , READ ONLY;",
		"ISOLATION LEVEL SERIALIZABLE , READ ONLY", NULL },
	{ "BEGIN", NULL, NULL },
	{ "SET TRANSACTION READ ONLY", "READ ONLY", NULL },
	{ "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", "READ WRITE", NULL },
	{ "PREPARE a ( int, b(3) ) AS SELECT $1 -- x", "SELECT $1", "( int, b(3) )" },
	{ "PREPARE a AS TABLE b;", "TABLE b", NULL },
	{ "DECLARE a CURSOR FOR (SELECT 1)", "(SELECT 1)", NULL },
	{ "EXECUTE a (1, (2)) ;", "(1, (2))", NULL },
	{ "EXECUTE a", NULL, NULL },
	{ "LOAD $$x$$", "$$x$$", NULL },
	{ "COMMIT PREPARED 'x'", "'x'", NULL },
	{ "NOTIFY a, 'b'", "'b'", NULL },
	{ "EXPLAIN ANALYZE SELECT 1", "SELECT 1", NULL },
};

static void check_range(struct sql_range range, const char *wanted)
{
	if (wanted == NULL) {
		ck_assert_ptr_null(range.data);
	} else {
		ck_assert_uint_eq(range.len, strlen(wanted));
		ck_assert_mem_eq(range.data, wanted, range.len);
	}
}

START_TEST(gives_the_parts_of_a_text)
{
	const char *text = ranges[_i].text;
	struct statement s;

	ck_assert_uint_eq(statement_count(text, strlen(text), ON, 2, &s), 1);
	check_range(s.body, ranges[_i].body);
	check_range(s.types, ranges[_i].types);
}
END_TEST

START_TEST(counts_statements)
{
	static const struct {
		const char *text;
		unsigned count;
		enum sql_kind first;
	} texts[] = { { "", 0, SQL_EMPTY }, { " ; /* */ ;", 0, SQL_EMPTY },
		{ "SELECT 1", 1, SQL_SELECT }, { ";;SELECT 1;;", 1, SQL_SELECT },
		{ "BEGIN; SELECT 1", 2, SQL_BEGIN },
		{ "BEGIN;END;ABORT", 2, SQL_BEGIN } };
	struct statement s;

	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		ck_assert_uint_eq(
			statement_count(texts[i].text, strlen(texts[i].text), ON, 2, &s),
			texts[i].count);
		ck_assert_int_eq(s.kind, texts[i].first);
	}
	ck_assert_uint_eq(statement_count(NULL, 0, ON, 2, &s), 0);
}
END_TEST

/* 64 levels are followed, more are unsure; neither takes more than a loop. */
START_TEST(bears_deep_nesting)
{
	enum { DEPTH = 100000 };
	static char text[2 * DEPTH + 16];
	struct statement s;

	for (size_t depth = 1; depth <= DEPTH;
		depth = depth < 70 ? depth + 1 : DEPTH + 1) {
		memcpy(text, "SELECT ", 7);
		memset(text + 7, '(', depth);
		text[7 + depth] = '1';
		memset(text + 8 + depth, ')', depth);
		ck_assert_uint_eq(statement_count(text, 8 + 2 * depth, ON, 2, &s), 1);
		ck_assert_int_eq(s.kind, SQL_SELECT);
		ck_assert_uint_eq(s.flags, depth > 64 ? SQL_UNSURE : 0);
	}
	memset(text, '(', DEPTH);
	ck_assert_uint_eq(statement_count(text, DEPTH, ON, 2, &s), 1);
	ck_assert_uint_eq(s.flags, SQL_UNSURE);
}
END_TEST

/* --- values and calls ---------------------------------------------------------- */

START_TEST(keeps_to_the_buffer)
{
	static const char text[] = "SET search_path = a, \"B\"\"c\", 12, 'd e'";
	static const char wanted[] = "a, \"B\"\"c\", 12, \"d e\"";
	struct statement s;
	size_t len;

	ck_assert_uint_eq(statement_count(text, strlen(text), ON, 2, &s), 1);
	for (size_t size = 0; size <= sizeof(wanted); size++) {
		char *to = malloc(size > 0 ? size : 1);
		enum lexer_value result = statement_value(&s, to, size, &len);

		if (size < sizeof(wanted)) {
			ck_assert_int_eq(result, LEXER_VALUE_TOO_LONG);
		} else {
			ck_assert_int_eq(result, LEXER_VALUE_OK);
			ck_assert_uint_eq(len, strlen(wanted));
			ck_assert_str_eq(to, wanted);
		}
		free(to);
	}
}
END_TEST

static const struct {
	const char *text, *calls;
	bool is_only;
} calls[] = {
	{ "SELECT set_config('a', 'b', false)", "'a','b',false", true },
	{ "SELECT set_config('a', 'b', true) AS x, pg_catalog.set_config($1, $2::text, "
	  "'f')",
		"'a','b',true $1,$2,false", true },
	{ "SELECT set_config('a', NULL, true) x", "'a',NULL,true", true },
	{ "SELECT set_config('a'::text, E'b', $3)", "'a','b',$3", true },
	{ "SELECT U&\"set\\005fconfig\"($$a$$, U&'\\0062', FALSE)", "'a','b',false",
		true },
	{ "SELECT set_config('a', 'b', 't'::pg_catalog.bool)", "'a','b',true", true },
	{ "SELECT set_config('a', 'b', false) FROM t", "'a','b',false", false },
	{ "SELECT set_config('a', 'b', false), 1", "'a','b',false", false },
	{ "SELECT 1, set_config('a', 'b', false)", "'a','b',false", false },
	{ "SELECT DISTINCT set_config('a', 'b', false)", "'a','b',false", false },
	{ "SELECT set_config('a', 'b', false) WHERE false", "'a','b',false", false },
	{ "SELECT set_config('a', 'b', false) LIMIT 0", "'a','b',false", false },
	{ "SELECT set_config('a', 'b', false)::int", "'a','b',false", false },
	{ "SELECT set_config('a', 'b' || 'c', false)", "'a',?,false", false },
	{ "SELECT set_config('a', 'b'::varchar(1), false)", "'a',?,false", false },
	{ "SELECT set_config('a', 'b', NOT true)", "'a','b',?", false },
	{ "SELECT set_config('a', 'b', 'maybe')", "'a','b',?", false },
	{ "SELECT set_config('a', 'b')", "'a',?,?", false },
	{ "SELECT set_config('a', 'b', false, 1)", "'a','b',?", false },
	{ "SELECT set_config('a', $1::int::text, false)", "'a',?,false", false },
	{ "SELECT set_config($1, upper($2), true)", "$1,?,true", false },
	{ "SELECT set_config('a' || 'b', 'c', false)", "?,'c',false", false },
	{ "SELECT set_config('a'::name, 'c', false)", "?,'c',false", false },
	{ "SELECT set_config(upper('a'), 'c', false)", "?,'c',false", false },
	{ "SELECT set_config('a')", "?,?,?", false },
	{ "SELECT set_config('a', 'b', is_local => true)", "'a','b',?", false },
	{ "SELECT set_config(setting_name => 'a', new_value => 'b', is_local => false)",
		"?,?,?", false },
	{ "SELECT set_config('a', set_config('b', 'c', false), true)",
		"'a',?,true 'b','c',false", false },
	{ "SELECT set_config('a', 'x' || set_config('b', f(1, 2), false), false)",
		"'a',?,false 'b',?,false", false },
	{ "SELECT s.set_config('a', 'b', false)", "", false },
	{ "SELECT d.s.set_config('a', 'b', false), d.pg_catalog.set_config('c', 'd', "
	  "true)",
		"'c','d',true", false },
	{ "SELECT set_config, 'set_config(1)'", "", false },
	{ "INSERT INTO t SELECT set_config('a', 'b', false)", "'a','b',false", false },
	{ "SELECT set_config('a', 'b', fal", "'a','b',?", false },
	{ "SELECT set_config(", "?,?,?", false },
};

START_TEST(finds_calls_of_set_config)
{
	const char *text = calls[_i].text;
	struct statement s;
	char found[512];

	(void)statement_count(text, strlen(text), ON, 1, &s);
	render_calls(&s, found, sizeof(found));
	ck_assert_msg(strcmp(found, calls[_i].calls) == 0, "%s: found %s", text, found);
	ck_assert_msg(statement_is_only_set_config(&s) == calls[_i].is_only, "%s", text);
}
END_TEST

static const struct {
	const char *text;
	bool changes;
} codes[] = {
	{ "SELECT 1", false }, { "CREATE TABLE t (x int)", false },
	{ "CREATE TEMP TABLE t AS SELECT 1", false }, { "CREATE UNIQUE INDEX ON t (x)", false },
	{ "CREATE SEQUENCE s", false }, { "DROP TABLE IF EXISTS t CASCADE", false },
	{ "DROP INDEX CONCURRENTLY i", false }, { "DROP SEQUENCE s", false },
	{ "COMMENT ON TABLE t IS 'x'", false }, { "TRUNCATE t", false },
	{ "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", true },
	{ "CREATE OR REPLACE PROCEDURE p() LANGUAGE sql AS ''", true },
	{ "CREATE OR REPLACE TEMP VIEW v AS SELECT 1", true },
	{ "CREATE TRIGGER t BEFORE INSERT ON x EXECUTE FUNCTION f()", true },
	{ "CREATE RULE r AS ON INSERT TO x DO NOTHING", true },
	{ "CREATE OPERATOR + (RIGHTARG = int, FUNCTION = f)", true },
	{ "CREATE DOMAIN d AS int", true }, { "CREATE SCHEMA s CREATE VIEW v AS SELECT 1", true },
	{ "ALTER TABLE t ALTER x SET DEFAULT 1", true }, { "DROP VIEW v", true },
	{ "DROP FUNCTION f()", true }, { "DROP OWNED BY r", true }, { "DROP SCHEMA s", true },
	{ "DROP TRIGGER t ON x", true }, { "CREATE EXTENSION e", true },
};

START_TEST(knows_what_changes_code)
{
	struct statement s;

	(void)statement_count(codes[_i].text, strlen(codes[_i].text), ON, 1, &s);
	ck_assert_msg(((s.flags & SQL_CHANGES_CODE) != 0) == codes[_i].changes, "%s", codes[_i].text);
}
END_TEST

START_TEST(names_every_kind)
{
	ck_assert_str_eq(statement_kind_name(SQL_EMPTY), "EMPTY");
	ck_assert_str_eq(statement_kind_name(SQL_DROP_SUBSCRIPTION), "DROP_SUBSCRIPTION");
	ck_assert_str_eq(statement_tag(SQL_CLOSE_ALL), "CLOSE CURSOR ALL");
	ck_assert_int_eq(statement_group(SQL_SELECT), SQL_GROUP_READ);
	ck_assert_int_eq(statement_group(SQL_UNKNOWN), SQL_GROUP_UNKNOWN);
	ck_assert_int_eq(statement_group(SQL_DO), SQL_GROUP_CODE);
}
END_TEST

Suite *statement_suite(void)
{
	Suite *s = suite_create("sql/statement");
	TCase *tc = tcase_create("statement_next");
	int count = (int)COUNT_OF(rows);

	tcase_add_loop_test(tc, knows_the_statements, 0, count);
	tcase_add_loop_test(tc, knows_them_between_comments, 0, count);
	tcase_add_loop_test(tc, reads_every_beginning, 0, count);
	tcase_add_test(tc, minds_standard_conforming_strings);
	tcase_add_test(tc, does_not_trust_some_encodings);
	tcase_add_loop_test(tc, gives_the_parts_of_a_text, 0, (int)COUNT_OF(ranges));
	tcase_add_test(tc, counts_statements);
	tcase_add_test(tc, bears_deep_nesting);
	tcase_add_test(tc, keeps_to_the_buffer);
	tcase_add_loop_test(tc, finds_calls_of_set_config, 0, (int)COUNT_OF(calls));
	tcase_add_loop_test(tc, knows_what_changes_code, 0, (int)COUNT_OF(codes));
	tcase_add_test(tc, names_every_kind);
	suite_add_tcase(s, tc);
	return s;
}

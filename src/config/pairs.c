/* SPDX-License-Identifier: ISC */
#include "config/pairs.h"

#include <stdio.h>
#include <string.h>

#include "config/config.h"
#include "config/hba.h"
#include "config/listen.h"
#include "config/source.h"
#include "config/userlist.h"
#include "config/verify.h"

enum { WHERE_SIZE = 600, MD5_LEN = 35 };

enum secret_kind { SECRET_IS_NONE, SECRET_IS_PLAIN, SECRET_IS_MD5, SECRET_IS_SCRAM };

/* Secrets of users, by what they are good for. */
struct kinds {
	size_t count[SECRET_IS_SCRAM + 1];
	const char *md5_user;           /* one of those with md5 */
};

bool pairs_is_scram(const char *secret)
{
	return strncmp(secret, "SCRAM-SHA-256$", 14) == 0;
}

static enum secret_kind kind_of(const char *secret)
{
	if (secret == NULL || secret[0] == '\0')
		return SECRET_IS_NONE;
	if (pairs_is_scram(secret))
		return SECRET_IS_SCRAM;
	if (strncmp(secret, "md5", 3) == 0 && strlen(secret) == MD5_LEN &&
		strspn(secret + 3, "0123456789abcdef") == MD5_LEN - 3)
		return SECRET_IS_MD5;
	return SECRET_IS_PLAIN;
}

static void count_secret(struct kinds *k, const char *user, const char *secret)
{
	enum secret_kind kind = kind_of(secret);

	k->count[kind]++;
	if (kind == SECRET_IS_MD5)
		k->md5_user = user;
}

static void count_kinds(const struct config *config, struct kinds *k)
{
	const char *name = NULL, *secret;

	*k = (struct kinds){ .md5_user = NULL };
	for (size_t i = 0; i < config->user_count; i++)
		count_secret(k, config->users[i].name, config->users[i].options.password);
	while (config->userlist != NULL &&
		(name = userlist_next(config->userlist, name, &secret)) != NULL)
		count_secret(k, name, secret);
}

/* "FILE, line 3: " of an option, or "" where it has its default. */
static const char *where(const struct config *config, const char *option, char to[WHERE_SIZE])
{
	const struct config_place_of *place = config_find_place(config, option);

	to[0] = '\0';
	if (place != NULL && place->line > 0)
		(void)snprintf(to, WHERE_SIZE, "%.400s, line %u: ", config->path, place->line);
	return to;
}

/* --- how clients come in ------------------------------------------------------------------ */

/* What proves nothing that could be passed on, by auth_type or by a rule. */
struct proof {
	const char *method;             /* NULL: there is none such */
	bool is_only;                   /* all clients come in so */
	char place[WHERE_SIZE];         /* with ": " behind it */
};

static bool proves_nothing(enum hba_method method)
{
	return method == HBA_TRUST || method == HBA_CERT || method == HBA_PEER;
}

static void find_proof_in_rules(const struct config *config, struct proof *proof)
{
	proof->is_only = true;
	for (size_t i = 0; i < hba_count(config->hba); i++) {
		struct hba_place at;
		enum hba_method method = hba_method_at(config->hba, i, &at);

		if (method == HBA_REJECT)
			continue;
		if (!proves_nothing(method)) {
			proof->is_only = false;
		} else if (proof->method == NULL) {
			proof->method = hba_method_name(method);
			(void)snprintf(proof->place, sizeof(proof->place), "%.400s, line %u: ",
				at.path, at.line);
		}
	}
}

static void find_proof(const struct config *config, struct proof *proof)
{
	enum config_auth_type type = config->auth.auth_type;

	*proof = (struct proof){ .is_only = true };
	if (type == CONFIG_AUTH_TRUST)
		proof->method = "trust";
	else if (type == CONFIG_AUTH_CERT)
		proof->method = "cert";
	else if (type == CONFIG_AUTH_PEER)
		proof->method = "peer";
	else if (type == CONFIG_AUTH_HBA && config->hba != NULL)
		find_proof_in_rules(config, proof);
	if (type != CONFIG_AUTH_HBA)
		(void)where(config, "auth.auth_type", proof->place);
}

/* Only by SCRAM, which an md5 secret proves nothing to. */
static bool asks_scram_only(const struct config *config)
{
	size_t scram = 0;

	if (config->auth.auth_type != CONFIG_AUTH_HBA || config->hba == NULL)
		return config->auth.auth_type == CONFIG_AUTH_SCRAM;
	for (size_t i = 0; i < hba_count(config->hba); i++) {
		struct hba_place at;
		enum hba_method method = hba_method_at(config->hba, i, &at);

		if (method != HBA_SCRAM && method != HBA_REJECT)
			return false;
		scram += method == HBA_SCRAM;
	}
	return scram > 0;
}

static int warn_md5(struct config *config, const struct kinds *k)
{
	char place[WHERE_SIZE];

	if (k->count[SECRET_IS_MD5] == 0 || !asks_scram_only(config))
		return 0;
	return verify_warn(config, "%s%zu of the users, \"%.63s\" among them, %s md5 secrets, with "
		"which nobody can log in by scram-sha-256 (28P01): have PostgreSQL make SCRAM "
		"secrets (password_encryption) and copy those, or allow md5",
		where(config, "auth.auth_type", place), k->count[SECRET_IS_MD5], k->md5_user,
		k->count[SECRET_IS_MD5] == 1 ? "has" : "have");
}

/* peer asks the kernel, which knows processes of this machine. */
static int warn_peer(struct config *config)
{
	char place[WHERE_SIZE], why[300];

	if (config->auth.auth_type != CONFIG_AUTH_PEER)
		return 0;
	for (size_t i = 0; i < config->workload_count; i++) {
		const struct option_list *list = &config->workloads[i].options.listen;

		for (size_t k = 0; k < list->count; k++) {
			struct listen_address address;

			if (listen_parse(list->items[k], &address, why, sizeof(why)) &&
				address.kind == LISTEN_UNIX)
				return 0;
		}
	}
	return verify_warn(config, "%snobody can log in: auth_type is peer, and no workload listens "
		"on a unix socket (listen: unix:/dir:port)",
		where(config, "auth.auth_type", place));
}

/* --- how servers are logged in to --------------------------------------------------------- */

/* Over these PostgreSQL may know who we are without a password. */
static bool is_known_otherwise(const struct config_host *host)
{
	if (host->options.server_tls_cert_file[0] != '\0')
		return true;
	for (size_t i = 0; i < host->options.host.count; i++) {
		if (host->places[i].host[0] != '/' && host->places[i].host[0] != '@')
			return false;
	}
	return true;
}

static bool has_own(const struct config_host *host)
{
	return host->options.password[0] != '\0' || config_password_is_asked(&host->source);
}

/* A text that proves a password, where one is wanted that opens something. */
static int warn_verifier(struct config *config, const char *section, const char *name,
	const char *secret)
{
	char option[200], place[WHERE_SIZE];

	if (kind_of(secret) != SECRET_IS_SCRAM)
		return 0;
	(void)snprintf(option, sizeof(option), "%s.%s.password", section, name);
	return verify_warn(config, "%s%s is a SCRAM secret, which logs nobody in to PostgreSQL: "
		"it takes the password itself, password_file or password_command",
		where(config, option, place), option);
}

static int warn_host(struct config *config, const struct config_host *host)
{
	char option[100], place[WHERE_SIZE];

	if (host->options.user[0] == '\0' || has_own(host) || is_known_otherwise(host))
		return warn_verifier(config, "hosts", host->name, host->options.password);
	(void)snprintf(option, sizeof(option), "hosts.%s.user", host->name);
	return verify_warn(config, "%s%s has no password: the router's own login works only where "
		"PostgreSQL trusts it; password, password_file or password_command would tell "
		"one", where(config, option, place), option);
}

static int warn_forced_user(struct config *config, const struct config_database *db)
{
	const struct config_host *host = &config->hosts[db->host];
	const char *user = db->options.user;
	char option[200], place[WHERE_SIZE];
	enum secret_kind kind = kind_of(config_secret(config, user));

	if (db->options.password[0] != '\0' || config_password_is_asked(&db->source) ||
		is_known_otherwise(host) || kind == SECRET_IS_PLAIN || kind == SECRET_IS_MD5 ||
		(strcmp(user, host->options.user) == 0 && has_own(host)))
		return warn_verifier(config, "databases", db->name, db->options.password);
	(void)snprintf(option, sizeof(option), "databases.%s.user", db->name);
	return verify_warn(config, "%s%s has %s: clients get in only where PostgreSQL trusts the "
		"router; password, password_file or password_command would tell one",
		where(config, option, place), option, kind == SECRET_IS_SCRAM ?
			"a SCRAM secret, which logs nobody in but who proves it" : "no password");
}

/* The client's user, by what the files know of users. */
static int warn_proof(struct config *config, const struct config_database *db,
	const struct proof *proof, const struct kinds *k)
{
	const struct config_host *host = &config->hosts[db->host];

	/* What auth_query tells is not known here. */
	if (proof->method == NULL || !proof->is_only || is_known_otherwise(host) ||
		host->is_asked_for_users || k->count[SECRET_IS_PLAIN] + k->count[SECRET_IS_MD5] > 0)
		return 0;
	return verify_warn(config, "%s%s proves nothing that PostgreSQL takes, and no user has a "
		"password in users or auth_file: clients of databases.%s get in only where "
		"PostgreSQL trusts the router; databases.%s.user with a password would do, too",
		proof->place, proof->method, db->name, db->name);
}

int pairs_warn(struct config *config)
{
	struct proof proof;
	struct kinds kinds;
	int ret;

	count_kinds(config, &kinds);
	find_proof(config, &proof);
	ret = warn_md5(config, &kinds);
	if (ret == 0)
		ret = warn_peer(config);
	for (size_t i = 0; ret == 0 && i < config->host_count; i++)
		ret = warn_host(config, &config->hosts[i]);
	for (size_t i = 0; ret == 0 && i < config->database_count; i++) {
		const struct config_database *db = &config->databases[i];

		ret = db->options.user[0] != '\0' ? warn_forced_user(config, db) :
						    warn_proof(config, db, &proof, &kinds);
	}
	return ret;
}

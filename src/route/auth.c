/* SPDX-License-Identifier: ISC */
/*
 * What a client has to prove: by auth_type, or by the rule that it falls under.
 */
#include <stdlib.h>
#include <string.h>

#include "config/hba.h"
#include "config/ident.h"
#include "config/network.h"
#include "route/directory_priv.h"

/* The bytes of an address; 0: it is no IP address. */
static size_t address_bytes(const struct addr *peer, uint8_t to[HBA_ADDRESS_MAX])
{
	switch (peer->sa.sa_family) {
	case AF_INET:
		memcpy(to, &peer->in4.sin_addr, sizeof(peer->in4.sin_addr));
		return sizeof(peer->in4.sin_addr);
	case AF_INET6:
		memcpy(to, &peer->in6.sin6_addr, sizeof(peer->in6.sin6_addr));
		return sizeof(peer->in6.sin6_addr);
	default:
		return 0;
	}
}

static void describe(const struct route_login *login, struct hba_client *c)
{
	*c = (struct hba_client){ .is_physical = login->is_physical,
		.database = login->database, .user = login->user,
		.link = login->is_tls ? HBA_LINK_TLS : HBA_LINK_PLAIN };
	/* Whatever name it was asked for by: a rule for one holds for both. */
	if (login->is_console) {
		c->database = "pgbouncer";
		c->alias = "pgtandem";
	}
	c->address_len = address_bytes(login->peer, c->address);
	if (c->address_len == 0)
		c->link = HBA_LINK_LOCAL;
}

bool directory_is_proxy(struct directory *d, struct route_workload *w,
	const struct addr *peer)
{
	const struct config_workload *conf;
	uint8_t bytes[HBA_ADDRESS_MAX];
	size_t len = address_bytes(peer, bytes);
	struct config *config;
	bool is_proxy = false;

	if (!atomic_load(&w->has_proxies))
		return false;
	config = directory_config(d);
	conf = config_find_workload(config, w->name);
	for (size_t i = 0; conf != NULL && i < conf->options.proxy_protocol_from.count; i++) {
		struct network net;

		if (network_parse(conf->options.proxy_protocol_from.items[i], &net))
			is_proxy = is_proxy || network_has(&net, bytes, len);
	}
	config_unref(config);
	return is_proxy;
}

static struct ldap_target ldap_target(const struct hba_ldap *ldap)
{
	return (struct ldap_target){ .uris = ldap->uris, .starttls = ldap->starttls,
		.prefix = ldap->prefix, .suffix = ldap->suffix, .basedn = ldap->basedn,
		.binddn = ldap->binddn, .bindpasswd = ldap->bindpasswd,
		.attribute = ldap->attribute, .filter = ldap->filter, .scope = ldap->scope };
}

static void follow_rules(const struct config *config, const struct route_login *login,
	struct route_proof *out)
{
	static const enum route_auth methods[] = {
		[HBA_TRUST] = ROUTE_AUTH_TRUST,
		[HBA_REJECT] = ROUTE_AUTH_REJECT,
		[HBA_PASSWORD] = ROUTE_AUTH_PASSWORD,
		[HBA_MD5] = ROUTE_AUTH_MD5,
		[HBA_SCRAM] = ROUTE_AUTH_SCRAM,
		[HBA_CERT] = ROUTE_AUTH_CERT,
		[HBA_PEER] = ROUTE_AUTH_PEER,
		[HBA_PAM] = ROUTE_AUTH_PAM,
		[HBA_LDAP] = ROUTE_AUTH_LDAP,
	};
	static const enum route_cert certs[] = {
		[HBA_CERT_ANY] = ROUTE_CERT_ANY,
		[HBA_CERT_VALID] = ROUTE_CERT_VALID,
		[HBA_CERT_USER] = ROUTE_CERT_USER,
	};
	struct hba_verdict verdict;
	struct hba_client c;

	out->method = ROUTE_AUTH_NO_RULE;
	describe(login, &c);
	if (config->hba == NULL || !hba_match(config->hba, &c, &verdict))
		return;
	out->method = methods[verdict.method];
	out->cert = certs[verdict.cert];
	out->cert_dn = verdict.cert_dn;
	out->line = verdict.line;
	out->map = verdict.map;
	if (verdict.pam_service != NULL)
		out->pam_service = verdict.pam_service;
	if (verdict.ldap != NULL)
		out->ldap = ldap_target(verdict.ldap);
}

/* The host that has the database; who asks for none that is known may still be a user. */
static void find_lookup(struct directory *d, const struct config *config,
	const struct route_login *login, struct route_lookup *out)
{
	const struct config_database *db = config_find_database(config, login->database);
	const char *dbname, *sql = config_auth_query(config, db, &dbname);
	size_t host = db == NULL ? 0 : db->host;

	if (sql == NULL || login->is_console || (db == NULL && config->host_count > 1) ||
		config->hosts[host].options.user[0] == '\0')
		return;
	*out = (struct route_lookup){ .dbname = dbname[0] == '\0' ? NULL : dbname, .sql = sql,
		.ttl_us = config->auth.auth_query_cache_ttl_us,
		.negative_ttl_us = config->auth.auth_query_negative_ttl_us };
	pthread_mutex_lock(&d->lock);
	out->host = directory_find_host(d, config->hosts[host].name);
	pthread_mutex_unlock(&d->lock);
}

void directory_auth(struct directory *d, const struct route_login *login,
	struct route_proof *out)
{
	struct config *config = directory_config(d);
	const char *stored = config_secret(config, login->user);
	uint32_t set = config->auth.scram_iterations;

	*out = (struct route_proof){ .config = config, .secrets = config->secrets.all,
		.scram_secrets = config->secrets.scram,
		.iterations = set != 0 ? set : config->secrets.iterations,
		.iterations_are_set = set != 0,
		.pam_service = config->auth.auth_pam_service,
		.map = config->auth.auth_map[0] == '\0' ? NULL : config->auth.auth_map };
	switch (config->auth.auth_type) {
	case CONFIG_AUTH_TRUST:
		out->method = ROUTE_AUTH_TRUST;
		break;
	case CONFIG_AUTH_PASSWORD:
		out->method = ROUTE_AUTH_PASSWORD;
		break;
	case CONFIG_AUTH_MD5:
		out->method = ROUTE_AUTH_MD5;
		break;
	case CONFIG_AUTH_SCRAM:
		out->method = ROUTE_AUTH_SCRAM;
		break;
	case CONFIG_AUTH_HBA:
	case CONFIG_AUTH_LDAP:
		follow_rules(config, login, out);
		break;
	case CONFIG_AUTH_CERT:
		out->method = ROUTE_AUTH_CERT;
		out->cert = ROUTE_CERT_USER;
		break;
	case CONFIG_AUTH_PEER:
		out->method = ROUTE_AUTH_PEER;
		break;
	case CONFIG_AUTH_PAM:
		out->method = ROUTE_AUTH_PAM;
		break;
	}
	out->secret = stored == NULL ? NULL : strdup(stored);
	if (stored == NULL && out->method != ROUTE_AUTH_PAM && out->method != ROUTE_AUTH_LDAP)
		find_lookup(d, config, login, &out->lookup);
	out->console = (config_is_admin(config, login->user) ? ROUTE_ADMIN | ROUTE_STATS : 0) |
		(config_is_stats(config, login->user) ? ROUTE_STATS : 0);
}

bool route_proof_allows(const struct route_proof *proof, const char *system_user,
	const char *user)
{
	return ident_allows(proof->config->ident, proof->map, system_user, user);
}

void route_proof_finish(struct route_proof *proof)
{
	if (proof->secret != NULL)
		explicit_bzero(proof->secret, strlen(proof->secret));
	free(proof->secret);
	config_unref(proof->config);
	*proof = (struct route_proof){ .method = ROUTE_AUTH_NO_RULE };
}

void route_proof_share(const struct route_proof *proof, struct route_proof *out)
{
	*out = *proof;
	out->secret = NULL;
	out->config = config_ref(proof->config);
}

/* SPDX-License-Identifier: ISC */
/*
 * TLS: which options need which others, and whether the files that they name can be
 * read.  What is in them is for whoever makes contexts of them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "config/config.h"
#include "config/doc.h"
#include "config/hba.h"
#include "config/verify.h"

#define BIT(name) (UINT64_C(1) << OPTION_SETTING_##name)

/* One side's options, and where the file says them. */
struct tls_side {
	const struct doc_source *source;
	const struct doc_node *node;
	const char *prefix;             /* "client" */
	enum config_sslmode mode;
	const char *key, *cert, *ca, *crl;
};

/* Where a level gives a key and no mode. */
static void default_own_mode(struct config_level *own)
{
	const uint64_t mode = BIT(client_tls_sslmode), key = BIT(client_tls_key_file);

	if ((own->given & mode) != 0 || (own->given & key) == 0)
		return;
	own->values.client_tls_sslmode = CONFIG_SSL_PREFER;
	own->given |= mode;
}

/* Who gives a key wants it to be used. */
static void default_mode(struct config *config)
{
	const uint64_t mode = BIT(client_tls_sslmode), key = BIT(client_tls_key_file);
	struct config_level *all = &config->defaults;

	if ((all->given & mode) != 0)
		return;
	if ((all->given & key) != 0)
		all->values.client_tls_sslmode = CONFIG_SSL_PREFER;
	for (size_t i = 0; i < config->workload_count; i++)
		default_own_mode(&config->workloads[i].level);
	default_own_mode(&config->admin_level);
}

static int check_side(const struct tls_side *s, bool needs_key)
{
	bool has_key = s->key[0] != '\0', has_cert = s->cert[0] != '\0';
	const char *p = s->prefix;

	if (s->mode == CONFIG_SSL_DISABLE)
		return 0;
	if (needs_key && !has_key && !has_cert)
		return doc_fail(s->source, s->node,
			"%s_tls_sslmode needs %s_tls_key_file and %s_tls_cert_file", p, p, p);
	if (has_key != has_cert)
		return doc_fail(s->source, s->node, "%s_tls_%s_file needs %s_tls_%s_file", p,
			has_key ? "key" : "cert", p, has_key ? "cert" : "key");
	if (s->mode >= CONFIG_SSL_VERIFY_CA && s->ca[0] == '\0')
		return doc_fail(s->source, s->node,
			"%s_tls_sslmode: verify-ca and verify-full need %s_tls_ca_file", p, p);
	if (s->crl[0] != '\0' && s->ca[0] == '\0')
		return doc_fail(s->source, s->node, "%s_tls_crl_file needs %s_tls_ca_file", p,
			p);
	return 0;
}

/* own: where the level stands that goes before tls. */
static int check_clients(const struct doc_source *source, const struct settings *s,
	const struct config_level *level, const struct doc_node *own)
{
	const struct doc_node *top = doc_get(source->root, "tls");
	const struct doc_node *node =
		level->given & BIT(client_tls_sslmode) || top == NULL ? own : top;

	if (s->client_tls_sni_cert_files.count != s->client_tls_sni_key_files.count)
		return doc_fail(source, node,
			"client_tls_sni_key_files needs a key for each of client_tls_sni_cert_files: "
			"there are %zu keys and %zu certificates",
			s->client_tls_sni_key_files.count, s->client_tls_sni_cert_files.count);
	if (s->client_tls_sni_cert_files.count > 0 && s->client_tls_cert_file[0] == '\0')
		return doc_fail(source, node,
			"client_tls_sni_cert_files needs client_tls_cert_file, for clients that ask "
			"for no name, or for another one");
	return check_side(
		&(struct tls_side){ .source = source,
			.node = node,
			.prefix = "client",
			.mode = s->client_tls_sslmode,
			.key = s->client_tls_key_file,
			.cert = s->client_tls_cert_file,
			.ca = s->client_tls_ca_file,
			.crl = s->client_tls_crl_file },
		true);
}

static int check_workload(const struct config *config, const struct doc_source *source,
	const struct config_workload *w)
{
	struct settings s;

	config_resolve(config, w, NULL, NULL, &s);
	return check_clients(source, &s, &w->level,
		doc_reach(source->root, "workloads", w->name, NULL));
}

static int check_console(const struct config *config, const struct doc_source *source)
{
	struct settings s;

	if (config->admin.listen.count == 0)
		return 0;
	config_resolve_console(config, &s);
	return check_clients(source, &s, &config->admin_level, doc_get(source->root, "admin"));
}

static int check_host(const struct doc_source *source, const struct config_host *host)
{
	const struct doc_node *node = doc_reach(source->root, "hosts", host->name, NULL);
	const struct host_options *o = &host->options;
	const struct doc_node *direct = doc_get(node, "server_tls_sslnegotiation");

	if (o->server_tls_sslnegotiation == CONFIG_SSL_DIRECT &&
		o->server_tls_sslmode < CONFIG_SSL_REQUIRE)
		return doc_fail(source, direct,
			"server_tls_sslnegotiation: direct needs a server_tls_sslmode of require, "
			"verify-ca or verify-full");
	return check_side(
		&(struct tls_side){ .source = source,
			.node = node,
			.prefix = "server",
			.mode = o->server_tls_sslmode,
			.key = o->server_tls_key_file,
			.cert = o->server_tls_cert_file,
			.ca = o->server_tls_ca_file,
			.crl = o->server_tls_crl_file },
		false);
}

int verify_tls(struct config *config, const struct doc_source *source)
{
	int ret = 0;

	default_mode(config);
	for (size_t i = 0; ret == 0 && i < config->host_count; i++)
		ret = check_host(source, &config->hosts[i]);
	for (size_t i = 0; ret == 0 && i < config->workload_count; i++)
		ret = check_workload(config, source, &config->workloads[i]);
	return ret < 0 ? ret : check_console(config, source);
}

static int warn_clear(struct config *config)
{
	struct hba_place at;

	if (config->hba == NULL || !hba_clear_ldap(config->hba, &at))
		return 0;
	return verify_warn(config, "%s, line %u: passwords go to the directory in "
		"clear; ldaptls=1 or ldapscheme=ldaps would encrypt them", at.path,
		at.line);
}

struct tls_of_workloads {
	bool has_tls;
	bool has_ca;
};

static struct tls_of_workloads find_tls(const struct config *config)
{
	struct tls_of_workloads found = { false, false };

	for (size_t i = 0; i < config->workload_count; i++) {
		struct settings s;

		config_resolve(config, &config->workloads[i], NULL, NULL, &s);
		if (s.client_tls_sslmode == CONFIG_SSL_DISABLE)
			continue;
		found.has_tls = true;
		found.has_ca = found.has_ca || s.client_tls_ca_file[0] != '\0';
	}
	return found;
}

/* What rules ask for that no workload has. */
static int warn_rules(struct config *config)
{
	const struct tls_of_workloads found = find_tls(config);
	struct hba_place at;

	if (!found.has_tls && hba_needs_tls(config->hba, &at))
		return verify_warn(config, "%s, line %u: hostssl fits nobody, as no workload has "
			"TLS (client_tls_sslmode)", at.path, at.line);
	if (!found.has_ca && hba_needs_certificate(config->hba, &at))
		return verify_warn(config, "%s, line %u: lets nobody in, as no workload has "
			"client_tls_ca_file to verify certificates with", at.path, at.line);
	return 0;
}

int verify_tls_rules(struct config *config)
{
	int ret = warn_clear(config);

	if (ret == 0 && config->hba != NULL)
		ret = warn_rules(config);
	if (ret == 0 && config->auth.auth_type == CONFIG_AUTH_CERT && !find_tls(config).has_ca)
		ret = verify_warn(config, "nobody can log in: auth_type is cert, and no workload "
			"has TLS with client_tls_ca_file");
	return ret;
}

/* --- files ------------------------------------------------------------------------- */

static int check_file(struct config *config, const char *option, const char *name,
	bool is_secret, struct diag *diag)
{
	char *path;
	int ret;

	if (name[0] == '\0' || strcmp(name, "system") == 0)
		return 0;
	path = config_file_path(config, name);
	if (path == NULL)
		return -ENOMEM;
	ret = config_check_readable(config, option, path, diag);
	if (ret == 0 && doc_is_everybodys(path)) {
		diag_set(diag, path, 0, 0,
			"%s: everybody may change it; chmod o-w would stop that", option);
		ret = -EPERM;
	}
	if (ret == 0 && is_secret && doc_is_public(path))
		ret = verify_warn(config, "everybody may read %s, which holds a private key; "
			"chmod 640 would hide it", path);
	free(path);
	return ret;
}

static int check_files(struct config *config, const char *option,
	const struct option_list *names, bool is_secret, struct diag *diag)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < names->count; i++)
		ret = check_file(config, option, names->items[i], is_secret, diag);
	return ret;
}

static int check_client_files(struct config *config, const struct settings *s, uint64_t given,
	struct diag *diag)
{
	int ret = 0;

	if (given & BIT(client_tls_key_file))
		ret = check_file(config, "client_tls_key_file", s->client_tls_key_file, true,
			diag);
	if (ret == 0 && given & BIT(client_tls_cert_file))
		ret = check_file(config, "client_tls_cert_file", s->client_tls_cert_file,
			false, diag);
	if (ret == 0 && given & BIT(client_tls_sni_cert_files))
		ret = check_files(config, "client_tls_sni_cert_files",
			&s->client_tls_sni_cert_files, false, diag);
	if (ret == 0 && given & BIT(client_tls_sni_key_files))
		ret = check_files(config, "client_tls_sni_key_files",
			&s->client_tls_sni_key_files, true, diag);
	if (ret == 0 && given & BIT(client_tls_ca_file))
		ret = check_file(config, "client_tls_ca_file", s->client_tls_ca_file, false,
			diag);
	if (ret == 0 && given & BIT(client_tls_crl_file))
		ret = check_file(config, "client_tls_crl_file", s->client_tls_crl_file, false,
			diag);
	return ret;
}

int verify_tls_files(struct config *config, struct diag *diag)
{
	int ret = check_client_files(config, &config->defaults.values, config->defaults.given,
		diag);

	for (size_t i = 0; ret == 0 && i < config->workload_count; i++)
		ret = check_client_files(config, &config->workloads[i].level.values,
			config->workloads[i].level.given, diag);
	if (ret == 0)
		ret = check_client_files(config, &config->admin_level.values,
			config->admin_level.given, diag);
	for (size_t i = 0; ret == 0 && i < config->host_count; i++) {
		const struct host_options *o = &config->hosts[i].options;

		ret = check_file(config, "server_tls_key_file", o->server_tls_key_file, true,
			diag);
		if (ret == 0)
			ret = check_file(config, "server_tls_cert_file",
				o->server_tls_cert_file, false, diag);
		if (ret == 0)
			ret = check_file(config, "server_tls_ca_file", o->server_tls_ca_file,
				false, diag);
		if (ret == 0)
			ret = check_file(config, "server_tls_crl_file",
				o->server_tls_crl_file, false, diag);
	}
	return ret;
}

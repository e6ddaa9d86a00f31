/* SPDX-License-Identifier: ISC */
#include "route/tls.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/slog.h"
#include "config/config.h"
#include "route/directory.h"

enum { EXPIRES_SOON_DAYS = 14, DAY_S = 86400 };

static enum route_tls_mode mode_from(enum config_sslmode mode)
{
	switch (mode) {
	case CONFIG_SSL_DISABLE:
		return ROUTE_TLS_DISABLE;
	case CONFIG_SSL_ALLOW:
	case CONFIG_SSL_PREFER:
		return ROUTE_TLS_PREFER;
	case CONFIG_SSL_REQUIRE:
		return ROUTE_TLS_REQUIRE;
	case CONFIG_SSL_VERIFY_CA:
		return ROUTE_TLS_VERIFY_CA;
	case CONFIG_SSL_VERIFY_FULL:
		return ROUTE_TLS_VERIFY_FULL;
	}
	return ROUTE_TLS_DISABLE;
}

static enum tls_protocols protocols_from(enum config_tls_protocols protocols)
{
	switch (protocols) {
	case CONFIG_TLS_SECURE:
		return TLS_PROTOCOLS_SECURE;
	case CONFIG_TLS_1_2:
		return TLS_PROTOCOLS_1_2;
	case CONFIG_TLS_1_3:
		return TLS_PROTOCOLS_1_3;
	}
	return TLS_PROTOCOLS_SECURE;
}

/* The names of files as they are to be opened. */
enum { FILE_KEY, FILE_CERT, FILE_CA, FILE_CRL, FILE_COUNT };

static bool find_files(const struct config *config, const char *const names[FILE_COUNT],
	char *paths[FILE_COUNT])
{
	bool ok = true;

	for (size_t i = 0; i < FILE_COUNT; i++) {
		bool is_plain = names[i][0] == '\0' || strcmp(names[i], "system") == 0;

		paths[i] = is_plain ? strdup(names[i]) : config_file_path(config, names[i]);
		ok = ok && paths[i] != NULL;
	}
	return ok;
}

static bool find_list(const struct config *config, const struct option_list *names,
	struct option_list *paths)
{
	*paths = (struct option_list){ .items = calloc(names->count + 1, sizeof(char *)) };
	if (paths->items == NULL)
		return false;
	while (paths->count < names->count) {
		char *path = config_file_path(config, names->items[paths->count]);

		if (path == NULL)
			return false;
		paths->items[paths->count++] = path;
	}
	return true;
}

/* what: "workloads.web", for the message. */
static struct route_tls *make(const struct config *config, enum route_tls_mode mode,
	const struct tls_settings *settings, const char *what, const char *name,
	struct diag *diag)
{
	const char *const names[FILE_COUNT] = { settings->key_file, settings->cert_file,
		settings->ca_file, settings->crl_file };
	struct route_tls *tls = calloc(1, sizeof(*tls));
	struct tls_settings with = *settings;
	char *paths[FILE_COUNT] = { NULL };
	struct diag problem = { 0 };
	char text[DIAG_TEXT_MAX + DIAG_FILE_MAX];

	if (tls == NULL)
		return NULL;
	atomic_init(&tls->refs, 1);
	tls->mode = mode;
	if (mode == ROUTE_TLS_DISABLE)
		return tls;
	if (find_files(config, names, paths)) {
		with.key_file = paths[FILE_KEY];
		with.cert_file = paths[FILE_CERT];
		with.ca_file = paths[FILE_CA];
		with.crl_file = paths[FILE_CRL];
		tls->context = tls_context_create(&with, &problem);
	}
	for (size_t i = 0; i < FILE_COUNT; i++)
		free(paths[i]);
	if (tls->context != NULL)
		return tls;
	if (diag_is_set(&problem))
		diag_set(diag, NULL, 0, 0, "%s.%s: TLS: %s", what, name,
			diag_format(&problem, text, sizeof(text)));
	route_tls_unref(tls);
	return NULL;
}

static struct route_tls *make_for_clients(const struct config *config, const struct settings *s,
	const char *what, const char *name, struct diag *diag)
{
	enum route_tls_mode mode = mode_from(s->client_tls_sslmode);
	struct option_list certs = { NULL, 0 }, keys = { NULL, 0 };
	struct route_tls *tls = NULL;
	struct tls_settings settings = {
		.is_server = true,
		.protocols = protocols_from(s->client_tls_protocols),
		.key_file = s->client_tls_key_file,
		.cert_file = s->client_tls_cert_file,
		.ca_file = s->client_tls_ca_file,
		.crl_file = s->client_tls_crl_file,
		.ciphers = s->client_tls_ciphers,
		.ciphersuites = s->client_tls13_ciphers,
		.groups = s->client_tls_groups,
	};

	if (mode >= ROUTE_TLS_VERIFY_CA)
		settings.verify = TLS_VERIFY_CHAIN;
	else if (s->client_tls_ca_file[0] != '\0')
		settings.verify = TLS_VERIFY_IF_GIVEN;
	if (find_list(config, &s->client_tls_sni_cert_files, &certs) &&
		find_list(config, &s->client_tls_sni_key_files, &keys)) {
		settings.sni_cert_files = certs.items;
		settings.sni_key_files = keys.items;
		settings.sni_count = certs.count;
		tls = make(config, mode, &settings, what, name, diag);
	}
	option_list_free(&certs);
	option_list_free(&keys);
	return tls;
}

struct route_tls *route_tls_for_workload(const struct config *config,
	const struct config_workload *w, struct diag *diag)
{
	struct settings s;

	config_resolve(config, w, NULL, NULL, &s);
	return make_for_clients(config, &s, "workloads", w->name, diag);
}

struct route_tls *route_tls_for_console(const struct config *config, struct diag *diag)
{
	struct settings s;

	config_resolve_console(config, &s);
	/* Nobody is there to be shown it. */
	if (config->admin.listen.count == 0)
		s.client_tls_sslmode = CONFIG_SSL_DISABLE;
	return make_for_clients(config, &s, "admin", "listen", diag);
}

static bool take_names(struct route_tls *tls, const struct config_host *host)
{
	size_t count = host->options.host.count;

	tls->names = calloc(count, sizeof(*tls->names));
	if (tls->names == NULL)
		return false;
	tls->name_count = count;
	for (size_t i = 0; i < count; i++) {
		if (place_is_unix(&host->places[i]))
			continue;
		tls->names[i] = strdup(host->places[i].host);
		if (tls->names[i] == NULL)
			return false;
	}
	return true;
}

struct route_tls *route_tls_for_host(const struct config *config,
	const struct config_host *host, struct diag *diag)
{
	const struct host_options *o = &host->options;
	enum route_tls_mode mode = mode_from(o->server_tls_sslmode);
	struct tls_settings settings = {
		.protocols = protocols_from(o->server_tls_protocols),
		.key_file = o->server_tls_key_file,
		.cert_file = o->server_tls_cert_file,
		.ca_file = o->server_tls_ca_file,
		.crl_file = o->server_tls_crl_file,
		.ciphers = o->server_tls_ciphers,
		.ciphersuites = o->server_tls13_ciphers,
		.groups = o->server_tls_groups,
	};
	struct route_tls *tls;

	if (mode == ROUTE_TLS_VERIFY_FULL)
		settings.verify = TLS_VERIFY_NAME;
	else if (mode == ROUTE_TLS_VERIFY_CA)
		settings.verify = TLS_VERIFY_CHAIN;
	/* As in libpq: with a CA at hand require is verify-ca. */
	else if (mode == ROUTE_TLS_REQUIRE && o->server_tls_ca_file[0] != '\0')
		settings.verify = TLS_VERIFY_CHAIN;
	tls = make(config, mode, &settings, "hosts", host->name, diag);
	if (tls == NULL)
		return NULL;
	tls->is_direct = o->server_tls_sslnegotiation == CONFIG_SSL_DIRECT;
	if (take_names(tls, host))
		return tls;
	route_tls_unref(tls);
	return NULL;
}

struct route_tls *route_tls_ref(struct route_tls *tls)
{
	uint32_t before = atomic_fetch_add_explicit(&tls->refs, 1, memory_order_relaxed);

	assert(before > 0);
	return tls;
}

void route_tls_unref(struct route_tls *tls)
{
	if (tls == NULL ||
		atomic_fetch_sub_explicit(&tls->refs, 1, memory_order_acq_rel) > 1)
		return;
	for (size_t i = 0; i < tls->name_count; i++)
		free(tls->names[i]);
	free(tls->names);
	tls_context_unref(tls->context);
	free(tls);
}

const char *route_tls_name(const struct route_tls *tls, uint32_t place)
{
	return place < tls->name_count ? tls->names[place] : NULL;
}

/* --- all of a configuration ----------------------------------------------------------- */

void route_tls_drop_all(struct route_tls_all *all)
{
	for (size_t i = 0; i < all->workload_count; i++)
		route_tls_unref(all->workloads[i]);
	for (size_t i = 0; i < all->host_count; i++)
		route_tls_unref(all->hosts[i]);
	route_tls_unref(all->console);
	free(all->workloads);
	free(all->hosts);
	*all = (struct route_tls_all){ 0 };
}

int route_tls_make_all(const struct config *config, struct route_tls_all *all,
	struct diag *diag)
{
	bool ok = true;

	*all = (struct route_tls_all){ 0 };
	all->workloads = calloc(config->workload_count + 1, sizeof(*all->workloads));
	all->hosts = calloc(config->host_count + 1, sizeof(*all->hosts));
	if (all->workloads == NULL || all->hosts == NULL)
		ok = false;
	for (size_t i = 0; ok && i < config->workload_count; i++) {
		all->workloads[i] = route_tls_for_workload(config, &config->workloads[i], diag);
		all->workload_count++;
		ok = all->workloads[i] != NULL;
	}
	for (size_t i = 0; ok && i < config->host_count; i++) {
		all->hosts[i] = route_tls_for_host(config, &config->hosts[i], diag);
		all->host_count++;
		ok = all->hosts[i] != NULL;
	}
	if (ok)
		all->console = route_tls_for_console(config, diag);
	if (all->console != NULL)
		return 0;
	route_tls_drop_all(all);
	diag_set(diag, NULL, 0, 0, "out of memory");
	return -EINVAL;
}

int route_tls_check(const struct config *config, struct diag *diag)
{
	struct route_tls_all all;
	int ret = route_tls_make_all(config, &all, diag);

	route_tls_drop_all(&all);
	return ret;
}

/* --- time ----------------------------------------------------------------------------- */

static void tell_expiry(const struct route_tls *tls, const char *what, const char *name)
{
	uint64_t now_s = clock_wall_us() / USEC_PER_SEC;
	char subject[TLS_DN_MAX], quoted[TLS_DN_MAX + 2];
	uint64_t end_s;

	if (tls == NULL || tls->context == NULL)
		return;
	end_s = tls_context_expires(tls->context);
	if (end_s == 0 || end_s > now_s + (uint64_t)EXPIRES_SOON_DAYS * DAY_S)
		return;
	tls_context_subject(tls->context, subject);
	SLOG(WARN, "certificate-expires", "%s=%s certificate=%s state=%s days_left=%lu", what, name,
		slog_quote(quoted, sizeof(quoted), subject, strlen(subject)),
		end_s <= now_s ? "expired" : "valid",
		end_s <= now_s ? 0 : (unsigned long)((end_s - now_s) / DAY_S));
}

void route_tls_tell_expiry(const struct config *config, const struct route_tls_all *all)
{
	for (size_t i = 0; i < all->workload_count; i++)
		tell_expiry(all->workloads[i], "workload", config->workloads[i].name);
	tell_expiry(all->console, "workload", DIRECTORY_CONSOLE_WORKLOAD);
	for (size_t i = 0; i < all->host_count; i++)
		tell_expiry(all->hosts[i], "host", config->hosts[i].name);
}

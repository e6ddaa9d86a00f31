/* SPDX-License-Identifier: ISC */
#include "config/contents.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/diag.h"
#include "base/hash.h"
#include "config/config.h"
#include "config/doc.h"

enum { SUBJECT_MAX = 256 };

struct contents {
	struct contents_file *list;
	size_t count;
};

/* One level of the file. */
struct level {
	enum option_level level;
	const char *section;
	const char *name;               /* of the entry, or NULL */
	const void *own;
	const struct config_level *settings;    /* NULL: it has none */
};

/* --- certificates -------------------------------------------------------------------- */

static char *describe(X509 *cert)
{
	BIO *out = BIO_new(BIO_s_mem());
	char subject[SUBJECT_MAX] = "", *text = NULL;
	struct tm end;

	if (out != NULL && X509_NAME_print_ex(out, X509_get_subject_name(cert), 0,
				   XN_FLAG_RFC2253) >= 0)
		(void)BIO_gets(out, subject, sizeof(subject));
	BIO_free(out);
	if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &end) != 1 ||
		asprintf(&text, "%s, valid until %04d-%02d-%02d %02d:%02d UTC", subject,
			end.tm_year + 1900, end.tm_mon + 1, end.tm_mday, end.tm_hour,
			end.tm_min) < 0)
		return NULL;
	return text;
}

/* NULL: it is none, which is for whoever uses it to tell. */
static char *describe_text(const char *pem, size_t len)
{
	BIO *in = BIO_new_mem_buf(pem, (int)len);
	X509 *cert = in == NULL ? NULL : PEM_read_bio_X509(in, NULL, NULL, NULL);
	char *text = cert == NULL ? NULL : describe(cert);

	X509_free(cert);
	BIO_free(in);
	ERR_clear_error();
	return text;
}

/* --- files ------------------------------------------------------------------------------ */

/* auth_file and the rules are compared by what they say, the others are written to. */
static bool is_read(const struct option *o)
{
	return (o->type == OPTION_PATH || o->type == OPTION_PATHS) &&
		o->effect != OPTION_RESTART && o->home != OPTION_IN_AUTH &&
		o->home != OPTION_IN_LOG;
}

static int add_file(const struct config *config, const char *name, bool is_cert,
	struct contents_file *file)
{
	struct diag diag = { 0 };
	char *path = config_file_path(config, name), *text;
	size_t len;

	if (path == NULL)
		return -ENOMEM;
	if (doc_read_file(path, CONTENTS_FILE_MAX, &text, &len, &diag) == 0) {
		const uint64_t parts[] = { file->hash, hash_bytes(text, len) };

		file->hash = hash_bytes(parts, sizeof(parts));
		if (is_cert)
			file->text = describe_text(text, len);
		doc_free_text(text, len);
	}
	free(path);
	return 0;
}

static char *path_of(const struct level *at, const struct option *o)
{
	char *path;
	int len = at->name == NULL ? asprintf(&path, "%s.%s", at->section, o->name) :
				     asprintf(&path, "%s.%s.%s", at->section, at->name, o->name);

	return len < 0 ? NULL : path;
}

static int add_option(struct config *config, const struct level *at, const struct option *o,
	const void *field)
{
	const struct option_list one = { .items = (char **)(uintptr_t)field, .count = 1 };
	const struct option_list *names = option_is_list(o) ? field : &one;
	struct contents *all = config->contents;
	struct contents_file file = { .path = NULL }, *list;
	bool is_cert = strstr(o->name, "_cert_file") != NULL && names == &one;
	int ret = 0;

	if (names->count == 0 || names->items[0][0] == '\0')
		return 0;
	file.path = path_of(at, o);
	for (size_t i = 0; ret == 0 && i < names->count; i++)
		ret = add_file(config, names->items[i], is_cert, &file);
	list = realloc(all->list, (all->count + 1) * sizeof(*list));
	if (list != NULL)
		all->list = list;
	if (list == NULL || file.path == NULL || ret < 0) {
		free(file.path);
		free(file.text);
		return -ENOMEM;
	}
	list[all->count++] = file;
	return 0;
}

static int add_level(struct config *config, const struct level *at)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < option_count; i++) {
		const struct option *o = &option_table[i];
		const void *base = at->own;

		if ((o->levels & at->level) == 0 || !is_read(o))
			continue;
		if (o->home == OPTION_IN_SETTINGS)
			base = (at->settings->given & UINT64_C(1) << o->setting) == 0 ?
				NULL :
				&at->settings->values;
		if (base != NULL)
			ret = add_option(config, at, o, (const char *)base + o->offset);
	}
	return ret;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct contents_file *)a)->path,
		((const struct contents_file *)b)->path);
}

int contents_read(struct config *config)
{
	const struct level single[] = {
		{ OPTION_AT_TLS, "tls", NULL, NULL, &config->defaults },
		{ OPTION_AT_ADMIN, "admin", NULL, &config->admin, &config->admin_level },
		{ OPTION_AT_HTTP, "http", NULL, &config->http, NULL },
	};
	int ret = 0;

	config->contents = calloc(1, sizeof(*config->contents));
	if (config->contents == NULL)
		return -ENOMEM;
	for (size_t i = 0; ret == 0 && i < COUNT_OF(single); i++)
		ret = add_level(config, &single[i]);
	for (size_t i = 0; ret == 0 && i < config->host_count; i++)
		ret = add_level(config, &(struct level){ OPTION_AT_HOST, "hosts",
						config->hosts[i].name, &config->hosts[i].options, NULL });
	for (size_t i = 0; ret == 0 && i < config->workload_count; i++)
		ret = add_level(config, &(struct level){ OPTION_AT_WORKLOAD, "workloads",
						config->workloads[i].name, &config->workloads[i].options,
						&config->workloads[i].level });
	for (size_t i = 0; ret == 0 && i < config->database_count; i++)
		ret = add_level(config, &(struct level){ OPTION_AT_DATABASE, "databases",
						config->databases[i].name, &config->databases[i].options,
						&config->databases[i].level });
	if (config->contents->count > 0)
		qsort(config->contents->list, config->contents->count,
			sizeof(*config->contents->list), by_path);
	return ret;
}

const struct contents_file *contents_find(const struct contents *contents, const char *path)
{
	const struct contents_file key = { .path = (char *)(uintptr_t)path };

	if (contents == NULL || contents->count == 0)
		return NULL;
	return bsearch(&key, contents->list, contents->count, sizeof(key), by_path);
}

void contents_destroy(struct contents **slot)
{
	struct contents *contents = *slot;

	*slot = NULL;
	for (size_t i = 0; contents != NULL && i < contents->count; i++) {
		free(contents->list[i].path);
		free(contents->list[i].text);
	}
	if (contents != NULL)
		free(contents->list);
	free(contents);
}

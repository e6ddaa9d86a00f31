/* SPDX-License-Identifier: ISC */
#include "net/tls_hosts.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_BYTES = 255 };

struct known_name {
	struct hash_node node;
	size_t which;
	char text[];
};

int tls_hosts_init(struct tls_hosts *hosts)
{
	return hash_table_init(&hosts->table, 16);
}

void tls_hosts_finish(struct tls_hosts *hosts)
{
	struct hash_node *node;

	if (hosts->table.buckets == NULL)
		return;
	while ((node = hash_table_walk(&hosts->table, NULL)) != NULL) {
		hash_table_remove(&hosts->table, node);
		free(container_of(node, struct known_name, node));
	}
	hash_table_finish(&hosts->table);
}

/* In small letters, and without the dot of a name that is written in full.  Returns the
 * length, 0 for what is no name. */
static size_t fold(const char *name, size_t len, char to[NAME_MAX_BYTES + 1])
{
	if (len > 0 && name[len - 1] == '.')
		len--;
	if (len == 0 || len > NAME_MAX_BYTES || memchr(name, '\0', len) != NULL)
		return 0;
	for (size_t i = 0; i < len; i++)
		to[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] - 'A' + 'a') : name[i];
	to[len] = '\0';
	return len;
}

static size_t find(const struct tls_hosts *hosts, const char *text)
{
	struct hash_node *node = hash_table_find(&hosts->table, hash_bytes(text, strlen(text)));

	for (; node != NULL; node = hash_next(node)) {
		const struct known_name *known = container_of(node, struct known_name, node);

		if (strcmp(known->text, text) == 0)
			return known->which;
	}
	return SIZE_MAX;
}

/* --- adding ---------------------------------------------------------------------------- */

/* 1: it is one; 0: it is none; -ENOMEM. */
static int add(struct tls_hosts *hosts, const ASN1_STRING *name, size_t which)
{
	char text[NAME_MAX_BYTES + 1];
	size_t len = fold((const char *)ASN1_STRING_get0_data(name),
		(size_t)ASN1_STRING_length(name), text);
	struct known_name *known;

	if (len == 0)
		return 0;
	if (find(hosts, text) != SIZE_MAX)
		return 1;
	known = malloc(sizeof(*known) + len + 1);
	if (known == NULL)
		return -ENOMEM;
	known->which = which;
	memcpy(known->text, text, len + 1);
	hash_table_add(&hosts->table, &known->node, hash_bytes(text, len));
	return 1;
}

static int add_hosts(struct tls_hosts *hosts, X509 *cert, size_t which)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	int count = 0, one = 0;

	for (int i = 0; one >= 0 && i < sk_GENERAL_NAME_num(all); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(all, i);

		if (name->type != GEN_DNS)
			continue;
		one = add(hosts, name->d.dNSName, which);
		count += one;
	}
	GENERAL_NAMES_free(all);
	/* Of what cannot be read. */
	ERR_clear_error();
	return one < 0 ? one : count;
}

static int add_common(struct tls_hosts *hosts, X509 *cert, size_t which)
{
	X509_NAME *subject = X509_get_subject_name(cert);
	int count = 0, one = 0, at = -1;

	while (one >= 0 && (at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0) {
		one = add(hosts, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), which);
		count += one;
	}
	return one < 0 ? one : count;
}

int tls_hosts_add(struct tls_hosts *hosts, X509 *cert, size_t which)
{
	int count = add_hosts(hosts, cert, which);

	return count != 0 ? count : add_common(hosts, cert, which);
}

/* --- finding --------------------------------------------------------------------------- */

size_t tls_hosts_find(const struct tls_hosts *hosts, const char *name)
{
	char text[NAME_MAX_BYTES + 1];
	size_t itself;
	char *dot;

	if (fold(name, strlen(name), text) == 0)
		return SIZE_MAX;
	itself = find(hosts, text);
	dot = strchr(text, '.');
	if (dot == NULL || dot == text)
		return itself;
	dot[-1] = '*';
	return size_min(itself, find(hosts, dot - 1));
}

/* SPDX-License-Identifier: ISC */
/*
 * Names in certificates.  With a zero in front the input is a certificate (DER); else it is
 * made into a subject: for each part a byte that says which attribute, one for the type of
 * its text, one for its length, and the text.
 */
#include <openssl/err.h>
#include <openssl/objects.h>
#include <stdlib.h>
#include <string.h>

#include "net/tls_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

static X509 *from_parts(const uint8_t *data, size_t size)
{
	static const int attributes[] = { NID_commonName, NID_organizationName,
		NID_countryName, NID_pkcs9_emailAddress, NID_userId, NID_domainComponent };
	static const int types[] = { V_ASN1_UTF8STRING, V_ASN1_PRINTABLESTRING,
		V_ASN1_IA5STRING, V_ASN1_T61STRING, V_ASN1_BMPSTRING, V_ASN1_UNIVERSALSTRING };
	X509 *cert = X509_new();
	X509_NAME *name = cert == NULL ? NULL : X509_get_subject_name(cert);
	size_t at = 0;

	while (name != NULL && size - at >= 3) {
		size_t len = size_min(data[at + 2], size - at - 3);

		(void)X509_NAME_add_entry_by_NID(name, attributes[data[at] % COUNT_OF(attributes)],
			types[data[at + 1] % COUNT_OF(types)], data + at + 3, (int)len, -1, 0);
		at += len + 3;
	}
	return cert;
}

static size_t count_common_names(X509 *cert)
{
	X509_NAME *subject = X509_get_subject_name(cert);
	size_t count = 0;

	for (int i = 0; i < X509_NAME_entry_count(subject); i++)
		count += OBJ_obj2nid(X509_NAME_ENTRY_get_object(
				 X509_NAME_get_entry(subject, i))) == NID_commonName;
	return count;
}

/* What it has is found, and leads to it. */
static void ask_hosts(X509 *cert)
{
	struct tls_hosts hosts;
	int count;

	check(tls_hosts_init(&hosts) == 0);
	count = tls_hosts_add(&hosts, cert, 7);
	check(count >= 0 && hosts.table.count <= (size_t)count);
	check((count > 0) == (hosts.table.count > 0));
	for (size_t i = 0; i < 2; i++) {
		size_t found = tls_hosts_find(&hosts, i == 0 ? "db.example.com" : "a.b.");

		check(found == SIZE_MAX || (found == 7 && count > 0));
	}
	tls_hosts_finish(&hosts);
	check(ERR_peek_error() == 0);
}

static void ask(X509 *cert)
{
	char name[TLS_NAME_MAX + 1], dn[TLS_DN_MAX + 1], short_name[8];

	memset(name, 'x', sizeof(name));
	memset(dn, 'x', sizeof(dn));
	if (tls_subject_name(cert, name, TLS_NAME_MAX)) {
		check(strlen(name) > 0 && strlen(name) < TLS_NAME_MAX);
		/* It fits into less where it is shorter, and nowhere else. */
		check(tls_subject_name(cert, short_name, sizeof(short_name)) ==
			(strlen(name) < sizeof(short_name)));
	}
	if (tls_names_are_clear(cert) &&
		X509_get_ext_by_NID(cert, NID_subject_alt_name, -1) < 0)
		check(count_common_names(cert) <= 1);
	if (tls_subject_dn(cert, dn, TLS_DN_MAX))
		check(strlen(dn) > 0 && strlen(dn) < TLS_DN_MAX);
	check(name[TLS_NAME_MAX] == 'x' && dn[TLS_DN_MAX] == 'x');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const unsigned char *at = data + 1;
	X509 *cert;

	if (size < 1)
		return 0;
	cert = data[0] == 0 ? d2i_X509(NULL, &at, (long)size - 1) :
			      from_parts(data + 1, size - 1);
	ERR_clear_error();
	if (cert != NULL) {
		ask(cert);
		ask_hosts(cert);
	}
	X509_free(cert);
	ERR_clear_error();
	return 0;
}

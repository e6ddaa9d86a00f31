/* SPDX-License-Identifier: ISC */
/*
 * Names in certificates, which were signed by somebody we trust and still may hold
 * anything: whoever asked for the certificate chose the bytes.
 *
 * Source: RFC 2253 for the text of a distinguished name; PostgreSQL's be-secure-openssl.c.
 */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "net/tls_priv.h"

static bool has_zero_byte(const ASN1_STRING *text)
{
	size_t len = (size_t)ASN1_STRING_length(text);

	return len > 0 && memchr(ASN1_STRING_get0_data(text), '\0', len) != NULL;
}

/* As it stands there, as for PostgreSQL: what is in letters of two bytes, or in Latin-1, is
 * not taken for the same name in UTF-8.  And whole: a name with a zero byte in it is
 * somebody's trick (CVE-2009-4034). */
static bool copy_name(const ASN1_STRING *name, char *to, size_t size)
{
	size_t len = (size_t)ASN1_STRING_length(name);
	bool fits = len > 0 && len < size && !has_zero_byte(name);

	if (fits) {
		memcpy(to, ASN1_STRING_get0_data(name), len);
		to[len] = '\0';
	}
	return fits;
}

static bool has_two_names(X509 *cert)
{
	X509_NAME *subject = X509_get_subject_name(cert);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

	return at >= 0 && X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0;
}

bool tls_subject_name(X509 *cert, char *to, size_t size)
{
	X509_NAME *subject = X509_get_subject_name(cert);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

	/* Which of several would count is anybody's guess. */
	return at >= 0 && !has_two_names(cert) &&
		copy_name(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), to, size);
}

/* With a common name that nobody should have nothing of it counts, as with PostgreSQL. */
static bool has_odd_common_name(X509 *cert)
{
	X509_NAME *subject = X509_get_subject_name(cert);
	int at = -1;

	while ((at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0) {
		if (has_zero_byte(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at))))
			return true;
	}
	return false;
}

bool tls_subject_dn(X509 *cert, char *to, size_t size)
{
	BIO *bio = BIO_new(BIO_s_mem());
	bool fits = false;
	char *text;
	long len;

	if (bio != NULL && !has_odd_common_name(cert) &&
		X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253) >= 0) {
		len = BIO_get_mem_data(bio, &text);
		fits = len > 0 && (size_t)len < size && memchr(text, '\0', (size_t)len) == NULL;
		if (fits) {
			memcpy(to, text, (size_t)len);
			to[len] = '\0';
		}
	}
	BIO_free(bio);
	ERR_clear_error();
	return fits;
}

bool tls_names_are_clear(X509 *cert)
{
	GENERAL_NAMES *others = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	bool has_name = false, is_clear = true;

	for (int i = 0; i < sk_GENERAL_NAME_num(others); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(others, i);

		if (name->type != GEN_DNS)
			continue;
		has_name = true;
		is_clear = is_clear && !has_zero_byte(name->d.dNSName);
	}
	GENERAL_NAMES_free(others);
	ERR_clear_error();
	return is_clear && (has_name || (!has_odd_common_name(cert) && !has_two_names(cert)));
}

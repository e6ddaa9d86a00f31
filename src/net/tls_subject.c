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

/* In UTF-8, and whole: a name with a zero byte in it is somebody's trick
 * (CVE-2009-4034). */
static bool copy_name(const ASN1_STRING *name, char *to, size_t size)
{
	unsigned char *text;
	int len = ASN1_STRING_to_UTF8(&text, name);
	bool fits = len > 0 && (size_t)len < size && strlen((char *)text) == (size_t)len;

	if (fits)
		memcpy(to, text, (size_t)len + 1);
	if (len >= 0)
		OPENSSL_free(text);
	return fits;
}

bool tls_subject_name(X509 *cert, char *to, size_t size)
{
	X509_NAME *subject = X509_get_subject_name(cert);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	bool fits;

	/* Which of several would count is anybody's guess. */
	if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0)
		return false;
	fits = copy_name(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), to, size);
	ERR_clear_error();
	return fits;
}

bool tls_subject_dn(X509 *cert, char *to, size_t size)
{
	const unsigned long how = XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB;
	BIO *bio = BIO_new(BIO_s_mem());
	bool fits = false;
	char *text;
	long len;

	if (bio != NULL && X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0, how) >= 0) {
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

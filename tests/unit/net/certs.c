/* SPDX-License-Identifier: ISC */
#include "net/certs.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DAY = 86400 };

static char directory[64];
static EVP_PKEY *ca_key;
static X509 *ca;

static const char *const files[] = { "ca.crt", "ca.key", "ca.crl", "server.crt", "server.key",
	"client.crt", "client.key", "expired.crt", "expired.key", "revoked.crt", "revoked.key",
	"slow.crt", "slow.key",
	"stranger.crt", "stranger.key" };

/* Fuzz targets use this, too, which are built without Check. */
static void must(bool is_done)
{
	if (is_done)
		return;
	perror("certificates for tests");
	abort();
}

static const char *path_of(const char *file, char *to, size_t size)
{
	(void)snprintf(to, size, "%s/%s", directory, file);
	return to;
}

static FILE *create(const char *name, const char *suffix)
{
	char file[64], path[200];
	FILE *f;

	(void)snprintf(file, sizeof(file), "%s%s", name, suffix);
	f = fopen(path_of(file, path, sizeof(path)), "w");
	must(f != NULL);
	return f;
}

static void clean_up(void)
{
	char path[200];

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		(void)unlink(path_of(files[i], path, sizeof(path)));
	(void)rmdir(directory);
	X509_free(ca);
	EVP_PKEY_free(ca_key);
}

static void extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *ext;
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	must(ext != NULL);
	must(X509_add_ext(cert, ext, -1) == 1);
	X509_EXTENSION_free(ext);
}

static void write_pair(const char *name, X509 *cert, EVP_PKEY *key)
{
	FILE *f = create(name, ".crt");

	must(PEM_write_X509(f, cert) == 1);
	(void)fclose(f);
	f = create(name, ".key");
	must(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1);
	(void)fclose(f);
}

/* names: subjectAltName, or NULL.  Signed by ca; by itself where is_ca. */
static X509 *make(const char *name, const char *cn, const char *names, long serial, long until,
	bool is_ca, EVP_PKEY **key_out)
{
	EVP_PKEY *key = EVP_EC_gen(strcmp(name, "slow") == 0 ? "P-384" : "P-256");
	X509 *cert = X509_new(), *issuer = is_ca ? cert : ca;
	X509_NAME *subject;

	must(key != NULL && cert != NULL);
	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), serial);
	X509_gmtime_adj(X509_getm_notBefore(cert), -30L * DAY);
	X509_gmtime_adj(X509_getm_notAfter(cert), until);
	X509_set_pubkey(cert, key);
	subject = X509_get_subject_name(cert);
	X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_ASC,
		(const unsigned char *)"Tests, Inc.", -1, -1, 0);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1,
		-1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(issuer));
	extend(cert, issuer, NID_basic_constraints, is_ca ? "critical,CA:TRUE" : "CA:FALSE");
	if (names != NULL)
		extend(cert, issuer, NID_subject_alt_name, names);
	must(X509_sign(cert, is_ca ? key : ca_key, EVP_sha256()) != 0);
	write_pair(name, cert, key);
	if (key_out != NULL)
		*key_out = key;
	else
		EVP_PKEY_free(key);
	return cert;
}

static void write_crl(X509 *cert)
{
	X509_CRL *crl = X509_CRL_new();
	X509_REVOKED *entry = X509_REVOKED_new();
	ASN1_TIME *now = X509_gmtime_adj(NULL, -DAY), *next = X509_gmtime_adj(NULL, 30L * DAY);
	FILE *f = create("ca", ".crl");

	X509_CRL_set_version(crl, 1);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca));
	X509_CRL_set1_lastUpdate(crl, now);
	X509_CRL_set1_nextUpdate(crl, next);
	X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(cert));
	X509_REVOKED_set_revocationDate(entry, now);
	X509_CRL_add0_revoked(crl, entry);
	must(X509_CRL_sign(crl, ca_key, EVP_sha256()) != 0);
	must(PEM_write_X509_CRL(f, crl) == 1);
	(void)fclose(f);
	ASN1_TIME_free(now);
	ASN1_TIME_free(next);
	X509_CRL_free(crl);
}

static void make_all(void)
{
	static const char names[] = "DNS:db.example.com,IP:127.0.0.1";
	EVP_PKEY *stranger_key;
	X509 *cert;

	(void)snprintf(directory, sizeof(directory), "/tmp/pgtandem-certs-XXXXXX");
	must(mkdtemp(directory) != NULL);
	ca = make("ca", "Test CA", NULL, 1, 60L * DAY, true, &ca_key);
	X509_free(make("stranger", "Another CA", NULL, 2, 60L * DAY, true, &stranger_key));
	EVP_PKEY_free(stranger_key);
	X509_free(make("server", "db.example.com", names, 3, 60L * DAY, false, NULL));
	X509_free(make("client", "alice", NULL, 4, 60L * DAY, false, NULL));
	X509_free(make("expired", "db.example.com", names, 5, -1L * DAY, false, NULL));
	X509_free(make("slow", "db.example.com", names, 7, 60L * DAY, false, NULL));
	cert = make("revoked", "db.example.com", names, 6, 60L * DAY, false, NULL);
	write_crl(cert);
	X509_free(cert);
}

const char *certs_path(const char *file)
{
	static char paths[6][200];
	static unsigned next;
	/* Of the process that made them: a test that is run in a child makes its own. */
	static pid_t maker;

	if (maker != getpid()) {
		maker = getpid();
		make_all();
		(void)atexit(clean_up);
	}
	next = (next + 1) % 6;
	return path_of(file, paths[next], sizeof(paths[next]));
}

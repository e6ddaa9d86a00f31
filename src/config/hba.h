/* SPDX-License-Identifier: ISC */
/*
 * Rules in the form of pg_hba.conf: who may log in from where, and what proves it.
 *
 * Differences from PostgreSQL: hostnames, samerole, +role and authentication by GSS,
 * SSPI, RADIUS and BSD are errors; PAM's service is pgtandem where no pamservice is named;
 * an LDAP server must be named; regular expressions are those of PCRE2;
 * samehost and samenet mean the interfaces that there were when the file was
 * read.
 *
 * Owns:   the rules.
 * Thread: any, once read: they do not change.
 * Limits: see config/hba_file.h; a regular expression HBA_REGEX_MAX bytes.
 * Source: PostgreSQL documentation, 21.1; check_hba() and parse_hba_line() in hba.c.
 */
#ifndef CONFIG_HBA_H
#define CONFIG_HBA_H

#include "base/base.h"

enum { HBA_ADDRESS_MAX = 16, HBA_REGEX_MAX = 500 };

struct diag;
struct hba;

enum hba_method {
	HBA_TRUST,
	HBA_REJECT,
	HBA_PASSWORD,
	HBA_MD5,
	HBA_SCRAM,
	HBA_CERT,
	HBA_PEER,
	HBA_PAM,
	HBA_LDAP
};

/* What a client's certificate has to be, beside the method. */
enum hba_cert { HBA_CERT_ANY, HBA_CERT_VALID, HBA_CERT_USER };

/* How a client has come. */
enum hba_link { HBA_LINK_LOCAL, HBA_LINK_PLAIN, HBA_LINK_TLS };

struct hba_client {
	enum hba_link link;
	uint8_t address[HBA_ADDRESS_MAX];       /* in the order of the network */
	size_t address_len;             /* 4 or 16; an IPv4 address within IPv6 counts
					   as what it is; 0: LOCAL */
	bool is_physical;               /* replication that names no database */
	const char *database;
	const char *alias;              /* what else the database is called; NULL: nothing */
	const char *user;
};

/* Options of the method ldap; what is not given is "". */
struct hba_ldap {
	char *server;                   /* one or more, with blanks between them */
	char *scheme;
	char *prefix, *suffix;
	char *basedn, *binddn, *bindpasswd;
	char *attribute, *filter;
	char *uris;                     /* of server, scheme and port */
	uint32_t port;                  /* 0: the scheme's */
	int scope;                      /* of the protocol: 0, 1, 2 */
	bool starttls;
};

/* What a rule says of those that it fits. */
struct hba_verdict {
	enum hba_method method;
	uint32_t line;
	enum hba_cert cert;
	bool cert_dn;                   /* clientname=DN: the whole name of the certificate */
	const char *map;                /* of the ident file; NULL: none; the hba's */
	const char *pam_service;        /* PAM; NULL: the usual one; the hba's */
	const struct hba_ldap *ldap;    /* LDAP; the hba's */
};

/* NULL with diag filled on error. */
struct hba *hba_load(const char *path, struct diag *);

/* may_open: files that the text names are read. */
struct hba *hba_parse(const char *text, size_t len, const char *path, bool may_open,
	struct diag *);

/* The first rule that fits; false: none does, and the client is not let in. */
NODISCARD bool hba_match(const struct hba *, const struct hba_client *, struct hba_verdict *);

/* Where a rule stands; the path is the hba's. */
struct hba_place {
	const char *path;
	uint32_t line;
};

size_t hba_count(const struct hba *);
/* The same for rules that say the same. */
uint64_t hba_hash(const struct hba *);
/* Of a rule, with its place. */
enum hba_method hba_method_at(const struct hba *, size_t index, struct hba_place *);

/* The map that a rule names, and its place; false: it names none. */
bool hba_uses_map(const struct hba *, size_t index, const char **map, struct hba_place *);

/* Whether a rule is for those who come over TLS (hostssl, which those with cert and
 * clientcert are); with the place of the first. */
bool hba_needs_tls(const struct hba *, struct hba_place *);

/* Whether a rule asks for a certificate (cert, clientcert); with the place of the first. */
bool hba_needs_certificate(const struct hba *, struct hba_place *);

/* Whether a rule sends passwords to a directory in clear; with the place of the first. */
bool hba_clear_ldap(const struct hba *, struct hba_place *);

/* The first file that holds a ldapbindpasswd and that everybody may read; NULL: none. */
const char *hba_public_secret(const struct hba *);

const char *hba_method_name(enum hba_method);

void hba_destroy(struct hba **);

#endif

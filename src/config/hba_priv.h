/* SPDX-License-Identifier: ISC */
/*
 * The rules as hba.c reads and hba_match.c compares them.
 */
#ifndef CONFIG_HBA_PRIV_H
#define CONFIG_HBA_PRIV_H

#include "config/hba.h"
#include "config/hba_word.h"

enum hba_type {
	HBA_ON_LOCAL,
	HBA_ON_HOST,
	HBA_ON_TLS,
	HBA_ON_PLAIN,                   /* hostnossl */
	HBA_ON_GSS,                     /* there is none: fits nobody */
	HBA_ON_NO_GSS
};

enum hba_where { HBA_ANYWHERE, HBA_NET, HBA_SAME_HOST, HBA_SAME_NET };

struct hba_net {
	uint8_t address[HBA_ADDRESS_MAX];
	uint8_t mask[HBA_ADDRESS_MAX];
	size_t len;
};

struct hba_words {
	struct hba_word *items;
	size_t count;
};

struct hba_rule {
	enum hba_type type;
	struct hba_words databases;
	struct hba_words users;
	enum hba_where where;
	struct hba_net net;
	enum hba_method method;
	enum hba_cert cert;
	bool cert_dn;
	char *map;
	char *pam_service;
	struct hba_ldap *ldap;          /* with the method ldap */
	const char *path;               /* one of hba.paths */
	uint32_t line;
};

struct hba {
	struct hba_rule *rules;
	size_t count;
	uint64_t hash;                  /* of what they say */
	char **paths;                   /* of the files that have rules */
	size_t path_count;
	struct hba_net *own;            /* of our interfaces */
	size_t own_count;
};

/* hba_option.c: one name=value behind the method, and, when all of the line are taken,
 * whether they make sense together. */
NODISCARD int hba_option_take(const struct hba_line *, const struct hba_token *,
	struct hba_rule *);
NODISCARD int hba_option_check(const struct hba_line *, const struct hba_token *method,
	struct hba_rule *);
void hba_option_finish(struct hba_rule *);

#endif

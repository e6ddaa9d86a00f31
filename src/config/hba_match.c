/* SPDX-License-Identifier: ISC */
/*
 * Which rule a client falls under: the first that fits, as in check_hba().
 */
#include <string.h>

#include "config/doc.h"
#include "config/hba_priv.h"

static bool fits_net(const struct hba_net *net, const uint8_t *address, size_t len)
{
	if (net->len != len)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (((address[i] ^ net->address[i]) & net->mask[i]) != 0)
			return false;
	}
	return true;
}

static bool fits_own(const struct hba *hba, bool is_net, const uint8_t *address, size_t len)
{
	for (size_t i = 0; i < hba->own_count; i++) {
		struct hba_net net = hba->own[i];

		if (!is_net)
			memset(net.mask, 0xff, sizeof(net.mask));
		if (fits_net(&net, address, len))
			return true;
	}
	return false;
}

static bool fits_address(const struct hba *hba, const struct hba_rule *rule,
	const uint8_t *address, size_t len)
{
	switch (rule->where) {
	case HBA_ANYWHERE:
		return true;
	case HBA_NET:
		return fits_net(&rule->net, address, len);
	case HBA_SAME_HOST:
	case HBA_SAME_NET:
		return fits_own(hba, rule->where == HBA_SAME_NET, address, len);
	}
	return false;
}

static bool fits_link(enum hba_type type, enum hba_link link)
{
	switch (type) {
	case HBA_ON_LOCAL:
		return link == HBA_LINK_LOCAL;
	case HBA_ON_HOST:
	case HBA_ON_NO_GSS:
		return link != HBA_LINK_LOCAL;
	case HBA_ON_TLS:
		return link == HBA_LINK_TLS;
	case HBA_ON_PLAIN:
		return link == HBA_LINK_PLAIN;
	case HBA_ON_GSS:
		return false;
	}
	return false;
}

static enum hba_fit fit_name(const struct hba_word *word, const char *database,
	const char *user)
{
	if (hba_word_is(word, "sameuser"))
		return strcmp(database, user) == 0 ? HBA_FITS : HBA_FITS_NOT;
	return hba_word_fit(word, database);
}

/* check_db(): replication is no database, and nothing else fits physical
 * replication. */
static enum hba_fit fit_database(const struct hba_word *word, const struct hba_client *c)
{
	bool is_replication = hba_word_is(word, "replication");
	enum hba_fit fit;

	if (c->is_physical)
		return is_replication ? HBA_FITS : HBA_FITS_NOT;
	if (hba_word_is(word, "all"))
		return HBA_FITS;
	if (is_replication)
		return HBA_FITS_NOT;
	fit = fit_name(word, c->database, c->user);
	return fit == HBA_FITS_NOT && c->alias != NULL ? fit_name(word, c->alias, c->user) : fit;
}

static enum hba_fit fit_user(const struct hba_word *word, const struct hba_client *c)
{
	return hba_word_is(word, "all") ? HBA_FITS : hba_word_fit(word, c->user);
}

static enum hba_fit fit_words(const struct hba_words *words, const struct hba_client *c,
	enum hba_fit (*fit)(const struct hba_word *, const struct hba_client *))
{
	enum hba_fit one = HBA_FITS_NOT;

	for (size_t i = 0; one == HBA_FITS_NOT && i < words->count; i++)
		one = fit(&words->items[i], c);
	return one;
}

static enum hba_fit fit_names(const struct hba_rule *rule, const struct hba_client *c)
{
	enum hba_fit fit = fit_words(&rule->databases, c, fit_database);

	return fit == HBA_FITS ? fit_words(&rule->users, c, fit_user) : fit;
}

bool hba_match(const struct hba *hba, const struct hba_client *c, struct hba_verdict *verdict)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	const uint8_t *address = c->address;
	size_t len = c->address_len;

	if (len == 16 && memcmp(address, mapped, sizeof(mapped)) == 0) {
		address += sizeof(mapped);
		len = 4;
	}
	for (size_t i = 0; i < hba->count; i++) {
		const struct hba_rule *rule = &hba->rules[i];
		enum hba_fit fit;

		if (!fits_link(rule->type, c->link) ||
			(rule->type != HBA_ON_LOCAL && !fits_address(hba, rule, address, len)))
			continue;
		fit = fit_names(rule, c);
		/* It might be one that rejects. */
		if (fit == HBA_FIT_FAILED)
			return false;
		if (fit == HBA_FITS_NOT)
			continue;
		*verdict = (struct hba_verdict){ .method = rule->method, .line = rule->line,
			.cert = rule->cert, .cert_dn = rule->cert_dn, .map = rule->map,
			.pam_service = rule->pam_service, .ldap = rule->ldap };
		return true;
	}
	return false;
}

size_t hba_count(const struct hba *hba)
{
	return hba->count;
}

static void tell_place(const struct hba_rule *rule, struct hba_place *place)
{
	*place = (struct hba_place){ rule->path, rule->line };
}

enum hba_method hba_method_at(const struct hba *hba, size_t index, struct hba_place *place)
{
	tell_place(&hba->rules[index], place);
	return hba->rules[index].method;
}

bool hba_uses_map(const struct hba *hba, size_t index, const char **map,
	struct hba_place *place)
{
	*map = hba->rules[index].map;
	tell_place(&hba->rules[index], place);
	return *map != NULL;
}

bool hba_needs_tls(const struct hba *hba, struct hba_place *place)
{
	for (size_t i = 0; i < hba->count; i++) {
		if (hba->rules[i].type != HBA_ON_TLS)
			continue;
		tell_place(&hba->rules[i], place);
		return true;
	}
	return false;
}

bool hba_needs_certificate(const struct hba *hba, struct hba_place *place)
{
	for (size_t i = 0; i < hba->count; i++) {
		if (hba->rules[i].cert == HBA_CERT_ANY)
			continue;
		tell_place(&hba->rules[i], place);
		return true;
	}
	return false;
}

bool hba_clear_ldap(const struct hba *hba, struct hba_place *place)
{
	for (size_t i = 0; i < hba->count; i++) {
		const struct hba_ldap *ldap = hba->rules[i].ldap;

		if (ldap == NULL || ldap->starttls || strcmp(ldap->scheme, "ldaps") == 0)
			continue;
		tell_place(&hba->rules[i], place);
		return true;
	}
	return false;
}

const char *hba_public_secret(const struct hba *hba)
{
	for (size_t i = 0; i < hba->count; i++) {
		const struct hba_rule *rule = &hba->rules[i];

		if (rule->ldap != NULL && rule->ldap->bindpasswd[0] != '\0' &&
			doc_is_public(rule->path))
			return rule->path;
	}
	return NULL;
}

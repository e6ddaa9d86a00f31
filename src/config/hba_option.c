/* SPDX-License-Identifier: ISC */
/*
 * What stands behind the method of a rule.
 *
 * Source: PostgreSQL documentation, 21.3, 21.10 and 21.13; parse_hba_auth_opt() and the end
 * of parse_hba_line() in hba.c; RFC 4516 (ldapurl).
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "config/hba_priv.h"

static int no_memory(const struct hba_line *line, const struct hba_token *token)
{
	return hba_fail(line, token, "out of memory");
}

/* --- map, clientcert, clientname -------------------------------------------------------- */

static int take_map(const struct hba_line *line, const struct hba_token *token,
	const char *value, struct hba_rule *rule)
{
	if (rule->method != HBA_PEER && rule->method != HBA_CERT)
		return hba_fail(line, token, "map is only for peer and cert");
	free(rule->map);
	rule->map = strdup(value);
	return rule->map == NULL ? no_memory(line, token) : 0;
}

static int take_clientcert(const struct hba_line *line, const struct hba_token *token,
	const char *value, struct hba_rule *rule)
{
	if (rule->type != HBA_ON_TLS)
		return hba_fail(line, token, "clientcert is only for hostssl");
	if (strcmp(value, "verify-full") == 0)
		rule->cert = HBA_CERT_USER;
	else if (strcmp(value, "verify-ca") == 0 && rule->method != HBA_CERT)
		rule->cert = HBA_CERT_VALID;
	else
		return hba_fail(line, token, "clientcert can be verify-ca (not with cert) or "
			"verify-full, not \"%.60s\"", value);
	return 0;
}

static int take_clientname(const struct hba_line *line, const struct hba_token *token,
	const char *value, struct hba_rule *rule)
{
	if (strcmp(value, "CN") != 0 && strcmp(value, "DN") != 0)
		return hba_fail(line, token, "clientname can be CN or DN, not \"%.60s\"", value);
	rule->cert_dn = value[0] == 'D';
	return 0;
}

/* --- pam -------------------------------------------------------------------------------- */

static int take_pamservice(const struct hba_line *line, const struct hba_token *token,
	const char *value, struct hba_rule *rule)
{
	if (rule->method != HBA_PAM)
		return hba_fail(line, token, "pamservice is only for pam");
	if (value[0] == '\0' || strchr(value, '/') != NULL)
		return hba_fail(line, token, "pamservice is the name of a file in /etc/pam.d");
	free(rule->pam_service);
	rule->pam_service = strdup(value);
	return rule->pam_service == NULL ? no_memory(line, token) : 0;
}

/* --- ldap ------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	size_t offset;
} ldap_texts[] = {
	{ "ldapserver", offsetof(struct hba_ldap, server) },
	{ "ldapscheme", offsetof(struct hba_ldap, scheme) },
	{ "ldapprefix", offsetof(struct hba_ldap, prefix) },
	{ "ldapsuffix", offsetof(struct hba_ldap, suffix) },
	{ "ldapbasedn", offsetof(struct hba_ldap, basedn) },
	{ "ldapbinddn", offsetof(struct hba_ldap, binddn) },
	{ "ldapbindpasswd", offsetof(struct hba_ldap, bindpasswd) },
	{ "ldapsearchattribute", offsetof(struct hba_ldap, attribute) },
	{ "ldapsearchfilter", offsetof(struct hba_ldap, filter) },
};

enum { LDAP_SCOPE_WORD_BASE, LDAP_SCOPE_WORD_ONE, LDAP_SCOPE_WORD_SUB, LDAP_PORT_MAX = 65535 };

static const char *const scopes[] = { [LDAP_SCOPE_WORD_BASE] = "base",
	[LDAP_SCOPE_WORD_ONE] = "one", [LDAP_SCOPE_WORD_SUB] = "sub" };

static char **ldap_text(struct hba_ldap *ldap, size_t i)
{
	return (char **)(void *)((char *)ldap + ldap_texts[i].offset);
}

static void wipe(char *text)
{
	if (text != NULL)
		explicit_bzero(text, strlen(text));
	free(text);
}

static int set_text(const struct hba_line *line, const struct hba_token *token, char **slot,
	const char *value)
{
	wipe(*slot);
	*slot = strdup(value);
	return *slot == NULL ? no_memory(line, token) : 0;
}

static bool read_port(const char *text, size_t len, uint32_t *port)
{
	*port = 0;
	if (len == 0 || len > 5 || strspn(text, "0123456789") < len)
		return false;
	for (size_t i = 0; i < len; i++)
		*port = *port * 10 + (uint32_t)(text[i] - '0');
	return *port > 0 && *port <= LDAP_PORT_MAX;
}

static struct hba_ldap *ldap_of(struct hba_rule *rule)
{
	if (rule->ldap == NULL) {
		rule->ldap = calloc(1, sizeof(*rule->ldap));
		if (rule->ldap != NULL)
			rule->ldap->scope = LDAP_SCOPE_WORD_SUB;
	}
	return rule->ldap;
}

/* A part of a URL with its %xx undone; NULL: no memory, or not a part of a URL. */
static char *url_part(const char *from, size_t len)
{
	char *out = calloc(len + 1, 1), *to = out;

	for (size_t i = 0; out != NULL && i < len; i++) {
		uint8_t byte;

		if (from[i] != '%') {
			*to++ = from[i];
			continue;
		}
		if (i + 2 >= len || !hex_read(&byte, from + i + 1, 1) || byte == 0) {
			free(out);
			return NULL;
		}
		*to++ = (char)byte;
		i += 2;
	}
	return out;
}

static int bad_url(const struct hba_line *line, const struct hba_token *token)
{
	return hba_fail(line, token, "ldapurl is ldap://host[:port]/basedn[?attribute[?scope"
		"[?filter]]], or the same with ldaps, and nothing else");
}

/* host, [v6], with :port or without; where there are more, ldapserver names them. */
static int take_url_host(const struct hba_line *line, const struct hba_token *token,
	const char *host, size_t len, struct hba_ldap *ldap)
{
	size_t name_len = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/");

	if (name_len == 0 || name_len > len ||
		(name_len < len && (host[name_len] != ':' ||
					   !read_port(host + name_len + 1, len - name_len - 1,
						   &ldap->port))))
		return bad_url(line, token);
	wipe(ldap->server);
	ldap->server = url_part(host, name_len);
	return ldap->server == NULL ? bad_url(line, token) : 0;
}

static int take_scope(const struct hba_line *line, const struct hba_token *token,
	const char *text, size_t len, struct hba_ldap *ldap)
{
	for (size_t i = 0; i < COUNT_OF(scopes); i++) {
		if (strlen(scopes[i]) == len && memcmp(text, scopes[i], len) == 0) {
			ldap->scope = (int)i;
			return 0;
		}
	}
	return len == 0 ? 0 : bad_url(line, token);
}

static int take_ldapurl(const struct hba_line *line, const struct hba_token *token,
	const char *value, struct hba_ldap *ldap)
{
	enum { URL_DN, URL_ATTRIBUTE, URL_SCOPE, URL_FILTER, URL_PARTS };
	bool is_tls = strncmp(value, "ldaps://", 8) == 0;
	const char *at = value + (is_tls ? 8 : 7);
	size_t len;
	int ret;

	if (!is_tls && strncmp(value, "ldap://", 7) != 0)
		return bad_url(line, token);
	ret = set_text(line, token, &ldap->scheme, is_tls ? "ldaps" : "ldap");
	if (ret == 0)
		ret = take_url_host(line, token, at, strcspn(at, "/"), ldap);
	at += strcspn(at, "/");
	for (int part = URL_DN; ret == 0 && part < URL_PARTS && *at != '\0'; part++) {
		char **to = part == URL_DN ? &ldap->basedn :
			part == URL_ATTRIBUTE ? &ldap->attribute : &ldap->filter;

		at++;
		len = strcspn(at, "?");
		if (part == URL_SCOPE) {
			ret = take_scope(line, token, at, len, ldap);
		} else if (len > 0) {
			wipe(*to);
			*to = url_part(at, len);
			ret = *to == NULL ? bad_url(line, token) : 0;
		}
		at += len;
	}
	return ret == 0 && *at != '\0' ? bad_url(line, token) : ret;
}

static int take_ldap(const struct hba_line *line, const struct hba_token *token, size_t len,
	const char *value, struct hba_rule *rule)
{
	struct hba_ldap *ldap;

	if (rule->method != HBA_LDAP)
		return hba_fail(line, token, "%.*s is only for ldap", (int)size_min(len, 60),
			token->text);
	ldap = ldap_of(rule);
	if (ldap == NULL)
		return no_memory(line, token);
	for (size_t i = 0; i < COUNT_OF(ldap_texts); i++) {
		if (strlen(ldap_texts[i].name) == len &&
			memcmp(token->text, ldap_texts[i].name, len) == 0)
			return set_text(line, token, ldap_text(ldap, i), value);
	}
	if (len == 7 && memcmp(token->text, "ldapurl", len) == 0)
		return take_ldapurl(line, token, value, ldap);
	if (len == 8 && memcmp(token->text, "ldapport", len) == 0)
		return read_port(value, strlen(value), &ldap->port) ? 0 :
			hba_fail(line, token, "invalid ldapport \"%.60s\"", value);
	if (len == 7 && memcmp(token->text, "ldaptls", len) == 0) {
		ldap->starttls = strcmp(value, "1") == 0;
		return ldap->starttls || strcmp(value, "0") == 0 ? 0 :
			hba_fail(line, token, "ldaptls can be 0 or 1, not \"%.60s\"", value);
	}
	return hba_fail(line, token, "unknown option \"%.*s\"; those of ldap are: ldapserver, "
		"ldapport, ldapscheme, ldaptls, ldapprefix, ldapsuffix, ldapbasedn, ldapbinddn, "
		"ldapbindpasswd, ldapsearchattribute, ldapsearchfilter, ldapurl",
		(int)size_min(len, 60), token->text);
}

/* What is not given is "", and servers become URIs. */
static int finish_ldap(const struct hba_line *line, const struct hba_token *token,
	struct hba_ldap *ldap)
{
	struct buf uris;
	const char *at;

	for (size_t i = 0; i < COUNT_OF(ldap_texts); i++) {
		if (*ldap_text(ldap, i) == NULL &&
			set_text(line, token, ldap_text(ldap, i), "") < 0)
			return no_memory(line, token);
	}
	if (ldap->scheme[0] == '\0' && set_text(line, token, &ldap->scheme, "ldap") < 0)
		return no_memory(line, token);
	if (ldap->port == 0)
		ldap->port = strcmp(ldap->scheme, "ldaps") == 0 ? 636 : 389;
	buf_init(&uris, 0);
	for (at = ldap->server; *at != '\0'; at += strcspn(at, " ")) {
		size_t len;
		bool is_v6;

		at += strspn(at, " ");
		len = strcspn(at, " ");
		is_v6 = memchr(at, ':', len) != NULL && at[0] != '[';
		if (len > 0)
			buf_addf(&uris, "%s%s://%s%.*s%s:%u", buf_len(&uris) == 0 ? "" : " ",
				ldap->scheme, is_v6 ? "[" : "", (int)len, at, is_v6 ? "]" : "",
				ldap->port);
	}
	buf_add_u8(&uris, 0);
	if (buf_ok(&uris))
		ldap->uris = strdup((const char *)buf_data(&uris));
	buf_finish(&uris);
	return ldap->uris == NULL ? no_memory(line, token) : 0;
}

static int check_ldap(const struct hba_line *line, const struct hba_token *method,
	struct hba_rule *rule)
{
	struct hba_ldap *ldap = ldap_of(rule);
	bool is_simple, searches;
	int ret;

	if (ldap == NULL)
		return no_memory(line, method);
	ret = finish_ldap(line, method, ldap);
	if (ret < 0)
		return ret;
	is_simple = ldap->prefix[0] != '\0' || ldap->suffix[0] != '\0';
	searches = ldap->basedn[0] != '\0' || ldap->binddn[0] != '\0' ||
		ldap->bindpasswd[0] != '\0' || ldap->attribute[0] != '\0' ||
		ldap->filter[0] != '\0';
	if (ldap->uris[0] == '\0')
		return hba_fail(line, method, "ldap needs ldapserver or ldapurl");
	if (strcmp(ldap->scheme, "ldap") != 0 && strcmp(ldap->scheme, "ldaps") != 0)
		return hba_fail(line, method, "ldapscheme can be ldap or ldaps, not \"%.60s\"",
			ldap->scheme);
	if (ldap->starttls && strcmp(ldap->scheme, "ldaps") == 0)
		return hba_fail(line, method, "ldaptls=1 asks for TLS within a connection that "
			"has it: ldapscheme is ldaps");
	if (is_simple && searches)
		return hba_fail(line, method, "cannot mix options for simple bind (ldapprefix, "
			"ldapsuffix) and for search and bind");
	if (!is_simple && ldap->basedn[0] == '\0')
		return hba_fail(line, method, "ldap needs ldapbasedn, ldapprefix or ldapsuffix");
	if (ldap->attribute[0] != '\0' && ldap->filter[0] != '\0')
		return hba_fail(line, method,
			"ldapsearchattribute and ldapsearchfilter exclude each other");
	return 0;
}

/* --- all of them ------------------------------------------------------------------------ */

int hba_option_take(const struct hba_line *line, const struct hba_token *token,
	struct hba_rule *rule)
{
	static const struct {
		const char *name;
		int (*take)(const struct hba_line *, const struct hba_token *, const char *value,
			struct hba_rule *);
	} options[] = { { "map", take_map }, { "clientcert", take_clientcert },
		{ "clientname", take_clientname }, { "pamservice", take_pamservice } };
	size_t len = strcspn(token->text, "=");
	const char *value = token->text + len + 1;

	if (token->text[len] == '\0')
		return hba_fail(line, token, "needs name=value, not \"%.60s\"", token->text);
	for (size_t i = 0; i < COUNT_OF(options); i++) {
		if (strlen(options[i].name) == len &&
			memcmp(token->text, options[i].name, len) == 0)
			return options[i].take(line, token, value, rule);
	}
	if (len > 4 && memcmp(token->text, "ldap", 4) == 0)
		return take_ldap(line, token, len, value, rule);
	return hba_fail(line, token, "unknown option \"%.*s\"; known are: map, clientcert, "
		"clientname, pamservice and those of ldap", (int)size_min(len, 60), token->text);
}

int hba_option_check(const struct hba_line *line, const struct hba_token *method,
	struct hba_rule *rule)
{
#ifndef HAVE_LIBPAM
	if (rule->method == HBA_PAM)
		return hba_fail(line, method, "this build has no PAM");
#endif
#ifndef HAVE_LIBLDAP
	if (rule->method == HBA_LDAP)
		return hba_fail(line, method, "this build has no LDAP");
#endif
	return rule->method == HBA_LDAP ? check_ldap(line, method, rule) : 0;
}

void hba_option_finish(struct hba_rule *rule)
{
	free(rule->map);
	free(rule->pam_service);
	if (rule->ldap == NULL)
		return;
	for (size_t i = 0; i < COUNT_OF(ldap_texts); i++)
		wipe(*ldap_text(rule->ldap, i));
	free(rule->ldap->uris);
	free(rule->ldap);
}

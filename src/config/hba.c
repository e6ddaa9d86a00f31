/* SPDX-License-Identifier: ISC */
#include "config/hba.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "config/doc.h"
#include "config/hba_priv.h"

static const struct {
	const char *name;
	enum hba_type type;
} types[] = {
	{ "local", HBA_ON_LOCAL },
	{ "host", HBA_ON_HOST },
	{ "hostssl", HBA_ON_TLS },
	{ "hostnossl", HBA_ON_PLAIN },
	{ "hostgssenc", HBA_ON_GSS },
	{ "hostnogssenc", HBA_ON_NO_GSS },
};

static const char *const methods[] = {
	[HBA_TRUST] = "trust",
	[HBA_REJECT] = "reject",
	[HBA_PASSWORD] = "password",
	[HBA_MD5] = "md5",
	[HBA_SCRAM] = "scram-sha-256",
	[HBA_CERT] = "cert",
	[HBA_PEER] = "peer",
	[HBA_PAM] = "pam",
	[HBA_LDAP] = "ldap",
};

const char *hba_method_name(enum hba_method method)
{
	return methods[method];
}

/* --- the words of a line ---------------------------------------------------------------- */

static void words_free(struct hba_words *words)
{
	for (size_t i = 0; i < words->count; i++)
		hba_word_finish(&words->items[i]);
	free(words->items);
}

static void rule_free(struct hba_rule *rule)
{
	words_free(&rule->databases);
	words_free(&rule->users);
	hba_option_finish(rule);
}

static int take_words(const struct hba_line *line, struct hba_field *field,
	struct hba_words *words)
{
	words->items = calloc(field->count, sizeof(*words->items));
	if (words->items == NULL)
		return hba_fail(line, &field->tokens[0], "out of memory");
	for (size_t i = 0; i < field->count; i++) {
		int ret = hba_word_take(&words->items[i], line, &field->tokens[i]);

		if (ret < 0)
			return ret;
		words->count++;
	}
	return 0;
}

/* Of which roles somebody is a member only PostgreSQL knows. */
static int check_roles(const struct hba_line *line, const struct hba_field *field,
	bool is_database)
{
	for (size_t i = 0; i < field->count; i++) {
		const struct hba_token *token = &field->tokens[i];

		if (is_database && (hba_token_is(token, "samerole") ||
				hba_token_is(token, "samegroup")))
			return hba_fail(line, token, "%s is not known here: who is a member of a "
				"role only PostgreSQL knows", token->text);
		if (!is_database && !token->is_quoted && token->text[0] == '+')
			return hba_fail(line, token, "%.60s: who is a member of a role only "
				"PostgreSQL knows; name the users", token->text);
	}
	return 0;
}

/* A field that is to be one word. */
static int single(const struct hba_line *line, const struct hba_field *field, const char *what)
{
	if (field->count == 1)
		return 0;
	return hba_fail(line, &field->tokens[1], "only one %s can stand here", what);
}

static int take_type(const struct hba_line *line, struct hba_rule *rule)
{
	const struct hba_token *token = &line->fields[0].tokens[0];

	for (size_t i = 0; i < COUNT_OF(types); i++) {
		if (!hba_token_is(token, types[i].name))
			continue;
		rule->type = types[i].type;
		return single(line, &line->fields[0], "type");
	}
	return hba_fail(line, token, "unknown type \"%.60s\"; known are: local, host, hostssl, "
		"hostnossl, hostgssenc, hostnogssenc", token->text);
}

/* --- addresses -------------------------------------------------------------------------- */

static bool read_address(const char *text, uint8_t to[HBA_ADDRESS_MAX], size_t *len)
{
	*len = 4;
	if (inet_pton(AF_INET, text, to) == 1)
		return true;
	*len = 16;
	return inet_pton(AF_INET6, text, to) == 1;
}

static void make_mask(uint8_t *mask, unsigned bits)
{
	memset(mask, 0, HBA_ADDRESS_MAX);
	for (unsigned i = 0; i < bits; i++)
		mask[i / 8] |= (uint8_t)(0x80u >> (i % 8));
}

static bool read_bits(const char *text, unsigned max, unsigned *bits)
{
	size_t len = strspn(text, "0123456789");

	*bits = 0;
	if (len == 0 || len > 3 || text[len] != '\0')
		return false;
	*bits = (unsigned)strtoul(text, NULL, 10);
	return *bits <= max;
}

/* "10.0.0.0/8"; without a slash the mask is the next field. */
static int take_net(const struct hba_line *line, size_t *next, struct hba_net *net)
{
	const struct hba_token *token = &line->fields[*next].tokens[0], *mask;
	char *slash = strchr(token->text, '/');
	size_t mask_len;
	unsigned bits;

	if (slash != NULL)
		*slash = '\0';
	if (!read_address(token->text, net->address, &net->len))
		return hba_fail(line, token, "\"%.100s\" is no address; forms are 10.0.0.0/8, "
			"10.0.0.0 255.0.0.0, fd00::/8, all, samehost and samenet (names of "
			"hosts are not looked up)", token->text);
	(*next)++;
	if (slash != NULL) {
		if (!read_bits(slash + 1, (unsigned)net->len * 8, &bits))
			return hba_fail(line, token, "invalid length of the mask \"/%.60s\"; 0 to "
				"%zu are allowed", slash + 1, net->len * 8);
		make_mask(net->mask, bits);
		return 0;
	}
	if (*next == line->count)
		return hba_fail(line, token, "needs a mask, as in %.60s/%zu", token->text,
			net->len * 8);
	mask = &line->fields[*next].tokens[0];
	if (!read_address(mask->text, net->mask, &mask_len))
		return hba_fail(line, mask, "\"%.100s\" is no mask", mask->text);
	if (mask_len != net->len)
		return hba_fail(line, mask, "address and mask are not of one kind");
	return single(line, &line->fields[(*next)++], "mask");
}

static int take_address(const struct hba_line *line, size_t *next, struct hba_rule *rule)
{
	static const struct {
		const char *word;
		enum hba_where where;
	} keywords[] = { { "all", HBA_ANYWHERE }, { "samehost", HBA_SAME_HOST },
		{ "samenet", HBA_SAME_NET } };
	const struct hba_field *field = &line->fields[*next];
	int ret = single(line, field, "address");

	if (ret < 0)
		return ret;
	for (size_t i = 0; i < COUNT_OF(keywords); i++) {
		if (hba_token_is(&field->tokens[0], keywords[i].word)) {
			rule->where = keywords[i].where;
			(*next)++;
			return 0;
		}
	}
	rule->where = HBA_NET;
	return take_net(line, next, &rule->net);
}

/* --- methods and what they can be told -------------------------------------------------- */

static int take_method(const struct hba_line *line, struct hba_field *field,
	struct hba_rule *rule)
{
	static const char *const unknown[] = { "gss", "sspi", "ident", "radius", "bsd",
		"oauth" };
	const struct hba_token *token = &field->tokens[0];
	size_t i;

	for (i = 0; i < COUNT_OF(methods); i++) {
		if (strcmp(token->text, methods[i]) == 0)
			break;
	}
	rule->method = (enum hba_method)i;
	/* As in PostgreSQL: there ident means peer. */
	if (i == COUNT_OF(methods) && rule->type == HBA_ON_LOCAL &&
		strcmp(token->text, "ident") == 0)
		rule->method = HBA_PEER;
	else if (i == COUNT_OF(methods)) {
		for (size_t k = 0; k < COUNT_OF(unknown); k++) {
			if (strcmp(token->text, unknown[k]) == 0)
				return hba_fail(line, token, "the method %s is not known here",
					unknown[k]);
		}
		return hba_fail(line, token, "unknown method \"%.60s\"; known are: trust, reject, "
			"password, md5, scram-sha-256, cert, peer, pam, ldap", token->text);
	}
	if (rule->method == HBA_PEER && rule->type != HBA_ON_LOCAL)
		return hba_fail(line, token, "peer is only for local (unix sockets)");
	if (rule->method == HBA_CERT && rule->type != HBA_ON_TLS)
		return hba_fail(line, token, "cert is only for hostssl");
	if (rule->method == HBA_CERT)
		rule->cert = HBA_CERT_USER;
	return single(line, field, "method");
}

/* --- lines ------------------------------------------------------------------------------ */

static int missing(const struct hba_line *line, const char *what)
{
	const struct hba_field *last = &line->fields[line->count - 1];

	return hba_fail(line, &last->tokens[last->count - 1], "the line ends here before its %s",
		what);
}

static int fill_rule(struct hba_line *line, struct hba_rule *rule)
{
	const struct hba_token *method = NULL;
	size_t next = 3;
	int ret = take_type(line, rule);

	if (ret < 0)
		return ret;
	if (line->count < 3)
		return missing(line, line->count < 2 ? "database" : "user");
	ret = check_roles(line, &line->fields[1], true);
	if (ret == 0)
		ret = check_roles(line, &line->fields[2], false);
	if (ret == 0)
		ret = take_words(line, &line->fields[1], &rule->databases);
	if (ret == 0)
		ret = take_words(line, &line->fields[2], &rule->users);
	if (ret == 0 && rule->type != HBA_ON_LOCAL) {
		if (next == line->count)
			return hba_fail(line, &line->fields[2].tokens[0],
				"the line ends here before its address");
		ret = take_address(line, &next, rule);
	}
	if (ret == 0 && next == line->count)
		return missing(line, "method");
	if (ret == 0) {
		method = &line->fields[next].tokens[0];
		ret = take_method(line, &line->fields[next++], rule);
	}
	for (; ret == 0 && next < line->count; next++) {
		for (size_t i = 0; ret == 0 && i < line->fields[next].count; i++)
			ret = hba_option_take(line, &line->fields[next].tokens[i], rule);
	}
	return ret == 0 ? hba_option_check(line, method, rule) : ret;
}

/* Lines of one file follow each other but for what is included between them. */
static const char *keep_path(struct hba *hba, const char *path)
{
	char **paths;

	for (size_t i = hba->path_count; i-- > 0;) {
		if (strcmp(hba->paths[i], path) == 0)
			return hba->paths[i];
	}
	paths = realloc(hba->paths, (hba->path_count + 1) * sizeof(*paths));
	if (paths == NULL)
		return NULL;
	hba->paths = paths;
	paths[hba->path_count] = strdup(path);
	return paths[hba->path_count] == NULL ? NULL : paths[hba->path_count++];
}

static int on_line(void *arg, struct hba_line *line)
{
	struct hba *hba = arg;
	struct hba_rule *rules, *rule;

	hba->hash = hba_line_hash(line, hba->hash);
	rules = realloc(hba->rules, (hba->count + 1) * sizeof(*rules));
	if (rules == NULL)
		return hba_fail(line, &line->fields[0].tokens[0], "out of memory");
	hba->rules = rules;
	rule = &rules[hba->count++];
	*rule = (struct hba_rule){ .line = line->line, .path = keep_path(hba, line->path) };
	if (rule->path == NULL)
		return hba_fail(line, &line->fields[0].tokens[0], "out of memory");
	return fill_rule(line, rule);
}

/* --- our own addresses ------------------------------------------------------------------- */

static bool take_own(struct hba_net *net, const struct ifaddrs *i)
{
	const struct sockaddr *sa = i->ifa_addr, *mask = i->ifa_netmask;

	if (sa == NULL || mask == NULL)
		return false;
	if (sa->sa_family == AF_INET) {
		net->len = 4;
		memcpy(net->address, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
		memcpy(net->mask, &((const struct sockaddr_in *)(const void *)mask)->sin_addr, 4);
		return true;
	}
	if (sa->sa_family != AF_INET6)
		return false;
	net->len = 16;
	memcpy(net->address, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
	memcpy(net->mask, &((const struct sockaddr_in6 *)(const void *)mask)->sin6_addr, 16);
	return true;
}

static int find_own(struct hba *hba, const char *path, struct diag *diag)
{
	struct ifaddrs *all;
	size_t count = 0;

	if (getifaddrs(&all) < 0) {
		int error = errno;

		diag_set(diag, path, 0, 0, "cannot list the network interfaces: %s",
			strerror(error));
		return -error;
	}
	for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next)
		count++;
	hba->own = calloc(count + 1, sizeof(*hba->own));
	for (const struct ifaddrs *i = all; hba->own != NULL && i != NULL; i = i->ifa_next)
		hba->own_count += take_own(&hba->own[hba->own_count], i);
	freeifaddrs(all);
	if (hba->own != NULL)
		return 0;
	diag_set(diag, path, 0, 0, "out of memory");
	return -ENOMEM;
}

static bool needs_own(const struct hba *hba)
{
	for (size_t i = 0; i < hba->count; i++) {
		if (hba->rules[i].where == HBA_SAME_HOST || hba->rules[i].where == HBA_SAME_NET)
			return true;
	}
	return false;
}

struct hba *hba_parse(const char *text, size_t len, const char *path, bool may_open,
	struct diag *diag)
{
	struct hba *hba = calloc(1, sizeof(*hba));

	if (hba == NULL) {
		diag_set(diag, path, 0, 0, "out of memory");
		return NULL;
	}
	if (hba_file_read(text, len, path, may_open, on_line, hba, diag) < 0 ||
		(needs_own(hba) && find_own(hba, path, diag) < 0)) {
		diag_set(diag, path, 0, 0, "out of memory");
		hba_destroy(&hba);
	}
	return hba;
}

struct hba *hba_load(const char *path, struct diag *diag)
{
	struct hba *hba;
	char *text;
	size_t len;

	if (doc_read_file(path, HBA_FILE_MAX, &text, &len, diag) < 0)
		return NULL;
	hba = hba_parse(text, len, path, true, diag);
	doc_free_text(text, len);
	return hba;
}

uint64_t hba_hash(const struct hba *hba)
{
	return hba->hash;
}

void hba_destroy(struct hba **slot)
{
	struct hba *hba = *slot;

	*slot = NULL;
	if (hba == NULL)
		return;
	for (size_t i = 0; i < hba->count; i++)
		rule_free(&hba->rules[i]);
	for (size_t i = 0; i < hba->path_count; i++)
		free(hba->paths[i]);
	free(hba->paths);
	free(hba->rules);
	free(hba->own);
	free(hba);
}

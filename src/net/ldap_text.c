/* SPDX-License-Identifier: ISC */
/*
 * The texts that a directory is sent, with a name in them that is anybody's.
 */
#include <string.h>

#include "net/ldap.h"

static void add_hex(struct buf *out, char c)
{
	buf_addf(out, "\\%02x", (unsigned char)c);
}

void ldap_escape_dn(struct buf *out, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < len; i++) {
		bool is_edge = i == 0 || i + 1 == len;
		unsigned char c = (unsigned char)name[i];

		if (strchr("\"+,;<=>\\#/", name[i]) != NULL || c < 0x20 || c == 0x7f ||
			(c == ' ' && is_edge))
			add_hex(out, name[i]);
		else
			buf_add_u8(out, c);
	}
}

void ldap_escape_filter(struct buf *out, const char *name)
{
	for (; *name != '\0'; name++) {
		unsigned char c = (unsigned char)*name;

		if (strchr("*()\\/", *name) != NULL || c < 0x20 || c >= 0x7f)
			add_hex(out, *name);
		else
			buf_add_u8(out, c);
	}
}

bool ldap_bind_name(const struct ldap_target *target, const char *user, struct buf *out)
{
	bool is_dn = target->prefix[0] != '\0' &&
		target->prefix[strlen(target->prefix) - 1] == '=';

	/* user@example.net or EXAMPLE\user: nothing is to be escaped, and nothing in the
	 * name may make a distinguished name of it. */
	if (!is_dn && strpbrk(user, "\"+,;<=>\\#/@") != NULL)
		return false;
	buf_add_str(out, target->prefix);
	if (is_dn)
		ldap_escape_dn(out, user);
	else
		buf_add_str(out, user);
	buf_add_cstr(out, target->suffix);
	return true;
}

void ldap_search_filter(const struct ldap_target *target, const char *user, struct buf *out)
{
	static const char variable[] = "$username";
	const char *from = target->filter, *at;

	if (target->filter[0] == '\0') {
		buf_addf(out, "(%s=", target->attribute[0] == '\0' ? "uid" :
								      target->attribute);
		ldap_escape_filter(out, user);
		buf_add_cstr(out, ")");
		return;
	}
	while ((at = strstr(from, variable)) != NULL) {
		buf_add(out, from, (size_t)(at - from));
		ldap_escape_filter(out, user);
		from = at + sizeof(variable) - 1;
	}
	buf_add_cstr(out, from);
}

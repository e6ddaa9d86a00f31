/* SPDX-License-Identifier: ISC */
#include "net/ldap.h"

#include <stdio.h>
#include <string.h>

#ifdef HAVE_LIBLDAP
#include <errno.h>
#include <ldap.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/clock.h"

/* An entry's name, and what a server says why. */
enum { ANSWER_MAX = 256 * 1024 };

/* One question, which may take several conversations. */
struct asking {
	const struct ldap_target *target;
	uint64_t until_us;
	uint64_t server_until_us;       /* for the server that is asked now */
	LDAP *ld;
	char *why;
	struct ldap_conncb callbacks;   /* of the library, for as long as ld is there */
};

static enum ldap_verdict cannot(const struct asking *a, const char *what, int error)
{
	(void)snprintf(a->why, LDAP_WHY_MAX, "%s: %s", what, ldap_err2string(error));
	return LDAP_CANNOT_TELL;
}

static struct timeval time_left(const struct asking *a)
{
	uint64_t now = clock_now_us(), left = 1;

	if (a->server_until_us > now)
		left = a->server_until_us - now;
	return (struct timeval){ .tv_sec = (time_t)(left / USEC_PER_SEC),
		.tv_usec = (suseconds_t)(left % USEC_PER_SEC) };
}

static bool is_late(const struct asking *a)
{
	return clock_now_us() >= a->until_us;
}

static void hang_up(struct asking *a)
{
	if (a->ld != NULL)
		(void)ldap_unbind_ext(a->ld, NULL, NULL);
	a->ld = NULL;
}

/* --- below the library: what it reads from the socket ------------------------------------ */

static int timed_setup(Sockbuf_IO_Desc *io, void *arg)
{
	io->sbiod_pvt = arg;
	return 0;
}

static int timed_ctrl(Sockbuf_IO_Desc *io, int option, void *arg)
{
	return LBER_SBIOD_CTRL_NEXT(io, option, arg);
}

/* A handshake that gets no further asks again and again, whatever the time is. */
static ber_slen_t timed_read(Sockbuf_IO_Desc *io, void *to, ber_len_t len)
{
	const struct asking *a = io->sbiod_pvt;

	if (clock_now_us() >= a->server_until_us) {
		errno = ETIMEDOUT;
		return -1;
	}
	return LBER_SBIOD_READ_NEXT(io, to, len);
}

static ber_slen_t timed_write(Sockbuf_IO_Desc *io, void *from, ber_len_t len)
{
	return LBER_SBIOD_WRITE_NEXT(io, from, len);
}

static Sockbuf_IO timed_io = { .sbi_setup = timed_setup, .sbi_ctrl = timed_ctrl,
	.sbi_read = timed_read, .sbi_write = timed_write };

/* The library waits for the first byte of an answer, and reads on without asking whether
 * there is more. */
static int on_connected(LDAP *ld, Sockbuf *sb, LDAPURLDesc *server, struct sockaddr *addr,
	struct ldap_conncb *ctx)
{
	const struct asking *a = ctx->lc_arg;
	struct timeval left = time_left(a);
	ber_len_t max = ANSWER_MAX;
	ber_socket_t fd = -1;

	(void)ld;
	(void)server;
	(void)addr;
	/* Between the socket and TLS. */
	if (ber_sockbuf_add_io(sb, &timed_io, (LBER_SBIOD_LEVEL_PROVIDER +
			LBER_SBIOD_LEVEL_TRANSPORT) / 2, ctx->lc_arg) != 0)
		return -1;
	if (ber_sockbuf_ctrl(sb, LBER_SB_OPT_GET_FD, &fd) != 1 ||
		ber_sockbuf_ctrl(sb, LBER_SB_OPT_SET_MAX_INCOMING, &max) != 1 ||
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &left, sizeof(left)) < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &left, sizeof(left)) < 0)
		return -1;
	return 0;
}

static void on_closed(LDAP *ld, Sockbuf *sb, struct ldap_conncb *ctx)
{
	(void)ld;
	(void)sb;
	(void)ctx;
}

/* What is left of the time holds for connecting, TLS included, and for each answer. */
static int connect_to(struct asking *a, const char *uri)
{
	int version = LDAP_VERSION3, ret = ldap_initialize(&a->ld, uri);
	struct timeval left = time_left(a);

	if (ret != LDAP_SUCCESS)
		return ret;
	(void)ldap_set_option(a->ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF);
	(void)ldap_set_option(a->ld, LDAP_OPT_RESTART, LDAP_OPT_ON);
	if (ldap_set_option(a->ld, LDAP_OPT_PROTOCOL_VERSION, &version) != LDAP_SUCCESS ||
		ldap_set_option(a->ld, LDAP_OPT_NETWORK_TIMEOUT, &left) != LDAP_SUCCESS ||
		ldap_set_option(a->ld, LDAP_OPT_TIMEOUT, &left) != LDAP_SUCCESS ||
		ldap_set_option(a->ld, LDAP_OPT_CONNECT_CB, &a->callbacks) != LDAP_SUCCESS)
		return LDAP_OTHER;
	return a->target->starttls ? ldap_start_tls_s(a->ld, NULL, NULL) : LDAP_SUCCESS;
}

static int bind_at(struct asking *a, const char *uri, const char *name, const char *password)
{
	struct berval secret = { .bv_len = strlen(password) };
	int ret = connect_to(a, uri);

	/* The library does not write to it. */
	memcpy(&secret.bv_val, &password, sizeof(password));
	if (ret != LDAP_SUCCESS)
		return ret;
	return ldap_sasl_bind_s(a->ld, name, LDAP_SASL_SIMPLE, &secret, NULL, NULL, NULL);
}

/* It could not be asked; another server may. */
static bool is_unreached(int ret)
{
	return ret == LDAP_SERVER_DOWN || ret == LDAP_CONNECT_ERROR || ret == LDAP_TIMEOUT ||
		ret == LDAP_UNAVAILABLE;
}

/* Of the time each server that is left gets its part: one that is silent leaves some for
 * the next.  The library would give each the whole. */
static uint64_t part_of(const struct asking *a, size_t servers)
{
	uint64_t now = clock_now_us();

	return now >= a->until_us ? now : now + (a->until_us - now) / servers;
}

static size_t count_uris(const char *uris)
{
	size_t count = 0;

	while (*(uris += strspn(uris, " ")) != '\0') {
		uris += strcspn(uris, " ");
		count++;
	}
	return count;
}

static int bind_as(struct asking *a, const char *name, const char *password)
{
	const char *at = a->target->uris;
	int ret = LDAP_PARAM_ERROR;

	for (size_t left = count_uris(at); left > 0; left--) {
		size_t len = strcspn(at += strspn(at, " "), " ");
		char *uri = strndup(at, len);

		if (uri == NULL)
			return LDAP_NO_MEMORY;
		a->server_until_us = part_of(a, left);
		ret = bind_at(a, uri, name, password);
		free(uri);
		if (!is_unreached(ret))
			break;
		at += len;
		if (left > 1)
			hang_up(a);
	}
	/* What follows has all that is left. */
	a->server_until_us = a->until_us;
	return ret;
}

/* The name of the only entry that fits. */
static enum ldap_verdict find_entry(struct asking *a, const char *filter, struct buf *name)
{
	char no_attributes[] = LDAP_NO_ATTRS, *attributes[] = { no_attributes, NULL };
	struct timeval left = time_left(a);
	LDAPMessage *found = NULL, *entry;
	char *dn;
	int ret, count;
	bool is_one;

	/* Two would be one too many. */
	ret = ldap_search_ext_s(a->ld, a->target->basedn, a->target->scope, filter, attributes,
		0, NULL, NULL, &left, 2, &found);
	if (ret != LDAP_SUCCESS && ret != LDAP_SIZELIMIT_EXCEEDED) {
		(void)ldap_msgfree(found);
		return cannot(a, "the search failed", ret);
	}
	count = ldap_count_entries(a->ld, found);
	/* What the directory was told not to send may be another one. */
	is_one = ret == LDAP_SUCCESS && count == 1;
	entry = is_one ? ldap_first_entry(a->ld, found) : NULL;
	dn = entry == NULL ? NULL : ldap_get_dn(a->ld, entry);
	if (dn != NULL)
		buf_add_cstr(name, dn);
	else
		(void)snprintf(a->why, LDAP_WHY_MAX, "%s", ret == LDAP_SUCCESS && count == 0 ?
			"the directory has no such entry" :
			"the directory has more than one such entry");
	ldap_memfree(dn);
	(void)ldap_msgfree(found);
	return dn == NULL ? LDAP_IS_WRONG : LDAP_IS_RIGHT;
}

static enum ldap_verdict search(struct asking *a, const char *user, struct buf *name)
{
	enum ldap_verdict verdict;
	struct buf filter;
	int ret = bind_as(a, a->target->binddn, a->target->bindpasswd);

	if (ret != LDAP_SUCCESS)
		return cannot(a, "binding for the search failed", ret);
	buf_init(&filter, 0);
	ldap_search_filter(a->target, user, &filter);
	verdict = buf_ok(&filter) ? find_entry(a, (const char *)buf_data(&filter), name) :
				    cannot(a, "filter", LDAP_NO_MEMORY);
	buf_finish(&filter);
	hang_up(a);
	return verdict;
}

static enum ldap_verdict find_name(struct asking *a, const char *user, struct buf *name)
{
	if (a->target->basedn[0] != '\0')
		return search(a, user, name);
	if (ldap_bind_name(a->target, user, name))
		return LDAP_IS_RIGHT;
	(void)snprintf(a->why, LDAP_WHY_MAX, "%s",
		"the name has characters that cannot stand between prefix and suffix");
	return LDAP_IS_WRONG;
}

static enum ldap_verdict try_password(struct asking *a, const char *name, const char *password)
{
	int ret;

	if (is_late(a))
		return cannot(a, "asking", LDAP_TIMEOUT);
	ret = bind_as(a, name, password);
	hang_up(a);
	if (ret == LDAP_SUCCESS)
		return LDAP_IS_RIGHT;
	if (LDAP_API_ERROR(ret) || ret == LDAP_BUSY || ret == LDAP_UNAVAILABLE ||
		ret == LDAP_CONFIDENTIALITY_REQUIRED || ret == LDAP_PROTOCOL_ERROR)
		return cannot(a, "binding failed", ret);
	(void)snprintf(a->why, LDAP_WHY_MAX, "the directory refuses it: %s",
		ldap_err2string(ret));
	return LDAP_IS_WRONG;
}

enum ldap_verdict ldap_verify(const struct ldap_target *target, const char *user,
	const char *password, uint64_t timeout_us, char why[LDAP_WHY_MAX])
{
	struct asking a = { .target = target, .until_us = clock_now_us() + timeout_us,
		.why = why };
	enum ldap_verdict verdict;
	struct buf name;

	a.callbacks = (struct ldap_conncb){ on_connected, on_closed, &a };
	why[0] = '\0';
	/* To a directory that is a bind as nobody, which succeeds. */
	if (password[0] == '\0')
		return LDAP_IS_WRONG;
	buf_init(&name, 0);
	verdict = find_name(&a, user, &name);
	if (verdict == LDAP_IS_RIGHT && !buf_ok(&name))
		verdict = cannot(&a, "name", LDAP_NO_MEMORY);
	/* Neither does a bind without a name ask for the password. */
	else if (verdict == LDAP_IS_RIGHT && buf_data(&name)[0] == '\0')
		verdict = LDAP_IS_WRONG;
	if (verdict == LDAP_IS_RIGHT)
		verdict = try_password(&a, (const char *)buf_data(&name), password);
	hang_up(&a);
	buf_finish(&name);
	return verdict;
}

bool ldap_is_there(void)
{
	return true;
}

#else

enum ldap_verdict ldap_verify(const struct ldap_target *target, const char *user,
	const char *password, uint64_t timeout_us, char why[LDAP_WHY_MAX])
{
	(void)target;
	(void)user;
	(void)password;
	(void)timeout_us;
	(void)snprintf(why, LDAP_WHY_MAX, "%s", "this build has no LDAP");
	return LDAP_CANNOT_TELL;
}

bool ldap_is_there(void)
{
	return false;
}

#endif

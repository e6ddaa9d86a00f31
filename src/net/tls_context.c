/* SPDX-License-Identifier: ISC */
/*
 * What many connections share: made of settings and files, and then constant.
 */
#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "net/tls_priv.h"

enum { REASON_MAX = 200 };

/* As the wire has it: a length and the name. */
static const unsigned char alpn[] = "\012postgresql";

const char *tls_library_error(char *to, size_t size)
{
	unsigned long code = ERR_peek_error();

	to[0] = '\0';
	/* Those of files are numbers of the system's (ERR_reason_error_string() has none). */
	if (code != 0 && ERR_SYSTEM_ERROR(code))
		(void)snprintf(to, size, "%s", strerror(ERR_GET_REASON(code)));
	else if (code != 0 && ERR_reason_error_string(code) != NULL)
		(void)snprintf(to, size, "%s", ERR_reason_error_string(code));
	ERR_clear_error();
	return to;
}

static int fail(struct diag *diag, const char *file, const char *what)
{
	char reason[REASON_MAX];

	tls_library_error(reason, sizeof(reason));
	diag_set(diag, file, 0, 0, "%s%s%s", what, reason[0] == '\0' ? "" : ": ", reason);
	return -EINVAL;
}

/* Of a setting: its name in the file, and its value. */
static int refuse(struct diag *diag, const struct tls_settings *s, const char *name,
	const char *value, const char *what)
{
	char reason[REASON_MAX];

	tls_library_error(reason, sizeof(reason));
	diag_set(diag, NULL, 0, 0, "%s_%s: \"%.100s\" %s%s%s",
		s->is_server ? "client" : "server", name, value, what,
		reason[0] == '\0' ? "" : ": ", reason);
	return -EINVAL;
}

static bool is_set(const char *text)
{
	return text != NULL && text[0] != '\0';
}

/* --- what is allowed --------------------------------------------------------------- */

/* To clients: those with forward secrecy that seal and encrypt in one, which all have that
 * have TLS 1.2.  To PostgreSQL, which others set up, what the library has. */
static const char *cipher_list(const struct tls_settings *s)
{
	if (is_set(s->ciphers) && strcmp(s->ciphers, "default") != 0)
		return s->ciphers;
	return s->is_server ? "ECDHE+AESGCM:ECDHE+CHACHA20" : OSSL_default_cipher_list();
}

/* A server's choice counts: of those that are safe the one that costs least, in the
 * handshake (SHA-256 where the processor has it) as with each record. */
static const char *suite_list(const struct tls_settings *s)
{
	if (is_set(s->ciphersuites))
		return s->ciphersuites;
	return s->is_server ? "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
			      "TLS_CHACHA20_POLY1305_SHA256" :
			      OSSL_default_ciphersuites();
}

static int set_protocols(SSL_CTX *ssl, const struct tls_settings *s, struct diag *diag)
{
	int least = s->protocols == TLS_PROTOCOLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
	int most = s->protocols == TLS_PROTOCOLS_1_2 ? TLS1_2_VERSION : TLS1_3_VERSION;

	SSL_CTX_set_options(ssl, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
			SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
			SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if (SSL_CTX_set_min_proto_version(ssl, least) != 1 ||
		SSL_CTX_set_max_proto_version(ssl, most) != 1)
		return fail(diag, NULL, "the TLS protocols cannot be set");
	if (SSL_CTX_set_cipher_list(ssl, cipher_list(s)) != 1)
		return refuse(diag, s, "tls_ciphers", cipher_list(s), "names no cipher of TLS 1.2");
	if (SSL_CTX_set_ciphersuites(ssl, suite_list(s)) != 1)
		return refuse(diag, s, "tls13_ciphers", suite_list(s),
			"is no list of cipher suites of TLS 1.3");
	if (is_set(s->groups) && strcmp(s->groups, "auto") != 0 &&
		SSL_CTX_set1_groups_list(ssl, s->groups) != 1)
		return refuse(diag, s, "tls_groups", s->groups,
			"is no list of groups of the key exchange");
	return 0;
}

/* A client that names protocols must name ours, as with PostgreSQL 17. */
static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
	const unsigned char *in, unsigned in_len, void *arg)
{
	unsigned char *chosen;
	int found = SSL_select_next_proto(&chosen, out_len, alpn, sizeof(alpn) - 1, in, in_len);

	(void)ssl;
	(void)arg;
	*out = chosen;
	return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK :
						 SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int set_role(SSL_CTX *ssl, const struct tls_settings *s, struct diag *diag)
{
	static const unsigned char id[] = "pgtandem";

	if (!s->is_server)
		return SSL_CTX_set_alpn_protos(ssl, alpn, sizeof(alpn) - 1) == 0 ?
			0 : fail(diag, NULL, "out of memory");
	SSL_CTX_set_alpn_select_cb(ssl, choose_alpn, NULL);
	/* Sessions are resumed by tickets, whose key is this context's; one is enough
	 * for who connects again.  Without an id those with certificates would fail. */
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	if (SSL_CTX_set_num_tickets(ssl, 1) != 1 ||
		SSL_CTX_set_session_id_context(ssl, id, sizeof(id) - 1) != 1)
		return fail(diag, NULL, "out of memory");
	return 0;
}

/* --- files ------------------------------------------------------------------------- */

/* A key with a passphrase is refused: nobody is there to be asked. */
static int no_passphrase(char *to, int size, int rwflag, void *arg)
{
	(void)to;
	(void)size;
	(void)rwflag;
	(void)arg;
	return -1;
}

static bool is_slow(const EVP_PKEY *key)
{
	char group[32];

	if (EVP_PKEY_is_a(key, "ED25519"))
		return false;
	return !EVP_PKEY_is_a(key, "EC") ||
		EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) != 1 ||
		strcmp(group, SN_X9_62_prime256v1) != 0;
}

static int load_key(SSL_CTX *ssl, const char *cert_file, const char *key_file,
	struct diag *diag)
{
	SSL_CTX_set_default_passwd_cb(ssl, no_passphrase);
	if (SSL_CTX_use_certificate_chain_file(ssl, cert_file) != 1)
		return fail(diag, cert_file, "is no certificate that can be used");
	if (SSL_CTX_use_PrivateKey_file(ssl, key_file, SSL_FILETYPE_PEM) != 1)
		return fail(diag, key_file,
			"is no private key of that certificate that can be used");
	if (SSL_CTX_check_private_key(ssl) != 1)
		return fail(diag, key_file, "is not the key of the certificate");
	return 0;
}

static int load_cas(SSL_CTX *ssl, const struct tls_settings *s, struct diag *diag)
{
	STACK_OF(X509_NAME) *names;

	if (strcmp(s->ca_file, "system") == 0)
		return SSL_CTX_set_default_verify_paths(ssl) == 1 ?
			0 : fail(diag, NULL, "the CAs of the system cannot be read");
	if (SSL_CTX_load_verify_locations(ssl, s->ca_file, NULL) != 1)
		return fail(diag, s->ca_file, "holds no certificates of CAs");
	if (!s->is_server)
		return 0;
	/* Clients with several certificates choose by these. */
	names = SSL_load_client_CA_file(s->ca_file);
	if (names == NULL)
		return fail(diag, s->ca_file, "holds no certificates of CAs");
	SSL_CTX_set_client_CA_list(ssl, names);
	return 0;
}

static int load_crl(SSL_CTX *ssl, const struct tls_settings *s, struct diag *diag)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ssl);

	if (!is_set(s->crl_file))
		return 0;
	if (X509_STORE_load_file(store, s->crl_file) != 1)
		return fail(diag, s->crl_file, "holds no list of revoked certificates");
	if (X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL) != 1)
		return fail(diag, s->crl_file, "cannot be used");
	return 0;
}

/* Of what OpenSSL has found good, its name included. */
static int check_names(int is_fine, X509_STORE_CTX *chain)
{
	if (is_fine == 0 || X509_STORE_CTX_get_error_depth(chain) != 0 ||
		tls_names_are_clear(X509_STORE_CTX_get_current_cert(chain)))
		return is_fine;
	X509_STORE_CTX_set_error(chain, X509_V_ERR_HOSTNAME_MISMATCH);
	return 0;
}

static int set_verify(SSL_CTX *ssl, const struct tls_settings *s, struct diag *diag)
{
	int mode = SSL_VERIFY_PEER;
	int ret;

	if (s->verify == TLS_VERIFY_NOTHING) {
		SSL_CTX_set_verify(ssl, SSL_VERIFY_NONE, NULL);
		return 0;
	}
	if (!is_set(s->ca_file))
		return fail(diag, NULL, "certificates of CAs are needed to verify with");
	ret = load_cas(ssl, s, diag);
	if (ret == 0)
		ret = load_crl(ssl, s, diag);
	if (s->verify != TLS_VERIFY_IF_GIVEN)
		mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	SSL_CTX_set_verify(ssl, mode, s->verify == TLS_VERIFY_NAME ? check_names : NULL);
	return ret;
}

/* --- certificates by name ----------------------------------------------------------- */

static SSL_CTX *numbered(const struct tls_context *c, size_t which)
{
	return which == 0 ? c->own.ssl : c->sni[which - 1].ssl;
}

/* In tickets: of which certificate the session is. */
static int write_number(SSL *ssl, void *arg)
{
	const struct tls_context *c = arg;
	uint8_t which = 0;

	while (which < c->sni_count && numbered(c, which) != SSL_get_SSL_CTX(ssl))
		which++;
	return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), &which, sizeof(which));
}

static size_t read_number(SSL_SESSION *session)
{
	void *data;
	size_t len;

	return SSL_SESSION_get0_ticket_appdata(session, &data, &len) == 1 && len == 1 ?
		*(const uint8_t *)data : 0;
}

/* A session that is resumed is shown none, and goes on with the one that it began with,
 * which SCRAM is bound to, by whatever name it comes.  The key of its ticket is that of
 * the first in any case. */
static int choose_certificate(SSL *ssl, int *alert, void *arg)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	const struct tls_context *c = arg;
	size_t which = SIZE_MAX;

	(void)alert;
	if (SSL_session_reused(ssl) == 1)
		which = read_number(SSL_get_session(ssl));
	else if (name != NULL)
		which = tls_hosts_find(&c->hosts, name);
	if (which > c->sni_count)
		which = 0;
	return SSL_set_SSL_CTX(ssl, numbered(c, which)) != NULL ? SSL_TLSEXT_ERR_OK :
								   SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* --- sessions ------------------------------------------------------------------------ */

/* Who resumes a session is not verified, and has a new ticket each time: it would go on when
 * its certificate has ended. */
static SSL_TICKET_RETURN judge_ticket(SSL *ssl, SSL_SESSION *session, const unsigned char *key,
	size_t key_len, SSL_TICKET_STATUS status, void *arg)
{
	X509 *peer = session == NULL ? NULL : SSL_SESSION_get0_peer(session);

	(void)ssl;
	(void)key;
	(void)key_len;
	(void)arg;
	if (peer != NULL && X509_cmp_current_time(X509_get0_notAfter(peer)) != 1)
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	if (status == SSL_TICKET_SUCCESS)
		return SSL_TICKET_RETURN_USE;
	return status == SSL_TICKET_SUCCESS_RENEW ? SSL_TICKET_RETURN_USE_RENEW :
						    SSL_TICKET_RETURN_IGNORE_RENEW;
}

static int set_tickets(struct tls_context *c)
{
	if (!c->is_server)
		return 0;
	return SSL_CTX_set_session_ticket_cb(c->own.ssl,
		       c->sni_count > 0 ? write_number : NULL, judge_ticket, c) == 1 ? 0 : -ENOMEM;
}

/* --- life --------------------------------------------------------------------------- */

static int make_own(struct tls_own *own, const struct tls_settings *s, const char *cert_file,
	const char *key_file, struct diag *diag)
{
	bool has_key = is_set(cert_file) && is_set(key_file);
	int ret;

	if (!has_key && (is_set(cert_file) || is_set(key_file) || s->is_server))
		return fail(diag, NULL, "a certificate and a key are needed");
	own->ssl = SSL_CTX_new(s->is_server ? TLS_server_method() : TLS_client_method());
	if (own->ssl == NULL)
		return -ENOMEM;
	ret = set_protocols(own->ssl, s, diag);
	if (ret == 0)
		ret = set_role(own->ssl, s, diag);
	if (ret == 0 && has_key)
		ret = load_key(own->ssl, cert_file, key_file, diag);
	if (ret == 0 && has_key) {
		own->key_is_slow = is_slow(SSL_CTX_get0_privatekey(own->ssl));
		SSL_CTX_set_cert_cb(own->ssl, tls_about_to_sign, NULL);
	}
	return ret < 0 ? ret : set_verify(own->ssl, s, diag);
}

static int add_hosts(struct tls_context *c, size_t which)
{
	return tls_hosts_add(&c->hosts, SSL_CTX_get0_certificate(numbered(c, which)), which);
}

static int make_sni(struct tls_context *c, const struct tls_settings *s, struct diag *diag)
{
	int ret = 0;

	if (s->sni_count == 0)
		return 0;
	c->sni = calloc(s->sni_count, sizeof(*c->sni));
	if (c->sni == NULL || tls_hosts_init(&c->hosts) < 0 || add_hosts(c, 0) < 0)
		return -ENOMEM;
	for (size_t i = 0; ret >= 0 && i < s->sni_count; i++) {
		c->sni_count++;
		ret = make_own(&c->sni[i], s, s->sni_cert_files[i], s->sni_key_files[i], diag);
		if (ret == 0)
			ret = add_hosts(c, i + 1);
		if (ret == 0)
			return fail(diag, s->sni_cert_files[i],
				"is for no name that a client could connect to");
	}
	SSL_CTX_set_tlsext_servername_callback(c->own.ssl, choose_certificate);
	SSL_CTX_set_tlsext_servername_arg(c->own.ssl, c);
	return ret < 0 ? ret : 0;
}

struct tls_context *tls_context_create(const struct tls_settings *s, struct diag *diag)
{
	struct tls_context *c = calloc(1, sizeof(*c));
	int ret = -ENOMEM;

	ERR_clear_error();
	if (c != NULL) {
		atomic_init(&c->refs, 1);
		c->is_server = s->is_server;
		c->wants_name = s->verify == TLS_VERIFY_NAME;
		c->bio = tls_bio_method();
		if (c->bio != NULL)
			ret = make_own(&c->own, s, s->cert_file, s->key_file, diag);
	}
	if (ret == 0)
		ret = make_sni(c, s, diag);
	if (ret == 0)
		ret = set_tickets(c);
	if (ret == 0)
		return c;
	diag_set(diag, NULL, 0, 0, "out of memory");
	tls_context_unref(c);
	return NULL;
}

struct tls_context *tls_context_ref(struct tls_context *c)
{
	uint32_t before = atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);

	assert(before > 0);
	return c;
}

/* NULL: it has none. */
static X509 *first_to_end(const struct tls_context *c)
{
	X509 *first = SSL_CTX_get0_certificate(c->own.ssl);

	for (size_t i = 0; i < c->sni_count; i++) {
		X509 *other = SSL_CTX_get0_certificate(c->sni[i].ssl);

		if (ASN1_TIME_compare(X509_get0_notAfter(other), X509_get0_notAfter(first)) == -1)
			first = other;
	}
	return first;
}

uint64_t tls_context_expires(const struct tls_context *c)
{
	X509 *own = first_to_end(c);
	struct tm tm;
	time_t at;

	if (own == NULL || ASN1_TIME_to_tm(X509_get0_notAfter(own), &tm) != 1)
		return 0;
	at = timegm(&tm);
	return at > 0 ? (uint64_t)at : 0;
}

const char *tls_context_subject(const struct tls_context *c, char to[TLS_DN_MAX])
{
	X509 *own = first_to_end(c);
	BIO *text = own == NULL ? NULL : BIO_new(BIO_s_mem());
	int len = 0;

	if (text != NULL && X509_NAME_print_ex(text, X509_get_subject_name(own), 0,
				    XN_FLAG_RFC2253) >= 0)
		len = BIO_read(text, to, TLS_DN_MAX - 1);
	to[len > 0 ? len : 0] = '\0';
	BIO_free(text);
	ERR_clear_error();
	return to;
}

void tls_context_unref(struct tls_context *c)
{
	if (c == NULL || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1)
		return;
	SSL_CTX_free(c->own.ssl);
	for (size_t i = 0; i < c->sni_count; i++)
		SSL_CTX_free(c->sni[i].ssl);
	free(c->sni);
	tls_hosts_finish(&c->hosts);
	BIO_meth_free(c->bio);
	free(c);
}

/* SPDX-License-Identifier: ISC */
/*
 * One connection.  OpenSSL reads from the bytes it was given and writes to the
 * buffer of whoever called: a BIO of our own, so that nothing is copied that need
 * not be, and nothing is kept between two calls but a record that has not
 * arrived in full.
 */
#include "net/tls.h"

#include <arpa/inet.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "net/tls_priv.h"

enum { ERROR_MAX = 200 };

struct tls {
	SSL *ssl;
	struct tls_context *context;    /* the BIO's methods are there */
	struct tls_wire *wire;          /* NULL: it has a BIO of its own */
	const uint8_t *in;
	size_t in_len;
	struct buf *out;                /* while a function of this file runs */
	char *error;                    /* NULL: out of memory, or nothing is wrong */
	enum tls_park park;
	bool has_failed;
};

struct tls_wire {
	_Atomic uint32_t refs;
	BIO_METHOD *method;
	BIO *bio;                       /* its data: the connection that is at it */
};

/* --- between OpenSSL and the caller's buffers ----------------------------------------- */

static int bio_read(BIO *bio, char *to, size_t size, size_t *len)
{
	struct tls *t = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	*len = size_min(size, t->in_len);
	if (*len == 0) {
		BIO_set_retry_read(bio);
		return 0;
	}
	memcpy(to, t->in, *len);
	t->in += *len;
	t->in_len -= *len;
	return 1;
}

static int bio_write(BIO *bio, const char *data, size_t len, size_t *written)
{
	struct tls *t = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	*written = 0;
	if (t->out == NULL)
		return 0;
	buf_add(t->out, data, len);
	if (!buf_ok(t->out))
		return 0;
	*written = len;
	return 1;
}

/* All that is not known is answered 0: a BIO that says 1 would seem to do kTLS. */
static long bio_ctrl(BIO *bio, int command, long number, void *arg)
{
	(void)bio;
	(void)number;
	(void)arg;
	return command == BIO_CTRL_FLUSH;
}

BIO_METHOD *tls_bio_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "stream");

	if (m != NULL && BIO_meth_set_read_ex(m, bio_read) == 1 &&
		BIO_meth_set_write_ex(m, bio_write) == 1 &&
		BIO_meth_set_ctrl(m, bio_ctrl) == 1)
		return m;
	BIO_meth_free(m);
	return NULL;
}

/* Of those who share it the one is at it that was called: see begin(). */
static BIO *bio_of(const BIO_METHOD *method, struct tls *t)
{
	BIO *bio = method == NULL ? NULL : BIO_new(method);

	if (bio == NULL)
		return NULL;
	BIO_set_data(bio, t);
	BIO_set_init(bio, 1);
	return bio;
}

struct tls_wire *tls_wire_create(void)
{
	struct tls_wire *wire = calloc(1, sizeof(*wire));

	if (wire == NULL)
		return NULL;
	atomic_init(&wire->refs, 1);
	wire->method = tls_bio_method();
	wire->bio = bio_of(wire->method, NULL);
	if (wire->bio == NULL) {
		tls_wire_unref(wire);
		wire = NULL;
	}
	ERR_clear_error();
	return wire;
}

void tls_wire_unref(struct tls_wire *wire)
{
	if (wire == NULL || atomic_fetch_sub(&wire->refs, 1) > 1)
		return;
	BIO_free(wire->bio);
	BIO_meth_free(wire->method);
	free(wire);
}

void tls_share_wire(struct tls *t, struct tls_wire *wire)
{
	if (t->wire == wire)
		return;
	/* Each of the two directions drops what it had, and keeps this. */
	if (BIO_up_ref(wire->bio) == 1)
		SSL_set0_rbio(t->ssl, wire->bio);
	if (BIO_up_ref(wire->bio) == 1)
		SSL_set0_wbio(t->ssl, wire->bio);
	tls_wire_unref(t->wire);
	atomic_fetch_add(&wire->refs, 1);
	t->wire = wire;
}

/* --- life ------------------------------------------------------------------------------ */

static bool is_address(const char *name)
{
	uint8_t bytes[16];

	return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

static bool set_name(struct tls *t, const char *name)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(t->ssl);
	bool is_ip = name != NULL && is_address(name);

	if (name != NULL && !is_ip && SSL_set_tlsext_host_name(t->ssl, name) != 1)
		return false;
	if (!t->context->wants_name)
		return true;
	if (name == NULL)
		return false;
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return is_ip ? X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1 :
		       X509_VERIFY_PARAM_set1_host(param, name, 0) == 1;
}

static bool set_up(struct tls *t, const char *name)
{
	BIO *bio;

	t->ssl = SSL_new(t->context->own.ssl);
	bio = bio_of(t->context->bio, t);
	if (t->ssl == NULL || bio == NULL) {
		BIO_free(bio);
		return false;
	}
	SSL_set_bio(t->ssl, bio, bio);
	if (t->context->is_server) {
		SSL_set_accept_state(t->ssl);
		return true;
	}
	SSL_set_connect_state(t->ssl);
	return set_name(t, name);
}

void tls_set_secret(struct tls *t, bool is_secret)
{
	if (is_secret)
		SSL_set_options(t->ssl, SSL_OP_CLEANSE_PLAINTEXT);
	else
		SSL_clear_options(t->ssl, SSL_OP_CLEANSE_PLAINTEXT);
}

struct tls *tls_create(struct tls_context *context, const char *name)
{
	struct tls *t = calloc(1, sizeof(*t));

	ERR_clear_error();
	if (t == NULL)
		return NULL;
	t->context = tls_context_ref(context);
	if (!set_up(t, name))
		tls_destroy(&t);
	ERR_clear_error();
	return t;
}

void tls_destroy(struct tls **tp)
{
	struct tls *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	SSL_free(t->ssl);
	tls_wire_unref(t->wire);
	tls_context_unref(t->context);
	free(t->error);
	free(t);
}

void tls_input(struct tls *t, const uint8_t *data, size_t len)
{
	t->in = data;
	t->in_len = len;
}

size_t tls_input_left(const struct tls *t)
{
	return t->in_len;
}

/* --- what costs a lot -------------------------------------------------------------------- */

void tls_park(struct tls *t, enum tls_park park)
{
	t->park = park;
}

/* Of the certificate that this client is shown. */
bool tls_key_is_slow(const struct tls *t)
{
	const struct tls_context *c = t->context;
	const SSL_CTX *chosen = SSL_get_SSL_CTX(t->ssl);

	for (size_t i = 0; i < c->sni_count; i++) {
		if (c->sni[i].ssl == chosen)
			return c->sni[i].key_is_slow;
	}
	return c->own.key_is_slow;
}

static bool is_to_park(const struct tls *t)
{
	return t->park == TLS_PARKS_ALL ||
		(t->park == TLS_PARKS_SLOW && tls_key_is_slow(t));
}

int tls_about_to_sign(SSL *ssl, void *arg)
{
	const struct tls *t = BIO_get_data(SSL_get_rbio(ssl));

	(void)arg;
	return is_to_park(t) ? -1 : 1;
}

/* The oldest way of TLS 1.2, if it is allowed: the client's secret is decrypted with the
 * key, of which nobody tells. */
static bool is_to_decrypt(const struct tls *t)
{
	const SSL_CIPHER *cipher = SSL_get_pending_cipher(t->ssl);

	return t->context->is_server && cipher != NULL &&
		SSL_CIPHER_get_kx_nid(cipher) == NID_kx_rsa && t->in_len > 0;
}

/* --- running ----------------------------------------------------------------------------- */

/* What a certificate is refused for says more than that one was. */
static void note_error(struct tls *t)
{
	long verified = SSL_get_verify_result(t->ssl);
	char text[ERROR_MAX];

	t->has_failed = true;
	tls_library_error(text, sizeof(text));
	if (t->error != NULL)
		return;
	if (verified != X509_V_OK)
		t->error = strdup(X509_verify_cert_error_string(verified));
	else if (t->out != NULL && !buf_ok(t->out))
		t->error = strdup("out of memory");
	else
		t->error = strdup(text[0] == '\0' ? "the peer broke TLS" : text);
}

/* How a call of OpenSSL's went that did not succeed. */
static enum tls_result explain(struct tls *t, int ret)
{
	switch (SSL_get_error(t->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
		return TLS_MORE;
	case SSL_ERROR_WANT_X509_LOOKUP:
		return TLS_COSTLY;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_CLOSED;
	default:
		note_error(t);
		return TLS_FAILED;
	}
}

static bool begin(struct tls *t, struct buf *out)
{
	/* Its queue is the thread's: what others left there would seem to be ours. */
	ERR_clear_error();
	t->out = out;
	if (t->wire != NULL)
		BIO_set_data(t->wire->bio, t);
	return !t->has_failed;
}

enum tls_result tls_handshake(struct tls *t, struct buf *out)
{
	enum tls_result result = TLS_FAILED;
	int ret;

	if (is_to_park(t) && is_to_decrypt(t))
		return TLS_COSTLY;
	if (begin(t, out)) {
		ret = SSL_do_handshake(t->ssl);
		result = ret == 1 ? TLS_OK : explain(t, ret);
	}
	/* The end of a connection is none of a handshake. */
	if (result == TLS_CLOSED) {
		note_error(t);
		result = TLS_FAILED;
	}
	t->out = NULL;
	return result;
}

enum tls_result tls_read(struct tls *t, uint8_t *to, size_t size, size_t *len,
	struct buf *out)
{
	enum tls_result result = TLS_FAILED;
	int ret;

	*len = 0;
	if (begin(t, out)) {
		ret = SSL_read_ex(t->ssl, to, size, len);
		result = ret == 1 ? TLS_OK : explain(t, ret);
	}
	t->out = NULL;
	return result;
}

enum tls_result tls_write(struct tls *t, const void *data, size_t len, struct buf *out)
{
	enum tls_result result = TLS_OK;
	const uint8_t *at = data;
	size_t written;

	if (!begin(t, out))
		result = TLS_FAILED;
	while (result == TLS_OK && len > 0) {
		int ret = SSL_write_ex(t->ssl, at, len, &written);

		if (ret != 1) {
			/* It never waits for the peer: that would be a handshake. */
			note_error(t);
			result = TLS_FAILED;
			break;
		}
		at += written;
		len -= written;
	}
	t->out = NULL;
	return result;
}

void tls_end(struct tls *t, struct buf *out)
{
	if (begin(t, out) && SSL_is_init_finished(t->ssl))
		(void)SSL_shutdown(t->ssl);
	ERR_clear_error();
	t->out = NULL;
}

void tls_fail(struct tls *t, const char *why)
{
	if (!t->has_failed)
		t->error = strdup(why);
	t->has_failed = true;
}

const char *tls_error(const struct tls *t)
{
	if (!t->has_failed)
		return "";
	return t->error == NULL ? "out of memory" : t->error;
}

/* --- what was agreed upon ------------------------------------------------------------------ */

const char *tls_protocol(const struct tls *t)
{
	return SSL_get_version(t->ssl);
}

const char *tls_cipher(const struct tls *t)
{
	const char *name = SSL_get_cipher_name(t->ssl);

	return name == NULL ? "" : name;
}

bool tls_is_resumed(const struct tls *t)
{
	return SSL_session_reused(t->ssl) == 1;
}

bool tls_has_alpn(const struct tls *t)
{
	const unsigned char *name;
	unsigned len;

	SSL_get0_alpn_selected(t->ssl, &name, &len);
	return len == 10 && memcmp(name, "postgresql", 10) == 0;
}

bool tls_has_peer(const struct tls *t)
{
	return SSL_get0_peer_certificate(t->ssl) != NULL &&
		SSL_get_verify_mode(t->ssl) != SSL_VERIFY_NONE &&
		SSL_get_verify_result(t->ssl) == X509_V_OK;
}

bool tls_peer_name(const struct tls *t, char *to, size_t size)
{
	return tls_has_peer(t) &&
		tls_subject_name(SSL_get0_peer_certificate(t->ssl), to, size);
}

bool tls_peer_dn(const struct tls *t, char *to, size_t size)
{
	return tls_has_peer(t) && tls_subject_dn(SSL_get0_peer_certificate(t->ssl), to, size);
}

/* The hash of the certificate's signature; SHA-256 for those too weak (RFC 5929, 4.1). */
static const EVP_MD *binding_hash(X509 *cert)
{
	int hash;

	if (X509_get_signature_info(cert, &hash, NULL, NULL, NULL) != 1 || hash == NID_undef)
		return NULL;
	if (hash == NID_md5 || hash == NID_sha1)
		return EVP_sha256();
	return EVP_get_digestbynid(hash);
}

size_t tls_binding(const struct tls *t, uint8_t to[TLS_BINDING_MAX])
{
	X509 *cert = t->context->is_server ? SSL_get_certificate(t->ssl) :
					     SSL_get0_peer_certificate(t->ssl);
	const EVP_MD *hash = cert == NULL ? NULL : binding_hash(cert);
	unsigned len = 0;

	if (hash == NULL || EVP_MD_get_size(hash) > TLS_BINDING_MAX ||
		X509_digest(cert, hash, to, &len) != 1)
		len = 0;
	ERR_clear_error();
	return len;
}

/* SPDX-License-Identifier: ISC */
#include "pg/server_auth.h"

#include <openssl/crypto.h>
#include <string.h>

#include "pg/msg_out.h"
#include "pg/wire.h"

/* Source: PostgreSQL documentation, 55.7, Authentication*. */
enum auth_code {
	AUTH_OK = 0,
	AUTH_KERBEROS4 = 1,
	AUTH_KERBEROS5 = 2,
	AUTH_CLEARTEXT = 3,
	AUTH_CRYPT = 4,
	AUTH_MD5 = 5,
	AUTH_SCM = 6,
	AUTH_GSS = 7,
	AUTH_GSS_CONTINUE = 8,
	AUTH_SSPI = 9,
	AUTH_SASL = 10,
	AUTH_SASL_CONTINUE = 11,
	AUTH_SASL_FINAL = 12
};

static const struct {
	uint32_t code;
	const char *name;
} unsupported[] = {
	{ AUTH_KERBEROS4, "Kerberos 4" },
	{ AUTH_KERBEROS5, "Kerberos 5" },
	{ AUTH_CRYPT, "crypt" },
	{ AUTH_SCM, "SCM credentials" },
	{ AUTH_GSS, "GSSAPI" },
	{ AUTH_GSS_CONTINUE, "GSSAPI" },
	{ AUTH_SSPI, "SSPI" },
};

void server_auth_init(struct server_auth *a, const struct server_auth_credentials *with)
{
	*a = (struct server_auth){ .state = SERVER_AUTH_STATE_NEW, .with = *with };
}

/* For a sentence: what is known instead of what is needed. */
static const char *what_is_known(const struct server_auth *a)
{
	if (a->with.password != NULL)
		return "only a plain password is known";
	if (a->with.md5_secret != NULL)
		return "only an md5 secret is known";
	if (a->with.keys != NULL)
		return "only SCRAM keys are known";
	return "no password is known";
}

static enum server_auth_result lacks(const struct server_auth *a, const char *asked,
	struct diag *diag)
{
	diag_set(diag, NULL, 0, 0, "server asked for %s but %s for user \"%s\"", asked,
		what_is_known(a), a->with.user);
	return SERVER_AUTH_FAILED;
}

static enum server_auth_result refuse(struct diag *diag, const char *why)
{
	diag_set(diag, NULL, 0, 0, "%s", why);
	return SERVER_AUTH_FAILED;
}

/* --- passwords and digests ------------------------------------------------ */

static enum server_auth_result must_not_require_binding(const struct server_auth *a,
	struct diag *diag)
{
	if (a->with.binding_mode != SERVER_AUTH_BINDING_REQUIRE)
		return SERVER_AUTH_CONTINUE;
	return refuse(diag, "channel binding is required, but the server asked for "
			    "another kind of authentication");
}

static enum server_auth_result on_cleartext(struct server_auth *a, struct buf *out,
	struct diag *diag)
{
	if (must_not_require_binding(a, diag) == SERVER_AUTH_FAILED)
		return SERVER_AUTH_FAILED;
	if (a->with.password == NULL)
		return lacks(a, "the password in clear", diag);
	if (!a->with.allow_cleartext) {
		a->hid_password = true;
		return refuse(diag, "server asked for the password in clear, which is not "
				    "allowed");
	}
	msg_out_password(out, a->with.password);
	a->state = SERVER_AUTH_STATE_ANSWERED;
	return SERVER_AUTH_CONTINUE;
}

static enum server_auth_result on_md5(struct server_auth *a, const uint8_t salt[4],
	struct buf *out, struct diag *diag)
{
	char secret[SECRET_MD5_LEN + 1] = "", answer[SECRET_MD5_LEN + 1] = "";
	bool is_fine;

	if (must_not_require_binding(a, diag) == SERVER_AUTH_FAILED)
		return SERVER_AUTH_FAILED;
	if (a->with.password != NULL)
		is_fine = secret_md5(a->with.password, a->with.user, secret);
	else if (secret_classify(a->with.md5_secret) == SECRET_MD5)
		is_fine = memcpy(secret, a->with.md5_secret, sizeof(secret)) != NULL;
	else
		return lacks(a, "an md5 password", diag);
	is_fine = is_fine && secret_md5_answer(secret, salt, answer);
	if (is_fine)
		msg_out_password(out, answer);
	OPENSSL_cleanse(secret, sizeof(secret));
	OPENSSL_cleanse(answer, sizeof(answer));
	if (!is_fine)
		return refuse(diag, "the crypto library refuses md5");
	a->state = SERVER_AUTH_STATE_ANSWERED;
	return SERVER_AUTH_CONTINUE;
}

/* --- SCRAM ---------------------------------------------------------------- */

static enum server_auth_result scram_failed(const struct server_auth *a, struct diag *diag)
{
	if (a->scram.error == SCRAM_ERROR_KEYS)
		diag_set(diag, NULL, 0, 0,
			"the SCRAM secret of user \"%s\" is not the same here and in the "
			"server (salt or iterations differ), and no plain password is known",
			a->with.user);
	else
		diag_set(diag, NULL, 0, 0, "SCRAM login as user \"%s\": %s", a->with.user,
			scram_error_text(a->scram.error));
	return SERVER_AUTH_FAILED;
}

/* Which of the two mechanisms the server's list has. */
static bool read_mechanisms(struct wire_in *in, bool *has_plain, bool *has_plus)
{
	const char *name;

	*has_plain = false;
	*has_plus = false;
	for (name = wire_cstr(in); name[0] != '\0'; name = wire_cstr(in)) {
		if (strcmp(name, SCRAM_MECHANISM) == 0)
			*has_plain = true;
		else if (strcmp(name, SCRAM_MECHANISM_PLUS) == 0)
			*has_plus = true;
	}
	return wire_done(in);
}

static enum server_auth_result begin_scram(struct server_auth *a, bool is_plus,
	bool can_bind, struct buf *out, struct diag *diag)
{
	struct scram_client_params params = { .password = a->with.password,
		.keys = a->with.keys, .binding = is_plus ? a->with.binding : NULL,
		.could_bind = can_bind && !is_plus,
		.iterations_max = a->with.iterations_max,
		.nonce_raw = a->with.nonce_raw };
	struct buf payload;
	enum scram_result result;

	buf_init(&payload, SCRAM_MESSAGE_MAX);
	scram_client_init(&a->scram, &params);
	a->has_scram = true;
	result = scram_client_start(&a->scram, &payload);
	if (result == SCRAM_CONTINUE)
		msg_out_sasl_initial(out, is_plus ? SCRAM_MECHANISM_PLUS : SCRAM_MECHANISM,
			buf_data(&payload), buf_len(&payload));
	buf_finish(&payload);
	if (result != SCRAM_CONTINUE)
		return scram_failed(a, diag);
	a->state = SERVER_AUTH_STATE_SCRAM;
	return SERVER_AUTH_CONTINUE;
}

static enum server_auth_result on_sasl(struct server_auth *a, struct wire_in *in,
	struct buf *out, struct diag *diag)
{
	bool can_bind = a->with.binding != NULL &&
		a->with.binding_mode != SERVER_AUTH_BINDING_DISABLE;
	bool has_plain, has_plus;

	if (!read_mechanisms(in, &has_plain, &has_plus))
		return refuse(diag, "server sent a malformed list of SASL mechanisms");
	if (a->with.binding_mode == SERVER_AUTH_BINDING_REQUIRE && !(can_bind && has_plus))
		return refuse(diag, can_bind ?
				"channel binding is required, but the server does not offer it" :
				"channel binding is required, but needs TLS to the server");
	if (!has_plain && !(has_plus && can_bind))
		return refuse(diag, "server offers no SASL mechanism that is supported");
	if (a->with.password == NULL && a->with.keys == NULL)
		return lacks(a, "SCRAM", diag);
	return begin_scram(a, has_plus && can_bind, can_bind, out, diag);
}

static enum server_auth_result on_sasl_continue(struct server_auth *a,
	struct wire_slice data, struct buf *out, struct diag *diag)
{
	struct buf payload;
	enum scram_result result;

	if (a->scram.state != SCRAM_CLIENT_FIRST)
		return refuse(diag, "server sent SASLContinue twice");
	buf_init(&payload, SCRAM_MESSAGE_MAX);
	result = scram_client_message(&a->scram, data.data, data.len, &payload);
	if (result == SCRAM_CONTINUE)
		msg_out_sasl_response(out, buf_data(&payload), buf_len(&payload));
	buf_wipe(&payload);
	if (result == SCRAM_DERIVE)
		return SERVER_AUTH_DERIVE;
	return result == SCRAM_CONTINUE ? SERVER_AUTH_CONTINUE : scram_failed(a, diag);
}

bool server_auth_job(const struct server_auth *a, struct secret_job *job)
{
	return scram_client_job(&a->scram, job);
}

enum server_auth_result server_auth_derived(struct server_auth *a,
	const struct secret_job *job, struct buf *out, struct diag *diag)
{
	enum server_auth_result result = SERVER_AUTH_CONTINUE;
	struct buf payload;

	buf_init(&payload, SCRAM_MESSAGE_MAX);
	if (scram_client_derived(&a->scram, job, &payload) == SCRAM_CONTINUE)
		msg_out_sasl_response(out, buf_data(&payload), buf_len(&payload));
	else
		result = scram_failed(a, diag);
	buf_wipe(&payload);
	if (result == SERVER_AUTH_CONTINUE && !buf_ok(out))
		result = refuse(diag, "out of memory");
	if (result == SERVER_AUTH_FAILED)
		a->state = SERVER_AUTH_STATE_OVER;
	return result;
}

static enum server_auth_result on_sasl_final(struct server_auth *a, struct wire_slice data,
	struct buf *out, struct diag *diag)
{
	if (a->scram.state != SCRAM_CLIENT_FINAL)
		return refuse(diag, "server sent SASLFinal out of turn");
	if (scram_client_message(&a->scram, data.data, data.len, out) != SCRAM_OK)
		return scram_failed(a, diag);
	a->state = SERVER_AUTH_STATE_ANSWERED;
	return SERVER_AUTH_CONTINUE;
}

/* --- the machine ---------------------------------------------------------- */

/* A server that lets us in unasked, or asks for something else after SCRAM has
 * begun, may be one that does not know the secret. */
static enum server_auth_result on_ok(struct server_auth *a, struct diag *diag)
{
	if (a->state == SERVER_AUTH_STATE_SCRAM)
		return refuse(diag, "server ended the SCRAM exchange without proving that "
				    "it knows the secret");
	if (a->with.binding_mode == SERVER_AUTH_BINDING_REQUIRE &&
		(!a->has_scram || a->scram.gs2_flag != 'p'))
		return refuse(diag, "channel binding is required, but the server did not "
				    "ask for it");
	return SERVER_AUTH_OK;
}

static enum server_auth_result on_unsupported(uint32_t code, struct diag *diag)
{
	for (size_t i = 0; i < COUNT_OF(unsupported); i++) {
		if (unsupported[i].code != code)
			continue;
		diag_set(diag, NULL, 0, 0,
			"server asked for %s authentication, which is not supported",
			unsupported[i].name);
		return SERVER_AUTH_FAILED;
	}
	diag_set(diag, NULL, 0, 0, "server asked for unknown authentication method %u", code);
	return SERVER_AUTH_FAILED;
}

static enum server_auth_result dispatch(struct server_auth *a, uint32_t code,
	struct wire_in *in, struct buf *out, struct diag *diag)
{
	const uint8_t *salt;

	if (code == AUTH_OK)
		return wire_done(in) ? on_ok(a, diag) :
			refuse(diag, "server sent a malformed AuthenticationOk");
	if (a->state == SERVER_AUTH_STATE_SCRAM) {
		if (code == AUTH_SASL_CONTINUE)
			return on_sasl_continue(a, wire_rest(in), out, diag);
		if (code == AUTH_SASL_FINAL)
			return on_sasl_final(a, wire_rest(in), out, diag);
		return refuse(diag, "server changed the method of authentication after "
				    "SCRAM had begun");
	}
	if (a->state == SERVER_AUTH_STATE_ANSWERED)
		return refuse(diag, "server asked for a password twice");
	switch (code) {
	case AUTH_CLEARTEXT:
		return on_cleartext(a, out, diag);
	case AUTH_MD5:
		salt = wire_bytes(in, 4);
		if (salt == NULL || !wire_done(in))
			return refuse(diag, "server sent a malformed md5 salt");
		return on_md5(a, salt, out, diag);
	case AUTH_SASL:
		return on_sasl(a, in, out, diag);
	case AUTH_SASL_CONTINUE:
	case AUTH_SASL_FINAL:
		return refuse(diag, "server sent a SASL message without having asked for "
				    "SASL");
	default:
		return on_unsupported(code, diag);
	}
}

enum server_auth_result server_auth_message(struct server_auth *a, const uint8_t *body,
	size_t len, struct buf *out, struct diag *diag)
{
	enum server_auth_result result;
	struct wire_in in;
	uint32_t code;

	wire_init(&in, body, len);
	code = wire_u32(&in);
	if (a->state == SERVER_AUTH_STATE_OVER)
		result = refuse(diag, "server sent an Authentication message after the end");
	else if (!wire_ok(&in))
		result = refuse(diag, "server sent a malformed Authentication message");
	else
		result = dispatch(a, code, &in, out, diag);
	if (result != SERVER_AUTH_FAILED && !buf_ok(out))
		result = refuse(diag, "out of memory");
	if (result == SERVER_AUTH_OK || result == SERVER_AUTH_FAILED)
		a->state = SERVER_AUTH_STATE_OVER;
	a->is_ok = result == SERVER_AUTH_OK;
	return result;
}

bool server_auth_is_judged(const struct server_auth *a)
{
	return a->state == SERVER_AUTH_STATE_ANSWERED || a->state == SERVER_AUTH_STATE_SCRAM;
}

const struct secret_keys *server_auth_keys(const struct server_auth *a)
{
	return a->is_ok && a->has_scram ? &a->scram.keys : NULL;
}

void server_auth_finish(struct server_auth *a)
{
	if (a->has_scram)
		scram_client_finish(&a->scram);
	OPENSSL_cleanse(a, sizeof(*a));
	a->state = SERVER_AUTH_STATE_OVER;
}

/* SPDX-License-Identifier: ISC */
/*
 * We log in to a PostgreSQL that may send anything.  The first byte of the
 * input says what we know; then come the bodies of the server's messages, each
 * after two bytes of length.
 */
#include <stdlib.h>
#include <string.h>

#include "pg/server_auth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void set_up(uint8_t how, struct server_auth_credentials *with)
{
	static const uint8_t zeros[32];
	static const struct secret_keys keys = { .iterations = 1, .salt_len = 1 };
	static const struct scram_binding binding = { "tls-server-end-point", zeros, 32 };

	*with = (struct server_auth_credentials){ .user = "ann",
		.password = (how & 1) != 0 ? "pencil" : NULL,
		.md5_secret = (how & 2) != 0 ? "md59d792a3a8853c2411afb9163d088c036" : NULL,
		.keys = (how & 4) != 0 ? &keys : NULL,
		.allow_cleartext = (how & 8) != 0,
		.binding = (how & 16) != 0 ? &binding : NULL,
		.binding_mode = (how & 32) != 0 ? SERVER_AUTH_BINDING_REQUIRE :
			(how & 64) != 0 ? SERVER_AUTH_BINDING_DISABLE :
			SERVER_AUTH_BINDING_PREFER,
		.iterations_max = 8, .nonce_raw = zeros };
}

static enum server_auth_result derive(struct server_auth *a, struct buf *out,
	struct diag *diag)
{
	enum server_auth_result result;
	struct secret_job job;

	check(server_auth_job(a, &job) && job.iterations <= 8);
	secret_job_run(&job);
	result = server_auth_derived(a, &job, out, diag);
	secret_job_wipe(&job);
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct server_auth_credentials with;
	enum server_auth_result result = SERVER_AUTH_CONTINUE;
	bool began_scram = false;
	struct server_auth a;
	struct diag diag;
	struct buf out;
	size_t at = 1;

	if (size < 1)
		return 0;
	set_up(data[0], &with);
	buf_init(&out, 0);
	server_auth_init(&a, &with);
	while (result == SERVER_AUTH_CONTINUE && size - at >= 2) {
		size_t len = size_min((size_t)data[at] << 8 | data[at + 1], size - at - 2);

		diag_clear(&diag);
		result = server_auth_message(&a, data + at + 2, len, &out, &diag);
		if (result == SERVER_AUTH_DERIVE)
			result = derive(&a, &out, &diag);
		check(diag_is_set(&diag) == (result == SERVER_AUTH_FAILED));
		began_scram = began_scram || a.has_scram;
		at += len + 2;
	}
	/* What began as SCRAM ended as SCRAM. */
	if (result == SERVER_AUTH_OK && began_scram)
		check(a.scram.state == SCRAM_CLIENT_OVER &&
			a.scram.error == SCRAM_ERROR_NONE && server_auth_keys(&a) != NULL);
	if (result == SERVER_AUTH_OK && with.binding_mode == SERVER_AUTH_BINDING_REQUIRE)
		check(began_scram && a.scram.gs2_flag == 'p');
	server_auth_finish(&a);
	buf_finish(&out);
	return 0;
}

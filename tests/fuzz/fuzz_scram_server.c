/* SPDX-License-Identifier: ISC */
/*
 * A client of ours logs in, by any method.  The first byte of the input says
 * how; then come its messages, each after one byte of length.
 */
#include <stdlib.h>
#include <string.h>

#include "pg/client_auth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* "pencil", with one iteration. */
#define SCRAM                                                                            \
	"SCRAM-SHA-256$1:W22ZaJ0SNY7soEsUEjb6gQ=="                                       \
	"$bzcn5wYzlcMpEXczzDM1iuyLhni5BVbqsm82vjMHWXI=:"                                 \
	"fg/vS0Y425LcbLGWSqdzrFlRn9451QblzgpwLQYoXCI="

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void set_up(uint8_t how, struct client_auth_params *params)
{
	static const char *const stored[] = { SCRAM, NULL, "",
		"md59d792a3a8853c2411afb9163d088c036" };
	static const uint8_t zeros[SCRAM_MOCK_KEY_LEN];
	static const struct scram_binding binding = { "tls-server-end-point", zeros, 32 };
	enum client_auth_method method = (enum client_auth_method)(how & 3);

	/* The last bit is a method more, in place of trust. */
	if ((how & 0x83) == 0x80)
		method = CLIENT_AUTH_OUTSIDE;
	*params = (struct client_auth_params){ .method = method, .user = "ann", .stored = stored[how >> 2 & 3], .mock_key = zeros,
		.is_doomed = (how >> 4 & 1) != 0, .mocks_scram = (how >> 5 & 1) != 0,
		.binding = (how >> 6 & 1) != 0 ? &binding : NULL,
		.salt = zeros, .nonce_raw = zeros };
}

static enum client_auth_result derive(struct client_auth *a)
{
	enum client_auth_result result;
	struct secret_job job;

	check(client_auth_job(a, &job));
	secret_job_run(&job);
	result = client_auth_settle(a, &job);
	secret_job_wipe(&job);
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct client_auth_params params;
	enum client_auth_result result;
	struct client_auth a;
	struct buf out;
	size_t at = 1;

	if (size < 1)
		return 0;
	set_up(data[0], &params);
	buf_init(&out, 0);
	client_auth_init(&a, &params);
	result = client_auth_start(&a, &out);
	while (at < size) {
		size_t len = size_min(data[at], size - at - 1);
		bool was_over = a.state == CLIENT_AUTH_STATE_OVER;

		result = client_auth_message(&a, data + at + 1, len, &out);
		if (result == CLIENT_AUTH_DERIVE)
			result = derive(&a);
		else if (result == CLIENT_AUTH_DECIDE)
			result = client_auth_decide(&a, a.known.password[0] == 'r');
		check(!was_over || result == CLIENT_AUTH_FAILED);
		at += len + 1;
	}
	if (result == CLIENT_AUTH_OK)
		check(!params.is_doomed &&
			(params.stored != NULL || params.method == CLIENT_AUTH_TRUST ||
				params.method == CLIENT_AUTH_OUTSIDE));
	if (result == CLIENT_AUTH_FAILED) {
		check(a.failure != CLIENT_AUTH_NO_FAILURE && a.known.keys == NULL &&
			a.known.password == NULL);
		check(strlen(client_auth_failure_text(&a)) > 0);
		client_auth_write_error(&a, &out);
	}
	client_auth_finish(&a);
	buf_finish(&out);
	return 0;
}

/* SPDX-License-Identifier: ISC */
/*
 * The client's side of SCRAM-SHA-256, without channel binding.
 *
 * What the password, the salt and the iterations give is computed once and kept: a client
 * that spends milliseconds on each login would hide what the other side spends.
 */
#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drive.h"

enum { HASH = SHA256_DIGEST_LENGTH, NONCE = 18, TEXT_MAX = 512 };

struct scram {
	char bare[64];	       /* client-first-message-bare */
	char nonce[NONCE * 2]; /* in base64 */
};

static struct {
	char salt[128];
	unsigned long iterations;
	uint8_t client_key[HASH];
	uint8_t stored_key[HASH];
} known;

static void hmac(const uint8_t *key, const void *data, size_t size, uint8_t *to)
{
	unsigned int length = HASH;

	if (HMAC(EVP_sha256(), key, HASH, data, size, to, &length) == NULL)
		drive_refuse("HMAC failed");
}

static void learn(const char *password, const char *salt, unsigned long iterations)
{
	uint8_t raw[128], salted[HASH];
	int size = EVP_DecodeBlock(raw, (const uint8_t *)salt, (int)strlen(salt));

	if (known.iterations == iterations && strcmp(known.salt, salt) == 0)
		return;
	if (size < 0)
		drive_refuse("a salt that is not base64");
	for (size_t n = strlen(salt); n > 0 && salt[n - 1] == '='; n--)
		size--;
	if (PKCS5_PBKDF2_HMAC(password, (int)strlen(password), raw, size, (int)iterations,
		    EVP_sha256(), HASH, salted) != 1)
		drive_refuse("PBKDF2 failed");
	hmac(salted, "Client Key", 10, known.client_key);
	SHA256(known.client_key, HASH, known.stored_key);
	(void)snprintf(known.salt, sizeof(known.salt), "%s", salt);
	known.iterations = iterations;
}

static void send_response(
	struct client *c, const char *head, size_t head_size, const char *text)
{
	uint8_t message[TEXT_MAX * 2];
	size_t size = strlen(text);
	uint32_t length = htonl((uint32_t)(4 + head_size + size));

	message[0] = 'p';
	memcpy(message + 1, &length, 4);
	memcpy(message + 5, head, head_size);
	memcpy(message + 5 + head_size, text, size);
	conn_send(c, message, 5 + head_size + size);
}

static void first(struct client *c)
{
	uint8_t raw[NONCE], head[32];
	char text[TEXT_MAX];
	uint32_t length;

	c->scram = calloc(1, sizeof(*c->scram));
	if (c->scram == NULL || RAND_bytes(raw, NONCE) != 1)
		drive_refuse("no nonce");
	EVP_EncodeBlock((uint8_t *)c->scram->nonce, raw, NONCE);
	(void)snprintf(
		c->scram->bare, sizeof(c->scram->bare), "n=,r=%s", c->scram->nonce);
	(void)snprintf(text, sizeof(text), "n,,%s", c->scram->bare);
	memcpy(head, "SCRAM-SHA-256", 14);
	length = htonl((uint32_t)strlen(text));
	memcpy(head + 14, &length, 4);
	send_response(c, (char *)head, 18, text);
}

static void last(struct client *c, const char *server_first)
{
	char nonce[128], salt[128], without[256], all[TEXT_MAX * 2], text[TEXT_MAX];
	uint8_t proof[HASH], coded[HASH * 2];
	unsigned long iterations;

	if (c->scram == NULL ||
		sscanf(server_first, "r=%127[^,],s=%127[^,],i=%lu", nonce, salt,
			&iterations) != 3 ||
		strncmp(nonce, c->scram->nonce, strlen(c->scram->nonce)) != 0)
		drive_refuse("a server-first-message that is not one");
	learn(c->group->password, salt, iterations);
	(void)snprintf(without, sizeof(without), "c=biws,r=%s", nonce);
	(void)snprintf(
		all, sizeof(all), "%s,%s,%s", c->scram->bare, server_first, without);
	hmac(known.stored_key, all, strlen(all), proof);
	for (int i = 0; i < HASH; i++)
		proof[i] ^= known.client_key[i];
	EVP_EncodeBlock(coded, proof, HASH);
	(void)snprintf(text, sizeof(text), "%s,p=%s", without, (char *)coded);
	send_response(c, "", 0, text);
}

void scram_on_request(struct client *c, uint32_t code, const uint8_t *body, size_t size)
{
	char text[TEXT_MAX];

	if (code == 10) {
		first(c);
	} else if (code == 11) {
		if (size >= sizeof(text))
			drive_refuse("a server-first-message that is too long");
		memcpy(text, body, size);
		text[size] = '\0';
		last(c, text);
	}
	/* 12: the server's own proof, which does not matter here. */
}

void scram_forget(struct client *c)
{
	free(c->scram);
	c->scram = NULL;
}

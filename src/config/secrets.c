/* SPDX-License-Identifier: ISC */
#include "config/secrets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/userlist.h"
#include "config/verify.h"

/* What is none, but begins as one, lets nobody in either way. */
static const char scram_prefix[] = "SCRAM-SHA-256$";

enum { KINDS_MAX = 16, ITERATIONS_MAX = 999999999 };

/* How many secrets have so many iterations. */
struct tally {
	size_t kinds;
	struct {
		uint32_t iterations;
		size_t secrets;
	} list[KINDS_MAX];
};

/* What comes behind so many different ones is not counted. */
static void add(struct tally *t, uint32_t iterations)
{
	size_t i = 0;

	while (i < t->kinds && t->list[i].iterations != iterations)
		i++;
	if (i == KINDS_MAX)
		return;
	if (i == t->kinds)
		t->list[t->kinds++].iterations = iterations;
	t->list[i].secrets++;
}

/* Of two that are as many the higher number, whatever the order of the files is. */
static uint32_t most_of(const struct tally *t)
{
	uint32_t iterations = 0;
	size_t secrets = 0;

	for (size_t i = 0; i < t->kinds; i++) {
		if (t->list[i].secrets < secrets ||
			(t->list[i].secrets == secrets && t->list[i].iterations < iterations))
			continue;
		iterations = t->list[i].iterations;
		secrets = t->list[i].secrets;
	}
	return iterations;
}

static void count(struct config *config, struct tally *t, const char *secret)
{
	unsigned long iterations;
	char *end;

	if (secret[0] == '\0')
		return;
	config->secrets.all++;
	if (strncmp(secret, scram_prefix, sizeof(scram_prefix) - 1) != 0)
		return;
	config->secrets.scram++;
	secret += sizeof(scram_prefix) - 1;
	if (*secret < '1' || *secret > '9')
		return;
	iterations = strtoul(secret, &end, 10);
	if (*end == ':' && iterations <= ITERATIONS_MAX)
		add(t, (uint32_t)iterations);
}

void secrets_count(struct config *config)
{
	struct tally t = { 0 };
	const char *name = NULL, *secret;

	config->secrets = (struct config_secrets){ 0 };
	for (size_t i = 0; i < config->user_count; i++)
		count(config, &t, config->users[i].options.password);
	while (config->userlist != NULL &&
		(name = userlist_next(config->userlist, name, &secret)) != NULL) {
		const struct config_user *own = config_find_user(config, name);

		if (own == NULL || own->options.password[0] == '\0')
			count(config, &t, secret);
	}
	config->secrets.iterations = most_of(&t);
}

bool config_knows_user(const struct config *config, const char *name)
{
	return config_find_user(config, name) != NULL ||
		(config->userlist != NULL && userlist_find(config->userlist, name) != NULL);
}

bool secrets_are_said(const struct config *config)
{
	bool are = config->auth.auth_ldap_options[0] != '\0';

	for (size_t i = 0; i < config->host_count; i++)
		are = are || config->hosts[i].options.password[0] != '\0';
	for (size_t i = 0; i < config->database_count; i++)
		are = are || config->databases[i].options.password[0] != '\0';
	for (size_t i = 0; i < config->user_count; i++)
		are = are || config->users[i].options.password[0] != '\0';
	return are;
}

int secrets_find_own(struct config *config)
{
	for (size_t i = 0; i < config->host_count; i++) {
		struct config_host *host = &config->hosts[i];
		const char *user = host->options.user, *secret;

		if (user[0] == '\0' || host->own_password[0] != '\0' ||
			config_password_is_asked(&host->source))
			continue;
		secret = config_secret(config, user);
		if (secret == NULL)
			continue;
		/* It is empty: nothing to wipe. */
		free(host->own_password);
		host->own_password = strdup(secret);
		if (host->own_password == NULL)
			return -ENOMEM;
		if (strncmp(secret, scram_prefix, sizeof(scram_prefix) - 1) != 0)
			continue;
		if (verify_warn(config,
			    "hosts.%s.user: what is known of %s is a SCRAM secret, which does "
			    "not log in to PostgreSQL; password_file would",
			    host->name, user) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* SPDX-License-Identifier: ISC */
#include "config/secrets.h"

#include <string.h>

#include "config/config.h"
#include "config/userlist.h"

/* What is none, but begins as one, lets nobody in either way. */
static const char scram_prefix[] = "SCRAM-SHA-256$";

static void count(struct config *config, const char *secret)
{
	if (secret[0] == '\0')
		return;
	config->secrets.all++;
	config->secrets.scram +=
		strncmp(secret, scram_prefix, sizeof(scram_prefix) - 1) == 0;
}

void secrets_count(struct config *config)
{
	const char *name = NULL, *secret;

	config->secrets = (struct config_secrets){ 0 };
	for (size_t i = 0; i < config->user_count; i++)
		count(config, config->users[i].options.password);
	if (config->userlist == NULL)
		return;
	while ((name = userlist_next(config->userlist, name, &secret)) != NULL) {
		const struct config_user *own = config_find_user(config, name);

		if (own == NULL || own->options.password[0] == '\0')
			count(config, secret);
	}
}

bool config_knows_user(const struct config *config, const char *name)
{
	return config_find_user(config, name) != NULL ||
		(config->userlist != NULL && userlist_find(config->userlist, name) != NULL);
}

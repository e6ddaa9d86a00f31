/* SPDX-License-Identifier: ISC */
/*
 * What the thread needs of the configuration, in the form that it compares.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/http_priv.h"
#include "pg/base64.h"

enum { SECRET_MAX = 4608 };

static void wipe(char **secret)
{
	if (*secret != NULL)
		explicit_bzero(*secret, strlen(*secret));
	free(*secret);
	*secret = NULL;
}

void http_values_finish(struct http_values *values)
{
	wipe(&values->bearer);
	wipe(&values->basic);
}

static char *make_basic(const char *user, const char *password)
{
	char plain[SECRET_MAX];
	int len = snprintf(plain, sizeof(plain), "%s:%s", user, password);
	char *text = NULL;

	if (len > 0 && (size_t)len < sizeof(plain))
		text = malloc(BASE64_LEN((size_t)len) + 1);
	if (text != NULL)
		base64_encode((const uint8_t *)plain, (size_t)len, text,
			BASE64_LEN((size_t)len) + 1);
	explicit_bzero(plain, sizeof(plain));
	return text;
}

bool http_values_init(struct http_values *values, const struct config *config)
{
	*values = (struct http_values){
		.max_connections = config->http.max_connections,
		.timeout_us = config->http.timeout_us,
	};
	if (config->http_token != NULL) {
		values->bearer = strdup(config->http_token);
		if (values->bearer == NULL)
			return false;
	}
	if (config->http_password == NULL)
		return true;
	values->basic = make_basic(config->http.user, config->http_password);
	return values->basic != NULL;
}

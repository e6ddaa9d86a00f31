/* SPDX-License-Identifier: ISC */
/*
 * What the thread needs of the configuration, in the form that it compares.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http/http_priv.h"
#include "pg/base64.h"

enum { SECRET_MAX = 4608, HOST_MAX = 256 };

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
	for (size_t i = 0; values->host_names != NULL && values->host_names[i] != NULL; i++)
		free(values->host_names[i]);
	free(values->host_names);
	values->host_names = NULL;
}

static bool copy_names(struct http_values *values, const struct option_list *list)
{
	values->host_names = calloc(list->count + 1, sizeof(*values->host_names));
	for (size_t i = 0; values->host_names != NULL && i < list->count; i++) {
		values->host_names[i] = strdup(list->items[i]);
		if (values->host_names[i] == NULL)
			return false;
	}
	return values->host_names != NULL;
}

bool http_values_know(const struct http_values *values, const char *host)
{
	bool is_v6 = host[0] == '[';
	const char *from = host + is_v6;
	size_t len = strcspn(from, is_v6 ? "]" : ":");
	char name[HOST_MAX];
	struct in6_addr ip;

	if (len >= sizeof(name))
		return false;
	memcpy(name, from, len);
	name[len] = '\0';
	if (is_v6 || inet_pton(AF_INET, name, &ip) == 1)
		return !is_v6 || inet_pton(AF_INET6, name, &ip) == 1;
	if (len == 0 || strcasecmp(name, "localhost") == 0)
		return true;
	for (size_t i = 0; values->host_names[i] != NULL; i++) {
		if (strcasecmp(name, values->host_names[i]) == 0)
			return true;
	}
	return false;
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
	if (!copy_names(values, &config->http.host_names))
		return false;
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

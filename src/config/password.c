/* SPDX-License-Identifier: ISC */
#include "config/password.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/diag.h"
#include "config/doc.h"
#include "config/verify.h"

/* --- what goes together ------------------------------------------------------------------ */

/* What a host or a database says of it. */
struct given {
	const char *section;
	const char *name;
	const char *user;
	const char *password;
	const char *file;
	const struct option_list *command;
	uint64_t lifetime_us;
};

static int verify(const struct given *g, const struct doc_source *source)
{
	const struct doc_node *node = doc_reach(source->root, g->section, g->name, NULL);
	const char *const names[] = { "password", "password_file", "password_command" };
	const bool is_given[] = { g->password[0] != '\0', g->file[0] != '\0',
		g->command->count > 0 };
	const char *first = NULL;

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (!is_given[i])
			continue;
		if (first != NULL)
			return doc_fail_key(source, doc_get(node, names[i]), "%s.%s: %s and %s "
				"exclude each other", g->section, g->name, first, names[i]);
		if (g->user[0] == '\0')
			return doc_fail_key(source, doc_get(node, names[i]),
				"%s.%s: %s without user", g->section, g->name, names[i]);
		first = names[i];
	}
	if (g->lifetime_us != 0 && !is_given[1] && !is_given[2])
		return doc_fail_key(source, doc_get(node, "password_lifetime"), "%s.%s: "
			"password_lifetime without password_file or password_command",
			g->section, g->name);
	if (g->command->count > 0 && g->command->items[0][0] != '/')
		return doc_fail(source, doc_get(node, "password_command"), "password_command: "
			"the program is named with its whole path, and is no line for a shell");
	return 0;
}

int password_verify(const struct config *config, const struct doc_source *source)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < config->host_count; i++) {
		const struct host_options *o = &config->hosts[i].options;
		const struct given g = { "hosts", config->hosts[i].name, o->user, o->password,
			o->password_file, &o->password_command, o->password_lifetime_us };

		ret = verify(&g, source);
	}
	for (size_t i = 0; ret == 0 && i < config->database_count; i++) {
		const struct database_options *o = &config->databases[i].options;
		const struct given g = { "databases", config->databases[i].name, o->user,
			o->password, o->password_file, &o->password_command,
			o->password_lifetime_us };

		ret = verify(&g, source);
	}
	return ret;
}

/* --- where it comes from ----------------------------------------------------------------- */

static int take(const struct config *config, const char *file, const struct option_list *command,
	uint64_t lifetime_us, struct config_password *to)
{
	*to = (struct config_password){ .lifetime_us = lifetime_us,
		.command = command->count > 0 ? command : NULL };
	if (file[0] == '\0')
		return 0;
	to->path = config_file_path(config, file);
	return to->path == NULL ? -ENOMEM : 0;
}

int password_take(struct config *config)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < config->host_count; i++) {
		struct config_host *host = &config->hosts[i];

		host->own_password = strdup(host->options.password);
		ret = host->own_password == NULL ? -ENOMEM : 0;
		if (ret == 0)
			ret = take(config, host->options.password_file,
				&host->options.password_command,
				host->options.password_lifetime_us, &host->source);
	}
	for (size_t i = 0; ret == 0 && i < config->database_count; i++) {
		struct config_database *db = &config->databases[i];

		ret = take(config, db->options.password_file, &db->options.password_command,
			db->options.password_lifetime_us, &db->source);
	}
	return ret;
}

void password_finish(struct config_password *p)
{
	free(p->path);
}

/* --- files ------------------------------------------------------------------------------- */

int password_read(const char *path, char **to, struct diag *diag)
{
	size_t len, line;
	char *text;
	int ret;

	ret = doc_read_file(path, PASSWORD_FILE_MAX, &text, &len, diag);
	if (ret < 0)
		return ret;
	line = strcspn(text, "\r\n");
	if (line == 0 || strlen(text) != len) {
		diag_set(diag, path, 1, 1,
			line == 0 ? "the first line holds no password" : "a zero byte");
		ret = -EINVAL;
	} else {
		*to = strndup(text, line);
		ret = *to == NULL ? -ENOMEM : 0;
	}
	doc_free_text(text, len);
	return ret;
}

static void wipe(char *secret)
{
	if (secret != NULL)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

int password_load_secret(struct config *config, const char *option, const char *name,
	char **to, struct diag *diag)
{
	char *path, *secret;
	int ret;

	if (name[0] == '\0')
		return 0;
	path = config_file_path(config, name);
	if (path == NULL)
		return -ENOMEM;
	ret = config_check_readable(config, option, path, diag);
	if (ret == 0)
		ret = password_read(path, &secret, diag);
	if (ret == 0) {
		wipe(*to);
		*to = secret;
		if (doc_is_public(path))
			ret = verify_warn(config, "everybody may read %s, which holds a "
				"password; chmod 640 would hide it", path);
	}
	free(path);
	return ret;
}

/* --- commands ---------------------------------------------------------------------------- */

static int check_command(const struct config *config, const char *section, const char *name,
	const struct config_password *p, struct diag *diag)
{
	const char *program = p->command == NULL ? NULL : p->command->items[0];
	const struct config_place_of *place;
	const char *why = NULL;
	char option[200];
	struct stat st;
	int ret = -EINVAL;

	if (program == NULL)
		return 0;
	if (stat(program, &st) < 0) {
		ret = -errno;
		why = strerror(-ret);
	} else if (!S_ISREG(st.st_mode)) {
		why = "it is no file";
	} else if (doc_is_everybodys(program)) {
		why = "everybody may change it; chmod o-w would stop that";
	} else if (access(program, X_OK) < 0) {
		why = "it cannot be run";
	}
	if (why == NULL)
		return 0;
	(void)snprintf(option, sizeof(option), "%s.%s.password_command", section, name);
	place = config_find_place(config, option);
	diag_set(diag, config->path, place == NULL ? 0 : place->line, 0, "%s: %.200s: %s",
		option, program, why);
	return ret;
}

int password_load(struct config *config, struct diag *diag)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < config->host_count; i++) {
		struct config_host *host = &config->hosts[i];

		ret = password_load_secret(config, "password_file", host->options.password_file,
			&host->own_password, diag);
		if (ret == 0)
			ret = check_command(config, "hosts", host->name, &host->source, diag);
	}
	for (size_t i = 0; ret == 0 && i < config->database_count; i++) {
		struct config_database *db = &config->databases[i];
		char *secret = NULL;

		ret = password_load_secret(config, "password_file", db->options.password_file,
			&secret, diag);
		wipe(secret);
		if (ret == 0)
			ret = check_command(config, "databases", db->name, &db->source, diag);
	}
	return ret;
}
